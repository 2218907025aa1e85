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
from itertools import takewhile
from typing import Any, NamedTuple

from orxaq_mesh import fold, kinds
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import HELD, Moment, State
from orxaq_mesh.kinds.node import RECOVERY, members
from orxaq_mesh.news import FileChange, News, Rest, beyond
from orxaq_mesh.reconcile import capped, union
from orxaq_mesh.record import (
    NOTHING,
    Record,
    Seal,
    Value,
    epoch_place,
    line_id,
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
    last_of,
)

MAX_HEADS = 300
"""A seal takes in at most so many logs, so that its line stays well under 64 KiB; the rest waits for the next one."""

MAX_PROPOSED = 64
"""So many records of one log at most wait in its outbox for an approval; more of them are sealed, and held by the fold."""


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
    """

    judged: list[Judged]
    seals: list[Seal]
    findings: list[Finding]
    known: frozenset[str] = frozenset()
    deeper: int | None = None
    left: Sequence[Seal] = ()


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
        wanted: id of a line that seals lack which were let go -> the epoch from which they would have to be read again.
        doubted: path -> (the lines that are somebody's, all that the tree has), of files with lines that are nobody's
            so far. They are read again each time: whose author was unknown may be somebody by then (law SET).
        rivals: ids of records in the tree whose place beneath the base another took; no seal took them in.
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
        self.doubted: dict[str, tuple[bytes | None, bytes | None]] = {}
        self.rivals: frozenset[str] = frozenset()
        self.settles = True
        self._anchored = anchored
        self._held: frozenset[str] | None = None  # after a restart: the seals that were held before it
        self._incomplete = False

    def fork(self) -> Ledger:
        """A ledger that goes on from here on its own; this one stays as it is."""
        twin = Ledger(anchored=self._anchored)
        twin.spine, twin.rivals, twin.settles = self.spine.fork(), self.rivals, self.settles
        twin.forked, twin._held = self.forked, self._held
        for name in ("waiting", "offered", "mends", "flaws", "proven", "wanted", "doubted"):
            setattr(twin, name, dict(getattr(self, name)))
        return twin

    def beneath(self, base: State) -> Ledger:
        """A ledger that reads all behind an older state again; what this one knows of beside it is not forgotten."""
        twin = Ledger(self.id, base, anchored=True)
        twin.spine = Spine(base, self.spine.standing.copy())
        twin.settles = self.settles
        twin.recall(self.memo())
        twin.wanted = {id_: epoch for id_, epoch in self.wanted.items() if epoch < base.epoch}  # the rest is read again
        twin._held = None
        return twin

    def asks_for(self, path: str) -> bool:
        """Whether a file must be read to go on from the base: all that may hold something behind it, and the damaged."""
        return path in self.mends or path in self.doubted or beyond(self.base, path)

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

    @property
    def is_open(self) -> bool:
        """Whether the tree holds more behind the base than the state at the tip tells: after a restart it is read again."""
        return self.base is not self.state or bool(self.spine.records or self.spine.seals)

    # Reading (design: fetch -> changed paths only -> lines beyond the known heads -> ... -> fold on).

    def read(self, changes: Iterable[FileChange], since: str | None = None) -> Reading:
        """Take in what changed in the trunk, as far as it is sound.

        Nothing that was taken in before is lost by it: what a file lacks or spoils is noted in `mends`.

        Args:
            changes: the files that changed; or, if anchored, all that may hold something behind the base.
            since: id of the seal up to which the verdicts were heard; None: the present tip.
        """
        sure = self.mends | {path: lines for path, (lines, _) in self.doubted.items()}
        news = News(self.base, whole=self._anchored, sure=sure)
        news.read(self._with_doubted(changes))
        tip, void, stood = self.state.seal, dict(self.spine.void), set(self.spine.stood)
        self._find_rivals(news)
        if (deeper := self._deeper(news, void, stood)) is None:
            self.spine.grow(news.records, news.seals)
            deeper = self._deeper(news, void, stood)  # who signed what is new may be known by now, and more may stand
        if deeper is not None:
            self._hold(news)
            return Reading([], [], [found for file in news.findings.values() for found in file], deeper=deeper)
        self._sift(news)
        self._anchored, self._held = False, None
        self._find_pairs(news)
        self.spine.choose()
        self._place_waiting()
        self._find_gaps(news)
        known = frozenset((self.base.seal, *self.spine.stood))
        chain, left = self.spine.since(since or tip)
        findings = self._mend(news)
        self._settle()
        judged = [item for stood in chain for item in stood.judged]
        return Reading(judged, [stood.seal for stood in chain], findings, known, None, left)

    def _with_doubted(self, changes: Iterable[FileChange]) -> Iterator[FileChange]:
        told = set()
        for change in changes:
            told.add(change.path)
            yield change
        for path, (sure, there) in self.doubted.items() if not self._anchored else ():
            if path not in told:
                yield Rest(path, sure, there)

    def _deeper(self, news: News, void: Mapping[str, int], stood: set[str]) -> int | None:
        """From which epoch what came would have to be judged again; None: nothing beneath the base is touched."""
        if self._anchored or not self.base.epoch:
            return None
        seals = self.spine.seals.keys() | {seal.id for seal in news.seals} | {self.base.seal}
        records = self.spine.records.keys() | self.spine.extra.keys() | {record.id for record in news.records}
        # Whoever may push could make everybody read everything again, if it took no key (law LIVE).
        is_signed = self.spine.standing.is_signed
        need = [_parent_epoch(seal) for seal in news.old_seals if is_signed(seal)]
        for seal in news.seals:
            if seal.parent not in seals and is_signed(seal):
                need.append(_parent_epoch(seal))
            half = next((id_ for pair in seal.proofs.values() for id_ in pair if id_ not in records), None)
            if (half or (seal.over and seal.over not in seals)) and is_signed(seal):
                need.append(0)
        came = news.came() | (self.spine.stood.keys() - stood)
        need += [self.wanted[id_] for id_ in self.wanted.keys() & came]
        if void != self.spine.void and self.forked is not None and self.forked < self.base.epoch:
            need.append(self.forked)
        return min(need, default=None)

    def _hold(self, news: News) -> None:
        """What files lack that this node was sure of, it puts back: also where all is read again first (law RENDER)."""
        for path in news.disorder & news.files.keys():
            self.mends[path] = news.files[path].old
            self.doubted.pop(path, None)

    # What is sound, what is not, and what a file is to be.

    def _find_rivals(self, news: News) -> None:
        """Of the records that claim a place beneath the base: what its key signed is another's rival (law CHAIN)."""
        is_signed = self.spine.standing.is_signed
        rivals, places = set[str](), set[tuple[str, int]]()
        for record in news.old_records:
            same = news.claims(record)
            if len(same) == 1 or record.id in self.spine.elsewhere or not is_signed(record):
                continue
            rivals.add(record.id)
            if (record.log, record.seq) not in places:
                places.add((record.log, record.seq))
                self._note([other for other in same.values() if is_signed(other)])
                if len(same) > 2:
                    news.disorder.add(log_place(record.log, record.seq).file)
        self.rivals |= rivals

    def _sift(self, news: News) -> None:
        """Part what no seal has taken in: into what its keys signed, and what is nobody's (law SIG)."""
        self._want(news)
        is_signed = self.spine.standing.is_signed
        held = dict(self.spine.held)
        for id_, broken in held.items():
            if not is_signed(seal := self.spine.seals[id_]):
                self.spine.drop(seal)
                law, reason = broken.finding.law, broken.finding.reason
                if self._is_nobodys(seal, Finding(law, *epoch_place(seal.epoch), reason), news):
                    continue
                if seal.parent not in held:
                    news.tell(broken.finding)
        for seal in [seal for seal in news.old_seals if not is_signed(seal)]:
            reason = f"no key of this ledger signed this seal of epoch {seal.epoch}"
            self._is_nobodys(seal, Finding("SIG", *epoch_place(seal.epoch), reason), news)
        strange = [record for record in news.old_records if record.id not in self.rivals | self.spine.elsewhere]
        loose = self.spine.loose()
        good = self.spine.standing.sound(loose) if loose else set()
        bad = [record for record in loose if record.id not in good | self.spine.elsewhere]
        for record in (*bad, *(record for record in strange if len(news.claims(record)) > 1)):
            self.spine.records.pop(record.id, None)
            place = log_place(record.log, record.seq)
            reason = f"seq {record.seq} of {record.log} is not signed by its key"
            self._is_nobodys(record, Finding("SIG", *place, reason), news)

    def _want(self, news: News) -> None:
        """Of the seals that do not stand, those stay that a key signed, until what they lack is here (law SEAL)."""
        came = {seal.id for seal in news.seals}
        self._incomplete = bool(self.wanted) or not (self.spine.stood or self.base.epoch)
        for id_, broken in list(self.spine.held.items()):
            seal = self.spine.seals[id_]
            if not self.spine.standing.is_signed(seal):
                continue
            if self._anchored and self._held is not None and id_ not in self._held:
                self.spine.drop(seal)  # it was judged where it belongs, and let go, before the restart
                continue
            if id_ in came and news.is_full(epoch_place(seal.epoch).file):
                self.spine.drop(seal)
                reason = f"a seal of {seal.log} that does not stand, in a file that is full of them"
                news.found(Finding("LIVE", *epoch_place(seal.epoch), reason), seal.line)
                continue
            if id_ in came and seal.parent not in self.spine.held:
                news.tell(broken.finding)
            self._incomplete |= broken.lacks is not None

    def _is_nobodys(self, item: Record | Seal, finding: Finding, news: News) -> bool:
        """A line that no known key signed. While seals lack something, whose key is unknown may still prove somebody."""
        if self._incomplete and item.log not in self.spine.standing.keys:
            news.put_off(finding.file, item.line)
            return False
        news.found(finding, item.line)
        return True

    def _place_waiting(self) -> None:
        self.waiting = {} if self.spine.all_taken else self._behind(self.spine.records)
        self.offered = {i: record for i, record in self._behind(self.offered).items() if i not in self.waiting}
        self.waiting.update(self.offered)

    def _behind(self, records: Mapping[str, Record]) -> dict[str, Record]:
        heads = self.state.heads
        return {i: record for i, record in records.items() if record.seq > heads.get(record.log, (0, ""))[0]}

    def _find_gaps(self, news: News) -> None:
        """Say which lines no sound chain leads to: they wait for what is missing (law CHAIN).

        What only another side took in, or a proof cites, may be of a chain that nobody goes on with: nothing is missing.
        """
        known = self.spine.taken() | self.spine.elsewhere | self.spine.cited if self.waiting else set()
        loose = [record for record in news.records if record.id in self.waiting and record.id not in known]
        by_log: dict[str, list[Record]] = {}
        for record in loose:
            by_log.setdefault(record.log, []).append(record)
        for log in sorted(by_log):
            led = self.led_to(log)
            for record in by_log[log]:
                place = log_place(log, record.seq)
                if record.id not in led and place.file not in news.bad:
                    reason = f"seq {record.seq} of {log} hangs in the air: no sound chain leads to it"
                    news.tell(Finding("CHAIN", *place, reason))

    def _mend(self, news: News) -> list[Finding]:
        """Note what damaged files are to be: all that is sound in them, and all that this node is sure of."""
        known = (self.mends.keys() | self.doubted.keys()) & news.files.keys()
        for path in sorted(news.bad.keys() | news.disorder | known):
            change = news.files.get(path)
            if change is None:
                if parse_path(path) is None:
                    self.mends[path] = None
                continue  # a file that did not change is as it was judged to be
            lines = _lines(change.old) | (_lines(change.new) - news.bad.get(path, set()))
            sure = self._render(path, lines, news)
            right = union(sure, *news.unknown.get(path, ())) or None
            self.mends.pop(path, None)
            self.doubted.pop(path, None)
            if right != change.new:
                self.mends[path] = right
                if path not in news.findings:
                    news.found(Finding("RENDER", path, 0, "lines are out of order, or twice"))
            if news.bad.get(path):
                self.doubted[path] = (sure or None, change.new)
        for path in news.gone:
            self.mends.pop(path, None)
        for path in (*news.files, *news.gone):
            self.flaws.pop(path, None)
        self.flaws.update(news.findings)
        return [finding for path in sorted(news.findings) for finding in news.findings[path]]

    def _render(self, path: str, lines: set[bytes], news: News) -> bytes:
        """A file of these lines; of the variants of a seq at most two, those first that a seal took in or cites."""
        parsed = parse_path(path)
        if parsed is None or parsed[0] is None:
            return union(*lines)
        taken = self.spine.taken() | self.spine.elsewhere
        loose = (self.rivals | self.spine.records.keys()) - taken - self.spine.cited
        kept = capped(lines, {line_id(line) for line in lines} - loose)
        for line in lines - _lines(kept):
            record = read_record(line)
            self.spine.records.pop(record.id, None)
            self.spine.extra.pop(record.id, None)
            self.waiting.pop(record.id, None)
            place = log_place(record.log, record.seq)
            news.found(Finding("RENDER", *place, f"seq {record.seq} of {record.log} has more than two variants"), line)
        return kept

    # Two records for one place (law CHAIN).

    def _find_pairs(self, news: News) -> None:
        """Keep the proofs that the tree holds; a key has no vote from the seq on that it signed twice (law FORK)."""
        if self.spine.all_taken:
            return
        places: dict[tuple[str, int], list[Record]] = {}
        for record in self.spine.records.values():
            places.setdefault((record.log, record.seq), []).append(record)
        for same in places.values():
            if len(same) > 1:
                self._note([record for record in same if self.spine.standing.is_signed(record)])
            if len(same) > 2:
                news.disorder.add(log_place(same[0].log, same[0].seq).file)

    def _note(self, same: list[Record]) -> None:
        """Records in the tree for one place, all signed by their key."""
        if len(same) > 1:
            log, seq = same[0].log, same[0].seq
            self.spine.extra.update((record.id, record) for record in same)
            self.spine.void[log] = min(seq, self.spine.void.get(log, seq))
            self._proves(*same)

    def _proves(self, *same: Record) -> None:
        """Two of these records are two signatures of one key for one seq: the lowest such pair is kept."""
        low, high = sorted(same, key=lambda record: record.id)[:2]
        known = self.proven.get(low.log)
        if known is None or (low.seq, low.id, high.id) < (known[0].seq, known[0].id, known[1].id):
            self.proven[low.log] = (low, high)

    # Going on from the tip.

    def _settle(self) -> None:
        """Go on from the tip alone, where nothing behind the base is open any more (law CACHE)."""
        if self.spine.elections:
            epochs = {self.base.seal: self.base.epoch} | {id_: s.seal.epoch for id_, s in self.spine.stood.items()}
            oldest = min(epochs[election.parent] for election in self.spine.elections)
            self.forked = oldest if self.forked is None else min(self.forked, oldest)
        if self.settles and self.spine.settled:
            heads = self.state.heads
            beneath = {r.id for r in self.spine.loose() if r.seq <= heads.get(r.log, (0, ""))[0]}
            self.rivals = (self.rivals | beneath) - self.spine.taken()
            self._let_go()
            self.spine = self.spine.rebase()
        still = self.waiting.keys() | self.spine.seals.keys() | self.spine.extra.keys() | self.spine.records.keys()
        verified = self.spine.standing.verified
        self.spine.standing.verified = {item for item in verified if item[0] in still}

    def _let_go(self) -> None:
        """Of the seals that do not stand, those behind the tip are kept; of the others, what they lack (law SEAL)."""
        stays = self.spine.behind(self.state.seal)
        for id_, broken in self.spine.held.items():
            if id_ not in stays and broken.lacks is not None:
                seal = self.spine.seals[id_]
                self.wanted[broken.lacks] = min(_parent_epoch(seal), self.wanted.get(broken.lacks, seal.epoch))

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
                if is_pair(rival, record) and all(self.spine.standing.is_signed(half) for half in (rival, record)):
                    self._proves(rival, record)

    def authentic(self, log: str) -> list[Record]:
        """The longest run of waiting records of a log that follows its head without a gap and whose last verifies.

        Lines that nobody signed may claim the same places: each chain is followed back from its end (law LIVE).
        """
        first = self.led_to(log)
        for tip in sorted((self.waiting[id_] for id_ in first), key=lambda record: (-record.seq, record.id)):
            if self.spine.standing.holds(self.state, tip, first[tip.id]):
                run = [tip]
                while run[-1].id != first[tip.id].id:
                    run.append(self.waiting[run[-1].prev])
                return run[::-1]
        return []

    def led_to(self, log: str) -> dict[str, Record]:
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
        """What the next seal may take in: all that waits (see `_runs`), but for proposals.

        Args:
            own: the log that goes first.
        """
        runs = self._runs(own)
        if not kinds.asks_for_reviews(self.state) or not (proposed := self._proposed(runs)):
            return runs
        rest = {log: [record for record in run if record.id not in proposed] for log, run in runs.items()}
        return {log: run for log, run in rest.items() if run}

    def _runs(self, own: str = "") -> dict[str, list[Record]]:
        """What a seal may take in: admitted logs' runs, and hellos alone (law SEAL).

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

    def _proposed(self, runs: Mapping[str, Sequence[Record]]) -> set[str]:
        """Of these runs, the ids at their ends that would only be held; more than that of one log are none (LIVE)."""
        judged = fold.draft(self.next_state, fold.Epoch(self.state.seal, runs), self.next_epoch).judged
        last = {item.record.id: item.verdict.outcome for item in judged}  # it may be approved within the same epoch
        held = {id_ for id_, outcome in last.items() if outcome == HELD and id_ in self.offered}
        ends = ([*takewhile(lambda id_: id_ in held, (record.id for record in reversed(run)))] for run in runs.values())
        return {id_ for end in ends if len(end) <= MAX_PROPOSED for id_ in end}

    def proposals(self) -> set[str]:
        """The ids of records that wait in an outbox for an approval (REVIEW-1).

        What would only be held is to be seen in a pull request: no seal takes it in while nobody builds on it.
        """
        return self._proposed(self._runs()) if kinds.asks_for_reviews(self.state) else set()

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
        passed = [
            s.seal
            for s in orphans
            if s.seal.epoch > self.state.epoch or late & {i.record.id for i in s.judged if not i.again}
        ]
        return max(passed, key=lambda seal: (seal.epoch, seal.id), default=None)

    def taken_by(self, seal: Seal) -> dict[str, list[Record]]:
        """The records that a seal on the present tip takes in, by log and seq, if it stands (law SEAL).

        Raises:
            Broken: it does not stand, and why.
        """
        over = self.spine.stood.get(seal.over or "")
        return self.spine.standing.taken_by(self.state, seal, self._find, over.seal if over else None)

    def _find(self, id_: str) -> Record | None:
        proofs = (record for pair in self.proven.values() for record in pair if record.id == id_)
        return self.waiting.get(id_) or self.spine.find(id_) or next(proofs, None)

    # What is kept beside a snapshot (law CACHE).

    def memo(self) -> dict[str, Any]:
        """What this ledger knows beside the base and the tree, as JSON-able values."""
        proven = [record.line.decode() for pair in self.proven.values() for record in pair]
        flaws = {path: [list(finding) for finding in found] for path, found in self.flaws.items()}
        spine, known = self.spine, members(self.base).by_log
        keys = {log: sorted(keys) for log, keys in spine.standing.keys.items() if log not in known or len(keys) > 1}
        return {
            "cited": sorted(spine.cited),
            "doubted": {path: [_text(part) for part in parts] for path, parts in self.doubted.items()},
            "elsewhere": sorted(spine.elsewhere),
            "extra": [record.line.decode() for record in spine.extra.values()],
            "flaws": flaws,
            "forked": self.forked,
            "held": sorted(spine.held),
            "keys": keys,
            "mends": {path: _text(right) for path, right in self.mends.items()},
            "proven": proven,
            "rivals": sorted(self.rivals),
            "void": spine.void,
            "wanted": self.wanted,
        }

    def recall(self, memo: Mapping[str, Any]) -> None:
        """Know again what `memo` wrote down.

        Raises:
            ValueError, KeyError, TypeError: these are no such values.
        """
        spine = self.spine
        self.forked, self.wanted = memo["forked"], dict(memo["wanted"])
        spine.void, spine.elsewhere = dict(memo["void"]), frozenset(memo["elsewhere"])
        spine.cited = frozenset(memo["cited"])
        self._held = frozenset(memo["held"])
        self.rivals = frozenset(memo["rivals"])
        for log, keys in memo["keys"].items():
            spine.standing.learn(log, *keys)
        records = [read_record(line.encode()) for line in memo["proven"]]
        self.proven = {one.log: (one, other) for one, other in zip(records[::2], records[1::2], strict=True)}
        spine.extra = {record.id: record for record in (read_record(line.encode()) for line in memo["extra"])}
        self.mends = {path: _bytes(right) for path, right in memo["mends"].items()}
        self.doubted = {path: (_bytes(sure), _bytes(there)) for path, (sure, there) in memo["doubted"].items()}
        self.flaws = {path: [Finding(*finding) for finding in found] for path, found in memo["flaws"].items()}


def _lines(segment: bytes | None) -> set[bytes]:
    return {line for line in (segment or b"").split(b"\n") if line}


def _parent_epoch(seal: Seal) -> int:
    """The epoch of the state that a seal follows, or of a younger one on its way: no rung is kept beside a fork."""
    return 0 if seal.over is not None else seal.epoch - 1


def _text(data: bytes | None) -> str | None:
    # What lies in a damaged file need not be text: each byte comes back as it was.
    return None if data is None else data.decode("latin-1")


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode("latin-1")
