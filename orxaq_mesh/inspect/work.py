"""DAGs, tasks, commands and the breaker as the fleet's state has them: plain values for people and `--json`.

Knows: the state of work, and in which order tasks come.
Knows not: the hub, records (`attempts` and `causes` look at those), printing.

    dag(state, "release")["tasks"][0]      # {"task": "release/fetch", "state": "succeeded", "node": "oak", "attempt": 1, ...}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.graph import needs_of
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.reactor import reactors
from orxaq_mesh.kinds.work import BLOCKED, CANCELLED, COMMAND, FAILED, MET, RUNNING, SUCCEEDED, TASK, Dag, Item, work

Json = dict[str, Any]


class NotThere(MeshFault):
    """Nothing bears this name in the state that was read."""


OUTCOMES = {SUCCEEDED: "applied"}
"""What a state of work is called where the work is a command."""


def dags(state: State) -> list[Json]:
    """All DAGs, newest first, without their tasks."""
    found = sorted(work(state).dags.values(), key=lambda dag: (-dag.since, dag.name))
    return [_dag(dag) for dag in found]


def dag(state: State, name: str) -> Json:
    """A DAG with its tasks, each behind those that it needs.

    Raises:
        NotThere: there is none of this name.
    """
    part = work(state)
    if (found := part.dags.get(name)) is None:
        raise NotThere(f"there is no DAG {name}{_near(name, part.dags)}", hint="mesh dag list", dag=name)
    return {**_dag(found), "tasks": tasks_of(state, found)}


def _dag(dag: Dag) -> Json:
    counts = {state: count for state, count in sorted(dag.counts.items()) if count}
    return {
        "dag": dag.name,
        "state": _state_of(dag),
        "author": dag.author,
        "record": dag.record,
        "epoch": dag.since,
        "priority": dag.priority,
        "limits": dict(dag.limits),
        "missing_parts": dag.missing,
        "reason": dag.reason or None,
        "size": len(dag.tasks),
        "done": sum(counts.get(state, 0) for state in MET),
        "counts": counts,
    }


def _state_of(dag: Dag) -> str:
    if dag.missing:
        return "coming"
    if dag.is_open:
        return "running" if dag.counts.get(RUNNING) else "open"
    if dag.counts.get(FAILED) or dag.counts.get(BLOCKED):
        return "failed"
    return "cancelled" if dag.counts.get(CANCELLED) else "done"


def tasks_of(state: State, dag: Dag) -> list[Json]:
    """A DAG's tasks in an order in which they could be done; `depth` is how many stand behind each other before it."""
    items = work(state).items
    known = {item.name: item for name in dag.tasks if (item := items.get(name)) is not None}
    depths = _depths(known)
    order = {name: at for at, name in enumerate(dag.tasks)}
    ranked = sorted(known, key=lambda name: (depths[name], order[name]))
    return [{**task(state, known[name]), "depth": depths[name]} for name in ranked]


def _depths(items: dict[str, Item]) -> dict[str, int]:
    left = {name: len(needs_of(item.order)) for name, item in items.items()}
    depths = {name: 0 for name, count in left.items() if not count}
    free = list(depths)
    for name in free:
        for other in items[name].dependents:
            left[other] -= 1
            if not left[other]:
                depths[other] = depths[name] + 1
                free.append(other)
    return depths


def task(state: State, item: Item) -> Json:
    """One task: what it is doing, and who does it since when."""
    held = leases(state).by_name.get(item.name)
    runs = item.state == RUNNING and held is not None
    return {
        "task": item.name.removeprefix(TASK),
        "dag": item.dag,
        "name": item.name.partition("/")[2],
        "state": item.state,
        "node": item.node or None,
        "attempt": item.attempt,
        "attempts": item.order.get("attempts", 1),
        "failures": item.failures,
        "token": item.token if item.attempt else None,
        "epoch": item.since,
        "since": held.since if runs and held is not None else None,
        "needs": needs_of(item.order),
        "waits_for": item.needs,
        "capability": item.capability or None,
        "to": item.to or None,
        "priority": item.priority,
        "reason": item.reason or None,
    }


