"""Reading: from the files of a tree to a verified ledger, and what the next seal may take in.

Knows: which lines are authentic (laws LINE, SIG, CHAIN) and which seals stand (law SEAL).
Knows not: where files come from, commits, clocks; what a record means (`kinds`), how lines lie in files (`reconcile`).

    ledger = Ledger(ledger_id)
    reading = ledger.read([Change("ledger/epochs/000000/0000000001.ndjson", None, b"...")])
    reading.findings                 # law, file, line, reason; empty when all is well
    ledger.state                     # what the fold made of it
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import NamedTuple, Protocol

import orjson

from orxaq_mesh import fold, kinds
from orxaq_mesh.fold import Judged
from orxaq_mesh.keys import PublicKey, namespace, verify
from orxaq_mesh.kinds import APPLIED, Moment, State
from orxaq_mesh.kinds.node import RECOVERY, log_of, members
from orxaq_mesh.record import (
    NOTHING,
    SEGMENT_LINES,
    BadLine,
    Place,
    Record,
    Seal,
    Value,
    epoch_place,
    line_id,
    log_place,
    parse_path,
)
from orxaq_mesh.schema import read_record, read_seal

MAX_HEADS = 300
"""A seal takes in at most so many logs, so that its line stays well under 64 KiB; the rest waits for the next one."""


class Finding(NamedTuple):
    """A law broken in a ledger: where, and how. `line` counts from 1; 0 is the file as a whole."""

    law: str
    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.law}: {self.reason}"


class FileChange(Protocol):
    """One file of two trees: its bytes before and after (`store.Change` is one)."""

    @property
    def path(self) -> str:
        """Where it lies in the tree."""

    @property
    def old(self) -> bytes | None:
        """Its bytes before; None: it was not there."""

    @property
    def new(self) -> bytes | None:
        """Its bytes after; None: it is gone."""


class Reading(NamedTuple):
    """What reading brought: the verdicts of the epochs that came with it, and the findings."""

    judged: list[Judged]
    seals: list[Seal]
    findings: list[Finding]


class Broken(ValueError):
    """A seal does not stand, or a record is not authentic."""

    def __init__(self, law: str, place: Place, reason: str) -> None:
        super().__init__(reason)
        self.finding = Finding(law, place.file, place.line, reason)


class Ledger:
    """The verified ledger of one node: the state at the spine's tip, and the records that no seal has taken in.

    Args:
        ledger_id: the genesis record's id, 64 hex; None takes whatever the first seal founds.
        state: a state to go on from (a snapshot); None begins at genesis.

    Attributes:
        signatures: which are checked: "heads" (law SIG), "every", or "none" for lines that were read before.
    """

    def __init__(self, ledger_id: str | None = None, state: State | None = None) -> None:
        self.id = ledger_id or (state.ledger if state and state.ledger else None)
        self.state = state or kinds.new_state()
        self.waiting: dict[str, Record] = {}
        self._verified: set[str] = set()
        self.signatures = "heads"

    def fork(self) -> Ledger:
        """A ledger that goes on from here on its own; this one stays as it is."""
        twin = Ledger(self.id, fold.copy(self.state))
        twin.waiting, twin._verified = dict(self.waiting), set(self._verified)
        twin.signatures = self.signatures
        return twin

    # Reading (design: fetch -> changed paths only -> lines beyond the known heads -> ... -> fold on).

    def read(self, changes: Iterable[FileChange]) -> Reading:
        """Take in what changed in the trunk, as far as it is sound.

        Seals are folded in the order of their epochs, up to the first that does not stand.
        """
        findings: list[Finding] = []
        seals: dict[int, Seal] = {}
        records: list[Record] = []
        for change in changes:
            self._read_file(change, seals, records, findings)
        for record in records:
            self.waiting[record.id] = record
        judged, stood = self._fold(seals, findings)
        findings += self._check_rest(records)
        return Reading(judged, stood, findings)

    def _read_file(
        self, change: FileChange, seals: dict[int, Seal], records: list[Record], findings: list[Finding]
    ) -> None:
        parsed = parse_path(change.path)
        if parsed is None:
            findings.append(Finding("RENDER", change.path, 0, "no file of a ledger has this name"))
            return
        log, first = parsed
        position = _last_position(change)
        for number, line, finding in added_lines(change):
            if finding is not None:
                findings.append(finding)
                continue
            try:
                item = read_seal(line) if log is None else read_record(line)
                here = (item.epoch if isinstance(item, Seal) else item.seq, item.id)
                if here <= position:
                    raise BadLine("RENDER", "out of order, or twice: lines are sorted by number and id")
                position = here
                if not first <= here[0] < first + SEGMENT_LINES:
                    raise BadLine("RENDER", f"number {here[0]} lies in another file")
                if isinstance(item, Seal):
                    self._place_seal(item, seals)
                elif item.log != log:
                    raise BadLine("CHAIN", f"a record of {item.log} in the file of {log}")
                else:
                    records.append(item)
            except BadLine as bad:
                findings.append(Finding(bad.law, change.path, number, bad.reason))

    def _place_seal(self, seal: Seal, seals: dict[int, Seal]) -> None:
        if seal.epoch in seals or (seal.epoch <= self.state.epoch and seal.id != self.state.seal):
            raise BadLine("SEAL", f"a second seal of epoch {seal.epoch}")
        if seal.epoch > self.state.epoch:
            seals[seal.epoch] = seal

    def _fold(self, seals: Mapping[int, Seal], findings: list[Finding]) -> tuple[list[Judged], list[Seal]]:
        judged: list[Judged] = []
        stood: list[Seal] = []
        for epoch in sorted(seals):
            seal = seals[epoch]
            try:
                taken = self.taken_by(seal)
            except Broken as broken:
                findings.append(broken.finding)
                break
            judged += fold.apply(self.state, seal, taken)
            stood.append(seal)
            for record in chain.from_iterable(taken.values()):
                del self.waiting[record.id]
                self._verified.discard(record.id)
        return judged, stood

    def taken_by(self, seal: Seal) -> dict[str, list[Record]]:
        """The records that a seal takes in, by log and seq, if it stands on the present tip (law SEAL).

        Raises:
            Broken: it does not stand, and why.
        """
        state = self.state
        if seal.parent != state.seal or seal.epoch != state.epoch + 1:
            tip = f"epoch {state.epoch} ({state.seal[:12]})"
            raise Broken("SEAL", epoch_place(seal.epoch), f"the seal of epoch {seal.epoch} does not follow {tip}")
        if seal.rules != state.rules:
            raise Broken("RULES", epoch_place(seal.epoch), f"rules {seal.rules} are not in force")
        taken = {log: self._run(log, head, seal) for log, head in seal.heads.items()}
        if state.epoch == 0:
            self._check_genesis(seal, taken)
        elif not self._may_seal(seal):
            raise Broken("SEAL", epoch_place(seal.epoch), f"{seal.log} may not seal")
        for log, run in taken.items():
            if len(run) > 1 and not self._is_admitted(log):
                raise Broken("SEAL", log_place(log, run[1].seq), f"{log} is not admitted: only its hello may be sealed")
            for record in run if self.signatures == "every" else run[-1:]:
                self._check_signature(record, self._key(log, run[0]))
        founding = taken[seal.log][0] if state.epoch == 0 else None
        self._check_signature(seal, self._key(seal.log, founding))
        return taken

    def _run(self, log: str, head: tuple[int, str], seal: Seal) -> list[Record]:
        """The records of a log from the last head to a new one, followed back by `prev` (law CHAIN)."""
        last_seq, last_id = self.state.heads.get(log) or (0, self._first_prev(log))
        seq, wanted = head
        if seq <= last_seq:
            raise Broken("SEAL", epoch_place(seal.epoch), f"the head of {log} goes back to seq {seq}")
        run = []
        while seq > last_seq:
            record = self.waiting.get(wanted)
            if record is None or record.seq != seq or record.log != log:
                place = log_place(log, seq)
                raise Broken("CHAIN", place, f"seq {seq} of {log} with id {wanted[:12]} is missing")
            run.append(record)
            seq, wanted = seq - 1, record.prev
        if wanted != last_id:
            place = log_place(log, last_seq + 1)
            raise Broken("CHAIN", place, f"seq {last_seq + 1} of {log} does not follow seq {last_seq}")
        run.reverse()
        return run

    def _first_prev(self, log: str) -> str:
        member = members(self.state).by_log.get(log)
        return (member.prev if member else "") or NOTHING

    def _check_genesis(self, seal: Seal, taken: Mapping[str, Sequence[Record]]) -> None:
        place = epoch_place(1)
        (run, *more) = taken.values()
        if more or len(run) != 1 or run[0].kind != "node.found" or run[0].flaw or seal.log != run[0].log:
            raise Broken("SEAL", place, "epoch 1 takes in exactly the founding record, sealed by its own key")
        if kinds.judge(self.state, run[0], Moment(1))[0].outcome != APPLIED:
            raise Broken("SEAL", place, "the founding record founds nothing: its keys or its name are not sound")
        if self.id not in (None, run[0].id):
            raise Broken("SIG", place, f"this is ledger {run[0].id[:12]}, not {str(self.id)[:12]}")
        self.id = run[0].id

    def _is_admitted(self, log: str) -> bool:
        member = members(self.state).by_log.get(log)
        return member is not None and member.admitted

    def _may_seal(self, seal: Seal) -> bool:
        signer = members(self.state).by_log.get(seal.log)
        if signer is None or not signer.may_seal():
            return False
        # LIVE: a stolen recovery key must not order other people's records.
        return RECOVERY not in signer.roles or set(seal.heads) == {seal.log}

    def _key(self, log: str, first: Record | None) -> PublicKey:
        """The key that a log's records must verify by: the member's, or the one that a hello or founding names.

        Raises:
            Broken: no such key is admitted here, and `first` introduces none.
        """
        member = members(self.state).by_log.get(log)
        if member is not None and member.admitted:
            return _parsed(member.key)
        introduces = first is not None and first.seq == 1 and first.kind in ("node.found", "node.hello")
        if first is not None and introduces and not first.flaw:
            return _introduced(first)
        place = log_place(log, first.seq) if first else epoch_place(self.state.epoch + 1)
        raise Broken("SIG", place, f"no admitted key is behind {log}")

    def _check_signature(self, item: Record | Seal, key: PublicKey) -> None:
        if self.signatures == "none" or item.id in self._verified:
            return
        if not signature_holds(item.line, key, self._namespace(item)):
            place = log_place(item.log, item.seq) if isinstance(item, Record) else epoch_place(item.epoch)
            raise Broken("SIG", place, f"the signature is not {key.fingerprint}'s over this line")
        if isinstance(item, Record):
            self._verified.add(item.id)

    def _namespace(self, item: Record | Seal) -> str:
        founding = isinstance(item, Record) and item.kind == "node.found" and item.seq == 1 and not self.state.epoch
        return namespace(None if founding else self.id)

    def _check_rest(self, records: Iterable[Record]) -> list[Finding]:
        """Findings for lines in the trunk that no seal took in and that are not authentic either."""
        left: dict[str, list[Record]] = {}
        for record in records:
            if record.id in self.waiting:
                left.setdefault(record.log, []).append(record)
        findings = []
        for log, waiting in left.items():
            good = {record.id for record in self.authentic(log)}
            for record in waiting:
                if record.id not in good:
                    del self.waiting[record.id]
                    place = log_place(log, record.seq)
                    reason = (
                        f"seq {record.seq} of {log} hangs in the air: no seal takes it in, no sound chain leads to it"
                    )
                    findings.append(Finding("CHAIN", place.file, place.line, reason))
        return findings

    # What waits for a seal.

    def offer(self, records: Iterable[Record]) -> None:
        """Add records from an outbox or a journal. Only what proves authentic will ever be sealed."""
        for record in records:
            if record.seq > self.state.heads.get(record.log, (0, ""))[0]:
                self.waiting[record.id] = record

    def authentic(self, log: str) -> list[Record]:
        """The longest run of waiting records of a log that follows its head without a gap and whose last verifies.

        Lines that nobody signed may claim the same places: each chain is followed back from its end (law LIVE).
        """
        first = self._led_to(log)
        for tip in sorted((self.waiting[id_] for id_ in first), key=lambda record: (-record.seq, record.id)):
            if self._verifies(tip, first[tip.id]):
                run = [tip]
                while run[-1].id != first[tip.id].id:
                    run.append(self.waiting[run[-1].prev])
                return run[::-1]
        return []

    def _led_to(self, log: str) -> dict[str, Record]:
        """The waiting records that a chain without a gap leads to from a log's head: id -> the first of the chain."""
        seq, last = self.state.heads.get(log) or (0, self._first_prev(log))
        after: dict[tuple[int, str], list[Record]] = {}
        for record in self._waiting_of(log):
            after.setdefault((record.seq, record.prev), []).append(record)
        first: dict[str, Record] = {}
        left = [(record, record) for record in after.get((seq + 1, last), ())]
        while left:
            record, start = left.pop()
            first[record.id] = start
            left += [(follower, start) for follower in after.get((record.seq + 1, record.id), ())]
        return first

    def _waiting_of(self, log: str) -> Iterator[Record]:
        return (record for record in self.waiting.values() if record.log == log)

    def _verifies(self, record: Record, first: Record) -> bool:
        try:
            self._check_signature(record, self._key(record.log, first))
        except Broken:
            return False
        return True

    def sealable(self, own: str = "") -> dict[str, list[Record]]:
        """What the next seal may take in: admitted logs' runs, and hellos alone (law SEAL).

        Args:
            own: the log that goes first, then admitted ones: no crowd of strangers keeps a member waiting (law LIVE).
        """
        taken: dict[str, list[Record]] = {}
        known = members(self.state).by_log
        logs = {record.log for record in self.waiting.values()}
        if own in known and RECOVERY in known[own].roles:
            logs &= {own}  # LIVE: see `_may_seal`
        for log in sorted(logs, key=lambda log: (log != own, log not in known, log)):
            if len(taken) == MAX_HEADS:
                break
            run = self.authentic(log)
            member = members(self.state).by_log.get(log)
            if member is None or not member.admitted:
                run = run[:1] if member is None and not self.state.heads.get(log) else []
            if run:
                taken[log] = run
        return taken

    def hellos(self) -> list[Record]:
        """The hellos that wait, sealed or not, for an admin's word."""
        return [run[0] for run in self.sealable().values() if run[0].kind == "node.hello"]

    def draft_seal(self, log: str, taken: Mapping[str, Sequence[Record]], at: str) -> Value:
        """The seal that would close the next epoch with these records; all of it but `sig`."""
        draft = fold.draft(self.state, taken)
        heads = {name: {"id": run[-1].id, "seq": run[-1].seq} for name, run in taken.items()}
        return {
            "at": at,
            "epoch": draft.epoch,
            "heads": heads,
            "kind": "seal",
            "node": log,
            "parent": self.state.seal,
            "rules": self.state.rules,
            "state": draft.digest,
            "v": 1,
        }


