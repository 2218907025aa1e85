"""What stands behind the real ports in a simulation: clock, journal, push budget, signatures.

Every fault comes in here and in `hub`, so the code under test has no hooks. `Crash` ends a node between two effects.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from orxaq_mesh import fold, keys, spine
from orxaq_mesh.effects import Pace
from orxaq_mesh.home import journal_lines
from orxaq_mesh.home.budget import spend
from orxaq_mesh.keys import SecretKey, namespace
from orxaq_mesh.kinds import State
from orxaq_mesh.record import Value, canonical, unsigned
from orxaq_mesh.sync import performer
from tests import builder

if TYPE_CHECKING:
    from tests.sim.node import SimNode
    from tests.sim.world import World

PACE = Pace(2000, 400)
MAX_JOURNAL_BYTES = 12_000
RUNG_RECORDS = 12
"""Small, so that journals are compacted often, and states of the past are kept."""


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

    def __init__(self, node: SimNode, interval_ms: int, burst: int) -> None:
        self.node, self.interval_ms, self.burst, self.full_at_ms = node, interval_ms, burst, 0

    def take(self, now_ms: int) -> int:
        wait_ms, self.full_at_ms = spend(self.full_at_ms, now_ms, self.interval_ms, self.burst)
        self.node.world.laws.hold(not wait_ms, 20, f"{self.node.name} pushes {wait_ms} ms before its budget allows it")
        return wait_ms

    def wait_ms(self, now_ms: int) -> int:
        return spend(self.full_at_ms, now_ms, self.interval_ms, self.burst)[0]


class SimJournal:
    """A journal's bytes, in the real journal's own form. A crash in the middle of an append leaves a torn last line.

    Attributes:
        data: what lies on the disk, a line an append.
        entries: what the running process has read of it or added.
    """

    path = "journal"

    def __init__(self, node: SimNode) -> None:
        self.node, self.data, self.entries = node, b"", list[Any]()

    @property
    def size(self) -> int:
        return len(self.data)

    def open(self) -> None:
        """A new process reads what the disk has; what never finished is put aside."""
        self.entries, size = journal_lines.read(self.data)
        if size < len(self.data):
            self.node.world.count("torn journal")
        self.data = self.data[:size]

    def append(self, *entries: Mapping[str, Any]) -> None:
        if not entries:
            return
        line = journal_lines.dump(entries)
        self.node.point("before the journal")
        try:
            self.node.point("in the middle of the journal")
        except Crash:
            self.data += line[: 1 + len(line) // 3]
            raise
        self.data += line
        self.entries += entries
        self.node.world.checks.journalled(self.node, entries)
        self.node.point("after the journal")

    def rewrite(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Compaction: a crash leaves the old journal or the new one."""
        data = b"".join(journal_lines.dump([entry]) for entry in entries)
        self.node.point("before the journal is compacted")
        self.data = data
        self.entries = journal_lines.read(data)[0]
        self.node.point("after the journal is compacted")

    def without_last(self, count: int) -> bytes:
        """The bytes of a backup, taken `count` appends ago; the identity is never lost."""
        lines = self.data.splitlines(keepends=True)
        return b"".join(lines[: max(1, len(lines) - count)])


class PatientBudget(SimBudget):
    """The same budget, for a command that sleeps until it may push: the world's time passes."""

    def __init__(self, other: SimBudget) -> None:
        super().__init__(other.node, other.interval_ms, other.burst)
        self.other, self.full_at_ms = other, other.full_at_ms

    def wait_ms(self, now_ms: int) -> int:
        self.node.world.now_ms += super().wait_ms(now_ms)
        return 0

    def take(self, now_ms: int) -> int:
        super().take(now_ms)
        self.other.full_at_ms = self.full_at_ms
        return 0


class SimFile:
    """One file of the cache."""

    data: bytes | None = None

    def read(self) -> Any:
        return orjson.loads(self.data) if self.data else None


def _write(file: SimFile, data: bytes) -> None:
    file.data = data


class SimLadder:
    """The ladder's rungs (`sync.ladder`), in memory and never thinned."""

    def __init__(self) -> None:
        self.rungs: dict[int, bytes] = {}

    def climb(self, rungs: list[State]) -> None:
        self.rungs |= {state.epoch: fold.snapshot(state) for state in rungs}
        rungs.clear()

    def below(self, epoch: int) -> State | None:
        self.rungs = {at: data for at, data in self.rungs.items() if at <= epoch}
        return fold.restore(self.rungs[max(self.rungs)]) if self.rungs else None


def fast_sign(key: SecretKey, space: str, message: bytes) -> str:
    """Stands in for a signature where a schedule is about other things: 64 bytes that only this line has."""
    return base64.b64encode(hashlib.sha512(key.public.raw + space.encode() + message).digest()).decode()


def real_sign(key: SecretKey, space: str, message: bytes) -> str:
    return key.sign(space, message)


def _fast_verify(key: bytes, space: str, message: bytes, sig: str) -> bool:
    return sig == base64.b64encode(hashlib.sha512(key + space.encode() + message).digest()).decode()


def _fast_line(value: Value, key: SecretKey, ledger_id: str | None) -> bytes:
    return canonical({**value, "sig": fast_sign(key, namespace(ledger_id), unsigned(value))})


_parse = cache(keys.PublicKey.parse)


@contextlib.contextmanager
def simulated(real_signatures: bool) -> Iterator[None]:
    """Within it journals are compacted early; and, if wanted, `fast_sign`'s signatures count, and no others."""
    swaps: list[tuple[Any, str, Any]] = [
        (performer, "MAX_JOURNAL_BYTES", MAX_JOURNAL_BYTES),
        (performer, "atomic_write", _write),
        (performer, "read_json_cache", SimFile.read),
        (spine, "RUNG_RECORDS", RUNG_RECORDS),
        (keys.PublicKey, "parse", _parse),  # the same few keys, again and again
    ]
    if not real_signatures:
        swaps.append((builder, "sign", _fast_line))
        rooms = [room for name, room in sorted(sys.modules.items()) if name.startswith("orxaq_mesh")]
        swaps += [(room, "verify", _fast_verify) for room in rooms if getattr(room, "verify", None) is keys.verify]
    with contextlib.ExitStack() as stack:
        for room, name, fake in swaps:
            stack.callback(setattr, room, name, getattr(room, name))
            setattr(room, name, fake)
        yield
