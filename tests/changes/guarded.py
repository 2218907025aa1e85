"""The third judge: a hub of our own whose hook says no before a branch moves. Every change is a real `git push` to it.

guarded = Guarded(tmp_path, objects)
guarded.says(base, head)              # {"SIG"}: refused, and why; the trunk stayed. set(): it moved
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.hub.making import make
from orxaq_mesh.hub.settings import HubSettings
from tests.changes.objects import Objects
from tests.hubs import Hub

_TOLD = re.compile(r"^remote: ([A-Z]+(?:-[0-9]+)?): ", re.MULTILINE)


class Answer(NamedTuple):
    """What a push came to: whether the trunk moved, which laws were named, all that was said."""

    moved: bool
    laws: set[str]
    said: str


class Guarded:
    """A hub that enforces; before each push its trunk stands where the change begins."""

    def __init__(self, path: Path, objects: Objects) -> None:
        make(path, HubSettings(), dict(os.environ))
        self.hub, self._objects = Hub(str(path), path), objects

    def push(self, base: str | None, head: str) -> Answer:
        """Bring the trunk to `base`, behind the hook's back, and push `head`."""
        if base is None:
            self.hub.git("update-ref", "-d", "refs/heads/mesh")
        elif self.hub.tip() != base:
            self._objects.point("base", base)
            self.hub.git("fetch", "--quiet", str(self._objects.path), "+refs/heads/base:refs/heads/mesh")
        git = ["git", "--git-dir", str(self._objects.path), "push", "--quiet", str(self.hub.path)]
        done = subprocess.run([*git, f"{head}:refs/heads/mesh"], capture_output=True, text=True, check=False)
        moved = self.hub.tip() == head
        assert moved or self.hub.tip() == base
        assert moved == (done.returncode == 0)
        return Answer(moved, set(_TOLD.findall(done.stderr)), done.stderr)
