"""Random wishes about work: DAGs whole and in parts, claims, receipts, commands, reactors; sound ones and others.

kind, body = Toil(random.Random(7)).wish(state, "elm")      # what the node may say next, seen from this state
"""

from __future__ import annotations

import random
from typing import Any

from orxaq_mesh.kinds import State, lease
from orxaq_mesh.kinds.command import command_id
from orxaq_mesh.kinds.dag import steps_of
from orxaq_mesh.kinds.node import members
from orxaq_mesh.kinds.reactor import body_of, reactors
from orxaq_mesh.kinds.work import COMMAND, TASK, may_do, origin, work
from tests import reviews

Body = dict[str, Any]
NAMES = ("oak", "elm", "ash", "fir", "nobody")
CAPABILITIES = ("build", "test")
DAGS = ("one", "two")
PAUSES_MS = (0, 1000, 50_000_000)
ACTS = {
    "claim": 16, "carry": 40, "leave": 3, "take": 4, "offer": 5, "breaker": 3, "submit": 4, "part": 4, "cancel": 1,
    "hand": 8, "issue": 5, "recall": 1, "react": 5, "publish": 6, "mapping": 2, "stray": 2,
}  # fmt: skip
REVIEWS = {"review": 60}


class Toil:
    """Wishes of all the nodes of one fleet.

    Attributes:
        reviewed: there are rules of reviews, too. drafts: the ids of records that may not be sealed yet.
    """

    def __init__(self, dice: random.Random, *, reviewed: bool = False) -> None:
        self.dice, self.reviewed = dice, reviewed
        self.drafts: list[str] = []
        self.told: list[str] = ["ab" * 32]
        self.version = 0

    def wish(self, state: State, who: str) -> tuple[str, Body]:
        acts = ACTS | REVIEWS if self.reviewed else ACTS
        act = self.dice.choices(list(acts), list(acts.values()))[0]
        if work(state).breaker.since and self.chance(0.15):
            act = "breaker"
        kind, body = getattr(self, act)(state, who)
        if self.dice.random() < 0.04:
            body["once"] = f"k{self.dice.randrange(5)}"
        return kind, body

    def chance(self, of: float) -> bool:
        return self.dice.random() < of

    def ask(self, state: State) -> Body:
        return {"ttl_ms": 60_000, "until": state.epoch + self.dice.choice((0, 1, 2, 9, 9, 9))}

    # Claims.

    def pick(self, state: State, *states: str) -> str:
        """The name of some work, mostly in one of these states."""
        items = [item.name for item in work(state).items.values() if item.state in states or self.chance(0.05)]
        stray = ("task:one/x", "task:one", "task:", "command:0123456789abcdef", "leader")
        return self.dice.choice(items) if items and self.chance(0.95) else self.dice.choice(stray)

    def claim(self, state: State, who: str) -> tuple[str, Body]:
        name = self.pick(state, "ready")
        item = work(state).items.get(name)
        if item is not None and not may_do(state, item, who) and self.chance(0.8):
            return self.offer(state, who)
        body = {"lease": name, "session": self.dice.choice("st"), **self.ask(state)}
        if self.chance(0.6):
            body["watched_ms"] = self.dice.choice((0, 999, 1000, 2000, 90_000_000, 90_000_000))
        if self.chance(0.15) or body["lease"] == "leader":
            body |= {"lease": "leader", "queue": self.chance(0.5)}
        elif self.chance(0.03):
            body["queue"] = True
        return "lease.acquire", body | self.of(state, name)

    def of(self, state: State, name: str) -> Body:
        """The order that a claim is for: its own mostly, or another one's."""
        item = work(state).items.get(name)
        if item is None or self.chance(0.5):
            return {}
        return {"of": origin(state, item) if self.chance(0.9) else self.dice.choice(self.told)}

    def held(self, state: State, who: str, of: str = "") -> Body | None:
        """What a record under one of the leases that this node holds names; now and then another's, or a wrong token."""
        held = [one for one in lease.leases(state).by_name.values() if one.holder and one.name.startswith(of)]
        mine = [one for one in held if one.holder == who or self.chance(0.05)]
        if not mine:
            return None
        one = self.dice.choice(mine)
        token = one.token if self.chance(0.95) else max(1, one.token - 1)
        return {"lease": one.name, "session": one.session if self.chance(0.97) else "u", "token": token}

    def carry(self, state: State, who: str) -> tuple[str, Body]:
        """The next step of what this node runs: a receipt, or the finish."""
        under = self.held(state, who, self.dice.choice((TASK, TASK, COMMAND, "")))
        if under is None:
            return self.claim(state, who)
        item = work(state).items.get(under["lease"])
        if self.chance(0.03):
            return "task.finish", {"under": under, "outcome": "noop"}
        if item is None and self.chance(0.9):
            return self.leave(state, who)
        if item is None or item.name.startswith(COMMAND):
            outcome = self.dice.choice(("applied", "noop", "refused", "failed"))
            return "command.finish", {"under": under, "outcome": outcome}
        left = [step for step in steps_of(item.order).items() if step[0] not in [done[0] for done in item.steps]]
        if left and self.chance(0.8):
            return "task.receipt", {"under": under, **self.receipt(left)}
        outcome = self.dice.choice(("succeeded", "succeeded", "succeeded", "noop", "failed", "failed"))
        return "task.finish", {"under": under, "outcome": outcome, **({"reason": "x"} if self.chance(0.5) else {})}

    def receipt(self, left: list[tuple[str, str]]) -> Body:
        step, phase = self.dice.choice(left)
        if self.chance(0.05):
            step, phase = self.dice.choice((("nothing", phase), (step, "rollback"), (step, "run")))
        outcome = self.dice.choice((*("exited",) * 12, "timeout"))
        return {"step": step, "phase": phase, "outcome": outcome, "exit": self.dice.choice((*(0,) * 7, 1, None))}

    def leave(self, state: State, who: str) -> tuple[str, Body]:
        """Give back, renew, or break somebody's."""
        under = self.held(state, who)
        if self.chance(0.3) and (other := self.held(state, self.dice.choice(NAMES))):
            return "lease.break", {"lease": other["lease"], "token": other["token"], "reason": "gone"}
        if under is None:
            return self.offer(state, who)
        if self.chance(0.3):
            return "lease.renew", under
        return "lease.release", {**under, "record": lease.leases(state).by_name[under["lease"]].record}

    def take(self, state: State, who: str) -> tuple[str, Body]:
        under = self.held(state, self.dice.choice(NAMES))
        if under is None:
            return self.claim(state, who)
        last = lease.leases(state).by_name[under["lease"]].last if self.chance(0.9) else self.told[-1]
        watched = self.dice.choice((60_000, 60_000, 90_000, 10))
        body = {**under, "session": self.dice.choice("st"), "last": last, "watched_ms": watched, **self.ask(state)}
        queue = {"queue": True} if self.chance(0.1) else {}
        return "lease.take", body | queue | self.of(state, under["lease"])

    # Offers, the breaker.

    def offer(self, state: State, who: str) -> tuple[str, Body]:
        some = self.dice.choices(CAPABILITIES, k=self.dice.choice((0, 1, 2, 3, 3)))
        return "work.offer", {"capabilities": some, "slots": self.dice.choice((0, 1, 2, 2, 2, 2))}

    def breaker(self, state: State, who: str) -> tuple[str, Body]:
        is_open = bool(work(state).breaker.since)
        verb = "reset" if is_open == self.chance(0.9) else "open"
        if not is_open and self.chance(0.7):
            return self.offer(state, who)
        return f"breaker.{verb}", {"reason": "x"}

    # DAGs.

    def tasks(self, prefix: str, count: int, before: list[str]) -> list[Body]:
        """Tasks that need earlier ones; now and then one that makes them no DAG."""
        made: list[Body] = []
        for number in range(count):
            earlier = [*before, *(task["name"] for task in made)]
            made.append(self.task(f"{prefix}{number}", earlier))
        if made and self.chance(0.06):
            task = self.dice.choice(made)
            flaw = self.dice.choice(("name", "needs", "needs", "commands", "receipts"))
            last = made[-1]["name"]
            wrong: Body = {"name": last, "needs": [last], "commands": [{"name": "s"}] * 2, "receipts": ["r", "r"]}
            task[flaw] = wrong[flaw]
        return made

    def task(self, name: str, earlier: list[str]) -> Body:
        task: Body = {"name": name}
        if earlier and self.chance(0.7):
            task["needs"] = self.dice.choices(earlier, k=self.dice.randint(1, 3))
        for field in ("before", "commands", "after", "rollback"):
            if self.chance(0.3):
                task[field] = [{"name": f"{field}{n}", "run": ["true"]} for n in range(self.dice.randint(0, 2))]
        optional = {
            "receipts": ["report"], "attempts": self.dice.choice((2, 3)), "backoff_ms": self.dice.choice(PAUSES_MS),
            "capability": self.dice.choice(CAPABILITIES),
        }  # fmt: skip
        return task | {field: value for field, value in optional.items() if self.chance(0.5)}

    def submit(self, state: State, who: str) -> tuple[str, Body]:
        free = [name for name in DAGS if not (dag := work(state).dags.get(name)) or not dag.is_open or self.chance(0.1)]
        if not free:
            return self.carry(state, who)
        body: Body = {"dag": self.dice.choice(free), "tasks": self.tasks("a", self.dice.randrange(6), [])}
        if self.chance(0.4):
            body["parts"] = self.dice.choice((0, 1, 2))
        if self.chance(0.6):
            body["limits"] = {self.dice.choice(CAPABILITIES): self.dice.choice((1, 1, 2))}
        return "dag.submit", body | {"until": state.epoch + 9}

    def part(self, state: State, who: str) -> tuple[str, Body]:
        missing = [dag for dag in work(state).dags.values() if dag.missing and (dag.author == who or self.chance(0.1))]
        if not missing:
            return self.submit(state, who)
        dag = self.dice.choice(missing)
        before = [task["name"] for task in dag.drafts]
        number = dag.parts + 1 if self.chance(0.9) else self.dice.randint(1, 3)
        body = {"dag": dag.name, "record": dag.record if self.chance(0.95) else self.told[-1], "part": number}
        tasks = self.tasks("bcd"[dag.parts % 3], self.dice.randint(1, 3), before)
        return "dag.part", {**body, "tasks": tasks, "until": state.epoch + 9}

    def cancel(self, state: State, who: str) -> tuple[str, Body]:
        return "dag.cancel", {"dag": self.dice.choice((*DAGS, "three")), "reason": "x"}

    def hand(self, state: State, who: str) -> tuple[str, Body]:
        """Retry, skip or assign."""
        lost = any(item.state in ("failed", "cancelled") for item in work(state).items.values())
        verb = self.dice.choice(("retry", "retry", "skip", "assign") if lost else ("skip", "assign", "assign"))
        fit = ("failed", "cancelled") if verb == "retry" else ("waiting", "ready", "blocked", "failed")
        name = self.pick(state, *fit).removeprefix(TASK)
        body: Body = {"task": name if "/" in name else "one/zz", "reason": "x"}
        if verb == "assign" and self.chance(0.7):
            body["to"] = self.dice.choice(NAMES)
        return f"task.{verb}", body

    # Commands and reactors.

    def issue(self, state: State, who: str) -> tuple[str, Body]:
        addresses: list[Body] = [{"to": self.dice.choice(NAMES)}, {"capability": "build"}, {"holder": "leader"}]
        body = {"name": "scale", "args": {"n": self.dice.randrange(3)}, **self.dice.choice(addresses)}
        if self.chance(0.1):
            body |= self.dice.choice(addresses)
        if self.chance(0.4):
            body["again"] = f"g{self.dice.randrange(9)}"
        if (under := self.held(state, who, "leader")) and self.chance(0.5):
            body["under"] = under
        return "command.issue", body | {"until": state.epoch + 9}

    def recall(self, state: State, who: str) -> tuple[str, Body]:
        name = self.pick(state, "ready")
        if not name.startswith(COMMAND):
            name = COMMAND + command_id({"name": "scale", "args": {"n": 1}, "holder": "leader"})
        return "command.cancel", {"command": name.removeprefix(COMMAND), "reason": "x"}

    def react(self, state: State, who: str) -> tuple[str, Body]:
        """Write a follow-up: one that is due, one that was, one that never was."""
        due = list(reactors(state).due.values())
        if self.chance(0.2):
            id_ = self.dice.choice([id_ for id_, _ in reactors(state).done.items()] or ["cd" * 16])
            if self.chance(0.3):
                return "command.issue", {"name": "scale", "to": "elm", "until": state.epoch + 9, "reaction": id_}
            return "event.publish", {"topic": "t", "type": "a", "payload": 1, "cause": "ab" * 32, "reaction": id_}
        if not due:
            return self.publish(state, who)
        one = self.dice.choice(due)
        body = body_of(one) | ({"until": state.epoch + 9} if one.kind == "command.issue" else {})
        if one.under and self.chance(0.7) and (under := self.held(state, who, one.under)):
            body["under"] = under
        if self.chance(0.05):
            body["cause"] = "ab" * 32
        return one.kind, body

    def publish(self, state: State, who: str) -> tuple[str, Body]:
        options = [self.value(1) for _ in range(self.dice.randrange(4))]
        payload = {"n": self.dice.randrange(5), "ok": self.chance(0.5), "options": options, "any": self.value(2)}
        body: Body = {"topic": "t", "type": self.dice.choice("abc"), "payload": payload}
        if (under := self.held(state, who)) and self.chance(0.4):
            body["under"] = under
        return "event.publish", body

    def value(self, deep: int) -> Any:
        return value(self.dice, deep)

    def mapping(self, state: State, who: str) -> tuple[str, Body]:
        self.version += self.dice.choice((0, 1, 1))
        rules = [rule(self.dice) for _ in range(self.dice.randrange(4))]
        return "reactor.publish", {
            "reactor": self.dice.choice(("r", "q")),
            "version": max(1, self.version),
            "rules": rules,
        }

    def review(self, state: State, who: str) -> tuple[str, Body]:
        return reviews.wish(self.dice, state, who, self.drafts[-6:] or self.told[-3:])

    def stray(self, state: State, who: str) -> tuple[str, Body]:
        """Somebody comes, goes, or changes what it may."""
        if self.chance(0.3):
            return "node.rotate", {}
        known = members(state)
        log = self.dice.choice([*known.by_log])
        if self.chance(0.3):
            return "node.revoke", {"log": log, "reason": "x"}
        member = known.by_log[log]
        some = (["node"], ["admin"], ["node"], ["observer"])
        some += (["node", "reviewer"], ["reviewer"]) if self.reviewed else ()
        roles = self.dice.choice(some)
        return "node.admit", {"name": member.name, "key": member.key, "roles": roles}


