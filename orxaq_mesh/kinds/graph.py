"""Graphs of tasks: what is wrong with one, and who waits for whom.

Knows: names and needs.
Knows not: states, claims.

    flaw([{"name": "a", "needs": ["b"]}, {"name": "b", "needs": ["a"]}])     # "a cycle: a -> b -> a"
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MAX_NEEDS = 256
"""How many tasks one may need."""
MAX_SHOWN = 20
"""How many names of a cycle its text shows."""

Tasks = Sequence[Mapping[str, Any]]


def needs_of(task: Mapping[str, Any]) -> list[str]:
    """The names of the tasks that one needs, sorted, each once."""
    return sorted(set(task.get("needs", ())))


def flaw(tasks: Tasks) -> str:
    """Why these tasks are no DAG; empty where they are one. The same words for the same tasks, whatever their order."""
    known: dict[str, list[str]] = {}
    for task in tasks:
        if task["name"] in known:
            return f"two tasks are named {task['name']}"
        known[task["name"]] = needs_of(task)
    for name, needs in sorted(known.items()):
        if len(needs) > MAX_NEEDS:
            return f"{name} needs {len(needs)} tasks, and at most {MAX_NEEDS} are allowed"
        if lacking := [need for need in needs if need not in known]:
            return f"{name} needs {lacking[0]}, and there is no such task"
    cycle = find_cycle(known)
    if len(cycle) > MAX_SHOWN:
        cycle = [*cycle[:MAX_SHOWN], "..."]
    return f"a cycle: {' -> '.join(cycle)}" if cycle else ""


def dependents(tasks: Tasks) -> dict[str, list[str]]:
    """Name -> who needs it, sorted."""
    found: dict[str, list[str]] = {task["name"]: [] for task in tasks}
    for task in sorted(tasks, key=lambda task: str(task["name"])):
        for need in needs_of(task):
            found[need].append(task["name"])
    return found


def find_cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """A way from a task back to itself, the least name first and last; empty where there is none."""
    rest = set(_that_never_begin(needs))
    if not rest:
        return []
    at, seen = min(rest), dict[str, int]()
    while at not in seen:
        seen[at] = len(seen)
        at = next(need for need in needs[at] if need in rest)
    loop = list(seen)[seen[at] :]
    first = loop.index(min(loop))
    return [*loop[first:], *loop[:first], loop[first]]


def _that_never_begin(needs: Mapping[str, Sequence[str]]) -> Iterable[str]:
    """Those that lie on a cycle, or behind one."""
    left = {name: len(others) for name, others in needs.items()}
    behind: dict[str, list[str]] = {}
    for name, others in needs.items():
        for other in others:
            behind.setdefault(other, []).append(name)
    free = [name for name, count in left.items() if not count]
    while free:
        for name in behind.get(free.pop(), ()):
            left[name] -= 1
            if not left[name]:
                free.append(name)
    return (name for name, count in left.items() if count)
