"""`mesh sync`, one pass; and the program `mesh-sync`.

Knows: one line an event.
Knows not: when anything happens (`sync.daemon`).

    mesh-sync --json | tee mesh-sync.ndjson
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Trial
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, Part, call, encode, paint, write
from orxaq_mesh.errors import Usage

app = new_app()
_STYLES = {"alarm": "bad", "fault": "bad", "unreachable": "warn", "sealed": "good"}


@app.command(cls=Trial, epilog="Example: mesh sync --from ssh://git@example.com/fleet-east.git")
def sync(
    hub: Annotated[
        str | None,
        typer.Option("--from", help="Bring another hub, or a git bundle, together with this node's.", metavar="HUB"),
    ] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Give the hub back what this node has seen there and it has lost.")
    ] = False,
) -> None:
    """Make one pass: read the hub, publish what waits, renew leases.

    With --from, two halves of a fleet that worked apart come together: every node then sees the same, in any order.
    """
    mesh = call().mesh()
    if (hub or mend) and (call().dry_run or (hub and mend)):
        raise Usage("--from, --mend and --dry-run do not go together", hint="mesh sync --help")
    if hub or mend:
        from orxaq_mesh.cli.carry import told

        told(mesh.reconcile(os.path.abspath(hub) if hub and os.path.exists(hub) else hub))  # noqa: PTH100, PTH110
        return
    if call().dry_run:
        mesh.observe()
    found = mesh.status(offline=True) if call().dry_run else mesh.sync()
    found["offline"] = False  # the hub was read just now, only not for this screen
    call().did = "" if call().dry_run else "the hub was read, and what waited was published"
    if call().json:
        call().data(found)
        return
    waits = f"{found['pending']} records wait" if found["pending"] else "nothing waits"
    call().say(f"epoch {found['epoch']}, {waits}")


def daemon(
    once: Annotated[bool, typer.Option("--once", help="Make one pass and end.")] = False,
) -> None:
    """Keep this node in step with its hub: read, publish, renew what is held.

    One runs for each node. Commands hand their wishes over to it. TERM ends it; it can be killed at any moment.
    """
    mesh = call().mesh()
    if once:
        event("pass", _pass(mesh.sync()))
        return
    from orxaq_mesh.sync.daemon import Daemon

    Daemon(mesh.home, mesh.settings, event).run()


def _pass(found: dict[str, Any]) -> dict[str, Any]:
    return {"epoch": found["epoch"], "pending": found["pending"]}


def event(name: str, facts: Mapping[str, Any]) -> None:
    """One line of the log, at once."""
    import sys

    from orxaq_mesh.home.clock import Clock, stamp

    at = stamp(Clock().wall())
    if call().json:
        write(sys.stdout, encode({"at": at, "event": name, **facts}))
    elif not (call().quiet and name not in _STYLES):
        write(sys.stdout, paint(line(at, name, facts), sys.stdout))


def line(at: str, name: str, facts: Mapping[str, Any]) -> list[Part]:
    """`09:30:00.250Z sealed  epoch=42 node=oak-3f9a01c2 ...`: the time is UTC."""
    words = " ".join(f"{key}={_word(value)}" for key, value in facts.items() if value not in ("", None))
    return [Painted(f"{at} ", "dim"), Painted(name.ljust(11), _STYLES.get(name, "bold")), " ", words]


def _word(value: Any) -> str:
    said = str(value)
    return encode(said) if not said or any(char.isspace() for char in said) else said
