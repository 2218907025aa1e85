"""Where a review's change comes from: two commits of any repository, or a patch for one.

Knows: which commits are compared, what a change is where its base has moved on, what a cut-off history hides (B15).
Knows not: how a change is judged (`review`), how it is told (`prose`).
Laws: QUIET, nothing is checked out, run or written in the repository. CACHE, a snapshot saves time and decides nothing.

    with Repository(git_dir, environ=environment()) as repository:
        found = of_commits(repository, base, head, pin="3f9a01c2...")
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.errors import InvalidLedger, MeshFault, Unreachable, Usage
from orxaq_mesh.home.anchor import ledger_at, read_whole
from orxaq_mesh.inspect.patch import in_order, read_patch
from orxaq_mesh.kinds.node import founder, is_meant
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.review import ReadDeeper, Review, review
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw, Oid
from orxaq_mesh.store.repository import Repository
from orxaq_mesh.text import clean

MAX_BYTES, MAX_FILES, MAX_LINES = 64 * 1024 * 1024, 50_000, 4096
"""So many new bytes of a change are read, in so many files, of so many new lines each (B6). A hundred thousand records
are some 60 MB in three thousand files of 32 lines; of a place in the spine there may be some more variants."""
MAX_ALL_LINES = 500_000
MAX_TOLD = 1000
"""So many findings of one law are told; the rest is counted."""
MAX_BASES = 8
"""So many commits at which two histories parted are looked at. Two that merged each other crosswise have two."""
_CUT_OFF = "history is cut off here (a shallow clone)"


class Asked(NamedTuple):
    """What every review is asked with.

    Attributes:
        pin: whose ledger it must be: its id, or its founder's fingerprint; empty: whosever the base holds.
        snapshots: files that may hold one of the base.
        kept_at: where to keep one.
    """

    pin: str = ""
    snapshots: tuple[Path, ...] = ()
    kept_at: Path | None = None


class Reviewed(NamedTuple):
    """A review, and of what: the base's commit and, where it is no patch, the head's."""

    review: Review
    commits: tuple[Oid, ...]


class _Change(NamedTuple):
    """What a change is, seen from its base."""

    items: Sequence[Change | Flaw]
    unknown: Sequence[str] = ()
    notes: Sequence[str] = ()
    findings: Sequence[Finding] = ()


def of_commits(repository: Repository, base: Oid, head: Oid, asked: Asked) -> Review:
    """What merging a commit into a base would do.

    Where the base has moved on since the two parted, what counts is what the head brought since then, put onto the base
    line by line, as the host's merge and every node would.

    Raises:
        InvalidLedger: the base is of another ledger than asked for.
        Usage: the base holds none.
        Unreachable: objects are missing, for not all were cloned.
        MeshFault: objects are missing.
    """
    with _all_of(repository):
        change = _between(repository, base, head)
        brought = repository.brought(base, head)
        unknown = [*change.unknown, *filter(None, [brought.unknown])]
        whole = change._replace(items=[*change.items, *brought.flaws], unknown=unknown)
        return _judged(repository, base, asked, whole)


def of_patch(repository: Repository, base: Oid, data: bytes, asked: Asked) -> Review:
    """What a patch would do to a base.

    Raises:
        Usage: it is no patch, or larger than any that is read. As `of_commits`, too.
    """
    with _all_of(repository):
        found = read_patch(data, lambda path: repository.read(base, path))
        moved = [f"{len(found.moved)} files were changed since the patch was made: its lines are put in one by one"]
        items = list(_bounded(found.changes))
        return _judged(repository, base, asked, _Change(items, (), moved * bool(found.moved), found.findings))


@contextlib.contextmanager
def _all_of(repository: Repository) -> Iterator[None]:
    """CLOSED: what was left out when the repository was cloned is not known; that is no fault, and no yes."""
    try:
        yield
    except (Usage, InvalidLedger):
        raise
    except MeshFault as error:
        if not repository.is_partial():
            raise
        what = "cannot be judged: objects are not here (a partial clone), and reading does not reach for the network"
        raise Unreachable(
            what, hint="git fetch --refetch --filter=blob:limit=4m, or review in a whole clone"
        ) from error


def _judged(repository: Repository, base: Oid, asked: Asked, change: _Change) -> Review:
    ledger = ledger_at(repository, base, asked.snapshots, asked.kept_at)
    _check_is(ledger, asked.pin)
    try:
        found = review(ledger, change.items, change.unknown)
    except ReadDeeper:
        found = review(read_whole(repository, base, settles=False), change.items, change.unknown)
    findings = sorted({*found.findings, *change.findings}, key=lambda one: (one.file, one.line, one.law))
    return found._replace(ok=not findings, findings=tuple(_told(findings)), notes=(*change.notes, *found.notes))


def _told(findings: Sequence[Finding]) -> Iterator[Finding]:
    """The findings, so many of each law; then, for a law that has more, how many more it has, and from where on."""
    numbers: Counter[str] = Counter()
    last: dict[str, Finding] = {}
    for one in findings:
        numbers[one.law] += 1
        if numbers[one.law] <= MAX_TOLD:
            yield one
        else:
            last.setdefault(one.law, one)
    for law, one in last.items():
        yield one._replace(reason=f"and {numbers[law] - MAX_TOLD:,} findings more of {law}, from here on")


def _check_is(ledger: Ledger, pin: str) -> None:
    """SIG: whose ledger this is. Anybody can found one."""
    state = ledger.state
    if not state.epoch:
        raise Usage("the base holds no ledger", hint="mesh review BASE..HEAD, where BASE is the trunk")
    if pin and not is_meant(state, pin):
        name, fingerprint = founder(state)
        reason = f"this is ledger {state.ledger}, founded by {name} with key {fingerprint}; not {clean(pin)}"
        raise InvalidLedger(reason, findings=[Finding("SIG", "ledger", 0, reason)], hint="ask an admin: mesh invite")


# Two commits.


def _between(repository: Repository, base: Oid, head: Oid) -> _Change:
    parted = repository.merge_bases(base, head)
    if parted == [base]:
        return _Change(list(_bounded(repository.changes(base, head))))
    is_cut = repository.is_cut_between(base, head)
    if not parted:
        return _Change(list(_of_strangers(_bounded(repository.changes(base, head)))), [_nothing_in_common(is_cut)])
    named = " and ".join(one[:12] for one in parted[:MAX_BASES])
    unknown = [f"{_CUT_OFF}: whether the two parted later than at {named}"] * is_cut
    if len(parted) > MAX_BASES:
        unknown.append(f"the two parted at {len(parted)} commits, and {MAX_BASES} of them are looked at")
    items, clashes = _onto(repository, base, head, parted[:MAX_BASES])
    notes = [f"the base has moved on since {named}; what counts is what was added since then"]
    if clashes:
        notes.append(f"git itself may call {len(clashes)} files a conflict, as both sides wrote them: {clashes[0]}")
    return _Change(items, unknown, notes)


def _nothing_in_common(is_cut: bool) -> str:
    if is_cut:
        return f"{_CUT_OFF}: where the two parted, and so what the change takes away: git fetch --unshallow"
    return "the two have no commit in common: what the change takes away, and whether git would merge it at all"


def _onto(repository: Repository, base: Oid, head: Oid, parted: Sequence[Oid]) -> tuple[list[Change | Flaw], list[str]]:
    """What the head changed since it parted from the base, as a change of the base; and the files that both changed.

    Where they parted at several commits, a merge of git's begins at all of them taken together. So what only one of
    them has, and the head has not, is what the head takes away.
    """
    flaws: dict[Flaw, None] = {}
    changes: dict[str, Change] = {}
    clashes: dict[str, None] = {}
    items = (item for start in parted for item in repository.changes(start, head))
    for item in _bounded(items):
        if isinstance(item, Flaw):
            flaws[item] = None
            continue
        known = changes.get(item.path)
        there = known.old if known else repository.read(base, item.path)
        if there not in (item.old, item.new):
            clashes[item.path] = None
        made = there if there == item.new else merged(item.old, item.new, there)
        changes[item.path] = Change(item.path, there, _worse(known.new, made, there) if known else made)
    return [*(item for item in changes.values() if item.old != item.new), *flaws], [*clashes]


def _worse(one: bytes | None, other: bytes | None, there: bytes | None) -> bytes | None:
    """Of two outcomes for a file of the base: what either adds, without what either takes away, and as unordered."""
    gone = set(_lines(there)) - set(_lines(one)).intersection(_lines(other))
    first, second = sorted((one, other), key=lambda made: in_order(_lines(made)) == (made or b""))
    known = set(_lines(first))
    lines = [*_lines(first), *(line for line in _lines(second) if line not in known)]
    left = [line for line in lines if line not in gone]
    ordered = in_order(_lines(first)) == (first or b"")
    return (in_order(left) if ordered else b"".join(line + b"\n" for line in left)) or None


def merged(old: bytes | None, new: bytes | None, there: bytes | None) -> bytes | None:
    """A file of the base with what one side made of it: what that side took away or put out of order stays so.

    Args:
        old: the file where the two parted.
        new: what the side made of it.
        there: what the base has.
    """
    if there == old:
        return new
    before, after, now = (_lines(part) for part in (old, new, there))
    known = set(before)
    only_grew = [line for line in after if line in known] == before and in_order(after) == (new or b"")
    if only_grew:
        return in_order(list(dict.fromkeys([*now, *after])))
    theirs = known.union(after)
    return b"".join(line + b"\n" for line in [*after, *(line for line in now if line not in theirs)]) or None


def _lines(part: bytes | None) -> list[bytes]:
    lines = (part or b"").split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _of_strangers(items: Iterable[Change | Flaw]) -> Iterator[Change | Flaw]:
    """What a commit has that the base has not, where nobody knows which of the two lacks what."""
    for item in items:
        if isinstance(item, Flaw):
            yield item
        elif (both := merged(None, item.new, item.old) if item.new else item.old) != item.old:
            yield Change(item.path, item.old, both)


def _bounded(items: Iterable[Change | Flaw]) -> Iterator[Change | Flaw]:
    """As much of a change as is read; where there is more, that is a flaw of it."""
    size = lines = 0
    for number, item in enumerate(items):
        size += len(item.new or b"") if isinstance(item, Change) else 0
        more = _grew(item) if isinstance(item, Change) else 0
        lines += max(more, 0) if more <= MAX_LINES else 0
        if size > MAX_BYTES or number >= MAX_FILES or lines > MAX_ALL_LINES:
            reason = (
                f"the change is larger than what is read: {MAX_BYTES >> 20} MB or {MAX_ALL_LINES:,} new lines"
                f" in {MAX_FILES:,} files"
            )
            yield Flaw("LIVE", item.path if isinstance(item, Change) else item.file, reason)
            return
        if isinstance(item, Change) and more > MAX_LINES:
            yield Flaw("LIVE", item.path, f"{more:,} new lines; at most {MAX_LINES:,} of a file are read")
        else:
            yield item


def _grew(change: Change) -> int:
    """By how many lines a file is longer."""
    return (change.new or b"").count(b"\n") - (change.old or b"").count(b"\n")


# What a name means.


def trunk_of(repository: Repository, trunk: str) -> Oid:
    """The trunk's tip in a repository: as it was fetched last, or its own branch.

    Raises:
        Usage: there is none.
    """
    for name in (f"refs/remotes/origin/{trunk}", f"refs/heads/{trunk}"):
        try:
            return repository.resolve(name)
        except Usage:
            continue
    what = f"there is no branch {clean(trunk)} in {repository.git_dir}, neither its own nor origin's"
    raise Usage(what, hint="name the base: mesh review BASE..HEAD, or --base REV")


def sides(repository: Repository, named: str, base: str | None, trunk: str) -> tuple[Oid, Oid]:
    """(base, head) of what a caller named: `BASE..HEAD`, or a head alone, against `base` or the trunk.

    Raises:
        Usage: it names no commits.
    """
    left, dots, right = named.partition("..")
    if dots:
        if base:
            raise Usage(f"{clean(named)} names a base, and so does --base")
        base, named = left or None, right.removeprefix(".") or "HEAD"
    resolve: Callable[[str], Oid] = repository.resolve
    return resolve(base) if base else trunk_of(repository, trunk), resolve(named)
