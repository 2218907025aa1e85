"""DAGs: tasks that need each other, and what became of each.

Knows: submit, part, cancel; receipts and finishes of a claimed task; retry, skip and assign by hand.
Knows not: how a task is claimed (`lease`, which asks `work`), what its commands do.
Laws: FENCE (a receipt or finish acts under the claim's token), CLOSED (finishes may be signed offline).

    epoch 40  oak submits release: build, test needs build
    epoch 41  elm acquires task:release/build          granted, token 41
    epoch 44  elm files the receipt of `make`, exit 0, and finishes: succeeded; test is ready
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orxaq_mesh.errors import Refused
from orxaq_mesh.kinds import lease, node, work
from orxaq_mesh.kinds.base import (
    APPLIED,
    REFUSED,
    Case,
    Effect,
    Judged,
    Kind,
    Moment,
    Row,
    Said,
    State,
    Verdict,
    Words,
    no_part,
)
from orxaq_mesh.kinds.graph import dependents, flaw, needs_of
from orxaq_mesh.kinds.work import (
    BLOCKED,
    CANCELLED,
    FAILED,
    MET,
    NOOP,
    OPEN,
    READY,
    SKIPPED,
    SUCCEEDED,
    TASK,
    Dag,
    Item,
)
from orxaq_mesh.record import Record, Value
from orxaq_mesh.rules import Rule

NAME = "dag"

KINDS = (
    Kind("dag.submit", node.WRITERS, until=True),
    Kind("dag.part", node.WRITERS, until=True),
    Kind("dag.cancel", node.WRITERS),
    Kind("task.receipt", node.WRITERS, offline=True),
    Kind("task.finish", node.WRITERS, offline=True),
    Kind("task.retry", node.WRITERS),
    Kind("task.skip", node.WRITERS),
    Kind("task.assign", node.WRITERS),
)

RULES = (
    Rule(
        "DAG-1",
        "A DAG is submitted as a whole",
        "A submit names the DAG and its tasks, and how many parts follow. Its tasks can be claimed from the epoch on "
        "behind the one that takes in the last part.",
        "Half a graph would begin with tasks whose needs are not written yet.",
        "mesh dag submit examples/release.yaml",
    ),
    Rule(
        "DAG-2",
        "A name is one DAG at a time",
        "A name is free again when nothing of the DAG that bears it is waiting, ready or running. An author may begin a "
        "DAG anew whose parts never came.",
        "task:release/build must mean one task.",
        "mesh dag submit release.yaml: refused, release is at work since epoch 40; mesh dag cancel release",
    ),
    Rule(
        "DAG-3",
        "No cycles, no unknown needs",
        "A task's name is unique in its DAG, it needs at most 256 others, all of them of its DAG, and never itself in "
        "a circle; a step's or receipt's name is unique in its task. The first flaw is named.",
        "Such a graph would never end.",
        "refused: a cycle: build -> test -> build",
    ),
    Rule(
        "DAG-4",
        "Parts come in their order, from their author",
        "A part names the submit that it belongs to and its number; they count from 1 without gap.",
        "A line holds 64 KiB; a DAG of ten thousand tasks does not fit into one.",
        "dag.part of release: 3 of 12",
    ),
    Rule(
        "DAG-5",
        "A DAG is cancelled by its author or an admin",
        "What is waiting, ready, blocked or running is cancelled. Who runs one of its tasks loses the claim: its finish is "
        "fenced.",
        "Stopping must not depend on those who are to stop.",
        'mesh dag cancel release --reason "wrong branch"',
    ),
    Rule(
        "TASK-6",
        "A task ends once",
        "A finish under the claim's token ends the attempt: succeeded, noop or failed. A failed task is ready again as "
        "long as its order allows another attempt; then it is failed for good, and those that need it are blocked, with the "
        "reason.",
        "Work may be begun twice; in the ledger it is done once.",
        "a finish with token 41, after ash has taken the task over with token 47: fenced",
    ),
    Rule(
        "TASK-7",
        "No success without its receipts",
        "A finish that says succeeded is refused unless this attempt has filed a receipt, exited with 0, for every command "
        "and every guard, before and after, and for every other receipt that the order expects. One that says noop is "
        "refused unless every guard before has such a receipt, and no other step a bad one.",
        "Whoever reads `succeeded` must find by which commands, and with which results; and what a guard forbids must "
        "not go on because there was nothing to do.",
        "refused: no receipt of the guard `smoke`",
    ),
    Rule(
        "TASK-8",
        "Author and admins may put a hand in",
        "Retry makes a failed or cancelled task ready again, as soon as its needs allow; skip lets those that need it go "
        "on without it; assign gives a task that nobody runs to one node or, without a name, to anyone again. Each says "
        "why.",
        "A person knows things that no table knows; the ledger knows who decided.",
        'mesh task skip release/docs --reason "printed by hand"',
    ),
    Rule(
        "TASK-9",
        "A receipt is of a step of the order",
        "A receipt under the claim's token names a command, guard, rollback or expected receipt of the task's order. A later "
        "one of the same step replaces it.",
        "Receipts of steps that nobody ordered prove nothing.",
        "mesh task show release/build --receipts",
    ),
)

_VAIN = frozenset({FAILED, BLOCKED, CANCELLED})
_ENDED = {SUCCEEDED: "succeeded", NOOP: "had nothing to do"}
_PHASES = (("before", "before"), ("commands", "run"), ("after", "after"), ("rollback", "rollback"))


# What an order says.


def steps_of(order: Value) -> dict[str, str]:
    """Step -> its phase, of all that a task's order names."""
    named = {step["name"]: phase for field, phase in _PHASES for step in order.get(field, ())}
    return {**dict.fromkeys(order.get("receipts", ()), "run"), **named}


