"""The kinds of records: one file a family, one line in `FAMILIES`, and the gate that every record passes.

Knows: which kinds exist under rules 1, and what is asked of any record before its family's table is.
Knows not: any family's rules.

    verdict, do = judge(state, record, Moment(epoch=42))   # changes nothing
    verdict = apply(state, record, Moment(epoch=42, seal=...))
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from orxaq_mesh.kinds import command, dag, event, lease, node, reactor, review, work
from orxaq_mesh.kinds.base import (
    APPLIED,
    FENCED,
    HELD,
    REFUSED,
    Case,
    Effect,
    Family,
    Judged,
    Kind,
    Moment,
    Once,
    Row,
    Said,
    State,
    Verdict,
    Words,
)
from orxaq_mesh.record import Record, Value, canonical, line_id
from orxaq_mesh.rules import LAWS, Rule
from orxaq_mesh.schema import fits_body

FAMILIES = cast("tuple[Family, ...]", (node, review, work, lease, reactor, dag, command, event))

KINDS: dict[str, Kind] = {kind.name: kind for family in FAMILIES for kind in family.KINDS}
RULES: dict[str, Rule] = LAWS | {rule.id: rule for family in FAMILIES for rule in family.RULES}
FAMILY_OF: dict[str, Family] = {kind.name: family for family in FAMILIES for kind in family.KINDS}

_Compiled = tuple[tuple[Case, Verdict, Effect | None], ...]


def _compile(family: Family, kind: str) -> _Compiled:
    rows = (row for row in family.ROWS if row.kind == kind)
    return tuple((family.CASES[row.case], Verdict(row.outcome, row.rule, row.result), row.do) for row in rows)


_TABLE: dict[str, tuple[Kind, _Compiled]] = {
    kind.name: (kind, _compile(family, kind.name)) for family in FAMILIES for kind in family.KINDS
}
_FLAWED, _LATE = Verdict(REFUSED, "RULES"), Verdict(REFUSED, "UNTIL")
_STALE, _AGAIN = Verdict(FENCED, "FENCE"), Verdict(REFUSED, "ONCE")


def new_state() -> State:
    """The state before genesis."""
    return State({family.NAME: family.new() for family in FAMILIES})


def judge(state: State, record: Record, moment: Moment) -> tuple[Verdict, Effect | None]:
    """What comes of a record here, and what it would change. Changes nothing itself."""
    if record.flaw is not None or record.kind not in _TABLE:
        return _FLAWED, None
    kind, rows = _TABLE[record.kind]
    if (no := node.standing(state, record, kind)) and not (no.rule == "SEEN" and review.is_being_judged(state, record)):
        return no, None  # what was held may be older than what its author wrote since
    body = record.body
    if "once" in body and kind.roles and state.once.get(once_key(state, record)):
        return _AGAIN, None
    if kind.until and body["until"] < moment.epoch:
        return _LATE, None
    if review.reviews(state).needs and review.waits(state, record):
        verdict = review.verdict_of(state, record)
        return verdict, review.hold if verdict.outcome == HELD else None
    if "under" in body and not lease.under_current(state, record, body["under"]):
        return _STALE, None
    for case, verdict, do in rows:
        if case(state, record, moment):
            return verdict, do
    return _FLAWED, None


def apply(state: State, record: Record, moment: Moment) -> Verdict:
    """Judge a record at its place, and change the state as the verdict says."""
    verdict, do = judge(state, record, moment)
    members = node.members(state).by_log
    if do is not None:
        lost = node.lost(record, verdict)
        bearer = members.get(lost) if lost else None
        was_admitted = bearer is not None and bearer.admitted
        do(state, record, moment)
        if bearer is not None and was_admitted:
            for family in FAMILIES:
                family.gone(state, bearer.name, moment)
        if verdict.outcome == APPLIED:
            _remember(state, record, moment, verdict)
        if record.kind.startswith("node."):
            _let_down(state)
    part = review.reviews(state)
    if part.given and verdict.outcome != HELD:
        part.given.pop(record.id, None)  # the approvals that came before it are of no more use
    if (member := members.get(record.log)) and part.now != record.id:
        member.at = record.at
        member.seen = max(member.seen, record.seen_epoch)
    return verdict


def judged_again(state: State, moment: Moment) -> Iterator[tuple[Record, Verdict]]:
    """What was held and has its turn now: it was approved, rejected, taken back, or waited too long (REVIEW-1)."""
    for record, verdict in review.turns(state):
        yield record, verdict or apply(state, record, moment)


def _let_down(state: State) -> None:
    """LIVE: what is held is refused where its author may write such a thing no longer; its place is free again."""
    for record in review.held_records(state):
        if (no := node.standing(state, record, KINDS[record.kind])) and no.rule == "NODE-3":
            review.withdraw(state, record.id, "NODE-3")


def suspend(state: State, log: str, moment: Moment) -> None:
    """A key that signed two histories loses its standing here, and its node's leases are freed (laws PREFIX, LIVE)."""
    member = node.suspend(state, log)
    if member is not None:
        for family in FAMILIES:
            family.gone(state, member.name, moment)
        _let_down(state)


