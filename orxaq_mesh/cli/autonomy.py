"""`mesh autonomy-once`: one bounded pass of all that a node does by itself, for who runs it from cron.

Knows: the steps, their order, what is told of each.
Knows not: how any of them is done (`Mesh`, `worker`).
Law: CLOSED. A hub that does not answer, or a ledger that is invalid, ends the pass; any other fault ends its step.

    */5 * * * *  mesh autonomy-once --capability build --trust oak --max 4m
"""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.sync import event
from orxaq_mesh.cli.values import duration_ms
from orxaq_mesh.cli.work import names_of, place_of, ttl_of
from orxaq_mesh.errors import InvalidLedger, MeshError, MeshFault, Unreachable

if TYPE_CHECKING:
    from orxaq_mesh.worker.loop import Worker

app = new_app()
IDLE_PAUSES = 5
"""So many readings of the hub without work end the work: what others leave lying is offered to this node before that."""

Step = Callable[[], dict[str, Any]]


@app.command("autonomy-once", cls=Command, epilog="Example: mesh autonomy-once --capability build --trust oak --max 4m")
def autonomy_once(
    orxaq: Annotated[
        Path | None,
        typer.Option("--orxaq", metavar="DIR", help="Import these event files of the system before, first."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what is no event there, and count it.")
    ] = False,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the ledger there, in the end.")
    ] = None,
    capability: Annotated[
        list[str] | None, typer.Option(metavar="NAMES", help="What this node can do; a list with commas, or several.")
    ] = None,
    slots: Annotated[int, typer.Option(min=1, max=64, help="How much is done at once.")] = 1,
    trust: Annotated[
        list[str] | None, typer.Option(metavar="NODE", help="Whose work is done besides this node's own.")
    ] = None,
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where commands run; by default here.")] = None,
    ttl: Annotated[str, typer.Option(metavar="TIME", help="How long a claim may be silent.")] = "60s",
    idle: Annotated[
        str | None, typer.Option(metavar="TIME", help="End the work after so long without any; by default 5 readings.")
    ] = None,
    most: Annotated[
        str, typer.Option("--max", metavar="TIME", help="End the work after so long; what runs then is given back.")
    ] = "10m",
) -> None:
    """Make one pass: import, decide, dispatch, work, export; a line of each, and an end.

    Decide: write what follows from events by the fleet's reactors. Dispatch: publish what waits. Work: do what is ready
    for this node. Exit code 0 if all of it went well, else that of the first step that did not, which is named.
    """
    most_ms, idle_ms = duration_ms(most), None if idle is None else duration_ms(idle)
    steps: dict[str, Step] = {}
    if orxaq is not None:
        steps["import"] = lambda: _imported(orxaq, skip_bad=skip_bad)
    steps |= {"decide": _decided, "dispatch": _dispatched}
    names, ttl_ms, place = names_of(capability), ttl_of(ttl), place_of(folder)
    steps["work"] = lambda: _worked(names, slots, trust or [], place, ttl_ms, idle_ms, most_ms)
    if export is not None:
        steps["export"] = lambda: _exported(export)
    if code := _run(steps):
        raise typer.Exit(code)


def _run(steps: Mapping[str, Step]) -> int:
    """Each step and a line of it; gives the exit code."""
    first = 0
    for name, step in steps.items():
        try:
            event(name, {"ok": True, **step()})
        except MeshError as error:
            event(name, {"ok": False, "code": error.code, "reason": error.what})
            error.what = f"{name}: {error.what}"
            first = first or call().fail(error)
            if isinstance(error, Unreachable | InvalidLedger):
                break
    return first


def _imported(folder: Path, *, skip_bad: bool) -> dict[str, Any]:
    found = call().mesh().import_events(folder, skip_bad=skip_bad)
    told = {field: found[field] for field in ("imported", "known", "doubles", "pushes")}
    return told | {"left_out": len(found["bad"])}


def _decided() -> dict[str, Any]:
    return _went_out(call().mesh().decide())


def _dispatched() -> dict[str, Any]:
    from orxaq_mesh.inspect import work

    mesh = call().mesh()
    found = _went_out(mesh.sync())
    open_ = Counter(one["state"] for one in work.commands(mesh.state()))
    return {field: found[field] for field in ("epoch", "pending")} | {
        "ready": open_["ready"],
        "running": open_["running"],
    }


def _went_out(found: dict[str, Any]) -> dict[str, Any]:
    if waits := found["pending"] - found["proposed"]:
        raise MeshFault(f"{waits} records of this node wait, and no seal took them in", hint="mesh doctor")
    return found


def _worked(
    names: tuple[str, ...],
    slots: int,
    trust: list[str],
    folder: Path,
    ttl_ms: int,
    idle_ms: int | None,
    most_ms: int,
) -> dict[str, Any]:
    from orxaq_mesh.home.locks import holder
    from orxaq_mesh.kinds.work import READY, RUNNING, work
    from orxaq_mesh.worker.loop import Wanted, Worker
    from orxaq_mesh.worker.own import read

    mesh = call().mesh()
    done: Counter[str] = Counter()
    if not any(item.state in (READY, RUNNING) for item in work(mesh.state()).items.values()):
        return dict(done, claimed=0)  # an offer alone is two pushes every time
    if other := holder(mesh.home, "work"):
        return dict(done, claimed=0, by=str(other))  # who works already does this, too
    own, me = read(mesh.home.path), mesh.identity().node
    pause_ms = mesh.settings.pace.poll_waiting_ms
    wanted = Wanted(names, slots, tuple(sorted({me, *own.trust, *trust})), ttl_ms, idle_ms or IDLE_PAUSES * pause_ms)
    failed = list[str]()

    def heard(name: str, facts: Mapping[str, Any]) -> None:
        done[facts["outcome"] if name == "finished" else name] += 1
        if facts.get("outcome") in ("failed", "refused"):
            failed.append(f"{facts['work']} ({facts['reason'] or facts['outcome']})")
        if call().verbose:
            event(name, facts)

    worker = Worker(mesh.home, mesh.settings, wanted, own, folder, heard)
    _run_bounded(worker, most_ms)
    if failed:
        raise MeshFault(f"{len(failed)} did not succeed: {', '.join(failed[:5])}", hint="mesh task list --state failed")
    return dict(done)


def _run_bounded(worker: Worker, most_ms: int) -> None:
    """Until there is nothing to do, or the time is over; a signal ends the whole pass, behind what was given back."""
    heard = list[int]()

    def stop(number: int, _frame: object) -> None:
        heard.append(number)
        worker.stop()

    over = threading.Timer(most_ms / 1000, worker.stop)
    over.daemon = True
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    over.start()
    try:
        worker.run()
    finally:
        over.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
    if heard:
        signal.raise_signal(heard[0])


def _exported(file: Path) -> dict[str, Any]:
    from orxaq_mesh.cli.carry import write_export

    return {"file": str(file), "lines": write_export(file, call().mesh().export(read_hub=False))}
