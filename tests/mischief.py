"""Lines that a liar with a key, or a stranger without one, could lay into a ledger's tree. Most of them come to nothing.

mischief = Mischief(files, pens, random.Random(7))
mischief.done(9)                     # the files with what nine of them came to
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.node import members
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import NOTHING, Record, Seal, Value
from orxaq_mesh.schema import read_record, read_seal
from tests.builder import AT, Pen, secret, sign
from tests.format_page import whole_of


class Mischief:
    """Adds to some files what their pens, or thieves in their names, might have signed."""

    def __init__(self, files: dict[str, bytes], pens: Sequence[Pen], dice: random.Random) -> None:
        self.files, self.pens, self.dice = files, pens, dice
        self.ledger = whole_of(files)
        self.records = list(self.ledger.spine.records.values())
        self.seals = list(self.ledger.spine.seals.values())
        self.states = [state for id_, state in self.ledger.spine._states.items() if id_ != NOTHING]

    def done(self, deeds: int) -> dict[str, bytes]:
        for _ in range(deeds):
            self.dice.choice((self.record, self.record, self.wild_seal, self.fitting_seal, self.fitting_seal))()
        return {**self.files, **render(self.files.get, self.records, self.seals)}

    def record(self) -> None:
        """One more record behind any of a log, so mostly one more variant of a seq; some have another's signature."""
        pen = self.dice.choice(self.pens)
        mine = [record for record in self.records if record.log == pen.log]
        if not mine:
            return
        before = self.dice.choice(mine)
        value = {
            "at": AT,
            "body": {"topic": "m", "type": "x", "payload": self.dice.randrange(99)},
            "kind": "event.publish",
            "node": pen.log,
            "prev": before.id,
            "seen": self.seen(),
            "seq": before.seq + self.dice.choice((1, 1, 1, 2)),
            "v": 1,
        }
        key = pen.key if self.dice.random() < 0.75 else secret("thief")
        self.records.append(read_record(sign(value, key, self.ledger.id)))

    def seen(self) -> Value:
        """Mostly a seal that is there; else one that nobody has, or a number that is not its own."""
        seal, lie = self.dice.choice(self.seals), self.dice.random()
        epoch = seal.epoch + self.dice.choice((-2, -1, 1, 9)) if lie < 0.15 else seal.epoch
        return {"epoch": max(0, epoch), "seal": seal.parent[::-1] if lie > 0.9 else seal.id}

    def wild_seal(self) -> None:
        """Any heads on any parent, by anybody."""
        heads = {r.log: (r.seq, r.id) for r in self.dice.sample(self.records, min(3, len(self.records)))}
        key = self.dice.choice(self.pens)
        self.seal(self.dice.choice(self.seals), heads, key, secret("thief") if self.dice.random() < 0.2 else key.key)

    def fitting_seal(self) -> None:
        """Heads that follow, on the end of a side, by somebody who may: it mostly stands."""
        state = self.dice.choice(self.states)
        known = members(state).by_log
        heads = {r.log: (r.seq, r.id) for r in self.records if self.dice.random() < 0.5 and self.follows(state, r)}
        pens = [p for p in self.pens if p.log in known and known[p.log].may_seal() and p.name != "recovery"]
        if heads and pens:
            pen = self.dice.choice(pens)
            self.seal(self.ledger.spine.seals[state.seal], heads, pen, pen.key)

    def follows(self, state: State, record: Record) -> bool:
        """Whether a chain leads from an admitted log's head to a record."""
        member, at = members(state).by_log.get(record.log), {other.id: other for other in self.records}
        last = state.heads.get(record.log, (0, NOTHING))
        while record.seq > last[0] + 1 and record.prev in at and at[record.prev].seq == record.seq - 1:
            record = at[record.prev]
        return member is not None and member.admitted and (record.seq - 1, record.prev) == last

    def seal(self, parent: Seal, heads: dict[str, tuple[int, str]], pen: Pen, key: Any) -> None:
        over = self.dice.choice(self.seals) if self.dice.random() < 0.4 else None
        value: Value = {
            "at": AT,
            "epoch": max(parent.epoch, over.epoch if over else 0) + 1,
            "heads": {log: {"id": id_, "seq": seq} for log, (seq, id_) in heads.items()},
            "kind": "seal",
            "node": pen.log,
            "parent": parent.id,
            "rules": 1,
            "state": "0" * 64,
            "v": 1,
            **({"over": over.id} if over else {}),
            **self.proofs(),
        }
        self.seals.append(read_seal(sign(value, key, self.ledger.id)))

    def proofs(self) -> Value:
        one = self.dice.choice(self.records)
        same = [r.id for r in self.records if (r.log, r.seq) == (one.log, one.seq) and r.id != one.id]
        if not same or self.dice.random() < 0.5:
            return {}
        return {"proofs": {one.log: sorted([one.id, self.dice.choice(same)])}}
