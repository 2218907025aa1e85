"""What a command sees of this machine's environment: six names, and what the order asks for and the node lets out.

Knows: which names and values look like credentials.
Knows not: where the environment comes from (`home` reads it), or what the names mean.
A command still runs as this user and reads this user's files: this keeps secrets out of logs and of careless programs,
and is no sandbox.

    child_environment(environ, wanted=["CARGO_HOME", "NPM_TOKEN"], env_allow=[], own={"MESH_TASK": "release/build"})
    # Given(variables={"PATH": ..., "CARGO_HOME": ..., "MESH_TASK": ...}, withheld=("NPM_TOKEN",))
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from orxaq_mesh.credentials import find

ALWAYS: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TERM", "TMPDIR")
_WITHOUT_THESE_NOTHING_STARTS: Final = ("SYSTEMROOT", "PATHEXT", "COMSPEC", "TEMP", "TMP", "USERPROFILE")  # on Windows
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_SECRETIVE: Final = re.compile(
    "TOKEN|SECRET|PASS(?:WORD|WD|PHRASE)?(?:_|$)|PWD_|CREDENTIAL"
    "|(?:^|_)(?:KEY|KEYS|PAT|AUTH|DSN|COOKIE|JWT|PSK|PIN)(?:_|$)"
    "|APIKEY|ACCESSKEY|PGPASS|ASKPASS|AUTHORIZATION|AUTH_SOCK|_URI$|CONNECTION_STRING|KUBECONFIG|NETRC",
    re.IGNORECASE,
)


class Given(NamedTuple):
    """An environment for a command, and the names that the order asked for and did not get."""

    variables: dict[str, str]
    withheld: tuple[str, ...]


def child_environment(
    base: Mapping[str, str], *, wanted: Iterable[str], env_allow: Iterable[str], own: Mapping[str, str]
) -> Given:
    """Choose what a command is given.

    Args:
        base: this machine's environment.
        wanted: names on the order's allow-list.
        env_allow: names on the node's own list. What looks like a credential, and whatever begins with `MESH_`, is
            given only where both lists name it.
        own: the task's own variables, which stand above all; `MESH_*`.
    """
    allowed, chosen, withheld = frozenset(env_allow), {}, []
    for name in (*ALWAYS, *_WITHOUT_THESE_NOTHING_STARTS):
        if name in base:
            chosen[name] = base[name]
    for name in sorted(set(wanted)):
        if name not in base or name in chosen:
            continue
        if name in allowed or not looks_secret(name, base[name]):
            chosen[name] = base[name]
        else:
            withheld.append(name)
    return Given({**chosen, **own}, tuple(withheld))


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable's name or value looks like a credential, or it is the mesh's own."""
    if not _NAME.fullmatch(name) or name.startswith("MESH_"):
        return True
    return bool(_SECRETIVE.search(name) or find({name: value}))
