"""Fork choice on small worlds (law FORK): two sides of one fleet, in memory, and what their union comes to."""

from __future__ import annotations

import copy
from typing import NamedTuple

import pytest

from orxaq_mesh import fold
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import SUSPENDED, members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import render, union
from orxaq_mesh.record import Record
from orxaq_mesh.schema import read_seal
from orxaq_mesh.store import Change
from orxaq_mesh.voting import BY_ID, BY_SEALER, BY_VOTER, BY_VOTES
from tests.builder import AT, Trunk, sign

Tree = dict[str, bytes]


def fleet(*names: str) -> Trunk:
    trunk = Trunk.founded()
    for name in names:
        trunk.admit(name)
    return trunk


def branch(trunk: Trunk) -> Trunk:
    """A hub of its own that has what this one has now."""
    side = Trunk()
    side.files, side.ledger = dict(trunk.files), trunk.ledger.fork()
    side.pens = {name: copy.copy(pen) for name, pen in trunk.pens.items()}
    return side


def say(side: Trunk, name: str, times: int = 1) -> list[Record]:
    """One node publishes and seals."""
    said = []
    for _ in range(times):
        said.append(side.pens[name].write("event.publish", topic="t", type="x", payload={}))
        side.seal(said[-1], by=side.pens[name])
    return said


def united(*sides: Trunk) -> Tree:
    paths = {path for side in sides for path in side.files}
    return {path: union(*(side.files.get(path, b"") for side in sides)) for path in paths}


def read(trunk: Trunk, tree: Tree) -> Ledger:
    ledger = Ledger(trunk.ledger.id)
    ledger.settles, ledger.spine.voters = False, {}
    reading = ledger.read(Change(path, None, data) for path, data in tree.items())
    assert reading.findings == []
    return ledger


def seal(ledger: Ledger, side: Trunk, name: str, tree: Tree, *more: Record) -> Tree:
    """Seal on the union, as the node of that name would."""
    ledger.offer(more)
    pen = side.pens[name]
    line = sign(ledger.draft_seal(pen.log, ledger.sealable(pen.log), AT), pen.key, ledger.id)
    made = read_seal(line)
    records = [record for run in ledger.taken_by(made).values() for record in run]
    records += [record for log in made.proofs for record in ledger.proven[log]]
    return {**tree, **render(tree.get, records, [made])}


def chosen(ledger: Ledger) -> str:
    """The rule of the one election, and whose side goes on."""
    (election,) = ledger.spine.elections
    return election.rule


def test_FORK_most_first_votes_win_however_many_seals_the_other_side_piles_up() -> None:
    trunk = fleet("elm", "ash")
    left, right = branch(trunk), branch(trunk)
    say(left, "oak", 20)
    say(right, "elm", 1)
    say(right, "ash", 2)
    say(right, "elm", 1)
    ledger = read(trunk, united(left, right))
    assert chosen(ledger) == BY_VOTES
    assert ledger.state.seal == right.ledger.state.seal
    assert len(ledger.sealable()[left.pens["oak"].log]) == 20


def test_FORK_a_first_vote_never_moves() -> None:
    trunk = fleet("elm", "ash")
    left, right = branch(trunk), branch(trunk)
    say(left, "oak", 2)
    say(right, "elm", 2)
    first = say(left, "ash", 2)[0]
    turned = left.pens["ash"]
    turned.seen = (right.ledger.state.epoch, right.ledger.state.seal)
    later = turned.write("event.publish", topic="t", type="x", payload={})
    tree = united(left, right)
    ledger = read(trunk, {**tree, **render(tree.get, [later])})
    votes = {vote.log: vote.record.id for vote in ledger.spine.elections[0].votes}
    assert votes[turned.log] == first.id
    assert ledger.state.seal == left.ledger.state.seal


class Hidden(NamedTuple):
    """elm seals where nobody looks, and says so to nobody; then it writes at the hub where the others are."""

    trunk: Trunk
    kept: Trunk
    shown: Trunk
    feigned: Record
    plain: Record


