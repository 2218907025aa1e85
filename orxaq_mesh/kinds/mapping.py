"""Mappings of reactors: from an event to what follows from it. Data, not code.

Knows: conditions on an event's facts, templates, the choice of the best of several, what is no rule.
Knows not: records, the ledger.

    rule = {"on": {"topic": "lanes", "type": "failed"}, "where": {"payload.failed": {"at_least": 3}},
            "give": {"command": {"name": "scale", "args": {"lane": "$payload.lane"}, "holder": "leader"}}}
    follows(rule, {"topic": "lanes", "type": "failed", "payload": {"failed": 4, "lane": "gpu"}, "cause": "<id>"})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orxaq_mesh.record import Value, canonical

_MISSING = object()


def is_number(value: object) -> bool:
    return type(value) is int


def same(found: object, want: object) -> bool:
    """Equal, and of one type: 1 is not true."""
    return found is not _MISSING and canonical({"": found}) == canonical({"": want})


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "is": same,
    "not": lambda found, want: not same(found, want),
    "at_least": lambda found, want: is_number(found) and is_number(want) and found >= want,
    "at_most": lambda found, want: is_number(found) and is_number(want) and found <= want,
    "in": lambda found, want: isinstance(want, list) and any(same(found, one) for one in want),
    "exists": lambda found, want: (found is not _MISSING) == (want is True),
}


FIELDS: Mapping[str, frozenset[str]] = {
    "command": frozenset({"name", "args", "to", "capability", "holder", "priority", "reason"}),
    "event": frozenset({"topic", "type", "payload"}),
}
"""What a follow-up may say; its cause, its id and what its moment asks for are filled in."""


def flaw(rule: Value) -> str:
    """Why this is no rule; empty where it is one. Of a rule that is one `follows` can always say what it gives."""
    templates = [rule["give"], *([rule["else"]] if "else" in rule else [])]
    if not isinstance(rule.get("where", {}), Mapping):
        return "where: no map of conditions"
    for template in templates:
        if len(template) != 1:
            return "give and else: each one command or one event"
        ((what, body),) = template.items()
        if not isinstance(body, Mapping) or not body.keys() <= FIELDS[what]:
            return f"{what}: only {', '.join(sorted(FIELDS[what]))}"
    return "$best: a path, and perhaps where and by" if _bad_best(templates) else ""


def _bad_best(template: Any) -> bool:
    if isinstance(template, Mapping) and "$best" in template:
        where, path, by = template.get("where", {}), template["$best"], template.get("by", "")
        sound = isinstance(where, Mapping) and isinstance(path, str) and isinstance(by, str)
        return not sound or not template.keys() <= {"$best", "where", "by"}
    inner = template.values() if isinstance(template, Mapping) else template if isinstance(template, list) else ()
    return any(map(_bad_best, inner))


def at(facts: Any, path: str) -> Any:
    """What lies at a path like `payload.lane`; `_MISSING` where nothing does."""
    for name in path.split("."):
        if not isinstance(facts, Mapping) or name not in facts:
            return _MISSING
        facts = facts[name]
    return facts


def holds(where: Mapping[str, Any], facts: Any) -> bool:
    """Whether all of these conditions hold: path -> a value, or {test: value}."""
    return all(_holds(at(facts, path), want) for path, want in where.items())


def _holds(found: Any, want: Any) -> bool:
    if isinstance(want, Mapping) and want and want.keys() <= _TESTS.keys():
        return all(bool(_TESTS[test](found, value)) for test, value in want.items())
    return same(found, want)


def follows(rule: Value, facts: Value) -> Value | None:
    """What a rule gives for an event, filled in: {"command": {...}} or {"event": {...}}; None where it does not apply."""
    on = rule["on"]
    if any(facts.get(field) != want for field, want in on.items()) or not holds(rule.get("where", {}), facts):
        return None
    for template in (rule["give"], rule.get("else")):
        if template is not None and (given := fill(template, facts)) is not _MISSING:
            return dict(given)
    return None


def fill(template: Any, facts: Value) -> Any:
    """A template with `$path` texts and `$best` choices filled in; `_MISSING` where one of them finds nothing."""
    if isinstance(template, str) and template.startswith("$"):
        return at(facts, template[1:])
    if isinstance(template, Mapping) and "$best" in template:
        return _best(template, facts)
    if isinstance(template, Mapping):
        filled = {name: fill(inner, facts) for name, inner in template.items()}
        return _MISSING if any(inner is _MISSING for inner in filled.values()) else filled
    if isinstance(template, list):
        items = [fill(inner, facts) for inner in template]
        return _MISSING if any(item is _MISSING for item in items) else items
    return template


def _best(template: Mapping[str, Any], facts: Value) -> Any:
    """The element of a list that passes `where` and has the highest number `by`; the first of equals."""
    options = at(facts, template["$best"])
    fit = [one for one in options if holds(template.get("where", {}), one)] if isinstance(options, list) else []
    by = template.get("by", "score")
    scored = [one for one in fit if is_number(at(one, by))]
    return max(scored, key=lambda one: int(at(one, by))) if scored else _MISSING
