"""A git that does not keep its word: a script of that name, first on the PATH, with the real one behind it.

Knows: the calls that reach a hub (ls-remote, fetch, push). What is done locally is none of its business.
Knows not: what is on its way.

    path = flaky_path(folder)                        # PATH for a command that is to meet it
    {"PATH": path, "FLAKY_SEED": "7"}                # without a seed the real git runs, unharmed

By the seed and the number of the call it fails before the real git runs, fails after it has run (its work is done),
stalls before or after, for a while or longer than anyone waits, or says what no git says, having run or not.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_SCRIPT = r"""#!/bin/sh
case "${FLAKY_SEED:+flaky} $* " in
  flaky*" ls-remote "* | flaky*" fetch "* | flaky*" push "*) ;;
  *) exec %(git)s "$@" ;;
esac
echo . >> "%(folder)s/calls-$FLAKY_SEED"
roll=$(printf '%%s %%s' "$FLAKY_SEED" "$(wc -l < "%(folder)s/calls-$FLAKY_SEED")" | cksum)
roll=$((${roll%%%% *} %% 12))
echo "$roll" >> "%(folder)s/rolls"
garbage() { printf '\033[31m0000 what no git says\t\377\n0123456789012345678901234567890123456789\n'; }
case $roll in
  0) echo "fatal: the flaky git does not run" >&2; exit 128 ;;
  1 | 2) %(git)s "$@"; echo "error: the flaky git has run, and fails" >&2; exit 1 ;;
  3) sleep 0.3; exec %(git)s "$@" ;;
  4) %(git)s "$@"; code=$?; sleep 0.3; exit $code ;;
  5) sleep 2; exit 1 ;;
  6) %(git)s "$@"; sleep 2; exit 1 ;;
  7) garbage; exit 0 ;;
  8) %(git)s "$@" > /dev/null; garbage; exit 0 ;;
  *) exec %(git)s "$@" ;;
esac
"""


def flaky_path(folder: Path, path: str | None = None) -> str:
    """A PATH whose first git is the flaky one, made in this folder."""
    path = path or os.environ["PATH"]
    git = shutil.which("git", path=path)
    assert git, "git is needed"
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "git"
    script.write_text(_SCRIPT % {"git": git, "folder": folder})
    script.chmod(0o755)
    return f"{folder}:{path}"
