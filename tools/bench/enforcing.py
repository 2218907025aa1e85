"""What a hub that enforces adds to a push of 100 records, against the same push to a hub without hooks."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from orxaq_mesh.hub.making import adopt
from orxaq_mesh.hub.settings import FOLDER, HubSettings
from orxaq_mesh.store import Outcome
from orxaq_mesh.store.git import GitStore
from tests.builder import Trunk
from tests.hubs import HUBS, Hub
from tests.yard import dismiss
from tools.bench.rows import Row, took_ms

RECORDS = 100
_ROADS = {"file": "by path", "http": "over HTTP", "ssh": "over ssh"}


def enforce_rows(quick: bool) -> Iterator[Row]:
    """By path, over HTTP, over ssh; then by path where nobody stayed from the push before."""
    rounds = 4 if quick else 15
    for kind, road in _ROADS.items():
        yield _row(kind, f"what the hook adds to a push of {RECORDS} records, {road}", rounds, _nothing)
    yield _row("file", "the same by path, the first push after a pause", rounds, _forget, bar=None)


def _row(kind: str, what: str, rounds: int, before: Callable[[Path], None], bar: float | None = 1.5) -> Row:
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as one,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as other,
        HUBS[kind](Path(one)) as plain,
        HUBS[kind](Path(other)) as enforcing,
    ):
        adopt(enforcing.path, HubSettings(), os.environ)
        bare, added = _measured(plain, enforcing, rounds, before)
        dismiss(enforcing.path)
    return Row("enforce", what, added, "the same push to a bare repository without hooks", bare, bar=bar)


def _measured(plain: Hub, enforcing: Hub, rounds: int, before: Callable[[Path], None]) -> tuple[float, float]:
    """The median push without the hook, and what the hook adds to it, in ms."""
    pushing, bare, more = Pushing(plain, enforcing), list[float](), list[float]()
    try:
        for number in range(rounds + 1):
            without, with_ = pushing.epoch(number, before)
            if number:
                bare.append(without)
                more.append(with_)
    finally:
        pushing.close()
    return statistics.median(bare), statistics.median(more) - statistics.median(bare)


class Pushing:
    """One ledger that grows by a hundred records an epoch, pushed to two hubs from a store each."""

    def __init__(self, *hubs: Hub) -> None:
        self.hubs, self.trunk = hubs, Trunk.founded()
        self.elm = self.trunk.admit("elm")
        self.stores = [GitStore(hub.path.parent / "store", hub.url, environ=hub.environ()) for hub in hubs]
        self.held: dict[str, bytes] = {}
        self.tip: str | None = None
        self._push(1, _nothing)

    def epoch(self, number: int, before: Callable[[Path], None]) -> tuple[float, float]:
        """Seal a hundred events and push them; the times in ms."""
        made = [{"n": number, "of": each, "version": "1.4.2"} for each in range(RECORDS)]
        write = self.elm.write
        self.trunk.seal(*(write("event.publish", topic="builds", type="finished", payload=body) for body in made))
        without, with_ = self._push(number + 2, before)
        return without, with_

    def _push(self, at_s: int, before: Callable[[Path], None]) -> list[float]:
        files = {path: data for path, data in self.trunk.files.items() if self.held.get(path) != data}
        old, times = self.tip, []
        for hub, store in zip(self.hubs, self.stores, strict=True):
            self.tip = new = store.commit(old, files, [old] if old else [], "an epoch", at_s)

            def push(store: GitStore = store, new: str = new) -> None:
                assert store.push("mesh", old, new).outcome is Outcome.COMMITTED

            before(hub.path)
            times.append(took_ms(push))
        self.held = dict(self.trunk.files)
        return times

    def close(self) -> None:
        for store in self.stores:
            store.close()


def _nothing(hub: Path) -> None:
    """The hub stays as it is."""


def _forget(hub: Path) -> None:
    """Nobody stands by; the snapshot stays."""
    for file in (hub / FOLDER).glob("standby*"):
        file.unlink()
