"""Real mesh-sync processes for the tests, and a small fleet for them.

fleet = small_fleet(tmp_path, hub)             # {"oak": home, "elm": home}
with MeshSync(fleet["oak"]) as sync:
    sync.wait_for("sealed", kind="lease.renew")
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from orxaq_mesh.home.process import ProcessId, identify
from orxaq_mesh.mesh import Mesh
from tests.hubs import Hub, wait_until

DEADLINE_S = 30


def node(home: Path, session: str = "s", **options: Any) -> Mesh:
    return Mesh.open(str(home), session=session, **{"profile": "lan", **options})


def small_fleet(folder: Path, hub: Hub, *names: str) -> dict[str, Path]:
    """Homes of nodes at a hub, the first its founder."""
    founder, *others = names or ("oak", "elm")
    oak = node(folder / founder)
    ledger = oak.init(hub.url, founder).ledger
    for name in others:
        node(folder / name).join(hub.url, name, ledger)
    for hello in oak.hellos():
        assert oak.admit(hello["name"], hello["fingerprint"]).result == "admitted"
    return {name: folder / name for name in (founder, *others)}


class MeshSync:
    """One running mesh-sync, in a process group of its own; its log is a file beside its home."""

    def __init__(self, home: Path, *, poll_ms: int = 100, **settings: Any) -> None:
        self.home, self.log = home, home.with_suffix(".log")
        chosen = {"profile": "lan", "poll_ms": poll_ms, **settings}
        env = {**os.environ, **{f"MESH_{name.upper()}": str(value) for name, value in chosen.items()}}
        command = [
            sys.executable,
            "-c",
            "from orxaq_mesh.cli import sync_main; sync_main()",
            "--json",
            "--home",
            str(home),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env, process_group=0)

    def __enter__(self) -> Self:
        self.wait_for("started")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()

    def events(self, name: str | None = None, **facts: Any) -> list[dict[str, Any]]:
        """The events that were logged, of one name and with these facts."""
        lines = self.log.read_bytes().split(b"\n")[:-1]
        found = [json.loads(line) for line in lines]
        found = [event for event in found if name in (None, event.get("event"))]
        return [event for event in found if all(event.get(key) == value for key, value in facts.items())]

    def wait_for(self, name: str, count: int = 1, **facts: Any) -> dict[str, Any]:
        """The `count`th such event, as soon as it is logged."""
        wait_until(lambda: len(self.events(name, **facts)) >= count or self.process.poll() is not None, DEADLINE_S)
        found = self.events(name, **facts)
        assert len(found) >= count, self.log.read_text()
        return found[count - 1]

    def signal(self, number: signal.Signals) -> None:
        """To the whole process group: mesh-sync and its gits."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def stop(self) -> int:
        """SIGTERM to mesh-sync alone; gives its exit code."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

    def restart(self, **settings: Any) -> MeshSync:
        return MeshSync(self.home, **settings)


class Sleeper:
    """A process that holds leases by living."""

    def __init__(self, group: int = 0) -> None:
        code = "import sys; sys.stdin.read()"
        self.process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, process_group=group)

    @property
    def id(self) -> ProcessId:
        found = identify(self.process.pid)
        assert found
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def mesh_command(home: Path, *words: str, **settings: Any) -> subprocess.CompletedProcess[bytes]:
    """A real `mesh` command, to its end."""
    env = {
        **os.environ,
        **{f"MESH_{name.upper()}": str(value) for name, value in {"profile": "lan", **settings}.items()},
    }
    argv = [sys.executable, "-m", "orxaq_mesh", *words, "--json", "--home", str(home)]
    return subprocess.run(argv, capture_output=True, env=env, timeout=DEADLINE_S, check=False)
