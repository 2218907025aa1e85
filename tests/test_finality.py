"""A vote once cast stays, and so does what is final, whatever lines are added: but for keys that sign two histories (FORK).

What is held to is the sentence of docs/format.md, section 7, over random fleets whose lines come in random parts.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from orxaq_mesh import keys, kinds, standing
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import NOTHING
from orxaq_mesh.spine import Spine
from orxaq_mesh.store import Change
from orxaq_mesh.voting import Vote, first_word
from tests.test_reconcile_properties import ANY, DICE, NODES, acts_of
from tests.worlds import Act, Tree, World, seeded, tree_of

Cast = dict[tuple[str, str], Vote]
"""(parent, log) -> a vote at that parent, be there a fork or not."""


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """The same lines are read by many: what is asked of a signature or a key is asked once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "signature_holds", cache(standing.signature_holds))
        patch.setattr(keys.PublicKey, "parse", staticmethod(cache(keys.PublicKey.parse)))
        yield


class Look(NamedTuple):
    """What a tree comes to: its spine, every vote at every seal of it, who could vote there, and what is final."""

    spine: Spine
    votes: Cast
    voters: dict[str, list[str]]
    final: list[str]

    @property
    def chain(self) -> list[str]:
        return [stood.seal.id for stood in self.spine.chain]

    def parent(self, id_: str) -> str:
        return self.spine.stood[id_].seal.parent

    def head(self, id_: str, log: str) -> int:
        """The last seq of a log that was sealed up to a seal."""
        while id_ != NOTHING:
            if log in (seal := self.spine.stood[id_].seal).heads:
                return seal.heads[log][0]
            id_ = seal.parent
        return 0

    def taken(self, log: str) -> dict[int, set[str]]:
        """Each seq of a log -> the records that standing seals took in."""
        found: dict[int, set[str]] = {}
        for stood in self.spine.stood.values():
            for item in stood.judged:
                if item.record.log == log:
                    found.setdefault(item.record.seq, set()).add(item.record.id)
        return found


def look(world: World, tree: Tree) -> Look:
    ledger = Ledger(world.id)
    ledger.settles, ledger.spine.voters = False, {}
    ledger.read(Change(path, None, data) for path, data in sorted(tree.items()))
    spine = ledger.spine
    final = spine.final()
    seen = Look(spine, {}, spine.voters or {}, [stood.seal.id for stood in spine.chain if stood.seal.epoch <= final])
    for parent in {stood.seal.parent for stood in spine.stood.values()} - {NOTHING}:
        seen.votes.update(votes_at(seen, parent))
    return seen


def votes_at(seen: Look, parent: str) -> Iterator[tuple[tuple[str, str], Vote]]:
    spine, state = seen.spine, kinds.new_state()
    sides = spine._sides_of([stood.seal for stood in spine.stood.values() if stood.seal.parent == parent])
    for log in seen.voters[parent]:
        state.heads = {log: (seen.head(parent, log), "")}
        word = first_word(spine._variants(state, log), spine.stood[parent].seal.epoch, sides)
        if word and (side := sides.get((word.seen_epoch, word.seen_seal))):
            yield (parent, log), Vote(log, side, word)


def keeps_its_word(before: Look, after: Look, parent: str, vote: Vote) -> bool:
    """Whether a larger set shows no two histories of a voter up to its vote."""
    head, taken = before.head(parent, vote.log), after.taken(vote.log)
    mine = [r for r in before.spine.records.values() if r.log == vote.log and head < r.seq <= vote.record.seq]
    sealed = before.taken(vote.log)
    read = {r.seq: r.id for r in mine if r.id in sealed.get(r.seq, {r.id})}
    others = any(taken.get(seq, {id_}) != {id_} for seq, id_ in read.items())
    return not others and after.spine.void.get(vote.log, vote.record.seq + 1) > vote.record.seq


def holds(before: Look, after: Look, id_: str) -> bool:
    """Whether what made a seal final makes it so among those alone who keep their word."""
    parent = before.parent(id_)
    voters = before.voters[parent]
    votes = {log: vote for log in voters if (vote := before.votes.get((parent, log)))}
    kept = {log for log, vote in votes.items() if keeps_its_word(before, after, parent, vote)}
    behind = sum(votes[log].side == id_ for log in kept)
    return 2 * behind > len(voters) or (bool(voters) and kept == set(voters))


def only_grows(before: Look, after: Look) -> Iterator[str]:
    """The law, from a set of lines to a larger one. What is told was met: so a test can ask that it was."""
    for (parent, log), vote in before.votes.items():
        if keeps_its_word(before, after, parent, vote):
            assert (now := after.votes.get((parent, log))) is not None, "a vote that was cast is gone"
            assert (now.side, now.record.id) == (vote.side, vote.record.id), "a vote that was cast has moved"
        elif after.votes.get((parent, log)) != vote:
            yield "two histories take a vote back"
    # Nobody has a vote on the founding: whoever has that key can found the same ledger once more.
    if before.final and after.chain[:1] == before.chain[:1]:
        for number, id_ in enumerate(before.final[1:], 1):
            if not holds(before, after, id_):
                yield "two histories undo what was final" if id_ not in after.final else "a margin suffices"
                break
            assert after.chain[number] == id_, "the chain left what was final"
            assert id_ in after.final, "what was final is not"
            yield "stays final, with a fork beside it" if is_forked(after, before.parent(id_)) else "stays final"


def is_forked(seen: Look, parent: str) -> bool:
    return sum(stood.seal.parent == parent for stood in seen.spine.stood.values()) > 1


def late(world: World, dice: random.Random) -> list[Tree]:
    """Trees that hold ever more of the lines, about in the order in which they were made; some come very late."""
    lines = list(dict.fromkeys(born(world)))
    seals = {line for line in lines if b'"kind":"seal"' in line}
    waits = {line: dice.random() < (0.15 if line in seals else 0.04) for line in lines}
    rank = {line: number + waits[line] * dice.randrange(len(lines)) for number, line in enumerate(lines)}
    lines.sort(key=rank.__getitem__)
    cuts = sorted({dice.randrange(len(lines) + 1) for _ in range(6)} | {len(lines)})
    return [tree_of(lines[:cut]) for cut in cuts if cut]


def born(world: World) -> Iterator[bytes]:
    """The lines of a world, side by side, in the order in which its trees grew."""
    longest = max(len(side.past) for side in world.sides)
    for at in range(longest):
        for side in world.sides:
            for data in side.past[min(at, len(side.past) - 1)].values():
                yield from data.split(b"\n")[:-1]


@given(NODES, acts_of(ANY), DICE)
@settings(max_examples=100)
def test_FORK_no_line_that_comes_moves_a_vote_or_what_a_majority_that_keeps_its_word_made_final(
    nodes: int, acts: list[Act], dice: random.Random
) -> None:
    world = World(nodes).play(acts)
    looks = [look(world, tree) for tree in late(world, dice)]
    for before, after in itertools.pairwise(looks):
        list(only_grows(before, after))


def test_FORK_the_random_fleets_reach_what_the_law_speaks_of() -> None:
    met, silent = set[str](), 0
    for seed in range(130):
        world = seeded(seed, 70, feign=2, branch=4, merge=1, move=6, say=12)
        looks = [look(world, tree) for tree in late(world, random.Random(seed))]
        for before, after in itertools.pairwise(looks):
            met |= set(only_grows(before, after))
            silent += any(election.silent for election in before.spine.elections)
    assert met >= {"stays final", "stays final, with a fork beside it"}
    assert met >= {"two histories take a vote back", "two histories undo what was final"}
    assert silent
