"""Choosing: which work a node that is idle does next.

Knows: since when each piece of work has been ready, as this node saw it; whose turn it is; who has gone silent.
Knows not: claims' records (`engine`), what the work is.
Laws: TIME (a pause before another attempt, a silence: both counted on one's own boot-time clock).

Own turns go first, in the frontier's order. What is another's turn is stolen when it was left lying for a while, from
whoever has most of it lying; work whose runner went silent for its ttl is taken over. So work that somebody may do
waits at most until its owner or, STEAL_PAUSES readings later and one more for each node whose turn comes before its own,
any idle node that offers it has done what is ahead of it in the frontier; and what was ready 72 epochs earlier is ahead of everything (`work.Item.rank`).

    choosing.next(state, {"authors": ["oak"], ...}, pending, watch, now_ms, pause_ms)     # Choice("lease.acquire", {...})
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from orxaq_mesh.kinds import Moment, State, work
from orxaq_mesh.kinds.lease import MAX_TTL_MS, Lease, leases
from orxaq_mesh.record import Record, Value
from orxaq_mesh.silence import Watch

ANY_WORK = "*"
"""As a lease's name in a wish: whatever is to be done."""

HORIZON = 512
"""So much of what it may do is looked at."""

STEAL_PAUSES = 3
"""Others' work is left to them for so many pauses between two readings."""


class Choice(NamedTuple):
    """A record to ask for, and what its body says besides session and ttl."""

    kind: str
    wish: Value


class Choosing:
    """See the module's banner. `seen`: (name, since) of what is ready -> when it was seen first."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: dict[tuple[str, int], int] = {}
        self._turns: dict[str, list[str]] = {}
        self._offers: object = None
        self._skipped: tuple[str, set[str]] = ("", set())

    def next(
        self, state: State, wish: Value, pending: Sequence[Record], watch: Watch, now_ms: int, pause_ms: int
    ) -> Choice | None:
        """What to claim now; None: nothing yet.

        Args:
            wish: `authors` whose work is done (["*"]: anybody's), `commands` whose names are known here, `session`.
            pause_ms: the time between two readings of the hub.
        """
        asked = {record.body.get("lease") for record in pending if record.kind.startswith("lease.")}
        asked |= self._skipped[1] if self._skipped[0] == state.seal else set()
        fit = [item for item in self._ready(state, wish, now_ms) if item.name not in asked]
        mine = [item for item in fit if self._owner(state, item) == self.name]
        for item in (*mine, *self._others(state, fit, now_ms, pause_ms)):
            rested = now_ms - self.seen[item.name, item.since]
            extra = {"watched_ms": rested} if item.failures else {}
            if not work.refusal(state, item.name, self.name, Moment(state.epoch + 1), extra):
                return Choice("lease.acquire", {**_named(state, item), **extra})
        return next(self._silent(state, wish, asked, watch), None)

    def skip(self, name: str, seal: str) -> None:
        """A rule says no to this claim, as long as nothing changes."""
        self._skipped = (seal, {name, *(self._skipped[1] if self._skipped[0] == seal else ())})

    def _ready(self, state: State, wish: Value, now_ms: int) -> list[work.Item]:
        """What this node may do of the frontier, from its head; when each was seen first is noted."""
        part = work.work(state)
        items = (part.items.get(name) for _, name in part.ready)
        may = (item for item in items if item is not None and self.may(state, item, wish))
        ready = list(islice(may, HORIZON))
        before, self.seen = self.seen, {}
        for item in ready:
            key = (item.name, item.since)
            self.seen[key] = before.get(key, now_ms)
        return ready

    def may(self, state: State, item: work.Item, wish: Value) -> bool:
        """Whether this node does it: by the ledger's rules, and by its own choice."""
        if not work.may_do(state, item, self.name):
            return False
        authors: Collection[str] = wish["authors"]
        trusted = "*" in authors or all(name in authors for name in work.authors(state, item))
        return trusted and (not item.name.startswith(work.COMMAND) or self._knows(item, wish))

    def _knows(self, item: work.Item, wish: Value) -> bool:
        """What is for this node alone it answers in any case: that it does not know the command is an answer, too."""
        return item.order["name"] in wish["commands"] or item.to == self.name

    def _owner(self, state: State, item: work.Item) -> str:
        return next(iter(self._whose(state, item)), "")

    def _whose(self, state: State, item: work.Item) -> list[str]:
        """`work.turns`, remembered while the offers stay as they are."""
        offers = work.work(state).offers
        if self._offers != offers:
            self._offers, self._turns = dict(offers), {}
        if item.to or item.holder:
            return work.turns(state, item)
        if item.name not in self._turns:
            self._turns[item.name] = work.turns(state, item)
        return self._turns[item.name]

    def _place(self, state: State, item: work.Item) -> int:
        """How many have their turn before this node; at least the owner."""
        whose = self._whose(state, item)
        return max(1, whose.index(self.name) if self.name in whose else len(whose))

    def _others(self, state: State, fit: list[work.Item], now_ms: int, pause_ms: int) -> list[work.Item]:
        """What others have left lying: first of who has most of it. Each thief comes at its own time, to its own piece."""
        lying: list[tuple[int, work.Item]] = []
        for item in fit:
            place = self._place(state, item)
            if now_ms - self.seen[item.name, item.since] >= (STEAL_PAUSES + place - 1) * pause_ms:
                lying.append((place, item))
        queues = Counter(self._owner(state, item) for _, item in lying)
        lying.sort(key=lambda found: (-queues[self._owner(state, found[1])], found[0], found[1].rank))
        return [item for _, item in lying]

    def _silent(self, state: State, wish: Value, asked: Collection[object], watch: Watch) -> Iterator[Choice]:
        for held in leases(state).by_name.values():
            item = work.work(state).items.get(held.name)
            if item is None or held.name in asked or held.held_by(self.name, wish["session"]):
                continue
            silent = watch.watched_ms(held.name, (held.token, held.last)) >= held.ttl_ms
            if silent and self.may(state, item, wish):
                yield Choice("lease.take", _named(state, item))


def claim_of(state: State, name: str, session: str) -> Lease | None:
    """The work that a session holds, if it does."""
    return next(
        (held for held in leases(state).by_name.values() if work.is_work(held.name) and held.held_by(name, session)),
        None,
    )


def _named(state: State, item: work.Item) -> Value:
    """What a claim says of the work: which, by whose order (not another one's under the same name), and its ttl."""
    ttl = {"ttl_ms": min(MAX_TTL_MS, item.order["ttl_ms"])} if "ttl_ms" in item.order else {}
    return {"lease": item.name, "of": work.origin(state, item), **ttl}
