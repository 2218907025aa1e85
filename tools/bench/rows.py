"""A row of the table: what was measured, against what, and whether it reaches its bar.

Row("publish", "publish one record, file", ours_ms, "add, commit, push", git_ms, "ms", bar=1.5)
table(rows)                # lines for people
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """One measurement. The bar is on the ratio; where there is nothing to compare with, on the value itself.

    Attributes:
        ours, theirs: in `unit`.
        bar: the most that the ratio or the value may be; with `at_least` the least.
    """

    group: str
    what: str
    ours: float
    against: str = ""
    theirs: float | None = None
    unit: str = "ms"
    bar: float | None = None
    on_value: bool = False
    at_least: bool = False

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached; None where there is none."""
        measured = self.ours if self.on_value else self.ratio
        if self.bar is None or measured is None:
            return None
        return measured >= self.bar if self.at_least else measured <= self.bar

    def value(self) -> dict[str, Any]:
        """The row as JSON."""
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def table(rows: Iterable[Row]) -> Iterator[str]:
    """A Markdown table."""
    yield "| what | ours | against | theirs | ratio | bar | |"
    yield "|---|--:|---|--:|--:|--:|---|"
    for row in rows:
        bar = "" if row.bar is None else f"{'>=' if row.at_least else '<='} {_number(row.bar)}"
        if row.bar is not None and row.on_value:
            bar += f" {row.unit}"
        verdict = {True: "met", False: "**missed**", None: ""}[row.met]
        theirs = "" if row.theirs is None else f"{_number(row.theirs)} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        yield f"| {row.what} | {_number(row.ours)} {row.unit} | {row.against} | {theirs} | {ratio} | {bar} | {verdict} |"


def _number(value: float) -> str:
    return (
        f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2g}" if value < 1 else f"{value:.1f}"
    )


def took_ms(act: Callable[[], object]) -> float:
    """How long it took."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def interleaved(rounds: int, *acts: Callable[[], object]) -> list[float]:
    """The median time of each act in ms; they take turns, so that a slow moment of the machine hits all of them."""
    times: list[list[float]] = [[] for _ in acts]
    for _ in range(rounds):
        for act, taken in zip(acts, times, strict=True):
            taken.append(took_ms(act))
    return [statistics.median(taken) for taken in times]
