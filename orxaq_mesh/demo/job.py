"""The job that both sides run: take the lock, look once more, receive a version, write it to `prod.txt`.

Knows: the one order of steps, the same on both sides, and how each side does them. It tells each as a JSON line.
Knows not: that it will be stopped between the look and the write.
Law: FENCE. On the right the write passes `mesh gate`, and the report carries the token. On the left there is no token.

    python -m orxaq_mesh.demo.job left  DIR elm 3000 < version
    python -m orxaq_mesh.demo.job right DIR elm 3000 < version
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import orjson

from orxaq_mesh.demo.lockfile import LockFile
from orxaq_mesh.home.process import environment

LEASE = "deploy"
PROD = "prod.txt"
Facts = dict[str, Any]


class Side(Protocol):
    """How one side does each step; each gives the facts that it read."""

    def acquire(self) -> Facts:
        """Wait until the lock is ours."""

    def look(self) -> Facts:
        """Whether it still is."""

    def write(self, artifact: Path) -> Facts:
        """Bring the version to `prod.txt`."""

    def report(self) -> Facts:
        """Tell the others."""

    def release(self) -> Facts:
        """Give it back."""


class Left:
    """A lock file: nothing stands between a job that once held the lock and `prod.txt`."""

    def __init__(self, folder: Path, node: str, ttl_ms: int) -> None:
        self._prod = folder / PROD
        self._lock = LockFile(str(folder / "hub.git"), folder / f"{node}.git", node, ttl_ms, environment())

    def acquire(self) -> Facts:
        """Wait until the lock is ours."""
        before = self._lock.acquire()
        return {"commit": self._lock.mine, "before": before._asdict()}

    def look(self) -> Facts:
        """Whether it still is."""
        return {"mine": self._lock.is_mine()}

    def write(self, artifact: Path) -> Facts:
        """Bring the version to `prod.txt`."""
        done = subprocess.run(["cp", str(artifact), str(self._prod)], check=True)
        return {"exit": done.returncode}

    def report(self) -> Facts:
        """Tell the others."""
        return {}

    def release(self) -> Facts:
        """Give it back."""
        return {"released": self._lock.release()}


class Right:
    """The mesh, by its commands, as a shell script would call them."""

    def __init__(self, folder: Path, node: str, ttl_ms: int) -> None:
        self._prod, self._ttl_ms = folder / PROD, ttl_ms
        self._token = 0

    def acquire(self) -> Facts:
        """Wait until the lock is ours."""
        ttl = f"{self._ttl_ms}ms"
        facts = self._mesh("lease", "acquire", LEASE, "--ttl", ttl, "--wait", "--timeout", "60s")
        self._token = (facts.get("data") or {}).get("token") or 0
        return facts

    def look(self) -> Facts:
        """Whether it still is."""
        facts = self._mesh("lease", "show", LEASE)
        return {**facts, "mine": facts["data"]["token"] == self._token}

    def write(self, artifact: Path) -> Facts:
        """Bring the version to `prod.txt`."""
        token = str(self._token)
        return self._mesh("gate", str(self._prod), "--token", token, "--", "cp", str(artifact), str(self._prod))

    def report(self) -> Facts:
        """Tell the others."""
        token, payload = str(self._token), orjson.dumps({"token": self._token}).decode()
        return self._mesh("publish", "deploys", "done", "--payload", payload, "--under", LEASE, "--token", token)

    def release(self) -> Facts:
        """Give it back."""
        return self._mesh("lease", "release", LEASE, "--token", str(self._token))

    def _mesh(self, *args: str) -> Facts:
        words = list(args)
        words.insert(words.index("--") if "--" in words else len(words), "--json")
        done = subprocess.run([sys.executable, "-m", "orxaq_mesh", *words], capture_output=True, check=False)
        said = done.stdout or done.stderr
        try:
            return {"exit": done.returncode, **orjson.loads(said or b"{}")}
        except ValueError:
            return {"exit": done.returncode, "said": said.decode(errors="replace")}


def main() -> None:
    """One run of the job."""
    side, folder, node, ttl_ms = sys.argv[1:]
    here: Side = (Left if side == "left" else Right)(Path(folder), node, int(ttl_ms))
    tell("acquired", here.acquire())
    tell("looked", here.look())
    artifact = Path(folder) / f"{node}-build.txt"
    artifact.write_text(sys.stdin.readline())  # the lid may close here
    if not artifact.stat().st_size:
        raise SystemExit(f"{node} was given no version")
    tell("wrote", here.write(artifact))
    tell("reported", here.report())
    tell("released", here.release())


def tell(did: str, facts: Facts) -> None:
    """One JSON line for whoever watches."""
    sys.stdout.write(orjson.dumps({"did": did, **facts}).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
