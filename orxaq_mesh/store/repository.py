"""Any git repository, looked at by object id: a checkout, a hub, a bare clone. Nothing in it is moved or run.

Knows: how to name a commit, what two commits differ by, inside the ledger and beside it (laws RENDER, QUIET).
Knows not: lines, the hub's address, GitPython (its import takes longer than most of what is asked here).

    with Repository(git_dir, environ=environ) as repository:
        base, head = repository.resolve("main"), repository.resolve("topic")
        for item in repository.changes(base, head): ...      # Change, or Flaw: also for what stands beside `ledger`
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from orxaq_mesh import errors
from orxaq_mesh.store import Change, Flaw, Oid, Wanted, answers, objects
from orxaq_mesh.store.answers import Ran
from orxaq_mesh.store.brought import Brought, brought
from orxaq_mesh.store.environment import git_environment
from orxaq_mesh.store.objects import FOLDER, Entry, Tree, Unreadable
from orxaq_mesh.store.pipes import finish
from orxaq_mesh.store.reader import OID, Reader
from orxaq_mesh.text import clean

TIMEOUT_MS = 120_000
MAX_BESIDE = 100
"""So many flaws beside the ledger are told; whoever touches more knows it."""
_MAX_DEPTH = 32
_MAX_REVISION = 250

_HINT = "fetch what is missing; a shallow or partial clone has not got everything"
_NO_FETCH = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
"""Reading must not reach for the network where a partial clone lacks an object (law QUIET)."""


class Repository:
    """The objects of one repository, read in the one scrubbed environment. To be closed; not for two threads.

    Args:
        git_dir: the git directory: `.git` of a checkout, or a bare repository.
        environ: the environment of this process (`home` reads it).
        also: variables that git is to see beside the scrubbed ones: the quarantine of a push, and nothing else.
    """

    def __init__(self, git_dir: Path, *, environ: Mapping[str, str], also: Mapping[str, str] | None = None) -> None:
        self.git_dir = git_dir
        self._env = {**git_environment(environ), **_NO_FETCH, **(also or {})}
        self._reader = Reader(lambda: self._start(["cat-file", "--batch-command"]), _HINT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def resolve(self, revision: str) -> Oid:
        """The commit that a revision names, as git spells revisions: a branch, `HEAD~2`, an id.

        Raises:
            Usage: it names none.
        """
        sound = revision.isprintable() and not revision.startswith("-") and 0 < len(revision) <= _MAX_REVISION
        ran = self._run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}") if sound else None
        oid = ran.out.decode("ascii", "replace").strip() if ran and ran.good else ""
        if not OID.fullmatch(oid):
            raise errors.Usage(f"no commit of {self.git_dir} is named {clean(revision, limit=80)!r}")
        return oid

    def tip(self, ref: str) -> Oid | None:
        """Where a ref (`refs/heads/mesh`) stands, without a process of its own; None where there is no such ref.

        Raises:
            ValueError: that is no full ref's name.
        """
        return self._reader.named(ref)

    def refs(self, under: str = "refs/") -> dict[str, str]:
        """All refs below a folder of them (`refs/heads/mesh-node/`) by name, and of which ref each is another name."""
        out = self._answer("for-each-ref", "--format=%(refname) %(symref)", "--", under).out
        lines = out.decode("utf-8", "backslashreplace").split("\n")[:-1]
        return {name: target for name, _, target in (line.partition(" ") for line in lines)}

    def is_symbolic(self, ref: str) -> bool:
        """Whether a ref is only another name of one, also of one that is not there; mostly without a process of its own.

        Args:
            ref: a sound name (`refs/heads/mesh`).
        """
        if (self.git_dir / "reftable").exists():
            return self._answer("symbolic-ref", "--quiet", ref).code == 0
        file = self.git_dir / ref
        try:
            return file.is_symlink() or file.read_bytes().startswith(b"ref:")
        except OSError:
            return False  # packed, or not there

    def has(self, oid: Oid) -> bool:
        """Whether this commit is here."""
        return (self._reader.info(oid) or ("", 0))[0] == "commit"

    def parents(self, commit: Oid) -> list[Oid]:
        """A commit's parents.

        Raises:
            InvalidLedger: it is larger than any commit that is read, or malformed.
        """
        try:
            return self._reader.commit(commit)[1]
        except Unreadable as error:
            flaw = Flaw("RENDER", commit, str(error))
            raise errors.InvalidLedger(f"commit {commit}: {error}", findings=[flaw]) from error

    def merge_base(self, one: Oid, other: Oid) -> Oid | None:
        """A best common ancestor of two commits, or None where there is none."""
        return next(iter(self.merge_bases(one, other)), None)

    def merge_bases(self, one: Oid, other: Oid) -> list[Oid]:
        """Every best common ancestor of two commits. A merge that has several starts from all of them at once."""
        ran = self._answer("merge-base", "--all", one, other)
        return ran.out.decode("ascii").split() if ran.code == 0 else []

    def descends(self, new: Oid, old: Oid) -> bool:
        """Whether `old` is `new` or an ancestor of it."""
        if new == old or old in self.parents(new):
            return True
        return self._answer("merge-base", "--is-ancestor", old, new).code == 0

    def brought(self, base: Oid, head: Oid) -> Brought:
        """What is wrong with the objects behind `head` that `base` has not, those of commits in between too."""
        return brought(self._run, base, head)

    def is_partial(self) -> bool:
        """Whether objects were left out when this was cloned (`--filter`)."""
        return self._run("config", "--get-regexp", r"^(extensions\.partialclone|remote\..*\.promisor)$").code == 0

    def is_shallow(self) -> bool:
        """Whether history is cut off here (trap B15)."""
        return self._answer("rev-parse", "--is-shallow-repository").out.strip() == b"true"

    def is_cut_between(self, one: Oid, other: Oid) -> bool:
        """Whether history is cut off where only one of two commits reaches: a later merge base may lie beyond (B15)."""
        if not self.is_shallow():
            return False
        cut = self._answer("rev-parse", "--git-path", "shallow").out.decode("utf-8", "surrogateescape").rstrip("\n")
        try:
            ends = set((self.git_dir / cut).read_text("ascii").split())
        except (OSError, ValueError):
            return True
        ran = self._run("rev-list", f"{one}...{other}")
        return not ran.good or not ends.isdisjoint(ran.out.decode("ascii").split())

    def changes(self, old: Oid | None, new: Oid, only: Wanted | None = None) -> Iterator[Change | Flaw]:
        """What differs between two commits: the ledger's files as `Store.changes` tells, then what stands beside it.

        Args:
            old, new: commits that are here; None: an empty tree.
            only: path -> whether that file of the ledger is wanted.

        Raises:
            MeshFault: an object is not here.
        """
        before, _ = self._root(old)
        after, flaw = self._root(new)
        if flaw:
            yield flaw
        yield from objects.differences(self._reader, before, after, "ledger", only)
        yield from self._beside(before, after)

    def read(self, commit: Oid, path: str) -> bytes | None:
        """A segment's bytes in a commit, or None where there is none that a ledger can have."""
        try:
            return objects.find(self._reader, self._root(commit)[0], path)
        except Unreadable:
            return None

    def close(self) -> None:
        """End the process that reads. Safe to call twice."""
        self._reader.close()

    def _root(self, commit: Oid | None) -> tuple[Tree, Flaw | None]:
        """A commit's root tree; an unreadable one counts as empty, and is a flaw."""
        if commit is None:
            return {}, None
        try:
            return self._reader.tree(self._reader.commit(commit)[0]), None
        except Unreadable as error:
            return {}, Flaw("RENDER", commit, str(error))

    def _beside(self, before: Tree, after: Tree) -> Iterator[Flaw]:
        """A flaw for each file that differs beside `ledger`, the first hundred of them."""
        names = [name for name in sorted(before.keys() | after.keys()) if name != b"ledger"]
        left = [(name.decode("utf-8", "backslashreplace"), before.get(name), after.get(name)) for name in names[::-1]]
        told = 0
        while left and told < MAX_BESIDE:
            path, old, new = left.pop()
            if old == new:
                continue
            inner = self._inner(path, old, new)
            left += inner
            if not inner:
                told += 1
                yield Flaw("RENDER", clean(path), "stands beside the ledger: its changes touch nothing else")

    def _inner(self, path: str, old: Entry | None, new: Entry | None) -> list[tuple[str, Entry | None, Entry | None]]:
        """What two folders hold, last first; nothing where one of the two is a file, or they are not to be read."""
        entries = [entry for entry in (old, new) if entry]
        if any(entry.mode != FOLDER for entry in entries) or path.count("/") >= _MAX_DEPTH:
            return []
        try:
            before = self._reader.tree(old.oid) if old else {}
            after = self._reader.tree(new.oid) if new else {}
        except Unreadable:
            return []
        names = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))[::-1]
        told = [(f"{path}/{name.decode('utf-8', 'backslashreplace')}", name) for name in names]
        return [(inner, before.get(name), after.get(name)) for inner, name in told[-MAX_BESIDE:]]

    def _answer(self, *args: str) -> Ran:
        """What git says to a question that may be answered by 0 or 1."""
        ran = self._run(*args)
        if ran.code not in (0, 1) or ran.late or ran.cut:
            raise errors.MeshFault(f"git cannot read {self.git_dir}: {answers.reason(ran)}", hint=_HINT)
        return ran

    def _run(self, *args: str, feed: bytes = b"", into: IO[bytes] | None = None) -> Ran:
        return finish(self._start(args, into), feed, TIMEOUT_MS)

    def _start(self, args: Sequence[str], into: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                ["git", f"--git-dir={self.git_dir}", *args],
                stdin=subprocess.PIPE,
                stdout=into or subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=self._env,
                start_new_session=True,
                cwd="/",
            )
        except OSError as error:
            raise errors.MeshFault("git cannot be started", hint="install git 2.39 or later") from error
