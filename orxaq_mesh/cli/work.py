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
from orxaq_mesh.errors import Usage
from orxaq_mesh.kinds.lease import MAX_TTL_MS

app = new_app()
MIN_TTL_MS = 1000


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
    capabilities, ttl_ms, place = names_of(capability), ttl_of(ttl), place_of(folder)
    authors = tuple(sorted({me, *own.trust, *(trust or ())}))
    idle_ms = None if idle is None else duration_ms(idle)
    wanted = Wanted(capabilities, slots, authors, ttl_ms, idle_ms)
    worker = Worker(mesh.home, mesh.settings, wanted, own, place, _say)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()


def names_of(capability: list[str] | None) -> tuple[str, ...]:
    """The capabilities of the command line, as the ledger takes them.

    Raises:
        Usage: one of them is no capability, or there are too many.
    """
    from orxaq_mesh.schema import fits_body

    names = tuple(name for text in capability or () for name in text.split(",") if name)
    for some in (*([name] for name in names), sorted(set(names))):
        if not fits_body("work.offer", {"capabilities": some, "slots": 1}):
            what = f"{some[0][:50]!a} is no capability" if len(some) == 1 else f"{len(some)} capabilities are too many"
            raise Usage(what, hint="a letter or digit, then letters, digits and . _ -, at most 40; at most 64 of them")
    return names


def ttl_of(ttl: str) -> int:
    """A claim's ttl.

    Raises:
        Usage: it is shorter than a second or longer than a day.
    """
    if not MIN_TTL_MS <= (ttl_ms := duration_ms(ttl)) <= MAX_TTL_MS:
        raise Usage(f"--ttl {ttl}: a claim may be silent for a second at least and a day at most", hint="--ttl 60s")
    return ttl_ms


def place_of(folder: Path | None) -> Path:
    """Where commands run.

    Raises:
        Usage: it is no directory.
    """
    place = (folder or Path.cwd()).resolve()
    if not place.is_dir():
        raise Usage(f"--folder: {place} is no directory", hint="a directory that is there, as a checkout")
    return place


def _say(name: str, facts: Mapping[str, Any]) -> None:
    event(name, facts)
