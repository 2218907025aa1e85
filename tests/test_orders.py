"""Files of orders: what people write is read as it stands or refused with file and line, never with a traceback."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh.errors import Refused, Usage
from orxaq_mesh.kinds.dag import flaws
from orxaq_mesh.kinds.mapping import follows
from orxaq_mesh.orders import dags, forms, reactors, source
from orxaq_mesh.record import canonical
from orxaq_mesh.schema import document

ROOT = Path(__file__).resolve().parent.parent
BASE = "tasks:\n  build:\n    run: make all\n"


def refused(tmp_path: Path, text: str, name: str = "f.yaml", read: Any = dags.read) -> Usage:
    (tmp_path / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(Usage) as error:
        read(tmp_path / name)
    return error.value


def dag(tmp_path: Path, text: str, name: str = "f.yaml") -> dags.DagFile:
    (tmp_path / name).write_text(text, "utf-8")
    return dags.read(tmp_path / name)


# The shorter ways.


def test_the_shorter_ways_come_to_what_records_say(tmp_path: Path) -> None:
    text = """
dag: release
priority: 3
limits: {deploy: 1}
tasks:
  build:
    run: make "all of it" -j 4
    artefacts: dist/*
    limit: 10m
    ttl: 1h30m
    backoff: 30
    attempts: 2
    environment: CC
    receipts: review
  ship:
    needs: build
    before: test -e dist
    commands:
      - ./bin/ship.sh --now
      - name: tell
        shell: echo done | mail fleet
        limit: 500ms
      - ./other/ship.sh
    rollback: [./unship]
"""
    found = dag(tmp_path, text)
    build = {
        "name": "build",
        "commands": [{"run": ["make", "all of it", "-j", "4"], "artefacts": ["dist/*"], "name": "make"}],
        "limit_ms": 600_000,
        "ttl_ms": 5_400_000,
        "backoff_ms": 30_000,
        "attempts": 2,
        "environment": ["CC"],
        "receipts": ["review"],
    }
    ship = {
        "name": "ship",
        "needs": ["build"],
        "before": [{"run": ["test", "-e", "dist"], "name": "test"}],
        "commands": [
            {"run": ["./bin/ship.sh", "--now"], "name": "ship.sh"},
            {"name": "tell", "shell": "echo done | mail fleet", "limit_ms": 500},
            {"run": ["./other/ship.sh"], "name": "ship.sh-2"},
        ],
        "rollback": [{"run": ["./unship"], "name": "unship"}],
    }
    assert found == dags.DagFile("release", [build, ship], {"deploy": 1}, 3)
    assert dags.records(found) == [
        ("dag.submit", {"dag": "release", "limits": {"deploy": 1}, "priority": 3, "tasks": [build, ship]})
    ]


def test_json_and_yaml_and_a_list_of_tasks_say_the_same(tmp_path: Path) -> None:
    as_yaml = dag(tmp_path, "tasks:\n  b: {needs: a, run: make}\n  a: {run: [make, a]}\n", "one.yaml")
    as_json = dag(tmp_path, '{"tasks":{"b":{"needs":"a","run":"make"},"a":{"run":["make","a"]}}}', "one.json")
    listed = dag(tmp_path, "tasks:\n- {name: b, needs: [a], run: make}\n- {name: a, run: make a}\n", "one.yml")
    assert as_yaml == as_json == listed
    assert as_yaml.name == "one"


def test_every_task_that_is_read_fits_the_record_schema() -> None:
    import jsonschema_rs

    envelope = document("envelope")
    registry = jsonschema_rs.Registry([(envelope["$id"], envelope)])
    fits = jsonschema_rs.Draft202012Validator(document("dag.submit"), registry=registry).is_valid
    (_, body), *_ = dags.records(dags.read(ROOT / "examples/release.yaml"))
    example = document("dag.submit")["examples"][0]
    assert fits({**example, "body": {**body, "until": 3}})
    assert not fits({**example, "body": {**body, "until": 3, "more": 1}})


# What is refused, and where.


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("tasks:\n  build: {}\n  build: {}\n", 3, "the key build stands here a second time (first in line 2)"),
        ("tasks:\n  build:\n\t  run: x\n", 3, "a tab"),
        ("a: &x [1]\ntasks: {b: *x}\n", 1, "anchors and aliases"),
        ("tasks:\n  build: {run: make, limit: 1.5}\n", 2, "1.5 is a number that records do not carry"),
        ("tasks:\n  build: {run: make, limit: 1e3}\n", 2, "1e3 is a number"),
        ("tasks:\n  build: {run: make, attempts: 010}\n", 2, "010 is a number"),
        ("tasks:\n  build: {run: make, attempts: 99999999999999999999999}\n", 2, "is a number"),
        ("tasks:\n  build: {run: make, attempts: 9999999999999999}\n", 2, "is a number"),
        ("tasks:\n  build: !!python/object {}\n", 2, "tags are not allowed"),
        ("%YAML 1.1\n---\ntasks: {}\n", 1, "directives"),
        ("tasks: {a: {run: x}}\n---\ntasks: {}\n", 2, "a second document"),
        ("tasks:\n  build: [\n", 3, "expected the node content"),
        ("tasks:\n  build:\n    rum: make\n", 3, "there is no field rum; did you mean run?"),
        ("tasks:\n  build:\n    run: make\n    zzz: 1\n", 4, "there is no field zzz (there are "),
        ("tasks:\n  build:\n    limit: 10 minutes\n", 3, "is no duration: write 600 (seconds), 10m"),
        ("tasks:\n  build:\n    limit: 10m\n    limit_ms: 5\n", 4, "limit or limit_ms, not both"),
        ('tasks:\n  build:\n    run: make "all\n', 3, "cannot be split into words"),
        ("tasks:\n  build:\n    run: make && make test\n", 3, "no shell sees `run`, and && stands in it"),
        ("tasks:\n  build:\n    run: make; make test\n", 3, "and ; stands in it"),
        ("tasks:\n  build:\n    run: make >log 2>&1\n", 3, "and >log stands in it"),
        ("tasks:\n  build:\n    run: |\n      make\n      make test\n", 3, "and a second line stands in it"),
        ("tasks:\n  build:\n    commands:\n      - {name: x}\n", 4, "either `run` or `shell`"),
        ("tasks:\n  build:\n    run: x\n    commands: y\n", 4, "not both"),
        ("tasks:\n  build:\n    artefacts: x\n", 3, "beside its `run`"),
        ("tasks:\n  build: {}\n  test:\n    needs: [buidl]\n", 4, "test needs buidl, and there is no such task; did you mean build?"),
        ("tasks:\n  a: {needs: c}\n  b: {needs: a}\n  c:\n    needs: b\n", 2, "a cycle: a -> c -> b -> a"),
        ("tasks:\n  a: {needs: a}\n", 2, "a cycle: a -> a"),
        ("tasks:\n- name: a\n- name: a\n", 3, "a second task is named a (the first in line 2)"),
        ("tasks:\n- {run: x}\n", 2, "the field name is missing"),
        ("tasks:\n  -x: {}\n", 2, "not allowed here: want a letter or digit"),
        ("tasks:\n  a: {priority: 10}\n", 2, "priority"),
        ("tasks:\n  a:\n    before: [{name: x, run: y}]\n    run: z\n    after: [{name: x, run: y}]\n", 2, "two steps named x"),
        ("tasks: {}\n", 1, "nothing stands here"),
        ("tasks: 5\n", 1, "want a mapping or a list"),
        ("", 1, "want a mapping"),
        ("dags: x\n", 1, "there is no field dags; did you mean dag?"),
        ("tasks:\n  a: {objective: \"\\ud800\"}\n", 2, "half a character"),
        ("tasks:\n  a: {objective: \"x\x00\"}\n", 2, "a character that YAML does not allow"),
        (BASE + "\u00e9: 1\n", 4, "not ASCII"),
        (BASE + "  [1, 2]: 1\n", 4, "a key is to be a word"),
        ("a: " + "[" * 60, 1, "nested deeper than 15 levels"),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    error = refused(tmp_path, text)
    assert what in f"{error.what}; {error.hint}"
    assert f"f.yaml, line {line}: " in error.what
    assert error.facts == {"file": str(tmp_path / "f.yaml"), "line": line}
    assert error.hint


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ('{"tasks":{\n"a":{},\n"b":{},"a":{}}}', 3, 'the key "a" stands twice'),
        ('{"tasks":{"a":{\n"priority":1.0}}}', 2, "1.0 is a number"),
        ('{"tasks":{\n"a":{"priority":NaN}}}', 2, "NaN is a number"),
        ('{"tasks":{\n"a":{"priority":' + "9" * 5000 + "}}}", 1, "number"),
        ('{"tasks":{\n"a":{},\n"b":{"needs":["a",\n"c"]}}}', 3, "b needs c"),
        ('{"tasks":[{"name":"a"},\n{"name":"b","objective":\n7}]}', 2, "tasks[2].objective: 7 is not allowed"),
        ('{"tasks":\n', 2, "no JSON"),
        ('{"tasks":{\n"a":{"objective":"\\ud800"}}}', 2, "half a character"),
        ("\ufeff{}", 1, "byte order mark"),
        ("[" * 100_000, 1, "nested too deep"),
    ],
)
def test_bad_json_is_refused_with_file_and_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    error = refused(tmp_path, text, "f.json")
    assert what in error.what
    assert f"f.json, line {line}: " in error.what


def test_B10_sizes_are_asked_before_anything_is_parsed(tmp_path: Path) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [*a,*a,*a,*a,*a,*a]\n" for c in "bcdefgh")
    assert "anchors" in refused(tmp_path, bomb).what
    assert "tags are not" in refused(tmp_path, "a: !" + "x" * 1_000_000).what
    assert "more than 4 MiB" in refused(tmp_path, "#" * (source.MAX_YAML_BYTES + 1)).what
    error = refused(tmp_path, " " * (source.MAX_JSON_BYTES + 1), "f.json")
    assert "more than 32 MiB" in error.what
    with pytest.raises(Usage, match="no file"):
        dags.read(tmp_path / "missing.yaml")


def test_what_a_shell_would_understand_is_meant_where_it_is_quoted(tmp_path: Path) -> None:
    run = """find . -name '*.o' -exec rm {} \\; -o "a && b" 'x; y' http://h/?a=1&b=2 p=>q"""
    found = dag(tmp_path, json.dumps({"tasks": {"a": {"run": run}}}), "f.json")
    words = found.tasks[0]["commands"][0]["run"]
    assert words == [
        "find",
        ".",
        "-name",
        "*.o",
        "-exec",
        "rm",
        "{}",
        ";",
        "-o",
        "a && b",
        "x; y",
        "http://h/?a=1&b=2",
        "p=>q",
    ]


def test_a_flaw_at_the_end_of_a_large_file_is_found_in_time(tmp_path: Path) -> None:
    tasks = "".join(f'"t{n}": {{"run": "make {n}"}},\n' for n in range(20_000))
    begun_s = time.process_time()
    assert "line 20002: " in refused(tmp_path, f'{{"tasks": {{\n{tasks}"t7": {{}}}}}}', "f.json").what
    assert "line 20002: " in refused(tmp_path, f'{{"tasks": {{\n{tasks}"x": {{"needs": "y"}}}}}}', "f.json").what
    assert time.process_time() - begun_s < 10


def test_words_that_yaml_readers_disagree_on_are_words(tmp_path: Path) -> None:
    found = dag(tmp_path, "tasks:\n  on: {run: yes}\n  no: {run: [echo, 2026-01-01, 'null', \"5\"]}\n")
    assert [task["name"] for task in found.tasks] == ["on", "no"]
    assert dag(tmp_path, '{"tasks": {"a": {"objective": "\\ud83d\\ude00"}}}').tasks[0]["objective"] == "\U0001f600"
    assert [task["commands"][0]["run"] for task in found.tasks] == [["yes"], ["echo", "2026-01-01", "null", "5"]]


_words = st.text(st.sampled_from("abs:-{}[],&*!|>'\"%@`#?\\ \n\t01.e~=<\u00e9\u2028"), max_size=40)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["run", "needs", "name", "limit", "a"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(_words, st.integers(0, len(BASE)))
def test_CLOSED_whatever_stands_in_a_yaml_file_is_read_or_refused_with_its_line(noise: str, at: int) -> None:
    text = BASE[:at] + noise + BASE[at:]
    _read_or_refused(text.encode(), "f.yaml")


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40) | _json.map(lambda value: json.dumps({"tasks": value, "dag": "x"}).encode()))
def test_CLOSED_whatever_stands_in_a_json_file_is_read_or_refused_with_its_line(data: bytes) -> None:
    _read_or_refused(data, "f.json")


_rule_words = st.sampled_from(
    ["on", "where", "give", "else", "command", "event", "topic", "type", "payload", "$best", "by", "is", "in"]
)
_rule_parts = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(["$payload.x", "$", "$node", "payload..x", "elm", ""]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_rule_words, inner, max_size=4),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries(
        {"on": _rule_parts, "give": st.dictionaries(_rule_words, _rule_parts)},
        optional={"where": _rule_parts, "else": _rule_parts},
    )
)
def test_CLOSED_whatever_a_rule_says_is_read_or_refused_with_its_line(rule: Any) -> None:
    _read_or_refused(json.dumps({"reactor": "r", "version": 1, "rules": [rule]}).encode(), "f.json", reactors.read)


def _read_or_refused(data: bytes, name: str, read: Any = dags.read) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        said = ""
        try:
            found = read(path)
        except Usage as error:
            said = error.what
        if said:
            assert re.search(rf"{re.escape(name)}(, line [1-9][0-9]*)?: ", said)
        elif read is dags.read:
            assert not flaws(found.tasks)
            canonical({"tasks": found.tasks})


def test_SECRET_a_credential_in_a_file_is_refused_with_its_line_and_not_repeated(tmp_path: Path) -> None:
    token = "ghp_" + "0aB" * 12
    (tmp_path / "f.yaml").write_text(f"tasks:\n  a: {{run: make}}\n  b:\n    run: deploy --token {token}\n")
    with pytest.raises(Refused, match=r"f\.yaml, line 3: the task b holds a credential, at commands\.0\.run\.2") as no:
        dags.read(tmp_path / "f.yaml")
    assert (no.value.rule, token in no.value.what) == ("SECRET", False)


# Records.


def test_DAG_4_ten_thousand_tasks_are_a_few_dozen_records_each_within_a_line() -> None:
    tasks = [{"name": f"t{n}", "needs": [f"t{n - 1}"] if n else [], "commands": [{"name": "x", "run": ["make", "x" * 60]}]} for n in range(10_000)]  # fmt: skip
    found = dags.records(dags.DagFile("big", tasks, {"build": 3}, 4))
    again = dags.records(dags.DagFile("big", tasks, {"build": 3}, 4))
    assert found == again
    assert 20 < len(found) < 60
    assert found[0][1]["parts"] == len(found) - 1
    assert [(kind, body.get("part")) for kind, body in found[1:4]] == [("dag.part", n) for n in (1, 2, 3)]
    assert [task for _, body in found for task in body["tasks"]] == tasks
    assert max(len(canonical(body)) for _, body in found) <= 60 * 1024 - 1024


def test_a_task_that_no_line_holds_is_refused() -> None:
    huge: dict[str, Any] = {
        "name": "a",
        "objective": "x" * 8000,
        "commands": [{"name": f"c{n}", "run": ["x" * 4000] * 2} for n in range(10)],
    }
    with pytest.raises(Usage, match="the task a has"):
        dags.records(dags.DagFile("big", [huge], {}, None))


# Reactors.


def test_the_example_follow_ups_give_what_they_say() -> None:
    body = reactors.read(ROOT / "examples/follow-ups.yaml")
    assert (body["reactor"], body["version"]) == ("follow-ups", 1)

    def given_by(topic: str, type_: str, **payload: Any) -> list[Any]:
        facts = {"topic": topic, "type": type_, "payload": payload, "cause": "0" * 64, "node": "elm"}
        return [found for rule in body["rules"] if (found := follows(rule, facts)) is not None]

    assert given_by("heartbeat", "changed") == [
        {"event": {"topic": "tick", "type": "requested", "payload": {"node": "elm"}}}
    ]
    options = [{"name": "a", "score": 3, "healthy": True}, {"name": "b", "score": 9, "healthy": False}]
    assert [found["event"]["type"] for found in given_by("task", "enqueued", task="t", options=options)] == [
        "scheduled",
        "requested",
    ]
    assert given_by("route", "requested", task="t", options=options)[0]["event"]["payload"]["option"]["name"] == "a"
    assert given_by("route", "requested", task="t", options=options[1:])[0]["event"]["type"] == "blocked"
    assert given_by("lanes", "failed", lane="gpu", failed=2) == []
    assert given_by("lanes", "failed", lane="gpu", failed=3)[0]["event"]["type"] == "decided"
    assert given_by("scaling", "decided", lane="gpu", up=1)[0]["command"]["holder"] == "leader"


@pytest.mark.parametrize(
    ("rule", "line", "what"),
    [
        ("{on: {}, give: {event: {topic: a, type: b, payload: 1}}}", 4, "name a topic"),
        ("{on: {topic: a}, give: {}}", 4, "either `command` or `event`"),
        ("{on: {topic: a}, give: {event: {topic: a, type: b}}}", 4, "the field payload is missing"),
        ("{on: {topic: a}, give: {event: {topic: a, typ: b, payload: 1}}}", 4, "no field typ; did you mean type?"),
        ("{on: {topic: a}, give: {command: {name: x}}}", 4, "exactly one address"),
        ("{on: {topic: a}, give: {event: {topic: a, type: b, payload: $paylod.x}}}", 4, "did you mean payload?"),
        ("{on: {topic: a}, where: {payload..x: 1}, give: {command: {name: x, to: elm}}}", 4, "is no path"),
        ("{on: {topic: a}, where: {payload.x: {is: 1, atleast: 2}}, give: {command: {name: x, to: elm}}}", 4, "no test atleast"),
        ("{on: {topic: a}, give: {command: {name: x, to: elm}}, else: {command: {name: y, to: elm}}}", 4, "`else` is for"),
        ("{on: {topik: a}, give: {command: {name: x, to: elm}}}", 4, "no field topik"),
    ],
)  # fmt: skip
def test_REACTOR_1_a_bad_mapping_is_refused_with_file_and_line(tmp_path: Path, rule: str, line: int, what: str) -> None:
    error = refused(tmp_path, f"reactor: r\nversion: 1\nrules:\n  - {rule}\n", read=reactors.read)
    assert what in error.what
    assert f"f.yaml, line {line}: " in error.what


def test_the_forms_are_schemas_themselves() -> None:
    from jsonschema import Draft202012Validator

    for form in ("dag", "reactor"):
        Draft202012Validator.check_schema(forms.schema(form))
