"""Sentences about a change: each row of each kind's table has one, in two moods; no text of a ledger becomes a template."""

from __future__ import annotations

import re
import string
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import fold, kinds, saying, schema
from orxaq_mesh.fold import Epoch
from orxaq_mesh.kinds import Judged, Moment, Said, State
from orxaq_mesh.kinds.base import HELD
from orxaq_mesh.record import Record
from orxaq_mesh.saying import PAGE, Sentence, grouped, sentences, text, told
from tests import (
    test_kinds_command,
    test_kinds_dag,
    test_kinds_lease,
    test_kinds_node,
    test_kinds_reactor,
    test_kinds_work,
)
from tests.builder import Pen, Trunk
from tests.histories import Play
from tests.orders import Scene, Scenes, fleet, stage, submit, task
from tests.test_any_record import Chance, likely

MINE: Scenes = {}
scene = stage(MINE, "")


def requires(pen: Pen, *names: str, approvals: int = 1, rule: str = "deploys", **body: Any) -> Record:
    about = {"names": list(names)} if names else {}
    asks = {"rule": rule, "kinds": ["dag.submit", "lease.acquire"], "approvals": approvals}
    return pen.write("review.require", **asks | about | body)


def acquire(pen: Pen, lease: str = "deploy", session: str = "s", **body: Any) -> Record:
    asks = {"lease": lease, "session": session, "ttl_ms": 60_000, "until": 9999}
    return pen.write("lease.acquire", **asks | body)


def held(trunk: Trunk, pen: Pen) -> Record:
    """A request for deploy that waits for an approval."""
    trunk.seal(requires(trunk.oak, "deploy"))
    record = acquire(pen)
    assert trunk.verdict(record).outcome == HELD
    return record


def approves(pen: Pen, *records: Record) -> Record:
    return pen.write("review.approve", records=[record.id for record in records])


def rejects(pen: Pen, *ids: str) -> Record:
    return pen.write("review.reject", records=list(ids), reason="not before Monday")


@scene("review.require", "too many rules")
def _(trunk, oak, elm, ash):
    trunk.seal(*(requires(oak, rule=f"r{number}") for number in range(64)))
    return [requires(oak, rule="one.more")]


@scene("review.require", "otherwise")
def _(trunk, oak, elm, ash):
    return [requires(oak, "deploy", "release/*", roles=["node"], epochs=90, approvals=2)]


@scene("review.lift", "no such rule")
def _(trunk, oak, elm, ash):
    return [oak.write("review.lift", rule="deploys")]


@scene("review.lift", "otherwise")
def _(trunk, oak, elm, ash):
    trunk.seal(requires(oak))
    return [oak.write("review.lift", rule="deploys")]


@scene("review.approve", "one of the records is its author's")
def _(trunk, oak, elm, ash):
    return [approves(oak, held(trunk, oak))]


@scene("review.approve", "too many approvals wait for their records")
def _(trunk, oak, elm, ash):
    ids = [f"{number:064x}" for number in range(4097)]
    trunk.seal(*(oak.write("review.approve", records=ids[at : at + 64]) for at in range(0, 4096, 64)))
    return [oak.write("review.approve", records=ids[-1:])]


@scene("review.approve", "otherwise")
def _(trunk, oak, elm, ash):
    return [approves(oak, held(trunk, elm))]


@scene("review.reject", "one of the records is not held")
def _(trunk, oak, elm, ash):
    return [rejects(oak, "f" * 64)]


@scene("review.reject", "neither a reviewer nor the author of all")
def _(trunk, oak, elm, ash):
    return [rejects(ash, held(trunk, elm).id)]


@scene("review.reject", "otherwise")
def _(trunk, oak, elm, ash):
    return [rejects(oak, held(trunk, elm).id)]


@scene("review.allow", "too many texts")
def _(trunk, oak, elm, ash):
    trunk.seal(*(oak.write("review.allow", digest=f"{number:064x}", reason="none") for number in range(1024)))
    return [oak.write("review.allow", digest="f" * 64, reason="none")]


@scene("review.allow", "otherwise")
def _(trunk, oak, elm, ash):
    return [oak.write("review.allow", digest="f" * 64, reason="an example")]


@scene("lease.release", "it names its own request that is held")
def _(trunk, oak, elm, ash):
    return [elm.write("lease.release", lease="deploy", session="s", record=held(trunk, elm).id)]


