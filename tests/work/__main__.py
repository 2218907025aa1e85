"""`python -m tests.work`: the real one; exit 1 where a task is lost or doubled, or the ledger is not sound.

python -m tests.work --tasks 1000 --nodes 8 --seed 1
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.work.chaos import Plan, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.work", description=__doc__)
    plan = Plan(tasks=1000, nodes=8, ttl_s=15.0, every_s=5.0, slots=4, patience_s=3600.0)
    for field, default in plan._asdict().items():
        parser.add_argument(f"--{field.replace('_', '-')}", type=type(default), default=default)
    parser.add_argument("--folder", type=Path, help="kept; default: a temporary one")
    given = vars(parser.parse_args())
    folder = given.pop("folder")
    plan = Plan(**given)
    with tempfile.TemporaryDirectory() as spare:
        (folder or Path(spare)).mkdir(parents=True, exist_ok=True)
        report = run(folder or Path(spare), plan, told=True)
    print(f"{plan}\n" + "\n".join(report.lines()))
    return 0 if report.good(plan.tasks) else 1


if __name__ == "__main__":
    sys.exit(main())
