"""A small fleet for tests of the programs: homes, one real hub, every command a process of its own.

fleet = Fleet(tmp_path); fleet.found("oak", "elm")
done = fleet.mesh("oak", "lease", "acquire", "deploy")       # done.code, done.out, done.err, done.data
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.hubs import bare

MESH = [sys.executable, "-m", "orxaq_mesh"]
SYNC = [sys.executable, "-c", "from orxaq_mesh.cli import sync_main; sync_main()"]
PATIENCE_S = 60.0


class Done(NamedTuple):
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]

    @property
    def error(self) -> Any:
        return json.loads(self.err.splitlines()[-1])["error"]


class Fleet:
    """Homes and a hub below one directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = bare(folder / "hub.git")
        self.ledger = ""

    def home(self, node: str) -> Path:
        return self.folder / node

    def env(self, node: str, **more: str) -> Mapping[str, str]:
        return {**os.environ, "MESH_HOME": str(self.home(node)), "MESH_SESSION": f"s-{node}", **more}

    def mesh(self, node: str, *words: str, stdin: str = "", cwd: Path | None = None, **more: str) -> Done:
        """One command of a node; nothing of it is a terminal."""
        done = subprocess.run(
            [*MESH, *words],
            env=self.env(node, **more),
            input=stdin.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            cwd=cwd or self.folder,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def ok(self, node: str, *words: str, **more: str) -> Any:
        """The `data` of a command that must succeed."""
        done = self.mesh(node, *words, "--json", **more)
        assert done.code == 0, done
        return done.data

    def found(self, first: str, *others: str) -> None:
        """Found the ledger as `first`, and let the others in."""
        self.ledger = self.ok(first, "init", "--hub", str(self.hub), "--node", first)["ledger"]
        for node in others:
            said = self.ok(node, "join", "--hub", str(self.hub), "--node", node, "--ledger", self.ledger)
            self.ok(first, "admit", node, "--fingerprint", said["fingerprint"])

    def start(self, node: str, *argv: str, **more: str) -> subprocess.Popen[str]:
        """A process of a node that goes on."""
        return subprocess.Popen(
            list(argv),
            env=self.env(node, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        )

    def tip(self) -> str:
        """Where the trunk is."""
        done = subprocess.run(["git", "--git-dir", str(self.hub), "rev-parse", "mesh"], capture_output=True, check=True)
        return done.stdout.decode().strip()


def until(true: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """What `true` gives, once it gives something."""
    deadline = time.monotonic() + patience_s
    while not (found := true()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return found
