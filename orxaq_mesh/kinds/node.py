"""Nodes: who may write, as whom, with which role.

Knows: found, hello, admit, revoke, rotate; whose key a log belongs to; who may seal.
Knows not: signatures (`keys` checks them before the fold), leases (they hear of a lost node through `gone`).
Laws: CHAIN (a name belongs to the key whose admission was sealed first), LIVE (the recovery key).

    oak founds the ledger; elm says hello; oak admits elm as a node; elm rotates its key; oak revokes elm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orxaq_mesh.errors import Refused
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds.base import APPLIED, REFUSED, Case, Judged, Kind, Moment, Row, Said, State, Verdict, Words
from orxaq_mesh.record import Record, Value
from orxaq_mesh.rules import Rule

NAME = "node"
ADMIN, NODE, OBSERVER, RECOVERY, REVIEWER = "admin", "node", "observer", "recovery", "reviewer"
WAITING, ADMITTED, REVOKED, ROTATED, SUSPENDED = "waiting", "admitted", "revoked", "rotated", "suspended"
WRITERS = frozenset({ADMIN, NODE})
REVIEWERS = frozenset({ADMIN, REVIEWER})

KINDS = (
    Kind("node.found", frozenset()),
    Kind("node.hello", frozenset()),
    Kind("node.admit", frozenset({ADMIN, RECOVERY})),
    Kind("node.revoke", frozenset({ADMIN, RECOVERY})),
    Kind("node.rotate", frozenset({ADMIN, NODE, OBSERVER})),
)

RULES = (
    Rule(
        "NODE-1",
        "A ledger is founded once",
        "The first record of epoch 1 founds the ledger: it names the founder's key and an offline recovery key, and "
        "its id is the ledger's id. A second founding is refused.",
        "Whoever knows the ledger's id can check everything else from it.",
        "mesh init --hub /srv/fleet.git --node oak",
    ),
    Rule(
        "NODE-2",
        "A hello introduces a key",
        "The first record of a new log is a hello signed by the key that it names; the log's name ends in the first 8 "
        "hex digits of the key's sha256. It gives no rights: the key waits for an admin.",
        "An admin can compare the fingerprint with what the newcomer reads out.",
        "mesh join --hub /srv/fleet.git --node elm --ledger 3f9a...",
    ),
    Rule(
        "NODE-3",
        "Only an admitted node with the right role acts",
        "A record takes effect only if its log's key is admitted at its place in the order and the node has a role "
        "that the kind asks for. Observers write nothing, reviewers approve and reject.",
        "Who may push to the hub is the host's business; who may act in the fleet is the ledger's.",
        "A record that a revoked laptop signs is refused everywhere, whenever it turns up.",
    ),
    Rule(
        "NODE-4",
        "The recovery key deals with admins only",
        "The recovery key admits a node that is to be admin, or revokes one that is; anything else is refused.",
        "It lies in a drawer; what it can do if stolen must be small, and visible.",
        "mesh admit ash --fingerprint SHA256:... --role admin --recovery-key recovery_ed25519",
    ),
    Rule(
        "NODE-5",
        "A name belongs to the key that was admitted first",
        "A name that an admitted key bears is refused to another key; a key that was revoked, suspended or rotated away never "
        "returns. Admitting a node again with the same key changes its roles.",
        "Otherwise a second hello could take over somebody's name.",
        "Two laptops that both call themselves elm: the second one is refused, and both fingerprints are shown.",
    ),
    Rule(
        "NODE-6",
        "There is always an admin",
        "The last admin can neither be revoked nor lose the role.",
        "A fleet without an admin could never admit anyone again, but by the recovery key.",
        "mesh node revoke oak, where oak is the only admin: refused.",
    ),
    Rule(
        "NODE-7",
        "A node rotates its own key",
        "A rotation names the new key; from then on the name, the roles and the leases are the new key's, whose log "
        "begins with the rotation's id as `prev`. The new key must be unknown to the ledger.",
        "A key that may have leaked is replaced without asking the fleet to trust a stranger.",
        "mesh node rotate",
    ),
    Rule(
        "NODE-8",
        "What is revoked must be there",
        "A revocation names the log of a node that is admitted or waits.",
        "A typing error must not pass for a deed.",
        "mesh node revoke elm, twice: the second is refused.",
    ),
)


class Member:
    """One key that the ledger knows: its log, the name it bears, what it may do. `at`: its last word, for people."""

    __slots__ = ("at", "epoch", "key", "log", "name", "prev", "roles", "seen", "standing")

    def __init__(self, log: str, name: str, key: str, roles: tuple[str, ...], standing: str, epoch: int) -> None:
        self.log, self.name, self.key, self.roles, self.standing = log, name, key, roles, standing
        self.epoch = epoch
        self.seen = 0
        self.prev = self.at = ""

    @property
    def admitted(self) -> bool:
        return self.standing == ADMITTED

    @property
    def is_gone(self) -> bool:
        """Whether this key never returns (NODE-5): no seal will take in another word of it."""
        return self.standing in (REVOKED, ROTATED, SUSPENDED)

    def may_seal(self) -> bool:
        """Whether a seal of this key can stand (law SEAL). The recovery key's own limits are checked with it."""
        return self.admitted and OBSERVER not in self.roles

    def may_vote(self) -> bool:
        """Whether it has a vote where the spine forks (law FORK). The recovery key lies in a drawer and has none."""
        return self.may_seal() and RECOVERY not in self.roles


