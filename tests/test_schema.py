"""The contract in `schemas/`: two validators agree, examples are real, and what is refused is said in one plain line."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referencing import Registry, Resource

from orxaq_mesh import keys, record, schema
from orxaq_mesh.record import BadLine, canonical

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("envelope", "seal", *schema.kinds())
KINDS = {
    *("node.found", "node.hello", "node.admit", "node.revoke", "node.rotate", "event.publish"),
    *("lease.acquire", "lease.renew", "lease.release", "lease.take", "lease.break"),
    *("dag.submit", "dag.part", "dag.cancel"),
    *("task.receipt", "task.finish", "task.retry", "task.skip", "task.assign"),
    *("command.issue", "command.finish", "command.cancel", "reactor.publish"),
    *("work.offer", "breaker.open", "breaker.reset"),
    *("review.require", "review.lift", "review.approve", "review.reject", "review.allow"),
}
MAPS = ("/heads", "/proofs", "/limits")
FILES = {name: json.loads((ROOT / "schemas" / f"{name}.json").read_text("ascii")) for name in NAMES}
URL = "https://orxaq-mesh.invalid/schemas/"

python_registry: Registry[Any] = Registry().with_resources(
    [(document["$id"], Resource.from_contents(document)) for document in FILES.values()]
)
rust_registry = jsonschema_rs.Registry([(document["$id"], document) for document in FILES.values()])


@cache
def python_validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(FILES[name], registry=python_registry)


@cache
def rust_validator(name: str) -> Any:
    return jsonschema_rs.Draft202012Validator(FILES[name], registry=rust_registry)


def example(of: str, /, **body: Any) -> dict[str, Any]:
    value: dict[str, Any] = copy.deepcopy(FILES[of]["examples"][0])
    if body:
        value["body"].update(body)
    return value


def with_value(value: dict[str, Any], path: tuple[str | int, ...], new: Any) -> dict[str, Any]:
    found = copy.deepcopy(value)
    inner: Any = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return found


def bad_record(value: dict[str, Any]) -> str:
    with pytest.raises(BadLine) as caught:
        schema.check_record(value)
    assert caught.value.law == "LINE"
    return plain(caught.value.reason)


def flaw(value: dict[str, Any]) -> str:
    found = schema.check_record(value)
    assert found is not None
    return plain(found)


def plain(reason: str) -> str:
    assert reason.isascii()
    assert reason.isprintable()
    assert 0 < len(reason) <= schema.MAX_REASON + 20
    return reason


# --- the files ----------------------------------------------------------------------------------------------------


def nodes(schema_part: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path."""
    if not isinstance(schema_part, dict):
        return
    yield path, schema_part
    for word in ("properties", "$defs"):
        for name, inner in schema_part.get(word, {}).items():
            yield from nodes(inner, f"{path}/{name}")
    for word in ("items", "additionalProperties", "propertyNames", "not"):
        yield from nodes(schema_part.get(word), f"{path}/{word}")


@pytest.mark.parametrize("name", NAMES)
def test_every_schema_is_2020_12_and_says_what_it_is(name: str) -> None:
    document = FILES[name]
    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema_rs.Draft202012Validator(document, registry=rust_registry)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"{URL}{name}.json"
    assert document["title"] == name
    for path, part in nodes(document):
        if not path.endswith(("/items", "/not")):
            assert part.get("description"), path


