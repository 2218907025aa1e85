"""DAGs: every row of the table, the laws DAG-1 to 5 and TASK-6 to 9, and what a failure does to those that need it."""

from __future__ import annotations

from typing import Any

import pytest

from orxaq_mesh import fold, kinds
from orxaq_mesh.errors import Refused
from orxaq_mesh.kinds import dag as dags
from orxaq_mesh.kinds import graph, work
from orxaq_mesh.record import Value
from tests.builder import Pen, Trunk
from tests.orders import (
    Scenes,
    assign,
    cancel,
    claim,
    claim_of,
    dag,
    diamond,
    do,
    finish,
    fleet,
    issue,
    item,
    part,
    part_of,
    reach,
    receipt,
    retry,
    run,
    skip,
    stage,
    states,
    submit,
    take,
    task,
    the_command,
    under,
)

SCENES: Scenes = {}
scene = stage(SCENES, "")
ORDER: Value = {
    "before": [{"name": "clean"}],
    "commands": [{"name": "make", "run": ["make"]}],
    "after": [{"name": "smoke"}],
    "rollback": [{"name": "undo"}],
    "receipts": ["report"],
}


def begun(trunk: Trunk, pen: Pen, parts: int = 2) -> str:
    """A DAG of which parts are to come; gives its record's id."""
    record = submit(pen, task("a"), parts=parts)
    do(trunk, record)
    return record.id


def running(trunk: Trunk, **order: Any) -> None:
    do(trunk, submit(trunk.oak, task("build", **order), task("test", "build")))
    do(trunk, claim(trunk.pens["elm"], "build"))


def filed(trunk: Trunk, *steps: tuple[str, str]) -> None:
    for step, phase in steps:
        do(trunk, receipt(trunk, "build", step, phase))


GOOD = (("clean", "before"), ("make", "run"), ("smoke", "after"), ("report", "run"))


@scene("dag.submit", "a DAG of this name is at work")
def _(trunk, oak, elm, ash):
    do(trunk, submit(oak, task("a")))
    return [submit(oak, task("a"))]


@scene("dag.submit", "it is no DAG")
def _(trunk, oak, elm, ash):
    return [submit(oak, task("a", "b"))]


@scene("dag.submit", "parts follow")
def _(trunk, oak, elm, ash):
    return [submit(oak, task("a", "b"), parts=1)]


@scene("dag.submit", "otherwise")
def _(trunk, oak, elm, ash):
    return [submit(elm, *diamond())]


@scene("dag.part", "not the part that comes next")
def _(trunk, oak, elm, ash):
    return [part(oak, begun(trunk, oak), 2, task("b"))]


@scene("dag.part", "the last part, and it is no DAG")
def _(trunk, oak, elm, ash):
    return [part(oak, begun(trunk, oak, 1), 1, task("a"))]


@scene("dag.part", "the last part")
def _(trunk, oak, elm, ash):
    return [part(oak, begun(trunk, oak, 1), 1, task("b", "a"))]


@scene("dag.part", "otherwise")
def _(trunk, oak, elm, ash):
    return [part(oak, begun(trunk, oak), 1, task("b", "c"))]


@scene("dag.cancel", "neither its author nor an admin")
def _(trunk, oak, elm, ash):
    do(trunk, submit(elm, task("a")))
    return [cancel(ash)]


@scene("dag.cancel", "nothing of it can be cancelled")
def _(trunk, oak, elm, ash):
    do(trunk, submit(oak, task("a")))
    run(trunk, "a")
    return [cancel(oak)]


@scene("dag.cancel", "otherwise")
def _(trunk, oak, elm, ash):
    do(trunk, submit(elm, *diamond()), claim(ash, "a"))
    return [cancel(oak)]


@scene("task.receipt", "no task's claim")
def _(trunk, oak, elm, ash):
    do(trunk, elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=9000, until=99))
    token = trunk.ledger.state.epoch
    body = {"step": "make", "phase": "run", "exit": 0, "outcome": "exited"}
    return [elm.write("task.receipt", **body, under={"lease": "deploy", "session": "s", "token": token})]


@scene("task.receipt", "no step of the order")
def _(trunk, oak, elm, ash):
    running(trunk, **ORDER)
    return [receipt(trunk, "build", "make", "before")]


@scene("task.receipt", "otherwise")
def _(trunk, oak, elm, ash):
    running(trunk, **ORDER)
    return [receipt(trunk, "build", "make")]


