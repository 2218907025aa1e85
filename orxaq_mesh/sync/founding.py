"""How a ledger begins, and how a newcomer finds it.

Knows: the founding record and the first seal; what a stranger checks before it says hello.
Knows not: commands, printing.
Laws: SIG (the genesis record's namespace), LIVE (the recovery key), CHAIN (a name belongs to one key).

    found(home, settings, hub="/srv/fleet.git", node="oak")
    introduce(home, settings, hub="/srv/fleet.git", node="elm", ledger="SHA256:...")
"""

from __future__ import annotations

from pathlib import Path

from orxaq_mesh.effects import COMMITTED, Publish, Save
from orxaq_mesh.errors import InvalidLedger, MeshFault, Refused, Unreachable, Usage
from orxaq_mesh.home.clock import Clock, stamp
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.keyfiles import bring, keep
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import environment
from orxaq_mesh.keys import PublicKey, SecretKey, namespace
from orxaq_mesh.kinds.node import log_of, members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import MAX_NAME, NODE_NAME, NOTHING, Record, Seal, Value, canonical, unsigned
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.sync.identity import Identity, entries_of, memory_of
from orxaq_mesh.sync.performer import Performer

KEY_FILE = "key"


def check_name(node: str) -> str:
    """The name, if a node may bear it.

    Raises:
        Usage: it may not.
    """
    if len(node) > MAX_NAME or not NODE_NAME.fullmatch(node) or node == "recovery":
        raise Usage(f"{node[:60]!a} is no node's name: lower-case letters and digits, joined by . _ -, at most 40")
    return node


def own_key(home: Home, node: str, identity: Path | None) -> SecretKey:
    """The node's key: the one that is there, the one that its owner brings, or a new one."""
    return bring(identity, home.key, node) if identity else keep(home.key, node)


def open_store(home: Home, settings: Settings, hub: str) -> GitStore:
    """The store of a node that has no journal yet."""
    timeout_ms = settings.timeout_ms
    return GitStore(
        home.store,
        hub,
        environ=environment(),
        trunk=settings.trunk,
        timeout_ms=timeout_ms,
        ssh_control_dir=str(home.path / "ssh"),
    )


def found(
    home: Home, settings: Settings, hub: str, node: str, identity: Path | None = None, recovery: str | None = None
) -> Identity:
    """Found a ledger at a hub: key, recovery key, genesis, epoch 1. Run again after a failure, it goes on.

    Args:
        recovery: the public half of an offline recovery key; None makes one, which its owner must take away.

    Raises:
        Refused: the hub holds a ledger already.
        Unreachable: the hub did not answer; nothing is lost by trying again.
    """
    check_name(node)
    home.make()
    store = open_store(home, settings, hub)
    try:
        with NodeLock(home, "node"):
            tips = store.poll()
            if settings.trunk in tips and not home.journal.exists():
                hint = f"mesh join --hub {hub} --node {node} --ledger ..."
                raise Refused("NODE-1", f"the hub {hub} holds a ledger already", hint=hint)
            if not home.journal.exists():
                _write_genesis(home, settings, hub, node, own_key(home, node, identity), recovery)
    finally:
        store.close()
    return _push_genesis(home, settings, node)


def _write_genesis(
    home: Home, settings: Settings, hub: str, node: str, key: SecretKey, recovery: str | None
) -> Identity:
    spare = PublicKey.parse(recovery) if recovery else keep(home.recovery, "recovery").public
    at = stamp(Clock().wall())
    body = {"key": key.public.text, "name": node, "recovery": spare.text}
    log = log_of(node, key.public.text)
    value: Value = {
        "at": at,
        "body": body,
        "kind": "node.found",
        "node": log,
        "prev": NOTHING,
        "seen": {"epoch": 0, "seal": NOTHING},
        "seq": 1,
        "v": 1,
    }
    genesis = read_record(canonical({**value, "sig": key.sign(namespace(None), unsigned(value))}))
    seal = _first_seal(genesis, key, at)
    identity = Identity(node, log, hub, genesis.id, settings.trunk, KEY_FILE)
    saves = entries_of(Save(records=[genesis], seal=seal))
    Journal.create(home.journal, [identity.entry(), *saves])
    return identity


