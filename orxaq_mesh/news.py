"""News: what the lines of some files come to, before it is known what of it is sound.

Knows: which lines are new, in which form and place they must be (laws LINE, RENDER), what lies behind a state and what
claims a place beneath it (law CHAIN).
Knows not: signatures, which seals stand (`spine`), what damaged files are to be (`ledger`).

    news = News(base, whole=False, held={})
    news.read([Change("ledger/epochs/000000/0000000001.ndjson", None, b"...")])
    news.seals, news.records, news.findings
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import orjson

from orxaq_mesh.kinds import State
from orxaq_mesh.record import SEGMENT_LINES, BadLine, Record, Seal, line_id, parse_path
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.standing import Finding


class FileChange(Protocol):
    """One file of two trees: its bytes before and after (`store.Change` is one)."""

    @property
    def path(self) -> str:
        """Where it lies in the tree."""

    @property
    def old(self) -> bytes | None:
        """Its bytes before; None: it was not there."""

    @property
    def new(self) -> bytes | None:
        """Its bytes after; None: it is gone."""


class News:
    """What the lines of some files come to, before it is known what of it is sound.

    Args:
        base: the state behind which lines count; what lies beneath it is known, or is another's for a known place.
        whole: the files are read as wholes, and not only what they grew by.
        held: path -> what this node knows that a damaged file is to hold (`Ledger.mends`).

    Attributes:
        seals, records: what lies behind the base.
        old_seals: other seals beneath the base than those that are known.
        pairs: (new record beneath the base, the one that holds its place).
        files: path -> the change.
        bad: path -> lines that are to go.
        disorder: paths of files that are to be written anew.
        findings: path -> what is wrong there.
    """

    def __init__(self, base: State, *, whole: bool, held: Mapping[str, bytes | None]) -> None:
        self._base, self._whole, self._held = base, whole, held
        self.seals: list[Seal] = []
        self.records: list[Record] = []
        self.old_seals: list[Seal] = []
        self.pairs: list[tuple[Record, Record]] = []
        self.files: dict[str, FileChange] = {}
        self.bad: dict[str, set[bytes]] = {}
        self.disorder: set[str] = set()
        self.findings: dict[str, list[Finding]] = {}

    def found(self, finding: Finding, bad: bytes | None = None) -> None:
        """Note what is wrong; `bad`: a line that is to go."""
        self.findings.setdefault(finding.file, []).append(finding)
        if bad is None:
            self.disorder.add(finding.file)
        else:
            self.bad.setdefault(finding.file, set()).add(bad)

    def read(self, changes: Iterable[FileChange]) -> None:
        """Take in files, and, where they are read as wholes, what this node holds of those that are gone."""
        for change in changes:
            self._read_file(change)
        for path in [path for path in self._held if path not in self.files] if self._whole else ():
            self._read_file(Lacking(path))

    def _read_file(self, change: FileChange) -> None:
        parsed = parse_path(change.path)
        if parsed is None:
            self.found(Finding("RENDER", change.path, 0, "no file of a ledger has this name"))
            return
        self.files[change.path] = change
        log, first = parsed
        floor = self._base.epoch if log is None else self._base.heads.get(log, (0, ""))[0]
        position = _last_position(change)
        for number, line, finding in self._lines(change):
            if finding is not None:
                self.found(finding, None if finding.law in ("SEEN", "CHAIN") else line)
                continue
            try:
                item: Record | Seal = read_seal(line) if log is None else read_record(line)
                here = (item.epoch if isinstance(item, Seal) else item.seq, item.id)
                if not first <= here[0] < first + SEGMENT_LINES:
                    raise BadLine("RENDER", f"number {here[0]} lies in another file")
                if isinstance(item, Record) and item.log != log:
                    raise BadLine("CHAIN", f"a record of {item.log} in the file of {log}")
            except BadLine as bad:
                self.found(Finding(bad.law, change.path, number, bad.reason), line)
                continue
            if here <= position:
                reason = "out of order, or twice: lines are sorted by number and id"
                self.found(Finding("RENDER", change.path, number, reason))
            position = here
            if here[0] <= floor:
                self._beneath(item, change)
            elif isinstance(item, Seal):
                self.seals.append(item)
            else:
                self.records.append(item)

    def _lines(self, change: FileChange) -> Iterator[tuple[int, bytes, Finding | None]]:
        held = (self._held.get(change.path) or b"").split(b"\n")[:-1]
        for number, line, finding in added_lines(change):
            if not (finding and finding.law in ("SEEN", "CHAIN") and change.path in self._held and line not in held):
                yield number, line, finding  # else it was damage, and is gone
        if self._whole:
            there = set((change.new or b"").split(b"\n"))
            yield from ((0, line, None) for line in held if line not in there)

    def _beneath(self, item: Record | Seal, change: FileChange) -> None:
        """A line that is new, or read again, and whose place lies beneath the base."""
        if isinstance(item, Seal):
            if item.id != self._base.seal and not self._whole:
                self.old_seals.append(item)
        else:
            self.pairs += [(item, rival) for rival in self._rivals(item, change)]

    def _rivals(self, record: Record, change: FileChange) -> list[Record]:
        """The other records that hold the place which this one claims beneath the base."""
        held = self._held.get(change.path) or change.old
        same = [other for other in _records(held or change.new) if other.seq == record.seq]
        if not self._whole and record.id in {other.id for other in same}:
            return []  # it was lost, and somebody put it back
        if change.old is None:
            known = self._chain_in(change, record.log)
            same = [other for other in same if other.id in known] if record.id not in known else []
        return [other for other in same if other.id != record.id]

    def _chain_in(self, change: FileChange, log: str) -> set[str]:
        """The ids in a file that the base's head of a log leads back to."""
        at = {record.id: record for record in _records(change.new)}
        known, id_ = set[str](), self._base.heads[log][1]
        while id_ in at:
            known.add(id_)
            id_ = at[id_].prev
        return known