class Members:
    """The family's slice: every key by its log, and who bears a name now."""

    def __init__(self) -> None:
        self.by_log: dict[str, Member] = {}
        self.by_name: dict[str, str] = {}

    def named(self, name: str) -> Member | None:
        """The admitted node of this name."""
        log = self.by_name.get(name)
        return self.by_log[log] if log else None

    def admins(self) -> list[Member]:
        return [member for member in self.by_log.values() if member.admitted and ADMIN in member.roles]


def members(state: State) -> Members:
    part: Members = state.slices[NAME]
    return part


def name_of(state: State, record: Record) -> str:
    """The name of the node that wrote a record. Its log is known: `standing` was asked before."""
    return members(state).by_log[record.log].name


def log_of(name: str, key: str) -> str:
    """The log of a node and its key (law CHAIN)."""
    return f"{name}-{PublicKey.parse(key).short}"


SHORTEST_ID = 16
"""Hex digits of a ledger's id that tell it from any other."""


def founder(state: State) -> tuple[str, str]:
    """The name and the fingerprint of who founded the ledger."""
    first = next(iter(members(state).by_log.values()))
    return first.name, PublicKey.parse(first.key).fingerprint


def is_meant(state: State, wanted: str) -> bool:
    """Whether somebody who names a ledger by its id, or by its founder's fingerprint, means this one (law SIG)."""
    return wanted == founder(state)[1] or (len(wanted) >= SHORTEST_ID and state.ledger.startswith(wanted))


def _sound(key: str) -> bool:
    try:
        PublicKey.parse(key)
    except ValueError:
        return False
    return True


def may_write(state: State, name: str) -> bool:
    """Whether a node of this name is admitted, and is no observer."""
    member = members(state).named(name)
    return member is not None and not WRITERS.isdisjoint(member.roles)


def _target(state: State, record: Record) -> Member | None:
    """The key that an admit or revoke is about, as far as it is known."""
    body = record.body
    return members(state).by_log.get(body["log"] if "log" in body else log_of(body["name"], body["key"]))


def _only_admin(state: State, member: Member | None) -> bool:
    return member is not None and [admin.log for admin in members(state).admins()] == [member.log]


def _founded(state: State, record: Record, moment: Moment) -> bool:
    return bool(members(state).by_log) or record.seq != 1


def _unsound_key(state: State, record: Record, moment: Moment) -> bool:
    body = record.body
    return not all(_sound(body[field]) for field in ("key", "recovery") if field in body)


def _not_two_parties(state: State, record: Record, moment: Moment) -> bool:
    return bool(record.body["name"] == RECOVERY or record.body["key"] == record.body["recovery"])


