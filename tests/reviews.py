"""Random wishes about reviews: rules, approvals before and after their records, rejections, requests that are held.

kind, body = wish(dice, state, "elm", drafts)      # drafts: ids of records that may not be sealed yet
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from orxaq_mesh.kinds import State, node
from orxaq_mesh.kinds.review import REVIEWABLE, reviews

Body = dict[str, Any]
NOBODYS = "ab" * 32
OFTEN = ("lease.acquire", "event.publish", "command.issue", "dag.submit", "task.skip")
PATTERNS = ("deploy", "prod*", "one", "one/*", "two*", "scale", "t", "r0", "r*", "elm", "yew", "nobody")
DEEDS = {"require": 2, "lift": 1, "approve": 12, "reject": 2, "allow": 1, "ask": 9, "take_back": 2}


def wish(dice: random.Random, state: State, who: str, drafts: Sequence[str]) -> tuple[str, Body]:
    """What a node may say next about reviews, seen from this state."""
    part = reviews(state)
    deed = dice.choices(list(DEEDS), list(DEEDS.values()))[0] if part.needs else "require"
    held = [(one.record, node.name_of(state, one.record)) for one in part.held.values()]
    others = [record.id for record, author in held if author != who or dice.random() < 0.05]
    match deed:
        case "require":
            return "review.require", _rule(dice)
        case "lift":
            return "review.lift", {"rule": dice.choice([*part.needs, "r9"])}
        case "allow":
            return "review.allow", {"digest": dice.choice((NOBODYS, "cd" * 32)), "reason": "an example"}
        case "ask":
            return _ask(dice, state)
        case "take_back":
            own = [record for record, author in held if author == who or dice.random() < 0.1]
            return _take_back(dice, own) if own else _ask(dice, state)
        case "reject":
            named = [record.id for record, author in held if author == who or dice.random() < 0.5]
            return "review.reject", {"records": _some(dice, named or [NOBODYS])}
    early = dice.random() < 0.4 or not others
    return "review.approve", {"records": _some(dice, [*(drafts if early else others), *others] or [NOBODYS])}


def _some(dice: random.Random, ids: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(dice.choices(ids, k=dice.choice((1, 1, 2, 5)))))


def _rule(dice: random.Random) -> Body:
    kinds = {*dice.choices(REVIEWABLE, k=dice.choice((0, 0, 1, 3))), *dice.choices(OFTEN, k=dice.choice((1, 1, 2, 4)))}
    body: Body = {"rule": f"r{dice.randrange(4)}", "kinds": sorted(kinds), "approvals": dice.choice((1, 1, 1, 2, 8))}
    if dice.random() < 0.5:
        body["names"] = dice.choices(PATTERNS, k=3)
    if dice.random() < 0.3:
        body["roles"] = dice.choice((["node"], ["node", "reviewer"], ["admin", "node"], ["reviewer"]))
    if dice.random() < 0.6:
        body["epochs"] = dice.choice((1, 3, 9, 30))
    return body


def _ask(dice: random.Random, state: State) -> tuple[str, Body]:
    until = state.epoch + dice.choice((1, 2, 5, 40))
    body: Body = {"lease": dice.choice(("deploy", "prod-db", "ci")), "session": dice.choice("st"), "ttl_ms": 60_000}
    body |= {"once": f"k{dice.randrange(5)}"} if dice.random() < 0.3 else {}
    return "lease.acquire", {**body, "until": until, "queue": dice.random() < 0.5}


def _take_back(dice: random.Random, own: Sequence[Any]) -> tuple[str, Body]:
    record = dice.choice(own)
    lease, session = record.body.get("lease", "deploy"), record.body.get("session", "s")
    if dice.random() < 0.2:
        lease, session = dice.choice((("ci", session), (lease, "z")))
    return "lease.release", {"lease": lease, "session": session, "record": record.id}


def told(state: State) -> list[Any]:
    """What a state knows of reviews, in a form that both implementations can say."""
    part = reviews(state)
    held = {id_: [one.approvals, one.until, sorted(one.approved)] for id_, one in part.held.items()}
    early = {id_: [epoch, sorted(names)] for id_, (epoch, names) in part.given.items()}
    return [list(held), held, early, sorted(part.needs), part.allowed]


def told_by_verifier(part: Any) -> list[Any]:
    """The same of the second implementation's."""
    held = {id_: [one.approvals, one.last, sorted(one.approvers)] for id_, one in part.held.items()}
    early = {id_: [epoch, sorted(names)] for id_, (epoch, names) in part.early.items()}
    return [list(held), held, early, sorted(part.rules), part.allowed]
