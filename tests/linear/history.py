"""One operation of a history, as its caller saw it.

Knows: the shape.
Knows not: what an operation means (`models`, `lease`).

    Operation("oak/s", "deploy", "acquire", {}, {"result": "granted", "token": 7}, invoked=0, returned=12)
    Operation("elm/s", "deploy", "acquire", {}, None, invoked=3)      # killed: what came of it is not known
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Operation(NamedTuple):
    """An operation.

    Attributes:
        process: who called. For leases `node/session`, which is who holds them.
        lease: the lease, key or register that it is about.
        op: its name, as its model knows it.
        args: what it was called with.
        result: what its caller was told.
        invoked: when it was called, on the history's one clock; any unit.
        returned: when the result was told; None where it is not known: then it may take effect at any time, or never.
        line: where it stands in a file; 0 where it comes from none.
    """

    process: str
    lease: str
    op: str
    args: Any = None
    result: Any = None
    invoked: float = 0
    returned: float | None = None
    line: int = 0

    @property
    def open(self) -> bool:
        """Whether nobody knows what came of it."""
        return self.returned is None
