"""`mesh task`: list, show, log, retry, skip, assign.

Knows: what is typed and what is told.
Knows not: any rule (`kinds.dag`), how an attempt is made (`worker`).

    mesh task show release/build --receipts
    mesh task log release/build --follow
"""

from __future__ import annotations

import sys
import threading
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call, encode, write
from orxaq_mesh.cli.complete import nodes, tasks
from orxaq_mesh.cli.dag import Reason, painted, show_rows, since, why
from orxaq_mesh.cli.present import Offline, changes, present_state
from orxaq_mesh.cli.values import span, took
from orxaq_mesh.errors import MeshError, MeshFault, Usage

app = new_app("task", "Tasks of DAGs: see what they do, what they printed; put a hand in.")

Task = Annotated[str, typer.Argument(metavar="DAG/TASK", help="The task.", autocompletion=tasks, show_default=False)]
_STEPS = (("before", "before"), ("commands", "run"), ("after", "after"), ("rollback", "rollback"))
_AGAIN_S = 2.0
_SPANS = ("limit_ms", "ttl_ms", "backoff_ms")


@app.command("list", cls=Command, epilog="Example: mesh task list --state ready")
def list_(
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only in this state: waiting, ready, running, failed ...")
    ] = None,
    dag: Annotated[str | None, typer.Option(metavar="NAME", help="Only of this DAG.")] = None,
    offline: Offline = False,
) -> None:
    """List the tasks of all DAGs."""
    from orxaq_mesh.inspect import work
    from orxaq_mesh.kinds.work import STEPS

    if state is not None and state not in STEPS:
        raise Usage(f"{state[:40]!a} is no state of a task", hint=f"one of {', '.join(STEPS)}")
    now = present_state(offline=offline)
    found = work.tasks(now, of=dag, in_state=state)
    if call().json:
        call().data({"tasks": found, "epoch": now.epoch})
    elif not found:
        call().note("there is no such task" if state or dag else "no DAG was ever submitted")
    else:
        rows = [(task["task"], painted(task["state"]), task["node"] or "", since(task), why(task)) for task in found]
        show_rows([("task", "state", "node", "since", ""), *rows])


@app.command(cls=Command, epilog="Example: mesh task show release/build --receipts")
def show(
    task: Task,
    receipts: Annotated[
        bool, typer.Option("--receipts", help="With what each step left: exit, duration, hashes.")
    ] = False,
    offline: Offline = False,
) -> None:
    """Show one task: what is to be done, what it needs, each attempt with its node and how it ended."""
    from orxaq_mesh.inspect import work
    from orxaq_mesh.kinds.work import RUNNING, TASK

    state = present_state(offline=offline)
    item = work.find_task(state, task)
    of = state.slices["work"].dags[item.dag]
    needs = {name: work.find_task(state, f"{item.dag}/{name}").state for name in work.task(state, item)["needs"]}
    made = attempts_at(item.name, of.since, runs=item.state == RUNNING)
    if not receipts:
        made = [{field: value for field, value in one.items() if field != "receipts"} for one in made]
    order = dict(item.order)
    value = {**work.task(state, item), "needs": needs, "author": of.author, "order": order, "made": made}
    if call().json:
        call().data(value)
        return
    call().say(Painted(item.name.removeprefix(TASK), "bold"), ": ", painted(item.state), f", since {since(value)}")
    _say_reason(value)
    _say_order(order)
    for name, standing in needs.items():
        call().say(Painted("  needs     ", "dim"), f"{name}: ", painted(standing))
    for one in made:
        _say_attempt(one)


def attempts_at(lease: str, since_epoch: int, *, runs: bool = True) -> list[dict[str, Any]]:
    """The attempts at a piece of work, from the ledger's history."""
    from orxaq_mesh.inspect.attempts import attempts

    return attempts(call().mesh().history().judged, lease, since_epoch, runs=runs)


def _say_reason(value: dict[str, Any]) -> None:
    if said := why(value):
        call().say(f"  {said}")
    if value["to"]:
        call().say(f"  assigned to {value['to']}")


