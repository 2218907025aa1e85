"""Where a ledger's files come from: the store of a home, a hub, a directory.

Knows: which tip is meant, and what may lie in a directory that is a ledger's (law RENDER, traps B4, B6).
Knows not: what the lines mean (`ledger`).

    history(mesh).state.epoch                                # as last read; no hub is needed
    changes, flaws = from_folder(Path("ledger"))
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from orxaq_mesh.errors import InvalidLedger, MeshFault, Usage
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import State
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record, Seal
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw

if TYPE_CHECKING:
    from orxaq_mesh.home.config import Settings
    from orxaq_mesh.home.place import Home
    from orxaq_mesh.store.git import GitStore
    from orxaq_mesh.sync.identity import Identity


class Node(Protocol):
    """Whose ledger it is: a home and its settings. A `Mesh` is one."""

    home: Home
    settings: Settings


class History(NamedTuple):
    """A ledger folded anew.

    Attributes:
        judged: every sealed record with epoch and verdict, in the order in which they were judged.
        seals: the spine, from epoch 1, the way that the fleet went.
        waiting: sound records in the trunk that no seal of the spine has taken in.
        state: what the fold came to.
        ledger: all of it, every side of every fork among it.
        final: the epoch of the newest final seal (law FORK).
        findings: what is wrong with its files.
    """

    judged: list[Judged]
    seals: list[Seal]
    waiting: list[Record]
    state: State
    ledger: Ledger
    final: int
    findings: list[Finding]


Files = tuple[list[Change], list[Finding]]
"""The files of a ledger's tree, and what else lies there."""


def history(mesh: Node, *, fresh: bool = False) -> History:
    """The whole ledger as this node read it last.

    Args:
        mesh: whose home.
        fresh: read the hub first. It is read anyhow where nothing is left of the last reading.

    Raises:
        MeshError: no node lives here; the hub had to be read and does not answer, or shows a broken ledger.
    """
    from orxaq_mesh.home.process import undisturbed

    with open_store(mesh) as store:
        tip = None if fresh else _kept_tip(mesh, store)
        if tip is None:
            from orxaq_mesh.sync import observe

            tip = observe(mesh.home, mesh.settings).engine.trunk
        files, findings = sort_out(store.changes(None, tip) if tip else ())
    with undisturbed():
        past = folded(files, identity(mesh).ledger, verified=_was_clean(mesh))
    if not past.state.epoch and (findings := findings + past.findings):
        raise InvalidLedger(f"the store holds a broken ledger: {findings[0]}", findings=findings, hint="mesh verify")
    return past


def folded(files: Iterable[Change], ledger_id: str, *, verified: bool = False) -> History:
    """The history in the files of a tree; `verified`: each of its lines was found good before."""
    ledger = Ledger(ledger_id)
    ledger.signatures = "none" if verified else "heads"
    ledger.settles, ledger.spine.voters = False, {}
    read = ledger.read(files)
    waiting = list(ledger.waiting.values())
    return History(read.judged, read.seals, waiting, ledger.state, ledger, ledger.spine.final(), read.findings)


def identity(mesh: Node) -> Identity:
    """Who lives in a home.

    Raises:
        Usage: nobody does.
    """
    from orxaq_mesh.home.journal import Journal
    from orxaq_mesh.sync.identity import identity_of

    if not mesh.home.journal.exists():
        raise Usage(f"no node lives in {mesh.home.path}", hint="mesh init, or mesh join; --home says where else")
    return identity_of(Journal.open(mesh.home.journal))


class open_store:  # noqa: N801 - read as a verb: `with open_store(mesh) as store`
    """The store of a home, for reading by object id: no lock is needed for what never changes."""

    def __init__(self, mesh: Node) -> None:
        from orxaq_mesh.home.process import environment
        from orxaq_mesh.store.git import GitStore

        me, home, settings = identity(mesh), mesh.home, mesh.settings
        self._store = GitStore(
            home.store,
            settings.hub or me.hub,
            environ=environment(),
            trunk=me.trunk,
            timeout_ms=settings.timeout_ms,
            ssh_control_dir=str(home.path / "ssh"),
        )

    def __enter__(self) -> GitStore:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


def _kept_tip(mesh: Node, store: GitStore) -> str | None:
    from orxaq_mesh.home.files import read_json_cache

    kept = read_json_cache(mesh.home.cache / "snapshot.json")
    tip = kept.get("trunk") if isinstance(kept, dict) else None
    return tip if isinstance(tip, str) and store.has(tip) else None


def _was_clean(mesh: Node) -> bool:
    """Whether the last reading found every line of the trunk to be somebody's; in a damaged one each must prove it."""
    from orxaq_mesh.home.files import read_json_cache

    try:
        memo = read_json_cache(mesh.home.cache / "snapshot.json")["memo"]
        return not (memo["mends"] or memo["doubted"] or memo["flaws"])
    except (KeyError, TypeError):
        return False


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


def from_hub(store: GitStore, trunk: str) -> Files:
    """The trunk's files, freshly fetched.

    Raises:
        MeshFault: the hub does not answer, or holds no ledger.
    """
    tips = store.poll()
    if trunk not in tips:
        raise MeshFault(f"the hub has no branch {trunk}: no ledger was founded there", hint="mesh init")
    try:
        store.fetch({trunk: tips[trunk]})
    except InvalidLedger as error:
        return [], [Finding(flaw.law, flaw.file, 0, flaw.reason) for flaw in error.findings]
    return sort_out(store.changes(None, tips[trunk]))


def is_ledger(folder: Path) -> bool:
    """Whether a directory is a ledger's own, or holds one."""
    return (folder / "ledger").is_dir() or (folder / "epochs").is_dir() or (folder / "nodes").is_dir()


def from_folder(folder: Path) -> Files:
    """The files of a ledger in a directory that holds `ledger/` or is it. No symbolic link below it is followed.

    Raises:
        Usage: there is no ledger.
    """
    if not is_ledger(folder):
        raise Usage(f"there is no ledger in {folder}", hint="name a directory that holds ledger/")
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
