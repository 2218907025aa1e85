"""The state at any past epoch: the fold of all up to it, and of nothing later (law PREFIX).

Knows: how the chosen way of the fleet is folded once more, epoch by epoch; that epochs' numbers may skip (law EPOCH).
Knows not: what is asked of a state (`audit`, `differing`, `blaming`), printing.

    state_at(past, 40).epoch       # 40; or the one before, where a fork skipped that number
    for stood, state in steps(past): ...
"""

from __future__ import annotations

from collections.abc import Iterator

from orxaq_mesh import fold, kinds
from orxaq_mesh.errors import Usage
from orxaq_mesh.inspect.reading import History
from orxaq_mesh.kinds import State
from orxaq_mesh.record import Record
from orxaq_mesh.spine import Stood


def state_at(past: History, epoch: int) -> State:
    """What the fold had come to when this epoch was closed; epoch 0 is before the founding.

    Raises:
        Usage: the ledger has not come so far.
    """
    check_epoch(past, epoch)
    state = kinds.new_state()
    for _, after in steps(past, epoch):
        state = after
    return state


def check_epoch(past: History, epoch: int) -> None:
    """Whether the ledger has come so far.

    Raises:
        Usage: it has not.
    """
    last = past.state.epoch
    if not 0 <= epoch <= last:
        raise Usage(f"there is no epoch {epoch}: this ledger ends with epoch {last}", hint=f"name one from 0 to {last}")


def steps(past: History, last: int | None = None) -> Iterator[tuple[Stood, State]]:
    """Each epoch of the chosen way up to `last`, and the state behind it; the same state goes on with the next."""
    state = kinds.new_state()
    for stood in past.ledger.spine.chain:
        if last is not None and stood.seal.epoch > last:
            return
        fold.apply(state, stood.seal, taken_of(stood), first_of(past, stood))
        yield stood, state


def taken_of(stood: Stood) -> dict[str, list[Record]]:
    """What a seal took in, by log and seq."""
    taken: dict[str, list[Record]] = {}
    for item in (item for item in stood.judged if not item.again):
        taken.setdefault(item.record.log, []).append(item.record)
    return taken


def first_of(past: History, stood: Stood) -> list[str]:
    """The ids of what goes first in an epoch, where its seal is over another side's (law EPOCH)."""
    spine, seal = past.ledger.spine, stood.seal
    over = spine.stood.get(seal.over or "")
    return spine.order_of(over.seal, seal.parent) if over else []
