"""Records and verdicts in sentences, for whoever reads a change.

Knows: how what a family says of a record becomes a sentence in one of two moods, and how many alike become one.
Knows not: what any kind means (its family says it), HTML, Markdown, rich.
Law: QUIET. Values of a ledger stand in `facts`, never in a template, and are put into it once, each made harmless.

    text(sentences(before, after, judged, sealed=False)[0])
    # 'elm asks for lease `deploy` (held by oak since epoch 40, token 40: would queue second)'
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from orxaq_mesh import kinds
from orxaq_mesh.kinds import APPLIED, HELD, Judged, Said, State, review
from orxaq_mesh.kinds.node import NODE, members
from orxaq_mesh.text import clean

PAGE = 40
"""So many sentences are read one by one; of more, those that are alike become one."""
SHOWN = 3
"""So many different values of a fact are shown where sentences are alike."""
MAX_QUOTED, MAX_PLAIN = 120, 300
"""Characters of a fact in a line of text."""

Show = Callable[[str], str]
_FACT = re.compile(r"(`?)\{([a-z_]+)\}\1")
_NO_EFFECT = ("; this has no effect: {rule}, {why}", "; this would have no effect: {rule}, {why}")

_APPROVED = "approved by now"


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


class Group(NamedTuple):
    """One sentence, or several that differ in their facts only, said as one.

    Attributes:
        authors: who wrote them, each once.
        times: how many they are.
        said: of all of them: a fact that differs is a list, cut short.
    """

    authors: str
    times: int
    said: Said


def sentences(before: State, after: State, judged: Iterable[Judged], *, sealed: bool) -> list[Sentence]:
    """A sentence for each record of a change, in the order in which they were judged.

    Args:
        before: the state before the change. What a record met is told from it, so where a change has many epochs, a
            holder or a place in a queue is that of its beginning or its end.
        after: the state behind it.
        judged: its records with their verdicts.
        sealed: whether they were sealed; else state and verdicts are only drafted.
    """
    return [_sentence(before, after, item, sealed) for item in judged]


def _sentence(before: State, after: State, item: Judged, sealed: bool) -> Sentence:
    record, verdict = item.record, item.verdict
    member = members(after).by_log.get(record.log)
    author = member.name if member is not None else record.log
    said = _with_outcome(_ask(before, after, item), after, item, sealed)
    return Sentence(record.id, record.log, author, record.kind, *verdict, said, sealed, item.epoch)


def _ask(before: State, after: State, item: Judged) -> Said:
    """What a record asks for; of one that these rules do not know only its kind can be said."""
    record = item.record
    if record.flaw is not None or record.kind not in kinds.FAMILY_OF:
        return Said("writes a record of kind `{kind}`", {"kind": record.kind})
    return kinds.FAMILY_OF[record.kind].says(before, after, item)


def _with_outcome(said: Said, after: State, item: Judged, sealed: bool) -> Said:
    """The ask and what came of it, in one template."""
    template, facts, came = said
    verdict = item.verdict
    if verdict.outcome == HELD:
        waits = review.says_held(after, item.record)
        return Said(template + waits.template, {**facts, **waits.facts})
    if verdict.outcome != APPLIED:
        why = kinds.words(after, item.record, verdict).what
        return Said(template + _NO_EFFECT[not sealed], {**facts, "rule": verdict.rule, "why": why})
    result = ", ".join(filter(None, (_APPROVED if item.again else "", came[not sealed])))
    if not result:
        return Said(template, facts)
    opened = f"{template[:-1]}: " if template.endswith(")") else f"{template} ("
    return Said(f"{opened}{result})", facts)


# Many as one.


def grouped(said: Sequence[Sentence], *, most: int = PAGE) -> list[Group]:
    """The sentences as a page can hold them: more than `most` become fewer, those of one author that are alike first.

    What only admins and reviewers may do is never folded away.
    """
    groups = _grouped(said, lambda one: _alike(one, one.record))
    if len(groups) > most:
        groups = _grouped(said, lambda one: _alike(one, one.author))
    if len(groups) > most:
        groups = _grouped(said, lambda one: _alike(one, ""))
    return groups


def _alike(one: Sentence, by: str) -> tuple[object, ...]:
    """What sentences have in common that are said as one."""
    kind = kinds.KINDS.get(one.kind)
    apart = kind is not None and kind.roles and NODE not in kind.roles
    return (one.record if apart else by, one.kind, one.outcome, one.rule, one.result, one.sealed, one.said.template)


def _grouped(said: Sequence[Sentence], key: Callable[[Sentence], tuple[object, ...]]) -> list[Group]:
    alike: dict[tuple[object, ...], list[Sentence]] = {}
    for one in said:
        alike.setdefault(key(one), []).append(one)
    return [_group(some) for some in alike.values()]


def _group(some: Sequence[Sentence]) -> Group:
    first = some[0].said
    if len(some) == 1:
        return Group(some[0].author, 1, first)
    facts = {name: _several([one.said.facts[name] for one in some if name in one.said.facts]) for name in first.facts}
    return Group(str(_several([one.author for one in some])), len(some), Said(first.template, facts))


def _several(values: Sequence[str | int]) -> str | int:
    """The one value that all have, or the first of them in words."""
    different = list(dict.fromkeys(values))
    if len(different) == 1:
        return different[0]
    more = len(different) - SHOWN
    shown = ", ".join(map(str, different[:SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown


# In words.


def told(one: Sentence | Group, *, code: Show, plain: Show) -> str:
    """A sentence with its author and its facts, each of which passes through one of these and nothing else (law QUIET).

    Args:
        one: the sentence, or several as one.
        code: makes a fact harmless that is quoted: its backticks are not added here.
        plain: makes one harmless that stands in the running text.
    """
    facts = one.said.facts
    words = _FACT.sub(lambda found: (code if found[1] else plain)(str(facts[found[2]])), one.said.template)
    if isinstance(one, Sentence):
        return f"{plain(one.author)} {words}"
    return f"{plain(one.authors)} {words}" if one.times == 1 else f"{plain(one.authors)}, {one.times} times: {words}"


def text(one: Sentence | Group) -> str:
    """A sentence as one line for a terminal or a log."""
    return told(one, code=_quoted, plain=lambda fact: clean(fact, limit=MAX_PLAIN))


def _quoted(fact: str) -> str:
    return f"`{clean(fact, limit=MAX_QUOTED)}`"


def value(one: Sentence) -> dict[str, Any]:
    """A sentence as JSON. Its facts are as the ledger has them; its text is made harmless."""
    record, log, author, kind, outcome, rule, result, said, sealed, epoch = one
    verdict = {"verdict": outcome, "rule": rule, "result": result or None, "sealed": sealed, "epoch": epoch}
    whose = {"id": record, "kind": kind, "log": log, "node": author}
    return {**whose, **verdict, "text": text(one), "template": said.template, "facts": dict(said.facts)}
