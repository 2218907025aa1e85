"""Commands: every row of the table, one outcome each, and one command however many nodes ask for it."""

from __future__ import annotations

from typing import Any

import pytest

from orxaq_mesh import kinds
from orxaq_mesh.kinds import command
from tests.builder import Trunk
from tests.orders import (
    Scenes,
    claim,
    claim_of,
    do,
    finish,
    fleet,
    issue,
    item,
    offer,
    part_of,
    reach,
    release,
    run,
    stage,
    submit,
    take,
    task,
    the_command,
    under,
)
from tests.test_kinds_reactor import due_command, mapped

SCENES: Scenes = {}
scene = stage(SCENES, "")


def started(trunk: Trunk, **body: Any) -> str:
    do(trunk, issue(trunk.oak, **body))
    do(trunk, claim(trunk.pens["elm"], the_command(trunk)))
    return the_command(trunk)


def call_back(trunk: Trunk, pen: Any, name: str = "") -> Any:
    id_ = (name or the_command(trunk)).removeprefix("command:")
    return pen.write("command.cancel", command=id_, reason="elm was replaced")


@scene("command.issue", "a follow-up that was written before")
def _(trunk, oak, elm, ash):
    body = due_command(trunk)
    do(trunk, elm.write("command.issue", **body))
    return [ash.write("command.issue", **body)]


@scene("command.issue", "no follow-up that is due")
def _(trunk, oak, elm, ash):
    return [elm.write("command.issue", **due_command(trunk), reason="another")]


@scene("command.issue", "a follow-up that is not under its lease")
def _(trunk, oak, elm, ash):
    return [elm.write("command.issue", **due_command(trunk, under="leader"))]


@scene("command.issue", "the address is none, or not one")
def _(trunk, oak, elm, ash):
    return [issue(oak, to="elm", capability="build")]


@scene("command.issue", "issued before")
def _(trunk, oak, elm, ash):
    do(trunk, issue(oak, args={"index": "docs"}))
    return [issue(ash, args={"index": "docs"}, priority=3)]


@scene("command.issue", "the breaker is open")
def _(trunk, oak, elm, ash):
    do(trunk, elm.write("breaker.open", reason="x"))
    return [issue(oak)]


@scene("command.issue", "otherwise")
def _(trunk, oak, elm, ash):
    return [issue(oak)]


@scene("command.finish", "no command's claim")
def _(trunk, oak, elm, ash):
    do(trunk, submit(oak, task("build")), claim(elm, "build"))
    return [elm.write("command.finish", outcome="noop", under=under(trunk, "build"))]


@scene("command.finish", "applied")
def _(trunk, oak, elm, ash):
    return [finish(trunk, started(trunk), "applied", exit=0)]


@scene("command.finish", "noop")
def _(trunk, oak, elm, ash):
    return [finish(trunk, started(trunk), "noop")]


@scene("command.finish", "refused")
def _(trunk, oak, elm, ash):
    return [finish(trunk, started(trunk), "refused", rule="NOT-CONFIGURED")]


@scene("command.finish", "otherwise")
def _(trunk, oak, elm, ash):
    return [finish(trunk, started(trunk), "failed", reason="exit 3", exit=3)]


@scene("command.cancel", "neither its issuer nor an admin")
def _(trunk, oak, elm, ash):
    do(trunk, issue(oak))
    return [call_back(trunk, ash)]


@scene("command.cancel", "not ready")
def _(trunk, oak, elm, ash):
    started(trunk)
    return [call_back(trunk, oak)]


@scene("command.cancel", "otherwise")
def _(trunk, oak, elm, ash):
    do(trunk, issue(ash))
    return [call_back(trunk, oak)]


