"""Reading: which lines are authentic and which seals stand (SEAL, CHAIN, SIG, SET, LIVE)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from orxaq_mesh import ledger as room
from orxaq_mesh import news
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.news import added_lines
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import NOTHING, Record, Seal, canonical, log_place
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.store import Change
from tests.builder import AT, Pen, Trunk, secret, sign, snapshot


def fleet() -> Trunk:
    trunk = Trunk.founded()
    trunk.admit("elm")
    trunk.admit("owl", "observer")
    return trunk


def say(pen: Pen, number: int = 0) -> Record:
    return pen.write("event.publish", topic="t", type="x", payload={"n": number})


def seal(trunk: Trunk, *records: Record, by: Pen | None = None, **override: Any) -> Seal:
    """A signed seal over these records, with whatever a liar would change."""
    signer = by or trunk.oak
    return read_seal(sign(trunk.seal_value(*records, by=signer, **override), signer.key, trunk.ledger.id))


def refused(reading: Reading, law: str, says: str) -> None:
    assert reading.judged == []
    assert reading.seals == []
    assert law in {finding.law for finding in reading.findings}
    assert any(says in finding.reason for finding in reading.findings), reading.findings


# SEAL: when one does not stand.


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ({"parent": "a" * 64}, "does not stand here"),
        ({"parent": NOTHING}, "is next"),
        ({"epoch": 6}, "is next"),
        ({"over": "a" * 64}, "does not stand here"),
        ({"rules": 2}, "not in force"),
    ],
    ids=["unknown parent", "no parent", "an epoch left out", "over nothing", "other rules"],
)
def test_SEAL_does_not_stand_off_the_tip(override: dict[str, Any], says: str) -> None:
    trunk = fleet()
    record = say(trunk.oak)
    before = snapshot(trunk)
    laws = {"rules": "RULES", "epoch": "EPOCH", "over": "EPOCH"}
    (field,) = override
    law = "EPOCH" if override.get("parent") == NOTHING else laws.get(field, "SEAL")
    refused(trunk.push([record], [seal(trunk, record, **override)]), law, says)
    assert snapshot(trunk) == before


def test_SEAL_an_observer_a_stranger_and_a_revoked_node_may_not_seal() -> None:
    for name in ("owl", "ash", "elm"):
        trunk = fleet()
        pen = trunk.pens.get(name) or trunk.pen(name)
        if name == "elm":
            trunk.seal(trunk.oak.write("node.revoke", log=pen.log, reason="lost"))
        record = say(trunk.oak)
        refused(trunk.push([record], [seal(trunk, record, by=pen)]), "SEAL", "may not seal")


def test_LIVE_the_recovery_key_seals_nothing_but_its_own() -> None:
    trunk = fleet()
    key = trunk.pen("recovery")
    others = say(trunk.pens["elm"])
    refused(trunk.push([others], [seal(trunk, others, by=key)]), "SEAL", "may not seal")
    trunk = fleet()
    key = trunk.pen("recovery")
    key.seen = (trunk.ledger.state.epoch, trunk.ledger.state.seal)
    own = key.write("node.admit", name="ash", key=secret("ash").public.text, roles=["admin"])
    assert trunk.seal(own, by=key)[-1].verdict.result == "admitted"


def test_C32_a_seal_that_names_a_record_nobody_has_seen_is_as_if_absent_and_stands_when_it_comes() -> None:
    trunk = fleet()
    record = say(trunk.pens["elm"])
    before = snapshot(trunk)
    closing = seal(trunk, record)
    refused(trunk.push([], [closing]), "CHAIN", "is missing")
    assert snapshot(trunk) == before
    trunk.files.update({})
    whole, reading = trunk.read_anew({**trunk.files, **_file(record)})
    assert reading.findings == []
    assert whole.state.seal == closing.id


def _file(record: Record) -> dict[str, bytes]:
    return {log_place(record.log, record.seq).file: b"".join(line + b"\n" for line in _lines_before(record))}


def _lines_before(record: Record) -> list[bytes]:
    trunk = fleet()
    (path,) = (path for path in trunk.files if record.log in path)
    return [*trunk.files[path].split(b"\n")[:-1], record.line]


def test_SEAL_a_head_that_goes_back_or_stays_does_not_stand() -> None:
    trunk = fleet()
    record = say(trunk.oak)
    trunk.seal(record)
    again = seal(trunk, record)
    refused(trunk.push([], [again]), "SEAL", "goes back")


def test_SEAL_takes_in_at_least_one_record() -> None:
    trunk = fleet()
    line = sign(trunk.seal_value(), trunk.oak.key, trunk.ledger.id)
    with pytest.raises(news.BadLine):
        read_seal(line)


@pytest.mark.parametrize("forged", ["seal", "record"])
def test_SIG_a_forged_seal_or_newest_record_does_not_stand(forged: str) -> None:
    trunk = fleet()
    elm, thief = trunk.pens["elm"], secret("thief")
    record = say(elm)
    if forged == "record":
        value = {**news.orjson.loads(record.line)}  # type: ignore[attr-defined]
        value.pop("sig")
        record = read_record(sign(value, thief, trunk.ledger.id))
        closing = seal(trunk, record)
    else:
        closing = read_seal(sign(trunk.seal_value(record), thief, trunk.ledger.id))
    refused(trunk.push([record], [closing]), "SIG", "the signature is not")


def test_SIG_nothing_replays_into_another_ledger() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    elm.ledger_id = "a" * 64
    record = say(elm)
    refused(trunk.push([record], [seal(trunk, record)]), "SIG", "the signature is not")


def test_SIG_every_signature_finds_what_the_heads_cover() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    value = {**news.orjson.loads(elm.draft("event.publish", {"topic": "t", "type": "x", "payload": {}}).line)}  # type: ignore[attr-defined]
    value.pop("sig")
    unsound = read_record(sign(value, secret("thief"), trunk.ledger.id))
    elm.seq, elm.prev = unsound.seq, unsound.id
    trunk.seal(unsound, say(elm))
    every = Ledger(trunk.ledger.id)
    every.signatures = "every"
    reading = every.read(Change(path, None, data) for path, data in trunk.files.items())
    assert [(finding.law, finding.line) for finding in reading.findings] == [("SIG", unsound.seq)]


def test_SEAL_takes_in_hellos_and_nothing_else_of_keys_that_are_not_admitted() -> None:
    trunk = fleet()
    ash = trunk.pen("ash")
    hello, more = ash.hello(), say(ash)
    trunk.ledger.offer([hello, more])
    assert {log: [r.kind for r in run] for log, run in trunk.ledger.sealable().items()} == {ash.log: ["node.hello"]}
    trunk.seal(hello)
    refused(trunk.push([more], [seal(trunk, more)]), "SIG", "no admitted key")


def test_SIG_another_ledger_under_this_id_is_refused() -> None:
    trunk = fleet()
    stranger = Ledger("b" * 64)
    reading = stranger.read(Change(path, None, data) for path, data in trunk.files.items())
    assert "this is ledger" in reading.findings[0].reason
    assert stranger.state.epoch == 0


# CHAIN.


def test_CHAIN_a_gap_is_never_sealed() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    left_out, after = say(elm, 1), say(elm, 2)
    refused(trunk.push([after], [seal(trunk, after)]), "CHAIN", "is missing")
    trunk.ledger.offer([after])
    assert trunk.ledger.authentic(elm.log) == []
    trunk.ledger.offer([left_out])
    assert trunk.ledger.authentic(elm.log) == [left_out, after]


def test_CHAIN_a_seq_that_follows_another_record_is_refused() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    elm.prev = "c" * 64
    record = say(elm)
    refused(trunk.push([record], [seal(trunk, record)]), "CHAIN", "does not follow")


def test_CHAIN_of_two_variants_the_sealed_one_stays_judged_and_the_two_are_a_proof() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    first = elm.draft("event.publish", {"topic": "t", "type": "x", "payload": {"n": 1}})
    second = elm.draft("event.publish", {"topic": "t", "type": "x", "payload": {"n": 2}})
    trunk.seal(first)
    before = snapshot(trunk)
    reading = trunk.push([second])
    assert reading.findings == []
    assert snapshot(trunk) == before
    assert {record.id for record in trunk.ledger.proofs()[elm.log]} == {first.id, second.id}


def test_CHAIN_the_first_prev_after_a_rotation_is_the_rotation() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    rotation = elm.write("node.rotate", key=secret("elm 2").public.text)
    trunk.seal(rotation)
    wrong = trunk.pen("elm", secret("elm 2"))
    right = Pen("elm", secret("elm 2"), prev=rotation.id)
    for pen in (wrong, right):
        pen.ledger_id, pen.seen = trunk.ledger.id, (trunk.ledger.state.epoch, trunk.ledger.state.seal)
    bad = say(wrong)
    refused(trunk.push([bad], [seal(trunk, bad)]), "CHAIN", "does not follow")
    good = say(right)
    trunk.ledger.offer([good])
    assert trunk.ledger.authentic(right.log) == [good]


def test_C31_a_log_not_named_after_its_key_introduces_nobody() -> None:
    trunk = fleet()
    thief = trunk.pen("elm", secret("thief"))
    thief.log = trunk.pens["elm"].log
    record = thief.write("node.hello", name="elm", key=thief.key.public.text)
    trunk.ledger.offer([record])
    assert trunk.ledger.authentic(thief.log) == []
    ash = trunk.pen("ash")
    ash.log = "ash-00000000"
    trunk.ledger.offer([ash.hello()])
    assert "ash-00000000" not in trunk.ledger.sealable()


def test_CHAIN_lines_in_the_trunk_that_hang_in_the_air_wait_for_what_is_missing() -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    left_out, after = say(elm, 2), say(elm, 3)
    reading = trunk.push([after])
    assert "hangs in the air" in reading.findings[0].reason
    assert trunk.ledger.sealable() == {}
    assert trunk.ledger.mends == {}
    trunk.push([left_out])
    assert trunk.ledger.sealable() == {elm.log: [left_out, after]}


def test_CHAIN_a_record_in_another_logs_file_is_refused() -> None:
    trunk = fleet()
    elm, path = trunk.pens["elm"], log_place(trunk.oak.log, 1).file
    while elm.seq <= trunk.oak.seq:
        record = say(elm)
    change = Change(path, trunk.files[path], trunk.files[path] + record.line + b"\n")
    assert [f.law for f in trunk.ledger.read([change]).findings] == ["CHAIN"]


# LIVE: strangers who may push change nothing for others.


def forged(trunk: Trunk, pen: Pen, ahead: int = 1, number: int = 0) -> Record:
    value = {"at": AT, "body": {"topic": "t", "type": "forged", "payload": {"n": number}}, "kind": "event.publish"}
    value |= {"node": pen.log, "prev": pen.prev, "seen": {"epoch": pen.seen[0], "seal": pen.seen[1]}}
    return read_record(canonical({**value, "seq": pen.seq + ahead, "sig": "A" * 86 + "==", "v": 1}))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_LIVE_forged_lines_do_not_shadow_the_true_ones_whatever_comes_first(order: tuple[int, ...]) -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    lie, other_lie = forged(trunk, elm), forged(trunk, elm, number=1)
    true = say(elm)
    offered = [lie, other_lie, true]
    trunk.ledger.offer([offered[number] for number in order])
    assert trunk.ledger.authentic(elm.log) == [true]


def test_LIVE_a_crowd_of_hellos_keeps_no_member_out_of_a_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_HEADS", 3)
    trunk = fleet()
    for number in range(6):
        trunk.ledger.offer([trunk.pen(f"a{number}").hello()])
    oak, elm = say(trunk.oak), say(trunk.pens["elm"])
    trunk.ledger.offer([oak, elm])
    taken = trunk.ledger.sealable(trunk.oak.log)
    assert len(taken) == 3
    assert list(taken)[:2] == [trunk.oak.log, trunk.pens["elm"].log]


# SET, and files.


def test_SET_files_in_any_order_give_the_same_ledger() -> None:
    trunk = fleet()
    trunk.seal(say(trunk.oak), say(trunk.pens["elm"]))
    for order in itertools.permutations(sorted(trunk.files.items())):
        ledger = Ledger(trunk.ledger.id)
        assert ledger.read(Change(path, None, data) for path, data in order).findings == []
        assert ledger.state.digest == trunk.ledger.state.digest


def test_a_fork_goes_on_alone() -> None:
    trunk = fleet()
    twin, before = trunk.ledger.fork(), snapshot(trunk)
    record = say(trunk.oak)
    twin.offer([record])
    twin.read([])
    assert trunk.ledger.waiting == {}
    assert snapshot(trunk) == before
    change = render(trunk.files.get, [record], [seal(trunk, record)])
    twin.read([Change(path, trunk.files.get(path), new) for path, new in change.items()])
    assert twin.state.epoch == trunk.ledger.state.epoch + 1
    assert snapshot(trunk) == before
    assert members(twin.state) is not members(trunk.ledger.state)
    assert leases(twin.state) is not leases(trunk.ledger.state)


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (b"a\nb\n", b"a\nb\nc\n", [(3, b"c", None)]),
        (b"a\nb\n", b"b\n", [(1, b"a", "CHAIN")]),
        (b"a\nb\n", b"a\nB\n", [(2, b"b", "CHAIN"), (2, b"B", None)]),
        (b"a\n", b"a\nb", [(2, b"b", "LINE")]),
        (None, b"a\n", [(1, b"a", None)]),
        (b"a\n", None, [(1, b"a", "CHAIN")]),
    ],
    ids=["added", "deleted", "edited", "torn", "new file", "file gone"],
)
def test_C18_lines_are_added_and_never_edited(old: Any, new: Any, found: Any) -> None:
    change = Change("ledger/nodes/oak-00000000/000000/0000000001.ndjson", old, new)
    assert [(number, line, finding and finding.law) for number, line, finding in added_lines(change)] == found


@pytest.mark.parametrize("path", ["ledger/notes.txt", "ledger/nodes/oak/x", "ledger/epochs/000000/0000000002.ndjson"])
def test_RENDER_a_file_that_no_ledger_has_is_a_finding(path: str) -> None:
    trunk = fleet()
    assert [finding.law for finding in trunk.ledger.read([Change(path, None, b"x\n")]).findings] == ["RENDER"]
