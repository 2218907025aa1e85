"""What a node does of itself: renew what is held, take over from the silent, give back what nobody wants any more.

Knows: for whom each lease was asked, who of them lives, how long others have been silent, until when a holder may believe.
Knows not: signing, pushing, callers.
Laws: TIME (watched silence; belief counts from before the grant was sent), UNTIL (who went home is granted nothing).

    duties.saw(ledger, look)                    # a reading of the hub
    duties.confirm(state, log, judged, sent_ms) # a seal confirmed a grant or a renewal
    duties.wishes(state, log, pending, now_ms)  # [Wish("lease.renew", {...}), ...]: due now
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import NamedTuple

from orxaq_mesh import kinds
from orxaq_mesh.effects import Hold, Intent, Looked
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import APPLIED, State, review
from orxaq_mesh.kinds.lease import MAX_TTL_MS, Lease, leases, waiting
from orxaq_mesh.kinds.node import WRITERS, members
from orxaq_mesh.kinds.work import is_work
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record, Value
from orxaq_mesh.silence import Watch

RENEWALS_A_TTL = 3
LONG_AGO_MS = -(MAX_TTL_MS + 1)
"""Before this machine booted: what was confirmed then is believed no longer (law TIME)."""


class Wish(NamedTuple):
    """A record that nobody waits for an answer to."""

    kind: str
    body: Value


class Duties:
    """See the module's banner.

    Attributes:
        holds: the record that asked for a lease -> for whom.
        alive: the records of those holds whose owner lives.
        orphans: the records of those whose owner is known to be dead.
        abandoned: (lease, session, record) that a caller left behind.
    """

    def __init__(self, name: str, holds: Iterable[Hold]) -> None:
        self.name = name
        self.holds = {hold.record: hold for hold in holds}
        self.alive: frozenset[str] = frozenset()
        self.orphans: set[str] = set()
        self.abandoned: set[tuple[str, str, str]] = set()
        self.watch = Watch()
        self._newest: dict[str, str] = {}  # lease -> its holder's newest record that was unsealed at the last reading
        self._confirmed_ms: dict[str, tuple[int, int]] = {}

    # What comes to pass.

    def tick(self, alive: frozenset[str]) -> None:
        """It was looked who lives."""
        self.alive = alive
        self.orphans = {record for record, hold in self.holds.items() if hold.owner and record not in alive}

    def hold(self, record: Record, intent: Intent) -> Hold | None:
        """A record was signed that asks for a lease on somebody's behalf."""
        if record.kind not in ("lease.acquire", "lease.take"):
            return None
        hold = self.holds[record.id] = Hold(
            record.body["lease"], record.body["session"], record.id, intent.owner, intent.wait
        )
        return hold

    def abandon(self, intent: Intent, record: str) -> None:
        """A caller went away."""
        if intent.kind in ("lease.acquire", "lease.take"):
            self.abandoned.add((intent.wish["lease"], intent.wish["session"], record))

    def drop(self, lease: str) -> None:
        """A rule says that nothing more can be done for this lease."""
        self.holds = {record: hold for record, hold in self.holds.items() if hold.lease != lease}

    def saw(self, ledger: Ledger, look: Looked) -> None:
        """TIME: what this reading showed of every held lease; another session of this very node may be silent too."""
        there = [held for held in leases(ledger.state).by_name.values() if held.holder]
        self.watch.forget({held.name for held in there if not self._spoke(held, ledger)})
        for held in there:
            self.watch.saw(held.name, (held.token, held.last), held.ttl_ms, look.begun_ms, look.ended_ms)

    def _spoke(self, held: Lease, ledger: Ledger) -> bool:
        """Whether its holder has said something since the last reading that no seal has taken in yet.

        What lies in its outbox since is no sign of life any more: it may never be sealed (law LIVE).
        """
        member = members(ledger.state).named(held.holder)
        run = ledger.authentic(member.log) if member else []
        newest = run[-1].id if run else ""
        before, self._newest[held.name] = self._newest.get(held.name, newest), newest
        return newest not in ("", before)

    def confirm(self, state: State, log: str, judged: Sequence[Judged], sent_ms: int) -> None:
        """TIME: a holder counts its ttl from before it sent the grant or renewal that is now confirmed."""
        own = {item.record.id for item in judged if item.record.log == log and item.verdict.outcome == APPLIED}
        for held in leases(state).by_name.values():
            if held.holder != self.name:
                self._confirmed_ms.pop(held.name, None)
            elif held.last in own or self._confirmed_ms.get(held.name, (0, 0))[0] != held.token:
                self._confirmed_ms[held.name] = (held.token, sent_ms)

    def forget(self, state: State, pending: Sequence[Record]) -> None:
        """Keep in mind only the holds of what is held, waits in a queue, or is not sealed yet."""
        unsealed = {record.id for record in pending}
        for record, hold in list(self.holds.items()):
            held = leases(state).by_name.get(hold.lease) or Lease(hold.lease)
            if record in unsealed or review.is_held(state, record):
                continue
            if held.record != record and all(w.record != record for w in held.queue):
                del self.holds[record]

    # What is to be done.

    def believed_until_ms(self, held: Lease) -> int:
        """Until when this node may act on a lease that it holds."""
        token, sent_ms = self._confirmed_ms.get(held.name, (0, 0))
        return sent_ms + held.ttl_ms if token == held.token else LONG_AGO_MS

    def wishes(
        self, state: State, log: str, pending: Sequence[Record], now_ms: int, proposals: Container[str] = ()
    ) -> list[Wish]:
        """Everything that is due now.

        Args:
            state: at the tip.
            log: this node's.
            pending: its records that wait for a seal.
            now_ms: on the boot-time clock.
            proposals: the ids of those that wait for an approval instead.
        """
        renewals = [
            Wish("lease.renew", {"lease": held.name, "session": held.session, "token": held.token})
            for held, due_ms in self.renewals(state, log, pending)
            if now_ms >= due_ms
        ]
        return [*renewals, *self._takes(state, pending), *self._withdrawals(state, pending, proposals)]

    def renewals(self, state: State, log: str, pending: Sequence[Record]) -> Iterator[tuple[Lease, int]]:
        """The leases that this node renews, and when each is due."""
        member = members(state).by_log.get(log)
        if member is None or not member.admitted or WRITERS.isdisjoint(member.roles):
            return
        spoken_for = {record.body.get("lease") for record in pending}
        spoken_for |= {record.body["under"]["lease"] for record in pending if record.kind.endswith(".finish")}
        for hold in self.holds.values():
            held = leases(state).by_name.get(hold.lease)
            if held is None or held.record != hold.record or hold.record not in self.alive or held.name in spoken_for:
                continue
            yield held, self.believed_until_ms(held) - held.ttl_ms + held.ttl_ms // RENEWALS_A_TTL

    def _takes(self, state: State, pending: Sequence[Record]) -> Iterator[Wish]:
        """Who waits in a queue takes over from a silent holder: the head first, the others a while later each."""
        for held in leases(state).by_name.values() if not pending else ():
            for place, waiter in enumerate(held.queue if held.holder else ()):
                silent_ms = self.watch.watched_ms(held.name, (held.token, held.last))
                if waiter.node == self.name and silent_ms >= held.ttl_ms + place * held.ttl_ms // 3:
                    wish = {"lease": held.name, "session": waiter.session, "ttl_ms": waiter.ttl_ms}
                    wish = kinds.propose(state, self.name, "lease.take", {**wish, "watched_ms": silent_ms})
                    yield Wish("lease.take", wish)
                    break

    def _withdrawals(self, state: State, pending: Sequence[Record], proposals: Container[str]) -> Iterator[Wish]:
        """Give back what was asked for by callers that are gone, whether it still waits or was granted meanwhile.

        Not what a worker had begun that is dead now: its commands may still run, so its silence lasts its ttl.
        """
        waited = {(h.lease, h.session, r) for r, h in self.holds.items() if r in self.orphans}
        for name, session, record in sorted(self.abandoned | waited):
            held = leases(state).by_name.get(name) or Lease(name)
            place = waiting(state, self.name, name, session)
            queued = place is not None and place.record == record
            unused = record in self.holds and self.holds[record].waits and held.last == record and not is_work(name)
            granted = held.record == record and ((name, session, record) in self.abandoned or unused)
            if any(r.id == record or r.body.get("record") == record for r in pending):
                continue
            proposed = review.is_held(state, record) or record in proposals
            if queued or granted or proposed:
                body = {"lease": name, "session": session, "record": record}
                yield Wish("lease.release", {**body, "token": held.token} if granted else body)
            else:
                self.abandoned.discard((name, session, record))
