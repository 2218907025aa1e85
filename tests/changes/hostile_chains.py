"""Laws SIG, CHAIN, SEEN and RENDER, broken by lines: forged, replayed, edited, deleted, moved, doubled, signed twice."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable

from orxaq_mesh.keys import SecretKey, _signed_data, namespace
from orxaq_mesh.record import NOTHING, Value, canonical, log_place
from orxaq_mesh.schema import read_record
from tests import ed25519_points as curve
from tests.builder import Pen, Trunk, secret, sign
from tests.changes.scene import SPINE, Case, Scene, file_of, forked, says, value_of, working_fleet

# SIG: whose signature, over what, for which ledger.


def _resigned(name: str, sign_it: Callable[[Scene, Value], bytes]) -> Case:
    """elm's next record, whose `sig` is somebody's word for something else."""

    def build(scene: Scene) -> None:
        scene.add(read_record(sign_it(scene, value_of(scene.elm))))

    return Case(f"SIG: {name}", "SIG", build)


def _by(key: SecretKey, ledger: str | None = "") -> Callable[[Scene, Value], bytes]:
    return lambda scene, value: sign(value, key, scene.ledger_id if ledger == "" else ledger)


def _raw_signature(make: Callable[[bytes, bytes, bytes], bytes]) -> Callable[[Scene, Value], bytes]:
    """The signature bytes that `make` gives for (elm's seed, elm's key, the signed data)."""

    def signed(scene: Scene, value: Value) -> bytes:
        seed = hashlib.sha256(b"elm").digest()
        data = _signed_data(namespace(scene.ledger_id), canonical(value))
        raw = make(seed, scene.elm.key.public.raw, data)
        return canonical({**value, "sig": base64.b64encode(raw).decode()})

    return signed


def _edge(**how: object) -> Callable[[Scene, Value], bytes]:
    def make(seed: bytes, key: bytes, data: bytes) -> bytes:
        return curve.edge_signature(curve.secret(seed)[0], key, data, **{"nonce": 12345, **how})  # type: ignore[arg-type]

    return _raw_signature(make)


def _flipped(bit: int) -> Callable[[Scene, Value], bytes]:
    def signed(scene: Scene, value: Value) -> bytes:
        raw = bytearray(base64.b64decode(scene.elm.key.sign(namespace(scene.ledger_id), canonical(value))))
        raw[bit // 8] ^= 1 << bit % 8
        return canonical({**value, "sig": base64.b64encode(raw).decode()})

    return signed


def _of_another_body(scene: Scene, value: Value) -> bytes:
    sig = scene.elm.key.sign(namespace(scene.ledger_id), canonical({**value, "body": {"topic": "u"}}))
    return canonical({**value, "sig": sig})


def _of_plain_bytes(scene: Scene, value: Value) -> bytes:
    """Signed as OpenSSH signs a file of another namespace: the ledger's id alone."""
    return canonical({**value, "sig": scene.elm.key.sign(scene.ledger_id, canonical(value))})


def _covered(scene: Scene) -> None:
    """The first of two has no signature of elm's; the second, which elm signed, names it."""
    forged = read_record(sign(value_of(scene.elm), secret("thief"), scene.ledger_id))
    scene.elm.seq, scene.elm.prev = forged.seq, forged.id
    scene.add(forged, says(scene.elm))


def _forged_seal(scene: Scene) -> None:
    scene.sealed(says(scene.elm), by=scene.elm, key=secret("thief"))


def _sealed_by(name: str, key: str) -> Case:
    def build(scene: Scene) -> None:
        scene.sealed(says(scene.elm), key=secret(key))

    return Case(f"SIG: {name}", "SIG", build)


def _seal_for_another_ledger(scene: Scene) -> None:
    record = says(scene.elm)
    line = sign(scene.trunk.seal_value(record), scene.oak.key, "ab" * 32)
    scene.add(record)
    scene.append(SPINE, line)


def _seals_what_nobody_signed(scene: Scene) -> None:
    forged = read_record(sign(value_of(scene.elm), secret("thief"), scene.ledger_id))
    scene.add(forged)
    value = {**scene.trunk.seal_value(says(scene.elm)), "heads": {scene.elm.log: {"id": forged.id, "seq": forged.seq}}}
    scene.append(SPINE, sign(value, scene.oak.key, scene.ledger_id))


def _strangers_word(scene: Scene) -> None:
    scene.add(says(scene.trunk.pen("rue")))


