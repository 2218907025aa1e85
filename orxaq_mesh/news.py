"""News: what the lines of some files come to, before it is known what of it is sound.

Knows: which lines are new, in which form and place they must be (laws LINE, RENDER), what lies behind a state and what
claims a place beneath it (law CHAIN).
Knows not: signatures, which seals stand (`spine`), what damaged files are to be (`ledger`).

    news = News(base, whole=False, sure={})
    news.read([Change("ledger/epochs/000000/0000000001.ndjson", None, b"...")])
    news.seals, news.records, news.findings
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

import orjson

from orxaq_mesh.kinds import State
from orxaq_mesh.record import SEGMENT_LINES, BadLine, Record, Seal, line_id, log_place, parse_path
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.standing import Finding

FULL_BYTES = 1 << 20
"""An honest segment of the spine is shorter; a store reads four times as much, and what is longer it refuses."""


MAX_TOLD = 100
"""So many findings of one law are told of a file."""


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
        sure: path -> what this node knows that a damaged file is to hold.

    Attributes:
        seals, records: what lies behind the base.
        old_seals, old_records: what is new and claims a place beneath the base.
        files: path -> the change; its `old` is what this node is sure of.
        bad: path -> lines that nobody is known to have signed, or that are no lines of a ledger.
        unknown: those of them whose author may yet become known.
        disorder: paths of files that did not just grow in order: they may have to be written anew.
        gone: paths of files that are no ledger's, and are gone.
        findings: path -> what is wrong there.
    """

    def __init__(self, base: State, *, whole: bool, sure: Mapping[str, bytes | None]) -> None:
        self._base, self._whole, self._sure = base, whole, sure
        self.seals: list[Seal] = []
        self.records: list[Record] = []
        self.old_seals: list[Seal] = []
        self.old_records: list[Record] = []
        self.files: dict[str, FileChange] = {}
        self.bad: dict[str, set[bytes]] = {}
        self.unknown: dict[str, set[bytes]] = {}
        self.disorder: set[str] = set()
        self.gone: set[str] = set()
        self.findings: dict[str, list[Finding]] = {}
        self._chains: dict[str, set[str]] = {}
        self._told: dict[tuple[str, str], set[int]] = {}
        self._places: dict[str, dict[int, dict[str, Record]]] = {}

    def came(self) -> set[str]:
        """The ids of all lines that are new, or may be."""
        new = {seal.id for seal in self.seals} | {record.id for record in self.records}
        old = {seal.id for seal in self.old_seals} | {record.id for record in self.old_records}
        return new if self._whole else new | old

    def put_off(self, path: str, line: bytes) -> None:
        """A line whose author may yet become known: nothing is said of it so far, and it stays where it is."""
        self.unknown.setdefault(path, set()).add(line)
        self.bad.setdefault(path, set()).add(line)

    def tell(self, finding: Finding) -> None:
        """Say what is wrong, once a line and law; of one law so many times a file, for a file may be all wrong (LIVE)."""
        told = self._told.setdefault((finding.file, finding.law), set())
        if len(told) > MAX_TOLD or (finding.line and finding.line in told):
            return
        if len(told) == MAX_TOLD:
            finding = Finding(finding.law, finding.file, 0, f"more than {MAX_TOLD} lines of this file are like that")
        told.add(finding.line or -len(told) - 1)
        self.findings.setdefault(finding.file, []).append(finding)

    def _is_told(self, path: str, law: str) -> bool:
        """Whether as much was said of a file and a law as ever is."""
        return len(self._told.get((path, law), ())) > MAX_TOLD

    def found(self, finding: Finding, bad: bytes | None = None) -> None:
        """Note what is wrong; `bad`: a line that is to go."""
        self.tell(finding)
        if bad is None:
            self.disorder.add(finding.file)
        else:
            self.bad.setdefault(finding.file, set()).add(bad)

    def is_full(self, path: str) -> bool:
        """Whether a file is so long that no more of what is of no use may stay in it (law LIVE)."""
        return path in self.files and len(self.files[path].new or b"") > FULL_BYTES

    def read(self, changes: Iterable[FileChange]) -> None:
        """Take in files, and, where they are read as wholes, what this node holds of those that are gone."""
        for change in changes:
            self._read_file(change)
        gone = [path for path in self._sure if path not in self.files and parse_path(path)] if self._whole else []
        for path in gone:
            self._read_file(Rest(path, None, None))

    def _read_file(self, change: FileChange) -> None:
        parsed = parse_path(change.path)
        if parsed is None:
            if change.new is None:
                self.gone.add(change.path)
            else:
                self.found(Finding("RENDER", change.path, 0, "no file of a ledger has this name"))
            return
        if change.path in self._sure:
            change = Rest(change.path, self._sure[change.path], change.new)
        self.files[change.path] = change
        if change.old and not (change.new or b"").startswith(change.old):
            self.disorder.add(change.path)
        if change.new == b"":
            self.found(Finding("RENDER", change.path, 0, "an empty file: no line is in it"))
        self._read_lines(change, *parsed)

    def _read_lines(self, change: FileChange, log: str | None, first: int) -> None:
        floor = self._base.epoch if log is None else self._base.heads.get(log, (0, ""))[0]
        position = (0, "") if self._whole else _last_position(change)
        for number, line, finding in self._lines(change):
            if finding is not None:
                self.found(finding)
            if finding is not None and finding.law != "LINE":
                continue
            if line in self.bad.get(change.path, ()):
                continue  # once more what was told already
            try:
                item, here = _item(line, log, first)
            except BadLine as bad:
                self.bad.setdefault(change.path, set()).add(line)
                if not self._is_told(change.path, bad.law):
                    self.tell(Finding(bad.law, change.path, number, bad.reason))
                continue
            if number and here <= position:
                reason = "out of order, or twice: lines are sorted by number and id"
                self.found(Finding("RENDER", change.path, number, reason))
            position = max(here, position)
            if here[0] <= floor:
                self._beneath(item, change)
            elif isinstance(item, Seal):
                self.seals.append(item)
            else:
                self.records.append(item)

    def _lines(self, change: FileChange) -> Iterator[tuple[int, bytes, Finding | None]]:
        """What is new and what is wrong in a file; of one that is read as a whole, every line that it has or lacks."""
        if not self._whole or not change.old:
            yield from added_lines(change)
            return
        lacking = [(line, finding) for _, line, finding in added_lines(change) if finding and finding.law != "LINE"]
        yield from added_lines(Rest(change.path, None, change.new))
        for line, finding in lacking:
            yield 0, line, finding
            yield 0, line, None

    def _beneath(self, item: Record | Seal, change: FileChange) -> None:
        """A line that is new, or read again, and whose place lies beneath the base."""
        if not self._whole and item.line + b"\n" in (change.old or b""):
            return  # it is there twice
        if isinstance(item, Record):
            if not self._whole or item.id not in self._chain_in(change, item.log):
                self.old_records.append(item)
        elif item.id != self._base.seal:
            self.old_seals.append(item)

    def claims(self, record: Record) -> Mapping[str, Record]:
        """The records in its file that claim the place of a record, by id; it is one of them."""
        path = log_place(record.log, record.seq).file
        places = self._places.get(path)
        if places is None:
            places = self._places[path] = {}
            for part in (self.files[path].old, self.files[path].new):
                for other in _records(part):
                    places.setdefault(other.seq, {})[other.id] = other
        return places[record.seq]

    def _chain_in(self, change: FileChange, log: str) -> set[str]:
        """The ids in a file that the base's head of a log leads back to."""
        known = self._chains.get(change.path)
        if known is None:
            at = {record.id: record for part in (change.old, change.new) for record in _records(part)}
            known, id_ = set[str](), self._base.heads[log][1]
            while id_ in at:
                known.add(id_)
                id_ = at[id_].prev
            self._chains[change.path] = known
        return known


def _item(line: bytes, log: str | None, first: int) -> tuple[Record | Seal, tuple[int, str]]:
    """What a line of a file is, and its number and id.

    Raises:
        BadLine: it is no line of this file.
    """
    item: Record | Seal = read_seal(line) if log is None else read_record(line)
    number = item.epoch if isinstance(item, Seal) else item.seq
    if not first <= number < first + SEGMENT_LINES:
        raise BadLine("RENDER", f"number {number} lies in another file")
    if isinstance(item, Record) and item.log != log:
        raise BadLine("CHAIN", f"a record of {item.log} in the file of {log}")
    return item, (number, item.id)


class Rest(NamedTuple):
    """A file of a tree, against what this node is sure that it is to hold."""

    path: str
    old: bytes | None
    new: bytes | None


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
