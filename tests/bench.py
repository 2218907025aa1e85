"""One engine on a bench: plays of inputs and effects as text, with what came out written below each input.

A play (tests/scenarios/*.txt) is blocks of commands, a line of dashes, and the effects. elm is the engine; oak and
ash are pens that write to the same trunk. `python -m tests.bench` writes the effects anew; read the diff.

    at 1000                         the boot-time clock
    ask a lease.acquire lease=deploy session=s ttl_ms=9000 [wait] [owner] [deadline=5000]
    look | unreached                what reading the hub came to
    committed | lost | vetoed | unknown | unknown landed      what the push came to
    tick [a b]                      time passes; the owners of these asks live
    cancel a | restart | forget     a caller leaves; elm starts from its journal, with or without its snapshot
    oak lease.renew lease=deploy    another node's record, sealed by it; `oak offers ...`: left in its outbox
    oak seals                       oak seals all that lies in outboxes
    wake                            when elm wants to be woken
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orxaq_mesh import fold, kinds
from orxaq_mesh.effects import (
    Ask,
    Cancel,
    Effect,
    Hold,
    Input,
    Intent,
    Looked,
    Me,
    Memory,
    Now,
    Pace,
    Publish,
    Published,
    Save,
    Say,
    Tell,
    Tick,
    Unreached,
)
from orxaq_mesh.engine import Engine
from orxaq_mesh.errors import Unreachable
from orxaq_mesh.keys import namespace
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record, Seal
from orxaq_mesh.store import Change
from tests.builder import AT, Trunk

SCENARIOS = Path(__file__).parent / "scenarios"


class Bench:
    """elm's engine, and a hub made of a `Trunk` and a list of what lies in outboxes."""

    def __init__(self) -> None:
        self.hub = Trunk.founded()
        for name in ("elm", "ash"):
            self.hub.admit(name)
        self.pen = self.hub.pens["elm"]
        self.trees: dict[str, dict[str, bytes]] = {}
        self.outbox: list[Record] = []
        self.records: list[Record] = []
        self.holds: list[Hold] = []
        self.seals: list[Seal] = []
        self.seen = (0, "0" * 64)
        self.start = (self.pen.seq, self.pen.prev)
        self.ms = self.push_ready_ms = 0
        self.published: Publish | None = None
        self.signed: dict[str, str] = {}
        self.tip()
        self.restart(snapshot=False)

    # The hub.

    def tip(self) -> str:
        name = f"t{self.hub.ledger.state.epoch}"
        self.trees[name] = dict(self.hub.files)
        return name

    def changes(self, old: str | None, new: str) -> list[Change]:
        before = self.trees[old] if old else {}
        return [
            Change(path, before.get(path), data) for path, data in self.trees[new].items() if before.get(path) != data
        ]

    # elm.

    def restart(self, snapshot: bool = True) -> None:
        state = fold.copy(self.engine.ledger.state) if snapshot else None
        trunk = self.engine.trunk if snapshot else None
        last = (self.records[-1].seq, self.records[-1].id) if self.records else self.start
        memory = Memory(tuple(self.records), last, tuple(self.seals), self.seen, tuple(self.holds))
        space = namespace(self.hub.ledger.id)
        me = Me("elm", self.pen.log, lambda message: self.pen.key.sign(space, message))
        self.engine = Engine(me, Ledger(self.hub.ledger.id, state), memory, Pace(5000, 400), trunk)

    def feed(self, given: Input) -> list[Effect]:
        effects = self.engine.step(given, Now(self.ms, AT, 0.5, self.push_ready_ms))
        for effect in effects:
            if isinstance(effect, Save):
                self.records += effect.records
                self.holds += [effect.hold] if effect.hold else []
                self.seals += [effect.seal] if effect.seal else []
                self.seen = effect.seen or self.seen
            elif isinstance(effect, Publish):
                assert all(record in self.records for record in effect.records if record.log == self.pen.log)
                assert effect.seal is None or effect.seal in self.seals
                self.published = effect
        return effects

    def look(self, begun_ms: int | None = None, **fields: Any) -> list[Effect]:
        tip = self.tip()
        heads = self.hub.ledger.state.heads
        offered = [record for record in self.outbox if record.seq > heads.get(record.log, (0, ""))[0]]
        begun = self.ms if begun_ms is None else begun_ms
        given = {"begun_ms": begun, "ended_ms": self.ms, "trunk": tip, "changes": self.changes(self.engine.trunk, tip)}
        given["since"] = self.engine.trunk
        return self.feed(Looked(**{**given, "offered": offered, **fields}))

    def committed(self) -> list[Effect]:
        return self.feed(self.land())

    def land(self) -> Published:
        """Have the hub take what was pushed last."""
        assert self.published is not None
        if self.published.seal is None:
            self.outbox += self.published.records
            return Published("committed")
        reading = self.hub.push(self.published.records, [self.published.seal])
        assert not reading.findings, reading.findings
        return Published("committed", trunk=self.tip(), changes=self.changes(self.published.base, self.tip()))

    def ask(self, name: str, kind: str, /, wait: bool = False, **wish: Any) -> list[Effect]:
        owner = [name] if wish.pop("owner", False) else None
        deadline_ms = wish.pop("deadline", None)
        asked_ms = wish.pop("asked_ms", self.ms)
        return self.feed(Ask(Intent(name, kind, wish, wait, owner, asked_ms, deadline_ms)))

    def other(self, name: str, kind: str, /, **wish: Any) -> Record:
        """Another node's record, with what it leaves out filled in."""
        return self.hub.pens[name].write(kind, **kinds.propose(self.hub.ledger.state, name, kind, wish))

    def others_seal(self, name: str, *records: Record) -> None:
        heads = self.hub.ledger.state.heads
        waiting = [record for record in self.outbox if record.seq > heads.get(record.log, (0, ""))[0]]
        self.hub.seal(*waiting, *records, by=self.hub.pens[name])

    # A play.

    def command(self, line: str) -> list[Effect]:
        """Perform one line of a play."""
        match line.split():
            case ["ask", name, kind, *words]:
                return self.ask(name, kind, wait="wait" in words, **_wish(words))
            case ["look"]:
                return self.look()
            case ["unreached"]:
                return self.feed(Unreached(Unreachable("no route to the hub")))
            case ["committed"]:
                return self.committed()
            case ["unknown", "landed"]:
                self.land()
                return self.feed(Published("unknown", "the connection died"))
            case ["vetoed"]:
                return self.feed(Published("lost", "pre-receive hook declined", vetoed=True))
            case [("lost" | "unknown") as outcome]:
                return self.feed(Published(outcome, "stale info" if outcome == "lost" else "the connection died"))
            case ["tick", *names]:
                living = {hold.record for hold in self.holds if hold.owner and hold.owner[0] in names}
                return self.feed(Tick(frozenset(living)))
            case ["cancel", name]:
                return self.feed(Cancel(name))
            case words:
                self._arrange(words)
        return []

    def _arrange(self, words: list[str]) -> None:
        """What happens around elm."""
        match words:
            case ["at", ms]:
                self.ms = int(ms)
            case [("restart" | "forget") as how]:
                self.restart(snapshot=how == "restart")
            case ["push-ready", ms]:
                self.push_ready_ms = int(ms)
            case [name, "seals"]:
                self.others_seal(name)
            case [name, "offers", kind, *words]:
                self.outbox.append(self.other(name, kind, **_wish(words)))
            case [name, kind, *words] if name in self.hub.pens:
                self.others_seal(name, self.other(name, kind, **_wish(words)))
            case _:
                raise AssertionError(f"no command: {' '.join(words)}")

    def shown(self, effects: list[Effect]) -> Iterator[str]:
        for effect in effects:
            match effect:
                case Save(records=records, seal=seal, hold=hold):
                    for record in records:
                        yield f"Save record {record.seq} {record.kind} {_brief(record.body)}".rstrip()
                    if seal is not None:
                        yield f"Save seal {seal.epoch}"
                    if hold is not None:
                        yield f"Save hold {hold.lease}/{hold.session}"
                case Publish(_, records, seal):
                    what = ", ".join(f"{record.log.split('-')[0]} {record.seq}" for record in records)
                    yield f"Publish {f'epoch {seal.epoch}' if seal else 'outbox'}: {what}"
                case Tell(intent, answer):
                    token = f" token={answer.facts['token']}" if answer.facts.get("token") else ""
                    why = f": {answer.error.what}" if answer.error else f": {answer.what}" if answer.what else ""
                    words = [answer.verdict, answer.rule, answer.result]
                    yield f"Tell {intent} {' '.join(word for word in words if word)}{token}{why}"
                case Say(event, facts):
                    if event != "sealed":
                        yield f"Say {event} {facts.get('outcome') or facts.get('law') or ''}".rstrip()
                case _:
                    yield type(effect).__name__


