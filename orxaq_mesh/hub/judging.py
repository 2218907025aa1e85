"""What of a push is refused, and why: the trunk by review, outboxes by whose they are, all else by its name.

Knows: the refs that a ledger has, who may move which, how much is looked at (laws PUSH, CHAIN, RENDER, LIVE).
Knows not: how git told of the push and how the answer leaves (`receiving`), what a record means (`review`).

Each move is judged from where it says that it begins, wherever the ref stands by now: git moves a ref from exactly that
commit or not at all, so what was judged is what moves. Who began elsewhere has lost a race, and git says so when it takes
the ref's lock, in words that a node reads as "lost", not as "never" (trap C13). A beginning that is not here, but perhaps
arrives at this moment by another push or by this very one, is refused: nobody could say what it holds.

    judge = Judge(hub, environ)
    judge.judge(asked)          # [] : git may move the refs
    judge.catch_up()            # when the answer is out: read what the trunk holds now, and remember it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import orjson

from orxaq_mesh import review
from orxaq_mesh.errors import MeshError
from orxaq_mesh.hub import outbox
from orxaq_mesh.hub.memory import MAX_FILE_LINES, MAX_READ_BYTES, MAX_READ_LINES, Memory, TooMuchError, bounded
from orxaq_mesh.hub.receiving import HEADS, Asked, Move
from orxaq_mesh.hub.settings import HubSettings, read_settings
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.news import added_lines
from orxaq_mesh.record import MAX_NAME, parse_path
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw, Oid
from orxaq_mesh.store.answers import OUTBOX, is_branch
from orxaq_mesh.store.repository import Repository

MAX_FINDINGS = 200
MAX_STRANGERS = 256
"""Outboxes of logs that nobody has admitted: each poll of each node reads every ref (law LIVE)."""


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
        try:
            return self._judged(asked)
        except MeshError:
            raise
        except Exception:
            if not self._memory.doubts():  # CACHE: what is wrong with a snapshot keeps nobody out
                raise
            return self._judged(asked)

    def _judged(self, asked: Asked) -> list[Finding]:
        with Repository(self._hub, environ=self._environ, also=asked.objects) as repository:
            try:
                return self._judge_all(repository, asked)
            except TooMuchError as error:
                reason = f"more differs than is ever judged: {MAX_READ_BYTES >> 20} MB, {MAX_READ_LINES} lines, {MAX_FILE_LINES} a file"
                return [Finding("LIVE", str(error), 0, reason)]

    def _judge_all(self, repository: Repository, asked: Asked) -> list[Finding]:
        """The trunk first: where a hub is filled from another one, its outboxes come in the same push."""
        trunk = self._settings.trunk
        tip, found = repository.tip(HEADS + trunk), list[Finding]()
        self._memory.at(repository, tip)
        for move in sorted(asked.moves, key=lambda move: move.branch != trunk):
            told = list(islice(self._judge(repository, asked, move, tip), MAX_FINDINGS))
            if move.branch == trunk and tip is None and not told:
                tip = move.new
            found += told
        refs = [move.ref for move in asked.moves]
        found += [
            Finding("PUSH", ref, 0, "is named twice in one push") for ref in sorted({*refs}) if refs.count(ref) > 1
        ]
        return found

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
            yield from self._other(repository, move)
        elif repository.is_symbolic(move.ref):
            yield Finding(
                "RENDER", move.ref, 0, "is only another name, and what it names would move: see mesh hub check"
            )
        elif move.new is None:
            yield Finding("PUSH", move.ref, 0, "no branch of a ledger is ever deleted")
        elif not repository.has(move.new):
            yield Finding("RENDER", move.ref, 0, "a branch points to a commit")
        elif move.old is not None and not self._is_here(repository, move.ref, move.old):
            yield Finding(
                "PUSH", move.ref, 0, "nothing that is here lies where this move begins: fetch, and look again"
            )
        else:
            if move.old is not None and not repository.descends(move.new, move.old):
                yield Finding(
                    "PUSH", move.ref, 0, "the branch only moves forward: this commit does not descend from it"
                )
            yield from self._behind(repository, tip, move)
            if branch == trunk:
                yield from self._trunk(repository, move.old, move.new)
            else:
                yield from self._whose(asked, branch)
                yield from self._outbox(repository, tip, move)

    def _behind(self, repository: Repository, tip: Oid | None, move: Move) -> Iterator[Finding]:
        """LIVE: what comes along with the commit that is judged. None of it is read here, but every node fetches it."""
        assert move.new is not None
        parents = repository.parents(move.new)
        if tip is None or all(parent in (tip, move.old) or self._is_settled(parent) for parent in parents):
            return
        found = repository.brought(tip, move.new)
        for flaw in found.flaws:
            yield Finding(flaw.law, flaw.file, 0, flaw.reason)
        if found.unknown:
            yield Finding("LIVE", move.ref, 0, found.unknown)

    def _is_here(self, repository: Repository, ref: str, old: Oid) -> bool:
        """Whether a commit lies in the hub itself, and not only in what is being pushed."""
        return repository.tip(ref) == old or self._is_settled(old)

    def _is_settled(self, commit: Oid) -> bool:
        with Repository(self._hub, environ=self._environ) as settled:
            return self._memory.knows(commit) or settled.has(commit)

    def _other(self, repository: Repository, move: Move) -> Iterator[Finding]:
        """RENDER: a ref that no ledger has. One that was there before the hub was adopted is git's own matter."""
        names = repository.refs()
        if move.ref not in names:
            trunk = self._settings.trunk
            yield Finding("RENDER", move.ref, 0, f"a ledger has no such ref: only {trunk} and {OUTBOX}<log>")
        elif names[move.ref]:
            yield Finding("RENDER", move.ref, 0, "is another name of a branch: push that one by its own")
        elif move.ref in names.values():
            yield Finding("RENDER", move.ref, 0, "has another name, which would move with it: see mesh hub check")

    # The trunk.

    def _trunk(self, repository: Repository, old: Oid | None, new: Oid) -> Iterator[Finding]:
        items = list(bounded(repository.changes(old, new)))
        try:
            found = review.review(self._memory.of(repository, old), items)
        except review.ReadDeeper:
            found = review.review(self._memory.from_genesis(repository, old), items)
        if old is None and not found.seals:
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

    def _outbox(self, repository: Repository, tip: Oid | None, move: Move) -> Iterator[Finding]:
        assert move.new is not None
        log = (move.branch or "").removeprefix(OUTBOX)
        if tip is None:
            yield Finding("SEAL", move.ref, 0, "there is no ledger here yet that this could be a part of")
            return
        base = tip if tip in repository.parents(move.new) else repository.merge_base(move.new, tip)
        if base is not None and not self._memory.knows(base):
            yield from _more(base, bounded(repository.changes(tip, base)))
        items = list(bounded(repository.changes(base, move.new)))
        before = repository.changes(move.old, move.new, only=lambda path: (parse_path(path) or ("",))[0] == log)
        ledger, was = self._memory.of(repository, tip), bounded(before) if move.old else ()
        yield from outbox.judged(ledger, log, items, was, lambda path: repository.read(tip, path))
        if move.old is None and outbox.is_stranger(ledger, log):
            others = (ref.removeprefix(HEADS + OUTBOX) for ref in repository.refs(HEADS + OUTBOX))
            if sum(outbox.is_stranger(ledger, other) for other in others) >= MAX_STRANGERS:
                reason = (
                    f"{MAX_STRANGERS} outboxes wait for an admission; the hub's keeper removes those that nobody knows"
                )
                yield Finding("LIVE", move.ref, 0, reason)


def _more(base: Oid, items: Iterable[Change | Flaw]) -> Iterator[Finding]:
    """RENDER: what an outbox grew from is an ancestor of the trunk; the trunk never stood there if it lacks a line of it.

    The second parent of a trunk's commit is an ancestor, too, and nobody judges what stands in it.
    """
    for item in items:
        file = item.file if isinstance(item, Flaw) else item.path
        if isinstance(item, Flaw) or any(finding is None for _, _, finding in added_lines(item)):
            yield Finding("RENDER", file, 0, f"is of {base[:12]}, where the trunk never stood: grow from the trunk")
            return


def is_others_secret(finding: Finding, found: review.Review) -> bool:
    """LIVE: whether a credential is held against somebody who did not write it.

    Who seals takes in what others signed, as it is; their own push of it was the place to say no.
    """
    if finding.law != "SECRET" or not found.seals:
        return False
    sealers = {orjson.loads(line.text)["node"] for line in found.lines if line.file.startswith("ledger/epochs/")}
    return sealers != {(parse_path(finding.file) or ("",))[0]}
