r"""The journal's lines: pure, bytes on one side and entries on the other.

Knows: the frame, the checksum, and which bad line can be an append that never finished.
Knows not: files (`journal`).

    dump([{"seq":12}])           # b'{"crc":"b8f1259f","entries":[{"seq":12}]}\n'
    read(dump([a, b]) + b"{")    # ([a, b], 51): all entries, and the bytes that hold them
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

Entry = dict[str, Any]
_HEAD: Final = b'{"crc":"'
_MIDDLE: Final = b'","entries":['
_BODY: Final = len(_HEAD) + 8 + len(_MIDDLE)


class Damaged(ValueError):
    """A line (counted from 1) is bad, and others follow it: no crash of ours leaves that."""

    def __init__(self, line: int) -> None:
        super().__init__(f"line {line} is damaged")
        self.line = line


def dump(entries: Iterable[Mapping[str, Any]]) -> bytes:
    """One append, as one line."""
    body = b",".join(orjson.dumps(entry, option=orjson.OPT_SORT_KEYS) for entry in entries)
    return _HEAD + b"%08x" % zlib.crc32(body) + _MIDDLE + body + b"]}\n"


def parse(line: bytes) -> list[Entry] | None:
    """The entries of a line without its newline; None where it is damaged. The frame is fixed, so every byte counts."""
    body = line[_BODY:-2]
    if line != _HEAD + b"%08x" % zlib.crc32(body) + _MIDDLE + body + b"]}":
        return None
    try:
        entries: list[Entry] = orjson.loads(b"[" + body + b"]")
    except ValueError:
        return None
    return entries


def read(data: bytes) -> tuple[list[Entry], int]:
    """The entries, and the bytes that hold them: all, or all but an unfinished last line.

    Raises:
        Damaged: another line than the last is bad.
    """
    entries: list[Entry] = []
    size = number = 0
    while (end := data.find(b"\n", size)) >= 0:
        number += 1
        found = parse(data[size:end])
        if found is None and end + 1 < len(data):
            raise Damaged(number)
        if found is None:
            break
        entries += found
        size = end + 1
    return entries, size
