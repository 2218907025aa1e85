"""What a fleet under fire came upon, each made small."""

from __future__ import annotations

from orxaq_mesh.choosing import ANY_WORK
from orxaq_mesh.effects import Ask, Intent, Tick
from tests.bench import Bench
from tests.test_engine_work import any_work, asked, bench, finish, told

ANY = {"lease": ANY_WORK, "session": "s", "ttl_ms": 9000, "authors": ["oak"], "commands": []}


def _filed(b: Bench) -> Intent:
    """elm has claimed `a`, on behalf of a process; gives its finish."""
    any_work(b, owner=True)
    return finish(b, told(b.committed())["w"], "f")


def test_C20_a_claim_whose_finish_waits_for_its_seal_is_not_handed_out_again() -> None:
    """mesh-sync was killed with the finish and the next claim journalled: the worker asked the next one for both."""
    b = bench([{"name": "a"}, {"name": "b"}])
    first = _filed(b)
    first = first._replace(wish={**first.wish, "once": "0a1b2c3d"})
    b.push_ready_ms = 60_000  # the push budget is used up: both wait
    b.feed(Ask(first, [Intent("next", "lease.acquire", ANY, True)]))
    b.restart()
    b.look()
    assert not told(b.feed(Ask(first._replace(id="f2"), [Intent("again", "lease.acquire", ANY, True)])))
    b.push_ready_ms = 0
    b.look()
    assert told(b.committed())["again"].facts["lease"] == "task:release/b"


def test_FENCE_a_claim_whose_finish_is_signed_is_not_renewed_any_more() -> None:
    b = bench([{"name": "a"}])
    first = _filed(b)
    b.push_ready_ms = 60_000  # the push budget is used up: the finish waits
    b.feed(Ask(first))
    b.ms += 4000
    b.feed(Tick(frozenset(hold.record for hold in b.holds)))
    b.push_ready_ms = 0
    assert [record.kind for record in asked(b.look())] == ["task.finish"]
