"""A review as GitHub's workflow commands: each finding stands at its line in the pull request.

Knows: the form of `::error file=...,line=...::words`, its escapes, how many of them a step may have; and the runner's
older form, `##[error]words`, which it looks for anywhere in any line that a step prints.
Knows not: files, the environment, the interface for comments.
Law: QUIET. A line of ours begins with a fixed word, and none has `##[` in it, so nothing of a ledger can be a command.

    commands(found)     # ["::error file=ledger/...,line=7,title=FENCE::lease.renew would be fenced: ...", ...]
"""

from __future__ import annotations

from collections.abc import Iterator

from orxaq_mesh.prose.answer import INVALID, YES, answer, what
from orxaq_mesh.prose.page import lines
from orxaq_mesh.review import Review
from orxaq_mesh.text import clean

MOST = 10
"""Annotations of one kind that GitHub shows for a step."""


def log(found: Review) -> Iterator[str]:
    """What a step prints: the review for who reads the log, then the annotations."""
    yield from map(_quiet, [*lines(found), *commands(found)])


def commands(found: Review) -> Iterator[str]:
    """The annotations: an error a finding, a warning for what could not be known, or one note that all is well."""
    said = answer(found)
    if said is YES:
        yield f"::notice title={_property(said.says)}::{_message(what(found))}"
    shown = MOST if len(found.findings) <= MOST else MOST - 1
    for finding in found.findings[:shown]:
        place = f"file={_property(finding.file)}" + (f",line={finding.line}" if finding.line else "")
        yield f"::error {place},title={_property(finding.law)}::{_message(finding.reason)}"
    more = len(found.findings) - shown
    if more > 0:
        yield f"::error title={'broken laws' if said is INVALID else 'refused'}::and {more:,} more; the summary of this job has them"
    for words in found.unknown[:MOST]:
        yield f"::warning title=not known::{_message(words)}"


def _quiet(line: str) -> str:
    """A line in which the runner finds no command of its older form."""
    return line.replace("##[", r"#\x23[")


def _message(words: str) -> str:
    return clean(words, limit=1000).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(words: str) -> str:
    return _message(words).replace(":", "%3A").replace(",", "%2C")