def _strangers_second_word(scene: Scene) -> None:
    """A hello that stands, and what its key wrote behind it, with another's signature."""
    rue = scene.trunk.pen("rue")
    hello = rue.hello()
    scene.add(hello, read_record(sign(value_of(rue), secret("thief"), scene.ledger_id)))


def _hello_of_anothers_key(scene: Scene) -> None:
    """rue says that ivy's key is its own, in the log that ivy's key would have, and cannot sign for it."""
    ivy = scene.trunk.pen("rue", secret("ivy"))
    scene.add(read_record(sign(_hello(ivy, ivy.key.public.text), secret("rue"), scene.ledger_id)))


def _hello_in_a_strange_log(scene: Scene) -> None:
    """The log is not named after the key that it introduces."""
    rue = scene.trunk.pen("rue")
    scene.add(read_record(sign({**_hello(rue, rue.key.public.text), "node": "rue-00000000"}, rue.key, scene.ledger_id)))


def _weak_hello(raw: bytes) -> Callable[[Scene], None]:
    def build(scene: Scene) -> None:
        blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + raw
        short = hashlib.sha256(blob).hexdigest()[:8]
        rue = scene.trunk.pen("rue")
        value = {**_hello(rue, f"ssh-ed25519 {base64.b64encode(blob).decode()}"), "node": f"rue-{short}"}
        sig = base64.b64encode(curve.encode(curve.IDENTITY) + bytes(32)).decode()
        scene.add(read_record(canonical({**value, "sig": sig})))

    return build


def _hello(pen: Pen, key: str) -> Value:
    return value_of(pen, "node.hello", {"name": pen.name, "key": key}, seq=1, prev=NOTHING)


_SMALL = curve.small_order_points()

SIGNATURES = (
    _resigned("a record that a thief signed in elm's name", _by(secret("thief"))),
    _resigned("a record that ash signed in elm's name", _by(secret("ash"))),
    _resigned("a record that the recovery key signed in elm's name", _by(secret("recovery"))),
    _resigned("a replay from another ledger", _by(secret("elm"), "cd" * 32)),
    _resigned("a record signed as a founding is", _by(secret("elm"), None)),
    _resigned("a record signed for something else", _of_plain_bytes),
    _resigned("a record with the signature of another", _of_another_body),
    _resigned("a bit of R is flipped", _flipped(3)),
    _resigned("a bit of S is flipped", _flipped(300)),
    _resigned("64 zeros", _raw_signature(lambda *_: bytes(64))),
    _resigned("63 bytes of a signature, and a zero", _raw_signature(lambda *_: b"\x01" * 63 + b"\0")),
    _resigned("S is L too large", _edge(more=curve.L)),
    _resigned("R is the identity", _edge(nonce=0)),
    _resigned("R is of small order", _edge(nonce=0, torsion=_SMALL[1])),
    _resigned("R is of mixed order", _edge(torsion=_SMALL[1])),
    _resigned("R is no shortest encoding", _edge(nonce=0, r=curve.non_canonical(curve.IDENTITY)[0])),
    Case("SIG: a forged record that a sound one covers", "SIG", _covered),
    Case("SIG: a seal that a thief signed in elm's name", "SIG", _forged_seal),
    _sealed_by("a seal that elm signed in oak's name", "elm"),
    _sealed_by("a seal that the recovery key signed in oak's name", "recovery"),
    Case("SIG: a seal for another ledger", "SIG", _seal_for_another_ledger),
    Case("SIG: a seal over a record that nobody signed", "SIG", _seals_what_nobody_signed),
    Case("SIG: a stranger's word without a hello", "SIG", _strangers_word),
    Case("SIG: behind a stranger's hello what another signed", "SIG", _strangers_second_word),
    Case("SIG: a hello of another's key", "SIG", _hello_of_anothers_key),
    Case("SIG: a hello in a log that is not its key's", "SIG", _hello_in_a_strange_log),
    Case("SIG: a hello of the identity", "SIG", _weak_hello(curve.encode(curve.IDENTITY))),
    Case("SIG: a hello of a key of order 8", "SIG", _weak_hello(curve.encode(_SMALL[1]))),
    Case("SIG: a hello of a key in a longer encoding", "SIG", _weak_hello(curve.non_canonical(curve.IDENTITY)[0])),
)

# CHAIN: the places of a log. SEEN: the places of the spine. RENDER: the order in a file.


