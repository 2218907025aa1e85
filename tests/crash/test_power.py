"""A power cut at every change that a journal and a node make to a disk (laws CHAIN, SEAL, CACHE, ONCE; trap C28)."""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh.errors import MeshError, MeshFault
from orxaq_mesh.home import journal_lines as lines
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.sync import performer
from tests.crash.disk import Crash, Disk, Everything, Loss, Nothing, Some, Torn
from tests.crash.node import Fleet

FIRST = {"type": "identity", "node": "oak"}
KEY = "the-one"
ALL = os.environ.get("MESH_CRASH_POINTS") == "all"


def entry(seq: int) -> dict[str, Any]:
    return {"seq": seq, "line": "\u00fc" * (seq % 3)}


def dies(disk: Disk, number: int, deed: Callable[[], object]) -> bool:
    """Whether a deed came as far as its `number`-th change, and ended there."""
    disk.crash_at = number
    try:
        deed()
    except Crash:
        return True
    return False


class Writer:
    """Who keeps a journal, and knows what was acknowledged to it.

    Attributes:
        acknowledged: the entries that the journal reported as being on the medium.
        asked: those that it holds if what was under way is counted too.
    """

    def __init__(self, disk: Disk) -> None:
        self.disk, self.path = disk, disk.folder / "journal.ndjson"
        self.acknowledged: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []

    def work(self) -> None:
        """A life of a journal: made, added to, compacted, added to."""
        self._do([FIRST], lambda: Journal.create(self.path, [FIRST]))
        for seqs in ([1], [2, 3], [4]):
            self._append(*map(entry, seqs))
        kept = [FIRST, entry(4)]
        self._do(kept, lambda: Journal.open(self.path).rewrite(kept))
        self._append(entry(5))

    def _append(self, *entries: dict[str, Any]) -> None:
        journal = Journal.open(self.path)
        assert journal.entries == self.acknowledged
        self._do([*journal.entries, *entries], lambda: journal.append(*entries))

    def _do(self, entries: list[dict[str, Any]], deed: Callable[[], object]) -> None:
        self.asked = entries
        deed()
        self.acknowledged = entries

    def goes_on(self) -> None:
        """After a crash: what was acknowledged is there, what was not is there whole or not at all; and on it goes."""
        if not self.acknowledged and not self.path.exists():
            self._do([FIRST], lambda: Journal.create(self.path, [FIRST]))
            return
        journal, data = Journal.open(self.path), self.path.read_bytes()
        assert journal.entries in (self.acknowledged, self.asked)
        said = journal.settle()
        assert lines.read(self.disk.durable(self.path.name))[0] == journal.entries, "what is settled is on the medium"
        assert (said is not None) == (journal.size < len(data)), "what is dropped is said"
        if said is not None:
            (aside,) = self.path.parent.glob("journal.torn-*")
            assert aside.name in said
            assert aside.read_bytes() == data[journal.size :], "and kept"
        self.acknowledged = journal.entries
        self._append(entry(9))


def losses(disk: Disk) -> Iterator[Loss | None]:
    """Ways to end: killed, the plain power cuts, each tear of the last append, and some cuts by chance."""
    yield from (None, Everything(), Nothing())
    for kept in range(len(disk.last_append) + 1):
        yield Torn(kept)
        yield Torn(kept, zeros=True)
    yield from (Some(random.Random(f"{disk.count} {seed}")) for seed in range(6))


def journal_outlives_power_cuts(folder: Path) -> int:
    """Every change that a journal makes, every loss there; how many were tried."""
    tried = 0
    for number in itertools.count(1):
        left: list[Loss | None] | None = None
        while left is None or left:
            place = folder / f"{tried}"
            place.mkdir()
            with Disk(place) as disk:
                writer = Writer(disk)
                if not dies(disk, number, writer.work):
                    return tried
                left = list(losses(disk)) if left is None else left
                loss, where = left.pop(), disk.died
                try:
                    disk.restart(loss)
                    writer.goes_on()
                    disk.restart(Everything())
                    assert Journal.open(writer.path).entries == writer.acknowledged, "what was acknowledged stays"
                except (AssertionError, MeshFault) as error:
                    raise AssertionError(f"{where}, {loss}") from error
            tried += 1
    return tried


def test_CHAIN_a_journal_outlives_a_power_cut_at_every_change_that_it_makes(tmp_path: Path) -> None:
    assert journal_outlives_power_cuts(tmp_path) > 500


def publish(fleet: Fleet) -> str:
    """oak's request that is one record however often it is repeated; the record's id."""
    return str(fleet.oak.publish("builds", "done", {"n": 17}, once=KEY).record)


def goes_on(fleet: Fleet) -> None:
    """oak starts again; the one request is one record, a later cut takes nothing of it, and both nodes converge."""
    fleet.look()
    record = publish(fleet)
    fleet.disk.restart(Everything())
    fleet.oak.publish("builds", "later", {})
    fleet.look()
    assert [line["id"] for line in fleet.trunk() if line.get("body", {}).get("once") == KEY] == [record]
    fleet.converged()