SCENES: dict[tuple[str, str], Callable[..., Any]] = {
    **MINE,
    **test_kinds_node.SCENES,
    **test_kinds_lease.SCENES,
    **test_kinds_work.SCENES,
    **test_kinds_command.SCENES,
    **test_kinds_dag.SCENES,
    **test_kinds_reactor.SCENES,
    **test_kinds_reactor.EVENTS,
}
ROWS = [row for family in kinds.FAMILIES for row in family.ROWS]


def played(row: kinds.Row) -> tuple[State, State, list[Judged]]:
    """The states before and after the scene of a row, and its verdicts; that row's is the last."""
    if row.kind.startswith("node."):
        trunk = test_kinds_node.fleet()
        records = [SCENES[row.kind, row.case](trunk, trunk.oak, trunk.pens["elm"])]
    else:
        trunk = fleet()
        play: Scene = SCENES[row.kind, row.case]
        records = play(trunk, trunk.oak, trunk.pens["elm"], trunk.pens["ash"])
    before, moment = trunk.ledger.state, Moment(trunk.ledger.state.epoch + 1, "f" * 64)
    after = fold.copy(before)
    judged = [Judged(record, moment.epoch, kinds.apply(after, record, moment)) for record in records]
    assert judged[-1].verdict == (row.outcome, row.rule, row.result)
    return before, after, judged


FACT = re.compile(r"`\{\w+\}`|\{\w+\}")


def fields(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def check(one: Sentence) -> str:
    """What holds of any sentence; its text."""
    template, facts, came = one.said
    assert came == ("", "")
    assert set(fields(template)) <= set(facts), (one.kind, template)
    assert all(type(fact) in (str, int) for fact in facts.values())
    assert re.fullmatch(r"[A-Za-z0-9 ,;:()'-]+", FACT.sub("", template)), "words that no markup takes for its own"
    line = text(one)
    assert line.isprintable()
    assert line.startswith(f"{one.author} ")
    return line


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.kind}: {row.case}")
def test_each_row_of_each_table_has_a_sentence_in_both_moods(row: kinds.Row) -> None:
    before, after, judged = played(row)
    drafted, sealed = (check(sentences(before, after, judged, sealed=mood)[-1]) for mood in (False, True))
    if row.outcome != "applied":
        assert f"this would have no effect: {row.rule}, " in drafted
        assert f"this has no effect: {row.rule}, " in sealed
    else:
        assert "no effect" not in drafted
        assert "None" not in drafted
        assert (drafted != sealed) == ("would" in drafted or "could" in drafted)
    assert "would" not in sealed
    if row.result == "granted":
        assert f"token {judged[-1].epoch}" in sealed


def test_every_kind_is_said_by_its_family() -> None:
    assert {row.kind for row in ROWS} == set(kinds.KINDS)
    assert {(row.kind, row.case) for row in ROWS} == set(SCENES)
    said: dict[str, set[str]] = {}
    for row in ROWS:
        before, after, judged = played(row)
        one = kinds.FAMILY_OF[row.kind].says(before, after, judged[-1])
        said.setdefault(row.kind, set()).add(one.template)
        assert not {"rule", "why", "lacks", "reviewed"} & set(one.facts), "these say what came of it"
    each = [(kind, template) for kind, templates in said.items() for template in templates]
    assert len({template for _, template in each}) == len(each), "two kinds are said by one sentence"


def test_a_template_that_names_an_absent_fact_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds.event, "says", lambda *_: Said("publishes `{nothing}`", {}))
    row = next(row for row in ROWS if row.kind == "event.publish" and row.outcome == "applied")
    with pytest.raises((KeyError, AssertionError)):
        check(sentences(*played(row), sealed=False)[-1])


# What a reader sees.


def proposed(trunk: Trunk, *records: Record) -> list[str]:
    """What is said of records that the next node would seal."""
    state, taken = trunk.ledger.state, dict[str, list[Record]]()
    for record in records:
        taken.setdefault(record.log, []).append(record)
    draft = fold.draft(state, Epoch(state.seal, taken), state.epoch + 1)
    return [check(one) for one in sentences(state, draft.after, draft.judged, sealed=False)]


def sealed(trunk: Trunk, *records: Record) -> list[str]:
    before, judged = fold.copy(trunk.ledger.state), trunk.seal(*records)
    return [check(one) for one in sentences(before, trunk.ledger.state, judged, sealed=True)]


def at_epoch(trunk: Trunk, epoch: int) -> Trunk:
    """Go on until the next seal closes this epoch."""
    while trunk.ledger.state.epoch < epoch - 1:
        trunk.seal(trunk.oak.write("event.publish", topic="builds", type="finished", payload={}))
    return trunk


