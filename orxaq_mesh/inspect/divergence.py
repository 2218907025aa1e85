"""What forked, which way the fleet went, and what that changed for whom (law FORK).

Knows: every fork, who stood behind which side, the verdicts that are others now; which seals do not stand, whose `seen`
nobody can show, whose key signed two histories.
Knows not: printing; how a fork is decided (`voting`), what is sound (`ledger`).

    found = divergence(mesh)
    found.forks[0].sides, found.forks[0].rule
    found.changed                     # what was `applied` on a side that was left, and is refused now
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect.proof import pairs
from orxaq_mesh.inspect.reading import History, Node, history
from orxaq_mesh.kinds import Verdict
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Record, Seal
from orxaq_mesh.spine import Spine, Stood
from orxaq_mesh.voting import Election

MAX_NOTES = 100
"""So many records whose `seen` nobody can show are told: whoever lies in each of them is told often enough."""
WAITS = "waits"

Place = tuple[int, str]
"""(epoch, id) of a seal."""


class Side(NamedTuple):
    """One side of a fork: the child of the common seal, and all that stands beneath it.

    Attributes:
        chosen: whether the fleet went on from it.
        first, last: its first seal, and its seal of the highest epoch.
        epochs, records: how many seals and how many sealed records it has.
        sealed_by: names of who sealed there.
        votes: (node, record) of those whose first vote it has.
    """

    chosen: bool
    first: Place
    last: Place
    epochs: int
    records: int
    sealed_by: list[str]
    votes: list[tuple[str, str]]


class Unseen(NamedTuple):
    """A record that names as seen a seal which nobody can show."""

    node: str
    record: str
    epoch: int
    seal: str


class Fork(NamedTuple):
    """Where the spine forked.

    Attributes:
        absent: names of those who have a vote and have not cast it.
        silent: what keeps some of these from it: a record that names a seal which does not stand.
        rule: what decided.
        settled: whether no vote that is missing can change it.
        final: whether votes have settled it, and all before it.
    """

    epoch: int
    seal: str
    sides: list[Side]
    absent: list[str]
    silent: list[Unseen]
    rule: str
    settled: bool
    final: bool


class Changed(NamedTuple):
    """A record that was judged on a side that was left, and what has become of it.

    Attributes:
        lease: the lease that it is about, or acts under.
        epoch, before: where it was judged, and how.
        now_epoch, now: the same on the way that the fleet went; None where it has not been taken in there.
        open: why it has not: `waits` (for the next seal), or what keeps it out for good; "" where it has.
    """

    record: str
    node: str
    seq: int
    kind: str
    lease: str | None
    epoch: int
    before: Verdict
    now_epoch: int | None
    now: Verdict | None
    open: str


class Suspended(NamedTuple):
    """A key that signed two records for one seq. `since` is the epoch that suspended it; None: the next one does."""

    log: str
    seq: int
    records: tuple[str, str]
    since: int | None


class Divergence(NamedTuple):
    """The whole report.

    Attributes:
        forks: those on the way that the fleet went, oldest first.
        beside: (epoch, seal, first seals of the sides) of forks on sides that were left anyhow.
        changed: what has another verdict or token now, or none yet; by epoch.
        unchanged: how many records of sides that were left came to the same here.
        held: (epoch, id, log, why, what it lacks) of seals that do not stand.
        notes: records that name a seal as seen which nobody can show (law SEEN).
        suspended: keys that signed two histories (laws CHAIN, PREFIX).
        final: the epoch of the newest final seal.
    """

    forks: list[Fork]
    beside: list[tuple[int, str, list[Place]]]
    changed: list[Changed]
    unchanged: int
    held: list[tuple[int, str, str, str, str | None]]
    notes: list[Unseen]
    suspended: list[Suspended]
    final: int


def divergence(mesh: Node) -> Divergence:
    """The report over the whole ledger, as this node read it last.

    Raises:
        MeshError: no node lives here, or there is no ledger to read.
    """
    past = history(mesh)
    return told(past, pairs(mesh, past))


def told(past: History, proven: Mapping[str, tuple[Record, Record]]) -> Divergence:
    """The report over a history, and over the keys that are known to have signed two records for one seq."""
    spine = past.ledger.spine
    changed, unchanged = _changes(past)
    held = [(spine.seals[id_].epoch, id_, spine.seals[id_].log, str(why), why.lacks) for id_, why in spine.held.items()]
    forks = [_fork(past, election) for election in spine.elections]
    suspended = _suspended(past, proven)
    held.sort(key=lambda seal: seal[:2])
    return Divergence(forks, _beside(spine), changed, unchanged, held, _notes(past), suspended, past.final)


def _name(past: History, log: str) -> str:
    """The name of a log's node; the log itself where several keys bore that name, or nobody knows it."""
    known = members(past.state).by_log
    if log not in known:
        return log
    name = known[log].name
    return name if sum(member.name == name for member in known.values()) == 1 else log


# Forks.


