"""One look at where the trunk stands, for a command that must be quick: one git process, and no store.

Knows: how to ask a hub for one tip, in the one scrubbed environment.
Knows not: objects. Whoever sees another tip than the one it knows opens the store and reads (`git.GitStore`).

GitPython alone takes longer to import than this takes to run; a cold `mesh status` mostly learns that nothing is new.

    trunk_tip("/srv/fleet.git", "mesh", environment(), timeout_ms=30_000)      # "<oid>", or None: read it properly
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

from orxaq_mesh.store.answers import tips
from orxaq_mesh.store.environment import check_hub_url, git_environment
from orxaq_mesh.store.pipes import finish


def trunk_tip(
    hub_url: str, trunk: str, environ: Mapping[str, str], timeout_ms: int, ssh_control_dir: str | None = None
) -> str | None:
    """The trunk's tip at the hub; None where the hub does not answer, or has no such branch.

    Raises:
        Usage: the address is none that git may be given (trap B5).
    """
    argv = ["git", "ls-remote", "--", check_hub_url(hub_url), f"refs/heads/{trunk}"]
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=git_environment(environ, ssh_control_dir=ssh_control_dir),
            start_new_session=True,
            cwd="/",
        )
    except OSError:
        return None
    ran = finish(process, b"", timeout_ms)
    return tips(ran.out, trunk).get(trunk) if ran.good else None