def lacking(item: Item, outcome: str = SUCCEEDED) -> list[str]:
    """The steps whose good receipt a task lacks that is to end so (TASK-7)."""
    filed = {step: ok for step, _, ok in item.steps}
    steps = [(step, phase) for step, phase in steps_of(item.order).items() if phase != "rollback"]
    if outcome == NOOP:
        steps = [(step, phase) for step, phase in steps if phase == "before" or step in filed]
    return [step for step, _ in steps if not filed.get(step)] if outcome in (SUCCEEDED, NOOP) else []


def double_step(order: Value) -> str:
    """A step's name that stands twice in an order; empty where none does."""
    names = [*(step["name"] for field, _ in _PHASES for step in order.get(field, ())), *order.get("receipts", ())]
    return next((name for name, times in Counter(names).items() if times > 1), "")


def flaws(tasks: Iterable[Value]) -> str:
    """Why these tasks are no DAG (DAG-3); empty where they are one."""
    tasks = list(tasks)
    twice = ((task["name"], double_step(task)) for task in tasks)
    found = next((f"{name} has two steps named {step}" for name, step in twice if step), "")
    return flaw(tasks) or found


# The cases of the table.


def _dag(state: State, record: Record) -> Dag | None:
    return work.work(state).dags.get(record.body["dag"])


def _taken(state: State, record: Record, moment: Moment) -> bool:
    dag = _dag(state, record)
    return dag is not None and dag.is_open and not (dag.missing and dag.author == node.name_of(state, record))


def _flawed(state: State, record: Record, moment: Moment) -> bool:
    return not record.body.get("parts") and bool(flaws(record.body["tasks"]))


def _has_parts(state: State, record: Record, moment: Moment) -> bool:
    return bool(record.body.get("parts"))


def _not_the_next_part(state: State, record: Record, moment: Moment) -> bool:
    dag = _dag(state, record)
    if dag is None or not dag.missing or dag.author != node.name_of(state, record):
        return True
    return (dag.record, dag.parts + 1) != (record.body["record"], record.body["part"])


