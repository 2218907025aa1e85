"""A fleet that can be split over several hubs: homes, as many hubs as a test asks for, and who is at which.

fleet = Halves(tmp_path, "oak", "elm", "ash", "fir")      # founded at hub "a"
fleet.split("b", "ash", "fir")                            # b is a copy of a; these two go there
fleet.ok("ash", "sync", "--from", fleet.url("a"))         # a command of ash, at b
fleet.node("oak").publish("builds", "done", {})           # the same through the facade: quicker
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from orxaq_mesh.mesh import Mesh
from tests.fleet import MESH, PATIENCE_S, Done
from tests.hubs import Hub, bare, plain_git
from tests.nodes import founded, joined

NODES = ("oak", "elm", "ash", "fir")
WEST = ("ash", "fir")


@cache
def _template(folder: Path) -> Path:
    """Four nodes at hub a, made once a run."""
    folder.mkdir(parents=True)
    hub = Hub(str(folder / "a.git"), bare(folder / "a.git"))
    oak = founded(folder, hub, NODES[0])
    for name in NODES[1:]:
        joined(folder, hub, oak, name)
    for name in NODES:
        Mesh.open(str(folder / name), hub=hub.url).observe()
    return folder


@cache
def _apart(folder: Path) -> Path:
    """The same, when ash and fir have worked at a hub b, and the others at a."""
    made = Halves(folder.with_name(f"{folder.name}-apart"), folder)
    made.split("b", *WEST)
    for name in NODES:
        assert made.node(name).publish("builds", "done", {"by": name}).verdict == "applied"
    return made.folder


class Halves:
    """Homes below one folder, and hubs by name; `at` says which hub each node uses.

    Args:
        folder: where to; it must not be there yet.
        template: where the fleet that is copied is, or is to be made.
        apart: whether ash and fir are at a hub b by now, and each node has published something at its own.
    """

    def __init__(self, folder: Path, template: Path, *, apart: bool = False) -> None:
        self.folder = folder
        shutil.copytree((_apart if apart else _template)(template), folder, symlinks=True, copy_function=_copy)
        self.hubs = {path.stem: Hub(str(path), path) for path in sorted(folder.glob("*.git"))}
        self.at = dict.fromkeys(NODES, "a") | (dict.fromkeys(WEST, "b") if apart else {})
        self.ledger: str = self.node("oak").identity().ledger

    # Hubs.

    def url(self, name: str) -> str:
        return self.hubs[name].url

    def split(self, name: str, *nodes: str, of: str = "a", hub: Hub | None = None) -> Hub:
        """One more hub, with what another one has; these nodes go there."""
        there = hub or Hub(str(self.folder / f"{name}.git"), bare(self.folder / f"{name}.git"))
        plain_git("--git-dir", str(self.hubs[of].path), "push", "--quiet", "--mirror", str(there.path))
        self.hubs[name] = there
        self.at.update(dict.fromkeys(nodes, name))
        return there

    def tree(self, name: str) -> str:
        """The id of the trunk's tree."""
        return self.hubs[name].git("rev-parse", "mesh^{tree}")

    def lines(self, name: str) -> set[str]:
        """All lines of the trunk."""
        files = self.hubs[name].git("ls-tree", "-r", "--name-only", "mesh").split("\n")
        return {line for file in files for line in self.hubs[name].git("show", f"mesh:{file}").split("\n") if line}

    def edit(self, name: str, files: dict[str, bytes | None]) -> str:
        """Somebody pushes a commit of these files by hand; None: removed."""
        clone = self.folder / "by-hand"
        shutil.rmtree(clone, ignore_errors=True)
        plain_git("clone", "--quiet", "--branch", "mesh", str(self.hubs[name].path), str(clone))
        for path, content in files.items():
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            (clone / path).unlink(missing_ok=True) if content is None else (clone / path).write_bytes(content)
        plain_git("-C", str(clone), "add", "--all")
        plain_git("-C", str(clone), "commit", "--quiet", "-m", "by hand")
        plain_git("-C", str(clone), "push", "--quiet")
        return plain_git("-C", str(clone), "rev-parse", "HEAD")

    # Nodes.

    def copy_home(self, node: str, name: str) -> None:
        """Somebody copies a laptop's home, key and all."""
        shutil.copytree(self.home(node), self.home(name), symlinks=True)

    def home(self, node: str) -> Path:
        return self.folder / node

    def node(self, name: str, **options: Any) -> Mesh:
        """The node through the facade, at its hub."""
        return Mesh.open(str(self.home(name)), **{"hub": self.url(self.at[name]), "session": f"s-{name}", **options})

    def env(self, node: str, **more: str) -> dict[str, str]:
        hub = self.hubs[self.at[node]]
        own = {"MESH_HOME": str(self.home(node)), "MESH_HUB": hub.url, "MESH_SESSION": f"s-{node}"}
        return {**hub.environ(), **own, **more}

    def start(self, node: str, *words: str, **more: str) -> subprocess.Popen[bytes]:
        """A command that goes on."""
        return subprocess.Popen(
            [*MESH, *words, "--json"],
            env=self.env(node, **more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
        )

    def mesh(self, node: str, *words: str, stdin: bytes = b"", **more: str) -> Done:
        """A command of a node, to its end; it never ends in a traceback."""
        done = subprocess.run(
            [*MESH, *words],
            env=self.env(node, **more),
            input=stdin,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
            cwd=self.folder,
        )
        ended = Done(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert "Traceback" not in ended.err, ended.err
        assert "unforeseen" not in ended.err, ended.err
        return ended

    def ok(self, node: str, *words: str, stdin: bytes = b"", **more: str) -> Any:
        """The `data` of a command that must succeed."""
        done = self.mesh(node, *words, "--json", stdin=stdin, **more)
        assert done.code == 0, done
        return done.data

    def view(self, node: str) -> tuple[Any, ...]:
        """All that a node makes of the ledger: tip, digest, every verdict in order."""
        history = self.node(node).history(fresh=True)
        verdicts = tuple((item.record.id, item.epoch, item.verdict) for item in history.judged)
        state, kept = history.state, self.node(node).status(offline=True)
        assert (state.epoch, state.seal, state.digest) == (kept["epoch"], kept["seal"], kept["state"]), node
        return state.epoch, state.seal, state.digest, verdicts

    def agree(self, nodes: Iterable[str] = NODES) -> tuple[Any, ...]:
        """That all of these see the same; gives it."""
        views = {node: self.view(node) for node in nodes}
        first = next(iter(views.values()))
        assert all(view == first for view in views.values()), {node: view[:3] for node, view in views.items()}
        return first


def _copy(source: str, target: str) -> None:
    """A copy; of an object of git, which never changes, one more name does."""
    (os.link if "/objects/" in source else shutil.copy2)(source, target)


def said(process: subprocess.Popen[bytes]) -> Done:
    """How a started command ended."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert b"Traceback" not in err, err.decode()
    return Done(process.returncode, out.decode(), err.decode())


def data(done: Done) -> Any:
    assert done.code == 0, done
    return json.loads(done.out)["data"]
