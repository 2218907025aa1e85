"""A hub whose trunk was damaged, rewound or deleted is mended by the line that `mesh doctor` prints, run as it stands."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fleet import Fleet
from tests.hubs import plain_git

pytestmark = pytest.mark.xdist_group("cli_mending")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    made = Fleet(tmp_path_factory.mktemp("mending"))
    made.found("oak", "elm")
    return made


def edited(fleet: Fleet, folder: Path, edit: Callable[[Path], None]) -> None:
    """Somebody edits the branch by hand."""
    plain_git("clone", "--quiet", "--branch", "mesh", str(fleet.hub), str(folder))
    edit(folder)
    plain_git("-C", str(folder), "add", "--all")
    plain_git("-C", str(folder), "commit", "--quiet", "-m", "by hand")
    plain_git("-C", str(folder), "push", "--quiet")


def garbage(folder: Path) -> None:
    file = max(folder.glob("ledger/nodes/oak-*/*/*.ndjson"))
    file.write_bytes(file.read_bytes() + b"garbage\n")


def lost_line(folder: Path) -> None:
    file = max(folder.glob("ledger/epochs/*/*.ndjson"))
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:-1]))


def extra(folder: Path) -> None:
    (folder / "ledger" / "notes.txt").write_text("to do\n")


def rewound(fleet: Fleet, _: Path) -> None:
    plain_git("--git-dir", str(fleet.hub), "update-ref", "refs/heads/mesh", f"{fleet.tip()}~2")


def gone(fleet: Fleet, _: Path) -> None:
    plain_git("--git-dir", str(fleet.hub), "update-ref", "-d", "refs/heads/mesh")


def bad_object(fleet: Fleet, _: Path) -> None:
    """A commit that git's own check refuses."""
    git = ("--git-dir", str(fleet.hub))
    raw = plain_git(*git, "cat-file", "commit", "mesh").replace(" <", " ").encode() + b"\n"
    oid = plain_git(*git, "hash-object", "-t", "commit", "-w", "--literally", "--stdin", feed=raw)
    plain_git(*git, "update-ref", "refs/heads/mesh", oid)


HEALED: dict[str, Callable[[Fleet, Path], None]] = {
    "a garbage line": lambda fleet, folder: edited(fleet, folder, garbage),
    "a lost line": lambda fleet, folder: edited(fleet, folder, lost_line),
    "an extra file": lambda fleet, folder: edited(fleet, folder, extra),
}
DAMAGES: dict[str, Callable[[Fleet, Path], None]] = {
    "a rewind": rewound,
    "no branch": gone,
    "a bad object": bad_object,
}


def run(line: str, folder: Path) -> None:
    """As a person would who has no git configuration at all."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("GIT_AUTHOR")}
    done = subprocess.run(["sh", "-c", line], env=environ, capture_output=True, cwd=folder, timeout=60, check=False)
    assert done.returncode == 0, (line, done.stderr.decode())


@pytest.mark.parametrize("damage", HEALED)
def test_RENDER_a_damaged_trunk_is_healed_by_the_next_honest_publish(fleet: Fleet, damage: str, tmp_path: Path) -> None:
    fleet.ok("oak", "publish", "one", "x")
    before = fleet.ok("elm", "sync")
    HEALED[damage](fleet, tmp_path / "clone")
    assert fleet.mesh("elm", "verify").code == 6
    assert [alarm["law"] for alarm in fleet.ok("oak", "sync")["alarms"]] != []
    assert fleet.ok("oak", "publish", "two", "x")["epoch"] == before["epoch"] + 1
    after = fleet.ok("elm", "sync")
    assert (after["epoch"], after["alarms"]) == (before["epoch"] + 1, [])
    assert fleet.ok("elm", "verify")["ok"]


@pytest.mark.parametrize("damage", DAMAGES)
def test_CLOSED_the_mend_that_doctor_names_works_and_no_seal_is_lost(fleet: Fleet, damage: str, tmp_path: Path) -> None:
    fleet.ok("oak", "publish", "one", "x")
    before = fleet.ok("elm", "sync")
    DAMAGES[damage](fleet, tmp_path / "clone")
    for node in ("oak", "elm"):
        assert fleet.mesh(node, "sync").code == 6, node
    ill = fleet.mesh("elm", "doctor", "--json")
    assert ill.code == 1
    (mend,) = [finding for finding in ill.data["findings"] if finding["name"] == "mend"]
    assert "look first who" in mend["what"]
    assert "\n" not in mend["mend"]
    if mend["mend"].startswith("mesh "):
        fleet.ok("elm", *mend["mend"].split()[1:])
    else:
        run(mend["mend"], tmp_path)
    for node in ("oak", "elm"):
        after = fleet.ok(node, "sync")
        assert (after["seal"], after["alarms"]) == (before["seal"], []), node
    for name in ("cache", "store.git"):
        shutil.rmtree(fleet.home("oak") / name)
    assert fleet.ok("oak", "publish", "three", "x")["epoch"] == before["epoch"] + 1
    assert fleet.ok("elm", "verify")["ok"]
    well = fleet.mesh("elm", "doctor", "--json")
    assert [finding for finding in well.data["findings"] if finding["level"] == "bad"] == []


def test_CLOSED_where_the_hub_is_only_away_nothing_is_to_be_pushed(fleet: Fleet) -> None:
    away = fleet.mesh("oak", "doctor", "--json", MESH_HUB=str(fleet.folder / "gone.git"))
    assert away.code == 1
    assert "mend" not in {finding["name"] for finding in away.data["findings"]}
