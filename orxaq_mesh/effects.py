"""What goes into the engine and what comes out of it, as plain values.

Knows: the shapes.
Knows not: what the engine makes of an input (`engine`), how an effect is performed (`sync`).

    Ask(Intent("1", "lease.acquire", {"lease": "deploy", "session": "s", "ttl_ms": 600_000}))
    Tell("1", Answer("applied", "LEASE-1", "granted", record="<64 hex>"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from orxaq_mesh.errors import MeshError, MeshFault
from orxaq_mesh.record import NOTHING, Record, Seal, Value

if TYPE_CHECKING:  # a command that only hands an intent over needs no ledger
    from orxaq_mesh.kinds import State
    from orxaq_mesh.news import FileChange
    from orxaq_mesh.standing import Finding

COMMITTED, LOST, UNKNOWN = "committed", "lost", "unknown"


class Me(NamedTuple):
    """Who this engine writes as: its log, its name, and the signer of a message (bytes -> `sig`)."""

    name: str
    log: str
    sign: Callable[[bytes], str]


class Pace(NamedTuple):
    """How often the hub is read: while nothing is awaited, and while something is; and how soon a push follows another."""

    idle_ms: int
    waiting_ms: int
    push_gap_ms: int = 0


class Now(NamedTuple):
    """The moment of a step: boot-time clock, `at` for people, a random number in [0, 1), and when a push may go."""

    ms: int
    at: str
    dice: float = 0.5
    push_ready_ms: int = 0


class Intent(NamedTuple):
    """What a caller wants: a record of this kind with this body; `wait`: not done before it is granted.

    Attributes:
        owner: the process on whose behalf a lease is renewed, as plain JSON; None: only who asks again.
        deadline_ms: when a wait ends; None: never.
    """

    id: str
    kind: str
    wish: Value
    wait: bool = False
    owner: Any = None
    asked_ms: int = 0
    deadline_ms: int | None = None


class Answer(NamedTuple):
    """What came of an intent. `verdict` is applied, refused, fenced, held or unknown; `error` stands for a fault instead."""

    verdict: str
    rule: str = ""
    result: str = ""
    record: str | None = None
    what: str = ""
    hint: str = ""
    facts: Mapping[str, Any] = {}
    error: MeshError | None = None


class Hold(NamedTuple):
    """Why a lease is renewed: the record that asked for it, and the process on whose behalf.

    `waits`: its caller waits for the grant; if that process dies before anything was done under it, it goes back.
    """

    lease: str
    session: str
    record: str
    owner: Any
    waits: bool = False


class Memory(NamedTuple):
    """What the journal remembers: own records and seals signed, the newest seal seen, the holds."""

    records: Sequence[Record] = ()
    last: tuple[int, str] = (0, NOTHING)
    seals: Sequence[Seal] = ()
    seen: tuple[int, str] = (0, NOTHING)
    holds: Sequence[Hold] = ()


# Inputs.


class Ask(NamedTuple):
    """A caller asks; what it asks for together is pushed together."""

    intent: Intent
    more: Sequence[Intent] = ()


class Cancel(NamedTuple):
    """A caller went away: what it waits for is withdrawn."""

    intent: str


class Looked(NamedTuple):
    """The hub was read: what changed in the trunk since the tip taken in last, and what outboxes offer.

    Attributes:
        findings: what came into the tree and is no ledger's; all of it, where some was there before.
        unreadable: why the trunk itself could not be had, if it could not.
        base: `changes` are whole files, all that may hold something behind this state; None: what changed.
        descends: whether the trunk moved forward from the tip taken in last.
        since: that tip. A reading that was overtaken by another says nothing of what has been taken in meanwhile.
    """

    begun_ms: int
    ended_ms: int
    trunk: str | None
    changes: Sequence[FileChange] = ()
    findings: Sequence[Finding] = ()
    offered: Sequence[Record] = ()
    unreadable: Sequence[Finding] = ()
    base: State | None = None
    descends: bool = True
    since: str | None = None


class Unreached(NamedTuple):
    """The hub could not be read, or a push could not even begin."""

    error: MeshFault


class Published(NamedTuple):
    """A push ended. For `committed`: the trunk's new tip and what it changed."""

    outcome: str
    reason: str = ""
    vetoed: bool = False
    trunk: str | None = None
    changes: Sequence[FileChange] = ()


class Tick(NamedTuple):
    """Time passed. `alive`: the records of those holds whose owner lives."""

    alive: frozenset[str] = frozenset()


Input = Ask | Cancel | Looked | Unreached | Published | Tick

# Effects, to be performed in order.


class Save(NamedTuple):
    """Append to the journal, and have it on the disk before anything that follows."""

    records: Sequence[Record] = ()
    seal: Seal | None = None
    seen: tuple[int, str] | None = None
    hold: Hold | None = None


class Look(NamedTuple):
    """Read the hub; with `beneath`, anew from a state of that epoch or an older one (law FORK)."""

    beneath: int | None = None


class Publish(NamedTuple):
    """Push these records: onto the trunk under a seal, from exactly `base`; or, without a seal, to the own outbox.

    `mends`: damaged files of the trunk as they are to be; None: to go (law RENDER).
    """

    base: str | None
    records: Sequence[Record]
    seal: Seal | None
    mends: Mapping[str, bytes | None] = {}


class Tell(NamedTuple):
    """Answer a caller."""

    intent: str
    answer: Answer


class Say(NamedTuple):
    """One line of the log: an event's name and its facts."""

    event: str
    facts: Mapping[str, Any]


Effect = Save | Look | Publish | Tell | Say
