"""What goes into the programs and comes out of them, where the outside is not as it should be: words that are no UTF-8,
standard streams that are closed or full, a hub that does not say what came of a push."""

from __future__ import annotations

import json
import subprocess

import pytest

from orxaq_mesh.cli.answer import unsettled
from orxaq_mesh.cli.call import encode
from orxaq_mesh.cli.lease import _held_for
from orxaq_mesh.errors import Unreachable
from tests.fleet import MESH, Fleet

FOREIGN = b"\xff\xfe"
UNFORESEEN = ("should not have happened", "Traceback", "Exception ignored")

pytestmark = pytest.mark.xdist_group("cli_streams")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    made = Fleet(tmp_path_factory.mktemp("streams"))
    made.found("oak")
    return made


def run(fleet: Fleet, script: str, *words: bytes | str) -> tuple[int, bytes, str]:
    """Run a shell's line in which `"$@"` is a call of mesh; gives exit code, stdout, stderr."""
    done = subprocess.run(
        ["sh", "-c", script, "sh", *MESH, *words],
        env=fleet.env("oak"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        cwd=fleet.folder,
    )
    said = done.stderr.decode()
    assert not any(word in said for word in UNFORESEEN), said
    return done.returncode, done.stdout, said


# Words that are not UTF-8.


@pytest.mark.parametrize(
    "words",
    [
        ("verify", FOREIGN),
        ("config", "show", FOREIGN),
        ("--home", FOREIGN, "status"),
        ("status", "--home", FOREIGN),
        ("publish", "a", "b", "--payload", b"@" + FOREIGN),
        ("lease", "acquire", FOREIGN),
        ("lease", "show", FOREIGN),
        ("publish", FOREIGN, "x"),
        ("node", "revoke", FOREIGN, "--reason", "x"),
    ],
    ids=lambda words: " ".join(word for word in words if isinstance(word, str)),
)
def test_LINE_an_argument_that_is_not_UTF_8_is_a_usage_error(fleet: Fleet, words: tuple[bytes | str, ...]) -> None:
    code, out, err = run(fleet, '"$@"', "--json", *words)
    assert (code, out) == (2, b"")
    error = json.loads(err)["error"]
    assert error["code"] == "usage"
    assert "is not UTF-8" in error["message"]


def test_a_home_whose_path_is_not_UTF_8_is_a_usage_error(fleet: Fleet) -> None:
    code, _, err = run(fleet, 'b=$(printf "\\377"); MESH_HOME="$PWD/$b" "$@"', "--json", "status")
    assert code == 2
    assert "the path of the home is not UTF-8" in json.loads(err)["error"]["message"]


def test_another_command_may_be_given_words_that_are_not_UTF_8(fleet: Fleet) -> None:
    assert run(fleet, '"$@"', "gate", "prod", "--token", "1", "--", "printf", "%s", FOREIGN)[:2] == (0, FOREIGN)
    code, _, err = run(fleet, '"$@"', "--json", "gate", "prod", "--token", "1", "--", FOREIGN)
    assert (code, json.loads(err)["error"]["code"]) == (1, "fault")


def test_what_is_told_as_JSON_is_UTF_8_whatever_it_holds() -> None:
    assert json.loads(encode({"a\udcff": ["\udcfe", 1]})) == {"a\\udcff": ["\\udcfe", 1]}


# Standard streams that are closed or full.


@pytest.mark.parametrize("out", [">&-", ">/dev/full"])
def test_a_deed_whose_answer_cannot_be_written_says_that_it_is_done(fleet: Fleet, out: str) -> None:
    name = "closed" if out == ">&-" else "full"
    code, _, err = run(fleet, f'"$@" {out}', "lease", "acquire", name, "--ttl", "1h")
    held = fleet.ok("oak", "lease", "show", name)
    assert held["holder"] == "oak"
    assert code == 1
    assert f"but it is done: {name} is yours: token {held['token']}" in err
    code, _, err = run(fleet, f'"$@" {out}', "publish", "t", "x", "--json")
    assert code == 1
    assert "but it is done: t x published" in json.loads(err)["error"]["message"]
    code, _, err = run(fleet, f'"$@" {out}', "sync")
    assert (code, "but it is done" in err) == (1, True)


@pytest.mark.parametrize("out", [">&-", ">/dev/full"])
@pytest.mark.parametrize("words", ["status", "log", "log --json", "node list", "explain", "version", "verify"])
def test_an_answer_that_cannot_be_written_is_a_plain_fault(fleet: Fleet, words: str, out: str) -> None:
    code, _, err = run(fleet, f'"$@" {out}', *words.split())
    assert code == 1
    assert "the answer cannot be written to standard output (" in err
    assert "it is done" not in err


def test_help_that_cannot_be_written_is_a_plain_fault(fleet: Fleet) -> None:
    code, _, err = run(fleet, '"$@" >/dev/full', "lease", "--help")
    assert code == 1
    assert err.startswith("mesh: fault: the answer cannot be written to standard output (")


def test_closed_stdin_and_stderr_are_empty_ones(fleet: Fleet) -> None:
    code, _, err = run(fleet, '"$@" <&-', "publish", "a", "b", "--payload", "-")
    assert code == 2
    assert "the payload is no JSON" in err
    for err_to in ("2>&-", "2>/dev/full", ">&- 2>&- <&-"):
        code, _, _ = run(fleet, f'"$@" {err_to}', "publish", "a", "b", "-v")
        assert code == (1 if ">&- " in err_to else 0), err_to
    assert fleet.ok("oak", "verify")["ok"]


def test_CACHE_no_file_of_a_node_is_opened_as_a_closed_stream() -> None:
    code = "import os, sys; from orxaq_mesh.cli.faults import whole_streams as whole; whole(); "
    code += "sys.exit(os.open(os.devnull, os.O_RDONLY) > 2)"
    done = subprocess.run(["sh", "-c", 'exec "$@" >&- <&- 2>&-', "sh", MESH[0], "-c", code], check=False, timeout=60)
    assert done.returncode == 1


# What a command says of the hub.


def test_a_pass_is_not_offline(fleet: Fleet) -> None:
    assert fleet.ok("oak", "sync")["offline"] is False
    assert fleet.ok("oak", "status", "--offline")["offline"] is True


def test_PUSH_an_outcome_that_is_not_known_names_what_comes_next() -> None:
    late = unsettled(Unreachable("the hub did not say in time what came of it", record="ab"), "mesh lease release one")
    for word in ("journalled", "mesh sync", "mesh-sync", "mesh lease release one"):
        assert word in late.hint
    assert late.facts == {"record": "ab"}
    unsigned = Unreachable("it is gone; nothing was signed")
    assert unsettled(unsigned) is unsigned


def test_a_grant_at_a_time_that_no_calendar_has_has_no_age() -> None:
    assert _held_for({"age_s": None}) == "-"
    assert _held_for({"age_s": 0}) == "0 s"
