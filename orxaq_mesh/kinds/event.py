"""Events: something happened, and the fleet is told.

Knows: publish, and how many events each topic has had.
Knows not: what a topic means to anyone.
Laws: FENCE (an event may act under a lease), CLOSED (events may be signed offline).

    {"topic":"builds","type":"finished","payload":{"version":"1.4.2"},"under":{"lease":"deploy","session":"s","token":9}}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orxaq_mesh.kinds import lease, node, reactor
from orxaq_mesh.kinds.base import (
    APPLIED,
    REFUSED,
    Case,
    Judged,
    Kind,
    Moment,
    Row,
    Said,
    State,
    Verdict,
    Words,
    no_part,
)
from orxaq_mesh.record import Record, Value
from orxaq_mesh.rules import Rule

NAME = "event"

KINDS = (Kind("event.publish", node.WRITERS, offline=True),)

RULES = (
    Rule(
        "EVENT-1",
        "An event of a member counts",
        "An event that an admitted node publishes is applied. If it names a lease, the lease's fence decides first.",
        "What a stale holder reports must not be taken for the present.",
        'mesh publish builds finished --payload \'{"version":"1.4.2"}\' --under deploy',
    ),
)


def _count(state: State, record: Record, moment: Moment) -> None:
    topics = state.slices[NAME]
    topic = record.body["topic"]
    topics[topic] = topics.get(topic, 0) + 1
    reactor.heard(state, record, node.name_of(state, record), moment)
    reactor.written(state, record)


CASES: Mapping[str, Case] = {
    "a follow-up that was written before": reactor.is_noop,
    "no follow-up that is due": reactor.is_not_due,
    "a follow-up that is not under its lease": reactor.is_leaders,
    "otherwise": lambda state, record, moment: True,
}

ROWS = (
    Row("event.publish", "a follow-up that was written before", APPLIED, "REACTOR-2", "noop", no_part),
    Row("event.publish", "no follow-up that is due", REFUSED, "REACTOR-2"),
    Row("event.publish", "a follow-up that is not under its lease", REFUSED, "REACTOR-3"),
    Row("event.publish", "otherwise", APPLIED, "EVENT-1", "published", _count),
)


def new() -> dict[str, int]:
    return {}


def dump(part: dict[str, int]) -> Any:
    return part


def load(data: Any) -> dict[str, int]:
    return dict(data)


def copy(part: dict[str, int]) -> dict[str, int]:
    return dict(part)


def open_epoch(state: State, moment: Moment) -> None:
    """Nothing of events changes by an epoch's beginning."""


def gone(state: State, node: str, moment: Moment) -> None:
    """What a node published stays published (law PREFIX)."""


def propose(state: State, node: str, kind: str, wish: Value) -> Value:
    """An event says what its author says; an `under` without a token takes the one that its session holds."""
    return lease.with_token(state, node, wish)


def words(state: State, record: Record, verdict: Verdict) -> Words:
    if verdict.rule.startswith("REACTOR"):
        return reactor.words(state, record, verdict)
    return Words("the event was refused", f"mesh explain {verdict.rule}", {"topic": record.body["topic"]})


def says(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    came = reactor.WRITTEN_BEFORE if judged.verdict.result == "noop" else ("", "")
    said = Said("publishes `{type}` on topic `{topic}`", {"type": body["type"], "topic": body["topic"]}, came)
    return reactor.says_why(lease.says_under(said, body), body)
