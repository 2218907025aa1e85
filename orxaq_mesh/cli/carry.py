"""`mesh export` and `mesh import`: a ledger on a stick; and the event files of the system before.

Knows: where the file is, and how what came of it is said.
Knows not: its form (`carry`, `orders.events`), how it gets onto the trunk (`sync.reconciling`).

    mesh export /media/stick/fleet.ndjson && mesh import /media/stick/fleet.ndjson
    mesh import --orxaq mesh/events
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from orxaq_mesh.cli.app import Command, Trial
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.errors import Usage
from orxaq_mesh.record import MAX_LINE_BYTES

app = new_app()
_BUNDLE = b"# v"
_MOST_TOLD = 20
"""Of places that are no events."""


@app.command("export", cls=Command, epilog="Example: mesh export /media/stick/fleet.ndjson")
def export_(
    file: Annotated[str, typer.Argument(help="Where to write; - is standard output.", metavar="FILE")],
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not read the hub: what was read last, and what was signed since.")
    ] = False,
) -> None:
    """Write the whole ledger into one file, with what this node has signed and not yet published.

    The file checks itself. An old one is replaced only when the new one is whole.
    """
    pieces = call().mesh().export(read_hub=not offline)
    if file == "-":
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    lines = write_export(Path(file), pieces)
    if call().json:
        call().data({"file": file, "lines": lines})
    else:
        call().say(f"{lines} lines in {file}")


def write_export(path: Path, pieces: Iterable[bytes]) -> int:
    """Write beside the place and move it there; gives how many lines of the ledger that were.

    A stick is pulled as soon as this returns, and may have a file system that knows no permissions.
    """
    from orxaq_mesh.home.files import disk_fault, sync_directory, sync_fd

    place = path.resolve()
    try:
        if place.exists() and not place.is_file():  # a device or a pipe must not be replaced
            with place.open("wb") as stream:
                return _pour(stream, pieces)
        handle, name = tempfile.mkstemp(prefix=".mesh-export-", dir=place.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                lines = _pour(stream, pieces)
                sync_fd(stream.fileno())
            Path(name).replace(place)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        with contextlib.suppress(OSError):
            sync_directory(place.parent)
        return lines
    except OSError as error:
        raise disk_fault("write", path, error) from error


def _pour(stream: BinaryIO, pieces: Iterable[bytes]) -> int:
    pieces_written = 0
    for piece in pieces:
        stream.write(piece)
        pieces_written += 1
    stream.flush()
    return pieces_written - 2  # its header and its end are none of the ledger


@app.command("import", cls=Trial, epilog="Example: mesh import /media/stick/fleet.ndjson")
def import_(
    file: Annotated[
        str | None,
        typer.Argument(help="An export, or a git bundle of a trunk; - is standard input.", show_default=False),
    ] = None,
    orxaq: Annotated[
        Path | None, typer.Option("--orxaq", metavar="DIR", help="The event files of the system before, instead.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave out what is no event, and say so; else nothing is imported.")
    ] = False,
    react: Annotated[
        bool, typer.Option("--react", help="Import also what a reactor answers as if it were new.")
    ] = False,
) -> None:
    """Bring the ledger in a file together with the one at the hub. Twice is as good as once.

    A file that is damaged, cut off or of another ledger is refused, with the line, and nothing of it is taken in.

    With --orxaq, old events become events of this node: each once, however often it stands there or is imported.
    """
    if (file is None) == (orxaq is None):
        raise Usage("name a file, or --orxaq and a directory", hint="mesh import --help")
    if orxaq is not None:
        events(orxaq, skip_bad=skip_bad, react=react)
    elif call().dry_run or skip_bad or react:
        raise Usage("--dry-run, --skip-bad and --react go with --orxaq", hint="mesh import --help")
    elif file is not None:
        _ledger(file)


def _ledger(file: str) -> None:
    mesh = call().mesh()
    if file == "-":
        told(mesh.import_(_lines(sys.stdin.buffer), "standard input"))
        return
    path = Path(file)
    try:
        with path.open("rb") as stream:
            if stream.peek(len(_BUNDLE))[: len(_BUNDLE)] == _BUNDLE:
                told(mesh.reconcile(str(path.absolute())))
            else:
                told(mesh.import_(_lines(stream), file))
    except OSError as error:
        raise Usage(f"{file} cannot be read: {error.strerror}", hint="name an export, or a git bundle") from None


def events(folder: Path, *, skip_bad: bool, react: bool) -> None:
    """Import a directory of old events, and say what came of it."""
    from orxaq_mesh.cli.view import progress

    with progress("imported", "events") as step:
        try:
            found = (
                call()
                .mesh()
                .import_events(folder, skip_bad=skip_bad, react=react, dry_run=call().dry_run, progress=step)
            )
        except Usage as error:
            _tell_bad(error.facts.get("bad", ()))
            error.facts["bad"] = error.facts.get("bad", [])[:_MOST_TOLD]
            raise
    call().did = "" if call().dry_run else f"{found['imported']} events were imported"
    if call().json:
        call().data({**found, "bad": found["bad"][:_MOST_TOLD], "left_out": len(found["bad"])})
        return
    _tell_bad(found["bad"])
    known = f", {found['known']} were in the ledger already" if found["known"] else ""
    twice = f", {found['doubles']} stood there twice" if found["doubles"] else ""
    left = f", {len(found['bad'])} left out" if found["bad"] else ""
    verb = "would be" if call().dry_run else "are"
    call().say(f"{found['imported']} events {verb} imported{known}{twice}{left}")


def _tell_bad(bad: Sequence[dict[str, Any]]) -> None:
    if call().json:
        return
    for place in bad[:_MOST_TOLD]:
        call().warn(f"{place['file']}, line {place['line']}: {place['reason']}")
    if len(bad) > _MOST_TOLD:
        call().warn(f"and {len(bad) - _MOST_TOLD} more")


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Its lines, none longer than a ledger's may be: a longer one comes in pieces without a newline."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line


def told(united: Any) -> None:
    """Say what came of uniting two histories."""
    if call().json:
        call().data(united._asdict())
        return
    if not united.moved:
        call().say(f"nothing new: epoch {united.epoch}")
        return
    call().say(f"united: epoch {united.epoch}")
    if united.left:
        call().say(f"  epochs of this hub on the side that was left: {united.left}; see mesh divergence")
    if united.waiting:
        call().say(f"  records that wait to be judged: {united.waiting}; mesh sync does it")
    if united.mended:
        call().say(f"  files that were damaged, and are mended: {united.mended}")
