"""A snapshot saves time, and never says anything of its own (law CACHE)."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from orxaq_mesh import fold
from orxaq_mesh.home.anchor import keep, ledger_at, read_whole
from orxaq_mesh.store import Oid
from orxaq_mesh.store.memory import MemoryHub, MemoryStore
from tests.builder import Trunk


class Counting(MemoryStore):
    """A store that says how many files were asked for."""

    def __init__(self) -> None:
        super().__init__(MemoryHub())
        self.asked: list[tuple[Oid | None, Oid]] = []

    def changes(self, old, new, under="ledger", only=None):  # type: ignore[no-untyped-def]
        self.asked.append((old, new))
        return super().changes(old, new, under, only)


class Past:
    """A trunk, and a commit for each of its epochs."""

    def __init__(self) -> None:
        self.store, self.trunk, self.tips = Counting(), Trunk.founded(), list[Oid]()
        self.commit()
        self.elm = self.trunk.admit("elm")
        self.commit()

    def commit(self, files: dict[str, bytes] | None = None, base: Oid | None = None) -> Oid:
        parents = [base] if base else self.tips[-1:]
        tip = self.store.commit(None, files or self.trunk.files, parents, "epoch", len(self.tips))
        self.tips.append(tip)
        return tip

    def go_on(self, epochs: int = 1) -> Oid:
        for _ in range(epochs):
            self.trunk.seal(self.wish())
            self.commit()
        return self.tips[-1]

    def wish(self):  # type: ignore[no-untyped-def]
        until = self.trunk.ledger.state.epoch + 16
        return self.elm.write("lease.acquire", lease=f"l{len(self.tips)}", session="s", ttl_ms=60_000, until=until)


@pytest.fixture
def past() -> Past:
    return Past()


def test_CACHE_a_ledger_goes_on_from_a_snapshot_to_the_same_state(past: Past, tmp_path: Path) -> None:
    kept = past.go_on()
    file = tmp_path / "anchor.json"
    keep(file, ledger_at(past.store, kept), kept)
    tip = past.go_on(2)
    past.store.asked.clear()
    resumed, anew = ledger_at(past.store, tip, [file]), ledger_at(past.store, tip)
    assert past.store.asked == [(kept, tip), (None, tip)]
    assert fold.snapshot(resumed.state) == fold.snapshot(anew.state) == fold.snapshot(past.trunk.ledger.state)
    assert resumed.waiting.keys() == anew.waiting.keys()


def test_CACHE_records_that_wait_in_the_tree_wait_after_a_snapshot_too(past: Past, tmp_path: Path) -> None:
    wish = past.wish()
    past.trunk.push([wish])
    tip = past.commit()
    file = tmp_path / "anchor.json"
    keep(file, ledger_at(past.store, tip), tip)
    assert [*ledger_at(past.store, tip, [file]).waiting] == [wish.id]


def test_CACHE_a_snapshot_of_a_commit_that_the_asked_one_does_not_descend_from_is_passed_over(
    past: Past, tmp_path: Path
) -> None:
    fork = past.tips[-1]
    newer = past.go_on()
    file = tmp_path / "anchor.json"
    keep(file, ledger_at(past.store, newer), newer)
    older = ledger_at(past.store, fork, [file])
    assert older.state.epoch == ledger_at(past.store, newer).state.epoch - 1


@pytest.mark.parametrize("name", ["trunk", "ledger", "state", "base", "memo", "version"])
@pytest.mark.parametrize("value", [None, 7, "x" * 40, {}, []])
def test_CACHE_a_damaged_snapshot_is_as_if_absent(past: Past, tmp_path: Path, name: str, value: object) -> None:
    tip = past.go_on()
    file = tmp_path / "anchor.json"
    keep(file, ledger_at(past.store, tip), tip)
    spoilt = orjson.loads(file.read_bytes())
    spoilt[name] = [value] if spoilt[name] == value else value
    file.write_bytes(orjson.dumps(spoilt))
    again = ledger_at(past.store, tip, [file, tmp_path / "none.json"])
    assert fold.snapshot(again.state) == fold.snapshot(past.trunk.ledger.state)


def test_CACHE_bytes_that_are_no_snapshot_are_as_if_absent(past: Past, tmp_path: Path) -> None:
    file = tmp_path / "anchor.json"
    for data in (b"", b"{", b"[]", b"7", b"\xff" * 9):
        file.write_bytes(data)
        assert ledger_at(past.store, past.tips[-1], [file]).state.epoch == past.trunk.ledger.state.epoch


def test_CACHE_what_was_read_is_kept_where_it_is_new(past: Past, tmp_path: Path) -> None:
    file, tip = tmp_path / "folder" / "anchor.json", past.go_on()
    ledger_at(past.store, tip, kept_at=file)
    written = file.read_bytes()
    past.store.asked.clear()
    ledger_at(past.store, tip, kept_at=file)
    assert past.store.asked == []
    assert file.read_bytes() == written
    newer = past.go_on()
    ledger_at(past.store, newer, [tmp_path / "none"], kept_at=file)
    assert past.store.asked == [(tip, newer)]
    assert orjson.loads(file.read_bytes())["trunk"] == newer


def test_CACHE_a_disk_that_says_no_costs_time_only(past: Past, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert ledger_at(past.store, past.tips[-1], kept_at=tmp_path / "file" / "anchor.json").state.epoch


def test_FORK_a_ledger_that_does_not_settle_can_be_judged_anew_from_genesis(past: Past) -> None:
    assert read_whole(past.store, past.tips[-1]).base.epoch
    assert not read_whole(past.store, past.tips[-1], settles=False).base.epoch
