"""Leases: every row of the table, and the laws that the table keeps (FENCE, TIME, UNTIL, LIVE, LEASE-1 to 9)."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from orxaq_mesh import fold, kinds
from orxaq_mesh.errors import Fenced, Refused
from orxaq_mesh.kinds import Moment, lease, work
from orxaq_mesh.kinds.lease import AGING_EPOCHS, MAX_TTL_MS, Lease, leases
from orxaq_mesh.record import Record
from tests import orders
from tests.builder import Pen, Trunk, effect_of, row_reached

TTL_MS = 60_000


def fleet() -> Trunk:
    trunk = Trunk.founded()
    trunk.admit("elm")
    trunk.admit("ash")
    return trunk


def acquire(pen: Pen, session: str = "s", **body: Any) -> Record:
    return pen.write("lease.acquire", **{"lease": "deploy", "session": session, "ttl_ms": TTL_MS, "until": 9999} | body)


def renew(pen: Pen, session: str = "s", **body: Any) -> Record:
    return pen.write("lease.renew", lease="deploy", session=session, **body)


def release(pen: Pen, session: str = "s", **body: Any) -> Record:
    return pen.write("lease.release", lease="deploy", session=session, **body)


def take(trunk: Trunk, pen: Pen, session: str = "s", **body: Any) -> Record:
    held = deploy(trunk)
    named = {"lease": "deploy", "session": session, "token": held.token or 1, "last": held.last or "0" * 64}
    return pen.write("lease.take", **named | {"watched_ms": TTL_MS, "ttl_ms": TTL_MS, "until": 9999} | body)


def broken(trunk: Trunk, pen: Pen, **body: Any) -> Record:
    named = {"lease": "deploy", "token": deploy(trunk).token or 1, "reason": "stolen"}
    return pen.write("lease.break", **named | body)


def deploy(trunk: Trunk) -> Lease:
    return leases(trunk.ledger.state).by_name.get("deploy") or Lease("deploy")


def held_by_elm(trunk: Trunk) -> Record:
    record = acquire(trunk.pens["elm"])
    assert trunk.verdict(record) == ("applied", "LEASE-1", "granted")
    return record


# One scene a row: it brings the ledger to where the row decides, and gives the records of the next epoch, that one last.

Scene = Callable[[Trunk, Pen, Pen, Pen], list[Record]]
SCENES: dict[tuple[str, str], Scene] = {}


def scene(kind: str, case: str) -> Callable[[Scene], Scene]:
    def note(play: Scene) -> Scene:
        SCENES[f"lease.{kind}", case] = play
        return play

    return note


@scene("acquire", "the ttl is over 24 hours")
def _(trunk, oak, elm, ash):
    return [acquire(elm, ttl_ms=MAX_TTL_MS + 1)]


@scene("acquire", "the session holds it")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [acquire(elm)]


@scene("acquire", "the session waits for it")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    trunk.seal(acquire(ash, queue=True))
    return [acquire(ash, queue=True)]


@scene("acquire", "free, and nobody waits")
def _(trunk, oak, elm, ash):
    return [acquire(elm)]


@scene("acquire", "asks to queue")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [acquire(elm, session="another", queue=True)]


@scene("acquire", "held")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [acquire(elm, session="another")]


@scene("acquire", "otherwise")
def _(trunk, oak, elm, ash):
    record = acquire(elm)
    return [record, release(elm, record=record.id, token=trunk.ledger.state.epoch + 1), acquire(ash)]


@scene("renew", "the ttl is over 24 hours")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [renew(elm, token=deploy(trunk).token, ttl_ms=MAX_TTL_MS + 1)]


@scene("renew", "the holder, with the current token")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [renew(elm, token=deploy(trunk).token, ttl_ms=90_000)]


@scene("renew", "otherwise")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [renew(ash, token=deploy(trunk).token)]


@scene("release", "it names its own place in the queue")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    place = acquire(ash, queue=True)
    trunk.seal(place)
    return [release(ash, record=place.id)]


@scene("release", "it names its own request that is held")
def _(trunk, oak, elm, ash):
    trunk.seal(oak.write("review.require", rule="r", kinds=["lease.acquire"], approvals=1))
    asked = acquire(elm)
    trunk.seal(asked)
    return [release(elm, record=asked.id)]


@scene("release", "the holder, with the current token and the grant's record")
def _(trunk, oak, elm, ash):
    record = held_by_elm(trunk)
    return [release(elm, record=record.id, token=deploy(trunk).token)]


@scene("release", "otherwise")
def _(trunk, oak, elm, ash):
    record = held_by_elm(trunk)
    return [release(elm, record=record.id)]


@scene("take", "the ttl is over 24 hours")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [take(trunk, ash, ttl_ms=MAX_TTL_MS + 1)]


@scene("take", "free, or another token")
def _(trunk, oak, elm, ash):
    return [take(trunk, ash)]


@scene("take", "the session holds it")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [take(trunk, elm)]


@scene("take", "something was applied under the lease since")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [take(trunk, ash, last="0" * 64)]


@scene("take", "the silence is shorter than the ttl")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [take(trunk, ash, watched_ms=TTL_MS - 1)]


@scene("take", "granted in this very epoch")
def _(trunk, oak, elm, ash):
    record = acquire(elm)
    return [record, take(trunk, ash, token=trunk.ledger.state.epoch + 1, last=record.id)]


@scene("take", "others wait")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    trunk.seal(acquire(oak, queue=True))
    return [take(trunk, ash, queue=True)]


@scene("take", "otherwise")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [take(trunk, ash)]


@scene("break", "free, or another token")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [broken(trunk, oak, token=deploy(trunk).token - 1)]


@scene("break", "otherwise")
def _(trunk, oak, elm, ash):
    held_by_elm(trunk)
    return [broken(trunk, oak)]


# Claims of work.


def release_dag(trunk: Trunk, **order: Any) -> None:
    orders.do(trunk, orders.submit(trunk.oak, orders.task("build", **order), orders.task("test", "build")))


@scene("acquire", "a claim that BREAKER-1 refuses")
def _(trunk, oak, elm, ash):
    release_dag(trunk)
    trunk.seal(elm.write("breaker.open", reason="bad packages"))
    return [orders.claim(elm, "build")]


@scene("acquire", "a claim that TASK-2 refuses")
def _(trunk, oak, elm, ash):
    release_dag(trunk)
    return [orders.claim(elm, "test")]


@scene("acquire", "a claim that TASK-3 refuses")
def _(trunk, oak, elm, ash):
    release_dag(trunk, capability="build")
    return [orders.claim(elm, "build")]


@scene("acquire", "a claim that TASK-4 refuses")
def _(trunk, oak, elm, ash):
    both = (orders.task(name, capability="build") for name in ("a", "b"))
    orders.do(trunk, orders.offer(elm, "build"), orders.submit(oak, *both, limits={"build": 1}))
    orders.do(trunk, orders.claim(elm, "a"))
    return [orders.claim(elm, "b")]


@scene("acquire", "a claim that LEASE-3 refuses")
def _(trunk, oak, elm, ash):
    return [orders.submit(oak, orders.task("build")), orders.claim(elm, "build")]


@scene("acquire", "a claim that TASK-5 refuses")
def _(trunk, oak, elm, ash):
    release_dag(trunk, attempts=2, backoff_ms=5000)
    orders.run(trunk, "build", "failed")
    return [orders.claim(elm, "build", watched_ms=4999)]


@scene("acquire", "a claim of what is another node's turn")
def _(trunk, oak, elm, ash):
    release_dag(trunk, capability="build")
    orders.do(trunk, orders.offer(elm, "build"), orders.offer(ash, "build"))
    owner = work.owner(trunk.ledger.state, orders.item(trunk, "build"))
    return [orders.claim(ash if owner == "elm" else elm, "build")]


@scene("take", "a claim that BREAKER-1 refuses")
def _(trunk, oak, elm, ash):
    release_dag(trunk)
    orders.do(trunk, orders.claim(elm, "build"))
    trunk.seal(elm.write("breaker.open", reason="bad packages"))
    return [orders.take(trunk, ash, "build")]


@scene("take", "a claim that TASK-2 refuses")
def _(trunk, oak, elm, ash):
    release_dag(trunk)
    return [orders.take(trunk, ash, "test")]


@scene("take", "a claim that TASK-3 refuses")
def _(trunk, oak, elm, ash):
    release_dag(trunk, capability="build")
    orders.do(trunk, orders.offer(elm, "build"), orders.claim(elm, "build"))
    return [orders.take(trunk, ash, "build")]


@pytest.mark.parametrize("row", lease.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(row: kinds.Row) -> None:
    trunk = fleet()
    *before, record = SCENES[row.kind, row.case](trunk, trunk.oak, trunk.pens["elm"], trunk.pens["ash"])
    state, moment = trunk.ledger.state, Moment(trunk.ledger.state.epoch + 1, "f" * 64)
    for earlier in before:
        assert kinds.apply(state, earlier, moment).outcome == "applied"
    assert row_reached(lease, state, record, moment) is row
    verdict, changed = effect_of(state, record, moment)
    assert verdict == (row.outcome, row.rule, row.result)
    assert changed == (row.outcome == "applied")
    assert fold.snapshot(fold.restore(fold.snapshot(state))) == fold.snapshot(state)
    if row.outcome != "applied":
        words = kinds.words(state, record, verdict)
        assert words.what
        assert words.hint.startswith(("mesh", "watch", "renew"))


def test_no_scene_plays_a_row_that_is_gone() -> None:
    assert set(SCENES) == {(row.kind, row.case) for row in lease.ROWS}
    assert set(lease.CASES) == {row.case for row in lease.ROWS}


# FENCE.


@pytest.mark.parametrize(
    ("author", "body"),
    [
        ("elm", {}),
        ("elm", {"token": -1}),
        ("elm", {"token": 1}),
        ("ash", {}),
        ("elm", {"session": "another"}),
    ],
    ids=["missing token", "stale token", "future token", "foreign node", "foreign session"],
)
def test_C7_C8_only_the_holder_with_the_current_token_acts(author: str, body: dict[str, Any]) -> None:
    trunk = fleet()
    record = held_by_elm(trunk)
    token = deploy(trunk).token
    fields = {"session": "s", "record": record.id, "token": token + body.get("token", 0)} | {
        key: value for key, value in body.items() if key != "token"
    }
    if not body and author == "elm":
        del fields["token"]
    verdict = trunk.verdict(trunk.pens[author].write("lease.release", lease="deploy", **fields))
    assert verdict == ("fenced", "FENCE", "")
    assert deploy(trunk).held_by("elm", "s")


def test_C9_a_holder_that_was_paused_past_its_ttl_is_fenced_for_ever() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    record = held_by_elm(trunk)
    old = deploy(trunk).token
    assert trunk.verdict(take(trunk, ash)).result == "granted"
    for stale in (renew(elm, token=old), release(elm, record=record.id, token=old)):
        assert trunk.verdict(stale).outcome == "fenced"
    assert trunk.verdict(renew(elm, token=deploy(trunk).token)).outcome == "fenced"


def test_C6_tokens_grow_over_release_break_take_revocation_and_again() -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    tokens = []

    def granted(record: Record) -> None:
        assert trunk.verdict(record).result == "granted"
        tokens.append(deploy(trunk).token)

    first = acquire(elm)
    granted(first)
    trunk.seal(release(elm, record=first.id, token=tokens[-1]))
    granted(acquire(elm))
    granted(take(trunk, ash))
    trunk.seal(broken(trunk, oak))
    granted(acquire(elm))
    trunk.seal(oak.write("node.revoke", log=elm.log, reason="lost"))
    granted(acquire(ash))
    assert tokens == sorted(set(tokens))


def test_LEASE_3_one_grant_a_lease_an_epoch_and_the_head_gets_it_in_the_next() -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    state, moment = trunk.ledger.state, Moment(trunk.ledger.state.epoch + 1)
    record = acquire(elm)
    for step in (record, release(elm, record=record.id, token=moment.epoch), acquire(ash, queue=True)):
        assert kinds.apply(state, step, moment).outcome == "applied"
    assert not deploy(trunk).holder
    lease.open_epoch(state, Moment(moment.epoch + 1))
    assert (deploy(trunk).holder, deploy(trunk).token) == ("ash", moment.epoch + 1)
    assert kinds.judge(state, acquire(oak), Moment(moment.epoch + 1))[0].rule == "LEASE-2"


def test_LEASE_9_a_break_moves_the_token_on_even_when_nobody_waits() -> None:
    trunk = fleet()
    held_by_elm(trunk)
    before = deploy(trunk).token
    trunk.seal(broken(trunk, trunk.oak))
    assert deploy(trunk).token > before
    assert not deploy(trunk).holder


# The queue.


def test_LEASE_5_equals_go_in_order_of_arrival_and_priority_goes_first() -> None:
    trunk = fleet()
    record = held_by_elm(trunk)
    for pen, session, priority in ((trunk.oak, "a", 0), (trunk.oak, "b", 0), (trunk.pens["ash"], "c", 1)):
        trunk.seal(acquire(pen, session, queue=True, priority=priority))
    trunk.seal(release(trunk.pens["elm"], record=record.id, token=deploy(trunk).token))
    assert deploy(trunk).held_by("ash", "c")
    assert [waiter.session for waiter in deploy(trunk).queue] == ["a", "b"]


@pytest.mark.parametrize(("later_epochs", "first"), [(AGING_EPOCHS - 1, "ash"), (AGING_EPOCHS, "oak")])
def test_LEASE_5_waiting_ages_into_priority(later_epochs: int, first: str) -> None:
    trunk = fleet()
    record = held_by_elm(trunk)
    trunk.seal(acquire(trunk.oak, queue=True, priority=0))
    while trunk.ledger.state.epoch < deploy(trunk).queue[0].epoch + later_epochs - 1:
        trunk.seal(renew(trunk.pens["elm"], token=deploy(trunk).token))
    trunk.seal(acquire(trunk.pens["ash"], queue=True, priority=1))
    trunk.seal(release(trunk.pens["elm"], record=record.id, token=deploy(trunk).token))
    assert deploy(trunk).holder == first


def test_LEASE_5_nobody_starves_beyond_72_epochs() -> None:
    dice = random.Random(5)
    for _ in range(200):
        old = lease.Waiter("old", "s", "r", TTL_MS, 100, 0)
        newcomer = lease.Waiter(
            "new", "s", "r", TTL_MS, 100 + 9 * AGING_EPOCHS + dice.randrange(50), dice.randrange(10)
        )
        assert old.rank <= newcomer.rank
    assert lease.Waiter("new", "s", "r", TTL_MS, 171, 9).rank < lease.Waiter("old", "s", "r", TTL_MS, 100, 0).rank


def test_LEASE_8_a_take_passes_the_lease_to_the_head_and_its_author_waits() -> None:
    trunk = fleet()
    held_by_elm(trunk)
    trunk.seal(acquire(trunk.oak, queue=True))
    assert trunk.verdict(take(trunk, trunk.pens["ash"], queue=True)) == ("applied", "LEASE-8", "passed")
    assert deploy(trunk).held_by("oak", "s")
    assert [waiter.node for waiter in deploy(trunk).queue] == ["ash"]


def test_LEASE_8_the_head_of_the_queue_takes_for_itself_and_keeps_no_second_place() -> None:
    trunk = fleet()
    held_by_elm(trunk)
    trunk.seal(acquire(trunk.pens["ash"], queue=True))
    trunk.seal(take(trunk, trunk.pens["ash"], queue=True))
    assert deploy(trunk).held_by("ash", "s")
    assert deploy(trunk).queue == []


# TIME, UNTIL, LIVE.


def test_C33_a_take_that_was_signed_before_a_renewal_and_sealed_after_it_is_refused() -> None:
    trunk = fleet()
    held_by_elm(trunk)
    signed_early = take(trunk, trunk.pens["ash"])
    trunk.seal(renew(trunk.pens["elm"], token=deploy(trunk).token))
    assert trunk.verdict(signed_early) == ("refused", "LEASE-8", "")
    assert deploy(trunk).holder == "elm"


def test_TIME_whatever_is_applied_under_the_lease_is_a_sign_of_life() -> None:
    trunk = fleet()
    held_by_elm(trunk)
    signed_early = take(trunk, trunk.pens["ash"])
    under = {"lease": "deploy", "session": "s", "token": deploy(trunk).token}
    trunk.seal(trunk.pens["elm"].write("event.publish", topic="t", type="x", payload={}, under=under))
    assert trunk.verdict(signed_early).rule == "LEASE-8"


@pytest.mark.parametrize(("late", "outcome"), [(0, "applied"), (1, "refused")])
def test_UNTIL_the_last_epoch_counts_and_the_next_does_not(late: int, outcome: str) -> None:
    trunk = fleet()
    record = acquire(trunk.pens["elm"], until=trunk.ledger.state.epoch + 1)
    for number in range(late):
        trunk.seal(trunk.oak.write("event.publish", topic="t", type="x", payload={"n": number}))
    assert trunk.verdict(record).outcome == outcome


def test_LIVE_revocation_frees_leases_and_places_in_that_very_epoch() -> None:
    trunk = fleet()
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    held_by_elm(trunk)
    trunk.seal(elm.write("lease.acquire", lease="db", session="s", ttl_ms=TTL_MS, until=99))
    trunk.seal(ash.write("lease.acquire", lease="db", session="s", ttl_ms=TTL_MS, until=99, queue=True))
    trunk.seal(acquire(ash, queue=True))
    trunk.seal(trunk.oak.write("lease.acquire", lease="ci", session="s", ttl_ms=TTL_MS, until=99))
    trunk.seal(elm.write("lease.acquire", lease="ci", session="s", ttl_ms=TTL_MS, until=99, queue=True))
    trunk.seal(trunk.oak.write("node.revoke", log=elm.log, reason="lost"))
    by_name, epoch = leases(trunk.ledger.state).by_name, trunk.ledger.state.epoch
    assert [(by_name[name].holder, by_name[name].token) for name in ("deploy", "db")] == [("ash", epoch)] * 2
    assert by_name["ci"].queue == []


def test_LIVE_a_day_is_allowed_and_a_millisecond_more_is_not() -> None:
    trunk = fleet()
    assert trunk.verdict(acquire(trunk.pens["elm"], ttl_ms=MAX_TTL_MS + 1)).rule == "LIVE"
    assert trunk.verdict(acquire(trunk.pens["elm"], ttl_ms=MAX_TTL_MS)).result == "granted"


# What a wish comes to.


def test_propose_fills_in_what_the_wish_leaves_out() -> None:
    trunk = fleet()
    record = held_by_elm(trunk)
    state, token = trunk.ledger.state, deploy(trunk).token
    wish = {"lease": "deploy", "session": "s"}
    assert kinds.propose(state, "elm", "lease.renew", wish) == {**wish, "token": token}
    assert kinds.propose(state, "elm", "lease.release", wish) == {**wish, "token": token, "record": record.id}
    assert kinds.propose(state, "ash", "lease.acquire", wish) == {**wish, "until": state.epoch + 16}
    assert kinds.propose(state, "ash", "lease.take", wish)["last"] == record.id
    with pytest.raises(Fenced, match="elm \\(session s\\) holds it"):
        kinds.propose(state, "ash", "lease.renew", wish)
    with pytest.raises(Refused, match="nobody holds db"):
        kinds.propose(state, "ash", "lease.break", {"lease": "db"})
