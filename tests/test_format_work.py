"""docs/format.md is enough for work, too: two implementations agree on DAGs, mappings, and the worked example."""

from __future__ import annotations

import random
from pathlib import Path

from orxaq_mesh.kinds import dag, mapping
from orxaq_mesh.record import canonical
from tests import format_page
from tests.test_format import agree
from tests.toil import Toil, rule, value

import reacting  # isort: skip
import working  # isort: skip


def test_the_worked_example_of_work_is_what_the_verifier_finds(tmp_path: Path) -> None:
    trunk = format_page.work_story()
    told = agree(tmp_path, trunk.files)
    page = format_page.PAGE.read_text("utf-8").split("## 17.")[1]
    assert told["ok"]
    assert told["state"] in page
    here = [f"{id_} {' '.join(verdict)}".rstrip() for id_, verdict in told["verdicts"].items() if id_ in page]
    assert sum(line in page for line in here) == 14


def facts_of(dice: random.Random) -> dict[str, object]:
    options = [value(dice, 1) for _ in range(dice.randrange(5))]
    payload = {"n": dice.randrange(5), "ok": dice.random() < 0.5, "options": options, "any": value(dice, 2)}
    return {"topic": "t", "type": dice.choice("abc"), "payload": payload, "cause": "ab" * 32, "node": "oak"}


def test_REACTOR_1_and_2_two_implementations_agree_on_what_a_rule_is_and_gives() -> None:
    unsound = gave = 0
    for seed in range(6000):
        dice = random.Random(seed)
        one, facts = rule(dice), facts_of(dice)
        assert reacting.is_sound(one) == (not mapping.flaw(one)), one
        if mapping.flaw(one):
            unsound += 1
            continue
        ours, theirs = mapping.follows(one, facts), reacting.given(one, facts)
        assert canonical(ours or {}) == canonical(dict([theirs]) if theirs else {}), (one, facts)
        gave += ours is not None
    assert unsound > 100
    assert gave > 1000


def test_DAG_3_two_implementations_agree_on_what_a_dag_is() -> None:
    flawed = 0
    for seed in range(1500):
        dice = random.Random(seed)
        tasks = Toil(dice).tasks("a", dice.randrange(7), [])
        names = [task["name"] for task in tasks]
        if names and dice.random() < 0.3:
            dice.choice(tasks)["needs"] = dice.choices(
                [*names, *names, "z"], k=2
            )  # of later ones, of itself, of nobody
        assert working.is_dag(tasks) == (not dag.flaws(tasks)), tasks
        flawed += bool(dag.flaws(tasks))
    assert flawed > 100
