"""The forms that public checkers use, each with a good and a bad history of our own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from tests.linear import Operation, check, edn
from tests.linear.__main__ import main
from tests.linear.forms import BadHistory, read, write
from tests.linear.test_checker import lease_deeds, timed


def log(*lines: str, head: str = "INFO  jepsen.util - ") -> str:
    """Lines as Jepsen logs them: tabs between the words."""
    return "".join(head + line.replace(" :", "\t:").replace(" |", "\t") + "\n" for line in lines)


OLD_LOG = (
    "0 :invoke :read |nil",
    "1 :invoke :write |3",
    "0 :ok :read |nil",
    "1 :ok :write |3",
    "2 :invoke :cas |[3 4]",
    "3 :invoke :write |1",
    "2 :ok :cas |[3 4]",
    "3 :info :write |:timed-out",
    "0 :invoke :cas |[2 0]",
    "0 :fail :cas |[2 0]",
    "4 :invoke :read |nil",
    "4 :fail :read |:timed-out",
    ":nemesis :info :start |nil",
)
GOOD_END = ("0 :invoke :read |nil", "0 :ok :read |4", "9 :invoke :read |nil", "9 :ok :read |1")
BAD_END = ("0 :invoke :read |nil", "0 :ok :read |1", "9 :invoke :read |nil", "9 :ok :read |4")


@pytest.mark.parametrize(
    "head",
    [
        "INFO  jepsen.util - ",
        "INFO [2024-05-01 10:00:00,123] jepsen worker 0 - jepsen.util ",
        "",
    ],
)
def test_C1_a_log_of_a_register_is_read_whatever_its_prefix(head: str) -> None:
    noise = "INFO  jepsen.core - Relative time begins now\n\n"
    good, bad = (read(noise + log(*OLD_LOG, *end, head=head)) for end in (GOOD_END, BAD_END))
    assert [(o.process, o.op, o.args, o.result, o.open) for o in good] == [
        ("0", "read", None, None, False),
        ("1", "write", 3, None, False),
        ("2", "cas", (3, 4), True, False),
        ("3", "write", 1, None, True),
        ("0", "cas", (2, 0), False, False),
        ("0", "read", None, 4, False),
        ("9", "read", None, 1, False),
    ]
    assert check(good).linearizable
    verdict = check(bad)
    assert (verdict.model, verdict.linearizable) == ("cas-register", False)
    assert "line 18" in str(verdict)


def test_C1_spaces_and_hints_in_a_log_are_no_matter() -> None:
    text = "INFO  jepsen.util - 6 \t:invoke :write \t38 \t:hint 0\nINFO  jepsen.util - 6 \t:ok :write \t38 \t:hint 2\n"
    assert [(o.op, o.args, o.returned) for o in read(text)] == [("write", 38, 2)]


def test_C1_a_cas_that_failed_saw_another_value_where_logs_mean_that() -> None:
    lines = ("0 :invoke :write |1", "0 :ok :write |1", "0 :invoke :cas |[1 2]", "0 :fail :cas |[1 2]")
    assert not check(read(log(*lines))).linearizable
    assert check(read(log(*lines), failed_cas=False)).linearizable
    assert check(read(log(*lines[:3], "0 :fail :cas |[1 2] |:no-primary"))).linearizable
    text = "{:process 0 :type :invoke :f :write :value 1} {:process 0 :type :ok :f :write :value 1}"
    text += "{:process 0 :type :invoke :f :cas :value [1 2]} {:process 0 :type :fail :f :cas :value [1 2]}"
    assert check(read(text)).linearizable
    assert not check(read(text, failed_cas=True)).linearizable


KV = """\
{:process 0, :type :invoke, :f :get, :key "a", :value nil}
{:process 1, :type :invoke, :f :append, :key "a", :value "x 1 0 y"}
{:process 0, :type :ok, :f :get, :key "a", :value ""}
{:process 2, :type :invoke, :f :put, :key "b", :value "x 2 0 y"}
{:process 1, :type :ok, :f :append, :key "a", :value "x 1 0 y"}
{:process 2, :type :ok, :f :put, :key "b", :value "x 2 0 y"}
{:process 0, :type :invoke, :f :append, :key "a", :value "x 0 1 y"}
{:process 0, :type :ok, :f :append, :key "a", :value "x 0 1 y"}
{:process 2, :type :invoke, :f :get, :key "a", :value nil}
{:process 2, :type :ok, :f :get, :key "a", :value "%s"}
"""


@pytest.mark.parametrize(("value", "answer"), [("x 1 0 yx 0 1 y", True), ("x 0 1 yx 1 0 y", False), ("x 0 1 y", False)])
def test_C1_a_log_of_a_key_value_store_is_read(value: str, answer: bool) -> None:
    verdict = check(read(KV % value))
    assert (verdict.model, verdict.linearizable) == ("kv", answer)
    assert {part.lease for part in verdict.parts} == {"a", "b"}


EVENTS: list[dict[str, Any]] = [
    {"process": 0, "type": "invoke", "f": "write", "value": 0},
    {"process": 0, "type": "ok", "f": "write", "value": 0},
    {"process": 1, "type": "invoke", "f": "read", "value": None},
    {"process": 2, "type": "invoke", "f": "write", "value": 4},
    {"process": 1, "type": "ok", "f": "read", "value": 4},
    {"process": "nemesis", "type": "info", "f": "kill", "value": None},
    {"process": 2, "type": "info", "f": "write", "value": 4},
]


def as_edn(event: dict[str, Any]) -> str:
    words = {"nil": "nil"} | {str(n): str(n) for n in range(10)}
    value = words["nil" if event["value"] is None else str(event["value"])]
    process = ":nemesis" if event["process"] == "nemesis" else event["process"]
    return f"{{:process {process}, :type :{event['type']}, :f :{event['f']}, :value {value}, :index 7}}"


@pytest.mark.parametrize("seen", [4, 3])
def test_C1_one_history_says_the_same_in_every_form(seen: int) -> None:
    events = [e | {"value": seen} if (e["type"], e["f"]) == ("ok", "read") else e for e in EVENTS]
    lines = [as_edn(event) for event in events]
    forms = [
        json.dumps(events),
        "\n".join(map(json.dumps, events)) + "\n",
        "\n".join(lines),
        f"; ours\n[{chr(10).join(lines)}]",
        f"(\n{' '.join(lines)})\n",
        "\n".join(f"#jepsen.history.Op{line}" for line in lines),
        "[" + "\n #_{:process 9} ".join(lines) + "]",
    ]
    read_all = [read(form) for form in forms]
    assert len({tuple(o._replace(line=0) for o in each) for each in read_all}) == 1
    assert [check(each).linearizable for each in read_all] == [seen == 4] * len(forms)


def test_C1_values_that_are_pairs_of_key_and_value_are_judged_key_by_key() -> None:
    def keyed(value: int) -> str:
        lines = ("0 :invoke :write |[7 1]", "0 :ok :write |[7 1]", "1 :invoke :read |[8 nil]", "1 :ok :read |[8 nil]")
        return log(*lines, "2 :invoke :cas |[7 [1 2]]", "2 :info :cas |[7 [1 2]]", "3 :invoke :read |[7 nil]") + log(
            f"3 :ok :read |[7 {value}]"
        )

    assert [check(read(keyed(value))).linearizable for value in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "neither"),
        ("lorem ipsum", "neither"),
        ("[]", "neither"),
        ('{"process": 0, "type": "ok"}', "line 1: no f"),
        ('{"process": 0, "type": "done", "f": "read"}', "line 1: a type"),
        ('{"process": 0, "type": "invoke", "f": "read"}\n{"process"', "line 2: no JSON"),
        ("[{:process 0 :type :invoke :f :read}\n(}]", "line 2: } closes ("),
        ("[{:process 0 :type :invoke :f :read}\n", "an early end"),
        ("{:process 0 :type :ok :f :read :value 1}", "it has not called"),
        ("{:process 0 :type :invoke :f :read}\n{:process 0 :type :ok :f :write}", "line 2: a write returns where"),
        ("{:process 0 :type :invoke :f :cas :value 1}", "line 1: a cas names"),
        ("{:process 0 :type :invoke :f :append :key 1 :value 1}", "line 1: append takes a text"),
        ("[1 2]", "no map"),
    ],
)
def test_C1_what_is_no_history_is_refused_with_its_line(text: str, says: str) -> None:
    with pytest.raises(BadHistory) as refused:
        read(text)
    assert says in str(refused.value)


def test_LINE_values_of_edn_are_read() -> None:
    text = (
        r"""nil true -1 2.5 1N "a \"b\" \n" \a \newline :k/w sym [1, [2]] #{1} {:a 1 "b" {:c nil}} #inst "2024" ; end"""
    )
    found = edn.values(text)
    line = {edn.LINE: 1}
    assert found == [
        None, True, -1, 2.5, 1, 'a "b" \n', "a", "\n", "k/w", "sym", [1, [2]], [1],
        {"a": 1, "b": {"c": None} | line} | line, "2024",
    ]  # fmt: skip


