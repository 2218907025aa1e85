"""`mesh work`: this node does what is to be done.

Knows: options and words.
Knows not: which work comes next, how it is done (`worker`).

    mesh work --capability build,test --slots 2 --trust oak
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.sync import event
from orxaq_mesh.cli.values import duration_ms

app = new_app()


@app.command(cls=Command, epilog="Example: mesh work --capability build,test --slots 2 --trust oak")
def work(
    capability: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="What this node can do; a list with commas, or several.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, max=64, help="How much is done at once.")] = 1,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NODE", help="Whose work is done besides this node's own; '*': everybody's. Adds to work.yaml."
        ),
    ] = None,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where commands run; by default here.")] = None,
    ttl: Annotated[
        str, typer.Option(metavar="TIME", help="How long a claim may be silent, where its order is.")
    ] = "60s",
    idle: Annotated[
        str | None, typer.Option(metavar="TIME", help="End after so long without work; by default never.")
    ] = None,
) -> None:
    """Take what is ready, run it, file receipts; until it is interrupted, or idle for long enough.

    What a ledger says is run here only for authors that you trust: this node itself, and whom --trust or work.yaml name.
    """
    from orxaq_mesh.worker.loop import Wanted, Worker
    from orxaq_mesh.worker.own import read

    mesh = call().mesh()
    own, me = read(mesh.home.path), mesh.identity().node
    capabilities = tuple(name for text in capability or () for name in text.split(",") if name)
    authors = tuple(sorted({me, *own.trust, *(trust or ())}))
    idle_ms = None if idle is None else duration_ms(idle)
    wanted = Wanted(capabilities, slots, authors, duration_ms(ttl), idle_ms)
    worker = Worker(mesh.home, mesh.settings, wanted, own, (folder or Path.cwd()).resolve(), _say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()


def _say(name: str, facts: Mapping[str, Any]) -> None:
    event(name, facts)
