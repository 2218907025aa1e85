"""Schedules as plays: text that a reader can follow, with what came of each command written below it.

The form is that of `tests/bench.py`: blocks of commands, a line of dashes, and what came of them; `#` begins a comment.
Plays that are worth keeping lie in tests/scenarios/fleet/; `python -m tests.sim --plays` writes what came of them anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.sim.law import Broke
from tests.sim.running import replay
from tests.sim.world import World

PLAYS = Path(__file__).parent.parent / "scenarios" / "fleet"
MANY = 20
"""Of so many lines at most the beginning, and so many of the end, are shown of one command."""
Item = tuple[str, list[str]]


def text_of(items: Iterable[Item]) -> str:
    """Commands and what came of each, as blocks: commands without a result stand with the next one that has one."""
    blocks: list[str] = []
    commands: list[str] = []
    for command, results in items:
        commands.append(command)
        if results:
            blocks.append("\n".join([*commands, "----", *_cut(results)]))
            commands = []
    return "\n\n".join([*blocks, *(["\n".join(commands)] if commands else [])]) + "\n"


def _cut(results: list[str]) -> list[str]:
    """A healing that does not end would fill pages."""
    left_out = len(results) - 2 * MANY
    return [*results[:MANY], f"... {left_out} lines ...", *results[-MANY:]] if left_out > 1 else results


def commands_of(text: str) -> list[str]:
    """The lines of a play, comments and empty lines among them, without what came of them."""
    lines: list[str] = []
    for block in text.strip("\n").split("\n\n"):
        lines += block.split("\n----")[0].split("\n")
    return lines


def schedule_of(text: str) -> list[str]:
    """The schedule behind a play."""
    return [line for line in commands_of(text) if line and not line.startswith("#")]


def play(text: str) -> str:
    """A play, with what comes of it now.

    Raises:
        Broke: an invariant does not hold in it.
    """
    return _with_comments(text, replay(schedule_of(text), loud=True))


def _with_comments(text: str, world: World) -> str:
    items: list[Item] = []
    played = iter(world.play)
    before: list[str] = []
    for line in commands_of(text):
        if line.startswith("#"):
            before.append(line)
        else:
            command, results = next(played)
            items.append(("\n".join([*before, command]), results))
            before = []
    return text_of(items)


def failing_play(schedule: Sequence[str]) -> str:
    """The play of a schedule that breaks something, with what breaks at its end."""
    try:
        world = replay(schedule, loud=True)
    except Broke as broke:
        return f"{text_of(broke.world.play)}\n# {broke}\n"
    return text_of(world.play)