@scene("task.finish", "no task's claim")
def _(trunk, oak, elm, ash):
    do(trunk, issue(oak, to="elm"))
    do(trunk, claim(elm, the_command(trunk)))
    return [elm.write("task.finish", outcome="noop", under=under(trunk, the_command(trunk)))]


@scene("task.finish", "a receipt is missing or not good")
def _(trunk, oak, elm, ash):
    running(trunk, **ORDER)
    filed(trunk, *GOOD[:3])
    return [finish(trunk, "build")]


@scene("task.finish", "succeeded")
def _(trunk, oak, elm, ash):
    running(trunk, **ORDER)
    filed(trunk, *GOOD)
    return [finish(trunk, "build")]


@scene("task.finish", "noop")
def _(trunk, oak, elm, ash):
    running(trunk, **ORDER)
    filed(trunk, *GOOD[:1])
    return [finish(trunk, "build", "noop")]


@scene("task.finish", "another attempt is allowed")
def _(trunk, oak, elm, ash):
    running(trunk, attempts=2)
    return [finish(trunk, "build", "failed")]


@scene("task.finish", "otherwise")
def _(trunk, oak, elm, ash):
    running(trunk)
    return [finish(trunk, "build", "failed")]


@scene("task.retry", "neither its author nor an admin")
def _(trunk, oak, elm, ash):
    running(trunk)
    do(trunk, finish(trunk, "build", "failed"))
    return [retry(elm, "build")]


@scene("task.retry", "failed or cancelled")
def _(trunk, oak, elm, ash):
    running(trunk)
    do(trunk, finish(trunk, "build", "failed"))
    return [retry(oak, "build")]


@scene("task.retry", "otherwise")
def _(trunk, oak, elm, ash):
    running(trunk)
    do(trunk, finish(trunk, "build"))
    return [retry(oak, "build")]


@scene("task.skip", "neither its author nor an admin")
def _(trunk, oak, elm, ash):
    running(trunk)
    return [skip(elm, "test")]


@scene("task.skip", "waiting, ready, failed or blocked")
def _(trunk, oak, elm, ash):
    running(trunk)
    return [skip(oak, "test")]


@scene("task.skip", "otherwise")
def _(trunk, oak, elm, ash):
    running(trunk)
    return [skip(oak, "build")]


@scene("task.assign", "neither its author nor an admin")
def _(trunk, oak, elm, ash):
    running(trunk)
    return [assign(elm, "test", to="elm")]


@scene("task.assign", "to nobody who may claim it")
def _(trunk, oak, elm, ash):
    running(trunk)
    trunk.admit("owl", "observer")
    return [assign(oak, "test", to="owl")]


@scene("task.assign", "waiting, ready or blocked")
def _(trunk, oak, elm, ash):
    running(trunk)
    return [assign(oak, "test", to="ash")]


@scene("task.assign", "otherwise")
def _(trunk, oak, elm, ash):
    running(trunk)
    return [assign(oak, "build", to="ash")]


