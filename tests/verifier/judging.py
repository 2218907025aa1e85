"""Sections 8 to 11 of docs/format.md: the state, what comes of every record, and the digest."""

from __future__ import annotations

from typing import Any

from lines import BODIES, ROLES, ZEROS, Record, Seal, sha256
from reacting import Reactors, is_sound
from reviewing import Review
from signatures import log_of, sound
from working import Work, is_claim, no, yes


class Member:
    def __init__(self, log: str, name: str, key: str, roles: Any, standing: str, since: int = 0) -> None:
        self.log, self.name, self.key, self.roles, self.standing = log, name, key, set(roles), standing
        self.since, self.seen, self.prev = since, 0, ZEROS


class Lease:
    def __init__(self) -> None:
        self.holder = self.session = self.record = self.last = ""
        self.token = self.ttl_ms = 0
        self.queue: list[dict[str, Any]] = []

    def give(self, place: dict[str, Any], epoch: int) -> None:
        self.holder, self.session, self.record = place["node"], place["session"], place["record"]
        self.last, self.ttl_ms, self.token = place["record"], place["ttl_ms"], epoch

    def vacate(self, epoch: int) -> None:
        self.holder = self.session = self.record = self.last = ""
        self.ttl_ms = 0
        if self.queue and self.token < epoch:
            self.give(self.queue.pop(0), epoch)

    def join(self, place: dict[str, Any]) -> None:
        before = [other for other in self.queue if other["rank"] <= place["rank"]]
        self.queue = [*before, place, *self.queue[len(before) :]]

    def has(self, node: str, session: str) -> bool:
        return any((place["node"], place["session"]) == (node, session) for place in self.queue)


def founds(record: Record) -> bool:
    name, key, recovery = (record.body[field] for field in ("name", "key", "recovery"))
    two = name != "recovery" and key != recovery
    return record.seq == 1 and sound(key) and sound(recovery) and two and record.log == log_of(name, key)


