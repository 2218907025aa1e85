"""`mesh status`: the command, for its help and its rarer spellings.

Knows: its options.
Knows not: the screen (`screen`).

    mesh status --offline
"""

from __future__ import annotations

from typing import Annotated

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.screen import show

app = new_app()


@app.command(cls=Command, epilog="Example: mesh status --json")
def status(
    offline: Annotated[bool, typer.Option("--offline", help="Show what was last read; do not read the hub.")] = False,
) -> None:
    """Show the fleet on one screen: hub, nodes, leases, alarms.

    The hub is read, unless a mesh-sync of this node does that or it was read within 5 s. Where it cannot be reached,
    what was last read is shown, with its age; the exit code is 5 then.
    """
    raise typer.Exit(show(offline=offline))
