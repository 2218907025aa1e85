"""One node's mind at work: which task it takes, when it steals or takes over, what travels together, whose turn a follow-up is."""

from __future__ import annotations

from typing import Any

import pytest

from orxaq_mesh.choosing import ANY_WORK, STEAL_PAUSES
from orxaq_mesh.effects import Answer, Ask, Effect, Intent, Publish, Tell, Tick
from orxaq_mesh.kinds import work
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.reactor import reactors
from orxaq_mesh.record import Record
from tests.bench import Bench

PAUSE_MS = 400
"""The bench's pace while something is awaited."""

Tasks = list[dict[str, Any]]


def bench(tasks: Tasks | None = None, *, offers: dict[str, list[str]] | None = None, **dag: Any) -> Bench:
    """elm, that has read a hub with a DAG of oak's and with these offers."""
    b = Bench()
    for name, capabilities in (offers or {"elm": []}).items():
        b.others_seal(name, b.other(name, "work.offer", capabilities=capabilities, slots=1))
    if tasks is not None:
        b.others_seal("oak", b.other("oak", "dag.submit", dag="release", tasks=tasks, until=99, **dag))
    b.start = (b.pen.seq, b.pen.prev)
    b.restart(snapshot=False)
    b.look()
    return b


def any_work(b: Bench, name: str = "w", session: str = "s", **more: Any) -> list[Effect]:
    wish = {"ttl_ms": 9000, "authors": ["oak"], "commands": [], **more}
    return b.ask(name, "lease.acquire", wait=True, lease=ANY_WORK, session=session, **wish)


def asked(effects: list[Effect]) -> list[Record]:
    """elm's records in the pushes of a step."""
    return [r for e in effects if isinstance(e, Publish) for r in e.records if r.log.startswith("elm-")]


def told(effects: list[Effect]) -> dict[str, Answer]:
    return {effect.intent: effect.answer for effect in effects if isinstance(effect, Tell)}


def finish(b: Bench, answer: Answer, name: str, outcome: str = "succeeded") -> Intent:
    facts = answer.facts
    under = {"lease": facts["lease"], "session": facts["session"], "token": facts["token"]}
    return Intent(name, "task.finish", {"under": under, "outcome": outcome}, asked_ms=b.ms)


def holder(b: Bench, task: str) -> str:
    held = leases(b.hub.ledger.state).by_name.get(f"task:release/{task}")
    return held.holder if held else ""


def test_TASK_2_an_idle_node_claims_what_is_first_in_the_frontier() -> None:
    b = bench([{"name": "a"}, {"name": "b", "priority": 9}, {"name": "c", "needs": ["a"]}])
    (claim,) = asked(any_work(b))
    assert claim.body["lease"] == "task:release/b"
    answer = told(b.committed())["w"]
    assert (answer.result, answer.facts["order"]["name"], answer.facts["attempt"]) == ("granted", "b", 1)
    assert answer.facts["token"] == b.hub.ledger.state.epoch


def test_TASK_3_it_waits_for_what_it_may_do_and_whose_author_it_trusts() -> None:
    b = bench([{"name": "a", "capability": "sign"}])
    assert not asked(any_work(b))
    b.others_seal("oak", b.other("oak", "dag.submit", dag="other", tasks=[{"name": "x"}], until=99))
    assert [claim.body["lease"] for claim in asked(b.look())] == ["task:other/x"]
    b = bench([{"name": "a"}])
    assert not asked(any_work(b, authors=["elm"]))
    assert asked(any_work(b, "v", "t", authors=["*"]))


def test_finish_and_the_next_claim_travel_in_one_push() -> None:
    b = bench([{"name": "a"}, {"name": "b", "needs": ["a"]}])
    any_work(b)
    answer = told(b.committed())["w"]
    wish = {"lease": ANY_WORK, "session": "s", "ttl_ms": 9000, "authors": ["oak"], "commands": []}
    again = Intent("again", "lease.acquire", wish, True, None, b.ms)
    records = asked(b.feed(Ask(finish(b, answer, "f"), [again])))
    assert [r.kind for r in records] == ["task.finish", "lease.acquire"]
    answers = told(b.committed())
    assert answers["f"].result == "succeeded"
    assert (answers["again"].result, answers["again"].facts["lease"]) == ("granted", "task:release/b")


