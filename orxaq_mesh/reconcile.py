"""Union and rendering: from sets of lines to files, the same bytes on every machine.

Knows: how lines lie in files (law RENDER): one segment of 32 a file, sorted by number and id, each line once.
Knows not: what a line means, who signed it, where files come from. Only sound lines are handed in (`ledger`).
Laws: SET, RENDER. Union is commutative, associative and idempotent, and so is what is built on it.

    files = render(read, records, seals)     # path -> the whole new file, only for files that change
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import orjson

from orxaq_mesh.record import Record, Seal, epoch_place, line_id, log_place


def union(*segments: bytes) -> bytes:
    """One segment that has every line of these segments once, sorted by (number, id)."""
    lines = {line for segment in segments for line in segment.split(b"\n") if line}
    return b"".join(line + b"\n" for line in sorted(lines, key=_position))


def poured(*segments: bytes | None) -> bytes:
    """The union of segments that may hold anything: what is no line of a ledger is left out."""
    lines = {line for segment in segments for line in (segment or b"").split(b"\n") if _is_line(line)}
    return union(*lines)


def _is_line(line: bytes) -> bool:
    try:
        number, _ = _position(line)
    except (ValueError, KeyError, TypeError):
        return False
    return type(number) is int


def capped(lines: Iterable[bytes], sealed: Container[str]) -> bytes:
    """One segment of a log with at most two lines a number: those first that a seal took in, then the lower ids.

    Whatever order the lines came in, and however often: the same two stay (law SET).
    """
    by_number: dict[int, list[bytes]] = {}
    for line in set(lines):
        by_number.setdefault(_position(line)[0], []).append(line)
    kept = []
    for same in by_number.values():
        same.sort(key=lambda line: (line_id(line) not in sealed, line_id(line)))
        kept += same[: max(2, sum(line_id(line) in sealed for line in same))]
    return union(*kept)


def _position(line: bytes) -> tuple[int, str]:
    value = orjson.loads(line)
    return value["epoch"] if value["kind"] == "seal" else value["seq"], line_id(line)


def render(
    read: Callable[[str], bytes | None], records: Iterable[Record], seals: Iterable[Seal] = ()
) -> dict[str, bytes]:
    """The files that hold these records and seals beside what `read` finds in the old tree.

    Args:
        read: path -> the old file's bytes, or None.

    Returns:
        Path -> the whole new file; files that would not change are left out.
    """
    added: dict[str, list[bytes]] = {}
    for record in records:
        added.setdefault(log_place(record.log, record.seq).file, []).append(record.line)
    for seal in seals:
        added.setdefault(epoch_place(seal.epoch).file, []).append(seal.line)
    files = {}
    for path, lines in sorted(added.items()):
        old = read(path) or b""
        new = poured(old, *lines)  # the old tree may be damaged, and what is no line stays behind
        if new != old:
            files[path] = new
    return files
