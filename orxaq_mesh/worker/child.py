"""A command that runs: started in a session of its own, listened to, and brought to an end with all that it started.

Knows: pipes, terminals, threads that read, and the order in which a session ends.
Knows not: events, receipts, what the command is for.

    child = Child(("make", "all"), checkout, environment, outputs, pty=False, clock=Clock())
    outcome = child.watch(stop, limit_ms=600_000)      # "exited", "timeout" or "stopped"
    child.finish(outcome, grace_ms=5_000)              # nobody of its session is left
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import queue
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from orxaq_mesh.home.clock import Clock
from orxaq_mesh.worker import group
from orxaq_mesh.worker.output import Output
from orxaq_mesh.worker.step import EXITED, NOT_FOUND, NOT_RUNNABLE, STOPPED, TIMEOUT, CannotStart

LEFT_GRACE_MS: Final = 500
"""What is left of a session whose leader has ended by itself has so long; so have streams that somebody still holds."""
_TICK_S: Final = 0.05
_TELL_MS: Final = 100
_PART: Final = 64 * 1024
_QUEUE_PARTS: Final = 16
_PARTS_ON_THE_WAY: Final = 2 * _QUEUE_PARTS
"""More than queue, pumps and pipes hold together: so much may have been said before the end and not been heard yet."""
_ROWS_COLUMNS: Final = (24, 80)
_OF_THE_MACHINE: Final = frozenset(
    getattr(errno, name, -1) for name in "EAGAIN ENOMEM ETXTBSY EMFILE ENFILE ENOSPC EDQUOT EIO EINTR".split()
)


class NoProgram(Exception):
    """The command cannot be run, here and now or ever: `code` is what a shell would have exited with."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code, self.why = code, why


class Child:
    """A running command.

    Args:
        command: program and arguments.
        folder: where it runs.
        environment: all of its environment.
        outputs: take in its streams: stdout first; on a terminal there is only the first.
        pty: whether it runs on a terminal.
        clock: for limits and durations.

    Attributes:
        held: the numbers of the streams that somebody still holds, once it is finished.
        whole: whether nobody of its session is left, once it is finished.

    Raises:
        NoProgram: there is no such program, or it cannot be run.
        CannotStart: the machine could not; another try may do.
    """

    def __init__(
        self,
        command: tuple[str, ...],
        folder: Path,
        environment: Mapping[str, str],
        outputs: tuple[Output, ...],
        *,
        pty: bool,
        clock: Clock,
    ) -> None:
        self._clock, self._outputs = clock, outputs
        self._parts: queue.Queue[tuple[int, bytes]] = queue.Queue(_QUEUE_PARTS)
        self._pumps: list[_Pump] = []
        self._begun_ms = self._told_ms = clock.now_ms()
        self._ended_ms: int | None = None
        self._process = self._start(command, folder, environment, pty=pty)
        self._open = set(range(len(self._pumps)))
        self.held: frozenset[int] = frozenset()
        self.whole = True

    @property
    def pid(self) -> int:
        """The command's process, and its session."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code; -n where signal n ended it; None as long as it runs."""
        return self._process.returncode

    @property
    def duration_ms(self) -> int:
        """From its start until it was seen to have ended."""
        return (self._clock.now_ms() if self._ended_ms is None else self._ended_ms) - self._begun_ms

    def watch(self, stop: threading.Event, limit_ms: int) -> str:
        """Listen until the command ends, its time is up, or `stop` is set."""
        until = self._begun_ms + limit_ms
        while not self._has_ended():
            if stop.is_set():
                return STOPPED
            if self._clock.now_ms() >= until:
                return TIMEOUT
            if self._open:
                self._listen(_TICK_S)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_TICK_S)
        return EXITED

    def finish(self, outcome: str, grace_ms: int) -> None:
        """End whoever is left of the session, and hear what they still say; both in bounded time."""
        if outcome == EXITED:
            self._hear_out()  # a `tee` of a shell's is a moment behind it
            grace_ms = min(grace_ms, LEFT_GRACE_MS)
        if outcome != EXITED or group.living(self.pid):
            self.whole = group.end(self.pid, grace_ms, self._clock, self._listen_and_note)
            self._hear_out()
        with contextlib.suppress(subprocess.TimeoutExpired):  # who sleeps in the kernel is not waited for
            self._process.wait(LEFT_GRACE_MS / 1000)
        self._has_ended()
        self._leave()

    def kill(self) -> None:
        """End everybody at once; for a worker that is itself interrupted."""
        group.end(self.pid, 0, self._clock, self._listen_and_note)
        self._leave()

    def _start(
        self, command: tuple[str, ...], folder: Path, environment: Mapping[str, str], *, pty: bool
    ) -> subprocess.Popen[bytes]:
        more: dict[str, Any] = {"start_new_session": True}
        try:
            reads, writes = _terminal() if pty else _pipes()
        except OSError as error:
            raise CannotStart(f"cannot make {'a terminal' if pty else 'a pipe'}: {error.strerror or error}") from error
        try:
            self._pumps = [_Pump(number, fd, self._parts) for number, fd in enumerate(reads)]
            for pump in self._pumps:
                pump.start()
            if pty:
                more |= {"stdin": writes[0], "preexec_fn": _own_the_terminal()}
            return subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                **{"stdin": subprocess.DEVNULL, "stdout": writes[0], "stderr": writes[-1], **more},
            )
        except OSError as error:
            raise _fault(command[0], error) from error
        except (RuntimeError, subprocess.SubprocessError) as error:
            raise CannotStart(f"cannot start {command[0]!a}: {error}") from error
        finally:
            for fd in writes:
                os.close(fd)
            for pump in self._pumps:
                pump.close_unless_started()

    def _listen(self, timeout_s: float) -> None:
        """Take in one part of what is said; tell what waits if nothing more was said, or long enough ago."""
        with contextlib.suppress(queue.Empty):
            number, data = self._parts.get(timeout_s > 0, timeout_s)
            if data:
                self._outputs[number].feed(data)
            else:
                self._open.discard(number)
        now = self._clock.now_ms()
        if now - self._told_ms >= _TELL_MS:
            self._told_ms = now
            for output in self._outputs:
                output.flush()

    def _listen_and_note(self, timeout_s: float) -> None:
        self._listen(timeout_s)
        self._has_ended()

    def _has_ended(self) -> bool:
        """Whether the command itself has; the first time that it is seen is when it did."""
        if self._ended_ms is None and self._process.poll() is not None:
            self._ended_ms = self._clock.now_ms()
        return self._ended_ms is not None

    def _hear_out(self) -> None:
        """Listen until the streams end, or their time is up and what was said before that is heard."""
        until, late = self._clock.now_ms() + LEFT_GRACE_MS, 0
        while self._open and (self._clock.now_ms() < until or (late < _PARTS_ON_THE_WAY and not self._parts.empty())):
            late += self._clock.now_ms() >= until
            self._listen(_TICK_S)

    def _leave(self) -> None:
        """Let go of streams that somebody outside the session holds: they are read on, into nothing."""
        for pump in self._pumps:
            pump.left.set()
        while not self._parts.empty():  # a pump that waits to hand over finds room, once
            self._listen(0)
        self.held = frozenset(self._open)