SCALARS = (0, 1, 2, 7, -3, True, False, None, "", "x", "é$", "$payload.n")


def value(dice: random.Random, deep: int) -> Any:
    """Some value that a line may hold; objects with the keys that rules look for."""
    lot = dice.random()
    if deep and lot < 0.6:
        return {key: value(dice, deep - 1) for key in ("score", "n", "ok", "") if dice.random() < 0.6}
    if deep and lot < 0.7:
        return [value(dice, deep - 1) for _ in range(dice.randrange(3))]
    return dice.choice(SCALARS)


PATHS = ("payload", "payload.n", "payload.ok", "payload.any", "payload.any.n", "payload.options", "node", "cause", "type",
         "payload.none", "payload.", "", "topic.x")  # fmt: skip


def where(dice: random.Random, paths: tuple[str, ...]) -> Body:
    tests = ("is", "not", "at_least", "at_most", "in", "exists", "what")

    def wanted() -> Any:
        if dice.random() < 0.3:
            return value(dice, 1)
        some = dice.sample(tests[:6] if dice.random() < 0.9 else tests, dice.randrange(3))
        return {test: [value(dice, 0), 1] if test == "in" and dice.random() < 0.8 else value(dice, 0) for test in some}

    return {path: wanted() for path in dice.choices(paths, k=dice.choice((0, 1, 1, 2)))}


