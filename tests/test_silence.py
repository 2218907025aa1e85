"""TIME: what counts as watched silence, and what begins it anew."""

from __future__ import annotations

import pytest

from orxaq_mesh.silence import Watch

KEY, TTL_MS = (7, "r"), 9000


def watched(readings: list[tuple[int, int]], key: tuple[int, str] = KEY) -> int:
    watch = Watch()
    for begun_ms, ended_ms in readings:
        watch.saw("deploy", KEY, TTL_MS, begun_ms, ended_ms)
    return watch.watched_ms("deploy", key)


def test_TIME_silence_runs_from_the_end_of_the_first_reading_to_the_beginning_of_the_last() -> None:
    assert watched([(0, 40)]) == 0
    assert watched([(0, 40), (2000, 2100)]) == 1960
    assert watched([(0, 40), (2000, 2100), (4000, 4001)]) == 3960


@pytest.mark.parametrize(("gap_ms", "silent_ms"), [(3000, 2900), (3001, 0)])
def test_TIME_readings_lie_at_most_a_third_of_the_ttl_apart(gap_ms: int, silent_ms: int) -> None:
    """From the beginning of one to the end of the next, so a slow reading counts as a gap too."""
    assert watched([(0, 50), (gap_ms - 50, gap_ms)]) == silent_ms


def test_C33_an_outage_a_sleep_or_a_restart_begins_the_silence_anew() -> None:
    before = [(at, at + 10) for at in range(0, 8001, 2000)]
    after = [(at, at + 10) for at in range(20_000, 24_001, 2000)]
    assert watched(before) == 7990
    assert watched(before + after) == 3990
    assert Watch().watched_ms("deploy", KEY) == 0


def test_TIME_a_sign_of_life_or_a_new_token_begins_it_anew() -> None:
    watch = Watch()
    watch.saw("deploy", KEY, TTL_MS, 0, 10)
    watch.saw("deploy", KEY, TTL_MS, 2000, 2010)
    watch.saw("deploy", (7, "renewal"), TTL_MS, 4000, 4010)
    assert watch.watched_ms("deploy", KEY) == 0
    assert watch.watched_ms("deploy", (7, "renewal")) == 0
    watch.saw("deploy", (7, "renewal"), TTL_MS, 6000, 6010)
    assert watch.watched_ms("deploy", (7, "renewal")) == 1990


def test_what_is_no_longer_held_is_no_longer_watched() -> None:
    watch = Watch()
    for begun_ms in (0, 2000):
        watch.saw("deploy", KEY, TTL_MS, begun_ms, begun_ms)
        watch.saw("db", KEY, TTL_MS, begun_ms, begun_ms)
    watch.forget({"db"})
    assert (watch.watched_ms("deploy", KEY), watch.watched_ms("db", KEY)) == (0, 2000)
