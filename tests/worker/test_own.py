"""`work.yaml`: what the user says is what is read, and what is odd is refused with its line (LINE, trap B10)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from orxaq_mesh.errors import Usage
from orxaq_mesh.worker.own import Own, Recipe, read

BOMB = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_CLOSED_without_a_file_or_with_an_empty_one_nothing_is_allowed(tmp_path: Path) -> None:
    assert read(tmp_path) == Own()
    (tmp_path / "work.yaml").write_text("# nothing\n")
    assert read(tmp_path) == Own()


def test_LINE_the_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "work.yaml").write_text(
        "trust: [oak, on]\nshell: true\ncommands:\n  hi: {run: [echo, '1'], noop_exit: 3}\n"
    )
    recipe = Recipe(("echo", "1"), noop_exit=3)
    assert read(tmp_path) == Own(("oak", "on"), shell=True, commands={"hi": recipe})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("trust: " + "[" * 900 + "]" * 900, 1),
        (BOMB, 1),
        ("shell: false\nshell: true\n", 2),
        ("trust: [oak]\ncommands: !!python/object:os.system {}\n", 2),
    ],
    ids=["deep", "bomb", "twice", "tag"],
)
def test_B10_no_nesting_no_bomb_no_tag_and_no_key_twice(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "work.yaml").write_text(text)
    begun = time.monotonic()
    with pytest.raises(Usage, match=rf"work\.yaml, line {line}: "):
        read(tmp_path)
    assert time.monotonic() - begun < 5
