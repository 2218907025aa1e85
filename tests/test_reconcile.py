"""Union and rendering: the same bytes whoever merges what in which order (SET, RENDER)."""

from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.reconcile import render, union
from orxaq_mesh.record import SEGMENT_LINES, Record, log_place
from tests.builder import Pen, Trunk


@functools.cache
def lines() -> tuple[bytes, ...]:
    """Records of one log, three of them in two variants."""
    pen = Pen("oak")
    records = [pen.write("event.publish", topic="t", type="x", payload={"n": n}) for n in range(9)]
    twin = Pen("oak")
    records += [twin.write("event.publish", topic="t", type="y", payload={"n": n}) for n in range(3)]
    return tuple(record.line for record in records)


def segment(chosen: set[int]) -> bytes:
    return union(*(lines()[number] + b"\n" for number in chosen))


SUBSETS = st.sets(st.integers(0, 11))


@given(SUBSETS, SUBSETS, SUBSETS)
def test_SET_union_is_commutative_associative_and_idempotent(a: set[int], b: set[int], c: set[int]) -> None:
    x, y, z = segment(a), segment(b), segment(c)
    assert union(x, y) == union(y, x)
    assert union(union(x, y), z) == union(x, union(y, z)) == segment(a | b | c)
    assert union(x, x) == x
    assert union(x) == x
    assert union() == b""


def test_RENDER_lines_lie_by_number_then_id_each_once() -> None:
    whole = segment(set(range(12)))
    seqs = [int(line.split(b'"seq":')[1].split(b",")[0]) for line in whole.split(b"\n")[:-1]]
    assert seqs == [1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9]
    assert whole.endswith(b"\n")


@given(st.permutations(range(9)), st.integers(0, 9))
def test_RENDER_any_order_and_any_grouping_give_the_same_tree(order: list[int], cut: int) -> None:
    pen = Pen("oak")
    records = [pen.write("event.publish", topic="t", type="x", payload={"n": n}) for n in range(9)]
    files: dict[str, bytes] = {}
    for part in (order[:cut], order[cut:], order):
        files.update(render(files.get, [records[number] for number in part]))
    assert files == render(lambda path: None, records)


def test_RENDER_what_does_not_change_is_left_out() -> None:
    trunk = Trunk.founded()
    assert render(trunk.files.get, [], trunk.seals) == {}


def test_RENDER_a_segment_has_32_lines() -> None:
    pen = Pen("oak")
    records: list[Record] = [
        pen.write("event.publish", topic="t", type="x", payload={"n": n}) for n in range(SEGMENT_LINES + 1)
    ]
    files = render(lambda path: None, records)
    assert {path: data.count(b"\n") for path, data in files.items()} == {
        log_place(pen.log, 1).file: SEGMENT_LINES,
        log_place(pen.log, SEGMENT_LINES + 1).file: 1,
    }
