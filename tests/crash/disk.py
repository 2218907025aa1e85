"""A disk that forgets: below the file seam of a home, it keeps apart what was written and what was synced.

Knows: the calls by which `home` changes files, and what POSIX promises of each after a power cut. A write lasts once its
file was synced; a name (created, linked, renamed, removed) once its directory was, and not with the file; until then
each of them may be there or not, whatever came before or after it.
Knows not: what the files are for. Reading goes to the real files, which are what processes see.

    with Disk(folder) as disk:
        disk.crash_at = 12                        # Crash, before the 12th change from now on
        ...
        disk.restart(Torn(17))                    # the files are what a power cut left of them

Directories that are made last at once: homes stand before the nodes that live in them.
"""

from __future__ import annotations

import functools
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import pytest

from orxaq_mesh.home import files


class Crash(BaseException):
    """The process is gone: no handler of the code under test may see this."""


class Write(NamedTuple):
    """Bytes on their way to the medium; `data` None: the file ends at `offset` from now on."""

    offset: int
    data: bytes | None


class File:
    """One file, whatever its names: what is on the medium, and what was done to it since."""

    def __init__(self, durable: bytes = b"") -> None:
        self.durable = durable
        self.pending: list[Write] = []

    def content(self, writes: list[Write]) -> bytes:
        """What it holds if of all that is pending these writes arrived."""
        data = bytearray(self.durable)
        for offset, added in writes:
            data.extend(bytes(max(0, offset - len(data))))
            data[offset : len(data) if added is None else offset + len(added)] = added or b""
        return bytes(data)


class Rename(NamedTuple):
    """A name on its way to the medium. `gone`: a name that it takes away; `file` None: nothing takes its place."""

    path: Path
    file: File | None
    gone: Path | None = None


class Loss(Protocol):
    """What a power cut takes."""

    def names(self, pending: list[Rename]) -> list[Rename]:
        """Those names that arrived, in order."""

    def content(self, file: File, last: bool) -> bytes:
        """What a file holds; `last`: it is the one written last."""


class Everything:
    """All that was not synced is gone."""

    def names(self, pending: list[Rename]) -> list[Rename]:
        return []

    def content(self, file: File, last: bool) -> bytes:
        return file.durable


class Nothing:
    """It all arrived: only the process ended."""

    def names(self, pending: list[Rename]) -> list[Rename]:
        return pending

    def content(self, file: File, last: bool) -> bytes:
        return file.content(file.pending)


class Torn(Nothing):
    """Of the last write, so many bytes arrived; behind them there may be zeros, where the size arrived before the bytes."""

    def __init__(self, kept: int, zeros: bool = False) -> None:
        self.kept, self.zeros = kept, zeros

    def content(self, file: File, last: bool) -> bytes:
        if not last or not file.pending or file.pending[-1].data is None:
            return super().content(file, last)
        *before, (offset, data) = file.pending
        there = (data or b"")[: self.kept]
        return file.content([*before, Write(offset, there.ljust(len(data or b"") if self.zeros else 0, b"\0"))])


class Some:
    """Each name and each file's writes by chance: reordered, torn, or with zeros."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def names(self, pending: list[Rename]) -> list[Rename]:
        return [name for name in pending if self.chance.random() < 0.5]

    def content(self, file: File, last: bool) -> bytes:
        arrived = [write for write in file.pending if self.chance.random() < 0.7]
        if arrived and arrived[-1].data and self.chance.random() < 0.7:
            offset, data = arrived.pop()
            there = (data or b"")[: self.chance.randrange(len(data or b"") + 1)]
            arrived.append(Write(offset, there.ljust(self.chance.choice((0, len(data or b""))), b"\0")))
        return file.content(arrived)


def files_below(folder: Path) -> dict[Path, bytes]:
    """Every file and what is in it."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def replace_files(folder: Path, content: dict[Path, bytes]) -> None:
    """Make these the files below a folder, each with one name; what is so already is not touched."""
    there = files_below(folder)
    linked = [path for path in there if path.stat().st_nlink > 1]
    for path in [*linked, *(there.keys() - content.keys() - set(linked))]:
        path.unlink()
        del there[path]
    for path, data in content.items():
        if there.get(path) != data:
            path.write_bytes(data)
            path.chmod(0o600)


