"""A DAG's file: from what people write to what records say.

Knows: the shorter ways (`run: make all`, `limit: 10m`, `needs: build`, tasks by name), and which graph is none.
Knows not: how records are signed and sent; what a task's states are (`kinds.dag`).
Law: DAG-3, said with file and line before anything is signed.

    dag = read(Path("examples/release.yaml"))
    dag.name, len(dag.tasks)                       # "release", 12
    records(dag)                                   # [("dag.submit", {...}), ("dag.part", {...}), ...]
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orxaq_mesh.credentials import find
from orxaq_mesh.errors import Refused, Usage
from orxaq_mesh.kinds.dag import flaws
from orxaq_mesh.kinds.graph import find_cycle, needs_of
from orxaq_mesh.orders import source as sources
from orxaq_mesh.orders.forms import SPANS, STEPS, explain, near
from orxaq_mesh.orders.source import Path_, Source
from orxaq_mesh.orders.spans import duration_ms
from orxaq_mesh.record import Value, canonical
from orxaq_mesh.text import clean

MAX_BODY_BYTES = 58 * 1024
"""Of a record's body; the line around it takes less than 2 KiB more, and 64 is the law's bound (LINE)."""
MAX_TASKS_A_RECORD = 4096
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_NO_NAME_CHARS = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_FOR_A_SHELL = re.compile(r"(?:^|\s)(?:&&|\|\|?|[;&]|<<?|[12]?>>?\S*)(?:\s|$)|;(?:\s|$)|\n")
"""What means something to a shell and nothing to a program, outside quotes."""
_LISTS = ("needs", "environment", "receipts", "artefacts")


class DagFile(NamedTuple):
    """A DAG as its file says it, every task as its record will say it."""

    name: str
    tasks: list[Value]
    limits: Mapping[str, int]
    priority: int | None


def read(path: Path, name: str | None = None) -> DagFile:
    """Read a DAG's file and check it as the fleet will.

    Args:
        path: a YAML file, a `.json` one, or `-`.
        name: the DAG's name; None: the file's `dag`, else the file's own name.

    Raises:
        Usage: it is no DAG; file, line and what is allowed are said.
        Refused: a credential stands in it (SECRET).
        MeshFault: it cannot be read.
    """
    source = sources.read(path)
    if found := explain("dag", source.value):
        raise source.bad(*found)
    form: Value = source.value
    named = name or form.get("dag") or path.stem
    if len(named) > 40 or not _NAME.fullmatch(named):
        what = f"{clean(named, limit=60)} is no name of a DAG: letters, digits and . _ -, at most 40"
        raise Usage(f"{path}: {what}", hint="--name NAME, or `dag: NAME` in the file")
    places, tasks = zip(
        *((at, _task(source, at, name, given)) for at, name, given in _named(form["tasks"])), strict=True
    )
    _check_graph(source, places, tasks)
    _refuse_credentials(source, places, tasks)
    return DagFile(named, list(tasks), form.get("limits", {}), form.get("priority"))


def _named(tasks: Any) -> Iterable[tuple[Path_, str, Value]]:
    if isinstance(tasks, dict):
        return ((("tasks", name), name, task) for name, task in tasks.items())
    return ((("tasks", number), task["name"], task) for number, task in enumerate(tasks))


# One task.


def _task(source: Source, at: Path_, name: str, given: Value) -> Value:
    task: Value = {"name": name, **_spans(source, at, given)}
    for field in ("run", "shell", "artefacts"):
        task.pop(field, None)
    if "run" in given or "shell" in given:
        if "commands" in given:
            raise source.bad((*at, "commands"), "a task has `run` or `commands`, not both")
        short = {field: given[field] for field in ("run", "shell", "artefacts") if field in given}
        task["commands"] = [short]
    elif "artefacts" in given:
        raise source.bad((*at, "artefacts"), "artefacts are those of a command", "put them beside its `run`")
    used = {step["name"] for field in STEPS for step in _listed(task.get(field, ())) if _has_name(step)}
    for field in (field for field in STEPS if field in task):
        places = [at] if field not in given else [(*at, field, n) for n in range(len(_listed(task[field])))]
        task[field] = [_step(source, *pair, used) for pair in zip(places, _listed(task[field]), strict=True)]
    return {field: _listed(value) if field in _LISTS else value for field, value in task.items()}


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value)


def _has_name(step: Any) -> bool:
    return isinstance(step, dict) and "name" in step


def _spans(source: Source, at: Path_, given: Value) -> Value:
    """The fields with spans of time in milliseconds."""
    made = {field: value for field, value in given.items() if field not in SPANS}
    for short, field in SPANS.items():
        if short not in given:
            continue
        if field in given:
            raise source.bad((*at, field), f"{short} or {field}, not both")
        try:
            made[field] = duration_ms(str(given[short]))
        except Usage as error:
            raise source.bad((*at, short), f"{error.what}: {error.hint}") from None
    return made


def _step(source: Source, at: Path_, given: Any, used: set[str]) -> Value:
    step: Value = {"run": given} if isinstance(given, str) else _spans(source, at, given)
    if ("run" in step) == ("shell" in step):
        raise source.bad(at, "a command has either `run` or `shell`")
    if isinstance(step.get("run"), str):
        step["run"] = _words(source, (*at, "run"), step["run"].strip())
    if "artefacts" in step:
        step["artefacts"] = _listed(step["artefacts"])
    if "name" not in step:
        step["name"] = _new_name(step, used)
    return step


def _words(source: Source, at: Path_, text: str) -> list[str]:
    """A command's words. No shell will see them: what only a shell understands is not what was meant."""
    if found := _FOR_A_SHELL.search(_QUOTED.sub("x", text)):
        what = "a second line" if found[0] == "\n" else found[0].strip()
        hint = "several commands: `commands: [...]`; a script: `shell: ...`; the words as they are: a list"
        raise source.bad(at, f"no shell sees `run`, and {what} stands in it", hint)
    try:
        words = shlex.split(text)
    except ValueError as error:
        reason = f"the command cannot be split into words: {error}"
        raise source.bad(at, reason, "close the quote, or write a list of words") from None
    if not words:
        raise source.bad(at, "the command has no words")
    return words