def test_every_kind_has_its_schema_and_every_schema_its_kind() -> None:
    assert schema.kinds() == tuple(sorted(KINDS))
    assert {path.stem for path in (ROOT / "schemas").iterdir()} == {*KINDS, "envelope", "seal"}
    assert all(schema.document(name) == FILES[name] for name in NAMES)
    for name in ("", "lease", "../README", "envelope.json", "lease.acquire.json"):
        with pytest.raises(KeyError):
            schema.document(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_object_is_closed_but_payload_and_the_envelopes_body(name: str) -> None:
    for path, part in nodes(FILES[name]):
        if part.get("type") == "object" and (name, path) != ("envelope", "/body"):
            assert part["additionalProperties"] is False or path.endswith(MAPS), path
            assert set(part.get("required", ())) <= set(part.get("properties", part)), path


@pytest.mark.parametrize("name", NAMES)
def test_patterns_keep_to_what_rust_python_and_ecmascript_agree_on(name: str) -> None:
    for path, part in nodes(FILES[name]):
        pattern = part.get("pattern")
        if pattern is None or pattern == r"\n":
            continue
        assert pattern[0] == "^", path
        assert pattern[-1] == "$", path
        assert not re.search(r"\(\?|\\[dwsbDWSB1-9pP]|[*+?}][+?]", pattern), path
        of_one_length = not re.search(r"[*+?]", re.sub(r"\[[^\]]*\]", "", pattern))
        assert part.get("not") == {"pattern": r"\n"} or of_one_length, f"{path}: `$` lets a newline pass in Python"
        assert part["maxLength"] <= 128, path


@pytest.mark.parametrize("name", NAMES)
def test_every_example_is_valid_canonical_and_really_signed(name: str) -> None:
    for value in FILES[name]["examples"]:
        assert python_validator(name).is_valid(value)
        assert rust_validator(name).is_valid(value)
        line = canonical(value)
        assert isinstance(schema.read_line(line), record.Seal if name == "seal" else record.Record)
        key = {"oak": b"\x07", "elm": b"\x09"}[value["node"][:3]]
        public = keys.SecretKey.generate(key * 32).public
        ledger = None if name == "node.found" else record.line_id(canonical(FILES["node.found"]["examples"][0]))
        assert keys.verify(public.raw, keys.namespace(ledger), record.unsigned(value), value["sig"])
        assert value["node"] == f"{value['node'][:3]}-{public.short}"


@pytest.mark.parametrize(("name", "field"), [("envelope", "seq"), ("seal", "epoch")])
def test_RENDER_the_highest_number_is_the_last_that_has_a_place(name: str, field: str) -> None:
    highest = FILES[name]["properties"][field]["maximum"]
    place = record.log_place if name == "envelope" else lambda log, number: record.epoch_place(number)
    assert record.parse_path(place("oak-3f9a01c2", highest - 31).file)
    assert record.parse_path(place("oak-3f9a01c2", highest + 1).file) is None


# --- both validators agree ----------------------------------------------------------------------------------------

STRANGE: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 999, 1000, 10, 2**53 - 1, -(2**53) + 1, "", "x", "\n", " ", "a" * 40, "a" * 41),
    *(
        "a" * 100,
        "a" * 101,
        "a" * 128,
        "a" * 129,
        "A",
        "a\n",
        "\na",
        "a\r",
        "a\x00",
        "a.b",
        "a.b\n",
        "a..b",
        "-a",
        "a-",
    ),
    *("\u00e9", "a\u2028", "\u2028", "a\x85", "\u0661", "\U0001f600" * 40, "0" * 64, "0" * 63 + "\n", "0" * 64 + "\n"),
    *("F" * 64, "0" * 65, "oak-3f9a01c2", "oak-3f9a01c2\n", "oak-3F9A01C2", "oak-3f9a01c", "a" * 40 + "-3f9a01c2"),
    *("a" * 41 + "-3f9a01c2", "A" * 85 + "Q==", "A" * 85 + "B==", "A" * 86 + "==\n", "2026-11-20T09:30:00.000Z"),
    *("2026-11-20T09:30:00.000Z\n", "2026-11-20T09:30:00Z", "2026-13-20T09:30:00.000Z", "2026-11-20T24:30:00.000Z"),
    *("2026-11-20T09:30:00.00\u0660Z", "2026-11-20T09:30:00.000z", [], {}, [1], ["admin"], ["admin", "admin"]),
    *(["node", "observer", "admin"], ["root"], [True], ["admin", 1], {"a": 1}, "seal", "lease.acquire", "lease.break"),
    *("x" * 500, "x" * 501, "\U0001f600" * 500, "a/b@c:d-e_f.g", "/a", "a b", "a\\", "a\u0000", "\ufeffa"),
)


WHOLE = ("envelope", "seal", "event.publish")
"""Of the other kinds only what is theirs is bent: the envelope is the same for all."""


