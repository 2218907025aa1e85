"""Between a command and the mesh-sync of its node: a socket in the home, one JSON line each way.

Knows: how a request reaches a running mesh-sync and how an answer comes back.
Knows not: what an intent means.

    {"op":"ask","intent":{...}}                      -> {"answer":{...}}     when its verdict is there
    {"op":"belief","lease":"deploy","session":"s"}   -> {"left_ms":41000}    how long the holder may still act
"""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import orjson

from orxaq_mesh import errors
from orxaq_mesh.effects import Answer, Intent

MAX_REQUEST_BYTES = 256 * 1024
_FAMILIES = {
    family.code: family for family in (errors.MeshFault, errors.Usage, errors.Unreachable, errors.InvalidLedger)
}


def pack(answer: Answer) -> dict[str, Any]:
    """An answer as JSON."""
    value = {**answer._asdict(), "error": None}
    if (error := answer.error) is not None:
        value["error"] = {"code": error.code, "what": error.what, "hint": error.hint, "facts": error.facts}
    return value


def unpack(value: dict[str, Any]) -> Answer:
    """The answer behind what `pack` made."""
    error: errors.MeshError | None = None
    if told := value.pop("error"):
        family = _FAMILIES.get(told["code"], errors.MeshFault)
        facts = {key: inner for key, inner in told["facts"].items() if key != "findings"}
        error = family(told["what"], hint=told["hint"], **facts)
    return Answer(**value, error=error)


class Client:
    """A connection to a running mesh-sync; see `connect`."""

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def request(self, value: dict[str, Any], timeout_s: float | None) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            Unreachable: mesh-sync did not answer in time, or went away; what it signed is journalled.
        """
        self._stream.settimeout(timeout_s)
        try:
            self._stream.sendall(orjson.dumps(value) + b"\n")
            with self._stream.makefile("rb") as lines:
                line = lines.readline()
        except OSError as error:
            raise errors.Unreachable(f"mesh-sync did not answer: {error}", hint="mesh status") from None
        if not line.endswith(b"\n"):
            raise errors.Unreachable("mesh-sync went away before it answered", hint="mesh status")
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    def ask(self, intent: Intent, timeout_s: float | None) -> Answer:
        """Hand an intent over and wait for its verdict. Closing the connection cancels it."""
        return unpack(self.request({"op": "ask", "intent": intent._asdict()}, timeout_s)["answer"])

    def close(self) -> None:
        """Hang up."""
        self._stream.close()


def connect(path: Path) -> Client | None:
    """A client of the mesh-sync that listens here, or None where none does."""
    if not hasattr(socket, "AF_UNIX"):
        return None
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(str(path))
    except OSError:
        stream.close()
        return None
    return Client(stream)


def listen(path: Path) -> socket.socket:
    """The listening socket of a mesh-sync, 0600. The caller holds the `sync` lock: an old socket is a dead one's."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    path.chmod(0o600)
    server.listen(64)
    server.setblocking(False)
    return server
