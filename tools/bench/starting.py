"""What starting a command costs, against the start of a bare python."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from orxaq_mesh.mesh import Mesh
from tests.daemons import MeshSync, small_fleet
from tests.hubs import file_hub
from tools.bench.rows import Row, interleaved


def argv(home: Path, *words: str) -> list[str]:
    """A `mesh` command: what the installed script runs."""
    return [sys.executable, "-c", "from orxaq_mesh.cli import main; main()", *words, "--home", str(home)]


def shell(home: Path, *words: str, **settings: str) -> None:
    """Run a `mesh` command as a shell would; it must succeed."""
    env = {**os.environ, "MESH_PROFILE": "lan", "MESH_SESSION": "bench"}
    env |= {f"MESH_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(argv(home, *words), capture_output=True, env=env, check=False)
    assert done.returncode == 0, done.stderr.decode()


def start_rows(quick: bool) -> Iterator[Row]:
    """`mesh status`, cold."""
    rounds = 5 if quick else 15
    with tempfile.TemporaryDirectory() as folder, file_hub(Path(folder)) as hub:
        home = small_fleet(Path(folder), hub)["oak"]
        Mesh.open(str(home), session="bench", profile="lan").acquire("deploy", 600_000)

        def python() -> None:
            subprocess.run([sys.executable, "-c", "pass"], check=True)

        def status() -> None:
            shell(home, "status")

        def status_reading() -> None:
            (home / "cache" / "reading.json").unlink(missing_ok=True)
            status()

        with MeshSync(home, poll_ms=2000):
            interleaved(2, python, status)
            bare, running = interleaved(rounds, python, status)
        bare_, reading = interleaved(rounds, python, status_reading)
    yield Row("start", "`mesh status` cold, mesh-sync running", running, "`python -c pass`", bare, bar=8)
    yield Row("start", "`mesh status` cold, alone: it reads the hub", reading, "`python -c pass`", bare_, bar=8)