@pytest.mark.parametrize("row", dags.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(row: kinds.Row) -> None:
    reach(dags, row, SCENES)


def test_no_scene_plays_a_row_that_is_gone() -> None:
    assert set(SCENES) == {(row.kind, row.case) for row in dags.ROWS}
    assert set(dags.CASES) == {row.case for row in dags.ROWS}


# Submitting.


@pytest.mark.parametrize(
    ("tasks", "says"),
    [
        ([task("a", "a")], "a cycle: a -> a"),
        ([task("b", "c"), task("c", "a"), task("a", "b"), task("d", "a")], "a cycle: a -> b -> c -> a"),
        ([task("a", "x")], "a needs x, and there is no such task"),
        ([task("a"), task("a")], "two tasks are named a"),
        ([task("a", commands=[{"name": "s"}], after=[{"name": "s"}])], "a has two steps named s"),
        ([task("a", rollback=[{"name": "s"}], receipts=["s"])], "a has two steps named s"),
    ],
)
def test_DAG_3_a_cycle_is_named(tasks: list[Value], says: str) -> None:
    for order in (tasks, tasks[::-1]):
        trunk = fleet()
        record = submit(trunk.oak, *order)
        verdict = trunk.verdict(record)
        assert verdict == ("refused", "DAG-3", "")
        assert kinds.words(trunk.ledger.state, record, verdict).what == says
        assert part_of(trunk).dags == {}


class Counted(str):
    """A name that counts how often it is compared."""

    __slots__ = ()
    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return str.__eq__(self, other)


def test_DAG_3_a_long_cycle_is_found_at_a_price_that_grows_as_it_does_and_20_names_are_told() -> None:
    names = [Counted(f"{number:04}") for number in range(1000)]
    needs = {name: [other] for name, other in zip(names, [*names[1:], names[0]], strict=True)}
    Counted.compared = 0
    assert graph.find_cycle(needs) == [*names, names[0]]
    assert Counted.compared < 20 * len(names)
    looped = [{"name": name, "needs": others} for name, others in needs.items()]
    assert graph.flaw(looped) == f"a cycle: {' -> '.join(names[:20])} -> ..."


def test_C22_no_cycle_comes_about_through_parts_or_by_hand() -> None:
    trunk = fleet()
    id_ = begun(trunk, trunk.oak, 1)
    looped = part(trunk.oak, id_, 1, task("b", "c"), task("c", "b"))
    verdict = trunk.verdict(looped)
    assert verdict.rule == "DAG-3"
    assert kinds.words(trunk.ledger.state, looped, verdict).what == "a cycle: b -> c -> b"
    do(trunk, part(trunk.oak, id_, 1, task("b", "a")))
    assert states(trunk) == {"a": "ready", "b": "waiting"}


def test_DAG_3_a_task_has_at_most_256_needs() -> None:
    many = [task(f"t{number}") for number in range(graph.MAX_NEEDS + 1)]
    assert graph.flaw([*many, task("z", *(one["name"] for one in many))]).startswith("z needs 257 tasks")
    assert graph.flaw([*many, task("z", *(one["name"] for one in many[1:]))]) == ""


def test_DAG_1_tasks_can_be_claimed_from_the_epoch_behind_the_last_part_on() -> None:
    trunk = fleet()
    id_ = begun(trunk, trunk.oak)
    assert trunk.verdict(claim(trunk.pens["elm"], "a")).rule == "TASK-2"
    do(trunk, part(trunk.oak, id_, 1, task("c", "b")), part(trunk.oak, id_, 2, task("b", "a")))
    assert states(trunk) == {"a": "ready", "b": "waiting", "c": "waiting"}
    for name in "abc":
        run(trunk, name)


def test_DAG_2_a_name_is_free_when_nothing_of_its_dag_is_open() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("a"), task("b", "a"), task("old")))
    run(trunk, "a", "failed")
    assert trunk.verdict(submit(trunk.pens["elm"], task("x"))).rule == "DAG-2"
    run(trunk, "old")
    do(trunk, submit(trunk.pens["elm"], task("b"), task("x")))
    assert states(trunk) == {"b": "ready", "x": "ready"}
    assert dag(trunk).author == "elm"
    assert {name for name, _ in part_of(trunk).items.items()} == {"task:release/b", "task:release/x"}
    assert trunk.verdict(retry(trunk.oak, "a")).rule == "TASK-8"


def test_DAG_2_only_its_author_begins_a_dag_anew_whose_parts_never_came() -> None:
    trunk = fleet()
    old = begun(trunk, trunk.pens["elm"])
    assert trunk.verdict(submit(trunk.oak, task("x"))).rule == "DAG-2"
    new = begun(trunk, trunk.pens["elm"], 1)
    assert trunk.verdict(part(trunk.pens["elm"], old, 1, task("b"))) == ("refused", "DAG-4", "")
    do(trunk, part(trunk.pens["elm"], new, 1, task("b")))
    assert states(trunk) == {"a": "ready", "b": "ready"}


def test_DAG_4_parts_come_in_order_once_and_from_their_author() -> None:
    trunk = fleet()
    oak, elm = trunk.oak, trunk.pens["elm"]
    id_ = begun(trunk, elm)
    no = ("refused", "DAG-4", "")
    assert trunk.verdict(part(oak, id_, 1, task("evil"))) == no
    assert trunk.verdict(part(elm, "0" * 64, 1, task("b"))) == no
    assert trunk.verdict(part(elm, id_, 2, task("b"))) == no
    do(trunk, part(elm, id_, 1, task("b")))
    assert trunk.verdict(part(elm, id_, 1, task("b"))) == no
    do(trunk, part(elm, id_, 2, task("c")))
    assert trunk.verdict(part(elm, id_, 3, task("d"))) == no
    assert trunk.verdict(part(elm, id_, 3, task("d"), dag="none")) == no
    assert states(trunk) == dict.fromkeys("abc", "ready")


