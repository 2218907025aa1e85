"""`mesh hub`: a hub of one's own that enforces.

Knows: what is typed, how findings are laid out.
Knows not: how a hub is made and what its hook refuses (`hub`).

    mesh hub init /srv/fleet.git
    mesh hub check /srv/fleet.git --json
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orxaq_mesh.cli.app import Command, Trial
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.errors import FAULT, Usage

if TYPE_CHECKING:
    from orxaq_mesh.hub.settings import HubSettings

app = new_app("hub", "A hub of one's own: a bare repository whose hook refuses what would break the ledger.")
_MARKS = {"good": ("ok  ", "good"), "look": ("look", "warn"), "bad": ("BAD ", "bad")}

_Path = Annotated[Path, typer.Argument(metavar="PATH", help="The bare repository.", show_default=False)]
_User = Annotated[str, typer.Argument(help="Who the web server says pushes (REMOTE_USER).", show_default=False)]
_Node = Annotated[str, typer.Argument(help="The node's name.", show_default=False)]
_Ledger = Annotated[
    str | None, typer.Option(metavar="ID", help="The only ledger that may be founded here: 64 hex digits.")
]
_Trunk = Annotated[str, typer.Option(metavar="BRANCH", help="The trunk's branch.")]


@app.command(cls=Trial, epilog="Example: mesh hub init /srv/fleet.git")
def init(path: _Path, ledger: _Ledger = None, trunk: _Trunk = "mesh") -> None:
    """Make a bare repository that enforces.

    Its hook refuses, before a branch moves, what `mesh review` refuses, and rewinds, deletes and foreign branches. It
    starts this very python by its path: run it again, as `adopt`, after an upgrade to another place.
    """
    from orxaq_mesh.home.process import environment
    from orxaq_mesh.hub.making import check_free, make

    settings = _settings(trunk, ledger)
    check_free(path.absolute())
    if call().dry_run:
        _tell(path, settings, f"would make {path}")
        return
    make(path.absolute(), settings, environment())
    _tell(path, settings, f"made {path}: a hub that enforces. Next: mesh init --hub {path.absolute()} --node NAME")


@app.command(cls=Trial, epilog="Example: mesh hub adopt /srv/fleet.git")
def adopt(
    path: _Path,
    ledger: _Ledger = None,
    trunk: Annotated[str | None, typer.Option(metavar="BRANCH", help="The trunk's branch.")] = None,
) -> None:
    """Turn a bare repository into a hub that enforces, or bring one up to date.

    What its branches hold stays as it is. Users that are mapped to nodes stay mapped.
    """
    from orxaq_mesh.home.process import environment
    from orxaq_mesh.hub.making import adopt, check_bare, other_names
    from orxaq_mesh.hub.settings import FILE, FOLDER, HubSettings, read_settings

    environ = environment()
    check_bare(path.absolute(), environ)
    known = read_settings(path) if (path / FOLDER / FILE).exists() else HubSettings()
    wanted = _settings(trunk or known.trunk, ledger or known.ledger)
    settings = wanted._replace(users=known.users)
    if call().dry_run:
        _tell(path, settings, f"would make {path} enforce")
        return
    adopt(path.absolute(), settings, environ)
    _tell(path, settings, f"{path} enforces from now on. Look at it with: mesh hub check {path}")
    for point in other_names(path.absolute(), environ):
        call().warn(f"{point.what}, and nothing moves by either name. Mend: {point.mend}")


@app.command(cls=Command, epilog="Example: mesh hub check /srv/fleet.git")
def check(path: _Path) -> None:
    """Say whether a hub enforces: hook, configuration, users, trunk. Exit 1 if something is bad."""
    from orxaq_mesh.home.process import environment
    from orxaq_mesh.hub.making import examine

    found = list(examine(path.absolute(), environment()))
    bad = any(point.level == "bad" for point in found)
    if call().json:
        call().data({"ok": not bad, "findings": [point._asdict() for point in found]})
    else:
        width = max(len(point.name) for point in found)
        for point in found:
            mark, style = _MARKS[point.level]
            call().say(Painted(mark, style), f"  {point.name.ljust(width)}  {point.what}")
            if point.mend:
                call().say(f"      {' ' * width}  mend: ", Painted(point.mend, "bold"))
    if bad:
        raise typer.Exit(FAULT)


@app.command(cls=Command, epilog="Example: mesh hub allow /srv/fleet.git erika elm")
def allow(path: _Path, user: _User, node: _Node) -> None:
    """Let a user of the web server push what a node has signed.

    From the first one on, the branch in which a node's records wait is moved only by whoever is that node.
    """
    _change(path, lambda settings: settings.allow(user, node), f"{user} pushes for {node}")


@app.command(cls=Command, epilog="Example: mesh hub forbid /srv/fleet.git erika elm")
def forbid(path: _Path, user: _User, node: _Node) -> None:
    """Take back what `mesh hub allow` gave."""
    _change(path, lambda settings: settings.forbid(user, node), f"{user} does not push for {node}")


def _settings(trunk: str, ledger: str | None) -> HubSettings:
    from orxaq_mesh.hub.settings import TRUNK, HubSettings
    from orxaq_mesh.record import HEX64

    if not TRUNK.fullmatch(trunk):
        raise Usage(f"not a name for a trunk: {trunk!a}")
    if ledger is not None and not HEX64.fullmatch(ledger):
        raise Usage("a ledger's id is 64 hex digits", hint="mesh status --json has it as `ledger`")
    return HubSettings(trunk, ledger)


def _change(path: Path, change: Any, said: str) -> None:
    from orxaq_mesh.hub.making import write_settings
    from orxaq_mesh.hub.settings import read_settings

    settings = change(read_settings(path))
    write_settings(path.absolute(), settings)
    _tell(path, settings, said)


def _tell(path: Path, settings: HubSettings, said: str) -> None:
    if call().json:
        call().data({"path": str(path.absolute()), **settings._asdict()})
    elif not call().quiet:
        call().say(said)