def test_a_request_says_who_holds_the_lease_and_where_it_would_stand() -> None:
    trunk = at_epoch(fleet(), 40)
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    assert proposed(trunk, acquire(oak)) == ["oak asks for lease `deploy` (would be granted)"]
    oak.seq, oak.prev = oak.seq - 1, trunk.ledger.state.heads[oak.log][1]
    assert sealed(trunk, acquire(oak)) == ["oak asks for lease `deploy` (was granted, token 40)"]
    trunk.seal(acquire(ash, queue=True))
    asks = acquire(elm, queue=True)
    held = "(held by oak since epoch 40, token 40:"
    assert proposed(trunk, asks) == [f"elm asks for lease `deploy` {held} would queue second)"]
    assert sealed(trunk, asks) == [f"elm asks for lease `deploy` {held} waits second in line)"]
    assert proposed(trunk, acquire(oak, session="other", queue=True)) == [
        "oak asks for lease `deploy` (held by its own session `s` since epoch 40, token 40: would queue third)"
    ]


def test_a_new_task_says_how_many_must_approve_it() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    trunk.seal(requires(trunk.oak, "release/publish", approvals=2))
    adds = submit(elm, task("publish"))
    assert proposed(trunk, adds) == ["elm adds task `release/publish`, needs approval of 2"]
    assert sealed(trunk, adds) == ["elm adds task `release/publish`, needs approval of 2"]
    many = submit(elm, *(task(f"t{number}") for number in range(298)), task("publish"), task("ship"), dag="release")
    (line,) = proposed(trunk, many)
    assert line.startswith("elm adds DAG `release` of 300 tasks: `t0, t1, ")
    assert line.endswith("...`, needs approval of 2 for `release/publish`")
    assert len(line) < 300


def test_a_rule_of_reviews_that_is_held_itself_is_not_mistaken_for_what_it_asks() -> None:
    trunk = fleet()
    trunk.seal(requires(trunk.oak, rule="rules", kinds=["review.require", "review.lift"]))
    asks = requires(trunk.oak, "deploy", approvals=3)
    about = "dag.submit, lease.acquire, where it is about `deploy`"
    assert proposed(trunk, asks) == [
        f"oak requires approval of 3 for {about} (review rule `deploys`), needs approval of 1"
    ]


def test_an_admission_says_name_key_and_roles() -> None:
    trunk = fleet()
    fir = trunk.pen("fir")
    hello = fir.hello()
    admit = trunk.oak.write("node.admit", name="fir", key=fir.key.public.text, roles=["observer"])
    fingerprint = fir.key.public.fingerprint
    assert fingerprint.startswith("SHA256:")
    assert sorted(proposed(trunk, hello, admit)) == [
        f"fir asks to join as node fir, key {fingerprint} (would wait for an admin)",
        f"oak admits node fir, key {fingerprint}, as observer",
    ]
    trunk.seal(hello, admit)
    again = trunk.oak.write("node.admit", name="fir", key=fir.key.public.text, roles=["admin", "node"])
    assert proposed(trunk, again) == [
        f"oak gives node fir, key {fingerprint}, the role of admin and node, so far observer"
    ]


def test_a_revocation_says_what_the_node_holds() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    trunk.seal(acquire(elm, "deploy"))
    trunk.seal(acquire(elm, "db"))
    revoke = trunk.oak.write("node.revoke", log=elm.log, reason="laptop lost")
    key = elm.key.public.fingerprint
    assert proposed(trunk, revoke) == [f"oak revokes node elm, key {key}, who holds `db, deploy`: `laptop lost`"]


def test_what_frees_a_lease_says_who_has_it_next() -> None:
    trunk = fleet()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens["ash"]
    first = acquire(elm)
    trunk.seal(first)
    token = trunk.ledger.state.epoch
    trunk.seal(acquire(ash, queue=True))
    release = elm.draft("lease.release", {"lease": "deploy", "session": "s", "token": token, "record": first.id})
    assert proposed(trunk, release) == [f"elm releases lease `deploy`, token {token} (would pass to ash)"]
    broken = oak.write("lease.break", lease="deploy", token=token, reason="stolen")
    assert proposed(trunk, broken) == [f"oak breaks lease `deploy` of elm, token {token}: `stolen` (would pass to ash)"]


