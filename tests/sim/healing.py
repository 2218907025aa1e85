"""The end of a run: all faults end, and then what must come, comes (LIVE).

Everybody gets an answer; every sound node gets every lease once more; all come to rest on one tip; and a stranger who
reads the trunk from genesis finds what was found step by step.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.work import is_work
from tests.sim import finishing, reviewing
from tests.sim.hub import TRUNK

if TYPE_CHECKING:
    from tests.sim.world import World

LEASES = ("deploy", "db")
PATIENCE = 6000
"""Turns of the scheduler until something must have come."""
MEMORY_TURNS = 300
"""So many turns the nodes have to bring back what they remember, before somebody finds a backup."""


def heal(world: World) -> None:
    """End all faults, and see that what must come, comes.

    Raises:
        Broke: it does not.
    """
    notes = world.play[-1][1]
    dice = random.Random(f"heal {world.fleet.seed}")
    _calm(world)
    if world.forked:
        _until(world, dice, _come_together(world), "the hubs do not come together")
    _until(world, dice, lambda: finishing.is_done(world), "work is left")
    _until(world, dice, lambda: reviewing.is_done(world), "something is held for ever")
    finishing.go_home(world)
    _until(world, dice, lambda: not _waiting(world, "sound"), "an answer is missing")
    _everybody_gets_everything(world, dice)
    _until(world, dice, lambda: not _waiting(world, "heeded"), "an answer is missing")
    _until(world, dice, lambda: _at_rest(world), "the nodes do not come to rest")
    if _is_lost(world) and not any(node.sound() for node in world.nodes.values()):
        notes.clear()
        world.note("what the hubs lost is lost: whoever remembers it may not push")
        return
    world.hub.view.read_anew(world.fleet.seed)
    world.told = world.checks.all_told(world.hub.view)
    world.history.check()
    if not world.forked:
        world.labour.reckon()
    notes.clear()
    state = world.hub.view.ledger.state
    world.note(f"all at rest at epoch {state.epoch} with {state.records} records; everybody got every lease")


def _calm(world: World) -> None:
    for hub in world.hubs.values():
        hub.down, hub.shows = False, None
    for node in world.nodes.values():
        node.hub = world.hub
        node.cut, node.stale = False, {}
        node.away_until_ms = min(node.away_until_ms, world.now_ms)
        if node.performer is None:
            node.start()
    _end_rotations(world)


def _end_rotations(world: World) -> None:
    """A rotation that was cut short is gone on with, as `mesh node rotate` says."""
    for node in world.nodes.values():
        world.members.end_rotation(node)


def _come_together(world: World) -> Callable[[], bool]:
    """Whether the trunk holds all that any hub ever held; whoever can brings it there (law FORK).

    What a hub was set back from comes last, from somebody's backup of it: where nobody remembers it, nobody else has it.
    """
    turns = iter(range(PATIENCE))

    def is_one() -> bool:
        turn, view = next(turns), world.hub.view
        sound = [node for node in world.nodes.values() if node.sound()]
        if not sound:
            return True
        missing = [tip for tip in _far(world) if not view.store.has(tip)]
        if turn > MEMORY_TURNS:  # somebody who has seen what only a backup holds cannot go on without it
            missing += [tip for hub in world.hubs.values() for tip, lines in hub.lost if not lines <= view.lines()]
        if missing:
            world.parting.bring(sound[turn % len(sound)], missing[turn // len(sound) % len(missing)])
        return not missing and not any(node.engine.broken for node in sound) and _whole(world)

    return is_one


def _far(world: World) -> list[str]:
    return [world.hubs["far"].branches[TRUNK]] if "far" in world.hubs else []


def _is_lost(world: World) -> bool:
    """Whether the trunk lacks something that it held, or that another one holds."""
    view = world.hub.view
    return bool(view.ledger.mends) or not _whole(world) or any(not view.store.has(tip) for tip in _far(world))


def _whole(world: World) -> bool:
    """Whether the trunk has all that it was set back from."""
    lost = [lines for hub in world.hubs.values() for _, lines in hub.lost]
    if not lost:
        return True
    there = world.hub.view.lines()
    return all(lines <= there for lines in lost)


def _turn(world: World, dice: random.Random) -> None:
    for hub in world.hubs.values():
        while hub.late:
            hub.deliver(dice.randrange(len(hub.late)))
    for node in world.nodes.values():
        if world.forked and node.sound() and dice.random() < 0.1:
            world.parting.mend(node)
    due = world.due()
    if due:
        world.of_a_node["go"](dice.choice(due), str(dice.randrange(1, 20)))
    else:
        world.of_all["pass"]()
    world.believe()


def _until(world: World, dice: random.Random, done: Callable[[], bool], what: str, missing: Iterable[str] = ()) -> None:
    for _ in range(PATIENCE):
        if done():
            world.laws.checked[21] += 1
            return
        _turn(world, dice)
        _end_rotations(world)
        _give_back(world)
    left = sorted(missing) or _waiting(world, "heeded")
    pending = {name: len(node.engine.pen.pending) for name, node in world.nodes.items() if node.performer}
    held = {held.name: f"{held.holder}/{held.session}" for held in leases(world.hub.view.ledger.state).by_name.values()}
    world.laws.hold(False, 21, f"{what}: waiting {left}, pending {pending}, held {held}")


def _waiting(world: World, whom: str) -> list[str]:
    """What was asked at nodes that are sound, or heeded at least, and not answered."""
    calls = world.callers.waiting()
    return [call.intent.id for call in calls if getattr(world.nodes[call.session.node], whom)()]


def _everybody_gets_everything(world: World, dice: random.Random) -> None:
    """Each sound node asks for each lease until it gets it; whoever was told of an outage asks again."""
    for session in world.callers.sessions.values():
        session.lease = ""
        world.callers.living.discard(session.owner)
    sound = [node.name for node in world.nodes.values() if node.sound()]
    top = {name: held.token for name, held in leases(world.hub.view.ledger.state).by_name.items()}
    missing = {f"{name}/last-{lease}" for name in sound for lease in LEASES}
    for who in missing:
        world.callers.enter(*who.split("/"))

    def everybody_got_it() -> bool:
        for name, token, seal in list(world.judge.grants)[-4:]:
            if token > top.get(name, 0):
                who, session = world.judge.grants[name, token, seal]
                missing.discard(f"{who}/{session}")
        for who in sorted(missing):
            session = world.callers.sessions[who]
            if not world.nodes[session.node].sound():
                missing.discard(who)  # what was waiting took its standing
            elif not session.asking:
                words = f"lease={session.name.removeprefix('last-')} ttl_ms=3000 queue wait"
                world.callers.ask(who, "lease.acquire", *words.split())
        return not missing

    _until(world, dice, everybody_got_it, "not everybody gets every lease", missing)


def _give_back(world: World) -> None:
    """Whoever holds a lease gives it back; who waits for another one meanwhile gives way by dying."""
    for held in leases(world.hub.view.ledger.state).by_name.values():
        if is_work(held.name):
            continue
        for name, session in list(world.callers.sessions.items()):
            node = world.nodes[session.node]
            if node.who != held.holder or session.name != held.session:
                continue
            other = session.asking and session.wish[1].get("lease") != held.name
            if other or not node.honest():
                world.callers.die(name)
            elif not session.asking and node.engine.broken is None:
                session.lease = held.name
                world.callers.ask(name, "lease.release")


def _at_rest(world: World) -> bool:
    sound = [node for node in world.nodes.values() if node.sound()]
    if any(node.engine.trunk != world.hub.branches[TRUNK] for node in sound):
        return False
    return not any(node.engine.broken or node.engine.unsettled or node.engine.intents for node in sound)