def _say_order(order: dict[str, Any]) -> None:
    import shlex

    if order.get("objective"):
        call().say(Painted("  objective ", "dim"), order["objective"])
    for field, phase in _STEPS:
        for step in order.get(field, ()):
            words = shlex.join(step["run"]) if "run" in step else f"sh -c {shlex.quote(step.get('shell', ''))}"
            call().say(Painted(f"  {phase:9} ", "dim"), f"{step['name']}: {words}")
    for name in order.get("receipts", ()):
        call().say(Painted("  receipt   ", "dim"), f"{name}, besides those of its commands")
    facts = [f"{name.removesuffix('_ms')} {span(order[name])}" for name in _SPANS if name in order]
    facts += [f"{order['attempts']} attempts"] if "attempts" in order else []
    facts += [f"{name} {order[name]}" for name in ("capability", "branch") if name in order]
    if facts:
        call().say(Painted("  bounds    ", "dim"), ", ".join(facts))


def _say_attempt(one: dict[str, Any]) -> None:
    outcome = one["outcome"] or "running"
    reason = f": {one['reason']}" if one["reason"] else ""
    head = f"  attempt {one['attempt']} on {one['node']}, token {one['token']}{', stolen' if one['stolen'] else ''}: "
    call().say(head, painted(outcome), reason)
    for late in one["fenced"]:
        call().say("    ", Painted("fenced", "bad"), f": {late['kind']} of {late['node']} ({late['record'][:8]})")
    for receipt in one.get("receipts", ()):
        _say_receipt(receipt)


def _say_receipt(receipt: dict[str, Any]) -> None:
    spent = f", {took(receipt['duration_ms'])}" if receipt["duration_ms"] is not None else ""
    ended = f"exit {receipt['exit']}" if receipt["outcome"] == "exited" else receipt["outcome"]
    good = receipt["exit"] == 0
    call().say(f"    {receipt['phase']} {receipt['step']}: ", Painted(ended, "good" if good else "bad"), spent)
    for name, stream in sorted(receipt["output"].items()):
        if stream["bytes"]:
            call().say(Painted(f"      {name}  {stream['bytes']} bytes, sha256 {stream['sha256']}", "dim"))
    for made in receipt["artefacts"]:
        call().say(f"      {made['path']}  {made['bytes']} bytes, sha256 {made['sha256']}")
    if receipt["commit"]:
        call().say(Painted(f"      commit {receipt['commit']}", "dim"))
    if receipt["note"]:
        call().say(f"      {receipt['note']}")


# What it printed.


@app.command(cls=Command, epilog="Example: mesh task log release/build --follow")
def log(
    task: Task,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends.")] = False,
    attempt: Annotated[int | None, typer.Option(min=1, metavar="N", help="An earlier attempt.")] = None,
) -> None:
    """Print what a task printed, from this node's log of the attempt. With --json: one event a line.

    Output stays on the node where it came about; where that is another one, it is named.
    """
    lease, token = _attempt(task, attempt, follow)
    from orxaq_mesh.worker import events

    path = call().mesh().home.path / "work" / lease.replace(":", "/", 1) / str(token) / events.FILE
    if not path.exists() and not follow:
        raise MeshFault(f"the log of {task} is gone: {path}", hint="mesh task show --receipts says what is known of it")
    printer = _Printer()
    for event in events.follow(path, _end_of(task, token)) if follow else events.read(path):
        if call().json:
            write(sys.stdout, encode(event))
        else:
            printer.print(event)
    printer.flush()


def _end_of(task: str, token: int) -> threading.Event:
    """Is set when the attempt is over for the ledger: a worker that was killed writes no last event."""
    from orxaq_mesh.inspect import work
    from orxaq_mesh.kinds.work import RUNNING

    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            try:
                for state in changes():
                    item = work.find_task(state, task)
                    if (item.state, item.token) != (RUNNING, token):
                        over.set()
                        return
            except MeshError:
                over.wait(_AGAIN_S)

    threading.Thread(target=watch, daemon=True).start()
    return over


