"""Nodes: every row of the table, and whose word counts (NODE-1 to 8, CHAIN, LIVE, SEEN)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orxaq_mesh import fold, kinds
from orxaq_mesh.errors import Refused
from orxaq_mesh.kinds import Moment, node
from orxaq_mesh.kinds.node import log_of, members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record
from tests.builder import Pen, Trunk, effect_of, row_reached, secret

LOW_ORDER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


def fleet() -> Trunk:
    trunk = Trunk.founded()
    trunk.admit("elm")
    return trunk


def text(name: str) -> str:
    return secret(name).public.text


def recovery(trunk: Trunk) -> Pen:
    """The offline key at work: its log begins with what it does."""
    pen = trunk.pen("recovery")
    pen.seen = (trunk.ledger.state.epoch, trunk.ledger.state.seal)
    return pen


def admit(pen: Pen, name: str, key: str = "", roles: tuple[str, ...] = ("node",)) -> Record:
    return pen.write("node.admit", name=name, key=key or text(name), roles=sorted(roles))


def revoke(pen: Pen, log: str) -> Record:
    return pen.write("node.revoke", log=log, reason="lost")


Scene = Callable[[Trunk, Pen, Pen], Record]
SCENES: dict[tuple[str, str], Scene] = {
    ("node.found", "the ledger is founded already"): lambda t, oak, elm: t.pen("ash").write(
        "node.found", name="ash", key=text("ash"), recovery=text("recovery")
    ),
    ("node.found", "the key is unsound"): lambda t, oak, elm: _found(t, "ash", LOW_ORDER),
    ("node.found", "founder and recovery are one"): lambda t, oak, elm: _found(t, "recovery", text("recovery")),
    ("node.found", "the log is not the key's"): lambda t, oak, elm: _found(t, "ash", text("fir")),
    ("node.found", "otherwise"): lambda t, oak, elm: _found(t, "ash", text("ash")),
    ("node.hello", "not the first of its log"): lambda t, oak, elm: elm.hello(),
    ("node.hello", "the key is unsound"): lambda t, oak, elm: t.pen("ash").write(
        "node.hello", name="ash", key=LOW_ORDER
    ),
    ("node.hello", "the log is not the key's"): lambda t, oak, elm: t.pen("ash").write(
        "node.hello", name="ash", key=text("fir")
    ),
    ("node.hello", "otherwise"): lambda t, oak, elm: t.pen("ash").hello(),
    ("node.admit", "the key is unsound"): lambda t, oak, elm: admit(oak, "ash", LOW_ORDER),
    ("node.admit", "by the recovery key, and not about an admin"): lambda t, oak, elm: admit(recovery(t), "ash"),
    ("node.admit", "another key bears the name"): lambda t, oak, elm: admit(oak, "elm", text("ash")),
    ("node.admit", "the key was revoked, suspended, rotated away, or bears another name"): lambda t, oak, elm: admit(
        oak, "ash", text("elm")
    ),
    ("node.admit", "the last admin would lose the role"): lambda t, oak, elm: admit(oak, "oak"),
    ("node.admit", "otherwise"): lambda t, oak, elm: admit(oak, "ash"),
    ("node.revoke", "nobody of that log is admitted or waits"): lambda t, oak, elm: revoke(oak, "ash-00000000"),
    ("node.revoke", "by the recovery key, and not about an admin"): lambda t, oak, elm: revoke(recovery(t), elm.log),
    ("node.revoke", "it is the last admin"): lambda t, oak, elm: revoke(oak, oak.log),
    ("node.revoke", "otherwise"): lambda t, oak, elm: revoke(oak, elm.log),
    ("node.rotate", "the key is unsound"): lambda t, oak, elm: elm.write("node.rotate", key=LOW_ORDER),
    ("node.rotate", "the new key is known already"): lambda t, oak, elm: elm.write("node.rotate", key=text("oak")),
    ("node.rotate", "otherwise"): lambda t, oak, elm: elm.write("node.rotate", key=text("elm 2")),
}


def _found(trunk: Trunk, name: str, key: str) -> Record:
    """A founding, and nothing before it."""
    trunk.ledger = Ledger()
    return Pen(name).write("node.found", name=name, key=key, recovery=text("recovery"))


@pytest.mark.parametrize("row", node.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(row: kinds.Row) -> None:
    trunk = fleet()
    record = SCENES[row.kind, row.case](trunk, trunk.oak, trunk.pens["elm"])
    state, moment = trunk.ledger.state, Moment(trunk.ledger.state.epoch + 1, "f" * 64)
    assert row_reached(node, state, record, moment) is row
    verdict, changed = effect_of(state, record, moment)
    assert verdict == (row.outcome, row.rule, row.result)
    assert changed == (row.outcome == "applied")
    assert fold.snapshot(fold.restore(fold.snapshot(state))) == fold.snapshot(state)
    if row.outcome != "applied":
        assert kinds.words(state, record, verdict).what


def test_no_scene_plays_a_row_that_is_gone() -> None:
    assert set(SCENES) == {(row.kind, row.case) for row in node.ROWS}
    assert set(node.CASES) == {row.case for row in node.ROWS}


# Every rule of every family.

ALL_ROWS = [row for family in kinds.FAMILIES for row in family.ROWS]


@pytest.mark.parametrize("rule", kinds.RULES.values(), ids=lambda rule: rule.id)
def test_every_rule_has_words_and_an_example(rule: Any) -> None:
    assert rule.title
    assert rule.says.endswith(".")
    assert rule.why.endswith(".")
    assert rule.example


def test_every_row_names_a_rule_and_every_rule_of_a_family_is_used() -> None:
    assert {row.rule for row in ALL_ROWS} <= set(kinds.RULES)
    by_gate = {"NODE-3", "RULES", "UNTIL", "FENCE", "ONCE", "SEEN"}  # asked of every record, before the tables
    by_gate |= {"REACTOR-4", "REACTOR-5"}  # asked before a follow-up is due, and when an epoch opens
    used = {row.rule for row in ALL_ROWS} | by_gate | set(kinds.LAWS)
    assert {rule.id for family in kinds.FAMILIES for rule in family.RULES} <= used
    assert {row.kind for row in ALL_ROWS} == set(kinds.KINDS)
    assert all((row.outcome == "applied") == (row.do is not None) for row in ALL_ROWS)
    assert all((row.outcome == "applied") == bool(row.result) for row in ALL_ROWS)


# Whose word counts.


def test_NODE_3_strangers_waiting_nodes_and_observers_write_nothing() -> None:
    trunk = fleet()
    watcher = trunk.admit("owl", "observer")
    body = {"lease": "deploy", "session": "s", "ttl_ms": 9000, "until": 99}
    assert trunk.verdict(watcher.write("lease.acquire", **body)) == ("refused", "NODE-3", "")
    assert trunk.verdict(trunk.pens["elm"].write("node.revoke", log=trunk.oak.log, reason="coup")).rule == "NODE-3"
    ash = trunk.pen("ash")
    trunk.seal(ash.hello())
    verdict, _ = kinds.judge(trunk.ledger.state, ash.write("lease.acquire", **body), Moment(99))
    assert verdict.rule == "NODE-3"


def test_LIVE_a_node_that_becomes_an_observer_holds_nothing() -> None:
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    trunk.seal(elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=60_000, until=99))
    held = trunk.ledger.state.slices["lease"].by_name["deploy"]
    assert held.holder == "elm"
    assert trunk.verdict(admit(trunk.oak, "elm", roles=("observer",))).result == "admitted"
    assert trunk.ledger.state.slices["lease"].by_name["deploy"].holder == ""


def test_NODE_1_the_founder_is_not_called_recovery() -> None:
    trunk = Trunk()
    pen = trunk.pens["recovery"] = Pen("recovery", secret("oak"))
    found = pen.write("node.found", name="recovery", key=text("oak"), recovery=text("recovery"))
    verdict, _ = kinds.judge(kinds.new_state(), found, Moment(1))
    assert (verdict.outcome, verdict.rule) == ("refused", "NODE-1")


def test_LIVE_the_recovery_key_admits_an_admin_and_revokes_one() -> None:
    trunk = fleet()
    state, moment = trunk.ledger.state, Moment(trunk.ledger.state.epoch + 1)
    pen = recovery(trunk)
    assert kinds.apply(state, admit(pen, "ash", roles=("admin",)), moment).result == "admitted"
    assert kinds.apply(state, revoke(pen, trunk.oak.log), moment).result == "revoked"
    assert [admin.name for admin in members(state).admins()] == ["ash"]


def test_NODE_8_nobody_revokes_the_recovery_key() -> None:
    trunk = fleet()
    assert trunk.verdict(revoke(trunk.oak, log_of("recovery", text("recovery")))).rule == "NODE-8"


def test_C31_a_second_hello_of_a_name_gains_nothing_and_the_first_admission_stands() -> None:
    trunk = fleet()
    twin = trunk.pen("elm", secret("elm the second"))
    assert trunk.verdict(twin.hello()).result == "waits"
    assert trunk.verdict(admit(trunk.oak, "elm", twin.key.public.text)) == ("refused", "NODE-5", "")
    bearer = members(trunk.ledger.state).named("elm")
    assert bearer is not None
    assert bearer.log == trunk.pens["elm"].log


def test_NODE_5_a_name_is_free_again_after_its_bearer_was_revoked_and_the_old_key_never_returns() -> None:
    trunk = fleet()
    trunk.seal(revoke(trunk.oak, trunk.pens["elm"].log))
    assert trunk.verdict(admit(trunk.oak, "elm")).rule == "NODE-5"
    assert trunk.verdict(admit(trunk.oak, "elm", text("elm 2"))).result == "admitted"


def test_NODE_7_a_rotation_carries_name_roles_and_leases_over() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    trunk.seal(elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=9000, until=99))
    token = trunk.ledger.state.epoch
    rotation = elm.write("node.rotate", key=text("elm 2"))
    trunk.seal(rotation)
    new = trunk.pen("elm", secret("elm 2"))
    new.prev, new.seen = rotation.id, elm.seen
    assert trunk.verdict(new.write("lease.renew", lease="deploy", session="s", token=token)).outcome == "applied"
    old, moment = trunk.ledger.state, Moment(99)
    assert (
        kinds.judge(old, elm.write("lease.renew", lease="deploy", session="s", token=token), moment)[0].rule == "NODE-3"
    )


def test_SEEN_never_goes_back_along_a_log() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    body = {"topic": "t", "type": "x", "payload": {}}
    trunk.seal(elm.write("event.publish", **body))
    elm.seen = (1, trunk.seals[0].id)
    assert trunk.verdict(elm.write("event.publish", **body)) == ("refused", "SEEN", "")
    assert trunk.verdict(elm.write("event.publish", **body)).outcome == "applied"


def test_PREFIX_what_a_node_did_before_it_was_revoked_stays() -> None:
    trunk = fleet()
    done = trunk.pens["elm"].write("event.publish", topic="t", type="x", payload={})
    trunk.seal(done)
    trunk.seal(revoke(trunk.oak, trunk.pens["elm"].log))
    again, reading = trunk.read_anew()
    assert {judged.record.id: judged.verdict.outcome for judged in reading.judged}[done.id] == "applied"
    assert again.state.digest == trunk.ledger.state.digest


def test_propose_finds_the_log_of_a_name() -> None:
    trunk = fleet()
    wish = {"name": "elm", "reason": "lost"}
    assert kinds.propose(trunk.ledger.state, "oak", "node.revoke", wish)["log"] == trunk.pens["elm"].log
    with pytest.raises(Refused, match="no node ash"):
        kinds.propose(trunk.ledger.state, "oak", "node.revoke", {"name": "ash", "reason": "lost"})
