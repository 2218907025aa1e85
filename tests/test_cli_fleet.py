"""The real programs over a real hub: what they say, how they exit, what they leave undone."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

import pytest

from tests.fleet import MESH, Done, Fleet

BREAKING = "\x1b[2J\x1b]0;t\x07 \x9b31m \u202eevil\u2066 \u200b\U000e0041 [red]x[/red] [link=http://x]y[/link]"

pytestmark = pytest.mark.xdist_group("cli_fleet")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.found("oak", "elm")
    return made


def breaks_a_terminal(text: str) -> list[str]:
    """Characters that do something to a terminal or hide from its reader."""
    return [char for char in text if char != "\n" and not char.isprintable()]


# Deeds and their answers.


def test_a_lease_is_granted_told_refused_queued_and_passed_on(fleet: Fleet) -> None:
    got = fleet.ok("oak", "lease", "acquire", "one", "--ttl", "10m")
    assert got["verdict"] == "applied"
    assert (got["lease"], got["holder"], got["rule"]) == ("one", "oak", "LEASE-1")
    assert got["token"] == got["epoch"]
    assert re.fullmatch("[0-9a-f]{64}", got["record"])

    no = fleet.mesh("elm", "lease", "acquire", "one", "--json")
    assert no.code == 3
    assert (no.data["verdict"], no.data["token"], no.data["holder"]) == ("refused", None, "oak")
    assert (no.error["code"], no.error["rule"]) == ("refused", "LEASE-2")

    queued = fleet.mesh("elm", "lease", "acquire", "one", "--queue", "--json")
    assert queued.code == 7
    assert (queued.data["verdict"], queued.data["result"], queued.data["token"]) == ("applied", "queued", None)

    given = fleet.ok("oak", "lease", "release", "one")
    assert (given["verdict"], given["holder"], given["token"]) == ("applied", "elm", got["token"])
    stale = fleet.mesh("oak", "lease", "renew", "one", "--token", str(got["token"]), "--json")
    assert stale.code == 4
    assert (stale.data["verdict"], stale.data["token"], stale.error["code"]) == ("fenced", None, "fenced")
    shown = fleet.ok("oak", "lease", "show", "one")
    assert shown["holder"] == "elm"
    assert shown["token"] > got["token"]


def test_C29_a_refusal_names_rule_holder_age_token_and_next_step(fleet: Fleet) -> None:
    token = fleet.ok("oak", "lease", "acquire", "two")["token"]
    no = fleet.mesh("elm", "lease", "acquire", "two")
    assert (no.code, no.out) == (3, "")
    for word in ("LEASE-2", "oak", "s-oak", f"token {token}", "for ", "\nnext: mesh lease acquire two --wait"):
        assert word in no.err
    assert re.search(r"for \d+ (s|min)", no.err)


def test_FENCE_another_session_of_the_same_node_is_a_stranger(fleet: Fleet) -> None:
    fleet.ok("oak", "lease", "acquire", "three", "--session", "agent-1")
    no = fleet.mesh("oak", "lease", "acquire", "three", "--session", "agent-2")
    assert no.code == 3
    assert "agent-1" in no.err
    late = fleet.mesh("oak", "publish", "t", "x", "--under", "three", MESH_SESSION="agent-2")
    assert late.code == 4


def test_ONCE_the_same_key_twice_is_one_record(fleet: Fleet) -> None:
    first = fleet.ok("oak", "publish", "builds", "done", "--payload", '{"n":1}', "--key", "build-17")
    tip = fleet.tip()
    again = fleet.ok("oak", "publish", "builds", "done", "--payload", '{"n":1}', "--key", "build-17")
    assert again["record"] == first["record"]
    assert fleet.tip() == tip
    lease = fleet.ok("oak", "lease", "acquire", "four", "--key", "k")
    assert fleet.ok("oak", "lease", "acquire", "four", "--key", "k")["token"] == lease["token"]


def signed(fleet: Fleet, node: str) -> int:
    """How many records and seals a node's journal holds; what it has seen meanwhile is noted there too."""
    journal = (fleet.home(node) / "journal.ndjson").read_bytes()
    return journal.count(b'"is":"record"') + journal.count(b'"is":"seal"')


