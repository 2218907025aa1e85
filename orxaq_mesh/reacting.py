"""Reacting: which follow-ups of events this node writes, and when.

Knows: since when each has been due, as this node saw it; whose turn it is.
Knows not: what follows from what (`kinds.reactor`).
Laws: none of its own. However many nodes write a follow-up, one of them counts (rule REACTOR-2); this keeps them few.

    reacting.wishes(state, pending, now_ms, pause_ms)      # [Wish("command.issue", {...})]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

from orxaq_mesh.duties import Wish
from orxaq_mesh.kinds import UNTIL_EPOCHS, State
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import WRITERS, may_write, members
from orxaq_mesh.kinds.reactor import Due, body_of, reactors
from orxaq_mesh.record import Record, Value


class Reacting:
    """See the module's banner. `stays`: this process goes on; who only asks and leaves writes nobody's follow-ups."""

    def __init__(self, name: str) -> None:
        self.name, self.stays = name, False
        self._turn_ms: dict[str, int] = {}
        self._hopeless: set[str] = set()
        self._hopeless_at = ""

    def wishes(self, state: State, pending: Sequence[Record], now_ms: int, pause_ms: int) -> list[Wish]:
        """The follow-ups that are this node's to write now."""
        part, found = reactors(state), []
        for gone in self._turn_ms.keys() - part.due.keys():
            del self._turn_ms[gone]
        for due, body in self._unwritten(state, pending):
            if due.id not in self._turn_ms:
                self._turn_ms[due.id] = now_ms + 2 * pause_ms * self._place(state, due)
            if now_ms >= self._turn_ms[due.id]:
                found.append(Wish(due.kind, body))
        return found

    def left(self, state: State) -> int:
        """How many follow-ups are this node's to write, now or when its turn comes; none where a rule says no."""
        if not may_write(state, self.name):
            return 0
        due = reactors(state).due.items()
        return sum(not self._is_hopeless(state, id_) and self._body(state, one) is not None for id_, one in due)

    def due_ms(self, state: State, pending: Sequence[Record]) -> int | None:
        """When the next turn of this node comes; None while there is none, or it has written all that it may."""
        turns = [self._turn_ms.get(due.id) for due, _ in self._unwritten(state, pending)]
        return min((turn_ms for turn_ms in turns if turn_ms is not None), default=None)

    def _unwritten(self, state: State, pending: Sequence[Record]) -> Iterator[tuple[Due, Value]]:
        """What this node may write as things are, and has not."""
        part = reactors(state)
        if not part.due or not self.stays or not may_write(state, self.name):
            return
        written = {record.body.get("reaction") for record in pending}
        for id_, due in sorted(part.due.items()):
            if id_ not in written and not self._is_hopeless(state, id_):
                body = self._body(state, due)
                if body is not None:
                    yield due, body

    def drop(self, reaction: str, seal: str) -> None:
        """A rule says no to it, as long as nothing changes."""
        if seal != self._hopeless_at:
            self._hopeless, self._hopeless_at = set(), seal
        self._hopeless.add(reaction)

    def _is_hopeless(self, state: State, id_: str) -> bool:
        return state.seal == self._hopeless_at and id_ in self._hopeless

    def _place(self, state: State, due: Due) -> int:
        """How many others go first; of what is for one lease's holder, none."""
        if due.under:
            return 0
        writers = [m.name for m in members(state).by_log.values() if m.admitted and not WRITERS.isdisjoint(m.roles)]
        return sorted(writers, key=lambda name: sha256(f"{due.id}@{name}".encode()).digest()).index(self.name)

    def _body(self, state: State, due: Due) -> Value | None:
        body = body_of(due)
        if due.kind == "command.issue":
            if "to" in body and not may_write(state, body["to"]):
                return None
            body = {**body, "until": state.epoch + UNTIL_EPOCHS}
        if not due.under:
            return body
        held = leases(state).by_name.get(due.under)
        if held is None or held.holder != self.name:
            return None
        return {**body, "under": {"lease": held.name, "session": held.session, "token": held.token}}
