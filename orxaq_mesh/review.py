"""Review: what a change of a ledger's tree would do, and whether it may be merged, before it is.

Knows: how a verified ledger and a change of its files come to findings and sentences (laws RENDER, CHAIN, SECRET).
Knows not: git, pull requests, hooks, how findings are printed. A change is judged by what the set of lines would be
with it, by the same reading as a node's; its text diff is never looked at.

What a change brings without a seal is a proposal: each such record is drafted as if the next node sealed it, and one
that would come to nothing is held against it. What comes with a seal that takes it in is history: it has its verdict
already. So is all that a merge of two histories brings, whichever side of the fork goes on.

    found = review(ledger, repository.changes(base, head))
    found.ok                    # nothing is wrong: it may be merged
    found.findings              # Finding("FENCE", "ledger/nodes/elm-12ab34cd/000000/0000000001.ndjson", 7, "...")
    found.sentences             # what it does, one a record
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from orxaq_mesh import credentials, fold, kinds
from orxaq_mesh.fold import Epoch, Judged
from orxaq_mesh.kinds import FENCED, REFUSED, State
from orxaq_mesh.kinds.node import Member, members
from orxaq_mesh.kinds.review import reviews
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.news import FileChange, added_lines
from orxaq_mesh.record import BadLine, Place, Record, epoch_place, line_id, log_place, parse_path
from orxaq_mesh.saying import Sentence, sentences
from orxaq_mesh.schema import read_record
from orxaq_mesh.standing import Finding
from orxaq_mesh.text import clean


@runtime_checkable
class Flawed(Protocol):
    """What stands in a tree and is no ledger's (`store.Flaw` is one)."""

    @property
    def law(self) -> str:
        """The law that it breaks."""

    @property
    def file(self) -> str:
        """Where it stands."""

    @property
    def reason(self) -> str:
        """Why it may not."""


class NewLine(NamedTuple):
    """A line that a change adds, as it stands in the new file; `number` counts from 1."""

    file: str
    number: int
    id: str
    text: bytes


class Review(NamedTuple):
    """What a change would do to a ledger.

    Attributes:
        ok: it may be merged: there is no finding.
        findings: what is wrong with it, by file and line.
        unknown: what could not be known, a sentence each.
        notes: what else a reviewer should hear: what it mends, which epochs it leaves.
        sentences: what its records do, in the order in which they are judged.
        lines: the new lines.
        ledger: the ledger's id.
        epoch, seal: the tip of the base.
        records, seals: how many lines it adds of each.
    """

    ok: bool
    findings: tuple[Finding, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]
    sentences: tuple[Sentence, ...]
    lines: tuple[NewLine, ...]
    ledger: str
    epoch: int
    seal: str
    records: int
    seals: int


class ReadDeeper(Exception):
    """The change touches what lies beneath the base's snapshot: read the ledger from genesis, and ask again."""


def review(ledger: Ledger, items: Iterable[FileChange | Flawed], unknown: Sequence[str] = ()) -> Review:
    """Judge a change by what the ledger would be with it.

    Args:
        ledger: the base, read and verified. It stays as it is.
        items: the files that the change touches, and what in its tree is no ledger's.
        unknown: what the caller could not find out.

    Raises:
        ReadDeeper: the ledger was read from a snapshot that is too young for this change.
    """
    changes, flaws = _parted(items)
    trial = ledger.fork()
    reading = trial.read(changes)
    if reading.deeper is not None:
        raise ReadDeeper
    lines = [line for change in changes for line in _new_lines(change)]
    known = ledger.waiting.keys() | ledger.spine.records.keys()  # what a damaged tree lost is put back, and is not new
    new = _New({line.id: line for line in lines if line.id not in known})
    seals = sum(_New.is_seal(line) for line in lines)
    findings = [
        *flaws,
        *_fresh(reading, ledger, changes),
        *_not_rendered(trial, ledger, changes),
        *_secrets(new, reviews(ledger.state).allowed),
    ]
    told: list[Sentence] = []
    if seals:
        findings += _wrong_digest(trial, ledger)
        told += sentences(ledger.state, trial.state, reading.judged, sealed=True)
    if loose := _loose(trial, new):
        judged, after = _drafted(trial, loose)
        findings += [*_come_to_nothing(after, new, judged), *_not_taken(trial, new, loose, judged)]
        findings += _twice(trial, new, loose)
        told += sentences(trial.state, after, judged, sealed=False)
    order = sorted({*map(_shown, findings)}, key=lambda finding: (finding.file, finding.line, finding.law))
    base = ledger.state
    return Review(
        not order,
        tuple(order),
        tuple(unknown),
        tuple(_notes(trial, ledger, changes, reading)),
        tuple(told),
        tuple(lines),
        base.ledger or trial.state.ledger,
        base.epoch,
        base.seal,
        len(lines) - seals,
        seals,
    )


