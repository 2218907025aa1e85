"""One node's mind: plays with golden effects, and what must never happen to it (PUSH, CLOSED, SEEN, TIME, CHAIN, LIVE)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from orxaq_mesh import fold
from orxaq_mesh.effects import Answer, Effect, Look, Publish, Published, Save, Say, Tell
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record, canonical
from orxaq_mesh.schema import read_record
from orxaq_mesh.store import Change
from tests.bench import SCENARIOS, Bench, play
from tests.builder import AT

PLAYS = sorted(path.name for path in SCENARIOS.glob("*.txt"))


@pytest.mark.parametrize("name", PLAYS)
def test_each_play_goes_as_it_is_written(name: str) -> None:
    text = (SCENARIOS / name).read_text("utf-8")
    assert play(text) == text, "python -m tests.bench writes the plays anew"


def test_there_are_plays() -> None:
    assert len(PLAYS) >= 14


def bench() -> Bench:
    """elm, that has read the hub once."""
    made = Bench()
    made.look()
    return made


def told(effects: list[Effect]) -> dict[str, Answer]:
    return {effect.intent: effect.answer for effect in effects if isinstance(effect, Tell)}


def launched(effects: list[Effect]) -> list[Publish]:
    return [effect for effect in effects if isinstance(effect, Publish)]


def alarms(effects: list[Effect]) -> list[Any]:
    return [effect.facts["law"] for effect in effects if isinstance(effect, Say) and effect.event == "alarm"]


def acquire(b: Bench, name: str, **more: Any) -> list[Effect]:
    wish = {"lease": "deploy", "session": "s", "ttl_ms": 9000, **more}
    return b.ask(name, "lease.acquire", **wish)


def event(b: Bench, name: str, **more: Any) -> list[Effect]:
    return b.ask(name, "event.publish", **{"topic": "t", "type": "x", "payload": {}, **more})


def forged(b: Bench, log: str, prev: str, seq: int) -> Record:
    """A line that the log's key never signed."""
    value = {"at": AT, "body": {"topic": "t", "type": "forged", "payload": {}}, "kind": "event.publish", "v": 1}
    value |= {"node": log, "prev": prev, "seq": seq, "sig": "A" * 86 + "=="}
    return read_record(canonical({**value, "seen": {"epoch": b.seen[0], "seal": b.seen[1]}}))


# PUSH, SEAL, CHAIN.


def test_SEAL_one_seal_a_parent_even_with_more_to_say() -> None:
    b = bench()
    first = launched(event(b, "a"))[0].seal
    b.command("unknown")
    event(b, "b")
    effects = b.look()
    assert launched(effects)[0].seal == first
    assert not [effect for effect in effects if isinstance(effect, Save) and effect.seal]
    again = launched(b.committed())
    assert [record.seq for record in again[0].records] == [3]


def test_PUSH_an_outbox_that_another_took_in_ends_well() -> None:
    b = bench()
    event(b, "a")
    b.other("oak", "event.publish", topic="t", type="x", payload={})
    b.command("lost")
    b.committed()
    b.hub.pens["oak"].seq, b.hub.pens["oak"].prev = b.hub.ledger.state.heads[b.hub.pens["oak"].log]
    b.others_seal("oak")
    assert told(b.look())["a"].verdict == "applied"


def test_CHAIN_a_restored_backup_writes_nothing_more() -> None:
    b = bench()
    event(b, "a")
    b.committed()
    b.records, b.seal = [], None
    b.restart(snapshot=False)
    effects = b.look()
    assert alarms(effects) == ["CHAIN"]
    answer = told(event(b, "b"))["b"]
    assert answer.error is not None
    assert "backup" in answer.error.what
    assert alarms(b.look()) == [], "an alarm is said once"


def test_CHAIN_a_backup_whose_newest_record_lies_in_the_outbox_only_writes_nothing_more() -> None:
    b = bench()
    event(b, "a")
    b.outbox += b.records
    b.records, b.seal = [], None
    b.restart()
    assert alarms(b.look()) == ["CHAIN"]
    assert not launched(event(b, "b"))