class State:
    """8. The state, and what changes it."""

    def __init__(self) -> None:
        self.epoch, self.seal, self.digest = 0, ZEROS, ZEROS
        self.heads: dict[str, tuple[int, str]] = {}
        self.once: set[tuple[str, str]] = set()
        self.members: dict[str, Member] = {}
        self.bearers: dict[str, str] = {}
        self.leases: dict[str, Lease] = {}
        self.work, self.reactors, self.review = Work(self.leases), Reactors(), Review(self.leases, self.reviewers)

    def last(self, log: str) -> tuple[int, str]:
        """(seq, id) of the record behind which a log goes on."""
        return self.heads.get(log, (0, self.members[log].prev if log in self.members else ZEROS))

    def admitted(self, log: str) -> Member | None:
        member = self.members.get(log)
        return member if member and member.standing == "admitted" else None

    def open(self, epoch: int, suspended: list[str]) -> list[tuple[Record, list[str]]]:
        """8. What comes before an epoch's first record, and the verdicts of the turns that are taken then."""
        for log in sorted(suspended):
            member = self.members[log]
            member.standing = "suspended"
            self.bearers.pop(member.name, None)
            self.bereave(member.name, epoch)
            self.let_down()
        for lease in self.leases.values():
            if not lease.holder and lease.queue and lease.token < epoch:
                lease.vacate(epoch)
        self.reactors.open(epoch)
        self.review.open(epoch)
        return self.turns(epoch)

    def close(self, seal: Seal, judged: list[tuple[Record, list[str]]]) -> None:
        """11. The digest."""
        text = self.digest + "\n" + "".join(f"{record.id} {' '.join(verdict)}\n" for record, verdict in judged)
        self.heads |= seal.heads
        self.epoch, self.seal, self.digest = seal.epoch, seal.id, sha256(text.encode())

    # 9. Judging.

    def turns(self, epoch: int) -> list[tuple[Record, list[str]]]:
        """The turns that are taken here, with their verdicts."""
        return [(record, verdict or self.apply(record, epoch, True)) for record, verdict in self.review.turns()]

    def let_down(self) -> None:
        down = [id_ for id_, one in self.review.held.items() if not self.may_write(one.record)]
        self.review.come(down, no("NODE-3"))

    def may_write(self, record: Record) -> bool:
        member = self.admitted(record.log)
        return member is not None and bool(member.roles & ROLES[record.kind])

    def apply(self, record: Record, epoch: int, again: bool = False) -> list[str]:
        verdict = self.gate(record, epoch, again) or RULES[record.kind](self, record, epoch)
        body, member = record.body, self.members.get(record.log)
        if verdict[0] == "held" and member:
            self.review.enter(record, member.name, member.roles, epoch)
        if verdict[0] == "applied":
            if "under" in body and body["under"]["lease"] in self.leases:
                self.leases[body["under"]["lease"]].last = record.id
            if "once" in body and ROLES[record.kind] and member:
                self.once.add((member.name, body["once"]))
            if record.kind.startswith("node."):
                self.let_down()
        self.review.early.pop(record.id, None)
        if member:
            member.seen = max(member.seen, record.seen)
        return verdict

    def gate(self, record: Record, epoch: int, again: bool) -> list[str] | None:
        if record.flaw:
            return no("RULES")
        body, roles, member = record.body, ROLES[record.kind], self.members.get(record.log)
        if roles:
            if not member or not self.may_write(record):
                return no("NODE-3")
            if not again and record.seen < member.seen:
                return no("SEEN")
            if "once" in body and (member.name, body["once"]) in self.once:
                return no("ONCE")
            if body.get("until", epoch) < epoch:
                return no("UNTIL")
            if not again and (held := self.review.refusal(record, member.name, member.roles)):
                return held
            if under := body.get("under"):
                lease = self.leases.get(under["lease"], Lease())
                if (lease.holder, lease.session, lease.token) != (member.name, under["session"], under["token"]):
                    return FENCED
        return None

    # 10. The tables.

    def enter(self, member: Member) -> None:
        self.members[member.log] = member
        if member.standing == "admitted":
            self.bearers[member.name] = member.log

    def only_admin(self, member: Member | None) -> bool:
        return member is not None and [member] == [
            m for m in self.members.values() if m.standing == "admitted" and "admin" in m.roles
        ]

    def found(self, record: Record, epoch: int) -> list[str]:
        body = record.body
        if self.members or not founds(record):
            return no("NODE-1")
        self.enter(Member(record.log, body["name"], body["key"], ("admin", "node"), "admitted", epoch))
        recovery = body["recovery"]
        self.enter(Member(log_of("recovery", recovery), "recovery", recovery, ("recovery",), "admitted", epoch))
        return yes("NODE-1", "founded")

    def hello(self, record: Record, epoch: int) -> list[str]:
        body = record.body
        if record.seq != 1 or not sound(body["key"]) or record.log != log_of(body["name"], body["key"]):
            return no("NODE-2")
        if record.log not in self.members:
            self.enter(Member(record.log, body["name"], body["key"], (), "waiting"))
        return yes("NODE-2", "waits")

    def admit(self, record: Record, epoch: int) -> list[str]:
        name, key, roles = (record.body[field] for field in ("name", "key", "roles"))
        if not sound(key):
            return no("NODE-2")
        if "recovery" in self.members[record.log].roles and "admin" not in roles:
            return no("NODE-4")
        target, bearer = self.members.get(log_of(name, key)), self.bearers.get(name)
        if name == "recovery" or (bearer and self.members[bearer].key != key):
            return no("NODE-5")
        if target and (target.standing in ("revoked", "rotated", "suspended") or target.key != key):
            return no("NODE-5")
        if any(m.key == key and m is not target and m.standing != "waiting" for m in self.members.values()):
            return no("NODE-5")
        if "admin" not in roles and self.only_admin(target):
            return no("NODE-6")
        if target and target.standing == "admitted" and not {"admin", "node"} & set(roles):
            self.bereave(target.name, epoch)
        target = target or Member(log_of(name, key), name, key, (), "")
        if target.standing != "admitted":
            target.since = epoch
        target.standing, target.roles = "admitted", set(roles)
        self.enter(target)
        return yes("NODE-3", "admitted")

    def bereave(self, name: str, epoch: int) -> None:
        self.work.bereave(name)
        self.review.bereave(name)
        for lease_name, lease in list(self.leases.items()):
            lease.queue = [place for place in lease.queue if place["node"] != name]
            if lease.holder == name:
                self.vacate(lease_name, epoch)

    def vacate(self, name: str, epoch: int) -> None:
        if is_claim(name):
            self.work.given_back(name)
        else:
            self.leases[name].vacate(epoch)

    def revoke(self, record: Record, epoch: int) -> list[str]:
        target = self.members.get(record.body["log"])
        if not target or target.standing not in ("admitted", "waiting") or "recovery" in target.roles:
            return no("NODE-8")
        if "recovery" in self.members[record.log].roles and "admin" not in target.roles:
            return no("NODE-4")
        if self.only_admin(target):
            return no("NODE-6")
        if target.standing == "admitted":
            self.bearers.pop(target.name, None)
            self.bereave(target.name, epoch)
        target.standing = "revoked"
        return yes("LIVE", "revoked")

    def rotate(self, record: Record, epoch: int) -> list[str]:
        old, key = self.members[record.log], record.body["key"]
        if not sound(key) or any(member.key == key for member in self.members.values()):
            return no("NODE-7")
        new = Member(log_of(old.name, key), old.name, key, old.roles, "admitted", old.since)
        new.prev, new.seen, old.standing = record.id, record.seen, "rotated"
        self.enter(new)
        return yes("NODE-7", "rotated")

    def lease(self, record: Record, epoch: int) -> list[str]:
        body, verb = record.body, record.kind.split(".")[1]
        lease, claim = self.leases.get(body["lease"]) or Lease(), is_claim(body["lease"])
        node, session, token = self.members[record.log].name, body.get("session", ""), body.get("token")
        place = {"node": node, "session": session, "record": record.id, "ttl_ms": body.get("ttl_ms")}
        place["rank"] = epoch - 8 * body.get("priority", 0)
        mine = bool(lease.holder) and (lease.holder, lease.session) == (node, session)
        if body.get("ttl_ms", 0) > 86_400_000:
            return no("LIVE")
        if claim and verb in ("acquire", "take") and (rule := self.work.refusal(record, node, epoch)):
            return no(rule)
        if not claim:
            self.leases[body["lease"]] = lease
        verdict: list[str] = getattr(self, f"_{verb}")(record, epoch, lease, place, mine, token)
        if claim and verdict[2] == "granted":
            self.leases[body["lease"]] = lease
            self.work.claimed(body["lease"], epoch)
        return verdict

    def _acquire(self, record: Record, epoch: int, lease: Lease, place: Any, mine: bool, token: Any) -> list[str]:
        if mine or lease.has(place["node"], place["session"]):
            return no("LEASE-4")
        if not lease.holder and not lease.queue and lease.token < epoch:
            lease.give(place, epoch)
            job = self.work.job(record.body["lease"])
            is_stolen = job is not None and self.work.owner(job) not in ("", place["node"])
            return yes("WORK-2" if is_stolen else "LEASE-1", "granted")
        if record.body.get("queue"):
            lease.join(place)
            return yes("LEASE-5", "queued")
        return no("LEASE-2" if lease.holder else "LEASE-3")

    def _renew(self, record: Record, epoch: int, lease: Lease, place: Any, mine: bool, token: Any) -> list[str]:
        if not mine or token != lease.token:
            return FENCED
        lease.last, lease.ttl_ms = record.id, record.body.get("ttl_ms", lease.ttl_ms)
        return yes("LEASE-6", "renewed")

    def _release(self, record: Record, epoch: int, lease: Lease, place: Any, mine: bool, token: Any) -> list[str]:
        named, node = record.body["record"], place["node"]
        if any((other["record"], other["node"]) == (named, node) for other in lease.queue):
            lease.queue = [other for other in lease.queue if other["record"] != named]
            return yes("LEASE-7", "withdrawn")
        if self.review.has_request(named, node, record.body):
            self.review.come([named], no("LEASE-7"))
            return yes("LEASE-7", "withdrawn")
        if not mine or token != lease.token or named != lease.record:
            return FENCED
        self.vacate(record.body["lease"], epoch)
        return yes("LEASE-7", "released")

    def _take(self, record: Record, epoch: int, lease: Lease, place: Any, mine: bool, token: Any) -> list[str]:
        if not lease.holder or token != lease.token:
            return no("LEASE-8")
        if mine:
            return no("LEASE-4")
        if record.body["last"] != lease.last:
            return no("LEASE-8")
        if record.body["watched_ms"] < lease.ttl_ms:
            return no("TIME")
        if lease.token >= epoch:
            return no("LEASE-3")
        head = lease.queue[0] if lease.queue else place
        if (head["node"], head["session"]) == (place["node"], place["session"]):
            lease.vacate(epoch) if lease.queue else lease.give(place, epoch)
            return yes("LEASE-8", "granted")
        lease.vacate(epoch)
        if record.body.get("queue") and not lease.has(place["node"], place["session"]):
            lease.join(place)
        return yes("LEASE-8", "passed")

    def _break(self, record: Record, epoch: int, lease: Lease, place: Any, mine: bool, token: Any) -> list[str]:
        if not lease.holder or token != lease.token:
            return no("LEASE-9")
        self.vacate(record.body["lease"], epoch)
        lease.token = max(lease.token, epoch)
        return yes("LEASE-9", "broken")

    def publish(self, record: Record, epoch: int) -> list[str]:
        if verdict := self.reactors.verdict(record):
            return verdict
        self.reactors.hear(record, self.members[record.log].name, epoch, self.writers())
        self.reactors.write(record.body)
        return yes("EVENT-1", "published")

    def map(self, record: Record, epoch: int) -> list[str]:
        name, version, rules = (record.body[key] for key in ("reactor", "version", "rules"))
        if version <= self.reactors.mappings.get(name, (0, []))[0] or not all(map(is_sound, rules)):
            return no("REACTOR-1")
        self.reactors.publish(name, version, rules)
        return yes("REACTOR-1", "published")

    def writers(self) -> set[str]:
        bearers = [self.members[log] for log in self.bearers.values()]
        return {bearer.name for bearer in bearers if {"admin", "node"} & bearer.roles}

    def reviewers(self) -> set[str]:
        bearers = [self.members[log] for log in self.bearers.values()]
        return {bearer.name for bearer in bearers if {"admin", "reviewer"} & bearer.roles}

    def of_review(self, record: Record, epoch: int) -> list[str]:
        member = self.members[record.log]
        return self.review.judge(record, member.name, member.roles, epoch)

    def do_work(self, record: Record, epoch: int) -> list[str]:
        if record.kind == "command.issue" and (verdict := self.reactors.verdict(record)):
            return verdict
        member = self.members[record.log]
        verdict = self.work.judge(record, epoch, member.name, "admin" in member.roles, self.writers())
        if verdict[2] == "issued":
            self.reactors.write(record.body)
        return verdict


FENCED = ["fenced", "FENCE", ""]


RULES: dict[str, Any] = {kind: State.lease for kind in BODIES if kind.startswith("lease.")}
RULES |= {"node.found": State.found, "node.hello": State.hello, "node.admit": State.admit}
RULES |= {"node.revoke": State.revoke, "node.rotate": State.rotate, "event.publish": State.publish}
RULES |= {"reactor.publish": State.map}
RULES |= {kind: State.of_review for kind in BODIES if kind.startswith("review.")}
RULES |= {kind: State.do_work for kind in BODIES if kind not in RULES}