def template(dice: random.Random, deep: int = 2) -> Any:
    lot = dice.random()
    if lot < 0.35:
        return f"${dice.choice(PATHS)}"
    if lot < 0.5:
        best: Body = {"$best": dice.choice(("payload.options", "payload.options", "payload.any", "node"))}
        if dice.random() < 0.5:
            best["where"] = where(dice, ("n", "ok", "score"))
        if dice.random() < 0.4:
            best["by"] = dice.choice(("n", "ok", "score"))
        if dice.random() < 0.05:
            best |= dice.choice(({"by": 1}, {"where": []}, {"$best": 7}, {"more": 1}))
        return best
    if deep and lot < 0.7:
        return {key: template(dice, deep - 1) for key in ("a", "b") if dice.random() < 0.6}
    if deep and lot < 0.8:
        return [template(dice, deep - 1) for _ in range(dice.randrange(3))]
    return dice.choice(SCALARS)


def gives(dice: random.Random) -> Body:
    if dice.random() < 0.05:
        return dice.choice(({}, {"event": 5}, {"event": {}, "command": {}}, {"event": {"what": 1}}))
    if dice.random() < 0.4:
        address = dice.choice(({"to": "elm"}, {"to": "$node"}, {"capability": "build"}, {"holder": "leader"}, {}))
        return {"command": {"name": "scale", "args": template(dice), **address}}
    return {"event": {"topic": "t", "type": dice.choice(("a", "b", "c", "$type")), "payload": template(dice)}}


