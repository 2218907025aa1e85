"""What a caller is told: verdicts of the fold, refusals and faults, in one shape.

Knows: how a verdict, a refusal or an outage reads as an `Answer`.
Knows not: when to tell it (`engine`), how it is printed (`cli`).

    judged(state, item)      # Answer("refused", "LEASE-2", ..., what="deploy is held by elm ...", facts={"holder": ...})
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orxaq_mesh import kinds
from orxaq_mesh.effects import Answer, Intent
from orxaq_mesh.errors import Fenced, MeshFault, Refused, Unreachable
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import APPLIED, FENCED, HELD, REFUSED, Once, State, Verdict, review, work
from orxaq_mesh.kinds.lease import Lease, leases
from orxaq_mesh.record import Record, Value

if TYPE_CHECKING:
    from orxaq_mesh.ledger import Reading


def lease_facts(state: State, name: str) -> dict[str, Any]:
    """Who holds a lease now, for `--json`."""
    held = leases(state).by_name.get(name) or Lease(name)
    item = work.work(state).items.get(name) if work.is_work(name) else None
    return {
        **({"order": item.order, "attempt": item.attempt, "state": item.state} if item is not None else {}),
        "lease": name,
        "holder": held.holder or None,
        "session": held.session or None,
        "token": held.token or None,
        "seal": held.seal or None,
        "ttl_ms": held.ttl_ms or None,
        "since": held.since or None,
    }


def sealed(item: Judged) -> dict[str, Any]:
    """A sealed record and its verdict, as facts of a log line."""
    record, epoch, verdict, _ = item
    lease = {"lease": record.body["lease"]} if "lease" in record.body else {}
    facts = {"epoch": epoch, "node": record.log, "seq": record.seq, "kind": record.kind}
    return {**facts, **lease, **verdict._asdict()}


def judged(state: State, item: Judged) -> Answer:
    """What came of a sealed record. The token is told to those only who hold it."""
    record, epoch, verdict, _ = item
    facts: dict[str, Any] = lease_facts(state, record.body["lease"]) if "lease" in record.body else {}
    what = hint = ""
    if verdict.outcome != APPLIED:
        words = kinds.words(state, record, verdict)
        what, hint, facts = words.what, words.hint, {**words.facts, **facts}
    elif verdict.result == "granted":
        facts["token"] = epoch
    elif verdict.result in ("renewed", "released"):
        facts |= {"holder_token": facts["token"], "token": record.body["token"]}
    elif verdict.result in ("queued", "passed", "withdrawn"):
        facts |= {"token": None, "holder_token": facts["token"]}
    return Answer(verdict.outcome, verdict.rule, verdict.result, record.id, what, hint, {**facts, "epoch": epoch})


def held(state: State, record: Record) -> Answer:
    """A record that has no effect before somebody else approved it (REVIEW-1)."""
    words = kinds.words(state, record, Verdict(HELD, "REVIEW-1"))
    return Answer(HELD, "REVIEW-1", "", record.id, words.what, words.hint, words.facts)


def granted(state: State, held: Lease) -> Answer:
    """A wait that ended with the lease."""
    facts = {**lease_facts(state, held.name), "epoch": held.token}
    return Answer(APPLIED, "LEASE-5", "granted", held.record, facts=facts)


def diverged(reading: Reading) -> dict[str, Any]:
    """The spine went another way than this node knew it: from where, and how many epochs were left (law FORK)."""
    first, last = reading.left[0], reading.left[-1]
    return {
        "since": first.epoch - 1,
        "left": {"epoch": last.epoch, "seal": last.id},
        "epochs": len(reading.left),
        "hint": "mesh divergence",
    }


def timed_out(state: State, intent: Intent, record: str | None) -> Answer:
    """A wait that ended without it, or a push whose outcome is still unknown."""
    if intent.wait:
        facts = lease_facts(state, intent.wish["lease"])
        facts |= {"token": None, "holder_token": facts["token"], "withdrawn": True}
        what = f"{intent.wish['lease']} was not free in time; the place in the queue is given back"
        return Answer(APPLIED, "LEASE-5", "queued", record, what, "mesh lease acquire --wait, with more time", facts)
    return Answer("unknown", "PUSH", record=record, error=Unreachable("the hub did not say in time what came of it"))


def given_back(state: State, intent: Intent, record: str) -> Answer:
    """A wait that ended because this node released what was asked for."""
    facts = lease_facts(state, intent.wish["lease"])
    facts |= {"token": None, "holder_token": facts["token"], "withdrawn": True}
    what = f"the request for {intent.wish['lease']} was given back meanwhile, by a release of the same session"
    return Answer(REFUSED, "LEASE-7", "withdrawn", record, what, "mesh lease acquire --wait", facts)


def unreached(error: MeshFault, record: str | None) -> Answer:
    """The hub does not answer; what is signed already will be tried again."""
    if record is None:
        fault = Unreachable(f"{error.what}; nothing was signed", hint=error.hint, **error.facts)
        return Answer("unknown", "CLOSED", error=fault)
    what = f"{error.what}; the record is signed and journalled, and goes out when the hub answers"
    return Answer("unknown", "PUSH", record=record, error=Unreachable(what, hint="mesh sync", record=record))


def refused(no: Refused) -> Answer:
    """A rule said no before anything was signed."""
    verdict = FENCED if isinstance(no, Fenced) else REFUSED
    facts = {key: value for key, value in no.facts.items() if key != "rule"}
    return Answer(verdict, no.rule, what=no.what, hint=no.hint, facts=facts)


def refusal(state: State, draft: Record, verdict: Verdict) -> Refused:
    """The error for a draft that would come to this verdict."""
    words = kinds.words(state, draft, verdict)
    family = Fenced if verdict.outcome == FENCED else Refused
    return family(verdict.rule, words.what, hint=words.hint, **words.facts)


def done_before(state: State, name: str, intent: Intent) -> Answer | None:
    """ONCE: what the earlier record with this intent's idempotency key came to, if there is one."""
    key = intent.wish.get("once")
    once = state.once.get(f"{name}/{key}") if key is not None else None
    if once is None and (waits := review.held_with(state, name, key)) is not None:
        same = same_request(state, name, intent, waits)
        return held(state, waits) if same else other_request(intent, waits.kind)
    if once is None:
        return None
    if (once.kind, once.about) != (intent.kind, kinds.about(_filled_in(state, name, intent))):
        return other_request(intent, once.kind)
    facts: dict[str, Any] = {"epoch": once.epoch, "again": True}
    if intent.kind in ("lease.acquire", "lease.take"):
        return _asked_before(state, name, intent, once, facts)
    if "lease" in intent.wish:
        facts = lease_facts(state, intent.wish["lease"]) | facts
    return Answer(APPLIED, "ONCE", once.result, once.record, facts=facts)


