"""What of a push is refused, and why: the trunk by review, outboxes by whose they are, all else by its name.

Knows: the refs that a ledger has, who may move which, how much is looked at (laws PUSH, CHAIN, RENDER, LIVE).
Knows not: how git told of the push and how the answer leaves (`receiving`), what a record means (`review`).

A move whose start is not where the ref stands is a lost race. It passes here, for git itself refuses it when it takes
the ref's lock, in words that a node reads as "lost", not as "never" (trap C13).

    judge = Judge(hub, environ)
    judge.judge(asked)          # [] : git may move the refs
    judge.catch_up()            # when the answer is out: read what the trunk holds now, and remember it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import orjson

from orxaq_mesh import review
from orxaq_mesh.hub import outbox
from orxaq_mesh.hub.memory import Memory
from orxaq_mesh.hub.receiving import HEADS, Asked, Move
from orxaq_mesh.hub.settings import HubSettings, read_settings
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import MAX_NAME, parse_path
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw, Oid
from orxaq_mesh.store.answers import OUTBOX, is_branch
from orxaq_mesh.store.repository import Repository

MAX_READ_BYTES = 128 * 1024 * 1024
"""So much of files that differ is read for one push, whatever it unpacks to."""


class Judge:
    """One hub's judge; it may be asked again and again.

    Args:
        hub: the bare repository.
        environ: the environment of this process.
    """

    def __init__(self, hub: Path, environ: Mapping[str, str]) -> None:
        self._hub, self._environ = hub, environ
        self._settings = HubSettings()
        self._memory = Memory(hub, None)

    def judge(self, asked: Asked) -> list[Finding]:
        """Everything that is wrong with a push; nothing: it may pass.

        Raises:
            MeshFault: settings or objects cannot be read.
        """
        self._read_settings()
        with Repository(self._hub, environ=self._environ, also=asked.objects) as repository:
            tip = repository.tip(HEADS + self._settings.trunk)
            try:
                return [found for move in asked.moves for found in self._judge(repository, asked, move, tip)]
            except _TooMuchError:
                reason = f"more than {MAX_READ_BYTES >> 20} MB of files differ; a push brings a part at a time"
                return [Finding("LIVE", "", 0, reason)]

    def catch_up(self) -> Ledger:
        """Read on to where the trunk stands now, and write the snapshot where it is due."""
        self._read_settings()
        with Repository(self._hub, environ=self._environ) as repository:
            ledger = self._memory.at(repository, repository.tip(HEADS + self._settings.trunk))
            self._memory.keep()
            return ledger

    def _read_settings(self) -> None:
        found = read_settings(self._hub)
        if found.ledger != self._settings.ledger:
            self._memory = Memory(self._hub, found.ledger)
        self._settings = found

    def _judge(self, repository: Repository, asked: Asked, move: Move, tip: Oid | None) -> Iterator[Finding]:
        branch, trunk = move.branch, self._settings.trunk
        if branch is None or not is_branch(branch, trunk):
            if move.old is None:
                yield Finding("RENDER", move.ref, 0, f"a ledger has no such ref: only {trunk} and {OUTBOX}<log>")
        elif move.new is None:
            yield Finding("PUSH", move.ref, 0, "no branch of a ledger is ever deleted")
        elif repository.tip(move.ref) != move.old:
            return
        elif not repository.has(move.new):
            yield Finding("RENDER", move.ref, 0, "a branch points to a commit")
        else:
            if move.old is not None and not repository.descends(move.new, move.old):
                yield Finding(
                    "PUSH", move.ref, 0, "the branch only moves forward: this commit does not descend from it"
                )
            if branch == trunk:
                yield from self._trunk(repository, tip, move.new)
            else:
                yield from self._whose(asked, branch)
                yield from self._outbox(repository, asked, tip, move)

    # The trunk.

    def _trunk(self, repository: Repository, tip: Oid | None, new: Oid) -> Iterator[Finding]:
        items = list(bounded(repository.changes(tip, new)))
        try:
            found = review.review(self._memory.at(repository, tip), items)
        except review.ReadDeeper:
            found = review.review(self._memory.from_genesis(repository, tip), items)
        if tip is None and not found.seals:
            yield Finding(
                "SEAL", "", 0, "this founds no ledger: the first push brings the founding record and its seal"
            )
        yield from (item for item in found.findings if not is_others_secret(item, found))

    # Outboxes.

    def _whose(self, asked: Asked, branch: str) -> Iterator[Finding]:
        """CHAIN: an outbox is moved by its own node, where this hub can know who pushes."""
        node = branch.removeprefix(OUTBOX)[: -len("-12345678")]
        users = self._settings.users
        nodes = (asked.node,) if asked.node else users.get(asked.user, ())
        known = bool(asked.node) or bool(users)
        if known and node not in nodes:
            who = (
                f"the node {asked.node}"
                if asked.node
                else f"user {asked.user[:MAX_NAME]}"
                if asked.user
                else "who pushes"
            )
            yield Finding("CHAIN", HEADS + branch, 0, f"{who} is not {node}, and only {node} moves its outbox")

    def _arriving(self, asked: Asked) -> Oid | None:
        """The trunk that comes in the same push, as where a hub is filled from another one."""
        return next((move.new for move in asked.moves if move.branch == self._settings.trunk), None)

    def _outbox(self, repository: Repository, asked: Asked, tip: Oid | None, move: Move) -> Iterator[Finding]:
        assert move.new is not None
        log = (move.branch or "").removeprefix(OUTBOX)
        tip = self._arriving(asked) or tip
        if tip is None:
            yield Finding("SEAL", move.ref, 0, "there is no ledger here yet that this could be a part of")
            return
        base = tip if tip in repository.parents(move.new) else repository.merge_base(move.new, tip)
        items = list(bounded(repository.changes(base, move.new)))
        before = repository.changes(move.old, move.new, only=lambda path: (parse_path(path) or ("",))[0] == log)
        yield from outbox.judged(
            self._memory.of(repository, tip),
            log,
            items,
            before if move.old else (),
            lambda path: repository.read(tip, path),
        )


class _TooMuchError(Exception):
    """A push unpacks to more than is ever looked at."""


def bounded(items: Iterable[Change | Flaw]) -> Iterator[Change | Flaw]:
    """The same items, as long as they are not too much."""
    size = 0
    for item in items:
        size += len(item.new or b"") if isinstance(item, Change) else 0
        if size > MAX_READ_BYTES:
            raise _TooMuchError
        yield item


def is_others_secret(finding: Finding, found: review.Review) -> bool:
    """LIVE: whether a credential is held against somebody who did not write it.

    Who seals takes in what others signed, as it is; their own push of it was the place to say no.
    """
    if finding.law != "SECRET" or not found.seals:
        return False
    sealers = [orjson.loads(line.text)["node"] for line in found.lines if line.file.startswith("ledger/epochs/")]
    return sealers != [(parse_path(finding.file) or ("",))[0]]
