"""Each honest change passes every judge, and the state behind it is the same for all of them."""

from __future__ import annotations

import pytest

from orxaq_mesh import fold
from orxaq_mesh.review import review
from orxaq_mesh.store import Change
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.store.repository import Repository
from tests.changes.guarded import Guarded
from tests.changes.honest import CASES, PUT_BACK
from tests.changes.judges import next_seal, node_says, read, review_of, stranger
from tests.changes.objects import Objects
from tests.changes.scene import Case, Scene, says, working_fleet


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_an_honest_change_passes_every_judge_and_all_come_to_one_state(
    case: Case, objects: Objects, store: GitStore, repository: Repository, guarded: Guarded
) -> None:
    scene = case.scene()
    base, head = scene.commits(objects)
    objects.point("mesh", head)
    found = review_of(scene.trunk, repository, base, head)
    assert found.findings == ()
    assert node_says(scene.trunk, store, base, head) == set()
    pushed = guarded.push(base, head)
    assert pushed.moved, pushed
    ledger, reading = read(scene.trunk.ledger.fork(), store, base, head)
    assert fold.snapshot(ledger.state) == fold.snapshot(stranger(ledger.id, store, head).state)
    assert not ledger.mends
    judged = [*reading.judged, *next_seal(ledger, scene.trunk)]
    told = {(item.record.id, *item.verdict) for item in judged}
    assert {(one.record, one.outcome, one.rule, one.result) for one in found.sentences} <= told
    assert {item.record.id for item in reading.judged} <= {one.record for one in found.sentences}


def test_RENDER_what_waited_and_was_deleted_is_not_held_against_who_puts_it_back(
    objects: Objects, store: GitStore, repository: Repository
) -> None:
    scene = PUT_BACK.scene()
    base, head = scene.commits(objects)
    objects.point("mesh", head)
    assert review_of(scene.trunk, repository, base, head).findings == ()
    assert node_says(scene.trunk, store, base, head) == set()


def test_FORK_a_review_says_that_a_change_forks_the_spine() -> None:
    scene = Scene(working_fleet())
    before = dict(scene.files)
    scene.add(word := says(scene.elm), seals=[scene.seal(word), scene.seal(word, at="2026-11-20T09:31:00.000Z")])
    paths = [path for path in scene.files if scene.files[path] != before.get(path)]
    found = review(scene.trunk.ledger, [Change(path, before.get(path), scene.files[path]) for path in paths])
    assert (found.ok, found.notes) == (True, ("the spine forks: 1 seal stands beside it (mesh explain FORK)",))


def test_every_honest_case_has_a_name_of_its_own_and_there_are_enough() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 50