def test_DAG_4_a_part_is_of_the_dag_that_is_begun() -> None:
    trunk = fleet()
    wish = {"dag": "release", "part": 1, "tasks": [task("b")]}
    with pytest.raises(Refused, match="no DAG release waits"):
        kinds.propose(trunk.ledger.state, "oak", "dag.part", wish)
    id_ = begun(trunk, trunk.oak, 1)
    assert kinds.propose(trunk.ledger.state, "oak", "dag.part", wish)["record"] == id_
    do(trunk, part(trunk.oak, id_, 1, task("b")))
    with pytest.raises(Refused):
        kinds.propose(trunk.ledger.state, "oak", "dag.part", wish)


def test_DAG_5_a_cancelled_dag_lets_nobody_finish_and_takes_no_more_parts() -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, submit(elm, *diamond(), task("e")))
    run(trunk, "e")
    do(trunk, claim(ash, "a"))
    late = finish(trunk, "a")
    do(trunk, cancel(elm))
    assert states(trunk) == {**dict.fromkeys("abcd", "cancelled"), "e": "succeeded"}
    assert trunk.verdict(late) == ("fenced", "FENCE", "")
    assert trunk.verdict(claim(ash, "a")).rule == "TASK-2"
    assert trunk.verdict(cancel(oak)).rule == "DAG-5"
    id_ = begun(trunk, elm)
    do(trunk, cancel(oak))
    assert trunk.verdict(part(elm, id_, 1, task("b"))) == ("refused", "DAG-4", "")


# Receipts and finishes.


@pytest.mark.parametrize("lacks", GOOD, ids=lambda step: step[0])
@pytest.mark.parametrize("how", ["absent", "exit 1", "killed", "timed out", "replaced"])
def test_TASK_7_no_success_without_a_good_receipt_of_each_step(lacks: tuple[str, str], how: str) -> None:
    trunk = fleet()
    running(trunk, **ORDER)
    filed(trunk, *(step for step in GOOD if step != lacks or how == "replaced"))
    bad: dict[str, Value] = {
        "exit 1": {"exit": 1},
        "killed": {"exit": None, "outcome": "stopped"},
        "timed out": {"outcome": "timeout"},
        "replaced": {"exit": 2},
    }
    if how != "absent":
        do(trunk, receipt(trunk, "build", *lacks, **bad[how]))
    record = finish(trunk, "build")
    verdict = trunk.verdict(record)
    assert verdict == ("refused", "TASK-7", "")
    assert lacks[0] in kinds.words(trunk.ledger.state, record, verdict).what
    assert states(trunk) == {"build": "running", "test": "waiting"}
    do(trunk, receipt(trunk, "build", *lacks))
    do(trunk, finish(trunk, "build"))


@pytest.mark.parametrize(
    ("receipts", "says"),
    [
        ({}, "clean"),
        ({"clean": 1}, "clean"),
        ({"clean": 0, "make": 1}, "make"),
        ({"clean": 0, "make": 0, "smoke": 1}, "smoke"),
        ({"clean": 0, "report": 1}, "report"),
        ({"clean": 0}, ""),
        ({"clean": 0, "make": 0, "undo": 1}, ""),
    ],
)
def test_TASK_7_no_noop_behind_a_bad_receipt_or_past_a_guard_before(receipts: dict[str, int], says: str) -> None:
    trunk = fleet()
    running(trunk, **ORDER)
    for step, exit_ in receipts.items():
        do(trunk, receipt(trunk, "build", step, dags.steps_of(item(trunk, "build").order)[step], exit=exit_))
    record = finish(trunk, "build", "noop")
    verdict = trunk.verdict(record)
    if not says:
        assert (verdict.result, states(trunk)["test"]) == ("noop", "ready")
        return
    assert verdict == ("refused", "TASK-7", "")
    what = f"it cannot have had nothing to do: no good receipt of {says}"
    assert kinds.words(trunk.ledger.state, record, verdict).what == what
    assert states(trunk) == {"build": "running", "test": "waiting"}


