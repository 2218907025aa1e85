"""The ladder: states of the past, from which an old fork can be folded again without reading everything.

Knows: one file a rung, below the cache; the further back, the fewer.
Knows not: which rung is needed (`ledger` says how deep). Law CACHE: any of it may vanish, and costs time alone.

    ladder.climb(ledger.spine.rungs)      # keep these
    ladder.below(4711)                    # the newest state of epoch 4711 or older, or None
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import orjson

from orxaq_mesh import fold
from orxaq_mesh.home.files import atomic_write, read_json_cache
from orxaq_mesh.kinds import State

THIN = 4
"""Two rungs lie at most a quarter of their depth apart, so that what is folded twice is a part of what is new."""


class Ladder:
    """The rungs of one ledger, in one folder."""

    def __init__(self, folder: Path, ledger: str) -> None:
        self._folder, self._ledger = folder, ledger

    def climb(self, rungs: list[State]) -> None:
        """Keep these states, and forget those of the list; rungs that lie too close for their depth go."""
        for state in rungs:
            self._folder.mkdir(mode=0o700, exist_ok=True, parents=True)
            value = {"ledger": self._ledger, "state": fold.to_value(state)}
            atomic_write(self._folder / f"{state.epoch:010}-{state.records:010}.json", orjson.dumps(value))
        if rungs:
            self._thin()
        rungs.clear()

    def below(self, epoch: int) -> State | None:
        """The newest state that is not younger than an epoch. Younger ones may lie on a side that was left: they go."""
        for path, at, _ in reversed(self._rungs()):
            if at > epoch:
                path.unlink(missing_ok=True)
                continue
            kept = read_json_cache(path)
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                if kept["ledger"] == self._ledger:
                    return fold.from_value(kept["state"])
        return None

    def _thin(self) -> None:
        rungs = self._rungs()
        top = rungs[-1][2]
        kept = -1
        for number in range(1, len(rungs) - 1):
            before = rungs[max(kept, 0)][2]
            if rungs[number + 1][2] - before <= (top - before) // THIN:
                rungs[number][0].unlink(missing_ok=True)
            else:
                kept = number

    def _rungs(self) -> list[tuple[Path, int, int]]:
        """(file, epoch, records) of each rung, oldest first."""
        found = []
        for path in sorted(self._folder.glob("*-*.json")) if self._folder.is_dir() else ():
            epoch, _, records = path.stem.partition("-")
            if epoch.isdigit() and records.isdigit():
                found.append((path, int(epoch), int(records)))
        return found
