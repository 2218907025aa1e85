"""Another try where this machine was at fault, and only there.

Knows: which failures say nothing about the command: it never began. They are tried three times, 250 ms and 500 ms
apart.
Knows not: what a non-zero exit means; that is a result, and the task's own policy decides (so are a missing program,
127, and one that cannot be run, 126).

    run_patiently(step, checkout, environment, log=log, stop=lost)       # like `execution.run`, and never `CannotStart`
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.worker import events
from orxaq_mesh.worker.events import ExecutionLog
from orxaq_mesh.worker.execution import CannotStart, Exit, Step, log_end, run
from orxaq_mesh.worker.step import NOT_STARTED

TRIES: Final = 3
FIRST_PAUSE_MS: Final = 250


def run_patiently(
    step: Step,
    folder: Path,
    environment: Mapping[str, str],
    *,
    log: ExecutionLog,
    stop: threading.Event,
    pause: Callable[[float], Any] | None = None,
    **options: Any,
) -> Exit:
    """Run one step, again where it could not be started; an `exec.retry` stands between two tries.

    Args:
        step: what to run.
        folder: where.
        environment: all of its environment.
        log: takes the events.
        stop: ends the command, and the pauses.
        pause: lets so many seconds pass; by default until `stop` is set.
        **options: of `execution.run`.

    Returns:
        The exit; `not-started` with no code where three tries were in vain.

    Raises:
        Usage: the step has no command.
    """
    pause_ms = FIRST_PAUSE_MS
    for attempt in range(1, TRIES + 1):
        try:
            return run(step, folder, environment, log=log, stop=stop, attempt=attempt, **options)
        except CannotStart as fault:
            why = fault.what
        if attempt < TRIES:
            with contextlib.suppress(MeshFault):  # a log that cannot be written to is what may be tried again
                log.append(
                    events.RETRY, step=step.name, phase=step.phase, why=why, pause_ms=pause_ms, **{"try": attempt}
                )
            (pause or stop.wait)(pause_ms / 1000)
            pause_ms *= 2
    ended = Exit(NOT_STARTED, why=f"{why}; tried {TRIES} times")
    log_end(log, step, ended)
    return ended
