"""Bytes that reach the disk whole or not at all.

Knows: write, fsync, link, rename, and directories that only their owner can enter.
Knows not: what the bytes are. Keeps law CACHE: an unreadable cache is an absent one.

    atomic_write(home.cache / "budget.json", b"{}")
    read_json_cache(home.cache / "budget.json")    # {} or None, never an error
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orxaq_mesh.errors import MeshFault

MAX_CACHE_BYTES = 256 * 1024 * 1024
_OTHERS_WRITE = 0o022


def disk_fault(doing: str, path: Path, error: OSError) -> MeshFault:
    """The fault for a failed system call: what was tried, on which file, and what the system said."""
    return MeshFault(f"cannot {doing} {path}: {error.strerror or error}", file=str(path))


def is_ours(info: os.stat_result) -> bool:
    """Whether the file belongs to the user this process runs as (always so where files have no such owner)."""
    return not hasattr(os, "geteuid") or info.st_uid == os.geteuid()


def sync_fd(fd: int) -> None:
    """Sync to the medium itself: on macOS plain fsync stops at the drive's cache.

    Raises:
        OSError: the disk said no; what was written may be lost.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        os.fsync(fd)
        return
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        os.fsync(fd)
    else:
        fcntl.fcntl(fd, full)


def sync_directory(path: Path) -> None:
    """Make names that were created or renamed in this directory last (where directories can be opened at all).

    Raises:
        OSError: the disk said no.
    """
    if os.name == "nt":
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        sync_fd(fd)
    finally:
        os.close(fd)


def write_whole(
    path: Path,
    data: bytes,
    mode: int = 0o600,
    *,
    write: Callable[[int, bytes], int] = os.write,
    sync: Callable[[int], None] = sync_fd,
) -> Path:
    """A new temporary file beside `path` that holds `data`, on the medium; for `os.link` or `os.replace`.

    Raises:
        OSError: it could not be written whole; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
    try:
        try:
            temporary.chmod(mode)
            if write(fd, data) != len(data):
                raise OSError("the disk took only a part of it")
            sync(fd)
        finally:
            os.close(fd)
    except OSError:
        temporary.unlink()
        raise
    return temporary


def create_new(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Create a file with all of its bytes on the medium, or not at all; never over an existing one.

    Raises:
        FileExistsError: there is such a file; it is untouched.
        OSError: the disk said no; there is no such file.
    """
    temporary = write_whole(path, data, mode)
    try:
        os.link(temporary, path)  # unlike a rename it refuses to replace
    finally:
        temporary.unlink()
    sync_directory(path.parent)


def atomic_write(path: Path, data: bytes, mode: int = 0o600, *, durable: bool = False) -> None:
    """Replace a file in one step: a reader finds the old bytes or the new, a crash too.

    Args:
        path: its directory is made (0700) where it is missing.
        data: all of the new content.
        mode: permission bits.
        durable: wait until content and name are on the medium; caches need not.

    Raises:
        MeshFault: the disk said no; the old content stands.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        temporary = write_whole(path, data, mode, sync=sync_fd if durable else _no_sync)
        temporary.replace(path)
        if durable:
            sync_directory(path.parent)
    except OSError as error:
        raise disk_fault("write", path, error) from error


def _no_sync(fd: int) -> None:
    """A cache that a power cut takes is only time lost (law CACHE)."""


def read_json_cache(path: Path) -> Any:
    """The value in a cache file; None where it is missing, unreadable, too large or no JSON (law CACHE)."""
    import orjson

    try:
        if path.stat().st_size > MAX_CACHE_BYTES:
            return None
        return orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def note_reading(path: Path, begun_ms: int, wall_ms: int, boot: str) -> None:
    """Note for other commands of this node when the hub was read, on this boot's clock and on the wall's."""
    import orjson

    atomic_write(path, orjson.dumps({"boot": boot, "read_ms": begun_ms, "wall_ms": wall_ms}))


def private_directory(path: Path) -> Path:
    """Make a directory that only its owner can enter (0700), or check the one that is there.

    Raises:
        MeshFault: it cannot be made, is no directory, is another user's, or others may write in it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise disk_fault("make the directory", path, error) from error
    check_directory(path)
    return path


def check_directory(path: Path) -> None:
    """Refuse a directory in which somebody else could put a configuration, a key or a journal.

    Raises:
        MeshFault: it is unreadable, no directory, another user's, or others may write in it.
    """
    try:
        info = path.stat()
    except OSError as error:
        raise disk_fault("look at", path, error) from error
    if not stat.S_ISDIR(info.st_mode):
        raise MeshFault(f"{path} is no directory", file=str(path))
    if not is_ours(info):
        raise MeshFault(
            f"{path} belongs to another user (uid {info.st_uid})",
            hint="give another place with --home DIR or MESH_HOME",
            file=str(path),
        )
    if os.name != "nt" and info.st_mode & _OTHERS_WRITE:
        raise MeshFault(f"others may write in {path}", hint=f"chmod 700 {path}", file=str(path))
