"""One node of a simulation: the real engine and performer on fakes, one input at a time."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from orxaq_mesh.effects import Effect, Input, Me, Publish, Published, Say, Tick, Unreached
from orxaq_mesh.engine import Engine
from orxaq_mesh.errors import MeshFault
from orxaq_mesh.keys import SecretKey, namespace
from orxaq_mesh.kinds.node import log_of, members
from orxaq_mesh.record import epoch_place, line_id
from orxaq_mesh.sync.identity import Identity, identity_of, memory_of
from orxaq_mesh.sync.performer import Performer
from tests.builder import secret
from tests.sim.fakes import PACE, Crash, SimBudget, SimClock, SimFile, SimJournal, SimLadder
from tests.sim.hub import Port, SimHub
from tests.sim.law import Broke
from tests.sim.store import SimStore
from tests.sim.view import View

if TYPE_CHECKING:
    from tests.sim.world import World

YEAR_MS = 365 * 24 * 3600 * 1000


@cache
def key_of(who: str, made_by: str, number: int) -> tuple[SecretKey, str]:
    """The key that a node of this name has after so many, and its log."""
    key = secret(made_by if number == 1 else f"{made_by} {number}")
    return key, log_of(who, key.public.text)


class Words(NamedTuple):
    """The faults of one step, as its command says them: `go elm 12 crash=3 push=late`.

    Attributes:
        ms: how long each crossing to the hub takes, and the step itself.
        crash: the process is killed at this point of the step, counted from 0.
        unreached, meanwhile: at this crossing the hub does not answer; whatever the network carries arrives.
        push: what becomes of a push.
    """

    ms: int = 1
    crash: int = -1
    unreached: int = -1
    meanwhile: int = -1
    push: str = ""


class SimPerformer(Performer):
    """The performer, with its ports bound to fakes."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        for name, port in (("clock", node.clock), ("journal", node.journal), ("budget", node.budget)):
            setattr(self, name, port)
        self.store = node.store
        self.identity = identity_of(cast("Any", node.journal))
        self.told, self.tips, self.unreached = {}, {}, None
        self.say = node.said
        self.dice = node.dice.random
        self._lacking = {}
        self._polled_ms, self._keep_due_ms = (0, 0), 0
        self.telling = lambda: None
        self._kept = None
        self.ladder = cast("Any", node.ladder)
        ledger, trunk, self._quiet_outboxes = self._restore()
        node.from_snapshot = trunk is not None
        self.engine = Engine(self._me(node.secret), ledger, memory_of(cast("Any", node.journal)), PACE, trunk)

    @property
    def _snapshot(self) -> Any:
        return self.node.cache

    def _me(self, secret: SecretKey) -> Me:
        space, sign = namespace(self.identity.ledger), self.node.world.sign
        return Me(self.identity.node, self.identity.log, lambda message: sign(secret, space, message))

    def perform(self, effects: Iterable[Effect]) -> list[Input]:
        inputs = self._perform(effects)
        self._compact()
        return inputs

    def rotated(self, secret: SecretKey) -> None:
        """The journal names a new key."""
        self.identity = identity_of(cast("Any", self.journal))
        self.engine.rename(self._me(secret), memory_of(cast("Any", self.journal)))

    def _alive(self) -> frozenset[str]:
        living = self.node.world.callers.living
        return frozenset(record for record, hold in self.engine.duties.holds.items() if hold.owner in living)

    def _publish(self, publish: Publish) -> Published | Unreached:
        self.node.world.checks.publishes(self.node, publish)
        return super()._publish(publish)

    def _note_reading(self, begun_ms: int) -> None:
        """No `mesh status` reads here."""