def _parted(items: Iterable[FileChange | Flawed]) -> tuple[list[FileChange], list[Finding]]:
    changes: list[FileChange] = []
    flaws: list[Finding] = []
    for item in items:
        if isinstance(item, Flawed):
            flaws.append(Finding(item.law, item.file, 0, item.reason))
        else:
            changes.append(item)
    return changes, flaws


def _new_lines(change: FileChange) -> Iterator[NewLine]:
    if parse_path(change.path) is None:
        return
    told: set[bytes] = set()
    for number, line, finding in added_lines(change):
        if finding is None and line not in told:
            told.add(line)
            yield NewLine(change.path, number, line_id(line), line)


class _New:
    """The lines that a change adds, by id: where each stands, and which record it is."""

    def __init__(self, lines: Mapping[str, NewLine]) -> None:
        self.lines = lines
        self.records: dict[str, Record] = {}
        for line in lines.values():
            if not self.is_seal(line):
                try:
                    self.records[line.id] = read_record(line.text)
                except BadLine:
                    continue  # the reading has said so

    @staticmethod
    def is_seal(line: NewLine) -> bool:
        return line.file.startswith("ledger/epochs/")

    def place(self, record: Record) -> Place:
        """Where a record stands in the new tree."""
        line = self.lines.get(record.id)
        return log_place(record.log, record.seq) if line is None else Place(line.file, line.number)


def _shown(finding: Finding) -> Finding:
    """A finding with nothing in it that a terminal would take for more than text (law QUIET)."""
    return finding._replace(file=clean(finding.file), reason=clean(finding.reason, limit=600))


# What the reading of any node says of it.


def _fresh(reading: Reading, ledger: Ledger, changes: Iterable[FileChange]) -> Iterator[Finding]:
    """What is wrong with the change, and was not wrong before it: damage is not held against who did not do it."""
    known = {(finding.law, finding.file, finding.reason) for found in ledger.flaws.values() for finding in found}
    files = {change.path: change for change in changes}
    for found in reading.findings:
        change = files.get(found.file)
        if (found.law, found.file, found.reason) not in known or (change and _is_new(found.line, change)):
            yield found


def _is_new(number: int, change: FileChange) -> bool:
    """Whether a line of the new file was not in the old one."""
    lines = (change.new or b"").split(b"\n")
    return 0 < number <= len(lines) and lines[number - 1] not in (change.old or b"").split(b"\n")


def _not_rendered(trial: Ledger, ledger: Ledger, changes: Sequence[FileChange]) -> Iterator[Finding]:
    """RENDER: a file that the change leaves in another form than its lines have, where nobody has said why."""
    told = trial.flaws.keys()
    for change in changes:
        wanted = trial.mends.get(change.path, change.new)
        if wanted != change.new and change.path not in told and ledger.mends.get(change.path, b"") != wanted:
            yield Finding("RENDER", change.path, 1, "not the bytes that rendering its lines gives")


def _secrets(new: _New, allowed: Container[str]) -> Iterator[Finding]:
    """SECRET: what was signed by another program is read here by the same patterns as before signing."""
    for record in new.records.values():
        for reason in secrets_in(record, allowed):
            yield Finding("SECRET", *new.place(record), reason)


