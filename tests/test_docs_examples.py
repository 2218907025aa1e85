"""Every Python block of the documentation that begins with `# runs` does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob("README.md")])
BLOCK = re.compile(r"^```python\n(# runs\n.*?)^```$", re.MULTILINE | re.DOTALL)


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


def test_there_are_examples_to_run() -> None:
    pages = {where.partition(":")[0] for where, _ in blocks()}
    assert "docs/guides/check-the-token.md" in pages
