"""What came of a check, for a program and for a person.

Knows: one part a lease: an order that explains it, or the first operation that no order explains.
Knows not: how it was found.

    print(check(history, "lease"))        # not linearizable: ...
"""

from __future__ import annotations

from typing import NamedTuple

from tests.linear.history import Operation

SHOWN = 12
"""So many of the last operations that could be placed are printed."""

_ANSWERS = {True: "linearizable", False: "not linearizable", None: "unknown"}


class Part(NamedTuple):
    """The verdict on one lease.

    Attributes:
        linearizable: None where the time was up.
        order: an order that explains all answers, where there is one; else one that explains all that returned before
        stuck: the first operation, by its return, that no order explains; where the time was up: the farthest reached.
        state: what `order` comes to, in words.
    """

    lease: str
    linearizable: bool | None
    operations: int
    order: tuple[Operation, ...] = ()
    stuck: Operation | None = None
    state: str = ""

    def __str__(self) -> str:
        name = self.lease or "the history"
        if self.stuck is None:
            return f"{name}: {_ANSWERS[self.linearizable]}, {self.operations} operations"
        said = "no order explains this one" if self.linearizable is False else "no order was found yet that explains"
        lines = [f"{name}: {_ANSWERS[self.linearizable]}, {self.operations} operations; {said}:"]
        lines += [
            f"    {shown(self.stuck)}",
            "  what returned before it fits this order, among others (unknown: it had not returned by then):",
        ]
        lines += [f"    ... {len(self.order) - SHOWN} others"] * (len(self.order) > SHOWN)
        lines += [f"    {shown(operation)}" for operation in self.order[-SHOWN:]] or ["    nothing"]
        return "\n".join([*lines, f"  where {self.state}"])


class Verdict(NamedTuple):
    """The verdict on a history: linearizable if each of its leases is."""

    model: str
    parts: tuple[Part, ...]

    @property
    def linearizable(self) -> bool | None:
        """None: not known, for the time was up."""
        said = {part.linearizable for part in self.parts}
        return False if False in said else None if None in said else True

    @property
    def answer(self) -> str:
        """`linearizable`, `not linearizable` or `unknown`."""
        return _ANSWERS[self.linearizable]

    @property
    def bad(self) -> tuple[Part, ...]:
        """The parts that are not, or not known to be."""
        return tuple(part for part in self.parts if not part.linearizable)

    def __str__(self) -> str:
        size = sum(part.operations for part in self.parts)
        head = f"{self.answer}: {size} operations, {len(self.parts)} parts, model {self.model}"
        return "\n".join([head, *map(str, self.bad)])


def shown(operation: Operation) -> str:
    """One operation on one line."""
    where = f"line {operation.line}, " if operation.line else ""
    until = "?" if operation.returned is None else f"{operation.returned:g}"
    args = "" if operation.args is None else f" {_short(operation.args)}"
    result = "unknown" if operation.open else _short(operation.result)
    return f"{operation.process}: {operation.op}{args} -> {result}  ({where}{operation.invoked:g} to {until})"


def _short(value: object) -> str:
    text = repr(value) if value is not None else "nil"
    return text if len(text) <= 160 else f"{text[:60]} ... {text[-90:]}"
