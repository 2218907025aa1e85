"""Laws SEAL, EPOCH, PREFIX, DIGEST, RULES, broken by seals: who seals, what it takes in, its number, what it claims."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orxaq_mesh.keys import SecretKey
from orxaq_mesh.news import FULL_BYTES
from orxaq_mesh.record import NOTHING, Record, Value
from orxaq_mesh.schema import read_record, read_seal
from tests.builder import Pen, Trunk, secret, sign
from tests.changes.scene import SPINE, Case, Scene, forked, says, value_of, working_fleet


def _with(law: str, name: str, by: str = "oak", start: Callable[[], Trunk] = working_fleet, **override: Any) -> Case:
    """A seal over elm's next record, with other fields."""

    def build(scene: Scene) -> None:
        fields = {key: value(scene) if callable(value) else value for key, value in override.items()}
        scene.sealed(says(scene.elm), by=getattr(scene, by), **fields)

    return Case(f"{law}: {name}", law, build, start=start)


def _past(epochs: int) -> Callable[[Scene], str]:
    return lambda scene: scene.trunk.seals[-1 - epochs].id


def _head(pen: Pen, record: Record | None = None, **other: Any) -> Value:
    return {pen.log: {"id": record.id if record else pen.prev, "seq": record.seq if record else pen.seq} | other}


def _heads(law: str, name: str, heads: Callable[[Scene], Value], **how: Any) -> Case:
    """A seal that takes in these heads; what waits besides is elm's next record."""

    def build(scene: Scene) -> None:
        scene.add(record := says(scene.elm))
        extra = {key: value(scene) if callable(value) else value for key, value in how.items()}
        signer = extra.pop("by", scene.oak)
        made = heads(scene)
        scene.append(SPINE, scene.seal(record, by=signer, **{"heads": made, **extra}).line)

    return Case(f"{law}: {name}", law, build)


def _stranger(scene: Scene) -> Pen:
    return scene.trunk.pen("rue")


def _lost_record(scene: Scene) -> Value:
    """elm's next record but one, which nobody has."""
    return _head(scene.elm, says(scene.elm))


def _of_another_log(scene: Scene) -> Value:
    return {scene.ash.log: {"id": scene.elm.prev, "seq": scene.ash.seq + 1}}


def _of_another_seq(scene: Scene) -> Value:
    return _head(scene.elm, seq=scene.elm.seq + 1)


def _a_prev_of_its_own(scene: Scene) -> Value:
    """A record that elm signed and that does not follow what is sealed."""
    stray = scene.elm.draft(
        "event.publish", {"topic": "t", "type": "x", "payload": 7}, prev="b" * 64, seq=scene.elm.seq
    )
    scene.add(stray)
    return _head(scene.elm, stray)


def _word_of(name: str) -> Callable[[Scene], Value]:
    """The next word of somebody who has none."""

    def heads(scene: Scene) -> Value:
        pen = getattr(scene, name)
        record = says(pen)
        scene.add(record)
        return _head(pen, record)

    return heads


def _talkative(scene: Scene) -> Value:
    """A newcomer's hello, and its next word with it."""
    rue = _stranger(scene)
    hello, word = rue.hello(), says(rue)
    scene.add(hello, word)
    return _head(rue, word)


def _unsigned_hello(scene: Scene) -> Value:
    rue = _stranger(scene)
    body = {"name": "rue", "key": rue.key.public.text}
    hello = read_record(sign(value_of(rue, "node.hello", body, seq=1, prev=NOTHING), secret("thief"), scene.ledger_id))
    scene.add(hello)
    return _head(rue, hello)


def _misnamed_hello(scene: Scene) -> Value:
    """A hello in a log that is not named after its key."""
    rue = _stranger(scene)
    body = {"name": "rue", "key": rue.key.public.text}
    value = {**value_of(rue, "node.hello", body, seq=1, prev=NOTHING), "node": "rue-00000000"}
    hello = read_record(sign(value, rue.key, scene.ledger_id))
    scene.add(hello)
    return {"rue-00000000": {"id": hello.id, "seq": 1}}


def _by_a_stranger(scene: Scene) -> None:
    scene.sealed(says(scene.elm), by=_stranger(scene))


# Proofs (law PREFIX).


def _proof(law: str, name: str, halves: Callable[[Scene], tuple[str, list[Record], list[str]]], **how: Any) -> Case:
    """A seal over elm's next record which says that a log signed twice: (log, records to put in, the two ids)."""

    def build(scene: Scene) -> None:
        log, more, pair = halves(scene)
        record = says(scene.elm)
        signer = getattr(scene, how.get("by", "oak"))
        scene.add(record, *more, seals=[scene.seal(record, by=signer, proofs={log: pair})])

    return Case(f"{law}: {name}", law, build)


