"""One look at where the trunk, or a pull request, stands, for a command that must be quick: one git process, and no store.

Knows: how to ask a hub for one tip, in the one scrubbed environment.
Knows not: objects. Whoever sees another tip than the one it knows opens the store and reads (`git.GitStore`).

GitPython alone takes longer to import than this takes to run; a cold `mesh status` mostly learns that nothing is new.

    trunk_tip("/srv/fleet.git", "mesh", environment(), timeout_ms=30_000)      # "<oid>", or None: read it properly
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence

from orxaq_mesh.store.answers import Ran, tips
from orxaq_mesh.store.environment import check_hub_url, git_environment
from orxaq_mesh.store.pipes import finish

_OID = re.compile("[0-9a-f]{40}(?:[0-9a-f]{24})?")
PULL_REFS = ("refs/pull/{}/head", "refs/merge-requests/{}/head")
"""Where hosts show the head of a pull request: GitHub, Gitea and Forgejo; GitLab."""


def trunk_tip(
    hub_url: str, trunk: str, environ: Mapping[str, str], timeout_ms: int, ssh_control_dir: str | None = None
) -> str | None:
    """The trunk's tip at the hub; None where the hub does not answer, or has no such branch.

    Raises:
        Usage: the address is none that git may be given (trap B5).
    """
    ran = _listed(hub_url, [f"refs/heads/{trunk}"], environ, timeout_ms, ssh_control_dir)
    return tips(ran.out, trunk).get(trunk) if ran is not None and ran.good else None


def pull_tips(
    hub_url: str, number: int, environ: Mapping[str, str], timeout_ms: int, ssh_control_dir: str | None = None
) -> set[str]:
    """The heads that the hub shows for a pull request; none where it does not answer, or has no such one.

    Raises:
        Usage: as above.
    """
    names = [pattern.format(number) for pattern in PULL_REFS]
    ran = _listed(hub_url, names, environ, timeout_ms, ssh_control_dir)
    lines = ran.out.decode("ascii", "replace").splitlines() if ran is not None and ran.good else []
    shown = [line.split("\t") for line in lines]
    return {words[0] for words in shown if len(words) == 2 and words[1] in names and _OID.fullmatch(words[0])}


def _listed(
    hub_url: str, names: Sequence[str], environ: Mapping[str, str], timeout_ms: int, ssh_control_dir: str | None
) -> Ran | None:
    argv = ["git", "ls-remote", "--", check_hub_url(hub_url), *names]
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
    return finish(process, b"", timeout_ms)
