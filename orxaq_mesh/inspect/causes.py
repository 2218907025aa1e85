"""Which lines of a broken ledger are to blame.

Knows: that a reader stops at the first seal that does not stand, and calls every line behind it unproven. Here each line
is looked at by itself: is it signed by the key its log is named after, does it follow the line before it?
Knows not: which seals stand (`ledger`).

    causes(reading.findings, files, ledger_id)      # the reader's findings, and those of the lines themselves
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from orxaq_mesh.keys import PublicKey, namespace
from orxaq_mesh.kinds.node import log_of
from orxaq_mesh.record import BadLine, Record, Seal, parse_path
from orxaq_mesh.schema import read_line
from orxaq_mesh.standing import Finding, signature_holds
from orxaq_mesh.store import Change


class Line(NamedTuple):
    """One line where it stands. `chain` is the log, or "" for the spine; `item` is None where it is no line of ours."""

    chain: str
    file: str
    number: int
    first: int
    item: Record | Seal | None

    @property
    def place(self) -> tuple[str, int]:
        """File and line number."""
        return self.file, self.number


def lines_of(files: Iterable[Change]) -> list[Line]:
    """The lines of all files, chain by chain; a file without any is one line that is none."""
    found: list[Line] = []
    for file in files:
        log, first = parse_path(file.path) or (None, 0)
        texts = (file.new or b"").split(b"\n")[:-1]
        found += [Line(log or "", file.path, n, first + n - 1, _read(text)) for n, text in enumerate(texts, 1)]
        if not file.new:
            found.append(Line(log or "", file.path, 0, first, None))
    return sorted(found, key=lambda line: (line.chain, line.file, line.number))


def _read(text: bytes) -> Record | Seal | None:
    try:
        return read_line(text)
    except BadLine:
        return None


def causes(found: Sequence[Finding], files: Iterable[Change], ledger_id: str | None) -> list[Finding]:
    """The findings of a reading, with those of the lines themselves; of mere consequences one a log.

    Behind a broken line the rest of its log hangs in the air: to name each of those lines would hide the one.
    """
    if not found:
        return []
    lines = lines_of(files)
    to_blame = [*forged(lines, ledger_id), *broken_chains(lines)]
    places = {(finding.file, finding.line) for finding in to_blame}
    kept: list[Finding] = []
    told: set[str] = set()
    for finding in found:
        log = (parse_path(finding.file) or (None, 0))[0]
        if log is not None and finding.law == "CHAIN":
            if log in told and (finding.file, finding.line) not in places:
                continue
            told.add(log)
        kept.append(finding)
    known = {finding[:3] for finding in kept}
    return kept + [finding for finding in to_blame if finding[:3] not in known]


def broken_chains(lines: Sequence[Line]) -> Iterator[Finding]:
    """Each line that does not follow the one before it, in the spine and in each log (laws CHAIN, RENDER)."""
    for _, group in groupby(lines, key=lambda line: line.chain):
        chain = list(group)
        yield from (Finding("RENDER", line.file, 0, "an empty file") for line in chain if line.number == 0)
        yield from _strays(chain) if _is_parted(chain) else _gaps(chain)


def _is_parted(chain: Sequence[Line]) -> bool:
    """Whether two lines have one number, or numbers were skipped over another side: a fork is nobody's fault."""
    items = [line.item for line in chain if line.item is not None]
    numbers = {_link(item)[:2] for item in items}
    return len({number for number, _ in numbers}) < len(numbers) or any(isinstance(i, Seal) and i.over for i in items)


def _gaps(chain: Sequence[Line]) -> Iterator[Finding]:
    last: tuple[int, str] | None = None
    for line in chain:
        if line.item is None:
            last = None  # its own finding says why
            continue
        here = _link(line.item)
        before = last or ((line.first - 1, "") if line.number == 1 else None)
        if before and (broken := _break(before, here)):
            law, reason = broken
            yield Finding(law, *line.place, reason)
        last = here[:2]


def _strays(chain: Sequence[Line]) -> Iterator[Finding]:
    """Where the chain parted: what stands twice, and what follows a line that is not there."""
    ids = {line.item.id for line in chain if line.item is not None}
    told = set[str]()
    for line in chain:
        if line.item is None:
            continue
        number, id_, before = _link(line.item)
        if id_ in told:
            yield Finding("RENDER", *line.place, f"number {number} stands twice")
        elif number > 1 and before not in ids:
            yield Finding("CHAIN", *line.place, f"number {number} follows {before[:12]}, which is not there")
        told.add(id_)


def _link(item: Record | Seal) -> tuple[int, str, str]:
    """(number, id, id of the one before)."""
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


def forged(lines: Sequence[Line], ledger_id: str | None) -> Iterator[Finding]:
    """Each line whose signature is not that of the key behind its log (law SIG)."""
    items = [line.item for line in lines if line.item is not None]
    keys = _keys(items)
    space = _space(items, keys, ledger_id)
    if space is None:
        return
    for line in lines:
        key = keys.get(line.item.log) if line.item else None
        if line.item and key and not signature_holds(line.item.line, key, _own_space(line.item, space)):
            yield Finding("SIG", *line.place, f"the signature is not {key.fingerprint}'s over this line")


def _keys(items: Iterable[Record | Seal]) -> dict[str, PublicKey]:
    """The key of each log that some record names; a log bears its key's digest, so nobody can name another."""
    keys: dict[str, PublicKey] = {}
    for item in items:
        if isinstance(item, Record) and item.kind.startswith("node.") and not item.flaw:
            names = {"key": item.body.get("name", item.log.rpartition("-")[0]), "recovery": "recovery"}
            for field, name in names.items():
                try:
                    keys.setdefault(log_of(name, item.body[field]), PublicKey.parse(item.body[field]))
                except (KeyError, ValueError):
                    continue
    return keys


def _space(items: Sequence[Record | Seal], keys: dict[str, PublicKey], ledger_id: str | None) -> str | None:
    """The namespace of this ledger: the one in which any of its seals verifies; the genesis may be what is broken."""
    seals = [item for item in items if isinstance(item, Seal)][:3]
    ids = [ledger_id, *(item.id for item in items if _founds(item))]
    ids += [id_ for seal in seals if seal.epoch == 1 for _, id_ in seal.heads.values()]
    for space in dict.fromkeys(namespace(id_) for id_ in ids if id_):
        for seal in seals:
            if seal.log in keys and signature_holds(seal.line, keys[seal.log], space):
                return space
    return None


def _founds(item: Record | Seal) -> bool:
    return isinstance(item, Record) and item.kind == "node.found" and item.seq == 1


def _own_space(item: Record | Seal, space: str) -> str:
    return namespace(None) if _founds(item) else space
