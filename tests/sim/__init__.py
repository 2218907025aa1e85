"""A fleet in one process: real engines and the real performer over a hub, a clock and journals of our own.

A schedule is a list of commands (`world`). A seed makes one (`chance`); the world performs it, and after every command
everything is checked (`checks`: nodes and callers; `view`: the hub's trunk, record by record; `law`: the list of what
is checked). At the end all faults are over and everybody must get what he waits for (`healing`). A schedule that breaks
something is cut down to the commands that it takes (`shrink`) and printed as a play that can be kept in
tests/scenarios/fleet/ (`plays`).

Knows: when anything happens; every fault: `hub`, `fakes` (a crash at any effect), `fleet` (copied keys, restored
    journals, members that come and go), `insider` (a member that signs anything).
Knows not: any rule.

    python -m tests.sim --seed 7 --steps 2000        # prints the play if a law breaks
    run(Settings.of(7, 2000))                        # the world at its end, or Broke with the play
"""

from __future__ import annotations

from tests.sim.chance import Settings
from tests.sim.law import INVARIANTS, Broke
from tests.sim.running import replay, run
from tests.sim.world import World

__all__ = ["INVARIANTS", "Broke", "Settings", "World", "replay", "run"]
