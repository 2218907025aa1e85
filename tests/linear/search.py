"""The search for an order in which one after the other explains every answer.

Knows: calls and returns, what was placed already, where it was before with the same state.
Knows not: what an operation means; a model says what may follow.
Sources: Wing & Gong 1993, Lowe 2017; the banner of the package says what was added.

    Search(operations, register).run(deadline)       # True, False, or None where the time was up

Operations whose result is known stand in a linked list of calls and returns. Whichever was called before the first
return in it may be placed next; what is placed leaves the list. `rank` is the place among the returns: all of a lower
rank than `base` are placed, and `ahead` is a bit for each of those placed from `base` on, so that a long history makes
no long keys. Open operations wait beside the list, one queue for each kin.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.linear.history import Operation
from tests.linear.models import Model
from tests.linear.outlook import Outlook

_TICKS = 1024
"""So many steps go by between two looks at the clock."""

Choice = tuple[int, Any]


class _Step(NamedTuple):
    """How to go back to where a choice was made."""

    placed: int
    state: Any
    choices: list[Choice]
    base: int
    ahead: int


class Search:
    """One history of one lease.

    Attributes:
        operations: those of known result, in the order of their calls, then the open ones.
        order, state: what `run` found, and the state it ends in; without an order: the longest beginning of one.
        stuck: the operation that had to come next, where there is no order.
    """

    def __init__(self, operations: Sequence[Operation], model: Model) -> None:
        self.model = model
        known = sorted((o for o in operations if not o.open), key=lambda o: o.invoked)
        unknown = sorted((o for o in operations if o.open), key=lambda o: o.invoked)
        self.operations = [*known, *unknown]
        self.order: list[Operation] = []
        self.state = model.initial
        self.stuck: Operation | None = None
        self._best = -1
        self._known = len(known)
        self._only_sees = [model.only_sees(operation) for operation in known]
        self._by_return = sorted(range(len(known)), key=lambda i: known[i].returned or 0)
        self._rank = {index: rank for rank, index in enumerate(self._by_return)}
        self._link()
        self._queue_up()
        self._base = self._ahead = self._spent = 0
        self._path: list[_Step] = []
        self._outlook = Outlook(self.operations, self._rank, model)
        self._placed = bytearray(len(self.operations))
        self._been: dict[tuple[int, int, Any], list[int]] = {}

    def _link(self) -> None:
        """The list: `i` is the call of operation i, `known + i` its return; at equal times calls come first."""
        size = self._known
        calls = [(self.operations[i].invoked, 0, i) for i in range(size)]
        returns = [(self.operations[i].returned or 0, 1, size + i) for i in range(size)]
        entries = [entry for _, _, entry in sorted(calls + returns)]
        self._head = self._tail = 2 * size
        self._next, self._before = [0] * (2 * size + 1), [0] * (2 * size + 1)
        for one, other in zip([self._head, *entries], [*entries, self._tail], strict=True):
            self._next[one], self._before[other] = other, one

    def _queue_up(self) -> None:
        kins: dict[Any, list[int]] = {}
        for index in range(self._known, len(self.operations)):
            kins.setdefault(self.model.kin(self.operations[index]), []).append(index)
        self._kins = list(kins.values())
        self._kin_of = {index: number for number, kin in enumerate(self._kins) for index in kin}
        self._turn = [0] * len(self._kins)

    def run(self, deadline: float | None = None) -> bool | None:
        """Whether there is an order; None where `time.monotonic()` passed the deadline before that was clear."""
        state = self.model.initial
        if self._outlook.hopeless(state):
            return False
        choices = self._choices(state) if self._known else []
        ticks = 0
        while self._base < self._known:
            if not choices:
                self._note(state)
                if not self._path:
                    return False
                state, choices = self._back()
                continue
            index, following = choices.pop()
            self._path.append(_Step(index, state, choices, self._base, self._ahead))
            self._place(index)
            if following is not state and (self._hopeless(state, following) or self._was_here(following)):
                state, choices = self._back()
                continue
            state = following
            choices = self._choices(state) if self._base < self._known else []
            ticks += 1
            if ticks % _TICKS == 0 and deadline is not None and time.monotonic() > deadline:
                self._note(state)
                return None
        self.order, self.state, self.stuck = self._so_far(), state, None
        return True

    def _choices(self, state: Any) -> list[Choice]:
        """What may be placed next, the best last. What only sees, and sees what is there, leaves no choice."""
        step, following, size = self.model.step, self._next, self._known
        found: list[Choice] = []
        entry = following[self._head]
        while entry < size:
            for after in step(state, self.operations[entry]):
                if self._only_sees[entry] and after == state:
                    return [(entry, state)]
                found.append((entry, after))
            entry = following[entry]
        if len(found) > 1:
            found.sort(key=lambda choice: -self._rank[choice[0]])
        return [*self._open_choices(state), *found] if self._kins else found

    def _open_choices(self, state: Any) -> list[Choice]:
        last = self.operations[self._by_return[self._base]].returned or 0
        found: list[Choice] = []
        for kin, turn in zip(self._kins, self._turn, strict=True):
            if turn < len(kin) and self.operations[kin[turn]].invoked <= last:
                after = self.model.step(state, self.operations[kin[turn]])
                found += [(kin[turn], each) for each in after if each != state]
        return found

    def _place(self, index: int) -> None:
        self._placed[index] = 1
        if index >= self._known:
            self._spent |= 1 << (index - self._known)
            self._turn[self._kin_of[index]] += 1
            return
        for entry in (index, self._known + index):
            before, after = self._before[entry], self._next[entry]
            self._next[before], self._before[after] = after, before
        self._ahead |= 1 << (self._rank[index] - self._base)
        while self._ahead & 1:
            self._ahead >>= 1
            self._base += 1

    def _back(self) -> tuple[Any, list[Choice]]:
        """Undo the last choice."""
        index, state, choices, self._base, self._ahead = self._path.pop()
        self._placed[index] = 0
        if index >= self._known:
            self._spent &= ~(1 << (index - self._known))
            self._turn[self._kin_of[index]] -= 1
            return state, choices
        for entry in (self._known + index, index):
            before, after = self._before[entry], self._next[entry]
            self._next[before] = self._before[after] = entry
        return state, choices

    def _hopeless(self, state: Any, following: Any) -> bool:
        """Whether an operation that is not placed yet can no longer find what it must find."""
        first = self._next[self._head]
        since = self.operations[first].invoked if first < self._known else None
        return self._outlook.lost(state, following, self._base, self._placed, since)

    def _was_here(self, state: Any) -> bool:
        """Whether the same was placed before with the same outcome, for no more open operations than now."""
        spent = self._been.setdefault((self._base, self._ahead, state), [])
        if any(earlier & self._spent == earlier for earlier in spent):
            return True
        spent.append(self._spent)
        return False

    def _note(self, state: Any) -> None:
        """Nothing fits here. Remember how it came to this, if no other way led further."""
        if self._best < self._base < self._known:
            self._best, self.order, self.state = self._base, self._so_far(), state
            self.stuck = self.operations[self._by_return[self._base]]

    def _so_far(self) -> list[Operation]:
        return [self.operations[step.placed] for step in self._path]
