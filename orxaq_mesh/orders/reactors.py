"""A reactor's file: the mapping from events to what follows from them, checked before an admin signs it.

Knows: what a rule may say: which facts a path can begin with, which records a follow-up can be.
Knows not: how rules are applied (`kinds.mapping`).
Law: REACTOR-1.

    body = read(Path("examples/follow-ups.yaml"))         # {"reactor": "follow-ups", "version": 1, "rules": [...]}
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orxaq_mesh.errors import Usage
from orxaq_mesh.kinds.work import ADDRESSES
from orxaq_mesh.orders import source as sources
from orxaq_mesh.orders.forms import explain, near
from orxaq_mesh.orders.source import Path_, Source
from orxaq_mesh.record import Value, canonical

FACTS = ("topic", "type", "payload", "cause", "node")
"""What a rule can ask of an event."""
TESTS = ("is", "not", "at_least", "at_most", "in", "exists")
_FIELDS = {"command": ("name", "args", *ADDRESSES, "priority", "reason"), "event": ("topic", "type", "payload")}
_NEEDED = {"command": ("name",), "event": ("topic", "type", "payload")}
MAX_BYTES = 60 * 1024


def read(path: Path) -> Value:
    """The body of the reactor.publish that a file asks for.

    Raises:
        Usage: it is no mapping; file, line and what is allowed are said.
        MeshFault: it cannot be read.
    """
    source = sources.read(path)
    if found := explain("reactor", source.value):
        raise source.bad(*found)
    for number, rule in enumerate(source.value["rules"]):
        _check_rule(source, ("rules", number), rule)
    if (size := len(canonical(source.value))) > MAX_BYTES:
        raise Usage(f"{path}: {size} bytes; a record takes {MAX_BYTES}", hint="two reactors, each with a part of it")
    body: Value = source.value
    return body


def _check_rule(source: Source, at: Path_, rule: Value) -> None:
    if not rule["on"]:
        raise source.bad((*at, "on"), "name a topic, a type, or both")
    _check_where(source, (*at, "where"), rule.get("where", {}), FACTS)
    for field in (field for field in ("give", "else") if field in rule):
        _check_gift(source, (*at, field), rule[field])
    if "else" in rule and not any("$best" in part for _, part in _parts((), rule["give"]) if isinstance(part, dict)):
        raise source.bad((*at, "else"), "`else` is for a `give` in which a $best can find nothing")


def _check_gift(source: Source, at: Path_, gift: Value) -> None:
    if len(gift) != 1:
        raise source.bad(at, "one follow-up: either `command` or `event`")
    ((what, body),) = gift.items()
    here = (*at, what)
    if not isinstance(body, dict):
        raise source.bad(here, "a mapping is wanted")
    if unknown := [name for name in body if name not in _FIELDS[what]]:
        raise source.bad((*here, unknown[0]), f"a follow-up has no field {unknown[0]}{near(unknown[0], _FIELDS[what])}")
    if missing := [name for name in _NEEDED[what] if name not in body]:
        raise source.bad(here, f"the field {missing[0]} is missing")
    if what == "command" and sum(name in body for name in ADDRESSES) != 1:
        raise source.bad(here, f"a command has exactly one address: {', '.join(ADDRESSES)}")
    for where, part in _parts(here, body):
        _check_template(source, where, part)


def _parts(at: Path_, value: Any) -> Iterator[tuple[Path_, Any]]:
    """A template's parts, itself first; what stands in the `where` of a choice is no template."""
    yield at, value
    if isinstance(value, dict) and "$best" in value:
        return
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from _parts((*at, key), item)


def _check_template(source: Source, at: Path_, part: Any) -> None:
    if isinstance(part, str) and part.startswith("$"):
        _check_path(source, at, part[1:], FACTS)
    if isinstance(part, dict) and "$best" in part:
        if unknown := [name for name in part if name not in ("$best", "where", "by")]:
            raise source.bad((*at, unknown[0]), f"a choice has no field {unknown[0]} (there are $best, where, by)")
        if not isinstance(part["$best"], str) or not isinstance(part.get("by", ""), str):
            raise source.bad(
                at, "a choice names a list ($best: payload.options) and a number in each of it (by: score)"
            )
        _check_path(source, (*at, "$best"), part["$best"], FACTS)
        _check_where(source, (*at, "where"), part.get("where", {}), ())


def _check_where(source: Source, at: Path_, where: Any, facts: tuple[str, ...]) -> None:
    if not isinstance(where, dict):
        raise source.bad(at, "a mapping is wanted: path -> value, or path -> {test: value}")
    for path, want in where.items():
        _check_path(source, (*at, path), path, facts)
        tests = [name for name in want if name in TESTS] if isinstance(want, dict) else []
        if tests and len(tests) < len(want):
            odd = next(name for name in want if name not in TESTS)
            raise source.bad((*at, path, odd), f"there is no test {odd} (there are {', '.join(TESTS)})")


def _check_path(source: Source, at: Path_, path: str, facts: tuple[str, ...]) -> None:
    """A path that can never find anything would be a rule that never holds, in silence."""
    first, *_ = names = path.split(".")
    if not all(names):
        raise source.bad(at, f"{path[:60]!a} is no path: names with single dots between")
    if facts and first not in facts:
        raise source.bad(at, f"an event has no {first[:40]}{near(first, facts)}")
