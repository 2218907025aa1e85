"""Reviews: every row of the table, and what the table keeps (REVIEW-1 to 5, LIVE, PREFIX, UNTIL, SET)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from orxaq_mesh import fold, kinds, schema
from orxaq_mesh.errors import Refused
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import Moment, node, review
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.review import MAX_ALLOWED, MAX_GIVEN_EACH, MAX_HELD_EACH, MAX_RULES, REVIEWABLE, reviews
from orxaq_mesh.record import Record, canonical, line_id
from tests import orders
from tests.builder import Pen, Trunk, effect_of, row_reached, secret, snapshot
from tests.format_page import at_another_hub
from tests.worlds import Reader, Tree, merged

HELD = ("held", "REVIEW-1", "")
GRANTED = ("applied", "LEASE-1", "granted")


def fleet() -> Trunk:
    """oak (an admin), elm (a node), ash (a node and reviewer), fir (a reviewer)."""
    trunk = Trunk.founded()
    for name, roles in (("elm", ["node"]), ("ash", ["node", "reviewer"]), ("fir", ["reviewer"])):
        trunk.admit(name, *roles)
    return trunk


def require(trunk: Trunk, rule: str = "r", **body: Any) -> None:
    body = {"kinds": ["lease.acquire"], "approvals": 1} | body
    assert trunk.verdict(trunk.oak.write("review.require", rule=rule, **body)).result == "required"


def ask(pen: Pen, lease: str = "deploy", session: str = "s", **body: Any) -> Record:
    return pen.write("lease.acquire", **{"lease": lease, "session": session, "ttl_ms": 60_000, "until": 9999} | body)


def approve(pen: Pen, *records: Record) -> Record:
    return pen.write("review.approve", records=[record.id for record in records])


def reject(pen: Pen, *records: Record) -> Record:
    return pen.write("review.reject", records=[record.id for record in records], reason="not now")


def held(trunk: Trunk, record: Record) -> Record:
    """The record, sealed and held."""
    assert trunk.verdict(record) == HELD
    return record


def say(trunk: Trunk, pen: Pen, **body: Any) -> Record:
    return pen.write("event.publish", **{"topic": "t", "type": "x", "payload": trunk.ledger.state.epoch} | body)


def pass_epochs(trunk: Trunk, count: int) -> list[Judged]:
    return [judged for _ in range(count) for judged in trunk.seal(say(trunk, trunk.oak))]


def later(trunk: Trunk, record: Record, *records: Record, by: Pen | None = None) -> tuple[str, ...] | None:
    """The verdict of a held record in the epoch that these close, if its turn comes in it."""
    found = [item.verdict for item in trunk.seal(*records, by=by) if item.again and item.record.id == record.id]
    return found[0] if found else None


def holder(trunk: Trunk, lease: str = "deploy") -> tuple[str, int]:
    found = leases(trunk.ledger.state).by_name.get(lease)
    return (found.holder, found.token) if found else ("", 0)


# One scene a row: it brings the ledger to where the row decides, and gives the record.

Scene = Callable[[Trunk, Pen, Pen, Pen, Pen], Record]
SCENES: dict[tuple[str, str], Scene] = {}


def scene(kind: str, case: str) -> Callable[[Scene], Scene]:
    def note(play: Scene) -> Scene:
        SCENES[f"review.{kind}", case] = play
        return play

    return note


def rule_of(number: int) -> dict[str, Any]:
    return {"rule": f"r{number}", "kinds": ["node.admit"], "approvals": 1}


@scene("require", "too many rules")
def _(trunk, oak, elm, ash, fir):
    trunk.seal(*(oak.write("review.require", **rule_of(number)) for number in range(MAX_RULES)))
    return oak.write("review.require", **rule_of(MAX_RULES))


@scene("require", "otherwise")
def _(trunk, oak, elm, ash, fir):
    return oak.write("review.require", **rule_of(1))


@scene("lift", "no such rule")
def _(trunk, oak, elm, ash, fir):
    require(trunk)
    return oak.write("review.lift", rule="another")


@scene("lift", "otherwise")
def _(trunk, oak, elm, ash, fir):
    require(trunk)
    return oak.write("review.lift", rule="r")


@scene("approve", "one of the records is its author's")
def _(trunk, oak, elm, ash, fir):
    require(trunk)
    return approve(ash, held(trunk, ask(elm)), held(trunk, ask(ash)))


@scene("approve", "too many approvals wait for their records")
def _(trunk, oak, elm, ash, fir):
    ids = [line_id(b"%d" % number) for number in range(MAX_GIVEN_EACH)]
    trunk.seal(*(fir.write("review.approve", records=ids[at : at + 64]) for at in range(0, len(ids), 64)))
    return fir.write("review.approve", records=["ab" * 32])


@scene("approve", "otherwise")
def _(trunk, oak, elm, ash, fir):
    require(trunk)
    return approve(fir, held(trunk, ask(elm)))


@scene("reject", "one of the records is not held")
def _(trunk, oak, elm, ash, fir):
    require(trunk)
    granted = ask(elm)
    trunk.seal(approve(fir, granted), granted)
    return reject(fir, granted)


@scene("reject", "neither a reviewer nor the author of all")
def _(trunk, oak, elm, ash, fir):
    require(trunk)
    return reject(elm, held(trunk, ask(elm)), held(trunk, ask(ash)))


@scene("reject", "otherwise")
def _(trunk, oak, elm, ash, fir):
    require(trunk)
    return reject(fir, held(trunk, ask(elm)))


@scene("allow", "too many texts")
def _(trunk, oak, elm, ash, fir):
    part = reviews(trunk.ledger.state)
    part.allowed |= {line_id(b"%d" % number): "fir" for number in range(MAX_ALLOWED)}
    return fir.write("review.allow", digest="ab" * 32, reason="an example")


@scene("allow", "otherwise")
def _(trunk, oak, elm, ash, fir):
    return fir.write("review.allow", digest="ab" * 32, reason="an example")


@pytest.mark.parametrize("row", review.ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_the_table_is_reached_and_what_is_not_applied_changes_nothing(row: kinds.Row) -> None:
    trunk = fleet()
    record = SCENES[row.kind, row.case](trunk, *trunk.pens.values())
    state, moment = trunk.ledger.state, Moment(trunk.ledger.state.epoch + 1, "f" * 64)
    assert row_reached(review, state, record, moment) is row
    verdict, changed = effect_of(state, record, moment)
    assert verdict == (row.outcome, row.rule, row.result)
    assert changed == (row.outcome == "applied")
    assert fold.snapshot(fold.restore(fold.snapshot(state))) == fold.snapshot(state)
    if row.outcome != "applied":
        words = kinds.words(state, record, verdict)
        assert words.what
        assert words.hint.startswith("mesh")


def test_no_scene_plays_a_row_that_is_gone() -> None:
    assert set(SCENES) == {(row.kind, row.case) for row in review.ROWS}
    assert set(review.CASES) == {row.case for row in review.ROWS}


# REVIEW-1: what is held, and what comes of it.


def test_REVIEW_1_has_no_effect_before_its_approval_and_is_granted_where_that_is_sealed() -> None:
    trunk = fleet()
    require(trunk)
    wish = held(trunk, ask(trunk.pens["elm"]))
    assert holder(trunk) == ("", 0)
    assert trunk.verdict(ask(trunk.oak, "another")) == HELD
    pass_epochs(trunk, 3)
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) == GRANTED
    assert holder(trunk) == ("elm", trunk.ledger.state.epoch)
    assert reviews(trunk.ledger.state).held.keys() != {wish.id}


def test_DIGEST_a_held_record_is_one_record_and_has_two_lines() -> None:
    trunk = fleet()
    require(trunk)
    before = trunk.ledger.state.records
    wish = held(trunk, ask(trunk.pens["elm"]))
    digest = trunk.ledger.state.digest
    judged = trunk.seal(approve(trunk.pens["fir"], wish))
    assert [(item.record.id == wish.id, item.again) for item in judged] == [(False, False), (True, True)]
    lines = [f"{item.record.id} {' '.join(item.verdict)}\n" for item in judged]
    assert trunk.ledger.state.digest == line_id(f"{digest}\n{''.join(lines)}".encode())
    assert trunk.ledger.state.records == before + 2


@pytest.mark.parametrize(
    ("rule", "body", "fits"),
    [
        ({}, {}, True),
        ({"names": ["deploy"]}, {}, True),
        ({"names": ["prod", "dep*"]}, {}, True),
        ({"names": ["dep"]}, {}, False),
        ({"names": ["ploy*"]}, {}, False),
        ({"names": ["deploy/*"]}, {}, False),
        ({"names": ["deploy*"]}, {"lease": "deploy/web"}, True),
        ({"roles": ["node"]}, {}, True),
        ({"roles": ["node", "observer"]}, {}, True),
        ({"roles": ["admin"]}, {}, False),
        ({"kinds": ["lease.take", "event.publish"]}, {}, False),
        ({"names": ["deploy"], "roles": ["admin"]}, {}, False),
    ],
)
def test_REVIEW_1_a_rule_fits_by_kind_name_and_roles(rule: dict[str, Any], body: dict[str, Any], fits: bool) -> None:
    trunk = fleet()
    require(trunk, **rule)
    assert trunk.verdict(ask(trunk.pens["elm"], **body)) == (HELD if fits else GRANTED)


def test_REVIEW_1_who_has_a_role_more_than_the_rule_names_is_not_meant() -> None:
    trunk = fleet()
    require(trunk, roles=["node"])
    assert trunk.verdict(ask(trunk.pens["ash"])) == GRANTED
    require(trunk, "both", roles=["node", "reviewer"])
    assert trunk.verdict(ask(trunk.pens["ash"], "another")) == HELD


def test_REVIEW_1_a_dag_is_named_by_itself_and_by_each_of_its_tasks() -> None:
    trunk = fleet()
    require(trunk, kinds=["dag.submit"], names=["release/publish"])
    tasks = [orders.task("build"), orders.task("publish", "build")]
    assert trunk.verdict(orders.submit(trunk.pens["elm"], *tasks)) == HELD
    assert trunk.verdict(orders.submit(trunk.pens["elm"], tasks[0])).result == "submitted"


def test_REVIEW_1_a_part_of_a_dag_needs_what_its_submit_needs() -> None:
    trunk = fleet()
    require(trunk, kinds=["dag.submit"], names=["release/publish"])
    begun = orders.submit(trunk.pens["elm"], orders.task("build"), parts=1)
    assert trunk.verdict(begun).result == "begun"
    body = {"dag": "release", "record": begun.id, "part": 1, "until": 9999}
    part = held(trunk, trunk.pens["elm"].write("dag.part", tasks=[orders.task("publish", "build")], **body))
    assert later(trunk, part, approve(trunk.pens["fir"], part)) == ("applied", "DAG-1", "submitted")


def test_REVIEW_1_of_several_rules_the_strictest_counts() -> None:
    trunk = fleet()
    require(trunk, "one", approvals=1, epochs=99)
    require(trunk, "two", approvals=2, epochs=3)
    require(trunk, "three", approvals=2, epochs=7)
    wish = held(trunk, ask(trunk.pens["elm"]))
    known = reviews(trunk.ledger.state).held[wish.id]
    assert (known.approvals, known.until) == (2, known.epoch + 7)


def test_REVIEW_1_two_approvals_are_two_names_and_not_one_twice() -> None:
    trunk = fleet()
    require(trunk, approvals=2)
    wish, ash = held(trunk, ask(trunk.pens["elm"])), trunk.pens["ash"]
    assert later(trunk, wish, approve(ash, wish)) is None
    assert later(trunk, wish, approve(ash, wish)) is None
    new = trunk.pens["ash"] = _rotated(trunk, ash)
    assert later(trunk, wish, approve(new, wish)) is None
    assert later(trunk, wish, approve(trunk.oak, wish)) == GRANTED


def _rotated(trunk: Trunk, pen: Pen) -> Pen:
    """A node's new pen, when its rotation was sealed."""
    rotation = pen.write("node.rotate", key=secret(f"{pen.name} anew").public.text)
    assert trunk.seal(rotation)[0].verdict.result == "rotated"
    new = Pen(pen.name, secret(f"{pen.name} anew"), rotation.id)
    new.ledger_id, new.seen = pen.ledger_id, (trunk.ledger.state.epoch, trunk.ledger.state.seal)
    return new