def _last_and_flawed(state: State, record: Record, moment: Moment) -> bool:
    dag = _dag(state, record)
    return dag is not None and dag.missing == 1 and bool(flaws([*dag.drafts, *record.body["tasks"]]))


def _last(state: State, record: Record, moment: Moment) -> bool:
    dag = _dag(state, record)
    return dag is not None and dag.missing == 1


def _closed(state: State, record: Record, moment: Moment) -> bool:
    dag = _dag(state, record)
    return dag is None or not (dag.is_open or dag.counts.get(BLOCKED))


def _of_another(state: State, record: Record, moment: Moment) -> bool:
    """Neither its author nor an admin."""
    task = record.body.get("task")
    dag = work.work(state).dags.get(task.partition("/")[0]) if task else _dag(state, record)
    member = node.members(state).by_log[record.log]
    return dag is not None and dag.author != member.name and node.ADMIN not in member.roles


def _no_task(state: State, record: Record, moment: Moment) -> bool:
    return not record.body["under"]["lease"].startswith(TASK) or work.claim_of(state, record) is None


def _no_step(state: State, record: Record, moment: Moment) -> bool:
    item, body = work.claim_of(state, record), record.body
    return item is None or steps_of(item.order).get(body["step"]) != body["phase"]


def _lacks_receipts(state: State, record: Record, moment: Moment) -> bool:
    item = work.claim_of(state, record)
    return item is not None and bool(lacking(item, record.body["outcome"]))


def _may_try_again(state: State, record: Record, moment: Moment) -> bool:
    item = work.claim_of(state, record)
    return item is not None and item.failures + 1 < item.order.get("attempts", 1)


def _item(state: State, record: Record) -> Item | None:
    return work.work(state).items.get(TASK + record.body["task"])


def _in(*states: str) -> Case:
    def case(state: State, record: Record, moment: Moment) -> bool:
        item = _item(state, record)
        return item is not None and item.state in states

    return case


def _to_no_worker(state: State, record: Record, moment: Moment) -> bool:
    return "to" in record.body and not node.may_write(state, record.body["to"])


CASES: Mapping[str, Case] = {
    "a DAG of this name is at work": _taken,
    "it is no DAG": _flawed,
    "parts follow": _has_parts,
    "not the part that comes next": _not_the_next_part,
    "the last part, and it is no DAG": _last_and_flawed,
    "the last part": _last,
    "nothing of it can be cancelled": _closed,
    "neither its author nor an admin": _of_another,
    "no task's claim": _no_task,
    "no step of the order": _no_step,
    "a receipt is missing or not good": _lacks_receipts,
    "succeeded": work.reports(SUCCEEDED),
    "noop": work.reports(NOOP),
    "another attempt is allowed": _may_try_again,
    "failed or cancelled": _in(FAILED, CANCELLED),
    "waiting, ready, failed or blocked": _in(work.WAITING, READY, FAILED, BLOCKED),
    "waiting, ready or blocked": _in(work.WAITING, READY, BLOCKED),
    "to nobody who may claim it": _to_no_worker,
    "otherwise": lambda state, record, moment: True,
}


# What the rows do.


def _submit(state: State, record: Record, moment: Moment) -> None:
    body, part = record.body, work.work(state)
    if (old := part.dags.get(body["dag"])) is not None:
        for name in old.tasks:
            work.drop(state, name)
    dag = part.dags[body["dag"]] = Dag(body["dag"])
    dag.author, dag.record, dag.since = node.name_of(state, record), record.id, moment.epoch
    dag.limits, dag.priority = body.get("limits", {}), body.get("priority", 0)
    dag.missing, dag.drafts = body.get("parts", 0), tuple(body["tasks"])
    if not dag.missing:
        _begin(state, dag, moment)