@pytest.mark.parametrize(
    "words",
    [
        "lease acquire five",
        "lease acquire held --queue",
        "lease release held",
        "lease renew held",
        "lease break held --reason why",
        "lease run five -- false",
        "publish t x",
        "node revoke elm --reason why",
        "node rotate",
        "sync",
    ],
)
def test_a_dry_run_changes_nothing(fleet: Fleet, words: str) -> None:
    if "held" in words:
        fleet.ok("oak", "lease", "acquire", "held", "--key", "held")
    before = fleet.tip(), signed(fleet, "oak")
    done = fleet.mesh(
        "oak", *words.replace(" -- ", " --dry-run -- ").split(), *(["--dry-run"] if "--" not in words.split() else [])
    )
    assert done.code in (0, 3, 7), done
    assert (fleet.tip(), signed(fleet, "oak")) == before
    if "five" in words:
        assert fleet.ok("oak", "lease", "show", "five")["holder"] is None


def test_a_dry_run_of_init_and_join_makes_no_home(fleet: Fleet, tmp_path: Path) -> None:
    there = ["--hub", str(fleet.hub), "--node", "ash", "--dry-run"]
    taken = fleet.mesh("ash", "init", *there)
    assert (taken.code, taken.err.count("NODE-1")) == (3, 1)
    assert fleet.mesh("ash", "join", *there, "--ledger", fleet.ledger).code == 0
    assert fleet.mesh("ash", "join", *there, "--ledger", "0" * 64).code == 3
    assert not (fleet.home("ash") / "key").exists()
    assert not (fleet.home("ash") / "journal.ndjson").exists()


def test_publish_reads_a_file_and_stdin(fleet: Fleet) -> None:
    (fleet.folder / "payload.json").write_text('{"from":"file"}')
    told = fleet.ok("elm", "publish", "files", "read", "--payload", "@payload.json")
    assert fleet.ok("elm", "show", told["record"][:12])["value"]["body"]["payload"] == {"from": "file"}
    said = fleet.mesh("elm", "publish", "files", "read", "--payload", "-", "-q", stdin='{"from":"stdin"}')
    assert said.code == 0
    assert re.fullmatch("[0-9a-f]{64}\n", said.out)
    assert fleet.mesh("elm", "publish", "files", "read", "--payload", "@none").code == 2


def test_CLOSED_without_the_hub_nothing_is_signed_and_the_last_known_state_says_its_age(fleet: Fleet) -> None:
    fleet.ok("elm", "sync")
    journal = fleet.home("elm") / "journal.ndjson"
    before = journal.read_bytes()
    gone = {"MESH_HUB": str(fleet.folder / "gone.git")}
    no = fleet.mesh("elm", "lease", "acquire", "six", "--json", **gone)
    assert no.code == 5
    assert (no.data["verdict"], no.data["token"]) == ("unknown", None)
    assert no.error["code"] == "unreachable"
    assert journal.read_bytes() == before
    (fleet.home("elm") / "cache" / "reading.json").unlink()
    screen = fleet.mesh("elm", "status", **gone)
    assert screen.code == 5
    assert screen.out.startswith("ALARM CLOSED: the hub cannot be reached")
    assert "elm" in screen.out
    assert fleet.mesh("elm", "status", "--offline", **gone).code == 0
    assert fleet.mesh("elm", "lease", "list", **gone).code == 5