def test_TASK_7_receipts_of_an_attempt_count_for_no_other() -> None:
    trunk = fleet()
    running(trunk, **ORDER, attempts=2)
    filed(trunk, *GOOD)
    do(trunk, take(trunk, trunk.pens["ash"], "build"))
    assert trunk.verdict(finish(trunk, "build")).rule == "TASK-7"
    filed(trunk, *GOOD)
    do(trunk, finish(trunk, "build", "failed"), claim(trunk.oak, "build"))
    assert trunk.verdict(finish(trunk, "build")).rule == "TASK-7"


def test_TASK_9_a_receipt_is_of_a_step_and_its_phase_and_of_the_claims_holder() -> None:
    trunk = fleet()
    running(trunk, **ORDER)
    for step, phase in (("none", "run"), ("make", "after"), ("undo", "run")):
        assert trunk.verdict(receipt(trunk, "build", step, phase)).rule == "TASK-9"
    body = {"step": "make", "phase": "run", "exit": 0, "outcome": "exited", "under": under(trunk, "build")}
    assert trunk.verdict(trunk.pens["ash"].write("task.receipt", **body)).outcome == "fenced"
    do(trunk, receipt(trunk, "build", "undo", "rollback"))


def test_C20_finish_is_fenced_after_take() -> None:
    trunk = fleet()
    running(trunk)
    late, receipts = finish(trunk, "build"), finish(trunk, "build", "noop")
    do(trunk, take(trunk, trunk.pens["ash"], "build"))
    assert trunk.verdict(late) == ("fenced", "FENCE", "")
    assert trunk.verdict(receipts) == ("fenced", "FENCE", "")
    assert (item(trunk, "build").node, item(trunk, "build").attempt) == ("ash", 2)
    do(trunk, finish(trunk, "build"))
    assert item(trunk, "build").node == "ash"


def test_TASK_6_a_finish_says_it_once_and_its_token_is_spent() -> None:
    trunk = fleet()
    running(trunk)
    spent = under(trunk, "build")
    do(trunk, finish(trunk, "build"))
    for outcome in ("succeeded", "noop", "failed"):
        again = trunk.pens["elm"].write("task.finish", outcome=outcome, under=spent)
        assert trunk.verdict(again) == ("fenced", "FENCE", "")
    assert trunk.verdict(claim(trunk.pens["elm"], "build")).rule == "TASK-2"
    assert claim_of(trunk, "build").holder == ""


def test_FENCE_a_finish_without_its_token_or_with_another_sessions_is_none() -> None:
    trunk = fleet()
    running(trunk)
    elm, good = trunk.pens["elm"], under(trunk, "build")
    for wrong in ({"token": good["token"] - 1}, {"token": good["token"] + 1}, {"session": "other"}):
        assert trunk.verdict(finish(trunk, "build", under={**good, **wrong})).outcome == "fenced"
    bare = {key: value for key, value in good.items() if key != "token"}
    assert trunk.verdict(elm.write("task.finish", outcome="succeeded", under=bare)) == ("refused", "RULES", "")
    assert trunk.verdict(finish(trunk, "build", by=trunk.pens["ash"])).outcome == "fenced"


@pytest.mark.parametrize("outcome", ["succeeded", "noop", "failed"])
def test_C23_every_attempt_ends_in_one_outcome(outcome: str) -> None:
    trunk = fleet()
    running(trunk)
    do(trunk, finish(trunk, "build", outcome, reason="so it was"))
    done = item(trunk, "build")
    assert (done.state, done.attempt, done.reason) == (outcome, 1, "so it was")
    assert claim_of(trunk, "build").holder == ""
    assert states(trunk)["test"] == ("blocked" if outcome == "failed" else "ready")
    assert dag(trunk).counts.get("running") == 0


def test_TASK_6_a_failed_task_has_as_many_attempts_as_its_order_says() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("a", attempts=3), task("b", "a")))
    assert [run(trunk, "a", "failed", reason="x").result for _ in range(2)] == ["again", "again"]
    do(trunk, claim(trunk.pens["elm"], "a"))
    assert (item(trunk, "a").reason, item(trunk, "a").attempt) == ("", 3)
    assert do(trunk, finish(trunk, "a", "failed")).result == "failed"
    assert states(trunk) == {"a": "failed", "b": "blocked"}
    assert "a, which is failed" in item(trunk, "b").reason


# By hand, on diamonds.


