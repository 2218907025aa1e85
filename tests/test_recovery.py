"""The offline recovery key (law LIVE, rule NODE-4): a fleet whose only admin is lost gets another, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orxaq_mesh.errors import MeshFault, Refused, Unreachable
from orxaq_mesh.home.keyfiles import create
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.sync.performer import Performer
from tests.hubs import Hub, file_hub
from tests.nodes import fingerprint, founded, introduced, joined

TTL_MS = 600_000
ADMIN = ("admin", "node")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with file_hub(tmp_path) as made:
        yield made


@pytest.fixture
def oak(hub: Hub, tmp_path: Path) -> Mesh:
    return founded(tmp_path, hub)


@pytest.fixture
def drawer(oak: Mesh, tmp_path: Path) -> Path:
    """The recovery key, taken offline as its owner should."""
    drawer = tmp_path / "drawer"
    drawer.mkdir(mode=0o700)
    return Path(shutil.move(oak.home.recovery, drawer / "recovery"))


def test_LIVE_a_fleet_whose_only_admin_is_lost_gets_another(oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path) -> None:
    ash = joined(tmp_path, hub, oak, "ash")
    assert oak.acquire("deploy", TTL_MS).verdict == "applied"
    shutil.rmtree(oak.home.path)
    assert ash.revoke("oak", "lost").rule == "NODE-3"
    assert ash.revoke("oak", "lost", recovery=drawer).rule == "NODE-6"
    assert ash.admit("ash", fingerprint(ash), ADMIN, recovery=drawer).result == "admitted"
    gone = ash.revoke("oak", "lost")
    assert (gone.verdict, gone.rule) == ("applied", "LIVE")
    state = ash.observe().engine.ledger.state
    assert state.epoch == gone.facts["epoch"]
    assert not leases(state).by_name["deploy"].holder
    assert [admin.name for admin in members(state).admins()] == ["ash"]
    assert ash.acquire("deploy", TTL_MS).facts["token"] == state.epoch + 1
    assert ash.verify(every_signature=True).ok


def test_LIVE_the_recovery_key_seals_its_own_records_alone(oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path) -> None:
    """A newcomer's hello waits in its outbox, nobody is left to seal it, and the recovery key may not."""
    ash = introduced(tmp_path, hub, oak.identity().ledger, "ash")
    shutil.rmtree(oak.home.path)
    assert ash.admit("ash", fingerprint(ash), ADMIN, recovery=drawer).result == "admitted"
    past = ash.history(fresh=True)
    seal = past.seals[-1]
    assert seal.log.startswith("recovery-")
    assert set(seal.heads) == {seal.log}
    assert ash.publish("builds", "done", {}).verdict == "applied"
    assert [item.record.kind for item in ash.history().judged if item.record.log == ash.identity().log] == [
        "node.hello",
        "event.publish",
    ]
    assert ash.verify(every_signature=True).ok


def test_LIVE_its_log_goes_on_where_the_hub_says_whichever_machine_it_is_used_on(
    oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path
) -> None:
    ash, elm = joined(tmp_path, hub, oak, "ash"), joined(tmp_path, hub, oak, "elm")
    assert ash.admit("ash", fingerprint(ash), ADMIN, recovery=drawer).verdict == "applied"
    assert elm.admit("elm", fingerprint(elm), ADMIN, recovery=drawer).verdict == "applied"
    assert oak.revoke("elm", "a mistake", recovery=drawer).verdict == "applied"
    own = [item.record for item in oak.history(fresh=True).judged if item.record.log.startswith("recovery-")]
    assert [record.seq for record in own] == [1, 2, 3]
    assert oak.verify(every_signature=True).ok


def test_NODE_4_it_deals_with_admins_only(oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path) -> None:
    elm = joined(tmp_path, hub, oak, "elm")
    before = hub.tip()
    assert elm.admit("elm", fingerprint(elm), ("node",), recovery=drawer).rule == "NODE-4"
    assert elm.revoke("elm", "lost", recovery=drawer).rule == "NODE-4"
    assert elm.ask("event.publish", {"topic": "a", "type": "b", "payload": {}}, recovery=drawer).rule == "NODE-3"
    assert hub.tip() == before


def test_NODE_4_another_key_is_refused_and_the_right_one_named(oak: Mesh, drawer: Path, tmp_path: Path) -> None:
    create(tmp_path / "stray", "stray")
    for key in (tmp_path / "stray", oak.home.key):
        with pytest.raises(Refused, match="not the recovery key of this ledger, which is recovery-") as caught:
            oak.admit("oak", fingerprint(oak), ADMIN, recovery=key)
        assert caught.value.rule == "NODE-4"
    with pytest.raises(MeshFault):
        oak.revoke("oak", "lost", recovery=tmp_path / "nowhere")


def test_a_rehearsal_signs_nothing(oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path) -> None:
    ash = joined(tmp_path, hub, oak, "ash")
    before = hub.git("for-each-ref")
    told = ash.admit("ash", fingerprint(ash), ADMIN, recovery=drawer, dry_run=True)
    assert (told.verdict, told.result, told.facts["dry_run"]) == ("applied", "admitted", True)
    assert hub.git("for-each-ref") == before


def test_PUSH_a_try_that_died_after_its_push_is_not_signed_over(
    oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record of the first try lies in the outbox, unsealed: the next one follows it, and both are sealed."""
    ash = joined(tmp_path, hub, oak, "ash")

    def to_outbox(self: Performer, publish: object) -> object:
        pushed = self._push_outbox(publish._replace(seal=None))  # type: ignore[attr-defined]
        assert pushed.outcome == "committed"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Performer, "_publish", to_outbox)
        with pytest.raises(KeyboardInterrupt):
            ash.admit("ash", fingerprint(ash), ADMIN, recovery=drawer)
    assert ash.admit("ash", fingerprint(ash), ADMIN, recovery=drawer).verdict == "applied"
    own = [item.record.seq for item in ash.history(fresh=True).judged if item.record.log.startswith("recovery-")]
    assert own == [1, 2]
    assert ash.verify(every_signature=True).ok


def test_CLOSED_without_a_hub_it_signs_nothing(oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path) -> None:
    oak.state()
    hub.path.rename(tmp_path / "away")
    with pytest.raises(Unreachable):
        oak.revoke("oak", "lost", recovery=drawer)


def test_CACHE_the_home_that_helps_keeps_its_journal_and_key(oak: Mesh, hub: Hub, drawer: Path, tmp_path: Path) -> None:
    ash = joined(tmp_path, hub, oak, "ash")
    before = {name: (ash.home.path / name).read_bytes() for name in ("key",)}
    records = [entry for entry in ash.home.journal.read_bytes().split(b"\n") if b'"record"' in entry]
    ash.admit("ash", fingerprint(ash), ADMIN, recovery=drawer)
    assert {name: (ash.home.path / name).read_bytes() for name in before} == before
    assert [entry for entry in ash.home.journal.read_bytes().split(b"\n") if b'"record"' in entry] == records
    assert not list(drawer.parent.glob("*.pub.*"))
