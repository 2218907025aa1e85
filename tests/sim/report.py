"""What was run, in numbers: schedules, steps, faults by kind, invariants by how often each was checked, and failures.

report = Report(); report.add(seed, world); report.failed(seed, broke, play)
report.value()         # for JSON
report.markdown()      # for people
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Any, NamedTuple

from orxaq_mesh import __version__
from tests.sim.law import INVARIANTS, Broke
from tests.sim.world import World


class Failure(NamedTuple):
    """A seed that broke something, and the play that is left of it."""

    seed: int
    invariant: int | str
    what: str
    play: str


class Report:
    """Adds up."""

    def __init__(self) -> None:
        self.began_s = time.monotonic()
        self.seconds = 0.0
        self.seeds: list[int] = []
        self.numbers: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.checked: Counter[int | str] = Counter()
        self.work: Counter[str] = Counter()
        self.longest_ms = 0
        self.failures: list[Failure] = []

    def add(self, seed: int, world: World) -> None:
        """A schedule was played, to its end or until it broke."""
        state = world.hub.view.ledger.state
        self.seeds.append(seed)
        self.faults += world.counts
        self.checked += world.laws.checked
        self.work += world.labour.counts
        self.longest_ms = max(self.longest_ms, world.labour.longest_ms)
        self.numbers += Counter(
            {
                "schedules": 1,
                "with real signatures": int(world.fleet.real),
                "commands": len(world.play),
                "engine steps": world.engine_steps,
                "epochs": state.epoch,
                "records": state.records,
                "grants": len(world.judge.grants),
                "commands under a lease": world.judge.under,
                "records held for an approval": world.judge.held,
                "answers found again at the end": world.told,
            }
        )
        self.seconds = time.monotonic() - self.began_s

    def failed(self, seed: int, broke: Broke, play: str) -> None:
        self.failures.append(Failure(seed, broke.invariant, str(broke), play))

    @property
    def split_brain(self) -> int:
        """Commands under a lease that took effect though somebody else held it (FENCE)."""
        return sum(failure.invariant in (8, 9, "belief") for failure in self.failures)

    @property
    def lost(self) -> int:
        """Records that were reported as sealed and are not in the ledger (PUSH)."""
        return sum(failure.invariant in (10, 11, "answer") for failure in self.failures)

    def value(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "schema_version": 1,
            "version": __version__,
            "seeds": [min(self.seeds, default=0), max(self.seeds, default=0)],
            "seconds": round(self.seconds, 1),
            "engine_steps_a_second": self.pace,
            **{name.replace(" ", "_"): number for name, number in self.numbers.items()},
            "split_brain_commands_accepted": self.split_brain,
            "committed_records_lost": self.lost,
            "work": dict(sorted(self.work.items())),
            "longest_idle_beside_ready_work_ms": self.longest_ms,
            "faults": dict(sorted(self.faults.items())),
            "checked": {str(name): self.checked[name] for name in INVARIANTS},
            "failures": [failure._asdict() for failure in self.failures],
        }

    @property
    def pace(self) -> int:
        return round(self.numbers["engine steps"] / self.seconds) if self.seconds else 0

    def markdown(self) -> str:
        """All of it, for people."""
        rows = [f"| {name} | {number:,} |" for name, number in self.numbers.items()]
        rows += [f"| engine steps a second | {self.pace:,} |"]
        rows += [f"| **split-brain commands accepted** | **{self.split_brain}** |"]
        rows += [f"| **committed records lost** | **{self.lost}** |"]
        checks = [f"| {law} | {what} | {self.checked[key]:,} |" for key, (law, what) in INVARIANTS.items()]
        parts = [
            "# Simulated schedules",
            f"Seeds {min(self.seeds, default=0)} to {max(self.seeds, default=0)}, orxaq-mesh {__version__}.",
            _table(("what", "how many"), rows),
            "## Work, outside of the ledger",
            _table(("what", "times"), [f"| {name} | {number:,} |" for name, number in sorted(self.work.items())]),
            f"In calm fleets nobody was idle for more than {self.longest_ms} ms beside work that was ready.",
            "## Faults",
            _table(("fault", "times"), [f"| {name} | {number:,} |" for name, number in sorted(self.faults.items())]),
            "## What was checked",
            _table(("law", "invariant", "times"), checks),
            "## Failures",
            "\n\n".join(f"Seed {f.seed}: {f.what}\n\n```\n{f.play}```" for f in self.failures) or "None.",
        ]
        return "\n\n".join(parts) + "\n"

    def line(self) -> str:
        """One line, for a terminal."""
        numbers = self.numbers
        return (
            f"{numbers['schedules']} schedules, {numbers['engine steps']:,} engine steps in {self.seconds:.1f} s "
            f"({self.pace:,} a second), {numbers['epochs']:,} epochs, {numbers['records']:,} records, "
            f"{numbers['grants']:,} grants, {sum(self.faults.values()):,} faults; split-brain commands accepted: "
            f"{self.split_brain}, committed records lost: {self.lost}, failures: {len(self.failures)}"
        )


def _table(heads: tuple[str, ...], rows: list[str]) -> str:
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *rows])
