"""Two histories become one at this node's hub: another hub's, a bundle's, an export's, or what this node remembers.

Knows: how the union of two trees comes onto the trunk as one commit, by compare-and-push. Where two nodes unite the same
two tips they make the same commit: its parents are the tips, sorted, its words and its time follow from them.
Knows not: which line is sound and which side goes on (`ledger`), any verdict, how another hub is read (`other_hub`). It signs nothing and seals nothing: what
waits for a seal afterwards is the next one's.
Laws: SET, RENDER, PUSH, SEEN.

    united = from_hub(home, settings, "/media/stick/fleet.git")
    united.moved, united.left, united.waiting
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from orxaq_mesh import carry
from orxaq_mesh.errors import InvalidLedger, MeshFault, Unreachable
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import undisturbed
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.reconcile import poured
from orxaq_mesh.record import Record, Seal, epoch_place, log_place
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Oid, Outcome, flaws_only
from orxaq_mesh.sync import other_hub
from orxaq_mesh.sync.identity import identity_of
from orxaq_mesh.sync.performer import Performer, seconds

TRIES = 20
"""How often others may be quicker before this is given up."""

Files = dict[str, bytes | None]
Lines = dict[str, list[tuple[int, Record | Seal]]]
"""Path -> what is to lie there, each with its line in the file that it came from."""


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
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        _observe(performer)  # so that the store is of the own hub's object format, and not of the other's
        return _unite(performer, other_hub.tip(performer, url))


def from_memory(home: Home, settings: Settings) -> United:
    """Give the hub back what this node has seen there (law SEEN): the trunk was rolled back, forked or deleted.

    Raises:
        MeshError: the hub does not answer, or lacks what this node has seen and does not have any more.
    """
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        return _unite(performer)


def from_export(home: Home, settings: Settings, file: Iterable[bytes], name: str) -> United:
    """Bring the lines of an export into this node's hub.

    Raises:
        MeshError: the hub does not answer; the file is not whole, of another ledger, or a line in it is nobody's.
    """
    lines: Lines = {}
    ledger = identity_of(Journal.open(home.journal)).ledger
    for number, item in carry.read(file, ledger, name):  # however long it takes: nobody waits for this node meanwhile
        place = epoch_place(item.epoch) if isinstance(item, Seal) else log_place(item.log, item.seq)
        lines.setdefault(place.file, []).append((number, item))
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        return _unite(performer, None, lines, name)


def exported(home: Home, settings: Settings, *, read_hub: bool) -> Iterable[bytes]:
    """The bytes of an export: all that is sound in the trunk as it was read last, and what this node signed since.

    Args:
        home, settings: whose.
        read_hub: read the hub first; else it is what was read last.

    Raises:
        MeshError: the hub does not answer, or nothing was ever read.
    """
    with NodeLock(home, "node"), Performer.open(home, settings) as performer:
        if read_hub:
            _observe(performer)
            if performer.engine.broken is not None:
                raise performer.engine.broken
        ledger, tip = performer.engine.ledger, performer.engine.trunk
        if tip is None:
            raise MeshFault("nothing is left here of what was read of the hub", hint="mesh sync")
        items = [item for item in performer.store.changes(None, tip) if isinstance(item, Change)]
        files = {item.path: item.new for item in items} | ledger.mends
        lines = [line for path in sorted(files) for line in (files[path] or b"").split(b"\n")[:-1]]
        known = set(lines)
        lines += [record.line for record in performer.engine.pen.pending if record.line not in known]
        return carry.written(performer.identity.ledger, lines)


# The union of sets of lines, as files and as a commit.


class _Union(NamedTuple):
    """What is to lie on the trunk.

    Attributes:
        files: those that differ from the trunk's; None: to go.
        heads: the commits that it comes from, those left out that others descend from.
        spoilt: files that hold what is no line of a ledger.
    """

    files: Files
    heads: list[Oid]
    spoilt: set[str]


def _union(performer: Performer, others: Iterable[Oid | None], lines: Lines, mends: Files) -> _Union:
    """Every line of the trunk, of the other commits and of these, whoever is asked and in whatever order (law SET)."""
    store, ours = performer.store, performer.tips.get(performer.identity.trunk)
    apart = sorted({oid for oid in others if oid} - {ours})
    files: Files = dict(mends)
    spoilt = set(files)
    for theirs in apart:
        for item in store.changes(ours, theirs):
            if isinstance(item, Change):
                files[item.path] = _poured(files.get(item.path, item.old), item.new, item.path, spoilt)
            else:
                spoilt.add(item.file)
        spoilt |= {flaw.file for flaw in flaws_only(store.changes(theirs, ours) if ours else ())}
    for path, found in lines.items():
        old = files.get(path) or (store.read(ours, path) if ours else None)
        files[path] = _poured(old, b"".join(item.line + b"\n" for _, item in found), path, spoilt)
    for path in spoilt:
        files.setdefault(path, None)
    tips = [*apart, *([ours] if ours else ())]
    heads = sorted(tip for tip in tips if not any(tip != other and store.descends(other, tip) for other in tips))
    return _Union(files, heads, spoilt)


def _poured(one: bytes | None, other: bytes | None, path: str, spoilt: set[str]) -> bytes | None:
    lines = {line for part in (one, other) for line in (part or b"").split(b"\n") if line}
    both = poured(one, other)
    if both.count(b"\n") < len(lines):
        spoilt.add(path)
    return both or None


def _unite(performer: Performer, theirs: Oid | None = None, lines: Lines | None = None, name: str = "") -> United:
    """Read the hub, lay the union on its trunk, and again where others were quicker.

    What this node has seen at the hub belongs to it: a trunk that was rolled back is given it back on the way.
    """
    left: set[str] = set()
    mended: set[str] = set()
    moved = False
    for _ in range(TRIES):
        _observe(performer)
        ours = performer.tips.get(performer.identity.trunk)
        # Another node may not know what the trunk is to be where it is damaged: only who is asked to mends it here.
        mends = {} if theirs or lines is not None else performer.engine.ledger.mends
        union = _union(performer, (theirs, performer.engine.trunk), lines or {}, mends)
        trial, reading, since = _read(performer, union, ours)
        _check_seen(performer, reading, since)
        files = {path: trial.mends.get(path, content) for path, content in union.files.items()}
        _check_foreign(performer, ours, lines or {}, files, trial, name)
        damaged = bool(mends) and not moved
        if union.heads == ([ours] if ours else []) and not damaged and _has_all(performer, ours, files):
            return _told(performer, moved, len(left), len(mended))
        left |= {seal.id for seal in reading.left}
        mended |= union.spoilt | {path for path in files if files[path] != union.files[path]}
        moved = _push(performer, ours, union, files, trial) or moved
    raise Unreachable("others were quicker, time and again", hint="try again")


def _observe(performer: Performer) -> None:
    """Read the hub; that it lacks what this node has seen (law SEEN) is what uniting may mend."""
    performer.observe()
    if performer.unreached is not None:
        raise performer.unreached
    broken, ours = performer.engine.broken, performer.tips.get(performer.identity.trunk)
    may_mend = isinstance(broken, InvalidLedger) and (ours is None or performer.store.has(ours))
    if broken is not None and not may_mend:
        raise broken


def _read(performer: Performer, union: _Union, ours: Oid | None) -> tuple[Ledger, Reading, int]:
    """What the union comes to, read on from what this node knows, and the epoch from which it was read."""
    store, known = performer.store, performer.engine.trunk
    since = performer.engine.ledger.state.seal
    segments = {path: content for path, content in union.files.items() if content is not None}
    moved = store.changes(known, ours) if ours and ours != known else ()
    whole = {item.path: item.new for item in moved if isinstance(item, Change)} | segments
    changes = [Change(path, store.read(known, path) if known else None, new) for path, new in sorted(whole.items())]
    trial = performer.engine.ledger.fork()
    with undisturbed():
        reading = trial.read([change for change in changes if change.old != change.new], since)
        if reading.deeper is None:
            return trial, reading, performer.engine.ledger.state.epoch if known else 0
        base = performer.base(reading.deeper)
        assert base is not None  # one is asked for
        trial = trial.beneath(base)
        items = store.changes(None, ours, only=trial.asks_for) if ours else ()
        whole = {item.path: item.new for item in items if isinstance(item, Change)}
        whole |= {path: content for path, content in segments.items() if trial.asks_for(path)}
        reading = trial.read([Change(path, None, new) for path, new in sorted(whole.items())], since)
        return trial, reading, base.epoch


def _check_seen(performer: Performer, reading: Reading, since: int) -> None:
    """SEEN: what the hub lacks of what this node has seen must be in the union, or nothing is changed (CLOSED)."""
    broken, (epoch, seal) = performer.engine.broken, performer.engine.seen
    if broken is not None and epoch > since and seal not in reading.known:
        raise broken


def _check_foreign(
    performer: Performer, ours: Oid | None, lines: Lines, files: Files, trial: Ledger, name: str
) -> None:
    """Whether every line of an import is somebody's: one that no key signed says that the file was tampered with."""
    heads = trial.base.heads
    suspects: dict[str, list[tuple[int, Record | Seal]]] = {}
    for path, found in lines.items():
        kept = set((files[path] or b"").split(b"\n"))
        there = set(((performer.store.read(ours, path) if ours else None) or b"").split(b"\n"))
        for number, item in found:
            # Beneath the base nobody looks at a line again: its place is taken.
            beneath = isinstance(item, Record) and item.seq <= heads.get(item.log, (0, ""))[0]
            if item.line not in kept or (beneath and item.line not in there):
                suspects.setdefault(item.log, []).append((number, item))
    for log, found in suspects.items():
        signed = [item for path in lines for _, item in lines[path] if isinstance(item, Record) and item.log == log]
        good = trial.spine.standing.sound(signed)
        for number, item in found:
            if item.id not in good:
                finding = Finding("SIG", name, number, "no key of this ledger signed this line")
                what = f"{name}:{number}: {finding.reason}"
                raise InvalidLedger(what, findings=[finding], hint="nothing was taken in; have it written anew")


