"""The worker: claims what is to be done, one piece in each of its slots, and files what came of it.

Knows: slots, sessions, the running mesh-sync; when a claim is lost.
Knows not: which work comes next (`choosing`, in mesh-sync), what an attempt is made of (`attempt`).
Laws: FENCE (each slot is a session), TIME (a claim that is no longer believed ends its commands, and is not run again).
Trap C17: one worker a node, for a node has one offer; and what an earlier one left running is ended before anything is begun.

    worker = Worker(home, settings, Wanted(capabilities=("build",), slots=2), folder, say)
    worker.run()            # until stop() or idle for long enough

All goes through the node's mesh-sync, so that claims, receipts and finishes that wait travel together; where none runs,
the worker runs one for as long as it works.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from orxaq_mesh.choosing import ANY_WORK
from orxaq_mesh.effects import Answer, Intent
from orxaq_mesh.errors import MeshError, MeshFault, Refused, Unreachable
from orxaq_mesh.home.clock import Clock
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import environment, identify_self
from orxaq_mesh.sync import PATIENCE_MS
from orxaq_mesh.sync.wire import Client, connect
from orxaq_mesh.worker.attempt import MAX_REASON, Asked, Claim, Place, attempt
from orxaq_mesh.worker.execution import RUNNING, end_left_over
from orxaq_mesh.worker.own import Own

BELIEF_PAUSE_S = 0.5
MAX_FAULTS, MAX_PAUSE_S = 5, 10.0
START_TRIES = 300
SYNC_LOG = "work-sync.log"
Say = Callable[[str, Mapping[str, Any]], None]
T = TypeVar("T")


class Wanted(NamedTuple):
    """What a worker offers to do.

    Attributes:
        authors: whose work; "*" is everybody's.
        ttl_ms: how long a claim may be silent, where its order does not say.
        idle_ms: ends after so long without work; None: never.
    """

    capabilities: tuple[str, ...] = ()
    slots: int = 1
    authors: tuple[str, ...] = ()
    ttl_ms: int = 60_000
    idle_ms: int | None = None


class Worker:
    """See the module's banner."""

    def __init__(self, home: Home, settings: Settings, wanted: Wanted, own: Own, folder: Path, say: Say) -> None:
        self.home, self.settings, self.wanted = home, settings, wanted
        self.own, self.folder, self.say = own, folder, say
        self._stopping = threading.Event()
        self._open: dict[int, Client] = {}
        self._held: dict[int, tuple[Claim, threading.Event]] = {}
        self._lock = NodeLock(home, "work", timeout_ms=0)
        self._lost: set[tuple[str, int]] = set()
        self._faults: list[MeshError] = []
        self._name = f"work-{os.getpid()}-{secrets.token_hex(3)}"
        self._sync: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()

    def run(self) -> None:
        """Work until `stop`, or until every slot has been idle for long enough.

        Raises:
            MeshError: another worker runs, mesh-sync cannot be reached or started, or the offer is refused.
        """
        with self._lock:
            self._end_left_over()
            self._work()

    def _end_left_over(self) -> None:
        for note in sorted((self.home.path / "work").rglob(RUNNING)):
            if end_left_over(note.parent):
                work = "/".join(note.parent.parent.parts[-2:])
                self.say("ended", {"work": work, "what": "what an earlier worker left running"})

    def _work(self) -> None:
        self._reach_sync()
        slots = [threading.Thread(target=self._slot, args=(n,), name=f"slot {n}") for n in range(self.wanted.slots)]
        watch = threading.Thread(target=self._watch, name="watch", daemon=True)
        try:
            for thread in (*slots, watch):
                thread.start()
            for thread in slots:
                while thread.is_alive():
                    thread.join(0.2)  # in pieces: a signal's handler runs in between
        finally:
            self.stop()
            for thread in slots:
                if thread.ident is not None:
                    thread.join()
            self._leave()
        if self._faults:
            raise self._faults[0]

    def stop(self) -> None:
        """Begin nothing more; what runs is ended and given back."""
        self._stopping.set()
        for _, lost in list(self._held.values()):
            lost.set()
        for number, client in list(self._open.items()):
            if number not in self._held:
                client.hang_up()

    # mesh-sync.

    def _reach_sync(self) -> None:
        """Have a mesh-sync that answers: one that runs, or one of our own; of all slots, one starts it."""
        tries, wait = itertools.count(1), threading.Event()  # tries, not time: the laptop may sleep in between
        with self._starting:
            while (client := connect(self.home.socket)) is None:
                if next(tries) > START_TRIES:
                    raise MeshFault("mesh-sync did not start", hint=f"see {self.home.path / SYNC_LOG}")
                if self._sync is None or self._sync.poll() is not None:  # none yet, or another one held its lock
                    self._sync = self._started()
                wait.wait(0.1)
        client.close()

    def _started(self) -> subprocess.Popen[bytes]:
        code = "from orxaq_mesh.cli import sync_main; sync_main()"
        argv = [sys.executable, "-c", code, "--home", str(self.home.path)]
        with (self.home.path / SYNC_LOG).open("ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _leave(self) -> None:
        with contextlib.suppress(MeshError):
            self._ask([self._offer(0)])
        if self._sync is not None:
            self._sync.terminate()
            self._sync.wait()

    def _offer(self, slots: int) -> tuple[str, dict[str, Any]]:
        wish = {"capabilities": sorted(set(self.wanted.capabilities)), "slots": slots, "once": secrets.token_hex(8)}
        return ("work.offer", wish)

    def _ask(self, asked: Asked) -> list[Answer]:
        client = self._connect()
        try:
            answers = client.ask(self._intents(asked), PATIENCE_MS / 1000)
        finally:
            client.close()
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return answers

    def _connect(self) -> Client:
        client = connect(self.home.socket)
        if client is None:
            self._reach_sync()
            client = connect(self.home.socket)
        if client is None:
            raise MeshFault("mesh-sync went away", hint="mesh-sync")
        return client

    def _intents(self, asked: Asked) -> list[Intent]:
        now_ms = Clock().now_ms()
        return [
            Intent(secrets.token_hex(8), kind, wish, asked_ms=now_ms, deadline_ms=now_ms + PATIENCE_MS)
            for kind, wish in asked
        ]

    # One slot.

    def _slot(self, number: int) -> None:
        session = f"{self._name}-{number}"
        filed = [] if number else [self._offer(self.wanted.slots)]  # it travels with the first claim
        fault: MeshError | None = MeshFault("a slot ended by a fault of this program")
        try:
            while not self._stopping.is_set() and (
                claim := self._patiently(partial(self._next, number, session, filed))
            ):
                filed = self._do(number, claim)
                if self._stopping.is_set() and filed:
                    for answer, asked in zip(self._ask(filed), filed, strict=True):
                        self._tell(answer, *asked)
            fault = None
        except MeshError as error:
            fault = None if self._stopping.is_set() else error
        finally:
            if fault is not None:  # what it holds would be renewed for as long as this worker lives
                self._faults.append(fault)
                self.stop()

    def _patiently(self, act: Callable[[], T]) -> T | None:
        """Again where mesh-sync went away, and for as long as the hub does not answer: a laptop may be offline for hours.

        What is filed has its key, so asking twice files it once. Who is to end when idle waits for no hub.
        """
        faults, pause_s = 0, 0.25
        while True:
            try:
                return act()
            except MeshError as error:
                faults += self.wanted.idle_ms is not None or not isinstance(error, Unreachable)
                if self._stopping.is_set():
                    return None
                if faults > MAX_FAULTS:
                    raise
                self.say("fault", {"code": error.code, "reason": error.what})
            self._stopping.wait(pause_s)
            pause_s = min(MAX_PAUSE_S, 2 * pause_s)

    def _next(self, number: int, session: str, filed: Asked) -> Claim | None:
        """File what was done, and wait for what is next; None where there is nothing for long enough, or we are to stop."""
        wish = {"lease": ANY_WORK, "session": session, "ttl_ms": self.wanted.ttl_ms}
        wish |= {"authors": list(self.wanted.authors), "commands": sorted(self.own.commands)}
        now_ms = Clock().now_ms()
        deadline_ms = None if self.wanted.idle_ms is None else now_ms + self.wanted.idle_ms
        owner = list(identify_self())
        any_work = Intent(secrets.token_hex(8), "lease.acquire", wish, True, owner, now_ms, deadline_ms)
        done = {wish["under"]["token"] for _, wish in filed if "token" in wish.get("under", {})}
        again: Asked = []
        client = self._open[number] = self._connect()
        try:
            for place, answer in client.answers([*self._intents(filed), any_work], None):
                if place < len(filed):
                    self._tell(answer, *filed[place])
                elif (answer.facts.get("lease"), answer.facts.get("token")) in self._lost:
                    again = [("lease.release", {field: answer.facts[field] for field in ("lease", "session", "token")})]
                elif answer.facts.get("token") not in done:
                    return self._claimed(session, answer)
        finally:
            del self._open[number]
            client.close()
        filed[:] = again  # what was done, or lost here, is ours for a moment yet: it is not begun again under its token
        return self._next(number, session, filed)

    def _claimed(self, session: str, answer: Answer) -> Claim | None:
        if answer.error is not None:
            raise answer.error
        facts = answer.facts
        if answer.result != "granted":
            return None
        claim = Claim(facts["lease"], session, facts["token"], facts["seal"], facts["attempt"], facts["order"])
        self.say("claimed", {"work": claim.name, "token": claim.token, "attempt": claim.attempt, "rule": answer.rule})
        return claim

    def _tell(self, answer: Answer, kind: str, wish: Mapping[str, Any]) -> None:
        if answer.error is not None:
            raise answer.error
        if kind == "work.offer" and answer.verdict != "applied":
            raise Refused(answer.rule, f"the offer was {answer.verdict}: {answer.what}", hint=answer.hint)
        if kind.endswith(".finish"):
            work = wish["under"]["lease"].partition(":")[2]
            facts = {"outcome": answer.result or wish["outcome"], "verdict": answer.verdict, "rule": answer.rule}
            self.say("finished", {"work": work, **facts, "reason": wish.get("reason", "") or answer.what})
            if answer.verdict == "refused" and answer.rule != "ONCE":
                self._end(kind, wish, answer)

    def _end(self, kind: str, wish: Mapping[str, Any], no: Answer) -> None:
        """A finish that a rule refuses must not leave the claim with us: it has failed, or it is given back."""
        under = wish["under"]
        reason = f"{no.rule}: {no.what}"[:MAX_REASON] or no.rule
        failed = (kind, {"under": under, "outcome": "failed", "reason": reason})
        (answer,) = self._ask([failed])
        if answer.verdict == "refused":
            self._ask([("lease.release", {"lease": under["lease"], "session": under["session"]})])

    def _do(self, number: int, claim: Claim) -> Asked:
        lost = threading.Event()
        self._held[number] = claim, lost
        log = self.home.path / "work" / claim.lease.replace(":", "/", 1) / f"{claim.token}"
        place = Place(self.folder, log, environment(), self.home.path, self.own)
        try:
            filed = [(kind, {**wish, "once": secrets.token_hex(8)}) for kind, wish in attempt(claim, place, lost)]
        finally:
            del self._held[number]
        if lost.is_set():
            self._lost.add((claim.lease, claim.token))
            self.say("stopped" if self._stopping.is_set() else "lost", {"work": claim.name, "token": claim.token})
            return self._give_back(claim)
        return filed

    def _give_back(self, claim: Claim) -> Asked:
        """Whoever comes next may begin at once. A claim that was lost is given back if it turns out to be still ours."""
        return [("lease.release", {"lease": claim.lease, "session": claim.session})] if self._stopping.is_set() else []

    # Claims that are lost.

    def _watch(self) -> None:
        """TIME: as long as mesh-sync believes in a claim it is ours; if it is silent, for as long as it said last."""
        clock, until_ms = Clock(), dict[str, int]()
        while not self._stopping.wait(BELIEF_PAUSE_S):
            if not self._lock.intact():
                self._faults.append(MeshFault("its lock was removed: another worker may run", hint="mesh work"))
                self.stop()
            for claim, lost in list(self._held.values()):
                key = f"{claim.lease} {claim.token}"
                left_ms = self._left_ms(claim)
                if left_ms is not None:
                    until_ms[key] = clock.now_ms() + left_ms
                if clock.now_ms() >= until_ms.setdefault(key, clock.now_ms() + self.wanted.ttl_ms):
                    lost.set()

    def _left_ms(self, claim: Claim) -> int | None:
        """How long mesh-sync still believes in a claim; None where it does not say."""
        client = connect(self.home.socket)
        if client is None:
            return None
        try:
            asked = {"op": "belief", "lease": claim.lease, "session": claim.session}
            left_ms = client.request(asked, 5.0)["left_ms"]
        except (MeshError, KeyError, StopIteration):
            return None
        finally:
            client.close()
        return 0 if left_ms is None else int(left_ms)
