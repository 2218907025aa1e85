"""Cuts a schedule that breaks something down to the commands that it takes.

Knows: delta debugging (chunks are left out, ever smaller ones), then the words of the commands that are left.
Knows not: what a command does; it asks again and again whether the same invariant still breaks.

    shrunk = shrink(broke.schedule, broke.invariant)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tests.sim.law import Broke
from tests.sim.running import replay

MAX_REPLAYS = 600
MAX_SECONDS = 60

Fails = Callable[[list[str]], list[str] | None]


class Spent(Exception):
    """Enough was tried."""


def breaks(invariant: int | str) -> Fails:
    """What is left of a schedule up to where this invariant breaks in it; None if it does not."""

    def fails(lines: list[str]) -> list[str] | None:
        try:
            replay(lines)
        except Broke as broke:
            return broke.schedule if broke.invariant == invariant else None
        except (KeyError, ValueError, AttributeError):
            return None  # it makes no sense any more
        return None

    return fails


def shrink(schedule: list[str], invariant: int | str, fails: Fails | None = None) -> list[str]:
    """The shortest schedule found that breaks the same invariant. Its first line (the fleet) stays."""
    search = _Search(fails or breaks(invariant), schedule)
    try:
        search.chunks()
        search.words()
        search.chunks()
    except Spent:
        pass
    return search.best


class _Search:
    def __init__(self, fails: Fails, schedule: list[str]) -> None:
        self.fails, self.best, self.left = fails, schedule, MAX_REPLAYS
        self.until_s = time.monotonic() + MAX_SECONDS

    def tries(self, lines: list[str]) -> bool:
        """Whether these still fail; if so they are the best so far."""
        if not self.left or time.monotonic() > self.until_s:
            raise Spent
        self.left -= 1
        found = self.fails(lines)
        if found is None:
            return False
        self.best = found
        return True

    def chunks(self) -> None:
        size = max(1, (len(self.best) - 1) // 2)
        while size:
            at = len(self.best) - size
            while at > 0:
                if self.tries(self.best[:at] + self.best[at + size :]):
                    at = min(at, len(self.best))
                at -= size
            size //= 2

    def words(self) -> None:
        """Leave out the words of each command that are not needed, and shorten its numbers."""
        for at in range(1, len(self.best)):
            if at >= len(self.best):
                return
            for line in list(_simpler(self.best[at])):
                if at < len(self.best) and self.tries([*self.best[:at], line, *self.best[at + 1 :]]):
                    break


def _simpler(line: str) -> Iterator[str]:
    words = line.split()
    if words[0] == "go":
        yield " ".join(words[:2])
        for at in range(len(words) - 1, 1, -1):
            yield " ".join(words[:at] + words[at + 1 :])
    elif words[0] == "ask":
        for at in range(len(words) - 1, 2, -1):
            if words[at].partition("=")[0] in ("deadline", "priority", "queue", "wait"):
                yield " ".join(words[:at] + words[at + 1 :])