def _foreign_log(state: State, record: Record, moment: Moment) -> bool:
    return record.log != log_of(record.body["name"], record.body["key"])


def _not_first(state: State, record: Record, moment: Moment) -> bool:
    return record.seq != 1


def _signer_is_recovery(state: State, record: Record) -> bool:
    return RECOVERY in members(state).by_log[record.log].roles


def _recovery_for_others(state: State, record: Record, moment: Moment) -> bool:
    if not _signer_is_recovery(state, record):
        return False
    if record.kind == "node.admit":
        return ADMIN not in record.body["roles"]
    target = _target(state, record)
    return target is None or ADMIN not in target.roles


def _name_taken(state: State, record: Record, moment: Moment) -> bool:
    bearer = members(state).named(record.body["name"])
    return record.body["name"] == RECOVERY or (bearer is not None and bearer.key != record.body["key"])


def _key_spent(state: State, record: Record, moment: Moment) -> bool:
    key = record.body["key"]
    target = _target(state, record)
    others = (member for member in members(state).by_log.values() if member.key == key and member is not target)
    spent = target is not None and (target.standing in (REVOKED, ROTATED, SUSPENDED) or target.key != key)
    return spent or any(member.standing != WAITING for member in others)


def _last_admin_demoted(state: State, record: Record, moment: Moment) -> bool:
    return ADMIN not in record.body["roles"] and _only_admin(state, _target(state, record))


def _unknown_target(state: State, record: Record, moment: Moment) -> bool:
    target = _target(state, record)
    return target is None or target.standing not in (ADMITTED, WAITING) or RECOVERY in target.roles


def _last_admin(state: State, record: Record, moment: Moment) -> bool:
    return _only_admin(state, _target(state, record))


def _key_known(state: State, record: Record, moment: Moment) -> bool:
    return any(member.key == record.body["key"] for member in members(state).by_log.values())


CASES: Mapping[str, Case] = {
    "the ledger is founded already": _founded,
    "the key is unsound": _unsound_key,
    "founder and recovery are one": _not_two_parties,
    "the log is not the key's": _foreign_log,
    "not the first of its log": _not_first,
    "by the recovery key, and not about an admin": _recovery_for_others,
    "another key bears the name": _name_taken,
    "the key was revoked, suspended, rotated away, or bears another name": _key_spent,
    "the last admin would lose the role": _last_admin_demoted,
    "nobody of that log is admitted or waits": _unknown_target,
    "it is the last admin": _last_admin,
    "the new key is known already": _key_known,
    "otherwise": lambda state, record, moment: True,
}


def _found(state: State, record: Record, moment: Moment) -> None:
    body = record.body
    state.ledger = record.id
    _enter(state, Member(record.log, body["name"], body["key"], (ADMIN, NODE), ADMITTED, moment.epoch))
    recovery = log_of(RECOVERY, body["recovery"])
    _enter(state, Member(recovery, RECOVERY, body["recovery"], (RECOVERY,), ADMITTED, moment.epoch))


def _enter(state: State, member: Member) -> None:
    part = members(state)
    part.by_log[member.log] = member
    if member.admitted:
        part.by_name[member.name] = member.log


def _hello(state: State, record: Record, moment: Moment) -> None:
    body = record.body
    if record.log not in members(state).by_log:
        _enter(state, Member(record.log, body["name"], body["key"], (), WAITING, moment.epoch))


def _admit(state: State, record: Record, moment: Moment) -> None:
    body = record.body
    member = _target(state, record)
    if member is None:
        member = Member(log_of(body["name"], body["key"]), body["name"], body["key"], (), ADMITTED, moment.epoch)
    if not member.admitted:
        member.standing, member.epoch = ADMITTED, moment.epoch
    member.roles = tuple(sorted(body["roles"]))
    _enter(state, member)


def _revoke(state: State, record: Record, moment: Moment) -> None:
    member = members(state).by_log[record.body["log"]]
    if member.admitted:
        members(state).by_name.pop(member.name, None)
    member.standing = REVOKED


def is_suspended(state: State, log: str) -> bool:
    """Whether a log's key lost its standing because it signed two histories."""
    member = members(state).by_log.get(log)
    return member is not None and member.standing == SUSPENDED


