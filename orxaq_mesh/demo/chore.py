"""What every task of the demo's release runs: it appends a line where nobody guards, works, and writes through the gate.

Knows: its task, the world outside (a folder that all laptops share), the token that `mesh work` gave it.
Knows not: that its laptop may lose its power or fall asleep while it works.
Law: FENCE. The line in `outside.ndjson` asks nobody; the write of `<task>.txt` passes the gate, once for each token.

    python -m orxaq_mesh.demo.chore lint /tmp/world --after go      # works until there is /tmp/world/go
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import orjson

from orxaq_mesh.demo.world import GO, LOG
from orxaq_mesh.errors import FENCED, Fenced
from orxaq_mesh.gate import gate
from orxaq_mesh.home.clock import Clock
from orxaq_mesh.home.process import environment

LONGEST_MS = 60_000
POLL_S = 0.02


def main() -> None:
    """One run of one task."""
    task, folder, *long = sys.argv[1:]
    world, given, clock = Path(folder), environment(), Clock()
    token, seal = int(given["MESH_TOKEN"]), given["MESH_SEAL"]
    me = {"task": task, "node": Path(given["MESH_HOME"]).name, "token": token, "pid": os.getpid()}
    tell(world, clock, "began", me)
    if long:
        work(world, clock)
    text = f"{task}: by {me['node']}, token {token}\n"
    Path(f"{task}.txt").write_text(text, "utf-8")
    try:
        with gate(world / f"{task}.txt", token, seal):
            (world / f"{task}.txt").write_text(text, "utf-8")
            tell(world, clock, "wrote", me)
    except Fenced as no:
        tell(world, clock, "refused", {**me, "mark": no.facts["mark"]})
        raise SystemExit(FENCED) from None


def work(world: Path, clock: Clock) -> None:
    """Until there is something to go on with; whoever has lost its worker does not go on."""
    until_ms, worker = clock.now_ms() + LONGEST_MS, os.getppid()
    while not (world / GO).exists():
        if os.getppid() != worker or not world.exists() or clock.now_ms() > until_ms:
            raise SystemExit(f"{world / GO} did not come")
        time.sleep(POLL_S)


def tell(world: Path, clock: Clock, did: str, facts: dict[str, Any]) -> None:
    """One line, appended whole."""
    line = orjson.dumps({"did": did, "at_ms": clock.now_ms(), **facts}, option=orjson.OPT_APPEND_NEWLINE)
    fd = os.open(world / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line)
    finally:
        os.close(fd)


if __name__ == "__main__":
    main()
