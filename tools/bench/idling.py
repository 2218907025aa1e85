"""What an idle mesh-sync costs an hour, against a shell that asks the hub as often."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.home.settings import PROFILES
from tests.daemons import MeshSync, small_fleet
from tests.hubs import Hub, http_hub
from tools.bench.plain import polling
from tools.bench.rows import Row

HOUR_S = 3600
_TICKS_A_S = os.sysconf("SC_CLK_TCK")


class Cost(NamedTuple):
    """What a process and the children it has buried have used so far."""

    cpu_s: float
    wakeups: int

    @classmethod
    def of(cls, pid: int) -> Cost:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        switches = 0
        for status in Path(f"/proc/{pid}/task").glob("*/status"):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            switches += int(lines["voluntary_ctxt_switches"])
        return cls(sum(map(int, fields[11:15])) / _TICKS_A_S, switches)


def idle_rows(quick: bool) -> Iterator[Row]:
    """CPU, wake-ups and readings of the hub, for both profiles, measured at the same time."""
    for_s = 15 if quick else 45
    with ExitStack() as stack:
        watched = [_watched(stack, profile) for profile in ("lan", "github")]
        time.sleep(3)  # they start; what that costs is no cost of being idle
        before = [(Cost.of(sync.process.pid), Cost.of(shell), len(readings)) for sync, shell, readings in watched]
        time.sleep(for_s)
        for (sync, shell, readings), (was, was_shell, had), profile in zip(
            watched, before, ("lan", "github"), strict=True
        ):
            now, now_shell = Cost.of(sync.process.pid), Cost.of(shell)
            hourly = HOUR_S / for_s
            every = PROFILES[profile].poll_ms // 1000
            against = f"`git ls-remote` every {every} s in a shell"
            cpu, cpu_shell = (now.cpu_s - was.cpu_s) * hourly, (now_shell.cpu_s - was_shell.cpu_s) * hourly
            yield Row("idle", f"idle mesh-sync, {profile}: CPU an hour", cpu, against, cpu_shell, "s")
            wakes, wakes_shell = (now.wakeups - was.wakeups) * hourly, (now_shell.wakeups - was_shell.wakeups) * hourly
            yield Row("idle", f"idle mesh-sync, {profile}: wake-ups an hour", wakes, against, wakes_shell, "")
            asked = (len(readings) - had) * hourly
            yield Row("idle", f"idle mesh-sync, {profile}: readings of the hub an hour", asked, unit="")


def _watched(stack: ExitStack, profile: str) -> tuple[MeshSync, int, list[str]]:
    """An idle mesh-sync, the pid of an idle shell, and the readings of the hub by the former, as they come."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    readings: list[str] = []
    (folder / "quiet").mkdir()
    hub = stack.enter_context(http_hub(folder, lambda path: readings.append(path) if "info/refs" in path else None))
    home = small_fleet(folder, Hub(str(hub.path), hub.path))["oak"]
    poll_ms = PROFILES[profile].poll_ms
    sync = stack.enter_context(MeshSync(home, poll_ms=poll_ms, profile=profile, hub=hub.url))
    quiet = stack.enter_context(http_hub(folder / "quiet"))
    shell = polling(quiet.url, poll_ms // 1000)
    stack.callback(shell.wait)
    stack.callback(os.killpg, shell.pid, signal.SIGKILL)
    return sync, shell.pid, readings
