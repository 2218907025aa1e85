"""What an object may answer: the shape of a model, the register and the key-value store.

Knows: for a state and an operation, the states that may follow; none where its result cannot be.
Knows not: concurrency; a model sees one operation after the other.

    cas_register.step(4, Operation("a", "x", "cas", (4, 5), True, 0, 1))      # (5,)
    cas_register.step(4, Operation("a", "x", "read", None, 3, 0, 1))          # ()
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from tests.linear.history import Operation


class Model:
    """What the search asks. States are immutable and hashable.

    The last methods let it look ahead: what an operation must find, and what others can make of a state. Who has
    nothing to say about it leaves them as they are.
    """

    name: str
    operations: frozenset[str]
    initial: Any

    def step(self, state: Any, operation: Operation) -> Sequence[Any]:
        """The states that may follow. An open operation: those that its taking effect may come to."""
        raise NotImplementedError

    def only_sees(self, operation: Operation) -> bool:
        """Whether it changes nothing whenever it happens; it may still settle what a state leaves open."""
        raise NotImplementedError

    def kin(self, operation: Operation) -> Hashable:
        """Open operations of one kin are alike: whichever takes effect, the same follows."""
        return operation.op, operation.args

    def shown(self, state: Any) -> str:
        """The state, for a person."""
        return f"the value is {_word(state)}"

    def wants(self, operation: Operation) -> tuple[Any, ...]:
        """The one state that an operation of known result can happen in, if there is but one."""
        return ()

    def gives(self, operation: Operation) -> tuple[Any, ...]:
        """The state that an operation makes, if it makes the same of every state."""
        return ()

    def leads(self, state: Any, wanted: Any) -> bool:
        """Whether operations that give nothing can make `wanted` of a state."""
        return True

    def adds(self, operation: Operation) -> str:
        """The text that an operation appends to any state."""
        return ""

    def rest(self, state: Any, wanted: Any) -> str:
        """Of a state that leads to `wanted`: the text that is to be appended yet."""
        return ""

    def topic(self, state: Any) -> Hashable:
        """What concerns those only who want a state of this topic: its end."""
        return None


class Register(Model):
    """Jepsen's register: read, write, and cas from one value to another. A failed cas saw another value."""

    def __init__(self, name: str, *operations: str, initial: Any = None) -> None:
        self.name, self.operations, self.initial = name, frozenset(operations), initial

    def step(self, state: Any, operation: Operation) -> Sequence[Any]:
        match operation.op:
            case "write":
                return (operation.args,)
            case "cas":
                old, new = operation.args
                if operation.open or operation.result:
                    return (new,) if state == old else ()
                return (state,) if state != old else ()
        return (state,) if not operation.open and operation.result == state else ()

    def only_sees(self, operation: Operation) -> bool:
        return operation.op == "read" or (operation.op == "cas" and not operation.open and not operation.result)

    def wants(self, operation: Operation) -> tuple[Any, ...]:
        if operation.op == "read":
            return (operation.result,)
        return (operation.args[0],) if operation.op == "cas" and operation.result else ()

    def gives(self, operation: Operation) -> tuple[Any, ...]:
        if operation.op == "cas":
            return (operation.args[1],) if operation.open or operation.result else ()
        return (operation.args,) if operation.op == "write" else ()

    def leads(self, state: Any, wanted: Any) -> bool:
        return bool(state == wanted)

    def topic(self, state: Hashable) -> Hashable:
        return state


class KeyValue(Model):
    """get, put and append of texts, a state a key. A key that nobody put is the empty text, and so is nil."""

    name = "kv"
    operations = frozenset({"get", "put", "append"})
    initial = ""

    def step(self, state: str, operation: Operation) -> Sequence[str]:
        match operation.op:
            case "put":
                return (operation.args,)
            case "append":
                return (state + operation.args,)
        return (state,) if not operation.open and (operation.result or "") == state else ()

    def only_sees(self, operation: Operation) -> bool:
        return operation.op == "get"

    def wants(self, operation: Operation) -> tuple[str, ...]:
        return (operation.result or "",) if operation.op == "get" else ()

    def gives(self, operation: Operation) -> tuple[str, ...]:
        return (operation.args,) if operation.op == "put" else ()

    def leads(self, state: str, wanted: str) -> bool:
        return wanted.startswith(state)

    def adds(self, operation: Operation) -> str:
        return str(operation.args) if operation.op == "append" else ""

    def rest(self, state: str, wanted: str) -> str:
        return wanted[len(state) :]


def _word(value: Any) -> str:
    if value is None:
        return "nil"
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:50]} ... {text[-60:]} ({len(value)} characters)"
