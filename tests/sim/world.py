"""The world of one run: a fleet, a hub, one clock, and the commands that make up a schedule.

Knows: what each command does. A schedule is a list of commands, so it can be written down, replayed and cut.
Knows not: which command comes when (`chance`), what must hold (`checks`, `view`).

    fleet oak elm ash seed 7          who is there; always first. `ivy` is the insider; `real`: with real signatures
    go elm [MS] [crash=N] [...]       elm's next input and its effects; the words are its faults (see `node.Words`, `hub`)
    pass [MS]                         time passes; until somebody has something to do if it is not said
    crash elm | reboot elm | start elm
    pause elm 5000                    it stands still for so long
    wall elm -3650 | sleep elm 3650   its wall clock jumps by so many days; its boot-time clock went on while it slept
    forget elm                        snapshot and store are deleted, under the running process too
    ask ... | leave ... | die ...     callers (see `callers`)
    work ... | finish ... | order ... workers, and who orders work (see `workers`, `orders`)
    hub ... | cut ... | join ... | stale ... | fresh ... | deliver N           (see `hub`)
    hello ... | admit ... | revoke ... | rotate ... | copy ... | restore ...   (see `fleet`)
    split | move ... | sync ... | mend ...                                     two hubs (see `parting`)
    forge elm | ivy ...               hostile lines (see `insider`, `damage`)
    heal                              all faults end; then everybody gets what he waits for (see `healing`)

A command that makes no sense when its turn comes does nothing: a schedule can lose any of its commands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from orxaq_mesh.effects import Effect, Input
from tests.sim.callers import Callers
from tests.sim.checks import Checks
from tests.sim.fakes import fast_sign, real_sign
from tests.sim.fleet import Members, founded
from tests.sim.healing import heal
from tests.sim.history import History
from tests.sim.hub import SimHub
from tests.sim.insider import Insider, forge
from tests.sim.judge import INSIDER, Judge
from tests.sim.labour import Labour
from tests.sim.law import Laws
from tests.sim.node import SimNode, Words
from tests.sim.parting import Parting
from tests.sim.showing import shown

if TYPE_CHECKING:
    from orxaq_mesh.keys import SecretKey

SLOW_MS = 100
DAY_MS = 24 * 3600 * 1000
FAULTS = "die leave crash reboot pause wall sleep forget hub cut stale deliver copy restore forge ivy revoke rotate hello split move sync mend far".split()
"""Commands that the report counts as faults, or as changes of the fleet."""


class Fleet(NamedTuple):
    """The first line of a schedule."""

    names: tuple[str, ...]
    seed: int = 0
    insider: bool = False
    real: bool = False

    @classmethod
    def parse(cls, line: str) -> Fleet:
        words = line.split()
        names = tuple(word for word in words[1 : words.index("seed")] if word not in (INSIDER, "real"))
        return cls(names, int(words[words.index("seed") + 1]), INSIDER in words, "real" in words)

    def __str__(self) -> str:
        marks = [*([INSIDER] if self.insider else []), *(["real"] if self.real else [])]
        return " ".join(["fleet", *self.names, *marks, "seed", str(self.seed)])


class World:
    """See the module's banner.

    Attributes:
        play: each command, and what came of it; notes are only kept when `loud`.
        forked: more than one history was begun: what is not final may come to another verdict.
        counts: what happened, by kind. told: at the end, answers that named a verdict, all of them found again.
    """

    def __init__(self, line: str, *, loud: bool = False) -> None:
        self.fleet, self.loud = Fleet.parse(line), False
        self.sign: Callable[[SecretKey, str, bytes], str] = real_sign if self.fleet.real else fast_sign
        self.now_ms = 0
        self.engine_steps = self.told = 0
        self.forked = False
        self.counts: Counter[str] = Counter()
        self.play: list[tuple[str, list[str]]] = [(line, [])]
        self.laws = Laws()
        self.history = History(self)
        self.labour = Labour(self.laws, self)
        self.judge = Judge(self.laws, self.note, self.history, self.labour)
        self.checks = Checks(self)
        self.callers = Callers(self)
        self.hub = SimHub(self, "hub")
        self.hubs = {"hub": self.hub}
        self.nodes: dict[str, SimNode] = {}
        self.ledger_id, pens = founded(self)
        self.loud = loud
        self.members, self.parting = Members(self), Parting(self)
        self.insider = Insider(self, pens[INSIDER]) if self.fleet.insider else None
        self.of_a_node: dict[str, Callable[..., bool | None]] = {
            "go": self._go,
            "crash": self._crash,
            "reboot": self._reboot,
            "start": self._start,
            "pause": self._pause,
            "wall": self._wall,
            "sleep": self._sleep,
            "forget": SimNode.forget,
            "cut": lambda node: setattr(node, "cut", True),
            "join": lambda node: setattr(node, "cut", False),
            "stale": lambda node: setattr(node, "stale", node.hub.tips()),
            "fresh": lambda node: setattr(node, "stale", {}),
            "admit": self.members.admit,
            "revoke": self.members.revoke,
            "rotate": self.members.rotate,
            "copy": self.members.copy,
            "restore": self.members.restore,
            "move": self.parting.move,
            "sync": self.parting.sync,
            "mend": self.parting.mend,
            "forge": lambda node: forge(self, node),
        }
        self.of_all: dict[str, Callable[..., bool | None]] = {
            "pass": self._pass,
            "ask": self.callers.ask,
            "leave": self.callers.leave,
            "die": self.callers.die,
            "work": self.callers.workers.work,
            "finish": self.callers.workers.finish,
            "order": self.callers.workers.order,
            "hub": self.hub.happen,
            "far": lambda *words: self.hubs["far"].happen(*words) if "far" in self.hubs else False,
            "split": self.parting.split,
            "deliver": self._deliver,
            "hello": self.members.hello,
            "ivy": lambda *words: self.insider.act(*words) if self.insider else False,
            "heal": lambda: heal(self),
        }

    def perform(self, line: str) -> None:
        """One command of a schedule.

        Raises:
            Broke: an invariant does not hold any more.
        """
        self.play.append((line, []))
        word, *words = line.split()
        if word in self.of_all:
            done = self.of_all[word](*words)
        elif (node := self.nodes.get(words[0])) is not None:
            done = self.of_a_node[word](node, *words[1:])
        else:
            return
        if word in FAULTS and done is not False:
            self.count(f"{word} {words[0]}" if word in ("hub", "far", "ivy") else word)
        self.believe()

    def believe(self) -> None:
        """TIME, after each step. (Two hubs can mean two holders until they are reconciled.)"""
        if self.forked:
            return
        self.labour.watch()
        self.checks.believers(node for node in self.nodes.values() if node.performer)

    # What happened.

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def note(self, line: str) -> None:
        """What came of the command, for whoever reads the play."""
        if self.loud:
            self.play[-1][1].append(line)

    def show(self, node: SimNode, given: Input, effects: list[Effect]) -> None:
        if self.loud:
            self.play[-1][1].extend(shown(node.name, given, effects))

    # Time and nodes.

    def due(self) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.due()]

    def _pass(self, ms: str = "") -> None:
        if ms:
            self.now_ms += int(ms)
            return
        nexts = [at for node in self.nodes.values() if (at := node.next_ms()) is not None]
        self.now_ms = max(self.now_ms + 1, min(nexts, default=0))

    def _go(self, node: SimNode, *words: str) -> None:
        given = Words(int(words[0])) if words and words[0].isdigit() else Words()
        for word in words:
            key, equals, value = word.partition("=")
            if equals:
                given = given._replace(**{key: value if key == "push" else int(value)})
        if given.ms > SLOW_MS:
            self.count("slow")
        node.go(given)
        self.now_ms += given.ms

    def _crash(self, node: SimNode) -> bool:
        if node.performer is not None:
            node.keep()
            node.crash("between two steps")
        return False  # `SimNode.crash` counts it

    def _reboot(self, node: SimNode) -> None:
        self._crash(node)
        node.reboot()

    def _start(self, node: SimNode) -> None:
        if node.performer is None:
            node.start()

    def _pause(self, node: SimNode, ms: str) -> None:
        node.away_until_ms = self.now_ms + int(ms)

    def _wall(self, node: SimNode, days: str) -> None:
        node.clock.wall_ms += int(days) * DAY_MS

    def _sleep(self, node: SimNode, days: str) -> None:
        node.clock.boot_ms += int(days) * DAY_MS

    def _deliver(self, number: str) -> bool:
        if int(number) >= len(self.hub.late):
            return False
        self.hub.deliver(int(number))
        return True
