"""The callers of a fleet: agents that want leases, work under them, give them back, go away or die; and an admin's desk.

Knows: what each asked, what it was told, which lease and token it believes to have.
Knows not: when it acts (`chance`), what an answer must be (`checks`).

    ask elm/1 lease.acquire lease=deploy ttl_ms=3000 queue wait deadline=2000
    ask elm/1 event.publish type=done under       under what it holds, with its token; `under=deploy token=7`: with that one
    leave elm/1                                   it goes away: what it waits for is withdrawn
    die elm/1                                     its process is gone; another one comes, with the next number

A node's desk (`oak/desk`) asks for what concerns membership; see `fleet`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from orxaq_mesh.choosing import ANY_WORK
from orxaq_mesh.effects import Answer, Ask, Cancel, Intent
from tests.sim.workers import Workers

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

DESK = "desk"


class Call(NamedTuple):
    """Something asked, and by whom; `gone`: nobody waits for the answer any more."""

    session: Session
    intent: Intent
    gone: bool = False


class Session:
    """A caller on a node. `lease` and `token`: what it believes to hold."""

    def __init__(self, node: str, name: str) -> None:
        self.node, self.name, self.owner = node, name, f"{node}/{name}"
        self.asking: str | None = None
        self.wish: tuple[str, Any] = ("", {})
        self.lease = ""
        self.token = 0
        self.asked = 0


class Callers:
    """All of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.living: set[str] = set()
        self.sessions: dict[str, Session] = {}
        self.calls: dict[str, Call] = {}
        self._number: dict[str, int] = {}
        self.workers = Workers(world, self)

    def enter(self, node: str, name: str = "") -> Session:
        """A caller begins; without a name it gets the node's next number."""
        if not name:
            self._number[node] = self._number.get(node, 0) + 1
            name = str(self._number[node])
        session = self.sessions[f"{node}/{name}"] = Session(node, name)
        self.living.add(session.owner)
        return session

    def holding(self, node: str) -> Iterator[tuple[str, str]]:
        """(lease, session) of each caller of a node that may act: not once it has asked to give the lease back."""
        for session in self.sessions.values():
            if session.lease and session.node == node and session.wish[0] != "lease.release":
                yield session.lease, session.name

    def waiting(self) -> list[Call]:
        """The calls that somebody waits for."""
        return [call for call in self.calls.values() if not call.gone]

    # What they do.

    def ask(self, who: str, kind: str, *words: str) -> bool:
        session = self.sessions.get(who)
        if session is None or session.asking or self.world.nodes[session.node].performer is None:
            return False
        wish, wait, patience_ms = _wish(session, kind, words)
        if wish is None:
            return False
        node = self.world.nodes[session.node]
        session.asked += 1
        now_ms = node.clock.now_ms()
        deadline_ms = (
            None if wait and patience_ms is None else now_ms + (60_000 if patience_ms is None else patience_ms)
        )
        intent = Intent(f"{who}:{session.asked}", kind, wish, wait, session.owner, now_ms, deadline_ms)
        self.send(session, intent)
        return True

    def send(self, session: Session, *intents: Intent) -> None:
        """One Ask; the session waits for the last of them."""
        session.asking, session.wish = intents[-1].id, (intents[-1].kind, intents[-1].wish)
        for intent in intents:
            self.calls[intent.id] = Call(session, intent)
            self.world.history.asks(f"{self.world.nodes[session.node].who}/{session.name}", intent)
        self.world.nodes[session.node].outer.append(Ask(intents[0], intents[1:]))

    def leave(self, who: str) -> bool:
        session = self.sessions.get(who)
        if session is None or not session.asking:
            return False
        node, call = self.world.nodes[session.node], self.calls.get(session.asking)
        if node.performer is not None and call is not None:
            self.calls[session.asking] = call._replace(gone=True)
            node.outer.append(Cancel(session.asking))
        session.asking, session.wish = None, ("", {})
        return True

    def die(self, who: str) -> bool:
        session = self.sessions.get(who)
        if session is None or session.name == DESK:
            return False
        self.living.discard(session.owner)
        self.leave(who)
        del self.sessions[who]
        self.workers.dies(session)
        self.enter(session.node)
        return True

    def deserted(self, node: str) -> None:
        """Their node crashed: they hear nothing more of what they asked."""
        for session in self.sessions.values():
            if session.node == node and session.asking:
                self.calls.pop(session.asking, None)
                session.asking, session.wish = None, ("", {})
        for intent in [intent for intent, call in self.calls.items() if call.session.node == node]:
            del self.calls[intent]

    # What they hear.

    def answered(self, node: SimNode, intent: str, answer: Answer) -> None:
        """A node told what came of an intent."""
        call = self.calls.pop(intent, None)
        self.world.laws.hold(call is not None, "answer", f"{intent} was answered twice")
        assert call is not None
        session = call.session
        waits = call.intent.deadline_ms is None and not call.gone and session.owner in self.living
        given_back = waits and "withdrawn" in answer.facts
        self.world.laws.hold(not given_back, "answer", f"{intent} waits, and was told that it does not")
        self.world.history.is_told(call.intent, answer)
        self.world.checks.answered(node, intent, answer, session.name)
        if session.asking == intent:
            session.asking, session.wish = None, ("", {})
        self._take_in(session, call.intent, answer)
        if answer.result == "rotated" and answer.record:
            node.rotated(answer.record)

    def _take_in(self, session: Session, intent: Intent, answer: Answer) -> None:
        self.workers.answered(session, intent, answer)
        if intent.wish.get("lease") == ANY_WORK or intent.kind.endswith((".finish", ".receipt")):
            return
        if answer.result == "granted" and answer.facts.get("token"):
            session.lease, session.token = intent.wish["lease"], answer.facts["token"]
        elif answer.verdict == "fenced" or (intent.kind == "lease.release" and answer.verdict != "unknown"):
            session.lease, session.token = "", 0


def _wish(session: Session, kind: str, words: tuple[str, ...]) -> tuple[Any, bool, int | None]:
    """(wish, whether it waits, its patience) of an ask's words; None for a wish that this session cannot have."""
    given = dict(word.partition("=")[::2] for word in words)
    wait, patience = "wait" in given, given.get("deadline")
    fields = {key: _value(text) for key, text in given.items() if key not in ("wait", "deadline")}
    if kind.startswith("lease.") and kind != "lease.break":
        fields = {"lease": session.lease, "session": session.name} | fields
        if kind in ("lease.renew", "lease.release") and not fields["lease"]:
            return None, wait, None
        if kind == "lease.renew":
            fields |= {"token": fields.get("token", session.token)}
    if kind == "event.publish":
        fields = _event(session, fields)
    return fields or None, wait, int(patience) if patience else None


def _event(session: Session, fields: dict[str, Any]) -> dict[str, Any]:
    event = {"topic": "t", "type": "x", "payload": {}} | fields
    if "under" in fields:
        lease, token = fields["under"], event.pop("token", session.token)
        lease = session.lease if lease is True else lease
        if not lease:
            return {}
        event["under"] = {"lease": lease, "session": session.name, "token": token}
    return event


def _value(text: str) -> Any:
    return int(text) if text.isdigit() else {"": True}.get(text, text)
