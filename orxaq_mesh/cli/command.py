"""`mesh command`: list, show, cancel. To give one: `mesh dispatch`.

Knows: what is typed and what is told.
Knows not: any rule (`kinds.command`).

    mesh command list --state failed
    mesh command show 5f0c
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.cli.complete import commands
from orxaq_mesh.cli.dag import Reason, painted, show_rows, since
from orxaq_mesh.cli.present import Offline, present_state
from orxaq_mesh.errors import Usage

app = new_app("command", "Commands that were given: what each is, and what came of it.")

Id = Annotated[
    str, typer.Argument(metavar="ID", help="Its id, or the beginning.", autocompletion=commands, show_default=False)
]
STATES = ("ready", "running", "applied", "noop", "refused", "failed", "cancelled")


@app.command("list", cls=Command, epilog="Example: mesh command list --state failed")
def list_(
    state: Annotated[
        str | None, typer.Option(metavar="STATE", help="Only in this state: ready, running, applied, failed ...")
    ] = None,
    offline: Offline = False,
) -> None:
    """List all commands, those first of which something was heard last."""
    from orxaq_mesh.inspect import work

    if state is not None and state not in STATES:
        raise Usage(f"{state[:40]!a} is no state of a command", hint=f"one of {', '.join(STATES)}")
    now = present_state(offline=offline)
    found = work.commands(now, in_state=state)
    if call().json:
        call().data({"commands": found, "epoch": now.epoch})
    elif not found:
        call().note("there is no such command" if state else "no command was ever given")
    else:
        show_rows([("command", "name", "address", "state", "node", "since", "by", ""), *map(_row, found)])


def _row(one: dict[str, Any]) -> tuple[Any, ...]:
    from orxaq_mesh.inspect.work import address

    where = (address(one), painted(one["state"]), one["node"] or "", since(one), one["by"], one["reason"] or "")
    return (one["command"], Painted(one["name"], "bold"), *where)


@app.command(cls=Command, epilog="Example: mesh command show 5f0c")
def show(id_: Id, offline: Offline = False) -> None:
    """Show one command: what was to be done, each attempt, its outcome."""
    from orxaq_mesh.cli.dispatch import outcome
    from orxaq_mesh.cli.task import attempts_at
    from orxaq_mesh.inspect import work

    state = present_state(offline=offline)
    item = work.find_command(state, id_)
    value = work.command(state, item)
    made = attempts_at(item.name, 0, runs=value["state"] == "running")
    if call().json:
        call().data({**value, "made": made})
        return
    said = outcome(value)
    call().say(Painted(value["name"], "bold"), f" {work.address(value)}: ", painted(value["state"]))
    call().say(f"  {said}; given by {value['by']}, command {value['command']}")
    if value["args"] is not None:
        call().say(Painted("  args      ", "dim"), json.dumps(value["args"], ensure_ascii=False, sort_keys=True))
    for one in made:
        ended = one["outcome"] or "running"
        reason = f": {one['reason']}" if one["reason"] else ""
        call().say(f"  attempt {one['attempt']} on {one['node']}, token {one['token']}: ", painted(ended), reason)
    call().note(f"for what caused it and what followed: mesh trace {value['command']}")


@app.command(cls=Deed, epilog='Example: mesh command cancel 5f0c --reason "elm was replaced"')
def cancel(id_: Id, reason: Reason) -> None:
    """Call a command back that nobody has begun."""
    from orxaq_mesh.inspect import work

    state = present_state()
    item = work.find_command(state, id_)
    full = work.command(state, item)["command"]
    answer = call().mesh().ask("command.cancel", {"command": full, "reason": reason}, **call().deed)
    words = f"{item.order['name']} {'would be' if call().dry_run else 'is'} cancelled"
    report(answer, {"command": full, "name": item.order["name"]}, words, full)
