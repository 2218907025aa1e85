"""Verifying and folding a long ledger, in one process."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import orjson

from orxaq_mesh.home.process import undisturbed
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.store import Change
from tools.bench.ledgers import RECORDS_AN_EPOCH, Built, build
from tools.bench.rows import Row, interleaved


def fold_rows(quick: bool) -> Iterator[Row]:
    """With signatures, without, and a replay of 10,000 records."""
    big = build(10_000 if quick else 100_000)
    changes = _changes(big)
    lines = b"".join(big.files.values()).split(b"\n")[:-1]
    records = big.trunk.ledger.state.records
    full, bare, parsed = interleaved(
        2 if quick else 3, lambda: _read(changes), lambda: _read(changes, "none"), lambda: _parse(lines)
    )
    count = f"{records:,} records in epochs of {RECORDS_AN_EPOCH}"
    rate = records / full * 1000
    yield Row("fold", f"verify and fold {count}", rate, unit="records/s", bar=35_000, on_value=True, at_least=True)
    against = "orjson.loads and sha256 of the same lines"
    yield Row("fold", f"fold {count}, signatures not checked", bare, against, parsed, bar=4)
    small = changes if quick else _changes(build(10_000))
    (replayed,) = interleaved(3, lambda: _read(small))
    yield Row("fold", "replay 10,000 records", replayed, bar=500, on_value=True)


def _changes(built: Built) -> list[Change]:
    return [Change(path, None, data) for path, data in sorted(built.files.items())]


def _read(changes: list[Change], signatures: str = "heads") -> None:
    """As `mesh verify` and mesh-sync read."""
    ledger = Ledger()
    ledger.signatures = signatures
    with undisturbed():
        reading = ledger.read(changes)
    assert not reading.findings, reading.findings[:3]


def _parse(lines: list[bytes]) -> None:
    for line in lines:
        orjson.loads(line)
        hashlib.sha256(line).hexdigest()