def test_REVIEW_1_claims_follow_ups_and_the_recovery_key_are_never_held() -> None:
    trunk = orders.fleet()
    for kind in REVIEWABLE:
        require(trunk, kind, kinds=[kind], approvals=8)
        if kind == "node.admit":
            break
    elm, state = trunk.pens["elm"], trunk.ledger.state
    member = node.members(state).by_log[elm.log]
    recovery = next(member for member in node.members(state).by_log.values() if member.name == "recovery")
    assert review.needed(state, member, "lease.acquire", {"lease": "task:release/build"}) == (0, 0)
    assert review.needed(state, member, "command.issue", {"name": "scale", "reaction": "ab" * 16}) == (0, 0)
    assert review.needed(state, recovery, "node.admit", {"name": "yew"}) == (0, 0)
    assert review.needed(state, member, "lease.acquire", {"lease": "release"})[0] == 8


def test_LIVE_no_rule_can_hold_what_ends_frees_renews_or_reports() -> None:
    ends = {"node.revoke", "node.rotate", "lease.release", "lease.break", "lease.renew", "task.finish", "task.receipt"}
    ends |= {"command.finish", "command.cancel", "dag.cancel", "breaker.open", "review.approve", "review.reject"}
    assert ends | {"node.found", "node.hello"} == set(kinds.KINDS) - set(REVIEWABLE)
    for kind in kinds.KINDS:
        fits = schema.fits_body("review.require", {"rule": "r", "kinds": [kind], "approvals": 1})
        assert fits == (kind in REVIEWABLE)


