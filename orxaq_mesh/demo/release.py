"""A release of a dozen tasks on the mesh's fleet: one laptop loses its power in the middle, another falls asleep.

Knows: the DAG, the workers, what is done to two of the laptops, and what each act must come to.
Knows not: how it is shown (`page`), what is counted afterwards (`tally`).

    release = Release(right)
    release.begin(); release.strike(); release.take_over(); release.wake(); release.end()
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from orxaq_mesh.demo.acts import BAD, GOOD, NODES, PLAIN, TTL_MS, Line, RightSide, must
from orxaq_mesh.demo.stage import PYTHON, Facts, Program
from orxaq_mesh.demo.world import GO, REFUSED, WROTE, Run, World
from orxaq_mesh.home.place import Home
from orxaq_mesh.sync.wire import connect

DAG = "release"
NEEDS: dict[str, tuple[str, ...]] = {
    "fetch": (),
    "lint": ("fetch",),
    "test-unit": ("fetch",),
    "test-api": ("fetch",),
    "docs": ("fetch",),
    "build-linux": ("lint", "test-unit"),
    "build-macos": ("lint", "test-unit"),
    "build-windows": ("lint", "test-api"),
    "package": ("build-linux", "build-macos", "build-windows"),
    "publish": ("package", "docs"),
    "announce": ("publish",),
    "tidy": ("publish",),
}
LONG = ("lint", "test-unit", "test-api", "docs")
SLOTS = {"oak": 2, "elm": 1, "ash": 1}
STRUCK, SLEEPER = "elm", "ash"


class Release:
    """See the module's banner."""

    def __init__(self, right: RightSide) -> None:
        self.right, self.stage = right, right.stage
        self.world = World(right.folder / "world")
        self.workers: dict[str, Program] = {}
        self.struck: dict[str, Run] = {}
        self.stood_ms: dict[str, int] = {}
        self.woke_ms = 0
        self._lines: list[Line] = []

    def said(self) -> list[Line]:
        """The lines since this was last asked."""
        lines, self._lines = self._lines, []
        return sorted(lines, key=lambda line: line.at_ms)

    def begin(self) -> None:
        """Submit it as oak, and let every laptop work."""
        for node in NODES:
            self._work(node)
        self._submit()
        self.stage.until("all laptops are in the middle of a task", lambda: len(self._in_the_middle()) == len(LONG))
        for run in self.world.runs():
            doing = "in the middle of" if run.task in LONG else "has done"
            self._say(run.node, f"{doing} {run.task}, token {run.token}", at_ms=run.began_ms, **run._asdict())

    def strike(self) -> None:
        """Power off for one, lid closed for the other. What the long tasks wait for is there from now on."""
        self.struck = {run.node: run for run in self._in_the_middle()}
        must({STRUCK, SLEEPER} <= set(self.struck), f"{STRUCK} and {SLEEPER} are in the middle of a task")
        self.right.fall_asleep(STRUCK)
        self.workers[STRUCK].kill()
        _signal(self.struck[STRUCK], signal.SIGKILL)
        self.right.syncs[STRUCK].kill()
        self.stood_ms[STRUCK] = self.stage.now_ms()
        self._say(STRUCK, f"power lost in the middle of {self.struck[STRUCK].task}", BAD)
        self.right.fall_asleep(SLEEPER)
        must(self.workers[SLEEPER].freeze(), f"{SLEEPER}'s worker stands still")
        _signal(self.struck[SLEEPER], signal.SIGSTOP)
        self.stood_ms[SLEEPER] = self.stage.now_ms()
        self._say(SLEEPER, f"asleep in the middle of {self.struck[SLEEPER].task}", BAD)
        self.world.let_go_on()

    def take_over(self) -> None:
        """Oak goes on with what it can, and takes the two tasks over after a ttl of watched silence."""
        lost = [self.struck[node] for node in (STRUCK, SLEEPER)]
        again = self.stage.until("oak has done both tasks", lambda: self._done_again(lost))
        takes = {item["body"]["lease"]: item for item in self.right.mesh("oak", "log", "--kind", "lease.take")}
        for old, new in zip(lost, again, strict=True):
            watched_ms = takes[f"task:{DAG}/{old.task}"]["body"]["watched_ms"]
            must(watched_ms >= TTL_MS and new.token > old.token, f"{old.task} passed on after a ttl of silence")
            words = f"takes {old.task} over: {old.node} was silent for {watched_ms / 1000:.1f} s; token {new.token}"
            self._say(new.node, words, GOOD, at_ms=new.began_ms, watched_ms=watched_ms, **new._asdict())
        must(not self._at_the_gate(SLEEPER), f"{SLEEPER} has not gone on")

    def wake(self) -> None:
        """The sleeper goes on where it stood, and the other boots."""
        self.woke_ms = self.stage.now_ms()
        _signal(self.struck[SLEEPER], signal.SIGCONT)
        late = self.stage.until(f"{SLEEPER} reaches the gate", lambda: self._at_the_gate(SLEEPER))
        must(late.how == REFUSED and late.mark > late.token, f"the gate refuses {SLEEPER}'s token")
        words = f"goes on with {late.task}; the gate refuses its token: {late.token} < {late.mark}"
        self._say(SLEEPER, words, GOOD, at_ms=late.ended_ms, **late._asdict())
        self.right.syncs[SLEEPER].wake()
        self.workers[SLEEPER].wake()
        self.right.boot(STRUCK)

    def end(self) -> None:
        """The last task, and everybody goes home."""
        self.stage.until("every task is done", lambda: {run.task for run in self._written()} == set(NEEDS))
        shown = self.stage.until("the ledger says so", self._done)
        last_ms = max(run.ended_ms for run in self._written())
        self._say("oak", f"mesh dag show {DAG}: {shown['state']}, {shown['done']} of {shown['size']}", GOOD, last_ms)
        self.stage.until(f"{STRUCK}'s mesh-sync runs again", self._runs_again)
        self._say(STRUCK, "has booted, and its mesh-sync goes on with the same key and journal")
        living = {node: worker for node, worker in self.workers.items() if node != STRUCK}
        for worker in living.values():
            worker.ask_to_end()
        for node, worker in living.items():
            must(worker.finish()[0] == 0, f"{node}'s worker ends well: {worker.last_words()}")

    def folder(self, node: str) -> Path:
        """Where a node's worker runs what it claims."""
        return self.right.folder / "work" / node

    def _runs_again(self) -> bool:
        client = connect(Home(self.right.home(STRUCK)).socket)
        if client is not None:
            client.close()
        return client is not None

    def _done(self) -> Facts | None:
        shown: Facts = self.right.mesh("oak", "dag", "show", DAG)
        return shown if shown["state"] == "done" else None

    def _submit(self) -> None:
        file = self.right.folder / f"{DAG}.json"
        file.write_bytes(orjson.dumps({"dag": DAG, "tasks": {task: self._order(task) for task in NEEDS}}))
        begun_ms, needs = self.stage.now_ms(), sum(map(len, NEEDS.values()))
        told = self.right.mesh("oak", "dag", "submit", str(file))
        must(told["verdict"] == "applied", f"the release is submitted: {told}")
        self._said(begun_ms, "oak", f"submits {DAG}: {len(NEEDS)} tasks, {needs} needs between them", PLAIN, told)

    def _order(self, task: str) -> Facts:
        long, made = ["--after", GO] if task in LONG else [], f"{task}.txt"
        return {
            "needs": list(NEEDS[task]),
            "ttl": f"{TTL_MS}ms",
            "attempts": 3,
            "environment": ["PYTHONPATH"],
            "run": [PYTHON, "-m", "orxaq_mesh.demo.chore", task, str(self.world.folder), *long],
            "artefacts": [made],
            "after": [{"name": "made", "run": ["test", "-s", made]}],
        }

    def _work(self, node: str) -> None:
        folder = self.folder(node)
        folder.mkdir(parents=True)
        words = ["work", "--trust", "oak", "--slots", str(SLOTS[node]), "--folder", str(folder), "--json"]
        argv = [PYTHON, "-m", "orxaq_mesh", *words]
        worker = self.stage.start(argv, self.right.env(node), folder, listen=False, ends_first=True)
        self.workers[node] = worker

    def _in_the_middle(self) -> list[Run]:
        return [run for run in self.world.runs() if run.task in LONG and not run.how]

    def _at_the_gate(self, node: str) -> Run | None:
        run = self.world.now(self.struck[node])
        return run if run.how else None

    def _written(self) -> list[Run]:
        return [run for run in self.world.runs() if run.how == WROTE]

    def _done_again(self, lost: list[Run]) -> list[Run] | None:
        found = {run.task: run for run in self._written()}
        return [found[run.task] for run in lost] if all(run.task in found for run in lost) else None

    def _say(self, who: str, text: str, tone: str = PLAIN, at_ms: int | None = None, **facts: Any) -> None:
        """`at_ms`: on this machine's clock; else now."""
        self._said(self.stage.now_ms() if at_ms is None else self.stage.since(at_ms), who, text, tone, facts)

    def _said(self, when_ms: int, who: str, text: str, tone: str, facts: Facts) -> None:
        self._lines.append(Line(when_ms, who, text, tone, facts))


ACTS: tuple[tuple[str, Callable[[Release], None]], ...] = (
    ("oak orders a release of twelve tasks; three laptops work (mesh work)", Release.begin),
    ("elm's power fails (SIGKILL), ash falls asleep (SIGSTOP), both in the middle of a task", Release.strike),
    (f"oak works on; after {TTL_MS // 1000} s of silence it takes both tasks over", Release.take_over),
    ("ash wakes and goes on where it stood (SIGCONT)", Release.wake),
    ("The rest of the release", Release.end),
)


def _signal(run: Run, number: int) -> None:
    """To what runs a task: it leads a session of its own."""
    os.killpg(run.pid, number)
