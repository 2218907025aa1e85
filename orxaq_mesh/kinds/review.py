"""Review: which records wait for somebody's approval, who gave it, and what is to be judged again.

Knows: the rules that name what needs an approval, the records that are held and the approvals that came before them,
texts that look like credentials and are none.
Knows not: what a held record asks for (its own family judges it once it may be), pull requests, branches.
Laws: LIVE (nothing that frees or ends something is ever held; what waits is bounded and ends, at the latest with its
author's standing), PREFIX (a verdict `held` stays in its epoch; the record is judged once more in the epoch of its
approval), UNTIL.

    epoch 40  ash requires 1 approval for lease.acquire of deploy
    epoch 41  elm acquires deploy                     held
    epoch 44  oak approves it                         approved; and elm's acquire: granted, token 44
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from orxaq_mesh.errors import Refused
from orxaq_mesh.kinds import node
from orxaq_mesh.kinds.base import APPLIED, HELD, REFUSED, Case, Judged, Kind, Moment, Row, Said, State, Verdict, Words
from orxaq_mesh.record import Record, Value
from orxaq_mesh.rules import Rule
from orxaq_mesh.schema import read_record

NAME = "review"
REVIEWABLE = (
    "breaker.reset",
    "command.issue",
    "dag.part",
    "dag.submit",
    "event.publish",
    "lease.acquire",
    "lease.take",
    "node.admit",
    "reactor.publish",
    "review.allow",
    "review.lift",
    "review.require",
    "task.assign",
    "task.retry",
    "task.skip",
    "work.offer",
)
"""What may be held: what begins something. What renews, ends, frees, revokes or reports never is (law LIVE)."""
WAIT_EPOCHS = 10_000
"""So many epochs a held record waits for its approval, unless its rule says otherwise."""
MAX_RULES, MAX_ALLOWED = 64, 1024
MAX_HELD, MAX_HELD_EACH = 1024, 128
MAX_GIVEN_EACH = 4096
_CLAIMS = ("task:", "command:")

KINDS = (
    Kind("review.require", frozenset({node.ADMIN})),
    Kind("review.lift", frozenset({node.ADMIN})),
    Kind("review.approve", node.REVIEWERS),
    Kind("review.reject", node.REVIEWERS | node.WRITERS),
    Kind("review.allow", node.REVIEWERS),
)

RULES = (
    Rule(
        "REVIEW-1",
        "What needs an approval is held",
        "An admin's rule names kinds, and where it likes names and roles; a record that it fits, and that too few "
        "reviewers have approved, has no effect: it is held. It is judged where the last approval that it needs is "
        "sealed; or refused (UNTIL) when its own `until` or the epochs that the rule grants have passed, or (NODE-3) "
        "where its author loses the right to write it. What the recovery key signs, a claim of work, and what a "
        "reactor makes are never held.",
        "Four eyes on a deploy must hold on every machine, also where the host's merge button was pressed.",
        "mesh policy require deploys --kind lease.acquire --name deploy: elm's acquire waits for a reviewer.",
    ),
    Rule(
        "REVIEW-2",
        "Nobody approves what they wrote",
        "An approval by the node that wrote one of the records it names is refused; and one that was given before its "
        "author's record was there does not count for that record. It counts as long as who gave it is admitted and may "
        "approve; what a revoked node approved, and was not judged yet, it has not approved.",
        "One laptop, or one agent, must not be two pairs of eyes.",
        "elm approves elm's acquire: refused, whatever roles elm has.",
    ),
    Rule(
        "REVIEW-3",
        "What is named must be there",
        "A rule that is lifted is in force, and a record that is rejected is held. An approval may come before its "
        "record: it is kept for that.",
        "A typing error must not pass for a deed.",
        "mesh reject 3f9a, where no held record has that id: refused.",
    ),
    Rule(
        "REVIEW-4",
        "A held record can be rejected",
        "A reviewer rejects a held record, or its own author takes it back; it is refused from then on.",
        "A no is a decision, too, and should not look like nobody's having looked.",
        "mesh reject 3f9a --reason 'not before Monday'.",
    ),
    Rule(
        "REVIEW-5",
        "What waits for an approval is bounded",
        "At most 64 rules are in force, 1,024 records held, 128 of one node, 4,096 approvals of one reviewer kept for "
        "records that are not there yet, and 1,024 texts allowed; what is beyond is refused.",
        "Nobody can fill every laptop's memory with what waits (law LIVE).",
        "The 129th proposal of one node is refused until one of the others is decided.",
    ),
)


class Need(NamedTuple):
    """One rule: which records need how many approvals, and how many epochs they wait at most.

    A name that ends in `*` stands for all that begin so; without names, or roles, every one fits. A role fits who has
    no other roles than those named.
    """

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    roles: tuple[str, ...]
    approvals: int
    epochs: int


class Held(NamedTuple):
    """A record that waits: since which epoch, how many approvals it needs, until when it waits, who approved it."""

    record: Record
    epoch: int
    approvals: int
    until: int
    approved: tuple[str, ...]


class Reviews:
    """The family's slice.

    Attributes:
        needs: the rules in force, by name.
        held: id -> what waits, in the order in which it came.
        given: id of a record that is not there yet -> in which epoch it was approved first, and by whom.
        allowed: sha256 of texts that look like credentials and are none -> who said so.
        again: ids of held records that are to be judged now, each with its verdict where that is known already.
        now: the id of the one that is being judged.
    """

    __slots__ = ("again", "allowed", "given", "held", "needs", "now")

    def __init__(self) -> None:
        self.needs: dict[str, Need] = {}
        self.held: dict[str, Held] = {}
        self.given: dict[str, tuple[int, tuple[str, ...]]] = {}
        self.allowed: dict[str, str] = {}
        self.again: list[tuple[str, Verdict | None]] = []
        self.now = ""


def reviews(state: State) -> Reviews:
    part: Reviews = state.slices[NAME]
    return part


def names_of(body: Value) -> Iterator[str]:
    """What a rule's names are compared with: the lease, DAG, task, command, topic, reactor or node it is about."""
    for field in ("lease", "dag", "task", "topic", "reactor", "name", "rule"):
        if field in body:
            yield body[field]
    for task in body.get("tasks", ()):
        yield f"{body['dag']}/{task['name']}"


