"""Reading: from the files of a tree to a verified ledger, and what the next seal may take in.

Knows: which lines of a file are sound, what a damaged file is to be again, what waits (laws LINE, CHAIN, RENDER).
Knows not: where files come from, commits, clocks; what a record means (`kinds`), which way a fork goes (`spine`).

    ledger = Ledger(ledger_id)
    reading = ledger.read([Change("ledger/epochs/000000/0000000001.ndjson", None, b"...")])
    reading.findings                 # law, file, line, reason; empty when all is well
    ledger.state                     # what the fold made of it
    ledger.mends                     # damaged files, as they are to be: for whoever publishes next
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from orxaq_mesh import fold, kinds
from orxaq_mesh.fold import Judged
from orxaq_mesh.keys import namespace
from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.node import RECOVERY, members
from orxaq_mesh.reconcile import capped, union
from orxaq_mesh.record import (
    SEGMENT_LINES,
    BadLine,
    Record,
    Seal,
    Value,
    line_id,
    log_place,
    parse_path,
)
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.spine import Spine
from orxaq_mesh.standing import (
    Broken,
    Finding,
    Standing,
    is_admitted,
    is_known,
    is_pair,
    key_of,
    last_of,
    signature_holds,
)

MAX_HEADS = 300
"""A seal takes in at most so many logs, so that its line stays well under 64 KiB; the rest waits for the next one."""
MAX_WANTED = 1000
"""So many records are remembered that seals name and nobody has shown: a hostile one costs no more."""


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
    """What reading brought.

    Attributes:
        judged: the verdicts of the epochs that are new on the spine's chosen way.
        seals: those epochs' seals.
        findings: what is wrong with the files.
        known: ids of all seals that the tree was seen to hold.
        deeper: nothing was taken in: read on from a state of this epoch or an older one. What came may change what
            lies beneath the present base.
        left: the seals that were on the chosen way before, and are no longer (law FORK).
    """

    judged: list[Judged]
    seals: list[Seal]
    findings: list[Finding]
    known: frozenset[str] = frozenset()
    deeper: int | None = None
    left: Sequence[Seal] = ()


class _News:
    """What the lines of some files come to, before it is known what of it is sound."""

    def __init__(self) -> None:
        self.seals: list[Seal] = []
        self.records: list[Record] = []
        self.old_seals: list[Seal] = []
        self.pairs: list[tuple[Record, Record]] = []
        self.files: dict[str, FileChange] = {}
        self.bad: dict[str, set[bytes]] = {}
        self.disorder: set[str] = set()
        self.findings: dict[str, list[Finding]] = {}

    def found(self, finding: Finding, bad: bytes | None = None) -> None:
        """Note what is wrong; `bad`: a line that is to go."""
        self.findings.setdefault(finding.file, []).append(finding)
        if bad is None:
            self.disorder.add(finding.file)
        else:
            self.bad.setdefault(finding.file, set()).add(bad)


class Ledger:
    """The verified ledger of one node: the state at the spine's tip, and the records that no seal has taken in.

    Args:
        ledger_id: the genesis record's id, 64 hex; None takes whatever the first seal founds.
        state: a state to go on from (a snapshot); None begins at genesis.
        anchored: what is read first are whole files behind that state, not what changed since.

    Attributes:
        spine: all that lies behind a base: every side of a fork that is still open.
        waiting: id -> record, of those that the tip has not taken in: in the tree, or offered.
        offered: id -> record, of those that are in no tree yet (an outbox, the journal): no vote is read from them.
        mends: path -> what a damaged file is to be; None: it is to go (law RENDER).
        flaws: path -> what is wrong with it.
        proven: log -> two records that its key signed for one seq (law CHAIN).
        forked: the epoch behind which the oldest fork ever seen lies; None: there was none.
        settles: whether what is decided behind the base is let go; else all of it stays to be looked at.
        wanted: id of a line that seals lack -> the epoch from which they would have to be read again.
    """

    def __init__(self, ledger_id: str | None = None, state: State | None = None, *, anchored: bool = False) -> None:
        known = ledger_id or (state.ledger if state and state.ledger else None)
        self.spine = Spine(state or kinds.new_state(), Standing(known))
        self.waiting: dict[str, Record] = {}
        self.offered: dict[str, Record] = {}
        self.mends: dict[str, bytes | None] = {}
        self.flaws: dict[str, list[Finding]] = {}
        self.proven: dict[str, tuple[Record, Record]] = {}
        self.forked: int | None = None
        self.wanted: dict[str, int] = {}
        self.settles = True
        self._anchored = anchored

    def fork(self) -> Ledger:
        """A ledger that goes on from here on its own; this one stays as it is."""
        twin = Ledger(anchored=self._anchored)
        twin.spine, twin.forked, twin.settles = self.spine.fork(), self.forked, self.settles
        for name in ("waiting", "offered", "mends", "flaws", "proven", "wanted"):
            setattr(twin, name, dict(getattr(self, name)))
        return twin

    @property
    def id(self) -> str | None:
        """The ledger's id."""
        return self.spine.standing.id

    @id.setter  # noqa: A003
    def id(self, ledger_id: str) -> None:
        self.spine.standing.id = ledger_id

    @property
    def signatures(self) -> str:
        """Which are checked: see `Standing`."""
        return self.spine.standing.signatures

    @signatures.setter
    def signatures(self, which: str) -> None:
        self.spine.standing.signatures = which

    @property
    def state(self) -> State:
        """What the fold came to at the spine's tip. Not to be changed."""
        return self.spine.tip

    @property
    def base(self) -> State:
        """The state behind which everything may still have to be judged again; `state`, where no fork is open."""
        return self.spine.base

    # Reading (design: fetch -> changed paths only -> lines beyond the known heads -> ... -> fold on).

    def read(self, changes: Iterable[FileChange], since: str | None = None) -> Reading:
        """Take in what changed in the trunk, as far as it is sound.

        Nothing that was taken in before is lost by it: what a file lacks or spoils is noted in `mends`.

        Args:
            changes: the files that changed; or, if anchored, all that may hold something behind the base.
            since: id of the seal up to which the verdicts were heard; None: the present tip.
        """
        news = _News()
        for change in self._with_mends(changes):
            self._read_file(change, news)
        deeper = self._deeper(news)
        if deeper is not None:
            return Reading([], [], [found for file in news.findings.values() for found in file], deeper=deeper)
        self._anchored = False
        since = since or self.state.seal
        self.spine.grow(news.records, news.seals)
        self._sift(news)
        self._remember_pairs(news)
        known = frozenset((self.base.seal, *self.spine.seals))
        chain, left = self.spine.since(since)
        findings = self._mend(news)
        self._settle()
        judged = [item for stood in chain for item in stood.judged]
        return Reading(judged, [stood.seal for stood in chain], findings, known, None, left)

    def _with_mends(self, changes: Iterable[FileChange]) -> Iterator[FileChange]:
        """Whole files are read: what this node holds of them, and they lack, is read with them."""
        told = set()
        for change in changes:
            told.add(change.path)
            yield change
        for path in [path for path in self.mends if path not in told] if self._anchored else ():
            yield _Lacking(path)

    def _read_file(self, change: FileChange, news: _News) -> None:
        parsed = parse_path(change.path)
        if parsed is None:
            news.found(Finding("RENDER", change.path, 0, "no file of a ledger has this name"))
            return
        news.files[change.path] = change
        log, first = parsed
        floor = self.base.epoch if log is None else self.base.heads.get(log, (0, ""))[0]
        position = _last_position(change)
        for number, line, finding in self._lines(change):
            if finding is not None:
                news.found(finding, None if finding.law in ("SEEN", "CHAIN") else line)
                continue
            try:
                item: Record | Seal = read_seal(line) if log is None else read_record(line)
                here = (item.epoch if isinstance(item, Seal) else item.seq, item.id)
                if not first <= here[0] < first + SEGMENT_LINES:
                    raise BadLine("RENDER", f"number {here[0]} lies in another file")
                if isinstance(item, Record) and item.log != log:
                    raise BadLine("CHAIN", f"a record of {item.log} in the file of {log}")
            except BadLine as bad:
                news.found(Finding(bad.law, change.path, number, bad.reason), line)
                continue
            if here <= position:
                reason = "out of order, or twice: lines are sorted by number and id"
                news.found(Finding("RENDER", change.path, number, reason))
            position = here
            if here[0] <= floor:
                self._beneath(item, change, news)
            elif isinstance(item, Seal):
                news.seals.append(item)
            else:
                news.records.append(item)

    def _lines(self, change: FileChange) -> Iterator[tuple[int, bytes, Finding | None]]:
        yield from added_lines(change)
        held = self.mends.get(change.path) if self._anchored else None
        if held:
            there = set((change.new or b"").split(b"\n"))
            yield from ((0, line, None) for line in held.split(b"\n")[:-1] if line not in there)

    def _beneath(self, item: Record | Seal, change: FileChange, news: _News) -> None:
        """A line that is new, or read again, and whose place lies beneath the base."""
        if isinstance(item, Seal):
            if item.id != self.base.seal and not self._anchored:
                news.old_seals.append(item)
        elif (rival := self._rival(item, change)) is not None:
            news.pairs.append((item, rival))

    def _rival(self, record: Record, change: FileChange) -> Record | None:
        """The record that holds the place which this one claims beneath the base, if it is another."""
        same = [other for other in _records(change.old or change.new) if other.seq == record.seq]
        if change.old is None:
            known = self._chain_in(change, record.log)
            same = [other for other in same if other.id in known] if record.id not in known else []
        return next((other for other in same if other.id != record.id), None)

    def _chain_in(self, change: FileChange, log: str) -> set[str]:
        """The ids in a file that the base's head of a log leads back to."""
        at = {record.id: record for record in _records(change.new)}
        known, id_ = set[str](), self.base.heads[log][1]
        while id_ in at:
            known.add(id_)
            id_ = at[id_].prev
        return known

    def _deeper(self, news: _News) -> int | None:
        """From which epoch what came would have to be judged again; None: nothing beneath the base is touched."""
        if self._anchored or not self.base.epoch:
            return None
        seals = self.spine.seals.keys() | {seal.id for seal in news.seals} | {self.base.seal}
        need = [0 if seal.over else seal.epoch - 1 for seal in news.old_seals]
        need += [0 if seal.over else seal.epoch - 1 for seal in news.seals if seal.parent not in seals]
        need += [0 for seal in news.seals if seal.over is not None and seal.over not in seals]
        need += [self.forked for _ in news.pairs if self.forked is not None]
        if self.wanted:
            came = {seal.id for seal in news.seals}
            came |= {record.id for record in (*news.records, *(one for one, _ in news.pairs))}
            need += [self.wanted[id_] for id_ in self.wanted.keys() & came]
        return min(need, default=None)

    # What is sound, what is not, and what a file is to be.

    def _sift(self, news: _News) -> None:
        """Part what no seal has taken in: into what its keys signed, and what is nobody's (law SIG)."""
        self._sift_seals(news)
        loose = self.spine.loose()
        good = self.spine.standing.sound(self.state, loose) if loose else set()
        lacking = any(broken.lacks for broken in self.spine.held.values())
        for record in loose:
            if record.id in good or (lacking and not is_known(self.state, record.log)):
                continue  # whose admission is not here yet may still prove to be somebody
            del self.spine.records[record.id]
            place = log_place(record.log, record.seq)
            reason = f"seq {record.seq} of {record.log} is not signed by its key"
            news.found(Finding("SIG", place.file, place.line, reason), record.line)
        self._place_waiting()
        self._find_gaps([record for record in news.records if record.id in good], news)

    def _sift_seals(self, news: _News) -> None:
        """Of the seals that do not stand, those stay that may yet: what they lack is remembered (law SEAL)."""
        came = {seal.id for seal in news.seals}
        for id_, broken in list(self.spine.held.items()):
            seal = self.spine.seals[id_]
            if not self._may_be_signed(seal, broken):
                self.spine.drop(seal)
                news.found(broken.finding, seal.line)
                continue
            if id_ in came and seal.parent not in self.spine.held:
                news.findings.setdefault(broken.finding.file, []).append(broken.finding)
            if broken.lacks is not None and len(self.wanted) < MAX_WANTED:
                self.wanted[broken.lacks] = 0 if seal.over else seal.epoch - 1

    def _may_be_signed(self, seal: Seal, broken: Broken) -> bool:
        """Whether a seal that does not stand is its key's; where the key is unknown, whether it may become known."""
        try:
            key = key_of(self.state, seal.log)
        except Broken:
            return broken.lacks is not None
        return self.signatures == "none" or signature_holds(seal.line, key, namespace(self.id))

    def _place_waiting(self) -> None:
        self.waiting = {} if self.spine.all_taken else self._behind(self.spine.records)
        self.offered = {i: record for i, record in self._behind(self.offered).items() if i not in self.waiting}
        self.waiting.update(self.offered)

    def _behind(self, records: Mapping[str, Record]) -> dict[str, Record]:
        heads = self.state.heads
        return {i: record for i, record in records.items() if record.seq > heads.get(record.log, (0, ""))[0]}

    def _find_gaps(self, loose: Sequence[Record], news: _News) -> None:
        """Say which lines no sound chain leads to: they wait for what is missing (law CHAIN)."""
        for log in sorted({record.log for record in loose}):
            led = self._led_to(log)
            for record in loose:
                if record.log == log and record.id in self.waiting and record.id not in led:
                    place = log_place(log, record.seq)
                    reason = f"seq {record.seq} of {log} hangs in the air: no sound chain leads to it"
                    news.findings.setdefault(place.file, []).append(Finding("CHAIN", *place, reason))

    def _mend(self, news: _News) -> list[Finding]:
        """Note what damaged files are to be: all that is sound in them, and all that this node holds of them."""
        touched = news.bad.keys() | news.disorder | (self.mends.keys() & news.files.keys())
        for path in sorted(touched):
            change = news.files.get(path)
            if change is None:
                self.mends[path] = None
                continue
            held = self.mends.get(path, change.old)
            bad = news.bad.get(path, set())
            lines = {line for part in (held, change.new) for line in (part or b"").split(b"\n") if line} - bad
            right = self._render(path, lines) or None
            self.mends.pop(path, None)
            if right != change.new:
                self.mends[path] = right
        for path in news.files:
            self.flaws.pop(path, None)
        self.flaws.update(news.findings)
        return [finding for path in sorted(news.findings) for finding in news.findings[path]]

    def _render(self, path: str, lines: Iterable[bytes]) -> bytes:
        """A file of these lines; of the variants of a seq at most two, those first that a seal took in (law RENDER)."""
        parsed = parse_path(path)
        log, first = parsed or (None, 0)
        if log is None or first <= self.base.heads.get(log, (0, ""))[0]:
            return union(*lines)
        return capped(lines, self.spine.taken())

    # Two records for one place (law CHAIN).

    def _remember_pairs(self, news: _News) -> None:
        """Keep the proofs that the tree holds; a key has no vote from the seq on that it signed twice (law FORK)."""
        pairs, first = list(news.pairs), dict[tuple[str, int], Record]()
        if len(self.spine.stood) != len(self.spine.chain) or any(r.id in self.waiting for r in news.records):
            for record in self.spine.records.values():
                rival = first.setdefault((record.log, record.seq), record)
                pairs += [(rival, record)] if rival is not record else []
        void = dict(self.spine.void)
        for one, other in pairs:
            if self._proves(one, other):
                void[one.log] = min(one.seq, void.get(one.log, one.seq))
        if void != self.spine.void:
            self.spine.void = void
            self.spine.choose()
            self._place_waiting()

    def _proves(self, one: Record, other: Record) -> bool:
        """Whether two records are two signatures of one key for one seq; if so they are kept."""
        if not is_pair(one, other) or not all(self.spine.standing.holds(self.state, r) for r in (one, other)):
            return False
        low, high = sorted((one, other), key=lambda record: record.id)
        known = self.proven.get(one.log)
        if known is None or (low.seq, low.id, high.id) < (known[0].seq, known[0].id, known[1].id):
            self.proven[one.log] = (low, high)
        self.spine.extra.update({low.id: low, high.id: high})
        return True

    # Going on from the tip.

    def _settle(self) -> None:
        """Go on from the tip alone, where nothing behind the base is open any more (law CACHE)."""
        if self.spine.elections:
            epochs = {self.base.seal: self.base.epoch} | {id_: s.seal.epoch for id_, s in self.spine.stood.items()}
            oldest = min(epochs[election.parent] for election in self.spine.elections)
            self.forked = oldest if self.forked is None else min(self.forked, oldest)
        if self.settles and self.spine.settled:
            self.spine = self.spine.rebase()
        self.wanted = {id_: epoch for id_, epoch in self.wanted.items() if self.spine.find(id_) is None}
        still = self.waiting.keys() | self.spine.seals.keys() | self.spine.extra.keys() | self.spine.records.keys()
        verified = self.spine.standing.verified
        self.spine.standing.verified = {item for item in verified if item[0] in still}

    # What waits for a seal.

    def offer(self, records: Iterable[Record]) -> None:
        """Add records from an outbox or a journal. Only what proves authentic will ever be sealed.

        One that claims the place of a sealed record comes with that record: the two are a proof.
        """
        places: dict[tuple[str, int], Record] = {}
        for record in records:
            if record.seq > self.state.heads.get(record.log, (0, ""))[0]:
                if record.id not in self.waiting:
                    self.waiting[record.id] = self.offered[record.id] = record
                rivals = [r for r in self._waiting_of(record.log) if is_pair(r, record)]
            else:
                rivals = [places.setdefault((record.log, record.seq), record)]
            for rival in rivals:
                self._proves(rival, record)

    def authentic(self, log: str) -> list[Record]:
        """The longest run of waiting records of a log that follows its head without a gap and whose last verifies.

        Lines that nobody signed may claim the same places: each chain is followed back from its end (law LIVE).
        """
        first = self._led_to(log)
        for tip in sorted((self.waiting[id_] for id_ in first), key=lambda record: (-record.seq, record.id)):
            if self.spine.standing.holds(self.state, tip, first[tip.id]):
                run = [tip]
                while run[-1].id != first[tip.id].id:
                    run.append(self.waiting[run[-1].prev])
                return run[::-1]
        return []

    def _led_to(self, log: str) -> dict[str, Record]:
        """The waiting records that a chain without a gap leads to from a log's head: id -> the first of the chain."""
        seq, last = last_of(self.state, log)
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

    def sealable(self, own: str = "") -> dict[str, list[Record]]:
        """What the next seal may take in: admitted logs' runs, and hellos alone (law SEAL).

        Args:
            own: the log that goes first, then admitted ones: no crowd of strangers keeps a member waiting (law LIVE).
        """
        taken: dict[str, list[Record]] = {}
        known = members(self.state).by_log
        logs = {record.log for record in self.waiting.values()} - self.proofs().keys()
        if own in known and RECOVERY in known[own].roles:
            logs &= {own}  # LIVE: see `standing`
        for log in sorted(logs, key=lambda log: (log != own, log not in known, log)):
            if len(taken) == MAX_HEADS:
                break
            run = self.authentic(log)
            if not is_admitted(self.state, log):
                run = run[:1] if known.get(log) is None and not self.state.heads.get(log) else []
            if run:
                taken[log] = run
        return taken

    def late(self) -> bool:
        """Whether records wait in the tree that another side of a fork, or nobody, has sealed: the next seal's part."""
        return bool(self.waiting.keys() - self.offered.keys()) and any(
            run[-1].id not in self.offered for run in self.sealable().values()
        )

    def hellos(self) -> list[Record]:
        """The hellos that wait, sealed or not, for an admin's word."""
        return [run[0] for run in self.sealable().values() if run[0].kind == "node.hello"]

    def proofs(self) -> dict[str, tuple[Record, Record]]:
        """Who is to be suspended by the next seal: log -> the two records (law PREFIX)."""
        return {log: pair for log, pair in self.proven.items() if is_admitted(self.state, log)}

    def draft_seal(self, log: str, taken: Mapping[str, Sequence[Record]], at: str) -> Value:
        """The seal that would close the next epoch with these records; all of it but `sig`."""
        over = self._over(taken)
        number = max(self.state.epoch, over.epoch if over else 0) + 1
        known = members(self.state).by_log.get(log)
        recovers = known is not None and RECOVERY in known.roles
        proofs = {} if recovers else {who: [one.id, other.id] for who, (one, other) in self.proofs().items()}
        first = self.spine.order_of(over, self.state.seal) if over else ()
        draft = fold.draft(self.state, fold.Epoch(self.state.seal, taken, first, proofs), number)
        heads = {name: {"id": run[-1].id, "seq": run[-1].seq} for name, run in taken.items()}
        return {
            "at": at,
            "epoch": number,
            "heads": heads,
            "kind": "seal",
            "node": log,
            **({"over": over.id} if over else {}),
            "parent": self.state.seal,
            **({"proofs": proofs} if proofs else {}),
            "rules": self.state.rules,
            "state": draft.digest,
            "v": 1,
        }

    def _over(self, taken: Mapping[str, Sequence[Record]]) -> Seal | None:
        """The orphaned tip that the next seal passes: of what it takes in, that side's part goes first (law EPOCH)."""
        chain = {stood.seal.id for stood in self.spine.chain}
        late = {record.id for run in taken.values() for record in run}
        orphans = [stood for id_, stood in self.spine.stood.items() if id_ not in chain]
        passed = [s.seal for s in orphans if s.seal.epoch > self.state.epoch or late & {i.record.id for i in s.judged}]
        return max(passed, key=lambda seal: (seal.epoch, seal.id), default=None)

    def taken_by(self, seal: Seal) -> dict[str, list[Record]]:
        """The records that a seal on the present tip takes in, by log and seq, if it stands (law SEAL).

        Raises:
            Broken: it does not stand, and why.
        """
        over = self.spine.stood.get(seal.over or "")
        return self.spine.standing.taken_by(self.state, seal, self._find, over.seal if over else None)

    def _find(self, id_: str) -> Record | None:
        return self.waiting.get(id_) or self.spine.find(id_)

    # What is kept beside a snapshot (law CACHE).

    def memo(self) -> dict[str, Any]:
        """What this ledger knows beside the base and the tree, as JSON-able values."""
        proven = [record.line.decode() for pair in self.proven.values() for record in pair]
        mends = {path: None if right is None else right.decode() for path, right in self.mends.items()}
        flaws = {path: [list(finding) for finding in found] for path, found in self.flaws.items()}
        known = {"forked": self.forked, "wanted": self.wanted, "void": self.spine.void, "proven": proven}
        return {**known, "mends": mends, "flaws": flaws}

    def recall(self, memo: Mapping[str, Any]) -> None:
        """Know again what `memo` wrote down.

        Raises:
            ValueError, KeyError, TypeError: these are no such values.
        """
        self.forked, self.wanted, self.spine.void = memo["forked"], dict(memo["wanted"]), dict(memo["void"])
        records = [read_record(line.encode()) for line in memo["proven"]]
        self.proven = {one.log: (one, other) for one, other in zip(records[::2], records[1::2], strict=True)}
        self.spine.extra = {record.id: record for record in records}
        self.mends = {path: None if right is None else right.encode() for path, right in memo["mends"].items()}
        self.flaws = {path: [Finding(*finding) for finding in found] for path, found in memo["flaws"].items()}


