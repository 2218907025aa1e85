"""One attempt at some work in a folder of its own, for the tests of this room."""

from __future__ import annotations

import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orxaq_mesh.home.process import environment, identify
from orxaq_mesh.worker.events import ExecutionLog, read
from orxaq_mesh.worker.execution import Exit, Step, run

WITHIN_S = 20


def python(source: str, *words: str, limit_ms: int = 20_000) -> Step:
    """A step that runs a program; short, for no site packages are looked for."""
    return Step("try", (sys.executable, "-S", "-E", "-c", textwrap.dedent(source), *words), limit_ms=limit_ms)


def script(text: str, limit_ms: int = 20_000) -> Step:
    return Step("try", script=text, limit_ms=limit_ms)


class Attempt:
    """Runs steps in `work`, with the log in `log`."""

    def __init__(self, folder: Path) -> None:
        self.work, self.logs = folder / "work", folder / "log"
        self.work.mkdir()
        self.stop = threading.Event()
        self.took_s = 0.0

    def run(self, step: Step, **options: Any) -> Exit:
        begun = time.monotonic()
        with ExecutionLog(self.logs / "exec.jsonl") as log:
            ended = run(step, self.work, environment(), log=log, stop=self.stop, **options)
        self.took_s = time.monotonic() - begun
        return ended

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        return [event for event in read(self.logs / "exec.jsonl") if event["event"].startswith(kind)]

    def text(self, stream: str = "out") -> str:
        """What the events told of a stream."""
        return "".join(event["text"] for event in self.events("exec.chunk") if event["stream"] == stream)

    def stop_when(self, happened: Callable[[], object]) -> threading.Thread:
        """Set `stop` as soon as something has happened."""

        def watch() -> None:
            wait_for(happened)
            self.stop.set()

        thread = threading.Thread(target=watch)
        thread.start()
        return thread

    def pids(self) -> list[int]:
        """Who wrote its pid as the name of a file into the folder."""
        return [int(path.name) for path in self.work.iterdir() if path.name.isdecimal()]


def wait_for(happened: Callable[[], object], within_s: float = WITHIN_S) -> None:
    until = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.005)


def living(pids: list[int]) -> list[int]:
    return [pid for pid in pids if identify(pid)]
