"""Events: what a member says counts, the fence around it, and the key that makes two tries one."""

from __future__ import annotations

from typing import Any

import pytest

from orxaq_mesh import kinds
from orxaq_mesh.errors import Fenced
from orxaq_mesh.kinds import Moment, event
from orxaq_mesh.record import Record
from tests.builder import Pen, Trunk, effect_of, row_reached


def publish(pen: Pen, **body: Any) -> Record:
    return pen.write("event.publish", **{"topic": "builds", "type": "finished", "payload": {}} | body)


def fleet() -> Trunk:
    trunk = Trunk.founded()
    trunk.admit("elm")
    return trunk


def test_EVENT_1_an_event_of_a_member_counts() -> None:
    trunk = fleet()
    row, record, moment = event.ROWS[-1], publish(trunk.pens["elm"]), Moment(9)
    assert row_reached(event, trunk.ledger.state, record, moment) is row
    assert effect_of(trunk.ledger.state, record, moment) == (("applied", "EVENT-1", "published"), True)
    assert trunk.ledger.state.slices["event"] == {"builds": 1}


@pytest.mark.parametrize(
    "wrong", [{"token": 1}, {"session": "another"}, {"lease": "db"}], ids=["token", "session", "lease"]
)
def test_FENCE_an_event_under_a_lease_that_is_not_held_has_no_effect(wrong: dict[str, Any]) -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    trunk.seal(elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=9000, until=99))
    under = {"lease": "deploy", "session": "s", "token": trunk.ledger.state.epoch}
    record, moment = publish(elm, under={**under, **wrong}), Moment(9)
    assert effect_of(trunk.ledger.state, record, moment) == (("fenced", "FENCE", ""), False)
    assert "stale" in kinds.words(trunk.ledger.state, record, kinds.Verdict("fenced", "FENCE")).what
    assert trunk.verdict(publish(trunk.oak, under=under)).outcome == "fenced"
    elm.seq, elm.prev = record.seq - 1, record.prev
    assert trunk.verdict(publish(elm, under=under)).outcome == "applied"


def test_FENCE_an_event_without_its_token_is_a_flawed_record() -> None:
    trunk = fleet()
    record = publish(trunk.pens["elm"], under={"lease": "deploy", "session": "s"})
    assert trunk.verdict(record) == ("refused", "RULES", "")


def test_ONCE_a_key_counts_once_for_each_node() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    assert trunk.verdict(publish(elm, once="k")).outcome == "applied"
    assert trunk.verdict(publish(elm, once="k")) == ("refused", "ONCE", "")
    assert (
        trunk.verdict(elm.write("lease.acquire", lease="a", session="s", ttl_ms=9000, until=99, once="k")).rule
        == "ONCE"
    )
    assert trunk.verdict(publish(trunk.oak, once="k")).outcome == "applied"
    assert trunk.ledger.state.slices["event"] == {"builds": 2}


def test_ONCE_a_key_of_a_refused_record_is_still_free() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    under = {"lease": "deploy", "session": "s", "token": 1}
    assert trunk.verdict(publish(elm, once="k", under=under)).outcome == "fenced"
    assert trunk.verdict(publish(elm, once="k")).outcome == "applied"


def test_an_event_takes_the_token_that_its_session_holds() -> None:
    trunk = fleet()
    state = trunk.ledger.state
    wish = {"topic": "t", "type": "x", "payload": {}, "under": {"lease": "deploy", "session": "s"}}
    with pytest.raises(Fenced):
        kinds.propose(state, "elm", "event.publish", wish)
    trunk.seal(trunk.pens["elm"].write("lease.acquire", lease="deploy", session="s", ttl_ms=9000, until=99))
    state = trunk.ledger.state
    assert kinds.propose(state, "elm", "event.publish", wish)["under"]["token"] == state.epoch
