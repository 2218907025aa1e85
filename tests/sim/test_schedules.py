"""Every schedule keeps the laws: a thousand short ones here, long ones by `make sim`."""

from __future__ import annotations

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
