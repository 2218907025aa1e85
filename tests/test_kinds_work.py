"""Work: offers, whose turn it is, limits, pauses, the breaker, and what becomes of a claim whose holder is lost."""

from __future__ import annotations

import random
from typing import Any

import pytest

from orxaq_mesh import kinds
from orxaq_mesh.kinds import work
from orxaq_mesh.kinds.work import AGING_EPOCHS, FAILURES_IN_ROW, GUARD_INCIDENTS, MAX_BACKOFF_MS, Item
from tests.orders import (
    TTL_MS,
    Scenes,
    assign,
    cancel,
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
    receipt,
    release,
    retry,
    run,
    stage,
    states,
    submit,
    take,
    task,
    the_command,
)

SCENES: Scenes = {}
scene = stage(SCENES, "")


def opened(pen: Any) -> Any:
    return pen.write("breaker.open", reason="bad packages")


def reset(pen: Any) -> Any:
    return pen.write("breaker.reset", reason="mended")


@scene("work.offer", "otherwise")
def _(trunk, oak, elm, ash):
    return [offer(elm, "build", slots=2)]


@scene("breaker.open", "the breaker is open")
def _(trunk, oak, elm, ash):
    do(trunk, opened(elm))
    return [opened(ash)]


@scene("breaker.open", "otherwise")
def _(trunk, oak, elm, ash):
    return [opened(elm)]


@scene("breaker.reset", "the breaker is open")
def _(trunk, oak, elm, ash):
    do(trunk, opened(elm))
    return [reset(oak)]


@scene("breaker.reset", "otherwise")
def _(trunk, oak, elm, ash):
    return [reset(oak)]


@pytest.mark.parametrize("row", work.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(row: kinds.Row) -> None:
    reach(work, row, SCENES)


def test_no_scene_plays_a_row_that_is_gone() -> None:
    assert set(SCENES) == {(row.kind, row.case) for row in work.ROWS}
    assert set(work.CASES) == {row.case for row in work.ROWS}


# Offers, and whose turn it is.


def test_WORK_1_the_newest_offer_counts_and_an_empty_one_takes_it_back() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    do(trunk, offer(elm, "test", "build", "test", slots=2))
    assert part_of(trunk).offers == {"elm": work.Offer(("build", "test"), 2)}
    do(trunk, offer(elm, "docs"))
    assert part_of(trunk).offers == {"elm": work.Offer(("docs",), 1)}
    do(trunk, offer(elm, slots=0))
    assert part_of(trunk).offers == {}


def test_WORK_1_ready_work_is_dealt_among_all_that_offer_its_capability() -> None:
    trunk = fleet()
    for name in ("oak", "elm", "ash"):
        do(trunk, offer(trunk.pens[name], "build"))
    items = [Item(f"task:release/{n}", "ready", capability="build") for n in range(300)]
    owners = [work.owner(trunk.ledger.state, one) for one in items]
    assert {owners.count(name) > 60 for name in ("oak", "elm", "ash")} == {True}
    do(trunk, offer(trunk.pens["ash"], "docs"))
    after = [work.owner(trunk.ledger.state, one) for one in items]
    moved = [before for before, now in zip(owners, after, strict=True) if before != now]
    assert set(moved) == {"ash"}  # whoever leaves takes only its own share along
    assert work.owner(trunk.ledger.state, Item("task:release/x", "ready", capability="sign")) == ""


def test_WORK_1_what_only_one_node_may_do_is_that_nodes_turn() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    do(trunk, offer(trunk.pens["ash"], "build"), submit(trunk.oak, task("a", capability="build"), task("b")))
    do(trunk, assign(trunk.oak, "a", to="elm"), issue(trunk.oak, holder="leader"))
    turns = [work.owner(trunk.ledger.state, item(trunk, name)) for name in ("a", "b", the_command(trunk))]
    assert turns == ["elm", "ash", ""]
    assert trunk.verdict(claim(elm, the_command(trunk))).rule == "TASK-3"
    do(trunk, elm.write("lease.acquire", lease="leader", session="s", ttl_ms=TTL_MS, until=99))
    assert work.owner(trunk.ledger.state, item(trunk, the_command(trunk))) == "elm"
    assert do(trunk, claim(elm, "a")).rule == do(trunk, claim(elm, the_command(trunk))).rule == "LEASE-1"
    assert do(trunk, claim(elm, "b")).rule == "WORK-2"


def test_WORK_2_a_steal_is_seen_in_the_ledger() -> None:
    trunk = fleet()
    do(trunk, *(offer(trunk.pens[name], "build") for name in ("elm", "ash")))
    do(trunk, submit(trunk.oak, task("build", capability="build")))
    owner = work.owner(trunk.ledger.state, item(trunk, "build"))
    other = "ash" if owner == "elm" else "elm"
    assert do(trunk, claim(trunk.pens[other], "build")) == ("applied", "WORK-2", "granted")
    do(trunk, release(trunk, "build"))
    assert do(trunk, claim(trunk.pens[owner], "build")) == ("applied", "LEASE-1", "granted")


def test_WORK_1_the_frontier_is_sorted_by_priority_and_nobody_starves() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("b"), task("a"), task("urgent", priority=9)))
    names = [f"task:release/{name}" for name in ("urgent", "a", "b")]
    assert work.frontier(trunk.ledger.state) == names
    dice = random.Random(1)
    old = Item("task:x/old", "ready", since=100)
    for _ in range(100):
        later = 100 + 9 * AGING_EPOCHS + dice.randrange(1, 50)
        assert old.rank < Item("task:x/a", "ready", since=later, priority=dice.randrange(10)).rank