def _first_seal(genesis: Record, key: SecretKey, at: str) -> Seal:
    ledger = Ledger(genesis.id)
    value = ledger.draft_seal(genesis.log, {genesis.log: [genesis]}, at)
    return read_seal(canonical({**value, "sig": key.sign(namespace(genesis.id), unsigned(value))}))


def _push_genesis(home: Home, settings: Settings, node: str) -> Identity:
    """Push epoch 1 as the journal has it, until the hub shows it (law PUSH)."""
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        if performer.identity.node != node:
            raise MeshFault(f"{home.path} is the home of {performer.identity.node}", hint="give another --home")
        memory = memory_of(performer.journal)
        performer.observe()
        if performer.engine.ledger.state.epoch == 0 and performer.engine.broken is None:
            if performer.unreached is not None:
                raise performer.unreached
            performer.journal.settle()  # a founding that was killed may have left it unsynced
            pushed = performer.push(Publish(None, memory.records[:1], memory.seals[0]))
            performer.observe()
            if performer.engine.ledger.state.epoch == 0:
                lost = pushed.outcome == COMMITTED or not pushed.vetoed
                hint = "mesh init once more" if lost else "mesh doctor"
                raise Unreachable(f"the hub did not take epoch 1: {pushed.reason or pushed.outcome}", hint=hint)
        if performer.engine.broken is not None:
            raise performer.engine.broken
        return performer.identity


def introduce(
    home: Home, settings: Settings, hub: str, node: str, ledger: str, identity: Path | None = None
) -> Identity:
    """Check the ledger at a hub against what the inviter said, and make this home a node that may say hello.

    Args:
        ledger: the ledger's id (at least 16 hex digits of it), or the founder's key fingerprint.

    Raises:
        Refused: it is another ledger, or the name belongs to another key.
        InvalidLedger: what the hub shows breaks a law.
    """
    check_name(node)
    home.make()
    with NodeLock(home, "node"):
        if home.journal.exists():
            with Performer.open(home, settings) as performer:
                return performer.identity
        store = open_store(home, settings, hub)
        try:
            found_ledger = read_all(store, store.poll(), settings.trunk)
        finally:
            store.close()
        _check_is(found_ledger, ledger)
        key = own_key(home, node, identity)
        bearer = members(found_ledger.state).named(node)
        if bearer is not None and bearer.key != key.public.text:
            theirs = PublicKey.parse(bearer.key).fingerprint
            what = f"{node} is the name of {theirs} ({bearer.log}); this laptop's key is {key.public.fingerprint}"
            raise Refused("NODE-5", what, hint="mesh join --node with another name", bearer=bearer.log)
        log = log_of(node, key.public.text)
        new = Identity(node, log, hub, found_ledger.state.ledger, settings.trunk, KEY_FILE)
        Journal.create(home.journal, [new.entry()])
        return new


def _check_is(ledger: Ledger, wanted: str) -> None:
    founder = next(iter(members(ledger.state).by_log.values()))
    fingerprint = PublicKey.parse(founder.key).fingerprint
    by_id = len(wanted) >= 16 and ledger.state.ledger.startswith(wanted)
    if not by_id and wanted != fingerprint:
        what = f"the hub holds ledger {ledger.state.ledger}, founded by {founder.name} with key {fingerprint}"
        raise Refused("SIG", f"{what}; that is not {wanted}", hint="ask the admin for `mesh invite` once more")


def read_all(store: GitStore, tips: dict[str, str], trunk: str) -> Ledger:
    """The whole ledger at the hub, verified from genesis.

    Raises:
        MeshFault: there is no ledger. InvalidLedger: it breaks a law.
    """
    if trunk not in tips:
        raise MeshFault(f"the hub has no branch {trunk}: no ledger was founded there", hint="mesh init")
    store.fetch({trunk: tips[trunk]})
    items = list(store.changes(None, tips[trunk]))
    findings = [Finding(item.law, item.file, 0, item.reason) for item in items if isinstance(item, Flaw)]
    ledger = Ledger()
    findings += ledger.read([item for item in items if isinstance(item, Change)]).findings
    if findings:
        raise InvalidLedger(f"the ledger at the hub breaks law {findings[0].law}: {findings[0]}", findings=findings)
    return ledger
