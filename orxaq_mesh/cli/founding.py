"""`mesh init`, `invite`, `join`, `admit`: how a fleet begins and grows.

Knows: what founder and newcomer type and read.
Knows not: what a stranger checks (`sync.founding`), who may admit (`kinds.node`).

    mesh init --hub git@github.com:acme/fleet.git --node oak
    mesh invite                                  # prints the line that elm runs
    mesh admit elm --fingerprint SHA256:...      # compared with what elm reads out
"""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed, Trial
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call, columns
from orxaq_mesh.cli.values import ago
from orxaq_mesh.errors import Refused, Usage
from orxaq_mesh.home.place import Home
from orxaq_mesh.mesh import Mesh

app = new_app()

Hub = Annotated[
    str, typer.Option("--hub", metavar="URL", help="A repository that all nodes can push to.", show_default=False)
]
Node = Annotated[str, typer.Option("--node", metavar="NAME", help="This node's name.", show_default=False)]
Identity = Annotated[
    Path | None, typer.Option(metavar="FILE", help="An OpenSSH Ed25519 key of yours; else one is made.")
]
Trunk = Annotated[str | None, typer.Option(metavar="BRANCH", help="The branch that holds the ledger [mesh].")]
Profile = Annotated[str | None, typer.Option(help="How the hub is treated: github or lan; else judged by its address.")]


@app.command(cls=Trial, epilog="Example: mesh init --hub git@github.com:acme/fleet.git --node oak")
def init(
    hub: Hub,
    node: Node,
    identity: Identity = None,
    recovery: Annotated[
        Path | None, typer.Option(metavar="PUBKEYFILE", help="The public half of an offline recovery key.")
    ] = None,
    trunk: Trunk = None,
    profile: Profile = None,
) -> None:
    """Found a ledger at a hub, with this node as its first admin.

    Makes a key, the ledger, and its first epoch. Run again after a failure, it goes on where it was.
    """
    mesh = call().mesh(hub=hub, trunk=trunk, profile=profile)
    if call().dry_run:
        _rehearse_init(mesh, hub, node)
        return
    me = mesh.init(hub, node, identity=identity, recovery=_public_key(recovery))
    _remember(mesh.home, profile)
    made = recovery is None and mesh.home.recovery.exists()
    value = {"ledger": me.ledger, "node": me.node, "log": me.log, "hub": hub, "home": str(mesh.home.path), "epoch": 1}
    value["fingerprint"] = _fingerprint(mesh)
    value["recovery"] = str(mesh.home.recovery) if made else None
    call().did = f"founded {me.ledger} as {me.node}"
    if call().json:
        call().data(value)
        return
    call().say(me.ledger) if call().quiet else call().say("founded ", Painted(me.ledger, "name"), f" as {me.node}")
    call().note(f"  key       {value['fingerprint']}  {mesh.home.key}")
    if made:
        call().note(f"  recovery  {mesh.home.recovery}: take this file offline, and away from this machine")
    call().note("next: ", Painted("mesh invite", "bold"), " prints the line that the next node runs")


def _public_key(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return " ".join(file.read_text("ascii").split()[:2])
    except (OSError, ValueError) as error:
        raise Usage(
            f"cannot read the recovery key's public half {file}: {error}", hint="ssh-keygen -t ed25519"
        ) from None


def _fingerprint(mesh: Mesh) -> str:
    from orxaq_mesh.status import fingerprint

    return fingerprint(mesh.public_key())


def _remember(home: Home, profile: str | None) -> None:
    """A profile that was chosen counts for every later command: it goes to the home's config.yaml."""
    from orxaq_mesh.home.files import atomic_write
    from orxaq_mesh.home.flatyaml import read_file

    if profile and "profile" not in read_file(home.config):
        old = home.config.read_text("utf-8") if home.config.exists() else ""
        atomic_write(home.config, f"{old}profile: {profile}\n".encode(), durable=True)


def _rehearse_init(mesh: Mesh, hub: str, node: str) -> None:
    from orxaq_mesh.sync.founding import check_name, open_store

    check_name(node)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Home(Path(folder) / "home").make(), mesh.settings, hub)
        try:
            taken = mesh.settings.trunk in store.poll()
        finally:
            store.close()
    if taken:
        raise Refused("NODE-1", f"the hub {hub} holds a ledger already", hint=f"mesh join --hub {hub} --node {node}")
    _told_dry({"hub": hub, "node": node, "home": str(mesh.home.path)}, f"{node} would found a ledger at {hub}")


def _told_dry(value: dict[str, str], words: str) -> None:
    if call().json:
        call().data({**value, "dry_run": True})
    else:
        call().say(f"{words}; nothing was done")


