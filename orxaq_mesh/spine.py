"""The spine since a base: a tree of seals, which of them stand, and which way through it the fleet went.

Knows: all seals and records behind one state (the base), every side of every fork, the votes (laws SEAL, EPOCH, FORK).
Knows not: files and their damage (`ledger`), how a fork is decided (`voting`), what a record means (`kinds`).

    spine = Spine(base, standing)
    spine.grow(records, seals)          # in any order and grouping: the same tree of seals (law SET)
    spine.choose()
    spine.chain, spine.tip              # what the fleet went on from, and the state there
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from orxaq_mesh import fold
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Record, Seal, epoch_place
from orxaq_mesh.standing import Broken, Standing
from orxaq_mesh.voting import Election, Seen, Step, Vote, elect, final_steps, first_word, seen

RUNG_RECORDS = 2048
"""So many records apart states are kept from which an old fork can be folded again."""


class Stood(NamedTuple):
    """A seal that stands, and the verdicts of its epoch."""

    seal: Seal
    judged: list[Judged]


class Spine:
    """See the module's banner.

    Attributes:
        base: the state that all of it follows; it is never changed.
        records: id -> record, of those in the tree that lie behind the base.
        extra: the same for records in the tree that share their place with another, wherever they lie (law CHAIN).
        stood: id -> each seal that stands.
        held: id -> each seal that does not stand, and why; it may yet, when what it lacks is here.
        chain: the seals that the fleet went on from, by epoch.
        elections: how each fork along the chain was decided, oldest first.
        void: log -> the first seq that its key is known to have signed twice: no vote from there on.
        elsewhere: ids of records that only a side took in which was left, and that lies beneath the base by now.
        cited: ids of the records that the proofs of standing seals name.
        rungs: states on the way, while there was no fork.
        voters: id of each standing seal -> the logs that have a vote there; None: nobody wants to know.
    """

    def __init__(self, base: State, standing: Standing) -> None:
        self.base, self.standing = base, standing
        self._learn(base)
        self.records: dict[str, Record] = {}
        self.extra: dict[str, Record] = {}
        self.seals: dict[str, Seal] = {}
        self.stood: dict[str, Stood] = {}
        self.held: dict[str, Broken] = {}
        self.chain: list[Stood] = []
        self.elections: list[Election] = []
        self.void: dict[str, int] = {}
        self.elsewhere: frozenset[str] = frozenset()
        self.cited: frozenset[str] = frozenset()
        self.rungs: list[State] = []
        self.voters: dict[str, list[str]] | None = None
        self._children: dict[str, list[Seal]] = {}
        self._states: dict[str, State] = {base.seal: base}

    def fork(self) -> Spine:
        """A spine that grows on its own; states are shared, for none is changed once it is here."""
        twin = Spine(self.base, self.standing.copy())
        for name in ("records", "extra", "seals", "stood", "held", "void", "_states"):
            setattr(twin, name, dict(getattr(self, name)))
        twin._children = {parent: list(seals) for parent, seals in self._children.items()}
        twin.chain, twin.elections, twin.rungs = list(self.chain), list(self.elections), list(self.rungs)
        twin.elsewhere, twin.cited = self.elsewhere, self.cited
        twin.voters = None if self.voters is None else dict(self.voters)
        return twin

    @property
    def tip(self) -> State:
        """The state at the end of the chain."""
        return self._states[self.chain[-1].seal.id if self.chain else self.base.seal]

    @property
    def highest(self) -> Seal | None:
        """The standing seal of the highest epoch, on whatever side (law EPOCH)."""
        return max((stood.seal for stood in self.stood.values()), key=lambda seal: (seal.epoch, seal.id), default=None)

    @property
    def settled(self) -> bool:
        """Whether nothing behind the base is left open: no fork, no orphan that the chain has not passed, none held."""
        highest = self.highest
        return (
            all(election.settled for election in self.elections)
            and (highest is None or highest.epoch <= self.tip.epoch)
            and (len(self.stood) == len(self.chain) or not self._late())
        )

    def _late(self) -> bool:
        """Whether a record that another side took in may yet be taken in on this one."""
        heads, chain = self.tip.heads, {stood.seal.id for stood in self.chain}
        known = members(self.tip).by_log
        return any(
            item.record.seq > heads.get(item.record.log, (0, ""))[0]
            and not (item.record.log in known and known[item.record.log].is_gone)
            for id_, stood in self.stood.items()
            if id_ not in chain
            for item in stood.judged
        )

    @property
    def all_taken(self) -> bool:
        """Whether the chain has taken in every record, and there is no other side: so it is nearly always."""
        return len(self.stood) == len(self.chain) and sum(not i.again for s in self.chain for i in s.judged) == len(
            self.records
        )

    def taken(self) -> set[str]:
        """The ids of the records that a standing seal, on whatever side, has taken in."""
        return {item.record.id for stood in self.stood.values() for item in stood.judged}

    def loose(self) -> list[Record]:
        """The records that none has taken in."""
        if self.all_taken:
            return []
        taken = self.taken()
        return [record for id_, record in self.records.items() if id_ not in taken]

    def find(self, id_: str) -> Record | None:
        """A record by its id, wherever it is known from."""
        return self.records.get(id_) or self.extra.get(id_)

    # Growing.

    def grow(self, records: Iterable[Record], seals: Iterable[Seal]) -> None:
        """Take in records and seals, and find out what stands. `choose` is next, once nobody's records are dropped."""
        self.records.update((record.id, record) for record in records)
        fresh = [seal for seal in seals if seal.id not in self.seals]
        for seal in fresh:
            self.seals[seal.id] = seal
            self._children.setdefault(seal.parent, []).append(seal)
        tried = {seal.id: seal for seal in fresh} | {id_: self.seals[id_] for id_ in self.held}
        if any(seal.parent in self.stood and seal.parent not in self._states for seal in tried.values()):
            self.stood, self._states, tried = {}, {self.base.seal: self.base}, dict(self.seals)
        self._stand(sorted(tried.values(), key=lambda seal: (seal.epoch, seal.id)))

    def _stand(self, seals: Sequence[Seal]) -> None:
        """Fold each of these onto its parent, if it stands. Parents and `over` come first: their epochs are lower."""
        own: set[str] = set()
        find = self.find if self.extra else self.records.get
        for seal in seals:
            parent = self._states.get(seal.parent)
            over = self.stood.get(seal.over or "")
            try:
                if parent is None:
                    raise self._without_parent(seal)
                if seal.over is not None and seal.over in self._back(seal.parent):
                    reason = f"the seal of epoch {seal.epoch} is over one that lies beneath it"
                    raise Broken("EPOCH", epoch_place(seal.epoch), reason, lacks=seal.over)
                taken = self.standing.taken_by(parent, seal, find, over.seal if over else None)
            except Broken as broken:
                self.held[seal.id] = broken
                continue
            self.held.pop(seal.id, None)
            if len(self._children[seal.parent]) > 1 or seal.parent not in own:
                state = fold.copy(parent)
            else:
                state = self._states.pop(seal.parent)
            known = len(members(state).by_log)
            judged = fold.apply(state, seal, taken, self.order_of(over.seal, seal.parent) if over else ())
            if len(members(state).by_log) > known:
                self._learn(state)
            self.stood[seal.id], self._states[seal.id] = Stood(seal, judged), state
            own.add(seal.id)
            if seal.proofs:
                self.cited = self.cited.union(*seal.proofs.values())
            self._keep_rung(state)
            if self.voters is not None:
                self._note_voters(state, self.stood[seal.id])

    def _without_parent(self, seal: Seal) -> Broken:
        """Why a seal does not stand whose parent is not folded: it does not stand itself, or has no lower number."""
        parent, place = self.seals.get(seal.parent), epoch_place(seal.epoch)
        if parent is not None and parent.epoch >= seal.epoch:
            reason = f"the seal of epoch {seal.epoch} follows one of epoch {parent.epoch}"
            return Broken("EPOCH", place, reason, lacks=seal.parent)
        reason = f"the seal of epoch {seal.epoch} follows {seal.parent[:12]}, which does not stand here"
        return Broken("SEAL", place, reason, lacks=seal.parent)

    def _note_voters(self, state: State, stood: Stood) -> None:
        assert self.voters is not None
        seal, same = stood.seal, self.voters.get(stood.seal.parent)
        moved = seal.proofs or any(item.record.kind.startswith("node.") for item in stood.judged)
        self.voters[seal.id] = _voters(state) if moved or same is None else same

    def _learn(self, state: State) -> None:
        for member in members(state).by_log.values():
            self.standing.learn(member.log, member.key)

    def _keep_rung(self, state: State) -> None:
        last = self.rungs[-1] if self.rungs else self.base
        if state.records >= last.records + RUNG_RECORDS and all(len(kids) == 1 for kids in self._children.values()):
            self.rungs.append(fold.copy(state))

    def order_of(self, over: Seal, parent: str) -> list[str]:
        """The ids of what the side of `over` judged since it parted from that of `parent`, in its order (law EPOCH)."""
        trunk = set(self._back(parent))
        side = []
        for id_ in self._back(over.id):
            if id_ in trunk:
                break
            side.append(id_)
        judged = (item for id_ in reversed(side) if id_ in self.stood for item in self.stood[id_].judged)
        return [item.record.id for item in judged if not item.again]

    def _back(self, id_: str) -> Iterator[str]:
        """A standing seal and all before it, down to the base."""
        yield id_
        while id_ in self.stood:
            id_ = self.stood[id_].seal.parent
            yield id_

    def drop(self, seal: Seal) -> None:
        """Forget a seal that nobody signed."""
        del self.seals[seal.id]
        del self.held[seal.id]
        self._children[seal.parent].remove(seal)

    def since(self, id_: str) -> tuple[list[Stood], list[Seal]]:
        """What the chain has behind a seal; and, where that is not on it, the seals that were left to come here."""
        on_chain = {self.base.seal, *(stood.seal.id for stood in self.chain)}
        left = []
        while id_ not in on_chain and id_ in self.stood:
            left.append(self.stood[id_].seal)
            id_ = left[-1].parent
        place = next((n for n, stood in enumerate(self.chain, 1) if stood.seal.id == id_), 0)
        return self.chain[place:], left[::-1]

    # Choosing (law FORK).

    def choose(self) -> None:
        """Walk from the base to the end, by first votes where there are several children."""
        self.chain, self.elections = [], []
        at = self.base.seal
        while sides := [seal for seal in self._children.get(at, ()) if seal.id in self.stood]:
            chosen = sides[0].id
            if len(sides) > 1:
                election = self._elect(at, sides)
                self.elections.append(election)
                chosen = election.chosen
            self.chain.append(self.stood[chosen])
            at = chosen

    def _elect(self, parent: str, sides: Sequence[Seal]) -> Election:
        sides_of = self._sides_of(sides)
        state = self._states[parent]
        known = members(state).by_log.values()
        ranks = {member.log: (member.epoch, member.log) for member in known if member.admitted}
        votes, absent, silent = list[Vote](), list[str](), list[Record]()
        for log in _voters(state):
            variants = self._variants(state, log)
            word = first_word(variants, state.epoch, sides_of)
            side = sides_of.get(seen(word)) if word else None
            if word and side:
                votes.append(Vote(log, side, word))
            elif word or self._may_speak(state, log, variants):
                absent.append(log)
                silent += [word] if word else []
        return elect(parent, sides, ranks, votes, absent, silent)

    def _sides_of(self, sides: Sequence[Seal]) -> dict[Seen, str]:
        """Each standing seal -> the side that it is of; "": of none. What stands beneath the base has no later epoch."""
        found = dict.fromkeys(((stood.seal.epoch, id_) for id_, stood in self.stood.items()), "")
        found |= {(self.stood[id_].seal.epoch, id_): side.id for side in sides for id_ in self.beneath(side.id)}
        return found

    def _may_speak(self, state: State, log: str, variants: Sequence[Sequence[Record]]) -> bool:
        """Whether a log that has said nothing so far may yet: nothing that was signed twice ends its run."""
        following = state.heads.get(log, (0, ""))[0] + len(variants) + 1
        return all(len(same) == 1 for same in variants) and following < self.void.get(log, following + 1)

    def beneath(self, id_: str) -> Iterator[str]:
        """A standing seal and all standing ones after it."""
        left = [id_]
        while left:
            id_ = left.pop()
            yield id_
            left += [seal.id for seal in self._children.get(id_, ()) if seal.id in self.stood]

    def _variants(self, state: State, log: str) -> list[list[Record]]:
        """The records of a log behind a state, by seq, as far as there is no gap; one list a seq, of what seals took in.

        What no seal took in is one of two only where its key signed both: then the log's votes are void from there on.
        """
        head = state.heads.get(log, (0, ""))[0]
        mine = [record for record in self.records.values() if record.log == log and record.seq > head]
        taken = {item.record.id for stood in self.stood.values() for item in stood.judged if item.record.log == log}
        by_seq: dict[int, list[Record]] = {}
        for record in sorted(mine, key=lambda record: record.id not in taken):
            same = by_seq.setdefault(record.seq, [])
            if record.id in taken or not same:
                same.append(record)
        found: list[list[Record]] = []
        while (seq := head + 1 + len(found)) in by_seq and seq < self.void.get(log, seq + 1):
            found.append(by_seq[seq])
        return found

    def final(self) -> int:
        """The epoch of the newest final seal on the chain; 0: none is. Wants `voters`, and genesis as its base."""
        assert self.voters is not None
        way = [self.base.seal, *(stood.seal.id for stood in self.chain)]
        shared = {id_: number for number, id_ in enumerate(way)}
        for seal in sorted((stood.seal for stood in self.stood.values()), key=lambda seal: seal.epoch):
            shared.setdefault(seal.id, shared[seal.parent])
        chain = {stood.seal.id for stood in self.chain}
        places = {(stood.seal.epoch, id_): (shared[id_], id_ in chain) for id_, stood in self.stood.items()}
        steps = self._steps(way[:-1])
        logs = sorted(set().union(*(step.voters for step in steps)))
        final = final_steps(steps, {log: self._variants(self.base, log) for log in logs}, places)
        return self.chain[final - 1].seal.epoch if final else 0

    def _steps(self, parents: Sequence[str]) -> list[Step]:
        assert self.voters is not None
        steps = [Step(0, (), {})][: len(parents)]
        for id_ in parents[1:]:
            seal = self.stood[id_].seal
            steps.append(Step(seal.epoch, self.voters.get(id_, ()), seal.heads))
        return steps

    # Settling.

    def rebase(self) -> Spine:
        """A spine whose base is this one's tip: what lies behind it is settled, and only what waits is carried on."""
        tip = self.tip
        twin = Spine(tip, self.standing)
        if not self.all_taken:
            heads = tip.heads
            behind = (r for r in self.records.values() if r.seq > heads.get(r.log, (0, ""))[0])
            twin.records = {record.id: record for record in behind}
        twin.void, twin.rungs, twin.extra = self.void, self.rungs, self.extra
        twin.elsewhere, twin.cited = self.elsewhere, self.cited
        if len(self.stood) > len(self.chain):
            twin.elsewhere |= self.taken() - {item.record.id for stood in self.chain for item in stood.judged}
        for id_ in self.behind(tip.seal):
            seal = self.seals[id_]
            twin.seals[id_], twin.held[id_] = seal, self.held[id_]
            twin._children.setdefault(seal.parent, []).append(seal)
        return twin

    def behind(self, *seals: str) -> set[str]:
        """The ids of the held seals that may yet stand, and whose way back leads through such ones to one of these."""
        found, left = set[str](), list(seals)
        while left:
            for seal in self._children.get(left.pop(), ()):
                if seal.id in self.held and self.held[seal.id].lacks is not None:
                    found.add(seal.id)
                    left.append(seal.id)
        return found


def _voters(state: State) -> list[str]:
    """The logs that have a vote where the spine forks behind this state."""
    return sorted(member.log for member in members(state).by_log.values() if member.may_vote())
