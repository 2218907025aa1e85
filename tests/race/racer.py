"""One node of the race: asks for each lease that it is told, and says what came of it."""

from __future__ import annotations

from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orxaq_mesh.holding
import orxaq_mesh.store.git
import orxaq_mesh.sync.performer  # noqa: F401 - before the fork, not after it
from orxaq_mesh.errors import MeshError
from orxaq_mesh.mesh import Mesh

TTL_MS = 600_000


def at_home(home: Path, hub: str | None = None) -> Mesh:
    """The node of a home; `hub`: another way to the hub than the one it joined by."""
    return Mesh.open(str(home), session="race", profile="lan", hub=hub)


def run(end: Connection, home: str, hub: str) -> None:
    mesh = at_home(Path(home), hub)
    while True:
        try:
            lease = end.recv()
        except EOFError:
            return
        end.send(_told(mesh, lease))


def _told(mesh: Mesh, lease: str) -> dict[str, Any]:
    try:
        answer = mesh.acquire(lease, TTL_MS)
    except MeshError as error:
        return {"verdict": "error", "result": "", "what": error.what}
    return {**answer._asdict(), "facts": dict(answer.facts)}
