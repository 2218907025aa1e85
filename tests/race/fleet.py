"""A fleet whose nodes are processes, and the proof that nothing it signed was lost.

with fleet_at(hub, folder, 20) as fleet:
    answers = fleet.race("deploy")         # every node asks at once; name -> what it was told
    fleet.reckon()                         # each signed record is sealed exactly once; all states are one
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orxaq_mesh.home.journal import Journal
from orxaq_mesh.inspect.checking import verify
from orxaq_mesh.sync.identity import memory_of
from tests.hubs import Hub
from tests.race import racer
from tests.race.racer import at_home

DEADLINE_S = 120
# Forked from one process that has imported the mesh: twenty imports would take longer than the race.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.race.racer"])


class Racer:
    """One node as a process of its own: a lease's name goes in, what came of it comes out."""

    def __init__(self, home: Path, hub: Hub) -> None:
        self._end, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=racer.run, args=(theirs, str(home), hub.url), daemon=True)
        self._process.start()
        theirs.close()

    def say(self, lease: str) -> None:
        self._end.send(lease)

    def hear(self) -> dict[str, Any]:
        """What came of the last lease asked for."""
        assert self._end.poll(DEADLINE_S), "it hangs"
        told: dict[str, Any] = self._end.recv()
        return told

    def kill(self) -> None:
        self._process.kill()
        self._process.join(DEADLINE_S)
        self._end.close()


class Fleet:
    """Nodes n0, n1, ... at one hub, each with a home and a process."""

    def __init__(self, hub: Hub, folder: Path, size: int) -> None:
        self.hub, self.homes = hub, [folder / f"n{number}" for number in range(size)]
        founder = at_home(self.homes[0])
        path = str(hub.path)  # founded by its path, which is quicker; raced at by its address
        ledger = founder.init(path, "n0").ledger
        for home in self.homes[1:]:
            at_home(home).join(path, home.name, ledger)
        for hello in founder.hellos():
            assert founder.admit(hello["name"], hello["fingerprint"]).result == "admitted"
        self.racers: dict[str, Racer] = {}
        self.token = 0

    def start(self, *names: str) -> None:
        """Start these nodes' processes; by default all."""
        homes = [home for home in self.homes if not names or home.name in names]
        self.racers |= {home.name: Racer(home, self.hub) for home in homes}

    def race(self, lease: str) -> dict[str, dict[str, Any]]:
        """Every node asks for one lease at the same moment."""
        for each in self.racers.values():
            each.say(lease)
        return {name: each.hear() for name, each in self.racers.items()}

    def judge(self, answers: dict[str, dict[str, Any]]) -> str:
        """One winner with a token above all before, and every loser was told who holds it; gives the winner's name.

        The winner may have died before it could say so: then all who are left were told its name.
        """
        assert all(answer["verdict"] in ("applied", "refused") for answer in answers.values()), answers
        told = {(answer["facts"].get("holder"), answer["facts"].get("token")) for answer in answers.values()}
        assert len(told) == 1, answers
        winner, token = told.pop()
        granted = [name for name, answer in answers.items() if answer["result"] == "granted"]
        assert granted == ([winner] if winner in answers else []), answers
        assert {a["rule"] for name, a in answers.items() if name != winner} <= {"LEASE-2"}, answers
        self.grown(token)
        return str(winner)

    def grown(self, token: int) -> None:
        assert token > self.token
        self.token = token

    def release(self, lease: str, name: str) -> None:
        answer = at_home(next(home for home in self.homes if home.name == name)).release(lease)
        assert (answer.verdict, answer.result) == ("applied", "released"), answer

    def reckon(self) -> None:
        """Everyone reads the hub once more: one state, a sound ledger, each signed record sealed exactly once."""
        meshes = [at_home(home) for home in self.homes]
        for mesh in meshes:
            mesh.sync()  # whoever was killed may still have something to publish
        states = [mesh.sync() for mesh in meshes]
        assert len({(state["epoch"], state["seal"], state["state"]) for state in states}) == 1
        assert not any(state["pending"] or state["alarms"] for state in states)
        report = verify(meshes[0], every_signature=True)
        assert report.ok, report.findings
        sealed = Counter(item.record.id for item in meshes[0].history().judged)
        signed = [r.id for mesh in meshes for r in memory_of(Journal.open(mesh.home.journal)).records]
        assert {sealed[record] for record in signed} == {1}
        assert set(sealed.values()) == {1}


@contextlib.contextmanager
def fleet_at(hub: Hub, folder: Path, size: int) -> Iterator[Fleet]:
    fleet = Fleet(hub, folder, size)
    try:
        fleet.start()
        yield fleet
    finally:
        for each in fleet.racers.values():
            each.kill()


def command(home: Path, *words: str) -> subprocess.Popen[bytes]:
    """A real `mesh` command."""
    argv = [sys.executable, "-m", "orxaq_mesh", *words, "--json", "--home", str(home)]
    env = {**os.environ, "MESH_PROFILE": "lan", "MESH_SESSION": "race"}
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
