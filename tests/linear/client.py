"""One `mesh` command in a process of its own, forked from one that has imported the mesh already.

Knows: how a command is started, stopped, killed, and what it printed.
Knows not: what it means.

    command = Command(["lease", "show", "deploy", "--json", "--home", home], folder / "7", {"PATH": path})
    command.wait(20)                                     # its exit code; None: it hung, and was killed
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orxaq_mesh.cli.lease
import orxaq_mesh.cli.publish
import orxaq_mesh.cli.sync  # noqa: F401
import tests.race.racer  # noqa: F401 - all of it before the fork, not after it; the race forks from the same process
from orxaq_mesh import cli

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.linear.client"])
_ONE_AT_A_TIME = threading.Lock()
"""Who starts a process also looks who of the others has ended; two who look at once lose an exit code."""


class Command:
    """A running command.

    Args:
        words: what stands behind `mesh`.
        told: where its output goes, without the suffix.
        variables: what its environment has beside this process's own.
    """

    def __init__(self, words: Sequence[str], told: Path, variables: Mapping[str, str]) -> None:
        self._told = told
        self._process = PROCESSES.Process(target=_run, args=(list(words), str(told), dict(variables)), daemon=True)
        with _ONE_AT_A_TIME:
            self._process.start()

    def signal(self, number: int) -> None:
        """Send it a signal, if it still lives."""
        if not self._ended() and self._process.pid is not None:
            os.kill(self._process.pid, number)

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code; None where it did not end by itself in time, or was killed."""
        deadline = time.monotonic() + timeout_s
        while not self._ended():
            if time.monotonic() > deadline:
                self._process.kill()
                deadline += timeout_s
            time.sleep(0.004)
        code = self._process.exitcode
        return code if code is not None and code >= 0 else None

    def _ended(self) -> bool:
        with _ONE_AT_A_TIME:
            return not self._process.is_alive()

    def said(self) -> dict[str, Any]:
        """The data or the error that it printed as JSON; empty where it printed neither."""
        for suffix, part in ((".out", "data"), (".err", "error")):
            for line in self._told.with_suffix(suffix).read_text().splitlines():
                if line.startswith("{") and part in (value := json.loads(line)):
                    found: dict[str, Any] = value[part]
                    return found
        return {}


def _run(words: list[str], told: str, variables: dict[str, str]) -> None:
    os.environ.update(variables)
    for number, suffix in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(told + suffix, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    sys.argv = ["mesh", *words]
    cli.main()
