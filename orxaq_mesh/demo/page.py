"""What the demo shows: two columns where the terminal has 100, else one beneath the other.

Knows: widths, wrapping, colour only on a terminal without NO_COLOR, ASCII where the terminal cannot do more.
Knows not: what happened; it is given lines. Shows no word of a ledger that `text.clean` has not seen (law QUIET).

    page = Page(sys.stdout, width=120, colour=True)
    page.act("oak takes the lock")
    page.sides(left_lines, right_lines)
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, TextIO

from orxaq_mesh.demo.acts import BAD, GOOD, PLAIN, Line
from orxaq_mesh.text import clean

TWO_COLUMNS = 100
WIDEST = 118
MARGIN = "  "
CODES = {PLAIN: "", GOOD: "32", BAD: "31", "bold": "1", "dim": "2", "title": "1;36", "left": "1;33", "right": "1;32"}
ASCII = str.maketrans("\u2713\u2717\u2502\u2500\u2192\u2588\u2591", "+x|->#.")
LABELS = {"left": "lock file", "right": "mesh"}
MARK, CROSS, ARROW, NOTE = "\u2713", "\u2717", "\u2192", "!"
AT_WORK, ASLEEP = "\u2588", "\u2591"
WHAT_WIDTH = 19
HEAD_WIDTH = 12
"""`12.3s oak   `: what stands before each line's words."""
INDENT, NAME_WIDTH, WHO_WIDTH = 3, 14, 8


class Bar(NamedTuple):
    """One row of a chart: a name, who, and pieces of time, each with the character that it is drawn with."""

    name: str
    who: str
    pieces: Sequence[tuple[int, int, str]]
    good: bool


