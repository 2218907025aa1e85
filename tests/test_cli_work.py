"""DAGs, tasks, commands, the breaker and reactors from the command line: real programs, a real hub, a real worker."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from orxaq_mesh.cli import app as cli
from orxaq_mesh.cli import call as calls
from orxaq_mesh.cli import complete
from tests.fleet import MESH, Done, Fleet
from tests.test_cli_fleet import BREAKING, breaks_a_terminal, signed

pytestmark = pytest.mark.xdist_group("cli_work")

DAG = """
tasks:
  make:
    objective: OBJECTIVE
    run: sh ./make.sh
    artefacts: out/*
    after: test -s out/made
    limit: 1m
  shaky: {needs: make, run: "false", attempts: 2}
  behind: {needs: shaky, run: "true"}
  docs: {needs: make, run: "true"}
"""
RECIPES = """
commands:
  greet: {run: [echo, "hello {who}"]}
  stumble: {run: ["false"]}
"""


class Near(Fleet):
    """A fleet whose commands run in this very process, which is quicker; `far` is a process of its own."""

    def mesh(self, node: str, *words: str, stdin: str = "", cwd: Path | None = None, **more: str) -> Done:
        if words[0] in ("init", "join", "admit"):
            return self.far(node, *words)
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(cwd or self.folder)
            for name, value in self.env(node, **more).items():
                patch.setenv(name, value)
            code = cli.run(list(words))
        return Done(code, out.getvalue(), err.getvalue())

    def far(self, node: str, *words: str) -> Done:
        return super().mesh(node, *words)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Near:
    """oak submits, elm works; the DAG `built` was done as far as it can be."""
    made = Near(tmp_path_factory.mktemp("work"))
    made.found("oak", "elm")
    work = made.folder / "checkout"
    work.mkdir()
    (work / "make.sh").write_text(
        "echo making; echo careful >&2; mkdir -p out; echo made > out/made; printf 'no newline'"
    )
    (made.folder / "built.yaml").write_text(DAG.replace("OBJECTIVE", json.dumps(BREAKING)))
    (made.home("elm") / "work.yaml").write_text(RECIPES)
    made.ok("oak", "dag", "submit", "built.yaml")
    works(made)
    return made


def works(fleet: Near, *more: str, idle: str = "400ms") -> str:
    """What elm says while it does what is to be done."""
    words = ("work", "--trust", "oak", "--idle", idle, "--folder", str(fleet.folder / "checkout"), *more)
    done = fleet.far("elm", *words)
    assert done.code == 0, done
    return done.out + done.err


def write(fleet: Near, name: str, text: str) -> str:
    (fleet.folder / name).write_text(text)
    return name


# DAGs.


def test_a_dag_that_is_none_is_refused_with_file_and_line_before_anything_is_signed(fleet: Near) -> None:
    write(fleet, "circle.yaml", "tasks:\n  a: {needs: b}\n  b:\n    needs: [a]\n")
    before = signed(fleet, "oak")
    no = fleet.mesh("oak", "dag", "submit", "circle.yaml")
    assert (no.code, no.out) == (2, "")
    assert "circle.yaml, line 2: tasks.a.needs: a cycle: a -> b -> a\n" in no.err
    told = fleet.mesh("oak", "dag", "submit", "circle.yaml", "--json").error
    assert (told["code"], told["line"], told["file"]) == ("usage", 2, "circle.yaml")
    assert fleet.mesh("oak", "dag", "submit", "nowhere.yaml").code == 2
    assert signed(fleet, "oak") == before


def test_DAG_2_a_name_is_one_dag_at_a_time_and_ONCE_the_same_key_is_one_submit(fleet: Near) -> None:
    write(fleet, "one.yaml", "tasks: {a: {run: 'true', capability: none}}\n")
    first = fleet.ok("oak", "dag", "submit", "one.yaml", "--key", "k1")
    assert (first["dag"], first["tasks"], first["records"], first["result"]) == ("one", 1, 1, "submitted")
    tip = fleet.tip()
    again = fleet.ok("oak", "dag", "submit", "one.yaml", "--key", "k1")
    assert (again["record"], again["again"], fleet.tip()) == (first["record"], True, tip)
    no = fleet.mesh("elm", "dag", "submit", "one.yaml", "--json")
    assert (no.code, no.error["rule"]) == (3, "DAG-2")
    assert fleet.ok("elm", "dag", "submit", "one.yaml", "--name", "two")["dag"] == "two"
    said = fleet.mesh("oak", "dag", "cancel", "one", "--reason", "enough")
    assert (said.code, said.out) == (0, "one is cancelled\n")
    assert fleet.ok("oak", "dag", "show", "one")["state"] == "cancelled"
    again = fleet.mesh("oak", "dag", "cancel", "one", "--reason", "enough", "--json").error
    assert (again["rule"], again["message"]) == ("DAG-5", "nothing of one is left to be cancelled")
    assert "there is no DAG three" in fleet.mesh("oak", "dag", "cancel", "three", "--reason", "enough").err
    assert fleet.mesh("elm", "dag", "submit", "one.yaml", "--quiet").out == "one\n"


def test_DAG_4_a_dag_of_many_records_is_one_push(fleet: Near) -> None:
    tasks = {
        f"t{n}": {"run": ["true", "x" * 200], "capability": "none", "needs": [f"t{n // 2}"] if n else []}
        for n in range(500)
    }
    write(fleet, "big.json", json.dumps({"tasks": tasks}))
    before = _commits(fleet)
    done = fleet.far("oak", "dag", "submit", "big.json", "--key", "big", "--json")
    assert (done.code, done.data["records"]) == (0, 3)
    got = done.data
    assert _commits(fleet) == before + 1
    shown = fleet.ok("elm", "dag", "show", "big")
    assert (shown["size"], shown["counts"], shown["missing_parts"]) == (500, {"ready": 1, "waiting": 499}, 0)
    place = {task["name"]: at for at, task in enumerate(shown["tasks"])}
    assert all(place[need] < place[task["name"]] for task in shown["tasks"] for need in task["needs"])
    assert fleet.ok("oak", "dag", "submit", "big.json", "--key", "big")["record"] == got["record"]
    fleet.ok("oak", "dag", "cancel", "big", "--reason", "big")


def _commits(fleet: Near) -> int:
    argv = ["git", "--git-dir", str(fleet.hub), "rev-list", "--count", "mesh"]
    return int(subprocess.run(argv, capture_output=True, check=True).stdout)


def test_a_dag_is_listed_and_drawn_each_task_behind_its_needs(fleet: Near) -> None:
    listed = {dag["dag"]: dag for dag in fleet.ok("oak", "dag", "list")["dags"]}
    assert (listed["built"]["state"], listed["built"]["done"], listed["built"]["size"]) == ("failed", 2, 4)
    text = fleet.mesh("elm", "dag", "show", "built")
    assert text.code == 0
    rows = [re.split(r"  +", line.strip()) for line in text.out.splitlines()]
    assert rows[0] == ["built: failed, 1 blocked, 1 failed, 2 succeeded; submitted by oak in epoch 3"]
    assert [row[:3] for row in rows[2:5]] == [
        ["make", "succeeded", "elm"],
        ["shaky", "failed", "elm"],
        ["docs", "succeeded", "elm"],
    ]
    assert "2 of 2" in rows[3]
    assert rows[5][:2] == ["behind", "blocked"]
    assert rows[5][-1].startswith("needs built/shaky, which ")
    no = fleet.mesh("oak", "dag", "show", "biult")
    assert (no.code, "did you mean built?" in no.err) == (1, True)


def test_a_dag_is_watched_as_lines_as_json_and_at_a_terminal(fleet: Near) -> None:
    lines = fleet.mesh("oak", "dag", "show", "built", "--watch")
    assert (lines.code, lines.err) == (0, "")
    assert "built/make succeeded\n" in lines.out
    assert lines.out.endswith("built: failed, 2 of 4 done\n")
    told = fleet.mesh("oak", "--json", "dag", "show", "built", "--watch").out.splitlines()
    assert [json.loads(line)["data"]["name"] for line in told] == ["make", "shaky", "docs", "behind"]
    shown = at_a_terminal(fleet, "dag", "show", "built", "--watch")
    assert shown.startswith("\x1b[H\x1b[2J")
    assert f"[\x1b[32m{'#' * 20}\x1b[0m\x1b[2m{'.' * 20}\x1b[0m] 2 of 4 done" in shown
    assert re.search(r"shaky +\x1b\[1;31mfailed", shown)


def at_a_terminal(fleet: Near, *words: str) -> str:
    main, side = pty.openpty()
    env = {**fleet.env("oak"), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    env.pop("NO_COLOR", None)
    process = subprocess.Popen([*MESH, *words], env=env, stdin=side, stdout=side, stderr=side, cwd=fleet.folder)
    os.close(side)
    said = b""
    try:
        while part := os.read(main, 65536):
            said += part
    except OSError:  # the terminal's other side was closed: the command ended
        pass
    finally:
        os.close(main)
    assert process.wait(timeout=60) == 0
    return said.decode()


# Tasks.


def test_a_task_tells_its_order_its_attempts_and_its_receipts(fleet: Near) -> None:
    shown = fleet.ok("oak", "task", "show", "built/make", "--receipts")
    assert (shown["state"], shown["node"], shown["attempt"], shown["author"]) == ("succeeded", "elm", 1, "oak")
    assert [step["run"] for step in shown["order"]["commands"]] == [["sh", "./make.sh"]]
    (attempt,) = shown["made"]
    assert (attempt["node"], attempt["token"], attempt["outcome"]) == ("elm", shown["token"], "succeeded")
    run, guard = attempt["receipts"]
    assert (run["step"], run["phase"], run["exit"], run["output"]["err"]["bytes"]) == ("sh", "run", 0, 8)
    assert [made["path"] for made in run["artefacts"]] == ["out/made"]
    assert (guard["step"], guard["phase"]) == ("test", "after")

    text = fleet.mesh("oak", "task", "show", "built/make", "--receipts").out
    assert run["artefacts"][0]["sha256"] in text
    assert f"attempt 1 on elm, token {shown['token']}: succeeded" in text
    failed = fleet.ok("oak", "task", "show", "built/shaky")
    assert [one["outcome"] for one in failed["made"]] == ["failed", "failed"]
    assert "receipts" not in failed["made"][0]
    assert failed["needs"] == {"make": "succeeded"}


def test_B8_what_an_order_says_cannot_break_a_terminal(fleet: Near) -> None:
    for words in (
        ["task", "show", "built/make", "--receipts"],
        ["dag", "show", "built"],
        ["task", "list"],
        ["trace", "built"],
    ):
        for more in ([], ["--json"]):
            done = fleet.mesh("oak", *words, *more)
            assert done.code == 0
            assert breaks_a_terminal(done.out + done.err) == []


def test_tasks_are_listed_by_state_and_dag(fleet: Near) -> None:
    assert [task["task"] for task in fleet.ok("oak", "task", "list", "--state", "blocked")["tasks"]] == ["built/behind"]
    assert len(fleet.ok("oak", "task", "list", "--dag", "built")["tasks"]) == 4
    assert fleet.mesh("oak", "task", "list", "--state", "done").code == 2
    assert fleet.mesh("oak", "task", "show", "built").code == 2
    no = fleet.mesh("oak", "task", "show", "built/mak")
    assert (no.code, "did you mean built/make?" in no.err) == (1, True)


def test_a_log_is_printed_where_the_task_ran_and_elsewhere_that_node_is_named(fleet: Near) -> None:
    here = fleet.mesh("elm", "task", "log", "built/make")
    assert here.code == 0
    lines = here.out.splitlines()
    assert lines[0] == "--- run sh: sh ./make.sh"
    assert {"making", "careful", "no newline"} <= set(lines)
    assert lines[-1] == "--- succeeded"
    events = [json.loads(line) for line in fleet.mesh("elm", "--json", "task", "log", "built/make").out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert fleet.mesh("elm", "task", "log", "built/make", "--follow").out == here.out
    assert "--- exited 1" in fleet.mesh("elm", "task", "log", "built/shaky", "--attempt", "1").out

    there = fleet.mesh("oak", "task", "log", "built/make")
    assert (there.code, there.out) == (1, "")
    assert "ran on elm" in there.err
    assert "\nnext: on elm: mesh task log built/make" in there.err
    assert "nobody has begun built/behind" in fleet.mesh("elm", "task", "log", "built/behind").err
    assert fleet.mesh("elm", "task", "log", "built/shaky", "--attempt", "3").code == 2


def test_a_log_is_followed_while_the_task_runs_and_ends_with_it(fleet: Near) -> None:
    go = fleet.folder / "checkout" / "go"
    script = "echo first; while [ ! -e go ]; do sleep 0.05; done; echo last"
    write(fleet, "slow.json", json.dumps({"tasks": {"wait": {"run": ["sh", "-c", script]}}}))
    fleet.ok("oak", "dag", "submit", "slow.json")
    words = ("--trust", "oak", "--idle", "300ms", "--folder", str(go.parent))
    worker = fleet.start("elm", *MESH, "work", *words)
    reader = fleet.start("elm", *MESH, "task", "log", "slow/wait", "--follow")
    assert reader.stdout is not None
    assert [reader.stdout.readline() for _ in range(2)][1] == "first\n"
    assert fleet.ok("oak", "task", "show", "slow/wait")["made"][0]["outcome"] is None
    go.touch()
    said, err = reader.communicate(timeout=60)
    assert (reader.returncode, err) == (0, "")
    assert said.splitlines()[0] == "last"
    assert said.splitlines()[-1] == "--- succeeded"
    assert worker.wait(timeout=60) == 0
    worker.communicate()


def test_a_receipt_is_held_against_what_is_on_disk(fleet: Near) -> None:
    made = fleet.folder / "checkout" / "out" / "made"
    words = ("receipt", "check", "built/make", "--folder", str(fleet.folder / "checkout"))
    assert fleet.mesh("oak", *words).out == "as it was told: 1 file of 2 receipts\n"
    kept = made.read_bytes()
    made.write_bytes(b"MADE\n")
    no = fleet.mesh("oak", *words)
    assert no.code == 1
    assert "'out/made' has the sha256" in no.out
    made.unlink()
    gone = fleet.mesh("oak", *words, "--json")
    assert (gone.code, gone.data["ok"]) == (1, False)
    assert gone.data["receipts"][0]["findings"] == ["'out/made' is missing"]
    made.write_bytes(kept)
    assert fleet.mesh("oak", "receipt", "check", "built/behind").code == 1


def test_TASK_8_author_and_admins_put_a_hand_in(fleet: Near) -> None:
    write(
        fleet,
        "hand.yaml",
        'tasks: {a: {run: "true", capability: none}, b: {run: "true", needs: a, capability: none}}\n',
    )
    fleet.ok("oak", "dag", "submit", "hand.yaml")
    now = fleet.ok("oak", "status")["work"]
    assert (now["ready"] >= 1, now["waiting"] >= 1, set(now)) == (True, True, {"ready", "running", "waiting"})
    assert re.search(r"^work    [0-9]+ running, [0-9]+ ready", fleet.mesh("oak", "status").out, re.MULTILINE)
    assert (
        fleet.mesh("oak", "task", "assign", "hand/a", "--to", "elm", "--reason", "it can").out
        == "hand/a is elm's alone\n"
    )
    assert fleet.ok("elm", "task", "show", "hand/a")["to"] == "elm"
    assert fleet.mesh("oak", "task", "assign", "hand/a", "--reason", "so").out == "hand/a is anyone's again\n"
    no = fleet.mesh("elm", "task", "skip", "hand/a", "--reason", "mine")
    assert (no.code, "(TASK-8): hand is oak's: only oak or an admin may do this\n" in no.err) == (3, True)
    assert (
        "nobody is no node that works"
        in fleet.mesh("oak", "task", "assign", "hand/a", "--to", "nobody", "--reason", "x").err
    )
    assert fleet.mesh("oak", "task", "skip", "hand/a", "--reason", "by hand").out == "hand/a is skipped\n"
    assert {task["name"]: task["state"] for task in fleet.ok("oak", "dag", "show", "hand")["tasks"]} == {
        "a": "skipped",
        "b": "ready",
    }
    no = fleet.mesh("oak", "task", "retry", "hand/a", "--reason", "again")
    assert (no.code, "TASK-8" in no.err) == (3, True)
    fleet.ok("oak", "dag", "cancel", "hand", "--reason", "done")
    assert fleet.mesh("oak", "task", "retry", "hand/b", "--reason", "again").out == "hand/b is ready again\n"
    assert fleet.mesh("oak", "task", "retry", "hand", "--reason", "again").code == 2
    assert fleet.mesh("oak", "task", "retry", "hand/b").code == 2


# Commands.


def test_COMMAND_2_the_same_command_is_one_and_its_outcome_is_told(fleet: Near) -> None:
    words = ("dispatch", "greet", "--to", "elm", "--arg", "who=oak")
    first = fleet.ok("oak", *words)
    assert (first["verdict"], first["result"], first["state"]) == ("applied", "issued", "ready")
    for node in ("oak", "elm"):
        again = fleet.ok(node, *words)
        assert (again["result"], again["command"]) == ("noop", first["command"])
    assert "nobody has begun it yet" in fleet.mesh("oak", *words).out
    other = fleet.ok("oak", *words, "--again", "2")
    assert other["command"] != first["command"]
    waited = fleet.mesh("oak", *words, "--wait", "--timeout", "10ms", "--json")
    assert (waited.code, waited.data["state"]) == (7, "ready")

    stumble = fleet.ok("oak", "dispatch", "stumble", "--args", '{"n":3}', "--to", "elm", "--quiet")["command"]
    unknown = fleet.ok("oak", "dispatch", "dance", "--to", "elm")["command"]
    works(fleet)
    said = fleet.mesh("oak", *words, "--wait")
    assert said.code == 0
    assert re.fullmatch(
        rf"greet to elm: command {first['command']} was issued before; applied by elm in epoch \d+\n", said.out
    )
    assert fleet.mesh("oak", "dispatch", "stumble", "--args", '{"n":3}', "--to", "elm", "--wait").code == 1
    refused = fleet.mesh("oak", "dispatch", "dance", "--to", "elm", "--wait")
    assert (refused.code, "work.yaml" in refused.out) == (3, True)

    states = {one["command"]: one["state"] for one in fleet.ok("oak", "command", "list")["commands"]}
    assert states == {first["command"]: "applied", other["command"]: "applied", stumble: "failed", unknown: "refused"}
    shown = fleet.ok("elm", "command", "show", stumble[:6])
    assert (shown["by"], shown["args"], shown["state"]) == ("oak", {"n": 3}, "failed")
    assert [(one["node"], one["outcome"], one["exit"]) for one in shown["made"]] == [("elm", "failed", 1)]
    text = fleet.mesh("elm", "command", "show", stumble[:6]).out
    assert "stumble to elm: failed\n" in text
    listed = fleet.mesh("oak", "command", "list", "--state", "failed")
    assert (stumble in listed.out, first["command"] in listed.out) == (True, False)


def test_COMMAND_4_what_nobody_has_begun_is_called_back(fleet: Near) -> None:
    id_ = fleet.ok("oak", "dispatch", "later", "--capability", "none")["command"]
    no = fleet.mesh("elm", "command", "cancel", id_, "--reason", "no")
    assert (no.code, "was given by oak: only oak or an admin" in no.err) == (3, True)
    done = fleet.mesh("oak", "command", "cancel", id_[:8], "--reason", "no")
    assert (done.code, done.out) == (0, "later is cancelled\n")
    assert fleet.mesh("oak", "command", "cancel", id_, "--reason", "no").code == 3
    assert fleet.mesh("oak", "command", "show", "ffffffffff").code == 1
    assert fleet.mesh("oak", "command", "show", id_, "--offline").code == 0


@pytest.mark.parametrize(
    "words",
    [
        "dispatch x",
        "dispatch x --to elm --holder leader",
        "dispatch x --to elm --arg novalue",
        "dispatch x --to elm --arg a=1 --arg a=2",
        "dispatch x --to elm --args [1] --arg a=1",
        "dispatch x --to elm --args 1.5",
        "dispatch x --to elm --token 4",
        "dispatch x --to elm --timeout 4s",
        "command list --state ready-made",
        "task assign a/b",
        "breaker open",
    ],
)
def test_what_is_typed_wrongly_is_usage(fleet: Near, words: str) -> None:
    done = fleet.mesh("oak", *words.split())
    assert (done.code, done.out) == (2, "")
    assert "\nnext: " in done.err


def test_FENCE_a_command_under_a_lease_that_is_not_held_is_fenced(fleet: Near) -> None:
    no = fleet.mesh("oak", "dispatch", "x", "--to", "elm", "--under", "leader", "--token", "3", "--json")
    assert (no.code, no.data["verdict"]) == (4, "fenced")
    token = fleet.ok("oak", "lease", "acquire", "leader")["token"]
    assert (
        fleet.ok("oak", "dispatch", "x", "--capability", "none", "--under", "leader", "--token", str(token))["result"]
        == "issued"
    )
    assert fleet.mesh("oak", "dispatch", "y", "--to", "nobody", "--json").error["rule"] == "COMMAND-1"


# The breaker, reactors, trace.


def test_BREAKER_1_an_open_breaker_stops_commands_until_an_admin_resets_it(fleet: Near) -> None:
    assert fleet.ok("elm", "breaker", "show")["open"] is False
    assert fleet.mesh("elm", "breaker", "open", "--reason", "stop").code == 0
    shown = fleet.mesh("oak", "breaker", "show")
    assert "the breaker is open since epoch" in shown.out
    assert "stop (elm)" in shown.out
    (alarm,) = fleet.ok("oak", "status")["alarms"]
    assert (alarm["law"], "stop (elm)" in alarm["reason"]) == ("BREAKER-1", True)
    no = fleet.mesh("oak", "dispatch", "z", "--to", "elm", "--json")
    assert (no.code, no.error["rule"]) == (3, "BREAKER-1")
    assert fleet.mesh("elm", "breaker", "reset", "--reason", "go").code == 3
    assert fleet.mesh("oak", "breaker", "reset", "--reason", "go").out == "the breaker is closed: work goes on\n"
    assert fleet.mesh("oak", "breaker", "reset", "--reason", "go", "--json").error["rule"] == "BREAKER-3"


def test_REACTOR_2_an_event_has_its_follow_up_and_trace_draws_both(fleet: Near) -> None:
    mapping = """
reactor: greeter
version: 1
rules:
  - on: {topic: door, type: opened}
    give: {event: {topic: bell, type: rung, payload: {who: $payload.who}}}
  - on: {topic: bell, type: rung}
    give: {command: {name: greet, args: {who: $payload.who}, to: elm}}
"""
    write(fleet, "greeter.yaml", mapping)
    assert fleet.mesh("oak", "reactor", "publish", "greeter.yaml").out == "greeter is published: version 1, 2 rules\n"
    assert fleet.mesh("oak", "reactor", "publish", "greeter.yaml", "--json").error["rule"] == "REACTOR-1"
    assert fleet.mesh("elm", "reactor", "publish", "greeter.yaml").code == 3
    bad = fleet.mesh("oak", "reactor", "publish", write(fleet, "bad.yaml", mapping.replace("$payload.who", "$paylod")))
    assert (bad.code, "bad.yaml, line 6: " in bad.err) == (2, True)

    event = fleet.ok("oak", "publish", "door", "opened", "--payload", '{"who":"ash"}')["record"]
    assert [due["cause"] for due in fleet.ok("oak", "reactor", "list")["due"]] == [event]
    works(fleet, idle="3s")
    assert fleet.ok("oak", "reactor", "list")["due"] == []
    tree = fleet.ok("oak", "trace", event)["tree"]
    assert (tree["id"], tree["kind"]) == (event, "event.publish")
    (bell,) = tree["children"]
    (command,) = bell["children"]
    (start,) = command["children"]
    assert [one["kind"] for one in (bell, command, start)] == ["event.publish", "command.issue", "lease.acquire"]
    assert [one["kind"] for one in start["children"]] == ["command.finish"]
    text = fleet.mesh("elm", "trace", start["children"][0]["id"][:12]).out
    assert text.startswith("event.publish door opened: published, oak in epoch ")
    assert re.search(r"\n   +`- command\.finish .* <- this\n$", text)
    assert '"topic": "door"' in fleet.mesh("elm", "reactor", "show", "greeter").out
    assert fleet.mesh("elm", "reactor", "show", "greeting").code == 1


def test_trace_finds_a_dag_and_counts_what_is_no_line_worth(fleet: Near) -> None:
    tree = fleet.ok("elm", "trace", "built")["tree"]
    assert tree["kind"] == "dag.submit"
    claims = [child["body"]["lease"] for child in tree["children"]]
    assert claims.count("task:built/shaky") == 2
    assert fleet.ok("elm", "trace", "built/make")["root"] == tree["id"]
    for words, code in (("trace 00", 1), ("trace nowhere", 1), ("trace 0000000000", 1)):
        assert fleet.mesh("elm", *words.split()).code == code


# Every deed.


@pytest.mark.parametrize(
    "words",
    [
        "dag submit built.yaml --name tried",
        "dag cancel built --reason why",
        "task retry built/shaky --reason why",
        "task skip built/shaky --reason why",
        "task assign built/behind --reason why",
        "dispatch tried --to elm",
        "breaker open --reason why",
        "reactor publish tried.yaml",
    ],
)
def test_a_dry_run_changes_nothing(fleet: Near, words: str) -> None:
    write(fleet, "tried.yaml", "reactor: tried\nversion: 1\nrules: []\n")
    before = fleet.tip(), signed(fleet, "oak")
    done = fleet.mesh("oak", *words.split(), "--dry-run")
    assert (done.code, done.out.endswith("nothing was done\n")) == (0, True), done
    assert (fleet.tip(), signed(fleet, "oak")) == before


def test_CLOSED_without_the_hub_nothing_old_is_shown_as_new(fleet: Near, tmp_path: Path) -> None:
    gone = {"MESH_HUB": str(tmp_path / "gone.git")}
    for words in (
        "dag list",
        "task list",
        "command list",
        "breaker show",
        "reactor list",
        "dag cancel built --reason x",
    ):
        done = fleet.mesh("elm", *words.split(), **gone)
        assert (done.code, done.out) == (5, ""), words
    assert "built" in fleet.mesh("elm", "dag", "list", "--offline", **gone).out


def test_completion_knows_dags_tasks_and_commands(fleet: Near) -> None:
    given = fleet.ok("oak", "dispatch", "named", "--capability", "none")["command"]
    calls.begin().home = str(fleet.home("oak"))
    try:
        assert "built" in complete.dags("bu")
        assert complete.tasks("built/") == ["built/behind", "built/docs", "built/make", "built/shaky"]
        assert complete.commands(given[:4]) == [given]
    finally:
        calls.begin()
