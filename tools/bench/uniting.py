"""Bringing two sides of a fork together: the time is to follow what is new, not what both have in common."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from orxaq_mesh import Mesh
from orxaq_mesh.effects import Save
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.place import Home
from orxaq_mesh.record import Record
from orxaq_mesh.sync.identity import entries_of
from tests.builder import Trunk
from tests.hubs import Hub, bare, file_hub, plain_git
from tools.bench.ledgers import RECORDS_AN_EPOCH, Built, build, commit
from tools.bench.rows import Row, took_ms


def unite_rows(quick: bool) -> Iterator[Row]:
    """`mesh sync --from`, on a long common past and on a short one."""
    each, long = (1_000, 10_000) if quick else (10_000, 100_000)
    times: list[list[float]] = [[], []]
    for _ in range(1 if quick else 3):
        for taken, common in zip(times, (long, 1_000), strict=True):
            taken.append(_measured(build(common), each))
    ours, theirs = (min(taken) for taken in times)
    what = f"unite two sides of {each:,} records on a common {long:,}"
    yield Row("unite", what, ours, "the same on a common 1,000", theirs, bar=1.5)


def _measured(built: Built, records: int) -> float:
    """ms that the command's work takes, for a node that has followed its own side."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hub = stack.enter_context(file_hub(folder))
        home = built.at_hub(hub, Home(folder / "elm"))
        other = Hub(str(bare(folder / "other.git")), folder / "other.git")
        plain_git("--git-dir", str(other.path), "fetch", "--quiet", hub.url, "mesh:mesh")
        mine, _ = (_extend(built, where, name, records) for where, name in ((hub, "elm"), (other, "oak")))
        _follow(home, mine)
        mesh = Mesh.open(str(home.path), profile="lan")
        mesh.observe()  # a node that has followed its own side has a snapshot of it
        return took_ms(lambda: mesh.reconcile(other.url))


def _extend(built: Built, hub: Hub, name: str, records: int) -> Record:
    """Go on from the common past at one hub: epochs of one node, a commit each. Gives the last record."""
    side, commits = _branch(built), list[bytes]()
    pen = side.pens[name]
    while side.ledger.state.records < built.trunk.ledger.state.records + records:
        before = dict(side.files)
        event = {"topic": "builds", "type": "finished", "payload": {"version": "1.4.2"}}
        written = [pen.write("event.publish", **event) for _ in range(RECORDS_AN_EPOCH)]
        side.seal(*written, by=pen)
        changed = {path: data for path, data in side.files.items() if before.get(path) is not data}
        commits.append(commit(side.ledger.state.epoch, changed, goes_on=not commits))
    hub.git("fast-import", "--quiet", feed=b"".join(commits))
    hub.git("gc", "--quiet")
    return written[-1]


def _branch(built: Built) -> Trunk:
    side = Trunk()
    side.files, side.ledger = dict(built.files), built.trunk.ledger.fork()
    side.pens = {name: copy.copy(pen) for name, pen in built.trunk.pens.items()}
    return side


def _follow(home: Home, last: Record) -> None:
    """elm's journal knows what elm wrote."""
    Journal.open(home.journal).append(*entries_of(Save(records=[last])))