def _part(state: State, record: Record, moment: Moment) -> None:
    dag = work.work(state).dags[record.body["dag"]]
    dag.missing, dag.parts, dag.drafts = dag.missing - 1, dag.parts + 1, (*dag.drafts, *record.body["tasks"])
    if not dag.missing:
        _begin(state, dag, moment)


def _begin(state: State, dag: Dag, moment: Moment) -> None:
    tasks, behind = dag.drafts, dependents(dag.drafts)
    dag.drafts, dag.tasks = (), tuple(f"{TASK}{dag.name}/{task['name']}" for task in tasks)
    for name, task in zip(dag.tasks, tasks, strict=True):
        needs = len(needs_of(task))
        priority = task.get("priority", dag.priority)
        next_ = tuple(f"{TASK}{dag.name}/{other}" for other in behind[task["name"]])
        status, capability = work.WAITING if needs else READY, task.get("capability", "")
        epoch = moment.epoch
        item = Item(name, status, needs, token=epoch, since=epoch, capability=capability, priority=priority)
        work.add(state, item._replace(order=task, dependents=next_))


def _cancel(state: State, record: Record, moment: Moment) -> None:
    dag = work.work(state).dags[record.body["dag"]]
    dag.reason, dag.missing, dag.drafts = record.body["reason"], 0, ()
    for name in dag.tasks:
        item = work.work(state).items.get(name)
        if item is not None and item.state in (*OPEN, BLOCKED):
            lease.end(state, name)
            work.move(state, item, CANCELLED, moment, reason=record.body["reason"])


def _file(state: State, record: Record, moment: Moment) -> None:
    item, body = work.claim_of(state, record), record.body
    assert item is not None
    steps = [step for step in item.steps if step[0] != body["step"]]
    good = (body["outcome"], body["exit"]) == ("exited", 0)
    work.change(state, item, steps=(*steps, (body["step"], body["phase"], good)))


def _finish(to: str) -> Effect:
    def effect(state: State, record: Record, moment: Moment) -> None:
        item = work.claim_of(state, record)
        assert item is not None
        reason = record.body.get("reason", "")
        failures = item.failures + (record.body["outcome"] == FAILED)
        lease.end(state, item.name)
        work.move(state, item, to, moment, failures=failures, reason=reason)
        if to in MET:
            _let_go_on(state, item, moment)
        elif to == FAILED:
            _block(state, item, moment)
        guard = any(phase in ("before", "after") and not ok for _, phase, ok in item.steps)
        work.finished(state, record.body["outcome"] == FAILED, guard, moment, item.node)

    return effect


def _let_go_on(state: State, item: Item, moment: Moment) -> None:
    """Those that waited for nothing else are ready."""
    items = work.work(state).items
    for name in item.dependents:
        other = items.get(name)
        if other is not None and other.state == work.WAITING:
            waits = work.change(state, other, needs=other.needs - 1)
            if not waits.needs:
                work.move(state, waits, READY, moment)


def _block(state: State, item: Item, moment: Moment) -> None:
    """Whatever needs it, directly or not, waits in vain."""
    items = work.work(state).items
    todo = list(item.dependents)
    reason = f"needs {item.name.removeprefix(TASK)}, which is {FAILED}"
    while todo:
        other = items.get(todo.pop())
        if other is not None and other.state == work.WAITING:
            work.move(state, other, BLOCKED, moment, reason=reason)
            todo += other.dependents


def _unblock(state: State, item: Item, moment: Moment) -> None:
    """Those that were blocked by it alone wait again, or are ready. Each way from one to the next is gone once."""
    items = work.work(state).items
    vain: dict[str, int] = {}
    todo = [item]
    while todo:
        freed = todo.pop()
        if freed is not item:
            to, needs, _ = _place(state, freed)
            work.move(state, freed, to, moment, needs=needs, reason="")
        for name in freed.dependents:
            other = items.get(name)
            if other is not None and other.state == BLOCKED:
                vain[name] = vain[name] - 1 if name in vain else _in_vain(state, other)
                todo += [other] * (not vain[name])


