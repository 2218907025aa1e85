"""Where the ledger of a stranger lies: at any hub, in a repository, a directory, a git bundle, or an export in one file.

Knows: how each of them is told from the others, and what may lie in a directory that is a ledger's (law RENDER, traps
B4, B6). Needs no home, no key and no membership, and leaves nothing behind: a hub is read through a store in a temporary
folder.
Knows not: what the lines mean (`ledger`), whose ledger it is to be (`checking`).

    taken("https://git.example.org/fleet.git").files         # the same for ssh, for file:// and for a path
    taken("fleet.bundle").kind                                # "git bundle"
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orxaq_mesh.errors import InvalidLedger, MeshFault, Unreachable, Usage
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw

if TYPE_CHECKING:
    from orxaq_mesh.record import Record, Seal
    from orxaq_mesh.store.git import GitStore
    from orxaq_mesh.store.repository import Repository

HUB, REPOSITORY, FOLDER_, BUNDLE, EXPORT = "hub", "repository", "directory", "git bundle", "export"
TRUNK = "mesh"
_BUNDLE_BEGINS = b"# v"
_USERINFO = re.compile(r"(?<=://)[^/@]*@")
_OTHER = "name the branch with --trunk, or another place"
_WHOLE = "a whole bundle is made by: git bundle create FILE mesh"

Files = tuple[list[Change], list[Finding]]
"""The files of a ledger's tree, and what else lies there."""


class Taken(NamedTuple):
    """What lies at a place.

    Attributes:
        kind: which sort of place it is: one of the words above.
        name: what to call it: never with a password in it.
        files: the ledger's files there.
        findings: what else lies there, or kept it from being read.
        outboxes: how many nodes have a branch of their own there, which is not read.
        cut: the commits before the newest are not there (trap B15). The newest one's tree has every line.
    """

    kind: str
    name: str
    files: Sequence[Change]
    findings: Sequence[Finding]
    outboxes: int = 0
    cut: bool = False


def taken(source: str | Path, trunk: str = TRUNK) -> Taken:
    """The ledger at a place.

    Args:
        source: a hub's address; or the path of a repository, of a directory that holds `ledger/` or is it, of a git
            bundle, or of what `mesh export` wrote.
        trunk: the branch, where it is a hub, a repository or a bundle.

    Raises:
        Usage: there is nothing at this place, or no ledger.
        MeshFault: it cannot be read, or has no such branch.
        Unreachable: the hub does not answer.
    """
    path = Path(source)
    if os.path.isdir(source):  # noqa: PTH112 - an address may be no path at all
        if is_ledger(path):
            return Taken(FOLDER_, str(path), *from_folder(path))
        if is_repository(path):
            return _in_repository(path, trunk)
        raise Usage(f"there is no ledger in {path}", hint="name a directory that holds ledger/, or a repository")
    if os.path.isfile(source):  # noqa: PTH113
        return _in_file(path, trunk)
    if ":" not in str(source):
        raise Usage(f"there is nothing at {path}", hint="name a hub's address, a repository, a directory or a bundle")
    return _fetched(str(source), shown(str(source)), HUB, trunk)


def shown(url: str) -> str:
    """An address without whoever it is for: a token may stand there, or a password."""
    return _USERINFO.sub("", url) if url.startswith(("http://", "https://")) else url


def is_repository(folder: Path) -> bool:
    """Whether a directory is a git repository, bare or with files beside it."""
    return (folder / ".git").exists() or ((folder / "HEAD").is_file() and (folder / "objects").is_dir())


def is_ledger(folder: Path) -> bool:
    """Whether a directory is a ledger's own, or holds one."""
    return (folder / "ledger").is_dir() or (folder / "epochs").is_dir() or (folder / "nodes").is_dir()


# Through git: a hub, a repository, a bundle.


def _in_repository(path: Path, trunk: str) -> Taken:
    """A repository on this disk. What is bare and whole may be a hub, and is fetched like one: git checks its objects."""
    from orxaq_mesh.home.process import environment
    from orxaq_mesh.store.repository import Repository

    inner = path / ".git"
    with Repository((inner if inner.exists() else path).absolute(), environ=environment()) as repository:
        cut = repository.is_shallow()
        if not cut and not inner.exists():
            return _at(path.absolute(), str(path), REPOSITORY, trunk)
        tip = _tip(repository, path, trunk)
        files, findings = sort_out(repository.changes(None, tip))
        findings = [found for found in findings if found.file.partition("/")[0] in (tip, "ledger")]  # else: beside it
        return Taken(REPOSITORY, str(path), files, findings, cut=cut)


def _tip(repository: Repository, path: Path, trunk: str) -> str:
    """Where the trunk is: a branch, or what was fetched of one."""
    for ref in (f"refs/heads/{trunk}", f"refs/remotes/origin/{trunk}"):
        try:
            return repository.resolve(ref)
        except Usage:
            continue
    raise MeshFault(f"there is no branch {trunk} in {path}: no ledger was founded there", hint=_OTHER)