def _wish(words: list[str]) -> dict[str, Any]:
    wish: dict[str, Any] = {}
    for word in words:
        key, _, value = word.partition("=")
        if key == "owner":
            wish[key] = True
        elif key.startswith("under."):
            wish.setdefault("under", {})[key.removeprefix("under.")] = _value(value)
        elif value:
            wish[key] = _value(value)
    if "topic" in wish:
        wish.setdefault("payload", {})
    return wish


def _value(text: str) -> Any:
    return int(text) if text.isdigit() else {"true": True}.get(text, text)


def _brief(body: dict[str, Any]) -> str:
    return " ".join(f"{key}={body[key]}" for key in ("lease", "token", "watched_ms") if key in body)


def play(text: str) -> str:
    """A play with the effects that come of it now."""
    bench = Bench()
    blocks = []
    for block in text.strip("\n").split("\n\n"):
        commands = block.split("\n----")[0].split("\n")
        effects = [effect for line in commands if not line.startswith("#") for effect in _run(bench, line)]
        blocks.append("\n".join([*commands, *(["----", *effects] if effects or "\n----" in block else [])]))
    return "\n\n".join(blocks) + "\n"


def _run(bench: Bench, line: str) -> list[str]:
    if line == "wake":
        return [f"wake at {bench.engine.wake_ms()}"]
    return list(bench.shown(bench.command(line)))


if __name__ == "__main__":
    for path in sorted(SCENARIOS.glob("*.txt")):
        path.write_text(play(path.read_text("utf-8")), "utf-8")
        print(path.name)
