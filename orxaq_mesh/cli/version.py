"""`mesh version`: which program this is.

Knows: its own version and those of what it stands on.
Knows not: the hub.

    mesh version --json
"""

from __future__ import annotations

import platform

from orxaq_mesh import __version__
from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call

app = new_app()


@app.command(cls=Command, epilog="Example: mesh version --json")
def version() -> None:
    """Say which version this is."""
    value = {"version": __version__, "python": platform.python_version(), "system": platform.system()}
    if call().json:
        call().data(value)
    else:
        call().say(f"mesh {__version__}")
