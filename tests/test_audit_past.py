"""The past of a ledger: the state at any epoch, what changed between two, who held what when (laws PREFIX, FENCE, FORK)."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh import fold
from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.inspect.blaming import Blame, Tenure, blame
from orxaq_mesh.inspect.differing import diff, span_of
from orxaq_mesh.inspect.epochs import state_at
from orxaq_mesh.inspect.reading import History, folded
from orxaq_mesh.inspect.states import told
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record
from orxaq_mesh.saying import text
from orxaq_mesh.store import Change
from tests import orders
from tests.builder import Trunk
from tests.test_fork_choice import branch, read, say, seal, twice, united
from tests.test_fork_choice import fleet as small
from tests.worlds import Tree, World, merged, seeded

LINEAR = {"branch": 0, "merge": 0, "move": 0, "clone": 0, "lie": 0, "cover": 0}


def past_of(tree: Tree, ledger: str) -> History:
    return folded((Change(path, None, data) for path, data in sorted(tree.items())), ledger)


def history(trunk: Trunk) -> History:
    return past_of(trunk.files, str(trunk.ledger.id))


def prefixes(world: World) -> Iterator[tuple[int, bytes]]:
    """What a reader of that very time made of the trunk, at each epoch."""
    for tree in world.sides[0].past:
        ledger = Ledger(world.id)
        ledger.read(Change(path, None, data) for path, data in sorted(tree.items()))
        yield ledger.state.epoch, fold.snapshot(ledger.state)


# The state at an epoch.


@given(st.integers(0, 2**32))
@settings(max_examples=15)
def test_PREFIX_the_state_at_an_epoch_is_what_everybody_saw_who_read_no_further(seed: int) -> None:
    world = seeded(seed, acts=24, **LINEAR)
    past = past_of(world.sides[0].tree, world.id)
    for epoch, snapshot in prefixes(world):
        assert fold.snapshot(state_at(past, epoch)) == snapshot


@given(st.integers(0, 2**32))
@settings(max_examples=15)
def test_FORK_the_state_at_an_epoch_is_that_of_the_way_that_the_fleet_went(seed: int) -> None:
    world = seeded(seed, acts=40, branch=4, merge=4, lie=0)
    past = past_of(merged(*(side.tree for side in world.sides)), world.id)
    assert fold.snapshot(state_at(past, past.state.epoch)) == fold.snapshot(past.state)
    told_by = {stood.seal.epoch: stood.seal for stood in past.ledger.spine.chain}
    before = None
    for epoch in range(1, past.state.epoch + 1):
        state = state_at(past, epoch)
        if epoch in told_by:
            assert (state.seal, state.digest) == (told_by[epoch].id, told_by[epoch].state), "as its author claimed then"
        else:
            assert fold.snapshot(state) == before, "a number that a fork skipped (law EPOCH)"
        before = fold.snapshot(state)


def test_an_epoch_that_is_not_there_is_said_and_none_is_read_into_it() -> None:
    trunk = small("elm")
    past = history(trunk)
    assert told(state_at(past, 0))["nodes"] == []
    for epoch in (-1, trunk.ledger.state.epoch + 1, 10**9, 10**30):
        with pytest.raises(Usage, match="this ledger ends with epoch 2"):
            state_at(past, epoch)
    for words in (
        "",
        "3",
        "1..",
        "..2",
        "1..2..3",
        "a..b",
        "-1..2",
        "1...2",
        "\u0661..2",
        "9" * 99 + "..2",
        "1..2\x1b[2J",
    ):
        with pytest.raises(Usage, match="no span"):
            span_of(words)
    assert span_of("1..2") == (1, 2)
    with pytest.raises(Usage, match="epoch 2 is behind epoch 1") as back:
        diff(past, 2, 1)
    assert back.value.hint.endswith("1..2")
    with pytest.raises(Usage, match="ends with epoch 2"):
        diff(past, 1, 10**9)


# What changed between two.


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_what_changed_adds_up_over_epochs_and_is_nothing_from_one_to_itself(seed: int) -> None:
    world = seeded(seed, acts=24, **LINEAR)
    past = past_of(world.sides[0].tree, world.id)
    last, middle = past.state.epoch, random.Random(seed).randint(0, past.state.epoch)
    whole, first, second = diff(past, 0, last), diff(past, 0, middle), diff(past, middle, last)
    assert [(one.record, text(one)) for one in whole.sentences] == [
        (one.record, text(one)) for one in (*first.sentences, *second.sentences)
    ]
    assert [one.record for one in whole.sentences] == [item.record.id for item in past.judged]
    for part in ("leases", "nodes", "dags", "commands", "review"):
        assert getattr(diff(past, middle, middle), part) == ()
        moved = {one.name: one.after for one in (*getattr(first, part), *getattr(second, part))}
        now = {one.name: one.after for one in getattr(whole, part)}
        assert {name: after for name, after in moved.items() if after != now.get(name)} == {}
        assert now.keys() <= moved.keys()


def test_a_diff_says_who_holds_what_now_and_what_was_done() -> None:
    trunk = small("elm")
    first = trunk.ledger.state.epoch
    got = acquire(trunk, "oak", "deploy")
    trunk.seal(trunk.oak.write("lease.release", lease="deploy", session="s", token=first + 1, record=got.id))
    acquire(trunk, "elm", "deploy")
    trunk.admit("ash", "observer")
    found = diff(history(trunk), first, trunk.ledger.state.epoch)
    (lease,) = found.leases
    assert (lease.name, lease.before) == ("deploy", None)
    assert lease.after is not None
    assert (lease.after["holder"], lease.after["token"]) == ("elm", first + 3)
    (node,) = found.nodes
    assert node.name == trunk.pens["ash"].log
    said = [text(one) for one in found.sentences]
    assert said[0].startswith("oak asks for lease `deploy`")
    assert any("admits" in words and "ash" in words for words in said)
    assert not found.final


# Who held it.


def acquire(trunk: Trunk, name: str, lease: str = "deploy", **more: object) -> Record:
    pen = trunk.pens[name]
    asks = {"lease": lease, "session": "s", "ttl_ms": 60_000, "until": 99, **more}
    record = pen.write("lease.acquire", **asks)
    trunk.seal(record, by=pen)
    return record


def held(tenure: Tenure) -> tuple[str, int | None, str, str]:
    return tenure.holder, tenure.token, tenure.began.how, tenure.ended.how if tenure.ended else ""


@given(st.integers(0, 2**32))
@settings(max_examples=10)
def test_FENCE_each_holding_is_told_with_its_token_and_no_other(seed: int) -> None:
    world = seeded(seed, acts=40, **LINEAR)
    past = past_of(world.sides[0].tree, world.id)
    states = [state_at(past, epoch) for epoch in range(past.state.epoch + 1)]
    for name in {name for state in states for name in leases(state).by_name}:
        tenures = blame(past, f"lease/{name}").tenures
        tokens = [tenure.token for tenure in tenures]
        assert tokens == sorted(set(tokens))  # type: ignore[type-var]
        for state in states:
            lease = leases(state).by_name.get(name)
            now = [tenure for tenure in tenures if covers(tenure, state.epoch)]
            assert [(one.holder, one.session, one.token) for one in now] == (
                [(lease.holder, lease.session, lease.token)] if lease and lease.holder else []
            )


def covers(tenure: Tenure, epoch: int) -> bool:
    return tenure.began.epoch <= epoch and (tenure.ended is None or tenure.ended.epoch > epoch)


def test_a_lease_given_back_passed_on_and_broken() -> None:
    trunk = small("elm")
    got = acquire(trunk, "oak")
    token = trunk.ledger.state.epoch
    acquire(trunk, "elm", queue=True)
    trunk.seal(trunk.oak.write("lease.renew", lease="deploy", session="s", token=token))
    under = {"lease": "deploy", "session": "s", "token": token}
    trunk.seal(trunk.oak.write("event.publish", topic="t", type="x", payload={}, under=under))
    trunk.seal(trunk.oak.write("lease.release", lease="deploy", session="s", token=token, record=got.id))
    trunk.seal(trunk.oak.write("event.publish", topic="t", type="x", payload={}, under=under))
    second = trunk.ledger.state.epoch - 1
    trunk.seal(trunk.oak.write("lease.break", lease="deploy", token=second, reason="elm was stolen"))
    first, then = blame(history(trunk), "lease/deploy").tenures
    assert held(first) == ("oak", token, "granted", "released")
    assert (first.renewals, first.acts, first.fenced, first.record) == (1, 1, 1, got.id)
    assert held(then) == ("elm", second, "next in line", "broken")
    assert (then.asked, then.began.by) == (token + 1, "oak")
    assert then.ended is not None
    assert (then.ended.by, then.ended.reason, then.ended.rule) == ("oak", "elm was stolen", "LEASE-9")


def test_TIME_a_take_over_is_told_with_the_silence_that_it_asserts() -> None:
    trunk = small("elm", "ash")
    got = acquire(trunk, "oak")
    token = trunk.ledger.state.epoch
    asks = {"lease": "deploy", "session": "s", "ttl_ms": 60_000, "until": 99}
    taken = {**asks, "token": token, "last": got.id, "watched_ms": 61_234}
    trunk.seal(trunk.pens["elm"].write("lease.take", **taken))
    acquire(trunk, "ash", queue=True)
    again = {**asks, "token": token + 1, "last": trunk.pens["elm"].prev, "watched_ms": 70_000}
    trunk.seal(trunk.oak.write("lease.take", **again))
    first, second, third = blame(history(trunk), "lease/deploy").tenures
    assert held(first) == ("oak", token, "granted", "taken over by elm")
    assert first.ended is not None
    assert first.ended.silence_ms == second.began.silence_ms == 61_234
    assert held(second) == ("elm", token + 1, "taken over from oak", "taken over by oak")
    assert held(third)[:3] == ("ash", token + 3, "next in line"), "who took it was not the first in line"


def test_LIVE_who_loses_their_standing_loses_the_lease_and_why_is_told() -> None:
    trunk = small("elm", "ash")
    acquire(trunk, "elm")
    acquire(trunk, "ash", "stage")
    trunk.seal(trunk.oak.write("node.revoke", log=trunk.pens["elm"].log, reason="left us"))
    ash = trunk.pens["ash"]
    trunk.seal(trunk.oak.write("node.admit", name="ash", key=ash.key.public.text, roles=["observer"]))
    past = history(trunk)
    (deploy,), (stage,) = blame(past, "lease/deploy").tenures, blame(past, "lease/stage").tenures
    assert held(deploy)[3] == "revoked"
    assert deploy.ended is not None
    assert (deploy.ended.reason, deploy.ended.by) == ("left us", "oak")
    assert held(stage)[3] == "lost its role"


def test_PREFIX_a_key_that_signed_two_histories_is_told_as_the_end() -> None:
    trunk = small("elm", "ash")
    acquire(trunk, "elm")
    one, other = twice(trunk, "elm")
    trunk.push([one, other])
    tree = seal(read(trunk, trunk.files), trunk, "oak", trunk.files, trunk.oak.write("event.publish", **EVENT))
    (tenure,) = blame(past_of(tree, str(trunk.ledger.id)), "lease/deploy").tenures
    assert tenure.ended is not None
    assert tenure.ended.how == "suspended: its key signed two histories"
    assert tenure.ended.by == tenure.ended.record == ""


EVENT = {"topic": "t", "type": "x", "payload": {}}


def test_the_claim_of_a_task_and_how_each_ended() -> None:
    trunk = orders.fleet()
    orders.do(trunk, orders.submit(trunk.oak, orders.task("build", attempts=3), orders.task("ship", "build")))
    orders.do(trunk, orders.claim(trunk.pens["elm"], "build"))
    orders.do(trunk, orders.finish(trunk, "build", "failed"))
    orders.do(trunk, orders.claim(trunk.pens["ash"], "build"))
    orders.do(trunk, orders.finish(trunk, "build"))
    orders.do(trunk, orders.claim(trunk.pens["elm"], "ship"))
    trunk.seal(trunk.oak.write("dag.cancel", dag="release", reason="not today"))
    past = history(trunk)
    found = blame(past, "task/release/build")
    assert [(one.holder, one.ended and one.ended.how) for one in found.tenures] == [
        ("elm", "finished: failed"),
        ("ash", "finished: succeeded"),
    ]
    (ship,) = blame(past, "task/release/ship").tenures
    assert held(ship)[3] == "cancelled"


def test_REVIEW_1_a_lease_that_waited_for_an_approval_is_told_from_when_it_was_granted() -> None:
    trunk = small("elm")
    trunk.admit("ash", "node", "reviewer")
    rule = {"rule": "r", "kinds": ["lease.acquire"], "names": ["deploy"], "approvals": 1}
    trunk.seal(trunk.oak.write("review.require", **rule))
    asked = acquire(trunk, "elm")
    assert trunk.verdicts[asked.id].outcome == "held"
    assert told(trunk.ledger.state)["held"][0]["record"] == asked.id
    trunk.seal(trunk.pens["ash"].write("review.approve", records=[asked.id]))
    past = history(trunk)
    (tenure,) = blame(past, "lease/deploy").tenures
    assert held(tenure) == ("elm", trunk.ledger.state.epoch, "granted when it was approved", "")
    assert tenure.asked == trunk.ledger.state.epoch - 1
    assert fold.snapshot(state_at(past, past.state.epoch)) == fold.snapshot(past.state), "taken in once, judged twice"
    assert told(state_at(past, tenure.asked))["leases"] == []
    assert told(state_at(past, tenure.asked))["review"][0]["rule"] == "r"


def test_the_keys_that_bore_a_name_and_who_let_them_in() -> None:
    trunk = small("elm")
    elm = trunk.pens["elm"]
    trunk.seal(trunk.oak.write("node.admit", name="elm", key=elm.key.public.text, roles=["admin", "node"]))
    trunk.seal(trunk.oak.write("node.revoke", log=elm.log, reason="stolen"))
    tenures = blame(history(trunk), "node/elm").tenures
    ways = [(one.began.how, one.ended.how if one.ended else "") for one in tenures]
    assert ways[-2:] == [
        ("admitted as node", "admitted as admin, node"),
        ("admitted as admin, node", "revoked"),
    ]
    assert {one.fingerprint for one in tenures} == {elm.key.public.fingerprint}
    assert tenures[-1].ended is not None
    assert (tenures[-1].ended.by, tenures[-1].ended.reason) == ("oak", "stolen")


def test_FORK_what_a_side_that_was_left_granted_is_told_beside_it() -> None:
    trunk = small("elm", "ash")
    left, right = branch(trunk), branch(trunk)
    lost = acquire(left, "oak")
    acquire(right, "elm")
    say(right, "ash")
    say(right, "elm")
    tree = united(left, right)
    found = blame(past_of(tree, str(trunk.ledger.id)), "lease/deploy")
    assert [one.holder for one in found.tenures] == ["elm"]
    assert found.left == ((trunk.ledger.state.epoch + 1, "oak", lost.id),)
    assert found.tenures[0].final, "two of three stand behind it"
    deploy, elm = found.tenures[0], right.pens["elm"]
    right.seal(
        elm.write("lease.release", lease="deploy", session="s", token=deploy.token, record=deploy.record), by=elm
    )
    (ended,) = blame(past_of(united(left, right), str(trunk.ledger.id)), "lease/deploy").tenures
    assert ended.ended is not None
    assert not ended.final, "nobody has written anything since it ended"


@pytest.mark.parametrize("about", ["", "deploy", "lease/", "/x", "lock/deploy", "\x1b[2J/x", "lease"])
def test_what_cannot_be_blamed_is_said(about: str) -> None:
    with pytest.raises(Usage, match="blame what"):
        blame(history(small()), about)


@pytest.mark.parametrize("about", ["lease/none", "task/a/b", "command/abc", "node/yew", "lease/\x1b[2J"])
def test_what_was_never_there_is_said(about: str) -> None:
    with pytest.raises(MeshFault):
        blame(history(small()), about)


def test_who_only_asked_in_vain_is_no_holder() -> None:
    trunk = small("elm")
    acquire(trunk, "oak", ttl_ms=10**9)
    assert blame(history(trunk), "lease/deploy") == Blame("lease/deploy", "deploy", ())