def _remember(state: State, record: Record, moment: Moment, verdict: Verdict) -> None:
    body = record.body
    if "under" in body and (held := lease.leases(state).by_name.get(body["under"]["lease"])):
        held.last = record.id
    if "once" in body and KINDS[record.kind].roles:
        state.once[once_key(state, record)] = Once(record.id, record.kind, moment.epoch, verdict.result, about(body))


_FILLED_IN = frozenset({"until", "watched_ms", "last", "token", "record", "once"})


def about(body: Value) -> str:
    """What a body asks for, apart from what its moment filled in; equal for two tries of one wish."""
    lasting = {field: value for field, value in body.items() if field not in _FILLED_IN}
    if "under" in lasting:
        lasting["under"] = {field: value for field, value in lasting["under"].items() if field not in _FILLED_IN}
    try:
        return line_id(canonical(lasting))[:16]
    except TypeError:
        return ""  # no line can hold it, so no record ever asked for it


def once_key(state: State, record: Record) -> str:
    """The name of a record's idempotency key: keys of two nodes are two keys."""
    return f"{node.name_of(state, record)}/{record.body['once']}"


UNTIL_EPOCHS = 16
"""How many epochs after the one seen a request may still be sealed, unless it says otherwise (law UNTIL). What needs
an approval has as many as its rule says (REVIEW-1)."""


def propose(state: State, name: str, kind: str, wish: Value) -> Value:
    """The body that a wish of the node `name` comes to now.

    Raises:
        Refused: there is nothing that the wish could be about.
    """
    body = FAMILY_OF[kind].propose(state, name, kind, wish)
    if not KINDS[kind].until:
        return body
    asked = {"until": state.epoch + UNTIL_EPOCHS, **body}
    if "until" in body or not fits_body(kind, asked):
        return asked
    _, epochs = review.needed(state, node.members(state).named(name), kind, body)
    return {**asked, "until": state.epoch + (epochs or UNTIL_EPOCHS)}


def asks_for_reviews(state: State) -> bool:
    """Whether any rule is in force by which records are held."""
    return bool(review.reviews(state).needs)


_WORDS: dict[str, Callable[[Record], tuple[str, str]]] = {
    "RULES": lambda record: (f"rules 1 do not judge this record: {record.flaw}", "mesh explain RULES"),
    "NODE-3": lambda record: ("this node is not admitted, or its role does not allow it", "mesh status"),
    "UNTIL": lambda record: (_too_late(record), "ask again"),
    "ONCE": lambda record: (f"the key {record.body.get('once')} was used before", "use another --key"),
    "SEEN": lambda record: ("it names an older seal than the record before it did", "mesh doctor"),
}


_OF_REVIEW = frozenset(rule.id for rule in review.RULES)


def _too_late(record: Record) -> str:
    until = record.body.get("until")
    return f"it was to be sealed by epoch {until}" if until else "nobody approved it in time"


def words(state: State, record: Record, verdict: Verdict) -> Words:
    """A verdict in words, for whoever asked."""
    if verdict.rule == "NODE-3" and node.is_suspended(state, record.log):
        what = f"the key of {record.log} is suspended: it signed two histories"
        return Words(what, "mesh node rotate: a new key, which an admin lets in", {})
    if verdict.outcome == HELD or verdict.rule in _OF_REVIEW:
        return review.words(state, record, verdict)
    if verdict.rule in _WORDS:
        what, hint = _WORDS[verdict.rule](record)
        return Words(what, hint, {})
    if "under" in record.body and verdict.rule == "FENCE":
        record = record._replace(body={**record.body, **record.body["under"]})
        return lease.words(state, record, verdict)
    return FAMILY_OF[record.kind].words(state, record, verdict)


__all__ = [
    "APPLIED",
    "FAMILIES",
    "FAMILY_OF",
    "FENCED",
    "HELD",
    "KINDS",
    "REFUSED",
    "RULES",
    "Family",
    "Judged",
    "Kind",
    "Moment",
    "Once",
    "Row",
    "Said",
    "State",
    "Verdict",
    "Words",
    "apply",
    "asks_for_reviews",
    "judge",
    "judged_again",
    "new_state",
    "once_key",
    "propose",
    "suspend",
    "words",
]
