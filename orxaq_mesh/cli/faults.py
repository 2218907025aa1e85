"""Whatever goes wrong is one line on stderr and an exit code.

Knows: every family of errors, an interrupt, a reader that left.
Knows not: which command ran.

    guarded(lambda: program().main(argv))         # 0 .. 7, 130, 141
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import IO, Any

from orxaq_mesh.cli.call import ReaderLeft, call, is_utf8, unwritten
from orxaq_mesh.errors import MeshError, MeshFault, Usage

INTERRUPTED = 130


def guarded(work: Callable[[], Any]) -> int:
    """Do it, and turn whatever goes wrong into one line and an exit code; never a traceback unless asked for."""
    try:
        code = work()
    except MeshError as error:
        return call().fail(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except ReaderLeft:
        return 128 + 13
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person gets a sentence
        return call().fail(_misused(error) if hasattr(error, "format_message") else _unforeseen(error))
    finally:
        _settle(sys.stdout)
        _settle(sys.stderr)
    return code if isinstance(code, int) else 0


def _settle(stream: IO[str]) -> None:
    """What could not be written is dropped: Python must not stumble over it once more when it flushes at its end."""
    try:
        stream.flush()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def leave_tidily() -> None:
    """Let SIGTERM and SIGHUP unwind a command: its git processes end, what is open is closed; exit 128 + the signal."""
    import signal

    def leave(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # `nohup` means it
            signal.signal(number, leave)


def whole_streams() -> None:
    """Stand in for standard streams that were closed, so that no file of ours is taken for one of them.

    Nothing is read from such a stdin, nothing that is written to such a stderr is missed, and to such a stdout nothing
    can be written: what a command answers is told, or its exit code is not 0.
    """
    while (spare := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(spare)
    sys.stdin = sys.stdin or os.fdopen(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")


def refuse_foreign(argv: Sequence[str]) -> None:
    """Refuse words that are not UTF-8; those behind `--` are another command's, and pass.

    Raises:
        Usage: which word it is.
    """
    own = argv[: argv.index("--")] if "--" in argv else argv
    for word in own:
        if not is_utf8(word):
            raise Usage(f"the argument {word[:40]!a} is not UTF-8", hint="names, paths and values are UTF-8 text")


def _misused(error: Any) -> Usage:
    """Typer's own errors have a message; this file does without Typer, for those who only want the status."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "mesh"
    return Usage(error.format_message().rstrip("."), hint=f"{path} --help")


def _unforeseen(error: Exception) -> MeshFault:
    from orxaq_mesh.home.process import environment

    if environment().get("MESH_DEBUG"):
        raise error
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EBADF) and not error.filename:  # rich and Typer write by themselves
            return unwritten(error)
        where = f" ({error.filename})" if error.filename else ""
        return MeshFault(f"the system refuses: {error.strerror or error}{where}", hint="mesh doctor")
    what = f"{type(error).__name__}: {error}"
    return MeshFault(f"this should not have happened: {what}", hint="run with MESH_DEBUG=1 for the traceback")
