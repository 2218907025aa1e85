"""The shelf: a dict that is cheap to copy, and whose order is the names'."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.kinds import shelf as shelves
from orxaq_mesh.kinds.shelf import Ranks, Shelf

NAMES = st.sampled_from([f"task:release/{number}" for number in range(30)])


def contents(shelf: Shelf[int]) -> dict[str, int]:
    assert list(shelf.values()) == [value for _, value in shelf.items()]
    assert [name for name, _ in shelf.items()] == sorted(name for name, _ in shelf.items())
    assert len(shelf) == len(list(shelf.items()))
    return dict(shelf.items())


def test_SET_a_copy_and_what_it_was_copied_from_go_their_own_ways() -> None:
    shelf = Shelf([("a", 1), ("b", 2)])
    twin = shelf.copy()
    shelf["a"] = 3
    twin["b"] = 4
    shelf.discard("b")
    twin["c"] = 5
    assert contents(shelf) == {"a": 3}
    assert contents(twin) == {"a": 1, "b": 4, "c": 5}


@given(st.lists(st.tuples(st.sampled_from(["set", "discard", "copy"]), st.integers(0, 3), NAMES, st.integers())))
def test_SET_a_shelf_is_a_dict_whatever_was_copied(steps: list[tuple[str, int, str, int]]) -> None:
    pairs: list[tuple[Shelf[int], dict[str, int]]] = [(Shelf(), {})]
    for what, which, name, value in steps:
        shelf, known = pairs[which % len(pairs)]
        if what == "copy":
            pairs.append((shelf.copy(), dict(known)))
        elif what == "set":
            shelf[name] = known[name] = value
        else:
            shelf.discard(name)
            known.pop(name, None)
        assert shelf.get(name) == known.get(name)
    for shelf, known in pairs:
        assert contents(shelf) == known


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
        assert max(map(len, ranks._runs)) <= 2 * shelves._RUN
