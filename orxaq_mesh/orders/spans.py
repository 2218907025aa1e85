"""Spans of time as people write them: `10m`, `1h30m`, `500ms`, `600` (seconds).

Knows: the words.
Knows not: what they are for.

    duration_ms("1h30m")          # 5_400_000
"""

from __future__ import annotations

import re

from orxaq_mesh.errors import Usage

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
ALLOWED = "write 600 (seconds), 10m, 1h30m, 500ms or 1d; more than 0"
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
        total_ms = sum(int(number) * UNITS_MS[unit] for number, unit in _PART.findall(text))
    else:
        total_ms = 0
    if total_ms <= 0:
        raise Usage(f"{text[:40]!a} is no duration", hint=ALLOWED)
    return total_ms