def test_what_is_held_and_what_was_approved_are_told_apart() -> None:
    trunk = fleet()
    elm, oak = trunk.pens["elm"], trunk.oak
    trunk.seal(requires(oak, "deploy"))
    asks = acquire(elm)
    assert sealed(trunk, asks) == ["elm asks for lease `deploy`, needs approval of 1"]
    approval = approves(oak, asks)
    assert proposed(trunk, approval) == [
        f"oak approves lease.acquire of elm ({asks.id[:16]})",
        "elm asks for lease `deploy` (approved by now, would be granted)",
    ]
    no = oak.draft("review.reject", {"records": [asks.id], "reason": "not before Monday"}, seq=approval.seq)
    assert proposed(trunk, no) == [
        f"oak rejects lease.acquire of elm ({asks.id[:16]}): `not before Monday`",
        "elm asks for lease `deploy`; this would have no effect: REVIEW-4, a reviewer rejected it, or its author took it back",
    ]
    assert sealed(trunk, approval)[1].endswith(f"(approved by now, was granted, token {trunk.ledger.state.epoch})")


def test_RULES_a_record_that_these_rules_do_not_know_is_said_too() -> None:
    trunk = fleet()
    odd = trunk.oak.write("lease.steal", lease="deploy")
    wrong = trunk.oak.write("lease.renew", lease="deploy")
    first, second = proposed(trunk, odd, wrong)
    assert first.startswith(
        "oak writes a record of kind `lease.steal`; this would have no effect: RULES, rules 1 do not"
    )
    assert second.startswith(
        "oak writes a record of kind `lease.renew`; this would have no effect: RULES, rules 1 do not"
    )


# Text of a ledger is never a template (law QUIET).

HOSTILE = st.one_of(
    st.text(min_size=1, max_size=200),
    st.sampled_from(
        ["{lease}", "`{reason}`", "{0}{}", "{reason!r:>99}", "}{", "\x1b[2J\u202e", "<img onerror=x>", "`"]
    ),
)


def words_of(trunk: Trunk, reason: str) -> list[Record]:
    """Records with a text of their author's choice, from one moment."""
    oak, elm = trunk.oak, trunk.pens["elm"]
    bodies = (
        (oak, "lease.break", {"lease": "deploy", "token": trunk.ledger.state.epoch, "reason": reason}),
        (oak, "breaker.open", {"reason": reason}),
        (oak, "node.revoke", {"log": elm.log, "reason": reason}),
        (oak, "review.allow", {"digest": "0" * 64, "reason": reason}),
        (oak, "command.cancel", {"command": "0" * 16, "reason": reason}),
        (elm, "command.issue", {"name": "restart", "to": "elm", "args": {"a": [reason]}, "until": 99}),
        (elm, "dag.cancel", {"dag": "release", "reason": reason}),
    )
    return [pen.draft(kind, body) for pen, kind, body in bodies]


QUIET = fleet()
QUIET.seal(acquire(QUIET.pens["elm"]))


@given(reason=HOSTILE)
def test_QUIET_no_text_of_a_ledger_becomes_a_template(reason: str) -> None:
    state = QUIET.ledger.state
    for record, tame in zip(words_of(QUIET, reason), words_of(QUIET, "tame"), strict=True):
        one, other = (
            sentences(state, state, [Judged(item, 9, kinds.judge(state, item, Moment(9))[0])], sealed=False)[0]
            for item in (record, tame)
        )
        assert one.said.template == other.said.template
        name = next(name for name, fact in other.said.facts.items() if "tame" in str(fact))
        if name == "reason":
            assert one.said.facts["reason"] == reason, "nothing is lost, nothing is escaped twice"
            whole = told(one, code=lambda fact: f"<{fact}>", plain=str)
            begin, end = told(other, code=lambda fact: f"<{fact}>", plain=str).split("<tame>")
            assert whole == f"{begin}<{reason}>{end}"
        check(one)


