"""`mesh work` as it is run: real fleets, real commands, what is filed; what is left when processes die (TASK-6, TASK-7, FENCE)."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh import Mesh
from orxaq_mesh.home.process import identify
from orxaq_mesh.kinds import work as works
from tests.fleet import MESH, SYNC, Fleet, until

Step = dict[str, Any]


class Works(Fleet):
    """A fleet whose nodes work in one folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.place = folder / "place"
        self.place.mkdir()
        self.running: list[subprocess.Popen[str]] = []

    def node(self, name: str) -> Mesh:
        return Mesh.open(str(self.home(name)))

    def submit(self, *tasks: dict[str, Any], dag: str = "release", node: str = "oak", **more: Any) -> None:
        (answer,) = self.node(node).ask_all([("dag.submit", {"dag": dag, "tasks": list(tasks), **more})])
        assert answer.verdict == "applied", answer

    def work(self, node: str, *words: str, idle: str = "1s") -> list[dict[str, Any]]:
        """What a worker that ends by itself says."""
        worker = self.worker(node, *words, "--idle", idle)
        out, err = worker.communicate(timeout=60)
        assert worker.returncode == 0, (out, err)
        return [json.loads(line) for line in out.splitlines()]

    def worker(self, node: str, *words: str) -> subprocess.Popen[str]:
        more = ("--json", "--folder", str(self.place), "--trust", "oak")
        process = self.start(node, *MESH, "work", *more, *words)
        self.running.append(process)
        return process

    def item(self, task: str) -> works.Item:
        """A task as the hub has it."""
        found = works.work(self.node("oak").observe().engine.ledger.state).items.get(f"task:release/{task}")
        assert found is not None
        return found

    def ran(self) -> list[str]:
        file = self.place / "ran"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path)
    made.found("oak", "elm")
    yield made
    for process in made.running:
        process.kill()
        process.wait()


def step(name: str, code: str, **more: Any) -> Step:
    return {"name": name, "run": [sys.executable, "-c", code], **more}


def note(word: str) -> str:
    return f"open('ran', 'a').write('{word}\\n')"


