"""Reactors: a published mapping from events to what follows from them, so that one event has one consequence.

Knows: publish; which follow-ups are due, and whether a record is one of them.
Knows not: who writes the follow-up (any node may; `engine` decides when), what a mapping's rules look like (`mapping`).
Laws: ONCE, in content: a follow-up's id is a hash of the mapping's name and version, the rule and the causing record.

    epoch 40  oak publishes the reactor follow-ups, version 1
    epoch 41  elm publishes heartbeat/changed              due: 9c1e... (rule 0 of follow-ups@1, caused by elm's event)
    epoch 42  ash publishes tick/requested for 9c1e...     published; whoever comes later: noop
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from hashlib import sha256
from itertools import takewhile
from typing import Any, NamedTuple

from orxaq_mesh import schema
from orxaq_mesh.kinds import node, work
from orxaq_mesh.kinds.base import APPLIED, REFUSED, Case, Judged, Kind, Moment, Row, Said, State, Verdict, Words
from orxaq_mesh.kinds.mapping import flaw, follows
from orxaq_mesh.kinds.shelf import Shelf
from orxaq_mesh.record import MAX_LINE_BYTES, Record, Value, canonical, type_flaw
from orxaq_mesh.rules import Rule

NAME = "reactor"
MAX_DEPTH = 16
"""How long a chain of follow-ups of follow-ups may be."""
MAX_FOLLOW_UPS = 64
"""How many follow-ups one event may have, those of its follow-ups among them."""
DUE_EPOCHS = 64
"""For how long a follow-up is due that nobody writes."""
MAX_BODY_BYTES = MAX_LINE_BYTES - 2048
"""Of a follow-up: the envelope, a lease and a key still have room in its line."""

KINDS = (Kind("reactor.publish", frozenset({node.ADMIN})),)

RULES = (
    Rule(
        "REACTOR-1",
        "A mapping has a version",
        "A reactor's mapping is published by an admin, with a version that is higher than the one before and rules of which "
        "each gives one command or one event. It holds for events from then on, and ends what was due by the version before; "
        "one without rules ends it.",
        "Every follow-up must say by which text it came about.",
        "mesh reactor publish examples/follow-ups.yaml",
    ),
    Rule(
        "REACTOR-2",
        "One event, one follow-up",
        "An applied event for which a rule of a mapping holds makes its follow-up due, if a record can say what the rule "
        "gives and its address may act, under an id that is a hash of mapping, version, rule and event. The first record that carries this id and says exactly what the rule gives is "
        "the follow-up; the next ones are noops; one that says something else is refused.",
        "However many nodes see the event, there is one command.",
        "oak, elm and ash all see heartbeat/changed; the ledger has one tick/requested",
    ),
    Rule(
        "REACTOR-3",
        "Some follow-ups are the leader's",
        "Where a rule names a lease, its follow-up acts under that lease. What one holder left undone the next one "
        "finds still due.",
        "Scaling decisions of two leaders would cancel each other out.",
        "under: leader",
    ),
    Rule(
        "REACTOR-4",
        "Chains end",
        f"A follow-up may have follow-ups, {MAX_DEPTH} deep, and one event {MAX_FOLLOW_UPS} in all; what is deeper or "
        "more is not due.",
        "Two mappings that answer each other would keep the fleet busy for ever, and three rules that answer themselves "
        "would make forty million records of one.",
        "ping -> pong -> ping: ends",
    ),
    Rule(
        "REACTOR-5",
        "What nobody writes ends",
        f"A follow-up that was not written within {DUE_EPOCHS} epochs is due no longer.",
        "What no node may or can write would weigh on every node for ever; and what is that late is of another time.",
        "a restart of a node that was revoked an hour ago is not written when it is admitted again next year",
    ),
)


class Due(NamedTuple):
    """A follow-up that nobody has written yet.

    Attributes:
        kind, body: the record that it is to be.
        since: the epoch in which it became due.
        root: the event with which its chain began.
        by: whose words it is made of: of the event, and of the mapping. Who writes it only passes it on.
    """

    id: str
    kind: str
    body: Value
    cause: str
    under: str
    depth: int
    since: int
    mapping: str
    root: str
    by: tuple[str, ...]


class Chain(NamedTuple):
    """What an event brought about: how many follow-ups it has had in all, and how many of these are due."""

    had: int = 0
    due: int = 0


class Rules(NamedTuple):
    """A published mapping."""

    version: int
    record: str
    rules: tuple[Value, ...]
    by: str


class Reactors:
    """The family's slice. `due`: in the order of their epochs. `chains`: of the events of which something is due.

    `done`: the ids of follow-ups that were written.
    """

    def __init__(self) -> None:
        self.mappings: dict[str, Rules] = {}
        self.due: dict[str, Due] = {}
        self.chains: dict[str, Chain] = {}
        self.done: Shelf[str] = Shelf()


def reactors(state: State) -> Reactors:
    part: Reactors = state.slices[NAME]
    return part


def heard(state: State, record: Record, who: str, moment: Moment) -> None:
    """REACTOR-2: an event was applied; what follows from it is due. A follow-up is heard before it is written."""
    part = reactors(state)
    before = part.due.get(record.body.get("reaction", ""))
    depth, root, by = (before.depth, before.root, before.by) if before is not None else (0, record.id, (who,))
    if depth >= MAX_DEPTH or not part.mappings:
        return
    facts = {**{f: record.body[f] for f in ("topic", "type", "payload")}, "cause": record.id, "node": who}
    for name, mapping in sorted(part.mappings.items()):
        for number, rule in enumerate(mapping.rules):
            if part.chains.get(root, Chain()).had >= MAX_FOLLOW_UPS:
                return
            given = follows(rule, facts)
            if given is None:
                continue
            id_ = sha256(f"{name}@{mapping.version} {number} {record.id}".encode()).hexdigest()[:32]
            ((what, body),) = given.items()
            kind = "command.issue" if what == "command" else "event.publish"
            authors = tuple(sorted({*by, mapping.by}))
            due = Due(id_, kind, body, record.id, rule.get("under", ""), depth + 1, moment.epoch, name, root, authors)
            if _can_be_said(state, due):
                _begin(part, due)


def _begin(part: Reactors, due: Due) -> None:
    part.due[due.id] = due
    had, now = part.chains.get(due.root, Chain())
    part.chains[due.root] = Chain(had + 1, now + 1)


def _end(part: Reactors, id_: str) -> Due | None:
    """It is due no longer, if it was; an event of which nothing is due any more can have no more follow-ups."""
    due = part.due.pop(id_, None)
    if due is not None:
        had, now = part.chains.pop(due.root)
        if now > 1:
            part.chains[due.root] = Chain(had, now - 1)
    return due


def _can_be_said(state: State, due: Due) -> bool:
    """Whether a record can say this: what an event's payload was filled in with may be too long, too deep, of a wrong type.

    And whether there is one address, and who is named there may act.
    """
    is_command = due.kind == "command.issue"
    body = body_of(due) | ({"until": 1} if is_command else {})
    if _is_vast(body) or type_flaw(body, depth=2) is not None:
        return False
    if len(canonical(body)) >= MAX_BODY_BYTES or not schema.fits_body(due.kind, body):
        return False
    return not is_command or not work.badly_addressed(state, body)


def _is_vast(body: Value) -> bool:
    """Whether it is surely too long. A template can hold one payload thousands of times: that is not written out to see."""
    todo: list[Any] = [body]
    left = MAX_BODY_BYTES
    while todo and left > 0:
        value = todo.pop()
        left -= 2 + len(value) if isinstance(value, str) else 1
        if isinstance(value, Mapping):
            todo += value.values()
        elif isinstance(value, list):
            todo += value
    return left <= 0


def body_of(due: Due) -> Value:
    """What the record of a follow-up says, apart from what its moment fills in."""
    return {**due.body, "cause": due.cause, "reaction": due.id}


def is_noop(state: State, record: Record, moment: Moment) -> bool:
    """Whether a record is a follow-up that another one was already."""
    id_ = record.body.get("reaction")
    return id_ is not None and reactors(state).done.get(id_) is not None


def is_not_due(state: State, record: Record, moment: Moment) -> bool:
    """Whether a record claims to be a follow-up that it is not."""
    id_ = record.body.get("reaction")
    if id_ is None:
        return False
    due = reactors(state).due.get(id_)
    said = {field: value for field, value in record.body.items() if field not in ("under", "until", "once")}
    return due is None or due.kind != record.kind or canonical(said) != canonical(body_of(due))


def is_leaders(state: State, record: Record, moment: Moment) -> bool:
    """Whether a follow-up is to act under a lease, and does not."""
    due = reactors(state).due.get(record.body.get("reaction", ""))
    return due is not None and bool(due.under) and record.body.get("under", {}).get("lease") != due.under


def written(state: State, record: Record) -> Due | None:
    """A follow-up was written: it is due no longer. None for what follows from nothing."""
    part = reactors(state)
    due = _end(part, record.body.get("reaction", ""))
    if due is not None:
        part.done[due.id] = record.id
    return due


def _not_newer(state: State, record: Record, moment: Moment) -> bool:
    known = reactors(state).mappings.get(record.body["reactor"])
    return known is not None and record.body["version"] <= known.version


def _flaw(record: Record) -> str:
    """What is wrong with a mapping, the first thing."""
    found = ((number, flaw(rule)) for number, rule in enumerate(record.body["rules"]))
    return next((f"rule {number}: {why}" for number, why in found if why), "")


def _publish(state: State, record: Record, moment: Moment) -> None:
    body = record.body
    part, name, who = reactors(state), body["reactor"], node.name_of(state, record)
    part.mappings[name] = Rules(body["version"], record.id, tuple(body["rules"]), who)
    for id_ in [due.id for due in part.due.values() if due.mapping == name]:
        _end(part, id_)


CASES: Mapping[str, Case] = {
    "its version is not higher": _not_newer,
    "one of its rules is none": lambda state, record, moment: bool(_flaw(record)),
    "otherwise": lambda state, record, moment: True,
}

ROWS = (
    Row("reactor.publish", "its version is not higher", REFUSED, "REACTOR-1"),
    Row("reactor.publish", "one of its rules is none", REFUSED, "REACTOR-1"),
    Row("reactor.publish", "otherwise", APPLIED, "REACTOR-1", "published", _publish),
)


def new() -> Reactors:
    return Reactors()


def dump(part: Reactors) -> Any:
    return {
        "mappings": [[name, m.version, m.record, list(m.rules), m.by] for name, m in sorted(part.mappings.items())],
        "due": [list(due) for _, due in sorted(part.due.items())],
        "chains": [[root, chain.had] for root, chain in sorted(part.chains.items())],
        "done": sorted(part.done.items()),
    }


def load(data: Any) -> Reactors:
    part = Reactors()
    part.mappings = {name: Rules(version, id_, tuple(rules), by) for name, version, id_, rules, by in data["mappings"]}
    due = (Due(*due)._replace(by=tuple(due[-1])) for due in data["due"])
    part.due = {one.id: one for one in sorted(due, key=lambda one: one.since)}
    left = Counter(one.root for one in part.due.values())
    part.chains = {root: Chain(had, left[root]) for root, had in data["chains"]}
    part.done = Shelf((id_, record) for id_, record in data["done"])
    return part


def copy(part: Reactors) -> Reactors:
    twin = Reactors()
    twin.mappings, twin.due, twin.done = dict(part.mappings), dict(part.due), part.done.copy()
    twin.chains = dict(part.chains)
    return twin


def open_epoch(state: State, moment: Moment) -> None:
    """REACTOR-5: what has been due for too long is due no longer."""
    part = reactors(state)
    for due in list(takewhile(lambda due: due.since + DUE_EPOCHS < moment.epoch, part.due.values())):
        _end(part, due.id)


def gone(state: State, node: str, moment: Moment) -> None:
    """What a node published stays published (law PREFIX)."""


def propose(state: State, who: str, kind: str, wish: Value) -> Value:
    return wish


def words(state: State, record: Record, verdict: Verdict) -> Words:
    body = record.body
    if verdict.rule == "REACTOR-1":
        known = reactors(state).mappings.get(body["reactor"])
        what = _flaw(record) or f"{body['reactor']} has version {known.version if known else 0}: publish a higher one"
        return Words(what, "mesh reactor list", {"reactor": body["reactor"]})
    texts = {
        "REACTOR-2": f"no follow-up {body.get('reaction')} is due that says this",
        "REACTOR-3": "this follow-up acts under a lease: only its holder writes it",
    }
    return Words(texts.get(verdict.rule, "refused"), f"mesh explain {verdict.rule}", {})


WRITTEN_BEFORE = ("was written before: nothing new", "was written before: nothing new")
"""What came of a follow-up that another record was already."""


def says(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {"reactor": body["reactor"], "version": body["version"], "rules": len(body["rules"])}
    if not facts["rules"]:
        return Said("ends reactor `{reactor}` with version {version}", facts)
    rules = "rule" if facts["rules"] == 1 else "rules"
    return Said(f"publishes version {{version}} of reactor `{{reactor}}`, {{rules}} {rules}", facts)


def says_why(said: Said, body: Value) -> Said:
    """A sentence about a record that may be a follow-up: it names the record that it follows from."""
    if "reaction" not in body or "cause" not in body:
        return said
    facts = {**said.facts, "cause": body["cause"][:16]}
    return said._replace(template=said.template + ", which follows from record {cause}", facts=facts)