def test_C22_a_dag_in_parts_is_one_push() -> None:
    b = bench()
    parts = [{"dag": "big", "part": n, "tasks": [{"name": f"t{n}"}], "record": ""} for n in (1, 2)]
    first = Intent("0", "dag.submit", {"dag": "big", "tasks": [{"name": "t0"}], "parts": 2}, asked_ms=b.ms)
    signed = asked(b.feed(Ask(first)))
    more = [Intent(str(n), "dag.part", {**p, "record": signed[0].id}, asked_ms=b.ms) for n, p in enumerate(parts, 1)]
    b.committed()
    assert len(asked(b.feed(Ask(more[0], more[1:])))) == 2
    assert {answer.result for answer in told(b.committed()).values()} == {"added", "submitted"}
    assert work.frontier(b.hub.ledger.state) == ["task:big/t0", "task:big/t1", "task:big/t2"]


def test_WORK_2_what_is_anothers_turn_is_left_alone_for_a_while_and_then_stolen() -> None:
    tasks = [{"name": f"t{n}"} for n in range(12)]
    b = bench(tasks, offers={"elm": [], "ash": []})
    state = b.hub.ledger.state
    turns = {item.name: work.owner(state, item) for item in work.work(state).items.values()}
    assert set(turns.values()) == {"elm", "ash"}
    mine = [name for name in work.frontier(state) if turns[name] == "elm"]
    for n, expected in enumerate(mine):
        (claim,) = asked(any_work(b, f"w{n}", f"s{n}"))
        assert claim.body["lease"] == expected
        b.committed()
    assert not asked(any_work(b, "idle", "idle"))
    b.ms += STEAL_PAUSES * PAUSE_MS
    (claim,) = asked(b.look())
    assert turns[claim.body["lease"]] == "ash"
    answer = told(b.committed())["idle"]
    assert (answer.rule, answer.result) == ("WORK-2", "granted")


def test_LEASE_2_who_comes_second_takes_the_next_task_instead() -> None:
    b = bench([{"name": "a"}, {"name": "b"}])
    (claim,) = asked(any_work(b))
    first = claim.body["lease"]
    b.others_seal("ash", b.other("ash", "lease.acquire", lease=first, session="z", ttl_ms=9000, until=99))
    b.command("lost")
    records = asked(b.look())
    while records == [claim]:  # it is signed, so it is sealed, as what it is: too late
        b.committed()
        b.ms += 2000
        records = asked(b.look())
    (again,) = records
    assert again.body["lease"] != first
    assert told(b.committed())["w"].facts["lease"] == again.body["lease"]


def test_TASK_5_a_failed_task_rests_for_as_long_as_its_order_says() -> None:
    b = bench([{"name": "a", "attempts": 3, "backoff_ms": 5000}])
    any_work(b)
    answer = told(b.committed())["w"]
    b.feed(Ask(finish(b, answer, "f", "failed")))
    assert told(b.committed())["f"].result == "again"
    assert not asked(any_work(b, "v", "s2"))
    b.ms += 4000
    assert not asked(b.look())
    b.ms += 1000
    (claim,) = asked(b.look())
    assert claim.body["watched_ms"] >= 5000
    assert told(b.committed())["v"].facts["attempt"] == 2


def test_TIME_work_whose_runner_went_silent_is_taken_over_once() -> None:
    b = bench([{"name": "a"}], offers={"elm": [], "ash": []})
    b.others_seal("ash", b.other("ash", "lease.acquire", lease="task:release/a", session="z", ttl_ms=3000, until=99))
    b.look()
    assert not asked(any_work(b))
    taken: list[Record] = []
    while b.ms < 6000 and not taken:
        b.ms += 500
        taken = asked(b.look())
    assert [record.kind for record in taken] == ["lease.take"]
    answer = told(b.committed())["w"]
    assert (answer.result, answer.facts["attempt"], holder(b, "a")) == ("granted", 2, "elm")
    late = b.hub.pens["ash"].write(
        "task.finish", under={"lease": "task:release/a", "session": "z", "token": 6}, outcome="succeeded"
    )
    assert b.hub.verdict(late).outcome == "fenced"


def test_BREAKER_1_nothing_is_claimed_while_the_breaker_is_open() -> None:
    b = bench([{"name": "a"}])
    b.others_seal("ash", b.other("ash", "breaker.open", reason="stop"))
    b.look()
    assert not asked(any_work(b))
    b.others_seal("oak", b.other("oak", "breaker.reset", reason="go on"))
    assert asked(b.look())


