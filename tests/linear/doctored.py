"""Histories of leases made wrong on purpose, each in a way that no order of its operations can explain.

Knows: which answers cannot both be true, whatever else happened.
Knows not: how a checker finds out.

    for what, history in doctored(recorder.operations):      # "two grants swap their tokens", [...]
        assert not check(history, "lease").linearizable

The history ends as `Recorder.calm` ends it: one after the other, a grant, its release, another grant to another caller,
a write under the old token, and a read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tests.linear.history import Operation

History = list[Operation]


def doctored(operations: Sequence[Operation]) -> Iterator[tuple[str, History]]:
    """Each wrong history, with what is wrong with it."""
    known = [o for o in operations if not o.open]
    grants = [o for o in known if o.result.get("result") == "granted"]
    first, then = sorted(grants, key=lambda o: o.result["token"])[-2:]
    stale = next(o for o in known if o.op == "write" and o.invoked > _end(then))
    seen = next(o for o in known if o.op == "read" and o.invoked > _end(stale))
    assert _end(first) < then.invoked
    assert (stale.process, stale.result["verdict"], seen.result["holder"]) == (first.process, "fenced", then.process)
    old, new = first.result["token"], then.result["token"]

    swapped = _instead(operations, first, first._replace(result=first.result | {"token": new}))
    yield "two grants swap their tokens", _instead(swapped, then, then._replace(result=then.result | {"token": old}))
    yield "a grant has two holders", [*operations, then._replace(process="thief/s")]
    yield "a token is granted again", [*operations, then._replace(invoked=_end(seen) + 1, returned=_end(seen) + 2)]
    counted: dict[str, Any] = {"verdict": "applied", "result": "published"}
    yield "a stale write counts", _instead(operations, stale, stale._replace(result=counted))
    between = (_end(then) + stale.invoked) / 2  # what is called at the very moment of a return overlaps it
    fenced = then._replace(op="write", args={"token": new}, result={"verdict": "fenced", "rule": "FENCE"})
    yield "the holder is fenced", [*operations, fenced._replace(invoked=between, returned=stale.invoked)]
    past = {"holder": first.process, "token": old}
    yield "a read shows the past", _instead(operations, seen, seen._replace(result=past))


def _instead(operations: Sequence[Operation], old: Operation, new: Operation) -> History:
    return [new if o is old else o for o in operations]


def _end(operation: Operation) -> float:
    assert operation.returned is not None
    return operation.returned
