"""A hub that enforces: what it refuses before a branch moves, by real git over its path; what it lets pass."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.hub import door, judging, memory
from orxaq_mesh.hub.making import HOOK, adopt, examine
from orxaq_mesh.hub.receiving import MAX_MOVES, Asked, Move, parse
from orxaq_mesh.hub.settings import FILE, FOLDER, HubSettings, read_settings
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, epoch_place, log_place
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.store import Oid, Outcome, Pushed
from orxaq_mesh.store.answers import Ran, pushed
from orxaq_mesh.store.objects import MAX_FILE_BYTES
from tests.builder import secret, sign
from tests.fleet import MESH, Done
from tests.hubs import bare, wait_until
from tests.yard import Yard, dismiss

SPINE = epoch_place(1).file


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with Yard(tmp_path) as made:
        yield made


def law_of(pushed: Pushed) -> str:
    """The law that a refusal names first."""
    assert (pushed.outcome, pushed.vetoed) == (Outcome.LOST, True), pushed
    found = re.search(r"hook declined\): ([A-Z0-9-]+): ", pushed.reason)
    assert found, pushed.reason
    return found[1]


def passes(pushed: Pushed) -> bool:
    return pushed.outcome is Outcome.COMMITTED


# The trunk.


def test_an_honest_epoch_passes_and_the_next_and_the_next(yard: Yard) -> None:
    for number in range(3):
        yard.trunk.seal(yard.event(n=number))
        assert passes(yard.push_trunk())
    assert yard.hub.tip() == yard.tip


def _edited(yard: Yard) -> dict[str, bytes | None]:
    path = log_place(yard.elm.log, 1).file
    return {path: yard.held[path].replace(b"node.hello", b"node.hullo")}


def _deleted(yard: Yard) -> dict[str, bytes | None]:
    path = log_place(yard.trunk.oak.log, 1).file
    return {path: b"".join(yard.held[path].splitlines(keepends=True)[:-1])}


def _lost_seal(yard: Yard) -> dict[str, bytes | None]:
    return {SPINE: b"".join(yard.held[SPINE].splitlines(keepends=True)[:-1])}


def _forged(yard: Yard) -> dict[str, bytes | None]:
    record = yard.elm.draft("event.publish", {"topic": "a", "type": "b", "payload": {}})
    line = sign(unsigned(record), secret("thief"), yard.trunk.ledger.id)
    path = log_place(yard.elm.log, 2).file
    return {path: yard.held[path] + line + b"\n"}


def _replayed(yard: Yard) -> dict[str, bytes | None]:
    record = yard.elm.draft("event.publish", {"topic": "a", "type": "b", "payload": {}})
    line = sign(unsigned(record), yard.elm.key, "0" * 64)
    path = log_place(yard.elm.log, 2).file
    return {path: yard.held[path] + line + b"\n"}


def _in_anothers_file(yard: Yard) -> dict[str, bytes | None]:
    path = log_place(yard.trunk.oak.log, 1).file
    return {path: yard.held[path] + yard.event().line + b"\n"}


def _not_json(yard: Yard) -> dict[str, bytes | None]:
    path = log_place(yard.elm.log, 1).file
    return {path: yard.held[path] + b"{}}\n"}


def _stale_token(yard: Yard) -> dict[str, bytes | None]:
    path = log_place(yard.elm.log, 2).file
    return {path: yard.held[path] + stale(yard).line + b"\n"}


def stale(yard: Yard) -> Record:
    """A record of elm's under a token that is nobody's."""
    under = {"lease": "deploy", "session": "s", "token": 1}
    return yard.elm.write("event.publish", topic="a", type="b", payload={}, under=under)


def _beside(yard: Yard) -> dict[str, bytes | None]:
    return {"README.md": b"hello\n"}


def unsigned(record: Record) -> dict[str, Any]:
    """A record's value without its signature."""
    value = json.loads(record.line)
    return {name: inner for name, inner in value.items() if name != "sig"}


BAD = {
    "an edited line": (_edited, "CHAIN"),
    "a deleted line": (_deleted, "CHAIN"),
    "a lost seal": (_lost_seal, "SEEN"),
    "a forged line": (_forged, "SIG"),
    "a line of another ledger": (_replayed, "SIG"),
    "a line in another's file": (_in_anothers_file, "CHAIN"),
    "no line at all": (_not_json, "LINE"),
    "a proposal under a stale token": (_stale_token, "FENCE"),
    "something beside the ledger": (_beside, "RENDER"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_review_refuses_does_not_reach_the_trunk(yard: Yard, what: str) -> None:
    change, law = BAD[what]
    before = yard.hub.tip()
    told = yard.push_trunk(change(yard))
    assert law_of(told) == law, told.reason
    assert yard.hub.tip() == before


def test_B7_what_was_refused_is_not_kept_either(yard: Yard) -> None:
    bad = yard.commit({**yard.held, "README": b"x\n"}, [yard.tip or ""], yard.tip)
    yard.store.push("mesh", yard.tip, bad)
    with pytest.raises(AssertionError, match="bad file"):
        yard.hub.git("cat-file", "commit", bad)


def test_DIGEST_a_seal_with_a_wrong_digest_is_refused(yard: Yard) -> None:
    record = yard.event()
    value = yard.trunk.seal_value(record, state="1" * 64)
    seal = read_seal(sign(value, yard.trunk.oak.key, yard.trunk.ledger.id))
    told = yard.push_trunk(dict(render(yard.held.get, [record], [seal])))
    assert law_of(told) == "DIGEST"


def test_PUSH_the_trunk_is_neither_rewound_nor_deleted_nor_forced_elsewhere(yard: Yard) -> None:
    first = yard.tip
    yard.trunk.seal(yard.event())
    yard.push_trunk()
    orphan = yard.commit(yard.held, [])
    for spec in (f"{first}:refs/heads/mesh", ":refs/heads/mesh", f"{orphan}:refs/heads/mesh"):
        said = yard.force(spec)
        assert said[0] != "0", spec
        assert "PUSH: refs/heads/mesh: " in said, said
        assert yard.hub.tip() == yard.tip


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "refs/heads/mesh-node/elm", "refs/tags/v1", "refs/mesh/x", "refs/heads/a\u202eb"]
)
def test_RENDER_a_ref_that_no_ledger_has_is_not_made(yard: Yard, ref: str) -> None:
    said = yard.force(f"{yard.tip}:{ref}")
    assert said[0] == "1"
    assert "RENDER: refs/" in said
    assert "\u202e" not in said.partition("To /")[0]


