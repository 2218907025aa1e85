"""Chance: a seed makes a schedule, one command at a time, looking at the world as it is by then.

Knows: how often what happens. Each seed has a weather of its own: which faults there are at all, and how often.
Knows not: what a command does, what there is to be worked on (`labours`).

    settings = Settings.of(7, steps=300)
    for line in schedule(World(settings.line()), settings): ...
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from orxaq_mesh.kinds.lease import leases
from tests.sim.callers import DESK, Session
from tests.sim.healing import LEASES
from tests.sim.hub import FATES
from tests.sim.judge import INSIDER
from tests.sim.labours import Labours
from tests.sim.node import SimNode
from tests.sim.reviewing import Reviewing
from tests.sim.world import Fleet, World

NAMES = ("oak", "elm", "ash", "fir")
NEWCOMERS = ("yew", "bay")
TTLS_MS = (3000, 6000, 12000)
CALLS = 0.2
"""How many turns a caller has."""
WORKING = (7, 8, 9)
"""The last digits of the seeds that are with work."""
REVIEWED = (6,)
"""The last digits of the seeds that are with reviews."""

WEATHER = {
    "push": 4,
    "crash": 4,
    "down": 2,
    "cut": 2,
    "unreached": 3,
    "slow": 2,
    "pause": 2,
    "clock": 2,
    "cache": 2,
    "forge": 2,
    "rewound": 1,
    "squashed": 1,
    "forgets": 1,
    "stale": 1,
    "copy": 1,
    "restore": 1,
    "members": 2,
    "rotate": 1,
    "two hubs": 2,
    "rolled": 1,
    "damage": 2,
}
FORKS = frozenset({"two hubs", "rolled", "damage"})
"""What begins a second history; in the weather of some seeds only, for much is only certain while there is one."""
"""Kinds of trouble, and how likely each is to be part of a seed's weather."""


class Settings(NamedTuple):
    """One schedule, as the seed alone describes it."""

    seed: int = 0
    steps: int = 300
    nodes: int = 3
    insider: bool = False
    weather: frozenset[str] = frozenset()
    trouble: float = 0.1
    real: bool = False
    work: bool = False
    reviewed: bool = False

    @classmethod
    def of(cls, seed: int, steps: int = 300) -> Settings:
        dice = random.Random(f"settings {seed}")
        some = dice.choice((0, 0.4, 0.7, 1))
        weather = frozenset(kind for kind, weight in WEATHER.items() if dice.random() < some * min(1, weight / 3))
        nodes, insider, trouble = dice.choice((2, 3, 3, 4)), dice.random() < 0.25, dice.choice((0.1, 0.2, 0.4))
        if dice.random() < 0.6:
            weather -= FORKS
        last = seed % 10
        return cls(seed, steps, nodes, insider, weather, trouble, work=last in WORKING, reviewed=last in REVIEWED)

    def line(self) -> str:
        """The schedule's first line."""
        return str(Fleet(NAMES[: self.nodes], self.seed, self.insider, self.real))