def test_C20_what_acts_under_a_lease_is_fenced_where_its_approval_comes_too_late() -> None:
    trunk = fleet()
    elm, fir = trunk.pens["elm"], trunk.pens["fir"]
    require(trunk, kinds=["event.publish"], names=["t"])
    wish = ask(elm)
    trunk.seal(wish)
    under = {"lease": "deploy", "session": "s", "token": trunk.ledger.state.epoch}
    first, second = (held(trunk, say(trunk, elm, under=under)) for _ in range(2))
    assert later(trunk, first, approve(fir, first)) == ("applied", "EVENT-1", "published")
    trunk.seal(elm.write("lease.release", lease="deploy", session="s", record=wish.id, token=under["token"]))
    assert later(trunk, second, approve(fir, second)) == ("fenced", "FENCE", "")


def test_ONCE_of_two_that_are_held_with_one_key_one_takes_effect() -> None:
    trunk = fleet()
    require(trunk)
    first, second = (held(trunk, ask(trunk.pens["elm"], once="k", queue=True)) for _ in range(2))
    judged = trunk.seal(approve(trunk.pens["fir"], second, first))
    assert [item.verdict[:2] for item in judged if item.again] == [("applied", "LEASE-1"), ("refused", "ONCE")]


def test_SEEN_what_was_held_is_not_too_old_for_what_its_author_wrote_since() -> None:
    trunk = fleet()
    require(trunk)
    elm = trunk.pens["elm"]
    wish = held(trunk, ask(elm))
    pass_epochs(trunk, 2)
    trunk.seal(say(trunk, elm))
    member = node.members(trunk.ledger.state).by_log[elm.log]
    seen, at = member.seen, member.at
    assert seen > wish.seen_epoch
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) == GRANTED
    member = node.members(trunk.ledger.state).by_log[elm.log]
    assert (member.seen, member.at) == (seen, at)


