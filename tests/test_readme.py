"""The README and the pages: short enough, true to the program, and every link leads somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from orxaq_mesh import __version__

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "ledger" / "README.md", *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The fragments that a git host makes of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links(page: Path) -> Iterator[str]:
    yield from LINK.findall(FENCED.sub("", page.read_text("utf-8")))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_internal_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        assert not fragment or fragment in anchors(target), link


def test_every_page_is_in_the_index_and_every_decision_in_its_list() -> None:
    listed = {(ROOT / "docs" / link.partition("#")[0]).resolve() for link in links(ROOT / "docs" / "index.md")}
    decisions = ROOT / "docs" / "decisions"
    listed |= {(decisions / link).resolve() for link in links(decisions / "README.md")}
    unlisted = {name(page) for page in ROOT.glob("docs/**/*.md")} - {name(page) for page in listed}
    assert unlisted <= {"docs/index.md"}


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    assert len(README.splitlines()) <= 250
    assert re.search(r"^    make demo\b", README, re.MULTILINE)
    assert re.search(r"^    make test\b", README, re.MULTILINE)


def test_every_command_that_a_page_shows_exists_with_its_options() -> None:
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text("utf-8")
    for page in PAGES:
        if page.parent.name == "reference":
            continue
        text = page.read_text("utf-8")
        shown = re.findall(r"^(?: {4}|[a-z]*\$ )(mesh [a-z].*?)(?:\s{2,}#.*)?$", text, re.MULTILINE)
        for line in [part.strip() for several in shown for part in several.split(";")]:
            words = re.sub(r" -- .*", "", line).split()
            noun = f"mesh {words[1]}"
            known = f"## {noun} {words[2]}\n" if f"\n## {noun} " in reference else f"## {noun}\n"
            assert known in reference, (name(page), line)
            section = reference.split(known, 1)[1].split("\n## ")[0] + reference.split("\n## ")[0]
            for option in re.findall(r" (--[a-z][a-z-]+)", re.sub(r'"[^"]*"', "", re.sub(r" -- .*", "", line))):
                assert option in section, (name(page), line, option)


def test_the_changelog_has_this_version() -> None:
    assert f"\n## {__version__.partition('.dev')[0]}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_pages_are_plain_text() -> None:
    """QUIET holds for us too: nothing invisible, no tab, no line that ends in a space."""
    for page in PAGES:
        for number, line in enumerate(page.read_text("utf-8").split("\n"), 1):
            assert line.isprintable(), (name(page), number)
            assert line == line.rstrip(), (name(page), number)