def test_LIVE_a_caller_that_went_away_leaves_its_claim_to_others() -> None:
    b = bench([{"name": "a"}])
    any_work(b)
    b.command("cancel w")
    assert [record.kind for record in asked(b.committed())] == ["lease.release"]
    b.committed()
    assert work.frontier(b.hub.ledger.state) == ["task:release/a"]


def test_TIME_a_claim_whose_worker_is_dead_is_not_given_back_for_its_commands_may_still_run() -> None:
    b = bench([{"name": "a"}])
    any_work(b, owner=True)
    claim = told(b.committed())["w"].facts
    for _ in range(3):
        b.ms += 2000
        assert not asked(b.feed(Tick(frozenset()))), "neither renewed nor given back"
        b.look()
    assert leases(b.hub.ledger.state).by_name[claim["lease"]].token == claim["token"]


def test_C20_a_claim_whose_answer_was_lost_is_told_again_and_not_claimed_twice() -> None:
    b = bench([{"name": "a"}, {"name": "b"}])
    any_work(b, owner=True)
    first = told(b.committed())["w"]
    b.restart()
    b.look()
    assert not told(any_work(b, "again", owner=True)), "nobody knows how old that grant is"
    (renewal,) = asked(b.feed(Tick(frozenset(hold.record for hold in b.holds))))
    assert renewal.kind == "lease.renew"
    answer = told(b.committed())["again"]
    assert (answer.facts["lease"], answer.facts["token"]) == (first.facts["lease"], first.facts["token"])


def reacting(**more: Any) -> Bench:
    rules = [
        {
            "on": {"topic": "hb", "type": "changed"},
            "give": {"event": {"topic": "tick", "type": "asked", "payload": "$node"}},
            **more,
        }
    ]
    b = Bench()
    b.others_seal("oak", b.other("oak", "reactor.publish", reactor="old", version=1, rules=rules))
    b.others_seal("ash", b.other("ash", "event.publish", topic="hb", type="changed", payload={}))
    return b


def test_C3_a_follow_up_is_written_once_and_whoever_comes_later_writes_nothing() -> None:
    b = reacting()
    (due,) = reactors(b.hub.ledger.state).due.values()
    b.look()
    assert not asked(b.look()), "who only asks and leaves writes nobody's follow-ups"
    records: list[Record] = []
    while not records:
        records = asked(b.feed(Tick(frozenset())))
        b.ms += 200
        records = records or asked(b.look())
        assert b.ms < 10_000
    (follow_up,) = records
    assert (follow_up.body["reaction"], follow_up.body["cause"]) == (due.id, due.cause)
    assert follow_up.body["payload"] == "ash"
    b.committed()
    assert not reactors(b.hub.ledger.state).due
    b.ms += 5000
    assert not asked(b.feed(Tick(frozenset())))
    assert not asked(b.look())


@pytest.mark.parametrize("first", ["oak", "ash"])
def test_REACTOR_2_what_another_node_wrote_first_is_not_due_here(first: str) -> None:
    b = reacting()
    (due,) = reactors(b.hub.ledger.state).due.values()
    body = {**due.body, "cause": due.cause, "reaction": due.id}
    b.others_seal(first, b.other(first, "event.publish", **body))
    b.look()
    b.feed(Tick(frozenset()))
    b.ms += 10_000
    assert not asked(b.look())


def test_LIVE_a_follow_up_that_is_written_and_waits_for_its_seal_wakes_nobody() -> None:
    b = reacting()
    b.look()
    b.feed(Tick(frozenset()))
    b.ms += 10_000
    assert asked(b.look())
    b.command("lost")
    assert b.engine.pen.pending
    assert b.engine.reacting.due_ms(b.engine.ledger.state, b.engine.pen.pending) is None


def test_REACTOR_3_a_follow_up_for_another_ones_lease_wakes_nobody() -> None:
    b = reacting(under="leader")
    b.others_seal("ash", b.other("ash", "lease.acquire", lease="leader", session="z", ttl_ms=900_000, until=99))
    b.look()
    assert not asked(b.feed(Tick(frozenset())))
    assert b.engine.wake_ms() > b.ms, "it would spin until the leader writes it"