# Approvals before, beside and behind their record.


def test_REVIEW_1_an_approval_that_was_sealed_before_its_record_counts_once_that_comes() -> None:
    trunk = fleet()
    require(trunk, approvals=2)
    wish = ask(trunk.pens["elm"])
    trunk.seal(approve(trunk.pens["fir"], wish))
    held(trunk, wish)
    assert reviews(trunk.ledger.state).given == {}
    assert later(trunk, wish, approve(trunk.oak, wish)) == GRANTED


def test_EPOCH_in_one_epoch_record_and_approval_come_to_the_same_in_either_order() -> None:
    trunk = fleet()
    require(trunk)
    elm, fir = trunk.pens["elm"], trunk.pens["fir"]
    met: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for number in range(60):
        wish = ask(elm, f"l{number}")
        judged = trunk.seal(wish, approve(fir, wish))
        met[tuple(item.record.kind for item in judged)] = [item.verdict for item in judged if item.record.id == wish.id]
        assert holder(trunk, f"l{number}") == ("elm", trunk.ledger.state.epoch)
        if len(met) == 2:
            break
    assert met["review.approve", "lease.acquire"] == [GRANTED]
    assert met["lease.acquire", "review.approve", "lease.acquire"] == [HELD, GRANTED]


def test_REVIEW_2_an_early_approval_by_another_key_of_the_same_name_counts_for_nothing() -> None:
    trunk = fleet()
    require(trunk)
    ash, again = trunk.pens["ash"], trunk.pen("ash", secret("ash again"))
    hello, wish = again.hello(), ask(again)
    assert trunk.verdict(approve(ash, wish)).result == "approved"
    trunk.seal(trunk.oak.write("node.revoke", log=ash.log, reason="lost"), hello)
    trunk.seal(trunk.oak.write("node.admit", name="ash", key=again.key.public.text, roles=["node"]))
    held(trunk, wish)
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) == GRANTED


def test_REVIEW_1_records_are_judged_in_the_order_in_which_their_approval_names_them() -> None:
    trunk = fleet()
    require(trunk)
    first, second = held(trunk, ask(trunk.pens["elm"])), held(trunk, ask(trunk.pens["ash"]))
    judged = trunk.seal(approve(trunk.oak, second, first))
    assert [item.verdict[:2] for item in judged if item.again] == [("applied", "LEASE-1"), ("refused", "LEASE-2")]
    assert holder(trunk)[0] == "ash"


