"""One malicious member, ivy, whose key is good; and somebody without a key, who may push.

Knows: how to sign and push whatever comes to mind. What it signs is well formed or not, fitting or not.
Knows not: the engine; its deeds go to the hub directly.

    forge elm                      a line in elm's outbox that elm's key never signed
    ivy offers KIND key=value ...  a record in its outbox: any kind, any body
    ivy seals KIND key=value ...   the same, sealed by itself with all that waits
    ivy claims KIND ...            likewise, with a digest that is wrong
    ivy twins                      two records of one seq, both in its outbox
    ivy stales                     a record that says it has seen less than the one before it
    ivy foresees                   a record that says it has seen a seal that nobody ever signed
    ivy takes LEASE                it takes a lease and lies about the silence
    ivy reseals | withholds ...    see `damage`
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from orxaq_mesh.kinds.lease import Lease, leases
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, Value, canonical
from orxaq_mesh.schema import read_record, read_seal
from tests import builder
from tests.sim.damage import lay, reseal, skip, withhold
from tests.sim.hub import TRUNK
from tests.sim.judge import INSIDER
from tests.sim.store import SimStore

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

_NO_SIG = "A" * 86 + "=="


class Insider:
    """See the module's banner."""

    def __init__(self, world: World, pen: builder.Pen) -> None:
        self.world, self.hub = world, world.hub
        self.pen = builder.Pen(INSIDER, pen.key)
        self.pen.ledger_id, self.pen.seq, self.pen.prev = world.ledger_id, pen.seq, pen.prev
        self.waiting: list[Record] = []

    def act(self, deed: str, *words: str) -> bool:
        """`ivy DEED ...`. Says whether anything came of it."""
        ledger = self.hub.view.ledger
        if self.hub.down or self.hub.shows or self.pen.log not in ledger.state.heads:
            return False
        self.pen.seen = (ledger.state.epoch, ledger.state.seal)
        head = ledger.state.heads[self.pen.log][0]
        self.waiting = [record for record in self.waiting if record.seq > head]
        match deed, *words:
            case ["offers", kind, *fields]:
                self._offer(self.pen.write(kind, **_body(fields)))
            case [("seals" | "claims") as how, kind, *fields]:
                self.waiting.append(self.pen.write(kind, **_body(fields)))
                return self._seal({} if how == "seals" else {"state": "f" * 64})
            case ["twins"]:
                first, second = (self.pen.draft("event.publish", _event(kind)) for kind in ("left", "right"))
                self.pen.write("event.publish", **_event("left"))
                self._offer(first, second)
            case ["stales"]:
                self.pen.seen = (1, ledger.state.seal)
                self._offer(self.pen.write("event.publish", **_event("stale")))
            case ["foresees"]:
                self.pen.seen = (ledger.state.epoch + 5, hashlib.sha256(self.pen.prev.encode()).hexdigest())
                self._offer(self.pen.write("event.publish", **_event("foreseen")))
            case ["takes", name]:
                return self._take(name)
            case ["reseals", count]:
                return reseal(self, count)
            case ["withholds"]:
                return withhold(self)
            case ["skips"]:
                return skip(self)
            case ["shows"]:
                self._offer()
            case _:
                return False
        return True

    def _take(self, name: str) -> bool:
        held = leases(self.hub.view.ledger.state).by_name.get(name) or Lease(name)
        until = self.hub.view.ledger.state.epoch + 8
        body: Value = {
            "last": held.last or "0" * 64,
            "lease": name,
            "session": "s",
            "token": held.token,
            "ttl_ms": 3000,
        }
        self.waiting.append(self.pen.write("lease.take", **body, until=until, watched_ms=99_000_000))
        return self._seal({})

    def _offer(self, *records: Record) -> None:
        self.waiting += records
        offer(self.world, f"mesh-node/{self.pen.log}", self.waiting)

    def _seal(self, override: Value) -> bool:
        """Seal what waits on the tip, as an honest node would; `override` says where it lies."""
        ledger = self.hub.view.ledger.fork()
        ledger.offer(self.waiting)
        taken = ledger.sealable(self.pen.log)
        if self.pen.log not in taken:
            return False
        value = {**ledger.draft_seal(self.pen.log, taken, builder.AT), **override}
        seal = read_seal(builder.sign(value, self.pen.key, self.world.ledger_id))
        records = [record for run in (*taken.values(), *ledger.proofs().values()) for record in run]
        tree = self.hub.commits[self.hub.branches[TRUNK]].files
        return lay(self.hub, dict(render(tree.get, records, [seal])), "sealed by ivy")


def offer(world: World, branch: str, records: list[Record]) -> None:
    """Put records on an outbox, as anyone can who may push."""
    store, base = _store(world)
    old = world.hub.branches.get(branch)
    if old:
        store.fetch({branch: old})
    files = render(lambda path: store.read(base, path), records)
    if files:
        parents = [oid for oid in (old, base) if oid]
        store.push(branch, old, store.commit(base, files, parents, "mesh: records wait", 0))


def _store(world: World) -> tuple[SimStore, str]:
    store, base = SimStore(world.hub), world.hub.branches[TRUNK]
    store.fetch({TRUNK: base})
    return store, base


def forge(world: World, victim: SimNode) -> bool:
    """Somebody who may push writes lines into another's outbox that its key never signed (law LIVE)."""
    state = world.hub.view.ledger.state
    if world.hub.down or world.hub.shows or victim.log not in state.heads:
        return False
    seq, prev = state.heads[victim.log]
    value: dict[str, Any] = {"at": builder.AT, "body": _event("forged"), "kind": "event.publish", "node": victim.log}
    value |= {"prev": prev, "seen": {"epoch": state.epoch, "seal": state.seal}, "seq": seq + 1, "sig": _NO_SIG, "v": 1}
    offer(world, f"mesh-node/{victim.log}", [read_record(canonical(value))])
    return True


def _event(kind: str) -> Value:
    return {"topic": "t", "type": kind, "payload": {}}


def _body(fields: list[str]) -> Value:
    """`a=1 b=x c.d=2` as a body."""
    body: Value = {}
    for field in fields:
        path, _, text = field.partition("=")
        *above, last = path.split(".")
        inner = body
        for key in above:
            inner = inner.setdefault(key, {})
        inner[last] = int(text) if text.lstrip("-").isdigit() else text
    return body
