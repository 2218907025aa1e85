"""`mesh trace`: what caused a record, and what followed from it.

Knows: how a tree is drawn.
Knows not: what follows from what (`inspect.tracing`).

    mesh trace 3f9a
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, Part, call
from orxaq_mesh.cli.complete import commands

app = new_app()
_STYLES = {"applied": "good", "refused": "warn", "fenced": "bad"}


@app.command(cls=Command, epilog="Example: mesh trace 3f9a01c2")
def trace(
    id_: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A record's or command's id, DAG, or DAG/TASK.",
            autocompletion=commands,
            show_default=False,
        ),
    ],
) -> None:
    """Draw the tree of causes around a record: up to the first cause, and down to all that followed.

    A command follows from the event that caused it, a start from its command, a receipt and a finish from their start.
    """
    from orxaq_mesh.inspect.tracing import trace as find
    from orxaq_mesh.inspect.tracing import value

    root, asked = find(call().mesh().history(), id_)
    if call().json:
        call().data({"id": asked.record.id, "root": root.item.record.id, "tree": value(root)})
        return
    if root.missing is not None:
        call().say(Painted(f"caused by {root.missing[:16]}, which is not shown here", "dim"))
    _draw(root, asked.record.id, "", "")


def _draw(branch: Any, asked: str, lead: str, below: str) -> None:
    shown, renewals = _without_renewals(branch.children)
    more = f", renewed {renewals} time{'s' if renewals != 1 else ''}" if renewals else ""
    call().say(Painted(lead, "dim"), *_line(branch.item, asked), more)
    if branch.more:
        call().say(Painted(f"{below}... and {branch.more} more", "dim"))
    for number, child in enumerate(shown):
        last = number == len(shown) - 1
        _draw(child, asked, f"{below}{'`- ' if last else '|- '}", f"{below}{'   ' if last else '|  '}")


def _without_renewals(children: list[Any]) -> tuple[list[Any], int]:
    """What is worth a line; renewals that nothing follows from are only counted."""
    shown = [
        child
        for child in children
        if child.item.record.kind != "lease.renew" or child.children or child.item.verdict.outcome != "applied"
    ]
    return shown, len(children) - len(shown)


def _line(item: Any, asked: str) -> list[Part]:
    from orxaq_mesh.cli.ledger import about

    record, epoch, verdict, _ = item
    said = verdict.result if verdict.outcome == "applied" else f"{verdict.outcome} ({verdict.rule})"
    mark: list[Part] = [Painted(" <- this", "bold")] if record.id == asked else []
    name: Part = Painted(record.kind, "bold")
    what = "" if record.flaw else about(record.body)
    what = f" {what}: " if what else ": "
    ends = f", {record.log.rpartition('-')[0]} in epoch {epoch}, {record.id[:8]}"
    return [name, what, Painted(said or verdict.outcome, _STYLES.get(verdict.outcome, "")), ends, *mark]
