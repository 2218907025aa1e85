"""Sections 1, 3, 4 and 5 of docs/format.md: lines, and which of them are records and seals."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

ZEROS = "0" * 64
MOST = 4_096_000_000


class Unsound(Exception):
    """Something breaks the page's rules."""


# 1. Lines.

FORMS = {
    "hex64": r"[0-9a-f]{64}",
    "hex32": r"[0-9a-f]{32}",
    "hex16": r"[0-9a-f]{16}",
    "commit": r"[0-9a-f]{40}([0-9a-f]{24})?",
    "time": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z",
    "node name": r"(?=.{1,40}\Z)[a-z0-9]+([._-][a-z0-9]+)*",
    "log": r"(?=.{1,49}\Z)[a-z0-9]+([._-][a-z0-9]+)*-[0-9a-f]{8}",
    "name": r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}",
    "once": r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}",
    "reason": r"(?s:.{1,500})",
    "dag name": r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}",
    "task name": r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}",
    "step name": r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}",
    "capability": r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}",
    "pattern": r"(?=.{1,101}\Z)[A-Za-z0-9][A-Za-z0-9._:@/-]*[*]?",
    "task path": r"(?=.{1,91}\Z)[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*",
    "key": r"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43}",
    "sig": r"[A-Za-z0-9+/]{85}[AQgw]==",
    "kind": r"(?=.{1,40}\Z)[a-z]+\.[a-z]+",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse(line: bytes) -> dict[str, Any]:
    if len(line) >= 65536:
        raise Unsound("LINE: too long")
    try:
        value = json.loads(line.decode())
        walk(value, 1)
        if type(value) is not dict or canonical(value) != line:
            raise Unsound("LINE: not canonical")
    except (ValueError, RecursionError) as error:
        raise Unsound(f"LINE: {error}") from None
    return value


def walk(value: Any, depth: int) -> None:
    if isinstance(value, float) or (type(value) is int and abs(value) > 2**53 - 1):
        raise Unsound("LINE: a number that may not be")
    if isinstance(value, dict | list):
        if depth > 16:
            raise Unsound("LINE: too deep")
        if isinstance(value, dict) and not all(key.isascii() for key in value):
            raise Unsound("LINE: a key that is not ASCII")
        for inner in value.values() if isinstance(value, dict) else value:
            walk(inner, depth + 1)


def fits(value: Any, form: Any) -> bool:
    """A form is a name of FORMS, (least, most) of an integer, a function, or a dict: key -> form, "?" for optional."""
    if isinstance(form, str):
        return isinstance(value, str) and re.fullmatch(FORMS[form], value) is not None
    if isinstance(form, tuple):
        return type(value) is int and form[0] <= value <= form[1]
    if isinstance(form, dict):
        if type(value) is not dict or not set(value) <= {key.rstrip("?") for key in form}:
            return False
        return all(
            fits(value[key.rstrip("?")], inner) if key.rstrip("?") in value else key.endswith("?")
            for key, inner in form.items()
        )
    return bool(form(value))


def many(least: int, most: int, form: Any) -> Any:
    return lambda value: (
        isinstance(value, list) and least <= len(value) <= most and all(fits(one, form) for one in value)
    )


def text(least: int, most: int) -> Any:
    return lambda value: isinstance(value, str) and least <= len(value) <= most


def among(*values: str) -> Any:
    return lambda value: isinstance(value, str) and value in values


def unlike(least: int, most: int, form: Any) -> Any:
    """An array of so many different texts."""
    fit = many(least, most, form)
    return lambda value: fit(value) and len(set(value)) == len(value)


# 3 to 5. What records, bodies and seals look like.

