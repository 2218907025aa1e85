"""A full check of a ledger, from genesis, with a finding for everything that breaks a law.

Knows: which checks a whole tree allows beyond those of a reader that follows along: its exact bytes (law RENDER),
every digest (law DIGEST), and whose ledger it is (law SIG).
Knows not: where files come from (`reading`), the laws' own checks (`ledger`), what else is to blame (`causes`).

    report = verify(None, "ledger", ledger="SHA256:...")
    report.ok, report.epoch, report.state
    report.findings     # [Finding("CHAIN", "ledger/nodes/oak-3f9a01c2/000000/0000000001.ndjson", 5, "...")]
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh import fold
from orxaq_mesh.inspect.causes import broken_chains, causes, lines_of
from orxaq_mesh.inspect.reading import Files, Node, from_folder, from_hub, identity, is_ledger, open_store
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import NOTHING, epoch_place
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change

SHORTEST_ID = 16
"""Hex digits of a ledger's id that tell it from any other."""


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


def verify(
    mesh: Node | None, source: str | Path | None = None, *, ledger: str | None = None, every_signature: bool = False
) -> Report:
    """Check every law over a whole ledger, from genesis.

    Args:
        mesh: whose hub, if `source` is None, and whose ledger it must be, if `ledger` is None.
        source: a directory that holds `ledger/` or is it, or the address of a hub; None: the home's hub.
        ledger: the ledger's id (at least 16 hex digits of it) or its founder's fingerprint.
        every_signature: each record's, not the heads' alone, which cover the records between them (law SIG).

    Raises:
        MeshError: there is nothing to check: no ledger there, or the hub does not answer.
    """
    from orxaq_mesh.home.journal import Journal
    from orxaq_mesh.home.process import undisturbed
    from orxaq_mesh.sync.identity import memory_of

    files, findings = _files(mesh, source)
    reader = Ledger()
    reader.signatures = "every" if every_signature else "heads"
    reader.settles = False
    with undisturbed():
        reading = reader.read(files)
    findings += causes(reading.findings, files, reader.id)
    findings += [*_wrong_digests(reading), *_no_spine(files)]
    wanted = _home_ledger(mesh) if ledger is None else ledger
    if wanted is not None:
        findings += _another_ledger(reader, wanted)
    if mesh is not None and source is None:
        findings += _rolled_back(reading.known, memory_of(Journal.open(mesh.home.journal)).seen)
    if not findings:
        findings += _not_rendered(files, reader)
    state = reader.state
    order = sorted(set(findings), key=lambda finding: (finding.file, finding.line, finding.law))
    counts = (state.epoch, len(reading.judged), len(reading.seals))
    return Report(not findings, state.ledger, wanted is not None, *counts, state.digest, tuple(order))


def _files(mesh: Node | None, source: str | Path | None) -> Files:
    from orxaq_mesh.errors import Usage

    if source is None:
        if mesh is None:
            raise Usage("verify what?", hint="name a directory that holds ledger/")
        from orxaq_mesh.home.locks import NodeLock

        with NodeLock(mesh.home, "node"), open_store(mesh) as store:
            if store.trunk not in store.poll():
                return [], [Finding("SEEN", "", 0, f"the hub has no branch {store.trunk} any more")]
            return from_hub(store, store.trunk)
    folder = Path(source)
    is_hub = (folder / "HEAD").exists() if folder.is_dir() else ":" in str(source)
    if is_hub and not is_ledger(folder):
        return _files_at(str(source), mesh.settings.trunk if mesh else "mesh")
    return from_folder(folder)


def _files_at(hub: str, trunk: str) -> Files:
    """The files at any hub, through a store that is thrown away."""
    from tempfile import TemporaryDirectory

    from orxaq_mesh.home.process import environment
    from orxaq_mesh.store.git import GitStore

    with TemporaryDirectory(prefix="orxaq-mesh-") as folder:
        store = GitStore(Path(folder, "store.git"), hub, environ=environment(), trunk=trunk)
        try:
            return from_hub(store, trunk)
        finally:
            store.close()


def _home_ledger(mesh: Node | None) -> str | None:
    if mesh is None or not mesh.home.journal.exists():
        return None
    return identity(mesh).ledger


def _another_ledger(reader: Ledger, wanted: str) -> list[Finding]:
    place, state = epoch_place(1), reader.state
    if not state.epoch:
        return []
    founder = next(iter(members(state).by_log.values()))
    fingerprint = PublicKey.parse(founder.key).fingerprint
    if wanted == fingerprint or (len(wanted) >= SHORTEST_ID and state.ledger.startswith(wanted)):
        return []
    what = f"this is ledger {state.ledger}, founded by {founder.name} with key {fingerprint}; not {ascii(wanted)[1:80]}"
    return [Finding("SIG", *place, what.removesuffix("'"))]


def _rolled_back(known: Container[str], seen: tuple[int, str]) -> list[Finding]:
    """Law SEEN: the newest seal that this node has seen must be in the ledger, on whatever side."""
    epoch, seal = seen
    if not epoch or seal in known:
        return []
    what = f"the seal of epoch {epoch} ({seal[:12]}), which this node has seen, is not there"
    return [Finding("SEEN", *epoch_place(epoch), what)]


def _no_spine(files: Iterable[Change]) -> list[Finding]:
    place = epoch_place(1)
    there = any(file.path == place.file for file in files)
    return [] if there else [Finding("SEAL", *place, "there is no seal of epoch 1")]


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