def test_CHAIN_a_snapshot_that_is_older_than_the_journal_is_no_restored_backup() -> None:
    """A crash between the journal's compaction and the next snapshot leaves what is sealed in neither."""
    b = bench()
    state, trunk = fold.copy(b.engine.ledger.state), b.engine.trunk
    for name in ("a", "b"):
        event(b, name)
        b.committed()
    b.engine.ledger, b.engine.trunk = Ledger(b.hub.ledger.id, state), trunk
    b.records, b.seal = b.records[-1:], None
    b.restart()
    assert b.engine.broken is None
    effects = b.look()
    assert not alarms(effects)
    event(b, "c")
    assert told(b.committed())["c"].verdict == "applied"


def test_CHAIN_a_copied_key_is_noticed_when_its_record_is_sealed_first() -> None:
    b = bench()
    event(b, "a")
    twin = b.other("elm", "event.publish", topic="t", type="copy", payload={})
    b.others_seal("oak", twin)
    b.command("lost")
    assert alarms(b.look()) == ["CHAIN"]


def test_LIVE_forged_lines_in_the_own_outbox_stop_nobody() -> None:
    b = bench()
    b.outbox.append(forged(b, b.pen.log, b.start[1], b.start[0] + 1))
    b.outbox.append(forged(b, b.pen.log, "0" * 64, 99))
    assert not alarms(b.look())
    event(b, "a")
    assert told(b.committed())["a"].verdict == "applied"


def test_LIVE_a_forged_line_of_a_dead_holder_is_no_sign_of_life() -> None:
    b = bench()
    b.command("oak lease.acquire lease=deploy session=o ttl_ms=3000")
    oak = b.hub.pens["oak"]
    b.look()
    acquire(b, "a", queue=True, wait=True)
    b.committed()
    b.outbox.append(forged(b, oak.log, oak.prev, oak.seq + 1))
    for b.ms in range(900, 3601, 900):
        effects = b.look()
    assert launched(effects)[0].records[0].kind == "lease.take"


def test_SEAL_what_was_signed_over_and_is_gone_is_left_to_others() -> None:
    b = bench()
    b.command("ash offers event.publish topic=t type=x")
    b.look()
    event(b, "a")
    b.restart()
    b.outbox.clear()
    (publish,) = launched(b.look())
    assert publish.seal is None, "the own record goes to the outbox"
    b.committed()
    assert b.engine.wake_ms() > b.ms


# CLOSED, refusals, answers.


def test_CLOSED_nothing_is_renewed_taken_or_withdrawn_while_the_hub_is_away() -> None:
    b = bench()
    acquire(b, "a", owner=True)
    b.committed()
    b.command("tick a")
    b.command("unreached")
    before = len(b.records)
    for b.ms in (5000, 9000, 20000):
        assert not launched(b.command("tick a"))
    assert len(b.records) == before


