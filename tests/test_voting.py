"""Fork choice by itself: first votes, ties, and when nothing that is still to come can change it (FORK)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.record import Record, Seal
from orxaq_mesh.voting import BY_ID, BY_SEALER, BY_VOTER, BY_VOTES, Vote, elect, first_vote

LOGS = ("ash", "elm", "fir", "oak", "yew")


def side(id_: str, log: str) -> Seal:
    return Seal(id_, log, 2, "parent", {}, 1, "", None, "", b"")


def saw(log: str, seq: int, seal: str, id_: str = "") -> Record:
    return Record(id_ or f"{log}{seq}", log, seq, "", "event.publish", {}, 0, seal, "", b"")


def vote(log: str, which: str) -> Vote:
    return Vote(log, which, saw(log, 1, which))


def test_FORK_the_first_record_that_saw_a_side_is_the_vote() -> None:
    sides = {"a": "a", "a2": "a", "b": "b"}
    run = [[saw("elm", 1, "before")], [saw("elm", 2, "a2")], [saw("elm", 3, "b")]]
    found = first_vote(run, sides)
    assert found is not None
    assert (found.side, found.record.seq) == ("a", 2)
    assert first_vote(run[:1], sides) is None
    assert first_vote([], sides) is None


@pytest.mark.parametrize("at", [0, 1])
def test_FORK_no_vote_is_read_from_a_seq_that_was_signed_twice_or_behind_it(at: int) -> None:
    run = [[saw("elm", 1, "before")], [saw("elm", 2, "a")]]
    run[at] = [*run[at], saw("elm", at + 1, "a", "other")]
    assert first_vote(run, {"a": "a", "b": "b"}) is None


def test_FORK_of_three_sides_the_one_with_most_votes_wins_and_a_tie_is_between_those_that_lead() -> None:
    sides = [side("a", "oak"), side("b", "elm"), side("c", "ash")]
    ranks = {"oak": (1, "oak"), "elm": (2, "elm"), "ash": (3, "ash"), "fir": (4, "fir"), "yew": (5, "yew")}
    votes = [vote("oak", "a"), vote("elm", "b"), vote("ash", "b"), vote("fir", "c"), vote("yew", "c")]
    tied = elect("parent", sides, ranks, votes, [])
    assert (tied.chosen, tied.rule, tied.settled) == ("b", BY_VOTER, True)
    assert elect("parent", sides, ranks, votes[1:], []).chosen == "b"
    most = elect("parent", sides, ranks, [*votes, vote("gum", "c")], [])
    assert (most.chosen, most.rule) == ("c", BY_VOTES)


def test_FORK_without_a_vote_the_earliest_admitted_sealer_wins_and_a_stranger_comes_last() -> None:
    ranks = {"oak": (1, "oak"), "elm": (2, "elm"), "ash": (2, "ash")}
    found = elect("parent", [side("a", "elm"), side("b", "oak")], ranks, [], ["elm"])
    assert (found.chosen, found.rule, found.settled) == ("b", BY_SEALER, False)
    assert elect("parent", [side("a", "elm"), side("b", "ash")], ranks, [], []).chosen == "b"
    assert elect("parent", [side("a", "yew"), side("b", "ash")], ranks, [], []).chosen == "b"
    same = elect("parent", [side("b", "oak"), side("a", "oak")], ranks, [], [])
    assert (same.chosen, same.rule, same.settled) == ("a", BY_ID, True)


@given(
    st.lists(st.sampled_from(LOGS), min_size=2, max_size=4),
    st.lists(st.integers(1, 3), min_size=5, max_size=5),
    st.dictionaries(st.sampled_from(LOGS), st.integers(0, 4), max_size=5),
)
def test_FORK_settled_is_what_no_vote_that_is_still_to_come_can_change(
    sealers: list[str], admitted: list[int], stand: dict[str, int]
) -> None:
    sides = [side("abcd"[number], log) for number, log in enumerate(sealers)]
    ranks = {log: (epoch, log) for log, epoch in zip(LOGS, admitted, strict=True)}
    votes = [vote(log, sides[at % len(sides)].id) for log, at in stand.items() if at]
    absent = [log for log, at in stand.items() if not at]
    now = elect("parent", sides, ranks, votes, absent)
    later = set()
    for cast in itertools.product([None, *(one.id for one in sides)], repeat=len(absent)):
        more = [vote(log, which) for log, which in zip(absent, cast, strict=True) if which]
        later.add(elect("parent", sides[::-1], ranks, more + votes, []).chosen)
    assert now.settled == (later == {now.chosen})
