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
    """Watch a fleet lose its lease holder, and no data.

    Beside it the same job under a lock file, which loses data. Then a release of a dozen tasks, in which one laptop's
    power fails and another sleeps. Real processes, a temporary hub, under 30 s. Exit 1 if anything of it did not happen.
    """
    from orxaq_mesh.demo import run

    raise typer.Exit(run(keep, call().json))
