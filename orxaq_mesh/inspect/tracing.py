"""What caused what: the tree from the first cause of a record down to all that followed.

Knows: which field of a record names its cause, and that a claim follows from what is claimed.
Knows not: printing; what any record means to the state.

    root, asked = trace(history, "3f9a")           # Branch(Judged(...), [Branch(...), ...]), and the record asked for

A record's cause is the one that its `cause` names. Else a claim (an acquire of `task:...` or `command:...`) follows from
the record that made that work, and whatever acts under a claim's token follows from the claim. Another lease that a record
acts under is no cause: it is named beside it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect.attempts import claim_of
from orxaq_mesh.inspect.reading import History
from orxaq_mesh.kinds.base import APPLIED
from orxaq_mesh.kinds.command import command_id
from orxaq_mesh.kinds.work import COMMAND, TASK, is_work
from orxaq_mesh.record import Record

MANY = 8
MAX_ABOVE = 32
MAX_DEEP = 96
"""A chain that is longer is shown in part: so far up from the record asked for, and so far down from there."""


class Branch(NamedTuple):
    """A record with what followed from it, in the ledger's order.

    Attributes:
        missing: the cause that it names and that is not shown: nobody has it, or the chain is too long.
        more: how many records that followed are not shown, for the same reason.
    """

    item: Judged
    children: list[Branch]
    missing: str | None = None
    more: int = 0


class _Causes:
    """Walks the ledger once, and keeps for each record the one that it follows from."""

    def __init__(self) -> None:
        self.items: dict[str, Judged] = {}
        self.cause: dict[str, str] = {}
        self._made: dict[str, str] = {}
        self._granted: dict[tuple[str, int], str] = {}

    def take_in(self, item: Judged) -> None:
        record, epoch, verdict, _ = item
        self.items[record.id] = item
        if record.flaw:
            return
        if cause := self._of(record):
            self.cause[record.id] = cause
        if verdict.outcome != APPLIED:
            return
        if record.kind == "command.issue" and verdict.result == "issued":
            self._made[COMMAND + command_id(record.body)] = record.id
        elif record.kind == "dag.submit":
            self._made[TASK + record.body["dag"]] = record.id
        elif verdict.result == "granted":
            self._granted[record.body["lease"], epoch] = record.id

    def _of(self, record: Record) -> str | None:
        body = record.body
        if named := body.get("cause") or (body.get("record") if record.kind == "dag.part" else None):
            return str(named)
        if record.kind in ("task.retry", "task.skip", "task.assign", "dag.cancel"):
            return self._made.get(TASK + str(body.get("dag") or body["task"].partition("/")[0]))
        if record.kind == "command.cancel":
            return self._made.get(COMMAND + body["command"])
        lease, token = claim_of(record)
        if record.kind.startswith("lease.") or is_work(lease):
            if token is not None:
                return self._granted.get((lease, token)) or self._maker(lease)
            return self._maker(lease)
        return None

    def _maker(self, lease: str) -> str | None:
        return self._made.get(lease.partition("/")[0] if lease.startswith(TASK) else lease)


def trace(past: History, prefix: str) -> tuple[Branch, Judged]:
    """The whole tree that a record is in, and the record.

    Args:
        past: the ledger.
        prefix: an id or its beginning (of a record, or of a command), `<dag>` or `<dag>/<task>`.

    Raises:
        Usage: it fits several records.
        MeshFault: it fits none.
    """
    causes = _Causes()
    for item in past.judged:
        causes.take_in(item)
    found = _find(causes, past.judged, prefix)
    children: dict[str, list[str]] = {}
    for id_ in causes.items:
        if id_ in causes.cause:
            children.setdefault(causes.cause[id_], []).append(id_)
    return _grown(causes, children, _root(causes, found.record.id)), found


def _root(causes: _Causes, id_: str) -> str:
    for _ in range(MAX_ABOVE):
        if (above := causes.cause.get(id_)) is None or above not in causes.items:
            break
        id_ = above
    return id_


def _grown(causes: _Causes, children: dict[str, list[str]], root: str) -> Branch:
    """The tree below a record, built from its leaves."""
    order, depth, at = [root], {root: 0}, 0
    while at < len(order):
        if depth[order[at]] < MAX_DEEP:
            order += children.get(order[at], ())
            depth |= dict.fromkeys(children.get(order[at], ()), depth[order[at]] + 1)
        at += 1
    made: dict[str, Branch] = {}
    for id_ in reversed(order):
        below = children.get(id_, [])
        shown = [made[child] for child in below if child in made]
        made[id_] = Branch(causes.items[id_], shown, None, len(below) - len(shown))
    return made[root]._replace(missing=causes.cause.get(root))


def _find(causes: _Causes, judged: Iterable[Judged], prefix: str) -> Judged:
    made = causes._made.get(TASK + prefix.partition("/")[0])
    if made is not None:
        claim = [item for item in judged if claim_of(item.record)[0] == TASK + prefix]
        return claim[-1] if "/" in prefix and claim else causes.items[made]
    wanted = prefix.removeprefix(COMMAND).lower()
    by_command = {id_ for name, id_ in causes._made.items() if name.startswith(COMMAND + wanted)}
    fit = {id_ for id_ in causes.items if id_.startswith(wanted)} | by_command if len(wanted) >= 4 else set()
    if not fit:
        hint = "an id of a record or command, 4 digits at least; mesh log lists them"
        raise MeshFault(f"the ledger has no record {prefix[:80]}", hint=hint)
    if len(fit) > 1:
        ids = sorted(fit)[:MANY]
        said = ", ".join(f"{id_[:16]} ({causes.items[id_].record.kind})" for id_ in ids)
        raise Usage(f"{prefix} fits several: {said}", hint="give more of its digits", ids=ids)
    return causes.items[fit.pop()]


def value(branch: Branch) -> dict[str, Any]:
    """A tree as JSON."""
    record, epoch, verdict, _ = branch.item
    said = {"id": record.id, "kind": record.kind, "node": record.log, "at": record.at, "epoch": epoch}
    said |= {"verdict": verdict.outcome, "rule": verdict.rule, "result": verdict.result or None, "body": record.body}
    said |= {"missing_cause": branch.missing, "more": branch.more}
    return {**said, "children": [value(child) for child in branch.children]}
