"""A review as pages: lines of text for a terminal or a log, and Markdown for a comment or a summary.

Knows: what is said first, what folds away, how much a page holds; what does not fit is counted, never dropped in silence.
Knows not: colours, streams, hosts' interfaces.
Law: QUIET. What comes from a ledger passes `text.clean` here, and `prose.markdown` there.

    lines(found)                                  # ["may be merged: 2 records onto epoch 41 of ledger 3f9a...", ...]
    markdown(found, limit=COMMENT_BYTES)          # begins with MARK, by which the comment is found again
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from orxaq_mesh.prose.answer import YES, answer, count, what
from orxaq_mesh.prose.markdown import code, fence, longest_run, plain
from orxaq_mesh.review import NewLine, Review
from orxaq_mesh.saying import Group, grouped, text, told
from orxaq_mesh.standing import Finding
from orxaq_mesh.text import clean

COMMENT_BYTES, SUMMARY_BYTES = 65_536, 1024 * 1024
"""What GitHub takes for a comment, and for the summary of a step."""
MARK = "<!-- orxaq-mesh review -->"
MOST_FINDINGS = 50
_CLOSING = 700
"""Bytes that are kept free for what says how much more there is."""
_MOST_LAWS = 16
_NO_LIMIT = 1_000_000
_MORE = f"Not all of it fits here: {code('mesh review -v')} shows the rest."


# Text.


def lines(found: Review, *, raw: bool = False) -> Iterator[str]:
    """The review line by line; the first says whether it may be merged.

    Args:
        found: the review.
        raw: the new lines, too.
    """
    yield f"{answer(found).says}: {what(found)}"
    yield from _listed("wrong", [_finding(finding) for finding in found.findings])
    yield from _listed("not known", [clean(words) for words in found.unknown])
    yield from _listed(
        "it does" if answer(found) is YES else "it would do", [text(group) for group in grouped(found.sentences)]
    )
    yield from _listed("also", [clean(words) for words in found.notes])
    if raw:
        for file, new in _by_file(found.lines):
            yield f"{clean(file)}:"
            yield from (f"  {line.number:>4} {clean(_text(line), limit=len(line.text) * 10)}" for line in new)


def _listed(head: str, words: Sequence[str]) -> Iterator[str]:
    if words:
        yield f"{head}:"
        yield from (f"  - {one}" for one in words)


def _finding(finding: Finding) -> str:
    return f"{finding.law} {_place(finding)}: {clean(finding.reason)}"


def _place(finding: Finding) -> str:
    return clean(f"{finding.file}:{finding.line}" if finding.line else finding.file)


def _by_file(new: Sequence[NewLine]) -> Iterator[tuple[str, list[NewLine]]]:
    return ((file, list(some)) for file, some in groupby(new, key=lambda line: line.file))


def _text(line: NewLine) -> str:
    return line.text.decode("utf-8", "backslashreplace")


# Markdown.


def markdown(found: Review, *, limit: int = COMMENT_BYTES, compared: Sequence[str] = ()) -> str:
    """The review as Markdown of at most so many bytes; the new lines fold away beneath.

    Args:
        found: the review.
        limit: bytes; what does not fit is counted.
        compared: the ids of the base and, where there is one, of the head: the page speaks of these and no others.
    """
    page = _Page(limit)
    said = answer(found)
    page.add(f"{MARK}\n## {said.says[0].upper()}{said.says[1:]}\n\n{_what(found)}{_of(compared)}")
    wrong = [_wrong(finding) for finding in found.findings[:MOST_FINDINGS]]
    page.add_list("### What is wrong", wrong, len(found.findings) - len(wrong))
    page.add_list("### What could not be known", [plain(words) for words in found.unknown])
    heading = "### What it does" if said is YES else "### What it would do"
    page.add_list(heading, [told(group, code=code, plain=plain) for group in _groups(found)])
    page.add_list("### Also", [plain(words) for words in found.notes])
    page.add_lines(found.lines)
    laws = sorted({finding.law for finding in found.findings})
    if laws:
        page.close("Why: " + ", ".join(code(f"mesh explain {law}") for law in laws[:_MOST_LAWS]))
    return page.text()


def _what(found: Review) -> str:
    brings = f"{plain(what(found))}."
    if answer(found) is YES and found.records and not found.seals:
        brings += f" The next node that publishes seals {'it' if found.records == 1 else 'them'}."
    return brings


def _of(compared: Sequence[str]) -> str:
    """Which commits were looked at; on a page that stays while branches move on."""
    named = [f"{what} {code(commit)}" for what, commit in zip(("base", "head"), compared, strict=False)]
    return f"\n\nReviewed: {', '.join(named)}." if named else ""


def _groups(found: Review) -> list[Group]:
    return grouped(found.sentences)


def _wrong(finding: Finding) -> str:
    return f"**{code(finding.law)}** {code(_place(finding))}<br>{plain(finding.reason)}"


class _Page:
    """Markdown that grows part by part, up to a number of bytes."""

    def __init__(self, limit: int) -> None:
        self._left = limit - _CLOSING
        self._parts: list[str] = []
        self._last: list[str] = []

    def add(self, part: str) -> None:
        """Add a part, with an empty line before it; where it does not fit, the page's end says so."""
        size = len(part.encode()) + 2
        if size <= self._left:
            self._parts.append(part)
            self._left -= size
        elif _MORE not in self._last:
            self._last.append(_MORE)

    def add_list(self, heading: str, items: Sequence[str], more: int = 0) -> None:
        """A heading and a list, as far as it fits."""
        if not items:
            return
        fitting, left = 0, self._left - len(heading) - 60
        for item in items:
            left -= len(item.encode()) + 3
            if left < 0:
                break
            fitting += 1
        rows = [f"- {item}" for item in items[:fitting]]
        if more := more + len(items) - fitting:
            rows.append(f"- and {more:,} more")
        self.add("\n".join([heading, "", *rows]))

    def add_lines(self, new: Sequence[NewLine]) -> None:
        """The new lines, folded away, as far as they fit."""
        if not new:
            return
        files = list(_by_file(new))
        summary = f"{count(len(new), 'new line')} in {count(len(files), 'file')}"
        head, foot = f"<details>\n<summary>{summary}</summary>", "</details>"
        left, blocks, shown = self._left - len(head) - len(foot) - 100, list[str](), 0
        for file, some in files:
            title = code(file)
            rows = _fitting(some, left - len(title.encode()) - 4)
            if rows:
                blocks.append(f"{title}\n\n{fence(rows, limit=_NO_LIMIT)}")
                left -= len(blocks[-1].encode()) + 2
                shown += len(rows)
        if more := len(new) - shown:
            blocks.append(f"and {count(more, 'more line', 'more lines')}: {code('mesh review -v')} shows all of them")
        self.add("\n\n".join([head, *blocks, foot]))

    def close(self, words: str) -> None:
        """What stands at the end, whatever else fits."""
        self._last.append(words)

    def text(self) -> str:
        """All of it."""
        return "\n\n".join([*self._parts, *self._last]) + "\n"


def _fitting(new: Iterable[NewLine], left: int) -> list[str]:
    """The lines that fit into a block of so many bytes; its fence is longer than any run of backticks in them."""
    rows: list[str] = []
    ticks, size = 3, len("text\n\n")
    for line in new:
        if size + 2 * ticks + len(line.text) > left:
            continue  # making it fit to be shown never makes it shorter
        row = f"{line.number:>5}  {_text(line)}"
        shown = clean(row, limit=_NO_LIMIT)
        wider = max(ticks, longest_run(shown) + 1)
        more = len(shown.encode()) + 1
        if size + more + 2 * wider <= left:
            rows.append(row)
            ticks, size = wider, size + more
    return rows
