"""What somebody who may push, or an insider, does to the trunk itself: seals that should not be, lines that are none.

    ivy reseals 2         a second seal behind the tip's second ancestor, over a record of its own (a fork by one node)
    ivy withholds         a seal that names a record which ivy keeps to itself; `ivy shows` offers it
    ivy skips             a seal whose epoch leaves numbers out
    hub garbage 3         a line that is none, in the third file of the trunk; `hub torn 3`: its last line is cut
    hub loses 3           the third file loses a line; `hub drops 3`: it is gone; `hub strays`: a file that is no ledger's
    hub rolled 2          the trunk is set back by two commits, and takes pushes from there

Knows: how such a commit is made.
Knows not: what comes of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import NOTHING, Record, Seal, Value, line_id
from orxaq_mesh.schema import read_line
from orxaq_mesh.store import Change
from orxaq_mesh.store.memory import MemoryCommit
from tests import builder
from tests.sim.store import whole

if TYPE_CHECKING:
    from tests.sim.hub import SimHub
    from tests.sim.insider import Insider

TRUNK = "mesh"


def lay(hub: SimHub, files: dict[str, bytes | None], says: str) -> bool:
    """Push files onto the trunk, whatever they hold."""
    if hub.down or hub.shows or not files:
        return False
    tip = hub.branches[TRUNK]
    merged = {**hub.commits[tip].files, **files}
    there = {path: content for path, content in merged.items() if content is not None}
    made = whole(MemoryCommit(there, (tip,), f"mesh: {says}", 0))
    hub.hostile = True
    try:
        hub.receive(TRUNK, tip, made.oid, {made.oid: made})
    finally:
        hub.hostile = False
    return True


# Damage by anyone who may push.


def damage(hub: SimHub, how: str, number: str = "0") -> bool:
    """`hub garbage 3` and the like. Says whether anything came of it."""
    files = sorted(hub.commits[hub.branches[TRUNK]].files.items())
    path, content = files[int(number) % len(files)]
    lines = content.split(b"\n")
    match how:
        case "garbage":
            new: bytes | None = b"\n".join([*lines[:-1], b"this is no line", b""])
        case "torn":
            new = content[:-9]
        case "loses":
            new = b"\n".join(lines[: len(lines) // 2] + lines[len(lines) // 2 + 1 :]) or None
        case "drops":
            new = None
        case _:
            path, new = "ledger/notes.txt", b"a stray file\n"
    hub.world.forked = True
    _remember(hub)
    return lay(hub, {path: new}, f"damaged by {how}")


def _remember(hub: SimHub) -> None:
    """Somebody may have a backup of what is lost now."""
    hub.lost.append((hub.branches[TRUNK], hub.view.sound_lines()))


def roll_back(hub: SimHub, count: str) -> bool:
    """The trunk is set back, and goes on from there."""
    older = hub.ago(int(count))
    if older is None or hub.shows:
        return False
    hub.world.forked = True
    _remember(hub)
    hub.branches[TRUNK] = older
    hub.view.read_from_the_beginning(older)
    return True


# Seals of an insider.


def reseal(ivy: Insider, count: str) -> bool:
    """One key, two seals: a side of its own behind an older parent."""
    parent = ivy.hub.view.ledger.state.seal
    for _ in range(int(count)):
        parent = ivy.world.judge.shadows[parent].parent or NOTHING
    if parent == NOTHING:
        return False
    ledger = _as_of(ivy.hub, parent)
    if ledger.state.seal != parent or ivy.pen.log not in ledger.state.heads:
        return False
    ivy.world.forked = True
    ivy.waiting.append(ivy.pen.write("event.publish", topic="t", type="resealed", payload={}))
    ledger.offer(ivy.waiting)
    taken = ledger.sealable(ivy.pen.log)
    if ivy.pen.log not in taken:
        return False
    return _put(ivy, ledger.draft_seal(ivy.pen.log, taken, builder.AT), taken[ivy.pen.log])


def withhold(ivy: Insider) -> bool:
    """A seal over a record that nobody has ever seen."""
    ledger = ivy.hub.view.ledger
    if ivy.pen.log in ledger.proven:
        return False
    secret = ivy.pen.write("event.publish", topic="t", type="withheld", payload={})
    ivy.waiting.append(secret)
    ivy.world.forked = True
    return _put(ivy, {**_seal_over(ivy, ledger, secret)}, [])


def skip(ivy: Insider) -> bool:
    """A seal that leaves epochs out."""
    ledger = ivy.hub.view.ledger
    record = ivy.pen.write("event.publish", topic="t", type="skipped", payload={})
    ivy.waiting.append(record)
    ivy.world.forked = True
    return _put(ivy, {**_seal_over(ivy, ledger, record), "epoch": ledger.state.epoch + 5}, [record])


def _seal_over(ivy: Insider, ledger: Ledger, record: Record) -> Value:
    return ledger.draft_seal(ivy.pen.log, {ivy.pen.log: [record]}, builder.AT)


def _put(ivy: Insider, value: Value, records: list[Record]) -> bool:
    seal = read_line(builder.sign(value, ivy.pen.key, ivy.world.ledger_id))
    assert isinstance(seal, Seal)
    tree = ivy.hub.commits[ivy.hub.branches[TRUNK]].files
    return lay(ivy.hub, dict(render(tree.get, records, [seal])), "sealed by ivy")


def _as_of(hub: SimHub, seal_id: str) -> Ledger:
    """What the trunk was when this seal was its tip: all records, and the seals up to it."""
    wanted = set(hub.world.judge.back(seal_id))
    changes = []
    for path, content in sorted(hub.commits[hub.branches[TRUNK]].files.items()):
        if path.startswith("ledger/epochs/"):
            lines = [line for line in content.split(b"\n") if line_id(line) in wanted]
            whole = b"".join(line + b"\n" for line in lines)
            changes.append(Change(path, None, whole))
            continue
        changes.append(Change(path, None, content))
    ledger = Ledger(hub.world.ledger_id)
    ledger.read(changes)
    return ledger