# How it ends otherwise.


@pytest.mark.parametrize("who", ["fir", "elm"])
def test_REVIEW_4_a_reviewer_rejects_and_an_author_takes_back(who: str) -> None:
    trunk = fleet()
    require(trunk)
    wish = held(trunk, ask(trunk.pens["elm"]))
    assert later(trunk, wish, reject(trunk.pens[who], wish)) == ("refused", "REVIEW-4", "")
    assert trunk.verdict(reject(trunk.pens["fir"], wish)).rule == "REVIEW-3"
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) is None
    assert holder(trunk) == ("", 0)


@pytest.mark.parametrize(("until", "epochs", "last"), [(2, 9, 2), (9999, 3, 3), (None, 3, 3)])
def test_UNTIL_what_nobody_approves_ends_with_its_until_or_the_epochs_of_its_rule(
    until: int | None, epochs: int, last: int
) -> None:
    trunk = fleet()
    require(trunk, kinds=["lease.acquire", "event.publish"], roles=["node"], epochs=epochs)
    elm, next_epoch = trunk.pens["elm"], trunk.ledger.state.epoch + 1
    wish = held(trunk, ask(elm, until=next_epoch + until) if until else say(trunk, elm))
    assert not [item for item in pass_epochs(trunk, last) if item.again]
    assert reviews(trunk.ledger.state).held
    late = approve(trunk.pens["fir"], wish)
    judged = trunk.seal(late)
    assert (judged[0].record.id, judged[0].verdict) == (wish.id, ("refused", "UNTIL", ""))
    assert kinds.words(trunk.ledger.state, wish, judged[0].verdict).what
    assert reviews(trunk.ledger.state).held == {}


@pytest.mark.parametrize("last", ["until", "epochs"])
def test_UNTIL_the_last_epoch_counts(last: str) -> None:
    trunk = fleet()
    require(trunk, epochs=2 if last == "epochs" else 99)
    until = trunk.ledger.state.epoch + 3 if last == "until" else 9999
    wish = held(trunk, ask(trunk.pens["elm"], until=until))
    pass_epochs(trunk, 1)
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) == GRANTED


@pytest.mark.parametrize("how", ["revoked", "observer", "rotated", "suspended"])
def test_NODE_3_LIVE_what_is_held_ends_with_its_authors_standing_in_that_very_epoch(how: str) -> None:
    trunk = fleet()
    require(trunk)
    elm, oak = trunk.pens["elm"], trunk.oak
    wish = held(trunk, ask(elm))
    match how:
        case "revoked":
            records = [oak.write("node.revoke", log=elm.log, reason="lost")]
        case "observer":
            records = [oak.write("node.admit", name="elm", key=elm.key.public.text, roles=["observer"])]
        case "rotated":
            records = [elm.write("node.rotate", key=secret("elm anew").public.text)]
        case "suspended":
            twins = [elm.draft("event.publish", {"topic": "t", "type": "x", "payload": n}) for n in range(2)]
            trunk.push(twins)
            records = [say(trunk, oak)]
    assert later(trunk, wish, *records) == ("refused", "NODE-3", "")
    assert reviews(trunk.ledger.state).held == {}
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) is None
    assert holder(trunk) == ("", 0)


def test_NODE_3_an_admin_who_is_one_no_longer_keeps_what_a_node_may_ask_for_and_loses_the_rest() -> None:
    trunk = fleet()
    trunk.seal(
        trunk.oak.write("node.admit", name="ash", key=trunk.pens["ash"].key.public.text, roles=["admin", "node"])
    )
    require(trunk, kinds=["lease.acquire", "reactor.publish"], roles=["admin", "node"])
    ash, fir = trunk.pens["ash"], trunk.pens["fir"]
    wish, mapping = held(trunk, ask(ash)), held(trunk, ash.write("reactor.publish", reactor="m", version=1, rules=[]))
    demote = trunk.oak.write("node.admit", name="ash", key=ash.key.public.text, roles=["node"])
    judged = trunk.seal(demote)
    assert [(item.record.id, item.verdict.rule) for item in judged if item.again] == [(mapping.id, "NODE-3")]
    assert later(trunk, wish, approve(fir, wish)) == GRANTED


