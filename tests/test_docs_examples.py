"""The documentation's examples run: every Python block that begins with `# runs`, every session that begins with `$ # runs`.

A session is a `console` block. `$` is a shell in a directory of its own; `oak$` is one on oak's laptop (MESH_HOME is its
own); `>` continues a line. The sessions of one page go on in one shell, after a bare hub was made at /srv/fleet.git.
What is printed must be what the page says, but for the width of columns; `...` stands for anything.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("README.md")])
BLOCK = re.compile(r"^```python\n(# runs\n.*?)^```$", re.MULTILINE | re.DOTALL)
SESSION = re.compile(r"^```console\n\$ # runs\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROMPT = re.compile(r"([a-z]*)\$ (.*)")
HUB = "/srv/fleet.git"
MARK = "--- command {} ---"


def blocks() -> list[tuple[str, str]]:
    """(page:line, code) of each, so that a failure says where to look."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start()) + 2
            found.append((f"{page.relative_to(ROOT)}:{line}", block[1]))
    return found


@pytest.mark.parametrize(("where", "code"), blocks(), ids=lambda value: value if "\n" not in value else "")
def test_an_example_of_the_documentation_runs(where: str, code: str, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, f"{where}\n{ran.stderr}"


class Step(NamedTuple):
    """One command of a session: where it stands, on whose laptop it runs, what it prints."""

    where: str
    who: str
    command: str
    printed: str


def sessions(page: Path) -> list[Step]:
    """The commands of all sessions of a page."""
    text = page.read_text("utf-8")
    steps: list[Step] = []
    for block in SESSION.finditer(text):
        first = text.count("\n", 0, block.start()) + 3
        for number, line in enumerate(block[1].splitlines(), first):
            if found := PROMPT.fullmatch(line):
                steps.append(Step(f"{page.relative_to(ROOT)}:{number}", found[1], found[2], ""))
            elif line.startswith("> "):
                steps[-1] = steps[-1]._replace(command=f"{steps[-1].command}\n{line[2:]}")
            else:
                steps[-1] = steps[-1]._replace(printed=f"{steps[-1].printed}{line}\n")
    return steps


def script(steps: list[Step], hub: Path) -> str:
    """What a shell is told, each command behind its mark."""
    lines = ["exec 2>&1 </dev/null"]
    for number, step in enumerate(steps):
        home = f"export MESH_HOME=$PWD/homes/{step.who}" if step.who else "unset MESH_HOME"
        lines += [
            f"code=$?; echo; echo '{MARK.format(number)}'; {home}; (exit $code)",
            step.command.replace(HUB, str(hub)),
        ]
    return "\n".join(lines) + "\n"


def pattern(printed: str) -> re.Pattern[str]:
    """What matches a page's words, `...` standing for anything."""
    return re.compile(re.escape(plain(printed)).replace(re.escape("..."), ".*?"), re.DOTALL)


def plain(text: str) -> str:
    """The text without what only lays out columns, whose widths follow the names in them."""
    return "\n".join(re.sub(" +", " ", line).strip() for line in text.strip().splitlines())


@pytest.fixture
def shell(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A directory, and an environment in which `mesh` and `mesh-sync` are this checkout's."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, start in {
        "mesh": "-m orxaq_mesh",
        "mesh-sync": "-c 'from orxaq_mesh.cli import sync_main; sync_main()'",
    }.items():
        (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {start} "$@"\n')
        (tools / name).chmod(0o755)
    (tmp_path / "work").mkdir()
    subprocess.run(["git", "init", "--quiet", "--bare", tmp_path / "fleet.git"], check=True, timeout=60)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    return tmp_path / "work", {**os.environ, "PATH": path, "COLUMNS": "110", "NO_COLOR": "1", "LC_ALL": "C.UTF-8"}


@pytest.mark.parametrize("page", [page for page in PAGES if sessions(page)], ids=lambda page: page.stem)
def test_the_sessions_of_a_page_run(page: Path, shell: tuple[Path, dict[str, str]]) -> None:
    work, environ = shell
    steps, hub = sessions(page), work.parent / "fleet.git"
    argv = ["bash", "-c", script(steps, hub)]
    ran = subprocess.run(argv, cwd=work, env=environ, capture_output=True, text=True, timeout=120, check=False)
    said = re.split(r"\n?--- command \d+ ---\n", ran.stdout.replace(str(hub), HUB))[1:]
    assert len(said) == len(steps), ran.stdout
    for step, printed in zip(steps, said, strict=True):
        assert pattern(step.printed).fullmatch(plain(printed)), f"{step.where}: {step.command}\n{printed}"


def test_there_are_examples_to_run() -> None:
    pages = {where.partition(":")[0] for where, _ in blocks()}
    assert {"docs/guides/check-the-token.md", "docs/guides/python-api.md"} <= pages
    guides = {page.stem for page in PAGES if sessions(page)}
    assert {"set-up-a-fleet", "hold-a-lease", "publish-events", "lose-a-laptop"} <= guides
