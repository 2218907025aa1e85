"""Tables and longer texts for people; the only importer of rich.

Knows: how wide a terminal is, which columns may be folded.
Knows not: what is shown. Every cell is sanitised and no cell is markup (trap B8).

    table(("lease", "holder"), [("deploy", "oak")])
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from orxaq_mesh import text
from orxaq_mesh.cli.call import call, coloured, write

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PLAIN_WIDTH = 160
ROOMY = 110
"""From so many columns on, a table shows what people need less often too."""
_STYLES = {
    "applied": "green",
    "refused": "yellow",
    "fenced": "bold red",
    "unknown": "yellow",
    "free": "green",
    "good": "green",
    "bad": "bold red",
    "look": "yellow",
    "revoked": "red",
    "waiting": "yellow",
}


def _console() -> Console:
    from rich.console import Console

    width = None if sys.stdout.isatty() else PLAIN_WIDTH
    colour = coloured(sys.stdout)
    return Console(
        markup=False,
        highlight=False,
        emoji=False,
        soft_wrap=False,
        no_color=not colour,
        force_terminal=colour,
        width=width,
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, fold: str = "", roomy: str = "") -> None:
    """Print a table.

    Args:
        heads: the columns' names.
        rows: their cells.
        fold: the column that takes what room is left, and wraps.
        roomy: the column that a narrow terminal does without.
    """
    from rich.table import Table
    from rich.text import Text

    console = _console()
    kept = [at for at, head in enumerate(heads) if head != roomy or console.width >= ROOMY]
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    for head in (heads[at] for at in kept):
        made.add_column(head, no_wrap=head != fold, overflow="fold" if head == fold else "ellipsis")
    for row in rows:
        made.add_row(*(Text(text.clean(row[at]), style=_style(row[at])) for at in kept))
    show(made)


def _style(cell: str) -> str:
    return _STYLES.get(cell.partition(" ")[0], "")


def rule(title: str, parts: Sequence[tuple[str, str]]) -> None:
    """Print a title and named paragraphs, wrapped to the terminal but never wider than a page."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    blocks: list[RenderableType] = [Text(text.clean(title), style="bold")]
    for name, words in parts:
        blocks += [
            Text(""),
            Text(text.clean(name), style="dim"),
            Padding(Text(text.clean_lines(words, limit=4000)), (0, 0, 0, 2)),
        ]
    show(Group(*blocks), most=96)


@contextmanager
def progress(done_: str, things: str) -> Iterator[Callable[[int, int], None]]:
    """Tell on stderr how far long work has come: a bar at a terminal, a line a step elsewhere, nothing with -q or --json.

    Args:
        done_, things: as in `500 of 2000 events imported`.

    Yields:
        What is to be called with how much of how much is done.
    """
    if not sys.stderr.isatty() or call().quiet or call().json:
        yield lambda done, of: call().note(f"{done} of {of} {things} {done_}")
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, no_color=not coloured(sys.stderr), markup=False)
    parts = (BarColumn(), MofNCompleteColumn(), TextColumn(f"{things} {done_}"), TimeRemainingColumn())
    with Progress(*parts, console=console, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of, refresh=True)


def show(what: RenderableType, most: int = 0) -> None:
    """Print anything of rich's; trailing spaces are for nobody."""
    console = _console()
    width = min(console.width, most) if most else console.width
    with console.capture() as captured:
        console.print(what, width=width)
    write(sys.stdout, "\n".join(line.rstrip() for line in captured.get().split("\n")[:-1]))