def test_REVIEW_2_what_a_revoked_reviewer_approved_and_was_not_judged_yet_it_has_not_approved() -> None:
    trunk = fleet()
    require(trunk, approvals=2)
    ash, fir = trunk.pens["ash"], trunk.pens["fir"]
    wish = held(trunk, ask(trunk.pens["elm"]))
    early = ask(trunk.pens["elm"], "early")
    trunk.seal(approve(fir, wish, early))
    trunk.seal(trunk.oak.write("node.revoke", log=fir.log, reason="lost"))
    again = trunk.pen("fir", secret("fir again"))
    admit = trunk.oak.write("node.admit", name="fir", key=again.key.public.text, roles=["reviewer"])
    trunk.seal(again.hello(), admit)
    assert later(trunk, wish, approve(ash, wish, early)) is None
    assert trunk.verdict(early) == HELD
    judged = trunk.seal(approve(trunk.oak, wish, early))
    assert [item.verdict.rule for item in judged if item.again] == ["LEASE-1", "LEASE-1"]


def test_PREFIX_what_was_judged_stays_judged_though_its_reviewer_is_revoked() -> None:
    trunk = fleet()
    require(trunk)
    wish = held(trunk, ask(trunk.pens["elm"]))
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) == GRANTED
    trunk.seal(trunk.oak.write("node.revoke", log=trunk.pens["fir"].log, reason="lost"))
    assert trunk.verdicts[wish.id] == GRANTED
    assert holder(trunk)[0] == "elm"


def test_REVIEW_2_an_approval_counts_while_its_reviewer_may_approve() -> None:
    trunk = fleet()
    require(trunk, approvals=2)
    ash, wish = trunk.pens["ash"], held(trunk, ask(trunk.pens["elm"]))
    trunk.seal(approve(ash, wish))
    for roles, verdict in ((["node"], None), (["node", "reviewer"], GRANTED)):
        trunk.seal(trunk.oak.write("node.admit", name="ash", key=ash.key.public.text, roles=roles))
        assert later(trunk, wish, approve(trunk.oak, wish)) == verdict


@pytest.mark.parametrize("queue", [True, False])
def test_REVIEW_1_who_takes_a_lease_for_itself_needs_what_an_acquire_needs(queue: bool) -> None:
    trunk = fleet()
    wish = ask(trunk.pens["elm"])
    trunk.seal(wish)
    if queue:
        trunk.seal(ask(trunk.oak, queue=True))
    require(trunk)
    token = holder(trunk)[1]
    seen = {"token": token, "last": wish.id, "watched_ms": 60_000, "ttl_ms": 60_000, "until": 9999}
    take = trunk.pens["ash"].write("lease.take", lease="deploy", session="s", **seen)
    assert trunk.verdict(take)[:2] == (("applied", "LEASE-8") if queue else HELD[:2])


def test_REVIEW_1_who_replaces_a_rule_needs_what_lifting_it_needs() -> None:
    trunk = fleet()
    require(trunk, kinds=["review.lift"], names=["r"])
    assert trunk.verdict(trunk.oak.write("review.require", **rule_of(1))).result == "required"
    loose = trunk.oak.write("review.require", **{**rule_of(1), "rule": "r"})
    held(trunk, loose)
    assert later(trunk, loose, approve(trunk.pens["fir"], loose)) == ("applied", "REVIEW-1", "required")


@pytest.mark.parametrize("how", ["lifted", "tightened"])
def test_PREFIX_what_is_held_stays_under_the_rule_it_was_written_under(how: str) -> None:
    trunk = fleet()
    require(trunk)
    wish = held(trunk, ask(trunk.pens["elm"]))
    if how == "lifted":
        trunk.seal(trunk.oak.write("review.lift", rule="r"))
        assert trunk.verdict(ask(trunk.pens["ash"], "another")) == GRANTED
    else:
        require(trunk, approvals=3)
    assert reviews(trunk.ledger.state).held.keys() == {wish.id}
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) == GRANTED


# LIVE: limits, and ways out.


def test_LIVE_an_admin_who_asks_for_eight_approvals_of_everything_is_got_around_by_the_recovery_key() -> None:
    trunk = fleet()
    tight = ["lease.acquire", "node.admit", "review.lift", "review.require"]
    require(trunk, kinds=tight, approvals=8)
    for name in ("elm", "ash", "fir"):
        trunk.seal(trunk.oak.write("node.revoke", log=trunk.pens[name].log, reason="lost"))
    newcomer = secret("yew").public.text
    held(trunk, trunk.oak.write("node.admit", name="yew", key=newcomer, roles=["node"]))
    lift = held(trunk, trunk.oak.write("review.lift", rule="r"))
    recovery = trunk.pens["recovery"] = trunk.pen("recovery")
    recovery.seen = trunk.oak.seen
    admins = [trunk.pen(f"admin{number}") for number in range(8)]
    for pen in admins:
        admit = recovery.write("node.admit", name=pen.name, key=pen.key.public.text, roles=["admin"])
        assert trunk.seal(admit, by=recovery)[-1].verdict.result == "admitted"
    for pen in admins:
        trunk.pens[pen.name] = pen
        pen.seen = trunk.oak.seen
    judged = trunk.seal(*(approve(pen, lift) for pen in admins))
    assert [item.verdict.result for item in judged if item.again] == ["lifted"]
    assert trunk.verdict(ask(trunk.oak)) == GRANTED