class _Lacking(NamedTuple):
    """A file that a tree no longer has."""

    path: str
    old: bytes | None = None
    new: bytes | None = None


def _records(segment: bytes | None) -> list[Record]:
    """The records in a file's bytes, whoever signed them."""
    found = []
    for line in (segment or b"").split(b"\n"):
        try:
            found.append(read_record(line))
        except BadLine:
            continue
    return found


def beyond(state: State, path: str) -> bool:
    """Whether a file of this name may hold lines that lie behind a state, or that it does not know."""
    parsed = parse_path(path)
    if parsed is None:
        return True
    log, first = parsed
    known = state.epoch if log is None else state.heads.get(log, (0, ""))[0]
    return first + SEGMENT_LINES > known


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
    try:
        value = orjson.loads(line)
        return (value["epoch"] if value["kind"] == "seal" else value["seq"], line_id(line))
    except (ValueError, KeyError, TypeError):
        return (0, "")  # what stood there before was no line of a ledger


def _missing(path: str, old: Sequence[bytes], new: set[bytes]) -> Iterator[tuple[int, bytes, Finding]]:
    law, what = ("SEEN", "seal") if path.startswith("ledger/epochs/") else ("CHAIN", "record")
    for number, line in enumerate(old, 1):
        if line not in new:
            reason = f"a {what} that this node has seen was edited or deleted"
            yield number, line, Finding(law, path, number, reason)