def test_status_has_the_fields_that_others_build_on(fleet: Fleet) -> None:
    fleet.ok("oak", "lease", "acquire", "shown")
    found = fleet.ok("oak", "status")
    fields = {"ledger", "hub", "epoch", "seal", "state", "tip_age_s", "alarms", "nodes", "leases", "pending"}
    assert fields <= set(found)
    assert (found["ledger"], found["hub"], found["alarms"], found["pending"]) == (fleet.ledger, str(fleet.hub), [], 0)
    assert found["state"] == fleet.ok("oak", "verify")["state"]
    assert [node["name"] for node in found["nodes"]] == ["oak", "elm"]
    for node in found["nodes"]:
        assert {"name", "roles", "fingerprint", "seq", "standing"} <= set(node)
    for lease in found["leases"]:
        assert {"name", "holder", "token", "ttl_ms", "queue"} <= set(lease)
    screen = fleet.mesh("oak", "status").out
    for word in (str(fleet.hub), "oak", "elm", "TOKEN", "this node"):
        assert word in screen


def test_CACHE_status_is_the_same_after_every_cache_is_gone(fleet: Fleet) -> None:
    import shutil

    before = fleet.ok("oak", "sync")
    shutil.rmtree(fleet.home("oak") / "cache")
    shutil.rmtree(fleet.home("oak") / "store.git")
    after = fleet.ok("oak", "status")
    for field in ("ledger", "epoch", "seal", "state", "pending"):
        assert after[field] == before[field]


def test_log_is_ndjson_and_its_filters_hold(fleet: Fleet) -> None:
    fleet.ok("oak", "publish", "logs", "made")
    done = fleet.mesh("oak", "log", "--json")
    records = [json.loads(line) for line in done.out.splitlines()]
    assert all({"id", "epoch", "node", "seq", "kind", "verdict", "rule"} <= set(record) for record in records)
    assert len(records) == fleet.ok("oak", "verify")["records"]
    only = [
        json.loads(line)
        for line in fleet.mesh("oak", "log", "--json", "-n", "1", "--kind", "event", "--node", "oak").out.splitlines()
    ]
    assert [record["body"]["topic"] for record in only] == ["logs"]


def test_SIG_show_prints_a_command_with_which_stock_ssh_keygen_verifies(fleet: Fleet) -> None:
    record = fleet.ok("oak", "publish", "proofs", "made")["record"]
    done = fleet.mesh("elm", "sync")
    assert done.code == 0
    told = fleet.ok("elm", "show", record[:16], "--sshsig", "proof")
    said = subprocess.run(["sh", "-c", told["command"]], capture_output=True, cwd=fleet.folder, check=False)
    assert said.stdout.startswith(b"Good")
    (fleet.folder / "proof" / "message").write_bytes(b"{}")
    assert subprocess.run(["sh", "-c", told["command"]], capture_output=True, cwd=fleet.folder, check=False).returncode


def test_verify_names_law_file_and_line_of_a_flipped_byte(fleet: Fleet) -> None:
    copy = fleet.folder / "copy"
    subprocess.run(["git", "clone", "-q", "--branch", "mesh", str(fleet.hub), str(copy)], check=True)
    assert fleet.mesh("elm", "verify", str(copy)).code == 0
    file = min(copy.glob("ledger/nodes/oak-*/000000/*.ndjson"))
    file.write_bytes(file.read_bytes().replace(b'"seq":2', b'"seq":3', 1))
    done = fleet.mesh("elm", "verify", str(copy), "--json")
    assert done.code == 6
    assert not done.data["ok"]
    finding = next(finding for finding in done.data["findings"] if finding["line"] == 2)
    assert finding["file"].endswith(file.name)
    assert finding["law"]
    assert finding["reason"]
    said = fleet.mesh("elm", "verify", str(copy))
    assert f"{file.name}:2: " in said.out
    assert "Traceback" not in said.err


def test_doctor_finds_nothing_bad_here_and_what_is_bad_with_its_mend(fleet: Fleet) -> None:
    well = fleet.mesh("oak", "doctor", "--json")
    assert well.code == 0, well
    names = {finding["name"] for finding in well.data["findings"]}
    assert {"git", "key", "clock", "locks", "hub", "store", "journal", "mesh-sync", "disk"} <= names
    key = fleet.home("elm") / "key"
    key.chmod(0o644)
    try:
        ill = fleet.mesh("elm", "doctor")
    finally:
        key.chmod(0o600)
    assert ill.code == 1
    assert f"chmod 600 {key}" in ill.out
    gone = fleet.mesh("oak", "doctor", "--json", MESH_HUB=str(fleet.folder / "gone.git"))
    assert gone.code == 1
    assert [finding["name"] for finding in gone.data["findings"] if finding["level"] == "bad"] == ["hub"]


