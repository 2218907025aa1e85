r"""Words from elsewhere, made fit to be shown: the one sanitiser (law QUIET, trap B8).

Knows: which characters move a cursor, turn text around, or cannot be seen.
Knows not: markup (who prints through rich escapes it there), terminals, where the words came from.

    clean("ok\x1b[2J")                # 'ok\\x1b[2J'
    clean("a\u202eb", limit=80)       # 'a\\u202eb'
"""

from __future__ import annotations

import re

LIMIT = 400
"""Characters that one cleaned line has at most, unless its caller says otherwise."""

# Letters and marks by category, and nothing to see: the grapheme joiner, Hangul and Khmer fillers, variation selectors.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def clean(text: str, *, limit: int = LIMIT) -> str:
    r"""One line in which every character can be seen.

    Control characters (C0, DEL, C1, newlines too), bidi, zero-width and other format characters, line and paragraph
    separators, lone surrogates, unassigned and private code points become escapes: `\x1b`, `\u202e`, `\U000e0001`.

    Args:
        text: anything.
        limit: characters of the result; what is beyond is cut, and `...` stands for it.
    """
    shown = text[: limit + 1]
    if not shown.isprintable() or not shown.isascii():
        shown = "".join(map(_visible, shown))
    return shown if len(shown) <= limit and len(text) <= limit else shown[: max(limit - 3, 0)] + "..."


def clean_lines(text: str, *, limit: int = LIMIT) -> str:
    r"""Like `clean` for each line by itself; only `\n` ends one (trap B2). `limit` is for a line."""
    return "\n".join(clean(line, limit=limit) for line in text.split("\n"))


def _visible(char: str) -> str:
    if char.isprintable() and not _INVISIBLE.match(char):
        return char
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
