"""The state of the fleet as a command needs it: of now, or the fault that keeps it from being that.

Knows: when the hub is read; how often someone who watches looks.
Knows not: what is shown.
Law: CLOSED: what is old is shown only where `--offline` asked for it.

    state = present_state()
    for state in changes(): ...          # now, and whenever something was sealed
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.call import call

Offline = Annotated[bool, typer.Option("--offline", help="Show what was last read; do not read the hub.")]


def present_state(*, offline: bool = False) -> Any:
    """The state.

    Raises:
        MeshError: the hub or the ledger is at fault, and `offline` was not asked for.
    """
    from orxaq_mesh.cli.lease import present

    present(offline=offline)
    return call().mesh().state()


def changes(timeout_ms: int | None = None) -> Iterator[Any]:
    """The state, and again whenever it has changed; ends when the time is over. Who reads it looks as often as one waits."""
    from orxaq_mesh.cli.lease import present
    from orxaq_mesh.home.clock import Clock

    clock, mesh = Clock(), call().mesh()
    end_ms = None if timeout_ms is None else clock.now_ms() + timeout_ms
    seal = None
    while True:
        found = present()
        if found["seal"] != seal:
            seal = found["seal"]
            yield mesh.state()
        pause_ms = mesh.settings.pace.poll_waiting_ms
        left_ms = pause_ms if end_ms is None else min(pause_ms, end_ms - clock.now_ms())
        if left_ms <= 0:
            return
        time.sleep(left_ms / 1000)
