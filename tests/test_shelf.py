"""What states are kept in: cheap to copy, and never shared with the copy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.kinds import shelf
from orxaq_mesh.kinds.shelf import Ranks

NUMBERS = st.lists(st.tuples(st.booleans(), st.integers(0, 3000)), max_size=40)


@given(st.sets(st.integers(0, 3000), max_size=1500), NUMBERS)
def test_SET_ranks_are_a_sorted_set_and_a_copy_is_left_alone(begin: set[int], deeds: list[tuple[bool, int]]) -> None:
    ranks, model = Ranks((number,) for number in begin), set(begin)
    before, kept = ranks.copy(), sorted(model)
    for adds, number in deeds:
        if adds and number not in model:
            ranks.add((number,))
            model.add(number)
        elif not adds:
            ranks.discard((number,))
            model.discard(number)
    assert [number for (number,) in ranks] == sorted(model)
    assert len(ranks) == len(model)
    assert [number for (number,) in before] == kept


def test_LIVE_a_run_of_ranks_stays_short_in_whatever_order_they_come() -> None:
    for order in (range(3000), range(3000, 0, -1)):
        ranks: Ranks[tuple[int]] = Ranks()
        for number in order:
            ranks.add((number,))
        assert [number for (number,) in ranks] == sorted(order)
        assert max(map(len, ranks._runs)) <= 2 * shelf._RUN
