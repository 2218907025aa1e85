r"""Readers of histories in the forms that public checkers use, and the writer of ours.

Knows: Jepsen's log lines, EDN (a vector, a list, or a map a line), JSON (an array, or an object a line).
Knows not: what is true of them.

    INFO  jepsen.util - 0	:invoke	:write	1                                    a log; 0 is the process; other lines
    INFO  jepsen.util - 0	:info	:write	:timed-out                           are passed over, so is the nemesis
    {:process 0, :type :invoke, :f :append, :key "0", :value "x 0 0 y"}       EDN
    {"process": 0, "type": "ok", "f": "read", "value": 3}                     JSON

`:ok` happened; `:info`, and a call without a return, are not known; `:fail` did not happen. But where `failed_cas` says
so, a cas that failed without an `:error` is an answer: the value was another. That is what the old logs of etcd mean by
it, so it is the default for logs; elsewhere it is not (a cas may fail because its node was no primary).
Where every value is a pair of key and value, as Jepsen's independent tests write it, the first is the key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.linear import edn
from tests.linear.history import Operation

_LOG = re.compile(r"(?:^|\s)(?P<process>\d+|:nemesis)\s+:(?P<type>invoke|ok|fail|info)\s+:(?P<f>\S+)(?P<rest>.*)")
_JSON = re.compile(r'"(?:process|type)"\s*:')
_READS = ("read", "get")


class BadHistory(ValueError):
    """A text that is no history: which line, and why."""


class Event(NamedTuple):
    """One line: a call or a return."""

    line: int
    process: str
    type: str
    f: str
    key: str
    value: Any
    error: bool
    time: float


def read(text: str, *, failed_cas: bool | None = None) -> list[Operation]:
    """The history that a text holds.

    Args:
        text: a file in any of the forms; which one it is is found out.
        failed_cas: whether a failed cas says that the value was another; None: in logs.

    Raises:
        BadHistory: it holds none, or a line is none of it.
    """
    if text.lstrip()[:1] in tuple("[({;#"):
        events, is_log = list(_structured(text)), False
    else:
        events, is_log = list(_logged(text)), True
    if not events:
        raise BadHistory("no call and no return stands in it: neither a Jepsen log nor EDN nor JSON")
    observed = is_log if failed_cas is None else failed_cas
    return list(_operations(_keyed(events), observed))


# From lines to events.


def _logged(text: str) -> Iterator[Event]:
    for number, line in enumerate(text.split("\n"), 1):
        found = _LOG.search(line)
        if found is None or found["process"] == ":nemesis":
            continue
        try:
            value, *rest = edn.values(found["rest"]) or [None]
        except edn.BadEdn as bad:
            raise BadHistory(f"line {number}: {bad}") from None
        error = bool(rest) and rest[0] != "hint"
        yield Event(number, found["process"], found["type"], found["f"], "", value, error, number)


def _structured(text: str) -> Iterator[Event]:
    for number, (line, entry) in enumerate(_json(text) if _JSON.search(text) else _edn(text)):
        missing = [name for name in ("process", "type", "f") if name not in entry]
        if missing:
            raise BadHistory(f"line {line}: no {missing[0]}")
        process, type_, f = (str(entry[name]).removeprefix(":") for name in ("process", "type", "f"))
        if process == "nemesis":
            continue
        if type_ not in ("invoke", "ok", "fail", "info"):
            raise BadHistory(f"line {line}: a type that is none: {type_[:40]!a}")
        key = next((str(entry[name]) for name in ("key", "lease") if entry.get(name) is not None), "")
        time = entry["time"] if "lease" in entry and isinstance(entry.get("time"), int | float) else number
        yield Event(line, process, type_, f, key, entry.get("value"), bool(entry.get("error")), time)


def _json(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        whole = json.loads(text)
        entries: list[tuple[int, Any]] = list(enumerate(whole if isinstance(whole, list) else [whole], 1))
    except ValueError:
        entries = []
        for number, line in enumerate(text.split("\n"), 1):
            try:
                entries += [(number, json.loads(line))] if line.strip() else []
            except ValueError as bad:
                raise BadHistory(f"line {number}: no JSON: {bad}") from None
    yield from _maps(entries)


def _edn(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        found = edn.values(text)
    except edn.BadEdn as bad:
        raise BadHistory(str(bad)) from None
    whole = found[0] if len(found) == 1 and isinstance(found[0], list) else found
    yield from _maps((entry.get(edn.LINE, 0) if isinstance(entry, dict) else 0, entry) for entry in whole)


def _maps(entries: Iterable[tuple[int, Any]]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, entry in entries:
        if not isinstance(entry, dict):
            raise BadHistory(f"line {number}: no map: {str(entry)[:40]!a}")
        yield number, entry


def _keyed(events: Sequence[Event]) -> list[Event]:
    """Events whose values are all pairs of a key and a value."""
    told = [event for event in events if event.type in ("invoke", "ok")]
    if any(event.key for event in events) or all(event.f == "cas" for event in told):
        return list(events)
    if not all(isinstance(event.value, list) and len(event.value) == 2 for event in told):
        return list(events)
    if all(event.f != "read" or event.type == "ok" for event in told):
        return list(events)  # a read is called with a key and nil, if keys there are
    pairs = (event.value if isinstance(event.value, list) and len(event.value) == 2 else ["", None] for event in events)
    return [event._replace(key=str(key), value=value) for event, (key, value) in zip(events, pairs, strict=True)]


# From events to operations.


def _operations(events: Sequence[Event], failed_cas: bool) -> Iterator[Operation]:
    called: dict[str, Event] = {}
    keys: dict[str, str] = {}
    for event in events:
        if event.type == "invoke":
            if event.process in called:
                yield from _made(called[event.process], None, failed_cas)
            called[event.process], keys[event.process] = event, event.key
        elif event.process in called:
            call = called.pop(event.process)
            if call.f != event.f:
                raise BadHistory(f"line {event.line}: a {event.f} returns where a {call.f} was called")
            yield from _made(call, event, failed_cas)
        elif event.type != "info":  # a remark of a process that does nothing just now
            raise BadHistory(f"line {event.line}: process {event.process} returns from a {event.f} it has not called")
    for call in called.values():
        yield from _made(call, None, failed_cas)


def _made(call: Event, back: Event | None, failed_cas: bool) -> Iterator[Operation]:
    """The operation of a call and its return, if it says anything."""
    made = Operation(call.process, call.key, call.f, _args(call), None, call.time, None, call.line)
    if back is None or back.type == "info":
        if call.f not in _READS:
            yield made
    elif isinstance(back.value, dict) and ("verdict" in back.value or "holder" in back.value):
        yield made._replace(result=_plain(back.value), returned=back.time)
    elif back.type == "ok":
        result = _frozen(back.value) if call.f in _READS else call.f == "cas" or None
        yield made._replace(result=result, returned=back.time)
    elif call.f == "cas" and failed_cas and not back.error and isinstance(back.value, list):
        yield made._replace(result=False, returned=back.time)


def _args(call: Event) -> Any:
    if call.f == "cas" and not (isinstance(call.value, list) and len(call.value) == 2):
        raise BadHistory(f"line {call.line}: a cas names an old and a new value")
    if call.f in ("put", "append") and not isinstance(call.value, str):
        raise BadHistory(f"line {call.line}: {call.f} takes a text")
    if call.f in _READS:
        return _plain(call.value) if isinstance(call.value, dict) else None
    return _plain(call.value) if isinstance(call.value, dict) else _frozen(call.value)


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: item for name, item in value.items() if name != edn.LINE}


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple(sorted((str(name), _frozen(item)) for name, item in _plain(value).items()))
    return value


# Writing.


def write(operations: Iterable[Operation]) -> str:
    """A history of leases as JSON lines, in the order of its calls and returns; `read` gives the same again."""
    lines: list[tuple[float, int, dict[str, Any]]] = []
    for o in operations:
        entry = {"process": o.process, "f": o.op, "lease": o.lease}
        lines.append((o.invoked, 0, entry | {"type": "invoke", "value": o.args, "time": o.invoked}))
        if o.returned is not None:
            refused = o.result.get("verdict") in ("refused", "fenced")
            back = {"type": "fail" if refused else "ok", "value": o.result, "time": o.returned}
            lines.append((o.returned, 1, entry | back))
    return "".join(json.dumps(entry) + "\n" for _, _, entry in sorted(lines, key=lambda line: line[:2]))
