"""The event files of the system before, as events of this one.

Knows: their eight fields, in `.jsonl` and `.ndjson` files (one JSON object a line) and in `.json` files (one object); which
of it cannot stand in a record.
Knows not: the ledger, what an event means.
Laws: LINE (asked of each event before any is signed), SECRET, ONCE (an old id is one record, however often it is imported).

    old = read(Path("mesh/events"))
    old.events[0].wish({})             # {"topic": "scheduler", "type": "heartbeat", "once": "orxaq-id:5b1f...", "payload": ...}
    old.bad                            # [Bad("mesh/events/oak.jsonl", 7, "no JSON: ...")]

The payload is `{"id", "at", "node", "source", "causation", "payload"}` with the old values. What a record cannot say is said
in another way: a number with a fraction, an exponent or more than 53 bits as the text that it had in the file; a topic or
type that is no name with a `-` for each run of other characters, and the old one in the payload as `topic` or `type`; an id
that is no key as `orxaq-sha256:` and its sha256. A field beyond the eight is kept below `more`.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from orxaq_mesh import schema
from orxaq_mesh.credentials import find
from orxaq_mesh.errors import Usage
from orxaq_mesh.home.files import disk_fault
from orxaq_mesh.record import MAX_INT, Value, canonical, type_flaw
from orxaq_mesh.text import clean

MAX_FILES: Final = 200_000
MAX_EVENTS: Final = 200_000
MAX_BYTES: Final = 256 * 1024 * 1024
"""Of all files together: what is read is kept in memory until it is imported."""
MAX_EVENT_BYTES: Final = 58 * 1024
"""Of one event, before it is parsed; the line around it takes less than 2 KiB more, and 64 is the law's bound (LINE)."""
MAX_BAD: Final = 10_000
MAX_GENERATIONS: Final = 8
KEY, KEY_OF_ODD_ID = "orxaq-id:", "orxaq-sha256:"

_LINES, _OBJECT = (".jsonl", ".ndjson"), ".json"
_TEXTS = ("event_id", "topic", "event_type")
_FIELDS = {
    "event_id": "id", "timestamp": "at", "node_id": "node", "source": "source", "causation_id": "causation",
    "payload": "payload",
}  # fmt: skip
_KNOWN = {*_FIELDS, "topic", "event_type"}
_KEY = re.compile(r"[A-Za-z0-9._:@/-]{1,100}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}", re.ASCII)
_ODD = re.compile(r"[^A-Za-z0-9._:@/-]+", re.ASCII)


class Bad(NamedTuple):
    """A place that is no event, and why. `line` is 1 in a file that is one object."""

    file: str
    line: int
    reason: str


class Event(NamedTuple):
    """One event of old.

    Attributes:
        id, causation: its id of old and that of the event that caused it; empty where none is named.
        body: topic, type and payload of its record, in canonical form: much smaller than the value.
        file, line: where it stands.
        at: its time of old in seconds since 1970; infinity where no calendar has it.
        generation: 0 of what no event in this directory caused, 1 of what one of those caused, and so on.
    """

    id: str
    causation: str
    body: bytes
    file: str
    line: int
    at: float
    generation: int = 0

    @property
    def key(self) -> str:
        """The idempotency key of its record."""
        return key_of(self.id)

    def wish(self, records: Mapping[str, str]) -> Value:
        """What its record asks for.

        Args:
            records: key -> the id of the record of an event that is in the ledger already; its cause may be among them.
        """
        body: Value = {**orjson.loads(self.body), "once": self.key}
        cause = records.get(key_of(self.causation)) if self.causation else None
        return body if cause is None else {**body, "cause": cause}


class Old(NamedTuple):
    """What a directory holds: its events, causes before what they caused; what is bad; how often one stood there again."""

    events: list[Event]
    bad: list[Bad]
    doubles: int
    files: int