def same_request(state: State, name: str, intent: Intent, signed: Record) -> bool:
    """Whether an intent is one more try of what a record asks for."""
    return (signed.kind, kinds.about(signed.body)) == (
        intent.kind,
        kinds.about(_filled_in(state, name, intent)),
    )


def other_request(intent: Intent, kind: str) -> Answer:
    """ONCE: a key stands for one request; another one under it is refused, or it would be lost in silence."""
    no = f"the key {intent.wish['once']} was used for another request ({kind})"
    return Answer(REFUSED, "ONCE", what=no, hint="use another --key")


def _filled_in(state: State, name: str, intent: Intent) -> Value:
    try:
        return kinds.propose(state, name, intent.kind, intent.wish)
    except Refused:
        return intent.wish


def _asked_before(state: State, name: str, intent: Intent, once: Once, facts: dict[str, Any]) -> Answer:
    """FENCE: a grant of old is only told for as long as it stands, and a place for as long as it is kept."""
    wish = intent.wish
    held = leases(state).by_name.get(wish["lease"]) or Lease(wish["lease"])
    facts = lease_facts(state, held.name) | facts
    if held.held_by(name, wish["session"]) and held.record == once.record:
        return Answer(APPLIED, "ONCE", "granted", once.record, facts={**facts, "token": held.token})
    facts |= {"token": None, "holder_token": held.token or None}
    if any(place.record == once.record for place in held.queue):
        return Answer(APPLIED, "ONCE", "queued", once.record, facts=facts)
    no = f"the request with the key {wish['once']} came to an end: {held.name} is no longer held by it"
    return Answer(REFUSED, "ONCE", once.result, once.record, no, "use another --key", {**facts, "since": None})
