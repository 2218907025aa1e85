"""Where a host shows two branches beside each other, so that a pull request can be opened from there.

Knows: the addresses of hubs, and the pages of GitHub, GitLab, Gitea and Forgejo.
Knows not: whether such a page is there. Nothing is asked.

    compare_url("git@github.com:acme/fleet.git", "mesh", "mesh-node/elm-12ab34cd")
    # "https://github.com/acme/fleet/compare/mesh...mesh-node/elm-12ab34cd?expand=1"
"""

from __future__ import annotations

import re
from urllib.parse import quote

_WEB = re.compile(r"https?://(?:[^/@\s]+@)?(?P<host>[A-Za-z0-9.:-]+)/(?P<path>[A-Za-z0-9._~/-]+)")
_SSH = re.compile(
    r"(?:ssh://)?(?:[A-Za-z0-9._-]+@)(?P<host>[A-Za-z0-9.-]+)(?::[0-9]+/|[:/])(?P<path>[A-Za-z0-9._~/-]+)"
)


def compare_url(hub: str, base: str, head: str) -> str | None:
    """The page on which a pull request from `head` to `base` is opened; None where the hub is no host that has one."""
    found = _WEB.fullmatch(hub) or _SSH.fullmatch(hub)
    if found is None:
        return None
    host, path = found["host"], found["path"].strip("/").removesuffix(".git")
    if path.count("/") < 1:
        return None
    base, head = quote(base, safe="/"), quote(head, safe="/")
    if "gitlab" in host:
        query = f"merge_request[source_branch]={head}&merge_request[target_branch]={base}"
        return f"https://{host}/{path}/-/merge_requests/new?{quote(query, safe='=&/')}"
    return f"https://{host}/{path}/compare/{base}...{head}?expand=1"
