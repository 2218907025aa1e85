"""One node's mind: (state, input, now) -> effects as values. It performs none.

Knows: what callers asked for, what the hub showed last, which push is under way, what is due next.
Knows not: git, files, processes, clocks, sockets. `sync` performs the effects and feeds back what came of them.
Its pen (`pen`) signs, its duties (`duties`) say what is to be renewed, taken over and given back.
Laws: PUSH, CLOSED, SEEN, RENDER; everything signed is saved before it is published (SEAL, CHAIN).

    engine = Engine(me, ledger, memory, pace)
    engine.step(Ask(intent), now)             -> [Look()]                       is the hub there? what does it say?
    engine.step(Looked(...), now)             -> [Save(...), Publish(...)]      signed, journalled, then pushed
    engine.step(Published(COMMITTED, ...), now) -> [Tell(intent, Answer(...))]  the verdict, read from the fold
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orxaq_mesh import answers, kinds
from orxaq_mesh.choosing import ANY_WORK, Choosing, claim_of
from orxaq_mesh.credentials import refuse
from orxaq_mesh.duties import LONG_AGO_MS, Duties, Wish
from orxaq_mesh.effects import (
    LOST,
    UNKNOWN,
    Answer,
    Ask,
    Cancel,
    Effect,
    Input,
    Intent,
    Look,
    Looked,
    Me,
    Memory,
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
from orxaq_mesh.errors import InvalidLedger, MeshError, MeshFault, Refused
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import APPLIED, HELD, REFUSED, Moment
from orxaq_mesh.kinds.lease import Lease, leases, waiting
from orxaq_mesh.kinds.node import members
from orxaq_mesh.kinds.review import is_held, reviews
from orxaq_mesh.kinds.work import work
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.pen import Pen
from orxaq_mesh.reacting import Reacting
from orxaq_mesh.record import Record, Value, log_place, parse_path
from orxaq_mesh.standing import Broken, Finding

STALE_PUSHES = 3
"""So many pushes from one tip must be told as stale, while the hub still shows that tip, before it counts as frozen."""
SCARCE_MS, FRESH_MS = 1000, 500
"""Where pushes are further apart than that, work is claimed, and pushed, only on a reading that is so young."""
FROZEN = ""
_TRY_AGAIN = ("UNTIL", "LEASE-3", "LEASE-8", "TIME")


class Engine:
    """See the module's banner. Not for two threads.

    Attributes:
        ledger, trunk: what was read of the hub last and found sound, and the commit that it stood at.
        seen: (epoch, id) of the newest seal ever seen; a trunk without it was rolled back (law SEEN).
        read_ms, read_for_push: when the trunk was seen last; whether that was for the sake of the push that is due.
        intents, record_of: who waits for an answer, and the record that each came to.
        any_work: of those who asked for whatever is to be done, what they asked; `intents` has what was chosen for them.
        flight: the push under way or of unknown outcome, and when it was sent.
        look_begun_ms: when the last good reading began; None before the first.
        look_due_ms, not_before_ms, push_ready_ms: when to read next; before when nothing is pushed, by backoff and budget.
        failures, vetoes, doubts: how often in a row the hub did not answer, refused a push, or left it unknown.
        stale: the tip from which pushes were told as stale last, and how many in a row.
        contended, outbox_seq: a push was lost, so others are to see what waits; up to which seq they can.
        broken, findings, parted: why nothing is mutated (law CLOSED), and what was said of it already.
    """

    def __init__(self, me: Me, ledger: Ledger, memory: Memory, pace: Pace, trunk: str | None = None) -> None:
        self.ledger, self.pace, self.trunk = ledger, pace, trunk
        self.pen = Pen(me, memory, ledger)
        self.duties = Duties(me.name, memory.holds)
        self.choosing, self.reacting = Choosing(me.name), Reacting(me.name)
        self.seen = memory.seen
        self.intents: dict[str, Intent] = {}
        self.record_of: dict[str, str] = {}
        self.any_work: dict[str, Intent] = {}
        self.flight: tuple[Publish, int] | None = None
        self.look_begun_ms: int | None = None
        self.look_due_ms = self.not_before_ms = self.push_ready_ms = 0
        self.read_ms = LONG_AGO_MS
        self.read_for_push = False
        self.failures = self.vetoes = self.doubts = 0
        self.outbox_seq = 0
        self.contended = False
        self.stale: tuple[str | None, int] = (None, 0)
        self.outrun = False  # the trunk is known to have moved on: read it before the next seal
        self.broken: MeshError | None = None
        self.findings: tuple[Finding, ...] = (*_all(ledger.flaws), *_suspects(ledger, me.log))
        self.parted = ""
        self._dug: Ledger | None = (
            None  # what asked to be read from further back: it knows what the tree lost meanwhile
        )
        ledger.offer(self.pen.pending)
        if self._newest()[0] >= self.pen.last[0]:  # else the snapshot is older than the journal
            self._restored_backup()  # nothing is signed beside what the snapshot shows of this log, hub or no hub
        self.parted = ""  # but it is told when it was read

    def step(self, given: Input, now: Now) -> list[Effect]:
        """Take in one input, and say what to do about it, in order."""
        effects: list[Effect] = []
        self.push_ready_ms = now.push_ready_ms
        match given:
            case Ask(intent, more):
                for each in (intent, *more):
                    effects += self._asked(each, now)
            case Cancel(intent_id):
                self._give_up(intent_id)
            case Tick(alive):
                self.duties.tick(alive)
                self.reacting.stays = True
            case Looked():
                effects += self._looked(given, now)
            case Published():
                effects += self._published(given, now)
            case Unreached(error):
                effects += self._unreached(error, now)
        return effects + self._plan(now)

    def _asked(self, intent: Intent, now: Now) -> list[Effect]:
        if flaw := _flaw(intent):
            return [Tell(intent.id, answers.refused(Refused("RULES", flaw, hint="mesh explain RULES")))]
        try:
            refuse(
                intent.kind, intent.wish, reviews(self.ledger.state).allowed
            )  # SECRET: no hub need be asked, and none need answer
        except Refused as no:
            return [Tell(intent.id, answers.refused(no))]
        self.intents[intent.id] = intent
        self.look_due_ms = now.ms if self.failures else self.look_due_ms
        return []

    def remember(self, memory: Memory) -> None:
        """Another process of this node wrote to the journal meanwhile: go on from there."""
        self.pen.remember(memory, self.ledger)
        self.seen = max(self.seen, memory.seen, key=lambda seen: seen[0])
        self.duties.holds = {hold.record: hold for hold in memory.holds}
        self.ledger.offer(self.pen.pending)

    def rename(self, me: Me, memory: Memory) -> None:
        """The node has another key by now (`node.rotate`): write its log. What the old one left unsealed is void."""
        void = {record.id for record in self.pen.pending}
        self.record_of = {intent: record for intent, record in self.record_of.items() if record not in void}
        self.pen.me, self.outbox_seq = me, 0
        self.look_begun_ms, self.look_due_ms = None, 0  # the rotation may be news to this ledger
        self.remember(memory)

    def wake_ms(self) -> int:
        """When the next `Tick` is due, on the boot-time clock, if nothing happens before."""
        times = [self.look_due_ms]
        times += [intent.deadline_ms for intent in self.intents.values() if intent.deadline_ms is not None]
        if self.flight is None and self.broken is None and self._heard():
            settling = self.settling
            times += [due for _, due in self.duties.renewals(self.ledger.state, self.pen.me.log, settling)]
            reacting_ms = self.reacting.due_ms(self.ledger.state, settling)
            times += [due for due in (self._publish_due_ms(), reacting_ms) if due is not None]
        return min(times)

    def rehearse(self, intent: Intent, now: Now) -> Answer:
        """What an intent would come to if it were sealed next; nothing is signed."""
        if earlier := answers.done_before(self.ledger.state, self.pen.me.name, intent):
            return earlier
        try:
            if flaw := _flaw(intent):
                raise Refused("RULES", flaw, hint="mesh explain RULES")
            draft = self.pen.draft(intent.kind, self._in_time(self._body(intent)), self.seen, now)
        except Refused as no:
            return answers.refused(no)
        moment = Moment(self.ledger.next_epoch)
        verdict, _ = kinds.judge(self.ledger.next_state, draft, moment)
        told = answers.judged(self.ledger.state, Judged(draft, moment.epoch, verdict))
        return told._replace(record=None, facts={**told.facts, "dry_run": True})

    def believed_until_ms(self, name: str, session: str) -> int | None:
        """Until when this node may act on a lease that it holds (law TIME); None: it does not hold it."""
        held = leases(self.ledger.state).by_name.get(name)
        if held is None or not held.held_by(self.pen.me.name, session):
            return None
        if any(r.kind == "lease.release" and r.body["record"] == held.record for r in self.pen.pending):
            return None  # it may be sealed already, and the next holder at work
        return self.duties.believed_until_ms(held)

    # Reading the hub.

    def take_in(self, look: Looked) -> list[Effect]:
        """What a reading of the hub comes to, without acting on it; a `Look` where it must be read further back."""
        self.flight = None
        if not look.unreadable and look.since != self.trunk:
            return [Look()]
        effects = self._take_in(look)
        if any(isinstance(effect, Look) for effect in effects):
            return effects
        self.look_begun_ms, self.failures, self.outrun = look.begun_ms, 0, False
        if self.broken is None:
            self.doubts = self.doubts if self.pen.pending else 0
            self.ledger.offer(look.offered)
            self.duties.saw(self.ledger, look)
            effects += self._restored_backup()
        return effects

    def _looked(self, look: Looked, now: Now) -> list[Effect]:
        before = self.ledger.state.seal
        effects = self.take_in(look)
        self.look_due_ms = now.ms + self._interval_ms(look.ended_ms - look.begun_ms)
        self.read_ms = now.ms
        if self.ledger.state.seal != before and not self.pen.pending and self.ledger.late():
            # What waits is anybody's to seal: the dice send one before the others.
            self.not_before_ms = max(self.not_before_ms, now.ms + int(self.pace.idle_ms * now.dice))
        return effects

    def _take_in(self, look: Looked) -> list[Effect]:
        """Fold on what the trunk brought, or raise the alarm and stay where we are (laws CLOSED, SEEN)."""
        if look.unreadable:
            return self._alarm(look.unreadable)
        trial = self._trial(look)
        reading = trial.read(look.changes, since=self.ledger.state.seal)
        if rolled_back := self._rolled_back(look, reading):
            return self._alarm(rolled_back)
        self._dug = None if reading.deeper is None else trial
        if reading.deeper is not None:
            return [Look(reading.deeper)]
        self._watch_for_frost(trial, look)
        effects = self._flaws(trial, look.findings, moved=look.trunk != self.trunk)
        if (doubt := trial.state.doubt) and doubt != self.ledger.state.doubt:
            reason = f"the seal of epoch {doubt[0]} by {doubt[1]} claims another digest than this node's fold"
            effects.append(Say("alarm", {"law": "DIGEST", "reason": reason}))
        suspects = trial.proofs().keys() - self.ledger.proofs().keys()
        effects += [Say("equivocation", {"log": log, "seq": trial.proven[log][0].seq}) for log in sorted(suspects)]
        self.trunk, self.ledger, self.broken = look.trunk, trial, None
        trial.offer(self.pen.pending)
        if reading.left:
            effects.append(Say("diverged", answers.diverged(reading)))
        if reading.seals or reading.left:
            if trial.state.epoch > self.seen[0]:
                self.seen = (trial.state.epoch, trial.state.seal)
                effects.append(Save(seen=self.seen))
            effects += self._hear(reading.judged)
        return effects

    def _trial(self, look: Looked) -> Ledger:
        """The ledger that this reading goes on from; what was mended in it so far stays mended."""
        if look.base is None:
            return self.ledger.fork()
        return (self._dug or self.ledger).beneath(look.base)

    def _rolled_back(self, look: Looked, reading: Reading) -> list[Finding]:
        """Law SEEN: what this node has seen is in the tree, or somebody damaged it on the way forward (law RENDER)."""
        epoch, seal = self.seen
        base = look.base.epoch if look.base else self.ledger.state.epoch if self.trunk else 0
        lost = [finding for finding in reading.findings if finding.law == "SEEN"]
        gone = epoch > base and seal not in reading.known and reading.deeper is None  # else it is read anew first
        if not epoch or (look.trunk and not gone and (look.descends or not lost)):
            return []
        tip = f"epoch {reading.seals[-1].epoch} ({reading.seals[-1].id[:12]})" if reading.seals else "an older tip"
        reason = (
            f"the hub was rolled back or forked: it shows {tip if look.trunk else 'no trunk'} and lacks the seal of"
        )
        told = reading.findings if gone else lost
        return [Finding("SEEN", "", 0, f"{reason} epoch {epoch} ({seal[:12]}) that this node has seen"), *told]

    def _watch_for_frost(self, trial: Ledger, look: Looked) -> None:
        """SEEN: a hub that calls a push stale, and shows the same old tip again and again, shows not what it has."""
        trial.flaws.pop(FROZEN, None)
        base, times = self.stale
        if base is not None and look.trunk == base and times >= STALE_PUSHES:
            tip = f"epoch {trial.state.epoch} ({trial.state.seal[:12]})"
            what = f"the hub calls pushes stale and shows {tip} all the same: a frozen copy, or one that lags"
            trial.flaws[FROZEN] = [Finding("SEEN", FROZEN, 0, what)]

    def _flaws(self, trial: Ledger, found: Sequence[Finding], *, moved: bool) -> list[Effect]:
        """What is damaged in the tree is told once, and mended by whoever publishes next (law RENDER)."""
        for path in [path for path in trial.mends if parse_path(path) is None] if moved else ():
            del trial.mends[path], trial.flaws[path]
        for finding in found:
            trial.mends.setdefault(finding.file, None)  # what a link or a folder replaced is held, and is put back
            others = [other for other in trial.flaws.get(finding.file, ()) if other != finding]
            trial.flaws[finding.file] = [finding, *others]
        known, self.findings = self.findings, (*_all(trial.flaws), *_suspects(trial, self.pen.me.log))
        return [Say("alarm", finding._asdict()) for finding in self.findings if finding not in known]

    def _alarm(self, findings: Sequence[Finding]) -> list[Effect]:
        known, self.findings = self.findings, tuple(findings)
        first = findings[0]
        where = f"{first.file}:{first.line}: " if first.file else ""
        what = f"the ledger at the hub breaks law {first.law}: {where}{first.reason}"
        self.broken = InvalidLedger(what, findings=findings, hint="mesh doctor")
        return [Say("alarm", finding._asdict()) for finding in self.findings if finding not in known]

    def _restored_backup(self) -> list[Effect]:
        """CHAIN: a log that goes on at the hub otherwise than in its own journal must not be written on."""
        member = members(self.ledger.state).by_log.get(self.pen.me.log)
        seq, id_ = self._newest()
        if not seq or (seq, id_) == self.pen.last or (member is not None and not member.admitted):
            self.parted = ""
            return []
        what = f"the hub has seq {seq} of {self.pen.me.log} ({id_[:12]}), "
        what += f"this node's journal ends at {self.pen.last[0]} ({self.pen.last[1][:12]})"
        doubt = f"{what}: restored from a backup, or a copied key?"
        self.broken = MeshFault(doubt, hint="mesh node rotate")
        alarm = Finding(
            "CHAIN", *log_place(self.pen.me.log, seq), f"{doubt} mesh node rotate gives this node another key"
        )
        self.findings += (alarm,)
        known, self.parted = self.parted, what
        return [] if known == what else [Say("alarm", alarm._asdict())]

    def _newest(self) -> tuple[int, str]:
        """The newest record of its own log that this node can show, as (seq, id)."""
        run = self.ledger.authentic(self.pen.me.log)
        return (run[-1].seq, run[-1].id) if run else self.ledger.state.heads.get(self.pen.me.log, (0, ""))

    def _interval_ms(self, reading_ms: int = 0) -> int:
        """How long until the next reading: soon while something is awaited, and three times a watched ttl.

        Silence is unbroken from the beginning of a reading to the end of the next: a slow hub leaves a shorter pause.
        """
        state, me = self.ledger.state, self.pen.me.name
        queued = [held for held in leases(state).by_name.values() if any(w.node == me for w in held.queue)]
        taking = {intent.wish["lease"] for intent in self.intents.values() if intent.kind == "lease.take"}
        watched = [held for held in leases(state).by_name.values() if held in queued or held.name in taking]
        busy = bool(self.intents or self.unsettled or watched)
        bounds = [held.ttl_ms // 4 - 2 * reading_ms for held in watched if held.holder]
        bounds += [max(self.pace.waiting_ms // 10, ttl_ms // 4 - 2 * reading_ms) for ttl_ms in self._watched_work()]
        return max(50, min([self.pace.waiting_ms if busy else self.pace.idle_ms, *bounds]))

    def _watched_work(self) -> Iterator[int]:
        """The ttls of claims that an idle caller here might take over."""
        wishes = [intent.wish for intent in self.intents.values() if intent.wish.get("lease") == ANY_WORK]
        items = work(self.ledger.state).items
        for held in leases(self.ledger.state).by_name.values() if wishes else ():
            item = items.get(held.name)
            if item is not None and any(self.choosing.may(self.ledger.state, item, wish) for wish in wishes):
                yield held.ttl_ms

    def _unreached(self, error: MeshFault, now: Now) -> list[Effect]:
        """CLOSED: nothing is mutated while the hub does not answer; what was signed is tried again."""
        self.failures += 1
        pause = min(4 * self.pace.idle_ms, 250 * 2 ** min(self.failures, 10))
        self.look_due_ms = self.not_before_ms = now.ms + int(pause * (0.5 + now.dice))
        effects: list[Effect] = [Say("unreachable", {"reason": error.what, "again_ms": self.look_due_ms - now.ms})]
        for intent in list(self.intents.values()):
            if intent.wait and self.look_begun_ms is not None:
                continue
            if kinds.KINDS[intent.kind].offline and intent.id not in self.record_of and self.broken is None:
                effects += self._draft(intent, now)
            if intent.id in self.intents:
                effects.append(self._tell(intent, answers.unreached(error, self.record_of.get(intent.id))))
        return effects

    # Pushing.

    def _published(self, ended: Published, now: Now) -> list[Effect]:
        if self.flight is None:
            return []
        publish, _ = self.flight
        self.look_due_ms, self.outrun = now.ms, True
        if ended.outcome == UNKNOWN:
            self.doubts += 1
            # Look at once; but a hub that hangs time and again must not keep callers from their deadlines.
            self.look_due_ms += min(4 * self.pace.idle_ms, 250 * 2**self.doubts) if self.doubts > 1 else 0
            return [Say("push", {"outcome": UNKNOWN, "reason": ended.reason})]
        if ended.outcome == LOST:
            self.flight = None
            return self._vetoed(ended, now) if ended.vetoed else self._lost(ended, publish, now)
        self.failures = self.vetoes = self.doubts = 0
        self.contended = False
        if publish.seal is None:
            self.flight = None
            self.outbox_seq = publish.records[-1].seq
            # Others were lost too; the first of them to come back seals for all.
            self.not_before_ms = self.look_due_ms = now.ms + int(min(self.pace.waiting_ms, 400) * now.dice)
            return self._sent_for_others(publish)
        effects: list[Effect] = [Say("mended", {"files": sorted(publish.mends)})] if publish.mends else []
        effects += self._take_in(Looked(now.ms, now.ms, ended.trunk, ended.changes))
        self.flight, self.outrun, self.read_ms = None, False, now.ms
        # Counted from the last reading: outboxes are only seen there, and a busy node must not forget them.
        self.look_due_ms = max(now.ms, (self.look_begun_ms or 0) + self._interval_ms())
        return effects

    def _lost(self, ended: Published, publish: Publish, now: Now) -> list[Effect]:
        self.contended = publish.seal is not None
        base, times = self.stale
        self.stale = (publish.base, times + 1 if publish.base == base else 1) if publish.seal else self.stale
        if publish.seal and publish.base == base:  # the hub shows what it is not: ask again, but not all the time
            self.not_before_ms = now.ms + int(min(10_000, 125 * 2 ** min(times, 8)) * (0.5 + now.dice))
        return [Say("push", {"outcome": LOST, "reason": ended.reason})]

    def _vetoed(self, ended: Published, now: Now) -> list[Effect]:
        self.vetoes += 1
        self.not_before_ms = now.ms + int(1000 * 2 ** min(self.vetoes, 8) * (0.5 + now.dice))
        self.look_due_ms = self.not_before_ms
        effects: list[Effect] = [Say("push", {"outcome": LOST, "vetoed": True, "reason": ended.reason})]
        fault = MeshFault(f"the hub refused the push: {ended.reason}", hint="mesh doctor")
        told = [self._tell(i, Answer("unknown", "PUSH", error=fault)) for i in list(self.intents.values())]
        return effects + told

    def _sent_for_others(self, publish: Publish) -> list[Effect]:
        """What lies in the outbox now and is for others to decide: a newcomer's hello, a proposal. Its caller is told."""
        told: list[Effect] = []
        proposals = self.ledger.proposals()
        for record in publish.records:
            waits = [i for i in self.intents.values() if self.record_of.get(i.id) == record.id and not i.wait]
            if record.kind == "node.hello":
                told += [self._tell(intent, Answer("applied", "NODE-2", "waits", record.id)) for intent in waits]
            elif record.id in proposals:
                told += [self._tell(intent, answers.held(self.ledger.state, record)) for intent in waits]
        return told

    # What the fold says to those who asked.

    def _hear(self, judged: Sequence[Judged]) -> list[Effect]:
        effects: list[Effect] = []
        self.pen.settle(self.ledger)
        before_ms = LONG_AGO_MS if self.look_begun_ms is None else self.look_begun_ms
        self.duties.confirm(self.ledger.state, self.pen.me.log, judged, self.flight[1] if self.flight else before_ms)
        for item in judged:
            effects.append(Say("sealed", answers.sealed(item)))
            for intent in [i for i in self.intents.values() if self.record_of.get(i.id) == item.record.id]:
                effects += self._judged(intent, item)
        given_back = {item.record.body["record"] for item in judged if item.verdict.result in ("withdrawn", "released")}
        for intent in [intent for intent in self.intents.values() if intent.wait]:
            effects += self._granted(intent) or self._displaced(intent, given_back)
        self.duties.forget(self.ledger.state, self.pen.pending)
        return effects

    def _judged(self, intent: Intent, item: Judged) -> list[Effect]:
        verdict = item.verdict
        if intent.wait and (verdict.result == "queued" or (verdict.result == "passed" and intent.wish.get("queue"))):
            return []
        if intent.wait and verdict.outcome == HELD:
            return []
        if intent.wait and verdict.outcome == REFUSED and (verdict.rule in _TRY_AGAIN or intent.id in self.any_work):
            self._asks_again(intent)
            return []
        if intent.id in self.any_work and verdict.result == "granted" and not self._still_its(item):
            self._asks_again(intent)  # it was granted while this node slept, and is another's or done by now
            return []
        earlier = answers.done_before(self.ledger.state, self.pen.me.name, intent) if verdict.rule == "ONCE" else None
        return [self._tell(intent, earlier or answers.judged(self.ledger.state, item))]

    def _still_its(self, item: Judged) -> bool:
        held = leases(self.ledger.state).by_name.get(item.record.body["lease"])
        return held is not None and held.token == item.epoch and held.record == item.record.id

    def _granted(self, intent: Intent) -> list[Effect]:
        """A wait ends when its session holds the lease, whoever's record it was that passed it on."""
        held = leases(self.ledger.state).by_name.get(intent.wish["lease"])
        if intent.id not in self.record_of or not held or not held.held_by(self.pen.me.name, intent.wish["session"]):
            return []
        return [self._tell(intent, answers.granted(self.ledger.state, held))]

    def _displaced(self, intent: Intent, given_back: set[str]) -> list[Effect]:
        """A wait whose place is gone ends if this node gave it back, and else asks again: it is never forgotten."""
        name, session, record = intent.wish["lease"], intent.wish["session"], self.record_of.get(intent.id)
        if record is None or any(waits.id == record for waits in self.pen.pending):
            return []
        if waiting(self.ledger.state, self.pen.me.name, name, session) is not None:
            return []
        if is_held(self.ledger.state, record):
            return []
        if record in given_back:
            return [self._tell(intent, answers.given_back(self.ledger.state, intent, record))]
        self._asks_again(intent)
        return []

    def _asks_again(self, intent: Intent) -> None:
        """What a wait came to is no more: it comes to another record; for any work, perhaps of other work."""
        del self.record_of[intent.id]
        self.intents[intent.id] = self.any_work.pop(intent.id, intent)

    def _tell(self, intent: Intent, answer: Answer) -> Tell:
        self.intents.pop(intent.id, None)
        self.record_of.pop(intent.id, None)
        self.any_work.pop(intent.id, None)
        return Tell(intent.id, answer)

    def _give_up(self, intent_id: str) -> None:
        """A caller went away: what it asked for must not be granted to nobody (law UNTIL)."""
        intent = self.intents.pop(intent_id, None)
        record = self.record_of.pop(intent_id, None)
        self.any_work.pop(intent_id, None)
        if intent and record:
            self.duties.abandon(intent, record)

    # Planning: what is to be signed and pushed now.

    def _plan(self, now: Now) -> list[Effect]:
        effects = self._time_out(now)
        if self.flight is not None:
            return effects + self._look_if_due(now)
        if self.broken is not None:
            broken = self.broken
            effects += [self._tell(i, Answer("unknown", "CLOSED", error=broken)) for i in list(self.intents.values())]
            return effects + self._look_if_due(now)
        if not self._heard():
            return effects + self._look_if_due(now)
        for intent in list(self.intents.values()):
            if intent.id not in self.record_of:
                effects += self._draft(intent, now)
        settling = self.settling
        proposals = {record.id for record in self.pen.pending} - {record.id for record in settling}
        for wish in self.duties.wishes(self.ledger.state, self.pen.me.log, settling, now.ms, proposals):
            effects += self._wished(wish, now)
        for wish in self.reacting.wishes(self.ledger.state, settling, now.ms, self.pace.waiting_ms):
            effects += self._wished(wish, now)
        published = self._publish(now)
        launched = any(isinstance(effect, Publish) for effect in published)
        return effects + published + ([] if launched else self._look_if_due(now))

    def _look_if_due(self, now: Now) -> list[Effect]:
        return [Look()] if now.ms >= self.look_due_ms else []

    def _heard(self) -> bool:
        """Whether the hub answers. While it does not, nothing is signed and nothing pushed (law CLOSED)."""
        return self.look_begun_ms is not None and not self.failures

    def _time_out(self, now: Now) -> list[Effect]:
        effects: list[Effect] = []
        for intent in list(self.intents.values()):
            if intent.deadline_ms is not None and now.ms >= intent.deadline_ms:
                answer = answers.timed_out(self.ledger.state, intent, self.record_of.get(intent.id))
                self._give_up(intent.id)
                effects.append(Tell(intent.id, answer))
        return effects

    def _draft(self, intent: Intent, now: Now) -> list[Effect]:
        """Sign what an intent comes to, or say why not; a refusal is only told by a reading younger than the ask."""
        if intent.wish.get("lease") == ANY_WORK:
            return self._choose(intent, now)
        state = self.ledger.state
        if earlier := answers.done_before(state, self.pen.me.name, intent):
            if intent.wait and earlier.verdict == APPLIED and earlier.result == "queued" and earlier.record:
                self.record_of[intent.id] = earlier.record  # the place is kept: wait on in it
                return []
            return [self._tell(intent, earlier)]
        if (signed := self.pen.signed_before(intent.wish.get("once"))) is not None:
            if not answers.same_request(state, self.pen.me.name, intent, signed):
                return [self._tell(intent, answers.other_request(intent, signed.kind))]
            self.record_of[intent.id] = signed.id
            return []
        try:
            record = self._sign(intent.kind, self._body(intent), now)
        except Refused as no:
            if self.look_begun_ms is None or self.failures or self.look_begun_ms < intent.asked_ms:
                self.look_due_ms = self.look_due_ms if self.failures else now.ms
                return []
            if intent.wait and no.rule == "TIME":
                return []
            if intent.id in self.any_work:
                self.choosing.skip(intent.wish["lease"], self.ledger.state.seal)
                self.intents[intent.id] = self.any_work.pop(intent.id)
                return [Say("held_back", {"kind": intent.kind, "rule": no.rule, "reason": no.what})]
            return [self._tell(intent, answers.refused(no))]
        self.record_of[intent.id] = record.id
        return [Save(records=[record], hold=self.duties.hold(record, intent))]

    def _choose(self, intent: Intent, now: Now) -> list[Effect]:
        """What is to be done next, for who asked for any work; nothing, while there is nothing."""
        state, watch = self.pen.ahead(self.ledger), self.duties.watch
        if (held := claim_of(state, self.pen.me.name, intent.wish["session"])) is not None:
            # It asked before, and never heard the answer; the answer is there when that claim is sealed.
            known = claim_of(self.ledger.state, self.pen.me.name, intent.wish["session"])
            if known is None or known.name != held.name:  # what it held before is finished, and that is not sealed yet
                return []
            if self.duties.believed_until_ms(known) <= now.ms:  # TIME: it may be another's by now; first it is renewed
                return []
            return [self._tell(intent, answers.granted(self.ledger.state, known))]
        if self._is_scarce and (self._is_old(now) or now.ms < max(self.not_before_ms, self.push_ready_ms)):
            # What is signed now is judged against what others push meanwhile: wait for the next reading, or have one.
            asked_since = self.look_begun_ms is None or self.look_begun_ms < intent.asked_ms
            self.look_due_ms = now.ms if asked_since and self._is_old(now) else self.look_due_ms
            return []
        choice = self.choosing.next(state, intent.wish, self.pen.pending, watch, now.ms, self.pace.waiting_ms)
        if choice is None:
            return []
        self.any_work[intent.id] = intent
        wish = {field: intent.wish[field] for field in ("session", "ttl_ms")} | choice.wish
        chosen = self.intents[intent.id] = intent._replace(kind=choice.kind, wish=wish)
        return self._draft(chosen, now)

    @property
    def _is_scarce(self) -> bool:
        """Whether a lost push is worth a reading: few are allowed, and this node does work that others do, too."""
        works = self.any_work or any(intent.wish.get("lease") == ANY_WORK for intent in self.intents.values())
        return self.pace.push_gap_ms >= SCARCE_MS and bool(works)

    def _is_old(self, now: Now) -> bool:
        return now.ms - self.read_ms > FRESH_MS

    def _wished(self, wish: Wish, now: Now) -> list[Effect]:
        """Sign what the node does of itself; a rule that says no concerns nobody else."""
        try:
            return [Save(records=[self._sign(wish.kind, wish.body, now)])]
        except Refused as no:
            if wish.kind.startswith("lease."):
                self.duties.drop(wish.body["lease"])
            else:
                self.reacting.drop(wish.body["reaction"], self.ledger.state.seal)
            return [Say("held_back", {"kind": wish.kind, "rule": no.rule, "reason": no.what})]

    def _body(self, intent: Intent) -> Value:
        wish = dict(intent.wish)
        if intent.kind == "lease.take" and "watched_ms" not in wish:
            held = leases(self.ledger.state).by_name.get(wish["lease"]) or Lease(wish["lease"])
            wish["watched_ms"] = self.duties.watch.watched_ms(held.name, (held.token, held.last))
        is_part = intent.kind == "dag.part"  # it belongs to a submit that may have been signed a moment ago
        state = self.pen.ahead(self.ledger) if is_part else self.ledger.state
        return kinds.propose(state, self.pen.me.name, intent.kind, wish)

    def _sign(self, kind: str, body: Value, now: Now) -> Record:
        record = self.pen.sign(self.ledger, kind, self._in_time(body), self.seen, now)
        self.ledger.offer([record])
        return record

    def _in_time(self, body: Value) -> Value:
        """UNTIL: the epochs that the next seal skips (law EPOCH) are not counted against a request."""
        state = self.ledger.state
        if body.get("until") != state.epoch + kinds.UNTIL_EPOCHS:
            return body
        return {**body, "until": self.ledger.next_epoch - 1 + kinds.UNTIL_EPOCHS}

    def _publish_due_ms(self) -> int | None:
        """When the next push may go; None where there is nothing to push, or only others can do more for it."""
        seals = self._may_seal() and not self.outrun and (self.unsettled or self.ledger.late())
        if not (self._wants_outbox() or seals):
            return None
        return max(self.not_before_ms, self.push_ready_ms)

    @property
    def can_publish(self) -> bool:
        """Whether this node itself can bring further what waits here; else others must seal it."""
        return (self._may_seal() and (self.unsettled or self.ledger.late())) or self._outbox_lacks()

    @property
    def settling(self) -> list[Record]:
        """This node's records that wait for a seal; proposals at the end of its log wait for others' word instead."""
        proposals = self.ledger.proposals() if self.pen.pending else set()
        return [record for record in self.pen.pending if record.id not in proposals]

    @property
    def unsettled(self) -> bool:
        """Whether something of this node's waits for a seal."""
        return bool(self.settling)

    def _wants_outbox(self) -> bool:
        """Whether others are to see what waits here: after a lost push they may seal it for us."""
        return self._outbox_lacks() and (self.contended or not self._may_seal() or not self.unsettled)

    def _may_seal(self) -> bool:
        member = members(self.ledger.state).by_log.get(self.pen.me.log)
        return member is not None and member.may_seal()

    def _outbox_lacks(self) -> bool:
        return bool(self.pen.pending) and self.pen.pending[-1].seq > self.outbox_seq

    def _publish(self, now: Now) -> list[Effect]:
        due_ms = self._publish_due_ms()
        if due_ms is None or now.ms < due_ms:
            return []
        if self._is_scarce and self._is_old(now) and not self.read_for_push:
            self.read_for_push, self.look_due_ms = True, now.ms
            return []
        self.read_for_push = False
        if self._wants_outbox():
            return self._launch(Publish(self.trunk, tuple(self.pen.pending), None), now)
        return self._seal(now)

    def _seal(self, now: Now) -> list[Effect]:
        """Close the next epoch over all that waits; a seal that was signed on this parent goes out again as it is."""
        known = self.pen.seals.get(self.ledger.state.seal)
        seal = self.pen.sign_seal(self.ledger, now)
        if seal is None:
            return self._blocked("nothing of what waits here may be sealed", now)
        effects: list[Effect] = [] if seal is known else [Save(seal=seal)]
        try:
            taken = self.ledger.taken_by(seal)
        except Broken as broken:
            return self._blocked(broken.finding.reason, now)
        records = [record for run in taken.values() for record in run]
        records += [record for log in seal.proofs for record in self.ledger.proven[log]]
        return effects + self._launch(Publish(self.trunk, tuple(records), seal, dict(self.ledger.mends)), now)

    def _blocked(self, reason: str, now: Now) -> list[Effect]:
        """What the one seal signed on this parent takes in is not here (any more): let others seal on it."""
        if self._outbox_lacks():
            return self._launch(Publish(self.trunk, tuple(self.pen.pending), None), now)
        self.not_before_ms = now.ms + self.pace.waiting_ms
        return [Say("waits", {"reason": reason})]

    def _launch(self, publish: Publish, now: Now) -> list[Effect]:
        self.flight = (publish, now.ms)
        return [publish]


