"""ONCE and FENCE in what a caller is told: a key stands for one request, and an old grant is no grant."""

from __future__ import annotations

from typing import Any

import pytest

from orxaq_mesh import answers, kinds
from orxaq_mesh.effects import Answer, Intent
from tests.builder import Pen, Trunk

ACQUIRE: dict[str, Any] = {"lease": "deploy", "session": "s", "ttl_ms": 60_000, "once": "k"}


def fleet() -> tuple[Trunk, Pen]:
    trunk = Trunk.founded()
    return trunk, trunk.admit("elm")


def again(trunk: Trunk, kind: str, wish: dict[str, Any]) -> Answer | None:
    return answers.done_before(trunk.ledger.state, "elm", Intent("1", kind, wish))


def test_ONCE_the_same_wish_is_told_what_its_record_came_to() -> None:
    trunk, elm = fleet()
    record = elm.write("lease.acquire", **ACQUIRE, until=99)
    trunk.seal(record, by=elm)
    told = again(trunk, "lease.acquire", ACQUIRE)
    assert told is not None
    assert (told.verdict, told.result, told.record, told.facts["token"]) == ("applied", "granted", record.id, 3)


@pytest.mark.parametrize(
    "change",
    [{"lease": "other"}, {"session": "t"}, {"ttl_ms": 61_000}, {"queue": True}],
    ids=str,
)
def test_ONCE_another_wish_under_the_same_key_is_refused_and_not_lost_in_silence(change: dict[str, Any]) -> None:
    trunk, elm = fleet()
    trunk.seal(elm.write("lease.acquire", **ACQUIRE, until=99), by=elm)
    told = again(trunk, "lease.acquire", {**ACQUIRE, **change})
    assert told is not None
    assert (told.verdict, told.rule) == ("refused", "ONCE")


def test_FENCE_a_grant_that_ended_is_not_told_again_under_its_key() -> None:
    trunk, elm = fleet()
    record = elm.write("lease.acquire", **ACQUIRE, until=99)
    trunk.seal(record, by=elm)
    trunk.seal(elm.write("lease.release", lease="deploy", session="s", token=3, record=record.id), by=elm)
    trunk.seal(trunk.oak.write("lease.acquire", lease="deploy", session="o", ttl_ms=60_000, until=99))
    told = again(trunk, "lease.acquire", ACQUIRE)
    assert told is not None
    assert (told.verdict, told.rule, told.facts["token"], told.facts["holder"]) == ("refused", "ONCE", None, "oak")


def test_ONCE_a_place_that_became_a_grant_is_told_as_a_grant() -> None:
    trunk, elm = fleet()
    held = trunk.oak.write("lease.acquire", lease="deploy", session="o", ttl_ms=60_000, until=99)
    trunk.seal(held)
    queued = {**ACQUIRE, "queue": True}
    trunk.seal(elm.write("lease.acquire", **queued, until=99), by=elm)
    told = again(trunk, "lease.acquire", queued)
    assert told is not None
    assert (told.result, told.facts["token"]) == ("queued", None)
    trunk.seal(trunk.oak.write("lease.release", lease="deploy", session="o", token=3, record=held.id))
    told = again(trunk, "lease.acquire", queued)
    assert told is not None
    assert (told.result, told.facts["token"]) == ("granted", 5)


def test_ONCE_what_its_moment_fills_in_does_not_make_it_another_request() -> None:
    trunk, elm = fleet()
    event = {"topic": "builds", "type": "done", "payload": {"n": 1}, "once": "e"}
    trunk.seal(elm.write("event.publish", **event), by=elm)
    assert again(trunk, "event.publish", event) is not None
    assert kinds.about({**ACQUIRE, "until": 5}) == kinds.about({**ACQUIRE, "until": 50})
    other = again(trunk, "event.publish", {**event, "payload": {"n": 2}})
    assert other is not None
    assert other.verdict == "refused"