def test_QUIET_a_claim_is_for_the_order_that_was_looked_at_and_no_other_of_its_name() -> None:
    b = bench([{"name": "a"}])
    any_work(b)
    claim = b.records[-1]
    state = b.hub.ledger.state
    ash, name = b.hub.pens["ash"], "task:release/a"
    token = state.epoch + 1
    others = [
        ash.write("lease.acquire", lease=name, session="z", ttl_ms=9000, until=99),
        ash.write("task.finish", under={"lease": name, "session": "z", "token": token}, outcome="noop"),
        ash.write("dag.submit", dag="release", tasks=[{"name": "a"}], until=99),
    ]
    b.others_seal("ash", *others)
    b.command("lost")
    records = asked(b.look())
    while records == [claim]:
        answers = told(b.committed())
        assert "w" not in answers, "the new release is ash's, whom nobody trusts here"
        b.ms += 2000
        records = asked(b.look())
    assert holder(b, "a") == ""


def test_QUIET_a_follow_up_is_as_trusted_as_the_event_that_it_is_made_of() -> None:
    give = {"command": {"name": "restart", "args": "$payload", "to": "elm"}}
    rules = [{"on": {"topic": "hb", "type": "changed"}, "give": give}]
    b = Bench()
    b.others_seal("oak", b.other("oak", "reactor.publish", reactor="old", version=1, rules=rules))
    b.others_seal("ash", b.other("ash", "event.publish", topic="hb", type="changed", payload={"index": "--all"}))
    (due,) = reactors(b.hub.ledger.state).due.values()
    assert due.by == ("ash", "oak")
    b.others_seal("elm", b.other("elm", "command.issue", **due.body, cause=due.cause, reaction=due.id, until=99))
    b.start = (b.pen.seq, b.pen.prev)
    b.restart(snapshot=False)
    b.look()
    assert not asked(any_work(b, authors=["elm", "oak"], commands=["restart"]))
    assert asked(any_work(b, "v", "t", authors=["ash", "elm", "oak"], commands=["restart"]))


def test_LIVE_work_that_nobody_may_do_keeps_nobody_from_what_is_behind_it() -> None:
    b = bench([{"name": f"t{n}", "capability": "gpu"} for n in range(600)])
    b.others_seal("oak", b.other("oak", "dag.submit", dag="zeta", tasks=[{"name": "x"}], until=99))
    b.look()
    assert [claim.body["lease"] for claim in asked(any_work(b))] == ["task:zeta/x"]


def test_LIVE_a_claim_that_a_rule_refuses_keeps_nobody_from_the_next() -> None:
    b = bench([{"name": "a", "ttl_ms": 90_000_000}, {"name": "b"}])
    (claim,) = asked(any_work(b, ttl_ms=9000))
    assert (claim.body["lease"], claim.body["ttl_ms"]) == ("task:release/a", 86_400_000)


def test_WORK_2_who_may_not_begin_its_own_turn_yet_steals_all_the_same() -> None:
    tasks = [{"name": f"t{n}", "attempts": 2, "backoff_ms": 3_600_000} for n in range(6)]
    b = bench(tasks, offers={"elm": [], "ash": []})
    state = b.hub.ledger.state
    mine = [name for name in work.frontier(state) if work.owner(state, work.work(state).items.get(name)) == "elm"]
    assert 0 < len(mine) < 6
    for n, _ in enumerate(mine):
        any_work(b, f"w{n}", f"s{n}")
        answer = told(b.committed())[f"w{n}"]
        b.feed(Ask(finish(b, answer, f"f{n}", "failed")))
        b.committed()
    assert not asked(any_work(b, "idle", "idle"))
    b.ms += STEAL_PAUSES * PAUSE_MS
    (claim,) = asked(b.look())
    assert claim.body["lease"] not in mine


def test_C17_a_star_is_no_leases_name_and_no_fault_of_the_node() -> None:
    b = bench([{"name": "a"}])
    for wish in ({}, {"authors": "oak", "commands": []}, {"authors": ["oak"], "commands": [1]}):
        answer = told(b.ask("x", "lease.acquire", wait=True, lease=ANY_WORK, session="s", ttl_ms=9000, **wish))["x"]
        assert (answer.verdict, answer.rule) == ("refused", "RULES")
    assert told(b.ask("y", "lease.take", lease=ANY_WORK, session="s", ttl_ms=9000))["y"].verdict == "refused"
