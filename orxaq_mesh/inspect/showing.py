"""One record or seal, and the proof of it that stock ssh-keygen understands.

Knows: how an id's beginning finds a line, whose key signed it, the files that `ssh-keygen -Y verify` reads (law SIG).
Knows not: printing.

    shown = show(mesh, "3f9a")
    shown.verdict, shown.place, shown.verifies
    write_sshsig(shown, Path("out"))     # ["ssh-keygen", "-Y", "verify", ...], to be run with out/message as its input
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect.reading import History, Node, history
from orxaq_mesh.keys import PublicKey, allowed_signers, armored, namespace
from orxaq_mesh.kinds import Verdict
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Place, Record, Seal, Value, epoch_place, log_place, unsigned
from orxaq_mesh.standing import signature_holds

SHORTEST_PREFIX = 4
MANY = 8
"""So many ids are named where a prefix fits several."""


class Shown(NamedTuple):
    """A record or seal with all that is known of it.

    Attributes:
        id: 64 hex digits.
        value: the line, parsed.
        line: its bytes, without the newline.
        log: whose it is.
        verdict: what came of it; None for a seal, and for a record that no seal on the fleet's way has taken in.
        epoch: the epoch that a seal closes, or in which a record was sealed; None as above.
        place: file and line; None where it lies in this node's journal alone.
        key: its signer's; None where the ledger names none.
        space: the namespace that its signature is bound to.
        verifies: whether its own signature stands.
        standing: "final", "sealed", "left" (on a side that the fleet did not go on from), "held" (a seal that does not
            stand), "waits" (for the next seal), or "journal".
        left: what sides that were left had made of a record.
    """

    id: str
    value: Value
    line: bytes
    log: str
    verdict: Verdict | None
    epoch: int | None
    place: Place | None
    key: PublicKey | None
    space: str
    verifies: bool
    standing: str = ""
    left: Sequence[Judged] = ()


def show(mesh: Node, prefix: str) -> Shown:
    """A record or seal by its id or the beginning of it, in the ledger as last read or in this node's journal.

    Raises:
        Usage: the prefix is none, or fits several (some are named).
        MeshFault: it fits nothing; or the ledger cannot be read (see `history`).
    """
    prefix = prefix.lower()
    if not re.fullmatch(r"[0-9a-f]{4,64}", prefix):
        raise Usage(f"{prefix[:80]!a} is no id: {SHORTEST_PREFIX} to 64 hex digits", hint="mesh log")
    past = history(mesh)
    found = {item.id: (item, verdict, epoch) for item, verdict, epoch in _all(past) if item.id.startswith(prefix)}
    found |= {record.id: (record, None, None) for record in _journal(mesh) if record.id.startswith(prefix)} | found
    if not found:
        hint = "mesh sync, if it is newer than the last reading; mesh log lists the ids"
        raise MeshFault(f"the ledger has no record or seal {prefix}", hint=hint)
    if len(found) > 1:
        some = [f"{id_[:16]} ({_kind(item)})" for id_, (item, _, _) in sorted(found.items())[:MANY]]
        more = f" and {len(found) - MANY} more" if len(found) > MANY else ""
        ids = sorted(found)[:MANY]
        raise Usage(f"{prefix} fits several: {', '.join(some)}{more}", hint="give more of its digits", ids=ids)
    return _shown(past, *next(iter(found.values())))


def _all(past: History) -> Iterator[tuple[Record | Seal, Verdict | None, int | None]]:
    yield from ((record, verdict, epoch) for record, epoch, verdict, _ in past.judged)
    yield from ((seal, None, seal.epoch) for seal in past.seals)
    spine, on_way = past.ledger.spine, {seal.id for seal in past.seals}
    yield from ((stood.seal, None, stood.seal.epoch) for id_, stood in spine.stood.items() if id_ not in on_way)
    yield from ((spine.seals[id_], None, None) for id_ in spine.held)
    judged = {item.record.id for item in past.judged}
    yield from ((record, None, None) for record in spine.records.values() if record.id not in judged)


def _journal(mesh: Node) -> list[Record]:
    from orxaq_mesh.home.journal import Journal
    from orxaq_mesh.sync.identity import memory_of

    return list(memory_of(Journal.open(mesh.home.journal)).records)


def _kind(item: Record | Seal) -> str:
    return item.kind if isinstance(item, Record) else f"seal {item.epoch}"


def _shown(past: History, item: Record | Seal, verdict: Verdict | None, epoch: int | None) -> Shown:
    key = _key(past, item)
    founding = isinstance(item, Record) and item.id == past.state.ledger
    space = namespace(None if founding else past.state.ledger)
    verifies = key is not None and signature_holds(item.line, key, space)
    value = orjson.loads(item.line)
    told = (item.id, value, item.line, item.log, verdict, epoch, _place(past, item), key, space, verifies)
    return Shown(*told, _standing(past, item), _left(past, item))


def _left(past: History, item: Record | Seal) -> list[Judged]:
    spine, on_way = past.ledger.spine, {seal.id for seal in past.seals}
    left = [judged for id_, stood in spine.stood.items() if id_ not in on_way for judged in stood.judged]
    return sorted((judged for judged in left if judged.record.id == item.id), key=lambda judged: judged.epoch)


def _standing(past: History, item: Record | Seal) -> str:
    """How sure it is: see `Shown`."""
    spine = past.ledger.spine
    for stood in spine.chain:
        if item.id == stood.seal.id or any(judged.record.id == item.id for judged in stood.judged):
            return "final" if stood.seal.epoch <= past.final else "sealed"
    if item.id in spine.stood or item.id in spine.taken():
        return "left"
    if item.id in spine.held:
        return "held"
    return "waits" if item.id in spine.records else "journal"


def _key(past: History, item: Record | Seal) -> PublicKey | None:
    """The key behind a log; a newcomer's is the one that its hello names."""
    member = members(past.state).by_log.get(item.log)
    if member is not None:
        return PublicKey.parse(member.key)
    if isinstance(item, Record) and item.kind == "node.hello" and not item.flaw:
        return PublicKey.parse(item.body["key"])
    return None


