"""A hub that enforces, by its path, and whoever pushes to it with real git: honest nodes, and others.

with Yard(tmp_path) as yard:                     # oak and elm; two epochs are at the hub
    yard.trunk.seal(yard.elm.write("event.publish", ...))
    yard.push_trunk()                            # Pushed(COMMITTED); what the hub said of a no is in `.reason`
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from orxaq_mesh.hub.making import make
from orxaq_mesh.hub.settings import FOLDER, HubSettings
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record
from orxaq_mesh.store import Oid, Outcome, Pushed
from orxaq_mesh.store.git import GitStore
from tests.builder import Pen, Trunk
from tests.hubs import Hub

Files = Mapping[str, bytes | None]


class Yard:
    """A ledger in memory, a store, and an enforcing hub that holds what was pushed.

    Attributes:
        trunk: the ledger as an honest node has it.
        tip: the commit that was pushed to the trunk last.
        held: the files of that commit.
    """

    def __init__(self, folder: Path, founder: str = "oak") -> None:
        self.path = folder / "hub.git"
        make(self.path, HubSettings(), os.environ)
        self.hub = Hub(str(self.path), self.path)
        self.store = GitStore(folder / "store", str(self.path), environ=os.environ)
        self.trunk = Trunk.founded(founder)
        self.tip: Oid | None = None
        self.held: dict[str, bytes] = {}
        self._stamp_s = 100
        self.elm = self.trunk.admit("elm")
        assert self.push_trunk().outcome is Outcome.COMMITTED

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()
        dismiss(self.path)

    # Honest ways.

    def push_trunk(self, files: Files | None = None) -> Pushed:
        """Push the trunk with these files changed; None: as the ledger in memory has them."""
        wanted = self.trunk.files if files is None else {**self.held, **files}
        new = self.commit(wanted, [self.tip] if self.tip else [], self.tip)
        pushed = self.store.push("mesh", self.tip, new)
        if pushed.outcome is Outcome.COMMITTED:
            self.tip, self.held = new, {path: data for path, data in wanted.items() if data is not None}
        return pushed

    def commit(self, files: Files, parents: list[Oid], base: Oid | None = None) -> Oid:
        """A commit of these files; those of the trunk that are not among them are gone."""
        self._stamp_s += 1
        gone: dict[str, bytes | None] = dict.fromkeys(self.held.keys() - files.keys()) if base else {}
        return self.store.commit(base, {**gone, **files}, parents, "a change", self._stamp_s)

    def outbox(self, log: str, *records: Record, files: Files | None = None, old: Oid | None = None) -> Oid:
        """An outbox commit as a node makes it: the trunk it saw, and its records that wait."""
        assert self.tip
        added = render(self.held.get, records) if files is None else files
        return self.commit({**self.held, **added}, [oid for oid in (old, self.tip) if oid], self.tip)

    def push_outbox(self, log: str, *records: Record, **more: Any) -> Pushed:
        """Push a node's outbox."""
        branch = f"mesh-node/{log}"
        old = self.hub.tip(branch)
        return self.store.push(branch, old, self.outbox(log, *records, old=old, **more))

    def event(self, pen: Pen | None = None, **payload: Any) -> Record:
        """A record that is always welcome."""
        return (pen or self.elm).write("event.publish", topic="builds", type="done", payload=payload)

    # Any way.

    def force(self, spec: str, **variables: str) -> str:
        """Stock git pushes whatever it is told to, from the store; what was said, and `0` or another code before it."""
        argv = ["git", "--git-dir", str(self.store.path), "push", "--force", str(self.path), *spec.split()]
        env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, **variables}
        done = subprocess.run(argv, capture_output=True, env=env, check=False)
        return f"{done.returncode} {done.stderr.decode()}"

    def wire(self, *commands: tuple[Oid, Oid, str], has: Oid | None = None, **variables: str) -> str:
        """What any client may say on the wire: (old, new, ref), word for word; git checks what git checks."""
        capabilities = b"\0report-status agent=any"
        lines = [f"{old} {new} {ref}".encode() for old, new, ref in commands]
        lines[0] += capabilities
        feed = b"".join(b"%04x%s\n" % (len(line) + 5, line) for line in lines) + b"0000"
        store = ["git", "--git-dir", str(self.store.path)]
        wanted = "\n".join([*(new for _, new, _ in commands), "--not", has or self.tip or ""]).encode() + b"\n"
        packed = subprocess.run(
            [*store, "pack-objects", "--stdout", "--revs", "-q"], input=wanted, capture_output=True, check=True
        )
        done = subprocess.run(
            ["git", "receive-pack", str(self.path)],
            input=feed + packed.stdout,
            capture_output=True,
            check=False,
            env={**os.environ, **variables},
        )
        return done.stderr.decode("utf-8", "replace")


def dismiss(hub: Path) -> None:
    """Who stands by at a hub may go: it looks every second whether it is still wanted."""
    for socket in (hub / FOLDER).glob("standby-*"):
        socket.unlink()
