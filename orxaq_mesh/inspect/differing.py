"""What changed between two epochs: every record in a sentence, and what is another now than it was.

Knows: which parts of a state a person compares: leases, nodes, work, what needs an approval.
Knows not: what a record means (its family says it, through `saying`), printing.

    found = diff(past, 3, 7)
    found.sentences          # one a record, in the order in which they were judged
    found.leases             # [Moved("deploy", {"holder": "oak", ...}, {"holder": "elm", ...})]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from orxaq_mesh import fold
from orxaq_mesh.errors import Usage
from orxaq_mesh.inspect.epochs import check_epoch, state_at, steps
from orxaq_mesh.inspect.reading import History
from orxaq_mesh.inspect.states import told
from orxaq_mesh.saying import Sentence, sentences

Json = dict[str, Any]


class Moved(NamedTuple):
    """One thing that is another now: its name, what it was, what it is; None: it was not there, or is no more."""

    name: str
    before: Json | None
    after: Json | None


class Diff(NamedTuple):
    """What changed behind one epoch, up to another.

    Attributes:
        first, last: the epochs.
        sentences: one a record that epochs behind `first` took in, up to `last`; of one that was held, one more.
        leases, nodes, dags, commands, review: what is another now, by name.
        final: whether a fork could no longer change it.
    """

    first: int
    last: int
    sentences: tuple[Sentence, ...]
    leases: tuple[Moved, ...]
    nodes: tuple[Moved, ...]
    dags: tuple[Moved, ...]
    commands: tuple[Moved, ...]
    review: tuple[Moved, ...]
    final: bool


_COMPARED = {
    "leases": ("name", ("holder", "session", "token", "queue")),
    "nodes": ("log", ("name", "roles", "standing", "fingerprint")),
    "dags": ("dag", ("state", "done", "size", "record")),
    "commands": ("command", ("name", "state", "node")),
    "review": ("rule", ("kinds", "names", "roles", "approvals")),
}
"""Part of a state -> (what names one of it, what is compared)."""


def diff(past: History, first: int, last: int) -> Diff:
    """What changed from the end of one epoch to the end of another.

    Raises:
        Usage: the first is not before the last, or the ledger has not come so far.
    """
    if first > last:
        raise Usage(f"epoch {first} is behind epoch {last}", hint=f"write the older one first: {last}..{first}")
    check_epoch(past, first)
    check_epoch(past, last)
    before, after = state_at(past, first), state_at(past, last)
    then, now = told(before), told(after)
    parts = {part: tuple(_moved(then[part], now[part], *_COMPARED[part])) for part in _COMPARED}
    return Diff(first, last, tuple(_sentences(past, first, last)), **parts, final=last <= past.final)


def span_of(words: str) -> tuple[int, int]:
    """The two epochs of `3..7`.

    Raises:
        Usage: it is no such span.
    """
    first, dots, last = words.partition("..")
    if not dots or not all(part.isdecimal() and part.isascii() and len(part) <= 16 for part in (first, last)):
        raise Usage(f"{words[:40]!a} is no span of epochs", hint="mesh diff 3..7")
    return int(first), int(last)


def _sentences(past: History, first: int, last: int) -> Iterable[Sentence]:
    """Each epoch's for itself: what a record met is told from the state that its epoch began with."""
    before = state_at(past, first)
    for stood, state in steps(past):
        if stood.seal.epoch > last:
            return
        if stood.seal.epoch > first:
            yield from sentences(before, state, stood.judged, sealed=True)
            before = fold.copy(state)


def _moved(then: Iterable[Json], now: Iterable[Json], name: str, fields: Sequence[str]) -> Iterable[Moved]:
    was, is_ = ({one[name]: {field: one[field] for field in fields} for one in some} for some in (then, now))
    for key in sorted(was.keys() | is_.keys()):
        if was.get(key) != is_.get(key):
            yield Moved(key, was.get(key), is_.get(key))
