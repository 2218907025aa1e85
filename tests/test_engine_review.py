"""REVIEW-1 in one node's mind: what needs an approval waits in the outbox, its caller is told, and nothing is sealed."""

from __future__ import annotations

from typing import Any

from orxaq_mesh.effects import Effect, Publish, Tell
from orxaq_mesh.ledger import MAX_PROPOSED
from tests.bench import Bench

ASK: dict[str, Any] = {"lease": "deploy", "session": "s", "ttl_ms": 9000}


def reviewed(*kinds: str) -> Bench:
    """elm, in a fleet where these kinds of records need one approval."""
    bench = Bench()
    bench.others_seal("oak", bench.other("oak", "review.require", rule="r", kinds=list(kinds), approvals=1))
    bench.look()
    return bench


def told(effects: list[Effect]) -> list[tuple[str, str]]:
    return [(effect.answer.verdict, effect.answer.result) for effect in effects if isinstance(effect, Tell)]


def published(effects: list[Effect]) -> list[Publish]:
    return [effect for effect in effects if isinstance(effect, Publish)]


def test_REVIEW_1_a_proposal_goes_to_the_outbox_and_its_caller_is_told() -> None:
    b = reviewed("lease.acquire")
    (publish,) = published(b.ask("a", "lease.acquire", **ASK))
    assert publish.seal is None
    assert [record.kind for record in publish.records] == ["lease.acquire"]
    assert told(b.committed()) == [("held", "")]
    b.ms += 60_000
    assert not published(b.look()), "it waits for others' word, and is pushed no more"
    assert not b.engine.can_publish


def test_REVIEW_1_it_is_sealed_with_its_approval_and_granted_there() -> None:
    b = reviewed("lease.acquire")
    b.ask("a", "lease.acquire", **ASK)
    b.committed()
    (record,) = b.outbox
    b.ms += 5000
    b.others_seal("oak", b.other("oak", "review.approve", records=[record.id]))
    b.look()
    assert b.hub.verdicts[record.id].result == "granted"
    assert b.engine.pen.pending == []


def test_REVIEW_1_what_is_written_behind_a_proposal_takes_it_along() -> None:
    b = reviewed("lease.acquire")
    b.ask("a", "lease.acquire", **ASK)
    b.committed()
    b.ms += 5000
    b.look()
    (publish,) = published(b.ask("b", "event.publish", topic="t", type="x", payload={}))
    assert publish.seal is not None
    assert told(b.committed()) == [("applied", "published")]
    assert b.hub.verdicts[b.outbox[0].id].outcome == "held"


def test_REVIEW_1_who_waits_for_the_lease_waits_on_and_gives_it_back_when_the_time_is_over() -> None:
    b = reviewed("lease.acquire")
    b.ask("a", "lease.acquire", wait=True, owner=True, deadline=30_000, **ASK)
    assert told(b.committed()) == []
    b.ms = 30_000
    effects = b.look()
    assert told(effects) == [("applied", "queued")]
    b.ms += 1000
    effects += b.command("tick")
    b.ms += 1000
    publish = published(effects + b.look())[-1]
    assert [record.kind for record in publish.records] == ["lease.acquire", "lease.release"]
    assert publish.seal is not None
    b.committed()
    assert b.hub.verdicts[publish.records[0].id] == ("refused", "LEASE-7", "")
    b.others_seal("oak", b.other("oak", "review.approve", records=[publish.records[0].id]))
    assert b.hub.verdicts[publish.records[0].id] == ("refused", "LEASE-7", ""), "a no is a no"


def test_REVIEW_1_who_waits_is_granted_it_with_the_approval() -> None:
    b = reviewed("lease.acquire")
    b.ask("a", "lease.acquire", wait=True, owner=True, **ASK)
    b.committed()
    b.ms += 1000
    b.others_seal("oak", b.other("oak", "review.approve", records=[b.outbox[0].id]))
    assert told(b.look()) == [("applied", "granted")]


def test_ONCE_the_same_key_is_the_same_proposal_also_when_it_is_held() -> None:
    b = reviewed("lease.acquire")
    b.ask("a", "lease.acquire", once="k", **ASK)
    b.committed()
    b.ms += 5000
    b.look()
    b.ask("b", "lease.acquire", once="k", **ASK)
    assert len(b.records) == 1
    b.others_seal("oak")  # a seal takes it in all the same
    b.ms += 5000
    b.look()
    assert told(b.ask("c", "lease.acquire", once="k", **ASK)) == [("held", "")]
    assert told(b.ask("d", "lease.acquire", once="k", **{**ASK, "lease": "build"})) == [("refused", "")]
    assert len(b.records) == 1


def test_UNTIL_a_proposal_has_as_many_epochs_as_its_rule_says() -> None:
    b = reviewed("lease.acquire")
    b.ask("a", "lease.acquire", **ASK)
    assert b.records[0].body["until"] >= 10_000


def test_LIVE_what_one_node_piles_up_in_its_outbox_is_sealed_and_bounded_by_the_fold() -> None:
    b = reviewed("event.publish")
    ledger = b.hub.ledger.fork()
    many = [b.other("ash", "event.publish", topic="t", type="x", payload={"n": n}) for n in range(MAX_PROPOSED + 1)]
    ledger.offer(many[:-1])
    assert not ledger.sealable()
    assert len(ledger.proposals()) == MAX_PROPOSED
    ledger.offer(many)
    assert {log: len(run) for log, run in ledger.sealable().items()} == {many[0].log: len(many)}
    assert not ledger.proposals()
