"""The store's own files beside git's: who is alive in it, what a killed run left, how loose it has grown.

Knows: locks, quarantines and packs as files; no object's meaning and no process.
Knows not: the hub, refs, git itself. Uses nothing but the file system.

How it is known that nobody is behind a lock (trap B12): every store opens `alive` and holds a shared lock on it, and
hands that very descriptor to each git process it starts. The kernel drops the lock when the last of them is gone,
however it went. Who gets it exclusively is alone: what `*.lock` and quarantine stands there then is nobody's.

    alive = Alive(path)          # alone: leftovers removed; not alone: everything left as it is
    survived(path, boot)         # False: a power cut took a part of what was never synced
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple, Self

QUARANTINE = "quarantine"
_ALIVE = "alive"
_LOOSE_SAMPLE = "17"
_SHA256 = re.compile(r"^\s*objectformat\s*=\s*sha256\s*$", re.IGNORECASE | re.MULTILINE)
_BOOT = "boot"
_OBJECT = re.compile(r"[0-9a-f]{38}(?:[0-9a-f]{24})?")
_REF = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\n")
_PACK_PARTS = (".pack", ".rev", ".idx")


class Lock(NamedTuple):
    """One lock file of a store. `stale`: the kernel says that no process of any store's owner is left."""

    file: str
    age_s: int
    stale: bool


class Alive:
    """A sign of life in a store, shared by its owner and every process that the owner started.

    Args:
        path: the store; `alive` is made in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path / _ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
        self.alone = self.sweep()

    def sweep(self) -> bool:
        """Remove what killed processes left, if nobody else is alive here; whether that was so.

        To be called only while no git process of one's own is writing: those share this very sign of life.
        """
        alone = _lock(self._file, exclusive=True)
        if alone:
            for left in [*_locks(self._path), *(self._path / QUARANTINE).glob("*")]:
                _remove(left)
        _lock(self._file, exclusive=False)
        return alone

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What a child process has to inherit to count as alive here."""
        return (self._file,) if os.name == "posix" and self._file >= 0 else ()

    def close(self) -> None:
        """Give up this sign of life. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def stale_locks(path: Path, now_s: float) -> list[Lock]:
    """The lock files in a store, oldest first, for `doctor`; removes nothing.

    Args:
        path: the store.
        now_s: seconds since 1970, for their age.
    """
    found = [(lock, _modified(lock)) for lock in _locks(path)]
    if not found:
        return []
    file = os.open(path / _ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        alone = _lock(file, exclusive=True)
    finally:
        os.close(file)
    locks = [Lock(lock.relative_to(path).as_posix(), max(0, int(now_s - at)), alone) for lock, at in found]
    return sorted(locks, key=lambda lock: -lock.age_s)


def _lock(file: int, *, exclusive: bool) -> bool:
    """Whether the lock is ours; an exclusive one is not waited for (a shared one is: a sweep takes milliseconds).

    Without `flock` (Windows) nobody is ever known to be alone.
    """
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB if exclusive else fcntl.LOCK_SH)
    except BlockingIOError:
        return False
    return True


def _locks(path: Path) -> list[Path]:
    """Where git 2.39 makes locks in a bare store: beside HEAD and config, among refs, packs and commit graphs."""
    places = [path.glob("*.lock"), path.glob("refs/**/*.lock"), path.glob("objects/*.lock")]
    return [lock for place in [*places, path.glob("objects/*/*.lock")] for lock in place] + list(path.glob("gc.pid"))


def _modified(file: Path) -> float:
    with contextlib.suppress(OSError):
        return file.stat().st_mtime
    return 0.0


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def survived(path: Path, boot: str) -> bool:
    """Whether a store is as it was written; asked once in each run of the machine, for only its end can change that.

    Loose objects and refs are never synced. A power cut may leave them empty, half or full of zeros, and git
    then fails for ever where it would have fetched what is simply not there.

    Args:
        path: the store; nobody else is alive in it.
        boot: names this run of the machine; it is noted in the store.
    """
    if _read(path / _BOOT) == boot.encode():
        return True
    sound = all(_REF.fullmatch(_read(ref)) for ref in path.glob("refs/**/*") if ref.is_file())
    sound = sound and all(map(_is_whole_pack, path.glob("objects/pack/*.idx")))
    if sound and all(map(_is_whole_object, path.glob("objects/[0-9a-f][0-9a-f]/*"))):
        write_whole(path / _BOOT, boot)
        return True
    return False


def sync(file: Path) -> None:
    """Put a file that is written once and needed for ever on the medium; other files of a store are not worth the time."""
    opened = os.open(file, os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _read(file: Path) -> bytes:
    with contextlib.suppress(OSError):
        return file.read_bytes()
    return b""


def _is_whole_object(file: Path) -> bool:
    if not _OBJECT.fullmatch(file.name):  # one that was being written
        return True
    try:
        raw = zlib.decompress(_read(file))
    except zlib.error:
        return False
    name = file.parent.name + file.name
    return hashlib.new("sha1" if len(name) == 40 else "sha256", raw, usedforsecurity=False).hexdigest() == name


def _is_whole_pack(index: Path) -> bool:
    """Whether pack and index end with the same checksum; git has synced both, so more is not asked."""
    size = 20 if len(index.stem) == len("pack-") + 40 else 32
    ends = [_end(index, 2 * size), _end(index.with_suffix(".pack"), size)]
    return len(ends[1]) == size and ends[0][:size] == ends[1] != bytes(size)


def _end(file: Path, size: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(-size, os.SEEK_END)
            return opened.read()
    except OSError:
        return b""


class Quarantine:
    """A directory of objects that nobody reads yet (trap B7). Used as a context: what is not taken in is removed."""

    def __init__(self, store: Path) -> None:
        self._store = store
        (store / QUARANTINE).mkdir(exist_ok=True)
        self.path = Path(tempfile.mkdtemp(dir=store / QUARANTINE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)

    @property
    def variables(self) -> dict[str, str]:
        """What makes git write here and read the store's own objects too."""
        own = str(self._store / "objects")
        return {"GIT_OBJECT_DIRECTORY": str(self.path), "GIT_ALTERNATE_OBJECT_DIRECTORIES": own}

    def take_in(self) -> None:
        """Move the packs into the store; each appears whole, at the rename of its index, which is the last."""
        target = self._store / "objects" / "pack"
        for index in sorted(self.path.glob("pack/*.idx")):
            for part in _PACK_PARTS:
                source = index.with_suffix(part)
                if source.exists():
                    source.replace(target / source.name)


