"""Two hubs, two copies of one home: what divergence and proof say, and the way back (laws FORK, CHAIN, PREFIX)."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import MESH, Done, Fleet
from tests.hubs import plain_git


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    fleet = Fleet(tmp_path)
    fleet.found("oak", "elm", "ash")
    fleet.ok("elm", "publish", "a", "x")
    return fleet


def other_hub(fleet: Fleet) -> str:
    """A second hub, which has what the first one has now."""
    path = fleet.folder / "other.git"
    plain_git("clone", "--quiet", "--mirror", str(fleet.hub), str(path))
    return str(path)


def check(file: Path, *more: str) -> Done:
    """With no home, from an empty directory."""
    done = subprocess.run([*MESH, "proof", "--check", str(file), *more], capture_output=True, cwd="/", check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def copied(fleet: Fleet) -> None:
    """elm and a copy of elm publish at two hubs, and oak brings the hubs together."""
    other = other_hub(fleet)
    shutil.copytree(fleet.home("elm"), fleet.home("twin"))
    fleet.ok("elm", "lease", "acquire", "deploy", "--ttl", "10m")
    assert fleet.mesh("twin", "publish", "b", "x", MESH_HUB=other).code == 0
    fleet.ok("oak", "sync", "--from", other)


def test_FORK_divergence_names_sides_votes_rule_and_every_verdict_that_changed(fleet: Fleet) -> None:
    assert fleet.mesh("oak", "divergence").out == "the ledger never forked\n"
    other = other_hub(fleet)
    since = fleet.ok("oak", "sync")["epoch"]
    fleet.ok("oak", "publish", "here", "x")
    fleet.ok("oak", "lease", "acquire", "deploy", "--ttl", "10m")
    for node in ("elm", "ash"):
        assert fleet.mesh(node, "publish", "there", "x", MESH_HUB=other).code == 0
    assert fleet.mesh("elm", "lease", "acquire", "deploy", "--ttl", "10m", MESH_HUB=other).code == 0
    assert fleet.mesh("ash", "publish", "there", "y", MESH_HUB=other).code == 0
    fleet.ok("oak", "sync", "--from", other)
    (fork,) = fleet.ok("oak", "divergence")["forks"]
    assert (fork["epoch"], fork["rule"], fork["settled"], fork["absent"]) == (since, "most votes", True, [])
    votes = {tuple(sorted(vote["node"] for vote in side["votes"])): side["chosen"] for side in fork["sides"]}
    assert votes == {("ash", "elm"): True, ("oak",): False}
    changed = {(change["node"], change["kind"]): change for change in fleet.ok("oak", "divergence")["changed"]}
    assert changed["oak", "lease.acquire"]["now"] is None
    fleet.ok("oak", "sync")
    found = fleet.ok("oak", "divergence")
    assert [(change["node"], change["lease"]) for change in found["changed"]] == [("oak", "deploy")]
    assert found["changed"][0]["before"]["verdict"] == "applied"
    assert found["changed"][0]["now"]["verdict"] == "refused"
    told = fleet.mesh("oak", "divergence").out
    assert "oak  lease.acquire deploy" in told
    assert "most nodes stood behind it first" in told


def test_FORK_show_prints_what_lost_and_says_so(fleet: Fleet) -> None:
    other = other_hub(fleet)
    fleet.ok("oak", "publish", "here", "x")
    left = fleet.ok("oak", "status")["seal"]
    for node in ("elm", "ash"):
        assert fleet.mesh(node, "publish", "there", "x", MESH_HUB=other).code == 0
    assert fleet.mesh("elm", "publish", "there", "y", MESH_HUB=other).code == 0
    assert fleet.mesh("ash", "publish", "there", "y", MESH_HUB=other).code == 0
    fleet.ok("oak", "sync", "--from", other)
    assert fleet.ok("oak", "show", left)["standing"] == "left"
    kept = fleet.ok("oak", "status")["seal"]
    assert fleet.ok("oak", "show", kept)["standing"] in ("sealed", "final")


def test_FORK_a_verdict_is_final_when_a_majority_has_seen_it(fleet: Fleet) -> None:
    fleet.ok("oak", "publish", "one", "x")
    lines = [json.loads(line) for line in fleet.mesh("oak", "log", "--json").out.splitlines()]
    assert not lines[-1]["final"]
    epoch = lines[-1]["epoch"]
    for node in ("elm", "ash"):
        fleet.ok(node, "publish", "two", "x")
    fleet.ok("oak", "sync")
    lines = [json.loads(line) for line in fleet.mesh("oak", "log", "--json").out.splitlines()]
    assert {line["epoch"]: line["final"] for line in lines}[epoch]
    assert not lines[-1]["final"]


def test_PREFIX_a_copied_home_is_suspended_everywhere_proven_offline_and_comes_back_with_a_new_key(
    fleet: Fleet, tmp_path: Path
) -> None:
    copied(fleet)
    assert "signed number" in fleet.ok("oak", "status")["alarms"][0]["reason"]
    fleet.ok("oak", "publish", "next", "x")
    fleet.ok("ash", "sync")
    for node in ("oak", "ash"):
        status = fleet.ok(node, "status")
        assert {each["name"]: each["standing"] for each in status["nodes"]}["elm"] == "suspended"
        assert [lease["holder"] for lease in status["leases"]] == [None]
    proof = tmp_path / "elm.proof"
    fleet.ok("ash", "proof", "elm", "--output", str(proof))
    assert check(proof).code == 0
    commands = json.loads(check(proof, "--sshsig", str(tmp_path / "sig"), "--json").out)["data"]["commands"]
    for command in commands:
        said = subprocess.run(["sh", "-c", command], capture_output=True, check=True).stdout.decode()
        assert said.startswith("Good ")
    refused = fleet.mesh("elm", "publish", "z", "x", "--json")
    assert (refused.code, refused.error["rule"]) == (3, "NODE-3")
    assert "two histories" in refused.error["message"]
    fingerprint = fleet.ok("elm", "node", "rotate")["fingerprint"]
    assert fleet.ok("elm", "node", "rotate")["fingerprint"] == fingerprint, "once more is no other key"
    fleet.ok("oak", "admit", "elm", "--fingerprint", fingerprint)
    assert fleet.ok("elm", "publish", "back", "x")["verdict"] == "applied"
    assert fleet.ok("oak", "verify")["ok"]


def test_PREFIX_an_admin_lets_the_new_key_in_before_anything_else_was_sealed(fleet: Fleet) -> None:
    copied(fleet)
    fleet.mesh("elm", "sync")
    fingerprint = fleet.ok("elm", "node", "rotate")["fingerprint"]
    fleet.ok("oak", "admit", "elm", "--fingerprint", fingerprint)
    assert fleet.ok("elm", "publish", "back", "x")["verdict"] == "applied"


def damaged(lines: list[bytes], how: str) -> bytes:
    one, two, three = lines
    header = json.loads(one)
    forms: dict[str, Any] = {
        "one line twice": [one, two, two],
        "a line short": [one, two],
        "a flipped bit": [one, two, three.replace(b'"sig":"', b'"sig":"A', 1)],
        "another key": [json.dumps(header | {"key": header["key"][:-4] + "AAAA"}).encode(), two, three],
        "another ledger": [one.replace(header["ledger"].encode(), b"0" * 64), two, three],
        "another seq": [one.replace(b'"seq":%d' % header["seq"], b'"seq":7'), two, three],
        "no header": [two, two, three],
        "garbage": [b"\xff\x00", b"", b"{}"],
    }
    return b"".join(line + b"\n" for line in forms[how])


def test_CHAIN_a_file_that_proves_nothing_is_refused_with_its_line(fleet: Fleet, tmp_path: Path) -> None:
    copied(fleet)
    lines = fleet.mesh("oak", "proof", "elm").out.encode().split(b"\n")[:-1]
    file = tmp_path / "bad"
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    assert check(file).code == 0
    kinds = "one line twice,a line short,a flipped bit,another key,another ledger,another seq,no header,garbage"
    for how in kinds.split(","):
        file.write_bytes(damaged(lines, how))
        done = check(file)
        assert done.code == 6, how
        assert "Traceback" not in done.err
        assert str(file) in done.err
    for data in (b"", b"x" * 300_000, b"\n\n\n"):
        file.write_bytes(data)
        assert check(file).code == 6


def test_CHAIN_a_restored_backup_stops_before_it_signs_and_goes_on_with_a_new_key(fleet: Fleet) -> None:
    shutil.copytree(fleet.home("elm"), fleet.home("backup"))
    fleet.ok("elm", "publish", "later", "x")
    shutil.rmtree(fleet.home("elm"))
    shutil.copytree(fleet.home("backup"), fleet.home("elm"))
    journal = (fleet.home("elm") / "journal.ndjson").read_bytes()
    done = fleet.mesh("elm", "publish", "again", "x")
    assert done.code == 1
    assert "restored from a backup" in done.err
    assert (fleet.home("elm") / "journal.ndjson").read_bytes().count(b'"is":"record"') == journal.count(
        b'"is":"record"'
    )
    fleet.ok("elm", "node", "rotate")
    assert fleet.ok("elm", "publish", "again", "x")["verdict"] == "applied"
    assert {node["name"]: node["standing"] for node in fleet.ok("oak", "status")["nodes"]}["elm"] == "admitted"
