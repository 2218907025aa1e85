"""States of the past: the further back the fewer, and whatever becomes of them costs time alone (law CACHE)."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import State
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.store.reader import Reader
from orxaq_mesh.sync.ladder import THIN, Ladder
from tests.builder import Trunk
from tests.hubs import bare

LEDGER = "ab" * 32


def state(epoch: int, records: int) -> State:
    made = kinds.new_state()
    made.ledger, made.epoch, made.records = LEDGER, epoch, records
    made.seal = f"{epoch:064}"
    return made


def climbed(folder: Path, epochs: list[int], step: int = 100) -> Ladder:
    """A ladder that was climbed one rung at a time."""
    ladder = Ladder(folder, LEDGER)
    for epoch in epochs:
        ladder.climb([state(epoch, epoch * step)])
    return ladder


def kept(folder: Path) -> list[int]:
    """The epochs of the rungs that are left."""
    return sorted(int(path.name.split("-")[0]) for path in folder.iterdir())


def test_CACHE_what_is_kept_is_handed_out_by_epoch(tmp_path: Path) -> None:
    rungs = [state(10, 1000), state(20, 2000)]
    ladder = Ladder(tmp_path / "ladder", LEDGER)
    ladder.climb(rungs)
    assert rungs == []
    found = ladder.below(20)
    assert (found and (found.epoch, found.records, found.seal)) == (20, 2000, f"{20:064}")
    older = ladder.below(19)
    assert (older and older.epoch) == 10
    assert kept(tmp_path / "ladder") == [10]  # the younger may lie on a side that was left
    assert ladder.below(9) is None
    assert kept(tmp_path / "ladder") == []


def test_CACHE_a_ladder_of_another_ledger_is_none(tmp_path: Path) -> None:
    climbed(tmp_path, [10, 20])
    assert Ladder(tmp_path, "cd" * 32).below(99) is None
    assert Ladder(tmp_path / "nowhere", LEDGER).below(99) is None
    Ladder(tmp_path / "nowhere", LEDGER).climb([])
    assert not (tmp_path / "nowhere").exists()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60))
def test_CACHE_two_rungs_are_at_most_a_quarter_of_their_depth_apart(steps: list[int]) -> None:
    folder = Path(os.environ["HOME"]) / "ladder"
    shutil.rmtree(folder, ignore_errors=True)
    epochs = [sum(steps[: number + 1]) for number in range(len(steps))]
    climbed(folder, epochs, step=1)
    left = kept(folder)
    assert left[0] == epochs[0]
    assert left[-1] == epochs[-1]
    for low, high in pairwise(left):
        assert high - low <= max((epochs[-1] - low) // THIN, epochs[epochs.index(low) + 1] - low)
    for low, high in zip(left, left[2:], strict=False):
        assert high - low > (epochs[-1] - low) // THIN  # none could go: the further back, the fewer


def test_CACHE_a_long_ladder_has_few_rungs(tmp_path: Path) -> None:
    climbed(tmp_path, list(range(1, 301)))
    assert len(kept(tmp_path)) < 40


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda raw: b"",
    "cut off": lambda raw: raw[: len(raw) // 2],
    "binary": lambda raw: bytes(range(256)),
    "no object": lambda raw: b"[]",
    "no state": lambda raw: orjson.dumps({"ledger": LEDGER}),
    "another ledger": lambda raw: raw.replace(LEDGER.encode(), b"0" * 64),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_CACHE_a_damaged_rung_is_as_good_as_none(tmp_path: Path, damage: str) -> None:
    ladder = climbed(tmp_path, [10, 20])
    (newest,) = tmp_path.glob("*20-*")
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    (tmp_path / "0000000030-.json").write_bytes(b"no number")
    found = ladder.below(25)
    assert (found and found.epoch) == 10


def spoil(value: Any, dice: random.Random) -> Any:
    """The value with one thing in it replaced."""
    if isinstance(value, dict) and value and dice.random() < 0.9:
        key = dice.choice(sorted(value))
        return {**value, key: spoil(value[key], dice)}
    if isinstance(value, list) and value and dice.random() < 0.9:
        at = dice.randrange(len(value))
        return [*value[:at], spoil(value[at], dice), *value[at + 1 :]]
    return dice.choice([None, 0, -1, "", "x", [], {}, [[]], {"x": 1}, 1.5, True])


def test_CACHE_a_rung_of_any_shape_stops_nobody(tmp_path: Path) -> None:
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    trunk.seal(elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=60_000, until=99))
    value = {"ledger": LEDGER, "state": fold.to_value(trunk.ledger.state)}
    dice = random.Random(1)
    for _ in range(300):
        (tmp_path / "0000000010-0000000010.json").write_bytes(orjson.dumps(spoil(value, dice)))
        Ladder(tmp_path, LEDGER).below(10)


# A fork far back.


class Deep:
    """A node at a long ledger, and another hub where a fork begins behind most of it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("orxaq_mesh.spine.RUNG_RECORDS", 100)
        self.folder, self._patch = folder, monkeypatch
        trunk = Trunk.founded()
        elm, ash = trunk.admit("elm"), trunk.admit("ash")
        grow(trunk, elm, 30)
        self.parent = trunk.ledger.state.epoch
        side = Trunk()
        side.files, side.pens = dict(trunk.files), {"oak": trunk.oak, "ash": trunk.pens.pop("ash")}
        side.ledger, _ = trunk.read_anew()
        for number in range(5):
            trunk.seal(elm.write("event.publish", topic="near", type="x", payload=number), by=elm)
        near, far = self.hub("near", trunk), self.hub("far", side)
        self.node = Mesh.open(str(folder / "node"), hub=str(near))
        self.node.join(str(near), "fir", str(trunk.ledger.id))
        self.near, self.far, self.side, self.ash = near, far, side, ash

    def hub(self, name: str, trunk: Trunk) -> Path:
        path = bare(self.folder / f"{name}.git")
        store = GitStore(self.folder / f"{name}-store", str(path), environ=os.environ)
        store.push("mesh", None, store.commit(None, trunk.files, [], "mesh: a ledger", 1))
        store.close()
        return path

    @property
    def ladder(self) -> Path:
        return self.node.home.cache / "ladder"

    def reconciled(self) -> tuple[tuple[Any, ...], int]:
        """What comes of uniting with a far hub on which ash, and oak's record, went another way; blobs read for it."""
        for number in range(5):
            self.side.seal(self.ash.write("event.publish", topic="far", type="x", payload=number), by=self.ash)
        self.side.seal(self.side.oak.write("event.publish", topic="far", type="x", payload={}), by=self.ash)
        far = self.hub("far-later", self.side)
        count = 0
        blob = Reader.blob

        def counted(reader: Reader, oid: str) -> bytes:
            nonlocal count
            count += 1
            return blob(reader, oid)

        self._patch.setattr(Reader, "blob", counted)
        united = self.node.reconcile(str(far))
        self._patch.setattr(Reader, "blob", blob)
        assert united.moved
        assert united.left > 0  # the side with two voters goes on
        state = self.node.history().state
        assert (state.seal, state.digest) == (united.seal, united.state)
        return (united.epoch, united.left, united.waiting), count


def grow(trunk: Trunk, elm: Any, epochs: int) -> None:
    for number in range(epochs):
        trunk.seal(*(elm.write("event.publish", topic="t", type="x", payload=number) for _ in range(40)))


def test_CACHE_a_fork_far_back_is_folded_from_a_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Deep(tmp_path / "with", monkeypatch)
    rungs = kept(deep.ladder)
    assert rungs
    assert rungs[-1] <= deep.parent + 5
    came, blobs = deep.reconciled()
    assert kept(deep.ladder) == [epoch for epoch in rungs if epoch <= deep.parent]
    anew = Deep(tmp_path / "without", monkeypatch)
    shutil.rmtree(anew.ladder)
    told, all_blobs = anew.reconciled()
    assert told == came
    assert blobs < all_blobs / 2


def test_CACHE_a_damaged_ladder_changes_nothing_but_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Deep(tmp_path, monkeypatch)
    for path in deep.ladder.iterdir():
        path.write_bytes(path.read_bytes()[:-100])
    (_, left, _), _ = deep.reconciled()
    assert left == 5
    assert deep.node.verify().ok
