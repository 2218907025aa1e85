"""The examples of work, done by two nodes: this very project is checked, tested and packaged, and a release is made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh.worker.own import read
from tests.fleet import MESH, Fleet

pytestmark = pytest.mark.xdist_group("example_build")
ROOT = Path(__file__).resolve().parent.parent
BUILD, RELEASE, OWN = "build-this-project.yaml", "release.yaml", "work.yaml"
TASKS = {"syntax", "lint", "test-records", "test-settings", "wheel", "check-wheel"}
OFFERS = {"oak": "build,package,sign,publish", "elm": "build"}
GIT = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, dict[str, Any]]:
    """The fleet after the build, and the DAG as `mesh dag show` has it."""
    folder = tmp_path_factory.mktemp("fleet")
    fleet = Fleet(folder)
    fleet.found("oak", "elm")
    for node in OFFERS:
        checkout(folder / "src" / node)
        shutil.copy(ROOT / "examples" / OWN, fleet.home(node))
    for example in (BUILD, RELEASE):
        fleet.ok("oak", "dag", "submit", str(ROOT / "examples" / example))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    workers = {
        node: fleet.start(node, *MESH, *work(folder / "src" / node, offer), PATH=path) for node, offer in OFFERS.items()
    }
    try:
        for dag in ("build-this-project", "release"):
            fleet.mesh("elm", "dag", "show", dag, "--watch")
    finally:
        for worker in workers.values():
            worker.terminate()
        told = {node: worker.communicate() for node, worker in workers.items()}
    assert [worker.returncode for worker in workers.values()] == [0, 0], told
    shown = fleet.ok("elm", "dag", "show", "build-this-project")
    assert shown["state"] == "done", (shown, told)
    return fleet, shown


def checkout(folder: Path) -> None:
    """What is here now, committed: as a clone would have it."""
    parts = ("orxaq_mesh", "schemas", "tests", "tools", "pyproject.toml", "README.md", "LICENSE")
    folder.mkdir(parents=True)
    for part in parts:
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, folder / part)
    (folder / ".gitignore").write_text("__pycache__/\n.hypothesis/\ndist/\nbuild/\n")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*GIT, *words], cwd=folder, check=True, capture_output=True)


def work(folder: Path, offer: str) -> list[str]:
    return ["work", "--capability", offer, "--folder", str(folder), "--json"]


def log(fleet: Fleet, kind: str) -> list[dict[str, Any]]:
    done = fleet.mesh("oak", "log", "--kind", kind, "--json")
    assert done.code == 0, done
    return [json.loads(line) for line in done.out.splitlines()]


def test_TASK_6_every_step_of_the_build_is_done_once(built: tuple[Fleet, dict[str, Any]]) -> None:
    fleet, shown = built
    assert {task["name"]: task["state"] for task in shown["tasks"]} == dict.fromkeys(TASKS, "succeeded")
    done = [item["body"]["under"]["lease"] for item in log(fleet, "task.finish") if item["verdict"] == "applied"]
    built_ = [lease for lease in done if lease.startswith("task:build-this-project/")]
    assert sorted(built_) == sorted(f"task:build-this-project/{task}" for task in TASKS)


def test_TASK_6_the_release_is_made_once(built: tuple[Fleet, dict[str, Any]]) -> None:
    fleet, _ = built
    release = fleet.ok("oak", "dag", "show", "release")
    assert (release["state"], release["done"], release["size"]) == ("done", 12, 12)
    assert (fleet.folder / "src" / "oak" / "published").exists()


def test_TASK_3_what_one_laptop_offers_is_done_there(built: tuple[Fleet, dict[str, Any]]) -> None:
    _, shown = built
    nodes = {task["name"]: task["node"] for task in shown["tasks"]}
    assert (nodes["wheel"], nodes["check-wheel"]) == ("oak", "oak")


def test_TASK_7_guards_and_commands_have_left_receipts_of_this_commit(built: tuple[Fleet, dict[str, Any]]) -> None:
    fleet, _ = built
    filed = [item["body"] for item in log(fleet, "task.receipt")]
    steps = {(body["under"]["lease"].rpartition("/")[2], body["step"], body["phase"]): body for body in filed}
    for wanted in (
        ("wheel", "nothing-uncommitted", "before"),
        ("wheel", "build", "run"),
        ("wheel", "one-sound-archive", "after"),
        ("check-wheel", "install", "run"),
        ("check-wheel", "import", "run"),
    ):
        assert steps[wanted]["exit"] == 0
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=fleet.folder / "src" / "oak", capture_output=True, check=True
    )
    assert steps["wheel", "build", "run"]["commit"] == head.stdout.decode().strip()


def test_the_receipt_is_of_the_wheel_on_the_disk(built: tuple[Fleet, dict[str, Any]]) -> None:
    fleet, _ = built
    folder = fleet.folder / "src" / "oak"
    (wheel,) = (folder / "dist").iterdir()
    filed = [item["body"] for item in log(fleet, "task.receipt") if item["body"]["step"] == "build"]
    (build,) = [body for body in filed if body["under"]["lease"] == "task:build-this-project/wheel"]
    (artefact,) = build["artefacts"]
    data = wheel.read_bytes()
    assert artefact == {"path": f"dist/{wheel.name}", "bytes": len(data), "sha256": sha256(data).hexdigest()}
    assert fleet.mesh("oak", "receipt", "check", "build-this-project/wheel", "--folder", str(folder)).code == 0
    wheel.write_bytes(data[:-1] + b"!")
    try:
        spoilt = fleet.mesh("oak", "receipt", "check", "build-this-project/wheel", "--folder", str(folder))
    finally:
        wheel.write_bytes(data)
    assert spoilt.code == 1
    assert wheel.name in spoilt.out + spoilt.err


def test_the_example_of_a_nodes_own_file_says_what_it_means() -> None:
    folder = ROOT / "examples"
    own = read(folder)
    assert (own.trust, own.shell, own.environment) == (("oak",), False, ("PYPI_TOKEN",))
    assert own.commands["restart-indexer"].argv({"index": "main"})[-1] == "indexer@main"
    assert own.commands["say-hello"].noop_exit == 3
