"""The fold: order, digest, doubt, snapshots (SET, EPOCH, PREFIX, DIGEST)."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.record import NOTHING, Record, canonical
from orxaq_mesh.schema import read_record, read_seal
from tests.builder import Pen, Trunk, sign, snapshot


def fleet() -> Trunk:
    trunk = Trunk.founded()
    for name in ("elm", "ash", "fir"):
        trunk.admit(name)
    return trunk


def ask(pen: Pen, at: str | None = None) -> Record:
    body = {"lease": "deploy", "session": "s", "ttl_ms": 9000, "until": 99}
    if at is None:
        return pen.write("lease.acquire", **body)
    record = pen.draft("lease.acquire", body, at=at)
    pen.seq, pen.prev = record.seq, record.id
    return record


def say(pen: Pen, number: int = 0) -> Record:
    return pen.write("event.publish", topic="t", type="x", payload={"n": number})


def test_EPOCH_logs_go_in_the_order_of_sha256_of_parent_and_log() -> None:
    trunk = fleet()
    parent = trunk.ledger.state.seal
    taken = {pen.log: [say(pen, 1), say(pen, 2)] for pen in trunk.pens.values()}
    expected = sorted(taken, key=lambda log: hashlib.sha256((parent + log).encode()).hexdigest())
    order = fold.in_order(parent, taken)
    assert [record.log for record in order] == [log for log in expected for _ in range(2)]
    assert [record.seq for record in order if record.log == expected[0]] == sorted(r.seq for r in taken[expected[0]])
    assert fold.in_order(parent, dict(reversed(taken.items()))) == order


@pytest.mark.parametrize("rival", ["elm", "ash", "fir"])
def test_C5_a_clock_ten_years_off_buys_nothing(rival: str) -> None:
    winners = set()
    for at in ("2016-11-20T09:30:00.000Z", "2026-11-20T09:30:00.000Z", "2036-11-20T09:30:00.000Z"):
        trunk = fleet()
        trunk.seal(*(ask(pen, at if name == rival else None) for name, pen in trunk.pens.items()))
        winners.add(leases(trunk.ledger.state).by_name["deploy"].holder)
    assert len(winners) == 1


def test_C1_one_wins_an_epoch_and_the_others_are_told_who() -> None:
    trunk = fleet()
    judged = trunk.seal(*(ask(pen) for pen in trunk.pens.values()))
    assert [item.verdict.rule for item in judged] == ["LEASE-1", "LEASE-2", "LEASE-2", "LEASE-2"]


def test_DIGEST_runs_over_id_outcome_rule_and_result_of_every_record_in_order() -> None:
    trunk = fleet()
    trunk.seal(*(ask(pen) for pen in trunk.pens.values()))
    _, reading = trunk.read_anew()
    digest = NOTHING
    for epoch in range(1, trunk.ledger.state.epoch + 1):
        text = digest + "\n"
        for item in reading.judged:
            if item.epoch == epoch:
                text += f"{item.record.id} {item.verdict.outcome} {item.verdict.rule} {item.verdict.result}\n"
        digest = hashlib.sha256(text.encode()).hexdigest()
    assert digest == trunk.ledger.state.digest == trunk.seals[-1].state


def test_DIGEST_a_wrong_claim_stands_and_is_doubted_until_another_node_agrees() -> None:
    trunk = fleet()
    oak, elm = trunk.oak, trunk.pens["elm"]
    record = say(elm)
    line = sign(trunk.seal_value(record, by=elm, state="e" * 64), elm.key, trunk.ledger.id)
    assert trunk.push([record], [read_seal(line)]).findings == []
    epoch = trunk.ledger.state.epoch
    assert trunk.ledger.state.doubt == (epoch, elm.log)
    trunk.seal(say(elm), by=elm)
    assert trunk.ledger.state.doubt == (epoch, elm.log), "its own word does not clear it"
    trunk.seal(say(oak), by=oak)
    assert trunk.ledger.state.doubt is None


def test_draft_leaves_the_state_alone_and_says_what_the_seal_must_claim() -> None:
    trunk = fleet()
    record, before = ask(trunk.oak), snapshot(trunk)
    draft = fold.draft(
        trunk.ledger.state, fold.Epoch(trunk.ledger.state.seal, {record.log: [record]}), trunk.ledger.state.epoch + 1
    )
    assert snapshot(trunk) == before
    judged = trunk.seal(record)
    assert draft.digest == trunk.ledger.state.digest
    assert [item.verdict for item in draft.judged] == [item.verdict for item in judged]


def test_a_copy_shares_nothing_that_changes() -> None:
    trunk = fleet()
    trunk.seal(ask(trunk.oak), say(trunk.pens["elm"]))
    before = snapshot(trunk)
    twin = fold.copy(trunk.ledger.state)
    assert fold.snapshot(twin) == before
    moment = kinds.Moment(99)
    for record in (say(trunk.oak), trunk.oak.write("node.revoke", log=trunk.pens["elm"].log, reason="lost")):
        assert kinds.apply(twin, record, moment).outcome == "applied"
    token = leases(twin).by_name["deploy"].token
    kinds.apply(twin, trunk.oak.write("lease.break", lease="deploy", token=token, reason="x"), moment)
    twin.heads.clear()
    twin.once["elm/x"] = kinds.Once("9f" * 32, "event.publish", 1, "published", "")
    assert snapshot(trunk) == before


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[]", b'{"slices":{}}', b"null", b'{"slices":3}'])
def test_CACHE_a_damaged_snapshot_is_a_ValueError(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a snapshot|expected|unexpected|line 1"):
        fold.restore(garbage)


def test_CACHE_snapshot_and_rest_are_the_whole() -> None:
    trunk = fleet()
    kept = snapshot(trunk)
    trunk.seal(*(ask(pen) for pen in trunk.pens.values()))
    half = fold.restore(kept)
    _, reading = trunk.read_anew()
    last = [item.record for item in reading.judged if item.epoch == trunk.ledger.state.epoch]
    fold.apply(half, trunk.seals[-1], {record.log: [record] for record in last})
    assert fold.snapshot(half) == snapshot(trunk)


# RULES: what these rules do not know is refused, and stops nobody.


@pytest.mark.parametrize(
    "odd",
    [{"kind": "lease.lend"}, {"v": 2}, {"body": {"topic": "t"}}, {"body": {"topic": "t", "type": "x", "more": 1}}],
    ids=["kind", "v", "missing field", "unknown field"],
)
def test_RULES_an_unknown_kind_version_or_body_is_refused_and_the_log_goes_on(odd: dict[str, object]) -> None:
    trunk = fleet()
    elm = trunk.pens["elm"]
    value = {"kind": "event.publish", "body": {"topic": "t", "type": "x", "payload": {}}} | odd
    record = elm.draft(str(value["kind"]), dict(value["body"]), **{k: v for k, v in odd.items() if k == "v"})  # type: ignore[call-overload]
    elm.seq, elm.prev = record.seq, record.id
    assert record.flaw
    assert trunk.verdict(record) == ("refused", "RULES", "")
    assert trunk.verdict(say(elm)).outcome == "applied"


def test_RULES_a_seal_under_other_rules_does_not_stand() -> None:
    trunk = fleet()
    record = say(trunk.oak)
    line = sign(trunk.seal_value(record, rules=2), trunk.oak.key, trunk.ledger.id)
    reading = trunk.push([record], [read_seal(line)])
    assert [finding.law for finding in reading.findings] == ["RULES"]
    assert reading.judged == []


FOLD = """
import sys
from pathlib import Path
from orxaq_mesh import fold
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.store import Change
ledger, root = Ledger(), Path(sys.argv[1])
files = [Change(str(path.relative_to(root)), None, path.read_bytes()) for path in root.rglob("*.ndjson")]
assert not ledger.read(files).findings
sys.stdout.buffer.write(fold.snapshot(ledger.state))
"""


def test_SET_the_state_is_the_same_under_every_hash_seed_locale_and_time_zone(tmp_path: Path) -> None:
    trunk = fleet()
    trunk.seal(*(ask(pen) for pen in trunk.pens.values()))
    trunk.seal(*(say(pen) for pen in trunk.pens.values()))
    for path, data in trunk.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    root = str(Path(__file__).parent.parent)
    for seed, locale, zone in (("0", "C", "UTC"), ("4711", "tr_TR.UTF-8", "Pacific/Kiritimati")):
        env = {"PYTHONHASHSEED": seed, "LC_ALL": locale, "TZ": zone, "PYTHONPATH": root}
        done = subprocess.run([sys.executable, "-c", FOLD, str(tmp_path)], env=env, capture_output=True, check=True)
        assert done.stdout == snapshot(trunk)


def test_a_record_is_what_its_line_says() -> None:
    record = say(Pen("oak"))
    assert read_record(record.line) == record
    assert canonical(fold.orjson.loads(record.line)) == record.line  # type: ignore[attr-defined]
