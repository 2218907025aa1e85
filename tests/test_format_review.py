"""docs/format.md is enough for reviews, too: two implementations agree on what is held, until when, and how it ends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh.kinds.review import MAX_ALLOWED, MAX_GIVEN_EACH, MAX_HELD, MAX_HELD_EACH, MAX_RULES
from orxaq_mesh.record import line_id
from tests import format_page, reviews
from tests.builder import Pen
from tests.crowd import Crowd
from tests.test_format import agree
from tests.twins import Twins


def test_the_worked_example_of_reviews_is_what_the_verifier_finds(tmp_path: Path) -> None:
    trunk = format_page.review_story()
    told = agree(tmp_path, trunk.files)
    page = format_page.PAGE.read_text("utf-8").split("## 18.")[1]
    assert told["ok"]
    assert told["state"] in page
    here = [f"{id_} {' '.join(verdict)}".rstrip() for id_, verdict in told["verdicts"].items() if id_ in page]
    assert sum(line in page for line in here) == 11


def test_REVIEW_1_two_implementations_agree_on_1000_random_histories_of_what_is_held() -> None:
    hit: Counter[tuple[str, ...]] = Counter()
    for seed in range(1000):
        hit.update(Twins(seed, reviewed=True).run(4).hit)
    again: Counter[str] = Counter()
    for (kind, *rest), count in hit.items():
        again[rest[-2] if kind == "again" else ""] += count
    assert all(again[rule] >= 5 for rule in ("UNTIL", "NODE-3", "REVIEW-4", "LEASE-7", "LEASE-1", "EVENT-1")), again


def test_REVIEW_1_two_implementations_agree_on_reviewed_ledgers_line_by_line(tmp_path: Path) -> None:
    held = 0
    for seed in range(6):
        told = agree(tmp_path / str(seed), Crowd(100 + seed, reviewed=True).run(12).files)
        held += sum(verdict[0] == "held" for verdict in told["verdicts"].values())
        assert told["ok"]
    assert held


# At the limits.


def required(approvals: int = 1, **rule: Any) -> Twins:
    twins = Twins(3, reviewed=True)
    twins.open()
    body = {"rule": "all", "kinds": ["event.publish", "lease.acquire"], "approvals": approvals}
    assert twins.say(twins.pens["oak"], "review.require", body | rule)[2] == "required"
    return twins


def publish(twins: Twins, pen: Pen, number: int) -> tuple[tuple[str, ...], str]:
    """What comes of an event at its place, and its id."""
    line = twins.line(pen, "event.publish", {"topic": "t", "type": "u", "payload": number})
    return twins.judged(line), line_id(line)


def same(twins: Twins) -> None:
    assert reviews.told(twins.ours) == reviews.told_by_verifier(twins.theirs.review)


def test_REVIEW_5_two_implementations_agree_on_how_much_is_held() -> None:
    twins = required()
    pens = [Pen(f"n{number}") for number in range(9)]
    for pen in pens:
        body = {"name": pen.name, "key": pen.key.public.text, "roles": ["node"]}
        assert twins.say(twins.pens["oak"], "node.admit", body)[2] == "admitted"
    for pen in pens[:8]:
        for number in range(MAX_HELD_EACH):
            assert publish(twins, pen, number)[0][0] == "held"
        assert pen is pens[7] or publish(twins, pen, -1)[0][:2] == ("refused", "REVIEW-5")
    assert len(reviews.told(twins.ours)[0]) == MAX_HELD
    assert publish(twins, pens[8], 0)[0][:2] == ("refused", "REVIEW-5")
    assert twins.say(twins.pens["oak"], "node.revoke", {"log": pens[0].log, "reason": "lost"})[2] == "revoked"
    assert len(reviews.told(twins.ours)[0]) == MAX_HELD - MAX_HELD_EACH
    assert publish(twins, pens[8], 1)[0][0] == "held"
    same(twins)


def test_REVIEW_5_two_implementations_agree_on_how_many_rules_approvals_and_texts_are_kept() -> None:
    twins = required()
    oak, yew = twins.pens["oak"], twins.pens["yew"]
    body = {"kinds": ["lease.take"], "approvals": 1}
    for number in range(MAX_RULES):
        found = twins.say(oak, "review.require", body | {"rule": f"r{number}"})
        assert found[2] == ("required" if number < MAX_RULES - 1 else "")
    assert twins.say(oak, "review.require", body | {"rule": "r0"})[2] == "required"
    ids = [line_id(b"%d" % number) for number in range(MAX_GIVEN_EACH + 1)]
    for first in range(0, MAX_GIVEN_EACH, 64):
        assert twins.say(yew, "review.approve", {"records": ids[first : first + 64]})[2] == "approved"
    assert twins.say(yew, "review.approve", {"records": ids[-1:]}) == ("refused", "REVIEW-5", "")
    assert twins.say(yew, "review.approve", {"records": ids[:9]})[2] == "approved"
    assert twins.say(twins.pens["ash"], "review.approve", {"records": ids[-1:]})[2] == "approved"
    verdict, event = publish(twins, twins.pens["fir"], 0)
    assert verdict[0] == "held"
    assert twins.say(yew, "review.approve", {"records": [event]})[2] == "approved"
    for number in range(MAX_ALLOWED + 1):
        found = twins.say(yew, "review.allow", {"digest": line_id(b"%d" % number), "reason": "x"})
    assert found == ("refused", "REVIEW-5", "")
    assert twins.say(yew, "review.allow", {"digest": line_id(b"0"), "reason": "x"})[2] == "allowed"
    same(twins)


def test_REVIEW_1_two_implementations_agree_on_when_early_approvals_are_forgotten() -> None:
    twins = required()
    line = twins.line(
        twins.pens["fir"], "lease.acquire", {"lease": "a", "session": "s", "ttl_ms": 9000, "until": 10**6}
    )
    twins.say(twins.pens["yew"], "review.approve", {"records": [line_id(line)]})
    for step, kept in ((9_999, 1), (1, 1), (1, 0)):
        twins.open(step)
        assert len(reviews.told(twins.ours)[2]) == kept
        same(twins)
    assert twins.judged(line)[0] == "held"


@pytest.mark.parametrize(("until", "epochs", "last"), [(10**6, 3, 3), (2, 9, 2), (None, 4, 4)])
def test_UNTIL_two_implementations_agree_on_when_it_is_too_late(until: int | None, epochs: int, last: int) -> None:
    twins = required(epochs=epochs)
    begun, fir = twins.epoch, twins.pens["fir"]
    body = {"lease": "a", "session": "s", "ttl_ms": 9000, "until": begun + (until or 0)}
    event = {"topic": "t", "type": "u", "payload": 1}
    assert twins.say(fir, *(("lease.acquire", body) if until else ("event.publish", event)))[0] == "held"
    for step, held in ((last, 1), (1, 0)):
        twins.open(step)
        assert len(reviews.told(twins.ours)[0]) == held
        same(twins)
