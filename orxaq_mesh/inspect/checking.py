"""A full check of a ledger, from genesis, with a finding for everything that breaks a law.

Knows: which checks a whole tree allows beyond those of a reader that follows along: its exact bytes (law RENDER),
every digest (law DIGEST), and whose ledger it is (law SIG).
Knows not: where files come from (`reading`), the laws' own checks (`ledger`), what else is to blame (`causes`).

    report = verify(None, "ledger", ledger="SHA256:...")
    report.ok, report.epoch, report.state
    report.findings     # [Finding("CHAIN", "ledger/nodes/oak-3f9a01c2/000000/0000000001.ndjson", 5, "...")]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh import fold
from orxaq_mesh.errors import Usage
from orxaq_mesh.inspect.causes import broken_chains, causes, lines_of
from orxaq_mesh.inspect.reading import History, Node, identity, open_store, past_of, whole
from orxaq_mesh.inspect.sources import HUB, Taken, from_hub, shown, taken
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds.node import founder, is_meant, members
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import NOTHING, epoch_place
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change


class Report(NamedTuple):
    """What a full check came to.

    Attributes:
        ok: no finding.
        ledger: the ledger's id, as its genesis says; "" where there is no sound one.
        pinned: whether that was compared with an id or a key that the caller or the home knew.
        epoch: the last epoch that stands; `records` and `seals` count up to it.
        state: the running digest there (law DIGEST).
        findings: by file and line.
    """

    ok: bool
    ledger: str
    pinned: bool
    epoch: int
    records: int
    seals: int
    state: str
    findings: tuple[Finding, ...]


class Checked(NamedTuple):
    """A report, and what it was made from. `asked`: whether it is the ledger that was asked for; None: none was named."""

    report: Report
    asked: bool | None
    reader: Ledger
    reading: Reading
    place: Taken

    @property
    def past(self) -> History:
        """The history in it. Which of it is final is counted now: that takes its time."""
        return past_of(self.reader, self.reading)


def verify(
    mesh: Node | None, source: str | Path | None = None, *, ledger: str | None = None, every_signature: bool = False
) -> Report:
    """Check every law over a whole ledger, from genesis.

    Args:
        mesh: whose hub, if `source` is None, and whose ledger it must be, if `ledger` is None.
        source: where the ledger lies (see `sources.taken`); None: the home's hub.
        ledger: the ledger's id (at least 16 hex digits of it) or its founder's fingerprint.
        every_signature: each record's, not the heads' alone, which cover the records between them (law SIG).

    Raises:
        MeshError: there is nothing to check: no ledger there, or the hub does not answer.
    """
    return check(mesh, source, ledger=ledger, every_signature=every_signature).report


def check(
    mesh: Node | None,
    source: str | Path | None = None,
    *,
    ledger: str | None = None,
    every_signature: bool = False,
    seen: tuple[int, str] | None = None,
    trunk: str | None = None,
) -> Checked:
    """The same, and all that it was made from.

    Args:
        mesh, source, ledger, every_signature: see `verify`.
        seen: (epoch, id of its seal or the beginning of it) that somebody was shown before (law SEEN).
        trunk: the branch at `source`, where it is not the home's, or `mesh`.

    Raises:
        Usage: a trunk, and no source.
        MeshError: see `verify`.
    """
    if source is None and trunk is not None:
        raise Usage("--trunk is of the place that is named", hint="name a hub, a repository or a bundle")
    place = _own(mesh) if source is None else taken(source, trunk or (mesh.settings.trunk if mesh else "mesh"))
    wanted = _home_ledger(mesh) if ledger is None else ledger
    marks = [seen] if seen else []
    if mesh is not None and source is None:
        marks.append(_memory(mesh))
    reader, reading = _read(place, every_signature)
    findings = [*place.findings, *causes(reading.findings, place.files, reader.id)]
    findings += [*_wrong_digests(reading), *_no_spine(place)]
    strange = _another_ledger(reader, wanted) if wanted is not None else []
    findings += strange
    findings += [finding for mark in marks for finding in _rolled_back(reader, mark)]
    if not findings:
        findings += _not_rendered(place.files, reader)
    order = sorted(set(findings), key=lambda finding: (finding.file, finding.line, finding.law))
    state = reader.state
    counts = (state.epoch, state.records, len(reading.seals))
    report = Report(not findings, state.ledger, wanted is not None, *counts, state.digest, tuple(order))
    asked = None if wanted is None else not strange and bool(reader.state.epoch)
    return Checked(report, asked, reader, reading, place)


def _read(place: Taken, every_signature: bool) -> tuple[Ledger, Reading]:
    from orxaq_mesh.home.process import undisturbed

    reader = whole()
    reader.signatures = "every" if every_signature else "heads"
    with undisturbed():
        return reader, reader.read(place.files)


def _own(mesh: Node | None) -> Taken:
    """What lies at a home's hub."""
    if mesh is None:
        raise Usage("verify what?", hint="name a hub's address, a repository, a directory or a bundle")
    from orxaq_mesh.home.locks import NodeLock

    with NodeLock(mesh.home, "node"), open_store(mesh) as store:
        tips, trunk, name = store.poll(), store.trunk, shown(store.hub_url)
        if trunk not in tips:
            return Taken(HUB, name, [], [Finding("SEEN", "", 0, f"the hub has no branch {trunk} any more")])
        return Taken(HUB, name, *from_hub(store, {trunk: tips[trunk]}), outboxes=len(tips) - 1)