def _old(scene: Scene, name: str, seq: int) -> Record:
    pen = getattr(scene, name)
    return next(r for r in _records(scene) if r.log == pen.log and r.seq == seq)


def _records(scene: Scene) -> list[Record]:
    paths = [path for path in scene.trunk.files if "/nodes/" in path]
    return [read_record(line) for path in paths for line in scene.lines(path)]


def _two_seqs(scene: Scene) -> tuple[str, list[Record], list[str]]:
    pair = sorted([_old(scene, "ash", 2).id, _old(scene, "ash", 3).id])
    return scene.ash.log, [], pair


def _two_logs(scene: Scene) -> tuple[str, list[Record], list[str]]:
    return scene.ash.log, [], sorted([_old(scene, "ash", 2).id, _old(scene, "elm", 2).id])


def _one_twice(scene: Scene) -> tuple[str, list[Record], list[str]]:
    return scene.ash.log, [], [_old(scene, "ash", 2).id] * 2


def _backwards(scene: Scene) -> tuple[str, list[Record], list[str]]:
    one, other = (scene.ash.draft("event.publish", {"topic": "t", "type": "x", "payload": n}) for n in range(2))
    return scene.ash.log, [one, other], sorted([one.id, other.id], reverse=True)


def _half_forged(scene: Scene) -> tuple[str, list[Record], list[str]]:
    """One half is ash's, the other a thief's: both for the next seq of ash."""
    mine = scene.ash.draft("event.publish", {"topic": "t", "type": "x", "payload": 1})
    forged = read_record(sign(value_of(scene.ash, at="2026-11-20T10:00:00.000Z"), secret("thief"), scene.ledger_id))
    return scene.ash.log, [mine, forged], sorted([mine.id, forged.id])


def _half_of_another_ledger(scene: Scene) -> tuple[str, list[Record], list[str]]:
    mine = scene.ash.draft("event.publish", {"topic": "t", "type": "x", "payload": 1})
    other = read_record(sign(value_of(scene.ash, at="2026-11-20T10:00:00.000Z"), scene.ash.key, "ab" * 32))
    return scene.ash.log, [mine, other], sorted([mine.id, other.id])


def _half_missing(scene: Scene) -> tuple[str, list[Record], list[str]]:
    mine = scene.ash.draft("event.publish", {"topic": "t", "type": "x", "payload": 1})
    return scene.ash.log, [mine], sorted([mine.id, "c" * 64])


def _of_a_revoked(scene: Scene) -> tuple[str, list[Record], list[str]]:
    one, other = (scene.fir.draft("event.publish", {"topic": "t", "type": "x", "payload": n}) for n in range(2))
    return scene.fir.log, [one, other], sorted([one.id, other.id])


# The recovery key (law LIVE), and seals without number.


def _recovery_proves(scene: Scene) -> None:
    one, other = (scene.ash.draft("event.publish", {"topic": "t", "type": "x", "payload": n}) for n in range(2))
    word = scene.recovery.write("node.revoke", log=scene.oak.log, reason="lost")
    proofs = {scene.ash.log: sorted([one.id, other.id])}
    scene.add(one, other, word, seals=[scene.seal(word, by=scene.recovery, proofs=proofs)])