def _fork(past: History, election: Election) -> Fork:
    epoch = _epoch(past.ledger.spine, election.parent)
    sides = [_side(past, election, seal) for seal in election.sides]
    sides.sort(key=lambda side: (not side.chosen, side.first))
    chosen = next(side for side in sides if side.chosen)
    absent = [_name(past, log) for log in election.absent]
    silent = [_unseen(past, record) for record in election.silent]
    final = chosen.first[0] <= past.final
    return Fork(epoch, election.parent, sides, absent, silent, election.rule, election.settled, final)


def _epoch(spine: Spine, id_: str) -> int:
    return spine.stood[id_].seal.epoch if id_ in spine.stood else 0


def _side(past: History, election: Election, seal: Seal) -> Side:
    spine = past.ledger.spine
    beneath = [spine.stood[id_] for id_ in spine.beneath(seal.id)]
    last = max((stood.seal for stood in beneath), key=lambda found: (found.epoch, found.id))
    names = sorted({_name(past, stood.seal.log) for stood in beneath})
    votes = [(_name(past, vote.log), vote.record.id) for vote in election.votes if vote.side == seal.id]
    count = sum(len(stood.judged) for stood in beneath)
    first = (seal.epoch, seal.id)
    return Side(seal.id == election.chosen, first, (last.epoch, last.id), len(beneath), count, names, votes)


def _beside(spine: Spine) -> list[tuple[int, str, list[Place]]]:
    """Forks that no vote is asked about: the way of the fleet does not come by."""
    voted = {election.parent for election in spine.elections}
    children: dict[str, list[Place]] = {}
    for stood in _left(spine):
        children.setdefault(stood.seal.parent, []).append((stood.seal.epoch, stood.seal.id))
    forks = [(_epoch(spine, id_), id_, sides) for id_, sides in children.items() if id_ not in voted and len(sides) > 1]
    return sorted(forks)


def _left(spine: Spine) -> list[Stood]:
    """The seals that stand and that the fleet did not go on from, older ones first."""
    on_way = {stood.seal.id for stood in spine.chain}
    left = [stood for id_, stood in spine.stood.items() if id_ not in on_way]
    return sorted(left, key=lambda stood: (stood.seal.epoch, stood.seal.id))


# What that changed.


def _changes(past: History) -> tuple[list[Changed], int]:
    """What the sides that were left had judged, against what is so now."""
    now = {item.record.id: item for item in past.judged}
    before = {item.record.id: item for stood in _left(past.ledger.spine) for item in stood.judged}
    waiting = _waiting(past)
    changed = [
        _changed(past, item, now.get(id_), waiting) for id_, item in before.items() if _differs(item, now.get(id_))
    ]
    changed.sort(key=lambda change: (change.epoch, change.node, change.seq))
    return changed, len(before) - len(changed)


def _differs(before: Judged, now: Judged | None) -> bool:
    """Whether another verdict was given; or the same, but with another token, which is the epoch's number."""
    if now is None or now.verdict != before.verdict:
        return True
    return before.verdict.result == "granted" and now.epoch != before.epoch


def _changed(past: History, before: Judged, now: Judged | None, waiting: set[str]) -> Changed:
    record = before.record
    why = "" if now else WAITS if record.id in waiting else _kept_out(past, record)
    about = (record.id, _name(past, record.log), record.seq, record.kind, _lease(record), before.epoch, before.verdict)
    return Changed(*about, now.epoch if now else None, now.verdict if now else None, why)


def _lease(record: Record) -> str | None:
    under = record.body.get("under")
    found = record.body.get("lease") or (under.get("lease") if isinstance(under, dict) else None)
    return str(found) if found else None


def _waiting(past: History) -> set[str]:
    """The records that the next seal may take in; and those of keys that only another side has let in so far."""
    known = members(past.state).by_log
    waiting = past.ledger.waiting.values()
    runs = (past.ledger.authentic(log) for log in {record.log for record in waiting})
    return {record.id for run in runs for record in run} | {r.id for r in waiting if r.log not in known}


def _kept_out(past: History, record: Record) -> str:
    """Why no seal will take a record in any more."""
    member = members(past.state).by_log.get(record.log)
    if record.seq <= past.state.heads.get(record.log, (0, ""))[0]:
        return f"its key signed another record for number {record.seq}, and that one was taken in"
    if member is not None and member.is_gone:
        return f"its key is {member.standing}"
    return "what it follows was not taken in"


# The rest.


def _suspended(past: History, proven: Mapping[str, tuple[Record, Record]]) -> list[Suspended]:
    since = {log: stood.seal.epoch for stood in past.ledger.spine.chain for log in stood.seal.proofs}
    found = sorted(proven.items())
    return [Suspended(log, one.seq, (one.id, other.id), since.get(log)) for log, (one, other) in found]


def _notes(past: History) -> list[Unseen]:
    """SEEN: a note against whoever names a seal that is not in the ledger; no alarm."""
    epochs = {id_: seal.epoch for id_, seal in past.ledger.spine.seals.items()}
    records = past.ledger.spine.records.values()
    unseen = (record for record in records if record.seen_epoch not in (0, epochs.get(record.seen_seal)))
    found = sorted(unseen, key=lambda record: (record.log, record.seq))
    return [_unseen(past, record) for record in found[:MAX_NOTES]]


def _unseen(past: History, record: Record) -> Unseen:
    return Unseen(_name(past, record.log), record.id, record.seen_epoch, record.seen_seal)
