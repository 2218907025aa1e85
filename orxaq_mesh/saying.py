"""Records and verdicts in sentences, for whoever reads a change.

Knows: how what a family says of a record becomes a sentence in one of two moods, and how many alike become one.
Knows not: what any kind means (its family says it), HTML, Markdown, rich.
Law: QUIET. Values of a ledger stand in `facts` and never in a template.

    text(sentences(before, after, judged, sealed=False)[0])
    # 'elm asks for lease `deploy` (held by oak since epoch 40, token 40: would queue second)'
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from orxaq_mesh import kinds
from orxaq_mesh.kinds import Judged, Said, State
from orxaq_mesh.kinds.node import members


class Sentence(NamedTuple):
    """What one record does, and what came of it.

    Attributes:
        record, log, kind: of the record.
        author: the name of the node that wrote it; its log where the ledger knows no such node.
        outcome, rule, result: the verdict's.
        said: the sentence without its author.
        sealed: whether a seal took the record in; else the verdict is only drafted.
        epoch: in which it was sealed, or would be.
    """

    record: str
    log: str
    author: str
    kind: str
    outcome: str
    rule: str
    result: str
    said: Said
    sealed: bool
    epoch: int


def sentences(before: State, after: State, judged: Iterable[Judged], *, sealed: bool) -> list[Sentence]:
    """A sentence for each record of a change, in the order in which they were judged.

    Args:
        before: the state before the change.
        after: the state behind it.
        judged: its records with their verdicts.
        sealed: whether they were sealed; else state and verdicts are only drafted.
    """
    return [_sentence(before, after, item, sealed) for item in judged]


def _sentence(before: State, after: State, item: Judged, sealed: bool) -> Sentence:
    record, verdict = item.record, item.verdict
    member = members(after).by_log.get(record.log)
    author = member.name if member is not None else record.log
    family: Any = kinds.FAMILY_OF.get(record.kind)
    said = family.says(before, after, item) if hasattr(family, "says") else Said("writes {kind}", {"kind": record.kind})
    return Sentence(record.id, record.log, author, record.kind, *verdict, said, sealed, item.epoch)
