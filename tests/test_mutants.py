"""The tests and the simulator notice each fault of `mutants` (trap C8): what they cannot notice they do not prove."""

from __future__ import annotations

import pytest

from tests.mutants import MUTANTS, PAGE, Mutant, page
from tests.sim import Settings, run

STEPS = 110


def noticed(mutant: Mutant) -> bool:
    """Whether the named test, or the simulator within its seeds, breaks while the fault is in."""
    with mutant.applied():
        try:
            if mutant.noticed_by is not None:
                mutant.noticed_by()
            for seed in range(mutant.seeds):
                run(Settings.of(seed, STEPS))
        except Exception:  # noqa: BLE001 - a fault may show as any error
            return True
    return False


@pytest.mark.parametrize("fault", MUTANTS)
def test_C8_a_fault_in_our_own_code_is_noticed(fault: str) -> None:
    assert noticed(MUTANTS[fault])


def test_C8_without_a_fault_the_named_tests_pass() -> None:
    for mutant in MUTANTS.values():
        if mutant.noticed_by is not None:
            mutant.noticed_by()


def test_the_table_in_the_docs_is_that_of_the_mutants() -> None:
    assert PAGE.read_text() == page(), "python -m tests.mutants"
