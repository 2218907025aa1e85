"""What came of it: each task in the ledger, each process that ran one outside of it, and why some ran more than once."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.fleet import Fleet

NEAR_S = 0.25
"""Two clocks of one machine, read by a shell and by us around a signal, differ by less."""


class Act(NamedTuple):
    """A piece of mischief: from the signal until the laptop was let go on or started again."""

    node: str
    kind: str
    since_s: float
    until_s: float


class Run(NamedTuple):
    """A process that ran a task, as its own lines say."""

    lease: str
    token: int
    node: str
    begun_s: float
    ended_s: float | None


class Report(NamedTuple):
    """All that was counted.

    Attributes:
        effective: tasks with exactly one applied finish that says succeeded; `lost` have none, `doubled` more.
        again: why a task was run by more than one process, and how often.
        states: the digest that each node has come to.
        trunk: commits of the trunk since the DAG was submitted.
    """

    effective: int
    lost: list[str]
    doubled: list[str]
    sound: bool
    states: set[str]
    runs: int
    again: dict[str, int]
    acts: dict[str, int]
    verdicts: dict[str, int]
    codes: dict[int, int]
    trunk: int
    took_s: float

    def good(self, tasks: int) -> bool:
        """Every task effective once, in a ledger that is sound and one on all nodes."""
        once = self.effective == tasks and not self.lost and not self.doubled
        return once and self.sound and len(self.states) == 1

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.effective} tasks effective once, {len(self.lost)} lost, {len(self.doubled)} doubled, in {self.took_s:.0f} s"
        yield f"ledger {'sound' if self.sound else 'UNSOUND'}; {len(self.states)} state on all nodes; {self.trunk} epochs"
        yield f"mischief: {_counts(self.acts)}"
        yield f"{self.runs} processes ran a task, {sum(self.again.values())} of them one that another ran too:"
        yield from (f"  {number:4}  {why}" for why, number in sorted(self.again.items()))
        yield f"verdicts: {_counts(self.verdicts)}"
        yield f"workers ended: {_counts(self.codes)}"


def _counts(found: Any) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(found.items())) or "none"


def reckon(
    fleet: Fleet, names: Sequence[str], effects: Path, acts: list[Act], tasks: int, took_s: float, codes: list[int]
) -> Report:
    """Bring every node up to date, and count."""
    states = {fleet.ok(name, "sync")["state"] for name in names}
    states = {fleet.ok(name, "sync")["state"] for name in names} if len(states) > 1 else states
    log = [json.loads(line) for line in fleet.mesh(names[0], "log", "--json").out.splitlines()]
    finishes, claims = defaultdict(list), defaultdict(list)
    for entry in log:
        if entry["kind"] == "task.finish" and entry["verdict"] == "applied":
            finishes[entry["body"]["under"]["lease"]].append(entry)
        if entry.get("result") in ("granted", "released") and entry["body"]["lease"].startswith("task:"):
            claims[entry["body"]["lease"]].append(entry)
    good = {lease: [e for e in found if e["result"] == "succeeded"] for lease, found in finishes.items()}
    runs = list(_runs(effects))
    leases = {entry["body"]["lease"] for found in claims.values() for entry in found}
    lost = sorted(lease for lease in leases if not good.get(lease)) + ["?"] * (tasks - len(leases))
    doubled = sorted(lease for lease, found in finishes.items() if len(found) > 1)
    under = Counter((run.lease, run.token) for run in runs)
    begun_anew = "its laptop was stopped, its command ended, and its claim still stood: begun anew under it"
    counted = Counter(_why(run, finishes[run.lease], claims[run.lease], acts) for run in runs)
    counted[begun_anew] = sum(number - 1 for number in under.values())
    begun = min((e["epoch"] for e in log if e["kind"] == "dag.submit"), default=0)
    about = (e for e in log if e["kind"].startswith(("task.", "lease.")))
    return Report(
        sum(len(found) == 1 for found in good.values()),
        lost,
        doubled,
        fleet.mesh(names[0], "verify", "--json").data["ok"],
        states,
        len(runs),
        {why: number for why, number in counted.items() if why and number},
        Counter(act.kind for act in acts),
        Counter(f"{e['kind']} {e['result'] or e['rule']}" for e in about),
        Counter(codes),
        max(e["epoch"] for e in log) - begun,
        took_s,
    )


def _runs(effects: Path) -> Iterator[Run]:
    lines = [line.split() for line in effects.read_text().splitlines()]
    ended = {(lease, token): float(at) for word, lease, token, _, at in lines if word == "end"}
    for word, lease, token, home, at in lines:
        if word == "begin":
            yield Run(lease, int(token), Path(home).name, float(at), ended.get((lease, token)))


def _why(run: Run, finishes: list[Any], claims: list[Any], acts: list[Act]) -> str:
    """Why a run is not the one whose finish counts; nothing where it is."""
    if any(entry["body"]["under"]["token"] == run.token for entry in finishes):
        return ""
    how = "taken over after its silence" if _taken(run, claims) else "given back"
    touched = [act for act in acts if act.node == run.node and act.until_s >= run.begun_s - NEAR_S]
    for act in sorted(touched, key=lambda act: act.since_s):
        if act.kind == "stop":
            return f"its laptop was stopped past the ttl; {how}"
        done = run.ended_s is not None and run.ended_s <= act.since_s + NEAR_S
        what = {"worker": "its worker", "sync": "its mesh-sync", "laptop": "its laptop"}[act.kind]
        return f"{what} was killed {'after it had run, before it was filed' if done else 'while it ran'}; {how}"
    return f"nothing was done to its laptop; {how}"


def _taken(run: Run, claims: list[Any]) -> bool:
    later = [e for e in claims if e["epoch"] > run.token]
    return bool(later) and min(later, key=lambda e: e["epoch"])["kind"] == "lease.take"
