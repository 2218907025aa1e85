"""The same acts on both sides: a hub, a job takes the lock, its laptop sleeps, another takes over, the first wakes.

Knows: what each act does to the processes of a side, and what it reads there afterwards.
Knows not: how it is shown (`page`), what is proven from the ledger afterwards (`proofs`).

    left = LeftSide(stage)
    left.set(); left.take(); left.sleep(); left.take_over(); left.wake()      # each gives the lines that it read
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from orxaq_mesh.demo.job import PROD
from orxaq_mesh.demo.stage import PYTHON, Facts, Missed, Program, Stage
from orxaq_mesh.home.place import Home

TTL_MS = 3000
NODES = ("oak", "elm", "ash")
POLL_MS = 200
PLAIN, GOOD, BAD = "plain", "good", "bad"


class Line(NamedTuple):
    """One thing that was seen: when (ms since the start), at whom, in words, and the facts behind the words."""

    at_ms: int
    who: str
    text: str
    tone: str
    facts: Facts


class Side:
    """What both sides share. `name` is `left` or `right`."""

    name = ""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.folder = stage.path / self.name
        self.folder.mkdir()
        self.prod = self.folder / PROD
        self.jobs: dict[str, Program] = {}
        self._lines: list[Line] = []

    def said(self) -> list[Line]:
        """The lines since this was last asked."""
        lines, self._lines = self._lines, []
        return lines

    def version(self) -> str:
        """What `prod.txt` holds now."""
        return self.prod.read_text().strip() if self.prod.exists() else ""

    def _say(self, who: str, text: str, tone: str = PLAIN, **facts: Any) -> None:
        self._lines.append(Line(self.stage.now_ms(), who, text, tone, facts))

    def _start(self, node: str) -> Program:
        argv = [PYTHON, "-m", "orxaq_mesh.demo.job", self.name, str(self.folder), node, str(TTL_MS)]
        job = self.jobs[node] = self.stage.start(argv, self.env(node), self.folder)
        return job

    def env(self, node: str) -> dict[str, str]:
        """What a node's programs see besides the stage's environment."""
        return {}


class LeftSide(Side):
    """The lock file."""

    name = "left"

    def set(self) -> None:
        """A hub, and a clone for each of two nodes."""
        for repository in ("hub", "oak", "elm"):
            self.stage.run(["git", "init", "--quiet", "--bare", f"{repository}.git"], cwd=self.folder)
        self._say("hub", "a bare repository; oak and elm have a clone")

    def take(self) -> None:
        """Lock as oak, and look once more."""
        job = self._start("oak")
        got = job.line("acquired")
        self._say("oak", f"pushed its lock: commit {got['commit'][:7]}, {TTL_MS // 1000} s", **got)
        looked = job.line("looked")
        must(looked["mine"], "on the left the lock is oak's when it looks once more")
        self._say("oak", "looks once more before it writes: still mine")

    def sleep(self) -> None:
        """The lid closes between the look and the write."""
        must(self.jobs["oak"].freeze(), "on the left oak's job stands still")
        self.jobs["oak"].give("v1\n")
        self._say("oak", "job stopped; v1 not yet written")

    def take_over(self) -> None:
        """As elm, wait for the ttl to end by the clock, and swap the lock."""
        job = self._start("elm")
        job.give("v2\n")
        got = job.line("acquired")
        before = got["before"]
        must(before["owner"] == "oak", "on the left elm takes the lock over from oak")
        self._say("elm", f"lock expired; swaps {before['commit'][:7]} for {got['commit'][:7]}", **got)
        must(job.line("looked")["mine"], "on the left the lock is elm's")
        job.line("wrote")
        must(self.version() == "v2", "on the left elm writes v2")
        self._say("elm", "writes: prod.txt is v2", GOOD)
        job.line("reported")
        job.line("released")

    def wake(self) -> None:
        """Let oak go on where it stood."""
        job = self.jobs["oak"]
        job.wake()
        wrote = job.line("wrote")
        version = self.version()
        must(version == "v1" and wrote["exit"] == 0, "on the left oak writes v1 over v2, and no error stops it")
        self._say("oak", "goes on, and writes: prod.txt is v1", BAD, prod=version, **wrote)
        job.line("reported")
        released = job.line("released")
        must(not released["released"], "on the left the hub refuses to delete a lock that is not oak's")
        self._say("oak", "deletes its lock: the hub says no, too late", BAD, **released)


class RightSide(Side):
    """The mesh: three nodes, each with its mesh-sync."""

    name = "right"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self.hub = self.folder / "hub.git"
        self.syncs: dict[str, Program] = {}
        self.tokens: dict[str, int] = {}
        self.report = self.ledger = ""

    def set(self) -> None:
        """Found the ledger as oak, let elm and ash in, and run every node's mesh-sync."""
        self.stage.run(["git", "init", "--quiet", "--bare", str(self.hub)])
        self.ledger = self.mesh("oak", "init", "--hub", str(self.hub), "--node", "oak")["ledger"]
        self._say("oak", f"founds ledger {self.ledger[:8]} in a bare repository", ledger=self.ledger)
        with ThreadPoolExecutor(len(NODES)) as pool:
            for node, fingerprint in zip(NODES[1:], pool.map(self._join, NODES[1:]), strict=True):
                self.mesh("oak", "admit", node, "--fingerprint", fingerprint)
        for node in NODES:
            self.boot(node)
        self.stage.until("three mesh-sync run", lambda: all(Home(self.home(node)).socket.exists() for node in NODES))
        nodes = [node["name"] for node in self.mesh("oak", "status")["nodes"] if node["standing"] == "admitted"]
        must(set(NODES) <= set(nodes), "oak, elm and ash are admitted")
        self._say("hub", "oak, elm, ash are nodes, each with mesh-sync", nodes=nodes)

    def take(self) -> None:
        """Acquire as oak, and look once more."""
        job = self._start("oak")
        got = self._granted(job, "oak")
        self._say("oak", f"granted the lease: token {self.tokens['oak']}, {TTL_MS // 1000} s", **got)
        must(job.line("looked")["mine"], "on the right the lease is oak's when it looks once more")
        self._say("oak", "looks once more before it writes: still mine")

    def sleep(self) -> None:
        """The lid closes: the job stands still, and oak's mesh-sync with it."""
        must(self.jobs["oak"].freeze(), "on the right oak's job stands still")
        self.fall_asleep("oak")
        self.jobs["oak"].give("v1\n")
        self._say("oak", "job, mesh-sync stopped; v1 not yet written")

    def take_over(self) -> None:
        """As elm, wait in line; the lease passes on after a ttl of watched silence."""
        job = self._start("elm")
        job.give("v2\n")
        got = self._granted(job, "elm")
        old, new = self.tokens["oak"], self.tokens["elm"]
        must(new > old, "the token has grown")
        watched_ms = self.mesh("elm", "log", "--kind", "lease.take")[-1]["body"]["watched_ms"]
        must(watched_ms >= TTL_MS, "elm has watched a whole ttl of silence")
        self._say("elm", f"watched {watched_ms / 1000:.1f} s of silence; granted: token {new}", **got)
        must(job.line("looked")["mine"], "on the right the lease is elm's")
        self._wrote(job.line("wrote"), 0)
        must(self.version() == "v2", "on the right elm writes v2")
        self._say("elm", f"writes through the gate ({new}): prod.txt is v2", GOOD)
        reported = job.line("reported")["data"]
        must(reported["verdict"] == "applied", "elm's report is applied")
        job.line("released")

    def wake(self) -> None:
        """Let oak go on where it stood."""
        self.syncs["oak"].wake()
        job = self.jobs["oak"]
        job.wake()
        refused = self._wrote(job.line("wrote"), 4)["error"]
        mine, seen = refused["token"], refused["mark"]
        must(mine == self.tokens["oak"] < seen == self.tokens["elm"], "the gate refuses oak's token for elm's")
        version = self.version()
        must(version == "v2", "on the right prod.txt stays v2")
        self._say("oak", f"goes on; the gate refuses its token: {mine} < {seen}", GOOD, **refused)
        self._say("oak", "prod.txt is still v2", GOOD, prod=version)
        reported = job.line("reported")
        must(reported["exit"] == 4, "oak's report is told to be fenced")
        self.report = reported["data"]["record"]
        self._say("oak", f"its report, record {self.report[:8]}, is fenced", GOOD, **reported)
        job.line("released")

    # Commands.

    def mesh(self, node: str, *words: str, codes: Sequence[int] = (0,)) -> Any:
        """One command of a node: the `data` that it prints as JSON, or its error."""
        program = self.stage.start([PYTHON, "-m", "orxaq_mesh", *words, "--json"], self.env(node), self.folder)
        code, out = program.finish()
        if code not in codes:
            raise Missed(f"`mesh {' '.join(words)}` on {node} ended with {code}: {program.last_words()}")
        if "log" in words:
            return [orjson.loads(line) for line in out.splitlines()]
        said = orjson.loads(out or program.last_words())
        return said.get("data") or said.get("error")

    def _join(self, node: str) -> str:
        joined = self.mesh(node, "join", "--hub", str(self.hub), "--node", node, "--ledger", self.ledger)
        return str(joined["fingerprint"])

    def _granted(self, job: Program, node: str) -> Facts:
        told = job.line("acquired")
        got: Facts = told.get("data") or {}
        must(got.get("verdict") == "applied" and got.get("token"), f"on the right {node} is granted the lease: {told}")
        self.tokens[node] = got["token"]
        return got

    def _wrote(self, wrote: Facts, code: int) -> Facts:
        must(wrote["exit"] == code, f"the gate answers {code}, not {wrote['exit']}")
        return wrote

    def boot(self, node: str) -> None:
        """Start a node's mesh-sync, as its laptop does when it starts."""
        argv = [PYTHON, "-c", "from orxaq_mesh.cli import sync_main; sync_main()", "--json"]
        self.syncs[node] = self.stage.start(argv, self.env(node), self.folder, listen=False)

    def fall_asleep(self, node: str) -> None:
        """Stop mesh-sync, but not in the middle of a push: a hub elsewhere would not fall asleep with a laptop."""

        def sleeps_soundly() -> bool:
            must(self.syncs[node].freeze(), f"{node}'s mesh-sync stands still")
            with contextlib.suppress(FileNotFoundError):  # a folder of the hub that went away meanwhile: look again
                if not list(self.hub.rglob("*.lock")):
                    return True
            self.syncs[node].wake()
            return False

        self.stage.until(f"the hub is at rest while {node} falls asleep", sleeps_soundly)

    def home(self, node: str) -> Path:
        """Where a node's key, journal and store live."""
        return self.folder / node

    def env(self, node: str) -> dict[str, str]:
        """What a node's programs see besides the stage's environment."""
        own = {"MESH_HOME": str(self.home(node)), "MESH_SESSION": "job", "MESH_PROFILE": "lan"}
        return own | {"MESH_POLL_MS": str(POLL_MS)}


def must(happened: Any, what: str) -> None:
    """Nothing is shown that was not checked.

    Raises:
        Missed: it did not happen.
    """
    if not happened:
        raise Missed(f"this did not happen: {what}")
