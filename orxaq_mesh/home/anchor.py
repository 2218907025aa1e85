"""A verified ledger at one commit, from a snapshot kept near it: so that cost follows what is new (law CACHE).

Knows: the file of a snapshot, to which commit it belongs, when it is not to be trusted.
Knows not: what a ledger means, where objects lie (a `Source` has them), who asks (a review, a hub's hook).

A snapshot belongs to one commit of one ledger, made by this version. It is gone on from only where the asked commit
is that one or descends from it; else, or where it is damaged, or what came lies beneath it, all is read from genesis.

    ledger = ledger_at(repository, tip, [folder / "anchor.json"])
    keep(folder / "anchor.json", ledger, tip)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from orxaq_mesh import __version__, fold
from orxaq_mesh.home.files import atomic_write, read_json_cache
from orxaq_mesh.home.process import undisturbed
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.store import Change, Flaw, Oid, Wanted

_DAMAGED = (KeyError, TypeError, ValueError, AttributeError, IndexError)


class Source(Protocol):
    """Commits, and what differs between two of them: `Repository` is one, and every `Store`."""

    def has(self, oid: Oid) -> bool:
        """Whether this commit is here."""

    def descends(self, new: Oid, old: Oid) -> bool:
        """Whether `old` is `new` or an ancestor of it."""

    def changes(self, old: Oid | None, new: Oid, *, only: Wanted | None = None) -> Iterator[Change | Flaw]:
        """The files that differ."""


def ledger_at(source: Source, tip: Oid, snapshots: Iterable[Path] = (), ledger_id: str | None = None) -> Ledger:
    """The ledger that has read a commit, its lines verified; what is wrong with them is in `flaws`.

    Args:
        source: where the commit is.
        tip: the commit.
        snapshots: files that may hold one, the best first; what does not fit is passed over.
        ledger_id: whose ledger it must be, 64 hex; None takes what the commit holds.
    """
    with undisturbed():
        for path in snapshots:
            with contextlib.suppress(*_DAMAGED):
                ledger = _gone_on(source, tip, read_json_cache(path), ledger_id)
                if ledger is not None:
                    return ledger
        ledger = Ledger(ledger_id)
        ledger.read(_files(source.changes(None, tip)))
    return ledger


def _gone_on(source: Source, tip: Oid, kept: Any, ledger_id: str | None) -> Ledger | None:
    """A ledger that goes on from a snapshot; None where it does not belong here."""
    if not isinstance(kept, dict) or kept.get("version", __version__) != __version__:
        return None
    known, commit = kept["ledger"], kept["trunk"]
    if known is None or ledger_id not in (None, known) or not source.has(commit) or not source.descends(tip, commit):
        return None
    ledger = _restored(source, kept)
    if ledger is None or commit == tip:
        return ledger
    reading = ledger.read(_files(source.changes(commit, tip)))
    return ledger if reading.deeper is None else None


def _restored(source: Source, kept: dict[str, Any]) -> Ledger | None:
    is_open = kept["base"] is not None
    ledger = Ledger(kept["ledger"], fold.from_value(kept["base"] if is_open else kept["state"]), anchored=is_open)
    ledger.recall(kept["memo"])
    if is_open:  # what lies behind the base is in the objects of that commit
        ledger.read(_files(source.changes(None, kept["trunk"], only=ledger.asks_for)))
    return ledger if ledger.state.seal == kept["state"]["seal"] else None


def _files(items: Iterable[Change | Flaw]) -> Iterator[Change]:
    return (item for item in items if isinstance(item, Change))


def keep(path: Path, ledger: Ledger, tip: Oid) -> None:
    """Write down a ledger that has read a commit, for the next time.

    Raises:
        MeshFault: the disk said no; what was kept before stands.
    """
    import orjson

    value = {
        "version": __version__,
        "ledger": ledger.id,
        "trunk": tip,
        "state": fold.to_value(ledger.state),
        "base": fold.to_value(ledger.base) if ledger.is_open else None,
        "memo": ledger.memo(),
    }
    atomic_write(path, orjson.dumps(value))