def only(said: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
    return [line for line in said if line["event"] == event]


def test_TASK_6_a_dag_is_done_in_order_each_task_once_with_its_receipts(fleet: Works) -> None:
    build = {
        "name": "build",
        "commands": [step("make", f"{note('build')}; open('out', 'w').write('x')", artefacts=["out"])],
    }
    ship = {
        "name": "ship",
        "needs": ["build"],
        "commands": [step("send", note("ship"))],
        "after": [step("look", "open('out')")],
    }
    fleet.submit(ship, build)
    said = fleet.work("elm")
    assert [line["work"] for line in only(said, "claimed")] == ["release/build", "release/ship"]
    assert [line["outcome"] for line in only(said, "finished")] == ["succeeded", "succeeded"]
    assert fleet.ran() == ["build", "ship"]
    (receipt,) = [
        item.record.body
        for item in fleet.node("oak").history(fresh=True).judged
        if item.record.kind == "task.receipt" and item.record.body["step"] == "make"
    ]
    assert [(file["path"], file["bytes"]) for file in receipt["artefacts"]] == [("out", 1)]
    assert not works.work(fleet.node("oak").state()).offers, "who leaves takes its offer back"


def test_TASK_7_a_failing_guard_rolls_back_and_the_task_is_tried_again_and_then_failed_with_its_reason(
    fleet: Works,
) -> None:
    fleet.submit(
        {
            "name": "a",
            "attempts": 2,
            "commands": [step("do", note("do"))],
            "after": [step("check", "raise SystemExit(3)")],
            "rollback": [step("undo", note("undo"))],
        },
        {"name": "b", "needs": ["a"]},
    )
    said = fleet.work("elm")
    assert [line["outcome"] for line in only(said, "finished")] == ["again", "failed"]
    assert fleet.ran() == ["do", "undo", "do", "undo"]
    assert (fleet.item("a").state, fleet.item("a").reason) == ("failed", "check ended with exit 3")
    assert (fleet.item("b").state, fleet.item("b").reason) == ("blocked", "needs release/a, which is failed")


def test_TASK_7_a_step_that_makes_none_of_its_artefacts_has_failed(fleet: Works) -> None:
    fleet.submit({"name": "a", "commands": [step("make", "pass", artefacts=["dist/*.whl"])]})
    (finished,) = only(fleet.work("elm"), "finished")
    assert (finished["outcome"], finished["reason"]) == ("failed", "make made no dist/*.whl")


def test_TASK_7_a_receipt_that_no_line_holds_fails_the_task_and_leaves_it_with_nobody(fleet: Works) -> None:
    code = "import os\nfor n in range(200): open('f' * 240 + str(n), 'w')"
    fleet.submit({"name": "a", "commands": [step("make", code, artefacts=["f*"])]})
    (finished,) = only(fleet.work("elm"), "finished")
    assert finished["reason"] == "make has no receipt: too many files for one (200)"
    assert fleet.item("a").state == "failed"


def test_TASK_7_a_finish_that_is_refused_does_not_leave_the_claim_with_who_asked(fleet: Works) -> None:
    fleet.submit({"name": "a", "receipts": ["review"], "commands": [step("s", note("s"))]})
    said = only(fleet.work("elm"), "finished")
    assert [(line["verdict"], line["rule"]) for line in said] == [("refused", "TASK-7")]
    assert fleet.ran() == ["s"], "and it is not begun again by the same hands"
    assert (fleet.item("a").state, fleet.item("a").reason) == ("failed", said[0]["rule"] + ": " + said[0]["reason"])


def test_QUIET_a_shell_text_runs_only_where_the_nodes_own_file_allows_it(fleet: Works) -> None:
    order = {"name": "a", "attempts": 2, "commands": [{"name": "s", "shell": "echo hi there | tr i o > said"}]}
    fleet.submit(order)
    (home,) = [fleet.home("elm")]
    first = only(fleet.work("elm", "--slots", "1"), "finished")
    assert [line["outcome"] for line in first] == ["again", "failed"]
    assert not (fleet.place / "said").exists()
    (home / "work.yaml").write_text("shell: true\n")
    fleet.submit(order)
    assert [line["outcome"] for line in only(fleet.work("elm"), "finished")] == ["succeeded"]
    assert (fleet.place / "said").read_text() == "ho there\n"


def test_QUIET_nobodys_work_is_done_but_that_of_who_is_trusted(fleet: Works) -> None:
    fleet.submit({"name": "a", "commands": [step("s", note("a"))]}, node="elm")
    worker = fleet.start("oak", *MESH, "work", "--json", "--idle", "1s", "--folder", str(fleet.place))
    assert worker.wait(60) == 0
    assert fleet.ran() == []


def test_COMMAND_3_a_command_ends_in_one_outcome_by_the_nodes_own_recipe(fleet: Works) -> None:
    code = "import sys; open('ran', 'a').write(sys.argv[1] + '\\n'); raise SystemExit(int(sys.argv[2]))"
    recipe = {"run": [sys.executable, "-c", code, "index-{index}", "{exit}"], "noop_exit": 3}
    (fleet.home("elm") / "work.yaml").write_text(json.dumps({"commands": {"restart": recipe}}))
    issue = [
        ("command.issue", {"name": "restart", "args": {"index": "docs", "exit": 0}, "to": "elm"}),
        ("command.issue", {"name": "restart", "args": {"index": "docs", "exit": 3}, "to": "elm"}),
        ("command.issue", {"name": "restart", "args": {"index": "docs", "exit": 4}, "to": "elm"}),
        ("command.issue", {"name": "restart", "args": {"exit": 0}, "to": "elm"}),
        ("command.issue", {"name": "launch", "to": "elm"}),
        ("command.issue", {"name": "launch", "to": "elm"}),
    ]
    answers = fleet.node("oak").ask_all(issue)
    assert [answer.result for answer in answers] == ["issued"] * 5 + ["noop"]
    said = only(fleet.work("elm"), "finished")
    assert sorted(line["outcome"] for line in said) == ["applied", "failed", "noop", "refused", "refused"]
    assert fleet.ran() == ["index-docs"] * 3
    assert not only(fleet.work("elm"), "claimed"), "what is done is never done again"


def test_FENCE_a_worker_that_slept_past_its_ttl_is_taken_over_and_what_it_does_then_is_fenced(fleet: Works) -> None:
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)"
    fleet.submit({"name": "a", "ttl_ms": 1500, "commands": [step("s", f"{note('s')}\n{wait}")]})
    slow = [fleet.start("oak", *SYNC)]
    until(lambda: (fleet.home("oak") / "sync.sock").exists() or fleet.node("oak").home.socket.exists())
    slow.append(fleet.worker("oak"))
    fleet.running += slow
    until(lambda: fleet.ran() == ["s"])
    for process in slow:
        process.send_signal(signal.SIGSTOP)
    worker = fleet.worker("elm", "--idle", "6s")
    until(lambda: fleet.ran() == ["s", "s"])
    (fleet.place / "go").touch()
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, (out, err)
    assert [json.loads(line)["outcome"] for line in out.splitlines() if '"finished"' in line] == ["succeeded"]
    for process in reversed(slow):
        process.send_signal(signal.SIGCONT)
    assert slow[1].stdout is not None
    late = next(line for line in map(json.loads, slow[1].stdout) if line["event"] != "claimed")
    assert late["event"] == "lost" or (late["event"], late["verdict"]) == ("finished", "fenced"), late
    item = fleet.item("a")
    assert (item.state, item.node, item.attempt) == ("succeeded", "elm", 2)


