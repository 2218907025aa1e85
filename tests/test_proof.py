"""A key that signed two histories: the proof that anyone can check, the suspension, the way back (laws CHAIN, PREFIX)."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh.errors import InvalidLedger
from orxaq_mesh.inspect.proof import MAX_PROOF_BYTES, read
from orxaq_mesh.record import canonical, line_id, log_place
from tests.builder import Pen, Trunk, secret, sign
from tests.fleet import MESH, Done
from tests.halves import Halves
from tests.hubs import plain_git
from tests.test_cli_fleet import in_a_terminal
from tests.test_fork_choice import twice

Lines = list[bytes]


def made() -> Lines:
    """A proof in memory: elm signed number 2 twice."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    one, other = sorted(twice(trunk, "elm"))
    header = {"key": elm.key.public.text, "kind": "proof", "ledger": trunk.ledger.id, "log": elm.log, "seq": 2, "v": 1}
    return [canonical(header), one.line, other.line]


def file_of(lines: Lines) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def header(**changes: Any) -> Callable[[Lines], Lines]:
    """The proof with another header; None takes a field away."""

    def changed(lines: Lines) -> Lines:
        value = {name: inner for name, inner in (json.loads(lines[0]) | changes).items() if inner is not None}
        return [canonical(value), *lines[1:]]

    return changed


def resigned(lines: Lines, key: Any, **changes: Any) -> bytes:
    """The second record, changed and signed anew."""
    value = {**json.loads(lines[2]), **changes}
    del value["sig"]
    return sign(value, key, json.loads(lines[0])["ledger"])


WRONG: dict[str, tuple[int, Callable[[Lines], Lines]]] = {
    "one record twice": (3, lambda lines: [lines[0], lines[1], lines[1]]),
    "the other order": (3, lambda lines: [lines[0], lines[2], lines[1]]),
    "a line short": (2, lambda lines: lines[:2]),
    "a line more": (4, lambda lines: [*lines, lines[1]]),
    "no header": (1, lambda lines: [lines[1], *lines[1:]]),
    "another kind": (1, header(kind="export")),
    "another version": (1, header(v=2)),
    "a field more": (1, header(more="x")),
    "a field less": (1, header(seq=None)),
    "a seq of another type": (1, header(seq="2")),
    "a ledger that is none": (1, header(ledger='x" ssh-ed25519 AAAA\n')),
    "another ledger": (2, header(ledger="0" * 64)),
    "another seq": (2, header(seq=3)),
    "another log": (1, header(log="elm-00000000")),
    "a log with another name": (2, lambda lines: header(log="oak-" + json.loads(lines[0])["log"][4:])(lines)),
    "another key": (1, header(key=secret("oak").public.text)),
    "no key": (1, header(key="ssh-ed25519 AAAA")),
    "a key with a comment": (1, lambda lines: header(key=json.loads(lines[0])["key"] + " elm")(lines)),
    "a header with spaces": (1, lambda lines: [lines[0].replace(b":", b": "), *lines[1:]]),
    "a record with spaces": (3, lambda lines: [*lines[:2], lines[2].replace(b":", b": ")]),
    "a changed byte": (2, lambda lines: [lines[0], lines[1].replace(b"09:30", b"09:31"), lines[2]]),
    "a seal": (3, lambda lines: [*lines[:2], lines[2].replace(b"event.publish", b"seal")]),
    "garbage": (1, lambda lines: [b"\xff\x00", b"", b"{}"]),
    "a deep line": (2, lambda lines: [lines[0], b"[" * 60_000, lines[2]]),
    "a long line": (2, lambda lines: [lines[0], b'{"a":"' + b"x" * 65_536 + b'"}', lines[2]]),
    "two numbers": (3, lambda lines: [*lines[:2], resigned(lines, secret("elm"), seq=3)]),
}


def test_CHAIN_what_another_key_signed_is_refused() -> None:
    lines = made()
    pair = sorted([lines[1], resigned(lines, secret("oak"))], key=line_id)
    with pytest.raises(InvalidLedger, match="the signature is not SHA256:"):
        read(file_of([lines[0], *pair]))


def test_CHAIN_a_proof_holds_by_itself() -> None:
    lines = made()
    found = read(file_of(lines))
    assert (found.one.seq, found.other.seq, found.log) == (2, 2, json.loads(lines[0])["log"])
    assert [found.one.line, found.other.line] == lines[1:]


@pytest.mark.parametrize("how", WRONG)
def test_CHAIN_what_proves_nothing_is_refused_with_its_line(how: str) -> None:
    number, change = WRONG[how]
    with pytest.raises(InvalidLedger) as caught:
        read(file_of(change(made())), "elm.proof")
    (finding,) = caught.value.findings
    assert (finding.file, finding.line) == ("elm.proof", number)
    assert str(caught.value).startswith(f"elm.proof:{number}: ")


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n\n", b"{}", b"x" * (MAX_PROOF_BYTES + 1), file_of(made())[:-1]])
def test_CHAIN_what_is_no_file_of_a_proof_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidLedger):
        read(data)


