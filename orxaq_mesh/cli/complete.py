"""Shell completion with live names: leases and nodes as last read.

Knows: the snapshot in the cache.
Knows not: the hub: a completion must be quick, and must never fail.

    leases("dep")          # ["deploy"]
"""

from __future__ import annotations

from orxaq_mesh.cli.call import call
from orxaq_mesh.errors import MeshError


def _rows(family: str) -> list[list[str]]:
    from orxaq_mesh.home.files import read_json_cache
    from orxaq_mesh.home.place import Home, locate

    try:
        kept = read_json_cache(Home(locate(call().home)).cache / "snapshot.json")
        return list(kept["state"]["slices"][family])
    except (MeshError, KeyError, TypeError):
        return []


def leases(incomplete: str) -> list[str]:
    """Names of leases that begin so."""
    return sorted(row[0] for row in _rows("lease") if row[0].startswith(incomplete))


def nodes(incomplete: str) -> list[str]:
    """Names of admitted nodes that begin so."""
    return sorted({row[1] for row in _rows("node") if row[1].startswith(incomplete) and row[1] != "recovery"})


def rules(incomplete: str) -> list[str]:
    """Ids of laws and rules that begin so."""
    from orxaq_mesh.kinds import RULES

    return [rule for rule in RULES if rule.startswith(incomplete.upper())]
