"""`mesh node`: list, revoke, rotate.

Knows: what is typed and what is told.
Knows not: who may (`kinds.node`).

    mesh node revoke elm --reason "the laptop was stolen"
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed, Trial
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.complete import nodes
from orxaq_mesh.cli.ledger import about
from orxaq_mesh.cli.values import age

app = new_app("node", "Who belongs to the fleet.")


@app.command("list", cls=Command, epilog="Example: mesh node list")
def list_(offline: Annotated[bool, typer.Option("--offline", help="Show what was last read.")] = False) -> None:
    """List all nodes: roles, standing, fingerprint, last word."""
    from orxaq_mesh.cli.lease import present

    found = present(offline=offline)
    if call().json:
        call().data({"nodes": found["nodes"], "epoch": found["epoch"]})
        return
    from orxaq_mesh.cli.view import table

    rows = [_row(node) for node in found["nodes"]]
    table(("node", "roles", "standing", "last word", "records", "log", "fingerprint"), rows, roomy="fingerprint")


def _row(node: dict[str, Any]) -> tuple[str, ...]:
    word = node["last_word_age_s"]
    last = "" if word is None else f"{age(word * 1000)} ago"
    roles = ", ".join(node["roles"])
    return (node["name"], roles, node["standing"], last, str(node["seq"]), node["log"], node["fingerprint"])


@app.command(cls=Deed, epilog='Example: mesh node revoke elm --reason "the laptop was stolen"')
def revoke(
    name: Annotated[str, typer.Argument(help="A node's name, or its log.", autocompletion=nodes, show_default=False)],
    reason: Annotated[str, typer.Option(help="Why; it is recorded.", show_default=False)],
    recovery_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Sign with the offline recovery key: of an admin only.")
    ] = None,
) -> None:
    """Take a node's standing away as an admin; its leases and places in queues are free at once."""
    answer = call().mesh().revoke(name, reason, recovery=recovery_key, **call().deed)
    report(answer, {"node": name}, f"{name} {'would be' if call().dry_run else 'is'} revoked")


@app.command(cls=Trial, epilog="Example: mesh node rotate")
def rotate() -> None:
    """Replace this node's key; its name, roles and leases stay.

    A key that signed two histories (a copied home, a restored backup) has lost them: then the new key waits for an admin.
    """
    mesh = call().mesh()
    if call().dry_run:
        answer = mesh.ask("node.rotate", {"key": _throwaway()}, dry_run=True)
        report(answer, {"node": mesh.identity().node}, "the key would be replaced")
        return
    from orxaq_mesh.sync.rotation import WAITS

    answer = mesh.rotate()
    me = mesh.identity()
    from orxaq_mesh.status import fingerprint

    value = {"node": me.node, "log": me.log, "fingerprint": fingerprint(mesh.public_key())}
    if answer.result == WAITS:
        twice = f"the old key of {me.node} signed two histories and is suspended; "
        says = twice if answer.facts.get("suspended") else ""
        says += f"{me.node} waits for an admin, who runs: mesh admit {me.node} --fingerprint {value['fingerprint']}"
    else:
        says = f"{me.node} has a new key: {value['fingerprint']}"
    report(answer, value, says, value["fingerprint"])
    for lost in answer.facts.get("void", ()):
        call().note(f"void: {lost['kind']} {about(lost['body'])} ({lost['record'][:8]}); it never reached the hub")


def _throwaway() -> str:
    """A key that nobody keeps: a rehearsal needs one that the ledger does not know."""
    import secrets

    from orxaq_mesh.keys import SecretKey

    return SecretKey.generate(secrets.token_bytes(32)).public.text
