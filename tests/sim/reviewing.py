"""Reviews in a simulated fleet: rules, requests that need an approval, approvals early and late, rejections; and the end.

Knows: how often what happens, and what must come of it when all faults are over: every held record ends.
Knows not: what a command does, who may approve (the ledger says it).

    Reviewing(world, dice).line(session)      # "order elm/1 approve 3f9a...,77c0..."
    is_done(world)                            # nothing is held or proposed that somebody can still decide
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from orxaq_mesh.kinds import node, review
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Record
from tests.sim.callers import DESK, Session
from tests.sim.orders import GATES

if TYPE_CHECKING:
    from tests.sim.world import World

ADMIN = "oak"
KINDS = ("lease.acquire", "lease.acquire,event.publish", "event.publish,lease.take", "lease.acquire,review.lift")


def waiting(world: World) -> list[Record]:
    """What is held at the hub, and what lies with its author because it would be."""
    state = world.hub.view.ledger.state
    known = members(state).by_log
    pens = [other.engine.pen.pending for other in world.nodes.values() if other.performer is not None]
    mine = [
        record for pending in pens for record in pending if record.log in known and record.kind in review.REVIEWABLE
    ]
    return [*review.held_records(state), *(record for record in mine if review.waits(state, record))]


class Reviewing:
    """See the module's banner."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world, self.dice = world, dice

    def line(self, session: Session) -> str | None:
        dice, who = self.dice, session.owner
        ids = [record.id for record in waiting(self.world)]
        needs = review.reviews(self.world.hub.view.ledger.state).needs
        lot = dice.random()
        if session.node == ADMIN and (lot < 0.2 or not needs):
            return self._rules(who, list(needs))
        if ids and lot < 0.7:
            verb = "approve" if dice.random() < 0.9 else "reject"
            return f"order {who} {verb} {','.join(dict.fromkeys(dice.choices(ids, k=dice.choice((1, 1, 2)))))}"
        return self._asks(session)

    def _rules(self, who: str, rules: list[str]) -> str:
        dice, others = self.dice, [name for name in self.world.nodes if name != ADMIN]
        if dice.random() < 0.5 and others:
            return f"admit {dice.choice(others)} {ADMIN} node,reviewer"
        if rules and dice.random() < 0.3:
            return f"order {who} lift {dice.choice(rules)}"
        rule, approvals, epochs = f"r{dice.randrange(3)}", dice.choice((1, 1, 2)), dice.choice((3, 20, 900))
        return f"order {who} require {rule} {approvals} {epochs} {dice.choice(KINDS)} gate*"

    def _asks(self, session: Session) -> str | None:
        dice, who, gate = self.dice, session.owner, self.dice.choice(GATES)
        if session.lease:
            return f"ask {who} event.publish topic={gate} type=done under"
        match dice.randrange(4):
            case 0:
                return f"ask {who} event.publish topic={gate} type=x"
            case 1:
                return f"ask {who} lease.acquire lease={gate} ttl_ms=6000"
        wait = f"queue wait deadline={dice.choice((2000, 20000))}"
        return f"ask {who} lease.acquire lease={gate} ttl_ms=6000 {wait}"


def is_done(world: World) -> bool:
    """Whether nothing waits for an approval any more; else an admin who may lifts the rules and rejects what is held."""
    state = world.hub.view.ledger.state
    admin = world.nodes[ADMIN]
    member = members(state).named(admin.who)
    if not waiting(world) or not admin.sound() or member is None or node.ADMIN not in member.roles:
        return True
    held, needs = review.held_records(state), list(review.reviews(state).needs)
    order, desk = world.callers.workers.order, f"{ADMIN}/{DESK}"
    if held:
        order(desk, "reject", ",".join(record.id for record in held[:64]))
    elif needs:
        order(desk, "lift", needs[0])
    return False
