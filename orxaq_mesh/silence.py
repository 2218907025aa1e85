"""Watched silence: how long a holder has said nothing, as law TIME counts it.

Knows: readings of the hub (when each began and ended on one's own boot-time clock) and what each showed.
Knows not: clocks, wall time, the ledger.
Laws: TIME. Silence counts from the end of the first reading that showed a lease's present (token, last record) to
    the beginning of the last one that still did, and only while readings were at most a third of the ttl apart.

    watch = Watch()
    watch.saw("deploy", key=("40", "<record id>"), ttl_ms=60_000, begun_ms=0, ended_ms=20)
    watch.watched_ms("deploy")          # 0; a reading later, begun at 15_000: 14_980
"""

from __future__ import annotations

from typing import NamedTuple

Key = tuple[int, str]


class Silence(NamedTuple):
    """What was seen of one lease: its (token, last record), since when, and the last reading that still showed it."""

    key: Key
    since_ms: int
    begun_ms: int


class Watch:
    """The silences of all leases that somebody holds. A restart begins with an empty one (law TIME)."""

    def __init__(self) -> None:
        self._silences: dict[str, Silence] = {}

    def saw(self, lease: str, key: Key, ttl_ms: int, begun_ms: int, ended_ms: int) -> None:
        """A reading of the hub, begun and ended then, showed this lease with this (token, last record)."""
        old = self._silences.get(lease)
        unbroken = old is not None and old.key == key and ended_ms - old.begun_ms <= ttl_ms // 3
        since = old.since_ms if old is not None and unbroken else ended_ms
        self._silences[lease] = Silence(key, since, begun_ms)

    def forget(self, keep: set[str]) -> None:
        """Stop watching every lease but these."""
        self._silences = {lease: silence for lease, silence in self._silences.items() if lease in keep}

    def watched_ms(self, lease: str, key: Key) -> int:
        """How long this lease has been silent under this key; 0 if it was not seen so."""
        silence = self._silences.get(lease)
        return max(0, silence.begun_ms - silence.since_ms) if silence and silence.key == key else 0
