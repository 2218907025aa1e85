"""A node looks at its fleet's ledger: at the hub, in its own store, and one line at a time with stock ssh-keygen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orxaq_mesh.errors import InvalidLedger, MeshError, MeshFault, Usage
from orxaq_mesh.inspect import Shown, history, show, verify, write_sshsig
from orxaq_mesh.ledger import Finding
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.record import Record, Seal, epoch_place, log_place
from tests.hubs import Hub, file_hub, plain_git
from tests.nodes import founded, introduced, joined
from tests.test_inspect import SPINE, expect


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with file_hub(tmp_path_factory.mktemp("hub")) as made:
        yield made


@pytest.fixture(scope="module")
def oak(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Mesh:
    """Two nodes, one with a key that it rotated away, and a third that waits."""
    folder = tmp_path_factory.mktemp("nodes")
    oak = founded(folder, hub)
    elm = joined(folder, hub, oak, "elm")
    assert elm.publish("builds", "done", {"n": 1}).verdict == "applied"
    assert elm.rotate().verdict == "applied"
    assert elm.publish("builds", "done", {"n": 2}).verdict == "applied"
    introduced(folder, hub, oak.identity().ledger, "ash")
    assert oak.acquire("deploy", 60_000).verdict == "applied"
    assert elm.acquire("deploy", 60_000).rule == "LEASE-2"
    return oak


def test_verify_reads_the_hub_a_clone_of_it_and_its_address(oak: Mesh, hub: Hub, tmp_path: Path) -> None:
    plain_git("clone", "--quiet", hub.url, str(tmp_path / "clone"))
    mine = oak.verify()
    assert mine.ok
    assert mine.pinned
    assert mine.ledger == oak.identity().ledger
    for source in (hub.url, tmp_path / "clone", tmp_path / "clone" / "ledger"):
        assert verify(None, source, every_signature=True) == mine._replace(pinned=False)
        assert oak.verify(str(source)) == mine
    with pytest.raises(MeshFault):
        verify(None, str(tmp_path / "no.git"))


def test_SEEN_verify_says_that_the_hub_was_rolled_back(hub: Hub, tmp_path: Path) -> None:
    with file_hub(tmp_path) as other:
        mesh = founded(tmp_path, other)
        before = other.tip()
        mesh.publish("builds", "done", {})
        other.git("update-ref", "refs/heads/mesh", str(before))
        expect(mesh.verify(), SPINE, 2, "SEEN")


def test_B4_verify_names_what_else_lies_in_the_hubs_tree(hub: Hub, tmp_path: Path) -> None:
    with file_hub(tmp_path) as other:
        mesh = founded(tmp_path, other)
        work = tmp_path / "work"
        plain_git("clone", "--quiet", other.url, str(work))
        (work / "ledger" / "notes.txt").write_text("x")
        (work / "ledger" / "nodes" / "twin").symlink_to("/etc/passwd")
        plain_git("add", "-A", cwd=work)
        plain_git("commit", "--quiet", "-m", "garbage", cwd=work)
        plain_git("push", "--quiet", "origin", "HEAD:mesh", cwd=work)
        report = mesh.verify()
        expect(report, "ledger/notes.txt", 0, "RENDER")
        expect(report, "ledger/nodes/twin", 0, "QUIET")
        assert report.epoch == 1


def test_history_is_the_whole_ledger_and_needs_no_hub(oak: Mesh, tmp_path: Path) -> None:
    past = oak.history()
    report = oak.verify()
    assert (len(past.judged), len(past.seals), past.state.digest) == (report.records, report.seals, report.state)
    assert [seal.epoch for seal in past.seals] == list(range(1, report.epoch + 1))
    assert {item.record.kind for item in past.judged} >= {"node.found", "node.rotate", "lease.acquire"}
    away = Mesh.open(str(oak.home.path), hub=str(tmp_path / "gone.git"))
    assert away.history().state.digest == report.state
    (oak.home.cache / "snapshot.json").unlink()
    with pytest.raises(MeshFault):
        away.history()
    assert oak.history().state.digest == report.state
    with pytest.raises(MeshFault):
        away.history(fresh=True)


def ssh_keygen(shown: Shown, folder: Path) -> subprocess.CompletedProcess[bytes]:
    argv = write_sshsig(shown, folder)
    return subprocess.run(argv, input=(folder / "message").read_bytes(), capture_output=True, check=False)


def test_SIG_stock_ssh_keygen_verifies_every_record_and_seal(oak: Mesh, tmp_path: Path) -> None:
    past = oak.history()
    items: list[Record | Seal] = [*(item.record for item in past.judged), *past.seals]
    spoken = set()
    for item in items:
        shown = oak.show(item.id)
        assert shown.verifies
        assert shown.place is not None
        assert shown.epoch
        done = ssh_keygen(shown, tmp_path)
        assert done.returncode == 0, done.stderr
        assert b"Good" in done.stdout
        spoken |= {shown.value["kind"], shown.log}
    assert spoken >= {"node.found", "node.hello", "node.rotate", "seal"}
    assert len([log for log in spoken if log.startswith("elm-")]) == 2
    (tmp_path / "message").write_bytes((tmp_path / "message").read_bytes().replace(b'"v":1', b'"v":2'))
    argv = write_sshsig(shown, tmp_path / "again")
    argv[argv.index("-s") + 1] = str(tmp_path / "message.sig")
    bent = subprocess.run(argv, input=(tmp_path / "message").read_bytes(), capture_output=True, check=False)
    assert bent.returncode != 0


def test_show_names_verdict_epoch_and_place(oak: Mesh) -> None:
    granted = next(item for item in oak.history().judged if item.record.kind == "lease.acquire")
    shown = oak.show(granted.record.id[:16].upper())
    assert (shown.id, shown.verdict, shown.epoch) == (granted.record.id, granted.verdict, granted.epoch)
    assert shown.place == log_place(granted.record.log, granted.record.seq)
    assert shown.value["body"]["lease"] == "deploy"
    seal = oak.history().seals[2]
    assert oak.show(seal.id)[4:7] == (None, 3, epoch_place(3))


def test_show_refuses_what_is_no_prefix_or_fits_several_or_none(oak: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    from orxaq_mesh.inspect import showing

    for prefix in ("", "abc", "xyz1", "0" * 65, "\x1b[2J"):
        with pytest.raises(Usage):
            oak.show(prefix)
    with pytest.raises(MeshFault, match="no record or seal 0000"):
        oak.show("0" * 64)
    past = oak.history()
    twins = past._replace(seals=[seal._replace(id="abcd" + seal.id[4:]) for seal in past.seals])
    monkeypatch.setattr(showing, "history", lambda mesh: twins)
    with pytest.raises(Usage, match=r"abcd fits several: abcd.*\(seal \d+\)") as caught:
        oak.show("abcd")
    assert set(caught.value.facts["ids"]) == {seal.id for seal in twins.seals[:8]} or len(twins.seals) > 8


def test_show_knows_what_was_signed_and_did_not_go_out(tmp_path: Path) -> None:
    with file_hub(tmp_path) as other:
        mesh = founded(tmp_path, other)
        other.path.rename(tmp_path / "away.git")
        with pytest.raises(MeshError) as caught:
            mesh.publish("builds", "done", {})
        shown = mesh.show(caught.value.facts["record"])
        assert (shown.verdict, shown.epoch, shown.place, shown.verifies) == (None, None, None, True)
        assert ssh_keygen(shown, tmp_path / "proof").returncode == 0


def test_history_of_a_broken_store_is_an_error_with_findings(oak: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    from orxaq_mesh.inspect import reading

    monkeypatch.setattr(reading, "sort_out", lambda items: ([], [Finding("RENDER", "ledger/x", 0, "garbage")]))
    with pytest.raises(InvalidLedger, match="garbage"):
        history(oak)
    with pytest.raises(InvalidLedger):
        show(oak, "abcd")