def _home_ledger(mesh: Node | None) -> str | None:
    if mesh is None or not mesh.home.journal.exists():
        return None
    return identity(mesh).ledger


def _memory(mesh: Node) -> tuple[int, str]:
    """The newest seal that this node has seen."""
    from orxaq_mesh.home.journal import Journal
    from orxaq_mesh.sync.identity import memory_of

    return memory_of(Journal.open(mesh.home.journal)).seen


def _another_ledger(reader: Ledger, wanted: str) -> list[Finding]:
    """Law SIG: whose ledger it is, as its founding says, against whose it must be."""
    place, state = epoch_place(1), reader.state
    if not state.epoch or is_meant(state, wanted):
        return []
    prints = {member.log: PublicKey.parse(member.key).fingerprint for member in members(state).by_log.values()}
    name, fingerprint = founder(state)
    what = f"this is ledger {state.ledger}, founded by {name} with key {fingerprint}; not {ascii(wanted)[1:80]}"
    what = what.removesuffix("'")
    if other := next((log for log, known in prints.items() if known == wanted), None):
        what += f", which is the key of {other}: its founder's is to be named"
    return [Finding("SIG", *place, what)]


def _rolled_back(reader: Ledger, seen: tuple[int, str]) -> list[Finding]:
    """Law SEEN: a seal that was seen must be in the ledger, on whatever side."""
    epoch, seal = seen
    stood = reader.spine.stood
    if not epoch or any(id_.startswith(seal) and stood[id_].seal.epoch == epoch for id_ in stood):
        return []
    what = f"the seal of epoch {epoch} ({seal[:12]}), which was seen before, is not there"
    return [Finding("SEEN", *epoch_place(epoch), f"{what}: this ledger was rolled back, or is another history")]


def _no_spine(place: Taken) -> list[Finding]:
    first = epoch_place(1)
    there = any(file.path == first.file for file in place.files)
    unread = place.findings and not place.files
    return [] if there or unread else [Finding("SEAL", *first, "there is no seal of epoch 1")]


def _wrong_digests(reading: Reading) -> Iterator[Finding]:
    """Law DIGEST: what each seal claims against what the fold came to."""
    by_epoch = {epoch: list(run) for epoch, run in groupby(reading.judged, key=lambda item: item.epoch)}
    digest = NOTHING
    for seal in reading.seals:
        digest = fold.next_digest(digest, by_epoch.get(seal.epoch, ()))
        if seal.state != digest:
            what = (
                f"{seal.log} claims the digest {seal.state[:12]} for epoch {seal.epoch}; the fold gives {digest[:12]}"
            )
            yield Finding("DIGEST", *epoch_place(seal.epoch), what)


# Law RENDER: the tree's bytes are those that rendering the set gives.


def _not_rendered(files: Sequence[Change], reader: Ledger) -> list[Finding]:
    """What is wrong where every line is sound: doubled, moved or missing lines, empty files."""
    expected = render(lambda _: None, reader.spine.records.values(), reader.spine.seals.values())
    differs = [file for file in files if file.new != expected.get(file.path)]
    if not differs:
        return []
    found = list(broken_chains(lines_of(files)))
    return found or [
        Finding("RENDER", file.path, 1, "not the bytes that rendering its lines gives") for file in differs
    ]
