"""Pull requests: a repository whose trunk holds a real ledger, and branches that would change it.

pulls = Pulls(tmp_path / "work")                   # oak and elm are in; oak holds `deploy`
pulls.branch("topic", pulls.elm.write("lease.acquire", ...))
pulls.mesh("review", "mesh..topic")                # Done(code, out, err)
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, Seal
from tests.builder import Trunk
from tests.hubs import plain_git

ROOT = Path(__file__).resolve().parent.parent
MESH = [sys.executable, "-m", "orxaq_mesh"]


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return orjson.loads(self.out)["data"]


def run(argv: list[str], cwd: Path, feed: bytes = b"", **variables: str) -> Done:
    """A program with an environment of its own."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(cwd), "MESH_HOME": str(cwd / "no-home")}
    done = subprocess.run(argv, cwd=cwd, env={**env, **variables}, input=feed, capture_output=True, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def commit_with_dot_git(pulls: Pulls) -> str:
    """A commit above the trunk that git's own check refuses: no node takes it in."""
    blob = bytes.fromhex(pulls.git("rev-parse", "mesh:ledger/epochs"))
    tree = plain_git(
        "-C",
        str(pulls.folder),
        "hash-object",
        "-t",
        "tree",
        "--literally",
        "-w",
        "--stdin",
        feed=b"40000 .git\0" + blob,
    )
    return pulls.git("commit-tree", tree, "-p", "mesh", "-m", "bad")


class Pulls:
    """A checkout with the trunk `mesh`, and the ledger that is in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=mesh")
        self.trunk = Trunk.founded()
        self.oak, self.elm = self.trunk.oak, self.trunk.admit("elm")
        self.trunk.seal(self.lease(self.oak, "deploy"))
        self.trunk.seal(self.lease(self.elm, "docs"))
        self.land()

    def git(self, *args: str) -> str:
        return plain_git("-C", str(self.folder), *args)

    def mesh(self, *args: str, feed: bytes = b"", **variables: str) -> Done:
        """A command of ours, in this repository."""
        return run([*MESH, *args], self.folder, feed, **variables)

    def lease(self, pen: Any, lease: str, **body: Any) -> Record:
        """A wish for a lease, not yet sealed."""
        until = self.trunk.ledger.state.epoch + 16
        return pen.write("lease.acquire", **{"lease": lease, "session": "s", "ttl_ms": 60_000, "until": until, **body})

    def land(self) -> str:
        """The trunk as it is now, as its branch's next commit."""
        self.git("checkout", "--quiet", "-B", "mesh")
        return self.commit(dict(self.trunk.files))

    def branch(self, name: str, *records: Record, seals: tuple[Seal, ...] = (), files: Any = ()) -> str:
        """A branch from the trunk that brings these lines, or leaves these files as given; its tip."""
        self.git("checkout", "--quiet", "-B", name, "mesh")
        tip = self.commit({**render(self.trunk.files.get, records, seals), **dict(files)})
        self.git("checkout", "--quiet", "mesh")
        return tip

    def commit(self, files: dict[str, bytes | None]) -> str:
        """A commit on the branch that is checked out."""
        for name, data in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if data is None:
                file.unlink()
            else:
                file.write_bytes(data)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")
