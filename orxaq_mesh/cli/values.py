"""Values as people write and read them: durations and ages.

Knows: `10m`, `1h30m`, `500ms`; "3 min".
Knows not: what they are for.

    duration_ms("1h30m")          # 5_400_000
    age(183_000)                  # "3 min"
"""

from __future__ import annotations

from datetime import datetime

from orxaq_mesh.orders.spans import UNITS_MS, duration_ms

__all__ = ["age", "ago", "duration_ms", "span", "took", "wall_ms"]


def age(ms: int) -> str:
    """A span as people say it: its largest unit, or its two largest where the first is small."""
    seconds = max(0, ms) // 1000
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 172_800:
        return f"{seconds // 3600} h"
    return f"{seconds // 86_400} d"


def took(ms: int) -> str:
    """How long something took: as `age`, but finer where it was short."""
    if ms < 1000:
        return f"{ms} ms"
    return f"{ms // 1000}.{ms % 1000 // 100} s" if ms < 120_000 else age(ms)


def span(ms: int) -> str:
    """A duration as it may be typed again: `10m`, `1h30m`, `500ms`."""
    said = ""
    for unit in ("d", "h", "m", "s", "ms"):
        number, ms = divmod(ms, UNITS_MS[unit])
        said += f"{number}{unit}" if number else ""
    return said or "0s"


def wall_ms(at: str) -> int | None:
    """Milliseconds since 1970 of a record's `at`; None where no calendar has it."""
    try:
        return int(datetime.fromisoformat(at).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None


def ago(at: str) -> str:
    """How long ago an `at` was by this machine's wall clock, for people; `?` where that cannot be said."""
    from orxaq_mesh.home.clock import Clock

    then_ms = wall_ms(at)
    return "?" if then_ms is None else age(Clock().wall() - then_ms)
