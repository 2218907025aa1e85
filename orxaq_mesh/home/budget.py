"""How soon the next push may go: a token bucket that outlives the process.

Knows: a rate, a burst, and one number on disk. Knows not: what is pushed. Trap C19: a push for each renewal exhausts the
host; law CACHE: the file may be deleted at any time.

    budget = Budget(home.cache / "budget.json", per_minute=6, burst=6)
    budget.take(clock.now_ms())                  # 0: push now; 8400: ask again in 8.4 s

Shared by the processes of a node, one after the other, under the `node` lock.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from orxaq_mesh.home.clock import boot_id
from orxaq_mesh.home.files import atomic_write, read_json_cache


def spend(full_at_ms: int, now_ms: int, interval_ms: int, burst: int) -> tuple[int, int]:
    """One attempt to take a token from a bucket, kept as the moment at which it will be full again.

    Args:
        full_at_ms: that moment; one further away than an empty bucket needs cannot be, and counts as empty.
        now_ms: the same clock, now.
        interval_ms: time in which one token comes back.
        burst: tokens in a full bucket.

    Returns:
        How long to wait (0: the token is taken), and the new moment.
    """
    full_at_ms = min(max(full_at_ms, now_ms), now_ms + burst * interval_ms)
    wait_ms = full_at_ms + interval_ms - (now_ms + burst * interval_ms)
    return (wait_ms, full_at_ms) if wait_ms > 0 else (0, full_at_ms + interval_ms)


class Budget:
    """A bucket in a file.

    Args:
        path: a small file under `cache/`.
        per_minute: tokens that come back in a minute.
        burst: tokens in a full bucket.
        boot: this run of the machine; what another run wrote is on another clock, and counts as a full bucket.
    """

    def __init__(self, path: Path, per_minute: int, burst: int, boot: str | None = None) -> None:
        self._path, self._burst, self._boot = path, burst, boot or boot_id()
        self._interval_ms = -(-60_000 // per_minute)

    def take(self, now_ms: int) -> int:
        """Take a token: 0 is yes, else the milliseconds after which there is one.

        Raises:
            MeshFault: the file cannot be written; the token is not taken.
        """
        wait_ms, full_at_ms = spend(self._read(), now_ms, self._interval_ms, self._burst)
        if not wait_ms:
            atomic_write(self._path, orjson.dumps({"boot": self._boot, "full_at_ms": full_at_ms}))
        return wait_ms

    def wait_ms(self, now_ms: int) -> int:
        """How long until `take` would say yes; takes nothing."""
        return spend(self._read(), now_ms, self._interval_ms, self._burst)[0]

    def _read(self) -> int:
        kept = read_json_cache(self._path)
        if not isinstance(kept, dict) or kept.get("boot") != self._boot:
            return 0
        full_at_ms = kept.get("full_at_ms")
        return full_at_ms if type(full_at_ms) is int else 0