def test_config_says_where_each_value_came_from(fleet: Fleet) -> None:
    found = fleet.ok("oak", "config", "show", "--origin", MESH_POLL_MS="3000")["settings"]
    assert found["poll_ms"] == {"value": 3000, "origin": "environment MESH_POLL_MS"}
    assert found["hub"]["origin"] == "the node's journal"
    assert found["profile"]["value"] == "lan"


def test_the_gate_passes_the_exit_code_on_and_refuses_a_lower_token(fleet: Fleet) -> None:
    assert fleet.mesh("oak", "gate", "prod", "--token", "9", "--", "sh", "-c", "exit 42").code == 42
    no = fleet.mesh("oak", "gate", "prod", "--token", "7", "--", "touch", "never")
    assert no.code == 4
    assert not (fleet.folder / "never").exists()
    assert fleet.mesh("oak", "gate", "prod", "--", "true").code == 2
    assert fleet.mesh("oak", "gate", "prod", "--", "true", MESH_TOKEN="9", MESH_SEAL="a" * 64).code == 0
    assert fleet.mesh("oak", "gate", "prod", "--token", "9", "--", "true", MESH_SEAL="b" * 64).code == 0


# QUIET: what a ledger says reaches no terminal raw.


def test_B8_no_string_of_a_ledger_reaches_the_output_raw(fleet: Fleet) -> None:
    payload = json.dumps({"x": BREAKING, "y": [BREAKING]})
    record = fleet.ok("elm", "publish", "b8", "x", "--payload", payload)["record"]
    fleet.ok("elm", "lease", "acquire", "b8")
    fleet.ok(
        "oak",
        "lease",
        "break",
        "b8",
        "--reason",
        "why " + BREAKING.replace("\x07", "").encode("ascii", "ignore").decode(),
    )
    said = [
        fleet.mesh("oak", *words.split()) for words in (f"show {record}", "log", "status", "lease list", "node list")
    ]
    said += [fleet.mesh("oak", *words.split(), "--json") for words in (f"show {record}", "log", "status")]
    said.append(fleet.mesh("oak", "lease", "show", BREAKING.replace("\x00", "")))
    for done in said:
        assert breaks_a_terminal(done.out + done.err) == [], done
        assert "Traceback" not in done.err
    assert json.loads(said[5].out)["data"]["value"]["body"]["payload"]["x"] == BREAKING
    assert "[red]x[/red]" in said[0].out


def test_B8_a_hostile_directory_is_told_without_its_escapes(fleet: Fleet) -> None:
    evil = fleet.folder / "evil" / "ledger"
    evil.mkdir(parents=True)
    (evil / BREAKING.replace("/", "_")).write_bytes(b"\x1b[2J\n")
    (evil / "nodes").mkdir()
    done = fleet.mesh("oak", "verify", str(fleet.folder / "evil"))
    assert done.code == 6
    assert breaks_a_terminal(done.out + done.err) == []


