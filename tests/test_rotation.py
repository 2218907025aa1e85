"""A node gets another key (NODE-7, CHAIN): name, roles and leases stay, whatever is killed, and mesh-sync notices."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh.effects import Answer
from orxaq_mesh.errors import MeshFault, Unreachable
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.keyfiles import create, load
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import ADMITTED, ROTATED, log_of, members
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.sync import rotation
from orxaq_mesh.sync.identity import memory_of
from orxaq_mesh.sync.performer import Performer
from tests.hubs import Hub, file_hub, wait_until
from tests.nodes import founded, joined

TTL_MS = 600_000


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with file_hub(tmp_path) as made:
        yield made


@pytest.fixture
def oak(hub: Hub, tmp_path: Path) -> Mesh:
    return founded(tmp_path, hub)


def standing(mesh: Mesh, log: str) -> str:
    return members(mesh.observe().engine.ledger.state).by_log[log].standing


def rotations(mesh: Mesh) -> list[str]:
    return [item.verdict.outcome for item in mesh.history(fresh=True).judged if item.record.kind == "node.rotate"]


def expect_rotated(mesh: Mesh, old: str) -> None:
    """One rotation, applied; the journal names the new key, and what it signs is taken."""
    me = mesh.identity()
    assert rotations(mesh) == ["applied"]
    assert (me.key, me.log) == ("key-2", log_of(me.node, load(mesh.home.path / "key-2").public.text))
    assert (standing(mesh, old), standing(mesh, me.log)) == (ROTATED, ADMITTED)
    assert mesh.publish("builds", "done", {}).verdict == "applied"
    last = mesh.history(fresh=True).judged[-1].record
    assert (last.log, last.seq) == (me.log, 1)
    assert mesh.verify(every_signature=True).ok


def test_NODE_7_name_roles_and_leases_stay_with_the_new_key(oak: Mesh, hub: Hub, tmp_path: Path) -> None:
    old = oak.identity()
    token = oak.acquire("deploy", TTL_MS).facts["token"]
    oak.publish("builds", "done", {}, once="b1")
    answer = oak.rotate()
    assert (answer.verdict, answer.rule, answer.result) == ("applied", "NODE-7", "rotated")
    expect_rotated(oak, old.log)
    renewed = oak.renew("deploy")
    assert (renewed.verdict, renewed.facts["token"]) == ("applied", token)
    assert oak.publish("builds", "done", {}, once="b1").rule == "ONCE"
    assert oak.public_key() != create(tmp_path / "other", "x").public.text
    elm = joined(tmp_path, hub, oak, "elm")
    assert elm.acquire("deploy", TTL_MS).rule == "LEASE-2"
    assert oak.release("deploy").verdict == "applied"


def test_CHAIN_a_key_can_be_rotated_again_and_again(oak: Mesh) -> None:
    logs = [oak.identity().log]
    for number in (2, 3, 4):
        answer = oak.rotate()
        logs.append(oak.identity().log)
        assert oak.identity().key == f"key-{number}"
        assert Journal.open(oak.home.journal).entries[-1]["prev"] == answer.record
    assert oak.publish("builds", "done", {}).verdict == "applied"
    assert len(set(logs)) == 4
    assert [standing(oak, log) for log in logs] == [ROTATED, ROTATED, ROTATED, ADMITTED]
    assert oak.verify(every_signature=True).ok


class Killed(BaseException):
    """As good as SIGKILL: nobody catches it."""


@pytest.mark.parametrize("point", ["key made", "record signed", "record pushed", "applied"])
def test_CHAIN_killed_at_any_point_the_next_run_finishes_it(
    oak: Mesh, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    old = oak.identity().log

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    real = Performer._publish

    def push_and_die(self: Performer, publish: Any) -> Any:
        real(self, publish)
        raise Killed

    with monkeypatch.context() as patch:
        match point:
            case "key made":
                patch.setattr(rotation, "_so_far", die)
            case "record signed":
                patch.setattr(Performer, "_publish", die)
            case "record pushed":
                patch.setattr(Performer, "_publish", push_and_die)
            case "applied":
                patch.setattr(rotation, "_write_down", die)
        with pytest.raises(Killed):
            oak.rotate()
    made = load(oak.home.path / "key-2").public.text
    assert oak.identity().log == old
    assert oak.rotate().verdict == "applied"
    assert load(oak.home.path / "key-2").public.text == made
    expect_rotated(oak, old)


def test_CLOSED_without_a_hub_nothing_is_signed(oak: Mesh, hub: Hub, tmp_path: Path) -> None:
    before = oak.home.journal.read_bytes()
    hub.path.rename(tmp_path / "away")
    with pytest.raises(Unreachable):
        oak.rotate()
    assert oak.home.journal.read_bytes() == before
    (tmp_path / "away").rename(hub.path)
    old = oak.identity().log
    assert oak.rotate().verdict == "applied"
    expect_rotated(oak, old)


def test_NODE_7_an_observer_waits_for_somebodys_seal(oak: Mesh, hub: Hub, tmp_path: Path, monkeypatch: Any) -> None:
    eye = joined(tmp_path, hub, oak, "eye", "observer")
    old = eye.identity().log
    monkeypatch.setattr(rotation, "PATIENCE_MS", 1_000)
    with pytest.raises(Unreachable):
        eye.rotate()
    with pytest.raises(Unreachable, match="waits for a seal"):
        eye.rotate()
    assert oak.publish("builds", "done", {}).verdict == "applied"
    assert eye.rotate().verdict == "applied"
    assert eye.identity().log != old
    assert rotations(oak) == ["applied"]


def test_CHAIN_a_restored_backup_comes_back_with_another_key(oak: Mesh, tmp_path: Path) -> None:
    """The journal is behind the hub: nothing may be written but the rotation, at the place that the hub shows."""
    backup = tmp_path / "backup"
    shutil.copytree(oak.home.path, backup)
    for number in range(3):
        oak.publish("builds", "done", {"n": number})
    shutil.copy(backup / "journal.ndjson", oak.home.journal)
    with pytest.raises(MeshFault, match="restored from a backup"):
        oak.publish("builds", "done", {})
    old = oak.identity().log
    assert oak.rotate().verdict == "applied"
    expect_rotated(oak, old)


def restored(oak: Mesh, backup: Path) -> None:
    """The journal as it was before oak published once more."""
    shutil.copy(oak.home.journal, backup)
    oak.publish("builds", "done", {})
    shutil.copy(backup, oak.home.journal)


def test_CHAIN_a_journal_that_is_known_to_be_behind_signs_nothing_offline_either(
    oak: Mesh, hub: Hub, tmp_path: Path
) -> None:
    restored(oak, tmp_path / "backup")
    before = oak.home.journal.read_bytes()
    hub.path.rename(tmp_path / "away")
    with pytest.raises(MeshFault, match="restored from a backup"):
        oak.publish("builds", "done", {})
    assert oak.home.journal.read_bytes() == before
    (alarm,) = oak.status(offline=True)["alarms"]
    assert (alarm["law"], "mesh node rotate" in alarm["reason"]) == ("CHAIN", True)


def test_CHAIN_what_a_restored_journal_signed_beside_the_hubs_log_is_void_and_proves_nothing(
    oak: Mesh, hub: Hub, tmp_path: Path
) -> None:
    """Nobody has seen it: it is named, and never published."""
    shutil.copytree(oak.home.cache, tmp_path / "cache")
    restored(oak, tmp_path / "backup")
    shutil.rmtree(oak.home.cache)
    shutil.copytree(tmp_path / "cache", oak.home.cache)
    hub.path.rename(tmp_path / "away")
    for number in range(3):
        with pytest.raises(Unreachable):
            oak.publish("builds", "offline", {"n": number})
    (tmp_path / "away").rename(hub.path)
    old = oak.identity().log
    answer = oak.rotate()
    assert [lost["body"]["payload"]["n"] for lost in answer.facts["void"]] == [0, 1, 2]
    expect_rotated(oak, old)
    assert not oak.history().ledger.proven
    published = "".join(
        hub.git("show", f"mesh:{file}") for file in hub.git("ls-tree", "-r", "--name-only", "mesh").split()
    )
    assert "offline" not in published


def test_NODE_3_a_revoked_node_cannot_rotate(oak: Mesh, hub: Hub, tmp_path: Path) -> None:
    elm = joined(tmp_path, hub, oak, "elm")
    oak.revoke("elm", "lost")
    before = elm.identity()
    assert elm.rotate().rule == "NODE-3"
    assert elm.identity() == before


# A running mesh-sync.

DAEMON = """
import sys
from pathlib import Path
from orxaq_mesh.home.config import resolve
from orxaq_mesh.home.place import Home
from orxaq_mesh.sync.daemon import Daemon
home = Home(Path(sys.argv[1]))
Daemon(home, resolve(home, {"hub": sys.argv[2]}), lambda event, facts: print(event, dict(facts), flush=True)).run()
"""


@contextlib.contextmanager
def mesh_sync(mesh: Mesh, hub: Hub) -> Iterator[list[str]]:
    """A real mesh-sync process, while the block lasts; gives the lines that it logs."""
    said: list[str] = []
    argv = [sys.executable, "-c", DAEMON, str(mesh.home.path), hub.url]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=lambda: said.extend(process.stdout or ()))
        reader.start()
        try:
            wait_until(lambda: any(line.startswith("started") for line in said), 10)
            yield said
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)
            reader.join(10)
    assert process.returncode == 0, said


def test_NODE_7_a_running_mesh_sync_goes_on_with_the_new_key(oak: Mesh, hub: Hub) -> None:
    old = oak.identity().log
    with mesh_sync(oak, hub) as said:
        token = oak.acquire("deploy", TTL_MS).facts["token"]
        assert oak.rotate().verdict == "applied"
        assert oak.publish("builds", "done", {}).verdict == "applied"
        assert any(line.startswith("rotated") for line in said)
        renewed = oak.renew("deploy")
        assert (renewed.verdict, renewed.facts["token"]) == ("applied", token)
    assert not any(line.startswith(("alarm", "fault")) for line in said), said
    me = oak.identity().log
    assert me != old
    own = [item.record.log for item in oak.history(fresh=True).judged if item.record.kind != "node.rotate"]
    assert own[-2:] == [me, me]
    assert rotations(oak) == ["applied"]


def test_NODE_7_who_waits_in_line_is_not_forgotten_by_a_rotation(oak: Mesh, hub: Hub, tmp_path: Path) -> None:
    elm = joined(tmp_path, hub, oak, "elm")
    oak.acquire("deploy", TTL_MS)
    got: list[Answer] = []
    with mesh_sync(elm, hub):
        waiter = threading.Thread(target=lambda: got.append(elm.acquire("deploy", TTL_MS, wait=True)))
        waiter.start()
        wait_until(lambda: leases(oak.observe().engine.ledger.state).by_name["deploy"].queue, 10)
        elm.rotate()
        oak.release("deploy")
        waiter.join(20)
        assert [(answer.verdict, answer.result) for answer in got] == [("applied", "granted")]


def test_journal_memory_begins_anew_at_the_newest_identity(oak: Mesh) -> None:
    for number in range(3):
        oak.publish("builds", "done", {"n": number})
    answer = oak.rotate()
    memory = memory_of(Journal.open(oak.home.journal))
    assert (list(memory.records), memory.last) == ([], (0, answer.record))
