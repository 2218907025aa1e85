"""`mesh dag`: submit, list, show, cancel.

Knows: what is typed and what is told; how a graph is drawn for people.
Knows not: how a file is read (`orders`), any rule (`kinds.dag`), what a state means (`inspect.work`).

    mesh dag submit examples/release.yaml
    mesh dag show release --watch
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report, unsettled
from orxaq_mesh.cli.app import Command, Deed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, Part, call, columns, paint, write
from orxaq_mesh.cli.complete import dags
from orxaq_mesh.cli.present import Offline, changes, present_state
from orxaq_mesh.cli.values import ago
from orxaq_mesh.errors import Unreachable

app = new_app("dag", "Graphs of tasks: submit them, see how they stand, cancel them.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The DAG.", autocompletion=dags, show_default=False)]
Reason = Annotated[str, typer.Option(help="Why; it is recorded.", show_default=False)]
STYLES = {
    "succeeded": "good",
    "noop": "good",
    "done": "good",
    "applied": "good",
    "running": "name",
    "ready": "bold",
    "failed": "bad",
    "blocked": "warn",
    "cancelled": "warn",
    "refused": "warn",
    "waiting": "dim",
    "skipped": "dim",
}
_ENDED = ("done", "failed", "cancelled")
_DEEPEST = 10
_BAR = 40


@app.command(cls=Deed, epilog="Example: mesh dag submit examples/release.yaml")
def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML, or .json; - is stdin.", show_default=False)],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The DAG's name; else the file's.")] = None,
) -> None:
    """Submit a DAG: tasks, what each needs, what it runs.

    A cycle, an unknown need or a field that does not exist is told with file and line, and nothing is signed. However
    large, it is one push; its tasks can be claimed when all of it has arrived.
    """
    from orxaq_mesh.orders import dags as orders

    dag = orders.read(file, name)
    records = orders.records(dag)
    try:
        answer = call().mesh().submit(records, **call().deed)
    except Unreachable as told:
        raise unsettled(told, f"mesh dag cancel {dag.name} --reason withdrawn") from None
    about = {"dag": dag.name, "tasks": len(dag.tasks), "records": len(records)}
    tasks = f"{len(dag.tasks)} task{'s' if len(dag.tasks) != 1 else ''}"
    again = " already (same --key)" if answer.facts.get("again") else ""
    verb = "would be" if call().dry_run else "is"
    report(answer, about, f"{dag.name} {verb} submitted{again}: {tasks}", dag.name)
    if not call().dry_run:
        call().note(f"to follow it: mesh dag show {dag.name} --watch")


@app.command("list", cls=Command, epilog="Example: mesh dag list --json")
def list_(offline: Offline = False) -> None:
    """List all DAGs: how far each is, and whose it is."""
    from orxaq_mesh.inspect import work

    state = present_state(offline=offline)
    found = work.dags(state)
    if call().json:
        call().data({"dags": found, "epoch": state.epoch})
    elif not found:
        call().note("no DAG was ever submitted")
    else:
        heads = ("dag", "state", "done", "running", "ready", "failed", "blocked", "by", "since epoch")
        show_rows([heads, *(_row(dag) for dag in found)])


def _row(dag: dict[str, Any]) -> tuple[Part, ...]:
    counts = [str(dag["counts"].get(state) or "") for state in ("running", "ready", "failed", "blocked")]
    done = f"{dag['done']} of {dag['size']}"
    return (Painted(dag["dag"], "bold"), painted(dag["state"]), done, *counts, dag["author"], str(dag["epoch"]))


def painted(state: str) -> Part:
    """A state in its colour."""
    return Painted(state, STYLES[state]) if state in STYLES else state


def show_rows(rows: Sequence[Sequence[Part]], indent: str = "") -> None:
    """Print rows in columns, the first of them as their heads."""
    heads, *rest = rows
    for line in columns([[Painted(str(head), "dim") for head in heads], *rest], indent):
        call().say(*line)


@app.command(cls=Command, epilog="Example: mesh dag show release --watch")
def show(
    name: Name,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until nothing of it is left to be done.")] = False,
    offline: Offline = False,
) -> None:
    """Show a DAG: each task behind those that it needs, who runs it, since when, which attempt, why it failed.

    With --watch it is drawn anew whenever something changes; where no terminal is, each change is a line (with --json:
    an object a line).
    """
    from orxaq_mesh.inspect import work

    if watch:
        _watch(name)
        return
    state = present_state(offline=offline)
    found = work.dag(state, name)
    if call().json:
        call().data({**found, "now": state.epoch})
        return
    for line in drawn(found):
        call().say(*line)


def drawn(dag: dict[str, Any]) -> list[list[Part]]:
    """A DAG in lines."""
    counts = ", ".join(f"{count} {state}" for state, count in dag["counts"].items())
    head: list[Part] = [Painted(dag["dag"], "bold"), ": ", painted(dag["state"]), f", {counts}" if counts else ""]
    head.append(f"; submitted by {dag['author']} in epoch {dag['epoch']}")
    lines = [head]
    if dag["reason"]:
        lines.append([f"  {dag['reason']}"])
    if dag["missing_parts"]:
        lines.append([f"  {dag['missing_parts']} parts of it have not arrived: mesh dag submit it again, or cancel it"])
    if dag["tasks"]:
        heads = [Painted(head, "dim") for head in ("task", "state", "node", "since", "attempt", "")]
        lines += columns([heads, *(_task_row(task) for task in dag["tasks"])])
    return lines


def _task_row(task: dict[str, Any]) -> tuple[Part, ...]:
    indent = "  " * min(task["depth"], _DEEPEST)
    tried = f"{task['attempt']}" + (f" of {task['attempts']}" if task["attempts"] > 1 else "")
    node = task["node"] or (f"({task['to']})" if task["to"] else "")
    return (
        f"{indent}{task['name']}",
        painted(task["state"]),
        node,
        since(task),
        tried if task["attempt"] else "",
        why(task),
    )


def since(value: dict[str, Any]) -> str:
    """Since when a piece of work is in its state: how long, where it runs; else the epoch."""
    return ago(value["since"]) if value["since"] else f"epoch {value['epoch']}"


def why(task: dict[str, Any]) -> str:
    """What people ask next: the reason, or what it waits for."""
    if task["reason"]:
        return str(task["reason"])
    if task["state"] == "waiting":
        return f"needs {', '.join(task['needs'])}"
    return f"for {task['capability']}" if task["state"] == "ready" and task["capability"] else ""


def _watch(name: str) -> None:
    from orxaq_mesh.inspect import work

    draws = sys.stdout.isatty() and not call().json
    known: dict[str, Any] = {}
    for state in changes():
        found = work.dag(state, name)
        if draws:
            head, *rest = drawn(found)
            _redraw([head, _bar(found), *rest])
        else:
            _tell_changes(found, known)
        if found["state"] in _ENDED:
            break


def _bar(dag: dict[str, Any]) -> list[Part]:
    """How far it is: done, running, the rest."""
    size = max(1, dag["size"])
    done, runs = (_BAR * count // size for count in (dag["done"], dag["counts"].get("running", 0)))
    parts = (("#" * done, "good"), (">" * runs, "name"), ("." * (_BAR - done - runs), "dim"))
    return ["  [", *(Painted(*part) for part in parts if part[0]), f"] {dag['done']} of {dag['size']} done"]


def _redraw(lines: list[list[Part]]) -> None:
    """One screen, from its upper left corner; what does not fit is counted."""
    height = max(4, shutil.get_terminal_size().lines - 2)
    cut = len(lines) - height
    shown = [paint(line, sys.stdout) for line in (lines[:height] if cut > 0 else lines)]
    more = [f"  ... and {cut} more"] if cut > 0 else []
    write(sys.stdout, "\x1b[H\x1b[2J" + "\n".join([*shown, *more]))


def _tell_changes(dag: dict[str, Any], known: dict[str, Any]) -> None:
    """A line for each task that is in another state than it was told last."""
    for task in dag["tasks"]:
        now = (task["state"], task["node"], task["attempt"])
        if known.get(task["task"]) != now:
            known[task["task"]] = now
            if call().json:
                call().data(task)
            else:
                call().say(*_sentence(task))
    done = (dag["state"], dag["done"])
    if known.get("") != done and not call().json:
        known[""] = done
        call().say(Painted(dag["dag"], "bold"), ": ", painted(dag["state"]), f", {dag['done']} of {dag['size']} done")


def _sentence(task: dict[str, Any]) -> list[Part]:
    runs = f" on {task['node']}, attempt {task['attempt']}" if task["state"] == "running" else ""
    reason = f": {task['reason']}" if task["reason"] else ""
    return [task["task"], " ", painted(task["state"]), f"{runs}{reason}"]


@app.command(cls=Deed, epilog='Example: mesh dag cancel release --reason "wrong branch"')
def cancel(name: Name, reason: Reason) -> None:
    """Cancel a DAG: nothing of it begins any more, and who runs one of its tasks loses it."""
    answer = call().mesh().ask("dag.cancel", {"dag": name, "reason": reason}, **call().deed)
    report(answer, {"dag": name}, f"{name} {'would be' if call().dry_run else 'is'} cancelled", name)
