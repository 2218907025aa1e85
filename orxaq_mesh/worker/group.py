"""Everybody whom a command started: found by their session, and ended whole.

Knows: sessions and process groups. A command leads a session of its own; whoever makes a group in it (`timeout` does,
and a shell with job control) is still found, and whoever makes a session of its own (`setsid`, a daemon) has left and
is not.
Knows not: why somebody is to end, and how long they may take.

    living(4711)                                 # True: somebody of the session that 4711 leads, or led, still lives
    end(4711, 5_000, Clock(), time.sleep)        # TERM, then KILL to those who are still there
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from orxaq_mesh.home.clock import Clock

_PROC: Final = Path("/proc")
_HAS_PROC: Final = (_PROC / "self/stat").exists()
_PS_TIMEOUT_S: Final = 5
_KILL: Final = getattr(signal, "SIGKILL", signal.SIGTERM)
_POLL_S: Final = 0.01
_KILLED_WITHIN_MS: Final = 5_000
"""A process that sleeps in the kernel dies when it wakes; it is not waited for without end."""


def end(session: int, grace_ms: int, clock: Clock, wait: Callable[[float], object]) -> bool:
    """TERM to everybody in a session, KILL to whoever lives after the grace; again, for those just being born.

    Args:
        session: the pid of its leader, who may have ended.
        grace_ms: between the two; 0 is KILL at once.
        clock: measures it.
        wait: lets so many seconds pass, or fewer.

    Returns:
        Whether nobody is left. Another user's process, or one that sleeps in the kernel, may be.
    """
    if grace_ms:
        _signal(session, signal.SIGTERM)
        if os.name == "posix":
            _signal(session, signal.SIGCONT)  # who was stopped cannot end
    until = clock.now_ms() + grace_ms
    while clock.now_ms() < until and living(session):
        wait(_POLL_S)
    until = clock.now_ms() + _KILLED_WITHIN_MS
    while living(session) and clock.now_ms() < until:
        _signal(session, _KILL)
        wait(_POLL_S)
    return not living(session)


def living(session: int) -> bool:
    """Whether anybody in the session lives; the dead that nobody has buried yet do not count."""
    return any(True for _ in _groups(session))


def _signal(session: int, number: int) -> None:
    for group in set(_groups(session)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                os.killpg(group, number)
            else:
                os.kill(group, number)  # there any signal ends it at once


def _groups(session: int) -> Iterator[int]:
    """The process group of each living member of a session."""
    if os.name != "posix":
        return _alone(session)
    return _from_proc(session) if _HAS_PROC else _from_ps(session)


def _alone(pid: int) -> Iterator[int]:
    """Where there are no sessions a command stands for itself alone."""
    from orxaq_mesh.home.process import identify

    if identify(pid):
        yield pid


def _from_proc(session: int) -> Iterator[int]:
    for name in os.listdir(_PROC):  # noqa: PTH208 - a Path for each takes longer than the look
        if not name.isdecimal() or _session_of(int(name)) != session:
            continue
        with contextlib.suppress(OSError):
            # The name stands in parentheses and may hold spaces and parentheses itself.
            state, _parent, group = (_PROC / name / "stat").read_bytes().rpartition(b")")[2].split()[:3]
            if state not in (b"Z", b"X"):
                yield int(group)


def _from_ps(session: int) -> Iterator[int]:
    """For systems without /proc: `ps` names the living, the system itself their sessions."""
    command = ["ps", "-A", "-o", "pid=,pgid=,stat="]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PS_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    for line in done.stdout.split(b"\n"):
        words = line.split()
        if len(words) == 3 and not words[2].startswith(b"Z") and _session_of(int(words[0])) == session:
            yield int(words[1])


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1