def _flood(scene: Scene) -> None:
    """elm fills a file of the spine with seals that never stand."""
    heads = {f"{'x' * 40}-{n:08x}": {"id": "e" * 64, "seq": 1} for n in range(400)}
    for number in range(FULL_BYTES // 55_000 + 1):
        at = f"2026-11-20T10:{number:02}:00.000Z"
        seal = scene.seal(says(scene.elm), by=scene.elm, parent="d" * 64, epoch=21, heads=heads, at=at)
        scene.append(SPINE, seal.line)
    scene.edit(SPINE, lambda lines: [*lines[:19], *sorted(lines[19:], key=lambda line: read_seal(line).id)])


def _on_a_false_seal(scene: Scene) -> None:
    """A seal that would stand, on one that does not."""
    false = scene.seal(says(scene.elm), by=scene.owl)
    word = says(scene.ash)
    scene.add(word, seals=[false])
    scene.append(SPINE, scene.seal(word, parent=false.id, epoch=false.epoch + 1).line)


def parted() -> Trunk:
    """A trunk behind a fork: ash's seal lost, oak's went on; nobody has passed the orphan yet."""
    trunk = forked(working_fleet())
    other = forked(trunk)
    trunk.seal(says(trunk.pens["elm"], 1))
    orphan = says(other.pens["ash"], 2)
    other.seal(orphan, by=other.pens["ash"])
    lines = list(other.ledger.spine.records.values()) or [orphan]
    trunk.push(lines, other.seals[-1:])
    return trunk


def _orphan(scene: Scene) -> str:
    chain = {stood.seal.id for stood in scene.trunk.ledger.spine.chain}
    return next(id_ for id_ in scene.trunk.ledger.spine.stood if id_ not in chain)


def _passes_nobody(scene: Scene) -> None:
    scene.sealed(says(scene.elm), by=scene.elm, over="a" * 64)


def _double_seat(scene: Scene) -> None:
    """Another key that calls itself elm, and seals."""
    other = scene.trunk.pen("elm", SecretKey.generate(b"\x22" * 32))
    scene.add(other.hello())
    scene.sealed(says(scene.ash), by=other)


CASES: tuple[Case, ...] = (
    # Who seals.
    _with("SEAL", "by an observer", by="owl"),
    _with("SEAL", "by a node that only said hello", by="yew"),
    Case("SEAL: by a key whose log nobody knows", "SEAL", _by_a_stranger),
    _with("SEAL", "by a revoked node", by="fir"),
    _with("SEAL", "by a key that was rotated away", by="sap"),
    _with("SEAL", "by the recovery key, over others' records", by="recovery"),
    Case("SEAL: by the recovery key, with a proof", "SEAL", _recovery_proves),
    Case("SEAL: by a second key of elm's name", "SEAL", _double_seat),
    # What it follows.
    _with("SEAL", "its parent is a seal that nobody has", parent="d" * 64),
    _with("EPOCH", "its parent is no seal at all", parent=NOTHING),
    _with("EPOCH", "its parent lies two epochs back", parent=_past(2)),
    Case("SEAL: a sound seal on one that does not stand", "SEAL", _on_a_false_seal),
    # Its number.
    _with("EPOCH", "an epoch is left out", epoch=21),
    _with("EPOCH", "a thousand epochs are left out", epoch=1020),
    _with("EPOCH", "the tip's own number", epoch=19),
    _with("EPOCH", "a number far back", epoch=3),
    Case("EPOCH: over a seal that nobody has", "EPOCH", _passes_nobody),
    _with("EPOCH", "over its own parent", over=_past(0)),
    _with("EPOCH", "over a seal beneath it", over=_past(3)),
    _with("EPOCH", "over an orphan, and a number too high", start=parted, over=_orphan, epoch=29),
    _with("EPOCH", "a number as if over an orphan", start=parted, epoch=29),
    # What it takes in.
    _heads("SEAL", "a head that goes back", lambda scene: _head(scene.ash, _old(scene, "ash", 3))),
    _heads("SEAL", "the head of the last seal again", lambda scene: _head(scene.ash)),
    _heads("CHAIN", "a record that nobody has", _lost_record),
    _heads("CHAIN", "a record of another log", _of_another_log),
    _heads("CHAIN", "a record of another seq", _of_another_seq),
    _heads("CHAIN", "a record that does not follow", _a_prev_of_its_own),
    _heads("CHAIN", "a log that is nobody's", lambda scene: {"rue-00000000": {"id": "e" * 64, "seq": 1}}),
    _heads("SIG", "the word of a revoked node", _word_of("fir")),
    _heads("SIG", "the word of a node that only said hello", _word_of("yew")),
    _heads("SIG", "the word of a key that was rotated away", _word_of("sap")),
    _heads("SEAL", "a newcomer's hello and more", _talkative),
    _heads("SIG", "a hello that its key did not sign", _unsigned_hello),
    _heads("CHAIN", "a hello in a log that is not its key's", _misnamed_hello),
    # What it claims.
    _with("DIGEST", "zeros for a digest", state="0" * 64),
    _with("DIGEST", "the digest of the epoch before", state=lambda scene: scene.trunk.ledger.state.digest),
    _with("RULES", "rules that are not in force", rules=2),
    # What it proves.
    _proof("PREFIX", "two records of two seqs", _two_seqs),
    _proof("PREFIX", "two records of two logs", _two_logs),
    _proof("PREFIX", "one record twice", _one_twice),
    _proof("PREFIX", "the higher id first", _backwards),
    _proof("PREFIX", "half of it forged", _half_forged),
    _proof("PREFIX", "half of it signed for another ledger", _half_of_another_ledger),
    _proof("PREFIX", "against a revoked node", _of_a_revoked),
    _proof("CHAIN", "half of the proof is missing", _half_missing),
    Case("LIVE: a file of seals that never stand", "LIVE", _flood),
)
