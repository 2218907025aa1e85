"""Every schedule keeps the laws: a thousand short ones here, long ones by `make sim`."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.sim import Settings, run

CHUNK = 50
STEPS = 12


@pytest.mark.parametrize("first", range(0, 1000, CHUNK))
def test_SET_FENCE_PUSH_TIME_LIVE_FORK_hold_in_seeded_schedules(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run(Settings.of(seed, STEPS)._replace(real=seed % 50 == 0))


@pytest.mark.parametrize("seed", range(6))
def test_SET_FORK_hold_in_longer_schedules(seed: int) -> None:
    run(Settings.of(seed, 80))


def test_TASK_6_COMMAND_3_REACTOR_2_hold_while_a_fleet_works_and_fails() -> None:
    outside: Counter[str] = Counter()
    for seed in range(8):
        outside += run(Settings.of(seed, 200)._replace(work=True)).labour.counts
    assert outside["runs outside"] > 20


def test_REVIEW_1_holds_while_some_ask_and_others_approve_reject_and_fail() -> None:
    held, ends = 0, Counter[str]()
    for seed in range(18):
        world = run(Settings.of(seed, 150)._replace(reviewed=True))
        held += world.judge.held
        ends.update(verdict.rule for (record, _), verdict in world.judge.judged.items() if record.endswith("again"))
    assert held > 10
    assert {"LEASE-7", "REVIEW-4", "UNTIL"} <= set(ends), ends


def test_WORK_2_in_a_calm_fleet_nobody_is_idle_for_longer_than_the_bound_beside_ready_work() -> None:
    checked, longest_ms = 0, 0
    for seed in range(3, 8):
        calm = Settings.of(seed, 400)._replace(work=True, insider=False, weather=frozenset())
        world = run(calm)
        checked += world.laws.checked["starve"]
        longest_ms = max(longest_ms, world.labour.longest_ms)
    assert checked > 100
    assert longest_ms > 0
