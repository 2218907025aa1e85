"""Histories of leases as real commands live them: several nodes, one hub, and everything that can go wrong on the way.

Knows: `mesh lease ... --json` and `mesh publish --under`; when each was called and when it answered, on one clock;
    what is done to it meanwhile: killed, stopped and continued, a flaky git in front.
Knows not: what should come of it (`lease`).

    recorder = Recorder(hub, folder, seed=7)
    recorder.storm(steps=6)                 # every caller by itself, all at once, with faults
    recorder.calm()                         # one after the other, without
    recorder.operations                     # for `check`

What a caller was told counts by its exit code: 0, 3, 4 and 7 are answers; killed and 5 are not known, but for one
promise that is taken at its word: 5 and "nothing was signed" is nothing that happened.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from tests.hubs import Hub
from tests.linear.client import Command
from tests.linear.flaky import flaky_path
from tests.linear.history import Operation
from tests.linear.told import Asked, operations
from tests.race.fleet import Fleet

ANSWERS = (0, 3, 4, 7)
DEADLINE_S = 60
CALLERS = ("n0/a", "n1/a", "n1/b", "n2/a")
ADMIN = "n0/a"
KINDS = {
    "acquire": "lease.acquire",
    "take": "lease.take",
    "renew": "lease.renew",
    "release": "lease.release",
    "break": "lease.break",
    "write": "event.publish",
    "read": "read",
}


class Fault(NamedTuple):
    """What befalls one command: `kill`, `stop` for a while, a `flaky` git, or nothing."""

    name: str = ""
    after_s: float = 0
    for_s: float = 0
    seed: str = ""


class Begun(NamedTuple):
    """A command on its way."""

    asked: Asked
    command: Command


class Recorder:
    """A fleet, its callers, and what they saw.

    Attributes:
        operations: the history.
        odd: (exit code, operation, what was said) of each command that ended as none should.
    """

    def __init__(self, hub: Hub, folder: Path, seed: int, leases: tuple[str, ...] = ("deploy",)) -> None:
        self.fleet = Fleet(hub, folder, 3)
        self.leases, self._seed = leases, seed
        self.operations: list[Operation] = []
        self.odd: list[tuple[int, str, str]] = []
        self._homes = {home.name: home for home in self.fleet.homes}
        self._told = folder / "told"
        self._told.mkdir()
        self._variables = {
            **hub.variables,
            "MESH_PROFILE": "lan",
            "MESH_HUB": hub.url,
            "MESH_TIMEOUT_MS": "1200",
            "PATH": flaky_path(folder / "flaky", hub.variables.get("PATH")),
        }
        self._lock, self._number = threading.Lock(), 0

    def storm(self, steps: int) -> None:
        """Every caller does so many things by itself."""
        with ThreadPoolExecutor(len(CALLERS)) as callers:
            for done in [callers.submit(self._live, caller, steps) for caller in CALLERS]:
                done.result()

    def _live(self, caller: str, steps: int) -> None:
        dice, tokens = random.Random(f"{self._seed} {caller}"), dict[str, int]()
        for step in range(steps):
            lease = dice.choice(self.leases)
            op, args = _deal(dice, caller, tokens.get(lease))
            for done in self.call(caller, op, lease, args, _fault(dice, f"{self._seed}-{caller[1::2]}-{step}")):
                if not done.open and done.result.get("result") == "granted":
                    tokens[lease] = done.result["token"]

    def call(
        self, caller: str, op: str, lease: str, args: dict[str, Any] | None = None, fault: Fault | None = None
    ) -> list[Operation]:
        """One command from its call to its end; gives what it adds to the history."""
        fault = fault or Fault()
        begun = self.begin(caller, op, lease, args, fault.seed)
        _befall(begun.command, fault)
        return self.end(begun)

    def begin(self, caller: str, op: str, lease: str, args: dict[str, Any] | None = None, seed: str = "") -> Begun:
        """Start a command; with a seed, behind a flaky git."""
        with self._lock:
            self._number += 1
            told = self._told / str(self._number)
        wish: dict[str, Any] = {"lease": lease, **(args or {})}
        asked = Asked(caller, KINDS[op], {"under": wish} if op == "write" else wish, time.monotonic())
        variables = self._variables | ({"FLAKY_SEED": seed} if seed else {})
        return Begun(asked, Command(self._words(caller, op, lease, args or {}), told, variables))

    def end(self, begun: Begun) -> list[Operation]:
        """Wait for a command; gives what it adds to the history."""
        code, asked = begun.command.wait(DEADLINE_S), begun.asked
        returned = time.monotonic()
        answer = self._answer(code, {} if code is None else begun.command.said(), f"{asked.process} {asked.kind}")
        done = list(operations(asked._replace(returned=returned, told=answer) if answer else asked))
        with self._lock:
            self.operations += done
        return done

    def _words(self, caller: str, op: str, lease: str, args: dict[str, Any]) -> list[str]:
        node, session = caller.split("/")
        words = {
            "write": ["publish", "work", "done", "--under", lease],
            "read": ["lease", "show", lease],
            "break": ["lease", "break", lease, "--reason", "the recorder says so"],
        }.get(op, ["lease", op, lease])
        words += ["--token", str(args["token"])] if "token" in args else []
        words += ["--ttl", str(args["ttl"])] if "ttl" in args else []
        words += ["--queue"] if "queue" in args else []
        words += ["--wait", "--timeout", "30"] if "wait" in args else []
        words += ["--session", session] if op != "read" else []
        return [*words, "--json", "--home", str(self._homes[node])]

    def _answer(self, code: int | None, said: dict[str, Any], what: str) -> dict[str, Any] | None:
        """What was told, in the words of an answer; None where nothing can be known of it."""
        if code in ANSWERS and said:
            return said
        if code == 5 and "nothing was signed" in said["message"]:
            return {"verdict": "unknown", "rule": "CLOSED", "record": None}
        if code not in (None, 5):
            self.odd.append((code, what, str(said.get("message"))))
        return None

    def calm(self) -> None:
        """What everyone can rely on when nothing goes wrong: the ends of each history are clear."""
        with ThreadPoolExecutor(len(self._homes)) as nodes:
            list(nodes.map(self._sync, self._homes))
        for lease in self.leases:
            while self.call(ADMIN, "read", lease)[0].result["holder"]:
                self.call(ADMIN, "break", lease)
            first = self._granted("n1/a", lease)
            self.call("n2/a", "acquire", lease)
            self.call("n1/a", "release", lease)
            self._granted("n2/a", lease)
            self.call("n1/a", "write", lease, {"token": first})
            self.call("n0/a", "read", lease)
            self.call("n2/a", "release", lease)

    def _granted(self, caller: str, lease: str) -> int:
        (done,) = self.call(caller, "acquire", lease, {"ttl": 600})
        assert done.result["result"] == "granted", done
        token: int = done.result["token"]
        return token

    def _sync(self, node: str) -> None:
        command = Command(["sync", "--json", "--home", str(self._homes[node])], self._told / node, self._variables)
        assert command.wait(DEADLINE_S) == 0, command.said()


def _deal(dice: random.Random, caller: str, token: int | None) -> tuple[str, dict[str, Any]]:
    """What a caller does next; who was granted the lease once acts under that token, be it stale by now or not."""
    if token is not None and dice.random() < 0.6:
        op = dice.choice(["renew", "write", "write", "release"])
        return op, {"token": token} if dice.random() < 0.7 else {}
    op = dice.choice(["acquire"] * 6 + ["read"] * 3 + ["take", "release"] + ["break"] * (2 * (caller == ADMIN)))
    return op, {"queue": True} if op == "acquire" and dice.random() < 0.3 else {}


def _fault(dice: random.Random, seed: str) -> Fault:
    roll = dice.random()
    if roll < 0.35:
        return Fault("flaky", seed=seed)
    if roll < 0.5:
        return Fault("kill", dice.uniform(0, 0.4))
    if roll < 0.65:
        return Fault("stop", dice.uniform(0, 0.3), dice.uniform(0.1, 1))
    return Fault()


def _befall(command: Command, fault: Fault) -> None:
    if fault.name == "kill":
        time.sleep(fault.after_s)
        command.signal(signal.SIGKILL)
    elif fault.name == "stop":
        time.sleep(fault.after_s)
        command.signal(signal.SIGSTOP)
        time.sleep(fault.for_s)
        command.signal(signal.SIGCONT)
