"""Commits of any make, in a real bare repository: what git would refuse to write is written all the same.

Knows: loose objects, trees of any names and modes. Starts a git process only to make the repository.
Knows not: what a ledger is.

    there = Objects(tmp_path / "cases.git")
    base = there.commit(there.root({"ledger/epochs/000000/0000000001.ndjson": b"..."}))
    head = there.commit(there.root({...}, {"ledger/link": Odd(b"120000", b"elsewhere")}), base)
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.store.objects import FILE, FOLDER, Entry, format_commit, format_tree
from tests.hubs import bare

AT_S = 1_800_000_000


class Odd(NamedTuple):
    """A tree's entry of any mode. `content`: a blob's bytes, or what makes the object that stands there; its id."""

    mode: bytes
    content: bytes | Callable[[Objects], str]


class Objects:
    """A bare repository, written object by object."""

    def __init__(self, path: Path) -> None:
        self.path = bare(path)
        self._there: set[str] = set()

    def put(self, kind: bytes, raw: bytes) -> str:
        """One object; its id."""
        whole = b"%s %d\0%s" % (kind, len(raw), raw)
        oid = hashlib.sha1(whole, usedforsecurity=False).hexdigest()
        if oid not in self._there:
            self._there.add(oid)
            file = self.path / "objects" / oid[:2] / oid[2:]
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(zlib.compress(whole, 1))
        return oid

    def blob(self, content: bytes) -> str:
        return self.put(b"blob", content)

    def tree(self, *entries: tuple[bytes, bytes, str]) -> str:
        """A tree of (mode, name, id), in this very order."""
        return self.put(
            b"tree", b"".join(b"%s %s\0%s" % (mode, name, bytes.fromhex(oid)) for mode, name, oid in entries)
        )

    def root(self, files: Mapping[str, bytes], odd: Mapping[str, Odd] | None = None) -> str:
        """The tree of these files, with the odd entries put in; one that stands where a file or folder is replaces it."""
        entries: dict[str, Odd] = {path: Odd(FILE, content) for path, content in files.items()}
        for path, entry in (odd or {}).items():
            entries = {other: kept for other, kept in entries.items() if not f"{other}/".startswith(f"{path}/")}
            entries[path] = entry
        return self._folder({tuple(path.split("/")): entry for path, entry in entries.items()})

    def folder(self, at: str, files: Mapping[str, bytes]) -> str:
        """The tree of one folder, of files that all lie below it."""
        return self._folder({tuple(path.removeprefix(f"{at}/").split("/")): Odd(FILE, files[path]) for path in files})

    def _folder(self, entries: Mapping[tuple[str, ...], Odd]) -> str:
        tree: dict[bytes, Entry] = {}
        below: dict[str, dict[tuple[str, ...], Odd]] = {}
        for (name, *rest), entry in entries.items():
            if rest:
                below.setdefault(name, {})[tuple(rest)] = entry
            else:
                tree[_bytes(name)] = Entry(entry.mode, self._id(entry.content))
        for name, inner in below.items():
            tree[_bytes(name)] = Entry(FOLDER, self._folder(inner))
        return self.put(b"tree", format_tree(tree))

    def _id(self, content: bytes | Callable[[Objects], str]) -> str:
        return self.blob(content) if isinstance(content, bytes) else content(self)

    def commit(self, tree: str, *parents: str, message: str = "epoch 1") -> str:
        return self.put(b"commit", format_commit(tree, list(parents), message, AT_S))

    def point(self, branch: str, oid: str) -> None:
        """Let a branch be there, whatever it was before."""
        ref = self.path / "refs" / "heads" / branch
        ref.parent.mkdir(parents=True, exist_ok=True)
        ref.write_text(f"{oid}\n")


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
