"""Runs commands of a node as real processes, and owns all that they leave behind.

Knows: fork, stops and orphans. It has the program's modules loaded, so that a command costs its work and not its start.
Knows not: what is run, or why. Linux only, as strace is: orphans come back to whoever is their subreaper.

    with Room() as room:
        ended = room.run(["publish", "builds", "done"], env)            # Done(code=0, out="...", err="")
        ended = room.run(words, env, tracer=lambda pid: ["strace", "-p", str(pid), ...])
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

from tests.fleet import Done

PATIENCE_S = 90.0
PR_SET_CHILD_SUBREAPER = 36
LOADED = (
    *(f"orxaq_mesh.cli.{noun}" for noun in ("app", "publish", "lease", "sync")),
    *("orxaq_mesh.sync.performer", "orxaq_mesh.mesh", "orxaq_mesh.store.git", "orxaq_mesh.home.keyfiles"),
    *(
        "git",
        "nacl.signing",
        "nacl.bindings",
        "filelock",
        "jsonschema_rs",
        "cryptography.hazmat.primitives.serialization",
    ),
)


class Room:
    """A process that runs one command after the other; see `serve` for its half.

    Args:
        more: modules that it loads besides the program's.
    """

    def __init__(self, *more: str) -> None:
        self.more = more

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="room-")
        argv = [sys.executable, "-c", f"from {__name__} import serve; serve(*{self.more!r})"]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()
        self._folder.cleanup()

    def run(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        *,
        tracer: Callable[[int], list[str]] | None = None,
        before: str = "",
    ) -> Done:
        """Run `mesh WORDS` to its end; the code is minus the signal's number where one killed it.

        Args:
            words: what follows `mesh`.
            env: its whole environment.
            tracer: told the command's pid before its first step, it gives the argv of a tracer to attach first, or [].
            before: `module:function`, called in the process before its work: how a mutant is put in.
        """
        asked = {"words": list(words), "env": dict(env), "folder": self._folder.name, "before": before}
        pid = int(self._ask({**asked, "waits": tracer is not None}))
        if tracer is not None:
            self._ask({"tracer": tracer(pid)})
        code = int(self._ask({"wait": PATIENCE_S}))
        said = [Path(self._folder.name, name).read_text("utf-8", "replace") for name in ("out", "err")]
        return Done(code, *said)

    def clear(self) -> int:
        """Kill all that was left behind; how many processes that were."""
        return int(self._ask({"clear": True}))

    def settle(self) -> int:
        """Wait until all that was left behind has ended by itself; how many had to be killed after all."""
        return int(self._ask({"settle": PATIENCE_S}))

    def _ask(self, what: Mapping[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline() or '{"error":"the room is gone"}')
        assert "error" not in answer, answer["error"]
        return str(answer["answer"])


# The other half: a process of its own.


def serve(*more: str) -> None:
    """Answer one question a line, until there are no more."""
    for name in (*LOADED, *more):
        importlib.import_module(name)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    server = _Server()
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"answer": server.answer(json.loads(line))}
        except (OSError, AssertionError) as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
    server.clear()


class _Server:
    def __init__(self) -> None:
        self.pid = 0
        self.tracer: subprocess.Popen[bytes] | None = None

    def answer(self, asked: dict[str, Any]) -> int:
        match asked:
            case {"words": _}:
                return self.start(asked)
            case {"tracer": argv}:
                return self.attach(argv)
            case {"wait": patience_s}:
                return self.wait(patience_s)
            case {"settle": patience_s}:
                return self.settle(patience_s)
        return self.clear()

    def start(self, asked: dict[str, Any]) -> int:
        self.pid = os.fork()
        if self.pid == 0:
            _become(asked)
        if asked["waits"]:
            os.waitpid(self.pid, os.WUNTRACED)
        return self.pid

    def attach(self, argv: list[str]) -> int:
        """The command waits stopped, so the tracer misses nothing."""
        if argv:
            self.tracer = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while self.tracer is not None and not _is_traced(self.pid):
            assert self.tracer.poll() is None, f"{argv[0]} ended with {self.tracer.returncode}: is ptrace allowed here?"
            assert time.monotonic() < deadline, f"{argv[0]} does not attach"
            time.sleep(0.001)
        os.kill(self.pid, signal.SIGCONT)
        return 0

    def wait(self, patience_s: float) -> int:
        deadline = time.monotonic() + patience_s
        while (ended := os.waitpid(self.pid, os.WNOHANG))[0] == 0:
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
                raise AssertionError(f"it did not end within {patience_s} s")
            time.sleep(0.002)
        if self.tracer is not None:
            self.tracer.wait(patience_s)
            self.tracer = None
        return os.waitstatus_to_exitcode(ended[1])

    def settle(self, patience_s: float) -> int:
        deadline = time.monotonic() + patience_s
        while _bury() and time.monotonic() < deadline:
            time.sleep(0.002)
        return self.clear()

    def clear(self) -> int:
        killed = 0
        while _bury():
            for pid in _children():
                os.kill(pid, signal.SIGKILL)
                killed += 1
            time.sleep(0.001)
        return killed


def _become(asked: dict[str, Any]) -> NoReturn:
    """The forked child: from here on a process of `mesh`."""
    code = 70
    try:
        os.setsid()
        os.environ.clear()
        os.environ.update(asked["env"])
        folder = Path(asked["folder"])
        for number, place in enumerate((Path(os.devnull), folder / "out", folder / "err")):
            file = os.open(place, os.O_RDWR | os.O_CREAT | (os.O_TRUNC if number else 0), 0o600)
            os.dup2(file, number)
            os.close(file)
        sys.argv = ["mesh", *asked["words"]]
        if asked["before"]:
            module, _, function = asked["before"].partition(":")
            getattr(importlib.import_module(module), function)()
        if asked["waits"]:
            os.kill(os.getpid(), signal.SIGSTOP)
        from orxaq_mesh.cli import main

        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception:  # noqa: BLE001 - whatever it was, the test sees it in what the command said
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("TracerPid:")[2].split()[0]) != 0


def _children() -> list[int]:
    return [int(pid) for pid in Path("/proc/self/task", str(os.getpid()), "children").read_text().split()]


def _bury() -> bool:
    """Bury the dead; whether any child lives."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True