@given(st.integers(0, 2**32))
@settings(max_examples=200)
def test_CHAIN_no_changed_byte_passes(seed: int) -> None:
    dice, data = random.Random(seed), bytearray(file_of(PROOF))
    place = dice.randrange(len(data))
    data[place] ^= 1 << dice.randrange(8)
    with pytest.raises(InvalidLedger):
        read(bytes(data))


PROOF = made()


# Real commands.


@pytest.fixture
def fleet(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Four nodes at hub a."""
    return Halves(tmp_path / "fleet", tmp_path_factory.getbasetemp() / "four-nodes")


def check(file: Path, *more: str) -> Done:
    """With no home, from a directory that holds none."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MESH_")}
    argv = [*MESH, "proof", "--check", str(file), *more]
    done = subprocess.run(argv, capture_output=True, cwd="/", env=env, timeout=60, check=False)
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def copied(fleet: Halves) -> None:
    """elm and a copy of elm work at two hubs, and oak brings the hubs together."""
    fleet.split("b")
    fleet.copy_home("elm", "twin")
    fleet.at["twin"] = "b"
    assert fleet.node("elm").acquire("deploy", 600_000).verdict == "applied"
    assert fleet.node("twin").publish("b", "x", {}).verdict == "applied"
    fleet.node("oak").reconcile(fleet.url("b"))


def standings(fleet: Halves, node: str) -> dict[str, str]:
    return {each["log"]: each["standing"] for each in fleet.ok(node, "status")["nodes"]}


def test_PREFIX_a_copied_home_is_suspended_by_all_proven_offline_and_comes_back_with_a_new_key(
    fleet: Halves, tmp_path: Path
) -> None:
    copied(fleet)
    log = fleet.node("elm").identity().log
    (alarm,) = fleet.ok("oak", "sync", "--dry-run")["alarms"]
    assert f"{log} signed number 2 twice" in alarm["reason"]
    assert fleet.node("oak").publish("next", "x", {}).verdict == "applied"
    for node in ("oak", "ash", "elm"):
        found = fleet.node(node)
        found.sync()
        assert standings(fleet, node)[log] == "suspended"
        assert [lease["holder"] for lease in found.status(offline=True)["leases"]] == [None]
    assert "elm   node         " in (screen := fleet.mesh("oak", "status").out)
    assert "suspended: its key signed two histories" in screen

    proof = tmp_path / "elm.proof"
    fleet.ok("ash", "proof", "elm", "--output", str(proof))
    told = check(proof, "--sshsig", str(tmp_path / "sig"), "--json").data
    assert (told["ok"], told["log"], told["seq"]) == (True, log, 2)
    for command in told["commands"]:
        done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
        assert done.stdout.startswith(b"Good "), done

    refused = fleet.mesh("elm", "lease", "acquire", "deploy", "--json")
    assert (refused.code, refused.error["rule"]) == (3, "NODE-3")
    assert "signed two histories" in refused.error["message"]
    assert "mesh node rotate" in refused.error["hint"]
    assert [alarm["law"] for alarm in fleet.ok("elm", "status")["alarms"]] == ["PREFIX"]
    ill = fleet.mesh("elm", "doctor", "--json")
    assert "mesh node rotate" in [each["mend"] for each in ill.data["findings"] if each["level"] == "bad"]

    rotated = fleet.mesh("elm", "node", "rotate")
    fingerprint = fleet.ok("elm", "node", "rotate")["fingerprint"]
    assert f"mesh admit elm --fingerprint {fingerprint}" in rotated.out, "once more is no other key"
    fleet.ok("oak", "admit", "elm", "--fingerprint", fingerprint)
    assert fleet.node("elm").acquire("deploy", 60_000).verdict == "applied"
    new = fleet.node("elm").identity().log
    assert (standings(fleet, "oak")[log], standings(fleet, "oak")[new]) == ("suspended", "admitted")
    assert "suspended" not in fleet.mesh("oak", "status").out
    assert fleet.node("ash").verify(every_signature=True).ok
    assert fleet.node("twin", hub=fleet.url("a")).publish("b", "y", {}).rule == "NODE-3"


def test_PREFIX_an_admin_lets_the_new_key_in_before_anything_else_was_sealed(fleet: Halves) -> None:
    copied(fleet)
    told = fleet.ok("elm", "node", "rotate")
    assert told["suspended"] == fleet.node("twin").identity().log
    fleet.ok("oak", "admit", "elm", "--fingerprint", told["fingerprint"])
    assert fleet.node("elm").publish("back", "x", {}).verdict == "applied"


