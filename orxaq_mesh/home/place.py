"""Where a node lives on this machine.

Knows: the order --home, MESH_HOME, the repository one stands in, the user's data directory; the names beneath it.
Knows not: what is in those files. Runs no git: a `.git` entry, its `gitdir:` and its `commondir` are read as files.
Keeps law QUIET: nothing of ours lies in a work tree, and a repository that was put into one is not taken for its own.

    locate(None, {}, Path("/src/app/lib"))           # /src/app/.git/orxaq-mesh
    Home(Path("/srv/mesh")).journal                  # /srv/mesh/journal.ndjson
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.files import check_directory, private_directory

NAME = "orxaq-mesh"
_MAX_POINTER_BYTES = 8192
_MAX_SOCKET_BYTES = 100  # the kernel's limit for a socket's path is 104 bytes on macOS, 108 on Linux


class Home(NamedTuple):
    """The paths of one node. Only `key`, `recovery` and `journal` may not be deleted (law CACHE)."""

    path: Path

    @property
    def key(self) -> Path:
        """The node's secret key; its public half lies beside it as `key.pub`."""
        return self.path / "key"

    @property
    def recovery(self) -> Path:
        """The recovery key, until its owner has taken it offline (law LIVE)."""
        return self.path / "recovery"

    @property
    def journal(self) -> Path:
        """What this node has signed and seen."""
        return self.path / "journal.ndjson"

    @property
    def store(self) -> Path:
        """The bare repository of our own."""
        return self.path / "store.git"

    @property
    def cache(self) -> Path:
        """Snapshots, the push budget: anything that only saves time."""
        return self.path / "cache"

    @property
    def locks(self) -> Path:
        """Lock files, each with a note of who holds it."""
        return self.path / "locks"

    @property
    def config(self) -> Path:
        """Settings of this node, in YAML."""
        return self.path / "config.yaml"

    @property
    def socket(self) -> Path:
        """Where mesh-sync listens. A home too deep for a socket's name has it in /tmp, in a directory of the user's."""
        plain = self.path / "sync.sock"
        if len(os.fsencode(plain)) <= _MAX_SOCKET_BYTES:
            return plain
        short = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        owner = os.geteuid() if hasattr(os, "geteuid") else 0
        return Path(f"/tmp/{NAME}-{owner}/{short}.sock")  # noqa: S108 - `make` refuses another user's directory

    def make(self) -> Home:
        """Make the directories (0700).

        Raises:
            MeshFault: a directory cannot be made, or is open to others; or the key would lie in a work tree.
        """
        refuse_work_tree(self.key)
        for directory in (self.path, self.cache, self.locks, self.socket.parent):
            private_directory(directory)
        return self

    def check(self) -> Home:
        """Refuse a home that others could have written; one that does not exist yet is fine.

        Raises:
            MeshFault: as `files.check_directory`.
        """
        if self.path.exists():
            check_directory(self.path)
        return self


def locate(option: str | None = None, environ: Mapping[str, str] = os.environ, cwd: Path | None = None) -> Path:
    """The home directory, absolute; it need not exist yet.

    Args:
        option: `--home`.
        environ: for MESH_HOME.
        cwd: where the caller stands.

    Raises:
        MeshFault: the current directory is gone, or a `.git` file cannot be read.
    """
    start = cwd or _current()
    if chosen := option or environ.get("MESH_HOME"):
        return (start / Path(chosen).expanduser()).resolve()
    if common := common_git_directory(start):
        return common / NAME
    import platformdirs

    return Path(platformdirs.user_data_dir(NAME, appauthor=False))


def _current() -> Path:
    try:
        return Path.cwd()
    except OSError as error:
        raise MeshFault(f"the current directory is gone: {error.strerror}", hint="cd somewhere else") from error


def common_git_directory(start: Path) -> Path | None:
    """The common git directory of the repository that `start` stands in, shared by all its worktrees; or None."""
    git = git_directory(start)
    return _common(git) if git else None


def git_directory(start: Path) -> Path | None:
    """The git directory of the repository that `start` stands in; a linked worktree has one of its own; or None.

    A bare repository counts only where nothing above it has a `.git`: one inside a work tree can have come with a
    clone, and its `config.yaml` would be a stranger's.
    """
    bare = None
    start = start.resolve()
    for directory in (start, *start.parents):
        if git := _git_directory_of(directory):
            return git
        if bare is None and _looks_like_git(directory):
            bare = directory
    return bare


def refuse_work_tree(path: Path) -> None:
    """Refuse a key's path inside a work tree, where `git add` would take it along.

    Raises:
        MeshFault: with the repository's path. Inside its git directory is fine.
    """
    path = path.parent.resolve() / path.name
    for directory in path.parents:
        if git := _git_directory_of(directory):
            if any(path.is_relative_to(inner) for inner in (git.resolve(), _common(git))):
                return
            raise MeshFault(
                f"the key {path} would lie in the work tree of {directory}: one `git add` and it is public",
                hint="leave out --home, or name a directory outside any repository",
                file=str(path),
            )


def _git_directory_of(directory: Path) -> Path | None:
    """The git directory that `directory`'s `.git` entry is or points to."""
    entry = directory / ".git"
    if _looks_like_git(entry):
        return entry
    pointed = _pointer(entry, "gitdir: ")
    if pointed is None or not _looks_like_git(directory / pointed):
        return None
    return directory / pointed


def _looks_like_git(path: Path) -> bool:
    try:
        if not (path / "HEAD").is_file() and not (path / "HEAD").is_symlink():
            return False
        return (path / "commondir").is_file() or ((path / "objects").is_dir() and (path / "refs").is_dir())
    except OSError:  # a name that is too long, a directory that we may not enter
        return False


def _common(git: Path) -> Path:
    """A linked worktree's git directory names the common one in `commondir`; any other is its own."""
    pointed = _pointer(git / "commondir", "")
    return (git / pointed).resolve() if pointed else git.resolve()


def _pointer(path: Path, prefix: str) -> str | None:
    """The path that a small text file of git's holds, or None where there is no such file."""
    try:
        if not path.is_file():
            return None
    except OSError:  # as in `_looks_like_git`
        return None
    try:
        with path.open("rb") as file:
            text = os.fsdecode(file.read(_MAX_POINTER_BYTES))
    except OSError as error:
        raise MeshFault(f"cannot read {path}: {error.strerror}", file=str(path)) from error
    text = text.rstrip("\r\n")
    return text[len(prefix) :] if text.startswith(prefix) and "\0" not in text else None
