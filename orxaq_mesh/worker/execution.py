"""One command, run to its end: in a session of its own, in time, and with nobody left behind.

Knows: starting, watching, ending; pipes and terminals; what an exit is.
Knows not: the ledger, leases, tasks; when a command is worth another try (`retrying`).
Laws: QUIET (an argv list; a script goes to `sh` only where the caller made it one).

    step = Step("build", ("make", "all"), limit_ms=600_000)
    with ExecutionLog(folder / "exec.jsonl") as log:
        run(step, checkout, environment, log=log, stop=lost)     # Exit(outcome="exited", code=0, ...)

The command's session is found whole: it gets TERM, and KILL after a grace, when its time is up or `stop` is set, and
so does what is left of it when the command has ended by itself. A process that makes a session of its own has left
it: it lives on, holds up nobody, and `Stream.held` says that it was there. This is no sandbox.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.home.clock import Clock, boot_id
from orxaq_mesh.home.files import atomic_write, read_json_cache
from orxaq_mesh.home.process import ProcessId, identify
from orxaq_mesh.worker import events, group
from orxaq_mesh.worker.child import Child, NoProgram
from orxaq_mesh.worker.events import ExecutionLog
from orxaq_mesh.worker.output import FILE_BYTES, Output, Stream
from orxaq_mesh.worker.step import NOT_STARTED, STOPPED, CannotStart, Exit, Step

__all__ = ["RUNNING", "CannotStart", "Exit", "Step", "end_left_over", "log_end", "run"]

GRACE_MS: Final = 5_000
RUNNING: Final = "running.json"


def run(
    step: Step,
    folder: Path,
    environment: Mapping[str, str],
    *,
    log: ExecutionLog,
    stop: threading.Event,
    pty: bool = False,
    attempt: int = 1,
    grace_ms: int = GRACE_MS,
    file_bytes: int = FILE_BYTES,
    clock: Clock | None = None,
) -> Exit:
    """Run one step and wait for its end; `exec.begin`, `exec.chunk` and `exec.end` go to the log.

    Args:
        step: what to run.
        folder: where.
        environment: all that the command sees of one; its PATH finds the program.
        log: takes the events. The streams' files are made beside it, named by the number of their `exec.begin`.
        stop: set when the work is no longer ours; the command is then ended. Noticed within 50 ms.
        pty: on a terminal of its own (80x24), on which stdin is silent, instead of pipes and an empty stdin.
        attempt: which try this is, for the events.
        grace_ms: between TERM and KILL.
        file_bytes: how much of each stream's output the files keep.
        clock: for limits and durations.

    Raises:
        CannotStart: this machine could not start it now. The log has an `exec.begin` that an `exec.retry` or `exec.end`
            is still to answer, or could not be written to.
        Usage: the step has no command.
    """
    _check(step)
    facts = {"step": step.name, "phase": step.phase}
    about = facts | {"command": list(step.command), "limit_ms": step.limit_ms, "pty": pty, "try": attempt}
    try:
        number = log.append(events.BEGIN, **about)
    except MeshFault as fault:
        raise CannotStart(fault.what) from fault
    if not folder.is_dir():
        ended = Exit(NOT_STARTED, why=f"there is no directory {folder}")
    elif stop.is_set():
        ended = Exit(STOPPED, why="stopped before it began")
    else:
        tell = functools.partial(_tell, log, facts)
        files = (log.folder / f"{number:06}.{name}" for name in ("out", "err"))
        outputs = tuple(Output(file.suffix[1:], file, tell, file_bytes) for file in files)
        try:
            child = Child(step.command, folder, environment, outputs, pty=pty, clock=clock or Clock())
            ended = _attend(child, outputs, step, stop, grace_ms, log.folder / RUNNING)
        except NoProgram as fault:
            ended = Exit(NOT_STARTED, fault.code, why=fault.why)
    log_end(log, step, ended)
    return ended


def _attend(
    child: Child, outputs: tuple[Output, ...], step: Step, stop: threading.Event, grace_ms: int, note: Path
) -> Exit:
    """See a command that was started to its end."""
    try:
        _note(note, child.pid)
        outcome = child.watch(stop, step.limit_ms)
        child.finish(outcome, grace_ms)
    except BaseException:
        child.kill()
        raise
    finally:
        out, err = (output.end(held=number in child.held) for number, output in enumerate(outputs))
        note.unlink(missing_ok=True)
    code = child.returncode
    number = -code if code is not None and code < 0 else None
    why = "" if child.whole else "a process of its session could not be ended"
    return Exit(outcome, None if number else code, number, child.duration_ms, out, err, why)


def _note(path: Path, pid: int) -> None:
    """Note who runs, for `end_left_over`. A worker that is killed before this line leaves an unknown behind."""
    who = identify(pid) or ProcessId(pid, "", boot_id())
    with contextlib.suppress(MeshFault):  # a full disk ends no command
        atomic_write(path, orjson.dumps(who._asdict()))


def log_end(log: ExecutionLog, step: Step, ended: Exit) -> None:
    """Write `exec.end`. What is done is done: a disk that takes no more events does not undo the exit."""
    streams = {"out": _stream(ended.out), "err": _stream(ended.err)}
    facts = {"outcome": ended.outcome, "code": ended.code, "signal": ended.signal, "duration_ms": ended.duration_ms}
    with contextlib.suppress(MeshFault):
        log.append(events.END, step=step.name, phase=step.phase, why=ended.why, **facts, **streams)


def _stream(stream: Stream) -> dict[str, Any]:
    facts = stream._asdict()
    del facts["tail"]  # the chunks have it
    return {"bytes": facts.pop("size"), **facts}


def end_left_over(folder: Path, *, grace_ms: int = GRACE_MS, clock: Clock | None = None) -> bool:
    """End what a worker that was killed has left running. Call it before the next attempt at the same work.

    Args:
        folder: the directory of that worker's log.
        grace_ms: between TERM and KILL.
        clock: measures it.

    Returns:
        Whether there was anything to end.
    """
    try:
        note = read_json_cache(folder / RUNNING)
        left = ProcessId(int(note["pid"]), str(note["start"]), str(note["boot"]))
    except (KeyError, TypeError, ValueError):
        return False
    there = _is_still(left) and group.living(left.pid)
    if there:
        group.end(left.pid, grace_ms, clock or Clock(), threading.Event().wait)
    (folder / RUNNING).unlink(missing_ok=True)
    return there


def _is_still(left: ProcessId) -> bool:
    """Whether this pid still means that session: a number is not given anew while anybody is in its session."""
    now = identify(left.pid)
    return left.boot == boot_id() and (now is None or now == left)


def _tell(log: ExecutionLog, facts: Mapping[str, str], stream: str, text: str) -> bool:
    try:
        log.append(events.CHUNK, stream=stream, text=text, **facts)
    except MeshFault:
        return False  # a full disk ends what is told of a command, not the command
    return True


def _check(step: Step) -> None:
    if not step.command or not step.command[0] or "\0" in "".join(step.command):
        raise Usage(f"the step {step.name!a} has no command that can be run", hint="argv: a list of words without NUL")
