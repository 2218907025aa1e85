"""What waits for somebody's approval: held in the ledger, or proposed in an outbox.

Knows: how a record that waits is told; which outbox a pull request shows.
Knows not: which rule asks for it (`kinds.review`), how it is approved (`cli`).

    found = proposals(mesh.observe().engine.ledger)
    found[0].text            # 'elm asks for lease `deploy`'
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, NamedTuple

from orxaq_mesh.errors import Usage
from orxaq_mesh.kinds import HELD, Judged, Verdict, review
from orxaq_mesh.kinds.node import members, name_of
from orxaq_mesh.record import Record, Value
from orxaq_mesh.saying import sentences, text

if TYPE_CHECKING:
    from orxaq_mesh.ledger import Ledger

OUTBOX = "mesh-node/"


class Proposal(NamedTuple):
    """A record that waits.

    Attributes:
        record: its id; `log`, `node`, `kind`: of its author and kind.
        state: "held": a seal took it in; "proposed": it lies in its node's outbox, or unsealed in the trunk.
        epoch: since which it is held; None: it is not sealed.
        until: the last epoch in which it can be approved; None: nothing says so yet.
        lacking: how many approvals it still needs.
        approved: who gave theirs.
        text: what it would do.
        body: what it asks for, whole: the values of its line.
        of: the id of the record that it is a part of; "" else.
    """

    record: str
    log: str
    node: str
    kind: str
    state: str
    epoch: int | None
    until: int | None
    lacking: int
    approved: tuple[str, ...]
    text: str
    body: Value
    of: str


def proposals(ledger: Ledger) -> list[Proposal]:
    """All that waits for an approval: first what is held, then what no seal has taken in, each in its order."""
    part = review.reviews(ledger.state)
    found = [
        _proposal(ledger, held.record, "held", held.epoch, held.until, held.approved) for held in part.held.values()
    ]
    loose = sorted(ledger.waiting.values(), key=lambda record: (record.log, record.seq))
    for record in loose:
        if record.log in members(ledger.state).by_log and review.waits(ledger.state, record):
            _, approved = part.given.get(record.id, (0, ()))
            found.append(_proposal(ledger, record, "proposed", None, record.body.get("until"), approved))
    return found


def _proposal(
    ledger: Ledger, record: Record, state: str, epoch: int | None, until: int | None, approved: tuple[str, ...]
) -> Proposal:
    now = ledger.state
    item = Judged(record, ledger.next_epoch, Verdict(HELD, "REVIEW-1"))
    (sentence,) = sentences(now, now, [item], sealed=False)
    node, lacks = name_of(now, record), review.lacking(now, record)
    return Proposal(
        record.id,
        record.log,
        node,
        record.kind,
        state,
        epoch,
        until,
        lacks,
        approved,
        text(sentence),
        record.body,
        str(record.body["record"]) if record.kind == "dag.part" else "",
    )


def named(found: list[Proposal], word: str) -> Proposal:
    """The one whose id begins so.

    Raises:
        Usage: none does, or several do.
    """
    fits = [proposal for proposal in found if proposal.record.startswith(word)]
    if len(fits) != 1:
        what = "several records" if fits else "no record"
        raise Usage(f"{what} that waits has an id that begins with {word[:64]!a}", hint="mesh proposals")
    return fits[0]


def with_parts(found: list[Proposal], chosen: Proposal) -> list[Proposal]:
    """A proposal, and those of the same author that belong to it: the further parts of a DAG."""
    return [chosen, *(other for other in found if other.of == chosen.record and other.log == chosen.log)]


def in_pull_request(
    found: list[Proposal], number: int, heads: Container[str], tips: Mapping[str, str]
) -> list[Proposal]:
    """Those that a pull request shows: its head is the tip of an outbox.

    Args:
        found: all that waits.
        number: the pull request's.
        heads: the commits that the hub shows for it.
        tips: branch -> tip at the hub, as it was read just now.

    Raises:
        Usage: it shows no outbox as it is now, or nothing that waits.
    """
    logs = {branch.removeprefix(OUTBOX) for branch, tip in tips.items() if branch.startswith(OUTBOX) and tip in heads}
    shown = [proposal for proposal in found if proposal.log in logs]
    if not shown:
        what = f"pull request {number} shows no node's branch as it is at the hub now, or nothing in it waits for an approval"
        raise Usage(what, hint="mesh proposals lists what waits; name the records")
    return shown
