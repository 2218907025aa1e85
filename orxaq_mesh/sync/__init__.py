"""mesh-sync and what it shares with the commands: the engine's effects performed.

Knows: how to bring an intent to its verdict, with or without a running mesh-sync.
Knows not: any rule.

    answer = ask(home, settings, Intent("1", "event.publish", {"topic": "builds", "type": "done", "payload": {}}))
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from orxaq_mesh.effects import Answer, Ask, Cancel, Intent
from orxaq_mesh.errors import Fenced, MeshError, Unreachable
from orxaq_mesh.home.clock import Clock
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.sync.wire import connect

if TYPE_CHECKING:  # where a mesh-sync runs, a command needs no engine of its own
    from orxaq_mesh.sync.performer import Performer

BELIEF_TIMEOUT_S = 2.0
PATIENCE_MS = 60_000
"""How long a command waits for a verdict that nothing but the hub delays."""


def ask(home: Home, settings: Settings, *intents: Intent) -> list[Answer]:
    """Bring intents to their verdicts: through the node's mesh-sync where one runs, else right here.

    What is asked together is signed in this order and pushed together.

    Raises:
        MeshError: no node lives here, its files cannot be read, or nobody answered in time.
    """
    now_ms = Clock().now_ms()
    intents = tuple(
        intent._replace(
            asked_ms=now_ms, deadline_ms=intent.deadline_ms or (None if intent.wait else now_ms + PATIENCE_MS)
        )
        for intent in intents
    )
    client = connect(home.socket)
    if client is None:
        from orxaq_mesh.sync.performer import Performer

        with NodeLock(home, "node"):
            performer = Performer.open(home, settings)
        with performer:
            return settle(performer, *intents)
    try:
        # The deadline is mesh-sync's to keep; a little more for its answer to arrive.
        deadlines = [intent.deadline_ms for intent in intents]
        last_ms = None if None in deadlines else max(filter(None, deadlines))
        timeout_s = None if last_ms is None else (last_ms - now_ms) / 1000 + 2 * settings.timeout_ms / 1000
        return client.ask(intents, timeout_s)
    finally:
        client.close()


def settle(performer: Performer, *intents: Intent) -> list[Answer]:
    """Feed a performer of our own until it tells; the node's lock is free while it sleeps."""
    home = performer.home
    step: Callable[[], None] = lambda: performer.feed(Ask(intents[0], intents[1:]))  # noqa: E731
    try:
        while True:
            with NodeLock(home, "node"):
                step()
                if all(intent.id in performer.told for intent in intents):
                    return [performer.told[intent.id] for intent in intents]
            step = performer.tick
            time.sleep(max(0, min(1000, performer.engine.wake_ms() - performer.clock.now_ms())) / 1000)
    except KeyboardInterrupt:
        # The interrupt may have come in the middle of a push: what came of it is read before the place is given back.
        with NodeLock(home, "node"), suppress(MeshError):
            for intent in intents:
                performer.feed(Cancel(intent.id))
            performer.pass_once()
        raise


def once(home: Home, settings: Settings) -> Performer:
    """One pass: read the hub, publish what waits, renew what is held. The performer is closed, its engine readable.

    Raises:
        MeshError: the hub cannot be reached, or the ledger breaks a law.
    """
    from orxaq_mesh.sync.performer import Performer

    with NodeLock(home, "node"):
        performer = Performer.open(home, settings)
        with performer:
            performer.pass_once()
    return performer


def react(home: Home, settings: Settings) -> Performer:
    """Passes until no follow-up of a reactor is this node's to write, and nothing that it signed waits; or for a while.

    Where other nodes are to go first they are given their time. The performer is closed, its engine readable.

    Raises:
        MeshError: the hub cannot be reached, or the ledger breaks a law.
    """
    from orxaq_mesh.sync.performer import Performer

    with NodeLock(home, "node"):
        performer = Performer.open(home, settings)
    with performer:
        engine, clock = performer.engine, performer.clock
        deadline_ms = clock.now_ms() + PATIENCE_MS
        while True:
            with NodeLock(home, "node"):
                performer.pass_once()
            waits = engine.unsettled or engine.reacting.left(engine.ledger.state)
            if not waits or clock.now_ms() >= deadline_ms:
                return performer
            time.sleep(max(50, min(1000, engine.wake_ms() - clock.now_ms())) / 1000)


def observe(home: Home, settings: Settings) -> Performer:
    """Read the hub and fold; sign nothing, push nothing. The performer is closed, its engine readable.

    Raises:
        MeshError: the hub cannot be reached, or the ledger breaks a law.
    """
    from orxaq_mesh.sync.performer import Performer

    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        performer.observe()
    if performer.unreached is not None:
        raise performer.unreached
    if performer.engine.broken is not None:
        raise performer.engine.broken
    return performer


def rehearse(home: Home, settings: Settings, intent: Intent) -> Answer:
    """What would come of an intent now (`--dry-run`): the hub is read, nothing is signed.

    Raises:
        MeshError: as `observe`.
    """
    performer = observe(home, settings)
    return performer.engine.rehearse(intent, performer.now())


def belief(home: Home, lease: str, session: str) -> int | None:
    """How long the holder may still act, in ms, by the running mesh-sync that renews for it; None: none runs.

    Raises:
        Fenced: mesh-sync runs, and knows that the session holds the lease no longer.
    """
    client = connect(home.socket)
    if client is None:
        return None
    try:
        left_ms = client.request({"op": "belief", "lease": lease, "session": session}, BELIEF_TIMEOUT_S)["left_ms"]
    except Unreachable:
        return None
    finally:
        client.close()
    if left_ms is None:
        raise Fenced("FENCE", f"session {session} holds {lease} no longer", hint=f"mesh lease show {lease}")
    return int(left_ms)