class Chance:
    """See the module's banner."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world, self.settings = world, settings
        self.dice = random.Random(settings.seed)
        self.faults: dict[str, Callable[[SimNode], str]] = {
            "down": self._down,
            "cut": lambda node: f"{'join' if node.cut else 'cut'} {node.name}",
            "pause": lambda node: f"pause {node.name} {self.dice.choice((500, 5000, 20000))}",
            "crash": self._crash,
            "clock": self._clock,
            "cache": lambda node: f"forget {node.name}",
            "forge": lambda node: f"forge {node.name}",
            "rewound": self._rewound,
            "squashed": lambda node: "hub squashed",
            "forgets": lambda node: f"hub forgets {node.name}",
            "stale": lambda node: f"{'fresh' if node.stale else 'stale'} {node.name}",
            "copy": lambda node: self._rarely(f"copy {node.name} {self.dice.randrange(6)}"),
            "restore": lambda node: self._rarely(f"restore {node.name} {self.dice.randrange(1, 6)}"),
            "members": self._members,
            "rotate": lambda node: f"rotate {node.name}",
            "two hubs": self._two_hubs,
            "rolled": lambda node: f"{self.dice.choice(sorted(world.hubs))} rolled {self.dice.randrange(1, 4)}",
            "damage": self._damage,
        }
        self.labours = Labours(world, self.dice) if settings.work else None
        self.reviewing = Reviewing(world, self.dice) if settings.reviewed else None
        self.calls = 2 * CALLS if settings.work or settings.reviewed else CALLS
        self.lasting = sorted(self.faults.keys() & settings.weather)

    def line(self) -> str:
        """The next command."""
        dice, world = self.dice, self.world
        if (down := [node for node in world.nodes.values() if node.performer is None]) and dice.random() < 0.1:
            return f"start {dice.choice(down).name}"
        if world.hub.late and dice.random() < 0.1:
            return f"deliver {dice.randrange(len(world.hub.late))}"
        if self.lasting and dice.random() < self.settings.trouble / 4:
            return self.faults[dice.choice(self.lasting)](self._any())
        if world.insider and dice.random() < self.settings.trouble / 4:
            return self._ivy()
        if dice.random() < self.calls and (line := self._call(dice.choice(list(world.callers.sessions.values())))):
            return line
        due = world.due()
        return self._go(dice.choice(due)) if due else "pass"

    def _any(self) -> SimNode:
        return self.dice.choice(list(self.world.nodes.values()))

    def _rarely(self, line: str) -> str:
        return line if self.dice.random() < 0.3 else "pass"

    # Nodes and the network.

    def _go(self, node: SimNode) -> str:
        dice, weather, trouble = self.dice, self.settings.weather, self.settings.trouble
        ms = (
            dice.choice((200, 1500, 5000))
            if "slow" in weather and dice.random() < trouble / 4
            else dice.randrange(1, 20)
        )
        words = [f"go {node.name} {ms}"]
        if "crash" in weather and dice.random() < trouble / 6:
            words.append(f"crash={dice.choice((0, 1, 1, 2, 3, 4, 5, 6, 7, 8))}")
        if "unreached" in weather and dice.random() < trouble / 6:
            words.append(f"unreached={dice.randrange(3)}")
        if self.world.hub.late and dice.random() < trouble / 2:
            words.append(f"meanwhile={dice.randrange(2)}")
        if "push" in weather and dice.random() < trouble:
            words.append(f"push={dice.choice(FATES)}")
        return " ".join(words)

    def _crash(self, node: SimNode) -> str:
        if node.performer is None:
            return f"start {node.name}"
        return f"{self.dice.choice(('crash', 'reboot'))} {node.name}"

    def _clock(self, node: SimNode) -> str:
        years = 10 if node.clock.wall_ms < 1_700_000_000_000 else -10
        return self.dice.choice((f"wall {node.name} {years * 365}", f"sleep {node.name} {self.dice.choice((1, 3650))}"))

    def _down(self, node: SimNode) -> str:
        return "hub up" if self.world.hub.down else "hub down"

    def _rewound(self, node: SimNode) -> str:
        return "hub mended" if self.world.hub.shows else f"hub rewound {self.dice.randrange(1, 5)}"

    def _two_hubs(self, node: SimNode) -> str:
        if "far" not in self.world.hubs:
            return "split"
        name = node.hub.name
        other = "far" if name == "hub" else "hub"
        return self.dice.choice((f"move {node.name} {other}", f"sync {node.name} {other}", f"mend {node.name}"))

    def _damage(self, node: SimNode) -> str:
        how = self.dice.choice(("garbage", "torn", "loses", "drops", "strays"))
        return f"{self.dice.choice(sorted(self.world.hubs))} {how} {self.dice.randrange(12)}"

    # Members.

    def _members(self, node: SimNode) -> str:
        dice, nodes = self.dice, self.world.nodes
        strangers = [other.name for other in nodes.values() if other.standing() in ("unknown", "waiting")]
        new = [name for name in NEWCOMERS if name not in nodes]
        if strangers and dice.random() < 0.7:
            return f"admit {dice.choice(strangers)} oak {dice.choice(('node', 'node', 'observer'))}"
        if new and dice.random() < 0.6:
            return f"hello {dice.choice(new)}"
        sound = [other.name for other in nodes.values() if other.sound()]
        if node.name != "oak" and len(sound) > 2:
            return dice.choice((f"revoke {node.name} oak", f"admit {node.name} oak observer", f"admit {node.name} oak"))
        return f"hello {dice.choice(NEWCOMERS)}"

    # Callers.

    def _call(self, session: Session) -> str | None:
        dice, who = self.dice, session.owner
        if session.name == DESK or who not in self.world.callers.living:
            return None
        if self.labours is not None and (session.owner in self.labours.runs or self.labours.is_worker(session)):
            return self.labours.works(session)
        if session.asking:
            return f"leave {who}" if dice.random() < 0.05 else None
        if self.reviewing is not None and dice.random() < 0.6:
            return self.reviewing.line(session)
        if self.labours is not None and dice.random() < 0.5:
            return self.labours.orders(session)
        if session.lease:
            return self._works(session)
        wish = f"ask {who} {{}} lease={dice.choice(LEASES)} ttl_ms={dice.choice(TTLS_MS)}"
        wait = f"queue wait{self._patience()}"
        match dice.randrange(8):
            case 0 | 1 | 2:
                return f"{wish.format('lease.acquire')} {wait} priority={dice.randrange(3)}"
            case 3:
                return wish.format("lease.acquire")
            case 4:
                return f"{wish.format('lease.take')} {wait}"
            case 5:
                return self._trespasses(session)
            case 6:
                return f"ask {who} event.publish type=once once=key-{dice.randrange(4)}"
        return self._breaks(session)

    def _trespasses(self, session: Session) -> str:
        """It acts under a lease that it does not hold: with a token of its own making, or with the holder's."""
        lease = self.dice.choice(LEASES)
        held = leases(self.world.hub.view.ledger.state).by_name.get(lease)
        token = held.token if held and self.dice.random() < 0.5 else self.dice.randrange(1, 40)
        return f"ask {session.owner} event.publish type=stolen under={lease} token={token}"

    def _patience(self) -> str:
        return f" deadline={self.dice.choice((2000, 20000))}" if self.dice.random() < 0.3 else ""

    def _breaks(self, session: Session) -> str | None:
        lease = self.dice.choice(LEASES)
        held = leases(self.world.hub.view.ledger.state).by_name.get(lease)
        if session.node != "oak" or not held or not held.holder or self.dice.random() > 0.3:
            return None
        return f"ask {session.owner} lease.break lease={lease} token={held.token} reason=because"

    def _works(self, session: Session) -> str | None:
        match self.dice.randrange(7):
            case 0 | 1 | 2:
                return f"ask {session.owner} event.publish type=done under"
            case 3:
                return f"ask {session.owner} lease.renew"
            case 4 | 5:
                return f"ask {session.owner} lease.release"
        return f"die {session.owner}" if self.dice.random() < 0.5 else None

    # The insider.

    def _ivy(self) -> str:
        dice, state = self.dice, self.world.hub.view.ledger.state
        lease = dice.choice(LEASES)
        held = leases(state).by_name.get(lease)
        token = held.token if held else 0
        victim = self._any()
        bodies = (
            f"event.publish topic=t type=done under.lease={lease} under.session=1 under.token={token}",
            f"lease.renew lease={lease} session=1 token={token}",
            f"lease.release lease={lease} session=1 token={token} record={held.record if held else '0'}",
            f"lease.acquire lease={lease} session=i ttl_ms={dice.choice((3000, 10**12))} until={state.epoch + 9}",
            f"lease.break lease={lease} token={token} reason=mine",
            f"node.revoke log={victim.log} reason=mine",
            f"node.hello name={victim.who} key={victim.secret.public.text.replace(' ', '_')}",
            "strange.kind a=1",
            "lease.acquire lease=7",
        )
        deeds = ["offers", "offers", "seals", "claims", "twins", "stales", "foresees", "takes"]
        if FORKS & self.settings.weather:
            deeds += ["reseals", "reseals", "withholds", "shows", "skips"]
        deed = dice.choice(deeds)
        if deed in ("takes", "reseals"):
            return f"{INSIDER} {deed} {lease if deed == 'takes' else dice.randrange(1, 4)}"
        return (
            f"{INSIDER} {deed} {dice.choice(bodies)}" if deed in ("offers", "seals", "claims") else f"{INSIDER} {deed}"
        )


def schedule(world: World, settings: Settings) -> Iterator[str]:
    """All commands of a seed, the last one included."""
    chance = Chance(world, settings)
    for _ in range(settings.steps):
        yield chance.line()
    yield "heal"
