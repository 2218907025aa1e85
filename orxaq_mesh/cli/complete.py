"""Shell completion with live names: leases, nodes, DAGs, tasks and commands as last read.

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


def _of(family: str, part: str, begins: str) -> list[str]:
    from orxaq_mesh.home.files import read_json_cache
    from orxaq_mesh.home.place import Home, locate

    try:
        rows = read_json_cache(Home(locate(call().home)).cache / "snapshot.json")["state"]["slices"][family][part]
        return sorted(str(row[0]) for row in rows if str(row[0]).startswith(begins))
    except (MeshError, KeyError, TypeError, IndexError):
        return []


def dags(incomplete: str) -> list[str]:
    """Names of DAGs that begin so."""
    return _of("work", "dags", incomplete)


def tasks(incomplete: str) -> list[str]:
    """Names of tasks, `<dag>/<task>`, that begin so."""
    return [name.removeprefix("task:") for name in _of("work", "items", f"task:{incomplete}")]


def commands(incomplete: str) -> list[str]:
    """Ids of commands that begin so."""
    return [name.removeprefix("command:") for name in _of("work", "items", f"command:{incomplete}")]


def blamed(incomplete: str) -> list[str]:
    """What can be asked about with `mesh blame`: a noun, then the names of that noun."""
    noun, slash, rest = incomplete.partition("/")
    names = {"lease": leases, "task": tasks, "command": commands, "node": nodes}
    if not slash:
        return [f"{name}/" for name in names if name.startswith(noun)]
    return [f"{noun}/{name}" for name in names[noun](rest)] if noun in names else []


def reactors(incomplete: str) -> list[str]:
    """Names of reactors that begin so."""
    return _of("reactor", "mappings", incomplete)


def rules(incomplete: str) -> list[str]:
    """Ids of laws and rules that begin so."""
    from orxaq_mesh.kinds import RULES

    return [rule for rule in RULES if rule.startswith(incomplete.upper())]
