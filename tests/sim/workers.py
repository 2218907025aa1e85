"""The workers of a fleet: callers that ask for any work, run it for a while, have an effect outside, and file it.

Knows: what each runs, since when and until when; what it filed and has not heard of yet.
Knows not: when it acts (`chance`, `healing`), what must be true of it (`labour`).

    work elm/1                    it asks for whatever is to be done
    finish elm/1 succeeded        its run is over, if its time has come: receipts, the finish and the next ask are one Ask
    finish elm/1 failed | noop | bare | back       bare: no receipts; back: the claim is given back
    order elm/1 dag d0 17 ...     see `orders`

What it filed has its keys, so whoever is not told asks again with the same ones (law ONCE).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, NamedTuple

from orxaq_mesh.choosing import ANY_WORK
from orxaq_mesh.effects import Answer, Intent
from orxaq_mesh.kinds.work import TASK, is_work
from orxaq_mesh.record import Value
from tests.sim.orders import COMMAND, order

if TYPE_CHECKING:
    from tests.sim.callers import Callers, Session
    from tests.sim.world import World

TTL_MS = 6000
RUNS_MS = (1, 300, 2000, 9000)
_OUTCOMES = {"succeeded": "applied", "bare": "applied"}


class Run(NamedTuple):
    """What a worker does. `filed`: (kind, wish) that it asked for at its end; `tries`: how many finishes were refused."""

    lease: str
    token: int
    order: Value
    ends_ms: int
    filed: tuple[tuple[str, Value], ...] = ()
    tries: int = 0


class Workers:
    """See the module's banner. `runs`: session -> its run."""

    def __init__(self, world: World, callers: Callers) -> None:
        self.world, self.callers = world, callers
        self.runs: dict[str, Run] = {}

    # What they do.

    def order(self, who: str, what: str, *words: str) -> bool:
        session = self._idle(who)
        if session is None:
            return False
        self._send(session, *order(what, words))
        return True

    def work(self, who: str) -> bool:
        session = self._idle(who)
        if session is None or session.lease:
            return False
        self._send(session, *_any_work(session))
        return True

    def finish(self, who: str, how: str) -> bool:
        """The end of a run; asked again, it files the same."""
        session, run = self._idle(who), self.runs.get(who)
        if session is None or run is None or self.world.now_ms < run.ends_ms:
            return False
        if how == "back" and not run.filed:
            self._send(session, "lease.release", {"lease": run.lease, "session": session.name})
            return True
        if not run.filed:
            if not run.tries:
                self.world.labour.ran(run.lease, run.token)
            run = self.runs[who] = run._replace(filed=tuple(_filed(session, run, how)))
        self._send(session, *run.filed, _any_work(session))
        return True

    def _idle(self, who: str) -> Session | None:
        session = self.callers.sessions.get(who)
        if session is None or session.asking or self.world.nodes[session.node].performer is None:
            return None
        hears = any(
            call.session is session and not call.gone for call in self.callers.calls.values()
        )  # of what it filed, perhaps
        return None if hears else session

    def _send(self, session: Session, *asked: Any) -> None:
        """One Ask; a session waits for the last of it."""
        if isinstance(asked[0], str):
            asked = (asked,)
        now_ms = self.world.nodes[session.node].clock.now_ms()
        intents = []
        for kind, wish in asked:
            session.asked += 1
            waits = wish.get("lease") == ANY_WORK
            until_ms = None if waits else now_ms + 60_000
            name = f"{session.owner}:{session.asked}"
            intents.append(Intent(name, kind, wish, waits, session.owner, now_ms, until_ms))
        self.callers.send(session, *intents)

    # What they hear.

    def answered(self, session: Session, intent: Intent, answer: Answer) -> None:
        if intent.wish.get("lease") == ANY_WORK and answer.result == "granted":
            self._begin(session, answer)
        elif intent.kind.endswith(".finish"):
            self._ended(session, answer)
        elif intent.kind == "lease.release" and is_work(intent.wish["lease"]) and answer.verdict != "unknown":
            self.gone(session)

    def dies(self, session: Session) -> None:
        """Its run ends with it; what it did outside by then is done."""
        run = self.runs.pop(session.owner, None)
        if run is not None and not run.filed and not run.tries:
            self.world.labour.ran(run.lease, run.token)

    def gone(self, session: Session) -> None:
        """It runs nothing any more."""
        if self.runs.pop(session.owner, None) is not None:
            session.lease, session.token = "", 0

    def _begin(self, session: Session, answer: Answer) -> None:
        facts = answer.facts
        session.lease, session.token = facts["lease"], facts["token"]
        old = self.runs.get(session.owner)
        if old is not None and (old.lease, old.token) == (facts["lease"], facts["token"]):
            return  # what it filed was never sealed: it files it again
        dice = random.Random(f"{self.world.fleet.seed} {session.owner} {facts['token']}")
        ends_ms = self.world.now_ms + dice.choice(RUNS_MS)
        self.runs[session.owner] = Run(facts["lease"], facts["token"], facts["order"], ends_ms)

    def _ended(self, session: Session, answer: Answer) -> None:
        run = self.runs.get(session.owner)
        if run is None or answer.verdict == "unknown":
            return
        if answer.verdict == "refused" and run.filed:
            self.runs[session.owner] = run._replace(filed=(), tries=run.tries + 1)
        else:
            self.gone(session)


def _any_work(session: Session) -> tuple[str, Value]:
    wish = {"session": session.name, "ttl_ms": TTL_MS, "authors": ["*"], "commands": [COMMAND]}
    return "lease.acquire", {"lease": ANY_WORK, **wish}


def _filed(session: Session, run: Run, how: str) -> list[tuple[str, Value]]:
    """The receipts of a run, and its finish; a run whose finish was refused has failed."""
    how = "failed" if run.tries else how
    key = f"{run.lease}/{run.token}/{session.owner}/{run.tries}".replace(":", "/")
    under = {"lease": run.lease, "session": session.name, "token": run.token}
    if not run.lease.startswith(TASK):
        return [("command.finish", {"under": under, "outcome": _OUTCOMES.get(how, how), "once": key})]
    filed: list[tuple[str, Value]] = []
    asked = [] if how == "bare" else steps(run.order)
    for step, phase in asked if how != "noop" else [one for one in asked if one[1] == "before"]:
        exit_ = 1 if how == "failed" else 0
        body = {"step": step, "phase": phase, "outcome": "exited", "exit": exit_, "under": under}
        filed.append(("task.receipt", {**body, "once": f"{key}/{step}"}))
    outcome = "succeeded" if how == "bare" else how
    return [*filed, ("task.finish", {"under": under, "outcome": outcome, "once": key})]


def steps(order: Value) -> list[tuple[str, str]]:
    """(step, phase) of what must have a good receipt before a task has succeeded, in the words of its order."""
    phases = (("before", "before"), ("commands", "run"), ("after", "after"))
    named = [(step["name"], phase) for field, phase in phases for step in order.get(field, ())]
    return [*named, *((receipt, "run") for receipt in order.get("receipts", ()))]
