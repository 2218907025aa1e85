"""python -m tests.linear FILE...: judge histories. Exit 0: all linearizable; 1: one is not; 2: no history; 3: not known."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.linear.check import MODELS, check
from tests.linear.forms import read

EXITS = {True: 0, False: 1, None: 3}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.linear", description="Judge whether histories are linearizable."
    )
    parser.add_argument("files", metavar="FILE", nargs="+", help="a Jepsen log, EDN or JSON lines; - is standard input")
    parser.add_argument("--model", choices=[*MODELS], help="by default the one that knows the file's operations")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="say unknown after so long a search of one file")
    parser.add_argument(
        "--failed-cas",
        choices=["observed", "ignored"],
        help="observed: the value was another (default for logs); ignored: it did not happen (default elsewhere)",
    )
    given = parser.parse_args(argv)
    failed_cas = None if given.failed_cas is None else given.failed_cas == "observed"
    return max(_judge(file, given.model, given.limit, failed_cas) for file in given.files)


def _judge(file: str, model: str | None, limit_s: float | None, failed_cas: bool | None) -> int:
    begun = time.monotonic()
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        verdict = check(read(text, failed_cas=failed_cas), model, limit_s)
    except (OSError, ValueError) as bad:
        print(f"{file}: {bad}", file=sys.stderr)
        return 2
    print(f"{file}: {verdict}  ({time.monotonic() - begun:.1f} s)" if verdict.linearizable else f"{file}: {verdict}")
    return EXITS[verdict.linearizable]


if __name__ == "__main__":
    sys.exit(main())