def hidden(lie: int = 0) -> Hidden:
    """`lie` is added to the number of the seal that elm has hidden, where it names that seal."""
    trunk = fleet("elm", "ash")
    kept, shown = branch(trunk), branch(trunk)
    elm = kept.pens["elm"]
    first = say(kept, "elm")[0]
    elm.seen = (kept.ledger.state.epoch + lie, kept.ledger.state.seal)
    feigned = elm.write("event.publish", topic="t", type="x", payload={})
    say(shown, "oak")
    elm.seen = (shown.ledger.state.epoch, shown.ledger.state.seal)
    plain = elm.write("event.publish", topic="t", type="x", payload={})
    shown.seal(first, feigned, plain, shown.oak.write("event.publish", topic="t", type="x", payload={}))
    return Hidden(trunk, kept, shown, feigned, plain)


@pytest.mark.parametrize("lie", [0, 1, 7, -1])
def test_FORK_who_names_a_seal_that_it_hides_has_not_voted_and_none_is_moved_when_it_shows_it(lie: int) -> None:
    """A number so low that no side can have it hides nothing: what is passed over once is passed over for good."""
    trunk, kept, shown, feigned, plain = hidden(lie)
    start = trunk.ledger.state.epoch
    before = read(trunk, shown.files)
    assert before.spine.final() == (start + 1 if lie < 0 else start)
    after = read(trunk, united(shown, kept))
    (election,) = after.spine.elections
    votes = {vote.log: (vote.side, vote.record.id) for vote in election.votes}
    side = kept.ledger.state.seal, feigned.id
    ours = after.spine.chain[start].seal.id if lie else "", plain.id
    assert votes.get(feigned.log) == {0: side, -1: ours}.get(lie)
    assert [record.id for record in election.silent] == ([feigned.id] if lie > 0 else [])
    assert (feigned.log in election.absent) == (lie > 0)


def test_FORK_a_majority_without_the_one_who_hides_something_is_final_and_stays_so() -> None:
    trunk, kept, shown, _, _ = hidden()
    say(shown, "ash")
    start = trunk.ledger.state.epoch
    assert read(trunk, shown.files).spine.final() == start + 1
    after = read(trunk, united(shown, kept))
    assert after.state.seal == shown.ledger.state.seal
    assert after.spine.final() == start + 1


def test_FORK_what_was_named_and_sealed_beneath_a_fork_keeps_nobody_silent_there() -> None:
    trunk, _, shown, feigned, _ = hidden(lie=40)
    left, right = branch(shown), branch(shown)
    say(left, "oak", 2)
    say(right, "ash")
    right.pens["elm"].seq, right.pens["elm"].prev = right.ledger.state.heads[feigned.log]
    vote = say(right, "elm")[0]
    say(right, "ash")
    ledger = read(trunk, united(left, right))
    (election,) = ledger.spine.elections
    assert (vote.log, election.silent) == (feigned.log, ())
    assert vote.log in {cast.log for cast in election.votes}
    assert ledger.spine.final() == shown.ledger.state.epoch + 1


@pytest.mark.parametrize("reverse", [False, True])
def test_FORK_ties_go_to_the_earliest_voter_then_sealer_then_the_lower_id(reverse: bool) -> None:
    trunk = fleet("elm")
    left, right = branch(trunk), branch(trunk)
    say(left, "elm", 2)
    say(right, "oak", 2)
    ledger = read(trunk, united(*(right, left) if reverse else (left, right)))
    assert (chosen(ledger), ledger.state.seal) == (BY_VOTER, right.ledger.state.seal)
    left, right = branch(trunk), branch(trunk)
    say(left, "elm")
    say(right, "oak")
    ledger = read(trunk, united(*(right, left) if reverse else (left, right)))
    assert (chosen(ledger), ledger.state.seal) == (BY_SEALER, right.ledger.state.seal)
    left, right = branch(trunk), branch(trunk)
    left.seal(left.pens["elm"].write("event.publish", topic="t", type="x", payload={}), by=left.pens["oak"])
    say(right, "oak")
    ledger = read(trunk, united(*(right, left) if reverse else (left, right)))
    assert (chosen(ledger), ledger.state.seal) == (BY_ID, min(left.ledger.state.seal, right.ledger.state.seal))


