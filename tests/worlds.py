"""Random fleets whose ledgers part and meet again: sides, pens that may be cloned, and readers that read in any manner.

world = World(nodes=4)
world.play([("say", 0, 0, 1), ("seal", 0, 0, 0), ("branch", 0, 1, 0), ...])      # any numbers make a sound play
world.lines()                                                                     # all that was ever laid on a side
reader = Reader(world.id); reader.read(tree_of(lines)); reader.shown()             # what a node makes of a set of lines
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from orxaq_mesh import fold, kinds
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.reconcile import render, union
from orxaq_mesh.record import Record, Seal, canonical, epoch_place, log_place
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.standing import Broken
from orxaq_mesh.store import Change
from tests.builder import AT, Pen, Trunk, secret, sign
from tests.histories import DEEDS, Wishes

Tree = dict[str, bytes]
Act = tuple[str, int, int, int]
NAMES = ("oak", "elm", "ash", "fir", "yew")
SPARE = ("gum", "bay", "box", "ivy")


def changes(old: Tree, new: Tree) -> list[Change]:
    paths = sorted(old.keys() | new.keys())
    return [Change(path, old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)]


def merged(*trees: Tree) -> Tree:
    """The union of some trees."""
    return {path: union(*(tree.get(path, b"") for tree in trees)) for path in sorted(set().union(*trees))}


def place_of(line: bytes) -> str:
    value = orjson.loads(line)
    if value["kind"] == "seal":
        return epoch_place(value["epoch"]).file
    return log_place(value["node"], value["seq"]).file


def tree_of(lines: Iterable[bytes]) -> Tree:
    """The files that hold just these lines."""
    files: dict[str, list[bytes]] = {}
    for line in lines:
        files.setdefault(place_of(line), []).append(line)
    return {path: union(*found) for path, found in files.items()}


def lines_of(tree: Tree) -> list[bytes]:
    return [line for path in sorted(tree) for line in tree[path].split(b"\n")[:-1]]


class Shown(NamedTuple):
    """All that a node makes of a set of lines, in one form."""

    state: bytes
    chain: list[tuple[str, list[tuple[str, kinds.Verdict]]]]
    waiting: list[str]
    sealable: dict[str, list[str]]
    proofs: dict[str, tuple[str, str]]
    over: Any
    mends: dict[str, bytes | None]


class Reader:
    """A node that reads trees one after the other as the engine does, and remembers every verdict it was told."""

    def __init__(self, ledger_id: str | None, rng: random.Random | None = None) -> None:
        self.ledger = Ledger(ledger_id)
        self.tree: Tree = {}
        self.told: list[tuple[Seal, list[Judged]]] = []
        self.rungs: list[State] = []
        self.rng = rng
        self.deeper = 0

    def read(self, tree: Tree) -> Reading:
        """Read what changed; where that is not enough, from a rung or from genesis (`engine`, `sync.performer`)."""
        since, trial = self.ledger.state.seal, self.ledger.fork()
        reading = trial.read(changes(self.tree, tree), since=since)
        if reading.deeper is not None:
            self.deeper += 1
            trial = trial.beneath(self._rung(reading.deeper))
            whole = (Change(path, None, new) for path, new in sorted(tree.items()) if trial.asks_for(path))
            reading = trial.read(whole, since=since)
            assert reading.deeper is None
        self.ledger, self.tree = trial, dict(tree)
        self._hear(reading)
        return reading

    def _rung(self, beneath: int) -> State:
        """A state from which an old fork can be judged again: the newest (`sync.ladder`), or any older one."""
        self.climb()
        self.rungs = [state for state in self.rungs if state.epoch <= beneath]
        if self.rng is not None and self.rng.random() < 0.3:
            return kinds.new_state()
        return self.rungs[-1] if self.rungs else kinds.new_state()

    def climb(self) -> None:
        self.rungs += self.ledger.spine.rungs
        self.ledger.spine.rungs.clear()

    def _hear(self, reading: Reading) -> None:
        for seal in reversed(reading.left):
            assert self.told.pop()[0].id == seal.id
        for seal in reading.seals:
            assert seal.parent == (self.told[-1][0].id if self.told else "0" * 64), (
                "verdicts of a seal are lost or doubled"
            )
            self.told.append((seal, [item for item in reading.judged if item.epoch == seal.epoch]))

    def restart(self) -> None:
        """Nothing is left but the snapshot and what stands beside it (law CACHE)."""
        self.climb()
        old, text = self.ledger, orjson.dumps([fold.to_value(self.ledger.base), self.ledger.memo()])
        base, memo = orjson.loads(text)
        self.ledger = Ledger(old.id, fold.from_value(base), anchored=old.is_open)
        self.ledger.recall(memo)
        if old.is_open:
            kept = [Change(path, None, new) for path, new in sorted(self.tree.items()) if self.ledger.asks_for(path)]
            assert self.ledger.read(kept).deeper is None
        assert fold.snapshot(self.ledger.state) == fold.snapshot(old.state)

    def shown(self) -> Shown:
        ledger = self.ledger
        chain = [(seal.id, [(item.record.id, item.verdict) for item in judged]) for seal, judged in self.told]
        sealable = {log: [record.id for record in run] for log, run in ledger.sealable().items()}
        proofs = {log: (one.id, other.id) for log, (one, other) in ledger.proofs().items()}
        over = ledger._over(ledger.sealable())
        return Shown(
            fold.snapshot(ledger.state),
            chain,
            sorted(ledger.waiting),
            sealable,
            proofs,
            over.id if over else None,
            dict(ledger.mends),
        )


class Side:
    """One hub: its tree, what was in it before, and who reads it."""

    def __init__(self, reader: Reader, tree: Tree) -> None:
        self.reader, self.past = reader, [dict(tree)]

    @property
    def tree(self) -> Tree:
        return self.past[-1]

    def show(self, tree: Tree) -> Reading:
        self.past.append(dict(tree))
        return self.reader.read(tree)


class World:
    """A fleet and its sides. Every act is legal for some fleet: nodes may be cloned, wrong, or on the wrong side."""

    def __init__(self, nodes: int = 4) -> None:
        trunk = Trunk.founded()
        for name in NAMES[1:nodes]:
            trunk.admit(name)
        self.id = str(trunk.ledger.id)
        self.pens: list[Pen] = list(trunk.pens.values())
        self.journals: dict[int, list[Record]] = {id(pen): [] for pen in self.pens}
        for line in lines_of(trunk.files):
            if b'"kind":"seal"' not in line:
                record = read_record(line)
                self.journals[id(next(pen for pen in self.pens if pen.log == record.log))].append(record)
        self.at = dict.fromkeys(range(nodes), 0)
        self.sides = [Side(Reader(self.id), {})]
        self.sides[0].show(trunk.files)
        self.signed: set[tuple[str, str]] = set()
        self.spare = list(SPARE)

    def play(self, acts: Iterable[Act]) -> World:
        for what, who, which, extra in acts:
            getattr(self, what)(who, which, extra)
        return self

    def _pen(self, who: int) -> tuple[Pen, Side]:
        number = who % len(self.pens)
        return self.pens[number], self.sides[self.at[number] % len(self.sides)]

    # Acts.

    def say(self, who: int, which: int, extra: int) -> None:
        """A record: nobody has it yet but its author."""
        pen, side = self._pen(who)
        ledger = side.reader.ledger
        pen.seen = max(pen.seen, (ledger.state.epoch, ledger.state.seal), key=lambda seen: seen[0])
        self.journals[id(pen)].append(deed(ledger.state, pen, which, extra, self))

    def seal(self, who: int, which: int, extra: int) -> None:
        """A seal over what its author knows of; `which` leaves some of it out."""
        pen, side = self._pen(who)
        ledger = side.reader.ledger
        state = ledger.state
        member = members(state).by_log.get(pen.log)
        if member is None or not member.may_seal() or (pen.log, state.seal) in self.signed:
            return
        for number in range(len(self.pens)):
            if self.pens[number] is pen or self.at[number] % len(self.sides) == self.sides.index(side):
                ledger.offer(self.journals[id(self.pens[number])])
        taken = ledger.sealable(pen.log)
        logs = [log for place, log in enumerate(sorted(taken)) if not which & (1 << place)] or sorted(taken)
        taken = {log: taken[log][: 1 + extra] if extra % 2 else taken[log] for log in logs}
        if not taken:
            return
        seal = read_seal(sign(ledger.draft_seal(pen.log, taken, AT), pen.key, self.id))
        try:
            records = [record for run in ledger.taken_by(seal).values() for record in run]
        except Broken:
            return  # what is left of a run ends in a record that nobody signed
        self.signed.add((pen.log, state.seal))
        records += [record for log in seal.proofs for record in ledger.proven[log]]
        files = render(lambda path: ledger.mends.get(path, side.tree.get(path)), records, [seal])
        healed = {**side.tree, **ledger.mends, **files}
        side.show({path: data for path, data in healed.items() if data is not None})

    def loose(self, who: int, which: int, extra: int) -> None:
        """What a node signed is laid in the tree, and nobody seals it."""
        pen, side = self._pen(who)
        records = self.journals[id(pen)]
        side.show({**side.tree, **render(side.tree.get, records[: len(records) - extra % 2])})

    def move(self, who: int, which: int, extra: int) -> None:
        self.at[who % len(self.pens)] = which

    def branch(self, who: int, which: int, extra: int) -> None:
        """A new side from what one was some steps ago; some nodes go there."""
        if len(self.sides) >= 3:
            return
        side = self.sides[who % len(self.sides)]
        tree = side.past[-1 - min(which % 4, len(side.past) - 2)]
        self.sides.append(Side(Reader(self.id), {}))
        self.sides[-1].show(tree)
        for number in range(len(self.pens)):
            if extra & (1 << number):
                self.at[number] = len(self.sides) - 1

    def merge(self, who: int, which: int, extra: int) -> None:
        """One side takes in all of another."""
        into, other = self.sides[who % len(self.sides)], self.sides[which % len(self.sides)]
        into.show(merged(into.tree, other.tree))

    def clone(self, who: int, which: int, extra: int) -> None:
        """A key is copied, or a backup restored: from here on two pens write one log."""
        if len(self.pens) >= 7:
            return
        pen, _ = self._pen(who)
        twin = copy.copy(pen)
        self.pens.append(twin)
        self.journals[id(twin)] = list(self.journals[id(pen)])
        self.at[len(self.pens) - 1] = which

    def cover(self, who: int, which: int, extra: int) -> None:
        """A record with a signature that is none, which only what follows it signs."""
        pen, _ = self._pen(who)
        value = orjson.loads(pen.draft("event.publish", {"topic": "t", "type": "x", "payload": {"n": extra}}).line)
        record = read_record(canonical({**value, "sig": "A" * 86 + "=="}))
        pen.seq, pen.prev = record.seq, record.id
        self.journals[id(pen)].append(record)
        self.say(who, 8, extra)

    def feign(self, who: int, which: int, extra: int) -> None:
        """A record that names as seen what its author cannot have seen, or by a number that is another's."""
        pen, _ = self._pen(who)
        seals = [seal for side in self.sides for seal, _ in side.reader.told]
        some, honest = seals[which % len(seals)], pen.seen
        pen.seen = (max(0, some.epoch + (0, 0, -1, 1, 3)[extra % 5]), some.parent[::-1] if extra % 7 == 0 else some.id)
        self.journals[id(pen)].append(pen.write("event.publish", topic="t", type="x", payload={"n": extra}))
        pen.seen = honest

    def lie(self, who: int, which: int, extra: int) -> None:
        """A signed seal that is wrong: another parent, over what it is not, records and proofs that nobody has shown."""
        pen, side = self._pen(who)
        ledger = side.reader.ledger
        seals = [seal for seal, _ in side.reader.told]
        some, records = seals[which % len(seals)], [r for run in self.journals.values() for r in run]
        other, record = seals[extra % len(seals)], records[(which + extra) % len(records)]
        pair = sorted([record.id, records[extra % len(records)].id])
        lies: list[dict[str, Any]] = [
            {"parent": some.id, "epoch": some.epoch + 1},
            {"over": some.id},
            {"parent": other.id, "over": some.id, "epoch": max(some.epoch, other.epoch) + 1},
            {"heads": {record.log: {"id": record.id, "seq": record.seq}}},
            {"heads": {record.log: {"id": some.id, "seq": record.seq + 1}}},
            {"proofs": {record.log: pair}},
            {"parent": record.id, "epoch": ledger.state.epoch + 2},
        ]
        taken = ledger.sealable(pen.log) or {record.log: [record]}
        value = {**ledger.draft_seal(pen.log, taken, AT), **lies[(which * 7 + extra) % len(lies)]}
        seal = read_seal(sign(value, pen.key, self.id))
        side.show({**side.tree, **render(side.tree.get, [], [seal])})

    def join(self, who: int, which: int, extra: int) -> None:
        """A newcomer says hello; `say` may admit it."""
        if not self.spare:
            return
        pen = Pen(self.spare.pop())
        pen.ledger_id = self.id
        self.pens.append(pen)
        self.at[len(self.pens) - 1] = which
        self.journals[id(pen)] = [pen.hello()]

    def lines(self) -> list[bytes]:
        """Every line that lay on any side, in a fixed order."""
        return sorted({line for side in self.sides for line in lines_of(side.tree)})


