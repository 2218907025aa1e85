"""A push to an outbox: new in it are lines of that node's own log, signed, in a row, and nothing is lost.

Knows: what an outbox may hold beside the trunk that it grew from (laws LINE, SIG, CHAIN).
Knows not: verdicts. A stale holder's record must travel, to be fenced by the fold where it is sealed (law FENCE).

    changes = list(repository.changes(base, new))
    judged(ledger, "elm-12ab34cd", changes, before, sealed)       # Findings
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator

from orxaq_mesh.kinds.node import WAITING, members
from orxaq_mesh.kinds.review import reviews
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.news import added_lines
from orxaq_mesh.reconcile import union
from orxaq_mesh.record import BadLine, Record, log_place, parse_path
from orxaq_mesh.review import secrets_in
from orxaq_mesh.schema import read_record
from orxaq_mesh.standing import Finding, last_of
from orxaq_mesh.store import Change, Flaw

Read = Callable[[str], bytes | None]


def judged(
    ledger: Ledger, log: str, items: Iterable[Change | Flaw], before: Iterable[Change | Flaw], sealed: Read
) -> Iterator[Finding]:
    """What is wrong with an outbox.

    Args:
        ledger: the trunk's, verified.
        log: whose outbox it is.
        items: by what it differs from the trunk that it grew from.
        before: by what its own log differs from how the outbox was.
        sealed: path -> that file's bytes in the trunk.
    """
    member = members(ledger.state).by_log.get(log)
    if member is not None and member.is_gone:
        yield Finding(
            "NODE-3", f"mesh-node/{log}", 0, f"the key of {log} is {member.standing}: nothing of it is sealed"
        )
        return
    records: dict[str, tuple[Record, str, int]] = {}
    brings = False
    allowed = reviews(ledger.state).allowed
    for item in items:
        if isinstance(item, Flaw):
            yield Finding(item.law, item.file, 0, item.reason)
        elif (parse_path(item.path) or ("", 0))[0] != log:
            yield from _foreign(item, log)
        else:
            brings = brings or bool(item.new)
            yield from _own(item, log, _lines(sealed(item.path)), allowed, records)
    if not brings:
        yield Finding("CHAIN", f"mesh-node/{log}", 0, "an outbox holds records of its node; this one holds none")
    for item in before:
        if isinstance(item, Change) and (parse_path(item.path) or ("", 0))[0] == log:
            yield from _lost(item, sealed(item.path))
    yield from _chained(ledger, log, records)


def is_stranger(ledger: Ledger, log: str) -> bool:
    """Whether nobody has admitted a log yet; one that was, and is gone, is no stranger."""
    member = members(ledger.state).by_log.get(log)
    return member is None or member.standing == WAITING


def _foreign(change: Change, log: str) -> Iterator[Finding]:
    """CHAIN: what is not of the log whose outbox this is."""
    number = next((number for number, _, _ in added_lines(change)), 0)
    yield Finding("CHAIN", change.path, number, f"the outbox of {log} brings records of {log} and nothing else")


def _lines(segment: bytes | None) -> set[bytes]:
    return set((segment or b"").split(b"\n"))


def _own(
    change: Change, log: str, sealed: set[bytes], allowed: Container[str], records: dict[str, tuple[Record, str, int]]
) -> Iterator[Finding]:
    """LINE, RENDER: the lines that are new in a file of the log itself."""
    bad = False
    for number, line, finding in added_lines(change):
        if line in sealed:
            continue
        if finding is not None:
            bad = True
            yield finding
            continue
        try:
            record = read_record(line)
        except BadLine as error:
            bad = True
            yield Finding(error.law, change.path, number, error.reason)
            continue
        if record.log != log or log_place(log, record.seq).file != change.path:
            bad = True
            yield Finding(
                "CHAIN", change.path, number, f"seq {record.seq} of {record.log} does not belong in this file"
            )
        for reason in secrets_in(record, allowed):
            yield Finding("SECRET", change.path, number, reason)
        records[record.id] = record, change.path, number
    if not bad and change.new is not None and (not change.new or union(change.new) != change.new):
        yield Finding("RENDER", change.path, 0, "lines are out of order, or twice, or there are none")


def _lost(change: Change, sealed: bytes | None) -> Iterator[Finding]:
    """CHAIN: a line that the outbox had and has no more, though no trunk holds it."""
    kept = _lines(change.new) | _lines(sealed)
    for number, line in enumerate((change.old or b"").split(b"\n"), 1):
        if line not in kept:
            yield Finding("CHAIN", change.path, number, "a record that this outbox held was edited or deleted")


def _chained(ledger: Ledger, log: str, records: dict[str, tuple[Record, str, int]]) -> Iterator[Finding]:
    """CHAIN, SIG: what is new must lead on from the log's head without a gap, up to a signature that verifies."""
    new = {record.id: record for record, _, _ in records.values()}
    if not new:
        return
    trial = ledger.fork()
    trial.offer(new.values())
    good = {record.id for record in trial.authentic(log)}
    taken = {record.seq for record in trial.waiting.values() if record.id in good}
    led = trial.led_to(log)
    for record, path, number in records.values():
        if record.id in good:
            continue
        if record.seq <= last_of(ledger.state, log)[0] or record.seq in taken:
            yield Finding("CHAIN", path, number, f"seq {record.seq} of {log} is taken: no other record may claim it")
        elif record.id in led:
            yield Finding("SIG", path, number, f"seq {record.seq} of {log} is not signed by its key")
        else:
            yield Finding("CHAIN", path, number, f"seq {record.seq} of {log} follows no record that is here")