def suspend(state: State, log: str) -> Member | None:
    """A seal takes in the proof that this key signed one seq twice: it loses its standing (law PREFIX).

    Returns:
        Whose leases are to be given up; None if the key had no standing.
    """
    member = members(state).by_log.get(log)
    if member is None or not member.admitted:
        return None
    members(state).by_name.pop(member.name, None)
    member.standing = SUSPENDED
    return member


def _rotate(state: State, record: Record, moment: Moment) -> None:
    old = members(state).by_log[record.log]
    new = Member(log_of(old.name, record.body["key"]), old.name, record.body["key"], old.roles, ADMITTED, old.epoch)
    new.prev, new.seen = record.id, record.seen_epoch
    old.standing = ROTATED
    _enter(state, new)


ROWS = (
    Row("node.found", "the ledger is founded already", REFUSED, "NODE-1"),
    Row("node.found", "the key is unsound", REFUSED, "NODE-1"),
    Row("node.found", "founder and recovery are one", REFUSED, "NODE-1"),
    Row("node.found", "the log is not the key's", REFUSED, "NODE-1"),
    Row("node.found", "otherwise", APPLIED, "NODE-1", "founded", _found),
    Row("node.hello", "not the first of its log", REFUSED, "NODE-2"),
    Row("node.hello", "the key is unsound", REFUSED, "NODE-2"),
    Row("node.hello", "the log is not the key's", REFUSED, "NODE-2"),
    Row("node.hello", "otherwise", APPLIED, "NODE-2", "waits", _hello),
    Row("node.admit", "the key is unsound", REFUSED, "NODE-2"),
    Row("node.admit", "by the recovery key, and not about an admin", REFUSED, "NODE-4"),
    Row("node.admit", "another key bears the name", REFUSED, "NODE-5"),
    Row("node.admit", "the key was revoked, suspended, rotated away, or bears another name", REFUSED, "NODE-5"),
    Row("node.admit", "the last admin would lose the role", REFUSED, "NODE-6"),
    Row("node.admit", "otherwise", APPLIED, "NODE-3", "admitted", _admit),
    Row("node.revoke", "nobody of that log is admitted or waits", REFUSED, "NODE-8"),
    Row("node.revoke", "by the recovery key, and not about an admin", REFUSED, "NODE-4"),
    Row("node.revoke", "it is the last admin", REFUSED, "NODE-6"),
    Row("node.revoke", "otherwise", APPLIED, "LIVE", "revoked", _revoke),
    Row("node.rotate", "the key is unsound", REFUSED, "NODE-7"),
    Row("node.rotate", "the new key is known already", REFUSED, "NODE-7"),
    Row("node.rotate", "otherwise", APPLIED, "NODE-7", "rotated", _rotate),
)


def standing(state: State, record: Record, kind: Kind) -> Verdict | None:
    """The verdict on a record whose signer may not write it here, or None (NODE-3, SEEN)."""
    if not kind.roles:
        return None
    member = members(state).by_log.get(record.log)
    if member is None or not member.admitted or kind.roles.isdisjoint(member.roles):
        return Verdict(REFUSED, "NODE-3")
    return Verdict(REFUSED, "SEEN") if record.seen_epoch < member.seen else None


def lost(record: Record, verdict: Verdict) -> str | None:
    """The log that may no longer hold anything after this record: it was revoked, or made an observer (law LIVE)."""
    body = record.body
    if verdict.result == "admitted" and WRITERS.isdisjoint(body["roles"]):
        return log_of(body["name"], body["key"])
    return str(body["log"]) if verdict.result == "revoked" else None


def new() -> Members:
    return Members()


def dump(part: Members) -> Any:
    fields = ("log", "name", "key", "roles", "standing", "epoch", "seen", "prev", "at")
    return [[getattr(member, field) for field in fields] for member in part.by_log.values()]