# Who may claim.


def test_TASK_2_nobody_stands_in_line_for_work() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("build")))
    assert trunk.verdict(claim(trunk.pens["elm"], "build", queue=True)).rule == "TASK-2"
    do(trunk, claim(trunk.pens["elm"], "build"))
    assert trunk.verdict(claim(trunk.pens["ash"], "build", queue=True)).rule == "TASK-2"
    assert trunk.verdict(take(trunk, trunk.pens["ash"], "build")).result == "granted"


def test_TASK_2_a_claim_that_names_its_order_is_for_no_other_of_the_same_name() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    first, command, another = submit(trunk.oak, task("build")), issue(trunk.oak), "ab" * 32
    do(trunk, first, command)
    for name, right in (("build", first), (the_command(trunk), command)):
        early = claim(elm, name, of=another)
        verdict = trunk.verdict(early)
        assert verdict == ("refused", "TASK-2", "")
        assert "another order" in kinds.words(trunk.ledger.state, early, verdict).what
        wish = kinds.propose(trunk.ledger.state, "elm", "lease.acquire", {"lease": early.body["lease"]})
        assert wish["of"] == right.id
        do(trunk, claim(elm, name, of=right.id))
        assert trunk.verdict(take(trunk, elm, name, "t", of=another)).rule == "TASK-2"
        assert trunk.verdict(take(trunk, elm, name, "t", of=right.id)).result == "granted"
    do(trunk, cancel(trunk.oak))
    late = claim(elm, "build", of=first.id)
    second = submit(trunk.oak, task("build"))
    do(trunk, second)
    assert trunk.verdict(late).rule == "TASK-2"
    do(trunk, claim(elm, "build", of=second.id))


@pytest.mark.parametrize("name", ["task:release/none", "task:", "command:5f0c", "task:release/build/x"])
def test_TASK_2_what_is_not_there_is_not_claimed(name: str) -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("build")))
    record = claim(trunk.pens["elm"], name)
    assert trunk.verdict(record).rule == "TASK-2"
    assert claim_of(trunk, name).holder == ""


def test_C8_a_second_claim_is_refused_and_names_the_owner() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("build")), claim(trunk.pens["elm"], "build"))
    second = claim(trunk.pens["ash"], "build")
    verdict = trunk.verdict(second)
    assert verdict == ("refused", "LEASE-2", "")
    words = kinds.words(trunk.ledger.state, second, verdict)
    assert words.facts["holder"] == "elm"
    assert "elm" in words.what
    assert trunk.verdict(claim(trunk.pens["elm"], "build")).rule == "LEASE-4"


