"""`mesh breaker`: show, open, reset.

Knows: what is typed and what is told.
Knows not: when it opens by itself (`kinds.work`, BREAKER-2).

    mesh breaker open --reason "the registry serves broken packages"
"""

from __future__ import annotations

from orxaq_mesh.cli.answer import report
from orxaq_mesh.cli.app import Command, Deed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.cli.dag import Reason
from orxaq_mesh.cli.present import Offline, present_state

app = new_app("breaker", "The circuit breaker: while it is open, no new work begins anywhere.")


@app.command(cls=Command, epilog="Example: mesh breaker show")
def show(offline: Offline = False) -> None:
    """Show whether the breaker is open, since when, why, and what it has counted."""
    from orxaq_mesh.inspect import work

    found = work.breaker(present_state(offline=offline))
    if call().json:
        call().data(found)
        return
    if found["open"]:
        said = f" since epoch {found['epoch']}: {found['reason']} ({found['by']})"
        call().say("the breaker is ", Painted("open", "bad"), said)
        call().note('to go on, as an admin: mesh breaker reset --reason "..."')
    else:
        call().say("the breaker is ", Painted("closed", "good"))
    call().say(f"  {found['failures_in_row']} failures in a row, {found['guard_incidents']} failed guards")


@app.command("open", cls=Deed, epilog='Example: mesh breaker open --reason "the registry serves broken packages"')
def open_(reason: Reason) -> None:
    """Stop the fleet: no task and no command begins until an admin resets it. What runs may finish."""
    answer = call().mesh().ask("breaker.open", {"reason": reason}, **call().deed)
    report(answer, {"open": True}, f"the breaker {'would be' if call().dry_run else 'is'} open: no new work begins")


@app.command(cls=Deed, epilog='Example: mesh breaker reset --reason "registry is mended"')
def reset(reason: Reason) -> None:
    """Close the breaker, as an admin. Both counts begin anew."""
    answer = call().mesh().ask("breaker.reset", {"reason": reason}, **call().deed)
    report(answer, {"open": False}, f"the breaker {'would be' if call().dry_run else 'is'} closed: work goes on")
