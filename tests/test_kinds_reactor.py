"""Reactors: one event has one consequence, whoever sees it; chains end; what no record can say is not due."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import event, mapping, reactor
from orxaq_mesh.kinds.reactor import DUE_EPOCHS, MAX_DEPTH, MAX_FOLLOW_UPS, Due, Reactors, body_of, reactors
from orxaq_mesh.reacting import Reacting
from orxaq_mesh.record import Record, Value, canonical
from tests.builder import Pen, Trunk
from tests.orders import Scenes, do, fleet, part_of, reach, stage

SCENES: Scenes = {}
scene = stage(SCENES, "")
EVENTS: Scenes = {}
told = stage(EVENTS, "")

SCALE: Value = {
    "on": {"topic": "lanes", "type": "failed"},
    "where": {"payload.failed": {"at_least": 3}},
    "give": {"command": {"name": "scale", "args": {"lane": "$payload.lane"}, "to": "oak"}},
}
TICK: Value = {
    "on": {"topic": "heartbeat", "type": "changed"},
    "give": {"event": {"topic": "tick", "type": "requested", "payload": {"node": "$node", "by": "$cause"}}},
}
ROUTE: Value = {
    "on": {"topic": "route", "type": "requested"},
    "give": {
        "event": {
            "topic": "route",
            "type": "chosen",
            "payload": {"to": {"$best": "payload.options", "where": {"healthy": True}, "by": "score"}},
        }
    },
    "else": {"event": {"topic": "route", "type": "blocked", "payload": {}}},
}


def mapped(trunk: Trunk) -> Reactors:
    return reactors(trunk.ledger.state)


def reacts(pen: Pen, *rules: Value, version: int = 1, name: str = "follow-ups") -> Record:
    return pen.write("reactor.publish", reactor=name, version=version, rules=list(rules))


def says(pen: Pen, topic: str, type_: str, payload: Any = None, **body: Any) -> Record:
    return pen.write("event.publish", topic=topic, type=type_, payload=payload, **body)


def the_due(trunk: Trunk) -> Due:
    (due,) = mapped(trunk).due.values()
    return due


def due_command(trunk: Trunk, **more: Any) -> Value:
    """Something is due: the body of the command that follows."""
    do(trunk, reacts(trunk.oak, {**SCALE, **more}), says(trunk.oak, "lanes", "failed", {"failed": 3, "lane": "gpu"}))
    return {**body_of(the_due(trunk)), "until": 9999}


def due_event(trunk: Trunk, **more: Any) -> Value:
    do(trunk, reacts(trunk.oak, {**TICK, **more}), says(trunk.oak, "heartbeat", "changed"))
    return body_of(the_due(trunk))


@scene("reactor.publish", "its version is not higher")
def _(trunk, oak, elm, ash):
    do(trunk, reacts(oak, TICK, version=2))
    return [reacts(oak, TICK, version=2)]


@scene("reactor.publish", "one of its rules is none")
def _(trunk, oak, elm, ash):
    return [reacts(oak, TICK, {**TICK, "give": {}})]


@scene("reactor.publish", "otherwise")
def _(trunk, oak, elm, ash):
    return [reacts(oak, TICK, SCALE, ROUTE)]


@pytest.mark.parametrize("row", reactor.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(row: kinds.Row) -> None:
    reach(reactor, row, SCENES)


@told("event.publish", "a follow-up that was written before")
def _(trunk, oak, elm, ash):
    body = due_event(trunk)
    do(trunk, elm.write("event.publish", **body))
    return [ash.write("event.publish", **body)]


@told("event.publish", "no follow-up that is due")
def _(trunk, oak, elm, ash):
    return [elm.write("event.publish", **{**due_event(trunk), "payload": {"node": "elm"}})]


@told("event.publish", "a follow-up that is not under its lease")
def _(trunk, oak, elm, ash):
    return [elm.write("event.publish", **due_event(trunk, under="leader"))]


@told("event.publish", "otherwise")
def _(trunk, oak, elm, ash):
    return [elm.write("event.publish", **due_event(trunk))]


@pytest.mark.parametrize("row", event.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_events_table_is_reached(row: kinds.Row) -> None:
    reach(event, row, EVENTS)


def test_no_scene_plays_a_row_that_is_gone() -> None:
    assert set(SCENES) == {(row.kind, row.case) for row in reactor.ROWS}
    assert set(EVENTS) == {(row.kind, row.case) for row in event.ROWS}
    assert set(reactor.CASES) == {row.case for row in reactor.ROWS}
    assert set(event.CASES) == {row.case for row in event.ROWS}


# One event, one follow-up.


@pytest.mark.parametrize("count", range(1, 9))
def test_C3_one_event_seen_by_n_nodes_is_one_command(count: int) -> None:
    trunk = Trunk.founded()
    pens = [trunk.oak, *(trunk.admit(f"n{number}") for number in range(1, count))]
    body = due_command(trunk)
    results = [judged.verdict.result for judged in trunk.seal(*(pen.write("command.issue", **body) for pen in pens))]
    assert sorted(results) == ["issued", *["noop"] * (count - 1)]
    assert len(part_of(trunk).items) == 1
    assert (mapped(trunk).due, len(mapped(trunk).done)) == ({}, 1)


@pytest.mark.parametrize("count", range(1, 9))
def test_C3_one_event_seen_by_n_nodes_is_one_event(count: int) -> None:
    trunk = Trunk.founded()
    pens = [trunk.oak, *(trunk.admit(f"n{number}") for number in range(1, count))]
    body = due_event(trunk)
    results = [judged.verdict.result for judged in trunk.seal(*(pen.write("event.publish", **body) for pen in pens))]
    assert sorted(results) == ["noop"] * (count - 1) + ["published"]
    assert trunk.ledger.state.slices["event"] == {"heartbeat": 1, "tick": 1}


def test_REACTOR_2_a_follow_up_is_what_the_rule_gives_for_this_event() -> None:
    trunk = fleet()
    body = due_event(trunk)
    cause = the_due(trunk).cause
    assert body["payload"] == {"node": "oak", "by": cause}
    assert body["cause"] == cause
    elm = trunk.pens["elm"]
    for wrong in ({"cause": "0" * 64}, {"topic": "tock"}, {"reaction": "0" * 32}, {"payload": {}}):
        record = elm.write("event.publish", **{**body, **wrong})
        verdict = trunk.verdict(record)
        assert verdict == ("refused", "REACTOR-2", "")
        assert "no follow-up" in kinds.words(trunk.ledger.state, record, verdict).what
    command = {"name": "scale", "to": "oak", "until": 99, "reaction": body["reaction"], "cause": cause}
    assert trunk.verdict(elm.write("command.issue", **command)).rule == "REACTOR-2"
    assert trunk.verdict(elm.write("event.publish", **body, once="k")).result == "published"


def test_REACTOR_2_two_events_have_two_follow_ups_and_two_rules_two() -> None:
    trunk = fleet()
    do(trunk, reacts(trunk.oak, TICK, TICK), reacts(trunk.oak, TICK, name="others"))
    do(trunk, says(trunk.oak, "heartbeat", "changed"), says(trunk.oak, "heartbeat", "changed"))
    assert len(mapped(trunk).due) == 6
    do(trunk, *(trunk.oak.write("event.publish", **body_of(due)) for due in list(mapped(trunk).due.values())))
    assert trunk.ledger.state.slices["event"] == {"heartbeat": 2, "tick": 6}


def test_REACTOR_1_a_mapping_holds_for_events_from_then_on_until_the_next_version() -> None:
    trunk = fleet()
    do(trunk, says(trunk.oak, "heartbeat", "changed"), reacts(trunk.oak, TICK, version=3))
    assert mapped(trunk).due == {}
    do(trunk, says(trunk.oak, "heartbeat", "changed"))
    body = body_of(the_due(trunk))
    do(trunk, reacts(trunk.oak, TICK, version=1, name="others"))
    assert len(mapped(trunk).due) == 1
    do(trunk, reacts(trunk.oak, version=4), says(trunk.oak, "tick", "requested"))
    assert (mapped(trunk).due, mapped(trunk).chains) == ({}, {})
    assert trunk.verdict(trunk.oak.write("event.publish", **body)).rule == "REACTOR-2"
    assert trunk.verdict(reacts(trunk.pens["elm"], TICK, version=5)).rule == "NODE-3"
    low = reacts(trunk.oak, TICK, version=4)
    assert "has version 4" in kinds.words(trunk.ledger.state, low, trunk.verdict(low)).what


def test_REACTOR_3_the_leaders_follow_up_waits_for_the_next_leader() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    lead = {"lease": "leader", "session": "s", "ttl_ms": 9000, "until": 999}
    do(trunk, elm.write("lease.acquire", **lead))
    stale = {"lease": "leader", "session": "s", "token": trunk.ledger.state.epoch}
    body = due_command(trunk, under="leader")
    trunk.seal(trunk.oak.write("node.revoke", log=elm.log, reason="dead"))
    assert len(mapped(trunk).due) == 1
    do(trunk, ash.write("lease.acquire", **lead))
    under = {**stale, "token": trunk.ledger.state.epoch}
    assert trunk.verdict(ash.write("command.issue", **body, under=stale)).outcome == "fenced"
    assert trunk.verdict(trunk.oak.write("command.issue", **body)).rule == "REACTOR-3"
    assert trunk.verdict(ash.write("command.issue", **body, under=under)).result == "issued"


def test_REACTOR_4_two_mappings_that_answer_each_other_come_to_an_end() -> None:
    trunk = fleet()
    ping = {"on": {"topic": "ping"}, "give": {"event": {"topic": "pong", "type": "x", "payload": 1}}}
    pong = {"on": {"topic": "pong"}, "give": {"event": {"topic": "ping", "type": "x", "payload": 1}}}
    do(trunk, reacts(trunk.oak, ping, pong), says(trunk.oak, "ping", "x"))
    for _ in range(MAX_DEPTH):
        do(trunk, trunk.oak.write("event.publish", **body_of(the_due(trunk))))
    assert mapped(trunk).due == {}
    assert sum(trunk.ledger.state.slices["event"].values()) == MAX_DEPTH + 1 == 17


@pytest.mark.parametrize("rules", [1, 3, 100])
def test_REACTOR_4_one_event_has_at_most_64_follow_ups_in_all(rules: int) -> None:
    trunk = fleet()
    again = {"on": {"topic": "t"}, "give": {"event": {"topic": "t", "type": "x", "payload": 1}}}
    do(trunk, reacts(trunk.oak, *[again] * rules), says(trunk.oak, "t", "x"))
    written = 0
    while due := list(mapped(trunk).due.values()):
        assert {one.root for one in due} == set(mapped(trunk).chains)
        do(trunk, *(trunk.oak.write("event.publish", **body_of(one)) for one in due))
        written += len(due)
    assert written == (MAX_DEPTH if rules == 1 else MAX_FOLLOW_UPS)
    assert mapped(trunk).chains == {}
    do(trunk, says(trunk.oak, "t", "x"), says(trunk.oak, "t", "x"))
    assert len(mapped(trunk).due) == min(2 * rules, 2 * MAX_FOLLOW_UPS)


def test_REACTOR_5_what_nobody_writes_for_64_epochs_is_due_no_longer() -> None:
    trunk = fleet()
    body = due_event(trunk)
    state = fold.restore(fold.snapshot(trunk.ledger.state))
    since = reactors(state).due[body["reaction"]].since
    record = trunk.oak.write("event.publish", **body)
    for epoch, rule in ((since + DUE_EPOCHS, "EVENT-1"), (since + DUE_EPOCHS + 1, "REACTOR-2")):
        late = fold.copy(state)
        reactor.open_epoch(late, kinds.Moment(epoch))
        assert kinds.judge(late, record, kinds.Moment(epoch))[0].rule == rule
    assert (reactors(late).due, reactors(late).chains) == ({}, {})
    assert len(reactors(state).due) == 1


def test_REACTOR_5_only_what_is_too_old_ends_also_behind_a_snapshot() -> None:
    trunk = fleet()
    do(trunk, reacts(trunk.oak, TICK))
    for _ in range(6):
        do(trunk, says(trunk.oak, "heartbeat", "changed"))
    state = fold.restore(fold.snapshot(trunk.ledger.state))
    since = sorted(due.since for due in reactors(state).due.values())
    reactor.open_epoch(state, kinds.Moment(since[2] + DUE_EPOCHS + 1))
    assert sorted(due.since for due in reactors(state).due.values()) == since[3:]


@pytest.mark.parametrize(
    ("address", "count"),
    [
        ({"to": "oak"}, 1),
        ({"to": "nobody"}, 0),
        ({"to": "owl"}, 0),
        ({"to": "gum"}, 0),
        ({"to": "oak", "holder": "leader"}, 0),
        ({}, 0),
        ({"capability": "gpu"}, 1),
    ],
)
def test_LIVE_what_is_for_nobody_who_may_act_is_not_due(address: Value, count: int) -> None:
    trunk = fleet()
    trunk.admit("owl", "observer")
    gum = trunk.admit("gum")
    trunk.seal(trunk.oak.write("node.revoke", log=gum.log, reason="dead"))
    give = {"command": {"name": "scale", **address}}
    do(trunk, reacts(trunk.oak, {"on": {"topic": "lanes"}, "give": give}), says(trunk.oak, "lanes", "x"))
    assert len(mapped(trunk).due) == count


def test_LIVE_nobody_tries_to_write_what_is_for_a_node_that_was_revoked_since() -> None:
    trunk = fleet()
    ash = trunk.pens["ash"]
    give = {"command": {"name": "scale", "to": "ash"}}
    do(trunk, reacts(trunk.oak, {"on": {"topic": "lanes"}, "give": give}), says(trunk.oak, "lanes", "x"))
    elm = Reacting("elm")
    elm.stays = True
    assert (len(elm.wishes(trunk.ledger.state, [], 0, 0)), elm.left(trunk.ledger.state)) == (1, 1)
    trunk.seal(trunk.oak.write("node.revoke", log=ash.log, reason="dead"))
    assert len(mapped(trunk).due) == 1
    assert (elm.wishes(trunk.ledger.state, [], 0, 0), elm.left(trunk.ledger.state)) == ([], 0)


def test_LIVE_a_turn_is_reckoned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trunk = fleet()
    due_event(trunk)
    elm, asked = Reacting("elm"), list[str]()
    elm.stays = True

    def third(self: Reacting, state: kinds.State, due: Due) -> int:
        asked.append(due.id)
        return 2

    monkeypatch.setattr(Reacting, "_place", third)
    for now_ms in range(5):
        assert not elm.wishes(trunk.ledger.state, [], now_ms, 1000)
    assert len(asked) == 1
    assert elm.wishes(trunk.ledger.state, [], 5000, 1000)
    elm.drop(the_due(trunk).id, trunk.ledger.state.seal)
    assert not elm.wishes(trunk.ledger.state, [], 5000, 1000)
    do(trunk, says(trunk.oak, "other", "x"))
    assert elm.wishes(trunk.ledger.state, [], 5000, 1000)


@pytest.mark.parametrize("payload", [{"lane": "x" * 65_000}, {"lane": 5}, {"lane": "no name"}, {"lane": None}])
def test_LIVE_what_no_record_can_say_is_not_due(payload: Any) -> None:
    trunk = fleet()
    rule = {"on": {"topic": "lanes"}, "give": {"event": {"topic": "$payload.lane", "type": "x", "payload": "$payload"}}}
    do(trunk, reacts(trunk.oak, rule))
    if len(str(payload)) < 60_000:
        do(trunk, says(trunk.pens["elm"], "lanes", "failed", payload))
    assert mapped(trunk).due == {}
    do(trunk, says(trunk.pens["elm"], "lanes", "failed", {"lane": "gpu"}))
    assert the_due(trunk).body["topic"] == "gpu"


def test_LIVE_a_payload_that_a_rule_repeats_is_not_due_when_its_line_would_be_too_long_or_too_deep() -> None:
    trunk = fleet()
    many: Value = {"event": {"topic": "t", "type": "x", "payload": ["$payload"] * 4}}
    do(trunk, reacts(trunk.oak, {"on": {"topic": "lanes"}, "give": many}))
    do(trunk, says(trunk.pens["elm"], "lanes", "x", "a" * 16_000))
    assert mapped(trunk).due == {}
    deep: Any = 1
    for _ in range(14):
        deep = [deep]
    do(trunk, says(trunk.pens["elm"], "lanes", "x", deep))
    assert mapped(trunk).due == {}


def test_LIVE_what_is_far_too_long_is_not_written_out_to_see() -> None:
    trunk = fleet()
    give = {"event": {"topic": "t", "type": "u", "payload": ["$payload"] * 5000}}
    do(trunk, reacts(trunk.oak, {"on": {}, "give": give}))
    tracemalloc.start()
    do(trunk, says(trunk.oak, "t", "a", "x" * 60_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not mapped(trunk).due
    assert peak < 30_000_000  # 300 MB would be the text


@pytest.mark.parametrize(
    "wrong",
    [
        {"give": {}},
        {"give": {"event": {"topic": "a", "type": "b", "payload": 1}, "command": {"name": "a"}}},
        {"give": {"event": 5}},
        {"give": {"event": "$payload"}},
        {"give": {"event": {"$best": "payload"}}},
        {"give": {"event": {"topic": "a", "type": "b", "payload": 1, "once": "k"}}},
        {"give": {"command": {"name": "a", "to": "oak", "until": 5}}},
        {"give": {"command": {"name": "a", "args": [{"$best": 5}]}}},
        {"give": {"command": {"name": "a", "args": {"$best": "payload", "where": 5}}}},
        {"give": {"command": {"name": "a", "args": {"$best": "payload", "by": 5}}}},
        {"give": {"command": {"name": "a", "args": {"$best": "payload", "to": "x"}}}},
        {"else": {}},
        {"else": {"command": None}},
        {"where": 5},
        {"where": ["payload"]},
    ],
)
def test_REACTOR_1_a_rule_that_could_not_be_followed_is_refused(wrong: Value) -> None:
    trunk = fleet()
    record = reacts(trunk.oak, SCALE, {**TICK, **wrong})
    assert record.flaw is None
    verdict = trunk.verdict(record)
    assert verdict == ("refused", "REACTOR-1", "")
    assert kinds.words(trunk.ledger.state, record, verdict).what.startswith("rule 1: ")


# Mappings.


def facts(payload: Any) -> Value:
    return {"topic": "t", "type": "x", "payload": payload, "cause": "c" * 64, "node": "elm"}


@pytest.mark.parametrize(
    ("where", "payload", "holds"),
    [
        ({"payload.n": 1}, {"n": 1}, True),
        ({"payload.n": 1}, {"n": True}, False),
        ({"payload.n": True}, {"n": 1}, False),
        ({"payload.n": {"at_least": 3}}, {"n": 3}, True),
        ({"payload.n": {"at_least": 3}}, {"n": 2}, False),
        ({"payload.n": {"at_least": 0}}, {"n": True}, False),
        ({"payload.n": {"at_least": 0}}, {"n": "9"}, False),
        ({"payload.n": {"at_least": 0}}, {}, False),
        ({"payload.n": {"at_least": "0"}}, {"n": 1}, False),
        ({"payload.n": {"at_most": None}}, {"n": 1}, False),
        ({"payload.n": {"at_most": 3}}, {"n": "1"}, False),
        ({"payload.n": {"at_most": 3}}, {"n": True}, False),
        ({"payload.n": {"at_most": 3}}, {"n": 4}, False),
        ({"payload.n": {"at_most": 3, "at_least": 3}}, {"n": 3}, True),
        ({"payload.n": {"in": [1, "a"]}}, {"n": "a"}, True),
        ({"payload.n": {"in": 5}}, {"n": 5}, False),
        ({"payload.n": {"not": 5}}, {"n": 6}, True),
        ({"payload.n": {"not": 5}}, {}, True),
        ({"payload.n": {"is": {"is": 1}}}, {"n": {"is": 1}}, True),
        ({"payload.n": {"exists": True}}, {"n": None}, True),
        ({"payload.n": {"exists": False}}, {}, True),
        ({"payload.n": {"deep": 1}}, {"n": {"deep": 1}}, True),
        ({"payload.n.m": 1}, {"n": {"m": 1}}, True),
        ({"payload.n.m": 1}, {"n": [1]}, False),
        ({}, None, True),
        ({"node": "elm", "cause": "c" * 64}, None, True),
    ],
)
def test_mapping_conditions(where: Value, payload: Any, holds: bool) -> None:
    rule = {"on": {"topic": "t"}, "where": where, "give": {"event": {}}}
    assert (mapping.follows(rule, facts(payload)) is not None) == holds


def test_mapping_a_template_is_filled_in_wherever_it_has_paths() -> None:
    template = {"a": ["$payload.n", "$node", {"b": "$payload"}], "c": "plain", "d": 5, "e": None}
    filled = mapping.fill(template, facts({"n": [1]}))
    assert filled == {"a": [[1], "elm", {"b": {"n": [1]}}], "c": "plain", "d": 5, "e": None}
    rule = {"on": {"topic": "t"}, "give": {"event": {"payload": ["$payload.none"]}}}
    assert mapping.follows(rule, facts({})) is None
    assert mapping.follows({**rule, "else": {"event": {"payload": []}}}, facts({})) == {"event": {"payload": []}}
    assert mapping.follows({**rule, "on": {"type": "other"}}, facts({})) is None


@pytest.mark.parametrize(
    ("options", "to"),
    [
        ([{"n": "a", "score": 1, "healthy": True}, {"n": "b", "score": 2, "healthy": True}], "b"),
        ([{"n": "a", "score": 2, "healthy": True}, {"n": "b", "score": 2, "healthy": True}], "a"),
        ([{"n": "a", "score": 1, "healthy": True}, {"n": "b", "score": 9, "healthy": False}], "a"),
        ([{"n": "a", "score": "9", "healthy": True}, {"n": "b", "score": 1, "healthy": True}], "b"),
        ([{"n": "a", "score": 1}], None),
        ([], None),
        ("none", None),
        ([1, "x", None], None),
    ],
)
def test_mapping_the_best_healthy_option_by_score_or_blocked(options: Any, to: str | None) -> None:
    given = mapping.follows(ROUTE, {**facts({"options": options}), "topic": "route", "type": "requested"})
    assert given is not None
    if to is None:
        assert given == ROUTE["else"]
    else:
        assert given["event"]["payload"]["to"]["n"] == to


JSON = st.recursive(
    st.sampled_from([None, True, 0, 3, "", "a", "$payload", "$payload.a", "$", "$best", "$cause", "a.b"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "$best", "where", "by", "is", "in", "exists", "at_least", "topic", "payload", "b"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)
TEMPLATES = st.dictionaries(
    st.sampled_from(["command", "event"]),
    JSON
    | st.fixed_dictionaries({"topic": st.sampled_from(["t", "$payload.a"]), "type": st.just("x"), "payload": JSON})
    | st.fixed_dictionaries({"name": st.just("n"), "to": st.just("oak"), "args": JSON}),
    max_size=2,
)
ANY_RULE = st.fixed_dictionaries(
    {"on": st.sampled_from([{}, {"topic": "t"}, {"type": "x"}]), "give": TEMPLATES},
    optional={"else": TEMPLATES, "where": JSON, "under": st.just("leader")},
)


@given(st.lists(ANY_RULE, max_size=3), st.lists(JSON, max_size=3))
def test_LIVE_no_mapping_and_no_event_breaks_the_fold(rules: Sequence[Value], payloads: Sequence[Any]) -> None:
    """Whatever is published is judged; what is due can be written, by anyone, and is then done."""
    trunk = Trunk.founded()
    record = reacts(trunk.oak, *rules)
    if record.flaw is None:
        trunk.verdict(record)
    for payload in payloads:
        do(trunk, says(trunk.oak, "t", "x", payload))
    state = trunk.ledger.state
    assert fold.snapshot(fold.restore(fold.snapshot(state))) == fold.snapshot(fold.copy(state)) == fold.snapshot(state)
    for due in list(reactors(state).due.values()):
        body = body_of(due) | ({"until": 9999} if due.kind == "command.issue" else {})
        assert len(canonical(body)) < 64 * 1024
        written = trunk.oak.draft(due.kind, body)
        assert written.flaw is None
        assert trunk.ledger.state is not None
        verdict, _ = kinds.judge(trunk.ledger.state, written, kinds.Moment(trunk.ledger.state.epoch + 1))
        assert verdict.rule in ("EVENT-1", "COMMAND-1", "COMMAND-2", "REACTOR-3")


@pytest.mark.parametrize("name", ["owl", "gum"])
def test_NODE_3_who_may_not_write_has_no_turn_at_a_follow_up(name: str) -> None:
    trunk = fleet()
    trunk.admit("owl", "observer")
    due_event(trunk)
    watcher, elm = Reacting(name), Reacting("elm")
    watcher.stays = elm.stays = True
    assert elm.wishes(trunk.ledger.state, [], 0, 0)
    assert watcher.wishes(trunk.ledger.state, [], 0, 0) == []
