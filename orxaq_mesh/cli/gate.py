"""`mesh gate`: run a command only if its token is not lower than any that the resource was shown before.

Knows: what is typed.
Knows not: how the mark is kept (`gate`).
Law: FENCE, outside the ledger.

    mesh gate prod.txt --token "$MESH_TOKEN" -- ./write.sh
"""

from __future__ import annotations

from typing import Annotated

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.values import duration_ms
from orxaq_mesh.errors import Usage

app = new_app()


@app.command(
    cls=Command,
    epilog='Example: mesh gate prod.txt --token "$MESH_TOKEN" -- ./write.sh',
)
def gate(
    name: Annotated[str, typer.Argument(help="The resource: a file's or directory's path.", show_default=False)],
    command: Annotated[list[str], typer.Argument(metavar="-- CMD...", help="What runs.", show_default=False)],
    token: Annotated[
        str | None, typer.Option(metavar="N", help="The lease's token [MESH_TOKEN]; also as 9:SEAL.")
    ] = None,
    seal: Annotated[
        str | None, typer.Option(metavar="ID", help="The id of the seal that granted it [MESH_SEAL].")
    ] = None,
    lock_timeout: Annotated[
        str, typer.Option("--lock-timeout", metavar="TIME", help="How long to wait while another is inside.")
    ] = "60s",
) -> None:
    """Run a command under the gate of a resource.

    The highest token that was shown is kept beside the resource, in NAME.gate; a lower one is refused, exit 4, and
    the command does not run. Else its exit code is passed on.
    """
    from orxaq_mesh.gate import parse_token, run_gated
    from orxaq_mesh.home.process import environment

    environ = environment()
    if token is None:
        token, seal = environ.get("MESH_TOKEN"), seal or environ.get("MESH_SEAL")
    if not token:
        raise Usage("no token", hint="--token N, or run it under mesh lease run, which sets MESH_TOKEN")
    asked = parse_token(token, seal or "")
    raise typer.Exit(run_gated(name, asked, command, lock_timeout_ms=duration_ms(lock_timeout)))
