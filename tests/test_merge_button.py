"""C30: an outbox as a pull request, and the merge button's three ways: nothing of it is lost in silence."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.fleet import Fleet

pytestmark = pytest.mark.xdist_group("merge-button")
WHO = ["-c", "user.name=a person", "-c", "user.email=person@example.org", "-c", "commit.gpgsign=false"]


def git(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *WHO, *words], cwd=folder, capture_output=True, text=True, check=False)


def press(fleet: Fleet, way: str, branch: str) -> bool:
    """Merge a branch into the trunk as a host does, and move the trunk; whether that was possible."""
    work = fleet.folder / f"{way}-{fleet.tip()[:8]}"
    git(fleet.folder, "clone", "--quiet", "--branch", "mesh", str(fleet.hub), str(work))
    if way == "rebase":
        git(work, "checkout", "--quiet", "-B", "topic", f"origin/{branch}")
        done = git(work, "rebase", "--quiet", "mesh")
    else:
        how = ["--squash"] if way == "squash" else ["--no-ff", "--no-edit"]
        done = git(work, "merge", "--quiet", *how, f"origin/{branch}")
        if way == "squash":
            git(work, "commit", "--quiet", "-m", "Merge pull request #1 from elm")
    if done.returncode:
        return False
    assert git(work, "push", "--quiet", "origin", "HEAD:mesh").returncode == 0
    return True


def verdict(fleet: Fleet, record: str) -> list[str]:
    rows = (json.loads(line) for line in fleet.mesh("oak", "log", "--json").out.splitlines())
    return [row["verdict"] for row in rows if row["id"] == record]


@pytest.mark.parametrize("way", ["merge", "squash", "rebase"])
def test_C30_a_proposal_survives_the_merge_button_and_is_held_until_it_is_approved(way: str, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    fleet.found("oak", "elm")
    fleet.ok("oak", "policy", "require", "r", "--kind", "lease.acquire")
    for name in ("deploy", "build"):  # the second time on top of an outbox that was a pull request before
        record = fleet.mesh("elm", "lease", "acquire", name, "--ttl", "12h", "--json").data["record"]
        branch = fleet.ok("elm", "propose")["branch"]
        merged = press(fleet, way, branch)
        assert merged or (way == "rebase" and name == "build"), "an outbox that went on is no series of patches"
        fleet.ok("oak", "publish", "news", "merged")
        if merged:
            assert verdict(fleet, record) == ["held"]
        fleet.ok("oak", "approve", record[:12])
        assert verdict(fleet, record)[-1] == "applied"
        assert fleet.ok("elm", "lease", "show", name)["holder"] == "elm"
        fleet.ok("elm", "lease", "release", name)  # a renewal would take the next proposal along, into the ledger
    assert fleet.ok("oak", "verify", "--every-signature")["ok"]
    assert fleet.ok("elm", "status")["alarms"] == []