def deed(state: State, pen: Pen, which: int, extra: int, world: World) -> Record:
    """One of the things that a node may say."""
    if which >= 40:
        keys = {other.name: other.key.public.text for other in world.pens}
        kind, body = Wishes(state, keys).of(DEEDS[(which * 64 + extra) % len(DEEDS)], which, extra)
        return pen.write(kind, **body)
    held = leases(state).by_name.get("deploy")
    token, last, grant = (held.token or 1, held.last, held.record) if held else (1, "", "")
    named: dict[str, Any] = {"lease": "deploy", "session": f"s{extra % 2}"}
    asks = {**named, "ttl_ms": 9000, "until": state.epoch + 1 + extra}
    others = [other for other in world.pens if other.log != pen.log]
    other = others[extra % len(others)]
    match which % 9:
        case 0 | 1:
            return pen.write("lease.acquire", **asks, queue=bool(which % 2))
        case 2:
            return pen.write("lease.release", **named, token=token, record=grant or "0" * 64)
        case 3:
            return pen.write("lease.take", **asks, token=token, last=last or "0" * 64, watched_ms=9000)
        case 4 | 5:
            roles = [["node"], ["admin", "node"], ["observer"]][extra % 3]
            return pen.write("node.admit", name=other.name, key=other.key.public.text, roles=roles)
        case 6 if extra % 3 == 0:
            return pen.write("node.revoke", log=other.log, reason="x")
        case 7 if extra % 4 == 0:
            new = secret(f"{pen.name} {pen.log} again")
            record = pen.write("node.rotate", key=new.public.text)
            after = Pen(pen.name, new, prev=record.id)
            after.ledger_id = world.id
            world.pens.append(after)
            world.journals[id(after)] = []
            world.at[len(world.pens) - 1] = extra
            return record
        case _:
            return pen.write("event.publish", topic="t", type="x", payload={"n": extra}, once=f"k{extra}")


def seeded(seed: int, acts: int = 30, **weights: int) -> World:
    """A world of its own for each seed."""
    rng = random.Random(seed)
    world = World(rng.randint(2, 5))
    weigh = {"say": 9, "seal": 10, "loose": 2, "move": 2, "branch": 2, "merge": 2, "clone": 1, "join": 1}
    weigh |= {"cover": 1, "lie": 1, **weights}
    names = list(weigh)
    for name in rng.choices(names, [weigh[name] for name in names], k=acts):
        world.play([(name, rng.randrange(64), rng.randrange(64), rng.randrange(64))])
    return world
