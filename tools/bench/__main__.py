"""`python -m tools.bench`: the table, and the same as JSON.

python -m tools.bench --quick                # under a minute; rough
python -m tools.bench --only fold --json -   # one part
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.hubs import plain_git
from tools.bench.appending import append_rows
from tools.bench.enforcing import enforce_rows
from tools.bench.folding import fold_rows
from tools.bench.idling import idle_rows
from tools.bench.publishing import publish_rows
from tools.bench.reviewing import review_rows
from tools.bench.rows import Row, table
from tools.bench.starting import start_rows
from tools.bench.uniting import unite_rows
from tools.bench.waiting import takeover_rows, wait_rows
from tools.bench.working import work_rows

PARTS: dict[str, Callable[[bool], Iterable[Row]]] = {
    "fold": fold_rows,
    "publish": publish_rows,
    "start": start_rows,
    "append": append_rows,
    "unite": unite_rows,
    "review": review_rows,
    "work": work_rows,
    "wait": wait_rows,
    "takeover": takeover_rows,
    "idle": idle_rows,
    "enforce": enforce_rows,
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller ledgers, fewer rounds: under a minute, and rough")
    parser.add_argument("--json", metavar="FILE", default="bench.json", help="where the JSON goes; default bench.json")
    parser.add_argument("--only", metavar="NAME", action="append", choices=[*PARTS], help=", ".join(PARTS))
    chosen = parser.parse_args()
    rows: list[Row] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as home:
        _alone(Path(home))
        for name in chosen.only or PARTS:
            at = time.monotonic()
            print(f"measuring {name} ...", end=" ", file=sys.stderr, flush=True)
            rows += PARTS[name](chosen.quick)
            print(f"{time.monotonic() - at:.0f} s", file=sys.stderr)
    print("\n".join(table(rows)))
    machine = {"python": platform.python_version(), "git": plain_git("--version"), "cpus": os.cpu_count()}
    machine |= {"system": platform.platform(), "took_s": round(time.monotonic() - began)}
    Path(chosen.json).write_text(json.dumps({**machine, "rows": [row.value() for row in rows]}, indent=1) + "\n")


def _alone(home: Path) -> None:
    """No home, git configuration or mesh of this machine is touched or counts."""
    for name in [name for name in os.environ if name.startswith(("GIT_", "MESH_", "XDG_"))]:
        del os.environ[name]
    os.environ |= {"HOME": str(home), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": str(home / "gitconfig")}
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent.parent)


if __name__ == "__main__":
    main()
