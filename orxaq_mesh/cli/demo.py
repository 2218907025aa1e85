"""`mesh demo`: a fleet loses the node that holds the lease, beside a lock file that loses the data.

Knows: its options.
Knows not: what happens (`demo`).

    mesh demo --keep
"""

from __future__ import annotations

from typing import Annotated

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call

app = new_app()


@app.command(cls=Command, epilog="Example: mesh demo --keep")
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave hub, homes and logs, and say where.")] = False,
) -> None:
    """Show a fleet of three that loses its lease holder, beside a lock file that loses the data; under 30 s."""
    from orxaq_mesh.demo import run

    raise typer.Exit(run(keep, call().json))
