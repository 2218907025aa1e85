"""Appending to a long ledger against appending to a short one: time, and bytes written."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.home.place import Home
from orxaq_mesh.sync.performer import Performer
from tests.hubs import Hub, file_hub
from tools.bench.ledgers import Built, build
from tools.bench.publishing import publish, running
from tools.bench.rows import Row, interleaved
from tools.bench.starting import shell


class Bench(NamedTuple):
    """A node at work on a ledger, and its hub."""

    performer: Performer
    hub: Hub

    def append(self) -> None:
        """What mesh-sync does for one event: publish it, and keep the new state."""
        publish(self.performer, {"n": 1, "version": "1.4.2"})
        self.performer.keep()

    def append_cold(self) -> None:
        shell(self.performer.home.path, "publish", "builds", "finished")

    def size(self) -> int:
        """Bytes in the store, at the hub and in the journal."""
        home = self.performer.home
        return _size(home.store) + _size(self.hub.path) + home.journal.stat().st_size

    def written(self) -> float:
        """Bytes that an append writes: what grew, and the snapshot, which is written anew."""
        before, rounds = self.size(), 5
        for _ in range(rounds):
            self.append()
        return (self.size() - before) / rounds + _size(self.performer.home.cache)


def append_rows(quick: bool) -> Iterator[Row]:
    """A running node, its bytes, and a cold command."""
    ledgers = [build(10_000 if quick else 100_000), build(1_000)]
    sizes = ["10,000" if quick else "100,000", "1,000"]
    rounds = 5 if quick else 15
    with ExitStack() as stack:
        long, short = (_bench(stack, built) for built in ledgers)
        interleaved(3, long.append, short.append)
        mine, against = interleaved(rounds, long.append, short.append)
        wrote, wrote_short = long.written() / 1000, short.written() / 1000
        cold: list[Callable[[], None]] = [long.append_cold, short.append_cold]
        interleaved(1, *cold)
        mine_cold, against_cold = interleaved(rounds, *cold)
    where = f"the same on {sizes[1]} records"
    yield Row("append", f"append to {sizes[0]} records, running", mine, where, against, bar=1.3)
    yield Row("append", f"append to {sizes[0]} records, cold command", mine_cold, where, against_cold, bar=1.3)
    yield Row("append", f"bytes an append to {sizes[0]} records writes", wrote, where, wrote_short, unit="KB", bar=2)


def _bench(stack: ExitStack, built: Built) -> Bench:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    hub = stack.enter_context(file_hub(folder))
    home = built.at_hub(hub, Home(folder / "elm"))
    return Bench(stack.enter_context(running(home)), hub)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
