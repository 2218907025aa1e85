"""What is to be run, and how it ended: plain values.

Knows: the words of both.
Knows not: how a command is run (`execution`).

    Step("build", ("make", "all"), limit_ms=600_000).command        # ("make", "all")
"""

from __future__ import annotations

from typing import Final, NamedTuple

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.worker.output import Stream

EXITED, TIMEOUT, STOPPED, NOT_STARTED = "exited", "timeout", "stopped", "not-started"
PHASES: Final = ("before", "run", "after", "rollback")
NOT_FOUND, NOT_RUNNABLE = 127, 126


class CannotStart(MeshFault):
    """This machine could not start a command now; the command itself was not to blame, and did not begin."""

    code = "not-started"


class Step(NamedTuple):
    """One command of a work order.

    Attributes:
        name: the order's word for it.
        argv: program and arguments; empty where there is a script.
        script: text for `sh -c`. Only who has asked the task and the node's configuration may set it.
        limit_ms: how long it may take, on the boot-time clock: a laptop's sleep counts, as it does for a lease.
        phase: `before`, `run`, `after` or `rollback`.
    """

    name: str
    argv: tuple[str, ...] = ()
    script: str = ""
    limit_ms: int = 600_000
    phase: str = "run"

    @property
    def command(self) -> tuple[str, ...]:
        """What is started."""
        return ("sh", "-c", self.script) if self.script else self.argv


class Exit(NamedTuple):
    """How a step ended.

    Attributes:
        outcome: `exited` (by itself, with a code or by a signal), `timeout`, `stopped` (from outside) or `not-started`.
        code: the exit code; 127 where there is no such program, 126 where it cannot be run; None after a signal.
        signal: the signal's number, or None.
        duration_ms: until the command itself ended; what it left behind is not counted.
        out: its stdout; on a terminal both streams.
        err: its stderr.
        why: one sentence where it was not started, or not ended whole.
    """

    outcome: str
    code: int | None = None
    signal: int | None = None
    duration_ms: int = 0
    out: Stream = Stream()
    err: Stream = Stream()
    why: str = ""

    @property
    def good(self) -> bool:
        """Whether the step did what it was to do."""
        return self.outcome == EXITED and self.code == 0
