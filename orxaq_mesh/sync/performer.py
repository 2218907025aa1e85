"""Performs the engine's effects: journal, store and clock on one side, the pure mind on the other.

Knows: how an effect is carried out, in which order, and how what came of it is told to the engine.
Knows not: any decision. Who may act, what to sign and when to push is the engine's.
Laws: PUSH (outcomes come from the store), CACHE (the snapshot may vanish), CLOSED.

    with Performer.open(home, settings) as performer:
        performer.feed(Ask(intent))
        performer.told              # intent id -> Answer
"""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from types import TracebackType
from typing import Any, Self

import orjson

from orxaq_mesh import kinds
from orxaq_mesh.effects import (
    COMMITTED,
    Answer,
    Effect,
    Hold,
    Input,
    Look,
    Looked,
    Me,
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
from orxaq_mesh.errors import InvalidLedger, MeshFault, Unreachable, Usage
from orxaq_mesh.home.anchor import restored, written
from orxaq_mesh.home.budget import Budget
from orxaq_mesh.home.clock import Clock, boot_id, stamp
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.files import atomic_write, note_reading, read_json_cache
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.keyfiles import load as load_key
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import ProcessId, alive, undisturbed
from orxaq_mesh.keys import SecretKey, namespace
from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.lease import Lease, leases
from orxaq_mesh.kinds.review import is_held
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.news import added_lines, beyond
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import BadLine, Record, Seal, log_place, parse_path
from orxaq_mesh.schema import read_record
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw, Oid, Store, flaws_only
from orxaq_mesh.sync.identity import entries_of, identity_of, memory_of
from orxaq_mesh.sync.ladder import Ladder

OUTBOX = "mesh-node/"
MAX_JOURNAL_BYTES = 256 * 1024
KEEP_FREELY_MS, KEEP_SHARE = 10, 10
"""A snapshot that takes longer is written for at most a tenth of the time: its size follows what is at work."""
KEPT_SEALS = 64
"""So many of its own newest seals a node remembers, so as never to sign a second one on their parents (law SEAL)."""
RETRY_LACKING_MS = 600_000
"""An outbox whose objects the hub has not got (a copy of it may lag behind) is asked for again after so long."""
MAX_OUTBOX_FILES = 64
"""At most so many segments of one outbox are read at a time: a hostile one costs no more."""


class Performer:
    """One node at work. Its caller holds the `node` lock while it feeds."""

    def __init__(self, home: Home, settings: Settings, journal: Journal, store: Store, secret: SecretKey) -> None:
        self.home, self.settings, self.journal, self.store = home, settings, journal, store
        self.clock = Clock()
        self.identity = identity_of(journal)
        pace = settings.pace
        self.budget = Budget(home.cache / "pushes.json", pace.push_per_minute, pace.push_burst)
        self.told: dict[str, Answer] = {}
        self.say: Callable[[Say], None] = lambda _: None
        self.telling: Callable[[], None] = lambda: None
        self.tips: dict[str, Oid] = {}
        self.unreached: MeshFault | None = None
        self.dice: Callable[[], float] = lambda: 0.5
        me = self._me(secret)
        self.ladder = Ladder(home.cache / "ladder", self.identity.ledger)
        ledger, trunk, self._quiet_outboxes = self._restore()
        self.engine = Engine(
            me,
            ledger,
            memory_of(journal),
            Pace(pace.poll_ms, pace.poll_waiting_ms, 60_000 // pace.push_per_minute),
            trunk,
        )
        self._kept: tuple[Any, ...] | None = None
        self._keep_due_ms = 0
        self._stays = False
        self._lacking: dict[tuple[str, Oid], int] = {}
        self._polled_ms = 0, 0

    @classmethod
    def open(cls, home: Home, settings: Settings) -> Performer:
        """The node that lives in a home.

        Raises:
            MeshFault: there is none, or its key or journal cannot be read.
        """
        import random

        from orxaq_mesh.home.process import environment
        from orxaq_mesh.store.git import GitStore

        if not home.journal.exists():
            raise Usage(f"no node lives in {home.path}", hint="mesh init, or mesh join; --home says where else")
        journal = Journal.open(home.journal)
        identity = identity_of(journal)
        store = GitStore(
            home.store,
            settings.hub or identity.hub,
            trunk=identity.trunk,
            timeout_ms=settings.timeout_ms,
            environ=environment(),
            ssh_control_dir=str(home.path / "ssh"),
            boot=boot_id(),
        )
        performer = cls(home, settings, journal, store, load_key(home.path / identity.key))
        performer.dice = random.random
        return performer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Keep a snapshot and end every process of the store."""
        self._keep_due_ms = 0
        self.keep()
        self.store.close()

    # Feeding the engine.

    def feed(self, given: Input) -> None:
        """One input, and all that follows from it without waiting.

        Raises:
            MeshFault: the disk said no twice: what was to be told is told, what was not journalled was not pushed.
        """
        try:
            self._run(given)
        except MeshFault as error:
            self.say(Say("fault", {"code": error.code, "reason": error.what}))
            self._run(Unreached(error))

    def _run(self, given: Input) -> None:
        if self.journal.reload_if_changed():
            self._remember()
        self.journal.settle()
        inputs: deque[Input] = deque([given])
        while inputs:
            self.engine.duties.alive = self._alive()  # a hold of this very step must not count as abandoned in the next
            with undisturbed():  # the first input may bring a whole ledger
                effects = self.engine.step(inputs.popleft(), self.now())
            inputs.extend(self._perform(effects))
        self._compact()

    def _me(self, secret: SecretKey) -> Me:
        space = namespace(self.identity.ledger)
        return Me(self.identity.node, self.identity.log, lambda message: secret.sign(space, message))

    def _remember(self) -> None:
        """Another process of this node wrote to the journal: records, or with `node.rotate` a new key."""
        identity, memory = identity_of(self.journal), memory_of(self.journal)
        if identity == self.identity:
            self.engine.remember(memory)
            return
        self.identity = identity
        self.engine.rename(self._me(load_key(self.home.path / identity.key)), memory)
        self.say(Say("rotated", {"node": identity.log}))

    def observe(self) -> None:
        """Read the hub and fold; sign nothing, push nothing."""
        inputs: list[Input] = [self._look()]
        while inputs:
            given = inputs.pop()
            if isinstance(given, Looked):
                with undisturbed():
                    effects = self.engine.take_in(given)
                inputs += self._perform(effects)

    def push(self, publish: Publish) -> Published:
        """Push what is signed already, outside of the engine's turn.

        Raises:
            MeshFault: the hub cannot be reached.
        """
        ended = self._publish(publish)
        if isinstance(ended, Unreached):
            raise ended.error
        return ended

    def tick(self) -> None:
        """Time has passed."""
        self._stays = True
        self.feed(Tick(self._alive()))

    def _alive(self) -> frozenset[str]:
        """The records of those holds whose owner lives.

        A command that only asks and leaves neither renews what is held nor withdraws what waits: that is for who stays.
        """
        if not self._stays:
            held = {lease.record for lease in leases(self.engine.ledger.state).by_name.values()}
            return frozenset(self.engine.duties.holds.keys() - held)
        owners = {record: ProcessId(*hold.owner) for record, hold in self.engine.duties.holds.items() if hold.owner}
        living = {owner for owner in set(owners.values()) if alive(owner)}
        return frozenset(record for record, owner in owners.items() if owner in living)

    def pass_once(self) -> None:
        """Read the hub and publish all that waits and may go.

        Raises:
            MeshError: the hub cannot be reached, or the ledger breaks a law.
        """
        engine = self.engine
        self.feed(self._look())
        self.tick()
        deadline_ms = self.clock.now_ms() + 2 * self.settings.timeout_ms
        while (
            engine.can_publish and engine.broken is None and engine.failures == 0 and self.clock.now_ms() < deadline_ms
        ):
            time.sleep(max(1, min(200, engine.wake_ms() - self.clock.now_ms())) / 1000)
            self.tick()
        if engine.broken is not None:
            raise engine.broken
        if self.unreached is not None:
            raise self.unreached

    def now(self) -> Now:
        """The moment, as the engine wants it."""
        now_ms = self.clock.now_ms()
        return Now(now_ms, stamp(self.clock.wall()), self.dice(), now_ms + self.budget.wait_ms(now_ms))

    def _perform(self, effects: Iterable[Effect]) -> list[Input]:
        """Carry effects out, in order; what one step saves is on the disk in one piece before anything else."""
        inputs: list[Input] = []
        entries: list[Any] = []
        for effect in effects:
            if isinstance(effect, Save):
                entries += entries_of(effect)
                continue
            self.journal.append(*entries)
            entries.clear()
            match effect:
                case Look(beneath):
                    inputs.append(self._look(beneath))
                case Publish():
                    inputs.append(self._publish(effect))
                case Tell(intent, answer):
                    self.told[intent] = answer
                    self.telling()  # at once: the next reading of the hub may take its time
                case Say():
                    self.say(effect)
        self.journal.append(*entries)
        return inputs

    # Reading the hub.

    def _look(self, beneath: int | None = None) -> Looked | Unreached:
        begun_ms = ended_ms = self.clock.now_ms()
        try:
            if beneath is None:
                self.tips = self.store.poll()
                ended_ms = self.clock.now_ms()
                self._fetch(self.tips.get(self.identity.trunk))
                self._polled_ms = begun_ms, ended_ms
            else:  # what was read last is read again: what is newer may hold what lies deeper still
                begun_ms, ended_ms = self._polled_ms
            trunk = self.tips.get(self.identity.trunk)
            if trunk is not None and not self.store.has(trunk):
                self.store.fetch({self.identity.trunk: trunk})  # the store was deleted in between (CACHE)
            base = self.base(beneath)
            changes, findings = self._changes(trunk, base)
            descends = self._moved_on(trunk, changes)
            offered = list(self._offers(trunk))
        except InvalidLedger as error:
            flaws = [Finding(flaw.law, flaw.file, 0, flaw.reason) for flaw in error.findings]
            flaws = flaws or [Finding("RENDER", "", 0, error.what)]
            return Looked(begun_ms, self.clock.now_ms(), self.tips.get(self.identity.trunk), unreadable=flaws)
        except MeshFault as error:
            self.unreached = error
            return Unreached(error)
        self.unreached = None
        self._note_reading(begun_ms)
        return Looked(begun_ms, ended_ms, trunk, changes, findings, offered, (), base, descends, self.engine.trunk)

    def _fetch(self, trunk: Oid | None) -> None:
        """Bring in what is new: first the trunk and the outboxes of known logs, then those of strangers.

        An outbox that cannot be had is left alone, and stops nobody (LIVE): a refused one until it moves.

        Raises:
            MeshFault: the trunk cannot be had.
        """
        self._quiet_outboxes = {
            branch: tip for branch, tip in self._quiet_outboxes.items() if self.tips.get(branch) == tip
        }
        now_ms, ours = self.clock.now_ms(), {self.identity.log, *self.engine.ledger.state.heads}
        self._lacking = {key: until_ms for key, until_ms in self._lacking.items() if until_ms > now_ms}
        groups: tuple[dict[str, Oid], dict[str, Oid]] = {}, {}
        for branch, tip in self.tips.items():
            if self._quiet_outboxes.get(branch) != tip and (branch, tip) not in self._lacking:
                groups[branch.startswith(OUTBOX) and branch.removeprefix(OUTBOX) not in ours][branch] = tip
        for group in groups:
            try:
                self.store.fetch(group)
            except (InvalidLedger, Unreachable) as error:
                self._set_aside(trunk, error, now_ms)

    def _set_aside(self, trunk: Oid | None, error: MeshFault, now_ms: int) -> None:
        """Some branches could not be had: those to blame are remembered, if it is not the trunk."""
        for flaw in error.findings if isinstance(error, InvalidLedger) else ():
            tip = self.tips.get(flaw.file)
            if tip is not None and flaw.law == "LIVE":
                self._lacking[flaw.file, tip] = now_ms + RETRY_LACKING_MS
            elif tip is not None and flaw.file.startswith(OUTBOX):
                self._quiet_outboxes[flaw.file] = tip
        if trunk is None:
            raise error
        if not self.store.has(trunk):
            if isinstance(error, InvalidLedger):
                raise error
            self.store.fetch({self.identity.trunk: trunk})
        self.say(Say("outbox", {"reason": error.what}))

    def base(self, beneath: int | None) -> State | None:
        """The state from which everything is to be read anew; None: what changed since the last tip is enough."""
        if beneath is not None:
            self.ladder.climb(self.engine.ledger.spine.rungs)
            return self.ladder.below(beneath) or kinds.new_state()
        lost = self.engine.trunk is not None and not self._still_has(self.engine.trunk)  # the store went away (CACHE)
        if lost:
            self.ladder.below(-1)
        return kinds.new_state() if lost else None

    def _moved_on(self, trunk: Oid | None, changes: Sequence[Change]) -> bool:
        """Whether the trunk moved forward; where every file only grew it makes no difference, and nobody asks."""
        known = self.engine.trunk
        if trunk is None or known is None or all((item.new or b"").startswith(item.old or b"") for item in changes):
            return True
        return self.store.has(known) and self.store.descends(trunk, known)

    def _changes(self, trunk: Oid | None, base: State | None) -> tuple[list[Change], list[Finding]]:
        changes: list[Change] = []
        findings: list[Finding] = []
        known = None if base else self.engine.trunk
        damaged = self.engine.ledger.mends.keys() | self.engine.ledger.doubted.keys()
        only = (lambda path: beyond(base, path) or path in damaged) if base else None
        if trunk is not None and trunk != known:
            if any(parse_path(path) is None for path in self.engine.ledger.mends):
                flaws = flaws_only(self.store.changes(None, trunk, only=lambda _: False))
                findings += [Finding(flaw.law, flaw.file, 0, flaw.reason) for flaw in flaws]
            for item in self.store.changes(known, trunk, only=only):
                if isinstance(item, Flaw):
                    findings.append(Finding(item.law, item.file, 0, item.reason))
                else:
                    changes.append(item)
        return changes, findings

    def _offers(self, trunk: Oid | None) -> Iterator[Record]:
        """The records in outboxes that the trunk lacks."""
        for branch, tip in self.tips.items():
            if not branch.startswith(OUTBOX) or self._quiet_outboxes.get(branch) == tip or not self.store.has(tip):
                continue
            offered = list(self._outbox_records(trunk, tip, branch.removeprefix(OUTBOX)))
            yield from offered
            if not offered:
                self._quiet_outboxes[branch] = tip

    def _outbox_records(self, trunk: Oid | None, tip: Oid, log: str) -> Iterator[Record]:
        changes = self.store.changes(trunk, tip, f"ledger/nodes/{log}")
        for change in islice(changes, MAX_OUTBOX_FILES):
            if isinstance(change, Flaw):
                self.say(Say("outbox", {"log": log, "law": change.law, "file": change.file, "reason": change.reason}))
                continue
            for _, line, finding in added_lines(change):
                try:
                    if finding is None and (record := read_record(line)).log == log:
                        yield from self._place_holder(change, record)
                        yield record
                except BadLine as bad:
                    self.say(Say("outbox", {"log": log, "law": bad.law, "file": change.path, "reason": bad.reason}))

    @staticmethod
    def _place_holder(change: Change, record: Record) -> Iterator[Record]:
        """The record of the trunk whose place this one claims: the two are a proof (law CHAIN)."""
        for line in (change.old or b"").split(b"\n"):
            if b'"seq":%d,' % record.seq in line:
                with contextlib.suppress(BadLine):
                    yield read_record(line)

    # Publishing.

    def _publish(self, publish: Publish) -> Published | Unreached:
        self.budget.take(self.clock.now_ms())
        try:
            if publish.base is not None:
                self.store.fetch({self.identity.trunk: publish.base})  # the store may have been deleted since (CACHE)
            return self._push_trunk(publish, publish.seal) if publish.seal else self._push_outbox(publish)
        except Unreachable as error:
            self.unreached = error
            return Unreached(error)

    def _push_trunk(self, publish: Publish, seal: Seal) -> Published:
        base = publish.base

        def old(path: str) -> bytes | None:
            return self.store.read(base, path) if base else None

        files = with_mends(render(lambda path: publish.mends.get(path, old(path)), publish.records, [seal]), publish)
        message = f"mesh: epoch {seal.epoch}, {len(publish.records)} records, sealed by {seal.log}"
        message += f", {len(publish.mends)} files mended" if publish.mends else ""
        new = self.store.commit(base, files, [base] if base else [], message, seconds(seal.at))
        pushed = self.store.push(self.identity.trunk, base, new)
        if pushed.outcome.value != COMMITTED:
            return Published(pushed.outcome.value, pushed.reason, pushed.vetoed)
        self.tips[self.identity.trunk] = new
        changes = [Change(path, old(path), data) for path, data in files.items() if parse_path(path)]
        return Published(COMMITTED, trunk=new, changes=changes)

    def _push_outbox(self, publish: Publish) -> Published:
        """An outbox descends from what it was and from the trunk that it saw: it only moves forward."""
        branch, base = OUTBOX + self.identity.log, publish.base
        tip = self.tips.get(branch)
        if tip is not None:
            self.store.fetch({branch: tip})
        files = self._rendered(base, publish.records)
        if tip is not None and all(self.store.read(tip, path) == data for path, data in files.items()):
            return Published(COMMITTED)
        message = f"mesh: {len(publish.records)} records wait in the outbox of {self.identity.log}"
        at_s = seconds(publish.records[-1].at)
        parent = self._caught_up(tip, publish, at_s)
        new = self.store.commit(base, files, [parent] if parent else [], message, at_s)
        pushed = self.store.push(branch, tip, new)
        if pushed.outcome.value == COMMITTED:
            self.tips[branch] = new
        return Published(pushed.outcome.value, pushed.reason, pushed.vetoed)

    def _rendered(self, base: Oid | None, records: Iterable[Record]) -> dict[str, bytes]:
        return render(lambda path: self.store.read(base, path) if base else None, records)

    def _caught_up(self, tip: Oid | None, publish: Publish, at_s: int) -> Oid | None:
        """What the next outbox commit stands on: the trunk; the old tip; or both united, which adds nothing.

        A merge that added something would lose it where a pull request of this branch is rebased (trap C30).
        """
        base = publish.base
        if tip is None or base is None or self.store.descends(tip, base):
            return tip or base
        known = [record for record in publish.records if self._holds(tip, record)]
        message = f"mesh: the outbox of {self.identity.log} reads on"
        return self.store.commit(base, self._rendered(base, known), [tip, base], message, at_s)

    def _holds(self, commit: Oid, record: Record) -> bool:
        segment = self.store.read(commit, log_place(record.log, record.seq).file) or b""
        return record.line + b"\n" in segment

    # What is kept between two runs (law CACHE: all of it may vanish).

    @property
    def _snapshot(self) -> Any:
        return self.home.cache / "snapshot.json"

    def _restore(self) -> tuple[Ledger, Oid | None, dict[str, Oid]]:
        kept = read_json_cache(self._snapshot)
        if isinstance(kept, dict) and kept.get("ledger") == self.identity.ledger and self._still_has(kept.get("trunk")):
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError, InvalidLedger):
                if (ledger := restored(self.store, kept)) is not None:
                    return ledger, kept["trunk"], dict(kept["quiet_outboxes"])
        self.ladder.below(-1)  # which side the rungs lie on is not known any more
        return Ledger(self.identity.ledger), None, {}

    def _still_has(self, trunk: Any) -> bool:
        return isinstance(trunk, str) and self.store.has(trunk)

    def keep(self) -> None:
        """Write down the state and the alarms, for the next run and for `mesh status`."""
        engine = self.engine
        quiet = frozenset(self._quiet_outboxes.items())
        key = (engine.trunk, engine.findings, engine.broken, len(engine.pen.pending), quiet)
        begun_ms = self.clock.now_ms()
        if key == self._kept or engine.trunk is None or begun_ms < self._keep_due_ms:
            return
        self.ladder.climb(engine.ledger.spine.rungs)
        value = {
            **written(engine.ledger, engine.trunk),
            "alarms": [finding._asdict() for finding in engine.findings],
            "broken": engine.broken.what if engine.broken else None,
            "pending": len(engine.pen.pending),
            "proposed": len(engine.pen.pending) - len(engine.settling),
            "quiet_outboxes": self._quiet_outboxes,
        }
        atomic_write(self._snapshot, orjson.dumps(value))
        self._kept, ended_ms = key, self.clock.now_ms()
        if (took_ms := ended_ms - begun_ms) > KEEP_FREELY_MS:
            self._keep_due_ms = ended_ms + KEEP_SHARE * took_ms

    def _note_reading(self, begun_ms: int) -> None:
        note_reading(self.home.cache / "reading.json", begun_ms, self.clock.wall(), boot_id())

    def _compact(self) -> None:
        """Keep of the journal what may still be needed: who we are, what is not sealed, what was seen last."""
        if self.journal.size <= MAX_JOURNAL_BYTES:
            return
        engine, old = self.engine, memory_of(self.journal)
        unsealed = {record.id for record in engine.pen.pending}
        records = [record for record in old.records if record.id in unsealed] or list(old.records[-1:])
        live = [hold for hold in old.holds if self._is_live(hold)]
        identity = next(entry for entry in reversed(self.journal.entries) if entry["is"] == "identity")
        saves = [Save(records=records, seen=old.seen), *(Save(seal=seal) for seal in old.seals[-KEPT_SEALS:])]
        saves += [Save(hold=hold) for hold in live]
        self.journal.rewrite([identity, *(entry for save in saves for entry in entries_of(save))])

    def _is_live(self, hold: Hold) -> bool:
        held = leases(self.engine.ledger.state).by_name.get(hold.lease) or Lease(hold.lease)
        unsealed = any(record.id == hold.record for record in self.engine.pen.pending)
        waits = unsealed or is_held(self.engine.ledger.state, hold.record)
        return waits or held.record == hold.record or any(w.record == hold.record for w in held.queue)


def with_mends(files: Mapping[str, bytes], publish: Publish) -> dict[str, bytes | None]:
    """What is to be written: the rendered files, and the damaged ones as they are to be (law RENDER)."""
    return {**publish.mends, **files}


def seconds(at: str) -> int:
    """Seconds since 1970 of a record's or seal's `at`; what no calendar has counts as 0."""
    try:
        return max(0, int(datetime.fromisoformat(at).timestamp()))
    except (ValueError, OverflowError):
        return 0
