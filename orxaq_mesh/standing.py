"""Standing: whether a seal stands on a state, and who signed what.

Knows: which records a seal takes in (law SEAL), the one rule by which lines are verified (laws SIG, CHAIN).
Knows not: files, which of several seals the fleet went on from (`spine`), what a record means (`kinds`).

    standing = Standing(ledger_id)
    taken = standing.taken_by(state, seal, records.get)      # log -> records by seq, or Broken and why
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from orxaq_mesh import kinds
from orxaq_mesh.keys import PublicKey, namespace, verify
from orxaq_mesh.kinds import APPLIED, Moment, State
from orxaq_mesh.kinds.node import RECOVERY, Member, log_of, members
from orxaq_mesh.record import NOTHING, Place, Record, Seal, epoch_place, log_place

Find = Callable[[str], Record | None]


class Finding(NamedTuple):
    """A law broken in a ledger: where, and how. `line` counts from 1; 0 is the file as a whole."""

    law: str
    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.law}: {self.reason}"


class Broken(ValueError):
    """A seal does not stand, or a record is not authentic.

    Attributes:
        finding: law, place and reason.
        lacks: the id of a line without which the seal does not stand yet; None: it never will, on this parent. Who reads
            on from a later state cannot tell a line beneath it from one that is not here: both are lacking (law SET).
    """

    def __init__(self, law: str, place: Place, reason: str, lacks: str | None = None) -> None:
        super().__init__(reason)
        self.finding = Finding(law, place.file, place.line, reason)
        self.lacks = lacks


class Standing:
    """The rule of one ledger, and what it has verified already.

    Attributes:
        id: the ledger's id, 64 hex; None takes whatever the first seal founds.
        signatures: which are checked: "heads" (law SIG), "every", or "none" for lines that were read before.
        verified: (id, key) of lines that were found good, as long as they may be asked about again.
        keys: log -> the keys that it is known by, on whatever side of a fork. They are only ever added to (law SET).
    """

    def __init__(self, ledger_id: str | None, signatures: str = "heads") -> None:
        self.id, self.signatures = ledger_id, signatures
        self.verified: set[tuple[str, bytes]] = set()
        self.keys: dict[str, frozenset[str]] = {}

    def copy(self) -> Standing:
        """One that verifies on its own."""
        twin = Standing(self.id, self.signatures)
        twin.verified, twin.keys = set(self.verified), dict(self.keys)
        return twin

    def learn(self, log: str, *keys: str) -> None:
        """Know a log by these keys, too."""
        self.keys[log] = self.keys.get(log, frozenset()).union(keys)

    # Seals.

    def taken_by(self, state: State, seal: Seal, find: Find, over: Seal | None = None) -> dict[str, list[Record]]:
        """The records that a seal takes in, by log and seq, if it stands on this state (law SEAL).

        Args:
            state: what its parent came to.
            seal: the seal.
            find: id -> the record, of all that no seal up to the parent has taken in.
            over: the standing seal that it names as `over`.

        Raises:
            Broken: it does not stand, and why.
        """
        self._check_place(state, seal, over)
        if state.epoch:
            return self._taken_by(state, seal, find)
        known = self.id
        try:
            return self._taken_by(state, seal, find)
        except Broken:
            self.id = known  # a founding that nobody signed names no ledger
            raise

    def _taken_by(self, state: State, seal: Seal, find: Find) -> dict[str, list[Record]]:
        if state.epoch and not _may_seal(state, seal):
            raise Broken("SEAL", epoch_place(seal.epoch), f"{seal.log} may not seal")
        taken = {log: self._run(state, log, head, seal, find) for log, head in seal.heads.items()}
        if state.epoch == 0:
            self._check_genesis(state, seal, taken)
        for log, run in taken.items():
            if not is_admitted(state, log):
                _check_hello(log, run)
            for record in run if self.signatures == "every" else run[-1:]:
                self._check_record(state, record, run[0])
        founding = taken[seal.log][0] if state.epoch == 0 else None
        self._check(seal, key_of(state, seal.log, founding), self.id)
        for log, pair in seal.proofs.items():
            self._check_proof(state, seal, log, pair, find)
        return taken

    def _check_place(self, state: State, seal: Seal, over: Seal | None) -> None:
        place = epoch_place(seal.epoch)
        if seal.parent != state.seal:
            tip = f"epoch {state.epoch} ({state.seal[:12]})"
            raise Broken("SEAL", place, f"the seal of epoch {seal.epoch} does not follow {tip}")
        if seal.over is not None and over is None:
            reason = f"the seal of epoch {seal.epoch} is over {seal.over[:12]}, which does not stand here"
            raise Broken("EPOCH", place, reason, lacks=seal.over)
        expected = max(state.epoch, over.epoch if over else 0) + 1
        if seal.epoch != expected:
            reason = f"the seal of epoch {seal.epoch} stands where {expected} is next"
            raise Broken("EPOCH", place, reason, lacks=seal.over or seal.parent)
        if seal.rules != state.rules:
            raise Broken("RULES", place, f"rules {seal.rules} are not in force")

    def _run(self, state: State, log: str, head: tuple[int, str], seal: Seal, find: Find) -> list[Record]:
        """The records of a log from the last head to a new one, followed back by `prev` (law CHAIN)."""
        last_seq, last_id = last_of(state, log)
        seq, wanted = head
        if seq <= last_seq:
            raise Broken("SEAL", epoch_place(seal.epoch), f"the head of {log} goes back to seq {seq}")
        run = []
        while seq > last_seq:
            record = find(wanted)
            if record is None or record.seq != seq or record.log != log:
                place = log_place(log, seq)
                raise Broken("CHAIN", place, f"seq {seq} of {log} with id {wanted[:12]} is missing", lacks=wanted)
            run.append(record)
            seq, wanted = seq - 1, record.prev
        if wanted != last_id:
            place = log_place(log, last_seq + 1)
            raise Broken("CHAIN", place, f"seq {last_seq + 1} of {log} does not follow seq {last_seq}")
        run.reverse()
        return run

    def _check_genesis(self, state: State, seal: Seal, taken: Mapping[str, Sequence[Record]]) -> None:
        place = epoch_place(1)
        (run, *more) = taken.values()
        if more or len(run) != 1 or run[0].kind != "node.found" or run[0].flaw or seal.log != run[0].log:
            raise Broken("SEAL", place, "epoch 1 takes in exactly the founding record, sealed by its own key")
        if kinds.judge(state, run[0], Moment(1))[0].outcome != APPLIED:
            raise Broken("SEAL", place, "the founding record founds nothing: its keys or its name are not sound")
        if self.id not in (None, run[0].id):
            raise Broken("SIG", place, f"this is ledger {run[0].id[:12]}, not {str(self.id)[:12]}")
        self.id = run[0].id

    def _check_proof(self, state: State, seal: Seal, log: str, pair: tuple[str, str], find: Find) -> None:
        """Two records that the key of `log` signed for one seq, each by its own signature (law CHAIN)."""
        place = epoch_place(seal.epoch)
        reason = f"the seal of epoch {seal.epoch} proves nothing against {log}"
        if not is_admitted(state, log) or pair[0] >= pair[1]:
            raise Broken("PREFIX", place, reason)
        one, other = find(pair[0]), find(pair[1])
        if one is None or other is None:
            half = pair[0] if one is None else pair[1]
            raise Broken("CHAIN", place, f"half of the proof against {log} is missing: {half[:12]}", lacks=half)
        key = key_of(state, log)
        signed = self.signatures == "none" or all(self._verifies(half, key, self.id) for half in (one, other))
        if not is_pair(one, other) or one.log != log or not signed:
            raise Broken("PREFIX", place, reason, lacks=pair[0])

    # Signatures.

    def holds(self, state: State, record: Record, first: Record | None = None) -> bool:
        """Whether a record's own signature verifies by the key that this state, or `first`, knows its log by."""
        try:
            self._check_record(state, record, first)
        except Broken:
            return False
        return True

    def _check_record(self, state: State, record: Record, first: Record | None) -> None:
        founding = record.kind == "node.found" and record.seq == 1 and not state.epoch
        self._check(record, key_of(state, record.log, first), None if founding else self.id)

    def _check(self, item: Record | Seal, key: PublicKey, ledger_id: str | None) -> None:
        if self.signatures != "none" and not self._verifies(item, key, ledger_id):
            place = log_place(item.log, item.seq) if isinstance(item, Record) else epoch_place(item.epoch)
            raise Broken("SIG", place, f"the signature is not {key.fingerprint}'s over this line")

    def _verifies(self, item: Record | Seal, key: PublicKey, ledger_id: str | None) -> bool:
        known = (item.id, key.raw)
        if known not in self.verified and signature_holds(item.line, key, namespace(ledger_id)):
            self.verified.add(known)
        return known in self.verified

    def is_signed(self, item: Record | Seal, introduced: Iterable[str] = ()) -> bool:
        """Whether a line's own signature is by a key that its log is known by, on whatever side, or by one of these."""
        keys = self.keys.get(item.log, frozenset()).union(introduced)
        if self.signatures == "none":
            return bool(keys)
        space = None if item.id == self.id else self.id  # the founding was signed for no ledger yet
        return self.id is not None and any(self._verifies(item, _parsed(key), space) for key in keys)

    def sound(self, records: Iterable[Record]) -> set[str]:
        """The ids of those records that a key signed which a side knows, or that one of them introduces.

        Each must verify by itself, whatever follows it: so what is sound stays so as the set grows (law SET).
        """
        records = list(records)
        firsts = _first_of(records)
        return {record.id for record in records if self.is_signed(record, firsts.get(record.log, ()))}


