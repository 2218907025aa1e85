"""The fold: (records, seals) -> (state, a verdict for every sealed record).

Knows: the order inside an epoch (law EPOCH), the running digest (law DIGEST), what a state looks like as bytes.
Knows not: any rule. `kinds` judges; `reconcile` decides which seals stand.
Laws: SET, EPOCH, PREFIX, DIGEST. No clock, no locale, no hash order: only what is passed in.

    state = kinds.new_state()
    for seal, taken in spine:
        judged = fold.apply(state, seal, taken)     # taken: log -> its new records, by seq
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from orxaq_mesh import kinds
from orxaq_mesh.kinds import Moment, State
from orxaq_mesh.kinds.shelf import Shelf
from orxaq_mesh.record import Record, Seal

Taken = Mapping[str, Sequence[Record]]
Judged = kinds.Judged


class Epoch(NamedTuple):
    """What one seal closes over: its parent's id, its records by log, what goes first, and whom it suspends."""

    parent: str
    taken: Taken
    first: Sequence[str] = ()
    suspended: Iterable[str] = ()


def in_order(parent: str, taken: Taken, first: Sequence[str] = ()) -> list[Record]:
    """The records of one epoch in the order in which they are judged (law EPOCH).

    Args:
        parent: id of the seal before.
        taken: log -> its new records, by seq.
        first: ids in the order in which another side judged them before (`over`); those taken in here go first.
    """
    if len(taken) == 1:
        return list(next(iter(taken.values())))
    logs = sorted(taken, key=lambda log: hashlib.sha256((parent + log).encode()).digest())
    ordered = [record for log in logs for record in taken[log]]
    if not first:
        return ordered
    place = {id_: number for number, id_ in enumerate(first)}
    return sorted(ordered, key=lambda record: place.get(record.id, len(place)))  # stable: the rest stays as it was


def _open(state: State, moment: Moment, suspended: Iterable[str]) -> None:
    """What an epoch begins with, before its first record."""
    for log in sorted(suspended):
        kinds.suspend(state, log, moment)
    for family in kinds.FAMILIES:
        family.open_epoch(state, moment)


def _judge(state: State, moment: Moment, epoch: Epoch) -> Iterator[Judged]:
    """Each verdict of an epoch that is open, as it is given."""
    again, apply, number = kinds.judged_again, kinds.apply, moment.epoch
    reviews = state.slices["review"]
    for record, verdict in again(state, moment):
        yield Judged(record, number, verdict, True)
    for record in in_order(*epoch[:3]):
        yield Judged(record, number, apply(state, record, moment))
        if reviews.again:
            for held, verdict in again(state, moment):
                yield Judged(held, number, verdict, True)


def next_digest(digest: str, judged: Iterable[Judged]) -> str:
    """The running digest after these verdicts (law DIGEST).

    sha256 over the digest so far and, a line each, `<record id> <outcome> <rule> <result>`.
    """
    lines = [f"{record.id} {outcome} {rule} {result}\n" for record, _, (outcome, rule, result), _ in judged]
    return hashlib.sha256(f"{digest}\n{''.join(lines)}".encode()).hexdigest()


def apply(state: State, seal: Seal, taken: Taken, first: Sequence[str] = ()) -> list[Judged]:
    """Fold one standing seal onto the state, and say what came of each record that it takes in.

    Args:
        state: what its parent came to; it is changed.
        seal: the seal.
        taken: log -> the records that it takes in, by seq.
        first: the ids that go first (see `in_order`).
    """
    moment = Moment(seal.epoch, seal.id)
    _open(state, moment, seal.proofs)
    judged = list(_judge(state, moment, Epoch(seal.parent, taken, first)))
    _close(state, seal, judged)
    return judged


def steps(state: State, seal: Seal, taken: Taken, first: Sequence[str] = ()) -> Iterator[Judged | None]:
    """The same one step at a time, for whoever watches the state: None when the epoch has opened, then each verdict."""
    moment = Moment(seal.epoch, seal.id)
    _open(state, moment, seal.proofs)
    yield None
    judged = []
    for item in _judge(state, moment, Epoch(seal.parent, taken, first)):
        judged.append(item)
        yield item
    _close(state, seal, judged)


def _close(state: State, seal: Seal, judged: Sequence[Judged]) -> None:
    state.epoch, state.seal, state.at, state.rules = seal.epoch, seal.id, seal.at, seal.rules
    state.heads.update(seal.heads)
    state.records += sum(not item.again for item in judged)
    state.digest = next_digest(state.digest, judged)
    _doubt(state, seal)


def _doubt(state: State, seal: Seal) -> None:
    """Law DIGEST: a wrong claim is remembered until another node's later seal agrees."""
    if seal.state != state.digest:
        state.doubt = (seal.epoch, seal.log)
    elif state.doubt is not None and state.doubt[1] != seal.log:
        state.doubt = None


class Draft(NamedTuple):
    """What an epoch would come to: its number, the digest that its seal must carry, the verdicts, the state after it."""

    epoch: int
    digest: str
    judged: list[Judged]
    after: State


def draft(state: State, epoch: Epoch, number: int) -> Draft:
    """What closing this epoch under this number would come to. The state stays as it is."""
    trial, moment = copy(state), Moment(number)
    _open(trial, moment, epoch.suspended)
    judged = list(_judge(trial, moment, epoch))
    return Draft(number, next_digest(state.digest, judged), judged, trial)


def copy(state: State) -> State:
    """A state that shares nothing changeable with the other."""
    twin = State({family.NAME: family.copy(state.slices[family.NAME]) for family in kinds.FAMILIES})
    for field in _PLAIN:
        setattr(twin, field, getattr(state, field))
    twin.heads, twin.once = dict(state.heads), state.once.copy()
    return twin


_PLAIN = ("ledger", "epoch", "seal", "at", "rules", "digest", "records", "doubt")


def to_value(state: State) -> dict[str, Any]:
    """The state as JSON-able values, for a snapshot (law CACHE)."""
    value: dict[str, Any] = {field: getattr(state, field) for field in _PLAIN}
    value["heads"] = {log: list(head) for log, head in state.heads.items()}
    value["once"] = {key: list(once) for key, once in state.once.items()}
    value["slices"] = {family.NAME: family.dump(state.slices[family.NAME]) for family in kinds.FAMILIES}
    return value


def from_value(value: Mapping[str, Any]) -> State:
    """The state behind what `to_value` made."""
    state = State({family.NAME: family.load(value["slices"][family.NAME]) for family in kinds.FAMILIES})
    for field in _PLAIN:
        setattr(state, field, value[field])
    state.doubt = tuple(value["doubt"]) if value["doubt"] else None
    state.heads = {log: (seq, id_) for log, (seq, id_) in value["heads"].items()}
    state.once = Shelf((key, kinds.Once(*once)) for key, once in value["once"].items())
    return state


def snapshot(state: State) -> bytes:
    """The state's one byte form. Equal states have equal snapshots."""
    return orjson.dumps(to_value(state), option=orjson.OPT_SORT_KEYS)


def restore(data: bytes) -> State:
    """The state behind a snapshot.

    Raises:
        ValueError: these bytes are no snapshot of this version.
    """
    try:
        return from_value(orjson.loads(data))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a snapshot: {error!r}") from None
