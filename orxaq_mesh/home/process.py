"""Who started us, and whether a process still lives.

Knows: pid, start time and boot id, which together name one process for ever; shells and wrappers that only pass on.
Knows not: leases. Keeps law FENCE's session (what started a command is its holder) and the issue's rule that a lease is
renewed for as long as the process that acquired it lives.

    who = starter()                              # ProcessId(pid=4121, start="882711", boot="0d1c...")
    session({}, None, who)                       # "claude-9c01f2ab"
    alive(who)                                   # False after it ended, though its pid may be another's by now
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.errors import Usage
from orxaq_mesh.home.clock import boot_id

MAX_SESSION = 100
SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]*")
_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "mksh", "fish", "ash", "csh", "tcsh"})
_WRAPPERS = frozenset({"env", "timeout", "nice", "nohup", "setsid", "time", "sudo", "uv", "uvx", "pipx"})
# An orphan's parent. It lives as long as the machine and so would the lease.
_INITS = frozenset({"init", "systemd", "launchd", "tini", "dumb-init", "docker-init"})
_PS_TIMEOUT_S = 5
_PROC = Path("/proc/self/stat")


class ProcessId(NamedTuple):
    """One process, told apart from every other that has its pid before, after or on another run of the machine."""

    pid: int
    start: str
    boot: str


class _Seen(NamedTuple):
    """What the system says of a living process."""

    id: ProcessId
    parent: int
    name: str
    argv: tuple[str, ...]


def environment() -> dict[str, str]:
    """A copy of this process's environment, for rooms that pass one on (a child, git, the settings)."""
    return dict(os.environ)


@contextmanager
def undisturbed() -> Iterator[None]:
    """No search for reference cycles meanwhile: for work that keeps all that it makes and makes no cycles.

    A ledger of 100,000 records is otherwise searched again and again while it is read, for a third of the time.
    """
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None where there is none, or it is dead and only not yet buried."""
    seen = _look(pid)
    return seen.id if seen else None


def alive(process: ProcessId) -> bool:
    """Whether exactly this process still lives: a reused pid, another boot and a zombie are all no."""
    return process.boot == boot_id() and identify(process.pid) == process


def starter() -> ProcessId:
    """What started this process: its nearest ancestor that does not only pass a command on.

    Passed over are shells run with `-c` and wrappers such as `timeout` or `uv`. What remains is a person's shell, an
    agent, a script. An orphan is its own starter: init never ends, and a lease must.
    """
    current = _look(os.getpid())
    if current is None:
        return ProcessId(os.getppid(), "", boot_id())
    while (parent := _look(current.parent)) and parent.name not in _INITS:
        current = parent
        if not _passes_on(current):
            break
    return current.id


def session(environ: Mapping[str, str], option: str | None = None, started_by: ProcessId | None = None) -> str:
    """The name of the holder within the node (law FENCE).

    Args:
        environ: for MESH_SESSION.
        option: `--session`; comes first.
        started_by: from whom a name is derived where neither is given; by default `starter()`.

    Raises:
        Usage: the name has a character that no session has, or more than 100.
    """
    given = option if option is not None else environ.get("MESH_SESSION") or None
    if given is None:
        return _derived(started_by or starter())
    if len(given) > MAX_SESSION or not SESSION.fullmatch(given):
        where = "--session" if option is not None else "MESH_SESSION"
        raise Usage(
            f"{where}: {given[:40]!a} is no session's name: a letter or digit, then letters, digits and ._:@/- , "
            f"at most {MAX_SESSION} in all",
            hint="--session claude-1, or MESH_SESSION=claude-1",
        )
    return given


def identify_self() -> ProcessId:
    """This process."""
    return identify(os.getpid()) or ProcessId(os.getpid(), "", boot_id())


def _derived(who: ProcessId) -> str:
    seen = _look(who.pid)
    name = re.sub(r"[^a-z0-9]+", "-", seen.name.lower()).strip("-")[:20].rstrip("-") if seen else ""
    digest = hashlib.sha256(f"{who.pid} {who.start} {who.boot}".encode()).hexdigest()
    return f"{name or 'process'}-{digest[:8]}"


def _passes_on(seen: _Seen) -> bool:
    if seen.name in _WRAPPERS:
        return True
    shell = Path(seen.argv[0]).name.lstrip("-") if seen.argv else seen.name
    return shell in _SHELLS and _runs_one_command(seen.argv[1:])


def _runs_one_command(arguments: tuple[str, ...]) -> bool:
    """Whether a shell's arguments say `-c` (also within `-lc`) before they name a script."""
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith(("-", "+")) or argument in ("-", "--"):
            return False
        if argument.startswith("--command") or re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", argument):
            return True
        if re.fullmatch(r"[-+][A-Za-z]*[oO]|--rcfile|--init-file", argument):
            next(rest, None)  # its value
    return False


def _look(pid: int) -> _Seen | None:
    if pid <= 0:
        return None
    return _from_proc(pid) if _PROC.exists() else _from_ps(pid)


def _from_proc(pid: int) -> _Seen | None:
    directory = Path(f"/proc/{pid}")
    try:
        stat = (directory / "stat").read_bytes()
        argv = (directory / "cmdline").read_bytes()
    except OSError:
        return None
    # The name stands in parentheses and may hold spaces and parentheses itself.
    name, _, rest = stat.partition(b"(")[2].rpartition(b")")
    fields = rest.decode("ascii").split()
    if fields[0] in ("Z", "X"):
        return None
    who = ProcessId(pid, fields[19], boot_id())
    return _Seen(who, int(fields[1]), os.fsdecode(name), tuple(os.fsdecode(argv).split("\0")[:-1]))


def _from_ps(pid: int) -> _Seen | None:
    """For systems without /proc. A start time in seconds is coarser than ticks, and still tells a reused pid."""
    import subprocess

    command = ["ps", "-ww", "-o", "ppid=,stat=,lstart=,args=", "-p", str(pid)]
    environ = {"LC_ALL": "C", "TZ": "UTC", "PATH": os.environ.get("PATH", os.defpath)}
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, env=environ, timeout=_PS_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = os.fsdecode(done.stdout).split()
    if done.returncode or len(words) < 8 or words[1].startswith("Z"):
        return None
    argv = tuple(words[7:])
    name = Path(argv[0]).name.lstrip("-")
    return _Seen(ProcessId(pid, " ".join(words[2:7]), boot_id()), int(words[0]), name, argv)