def test_one_bad_ref_of_a_push_keeps_all_of_them_out(yard: Yard) -> None:
    before = yard.hub.tip()
    yard.trunk.seal(yard.event())
    good = yard.commit(yard.trunk.files, [yard.tip or ""], yard.tip)
    assert yard.force(f"{good}:refs/heads/mesh {good}:refs/heads/main")[0] == "1"
    assert yard.hub.tip() == before
    assert "CLOSED" in yard.force(" ".join(f"{good}:refs/heads/b{n}" for n in range(MAX_MOVES + 1)))


def test_SEAL_nothing_but_a_founding_begins_a_trunk(tmp_path: Path) -> None:
    with Yard(tmp_path / "one") as one, Yard(tmp_path / "other", "ash") as other:
        empty = tmp_path / "empty.git"
        bare(empty)
        adopt(empty, HubSettings(ledger=str(one.trunk.ledger.id)), os.environ)
        for yard, taken in ((other, False), (one, True)):
            argv = ["git", "--git-dir", str(yard.store.path), "push", str(empty), f"{yard.tip}:refs/heads/mesh"]
            done = subprocess.run(argv, capture_output=True, check=False)
            assert (done.returncode == 0) is taken, done.stderr.decode()
        log = one.commit({log_place(one.elm.log, 1).file: one.held[log_place(one.elm.log, 1).file]}, [])
        bare(tmp_path / "third.git")
        adopt(tmp_path / "third.git", HubSettings(), os.environ)
        argv = ["git", "--git-dir", str(one.store.path), "push", str(tmp_path / "third.git"), f"{log}:refs/heads/mesh"]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert done.returncode == 1
        assert b"SEAL: " in done.stderr


def test_B6_a_pack_that_is_too_large_is_refused_before_it_is_read(yard: Yard) -> None:
    yard.hub.git("config", "receive.maxInputSize", "20k")
    yard.trunk.seal(yard.event(noise=os.urandom(20_000).hex()))
    told = yard.push_trunk()
    assert (told.outcome, told.vetoed) == (Outcome.LOST, True)
    assert "exceeds maximum allowed size" in told.reason
    assert yard.hub.tip() == yard.tip


def test_LIVE_what_unpacks_to_too_much_is_refused(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "MAX_READ_BYTES", 1000)
    yard.trunk.seal(yard.event(noise="x" * 2000))
    new = yard.commit(yard.trunk.files, [yard.tip or ""], yard.tip)
    assert laws(yard, (yard.tip, new, "mesh")) == ["LIVE"]


def test_LIVE_a_file_of_very_many_lines_is_not_read(yard: Yard) -> None:
    path = log_place(yard.elm.log, 1).file
    assert law_of(yard.push_trunk({path: yard.held[path] + b"\n" * 1_000_000})) == "LIVE"
    assert law_of(yard.push_outbox(yard.elm.log, files={path: yard.held[path] + b"\n" * 1_000_000})) == "LIVE"


def test_LIVE_what_comes_along_behind_a_commit_is_not_too_large_either(yard: Yard) -> None:
    first = str(yard.tip)
    heavy = yard.store.commit(first, {"heavy": b"x" * (MAX_FILE_BYTES + 1)}, [first], "heavy", 999)
    yard.trunk.seal(yard.event(n=1))
    new = yard.commit(yard.trunk.files, [first, heavy], first)
    assert "LIVE: " in yard.force(f"{new}:refs/heads/mesh")
    box = yard.commit({**yard.held, **render(yard.held.get, [yard.event(n=2)])}, [first, heavy], first)
    assert "LIVE: " in yard.force(f"{box}:refs/heads/mesh-node/{yard.elm.log}")
    light = yard.store.commit(first, {"light": b"x"}, [first], "light", 999)
    assert yard.force(f"{yard.commit(yard.trunk.files, [first, light], first)}:refs/heads/mesh")[0] == "0"


def test_PREFIX_a_seal_with_the_proof_of_two_histories_passes(yard: Yard) -> None:
    one, two = (yard.elm.draft("event.publish", {"topic": "a", "type": "b", "payload": {"n": n}}) for n in (1, 2))
    assert passes(yard.push_outbox(yard.elm.log, one))
    yard.trunk.ledger.offer([one, two])
    assert yard.trunk.ledger.proofs()
    event, oak = yard.event(yard.trunk.oak), yard.trunk.oak
    seal = read_seal(sign(yard.trunk.seal_value(event), oak.key, yard.trunk.ledger.id))
    records = [*yard.trunk.ledger.proven[yard.elm.log], event]
    assert passes(yard.push_trunk(dict(render(yard.held.get, records, [seal]))))
    assert law_of(yard.push_outbox(yard.elm.log, yard.event())) == "NODE-3"


