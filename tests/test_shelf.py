"""The shelf: a dict that is cheap to copy, and whose order is the names'."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.kinds.shelf import Shelf

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
