"""The git store: a bare repository of our own, moved by stock git, guarded on every side.

Knows: which git processes to start, with what, for how long, and where objects lie (laws PUSH, QUIET, CACHE).
Knows not: lines, and any working tree: there is none, nor an index, nor a remote, nor a remote-tracking ref.

    store = GitStore(path, "git@github.com:acme/fleet.git", environ=environ)
    tips = store.poll()                                  # one `git ls-remote`
    store.fetch(tips)                                    # one `git fetch` into a quarantine, fsck on the way in (B7)
    new = store.commit(tips["mesh"], {...}, [tips["mesh"]], "epoch 42", at_s)      # no process at all
    store.push("mesh", expected=tips["mesh"], new=new)   # one `git push`

Reading goes through one `git cat-file` that is kept open; it is asked for sizes before it is asked for bytes (B6).
Why objects are written without git and processes are started through GitPython: docs/decisions/0003-the-git-store.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orxaq_mesh import errors
from orxaq_mesh.store import Change, Flaw, Oid, Pushed, Wanted, answers, check_message, objects
from orxaq_mesh.store.answers import Ran
from orxaq_mesh.store.environment import check_hub_url, git_environment, hub_side_config
from orxaq_mesh.store.housekeeping import (
    Alive,
    Quarantine,
    how_loose,
    object_format,
    stale_locks,
    survived,
    sync,
    write_loose,
    write_whole,
)
from orxaq_mesh.store.objects import FOLDER, Entry, Tree, Unreadable
from orxaq_mesh.store.pipes import finish
from orxaq_mesh.store.reader import OID, Reader
from orxaq_mesh.text import clean

__all__ = ["GitStore", "Processes", "check_hub_url", "stale_locks"]

HUB_TIMEOUT_MS = 30_000
FETCH_TIMEOUTS = 10
"""A fetch may take this many times as long as a poll: it moves data."""
LOCAL_TIMEOUT_MS = 120_000
MAX_LOOSE = 2048
MAX_PACKS = 24

MAX_SIFTED = 8
"""So many fetches more, at most, when one did not do because of some of its branches; the rest is for the next time."""

_NAME = re.compile(r"(?!.*(?:\.\.|\.lock))[a-z0-9_-][a-z0-9._-]*(?:/[a-z0-9_-][a-z0-9._-]*){0,3}")
_KEPT = "refs/mesh/"
_SEEN = "refs/mesh-hub/"
"""What was fetched last, by branch: so that the next fetch asks for no more than is new. Nothing else reads it."""
_CACHE_HINT = "the store is a cache: remove {} and try again; nothing but time is lost"


class Processes:
    """Every git process of a store: one lock, one environment, a fixed argv, bytes, a limit on time and on output.

    Args:
        store: the bare repository that each of them is told to use.
        base: the environment of this very process: GitPython starts from it, so what is to be dropped is taken
            out again by name.
        env: the one environment (`git_environment`).
        descriptors: what each child inherits, to count as alive in the store.
    """

    def __init__(
        self, store: Path, base: Mapping[str, str], env: Mapping[str, str], descriptors: tuple[int, ...] = ()
    ) -> None:
        self._store, self._env, self._descriptors = store, dict(env), descriptors
        self._drop = [word for name in sorted(base.keys() - env.keys()) for word in ("-u", name)]
        self._lock = threading.RLock()

    def start(self, args: Sequence[str], extra: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """A running git, leader of a process group of its own, its three streams open.

        Raises:
            MeshFault: there is no git.
        """
        from git import Git
        from git.exc import GitCommandNotFound

        prefix = ["env", *self._drop] if self._drop and os.name == "posix" else []
        more: dict[str, Any] = {"start_new_session": True, "pass_fds": self._descriptors} if os.name == "posix" else {}
        with self._lock:
            try:
                handle = Git(self._store).execute(
                    [*prefix, "git", f"--git-dir={self._store}", *args],
                    istream=subprocess.PIPE,
                    as_process=True,
                    shell=False,
                    env={**self._env, **(extra or {})},
                    **more,
                )
            except GitCommandNotFound as error:
                raise errors.MeshFault("git cannot be started", hint="install git 2.39 or later") from error
        # The wrapper would kill the process as soon as it is forgotten; from here on it is ours to end.
        process: subprocess.Popen[bytes] = handle.proc
        handle.proc = None
        return process

    def run(
        self, args: Sequence[str], *, timeout_ms: int, feed: bytes = b"", extra: Mapping[str, str] | None = None
    ) -> Ran:
        """Run one git to its end, or kill its whole process group when it takes or says too much."""
        with self._lock:
            return finish(self.start(args, extra), feed, timeout_ms)


class GitStore:
    """One node's store, beside its hub; see `Store` for what each method does.

    The repository is made at first use, in the hub's object format. One owner at a time: the caller's node lock
    sees to that.

    Args:
        path: where the bare repository is, or is to be.
        hub_url: see `check_hub_url`.
        environ: the environment of this process (`home` reads it).
        trunk: the trunk's branch.
        timeout_ms: how long one reading of the hub, or one push, may take; a fetch ten times that.
        ssh_control_dir: see `git_environment`.
        boot: names this run of the machine, for who owns the store: what a power cut damaged is made anew.

    Raises:
        Usage: the URL is no address.
    """

    def __init__(
        self,
        path: Path | str,
        hub_url: str,
        *,
        environ: Mapping[str, str],
        trunk: str = "mesh",
        timeout_ms: int = HUB_TIMEOUT_MS,
        ssh_control_dir: str | None = None,
        boot: str = "",
    ) -> None:
        self.path, self.hub_url = Path(path).absolute(), check_hub_url(hub_url)
        if not _NAME.fullmatch(trunk):
            raise errors.Usage(f"not a name for a trunk: {trunk!r}")
        self.trunk, self._timeout_ms = trunk, timeout_ms
        self._base, self._control_dir, self._boot = environ, ssh_control_dir, boot
        self._head = self.path / "HEAD"
        self._hint = _CACHE_HINT.format(self.path)
        self._alive: Alive | None = None
        self._opened: tuple[Processes, Reader] | None = None
        self._hash = "sha1"
        self._rest = 0

    def poll(self) -> dict[str, Oid]:
        """See `Store.poll`."""
        patterns = [f"refs/heads/{self.trunk}", f"refs/heads/{answers.OUTBOX}*"]
        args = ["ls-remote", "--heads", "--quiet", "--", self.hub_url, *patterns]
        ran = self._git.run(args, timeout_ms=self._timeout_ms)
        if not ran.good:
            raise self._unreachable(ran)
        if (line := answers.strange(ran.out)) is not None:
            raise errors.Unreachable(
                f"git does not list the hub's branches, but says: {line}", hint="see `mesh doctor`"
            )
        tips = answers.tips(ran.out, self.trunk)
        self._follow_format(tips)
        return tips

    def fetch(self, wanted: Mapping[str, Oid]) -> None:
        """See `Store.fetch`."""
        missing = {branch: oid for branch, oid in wanted.items() if not self.has(oid)}
        for branch in missing:
            self._check_branch(branch)
        flaws = self._fetch(missing) if missing else []
        if not flaws:
            return
        told = f"{flaws[0].file}: {flaws[0].reason}"
        if len(missing) > 1:
            told = f"in {len(missing)} branches: {flaws[0].reason}"
            flaws = self._sift(missing, flaws)
        raise errors.InvalidLedger(f"the hub sent what no ledger has: {told}", findings=flaws)

    def _sift(self, suspects: Mapping[str, Oid], flaws: Sequence[Flaw]) -> list[Flaw]:
        """Tell the bad branches from the good, the trunk first, in few fetches: more at a time while they are good."""
        left = sorted(suspects.items(), key=lambda item: item[0] != self.trunk)
        found: list[Flaw] = []
        size = 1
        for _ in range(MAX_SIFTED):
            if len(left) == 1 and not found:
                return [flaw for flaw in flaws if flaw.file == left[0][0]]
            if told := self._fetch(dict(left[:size])) if left else []:
                found += told if size == 1 else []
                left = left[1:] if size == 1 else left
                size = 1
            else:
                left, size = left[size:], 2 * size
        return found

    def _fetch(self, wanted: Mapping[str, Oid]) -> list[Flaw]:
        """Fetch into a quarantine and take in what is good; flaws where it is not."""
        args = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"]
        args += ["--no-recurse-submodules", "--no-show-forced-updates", "--stdin", "--", self.hub_url]
        feed = "".join(f"refs/heads/{branch}\n" for branch in wanted).encode()
        with Quarantine(self.path) as quarantine:
            ran = self._git.run(
                args, timeout_ms=self._timeout_ms * FETCH_TIMEOUTS, feed=feed, extra=quarantine.variables
            )
            if answers.bad_objects(ran):
                return [Flaw(answers.broken_law(ran), branch, answers.reason(ran)) for branch in wanted]
            if answers.shallow(ran):
                return [Flaw("RENDER", branch, "the hub's history is cut off (a shallow clone)") for branch in wanted]
            if answers.lacking(ran) and set(wanted) != {self.trunk}:
                return [Flaw("LIVE", branch, answers.reason(ran)) for branch in wanted]
            if not ran.good:
                raise self._unreachable(ran)
            quarantine.take_in()
        gone = [branch for branch, oid in wanted.items() if not self.has(oid)]
        if gone:
            raise errors.Unreachable(f"the hub's {gone[0]} no longer reaches {wanted[gone[0]]}", hint="read it again")
        self._remember(wanted)
        return []

    def _remember(self, tips: Mapping[str, Oid]) -> None:
        feed = "".join(f"update {_SEEN}{branch} {oid}\n" for branch, oid in tips.items()).encode()
        ran = self._git.run(["update-ref", "--stdin"], timeout_ms=LOCAL_TIMEOUT_MS, feed=feed)
        if not ran.good:
            self._sweep()  # forgotten, the next fetch is longer; a lock left behind would make that so for ever

    def has(self, oid: Oid) -> bool:
        """See `Store.has`."""
        return (self._reader.info(oid) or ("", 0))[0] == "commit"

    def changes(
        self, old: Oid | None, new: Oid, under: str = "ledger", only: Wanted | None = None
    ) -> Iterator[Change | Flaw]:
        """See `Store.changes`."""
        yield from objects.differences(self._reader, self._root(old, lenient=True), self._root(new), under, only)

    def read(self, commit: Oid, path: str) -> bytes | None:
        """See `Store.read`."""
        with contextlib.suppress(Unreadable):
            return objects.find(self._reader, self._root(commit), path)
        return None

    def _root(self, commit: Oid | None, *, lenient: bool = False) -> Tree:
        """The root tree of a commit; `lenient`: an unreadable one counts as empty."""
        if commit is None:
            return {}
        try:
            return self._reader.tree(self._reader.commit(commit)[0])
        except Unreadable as error:
            if lenient:
                return {}
            raise self._invalid(commit, error) from error

    def descends(self, new: Oid, old: Oid) -> bool:
        """See `Store.descends`."""
        if new == old or old in self._parents(new):
            return True
        ran = self._git.run(["merge-base", "--is-ancestor", old, new], timeout_ms=LOCAL_TIMEOUT_MS)
        if ran.code not in (0, 1) or ran.late:
            raise errors.MeshFault(f"git cannot compare commits: {answers.reason(ran)}", hint=self._hint)
        return ran.code == 0

    def made_s(self, commit: Oid) -> int:
        """See `Store.made_s`."""
        try:
            return objects.made_s(self._reader.raw(commit, "commit", objects.MAX_COMMIT_BYTES))
        except Unreadable as error:
            raise self._invalid(commit, error) from error

    def _parents(self, commit: Oid) -> list[Oid]:
        try:
            return self._reader.commit(commit)[1]
        except Unreadable as error:
            raise self._invalid(commit, error) from error

    def commit(
        self, base: Oid | None, files: Mapping[str, bytes | None], parents: Sequence[Oid], message: str, at_s: int
    ) -> Oid:
        """See `Store.commit`."""
        check_message(message)
        objects.check_files(files)
        if at_s < 0 or not all(OID.fullmatch(parent) for parent in parents):
            raise ValueError(f"not a time and parents of a commit: {at_s}, {list(parents)}")
        try:
            old = Entry(FOLDER, self._reader.commit(base)[0]) if base else None
            root = objects.graft(self._reader, self._write, old, files, "")
        except Unreadable as error:
            raise self._invalid(str(base), error) from error
        tree = root.oid if root else self._write(b"tree", b"")
        return self._write(b"commit", objects.format_commit(tree, list(parents), message, at_s))

    def _write(self, kind: bytes, raw: bytes) -> Oid:
        whole = b"%s %d\0%s" % (kind, len(raw), raw)
        oid = hashlib.new(self._hash, whole, usedforsecurity=False).hexdigest()
        write_loose(self.path / "objects", oid, zlib.compress(whole, 1))
        return oid

    def push(self, branch: str, expected: Oid | None, new: Oid) -> Pushed:
        """See `Store.push`."""
        self._check_branch(branch)
        if not self.has(new) or not (expected is None or (self.has(expected) and self.descends(new, expected))):
            raise ValueError(f"{clean(new)} does not descend from {clean(str(expected))}")
        ref = f"refs/heads/{branch}"
        args = ["push", "--porcelain", "--no-follow-tags", "--no-verify", "--no-signed", "--no-recurse-submodules"]
        args += [f"--force-with-lease={ref}:{expected or ''}", "--", self.hub_url, f"{new}:{ref}"]
        ran = self._git.run(args, timeout_ms=self._timeout_ms)
        outcome = answers.pushed(ran, ref)
        if answers.foreign_format(ran) or (not ran.out and answers.nothing_sent(ran)):
            raise self._unreachable(ran)
        return outcome

    def _check_branch(self, branch: str) -> None:
        if not answers.is_branch(branch, self.trunk):
            raise ValueError(f"neither the trunk nor an outbox: {branch!r}")

    def keep(self, name: str, oid: Oid) -> None:
        """See `Store.keep`."""
        if not _NAME.fullmatch(name) or not self.has(oid):
            raise ValueError(f"not a name and a commit to keep: {name!r}, {oid!r}")
        args = ["update-ref", "--no-deref", f"{_KEPT}{name}", oid]
        ran = self._git.run(args, timeout_ms=LOCAL_TIMEOUT_MS)
        if not ran.good and self._sweep():
            ran = self._git.run(args, timeout_ms=LOCAL_TIMEOUT_MS)
        if not ran.good:
            raise errors.MeshFault(f"the store cannot remember {name}: {answers.reason(ran)}", hint=self._hint)

    def kept(self) -> dict[str, Oid]:
        """See `Store.kept`."""
        ran = self._git.run(["for-each-ref", "--format=%(objectname) %(refname)", _KEPT], timeout_ms=LOCAL_TIMEOUT_MS)
        if not ran.good:
            raise errors.MeshFault(f"git cannot list what is kept: {answers.reason(ran)}", hint=self._hint)
        pairs = [line.split(" ", 1) for line in ran.out.decode("ascii", "backslashreplace").splitlines()]
        return {ref.removeprefix(_KEPT): oid for oid, ref in pairs}

    def maintain(self) -> str | None:
        """See `Store.maintain`. Packs grow geometrically, so the cost follows what is new; no object is dropped."""
        loose, packs = how_loose(self.path)
        if loose < MAX_LOOSE + self._rest and packs < MAX_PACKS:
            return None
        self._reader.close()  # it holds the packs open that are about to go
        args = ["repack", "--geometric=2", "-d", "-l", "-q", "--no-write-bitmap-index"]
        ran = self._git.run(args, timeout_ms=LOCAL_TIMEOUT_MS)
        self._rest = how_loose(self.path)[0]  # what stayed loose now would stay so the next time
        if ran.good:
            return None
        self._sweep()
        return f"the store could not be packed ({loose} loose objects): {answers.reason(ran)}"

    def close(self) -> None:
        """See `Store.close`."""
        if self._opened:
            self._opened[1].close()
        if self._alive:
            self._alive.close()
        self._opened = self._alive = None

    def _sweep(self) -> bool:
        return self._alive is not None and self._alive.sweep()

    @property
    def _git(self) -> Processes:
        return self._open()[0]

    @property
    def _reader(self) -> Reader:
        return self._open()[1]

    def _open(self) -> tuple[Processes, Reader]:
        if self._control_dir:
            with contextlib.suppress(OSError):  # ssh gives up where it cannot make its socket; it says why
                Path(self._control_dir).mkdir(mode=0o700, exist_ok=True)
        if self._opened and self._head.exists():
            return self._opened
        self.close()  # somebody deleted the store meanwhile, as they may (law CACHE)
        alive = self._come_alive()
        if self._boot and alive.alone and not survived(self.path, self._boot):
            alive.close()
            shutil.rmtree(self.path)
            alive = self._come_alive()
        self._alive = alive
        if (self.path / "shallow").exists() or (self.path / "info" / "grafts").exists():
            raise errors.MeshFault(f"the store's history is cut off or grafted: {self.path}", hint=self._hint)
        self._hash = object_format(self.path) or "sha1"
        hub_side = self.path / "hub-side.gitconfig"
        write_whole(hub_side, hub_side_config(self._base))
        env = git_environment(self._base, ssh_control_dir=self._control_dir, global_config=str(hub_side))
        git = Processes(self.path, self._base, env, alive.descriptors)
        self._opened = git, Reader(lambda: git.start(["cat-file", "--batch-command"]), self._hint)
        return self._opened

    def _come_alive(self) -> Alive:
        if not self._head.exists():
            # An empty hub does not tell its object format; one on this disk has it in its configuration.
            self._make(object_format(Path(self.hub_url.removeprefix("file://"))) or "sha1")
        return Alive(self.path)

    def _make(self, hash_name: str) -> None:
        """Make the repository beside its place and move it there, so that half of one is never found."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f"{self.path.name}.new-", dir=self.path.parent))
        try:
            git = Processes(fresh, self._base, git_environment(self._base))
            args = ["init", "--quiet", "--bare", "--template=", "--initial-branch=mesh", f"--object-format={hash_name}"]
            ran = git.run(args, timeout_ms=LOCAL_TIMEOUT_MS)
            if not ran.good:
                raise errors.MeshFault(f"git cannot make a store at {self.path}: {answers.reason(ran)}")
            sync(fresh / "HEAD")
            sync(fresh / "config")
            if (self.path / "objects").is_dir():
                shutil.rmtree(self.path)  # what is left of a store whose deletion was cut short
            with contextlib.suppress(OSError):
                fresh.rename(self.path)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        if not self._head.exists():
            raise errors.MeshFault(f"something else is where the store belongs: {self.path}")

    def _follow_format(self, tips: Mapping[str, Oid]) -> None:
        """Make the store anew in the hub's object format, if it is another one and nothing is lost by that (B14)."""
        hub = {"sha256" if len(oid) == 64 else "sha1" for oid in tips.values()} or {self._hash}
        if hub == {self._hash}:
            return
        if how_loose(self.path) != (0, 0) or self.kept():
            raise errors.MeshFault(f"the hub's objects are {hub.pop()}, the store's {self._hash}", hint=self._hint)
        self.close()
        shutil.rmtree(self.path)
        self._make(hub.pop())

    def _unreachable(self, ran: Ran) -> errors.MeshFault:
        said = answers.reason(ran)
        if answers.foreign_format(ran):
            hint = "this git, or this store, cannot speak to a repository of that form; see `mesh doctor`"
            return errors.MeshFault(f"the hub's repository has a foreign form: {said}", hint=hint)
        return errors.Unreachable(f"the hub does not answer: {said}", hint="see `mesh doctor`")

    def _invalid(self, commit: Oid, error: Unreadable) -> errors.InvalidLedger:
        flaw = Flaw("RENDER", commit, str(error))
        return errors.InvalidLedger(f"commit {commit}: {error}", findings=[flaw])
