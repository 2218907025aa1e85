"""`mesh reactor`: publish, list, show.

Knows: what is typed and what is told.
Knows not: how a file is read (`orders`), what follows from an event (`kinds.mapping`).

    mesh reactor publish examples/follow-ups.yaml
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.cli.complete import reactors
from orxaq_mesh.cli.dag import show_rows
from orxaq_mesh.cli.present import Offline, present_state
from orxaq_mesh.errors import MeshFault

app = new_app("reactor", "What follows from which event, for the whole fleet, once.")


@app.command(cls=Deed, epilog="Example: mesh reactor publish examples/follow-ups.yaml")
def publish(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="YAML, or .json; - is stdin.", show_default=False)],
) -> None:
    """Publish a mapping from events to follow-ups, as an admin. It holds for events from then on.

    A flaw is told with file and line, and nothing is signed. To change a mapping, raise its version; one without rules
    ends it.
    """
    from orxaq_mesh.orders import reactors as orders

    body = orders.read(file)
    answer = call().mesh().ask("reactor.publish", body, **call().deed)
    about = {"reactor": body["reactor"], "version": body["version"], "rules": len(body["rules"])}
    said = f"{body['reactor']} {'would be' if call().dry_run else 'is'} published: version {body['version']}, "
    report(answer, about, f"{said}{len(body['rules'])} rules", body["reactor"])


@app.command("list", cls=Command, epilog="Example: mesh reactor list")
def list_(offline: Offline = False) -> None:
    """List the published mappings, and the follow-ups that nobody has written yet."""
    from orxaq_mesh.inspect import work

    state = present_state(offline=offline)
    found, due = work.reactor_list(state), work.due_list(state)
    if call().json:
        call().data({"reactors": found, "due": due, "epoch": state.epoch})
        return
    if not found:
        call().note("no reactor was ever published")
        return
    rows = [(one["reactor"], str(one["version"]), str(len(one["rules"])), one["record"][:8]) for one in found]
    show_rows([("reactor", "version", "rules", "record"), *rows])
    for one in due:
        under = f" by the holder of {one['under']}" if one["under"] else ""
        call().say(Painted("due ", "warn"), f"{one['kind']} {one['reaction'][:8]}{under}, caused by {one['cause'][:8]}")


@app.command(cls=Command, epilog="Example: mesh reactor show follow-ups")
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The reactor.", autocompletion=reactors, show_default=False)
    ],
    offline: Offline = False,
) -> None:
    """Show one mapping as it was published."""
    from orxaq_mesh.inspect import work

    state = present_state(offline=offline)
    found = next((one for one in work.reactor_list(state) if one["reactor"] == name), None)
    if found is None:
        raise MeshFault(f"there is no reactor {name}", hint="mesh reactor list", reactor=name)
    if call().json:
        call().data(found)
        return
    call().say(Painted(name, "bold"), f": version {found['version']}, record {found['record'][:8]}")
    for rule in found["rules"]:
        for at, line in enumerate(json.dumps(rule, indent=2, ensure_ascii=False, sort_keys=True).split("\n")):
            call().say(f"  {'-' if at == 0 else ' '} {line}")