class SimNode:
    """A laptop. What survives a crash: key, journal, and mostly the snapshot.

    Attributes:
        name, who: what the play calls it, and its name in the ledger; a copy has another `name`.
        stale: what a mirror that lags behind shows it, if it reads one.
        shown: the trunk that its last reading showed.
        shown_less: the trunk that its last reading showed lacks the newest seal that it has seen.
        shown_other: that trunk did not move forward from the one before, nor does it hold all that the one before held.
        alarmed: it found its ledger broken, for a good cause, and has not seen better since.
    """

    def __init__(self, world: World, name: str, hub: SimHub, *, who: str = "", key: int = 1) -> None:
        self.world, self.name, self.hub, self.who = world, name, hub, who or name
        self.dice = random.Random(f"{world.fleet.seed} {name}")
        self._takes_key(key)
        years_ms = self.dice.choice((0, 0, -10, 10)) * YEAR_MS
        self.clock = SimClock(world, self.dice.randrange(0, 10_000_000), 1_795_000_000_000 + years_ms)
        self.journal = SimJournal(self)
        self.budget = SimBudget(self, *self.dice.choice(((50, 20), (50, 20), (600, 3))))
        self.cache, self.ladder = SimFile(), SimLadder()
        self.performer: SimPerformer | None = None
        self.away_until_ms = 0
        self.cut = self.shown_less = self.shown_other = self.alarmed = self.from_snapshot = False
        self.stale: dict[str, str] = {}
        self.shown: str | None = None
        self.words = Words()
        self._points = self._crossings = 0
        self.outer: deque[Input] = deque()
        self.store = SimStore(cast("Any", Port(self)))

    @property
    def view(self) -> View:
        return self.hub.view

    @property
    def engine(self) -> Engine:
        assert self.performer is not None
        return self.performer.engine

    # Its life.

    def identity(self) -> Identity:
        return Identity(self.who, self.log, "hub", self.world.ledger_id, "mesh", f"key-{self.key_number}")

    def start(self) -> None:
        """Begin with what the disk has."""
        self.inner: deque[Input] = deque()
        self.outer = deque()
        self.checked_trunk: str | None = None
        self.read_epoch = 0
        self.journal.open()
        self._takes_key(int(identity_of(cast("Any", self.journal)).key.removeprefix("key-")))
        self.performer = SimPerformer(self)
        self._wakes()

    def _takes_key(self, number: int) -> None:
        self.key_number, (self.secret, self.log) = (
            number,
            key_of(self.who, self.who if number == 1 else self.name, number),
        )

    def next_key(self) -> tuple[SecretKey, str]:
        """The key that a rotation brings, and its log. A copy makes another one."""
        return key_of(self.who, self.name, self.key_number + 1)

    def keep(self) -> None:
        """Write a snapshot. mesh-sync does so after every step; here it is done when something may come of it."""
        if self.performer is not None:
            self.performer.keep()

    def forget(self) -> None:
        """CACHE: all but key and journal is deleted, even under a running process."""
        self.cache, self.ladder = SimFile(), SimLadder()
        self.store._commits.clear()
        if self.performer is not None:
            self.performer.ladder = cast("Any", self.ladder)

    def crash(self, why: str) -> None:
        """Everything but key, journal and cache is gone. The cache is as it was before the step."""
        self.world.note(f"{self.name} is killed {why}")
        self.world.count("crash")
        self.performer = None
        self.world.callers.deserted(self.name)

    def reboot(self) -> None:
        """The boot-time clock begins anew."""
        self.clock.boot_ms, self.budget.full_at_ms = -self.world.now_ms, 0

    def rotated(self, record: str) -> None:
        """The new key is in force: from here on its log is written (`sync.rotation`)."""
        self._takes_key(self.key_number + 1)
        self.journal.append({**self.identity().entry(), "prev": record})
        if self.performer is not None:
            self.performer.rotated(self.secret)

    # The points at which it can be killed, and its crossings to the hub.

    def point(self, where: str) -> None:
        number, self._points = self._points, self._points + 1
        if number == self.words.crash:
            raise Crash(where)

    def cross(self) -> int:
        number, self._crossings = self._crossings, self._crossings + 1
        return number

    def is_shown(self, tip: str | None) -> None:
        """A reading begins, and this is what it will find."""
        if self.performer is None:
            return
        self.shown = tip
        (epoch, seal), known = self.engine.seen, self.engine.trunk
        lines = self.hub.commits[tip].files.get(epoch_place(epoch).file, b"").split(b"\n") if tip and epoch else []
        self.shown_less = epoch > 0 and all(line_id(line) != seal for line in lines)
        self.shown_other = known is not None and (
            tip is None or not (self.view.store.descends(tip, known) or self._grew(known, tip))
        )

    def _grew(self, known: str, tip: str) -> bool:
        """Whether a tip holds all that one before it held, line by line: a branch made anew, and nothing went back."""
        before = next((hub.commits[known].files for hub in self.world.hubs.values() if known in hub.commits), None)
        after = self.hub.commits[tip].files
        return before is not None and all(after.get(path, b"").startswith(data) for path, data in before.items())

    # Its steps.

    def due(self) -> bool:
        if self.performer is None or self.world.now_ms < self.away_until_ms:
            return False
        return bool(self.inner or self.outer) or self.wake_ms <= self.clock.now_ms()

    def next_ms(self) -> int | None:
        """When it has something to do, on the world's clock; None while it is down."""
        return None if self.performer is None else max(self.wake_ms - self.clock.boot_ms, self.away_until_ms)

    def _wakes(self) -> None:
        self.wake_ms = self.engine.wake_ms()

    def go(self, words: Words) -> None:
        """One input, and the effects that follow from it."""
        if self.performer is None or self.world.now_ms < self.away_until_ms:
            return
        self.words, self._points, self._crossings = words, 0, 0
        if words.crash >= 0:
            self.keep()
        try:
            self._go(self.performer)
            self._wakes()
        except Crash as crash:
            self.crash(str(crash))
        except Broke:
            raise
        except MeshFault as error:
            self.inner.append(Unreached(error))
        except Exception as error:
            raise Broke("calm", f"{self.name} fell over: {error!r}") from error
        finally:
            self.words = Words()

    def _go(self, performer: SimPerformer) -> None:
        engine, world = performer.engine, self.world
        engine.duties.alive = performer._alive()
        queue = self.inner or self.outer
        given = queue.popleft() if queue else Tick(engine.duties.alive)
        world.engine_steps += 1
        effects = engine.step(given, performer.now())
        if not effects and isinstance(given, Tick):
            calm = engine.wake_ms() > self.clock.now_ms()
            world.laws.hold(calm, "calm", f"{self.name} would spin without doing anything")
        world.show(self, given, effects)
        self.inner.extend(performer.perform(effects))
        world.checks.stepped(self, given)
        for intent, answer in list(performer.told.items()):
            del performer.told[intent]
            world.callers.answered(self, intent, answer)

    def said(self, said: Say) -> None:
        if said.event == "alarm":
            self.world.note(f"  {self.name} raises an alarm: {said.facts.get('reason')}")

    # What it is in the ledger.

    def standing(self) -> str:
        """Its standing as the trunk has it, and `observer` for one that may not write.

        A trunk that lost its beginning knows nobody: then it is what the node itself remembers.
        """
        member = members(self.view.ledger.state).by_log.get(self.log)
        if member is None and self.performer is not None and self.hub.lost:
            member = members(self.engine.ledger.state).by_log.get(self.log)
        if member is None or not member.admitted:
            return member.standing if member else "unknown"
        return "observer" if "observer" in member.roles else "member"

    def honest(self) -> bool:
        """Whether its key and journal exist once."""
        return self.who not in self.world.checks.copied

    def heeded(self) -> bool:
        """Whether its records can be sealed, by itself or by others."""
        return self.honest() and self.standing() != "revoked"

    def sound(self) -> bool:
        """Whether it can be asked to do its part once all faults are over."""
        return self.honest() and self.standing() == "member"
