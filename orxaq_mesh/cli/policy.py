"""`mesh policy`: require, lift, list, allow.

Knows: what is typed and what is told.
Knows not: how a rule is applied (`kinds.review`).

    mesh policy require deploys --kind lease.acquire --name deploy
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.present import Offline, present_state
from orxaq_mesh.errors import Usage

app = new_app("policy", "Which records need somebody else's approval before they have an effect.")

RuleName = Annotated[str, typer.Argument(metavar="RULE", help="The rule's name.", show_default=False)]


@app.command("list", cls=Command, epilog="Example: mesh policy list")
def list_(offline: Offline = False) -> None:
    """List the rules in force."""
    from orxaq_mesh.kinds.review import reviews

    part = reviews(present_state(offline=offline))
    rows = [{"rule": name, **need._asdict()} for name, need in part.needs.items()]
    if call().json:
        call().data({"rules": rows, "allowed": dict(part.allowed)})
        return
    if not rows:
        call().note("nothing needs an approval")
        return
    from orxaq_mesh.cli.view import table

    table(("rule", "kinds", "names", "roles", "approvals", "waits"), [_row(row) for row in rows], roomy="kinds")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    lists = (", ".join(row[field]) or "all" for field in ("kinds", "names", "roles"))
    return (row["rule"], *lists, str(row["approvals"]), f"{row['epochs']} epochs")


def _kinds(incomplete: str) -> list[str]:
    from orxaq_mesh.kinds.review import REVIEWABLE

    return [kind for kind in REVIEWABLE if kind.startswith(incomplete)]


@app.command(cls=Deed, epilog="Example: mesh policy require deploys --kind lease.acquire --name deploy")
def require(
    rule: RuleName,
    kind: Annotated[
        list[str], typer.Option(metavar="KIND", help="A kind of record.", autocompletion=_kinds, show_default=False)
    ],
    name: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A lease, DAG, task, command, topic or node; NAME* for all that begin so."),
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(metavar="ROLE", help="Only of those who have no other roles than these.")
    ] = None,
    approvals: Annotated[int, typer.Option(min=1, max=8, help="How many reviewers must approve it.")] = 1,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="For how many epochs it waits.", show_default="10000")
    ] = None,
) -> None:
    """Name what needs an approval from now on, as an admin. The same rule again replaces it."""
    from orxaq_mesh.kinds.review import REVIEWABLE

    if unknown := [each for each in kind if each not in REVIEWABLE]:
        raise Usage(f"{unknown[0][:40]!a} is no kind that is ever held", hint=f"one of {', '.join(REVIEWABLE)}")
    wish: dict[str, Any] = {"rule": rule, "kinds": list(dict.fromkeys(kind)), "approvals": approvals}
    wish |= {field: list(dict.fromkeys(given)) for field, given in (("names", name), ("roles", role)) if given}
    wish |= {"epochs": epochs} if epochs is not None else {}
    answer = call().mesh().ask("review.require", wish, **call().deed)
    needs = f"need{'s' if len(kind) == 1 else ''} {approvals} approval{'s' if approvals != 1 else ''}"
    report(answer, wish, f"{', '.join(kind)} {needs} {'(not yet: a dry run)' if call().dry_run else 'from now on'}")


@app.command(cls=Deed, epilog="Example: mesh policy lift deploys")
def lift(rule: RuleName) -> None:
    """Take a rule back, as an admin. What is held already still needs its approval."""
    answer = call().mesh().ask("review.lift", {"rule": rule}, **call().deed)
    report(answer, {"rule": rule}, f"the rule {rule} {'would be' if call().dry_run else 'is'} lifted")


@app.command(cls=Deed, epilog="Example: mesh policy allow --file example-key.txt --reason 'the manual's own example'")
def allow(
    reason: Annotated[str, typer.Option(help="Why it is none; it is recorded.", show_default=False)],
    file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Holds the text that looks like a credential.")
    ] = None,
    digest: Annotated[str | None, typer.Option(metavar="SHA256", help="Or its sha256, 64 hex digits.")] = None,
) -> None:
    """Say of a text that looks like a credential that it is none, as a reviewer. Only its sha256 is recorded."""
    if (file is None) == (digest is None):
        raise Usage("which text?", hint="--file FILE or --digest SHA256")
    if file is not None:
        try:
            digest = hashlib.sha256(file.read_bytes().removesuffix(b"\n")).hexdigest()
        except OSError as error:
            raise Usage(f"{file}: {error.strerror}", hint="name a file that can be read") from None
    answer = call().mesh().ask("review.allow", {"digest": digest, "reason": reason}, **call().deed)
    report(answer, {"digest": digest}, f"text {str(digest)[:12]} {'would be' if call().dry_run else 'is'} allowed")
