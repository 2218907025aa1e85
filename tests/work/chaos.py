"""A random DAG over a fleet that loses workers, mesh-syncs and whole laptops, and stops some past their ttl.

report = run(folder, Plan(tasks=40, nodes=3, seed=1))        # everything is counted in the ledger and outside of it
"""

from __future__ import annotations

import random
import signal
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from orxaq_mesh import Mesh
from orxaq_mesh.kinds import work
from tests.fleet import Fleet
from tests.work.laptops import Laptop
from tests.work.reckoning import Act, Report, reckon

AUTHOR, DAG = "author", "chaos"
A_PART = 100
"""So many of these tasks fit into one line."""
EFFECT = (
    """say() {{ echo $1 $MESH_LEASE $MESH_TOKEN $MESH_HOME $(date +%s.%N) >>{0}; }}; say begin; sleep {1}; say end"""
)
KINDS = ("worker", "worker", "sync", "laptop", "stop")


class Plan(NamedTuple):
    """What is to be done, and how much trouble there is.

    Attributes:
        every_s: the mean time between two acts of mischief, all nodes taken together.
        most_s: the longest that a task sleeps.
    """

    tasks: int = 40
    nodes: int = 3
    seed: int = 0
    ttl_s: float = 4.0
    every_s: float = 1.5
    most_s: float = 0.4
    slots: int = 2
    patience_s: float = 240.0


def random_tasks(plan: Plan, effects: Path) -> list[dict[str, Any]]:
    """Each task needs up to three of those shortly before it, so that there are both long chains and wide fronts."""
    dice, tasks = random.Random(plan.seed), list[dict[str, Any]]()
    for number in range(plan.tasks):
        before = range(max(0, number - 4 * plan.nodes * plan.slots), number)
        needs = dice.sample(before, min(len(before), dice.randint(0, 3)))
        script = EFFECT.format(effects, round(dice.uniform(0, plan.most_s), 2))
        run = {"name": "effect", "run": ["sh", "-c", script]}
        tasks.append({"name": f"t{number}", "needs": [f"t{need}" for need in needs], "commands": [run]})
    return tasks


def run(folder: Path, plan: Plan, *, told: bool = False) -> Report:
    """Play it to its end, and reckon."""
    fleet, effects = Fleet(folder), folder / "effects"
    effects.touch()
    names = [f"n{number}" for number in range(plan.nodes)]
    fleet.found(AUTHOR, *names)
    author = Mesh.open(str(fleet.home(AUTHOR)), session="author", profile="lan")
    began = time.time()
    submit(author, random_tasks(plan, effects))
    with ExitStack() as stack:
        laptops = [
            stack.enter_context(Laptop(fleet, name, author=AUTHOR, ttl_s=plan.ttl_s, slots=plan.slots))
            for name in names
        ]
        acts = _mischief(laptops, plan, effects, told)
        took_s = _until_done(author, laptops, plan) - began
        for laptop in laptops:
            laptop.stop()
        codes = [code for laptop in laptops for code in laptop.ended]
    return reckon(fleet, [AUTHOR, *names], effects, acts, plan.tasks, took_s, codes)


def submit(author: Mesh, tasks: list[dict[str, Any]]) -> None:
    """A submit and its parts, asked for together: one push."""
    pieces = [tasks[at : at + A_PART] for at in range(0, len(tasks), A_PART)]
    asked = [("dag.submit", {"dag": DAG, "tasks": pieces[0], "parts": len(pieces) - 1})]
    asked += [("dag.part", {"dag": DAG, "part": number, "tasks": pieces[number]}) for number in range(1, len(pieces))]
    answers = author.ask_all(asked)
    assert {answer.verdict for answer in answers} == {"applied"}, answers


def _mischief(laptops: list[Laptop], plan: Plan, effects: Path, told: bool) -> list[Act]:
    """Until nine of ten tasks have had their effect; what was killed is started again a little later."""
    dice, acts, due = random.Random(plan.seed), list[Act](), dict[Laptop, tuple[float, Act]]()
    next_s, deadline_s, said = time.time() + plan.every_s, time.time() + plan.patience_s, 0.0
    while (done := _ended(effects)) < 0.9 * plan.tasks and time.time() < deadline_s:
        now_s = time.time()
        for laptop, (at_s, act) in list(due.items()):
            if now_s >= at_s:
                del due[laptop]
                acts.append(act._replace(until_s=now_s))
                laptop.send(signal.SIGCONT) if act.kind == "stop" else laptop.start()
        if now_s >= next_s:
            next_s = now_s + dice.expovariate(1 / plan.every_s)
            laptop = dice.choice(laptops)
            if laptop not in due:
                due[laptop] = _do(laptop, dice, plan, now_s)
        for laptop in laptops:
            if laptop not in due:
                laptop.start()
        if told and now_s > said + 10:
            said = now_s
            print(f"{done} of {plan.tasks} tasks, {len(acts)} acts", flush=True)
        time.sleep(0.05)
    for laptop, (_, act) in due.items():
        acts.append(act._replace(until_s=time.time()))
        laptop.send(signal.SIGCONT)
        laptop.start()
    return acts


def _do(laptop: Laptop, dice: random.Random, plan: Plan, now_s: float) -> tuple[float, Act]:
    kind = dice.choice(KINDS)
    if kind == "stop":
        laptop.send(signal.SIGSTOP)
        pause_s = plan.ttl_s * dice.uniform(1.5, 2.5)
    else:
        laptop.kill(kind)
        pause_s = dice.uniform(0.1, 2)
    return now_s + pause_s, Act(laptop.name, kind, now_s, now_s)


def _ended(effects: Path) -> int:
    return len({line.split()[1] for line in effects.read_text().splitlines() if line.startswith("end ")})


def _until_done(author: Mesh, laptops: list[Laptop], plan: Plan) -> float:
    """When nothing of the DAG is waiting, ready or running any more."""
    deadline_s = time.time() + plan.patience_s
    while True:
        author.sync()
        now_s = time.time()
        if not work.work(author.state()).dags[DAG].is_open:
            return now_s
        assert now_s < deadline_s, "the DAG did not come to its end"
        for laptop in laptops:
            laptop.start()
        time.sleep(0.2)
