"""Receipts: what a step did, small enough for a ledger, and checkable against what is on disk.

Knows: globs within one folder, files, hashes.
Knows not: signatures, tasks; which receipts an order expects.
An artefact is a file within the folder, also by way of a symlink that stays in it. Whatever leads out of it is refused,
here and when a stranger's receipt is checked.

    told = receipt(step, ended, checkout, ["dist/*.whl"])  # {"artefacts": [{"bytes": .., "path": .., ...}], ...}
    check(told, checkout)                                  # [], or a sentence for each that is gone or differs
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from orxaq_mesh.errors import Usage
from orxaq_mesh.home.files import disk_fault
from orxaq_mesh.worker.output import Stream
from orxaq_mesh.worker.step import Exit, Step

MAX_ARTEFACTS: Final = 256
MAX_PATH: Final = 400
_PART: Final = 1024 * 1024


def receipt(
    step: Step, ended: Exit, folder: Path, artefacts: Iterable[str] = (), *, commit: str = ""
) -> dict[str, Any]:
    """The receipt of one step.

    Args:
        step: what was run.
        ended: how it ended.
        folder: where it ran, and what the globs are relative to.
        artefacts: globs: `*` and `?` within a name, `**` any folders, `[...]` one of some. No `..`, not absolute.
        commit: the commit that was worked on, in hex; empty where there is none.

    Raises:
        Usage: a glob or a file that it finds leads out of the folder, or there are more than 256 files.
        MeshFault: a file cannot be read.
    """
    told = {
        "step": step.name,
        "phase": step.phase,
        "command": list(step.command),
        "exit": ended.code,
        "outcome": ended.outcome,
        "duration_ms": ended.duration_ms,
        "output": {"out": _output(ended.out), "err": _output(ended.err)},
        "artefacts": [_artefact(folder, path) for path in found(folder, artefacts)],
    }
    return told | ({"commit": commit} if commit else {})


def found(folder: Path, globs: Iterable[str]) -> list[str]:
    """The files that globs name, as sorted paths relative to the folder, with `/` on every system.

    Raises:
        Usage: as for `receipt`.
    """
    paths: set[str] = set()
    for glob in globs:
        parts = _parts(glob)
        for path in _files(folder, _start(parts)):
            if path not in paths and _matches(parts, path.split("/")):
                _look(folder, path)
                paths.add(path)
                if len(paths) > MAX_ARTEFACTS:
                    raise Usage(
                        f"more than {MAX_ARTEFACTS} artefacts in one step: {glob!a} and those before it name too many",
                        hint="pack them into one file",
                    )
    return sorted(paths)


def check(told: Mapping[str, Any], folder: Path) -> list[str]:
    """Hash again what is on disk, and compare it with a receipt.

    Returns:
        A sentence for each artefact that is missing or differs; none where all is as it was told.
    """
    return [wrong for artefact in told["artefacts"] if (wrong := _compare(artefact, folder))]


def _compare(artefact: Mapping[str, Any], folder: Path) -> str:
    path = str(artefact["path"])
    try:
        _refuse_ways_out(path)
        size, digest = _hash(_within(folder, path))
    except FileNotFoundError:
        return f"{path!a} is missing"
    except Usage as fault:
        return fault.what
    except OSError as error:
        return f"{path!a} cannot be read: {error.strerror or error}"
    if size != artefact["bytes"]:
        return f"{path!a} has {size} bytes, not {artefact['bytes']}"
    return "" if digest == artefact["sha256"] else f"{path!a} has the sha256 {digest}, not {artefact['sha256']}"


def _output(stream: Stream) -> dict[str, Any]:
    return {"bytes": stream.size, "sha256": stream.sha256, "truncated": stream.truncated}


def _artefact(folder: Path, path: str) -> dict[str, Any]:
    try:
        size, digest = _hash(_within(folder, path))
    except OSError as error:
        raise disk_fault("read", folder / path, error) from error
    return {"path": path, "bytes": size, "sha256": digest}


def _hash(path: Path) -> tuple[int, str]:
    """Size and sha256 of what was read, part by part; never of a pipe or a device."""
    digest, size = hashlib.sha256(), 0
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Usage(f"{path.name!a} is no file")
        while part := os.read(fd, _PART):
            digest.update(part)
            size += len(part)
    finally:
        os.close(fd)
    return size, digest.hexdigest()


def _within(folder: Path, path: str) -> Path:
    """The file itself, behind all symlinks.

    Raises:
        Usage: it lies outside the folder, or its name cannot stand in a receipt.
        OSError: there is none.
    """
    if len(path) > MAX_PATH or not path.isprintable() or not _is_text(path):
        raise Usage(
            f"the file {path[:80]!a} has a name that no receipt takes", hint="printable, at most 400 characters"
        )
    real = Path(os.path.realpath(folder / path, strict=True))
    if not real.is_relative_to(folder.resolve()):
        raise Usage(f"{path!a} leads out of the folder", hint="an artefact is a file in the folder that was worked in")
    return real


def _look(folder: Path, path: str) -> None:
    try:
        _within(folder, path)
    except OSError as error:
        raise Usage(
            f"{path!a} leads nowhere: {error.strerror or error}", hint="a symlink without its target?"
        ) from error


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _files(folder: Path, start: str) -> Iterator[str]:
    """Every file beneath a folder's `start`, symlinks to files too. Symlinks to folders are not entered."""
    top = folder / start
    if start and top.exists():
        _look(folder, start)
    for place, folders, names in os.walk(top):
        folders.sort()
        beneath = Path(place).relative_to(folder).as_posix()
        for name in names:
            yield name if beneath == "." else f"{beneath}/{name}"


def _parts(glob: str) -> tuple[str, ...]:
    """The names of a glob; `**` at its end stands for every file beneath."""
    _refuse_ways_out(glob)
    parts = tuple(part for part in glob.split("/") if part != ".")
    return (*parts, "*") if parts and parts[-1] == "**" else parts


def _start(parts: tuple[str, ...]) -> str:
    """The folder that every match lies beneath: the names before the first wildcard, the last name aside."""
    return "/".join(takewhile(lambda part: not re.search(r"[*?\[]", part), parts[:-1]))


def _matches(parts: tuple[str, ...], names: Sequence[str]) -> bool:
    """Whether a glob's names fit a path's, in time that grows with their number, whatever the wildcards."""
    at = _with_skipped(parts, {0})
    for name in names:
        stay = {place for place in at if parts[place : place + 1] == ("**",)}
        go_on = {place + 1 for place in at - stay if place < len(parts) and fnmatchcase(name, parts[place])}
        at = _with_skipped(parts, stay | go_on)
    return len(parts) in at


def _with_skipped(parts: tuple[str, ...], at: set[int]) -> set[int]:
    """The places in a glob that are reached by taking each `**` for no folder at all."""
    reached = set(at)
    for place, part in enumerate(parts):
        if part == "**" and place in reached:
            reached.add(place + 1)
    return reached


def _refuse_ways_out(path: str) -> None:
    outside = PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive or "\\" in path or "\0" in path
    if not path or outside or ".." in path.split("/") or path.startswith("~"):
        raise Usage(
            f"{path[:80]!a} is no path within the folder", hint="relative, with `/` between names, without `..`"
        )
