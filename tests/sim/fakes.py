"""What stands behind the real ports in a simulation: hub, clock, journal, push budget, signatures.

Every fault comes in here, so the code under test has no hooks. `Crash` ends a node between two effects.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from orxaq_mesh import standing
from orxaq_mesh.errors import Unreachable
from orxaq_mesh.home.budget import spend
from orxaq_mesh.keys import SecretKey
from orxaq_mesh.store import Oid, Outcome, Pushed
from orxaq_mesh.store.memory import MemoryCommit, MemoryHub
from tests.sim.checks import hold

if TYPE_CHECKING:
    from tests.sim.world import World


class Crash(BaseException):
    """The process is gone: no handler of the code under test may see this."""


class SimClock:
    """A node's clocks: boot-time with an origin of its own, wall time that may be years off."""

    def __init__(self, world: World, boot_ms: int, wall_ms: int) -> None:
        self.world, self.boot_ms, self.wall_ms = world, boot_ms, wall_ms

    def now_ms(self) -> int:
        return self.world.now_ms + self.boot_ms

    def wall(self) -> int:
        return self.world.now_ms + self.wall_ms


class SimBudget:
    """The push budget's own arithmetic, without its file."""

    def __init__(self, interval_ms: int, burst: int) -> None:
        self.interval_ms, self.burst, self.full_at_ms = interval_ms, burst, 0

    def take(self, now_ms: int) -> int:
        wait_ms, self.full_at_ms = spend(self.full_at_ms, now_ms, self.interval_ms, self.burst)
        hold(not wait_ms, "PUSH", f"a push {wait_ms} ms before its budget allows it (20)")
        return wait_ms

    def wait_ms(self, now_ms: int) -> int:
        return spend(self.full_at_ms, now_ms, self.interval_ms, self.burst)[0]


class SimJournal:
    """A journal as a list; what an append brought is either all there or, after a crash, not at all."""

    path = "journal"
    size = 0

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.entries: list[dict[str, Any]] = []

    def append(self, *entries: dict[str, Any]) -> None:
        if entries:
            self.world.maybe_crash(self.name, "before the journal")
            self.entries.extend(entries)
            self.world.checks.journalled(self.name, entries)
            self.world.maybe_crash(self.name, "after the journal")

    def settle(self) -> None:
        """Nothing is torn."""


class SimHub(MemoryHub):
    """The hub, and the pushes that its network still carries."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world, self.down = world, False
        self.late: list[tuple[str, Oid | None, Oid, Mapping[Oid, MemoryCommit]]] = []

    def receive(self, branch: str, expected: Oid | None, new: Oid, commits: Mapping[Oid, MemoryCommit]) -> Pushed:
        pushed = super().receive(branch, expected, new, commits)
        if pushed.outcome is Outcome.COMMITTED and branch == "mesh":
            self.world.checks.trunk_moved(new)
        return pushed


class Port:
    """One node's line to the hub, with the faults of the hour."""

    def __init__(self, hub: SimHub, name: str) -> None:
        self.hub, self.name, self.world = hub, name, hub.world

    @property
    def commits(self) -> Mapping[Oid, MemoryCommit]:
        return self.hub.commits

    def tips(self) -> dict[str, Oid]:
        self._cross("reading the hub")
        return self.hub.tips()

    def send(self, oid: Oid) -> MemoryCommit | None:
        return self.hub.send(oid)

    def receive(self, branch: str, expected: Oid | None, new: Oid, commits: Mapping[Oid, MemoryCommit]) -> Pushed:
        self._cross("a push")
        world, name = self.world, self.name
        fate = world.fate()
        world.note(f"{name} pushes {branch} {str(expected)[:7]}..{new[:7]}{f' ({fate})' if fate else ''}")
        if fate in ("never sent", "late", "answer lost"):
            world.checks.unsure.add(new)
        match fate:
            case "vetoed":
                return Pushed(Outcome.LOST, "pre-receive hook declined", vetoed=True)
            case "never sent":
                return Pushed(Outcome.UNKNOWN, "the connection died")
            case "late":
                self.hub.late.append((branch, expected, new, commits))
                return Pushed(Outcome.UNKNOWN, "the connection died")
            case "doubled":
                self.hub.late.append((branch, expected, new, commits))
        known = new in world.checks.history
        pushed = self.hub.receive(branch, expected, new, commits)
        world.maybe_crash(name, "after a push")
        if fate == "answer lost":
            return Pushed(Outcome.UNKNOWN, "the connection died")
        if not known:
            world.checks.pushed(branch, new, pushed)
        return pushed

    def _cross(self, what: str) -> None:
        self.world.now_ms += self.world.random.randrange(1, 20)
        self.world.maybe_crash(self.name, f"before {what}")
        if self.hub.down or self.name in self.world.cut:
            raise Unreachable(f"the hub did not answer {what}")


def fast_sign(key: SecretKey, space: str, message: bytes) -> str:
    """Stands in for a signature where a schedule is about other things: 64 bytes that only this line has."""
    return base64.b64encode(hashlib.sha512(key.public.raw + space.encode() + message).digest()).decode()


def _fast_verify(key: bytes, space: str, message: bytes, sig: str) -> bool:
    return sig == base64.b64encode(hashlib.sha512(key + space.encode() + message).digest()).decode()


@contextlib.contextmanager
def fast_signatures() -> Iterator[None]:
    """Within it the ledger takes `fast_sign`'s signatures, and no others."""
    real, standing.verify = standing.verify, _fast_verify
    try:
        yield
    finally:
        standing.verify = real