def mutations(name: str) -> Iterator[tuple[str, Any]]:
    """The example with one thing other: each value replaced, each field gone, a field more, at every depth."""
    value = example(name)
    if name not in ("envelope", "seal"):
        value["body"]["once"] = "once-1"
    yield "as it is", value
    paths: list[tuple[str | int, ...]] = [()]
    while paths:
        path = paths.pop()
        inner: Any = value
        for step in path:
            inner = inner[step]
        if isinstance(inner, list):
            paths += [(*path, number) for number in range(len(inner))]
        if isinstance(inner, dict):
            paths += [(*path, key) for key in inner if path or name in WHOLE or key in ("body", "kind", "v")]
            yield f"{path} and a field", with_value(value, (*path, "zz"), 1)
            yield f"{path} and a field of no name", with_value(value, (*path, ""), None)
        if path:
            parent = copy.deepcopy(value)
            home: Any = parent
            for step in path[:-1]:
                home = home[step]
            del home[path[-1]]
            yield f"{path} gone", parent
            for strange in STRANGE:
                yield f"{path} = {strange!r:.60}", with_value(value, path, strange)
            if isinstance(inner, str):
                for changed in (inner + "\n", inner[:-1] + "\n", inner[:-1], inner + "0", inner.upper(), "\n" + inner):
                    yield f"{path} = {changed!r:.60}", with_value(value, path, changed)


@pytest.mark.parametrize("name", NAMES)
def test_both_validators_agree_on_every_mutation(name: str) -> None:
    python, rust = python_validator(name), rust_validator(name)
    counts = {True: 0, False: 0}
    for told, value in mutations(name):
        verdict = rust.is_valid(value)
        assert python.is_valid(value) == verdict, told
        counts[verdict] += 1
    assert counts[True] > 3
    assert counts[False] > 200


@given(st.sampled_from(NAMES), st.data())
def test_both_validators_agree_on_any_string(name: str, data: st.DataObject) -> None:
    value = example(name)
    strings = [("node",), ("at",), ("sig",)]
    strings += [("body", key) for key, inner in value.get("body", {}).items() if isinstance(inner, str)]
    path = data.draw(st.sampled_from(strings))
    text = st.text(st.sampled_from("aA0-._:@/\n\r\u2028\x85 =+Z\u00e9"), max_size=8) | st.text(max_size=8)
    changed = with_value(value, path, data.draw(text))
    assert python_validator(name).is_valid(changed) == rust_validator(name).is_valid(changed)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_mutation_is_judged_and_told_in_one_plain_line(name: str) -> None:
    envelope = rust_validator("envelope")
    of_kind = {kind: rust_validator(kind) for kind in KINDS}
    for told, value in mutations(name):
        if not envelope.is_valid(value):
            bad_record(value)
        elif value["kind"] in KINDS and of_kind[value["kind"]].is_valid(value):
            assert schema.check_record(value) is None, told
        else:
            flaw(value)


def test_every_mutation_of_a_seal_is_judged_and_told_in_one_plain_line() -> None:
    assert {seal_stands(value) for _, value in mutations("seal")} == {True, False}


def seal_stands(value: dict[str, Any]) -> bool:
    if rust_validator("seal").is_valid(value):
        schema.check_seal(value)
        return True
    with pytest.raises(BadLine) as caught:
        schema.check_seal(value)
    assert caught.value.law == "LINE"
    plain(caught.value.reason)
    return False


