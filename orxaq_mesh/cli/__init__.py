"""The command line: `mesh NOUN VERB`, and the program `mesh-sync`.

Knows: which file holds which command, options, exit codes, what is printed where.
Knows not: any rule, the hub, git: everything is asked of `Mesh`.
Laws: QUIET (all words from a ledger pass the sanitiser in `call`), CLOSED (no fault ends in a guess or a traceback).

    call     what every command shares: --home, --json, -q, -v, --key, --dry-run; and how its answer leaves the program
    app      the programs: one command imported a run
    faults   every fault one line and an exit code
    view     the only importer of rich
    ...      one file a noun

    mesh lease acquire deploy --ttl 10m
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn


def main() -> NoReturn:
    """The program `mesh`, also called `orxaq-mesh`."""
    from orxaq_mesh.cli.faults import leave_tidily, whole_streams
    from orxaq_mesh.cli.screen import asked

    whole_streams()
    leave_tidily()
    if (options := asked(sys.argv[1:])) is not None:
        sys.exit(_status(options))
    from orxaq_mesh.cli.app import run

    sys.exit(run(sys.argv[1:]))


def _status(options: dict[str, Any]) -> int:
    from orxaq_mesh.cli.call import begin
    from orxaq_mesh.cli.faults import guarded, refuse_foreign
    from orxaq_mesh.cli.screen import show

    offline = options.pop("offline", False)
    vars(begin()).update(options)

    def shown() -> int:
        refuse_foreign(sys.argv[1:])
        return show(offline=offline)

    return guarded(shown)


def sync_main() -> NoReturn:
    """The program `mesh-sync`."""
    from orxaq_mesh.cli.app import run_sync
    from orxaq_mesh.cli.faults import leave_tidily, whole_streams

    whole_streams()
    leave_tidily()
    sys.exit(run_sync(sys.argv[1:]))
