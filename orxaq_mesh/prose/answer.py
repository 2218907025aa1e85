"""What a review comes to, in one word and one sentence; and as values for programs.

Knows: four answers, the exit code of each, what a program is told.
Knows not: Markdown, terminals, how a change was judged.

    answer(found)           # Answer("yes", 0, "may be merged")
    value(found)            # what --json carries
"""

from __future__ import annotations

from typing import Any, NamedTuple

from orxaq_mesh import errors
from orxaq_mesh.review import Review
from orxaq_mesh.rules import LAWS
from orxaq_mesh.saying import text

VERDICTS = frozenset({"FENCE", "UNTIL", "ONCE", "RULES"})
"""Laws that a sound record can fall short of, as it can of a rule: they say no to it, and nothing is forged."""


class Answer(NamedTuple):
    """Whether a change may be merged: `word` for programs, `says` for people."""

    word: str
    exit_code: int
    says: str


YES = Answer("yes", errors.DONE, "may be merged")
REFUSED = Answer("refused", errors.REFUSED, "should not be merged: not all of it would have an effect")
INVALID = Answer("invalid", errors.INVALID, "must not be merged: it breaks a law of the ledger")
UNKNOWN = Answer("unknown", errors.UNREACHABLE, "cannot be judged: not all of it could be known")


def answer(found: Review) -> Answer:
    """The worst of what was found; what could not be known is no yes (law CLOSED)."""
    if any(finding.law in LAWS and finding.law not in VERDICTS for finding in found.findings):
        return INVALID
    if not found.ok or found.findings:
        return REFUSED
    return UNKNOWN if found.unknown else YES


def what(found: Review) -> str:
    """How much the change brings, onto what."""
    onto = f"onto epoch {found.epoch} of ledger {found.ledger[:12]}"
    if not found.lines:
        return f"no new line {onto}"
    brings = [count(number, name) for number, name in ((found.records, "record"), (found.seals, "seal")) if number]
    return f"{' and '.join(brings)} {onto}"


def count(number: int, name: str, many: str = "") -> str:
    """`1 record`, `2 records`."""
    return f"{number:,} {name if number == 1 else many or name + 's'}"


def value(found: Review) -> dict[str, Any]:
    """The whole review as JSON-able values; nothing is folded away."""
    said = answer(found)
    return {
        "ok": said is YES,
        "answer": said.word,
        "ledger": found.ledger,
        "epoch": found.epoch,
        "seal": found.seal,
        "records": found.records,
        "seals": found.seals,
        "findings": [finding._asdict() for finding in found.findings],
        "unknown": list(found.unknown),
        "notes": list(found.notes),
        "sentences": [_sentence(one) for one in found.sentences],
        "lines": [{**line._asdict(), "text": line.text.decode("utf-8", "replace")} for line in found.lines],
    }


def _sentence(one: Any) -> dict[str, Any]:
    told = {**one._asdict(), "text": text(one)}
    told["said"] = {"template": one.said.template, "facts": dict(one.said.facts)}
    return told
