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

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orxaq_mesh import fold, kinds
from orxaq_mesh.fold import Judged
from orxaq_mesh.keys import PublicKey, namespace
from orxaq_mesh.kinds import Moment, State
from orxaq_mesh.kinds.node import RECOVERY, members
from orxaq_mesh.news import FileChange, News
from orxaq_mesh.reconcile import capped, union
from orxaq_mesh.record import (
    NOTHING,
    Record,
    Seal,
    Value,
    epoch_place,
    log_place,
    parse_path,
)
from orxaq_mesh.schema import read_record
from orxaq_mesh.spine import Spine
from orxaq_mesh.standing import (
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


class Reading(NamedTuple):
    """What reading brought.

    Attributes:
        judged: the verdicts of the epochs that are new on the spine's chosen way.
        seals: those epochs' seals.
        findings: what is wrong with the files.
        known: ids of all seals behind the base, and its own, that stand by what the tree holds.
        deeper: nothing was taken in: read on from a state of this epoch or an older one. What came may change what
            lies beneath the present base.
        left: the seals that were on the chosen way before, and are no longer (law FORK).
        lost: where `deeper`: path -> what this node holds of a file that has lost lines; to be read with what is read.
    """

    judged: list[Judged]
    seals: list[Seal]
    findings: list[Finding]
    known: frozenset[str] = frozenset()
    deeper: int | None = None
    left: Sequence[Seal] = ()
    lost: Mapping[str, bytes] = {}


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
    def next_epoch(self) -> int:
        """The number of the epoch that closes next (law EPOCH): behind all that stand, on whatever side."""
        highest = self.spine.highest
        return max(self.state.epoch, highest.epoch if highest else 0) + 1

    @property
    def next_state(self) -> State:
        """Where the next epoch's records are judged: whom its seal suspends has lost its standing there (PREFIX)."""
        proofs = self.proofs()
        if not proofs:
            return self.state
        state = fold.copy(self.state)
        for log in sorted(proofs):
            kinds.suspend(state, log, Moment(self.next_epoch))
        return state

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
        news = News(self.base, whole=self._anchored, held=self.mends)
        news.read(changes)
        deeper = self._deeper(news)
        if deeper is not None:
            found = [finding for file in news.findings.values() for finding in file]
            held = {path: self.mends.get(path) or news.files[path].old for path in news.disorder & news.files.keys()}
            return Reading([], [], found, deeper=deeper, lost={path: old for path, old in held.items() if old})
        for seal in news.old_seals:
            place = epoch_place(seal.epoch)
            news.found(
                Finding("SIG", *place, f"no key of this ledger signed this seal of epoch {seal.epoch}"), seal.line
            )
        self._anchored = False
        rivals = {record.id: record for pair in news.pairs for record in pair if self._are_signed(record)}
        self.spine.extra |= rivals  # a seal that came with them may cite them
        since = since or self.state.seal
        self.spine.grow(news.records, news.seals)
        self._sift(news)
        self._remember_pairs(news)
        known = frozenset((self.base.seal, *self.spine.stood))
        chain, left = self.spine.since(since)
        findings = self._mend(news)
        self._settle()
        judged = [item for stood in chain for item in stood.judged]
        return Reading(judged, [stood.seal for stood in chain], findings, known, None, left)

    def _deeper(self, news: News) -> int | None:
        """From which epoch what came would have to be judged again; None: nothing beneath the base is touched."""
        if self._anchored or not self.base.epoch:
            return None
        seals = self.spine.seals.keys() | {seal.id for seal in news.seals} | {self.base.seal}
        here = {record.id for record in (*news.records, *(record for pair in news.pairs for record in pair))}
        strange = [
            seal
            for seal in news.seals
            if not {seal.parent, seal.over or seal.parent} <= seals
            or any(id_ not in here and self.spine.find(id_) is None for pair in seal.proofs.values() for id_ in pair)
        ]
        # Whoever may push could make everybody read everything again, if it took no key (law LIVE).
        signed = [seal for seal in (*news.old_seals, *strange) if self._is_signed(seal)]
        need = [_beneath(seal) for seal in signed]
        need += [self.forked for pair in news.pairs if self.forked is not None and self._are_signed(*pair)]
        if self.wanted:
            came = {seal.id for seal in news.seals}
            came |= {record.id for record in (*news.records, *(one for one, _ in news.pairs))}
            need += [self.wanted[id_] for id_ in self.wanted.keys() & came]
        return min(need, default=None)

    # What is sound, what is not, and what a file is to be.

    def _sift(self, news: News) -> None:
        """Part what no seal has taken in: into what its keys signed, and what is nobody's (law SIG)."""
        self._sift_seals(news)
        loose = self.spine.loose()
        loose += {record.id: record for record, _ in news.pairs}.values()
        good = self.spine.standing.sound(self.state, loose, self.spine.kin) if loose else set()
        for record in loose:
            if record.id in good or (self._incomplete() and not is_known(self.state, record.log)):
                continue  # whose admission is not here yet may still prove to be somebody
            self.spine.records.pop(record.id, None)
            place = log_place(record.log, record.seq)
            reason = f"seq {record.seq} of {record.log} is not signed by its key"
            news.found(Finding("SIG", place.file, place.line, reason), record.line)
        self._place_waiting()
        self._find_gaps([record for record in news.records if record.id in good], news)

    def _sift_seals(self, news: News) -> None:
        """Of the seals that do not stand, those stay that may yet: what they lack is remembered (law SEAL)."""
        came = {seal.id for seal in news.seals}
        incomplete = self._incomplete()
        for id_, broken in list(self.spine.held.items()):
            seal = self.spine.seals[id_]
            may_be = incomplete and broken.lacks is not None and not is_known(self.state, seal.log)
            if not (may_be or self._is_signed(seal)):
                self.spine.drop(seal)
                news.found(broken.finding, seal.line)
                continue
            if id_ in came and seal.parent not in self.spine.held:
                news.findings.setdefault(broken.finding.file, []).append(broken.finding)
            if broken.lacks is not None and len(self.wanted) < MAX_WANTED:
                self.wanted[broken.lacks] = _beneath(seal)

    def _incomplete(self) -> bool:
        """Whether a sound seal lacks something: then a key that nobody knows here may have been admitted there."""
        return not self.state.epoch or any(
            broken.lacks and self._is_signed(self.spine.seals[id_]) for id_, broken in self.spine.held.items()
        )

    def _is_signed(self, seal: Seal) -> bool:
        """Whether a key that is known here signed this seal."""
        if self.signatures == "none":
            return True
        known = is_known(self.state, seal.log)
        if not known and seal.log not in self.spine.kin:
            return False
        key = key_of(self.state, seal.log) if known else PublicKey.parse(self.spine.kin[seal.log])
        return signature_holds(seal.line, key, namespace(self.id))

    def _are_signed(self, *records: Record) -> bool:
        return all(self.spine.standing.holds(self.state, record) for record in records)

    def _place_waiting(self) -> None:
        self.waiting = {} if self.spine.all_taken else self._behind(self.spine.records)
        self.offered = {i: record for i, record in self._behind(self.offered).items() if i not in self.waiting}
        self.waiting.update(self.offered)

    def _behind(self, records: Mapping[str, Record]) -> dict[str, Record]:
        heads = self.state.heads
        return {i: record for i, record in records.items() if record.seq > heads.get(record.log, (0, ""))[0]}

    def _find_gaps(self, loose: Sequence[Record], news: News) -> None:
        """Say which lines no sound chain leads to: they wait for what is missing (law CHAIN)."""
        for log in sorted({record.log for record in loose}):
            led = self._led_to(log)
            for record in loose:
                if record.log == log and record.id in self.waiting and record.id not in led:
                    place = log_place(log, record.seq)
                    reason = f"seq {record.seq} of {log} hangs in the air: no sound chain leads to it"
                    news.findings.setdefault(place.file, []).append(Finding("CHAIN", *place, reason))

    def _mend(self, news: News) -> list[Finding]:
        """Note what damaged files are to be: all that is sound in them, and all that this node holds of them."""
        touched = news.bad.keys() | news.disorder | (self.mends.keys() & news.files.keys())
        for path in sorted(touched):
            change = news.files.get(path)
            if change is None:
                self.mends[path] = None
                continue
            held = self.mends.get(path, change.old)
            bad = news.bad.get(path, set())
            lines = (_lines(held) | (_lines(change.new) - _lines(change.old))) - bad  # what was bad before is so still
            right = self._render(path, lines) or None
            self.mends.pop(path, None)
            if right != change.new:
                self.mends[path] = right
        self.flaws = {path: told for path, told in self.flaws.items() if path in self.mends or path not in news.files}
        self.flaws.update(news.findings)
        return [finding for path in sorted(news.findings) for finding in news.findings[path]]

    def _render(self, path: str, lines: Iterable[bytes]) -> bytes:
        """A file of these lines; of the variants of a seq at most two, those first that a seal took in or cites."""
        parsed = parse_path(path)
        log, first = parsed or (None, 0)
        if log is None or first <= self.base.heads.get(log, (0, ""))[0]:
            return union(*lines)
        return capped(lines, self.spine.taken() | self.spine.cited.keys())

    # Two records for one place (law CHAIN).

    def _remember_pairs(self, news: News) -> None:
        """Keep the proofs that the tree holds; a key has no vote from the seq on that it signed twice (law FORK)."""
        variants: dict[tuple[str, int], dict[str, Record]] = {}
        beneath = [record for pair in news.pairs for record in pair]
        for record in (*beneath, *(() if self.spine.all_taken else self.spine.records.values())):
            variants.setdefault((record.log, record.seq), {})[record.id] = record
        void = dict(self.spine.void)
        for (log, seq), same in variants.items():
            pair = self._pair_of(same.values())
            if pair is not None:
                self.spine.extra.update({record.id: record for record in pair})
                void[log] = min(seq, void.get(log, seq))
        if void != self.spine.void:
            self.spine.void = void
            self.spine.choose()
            self._place_waiting()

    def _pair_of(self, same: Collection[Record]) -> tuple[Record, Record] | None:
        """Of records for one place, two that its key signed, if it did; the lowest of them are remembered."""
        if len(same) < 2:
            return None
        signed = sorted((record for record in same if self._are_signed(record)), key=lambda record: record.id)
        if len(signed) < 2 or not is_pair(signed[0], signed[1]):
            return None
        low, high = signed[:2]
        known = self.proven.get(low.log)
        if known is None or (low.seq, low.id, high.id) < (known[0].seq, known[0].id, known[1].id):
            self.proven[low.log] = (low, high)
        return low, high

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
                self._pair_of((rival, record))

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
            run = self.authentic(log) if is_admitted(self.state, log) else self._hello_of(log)
            if run:
                taken[log] = run
        return taken

    def _hello_of(self, log: str) -> list[Record]:
        """What introduces a log that nobody knows, signed by itself: a seal takes in no more of it (law SEAL)."""
        if is_known(self.state, log) or log in self.state.heads:
            return []
        first = (record for record in self._waiting_of(log) if (record.seq, record.prev) == (1, NOTHING))
        signed = [record for record in first if self.spine.standing.holds(self.state, record, record)]
        return sorted(signed, key=lambda record: record.id)[:1]

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
        halves = (record for pair in self.proven.values() for record in pair if record.id == id_)
        return self.waiting.get(id_) or self.spine.find(id_) or next(halves, None)

    # What is kept beside a snapshot (law CACHE).

    def memo(self) -> dict[str, Any]:
        """What this ledger knows beside the base and the tree, as JSON-able values."""
        proven = [record.line.decode() for pair in self.proven.values() for record in pair]
        mends = {path: None if right is None else right.decode() for path, right in self.mends.items()}
        flaws = {path: [list(finding) for finding in found] for path, found in self.flaws.items()}
        cited = {name: [record.line.decode() for record in getattr(self.spine, name).values()] for name in _CITED}
        known = {"forked": self.forked, "wanted": self.wanted, "void": self.spine.void, "kin": self.spine.kin}
        return {**known, **cited, "proven": proven, "mends": mends, "flaws": flaws}

    def recall(self, memo: Mapping[str, Any]) -> None:
        """Know again what `memo` wrote down.

        Raises:
            ValueError, KeyError, TypeError: these are no such values.
        """
        self.forked, self.wanted, self.spine.void = memo["forked"], dict(memo["wanted"]), dict(memo["void"])
        self.spine.kin = dict(memo["kin"])
        for name in _CITED:
            lines = [read_record(line.encode()) for line in memo[name]]
            setattr(self.spine, name, {record.id: record for record in lines})
        records = [read_record(line.encode()) for line in memo["proven"]]
        self.proven = {one.log: (one, other) for one, other in zip(records[::2], records[1::2], strict=True)}
        self.mends = {path: None if right is None else right.encode() for path, right in memo["mends"].items()}
        self.flaws = {path: [Finding(*finding) for finding in found] for path, found in memo["flaws"].items()}


def _lines(segment: bytes | None) -> set[bytes]:
    return {line for line in (segment or b"").split(b"\n") if line}


_CITED = ("cited", "extra")


def _beneath(seal: Seal) -> int:
    """The epoch from which all is read again that a seal may name."""
    return 0 if seal.over or seal.proofs else seal.epoch - 1
