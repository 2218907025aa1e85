"""Random ledgers, line by line and signed: what several nodes wish, sound or not, sealed by whoever may.

trunk = Crowd(seed=7).run(epochs=14)        # trunk.files is the tree
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from orxaq_mesh import kinds
from orxaq_mesh.keys import SecretKey
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Record
from orxaq_mesh.schema import read_record
from tests import ed25519_points as curve
from tests import test_keys
from tests.builder import Pen, Trunk, secret, sign
from tests.toil import Toil


class Crowd:
    """A random ledger: sound and unsound wishes of several nodes, sealed by whoever may; `reviewed`: some are held."""

    def __init__(self, seed: int, *, reviewed: bool = False) -> None:
        self.dice = random.Random(seed)
        self.toil = Toil(self.dice, reviewed=reviewed)
        self.toils = 0.6 if reviewed else 0.35  # how much of what is said is about work
        self.trunk = Trunk.founded()
        self.recovery = self.trunk.pen("recovery")
        self.trunk.pens["recovery"] = self.recovery
        self.secrets: dict[str, SecretKey] = {}
        self.newcomers = 0
        self.drafts: list[Record] = []
        self.hit: set[tuple[str, ...]] = set()
        self.high = self.dice.choice(([], [["admin"], ["admin", "node"]]))  # some fleets have one admin
        for name in ("elm", "ash"):
            self.trunk.admit(name, *self.dice.choice((["node"], *self.high)))
        if reviewed:
            self.high = [*self.high, ["reviewer"], ["node", "reviewer"]]
            self.trunk.admit("bay", "node", "reviewer")

    def run(self, epochs: int) -> Trunk:
        for _ in range(epochs):
            self.epoch()
        return self.trunk

    def epoch(self) -> None:
        """One seal over what some logs have to say."""
        self.drafts = []
        known = members(self.trunk.ledger.state).by_log
        may = [pen for pen in self.trunk.pens.values() if pen.log in known and known[pen.log].may_seal()]
        nodes = [pen for pen in may if pen.name != "recovery"]
        by = self.dice.choice(may if self.dice.random() < 0.2 else nodes or may)
        writers = (
            [by] if by is self.recovery else [p for p in self.trunk.pens.values() if self.dice.random() < 0.7] or [by]
        )
        records = [record for pen in writers for record in self.words(pen)]
        if records:
            judged = self.trunk.seal(*records, by=by)
            for item in judged:
                self.heard(item.record, item.verdict)

    def words(self, pen: Pen) -> list[Record]:
        """What a log has to say in this epoch: nothing, if no seal could take it in."""
        member = members(self.trunk.ledger.state).by_log.get(pen.log)
        if member is None and not pen.seq:
            return [pen.hello()]
        if member is None or not member.admitted:
            return []
        return [self.wish(pen) for _ in range(self.dice.choice((1, 1, 2, 3)))]

    def heard(self, record: Record, verdict: kinds.Verdict) -> None:
        self.hit.add((record.kind, *verdict))
        if verdict.result == "rotated":
            name = record.log.rpartition("-")[0]
            keys = self.secrets | {pen.key.public.text: pen.key for pen in self.trunk.pens.values()}
            twin = Pen(name, keys[record.body["key"]], record.id)
            twin.ledger_id, twin.seen = (
                self.trunk.ledger.id,
                (self.trunk.ledger.state.epoch, self.trunk.ledger.state.seal),
            )
            self.trunk.pens[twin.log] = twin

    def wish(self, pen: Pen) -> Record:
        """The next record of a log."""
        kind, body = self.kind_and_body(pen)
        if self.dice.random() < 0.03:
            body.pop(next(iter(body)))
        if self.dice.random() < 0.15 and kind != "lease.lend":
            body["once"] = f"k{self.dice.randrange(4)}"
        envelope: dict[str, Any] = {"v": 2} if self.dice.random() < 0.02 else {}
        if self.dice.random() < 0.04:
            envelope["seen"] = {"epoch": max(0, pen.seen[0] - 3), "seal": "ab" * 32}
        # The builder signs a founding for genesis; a second one is this ledger's, like any record.
        value = json.loads(pen.draft("event.publish", body, **envelope).line) | {"kind": kind}
        value.pop("sig")
        record = read_record(sign(value, pen.key, pen.ledger_id))
        pen.seq, pen.prev = record.seq, record.id
        self.drafts.append(record)
        self.toil.drafts.append(record.id)
        return record

    def kind_and_body(self, pen: Pen) -> tuple[str, dict[str, Any]]:
        if pen is self.recovery:
            kind = self.dice.choice(("node.admit", "node.revoke", "event.publish"))
        elif self.dice.random() < self.toils:
            kind, body = self.toil.wish(self.trunk.ledger.state, pen.name)
            if not kind.startswith("node."):
                return kind, body
        else:
            own = [kind for kind in kinds.KINDS if kind.split(".")[0] in ("node", "lease", "event")]
            kind = self.dice.choice([*own, *(4 * [kind for kind in own if kind.startswith("lease.")]), "lease.lend"])
        return kind, self.body(kind, pen)

    def body(self, kind: str, pen: Pen) -> dict[str, Any]:
        family, verb = kind.split(".")
        make: Callable[[str, Pen], dict[str, Any]] = {
            "lease": self.of_lease,
            "node": self.of_node,
            "event": self.of_event,
        }[family]
        return make(verb, pen)

    def key(self) -> str:
        """A fresh key, a known one, or one that no honest tool makes."""
        lot = self.dice.random()
        if lot < 0.15:
            raw = self.dice.choice([curve.encode(point) for point in curve.small_order_points()])
            return test_keys.line_of(raw)
        if lot < 0.35:
            return self.dice.choice(list(self.trunk.pens.values())).key.public.text
        key = secret(f"key {len(self.secrets)}")
        self.secrets[key.public.text] = key
        return key.public.text

    def of_node(self, verb: str, pen: Pen) -> dict[str, Any]:
        dice, known = self.dice, members(self.trunk.ledger.state).by_log
        if verb in ("found", "hello"):
            own = {"name": pen.name, "key": pen.key.public.text}
            return own | ({"recovery": self.key()} if verb == "found" else {})
        if verb == "rotate":
            return {"key": self.key()} if dice.random() < 0.5 else {"key": pen.key.public.text}
        if verb == "revoke":
            logs = [*known, "yew-00000000"]
            heavy = dice.random() < 0.5
            return {"log": dice.choice(logs if heavy else ["yew-00000000", pen.log]), "reason": "lost"}
        roles = dice.choice((["node"], ["observer"], ["node"], *self.high))
        if dice.random() < 0.4:
            member = dice.choice([*known.values(), known[pen.log]])
            return {"name": member.name, "key": member.key, "roles": roles}
        if dice.random() < 0.3:
            return {"name": dice.choice(("oak", "elm", "recovery", "fir")), "key": self.key(), "roles": roles}
        self.newcomers += 1
        newcomer = self.trunk.pen(f"n{self.newcomers}")
        self.trunk.pens[newcomer.name] = newcomer
        newcomer.seen = self.trunk.oak.seen
        return {"name": newcomer.name, "key": newcomer.key.public.text, "roles": roles}

    def of_lease(self, verb: str, pen: Pen) -> dict[str, Any]:
        dice, state = self.dice, self.trunk.ledger.state
        name = dice.choice(("deploy", "db"))
        held = leases(state).by_name.get(name)
        token = (held.token if held and dice.random() < 0.85 else 0) or dice.randrange(1, state.epoch + 2)
        session = held.session if held and held.holder == pen.name and dice.random() < 0.8 else dice.choice("st")
        ttl = dice.choice((60_000, 60_000, 60_000, 90_000, 86_400_001))
        ask = {"ttl_ms": ttl, "until": state.epoch + dice.choice((0, 1, 5, 16, 16))}
        if dice.random() < 0.6:
            ask |= {"queue": dice.random() < 0.8, "priority": dice.randrange(10)}
        body: dict[str, Any] = {"lease": name, "session": session}
        match verb:
            case "acquire":
                body |= ask
            case "renew":
                body |= {"token": token} | ({"ttl_ms": ttl} if dice.random() < 0.5 else {})
            case "release":
                places = [waiter.record for waiter in held.queue if waiter.node == pen.name] if held else []
                named = places or [held.record if held and held.record else "cd" * 32]
                body |= {"record": dice.choice(named)} | ({"token": token} if dice.random() < 0.8 else {})
            case "take":
                last = held.last if held and held.last and dice.random() < 0.8 else "ef" * 32
                asked = [record for record in self.drafts if record.kind == "lease.acquire"]
                if asked and dice.random() < 0.3:  # who sees outboxes may name a grant that is not sealed yet
                    last, token, body["lease"] = asked[-1].id, state.epoch + 1, asked[-1].body.get("lease", name)
                body |= ask | {"token": token, "last": last, "watched_ms": dice.choice((60_000, 90_000, 90_000, 10))}
            case "break":
                body = {"lease": name, "token": token, "reason": "gone"}
        return body

    def of_event(self, verb: str, pen: Pen) -> dict[str, Any]:
        body: dict[str, Any] = {
            "topic": "t",
            "type": "u",
            "payload": {"n": [self.dice.randrange(9), None, "\u2028\x1b"]},
        }
        if self.dice.random() < 0.6:
            named = self.of_lease("renew", pen)
            body["under"] = {"lease": named["lease"], "session": named["session"], "token": named["token"]}
        return body