def _new_name(step: Value, used: set[str]) -> str:
    """The program's name, made unique in its task: `make`, `make-2`."""
    program = step["run"][0].rpartition("/")[2] if "run" in step else "sh"
    base = _NO_NAME_CHARS.sub("-", program)[:50].strip("-._") or "step"
    name, number = base, 1
    while name in used:
        number += 1
        name = f"{base}-{number}"
    used.add(name)
    return name


# The graph.


def _check_graph(source: Source, places: Iterable[Path_], tasks: Iterable[Value]) -> None:
    """DAG-3, where the file breaks it."""
    at: dict[str, Path_] = {}
    for place, task in zip(places, tasks, strict=True):
        if task["name"] in at:
            first = source.line(at[task["name"]])
            raise source.bad(place, f"a second task is named {task['name']} (the first in line {first})")
        at[task["name"]] = place
    needs = {task["name"]: needs_of(task) for task in tasks}
    for name, others in needs.items():
        for other in others:
            if other not in at:
                where = (*at[name], "needs")
                raise source.bad(where, f"{name} needs {other}, and there is no such task{near(other, at)}")
    if cycle := find_cycle(needs):
        raise source.bad((*at[cycle[0]], "needs"), f"a cycle: {' -> '.join(cycle)}", "a task cannot wait for itself")
    if reason := flaws(tasks):
        task_named = at.get(reason.partition(" ")[0], ("tasks",))
        raise source.bad(task_named, reason)


def _refuse_credentials(source: Source, places: Iterable[Path_], tasks: Iterable[Value]) -> None:
    """SECRET, with the line of the task."""
    for place, task in zip(places, tasks, strict=True):
        if found := find(task):
            line = source.line(place)
            where = f"{source.path}, line {line}: the task {task['name']} holds a credential, at {found[0].path}"
            hint = "name where the secret is kept instead; mesh explain SECRET"
            raise Refused("SECRET", f"{where} ({found[0].rule})", hint=hint, file=str(source.path), line=line)


# Records.


def records(dag: DagFile) -> list[tuple[str, Value]]:
    """The records that say it: one dag.submit, and where it does not fit into one line, dag.part after dag.part.

    The same file gives the same records. A part names its submit's id, which the ledger knows: see `kinds.dag.propose`.

    Raises:
        Usage: one task alone is too large for a line.
    """
    head: Value = {"dag": dag.name, **({"limits": dict(dag.limits)} if dag.limits else {})}
    head |= {} if dag.priority is None else {"priority": dag.priority}
    first, *parts = _split(dag, len(canonical(head)) + 64)
    if not parts:
        return [("dag.submit", {**head, "tasks": first})]
    said = [("dag.submit", {**head, "parts": len(parts), "tasks": first})]
    return said + [("dag.part", {"dag": dag.name, "part": n, "tasks": part}) for n, part in enumerate(parts, 1)]


def _split(dag: DagFile, head_bytes: int) -> list[list[Value]]:
    groups: list[list[Value]] = [[]]
    room = MAX_BODY_BYTES - head_bytes
    for task in dag.tasks:
        size = len(canonical(task)) + 1
        if size > MAX_BODY_BYTES - 1024:
            what = f"the task {task['name']} has {size} bytes; a record takes {MAX_BODY_BYTES - 1024}"
            raise Usage(what, hint="put long texts into files of the repository, and name those")
        if size > room or len(groups[-1]) == MAX_TASKS_A_RECORD:
            groups.append([])
            room = MAX_BODY_BYTES - 1024
        groups[-1].append(task)
        room -= size
    return groups
