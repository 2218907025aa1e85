"""Who a node is and what it remembers: the entries of its journal, read and written.

Knows: the shape of each entry.
Knows not: files (`home.journal`), decisions (`engine`).

    {"is":"identity","node":"oak","log":"oak-3f9a01c2","hub":"...","ledger":"<64 hex>","trunk":"mesh","key":"key"}
    {"is":"record","line":"..."}   {"is":"seal","line":"..."}   {"is":"seen","epoch":42,"seal":"<64 hex>"}
    {"is":"hold","lease":"deploy","session":"claude-1","record":"<64 hex>","owner":[4711,"8123","<boot id>"]}
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from orxaq_mesh.effects import Hold, Memory, Save
from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.record import NOTHING, Record, Seal
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.sync.wire import owner_of

Entry = dict[str, Any]


class Identity(NamedTuple):
    """Who this node is: what `mesh init` and `mesh join` write down, once."""

    node: str
    log: str
    hub: str
    ledger: str
    trunk: str
    key: str

    def entry(self) -> Entry:
        """The journal's first entry."""
        return {"is": "identity", **self._asdict()}


def identity_of(journal: Journal) -> Identity:
    """The identity that a journal begins with; a rotation wrote a later one.

    Raises:
        MeshFault: there is none.
    """
    for entry in reversed(journal.entries):
        if entry.get("is") == "identity":
            return Identity(*(str(entry[field]) for field in Identity._fields))
    raise MeshFault(f"{journal.path} names no node", hint="mesh init, or mesh join")


def memory_of(journal: Journal) -> Memory:
    """What the journal's entries amount to, for the engine."""
    records: list[Record] = []
    seals: list[Seal] = []
    seen, holds = (0, NOTHING), {}
    for entry in journal.entries:
        match entry["is"]:
            case "identity":
                records = []  # a new key begins a new log
            case "record":
                records.append(read_record(entry["line"].encode()))
            case "seal":
                seals.append(read_seal(entry["line"].encode()))
            case "seen":
                seen = (entry["epoch"], entry["seal"])
            case "hold":
                holds[entry["record"]] = Hold(
                    entry["lease"],
                    entry["session"],
                    entry["record"],
                    owner_of(entry.get("owner")),
                    entry.get("waits") is True,
                )
    start = next((e for e in reversed(journal.entries) if e["is"] == "identity"), {}).get("prev", NOTHING)
    last = (records[-1].seq, records[-1].id) if records else (0, start)
    return Memory(records, last, seals, seen, tuple(holds.values()))


def entries_of(save: Save) -> Iterator[Entry]:
    """The journal entries of a `Save`."""
    for record in save.records:
        yield {"is": "record", "line": record.line.decode()}
    if save.seal is not None:
        yield {"is": "seal", "line": save.seal.line.decode()}
    if save.seen is not None:
        yield {"is": "seen", "epoch": save.seen[0], "seal": save.seen[1]}
    if save.hold is not None:
        yield {"is": "hold", **save.hold._asdict()}
