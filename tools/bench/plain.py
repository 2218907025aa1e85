"""A lock as plain git commands make one: a file in a branch, taken by pull, commit and push."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from tests.hubs import Hub, plain_git


class PlainLock:
    """One participant: its clone of the branch `plain`."""

    def __init__(self, hub: Hub, folder: Path) -> None:
        self.folder = folder
        if hub.tip("plain") is None:
            tree = hub.git("mktree")
            hub.git("update-ref", "refs/heads/plain", self._first(hub, tree))
        plain_git("clone", "--quiet", "--branch=plain", str(hub.path), str(folder))
        plain_git("remote", "set-url", "origin", hub.url, cwd=folder)

    @staticmethod
    def _first(hub: Hub, tree: str) -> str:
        return hub.git("commit-tree", tree, "-m", "begin")

    def pull(self) -> None:
        self._git("pull", "--quiet", "--ff-only")

    def holds(self, name: str) -> bool:
        """Whether the lock's file is there."""
        return (self.folder / name).exists()

    def change(self, name: str, content: str | None) -> None:
        """Write or remove a file, commit, push."""
        file = self.folder / name
        file.unlink() if content is None else file.write_text(content)
        self._git("add", "--all")
        self._git("commit", "--quiet", f"--message={name}")
        self._git("push", "--quiet", "origin", "plain")

    def acquire(self, name: str) -> None:
        """Pull, commit, push."""
        self.pull()
        assert not self.holds(name)
        self.change(name, "held")

    def wait_for(self, name: str, every_s: float, there: bool = False) -> None:
        """Pull every so often until the file is gone, or there."""
        self.pull()
        while self.holds(name) != there:
            time.sleep(every_s)
            self.pull()

    def take_from_silent(self, name: str, ttl_s: float, every_s: float) -> None:
        """Pull every so often until the lock's last change was seen so long ago; then it is ours."""
        seen, since = "", time.monotonic()
        while True:
            self.pull()
            now = (self.folder / name).read_text()
            if now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since >= ttl_s:
                break
            time.sleep(every_s)
        self.change(name, "mine")

    def _git(self, *args: str) -> None:
        plain_git(*args, cwd=self.folder)


def polling(url: str, every_s: int) -> subprocess.Popen[bytes]:
    """A shell that asks the hub for its branch again and again."""
    script = 'while :; do git ls-remote --quiet "$0" refs/heads/mesh >/dev/null; sleep "$1"; done'
    return subprocess.Popen(["sh", "-c", script, url, str(every_s)], process_group=0)