def tasks(state: State, *, of: str | None = None, in_state: str | None = None) -> list[Json]:
    """All tasks of all DAGs, or of one; in one state, where one is named.

    Raises:
        NotThere: there is no such DAG.
    """
    names = [of] if of is not None else sorted(work(state).dags)
    listed = [task for name in names for task in dag(state, name)["tasks"]]
    return [task for task in listed if in_state in (None, task["state"])]


def find_task(state: State, name: str) -> Item:
    """The task `<dag>/<task>`.

    Raises:
        Usage: the name is no such pair.
        NotThere: there is none.
    """
    of, slash, rest = name.partition("/")
    if not (of and slash and rest) or "/" in rest:
        raise Usage(f"{name[:80]!a} is no task: write DAG/TASK", hint="mesh task list")
    if (item := work(state).items.get(TASK + name)) is None:
        known = work(state).dags.get(of)
        near = _near(name, [item.removeprefix(TASK) for item in known.tasks]) if known else ""
        raise NotThere(f"there is no task {name}{near}", hint="mesh task list", task=name)
    return item


# Commands.


def commands(state: State, *, in_state: str | None = None) -> list[Json]:
    """All commands, those first of which something was heard last."""
    found = [command(state, item) for item in work(state).items.values() if item.name.startswith(COMMAND)]
    found.sort(key=lambda one: (-one["epoch"], one["command"]))
    return [one for one in found if in_state in (None, one["state"])]


def command(state: State, item: Item) -> Json:
    """One command: what it is, for whom, and what came of it."""
    held = leases(state).by_name.get(item.name)
    runs = item.state == RUNNING and held is not None
    return {
        "command": item.name.removeprefix(COMMAND),
        "name": item.order["name"],
        "args": item.order.get("args"),
        "state": OUTCOMES.get(item.state, item.state),
        "by": item.order["by"],
        "to": item.to or None,
        "capability": item.capability or None,
        "holder": item.holder or None,
        "record": item.order["record"],
        "node": item.node or None,
        "attempt": item.attempt,
        "token": item.token if item.attempt else None,
        "epoch": item.since,
        "since": held.since if runs and held is not None else None,
        "priority": item.priority,
        "reason": item.reason or None,
    }


def find_command(state: State, prefix: str) -> Item:
    """The command whose id begins so.

    Raises:
        Usage: several do.
        NotThere: none does.
    """
    wanted = COMMAND + prefix.removeprefix(COMMAND).lower()
    found = [item for item in work(state).items.values() if item.name.startswith(wanted)]
    if not found or wanted == COMMAND:
        raise NotThere(f"there is no command {prefix[:40]}", hint="mesh command list", command=prefix)
    if len(found) > 1:
        ids = [item.name.removeprefix(COMMAND) for item in found[:8]]
        raise Usage(f"{prefix} fits several: {', '.join(ids)}", hint="give more of its digits", ids=ids)
    return found[0]


def address(value: Json) -> str:
    """For whom a command is, in words."""
    if value["to"]:
        return f"to {value['to']}"
    return f"for {value['capability']}" if value["capability"] else f"for the holder of {value['holder']}"


# The breaker and reactors.


def breaker(state: State) -> Json:
    """The circuit breaker."""
    found = work(state).breaker
    is_open = bool(found.since)
    return {
        "open": is_open,
        "epoch": found.since or None,
        "reason": found.reason or None,
        "by": found.by or None,
        "failures_in_row": found.failures,
        "guard_incidents": found.guards,
    }


def reactor_list(state: State) -> list[Json]:
    """All published mappings, and the follow-ups that are due."""
    part = reactors(state)
    return [
        {"reactor": name, "version": found.version, "record": found.record, "rules": list(found.rules)}
        for name, found in sorted(part.mappings.items())
    ]


def due_list(state: State) -> list[Json]:
    """The follow-ups that nobody has written yet."""
    return [
        {"reaction": due.id, "kind": due.kind, "body": due.body, "cause": due.cause, "under": due.under or None}
        for _, due in sorted(reactors(state).due.items())
    ]


def _near(word: str, known: Iterable[str]) -> str:
    like = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {like[0]}?" if like else ""
