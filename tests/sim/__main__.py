"""python -m tests.sim --seed N --steps M [--runs K]: play schedules, and print the play of the first that fails."""

from __future__ import annotations

import argparse
import sys

from tests.sim import Broke, Settings, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim", description="Play seeded schedules of a fleet.")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each schedule")
    parser.add_argument("--runs", type=int, default=1, help="how many seeds, one after the other")
    parser.add_argument("--real", action="store_true", help="with real signatures")
    parser.add_argument("-v", action="store_true", help="print the play of a good run too")
    given = parser.parse_args()
    for seed in range(given.seed, given.seed + given.runs):
        try:
            world = run(Settings.of(seed, given.steps)._replace(real=given.real))
        except Broke as broke:
            print(*broke.__notes__[::-1], sep="\n")
            print(f"seed {seed}: {broke}")
            return 1
        if given.v:
            print(*world.play, sep="\n")
        state = world.checks.ledger.state
        print(f"seed {seed}: {state.epoch} epochs, {state.records} records, {len(world.checks.grants)} grants: ok")
    return 0


if __name__ == "__main__":
    sys.exit(main())
