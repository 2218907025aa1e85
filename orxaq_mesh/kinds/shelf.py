"""A dict and a sorted list that are cheap to copy: a copy shares what neither of the two has changed since.

Knows: names and values, and what is less than what.
Knows not: what they are. Values must not be changed in place.

    twin = shelf.copy()          # costs the same however many there are
    twin["a"] = 1                # shelf is as it was
    ranks.add((3, "b"))          # in its place, among however many
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, Generic, TypeVar

T = TypeVar("T")
S = TypeVar("S", bound=tuple[Any, ...])

_BUCKETS = 2048
_RUN = 256


class Shelf(Generic[T]):
    """Name -> value, in buckets; a bucket is copied when it is first written to after a copy."""

    __slots__ = ("_buckets", "_own", "_size")

    def __init__(self, items: Iterable[tuple[str, T]] = ()) -> None:
        self._buckets: list[dict[str, T]] = [{}] * _BUCKETS
        self._own: set[int] = set()
        self._size = 0
        for name, value in items:
            self[name] = value

    def copy(self) -> Shelf[T]:
        """One that shares nothing changeable with this."""
        twin: Shelf[T] = Shelf()
        twin._buckets, twin._size = list(self._buckets), self._size
        self._own = set()  # from now on these buckets are the twin's as well
        return twin

    def get(self, name: str) -> T | None:
        """The value of a name, if there is one."""
        return self._buckets[hash(name) % _BUCKETS].get(name)

    def __setitem__(self, name: str, value: T) -> None:
        bucket = self._to_write(name)
        self._size += name not in bucket
        bucket[name] = value

    def discard(self, name: str) -> None:
        """Without this name."""
        if self.get(name) is not None:
            del self._to_write(name)[name]
            self._size -= 1

    def _to_write(self, name: str) -> dict[str, T]:
        number = hash(name) % _BUCKETS
        if number not in self._own:
            self._buckets[number] = dict(self._buckets[number])
            self._own.add(number)
        return self._buckets[number]

    def __len__(self) -> int:
        return self._size

    def items(self) -> Iterator[tuple[str, T]]:
        """All names and values, sorted by name: whatever the hash seed."""
        pairs = [(name, value) for bucket in self._buckets for name, value in bucket.items()]
        return iter(sorted(pairs, key=lambda pair: pair[0]))

    def values(self) -> Iterator[T]:
        """All values, sorted by their names."""
        return (value for _, value in self.items())


class Ranks(Generic[S]):
    """Different tuples, sorted, in runs of at most `2 * _RUN` that are never changed, only replaced."""

    __slots__ = ("_runs",)

    def __init__(self, values: Iterable[S] = ()) -> None:
        every = sorted(values)
        self._runs = [tuple(every[at : at + _RUN]) for at in range(0, len(every), _RUN)]

    def copy(self) -> Ranks[S]:
        """One that shares nothing changeable with this."""
        twin: Ranks[S] = Ranks()
        twin._runs = list(self._runs)
        return twin

    def add(self, value: S) -> None:
        """Put it into its place."""
        number = self._place(value)
        run = list(self._runs[number]) if self._runs else []
        insort(run, value)
        halves = [run] if len(run) <= 2 * _RUN else [run[:_RUN], run[_RUN:]]
        self._runs[number : number + 1] = map(tuple, halves)

    def discard(self, value: S) -> None:
        """Without it; as it was, where it is not there."""
        number = self._place(value)
        run = self._runs[number] if self._runs else ()
        at = bisect_left(run, value)
        if run[at : at + 1] == (value,):
            rest = run[:at] + run[at + 1 :]
            self._runs[number : number + 1] = [rest] if rest else []

    def _place(self, value: S) -> int:
        """Which run it belongs to."""
        return max(0, bisect_right(self._runs, value, key=lambda run: run[0]) - 1)

    def __iter__(self) -> Iterator[S]:
        return chain.from_iterable(self._runs)

    def __len__(self) -> int:
        return sum(map(len, self._runs))
