"""What a lease may answer: the project's own model, from outside.

Knows: the holder, the tokens that were seen, who waits; what each deed needs, and which state justifies each refusal.
Knows not: the fold, epochs, records, clocks. It is written anew from the laws, so that it can contradict the code.
Laws: FENCE (no renewal, release or write but by the holder, under the current token), EPOCH (a token is above all that
    came before it), C1 (one holder), SEEN (a read shows what is there).

A process is `node/session`. A result is a mapping, with the words of `--json`:

    {"verdict": "applied", "result": "granted", "token": 7}
    {"verdict": "refused", "rule": "LEASE-2", "holder": "oak/s", "token": 7}    the holder (None: free), where it was told
    {"holder": "oak/s", "token": 7, "queue": ["elm/s"]}                         of a read; free: None, and `last_token`

What a state leaves open is settled by whoever sees it: the token of a grant whose caller was never told, and who of
those that wait got a lease that became free. (The order of the queue, LEASE-5, is not this model's business.) Who
waits within one call (`wait`) is granted at one moment of it; until then nobody here knows of its place in the queue.
A refusal by a rule that is not in the tables below (LIVE, UNTIL, NODE-2, ...) is nothing that a lease could contradict.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tests.linear.history import Operation
from tests.linear.models import Model

Told = Mapping[str, Any]


class LeaseState(NamedTuple):
    """A lease.

    Attributes:
        holder: the process that holds it; None while it is free.
        token: the holder's; None where nobody was told it yet. Then it is above `floor`.
        floor: the next token is above this.
        queue: the processes that wait.
    """

    holder: str | None = None
    token: int | None = None
    floor: int = 0
    queue: frozenset[str] = frozenset()

    def given(self, holder: str, token: int | None) -> LeaseState:
        """It passes to another."""
        floor = self.floor if token is None else token
        return LeaseState(holder, token, floor, self.queue - {holder})

    def vacated(self, floor: int = 0) -> LeaseState:
        """The grant ends. A token that nobody saw was above the floor all the same."""
        return LeaseState(None, None, max(self.floor + (self.token is None), floor), self.queue)

    def has(self, token: int | None) -> bool:
        """Whether this can be the current token; None: it was not said which."""
        return token is None or (token > self.floor if self.token is None else token == self.token)

    def settled(self, token: int | None) -> LeaseState:
        """The same, now that the token is known."""
        return self if token is None or self.holder is None else self._replace(token=token, floor=token)


States = Iterator[LeaseState]
_SEE = ("read", "renew", "write")


class LeaseModel(Model):
    """See the module's banner."""

    name = "lease"
    operations = frozenset({"acquire", "take", "renew", "release", "break", "write", "read", "revoke"})
    initial = LeaseState()

    def step(self, state: LeaseState, operation: Operation) -> Sequence[LeaseState]:
        found: dict[LeaseState, None] = {}
        for view in _views(state):
            found |= dict.fromkeys(_DEEDS[operation.op](view, operation))
        return tuple(found)

    def only_sees(self, operation: Operation) -> bool:
        return operation.op in _SEE or (not operation.open and _refused(operation))

    def kin(self, operation: Operation) -> Hashable:
        return operation.process, operation.op, tuple(sorted((operation.args or {}).items()))

    def shown(self, state: LeaseState) -> str:
        token = f"above {state.floor}" if state.token is None else f"{state.token}"
        held = f"{state.holder} holds token {token}" if state.holder else f"it is free, its last token {state.floor}"
        return held + (f", and {', '.join(sorted(state.queue))} wait" if state.queue else "")


def _views(state: LeaseState) -> States:
    """A free lease for which others wait may be theirs already."""
    yield state
    if state.holder is None:
        yield from (state.given(waiter, None) for waiter in sorted(state.queue))


def _refused(operation: Operation) -> bool:
    return operation.result.get("verdict") in ("refused", "fenced")


def _seen(state: LeaseState, told: Told) -> States:
    """The state, if it is what somebody was shown."""
    if "holder" not in told:
        yield state
    elif told["holder"] is None:
        last = told.get("last_token")
        if state.holder is None and (last is None or last >= state.floor):
            yield state if last is None else state._replace(floor=last)
    elif told["holder"] == state.holder and state.has(told.get("token")):
        yield state.settled(told.get("token"))


# The deeds: what each comes to in a state, and which state justifies its refusal.


def _acquire(state: LeaseState, operation: Operation) -> States:
    me, args, told = operation.process, operation.args or {}, operation.result or {}
    waits = bool(args.get("queue") or args.get("wait"))
    apart = state.holder != me and me not in state.queue
    free = state.holder is None and (not state.queue or waits or me in state.queue)
    if operation.open:
        if apart and free:
            yield state.given(me, None)
        if apart and waits:
            yield state._replace(queue=state.queue | {me})
    elif _refused(operation):
        yield from _justified(state, operation, _ACQUIRE)
    elif told["result"] == "granted":
        if free and told["token"] > state.floor:
            yield state.given(me, told["token"])
        elif state.holder == me and (waits or told.get("rule") == "ONCE") and state.has(told["token"]):
            yield state.settled(told["token"])
    elif told.get("rule") == "ONCE":
        yield from [state] * (me in state.queue)
    elif apart:
        yield state._replace(queue=state.queue | {me})


