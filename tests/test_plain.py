"""Plain lines: what the patterns know at a glance is what the validators would have found."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orxaq_mesh import schema
from orxaq_mesh.plain import line_pattern
from orxaq_mesh.record import MAX_INT, MAX_LINE_BYTES, BadLine, canonical, parse_line, to_record, to_seal

NAMES = ("seal", *schema.kinds())
EXAMPLES: dict[str, dict[str, Any]] = {name: schema.document(name)["examples"][0] for name in NAMES}
NOT_PLAIN = {"node.admit", "review.approve", "review.reject", "review.require"}  # arrays of which no two are alike

SHA, HEX40 = "9c" * 32, "9f" * 20
OUTPUT = {"err": {"bytes": 0, "sha256": SHA}, "out": {"bytes": 9, "sha256": SHA, "truncated": True}}
STEP = {"artefacts": ["dist/*"], "limit_ms": 1, "name": "make", "run": ["make", ""], "shell": "make all"}
TASK = {
    "after": [STEP],
    "attempts": 99,
    "backoff_ms": 0,
    "before": [],
    "branch": "main",
    "capability": "build",
    "commands": [STEP, {"name": "b"}],
    "environment": ["HOME"],
    "limit_ms": 7,
    "name": "build",
    "needs": ["a", "b"],
    "objective": "",
    "priority": 9,
    "pty": True,
    "receipts": ["r"],
    "rollback": [STEP],
    "ttl_ms": 60000,
}
RULE = {
    "else": {"event": {"topic": "a", "type": "b", "payload": 1}},
    "give": {"command": {"args": {"lane": "$payload.lane"}, "holder": "leader", "name": "scale"}},
    "on": {"topic": "lanes", "type": "failed"},
    "under": "leader",
    "where": {"payload.failed": {"at_least": 3}},
}
MORE: dict[str, dict[str, Any]] = {
    "task.receipt": {"note": "", "output": OUTPUT, "once": "k"},
    "command.finish": {"output": OUTPUT, "reason": "x", "rule": "TASK-2", "once": "k"},
    "command.issue": {"again": "a", "cause": SHA, "reaction": "9c" * 16, "priority": 9, "args": ["a", {"b": 1}]},
    "dag.submit": {"tasks": [TASK], "limits": {"build": 1, "test": 99}, "parts": 0, "priority": 0, "cause": SHA},
    "dag.part": {"tasks": [TASK]},
    "reactor.publish": {"rules": [RULE]},
    "task.finish": {"reason": "x"},
    "lease.acquire": {"watched_ms": 0, "queue": False, "priority": 1},
}
FULL = {
    name: value if name == "seal" else {**value, "body": {**value["body"], **MORE.get(name, {})}}
    for name, value in EXAMPLES.items()
}
"""The examples with all that they may say."""

LENGTHS = (0, 1, 7, 8, 24, 39, 40, 41, 49, 50, 63, 64, 65, 80, 81, 88, 89, 100, 101, 128, 129, 500, 501)
BOUNDS = (0, 1, 5, 9, 10, 999, 1000, 999_999_999, 10**9, 4_096_000_000, 4_096_000_001, 10**15, MAX_INT, MAX_INT + 1)
NASTY: list[Any] = [
    *("a" * length for length in LENGTHS),
    *("0" * length for length in LENGTHS),
    *(sign * bound for bound in BOUNDS for sign in (1, -1)),
    *(
        True,
        False,
        None,
        1.0,
        -0.0,
        1e300,
        [],
        [1],
        [10**16],
        [MAX_INT + 1, 1],
        {},
        {"a": 1},
        {"a": {"b": {"c": {"d": 1}}}},
        {"a": [1.5]},
    ),
    *("a\n", "\n", "\u00e9", 'a"b', "a\\b", '","x":"', "\x7f", "a b", "-a", "a-", "a..b", "A" * 8, "oak-cff7d2bF"),
    *([10**17, {"a": 10**16}], [1.5], [[["a"]]], [-(10**15)]),
    *(["a"] * 3, ["a"] * 64, ["a"] * 65, ["a", "a\n"], ["a", 1], ["a", ["b"]], 255, -255, 256, 99, 100, 1.0, "exited"),
    *({"a": 0}, {"name": "a"}, [{"name": "a"}], [{"name": "a"}, {}], [{"name": "a", "run": []}], {"build": 100001}),
    *({"\u00e9": 1}, {"a": "\u00e9"}, {"a": 1.5}, {"a": MAX_INT}, {"a": -(10**15)}, {"a": '\n"\\'}, {"": {}}),
]


def slowly(line: bytes) -> Any:
    """What a line is without a look at its pattern."""
    try:
        value = parse_line(line)
        if value.get("kind") == "seal":
            schema.check_seal(value)
            return to_seal(value, line)
        return to_record(value, line, schema.check_record(value))
    except BadLine as bad:
        return f"{bad.law}: {bad.reason}"


def read(line: bytes) -> Any:
    try:
        return schema.read_line(line)
    except BadLine as bad:
        return f"{bad.law}: {bad.reason}"


def known(line: bytes) -> bool:
    return schema._sound(line) is not None


Path = tuple[str | int, ...]


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    if path:
        yield path
    for key in range(len(value) + 1) if isinstance(value, list) else value if isinstance(value, dict) else ():
        yield from places(None if key == len(value) else value[key], (*path, key))


def bent(value: dict[str, Any], path: Path, new: Any) -> dict[str, Any]:
    """A copy with another value at a path that has a parent there; `...` takes the field away."""
    found = copy.deepcopy(value)
    inner: Any = found
    for step in path[:-1]:
        inner = inner.get(step) if isinstance(inner, dict) else inner[step] if _has(inner, step) else None
    if isinstance(inner, dict) and new is ...:
        inner.pop(path[-1], None)
    elif isinstance(inner, dict):
        inner[path[-1]] = new
    elif isinstance(inner, list) and isinstance(path[-1], int):
        inner[path[-1] : path[-1] + 1] = [] if new is ... else [new]
    return found


def _has(inner: Any, step: str | int) -> bool:
    return isinstance(inner, list) and isinstance(step, int) and step < len(inner)


PLACES = {
    name: [
        *(path for path in places(value) if name in ("seal", "event.publish") or path[0] == "body"),
        *(("extra",), ("body", "extra"), ("body", "once"), ("v",), ("kind",)),
    ]
    for name, value in FULL.items()
}


@pytest.mark.parametrize("name", NAMES)
def test_LINE_an_ordinary_line_is_known_by_its_pattern(name: str) -> None:
    for line in (canonical(EXAMPLES[name]), canonical(FULL[name])):
        assert known(line) == (name not in NOT_PLAIN)
        assert read(line) == slowly(line)


def test_LINE_an_event_may_say_what_people_say_and_still_be_plain() -> None:
    event = EXAMPLES["event.publish"]
    payloads: list[Any] = [
        {},
        "",
        "done",
        0,
        -5,
        True,
        None,
        {"a": '\u00e9 \n " \\'},
        {"b": {"a": 1, "c": ""}, "d": [2, "x"]},
        [[1], {}],
    ]
    for payload in payloads:
        assert known(canonical(bent(event, ("body", "payload"), payload))), payload
    under = {"lease": "deploy", "session": "s", "token": 7}
    assert known(canonical(bent(bent(event, ("body", "under"), under), ("body", "once"), "k")))


@pytest.mark.parametrize("name", NAMES)
def test_LINE_no_single_bend_is_known_that_the_validators_refuse(name: str) -> None:
    """Every field of every kind takes every nasty value in turn."""
    for path in PLACES[name]:
        for new in (..., *NASTY):
            line = canonical(bent(FULL[name], path, new))
            if known(line):
                found = slowly(line)
                assert not isinstance(found, str), (path, new, found)
                assert getattr(found, "flaw", None) is None, (path, new, found)
                assert read(line) == found


@given(st.sampled_from(NAMES), st.data())
def test_LINE_bent_twice_and_cut_anywhere_a_line_reads_as_the_validators_read_it(
    name: str, data: st.DataObject
) -> None:
    value = FULL[name]
    for _ in range(2):
        path = data.draw(st.sampled_from(PLACES[name]))
        new = data.draw(st.sampled_from(NASTY) | st.text(max_size=5) | st.integers(-(2**53), 2**53))
        value = bent(value, path, new)
    line = canonical(value)
    at = data.draw(st.integers(0, len(line)))
    line = line[:at] + data.draw(st.sampled_from([b"", b" ", b'"', b"}", b"0", b"\n", b"-", b"\\", b","])) + line[at:]
    assert read(line) == slowly(line)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    )
)
@example({"a": 1, "topic": {"b": "x"}})
@example('","topic":"x","type":"y"},"kind":"event.publish","node":"')
def test_LINE_whatever_an_event_carries_reads_as_the_validators_read_it(payload: Any) -> None:
    line = canonical(bent(EXAMPLES["event.publish"], ("body", "payload"), payload))
    assert read(line) == slowly(line)


def test_B1_text_that_the_pattern_takes_and_the_canonical_form_does_not_is_refused() -> None:
    line = canonical(bent(EXAMPLES["event.publish"], ("body", "payload"), {"a": 1, "b": 2}))
    pattern = schema._pattern("event.publish")
    for text in (b'{"a":1,"a":1,"b":2}', b'{"b":2,"a":1}', b'{"a":1,"b":-0}', b'{"a":"\\u0061"}', b'{"a":01}'):
        other = line.replace(b'{"a":1,"b":2}', text)
        assert pattern.fullmatch(other)
        assert not known(other)
        assert read(other).startswith("LINE: ")


def test_LINE_a_line_that_is_too_long_is_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    event = EXAMPLES["event.publish"]
    room = MAX_LINE_BYTES - len(canonical(bent(event, ("body", "payload"), "")))
    assert known(canonical(bent(event, ("body", "payload"), "x" * (room - 1))))
    longer = canonical(bent(event, ("body", "payload"), "x" * room))
    monkeypatch.setattr(orjson, "loads", lambda line: pytest.fail("parsed"))
    assert not known(longer)


@pytest.mark.parametrize(
    "words", [{"enum": [3]}, {"format": "x"}, {"multipleOf": 7}, {"anyOf": []}, {"minItems": 1}, {"$dynamicRef": "#"}]
)
def test_RULES_a_schema_that_says_more_than_the_patterns_understand_has_no_plain_lines(words: dict[str, Any]) -> None:
    event, envelope = schema.document("event.publish"), schema.document("envelope")
    line = canonical(EXAMPLES["event.publish"])
    assert line_pattern(event, envelope).fullmatch(line)
    for place in (("body", "properties", "payload"), ("body", "properties", "topic"), ("body",), ("v",)):
        changed = copy.deepcopy(event)
        inner = changed["properties"]
        for step in place:
            inner = inner[step]
        inner.update(words)
        assert not line_pattern(changed, envelope).fullmatch(line), place
