"""Whatever goes wrong is one line on stderr and an exit code.

Knows: every family of errors, an interrupt, a reader that left.
Knows not: which command ran.

    guarded(lambda: program().main(argv))         # 0 .. 7, 130, 141
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

from orxaq_mesh.cli.call import ReaderLeft, call
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
        # Who reads has left; and Python must not stumble over it once more when it flushes at its end.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + 13
    except Exception as error:  # noqa: BLE001 - the last line of defence: a person gets a sentence
        return call().fail(_misused(error) if hasattr(error, "format_message") else _unforeseen(error))
    return code if isinstance(code, int) else 0


def _misused(error: Any) -> Usage:
    """Typer's own errors have a message; this file does without Typer, for those who only want the status."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "mesh"
    return Usage(error.format_message().rstrip("."), hint=f"{path} --help")


def _unforeseen(error: Exception) -> MeshFault:
    from orxaq_mesh.home.process import environment

    if environment().get("MESH_DEBUG"):
        raise error
    what = f"{type(error).__name__}: {error}"
    return MeshFault(f"this should not have happened: {what}", hint="run with MESH_DEBUG=1 for the traceback")
