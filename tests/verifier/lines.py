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
    "time": r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z",
    "node name": r"(?=.{1,40}\Z)[a-z0-9]+([._-][a-z0-9]+)*",
    "log": r"(?=.{1,49}\Z)[a-z0-9]+([._-][a-z0-9]+)*-[0-9a-f]{8}",
    "name": r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,99}",
    "once": r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}",
    "reason": r"(?s:.{1,500})",
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
ASK = {**SESSION, "ttl_ms": TTL, "until": (1, 2**53), "queue?": FLAG, "priority?": (0, 9)}
NEWCOMER = {"key": "key", "name": "node name", "once?": "once"}
BODIES: dict[str, Any] = {
    "node.found": {**NEWCOMER, "recovery": "key"},
    "node.hello": NEWCOMER,
    "node.admit": {**NEWCOMER, "roles": lambda value: isinstance(value, list) and 1 <= len(value) <= 3
                   and all(value.count(role) == 1 and role in ("admin", "node", "observer") for role in value)},
    "node.revoke": {"log": "log", "reason": "reason", "once?": "once"},
    "node.rotate": {"key": "key", "once?": "once"},
    "lease.acquire": ASK,
    "lease.renew": {**SESSION, "token": TOKEN, "ttl_ms?": TTL},
    "lease.release": {**SESSION, "record": "hex64", "token?": TOKEN},
    "lease.take": {**ASK, "token": TOKEN, "last": "hex64", "watched_ms": (0, 2**53)},
    "lease.break": {"lease": "name", "reason": "reason", "token": TOKEN, "once?": "once"},
    "event.publish": {"topic": "name", "type": "name", "payload": lambda value: True, "once?": "once",
                      "under?": {"lease": "name", "session": "name", "token": TOKEN}},
}  # fmt: skip
WRITERS = {"admin", "node"}
ROLES: dict[str, set[str]] = {kind: WRITERS for kind in BODIES if not kind.startswith("node.")}
ROLES |= {"node.found": set(), "node.hello": set(), "node.rotate": WRITERS | {"observer"}, "lease.break": {"admin"}}
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
