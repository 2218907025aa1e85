"""Each hostile change is refused by every judge, for the same law."""

from __future__ import annotations

import pytest

from orxaq_mesh.store.git import GitStore
from tests.changes.hostile import CASES
from tests.changes.judges import node_says
from tests.changes.objects import Objects
from tests.changes.scene import Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_change_is_refused_by_every_judge_for_the_same_law(
    case: Case, objects: Objects, store: GitStore
) -> None:
    scene = case.scene()
    base, head = scene.commits(objects)
    assert base != head
    objects.point("mesh", head)
    said = {"node": node_says(scene.trunk, store, base, head)}
    alike = {judge: case.law in laws for judge, laws in said.items()}
    assert alike == dict.fromkeys(said, True), said


def test_every_hostile_case_has_a_name_of_its_own_and_there_are_enough() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 150
