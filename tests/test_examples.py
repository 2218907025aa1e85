"""Each file in `examples/` at work: two nodes on a real hub, the real commands, two laptops' crontabs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hubs import file_hub

from orxaq_mesh.mesh import Mesh

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@dataclass
class Fleet:
    """Two nodes, and a directory on PATH with `mesh` in it."""

    folder: Path

    def mesh(self, node: str) -> Mesh:
        return Mesh.open(str(self.folder / node), session="test", profile="lan")

    def environ(self, node: str, **more: str) -> dict[str, str]:
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "MESH_HOME": str(self.folder / node), **more}

    def run(self, node: str, *argv: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = self.environ(node, **more)
        return subprocess.run(argv, env=env, cwd=self.folder, capture_output=True, text=True, check=False)

    def bodies(self, node: str) -> list[tuple[str, dict[str, Any]]]:
        """Kind and body of every applied record, noops left out."""
        judged = self.mesh(node).history().judged
        return [(r.kind, r.body) for r, _, v, _ in judged if v.outcome == "applied" and v.result != "noop"]

    def log(self) -> list[tuple[str, str, str]]:
        """(node, kind, verdict) of every record."""
        judged = self.mesh("oak").verify() and self.mesh("oak").history().judged
        return [(item.record.log.rpartition("-")[0], item.record.kind, item.verdict.outcome) for item in judged]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with file_hub(folder) as hub:
        fleet = Fleet(folder)
        oak, elm = fleet.mesh("oak"), fleet.mesh("elm")
        ledger = oak.init(hub.url, "oak").ledger
        elm.join(hub.url, "elm", ledger)
        (hello,) = oak.hellos()
        assert oak.admit("elm", hello["fingerprint"]).verdict == "applied"
        command = folder / "bin" / "mesh"
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m orxaq_mesh "$@"\n')
        command.chmod(0o755)
        yield fleet


def test_deploy_with_lease_writes_under_its_token(fleet: Fleet) -> None:
    target = fleet.folder / "prod-python.txt"
    script = str(EXAMPLES / "deploy_with_lease.py")
    done = fleet.run("oak", sys.executable, script, "1.4.2", str(target))
    assert done.returncode == 0, done.stderr
    token = int(re.search(r"token (\d+)", done.stdout)[1])  # type: ignore[index]
    assert target.read_text() == "1.4.2\n"
    assert f'"token":{token}' in target.with_name(target.name + ".gate").read_text()
    assert "the fleet knows: applied" in done.stdout
    again = fleet.run("elm", sys.executable, script, "1.4.3", str(target))
    assert (again.returncode, target.read_text()) == (0, "1.4.3\n"), again.stderr


def test_FENCE_deploy_with_lease_stops_where_the_target_knows_better(fleet: Fleet) -> None:
    target = fleet.folder / "prod-newer.txt"
    target.with_name(target.name + ".gate").write_text('{"token":9000}\n')
    done = fleet.run("oak", sys.executable, str(EXAMPLES / "deploy_with_lease.py"), "1.4.2", str(target))
    assert done.returncode != 0
    assert "9000" in done.stderr
    assert not target.exists()


def test_deploy_sh_on_two_nodes_at_once_is_one_after_the_other(fleet: Fleet) -> None:
    target = fleet.folder / "prod-shell.txt"
    script = str(EXAMPLES / "deploy.sh")
    with ThreadPoolExecutor(2) as both:
        done = list(both.map(lambda node: fleet.run(node, script, f"by-{node}", str(target)), ("oak", "elm")))
    assert [run.returncode for run in done] == [0, 0], [run.stderr for run in done]
    assert target.read_text() in ("by-oak\n", "by-elm\n")
    reports = [verdict for _, kind, verdict in fleet.log() if kind == "event.publish"]
    assert set(reports) == {"applied"}


def test_FENCE_deploy_sh_with_a_stale_token_writes_nothing(fleet: Fleet) -> None:
    target = fleet.folder / "prod-stale.txt"
    assert fleet.run("oak", str(EXAMPLES / "deploy.sh"), "1.4.2", str(target)).returncode == 0
    late = fleet.run("elm", str(EXAMPLES / "deploy.sh"), "1.4.1", str(target), MESH_TOKEN="1", MESH_SEAL="0" * 64)
    assert late.returncode == 4, late.stderr
    assert target.read_text() == "1.4.2\n"


def nightly(fleet: Fleet, node: str, night: str, *argv: str) -> int:
    """nightly.sh as if it were another night; cron gets no mail unless something is wrong."""
    command = fleet.folder / night / "date"
    command.parent.mkdir(exist_ok=True)
    made = command.with_name(f"date-{node}")  # two laptops at once: neither may see half a program
    made.write_text(f"#!/bin/sh\necho {night}\n")
    made.chmod(0o755)
    made.replace(command)
    path = f"{command.parent}{os.pathsep}{fleet.environ(node)['PATH']}"
    done = fleet.run(node, str(EXAMPLES / "nightly.sh"), *argv, PATH=path)
    assert bool(done.stdout + done.stderr) is (done.returncode > 1), done
    return done.returncode


def test_C1_nightly_sh_runs_on_one_laptop_only_and_once_a_night(fleet: Fleet) -> None:
    log = fleet.folder / "nights.log"

    def run(node: str, night: str) -> int:
        return nightly(fleet, node, night, "sh", "-c", f"echo {night} >> {log}")

    with ThreadPoolExecutor(2) as both:
        assert list(both.map(lambda node: run(node, "2001-11-20"), ("oak", "elm"))) == [0, 0]
    assert [run(node, "2001-11-20") for node in ("oak", "elm")] == [0, 0]  # an hour later, on both
    assert log.read_text().split() == ["2001-11-20"]
    assert run("elm", "2001-11-21") == 0
    assert log.read_text().split() == ["2001-11-20", "2001-11-21"]


def test_nightly_sh_gives_the_night_back_if_the_job_fails(fleet: Fleet) -> None:
    log = fleet.folder / "failed.log"
    assert nightly(fleet, "oak", "2001-11-22", "false") == 1
    assert nightly(fleet, "elm", "2001-11-22", "touch", str(log)) == 0
    assert log.exists()


def test_CLOSED_nightly_sh_runs_nothing_without_a_hub(fleet: Fleet) -> None:
    log, hub = fleet.folder / "no-hub.log", fleet.folder / "hub.git"
    hub.rename(fleet.folder / "away.git")
    try:
        assert nightly(fleet, "oak", "2001-11-23", "touch", str(log)) == 5
    finally:
        (fleet.folder / "away.git").rename(hub)
    assert not log.exists()


def test_nightly_cron_is_a_crontab_whose_line_runs(fleet: Fleet) -> None:
    lines = (EXAMPLES / "nightly.cron").read_text().splitlines()
    (entry,) = [line for line in lines if line and not line.startswith("#")]
    found = re.fullmatch(r"([0-9*,/-]+ ){5}(?P<command>.+)", entry)
    assert found
    assert "%" not in found["command"]  # cron takes it for a newline
    user = fleet.folder / "user"
    (user / "fleet" / ".git").mkdir(parents=True)
    (user / "fleet" / ".git" / "orxaq-mesh").symlink_to(fleet.folder / "elm")
    (user / "fleet" / "examples").symlink_to(EXAMPLES)
    (user / "app").mkdir()
    (user / "app" / "Makefile").write_text("test:\n\t@touch ran\n")
    done = fleet.run("elm", "sh", "-c", found["command"], HOME=str(user))
    assert done.returncode == 0, done.stderr
    assert (user / "app" / "ran").exists()


def test_release_is_done_once_over_two_laptops_and_follow_ups_follow(fleet: Fleet) -> None:
    for words in (
        ("dag", "submit", str(EXAMPLES / "release.yaml")),
        ("reactor", "publish", str(EXAMPLES / "follow-ups.yaml")),
        ("publish", "heartbeat", "changed"),
    ):
        assert (done := fleet.run("oak", "mesh", *words)).returncode == 0, done.stderr
    works = ["mesh", "work", "--capability", "build,sign,publish", "--trust", "oak", "--idle", "3s"]
    with ThreadPoolExecutor(2) as both:
        ran = list(both.map(lambda node: fleet.run(node, *works), ("oak", "elm")))
    assert [run.returncode for run in ran] == [0, 0], [run.stderr for run in ran]
    shown = json.loads(fleet.run("elm", "mesh", "dag", "show", "release", "--json").stdout)["data"]
    assert (shown["state"], shown["done"], shown["size"]) == ("done", 12, 12)
    assert [task["attempt"] for task in shown["tasks"]] == [1] * 12
    checked = fleet.run("elm", "mesh", "receipt", "check", "release/package")
    assert checked.stdout == "as it was told: 1 file of 1 receipts\n", checked.stderr
    ticks = [body for kind, body in fleet.bodies("oak") if kind == "event.publish" and body["topic"] == "tick"]
    assert [(body["type"], body["payload"]) for body in ticks] == [("requested", {"node": "oak"})]


def test_every_example_is_run_here() -> None:
    here = "".join(path.read_text("utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    names = [path.name for path in EXAMPLES.iterdir() if path.is_file()]
    assert len(names) >= 4
    assert [name for name in names if not re.search(rf'["/]{re.escape(name)}"', here)] == []