def key_of(id_: str) -> str:
    """The idempotency key that stands for an id of old."""
    return f"{KEY}{id_}" if _KEY.fullmatch(id_) else f"{KEY_OF_ODD_ID}{sha256(id_.encode()).hexdigest()}"


def read(folder: Path) -> Old:
    """Read every event file beneath a directory.

    Raises:
        Usage: there is no directory, or more in it than one import takes.
        MeshFault: a file cannot be read.
    """
    events: dict[str, Event] = {}
    bad: list[Bad] = []
    doubles = files = 0
    for path in _files(folder):
        files += 1
        for line, data in _pieces(path):
            found = _event(str(path), line, data)
            if isinstance(found, Event) and (known := events.get(found.id)) is not None:
                doubles += known.body == found.body
                if known.body != found.body:
                    where = f"{clean(known.file)}:{known.line}"
                    bad.append(Bad(found.file, line, f"its event_id stands for another event in {where}"))
            elif isinstance(found, Event):
                events[found.id] = found
            elif found is not None:
                bad.append(found)
            if len(events) > MAX_EVENTS or len(bad) > MAX_BAD:
                much = f"{MAX_EVENTS} events" if len(events) > MAX_EVENTS else f"{MAX_BAD} bad places"
                raise Usage(f"more than {much} in {clean(str(folder))}", hint="import its folders one by one")
    return Old(_causes_first(events), bad, doubles, files)


def _files(folder: Path) -> Iterator[Path]:
    """Its event files in order; sizes are asked before anything is read."""
    if not folder.is_dir():
        raise Usage(f"{clean(str(folder))} is no directory", hint="mesh import --orxaq DIR, with its event files")
    found, size = list[Path](), 0
    for place, folders, names in os.walk(folder, onerror=_unreadable):
        folders.sort()
        for name in sorted(names):
            path = Path(place, name)
            if path.suffix.lower() not in (*_LINES, _OBJECT):
                continue
            size += _size(path)
            found.append(path)
            if len(found) > MAX_FILES or size > MAX_BYTES:
                much = f"{MAX_FILES} files" if len(found) > MAX_FILES else f"{MAX_BYTES // 2**20} MiB"
                raise Usage(f"more than {much} in {clean(str(folder))}", hint="import its folders one by one")
    if not found:
        raise Usage(f"no .jsonl, .ndjson or .json file lies in {clean(str(folder))}", hint="name the event directory")
    yield from found


def _unreadable(error: OSError) -> None:
    """A folder that cannot be read is no empty one."""
    raise disk_fault("read", Path(error.filename), error) from error


def _size(path: Path) -> int:
    try:
        found = path.stat()
    except OSError as error:
        raise disk_fault("read", path, error) from error
    if not stat.S_ISREG(found.st_mode):
        raise Usage(f"{clean(str(path))} is no file", hint="only files are imported")
    return found.st_size


def _pieces(path: Path) -> Iterator[tuple[int, bytes]]:
    """(line, bytes) of what is to be one event each; of one that is too long, no more than shows that it is."""
    try:
        with path.open("rb") as file:
            if path.suffix.lower() == _OBJECT:
                yield 1, file.read(MAX_EVENT_BYTES + 1)
                return
            number = 0
            while data := file.readline(MAX_EVENT_BYTES + 1):
                number += 1
                yield number, data
                while not data.endswith(b"\n") and (data := file.readline(MAX_EVENT_BYTES + 1)):
                    pass
    except OSError as error:
        raise disk_fault("read", path, error) from error


def _event(file: str, line: int, data: bytes) -> Event | Bad | None:
    """The event in a piece of a file; None: the line is empty."""
    if not data.strip():
        return None if Path(file).suffix.lower() != _OBJECT else Bad(file, line, "the file is empty")
    if len(data) > MAX_EVENT_BYTES:
        return Bad(file, line, f"more than {MAX_EVENT_BYTES} bytes: no record can hold it")
    try:
        return _made(file, line, _value(data))
    except _Flaw as flaw:
        return Bad(file, line, str(flaw))


