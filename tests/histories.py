"""Random histories of work: DAGs, claims, receipts, hands and commands, judged record by record, and what always holds.

play = Play()
for step in steps:             # (who, what, which, extra): four small numbers
    play.step(*step)
check(play.state)              # what holds after each record, whatever was asked for
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import Moment, Verdict, dag, node
from orxaq_mesh.kinds.graph import needs_of
from orxaq_mesh.kinds.lease import Lease, leases
from orxaq_mesh.kinds.reactor import body_of, reactors
from orxaq_mesh.kinds.review import MAX_HELD, reviews
from orxaq_mesh.kinds.work import MET, OPEN, TASK, Item, frontier, is_work, work
from orxaq_mesh.record import Record, Value
from tests.builder import Trunk
from tests.orders import diamond, fleet, task

STEP = {"commands": [{"name": "make"}], "after": [{"name": "smoke"}]}
SHAPES: list[list[Value]] = [
    diamond(attempts=2, capability="build"),
    [task("a", **STEP), task("b", backoff_ms=150, attempts=3), task("c", "a", "b", priority=9)],
    [task("a"), task("b"), task("c", capability="gpu"), task("d", "b", capability="gpu")],
    [task("a", "d"), task("d", "a")],
]
REACTS: Value = {
    "on": {"topic": "lanes"},
    "give": {"command": {"name": "scale", "args": "$payload", "capability": "build"}},
}
DEEDS = (
    *("claim",) * 13,
    *("finish",) * 12,
    *("receipt",) * 5,
    *(
        "submit",
        "submit",
        "submit",
        "part",
        "part",
        "cancel",
        "take",
        "take",
        "release",
        "renew",
        "break",
        "event",
        "follow",
    ),
    *("retry", "retry", "skip", "assign", "issue", "call_back", "offer", "offer", "reset", "reset", "open", "roles"),
    *("approve", "approve", "require", "lift", "reject", "ask", "take_back", "take_back"),
)
_START: list[Trunk] = []


def begin() -> Trunk:
    """oak, elm and ash, who offer something, and a mapping; made once."""
    if not _START:
        trunk = fleet()
        trunk.seal(trunk.oak.write("reactor.publish", reactor="r", version=1, rules=[REACTS]))
        _START.append(trunk)
    return _START[0]


class Play:
    """A state, and records that are made for it as it is."""

    def __init__(self) -> None:
        trunk = begin()
        self.pens, self.state, self.epoch = trunk.pens, fold.copy(trunk.ledger.state), trunk.ledger.state.epoch + 1
        self.number = 0
        self.keys = {name: pen.key.public.text for name, pen in self.pens.items()}

    def step(self, who: int, what: int, which: int, extra: int) -> tuple[Record, Verdict]:
        """The next record, and what came of it. Some begin an epoch."""
        record = self.record(who, what, which, extra)
        return record, self.judge(record, extra % 3 != 2)

    def judge(self, record: Record, new_epoch: bool) -> Verdict:
        if new_epoch:
            self.epoch += 1
            for family in kinds.FAMILIES:
                family.open_epoch(self.state, Moment(self.epoch))
            self.turns()
        verdict = kinds.apply(self.state, record, Moment(self.epoch))
        self.turns()
        return verdict

    def turns(self) -> None:
        """What was held and has its turn here."""
        for record, verdict in kinds.judged_again(self.state, Moment(self.epoch)):
            assert verdict.outcome != "held", record

    def copy(self) -> Play:
        """One that goes on by itself."""
        twin = Play()
        twin.state, twin.epoch, twin.number = fold.copy(self.state), self.epoch, self.number
        return twin

    def record(self, who: int, what: int, which: int, extra: int) -> Record:
        pen = list(self.pens.values())[who % len(self.pens)]
        deed = DEEDS[what % len(DEEDS)]
        wishes = Wishes(self.state, self.keys)
        kind, body = wishes.of(deed, which, extra)
        if "under" in body and extra % 8:
            pen = self.pens.get(wishes.held(body["under"]["lease"]).holder, pen)
        elif kind in ("lease.renew", "lease.release") and extra % 8:
            pen = self.pens.get(wishes.held(body["lease"]).holder, pen)
        elif deed == "take_back" and (asked := reviews(self.state).held.get(body.get("record", ""))) and extra % 8:
            pen = self.pens[node.name_of(self.state, asked.record)]
        elif deed in ("break", "reset", "roles", "retry", "cancel", "require", "lift", "approve") and extra % 8:
            pen = next(iter(self.pens.values()))
        self.number += 1
        record = pen.draft(kind, body, seq=1000 + self.number, seen={"epoch": 9, "seal": "0" * 64})
        assert record.flaw is None, record.flaw
        return record


class Wishes:
    """What a record about work may say in a state; often it makes sense.

    Args:
        keys: name -> public key, of who may get another role.
    """

    def __init__(self, state: kinds.State, keys: dict[str, str]) -> None:
        self.state, self.keys = state, keys

    def of(self, deed: str, which: int, extra: int) -> tuple[str, Value]:
        """(kind, body) of one of `DEEDS`."""
        said: tuple[str, Value] = getattr(self, f"_{deed}")(which, extra)
        return said

    def _item(self, which: int) -> Item:
        found = list(work(self.state).items.values()) or [Item("task:d0/a", "none")]
        return found[which % len(found)]

    def _running(self, which: int) -> Item:
        names = [name for name in leases(self.state).by_name if is_work(name)]
        found = work(self.state).items.get(names[which % len(names)]) if names else None
        return found or self._item(which)

    def held(self, name: str) -> Lease:
        return leases(self.state).by_name.get(name) or Lease(name)

    def _under(self, which: int, extra: int) -> Value:
        held = self.held(self._running(which).name)
        return {"lease": held.name, "session": "s", "token": max(1, held.token - (extra % 7 == 6))}

    def _submit(self, which: int, extra: int) -> tuple[str, Value]:
        shape = SHAPES[extra % len(SHAPES)]
        first = len(shape) - (extra // 4) % 2
        body = {"dag": f"d{which % 2}", "tasks": shape[:first], "until": 9999, "limits": {"build": 1, "gpu": 1}}
        return "dag.submit", body | ({"parts": 1} if first < len(shape) else {})

    def _part(self, which: int, extra: int) -> tuple[str, Value]:
        known = work(self.state).dags.get(f"d{which % 2}")
        missing = [shape[-1] for shape in SHAPES if known is not None and shape[:-1] == list(known.drafts)]
        tasks = missing or [task("z")]
        body = {"dag": f"d{which % 2}", "part": 1, "tasks": tasks[:1], "until": 9999}
        return "dag.part", body | {"record": known.record if known else "0" * 64}

    def _cancel(self, which: int, extra: int) -> tuple[str, Value]:
        return "dag.cancel", {"dag": f"d{which % 2}", "reason": "x"}

    def _claim(self, which: int, extra: int) -> tuple[str, Value]:
        ready = frontier(self.state)
        name = ready[which % len(ready)] if ready and extra % 4 else self._item(which).name
        body = {"lease": name, "session": "s", "ttl_ms": 9000, "until": 9999}
        return "lease.acquire", body | ({"watched_ms": 100 * (extra % 3)} if extra % 2 else {})

    def _take(self, which: int, extra: int) -> tuple[str, Value]:
        held = self.held(self._running(which).name)
        seen = {"token": held.token or 1, "last": held.last or "0" * 64, "watched_ms": 9000 - (extra % 5 == 4)}
        return "lease.take", {"lease": held.name, "session": "s", "ttl_ms": 9000, "until": 9999, **seen}

    def _release(self, which: int, extra: int) -> tuple[str, Value]:
        held = self.held(self._running(which).name)
        named = {"token": held.token or 1, "record": held.record or "0" * 64}
        return "lease.release", {"lease": held.name, "session": "s", **named}

    def _renew(self, which: int, extra: int) -> tuple[str, Value]:
        held = self.held(self._running(which).name)
        return "lease.renew", {"lease": held.name, "session": "s", "token": held.token or 1}

    def _break(self, which: int, extra: int) -> tuple[str, Value]:
        held = self.held(self._running(which).name)
        return "lease.break", {"lease": held.name, "token": held.token or 1, "reason": "x"}

    def _receipt(self, which: int, extra: int) -> tuple[str, Value]:
        steps = list(dag.steps_of(self._running(which).order).items()) or [("make", "run")]
        step, phase = steps[extra % len(steps)]
        body = {"step": step, "phase": phase, "exit": int(extra % 6 == 5), "outcome": "exited"}
        return "task.receipt", {**body, "under": self._under(which, extra)}

    def _finish(self, which: int, extra: int) -> tuple[str, Value]:
        under = self._under(which, extra)
        if under["lease"].startswith(TASK):
            outcome = ("succeeded", "succeeded", "failed", "noop")[extra % 4]
            return "task.finish", {"outcome": outcome, "under": under}
        return "command.finish", {"outcome": ("applied", "noop", "refused", "failed")[extra % 4], "under": under}

    def _of_task(self, which: int) -> Value:
        name = self._item(which).name
        return {"task": name.removeprefix(TASK) if name.startswith(TASK) else "d0/a", "reason": "by hand"}

    def _retry(self, which: int, extra: int) -> tuple[str, Value]:
        return "task.retry", self._of_task(which)

    def _skip(self, which: int, extra: int) -> tuple[str, Value]:
        return "task.skip", self._of_task(which)

    def _assign(self, which: int, extra: int) -> tuple[str, Value]:
        return "task.assign", self._of_task(which) | (
            {"to": list(self.keys)[extra % 3 % len(self.keys)]} if extra % 4 else {}
        )

    def _issue(self, which: int, extra: int) -> tuple[str, Value]:
        address = ({"to": "elm"}, {"capability": "build"}, {"holder": "deploy"})[extra % 3]
        return "command.issue", {"name": f"c{which % 3}", "until": 9999, **address}

    def _call_back(self, which: int, extra: int) -> tuple[str, Value]:
        ids = [name.partition(":")[2] for name, _ in work(self.state).items.items() if not name.startswith(TASK)]
        return "command.cancel", {"command": ids[which % len(ids)] if ids else "0" * 16, "reason": "x"}

    def _offer(self, which: int, extra: int) -> tuple[str, Value]:
        return "work.offer", {"capabilities": [["build"], ["gpu", "build"], ["gpu"]][which % 3], "slots": extra % 4}

    def _open(self, which: int, extra: int) -> tuple[str, Value]:
        return "breaker.open", {"reason": "x"}

    def _reset(self, which: int, extra: int) -> tuple[str, Value]:
        return "breaker.reset", {"reason": "x"}

    def _event(self, which: int, extra: int) -> tuple[str, Value]:
        return "event.publish", {"topic": "lanes", "type": "x", "payload": which % 3}

    def _follow(self, which: int, extra: int) -> tuple[str, Value]:
        due = list(reactors(self.state).due.values())
        return ("command.issue", body_of(due[which % len(due)]) | {"until": 9999}) if due else self._event(which, extra)

    def _roles(self, which: int, extra: int) -> tuple[str, Value]:
        name, key = list(self.keys.items())[which % len(self.keys)]
        return "node.admit", {
            "name": name,
            "key": key,
            "roles": [["admin", "node"], ["node"], ["node"], ["observer"]][extra % 4],
        }

    def _require(self, which: int, extra: int) -> tuple[str, Value]:
        some = ("command.issue", "task.skip", "dag.submit", "event.publish", "node.admit", "task.assign")
        body: Value = {
            "rule": f"r{which % 2}",
            "kinds": ["lease.acquire", some[extra % 6]],
            "approvals": 1 + (extra // 6) % 2,
        }
        return "review.require", body | ({"epochs": extra % 9 + 1} if which % 3 else {})

    def _lift(self, which: int, extra: int) -> tuple[str, Value]:
        return "review.lift", {"rule": f"r{which % 2}"}

    def _named(self, which: int) -> Value:
        ids = list(reviews(self.state).held) or ["ab" * 32]
        return {"records": list(dict.fromkeys((ids[which % len(ids)], ids[-1])))}

    def _approve(self, which: int, extra: int) -> tuple[str, Value]:
        return "review.approve", self._named(which)

    def _reject(self, which: int, extra: int) -> tuple[str, Value]:
        return "review.reject", self._named(which)

    def _ask(self, which: int, extra: int) -> tuple[str, Value]:
        return "lease.acquire", {"lease": f"l{which % 2}", "session": "s", "ttl_ms": 9000, "until": 9999, "queue": True}

    def _take_back(self, which: int, extra: int) -> tuple[str, Value]:
        asked = [held.record for held in reviews(self.state).held.values() if held.record.kind == "lease.acquire"]
        if not asked:
            return self._ask(which, extra)
        named = asked[which % len(asked)]
        return "lease.release", {"lease": named.body["lease"], "session": "s", "record": named.id}


# What always holds.


def check(state: kinds.State) -> None:
    """Counts, frontier, claims and needs fit each other."""
    part = work(state)
    items = {item.name: item for item in part.items.values()}
    assert list(part.ready) == sorted(item.rank for item in items.values() if item.state == "ready")
    held = {name: lease for name, lease in leases(state).by_name.items() if is_work(name)}
    assert set(held) == {item.name for item in items.values() if item.state == "running"}
    for name, lease in held.items():
        item = items[name]
        assert (lease.holder, lease.token) == (item.node, item.token)
        assert node.may_write(state, lease.holder)
        assert lease.queue == []
    for item in items.values():
        if item.name.startswith(TASK):
            _check_needs(items, item)
    for known in part.dags.values():
        _check_dag(items, known)
    assert set(part.offers) <= set(node.members(state).by_name)


def check_held(state: kinds.State) -> None:
    """What is held lacks approvals still, may be written by its author still, is not too late, and has room."""
    part = reviews(state)
    assert not part.again
    assert not part.now
    assert part.held.keys().isdisjoint(part.given)
    for id_, held in part.held.items():
        member = node.members(state).by_log[held.record.log]
        assert id_ == held.record.id
        assert member.admitted
        assert not kinds.KINDS[held.record.kind].roles.isdisjoint(member.roles)
        assert held.until >= state.epoch
        assert len(set(held.approved) - {member.name}) < held.approvals
    assert len(part.held) <= MAX_HELD


def _check_needs(items: dict[str, Item], item: Item) -> None:
    needs = [items[f"{TASK}{item.dag}/{need}"].state for need in needs_of(item.order)]
    unmet = sum(need not in MET for need in needs)
    vain = any(need in ("failed", "blocked", "cancelled") for need in needs)
    if item.state == "waiting":
        assert item.needs == unmet > 0
        assert not vain
    elif item.state in ("ready", "running", "succeeded", "noop", "failed"):
        assert unmet == 0
    elif item.state == "blocked":
        assert vain
    assert dag.lacking(item, item.state) == []


def _check_dag(items: dict[str, Item], known: Any) -> None:
    own = [items[name] for name in known.tasks]
    states, running = Counter(item.state for item in own), Counter(i.capability for i in own if i.state == "running")
    assert {state: count for state, count in known.counts.items() if count} == states
    assert {name: count for name, count in known.running.items() if count} == running
    assert all(running[name] <= most for name, most in known.limits.items())
    assert known.is_open == bool(known.missing or OPEN & set(states))
