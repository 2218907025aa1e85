"""Runs schedules: a seed's, or one that is given as a list of commands.

run(Settings.of(7, 2000))                # Broke, with the schedule among its notes, if a law breaks
replay(["fleet oak elm seed 7", "go oak"])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tests.sim.chance import Settings, schedule
from tests.sim.fakes import simulated
from tests.sim.law import Broke
from tests.sim.world import Fleet, World


def run(settings: Settings) -> World:
    """Play a seed's schedule to its end.

    Raises:
        Broke: a law was broken; `schedule` is what led there.
    """
    with simulated(settings.real):
        world = World(settings.line())
        done = [settings.line()]
        _perform(world, schedule(world, settings), done)
    return world


def replay(lines: Sequence[str], *, loud: bool = False) -> World:
    """Play a schedule that is written down.

    Raises:
        Broke: as `run`.
    """
    with simulated(Fleet.parse(lines[0]).real):
        world = World(lines[0], loud=loud)
        done = [lines[0]]
        _perform(world, lines[1:], done)
    return world


def _perform(world: World, lines: Iterable[str], done: list[str]) -> None:
    try:
        for line in lines:
            done.append(line)
            world.perform(line)
    except Broke as broke:
        broke.schedule, broke.world = done, world
        raise
