"""Two histories become one at this node's hub: another hub's, a bundle's, an export's, or what this node remembers.

Knows: how the union of two trees comes onto the trunk as one commit, by compare-and-push. Where two nodes unite the same
two tips they make the same commit: its parents are the tips, sorted, its words and its time follow from them.
Knows not: which line is sound and which side goes on (`ledger`), any verdict. It signs nothing and seals nothing: what
waits for a seal afterwards is the next one's.
Laws: SET, RENDER, PUSH, SEEN.

    united = from_hub(home, settings, "/media/stick/fleet.git")
    united.moved, united.left, united.waiting
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import orjson

from orxaq_mesh import carry
from orxaq_mesh.errors import InvalidLedger, MeshFault, Unreachable
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import environment, undisturbed
from orxaq_mesh.ledger import Ledger, Reading, beyond
from orxaq_mesh.reconcile import poured
from orxaq_mesh.record import Seal, epoch_place, log_place
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw, Oid, Outcome
from orxaq_mesh.sync.performer import Performer

TRIES = 20
"""How often others may be quicker before this is given up."""

Files = dict[str, bytes | None]


class United(NamedTuple):
    """What uniting came to.

    Attributes:
        moved: whether the trunk was moved; else all of it was there.
        tip: the commit at which the trunk stands now.
        epoch, seal, state: the tip of the spine, and its digest.
        left: epochs that stood at this hub and lie on a side that was left (law FORK).
        waiting: records in the trunk that wait for the next seal.
        mended: files that were damaged and were written as they are to be.
    """

    moved: bool
    tip: Oid | None
    epoch: int
    seal: str
    state: str
    left: int
    waiting: int
    mended: int


def from_hub(home: Home, settings: Settings, url: str) -> United:
    """Bring another hub's trunk, or a git bundle's, into this node's hub.

    Raises:
        MeshError: a hub does not answer; what the other one shows is no ledger, or another one.
    """
    from orxaq_mesh.store.git import GitStore

    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        trunk = performer.identity.trunk
        other = GitStore(home.store, url, environ=environment(), trunk=trunk, timeout_ms=settings.timeout_ms)
        try:
            tips = other.poll()
            if trunk not in tips:
                raise MeshFault(f"there is no branch {trunk} at {url}: no ledger was founded there", hint="name a hub")
            other.fetch({trunk: tips[trunk]})
        finally:
            other.close()
        theirs = tips[trunk]
        _check_founding(performer, theirs, url)
        return _unite(performer, lambda: _of_commits(performer, theirs))


def from_memory(home: Home, settings: Settings) -> United:
    """Give the hub back what this node has seen there (law SEEN): the trunk was rolled back, forked or deleted.

    Raises:
        MeshError: the hub does not answer; this node remembers nothing that the hub lacks.
    """
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        return _unite(performer, lambda: _of_commits(performer, performer.engine.trunk), mend=True)


def from_export(home: Home, settings: Settings, file: Iterable[bytes], name: str) -> United:
    """Bring the lines of an export into this node's hub.

    Raises:
        MeshError: the hub does not answer; the file is not whole, of another ledger, or a line in it is nobody's.
    """
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        lines: dict[str, list[tuple[int, bytes]]] = {}
        for number, item in carry.read(file, performer.identity.ledger, name):
            path = (epoch_place(item.epoch) if isinstance(item, Seal) else log_place(item.log, item.seq)).file
            lines.setdefault(path, []).append((number, item.line))
        return _unite(performer, lambda: _of_lines(performer, lines, name))


def exported(home: Home, settings: Settings, *, read_hub: bool) -> Iterable[bytes]:
    """The bytes of an export: all that the trunk held at the last reading, and what this node has signed since.

    Args:
        home, settings: whose.
        read_hub: read the hub first; else it is what was read last.

    Raises:
        MeshError: the hub does not answer, or nothing was ever read.
    """
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        if read_hub:
            _observe(performer)
        tip, pending = performer.engine.trunk, list(performer.engine.pen.pending)
        if tip is None:
            raise MeshFault("nothing was read of the hub so far", hint="mesh sync")
        lines = []
        for item in performer.store.changes(None, tip):
            if isinstance(item, Change):
                lines += [line for line in poured(item.new).split(b"\n") if line]
        known = set(lines)
        lines += [record.line for record in pending if record.line not in known]
        return carry.written(performer.identity.ledger, lines)


# The union of two sets, as files.


class _Union(NamedTuple):
    """What is to be united with the trunk: files that differ, and the commits that the result descends from."""

    files: Files
    parents: list[Oid]
    known: Oid | None
    foreign: Mapping[str, list[tuple[int, bytes]]] = {}
    name: str = ""


def _of_commits(performer: Performer, theirs: Oid | None) -> _Union | None:
    """The union of the trunk and another commit; None: the trunk has all of it."""
    store, ours = performer.store, performer.tips.get(performer.identity.trunk)
    if theirs is None or ours == theirs or (ours and store.descends(ours, theirs)):
        return None
    files: Files = {}
    for item in store.changes(ours, theirs):
        files[item.file if isinstance(item, Flaw) else item.path] = (
            None if isinstance(item, Flaw) else poured(item.old, item.new)
        )
    for item in store.changes(theirs, ours) if ours else ():
        if isinstance(item, Flaw):
            files[item.file] = None
    return _Union(files, sorted(oid for oid in (ours, theirs) if oid), theirs)


def _of_lines(performer: Performer, lines: Mapping[str, list[tuple[int, bytes]]], name: str) -> _Union | None:
    """The union of the trunk and lines from elsewhere; None: the trunk has all of them."""
    ours = performer.engine.trunk
    if ours is None:
        raise MeshFault("the hub has no ledger", hint="mesh init")
    files: Files = {}
    for path, found in lines.items():
        old = performer.store.read(ours, path)
        new = poured(old, b"".join(line + b"\n" for _, line in found))
        if new != old:
            files[path] = new
    return _Union(files, [ours], None, lines, name) if files else None


def _unite(performer: Performer, union_of: Callable[[], _Union | None], *, mend: bool = False) -> United:
    """Read the hub, lay the union on its trunk, and again where others were quicker."""
    left = mended = 0
    moved = False
    for _ in range(TRIES):
        _observe(performer, may_be_broken=mend)
        union = union_of()
        if union is None:
            return _told(performer, moved, left, mended)
        trial, reading = _read(performer, union)
        wrong = [finding for finding in reading.findings if finding.file in union.files]
        if union.foreign:
            _check_foreign(union, trial)
        files = {path: trial.mends.get(path, content) for path, content in union.files.items()}
        left, mended = left + len(reading.left), len({finding.file for finding in wrong})
        moved = _push(performer, union, files) or moved
    raise Unreachable("others were quicker, time and again", hint="try again")


def _observe(performer: Performer, *, may_be_broken: bool = False) -> None:
    performer.observe()
    if performer.unreached is not None:
        raise performer.unreached
    if performer.engine.broken is not None and not may_be_broken:
        raise performer.engine.broken


def _read(performer: Performer, union: _Union) -> tuple[Ledger, Reading]:
    """What the union comes to, read on from what this node knows."""
    store, known = performer.store, performer.engine.trunk
    segments = {path: content for path, content in union.files.items() if content is not None}
    trial = performer.engine.ledger.fork()
    since = trial.state.seal
    changes = [Change(path, store.read(known, path) if known else None, new) for path, new in segments.items()]
    with undisturbed():
        reading = trial.read([change for change in changes if change.old != change.new], since)
        if reading.deeper is None:
            return trial, reading
        base = performer.base(reading.deeper)
        assert base is not None  # one is asked for
        items = store.changes(None, known, only=lambda path: beyond(base, path)) if known else ()
        whole: Files = {item.path: item.new for item in items if isinstance(item, Change)}
        trial = Ledger(performer.identity.ledger, base, anchored=True)
        trial.recall(performer.engine.ledger.memo())
        whole |= {path: content for path, content in segments.items() if beyond(base, path)}
        return trial, trial.read([Change(path, None, new) for path, new in sorted(whole.items())], since)


def _check_foreign(union: _Union, trial: Ledger) -> None:
    """Whether every line of an import is somebody's: one that no key signed says that the file was tampered with."""
    for path, found in sorted(union.foreign.items()):
        if path not in trial.mends:
            continue
        kept = set((trial.mends[path] or b"").split(b"\n"))
        for number, line in found:
            if line not in kept:
                finding = Finding("SIG", union.name, number, "no key of this ledger signed this line")
                what = f"{union.name}:{number}: {finding.reason}"
                raise InvalidLedger(what, findings=[finding], hint="nothing was taken in; have it written anew")


