"""Values as people write and read them: durations and ages.

Knows: `10m`, `1h30m`, `500ms`; "3 min".
Knows not: what they are for.

    duration_ms("1h30m")          # 5_400_000
    age(183_000)                  # "3 min"
"""

from __future__ import annotations

import re
from datetime import datetime

from orxaq_mesh.errors import Usage

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"([0-9]{1,12})(ms|s|m|h|d)", re.ASCII)
_WHOLE = re.compile(r"(?:[0-9]{1,12}(?:ms|s|m|h|d))+", re.ASCII)


def duration_ms(text: str) -> int:
    """Milliseconds of `600` (seconds), `10m`, `1h30m`, `500ms`, `1d`.

    Raises:
        Usage: it is no duration; what is allowed is said.
    """
    if re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        total_ms = int(text) * 1000
    elif _WHOLE.fullmatch(text):
        total_ms = sum(int(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text))
    else:
        total_ms = 0
    if total_ms <= 0:
        raise Usage(f"{text[:40]!a} is no duration", hint="write 600 (seconds), 10m, 1h30m, 500ms or 1d; more than 0")
    return total_ms


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


def span(ms: int) -> str:
    """A duration as it may be typed again: `10m`, `1h30m`, `500ms`."""
    said = ""
    for unit in ("d", "h", "m", "s", "ms"):
        number, ms = divmod(ms, _UNITS_MS[unit])
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
