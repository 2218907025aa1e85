"""Each hostile change is refused by every judge, for the same law; where it is in the trunk all the same, it is healed."""

from __future__ import annotations

import pytest

from orxaq_mesh.review import review
from orxaq_mesh.store import Change
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.store.repository import Repository
from tests.changes.guarded import Answer, Guarded
from tests.changes.hostile import CASES
from tests.changes.judges import left_by_healing, node_says, review_says
from tests.changes.objects import Objects
from tests.changes.scene import Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_hostile_change_is_refused_by_every_judge_for_the_same_law_and_healed(
    case: Case, objects: Objects, store: GitStore, repository: Repository, guarded: Guarded
) -> None:
    scene = case.scene()
    base, head = scene.commits(objects)
    assert base != head
    objects.point("mesh", head)
    said = {
        "review": review_says(scene.trunk, repository, base, head),
        "node": node_says(scene.trunk, store, base, head),
        "hub": _refused(guarded.push(base, head)),
    }
    named = {judge for judge, laws in said.items() if case.law in laws}
    silent = {judge for judge, why in (("node", case.node), ("hub", case.hub)) if why}
    assert named == said.keys() - silent, said
    if store.has(head):
        assert not left_by_healing(scene.trunk, store, base, head) & {"LINE", "QUIET", "RENDER", "SEEN", "DIGEST"}


def _refused(answer: Answer) -> set[str]:
    assert not answer.moved
    return answer.laws


@pytest.mark.parametrize(
    "name",
    [
        "FENCE: a finish by another node",
        "LEASE-2: beside a seal: a lease that is held",
        "NODE-3: a revoked node writes",
        "CHAIN: elm signs two records for one seq",
        "SECRET: a token in a payload",
        "RENDER: an empty file in a log",
        "DIGEST: zeros for a digest",
    ],
)
def test_a_review_names_the_law_with_nothing_but_two_sets_of_files(name: str) -> None:
    (case,) = (case for case in CASES if case.name == name)
    scene = case.scene()
    before, after = scene.trunk.files, scene.files
    paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    found = review(scene.trunk.ledger, [Change(path, before.get(path), after.get(path)) for path in paths])
    assert case.law in {finding.law for finding in found.findings}


def test_every_hostile_case_has_a_name_of_its_own_and_there_are_enough() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 150
