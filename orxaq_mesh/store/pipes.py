"""A running process and its three streams, brought to an end: in time, within bounds, with nothing left behind.

Knows: deadlines, output limits, process groups (trap B11).
Knows not: git, or how the process was started; it leads a group of its own.

    ran = finish(process, feed=b"", timeout_ms=30_000)      # Ran(code=0, out=b"...", err=b"", late=False, cut=False)
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO

from orxaq_mesh.store.answers import Ran

MAX_OUTPUT = 16 * 1024 * 1024
_LAST_WORDS_S = 2.0


def finish(process: subprocess.Popen[bytes], feed: bytes, timeout_ms: int) -> Ran:
    """Feed a process and wait for its end; kill its whole group when it takes or says too much."""
    late, cut = threading.Event(), threading.Event()

    def stop() -> None:
        late.set()
        end(process)

    timer = threading.Timer(timeout_ms / 1000, stop)
    timer.start()
    out, err = Drain(process, process.stdout, cut), Drain(process, process.stderr, cut)
    try:
        _feed(process, feed)
        process.wait()
        # A hook at a hub on this disk may leave a child behind that holds the streams: it is not waited for.
        out.join(_LAST_WORDS_S)
        err.join(_LAST_WORDS_S)
    finally:
        timer.cancel()
        end(process)
        process.wait()
    return Ran(process.returncode, out.bytes(), err.bytes(), late.is_set(), cut.is_set())


def _feed(process: subprocess.Popen[bytes], feed: bytes) -> None:
    if process.stdin:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(feed)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its whole group, if it still runs; safe to call at any time."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


class Drain(threading.Thread):
    """Reads one stream to its end and closes it, so that nobody blocks; ends who writes more than `MAX_OUTPUT`."""

    def __init__(
        self, process: subprocess.Popen[bytes], stream: IO[bytes] | None, cut: threading.Event | None = None
    ) -> None:
        super().__init__(daemon=True)
        self._process, self._stream, self._cut = process, stream, cut or threading.Event()
        self._parts: list[bytes] = []
        self.start()

    def run(self) -> None:
        """The thread's work."""
        size = 0
        with contextlib.suppress(ValueError, OSError):
            while self._stream and (part := os.read(self._stream.fileno(), 65536)):
                size += len(part)
                if size > MAX_OUTPUT:
                    self._cut.set()
                    end(self._process)
                    break
                self._parts.append(part)
        if self._stream:
            self._stream.close()

    def bytes(self) -> bytes:
        """What was read until now."""
        return b"".join(self._parts)
