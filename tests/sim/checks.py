"""What must be true of nodes and callers after every step. The hub's side is `view`.

Knows: what every node signed, pushed, read and told; what each copied node may not be blamed for.
Knows not: any rule.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from orxaq_mesh.effects import Answer, Input, Looked, Publish
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.schema import read_record, read_seal
from tests.sim.view import View, digest

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World


class Told(NamedTuple):
    """An answer that somebody acts on by now."""

    intent: str
    answer: Answer


class Checks:
    """All that is known of one run's nodes from outside.

    Attributes:
        copied: the nodes of whose journal there were two; they may equivocate, and find their own log ahead of them.
    """

    def __init__(self, world: World) -> None:
        self.world, self.laws = world, world.laws
        self.signed: dict[tuple[str, int], str] = {}
        self.sealed: dict[tuple[str, str], str] = {}
        self.journals: dict[str, set[str]] = {}
        self.told: dict[str, Told] = {}
        self.copied: set[str] = set()

    # What a node writes and pushes.

    def journalled(self, node: SimNode, entries: Iterable[Mapping[str, Any]]) -> None:
        """5: a seq is signed once, and a parent sealed once."""
        ids = self.journals.setdefault(node.name, set())
        for entry in entries:
            if entry["is"] == "record":
                record = read_record(entry["line"].encode())
                ids.add(record.id)
                self.world.history.signed(record)
                old = self.signed.setdefault((record.log, record.seq), record.id)
                self._once(old == record.id, record.log, f"seq {record.seq} of {record.log} was signed twice")
            elif entry["is"] == "seal":
                seal = read_seal(entry["line"].encode())
                ids.add(seal.id)
                old = self.sealed.setdefault((seal.log, seal.parent), seal.id)
                self._once(old == seal.id, seal.log, f"{seal.log} sealed {seal.parent[:12]} twice")

    def _once(self, true: bool, log: str, what: str) -> None:
        if log.rpartition("-")[0] not in self.copied:
            self.laws.hold(true, 5, what)

    def publishes(self, node: SimNode, publish: Publish) -> None:
        """What leaves the machine is in the journal, and nothing leaves one that found its ledger broken."""
        own = {record.id for record in publish.records if record.log == node.log}
        if publish.seal is not None:  # a proof against this very key needs not be of its making
            own = own - {id_ for pair in publish.seal.proofs.values() for id_ in pair} | {publish.seal.id}
        missing = own - self.journals.get(node.name, set())
        self.laws.hold(not missing, "journal", f"{node.name} pushes {len(missing)} lines that its journal lacks")
        self.laws.hold(node.engine.broken is None, "closed", f"{node.name} pushes, though {node.engine.broken}")

    # What a node reads.

    def stepped(self, node: SimNode, given: Input) -> None:
        """6, 14, 22: who has read the same tip has the same state, however it came there, and never goes back."""
        engine, state = node.engine, node.engine.ledger.state
        known = None if engine.ledger.mends else self._state_at(engine.trunk)
        if engine.trunk != node.checked_trunk and known is not None:
            node.checked_trunk = engine.trunk
            same = digest(state) == known
            self.laws.hold(same, 6, f"{node.name} has another state of {str(engine.trunk)[:7]} than the ledger")
            if node.from_snapshot:
                self.laws.hold(same, 22, f"{node.name}'s snapshot led to another state")
        read = engine.seen[0] if self.world.forked else state.epoch
        self.laws.hold(read >= node.read_epoch, 14, f"{node.name} went from epoch {node.read_epoch} to {read}")
        node.read_epoch = min(read, state.epoch)
        self._alarms(node, given)

    def _alarms(self, node: SimNode, given: Input) -> None:
        """A trunk that lacks what its reader has seen is an alarm (law SEEN), and nothing else is (law CLOSED)."""
        broken = node.engine.broken
        reads_on = any(isinstance(other, Looked) for other in node.inner)
        if isinstance(given, Looked) and not reads_on and node.shown_less and node.shown_other:
            self.laws.hold(broken, "seen", f"{node.name} reads a trunk that lacks what it has seen, without alarm")
        if broken is not None:
            parted = node.shown_other and self.world.forked
            cause = node.shown_less or parted or node.alarmed or not node.honest() or self._fell(node)
            self.laws.hold(cause, "closed", f"{node.name} raised an alarm: {broken}")
        node.alarmed = broken is not None

    def _fell(self, node: SimNode) -> bool:
        """Whether the newest seal that a node has seen stands no longer by what a damaged tree holds."""
        return self.world.forked and node.engine.seen[1] not in node.view.standing_at(node.shown)

    def _state_at(self, trunk: str | None) -> bytes | None:
        """The hash of the state at a tip, if there was nothing wrong with the tree."""
        for hub in self.world.hubs.values():
            if trunk in hub.view.states:
                return hub.view.states[trunk]
        return None

    # What callers believe and are told.

    def believers(self, nodes: Iterable[SimNode]) -> None:
        """Two sessions never both believe that they hold one lease (law TIME)."""
        believing: dict[str, str] = {}
        for node in nodes:
            if not node.honest():
                continue
            for lease, session in self.world.callers.holding(node.name):
                until_ms = node.engine.believed_until_ms(lease, session)
                if until_ms is None or until_ms <= node.clock.now_ms():
                    continue
                if (lease, leases(node.engine.ledger.state).by_name[lease].token) in self.world.judge.overruled:
                    continue
                who = f"{node.name}/{session}"
                other = believing.setdefault(lease, who)
                self.laws.hold(other == who, "belief", f"{who} and {other} believe in {lease}")

    def answered(self, node: SimNode, intent: str, answer: Answer, session: str) -> None:
        """10, 12: what a caller is told is what the ledger says."""
        if answer.record is None or answer.error is not None or answer.verdict == "held":
            return  # what is held may lie in its outbox only, and is judged another time
        if "withdrawn" not in answer.facts and answer.result not in ("waits", "withdrawn"):
            self.told[f"{node.name} {intent}"] = Told(intent, answer)
            self._stands(intent, answer)
        if answer.result == "granted":
            grant = (answer.facts["lease"], answer.facts["token"], node.who, session)
            self.laws.hold(grant in self.world.judge.granted, "answer", f"{grant} was told, and never was")

    def _stands(self, intent: str, answer: Answer) -> None:
        verdicts = self.world.judge.ever.get(answer.record or "", set())
        self.laws.hold(verdicts, 10, f"{intent} was told {answer.verdict}, its record is not in the ledger")
        waited = answer.rule in ("LEASE-5", "ONCE")
        right = waited or any(verdict[:2] == (answer.verdict, answer.rule) for verdict in verdicts)
        self.laws.hold(right, "answer", f"{intent} was told {answer[:3]}, not {sorted(verdicts)}")

    def all_told(self, view: View) -> int:
        """10: at the end, what was reported as sealed is in the tree; the number of those answers."""
        lines = view.lines()
        for intent, answer in self.told.values():
            self._stands(intent, answer)
            self.laws.hold(answer.record in lines, 10, f"{intent} was told {answer.verdict}, its record is lost")
            flipped = view.verdicts.get(str(answer.record), answer.verdict)[0] != answer.verdict
            self.laws.hold(self.world.forked or not flipped, 10, f"the verdict on {intent} was {answer.verdict}")
        return len(self.told)
