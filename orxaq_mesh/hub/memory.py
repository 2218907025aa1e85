"""The verified trunk, from one push to the next, so that judging a push costs what is new in it.

Knows: the ledgers of the last few commits that the trunk stood at, and the snapshot `mesh/snapshot.json` of the newest.
Knows not: what is pushed: of a commit at which the trunk never stood nothing is remembered.
Law CACHE: the snapshot may be deleted, damaged or old at any moment; then the trunk is read again, from genesis at worst.

    memory = Memory(hub, None)
    memory.at(repository, tip)        # the verified Ledger of that commit
    memory.keep()
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson

from orxaq_mesh import __version__
from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.anchor import restored, written
from orxaq_mesh.home.files import atomic_write
from orxaq_mesh.hub.settings import FOLDER
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.store import Change, Flaw, Oid
from orxaq_mesh.store.repository import Repository

FILE = "snapshot.json"
KEPT_SHARE = 8
"""A snapshot is written anew when what was read since has an eighth of its bytes: so that writing stays cheap."""
MAX_READ_BYTES = 128 * 1024 * 1024
MAX_READ_LINES = 500_000
MAX_FILE_LINES = 512
"""So much of files that differ is read for one push, whatever it unpacks to, and so many lines may be new. A segment has
32 numbers; one of the spine has as many seals a number as there were hubs at once."""
REMEMBERED = 3
"""Ledgers: of the tip, and of where it stood just before; there a push begins that has lost a race."""


class TooMuchError(Exception):
    """A push unpacks to more than is ever looked at (law LIVE). The text is the file at which that was seen."""


class Memory:
    """What a hub knows of its own trunk.

    Args:
        hub: the bare repository.
        ledger_id: the only ledger that it may hold; None: whatever is founded there.
    """

    def __init__(self, hub: Path, ledger_id: str | None) -> None:
        self._file, self._ledger_id = hub / FOLDER / FILE, ledger_id
        self._known: dict[Oid, Ledger] = {}
        self._restores = True
        self._kept_bytes: int | None = None
        self._new_bytes = 0

    def at(self, repository: Repository, tip: Oid | None) -> Ledger:
        """The ledger of the commit that the trunk stands at; not to be changed by the caller."""
        ledger = self._of(repository, tip, limited=False)
        if tip is not None:
            self._known.pop(tip, None)
            self._known[tip] = ledger
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return ledger

    def of(self, repository: Repository, commit: Oid | None) -> Ledger:
        """The ledger of any commit that is here; None: of an empty tree.

        Raises:
            TooMuchError: more would have to be read than for any push.
        """
        return self._of(repository, commit, limited=True)

    def doubts(self) -> bool:
        """Forget all, and never look at the snapshot again; False: this memory had not begun with one."""
        began_with_one = self._restores and self._kept_bytes is not None
        self._known, self._restores, self._kept_bytes = {}, False, None
        return began_with_one

    def knows(self, commit: Oid) -> bool:
        """Whether the trunk is known to have stood at a commit; False says nothing."""
        return commit in self._known

    def _of(self, repository: Repository, commit: Oid | None, *, limited: bool) -> Ledger:
        if commit is None:
            return Ledger(self._ledger_id)
        if not self._known and self._restores:
            self._known = self._restored(repository)
        if commit in self._known:
            return self._known[commit]
        found = self._gone_on(repository, commit, limited)
        return found or self.from_genesis(repository, commit, settles=True, limited=limited)

    def from_genesis(
        self, repository: Repository, commit: Oid | None, *, settles: bool = False, limited: bool = False
    ) -> Ledger:
        """The same, read as a whole; not settled, all of it stays to be judged anew: for what lies beneath a snapshot."""
        ledger = Ledger(self._ledger_id)
        ledger.settles = settles
        if commit is not None:
            ledger.read(self._changes(repository, None, commit, limited))
        return ledger

    def _gone_on(self, repository: Repository, commit: Oid, limited: bool) -> Ledger | None:
        """Read on from the newest ledger beneath; None where there is none, or all must be read again."""
        for known in reversed(self._known):
            if repository.has(known) and repository.descends(commit, known):
                ledger = self._known[known].fork()
                reading = ledger.read(self._changes(repository, known, commit, limited))
                return ledger if reading.deeper is None else None
        return None

    def _changes(self, repository: Repository, old: Oid | None, new: Oid, limited: bool) -> list[Change]:
        items = repository.changes(old, new)
        changes = [item for item in (bounded(items) if limited else items) if isinstance(item, Change)]
        self._new_bytes += sum(len(item.new or b"") for item in changes)
        return changes

    # The snapshot: a digest, a newline, and what was written down.

    def _restored(self, repository: Repository) -> dict[Oid, Ledger]:
        with contextlib.suppress(Exception):  # whatever is wrong with a cache, it counts as absent
            digest, _, data = self._file.read_bytes().partition(b"\n")
            kept = orjson.loads(data)
            trunk = str(kept["trunk"])
            ours = kept["version"] == __version__ and self._ledger_id in (None, kept["ledger"])
            sound = _digest(data) == digest and ours and repository.has(trunk)
            if sound and (ledger := restored(repository, kept)) is not None:
                self._kept_bytes = len(data)
                return {trunk: ledger}
        return {}

    def keep(self) -> None:
        """Write the snapshot, where it has grown old enough. A disk that says no costs time, and nothing else."""
        if not self._known or (self._kept_bytes or 0) > self._new_bytes * KEPT_SHARE:
            return
        tip, ledger = next(reversed(self._known.items()))
        data = orjson.dumps({"version": __version__, **written(ledger, tip)})
        with contextlib.suppress(MeshFault):
            atomic_write(self._file, _digest(data) + b"\n" + data)
            self._kept_bytes, self._new_bytes = len(data), 0


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode()


def bounded(items: Iterable[Change | Flaw]) -> Iterator[Change | Flaw]:
    """The same items, as long as they are not too much.

    Raises:
        TooMuchError: they are.
    """
    size = lines = 0
    for item in items:
        if isinstance(item, Change) and item.new:
            count = item.new.count(b"\n") - (item.old or b"").count(b"\n")
            size, lines = size + len(item.new), lines + max(0, count)
            if size > MAX_READ_BYTES or lines > MAX_READ_LINES or count > MAX_FILE_LINES:
                raise TooMuchError(item.path)
        yield item
