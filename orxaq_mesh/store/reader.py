"""Reading objects through one `git cat-file` that is kept open (traps B6, B11).

Knows: its batch commands. A size is asked before bytes are, always, so nothing larger than a ledger needs is read.
Knows not: how the process is started (it is given), the hub, refs.

    reader.info(oid)      # ("tree", 132), or None where the store has no such object
    reader.tree(oid)      # {b"epochs": Entry(b"40000", ...), ...}
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Callable

from orxaq_mesh import errors
from orxaq_mesh.store import Oid
from orxaq_mesh.store.objects import (
    MAX_COMMIT_BYTES,
    MAX_FILE_BYTES,
    MAX_TREE_BYTES,
    Tree,
    Unreadable,
    parse_commit,
    parse_tree,
)
from orxaq_mesh.store.pipes import Drain, end
from orxaq_mesh.text import clean

OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_REF = re.compile(r"refs(?:/[A-Za-z0-9_][A-Za-z0-9._-]*)+")
_REMEMBERED = 512


class Reader:
    """Objects of one store, by id.

    Args:
        start: starts `git cat-file --batch-command`.
        hint: what to do where the store itself is broken.
    """

    def __init__(self, start: Callable[[], subprocess.Popen[bytes]], hint: str) -> None:
        self._start, self._hint = start, hint
        self._process: subprocess.Popen[bytes] | None = None
        self._said: Drain | None = None
        self._lock = threading.Lock()
        self._trees: dict[Oid, Tree] = {}
        self._commits: dict[Oid, tuple[Oid, list[Oid]]] = {}

    def info(self, oid: Oid) -> tuple[str, int] | None:
        """(type, size in bytes) of an object, or None.

        Raises:
            ValueError: that is no object id.
            MeshFault: the store is broken.
        """
        with self._lock:
            words = self._ask("info", oid).split()
        return None if words[-1] == "missing" else (words[1], int(words[2]))

    def named(self, ref: str) -> Oid | None:
        """The object that a full ref's name (`refs/heads/mesh`) stands for, or None.

        Raises:
            ValueError: that is no such name.
        """
        if not _REF.fullmatch(ref):
            raise ValueError(f"not a ref's name: {clean(ref, limit=80)!r}")
        with self._lock:
            words = self._say("info", ref).split()
        return None if words[-1] == "missing" else words[0]

    def raw(self, oid: Oid, kind: str, limit: int) -> bytes:
        """An object's bytes.

        Raises:
            Unreadable: it is of another type, or larger than `limit` bytes.
            MeshFault: it is not here.
        """
        found = self.info(oid)
        if found is None:
            raise errors.MeshFault(f"the store lacks object {oid}", hint=self._hint)
        if found[0] != kind:
            raise Unreadable(f"a {found[0]} where a {kind} belongs")
        if found[1] > limit:
            raise Unreadable(f"{found[1]} bytes; at most {limit} are read")
        with self._lock:
            self._ask("contents", oid)
            assert self._process is not None
            assert self._process.stdout is not None
            return self._process.stdout.read(found[1] + 1)[:-1]

    def tree(self, oid: Oid) -> Tree:
        """A tree's entries; see `objects.Source`."""
        if oid not in self._trees:
            if len(self._trees) >= _REMEMBERED:
                self._trees.clear()
            self._trees[oid] = parse_tree(self.raw(oid, "tree", MAX_TREE_BYTES), len(oid) // 2)
        return self._trees[oid]

    def blob(self, oid: Oid) -> bytes:
        """A blob's bytes; see `objects.Source`."""
        return self.raw(oid, "blob", MAX_FILE_BYTES)

    def commit(self, oid: Oid) -> tuple[Oid, list[Oid]]:
        """(tree, parents) of a commit.

        Raises:
            Unreadable: it is none, or larger than any of ours.
        """
        if oid not in self._commits:
            if len(self._commits) >= _REMEMBERED:
                self._commits.clear()
            self._commits[oid] = parse_commit(self.raw(oid, "commit", MAX_COMMIT_BYTES))
        return self._commits[oid]

    def close(self) -> None:
        """End the process; the next question starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
        end(process)
        process.wait()
        if self._said:
            self._said.join(2)

    def _ask(self, what: str, oid: Oid) -> str:
        if not OID.fullmatch(oid):
            raise ValueError(f"not an object id: {clean(oid, limit=80)!r}")
        return self._say(what, oid)

    def _say(self, what: str, oid: str) -> str:
        if self._process is None:
            self._process = self._start()
            self._said = Drain(self._process, self._process.stderr)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(f"{what} {oid}\n".encode())
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer.endswith(b"\n"):
            self.close()
            said = self._said.bytes().decode("utf-8", "replace") if self._said else ""
            raise errors.MeshFault(f"git cannot read object {oid} of the store: {clean(said)}", hint=self._hint)
        return answer.decode("ascii", "backslashreplace").rstrip("\n")
