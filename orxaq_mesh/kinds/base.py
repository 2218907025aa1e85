"""What every kind of record is made of: verdicts, rows of a transition table, the state they act on.

Knows: the shapes that all families share.
Knows not: any family's rules.

    Row("lease.renew", "holder with the current token", APPLIED, "LEASE-6", "renewed", renew)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from orxaq_mesh.kinds.shelf import Shelf
from orxaq_mesh.record import NOTHING, Record, Value
from orxaq_mesh.rules import Rule

APPLIED, REFUSED, FENCED, HELD = "applied", "refused", "fenced", "held"


class Verdict(NamedTuple):
    """What came of a record: the outcome, the id of the rule or law that says so, and for `applied` the result."""

    outcome: str
    rule: str
    result: str = ""


class Moment(NamedTuple):
    """The place in the order where a record is judged. `seal` is empty while the epoch is only being drafted."""

    epoch: int
    seal: str = ""


class Once(NamedTuple):
    """The record that an idempotency key stands for: the same key twice is one record, if it asks for the same.

    `about` is what it asked for, whatever was filled in for its moment (see `kinds.about`).
    """

    record: str
    kind: str
    epoch: int
    result: str
    about: str


class State:
    """What the fold has made of the ledger up to the seal `seal`. Each family keeps its own slice.

    Attributes:
        ledger: id of the genesis record.
        epoch, seal, at: the spine's tip, and what its seal says of the time (for people).
        digest: the running digest over (record id, verdict) in order (law DIGEST), 64 hex.
        heads: log -> (seq, id) of the newest sealed record.
        once: "<node>/<idempotency key>" -> the effective record.
        records: how many records are sealed.
        doubt: (epoch, log) of the last seal whose digest was wrong, until another node's later seal agrees.
        slices: family -> its part of the state.
    """

    __slots__ = ("at", "digest", "doubt", "epoch", "heads", "ledger", "once", "records", "rules", "seal", "slices")

    def __init__(self, slices: dict[str, Any]) -> None:
        self.ledger = ""
        self.epoch = 0
        self.seal = NOTHING
        self.at = ""
        self.rules = 1
        self.digest = NOTHING
        self.heads: dict[str, tuple[int, str]] = {}
        self.once: Shelf[Once] = Shelf()
        self.records = 0
        self.doubt: tuple[int, str] | None = None
        self.slices = slices


Effect = Callable[[State, Record, Moment], None]
Case = Callable[[State, Record, Moment], bool]


class Row(NamedTuple):
    """One line of a transition table: in this case, this kind of record comes to this.

    The first row of its kind whose case holds is the verdict; `do` is what it changes in the state.
    """

    kind: str
    case: str
    outcome: str
    rule: str
    result: str = ""
    do: Effect | None = None


class Kind(NamedTuple):
    """What is true of a kind wherever its records stand.

    Attributes:
        roles: whoever has one of them may write it.
        offline: may be signed while the hub cannot be reached (law CLOSED).
        until: names the last epoch in which it may be sealed (law UNTIL).
    """

    name: str
    roles: frozenset[str]
    offline: bool = False
    until: bool = False


class Words(NamedTuple):
    """A verdict in words, for the person who asked: what, the next step, and the facts for `--json`."""

    what: str
    hint: str
    facts: Mapping[str, Any]


class Judged(NamedTuple):
    """A sealed record, an epoch and its verdict there; `again`: it was held in an epoch before (REVIEW-1)."""

    record: Record
    epoch: int
    verdict: Verdict
    again: bool = False


class Said(NamedTuple):
    """A sentence about a record, without its subject: fixed words, and what of the ledger stands in them.

    Attributes:
        template: "asks for lease `{lease}` (held by {holder})". Text between backticks is quoted where it is shown.
        facts: every value of the ledger, by its name in the template: hostile text until a renderer has made it
            harmless (law QUIET). Lists are joined.
        came: what came of it, in words and facts as above: (sealed, only drafted). Empty where the template says all.
    """

    template: str
    facts: Mapping[str, str | int]
    came: tuple[str, str] = ("", "")


def no_part(*_: Any) -> None:
    """For a family that keeps nothing of its own in the state, and a row that changes none: nothing to do."""


class Family(Protocol):
    """What one file in `kinds/` offers; a module satisfies it."""

    NAME: str
    KINDS: Sequence[Kind]
    RULES: Sequence[Rule]
    ROWS: Sequence[Row]
    CASES: Mapping[str, Case]

    def new(self) -> Any:
        """An empty slice."""

    def dump(self, part: Any) -> Any:
        """The slice as JSON, for a snapshot."""

    def load(self, data: Any) -> Any:
        """The slice behind what `dump` made."""

    def copy(self, part: Any) -> Any:
        """A slice that shares nothing changeable with this."""

    def open_epoch(self, state: State, moment: Moment) -> None:
        """What an epoch begins with, before its first record."""

    def gone(self, state: State, node: str, moment: Moment) -> None:
        """A node lost its standing here: give up what it held (law LIVE)."""

    def propose(self, state: State, node: str, kind: str, wish: Value) -> Value:
        """The body that a wish comes to in this state: what the caller left out is filled in.

        Raises:
            Refused: there is nothing that the wish could be about.
        """

    def words(self, state: State, record: Record, verdict: Verdict) -> Words:
        """Why a record of this family was refused, fenced or made to wait."""

    def says(self, before: State, after: State, judged: Judged) -> Said:
        """What a sound record of this family does, for whoever reads a change.

        Args:
            before: the state before the change that brings it.
            after: the state behind that change, real or drafted.
            judged: the record with its verdict, real or drafted.
        """
