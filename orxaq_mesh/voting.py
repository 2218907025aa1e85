"""Fork choice: which of several seals on one parent the fleet went on from.

Knows: first votes and how ties end (law FORK). A vote is a record's `seen`; it is counted from the set alone.
Knows not: which seals stand, who signed what (`spine` hands in what does); files, commits, clocks.

    election = elect(parent_id, sides, voters, votes)
    election.chosen, election.rule               # the child that goes on, and what decided
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from orxaq_mesh.record import Record, Seal

Rank = tuple[int, str]
"""Who was admitted earlier: (epoch of the admission, log)."""

BY_VOTES, BY_VOTER, BY_SEALER, BY_ID = "most votes", "earliest voter", "earliest sealer", "lower id"


class Vote(NamedTuple):
    """One node's vote: its log, the side (id of the child) that it stood behind first, and the record that says so."""

    log: str
    side: str
    record: Record


class Election(NamedTuple):
    """A fork and how it was decided.

    Attributes:
        parent: id of the seal that the sides have in common.
        sides: the children that stand, lower ids first.
        votes: those that were cast.
        absent: logs of nodes that have a vote and have not cast it.
        chosen: id of the side that goes on.
        rule: what decided: one of the `BY_` words.
        settled: whether no vote that is still to come can change it.
    """

    parent: str
    sides: tuple[Seal, ...]
    votes: tuple[Vote, ...]
    absent: tuple[str, ...]
    chosen: str
    rule: str
    settled: bool


def first_vote(run: Iterable[Sequence[Record]], side_of: Mapping[str, str]) -> Vote | None:
    """A log's vote: its first record, by seq, that has seen a seal of one of the sides.

    Args:
        run: for each seq behind the fork, its authentic variants; the first with two of them ends it.
        side_of: id of each standing seal at or beneath a child -> id of that child.
    """
    for variants in run:
        if len(variants) != 1:
            return None
        if (side := side_of.get(variants[0].seen_seal)) is not None:
            return Vote(variants[0].log, side, variants[0])
    return None


def elect(
    parent: str, sides: Sequence[Seal], ranks: Mapping[str, Rank], votes: Sequence[Vote], absent: Sequence[str]
) -> Election:
    """Decide a fork by first votes (law FORK).

    Args:
        parent: id of the common seal.
        sides: the standing children.
        ranks: log -> how early it was admitted, for every key admitted at the fork.
        votes: the votes cast.
        absent: who could still cast one.
    """
    sides = sorted(sides, key=lambda seal: seal.id)
    chosen, rule = _decide(sides, ranks, [(vote.log, vote.side) for vote in votes])
    cast = [(vote.log, vote.side) for vote in votes]
    rivals = [side.id for side in sides if side.id != chosen]
    settled = all(_decide(sides, ranks, cast + [(log, rival) for log in absent])[0] == chosen for rival in rivals)
    return Election(parent, tuple(sides), tuple(votes), tuple(absent), chosen, rule, settled)


def _decide(sides: Sequence[Seal], ranks: Mapping[str, Rank], cast: Sequence[tuple[str, str]]) -> tuple[str, str]:
    """(id of the child that goes on, what decided)."""
    count = {side.id: sum(1 for _, voted in cast if voted == side.id) for side in sides}
    most = max(count.values())
    leading = [side for side in sides if count[side.id] == most]
    if len(leading) == 1:
        return leading[0].id, BY_VOTES
    if most:
        tied = {side.id for side in leading}
        _, earliest = min((ranks[log], side) for log, side in cast if side in tied)
        return earliest, BY_VOTER
    nobody: Rank = (1 << 62, "")
    first = min(ranks.get(side.log, nobody) for side in leading)
    leading = [side for side in leading if ranks.get(side.log, nobody) == first]
    return leading[0].id, BY_SEALER if len(leading) == 1 else BY_ID


def final_steps(
    steps: Sequence[Sequence[str]],
    runs: Mapping[str, Iterable[Sequence[Record]]],
    places: Mapping[str, tuple[int, bool]],
) -> int:
    """How many seals of the chosen way are final: from the first on, without a gap (law FORK).

    One is final when more than half of those who had a vote at its parent stand behind it by their first vote, or when
    all of them have voted and it was chosen.

    Args:
        steps: for each seal of the chosen way, the logs that had a vote at its parent.
        runs: log -> its authentic variants by seq, from the first on, without a gap.
        places: id of each standing seal -> (how many seals of the chosen way it is or follows, whether it is one).
    """
    voted, behind = [0] * len(steps), [0] * len(steps)
    may = [frozenset(step) for step in steps]
    for log, run in runs.items():
        for index, stands in _stances(run, places):
            if log in may[index]:
                voted[index] += 1
                behind[index] += stands
    final = 0
    for electors, cast, for_it in zip(may, voted, behind, strict=True):
        if not (2 * for_it > len(electors) or cast == len(electors)):
            break
        final += 1
    return final


def _stances(run: Iterable[Sequence[Record]], places: Mapping[str, tuple[int, bool]]) -> Iterator[tuple[int, bool]]:
    """(step, whether behind the chosen seal) for each step at which a log's first vote counts, counted from 0."""
    covered = 0
    for variants in run:
        if len(variants) != 1:
            return
        shared, on_way = places.get(variants[0].seen_seal, (0, True))
        yield from ((index, True) for index in range(covered, shared))
        covered = max(covered, shared)
        if not on_way and covered == shared:  # it stood behind a rival of the next seal
            yield shared, False
            covered += 1
