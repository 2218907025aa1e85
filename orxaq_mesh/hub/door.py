"""The first file that a hub's hook runs: asks the standby, else does the work itself.

Knows: how to ask a process that has everything loaded, in as few milliseconds as a process can live.
Knows not: anything of a ledger. It imports nothing but two modules of Python's core until it has to: an interpreter
without `site` starts in 8 ms, the rooms take 60.

    python -I -S door.py QUARANTINE OBJECTS ALTERNATES NODE USER <"old new ref"
"""

from __future__ import annotations

import os
import sys

SOCKET = "mesh/standby"
PATIENCE_S = 20.0
"""A standby that has not answered by then is passed by: the work is done here."""
MAX_FEED = 64 * 1024
"""Bytes that git may say of a push; of a longer one nothing is believed, and nothing moves."""


def main(arguments: list[str]) -> int:
    """The hook's exit code. The directory one stands in is the hub, as git has it."""
    feed = _read(0, MAX_FEED + 1)
    answer = _asked(arguments, feed)
    if answer is None:
        return _by_hand(arguments, feed)
    if refused := answer[:1] != b"0":
        os.write(2, answer[1:])
    return int(refused)


def stamp() -> str:
    """What tells this program from another version of it: a standby of another one is not believed."""
    info = os.stat(__file__)  # noqa: PTH116 - pathlib alone would double the time
    return f"{info.st_ino} {info.st_mtime_ns} {info.st_size} {sys.executable}"


def address() -> str:
    """Where the standby of this user listens, from the hub: a short name, whatever the hub's path."""
    return f"{SOCKET}-{os.geteuid()}" if hasattr(os, "geteuid") else ""


def _asked(arguments: list[str], feed: bytes) -> bytes | None:
    """The standby's answer: the exit code's digit, then what to say; None where there is no standby of this version."""
    try:
        import _socket

        wire = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    except (ImportError, AttributeError, OSError):
        return None
    try:
        wire.settimeout(PATIENCE_S)
        wire.connect(address())
        wire.sendall(b"\0".join([os.fsencode(word) for word in (stamp(), *arguments)] + [feed]))
        wire.shutdown(_socket.SHUT_WR)
        parts = []
        while part := wire.recv(65536):
            parts.append(part)
    except OSError:
        return None
    finally:
        wire.close()
    answer = b"".join(parts)
    return answer if answer[:1] in (b"0", b"1") and answer.endswith(b"\n") else None


def _by_hand(arguments: list[str], feed: bytes) -> int:
    import site

    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120
    site.main()
    from orxaq_mesh.hub.standby import receive

    return receive(arguments, feed)


def _read(file: int, limit: int) -> bytes:
    parts = []
    while limit > 0 and (part := os.read(file, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
