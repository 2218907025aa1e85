"""A full check of a ledger, from genesis, with a finding for everything that breaks a law.

Knows: which checks a whole tree allows beyond those of a reader that follows along: its exact bytes (law RENDER),
every digest (law DIGEST), whose ledger it is (law SIG), and where a broken chain begins.
Knows not: where files come from (`reading`), the laws' own checks (`ledger`).

    report = verify(None, "ledger", ledger="SHA256:...")
    report.ok, report.epoch, report.state
    report.findings     # [Finding("CHAIN", "ledger/nodes/oak-3f9a01c2/000000/0000000001.ndjson", 5, "...")]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orxaq_mesh import fold
from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect.reading import Files, from_folder, from_hub, is_ledger, open_store
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Finding, Ledger, Reading
from orxaq_mesh.record import NOTHING, BadLine, Record, Seal, epoch_place, log_place, parse_path
from orxaq_mesh.schema import read_line
from orxaq_mesh.store import Change

if TYPE_CHECKING:
    from orxaq_mesh.mesh import Mesh

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
    mesh: Mesh | None, source: str | Path | None = None, *, ledger: str | None = None, every_signature: bool = False
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
    from orxaq_mesh.sync.identity import memory_of

    files, findings = _files(mesh, source)
    reader = Ledger()
    reader.signatures = "every" if every_signature else "heads"
    reading = reader.read(files)
    findings += _causes(reading.findings, files)
    findings += _wrong_digests(reading)
    wanted = ledger or _home_ledger(mesh)
    if wanted is not None:
        findings += _another_ledger(reader, wanted)
    if mesh is not None and source is None:
        findings += _rolled_back(reading.seals, memory_of(Journal.open(mesh.home.journal)).seen)
    if not findings:
        findings += _not_rendered(files, reading, reader.waiting.values())
    state = reader.state
    order = sorted(set(findings), key=lambda finding: (finding.file, finding.line, finding.law))
    counts = (state.epoch, len(reading.judged), len(reading.seals))
    return Report(not findings, state.ledger, wanted is not None, *counts, state.digest, tuple(order))


def _files(mesh: Mesh | None, source: str | Path | None) -> Files:
    from orxaq_mesh.errors import Usage

    if source is None:
        if mesh is None:
            raise Usage("verify what?", hint="name a directory that holds ledger/")
        from orxaq_mesh.home.locks import NodeLock

        with NodeLock(mesh.home, "node"), open_store(mesh) as store:
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


def _home_ledger(mesh: Mesh | None) -> str | None:
    if mesh is None or not mesh.home.journal.exists():
        return None
    found: str = mesh.identity().ledger
    return found


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


def _rolled_back(seals: Sequence[Seal], seen: tuple[int, str]) -> list[Finding]:
    """Law SEEN: the newest seal that this node has seen must be on the spine."""
    epoch, seal = seen
    if not epoch or any(found.id == seal for found in seals):
        return []
    what = f"the seal of epoch {epoch} ({seal[:12]}), which this node has seen, is not on the spine"
    return [Finding("SEEN", *epoch_place(epoch), what)]


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


def _not_rendered(files: Sequence[Change], reading: Reading, waiting: Iterable[Record]) -> list[Finding]:
    """What is wrong where every line is sound: doubled, moved or missing lines, empty files."""
    expected = _rendered(reading.judged, reading.seals, waiting)
    differs = [file for file in files if file.new != expected.get(file.path)]
    if not reading.seals:
        return [Finding("SEAL", *epoch_place(1), "there is no seal of epoch 1")]
    if not differs:
        return []
    found = list(_walked(files))
    return found or [
        Finding("RENDER", file.path, 1, "not the bytes that rendering its lines gives") for file in differs
    ]


def _rendered(judged: Iterable[Judged], seals: Iterable[Seal], waiting: Iterable[Record]) -> dict[str, bytes]:
    lines: dict[str, list[bytes]] = {}
    records = [item.record for item in judged]
    for record in [*records, *sorted(waiting, key=lambda record: record.seq)]:
        lines.setdefault(log_place(record.log, record.seq).file, []).append(record.line)
    for seal in seals:
        lines.setdefault(epoch_place(seal.epoch).file, []).append(seal.line)
    return {path: b"\n".join([*found, b""]) for path, found in lines.items()}


# Where it began: a reader stops at the first seal that does not stand, a walk along the lines does not.


def _causes(found: Sequence[Finding], files: Sequence[Change]) -> list[Finding]:
    """The findings of a reading, with those of a walk along every chain; of mere consequences one a log.

    Behind a broken line the rest of its log hangs in the air too; to name each of those lines would hide the one.
    """
    if not found:
        return []
    walked = list(_walked(files))
    causes = {(finding.file, finding.line) for finding in walked}
    kept: list[Finding] = []
    told: set[str | None] = set()
    for finding in found:
        log = (parse_path(finding.file) or (None, 0))[0]
        if log is not None and finding.law == "CHAIN" and (finding.file, finding.line) not in causes:
            if log in told:
                continue
            told.add(log)
        kept.append(finding)
    lines = {(finding.file, finding.line) for finding in kept}
    return kept + [finding for finding in walked if (finding.file, finding.line) not in lines]


def _walked(files: Iterable[Change]) -> Iterator[Finding]:
    """Each line that does not follow the line before it, in the spine and in each log."""
    for _, segments in groupby(sorted(files, key=_chain_and_path), key=lambda file: _chain_and_path(file)[0]):
        last: tuple[int, str] | None = None
        for file in segments:
            if not file.new:
                yield Finding("RENDER", file.path, 0, "an empty file")
            first = (parse_path(file.path) or (None, 0))[1]
            for number, line in enumerate((file.new or b"").split(b"\n")[:-1], 1):
                here = _link(line)
                if here is None:
                    last = None  # its own finding says why
                    continue
                before = last or ((first - 1, "") if number == 1 else None)
                if before and (broken := _break(before, here)):
                    law, reason = broken
                    yield Finding(law, file.path, number, reason)
                last = here[:2]


def _chain_and_path(file: Change) -> tuple[str, str]:
    return (parse_path(file.path) or (None, 0))[0] or "", file.path


def _link(line: bytes) -> tuple[int, str, str] | None:
    """(number, id, id of the one before) of a line; None where it is none."""
    try:
        item = read_line(line)
    except BadLine:
        return None
    return (item.epoch, item.id, item.parent) if isinstance(item, Seal) else (item.seq, item.id, item.prev)


def _break(last: tuple[int, str], here: tuple[int, str, str]) -> tuple[str, str] | None:
    """(law, reason) where a line does not follow the one before it."""
    number, id_, before = here
    if id_ == last[1]:
        return "RENDER", f"number {number} stands twice"
    if number != last[0] + 1:
        return "CHAIN", f"number {number} follows number {last[0]}"
    if last[1] and before != last[1]:
        return "CHAIN", f"number {number} names {before[:12]} as the one before it, which is {last[1][:12]}"
    return None
