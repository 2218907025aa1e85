r"""Markdown in which a ledger's words stay words (law QUIET, trap B8).

Knows: what a Markdown renderer, and a host behind it, makes of text: markup, HTML, links, mentions, numbers of issues,
commits, emoji, formulas, diagrams. Inside a code span none of that happens, so whatever is not an ordinary word of
English stands in one.
Knows not: where the text came from, headings, pages.

    code("@ann <img src=x>")                  # '`@ann <img src=x>`'
    plain("seq 3 of oak-3f9a01c2 is gone")    # 'seq 3 of `oak-3f9a01c2` is gone'
    fence(["{...}"])                          # a block of code that its own lines cannot end
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from orxaq_mesh import text

_TICKS = re.compile("`+")
_CUT = 2000
"""Characters of one line of a fenced block."""

# A word that no renderer and no host makes anything of: letters, or digits, and what a sentence puts around them.
_WORD = re.compile(
    r"""\(?  (?: [A-Za-z]+ | [a-z]+(?:-[a-z]+)+ | [A-Za-z]+'[a-z]+ | [0-9]{1,16} )  \)? [,;:.?]?""", re.VERBOSE
)
_COMMIT = re.compile(r"(?<![A-Za-z0-9])[0-9A-Fa-f]{7,40}(?![A-Za-z0-9])")
_NUMBERED = re.compile(r"[0-9]{1,9}[.)]+,?")


def code(words: str, *, limit: int = text.LIMIT, cell: bool = False) -> str:
    r"""Text as one code span: nothing in it is markup, a link, a mention or a number of an issue.

    Two spans must not touch: put a word or a space between them.

    Args:
        words: anything.
        limit: characters of it that are shown.
        cell: it stands in a table, where a `|` ends the cell even in a code span: it is shown as `\x7c`.
    """
    shown = text.clean(words, limit=limit)
    if cell:
        shown = shown.replace("|", r"\x7c")
    if not shown:
        return "(empty)"
    ticks = "`" * (longest_run(shown) + 1)
    if shown.startswith("`") or shown.endswith("`") or (shown[0] == shown[-1] == " " and shown.strip()):
        shown = f" {shown} "
    return f"{ticks}{shown}{ticks}"


def plain(words: str, *, limit: int = text.LIMIT) -> str:
    """A sentence in which something of a ledger may stand: ordinary words as they are, the rest as code spans.

    Args:
        words: one sentence; what is not a word of letters or a number is shown as code.
        limit: characters of it that are shown.
    """
    parts: list[str] = []
    strange: list[str] = []
    for word in text.clean(words, limit=limit).split(" "):
        if _is_word(word, first=not parts):
            parts += [*_spans(strange), word]
            strange = []
        elif word or strange:
            strange.append(word)
    return " ".join([*parts, *_spans(strange)])


def _is_word(word: str, *, first: bool) -> bool:
    if not _WORD.fullmatch(word) or _COMMIT.search(word):
        return False
    return not (first and _NUMBERED.fullmatch(word))  # it would begin a list


def _spans(strange: list[str]) -> list[str]:
    """Strange words that stand side by side are one span; what a sentence puts around them stands outside."""
    words = " ".join(strange).rstrip(" ")
    if not words:
        return []
    core = words.rstrip(",;:.") or words
    before, after = "", words[len(core) :]
    while len(core) > 1 and core.endswith(")") and core.count(")") > core.count("("):
        core, after = core[:-1], f"){after}"
    while len(core) > 1 and core.startswith("(") and core.count("(") > core.count(")"):
        core, before = core[1:], f"{before}("
    return [f"{before}{code(core, limit=len(core))}{after}"]


def filled(template: str, facts: Mapping[str, str | int]) -> str:
    """A template of fixed words, with what of a ledger stands in it as code spans; numbers are numbers.

    Args:
        template: words with `{names}`; none of them comes from a ledger.
        facts: name -> what stands there.
    """
    return template.format_map({name: _fact(fact) for name, fact in facts.items()})


def _fact(fact: str | int) -> str:
    return str(fact) if isinstance(fact, int) else code(fact)


def fence(lines: Iterable[str], *, limit: int = _CUT) -> str:
    """Lines as a block of code that none of them can end. Each is cut at `limit` characters."""
    shown = [text.clean(line, limit=limit) for line in lines]
    ticks = "`" * max(3, *(longest_run(line) + 1 for line in shown), 3)
    return "\n".join([f"{ticks}text", *shown, ticks])


def longest_run(shown: str) -> int:
    """How many backticks follow each other at most."""
    return max((len(run) for run in _TICKS.findall(shown)), default=0)
