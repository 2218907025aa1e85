"""One hub's trunk, read at each of its tips by somebody who believes no engine.

Knows: which tips there were and what was told of them, the state at each, the verdicts on the chosen spine, and which
    seals are final: a majority of honest voters stood behind each step up to them (law FORK), counted here anew.
Knows not: what a record does (`judge` watches that), nodes and callers (`checks`).
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import State, Verdict
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.record import NOTHING, canonical, line_id, parse_path
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw, Oid, Outcome, Pushed
from tests.sim.judge import INSIDER
from tests.sim.store import SimStore

if TYPE_CHECKING:
    from tests.sim.hub import SimHub
    from tests.sim.world import World


class View:
    """See the module's banner.

    Attributes:
        ledger, trunk: what was read last.
        history: every tip that the trunk ever had; `unsure`: tips whose pusher was not told what came of it.
        states: tip -> hash of the state there; None: the tree was damaged, and who saw more than it holds knows more.
        verdicts: record -> its verdict on the chosen spine.
        final: the newest seal that is final here.
    """

    def __init__(self, world: World, hub: SimHub) -> None:
        self.world, self.laws, self.judge, self.hub = world, world.laws, world.judge, hub
        self.store = SimStore(hub)
        self.ledger = Ledger()
        self.trunk: Oid | None = None
        self.history: set[Oid] = set()
        self.unsure: set[Oid] = set()
        self.outcomes: dict[Oid, Outcome] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.states: dict[Oid, bytes | None] = {}
        self.final = NOTHING
        self._stood: set[str] = set()
        self._seen: dict[str, dict[int, set[str]]] = {}

    def copy(self, hub: SimHub) -> View:
        """The view of a hub that is a copy of this one."""
        twin = View(self.world, hub)
        twin.read_from_the_beginning(str(self.trunk))
        return twin

    # The trunk.

    def moved(self, new: Oid, *, by_force: bool = False, hostile: bool = False) -> None:
        """1, 2, 11, 23: the trunk has a new tip. Judging it checks the rest."""
        hold = self.laws.hold
        self.store.fetch({"mesh": new})
        hold(by_force or not self.trunk or self.store.descends(new, self.trunk), 1, f"{new[:7]} descends from no tip")
        # A hub that lacked the parent may be given it, where there are two or one was set back.
        lost = self.outcomes.get(new) is Outcome.LOST and not self.world.forked
        hold(not lost, 11, f"{new[:7]} was told lost and is on the trunk")
        found = list(self.store.changes(self.trunk, new))
        damaged = hostile or bool(self.ledger.mends) or any(isinstance(item, Flaw) for item in found)
        changes = [item for item in found if isinstance(item, Change)]
        for change in changes if not damaged else ():
            self._canonical(change)
        self.history.add(new)
        reading = self._read(changes, new)
        stray = [finding for finding in reading.findings if not self._of_a_proof(finding)]
        hold(damaged or self.world.forked or not stray, 2, f"a node published {stray[:1]}")
        if not hostile:
            self._stand(changes)
        waits = {record.log for record in self.ledger.waiting.values()} - self.ledger.proven.keys()
        hold(self.world.forked or not waits, 4, f"a seal left records of {waits} behind")
        self.states[new] = None if self._lacks(found) else digest(self.ledger.state)
        self._finals()

    def _stand(self, changes: list[Change]) -> None:
        """Every seal that a node brought stands; those of the insider need not."""
        for change in changes:
            if change.path.startswith("ledger/epochs/"):
                old = set((change.old or b"").split(b"\n"))
                for line in (change.new or b"").split(b"\n")[:-1]:
                    if line not in old and f'"node":"{INSIDER}-'.encode() not in line:
                        stands = line_id(line) in self.judge.shadows
                        self.laws.hold(stands, 2, f"a node published a seal that does not stand: {line[:200]!r}")

    def _of_a_proof(self, finding: Finding) -> bool:
        """The two halves of a proof may lie in the tree without what comes before them."""
        parsed = parse_path(finding.file)
        return finding.law == "CHAIN" and parsed is not None and parsed[0] in self.ledger.proven

    def _lacks(self, found: list[Change | Flaw]) -> bool:
        """Whether the tree lacks lines that those who saw it before remember."""
        return bool(self.ledger.mends) or any(isinstance(item, Flaw) for item in found)

    def _read(self, changes: list[Change], new: Oid) -> Reading:
        self.trunk = new
        with self.judge.watching():
            reading = self.ledger.read(changes)
            if reading.deeper is not None:  # what came may change what lies beneath what was kept
                since = self.ledger.state.seal
                self.ledger = self.ledger.beneath(kinds.new_state())
                reading = self.ledger.read(self._tree(new), since=since)
        self._take(reading)
        return reading

    def _tree(self, tip: Oid) -> list[Change]:
        return [item for item in self.store.changes(None, tip) if isinstance(item, Change)]

    def read_from_the_beginning(self, new: Oid) -> None:
        """A tree of which nothing is known yet, or that lost what was known."""
        self.store.fetch({"mesh": new})
        self.ledger, self.trunk, self.verdicts, self.final = Ledger(), new, {}, NOTHING
        self._stood, self._seen, self.outcomes = set(), {}, {}
        with self.judge.watching():
            reading = self.ledger.read(self._tree(new))
        self.history.add(new)
        self._take(reading)
        self.states[new] = None if self.ledger.mends else digest(self.ledger.state)
        self._finals()

    def _take(self, reading: Reading) -> None:
        """What is on the chosen spine now, and what stood anywhere."""
        for turned in [id_ for seal in reading.left for id_ in self.judge.shadows[seal.id].turned]:
            self.verdicts[turned] = Verdict("held", "REVIEW-1")  # unless it is taken in by one of these, too
        for seal in reading.left:
            for record in self.judge.shadows[seal.id].taken:
                self.verdicts.pop(record.id, None)
        for record, _, verdict, _ in reading.judged:
            self.verdicts[record.id] = verdict
        for seal_id in (reading.known | {seal.id for seal in reading.seals}) - self._stood:
            if seal_id in self.judge.shadows and seal_id != NOTHING:
                self._stood.add(seal_id)
                for record in self.judge.shadows[seal_id].taken:
                    self._seen.setdefault(record.log, {}).setdefault(record.seq, set()).add(record.seen_seal)

    def _canonical(self, change: Change) -> None:
        old = change.old or b""
        new = change.new or b""
        lines = new[len(old) :].split(b"\n") if new.startswith(old) else new.split(b"\n")
        self.laws.hold(lines.pop() == b"", 2, f"{change.path} ends in a torn line")
        for line in lines:
            self.laws.hold(canonical(orjson.loads(line)) == line, 2, f"{change.path}: {line[:80]!r} is not canonical")

    def pushed(self, new: Oid, pushed: Pushed) -> None:
        """11: what a node is told of a push is so. (Lost after an unknown is about the second push alone.)"""
        if new not in self.unsure:
            self.outcomes[new] = pushed.outcome
            there = new in self.history
            right = there == (pushed.outcome is Outcome.COMMITTED)
            self.laws.hold(right, 11, f"{new[:7]}: {pushed.outcome}, there: {there}")

    # What is final (law FORK), counted from the records alone.

    def _finals(self) -> None:
        """23: what is final stays on the chosen spine; then see what has become final meanwhile."""
        tip, judge = self.ledger.state.seal, self.judge
        stays = judge.is_at_or_beneath(tip, self.final)
        self.laws.hold(stays, 23, f"seal {self.final[:12]} was final, and the spine went another way")
        new: list[str] = []
        for seal in judge.back(tip):
            if seal == self.final:
                break
            new.append(seal)
        for seal in reversed(new):
            if not self._has_majority(seal):
                return
            self.final = seal

    def _has_majority(self, seal: str) -> bool:
        past = self.judge.shadows[self.judge.shadows[seal].parent]
        voters = past.voters
        behind = sum(1 for log in voters if self._votes_for(log, seal, past.heads.get(log, (0, ""))[0]))
        return 2 * behind > len(voters)

    def _votes_for(self, log: str, seal: str, head: int) -> bool:
        """Whether a log's first record behind the parent that saw one of its children stood behind this one."""
        if log.startswith(f"{INSIDER}-") or log.rpartition("-")[0] in self.world.checks.copied:
            return False  # its vote may turn out to be none (CHAIN)
        parent = self.judge.shadows[seal].parent
        seen, seq = self._seen.get(log, {}), head + 1
        while seq in seen:
            for saw in seen[seq]:
                if saw in self._stood and saw != parent and self.judge.is_at_or_beneath(saw, parent):
                    return self.judge.is_at_or_beneath(saw, seal)
            seq += 1
        return False

    # At the end.

    def read_anew(self, turn: int) -> None:
        """6, 10: a stranger who reads the trunk from genesis, in another order, finds what was found step by step."""
        assert self.trunk is not None
        stranger = Ledger(self.ledger.id)
        found = list(self.store.changes(None, self.trunk))
        self.laws.hold(all(isinstance(item, Change) for item in found), 6, f"the tree is flawed: {found[:1]}")
        changes = sorted((item for item in found if isinstance(item, Change)), key=lambda c: _shuffled(c, turn))
        reading = stranger.read(changes)
        self.laws.hold(not stranger.mends, 6, f"the tree is damaged: {reading.findings[:1]}")
        same = digest(stranger.state) == digest(self.ledger.state)
        self.laws.hold(same, 6, "a stranger finds another state")
        there = {record.id: verdict for record, _, verdict, _ in reading.judged}
        self.laws.hold(there == self.verdicts, 10, "a stranger finds other records or verdicts")

    def sound_lines(self) -> frozenset[str]:
        """The ids of the seals that stood here, and of what they took in."""
        return frozenset(self._stood | {r.id for seal in self._stood for r in self.judge.shadows[seal].taken})

    def standing_at(self, tip: Oid | None) -> frozenset[str]:
        """The ids of the seals that stand by what one tree holds, whatever is remembered."""
        reading = Ledger(self.ledger.id).read(self._tree(tip) if tip else ())
        return reading.known | {seal.id for seal in reading.seals}

    def lines(self) -> set[str]:
        """The ids of all lines in the tree, on whatever side they are."""
        assert self.trunk is not None
        return {
            hashlib.sha256(line).hexdigest()
            for item in self.store.changes(None, self.trunk)
            if isinstance(item, Change)
            for line in (item.new or b"").split(b"\n")
        }


def _shuffled(change: Change, turn: int) -> bytes:
    return hashlib.sha256(f"{turn} {change.path}".encode()).digest()


def digest(state: State) -> bytes:
    """A hash of all that is in a state."""
    return hashlib.sha256(fold.snapshot(state)).digest()
