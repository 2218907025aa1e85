"""Play seeded schedules of a fleet, and print the play of the first that breaks, cut down to what it takes.

python -m tests.sim --seed 7 --steps 2000               # one schedule
python -m tests.sim --seed 0 --runs 1000 --json FILE --markdown FILE
python -m tests.sim --play tests/scenarios/fleet/x.txt  # one that is written down
python -m tests.sim --plays                             # write what comes of the kept plays anew
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import orjson

from tests.sim.chance import Settings
from tests.sim.law import Broke
from tests.sim.plays import PLAYS, failing_play, play, schedule_of
from tests.sim.report import Report
from tests.sim.running import run
from tests.sim.shrink import shrink

REAL_EVERY = 50
"""Signatures are real in one schedule of so many."""


def _arguments() -> argparse.Namespace:
    assert __doc__
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=2000, help="commands of each schedule, before it heals")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument("--real", action="store_true", help="real signatures in all, not in one of fifty")
    parser.add_argument("--keep-going", action="store_true", help="do not end at the first that breaks")
    parser.add_argument("--json", type=Path, help="write the report here")
    parser.add_argument("--markdown", type=Path, help="write the report here, for people")
    parser.add_argument("--play", type=Path, help="play this file, and print what comes of it")
    parser.add_argument("--plays", action="store_true", help="write what comes of the kept plays anew")
    return parser.parse_args()


def _played(seed: int, given: argparse.Namespace, report: Report) -> bool:
    settings = Settings.of(seed, given.steps)._replace(real=given.real or seed % REAL_EVERY == REAL_EVERY - 1)
    try:
        report.add(seed, run(settings))
    except Broke as broke:
        report.add(seed, broke.world)
        print(f"seed {seed}: {broke}; cutting it down ...", file=sys.stderr)
        text = failing_play(shrink(broke.schedule, broke.invariant))
        report.failed(seed, broke, text)
        print(text)
        return False
    return True


def main() -> int:
    given = _arguments()
    if given.plays:
        for path in sorted(PLAYS.glob("*.txt")):
            path.write_text(play(path.read_text("utf-8")), "utf-8")
            print(path.name)
        return 0
    if given.play:
        print(failing_play(schedule_of(given.play.read_text("utf-8"))))
        return 0
    report = Report()
    for seed in range(given.seed, given.seed + given.runs):
        if not _played(seed, given, report) and not given.keep_going:
            break
    if given.json:
        given.json.write_bytes(orjson.dumps(report.value(), option=orjson.OPT_INDENT_2))
    if given.markdown:
        given.markdown.write_text(report.markdown(), "utf-8")
    print(report.line())
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