def test_TASK_6_a_worker_that_is_killed_with_its_mesh_sync_loses_nothing(fleet: Works) -> None:
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)"
    fleet.submit({"name": "a", "ttl_ms": 1500, "commands": [step("s", f"{note('s')}\n{wait}")]})
    sync = fleet.start("oak", *SYNC)
    until(fleet.node("oak").home.socket.exists)
    worker = fleet.worker("oak")
    fleet.running.append(sync)
    until(lambda: fleet.ran() == ["s"])
    worker.kill()
    sync.kill()
    (fleet.place / "go").touch()
    said = fleet.work("elm", idle="6s")
    assert [line["outcome"] for line in only(said, "finished")] == ["succeeded"]
    assert fleet.ran() == ["s", "s"], "once more outside: what ran was never reported"
    item = fleet.item("a")
    assert (item.state, item.node, item.attempt) == ("succeeded", "elm", 2)


def test_LIVE_who_is_asked_to_end_ends_its_commands_and_gives_its_work_back(fleet: Works) -> None:
    fleet.submit({"name": "a", "commands": [step("s", f"{note('s')}\nimport time\ntime.sleep(600)")]})
    worker = fleet.worker("elm")
    until(lambda: fleet.ran() == ["s"])
    worker.send_signal(signal.SIGTERM)
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, (out, err)
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["claimed", "stopped"]
    assert (fleet.item("a").state, fleet.item("a").attempt) == ("ready", 1)


def test_C17_a_mesh_sync_that_dies_under_a_worker_is_started_again_and_everything_is_filed_once(fleet: Works) -> None:
    sync = fleet.start("elm", *SYNC)
    until(fleet.node("elm").home.socket.exists)
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.02)"
    fleet.submit({"name": "a", "commands": [step("s", f"{note('s')}\n{wait}")]})
    worker = fleet.worker("elm", "--idle", "2s")
    until(lambda: fleet.ran() == ["s"])
    sync.kill()
    sync.wait()
    (fleet.place / "go").touch()
    out, err = worker.communicate(timeout=60)
    assert worker.returncode == 0, (out, err)
    assert fleet.ran() == ["s"]
    assert (fleet.item("a").state, fleet.item("a").attempt) == ("succeeded", 1)