def _meant(state: State, kind: str, body: Value) -> tuple[str, ...]:
    """The kinds whose rules a record comes under: its own, and that of what it would bring about all the same."""
    if kind == "dag.part":
        return kind, "dag.submit"  # its tasks are the DAG's, too
    if kind == "review.require" and body["rule"] in reviews(state).needs:
        return kind, "review.lift"  # it replaces that rule
    if kind == "lease.take" and not _has_queue(state, body["lease"]):
        return kind, "lease.acquire"  # it passes to who takes it; else to who waits, and was approved for that
    return (kind,)


def _has_queue(state: State, lease: str) -> bool:
    held = state.slices["lease"].by_name.get(lease)
    return held is not None and bool(held.queue)


def _fits(need: Need, kinds: tuple[str, ...], body: Value, roles: tuple[str, ...]) -> bool:
    if set(need.kinds).isdisjoint(kinds) or (need.roles and not set(roles) <= set(need.roles)):
        return False
    return not need.names or any(_matches(need.names, name) for name in names_of(body))


def _matches(patterns: tuple[str, ...], name: str) -> bool:
    whole, begun = _parted(patterns)
    return name in whole or name.startswith(begun)


@lru_cache(maxsize=4 * MAX_RULES)
def _parted(patterns: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names as they are, and beginnings of names: every record is held against them."""
    begun = tuple(pattern[:-1] for pattern in patterns if pattern.endswith("*"))
    return frozenset(patterns), begun  # no name ends in *


def _exempt(body: Value, roles: tuple[str, ...]) -> bool:
    """LIVE: whoever lost all their reviewers has the recovery key; and what was reviewed as a whole is not held again."""
    claim = str(body.get("lease", "")).startswith(_CLAIMS)
    return claim or node.RECOVERY in roles or "reaction" in body


def needed(state: State, author: node.Member | None, kind: str, body: Value) -> tuple[int, int]:
    """(approvals, epochs to wait) that the rules in force ask for; (0, 0): none."""
    part = reviews(state)
    if not part.needs or author is None or _exempt(body, author.roles):
        return 0, 0
    meant = _meant(state, kind, body)
    found = [(need.approvals, need.epochs) for need in part.needs.values() if _fits(need, meant, body, author.roles)]
    return max(found, default=(0, 0))


def _needed(state: State, record: Record) -> tuple[int, int]:
    return needed(state, node.members(state).by_log.get(record.log), record.kind, record.body)


def waits(state: State, record: Record) -> bool:
    """Whether a record has too few approvals to be judged by its own family here."""
    return not is_being_judged(state, record) and lacking(state, record) > 0


def lacking(state: State, record: Record) -> int:
    """How many approvals a record still lacks: those count that are not its author's, of who may approve (REVIEW-2)."""
    part = reviews(state)
    held = part.held.get(record.id)
    approvals, approved = (held.approvals, held.approved) if held else (_needed(state, record)[0], ())
    if not approvals:
        return 0
    author, (_, before) = node.name_of(state, record), part.given.get(record.id, (0, ()))
    return approvals - sum(name != author and _may_approve(state, name) for name in approved or before)


def _may_approve(state: State, name: str) -> bool:
    member = node.members(state).named(name)
    return member is not None and not node.REVIEWERS.isdisjoint(member.roles)


def verdict_of(state: State, record: Record) -> Verdict:
    """What comes of a record that waits: it is held, where there is room."""
    held, author = reviews(state).held.values(), node.name_of(state, record)
    if len(held) >= MAX_HELD or sum(node.name_of(state, one.record) == author for one in held) >= MAX_HELD_EACH:
        return Verdict(REFUSED, "REVIEW-5")
    return Verdict(HELD, "REVIEW-1")


def hold(state: State, record: Record, moment: Moment) -> None:
    """Keep a record until it is approved, rejected or too late. It ends, whatever its author wrote (law LIVE)."""
    part, (approvals, epochs) = reviews(state), _needed(state, record)
    last = moment.epoch + epochs
    until = min(record.body.get("until", last), last)
    _, approved = part.given.pop(record.id, (0, ()))
    part.held[record.id] = Held(record, moment.epoch, approvals, until, approved)


def is_being_judged(state: State, record: Record) -> bool:
    """Whether a record was held, and has its turn now."""
    return reviews(state).now == record.id


def is_held(state: State, record_id: str) -> bool:
    """Whether the record of this id waits for an approval."""
    return record_id in reviews(state).held


def held_records(state: State) -> list[Record]:
    """The records that wait for an approval, in the order in which they came."""
    return [held.record for held in reviews(state).held.values()]


def withdraw(state: State, record_id: str, rule: str) -> None:
    """A held record is to be refused, by this rule, as soon as what brought that about is done."""
    reviews(state).again.append((record_id, Verdict(REFUSED, rule)))


def held_with(state: State, name: str, once: object) -> Record | None:
    """ONCE: the held record of a node with this idempotency key."""
    if once is None:
        return None
    mine = (held.record for held in reviews(state).held.values() if node.name_of(state, held.record) == name)
    return next((record for record in mine if record.body.get("once") == once), None)


# The table.


def _by_its_author(state: State, record: Record, moment: Moment) -> bool:
    held, author = reviews(state).held, node.name_of(state, record)
    named = (held[id_].record for id_ in record.body["records"] if id_ in held)
    return any(node.name_of(state, other) == author for other in named)


def _too_many_given(state: State, record: Record, moment: Moment) -> bool:
    part, name = reviews(state), node.name_of(state, record)
    early = {id_ for id_ in record.body["records"] if id_ not in part.held}
    return bool(early) and len(early.union(id_ for id_, (_, by) in part.given.items() if name in by)) > MAX_GIVEN_EACH


def _none_held(state: State, record: Record, moment: Moment) -> bool:
    return not all(id_ in reviews(state).held for id_ in record.body["records"])


def _foreign(state: State, record: Record, moment: Moment) -> bool:
    author = node.members(state).by_log[record.log]
    if not node.REVIEWERS.isdisjoint(author.roles):
        return False
    held = reviews(state).held
    return any(node.name_of(state, held[id_].record) != author.name for id_ in record.body["records"])


def _unknown_rule(state: State, record: Record, moment: Moment) -> bool:
    return record.body["rule"] not in reviews(state).needs


def _too_many_rules(state: State, record: Record, moment: Moment) -> bool:
    return len(reviews(state).needs.keys() | {record.body["rule"]}) > MAX_RULES


def _too_many_allowed(state: State, record: Record, moment: Moment) -> bool:
    return len(reviews(state).allowed.keys() | {record.body["digest"]}) > MAX_ALLOWED


CASES: Mapping[str, Case] = {
    "too many rules": _too_many_rules,
    "no such rule": _unknown_rule,
    "one of the records is its author's": _by_its_author,
    "too many approvals wait for their records": _too_many_given,
    "one of the records is not held": _none_held,
    "neither a reviewer nor the author of all": _foreign,
    "too many texts": _too_many_allowed,
    "otherwise": lambda state, record, moment: True,
}


def _require(state: State, record: Record, moment: Moment) -> None:
    body = record.body
    names, roles = tuple(body.get("names", ())), tuple(body.get("roles", ()))
    need = Need(tuple(body["kinds"]), names, roles, body["approvals"], body.get("epochs", WAIT_EPOCHS))
    reviews(state).needs[body["rule"]] = need


def _lift(state: State, record: Record, moment: Moment) -> None:
    """What is held already stays so: it was written under the rule."""
    del reviews(state).needs[record.body["rule"]]


def _approve(state: State, record: Record, moment: Moment) -> None:
    part, name = reviews(state), node.name_of(state, record)
    for id_ in record.body["records"]:
        held = part.held.get(id_)
        if held is None:
            epoch, names = part.given.get(id_, (moment.epoch, ()))
            part.given[id_] = (epoch, tuple(sorted({*names, name})))
            continue
        part.held[id_] = held._replace(approved=tuple(sorted({*held.approved, name})))
        if lacking(state, held.record) <= 0:
            part.again.append((id_, None))


def _reject(state: State, record: Record, moment: Moment) -> None:
    for id_ in record.body["records"]:
        withdraw(state, id_, "REVIEW-4")


def _allow(state: State, record: Record, moment: Moment) -> None:
    reviews(state).allowed[record.body["digest"]] = node.name_of(state, record)


ROWS = (
    Row("review.require", "too many rules", REFUSED, "REVIEW-5"),
    Row("review.require", "otherwise", APPLIED, "REVIEW-1", "required", _require),
    Row("review.lift", "no such rule", REFUSED, "REVIEW-3"),
    Row("review.lift", "otherwise", APPLIED, "REVIEW-1", "lifted", _lift),
    Row("review.approve", "one of the records is its author's", REFUSED, "REVIEW-2"),
    Row("review.approve", "too many approvals wait for their records", REFUSED, "REVIEW-5"),
    Row("review.approve", "otherwise", APPLIED, "REVIEW-1", "approved", _approve),
    Row("review.reject", "one of the records is not held", REFUSED, "REVIEW-3"),
    Row("review.reject", "neither a reviewer nor the author of all", REFUSED, "NODE-3"),
    Row("review.reject", "otherwise", APPLIED, "REVIEW-4", "rejected", _reject),
    Row("review.allow", "too many texts", REFUSED, "REVIEW-5"),
    Row("review.allow", "otherwise", APPLIED, "SECRET", "allowed", _allow),
)


# What is judged again.


def turns(state: State) -> Iterator[tuple[Record, Verdict | None]]:
    """The held records that have their turn, each with its verdict where that is known; they are held no longer."""
    part = reviews(state)
    while part.again:
        id_, verdict = part.again.pop(0)
        if (held := part.held.pop(id_, None)) is not None:
            part.now = id_
            yield held.record, verdict
            part.now = ""


def new() -> Reviews:
    return Reviews()


def dump(part: Reviews) -> Any:
    return {
        "allowed": part.allowed,
        "given": [[id_, epoch, list(names)] for id_, (epoch, names) in part.given.items()],
        "held": [[held.record.line.decode(), *held[1:4], list(held.approved)] for held in part.held.values()],
        "needs": {name: [[*need.kinds], [*need.names], [*need.roles], *need[3:]] for name, need in part.needs.items()},
    }


def load(data: Any) -> Reviews:
    part = Reviews()
    part.allowed = dict(data["allowed"])
    part.given = {id_: (epoch, tuple(names)) for id_, epoch, names in data["given"]}
    for line, epoch, approvals, until, approved in data["held"]:
        record = read_record(line.encode())
        part.held[record.id] = Held(record, epoch, approvals, until, tuple(approved))
    for name, (kinds, names, roles, approvals, epochs) in data["needs"].items():
        part.needs[name] = Need(tuple(kinds), tuple(names), tuple(roles), approvals, epochs)
    return part


def copy(part: Reviews) -> Reviews:
    twin = Reviews()
    twin.needs, twin.held, twin.given, twin.allowed = (
        dict(part.needs),
        dict(part.held),
        dict(part.given),
        dict(part.allowed),
    )
    return twin


def open_epoch(state: State, moment: Moment) -> None:
    """UNTIL: what waited too long is refused; so is what was approved and never came forgotten."""
    part = reviews(state)
    part.again += [(id_, Verdict(REFUSED, "UNTIL")) for id_, held in part.held.items() if held.until < moment.epoch]
    while part.given and next(iter(part.given.values()))[0] + WAIT_EPOCHS < moment.epoch:
        del part.given[next(iter(part.given))]


def gone(state: State, node: str, moment: Moment) -> None:
    """A node lost its standing: what it approved, and was not judged yet, is approved by it no more (REVIEW-2)."""
    part = reviews(state)
    for id_, held in part.held.items():
        if node in held.approved:
            part.held[id_] = held._replace(approved=tuple(name for name in held.approved if name != node))
    for id_, (epoch, names) in list(part.given.items()):
        if names == (node,):
            del part.given[id_]
        elif node in names:
            part.given[id_] = (epoch, tuple(name for name in names if name != node))


def propose(state: State, node: str, kind: str, wish: Value) -> Value:
    """Records are named by their whole ids, or by so much of one as fits one held record alone."""
    named = wish.get("records")
    if kind not in ("review.approve", "review.reject") or not isinstance(named, list):
        return wish
    return {**wish, "records": [_whole(state, prefix) for prefix in named]}


def _whole(state: State, prefix: Any) -> Any:
    if not isinstance(prefix, str) or len(prefix) == 64:
        return prefix  # its form is the schema's matter
    found = [id_ for id_ in reviews(state).held if id_.startswith(prefix)]
    if len(found) != 1:
        count = "several records" if found else "no record"
        raise Refused("REVIEW-3", f"{count} that waits has an id that begins with {prefix}", hint="mesh proposals")
    return found[0]


def words(state: State, record: Record, verdict: Verdict) -> Words:
    """Why something about reviews was refused, or why a record of any kind is held."""
    if verdict.outcome == HELD:
        lacks = lacking(state, record)
        what = f"{record.kind} needs {lacks} approval{'s' if lacks != 1 else ''} of others; it has no effect so far"
        return Words(what, f"mesh propose, then another node: mesh approve {record.id[:12]}", {"approvals": lacks})
    says = next((rule.title for rule in RULES if rule.id == verdict.rule), verdict.rule)
    if verdict.rule == "REVIEW-4":
        says = "a reviewer rejected it, or its author took it back"
    return Words(says, f"mesh explain {verdict.rule}", {})


# What a reader of a change is told.


def says_held(state: State, record: Record) -> Said:
    """What a held record waits for, to be put behind what it asks for; of several tasks, for which of them."""
    author = node.members(state).by_log.get(record.log)
    meant, all_ = _meant(state, record.kind, record.body), reviews(state).needs.values()
    needs = [need for need in all_ if author and _fits(need, meant, record.body, author.roles)]
    facts: dict[str, str | int] = {}
    if (lacks := lacking(state, record)) > 0:
        facts["lacks"] = lacks
    if len(record.body.get("tasks", ())) > 1:
        patterns = tuple(pattern for need in needs for pattern in need.names)
        found = [name for name in names_of(record.body) if _matches(patterns, name)]
        facts |= {"reviewed": ", ".join(found)} if found else {}
    template = ", needs approval of {lacks}" if "lacks" in facts else ", needs approval"
    return Said(template + " for `{reviewed}`" * ("reviewed" in facts), facts)


def _says_require(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts: dict[str, str | int] = {"rule_name": body["rule"], "kinds": ", ".join(sorted(body["kinds"]))}
    facts["approvals"] = body["approvals"]
    template = "requires approval of {approvals} for {kinds}"
    if "names" in body:
        template, facts = template + ", where it is about `{names}`", {**facts, "names": ", ".join(body["names"])}
    if "roles" in body:
        template += ", by nodes that are no more than {roles}"
        facts["roles"] = " or ".join(sorted(body["roles"]))
    if "epochs" in body:
        template, facts = template + ", and lets it wait {epochs} epochs", {**facts, "epochs": body["epochs"]}
    template += " (review rule `{rule_name}`)"
    if (old := reviews(before).needs.get(body["rule"])) is not None:
        template += "; in place of approval of {old_approvals} for {old_kinds}"
        facts |= {"old_approvals": old.approvals, "old_kinds": ", ".join(sorted(old.kinds))}
        if old.names:
            template, facts = template + ", about `{old_names}`", {**facts, "old_names": ", ".join(old.names)}
    return Said(template, facts)


def _says_lift(before: State, after: State, judged: Judged) -> Said:
    need = reviews(before).needs.get(judged.record.body["rule"])
    facts: dict[str, str | int] = {"rule_name": judged.record.body["rule"]}
    if need is None:
        return Said("lifts the review rule `{rule_name}`", facts)
    facts |= {"kinds": ", ".join(sorted(need.kinds)), "approvals": need.approvals}
    return Said("lifts the review rule `{rule_name}`: approval of {approvals} for {kinds}", facts)


def _says_decides(before: State, after: State, judged: Judged) -> Said:
    """An approval or a rejection: of which records, as far as they are known here."""
    body = judged.record.body
    names = ", ".join(_named(before, after, id_) for id_ in body["records"])
    verb = "approves" if judged.record.kind == "review.approve" else "rejects"
    if "reason" not in body:
        return Said(f"{verb} {{records}}", {"records": names})
    return Said(f"{verb} {{records}}: `{{reason}}`", {"records": names, "reason": body["reason"]})


def _named(before: State, after: State, id_: str) -> str:
    for state in (before, after):
        if (held := reviews(state).held.get(id_)) is not None:
            return f"{held.record.kind} of {node.name_of(state, held.record)} ({id_[:16]})"
    return f"record {id_[:16]}"


def _says_allow(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {"digest": body["digest"], "reason": body["reason"]}
    return Said("says that the text with sha256 {digest} is no credential: `{reason}`", facts)


_SAYS: Mapping[str, Callable[[State, State, Judged], Said]] = {
    "review.require": _says_require,
    "review.lift": _says_lift,
    "review.approve": _says_decides,
    "review.reject": _says_decides,
    "review.allow": _says_allow,
}


def says(before: State, after: State, judged: Judged) -> Said:
    return _SAYS[judged.record.kind](before, after, judged)