_parsed = lru_cache(maxsize=1024)(PublicKey.parse)


def _introduced(first: Record) -> PublicKey:
    """The key that a founding or hello names, if the log is named after it.

    Raises:
        Broken: it is not, or the key is unsound.
    """
    place = log_place(first.log, 1)
    try:
        key = _parsed(first.body["key"])
        named = log_of(first.body["name"], first.body["key"])
    except ValueError as error:
        raise Broken("SIG", place, str(error)) from None
    if named != first.log:
        raise Broken("CHAIN", place, f"the log {first.log} is not named after its key, which gives {named}")
    return key


_SIG = b',"sig":"'


def signature_holds(line: bytes, key: PublicKey, space: str) -> bool:
    """Whether a line's `sig` is this key's signature over the line without it (law SIG)."""
    # The line is canonical and `sig` behind every field that holds others, so the last such text is the member itself.
    start = line.rindex(_SIG)
    end = line.index(b'"', start + len(_SIG))
    return verify(key.raw, space, line[:start] + line[end + 1 :], line[start + len(_SIG) : end].decode())


def added_lines(change: FileChange) -> Iterator[tuple[int, bytes, Finding | None]]:
    """(line number, line, None) for each line that is new in a file; (number, line, finding) for what is wrong.

    Lines are never edited or deleted: one of the old file that is missing is a finding (laws CHAIN, SEEN).
    """
    old, new = change.old or b"", change.new or b""
    skipped = 0
    if new.startswith(old):
        skipped = old.count(b"\n")
        known: set[bytes] = set()
        rest = new[len(old) :]
    else:
        known = set(old.split(b"\n"))
        rest = new
        yield from _missing(change.path, old.split(b"\n")[:-1], set(new.split(b"\n")))
    lines = rest.split(b"\n")
    torn = lines.pop()
    for number, line in enumerate(lines, skipped + 1):
        if not known or line not in known:  # looking into an empty set hashes the whole line, too
            yield number, line, None
    if torn:
        number = skipped + len(lines) + 1
        yield number, torn, Finding("LINE", change.path, number, "the last line is torn: no newline ends it")


def _last_position(change: FileChange) -> tuple[int, str]:
    """Behind which (number, id) the lines that a file grew by must lie; where it did not just grow, none."""
    if not change.old or not (change.new or b"").startswith(change.old):
        return (0, "")
    line = change.old.rsplit(b"\n", 2)[-2]
    value = orjson.loads(line)
    return (value["epoch"] if value["kind"] == "seal" else value["seq"], line_id(line))


def _missing(path: str, old: Sequence[bytes], new: set[bytes]) -> Iterator[tuple[int, bytes, Finding]]:
    law, what = ("SEEN", "seal") if path.startswith("ledger/epochs/") else ("CHAIN", "record")
    for number, line in enumerate(old, 1):
        if line not in new:
            reason = f"a {what} that this node has seen was edited or deleted"
            yield number, line, Finding(law, path, number, reason)