# --- what is said -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (example("lease.acquire", ttl_ms=5), "body.ttl_ms: 5 is less than the minimum of 1000"),
        (example("lease.acquire", ttl_ms="600000"), "body.ttl_ms: '600000' is not of type 'integer'"),
        (example("lease.acquire", ttl_ms=True), "body.ttl_ms: True is not of type 'integer'"),
        (example("lease.acquire", lease="deploy\n"), r"body.lease: 'deploy\n' is not allowed here: want a letter or"),
        (example("lease.acquire", priority=10), "body.priority: 10 is greater than the maximum of 9"),
        (
            example("lease.acquire", tll=1),
            "body: has a field that is not among lease, of, once, priority, queue, session",
        ),
        (example("node.admit", roles=[]), "body.roles: [] is not allowed here: want what the node may do"),
        (
            example("node.admit", roles=["root"]),
            "body.roles.0: 'root' is not one of ['admin', 'node', 'observer', 'reviewer']",
        ),
        (example("event.publish", under={"lease": "a"}), "body.under: 'session' is a required property"),
        (example("lease.break", reason=""), "body.reason: '' is not allowed here: want why, for people, in 1 to 500"),
        (example("lease.acquire") | {"v": 2}, "v: 2 of lease.acquire is unknown to these rules"),
        (example("lease.acquire") | {"kind": "lease.steal"}, "kind: lease.steal is unknown to these rules"),
        (example("lease.acquire") | {"body": {}}, "body: 'lease' is a required property"),
    ],
)
def test_RULES_a_good_envelope_is_refused_with_path_and_what_is_allowed(value: dict[str, Any], says: str) -> None:
    assert flaw(value).startswith(says)
    line = canonical(value)
    for found in (schema.read_record(line), schema.read_line(line)):
        assert isinstance(found, record.Record)
        assert found.flaw == flaw(value)
        assert (found.id, found.line) == (record.line_id(line), line)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"sig": "x"}, "no record: sig: 'x' is not allowed here: want the raw 64 bytes of an Ed25519 signature"),
        ({"seq": 0}, "no record: seq: 0 is less than the minimum of 1"),
        ({"seen": {"epoch": -1, "seal": "0" * 64}}, "no record: seen.epoch: -1 is less than the minimum of 0"),
        ({"at": "yesterday"}, "no record: at: 'yesterday' is not allowed here: want RFC 3339 in UTC with milliseconds"),
        ({"node": "Oak-3f9a01c2"}, "no record: node: 'Oak-3f9a01c2' is not allowed here: want a log's name"),
        ({"kind": "seal"}, "no record: kind: 'seal' is not allowed here: want family and verb"),
        ({"kind": ["lease.acquire"]}, "no record: kind: ['lease.acquire'] is not of type 'string'"),
        ({"kind": {}}, "no record: kind: {} is not of type 'string'"),
        ({"body": []}, "no record: body: [] is not of type 'object'"),
        ({"v": "1"}, "no record: v: '1' is not of type 'integer'"),
        ({"v": True}, "no record: v: True is not of type 'integer'"),
        ({"extra": 1}, "no record: has a field that is not among at, body, kind, node, prev, seen, seq, sig, v"),
    ],
)
def test_LINE_a_broken_envelope_is_no_record(change: dict[str, Any], says: str) -> None:
    value = example("lease.acquire") | change
    assert bad_record(value).startswith(says)
    with pytest.raises(BadLine):
        schema.read_record(canonical(value))


def test_LINE_a_record_is_no_seal_and_a_seal_no_record() -> None:
    seal, acquire = canonical(example("seal")), canonical(example("lease.acquire"))
    assert isinstance(schema.read_seal(seal), record.Seal)
    with pytest.raises(BadLine, match="no record: "):
        schema.read_record(seal)
    with pytest.raises(BadLine, match="no seal: "):
        schema.read_seal(acquire)
    with pytest.raises(BadLine, match="no seal: parent"):
        schema.read_line(canonical(example("seal") | {"parent": "x"}))
    for line in (b"{}", b'{"kind":"seal"}', b'{"kind":null}', b'{"kind":{"seal":1}}', b"[]", b""):
        with pytest.raises(BadLine):
            schema.read_line(line)


def test_SEAL_what_a_seal_says_is_read() -> None:
    value = example("seal") | {"over": "ab" * 32}
    seal = schema.read_seal(canonical(value))
    (log, head) = next(iter(value["heads"].items()))
    assert seal.heads == {log: (head["seq"], head["id"])}
    assert (seal.epoch, seal.parent, seal.rules, seal.state) == (42, value["parent"], 1, value["state"])
    assert (seal.over, schema.read_seal(canonical(example("seal"))).over) == ("ab" * 32, None)


@pytest.mark.parametrize(
    "heads",
    [
        {},
        {"oak": {"id": "0" * 64, "seq": 1}},
        {"oak-3f9a01c2\n": {"id": "0" * 64, "seq": 1}},
        {"oak-3f9a01c2": {"id": "0" * 64}},
        {"oak-3f9a01c2": {"id": "0" * 64, "seq": 0}},
        {"oak-3f9a01c2": {"id": "0" * 64, "seq": 1, "x": 1}},
        {"oak-3f9a01c2": ["0" * 64, 1]},
        {f"n{number}-00000000": {"id": "0" * 64, "seq": 1} for number in range(1001)},
    ],
)
def test_SEAL_heads_are_1_to_1000_logs_with_seq_and_id(heads: dict[str, Any]) -> None:
    assert not seal_stands(example("seal") | {"heads": heads})


