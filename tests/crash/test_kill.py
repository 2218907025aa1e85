"""kill -9 at every system call (invariants 5, 10-12 and 19; laws CHAIN, PUSH, ONCE; traps B12, C10, C28)."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.room import Room
from tests.crash.scene import SCENES, Aftermath, Scene
from tests.crash.strace import MESH, Point, Stage
from tests.fleet import Done

POINTS = os.environ.get("MESH_CRASH_POINTS", "6")
"""How many points of each scene: a number, or `all`."""
SEED = int(os.environ.get("MESH_CRASH_SEED", "0"))


def sample(points: list[Point], seed: int) -> list[tuple[Point, bool]]:
    """Some of the points, evenly spread: half of them where the node changes files, a quarter at its other calls, a
    quarter in the hub's processes. True: everybody dies with the chosen one."""
    if POINTS == "all":
        return [(point, both) for point in points for both in ((True,) if _locks_hub(point) else (False, True))]
    chance, wanted = random.Random(seed), int(POINTS)
    hub, node = _split(points, lambda point: point.of_hub)
    files, others = _split(node, lambda point: point.on_disk)
    chosen = [*_stride(files, wanted // 2, chance), *_stride(others, wanted // 4, chance)]
    chosen += _stride(hub, wanted - len(chosen), chance)
    return [(point, chance.random() < 0.5 or _locks_hub(point)) for point in chosen]


def _split(points: list[Point], true: Callable[[Point], bool]) -> tuple[list[Point], list[Point]]:
    return [point for point in points if true(point)], [point for point in points if not true(point)]


def _locks_hub(point: Point) -> bool:
    """Whether its end may leave the hub's branches locked, which nobody can undo who lives on."""
    return point.role.startswith("receive-pack")


def _stride(points: list[Point], wanted: int, chance: random.Random) -> list[Point]:
    step = max(1, len(points) // wanted)
    return points[chance.randrange(step) :: step][:wanted]


class Killer:
    """Kills the scene's command at points of its run.

    Args:
        before: see `Room.run`.
    """

    def __init__(self, scene: Scene, stage: Stage, room: Room, before: str = "") -> None:
        self.scene, self.stage, self.room, self.before = scene, stage, room, before

    def points(self) -> list[Point]:
        """Every place to die."""
        self.scene.reset()
        self.stage.watch()
        ended = self._run(everybody=False)
        assert ended.code == 0, ended
        self.room.settle()
        return self.stage.points()

    def _run(self, everybody: bool) -> Done:
        env = {**self.scene.fleet.env("oak"), "PATH": self.stage.path}
        tracer = lambda pid: self.stage.tracer(pid, everybody)  # noqa: E731
        return self.room.run(self.scene.words, env, tracer=tracer, before=self.before)

    def kill(self, point: Point, everybody: bool) -> Point:
        """Die there: what was really killed, for ids and so folders and their calls differ a little from run to run."""
        for _ in range(5):
            self.scene.reset()
            self.stage.aim(point)
            ended = self._run(everybody)
            shown = self.stage.killed(point.role)
            if shown is not None:
                assert ended.code == -9 or (point.role != MESH and not everybody), ended
                return point._replace(shown=shown)
            self.room.settle()
            point = point._replace(when=min(point.when - 1, self.stage.counted(point)))
            assert point.when > 0, f"{point}: no such call in this run, {ended}"
        raise AssertionError(f"{point}: nothing was killed")

    def aftermath(self, everybody: bool, sync_first: bool) -> None:
        """What must hold after the kill; processes that were left behind may still be at work meanwhile."""
        if everybody:
            self.room.clear()
        self.scene.deliver()
        self.stage.rest()
        Aftermath(self.scene).check(sync_first=sync_first)
        assert self.room.settle() == 0, "a process that nobody waits for"


@pytest.mark.parametrize("name", SCENES)
def test_CHAIN_PUSH_a_node_killed_at_any_system_call_goes_on_with_no_hand(tmp_path: Path, name: str) -> None:
    tried = 0
    with Room() as room:
        scene, stage = Scene(name, tmp_path / "fleet", room), Stage(tmp_path / "stage")
        killer = Killer(scene, stage, room)
        for number, (point, everybody) in enumerate(sample(killer.points(), SEED)):
            died = killer.kill(point, everybody)
            try:
                killer.aftermath(everybody, sync_first=number % 2 == 0)
            except AssertionError as error:
                who = "and everybody else" if everybody else "alone"
                raise AssertionError(f"{name}, killed {who} before {died}: {died.shown}") from error
            tried += 1
    assert tried >= (100 if POINTS == "all" else int(POINTS))


@pytest.mark.parametrize("name", ["publish", "fresh"])
def test_CACHE_a_store_that_a_power_cut_damaged_is_made_anew(tmp_path: Path, name: str) -> None:
    chance = random.Random(SEED)
    with Room() as room:
        scene, stage = Scene(name, tmp_path / "fleet", room), Stage(tmp_path / "stage")
        killer = Killer(scene, stage, room)
        points = [point for point in killer.points() if point.role == MESH and point.on_disk]
        for point in _stride(points, 200 if POINTS == "all" else 4, chance):
            died = killer.kill(point, everybody=True)
            room.clear()
            fates = scene.cut_power(chance)
            try:
                killer.aftermath(everybody=True, sync_first=chance.random() < 0.5)
            except AssertionError as error:
                raise AssertionError(f"{name}, power lost before {died}: {died.shown}; {fates}") from error
