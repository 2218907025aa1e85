"""What must be true of work, in the ledger and outside of it.

Knows: each piece of work before and after every record, on every side; what was run outside, under which token.
Knows not: the tables of the kinds: what is done is done, attempts and tokens grow, success has its receipts, and so on,
    are said here anew.

A piece of work is one from the submit of its DAG on: (the submit's id, its name).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from orxaq_mesh.choosing import ANY_WORK, STEAL_PAUSES
from orxaq_mesh.kinds import Moment, State, Verdict
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import may_write
from orxaq_mesh.kinds.reactor import reactors
from orxaq_mesh.kinds.work import Item, work
from orxaq_mesh.record import Record
from tests import histories
from tests.sim.fakes import PACE
from tests.sim.workers import steps

if TYPE_CHECKING:
    from tests.sim.law import Laws
    from tests.sim.world import World

Piece = tuple[str, str]
Pieces = dict[str, tuple[str, Item]]
DONE = ("succeeded", "noop", "skipped", "refused")
ROUNDS = 12
"""So many readings a claim may take that comes to nothing before it comes to something, in a calm fleet."""


def pieces(state: State) -> Pieces:
    """Name -> (the record of its DAG, the item)."""
    part = work(state)
    return {item.name: (part.dags[item.dag].record if item.dag else "", item) for item in part.items.values()}


class Labour:
    """See the module's banner.

    Attributes:
        claims: (name, token) -> the record of the DAG that it was claimed in.
        runs: (name, token) -> how often that was run outside.
        ends: (piece, token) -> how that claim ended inside, on any side.
        counts: runs outside, and why there was another one.
        longest_ms: the longest that an idle worker waited though there was work that it might do.
    """

    def __init__(self, laws: Laws, world: World) -> None:
        self.laws, self.world = laws, world
        self.claims: dict[tuple[str, int], str] = {}
        self.ends: dict[tuple[Piece, int], str] = {}
        self.runs: Counter[tuple[str, int]] = Counter()
        self.counts: Counter[str] = Counter()
        self.longest_ms = 0
        self._receipts: dict[tuple[Piece, int], dict[str, bool]] = {}
        self._idle: dict[tuple[str, str], int] = {}

    # In the ledger, a record at a time.

    def begins(self, state: State) -> None:
        """17: an epoch begins; what it begins with fits together. (Who was suspended runs nothing any more.)"""
        for name, (dag, item) in pieces(state).items():
            if item.state != "running" and (name, item.token) in self.claims:
                self.ends.setdefault(((dag, name), item.token), f"an epoch's beginning: {item.state}")
        self._fits(state, "an epoch's beginning")

    def judged(self, before: Pieces, state: State, record: Record, moment: Moment, verdict: Verdict) -> None:
        after = pieces(state)
        if verdict.outcome == "applied":
            self._notes(before, record)
        for name, (dag, item) in before.items():
            now = after.get(name)
            if now is None or now[0] != dag:
                ended = item.state not in ("ready", "running", "waiting") or not item.dag
                self.laws.hold(ended, 16, f"{name} is gone while it is {item.state}")
            elif now[1] is not item:
                self._stepped((dag, name), item, now[1], record, moment)
        if before != after or record.kind.startswith(("node.", "lease.")):
            self._fits(state, record.kind)

    def _notes(self, before: Pieces, record: Record) -> None:
        if record.kind == "task.receipt":
            name, token = record.body["under"]["lease"], record.body["under"]["token"]
            good = (record.body["outcome"], record.body["exit"]) == ("exited", 0)
            self._receipts.setdefault(((before[name][0], name), token), {})[record.body["step"]] = good

    def _stepped(self, piece: Piece, old: Item, new: Item, record: Record, moment: Moment) -> None:
        hold, name = self.laws.hold, piece[1]
        over = (*DONE, "failed", "cancelled") if not old.dag else DONE
        hold(old.state not in over, 16, f"{name} was {old.state}, and {record.kind} changed it to {new.state}")
        hold(new.token >= old.token and new.attempt >= old.attempt, 16, f"{name}: token or attempt fell")
        if new.state == "running" and (new.token, new.node) != (old.token, old.node):
            hold((new.attempt, new.token) == (old.attempt + 1, moment.epoch), 16, f"{name} is claimed as {new}")
            hold(record.kind.startswith("lease."), 16, f"{name} is claimed by a {record.kind}")
            self.claims[name, new.token] = piece[0]
        if old.state == "running" and (new.state, new.token) != ("running", old.token):
            self.ends[piece, old.token] = f"{record.kind}: {new.state}"
        if new.state in ("succeeded", "noop") and new.state != old.state:
            under = record.body.get("under", {})
            right = (under.get("lease"), under.get("token")) == (name, old.token) and old.state == "running"
            hold(right, 16, f"{name} is {new.state} by a {record.kind} under {under}")
        if new.state == "succeeded" and old.dag:
            filed = self._receipts.get((piece, old.token), {})
            missing = [step for step, _ in steps(old.order) if not filed.get(step)]
            hold(not missing, 16, f"{name} succeeded without receipts of {missing}")

    def _fits(self, state: State, after: str) -> None:
        """17: needs, frontier, claims, counts and limits fit each other."""
        try:
            histories.check(state)
            what = ""
        except AssertionError as error:
            what = f"after {after}: {error}"
        self.laws.hold(not what, 17, what)

    # Outside.

    def ran(self, lease: str, token: int) -> None:
        """A worker did something outside, under a claim that it was granted."""
        self.runs[lease, token] += 1

    def reckon(self) -> None:
        """At the end: what ran more than once outside did so for a reason, and counted once inside."""
        twice = [key for key, times in self.runs.items() if times > 1 and not self.world.checks.copied]
        self.laws.hold(not twice, "outside", f"run twice under one token: {twice}")
        by_piece: dict[Piece, list[int]] = {}
        for lease, token in sorted(self.runs):
            if (lease, token) in self.claims:
                by_piece.setdefault((self.claims[lease, token], lease), []).append(token)
        for piece, tokens in by_piece.items():
            self.counts["runs outside"] += len(tokens)
            for token in tokens[:-1]:
                why = self.ends.get((piece, token), "")
                right = why and not why.endswith((": succeeded", ": noop"))
                self.laws.hold(right, "outside", f"{piece[1]} ran again after token {token}: {why or 'no reason'}")
                lost = why.startswith("lease.take")
                self.laws.hold(not lost or not self._calm(), "outside", f"{piece[1]} was taken over without a cause")
                self.counts[f"ran again after {why}"] += 1

    def _calm(self) -> bool:
        """Whether nobody died, went away, or had any trouble."""
        return not self.world.counts

    # Nobody starves.

    def watch(self) -> None:
        """Starvation bound (`choosing`): of a calm fleet, no worker is idle for longer while it may claim something."""
        if self._calm():
            now = {key: self._idle.get(key, self.world.now_ms) for key in self._could()}
            self._idle = now
            for (who, name), since_ms in now.items():
                waited_ms = self.world.now_ms - since_ms
                self.longest_ms = max(self.longest_ms, waited_ms)
                bound_ms = (STEAL_PAUSES + len(self.world.nodes) + ROUNDS) * PACE.waiting_ms
                self.laws.hold(waited_ms <= bound_ms, "starve", f"{who} was idle for {waited_ms} ms, {name} was ready")

    def _could(self) -> list[tuple[str, str]]:
        """(worker, work) of who waits and what it may claim."""
        waits = [call.session for call in self.world.callers.waiting() if call.intent.wish.get("lease") == ANY_WORK]
        state = self.world.hub.view.ledger.state
        if not waits or work(state).breaker.since:
            return []
        free = [item for item in work(state).items.values() if item.state == "ready" and self._is_free(state, item)]
        return [
            (session.owner, item.name) for session in waits for item in free if self._may(state, session.node, item)
        ]

    def _is_free(self, state: State, item: Item) -> bool:
        dag = work(state).dags.get(item.dag)
        limit = dag.limits.get(item.capability, 99) if dag else 99
        return not item.failures and (dag is None or dag.running.get(item.capability, 0) < limit)

    def _may(self, state: State, node: str, item: Item) -> bool:
        if not may_write(state, node):
            return False
        if item.to or item.holder:
            return item.to == node or bool((held := leases(state).by_name.get(item.holder)) and held.holder == node)
        offer = work(state).offers.get(node)
        return not item.capability or bool(offer and item.capability in offer.capabilities)

    # What is left at the end.

    def open(self, state: State) -> list[str]:
        """What may still be done, and follow-ups that nobody wrote."""
        left = [item.name for item in work(state).items.values() if item.state in ("ready", "running", "waiting")]
        return [*left, *(f"{due.kind} {id_}" for id_, due in reactors(state).due.items())]
