"""The lease model, rule by rule: what it lets pass, and what it must see."""

from __future__ import annotations

from typing import Any

import pytest

from orxaq_mesh.effects import Answer
from tests.linear import Asked, Operation, Verdict, check, from_simulator

OAK, ELM, ASH = "oak/s", "elm/s", "ash/s"


class Play:
    """One operation after the other, as long as nobody says otherwise."""

    def __init__(self) -> None:
        self.now = 0
        self.operations: list[Operation] = []

    def did(self, process: str, op: str, result: dict[str, Any] | None, **args: Any) -> Operation:
        """An operation; result None: it is not known what came of it."""
        invoked, self.now = self.now, self.now + 10
        made = Operation(process, "deploy", op, args, result, invoked, None if result is None else invoked + 5)
        self.operations.append(made)
        return made

    def got(self, process: str, token: int, op: str = "acquire", **args: Any) -> None:
        self.did(process, op, {"verdict": "applied", "result": "granted", "token": token}, **args)

    def ok(self, process: str, op: str, result: str, token: int | None = None, **args: Any) -> None:
        told = {"verdict": "applied", "result": result} | ({} if token is None else {"token": token})
        self.did(process, op, told, **args)

    def no(self, process: str, op: str, rule: str, verdict: str = "refused", **told: Any) -> None:
        args = {"token": told.pop("named")} if "named" in told else {}
        self.did(process, op, {"verdict": verdict, "rule": rule, **told}, **args)

    def sees(self, holder: str | None, **told: Any) -> None:
        self.did("eye/s", "read", {"holder": holder, **told})

    def verdict(self) -> Verdict:
        return check(self.operations, "lease")

    def is_fine(self) -> None:
        verdict = self.verdict()
        assert verdict.linearizable, verdict

    def breaks(self) -> None:
        assert self.verdict().linearizable is False


@pytest.fixture
def play() -> Play:
    return Play()


def test_C1_a_life_of_a_lease_is_fine(play: Play) -> None:
    play.sees(None)
    play.got(OAK, 3)
    play.no(ELM, "acquire", "LEASE-2", holder=OAK, token=3)
    play.no(OAK, "acquire", "LEASE-4", holder=OAK, token=3)
    play.ok(OAK, "renew", "renewed", 3)
    play.ok(OAK, "write", "published", token=None)
    play.sees(OAK, token=3)
    play.ok(OAK, "release", "released", 3)
    play.sees(None, last_token=3)
    play.no(OAK, "renew", "FENCE", "fenced", named=3, holder=None)
    play.got(ELM, 7)
    play.no(ASH, "take", "TIME", holder=ELM, token=7)
    play.got(ASH, 9, "take")
    play.no(ELM, "write", "FENCE", "fenced", named=7, holder=ASH, token=9)
    play.did("oak/admin", "break", {"verdict": "applied", "result": "broken", "epoch": 12})
    play.no("oak/admin", "break", "LEASE-9", named=9, holder=None)
    play.no(ASH, "acquire", "LIVE")
    play.got(ASH, 13)
    play.is_fine()


@pytest.mark.parametrize("token", [3, 2])
def test_C6_a_token_that_does_not_grow_is_seen(play: Play, token: int) -> None:
    play.got(OAK, 3)
    play.ok(OAK, "release", "released", 3)
    play.got(ELM, token)
    play.breaks()


def test_C6_a_token_after_a_break_is_above_it(play: Play) -> None:
    play.got(OAK, 3)
    play.did("oak/admin", "break", {"verdict": "applied", "result": "broken", "epoch": 8})
    play.got(ELM, 7)
    play.breaks()


def test_C1_two_holders_are_seen(play: Play) -> None:
    play.got(OAK, 3)
    play.got(ELM, 4)
    play.breaks()


@pytest.mark.parametrize("op", ["renew", "write", "release"])
@pytest.mark.parametrize(("who", "token"), [(ELM, 3), (OAK, 2), (OAK, 4), (ELM, 4)])
def test_C7_a_deed_by_another_or_under_another_token_is_seen(play: Play, op: str, who: str, token: int) -> None:
    play.got(OAK, 3)
    play.ok(who, op, {"renew": "renewed", "write": "published", "release": "released"}[op], token)
    play.breaks()


