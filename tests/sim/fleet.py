"""Who belongs to a fleet: its founding, and newcomers, admissions, revocations, rotations, copies and backups.

hello fir                      a new laptop; its hello waits for an admin
admit fir oak [observer]       oak's desk admits it, as a node or as an observer
revoke fir oak | rotate fir
copy elm 2                     a second laptop, elm+, with elm's key and what its journal was two appends ago
restore elm 2                  elm's disk is a backup taken two appends ago
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orxaq_mesh.effects import Intent
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Record, Value
from orxaq_mesh.schema import read_record
from tests import builder
from tests.sim.callers import DESK
from tests.sim.hub import TRUNK
from tests.sim.judge import INSIDER
from tests.sim.node import SimNode
from tests.sim.store import SimStore

if TYPE_CHECKING:
    from tests.sim.world import World

_LEDGERS: dict[tuple[tuple[str, ...], bool], tuple[builder.Trunk, dict[str, list[Record]]]] = {}


def founded(world: World) -> tuple[str, dict[str, builder.Pen]]:
    """Put the fleet's ledger on the hub: its id, and the pen of each member."""
    names = (*world.fleet.names, *([INSIDER] if world.fleet.insider else []))
    trunk, logs = _ledger(names, world.fleet.real)
    store = SimStore(world.hub)
    new = store.commit(None, trunk.files, [], "mesh: founded", 0)
    world.ledger_id = str(trunk.ledger.id)
    store.push(TRUNK, None, new)
    for name in world.fleet.names:
        node = world.nodes[name] = SimNode(world, name, world.hub)
        entries = ({"is": "record", "line": record.line.decode()} for record in logs[node.log])
        node.journal.append(node.identity().entry(), *entries)
        node.start()
        for caller in ("", "", DESK):
            world.callers.enter(name, caller)
    return world.ledger_id, trunk.pens


def _ledger(names: tuple[str, ...], real: bool) -> tuple[builder.Trunk, dict[str, list[Record]]]:
    """A ledger with these nodes, made once and never changed, and each log's records."""
    if (names, real) not in _LEDGERS:
        trunk = builder.Trunk.founded(names[0])
        for name in names[1:]:
            trunk.admit(name)
        logs: dict[str, list[Record]] = {}
        for path, data in sorted(trunk.files.items()):
            for line in data.split(b"\n")[:-1] if "/nodes/" in path else ():
                record = read_record(line)
                logs.setdefault(record.log, []).append(record)
        _LEDGERS[names, real] = trunk, logs
    return _LEDGERS[names, real]


class Members:
    """The commands of this module."""

    def __init__(self, world: World) -> None:
        self.world = world

    def hello(self, name: str) -> bool:
        world = self.world
        if name not in world.nodes:
            node = world.nodes[name] = SimNode(world, name, world.hub)
            node.journal.append(node.identity().entry())
            world.callers.enter(name, DESK)
            node.start()
        node = world.nodes[name]
        return self._ask(node, "node.hello", {"name": name, "key": node.secret.public.text})

    def admit(self, node: SimNode, admin: str, role: str = "node") -> bool:
        wish = {"name": node.who, "key": node.secret.public.text, "roles": role.split(",")}
        if not self._ask(self.world.nodes[admin], "node.admit", wish):
            return False
        if not any(session.node == node.name and session.name != DESK for session in self._sessions()):
            self.world.callers.enter(node.name)
        return True

    def _sessions(self) -> list[Any]:
        return list(self.world.callers.sessions.values())

    def revoke(self, node: SimNode, admin: str) -> bool:
        return self._ask(self.world.nodes[admin], "node.revoke", {"log": node.log, "reason": "lost"})

    def rotate(self, node: SimNode) -> bool:
        """As `sync.rotation` does it: the journal names the new key once the ledger does; asked again, it goes on."""
        if self.end_rotation(node):
            return True
        return self._ask(node, "node.rotate", {"key": node.next_key()[0].public.text})

    def end_rotation(self, node: SimNode) -> bool:
        """Go on with a rotation that was cut short, if the ledger has it."""
        if node.performer is None:
            return False
        known = members(node.engine.ledger.state).by_log.get(node.next_key()[1])
        if known is None or not known.prev:
            return False
        node.rotated(known.prev)
        return True

    def _ask(self, node: SimNode, kind: str, wish: Value) -> bool:
        session = self.world.callers.sessions.get(f"{node.name}/{DESK}")
        if session is None or session.asking or node.performer is None:
            return False
        session.asked += 1
        now_ms = node.clock.now_ms()
        intent = Intent(
            f"{node.name}/{DESK}:{session.asked}", kind, wish, False, session.owner, now_ms, now_ms + 60_000
        )
        self.world.callers.send(session, intent)
        return True

    # What must not happen to a journal.

    def copy(self, node: SimNode, count: str) -> bool:
        name = f"{node.name}+"
        if name in self.world.nodes or node.who != node.name:
            return False
        twin = SimNode(self.world, name, node.hub, who=node.who)
        twin.journal.data = node.journal.without_last(int(count))
        checks = self.world.checks
        checks.copied.add(node.who)
        checks.journals[name] = set(checks.journals[node.name])
        self.world.nodes[name] = twin
        twin.start()
        self.world.callers.enter(name)
        return True

    def restore(self, node: SimNode, count: str) -> bool:
        if node.performer is not None:
            node.crash("and its disk is replaced")
        node.journal.data = node.journal.without_last(int(count))
        node.cache.data = None
        self.world.checks.copied.add(node.who)
        return True
