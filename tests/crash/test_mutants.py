"""Faults in what keeps a node's word on the medium, and the crash tests that notice each (trap C8)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from orxaq_mesh.home import files
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.sync import founding, identity, performer
from tests.crash.node import Fleet
from tests.crash.room import Room
from tests.crash.scene import Scene
from tests.crash.strace import MESH, Point, Stage
from tests.crash.test_kill import Killer
from tests.crash.test_power import (
    founding_outlives_power_cuts,
    journal_outlives_power_cuts,
    node_outlives_kill_and_power_cut,
    node_outlives_power_cuts,
)
from tests.mutants import Mutant


class Slip(NamedTuple):
    """A fault, and who notices it; told a fleet, or an empty folder."""

    fault: Mutant
    by_fleet: Callable[[Fleet], object] | None = None
    by_folder: Callable[[Path], object] | None = None


FOREVER: Final = contextlib.ExitStack()
PUSHED_FIRST: Final = Mutant(
    performer.Performer._perform,
    "        self.journal.append(*entries)\n        entries.clear()\n        match",
    "        match",
)
SLIPS: Final = {
    "an append is not synced": Slip(
        Mutant(Journal._append, "self._sync(fd)", "pass"), by_folder=journal_outlives_power_cuts
    ),
    "an append is not synced before the push": Slip(
        Mutant(Journal._append, "self._sync(fd)", "pass"), node_outlives_power_cuts
    ),
    "a push goes out before the journal is written": Slip(PUSHED_FIRST, node_outlives_power_cuts),
    "a seal is not journalled": Slip(
        Mutant(identity.entries_of, "if save.seal is not None:", "if False:"), node_outlives_power_cuts
    ),
    "what a killed process wrote is not synced": Slip(
        Mutant(Journal.settle, "self._sync_path()", "pass"), by_folder=journal_outlives_power_cuts
    ),
    "the name of a journal is not synced": Slip(
        Mutant(Journal.settle, "sync_directory(self.path.parent)", "pass"), by_folder=journal_outlives_power_cuts
    ),
    "what a killed process wrote is pushed unsynced": Slip(
        Mutant(performer.Performer._run, "self.journal.settle()", "pass"),
        node_outlives_kill_and_power_cut,
    ),
    "a torn line is thrown away": Slip(
        Mutant(Journal.settle, "self._set_aside() if torn else None", "None"), by_folder=journal_outlives_power_cuts
    ),
    "a new file's name is not synced": Slip(
        Mutant(files.create_new, "sync_directory(path.parent)", "pass"), by_folder=journal_outlives_power_cuts
    ),
    "a new file's bytes are not synced": Slip(
        Mutant(files.write_whole, "sync(fd)", "pass"), by_folder=journal_outlives_power_cuts
    ),
    "a founding pushes what a killed one left unsynced": Slip(
        Mutant(founding._push_genesis, "performer.journal.settle()", "pass"), by_folder=founding_outlives_power_cuts
    ),
}


@pytest.mark.parametrize("fault", SLIPS)
def test_C8_a_fault_that_a_power_cut_would_show_is_noticed(fault: str, fleet: Fleet, tmp_path: Path) -> None:
    slip = SLIPS[fault]
    with slip.fault.applied(), pytest.raises(AssertionError):
        if slip.by_fleet:
            slip.by_fleet(fleet)
        if slip.by_folder:
            slip.by_folder(tmp_path)


def push_first() -> None:
    """Called in the process of a command: see `room`."""
    FOREVER.enter_context(PUSHED_FIRST.applied())


def test_C8_a_push_before_the_journal_is_noticed_by_kill_9(tmp_path: Path) -> None:
    with Room("tests.crash.test_mutants") as room:
        scene, stage = Scene("publish", tmp_path / "fleet", room), Stage(tmp_path / "stage")
        killer = Killer(scene, stage, room, before="tests.crash.test_mutants:push_first")
        points = [point for point in killer.points() if point.role == MESH and "journal.ndjson" in point.shown]
        assert any(_shows(killer, point) for point in reversed(points))


def _shows(killer: Killer, point: Point) -> bool:
    killer.kill(point, everybody=True)
    try:
        killer.aftermath(everybody=True, sync_first=True)
    except AssertionError as error:
        return "not in the journal" in str(error)
    return False
