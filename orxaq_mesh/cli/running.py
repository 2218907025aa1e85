"""A command that runs under a lease: `mesh lease run`.

Knows: its process group, the signals that are passed on, what the loss of the lease does to it.
Knows not: how the lease is kept (`holding`).
Laws: TIME (the holder stops believing before others may take over), FENCE (the token travels in the environment).

    run_under(mesh.lease("deploy", ttl=600), ["./deploy.sh"], stop=True)      # the command's exit code
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

from orxaq_mesh.cli.call import call
from orxaq_mesh.errors import InvalidLedger, MeshError, MeshFault, Refused, Unreachable

if TYPE_CHECKING:
    from orxaq_mesh.holding import Holding

LOST, NOT_GRANTED, NOT_IN_TIME, HUB, LEDGER, OTHER = range(120, 126)
STOP_GRACE_S = 10
"""Between asking the command to end (TERM) and ending it (KILL)."""
_LOOK_S = 0.5
_PASSED_ON = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH")


def run_under(holding: Holding, argv: Sequence[str], *, stop: bool) -> int:
    """Acquire, run, release; gives the command's exit code, or one of our own.

    Args:
        holding: the lease, not yet entered.
        argv: the command; no shell reads it.
        stop: whether its loss ends the command; else it is only warned about.
    """
    try:
        holding.__enter__()
    except MeshError as error:
        call().fail(error)
        return _code_of(error)
    try:
        call().note(f"{holding.name} is held, token {holding.token}")
        code = _run(holding, argv, stop=stop)
    except OSError as error:
        call().fail(MeshFault(f"cannot run {argv[0]}: {error.strerror or error}"))
        code = OTHER
    known_lost = holding.lost.is_set()
    try:
        holding.__exit__(None, None, None)
    except MeshError as error:
        call().warn(f"{holding.name} could not be given back, it frees itself after its ttl: {error.what}")
    return _late_loss(holding, code, stop=stop) if not known_lost and holding.lost.is_set() else code


def _late_loss(holding: Holding, code: int, *, stop: bool) -> int:
    """The command ended before the loss was noticed: part of what it did may have been done beside another holder."""
    call().warn(f"the lease {holding.name} was lost before the command ended: {holding.reason}")
    return LOST if stop else code


def _code_of(error: MeshError) -> int:
    if isinstance(error, Refused):
        return NOT_IN_TIME if error.facts.get("withdrawn") else NOT_GRANTED
    if isinstance(error, Unreachable):
        return HUB
    return LEDGER if isinstance(error, InvalidLedger) else OTHER


def _run(holding: Holding, argv: Sequence[str], *, stop: bool) -> int:
    from orxaq_mesh.home.process import environment

    with _signals() as relay:
        child = subprocess.Popen(argv, env={**environment(), **holding.environment()}, process_group=0)
        relay.to(child.pid)
        ended = threading.Event()
        threading.Thread(target=_await, args=(child, ended), daemon=True).start()
        with _terminal_for(child.pid):
            if _lost_before(holding, ended) and _tell_loss(holding, stop=stop):
                _end(child.pid, ended)
                return LOST
            ended.wait()
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _lost_before(holding: Holding, ended: threading.Event) -> bool:
    """Wait until the command ends or the lease is lost; whether it is the loss that came first."""
    while not ended.wait(_LOOK_S):
        if not holding.left_ms:
            return True
    return False


def _tell_loss(holding: Holding, *, stop: bool) -> bool:
    reason = holding.reason or "it could not be renewed in time"
    call().warn(f"the lease {holding.name} is lost: {reason}{'; stopping the command' if stop else ''}")
    return stop


def _await(child: subprocess.Popen[bytes], ended: threading.Event) -> None:
    child.wait()
    ended.set()


def _end(group: int, ended: threading.Event) -> None:
    """TERM, a grace, KILL; what the command started is in its group and goes with it."""
    _kill(group, signal.SIGTERM)
    _kill(group, signal.SIGCONT)
    if not ended.wait(STOP_GRACE_S):
        _kill(group, signal.SIGKILL)
        ended.wait()


def _kill(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


class _Relay:
    """Passes signals on to a process group, those too that came before there was one."""

    def __init__(self) -> None:
        self._group = 0
        self._early: list[int] = []

    def to(self, group: int) -> None:
        self._group = group
        for number in self._early:
            _kill(group, number)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if self._group:
            _kill(self._group, number)
        else:
            self._early.append(number)


@contextlib.contextmanager
def _signals() -> Iterator[_Relay]:
    """Relay what is sent to us; what we were started deaf to stays unheard."""
    relay = _Relay()
    numbers = [getattr(signal, name) for name in _PASSED_ON if hasattr(signal, name)]
    heeded = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [signal.signal(number, relay) for number in heeded]
    try:
        yield relay
    finally:
        for number, handler in zip(heeded, before, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def _terminal_for(group: int) -> Iterator[None]:
    """Where we stand in a terminal's foreground, the command does while it runs: Ctrl-C and reading are its own."""
    if not _in_foreground():
        yield
        return
    deaf = signal.signal(signal.SIGTTOU, signal.SIG_IGN)  # giving the terminal back is done from the background
    try:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(sys.stdin.fileno(), group)
            _kill(group, signal.SIGCONT)  # it may have read too early
        yield
    finally:
        with contextlib.suppress(OSError):
            os.tcsetpgrp(sys.stdin.fileno(), os.getpgrp())
        signal.signal(signal.SIGTTOU, deaf)


def _in_foreground() -> bool:
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):
        return False
