"""Which system calls a command makes, and how to kill it, or one of its git processes, at exactly one of them.

Knows: strace and its words. Each process is traced alone (never with -f): strace counts the calls of each process by
itself, so "the 7th rename" would be that of whoever makes seven first.
Knows not: what the command is for.

The command itself is attached to (`room`). For its git processes a `git` of ours stands first on PATH and in git's
exec path; it gives each a role ("push.1", "receive-pack.1": the program and which one of that name) and starts it under
strace where the plan says so.

    stage = Stage(folder)
    points = stage.points(run)              # run it once and look: Point("mesh", "rename", 4, "journal.ndjson ...")
    stage.aim(points[7], alone=True)        # and now run it again
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MESH = "mesh"
FILES = "open openat creat write writev pwrite64 pwritev fsync fdatasync rename renameat renameat2 link linkat symlink"
FILES += " symlinkat unlink unlinkat rmdir mkdir mkdirat truncate ftruncate fallocate chmod fchmod fchmodat flock fcntl"
OTHERS = "connect sendto sendmsg execve fork vfork clone clone3"
CALLS = tuple(f"{FILES} {OTHERS}".split())
HUB = ("upload-pack", "receive-pack", "unpack-objects", "index-pack", "rev-list", "gc", "maintenance")

_LINE = re.compile(r"(\w+)\((.*)")
_OPEN_FOR_WRITING = re.compile(r"O_(?:WRONLY|RDWR|CREAT|TMPFILE|TRUNC)")
_LOCKS = re.compile(r"F_(?:OFD_)?SETLKW?\b")
_FAILED = re.compile(r"= -1 E[A-Z]+ ")

_SHIM = """#!/bin/sh
# A git process of the node or of the hub: which one is it, and is it the one?
stage={stage} core={core}
name=${{0##*/}} role=
if [ "$name" = git ]; then
  for word; do case $word in -*) ;; *) role=$word; break ;; esac; done
  real=$core/git; set -- --exec-path="$stage/bin" "$@"
else
  role=${{name#git-}} real=$core/$name
fi
number=1; set -C
while ! (: > "$stage/ran/$role.$number") 2>/dev/null; do number=$((number + 1)); done
set +C
{{ read -r aim; read -r calls; read -r inject; read -r main; }} < "$stage/plan"
case $aim in
  "$role.$number" | all) ;;
  *) exec "$real" "$@" ;;
esac
if [ -z "$main" ]; then exec strace -q -y -o "$stage/log/$role.$number" -e signal=KILL -e trace=$calls $inject -- "$real" "$@"; fi
strace -q -y -o "$stage/log/$role.$number" -e signal=KILL -e trace=$calls $inject -- "$real" "$@"
code=$?
# Power is lost to all at once: nobody may see this end. Who asked for it learns of it only when this shell has gone.
if [ $code -eq 137 ]; then kill -9 "$main"; kill -9 $$; fi
exit $code
"""


class Point(NamedTuple):
    """A place to die: before the `when`-th `call` of a process.

    Attributes:
        role: `mesh`, or a git process as "push.1".
        call: the system call.
        when: which one of that name, of that process; from 1.
        shown: the call as strace printed it.
    """

    role: str
    call: str
    when: int
    shown: str

    @property
    def of_hub(self) -> bool:
        """Whether it is a process of the hub that dies, and not one of the node's."""
        return self.role.partition(".")[0] in HUB

    @property
    def on_disk(self) -> bool:
        """Whether the call changes a file, and is no word between processes."""
        return self.call in FILES.split() and not re.search(r"<(?:pipe|socket|UNIX)[:>\[]", self.shown)

    def __str__(self) -> str:
        return f"{self.role} {self.call} {self.when}"


class Stage:
    """A directory with the `git` of ours, the plan for the next run and what strace wrote.

    Args:
        folder: an empty directory.
    """

    def __init__(self, folder: Path) -> None:
        assert shutil.which("strace"), "strace is missing, and these tests are about it: apt-get install strace"
        self.folder = folder
        core = Path(os.popen("git --exec-path").read().strip())
        for name in ("bin", "log", "ran"):
            (folder / name).mkdir(parents=True)
        for tool in core.iterdir():
            (folder / "bin" / tool.name).symlink_to(tool)
        shim = _SHIM.format(stage=shlex.quote(str(folder)), core=shlex.quote(str(core)))
        for name in ("git", "git-receive-pack", "git-upload-pack"):
            (folder / "bin" / name).unlink(missing_ok=True)
            (folder / "bin" / name).write_text(shim)
            (folder / "bin" / name).chmod(0o755)
        self.rest()

    @property
    def path(self) -> str:
        """PATH for the commands."""
        return f"{self.folder / 'bin'}:{os.environ['PATH']}"

    def rest(self) -> None:
        """From now on nobody is traced."""
        self._plan("nobody", "none", "", "")

    def watch(self) -> None:
        """The next run is written down, and nobody dies."""
        self._plan("all", ",".join(CALLS), "", "")

    def aim(self, point: Point) -> None:
        """Somebody dies in the next run."""
        inject = f"-e inject={point.call}:signal=KILL:when={point.when}"
        self._plan(point.role, point.call, inject, "")

    def _plan(self, *words: str) -> None:
        self._words = words
        (self.folder / "plan").write_text("\n".join(words) + "\n")
        for name in ("ran", "log"):
            for file in (self.folder / name).iterdir():
                file.unlink()

    def tracer(self, pid: int, everybody: bool = False) -> list[str]:
        """The argv of the command's own tracer; `everybody` dies with the chosen one."""
        aim, calls, inject, _ = self._words
        if aim not in (MESH, "all"):
            (self.folder / "plan").write_text("\n".join((aim, calls, inject, str(pid) if everybody else "")) + "\n")
            return []
        log = ["-o", str(self.folder / "log" / MESH)]
        return [
            "strace",
            "-q",
            "-y",
            *log,
            "-e",
            "signal=KILL",
            "-e",
            f"trace={calls}",
            *inject.split(),
            "-p",
            str(pid),
        ]

    def killed(self, role: str) -> str | None:
        """The call before which that process was killed, as strace printed it; None where it was not."""
        log = self.folder / "log" / role
        lines = log.read_text("utf-8", "replace").splitlines() if log.exists() else []
        return lines[-2] if len(lines) > 1 and "killed by SIGKILL" in lines[-1] else None

    def counted(self, point: Point) -> int:
        """How often the process of a point made its call, in the run that is over."""
        log = self.folder / "log" / point.role
        return log.read_text("utf-8", "replace").count(f"{point.call}(") if log.exists() else 0

    def points(self) -> list[Point]:
        """Every place to die in the run that was watched; calls that failed or changed nothing are none."""
        logs = sorted((self.folder / "log").iterdir(), key=lambda log: (log.name != MESH, log.name))
        return [point for log in logs for point in _points(log)]


def _points(log: Path) -> Iterator[Point]:
    counted: Counter[str] = Counter()
    for line in log.read_text("utf-8", "replace").splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        call, rest = found.groups()
        counted[call] += 1
        if _matters(call, rest) and not (call == "execve" and log.name != MESH and counted[call] == 1):
            yield Point(log.name, call, counted[call], line)


def _matters(call: str, rest: str) -> bool:
    if call not in CALLS:
        return False
    if call in ("open", "openat") and not _OPEN_FOR_WRITING.search(rest):
        return False
    if "/dev/null" in rest or (call == "fcntl" and not _LOCKS.search(rest)):
        return False
    return not _FAILED.search(rest) or call == "connect"
