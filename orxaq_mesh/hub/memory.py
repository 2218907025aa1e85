"""The verified trunk, from one push to the next, so that judging a push costs what is new in it.

Knows: the ledger as it was read last, and the snapshot `mesh/snapshot.json` of it.
Knows not: what is pushed: only a commit that the trunk stood at is ever remembered.
Law CACHE: the snapshot may be deleted, damaged or old at any moment; then the trunk is read again, from genesis at worst.

    memory = Memory(hub, None)
    memory.at(repository, tip)        # the verified Ledger of that commit
    memory.keep()
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import orjson

from orxaq_mesh import __version__, fold
from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.files import atomic_write, read_json_cache
from orxaq_mesh.hub.settings import FOLDER
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.store import Change, Oid
from orxaq_mesh.store.repository import Repository

FILE = "snapshot.json"
KEPT_SHARE = 8
"""A snapshot is written anew when what was read since has an eighth of its bytes: so that writing stays cheap."""


class Memory:
    """What a hub knows of its own trunk.

    Args:
        hub: the bare repository.
        ledger_id: the only ledger that it may hold; None: whatever is founded there.
    """

    def __init__(self, hub: Path, ledger_id: str | None) -> None:
        self._file, self._ledger_id = hub / FOLDER / FILE, ledger_id
        self._known: tuple[Oid, Ledger] | None = None
        self._kept_bytes: int | None = None
        self._new_bytes = 0

    def at(self, repository: Repository, tip: Oid | None) -> Ledger:
        """The ledger of a commit that the trunk stands at; not to be changed by the caller."""
        if tip is None:
            return Ledger(self._ledger_id)
        self._known = tip, self.of(repository, tip)
        return self._known[1]

    def of(self, repository: Repository, commit: Oid) -> Ledger:
        """The ledger of a commit that is only asked for: a trunk that arrives in the same push as what is built on it."""
        if self._known is None:
            self._known = self._restored(repository)
        if self._known is not None and self._known[0] == commit:
            return self._known[1]
        return self._gone_on(repository, commit) or self.from_genesis(repository, commit, settles=True)

    def from_genesis(self, repository: Repository, tip: Oid | None, *, settles: bool = False) -> Ledger:
        """The same, read as a whole; not settled, all of it stays to be judged anew: for what lies beneath a snapshot."""
        ledger = Ledger(self._ledger_id)
        ledger.settles = settles
        if tip is not None:
            ledger.read(self._changes(repository, None, tip))
        return ledger

    def _gone_on(self, repository: Repository, tip: Oid) -> Ledger | None:
        if self._known is None or not repository.has(self._known[0]) or not repository.descends(tip, self._known[0]):
            return None
        ledger = self._known[1].fork()
        reading = ledger.read(self._changes(repository, self._known[0], tip))
        return ledger if reading.deeper is None else None

    def _changes(self, repository: Repository, old: Oid | None, new: Oid) -> list[Change]:
        changes = [item for item in repository.changes(old, new) if isinstance(item, Change)]
        self._new_bytes += sum(len(item.new or b"") for item in changes)
        return changes

    # The snapshot.

    def _restored(self, repository: Repository) -> tuple[Oid, Ledger] | None:
        kept = read_json_cache(self._file)
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            if kept["version"] == __version__ and self._ledger_id in (None, kept["ledger"]):
                trunk, is_open = str(kept["trunk"]), kept["base"] is not None
                ledger = Ledger(kept["ledger"], fold.from_value(kept["base"] or kept["state"]), anchored=is_open)
                ledger.recall(kept["memo"])
                if is_open:  # what lies behind the base is in the repository, as it was read last
                    items = repository.changes(None, trunk, only=ledger.asks_for)
                    ledger.read(item for item in items if isinstance(item, Change))
                if ledger.state.seal == kept["state"]["seal"] and repository.has(trunk):
                    self._kept_bytes = self._file.stat().st_size
                    return trunk, ledger
        return None

    def keep(self) -> None:
        """Write the snapshot, where it has grown old enough. A disk that says no costs time, and nothing else."""
        if self._known is None or (self._kept_bytes or 0) > self._new_bytes * KEPT_SHARE:
            return
        tip, ledger = self._known
        value = {
            "version": __version__,
            "ledger": ledger.id,
            "trunk": tip,
            "state": fold.to_value(ledger.state),
            "base": fold.to_value(ledger.base) if ledger.is_open else None,
            "memo": ledger.memo(),
        }
        data = orjson.dumps(value)
        with contextlib.suppress(MeshFault):
            atomic_write(self._file, data)
            self._kept_bytes, self._new_bytes = len(data), 0
