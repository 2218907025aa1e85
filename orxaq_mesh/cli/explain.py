"""`mesh explain`: the laws and rules in words.

Knows: how one is laid out.
Knows not: any of them (`rules`, `kinds`).

    mesh explain LEASE-3
"""

from __future__ import annotations

from typing import Annotated

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.complete import rules
from orxaq_mesh.errors import Usage

app = new_app()


@app.command(cls=Command, epilog="Example: mesh explain LEASE-3")
def explain(
    rule: Annotated[
        str | None, typer.Argument(help="A law's or rule's id; without it, all are listed.", autocompletion=rules)
    ] = None,
) -> None:
    """Print a law or rule: what it says, why it is there, an example."""
    from orxaq_mesh.cli import view
    from orxaq_mesh.kinds import RULES

    if rule is None:
        if call().json:
            call().data({"rules": [{"id": found.id, "title": found.title} for found in RULES.values()]})
        else:
            view.table(("id", "title"), [(found.id, found.title) for found in RULES.values()])
        return
    found = RULES.get(rule.upper())
    if found is None:
        raise Usage(f"{rule[:40]!a} is no law or rule{_near(rule)}", hint="mesh explain")
    if call().json:
        call().data(found._asdict())
    else:
        view.rule(f"{found.id}  {found.title}", [("says", found.says), ("why", found.why), ("example", found.example)])


def _near(rule: str) -> str:
    import difflib

    from orxaq_mesh.kinds import RULES

    near = difflib.get_close_matches(rule.upper(), RULES, n=3)
    return f"; did you mean {' or '.join(near)}?" if near else ""