def last_of(state: State, log: str) -> tuple[int, str]:
    """(seq, id) of the record that the next one of a log follows."""
    head = state.heads.get(log)
    if head is not None:
        return head
    member = members(state).by_log.get(log)
    return 0, (member.prev if member else "") or NOTHING


def is_pair(one: Record, other: Record) -> bool:
    """Whether two records claim one place of one log (law CHAIN)."""
    return (one.log, one.seq) == (other.log, other.seq) and one.id != other.id


def is_known(state: State, log: str) -> bool:
    """Whether the ledger knows the key of a log, of whatever standing."""
    return log in members(state).by_log


def is_admitted(state: State, log: str) -> bool:
    """Whether the key of a log is admitted."""
    member = members(state).by_log.get(log)
    return member is not None and member.admitted


def _check_hello(log: str, run: Sequence[Record]) -> None:
    """SEAL: of a key that is not admitted only the record that introduces it may be taken in."""
    if len(run) > 1:
        raise Broken("SEAL", log_place(log, run[1].seq), f"{log} is not admitted: only its hello may be sealed")
    if not _introduces(run[0]):
        raise Broken("SIG", log_place(log, run[0].seq), f"no admitted key is behind {log}")


def _introduces(record: Record) -> bool:
    return record.seq == 1 and record.kind in ("node.found", "node.hello") and not record.flaw