@app.command(cls=Command, epilog="Example: mesh invite")
def invite() -> None:
    """Print the one line that a newcomer runs.

    It names the hub, and the ledger by its id, so that the newcomer can tell it from any other. No secret is in it.
    """
    me = call().mesh().identity()
    line = f"mesh join --hub {shlex.quote(me.hub)} --node NAME --ledger {me.ledger}"
    if call().json:
        call().data({"hub": me.hub, "ledger": me.ledger, "line": line})
        return
    call().say(line)
    call().note(
        "next: the newcomer puts its own name for NAME; then ", Painted("mesh admit", "bold"), " shows who waits"
    )


@app.command(cls=Trial, epilog="Example: mesh join --hub git@github.com:acme/fleet.git --node elm --ledger 3f9a...")
def join(
    hub: Hub,
    node: Node,
    ledger: Annotated[
        str,
        typer.Option(metavar="ID", help="The ledger's id, or its founder's fingerprint.", show_default=False),
    ],
    identity: Identity = None,
    trunk: Trunk = None,
    profile: Profile = None,
) -> None:
    """Check the ledger at a hub, and ask to be let in.

    Makes a key and leaves a hello at the hub. An admin compares the fingerprint and admits it.
    """
    mesh = call().mesh(hub=hub, trunk=trunk, profile=profile)
    if call().dry_run:
        _rehearse_join(mesh, hub, node, ledger, identity)
        return
    answer = mesh.join(hub, node, ledger, identity=identity)
    _remember(mesh.home, profile)
    print_ = _fingerprint(mesh)
    value = {"node": node, "fingerprint": print_, "log": mesh.identity().log, "hub": hub, "home": str(mesh.home.path)}
    value["ledger"] = mesh.identity().ledger
    if answer.verdict != "applied":
        report(answer, value, "")
    call().did = f"{node} waits to be admitted; its fingerprint is {print_}"
    if call().json:
        call().data({**value, "verdict": answer.verdict, "result": answer.result, "record": answer.record})
        return
    call().say(print_) if call().quiet else call().say(
        f"{node} waits to be admitted; its fingerprint is ", Painted(print_, "name")
    )
    call().note("next: an admin runs ", Painted(f"mesh admit {node} --fingerprint {print_}", "bold"))


def _rehearse_join(mesh: Mesh, hub: str, node: str, ledger: str, identity: Path | None) -> None:
    from orxaq_mesh.sync.founding import introduce

    with tempfile.TemporaryDirectory() as folder:
        introduce(Home(Path(folder) / "home"), mesh.settings, hub, node, ledger, identity)
    _told_dry({"hub": hub, "node": node, "home": str(mesh.home.path)}, f"{node} would say hello at {hub}")


@app.command(cls=Deed, epilog="Example: mesh admit elm --fingerprint SHA256:q1w2... --role node")
def admit(
    name: Annotated[str | None, typer.Argument(help="Who is let in; without it, who waits is listed.")] = None,
    fingerprint: Annotated[
        str | None, typer.Option(metavar="FP", help="The key's fingerprint, as the newcomer reads it out.")
    ] = None,
    role: Annotated[list[str], typer.Option(help="admin, node, observer or reviewer; may be given twice.")] = ["node"],  # noqa: B006
    recovery_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign with the offline recovery key: for an admin only.")
    ] = None,
) -> None:
    """Let a newcomer in, or list who waits.

    The fingerprint is what tells the newcomer from somebody who only uses the name: compare it by another way.
    """
    mesh = call().mesh()
    if name is None:
        _list_waiting(mesh)
        return
    if fingerprint is None:
        raise Usage(f"by which key? {_waiting_keys(mesh, name)}", hint=f"mesh admit {name} --fingerprint SHA256:...")
    if unknown := set(role) - {"admin", "node", "observer", "reviewer"}:
        raise Usage(f"{', '.join(sorted(unknown))} is no role", hint="admin, node, observer or reviewer")
    answer = mesh.admit(name, fingerprint, role, recovery=recovery_key, **call().deed)
    about = {"node": name, "fingerprint": fingerprint, "roles": sorted(role)}
    report(answer, about, f"{name} {'would be' if call().dry_run else 'is'} admitted ({', '.join(role)})")


def _waiting_keys(mesh: Mesh, name: str) -> str:
    keys = [hello["fingerprint"] for hello in mesh.hellos() if hello["name"] == name]
    return f"of that name waits {', '.join(keys)}" if keys else f"nobody named {name} waits"


def _list_waiting(mesh: Mesh) -> None:
    waiting = mesh.hellos()
    if call().json:
        call().data(waiting)
        return
    for line in columns(
        [(Painted(w["name"], "name"), w["fingerprint"], f"for {ago(w['since'])}") for w in waiting], ""
    ):
        call().say(*line)
    if waiting:
        call().note(
            "next: ",
            Painted("mesh admit NAME --fingerprint FINGERPRINT", "bold"),
            ", once the newcomer has read it out",
        )
    else:
        call().note("nobody waits")