def _push(performer: Performer, ours: Oid | None, union: _Union, files: Files, trial: Ledger) -> bool:
    """Lay the union on the trunk; whether it may be there now. The same union is the same commit on every machine."""
    store, heads = performer.store, union.heads
    if len(heads) == 1 and heads != [ours] and not union.spoilt and _has_all(performer, heads[0], files):
        new = heads[0]
    else:
        words = "two histories reconciled" if len(heads) > 1 else "lines brought in"
        at_s = max((store.made_s(head) for head in heads), default=seconds(trial.state.at))
        new = store.commit(heads[0] if heads else None, files, heads, f"mesh: {words}", at_s)
    wait_ms = performer.budget.wait_ms(performer.clock.now_ms())
    time.sleep(wait_ms / 1000)
    performer.budget.take(performer.clock.now_ms())
    pushed = store.push(performer.identity.trunk, ours, new)
    if pushed.vetoed:
        raise MeshFault(f"the hub refused the push: {pushed.reason}", hint="mesh doctor")
    return pushed.outcome is not Outcome.LOST


def _has_all(performer: Performer, commit: Oid | None, files: Files) -> bool:
    """Whether a commit holds every one of these files as it is to be."""
    return all((performer.store.read(commit, path) if commit else None) == new for path, new in files.items())


def _told(performer: Performer, moved: bool, left: int, mended: int) -> United:
    ledger = performer.engine.ledger
    state, tip = ledger.state, performer.engine.trunk
    waiting = len(ledger.waiting.keys() - ledger.offered.keys())
    return United(moved, tip, state.epoch, state.seal, state.digest, left, waiting, mended)
