"""Laptops that work: each a `mesh work` with its mesh-sync, to be killed, stopped and started again.

with Laptop(fleet, "elm", author="oak", ttl_s=4) as elm:
    elm.kill("worker")             # or "sync", or "laptop": both, and what they run
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from orxaq_mesh.home.locks import holder
from orxaq_mesh.home.place import Home
from tests.fleet import MESH, Fleet


class Laptop:
    """One node at work, while its `with` block lasts."""

    def __init__(self, fleet: Fleet, name: str, *, author: str, ttl_s: float, slots: int = 1) -> None:
        self.fleet, self.name = fleet, name
        self._words = ["work", "--trust", author, "--ttl", f"{int(ttl_s * 1000)}ms", "--slots", str(slots)]
        self.said = fleet.folder / f"{name}.said"
        self.ended: list[int] = []
        self.worker: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.send(signal.SIGCONT)
        self.kill("laptop")

    def start(self) -> None:
        """Start the worker, if none runs; it starts a mesh-sync, if none runs."""
        if self.running():
            return
        with self.said.open("ab") as said:
            self.worker = subprocess.Popen(
                [*MESH, *self._words, "--folder", str(self.fleet.folder)],
                env=self.fleet.env(self.name),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.fleet.folder,
                process_group=0,
            )

    def running(self) -> bool:
        """Whether the worker lives; how one that ended did so is noted."""
        if self.worker is None:
            return False
        if (code := self.worker.poll()) is not None:
            self.ended.append(code)
            self.worker = None
        return code is None

    def sync(self) -> int | None:
        """The pid of this node's mesh-sync, which leads a process group with its gits."""
        held = holder(Home(self.fleet.home(self.name)), "sync")
        return held.process.pid if held and held.process else None

    def commands(self) -> list[int]:
        """The pids of what the worker runs; each leads a process group."""
        return [] if self.worker is None else [pid for pid in _children(self.worker.pid) if os.getpgid(pid) == pid]

    def send(self, number: signal.Signals) -> None:
        """A signal to all of the laptop."""
        for pid in (*self.commands(), *([self.worker.pid] if self.worker else []), self.sync()):
            _group(pid, number)

    def kill(self, what: str) -> None:
        """SIGKILL to the worker, to mesh-sync, or to the whole laptop."""
        if what == "laptop":
            self.send(signal.SIGKILL)
        elif what == "sync":
            _group(self.sync(), signal.SIGKILL)
        elif self.worker is not None:
            _group(self.worker.pid, signal.SIGKILL)
        if self.worker is not None and what != "sync":
            self.worker.wait()
            self.worker = None

    def stop(self) -> None:
        """SIGTERM to the worker: it ends its mesh-sync, if it has started it."""
        if self.worker is not None:
            self.worker.terminate()
            self.ended.append(self.worker.wait(60))
            self.worker = None


def _group(pid: int | None, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        if pid is not None:
            os.killpg(pid, number)


def _children(parent: int) -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_bytes().rpartition(b")")[2].split()[1]) == parent:
                yield int(stat.parent.name)
