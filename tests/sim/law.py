"""What a run is held to: each invariant by number or name, how often it was checked, and what happens when one breaks.

laws = Laws()
laws.hold(new > old, 7, "the token of deploy went from 9 to 4")      # Broke, unless it is true
laws.checked                                                         # {7: 1}
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.sim.world import World

INVARIANTS: dict[int | str, tuple[str, str]] = {
    1: ("PUSH", "the trunk's tips only descend"),
    2: ("LINE", "every line on the trunk is canonical"),
    3: ("SIG", "every effective record is authentic, with a key that is valid at its place"),
    4: ("CHAIN", "logs have no gap: each record follows the last one of its log"),
    5: ("CHAIN", "a node that was not copied never signs a seq twice or seals a parent twice, crashes included"),
    6: ("SET", "who has read the same tip has the same state; so has a stranger who reads it in any order"),
    7: ("EPOCH", "the tokens of a lease strictly grow"),
    8: ("FENCE", "a token has one holder"),
    9: ("FENCE", "what was applied under a lease carried its current token and came from its holder"),
    10: ("PUSH", "what was reported as sealed is in every later tip, with that verdict"),
    11: ("PUSH", "committed is on the trunk, lost is not and never will be"),
    12: ("ONCE", "an idempotency key has one effective record"),
    13: ("FENCE", "every history of a lease, as its callers saw it, is linearizable"),
    14: ("SEEN", "what a node has read never goes back"),
    15: ("NODE-3", "nothing of a revoked key takes effect after its revocation"),
    16: ("TASK-6", "work goes its way: attempts and tokens grow, what is done stays done, success has its receipts"),
    17: ("TASK-2", "needs, frontier, claims, counts and limits of work fit each other after every record"),
    18: ("LIVE", "a record that is refused or fenced changes nothing but what is noted of its author"),
    19: ("LIVE", "after a crash at any effect a node comes back with no hand"),
    20: ("PUSH", "pushes stay in their budget"),
    21: ("LIVE", "healed, everybody gets an answer, everybody who asks gets the lease, and all come to rest"),
    22: ("CACHE", "a snapshot and the rest are as good as all of it"),
    23: ("PREFIX", "the verdict of a record under one seal is always the same"),
    "seen": (
        "SEEN",
        "a trunk that went back, or another way, and lacks the newest seal that a node has seen, is an alarm",
    ),
    "journal": ("PUSH", "what leaves a machine is in its journal"),
    "belief": ("TIME", "two sessions never both believe that they hold one lease"),
    "closed": (
        "CLOSED",
        "a node that found its ledger broken pushes nothing, and no node finds it broken without cause",
    ),
    "answer": ("PUSH", "a caller is told once, and what the ledger says"),
    "held": (
        "REVIEW-1",
        "what is held has no effect before enough others approved it, is judged once more at most, and ends",
    ),
    "outside": ("TASK-6", "what ran twice outside did so for a reason that the ledger tells, and counts once"),
    "starve": ("WORK-2", "in a calm fleet no worker is idle for longer than the bound while it may claim something"),
    "calm": ("LIVE", "a step that does nothing is not due again at once, and no step raises"),
}
"""Number or name -> the law it comes from, and what must hold."""


class Broke(AssertionError):
    """An invariant does not hold.

    Attributes:
        schedule: the commands that led here. world: as it was then.
    """

    schedule: list[str]
    world: World

    def __init__(self, invariant: int | str, what: str) -> None:
        super().__init__(f"{INVARIANTS[invariant][0]} ({invariant}): {what}")
        self.invariant = invariant


class Laws:
    """Counts what was checked."""

    def __init__(self) -> None:
        self.checked: Counter[int | str] = Counter()

    def hold(self, true: object, invariant: int | str, what: str) -> None:
        """Raise `Broke` unless it is true."""
        self.checked[invariant] += 1
        if not true:
            raise Broke(invariant, what)