def test_CHAIN_what_only_an_outbox_shows_is_proven_too(fleet: Halves) -> None:
    fleet.copy_home("elm", "twin")
    fleet.split("b")
    fleet.at["twin"] = "b"
    fleet.node("elm").publish("a", "x", {})
    fleet.node("twin").publish("b", "x", {})
    log = fleet.node("elm").identity().log
    path = log_place(log, 2).file
    theirs = fleet.hubs["b"].git("show", f"mesh:{path}").split("\n")
    work = fleet.folder / "outbox"
    plain_git("clone", "--quiet", "--branch", "mesh", str(fleet.hubs["a"].path), str(work))
    with (work / path).open("a") as file:
        file.write(theirs[1] + "\n")
    plain_git("-C", str(work), "commit", "--quiet", "--all", "-m", "by hand")
    plain_git("-C", str(work), "push", "--quiet", "origin", f"+HEAD:refs/heads/mesh-node/{log}")
    fleet.ok("oak", "sync")
    assert read(fleet.mesh("oak", "proof", log).out.encode()).log == log
    (known,) = fleet.ok("oak", "divergence")["suspended"]
    assert (known["log"], known["since"]) == (log, None)
    assert fleet.node("oak").publish("next", "x", {}).verdict == "applied"
    assert standings(fleet, "oak")[log] == "suspended"
    assert fleet.ok("oak", "divergence")["suspended"][0]["since"] == fleet.ok("oak", "status")["epoch"]


def test_CHAIN_the_command_checks_a_file_without_any_home_and_never_ends_in_a_traceback(tmp_path: Path) -> None:
    file = tmp_path / "elm.proof"
    file.write_bytes(file_of(PROOF))
    done = check(file)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("it holds: SHA256:")
    assert json.loads(PROOF[0])["log"] in done.out
    file.write_bytes(file_of(WRONG["a deep line"][1](PROOF)))
    done = check(file, "--json")
    assert (done.code, done.error["code"], done.error["findings"][0]["line"]) == (6, "invalid", 2)
    assert check(tmp_path).code == 2


def test_QUIET_a_proof_is_not_written_onto_a_terminal(fleet: Halves) -> None:
    done = in_a_terminal(fleet, "oak", "proof", "elm")  # type: ignore[arg-type]
    assert "mesh proof elm --output elm.proof" in done
    nothing = fleet.mesh("oak", "proof", "elm")
    assert (nothing.code, nothing.out) == (1, "")
    assert "no two records of elm" in nothing.err
    assert fleet.mesh("oak", "proof", "nobody").code == 2
    for words in ([], ["elm", "--check", "x"], ["elm", "--sshsig", "x"], ["--check", "x", "--output", "y"]):
        assert fleet.mesh("oak", "proof", *words).code == 2


def test_CHAIN_a_restored_backup_stops_before_it_signs_and_goes_on_with_a_new_key(fleet: Halves) -> None:
    fleet.copy_home("elm", "backup")
    assert fleet.node("elm").publish("later", "x", {}).verdict == "applied"
    shutil.rmtree(fleet.home("elm"))
    fleet.copy_home("backup", "elm")
    signed = (fleet.home("elm") / "journal.ndjson").read_bytes().count(b'"is":"record"')
    for words in (["publish", "again", "x"], ["lease", "acquire", "deploy"], ["sync"]):
        done = fleet.mesh("elm", *words)
        assert done.code == 1, words
        assert "restored from a backup" in done.err
        assert "next: mesh node rotate" in done.err
    assert (fleet.home("elm") / "journal.ndjson").read_bytes().count(b'"is":"record"') == signed
    (fleet.home("elm") / "cache" / "reading.json").unlink()
    screen = fleet.mesh("elm", "status")
    assert screen.code == 1
    assert screen.out.startswith("ALARM CHAIN ")
    assert "mesh node rotate gives this node another key" in screen.out
    assert "NAME" in screen.out, "the rest of the screen is there all the same"
    fleet.ok("elm", "node", "rotate")
    assert fleet.node("elm").publish("again", "x", {}).verdict == "applied"
    assert fleet.ok("elm", "status")["alarms"] == []
    assert list(standings(fleet, "oak").values()).count("admitted") == 4


def test_CHAIN_a_copy_at_the_same_hub_gets_no_further_than_its_first_reading(fleet: Halves) -> None:
    fleet.copy_home("elm", "twin")
    fleet.at["twin"] = "a"
    assert fleet.node("elm").publish("a", "x", {}).verdict == "applied"
    before = fleet.hubs["a"].git("for-each-ref")
    done = fleet.mesh("twin", "publish", "b", "x")
    assert (done.code, "a copied key?" in done.err) == (1, True)
    assert fleet.hubs["a"].git("for-each-ref") == before
    assert fleet.node("elm").publish("a", "y", {}).verdict == "applied"


def test_CHAIN_the_pen_of_the_proofs_key_is_what_the_log_is_named_after() -> None:
    """Somebody else's key cannot speak for a log, whatever the header says."""
    lines = made()
    oak = Pen("oak")
    forged = header(key=oak.key.public.text, log=f"elm-{oak.key.public.short}")(lines)
    with pytest.raises(InvalidLedger, match="not what the header names"):
        read(file_of(forged))