def _needed(state: State, item: Item) -> list[Item]:
    items = work.work(state).items
    return [need for name in needs_of(item.order) if (need := items.get(f"{TASK}{item.dag}/{name}")) is not None]


def _in_vain(state: State, item: Item) -> int:
    """For how many of its needs a task waits in vain."""
    return sum(need.state in _VAIN for need in _needed(state, item))


def _place(state: State, item: Item) -> tuple[str, int, str]:
    """What a task's needs make of it while it is not done: its state, for how many it waits, and why it is blocked."""
    needs = _needed(state, item)
    vain = next((need for need in needs if need.state in _VAIN), None)
    waits = sum(need.state not in MET for need in needs)
    if vain is not None:
        return BLOCKED, waits, f"needs {vain.name.removeprefix(TASK)}, which is {vain.state}"
    return work.WAITING if waits else READY, waits, ""


def _retry(state: State, record: Record, moment: Moment) -> None:
    item = _item(state, record)
    assert item is not None
    to, needs, blocked = _place(state, item)
    reason = blocked or record.body["reason"]
    again = work.move(state, item, to, moment, needs=needs, failures=0, reason=reason, node="")
    _unblock(state, again, moment)


def _skip(state: State, record: Record, moment: Moment) -> None:
    item = _item(state, record)
    assert item is not None
    skipped = work.move(state, item, SKIPPED, moment, reason=record.body["reason"])
    _let_go_on(state, skipped, moment)
    _unblock(state, skipped, moment)


def _assign(state: State, record: Record, moment: Moment) -> None:
    item = _item(state, record)
    assert item is not None
    work.change(state, item, to=record.body.get("to", ""))


ROWS = (
    Row("dag.submit", "a DAG of this name is at work", REFUSED, "DAG-2"),
    Row("dag.submit", "it is no DAG", REFUSED, "DAG-3"),
    Row("dag.submit", "parts follow", APPLIED, "DAG-4", "begun", _submit),
    Row("dag.submit", "otherwise", APPLIED, "DAG-1", "submitted", _submit),
    Row("dag.part", "not the part that comes next", REFUSED, "DAG-4"),
    Row("dag.part", "the last part, and it is no DAG", REFUSED, "DAG-3"),
    Row("dag.part", "the last part", APPLIED, "DAG-1", "submitted", _part),
    Row("dag.part", "otherwise", APPLIED, "DAG-4", "added", _part),
    Row("dag.cancel", "neither its author nor an admin", REFUSED, "DAG-5"),
    Row("dag.cancel", "nothing of it can be cancelled", REFUSED, "DAG-5"),
    Row("dag.cancel", "otherwise", APPLIED, "DAG-5", "cancelled", _cancel),
    Row("task.receipt", "no task's claim", REFUSED, "TASK-9"),
    Row("task.receipt", "no step of the order", REFUSED, "TASK-9"),
    Row("task.receipt", "otherwise", APPLIED, "TASK-9", "filed", _file),
    Row("task.finish", "no task's claim", REFUSED, "TASK-6"),
    Row("task.finish", "a receipt is missing or not good", REFUSED, "TASK-7"),
    Row("task.finish", "succeeded", APPLIED, "TASK-6", "succeeded", _finish(SUCCEEDED)),
    Row("task.finish", "noop", APPLIED, "TASK-6", "noop", _finish(NOOP)),
    Row("task.finish", "another attempt is allowed", APPLIED, "TASK-6", "again", _finish(READY)),
    Row("task.finish", "otherwise", APPLIED, "TASK-6", "failed", _finish(FAILED)),
    Row("task.retry", "neither its author nor an admin", REFUSED, "TASK-8"),
    Row("task.retry", "failed or cancelled", APPLIED, "TASK-8", "retried", _retry),
    Row("task.retry", "otherwise", REFUSED, "TASK-8"),
    Row("task.skip", "neither its author nor an admin", REFUSED, "TASK-8"),
    Row("task.skip", "waiting, ready, failed or blocked", APPLIED, "TASK-8", "skipped", _skip),
    Row("task.skip", "otherwise", REFUSED, "TASK-8"),
    Row("task.assign", "neither its author nor an admin", REFUSED, "TASK-8"),
    Row("task.assign", "to nobody who may claim it", REFUSED, "TASK-8"),
    Row("task.assign", "waiting, ready or blocked", APPLIED, "TASK-8", "assigned", _assign),
    Row("task.assign", "otherwise", REFUSED, "TASK-8"),
)