def _attempt(task: str, number: int | None, follow: bool) -> tuple[str, int]:
    """The lease and token of an attempt that was made on this node."""
    from orxaq_mesh.inspect import work

    me = call().mesh().identity().node
    if number is not None:
        state = present_state()
        item = work.find_task(state, task)
        made = attempts_at(item.name, state.slices["work"].dags[item.dag].since)
        if number > len(made):
            raise Usage(f"{task} was attempted {len(made)} times", hint=f"mesh task show {task}")
        node, token = made[number - 1]["node"], made[number - 1]["token"]
    else:
        item = _begun(task, follow)
        node, token = item.node, item.token
    if node != me:
        what = f"attempt {number or item.attempt} at {task} ran on {node or 'no node'}, and its log lies there"
        raise MeshFault(what, hint=f"on {node}: mesh task log {task}", node=node, task=task)
    return item.name, token


def _begun(task: str, follow: bool) -> Any:
    """The task as soon as somebody has begun it; at once, where nobody is to be waited for."""
    from orxaq_mesh.inspect import work

    for state in changes(None if follow else 0):
        item = work.find_task(state, task)
        if item.node:
            return item
    raise MeshFault(f"nobody has begun {task}", hint=f"mesh task show {task}", task=task)


class _Printer:
    """Events as text: the output line by line, whole lines of both streams in the order in which they came."""

    def __init__(self) -> None:
        self._rest: dict[str, str] = {}

    def print(self, event: dict[str, Any]) -> None:
        name = event["event"]
        if name == "exec.chunk":
            *lines, self._rest[event["stream"]] = (self._rest.get(event["stream"], "") + event["text"]).split("\n")
            for line in lines:
                call().say(line)
            return
        self.flush()
        if name == "exec.begin":
            import shlex

            call().say(Painted(f"--- {event['phase']} {event['step']}: {shlex.join(event['command'])}", "dim"))
        elif name in ("exec.end", "exec.retry"):
            code = f" {event['code']}" if event.get("code") is not None else ""
            spent = f" after {took(event['duration_ms'])}" if event.get("duration_ms") is not None else ""
            reason = f": {event['why']}" if event.get("why") else ""
            ended = event.get("outcome", "again") + code
            call().say(Painted(f"--- {ended}{spent}{reason}", "good" if event.get("code") == 0 else "warn"))
        elif name == "work.end":
            call().say(Painted(f"--- {event['outcome']}", "bold"))

    def flush(self) -> None:
        """Lines that did not end."""
        for stream in sorted(self._rest):
            if line := self._rest.pop(stream):
                call().say(line)


# A hand put in.


@app.command(cls=Deed, epilog='Example: mesh task retry release/build --reason "the disk was full"')
def retry(task: Task, reason: Reason) -> None:
    """Make a failed or cancelled task ready again; those that it blocked go on behind it."""
    _deed("task.retry", {"task": task, "reason": reason}, "ready again")


@app.command(cls=Deed, epilog='Example: mesh task skip release/docs --reason "printed by hand"')
def skip(task: Task, reason: Reason) -> None:
    """Let those that need a task go on without it."""
    _deed("task.skip", {"task": task, "reason": reason}, "skipped")


@app.command(cls=Deed, epilog='Example: mesh task assign release/sign --to oak --reason "it has the key"')
def assign(
    task: Task,
    reason: Reason,
    to: Annotated[
        str | None, typer.Option(metavar="NODE", help="The node; without one, anyone again.", autocompletion=nodes)
    ] = None,
) -> None:
    """Give a task that nobody runs to one node, or to anyone again."""
    wish = {"task": task, "reason": reason} | ({"to": to} if to else {})
    _deed("task.assign", wish, f"{to}'s alone" if to else "anyone's again")


def _deed(kind: str, wish: dict[str, Any], words: str) -> None:
    if "/" not in wish["task"]:
        raise Usage(f"{wish['task'][:80]!a} is no task: write DAG/TASK", hint="mesh task list")
    answer = call().mesh().ask(kind, wish, **call().deed)
    report(answer, {"task": wish["task"]}, f"{wish['task']} {'would be' if call().dry_run else 'is'} {words}")
