"""`mesh lease`: acquire, renew, release, take, break, list, show, wait, run.

Knows: what is typed and what is told.
Knows not: any rule (`kinds.lease`), how a lease is kept while a command runs (`holding`).
Laws: FENCE (a token is told to its holder only), TIME, UNTIL.

    mesh lease acquire deploy --ttl 10m           # deploy is yours: token 40
    mesh lease run deploy --ttl 10m -- ./deploy.sh
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import lease_value, tell, unknown, unsettled
from orxaq_mesh.cli.app import Command, LeaseDeed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.cli.complete import leases
from orxaq_mesh.cli.values import age, duration_ms, span
from orxaq_mesh.effects import Answer
from orxaq_mesh.errors import QUEUED, InvalidLedger, MeshFault, Unreachable, Usage

app = new_app("lease", "Hold a name exclusively: acquire it, keep it, give it back.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="The lease.", autocompletion=leases, show_default=False)]
Ttl = Annotated[str, typer.Option("--ttl", metavar="TIME", help="How long the holder may be silent: 600, 10m, 1h30m.")]
NewTtl = Annotated[str | None, typer.Option("--ttl", metavar="TIME", help="Another ttl from now on.")]
Token = Annotated[int | None, typer.Option("--token", metavar="N", help="The token; else the one this session holds.")]
Queue = Annotated[bool, typer.Option("--queue", help="Wait in line if it is held; exit 7 and no token then.")]
Wait = Annotated[bool, typer.Option("--wait", help="Come back only with the lease, or when --timeout is over.")]
Timeout = Annotated[str | None, typer.Option("--timeout", metavar="TIME", help="How long to wait at most.")]
Priority = Annotated[int, typer.Option("--priority", min=0, max=9, help="Place in the queue: 9 first, 0 last.")]


def _told(name: str, ask: Callable[[], Answer], words: Callable[[dict[str, Any]], str]) -> None:
    """Ask, and tell the answer; a grant that did not come is exit 7."""
    try:
        answer = ask()
    except Unreachable as told:
        error = unsettled(told, f"mesh lease release {name}" if words in (_granted, _taken) else "")
        if call().json:
            call().data(unknown(error, name))
        raise error from None
    value = lease_value(answer, name)
    got = answer.result in ("granted", "renewed", "released", "withdrawn", "broken")
    essence = str(value["token"]) if value["token"] is not None and answer.result == "granted" else ""
    tell(answer, value, lambda: words(value), essence, 0 if got else QUEUED)


def _granted(value: dict[str, Any]) -> str:
    name, holder = value["lease"], value.get("holder")
    if value["result"] == "granted":
        again = " (already; same --key)" if value.get("again") else ""
        would = "would be" if value.get("dry_run") else "is"
        told = "" if value["token"] is None else f": token {value['token']}"
        return f"{name} {would} yours{told}{again}"
    if value.get("withdrawn"):
        return f"{name} was not free in time, held by {holder}; the place in the queue is given back"
    return f"{name} is held by {holder}, token {value.get('holder_token')}; you wait in line"


@app.command(cls=LeaseDeed, epilog="Example: mesh lease acquire deploy --ttl 10m --wait --timeout 5m")
def acquire(
    name: Name,
    ttl: Ttl = "10m",
    queue: Queue = False,
    wait: Wait = False,
    timeout: Timeout = None,
    priority: Priority = 0,
) -> None:
    """Ask for a lease.

    Granted: its token is printed (alone with -q), exit 0. Held by another: who, since when, exit 3; with --queue
    you wait in line, exit 7, no token yet. A running mesh-sync renews it for as long as what started this command
    lives; without one, renew it yourself.
    """
    _check_wait(wait, timeout)
    mesh, wish = call().mesh(), _wish(queue=queue, wait=wait, timeout=timeout)
    _told(name, lambda: mesh.acquire(name, duration_ms(ttl), priority=priority, **wish), _granted)


def _wish(**options: Any) -> dict[str, Any]:
    from orxaq_mesh.home.process import starter

    timeout = options.pop("timeout")
    if options["wait"] and not call().dry_run:
        call().note("waiting; Ctrl-C gives the place in the queue back ...")
    timeout_ms = None if timeout is None else duration_ms(timeout)
    return {**options, "timeout_ms": timeout_ms, "owner": starter(), **call().deed}


def _check_wait(wait: bool, timeout: str | None) -> None:
    if timeout is not None and not wait:
        raise Usage("--timeout says how long --wait waits", hint="--wait --timeout 5m")


@app.command(cls=LeaseDeed, epilog="Example: mesh lease renew deploy --token 40")
def renew(name: Name, token: Token = None, ttl: NewTtl = None) -> None:
    """Say that the holder lives. A stale token is fenced, exit 4."""
    mesh = call().mesh()
    ttl_ms = None if ttl is None else duration_ms(ttl)
    _told(name, lambda: mesh.renew(name, token=token, ttl_ms=ttl_ms, **call().deed), _renewed)


def _renewed(value: dict[str, Any]) -> str:
    return f"{value['lease']} is renewed: token {value['token']}" + (
        f", ttl {span(value['ttl_ms'])}" if value.get("ttl_ms") else ""
    )


@app.command(cls=LeaseDeed, epilog="Example: mesh lease release deploy")
def release(name: Name, token: Token = None) -> None:
    """Give a lease back, or a place in its queue. Who waits longest gets it."""
    mesh = call().mesh()
    _told(name, lambda: mesh.release(name, token=token, **call().deed), _released)


def _released(value: dict[str, Any]) -> str:
    if value["result"] == "withdrawn":
        return f"the place in the queue of {value['lease']} is given back"
    heir = f"; {value['holder']} has it now, token {value['holder_token']}" if value.get("holder") else ""
    return f"{value['lease']} is given back{heir}"


@app.command(cls=LeaseDeed, epilog="Example: mesh lease take deploy --ttl 10m --wait")
def take(name: Name, ttl: Ttl = "10m", queue: Queue = False, wait: Wait = False, timeout: Timeout = None) -> None:
    """Take a lease from a holder that is silent for its ttl.

    This node must have watched that silence itself: a running mesh-sync does, or --wait watches until it has.
    """
    _check_wait(wait, timeout)
    mesh, wish = call().mesh(), _wish(queue=queue, wait=wait, timeout=timeout)
    _told(name, lambda: mesh.take(name, duration_ms(ttl), **wish), _taken)


def _taken(value: dict[str, Any]) -> str:
    if value["result"] == "passed":
        return f"{value['lease']} was passed to {value['holder']}, who waited longest: token {value['holder_token']}"
    return _granted(value)


@app.command("break", cls=LeaseDeed, epilog='Example: mesh lease break deploy --reason "oak was stolen"')
def break_(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; it is recorded.", show_default=False)],
    token: Token = None,
) -> None:
    """End a grant as an admin, with a reason.

    Its token is stale from then on, and who waits longest gets the lease.
    """
    mesh = call().mesh()
    broken = "would be" if call().dry_run else "is"
    _told(name, lambda: mesh.break_lease(name, reason, token=token, **call().deed), lambda _: f"{name} {broken} broken")


@app.command("list", cls=Command, epilog="Example: mesh lease list --json")
def list_(
    offline: Annotated[bool, typer.Option("--offline", help="Show what was last read.")] = False,
) -> None:
    """List all leases: holder, token, age, queue."""
    found = present(offline=offline)
    if call().json:
        call().data({"leases": found["leases"], "epoch": found["epoch"]})
        return
    from orxaq_mesh.cli.view import table

    rows = [_row(lease) for lease in sorted(found["leases"], key=lambda lease: str(lease["name"]))]
    if rows:
        table(("lease", "holder", "session", "token", "held for", "ttl", "queue"), rows)
    else:
        call().note("no lease was ever asked for")


def _row(lease: dict[str, Any]) -> tuple[str, ...]:
    queue = ", ".join(f"{waiter['node']}" for waiter in lease["queue"])
    if lease["holder"] is None:
        return (lease["name"], "free", "", "", "", "", queue)
    held = age(lease["age_s"] * 1000) if lease["age_s"] is not None else ""
    return (lease["name"], lease["holder"], lease["session"], str(lease["token"]), held, span(lease["ttl_ms"]), queue)


def present(*, offline: bool = False) -> dict[str, Any]:
    """The status, or the fault that keeps it from being the present one (law CLOSED)."""
    from orxaq_mesh.status import status

    found = status(call().mesh(), offline=offline, fresh_ms=0)
    if fault := found["fault"]:
        families = {family.code: family for family in (Unreachable, InvalidLedger)}
        hint = "--offline shows what was last read" if fault["code"] == Unreachable.code else fault["hint"]
        raise families.get(fault["code"], MeshFault)(fault["message"], hint=hint)
    return found


def _find(name: str, offline: bool = False) -> dict[str, Any]:
    found = present(offline=offline)
    free: dict[str, Any] = {"name": name, "holder": None, "token": None, "queue": []}
    lease: dict[str, Any] = next((lease for lease in found["leases"] if lease["name"] == name), free)
    return lease | {"epoch": found["epoch"]}


@app.command(cls=Command, epilog="Example: mesh lease show deploy")
def show(
    name: Name,
    offline: Annotated[bool, typer.Option("--offline", help="Show what was last read.")] = False,
) -> None:
    """Show one lease: who holds it, for how long, who waits."""
    lease = _find(name, offline)
    if call().json:
        call().data({"lease": name, **lease})
        return
    say = call().say
    if lease["holder"] is None:
        say(
            Painted(name, "name"),
            " is free",
            f"; its last token was {lease['last_token']}" if "last_token" in lease else "",
        )
    else:
        say(Painted(name, "name"), f" is held by {lease['holder']} (session {lease['session']})")
        say(f"  token {lease['token']}, ttl {span(lease['ttl_ms'])}, held for {_held_for(lease)}")
    for number, waiter in enumerate(lease["queue"], 1):
        say(
            f"  {number}. {waiter['node']} (session {waiter['session']}), priority {waiter['priority']}, since epoch {waiter['epoch']}"
        )


def _held_for(lease: dict[str, Any]) -> str:
    return "-" if lease["age_s"] is None else age(lease["age_s"] * 1000)


@app.command(cls=Command, epilog="Example: mesh lease wait deploy --timeout 10m && ./report.sh")
def wait(name: Name, timeout: Timeout = None) -> None:
    """Wait until a lease is free. Asks for nothing; exit 7 if that takes too long."""
    import time

    from orxaq_mesh.home.clock import Clock

    clock, pause_ms = Clock(), call().mesh().settings.pace.poll_waiting_ms
    end_ms = clock.now_ms() + duration_ms(timeout) if timeout else None
    while (lease := _find(name))["holder"] is not None:
        left_ms = pause_ms if end_ms is None else min(pause_ms, end_ms - clock.now_ms())
        if left_ms <= 0:
            break
        time.sleep(left_ms / 1000)
    if call().json:
        call().data({"lease": name, **lease, "free": lease["holder"] is None})
    elif lease["holder"] is None:
        call().say(f"{name} is free")
    else:
        call().note(f"{name} is still held by {lease['holder']}, token {lease['token']}")
    if lease["holder"] is not None:
        raise typer.Exit(QUEUED)


@app.command(
    cls=LeaseDeed,
    epilog="Example: mesh lease run deploy --ttl 10m -- ./deploy.sh",
)
def run(
    name: Name,
    command: Annotated[
        list[str], typer.Argument(metavar="-- CMD...", help="What runs under the lease.", show_default=False)
    ],
    ttl: Ttl = "10m",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait in line while another holds it.")] = True,
    timeout: Timeout = None,
    priority: Priority = 0,
    on_lost: Annotated[str, typer.Option("--on-lost", metavar="stop|warn", help="What its loss does to CMD.")] = "stop",
) -> None:
    """Run a command while holding a lease.

    The lease is acquired, renewed while the command runs, and released at its end. The command finds MESH_LEASE,
    MESH_TOKEN, MESH_SEAL and MESH_SESSION in its environment; signals are passed on to it. Its exit code is passed
    on, 128+n where a signal ended it. Own exit codes: 120 lost and stopped, 121 refused, 122 not granted in time,
    123 hub unreachable, 124 ledger invalid, 125 any other fault.
    """
    from orxaq_mesh.cli.running import run_under

    if on_lost not in ("stop", "warn"):
        raise Usage(f"--on-lost {on_lost[:40]!a}", hint="stop or warn")
    _check_wait(wait, timeout)
    mesh, ttl_ms = call().mesh(), duration_ms(ttl)
    if call().dry_run:
        _told(name, lambda: mesh.acquire(name, ttl_ms, dry_run=True), _granted)
        return
    timeout_s = None if timeout is None else duration_ms(timeout) / 1000
    holding = mesh.lease(name, ttl_ms / 1000, wait=wait, timeout=timeout_s, priority=priority, once=call().key)
    raise typer.Exit(run_under(holding, command, stop=on_lost == "stop"))
