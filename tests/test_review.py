"""What a change would do: the same reading as a node's, findings by law, file and line, verdicts before the seal."""

from __future__ import annotations

from typing import Any

from orxaq_mesh import fold
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, Seal, log_place
from orxaq_mesh.review import Review, review
from orxaq_mesh.schema import read_seal
from orxaq_mesh.store import Change, Flaw
from tests.builder import AT, Pen, Trunk, sign

ASK: dict[str, Any] = {"session": "s", "ttl_ms": 60_000, "until": 99}


def changes(trunk: Trunk, *records: Record, seals: tuple[Seal, ...] = ()) -> list[Change]:
    """What it takes to have these lines in the tree, too."""
    new = render(trunk.files.get, records, seals)
    return [Change(path, trunk.files.get(path), data) for path, data in new.items()]


def laws(found: Review) -> set[str]:
    return {finding.law for finding in found.findings}


def with_two() -> tuple[Trunk, Pen, Pen]:
    trunk = Trunk.founded()
    elm, fir = trunk.admit("elm"), trunk.admit("fir")
    return trunk, elm, fir


def test_a_sound_proposal_may_be_merged_and_says_what_it_would_come_to() -> None:
    trunk, elm, fir = with_two()
    trunk.seal(elm.write("lease.acquire", lease="deploy", **ASK))
    ask = fir.write("lease.acquire", lease="deploy", queue=True, **ASK)
    found = review(trunk.ledger, changes(trunk, ask))
    assert found.ok
    assert found.findings == ()
    (sentence,) = found.sentences
    assert (sentence.author, sentence.outcome, sentence.result, sentence.sealed) == ("fir", "applied", "queued", False)
    assert [line.text for line in found.lines] == [ask.line]
    assert (found.records, found.seals, found.epoch) == (1, 0, trunk.ledger.state.epoch)


def test_FENCE_a_proposal_under_a_stale_token_is_refused_with_file_and_line() -> None:
    trunk, elm, _ = with_two()
    trunk.seal(elm.write("lease.acquire", lease="deploy", **ASK))
    token = trunk.ledger.state.epoch
    under = {"lease": "deploy", "session": "s", "token": token - 1}
    late = elm.write("event.publish", topic="t", type="x", payload={}, under=under)
    found = review(trunk.ledger, changes(trunk, late))
    assert not found.ok
    (finding,) = found.findings
    assert (finding.law, finding.file, finding.line) == ("FENCE", log_place(elm.log, 3).file, 3)


def test_NODE_3_what_a_revoked_key_signs_is_refused() -> None:
    trunk, elm, _ = with_two()
    trunk.seal(trunk.oak.write("node.revoke", log=elm.log, reason="gone"))
    event = elm.write("event.publish", topic="t", type="x", payload={})
    assert laws(review(trunk.ledger, changes(trunk, event))) == {"NODE-3"}


def test_CHAIN_edits_deletions_and_second_variants_are_refused() -> None:
    trunk, elm, _ = with_two()
    events = [elm.write("event.publish", topic="t", type="x", payload={"n": n}) for n in range(3)]
    trunk.seal(*events)
    path = log_place(elm.log, 1).file
    lines = trunk.files[path].splitlines(keepends=True)
    assert laws(review(trunk.ledger, [Change(path, trunk.files[path], b"".join(lines[:-1]))])) == {"CHAIN"}
    assert laws(review(trunk.ledger, [Change(path, trunk.files[path], None)])) == {"CHAIN"}
    edited = trunk.files[path].replace(b'"n":1', b'"n":7')
    assert "CHAIN" in laws(review(trunk.ledger, [Change(path, trunk.files[path], edited)]))
    assert laws(review(trunk.ledger, [Change(path, trunk.files[path], b"".join(lines[::-1]))])) == {"RENDER"}
    second = elm.draft("event.publish", {"topic": "t", "type": "x", "payload": {"n": 8}}, seq=3, prev=events[0].prev)
    assert "CHAIN" in laws(review(trunk.ledger, changes(trunk, second)))


def test_SECRET_a_credential_that_another_program_signed_is_refused() -> None:
    trunk, elm, _ = with_two()
    event = elm.write("event.publish", topic="t", type="x", payload={"env": "npm_" + 36 * "a"})
    found = review(trunk.ledger, changes(trunk, event))
    assert laws(found) == {"SECRET"}
    assert 36 * "a" not in str(found.findings)


def test_RENDER_what_stands_beside_the_ledger_and_what_is_no_ledgers_file_is_refused() -> None:
    trunk, _, _ = with_two()
    flaw = Flaw("RENDER", ".github/workflows/x.yml", "stands beside the ledger")
    assert laws(review(trunk.ledger, [flaw])) == {"RENDER"}
    assert laws(review(trunk.ledger, [Change("ledger/notes.txt", None, b"hello\n")])) == {"RENDER"}