ENVELOPE = {
    "at": "time", "body": lambda value: type(value) is dict, "kind": "kind", "node": "log", "prev": "hex64",
    "seen": {"epoch": (0, 2**53), "seal": "hex64"}, "seq": (1, MOST), "sig": "sig", "v": (1, 2**53),
}  # fmt: skip
SEAL = {
    "at": "time", "epoch": (1, MOST), "kind": lambda value: value == "seal", "node": "log", "over?": "hex64",
    "heads": lambda value: type(value) is dict and 1 <= len(value) <= 1000 and all(
        fits(log, "log") and fits(head, {"id": "hex64", "seq": (1, 2**53)}) for log, head in value.items()),
    "parent": "hex64", "rules": (1, 2**53), "sig": "sig", "state": "hex64", "v": (1, 1),
    "proofs?": lambda value: type(value) is dict and 1 <= len(value) <= 100 and all(
        fits(log, "log") and type(pair) is list and len(pair) == 2 and all(fits(id_, "hex64") for id_ in pair)
        for log, pair in value.items()),
}  # fmt: skip
TOKEN, TTL, FLAG = (1, 2**53), (1000, 2**53), lambda value: isinstance(value, bool)
SESSION = {"lease": "name", "session": "name", "once?": "once"}
COUNT, ANY = (0, 2**53), lambda value: True
ASK = {**SESSION, "ttl_ms": TTL, "until": (1, 2**53), "queue?": FLAG, "priority?": (0, 9)}
WHY = {"reason": "reason", "once?": "once"}
UNDER = {"lease": "name", "session": "name", "token": TOKEN}
STREAM = {"bytes": COUNT, "sha256": "hex64", "truncated?": FLAG}
STREAMS = {"err?": STREAM, "out?": STREAM}
STEP = {
    "name": "step name", "artefacts?": many(0, 64, text(1, 256)), "limit_ms?": (1, 2**53),
    "run?": many(1, 256, text(0, 4096)), "shell?": text(1, 16384),
}  # fmt: skip
STEPS = many(0, 64, STEP)
TASK = {
    "name": "task name", "after?": STEPS, "before?": STEPS, "commands?": STEPS, "rollback?": STEPS,
    "attempts?": (1, 100), "backoff_ms?": (0, 86_400_000), "branch?": text(1, 256), "capability?": "capability",
    "environment?": many(0, 128, text(1, 128)), "limit_ms?": (1, 2**53), "needs?": many(0, 256, "task name"),
    "objective?": text(0, 8192), "priority?": (0, 9), "pty?": FLAG, "receipts?": many(0, 64, "step name"),
    "ttl_ms?": TTL,
}  # fmt: skip
GIVE = {"command?": ANY, "event?": ANY}
RULE = {"on": {"topic?": "name", "type?": "name"}, "give": GIVE, "else?": GIVE, "under?": "name", "where?": ANY}
REVIEWABLE = among(
    "breaker.reset", "command.issue", "dag.part", "dag.submit", "event.publish", "lease.acquire", "lease.take",
    "node.admit", "reactor.publish", "review.allow", "review.lift", "review.require", "task.assign", "task.retry",
    "task.skip", "work.offer",
)  # fmt: skip
A_ROLE = among("admin", "node", "observer", "reviewer")
NEWCOMER = {"key": "key", "name": "node name", "once?": "once"}
BODIES: dict[str, Any] = {
    "node.found": {**NEWCOMER, "recovery": "key"},
    "node.hello": NEWCOMER,
    "node.admit": {**NEWCOMER, "roles": unlike(1, 4, A_ROLE)},
    "node.revoke": {"log": "log", "reason": "reason", "once?": "once"},
    "node.rotate": {"key": "key", "once?": "once"},
    "lease.acquire": {**ASK, "watched_ms?": COUNT, "of?": "hex64"},
    "lease.renew": {**SESSION, "token": TOKEN, "ttl_ms?": TTL},
    "lease.release": {**SESSION, "record": "hex64", "token?": TOKEN},
    "lease.take": {**ASK, "token": TOKEN, "last": "hex64", "watched_ms": COUNT, "of?": "hex64"},
    "lease.break": {"lease": "name", "reason": "reason", "token": TOKEN, "once?": "once"},
    "event.publish": {"topic": "name", "type": "name", "payload": ANY, "once?": "once", "under?": UNDER,
                      "cause?": "hex64", "reaction?": "hex32"},
    "review.require": {"rule": "dag name", "kinds": unlike(1, 16, REVIEWABLE), "approvals": (1, 8), "once?": "once",
                       "names?": many(1, 32, "pattern"), "roles?": unlike(1, 4, A_ROLE), "epochs?": (1, 1_000_000)},
    "review.lift": {"rule": "dag name", "once?": "once"},
    "review.approve": {"records": unlike(1, 64, "hex64"), "reason?": "reason", "once?": "once"},
    "review.reject": {"records": unlike(1, 64, "hex64"), "reason?": "reason", "once?": "once"},
    "review.allow": {"digest": "hex64", **WHY},
    "work.offer": {"capabilities": many(0, 64, "capability"), "slots": (0, 1000), "once?": "once"},
    "breaker.open": WHY,
    "breaker.reset": WHY,
    "reactor.publish": {"reactor": "dag name", "version": (1, 2**53), "rules": many(0, 256, RULE), "once?": "once"},
    "dag.submit": {"dag": "dag name", "tasks": many(0, 4096, TASK), "until": (1, 2**53), "parts?": (0, 100_000),
                   "priority?": (0, 9), "cause?": "hex64", "once?": "once",
                   "limits?": lambda value: type(value) is dict and len(value) <= 64 and all(
                       fits(name, "capability") and fits(most, (1, 100_000)) for name, most in value.items())},
    "dag.part": {"dag": "dag name", "tasks": many(1, 4096, TASK), "until": (1, 2**53), "record": "hex64",
                 "part": (1, 100_000), "once?": "once"},
    "dag.cancel": {"dag": "dag name", **WHY},
    "task.receipt": {"under": UNDER, "step": "step name", "phase": among("after", "before", "rollback", "run"),
                     "outcome": among("exited", "not-started", "stopped", "timeout"), "commit?": "commit",
                     "exit": lambda value: value is None or fits(value, (-255, 255)), "duration_ms?": COUNT,
                     "command?": many(0, 256, text(0, 16384)), "note?": text(0, 500), "output?": STREAMS,
                     "artefacts?": many(0, 256, {"bytes": COUNT, "path": text(1, 1024), "sha256": "hex64"}),
                     "once?": "once"},
    "task.finish": {"under": UNDER, "outcome": among("failed", "noop", "succeeded"), "reason?": "reason",
                    "once?": "once"},
    "task.retry": {"task": "task path", **WHY},
    "task.skip": {"task": "task path", **WHY},
    "task.assign": {"task": "task path", "to?": "node name", **WHY},
    "command.issue": {"name": "step name", "until": (1, 2**53), "args?": ANY, "again?": "name", "to?": "node name",
                      "capability?": "capability", "holder?": "name", "priority?": (0, 9), "reason?": "reason",
                      "cause?": "hex64", "reaction?": "hex32", "under?": UNDER, "once?": "once"},
    "command.finish": {"under": UNDER, "outcome": among("applied", "failed", "noop", "refused"), "rule?": "name",
                       "exit?": (-255, 255), "duration_ms?": COUNT, "output?": STREAMS, "reason?": "reason",
                       "once?": "once"},
    "command.cancel": {"command": "hex16", **WHY},
}  # fmt: skip
WRITERS = {"admin", "node"}
ROLES: dict[str, set[str]] = {kind: WRITERS for kind in BODIES if not kind.startswith("node.")}
ROLES |= {kind: {"admin"} for kind in ("lease.break", "breaker.reset", "reactor.publish")}
ROLES |= {"review.require": {"admin"}, "review.lift": {"admin"}, "review.reject": WRITERS | {"reviewer"}}
ROLES |= {kind: {"admin", "reviewer"} for kind in ("review.approve", "review.allow")}
ROLES |= {"node.found": set(), "node.hello": set(), "node.rotate": WRITERS | {"observer"}}
ROLES |= {"node.admit": {"admin", "recovery"}, "node.revoke": {"admin", "recovery"}}


class Record:
    def __init__(self, line: bytes) -> None:
        self.value = value = parse(line)
        if not fits(value, ENVELOPE):
            raise Unsound("LINE: no record")
        self.line, self.id = line, sha256(line)
        self.log, self.seq, self.prev, self.kind, self.body = (
            value[k] for k in ("node", "seq", "prev", "kind", "body")
        )
        self.flaw = self.kind not in BODIES or value["v"] != 1 or not fits(self.body, BODIES[self.kind])
        self.seen, self.seen_seal = value["seen"]["epoch"], value["seen"]["seal"]


class Seal:
    def __init__(self, line: bytes) -> None:
        self.value = value = parse(line)
        if not fits(value, SEAL):
            raise Unsound("LINE: no seal")
        self.line, self.id = line, sha256(line)
        self.log, self.epoch, self.parent, self.rules, self.state = (
            value[k] for k in ("node", "epoch", "parent", "rules", "state")
        )
        self.heads: dict[str, tuple[int, str]] = {log: (at["seq"], at["id"]) for log, at in value["heads"].items()}
        self.over, self.proofs = value.get("over"), value.get("proofs", {})
