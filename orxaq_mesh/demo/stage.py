"""The demo's ground: one temporary directory, and every process that was started on it.

Knows: how to start, stop (SIGSTOP), wake and end a program with all that it started; how to wait with a deadline.
Knows not: locks, leases, what is shown.

    with Stage() as stage:
        job = stage.start(["python3", "job.py"], env)
        job.freeze()                 # the lid closes: it and its children stand still
        job.wake()
    # here every process is gone, and the directory too, unless stage.keep
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from orxaq_mesh.errors import MeshError
from orxaq_mesh.home.clock import Clock
from orxaq_mesh.home.process import environment

Facts = dict[str, Any]
PATIENCE_MS = 40_000
GRACE_MS = 3000
MAX_LAST_WORDS = 4000
_PACKAGE = Path(__file__).resolve().parents[2]


class Missed(MeshError):
    """Something that the demo promises did not happen."""

    code = "missed"


class Program:
    """A running process, and the group of all that it starts."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, listen: bool) -> None:
        self.argv = list(argv)
        with log.open("wb") as errors:
            self._popen = subprocess.Popen(
                self.argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if listen else errors,
                stderr=errors,
                start_new_session=True,  # a Ctrl-C at the terminal is ours to pass on
            )
        self._log = log

    def line(self, did: str) -> Facts:
        """The next line that it tells, which must be about this."""
        assert self._popen.stdout is not None
        told = self._popen.stdout.readline()
        facts: Facts = orjson.loads(told) if told else {}
        if facts.get("did") != did:
            raise Missed(f"a job should have {did}; {self.last_words() or told.decode() or 'it ended'}")
        return facts

    def give(self, text: str) -> None:
        """Write to its standard input, and close it."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(text.encode())
        self._popen.stdin.close()

    def finish(self) -> tuple[int, bytes]:
        """Wait for its end: exit code and standard output."""
        out, _ = self._popen.communicate(timeout=PATIENCE_MS / 1000)
        return self._popen.returncode, out

    def freeze(self) -> bool:
        """Stop it and its children where they stand; whether the system says that it stands.

        It stands before they do: were a child stopped while it is being born (vfork), its parent could not stop, ever.
        """
        os.kill(self._popen.pid, signal.SIGSTOP)
        _, status = os.waitpid(self._popen.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            self._popen.returncode = os.waitstatus_to_exitcode(status)
            return False
        self._signal(signal.SIGSTOP)
        return True

    def wake(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """The power fails: it and its children are gone at once, without a word."""
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def ask_to_end(self) -> None:
        """Ask it and its children to end."""
        self._signal(signal.SIGTERM)

    def end(self) -> None:
        """See to it that it has ended, and its children. Safe to call twice."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(GRACE_MS / 1000)
        self._signal(signal.SIGKILL)
        self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, number)

    def last_words(self) -> str:
        """What it wrote to standard error."""
        return self._log.read_text("utf-8", "replace").strip()[-MAX_LAST_WORDS:]


class Stage:
    """See the module's banner. `keep`: leave the directory where it is."""

    def __init__(self, keep: bool = False) -> None:
        self.keep = keep
        self.path = Path(tempfile.mkdtemp(prefix="mesh-demo-")).resolve()
        self._programs: list[Program] = []
        self._first: list[Program] = []
        self._over = False
        self._door = threading.Lock()
        self._clock = Clock()
        self._began_ms = self._clock.now_ms()
        self.env = self._environment()
        (self.path / "logs").mkdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if not self.keep:
            self._remove()

    def _remove(self) -> None:
        """Remove the directory; what a dying process still writes into it is removed too."""
        deadline_ms = self._clock.now_ms() + GRACE_MS
        while self.path.exists() and self._clock.now_ms() < deadline_ms:
            shutil.rmtree(self.path, ignore_errors=True)

    def end(self) -> None:
        """End every program; whoever still waits for one hears of it at once."""
        with self._door:
            self._over = True
        for program in self._programs:
            program.wake()
        for wave in (self._first, [program for program in self._programs if program not in self._first]):
            for program in wave:
                program.ask_to_end()
            for program in wave:
                program.end()

    def now_ms(self) -> int:
        """Milliseconds since the curtain rose."""
        return self.since(self._clock.now_ms())

    def since(self, at_ms: int) -> int:
        """A moment on this machine's clock as milliseconds since the curtain rose."""
        return at_ms - self._began_ms

    def start(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        *,
        listen: bool = True,
        ends_first: bool = False,
    ) -> Program:
        """Start a program; it ends with the stage at the latest. What nobody listens to goes to its log.

        `ends_first`: it needs the others to come to its end.
        """
        with self._door:
            if self._over:
                raise Missed("the play is over")
            log = self.path / "logs" / f"{len(self._programs)}-{Path(argv[0]).name}.log"
            program = Program(argv, self.env | dict(env or {}), cwd or self.path, log, listen)
            self._programs.append(program)
            if ends_first:
                self._first.append(program)
        return program

    def run(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> bytes:
        """Run a program that must succeed; its standard output."""
        program = self.start(argv, env, cwd)
        code, out = program.finish()
        if code:
            raise Missed(f"`{' '.join(argv)}` ended with {code}: {program.last_words()}")
        return out

    def until(self, what: str, true: Callable[[], Any]) -> Any:
        """Wait until something is true; gives what made it so."""
        deadline_ms = self._clock.now_ms() + PATIENCE_MS
        while not (found := true()):
            if self._over or self._clock.now_ms() > deadline_ms:
                raise Missed(f"{what}: not within {PATIENCE_MS // 1000} s")
            time.sleep(0.05)
        return found

    def _environment(self) -> dict[str, str]:
        """The user's, without anything that git or the mesh would heed."""
        foreign = ("GIT_", "MESH_", "SSH_")
        kept = {name: value for name, value in environment().items() if not name.startswith(foreign)}
        person = {f"GIT_{role}_{part}": "demo" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        path = os.pathsep.join(filter(None, (str(_PACKAGE), kept.get("PYTHONPATH"))))
        ours = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "NO_COLOR": "1", "PYTHONPATH": path}
        return kept | person | ours | {"XDG_CONFIG_HOME": str(self.path), "PYTHONUNBUFFERED": "1"}


PYTHON = sys.executable
