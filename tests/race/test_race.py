"""Twenty processes, each a node with its own home, race for one lease over a real hub.

A few rounds in `make test`; `make race` runs ROUNDS of them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.hubs import HUBS, file_hub, wait_until
from tests.race.fleet import DEADLINE_S, command, fleet_at

NODES = 20
ROUNDS = {"file": 3, "http": 2}


def rounds(kind: str) -> int:
    return int(os.environ.get("MESH_RACE_ROUNDS") or ROUNDS[kind])


@pytest.mark.parametrize("kind", ROUNDS)
def test_C1_twenty_processes_race_and_each_round_has_one_winner(kind: str, tmp_path: Path) -> None:
    with HUBS[kind](tmp_path) as hub, fleet_at(hub, tmp_path, NODES) as fleet:
        for _ in range(rounds(kind)):
            winner = fleet.judge(fleet.race("race"))
            fleet.release("race", winner)
        fleet.reckon()


# The first push of the trunk says whose it is (the commit's subject names the sealer), and waits until it is let go.
TRAP = """
while read old new ref; do [ "$ref" = refs/heads/mesh ] && seal=$new; done
[ "$seal" ] && mv armed caught 2>/dev/null || exit 0
git log -1 --format=%s "$seal" > caught && mv caught who
tries=0; while [ ! -e go ] && [ $tries -lt 1200 ]; do sleep 0.05; tries=$((tries + 1)); done
"""


@pytest.mark.parametrize(("hook", "ends"), [("pre-receive", "exit 1"), ("post-receive", "exit 0")])
def test_C28_a_winner_is_killed_while_its_push_is_under_way(hook: str, ends: str, tmp_path: Path) -> None:
    """Before the hub moved its branch, and it never does; and after, with nobody left who would hear of it."""
    with file_hub(tmp_path) as hub, fleet_at(hub, tmp_path, 6) as fleet:
        hub.hook(hook, TRAP + ends)
        for number in range(max(1, int(os.environ.get("MESH_RACE_ROUNDS") or 1) // 5)):
            lease = f"race-{number}"
            for name in ("who", "go"):
                (hub.path / name).unlink(missing_ok=True)
            (hub.path / "armed").touch()
            for racer in fleet.racers.values():
                racer.say(lease)
            wait_until((hub.path / "who").exists, DEADLINE_S)
            victim = (hub.path / "who").read_text().split("sealed by ")[1].partition("-")[0]
            fleet.racers.pop(victim).kill()
            (hub.path / "go").touch()
            winner = fleet.judge({name: racer.hear() for name, racer in fleet.racers.items()})
            fleet.start(victim)
            fleet.release(lease, winner)
        fleet.reckon()


def test_C1_commands_from_as_many_shells_race_and_one_wins(tmp_path: Path) -> None:
    with file_hub(tmp_path) as hub, fleet_at(hub, tmp_path, 6) as fleet:
        for racer in fleet.racers.values():
            racer.kill()
        for _ in range(max(1, int(os.environ.get("MESH_RACE_ROUNDS") or 1) // 5)):
            running = {home.name: command(home, "lease", "acquire", "race") for home in fleet.homes}
            ended = {
                name: (*process.communicate(timeout=DEADLINE_S), process.returncode)
                for name, process in running.items()
            }
            winners = {name: json.loads(out)["data"] for name, (out, _, code) in ended.items() if code == 0}
            assert len(winners) == 1, ended
            winner, won = winners.popitem()
            fleet.grown(won["token"])
            lost = [json.loads(err)["error"] for _, err, code in ended.values() if code == 3]
            assert len(lost) == len(fleet.homes) - 1, ended
            assert {(no["rule"], no["holder"], no["token"]) for no in lost} == {("LEASE-2", winner, won["token"])}
            fleet.release("race", winner)
        fleet.reckon()