def node_outlives_power_cuts(fleet: Fleet) -> int:
    """Every change that a publish makes to disk and hub, some losses at each; how many were tried."""
    tried = 0
    for number in itertools.count(1):
        ends: list[Loss | None] = [None, Everything(), Torn(7 * number, zeros=number % 2 == 0)]
        ends += [Some(random.Random(f"{number} {seed}")) for seed in range(40 if ALL else 1)]
        for loss in ends:
            fleet.reset()
            if not dies(fleet.disk, number, lambda: publish(fleet)):
                return tried
            where = fleet.disk.died
            fleet.disk.restart(loss)
            fleet.forget(git=number % 2 == 0)
            try:
                goes_on(fleet)
            except (AssertionError, MeshError) as error:
                raise AssertionError(f"{where}, {loss}") from error
            tried += 1
    return tried


def test_CHAIN_a_node_outlives_a_power_cut_at_every_change_of_a_publish(fleet: Fleet) -> None:
    assert node_outlives_power_cuts(fleet) > 80


def node_outlives_kill_and_power_cut(fleet: Fleet) -> int:
    """Killed at the journal, and where the next process stands a power cut takes what the first one did not sync."""
    tried = 0
    for first in itertools.count(1):
        for second in itertools.count(1 + first % 2, 1 if ALL else 2):
            fleet.reset()
            if not dies(fleet.disk, first, lambda: publish(fleet)):
                return tried
            where = fleet.disk.died
            if not ALL and "journal" not in where and "push" not in where and fleet.disk.last_file != "journal.ndjson":
                break
            fleet.disk.restart()
            if not dies(fleet.disk, second, fleet.oak.sync):
                break
            where += f", then {fleet.disk.died}"
            fleet.disk.restart(Everything())
            try:
                goes_on(fleet)
            except (AssertionError, MeshError) as error:
                raise AssertionError(where) from error
            tried += 1
    return tried


def test_CHAIN_what_a_killed_process_did_not_sync_is_synced_before_it_is_pushed(fleet: Fleet) -> None:
    assert node_outlives_kill_and_power_cut(fleet) > 40


class Life:
    """A node's life by chance: events, leases, losses, others at work, crash after crash; its journal compacted often."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self.fleet, self.chance = fleet, random.Random(seed)
        self.reported: set[str] = set()
        self.told: list[str] = []
        self.keys = 0
        self.rotating = False

    def live(self, steps: int) -> None:
        for _ in range(steps):
            deed = self.chance.choice(5 * [self._event] + 2 * [self._lease, self._other] + [self._rotate])
            deed = self._rotate if self.rotating else deed  # who was killed in it finishes it first
            number = self.chance.randrange(1, 60) if self.chance.random() < 0.6 else 0
            self.fleet.hub.lose_answer = self.chance.random() < 0.2
            if dies(self.fleet.disk, number, deed):
                self.told.append(f"died {self.fleet.disk.died}")
                self._restart()
            self.fleet.disk.crash_at = 0
            self.fleet.look()

    def _restart(self) -> None:
        loss = self.chance.choice((None, Everything(), Nothing(), Torn(self.chance.randrange(900)), Some(self.chance)))
        self.fleet.disk.restart(loss)
        self.fleet.forget(git=self.chance.random() < 0.3)
        self.told.append(f"restarts after {type(loss).__name__}")

    def _event(self) -> None:
        self.keys += self.chance.random() < 0.7  # else the last request once more
        key = f"key-{self.keys}"
        self.told.append(f"publishes {key}")
        assert self.fleet.oak.publish("builds", "done", {"of": key}, once=key).verdict == "applied"
        self.reported.add(key)

    def _lease(self) -> None:
        self.told.append("a lease")
        oak = self.fleet.oak
        if oak.acquire("deploy", 600_000).verdict == "applied":
            assert oak.release("deploy").verdict == "applied"
        else:
            oak.release("deploy")

    def _rotate(self) -> None:
        self.told.append("another key")
        self.rotating = True
        assert self.fleet.oak.rotate().verdict == "applied"
        self.rotating = False

    def _other(self) -> None:
        self.told.append("elm publishes")
        self.fleet.elm.publish("builds", "seen", {})

    def ends(self) -> None:
        """What was reported stays; what was asked for is there once, or not at all."""
        if self.rotating:
            self._rotate()
        self.fleet.oak.sync()
        once = [line["body"]["once"] for line in self.fleet.trunk() if "once" in line.get("body", {})]
        assert len(once) == len(set(once))
        assert self.reported <= set(once)
        self.fleet.converged()


@pytest.mark.parametrize("seed", range(200 if ALL else 6))
def test_CHAIN_a_life_of_crashes_uses_no_seq_twice(fleet: Fleet, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performer, "MAX_JOURNAL_BYTES", 6000)
    life = Life(fleet, seed)
    try:
        life.live(40)
        life.ends()
    except (AssertionError, MeshError) as error:
        raise AssertionError("\n".join(life.told)) from error


def founding_outlives_power_cuts(folder: Path) -> int:
    """Every change that `mesh init` makes, some losses at each; how many were tried."""
    tried = 0
    for number in itertools.count(1):
        for loss in (None, Everything() if number % 2 else Some(random.Random(number))):
            with Fleet(folder / f"{tried}") as fleet:
                if not dies(fleet.disk, number, fleet.init):
                    return tried
                tried += 1
                where = f"{fleet.disk.died}, {loss}"
                fleet.disk.restart(loss)
                try:
                    fleet.found()
                    fleet.look()
                    fleet.converged()
                except (AssertionError, MeshError) as error:
                    raise AssertionError(where) from error
    return tried


def test_CLOSED_a_founding_goes_on_after_a_power_cut_at_every_change(tmp_path: Path) -> None:
    assert founding_outlives_power_cuts(tmp_path) > 50
