"""Chance, where it concerns work: what workers do next, what is ordered.

Knows: how often what happens.
Knows not: what a command does.

    Labours(world, dice).orders(session)          # "order elm/2 dag d0 17"
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.reactor import reactors
from orxaq_mesh.kinds.work import COMMAND, TASK, work
from tests.sim.callers import Session
from tests.sim.orders import CAPABILITIES, DAGS
from tests.sim.workers import Run

if TYPE_CHECKING:
    from tests.sim.world import World

OUTCOMES = (*("succeeded",) * 8, "failed", "failed", "noop", "bare", "back")
ORDERS = {"dag": 8, "issue": 5, "beat": 4, "offer": 3, "hand": 4, "mapping": 1, "cancel": 1, "open": 0.3, "recall": 1}


class Labours:
    """See the module's banner."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world, self.dice = world, dice

    @property
    def runs(self) -> dict[str, Run]:
        return self.world.callers.workers.runs

    def is_worker(self, session: Session) -> bool:
        """Every other caller of a node works; it may hold a lease of before."""
        return session.name.isdigit() and int(session.name) % 2 == 1 and not session.lease

    def works(self, session: Session) -> str | None:
        dice, who = self.dice, session.owner
        if session.asking:
            return f"leave {who}" if dice.random() < 0.02 else None
        run = self.runs.get(who)
        if run is None:
            offer = work(self.world.hub.view.ledger.state).offers.get(self.world.nodes[session.node].who)
            return f"work {who}" if offer or dice.random() < 0.5 else f"order {who} offer {self._some()}"
        if dice.random() < 0.03:
            return f"die {who}"
        return f"finish {who} {dice.choice(OUTCOMES)}" if self.world.now_ms >= run.ends_ms else None

    def _some(self) -> str:
        return ",".join(self.dice.choice((CAPABILITIES, CAPABILITIES, CAPABILITIES[:1], CAPABILITIES[1:])))

    def orders(self, session: Session) -> str | None:
        dice, state = self.dice, self.world.hub.view.ledger.state
        if work(state).breaker.since:
            return f"order {session.owner} reset"
        what = dice.choices(list(ORDERS), list(ORDERS.values()))[0]
        words = {
            "dag": f"dag {dice.choice(DAGS)} {dice.randrange(500)}",
            "issue": f"issue {dice.randrange(4)} {self._address()}",
            "beat": f"beat {dice.randrange(4)}",
            "offer": f"offer {self._some()}",
            "mapping": f"mapping {1 + max((m.version for m in reactors(state).mappings.values()), default=0)}",
            "cancel": f"cancel {dice.choice(DAGS)}",
        }
        line = words.get(what) or (self._hand() if what == "hand" else what if what == "open" else self._recall())
        return line and f"order {session.owner} {line}"

    def _address(self) -> str:
        names = [node.who for node in self.world.nodes.values()]
        held = "holder=deploy" if "deploy" in leases(self.world.hub.view.ledger.state).by_name else ""
        return self.dice.choice((f"to={self.dice.choice(names)}", "capability=build", held or "capability=test"))

    def _hand(self) -> str | None:
        """Retry, skip or assign: mostly what makes sense."""
        dice = self.dice
        tasks = [item for item in work(self.world.hub.view.ledger.state).items.values() if item.dag]
        if not tasks:
            return None
        item = dice.choice([item for item in tasks if item.state in ("failed", "cancelled", "blocked")] or tasks)
        name = item.name.removeprefix(TASK)
        if item.state in ("failed", "cancelled") and dice.random() < 0.7:
            return f"retry {name}"
        nodes = [node.who for node in self.world.nodes.values()]
        return dice.choice((f"skip {name}", f"assign {name} {dice.choice(nodes)}", f"assign {name}"))

    def _recall(self) -> str | None:
        items = work(self.world.hub.view.ledger.state).items.values()
        ready = [item.name for item in items if item.state == "ready" and item.name.startswith(COMMAND)]
        return f"recall {self.dice.choice(ready).removeprefix(COMMAND)}" if ready else None