def _all(flaws: Mapping[str, Sequence[Finding]]) -> tuple[Finding, ...]:
    return tuple(finding for path in sorted(flaws) for finding in flaws[path])


def _suspects(ledger: Ledger, own: str) -> Iterator[Finding]:
    """Whose key is known to have signed two histories, and is not suspended yet (laws CHAIN, PREFIX)."""
    for log, (one, _) in sorted(ledger.proofs().items()):
        what = f"{log} signed number {one.seq} twice: the next epoch suspends it; mesh proof {log} shows it to anyone"
        if log == own:
            what += ". This is this node's key: mesh node rotate gives it another"
        yield Finding("CHAIN", *log_place(log, one.seq), what)


_WAITING_KINDS = ("lease.acquire", "lease.take")


def _asks_for_any_work(intent: Intent) -> bool:
    """Whether it says all that choosing asks for."""
    lists = [intent.wish.get(field) for field in ("authors", "commands")]
    texts = all(isinstance(each, list) and all(isinstance(word, str) for word in each) for each in lists)
    ttl_ms = intent.wish.get("ttl_ms")
    return intent.kind == "lease.acquire" and intent.wait and texts and type(ttl_ms) is int and "session" in intent.wish


def _flaw(intent: Intent) -> str | None:
    """Why an intent cannot come to any record: a fault of its caller, which must not become one of this node."""
    kind, wish = intent.kind, intent.wish
    if kind not in kinds.KINDS:
        return f"{kind} is unknown to these rules"
    if wish.get("lease") == ANY_WORK and not _asks_for_any_work(intent):
        return f"{ANY_WORK} is no lease's name"
    if intent.wait and kind not in _WAITING_KINDS:
        return f"nobody waits for a {kind}"
    named = {"lease.break": ("lease",), "node.revoke": () if "log" in wish else ("name",)}
    needed = named.get(kind, ("lease", "session") if kind.startswith("lease.") else ())
    under = wish.get("under", {"lease": "", "session": ""})
    missing = [field for field in needed if field not in wish]
    missing += [f"under.{field}" for field in ("lease", "session") if field not in under]
    return f"a {kind} names its {missing[0]}" if missing else None