def test_LIVE_a_reviewer_who_fills_its_room_does_not_keep_others_from_approving() -> None:
    trunk = fleet()
    require(trunk)
    record = SCENES["review.approve", "too many approvals wait for their records"](trunk, *trunk.pens.values())
    assert trunk.verdict(record) == ("refused", "REVIEW-5", "")
    wish, early = held(trunk, ask(trunk.pens["elm"])), ask(trunk.pens["elm"], "early")
    assert trunk.verdict(approve(trunk.pens["ash"], early)).result == "approved"
    assert trunk.verdict(early) == GRANTED
    assert later(trunk, wish, approve(trunk.pens["fir"], wish)) == GRANTED


def test_REVIEW_5_a_node_may_have_so_much_held_and_rotating_its_key_gains_it_nothing() -> None:
    trunk = fleet()
    require(trunk)
    elm = trunk.pens["elm"]
    trunk.seal(*(ask(elm, f"l{number}") for number in range(MAX_HELD_EACH)))
    assert len(reviews(trunk.ledger.state).held) == MAX_HELD_EACH
    assert trunk.verdict(ask(elm, "more")) == ("refused", "REVIEW-5", "")
    assert trunk.verdict(ask(trunk.pens["ash"])) == HELD
    trunk.pens["elm"] = _rotated(trunk, elm)
    assert len(reviews(trunk.ledger.state).held) == 1
    assert trunk.verdict(ask(trunk.pens["elm"], "more")) == HELD


def test_LEASE_7_a_release_withdraws_the_held_request_that_it_names() -> None:
    trunk = fleet()
    require(trunk)
    elm = trunk.pens["elm"]
    first, second = held(trunk, ask(elm)), held(trunk, ask(elm))
    body = {"lease": "deploy", "session": "s", "record": second.id}
    for author, wrong in (
        ("ash", {}),
        ("elm", {"session": "t"}),
        ("elm", {"lease": "db"}),
        ("elm", {"record": "ab" * 32}),
    ):
        record = trunk.pens[author].write("lease.release", **body | wrong)
        assert trunk.verdict(record) == ("fenced", "FENCE", "")
    judged = trunk.seal(elm.write("lease.release", **body))
    assert [item.verdict for item in judged] == [("applied", "LEASE-7", "withdrawn"), ("refused", "LEASE-7", "")]
    assert judged[1].record.id == second.id
    assert later(trunk, first, approve(trunk.pens["fir"], first)) == GRANTED


def test_LEASE_7_a_caller_that_went_home_withdraws_what_is_held_without_naming_it() -> None:
    trunk = fleet()
    require(trunk)
    wish = held(trunk, ask(trunk.pens["elm"]))
    body = kinds.propose(trunk.ledger.state, "elm", "lease.release", {"lease": "deploy", "session": "s"})
    assert body["record"] == wish.id
    assert later(trunk, wish, trunk.pens["elm"].write("lease.release", **body)) == ("refused", "LEASE-7", "")
    assert holder(trunk) == ("", 0)


# SET and CACHE: forks, snapshots, restarts.


@pytest.mark.parametrize("wins", ["oak", "elm"])
def test_SET_of_a_fork_one_side_of_which_approved_everybody_makes_the_same(wins: str) -> None:
    """Ash votes with oak's side, where nothing was approved, or with elm's, where fir approved."""
    trunk = fleet()
    require(trunk)
    wish = held(trunk, ask(trunk.pens["elm"]))
    oaks, elms = at_another_hub(trunk), at_another_hub(trunk)
    oak, elm, ash, fir = oaks.oak, elms.pens["elm"], (oaks if wins == "oak" else elms).pens["ash"], elms.pens["fir"]
    assert later(elms, wish, approve(fir, wish), by=elm) == GRANTED
    for side in (oaks, elms):
        by = oak if side is oaks else elm
        side.seal(say(side, by), by=by)
        records = [say(side, by)] + ([say(side, ash)] if ash in side.pens.values() else [])
        side.seal(*records, by=by)
    united = at_another_hub(oaks, elms)
    won = holder(united)[0]
    assert won == ("elm" if wins == "elm" else "")
    late = [record for run in united.ledger.sealable().values() for record in run]
    judged = united.seal(*late, by=united.oak)
    assert holder(united)[0] == "elm"
    again = [item.verdict for item in judged if item.again]
    assert again == ([GRANTED] if wins == "oak" else [])
    _same_however_read(oaks.files, elms.files, united.files)


