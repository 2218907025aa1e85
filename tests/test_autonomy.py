"""`mesh autonomy-once`: import, decide, dispatch, work, export, each once; and the `make mesh-*` targets of old."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet
from tests.test_cli_work import Near
from tests.test_import_events import lines, old

pytestmark = pytest.mark.xdist_group("autonomy")

ROOT = Path(__file__).resolve().parent.parent
REACTOR = """
reactor: follow-ups
version: 1
rules:
  - on: {topic: heartbeat, type: changed}
    give: {event: {topic: tick, type: requested, payload: {of: $payload.of}}}
  - on: {topic: tick, type: requested}
    give: {command: {name: greet, args: {who: $payload.of}, to: oak}}
"""
RECIPES = 'commands:\n  greet: {run: [echo, "hello {who}"]}\n  stumble: {run: ["false"]}\n'


@pytest.fixture
def fleet(tmp_path: Path) -> Near:
    made = Near(tmp_path)
    made.found("oak", "elm")
    (made.home("oak") / "work.yaml").write_text(RECIPES)
    return made


def one_pass(fleet: Fleet, *words: str, code: int = 0) -> dict[str, Any]:
    """What each step said."""
    done = fleet.mesh("oak", "autonomy-once", "--idle", "1500ms", "--json", *words)
    assert done.code == code, done
    told = [json.loads(line) for line in done.out.splitlines()]
    return {one["event"]: {k: v for k, v in one.items() if k not in ("event", "at")} for one in told}


def test_one_pass_imports_decides_dispatches_works_and_exports(fleet: Near) -> None:
    (fleet.folder / "follow-ups.yaml").write_text(REACTOR)
    fleet.ok("oak", "reactor", "publish", "follow-ups.yaml")
    lines(fleet.folder / "old" / "a.jsonl", old("1"), old("2", "1"))
    fleet.ok("oak", "publish", "heartbeat", "changed", "--payload", '{"of":"elm"}')
    told = one_pass(fleet, "--orxaq", "old", "--export", "out.ndjson")
    assert list(told) == ["import", "decide", "dispatch", "work", "export"]
    assert all(step["ok"] for step in told.values())
    assert (told["import"]["imported"], told["decide"]["written"], told["decide"]["left"]) == (2, 2, 0)
    assert (told["dispatch"]["ready"], told["dispatch"]["pending"]) == (1, 0)
    assert (told["work"]["claimed"], told["work"]["applied"]) == (1, 1)
    assert told["export"]["lines"] == len((fleet.folder / "out.ndjson").read_text().splitlines()) - 2
    (command,) = fleet.ok("oak", "command", "list")["commands"]
    assert (command["state"], command["args"]) == ("applied", {"who": "elm"})
    tip = fleet.tip()
    again = one_pass(fleet, "--orxaq", "old")
    assert (again["import"]["known"], again["decide"]["written"], again["work"]["claimed"]) == (2, 0, 0)
    assert fleet.tip() == tip, "where nothing is to be done, a pass pushes nothing"


def test_CLOSED_a_step_that_fails_is_named_and_the_others_go_on(fleet: Near) -> None:
    lines(fleet.folder / "bad" / "a.jsonl", "oops\n")
    fleet.ok("oak", "dispatch", "stumble", "--to", "oak")
    told = one_pass(fleet, "--orxaq", "bad", code=2)
    assert {name: step["ok"] for name, step in told.items()} == {
        "import": False, "decide": True, "dispatch": True, "work": False,
    }  # fmt: skip
    assert told["work"]["reason"].startswith("1 did not succeed")
    assert "stumble ended with exit 1" in told["work"]["reason"]
    done = fleet.mesh("oak", "autonomy-once", "--orxaq", "bad")
    assert done.code == 2
    assert "import: 1 places in bad are no events" in done.err
    assert one_pass(fleet, "--orxaq", "bad", "--skip-bad")["import"]["left_out"] == 1


def test_CLOSED_without_a_hub_the_pass_ends_at_its_first_step(fleet: Near) -> None:
    fleet.hub.rename(fleet.folder / "away.git")
    told = one_pass(fleet, code=5)
    assert list(told) == ["decide"]
    assert told["decide"]["code"] == "unreachable"


def test_a_pass_is_bounded_and_gives_back_what_it_was_at(fleet: Near) -> None:
    (fleet.home("oak") / "work.yaml").write_text("commands:\n  sleep: {run: [sleep, '600']}\n")
    fleet.ok("oak", "dispatch", "sleep", "--to", "oak")
    told = one_pass(fleet, "--max", "3s")  # without a bound it would take the 600 s of the command
    assert told["work"]["ok"]
    (command,) = fleet.ok("oak", "command", "list")["commands"]
    assert command["state"] == "ready", "whoever comes next may begin at once"


# make mesh-*

TARGETS = "init status publish dispatch import export sync autonomy-once".split()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    return Fleet(tmp_path_factory.mktemp("make"))


def make(fleet: Fleet, target: str, args: str = "") -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-C", str(ROOT), target, f"BIN={fleet.folder}/bin", "READY="]
    return subprocess.run(
        [*command, f"ARGS={args}"], env=fleet.env("oak"), capture_output=True, text=True, timeout=60, check=False
    )


def test_the_commands_of_old_are_make_targets(made: Fleet) -> None:
    (made.folder / "bin").mkdir()
    program = made.folder / "bin" / "mesh"
    program.write_text(f'#!/bin/sh\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m orxaq_mesh "$@"\n')
    program.chmod(0o755)
    lines(made.folder / "old" / "a.jsonl", old("1"))
    told: dict[str, str] = {
        "init": f"--hub {made.hub} --node oak",
        "status": "",
        "publish": "builds done --payload '{\"n\":1}'",
        "dispatch": "greet --to oak",
        "import": f"--orxaq {made.folder}/old",
        "export": f"{made.folder}/out.ndjson",
        "sync": "",
        "autonomy-once": "--idle 200ms --json",
    }
    for name in TARGETS:
        done = make(made, f"mesh-{name}", told[name])
        expected = 2 if name == "autonomy-once" else 0  # its `greet` is in no work.yaml: the failing step is named
        assert done.returncode == expected, (name, done)
    assert (made.folder / "out.ndjson").exists()
    assert '"event":"work"' in done.stdout
    assert made.ok("oak", "status")["records"] > 3


def test_make_help_lists_them() -> None:
    done = subprocess.run(["make", "-C", str(ROOT), "help"], capture_output=True, text=True, timeout=30, check=True)
    assert [name for name in TARGETS if f"make mesh-{name} " not in done.stdout] == []