def _check_founding(performer: Performer, theirs: Oid, url: str) -> None:
    """Whether another hub's trunk begins with this ledger's founding record."""
    ledger = performer.identity.ledger
    first = (performer.store.read(theirs, epoch_place(1).file) or b"").split(b"\n")[0]
    try:
        heads = orjson.loads(first)["heads"].values()
        ids = [head["id"] for head in heads]
    except (ValueError, KeyError, TypeError, AttributeError):
        ids = []
    if ledger not in ids:
        what = f"{url} holds another ledger, or none: it does not begin with {ledger[:12]}"
        raise InvalidLedger(what, findings=[Finding("SIG", epoch_place(1).file, 1, what)], hint="name another hub")


def _push(performer: Performer, union: _Union, files: Files) -> bool:
    """Lay the union on the trunk; whether it may be there now. The same union is the same commit on every machine."""
    store, trunk = performer.store, performer.identity.trunk
    ours = performer.tips.get(trunk)
    theirs = union.known
    if theirs and (ours is None or store.descends(theirs, ours)) and _has_all(performer, theirs, files):
        new = theirs
    else:
        words = "two histories reconciled" if len(union.parents) > 1 else "lines brought in"
        at_s = max(store.made_s(parent) for parent in union.parents)
        new = store.commit(union.parents[0], files, union.parents, f"mesh: {words}", at_s)
    wait_ms = performer.budget.wait_ms(performer.clock.now_ms())
    time.sleep(wait_ms / 1000)
    performer.budget.take(performer.clock.now_ms())
    pushed = store.push(trunk, ours, new)
    if pushed.vetoed:
        raise MeshFault(f"the hub refused the push: {pushed.reason}", hint="mesh doctor")
    return pushed.outcome is not Outcome.LOST


def _has_all(performer: Performer, commit: Oid, files: Files) -> bool:
    return all(performer.store.read(commit, path) == content for path, content in files.items())


def _told(performer: Performer, moved: bool, left: int, mended: int) -> United:
    ledger = performer.engine.ledger
    state, tip = ledger.state, performer.engine.trunk
    waiting = len(ledger.waiting.keys() - ledger.offered.keys())
    return United(moved, tip, state.epoch, state.seal, state.digest, left, waiting, mended)