@pytest.mark.parametrize("op", ["renew", "write", "release"])
def test_C9_a_deed_after_the_lease_was_taken_is_seen(play: Play, op: str) -> None:
    play.got(OAK, 3)
    play.got(ELM, 5, "take")
    play.ok(OAK, op, {"renew": "renewed", "write": "published", "release": "released"}[op], 3)
    play.breaks()


@pytest.mark.parametrize(
    "told",
    [
        {"op": "acquire", "rule": "LEASE-2"},
        {"op": "acquire", "rule": "LEASE-4"},
        {"op": "take", "rule": "TIME"},
        {"op": "take", "rule": "LEASE-4"},
        {"op": "break", "rule": "LEASE-9", "named": 3, "held": True},
        {"op": "acquire", "rule": "LEASE-3", "held": True},
        {"op": "take", "rule": "LEASE-8", "held": True},
        {"op": "renew", "rule": "FENCE", "verdict": "fenced", "named": 3, "held": True, "who": OAK},
        {"op": "release", "rule": "FENCE", "verdict": "fenced", "held": True, "who": OAK},
        {"op": "acquire", "rule": "LEASE-2", "held": True, "who": OAK},
    ],
)
def test_C21_a_refusal_that_no_state_justifies_is_seen(play: Play, told: dict[str, Any]) -> None:
    if told.pop("held", False):
        play.got(OAK, 3)
    play.no(told.pop("who", ELM), told.pop("op"), told.pop("rule"), **told)
    play.breaks()


def test_C29_a_refusal_that_names_the_wrong_holder_or_token_is_seen(play: Play) -> None:
    play.got(OAK, 3)
    fine = list(play.operations)
    for wrong in ({"holder": ASH, "token": 3}, {"holder": OAK, "token": 2}, {"holder": None}):
        play.operations[:] = fine
        play.no(ELM, "acquire", "LEASE-2", **wrong)
        play.breaks()


def test_C4_a_read_of_the_past_is_seen(play: Play) -> None:
    play.got(OAK, 3)
    play.got(ELM, 5, "take")
    play.sees(OAK, token=3)
    play.breaks()


def test_C14_a_released_lease_that_comes_back_is_seen(play: Play) -> None:
    play.got(OAK, 3)
    play.ok(OAK, "release", "released", 3)
    play.sees(None, last_token=3)
    play.sees(OAK, token=3)
    play.breaks()


def test_PUSH_what_is_unknown_may_have_happened_late_or_never(play: Play) -> None:
    play.did(OAK, "acquire", None)
    play.sees(None)
    play.got(ELM, 4)
    play.ok(ELM, "release", "released", 4)
    play.sees(OAK, token=6)
    play.ok(OAK, "write", "published", 6)
    play.is_fine()
    play.sees(OAK, token=7)
    play.breaks()


def test_PUSH_what_is_unknown_happens_once(play: Play) -> None:
    play.did(OAK, "acquire", None)
    play.sees(OAK, token=2)
    play.ok(OAK, "release", "released", 2)
    play.sees(OAK, token=5)
    play.breaks()


def test_PUSH_a_token_that_nobody_was_told_counts(play: Play) -> None:
    """Two grants lie between 3 and 5, and only one number."""
    play.got(OAK, 3)
    play.ok(OAK, "release", "released", 3)
    play.did(ASH, "acquire", None)
    play.no(ELM, "acquire", "LEASE-2", holder=ASH)
    play.did(ELM, "take", None)
    play.no(OAK, "acquire", "LEASE-2", holder=ELM)
    play.got(OAK, 5, "take")
    play.breaks()
    play.operations[-1] = play.operations[-1]._replace(result={"verdict": "applied", "result": "granted", "token": 6})
    play.is_fine()


def test_LEASE_5_who_waits_gets_it_at_release(play: Play) -> None:
    play.got(OAK, 3)
    play.ok(ELM, "acquire", "queued", queue=True)
    play.sees(OAK, token=3, queue=[ELM])
    play.ok(OAK, "release", "released", 3)
    play.sees(ELM, token=4, queue=[])
    play.ok(ELM, "renew", "renewed", 4)
    play.is_fine()
    play.sees(ASH, token=4)
    play.breaks()


