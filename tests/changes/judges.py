"""The judges of a change: what each of them says to it, as a set of the ids of laws and rules; empty: it passes.

They see the very same commits. They are alike where all of them name the same law: see `tests/changes/test_hostile.py`.

    review_says(trunk, repository, base, head)     # `mesh review base..head`
    node_says(trunk, store, base, head)            # a node that had read `base` fetches `head`
"""

from __future__ import annotations

from collections.abc import Iterator

from orxaq_mesh import fold, kinds
from orxaq_mesh.errors import InvalidLedger
from orxaq_mesh.kinds import APPLIED, Moment
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.review import ReadDeeper, review
from orxaq_mesh.store import Change, Flaw
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.store.repository import Repository
from tests.builder import Trunk


def review_says(trunk: Trunk, repository: Repository, base: str, head: str) -> set[str]:
    """The laws that a review holds against a change; from genesis where it lies beneath what the trunk's reader keeps."""
    try:
        found = review(trunk.ledger, repository.changes(base, head))
    except ReadDeeper:
        found = review(from_genesis(trunk), repository.changes(base, head))
    assert found.ok == (not found.findings)
    return {finding.law for finding in found.findings}


def from_genesis(trunk: Trunk) -> Ledger:
    """A ledger that has read the trunk's files and let go of nothing."""
    whole = Ledger(trunk.ledger.id)
    whole.settles = False
    whole.read(Change(path, None, content) for path, content in sorted(trunk.files.items()))
    return whole


def node_says(trunk: Trunk, store: GitStore, base: str, head: str) -> set[str]:
    """Why a node that had read the trunk up to `base` takes nothing of what `head` brings, or not all of it.

    A node refuses in one of these ways, and a law counts as named if it does so for that law:

    - it does not take the objects in (a flaw told by the fetch), or not a file of theirs (a flaw of the tree);
    - what it reads breaks the law (a finding): damaged files are mended, lines that are nobody's are left out, seals do
      not stand, and a seal that it had seen and that is gone is an alarm;
    - the next seal suspends who signed two records for one place (CHAIN), or there is a digest to doubt (DIGEST);
    - no seal takes the record in, or the next one does and the fold does not apply it: the verdict's rule.
    """
    try:
        store.fetch({"mesh": head})
        return set(_read(trunk.ledger.fork(), store, base, head))
    except InvalidLedger as error:
        return {flaw.law for flaw in error.findings}


def _read(ledger: Ledger, store: GitStore, base: str | None, head: str) -> Iterator[str]:
    seen, doubted, suspects = ledger.state.seal, ledger.state.doubt, set(ledger.proofs())
    ledger, reading = read(ledger, store, base, head)
    yield from (flaw.law for flaw in store.changes(base, head) if isinstance(flaw, Flaw))
    yield from (finding.law for finding in reading.findings)
    if seen not in reading.known:
        yield "SEEN"
    if ledger.proofs().keys() - suspects:
        yield "CHAIN"
    if ledger.state.doubt not in (None, doubted):
        yield "DIGEST"
    yield from _verdicts(ledger)


def read(ledger: Ledger, store: GitStore, base: str | None, head: str) -> tuple[Ledger, Reading]:
    """Go on from one commit to another as the engine does: where what came lies deeper, from the beginning again."""
    reading = ledger.read(item for item in store.changes(base, head) if isinstance(item, Change))
    if reading.deeper is not None:
        told = reading.findings
        ledger = ledger.beneath(kinds.new_state())
        reading = ledger.read(item for item in store.changes(None, head) if isinstance(item, Change))
        reading.findings.extend(told)
    return ledger, reading


def _verdicts(ledger: Ledger) -> Iterator[str]:
    """What would come of all that waits, in the next epoch."""
    taken = ledger.sealable()
    epoch = fold.Epoch(ledger.state.seal, taken, (), ledger.proofs())
    for judged in fold.draft(ledger.state, epoch, ledger.next_epoch).judged:
        if judged.verdict.outcome != APPLIED:
            yield judged.verdict.rule
    left = ledger.waiting.keys() - {record.id for run in taken.values() for record in run}
    for id_ in left:
        verdict, _ = kinds.judge(ledger.next_state, ledger.waiting[id_], Moment(ledger.next_epoch))
        if verdict.outcome != APPLIED:
            yield verdict.rule
