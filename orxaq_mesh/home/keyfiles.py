"""Keys on disk: OpenSSH files that only their owner can read.

Knows: how a key file is made, brought and loaded, and which ones are refused.
Knows not: what a key signs (`keys`). Keys live outside work trees (`place.refuse_work_tree`).

    secret = keyfiles.keep(home.key, comment="oak")          # key (0600) and key.pub, made where there are none
    secret = keyfiles.load(home.key)
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.files import atomic_write, create_new, disk_fault, is_ours
from orxaq_mesh.home.place import refuse_work_tree
from orxaq_mesh.keys import BadKey, SecretKey

_MAX_KEY_BYTES = 16 * 1024
_OTHERS = 0o077


def create(path: Path, comment: str) -> SecretKey:
    """Make a key from the system's randomness and write it: `path` (0600) and `path`.pub beside it.

    Raises:
        MeshFault: there is such a file already, it lies in a work tree, or the disk said no.
    """
    return _write(path, SecretKey.generate(os.urandom(32)), comment)


def keep(path: Path, comment: str) -> SecretKey:
    """The key that is there, or a new one: what was killed after it had made its key goes on with that one.

    Raises:
        MeshFault: as `create` and `load`.
    """
    return _finish(path, load(path), comment) if path.exists() else create(path, comment)


def bring(identity: Path, path: Path, comment: str) -> SecretKey:
    """Take a key of the user's own (`--identity FILE`) as the node's: it is copied to `path`.

    Raises:
        MeshFault: the file is refused (see `load`), or another key is at `path`.
    """
    refuse_work_tree(identity)
    secret = load(identity)
    if path.exists() and load(path).public.text == secret.public.text:
        return _finish(path, secret, comment)
    return _write(path, secret, comment)


def load(path: Path) -> SecretKey:
    """The secret key in a file that is the user's own, no symbolic link, and closed to others.

    Raises:
        MeshFault: with the next step, e.g. `chmod 600`.
    """
    data = _read_private(path)
    try:
        return SecretKey.from_openssh(data)
    except BadKey as error:
        raise MeshFault(f"{path} is no key that can be used: {error}", hint=error.hint, file=str(path)) from error


def _write(path: Path, secret: SecretKey, comment: str) -> SecretKey:
    refuse_work_tree(path)
    try:
        create_new(path, secret.to_openssh(comment))
    except FileExistsError:
        raise MeshFault(
            f"there is a key at {path} already", hint="use it, or give another --home", file=str(path)
        ) from None
    except OSError as error:
        raise disk_fault("write the key", path, error) from error
    return _finish(path, secret, comment)


def _finish(path: Path, secret: SecretKey, comment: str) -> SecretKey:
    public = path.with_name(path.name + ".pub")
    if not public.exists():
        atomic_write(public, f"{secret.public.text} {comment}\n".encode(), 0o644, durable=True)
    return secret


def _read_private(path: Path) -> bytes:
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    if path.is_symlink():
        raise MeshFault(f"the key {path} is a symbolic link", hint="name the file itself", file=str(path))
    try:
        fd = os.open(path, flags)
    except OSError as error:
        raise disk_fault("open the key", path, error) from error
    try:
        _refuse_open_to_others(path, os.fstat(fd))
        return os.read(fd, _MAX_KEY_BYTES)
    except OSError as error:
        raise disk_fault("read the key", path, error) from error
    finally:
        os.close(fd)


def _refuse_open_to_others(path: Path, info: os.stat_result) -> None:
    """All questions go to the opened file: a name could point elsewhere by the time it is read."""
    if not stat.S_ISREG(info.st_mode):
        raise MeshFault(f"the key {path} is no regular file", file=str(path))
    if not is_ours(info):
        raise MeshFault(
            f"the key {path} belongs to another user (uid {info.st_uid})",
            hint="make one of your own with `mesh init` or `mesh join`",
            file=str(path),
        )
    if os.name != "nt" and info.st_mode & _OTHERS:
        raise MeshFault(
            f"others may read or write the key {path} (mode {stat.S_IMODE(info.st_mode):04o})",
            hint=f"chmod 600 {path}",
            file=str(path),
        )