def test_C17_a_second_worker_of_a_node_names_the_first_and_its_offer_stays(fleet: Works) -> None:
    first = fleet.worker("elm", "--capability", "build")
    until(lambda: works.work(fleet.node("oak").observe().engine.ledger.state).offers)
    second = fleet.worker("elm", "--capability", "docs", "--idle", "1s")
    _, err = second.communicate(timeout=60)
    error = json.loads(err.splitlines()[-1])["error"]
    assert (second.returncode, error["holder"]["pid"]) == (1, first.pid)
    assert f"kill {first.pid}" in error["hint"]
    fleet.submit({"name": "a", "capability": "build", "commands": [step("s", note("s"))]})
    until(lambda: fleet.item("a").state == "succeeded")
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0


def test_FENCE_what_was_lost_while_the_hub_was_away_is_never_run_again_under_its_token(fleet: Works) -> None:
    code = "import os, time\nopen('ran', 'a').write(os.environ['MESH_TOKEN'] + '\\n')\n"
    wait = "while not os.path.exists('go'): time.sleep(0.02)"
    fleet.submit({"name": "a", "commands": [step("s", code + wait)]})
    worker = fleet.worker("elm", "--ttl", "2s")
    until(fleet.ran)
    away = fleet.hub.rename(fleet.hub.with_suffix(".away"))
    assert worker.stdout is not None
    said = [json.loads(worker.stdout.readline())["event"] for _ in range(2)]
    assert said == ["claimed", "lost"]
    away.rename(fleet.hub)
    (fleet.place / "go").touch()
    until(lambda: fleet.item("a").state == "succeeded")
    tokens = fleet.ran()
    assert len(tokens) == len(set(tokens)) == fleet.item("a").attempt == 2
    assert fleet.item("a").token == int(tokens[-1])


def test_TASK_6_what_a_killed_worker_left_running_keeps_its_claim_and_the_next_worker_ends_it(fleet: Works) -> None:
    fleet.running.append(fleet.start("elm", *SYNC))
    until(fleet.node("elm").home.socket.exists)
    code = "import os, time\nopen('ran', 'a').write(str(os.getpid()) + '\\n')\ntime.sleep(600)"
    fleet.submit({"name": "a", "ttl_ms": 600_000, "commands": [step("s", code)]})
    worker = fleet.worker("elm")
    (pid,) = until(fleet.ran)
    worker.kill()
    worker.wait()
    assert identify(int(pid))
    said = fleet.work("elm", idle="2s")
    assert [line["event"] for line in said] == ["ended"]
    assert not identify(int(pid))
    assert (fleet.item("a").state, fleet.ran()) == ("running", [pid])


@pytest.mark.parametrize(("glob", "why"), [("../*", "no path within the folder"), ("link", "leads out of the folder")])
def test_TASK_7_artefacts_that_no_receipt_takes_fail_their_step_with_receipt_and_rollback(
    fleet: Works, glob: str, why: str
) -> None:
    make = step("make", f"{note('made')}; import os; os.symlink('/etc/hosts', 'link')", artefacts=[glob])
    fleet.submit(
        {"name": "a", "commands": [make, step("never", note("never"))], "rollback": [step("u", note("undone"))]}
    )
    (finished,) = only(fleet.work("elm"), "finished")
    assert (finished["outcome"], why in finished["reason"]) == ("failed", True), finished
    assert fleet.ran() == ["made", "undone"]
    receipts = [
        (judged.record.body["step"], judged.record.body["exit"], why in judged.record.body.get("note", ""))
        for judged in fleet.node("oak").history(fresh=True).judged
        if judged.record.kind == "task.receipt"
    ]
    assert receipts == [("make", 1, True), ("u", 0, False)]


def test_CLOSED_what_a_worker_cannot_offer_is_refused_before_anything_is_claimed(fleet: Works) -> None:
    bad = [("--capability", "no words"), ("--folder", "nowhere"), ("--ttl", "999ms"), ("--ttl", "25h")]
    for words in bad:
        done = fleet.mesh("elm", "work", *words)
        assert (done.code, words[1] in done.err) == (2, True), done
    done = fleet.mesh("elm", "work", "--capability", ",".join(f"c{n}" for n in range(65)))
    assert (done.code, "65 capabilities" in done.err) == (2, True), done
    assert not works.work(fleet.node("oak").observe().engine.ledger.state).offers