def secrets_in(record: Record, allowed: Container[str]) -> Iterator[str]:
    """Where credentials stand in a record that another program signed, a sentence each; never what stands there.

    Args:
        record: whoever's.
        allowed: sha256 of texts of which a reviewer said that they are none.
    """
    for path, rule in credentials.find(record.body, allowed):
        yield f"a credential stands in this {record.kind}, at body.{path} ({rule}): it would be everybody's for ever"


def _wrong_digest(trial: Ledger, ledger: Ledger) -> Iterator[Finding]:
    doubt = trial.state.doubt
    if doubt is not None and doubt != ledger.state.doubt:
        epoch, log = doubt
        yield Finding(
            "DIGEST", *epoch_place(epoch), f"{log} claims another digest for epoch {epoch} than the fold gives"
        )


def _notes(trial: Ledger, ledger: Ledger, changes: Sequence[FileChange], reading: Reading) -> Iterator[str]:
    for change in changes:
        if change.path in ledger.mends and change.path not in trial.mends:
            yield f"mends {clean(change.path)}"
    beside = len(trial.spine.stood) - len(trial.spine.chain) - len(ledger.spine.stood) + len(ledger.spine.chain)
    if beside > 0:
        yield f"the spine forks: {beside} {'seal stands' if beside == 1 else 'seals stand'} beside it (mesh explain FORK)"
    if reading.left:
        first, last = reading.left[0], reading.left[-1]
        yield f"the spine goes another way from epoch {first.epoch - 1} on: {len(reading.left)} epochs up to {last.epoch} are left (mesh explain FORK)"


# What a proposal would come to.


def _loose(trial: Ledger, new: _New) -> dict[str, Record]:
    """The new records that no standing seal takes in or cites, on whatever side; the others have their verdicts."""
    history = trial.spine.taken() | trial.spine.elsewhere | trial.spine.cited
    return {id_: record for id_, record in new.records.items() if id_ not in history}


def _drafted(trial: Ledger, loose: Container[str]) -> tuple[list[Judged], State]:
    """The verdicts of loose records, if the next seal took in all that waits; and the state behind it."""
    if not trial.state.epoch:
        return [], trial.state
    taken = trial.sealable()
    if not taken:
        return [], trial.state
    draft = fold.draft(trial.next_state, Epoch(trial.state.seal, taken), trial.next_epoch)
    last = {item.record.id: item for item in draft.judged}  # what is held first may be judged again, in the same epoch
    return [item for item in last.values() if item.record.id in loose], draft.after


def _come_to_nothing(after: State, new: _New, judged: Iterable[Judged]) -> Iterator[Finding]:
    for record, _, verdict, _ in judged:
        if verdict.outcome in (REFUSED, FENCED):
            what = kinds.words(after, record, verdict).what
            yield Finding(verdict.rule, *new.place(record), f"{record.kind} would be {verdict.outcome}: {what}")


def _not_taken(trial: Ledger, new: _New, loose: Mapping[str, Record], judged: Iterable[Judged]) -> Iterator[Finding]:
    """New records that no seal would take in, though their key signed them: it has no standing (NODE-3)."""
    taken = {item.record.id for item in judged}
    known = members(trial.state).by_log
    for id_, record in loose.items():
        member = known.get(record.log)
        if member is None and record.kind == "node.hello" and record.seq == 1:
            continue  # one of many newcomers: a later seal takes it in
        if id_ not in taken and id_ in trial.waiting and (member is None or not member.admitted):
            yield Finding("NODE-3", *new.place(record), _why_not(record, member))


def _why_not(record: Record, member: Member | None) -> str:
    if member is None:
        return f"{record.log} is not admitted: no seal takes in more of it than its hello"
    return f"the key of {record.log} is {member.standing}, and no seal takes in another word of it"


def _twice(trial: Ledger, new: _New, loose: Container[str]) -> Iterator[Finding]:
    """CHAIN: a second record that a key signed for one seq is a proof against it, and no proposal."""
    for pair in trial.proven.values():
        for record in pair:
            if record.id in loose:
                reason = f"seq {record.seq} of {record.log} was signed twice: {pair[0].id[:12]} and {pair[1].id[:12]}"
                yield Finding("CHAIN", *new.place(record), reason)
