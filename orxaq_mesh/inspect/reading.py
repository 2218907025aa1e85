"""The ledger of a home, folded anew: its history, every side of every fork.

Knows: which tip is meant, and whether each line was found good before.
Knows not: what lies elsewhere (`sources`), what the lines mean (`ledger`).

    history(mesh).state.epoch                                # as last read; no hub is needed
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple, Protocol

from orxaq_mesh.errors import InvalidLedger, Usage
from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect.sources import sort_out
from orxaq_mesh.kinds import State
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.record import Record, Seal
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change

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
    ledger = whole(ledger_id)
    ledger.signatures = "none" if verified else "heads"
    return past_of(ledger, ledger.read(files))


def whole(ledger_id: str | None = None) -> Ledger:
    """A ledger that lets nothing go: every side of every fork stays to be looked at, and who had a vote."""
    ledger = Ledger(ledger_id)
    ledger.settles, ledger.spine.voters = False, {}
    return ledger


def past_of(ledger: Ledger, read: Reading) -> History:
    """The history that a `whole` ledger has read at once."""
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