@pytest.mark.parametrize("payload", [None, True, 0, -1, "", "x\n\x1b\u202e", [], {}, [1, [2]], {"a": {"b": [None]}}])
def test_an_event_carries_any_payload(payload: Any) -> None:
    value = example("event.publish", payload=payload)
    assert schema.read_record(canonical(value)).flaw is None


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_body_may_have_an_idempotency_key(name: str) -> None:
    for once in ("a", "a" * 128, "run:7/deploy@oak-1._"):
        assert schema.check_record(example(name, once=once)) is None
    for once in ("", "a" * 129, "-a", "a b", "a\n", 1, None):
        assert "body.once" in flaw(example(name, once=once))


@pytest.mark.parametrize(
    "text", ["\x1b]0;x\x07", "\u202e\u2066", "\x85\u2028\n\r", "[bold]\x9b31m", "\ud83d\ude00", "'\"\\"]
)
def test_B8_a_reason_carries_no_control_character(text: str) -> None:
    text = text.encode("utf-16", "surrogatepass").decode("utf-16")
    for body in ({"lease": text}, {text: 1}, {"session": {text: text}}, {"queue": [text]}):
        flaw(example("lease.acquire", **body))
    bad_record(example("lease.acquire") | {"node": text})
    bad_record(example("lease.acquire") | {"kind": text})
    bad_record(example("lease.acquire") | {text: 1})
    assert not seal_stands(example("seal") | {"heads": {text: 1}})


HUGE: dict[str, dict[str, Any]] = {
    "many roles, no two alike, none sortable": {
        "roles": [[number] if number % 2 else number for number in range(9000)]
    },
    "many roles, all alike": {"roles": ["admin"] * 7000},
    "many objects": {"roles": [{"a": number} for number in range(6000)]},
    "many fields": {f"\x1b{number}": number for number in range(3500)},
    "a long name": {"name": "a" * 60_000},
    "a long field": {"\x1b" * 9000: 1},
    "dashes": {"name": "a-" * 30_000},
}


@pytest.mark.parametrize("body", HUGE.values(), ids=HUGE.keys())
def test_a_huge_body_is_refused_in_a_short_line(body: dict[str, Any]) -> None:
    line = canonical(example("node.admit", **body))
    assert len(line) < record.MAX_LINE_BYTES
    reason = plain(schema.read_record(line).flaw or "")
    assert re.search("want .* at most 40|want what the node may do|not among key, name, once, roles", reason)


@pytest.mark.parametrize("name", NAMES)
def test_the_length_of_a_list_is_asked_before_its_items_are_compared(name: str) -> None:
    for path, part in nodes(FILES[name]):
        words = list(part)
        if "uniqueItems" in words:
            assert words.index("maxItems") < words.index("uniqueItems"), path


def test_unknown_kinds_leave_nothing_behind() -> None:
    before = schema._fits.cache_info().currsize
    for number in range(100):
        kind = "x." + "a" * (1 + number % 30)
        assert "unknown to these rules" in flaw(example("lease.acquire") | {"kind": kind})
    assert schema._fits.cache_info().currsize <= before + 1


def test_schemas_are_read_and_compiled_only_where_they_are_needed() -> None:
    program = """
import sys, orxaq_mesh.schema as schema
print(sorted({"jsonschema", "jsonschema_rs"} & set(sys.modules)))
schema.read_line(sys.argv[1].encode())
print(sorted({"jsonschema", "referencing"} & set(sys.modules)), schema._document.cache_info().currsize)
"""
    argv = [sys.executable, "-c", program, canonical(example("lease.acquire")).decode()]
    shown = subprocess.run(argv, capture_output=True, timeout=60, check=True, text=True)
    assert shown.stdout == "[]\n[] 2\n"


def test_the_schemas_are_found_where_the_wheel_puts_them(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "orxaq_mesh", tmp_path / "orxaq_mesh", ignore=shutil.ignore_patterns("schemas"))
    shutil.copytree(ROOT / "schemas", tmp_path / "orxaq_mesh" / "schemas")
    program = "from orxaq_mesh import schema; print(len(schema.kinds()), schema._folder())"
    shown = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        timeout=60,
        check=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert shown.stdout == f"{len(KINDS)} {tmp_path}/orxaq_mesh/schemas\n"