def failed_at(name: str, **order: Any) -> Trunk:
    """A diamond in which this task failed and all before it succeeded."""
    trunk = fleet()
    do(trunk, submit(trunk.oak, *diamond(**order)))
    for before in "abcd":
        run(trunk, before, "failed" if before == name else "succeeded")
        if before == name:
            return trunk
    raise AssertionError(name)


def test_TASK_6_a_failure_blocks_all_that_need_it_directly_or_not() -> None:
    trunk = failed_at("a")
    assert states(trunk) == {"a": "failed", "b": "blocked", "c": "blocked", "d": "blocked"}
    trunk = failed_at("b")
    assert states(trunk) == {"a": "succeeded", "b": "failed", "c": "ready", "d": "blocked"}
    run(trunk, "c")
    assert states(trunk)["d"] == "blocked"


def test_DAG_5_what_is_only_blocked_can_be_cancelled_and_what_failed_stays_failed() -> None:
    trunk = failed_at("a")
    assert not dag(trunk).is_open
    do(trunk, cancel(trunk.oak))
    assert states(trunk) == {"a": "failed", **dict.fromkeys("bcd", "cancelled")}
    assert trunk.verdict(cancel(trunk.oak)) == ("refused", "DAG-5", "")


def test_TASK_8_a_retry_frees_the_whole_diamond_behind_it() -> None:
    trunk = failed_at("a")
    do(trunk, retry(trunk.oak, "a"))
    assert states(trunk) == {"a": "ready", "b": "waiting", "c": "waiting", "d": "waiting"}
    for name in "abcd":
        run(trunk, name)
    assert set(states(trunk).values()) == {"succeeded"}


def test_TASK_8_a_retry_frees_nothing_that_something_else_blocks() -> None:
    trunk = failed_at("b")
    run(trunk, "c", "failed")
    do(trunk, retry(trunk.oak, "b"))
    assert states(trunk) == {"a": "succeeded", "b": "ready", "c": "failed", "d": "blocked"}
    run(trunk, "b")
    assert states(trunk)["d"] == "blocked"
    do(trunk, retry(trunk.oak, "c"))
    assert (states(trunk)["d"], item(trunk, "d").needs) == ("waiting", 1)
    run(trunk, "c")
    run(trunk, "d")


