"""`mesh dispatch`: give a command, once.

Knows: how a command is addressed and its arguments are typed; how long one waits for its outcome.
Knows not: which command is the same as another (`kinds.command`).
Law: COMMAND-2: the same command is one command; what came of it so far is told.

    mesh dispatch restart-indexer --to elm --under leader
    mesh dispatch scale --args '{"lanes":3}' --holder leader --wait
"""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report, tell, unsettled, value_of
from orxaq_mesh.cli.app import LeaseDeed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.complete import leases, nodes
from orxaq_mesh.cli.present import changes
from orxaq_mesh.cli.values import duration_ms
from orxaq_mesh.effects import Answer
from orxaq_mesh.errors import FAULT, QUEUED, REFUSED, MeshError, Unreachable, Usage

app = new_app()
ENDED = {"applied": 0, "noop": 0, "refused": REFUSED, "failed": FAULT, "cancelled": FAULT}
"""What came of a command -> the exit code of who waited for it."""


@app.command(cls=LeaseDeed, epilog="Example: mesh dispatch restart-indexer --to elm --under leader")
def dispatch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="What is to be done, as the nodes know it.", show_default=False)
    ],
    arg: Annotated[
        list[str] | None, typer.Option("--arg", metavar="NAME=TEXT", help="An argument; give it again for more.")
    ] = None,
    args: Annotated[
        str | None, typer.Option("--args", metavar="JSON|@FILE|-", help="All arguments as one JSON value.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="NODE", help="The node that does it.", autocompletion=nodes)] = None,
    capability: Annotated[str | None, typer.Option(metavar="NAME", help="Or whoever offers this.")] = None,
    holder: Annotated[
        str | None, typer.Option(metavar="LEASE", help="Or who holds this lease.", autocompletion=leases)
    ] = None,
    under: Annotated[
        str | None, typer.Option(metavar="LEASE", help="The lease that it acts under.", autocompletion=leases)
    ] = None,
    token: Annotated[int | None, typer.Option(metavar="N", help="Its token; else the one this session holds.")] = None,
    again: Annotated[str | None, typer.Option(metavar="NAME", help="Makes it another command than before.")] = None,
    priority: Annotated[int | None, typer.Option(min=0, max=9, help="9 first, 0 last.", show_default=False)] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is recorded.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Come back with its outcome, or when --timeout is over.")
    ] = False,
    timeout: Annotated[str | None, typer.Option(metavar="TIME", help="How long to wait at most.")] = None,
) -> None:
    """Give a command to one node, to whoever has a capability, or to the holder of a lease.

    The same command to the same address is given once: who gives it again is told what came of it, exit 0; --again
    makes it another one. With --wait: exit 0 applied or noop, 3 refused, 1 failed, 7 no outcome in time.
    """
    _check(to, capability, holder, under, token, wait, timeout)
    given = _arguments(arg or [], args)
    address: dict[str, Any] = {"to": to, "capability": capability, "holder": holder}
    options: dict[str, Any] = {"under": under, "token": token, "again": again, "priority": priority, "reason": reason}
    try:
        answer = call().mesh().dispatch(name, given, **address, **options, **call().deed)
    except Unreachable as told:
        raise unsettled(told) from None
    id_ = _id(name, given, again, address)
    about = {"command": id_, "name": name, **address, "state": None}
    if answer.verdict != "applied" or call().dry_run:
        report(answer, about, f"{name} would be {'issued' if answer.result == 'issued' else 'a noop'}", id_)
        return
    _told(answer, about, wait, timeout)


def _check(
    to: str | None,
    capability: str | None,
    holder: str | None,
    under: str | None,
    token: int | None,
    wait: bool,
    timeout: str | None,
) -> None:
    if sum(one is not None for one in (to, capability, holder)) != 1:
        raise Usage("a command has one address", hint="--to NODE, --capability NAME, or --holder LEASE")
    if token is not None and under is None:
        raise Usage("--token is of the lease that --under names", hint="--under LEASE --token N")
    if timeout is not None and not wait:
        raise Usage("--timeout says how long --wait waits", hint="--wait --timeout 5m")


def _arguments(pairs: list[str], whole: str | None) -> Any:
    from orxaq_mesh.cli.publish import parse, read

    value = parse(read(whole)) if whole is not None else None
    if not pairs:
        return value
    if value is not None and not isinstance(value, dict):
        raise Usage("--arg adds to a mapping, and --args is none", hint="--args '{...}', or --arg alone")
    named = dict(value or {})
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name or not name.isascii() or name in named:
            raise Usage(f"--arg {pair[:60]!a}", hint="--arg NAME=TEXT, each name once")
        named[name] = text
    return named


def _id(name: str, args: Any, again: str | None, address: dict[str, Any]) -> str:
    from orxaq_mesh.kinds.command import command_id

    fields = {"name": name, "args": args, "again": again, **address}
    return command_id({field: value for field, value in fields.items() if value is not None})


def _told(answer: Answer, about: dict[str, Any], wait: bool, timeout: str | None) -> None:
    found = _outcome(about["command"], None if not wait else timeout or "", wait)
    value = value_of(answer, about) | ({"state": found["state"], "outcome": found} if found else {})
    before = answer.result == "noop"
    code = ENDED.get(value["state"] or "", QUEUED) if wait else 0
    tell(answer, value, lambda: _words(value, found, before), about["command"], code)
    if not wait and not before:
        call().note(f"to see what comes of it: mesh command show {about['command']}")


def _outcome(id_: str, timeout: str | None, wait: bool) -> dict[str, Any] | None:
    """The command as it stands now, or as it ended; None where it cannot be seen."""
    from orxaq_mesh.inspect import work
    from orxaq_mesh.inspect.work import NotThere

    found = None
    try:
        for state in changes((duration_ms(timeout) if timeout else None) if wait else 0):
            with suppress(NotThere):  # a running mesh-sync answers before it has written down what it knows
                found = work.command(state, work.find_command(state, id_))
            if not wait or (found and found["state"] in ENDED):
                break
    except MeshError:
        if wait:
            raise
    return found


def _words(value: dict[str, Any], found: dict[str, Any] | None, before: bool) -> str:
    from orxaq_mesh.inspect.work import address

    said = f"{value['name']} {address(value)}: command {value['command']}"
    said += " was issued before" if before else " is issued"
    if found is None or (found["state"] == "ready" and not before):
        return said
    return f"{said}; {outcome(found)}"


def outcome(found: dict[str, Any]) -> str:
    """What came of a command so far, in words."""
    reason = f": {found['reason']}" if found["reason"] else ""
    by = f" by {found['node']}" if found["node"] else ""
    words = {"ready": "nobody has begun it yet", "running": f"{found['node']} is doing it"}
    return words.get(found["state"], f"{found['state']}{by} in epoch {found['epoch']}{reason}")
