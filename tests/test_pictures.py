"""Rendered comments, looked at as a person would: in a browser, by what it makes of them (law QUIET).

Structure is compared and not pixels; the pictures that the documentation shows are made by the same page.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orxaq_mesh.prose.page import markdown
from orxaq_mesh.text import clean
from tests.forge_markdown import tags, words
from tests.pictures import FOLDER, HOSTILE, SCENES, WIDTH, html, seen, shot, size_of

ALLOWED = {"h2", "h3", "p", "ul", "li", "code", "br", "details", "summary", "pre", "strong"}
FIRST = {"asks": "May be merged", "refused": "Must not be merged", "hostile": "Must not be merged"}


def body(dom: str) -> str:
    """What stands in the comment, of a whole document; nothing of it may have broken out."""
    found = re.fullmatch(r".*<div id=\"body\">(.*)</div></div>\s*<script>.*</script>.*", dom, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("scene", SCENES)
def test_QUIET_a_browser_makes_nothing_of_a_comment_but_words_lists_and_code(scene: str, tmp_path: Path) -> None:
    found = SCENES[scene]()
    dom = seen(html(found, opened=True), tmp_path)
    assert "<title>comment</title>" in dom  # what a script of theirs would have changed
    inside = body(dom)
    assert set(tags(inside)) <= ALLOWED
    assert tags(inside).count("details") == 1
    shown = " ".join(words(inside).split())
    assert shown.startswith(FIRST[scene])
    for line in found.lines:
        assert " ".join(clean(line.text.decode(), limit=99_999).split()) in shown
    for finding in found.findings:
        assert " ".join(clean(finding.reason).split()) in shown


def test_QUIET_a_reader_sees_what_stands_in_a_record_character_by_character(tmp_path: Path) -> None:
    shown = " ".join(words(body(seen(html(SCENES["hostile"]()), tmp_path))).split())
    for payload in HOSTILE:
        assert f": {' '.join(clean(payload).split())}" in shown


@pytest.mark.parametrize("scene", SCENES)
def test_the_pictures_of_the_documentation_show_what_is_said(scene: str, tmp_path: Path) -> None:
    width, height = shot(html(SCENES[scene]()), tmp_path / "made.png", tmp_path)
    kept = FOLDER / f"review-{scene}.png"
    assert width == WIDTH == size_of(kept)[0]
    assert abs(height - size_of(kept)[1]) <= 0.1 * height, "other words than in the picture: python -m tests.pictures"
    assert kept.with_suffix(".txt").read_text("utf-8") == markdown(SCENES[scene]()), "python -m tests.pictures"
