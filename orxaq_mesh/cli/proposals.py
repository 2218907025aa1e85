"""`mesh propose`, `proposals`, `approve`, `reject`: what needs somebody else's word.

Knows: what is typed and what is told; that what is approved is shown first.
Knows not: which records need it (`mesh policy`), what a pull request's change comes to (`mesh review`).

    mesh propose                  # on elm: the page that opens a pull request
    mesh approve 12               # on oak: shows what pull request 12 proposes, and approves it
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.text import clean

app = new_app()

Which = Annotated[
    list[str],
    typer.Argument(
        metavar="PR|ID...", help="A pull request's number, or the beginning of a record's id.", show_default=False
    ),
]
Reason = Annotated[str | None, typer.Option(help="Why; it is recorded.", metavar="TEXT")]
SHORT = 12
MAX_BODY_LINE = 1 << 17
"""A line of a ledger is at most 64 KiB, and what cannot be seen is written out."""


@app.command(cls=Command, epilog="Example: mesh proposals")
def proposals() -> None:
    """List what waits for somebody's approval: held in the ledger, or proposed in its node's own branch at the hub.

    With -v all that each asks for.
    """
    found = call().mesh().proposals()
    if call().json:
        call().data({"proposals": [_value(proposal) for proposal in found]})
        return
    if not found:
        call().note("nothing waits for an approval")
    for proposal in found:
        _show(proposal)
        if call().verbose:
            _show_body(proposal)


@app.command(cls=Command, epilog="Example: mesh propose")
def propose(
    pr: Annotated[
        bool, typer.Option("--pr", help="Open the pull request, too: with gh, which must be installed.")
    ] = False,
    title: Annotated[str | None, typer.Option(metavar="TEXT", help="The pull request's title.")] = None,
) -> None:
    """Make what this node wrote and needs an approval ready for a pull request.

    It lies in this node's own branch at the hub; the page is told on which a pull request is opened from there.
    """
    mesh = call().mesh()
    found = mesh.propose()
    found["pull_request"] = _open(mesh, found, title) if pr and found["records"] else None
    if call().json:
        call().data(found)
        return
    if call().quiet:
        call().say(found["pull_request"] or found["compare"] or found["branch"])
        return
    proposed, held = found["records"], found["held"]
    if proposed:
        call().say(f"{_count(proposed)} proposed in {found['branch']}", *(f"\n  {id_[:SHORT]}" for id_ in proposed))
    if held:
        call().say(f"{_count(held)} held in the ledger by now", *(f"\n  {id_[:SHORT]}" for id_ in held))
    if found["pull_request"]:
        call().say(f"pull request: {found['pull_request']}")
    elif found["compare"] and proposed:
        call().say(f"open a pull request: {found['compare']}")
    call().note(
        f"{'or without one, ' if proposed else ''}on another node: mesh approve {(proposed or held)[0][:SHORT]}"
    )


def _count(ids: list[str]) -> str:
    return f"{len(ids)} record{'s' if len(ids) != 1 else ''}"


def _open(mesh: Any, found: dict[str, Any], title: str | None) -> str:
    from orxaq_mesh.home.gh import open_pull_request

    proposed = [proposal for proposal in mesh.proposals() if proposal.record in found["records"]]
    words = title or f"{len(proposed)} proposed by {mesh.identity().node}"
    if found["compare"] is None:
        raise MeshFault("the hub is no host that has pull requests", hint="mesh approve, on another node")
    repository = found["compare"].removeprefix("https://").partition("/compare/")[0]
    body = "\n".join(f"    {proposal.record[:SHORT]}  {proposal.text}" for proposal in proposed)
    return open_pull_request(repository, found["base"], found["branch"], words, body)


@app.command(cls=Deed, epilog="Example: mesh approve 12")
def approve(which: Which, reason: Reason = None) -> None:
    """Approve what somebody else wrote, after showing it. A pull request's number stands for all that it proposes."""
    _decide("review.approve", which, reason, "approved")


@app.command(cls=Deed, epilog="Example: mesh reject 3f9a --reason 'not before Monday'")
def reject(which: Which, reason: Reason = None) -> None:
    """Refuse what is held for good, as a reviewer; or take back what this node wrote itself."""
    _decide("review.reject", which, reason, "rejected")


def _decide(kind: str, which: list[str], reason: str | None, done: str) -> None:
    found = call().mesh().proposed(which)
    if not call().json and not call().quiet:
        for proposal in found:
            _show(proposal)
            _show_body(proposal)
    if len(found) > 64:
        raise Usage(f"{len(found)} records are too many for one record", hint="name at most 64 at a time")
    ids = [proposal.record for proposal in found]
    me = call().mesh().identity().node
    if kind == "review.reject" and (loose := [p for p in found if p.state == "proposed" and p.node != me]):
        what = f"{loose[0].record[:SHORT]} lies in the branch of {loose[0].node}, and has no effect as long as nobody approves it"
        raise Usage(what, hint=f"close its pull request; on {loose[0].node}: mesh reject {loose[0].record[:SHORT]}")
    answer = call().mesh().ask(kind, {"records": ids, **({"reason": reason} if reason else {})}, **call().deed)
    about = {"records": ids, "proposals": [_value(proposal) for proposal in found]}
    words = f"{len(ids)} record{'s' if len(ids) != 1 else ''} {'would be ' if call().dry_run else ''}{done}"
    report(answer, about, words, "\n".join(ids))


def _show(proposal: Any) -> None:
    call().say(f"{proposal.record[:SHORT]}  {proposal.text}")
    needs = f"needs {proposal.lacking} approval{'s' if proposal.lacking != 1 else ''} more"
    given = f", has {', '.join(proposal.approved)}'s" if proposal.approved else ""
    until = f", until epoch {proposal.until}" if proposal.until else ""
    since = f"held since epoch {proposal.epoch}" if proposal.epoch else "proposed"
    call().note(f"  {since}; {needs}{given}{until}")


def _show_body(proposal: Any) -> None:
    """All that a record asks for, whatever its length: what is approved is approved whole."""
    import orjson

    words = orjson.dumps(proposal.body, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode()
    for line in words.split("\n"):
        call().say(f"    {clean(line, limit=MAX_BODY_LINE)}")


def _value(proposal: Any) -> dict[str, Any]:
    return {**proposal._asdict(), "approved": list(proposal.approved)}