def test_LEASE_5_who_gave_its_place_back_gets_nothing(play: Play) -> None:
    play.got(OAK, 3)
    play.ok(ELM, "acquire", "queued", queue=True)
    play.ok(ELM, "release", "withdrawn")
    play.ok(OAK, "release", "released", 3)
    play.sees(ELM, token=4)
    play.breaks()


def test_LEASE_8_a_take_over_passes_it_to_who_waits(play: Play) -> None:
    play.got(OAK, 3)
    play.ok(ELM, "acquire", "queued", queue=True)
    play.ok(ASH, "take", "passed")
    play.sees(ELM, token=6)
    play.is_fine()
    play.sees(ASH, token=6)
    play.breaks()


def test_LEASE_5_a_wait_is_granted_within_its_call(play: Play) -> None:
    play.got(OAK, 3)
    waits = Operation(
        ELM, "deploy", "acquire", {"wait": True}, {"verdict": "applied", "result": "granted", "token": 4}, 5, 40
    )
    play.ok(OAK, "release", "released", 3)
    play.operations.append(waits)
    play.is_fine()
    play.operations[-1] = waits._replace(returned=9)
    play.breaks()


def test_LIVE_who_is_revoked_holds_nothing(play: Play) -> None:
    play.got(OAK, 3)
    play.did("elm/admin", "revoke", {"verdict": "applied"}, node="oak")
    play.sees(None)
    play.got(ELM, 5)
    play.is_fine()
    play.ok(OAK, "write", "published", 3)
    play.breaks()


# What was told, as operations.


def test_PUSH_unknown_with_nothing_signed_is_no_operation() -> None:
    wish = {"lease": "deploy"}
    closed = Asked(OAK, "lease.acquire", wish, 0, 1, Answer("unknown", "CLOSED"))
    pushed = Asked(OAK, "lease.acquire", wish, 0, 1, Answer("unknown", "PUSH", record="ab"))
    unheard = Asked(OAK, "lease.acquire", wish, 0)
    assert from_simulator([closed]) == []
    assert from_simulator([pushed]) == from_simulator([unheard]) == [Operation(OAK, "deploy", "acquire", {}, None, 0)]


def test_FENCE_the_verdict_of_a_sealed_record_and_who_holds_it_now_are_two_things() -> None:
    facts = {"lease": "deploy", "holder": "elm", "session": "s", "token": 9, "epoch": 9}
    wish = {"lease": "deploy", "session": "s"}
    early = Answer("refused", "LEASE-2", facts=facts)
    sealed = early._replace(record="ab")
    (one,) = from_simulator([Asked(OAK, "lease.acquire", wish, 0, 5, early)])
    assert one.result == {"verdict": "refused", "rule": "LEASE-2", "epoch": 9, "holder": ELM, "token": 9}
    verdict, seen = from_simulator([Asked(OAK, "lease.acquire", wish, 0, 5, sealed)])
    assert "holder" not in verdict.result
    assert (seen.op, seen.result, seen.invoked, seen.returned) == ("read", {"holder": ELM, "token": 9}, 0, 5)


def test_FENCE_deeds_carry_the_token_they_named() -> None:
    renewed = Answer("applied", "LEASE-6", "renewed", "ab", facts={"token": 4, "holder_token": 4, "holder": "oak"})
    wrote = Answer("applied", "EVENT-1", "published", "cd")
    under = {"lease": "deploy", "session": "s", "token": 4}
    history = from_simulator(
        [
            Asked(OAK, "lease.renew", {"lease": "deploy", "session": "s"}, 0, 1, renewed),
            Asked(OAK, "event.publish", {"topic": "t", "under": under}, 2, 3, wrote),
            Asked(OAK, "event.publish", {"topic": "t"}, 4, 5, wrote),
            Asked(OAK, "node.hello", {}, 4, 5, wrote),
        ]
    )
    assert [(o.op, o.args.get("token"), o.result.get("token")) for o in history] == [
        ("renew", None, 4),
        ("write", 4, None),
    ]
