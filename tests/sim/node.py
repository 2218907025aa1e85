"""One node of a simulation: the real engine and performer on fakes, one input at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from orxaq_mesh import fold
from orxaq_mesh.effects import Effect, Input, Look, Me, Pace, Publish, Published, Say, Tell, Tick, Unreached
from orxaq_mesh.engine import Engine
from orxaq_mesh.keys import SecretKey, namespace
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.store.memory import MemoryStore
from orxaq_mesh.sync.identity import Identity, memory_of
from orxaq_mesh.sync.performer import Performer
from tests.sim.checks import hold
from tests.sim.fakes import Crash, Port, SimBudget, SimClock, SimJournal

if TYPE_CHECKING:
    from tests.sim.world import World

PACE = Pace(2000, 400)


class NoLadder:
    """CACHE: whatever lies deep is read from genesis."""

    def climb(self, rungs: list[Any]) -> None:
        rungs.clear()

    def below(self, epoch: int) -> None:
        return None


class SimPerformer(Performer):
    """The performer, with its ports bound to fakes."""

    def __init__(self, node: SimNode) -> None:
        self.node = node
        for name, port in (("clock", node.clock), ("journal", node.journal), ("budget", node.budget)):
            setattr(self, name, port)
        self.store = node.store
        self.identity = Identity(node.name, node.log, "hub", node.world.ledger_id, "mesh", "key")
        self.told, self.tips, self.unreached = {}, {}, None
        self.say = node.said
        self.dice = node.world.random.random
        self._quiet_outboxes = {}
        self._lacking = {}
        self._polled_ms = 0, 0
        self.ladder = cast("Any", NoLadder())
        ledger, trunk = node.restored()
        me = Me(node.name, node.log, node.sign)
        self.engine = Engine(me, ledger, memory_of(cast("Any", node.journal)), PACE, trunk)

    def perform(self, effects: Iterable[Effect]) -> list[Input]:
        return self._perform(effects)

    def _publish(self, publish: Publish) -> Published | Unreached:
        self.node.world.checks.publishes(self.node, publish)
        return super()._publish(publish)

    def _note_reading(self, begun_ms: int) -> None:
        """No `mesh status` reads here."""


class SimNode:
    """A laptop. What survives a crash: key, journal, and at the scheduler's whim the snapshot."""

    def __init__(self, world: World, name: str, log: str, secret: SecretKey) -> None:
        self.world, self.name, self.log, self.secret = world, name, log, secret
        random = world.random
        years_ms = random.choice((0, 0, -10, 10)) * 365 * 24 * 3600 * 1000
        self.clock = SimClock(world, random.randrange(0, 10_000_000), 1_795_000_000_000 + years_ms)
        self.journal = SimJournal(world, name)
        self.budget = SimBudget(*random.choice(((50, 20), (50, 20), (600, 3))))
        self.snapshot: tuple[bytes, str] | None = None
        self.performer: SimPerformer | None = None
        self.away_until_ms = 0
        self.start()

    # Its life.

    def start(self) -> None:
        """Begin with what the disk has."""
        self.store = MemoryStore(cast("Any", Port(self.world.hub, self.name)))
        self.inner: deque[Input] = deque()
        self.outer: deque[Input] = deque()
        self.checked_trunk: str | None = None
        self.performer = SimPerformer(self)
        self.world.note(f"{self.name} starts")

    def restored(self) -> tuple[Ledger, str | None]:
        """CACHE: from the snapshot where there is one, else from genesis."""
        if self.snapshot is None:
            return Ledger(self.world.ledger_id), None
        state, trunk = self.snapshot
        self.store.fetch({"mesh": trunk})
        return Ledger(self.world.ledger_id, fold.restore(state)), trunk

    def keep(self) -> None:
        if self.engine.trunk is not None:
            self.snapshot = fold.snapshot(self.engine.ledger.state), self.engine.trunk

    def crash(self, why: str) -> None:
        """Everything but key and journal is gone, sometimes the snapshot and the boot-time clock's origin too."""
        random = self.world.random
        self.world.note(f"{self.name} crashes {why}")
        self.performer = None
        if random.random() < 0.5:
            self.snapshot = None
        if random.random() < 0.3:
            self.clock.boot_ms, self.budget.full_at_ms = -self.world.now_ms, 0
        self.away_until_ms = self.world.now_ms + random.choice((10, 500, 3000, 15000))
        self.world.crashed(self)

    @property
    def engine(self) -> Engine:
        assert self.performer is not None
        return self.performer.engine

    def sign(self, message: bytes) -> str:
        return self.world.sign(self.secret, namespace(self.world.ledger_id), message)

    def said(self, said: Say) -> None:
        if said.event not in ("sealed", "push"):
            self.world.note(f"  {self.name} says {said.event} {dict(said.facts)}")

    # Its steps.

    def due(self) -> bool:
        if self.performer is None or self.world.now_ms < self.away_until_ms:
            return False
        return bool(self.inner or self.outer) or self.engine.wake_ms() <= self.clock.now_ms()

    def next_ms(self) -> int:
        """When it has something to do, on the world's clock."""
        wake_ms = 0 if self.performer is None else self.engine.wake_ms() - self.clock.boot_ms
        return max(wake_ms, self.away_until_ms)

    def act(self) -> None:
        """One input, and the effects that follow from it."""
        try:
            self._act()
        except Crash as crash:
            self.crash(str(crash))

    def _act(self) -> None:
        assert self.performer is not None
        alive = frozenset(h.record for h in self.engine.duties.holds.values() if h.owner in self.world.living)
        queue = self.inner or self.outer
        given = queue.popleft() if queue else Tick(alive)
        effects = self.engine.step(given, self.performer.now())
        if not effects and isinstance(given, Tick):
            hold(self.engine.wake_ms() > self.clock.now_ms(), "LIVE", f"{self.name} would spin without doing anything")
        shown = [type(effect).__name__ for effect in effects if isinstance(effect, (Look, Publish, Tell))]
        self.world.note(f"{self.name} {type(given).__name__}{f' -> {shown}' if shown else ''}")
        self.inner.extend(self.performer.perform(effects))
        self.world.checks.stepped(self)
        for intent, answer in list(self.performer.told.items()):
            del self.performer.told[intent]
            self.world.answered(self, intent, answer)
        if self.world.random.random() < 0.2:
            self.keep()

    def held_sessions(self) -> list[tuple[str, str]]:
        return [(lease, session) for node, lease, session in self.world.holding() if node == self.name]
