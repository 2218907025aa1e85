"""One node of the race. Reads a lease's name from stdin, asks for it, and writes what it was told, line by line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from orxaq_mesh.errors import MeshError
from tests.race.fleet import TTL_MS, at_home


def main() -> None:
    mesh = at_home(Path(sys.argv[1]), sys.argv[2])
    print("{}", flush=True)
    for line in sys.stdin:
        try:
            told = mesh.acquire(line.strip(), TTL_MS)._asdict()
        except MeshError as error:
            told = {"verdict": "error", "result": "", "what": error.what}
        print(json.dumps(told, default=str), flush=True)


if __name__ == "__main__":
    main()