def _may_seal(state: State, seal: Seal) -> bool:
    signer = members(state).by_log.get(seal.log)
    if signer is None or not signer.may_seal():
        return False
    # LIVE: a stolen recovery key must not order other people's records.
    return RECOVERY not in signer.roles or (set(seal.heads) == {seal.log} and not seal.proofs)


def key_of(state: State, log: str, first: Record | None = None) -> PublicKey:
    """The key that a log's lines must verify by: the member's, or the one that a hello or founding names.

    Raises:
        Broken: the ledger knows none, and `first` introduces none.
    """
    member: Member | None = members(state).by_log.get(log)
    if member is not None:
        return _parsed(member.key)
    if first is not None and _introduces(first):
        return _introduced(first)
    place = log_place(log, first.seq) if first else epoch_place(state.epoch + 1)
    raise Broken("SIG", place, f"no key is known behind {log}")


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


def _first_of(records: Iterable[Record]) -> dict[str, set[str]]:
    """Log -> each key that one of these records introduces for it. Whoever writes another's name has none."""
    found: dict[str, set[str]] = {}
    for record in records:
        if _introduces(record):
            with contextlib.suppress(Broken):
                found.setdefault(record.log, set()).add(_introduced(record).text)
    return found


_SIG = b',"sig":"'


def signature_holds(line: bytes, key: PublicKey, space: str) -> bool:
    """Whether a line's `sig` is this key's signature over the line without it (law SIG)."""
    # The line is canonical and `sig` behind every field that holds others, so the last such text is the member itself.
    start = line.rindex(_SIG)
    end = line.index(b'"', start + len(_SIG))
    return verify(key.raw, space, line[:start] + line[end + 1 :], line[start + len(_SIG) : end].decode())