def test_LIVE_a_hand_goes_each_way_of_the_graph_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of which each task needs all of the layer before: what is blocked is looked at once, not once per need."""
    layers, wide = 6, 12
    names = [[f"t{layer}.{number}" for number in range(wide)] for layer in range(layers)]
    behind = [task(name, *(names[layer - 1] if layer else ["a"])) for layer in range(layers) for name in names[layer]]
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("a"), *behind))
    run(trunk, "a", "failed")
    edges, seen = wide + wide * wide * (layers - 1), 0

    def counted(order: Value) -> list[str]:
        nonlocal seen
        seen += len(found := graph.needs_of(order))
        return found

    record = retry(trunk.oak, "a")
    state = fold.copy(trunk.ledger.state)
    monkeypatch.setattr(dags, "needs_of", counted)
    assert kinds.apply(state, record, kinds.Moment(state.epoch + 1)).result == "retried"
    waiting = {one.state for one in work.work(state).items.values() if one.name != "task:release/a"}
    assert waiting == {"waiting"}
    assert seen <= 2 * edges


@pytest.mark.parametrize(
    ("hand", "after"),
    [
        (("a",), {"a": "skipped", "b": "ready", "c": "ready", "d": "waiting"}),
        (("b",), {"a": "failed", "b": "skipped", "c": "blocked", "d": "blocked"}),
        (("b", "c"), {"a": "failed", "b": "skipped", "c": "skipped", "d": "ready"}),
        (("d",), {"a": "failed", "b": "blocked", "c": "blocked", "d": "skipped"}),
        (("a", "b", "c", "d"), dict.fromkeys("abcd", "skipped")),
    ],
)
def test_TASK_8_a_skip_lets_those_behind_it_go_on(hand: tuple[str, ...], after: dict[str, str]) -> None:
    trunk = failed_at("a")
    do(trunk, *(skip(trunk.oak, name) for name in hand))
    assert states(trunk) == after
    assert item(trunk, hand[0]).reason == "by hand"


def test_TASK_8_a_skip_of_what_waits_counts_like_a_success() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, *diamond()), skip(trunk.oak, "b"))
    assert (states(trunk)["d"], item(trunk, "d").needs) == ("waiting", 1)
    run(trunk, "a")
    run(trunk, "c")
    run(trunk, "d")
    assert trunk.verdict(retry(trunk.oak, "b")).rule == "TASK-8"


def test_TASK_8_what_was_cancelled_is_retried_task_by_task_and_waits_for_its_needs() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, *diamond()))
    run(trunk, "a")
    do(trunk, cancel(trunk.oak), retry(trunk.oak, "d"))
    assert states(trunk) == {"a": "succeeded", "b": "cancelled", "c": "cancelled", "d": "blocked"}
    assert item(trunk, "d").reason == "needs release/b, which is cancelled"
    assert not dag(trunk).is_open
    do(trunk, retry(trunk.oak, "b"), retry(trunk.oak, "c"))
    assert states(trunk) == {"a": "succeeded", "b": "ready", "c": "ready", "d": "waiting"}
    for name in "bcd":
        run(trunk, name)


def test_TASK_8_a_cancelled_retry_that_fails_blocks_again() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, *diamond()), cancel(trunk.oak), *(retry(trunk.oak, name) for name in "abcd"))
    assert states(trunk) == {"a": "ready", "b": "waiting", "c": "waiting", "d": "waiting"}
    run(trunk, "a", "failed")
    assert states(trunk) == {"a": "failed", "b": "blocked", "c": "blocked", "d": "blocked"}


def test_TASK_8_the_hand_is_the_authors_or_an_admins() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, submit(elm, *diamond()))
    for record in (retry(ash, "a"), skip(ash, "a"), assign(ash, "a", to="ash"), cancel(ash)):
        verdict = trunk.verdict(record)
        assert verdict.outcome == "refused"
        assert "only elm or an admin" in kinds.words(trunk.ledger.state, record, verdict).what
    do(trunk, assign(elm, "a", to="ash"), assign(trunk.oak, "a"), skip(elm, "a"))


@pytest.mark.parametrize("to", ["owl", "recovery", "nobody"])
def test_TASK_8_nothing_is_assigned_to_who_could_never_claim_it(to: str) -> None:
    trunk = fleet()
    trunk.admit("owl", "observer")
    do(trunk, submit(trunk.oak, task("a")))
    record = assign(trunk.oak, "a", to=to)
    verdict = trunk.verdict(record)
    assert verdict == ("refused", "TASK-8", "")
    assert f"{to} is no node" in kinds.words(trunk.ledger.state, record, verdict).what


def test_a_task_that_is_not_there_is_neither_retried_nor_skipped_nor_assigned() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("a")))
    for record in (retry(trunk.oak, "x"), skip(trunk.oak, "x"), assign(trunk.oak, "x", to="elm")):
        verdict = trunk.verdict(record)
        assert verdict == ("refused", "TASK-8", "")
        assert "there is no release/x" in kinds.words(trunk.ledger.state, record, verdict).what
    assert trunk.verdict(cancel(trunk.oak, dag="none")).rule == "DAG-5"


# Many at once.


def test_CLOSED_offline_only_receipts_and_finishes_of_work_are_signed() -> None:
    assert {kind.name for kind in dags.KINDS if kind.offline} == {"task.receipt", "task.finish"}
    assert {kind.name for kind in dags.KINDS if kind.until} == {"dag.submit", "dag.part"}


def test_DAG_priorities_of_tasks_and_dags_order_the_frontier() -> None:
    trunk = fleet()
    low = submit(trunk.oak, task("a"), task("urgent", priority=9), dag="low")
    high = submit(trunk.oak, task("b"), dag="high", priority=5)
    moment = kinds.Moment(trunk.ledger.state.epoch + 1)
    for record in (low, high):
        assert kinds.apply(trunk.ledger.state, record, moment).outcome == "applied"
    assert work.frontier(trunk.ledger.state) == ["task:low/urgent", "task:high/b", "task:low/a"]
    assert (dag(trunk, "low").counts, dag(trunk, "high").counts) == ({"ready": 2}, {"ready": 1})


def test_STEPS_nothing_that_was_done_is_done_again() -> None:
    assert all(not work.STEPS[done] for done in ("succeeded", "noop", "skipped", "refused"))
    assert set().union(*work.STEPS.values()) <= set(work.STEPS)
    assert work.MET.isdisjoint(work.OPEN)
