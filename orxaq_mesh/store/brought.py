"""What a commit brings along: every object behind it that another commit has not, those of commits in between too.

Knows: how much of it is looked at, and that git's own check (`fsck`) must pass, as at every node that fetches (B6, B7).
Knows not: what the objects say. Of commits in between no file is read: no node ever reads one.

    found = brought(repository.git, base, head)
    found.flaws         # Flaw("QUIET", "<head>", "error: object 0b73...: hasDotgit: contains '.git'")
    found.unknown       # "its commits bring more than is looked at: ...", or ""
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

from orxaq_mesh.store import Flaw, Oid, answers
from orxaq_mesh.store.answers import Ran
from orxaq_mesh.store.objects import MAX_COMMIT_BYTES, MAX_FILE_BYTES, MAX_TREE_BYTES

MAX_OBJECTS = 200_000
MAX_BYTES = 1024 * 1024 * 1024
"""So much is unpacked to be checked. Ten thousand epochs bring a third of it."""
MOST = 10
"""Objects that are named where they are too large; whoever brings more knows it."""
_LARGEST = {"blob": MAX_FILE_BYTES, "tree": MAX_TREE_BYTES, "commit": MAX_COMMIT_BYTES}


class Git(Protocol):
    """Runs one git in a repository, to its end."""

    def __call__(self, *args: str, feed: bytes = b"", into: IO[bytes] | None = None) -> Ran:
        """How it ended; what it prints goes `into` a file, where one is given."""


class Brought(NamedTuple):
    """What is wrong with the objects that a commit brings; `unknown`: why it could not be known, or empty."""

    flaws: Sequence[Flaw] = ()
    unknown: str = ""


def brought(git: Git, base: Oid, head: Oid) -> Brought:
    """What is wrong with the objects behind `head` that `base` has not. Nothing is written into the repository."""
    listed = git("rev-list", "--objects", "--no-object-names", head, "--not", base)
    ids = listed.out.split()
    if listed.cut or len(ids) > MAX_OBJECTS:
        return Brought(unknown=f"its commits bring more than is looked at: {MAX_OBJECTS:,} objects")
    if not listed.good:
        return _not_read(listed)
    if not ids:
        return Brought()
    feed = b"\n".join(ids) + b"\n"
    sized = git("cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", feed=feed)
    rows = [line.split() for line in sized.out.decode("ascii", "replace").splitlines()]
    if not sized.good or len(rows) != len(ids) or any(len(row) != 3 for row in rows):
        return Brought(unknown="its commits bring objects that are not here")
    large = [Flaw("LIVE", oid, f"a {kind} of {size} bytes") for oid, kind, size in rows if int(size) > _LARGEST[kind]]
    if large:
        return Brought([flaw._replace(reason=f"{flaw.reason}: no ledger has one") for flaw in large[:MOST]])
    if sum(int(size) for _, _, size in rows) > MAX_BYTES:
        return Brought(unknown=f"its commits bring more than is looked at: {MAX_BYTES >> 20} MB")
    return _checked(git, feed, head)


def _checked(git: Git, feed: bytes, head: Oid) -> Brought:
    """The check that git itself makes of some objects: packed in a folder of our own, and indexed as a fetch does it."""
    with tempfile.TemporaryDirectory(prefix="orxaq-mesh-") as folder:
        pack = Path(folder) / "brought.pack"
        with pack.open("wb") as file:
            packed = git("pack-objects", "--quiet", "--stdout", "--window=0", "--compression=1", feed=feed, into=file)
        ran = git("index-pack", "--strict", str(pack)) if packed.good else packed
    if answers.bad_objects(ran):
        reason = f"no node takes in what its commits bring: {answers.reason(ran)}"
        return Brought([Flaw(answers.broken_law(ran), head, reason)])
    return Brought() if ran.good else _not_read(ran)


def _not_read(ran: Ran) -> Brought:
    return Brought(unknown=f"what its commits bring cannot be read: {answers.reason(ran)}")
