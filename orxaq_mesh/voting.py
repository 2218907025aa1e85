"""Fork choice: which of several seals on one parent the fleet went on from.

Knows: first votes and how ties end (law FORK). A vote is a record's `seen`; it is counted from the set alone, and once
cast it stays: only a key that signs two histories takes its own back.
Knows not: which seals stand, who signed what (`spine` hands in what does); files, commits, clocks.

    election = elect(parent_id, sides, voters, votes)
    election.chosen, election.rule               # the child that goes on, and what decided
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from orxaq_mesh.record import Record, Seal

Rank = tuple[int, str]
"""Who was admitted earlier: (epoch of the admission, log)."""

Seen = tuple[int, str]
"""(epoch, id) of a seal, as a record's `seen` has it. A number that is not that seal's own names a seal of no set."""

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
        silent: of some of them, the record that names a seal which does not stand: until it does, they abstain.
        chosen: id of the side that goes on.
        rule: what decided: one of the `BY_` words.
        settled: whether no vote that is still to come can change it.
    """

    parent: str
    sides: tuple[Seal, ...]
    votes: tuple[Vote, ...]
    absent: tuple[str, ...]
    silent: tuple[Record, ...]
    chosen: str
    rule: str
    settled: bool


def first_word(run: Iterable[Sequence[Record]], epoch: int, sides: Mapping[Seen, str]) -> Record | None:
    """The record that speaks for its log at a fork: the first, by seq, that has seen a seal of one of the sides.

    One that names a seal which does not stand may have seen one: nothing behind it counts before that is known. So more
    lines can add a vote, and never move one.

    Args:
        run: for each seq behind the fork, its authentic variants; the first with two of them ends it.
        epoch: that of the common seal. What is no younger is of no side.
        sides: each standing seal of a later epoch -> id of the child that it is at or beneath; "": of none.

    Returns:
        The record. It is a vote if `sides` has what it saw, and keeps its log silent if not. None: there is none so far.
    """
    for variants in run:
        if len(variants) != 1:
            return None
        if variants[0].seen_epoch > epoch and sides.get(seen(variants[0])) != "":
            return variants[0]
    return None


def seen(record: Record) -> Seen:
    """The seal that a record names as seen."""
    return record.seen_epoch, record.seen_seal


def elect(
    parent: str,
    sides: Sequence[Seal],
    ranks: Mapping[str, Rank],
    votes: Sequence[Vote],
    absent: Sequence[str],
    silent: Sequence[Record] = (),
) -> Election:
    """Decide a fork by first votes (law FORK).

    Args:
        parent: id of the common seal.
        sides: the standing children.
        ranks: log -> how early it was admitted, for every key admitted at the fork.
        votes: the votes cast.
        absent: who could still cast one.
        silent: of those, the records that keep some from it.
    """
    sides = sorted(sides, key=lambda seal: seal.id)
    chosen, rule = _decide(sides, ranks, [(vote.log, vote.side) for vote in votes])
    cast = [(vote.log, vote.side) for vote in votes]
    rivals = [side.id for side in sides if side.id != chosen]
    settled = all(_decide(sides, ranks, cast + [(log, rival) for log in absent])[0] == chosen for rival in rivals)
    return Election(parent, tuple(sides), tuple(votes), tuple(absent), tuple(silent), chosen, rule, settled)


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


class Step(NamedTuple):
    """A seal of the chosen way as the parent of the next: its epoch, who has a vote there, the heads that it moved on."""

    epoch: int
    voters: Collection[str]
    heads: Mapping[str, tuple[int, str]]


def final_steps(
    steps: Sequence[Step],
    runs: Mapping[str, Sequence[Sequence[Record]]],
    places: Mapping[Seen, tuple[int, bool]],
) -> int:
    """How many seals of the chosen way are final: from the first on, without a gap (law FORK).

    One is final when more than half of those who had a vote at its parent stand behind it by their first vote, or when
    all of them have voted and it was chosen.

    Args:
        steps: for each seal of the chosen way, its parent.
        runs: log -> its authentic variants by seq, from the first on, without a gap.
        places: each standing seal -> (how many seals of the chosen way it is or follows, whether it is one).
    """
    voted, behind = [0] * len(steps), [0] * len(steps)
    for log, run in runs.items():
        for index, stands in _stances(log, run, steps, places):
            voted[index] += 1
            behind[index] += stands
    final = 0
    for step, cast, for_it in zip(steps, voted, behind, strict=True):
        if not (2 * for_it > len(step.voters) or cast == len(step.voters)):
            break
        final += 1
    return final


def _stances(
    log: str, run: Sequence[Sequence[Record]], steps: Sequence[Step], places: Mapping[Seen, tuple[int, bool]]
) -> Iterator[tuple[int, bool]]:
    """(step, whether behind the chosen seal) for each step at which a log has voted: `first_word`, step by step.

    What says nothing at a step says nothing at those after it, so no record is looked at twice.
    """
    sealed = at = 0
    for index, step in enumerate(steps):
        sealed = step.heads.get(log, (sealed, ""))[0]
        at = max(at, sealed)
        while at < len(run) and len(run[at]) == 1 and not _speaks(run[at][0], step.epoch, index, places):
            at += 1
        if at >= len(run):
            return
        place = places.get(seen(run[at][0])) if len(run[at]) == 1 else None
        if place and log in step.voters:
            yield index, place[0] > index


def _speaks(record: Record, epoch: int, index: int, places: Mapping[Seen, tuple[int, bool]]) -> bool:
    """Whether a record has seen a child of the chosen way's seal of this number, what follows it, or what is unknown."""
    shared, on_way = places.get(seen(record), (index, False))
    return record.seen_epoch > epoch and (shared > index or (shared == index and not on_way))