def _drafted(name: str, **envelope: object) -> Case:
    """elm's next record, signed by elm, with other fields."""

    def build(scene: Scene) -> None:
        scene.add(scene.elm.draft("event.publish", {"topic": "t", "type": "x", "payload": 0}, **envelope))

    return Case(f"CHAIN: {name}", "CHAIN", build)


def _edited(law: str, name: str, how: Callable[[list[bytes]], Iterable[bytes]], *, spine: bool = False) -> Case:
    def build(scene: Scene) -> None:
        scene.edit(SPINE if spine else file_of(scene.elm), how)

    return Case(f"{law}: {name}", law, build)


def _another_word(lines: list[bytes]) -> list[bytes]:
    """The third line says something else, under its old signature."""
    return [line.replace(b'"session":"s"', b'"session":"z"') if n == 1 else line for n, line in enumerate(lines)]


def _another_time(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b"09:30:00", b"09:30:01") if n == 4 else line for n, line in enumerate(lines)]


def _resealed(scene: Scene) -> None:
    """oak signs its first record anew, with another time: the old line is gone."""
    old = read_record(scene.lines(log_place(scene.oak.log, 1).file)[1])
    value = value_of(scene.oak, old.kind, old.body, seq=old.seq, prev=old.prev, at="2026-11-20T09:31:00.000Z")
    new = read_record(sign(value, scene.oak.key, scene.ledger_id))
    scene.edit(log_place(scene.oak.log, 1).file, lambda lines: [lines[0], new.line, *lines[2:]])


def _gap(scene: Scene) -> None:
    says(scene.elm, 1)
    scene.add(says(scene.elm, 2))


def _anothers_file(scene: Scene) -> None:
    scene.append(file_of(scene.ash), says(scene.elm).line)


def _record_in_the_spine(scene: Scene) -> None:
    scene.append(SPINE, says(scene.elm).line)


def _seal_in_a_log(scene: Scene) -> None:
    scene.append(file_of(scene.elm), scene.seal(says(scene.elm)).line)


def _gone(*paths: str) -> Callable[[Scene], None]:
    def build(scene: Scene) -> None:
        for path in paths:
            del scene.files[path or file_of(scene.elm)]

    return build


def _everything(scene: Scene) -> None:
    scene.files.clear()


def _two_of_one(scene: Scene) -> None:
    """elm signs two records for its next seq."""
    one = scene.elm.draft("event.publish", {"topic": "t", "type": "x", "payload": 1})
    scene.add(one, says(scene.elm, 2))


def _rival_of_a_sealed_one(scene: Scene) -> None:
    """elm signs once more for a seq that a seal took in long ago."""
    old = read_record(scene.lines(file_of(scene.elm))[2])
    scene.add(scene.elm.draft("event.publish", {"topic": "t", "type": "x", "payload": 9}, seq=old.seq, prev=old.prev))


def _history_anew(scene: Scene) -> None:
    """elm's log from its fourth record on, as elm would rather have it."""
    kept = scene.lines(file_of(scene.elm))[:3]
    last = read_record(kept[-1])
    pen = scene.trunk.pen("elm")
    pen.seq, pen.prev, pen.seen = last.seq, last.id, scene.elm.seen
    scene.write(file_of(scene.elm), kept)
    scene.add(*(says(pen, f"rather {n}") for n in range(5)))


def _three_variants(scene: Scene) -> None:
    scene.add(*(scene.elm.draft("event.publish", {"topic": "t", "type": "x", "payload": n}) for n in range(3)))


def _founded_again(scene: Scene) -> None:
    """Another ledger's founding, and its first seal, beside this one's."""
    other = Trunk.founded("ivy")
    scene.add(*(record for record in other.ledger.spine.records.values()))
    scene.append(SPINE, *(seal.line for seal in other.seals))
    for path, content in other.files.items():
        if "nodes" in path:
            scene.files[path] = content


def _another_ledger(scene: Scene) -> None:
    """The whole tree is another ledger's."""
    scene.files.clear()
    scene.files.update(Trunk.founded("ivy").files)


def _rolled_back(scene: Scene) -> None:
    """The whole tree as it was four epochs ago."""
    back = scene.trunk.ledger.state.epoch - 4
    scene.edit(SPINE, lambda lines: lines[:back])


def _crowded() -> Trunk:
    """A trunk whose first segment of elm's is full."""
    trunk = forked(working_fleet())
    trunk.seal(*(says(trunk.pens["elm"], n) for n in range(30)))
    return trunk