def test_B8_styles_are_for_terminals_and_not_for_NO_COLOR(fleet: Fleet) -> None:
    assert "\x1b" not in fleet.mesh("oak", "status", FORCE_COLOR="1").out
    for environ, colour in (({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)):
        out = in_a_terminal(fleet, "oak", "status", "--offline", **environ)
        assert ("\x1b[" in out) is colour
        assert set(re.findall(r"\x1b\[([0-9;]*)m", out)) <= {"0", "1", "2", "32", "33", "36", "1;31"}
        assert re.sub(r"\x1b\[[0-9;]*m", "", out).replace("\r\n", "\n").count("\x1b") == 0


def in_a_terminal(fleet: Fleet, node: str, *words: str, **environ: str) -> str:
    """What a command writes where its output is a terminal."""
    ours, theirs = pty.openpty()
    env = {**fleet.env(node), "TERM": "xterm", **environ}
    process = subprocess.Popen([*MESH, *words], env=env, stdin=theirs, stdout=theirs, stderr=theirs, cwd=fleet.folder)
    os.close(theirs)
    said, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                said += os.read(ours, 65536)
            except OSError:
                break
        elif process.poll() is not None:
            break
    process.wait(timeout=60)
    os.close(ours)
    return said.decode()


# Streams.


def test_a_reader_that_leaves_is_no_fault(fleet: Fleet) -> None:
    command = subprocess.Popen([*MESH, "explain"], env=fleet.env("oak"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert command.stdout is not None
    assert command.stderr is not None
    command.stdout.close()
    said = command.stderr.read()
    assert command.wait(timeout=60) == 141
    assert b"Traceback" not in said
    assert b"rror" not in said


def test_where_no_node_lives_every_command_says_so(fleet: Fleet, tmp_path: Path) -> None:
    done: Done = fleet.mesh("oak", "status", "--home", str(tmp_path / "none"))
    assert (done.code, done.out) == (2, "")
    assert "no node lives in" in done.err
    assert "next: mesh init, or mesh join" in done.err


def test_invite_prints_one_line_that_runs(fleet: Fleet) -> None:
    done = fleet.mesh("oak", "invite")
    assert done.out.count("\n") == 1
    line = done.out.strip().replace("NAME", "fir").split()
    assert line[0] == "mesh"
    assert fleet.mesh("fir", *line[1:]).code == 0
    waiting = fleet.ok("oak", "admit")
    assert [hello["name"] for hello in waiting] == ["fir"]
    wrong = fleet.mesh("oak", "admit", "fir", "--fingerprint", "SHA256:" + "A" * 43)
    assert wrong.code == 3
    assert waiting[0]["fingerprint"] in wrong.err
    unnamed = fleet.mesh("oak", "admit", "fir")
    assert unnamed.code == 2
    assert waiting[0]["fingerprint"] in unnamed.err


def test_completion_knows_the_names_of_leases_and_nodes(fleet: Fleet) -> None:
    def completed(*words: str) -> list[str]:
        environ = {
            "_MESH_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["mesh", *words]),
            "COMP_CWORD": str(len(words)),
        }
        return fleet.mesh("oak", **environ).out.split()

    fleet.ok("oak", "lease", "acquire", "completed-lease")
    assert completed("lease", "show", "completed") == ["completed-lease"]
    assert completed("node", "revoke", "e") == ["elm"]
    assert completed("explain", "LEASE-3") == ["LEASE-3"]
    assert "acquire" in completed("lease", "acq")


def test_SEEN_a_hub_that_went_back_is_an_alarm_on_top_and_exit_6(fleet: Fleet) -> None:
    fleet.ok("elm", "publish", "seen", "x")
    tip = fleet.tip()
    rewind = ["git", "--git-dir", str(fleet.hub), "update-ref", "refs/heads/mesh"]
    subprocess.run([*rewind, f"{tip}~2"], check=True)
    try:
        (fleet.home("elm") / "cache" / "reading.json").unlink()
        screen = fleet.mesh("elm", "status")
        told = fleet.mesh("elm", "lease", "acquire", "seen", "--json")
        ill = fleet.mesh("elm", "doctor", "--json")
    finally:
        subprocess.run([*rewind, tip], check=True)
    assert screen.code == 6
    assert screen.out.startswith("ALARM SEEN")
    assert told.code == 6
    assert told.error["findings"][0]["law"] == "SEEN"
    assert ill.code == 1
    assert any(finding["name"] == "ledger" and finding["level"] == "bad" for finding in ill.data["findings"])
    assert fleet.mesh("elm", "sync").code == 0