# What a client may say that is no git.


def evil(yard: Yard, base: str) -> str:
    """A commit behind `base` that nobody may bring in."""
    return yard.store.commit(base, {SPINE: None, "evil.sh": b"x\n"}, [base], "evil", 999)


def test_PUSH_what_begins_where_another_move_of_the_push_ends_is_refused(yard: Yard) -> None:
    first = str(yard.tip)
    yard.trunk.seal(yard.event())
    honest = yard.commit(yard.trunk.files, [first], first)
    moves = (first, honest, "refs/heads/mesh"), (honest, evil(yard, honest), "refs/heads/mesh")
    for some in (moves, moves[1:]):  # the second alone: what it begins with may be arriving by another push just now
        assert "PUSH: refs/heads/mesh: " in yard.wire(*some)
        assert yard.hub.tip() == first


def test_PUSH_what_begins_where_the_trunk_was_is_judged_from_there(yard: Yard) -> None:
    """A lost race is git's to refuse; but who began elsewhere on purpose is judged all the same."""
    first = str(yard.tip)
    yard.trunk.seal(yard.event())
    assert passes(yard.push_trunk())
    assert "RENDER: evil.sh" in yard.wire((first, evil(yard, first), "refs/heads/mesh"), has=first)
    late = yard.store.commit(first, {SPINE: yard.held[SPINE]}, [first], "late", 999)
    assert "CHAIN: " in yard.wire((first, late, "refs/heads/mesh"), has=first)
    assert yard.hub.tip() == yard.tip


def test_CLOSED_a_push_that_says_more_than_is_read_moves_nothing(yard: Yard) -> None:
    first = str(yard.tip)
    bad = evil(yard, first)
    padding = [(bad, first, f"refs/heads/{number}" + ("/" + "x" * 200) * 18) for number in range(20)]
    assert "CLOSED: " in yard.wire(*padding, (first, bad, "refs/heads/mesh"))
    assert yard.hub.tip() == first


def test_CHAIN_no_trunk_that_was_never_taken_in_vouches_for_an_outbox(yard: Yard) -> None:
    old, log = str(yard.tip), yard.elm.log
    yard.trunk.seal(yard.trunk.oak.write("node.revoke", log=log, reason="lost"))
    assert passes(yard.push_trunk())
    box = yard.store.commit(old, render(lambda path: yard.store.read(old, path), [yard.event()]), [old], "box", 999)
    moves = ("0" * 40, box, f"refs/heads/mesh-node/{log}"), ("1" * 40, old, "refs/heads/mesh")
    assert "NODE-3: " in yard.wire(*moves)
    beside = evil(yard, str(yard.tip))
    moves = ("0" * 40, beside, f"refs/heads/mesh-node/{log}"), ("1" * 40, beside, "refs/heads/mesh")
    assert "PUSH: refs/heads/mesh: " in yard.wire(*moves)
    assert yard.hub.tip(f"mesh-node/{log}") is None


def test_CLOSED_there_is_no_second_hub_in_a_namespace(yard: Yard) -> None:
    assert "CLOSED: " in yard.wire(("0" * 40, str(yard.tip), "refs/heads/mesh"), GIT_NAMESPACE="x")
    assert "namespaces" not in yard.hub.git("for-each-ref", "--format=%(refname)")


def test_RENDER_no_branch_is_moved_by_another_name(yard: Yard) -> None:
    assert mesh_hub("adopt", str(yard.path)).err == ""
    yard.hub.git("symbolic-ref", "refs/heads/main", "refs/heads/mesh")
    told = mesh_hub("adopt", str(yard.path))
    assert (told.code, "refs/heads/main is another name of a branch" in told.err) == (0, True)
    assert [point.name for point in examine(yard.path, os.environ) if point.level == "bad"] == ["refs"]
    assert "RENDER: refs/heads/main: " in yard.force(f"{evil(yard, str(yard.tip))}:refs/heads/main")
    assert yard.hub.tip() == yard.tip


def test_RENDER_an_outbox_that_is_another_name_of_the_trunk_does_not_move_it(yard: Yard) -> None:
    first, branch = str(yard.tip), f"refs/heads/mesh-node/{yard.elm.log}"
    yard.hub.git("symbolic-ref", branch, "refs/heads/mesh")
    assert f"RENDER: {branch}: " in yard.wire((first, yard.outbox(yard.elm.log, yard.event()), branch))
    yard.hub.git("symbolic-ref", branch, "refs/heads/nowhere")  # git would make what it names
    new = yard.outbox(yard.elm.log, yard.event())
    assert f"RENDER: {branch}: " in yard.wire(("0" * 40, new, branch))
    assert (yard.hub.tip(), yard.hub.tip("nowhere")) == (first, None)


def test_RENDER_a_trunk_that_is_another_name_is_not_moved_by_the_name_it_stands_for(yard: Yard) -> None:
    first = str(yard.tip)
    yard.hub.git("update-ref", "refs/heads/main", first)
    yard.hub.git("symbolic-ref", "refs/heads/mesh", "refs/heads/main")
    assert "RENDER: refs/heads/main: " in yard.force(f"{evil(yard, first)}:refs/heads/main")
    yard.trunk.seal(yard.event())
    assert law_of(yard.push_trunk()) == "RENDER"
    assert yard.hub.tip() == first
    (bad,) = (point for point in examine(yard.path, os.environ) if point.level == "bad")
    subprocess.run(["sh", "-c", bad.mend], cwd=yard.path, check=True)
    assert passes(yard.push_trunk())
    assert yard.hub.tip("main") == first