@given(timed(lease_deeds, most=6))
def test_C1_a_history_of_leases_is_written_and_read_again(operations: list[Operation]) -> None:
    one_each = [o._replace(process=f"n{number}/s", line=0) for number, o in enumerate(operations)]
    again = [o._replace(line=0) for o in read(write(one_each))]
    known = [o for o in one_each if not o.open or o.op != "read"]
    assert sorted(map(str, again)) == sorted(map(str, known))


def test_C1_the_command_line_judges_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, none = tmp_path / "good.log", tmp_path / "bad.log", tmp_path / "none"
    good.write_text(log(*OLD_LOG, *GOOD_END))
    bad.write_text(log(*OLD_LOG, *BAD_END))
    none.write_bytes(b"\xff\xfe")
    assert main([str(good)]) == 0
    assert main([str(good), str(bad)]) == 1
    assert main([str(bad), "--model", "kv"]) == 2
    assert main([str(none)]) == 2
    assert main([str(tmp_path / "missing")]) == 2
    told = capsys.readouterr()
    assert f"{good}: linearizable" in told.out
    assert "no order explains this one:\n    9: read -> 4" in told.out
    assert "the model kv knows no" in told.err


def test_C1_the_command_runs_as_a_module(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.linear", "-"], input=KV % "z", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("-: not linearizable")
