"""What a full check saw, for somebody who was not there: checks by law, members, who signed how much, what is not known.

Knows: what each law was asked of, and how often; what no ledger can tell whoever reads it alone (laws SEEN, TIME, FORK).
Knows not: the laws' own checks (`checking`), printing.

    found = audit(check(None, "https://git.example.org/fleet.git", ledger="SHA256:..."))
    found.checks[0]          # Check("LINE", "lines have the one byte form", 412, "kept")
    found.unknown            # ("whether this is all: ...", ...)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from orxaq_mesh.credentials import find, may_stand_in
from orxaq_mesh.inspect.checking import Checked, Report
from orxaq_mesh.inspect.reading import History
from orxaq_mesh.inspect.sources import HUB, Taken
from orxaq_mesh.inspect.states import nodes_of
from orxaq_mesh.kinds import APPLIED, FENCED
from orxaq_mesh.kinds.node import RECOVERY, members
from orxaq_mesh.kinds.review import reviews

Json = dict[str, Any]
KEPT, BROKEN, NOT_COMPARED = "kept", "BROKEN", "not compared"


class Check(NamedTuple):
    """One law: what was checked, how many of them, what came of it."""

    law: str
    what: str
    number: int
    result: str


class Secret(NamedTuple):
    """A place in a record where something looks like a credential. What stands there is not repeated."""

    record: str
    node: str
    kind: str
    epoch: int
    path: str
    pattern: str


class Audit(NamedTuple):
    """The report for a stranger.

    Attributes:
        report: the verdict: whether it is sound, and the findings.
        asked: whether it is the ledger that was asked for; None: none was named.
        place: where it lies: which kind of place, what it is called.
        past: the history in it.
        checks: a row a law.
        nodes: every key, with how many records and epochs it signed.
        kinds: kind -> outcome -> how many records; of one that was held, what it came to last.
        reasons: (outcome, rule) -> how many records, of those that were not applied.
        secrets: records in which something looks like a credential (law SECRET): in which, where, by which pattern.
        unknown: what could not be known, and why.
    """

    report: Report
    asked: bool | None
    place: Taken
    past: History
    checks: tuple[Check, ...]
    nodes: tuple[Json, ...]
    kinds: Mapping[str, Mapping[str, int]]
    reasons: Mapping[tuple[str, str], int]
    secrets: tuple[Secret, ...]
    unknown: tuple[str, ...]


def audit(checked: Checked, *, seen: bool = False) -> Audit:
    """The whole report on what was checked; `seen`: it was held against what somebody had seen before."""
    past = checked.past
    kinds: dict[str, Counter[str]] = {}
    last = {item.record.id: item for item in past.judged}
    for record, _, verdict, _ in last.values():
        kinds.setdefault(record.kind, Counter())[verdict.outcome] += 1
    no = ((verdict.outcome, verdict.rule) for _, _, verdict, _ in last.values() if verdict.outcome != APPLIED)
    secrets = tuple(_secrets(past))
    return Audit(
        checked.report,
        checked.asked,
        checked.place,
        past,
        tuple(_checks(checked, past, len({secret.record for secret in secrets}))),
        tuple(members_of(past)),
        dict(sorted(kinds.items())),
        dict(sorted(Counter(no).items())),
        secrets,
        tuple(_unknown(checked, past, seen)),
    )


# What was checked.


def _checks(checked: Checked, past: History, secret: int) -> Iterator[Check]:
    broken = {finding.law for finding in checked.report.findings}
    told = set()
    for law, what, count, note in _asked(checked, past):
        told.add(law)
        compared = law != "RENDER" or checked.report.ok or law in broken
        result = BROKEN if law in broken else KEPT if compared else NOT_COMPARED
        yield Check(law, what, count, f"{result}; {note}" if note else result)
    note = _some(secret, "hold what looks like one")
    yield Check("SECRET", "records hold no credential", past.state.records, note or KEPT)
    for law in sorted(broken - told):
        count = sum(finding.law == law for finding in checked.report.findings)
        yield Check(law, "see what was found", count, BROKEN)


def _asked(checked: Checked, past: History) -> Iterator[tuple[str, str, int, str]]:
    """(law, what was checked, how many, what there was to say)."""
    files, spine, judged = checked.place.files, past.ledger.spine, past.judged
    records = past.state.records
    every = past.ledger.signatures == "every"
    bodies = [item.record.body for item in judged if item.record.flaw is None]
    heads = sum(len(seal.heads) for seal in past.seals)
    rules = Counter(item.verdict.rule for item in judged if item.verdict.outcome != APPLIED)
    under = [item for item in judged if item.record.flaw is None and "under" in item.record.body]
    votes = len(spine.elections)
    yield "LINE", "lines have the one byte form", sum((file.new or b"").count(b"\n") for file in files), ""
    what = "signatures verify: every record's" if every else "signatures verify: the newest record of each log"
    yield "SIG", f"{what}, each epoch's", (records if every else heads) + len(past.seals), ""
    yield "CHAIN", "records follow the one before them", records, f"{len(past.state.heads)} logs"
    yield "SEAL", "epochs are closed by who may, over what is there", len(past.seals), _held(past)
    yield "EPOCH", "epochs are numbered and ordered as they must be", len(past.seals), ""
    yield "FORK", "forks are decided by first votes", votes, _ways(past)
    yield "PREFIX", "keys signed two histories", len({log for seal in past.seals for log in seal.proofs}), ""
    yield "DIGEST", "digests of all verdicts are what they come to", len(past.seals), ""
    yield "RULES", f"records are judged by rules {past.state.rules}", records, _some(rules["RULES"], "not known to")
    yield "RENDER", "files are what their lines come to, byte for byte", len(files), ""
    yield "QUIET", "names and modes are a ledger's", len(files), ""
    yield "SEEN", "records name what they had seen", records, _some(_unseen(past), "that nobody can show")
    fenced = sum(item.verdict.outcome == FENCED for item in judged)
    yield "FENCE", "records act under a token", len(under), _some(fenced, "fenced, or about a stale token")
    takes = [item for item in judged if item.record.kind == "lease.take" and item.verdict.outcome == APPLIED]
    yield "TIME", "take-overs assert a silence as long as the ttl", len(takes), _some(rules["TIME"], "refused")
    until = sum("until" in body for body in bodies)
    yield "UNTIL", "requests have an end", until, _some(rules["UNTIL"], "came too late")
    gone = [member for member in members(past.state).by_log.values() if member.is_gone]
    yield "LIVE", "keys lost their standing, and their leases with it", len(gone), _some(rules["LIVE"], "refused")
    once = sum("once" in body for body in bodies)
    yield "ONCE", "idempotency keys count once", once, _some(rules["ONCE"], "refused")


def _some(count: int, what: str) -> str:
    return f"{count} {what}" if count else ""


def _ways(past: History) -> str:
    left = len(past.ledger.spine.stood) - len(past.seals)
    return f"final up to epoch {past.final}" + (f"; {left} epochs lie on sides that were left" if left else "")


def _held(past: History) -> str:
    return _some(len(past.ledger.spine.held), "that do not stand")


def _unseen(past: History) -> int:
    epochs = {id_: seal.epoch for id_, seal in past.ledger.spine.seals.items()}
    records = (item.record for item in past.judged if not item.again)
    return sum(record.seen_epoch not in (0, epochs.get(record.seen_seal)) for record in records)


def _secrets(past: History) -> Iterator[Secret]:
    """SECRET is asked where a record is signed; what another program signed may hold one all the same."""
    allowed = reviews(past.state).allowed
    for record, epoch, _, again in past.judged:
        if again or not may_stand_in(record.line):
            continue
        for path, pattern in find(record.body, allowed):
            yield Secret(record.id, record.log, record.kind, epoch, f"body.{path}", pattern)


# Who.


def members_of(past: History) -> Iterator[Json]:
    """Every key that the ledger knows, in the order in which they came, with how much of the ledger it signed."""
    records = Counter(item.record.log for item in past.judged if not item.again)
    applied = Counter(item.record.log for item in past.judged if item.verdict.outcome == APPLIED)
    seals = Counter(seal.log for seal in past.seals)
    for node in nodes_of(past.state):
        log = node["log"]
        yield {**node, "records": records[log], "applied": applied[log], "seals": seals[log]}


def founder(nodes: Iterable[Json]) -> Json | None:
    """Who founded the ledger: the first key that it knows."""
    return next((member for member in nodes if RECOVERY not in member["roles"]), None)


# What could not be known.


def _unknown(checked: Checked, past: History, seen: bool) -> Iterator[str]:
    if not checked.report.pinned:
        yield "whose ledger this is: anybody can found one. Name the id or the fingerprint that you were told: --ledger"
    if not seen and past.state.epoch:
        mark = f"--seen {past.state.epoch}:{past.state.seal[:16]}"
        yield f"whether this is all: an old state of a ledger looks sound, too. The next time, hold it against this: {mark}"
    if checked.place.kind != HUB:
        yield f"whether the fleet's hub shows the same: this is a {checked.place.kind} on this disk"
    if checked.place.cut:
        yield "which way the branch moved: its older commits are not there. The newest one has every line"
    if checked.place.outboxes:
        branches = f"{checked.place.outboxes} branch{'es' if checked.place.outboxes > 1 else ''}"
        yield f"what no epoch has taken in yet: {branches} of single nodes not read"
    if past.waiting:
        yield f"what comes of {len(past.waiting)} records that wait for the next epoch"
    if past.final < past.state.epoch:
        yield (
            f"whether epochs after {past.final} stay as they are: a fork beneath them may still come up (mesh explain FORK)"
        )
    yield from _on_trust(past)


def _on_trust(past: History) -> Iterator[str]:
    """What stands in a ledger and is its author's word alone."""
    if past.ledger.signatures != "every" and past.state.records > sum(len(seal.heads) for seal in past.seals):
        yield "each signature by itself: those between the newest of each log are covered by it; --every-signature"
    takes = sum(item.record.kind == "lease.take" and item.verdict.outcome == APPLIED for item in past.judged)
    if takes:
        yield f"whether {takes} holders were silent as long as those say who took over: that is a word, under a signature"
    for epoch, log in [past.state.doubt] if past.state.doubt else []:
        yield f"why {log} claims other verdicts in epoch {epoch} than all rules come to"
