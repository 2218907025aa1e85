"""The left side's lock: a file on a branch, as people build it on git today, and built with care.

Knows: read, compare-and-swap by `git push --force-with-lease=<ref>:<what was read>`, a ttl by wall clock, delete.
Knows not: tokens. What it guards never hears of it; that is the whole difference.

    lock = LockFile(hub="/srv/hub.git", clone=Path("oak.git"), owner="oak", ttl_ms=3000, env=env)
    lock.acquire()                   # absent or expired: pushed, or lost and read again
    lock.is_mine()                   # True, and true at this moment only
    lock.release()
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import orjson

from orxaq_mesh.home.clock import Clock

REF = "refs/heads/lock-deploy"
FILE = "deploy.lock"
PAUSE_S = 0.1


class Read(NamedTuple):
    """The lock as the hub has it: the commit that holds it (empty: nobody's), its owner, when it ends."""

    commit: str = ""
    owner: str = ""
    until_ms: int = 0


class LockFile:
    """One node's view of the lock.

    Args:
        hub: the repository that holds it.
        clone: a bare repository of this node's own.
        owner: the node's name.
        ttl_ms: how long a grant lasts, in milliseconds.
        env: git's environment.
    """

    def __init__(self, hub: str, clone: Path, owner: str, ttl_ms: int, env: Mapping[str, str]) -> None:
        self._hub, self._clone, self._owner, self._ttl_ms, self._env = hub, clone, owner, ttl_ms, env
        self._clock = Clock()
        self.mine = ""

    def acquire(self) -> Read:
        """Wait until the lock is ours; gives what stood in its place when we took it."""
        while True:
            found = self.read()
            if not found.commit or found.until_ms <= self._clock.wall():
                mine = self._commit()
                if self._push(found.commit, mine):
                    self.mine = mine
                    return found
            time.sleep(PAUSE_S)

    def read(self) -> Read:
        """What the hub holds now."""
        commit = self._git("ls-remote", self._hub, REF).partition("\t")[0]
        if not commit:
            return Read()
        self._git("fetch", "--quiet", self._hub, REF)
        content = orjson.loads(self._git("show", f"FETCH_HEAD:{FILE}"))
        return Read(commit, content["owner"], content["until_ms"])

    def is_mine(self) -> bool:
        """Whether the hub still holds our own commit, unexpired."""
        found = self.read()
        return bool(self.mine) and found.commit == self.mine and found.until_ms > self._clock.wall()

    def release(self) -> bool:
        """Delete the lock if it is still our commit; whether the hub agreed."""
        return self._push(self.mine, "")

    def _commit(self) -> str:
        content = orjson.dumps({"owner": self._owner, "until_ms": self._clock.wall() + self._ttl_ms})
        blob = self._git("hash-object", "-w", "--stdin", feed=content)
        tree = self._git("mktree", feed=f"100644 blob {blob}\t{FILE}\n".encode())
        return self._git("commit-tree", tree, "-m", f"{self._owner} locks deploy")

    def _push(self, expected: str, new: str) -> bool:
        argv = ["push", "--quiet", f"--force-with-lease={REF}:{expected}", self._hub, f"{new}:{REF}"]
        return self._run(argv).returncode == 0

    def _git(self, *args: str, feed: bytes = b"") -> str:
        done = self._run(args, feed)
        done.check_returncode()
        return done.stdout.decode().strip()

    def _run(self, args: list[str] | tuple[str, ...], feed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        argv = ["git", "--git-dir", str(self._clone), *args]
        return subprocess.run(argv, input=feed, capture_output=True, env=dict(self._env), check=False)