class _Flaw(ValueError):
    """Why something is no event."""


def _value(data: bytes) -> Value:
    """The JSON object of an event. Numbers that no record carries become the text that they have here."""
    try:
        value = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_object,
            parse_float=str,
            parse_int=_whole,
            parse_constant=str,
        )
    except RecursionError:
        raise _Flaw("nested too deep") from None
    except UnicodeDecodeError as error:
        raise _Flaw(f"not UTF-8: byte {error.start}") from None
    except _Flaw:
        raise
    except ValueError as error:
        raise _Flaw(f"no JSON: {error}") from None
    if type(value) is not dict:
        raise _Flaw("no JSON object")
    return value


def _whole(text: str) -> int | str:
    number = int(text) if len(text) <= 17 else MAX_INT + 1
    return number if abs(number) <= MAX_INT else text


def _object(pairs: list[tuple[str, Any]]) -> Value:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Flaw("an object in it has a key twice")
    return found


def _made(file: str, line: int, value: Value) -> Event:
    for field in _TEXTS:
        if not isinstance(value.get(field), str) or not value[field].strip():
            raise _Flaw(f"no {field}" if field not in value else f"{field} is no text, or empty")
    for field in ("node_id", "source", "causation_id"):
        if not isinstance(value.get(field), str | None):
            raise _Flaw(f"{field} is no text")
    if found := find(value):
        raise _Flaw(f"SECRET: a credential stands at {found[0].path[:200]} ({found[0].rule})")
    payload = {new: value.get(old) for old, new in _FIELDS.items()}
    payload |= {"more": more} if (more := {name: value[name] for name in value if name not in _KNOWN}) else {}
    topic, type_ = _name(value["topic"]), _name(value["event_type"])
    payload |= {"topic": value["topic"]} if topic != value["topic"] else {}
    payload |= {"type": value["event_type"]} if type_ != value["event_type"] else {}
    body = _sound({"topic": topic, "type": type_, "payload": payload})
    return Event(value["event_id"], value.get("causation_id") or "", body, file, line, _seconds(value.get("timestamp")))


def _name(text: str) -> str:
    """A topic or type as a name: itself where it is one."""
    if _NAME.fullmatch(text):
        return text
    return _ODD.sub("-", text).lstrip("._:@/-")[:100] or "unnamed"


def _sound(body: Value) -> bytes:
    """The canonical form of a body that may stand in a record."""
    if flaw := type_flaw(body["payload"], "payload", depth=3):
        raise _Flaw(flaw)
    try:
        said = canonical(body)
    except TypeError:
        raise _Flaw("half a character (a lone surrogate) is in it") from None
    if len(said) > MAX_EVENT_BYTES:
        raise _Flaw(f"more than {MAX_EVENT_BYTES} bytes as a record says it")
    if not schema.fits_body("event.publish", body):
        raise _Flaw("no event.publish can say this")
    return said


def _seconds(at: Any) -> float:
    try:
        found = datetime.fromisoformat(at) if isinstance(at, str) else datetime.fromtimestamp(at, UTC)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return float("inf")


def _causes_first(events: Mapping[str, Event]) -> list[Event]:
    """By generation, then by time: what caused an event is in the ledger when its own turn comes.

    Generations from the eighth on are one: a chain of a thousand events must not be a thousand pushes.
    """
    generation: dict[str, int] = {}
    for id_ in events:
        chain: dict[str, None] = {}
        while id_ in events and id_ not in generation and id_ not in chain:
            chain[id_] = None
            id_ = events[id_].causation  # noqa: PLW2901
        depth = generation.get(id_, -1)
        for one in reversed(chain):
            depth = generation[one] = min(depth + 1, MAX_GENERATIONS - 1)
    placed = [event._replace(generation=generation[event.id]) for event in events.values()]
    return sorted(placed, key=lambda event: (event.generation, event.at))