@pytest.mark.parametrize(
    "payload",
    ["x" * 70_000, 1.5, {"n": 2**60}, 2**70, [[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]],
    ids=["long", "float", "int", "huge", "deep"],
)
def test_LINE_what_no_line_can_hold_is_refused_and_asked_only_once(payload: Any) -> None:
    b = bench()
    answer = told(event(b, "a", payload=payload))["a"]
    assert (answer.verdict, answer.rule) == ("refused", "LINE")
    assert b.engine.intents == {}


@pytest.mark.parametrize(
    ("kind", "wish", "wait"),
    [
        ("lease.lend", {"lease": "deploy"}, False),
        ("lease.acquire", {"session": "s", "ttl_ms": 9000}, False),
        ("lease.take", {"lease": "deploy"}, True),
        ("lease.break", {"reason": "x"}, False),
        ("node.revoke", {"reason": "x"}, False),
        ("event.publish", {"topic": "t", "type": "x", "payload": {}}, True),
        ("event.publish", {"topic": "t", "type": "x", "payload": {}, "under": {"lease": "deploy"}}, False),
    ],
)
def test_LIVE_an_ask_that_makes_no_sense_is_refused_and_ends_nothing(kind: str, wish: Any, wait: bool) -> None:
    b = bench()
    assert told(b.ask("a", kind, wait=wait, **wish))["a"].rule == "RULES"
    assert told(event(b, "b") + b.committed())["b"].verdict == "applied"


def test_the_engine_keeps_in_mind_only_holds_that_live() -> None:
    b = bench()
    for number in range(3):
        acquire(b, f"a{number}", owner=True)
        b.committed()
        b.ask(f"r{number}", "lease.release", lease="deploy", session="s")
        b.committed()
    assert b.engine.duties.holds == {}


def test_UNTIL_a_deadline_is_kept_while_a_push_hangs_and_the_hub_is_away() -> None:
    b = bench()
    b.command("oak lease.acquire lease=deploy session=o ttl_ms=60000")
    b.look()
    acquire(b, "a", queue=True, wait=True, deadline=1000)
    b.command("unknown")
    b.command("unreached")
    b.ms = 1000
    assert told(b.command("tick"))["a"].result == "queued"
    b.command("unreached")
    assert b.engine.wake_ms() > b.ms


def test_LIVE_a_veto_answers_at_once_and_asks_less_and_less_often() -> None:
    b = bench()
    event(b, "a")
    waits = []
    for _ in range(5):
        b.command("vetoed")
        waits.append(b.engine.not_before_ms - b.ms)
        b.ms = b.engine.not_before_ms
        b.look()
    assert waits == sorted(waits)
    assert waits[-1] >= 8 * waits[0]


# Waits end.


def queued(b: Bench) -> None:
    b.command("oak lease.acquire lease=deploy session=o ttl_ms=60000")
    b.look()
    acquire(b, "a", queue=True, wait=True, owner=True)
    assert not told(b.committed())


def test_UNTIL_a_place_is_kept_until_its_owner_is_known_to_be_dead() -> None:
    b = bench()
    queued(b)
    assert not launched(b.command("tick a"))
    (publish,) = launched(b.command("tick"))
    assert publish.records[0].kind == "lease.release"


def test_LIVE_a_wait_whose_place_was_given_back_by_its_own_session_ends() -> None:
    b = bench()
    queued(b)
    b.ask("b", "lease.release", lease="deploy", session="s")
    answers = told(b.committed())
    assert answers["b"].result == "withdrawn"
    assert (answers["a"].verdict, answers["a"].result) == ("refused", "withdrawn")


def test_LIVE_a_wait_of_a_node_that_was_revoked_ends() -> None:
    b = bench()
    queued(b)
    b.command("oak node.revoke name=elm reason=lost")
    assert told(b.look())["a"].rule == "NODE-3"


def test_LIVE_a_grant_that_came_and_went_between_two_readings_is_asked_for_again() -> None:
    b = bench()
    queued(b)
    oak = b.hub.pens["oak"]
    b.command("oak lease.release lease=deploy session=o")
    token = leases(b.hub.ledger.state).by_name["deploy"].token
    b.others_seal("oak", oak.write("lease.break", lease="deploy", token=token, reason="too fast"))
    (publish,) = launched(b.look())
    assert [record.kind for record in publish.records] == ["lease.acquire"]
    assert told(b.committed())["a"].result == "granted"


def test_TIME_a_dead_session_of_the_own_node_is_taken_over_too() -> None:
    b = bench()
    acquire(b, "dead", ttl_ms=3000, session="dead")
    b.committed()
    acquire(b, "a", queue=True, wait=True)
    b.committed()
    for b.ms in range(900, 5000, 900):
        if publish := launched(b.look()):
            break
    assert publish[0].records[0].kind == "lease.take"
    assert told(b.committed())["a"].result == "granted"


def test_SET_a_reading_that_another_one_overtook_is_taken_anew() -> None:
    b = bench()
    slow = b.engine.trunk
    b.command("oak event.publish topic=t type=x")
    b.look()
    tip = b.engine.trunk
    assert tip != slow
    effects = b.look(since=slow, changes=b.changes(slow, b.tip()))
    assert effects == [Look()]
    assert (b.engine.trunk, b.engine.broken) == (tip, None)


def _with_a_suspect(b: Bench) -> None:
    """ash holds the lease, oak waits for it; and two records of ash's for one seq lie in outboxes."""
    b.command("ash lease.acquire lease=deploy session=a ttl_ms=3000")
    b.command("oak lease.acquire lease=deploy session=o ttl_ms=3000 queue=true")
    left = b.hub.pens["ash"].draft("event.publish", {"topic": "t", "type": "left", "payload": {}})
    b.outbox += [left, b.other("ash", "event.publish", topic="t", type="right", payload={})]
    b.look()


def test_FENCE_no_refusal_tells_of_a_suspension_that_no_seal_took_in() -> None:
    b = bench()
    _with_a_suspect(b)
    answer = told(acquire(b, "a"))["a"]
    assert (answer.rule, answer.facts["holder"]) == ("LEASE-2", "ash"), "oak holds it once ash is suspended"


def test_FENCE_what_another_s_suspension_will_refuse_is_signed_and_brings_it_about() -> None:
    b = bench()
    _with_a_suspect(b)
    take = {"lease": "deploy", "session": "s", "ttl_ms": 3000, "watched_ms": 9000}
    (publish,) = launched(b.ask("a", "lease.take", **take))
    assert publish.seal is not None
    assert list(publish.seal.proofs) == [b.hub.pens["ash"].log]
    answer = told(b.committed())["a"]
    assert (answer.verdict, answer.rule, answer.facts["holder"]) == ("refused", "LEASE-8", "oak")


def test_LIVE_a_holder_whose_last_word_lies_in_its_outbox_is_taken_over_too() -> None:
    b = bench()
    b.command("oak lease.acquire lease=deploy session=o ttl_ms=3000")
    b.look()
    acquire(b, "a", queue=True, wait=True)
    b.committed()
    held = leases(b.hub.ledger.state).by_name["deploy"]
    for b.ms in (900, 1800):
        b.look()
    b.outbox.append(b.other("oak", "lease.renew", lease="deploy", session="o", token=held.token))
    for b.ms in range(2700, 5401, 900):
        assert not launched(b.look()), "it spoke at 2700"
    b.ms = 6300
    (publish,) = launched(b.look())
    assert [record.kind for record in publish.records if record.log == b.pen.log] == ["lease.take"]


def test_TIME_a_hub_whose_readings_take_long_still_lets_a_silent_holder_be_taken_over() -> None:
    b = bench()
    b.command("oak lease.acquire lease=deploy session=o ttl_ms=20000")
    b.look()
    acquire(b, "a", queue=True, wait=True)
    b.committed()
    publish: list[Publish] = []
    while not publish and b.ms < 60_000:
        begun_ms = max(b.ms, b.engine.look_due_ms)
        b.ms = begun_ms + 3250  # two of them, and the pause between, have to fit into a third of the ttl
        publish = launched(b.look(begun_ms))
    assert publish[0].records[0].kind == "lease.take"


# Restarts.


def test_CACHE_after_a_restart_sealed_records_are_not_pending() -> None:
    b = bench()
    acquire(b, "a", owner=True)
    b.committed()
    b.restart()
    b.ms = 100
    b.look()
    assert b.engine.pen.pending == []
    assert launched(b.command("tick a"))[0].records[0].kind == "lease.renew"


def test_TIME_after_a_reboot_nothing_is_believed_before_it_is_confirmed() -> None:
    b = bench()
    b.ms = 5_000_000
    acquire(b, "a", owner=True)
    b.committed()
    assert b.engine.believed_until_ms("deploy", "s") == 5_009_000
    b.ms = 50  # booted just now
    b.restart(snapshot=False)
    b.look()
    until_ms = b.engine.believed_until_ms("deploy", "s")
    assert until_ms is not None
    assert until_ms < 0
    b.command("tick a")
    b.committed()
    assert b.engine.believed_until_ms("deploy", "s") == 9050


def test_TIME_who_signed_a_release_believes_no_longer() -> None:
    b = bench()
    acquire(b, "a")
    b.committed()
    b.ask("b", "lease.release", lease="deploy", session="s")
    assert b.engine.believed_until_ms("deploy", "s") is None


def test_LIVE_a_newcomer_or_a_node_without_rights_does_not_spin() -> None:
    b = bench()
    acquire(b, "a", owner=True)
    b.committed()
    oak = b.hub.pens["oak"]
    key = members(b.hub.ledger.state).by_log[b.pen.log].key
    b.others_seal("oak", oak.write("node.admit", name="elm", key=key, roles=["observer"]))
    b.ms = 100
    b.look()
    b.ms = 8000
    b.command("tick a")
    b.look()
    assert b.engine.wake_ms() > b.ms


# SEEN.


def rolled_back(b: Bench) -> dict[str, Any]:
    """The hub shows the tree of epoch 2 again."""
    b.trees["old"] = {path: data for path, data in b.trees["t3"].items() if "epochs" not in path}
    epochs = b.trees["t3"]["ledger/epochs/000000/0000000001.ndjson"].split(b"\n")[:2]
    b.trees["old"]["ledger/epochs/000000/0000000001.ndjson"] = b"\n".join(epochs) + b"\n"
    old, new = b.trees[str(b.engine.trunk)], b.trees["old"]
    changes = [Change(p, old.get(p), new.get(p)) for p in old.keys() | new.keys() if old.get(p) != new.get(p)]
    return {"trunk": "old", "changes": changes, "descends": False}


def test_SEEN_a_rolled_back_trunk_is_an_alarm_until_the_seal_is_there_again() -> None:
    b = bench()
    assert alarms(b.look(**rolled_back(b)))[0] == "SEEN"
    answer = told(event(b, "a"))["a"]
    assert answer.error is not None
    assert answer.error.code == "invalid"
    assert len(b.records) == 0
    assert alarms(b.look()) == []
    assert b.engine.broken is None
    assert launched(event(b, "b"))


def test_SEEN_a_missing_trunk_is_an_alarm() -> None:
    b = bench()
    assert alarms(b.look(trunk=None, changes=[])) == ["SEEN"]
    b.look()
    assert b.engine.broken is None


def test_SEEN_the_journal_remembers_without_any_cache() -> None:
    b = bench()
    event(b, "a")
    b.committed()
    b.restart(snapshot=False)
    files = b.trees["t3"]
    changes = [Change(path, None, data) for path, data in files.items()]
    effects = b.look(trunk="t3", changes=changes)
    assert "SEEN" in alarms(effects)
    assert not launched(event(b, "b"))


def test_SEEN_findings_in_the_trunk_leave_the_state_as_it_was() -> None:
    b = bench()
    before = b.engine.ledger.state.seal
    b.command("oak event.publish topic=t type=x")
    path = next(path for path in b.hub.files if "oak" in path)
    tip = b.tip()
    b.trees[tip] = {**b.trees[tip], path: b.trees[tip][path].replace(b'"type":"x"', b'"type":"z"')}
    effects = b.look(trunk=tip, changes=b.changes(b.engine.trunk, tip))
    assert alarms(effects)
    assert b.engine.ledger.state.seal == before
    assert isinstance(b.engine.step(*_tick(b, b.engine.look_due_ms))[-1], Look)


def _tick(b: Bench, ms: int) -> tuple[Any, Any]:
    from orxaq_mesh.effects import Now, Tick

    return Tick(), Now(ms, AT)


def test_SEEN_a_fork_is_an_alarm_and_the_own_side_stays() -> None:
    b = bench()
    other = copy.deepcopy(b.hub)
    b.command("oak event.publish topic=t type=x")
    b.look()
    mine = b.engine.ledger.state.seal
    ash = other.pens["ash"]
    other.seal(ash.write("event.publish", topic="t", type="y", payload={}), by=ash)
    b.trees["fork"] = dict(other.files)
    assert "SEEN" in alarms(b.look(trunk="fork", changes=b.changes(b.engine.trunk, "fork"), descends=False))
    assert b.engine.ledger.state.seal == mine
    assert not launched(event(b, "a"))
    b.look()
    assert b.engine.broken is None


def test_SEEN_a_hub_that_is_frozen_at_an_old_tip_is_an_alarm_until_it_moves() -> None:
    b = bench()
    effects, stale = event(b, "a"), 0
    while "SEEN" not in alarms(effects):
        assert stale < 4
        while not launched(effects):
            b.ms = b.engine.wake_ms()
            effects = b.look()
        if b.published.seal:
            stale += 1
            b.feed(Published("lost", "stale info"))
        else:
            b.committed()
        effects = b.look()
    assert stale == 3
    assert "frozen" in b.engine.findings[0].reason
    assert b.engine.broken is None
    b.command("oak event.publish topic=t type=x")
    b.look()
    assert b.engine.findings == ()