def _wrong_segment(scene: Scene) -> None:
    """elm's next record in the file before the one that it belongs into."""
    scene.append(log_place(scene.elm.log, 1).file, says(scene.elm).line)


def _early_segment(scene: Scene) -> None:
    """elm's next record in the file behind the one that it belongs into."""
    scene.append(log_place(scene.elm.log, 33).file, says(scene.elm).line)


def _swapped(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], lines[4], lines[3], *lines[5:]]


def _disorderly(scene: Scene) -> None:
    one, two = says(scene.elm, 1), says(scene.elm, 2)
    scene.append(file_of(scene.elm), two.line, one.line)


def _evil_merge(scene: Scene) -> None:
    """The branch is sound; the commit that merges it takes something away."""
    scene.add(says(scene.elm))
    scene.step()
    scene.merge = True
    scene.edit(file_of(scene.elm), lambda lines: [*lines[:2], *lines[3:]])


def _seal_lines(number: int) -> Callable[[list[bytes]], list[bytes]]:
    return lambda lines: [line for n, line in enumerate(lines, 1) if n != number]


CHAINS = (
    _drafted("a seq left out", seq=9, prev="a" * 64),
    _drafted("a prev that nobody has", prev="a" * 64),
    _drafted("a prev of zeros", prev=NOTHING),
    Case("CHAIN: a record whose predecessor was kept back", "CHAIN", _gap),
    Case("CHAIN: elm's record in the file of ash", "CHAIN", _anothers_file),
    Case("CHAIN: elm signs two records for one seq", "CHAIN", _two_of_one),
    Case("CHAIN: elm signs once more for a sealed seq", "CHAIN", _rival_of_a_sealed_one),
    Case("CHAIN: elm writes its history anew", "CHAIN", _history_anew),
    Case("CHAIN: oak signs an old record anew", "CHAIN", _resealed),
    _edited("CHAIN", "a word in an old record is changed", _another_word),
    _edited("CHAIN", "the time of an old record is changed", _another_time),
    _edited("CHAIN", "an old record is deleted", lambda lines: lines[:2] + lines[3:]),
    _edited("CHAIN", "the first record is deleted", lambda lines: lines[1:]),
    _edited("CHAIN", "the last record is deleted", lambda lines: lines[:-1]),
    Case("CHAIN: a merge takes away what its branch did not", "CHAIN", _evil_merge),
    Case("CHAIN: a log is deleted", "CHAIN", _gone("")),
    Case("CHAIN: all is deleted", "CHAIN", _everything),
    _edited("SEEN", "an old seal is deleted", _seal_lines(7), spine=True),
    _edited("SEEN", "the first seal is deleted", _seal_lines(1), spine=True),
    _edited("SEEN", "the newest seal is deleted", _seal_lines(19), spine=True),
    _edited("SEEN", "the time of a seal is changed", _another_time, spine=True),
    Case("SEEN: the spine is deleted", "SEEN", _gone(SPINE)),
    Case("SEEN: all is deleted", "SEEN", _everything),
    Case("SEEN: the spine ends four epochs ago", "SEEN", _rolled_back),
    Case("SEEN: another ledger in this one's place", "SEEN", _another_ledger),
    Case("SIG: another founding beside this one's", "SIG", _founded_again),
    _edited("RENDER", "two old records change places", _swapped),
    _edited("RENDER", "two seals change places", _swapped, spine=True),
    _edited("RENDER", "a record stands twice", lambda lines: [*lines, lines[-1]]),
    _edited("RENDER", "an old record stands once more at the end", lambda lines: [*lines, lines[1]]),
    _edited("RENDER", "a seal stands twice", lambda lines: [*lines, lines[-1]], spine=True),
    _edited("RENDER", "the lines are backwards", lambda lines: lines[::-1]),
    Case("RENDER: two new records out of order", "RENDER", _disorderly),
    Case("RENDER: three variants of a seq", "RENDER", _three_variants),
    Case("RENDER: a record in the segment before its own", "RENDER", _wrong_segment, start=_crowded),
    Case("RENDER: a record in the segment behind its own", "RENDER", _early_segment),
    Case("LINE: a record in the spine", "LINE", _record_in_the_spine),
    Case("LINE: a seal in a log", "LINE", _seal_in_a_log),
)

CASES: tuple[Case, ...] = (*SIGNATURES, *CHAINS)
