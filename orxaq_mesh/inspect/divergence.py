"""What forked, which way the fleet went, and what that changed for whom (law FORK).

Knows: every fork on the spine's way, who stood behind which side, the verdicts that are others now; which seals do not
stand, whose `seen` nobody can show, whose key signed two histories.
Knows not: printing; how a fork is decided (`voting`), what is sound (`ledger`).

    found = divergence(mesh)
    found.forks[0].sides, found.forks[0].rule
    found.changed                     # what was `applied` on a side that was left, and is refused now
"""

from __future__ import annotations

from typing import Any, NamedTuple

from orxaq_mesh.inspect.reading import History, Node, history
from orxaq_mesh.kinds import Verdict
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Record, Seal
from orxaq_mesh.spine import Spine
from orxaq_mesh.voting import Election

MAX_NOTES = 100
"""So many records whose `seen` nobody can show are told: whoever lies in each of them is told often enough."""


class Side(NamedTuple):
    """One side of a fork: the child of the common seal, and all that stands beneath it.

    Attributes:
        chosen: whether the fleet went on from it.
        first, last: (epoch, id) of its first seal, and of its seal of the highest epoch.
        epochs, records: how many seals and how many sealed records it has.
        sealed_by: names of who sealed there.
        votes: (node, record) of those whose first vote it has.
    """

    chosen: bool
    first: tuple[int, str]
    last: tuple[int, str]
    epochs: int
    records: int
    sealed_by: list[str]
    votes: list[tuple[str, str]]


class Fork(NamedTuple):
    """Where the spine forked. `rule` says what decided; `settled`: no vote that is missing can change it."""

    epoch: int
    seal: str
    sides: list[Side]
    absent: list[str]
    rule: str
    settled: bool
    final: bool


class Changed(NamedTuple):
    """A record that was judged on a side that was left. `now` is None while it waits for the next seal."""

    record: str
    node: str
    seq: int
    kind: str
    lease: str | None
    epoch: int
    before: Verdict
    now_epoch: int | None
    now: Verdict | None


class Divergence(NamedTuple):
    """The whole report.

    Attributes:
        forks: oldest first.
        changed: what has another verdict now, or none yet; by epoch.
        unchanged: how many records of sides that were left have the same verdict here.
        held: (epoch, id, node, why) of seals that do not stand.
        notes: (node, record, epoch, seal) of records that name a seal as seen which nobody can show (law SEEN).
        suspended: (log, seq, the two records' ids) of keys that signed two histories (law CHAIN).
        final: the epoch of the newest final seal.
    """

    forks: list[Fork]
    changed: list[Changed]
    unchanged: int
    held: list[tuple[int, str, str, str]]
    notes: list[tuple[str, str, int, str]]
    suspended: list[tuple[str, int, tuple[str, str]]]
    final: int


def divergence(mesh: Node) -> Divergence:
    """The report over the whole ledger, as this node read it last.

    Raises:
        MeshError: no node lives here, or there is no ledger to read.
    """
    past = history(mesh)
    spine = past.ledger.spine
    changed, unchanged = _changes(past)
    held = sorted((spine.seals[id_].epoch, id_, spine.seals[id_].log, str(why)) for id_, why in spine.held.items())
    suspended = [(log, one.seq, (one.id, other.id)) for log, (one, other) in sorted(past.ledger.proven.items())]
    forks = [_fork(past, election) for election in spine.elections]
    return Divergence(forks, changed, unchanged, held, _notes(past), suspended, past.final)


def _name(past: History, log: str) -> str:
    """The name of a log's node; the log itself where several keys bore that name, or nobody knows it."""
    known = members(past.state).by_log
    if log not in known:
        return log
    name = known[log].name
    return name if sum(member.name == name for member in known.values()) == 1 else log


def _fork(past: History, election: Election) -> Fork:
    spine = past.ledger.spine
    epoch = spine.stood[election.parent].seal.epoch if election.parent in spine.stood else 0
    sides = [_side(past, election, seal) for seal in election.sides]
    sides.sort(key=lambda side: (not side.chosen, side.first))
    chosen = next(side for side in sides if side.chosen)
    absent = [_name(past, log) for log in election.absent]
    return Fork(epoch, election.parent, sides, absent, election.rule, election.settled, chosen.first[0] <= past.final)


def _side(past: History, election: Election, seal: Seal) -> Side:
    spine = past.ledger.spine
    beneath = [spine.stood[id_] for id_ in spine.beneath(seal.id)]
    last = max((stood.seal for stood in beneath), key=lambda found: (found.epoch, found.id))
    names = sorted({_name(past, stood.seal.log) for stood in beneath})
    votes = [(_name(past, vote.log), vote.record.id) for vote in election.votes if vote.side == seal.id]
    count = sum(len(stood.judged) for stood in beneath)
    first = (seal.epoch, seal.id)
    return Side(seal.id == election.chosen, first, (last.epoch, last.id), len(beneath), count, names, votes)


def _changes(past: History) -> tuple[list[Changed], int]:
    """What the sides that were left had judged, against what is so now."""
    spine = past.ledger.spine
    now = {item.record.id: item for item in past.judged}
    before = {item.record.id: item for stood in _left(spine) for item in stood.judged}
    changed = []
    for item in before.values():
        here = now.get(item.record.id)
        if here is None or here.verdict != item.verdict:
            record = item.record
            lease = record.body.get("lease") or (record.body.get("under") or {}).get("lease")
            told = (record.id, _name(past, record.log), record.seq, record.kind, lease, item.epoch, item.verdict)
            changed.append(Changed(*told, here.epoch if here else None, here.verdict if here else None))
    changed.sort(key=lambda change: (change.epoch, change.node, change.seq))
    return changed, len(before) - len(changed)


def _left(spine: Spine) -> list[Any]:
    """The seals that stand and that the fleet did not go on from, older ones first."""
    on_way = {stood.seal.id for stood in spine.chain}
    left = [stood for id_, stood in spine.stood.items() if id_ not in on_way]
    return sorted(left, key=lambda stood: (stood.seal.epoch, stood.seal.id))


def _notes(past: History) -> list[tuple[str, str, int, str]]:
    """SEEN: a note against whoever names a seal that is not in the ledger; no alarm."""
    spine = past.ledger.spine

    def unseen(record: Record) -> bool:
        return bool(record.seen_epoch) and record.seen_seal not in spine.seals

    found = sorted((r for r in spine.records.values() if unseen(r)), key=lambda r: (r.log, r.seq))
    return [(_name(past, r.log), r.id, r.seen_epoch, r.seen_seal) for r in found[:MAX_NOTES]]
