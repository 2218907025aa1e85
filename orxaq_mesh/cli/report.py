"""A report in sections, for a terminal and as Markdown; one description of it, written twice.

Knows: titles, words, tables, and how each is written in both forms.
Knows not: what is reported. Every word is sanitised; in Markdown nothing of a ledger is markup (law QUIET, trap B8).

    show([Section("members", heads=("name", "key"), rows=[("oak", "SHA256:...")])], "markdown")
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.errors import Usage

if TYPE_CHECKING:
    from orxaq_mesh.saying import Group, Sentence

TEXT, MARKDOWN, JSON = "text", "markdown", "json"
FORMATS = (TEXT, MARKDOWN, JSON)


class Section(NamedTuple):
    """A part of a report: a title, then words and sentences of records, then a table. `fold` is the column that may wrap."""

    title: str
    words: Sequence[str | Sentence | Group] = ()
    heads: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    fold: str = ""


def form_of(name: str) -> str:
    """The form that was asked for; `--json` is one of them.

    Raises:
        Usage: there is none of this name.
    """
    if name not in FORMATS:
        raise Usage(f"--format {name[:40]!a}: {', '.join(FORMATS[:-1])} or {FORMATS[-1]}", hint="--format markdown")
    if name == JSON:
        call().json = True
    return JSON if call().json else name


def show(title: str, style: str, sections: Iterable[Section], form: str) -> None:
    """Print a report as text or as Markdown; sections without words and rows are left out.

    Args:
        title: its one line that says all.
        style: how that line is painted.
        sections: what follows.
        form: `text` or `markdown`.
    """
    told = [section for section in sections if section.words or section.rows]
    if form == MARKDOWN:
        for line in markdown(title, told):
            call().say(line)
        return
    head, colon, rest = title.partition(":")
    call().say(Painted(head, style), f"{colon}{rest}")
    for section in told:
        _print(section)


def _print(section: Section) -> None:
    from orxaq_mesh.cli.view import table

    call().say()
    call().say(Painted(section.title, "bold"))
    for words in section.words:
        call().say("  ", words if isinstance(words, str) else _text(words))
    if section.rows:
        table(section.heads, section.rows, fold=section.fold)


def _text(one: Sentence | Group) -> str:
    from orxaq_mesh.saying import text

    return text(one)


def markdown(title: str, sections: Iterable[Section]) -> Iterator[str]:
    """The lines of a Markdown page."""
    from orxaq_mesh.prose.markdown import plain

    yield f"# {plain(title)}"
    for section in sections:
        yield from ("", f"## {plain(section.title)}", "")
        yield from (f"- {plain(words) if isinstance(words, str) else _said(words)}" for words in section.words)
        if section.words and section.rows:
            yield ""
        if section.rows:
            yield _row(section.heads)
            yield _row(["---"] * len(section.heads), as_they_are=True)
            yield from map(_row, section.rows)


def _said(one: Sentence | Group) -> str:
    """What quotes its facts by itself."""
    from orxaq_mesh.prose.markdown import code, plain
    from orxaq_mesh.saying import told

    return told(one, code=code, plain=plain)


def _row(cells: Sequence[str], *, as_they_are: bool = False) -> str:
    return f"| {' | '.join(cells if as_they_are else map(_cell, cells))} |"


def _cell(words: str) -> str:
    """A cell; a `|` would end it, in a code span, too."""
    from orxaq_mesh.prose.markdown import code, plain

    if not words:
        return ""
    return code(words, cell=True) if "|" in words else plain(words)
