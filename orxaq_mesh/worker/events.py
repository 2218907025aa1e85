r"""The events of one attempt, a JSON object a line, numbered without a gap: `exec.jsonl`.

Knows: how events are written so that each number is there once, and read while they are being written.
Knows not: processes. One worker writes a file at a time; any number may read it.

    {"at":"2026-11-20T09:30:00.000Z","event":"exec.begin","command":["make"],..,"seq":1,"step":"build","try":1}
    {"at":"2026-11-20T09:30:00.020Z","event":"exec.chunk",..,"seq":2,"step":"build","stream":"out","text":"cc\n"}
    {"at":"2026-11-20T09:30:09.000Z","code":0,"event":"exec.end","outcome":"exited",...,"seq":3,"step":"build"}
    {"at":"2026-11-20T09:30:09.010Z","event":"work.end","outcome":"succeeded","seq":4}

Every `exec.begin` is answered by one `exec.end` or `exec.retry`, unless the worker died; `work.end` is the last event.
A number is used up by a line that was written whole. What a worker that died wrote half is cut off by the next one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.clock import Clock, stamp
from orxaq_mesh.home.files import disk_fault, private_directory

FILE: Final = "exec.jsonl"
BEGIN, CHUNK, END, RETRY, LAST = "exec.begin", "exec.chunk", "exec.end", "exec.retry", "work.end"
Event = dict[str, Any]
_POLL_S: Final = 0.05
_MAX_LINE: Final = 1024 * 1024


class ExecutionLog:
    """Writes the events of one attempt; for `with`. Goes on where the file ends.

    Args:
        path: the file, in a directory of its own; both are made where they are missing.
        clock: for `at`.

    Raises:
        MeshFault: it cannot be opened, or what stands in it is no log of events.
    """

    def __init__(self, path: Path, clock: Clock | None = None) -> None:
        self.path, self.folder = path, private_directory(path.parent)
        self._clock = clock or Clock()
        self._lock = threading.Lock()
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
        except OSError as error:
            raise disk_fault("open", path, error) from error
        try:
            self._size, self.seq = _mend(self._fd, path)
        except OSError as error:
            os.close(self._fd)
            raise disk_fault("read", path, error) from error
        except MeshFault:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was written stays."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def append(self, event: str, **facts: Any) -> int:
        """Write one event, whole or not at all.

        Returns:
            Its number.

        Raises:
            MeshFault: the disk said no; the next event takes the same number.
        """
        with self._lock:
            line = {"at": stamp(self._clock.wall()), "event": event, "seq": self.seq + 1, **facts}
            data = orjson.dumps(line, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
            try:
                self._write(data)
            except OSError as error:
                raise disk_fault("write", self.path, error) from error
            self._size += len(data)
            self.seq += 1
            return self.seq

    def end(self, outcome: str, **facts: Any) -> int:
        """Write `work.end`: nothing follows, and who follows the file stops. See `append`."""
        return self.append(LAST, outcome=outcome, **facts)

    def _write(self, data: bytes) -> None:
        os.lseek(self._fd, self._size, os.SEEK_SET)
        try:
            if os.write(self._fd, data) != len(data):
                raise OSError("the disk took only a part of it")
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise


def _mend(fd: int, path: Path) -> tuple[int, int]:
    """Cut off a torn last line. Returns the file's size and the number of its last event."""
    size = os.fstat(fd).st_size
    start = max(0, size - _MAX_LINE)
    os.lseek(fd, start, os.SEEK_SET)
    data = _read(fd, size - start)
    whole = data.rfind(b"\n") + 1
    if whole == 0 and start:
        raise _no_log(path)
    if start + whole < size:
        os.ftruncate(fd, start + whole)
    last = data[:whole].rstrip(b"\n").rpartition(b"\n")[2]
    return start + whole, _number(last, path) if last else 0


def _read(fd: int, size: int) -> bytes:
    parts = []
    while size > 0 and (part := os.read(fd, size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _number(line: bytes, path: Path) -> int:
    try:
        seq = orjson.loads(line)["seq"]
    except (ValueError, TypeError, KeyError):
        raise _no_log(path) from None
    if not isinstance(seq, int):
        raise _no_log(path)
    return seq


def _no_log(path: Path) -> MeshFault:
    return MeshFault(
        f"{path} holds something else than events", hint="move it away; a new one is begun", file=str(path)
    )


def read(path: Path) -> Iterator[Event]:
    """The events that stand in a file now; none where there is no file. A torn last line is passed over.

    Raises:
        MeshFault: it cannot be read, or an event is damaged or missing.
    """
    done = threading.Event()
    done.set()
    return follow(path, done)


def follow(path: Path, stop: threading.Event) -> Iterator[Event]:
    """The events of a file as they come, from the first one on; waits for the file, too.

    Ends behind `work.end`, or once `stop` is set and all that stands in the file was given out.

    Raises:
        MeshFault: it cannot be read, or an event is damaged or missing.
    """
    seq = offset = 0
    doubted = b""
    while True:
        stopped = stop.is_set()  # asked before the file is: what was written until then is still given out
        for line in _lines(path, offset):
            event = _parse(line, seq + 1)
            if event is None:
                if line == doubted:
                    raise _damaged(path, seq + 1)
                # Half of it may be what a new worker cut off while it was read: only a line that stays so is damaged.
                doubted, stopped = line, False
                break
            offset, seq = offset + len(line), seq + 1
            yield event
            if event["event"] == LAST:
                return
        if stopped:
            return
        stop.wait(_POLL_S)


def _lines(path: Path, offset: int) -> Iterator[bytes]:
    """Whole lines only: what ends in no newline is still being written, or will be cut off."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while (line := file.readline()).endswith(b"\n"):
                yield line
    except FileNotFoundError:
        return
    except OSError as error:
        raise disk_fault("read", path, error) from error


def _parse(line: bytes, seq: int) -> Event | None:
    try:
        event: Event = orjson.loads(line)
        return event if event["seq"] == seq and isinstance(event["event"], str) else None
    except (ValueError, TypeError, KeyError):
        return None


def _damaged(path: Path, seq: int) -> MeshFault:
    return MeshFault(f"{path}: line {seq} is damaged, or event {seq} is missing", file=str(path), line=seq)