def test_TASK_3_assigned_work_is_one_nodes_alone_whatever_it_offers() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, submit(trunk.oak, task("sign", capability="sign")), offer(ash, "sign"))
    do(trunk, offer(elm, "build", "signs"))
    assert trunk.verdict(claim(elm, "sign")).rule == "TASK-3"
    do(trunk, assign(trunk.oak, "sign", to="elm"))
    assert trunk.verdict(claim(ash, "sign")).rule == "TASK-3"
    do(trunk, claim(elm, "sign"))
    assert trunk.verdict(take(trunk, ash, "sign")).rule == "TASK-3"


def test_TASK_4_limits_hold_through_claim_give_back_take_and_finish() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, offer(elm, "gpu"), offer(ash, "gpu"))
    tasks = [task(name, capability="gpu") for name in "abc"]
    do(trunk, submit(trunk.oak, *tasks, task("free"), limits={"gpu": 2}))
    do(trunk, claim(elm, "a"), claim(ash, "b"))
    assert trunk.verdict(claim(elm, "c")).rule == "TASK-4"
    do(trunk, claim(elm, "free"), take(trunk, ash, "a"))
    assert trunk.verdict(claim(elm, "c")).rule == "TASK-4"
    do(trunk, release(trunk, "a"), claim(elm, "c"))
    assert trunk.verdict(claim(ash, "a")).rule == "TASK-4"
    do(trunk, finish(trunk, "b"), claim(ash, "a"))
    assert part_of(trunk).dags["release"].running == {"gpu": 2, "": 1}


def test_TASK_5_the_pause_doubles_and_is_asserted_and_ends_with_a_retry() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    do(trunk, submit(trunk.oak, task("flaky", attempts=4, backoff_ms=1000)))
    for pause in (0, 1000, 2000, 4000):
        assert item(trunk, "flaky").backoff_ms == pause
        if pause:
            assert trunk.verdict(claim(elm, "flaky", watched_ms=pause - 1)).rule == "TASK-5"
            assert trunk.verdict(claim(elm, "flaky")).rule == "TASK-5"
        do(trunk, claim(elm, "flaky", watched_ms=pause))
        do(trunk, finish(trunk, "flaky", "failed"))
    assert states(trunk) == {"flaky": "failed"}
    do(trunk, retry(trunk.oak, "flaky"), claim(elm, "flaky"))


def test_TASK_5_a_pause_is_never_longer_than_a_day() -> None:
    tired = Item("task:x/y", "ready", failures=90, order={"backoff_ms": 86_400_000})
    assert tired.backoff_ms == MAX_BACKOFF_MS


# Tokens.


def test_C6_a_works_token_grows_over_release_take_break_failure_retry_cancel_and_a_new_dag() -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    tokens: list[int] = []

    def granted(record: Any) -> None:
        do(trunk, record)
        assert claim_of(trunk, "build").token == item(trunk, "build").token == trunk.ledger.state.epoch
        tokens.append(item(trunk, "build").token)

    again = submit(oak, task("build", attempts=2))
    do(trunk, again)
    granted(claim(elm, "build"))
    do(trunk, release(trunk, "build"))
    granted(claim(elm, "build"))
    granted(take(trunk, ash, "build"))
    do(trunk, oak.write("lease.break", lease="task:release/build", token=tokens[-1], reason="hangs"))
    granted(claim(elm, "build"))
    do(trunk, finish(trunk, "build", "failed"))
    granted(claim(elm, "build"))
    do(trunk, finish(trunk, "build", "failed"), retry(oak, "build"))
    granted(claim(elm, "build"))
    do(trunk, cancel(oak), retry(oak, "build"))
    granted(claim(elm, "build"))
    do(trunk, finish(trunk, "build"), submit(oak, task("build")))
    granted(claim(elm, "build"))
    trunk.seal(oak.write("node.revoke", log=elm.log, reason="lost"))
    granted(claim(ash, "build"))
    assert tokens == sorted(set(tokens))


