"""Which setting of a host is behind a refused push, and what to change so that nodes can work there.

Knows: the words by which GitHub, GitLab, Gitea, stock git and this project's own hub refuse a push.
Knows not: who pushed what. The words came through `answers`, and were made harmless there.

    behind("GH013: Repository rule violations found: - Changes must be made through a pull request.")
    # Setting("the trunk asks for pull requests", "let the nodes bypass that rule ...")
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Setting(NamedTuple):
    """What stands in the way, and how it is set right."""

    what: str
    mend: str


_BYPASS = "put the nodes' deploy keys, app or team on its bypass list (docs/guides/review-pull-requests.md)"
_SETTINGS: tuple[tuple[str, Setting], ...] = (
    (
        r"law [A-Z]+|\b(?:LINE|SIG|CHAIN|SEAL|RENDER|DIGEST|QUIET|SECRET)\b.*mesh explain",
        Setting("the hub checks the ledger, and this push breaks a law", "mesh explain LAW; mesh doctor on this node"),
    ),
    (
        r"changes must be made through a (?:pull|merge) request|GH006.*pull request",
        Setting("the trunk asks for a pull request for every change", f"nodes push it directly: {_BYPASS}"),
    ),
    (
        r"required status check|status checks? .*expected",
        Setting("the trunk asks for a status check before a push", f"keep the check for pull requests: {_BYPASS}"),
    ),
    (
        r"verified signature|must have (?:valid|verified) signatures?",
        Setting(
            "the trunk asks for signed commits", "lines of the ledger are signed, commits are not: take that rule out"
        ),
    ),
    (
        r"must not contain merge commits|linear history",
        Setting("the trunk asks for a linear history", "reconciling two histories is a merge: take that rule out"),
    ),
    (
        r"cannot (?:force.?push|delete)|non-fast-forward|denyNonFastForwards",
        Setting("only forward moves are allowed, and this one was none", "mesh sync: read the hub, and try again"),
    ),
    (
        r"cannot (?:create|update) .*(?:ref|branch)|creations? being restricted|updates? being restricted|restricted",
        Setting("the host restricts who may move this branch", _BYPASS),
    ),
    (r"to protected branch", Setting("the branch is protected", _BYPASS)),
    (
        r"not allowed to push|permission .*denied|write access|read.?only|deploy key",
        Setting(
            "this key may read there and not write", "give the node's key write access (a deploy key has a box for it)"
        ),
    ),
    (
        r"commit message|email|author|committer",
        Setting("the host checks what commits say of themselves", "take that rule out for the trunk and mesh-node/*"),
    ),
    (
        r"file (?:name|path|size|extension)|larger than|exceeds",
        Setting("the host checks names or sizes of files", "allow ledger/**; its files are small"),
    ),
    (
        r"checked out|denyCurrentBranch",
        Setting("the hub is a checkout with this branch in it", "use a bare repository: mesh hub init PATH"),
    ),
    (r"protected branch|GH006|rule violations|GH013", Setting("the branch is protected", _BYPASS)),
    (
        r"hook declined|pre-receive|update hook",
        Setting("a hook of the hub said no", "ask who runs the hub for its reason"),
    ),
)


def behind(reason: str) -> Setting | None:
    """The setting that a refusal speaks of; None: no known words of any host stand in it."""
    return next((found for words, found in _SETTINGS if re.search(words, reason, re.IGNORECASE)), None)