def test_EPOCH_a_seal_over_the_other_side_takes_its_records_first_and_skips_its_numbers() -> None:
    trunk = fleet("elm", "ash")
    left, right = branch(trunk), branch(trunk)
    say(left, "oak", 5)
    say(right, "elm", 2)
    say(right, "ash", 2)
    tree = united(left, right)
    ledger = read(trunk, tree)
    assert ledger.state.seal == right.ledger.state.seal
    acquire = right.pens["elm"].draft("lease.acquire", {"lease": "d", "session": "s", "ttl_ms": 60_000, "until": 99})
    after = read(trunk, seal(ledger, right, "elm", tree, acquire))
    highest = max(left.ledger.state.epoch, right.ledger.state.epoch)
    assert after.state.epoch == highest + 1
    assert leases(after.state).by_name["d"].token == highest + 1
    last = after.spine.chain[-1]
    assert [item.record.log for item in last.judged[:5]] == [left.pens["oak"].log] * 5
    assert after.waiting == {}


def test_FORK_what_lost_waits_and_nothing_of_it_is_dropped_when_the_fork_is_settled() -> None:
    trunk = fleet("elm", "ash")
    left, right = branch(trunk), branch(trunk)
    lost = say(left, "oak", 2)
    for name in ("elm", "ash", "elm"):
        say(right, name)
    ledger = Ledger(trunk.ledger.id)
    tree = united(left, right)
    ledger.read(Change(path, None, data) for path, data in tree.items())
    assert {record.id for record in lost} <= set(ledger.waiting)
    tree = seal(ledger, right, "elm", tree)
    ledger = Ledger(trunk.ledger.id)
    reading = ledger.read(Change(path, None, data) for path, data in tree.items())
    assert {record.id for record in lost} <= {item.record.id for item in reading.judged}


def twice(trunk: Trunk, name: str) -> tuple[Record, Record]:
    pen = trunk.pens[name]
    one = pen.draft("event.publish", {"topic": "t", "type": "x", "payload": {"n": 1}})
    return one, pen.draft("event.publish", {"topic": "t", "type": "x", "payload": {"n": 2}})


def test_PREFIX_a_proof_acts_from_the_epoch_that_takes_it_in_and_the_past_stays_judged() -> None:
    trunk = fleet("elm", "ash")
    elm = trunk.pens["elm"]
    trunk.seal(elm.write("lease.acquire", lease="d", session="s", ttl_ms=60_000, until=99), by=elm)
    one, other = twice(trunk, "elm")
    elm.seq, elm.prev = one.seq, one.id
    trunk.seal(one, by=elm)
    before = fold.snapshot(trunk.ledger.state)
    trunk.push([other])
    assert fold.snapshot(trunk.ledger.state) == before
    ash = trunk.pens["ash"]
    record = ash.write("event.publish", topic="t", type="x", payload={})
    trunk.files = seal(trunk.ledger, trunk, "ash", trunk.files, record)
    after = read(trunk, trunk.files)
    assert members(after.state).by_log[elm.log].standing == SUSPENDED
    assert leases(after.state).by_name["d"].holder == ""
    assert [item.verdict.outcome for s in after.spine.chain for item in s.judged if item.record.log == elm.log][
        -1
    ] == "applied"


def test_FORK_a_key_that_signed_two_histories_votes_for_none_of_them() -> None:
    trunk = fleet("elm", "ash")
    left, right = branch(trunk), branch(trunk)
    say(left, "ash", 2)
    say(left, "oak", 1)
    say(left, "ash", 1)
    say(right, "oak", 1)
    say(right, "elm", 2)
    say(right, "oak", 1)
    ledger = read(trunk, united(left, right))
    votes = {vote.log for vote in ledger.spine.elections[0].votes}
    assert votes == {left.pens["ash"].log, right.pens["elm"].log}
    assert set(ledger.proven) == {left.pens["oak"].log}


def test_FORK_final_is_what_more_than_half_have_seen_at_every_step() -> None:
    trunk = fleet("elm", "ash")
    start = trunk.ledger.state.epoch
    say(trunk, "oak", 2)
    assert read(trunk, trunk.files).spine.final() <= start
    say(trunk, "elm")
    assert read(trunk, trunk.files).spine.final() == start + 1
    say(trunk, "elm")
    assert read(trunk, trunk.files).spine.final() == start + 1
    say(trunk, "ash")
    assert read(trunk, trunk.files).spine.final() == start + 3
