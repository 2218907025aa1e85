"""The recovery key at work: it admits an admin, or revokes one, when no admin can (law LIVE, rule NODE-4).

Knows: how to write a log whose journal nobody has. The key lies in a drawer, so what it wrote before is what the hub
shows of its log; it seals its own records, and nothing else (`Ledger.sealable`).
Knows not: any rule. Everything but the key is thrown away afterwards.

    bring(home, settings, Path("recovery"), Intent("1", "node.revoke", {"name": "oak", "reason": "lost"}))
"""

from __future__ import annotations

import random
from pathlib import Path
from tempfile import TemporaryDirectory

from orxaq_mesh.effects import Answer, Intent
from orxaq_mesh.engine import Engine
from orxaq_mesh.errors import Refused
from orxaq_mesh.home.clock import Clock
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.keyfiles import load
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import environment
from orxaq_mesh.keys import SecretKey
from orxaq_mesh.kinds.node import RECOVERY, log_of, members
from orxaq_mesh.record import NOTHING
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.sync import PATIENCE_MS, settle
from orxaq_mesh.sync.identity import Identity, identity_of
from orxaq_mesh.sync.performer import Performer


def bring(home: Home, settings: Settings, key_file: Path, intent: Intent, *, dry_run: bool = False) -> Answer:
    """Bring an intent of the recovery key to its verdict, from any home that knows the ledger.

    Args:
        home: who knows ledger and hub; its own key and journal are not touched.
        settings: its settings.
        key_file: the recovery key.
        intent: what is to be done.
        dry_run: only say what would come of it.

    Raises:
        Refused: it is not the key that this ledger's genesis names.
        MeshError: the hub cannot be reached, or the ledger breaks a law.
    """
    secret, knows = load(key_file), identity_of(Journal.open(home.journal))
    log = log_of(RECOVERY, secret.public.text)
    me = Identity(RECOVERY, log, settings.hub or knows.hub, knows.ledger, knows.trunk, "key")
    with TemporaryDirectory(prefix="orxaq-mesh-") as folder:
        desk = Home(Path(folder).resolve() / "desk").make()
        with _performer(desk, settings, me, secret) as performer:
            read_for_writing(performer)
            _check_key(performer, log, secret)
            if dry_run:
                return performer.engine.rehearse(intent, performer.now())
            now_ms = Clock().now_ms()
            (answer,) = settle(performer, intent._replace(asked_ms=now_ms, deadline_ms=now_ms + PATIENCE_MS))
            return answer


def _performer(desk: Home, settings: Settings, me: Identity, secret: SecretKey) -> Performer:
    ssh, timeout_ms = str(desk.path / "ssh"), settings.timeout_ms
    store = GitStore(
        desk.store, me.hub, trunk=me.trunk, timeout_ms=timeout_ms, environ=environment(), ssh_control_dir=ssh
    )
    performer = Performer(desk, settings, Journal.create(desk.journal, [me.entry()]), store, secret)
    performer.dice = random.random
    return performer


def _check_key(performer: Performer, log: str, secret: SecretKey) -> None:
    known = members(performer.engine.ledger.state).by_log
    if log not in known or RECOVERY not in known[log].roles:
        named = next(member.log for member in known.values() if RECOVERY in member.roles)
        what = f"{secret.public.fingerprint} is not the recovery key of this ledger, which is {named}"
        raise Refused("NODE-4", what, hint="give the key that was taken away after mesh init")


def read_for_writing(performer: Performer) -> None:
    """Read the hub, and go on in the own log where the hub says that it ends, whatever the journal knows (CHAIN).

    Raises:
        MeshError: the hub cannot be reached, or the ledger breaks a law.
    """
    for _ in range(2):  # outboxes are only heeded once the log in the trunk is known
        performer.observe()
        if performer.unreached is not None:
            raise performer.unreached
        engine = performer.engine
        if engine.broken is not None and not engine.parted:
            raise engine.broken
        if engine.parted:
            _take_up(engine)


def _take_up(engine: Engine) -> None:
    log = engine.pen.me.log
    run = engine.ledger.authentic(log)
    engine.pen.last = (run[-1].seq, run[-1].id) if run else engine.ledger.state.heads.get(log, (0, NOTHING))
    signed = {record.id for record in engine.pen.pending}
    engine.pen.settle(engine.ledger)
    # CHAIN: what was signed beside the hub's log must not go out, nor stand in its way: it would be a proof.
    for id_ in engine.ledger.offered.keys() & signed - {record.id for record in engine.pen.pending}:
        del engine.ledger.offered[id_], engine.ledger.waiting[id_]
    engine.seen = max(engine.seen, (engine.ledger.state.epoch, engine.ledger.state.seal))
    engine.broken, engine.parted = None, ""