class Page:
    """See the module's banner. `silent`: show nothing (`--json`)."""

    def __init__(self, out: TextIO, environ: Mapping[str, str], silent: bool = False) -> None:
        self._out, self._silent = out, silent
        self._tty = out.isatty()
        columns = shutil.get_terminal_size((80, 24)).columns if self._tty else int(environ.get("COLUMNS") or 80)
        self.width = min(columns, WIDEST) - len(MARGIN)
        self.wide = columns >= TWO_COLUMNS
        self._colour = self._tty and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        self._ascii = "utf" not in (out.encoding or "").lower()
        self._act = 0

    @property
    def half(self) -> int:
        """Columns of one side."""
        return (self.width - 3) // 2

    def write(self, text: str = "", style: str = PLAIN) -> None:
        """A paragraph over the whole width."""
        for line in textwrap.wrap(clean(text, limit=2000), self.width - 2) or [""]:
            self._line(self._paint(line, style))

    def verbatim(self, text: str, style: str = PLAIN) -> None:
        """A line that must not be wrapped: to be pasted, or as a program said it."""
        self._line(self._paint(clean(text, limit=4000), style))

    def title(self, text: str, beneath: str) -> None:
        """A headline."""
        self._line()
        self.write(text, "title")
        self.write(beneath, "dim")

    def heads(self, left: Sequence[str], right: Sequence[str]) -> None:
        """What each side is: its name, and a sentence."""
        self._line()
        cells = [self._cell(words, side) for side, words in (("left", left), ("right", right))]
        if self.wide:
            self._beside(*cells)
        else:
            for text, style in [*cells[0], ("", PLAIN), *cells[1]]:
                self._line(self._paint(text, style))

    def act(self, text: str) -> None:
        """What comes next; shown before it begins."""
        self._act += 1
        self._line()
        self.write(f"{self._act}  {text}", "bold")

    def sides(self, left: Sequence[Line], right: Sequence[Line]) -> None:
        """What was seen in one act."""
        if self.wide:
            self._beside(list(self._rows(left, self.half)), list(self._rows(right, self.half)))
            return
        for side, lines in (("left", left), ("right", right)):
            label = LABELS[side]
            for text, style in self._rows(lines, self.width - HEAD_WIDTH):
                self._line(self._paint(f"{label:<{HEAD_WIDTH - 1}}", side) + " " + self._paint(text, style))
                label = ""

    def lines(self, lines: Sequence[Line]) -> None:
        """What was seen in one act, over the whole width."""
        for text, style in self._rows(lines, self.width):
            self._line(self._paint(text, style))

    def chart(self, bars: Sequence[Bar]) -> None:
        """Who did what when, a row each, on one scale."""
        left = INDENT + 2 + NAME_WIDTH + WHO_WIDTH
        columns = self.width - left - 1
        begin_ms = min(begun for bar in bars for begun, _, _ in bar.pieces)
        end_ms = max(ended for bar in bars for _, ended, _ in bar.pieces)
        scale = columns / max(1, end_ms - begin_ms)
        for bar in bars:
            tone = GOOD if bar.good else BAD
            head = f"{self._paint(MARK if bar.good else CROSS, tone)} {clean(bar.name, limit=13):<{NAME_WIDTH}}"
            who = self._paint(f"{clean(bar.who):<{WHO_WIDTH}}", "dim")
            at = min(int((bar.pieces[0][0] - begin_ms) * scale), columns - 1)
            wide = ((max(1, round((ended - begun) * scale)), char) for begun, ended, char in bar.pieces)
            drawn = "".join(char * many for many, char in wide)
            self._line(" " * INDENT + head + who + " " * at + self._paint(drawn[: columns - at], tone))
        begin, end = f"{begin_ms / 1000:.1f}s", f"{end_ms / 1000:.1f}s"
        self._line(" " * left + self._paint(f"{begin}{end:>{columns - len(begin)}}", "dim"))

    def found(self, what: str, *facts: str, mark: str = MARK) -> None:
        """Something that was checked and holds; with another mark: something to be noted."""
        first = f"   {self._paint(mark, GOOD if mark == MARK else 'left')} {clean(what):<{WHAT_WIDTH}} "
        for fact in facts:
            for row in textwrap.wrap(clean(fact), self.width - WHAT_WIDTH - 6):
                self._line(first + self._paint(row, "dim"))
                first = " " * (WHAT_WIDTH + 6)

    def verdict(self, left: tuple[str, str], right: tuple[str, str]) -> None:
        """One line for each side: words and tone."""
        self._line()
        if self.wide:
            self._line(self._paint("\u2500" * self.width, "dim"))
            self._beside(*([(row, tone) for row in textwrap.wrap(text, self.half)] for text, tone in (left, right)))
            self._line(self._paint("\u2500" * self.width, "dim"))
            return
        for side, (text, tone) in (("left", left), ("right", right)):
            label = f"{LABELS[side]:<{HEAD_WIDTH}}"
            for row in textwrap.wrap(text, self.width - HEAD_WIDTH):
                self._line(self._paint(label, side) + self._paint(row, tone))
                label = " " * HEAD_WIDTH

    def _cell(self, words: Sequence[str], side: str) -> list[tuple[str, str]]:
        name, *sentences = words
        width = self.half if self.wide else self.width
        return [(name, side), *((row, "dim") for text in sentences for row in textwrap.wrap(text, width))]

    def _rows(self, lines: Sequence[Line], width: int) -> Iterator[tuple[str, str]]:
        for line in lines:
            head = f"{line.at_ms / 1000:5.1f}s {clean(line.who, limit=4):<4} "
            for row in textwrap.wrap(clean(line.text), width - HEAD_WIDTH):
                yield head + row, line.tone
                head = " " * HEAD_WIDTH

    def _beside(self, left: Sequence[tuple[str, str]], right: Sequence[tuple[str, str]]) -> None:
        bar = self._paint("\u2502", "dim")
        for (text, style), (other, other_style) in zip_longest(left, right, fillvalue=("", PLAIN)):
            space = " " * (self.half - len(text))
            self._line(f"{self._paint(text, style)}{space} {bar} {self._paint(other, other_style)}".rstrip())

    def _paint(self, text: str, style: str) -> str:
        code = CODES[style]
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour and code and text else text

    def _line(self, text: str = "") -> None:
        if self._silent:
            return
        line = (MARGIN + text).rstrip() + "\n"
        self._out.write(line.translate(ASCII) if self._ascii else line)
        self._out.flush()