new = dump = load = copy = open_epoch = gone = no_part
"""What is known of DAGs is work's."""


def propose(state: State, who: str, kind: str, wish: Value) -> Value:
    """A receipt or finish without a token takes the one that its session holds; a part is of the DAG that is begun."""
    if kind == "dag.part" and "record" not in wish and isinstance(wish.get("dag"), str):
        dag = work.work(state).dags.get(wish["dag"])
        if dag is None or not dag.missing:
            raise Refused("DAG-4", f"no DAG {wish['dag']} waits for parts", hint="mesh dag submit FILE")
        return {**wish, "record": dag.record}
    return lease.with_token(state, who, wish)


def words(state: State, record: Record, verdict: Verdict) -> Words:
    body, part = record.body, work.work(state)
    facts: dict[str, Any] = {field: body[field] for field in ("dag", "task", "outcome") if field in body}
    if "under" in body:
        name = body["under"]["lease"]
        item, facts = part.items.get(name), facts | {"task": name.removeprefix(TASK)}
        outcome = body.get("outcome", "")
        missing = ", ".join(lacking(item, outcome)) if item else ""
        texts = {
            "TASK-7": f"it cannot have {_ENDED.get(outcome)}: no good receipt of {missing}",
            "TASK-9": f"{body.get('step')} is no step ({body.get('phase')}) of {name}",
        }
        return Words(texts.get(verdict.rule, f"{name} is no task's claim"), f"mesh explain {verdict.rule}", facts)
    if "task" in body:
        return _hand_words(state, record, facts)
    dag = part.dags.get(body["dag"])
    author = dag.author if dag else ""
    hints = {"DAG-2": f"mesh dag show {body['dag']}; another --name, or mesh dag cancel", "DAG-5": "mesh dag list"}
    if verdict.rule == "DAG-3":
        drafts = dag.drafts if dag and record.kind == "dag.part" else ()
        return Words(flaws([*drafts, *body["tasks"]]), "mesh explain DAG-3", facts)
    texts = {
        "DAG-2": f"{body['dag']} is at work since epoch {dag.since if dag else 0}, submitted by {author}",
        "DAG-4": f"part {body.get('part')} of {body['dag']} is not the one that comes next",
        "DAG-5": _cancel_words(state, record, author),
    }
    hint = hints.get(verdict.rule, f"mesh explain {verdict.rule}")
    return Words(texts.get(verdict.rule, str(body["dag"])), hint, facts)


def _cancel_words(state: State, record: Record, author: str) -> str:
    name = record.body["dag"]
    if not author:
        return f"there is no DAG {name}"
    if _of_another(state, record, Moment(0)):
        return f"{name} is {author}'s: only {author} or an admin cancels it"
    return f"nothing of {name} is left to be cancelled"


def _hand_words(state: State, record: Record, facts: dict[str, Any]) -> Words:
    """TASK-8."""
    name, item = record.body["task"], _item(state, record)
    if item is None:
        return Words(f"there is no {name}", "mesh task list", facts)
    what = f"{name}: {work.item_words(item, name)}"
    if _of_another(state, record, Moment(0)):
        author = work.author(state, item)
        what = f"{item.dag} is {author}'s: only {author} or an admin may do this"
    elif _to_no_worker(state, record, Moment(0)):
        what = f"{record.body['to']} is no node that works"
    return Words(what, f"mesh task show {name}", facts)