def _take(state: LeaseState, operation: Operation) -> States:
    me, args, told = operation.process, operation.args or {}, operation.result or {}
    waits = bool(args.get("queue") or args.get("wait"))
    if not operation.open and _refused(operation):
        yield from _justified(state, operation, _TAKE)
        return
    if state.holder not in (None, me):
        left = state.vacated()
        alone = not state.queue - {me}
        if told.get("result") in (None, "passed"):
            yield left._replace(queue=left.queue | ({me} if waits else set()))
        above = operation.open or (told["result"] == "granted" and told["token"] > left.floor)
        if above and (alone or me in state.queue):
            yield left.given(me, told.get("token"))
    elif waits and not operation.open:
        yield from _acquire(state, operation)


def _under(state: LeaseState, operation: Operation) -> States:
    """A renewal or a write counts under the current token and by its holder, and is fenced otherwise."""
    mine, token = _mine(state, operation)
    if operation.open:
        return
    if _refused(operation):
        yield from _justified(state, operation, {"FENCE": _stale})
    elif mine:
        yield state.settled(token)


def _release(state: LeaseState, operation: Operation) -> States:
    me, told = operation.process, operation.result or {}
    mine, token = _mine(state, operation)
    if not operation.open and _refused(operation):
        yield from _justified(state, operation, {"FENCE": lambda s, o: me not in s.queue and _stale(s, o)})
    elif told.get("result") == "withdrawn" or (operation.open and me in state.queue):
        yield state._replace(queue=state.queue - {me})
    elif mine and told.get("result") in (None, "released"):
        yield state.settled(token).vacated()


def _break(state: LeaseState, operation: Operation) -> States:
    token = _token(operation)
    if not operation.open and _refused(operation):
        yield from _justified(state, operation, {"LEASE-9": lambda s, o: s.holder is None or _other(s, token)})
    elif state.holder is not None and state.has(token):
        moved_on = (operation.result or {}).get("epoch") or 1  # who waited may hold this very epoch's token by now
        yield state.settled(token).vacated(moved_on - 1)


def _read(state: LeaseState, operation: Operation) -> States:
    if not operation.open and state.queue <= set(operation.result.get("queue", state.queue)):
        yield from _seen(state, operation.result)


def _revoke(state: LeaseState, operation: Operation) -> States:
    """A node loses its standing: what it holds becomes free, its places in queues are gone."""
    node = f"{operation.args['node']}/"
    left = state._replace(queue=frozenset(each for each in state.queue if not each.startswith(node)))
    yield left.vacated() if (state.holder or "").startswith(node) else left


_DEEDS: Mapping[str, Callable[[LeaseState, Operation], States]] = {
    "acquire": _acquire,
    "take": _take,
    "renew": _under,
    "write": _under,
    "release": _release,
    "break": _break,
    "read": _read,
    "revoke": _revoke,
}


# Refusals.

Reason = Callable[[LeaseState, Operation], bool]


def _justified(state: LeaseState, operation: Operation, reasons: Mapping[str, Reason]) -> States:
    """The state, if in it the rule that was told says no, and it shows what was told of it."""
    reason = reasons.get(operation.result["rule"])
    if reason is None or reason(state, operation):
        yield from _seen(state, operation.result)


def _by_other(state: LeaseState, operation: Operation) -> bool:
    return state.holder is not None and state.holder != operation.process


def _has_or_waits(state: LeaseState, operation: Operation) -> bool:
    return operation.process == state.holder or operation.process in state.queue


def _moved_on(state: LeaseState, operation: Operation) -> bool:
    """Refused before anything was signed: it was free. A record may also have met a renewal, which nobody sees."""
    return state.holder is None or operation.result.get("record") is not None


_ACQUIRE: Mapping[str, Reason] = {
    "LEASE-2": _by_other,
    "LEASE-3": lambda state, operation: state.holder is None,
    "LEASE-4": _has_or_waits,
}
_TAKE: Mapping[str, Reason] = {
    "LEASE-3": _by_other,
    "LEASE-4": lambda state, operation: state.holder == operation.process,
    "LEASE-8": _moved_on,
    "TIME": _by_other,
}


def _token(operation: Operation) -> int | None:
    """The token that a deed named: as called, or as told."""
    token: int | None = (operation.args or {}).get("token")
    if token is None and not operation.open and not _refused(operation):
        token = operation.result.get("token")
    return token


def _mine(state: LeaseState, operation: Operation) -> tuple[bool, int | None]:
    token = _token(operation)
    return state.holder == operation.process and state.has(token), token


def _other(state: LeaseState, token: int | None) -> bool:
    """Whether this can be another token than the current one. One that nobody saw is whatever it needs to be."""
    return token is not None and (state.token is None or token != state.token)


def _stale(state: LeaseState, operation: Operation) -> bool:
    return state.holder != operation.process or _other(state, _token(operation))