def _place(past: History, item: Record | Seal) -> Place | None:
    spine = past.ledger.spine
    if isinstance(item, Seal):
        return _among(epoch_place(item.epoch), item, ((epoch_place(s.epoch), s) for s in spine.seals.values()))
    if not spine.find(item.id):
        return None
    mine = {r.id: r for r in (*spine.records.values(), *spine.extra.values()) if r.log == item.log}
    return _among(log_place(item.log, item.seq), item, ((log_place(r.log, r.seq), r) for r in mine.values()))


def _among(place: Place, item: Record | Seal, others: Iterable[tuple[Place, Record | Seal]]) -> Place:
    """Where a line lies: behind a fork, and beside a twin, further down than its number says."""
    before = sum((at.line, other.id) < (place.line, item.id) for at, other in others if at.file == place.file)
    return Place(place.file, before + 1)


def write_sshsig(shown: Shown, directory: Path) -> list[str]:
    """Write `message`, `message.sig` and `allowed_signers` into a directory, over what bears these names there.

    Returns:
        The argv of the command that verifies them; `message` is to be its standard input.

    Raises:
        MeshFault: the signer's key is not known here, or the disk said no.
    """
    from orxaq_mesh.home.files import atomic_write

    if shown.key is None:
        raise MeshFault(f"the ledger names no key for {shown.log}", hint="mesh node list")
    signers, signature = directory / "allowed_signers", directory / "message.sig"
    atomic_write(directory / "message", unsigned(shown.value), 0o644)
    atomic_write(signature, armored(shown.key, shown.space, shown.value["sig"]), 0o644)
    atomic_write(signers, allowed_signers(shown.log, shown.key, shown.space).encode(), 0o644)
    return ["ssh-keygen", "-Y", "verify", "-f", str(signers), "-I", shown.log, "-n", shown.space, "-s", str(signature)]
