"""Two hubs: a fleet parts, each half works on, and one command brings them together (law FORK).

    split                   from now on there is a second hub, `far`, that holds what the first one holds
    far down | far up ...   what happens to it: as `hub ...`
    move elm far            elm's hub is the other one (another network; or a hub that tells two nodes different things)
    sync elm far            elm brings the other hub's trunk into its own: `mesh sync --from`
    mend elm                elm gives its hub back what it has seen there: `mesh sync --mend`

Knows: which node stands at which hub; the command line's part of reconciling, as a second process on the node's disk.
Knows not: how two histories become one (`orxaq_mesh.sync.reconciling` is what runs here).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from orxaq_mesh.errors import MeshError
from orxaq_mesh.store import Oid
from orxaq_mesh.sync import reconciling
from tests.sim.fakes import Crash, PatientBudget
from tests.sim.hub import TRUNK, SimHub
from tests.sim.node import SimNode, SimPerformer, Words
from tests.sim.store import SimStore

if TYPE_CHECKING:
    from tests.sim.world import World

FAR = "far"


class Parting:
    """The commands of this module."""

    def __init__(self, world: World) -> None:
        self.world = world

    def split(self) -> bool:
        world = self.world
        if FAR in world.hubs or world.hub.shows:
            return False
        far = world.hubs[FAR] = SimHub(world, FAR)
        far.branches, far.commits = dict(world.hub.branches), dict(world.hub.commits)
        far.view = world.hub.view.copy(far)
        world.forked = True
        return True

    def move(self, node: SimNode, name: str) -> bool:
        if name not in self.world.hubs or node.hub.name == name:
            return False
        node.hub, node.stale = self.world.hubs[name], {}
        return True

    def sync(self, node: SimNode, name: str) -> bool:
        other = self.world.hubs.get(name)
        if other is None or other is node.hub or other.down or node.cut or other.shows:
            return False

        return self.bring(node, other.branches[TRUNK])

    def bring(self, node: SimNode, theirs: Oid) -> bool:
        """Whatever hub has this tip, or had it."""

        def act(performer: SimPerformer) -> None:
            for hub in self.world.hubs.values():
                if theirs in hub.commits:
                    _fetch(performer, hub, theirs)
                    break
            _united(performer, theirs)

        return self._run(node, act)

    def mend(self, node: SimNode) -> bool:
        """Only for whom the hub lost something: it is what `mesh doctor` names there."""
        if node.performer is None or node.engine.broken is None or node.engine.parted:
            return False
        return self._run(node, lambda performer: _united(performer, None))

    def _run(self, node: SimNode, act: Any) -> bool:
        """A command of its own process: it has the node's disk, and mesh-sync hears of what it wrote."""
        while node.inner and node.due():
            node.go(Words())  # mesh-sync is in the middle of a step and has the node's lock: the command waits for it
        if node.performer is None or self.world.now_ms < node.away_until_ms:
            return False
        node.keep()
        written = node.journal.entries
        before = len(written)
        try:
            performer = SimPerformer(node)
            performer.budget = cast("Any", PatientBudget(node.budget))
            act(performer)
        except MeshError as error:
            self.world.note(f"  {error.what}")
        except Crash:
            return True
        if node.journal.entries is not written or len(written) != before:
            node.performer._remember()
        return True


def _fetch(performer: SimPerformer, hub: SimHub, tip: Oid) -> None:
    """As `sync.other_hub` does it: the other hub's objects come into the node's store."""
    store = SimStore(hub)
    store._commits = performer.node.store._commits
    store.fetch({TRUNK: tip})


def _united(performer: SimPerformer, theirs: Oid | None) -> None:
    came = reconciling._unite(cast("Any", performer), theirs)
    words = f"left {came.left} epochs, {came.waiting} records wait, {came.mended} files mended"
    performer.node.world.note(f"  {performer.node.name} brought two histories together: {words}")
