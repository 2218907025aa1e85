r"""What a command says: all of it hashed and counted, its end kept, most of it in a file, and live in the events.

Knows: bytes of one stream, bounds, and where a character ends.
Knows not: processes, or who reads.

    output = Output("out", path, tell=print)
    output.feed(b"gr\xc3\xbcn")
    output.end(held=False).tail                  # "grün"
"""

from __future__ import annotations

import codecs
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

TAIL_BYTES: Final = 64 * 1024
FILE_BYTES: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 8 * 1024
TOLD_BYTES: Final = 16 * 1024 * 1024
"""Bytes of one stream that become events; what is beyond is in the file, as far as that goes."""
_CARRIED: Final = 3
"""Bytes of a character that wait for its last one."""


class Stream(NamedTuple):
    """One stream at its end.

    Attributes:
        tail: its last 64 KiB as text, beginning with a whole character; bytes that are no UTF-8 became U+FFFD.
        truncated: whether something stood before the tail.
        size: bytes in all.
        sha256: of all of them.
        file: name of the file beside the events that holds them; empty where the command was never started.
        cut: whether the file, and the events, hold less than that: a bound was reached, or the disk was full.
        held: whether a process that had left the session still held the stream; what it says later is not here.
    """

    tail: str = ""
    truncated: bool = False
    size: int = 0
    sha256: str = hashlib.sha256().hexdigest()
    file: str = ""
    cut: bool = False
    held: bool = False


class Tail:
    """The last bytes of a stream.

    Args:
        limit: how many.
    """

    def __init__(self, limit: int = TAIL_BYTES) -> None:
        self._limit, self._kept = limit, bytearray()
        self.size = 0

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        self.size += len(data)
        self._kept += data[-self._limit :]
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    @property
    def truncated(self) -> bool:
        """Whether the stream was longer than the limit."""
        return self.size > self._limit

    def text(self) -> str:
        """The tail as text. A character that the cut went through is left out, so it is at most `limit` bytes."""
        last = bytes(self._kept[-self._limit :])
        return (last[_rest_of_character(last) :] if self.truncated else last).decode("utf-8", "replace")


def _rest_of_character(data: bytes) -> int:
    """How many bytes at the beginning belong to a character that began before."""
    for at, byte in enumerate(data[:_CARRIED]):
        if not 0x80 <= byte < 0xC0:
            return at
    return min(len(data), _CARRIED)


class Output:
    """Takes in one stream of a command.

    Args:
        name: `out` or `err`.
        path: the file that holds all of it, up to `limit`; it is made with the first byte.
        tell: is given the stream as text, piece by piece, each from at most 8 KiB of it and of whole characters.
            It answers whether it could pass it on.
        limit: bytes of the file.
    """

    def __init__(self, name: str, path: Path, tell: Callable[[str, str], bool], limit: int = FILE_BYTES) -> None:
        self.name = name
        self._path, self._tell, self._limit = path, tell, limit
        self._tail, self._hash = Tail(), hashlib.sha256()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = bytearray()
        self._told = 0
        self._fd = -1
        self._file_open = self._telling = True
        self._cut = False

    def feed(self, data: bytes) -> None:
        """More of the stream."""
        if self._file_open:
            self._keep(data, self._limit - self._tail.size)
        self._tail.feed(data)
        self._hash.update(data)
        if self._telling:
            self._waiting += data
            if len(self._waiting) >= CHUNK_BYTES:
                self.flush()

    def flush(self) -> None:
        """Tell what waits to be told, up to its last whole character."""
        self._pass_on(final=False)

    def end(self, *, held: bool) -> Stream:
        """Close the file, and say what the stream was."""
        self._pass_on(final=True)
        self._close()
        size = self._tail.size
        return Stream(
            tail=self._tail.text(),
            truncated=self._tail.truncated,
            size=size,
            sha256=self._hash.hexdigest(),
            file=self._path.name if size else "",
            cut=self._cut,
            held=held,
        )

    def _pass_on(self, *, final: bool) -> None:
        step = CHUNK_BYTES - _CARRIED
        pieces = [bytes(self._waiting[at : at + step]) for at in range(0, len(self._waiting), step)]
        self._waiting.clear()
        for at, piece in enumerate(pieces or [b""] * final):
            text = self._decoder.decode(piece, final=final and at >= len(pieces) - 1)
            if self._telling and text:
                self._told += len(piece)
                self._telling = self._tell(self.name, text) and self._told < TOLD_BYTES
                self._cut |= not self._telling

    def _keep(self, data: bytes, room: int) -> None:
        """Write to the file. A full disk ends the file, not the command."""
        try:
            if self._fd < 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
                self._fd = os.open(self._path, flags, 0o600)
            _write(self._fd, data[:room])
            if len(data) > room:
                _write(self._fd, f"\n[cut: the first {self._limit} bytes are above]\n".encode())
        except OSError:
            self._cut = True
        self._cut |= len(data) > room
        if self._cut:
            self._close()

    def _close(self) -> None:
        self._file_open = False
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