def load(data: Any) -> Members:
    part = Members()
    for log, name, key, roles, standing_, epoch, seen, prev, at in data:
        member = Member(log, name, key, tuple(roles), standing_, epoch)
        member.seen, member.prev, member.at = seen, prev, at
        part.by_log[log] = member
        if member.admitted:
            part.by_name[name] = log
    return part


def copy(part: Members) -> Members:
    return load(dump(part))


def open_epoch(state: State, moment: Moment) -> None:
    """Nothing of nodes changes by an epoch's beginning."""


def gone(state: State, node: str, moment: Moment) -> None:
    """A node's standing is this family's own matter, and is settled when this is called."""


def propose(state: State, node: str, kind: str, wish: Value) -> Value:
    """A node to revoke may be given by its name."""
    if kind != "node.revoke" or "log" in wish:
        return wish
    wish = dict(wish)
    name = wish.pop("name")
    member = members(state).named(name) or next((m for m in members(state).by_log.values() if m.name == name), None)
    if member is None:
        raise Refused("NODE-8", f"no node {name} is admitted or waits", hint="mesh node list")
    return {**wish, "log": member.log}


def words(state: State, record: Record, verdict: Verdict) -> Words:
    """Why a record about nodes, or of a node without standing, was refused."""
    rule = next((rule for rule in RULES if rule.id == verdict.rule), None)
    says = rule.says.split(". ")[0].rstrip(".") if rule else verdict.rule
    facts: dict[str, Any] = {}
    if verdict.rule == "NODE-5" and (bearer := members(state).named(record.body["name"])):
        facts = {"bearer": bearer.log, "fingerprint": PublicKey.parse(bearer.key).fingerprint}
        says = f"{bearer.name} is the name of {facts['fingerprint']} ({bearer.log})"
    return Words(says, f"mesh explain {verdict.rule}", facts)


# What a reader of a change is told.


def _fingerprint(key: str) -> str:
    return PublicKey.parse(key).fingerprint if _sound(key) else key


def _says_found(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {"name": body["name"], "key": _fingerprint(body["key"]), "recovery": _fingerprint(body["recovery"])}
    return Said("founds the ledger as node {name}, key {key}, with the recovery key {recovery}", facts)


def _says_hello(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {"name": body["name"], "key": _fingerprint(body["key"])}
    return Said("asks to join as node {name}, key {key}", facts, ("waits for an admin", "would wait for an admin"))


def _says_admit(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {"name": body["name"], "key": _fingerprint(body["key"]), "roles": " and ".join(sorted(body["roles"]))}
    known = members(before).named(body["name"])
    if known is None or known.key != body["key"]:
        return Said("admits node {name}, key {key}, as {roles}", facts)
    return Said(
        "gives node {name}, key {key}, the role of {roles}, so far {were}", facts | {"were": " and ".join(known.roles)}
    )


def _says_revoke(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {"log": body["log"], "reason": body["reason"]}
    member = members(before).by_log.get(body["log"]) or members(after).by_log.get(body["log"])
    if member is None:
        return Said("revokes the key of log {log}: `{reason}`", facts)
    facts |= {"name": member.name, "key": _fingerprint(member.key)}
    held = sorted(one.name for one in before.slices["lease"].by_name.values() if one.holder == member.name)
    if not held or not member.admitted:
        return Said("revokes node {name}, key {key}: `{reason}`", facts)
    return Said("revokes node {name}, key {key}, who holds `{held}`: `{reason}`", {**facts, "held": ", ".join(held)})


def _says_rotate(before: State, after: State, judged: Judged) -> Said:
    facts = {"key": _fingerprint(judged.record.body["key"])}
    member = members(before).by_log.get(judged.record.log)
    if member is None:
        return Said("changes its key to {key}", facts)
    return Said("changes its key from {old} to {key}", {**facts, "old": _fingerprint(member.key)})


_SAYS: Mapping[str, Callable[[State, State, Judged], Said]] = {
    "node.found": _says_found,
    "node.hello": _says_hello,
    "node.admit": _says_admit,
    "node.revoke": _says_revoke,
    "node.rotate": _says_rotate,
}


def says(before: State, after: State, judged: Judged) -> Said:
    return _SAYS[judged.record.kind](before, after, judged)
