"""The world outside the ledger, in the demo's release: a folder that all laptops write to.

Knows: the log to which every run of a task appends without asking, and the results that the gate guards.
Knows not: the ledger: what counts there is asked elsewhere (`release`).

    world = World(folder); world.runs()     # [Run(task="fetch", node="oak", token=21, ...), ...] in the order they began
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import orjson

GO, LOG = "go", "outside.ndjson"
WROTE, REFUSED = "wrote", "refused"


class Run(NamedTuple):
    """One run of a task: by whom, under which token, from when to when.

    Attributes:
        ended_ms: when it reached the gate; 0 where it never did.
        how: `wrote`, `refused`, or empty as long as it has not reached the gate.
        mark: the token that the gate had seen, where it refused.
    """

    task: str
    node: str
    token: int
    pid: int
    began_ms: int
    ended_ms: int = 0
    how: str = ""
    mark: int = 0


class World:
    """See the module's banner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def runs(self) -> list[Run]:
        """Every run that ever began."""
        log = self.folder / LOG
        lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
        found: dict[tuple[str, int], Run] = {}
        for line in map(orjson.loads, lines):
            key = line["task"], line["pid"]
            if line["did"] == "began":
                found[key] = Run(line["task"], line["node"], line["token"], line["pid"], line["at_ms"])
            else:
                found[key] = found[key]._replace(ended_ms=line["at_ms"], how=line["did"], mark=line.get("mark", 0))
        return list(found.values())

    def now(self, run: Run) -> Run:
        """The same run, as far as it has come by now."""
        return next(found for found in self.runs() if (found.task, found.pid) == (run.task, run.pid))

    def let_go_on(self) -> None:
        """What the long tasks work until."""
        (self.folder / GO).touch()

    def result(self, task: str) -> str:
        """What stands behind the gate."""
        file = self.folder / f"{task}.txt"
        return file.read_text("utf-8").strip() if file.exists() else ""