def write_loose(objects: Path, oid: str, packed: bytes) -> None:
    """Put one loose object where git looks for it; it appears whole or not at all.

    Not synced, as git's own are not: the store is a cache, and what must not be lost is in the journal (law CACHE).
    """
    folder = objects / oid[:2]
    if (folder / oid[2:]).exists():
        return
    folder.mkdir(exist_ok=True)
    file, name = tempfile.mkstemp(prefix="tmp_obj_", dir=folder)
    with os.fdopen(file, "wb") as handle:
        handle.write(packed)
    Path(name).chmod(0o444)
    Path(name).replace(folder / oid[2:])


def write_whole(place: Path, text: str) -> None:
    """Put a text file where others may be reading it; they find the old one or the new one, never half of one."""
    if _read(place) == text.encode():
        return
    file, fresh = tempfile.mkstemp(dir=place.parent)
    with os.fdopen(file, "w", encoding="utf-8") as handle:
        handle.write(text)
    Path(fresh).replace(place)


def object_format(repository: Path) -> str | None:
    """`sha1` or `sha256`, as a repository's own configuration has it; None where none can be read."""
    for config in (repository / "config", repository / ".git" / "config"):
        with contextlib.suppress(OSError):
            return "sha256" if _SHA256.search(config.read_text("utf-8", "replace")) else "sha1"
    return None


def how_loose(path: Path) -> tuple[int, int]:
    """(loose objects, packs): the first is estimated from one folder of 256, as git does it."""
    sample, packs = path / "objects" / _LOOSE_SAMPLE, path / "objects" / "pack"
    loose = sum(1 for _ in sample.iterdir()) * 256 if sample.is_dir() else 0
    return loose, sum(1 for _ in packs.glob("*.pack"))
