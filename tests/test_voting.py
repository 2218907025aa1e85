"""Fork choice by itself: first votes, ties, and when nothing that is still to come can change it (FORK)."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.record import Record, Seal
from orxaq_mesh.voting import BY_ID, BY_SEALER, BY_VOTER, BY_VOTES, Vote, elect, first_word

LOGS = ("ash", "elm", "fir", "oak", "yew")


def side(id_: str, log: str) -> Seal:
    return Seal(id_, log, 2, "parent", {}, 1, "", None, "", b"")


def saw(log: str, seq: int, seal: str, id_: str = "", epoch: int = 5) -> Record:
    return Record(id_ or f"{log}{seq}", log, seq, "", "event.publish", {}, epoch, seal, "", b"")


def vote(log: str, which: str) -> Vote:
    return Vote(log, which, saw(log, 1, which))


SIDES = {(5, "a"): "a", (6, "a2"): "a", (5, "b"): "b", (5, "elsewhere"): ""}
"""Two sides behind epoch 4, and a seal on neither."""


def said(*saw: Record) -> str | None:
    """The id of the record that speaks at that fork, if one does."""
    found = first_word([[record] for record in saw], 4, SIDES)
    return found.id if found else None


def test_FORK_the_first_record_that_saw_a_side_is_the_vote() -> None:
    run = [saw("elm", 1, "before", epoch=4), saw("elm", 2, "elsewhere"), saw("elm", 3, "a2", epoch=6)]
    assert said(*run, saw("elm", 4, "b")) == "elm3"
    assert said(*run[:2]) is None
    assert said() is None


def test_FORK_behind_a_seal_that_does_not_stand_nothing_counts() -> None:
    """It may be of a side; so may one whose number is not its own, for what anybody knows."""
    assert said(saw("elm", 1, "hidden"), saw("elm", 2, "a")) == "elm1"
    assert said(saw("elm", 1, "a", epoch=6), saw("elm", 2, "a")) == "elm1"
    assert said(saw("elm", 1, "hidden", epoch=4), saw("elm", 2, "a")) == "elm2", "no side has so old a seal"
    assert said(saw("elm", 1, "a", epoch=4), saw("elm", 2, "b")) == "elm2"


@pytest.mark.parametrize("at", [0, 1])
def test_FORK_no_vote_is_read_from_a_seq_that_was_signed_twice_or_behind_it(at: int) -> None:
    run = [[saw("elm", 1, "before", epoch=4)], [saw("elm", 2, "a")]]
    run[at] = [*run[at], saw("elm", at + 1, "a", "other")]
    assert first_word(run, 4, SIDES) is None


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
