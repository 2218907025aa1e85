"""A fleet in one process: real engines and the real performer over a hub, a clock and journals of our own.

Knows: when anything happens. One seeded scheduler owns time, chance and faults (lost and unknown pushes, late and
    doubled deliveries, a hub that is down, crashes between any two effects, pauses longer than a ttl, forged lines).
Knows not: any rule. `checks` holds every step against the laws without asking the engine.

    python -m tests.sim --seed 7 --steps 2000        # prints the play if a law breaks
"""

from __future__ import annotations

from tests.sim.checks import Broke
from tests.sim.world import Settings, World, run

__all__ = ["Broke", "Settings", "World", "run"]
