"""What callers asked and were told, and what nodes did of themselves, as a history for the linearizability checker (13).

Knows: one count of moments; which records took effect that nobody was told of.
Knows not: claims of work (`labour` has their laws), whether the history is linearizable (`tests.linear`), any rule.

What a fork undoes, or a hub that shows an old tip, is no matter of one order: then there is no history to judge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orxaq_mesh.choosing import ANY_WORK
from orxaq_mesh.effects import Answer, Intent
from orxaq_mesh.kinds import Verdict
from orxaq_mesh.kinds.work import is_work
from orxaq_mesh.record import Record, Value
from tests.linear import Asked, check, from_simulator
from tests.sim.orders import GATES

if TYPE_CHECKING:
    from tests.sim.world import World

UNFIT = ("stale", "hub rewound", "copy", "restore")
"""What makes readings go back, or one caller two."""


class History:
    """See the module's banner."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.now = 0
        self.asked: dict[str, Asked] = {}
        self.told: set[str] = set()
        self._signed: dict[str, int] = {}
        self._withdrawals: set[str] = set()
        self._deeds: dict[str, Asked] = {}
        self._lost: list[Asked] = []

    def tick(self) -> int:
        self.now += 1
        return self.now

    def asks(self, process: str, intent: Intent) -> None:
        if _is_of_work(intent.wish):
            return
        wish = {**intent.wish, "wait": intent.wait}
        self.asked[intent.id] = Asked(process, intent.kind, wish, self.tick())

    def is_told(self, intent: Intent, answer: Answer) -> None:
        if intent.id not in self.asked:
            return
        if answer.verdict == "held":  # it may take effect later, and then nobody is told
            del self.asked[intent.id]
            return
        self.asked[intent.id] = self.asked[intent.id]._replace(returned=self.tick(), told=answer)
        if answer.record is not None and answer.error is None and not answer.facts.get("withdrawn"):
            self.told.add(answer.record)

    def signed(self, record: Record) -> None:
        self._signed[record.id] = self.tick()
        if record.kind == "lease.release" and "token" not in record.body:
            self._withdrawals.add(record.id)

    def took_effect(self, record: Record, verdict: Verdict, name: str, epoch: int) -> None:
        """A record about a lease was applied; whether anybody was told is seen at the end."""
        if not record.kind.startswith("lease.") or _is_of_work(record.body):
            return
        told: dict[str, Any] = {**verdict._asdict(), "verdict": verdict.outcome, "record": record.id, "epoch": epoch}
        told["token"] = epoch if verdict.result == "granted" else record.body.get("token")
        process = f"{name}/{record.body.get('session', 'desk')}"
        begun = self._signed.get(record.id, self.now)
        self._deeds[record.id] = Asked(process, record.kind, record.body, begun, self.tick(), told)

    def lost_standing(self, name: str, leases: list[str]) -> None:
        """A node was revoked, suspended or made an observer: it holds nothing any more."""
        for lease in (lease for lease in leases if not is_work(lease)):
            told = {"verdict": "applied", "rule": "LIVE", "result": "revoked"}
            wish = {"lease": lease, "node": name}
            self._lost.append(Asked("admin/desk", "node.revoke", wish, self.now, self.tick(), told))

    def check(self) -> None:
        """13: leases are linearizable, one by one."""
        if self.world.forked or any(self.world.counts[fault] for fault in UNFIT):
            return
        alone = [self._for_a_waiter(deed) for record, deed in self._deeds.items() if self._is_news(record, deed)]
        asked = [each for each in self.asked.values() if not self._came_too_late(each.told)]
        verdict = check(from_simulator([*asked, *alone, *self._lost]), "lease", limit_s=5)
        self.world.laws.hold(verdict.linearizable is not False, 13, str(verdict))

    def _is_news(self, record: str, deed: Asked) -> bool:
        """Whether no answer says it all: nobody was told, or its caller was told of the grant alone that came of it later."""
        if record not in self.told:
            return True
        rules = {each.told.rule for each in self.asked.values() if each.told is not None and each.told.record == record}
        return deed.told["result"] == "passed" and "LEASE-8" not in rules

    def _for_a_waiter(self, deed: Asked) -> Asked:
        """A node's own take for a caller that still waits ends the old grant; the new one is what its caller is told."""
        waits = any(
            each.process == deed.process
            and each.wish["wait"]
            and each.wish.get("lease") == deed.wish["lease"]
            and each.invoked < (deed.returned or 0)
            and (each.returned is None or each.returned > deed.invoked)
            for each in self.asked.values()
        )
        if deed.kind != "lease.take" or deed.told["result"] != "granted" or not waits:
            return deed
        return deed._replace(told={**deed.told, "result": "passed"})

    def _came_too_late(self, told: Answer | None) -> bool:
        """Whether a place in a queue was given back when it was the lease already: that is fenced, and changes nothing."""
        return told is not None and told.verdict == "fenced" and told.record in self._withdrawals


def _is_of_work(wish: Value) -> bool:
    """Whether a wish is about a claim, which ends by a finish, or about what others approve: not by what leases know alone."""
    name = (wish.get("under") or wish).get("lease", "")
    return name == ANY_WORK or is_work(name) or name in GATES
