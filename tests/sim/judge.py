"""Every epoch of every side, judged again record by record; what was true along a spine is kept by its seal.

Knows: each verdict at the moment it is made, what each lease and key was just before and just after, who could vote.
Knows not: hubs and trees (`view`), nodes and callers (`checks`).

A seal names its parent, so whatever is true up to a seal is true wherever that seal is met: on two hubs, or when a
spine is left for another one and taken up again (law PREFIX).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import orjson

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import Moment, State, Verdict, review
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.kinds.work import is_work
from orxaq_mesh.record import NOTHING, Record, Value
from tests.sim.history import History
from tests.sim.labour import Labour, pieces
from tests.sim.law import Laws

Holding = tuple[str, str, int]
NOBODY: Holding = ("", "", 0)
INSIDER = "ivy"
_OVER_ITS_HEAD = ("lease.break", "node.revoke", "node.admit", "dag.cancel")


class Shadow(NamedTuple):
    """What is remembered of a spine up to a seal.

    Attributes:
        parent, depth: the seal before it, and how many there are.
        voters: the logs that have a vote where the spine forks behind it (law FORK).
        holdings: lease -> who holds it in which session, and the highest token it ever had.
        revoked: the logs whose key was revoked or suspended.
        once: (node, idempotency key) of every effective record that has one.
        heads: log -> (seq, id) of its newest sealed record.
        taken: the records that this seal took in.
        waits, approved: held record -> the approvals that it needs; (record, node) of every approval.
        turned: the records that were held before and had their turn under this seal.
    """

    parent: str
    depth: int
    voters: frozenset[str]
    holdings: dict[str, Holding]
    revoked: frozenset[str]
    once: frozenset[tuple[str, str]]
    heads: dict[str, tuple[int, str]]
    taken: tuple[Record, ...]
    waits: dict[str, int]
    approved: frozenset[tuple[str, str]]
    turned: tuple[str, ...]


GENESIS = Shadow("", 0, frozenset(), {}, frozenset(), frozenset(), {}, (), {}, frozenset(), ())


class Judge:
    """See the module's banner.

    Attributes:
        shadows: seal -> what is remembered up to it.
        judged: (record, seal) -> its verdict there; `ever`: record -> every verdict that it had on some side.
        grants: (lease, token, seal) -> its one holder; `granted`: the same without seals.
        overruled: (lease, token) that was ended over its holder's head, who may believe in it for a ttl more (law TIME).
        under, held: how many records that act under a lease took effect, and how many were held.
    """

    def __init__(self, laws: Laws, note: Callable[[str], None], history: History, labour: Labour) -> None:
        self.laws, self.note, self.history, self.labour = laws, note, history, labour
        self.shadows: dict[str, Shadow] = {NOTHING: GENESIS}
        self.judged: dict[tuple[str, str], Verdict] = {}
        self.ever: dict[str, set[Verdict]] = {}
        self.grants: dict[tuple[str, int, str], tuple[str, str]] = {}
        self.granted: set[tuple[str, int, str, str]] = set()
        self.overruled: set[tuple[str, int]] = set()
        self.under = self.held = 0
        self._seal = ""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Every record that is applied within passes by here."""
        real, turns = kinds.apply, kinds.judged_again

        def applied(state: State, record: Record, moment: Moment) -> Verdict:
            return self._applied(real, state, record, moment)

        def again(state: State, moment: Moment) -> Iterator[tuple[Record, Verdict]]:
            for record, verdict in turns(state, moment):
                if moment.seal != self._seal:
                    self._epoch_begins(state, moment)
                self._ends(record, moment, verdict)
                yield record, verdict

        kinds.apply, kinds.judged_again = applied, again
        try:
            yield
        finally:
            kinds.apply, kinds.judged_again = real, turns
            self._epoch_ends()

    def back(self, seal: str) -> Iterator[str]:
        """A seal and all before it, down to the first."""
        while seal != NOTHING:
            yield seal
            seal = self.shadows[seal].parent

    def is_at_or_beneath(self, seal: str, above: str) -> bool:
        """Whether a spine that reaches `seal` passed `above`."""
        depth = self.shadows[above].depth
        for passed in self.back(seal):
            if self.shadows[passed].depth <= depth:
                return passed == above
        return above == NOTHING

    # A record at a time.

    def _applied(self, real: Callable[..., Verdict], state: State, record: Record, moment: Moment) -> Verdict:
        if moment.seal != self._seal:
            self._epoch_begins(state, moment)
        self._passed(state)
        again = review.is_being_judged(state, record)
        if not again:
            self._follows(state, record)
        signer = members(state).by_log.get(record.log)
        name = signer.name if signer else ""
        idle = kinds.judge(state, record, moment)[1] is None
        needed, _ = review.needed(state, signer, record.kind, record.body) if record.flaw is None else (0, 0)
        before, work_before = deeds(state) if idle else b"", pieces(state)
        verdict = real(state, record, moment)
        self.labour.judged(work_before, state, record, moment, verdict)
        self.laws.hold(not idle or deeds(state) == before, 18, f"{record.kind} came to {verdict} and changed the state")
        self._is_reviewed(state, record, verdict, name, self._waits.get(record.id, 0) if again else needed)
        if not again:
            self._same(record, moment, verdict)
        if verdict.outcome == "applied":
            self.history.took_effect(record, verdict, name, moment.epoch)
            self._took_effect(record, verdict, name)
        if record.kind.startswith("node."):
            self._count_voters(state)
        self._passed(state, record)
        return verdict

    def _is_reviewed(self, state: State, record: Record, verdict: Verdict, name: str, needed: int) -> None:
        """Held: counted from the approvals alone."""
        if verdict.outcome == "held":
            self._waits[record.id] = review.reviews(state).held[record.id].approvals
            self.held += 1
        if record.kind == "review.approve" and verdict.outcome == "applied":
            self._approved |= {(id_, name) for id_ in record.body["records"]}
        others = {by for id_, by in self._approved if id_ == record.id and by != name}
        enough = len(others) >= needed or verdict.outcome != "applied"
        self.laws.hold(enough, "held", f"{record.kind} of {name} took effect with {others} for {needed}")

    def _ends(self, record: Record, moment: Moment, verdict: Verdict) -> None:
        """A held record has its turn, once."""
        self.laws.hold(self._waits.pop(record.id, 0), "held", f"{record.kind} has a turn, and is not held")
        self.laws.hold(verdict.outcome != "held", "held", f"{record.kind} is held twice")
        self._same(record, moment, verdict, "again")
        self._turned.append(record.id)

    def _same(self, record: Record, moment: Moment, verdict: Verdict, again: str = "") -> None:
        """23: under one seal a record has one verdict, whoever reads it when."""
        known = self.judged.get((record.id + again, moment.seal))
        if known is None:
            self.judged[record.id + again, moment.seal] = verdict
            self.ever.setdefault(record.id, set()).add(verdict)
            self.note(f"  epoch {moment.epoch}: {record.log} {record.seq} {record.kind}: {' '.join(verdict)}")
        self.laws.hold(known in (None, verdict), 23, f"{record.kind} under {moment.seal[:12]}: {known}, then {verdict}")

    def _epoch_begins(self, state: State, moment: Moment) -> None:
        self._epoch_ends()
        past = self.shadows[state.seal]
        self._seal, self._parent, self._revoked, self._once = moment.seal, state.seal, past.revoked, past.once
        self._holdings, self._heads, self._taken = dict(past.holdings), dict(past.heads), list[Record]()
        self._waits, self._approved, self._turned = dict(past.waits), past.approved, list[str]()
        suspended = {member.log for member in members(state).by_log.values() if member.standing == "suspended"}
        self._revoked |= suspended
        self._count_voters(state)
        self.labour.begins(state)

    def _count_voters(self, state: State) -> None:
        self._voters = frozenset(member.log for member in members(state).by_log.values() if member.may_vote())

    def _epoch_ends(self) -> None:
        if not self._seal:
            return
        parts = (self._voters, self._holdings, self._revoked, self._once, self._heads, tuple(self._taken))
        reviews = (self._waits, self._approved, tuple(self._turned))
        self.shadows[self._seal] = Shadow(self._parent, self.shadows[self._parent].depth + 1, *parts, *reviews)
        self._seal = ""

    def _follows(self, state: State, record: Record) -> None:
        """4: it is the next record of its log. A rotated key's log begins behind the rotation."""
        seq, last = self._heads.get(record.log, (0, NOTHING))
        member = members(state).by_log.get(record.log)
        begins = not seq and member is not None and record.prev == member.prev
        here = record.seq == seq + 1 and (record.prev == last or begins)
        self.laws.hold(here, 4, f"seq {record.seq} of {record.log} does not follow seq {seq}")
        self._heads[record.log] = (record.seq, record.id)
        self._taken.append(record)

    def _took_effect(self, record: Record, verdict: Verdict, name: str) -> None:
        body = record.body
        self.laws.hold(record.log not in self._revoked, 15, f"{record.kind} of {record.log} after its revocation")
        if verdict.result == "revoked":
            self._revoked |= {body["log"]}
        if "once" in body and name:
            key = (name, body["once"])
            self.laws.hold(key not in self._once, 12, f"two records of {name} with the key {body['once']}")
            self._once |= {key}
        if "reaction" in body and verdict.result != "noop":
            told = ("", body["reaction"])
            self.laws.hold(told not in self._once, 12, f"two follow-ups {body['reaction']}")
            self._once |= {told}
        acts = body.get("under") or (body if record.kind in ("lease.renew", "lease.release") else None)
        if acts is None or verdict.result == "withdrawn":
            return
        self.under += 1
        holder = self._holdings.get(acts["lease"], NOBODY)
        mine = (name, acts["session"], acts.get("token"))
        self.laws.hold(holder == mine, 9, f"{record.kind} of {mine} was applied while {acts['lease']} was {holder}'s")

    def _passed(self, state: State, by: Record | None = None) -> None:
        """7, 8: compare every lease with what it was before this record, or before this epoch began."""
        hold = self.laws.hold
        for name in [name for name, was in self._holdings.items() if was[0] and name not in leases(state).by_name]:
            self._ended(name, by)
        for lease in leases(state).by_name.values():
            name, now = lease.name, (lease.holder, lease.session, lease.token)
            was = self._holdings.get(name, NOBODY)
            if now == was:
                continue
            self._holdings[name] = now
            if was[0] and (by is None or by.kind in ("node.revoke", "node.admit")):
                self.history.lost_standing(was[0], [name])
            if was[0] and (by is None or by.kind in _OVER_ITS_HEAD or by.log.startswith(f"{INSIDER}-")):
                self.overruled.add((name, was[2]))
            hold(now[2] >= was[2], 7, f"the token of {name} went from {was[2]} to {now[2]}")
            if lease.holder:
                hold(now[2] > was[2], 7, f"{name} passed to {now[0]} without a new token: {now[2]}")
                self.granted.add((name, now[2], *now[:2]))
                known = self.grants.setdefault((name, now[2], lease.seal), now[:2])
                hold(known == now[:2], 8, f"token {now[2]} of {name} is {known}'s and {now[:2]}'s")

    def _ended(self, name: str, by: Record | None) -> None:
        """Work that was finished is nobody's lease any more; its tokens go on."""
        was = self._holdings[name]
        self._holdings[name] = ("", "", was[2])
        self.laws.hold(is_work(name), 7, f"the lease {name} is forgotten")
        if by is None or by.kind in _OVER_ITS_HEAD or by.log.startswith(f"{INSIDER}-"):
            self.overruled.add((name, was[2]))


def deeds(state: State) -> bytes:
    """All that is in a state, but what is noted of whoever wrote a record: the newest seal it had seen, and when.

    And but the approvals that came before their records: those of a record are forgotten with its verdict.
    """
    value: Value = fold.to_value(state)
    value["slices"]["review"].pop("given")
    value["slices"] = {**value["slices"], "node": [[*row[:6], *row[7:-1]] for row in value["slices"]["node"]]}
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
