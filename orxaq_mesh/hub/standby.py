"""The work of the hook, and the process that stays behind for the next one.

Knows: how a push is answered; a socket in the hub, for the user who serves it alone.
Knows not: what is refused (`judging`). The standby is no server of ours: it is the last hook that ran, kept for five minutes.
Without it every push is judged just the same, by a process that must first load what the standby has loaded: 60 ms.

    receive(arguments, feed)       # the exit code; the words are on stderr
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path

from orxaq_mesh.errors import MeshError
from orxaq_mesh.home.process import environment
from orxaq_mesh.hub import door, receiving
from orxaq_mesh.hub.judging import Judge
from orxaq_mesh.hub.settings import FOLDER

IDLE_S = 300.0
LOOK_S = 1.0
"""So often the standby looks whether its socket is still its own."""
REST_S = 0.02
"""So long after an answer git has moved the ref, and what came is read: the next push need not. And once more later."""
MAX_ASKED = 4 * door.MAX_FEED
BACKLOG = 64


def receive(arguments: list[str], feed: bytes) -> int:
    """Judge a push for the hub that one stands in; then stay, in a process of its own, for the next."""
    judge = Judge(Path.cwd(), environment())
    answer = answered(judge, arguments, feed)
    if refused := answer[:1] != b"0":
        sys.stderr.buffer.write(answer[1:])
        sys.stderr.flush()
    if not _stay(judge):
        _rest(judge)
    return int(refused)


def answered(judge: Judge, arguments: list[str], feed: bytes) -> bytes:
    """The exit code's digit, then what is said, which ends in a newline."""
    try:
        findings = judge.judge(receiving.parse(arguments, feed))
    except MeshError as error:
        told = receiving.fault(error)
    except Exception as error:  # noqa: BLE001 - closed, and no traceback at whoever pushes
        told = [f"CLOSED: the hub cannot judge this push: {type(error).__name__}"]
    else:
        told = receiving.words(findings) if findings else []
    return b"%d%s\n" % (bool(told), "\n".join(told).encode())


def _stay(judge: Judge) -> bool:
    """Leave a process behind that answers the next pushes; whether that could be done."""
    if not hasattr(os, "fork") or not hasattr(socket, "AF_UNIX") or not os.access(FOLDER, os.W_OK):
        return False
    wire = _listening()
    if wire is None:
        return False
    if os.fork():
        wire.close()
        return True
    with contextlib.suppress(Exception):  # nobody is left to be told; the next hook works without
        _detach()
        serve(judge, wire)
    os._exit(0)


def _listening() -> socket.socket | None:
    """A socket at this user's address; it appears there in one step, listening."""
    fresh = f"{door.address()}.{os.getpid()}"
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        mask = os.umask(0o077)
        try:
            wire.bind(fresh)
        finally:
            os.umask(mask)
        wire.listen(BACKLOG)
        Path(fresh).replace(door.address())
    except OSError:
        wire.close()
        return None
    return wire


def _detach() -> None:
    """Leave the session and the streams of whoever pushes: nobody waits for this process."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)


def serve(judge: Judge, wire: socket.socket) -> None:
    """Answer until nobody has asked for five minutes, the address is another's, or a hook of another version asks."""
    own = Path(door.address()).stat().st_ino
    stamp, idle_s = door.stamp(), 0.0
    while idle_s < IDLE_S and _is_at(own):
        wait_s = LOOK_S if idle_s else REST_S
        wire.settimeout(wait_s)
        try:
            asking, _ = wire.accept()
        except TimeoutError:
            if idle_s < LOOK_S:
                _rest(judge)
            idle_s += wait_s
            continue
        idle_s = 0.0
        with asking:
            asking.settimeout(LOOK_S)
            with contextlib.suppress(OSError):  # who asked has left; it is the hook's to do the work itself
                if not _answer(judge, asking, stamp):
                    break
    if _is_at(own):
        Path(door.address()).unlink()


def _answer(judge: Judge, asking: socket.socket, stamp: str) -> bool:
    """Answer one hook; False where it is of another version: then this process is one too many."""
    parts: list[bytes] = []
    while part := asking.recv(65536):
        parts.append(part)
        if sum(map(len, parts)) > MAX_ASKED:
            return True
    version, *words, feed = b"".join(parts).split(b"\0")
    if os.fsdecode(version) != stamp:
        return False
    asking.sendall(answered(judge, [os.fsdecode(word) for word in words], feed))
    return True


def _rest(judge: Judge) -> None:
    """Between two pushes: read what has come to the trunk, so that the next one need not."""
    with contextlib.suppress(MeshError, OSError):
        judge.catch_up()


def _is_at(own: int) -> bool:
    try:
        return Path(door.address()).stat().st_ino == own
    except OSError:
        return False
