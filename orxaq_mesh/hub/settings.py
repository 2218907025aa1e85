"""What a hub's owner said of it: which ledger, which trunk, which user of the server is which node.

Knows: the file `mesh/hub.json` in the hub.
Knows not: who pushes, what is pushed. Law CLOSED: where the file cannot be read, nothing is let in.

    {"ledger":"<64 hex, or null: the first that is founded here>","trunk":"mesh","users":{"erika":["elm","ash"]}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.record import HEX64, NODE_NAME
from orxaq_mesh.text import clean

FOLDER = "mesh"
"""All of ours in a hub lies in this folder of it."""
FILE = "hub.json"
MAX_USER = 200
TRUNK = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,60}")


class HubSettings(NamedTuple):
    """What stands in the file.

    Attributes:
        trunk: the trunk's branch.
        ledger: the only ledger that may be founded here; None: the first one.
        users: a name that the web server or sshd knows -> the nodes that push as that user.
    """

    trunk: str = "mesh"
    ledger: str | None = None
    users: Mapping[str, tuple[str, ...]] = {}

    def allow(self, user: str, node: str) -> HubSettings:
        """The same, and `user` may move the outboxes of `node`.

        Raises:
            Usage: that is no user's or node's name.
        """
        if not user.isprintable() or not 0 < len(user) <= MAX_USER:
            raise Usage(f"not a user's name: {clean(user, limit=80)!r}")
        if not NODE_NAME.fullmatch(node):
            raise Usage(f"not a node's name: {clean(node, limit=80)!r}")
        nodes = tuple(sorted({*self.users.get(user, ()), node}))
        return self._replace(users={**self.users, user: nodes})

    def forbid(self, user: str, node: str) -> HubSettings:
        """The same without that."""
        nodes = tuple(each for each in self.users.get(user, ()) if each != node)
        others = {name: known for name, known in self.users.items() if name != user}
        return self._replace(users={**others, user: nodes} if nodes else others)


def read_settings(hub: Path) -> HubSettings:
    """The settings of a hub.

    Raises:
        MeshFault: there are none, or they are not of this form.
    """
    file = hub / FOLDER / FILE
    try:
        value = orjson.loads(file.read_bytes())
        users = {str(user): tuple(map(str, nodes)) for user, nodes in value["users"].items()}
        ledger, trunk = value["ledger"], value["trunk"]
        if TRUNK.fullmatch(trunk) and (ledger is None or HEX64.fullmatch(ledger)):
            return HubSettings(trunk, ledger, users)
        reason = "a trunk and a ledger's id are wanted"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = clean(str(error))
    raise MeshFault(f"the hub's settings cannot be read: {file}: {reason}", hint="mesh hub check PATH")


def settings_bytes(settings: HubSettings) -> bytes:
    """The file's bytes."""
    return orjson.dumps(settings._asdict(), option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"
