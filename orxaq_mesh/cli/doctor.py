"""`mesh doctor`: what is wrong with this node, and how it is mended.

Knows: how findings are laid out.
Knows not: how they are found (`doctor`).

    mesh doctor --json
"""

from __future__ import annotations

from typing import Annotated

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.errors import FAULT

app = new_app()
_MARKS = {"good": ("ok  ", "good"), "look": ("look", "warn"), "bad": ("BAD ", "bad")}


@app.command(cls=Command, epilog="Example: mesh doctor")
def doctor(
    push: Annotated[
        bool, typer.Option("--push", help="Try whether the hub takes a push to the trunk: one that changes nothing.")
    ] = False,
) -> None:
    """Examine this node: what is wrong, and how to mend it.

    Looks at git, the home, key, journal, locks, clock, store, hub and ledger; and, where records wait or it is asked for,
    at whether the hub lets this node push, and which of its settings is in the way. Exit 1 if a finding is bad.
    """
    from orxaq_mesh.doctor import examine

    found = examine(call().mesh(), push=push)
    if call().json:
        call().data({"ok": all(item.level != "bad" for item in found), "findings": [item._asdict() for item in found]})
    else:
        width = max(len(item.name) for item in found)
        for item in found:
            mark, style = _MARKS[item.level]
            if item.level == "good" and call().quiet:
                continue
            call().say(Painted(mark, style), f"  {item.name.ljust(width)}  {item.what}")
            if item.mend:
                call().say(f"      {' ' * width}  mend: ", Painted(item.mend, "bold"))
    if any(item.level == "bad" for item in found):
        raise typer.Exit(FAULT)
