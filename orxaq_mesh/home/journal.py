"""The journal: what this node has signed and seen, on disk before anything leaves the machine.

Knows: lines with a checksum, fsync, and which damage a crash can leave.
Knows not: what an entry means. Keeps laws CHAIN (a seq that may have left is never used again), SEEN, CLOSED and CACHE
(key and journal are all that must not be deleted); trap C28 (a restart goes on where the node was).

One append is one line, so that all its entries are there or none of them is:

    {"crc":"19d33414","entries":[{"seq":12,"type":"record"},{"epoch":42,"type":"seal"}]}

A last line that is cut or fails its checksum never finished its append, so nothing in it was pushed: it counts as not
there, and `settle` (each append begins with it) puts it aside as `journal.torn-1`. Any other bad line is damage, and refused.
Several processes share a journal, one after the other, under the `node` lock; reading needs no lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home import journal_lines as lines
from orxaq_mesh.home.files import create_new, disk_fault, sync_directory, sync_fd, write_whole


class _Stamp(NamedTuple):
    """Tells cheaply whether the file changed: a rewrite gives a new inode, an append a new size."""

    inode: int
    size: int
    mtime_ns: int


class Journal:
    """One node's journal, as read at `open`. Every change is made while holding the `node` lock.

    Attributes:
        entries: all acknowledged entries, in order.
        size: their bytes in the file.
        repaired: what `settle` put aside, for people; None where nothing was.
    """

    def __init__(self, path: Path) -> None:
        """Reads nothing; see `open` and `create`."""
        self.path = path
        self.entries: list[lines.Entry] = []
        self.size = 0
        self.repaired: str | None = None
        self._stamp = _Stamp(0, 0, 0)
        self._broken = self._settled = False

    @classmethod
    def create(cls, path: Path, first: Iterable[Mapping[str, Any]]) -> Journal:
        """Make a journal (0600) that holds these entries, on the medium; whole or not at all.

        Raises:
            MeshFault: there is one already, or the disk said no.
        """
        try:
            create_new(path, lines.dump(first))
        except FileExistsError:
            raise MeshFault(
                f"there is a journal at {path} already: this home has a node",
                hint="use it, or give another --home",
                file=str(path),
            ) from None
        except OSError as error:
            raise disk_fault("write the journal", path, error) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Read a journal; changes nothing on disk.

        Raises:
            MeshFault: it is missing or unreadable, or a line other than the last is damaged (file and line named).
        """
        journal = cls(path)
        journal._load()
        return journal

    @property
    def torn(self) -> int:
        """Bytes behind the last acknowledged line, of an append that never finished."""
        return self._stamp.size - self.size

    def reload_if_changed(self) -> bool:
        """Read again what a sibling process wrote meanwhile; one `stat` where it wrote nothing.

        Raises:
            MeshFault: as `open`.
        """
        if not self._broken and self._stamp_now() == self._stamp:
            return False
        self._load()
        return True

    def append(self, *entries: Mapping[str, Any]) -> None:
        """Add entries with one write; they are on the medium when this returns. After a fault: reload first.

        Raises:
            MeshFault: the disk said no (none of them was added), or a sibling wrote since this was read.
        """
        if not entries:
            return
        self._refuse_stale()
        self.settle()
        line = lines.dump(entries)
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))
        except OSError as error:
            raise disk_fault("open the journal", self.path, error) from error
        try:
            self._append(fd, line)
            self._stamp = _stamp(os.fstat(fd))
        finally:
            os.close(fd)
        self.entries += lines.parse(line[:-1]) or ()
        self.size += len(line)

    def settle(self) -> str | None:
        """Make sure of what was read, before any of it is pushed: on the medium, and no unfinished line behind it.

        A process that was killed between write and fsync leaves a whole line that a power cut could still take; one
        that was killed before it synced the directory, a whole journal.

        Returns:
            What was put aside, for people; None where nothing was.

        Raises:
            MeshFault: the disk said no (nothing is lost), or a sibling wrote since this was read.
        """
        if self._settled:
            return None
        self._refuse_stale()
        torn = self.torn
        try:
            aside = self._set_aside() if torn else None
            os.truncate(self.path, self.size)
            self._sync_path()
            sync_directory(self.path.parent)
        except OSError as error:
            self._broken = True
            raise disk_fault("settle the journal", self.path, error) from error
        self._stamp, self._settled = self._stamp_now(), True
        if aside:
            self.repaired = f"the last append to {self.path} never finished: its {torn} bytes are kept in {aside.name}"
        return self.repaired if aside else None

    def rewrite(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Replace all entries (compaction): a crash leaves the old journal or the new one.

        Raises:
            MeshFault: the disk said no (the old one stands), or a sibling wrote since this was read.
        """
        self._refuse_stale()
        self.settle()
        data = b"".join(lines.dump([entry]) for entry in entries)
        try:
            temporary = write_whole(self.path, data, write=self._write, sync=self._sync)
            temporary.replace(self.path)
            sync_directory(self.path.parent)
        except OSError as error:
            self._broken = True
            raise disk_fault("rewrite the journal", self.path, error) from error
        self._load()

    def _load(self) -> None:
        try:
            with self.path.open("rb") as file:
                stamp = _stamp(os.fstat(file.fileno()))
                data = file.read(stamp.size)
        except FileNotFoundError:
            raise MeshFault(
                f"there is no journal at {self.path}: no node lives here",
                hint="`mesh init` or `mesh join`; or name the right place with --home",
                file=str(self.path),
            ) from None
        except OSError as error:
            raise disk_fault("read the journal", self.path, error) from error
        self.entries, self.size = self._read(data)
        self._stamp = stamp._replace(size=len(data))
        self._broken = self._settled = False

    def _read(self, data: bytes) -> tuple[list[lines.Entry], int]:
        try:
            return lines.read(data)
        except lines.Damaged as damage:
            raise MeshFault(
                f"{self.path}, line {damage.line}: damaged, and others follow it; nothing was changed",
                hint=f"keep a copy of {self.path.parent}; then bring back a backup of it, or `mesh join` with a new key",
                file=str(self.path),
                line=damage.line,
            ) from None

    def _stamp_now(self) -> _Stamp:
        try:
            return _stamp(self.path.stat())
        except OSError as error:
            raise disk_fault("look at the journal", self.path, error) from error

    def _refuse_stale(self) -> None:
        """What is signed from an old journal could use a seq twice (law CHAIN)."""
        if self._broken:
            raise MeshFault(f"{self.path}: an earlier write failed; read the journal again", file=str(self.path))
        if self._stamp_now() != self._stamp:
            raise MeshFault(f"{self.path} has changed since it was read; read it again", file=str(self.path))

    def _append(self, fd: int, line: bytes) -> None:
        try:
            if self._write(fd, line) != len(line):
                raise OSError("the disk took only a part of it")
            self._sync(fd)
        except OSError as error:
            self._broken = True
            self._take_back()
            raise disk_fault("append to the journal", self.path, error) from error

    def _take_back(self) -> None:
        """Best effort: where even this fails, the next reader sees an unfinished line and puts it aside."""
        try:
            os.truncate(self.path, self.size)
            self._sync_path()
        except OSError:
            return

    def _set_aside(self) -> Path:
        with self.path.open("rb") as file:
            file.seek(self.size)
            torn = file.read()
        number = 1
        while True:
            aside = self.path.with_name(f"journal.torn-{number}")
            try:
                create_new(aside, torn)
                return aside
            except FileExistsError:
                number += 1

    def _sync_path(self) -> None:
        fd = os.open(self.path, os.O_WRONLY)
        try:
            self._sync(fd)
        finally:
            os.close(fd)

    # The seam: a test that loses power or disk space overrides these two.

    def _write(self, fd: int, data: bytes) -> int:
        return os.write(fd, data)

    def _sync(self, fd: int) -> None:
        sync_fd(fd)


def _stamp(info: os.stat_result) -> _Stamp:
    return _Stamp(info.st_ino, info.st_size, info.st_mtime_ns)