@pytest.mark.parametrize("how", ["cancel and retry", "release", "submit"])
def test_LEASE_3_work_is_granted_once_an_epoch(how: str) -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, submit(oak, task("build"), dag="other" if how == "submit" else "release"))
    state = trunk.ledger.state
    moment = kinds.Moment(state.epoch + 1)
    first = claim(elm, "build")
    named = {"lease": "task:release/build", "session": "s", "record": first.id, "token": moment.epoch}
    before = {
        "cancel and retry": [first, cancel(oak), retry(oak, "build")],
        "release": [first, elm.write("lease.release", **named)],
        "submit": [submit(oak, task("build"))],
    }[how]
    for record in before:
        assert kinds.apply(state, record, moment).outcome == "applied"
    assert item(trunk, "build").state == "ready"
    assert kinds.judge(state, claim(ash, "build"), moment)[0] == ("refused", "LEASE-3", "")
    assert kinds.judge(state, claim(ash, "build"), kinds.Moment(moment.epoch + 1))[0].result == "granted"


# The end of a claim without a finish.


def test_C20_a_claim_given_back_is_ready_again_and_its_receipts_are_gone() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("build", receipts=["log"])), claim(trunk.pens["elm"], "build"))
    do(trunk, receipt(trunk, "build", "log"), release(trunk, "build"))
    assert (item(trunk, "build").state, item(trunk, "build").steps) == ("ready", ())
    do(trunk, claim(trunk.pens["ash"], "build"))
    assert trunk.verdict(finish(trunk, "build")).rule == "TASK-7"


@pytest.mark.parametrize("way", ["revoked", "made an observer", "suspended"])
def test_LIVE_a_lost_nodes_work_is_ready_again_once(way: str) -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, offer(elm, "build"), submit(oak, task("a", capability="build"), task("b"), task("c")))
    do(trunk, assign(oak, "b", to="elm"), claim(elm, "a"), issue(oak, to="elm"))
    do(trunk, claim(elm, the_command(trunk)))
    attempt = item(trunk, "a").attempt
    if way == "suspended":
        kinds.suspend(trunk.ledger.state, elm.log, kinds.Moment(trunk.ledger.state.epoch + 1))
    elif way == "revoked":
        trunk.seal(oak.write("node.revoke", log=elm.log, reason="lost"))
    else:
        trunk.seal(oak.write("node.admit", name="elm", key=elm.key.public.text, roles=["observer"]))
    assert (item(trunk, "a").state, item(trunk, "a").node, item(trunk, "a").attempt) == ("ready", "", attempt)
    assert item(trunk, "b").to == ""
    assert (item(trunk, the_command(trunk)).state, item(trunk, the_command(trunk)).to) == ("ready", "elm")
    assert part_of(trunk).offers == {}
    assert not [held for held in kinds.lease.leases(trunk.ledger.state).by_name.values() if held.holder == "elm"]
    do(trunk, offer(ash, "build"), claim(ash, "a"), claim(ash, "b"))


def test_LIVE_what_failed_or_was_blocked_is_not_assigned_to_the_dead_for_ever() -> None:
    trunk = fleet()
    oak, elm = trunk.oak, trunk.pens["elm"]
    do(trunk, submit(oak, task("a"), task("b", "a"), task("c")))
    do(trunk, *(assign(oak, name, to=to) for name, to in (("a", "elm"), ("b", "elm"), ("c", "ash"))))
    run(trunk, "a", "failed")
    assert states(trunk) == {"a": "failed", "b": "blocked", "c": "ready"}
    trunk.seal(oak.write("node.revoke", log=elm.log, reason="lost"))
    assert [item(trunk, name).to for name in "abc"] == ["", "", "ash"]
    do(trunk, retry(oak, "a"))
    run(trunk, "a", by="ash")
    run(trunk, "b", by="ash")


# The breaker.


def failing(number: int, **order: Any) -> list[Any]:
    return [task(f"t{n}", **order) for n in range(number)]


def test_BREAKER_2_failures_in_a_row_open_it_and_a_success_between_begins_anew() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, *failing(2 * FAILURES_IN_ROW)))
    for number in range(FAILURES_IN_ROW - 1):
        run(trunk, f"t{number}", "failed")
    run(trunk, f"t{FAILURES_IN_ROW - 1}")
    for number in range(FAILURES_IN_ROW, 2 * FAILURES_IN_ROW):
        assert not part_of(trunk).breaker.since
        run(trunk, f"t{number}", "failed")
    breaker = part_of(trunk).breaker
    assert (breaker.since, breaker.by) == (trunk.ledger.state.epoch, "elm")
    assert f"{FAILURES_IN_ROW} failures" in breaker.reason