@pytest.mark.parametrize("row", command.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(row: kinds.Row) -> None:
    reach(command, row, SCENES)


def test_no_scene_plays_a_row_that_is_gone() -> None:
    assert set(SCENES) == {(row.kind, row.case) for row in command.ROWS}
    assert set(command.CASES) == {row.case for row in command.ROWS}


# One command, one outcome.


@pytest.mark.parametrize(
    ("outcome", "state", "said", "reason"),
    [
        ("applied", "succeeded", {}, ""),
        ("noop", "noop", {"reason": "it ran already"}, "it ran already"),
        ("refused", "refused", {"rule": "POLICY-2", "reason": "not here"}, "POLICY-2: not here"),
        ("failed", "failed", {"reason": "exit 3"}, "exit 3"),
    ],
)
def test_C23_a_command_ends_in_one_outcome(outcome: str, state: str, said: dict[str, str], reason: str) -> None:
    trunk = fleet()
    name = started(trunk)
    spent = under(trunk, name)
    assert do(trunk, finish(trunk, name, outcome, **said)) == ("applied", "COMMAND-3", outcome)
    assert (item(trunk, name).state, item(trunk, name).reason) == (state, reason)
    for again in ("applied", "noop", "refused", "failed"):
        late = trunk.pens["elm"].write("command.finish", outcome=again, under=spent)
        assert trunk.verdict(late) == ("fenced", "FENCE", "")
    assert trunk.verdict(claim(trunk.pens["elm"], name)).rule == "TASK-2"
    assert trunk.verdict(call_back(trunk, trunk.oak, name)).rule == "COMMAND-4"
    assert trunk.verdict(issue(trunk.pens["ash"])) == ("applied", "COMMAND-2", "noop")
    assert item(trunk, name).state == state


def test_COMMAND_1_its_id_is_content_and_not_time() -> None:
    body = {"name": "restart", "to": "elm", "args": {"b": 1, "a": [2]}, "until": 9}
    id_ = command.command_id(body)
    for same in ({"until": 10}, {"once": "k"}, {"priority": 9}, {"reason": "x"}, {"args": {"a": [2], "b": 1}}):
        assert command.command_id({**body, **same}) == id_
    for other in ({"name": "stop"}, {"to": "ash"}, {"args": {"a": [2], "b": 2}}, {"again": "2"}, {"cause": "0" * 64}):
        assert command.command_id({**body, **other}) != id_
    assert command.command_id({"name": "restart", "capability": "elm", "until": 9}) != command.command_id(
        {"name": "restart", "to": "elm", "until": 9}
    )


@pytest.mark.parametrize("to", ["owl", "recovery", "nobody"])
def test_COMMAND_1_nobody_who_could_never_start_it_is_an_address(to: str) -> None:
    trunk = fleet()
    trunk.admit("owl", "observer")
    record = issue(trunk.oak, to=to)
    verdict = trunk.verdict(record)
    assert verdict == ("refused", "COMMAND-1", "")
    assert "address" in kinds.words(trunk.ledger.state, record, verdict).what
    assert trunk.verdict(trunk.oak.write("command.issue", name="x", until=99)).rule == "COMMAND-1"


@pytest.mark.parametrize("count", range(1, 9))
def test_C3_one_command_issued_by_n_nodes_is_one_command(count: int) -> None:
    trunk = Trunk.founded()
    pens = [trunk.oak, *(trunk.admit(f"n{number}") for number in range(1, count))]
    records = [issue(pen, to="oak", args={"index": "docs"}) for pen in pens]
    results = [judged.verdict.result for judged in trunk.seal(*records)]
    assert sorted(results) == ["issued", *["noop"] * (count - 1)]
    assert len(part_of(trunk).items) == 1


def test_ONCE_a_noops_key_is_used_too() -> None:
    trunk = fleet()
    do(trunk, issue(trunk.oak), issue(trunk.pens["ash"], once="k"))
    assert trunk.verdict(issue(trunk.pens["ash"], once="k")) == ("refused", "ONCE", "")


def test_COMMAND_1_who_offers_a_capability_may_start_it_and_who_does_not_may_not() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, issue(trunk.oak, capability="index"), offer(elm, "index"))
    name = the_command(trunk)
    assert trunk.verdict(claim(ash, name)).rule == "TASK-3"
    run(trunk, name, "applied")


