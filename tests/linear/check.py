"""The check of a whole history: lease by lease, each with the model that fits.

Knows: the models by name, which of them a history is about, how long it may take.
Knows not: where a history comes from (`forms`, `recorder`, `told`).

    check(operations, "lease").linearizable
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from tests.linear.history import Operation
from tests.linear.lease import LeaseModel
from tests.linear.models import KeyValue, Model, Register
from tests.linear.search import Search
from tests.linear.verdict import Part, Verdict

MODELS: dict[str, Model] = {
    "register": Register("register", "read", "write"),
    "cas-register": Register("cas-register", "read", "write", "cas"),
    "kv": KeyValue(),
    "lease": LeaseModel(),
}


def check(operations: Iterable[Operation], model: Model | str | None = None, limit_s: float | None = None) -> Verdict:
    """Whether a history is linearizable.

    Args:
        operations: the history, in any order.
        model: a model or the name of one; None: the one whose operations these are.
        limit_s: seconds after which the answer is `unknown`; None: as long as it takes.

    Raises:
        ValueError: no model knows these operations, or this one does not.
    """
    by_lease: dict[str, list[Operation]] = {}
    for operation in operations:
        by_lease.setdefault(operation.lease, []).append(operation)
    used = {operation.op for part in by_lease.values() for operation in part}
    found = _model(model, used)
    if strange := used - found.operations:
        raise ValueError(f"the model {found.name} knows no {', '.join(sorted(strange))}")
    deadline = None if limit_s is None else time.monotonic() + limit_s
    parts = (_part(lease, each, found, deadline) for lease, each in sorted(by_lease.items()))
    return Verdict(found.name, tuple(parts))


def _model(model: Model | str | None, used: set[str]) -> Model:
    if model is None:
        fits = [each for each in MODELS.values() if used <= each.operations]
        if not fits:
            raise ValueError(f"no model knows all of {', '.join(sorted(used))}")
        return fits[0]
    if not isinstance(model, str):
        return model
    if model not in MODELS:
        raise ValueError(f"no such model: {model}; there are {', '.join(MODELS)}")
    return MODELS[model]


def _part(lease: str, operations: list[Operation], model: Model, deadline: float | None) -> Part:
    search = Search(operations, model)
    found = search.run(deadline)
    stuck = search.stuck
    if found is False and (narrowed := _first_bad(operations, model, deadline)) is not None:
        search, stuck = narrowed
    return Part(lease, found, len(operations), tuple(search.order), stuck, model.shown(search.state))


def _first_bad(operations: list[Operation], model: Model, deadline: float | None) -> tuple[Search, Operation] | None:
    """The first return up to which no order explains the history, and the search that explains all before it.

    A beginning of a linearizable history is linearizable: halving finds it. None where the time was up.
    """
    returns = sorted((o for o in operations if not o.open), key=lambda o: o.returned or 0)
    good, bad, best = 0, len(returns), Search([], model)
    while bad - good > 1:
        middle = (good + bad) // 2
        search = Search(list(_until(operations, returns[middle - 1].returned or 0)), model)
        found = search.run(deadline)
        if found is None:
            return None
        good, bad, best = (middle, bad, search) if found else (good, middle, best)
    return best, returns[bad - 1]


def _until(operations: list[Operation], time: float) -> Iterator[Operation]:
    """The history as it was at that time: what had not returned is open."""
    for operation in operations:
        if operation.invoked <= time:
            later = operation.returned is None or operation.returned > time
            yield operation._replace(result=None, returned=None) if later else operation
