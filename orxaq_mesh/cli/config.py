"""`mesh config show`: every setting, and where its value came from.

Knows: how they are listed.
Knows not: how they are resolved (`home.config`).

    mesh config show --origin
"""

from __future__ import annotations

from typing import Annotated

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call

app = new_app("config", "The settings of this node.")


@app.command(cls=Command, epilog="Example: mesh config show --origin")
def show(
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value came from.")] = False,
) -> None:
    """Show every setting's value."""
    from orxaq_mesh.home.settings import SETTINGS

    mesh = call().mesh()
    values = {name: getattr(mesh.settings, name) for name in SETTINGS}
    origins = mesh.settings.origins
    if call().json:
        call().data(
            {
                "home": str(mesh.home.path),
                "settings": {name: {"value": value, "origin": origins[name]} for name, value in values.items()},
            }
        )
        return
    from orxaq_mesh.cli.view import table

    rows = [(name, _word(value), origins[name], SETTINGS[name].says) for name, value in values.items()]
    heads = ("setting", "value", "origin", "meaning")
    kept = (0, 1, 2) if origin else (0, 1, 3)
    table([heads[at] for at in kept], [[row[at] for at in kept] for row in rows], fold=heads[kept[-1]])
    call().note(f"home: {mesh.home.path}")


def _word(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else "-" if value is None else str(value)
