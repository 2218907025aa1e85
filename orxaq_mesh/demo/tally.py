"""What the release comes to when it is over: counted in the ledger, at the gate, and where nobody asks for a token.

Knows: three counts, why a task ran more often than it counts, and the receipts.
Knows not: how they are shown (`page`).
Laws: FENCE (once in the ledger, once behind the gate), TASK-6 and TASK-7; outside both a task may run again, and is counted.

    tally = count(release)        # Tally(inside={"fetch": {...}, ...}, again=[Again("lint", "elm", 22, "..."), ...], ...)
"""

from __future__ import annotations

from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.demo.acts import must
from orxaq_mesh.demo.release import DAG, NEEDS, SLEEPER, STRUCK, Release
from orxaq_mesh.demo.stage import Facts
from orxaq_mesh.demo.world import WROTE, Run


class Again(NamedTuple):
    """A run that does not count in the ledger, and why there was another one of the same task."""

    run: Run
    why: str


class Tally(NamedTuple):
    """The counts.

    Attributes:
        inside: task -> its one finish that was applied: node, token, record.
        runs: every run that began outside.
        written: runs that the gate let in.
        again: the runs that the ledger does not count.
        late: what the sleeper filed under its old token, with the verdicts.
        receipts: how many receipts the counted runs filed; `artefacts`: task -> sha256, as it was hashed again.
    """

    inside: dict[str, Facts]
    runs: list[Run]
    written: list[Run]
    again: list[Again]
    late: list[Facts]
    receipts: int
    artefacts: dict[str, str]

    def told(self) -> Facts:
        """As JSON."""
        return self._asdict() | {
            "runs": [run._asdict() for run in self.runs],
            "written": [run._asdict() for run in self.written],
            "again": [{**found.run._asdict(), "why": found.why} for found in self.again],
        }


def count(release: Release) -> Tally:
    """Count, and hold it against what must be.

    Raises:
        Missed: a task counts not once, stands behind the gate by another run than the ledger's, or a file is not its receipt's.
    """
    judged = release.right.mesh("oak", "log", "--kind", "task")
    inside = _inside(judged)
    runs = release.world.runs()
    written = [run for run in runs if run.how == WROTE]
    again = [Again(run, _why(release, run)) for run in runs if inside[run.task]["token"] != run.token]
    _once_behind_the_gate(release, inside, written)
    slept = release.struck[SLEEPER]
    late = [item for item in judged if _under(item) == (slept.task, slept.token)]
    must(all(item["verdict"] == "fenced" for item in late), f"what {SLEEPER} files late is fenced")
    filed = [item for item in judged if item["kind"] == "task.receipt" and item["verdict"] == "applied"]
    filed = [item for item in filed if inside[_under(item)[0]]["token"] == _under(item)[1]]
    return Tally(inside, runs, written, again, late, len(filed), _hash_again(release, inside, filed))


def _inside(judged: list[Facts]) -> dict[str, Facts]:
    done = [item for item in judged if item["kind"] == "task.finish" and item["verdict"] == "applied"]
    done = [item for item in done if item["body"]["outcome"] == "succeeded"]
    times = Counter(_under(item)[0] for item in done)
    must(times == dict.fromkeys(NEEDS, 1), f"every task is effective once in the ledger: {dict(times)}")
    return {_under(item)[0]: {"node": _node(item), "token": _under(item)[1], "record": item["id"]} for item in done}


def _node(item: Facts) -> str:
    """Who signed: a log's name is the node's and eight digits of its key."""
    return str(item["node"]).rpartition("-")[0]


def _under(item: Facts) -> tuple[str, int]:
    """The task and the token that a record acts under."""
    under = item["body"].get("under", {})
    return under.get("lease", "").removeprefix(f"task:{DAG}/"), under.get("token", 0)


def _once_behind_the_gate(release: Release, inside: dict[str, Facts], written: list[Run]) -> None:
    for task, found in inside.items():
        text = f"{task}: by {found['node']}, token {found['token']}"
        must(release.world.result(task) == text, f"behind the gate stands what the ledger counts: {text}")
    for node in (STRUCK, SLEEPER):
        was = release.struck[node]
        must(was.pid not in {run.pid for run in written}, f"{node} wrote nothing of {was.task}")


def _why(release: Release, run: Run) -> str:
    refused = f"refused at the gate: {run.token} < {run.mark}"
    if run.pid == release.struck[STRUCK].pid:
        return f"{STRUCK}'s power failed in the middle; how far it had come nobody knows"
    if run.pid == release.struck[SLEEPER].pid:
        return f"{SLEEPER} slept longer than its ttl; awake, it was {refused}"
    return f"{run.node} was too slow: its claim had passed on{f'; {refused}' if run.mark else ''}"


def _hash_again(release: Release, inside: dict[str, Facts], filed: list[Facts]) -> dict[str, str]:
    found = {}
    for item in filed:
        task = _under(item)[0]
        folder = release.folder(inside[task]["node"])
        for artefact in item["body"]["artefacts"]:
            data = Path(folder, artefact["path"]).read_bytes()
            same = (len(data), sha256(data).hexdigest()) == (artefact["bytes"], artefact["sha256"])
            must(same, f"{artefact['path']} is what its receipt says")
            found[task] = artefact["sha256"]
    must(set(found) == set(NEEDS), "every task has a receipt with its artefact")
    return found
