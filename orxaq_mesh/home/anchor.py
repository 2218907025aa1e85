"""A verified ledger at one commit, from a snapshot kept near it: so that cost follows what is new (law CACHE).

Knows: what a snapshot says and how a ledger goes on from it; the file of one, when it is not to be trusted.
Knows not: what a ledger means, where objects lie (a `Source` has them), who asks (a node, a review, a hub's hook).

A snapshot belongs to one commit of one ledger, made by this version. It is gone on from only where the asked commit
is that one or descends from it; else, or where it is damaged, or what came lies beneath it, all is read from genesis.

    ledger = ledger_at(repository, tip, kept_at=folder / "anchor.json")
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from orxaq_mesh import __version__, fold
from orxaq_mesh.errors import MeshFault
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


def ledger_at(source: Source, tip: Oid, snapshots: Iterable[Path] = (), kept_at: Path | None = None) -> Ledger:
    """The ledger that has read a commit, its lines verified; what is wrong with them is in `flaws`.

    Args:
        source: where the commit is.
        tip: the commit.
        snapshots: files that may hold one, the best first; what does not fit is passed over.
        kept_at: where to keep what was read, if it is not there already; a disk that says no costs time, no more.
    """
    with undisturbed():
        for path in (*([kept_at] if kept_at else []), *snapshots):
            found = None
            with contextlib.suppress(*_DAMAGED):
                found = _gone_on(source, tip, read_json_cache(path))
            if found is not None:
                ledger, commit = found
                if kept_at and (commit != tip or path != kept_at):
                    _keep(kept_at, ledger, tip)
                return ledger
        ledger = read_whole(source, tip)
    if kept_at and ledger.state.epoch:
        _keep(kept_at, ledger, tip)
    return ledger


def read_whole(source: Source, tip: Oid, *, settles: bool = True) -> Ledger:
    """The ledger that has read a commit from genesis on.

    Args:
        source: where the commit is.
        tip: the commit.
        settles: whether what is decided is let go; else all can still be judged anew.
    """
    ledger = Ledger()
    ledger.settles = settles
    ledger.read(_files(source.changes(None, tip)))
    return ledger


def _gone_on(source: Source, tip: Oid, kept: Any) -> tuple[Ledger, Oid] | None:
    """A ledger that goes on from a snapshot, and the snapshot's commit; None where it does not belong here."""
    if not isinstance(kept, dict) or kept.get("version", __version__) != __version__:
        return None
    commit = kept["trunk"]
    if kept["ledger"] is None or not source.has(commit) or not source.descends(tip, commit):
        return None
    ledger = restored(source, kept)
    if ledger is not None and commit != tip:
        reading = ledger.read(_files(source.changes(commit, tip)))
        ledger = ledger if reading.deeper is None else None
    return (ledger, commit) if ledger is not None else None


def restored(source: Source, kept: Mapping[str, Any]) -> Ledger | None:
    """The ledger that `written` wrote down; None where it does not come to the state that it came to then.

    Args:
        source: where the commit is.
        kept: what was written down.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, IndexError: these are no such values.
        MeshError: objects of that commit are not here, or malformed.
    """
    is_open = kept["base"] is not None
    ledger = Ledger(kept["ledger"], fold.from_value(kept["base"] if is_open else kept["state"]), anchored=is_open)
    ledger.recall(kept["memo"])
    if is_open:  # what lies behind the base is in the objects of that commit
        ledger.read(_files(source.changes(None, kept["trunk"], only=ledger.asks_for)))
    return ledger if ledger.state.seal == kept["state"]["seal"] else None


def _files(items: Iterable[Change | Flaw]) -> Iterator[Change]:
    return (item for item in items if isinstance(item, Change))


def _keep(path: Path, ledger: Ledger, tip: Oid) -> None:
    with contextlib.suppress(MeshFault):
        keep(path, ledger, tip)


def keep(path: Path, ledger: Ledger, tip: Oid) -> None:
    """Write down a ledger that has read a commit, for the next time.

    Raises:
        MeshFault: the disk said no; what was kept before stands.
    """
    import orjson

    atomic_write(path, orjson.dumps({"version": __version__, **written(ledger, tip)}))


def written(ledger: Ledger, tip: Oid) -> dict[str, Any]:
    """A ledger that has read a commit, as JSON-able values."""
    return {
        "ledger": ledger.id,
        "trunk": tip,
        "state": fold.to_value(ledger.state),
        "base": fold.to_value(ledger.base) if ledger.is_open else None,
        "memo": ledger.memo(),
    }
