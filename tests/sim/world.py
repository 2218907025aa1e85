"""The scheduler of a simulation: time, chance, faults, and the callers that want leases."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from orxaq_mesh.effects import Answer, Ask, Cancel, Intent
from orxaq_mesh.keys import SecretKey
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, canonical
from orxaq_mesh.schema import read_record
from orxaq_mesh.store.memory import MemoryStore
from tests import builder
from tests.sim.checks import Broke, Checks, hold
from tests.sim.fakes import Crash, SimHub, fast_sign, fast_signatures
from tests.sim.node import SimNode

LEASES = ("deploy", "db")
TTLS_MS = (3000, 6000, 12000)
NAMES = ("oak", "elm", "ash", "fir")
FATES = ("never sent", "answer lost", "late", "doubled", "vetoed")


class Settings(NamedTuple):
    """One schedule: how many nodes and steps, how rough the weather, real signatures or fast ones."""

    seed: int = 0
    steps: int = 300
    nodes: int = 3
    trouble: float = 0.1
    crashes: float = 0.004
    real: bool = False

    @classmethod
    def of(cls, seed: int, steps: int = 300) -> Settings:
        """A schedule that the seed alone describes."""
        dice = random.Random(f"settings {seed}")
        return cls(seed, steps, dice.choice((2, 3, 3, 4)), dice.choice((0, 0.05, 0.25)), dice.choice((0, 0.004, 0.02)))


class Session:
    """A caller: an agent on a node, that wants leases, works under them, gives them back, or dies."""

    def __init__(self, node: str, name: str, owner: str) -> None:
        self.node, self.name, self.owner = node, name, owner
        self.asking: str | None = None
        self.wish: tuple[str, Any] = ("", {})
        self.lease = ""
        self.token = 0


class World:
    """One run."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.random = settings, random.Random(settings.seed)
        self.now_ms = 0
        self.play: list[str] = []
        self.cut: set[str] = set()
        self.calm = False
        self.sign = _real_sign if settings.real else fast_sign
        self.hub = SimHub(self)
        self.nodes: dict[str, SimNode] = {}
        self.living: set[str] = set()
        self.sessions: list[Session] = []
        self.asked: dict[str, Session] = {}
        self.gone: dict[str, Session] = {}
        self.wishes: dict[str, tuple[str, Any]] = {}
        self.number = 0
        self._found()

    def _found(self) -> None:
        trunk, logs = _founded(NAMES[: self.settings.nodes], self.settings.real)
        self.ledger_id = str(trunk.ledger.id)
        self.checks = Checks(self, self.hub, self.ledger_id)
        store = MemoryStore(self.hub)
        self.hub.receive("mesh", None, new := store.commit(None, trunk.files, [], "mesh: founded", 0), store._commits)
        self.tips = [new]
        for name, pen in trunk.pens.items():
            node = SimNode(self, name, pen.log, pen.key)
            node.journal.append(*({"is": "record", "line": record.line.decode()} for record in logs[pen.log]))
            node.start()
            self.nodes[name] = node
            for number in (1, 2):
                self._enter(name, f"agent-{number}")

    def _enter(self, node: str, name: str) -> None:
        self.number += 1
        session = Session(node, name, f"{node}-{self.number}")
        self.sessions.append(session)
        self.living.add(session.owner)

    # What the fakes ask.

    def note(self, line: str) -> None:
        """One line of the play, for whoever reads a failure."""
        self.play.append(f"{self.now_ms:>8} {line}")

    def maybe_crash(self, name: str, where: str) -> None:
        if not self.calm and name in self.nodes and self.random.random() < self.settings.crashes:
            raise Crash(where)

    def fate(self) -> str:
        """What becomes of a push on its way."""
        return self.random.choice(FATES) if not self.calm and self.random.random() < self.settings.trouble else ""

    # The callers.

    def holding(self) -> Iterator[tuple[str, str, str]]:
        """(node, lease, session) of each caller that may act under a lease: not once it has asked to give it back."""
        for session in self.sessions:
            if session.lease and session.wish[0] != "lease.release" and session.owner in self.living:
                yield session.node, session.lease, session.name

    def ask(self, session: Session, kind: str, wish: Any, wait: bool = False) -> None:
        node = self.nodes[session.node]
        if node.performer is None:
            return
        self.number += 1
        now_ms = node.clock.now_ms()
        deadline_ms = now_ms + self.random.choice((2000, 20000)) if wait and self.random.random() < 0.3 else None
        if not wait:
            deadline_ms = now_ms + 60_000
        intent = Intent(f"{kind} {self.number}", kind, wish, wait, session.owner, now_ms, deadline_ms)
        self._expect(session, intent)
        self.note(f"{node.name}/{session.name} asks {kind} {wish}{' and waits' if wait else ''}")
        node.outer.append(Ask(intent))

    def _expect(self, session: Session, intent: Intent) -> None:
        session.asking, session.wish = intent.id, (intent.kind, intent.wish)
        self.asked[intent.id], self.wishes[intent.id] = session, session.wish

    def answered(self, node: SimNode, intent: str, answer: Answer) -> None:
        """A node told what came of an intent."""
        gone = intent in self.gone
        session = self.gone.pop(intent) if gone else self.asked.pop(intent, None)
        says = answer.error.what if answer.error else answer.result or answer.what
        self.note(f"  told {intent}: {answer.verdict} {answer.rule} {says} {answer.facts.get('token', '')}")
        hold(session is not None, "PUSH", f"{intent} was answered twice")
        self.checks.answered(node, intent, answer, session.name if session else None)
        if session is None:
            return
        kind, wish = self.wishes[intent]
        if not gone:
            session.asking, session.wish = None, ("", {})
        if answer.result == "granted" and answer.facts.get("token"):
            session.lease, session.token = wish["lease"], answer.facts["token"]
        elif answer.verdict == "fenced" or (kind == "lease.release" and answer.verdict != "unknown"):
            session.lease, session.token = "", 0

    def crashed(self, node: SimNode) -> None:
        """Callers of a crashed node hear nothing more; most of them live on and will ask again."""
        for session in [s for s in self.sessions if s.node == node.name]:
            if session.asking:
                self.asked.pop(session.asking, None)
                session.asking, session.wish = None, ("", {})
            if self.random.random() < 0.3:
                self._dies(session)

    def _dies(self, session: Session) -> None:
        self.note(f"{session.node}/{session.name} dies")
        self.living.discard(session.owner)
        self.sessions.remove(session)
        if session.asking:
            self._cancel(session)
        self._enter(session.node, f"agent-{self.number}")

    def _cancel(self, session: Session) -> None:
        node = self.nodes[session.node]
        self.note(f"{session.node}/{session.name} goes away")
        if node.performer is not None and session.asking in self.asked:
            self.gone[session.asking or ""] = self.asked.pop(session.asking or "")
            node.outer.append(Cancel(session.asking or ""))
        session.asking, session.wish = None, ("", {})

    def _callers_act(self) -> None:
        dice, session = self.random, self.random.choice(self.sessions)
        if session.asking:
            if dice.random() < 0.05:
                self._cancel(session)
            return
        if session.lease:
            self._works(session)
            return
        wish = {"lease": dice.choice(LEASES), "session": session.name, "ttl_ms": dice.choice(TTLS_MS)}
        match dice.randrange(8):
            case 0 | 1 | 2:
                self.ask(session, "lease.acquire", {**wish, "queue": True, "priority": dice.randrange(3)}, wait=True)
            case 3:
                self.ask(session, "lease.acquire", wish)
            case 4:
                self.ask(session, "lease.take", {**wish, "queue": True}, wait=True)
            case 5:
                under = {"lease": wish["lease"], "session": session.name, "token": dice.randrange(1, 40)}
                self.ask(session, "event.publish", {"topic": "t", "type": "stale", "payload": {}, "under": under})
            case 6:
                once = {"once": f"key-{dice.randrange(4)}"}
                self.ask(session, "event.publish", {"topic": "t", "type": "once", "payload": {}, **once})
            case _:
                self._breaks(session, wish["lease"])

    def _breaks(self, session: Session, lease: str) -> None:
        held = leases(self.checks.ledger.state).by_name.get(lease)
        if session.node == NAMES[0] and held and held.holder and self.random.random() < 0.3:
            self.checks.ever_broken.add(lease)
            self.ask(session, "lease.break", {"lease": lease, "token": held.token, "reason": "because"})

    def _works(self, session: Session) -> None:
        named = {"lease": session.lease, "session": session.name}
        fenced = {**named, "token": session.token}
        match self.random.randrange(6):
            case 0 | 1 | 2:
                self.ask(session, "event.publish", {"topic": "t", "type": "done", "payload": {"n": 1}, "under": fenced})
            case 3:
                self.ask(session, "lease.renew", fenced)
            case 4:
                self.ask(session, "lease.release", named)
            case _ if self.random.random() < 0.5:
                self._dies(session)

    # Time.

    def step(self) -> None:
        """One node's step, or the passing of time until there is one."""
        dice = self.random
        if not self.calm:
            self._weather()
            if dice.random() < 0.2:
                self._callers_act()
        if self.hub.late and (self.calm or dice.random() < 0.1):
            late = self.hub.late.pop(dice.randrange(len(self.hub.late)))
            self.note(f"the network delivers {late[0]} ..{late[2][:7]}: {self.hub.receive(*late).outcome.value}")
        for node in self.nodes.values():
            if node.performer is None and self.now_ms >= node.away_until_ms:
                node.start()
        due = [node for node in self.nodes.values() if node.due()]
        if due:
            dice.choice(due).act()
            self.now_ms += dice.randrange(0, 30)
        else:
            self.now_ms = max(self.now_ms + 1, min(node.next_ms() for node in self.nodes.values()))
        self.checks.believers(node for node in self.nodes.values() if node.performer)

    def _weather(self) -> None:
        dice, trouble = self.random, self.settings.trouble
        if dice.random() < trouble / 20:
            self.hub.down = not self.hub.down
            self.note(f"the hub is {'down' if self.hub.down else 'up'}")
        elif self.hub.down and dice.random() < 0.05:
            self.hub.down = False
        node = dice.choice(list(self.nodes.values()))
        if dice.random() < trouble / 20:
            self.cut ^= {node.name}
        if dice.random() < trouble / 30 and node.performer:
            node.away_until_ms = self.now_ms + dice.choice((500, 5000, 20000))
            self.note(f"{node.name} is paused until {node.away_until_ms}")
        if dice.random() < trouble / 20:
            self._forge(node)

    def _forge(self, victim: SimNode) -> None:
        """Somebody who may push writes lines into another's outbox that its key never signed (law LIVE)."""
        branch, at = f"mesh-node/{victim.log}", builder.AT
        seq, prev = self.checks.ledger.state.heads[victim.log]
        state = self.checks.ledger.state
        value = {"at": at, "body": {"topic": "t", "type": "forged", "payload": {}}, "kind": "event.publish"}
        value |= {"node": victim.log, "prev": prev, "seen": {"epoch": state.epoch, "seal": state.seal}}
        value |= {"seq": seq + 1, "sig": "A" * 86 + "==", "v": 1}
        store = MemoryStore(self.hub)
        tips = store.poll()
        store.fetch(tips)
        base, old = tips["mesh"], tips.get(branch)
        files = render(lambda path: store.read(base, path), [read_record(canonical(value))])
        parents = [oid for oid in (old, base) if oid]
        store.push(branch, old, store.commit(base, files, parents, "mesh: forged", 0))
        self.note(f"somebody forges seq {seq + 1} of {victim.log} in its outbox")

    # The end.

    def heal(self) -> None:
        """All faults end; everybody gets an answer, and somebody the next token (21)."""
        self.note("--- all faults end")
        self.calm, self.hub.down = True, False
        self.cut.clear()
        for node in self.nodes.values():
            node.away_until_ms = min(node.away_until_ms, self.now_ms)
            if node.performer is None:
                node.start()
        self._until(lambda: not self.asked, "an answer is missing")
        for session in list(self.sessions):
            session.asking = session.lease = None or ""
            self.living.discard(session.owner)
        tops = {lease: max((t for name, t in self.checks.grants if name == lease), default=0) for lease in LEASES}
        for name in self.nodes:
            for lease in LEASES:
                self._enter(name, f"last-{lease}")
                wish = {"lease": lease, "session": f"last-{lease}", "ttl_ms": 3000, "queue": True}
                self._ask_forever(self.sessions[-1], wish)
        self._until(lambda: not self.asked, "nobody gets the next token")
        for lease in LEASES:
            last = [token for name, token in self.checks.grants if name == lease and token > tops[lease]]
            hold(len(last) >= len(self.nodes), "LIVE", f"not everybody got {lease}")
        self._until(self._quiet, "the nodes do not come to rest")

    def _ask_forever(self, session: Session, wish: Any) -> None:
        self.number += 1
        intent = Intent(f"last {self.number}", "lease.acquire", wish, True, session.owner)
        self._expect(session, intent)
        self.nodes[session.node].outer.append(Ask(intent))

    def _until(self, done: Any, what: str) -> None:
        for _ in range(4000):
            if done():
                return
            self.step()
            self._give_back()
        for held in leases(self.checks.ledger.state).by_name.values():
            self.note(f"{held.name}: {held.holder}/{held.session} token {held.token}, {len(held.queue)} wait")
        left = {intent: f"{s.node}/{s.name}" for intent, s in self.asked.items()}
        hold(
            False,
            "LIVE",
            f"{what}: {left}, pending {[(n.name, len(n.engine.pen.pending)) for n in self.nodes.values()]}",
        )

    def _give_back(self) -> None:
        """Whoever holds a lease gives it back; who waits for another one meanwhile gives way by dying."""
        for held in leases(self.checks.ledger.state).by_name.values():
            for session in list(self.sessions):
                if held.held_by(session.node, session.name) and session.wish[0] != "lease.release":
                    if session.asking and session.wish[1].get("lease") != held.name:
                        self._dies(session)
                    elif not session.asking:
                        self.ask(session, "lease.release", {"lease": held.name, "session": session.name})

    def _quiet(self) -> bool:
        engines = [node.engine for node in self.nodes.values() if node.performer]
        one_tip = {engine.trunk for engine in engines} == {self.hub.branches["mesh"]}
        return one_tip and not any(engine.pen.pending or engine.intents for engine in engines)


