"""What must be true after every step, whatever the schedule (the numbers are those of the project's invariants).

It reads the hub itself, epoch by epoch and record by record, and believes no engine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orxaq_mesh import fold, kinds
from orxaq_mesh.effects import Answer, Publish
from orxaq_mesh.kinds import Moment, State, Verdict
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record, Seal
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.standing import Find, Standing
from orxaq_mesh.store import Change, Oid, Outcome, Pushed
from orxaq_mesh.store.memory import MemoryStore

if TYPE_CHECKING:
    from tests.sim.fakes import SimHub
    from tests.sim.node import SimNode
    from tests.sim.world import World

Holding = tuple[str, str, int]


class Broke(AssertionError):
    """A law was broken."""


def hold(true: object, law: str, what: str) -> None:
    """Raise `Broke` unless it is true."""
    if not true:
        raise Broke(f"{law}: {what}")


class _Watched(Standing):
    """Shows each epoch to the checks before it is folded."""

    def __init__(self, checks: Checks, ledger_id: str) -> None:
        super().__init__(ledger_id)
        self.checks = checks

    def taken_by(self, state: State, seal: Seal, find: Find, over: Seal | None = None) -> dict[str, list[Record]]:
        taken = super().taken_by(state, seal, find, over)
        self.checks.epoch(state, seal, taken)
        return taken


class Checks:
    """All that is known of one run from outside."""

    def __init__(self, world: World, hub: SimHub, ledger_id: str) -> None:
        self.world, self.store = world, MemoryStore(hub)
        self.ledger = Ledger(ledger_id)
        self.ledger.spine.standing = _Watched(self, ledger_id)
        self.trunk: Oid | None = None
        self.snapshots: dict[Oid, bytes] = {}
        self.verdicts: dict[str, Verdict] = {}
        self.grants: dict[tuple[str, int], tuple[str, str]] = {}
        self.signed: dict[tuple[str, int], str] = {}
        self.sealed: dict[tuple[str, str], str] = {}
        self.journals: dict[str, set[str]] = {}
        self.outcomes: dict[Oid, Outcome] = {}
        self.history: set[Oid] = set()
        self.unsure: set[Oid] = set()
        self.told: dict[str, tuple[str, Answer]] = {}
        self.ever_broken: set[str] = set()

    # The hub.

    def trunk_moved(self, new: Oid) -> None:
        """1, 3, 7, 8, 9, 10, 11: the trunk has a new tip."""
        self.store.fetch({"mesh": new})
        hold(self.trunk is None or self.store.descends(new, self.trunk), "PUSH", "the trunk moved to no descendant")
        hold(self.outcomes.get(new) is not Outcome.LOST, "PUSH", f"{new[:7]} was told lost and is on the trunk")
        changes = [change for change in self.store.changes(self.trunk, new) if isinstance(change, Change)]
        self.trunk = new
        self.history.add(new)
        reading = self.ledger.read(changes)
        hold(not reading.findings, "SEAL", f"an honest node published {reading.findings[:1]}")
        hold(not self.ledger.waiting, "SEAL", "an honest seal leaves no record of its commit behind")
        for record, epoch, verdict in reading.judged:
            self.verdicts[record.id] = verdict
            self.world.note(f"  epoch {epoch}: {record.log} {record.seq} {record.kind}: {' '.join(verdict)}")
        self.snapshots[new] = fold.snapshot(self.ledger.state)
        for intent, answer in self.told.values():
            self._stands(intent, answer)

    def epoch(self, before: State, seal: Seal, taken: dict[str, list[Record]]) -> None:
        """7, 8, 9: judge one epoch again, a record at a time, and watch every lease."""
        state, moment = fold.copy(before), Moment(seal.epoch, seal.id)
        was = _holdings(state)
        for family in kinds.FAMILIES:
            family.open_epoch(state, moment)
        was = self._passed(was, state)
        for record in fold.in_order(seal.parent, taken):
            signer = members(state).by_log.get(record.log)
            verdict = kinds.apply(state, record, moment)
            if verdict.outcome == "applied":
                self._acted_under(record, signer.name if signer else "", was)
            was = self._passed(was, state)

    def _acted_under(self, record: Record, name: str, was: dict[str, Holding]) -> None:
        body = record.body
        acts = body.get("under") or (body if record.kind in ("lease.renew", "lease.release") else None)
        if acts is None or (record.kind == "lease.release" and "token" not in body):
            return
        holder = was.get(acts["lease"], ("", "", 0))
        mine = (name, acts["session"], acts.get("token"))
        hold(holder == mine, "FENCE", f"{record.kind} of {mine} was applied while {acts['lease']} was {holder}'s")

    def _passed(self, was: dict[str, Holding], state: State) -> dict[str, Holding]:
        now = _holdings(state)
        for name, (holder, session, token) in now.items():
            old = was.get(name, ("", "", 0))
            hold(token >= old[2], "EPOCH", f"the token of {name} went from {old[2]} to {token}")
            if holder and (holder, session, token) != old:
                hold(token > old[2], "FENCE", f"{name} passed to {holder} without a new token: {token}")
                hold((name, token) not in self.grants, "FENCE", f"token {token} of {name} was granted twice")
                self.grants[name, token] = (holder, session)
        return now

    def pushed(self, branch: str, new: Oid, pushed: Pushed) -> None:
        """11: what a node is told of a push is so. (Lost after an unknown is about the second push alone.)"""
        if branch == "mesh" and new not in self.unsure:
            self.outcomes[new] = pushed.outcome
            there = new in self.history
            hold(there == (pushed.outcome is Outcome.COMMITTED), "PUSH", f"{new[:7]}: {pushed.outcome}, there: {there}")

    # The nodes.

    def journalled(self, name: str, entries: Iterable[dict[str, Any]]) -> None:
        """5: a seq is signed once, and a parent sealed once."""
        for entry in entries:
            if entry["is"] == "record":
                record = read_record(entry["line"].encode())
                self.journals.setdefault(name, set()).add(record.id)
                old = self.signed.setdefault((record.log, record.seq), record.id)
                hold(old == record.id, "CHAIN", f"seq {record.seq} of {record.log} was signed twice")
            elif entry["is"] == "seal":
                seal = read_seal(entry["line"].encode())
                self.journals.setdefault(name, set()).add(seal.id)
                old = self.sealed.setdefault((seal.log, seal.parent), seal.id)
                hold(old == seal.id, "SEAL", f"{seal.log} sealed {seal.parent[:12]} twice")

    def publishes(self, node: SimNode, publish: Publish) -> None:
        """PUSH: what leaves the machine is in the journal."""
        own = {record.id for record in publish.records if record.log == node.log}
        own |= {publish.seal.id} if publish.seal else set()
        missing = own - self.journals.get(node.name, set())
        hold(not missing, "PUSH", f"{node.name} pushes {len(missing)} lines that its journal lacks")

    def stepped(self, node: SimNode) -> None:
        """6, 14: who has read the same tip has the same state."""
        engine = node.engine
        if engine.trunk != node.checked_trunk and engine.trunk is not None:
            node.checked_trunk = engine.trunk
            same = fold.snapshot(engine.ledger.state) == self.snapshots[engine.trunk]
            hold(same, "SET", f"{node.name} has another state of {engine.trunk[:7]} than the ledger")
        hold(engine.broken is None, "SEEN", f"{node.name} raised an alarm: {engine.broken}")

    def believers(self, nodes: Iterable[SimNode]) -> None:
        """TIME: two sessions never both believe that they hold one lease."""
        believing: dict[str, str] = {}
        for node in nodes:
            for lease, session in node.held_sessions():
                until_ms = node.engine.believed_until_ms(lease, session)
                if until_ms is None or until_ms <= node.clock.now_ms() or lease in self.ever_broken:
                    continue
                other = believing.setdefault(lease, f"{node.name}/{session}")
                hold(other == f"{node.name}/{session}", "TIME", f"{node.name}/{session} and {other} believe in {lease}")

    def answered(self, node: SimNode, intent: str, answer: Answer, key: str | None) -> None:
        """10, 12: what a caller is told is what the ledger says."""
        if answer.record is None or answer.error is not None:
            return
        if "withdrawn" not in answer.facts and answer.result not in ("waits", "withdrawn"):
            self.told[f"{node.name}/{intent}"] = intent, answer
            self._stands(intent, answer)
        token = answer.facts.get("token")
        if answer.result == "granted":
            holder = (node.name, key)
            hold(self.grants.get((answer.facts["lease"], token)) == holder, "FENCE", f"{holder} was told token {token}")

    def _stands(self, intent: str, answer: Answer) -> None:
        verdict = self.verdicts.get(answer.record or "")
        hold(verdict is not None, "PUSH", f"{intent} was told {answer.verdict}, and its record is not in the ledger")
        waited = answer.rule in ("LEASE-5", "ONCE")
        hold(waited or verdict[:2] == (answer.verdict, answer.rule), "FENCE", f"{intent}: {answer[:3]}, not {verdict}")


def _holdings(state: State) -> dict[str, Holding]:
    return {held.name: (held.holder, held.session, held.token) for held in leases(state).by_name.values()}
