"""One process at a time, and everybody can see which.

Knows: an exclusive lock on a file, which the kernel frees when its holder dies, and a note beside it of who holds it.
Knows not: what is done under it. Traps C17 (the second daemon says so), C29 (who, since when, how to get free), B12.

    with NodeLock(home, "node"):                 # one step: sign, journal, push
        ...
    holder(home, "sync")                         # Holder(process=..., since_ms=..., command="mesh-sync") or None

Three locks exist: `sync` and `work` (one mesh-sync and one worker a node, held while they run), `node` (for one step).
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import orjson

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.clock import Clock, stamp
from orxaq_mesh.home.files import atomic_write, disk_fault, private_directory, read_json_cache
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import ProcessId, alive, identify

if TYPE_CHECKING:
    from filelock import FileLock

LEAST_PATIENCE_MS: Final = 500
"""`holder` may hold the lock for some microseconds; who waits this long never loses to it."""
_NOTE_WAIT_S: Final = 0.3
_MAX_COMMAND = 100
_WORDS: Final = {
    "sync": ("mesh-sync already runs for this node", "commands go through it as it is; to end it: "),
    "work": ("a worker already runs for this node", "it does what is ready, in as many --slots as it has; to end it: "),
    "node": ("another command of this node is at work", "wait until it is done; to end it: "),
}


class Holder(NamedTuple):
    """Who holds a lock. `process` is None where it has not said (its note was deleted, or is being written)."""

    process: ProcessId | None
    since_ms: int
    command: str

    def __str__(self) -> str:
        if self.process is None:
            return "a process that left no note"
        return f"pid {self.process.pid} ({self.command}), since {stamp(self.since_ms)}"


class NodeLock:
    """A lock of one node, for `with`. Not reentrant, and not for two threads.

    Args:
        home: whose lock.
        name: `sync`, `work` or `node`.
        timeout_ms: how long to wait for it; at least `LEAST_PATIENCE_MS`.
    """

    def __init__(self, home: Home, name: str, timeout_ms: int = 30_000) -> None:
        self._home, self._name = home, name
        self._timeout_s = max(timeout_ms, LEAST_PATIENCE_MS) / 1000
        self._lock: FileLock | None = None
        self._inode = 0

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            MeshFault: another holds it: who, since when, and how to get free.
        """
        from filelock import FileLock, Timeout

        private_directory(self._home.locks)
        path = _lock_file(self._home, self._name)
        lock = FileLock(path, timeout=self._timeout_s, mode=0o600, thread_local=False)
        try:
            lock.acquire(poll_interval=0.02)
        except Timeout:
            raise self._taken() from None
        except OSError as error:
            raise MeshFault(f"cannot lock {path}: {error.strerror or error}", file=str(path)) from error
        try:
            atomic_write(_note_file(self._home, self._name), _note())
            self._lock, self._inode = lock, path.stat().st_ino
        except (OSError, MeshFault):
            lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the lock. The note goes first: a free lock never names a holder."""
        if self._lock is None:
            return
        try:
            if self.intact():
                _note_file(self._home, self._name).unlink(missing_ok=True)
        except OSError as failed:
            raise disk_fault("remove", _note_file(self._home, self._name), failed) from failed
        finally:
            self._lock.release()
            self._lock = None

    def intact(self) -> bool:
        """Whether the lock still shuts others out: its file may be deleted while it is held (law CACHE).

        A process that holds `sync` for long asks before each step, and ends where the answer is no.
        """
        try:
            return self._lock is not None and _lock_file(self._home, self._name).stat().st_ino == self._inode
        except OSError:
            return False

    def _taken(self) -> MeshFault:
        by = holder(self._home, self._name) or Holder(None, 0, "")
        what, hint = _WORDS[self._name]
        free = f"kill {by.process.pid}" if by.process else f"fuser {_lock_file(self._home, self._name)}"
        facts = {"pid": by.process.pid, "since": stamp(by.since_ms), "command": by.command} if by.process else {}
        return MeshFault(f"{what}: {by}", hint=f"{hint}`{free}`", lock=self._name, holder=facts)


def holder(home: Home, name: str) -> Holder | None:
    """Who holds the lock now, or None where it is free. Takes the lock for no longer than it takes to ask."""
    deadline = time.monotonic() + _NOTE_WAIT_S
    while True:
        if noted := _read_note(home, name):
            return noted
        if not _is_locked(_lock_file(home, name)):
            return None
        if time.monotonic() > deadline:
            return Holder(None, 0, "")
        time.sleep(0.01)


def _lock_file(home: Home, name: str) -> Path:
    return home.locks / f"{name}.lock"


def _note_file(home: Home, name: str) -> Path:
    return home.locks / f"{name}.json"


def _note() -> bytes:
    who = identify(os.getpid()) or ProcessId(os.getpid(), "", "")
    note = {"pid": who.pid, "start": who.start, "boot": who.boot, "since_ms": Clock().wall(), "command": _command()}
    return orjson.dumps(note)


def _command() -> str:
    """The command's words up to its first option: a hub's address may carry a password."""
    words = [Path(sys.argv[0] or "python").name]
    for word in sys.argv[1:]:
        if word.startswith("-"):
            break
        words.append(word)
    return ascii(" ".join(words))[1:-1][:_MAX_COMMAND]


def _read_note(home: Home, name: str) -> Holder | None:
    """The note, if the process that wrote it lives: a killed holder leaves its note behind, the kernel its lock not."""
    try:
        note = read_json_cache(_note_file(home, name))
        who = ProcessId(int(note["pid"]), str(note["start"]), str(note["boot"]))
        found = Holder(who, int(note["since_ms"]), str(note["command"]))
    except (KeyError, TypeError, ValueError):
        return None
    return found if alive(who) else None


def _is_locked(path: Path) -> bool:
    """Whether somebody holds it, asked with a shared lock: two who ask do not disturb each other."""
    try:
        import fcntl
    except ImportError:  # not on Windows: there the note alone tells
        return False
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except OSError:
        return True
    finally:
        os.close(fd)
