"""Real ledgers for tests, line by line: pens that write signed records, and a trunk that takes them in.

trunk = Trunk.founded()                         # oak founds; epoch 1
elm = trunk.admit("elm")                        # hello, admission; elm may write
trunk.seal(elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=60_000, until=99))
trunk.ledger.state                              # the fold of it; trunk.files is the tree
"""

from __future__ import annotations

import hashlib
from typing import Any

from orxaq_mesh import fold, kinds
from orxaq_mesh.fold import Judged
from orxaq_mesh.keys import SecretKey, namespace
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import NOTHING, Record, Seal, Value, canonical, unsigned
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.store import Change

AT = "2026-11-20T09:30:00.000Z"


def secret(name: str) -> SecretKey:
    """A key that is the same in every run."""
    return SecretKey.generate(hashlib.sha256(name.encode()).digest())


def sign(value: Value, key: SecretKey, ledger_id: str | None) -> bytes:
    """The canonical, signed line of a value."""
    return canonical({**value, "sig": key.sign(namespace(ledger_id), unsigned(value))})


class Pen:
    """One log and its key. Writes whatever it is told to, sound or not."""

    def __init__(self, name: str, key: SecretKey | None = None, prev: str = NOTHING) -> None:
        self.name = name
        self.key = key or secret(name)
        self.log = f"{name}-{self.key.public.short}"
        self.seq, self.prev = 0, prev
        self.ledger_id: str | None = None
        self.seen = (0, NOTHING)

    def write(self, kind: str, **body: Any) -> Record:
        """The next record of this log."""
        record = self.draft(kind, body)
        self.seq, self.prev = record.seq, record.id
        return record

    def draft(self, kind: str, body: Value, **envelope: Any) -> Record:
        """A signed record that does not move the log on; `envelope` overrides its fields."""
        value = {
            "at": AT,
            "body": body,
            "kind": kind,
            "node": self.log,
            "prev": self.prev,
            "seen": {"epoch": self.seen[0], "seal": self.seen[1]},
            "seq": self.seq + 1,
            "v": 1,
            **envelope,
        }
        return read_record(sign(value, self.key, None if kind == "node.found" else self.ledger_id))

    def hello(self) -> Record:
        return self.write("node.hello", name=self.name, key=self.key.public.text)


class Trunk:
    """A trunk's files, the verified ledger that follows them, and the pens that write to it."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.ledger = Ledger()
        self.pens: dict[str, Pen] = {}
        self.verdicts: dict[str, kinds.Verdict] = {}
        self.seals: list[Seal] = []

    @classmethod
    def founded(cls, founder: str = "oak") -> Trunk:
        trunk = cls()
        oak = trunk.pens[founder] = Pen(founder)
        recovery = secret("recovery").public.text
        found = oak.write("node.found", name=founder, key=oak.key.public.text, recovery=recovery)
        trunk.ledger.id = oak.ledger_id = found.id
        trunk.seal(found, by=oak)
        return trunk

    @property
    def oak(self) -> Pen:
        return next(iter(self.pens.values()))

    def pen(self, name: str, key: SecretKey | None = None) -> Pen:
        """A pen that knows this ledger, and is not admitted."""
        pen = Pen(name, key)
        pen.ledger_id = self.ledger.id
        return pen

    def admit(self, name: str, *roles: str) -> Pen:
        pen = self.pens[name] = self.pen(name)
        admit = self.oak.write("node.admit", name=name, key=pen.key.public.text, roles=sorted(roles or ["node"]))
        self.seal(pen.hello(), admit)
        return pen

    def seal_value(self, *records: Record, by: Pen | None = None, **override: Any) -> Value:
        """The value of the next seal over these records, before it is signed."""
        taken: dict[str, list[Record]] = {}
        for record in records:
            taken.setdefault(record.log, []).append(record)
        return {**self.ledger.draft_seal((by or self.oak).log, taken, AT), **override}

    def seal(self, *records: Record, by: Pen | None = None) -> list[Judged]:
        """Close an epoch over these records; everybody sees it."""
        signer = by or self.oak
        line = sign(self.seal_value(*records, by=signer), signer.key, self.ledger.id)
        reading = self.push(records, [read_seal(line)])
        assert not reading.findings, reading.findings
        return reading.judged

    def verdict(self, record: Record, by: Pen | None = None) -> kinds.Verdict:
        """Seal one record and say what came of it."""
        return self.seal(record, by=by)[-1].verdict

    def push(self, records: Any, seals: Any = ()) -> Reading:
        """Render lines into the files and read them, as any node would."""
        changed = render(self.files.get, records, seals)
        changes = [Change(path, self.files.get(path), new) for path, new in changed.items()]
        self.files.update(changed)
        reading = self.ledger.read(changes)
        if reading.deeper is not None:
            since, self.ledger = self.ledger.state.seal, Ledger(self.ledger.id)
            reading = self.ledger.read((Change(path, None, data) for path, data in self.files.items()), since)
        for judged in reading.judged:
            self.verdicts[judged.record.id] = judged.verdict
        self.seals += reading.seals
        for pen in self.pens.values():
            pen.seen = (self.ledger.state.epoch, self.ledger.state.seal)
        return reading

    def read_anew(self, files: dict[str, bytes] | None = None) -> tuple[Ledger, Reading]:
        """What a stranger makes of the files."""
        ledger = Ledger(self.ledger.id)
        source = self.files if files is None else files
        return ledger, ledger.read(Change(path, None, data) for path, data in sorted(source.items()))


def snapshot(trunk: Trunk) -> bytes:
    return fold.snapshot(trunk.ledger.state)


def row_reached(family: kinds.Family, state: kinds.State, record: Record, moment: kinds.Moment) -> kinds.Row:
    """The row of a family's table that decides about a record here; it must be what `judge` says."""
    rows = (row for row in family.ROWS if row.kind == record.kind)
    row = next(row for row in rows if family.CASES[row.case](state, record, moment))
    assert kinds.judge(state, record, moment)[0] == (row.outcome, row.rule, row.result)
    return row


def effect_of(state: kinds.State, record: Record, moment: kinds.Moment) -> tuple[kinds.Verdict, bool]:
    """Apply a record: its verdict, and whether it changed more than what is noted of every record (seen, at)."""
    before = _deeds(state)
    verdict, _ = kinds.apply(state, record, moment), list(kinds.judged_again(state, moment))
    return verdict, _deeds(state) != before


def _deeds(state: kinds.State) -> Value:
    value = fold.to_value(fold.copy(state))
    value["slices"]["node"] = [[*row[:6], row[7]] for row in value["slices"]["node"]]
    return value
