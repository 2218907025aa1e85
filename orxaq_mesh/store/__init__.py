"""Where bytes lie: the `Store` protocol, between a node and the hub.

Knows: refs, commits, trees of files, compare-and-push with its three outcomes.
Knows not: what a line means. It moves bytes and says how that went (laws PUSH, QUIET, CACHE).

Two stores keep the protocol, and one suite (`tests/test_store_contract.py`) runs on both: `memory.MemoryStore`
and `git.GitStore`.

    tips = store.poll()                                      # {"mesh": "<oid>", "mesh-node/elm-12ab34cd": "<oid>"}
    store.fetch(tips)                                        # their objects are here now, checked
    for change in store.changes(old, tips["mesh"]): ...      # only what differs
    new = store.commit(base=old, files={...}, parents=[old], message="...", at_s=...)
    store.push("mesh", expected=old, new=new)                # committed, lost or unknown
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol

Wanted = Callable[[str], bool]
Oid = str
"""A commit's object id at the hub: 40 or 64 hex digits. Never an id of ours."""


class Change(NamedTuple):
    """One file that differs between two commits; None where it does not exist."""

    path: str
    old: bytes | None
    new: bytes | None


class Flaw(NamedTuple):
    """Something in a fetched tree that no ledger has: a mode, a name, a size. `law` is the id it breaks."""

    law: str
    file: str
    reason: str


class Outcome(Enum):
    """How a push ended (law PUSH)."""

    COMMITTED = "committed"
    LOST = "lost"
    UNKNOWN = "unknown"


class Pushed(NamedTuple):
    """A push's outcome. `reason` is one sanitised line of what git said; `vetoed`: a hook or rule of the hub said no."""

    outcome: Outcome
    reason: str = ""
    vetoed: bool = False


class Store(Protocol):
    """Bytes of one ledger, here and at its hub. One owner at a time; not for two threads."""

    def poll(self) -> dict[str, Oid]:
        """Branch name -> tip at the hub, for the trunk and every outbox. One cheap reading.

        Raises:
            Unreachable: the hub did not answer in time.
        """

    def fetch(self, wanted: Mapping[str, Oid]) -> None:
        """Bring the objects of these branches' tips (branch -> oid, as `poll` told) into the store, checked.

        Where one branch's objects are malformed the others are still taken in, the trunk before all: no outbox stops
        the rest (law LIVE). Where many are, some of the others may be left to later calls, so that none takes long.

        Raises:
            Unreachable: the hub did not answer, or a branch no longer reaches that tip.
            InvalidLedger: objects are malformed, or (law LIVE) the hub has not got those of an outbox; none of
                their branch was taken in. `findings` are `Flaw`s, with the branch as `file`.
        """

    def has(self, oid: Oid) -> bool:
        """Whether this commit is here already."""

    def changes(
        self, old: Oid | None, new: Oid, under: str = "ledger", only: Wanted | None = None
    ) -> Iterator[Change | Flaw]:
        """The files below `under` that differ between two commits, sorted by path; flaws in `new` among them.

        Only files that can belong to a ledger are read (see `record.parse_path` for their names): anything else
        in the tree, at any depth, is one `Flaw` and is not descended into. So is an object that stands at two
        places. A flaw that `old` has in the same place is not told again.

        Args:
            old, new: commits that are here; None: an empty tree.
            under: a folder.
            only: path -> whether that file is wanted; the bytes of others are not read.
        """

    def read(self, commit: Oid, path: str) -> bytes | None:
        """A segment's bytes in a commit, or None where there is none. What stands beside `ledger` is never read."""

    def descends(self, new: Oid, old: Oid) -> bool:
        """Whether `old` is `new` or an ancestor of it. Both must be here."""

    def made_s(self, commit: Oid) -> int:
        """When a commit that is here says it was made: seconds since 1970. Nothing is judged by it."""

    def commit(
        self, base: Oid | None, files: Mapping[str, bytes | None], parents: Sequence[Oid], message: str, at_s: int
    ) -> Oid:
        """A new commit: the tree of `base` with these files replaced, or removed where None. Nothing at the hub moves.

        The same arguments give the same commit, on every machine. What stands beside `ledger` is carried along.
        What is flawed below it is left behind in every folder that is written anew, so `{flaw.file: None}` for each
        flaw that `changes` told heals a tree (law RENDER).

        Args:
            base: a commit that is here, or None for an empty tree.
            files: path -> bytes. Below `ledger` only paths of segments.
            parents: commits that are here.
            message: one line of `[a-zA-Z0-9 .,:()/_-]`: a fixed template of checked words (trap B9).
            at_s: seconds since 1970 for both its dates.

        Raises:
            ValueError: a path, a message or a time that no ledger has.
            InvalidLedger: a folder of `base` is unreadable, so nothing can be put beside what it holds.
        """

    def push(self, branch: str, expected: Oid | None, new: Oid) -> Pushed:
        """Move a branch at the hub from exactly `expected` (None: it must not exist) to `new`, or do not.

        `new` must descend from `expected`: anything else is a ValueError before the hub is asked.

        Raises:
            Unreachable: certain that nothing was sent: the hub is not there, or lets nobody in.
        """

    def keep(self, name: str, oid: Oid) -> None:
        """Remember `oid` under a local name, so that maintenance never removes its objects."""

    def kept(self) -> dict[str, Oid]:
        """What `keep` remembers: local name -> oid."""

    def maintain(self) -> str | None:
        """Pack what has grown loose; None, or a sentence that says why it could not."""

    def close(self) -> None:
        """End every process and descriptor this store holds. Safe to call twice."""


_MESSAGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9 .,:()/_-]{0,199}")


def check_message(message: str) -> None:
    """Whether a commit may say this: nothing in it can be a trailer or wake the host (trap B9).

    Raises:
        ValueError: it has characters beyond `[a-zA-Z0-9 .,:()/_-]`, or more than 200.
    """
    if not _MESSAGE.fullmatch(message):
        raise ValueError(f"not a message of a fixed template: {message[:200]!r}")


def flaws_only(found: Iterable[Change | Flaw]) -> list[Flaw]:
    """The flaws among what `changes` yields."""
    return [item for item in found if isinstance(item, Flaw)]
