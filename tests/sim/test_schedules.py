"""Every schedule keeps the laws: a few hundred short ones here, long ones by `make sim`."""

from __future__ import annotations

import pytest

from tests.sim import Settings, run

CHUNK = 20


@pytest.mark.parametrize("first", range(0, 120, CHUNK))
def test_SET_FENCE_PUSH_TIME_LIVE_hold_in_seeded_schedules(first: int) -> None:
    epochs = [run(Settings.of(seed, 110)).checks.ledger.state.epoch for seed in range(first, first + CHUNK)]
    assert min(epochs) > 4, "a schedule in which nothing happens proves nothing"


@pytest.mark.parametrize("seed", range(1000, 1003))
def test_SIG_schedules_hold_with_real_signatures_too(seed: int) -> None:
    run(Settings.of(seed, 80)._replace(real=True, trouble=0.25))


def test_one_seed_is_one_play() -> None:
    assert run(Settings.of(7, 100)).play == run(Settings.of(7, 100)).play
