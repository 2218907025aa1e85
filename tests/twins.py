"""The fold and its second implementation side by side, record by record, without signatures: thousands a second.

twins = Twins(seed=7); twins.run(epochs=30)     # a random fleet at work; fails at the first verdict that differs
twins.hit                                       # every (kind, outcome, rule, result) that came up
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import Moment, node
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.kinds.reactor import body_of, reactors
from orxaq_mesh.kinds.work import owner, work
from orxaq_mesh.record import NOTHING, canonical
from orxaq_mesh.schema import read_record
from tests import reviews
from tests.builder import AT, Pen, secret
from tests.toil import Toil, bent

sys.path.insert(0, str(Path(__file__).resolve().parent / "verifier"))

import judging
import lines

NO_SIGNATURE = "A" * 86 + "=="
FINAL = {"succeeded", "noop", "refused", "skipped"}


class Twins:
    """One random history, judged twice; `reviewed`: with rules of reviews."""

    def __init__(self, seed: int, *, reviewed: bool = False) -> None:
        self.dice = random.Random(seed)
        self.ours, self.theirs = kinds.new_state(), judging.State()
        self.epoch = 1
        self.hit: Counter[tuple[str, ...]] = Counter()
        self.pens = {name: Pen(name) for name in ("oak", "elm", "ash", "fir")}
        self.spare = 0
        self.toil = Toil(self.dice, reviewed=reviewed)
        self.later: list[bytes] = []
        oak, recovery = self.pens["oak"], secret("recovery").public.text
        self.say(oak, "node.found", {"name": "oak", "key": oak.key.public.text, "recovery": recovery})
        for name, roles in (("elm", ["node"]), ("ash", ["admin", "node"]), ("fir", ["node"])):
            self.say(oak, "node.admit", {"name": name, "key": self.pens[name].key.public.text, "roles": roles})
        for name, roles in (("yew", ["reviewer"]), ("elm", ["node", "reviewer"])) if reviewed else ():
            pen = self.pens.setdefault(name, Pen(name))
            self.say(oak, "node.admit", {"name": name, "key": pen.key.public.text, "roles": roles})

    def run(self, epochs: int) -> Twins:
        for _ in range(epochs):
            self.open()
            for _ in range(self.dice.choice((1, 2, 3, 6, 12))):
                self.wish(self.pen())
                if self.later and self.dice.random() < 0.3:
                    self.judged(self.later.pop(0))
            assert self.of_ours() == self.of_theirs()
            assert reviews.told(self.ours) == reviews.told_by_verifier(self.theirs.review)
        return self

    def of_ours(self) -> list[Any]:
        """What a state knows of work, in a form that both can say."""
        part, react = work(self.ours), reactors(self.ours)
        jobs = {item.name: (item.state, item.token) for item in part.items.values()}
        live = [item for item in part.items.values() if item.state not in FINAL]
        owners = {item.name: (owner(self.ours, item), item.backoff_ms) for item in live}
        dags = {dag.name: (dag.author, dag.record, dag.missing) for dag in part.dags.values()}
        is_open = bool(part.breaker.since), part.breaker.failures, part.breaker.guards
        due = {due.id: (due.kind, body_of(due), due.under, due.depth, due.root) for due in react.due.values()}
        chains = {root: chain.had for root, chain in react.chains.items()}
        held = {one.name: (one.holder, one.session, one.token, one.last) for one in leases(self.ours).by_name.values()}
        return [jobs, owners, dags, is_open, due, chains, {name: one for name, one in held.items() if one[0]}]

    def of_theirs(self) -> list[Any]:
        part = self.theirs.work
        tasks = [job for dag in part.dags.values() for job in dag.tasks.values()]
        jobs = [*tasks, *part.commands.values()]
        live = {job.name: (part.owner(job) or "", job.pause) for job in jobs if job.state not in FINAL}
        dags = {name: (dag.author, dag.record, dag.missing) for name, dag in part.dags.items()}
        react = self.theirs.reactors
        due = {id_: (due.kind, due.body, due.lease or "", due.depth, due.root) for id_, due in react.due.items()}
        held = {name: (one.holder, one.session, one.token, one.last) for name, one in self.theirs.leases.items()}
        is_open = part.is_open, part.failures, part.guards
        return [
            {job.name: (job.state, job.token) for job in jobs},
            live,
            dags,
            is_open,
            due,
            react.chains,
            {name: one for name, one in held.items() if one[0]},
        ]

    def pen(self) -> Pen:
        """Somebody who may write, and now and then somebody who may not any more."""
        able = [pen for pen in self.pens.values() if self.may_speak(pen)]
        return self.dice.choice(able if able and self.dice.random() < 0.98 else list(self.pens.values()))

    def may_speak(self, pen: Pen) -> bool:
        member = members(self.ours).by_log.get(pen.log)
        reviewer = self.toil.reviewed and member is not None and member.admitted and node.REVIEWER in member.roles
        return reviewer or node.may_write(self.ours, pen.name)

    def open(self, step: int = 0) -> None:
        """The next epoch, or one far ahead, or so many further; now and then it begins with a suspension, or on copies and snapshots."""
        self.epoch += step or self.dice.choice((1, 1, 1, 20))
        known = members(self.ours).by_log
        suspended = []
        if self.dice.random() < 0.02:
            bad = [log for log, member in known.items() if member.admitted and member.name not in ("oak", "recovery")]
            suspended = bad[:1]
        for log in suspended:
            kinds.suspend(self.ours, log, Moment(self.epoch))
        for family in kinds.FAMILIES:
            family.open_epoch(self.ours, Moment(self.epoch))
        self.turns(self.theirs.open(self.epoch, suspended))
        self.ours.epoch = self.epoch
        lot = self.dice.random()
        if lot < 0.05:
            self.ours = fold.restore(fold.snapshot(self.ours))
        elif lot < 0.1:
            self.ours = fold.copy(self.ours)

    def wish(self, pen: Pen) -> None:
        kind, body = self.toil.wish(self.ours, pen.name)
        if kind == "node.rotate":
            self.spare += 1
            new = secret(f"{pen.name} {self.spare}")
            if self.say(pen, kind, {"key": new.public.text})[0] == "applied":
                self.pens[pen.name] = Pen(pen.name, new)
            return
        odd = bent(body, self.dice) if self.dice.random() < 0.04 else body
        line = self.line(pen, kind, odd if type(odd) is dict else body)
        if self.toil.reviewed and self.dice.random() < 0.15:
            self.later.append(line)
            self.toil.drafts.append(lines.sha256(line))
        else:
            self.judged(line)

    def say(self, pen: Pen, kind: str, body: dict[str, Any]) -> tuple[str, ...]:
        """One record at its place, judged by both."""
        return self.judged(self.line(pen, kind, body))

    def line(self, pen: Pen, kind: str, body: dict[str, Any]) -> bytes:
        pen.seq += 1
        value = {"at": AT, "body": body, "kind": kind, "node": pen.log, "prev": NOTHING, "seq": pen.seq, "v": 1}
        value |= {"seen": {"epoch": self.epoch - 1, "seal": NOTHING}, "sig": NO_SIGNATURE}
        return canonical(value)

    def judged(self, line: bytes) -> tuple[str, ...]:
        record = read_record(line)
        mine = kinds.apply(self.ours, record, Moment(self.epoch))
        other = self.theirs.apply(lines.Record(line), self.epoch)
        assert list(mine) == other, (line.decode(), record.flaw)
        if mine.outcome == "applied":
            self.toil.told.append(record.id)
        self.hit[record.kind, *mine] += 1
        self.turns(self.theirs.turns(self.epoch))
        return mine

    def turns(self, theirs: list[Any]) -> None:
        """What was held and has its turn here, by both."""
        again = list(kinds.judged_again(self.ours, Moment(self.epoch)))
        assert [(record.id, list(verdict)) for record, verdict in again] == [
            (one.id, verdict) for one, verdict in theirs
        ]
        for record, verdict in again:
            self.hit["again", record.kind, *verdict] += 1