ODD_NAMES = (
    "HEAD mesh refs refs/heads/mesh/ refs/heads/mesh.lock refs/heads//mesh refs/heads/./mesh refs/heads/x/../mesh "
    "refs/heads/MESH refs/heads/me\u200csh refs/notes/commits refs/pull/1/head refs/replace/TIP refs/heads/mesh-node "
    "refs/heads/mesh-node/ refs/heads/mesh-node/LOG.lock refs/heads/mesh-node/LOG/x refs/heads/Mesh-Node/LOG"
).split()


def test_RENDER_names_that_look_like_a_branch_of_the_ledger_move_nothing(yard: Yard) -> None:
    first = str(yard.tip)
    bad, before = evil(yard, first), yard.hub.git("for-each-ref")
    for odd in ODD_NAMES:
        ref = odd.replace("TIP", first).replace("LOG", yard.elm.log)
        assert "RENDER: " in yard.wire((first, bad, ref)), ref
    assert "CLOSED: " in yard.wire((first, bad, "refs/heads/mesh\nx"))
    assert yard.hub.git("for-each-ref") == before


def test_PUSH_what_says_that_a_ref_is_new_that_is_there_moves_nothing(yard: Yard) -> None:
    one, other = (yard.elm.draft("event.publish", {"topic": "a", "type": "b", "payload": {"n": n}}) for n in (1, 2))
    assert passes(yard.push_outbox(yard.elm.log, one))
    before = yard.hub.git("for-each-ref")
    new = yard.outbox(yard.elm.log, other)
    assert "already exists" in yard.wire(("0" * 40, new, f"refs/heads/mesh-node/{yard.elm.log}"))
    assert "already exists" in yard.wire(("0" * 40, yard.commit(yard.held, []), "refs/heads/mesh"))
    assert yard.hub.git("for-each-ref") == before


def laws(yard: Yard, *moves: tuple[Oid | None, Oid, str]) -> list[str]:
    """The laws that a push would break which brings what is in the store, by a judge that knows nothing yet."""
    also = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": str(yard.store.path / "objects")}
    asked = Asked([Move(f"refs/heads/{branch}", old, new) for old, new, branch in moves], also)
    return [finding.law for finding in judging.Judge(yard.path, os.environ).judge(asked)]


def test_RENDER_an_outbox_grows_from_where_the_trunk_stood_and_from_nothing_beside_it(yard: Yard) -> None:
    first, log = str(yard.tip), yard.elm.log
    beside = yard.store.commit(first, {"evil.sh": b"x\n"}, [first], "evil", 999)
    yard.trunk.seal(yard.event(n=1))
    yard.tip = yard.commit(yard.trunk.files, [first, beside], first)
    assert yard.force(f"{yard.tip}:refs/heads/mesh")[0] == "0"
    two = yard.event(n=2)
    for base, wanted in ((beside, ["RENDER"]), (first, [])):
        held = {path: yard.store.read(base, path) for path in yard.held}
        box = yard.store.commit(base, render(held.get, [two]), [base], "box", 999)
        assert laws(yard, (None, box, f"mesh-node/{log}")) == wanted


def test_PUSH_a_ref_is_named_once_in_a_push(tmp_path: Path) -> None:
    with Yard(tmp_path) as yard:
        first = str(yard.tip)
        yard.trunk.seal(yard.event())
        one, other = (yard.commit(yard.trunk.files, [first], first) for _ in range(2))
        assert laws(yard, (first, one, "mesh")) == []
        assert laws(yard, (first, one, "mesh"), (first, other, "mesh")) == ["PUSH"]


def test_PUSH_nothing_begins_where_the_push_itself_ends(tmp_path: Path) -> None:
    with Yard(tmp_path) as yard:
        first = str(yard.tip)
        yard.trunk.seal(yard.event())
        one = yard.commit(yard.trunk.files, [first], first)
        two = yard.commit(yard.trunk.files, [one], first)
        assert laws(yard, (one, two, "mesh")) == ["PUSH"]