@pytest.mark.parametrize("seed", range(3))
def test_QUIET_whatever_fits_its_schema_has_a_sentence_whenever_it_is_told(seed: int) -> None:
    """Told from a beginning long before and an end long after, too: what is said may be old then, but it is said."""
    play, chance = Play(), Chance(seed)
    mark = "\u2603{lease}`{rule}`\u202e\n"
    dice, pens, names = chance.dice, list(play.pens.values()), sorted(schema.kinds())
    before, judged = fold.copy(play.state), list[Judged]()
    for number in range(200):
        record, verdict = play.step(*(dice.randrange(64) for _ in range(4)))
        judged.append(Judged(record, play.epoch, verdict))
        chance.knows(play.state, play.epoch)
        chance.words += [mark] * (len(chance.words) // 2)
        kind = dice.choice(names)
        if kind in ("node.admit", "node.revoke", "review.require"):
            continue
        odd = dice.choice(pens).draft(
            kind,
            likely(chance, play.state, kind, chance.body(kind)),
            seq=9000 + number,
            seen={"epoch": 9, "seal": "0" * 64},
        )
        once = fold.copy(play.state)
        foreseen = Judged(odd, play.epoch, play.judge(odd, new_epoch=False))
        for one in sentences(once, play.state, [foreseen], sealed=False):
            assert "\u2603" not in one.said.template
            check(one)
        judged.append(foreseen)
    told_late = sentences(before, play.state, judged, sealed=True)
    assert [one.record for one in told_late] == [item.record.id for item in judged]
    assert any("\u2603" in str(fact) for one in told_late for fact in one.said.facts.values())
    for one in told_late:
        check(one)


# Many as one.


def crowd(count: int) -> tuple[State, list[Judged]]:
    """That many events, and what few other things a change may bring."""
    trunk = fleet()
    elm, state = trunk.pens["elm"], trunk.ledger.state
    events = [elm.write("event.publish", topic=f"t{n % 7}", type="finished", payload={}) for n in range(count)]
    tasks = [submit(trunk.pens["ash"], task("a"), dag=f"d{n}") for n in range(60)]
    admits = [trunk.oak.write("node.admit", name=f"n{n}", key=key_of(n), roles=["node"]) for n in range(3)]
    after, moment = fold.copy(state), Moment(state.epoch + 1)
    return state, [Judged(r, moment.epoch, kinds.apply(after, r, moment)) for r in (*events, *tasks, *admits)]


def key_of(number: int) -> str:
    return test_kinds_node.text(f"crowd {number}")


def test_a_thousand_records_are_read_on_one_page() -> None:
    state, judged = crowd(937)
    said = sentences(state, state, judged, sealed=False)
    groups = grouped(said)
    assert len(said) == 1000
    assert sum(group.times for group in groups) == 1000
    assert [text(group) for group in groups[:2]] == [
        "elm, 937 times: publishes `finished` on topic `t0, t1, t2 and 4 more`",
        "ash, 60 times: adds task `d0/a, d1/a, d2/a and 57 more`",
    ]
    assert len(groups) == 5, "what only admins may do is not folded away"
    assert all(text(group).startswith("oak admits node n") for group in groups[2:])


def test_what_fits_on_a_page_is_told_one_by_one() -> None:
    state, judged = crowd(PAGE)
    some = sentences(state, state, judged[:PAGE], sealed=True)
    assert [text(group) for group in grouped(some)] == [text(one) for one in some]
    assert grouped([]) == []


def test_of_too_many_authors_the_sentences_are_joined_as_well() -> None:
    said = Said("publishes `{type}`", {"type": "finished"})
    many = [
        Sentence(
            f"{n:064x}", f"n{n}-00000000", f"n{n}", "event.publish", "applied", "EVENT-1", "published", said, True, 9
        )
        for n in range(2 * PAGE)
    ]
    (group,) = grouped(many)
    assert text(group) == f"n0, n1, n2 and {2 * PAGE - 3} more, {2 * PAGE} times: publishes `finished`"


def test_the_json_of_a_sentence_has_its_verdict_its_text_and_its_facts_unharmed() -> None:
    reason = "\x1b[2J{reason}"
    record = QUIET.oak.draft("breaker.open", {"reason": reason})
    state = QUIET.ledger.state
    (one,) = sentences(state, state, [Judged(record, 9, kinds.judge(state, record, Moment(9))[0])], sealed=False)
    told_as = orjson.loads(orjson.dumps(saying.value(one)))
    assert told_as["id"] == record.id
    assert (told_as["verdict"], told_as["rule"], told_as["result"]) == ("applied", "BREAKER-2", "opened")
    assert told_as["facts"] == {"reason": reason}
    assert told_as["text"] == text(one) == "oak opens the circuit breaker: `\\x1b[2J{reason}`"


def test_QUIET_a_line_of_text_is_one_line_and_bounded() -> None:
    said = Said("opens the circuit breaker: `{reason}`", {"reason": "\x1b]0;x\x07\n" + "a" * 70_000})
    line = text(Sentence("0" * 64, "elm-00000000", "elm", "breaker.open", "applied", "X", "opened", said, True, 9))
    assert line.isprintable()
    assert len(line) < 2 * saying.MAX_QUOTED
