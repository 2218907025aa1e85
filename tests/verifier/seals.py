"""Sections 5 and 6 of docs/format.md: the set, which seals of it stand, what is authentic, and what waits."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from itertools import takewhile

from judging import Member, State, founds
from lines import ZEROS, Record, Seal, Unsound, sha256
from signatures import log_of, sound, stands

CHECKED: dict[tuple[str, str, str], bool] = {}
Judged = list[tuple[Record, list[str]]]


class Lacking(Unsound):
    """A seal does not stand, as long as something is not there."""


class Ledger:
    def __init__(self, records: Iterable[Record], seals: Iterable[Seal]) -> None:
        self.id = ""
        self.records = {record.id: record for record in records}
        self.seals = {seal.id: seal for seal in seals}
        self.states = {ZEROS: State()}
        self.judged: dict[str, Judged] = {}
        self.broken: dict[str, Unsound] = {}
        self.logs: dict[str, list[Record]] = {}
        for record in self.records.values():
            self.logs.setdefault(record.log, []).append(record)
        for seal in sorted(self.seals.values(), key=lambda seal: (seal.epoch, seal.id)):
            try:
                self.fold(seal)
            except Unsound as broken:
                self.broken[seal.id] = broken
        self.taken = {record.id for judged in self.judged.values() for record, _ in judged}
        cited = {id_ for seal in self.judged for pair in self.seals[seal].proofs.values() for id_ in pair}
        self.named = self.taken | cited
        self.learn()

    def stands(self, line: Record | Seal, key: str, space: str | None = None) -> bool:
        """2. Whether a line's own signature stands."""
        asked = line.id, key, space or self.id
        if asked not in CHECKED:
            CHECKED[asked] = stands(line.value, key, asked[2])
        return CHECKED[asked]

    # 5. When a seal stands.

    def runs(self, before: State, seal: Seal) -> dict[str, list[Record]]:
        """The runs of a seal that stands."""
        over = self.states.get(seal.over or ZEROS)
        if over is None:
            raise Lacking("EPOCH: what it is over does not stand")
        if seal.over and seal.over in self.back(seal.parent):
            raise Lacking("EPOCH: it is over one beneath it")
        if seal.epoch != max(before.epoch, over.epoch) + 1:
            raise Lacking(f"EPOCH: {seal.epoch} is not next")
        if seal.rules != 1:
            raise Unsound("RULES: other rules")
        if before.epoch:
            self.may_seal(before, seal)
        runs = {log: self.run(before, log, *head) for log, head in seal.heads.items()}
        ledger = self.id or next(iter(runs.values()))[0].id
        first = None if before.epoch else self.founding(seal, runs, ledger)
        for log, run in runs.items():
            if len(run) > 1 and not before.admitted(log):
                raise Unsound(f"SEAL: {log} is not admitted")
            if not self.stands(run[-1], self.key(before, log, run[0]), "genesis" if first else ledger):
                raise Unsound(f"SIG: seq {run[-1].seq} of {log}")
        if not self.stands(seal, self.key(before, seal.log, first), ledger):
            raise Unsound(f"SIG: the seal of epoch {seal.epoch}")
        for log, pair in seal.proofs.items():
            self.proof(before.admitted(log), log, pair)
        self.id = ledger
        return runs

    def run(self, before: State, log: str, seq: int, id_: str) -> list[Record]:
        last_seq, last_id = before.last(log)
        found: list[Record] = []
        while seq > last_seq:
            record = self.records.get(id_)
            if record is None or (record.log, record.seq) != (log, seq):
                raise Lacking(f"CHAIN: seq {seq} of {log} is missing")
            found.insert(0, record)
            seq, id_ = seq - 1, record.prev
        if not found or id_ != last_id:
            raise Unsound(f"CHAIN: {log} does not go on from its head")
        return found

    def founding(self, seal: Seal, runs: dict[str, list[Record]], ledger: str) -> Record:
        (first, *more) = (record for run in runs.values() for record in run)
        if more or first.kind != "node.found" or first.flaw or first.log != seal.log or not founds(first):
            raise Unsound("SEAL: no founding")
        if first.id != ledger:
            raise Unsound("SIG: another ledger's founding")
        return first

    def may_seal(self, before: State, seal: Seal) -> None:
        signer = before.admitted(seal.log)
        if not signer or "observer" in signer.roles:
            raise Unsound(f"SEAL: {seal.log} may not seal")
        if "recovery" in signer.roles and (set(seal.heads) != {signer.log} or seal.proofs):
            raise Unsound("SEAL: the recovery key seals for others")

    def key(self, before: State, log: str, first: Record | None) -> str:
        member = before.admitted(log)
        key = member.key if member else introduced(first) if first else None
        if key is None:
            raise Unsound(f"SIG: {log} has no key")
        return key

    def proof(self, member: Member | None, log: str, pair: list[str]) -> None:
        if not member or pair[0] >= pair[1]:
            raise Unsound(f"PREFIX: no proof against {log}")
        one, other = (self.records.get(id_) for id_ in pair)
        if not one or not other or not one.log == other.log == log or one.seq != other.seq:
            raise Lacking(f"PREFIX: no two records that prove something against {log}")
        if not (self.stands(one, member.key) and self.stands(other, member.key)):
            raise Lacking(f"PREFIX: no two signatures that prove something against {log}")

    # 6. The tree of seals.

    def back(self, id_: str) -> Iterator[str]:
        """A standing seal and all that one meets going back from it, zeros at last."""
        while id_ != ZEROS:
            yield id_
            id_ = self.seals[id_].parent
        yield id_

    def fold(self, seal: Seal) -> None:
        if seal.parent not in self.states:
            raise Lacking("SEAL: its parent does not stand")
        before = self.states[seal.parent]
        runs = self.runs(before, seal)
        state = copy.deepcopy(before)
        judged = state.open(seal.epoch, list(seal.proofs))
        for record in self.in_order(seal, runs):
            judged += [(record, state.apply(record, seal.epoch)), *state.turns(seal.epoch)]
        state.close(seal, judged)
        self.states[seal.id], self.judged[seal.id] = state, judged

    def in_order(self, seal: Seal, runs: dict[str, list[Record]]) -> list[Record]:
        beneath = set(self.back(seal.parent))
        side = list(takewhile(lambda id_: id_ not in beneath, self.back(seal.over))) if seal.over else []
        early = dict.fromkeys(record for id_ in reversed(side) for record, _ in self.judged[id_])
        logs = sorted(runs, key=lambda log: sha256((seal.parent + log).encode()))
        rest = [record for log in logs for record in runs[log]]
        first = [record for record in early if record in rest]
        return first + [record for record in rest if record not in first]

    # 6. What is authentic, and what is kept.

    def learn(self) -> None:
        """Each log's keys, those that introduce it, and which records are authentic; once it is known what stands."""
        self.keys: dict[str, set[str]] = {}
        for state in self.states.values():
            for log, member in state.members.items():
                self.keys.setdefault(log, set()).add(member.key)
        self.introductions: dict[str, set[str]] = {}
        for record in self.records.values():
            if record.id not in self.taken and (key := introduced(record)):
                self.introductions.setdefault(record.log, set()).add(key)
        none: set[str] = set()
        self.authentic = {
            id_
            for id_, record in self.records.items()
            if id_ in self.taken or self.signed(record, self.introductions.get(record.log, none))
        }

    def signed(self, line: Record | Seal, more: Iterable[str] = ()) -> bool:
        """Whether a line's own signature stands by a key of its log, or one of these."""
        return bool(self.id) and any(self.stands(line, key) for key in {*self.keys.get(line.log, ()), *more})

    def kept(self) -> set[str]:
        """The ids of all lines that are somebody's."""
        signed = {id_ for id_ in self.broken if self.signed(self.seals[id_])}
        missing = not self.judged or any(isinstance(self.broken[id_], Lacking) for id_ in signed)
        lines = [*self.records.values(), *map(self.seals.__getitem__, self.broken)]
        strange = {line.id for line in lines if line.log not in self.keys} if missing else set()
        return (self.authentic - self.too_many()) | self.judged.keys() | signed | strange

    def too_many(self) -> set[str]:
        """12. Variants beyond two that no seal names."""
        places: dict[tuple[str, int], list[str]] = {}
        for id_ in sorted(self.authentic, key=lambda id_: (id_ not in self.named, id_)):
            places.setdefault((self.records[id_].log, self.records[id_].seq), []).append(id_)
        return {id_ for same in places.values() for id_ in same[2:] if id_ not in self.named}

    def led(self, tip: State, log: str, waits: list[Record]) -> dict[str, Record]:
        """Those of the waiting records of a log that a chain leads to from its head."""
        found: dict[str, Record] = {}
        last_seq, last_id = tip.last(log)
        for record in sorted(waits, key=lambda record: record.seq):
            before = found.get(record.prev)
            if (before and before.seq == record.seq - 1) or (record.seq, record.prev) == (last_seq + 1, last_id):
                found[record.id] = record
        return found

    def next_run(self, tip: State, log: str, waits: list[Record]) -> list[str]:
        """What the next seal can take in of a log."""
        led = self.led(tip, log, waits)
        member = tip.admitted(log)
        if not member and (log in tip.members or log in tip.heads):
            return []
        for last in sorted(led.values(), key=lambda record: (-record.seq if member else 0, record.id)):
            key = member.key if member else introduced(last)
            if key is not None and self.stands(last, key):
                run = [last.id]
                while led[run[0]].prev in led:
                    run.insert(0, led[run[0]].prev)
                return run
        return []


def introduced(record: Record) -> str | None:
    """The key that a hello or founding gives to its log."""
    if record.seq != 1 or record.kind not in ("node.hello", "node.found") or record.flaw:
        return None
    key: str = record.body["key"]
    return key if sound(key) and record.log == log_of(record.body["name"], key) else None