def _same_however_read(one: Tree, other: Tree, whole: Tree) -> None:
    """One state, whichever side one had seen before, with a restart after each reading or none."""
    shown = []
    for trees in (
        [whole],
        [one, whole],
        [other, whole],
        [one, merged(one, other), whole],
        [other, merged(one, other), whole],
    ):
        for restarts in (True, False):
            reader = Reader(None)
            for tree in trees:
                reader.read(tree)
                if restarts:
                    reader.restart()
            shown.append(reader.shown())
    assert all(each == shown[0] for each in shown)


def test_SET_what_one_side_holds_and_the_other_grants_at_once_is_what_the_chosen_side_says() -> None:
    trunk = fleet()
    oaks, elms = at_another_hub(trunk), at_another_hub(trunk)
    elm = elms.pens["elm"]
    wish = ask(elm)
    require(oaks)
    assert elms.seal(wish, by=elm)[0].verdict == GRANTED
    ash = oaks.pens["ash"]
    oaks.seal(say(oaks, ash), say(oaks, oaks.oak))
    united = at_another_hub(oaks, elms)
    assert holder(united) == ("", 0)
    late = [record for run in united.ledger.sealable().values() for record in run]
    united.seal(*late, by=united.oak)
    assert united.verdicts[wish.id] == HELD
    united.seal(approve(united.pens["fir"], wish), by=united.oak)
    assert united.verdicts[wish.id] == GRANTED
    assert holder(united)[1] > holder(elms)[1]
    _same_however_read(oaks.files, elms.files, united.files)


def test_CACHE_a_snapshot_knows_what_is_held_approved_early_and_required() -> None:
    trunk = fleet()
    require(trunk, approvals=2, names=["dep*"], roles=["node"], epochs=9)
    wish = held(trunk, ask(trunk.pens["elm"]))
    trunk.seal(approve(trunk.pens["fir"], wish), trunk.oak.write("review.approve", records=["ab" * 32]))
    trunk.seal(trunk.oak.write("review.allow", digest="cd" * 32, reason="an example"))
    state = trunk.ledger.state
    restored, copied = fold.restore(fold.snapshot(state)), fold.copy(state)
    last = approve(trunk.pens["ash"], wish)
    assert trunk.seal(last)[-1].verdict == GRANTED
    seal = trunk.seals[-1]
    for twin in (restored, copied):
        judged = fold.apply(twin, seal, {last.log: [last]})
        assert [item.verdict for item in judged if item.again] == [GRANTED]
        assert fold.snapshot(twin) == snapshot(trunk)


# What it says.


def test_propose_finds_what_is_held_by_the_beginning_of_its_id_and_gives_time_for_an_approval() -> None:
    trunk = fleet()
    require(trunk, epochs=500)
    state = trunk.ledger.state
    wish = {"lease": "deploy", "session": "s", "ttl_ms": 60_000}
    assert kinds.propose(state, "elm", "lease.acquire", wish)["until"] == state.epoch + 500
    assert kinds.propose(state, "elm", "lease.acquire", {**wish, "lease": "task:a/b"})["until"] == state.epoch + 16
    assert kinds.propose(state, "elm", "dag.submit", {"dag": "d", "tasks": [{}]})["until"] == state.epoch + 16
    record = held(trunk, ask(trunk.pens["elm"]))
    state = trunk.ledger.state
    assert kinds.propose(state, "fir", "review.approve", {"records": [record.id[:8]]}) == {"records": [record.id]}
    assert review.is_held(state, record.id)
    with pytest.raises(Refused, match="no record that waits"):
        kinds.propose(state, "fir", "review.reject", {"records": ["zz"]})
    words = kinds.words(state, record, kinds.Verdict(*HELD))
    assert "needs 1 approval of others" in words.what
    assert words.facts == {"approvals": 1}


def test_LINE_a_snapshot_holds_the_very_lines_of_what_is_held() -> None:
    trunk = fleet()
    require(trunk, kinds=["event.publish"])
    record = held(trunk, say(trunk, trunk.pens["elm"], payload="\u2028é"))
    (known,) = reviews(fold.restore(snapshot(trunk))).held.values()
    assert known.record.line == record.line
    assert canonical(orjson.loads(known.record.line)) == record.line
