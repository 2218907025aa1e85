"""What was done about one piece of work: its attempts, with who made them, what they filed and how they ended.

Knows: which records are about one claim (law FENCE: they carry its token).
Knows not: the state (`work`), printing.

    attempts(history, "task:release/build", since=40)
    # [{"attempt": 1, "node": "elm", "token": 41, "outcome": "failed", "receipts": [...], "fenced": []}]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds.base import APPLIED, FENCED
from orxaq_mesh.record import Record

Json = dict[str, Any]
LOST = "lost"
"""The claim ended without a word of its holder: its DAG was cancelled, or its key lost its standing."""
STOLEN = "WORK-2"
_ENDS = {"lease.release": "given back", "lease.break": "broken", "lease.take": "taken over"}


def claim_of(record: Record) -> tuple[str, int | None]:
    """The lease that a record is about or acts under, and the token that it names; ("", None) where it names none."""
    if record.flaw:
        return "", None
    about = record.body.get("under") or record.body
    return about.get("lease", ""), about.get("token")


def attempts(judged: Iterable[Judged], name: str, since: int = 0, *, runs: bool = True) -> list[Json]:
    """The attempts at the work whose lease is `name`.

    Args:
        judged: the ledger's records.
        name: `task:<dag>/<task>` or `command:<id>`.
        since: the epoch from which on it is this work; a DAG's name may have had another one before.
        runs: whether the last of them is still under way, if nothing says how it ended.
    """
    found: list[Json] = []
    for item in _about(judged, name, since):
        record, epoch, verdict, _ = item
        if verdict.outcome == APPLIED and verdict.result == "granted":
            if found and found[-1]["outcome"] is None:
                found[-1] |= {"outcome": _ENDS.get(record.kind, LOST), "ended": record.at, "ended_epoch": epoch}
            found.append({**_begun(len(found) + 1, record, epoch), "stolen": verdict.rule == STOLEN})
        elif found:
            _note(_attempt_of(found, record), item)
    if found and found[-1]["outcome"] is None and not runs:
        found[-1]["outcome"] = LOST
    return found


def _about(judged: Iterable[Judged], name: str, since: int) -> Iterator[Judged]:
    return (item for item in judged if item.epoch >= since and claim_of(item.record)[0] == name)


def _begun(number: int, record: Record, epoch: int) -> Json:
    return {
        "attempt": number,
        "node": record.log.rpartition("-")[0],
        "session": record.body.get("session"),
        "token": epoch,
        "record": record.id,
        "begun": record.at,
        "renewals": 0,
        "outcome": None,
        "reason": None,
        "ended": None,
        "ended_epoch": None,
        "receipts": [],
        "fenced": [],
    }


def _attempt_of(found: list[Json], record: Record) -> Json:
    token = claim_of(record)[1]
    return next((one for one in found if one["token"] == token), found[-1])


def _note(attempt: Json, item: Judged) -> None:
    record, epoch, verdict, _ = item
    if verdict.outcome == FENCED:
        attempt["fenced"].append({"record": record.id, "kind": record.kind, "node": record.log.rpartition("-")[0]})
    if verdict.outcome != APPLIED:
        return
    if record.kind == "task.receipt":
        attempt["receipts"].append(receipt(record, epoch))
    elif record.kind == "lease.renew":
        attempt["renewals"] += 1
    elif record.kind.endswith(".finish") or record.kind in _ENDS:
        outcome = record.body.get("outcome") or _ENDS[record.kind]
        reason = record.body.get("reason") or record.body.get("rule")
        attempt |= {"outcome": outcome, "reason": reason, "ended": record.at, "ended_epoch": epoch}
        attempt |= {"exit": record.body["exit"]} if "exit" in record.body else {}


def receipt(record: Record, epoch: int) -> Json:
    """A receipt's fields."""
    body = record.body
    fields = ("step", "phase", "command", "exit", "outcome", "duration_ms", "commit", "note")
    value = {field: body.get(field) for field in fields}
    told = {"artefacts": body.get("artefacts", []), "output": body.get("output", {})}
    return {**value, **told, "record": record.id, "epoch": epoch}
