"""The hub, the network before it, and all that can happen to both.

Knows: branches, pushes that are still under way, what each node is shown. The faults of one step are the step's words:

    go elm 12 push=late             what becomes of its push: never-sent, answer-lost, late, doubled, vetoed
    go elm 12 unreached=1           the hub does not answer at this step's second crossing
    go elm 12 meanwhile=1           whatever the network still carries arrives at the second crossing

and what lasts is a command: `hub down`, `hub up`, `hub rewound 3` (it shows the trunk as it was three commits ago, and
takes no push), `hub squashed` (the merge button: one commit without a past, and the same tree), `hub forgets elm`
(elm's outbox is deleted), `hub mended`; `cut elm`, `join elm`; `stale elm` (a mirror shows it what is there now, from
now on), `fresh elm`; `deliver 0` (the first of the late pushes arrives). What happens to the trunk itself: see `damage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from orxaq_mesh.errors import Unreachable
from orxaq_mesh.store import Oid, Outcome, Pushed
from orxaq_mesh.store.memory import MemoryCommit, MemoryHub
from tests.sim.damage import TRUNK, damage, roll_back
from tests.sim.store import SimCommit
from tests.sim.view import View

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

FATES = ("never-sent", "answer-lost", "late", "doubled", "vetoed")
_UNSURE = ("never-sent", "answer-lost", "late")
_DIED = Pushed(Outcome.UNKNOWN, "the connection died")
_VETO = Pushed(Outcome.LOST, "pre-receive hook declined", vetoed=True)


class Sent(NamedTuple):
    """A push that the network still carries."""

    branch: str
    expected: Oid | None
    new: Oid
    commits: Mapping[Oid, MemoryCommit]


class SimHub(MemoryHub):
    """One hub, and the checks that watch it."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__()
        self.world, self.name, self.down, self.hostile = world, name, False, False
        self.shows: Oid | None = None  # rewound: the trunk that everybody is shown, while no push is taken
        self.late: list[Sent] = []
        self.lost: list[tuple[Oid, frozenset[str]]] = []  # tips that it was set back from, and the lines of each
        self.view = View(world, self)

    def tips(self) -> dict[str, Oid]:
        return {**self.branches, TRUNK: self.shows} if self.shows else dict(self.branches)

    def receive(self, branch: str, expected: Oid | None, new: Oid, commits: Mapping[Oid, MemoryCommit]) -> Pushed:
        if self.shows:
            return _VETO
        pushed = super().receive(branch, expected, new, commits)
        if pushed.outcome is Outcome.COMMITTED and branch == TRUNK:
            self.view.moved(new, hostile=self.hostile)
        return pushed

    def deliver(self, number: int) -> None:
        sent = self.late.pop(number)
        ended = self.receive(*sent)
        self.world.note(f"the network delivers {sent.branch} ..{sent.new[:7]}: {ended.outcome.value}")

    # What can happen to it, as commands.

    def happen(self, what: str, *words: str) -> bool:
        """`hub WHAT ...`. Says whether anything happened."""
        match what, *words:
            case ["down"] if not self.down:
                self.down = True
            case ["up"] if self.down:
                self.down = False
            case ["rewound", count] if not self.shows:
                self.shows = self.ago(int(count))
                return self.shows is not None
            case ["mended"] if self.shows:
                self.shows = None
            case ["squashed"] if not self.shows:
                self._squash()
            case ["forgets", name] if name in self.world.nodes:
                return self.branches.pop(f"mesh-node/{self.world.nodes[name].log}", None) is not None
            case ["rolled", count]:
                return roll_back(self, count)
            case [("garbage" | "torn" | "loses" | "drops" | "strays") as how, *number]:
                return damage(self, how, *number)
            case _:
                return False
        return True

    def ago(self, count: int) -> Oid | None:
        """The trunk's tip so many commits ago."""
        oid = self.branches[TRUNK]
        for _ in range(count):
            parents = self.commits[oid].parents
            if not parents:
                return None
            oid = parents[0]
        return oid

    def _squash(self) -> None:
        tip = self.commits[self.branches[TRUNK]]
        assert isinstance(tip, SimCommit)
        alone = SimCommit(tip.files, (), "mesh: squashed", tip.at_s, tip.tree, tip.plain)
        self.commits[alone.oid] = alone
        self.branches[TRUNK] = alone.oid
        self.view.moved(alone.oid, by_force=True)


class Port:
    """One node's line to the hub, with the faults of the hour."""

    def __init__(self, node: SimNode) -> None:
        self.node, self.world = node, node.world

    @property
    def hub(self) -> SimHub:
        return self.node.hub

    @property
    def commits(self) -> Mapping[Oid, MemoryCommit]:
        return self.hub.commits

    def tips(self) -> dict[str, Oid]:
        self._cross("reading the hub")
        tips = dict(self.node.stale) if self.node.stale else self.hub.tips()
        self.node.is_shown(tips.get(TRUNK))
        return tips

    def send(self, oid: Oid) -> MemoryCommit | None:
        self.node.point("while it fetches")
        return self.hub.send(oid)

    def receive(self, branch: str, expected: Oid | None, new: Oid, commits: Mapping[Oid, MemoryCommit]) -> Pushed:
        self._cross("a push")
        fate = self.node.words.push
        self.world.note(f"{self.node.name} pushes {branch} {str(expected)[:7]}..{new[:7]} {fate}".rstrip())
        if fate:
            self.world.count(f"push {fate}")
        if fate in _UNSURE:
            self.hub.view.unsure.add(new)
        if fate == "vetoed":
            return _VETO
        if fate in ("late", "doubled"):
            self.hub.late.append(Sent(branch, expected, new, commits))
        if fate in ("never-sent", "late"):
            return _DIED
        known = new in self.hub.view.history
        pushed = self.hub.receive(branch, expected, new, commits)
        self.node.point("after a push")
        if fate == "answer-lost":
            return _DIED
        if not known and branch == TRUNK and not pushed.vetoed:
            self.hub.view.pushed(new, pushed)
        return pushed

    def _cross(self, what: str) -> None:
        self.world.now_ms += self.node.words.ms
        crossing = self.node.cross()
        self.node.point(f"before {what}")
        if crossing == self.node.words.meanwhile:
            while self.hub.late:
                self.hub.deliver(0)
        fails = crossing == self.node.words.unreached
        if fails:
            self.world.count("hub unreached")
        if self.hub.down or self.node.cut or fails:
            raise Unreachable(f"the hub did not answer {what}")
