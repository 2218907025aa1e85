"""The end of a run, where it concerns work: everything that can still be done is done, and nothing is due for ever.

Knows: what the workers of sound nodes and the admin's desk have to do, so that all DAGs can end.
Knows not: faults and leases (`healing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orxaq_mesh.choosing import ANY_WORK
from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.reactor import reactors
from orxaq_mesh.kinds.work import COMMAND, TASK, Item, work
from tests.sim.callers import DESK, Session
from tests.sim.orders import CAPABILITIES

if TYPE_CHECKING:
    from tests.sim.world import World

ADMIN = "oak"


def is_done(world: World) -> bool:
    """Whether nothing is left that somebody can do; else everybody does his next bit."""
    state = world.hub.view.ledger.state
    sound = {node.name for node in world.nodes.values() if node.sound()}
    if not _left(state, sound):
        return True
    for session in list(world.callers.sessions.values()):
        if session.node not in sound:
            world.callers.living.discard(session.owner)
            world.callers.leave(session.owner)
        elif session.name != DESK:
            _works(world, session, state)
    if ADMIN in sound:
        _puts_a_hand_in(world, state, sound)
    return False


def go_home(world: World) -> None:
    """Whoever still waits for work goes."""
    for call in world.callers.waiting():
        if call.intent.wish.get("lease") == ANY_WORK:
            world.callers.leave(call.session.owner)


def _left(state: State, sound: set[str]) -> list[str]:
    """What must still end, as far as there is somebody who can see to it."""
    if not sound or (ADMIN not in sound and work(state).breaker.since):
        return []
    helped = ADMIN in sound
    items = [item for item in work(state).items.values() if item.state in ("ready", "running")]
    left = [item.name for item in items if helped or item.state == "running" or _address(item) in ("", *sound)]
    waiting = [item.name for item in work(state).items.values() if item.state == "waiting"]
    return [*left, *(waiting if helped else ()), *(reactors(state).due if helped else ())]


def _address(item: Item) -> str:
    return item.to or ("nobody" if item.holder else "")


def _works(world: World, session: Session, state: State) -> None:
    workers, who = world.callers.workers, session.owner
    offer = work(state).offers.get(world.nodes[session.node].who)
    if who in workers.runs:
        workers.finish(who, "succeeded")
    elif offer is None or offer.capabilities != CAPABILITIES:
        workers.order(f"{session.node}/{DESK}", "offer", ",".join(CAPABILITIES))
    else:
        workers.work(who)


def _puts_a_hand_in(world: World, state: State, sound: set[str]) -> None:
    """The admin resets the breaker, and sends what is for nobody who is left to others."""
    desk, order = f"{ADMIN}/{DESK}", world.callers.workers.order
    if work(state).breaker.since:
        order(desk, "reset")
        return
    for item in work(state).items.values():
        if item.state == "ready" and _address(item) not in ("", *sound):
            if item.name.startswith(COMMAND):
                order(desk, "recall", item.name.removeprefix(COMMAND))
            else:
                order(desk, "assign", item.name.removeprefix(TASK))
