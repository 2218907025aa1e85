"""The screen from what was kept, and doctor's judgements, without a hub."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh import fold
from orxaq_mesh.cli.app import program
from orxaq_mesh.cli.screen import asked, lines
from orxaq_mesh.doctor import judge_git
from orxaq_mesh.errors import Unreachable
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.status import screen
from tests.builder import Trunk
from tools.docs import one

ME = {"ledger": "0" * 64, "hub": "https://user:secret@host/fleet.git", "node": "oak", "log": "oak-00000000"}


def kept() -> dict[str, object]:
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    trunk.seal(elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=60_000, until=99))
    return {"ledger": trunk.ledger.id, "state": fold.to_value(trunk.ledger.state), "alarms": [], "pending": 2}


def test_the_screen_reads_of_a_snapshot_what_the_fold_put_there() -> None:
    snapshot = kept()
    state = fold.from_value(snapshot["state"])  # type: ignore[arg-type]
    found = screen(ME, snapshot, {"age_ms": 3000, "sure": True})
    assert (found["epoch"], found["state"], found["pending"], found["read_age_s"]) == (state.epoch, state.digest, 2, 3)
    held = leases(state).by_name["deploy"]
    (lease,) = found["leases"]
    assert (lease["holder"], lease["token"], lease["ttl_ms"], lease["seal"]) == ("elm", held.token, 60_000, held.seal)
    for node in found["nodes"]:
        member = members(state).by_log[node["log"]]
        assert node["fingerprint"] == PublicKey.parse(member.key).fingerprint
        assert (node["name"], tuple(node["roles"]), node["standing"]) == (member.name, member.roles, member.standing)
        assert node["seq"] == state.heads[node["log"]][0]


def test_a_password_in_the_hubs_address_is_not_shown() -> None:
    assert screen(ME, {}, {})["hub"] == "https://host/fleet.git"
    assert screen({**ME, "hub": "git@github.com:a/b.git"}, {}, {})["hub"] == "git@github.com:a/b.git"


def test_alarms_stand_on_top() -> None:
    snapshot = kept()
    snapshot["state"]["doubt"] = [2, "elm-00000000"]  # type: ignore[index]
    snapshot["alarms"] = [{"law": "LINE", "file": "ledger/x", "line": 3, "reason": "spoiled"}]
    found = screen(ME, snapshot, {"age_ms": 99_000, "sure": True}, Unreachable("no route"))
    assert [alarm["law"] for alarm in found["alarms"]] == ["CLOSED", "LINE", "DIGEST"]
    assert found["fault"]["code"] == "unreachable"
    first = ["".join(getattr(part, "words", part) for part in line) for line in lines(found)[:4]]
    assert [line.split(":")[0] for line in first] == [
        "ALARM CLOSED",
        "ALARM LINE ledger/x",
        "ALARM DIGEST",
        first[3].split(":")[0],
    ]
    assert "99 s ago" in first[0]


def words(found: dict[str, Any]) -> list[str]:
    return ["".join(getattr(part, "words", part) for part in line) for line in lines(found)]


def test_PREFIX_a_suspended_node_stands_on_the_screen_until_it_is_back_under_another_key() -> None:
    snapshot = kept()
    rows = snapshot["state"]["slices"]["node"]  # type: ignore[index]
    row = next(row for row in rows if row[1] == "elm")
    row[4] = "suspended"
    found = screen(ME, snapshot, {"age_ms": 3000, "sure": True})
    assert any("elm" in line and "suspended: its key signed two histories" in line for line in words(found))
    assert found["alarms"] == []
    own = screen({**ME, "node": "elm", "log": row[0]}, snapshot, {"age_ms": 3000, "sure": True})
    (alarm,) = own["alarms"]
    assert alarm["law"] == "PREFIX"
    assert "mesh node rotate" in alarm["reason"]
    assert words(own)[0].startswith("ALARM PREFIX: this node's key is suspended")
    rows.append(["elm-00000000", "elm", row[2], ["node"], "admitted", 9, 0, "", ""])
    assert not any("suspended" in line for line in words(screen(ME, snapshot, {})))


def test_SEEN_how_fresh_it_is_is_always_said() -> None:
    found = screen(ME, kept(), {"age_ms": 3000, "sure": True})
    assert words({**found, "tip_age_s": 3 * 3600})[0].endswith("read 3 s ago, last new seal 3 h ago")
    assert words(screen(ME, kept(), {}))[0].startswith("hub     https://host/fleet.git  never read, last new seal ")


def test_a_home_without_a_snapshot_has_an_empty_screen() -> None:
    found = screen(ME, {}, {})
    assert (found["epoch"], found["nodes"], found["leases"], found["tip_age_s"]) == (0, [], [], None)


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ("git version 2.39.5", "good"),
        ("git version 2.50.1 (Apple Git-155)", "good"),
        ("git version 2.38.9", "bad"),
        ("git version 1.9", "bad"),
        ("git version 2.39.0", "look"),
        ("git version 2.45.1.windows.1", "look"),
        ("nonsense", "bad"),
    ],
)
def test_doctor_knows_gits_floor_and_its_bad_releases(said: str, level: str) -> None:
    found = judge_git(said)
    assert found.level == level
    assert bool(found.mend) is (level != "good")


def test_a_cold_status_loads_nothing_that_it_can_do_without(tmp_path: Path) -> None:
    home = str(tmp_path / "none")
    code = (
        f"import sys\nsys.argv = ['mesh', '--home', {home!r}, 'status', '--offline']\n"
        "from orxaq_mesh.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    print(end.code)\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
        "print(*sorted(name for name in sys.modules if name.startswith('orxaq_mesh')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    code_of, tops, ours = (line.split() for line in done.stdout.splitlines())
    assert code_of == ["2"]
    heavy = {
        "git",
        "nacl",
        "cryptography",
        "jsonschema",
        "jsonschema_rs",
        "rich",
        "filelock",
        "pydantic",
        "ruamel",
        "typer",
    }
    assert set(tops) & heavy == set()
    assert "orxaq_mesh.status" in ours
    assert {"orxaq_mesh.engine", "orxaq_mesh.fold", "orxaq_mesh.keys"} & set(ours) == set()


def test_status_without_typer_is_only_for_words_that_typer_would_read_alike() -> None:
    assert asked(["status"]) == {}
    assert asked(["--json", "status", "--offline", "-v"]) == {"json": True, "offline": True, "verbose": True}
    assert asked(["--home", "x", "status"]) == {"home": "x"}
    for words in ([], ["status", "--help"], ["status", "x"], ["lease"], ["status", "--home"], ["status", "--home=x"]):
        assert asked(words) is None
    known = {name for param in one("status", program()).params for name in param.opts} - {"--help"}
    assert known == {"--home", "--json", "--offline", "-q", "--quiet", "-v", "--verbose"}
