"""Forks, line by line: what was found by random worlds, and what each side, vote and late word comes to."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from orxaq_mesh.kinds import Verdict
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import SUSPENDED, members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, Seal, canonical, epoch_place, log_place
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.voting import BY_VOTES
from tests.builder import AT, Pen, Trunk, secret, sign
from tests.worlds import Reader, Tree, changes, lines_of, merged, place_of, tree_of


def fleet(*names: str) -> Trunk:
    trunk = Trunk.founded()
    for name in names:
        trunk.admit(name)
    return trunk


def side_of(trunk: Trunk) -> Trunk:
    """Another hub, with what this one has now."""
    side = Trunk()
    side.files, side.ledger, side.seals = dict(trunk.files), trunk.ledger.fork(), list(trunk.seals)
    side.pens = {name: copy.copy(pen) for name, pen in trunk.pens.items()}
    return side


def word(pen: Pen, number: int = 0) -> Record:
    return pen.write("event.publish", topic="t", type="x", payload={"n": number})


def say(side: Trunk, *names: str) -> list[Record]:
    """Each of these publishes and seals."""
    said = []
    for name in names:
        said.append(word(side.pens[name]))
        side.seal(said[-1], by=side.pens[name])
    return said


def seal(trunk: Trunk, *records: Record, by: str = "oak", **override: Any) -> Seal:
    pen = trunk.pens[by]
    return read_seal(sign(trunk.seal_value(*records, by=pen, **override), pen.key, trunk.ledger.id))


def laid(tree: Tree, *items: Record | Seal) -> Tree:
    return merged(tree, tree_of(item.line for item in items))


def reader(trunk: Trunk, *trees: Tree) -> Reader:
    found = Reader(trunk.ledger.id)
    for tree in trees:
        found.read(tree)
    return found


def same(trunk: Trunk, *trees: Tree) -> Reader:
    """Who reads one tree after the other makes of the last what a newcomer does."""
    along = reader(trunk, *trees)
    assert along.shown() == reader(trunk, trees[-1]).shown()
    return along


def sealed(trunk: Trunk, found: Reader, by: str = "oak", *more: Record) -> Tree:
    """The tree after a seal of this node over all that waits."""
    ledger, pen = found.ledger, trunk.pens[by]
    ledger.offer(more)
    made = read_seal(sign(ledger.draft_seal(pen.log, ledger.sealable(pen.log), AT), pen.key, ledger.id))
    records = [record for run in ledger.taken_by(made).values() for record in run]
    records += [record for log in made.proofs for record in ledger.proven[log]]
    return {**found.tree, **render(found.tree.get, records, [made])}


def verdicts(found: Reader) -> dict[str, Verdict]:
    return {item.record.id: item.verdict for _, judged in found.told for item in judged}


# SEAL: it stands when all that it names is there, in whatever order that came.


def test_C32_a_seal_that_lacks_a_record_stands_when_it_comes_whatever_else_came_before() -> None:
    trunk = fleet("elm", "ash")
    one, other = side_of(trunk), side_of(trunk)
    missing = word(one.pens["elm"])
    first = seal(one, missing, by="elm")
    one.push([missing], [first])
    behind, more = word(one.pens["ash"]), word(one.pens["elm"])
    second = seal(one, behind, more, by="ash")
    rival = word(other.pens["oak"])
    third = seal(other, rival)
    other.push([rival], [third])
    fourth = word(other.pens["oak"])
    parts = [[first], [missing], [behind, more, second], [rival, third, fourth, seal(other, fourth)]]
    ends = set()
    for order in itertools.permutations(parts):
        along = reader(trunk, trunk.files)
        for part in order:
            along.read(laid(along.tree, *part))
            assert along.shown() == reader(trunk, along.tree).shown()
        ends.add(along.ledger.state.seal)
    assert ends == {second.id}


def test_C32_a_record_comes_when_the_fleet_has_long_gone_on_without_it() -> None:
    trunk = fleet("elm", "ash")
    theirs = side_of(trunk)
    missing = word(theirs.pens["elm"])
    first = seal(theirs, missing, by="elm")
    theirs.push([missing], [first])
    say(theirs, "ash", "elm", "ash")
    hidden = merged(trunk.files, theirs.files)
    place = log_place(missing.log, missing.seq).file
    hidden = {**hidden, place: hidden[place].replace(missing.line + b"\n", b"")}
    trees = [trunk.files, merged(trunk.files, tree_of([first.line]))]
    for _ in range(4):
        say(trunk, "oak")
        trees.append(merged(trees[-1], trunk.files))
    trees.append(merged(trees[-1], hidden))
    along = reader(trunk, *trees)
    assert along.ledger.base.epoch == trunk.ledger.state.epoch
    trees.append(merged(trees[-1], theirs.files))
    assert same(trunk, *trees).ledger.state.seal == theirs.ledger.state.seal


def test_C32_a_seal_that_was_let_wait_costs_no_reading_anew_when_its_record_comes() -> None:
    trunk = fleet("elm")
    missing = word(trunk.pens["elm"])
    first = laid(trunk.files, seal(trunk, missing, by="elm"))
    for restarted in (False, True):
        found = reader(trunk, trunk.files, first)
        assert found.ledger.state.seal == trunk.ledger.state.seal
        if restarted:
            found.restart()
        found.read(laid(first, missing))
        assert found.deeper == 0
        assert verdicts(found)[missing.id].outcome == "applied"


def test_C32_a_record_comes_for_a_seal_on_a_side_as_high_as_the_tip() -> None:
    trunk = fleet("elm")
    first = word(trunk.pens["elm"])
    ours, theirs = side_of(trunk), side_of(trunk)
    ours.seal(first)
    (vote,) = say(ours, "oak")
    for record in (vote, first):
        theirs.seal(record, by=theirs.pens["elm"])
    missing = word(theirs.pens["elm"])
    closing = seal(theirs, missing, by="elm")
    both = laid(merged(ours.files, theirs.files), closing)
    along = reader(trunk, trunk.files, both)
    assert (along.ledger.state.seal, along.ledger.base.epoch) == (ours.ledger.state.seal, ours.ledger.state.epoch)
    found = same(trunk, trunk.files, both, laid(both, missing)).ledger
    assert closing.id in found.spine.stood


def test_SEAL_a_seal_over_one_that_stands_by_now_stands_for_who_reads_along() -> None:
    trunk = fleet("elm")
    older = side_of(trunk)
    late = word(older.oak)
    say(trunk, "elm")
    missing = word(trunk.pens["elm"])
    closing = seal(trunk, missing, by="elm")
    over = seal(older, late, over=closing.id, epoch=closing.epoch + 1)
    early = laid(trunk.files, closing, over, late)
    found = same(trunk, trunk.files, early, laid(early, missing)).ledger
    assert {closing.id, over.id} <= found.spine.stood.keys()


def test_SEAL_a_seal_that_never_stood_is_read_anew_by_nobody() -> None:
    trunk = fleet("elm")
    older = side_of(trunk)
    wrong = seal(older, word(older.oak), epoch=9)
    say(trunk, "elm")
    found = same(trunk, trunk.files, laid(trunk.files, wrong))
    read = found.deeper
    for _ in range(3):
        say(trunk, "elm", "oak")
        found.restart()
        found.read(merged(found.tree, trunk.files))
    assert found.deeper == read
    assert found.shown() == reader(trunk, found.tree).shown()


def test_EPOCH_a_seal_over_a_side_that_was_let_go_long_ago_stands_for_all() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(ours, "elm", "ash", "elm", "ash", "elm")
    say(theirs, "oak", "oak")
    found = same(trunk, trunk.files, ours.files, merged(ours.files, theirs.files))
    settled = sealed(trunk, found, "ash")
    assert same(trunk, found.tree, settled).ledger.spine.stood == {}
    ash = trunk.pens["ash"]
    more = ours.pens["elm"].write("event.publish", topic="t", type="x", payload={})
    after = same(trunk, found.tree, settled)
    after.ledger.offer([more])
    value = after.ledger.draft_seal(ash.log, after.ledger.sealable(), AT)
    made = read_seal(sign({**value, "over": theirs.ledger.state.seal}, ash.key, trunk.ledger.id))
    done = same(trunk, trunk.files, ours.files, found.tree, settled, laid(settled, more, made))
    assert done.ledger.state.seal == made.id


def test_SET_lines_whose_author_is_not_known_yet_are_not_forgotten() -> None:
    trunk = fleet()
    before = dict(trunk.files)
    ash = trunk.pen("ash")
    trunk.pens["ash"] = ash
    hello = ash.hello()
    admit = trunk.oak.write("node.admit", name="ash", key=ash.key.public.text, roles=["node"])
    trunk.seal(hello, admit)
    said = [word(ash, 1), word(ash, 2)]
    closing = seal(trunk, *said, by="ash")
    after = dict(trunk.files)
    for early in ([said[0]], [said[1]], said, [closing], [*said, closing]):
        trees = [before, laid(before, *early), laid(before, hello, *early), laid(after, *early)]
        trees.append(laid(after, *said, closing))
        assert same(trunk, *trees).ledger.state.seal == closing.id


def test_CACHE_what_waits_in_the_tree_is_known_after_a_restart() -> None:
    trunk = fleet("elm")
    loose = word(trunk.pens["elm"])
    tree = laid(trunk.files, loose)
    found = reader(trunk, tree)
    found.restart()
    assert set(found.ledger.waiting) == {loose.id}
    found.read(laid(tree, seal(trunk, loose)))
    assert verdicts(found)[loose.id].outcome == "applied"


# Sides.


def test_FORK_a_seal_on_a_side_that_was_left_is_read_from_where_that_side_began() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(ours, "elm", "ash", "elm", "ash", "elm", "ash")
    say(theirs, "oak", "oak")
    both = merged(ours.files, theirs.files)
    found = reader(trunk, trunk.files, ours.files, both)
    settled = sealed(trunk, found, "elm")
    found.read(settled)
    assert found.ledger.base is found.ledger.state
    assert found.ledger.state.seal == same(trunk, trunk.files, ours.files, both, settled).ledger.state.seal
    say(theirs, "oak")
    more = merged(settled, theirs.files)
    late = same(trunk, trunk.files, ours.files, both, settled, more)
    assert late.ledger.late()
    last = sealed(trunk, late, "ash")
    done = same(trunk, trunk.files, ours.files, both, settled, more, last)
    assert done.told[-1][0].over == theirs.ledger.state.seal
    assert done.ledger.waiting == {}


def test_FORK_three_sides_and_forks_of_forks_are_one_spine() -> None:
    trunk = fleet("elm", "ash", "fir", "yew")
    one, two, three = side_of(trunk), side_of(trunk), side_of(trunk)
    say(one, "oak", "oak")
    say(two, "elm", "elm")
    upper, lower = side_of(three), side_of(three)
    say(three, "ash", "ash")
    upper, lower = side_of(three), side_of(three)
    say(upper, "fir", "fir", "ash")
    say(lower, "yew", "yew", "yew", "yew")
    trees = [side.files for side in (one, two, three, upper, lower)]
    for order in itertools.permutations(trees, 2):
        grown = [trunk.files]
        for tree in (*order, merged(*trees)):
            grown.append(merged(grown[-1], tree))
        found = same(trunk, *grown)
        assert found.ledger.state.seal == upper.ledger.state.seal
        assert [election.rule for election in found.ledger.spine.elections][:1] == [BY_VOTES]
    closed = sealed(trunk, found, "fir")
    done = same(trunk, *grown, closed)
    assert done.ledger.state.epoch == lower.ledger.state.epoch + 1
    assert len(verdicts(done)) == len({line for line in lines_of(closed) if b'"kind":"seal"' not in line})


@pytest.mark.parametrize("which", ["observer", "revoked", "newcomer", "recovery"])
def test_FORK_who_is_not_in_good_standing_at_the_fork_has_no_vote(which: str) -> None:
    trunk = fleet("elm", "ash")
    owl = trunk.admit("owl", "observer" if which == "observer" else "node")
    if which == "revoked":
        trunk.seal(trunk.oak.write("node.revoke", log=owl.log, reason="lost"))
    if which in ("newcomer", "recovery"):
        owl = trunk.pens["owl"] = trunk.pen("box" if which == "newcomer" else "recovery")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(ours, "oak", "oak")
    say(theirs, "elm", "elm")
    pen = theirs.pens["owl"]
    pen.seen = (theirs.ledger.state.epoch, theirs.ledger.state.seal)
    lines: Sequence[Record] = [pen.hello()] if which == "newcomer" else []
    tree = laid(merged(ours.files, theirs.files), *lines, word(pen), word(pen))
    found = same(trunk, trunk.files, tree)
    (election,) = found.ledger.spine.elections
    assert pen.log not in {vote.log for vote in election.votes} | set(election.absent)
    assert found.ledger.state.seal == ours.ledger.state.seal


def test_FORK_a_vote_is_not_read_across_a_gap_nor_from_an_outbox() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(ours, "oak", "oak")
    say(theirs, "elm", "elm")
    ash = theirs.pens["ash"]
    gap, behind = word(ash), word(ash)
    both = merged(ours.files, theirs.files)
    found = same(trunk, trunk.files, both, laid(both, behind))
    assert found.ledger.state.seal == ours.ledger.state.seal
    assert found.ledger.spine.elections[0].absent == (ash.log,)
    found.ledger.offer([gap])
    found.read(found.tree)
    assert found.ledger.state.seal == ours.ledger.state.seal
    assert same(trunk, trunk.files, both, laid(both, behind, gap)).ledger.state.seal == theirs.ledger.state.seal


def test_FORK_who_signed_twice_behind_a_gap_may_still_vote_before_it() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(ours, "oak", "oak")
    say(theirs, "ash", "ash")
    elm = theirs.pens["elm"]
    gap, behind = word(elm), word(elm)
    pair = word(copy.copy(elm), 1), word(elm, 2)
    tree = laid(merged(ours.files, theirs.files), behind, *pair)
    found = same(trunk, trunk.files, tree)
    assert found.ledger.spine.elections[0].absent == (elm.log,)
    settled = sealed(trunk, found)
    done = same(trunk, trunk.files, tree, settled, laid(settled, gap))
    assert done.ledger.state.seal == theirs.ledger.state.seal


def test_FORK_who_has_long_gone_on_counts_the_voice_for_a_hidden_seal_once_it_is_shown() -> None:
    trunk = fleet("elm", "ash")
    kept, ours = side_of(trunk), side_of(trunk)
    (first,) = say(kept, "elm")
    elm = kept.pens["elm"]
    feigned = word(elm)
    say(ours, "oak")
    elm.seen = ours.oak.seen
    ours.seal(first, feigned, word(elm))
    say(ours, "oak")
    trees = [trunk.files, ours.files, merged(ours.files, kept.files)]
    assert reader(trunk, *trees[:2]).ledger.base.epoch == ours.ledger.state.epoch
    found = same(trunk, *trees)
    (election,) = found.ledger.spine.elections
    votes = {vote.log: vote.side for vote in election.votes}
    assert votes == {ours.oak.log: election.chosen, elm.log: kept.ledger.state.seal}
    trees.append(laid(trees[-1], word(kept.pens["ash"])))
    assert same(trunk, *trees).ledger.state.seal == kept.ledger.state.seal


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_FORK_a_vote_is_void_from_the_seq_on_that_proves_to_be_signed_twice_whenever_that_is_seen(
    order: tuple[int, int],
) -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(theirs, "oak", "oak")
    start = copy.copy(ours.pens["elm"])
    say(ours, "elm", "ash", "elm")
    again = copy.copy(ours.pens["elm"])
    say(ours, "ash", "elm", "ash")
    both = merged(ours.files, theirs.files)
    found = same(trunk, trunk.files, ours.files, both)
    settled = sealed(trunk, found, "ash")
    assert found.ledger.state.seal == ours.ledger.state.seal
    early, late = word(start, 7), word(again, 7)  # the vote lies between them
    trees = [trunk.files, ours.files, both, settled]
    for which in order:
        trees.append(laid(trees[-1], (early, late)[which]))
        done = same(trunk, *trees)
        assert done.ledger.spine.void == {
            start.log: early.seq if early.line in b"".join(done.tree.values()) else late.seq
        }
    assert done.ledger.state.seal == theirs.ledger.state.seal


def test_UNTIL_a_late_word_is_judged_where_it_is_taken_in_and_a_token_never_goes_back() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    asks = {"session": "s", "ttl_ms": 60_000}
    start = trunk.ledger.state.epoch
    old = theirs.oak.write("lease.acquire", lease="old", until=start + 1, **asks)
    kept = theirs.oak.write("lease.acquire", lease="kept", until=start + 40, **asks)
    theirs.seal(old, kept)
    say(theirs, "oak", "oak", "oak", "oak", "oak")
    theirs.seal(theirs.oak.write("lease.acquire", lease="new", until=start + 40, **asks))
    say(ours, "elm", "ash", "elm", "ash")
    tokens = {held.name: held.token for held in leases(theirs.ledger.state).by_name.values()}
    assert set(tokens) == {"old", "kept", "new"}
    found = same(trunk, trunk.files, theirs.files, merged(ours.files, theirs.files))
    assert found.ledger.state.seal == ours.ledger.state.seal
    done = same(trunk, trunk.files, theirs.files, sealed(trunk, found, "ash"))
    assert verdicts(done)[old.id].rule == "UNTIL"
    assert verdicts(done)[kept.id].outcome == "applied"
    now = {held.name: held.token for held in leases(done.ledger.state).by_name.values() if held.holder}
    assert set(now) == {"kept", "new"}
    assert all(now[name] > max(tokens.values()) for name in now)


# PREFIX: a key that signed two histories.


def two_histories(trunk: Trunk, name: str) -> tuple[Record, Record]:
    pen = trunk.pens[name]
    return word(copy.copy(pen), 1), word(pen, 2)


def test_PREFIX_a_suspended_key_never_returns_and_its_name_is_free_for_a_new_one() -> None:
    trunk = fleet("elm", "ash")
    elm = trunk.pens["elm"]
    trunk.seal(elm.write("lease.acquire", lease="d", session="s", ttl_ms=60_000, until=99))
    waits = trunk.pens["ash"].write("lease.acquire", lease="d", session="s", ttl_ms=60_000, until=99, queue=True)
    trunk.seal(waits)
    one, other = two_histories(trunk, "elm")
    trunk.seal(other)
    trunk.push([one])
    trunk.seal(word(trunk.oak))
    state = trunk.ledger.state
    assert members(state).by_log[elm.log].standing == SUSPENDED
    assert leases(state).by_name["d"].holder == "ash"
    assert leases(state).by_name["d"].token == state.epoch
    again = trunk.oak.write("node.admit", name="elm", key=elm.key.public.text, roles=["node"])
    assert trunk.verdict(again).rule == "NODE-5"
    new = trunk.pens["elm"] = trunk.pen("elm", secret("elm, once more"))
    admit = trunk.oak.write("node.admit", name="elm", key=new.key.public.text, roles=["node"])
    trunk.seal(new.hello(), admit)
    new.seen = (trunk.ledger.state.epoch, trunk.ledger.state.seal)
    assert trunk.verdict(word(new), by=new).outcome == "applied"
    assert trunk.ledger.sealable() == {}
    same(trunk, trunk.files)


def test_PREFIX_what_a_suspended_key_said_on_a_side_that_was_left_keeps_no_fork_open() -> None:
    trunk = fleet("elm", "ash", "fir")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(ours, "elm", "ash", "fir", "ash")
    for number in (1, 2, 3):
        theirs.seal(word(theirs.pens["elm"], number), by=theirs.pens["elm"])
    found = same(trunk, trunk.files, ours.files, merged(ours.files, theirs.files))
    tree = sealed(trunk, found, "ash", word(ours.pens["ash"]))
    done = same(trunk, trunk.files, ours.files, found.tree, tree)
    assert members(done.ledger.state).by_log[trunk.pens["elm"].log].standing == SUSPENDED
    assert done.ledger.base is done.ledger.state
    assert done.ledger.mends == {}
    assert set(lines_of(theirs.files)) <= set(lines_of(tree))
    assert done.ledger.waiting


def test_CHAIN_two_histories_are_found_by_who_reads_at_once_as_by_who_reads_along() -> None:
    trunk = fleet("elm")
    one, other = two_histories(trunk, "elm")
    trunk.seal(other)
    tree = laid(trunk.files, one)
    assert set(same(trunk, trunk.files, tree).ledger.proofs()) == {trunk.pens["elm"].log}


def test_SIG_what_only_its_follower_signs_is_somebodys_once_a_side_took_it_in() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    oak = theirs.oak
    value = {
        **read_value(oak.draft("event.publish", {"topic": "t", "type": "x", "payload": {}})),
        "sig": "A" * 86 + "==",
    }
    covered = read_record(canonical(value))
    oak.seq, oak.prev = covered.seq, covered.id
    theirs.seal(covered, word(oak))
    say(ours, "elm", "ash", "elm", "ash")
    both = merged(ours.files, theirs.files)
    trees = [trunk.files, laid(trunk.files, covered), merged(ours.files, laid(trunk.files, covered)), both]
    found = same(trunk, *trees)
    assert found.ledger.mends == {}
    after = say(ours, "ash")
    tree = merged(both, ours.files)
    assert covered.id in same(trunk, *trees, tree).ledger.waiting
    done = same(trunk, *trees, tree, sealed(trunk, same(trunk, *trees, tree), "ash", *after))
    assert verdicts(done)[covered.id].outcome == "applied"


def test_RENDER_what_a_side_took_in_of_a_key_that_is_gone_by_now_stays_in_the_tree() -> None:
    trunk = fleet("elm", "ash", "fir")
    ours, theirs = side_of(trunk), side_of(trunk)
    fir = theirs.pens["fir"]
    value = {
        **read_value(fir.draft("event.publish", {"topic": "t", "type": "x", "payload": {}})),
        "sig": "A" * 86 + "==",
    }
    covered = read_record(canonical(value))
    fir.seq, fir.prev = covered.seq, covered.id
    theirs.seal(covered, word(fir), by=fir)
    ours.seal(ours.oak.write("node.revoke", log=fir.log, reason="lost"))
    say(ours, "oak", "elm", "ash")
    trees = [trunk.files, ours.files, merged(ours.files, theirs.files)]
    for _ in range(3):
        found = same(trunk, *trees)
        assert found.ledger.base is found.ledger.state
        assert found.ledger.mends == {}
        say(ours, "ash")
        trees.append(merged(trees[-1], ours.files))
    found.restart()
    hurt = {path: data.replace(covered.line + b"\n", b"") for path, data in found.tree.items()}
    found.read(hurt)
    assert {**hurt, **found.ledger.mends} == trees[-2]


def read_value(item: Record | Seal) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(item.line)
    return found


# LIVE: who has no key makes nobody read everything again.


def test_LIVE_lines_that_take_no_key_make_nobody_read_anew() -> None:
    trunk = fleet("elm")
    say(trunk, "oak", "elm", "oak", "elm")
    start = epoch_place(1).file
    old = trunk.seals[1]
    forged = canonical({**read_value(old), "at": "2026-11-21T09:30:00.000Z"})
    strange = canonical({**read_value(old), "epoch": 20, "parent": "a" * 64})
    stranger = canonical({**read_value(old), "node": "yew-00000000"})
    log = log_place(trunk.oak.log, 1).file
    for path, line in [
        (start, old.line),
        (start, forged),
        (start, strange),
        (start, stranger),
        (log, trunk_line(trunk)),
    ]:
        found = reader(trunk, trunk.files)
        reading = found.read({**trunk.files, path: trunk.files[path] + line + b"\n"})
        assert (found.deeper, reading.judged) == (0, [])
        assert found.ledger.mends == {path: trunk.files[path]}
        assert found.ledger.proofs() == {}
        assert found.read(found.tree).deeper is None
        found.read(trunk.files)
        assert (found.ledger.mends, found.ledger.flaws) == ({}, {})


def trunk_line(trunk: Trunk) -> bytes:
    """The founding record, once more."""
    return trunk.files[log_place(trunk.oak.log, 1).file].split(b"\n")[0]


# RENDER.


def test_RENDER_what_is_lost_while_an_old_side_comes_is_put_back() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(ours, "elm", "ash", "elm", "ash")
    say(theirs, "oak", "oak")
    both = merged(ours.files, theirs.files)
    for path in sorted(ours.files):
        for line in ours.files[path].split(b"\n")[:-1]:
            hurt = {**both, path: both[path].replace(line + b"\n", b"")}
            found = reader(trunk, trunk.files, ours.files, hurt)
            assert found.deeper == 1
            assert found.ledger.state.seal == ours.ledger.state.seal
            assert found.ledger.mends == {path: both[path]}
            assert found.ledger.flaws[path]


@pytest.mark.parametrize("how", ["twice", "out of order", "torn", "in another file"])
def test_RENDER_lines_that_are_all_there_but_not_as_they_are_to_be_are_told_and_mended(how: str) -> None:
    trunk = fleet("elm", "ash")
    say(trunk, "elm", "ash", "elm")
    path = log_place(trunk.pens["elm"].log, 1).file
    lines = trunk.files[path].split(b"\n")[:-1]
    whole = b"".join(line + b"\n" for line in lines)
    bent = {
        "twice": whole + lines[0] + b"\n",
        "out of order": b"".join(line + b"\n" for line in reversed(lines)),
        "torn": whole[:-1],
        "in another file": whole + trunk.files[log_place(trunk.pens["ash"].log, 1).file],
    }[how]
    for found in (reader(trunk, trunk.files, {**trunk.files, path: bent}), reader(trunk, {**trunk.files, path: bent})):
        assert found.ledger.mends == {path: whole}
        assert path in found.ledger.flaws
        assert found.ledger.state.digest == trunk.ledger.state.digest
        found.read(trunk.files)
        assert (found.ledger.mends, found.ledger.flaws) == ({}, {})


def test_RENDER_at_most_two_that_nobody_sealed_stay_for_one_place_whoever_reads() -> None:
    trunk = fleet("elm")
    variants = sorted((word(copy.copy(trunk.pens["elm"]), number) for number in range(5)), key=lambda record: record.id)
    before = dict(trunk.files)
    for order in itertools.permutations(variants[:4]):
        trees = [laid(before, *order[:number]) for number in range(5)]
        kept = {variants[0].line, variants[1].line}
        healed = {**trees[-1], **same(trunk, *trees).ledger.mends}
        assert {line for line in lines_of(healed) if place_of(line).count("elm")} - set(lines_of(before)) == kept
    trunk.seal(variants[4])
    tree = laid(trunk.files, *variants[:4])
    healed = {**tree, **same(trunk, before, trunk.files, tree).ledger.mends}
    assert set(lines_of(healed)) == set(lines_of(trunk.files)) | {variants[0].line}


def test_RENDER_of_three_for_one_place_what_the_chosen_side_took_in_stays() -> None:
    trunk = fleet("elm", "ash", "fir")
    ours, theirs = side_of(trunk), side_of(trunk)
    three = sorted((word(copy.copy(trunk.pens["elm"]), number) for number in range(3)), key=lambda record: record.id)
    low, loose, first = three
    ours.seal(first, by=ours.pens["ash"])
    say(ours, "ash")
    trees = [trunk.files, laid(ours.files, loose)]
    assert same(trunk, *trees).ledger.rivals == {loose.id}
    theirs.seal(loose)
    say(theirs, "oak", "fir", "oak", "fir")
    trees.append(merged(trees[-1], theirs.files))
    found = same(trunk, *trees)
    assert found.ledger.state.seal == theirs.ledger.state.seal
    trees.append(sealed(trunk, found, "fir"))
    trees.append(laid(trees[-1], low))
    healed = {**trees[-1], **same(trunk, *trees).ledger.mends}
    assert set(lines_of(healed)) == set(lines_of(trees[-2]))


def test_RENDER_a_newcomer_to_a_damaged_trunk_takes_nobodys_lines_away() -> None:
    trunk = fleet("elm")
    said = say(trunk, "elm")
    trunk.admit("ash")
    say(trunk, "ash", "elm", "ash")
    trunk.push([word(trunk.pens["ash"])])
    place = log_place(said[0].log, said[0].seq).file
    for line in (said[0].line, trunk.seals[2].line):
        path = place if line == said[0].line else epoch_place(1).file
        hurt = {**trunk.files, path: trunk.files[path].replace(line + b"\n", b"")}
        found = reader(trunk, hurt)
        assert found.ledger.state.epoch == 2
        assert found.ledger.mends == {}
        whole = same(trunk, hurt, trunk.files)
        assert whole.ledger.state.seal == trunk.ledger.state.seal


def test_SEEN_a_ledger_that_reads_on_says_which_of_its_seals_were_left() -> None:
    trunk = fleet("elm", "ash")
    ours, theirs = side_of(trunk), side_of(trunk)
    say(theirs, "oak", "oak", "oak", "oak")
    say(ours, "elm", "ash", "elm")
    found = Ledger(trunk.ledger.id)
    found.read(changes({}, trunk.files))
    found.read(changes(trunk.files, theirs.files))
    since = found.state.seal
    both = merged(ours.files, theirs.files)
    asked = found.fork()
    reading = asked.read(changes(theirs.files, both), since)
    assert reading.deeper == trunk.ledger.state.epoch
    anew = asked.beneath(trunk.ledger.state)
    reading = anew.read([c for c in changes({}, both) if anew.asks_for(c.path)], since)
    assert [seal.id for seal in reading.left] == [seal.id for seal in theirs.seals[-4:]]
    assert [seal.id for seal in reading.seals] == [seal.id for seal in ours.seals[-3:]]
    assert since not in {seal.id for seal in reading.seals}
    assert anew.state.epoch < found.state.epoch
    assert anew.next_epoch == found.state.epoch + 1