class Lacking(NamedTuple):
    """A file that a tree no longer has."""

    path: str
    old: bytes | None = None
    new: bytes | None = None


def _records(segment: bytes | None) -> list[Record]:
    """The records in a file's bytes, whoever signed them."""
    found = []
    for line in (segment or b"").split(b"\n"):
        try:
            found.append(read_record(line))
        except BadLine:
            continue
    return found


def beyond(state: State, path: str) -> bool:
    """Whether a file of this name may hold lines that lie behind a state, or that it does not know."""
    parsed = parse_path(path)
    if parsed is None:
        return True
    log, first = parsed
    known = state.epoch if log is None else state.heads.get(log, (0, ""))[0]
    return first + SEGMENT_LINES > known


def added_lines(change: FileChange) -> Iterator[tuple[int, bytes, Finding | None]]:
    """(line number, line, None) for each line that is new in a file; (number, line, finding) for what is wrong.

    Lines are never edited or deleted: one of the old file that is missing is a finding (laws CHAIN, SEEN).
    """
    old, new = change.old or b"", change.new or b""
    skipped = 0
    if new.startswith(old):
        skipped = old.count(b"\n")
        known: set[bytes] = set()
        rest = new[len(old) :]
    else:
        known = set(old.split(b"\n"))
        rest = new
        yield from _missing(change.path, old.split(b"\n")[:-1], set(new.split(b"\n")))
    lines = rest.split(b"\n")
    torn = lines.pop()
    for number, line in enumerate(lines, skipped + 1):
        if not known or line not in known:  # looking into an empty set hashes the whole line, too
            yield number, line, None
    if torn:
        number = skipped + len(lines) + 1
        yield number, torn, Finding("LINE", change.path, number, "the last line is torn: no newline ends it")


def _last_position(change: FileChange) -> tuple[int, str]:
    """Behind which (number, id) the lines that a file grew by must lie; where it did not just grow, none."""
    if not change.old or not (change.new or b"").startswith(change.old):
        return (0, "")
    line = change.old.rsplit(b"\n", 2)[-2]
    try:
        value = orjson.loads(line)
        return (value["epoch"] if value["kind"] == "seal" else value["seq"], line_id(line))
    except (ValueError, KeyError, TypeError):
        return (0, "")  # what stood there before was no line of a ledger


def _missing(path: str, old: Sequence[bytes], new: set[bytes]) -> Iterator[tuple[int, bytes, Finding]]:
    law, what = ("SEEN", "seal") if path.startswith("ledger/epochs/") else ("CHAIN", "record")
    for number, line in enumerate(old, 1):
        if line not in new:
            reason = f"a {what} that this node has seen was edited or deleted"
            yield number, line, Finding(law, path, number, reason)
