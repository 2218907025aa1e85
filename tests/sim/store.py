"""The store of a simulation: `MemoryStore` with commits that cost what they change, not what they hold.

Knows: a tree's hash as the sum of its files' hashes, so that a commit adds and takes away; still a function of content.
Knows not: anything else. What a hostile tree has in it goes the long way, through `MemoryStore`.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orxaq_mesh.record import parse_path
from orxaq_mesh.store import Change, Flaw, Oid, Wanted, check_message
from orxaq_mesh.store.memory import MemoryCommit, MemoryStore
from orxaq_mesh.store.objects import check_files

_ROOM = 1 << 160


@dataclass(frozen=True)
class SimCommit(MemoryCommit):
    """A commit that knows its tree's hash; `plain`: every path in it is a segment's."""

    tree: int = 0
    plain: bool = field(default=True, compare=False)

    @cached_property
    def name(self) -> Oid:
        text = repr((self.parents, self.message, self.at_s, self.tree))
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    @property
    def oid(self) -> Oid:
        return self.name


def _hash(path: str, content: bytes) -> int:
    digest = hashlib.sha1(path.encode("utf-8", "backslashreplace"), usedforsecurity=False)
    digest.update(content)
    return int.from_bytes(digest.digest(), "big")


def whole(made: MemoryCommit) -> SimCommit:
    """A commit of any files at all."""
    tree = sum(_hash(path, content) for path, content in made.files.items()) % _ROOM
    plain = all(parse_path(path) for path in made.files)
    return SimCommit(made.files, made.parents, made.message, made.at_s, tree, plain)


class SimStore(MemoryStore):
    """One node's store."""

    def commit(
        self, base: Oid | None, files: Mapping[str, bytes | None], parents: Sequence[Oid], message: str, at_s: int
    ) -> Oid:
        old = self._commits[base] if base else SimCommit({}, (), "", 0)
        if isinstance(old, SimCommit) and old.plain and all(parse_path(path) for path in files):
            check_message(message)
            check_files(files)
            made = _grown(old, files, tuple(parents), message, at_s)
        else:
            made = whole(self._commits.pop(super().commit(base, files, parents, message, at_s)))
        self._commits[made.oid] = made
        return made.oid

    def changes(
        self, old: Oid | None, new: Oid, under: str = "ledger", only: Wanted | None = None
    ) -> Iterator[Change | Flaw]:
        after = self._commits[new]
        if not (isinstance(after, SimCommit) and after.plain):
            yield from super().changes(old, new, under, only)
            return
        before = self._commits[old].files if old else {}
        there = after.files
        differ = [path for path, now in there.items() if before.get(path) is not now]
        differ += [path for path in before if path not in there and path.startswith("ledger/")]
        for path in sorted(differ):
            was, now = before.get(path), there.get(path)
            if was != now and f"{path}/".startswith(f"{under}/") and parse_path(path) and (only is None or only(path)):
                yield Change(path, was, now)

    def descends(self, new: Oid, old: Oid) -> bool:
        """The nearest ancestors first: what is asked is most often true at the first of them."""
        seen, left = set[Oid](), deque([new])
        while left:
            oid = left.popleft()
            if oid == old:
                return True
            if oid not in seen:
                seen.add(oid)
                left += self._commits[oid].parents
        return False


def _grown(
    old: SimCommit, files: Mapping[str, bytes | None], parents: tuple[Oid, ...], message: str, at_s: int
) -> SimCommit:
    merged, tree = dict(old.files), old.tree
    for path, content in files.items():
        if (was := merged.pop(path, None)) is not None:
            tree -= _hash(path, was)
        if content is not None:
            merged[path] = content
            tree += _hash(path, content)
    return SimCommit(merged, parents, message, at_s, tree % _ROOM)
