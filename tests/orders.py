"""Work for tests: DAGs, claims, receipts, finishes and commands, written by the pens of a `Trunk`.

trunk = fleet()                                           # oak (admin), elm and ash
do(trunk, submit(trunk.oak, task("build"), task("test", "build")))
do(trunk, claim(trunk.pens["elm"], "build"))
do(trunk, finish(trunk, "build"))                         # by whom it runs, under its token
states(trunk)                                             # {"build": "succeeded", "test": "ready"}
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import Moment, Verdict
from orxaq_mesh.kinds.base import no_part
from orxaq_mesh.kinds.lease import Lease, leases
from orxaq_mesh.kinds.work import Dag, Item, Work, work
from orxaq_mesh.record import Record, Value
from tests.builder import Pen, Trunk, effect_of, row_reached

TTL_MS = 60_000
DAG = "release"


def fleet() -> Trunk:
    trunk = Trunk.founded()
    trunk.admit("elm")
    trunk.admit("ash")
    return trunk


def lease_of(name: str) -> str:
    """`build` is short for `task:release/build`."""
    return name if ":" in name else f"task:{name if '/' in name else f'{DAG}/{name}'}"


# Records.


def task(name: str, *needs: str, **order: Any) -> Value:
    return {"name": name, **({"needs": list(needs)} if needs else {}), **order}


def diamond(**order: Any) -> list[Value]:
    """a, then b and c, then d."""
    return [task("a", **order), task("b", "a", **order), task("c", "a", **order), task("d", "b", "c", **order)]


def submit(pen: Pen, *tasks: Value, dag: str = DAG, **body: Any) -> Record:
    return pen.write("dag.submit", **{"dag": dag, "tasks": list(tasks), "until": 9999} | body)


def part(pen: Pen, record: str, number: int, *tasks: Value, dag: str = DAG) -> Record:
    return pen.write("dag.part", dag=dag, record=record, part=number, tasks=list(tasks), until=9999)


def cancel(pen: Pen, dag: str = DAG) -> Record:
    return pen.write("dag.cancel", dag=dag, reason="wrong branch")


def claim(pen: Pen, name: str, session: str = "s", **body: Any) -> Record:
    asks = {"lease": lease_of(name), "session": session, "ttl_ms": TTL_MS, "until": 9999}
    return pen.write("lease.acquire", **asks | body)


def take(trunk: Trunk, pen: Pen, name: str, session: str = "s", **body: Any) -> Record:
    held = claim_of(trunk, name)
    named = {"lease": held.name, "session": session, "token": held.token or 1, "last": held.last or "0" * 64}
    return pen.write("lease.take", **named | {"watched_ms": TTL_MS, "ttl_ms": TTL_MS, "until": 9999} | body)


def release(trunk: Trunk, name: str) -> Record:
    held = claim_of(trunk, name)
    named = {"lease": held.name, "session": held.session, "token": held.token, "record": held.record}
    return holder(trunk, name).write("lease.release", **named)


def receipt(trunk: Trunk, name: str, step: str, phase: str = "run", **body: Any) -> Record:
    says = {"step": step, "phase": phase, "exit": 0, "outcome": "exited", "under": under(trunk, name)}
    return holder(trunk, name).write("task.receipt", **says | body)


def finish(trunk: Trunk, name: str, outcome: str = "succeeded", by: Pen | None = None, **body: Any) -> Record:
    """Whoever runs it says what came of it."""
    kind = "command.finish" if name.startswith("command:") else "task.finish"
    return (by or holder(trunk, name)).write(kind, **{"outcome": outcome, "under": under(trunk, name)} | body)


def retry(pen: Pen, name: str) -> Record:
    return pen.write("task.retry", task=f"{DAG}/{name}", reason="once more")


def skip(pen: Pen, name: str) -> Record:
    return pen.write("task.skip", task=f"{DAG}/{name}", reason="by hand")


def assign(pen: Pen, name: str, **to: str) -> Record:
    return pen.write("task.assign", task=f"{DAG}/{name}", reason="it has the key", **to)


def issue(pen: Pen, name: str = "restart", **body: Any) -> Record:
    address = {} if body.keys() & {"to", "capability", "holder"} else {"to": "elm"}
    return pen.write("command.issue", **{"name": name, "until": 9999, **address} | body)


def offer(pen: Pen, *capabilities: str, slots: int = 1) -> Record:
    return pen.write("work.offer", capabilities=list(capabilities), slots=slots)


# What became of it.


def item(trunk: Trunk, name: str) -> Item:
    found = part_of(trunk).items.get(lease_of(name))
    assert found is not None, name
    return found


def part_of(trunk: Trunk) -> Work:
    return work(trunk.ledger.state)


def dag(trunk: Trunk, name: str = DAG) -> Dag:
    return part_of(trunk).dags[name]


def states(trunk: Trunk, name: str = DAG) -> dict[str, str]:
    return {lease.rpartition("/")[2]: item(trunk, lease).state for lease in dag(trunk, name).tasks}


def the_command(trunk: Trunk) -> str:
    """The only command there is."""
    (name,) = (name for name, _ in part_of(trunk).items.items() if name.startswith("command:"))
    return name


def claim_of(trunk: Trunk, name: str) -> Lease:
    return leases(trunk.ledger.state).by_name.get(lease_of(name)) or Lease(lease_of(name))


def under(trunk: Trunk, name: str) -> Value:
    held = claim_of(trunk, name)
    return {"lease": held.name, "session": held.session or "s", "token": held.token or 1}


def holder(trunk: Trunk, name: str) -> Pen:
    return trunk.pens[claim_of(trunk, name).holder or "elm"]


def do(trunk: Trunk, *records: Record) -> Verdict:
    """Seal records, an epoch each; all of them are applied."""
    verdict = Verdict("", "")
    for record in records:
        verdict = trunk.verdict(record)
        assert verdict.outcome == "applied", (record.kind, verdict, kinds.words(trunk.ledger.state, record, verdict))
    return verdict


def run(trunk: Trunk, name: str, outcome: str = "succeeded", by: str = "elm", **body: Any) -> Verdict:
    """Claim and finish."""
    do(trunk, claim(trunk.pens[by], name, watched_ms=10**9))
    return do(trunk, finish(trunk, name, outcome, **body))


# Tables.

Scene = Callable[[Trunk, Pen, Pen, Pen], list[Record]]
Scenes = dict[tuple[str, str], Scene]


def stage(scenes: Scenes, family: str) -> Callable[[str, str], Callable[[Scene], Scene]]:
    """A decorator that notes the scene of a row: it gives the records of the next epoch, the one in question last."""

    def scene(kind: str, case: str) -> Callable[[Scene], Scene]:
        def note(play: Scene) -> Scene:
            scenes[f"{family}.{kind}" if family else kind, case] = play
            return play

        return note

    return scene


def reach(family: Any, row: kinds.Row, scenes: Scenes) -> None:
    """Play a row's scene: that row decides, what is applied changes the state, what is not changes nothing."""
    trunk = fleet()
    *before, record = scenes[row.kind, row.case](trunk, trunk.oak, trunk.pens["elm"], trunk.pens["ash"])
    state, moment = trunk.ledger.state, Moment(trunk.ledger.state.epoch + 1, "f" * 64)
    for earlier in before:
        assert kinds.apply(state, earlier, moment).outcome == "applied"
    assert record.flaw is None
    assert row_reached(family, state, record, moment) is row
    verdict, changed = effect_of(state, record, moment)
    assert verdict == (row.outcome, row.rule, row.result)
    assert changed == (row.outcome == "applied" and row.do is not no_part)
    assert fold.snapshot(fold.restore(fold.snapshot(state))) == fold.snapshot(state)
    if row.outcome != "applied":
        words = kinds.words(state, record, verdict)
        assert len(words.what) > 8
        assert words.hint.startswith("mesh")
