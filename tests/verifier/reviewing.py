"""What is held (sections 8 to 10 of docs/format.md): rules, approvals before and after their records, turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from lines import Record
from working import no, yes

Verdict = list[str]


class Held(NamedTuple):
    record: Record
    author: str
    approvals: int
    last: int
    approvers: set[str]


class Review:
    def __init__(self, leases: dict[str, Any], reviewers: Callable[[], set[str]]) -> None:
        self.leases, self.reviewers = leases, reviewers
        self.rules: dict[str, dict[str, Any]] = {}
        self.held: dict[str, Held] = {}
        self.early: dict[str, tuple[int, set[str]]] = {}
        self.allowed: dict[str, str] = {}
        self.due: list[tuple[str, Verdict | None]] = []

    # 8. An epoch opens.

    def open(self, epoch: int) -> None:
        self.early = {id_: one for id_, one in self.early.items() if one[0] >= epoch - 10_000}
        self.come((id_ for id_, one in self.held.items() if one.last < epoch), no("UNTIL"))

    # 9. What is held.

    def come(self, ids: Iterable[str], verdict: Verdict | None) -> None:
        self.due += [(id_, verdict) for id_ in ids]

    def turns(self) -> Iterator[tuple[Record, Verdict | None]]:
        while self.due:
            id_, verdict = self.due.pop(0)
            if id_ in self.held:
                yield self.held.pop(id_).record, verdict

    def needs(self, record: Record, roles: set[str]) -> tuple[int, int]:
        body = record.body
        if "recovery" in roles or body.get("lease", "").startswith(("task:", "command:")) or "reaction" in body:
            return 0, 0
        kinds = self.comes_under(record)
        fitting = [rule for rule in self.rules.values() if fits(rule, kinds, record, roles)]
        return max(((rule["approvals"], rule.get("epochs", 10_000)) for rule in fitting), default=(0, 0))

    def comes_under(self, record: Record) -> set[str]:
        body, kinds = record.body, {record.kind}
        if record.kind == "dag.part":
            kinds.add("dag.submit")
        if record.kind == "review.require" and body["rule"] in self.rules:
            kinds.add("review.lift")
        if record.kind == "lease.take" and not (body["lease"] in self.leases and self.leases[body["lease"]].queue):
            kinds.add("lease.acquire")
        return kinds

    def count(self, approvers: set[str], author: str) -> int:
        return len((approvers & self.reviewers()) - {author})

    def bereave(self, name: str) -> None:
        """10. A node's loss."""
        for one in [*self.held.values(), *self.early.values()]:
            (one.approvers if isinstance(one, Held) else one[1]).discard(name)
        self.early = {id_: one for id_, one in self.early.items() if one[1]}

    def refusal(self, record: Record, author: str, roles: set[str]) -> Verdict | None:
        """Step 6."""
        needed, _ = self.needs(record, roles)
        _, approvers = self.early.get(record.id, (0, set[str]()))
        if not needed or self.count(approvers, author) >= needed:
            return None
        own = [one for one in self.held.values() if one.author == author]
        return no("REVIEW-5") if len(self.held) >= 1024 or len(own) >= 128 else ["held", "REVIEW-1", ""]

    def enter(self, record: Record, author: str, roles: set[str], epoch: int) -> None:
        approvals, epochs = self.needs(record, roles)
        last = min(epoch + epochs, record.body.get("until", epoch + epochs))
        _, approvers = self.early.get(record.id, (0, set[str]()))
        self.held[record.id] = Held(record, author, approvals, last, set(approvers))

    # 10. The tables.

    def has_request(self, id_: str, author: str, body: Any) -> bool:
        """Whether this is a held request of a node for the lease and session that a body names."""
        if id_ not in self.held or self.held[id_].record.kind not in ("lease.acquire", "lease.take"):
            return False
        asked = self.held[id_].record.body
        return self.held[id_].author == author and all(asked[key] == body[key] for key in ("lease", "session"))

    def judge(self, record: Record, author: str, roles: set[str], epoch: int) -> Verdict:
        verdict: Verdict = getattr(self, record.kind.split(".")[1])(record.body, author, roles, epoch)
        return verdict

    def require(self, body: Any, author: str, roles: set[str], epoch: int) -> Verdict:
        if body["rule"] not in self.rules and len(self.rules) >= 64:
            return no("REVIEW-5")
        self.rules[body["rule"]] = body
        return yes("REVIEW-1", "required")

    def lift(self, body: Any, author: str, roles: set[str], epoch: int) -> Verdict:
        if body["rule"] not in self.rules:
            return no("REVIEW-3")
        del self.rules[body["rule"]]
        return yes("REVIEW-1", "lifted")

    def approve(self, body: Any, author: str, roles: set[str], epoch: int) -> Verdict:
        ids = body["records"]
        if any(id_ in self.held and self.held[id_].author == author for id_ in ids):
            return no("REVIEW-2")
        new = {id_ for id_ in ids if id_ not in self.held}
        if new and len(new | {id_ for id_, one in self.early.items() if author in one[1]}) > 4096:
            return no("REVIEW-5")
        for id_ in ids:
            if id_ in self.held:
                self.held[id_].approvers.add(author)
                one = self.held[id_]
                self.come([id_] if self.count(one.approvers, one.author) >= one.approvals else [], None)
            else:
                self.early.setdefault(id_, (epoch, set()))[1].add(author)
        return yes("REVIEW-1", "approved")

    def reject(self, body: Any, author: str, roles: set[str], epoch: int) -> Verdict:
        if any(id_ not in self.held for id_ in body["records"]):
            return no("REVIEW-3")
        if not roles & {"admin", "reviewer"} and any(self.held[id_].author != author for id_ in body["records"]):
            return no("NODE-3")
        self.come(body["records"], no("REVIEW-4"))
        return yes("REVIEW-4", "rejected")

    def allow(self, body: Any, author: str, roles: set[str], epoch: int) -> Verdict:
        if body["digest"] not in self.allowed and len(self.allowed) >= 1024:
            return no("REVIEW-5")
        self.allowed[body["digest"]] = author
        return yes("SECRET", "allowed")


def names(body: Any) -> list[str]:
    single = [body[key] for key in ("lease", "dag", "task", "topic", "reactor", "name", "rule") if key in body]
    return single + [f"{body['dag']}/{task['name']}" for task in body.get("tasks", ())]


def fits(rule: Any, kinds: set[str], record: Record, roles: set[str]) -> bool:
    if kinds.isdisjoint(rule["kinds"]) or not roles <= set(rule.get("roles", roles)):
        return False
    mine = names(record.body)
    return "names" not in rule or any(covers(pattern, name) for pattern in rule["names"] for name in mine)


def covers(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern[-1] == "*" else name == pattern
