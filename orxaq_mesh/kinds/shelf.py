"""A dict that is cheap to copy: a copy shares what neither of the two has changed since.

Knows: names and values.
Knows not: what they are. Values must not be changed in place.

    twin = shelf.copy()          # costs the same however many there are
    twin["a"] = 1                # shelf is as it was
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_BUCKETS = 512


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