def test_CLOSED_no_push_is_judged_by_its_beginning() -> None:
    move = f"{'1' * 40} {'2' * 40} refs/heads/mesh\n".encode()
    long = move.replace(b"mesh", b"x" * 2000)
    assert judged_moves(long * 20 + move) == 21
    for feed in (long * (door.MAX_FEED // len(long) + 1), move[:-1], long + move[:-7], move * (MAX_MOVES + 1)):
        assert judged_moves(feed) is None


def judged_moves(feed: bytes) -> int | None:
    """How many moves of what git said are judged; None: nothing moves."""
    try:
        return len(parse([""] * 5, feed).moves)
    except MeshFault:
        return None


# Outboxes.


def test_an_outbox_grows_and_what_was_sealed_leaves_it(yard: Yard) -> None:
    one, two = yard.event(n=1), yard.event(n=2)
    assert passes(yard.push_outbox(yard.elm.log, one))
    assert passes(yard.push_outbox(yard.elm.log, one, two))
    yard.trunk.seal(one, two)
    assert passes(yard.push_trunk())
    three = yard.event(n=3)
    assert passes(yard.push_outbox(yard.elm.log, three))


def test_a_newcomers_hello_lies_in_an_outbox_before_anybody_knows_it(yard: Yard) -> None:
    fir = yard.trunk.pen("fir")
    hello = fir.hello()
    assert passes(yard.push_outbox(fir.log, hello))
    assert passes(yard.push_outbox(fir.log, hello, yard.event(fir)))


def test_LIVE_strangers_cannot_fill_a_hub_with_outboxes(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fir", "ash"):
        pen = yard.trunk.pen(name)
        assert passes(yard.push_outbox(pen.log, pen.hello()))
    monkeypatch.setattr(judging, "MAX_STRANGERS", 2)
    yew, oak = yard.trunk.pen("yew"), yard.trunk.oak
    hello = yew.hello()
    assert laws(yard, (None, yard.outbox(yew.log, hello), f"mesh-node/{yew.log}")) == ["LIVE"]
    mine = yard.event()
    assert laws(yard, (None, yard.outbox(yard.elm.log, mine), f"mesh-node/{yard.elm.log}")) == []
    assert passes(yard.push_outbox(yard.elm.log, mine))
    yard.trunk.seal(oak.write("node.revoke", log=yard.elm.log, reason="lost"))
    assert passes(yard.push_trunk())
    yard.hub.git("update-ref", "-d", f"refs/heads/mesh-node/{pen.log}")
    assert (
        laws(yard, (None, yard.outbox(yew.log, hello), f"mesh-node/{yew.log}")) == []
    )  # elm's is not a stranger's, though elm is gone


def test_FENCE_a_stale_holders_record_travels(yard: Yard) -> None:
    assert passes(yard.push_outbox(yard.elm.log, stale(yard)))


def _other_log(yard: Yard) -> Pushed:
    return yard.push_outbox(yard.elm.log, yard.event(yard.trunk.oak))


def _gap(yard: Yard) -> Pushed:
    yard.event()
    return yard.push_outbox(yard.elm.log, yard.event())


def _thief(yard: Yard) -> Pushed:
    path = log_place(yard.elm.log, 2).file
    return yard.push_outbox(yard.elm.log, files={path: _forged(yard)[path]})


def _dropped(yard: Yard) -> Pushed:
    one, two = yard.event(n=1), yard.event(n=2)
    yard.push_outbox(yard.elm.log, one, two)
    return yard.push_outbox(yard.elm.log, one)


def _second_variant(yard: Yard) -> Pushed:
    one = yard.elm.draft("event.publish", {"topic": "a", "type": "b", "payload": {"n": 1}})
    two = yard.elm.draft("event.publish", {"topic": "a", "type": "b", "payload": {"n": 2}})
    yard.push_outbox(yard.elm.log, one)
    return yard.push_outbox(yard.elm.log, two)


def _sealed_place(yard: Yard) -> Pushed:
    old = yard.elm.draft("event.publish", {"topic": "a", "type": "b", "payload": {}})
    yard.trunk.seal(yard.event())
    yard.push_trunk()
    return yard.push_outbox(yard.elm.log, old)


def _sealing(yard: Yard) -> Pushed:
    yard.trunk.seal(yard.event())
    return yard.push_outbox(yard.elm.log, files=yard.trunk.files)


def _secret(yard: Yard) -> Pushed:
    return yard.push_outbox(yard.elm.log, yard.event(token="ghp_" + "a1B2" * 9))


def _nothing(yard: Yard) -> Pushed:
    return yard.push_outbox(yard.elm.log)


def _unordered(yard: Yard) -> Pushed:
    path = log_place(yard.elm.log, 2).file
    one, two = yard.event(n=1), yard.event(n=2)
    return yard.push_outbox(yard.elm.log, files={path: yard.held[path] + two.line + b"\n" + one.line + b"\n"})


def _junk(yard: Yard) -> Pushed:
    return yard.push_outbox(yard.elm.log, yard.event(), files={"ledgerx": b"x\n"})


def _revoked(yard: Yard) -> Pushed:
    yard.trunk.seal(yard.trunk.oak.write("node.revoke", log=yard.elm.log, reason="lost"))
    yard.push_trunk()
    return yard.push_outbox(yard.elm.log, yard.event())


OUTBOX_BAD: dict[str, tuple[Callable[[Yard], Pushed], str]] = {
    "another's record": (_other_log, "CHAIN"),
    "a gap": (_gap, "CHAIN"),
    "a thief's signature": (_thief, "SIG"),
    "a record less": (_dropped, "CHAIN"),
    "a second variant of a waiting record": (_second_variant, "CHAIN"),
    "a second variant of a sealed record": (_sealed_place, "CHAIN"),
    "a seal": (_sealing, "CHAIN"),
    "a credential": (_secret, "SECRET"),
    "nothing": (_nothing, "CHAIN"),
    "lines out of order": (_unordered, "RENDER"),
    "something beside the ledger": (_junk, "RENDER"),
    "a revoked key": (_revoked, "NODE-3"),
}


@pytest.mark.parametrize("what", OUTBOX_BAD)
def test_CHAIN_an_outbox_holds_its_own_nodes_records_in_a_row(yard: Yard, what: str) -> None:
    push, law = OUTBOX_BAD[what]
    assert law_of(push(yard)) == law


def test_LIVE_somebodys_credential_in_an_old_outbox_stops_no_sealer(yard: Yard) -> None:
    leaky = yard.event(token="ghp_" + "a1B2" * 9)
    yard.trunk.seal(leaky)
    assert passes(yard.push_trunk())
    yard.trunk.seal(yard.event(yard.trunk.oak, token="ghp_" + "a1B2" * 9))
    assert law_of(yard.push_trunk()) == "SECRET"
    yard.trunk.seal(yard.event(yard.trunk.oak))
    assert law_of(yard.push_trunk()) == "SECRET"


def test_SECRET_what_the_ledger_allows_is_let_through(yard: Yard) -> None:
    text = "ghp_" + "a1B2" * 9
    digest = hashlib.sha256(text.encode()).hexdigest()
    yard.trunk.seal(yard.trunk.oak.write("review.allow", digest=digest, reason="an example"))
    assert passes(yard.push_trunk())
    assert passes(yard.push_outbox(yard.elm.log, yard.event(token=text)))


def test_CHAIN_only_its_node_moves_an_outbox_where_the_hub_knows_who_pushes(yard: Yard) -> None:
    spec = f"{yard.outbox(yard.elm.log, yard.event())}:refs/heads/mesh-node/{yard.elm.log}"
    assert "CHAIN: refs/heads/mesh-node/" in yard.force(spec, MESH_HUB_NODE="oak")
    known = read_settings(yard.path).allow("erika", "elm").allow("max", "oak")
    adopt(yard.path, known, os.environ)
    assert "user max is not elm" in yard.force(spec, REMOTE_USER="max")
    assert "user mallory is not elm" in yard.force(spec, REMOTE_USER="mallory")
    assert "who pushes is not elm" in yard.force(spec)
    assert yard.force(spec, REMOTE_USER="erika")[0] == "0"
    more = f"{yard.outbox(yard.elm.log, read_of(yard), yard.event(n=2), old=yard.hub.tip(f'mesh-node/{yard.elm.log}'))}"
    assert yard.force(f"{more}:refs/heads/mesh-node/{yard.elm.log}", MESH_HUB_NODE="elm")[0] == "0"
    assert "PUSH: " in yard.force(f":refs/heads/mesh-node/{yard.elm.log}", MESH_HUB_NODE="elm")


def read_of(yard: Yard) -> Record:
    """The record that waits in elm's outbox."""
    text = yard.hub.git("show", f"mesh-node/{yard.elm.log}:{log_place(yard.elm.log, 2).file}")
    return read_record(text.split("\n")[-1].encode())


# The hook's own life.


def test_PUSH_of_two_pushes_at_once_one_is_lost_and_none_refused(yard: Yard) -> None:
    yard.trunk.seal(yard.event())
    news = [yard.commit(yard.trunk.files, [yard.tip or ""], yard.tip) for _ in range(4)]
    told: list[Pushed] = []

    def push(new: str) -> None:
        argv = ["git", "--git-dir", str(yard.store.path), "push", "--porcelain"]
        argv += [f"--force-with-lease=refs/heads/mesh:{yard.tip}", str(yard.path), f"{new}:refs/heads/mesh"]
        done = subprocess.run(argv, capture_output=True, check=False)
        told.append(pushed(Ran(done.returncode, done.stdout, done.stderr), "refs/heads/mesh"))

    threads = [threading.Thread(target=push, args=(new,)) for new in news]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each.outcome.value for each in told) == ["committed", "lost", "lost", "lost"]
    assert not any(each.vetoed for each in told), told


def standby_of(yard: Yard) -> Path:
    return yard.path / f"{door.SOCKET}-{os.geteuid()}"


def hooks(yard: Yard) -> list[int]:
    """The processes of this hub's hook: one that stayed, and those that are at work."""
    done = subprocess.run(["pgrep", "-f", door.__file__], capture_output=True, text=True, check=False)
    return [pid for pid in map(int, done.stdout.split()) if stands_in(pid) == str(yard.path.resolve())]


def stands_in(pid: int) -> str:
    """A process's directory; nothing, where it has ended."""
    try:
        return str(Path(f"/proc/{pid}/cwd").readlink())
    except OSError:
        return ""


def standby_pid(yard: Yard) -> int:
    """The one that stayed."""
    wait_until(lambda: len(hooks(yard)) == 1, 10)
    return hooks(yard)[0]


def test_the_second_push_is_judged_by_who_stayed(yard: Yard) -> None:
    yard.trunk.seal(yard.event())
    assert passes(yard.push_trunk())
    pid = standby_pid(yard)
    assert law_of(yard.push_trunk(_beside(yard))) == "RENDER"
    yard.trunk.seal(yard.event())
    assert passes(yard.push_trunk())
    assert standby_pid(yard) == pid


def _nobody(yard: Yard) -> None:
    os.kill(standby_pid(yard), signal.SIGKILL)


def _gone(yard: Yard) -> None:
    for file in (yard.path / FOLDER).iterdir():
        if file.name != FILE:
            file.unlink()


def _old_snapshot(yard: Yard) -> None:
    """A whole, well-formed snapshot of a commit that is not the tip, nor anything else that is here."""
    file = yard.path / FOLDER / "snapshot.json"
    wait_until(file.exists, 10)
    os.kill(standby_pid(yard), signal.SIGKILL)
    file.write_bytes(file.read_bytes().replace(b'"epoch":', b'"epoch": ').replace(str(yard.tip).encode(), b"f" * 40))


def _senseless(yard: Yard) -> None:
    """A whole snapshot with its digest, as another program may have meant it."""
    file = yard.path / FOLDER / memory.FILE
    wait_until(file.exists, 10)
    os.kill(standby_pid(yard), signal.SIGKILL)
    data = file.read_bytes().partition(b"\n")[2].replace(b'"records":', b'"records":[],"others":')
    file.write_bytes(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def _rubbish(yard: Yard) -> None:
    os.kill(standby_pid(yard), signal.SIGKILL)
    (yard.path / FOLDER / "snapshot.json").write_bytes(b'{"version":"0.0.1","trunk":[]}')


def _stranger(yard: Yard) -> None:
    """Somebody listens who is no standby."""
    os.kill(standby_pid(yard), signal.SIGKILL)
    standby_of(yard).unlink()
    with socket.socket(socket.AF_UNIX) as wire:
        wire.bind(str(standby_of(yard)))


@pytest.mark.parametrize("loss", [_nobody, _gone, _old_snapshot, _senseless, _rubbish, _stranger])
def test_CACHE_whatever_the_hub_remembers_may_go_between_any_two_pushes(
    yard: Yard, loss: Callable[[Yard], None]
) -> None:
    loss(yard)
    assert law_of(yard.push_trunk(_deleted(yard))) == "CHAIN"
    loss(yard)
    yard.trunk.seal(yard.event())
    assert passes(yard.push_trunk())


def test_CACHE_a_copy_of_a_hub_with_the_memory_of_a_later_one_lets_in_what_is_right(yard: Yard, tmp_path: Path) -> None:
    copy, first = tmp_path / "copy.git", yard.tip
    subprocess.run(["git", "clone", "--quiet", "--mirror", str(yard.path), str(copy)], check=True)
    yard.trunk.seal(yard.event())
    assert passes(yard.push_trunk())
    snapshot = yard.path / FOLDER / memory.FILE
    wait_until(lambda: snapshot.exists() and str(yard.tip).encode() in snapshot.read_bytes(), 10)
    adopt(copy, HubSettings(), os.environ)
    (copy / FOLDER / memory.FILE).write_bytes(snapshot.read_bytes())
    argv = ["git", "--git-dir", str(yard.store.path), "push", "--quiet", str(copy)]
    bad = yard.commit({**yard.held, "README.md": b"x\n"}, [str(first)], first)
    done = [subprocess.run([*argv, f"{new}:refs/heads/mesh"], check=False).returncode for new in (bad, yard.tip)]
    dismiss(copy)
    assert done == [1, 0]


def test_a_standby_of_another_version_is_not_asked(yard: Yard, tmp_path: Path) -> None:
    pid = standby_pid(yard)
    os.utime(door.__file__)
    yard.trunk.seal(yard.event())
    assert passes(yard.push_trunk())
    assert standby_pid(yard) != pid


def test_a_hook_that_is_killed_moves_nothing(yard: Yard) -> None:
    pid = standby_pid(yard)
    os.kill(pid, signal.SIGSTOP)  # the next hook waits for its answer
    before = yard.hub.tip()
    yard.trunk.seal(yard.event())
    told: list[Pushed] = []
    pushing = threading.Thread(target=lambda: told.append(yard.push_trunk()))
    pushing.start()
    try:
        wait_until(lambda: len(hooks(yard)) == 2, 10)
        os.kill(next(each for each in hooks(yard) if each != pid), signal.SIGKILL)
        pushing.join()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert told[0].outcome is not Outcome.COMMITTED
    assert yard.hub.tip() == before
    assert passes(yard.push_trunk())


def test_QUIET_nothing_of_the_pushers_environment_has_a_say(yard: Yard, tmp_path: Path) -> None:
    canary, evil = tmp_path / "canary", tmp_path / "evil"
    (evil / "orxaq_mesh").mkdir(parents=True)
    for file in ("orxaq_mesh/__init__.py", "sitecustomize.py", "orjson.py", "start.py"):
        (evil / file).write_text(f"open({str(canary)!r}, 'w')\n")
    (tmp_path / "gitconfig").write_text("[core]\n\thooksPath = /nowhere\n")
    variables = {
        "PYTHONPATH": str(evil),
        "PYTHONSTARTUP": str(evil / "start.py"),
        "PYTHONHOME": str(evil),
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "GIT_REPLACE_REF_BASE": "refs/heads/",
    }
    os.kill(standby_pid(yard), signal.SIGKILL)
    bad = yard.commit({**yard.held, "README": b"x\n"}, [yard.tip or ""], yard.tip)
    assert "RENDER: README" in yard.force(f"{bad}:refs/heads/mesh", **variables)
    assert not canary.exists()


def test_B8_a_refusal_is_plain_text_whatever_was_pushed(yard: Yard) -> None:
    path = log_place(yard.elm.log, 1).file
    told = yard.push_trunk({path: yard.held[path] + b'{"\x1b[2J\xe2\x80\xae":1}\n'})
    assert law_of(told) == "LINE"
    bad = yard.commit({**yard.held, path: yard.held[path] + "\u202e\x1b[2J\n".encode()}, [yard.tip or ""], yard.tip)
    said = yard.force(f"{bad}:refs/heads/mesh").partition("To /")[0]
    assert "LINE: " in said
    assert "\x1b[2J" not in said
    assert "\u202e" not in said


def test_CLOSED_where_the_settings_cannot_be_read_nothing_is_let_in(yard: Yard) -> None:
    (yard.path / FOLDER / FILE).write_text("{")
    yard.trunk.seal(yard.event())
    assert law_of(yard.push_trunk()) == "CLOSED"
    adopt(yard.path, HubSettings(), os.environ)
    assert passes(yard.push_trunk())


def test_CLOSED_where_its_python_is_gone_nothing_is_let_in(yard: Yard) -> None:
    hook = yard.path / HOOK
    hook.write_text(hook.read_text().replace("exec ", "exec /nowhere"))
    yard.trunk.seal(yard.event())
    assert yard.push_trunk().vetoed
    assert [point.level for point in examine(yard.path, os.environ) if point.name == "hook"] == ["bad"]


@given(st.lists(st.text(max_size=9), max_size=7), st.binary(max_size=300) | st.just(b"\n" * 99))
@settings(max_examples=150)
def test_CLOSED_whatever_the_hook_is_told_is_a_push_or_a_fault(arguments: list[str], feed: bytes) -> None:
    try:
        asked = parse(arguments, feed)
    except MeshFault:
        return
    assert len(asked.moves) == feed.count(b"\n") <= MAX_MOVES


# Made, adopted, examined.


def _no_hook(hub: Path) -> None:
    (hub / HOOK).unlink()


def _not_executable(hub: Path) -> None:
    (hub / HOOK).chmod(0o644)


def _other_version(hub: Path) -> None:
    (hub / HOOK).write_text((hub / HOOK).read_text() + "# more\n")


def _rewinds(hub: Path) -> None:
    subprocess.run(["git", "--git-dir", str(hub), "config", "receive.denyNonFastForwards", "false"], check=True)


def _unlimited(hub: Path) -> None:
    subprocess.run(["git", "--git-dir", str(hub), "config", "receive.maxInputSize", "0"], check=True)


def _hooks_elsewhere(hub: Path) -> None:
    subprocess.run(["git", "--git-dir", str(hub), "config", "core.hooksPath", "/nowhere"], check=True)


@pytest.mark.parametrize("spoil", [_no_hook, _not_executable, _other_version, _rewinds, _unlimited, _hooks_elsewhere])
def test_check_finds_what_was_spoilt_and_adopt_mends_it(yard: Yard, spoil: Callable[[Path], None]) -> None:
    assert not [point for point in examine(yard.path, os.environ) if point.level == "bad"]
    spoil(yard.path)
    bad = [point for point in examine(yard.path, os.environ) if point.level == "bad"]
    assert len(bad) == 1
    assert bad[0].mend.startswith("mesh hub adopt ")
    adopt(yard.path, read_settings(yard.path), os.environ)
    assert not [point for point in examine(yard.path, os.environ) if point.level == "bad"]


def test_a_hub_with_a_hook_of_its_own_is_not_taken_over(tmp_path: Path) -> None:
    hub = bare(tmp_path / "hub.git")
    (hub / "hooks").mkdir(exist_ok=True)
    (hub / HOOK).write_text("#!/bin/sh\nexit 0\n")
    with pytest.raises(Usage, match="hook of its own"):
        adopt(hub, HubSettings(), os.environ)
    with pytest.raises(Usage, match="not a bare repository"):
        adopt(tmp_path, HubSettings(), os.environ)


def test_a_hub_that_had_other_branches_keeps_them_and_gets_no_more(yard: Yard) -> None:
    yard.hub.git("update-ref", "refs/heads/main", str(yard.tip))
    later = yard.commit({**yard.held, "code.py": b"1\n"}, [yard.tip or ""], yard.tip)
    assert yard.force(f"{later}:refs/heads/main")[0] == "0"
    assert "RENDER" in yard.force(f"{later}:refs/heads/topic")


@pytest.mark.parametrize(
    ("user", "node"), [("", "elm"), ("a\nb", "elm"), ("erika", "Elm"), ("erika", "-x"), ("x" * 201, "elm")]
)
def test_settings_refuse_what_is_no_name(user: str, node: str) -> None:
    with pytest.raises(Usage):
        HubSettings().allow(user, node)


@pytest.mark.parametrize(
    "text", ["", "[]", '{"trunk":"-x","ledger":null,"users":{}}', '{"trunk":"mesh","ledger":"x","users":{}}']
)
def test_settings_that_are_none_are_a_fault_and_not_a_guess(tmp_path: Path, text: str) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / FILE).write_text(text)
    with pytest.raises(MeshFault):
        read_settings(tmp_path)


def test_who_is_allowed_can_be_forbidden_again() -> None:
    known = HubSettings().allow("erika", "elm").allow("erika", "ash").allow("max", "oak")
    assert known.users == {"erika": ("ash", "elm"), "max": ("oak",)}
    assert known.forbid("erika", "ash").forbid("erika", "elm").users == {"max": ("oak",)}


# The command.


def mesh_hub(*words: str) -> Done:
    argv = [*MESH, "hub", *words]
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def test_the_command_makes_checks_allows_and_forbids(tmp_path: Path) -> None:
    path = str(tmp_path / "new.git")
    assert mesh_hub("init", path, "--dry-run").code == 0
    assert not Path(path).exists()
    made = mesh_hub("init", path, "--json", "--trunk", "main", "--ledger", "a" * 64)
    assert made.data == {"path": path, "trunk": "main", "ledger": "a" * 64, "users": {}}
    assert mesh_hub("init", path).code == 2
    assert mesh_hub("allow", path, "erika", "elm", "--json").data["users"] == {"erika": ["elm"]}
    assert mesh_hub("adopt", path, "--json").data["users"] == {"erika": ["elm"]}
    assert mesh_hub("check", path, "--json").data["ok"]
    (Path(path) / HOOK).unlink()
    bad = mesh_hub("check", path)
    assert (bad.code, "lets everything in" in bad.out) == (1, True)
    assert mesh_hub("forbid", path, "erika", "elm", "--json").data["users"] == {}
    assert mesh_hub("adopt", str(tmp_path)).code == 2
    dismiss(Path(path))