def test_BREAKER_2_failed_commands_count_as_well() -> None:
    trunk = fleet()
    for number in range(FAILURES_IN_ROW):
        record = issue(trunk.oak, again=f"a{number}")
        do(trunk, record)
        name = kinds.command.COMMAND + kinds.command.command_id(record.body)
        run(trunk, name, "failed")
    assert part_of(trunk).breaker.since


def test_BREAKER_2_guard_incidents_open_it_whatever_succeeds_between() -> None:
    trunk = fleet()
    guard = {"before": [{"name": "clean"}]}
    do(trunk, submit(trunk.oak, *failing(GUARD_INCIDENTS, **guard), task("good")))
    for number in range(GUARD_INCIDENTS):
        do(trunk, claim(trunk.pens["elm"], f"t{number}"))
        do(trunk, receipt(trunk, f"t{number}", "clean", "before", exit=1))
        do(trunk, finish(trunk, f"t{number}", "failed"))
        if not number:
            run(trunk, "good")
    assert part_of(trunk).breaker.reason == f"{GUARD_INCIDENTS} guards failed"


def test_BREAKER_2_a_command_that_fails_is_no_guard_incident() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, *failing(GUARD_INCIDENTS, commands=[{"name": "make"}])))
    for number in range(GUARD_INCIDENTS):
        do(trunk, claim(trunk.pens["elm"], f"t{number}"))
        do(trunk, receipt(trunk, f"t{number}", "make", exit=1))
        do(trunk, finish(trunk, f"t{number}", "failed"))
    breaker = part_of(trunk).breaker
    assert (breaker.since, breaker.failures, breaker.guards) == (0, GUARD_INCIDENTS, 0)


def test_BREAKER_1_while_it_is_open_nothing_begins_and_what_runs_may_finish() -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    do(trunk, submit(oak, task("a"), task("b", receipts=["log"])), issue(oak), claim(elm, "b"), opened(ash))
    assert trunk.verdict(claim(elm, "a")).rule == "BREAKER-1"
    assert trunk.verdict(take(trunk, ash, "b")).rule == "BREAKER-1"
    assert trunk.verdict(claim(elm, the_command(trunk))).rule == "BREAKER-1"
    assert trunk.verdict(issue(oak, again="x")).rule == "BREAKER-1"
    do(trunk, elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=TTL_MS, until=99))
    do(trunk, elm.write("lease.renew", lease="task:release/b", session="s", token=item(trunk, "b").token))
    do(trunk, receipt(trunk, "b", "log"), finish(trunk, "b"))


def test_BREAKER_3_only_an_admins_reset_closes_it_and_both_counts_begin_anew() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, *failing(FAILURES_IN_ROW + 1)))
    for number in range(FAILURES_IN_ROW):
        run(trunk, f"t{number}", "failed")
    assert trunk.verdict(reset(trunk.pens["elm"])).rule == "NODE-3"
    do(trunk, reset(trunk.oak))
    assert part_of(trunk).breaker == work.Breaker()
    run(trunk, f"t{FAILURES_IN_ROW}", "failed")
    assert not part_of(trunk).breaker.since


# Words.


def test_a_refused_claim_says_what_the_work_is_doing() -> None:
    trunk = fleet()
    do(trunk, submit(trunk.oak, task("a"), task("b", "a"), task("sign", capability="sign")), issue(trunk.oak, to="ash"))
    told = {}
    for name in ("b", "sign", "none", the_command(trunk)):
        record = claim(trunk.pens["elm"], name)
        told[name] = kinds.words(trunk.ledger.state, record, trunk.verdict(record)).what
    assert "waits for 1 of the tasks" in told["b"]
    assert "the capability sign" in told["sign"]
    assert "there is no task:release/none" in told["none"]
    assert "assigned to ash" in told[the_command(trunk)]
