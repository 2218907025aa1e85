"""What people are shown of work: attempts, receipts and trees of causes, read off ledgers that hold every odd case."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect import tracing, work
from orxaq_mesh.inspect.attempts import attempts
from orxaq_mesh.record import Record
from tests.builder import Trunk
from tests.orders import (
    cancel,
    claim,
    diamond,
    do,
    finish,
    fleet,
    issue,
    receipt,
    release,
    run,
    submit,
    take,
    task,
    under,
)

MAKE: dict[str, Any] = {"commands": [{"name": "make", "run": ["make"]}]}


class Story:
    """A trunk whose judged records are kept."""

    def __init__(self) -> None:
        self.trunk: Trunk = fleet()
        self.judged: list[Judged] = []
        push = self.trunk.push

        def kept(*args: Any) -> Any:
            reading = push(*args)
            self.judged += reading.judged
            return reading

        self.trunk.push = kept  # type: ignore[method-assign]

    def trace(self, prefix: str) -> tuple[tracing.Branch, Judged]:
        return tracing.trace(SimpleNamespace(judged=self.judged), prefix)  # type: ignore[arg-type]


@pytest.fixture
def story() -> Story:
    return Story()


def taken_over(story: Story) -> Record:
    """elm claims, files a receipt and falls silent; ash takes over, elm wakes and is fenced, ash finishes."""
    trunk = story.trunk
    do(trunk, submit(trunk.oak, task("build", **MAKE)), claim(trunk.pens["elm"], "build"))
    do(trunk, receipt(trunk, "build", "make", exit=1))
    late = trunk.pens["elm"].write("task.finish", outcome="failed", under=under(trunk, "build"))
    do(trunk, take(trunk, trunk.pens["ash"], "build"))
    trunk.seal(late)
    do(trunk, receipt(trunk, "build", "make", duration_ms=7), finish(trunk, "build"))
    return late


def test_FENCE_an_attempt_that_was_taken_over_shows_what_came_too_late(story: Story) -> None:
    late = taken_over(story)
    first, second = attempts(story.judged, "task:release/build")
    assert (first["node"], first["outcome"], [one["record"] for one in first["fenced"]]) == (
        "elm",
        "taken over",
        [late.id],
    )
    assert [(one["step"], one["exit"]) for one in first["receipts"]] == [("make", 1)]
    assert (second["node"], second["outcome"], second["fenced"]) == ("ash", "succeeded", [])
    assert [(one["step"], one["duration_ms"]) for one in second["receipts"]] == [("make", 7)]
    assert second["token"] > first["token"]


def test_an_attempt_that_was_given_back_or_cancelled_does_not_go_on_for_ever(story: Story) -> None:
    trunk = story.trunk
    do(trunk, submit(trunk.oak, task("build")), claim(trunk.pens["elm"], "build"))
    do(trunk, release(trunk, "build"), claim(trunk.pens["ash"], "build"))
    do(trunk, cancel(trunk.oak))
    made = attempts(story.judged, "task:release/build", runs=False)
    assert [(one["node"], one["outcome"]) for one in made] == [("elm", "given back"), ("ash", "lost")]
    again = trunk.ledger.state.epoch + 1
    do(trunk, submit(trunk.oak, task("build")))
    run(trunk, "build")
    assert len(attempts(story.judged, "task:release/build", since=again)) == 1


def test_a_trace_goes_up_to_the_first_cause_and_down_to_all_that_followed(story: Story) -> None:
    late = taken_over(story)
    root, asked = story.trace(late.id)
    assert (root.item.record.kind, asked.record, root.missing) == ("dag.submit", late, None)
    (claimed,) = root.children
    assert [child.item.record.kind for child in claimed.children] == ["task.receipt", "lease.take", "task.finish"]
    take_over, fenced = claimed.children[1], claimed.children[2]
    assert (fenced.item.record, fenced.item.verdict.outcome) == (late, "fenced")
    assert [child.item.record.kind for child in take_over.children] == ["task.receipt", "task.finish"]
    assert story.trace("release")[0] == story.trace("release/build")[0] == root
    assert tracing.value(root)["children"][0]["kind"] == "lease.acquire"


def test_a_command_follows_from_what_it_names_as_its_cause(story: Story) -> None:
    trunk = story.trunk
    event = trunk.oak.write("event.publish", topic="t", type="x", payload={})
    do(trunk, event)
    command = issue(trunk.oak, cause=event.id)
    do(trunk, command)
    id_ = work.commands(trunk.ledger.state)[0]["command"]
    run(trunk, f"command:{id_}", "applied")
    root, asked = story.trace(id_)
    assert (root.item.record, asked.record) == (event, command)
    (branch,) = root.children
    assert [one.item.record.kind for one in branch.children] == ["lease.acquire"]
    assert [one.item.record.kind for one in branch.children[0].children] == ["command.finish"]


def test_a_cause_that_nobody_has_and_a_chain_without_end_are_said(story: Story) -> None:
    trunk = story.trunk
    cause, ids = "f" * 64, []
    for number in range(tracing.MAX_ABOVE + tracing.MAX_DEEP + 8):
        record = issue(trunk.oak, f"c{number}", cause=cause)
        cause = record.id
        ids.append(cause)
        do(trunk, record)
    assert story.trace(ids[1])[0].missing == "f" * 64
    root, _ = story.trace(ids[-1])
    assert root.item.record.id == ids[-1 - tracing.MAX_ABOVE]
    root, _ = story.trace(ids[0])
    deepest, depth = root, 0
    while deepest.children:
        (deepest,), depth = deepest.children, depth + 1
    assert (depth, deepest.more) == (tracing.MAX_DEEP, 1)
    assert orjson.dumps(tracing.value(root))


def test_what_fits_nothing_or_several_is_said(story: Story) -> None:
    taken_over(story)
    with pytest.raises(MeshFault, match="no record"):
        story.trace("0000000000000000")
    with pytest.raises(MeshFault, match="no record"):
        story.trace("ab")
    with pytest.raises(Usage, match="write DAG/TASK"):
        work.find_task(story.trunk.ledger.state, "release")
    with pytest.raises(work.NotThere, match="did you mean release/build"):
        work.find_task(story.trunk.ledger.state, "release/biuld")
    with pytest.raises(work.NotThere, match="did you mean release"):
        work.dag(story.trunk.ledger.state, "releas")


def test_the_tasks_of_a_dag_come_behind_what_they_need_and_say_what_they_wait_for(story: Story) -> None:
    trunk = story.trunk
    do(trunk, submit(trunk.oak, *reversed(diamond()), limits={"build": 2}, priority=3))
    shown = work.dag(trunk.ledger.state, "release")
    assert [(one["name"], one["depth"], one["waits_for"]) for one in shown["tasks"]] == [
        ("a", 0, 0),
        ("c", 1, 1),
        ("b", 1, 1),
        ("d", 2, 2),
    ]
    assert (shown["limits"], shown["priority"], shown["counts"]) == ({"build": 2}, 3, {"ready": 1, "waiting": 3})
    run(trunk, "a", "failed")
    assert work.dag(trunk.ledger.state, "release")["state"] == "failed"
    assert {one["name"] for one in work.tasks(trunk.ledger.state, in_state="blocked")} == {"b", "c", "d"}