def test_row_17_what_a_dead_leader_left_the_next_leader_takes_up() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    lead = {"session": "s", "ttl_ms": 9000, "until": 999}
    do(trunk, elm.write("lease.acquire", lease="leader", **lead), issue(trunk.oak, holder="leader"))
    name = the_command(trunk)
    assert trunk.verdict(claim(ash, name)).rule == "TASK-3"
    do(trunk, claim(elm, name))
    late = finish(trunk, name, "applied")
    assert trunk.verdict(take(trunk, ash, name)).rule == "TASK-3"
    do(trunk, _taken(trunk, ash, lead))
    do(trunk, take(trunk, ash, name))
    assert trunk.verdict(late) == ("fenced", "FENCE", "")
    do(trunk, finish(trunk, name, "applied"))
    assert item(trunk, name).node == "ash"


def _taken(trunk: Trunk, pen: Any, lead: dict[str, Any]) -> Any:
    held = kinds.lease.leases(trunk.ledger.state).by_name["leader"]
    return pen.write("lease.take", lease="leader", **lead, token=held.token, last=held.last, watched_ms=9000)


def test_C20_a_command_given_back_is_ready_again_and_its_old_token_is_spent() -> None:
    trunk = fleet()
    name = started(trunk)
    spent = under(trunk, name)
    do(trunk, release(trunk, name))
    assert (item(trunk, name).state, claim_of(trunk, name).holder) == ("ready", "")
    late = trunk.pens["elm"].write("command.finish", outcome="applied", under=spent)
    assert trunk.verdict(late) == ("fenced", "FENCE", "")
    run(trunk, name, "applied")


def test_FENCE_a_command_issued_under_a_lease_that_is_lost_is_none() -> None:
    trunk = fleet()
    do(trunk, trunk.oak.write("lease.acquire", lease="leader", session="s", ttl_ms=9000, until=99))
    good = {"lease": "leader", "session": "s", "token": trunk.ledger.state.epoch}
    assert trunk.verdict(issue(trunk.oak, under={**good, "token": 1})) == ("fenced", "FENCE", "")
    assert trunk.verdict(issue(trunk.pens["ash"], under=good)) == ("fenced", "FENCE", "")
    assert trunk.verdict(issue(trunk.oak, under=good)).result == "issued"


def test_COMMAND_4_its_issuer_or_an_admin_calls_it_back_while_nobody_has_started_it() -> None:
    trunk = fleet()
    ash = trunk.pens["ash"]
    do(trunk, issue(ash))
    name = the_command(trunk)
    record = call_back(trunk, trunk.pens["elm"])
    verdict = trunk.verdict(record)
    assert verdict == ("refused", "COMMAND-4", "")
    assert "only ash or an admin" in kinds.words(trunk.ledger.state, record, verdict).what
    do(trunk, call_back(trunk, ash))
    assert (item(trunk, name).state, item(trunk, name).reason) == ("cancelled", "elm was replaced")
    assert trunk.verdict(claim(trunk.pens["elm"], name)).rule == "TASK-2"
    assert trunk.verdict(call_back(trunk, ash, "command:" + "0" * 16)).rule == "COMMAND-4"


def test_a_command_of_a_reactor_is_one_with_its_cause() -> None:
    trunk = fleet()
    body = due_command(trunk)
    do(trunk, trunk.pens["elm"].write("command.issue", **body))
    assert item(trunk, the_command(trunk)).order["args"] == {"lane": "gpu"}
    assert trunk.verdict(issue(trunk.oak, name="scale", to="oak", args={"lane": "gpu"})).result == "issued"
    assert mapped(trunk).due == {}
