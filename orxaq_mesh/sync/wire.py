"""Between a command and the mesh-sync of its node: a socket in the home, one JSON line each way.

Knows: how a request reaches a running mesh-sync and how an answer comes back; the type of every field of a request,
for whatever writes to the socket must not become a fault of mesh-sync.
Knows not: what an intent means.

    {"op":"ask","intents":[{...}, ...]}              -> {"id":"...","answer":{...}}, a line each, when its verdict is there
    {"op":"belief","lease":"deploy","session":"s"}   -> {"left_ms":41000}    how long the holder may still act
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from orxaq_mesh import errors
from orxaq_mesh.effects import Answer, Intent
from orxaq_mesh.record import MAX_INT, type_flaw

MAX_REQUEST_BYTES = 32 * 1024 * 1024
MAX_INTENTS = 4096
MAX_PID = 2**31 - 1
MAX_WORD = 1024
_WORDS = frozenset({"lease", "session", "name", "log", "once", "record"})
_FAMILIES = {
    family.code: family for family in (errors.MeshFault, errors.Usage, errors.Unreachable, errors.InvalidLedger)
}


class Belief(NamedTuple):
    """Asks how long a session may still act under a lease."""

    lease: str
    session: str


def read_request(line: bytes) -> list[Intent] | Belief:
    """What one line asks for.

    Raises:
        ValueError: a field is missing, unknown or of another type.
    """
    request = _object(orjson.loads(line), "the request")
    op = request.pop("op", None)
    if op == "ask":
        _only(request, {"intents"})
        asked = request["intents"]
        if type(asked) is not list or not 0 < len(asked) <= MAX_INTENTS:
            raise ValueError(f"intents is no list of 1 to {MAX_INTENTS}")
        intents = [intent_of(each) for each in asked]
        if len({intent.id for intent in intents}) < len(intents):
            raise ValueError("two intents have one id")
        return intents
    if op != "belief":
        raise ValueError(f"no such op: {str(op)[:40]!a}")
    _only(request, set(Belief._fields))
    return Belief(_text(request, "lease"), _text(request, "session"))


def intent_of(value: object) -> Intent:
    """The intent that a caller sent, every field of it of its type.

    Raises:
        ValueError: it is none.
    """
    fields = _object(value, "an intent")
    _only(fields, set(Intent._fields))
    _text(fields, "id")
    _text(fields, "kind")
    _check_wish(_object(fields["wish"], "wish"))
    if type(fields["wait"]) is not bool:
        raise ValueError("wait is no boolean")
    if fields["owner"] is not None and owner_of(fields["owner"]) is None:
        raise ValueError("owner is no process: null, or [pid, start, boot]")
    if not _is_moment(fields["asked_ms"]):
        raise ValueError("asked_ms is no integer")
    if fields["deadline_ms"] is not None and not _is_moment(fields["deadline_ms"]):
        raise ValueError("deadline_ms is no integer, and not null")
    return Intent(**fields)


def owner_of(value: object) -> list[Any] | None:
    """The process on whose behalf a lease is renewed, as plain JSON; None for whatever names no process."""
    match value:
        case [int(pid), str(), str()] if type(pid) is int and 0 < pid <= MAX_PID:
            return list(value)
    return None


def _check_wish(wish: dict[str, Any]) -> None:
    """What is asked of a wish before the kind's own schema is: that its words are words."""
    if flaw := type_flaw(wish):
        raise ValueError(f"wish: {flaw}")
    for field in _WORDS & wish.keys():
        _text(wish, field)
    if "under" in wish:
        under = _object(wish["under"], "under")
        for field in _WORDS & under.keys():
            _text(under, field)


def _object(value: object, what: str) -> dict[str, Any]:
    if type(value) is not dict:
        raise ValueError(f"{what} is no object")
    return value


def _only(value: Mapping[str, Any], fields: set[str]) -> None:
    if odd := sorted(value.keys() ^ fields):
        raise ValueError(f"{'missing' if odd[0] in fields else 'unknown'} field: {odd[0][:40]!a}")


def _text(value: Mapping[str, Any], field: str) -> str:
    text = value[field]
    if type(text) is not str or len(text) > MAX_WORD:
        raise ValueError(f"{field} is no string of at most {MAX_WORD} characters")
    return text


def _is_moment(value: object) -> bool:
    return type(value) is int and abs(value) <= MAX_INT


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
        return next(self._answers(value, timeout_s))

    def _answers(self, value: dict[str, Any], timeout_s: float | None) -> Iterator[dict[str, Any]]:
        self._stream.settimeout(timeout_s)
        try:
            self._stream.sendall(orjson.dumps(value) + b"\n")
            with self._stream.makefile("rb") as lines:
                for line in lines:
                    if line.endswith(b"\n"):
                        yield orjson.loads(line)
        except OSError as error:
            raise errors.Unreachable(f"mesh-sync did not answer: {error}", hint="mesh status") from None
        raise errors.Unreachable("mesh-sync went away before it answered", hint="mesh status")

    def answers(self, intents: Sequence[Intent], timeout_s: float | None) -> Iterator[tuple[int, Answer]]:
        """Hand intents over; each one's place and verdict, as they come. Closing the connection cancels what is open."""
        places = {intent.id: place for place, intent in enumerate(intents)}
        for value in self._answers({"op": "ask", "intents": [intent._asdict() for intent in intents]}, timeout_s):
            answer = unpack(value["answer"])
            if "id" not in value:  # the request as a whole was none
                yield from ((place, answer) for place in places.values())
                return
            yield places.pop(value["id"]), answer
            if not places:
                return

    def ask(self, intents: Sequence[Intent], timeout_s: float | None) -> list[Answer]:
        """Hand intents over and wait for their verdicts."""
        return [answer for _, answer in sorted(self.answers(intents, timeout_s), key=lambda told: told[0])]

    def hang_up(self) -> None:
        """From another thread: whoever waits for an answer is told that there will be none."""
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)

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