def test_history_is_told_and_not_held_against_a_change() -> None:
    trunk, elm, _ = with_two()
    before = trunk.ledger.fork()
    files = dict(trunk.files)
    under = {"lease": "deploy", "session": "s", "token": 1}
    trunk.seal(elm.write("event.publish", topic="t", type="x", payload={}, under=under))
    moved = [Change(path, files.get(path), data) for path, data in trunk.files.items() if files.get(path) != data]
    found = review(before, moved)
    assert found.ok
    assert [(sentence.outcome, sentence.rule) for sentence in found.sentences] == [("fenced", "FENCE")]


def test_DIGEST_a_seal_that_claims_another_digest_is_refused() -> None:
    trunk, elm, _ = with_two()
    event = elm.write("event.publish", topic="t", type="x", payload={})
    value = trunk.seal_value(event, state="0" * 64)
    seal = read_seal(sign(value, trunk.oak.key, trunk.ledger.id))
    assert laws(review(trunk.ledger, changes(trunk, event, seals=(seal,)))) == {"DIGEST"}


def test_RENDER_damage_is_not_held_against_who_mends_it_or_leaves_it() -> None:
    trunk, elm, _ = with_two()
    path = log_place(elm.log, 1).file
    sound = trunk.files[path]
    trunk.files[path] = sound + b"garbage\n"
    trunk.ledger.read([Change(path, sound, trunk.files[path])])
    assert trunk.ledger.mends
    mended = review(trunk.ledger, [Change(path, trunk.files[path], sound)])
    assert mended.ok
    assert mended.notes
    event = trunk.oak.write("event.publish", topic="t", type="x", payload={})
    assert review(trunk.ledger, changes(trunk, event)).ok
    worse = Change(path, trunk.files[path], trunk.files[path] + b"more\n")
    assert laws(review(trunk.ledger, [worse])) == {"LINE"}


def test_a_review_leaves_the_base_as_it_was() -> None:
    trunk, elm, _ = with_two()
    before = fold.snapshot(trunk.ledger.state)
    review(trunk.ledger, changes(trunk, elm.write("event.publish", topic="t", type="x", payload={})))
    assert fold.snapshot(trunk.ledger.state) == before
    assert not trunk.ledger.waiting


def test_the_first_change_of_all_founds_a_ledger() -> None:
    trunk = Trunk.founded()
    found = review(Ledger(), [Change(path, None, data) for path, data in trunk.files.items()])
    assert found.ok
    assert found.ledger == trunk.ledger.id
    assert [sentence.result for sentence in found.sentences] == ["founded"]


def test_REVIEW_1_a_held_record_is_judged_where_its_approval_is_sealed() -> None:
    trunk, elm, fir = with_two()
    trunk.seal(trunk.oak.write("review.require", rule="deploys", kinds=["lease.acquire"], names=["dep*"], approvals=1))
    ask = elm.write("lease.acquire", lease="deploy", **ASK)
    proposed = review(trunk.ledger, changes(trunk, ask))
    assert proposed.ok
    assert [sentence.outcome for sentence in proposed.sentences] == ["held"]
    assert trunk.verdict(ask) == ("held", "REVIEW-1", "")
    assert trunk.verdict(elm.write("review.approve", records=[ask.id])) == ("refused", "NODE-3", "")
    judged = trunk.seal(trunk.oak.write("review.approve", records=[ask.id]))
    assert [(item.record.kind, item.verdict.result, item.again) for item in judged] == [
        ("review.approve", "approved", False),
        ("lease.acquire", "granted", True),
    ]
    assert trunk.verdict(fir.write("lease.acquire", lease="build", **ASK)).result == "granted"


def test_FENCE_a_seal_beside_the_tip_hides_no_proposal() -> None:
    trunk, elm, fir = with_two()
    older = trunk.ledger.fork()
    trunk.seal(trunk.oak.write("node.revoke", log=fir.log, reason="lost"))
    own = elm.write("event.publish", topic="t", type="x", payload={})
    older.offer([own])
    value = older.draft_seal(elm.log, {elm.log: [own]}, AT)
    beside = read_seal(sign(value, elm.key, trunk.ledger.id))
    stale = elm.write("lease.renew", lease="deploy", token=1, session="s")
    revoked = fir.write("event.publish", topic="t", type="x", payload={})
    base = Ledger(trunk.ledger.id)
    base.settles = False
    base.read(Change(path, None, data) for path, data in trunk.files.items())
    found = review(base, changes(trunk, own, stale, revoked, seals=(beside,)))
    assert found.seals == 1
    assert laws(found) == {"FENCE", "NODE-3"}
