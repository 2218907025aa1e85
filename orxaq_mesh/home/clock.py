"""What time it is: every reading of a clock in the project is here.

Knows: the boot-time clock, which counts sleep and never steps; the wall clock, which is for people.
Knows not: what is measured. Keeps law TIME: the fold reads no clock, silence is counted on `now_ms` alone.

    begun = clock.now_ms()                       # 5_182_233: ms since this machine started, sleep included
    stamp(clock.wall())                          # "2026-11-20T09:30:00.000Z"
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class Clock:
    """This machine's clocks. The simulator has its own with the same two methods."""

    def now_ms(self) -> int:
        """Milliseconds on the boot-time clock: only grows, counts sleep, begins anew at each boot."""
        return _boot_time_ns() // 1_000_000

    def wall(self) -> int:
        """Milliseconds since 1970 by the wall clock, which may step. For people, never for a decision."""
        return time.time_ns() // 1_000_000


def _boot_time_ns() -> int:
    """Nanoseconds since boot, sleep included where the system can tell.

    CLOCK_BOOTTIME on Linux; on macOS CLOCK_MONOTONIC_RAW, for the clock named UPTIME stands still there during sleep;
    elsewhere the monotonic clock, the best there is.
    """
    for name in ("CLOCK_BOOTTIME", "CLOCK_MONOTONIC_RAW"):
        clock = getattr(time, name, None)
        if clock is not None:
            return time.clock_gettime_ns(clock)
    return time.monotonic_ns()


def stamp(wall_ms: int) -> str:
    """A record's `at`: UTC, to the millisecond, e.g. 2026-11-20T09:30:00.000Z."""
    seconds, rest_ms = divmod(wall_ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest_ms:03}Z"


@cache
def boot_id() -> str:
    """Names this run of the machine: two readings of `now_ms` compare only under one boot id.

    Where the system has no such id it is the minute in which the machine started, by the wall clock. A stepped wall
    clock then looks like a reboot, which only makes us believe less.
    """
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, ValueError):
        return f"boot-{(time.time_ns() - _boot_time_ns()) // 60_000_000_000}"