class _Pump(threading.Thread):
    """Reads one stream to its end and closes it; waits while nobody takes what it has read, and so does the command."""

    def __init__(self, number: int, fd: int, parts: queue.Queue[tuple[int, bytes]]) -> None:
        super().__init__(name=f"stream-{number}", daemon=True)
        self._number, self._fd, self._parts = number, fd, parts
        self.left = threading.Event()

    def run(self) -> None:
        """The thread's work; an empty part is the end."""
        with contextlib.suppress(OSError):  # on Linux the end of a terminal is EIO
            while part := os.read(self._fd, _PART):
                self._hand_over(part)
        os.close(self._fd)
        self._hand_over(b"")

    def close_unless_started(self) -> None:
        """Close the stream of a thread for which the machine had no room."""
        if self.ident is None:
            os.close(self._fd)

    def _hand_over(self, part: bytes) -> None:
        if not self.left.is_set():
            self._parts.put((self._number, part))


def _pipes() -> tuple[list[int], list[int]]:
    """Two pipes: the ends that are read, and the ends that are written to."""
    out = os.pipe()
    try:
        err = os.pipe()
    except OSError:
        os.close(out[0])
        os.close(out[1])
        raise
    return [out[0], err[0]], [out[1], err[1]]


def _terminal() -> tuple[list[int], list[int]]:
    """A terminal: our side of it, and the command's, 80 columns by 24 rows."""
    if os.name != "posix":
        raise OSError(errno.ENOSYS, "this system has no such terminals")
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, _ROWS_COLUMNS)
    return [ours], [theirs]


def _own_the_terminal() -> Callable[[], Any]:
    """Makes stdin the session's own terminal (`/dev/tty`, and a hang-up at the end).

    It runs between fork and exec, where almost nothing is allowed: one call of the system, bound beforehand.
    """
    import fcntl
    import termios

    return functools.partial(fcntl.ioctl, 0, termios.TIOCSCTTY, 0)


def _fault(program: str, error: OSError) -> CannotStart | NoProgram:
    what = f"cannot start {program!a}: {error.strerror or error}"
    if error.errno in _OF_THE_MACHINE:
        return CannotStart(what)
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    return NoProgram(NOT_FOUND if missing else NOT_RUNNABLE, what)
