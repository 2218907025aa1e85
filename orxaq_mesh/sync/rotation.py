"""A node gets another key; name, roles and leases stay (rule NODE-7, law CHAIN).

Knows: the order in which that is safe to be killed at any point: the new key is on the disk before the record that
names it is signed, and the journal names the new key only when the ledger does. Run again, it goes on where it was.
A key that signed two histories cannot name its successor: then the node gets a new key all the same, says hello under
it, and an admin lets it in (law PREFIX).
Knows not: the rule itself (`kinds.node`); how mesh-sync learns of it (`performer` reads the journal).

    rotate(home, settings).result        # "rotated": the journal names the key file key-2 now, and the new log
"""

from __future__ import annotations

import re

from orxaq_mesh.effects import Answer, Intent
from orxaq_mesh.errors import Unreachable
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.keyfiles import keep, load
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds.base import APPLIED
from orxaq_mesh.kinds.node import WAITING, is_suspended, log_of, members
from orxaq_mesh.record import NOTHING, Value, log_place
from orxaq_mesh.sync import PATIENCE_MS, settle
from orxaq_mesh.sync.identity import Identity, identity_of, memory_of
from orxaq_mesh.sync.performer import Performer
from orxaq_mesh.sync.recovery import read_for_writing

WAITS = "waits"


def rotate(home: Home, settings: Settings) -> Answer:
    """Replace this node's key. The old key file stays where it is; nothing is signed with it any more.

    Where the old key is suspended, or known to have signed two histories, the answer's result is `waits`: for an admin.
    Its facts name under `suspended` that key's log, under `void` what the old key signed and the hub will never see.

    Raises:
        MeshError: hub, disk, configuration or ledger is at fault. Run again, it goes on.
    """
    with NodeLock(home, "node"):
        performer = Performer.open(home, settings)
    with performer:
        with NodeLock(home, "node"):
            old = performer.identity
            read_for_writing(performer)
            is_new, is_void = _is_new(performer), _is_void(performer)
            name, key = (old.key, load(home.path / old.key).public) if is_new else _staged(home, old)
            answer = None if is_new or is_void else _so_far(performer, key)
        if answer is None and not (is_new or is_void):
            now_ms = performer.clock.now_ms()
            wish = {"key": key.text}
            intent = Intent("rotate", "node.rotate", wish, asked_ms=now_ms, deadline_ms=now_ms + PATIENCE_MS)
            (answer,) = settle(performer, intent)
        void = [] if is_new else _void(performer)
    if is_void:
        _write_down(home, old, name, key, NOTHING)
    if answer is None:
        answer = _introduced(home, settings, old.node, key)
    if answer.error is not None:
        raise answer.error
    if answer.verdict == APPLIED and answer.record is not None and answer.result != WAITS:
        _write_down(home, old, name, key, answer.record)
    told = {"suspended": old.log if is_void else None, "void": void} if answer.verdict == APPLIED else {}
    return answer._replace(facts={**answer.facts, **told})


def _is_new(performer: Performer) -> bool:
    """Whether nobody has let this key in so far: an earlier try got as far as the journal, or its hello waits."""
    member = members(performer.engine.ledger.state).by_log.get(performer.identity.log)
    return member is None or member.standing == WAITING


def _is_void(performer: Performer) -> bool:
    """Whether what this key signs next has no effect: it signed two histories (laws CHAIN, PREFIX)."""
    ledger, log = performer.engine.ledger, performer.identity.log
    return is_suspended(ledger.next_state, log)


def _void(performer: Performer) -> list[Value]:
    """What this node signed under its old key and is not in the trunk: nobody will seal it any more."""
    store, trunk = performer.store, performer.engine.trunk
    files: dict[str, set[bytes]] = {}
    lost = []
    for record in memory_of(performer.journal).records:
        path = log_place(record.log, record.seq).file
        if path not in files:
            files[path] = set(((store.read(trunk, path) if trunk else None) or b"").split(b"\n"))
        if record.line not in files[path]:
            lost.append({"record": record.id, "kind": record.kind, "seq": record.seq, "body": record.body})
    return lost


def _introduced(home: Home, settings: Settings, node: str, key: PublicKey) -> Answer:
    """Say hello under a new key, as a newcomer does."""
    with NodeLock(home, "node"):
        performer = Performer.open(home, settings)
    with performer:
        if performer.engine.pen.last[0]:  # an earlier try said it
            return Answer(APPLIED, "NODE-2", WAITS)
        now_ms = performer.clock.now_ms()
        wish = {"name": node, "key": key.text}
        hello = Intent("hello", "node.hello", wish, asked_ms=now_ms, deadline_ms=now_ms + PATIENCE_MS)
        (answer,) = settle(performer, hello)
        return answer


def _staged(home: Home, old: Identity) -> tuple[str, PublicKey]:
    """(file, public key) of the key that is to follow: the one that an earlier try made, or a new one."""
    number = int(found[1]) if (found := re.fullmatch(r"key-([0-9]{1,9})", old.key)) else 1
    name = f"key-{number + 1}"
    return name, keep(home.path / name, old.node).public


def _so_far(performer: Performer, key: PublicKey) -> Answer | None:
    """What an earlier try came to, if it got as far as the ledger or the journal.

    Raises:
        MeshError: the hub cannot be reached, or the ledger breaks a law; or what was signed waits for a seal.
    """
    signed = [record for record in performer.engine.pen.pending if record.body.get("key") == key.text]
    if signed:
        performer.pass_once()
    state = performer.engine.ledger.state
    successor = members(state).by_log.get(log_of(performer.identity.node, key.text))
    if successor is not None and successor.prev:
        facts = {"epoch": state.epoch, "again": True}
        return Answer(APPLIED, "NODE-7", "rotated", successor.prev, facts=facts)
    if signed:
        what = f"the rotation is signed ({signed[0].id[:12]}) and waits for a seal"
        raise Unreachable(what, hint="mesh node rotate, once more", record=signed[0].id)
    return None


def _write_down(home: Home, old: Identity, name: str, key: PublicKey, rotation: str) -> None:
    """The journal names the new key: from here on its log is written."""
    with NodeLock(home, "node"):
        journal = Journal.open(home.journal)
        if identity_of(journal) == old:
            new = old._replace(log=log_of(old.node, key.text), key=name)
            journal.append({**new.entry(), "prev": rotation})
