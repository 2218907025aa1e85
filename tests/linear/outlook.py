"""Looking ahead: whether somebody's answer has become impossible by what was placed.

Knows: who must find which state, and who can make it again.
Knows not: the search.

A write over the value 3 is a wrong turn if a read of 3 is still to come, and every write of 3 that was called before
that read returned is placed already. So is an append that the next get does not show, if no put can undo it. To see
that at once, and not where the read is stuck, is what makes histories of many concurrent callers feasible.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, islice
from math import inf
from typing import Any

from tests.linear.history import Operation
from tests.linear.models import Model

LOOKAHEAD = 32
"""So many of those who return next are looked at."""


MAX_TRIES = 300
"""So many appends are tried to see whether a text can still grow to another."""


class _Topic:
    """Those who want states of one topic, by rank; and those who give them, by their call."""

    def __init__(self) -> None:
        self.wants: list[tuple[int, int, Any]] = []
        self.gives: list[tuple[float, int, Any]] = []
        self.open_gives: list[tuple[float, int, Any]] = []


class Outlook:
    """Of one search; see the module's banner."""

    def __init__(self, operations: Sequence[Operation], rank: Mapping[int, int], model: Model) -> None:
        self._operations, self._model = operations, model
        self._topics: dict[Any, _Topic] = {}
        self._adders: dict[str, list[tuple[float, int]]] = {}
        for index, operation in enumerate(operations):
            for state in () if operation.open else model.wants(operation):
                self._topic(state).wants.append((rank[index], index, state))
            if text := model.adds(operation):
                self._adders.setdefault(text, []).append((operation.invoked, index))
            for state in model.gives(operation):
                topic = self._topic(state)
                given = topic.open_gives if operation.open else topic.gives
                given.append((operation.invoked, index, state))
        self._lengths = sorted({len(text) for text in self._adders})
        for topic in self._topics.values():
            topic.wants.sort(key=lambda want: want[0])
            topic.gives.sort(key=lambda give: give[0])

    def hopeless(self, initial: Any) -> bool:
        """Whether somebody found what was not there any more, or never: whoever gave it was followed by another giver.

        This is seen at a glance, where the search would have to try every order of all that came before.
        """
        given = sorted((self._operations[i].invoked, self._returned(i)) for i in self._givers())
        calls = [invoked for invoked, _ in given]
        earliest = [*accumulate((returned for _, returned in reversed(given)), min)]
        earliest.reverse()  # the first return of those from here on

        def followed(since: float, before: float) -> bool:
            at = bisect_right(calls, since)
            return at < len(calls) and earliest[at] < before

        nobody = bytes(len(self._operations))
        for topic in self._topics.values():
            for _, index, wanted in topic.wants:
                seen = self._operations[index]
                until = seen.returned or 0
                first = self._grows(initial, wanted, until, nobody) and not followed(-inf, seen.invoked)
                if not first and not self._may_see(topic, seen, wanted, followed):
                    return True
        return False

    def _may_see(self, topic: _Topic, seen: Operation, wanted: Any, followed: Callable[[float, float], bool]) -> bool:
        until, nobody = seen.returned or 0, bytes(len(self._operations))
        at = bisect_right(topic.gives, until, key=lambda give: give[0])
        return any(
            self._grows(given, wanted, until, nobody) and not followed(self._returned(giver), seen.invoked)
            for _, giver, given in chain(reversed(topic.gives[:at]), topic.open_gives)
            if self._operations[giver].invoked <= until
        )

    def _givers(self) -> Iterator[int]:
        """Of known result: an open one need not have happened."""
        return (giver for topic in self._topics.values() for _, giver, _ in topic.gives)

    def _returned(self, index: int) -> float:
        returned = self._operations[index].returned
        return inf if returned is None else returned

    def _topic(self, state: Any) -> _Topic:
        return self._topics.setdefault(self._model.topic(state), _Topic())

    def lost(self, before: Any, after: Any, base: int, placed: Sequence[int], since: float | None) -> bool:
        """Whether the end of a state leaves somebody without what it must find.

        Args:
            before: the state that ended.
            after: the one that followed.
            base: all of a lower rank are placed.
            placed: by index, who is placed.
            since: all that were called before are placed.
        """
        topic = self._topics.get(self._model.topic(before))
        if topic is None:
            return False
        at = bisect_left(topic.wants, base, key=lambda want: want[0])
        asked: list[Any] = []
        for _, index, wanted in islice(topic.wants, at, at + LOOKAHEAD):
            if placed[index] or wanted in asked:  # who wants the same later can be helped by more
                continue
            asked.append(wanted)
            until = self._operations[index].returned or 0
            if not self._grows(after, wanted, until, placed) and not self._can_come(
                topic, until, wanted, placed, since
            ):
                return True
        return False

    def _can_come(self, topic: _Topic, until: float, wanted: Any, placed: Sequence[int], since: float | None) -> bool:
        """Whether somebody who is not placed yet gives what is wanted, or what grows to it, in time."""
        for invoked, giver, given in topic.open_gives:
            if invoked <= until and not placed[giver] and self._grows(given, wanted, until, placed):
                return True
        at = bisect_right(topic.gives, until, key=lambda give: give[0])
        while since is not None and at and topic.gives[at - 1][0] >= since:
            at -= 1
            if not placed[topic.gives[at][1]] and self._grows(topic.gives[at][2], wanted, until, placed):
                return True
        return False

    def _grows(self, state: Any, wanted: Any, until: float, placed: Sequence[int]) -> bool:
        """Whether those who are not placed yet, and called in time, can append what a state lacks; if in doubt, yes."""
        if not self._model.leads(state, wanted):
            return False
        rest, taken, tries = self._model.rest(state, wanted), list[int](), 0
        ways: list[tuple[int, int, int]] = [(0, 0, -1)]  # where it goes on, after how many appends, the last of them
        while ways:
            at, depth, last = ways.pop()
            taken[max(0, depth - 1) :] = [last] * (depth > 0)
            tries += 1
            if at == len(rest) or tries > MAX_TRIES:
                return True
            for length in self._lengths:
                adder = self._adder(rest[at : at + length], until, placed, taken)
                if adder is not None:
                    ways.append((at + length, depth + 1, adder))
        return False

    def _adder(self, text: str, until: float, placed: Sequence[int], taken: Sequence[int]) -> int | None:
        for invoked, index in self._adders.get(text, ()):
            if invoked <= until and not placed[index] and index not in taken:
                return index
        return None
