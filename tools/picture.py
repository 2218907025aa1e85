"""Draws `docs/pictures/demo.svg` from what `mesh demo` really prints on a terminal of 120 columns.

    python -m tools.picture                       # runs the demo, some 20 s, and writes the picture
    python -m tools.picture < captured.ansi       # from a capture

Every run of one style is a `<text>` at its column, stretched to its width: the columns stand whatever font there is.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

TARGET = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "demo.svg"
COLUMNS = 120
CHAR_PX, LINE_PX, MARGIN_PX = 8.4, 19, 22
FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
BACKGROUND, PLAIN = "#0d1117", "#e6edf3"
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "36": "#79c0ff"}
DIM = "#8b949e"
BLOCKS = {"\u2588": 0.9, "\u2591": 0.3}
_STYLE = re.compile(r"\x1b\[([0-9;]*)m")


class Run(NamedTuple):
    """Words of one style, and the column where they begin."""

    column: int
    words: str
    codes: tuple[str, ...]


def capture() -> str:
    """What the demo prints on a terminal."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen([sys.executable, "-m", "orxaq_mesh", "demo"], stdout=theirs, env=env) as demo:
        os.close(theirs)
        said = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    if demo.returncode:
        raise SystemExit(said.decode())
    return said.decode().replace("\r\n", "\n")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 65536)
    except OSError:  # Linux says EIO where a terminal's last writer has gone
        return b""


def runs(line: str) -> Iterator[Run]:
    """The styled runs of a line, wrapped where the terminal ends, without the blanks around them."""
    column, codes = 0, ()
    for number, part in enumerate(_STYLE.split(line)):
        if number % 2:
            codes = () if part in ("", "0") else tuple(part.split(";"))
            continue
        for found in re.finditer(r"\S+(?: \S+)*", part):
            yield Run(column + found.start(), found[0], codes)
        column += len(part)


def rows(text: str) -> list[list[Run]]:
    """The lines of a screen; a longer line goes on beneath."""
    drawn: list[list[Run]] = []
    for line in text.strip("\n").split("\n"):
        plain = _STYLE.sub("", line)
        if len(plain) <= COLUMNS:
            drawn.append(list(runs(line)))
        else:
            drawn += [list(runs(plain[at : at + COLUMNS])) for at in range(0, len(plain), COLUMNS)]
    return drawn


def svg(text: str) -> str:
    """The picture of a terminal's text."""
    lines = rows(text)
    width, height = COLUMNS * CHAR_PX + 2 * MARGIN_PX, len(lines) * LINE_PX + 2 * MARGIN_PX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img">',
        "<title>mesh demo: one job, two locks, one sleeping laptop; then a release that loses two</title>",
        f'<rect width="100%" height="100%" rx="10" fill="{BACKGROUND}"/>',
        f'<g font-family="{FONT}" font-size="14" fill="{PLAIN}" xml:space="preserve">',
        *(drawn(run, number) for number, line in enumerate(lines) for run in line),
        "</g>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def drawn(run: Run, number: int) -> str:
    """One run as SVG."""
    x, y = MARGIN_PX + run.column * CHAR_PX, MARGIN_PX + (number + 0.75) * LINE_PX
    if not run.words.strip("\u2500"):
        return f'<path d="M{x:.1f} {y - 5:.1f}h{len(run.words) * CHAR_PX:.1f}" stroke="{DIM}" stroke-width="1"/>'
    if run.words == "\u2502":
        return f'<path d="M{x + CHAR_PX / 2:.1f} {y - 0.75 * LINE_PX:.1f}v{LINE_PX}" stroke="{DIM}" stroke-width="1"/>'
    if run.words[0] in BLOCKS:
        return "".join(blocks(run.words, run.codes, x, y))
    fill = colour(run.codes)
    looks = (f' fill="{fill}"' if fill else "") + (' font-weight="bold"' if "1" in run.codes else "")
    wide = f'textLength="{len(run.words) * CHAR_PX:.1f}" lengthAdjust="spacingAndGlyphs"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {wide}{looks}>{escape(run.words)}</text>'


def colour(codes: tuple[str, ...]) -> str:
    """What a style is painted with; empty: as everything is."""
    return next((COLOURS[code] for code in codes if code in COLOURS), DIM if "2" in codes else "")


def blocks(words: str, codes: tuple[str, ...], x: float, y: float) -> Iterator[str]:
    """A bar of a chart: full blocks and light ones as boxes, so that no font leaves gaps; what stands behind it as text."""
    for found in re.finditer(r"(.)\1*", words):
        at, wide = x + found.start() * CHAR_PX, len(found[0]) * CHAR_PX
        if found[1] in BLOCKS:
            box = f'x="{at:.1f}" y="{y - 10.5:.1f}" width="{wide:.1f}" height="11" rx="2"'
            yield f'<rect {box} fill="{colour(codes) or PLAIN}" fill-opacity="{BLOCKS[found[1]]}"/>'
        else:
            yield f'<text x="{at:.1f}" y="{y:.1f}" fill="{colour(codes) or PLAIN}">{escape(found[0])}</text>'


def main() -> None:
    """Draw it."""
    text = capture() if sys.stdin.isatty() or not (given := sys.stdin.read()) else given
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(svg(text), "utf-8")


if __name__ == "__main__":
    main()