# What a reader of a change is told.


def _says_submit(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    names = [task["name"] for task in body["tasks"]]
    facts = {"dag": body["dag"], "tasks": len(names), "names": ", ".join(names)}
    if parts := body.get("parts", 0):
        template = (
            "begins DAG `{dag}`, {parts} parts to follow" if parts > 1 else "begins DAG `{dag}`, one part to follow"
        )
        return Said(f"{template}{_TASKS if names else ''}", {**facts, "parts": parts})
    if len(names) == 1:
        return Said("adds task `{task}`", {"task": f"{body['dag']}/{names[0]}"})
    return Said("adds DAG `{dag}` of {tasks} tasks: `{names}`" if names else "adds DAG `{dag}` without tasks", facts)


_TASKS = "; tasks ({tasks}): `{names}`"


def _says_part(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    names = [task["name"] for task in body["tasks"]]
    facts = {"dag": body["dag"], "part": body["part"], "tasks": len(names), "names": ", ".join(names)}
    came = ("completes it", "would complete it") if judged.verdict.result == "submitted" else ("", "")
    return Said(f"adds part {{part}} to DAG `{{dag}}`{_TASKS}", facts, came)


def _says_cancel(before: State, after: State, judged: Judged) -> Said:
    body, dag = judged.record.body, _dag(before, judged.record)
    facts = {"dag": body["dag"], "reason": body["reason"]}
    left = sum(dag.counts.get(state, 0) for state in (*OPEN, BLOCKED)) if dag else 0
    if dag and left:
        return Said(
            "cancels {left} of {all} tasks of DAG `{dag}`: `{reason}`", {**facts, "left": left, "all": len(dag.tasks)}
        )
    return Said("cancels DAG `{dag}`: `{reason}`", facts)


def _claimed(record: Record) -> dict[str, str | int]:
    under = record.body["under"]
    return {"task": under["lease"].removeprefix(TASK), "token": under["token"]}


def _says_receipt(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = _claimed(judged.record) | {"step": body["step"], "phase": body["phase"], "ended": body["outcome"]}
    template = "files a receipt for task `{task}`, token {token}: step `{step}` ({phase}), {ended}"
    if body["exit"] is None:
        return Said(template, facts)
    return Said(template + " with {exit}", {**facts, "exit": body["exit"]})


def _says_finish(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = _claimed(judged.record) | {"ended": body["outcome"]}
    template = "finishes task `{task}`, token {token}: {ended}"
    if "reason" in body:
        template, facts = template + ", `{reason}`", {**facts, "reason": body["reason"]}
    again = ("may be tried again", "could be tried again") if judged.verdict.result == "again" else ("", "")
    return Said(template, facts, again)


_BY_HAND = {
    "task.retry": "makes task `{task}` ready again: `{reason}`",
    "task.skip": "skips task `{task}`: `{reason}`",
    "task.assign": "gives task `{task}` to whoever may do it: `{reason}`",
}


def _says_by_hand(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts: dict[str, str | int] = {field: body[field] for field in ("task", "reason", "to") if field in body}
    template = "gives task `{task}` to {to}: `{reason}`" if "to" in body else _BY_HAND[judged.record.kind]
    return Said(template, facts)


_SAYS: Mapping[str, Callable[[State, State, Judged], Said]] = {
    "dag.submit": _says_submit,
    "dag.part": _says_part,
    "dag.cancel": _says_cancel,
    "task.receipt": _says_receipt,
    "task.finish": _says_finish,
    **dict.fromkeys(_BY_HAND, _says_by_hand),
}


def says(before: State, after: State, judged: Judged) -> Said:
    return _SAYS[judged.record.kind](before, after, judged)
