"""`python -m tests.chaos`: everything that is thrown at the mesh, in one report: what was run, with seeds and counts.

python -m tests.chaos --seed 0 --runs 300          # build/chaos.md and build/chaos.json; exit 1 if anything broke
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
STEPS = 150
LIMIT_S = 1500


class Part(NamedTuple):
    """One kind of trouble: the tests that make it, and what makes them make more of it."""

    name: str
    says: str
    tests: tuple[str, ...]
    more: dict[str, str]


PARTS = (
    Part(
        "recorded histories",
        "real commands over file, HTTP and ssh hubs, killed, stopped and behind a flaky git; checked by "
        "Wing-Gong-Lowe, a lease at a time",
        ("tests/linear",),
        {"MESH_LINEAR_ROUNDS": "4"},
    ),
    Part(
        "crash points",
        "a publish killed at system calls, and unsynced bytes lost; afterwards the node starts, converges, and no seq "
        "was used twice",
        ("tests/crash",),
        {},
    ),
    Part(
        "two hubs",
        "halves of a fleet, merged in random orders by commands alone; hubs rolled back, replaced and damaged",
        ("tests/test_reconciling.py", "tests/test_healing.py", "tests/test_divergence.py"),
        {"MESH_RECONCILE_ROUNDS": "3"},
    ),
    Part("mutants", "faults of one line in our own code; each must be noticed", ("tests/test_mutants.py",), {}),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the simulator's first seed")
    parser.add_argument("--runs", type=int, default=300, help="how many schedules it plays")
    parser.add_argument("--folder", type=Path, default=ROOT / "build", help="where chaos.md and chaos.json go")
    parser.add_argument("--simulator-only", action="store_true", help="leave out what the test suite does anyway")
    given = parser.parse_args()
    parts = () if given.simulator_only else PARTS
    found = [_simulated(given.seed, given.runs), *(_tested(part) for part in parts)]
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.platform()}
    report = {**machine, "ok": all(part["ok"] for part in found), "parts": found}
    given.folder.mkdir(parents=True, exist_ok=True)
    (given.folder / "chaos.json").write_text(json.dumps(report, indent=1) + "\n")
    (given.folder / "chaos.md").write_text("\n".join(_page(report)) + "\n")
    print("\n".join(_page(report)))
    return 0 if report["ok"] else 1


def _simulated(seed: int, runs: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "sim.json")
        command = ["-m", "tests.sim", "--seed", str(seed), "--steps", str(STEPS), "--runs", str(runs), "--keep-going"]
        page = Path(folder, "sim.md")
        ok, took_s, said = _run([*command, "--json", str(file), "--markdown", str(page)], {})
        counts = json.loads(file.read_text()) if file.exists() else {}
        told = page.read_text() if page.exists() else ""
    says = f"seeded schedules of real engines, seeds {seed} to {seed + runs - 1}, {STEPS} commands each"
    shown = {"name": "simulator", "says": says, "ok": ok, "took_s": took_s, "counts": counts, "page": told}
    return shown if ok else {**shown, "said": said}


def _tested(part: Part) -> dict[str, Any]:
    ok, took_s, said = _run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *part.tests], part.more)
    counts = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", said[-400:])}
    ok = ok and set(counts) == {"passed"}
    shown = {"name": part.name, "says": part.says, "ok": ok, "took_s": took_s, "counts": counts}
    return shown if ok else {**shown, "said": said}


def _run(argv: list[str], more: dict[str, str]) -> tuple[bool, int, str]:
    """(whether it ended well, seconds, the end of what it said)."""
    print(f"{' '.join(argv)} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=ROOT,
            env={**os.environ, **more},
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, LIMIT_S, f"it took longer than {LIMIT_S} s"
    said = (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.returncode == 0, round(time.monotonic() - began), said[-4000:]


def _page(report: dict[str, Any]) -> Iterator[str]:
    yield "# Chaos report"
    yield ""
    yield f"Python {report['python']}, {report['cpus']} cores, {report['system']}."
    yield ""
    yield "| what | ended | took | counts |"
    yield "|---|---|--:|---|"
    for part in report["parts"]:
        numbers = {key: value for key, value in part["counts"].items() if isinstance(value, int)}
        counts = ", ".join(f"{key.replace('_', ' ')} {value:,}" for key, value in numbers.items())
        ended = "well" if part["ok"] else "**BROKEN**"
        yield f"| {part['name']}: {part['says']} | {ended} | {part['took_s']} s | {counts} |"
    for part in report["parts"]:
        if part.get("page"):
            yield from ("", re.sub("^#", "##", part["page"], flags=re.MULTILINE).rstrip())
        if not part["ok"]:
            yield from ("", f"## {part['name']}", "", "```text", part.get("said", ""), "```")


if __name__ == "__main__":
    sys.exit(main())