def _at(path: Path, name: str, kind: str, trunk: str) -> Taken:
    """A place on this disk, by a link without the spaces that no hub's address has."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="orxaq-mesh-") as folder:
        link = Path(folder, "it")
        link.symlink_to(path)
        try:
            return _fetched(str(link), name, kind, trunk)
        except Unreachable as error:
            raise _not_had(name, kind, error) from None


def _not_had(name: str, kind: str, error: Unreachable) -> MeshFault:
    """Why git cannot read what lies on this very disk: that is no hub that does not answer."""
    said = error.what.removeprefix("the hub does not answer: ")
    if kind == BUNDLE and "prerequisite" in said:
        return MeshFault(f"{name} goes on from commits that it does not hold: {said}", hint=_WHOLE)
    if kind == BUNDLE:
        return InvalidLedger(f"{name}: {said}", findings=[Finding("RENDER", name, 0, said)], hint=_WHOLE)
    return MeshFault(f"git cannot read {name}: {said}", hint="git -C DIR log says more")


def _fetched(address: str, name: str, kind: str, trunk: str) -> Taken:
    """What a store that is thrown away gets from an address."""
    from tempfile import TemporaryDirectory

    from orxaq_mesh.home.process import environment
    from orxaq_mesh.store.git import GitStore

    with TemporaryDirectory(prefix="orxaq-mesh-") as folder:
        store = GitStore(Path(folder, "store.git"), address, environ=environment(), trunk=trunk)
        try:
            tips = store.poll()
            if trunk not in tips:
                raise MeshFault(f"there is no branch {trunk} in {name}: no ledger was founded there", hint=_OTHER)
            return Taken(kind, name, *from_hub(store, {trunk: tips[trunk]}), outboxes=len(tips) - 1)
        finally:
            store.close()


def from_hub(store: GitStore, tip: dict[str, str]) -> Files:
    """The trunk's files, freshly fetched.

    Raises:
        Unreachable: the hub does not answer.
    """
    try:
        store.fetch(tip)
    except InvalidLedger as error:
        return [], [Finding(flaw.law, flaw.file, 0, flaw.reason) for flaw in error.findings]
    (oid,) = tip.values()
    return sort_out(store.changes(None, oid))


def sort_out(items: Iterable[Change | Flaw]) -> Files:
    """What a store tells, as files and findings."""
    files: list[Change] = []
    findings: list[Finding] = []
    for item in items:
        if isinstance(item, Flaw):
            findings.append(Finding(item.law, item.file, 0, item.reason))
        else:
            files.append(item)
    return files, findings


# One file: a bundle of git's, or what `mesh export` wrote.


def _in_file(path: Path, trunk: str) -> Taken:
    try:
        with path.open("rb") as stream:
            if stream.read(len(_BUNDLE_BEGINS)) == _BUNDLE_BEGINS:
                return _at(path.absolute(), str(path), BUNDLE, trunk)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}", hint="name a git bundle or an export") from None
    return Taken(EXPORT, str(path), *from_export(path))


def from_export(path: Path) -> Files:
    """The files that the lines of an export render to (law RENDER). Of a damaged one nothing is believed."""
    from orxaq_mesh.reconcile import render
    from orxaq_mesh.record import Record

    items: list[Record | Seal] = []
    try:
        items = list(_lines(path))
    except InvalidLedger as error:
        return [], list(error.findings)
    records = [item for item in items if isinstance(item, Record)]
    seals = [item for item in items if not isinstance(item, Record)]
    files = render(lambda _: None, records, seals)
    return [Change(name, None, data) for name, data in sorted(files.items())], []


def _lines(path: Path) -> Iterator[Record | Seal]:
    from orxaq_mesh import carry
    from orxaq_mesh.record import MAX_LINE_BYTES

    with path.open("rb") as stream:
        ledger = carry.ledger_of(stream.readline(MAX_LINE_BYTES + 1))
        stream.seek(0)
        lines = iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b"")
        yield from (item for _, item in carry.read(lines, ledger, str(path)))


# A directory.


def from_folder(folder: Path) -> Files:
    """The files of a ledger in a directory that holds `ledger/` or is it. No symbolic link below it is followed."""
    return sort_out(_walk(folder / "ledger" if (folder / "ledger").is_dir() else folder, "ledger"))


def _walk(folder: Path, path: str) -> Iterator[Change | Flaw]:
    from orxaq_mesh.store.objects import FILE, FOLDER, MAX_TREE_ENTRIES, judge

    try:
        with os.scandir(folder) as entries:
            found = sorted(islice(entries, MAX_TREE_ENTRIES + 1), key=lambda entry: entry.name)
    except OSError as error:
        yield Flaw("RENDER", path, f"cannot be read: {error.strerror}")
        return
    if len(found) > MAX_TREE_ENTRIES:
        yield Flaw("RENDER", path, f"more than {MAX_TREE_ENTRIES} entries")
        return
    for entry in found:
        inner = f"{path}/{entry.name}"
        if inner == "ledger/README.md" and entry.is_file(follow_symlinks=False):
            continue
        is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
        mode = FOLDER if is_folder else FILE if is_file else b"of a link or device"
        if flaw := judge(inner, mode):
            yield flaw
        elif is_folder:
            yield from _walk(folder / entry.name, inner)
        else:
            yield _file(folder / entry.name, inner)


def _file(place: Path, path: str) -> Change | Flaw:
    """One segment. All questions go to the opened file, its size before its bytes."""
    from orxaq_mesh.store.objects import MAX_FILE_BYTES

    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with os.fdopen(os.open(place, flags), "rb") as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                return Flaw("QUIET", path, "no regular file")
            if info.st_size > MAX_FILE_BYTES:
                return Flaw("RENDER", path, f"{info.st_size} bytes; at most {MAX_FILE_BYTES} are read")
            return Change(path, None, file.read(MAX_FILE_BYTES))
    except OSError as error:
        return Flaw("RENDER", path, f"cannot be read: {error.strerror}")