class Disk:
    """All files below a folder, while the `with` block lasts.

    Attributes:
        count: changes seen since the last restart.
        crash_at: before which of them the process ends; 0 is never.
        died: where it did.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = self.crash_at = 0
        self.dead = False
        self.died = ""
        self._away = False
        self._patch = pytest.MonkeyPatch()
        self._take_stock()

    def _take_stock(self) -> None:
        self._durable = {path: File(data) for path, data in files_below(self.folder).items()}
        self._names = dict(self._durable)
        self._pending: list[Rename] = []
        self._handles: dict[int, Path | File] = {}
        self._last: File | None = None

    @property
    def last_file(self) -> str:
        """The file that was written last, and not synced since."""
        return next((path.name for path, file in self._names.items() if file is self._last and file.pending), "")

    @property
    def last_append(self) -> bytes:
        """The bytes of the newest write, while they are not on the medium."""
        return (self._last.pending[-1].data or b"") if self._last and self._last.pending else b""

    def durable(self, name: str) -> bytes:
        """What a power cut at this moment would leave of a file at the least."""
        file = self._durable.get(self.folder / name)
        return file.durable if file else b""

    def step(self, what: str = "") -> None:
        """One change is about to happen: the place to crash."""
        if not self.dead:
            self.count += 1
            self.dead = self.count == self.crash_at
            self.died = f"before change {self.count}: {what}"
        if self.dead:
            raise Crash(self.died)

    def reset(self, content: dict[Path, bytes]) -> None:
        """A new process begins, and these files are on the medium."""
        self.restart()
        self._replace(content)

    def restart(self, loss: Loss | None = None) -> None:
        """A new process begins. None: only the process was killed, and a later power cut may still take what it wrote."""
        self.count = self.crash_at = 0
        self.dead = False
        self._handles.clear()
        if loss is None:
            return
        names = dict(self._durable)
        for name in loss.names(self._pending):
            _apply(names, name)
        content = {path: loss.content(file, file is self._last) for path, file in names.items()}
        self._replace(content)

    def _replace(self, content: dict[Path, bytes]) -> None:
        self._away = True
        replace_files(self.folder, content)
        self._take_stock()
        self._away = False

    # The calls.

    def __enter__(self) -> Self:
        calls: dict[str, Callable[..., Any]] = {
            "open": self._opened,
            "close": self._closed,
            "write": self._wrote,
            "fsync": self._synced,
            "truncate": self._cut,
            "link": self._linked,
            "replace": self._renamed,
            "rename": self._renamed,
            "unlink": self._unlinked,
        }
        for name, call in calls.items():
            self._patch.setattr(os, name, functools.partial(call, getattr(os, name)))
        defaults = files.write_whole.__kwdefaults__
        assert defaults is not None
        self._patch.setitem(defaults, "write", os.write)
        self._patch.delattr("fcntl.F_FULLFSYNC", raising=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _is_here(self, path: Any) -> bool:
        return not self._away and isinstance(path, (str, os.PathLike)) and self.folder in Path(path).parents

    def _opened(self, real: Any, path: Any, flags: int, *args: Any, **more: Any) -> int:
        here = self._is_here(path) and "dir_fd" not in more
        if here and flags & os.O_CREAT and not Path(path).exists():
            self.step(f"create {_short(path)}")
            self._name(Rename(Path(path), File()))
        handle: int = real(path, flags, *args, **more)
        if here or Path(path) == self.folder:
            self._handles[handle] = self._names.get(Path(path), Path(path))
        return handle

    def _closed(self, real: Any, handle: int) -> None:
        self._handles.pop(handle, None)
        real(handle)

    def _wrote(self, real: Any, handle: int, data: bytes) -> int:
        file = self._handles.get(handle)
        if isinstance(file, File):
            self.step("write")
            file.pending.append(Write(os.fstat(handle).st_size, bytes(data)))
            self._last = file
        return int(real(handle, data))

    def _synced(self, real: Any, handle: int) -> None:
        """Only here does anything get to the medium; the real disk is left alone, which is quicker."""
        synced = self._handles.get(handle)
        if synced is None:
            real(handle)
            return
        self.step("sync")
        if isinstance(synced, File):
            synced.durable, synced.pending = synced.content(synced.pending), []
            return
        for name in [name for name in self._pending if name.path.parent == synced]:
            self._pending.remove(name)
            _apply(self._durable, name)

    def _cut(self, real: Any, path: Any, length: int) -> None:
        if self._is_here(path):
            self.step(f"truncate {_short(path)}")
            file = self._names[Path(path)]
            if length != len(file.content(file.pending)):
                file.pending.append(Write(length, None))
        real(path, length)

    def _linked(self, real: Any, old: Any, new: Any, **more: Any) -> None:
        self._step_if_here(f"link {_short(new)}", new)
        real(old, new, **more)
        if self._is_here(new):
            self._name(Rename(Path(new), self._names[Path(old)]))

    def _renamed(self, real: Any, old: Any, new: Any, **more: Any) -> None:
        self._step_if_here(f"rename to {_short(new)}", new)
        real(old, new, **more)
        if self._is_here(new):
            self._name(Rename(Path(new), self._names[Path(old)], Path(old)))

    def _unlinked(self, real: Any, path: Any, **more: Any) -> None:
        self._step_if_here(f"unlink {_short(path)}", path)
        real(path, **more)
        if self._is_here(path):
            self._name(Rename(Path(path), None, Path(path)))

    def _step_if_here(self, what: str, path: Any) -> None:
        if self._is_here(path):
            self.step(what)

    def _name(self, name: Rename) -> None:
        _apply(self._names, name)
        self._pending.append(name)


def _apply(names: dict[Path, File], name: Rename) -> None:
    if name.gone is not None:
        names.pop(name.gone, None)
    if name.file is not None:
        names[name.path] = name.file


def _short(path: Any) -> str:
    return Path(path).name
