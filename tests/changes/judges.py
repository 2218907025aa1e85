"""The judges of a change: what each of them says to it, as a set of the ids of laws and rules; empty: it passes.

They see the very same commits. They are alike where all of them name the same law: see `tests/changes/test_hostile.py`.

    review_says(trunk, repository, base, head)     # `mesh review base..head`
    node_says(trunk, store, base, head)            # a node that had read `base` fetches `head`
"""

from __future__ import annotations

from collections.abc import Iterator

from orxaq_mesh import fold, kinds
from orxaq_mesh.errors import InvalidLedger
from orxaq_mesh.fold import Judged
from orxaq_mesh.kinds import FENCED, REFUSED, Moment
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.review import ReadDeeper, Review, review
from orxaq_mesh.schema import read_seal
from orxaq_mesh.store import Change, Flaw, flaws_only
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.store.repository import Repository
from tests.builder import AT, Pen, Trunk, sign
from tests.changes.objects import AT_S
from tests.changes.scene import SPINE

_NO = (REFUSED, FENCED)


def review_says(trunk: Trunk, repository: Repository, base: str | None, head: str) -> set[str]:
    """The laws that a review holds against a change."""
    found = review_of(trunk, repository, base, head)
    assert found.ok == (not found.findings)
    return {finding.law for finding in found.findings}


def review_of(trunk: Trunk, repository: Repository, base: str | None, head: str) -> Review:
    """A review; from genesis where the change lies beneath what the trunk's reader keeps."""
    try:
        return review(trunk.ledger, repository.changes(base, head))
    except ReadDeeper:
        return review(from_genesis(trunk), repository.changes(base, head))


def from_genesis(trunk: Trunk) -> Ledger:
    """A ledger that has read the trunk's files and let go of nothing."""
    whole = Ledger(trunk.ledger.id)
    whole.settles = False
    whole.read(Change(path, None, content) for path, content in sorted(trunk.files.items()))
    return whole


def node_says(trunk: Trunk, store: GitStore, base: str | None, head: str) -> set[str]:
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
    waited = set(ledger.waiting)
    ledger, reading = read(ledger, store, base, head)
    yield from (flaw.law for flaw in store.changes(base, head) if isinstance(flaw, Flaw))
    yield from (finding.law for finding in reading.findings)
    if seen not in reading.known:
        yield "SEEN"
    if ledger.proofs().keys() - suspects:
        yield "CHAIN"
    if ledger.state.doubt not in (None, doubted):
        yield "DIGEST"
    yield from _verdicts(ledger, waited)


def read(ledger: Ledger, store: GitStore, base: str | None, head: str) -> tuple[Ledger, Reading]:
    """Go on from one commit to another as the engine does: where what came lies deeper, from the beginning again."""
    since = ledger.state.seal
    reading = ledger.read((item for item in store.changes(base, head) if isinstance(item, Change)), since)
    if reading.deeper is not None:
        told = reading.findings
        ledger = ledger.beneath(kinds.new_state())
        reading = ledger.read((item for item in store.changes(None, head) if isinstance(item, Change)), since)
        reading.findings.extend(told)
    return ledger, reading


def left_by_healing(trunk: Trunk, store: GitStore, base: str | None, head: str) -> set[str]:
    """The laws that the tree still breaks once the node has put right what it can, as with its next publish (RENDER).

    What members signed stays, though it came to nothing: seals that do not stand, records whose predecessor is missing.
    """
    ledger, _ = read(trunk.ledger.fork(), store, base, head)
    files: dict[str, bytes | None] = dict(ledger.mends)
    for flaw in flaws_only(store.changes(base, head)):
        files.setdefault(flaw.file, None)
    mended = store.commit(head, files, [head], "healed", AT_S) if files else head
    anew = Ledger(trunk.ledger.id)
    reading = anew.read(item for item in store.changes(None, mended) if isinstance(item, Change))
    assert not anew.mends
    assert anew.state.epoch >= trunk.ledger.state.epoch
    left = {flaw.law for flaw in flaws_only(store.changes(None, mended))}
    return left | {finding.law for finding in reading.findings}


def stranger(ledger_id: str | None, store: GitStore, head: str) -> Ledger:
    """What one who knows nothing but the ledger's id makes of a commit."""
    ledger = Ledger(ledger_id)
    ledger.read(item for item in store.changes(None, head) if isinstance(item, Change))
    return ledger


def next_seal(ledger: Ledger, trunk: Trunk) -> list[Judged]:
    """The verdicts that the next honest seal gives, once it is signed and read like any other."""
    taken = ledger.sealable()
    if not taken:
        return []
    sealer = next(pen for pen in trunk.pens.values() if _may_seal(ledger, pen))
    seal = read_seal(sign(ledger.draft_seal(sealer.log, taken, AT), sealer.key, ledger.id))
    reading = ledger.read([Change(SPINE, b"", seal.line + b"\n")])
    assert [each.id for each in reading.seals] == [seal.id]
    return reading.judged


def _may_seal(ledger: Ledger, pen: Pen) -> bool:
    member = members(ledger.state).by_log.get(pen.log)
    return member is not None and member.may_seal() and pen.name != "recovery"


def _verdicts(ledger: Ledger, waited: set[str]) -> Iterator[str]:
    """What would come in the next epoch of all that waits, and did not before; but not of half of a proof."""
    taken = ledger.sealable()
    epoch = fold.Epoch(ledger.state.seal, taken, (), ledger.proofs())
    drafted = fold.draft(ledger.state, epoch, ledger.next_epoch).judged
    left = ledger.waiting.keys() - {record.id for run in taken.values() for record in run} - ledger.spine.cited
    verdicts = {item.record.id: item.verdict for item in drafted if item.record.id in ledger.waiting}
    for id_ in left:
        verdicts[id_], _ = kinds.judge(ledger.next_state, ledger.waiting[id_], Moment(ledger.next_epoch))
    yield from (verdict.rule for id_, verdict in verdicts.items() if id_ not in waited and verdict.outcome in _NO)
