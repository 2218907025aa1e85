"""GitHub's own program, where it is installed and asked for: it opens a pull request.

Knows: how `gh` is called, and what it says.
Knows not: what is proposed.

    open_pull_request("github.com/acme/fleet", "mesh", "mesh-node/elm-12ab34cd", "1 proposed by elm", "...")
    # "https://github.com/acme/fleet/pull/12"
"""

from __future__ import annotations

import subprocess

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.process import environment
from orxaq_mesh.text import clean

_TIMEOUT_S = 60


def open_pull_request(repository: str, base: str, head: str, title: str, body: str) -> str:
    """Open a pull request; gives its page.

    Args:
        repository: host, owner and name, with slashes between.

    Raises:
        MeshFault: `gh` is not installed, says no, or nothing in time.
    """
    argv = ["gh", "pr", "create", "--repo", repository, "--base", base, "--head", head]
    argv += ["--title", title, "--body-file", "-"]
    hint = "open it on the host's page instead: mesh propose"
    try:
        ran = subprocess.run(
            argv, input=body.encode(), capture_output=True, timeout=_TIMEOUT_S, check=False, env=environment(), cwd="/"
        )
    except FileNotFoundError:
        raise MeshFault("gh is not installed", hint=hint) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MeshFault(f"gh did not answer: {clean(str(error))}", hint=hint) from None
    said = (ran.stdout if ran.returncode == 0 else ran.stderr).decode("utf-8", "replace").strip()
    last = clean(said.splitlines()[-1]) if said else ""
    if ran.returncode != 0:
        raise MeshFault(f"gh opened no pull request: {last}", hint=hint)
    return last