def _real_sign(key: SecretKey, space: str, message: bytes) -> str:
    return key.sign(space, message)


_LEDGERS: dict[tuple[tuple[str, ...], bool], Any] = {}


def _founded(names: tuple[str, ...], real: bool) -> tuple[builder.Trunk, dict[str, list[Record]]]:
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
    found: tuple[builder.Trunk, dict[str, list[Record]]] = _LEDGERS[names, real]
    return found


def run(settings: Settings) -> World:
    """Play one schedule to its end.

    Raises:
        Broke: a law was broken; its `play` is what happened before.
    """
    if settings.real:
        return _run(settings)
    real, builder.sign = builder.sign, _fast_line
    try:
        with fast_signatures():
            return _run(settings)
    finally:
        builder.sign = real


def _fast_line(value: Any, key: SecretKey, ledger_id: str | None) -> bytes:
    from orxaq_mesh.keys import namespace
    from orxaq_mesh.record import unsigned

    return canonical({**value, "sig": fast_sign(key, namespace(ledger_id), unsigned(value))})


def _run(settings: Settings) -> World:
    world = World(settings)
    try:
        for _ in range(settings.steps):
            world.step()
        world.heal()
    except Broke as broke:
        broke.add_note(f"seed {settings.seed}: {settings}")
        broke.add_note("\n".join(world.play))
        raise
    return world