def rule(dice: random.Random) -> Body:
    """A rule of a mapping, mostly a sound one."""
    made: Body = {"on": dice.choice(({}, {"topic": "t"}, {"type": dice.choice("abc")})), "give": gives(dice)}
    if dice.random() < 0.4:
        made["where"] = where(dice, PATHS) if dice.random() < 0.97 else 7
    if dice.random() < 0.3:
        made["else"] = gives(dice)
    if dice.random() < 0.2:
        made["under"] = "leader"
    return made


JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 9, 10, 255, 256, -255, -256, 999, 1000, 100_000, 100_001, 86_400_001, 2**53 - 1, [], {}, "",
    "a", "A.b-c_d", "-a", "a b", "a/b", "a/b/c", "a\n", "é", "\u2028", "task:x/y", "succeeded", "run", ["a"], [[]], {"a": 1},
    *("x" * n for n in (40, 41, 50, 51, 60, 61, 100, 101, 128, 129, 256, 257, 500, 501, 1024, 1025, 4097, 8193)),
    "ab" * 8, "ab" * 16, "ab" * 20, "ab" * 32, "AB" * 32, "x" * 40 + "/" + "x" * 50, "x" * 60 + "/" + "x" * 31,
    ["a"] * 64, ["a"] * 65, ["a"] * 128, ["a"] * 129, ["a"] * 257, [{"name": "a"}] * 64, [{"name": "a"}] * 65,
    {f"k{n}": 1 for n in range(64)}, {f"k{n}": 1 for n in range(65)},
)  # fmt: skip


def bent(value: Any, dice: random.Random) -> Any:
    """The same with one thing changed: replaced by what may or may not fit, taken away, or added."""
    if isinstance(value, dict) and value and dice.random() < 0.85:
        key = dice.choice(sorted(value))
        match dice.randrange(12):
            case 0:
                return {other: inner for other, inner in value.items() if other != key}
            case 1:
                return {**value, dice.choice(("what", "once", "name", "needs", "under", "else")): dice.choice(JUNK)}
        return {**value, key: bent(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.7:
        at = dice.randrange(len(value))
        return [*value[:at], bent(value[at], dice), *value[at + 1 :]]
    return dice.choice(JUNK)
