"""Whether a seal stands is a question to the set alone: whoever reads along and whoever reads anew say the same (SET)."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import orjson

from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import render, union
from orxaq_mesh.record import Record, Seal, canonical, epoch_place
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.store import Change
from tests.builder import Pen, Trunk, secret, sign


def say(pen: Pen, number: int = 0) -> Record:
    return pen.write("event.publish", topic="t", type="x", payload={"n": number})


def whole(files: dict[str, bytes]) -> list[Change]:
    return [Change(path, None, data) for path, data in sorted(files.items())]


def test_EPOCH_a_seal_over_one_that_lies_beneath_it_stands_nowhere() -> None:
    for back in (1, 2):
        trunk = Trunk.founded()
        trunk.admit("elm")
        record = say(trunk.oak)
        beneath = trunk.seals[-back].id
        seal = read_seal(sign(trunk.seal_value(record, over=beneath), trunk.oak.key, trunk.ledger.id))
        trunk.push([record], [seal])
        assert trunk.ledger.state.epoch == trunk.read_anew()[0].state.epoch == 2


def forged(line: bytes, other: Callable[[int], bytes], above: str = "", below: str = "g") -> bytes:
    """A line with another's signature, whose id lies in a range."""
    number = 0
    while True:
        value = orjson.loads(other(number)) | {"sig": orjson.loads(line)["sig"]}
        found = canonical(value)
        item: Record | Seal = read_seal(found) if value["kind"] == "seal" else read_record(found)
        if above < item.id < below:
            return found
        number += 1


def test_SIG_a_founding_that_nobody_signed_names_no_ledger() -> None:
    trunk = Trunk.founded()
    (genesis,) = trunk.seals
    foundings = [Trunk.founded(f"ash{number}") for number in range(64)]
    line = forged(genesis.line, lambda number: foundings[number].seals[0].line, below=genesis.id)
    seal = read_seal(line)
    (founding,) = (other for other in foundings if other.oak.log == seal.log)
    records = [read_record(data[:-1]) for path, data in founding.files.items() if "/nodes/" in path]
    files = {**trunk.files, **render(trunk.files.get, records, [seal])}
    stranger = Ledger()
    stranger.read(whole(files))
    assert stranger.id == trunk.ledger.id
    assert stranger.state.seal == genesis.id


def test_LIVE_a_hello_in_anothers_name_does_not_hide_the_true_one() -> None:
    trunk = Trunk.founded()
    hello = trunk.pen("yew").hello()

    def other(number: int) -> bytes:
        value = orjson.loads(hello.line)
        value["body"]["key"] = secret(f"thief {number}").public.text
        return canonical(value)

    for above, below in (("", hello.id), (hello.id, "g")):
        false = read_record(forged(hello.line, other, above, below))
        for order in ([hello, false], [false, hello]):
            ledger = Ledger(trunk.ledger.id)
            files = {**trunk.files, **render(trunk.files.get, order)}
            ledger.read(whole(files))
            assert [record.id for record in ledger.hellos()] == [hello.id]
            (mended,) = ledger.mends.values()
            assert mended == hello.line + b"\n"


def test_LIVE_a_hello_that_only_what_follows_it_signs_stops_nobodys_seal() -> None:
    trunk = Trunk.founded()
    yew = trunk.pen("yew")
    hello = yew.hello()
    value = orjson.loads(hello.line) | {"sig": orjson.loads(trunk.seals[0].line)["sig"]}
    unsigned = read_record(canonical(value))
    yew.prev = unsigned.id
    trunk.ledger.offer([unsigned, say(yew), say(trunk.oak)])
    taken = trunk.ledger.sealable()
    assert list(taken) == [trunk.oak.log]
    assert trunk.ledger.taken_by(citing(trunk, *taken[trunk.oak.log]))
    trunk.ledger.offer([hello])
    assert trunk.ledger.hellos() == [hello]


def fork_of(trunk: Trunk) -> Trunk:
    """The same fleet at another hub."""
    twin = Trunk()
    twin.files, twin.ledger, twin.seals = dict(trunk.files), Ledger(trunk.ledger.id), list(trunk.seals)
    twin.pens = {name: copy.copy(pen) for name, pen in trunk.pens.items()}
    twin.ledger.read(whole(twin.files))
    return twin


def merged(*trees: dict[str, bytes]) -> dict[str, bytes]:
    return {path: union(*(tree.get(path, b"") for tree in trees)) for tree in trees for path in tree}


# Two records for one place, and seals that cite them.


def two_histories(trunk: Trunk, number: int = 2) -> list[Record]:
    """Records of one seq that elm's key signed on two machines, by id."""
    found = [say(copy.copy(trunk.pens["elm"]), n) for n in range(number)]
    return sorted(found, key=lambda record: record.id)


def citing(trunk: Trunk, *records: Record, **override: Any) -> Seal:
    return read_seal(sign(trunk.seal_value(*records, **override), trunk.oak.key, trunk.ledger.id))


def test_PREFIX_a_proof_beneath_the_base_stands_for_who_reads_along_as_for_who_reads_anew() -> None:
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    one, other = two_histories(trunk)
    trunk.seal(one)
    along, before = Ledger(trunk.ledger.id), dict(trunk.files)
    along.read(whole(before))
    trunk.ledger.offer([one, other])
    record = say(trunk.oak)
    trunk.push([record, other], [citing(trunk, record)])
    after = [Change(path, before.get(path), data) for path, data in trunk.files.items() if before.get(path) != data]
    assert along.read(after).findings == []
    anew, _ = trunk.read_anew()
    for ledger in (trunk.ledger, along, anew):
        assert members(ledger.state).by_log[elm.log].standing == "suspended"


def test_PREFIX_a_proof_of_two_that_nobody_sealed_is_found_wherever_they_lie() -> None:
    """The sealed one is signed by what follows it alone, so it makes no pair with the others."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    one, other = two_histories(trunk)

    def without(number: int) -> bytes:
        return elm.draft("event.publish", {"topic": "t", "type": "x", "payload": number}).line

    covered = read_record(forged(one.line, without, below=one.id))
    elm.seq, elm.prev = covered.seq, covered.id
    trunk.seal(covered, say(elm))
    for records in ([one], [other], []):
        record = say(trunk.oak)
        proofs = {} if records else {elm.log: [one.id, other.id]}
        trunk.push([record, *records], [citing(trunk, record, **({"proofs": proofs} if proofs else {}))])
    anew, _ = trunk.read_anew()
    assert members(anew.state).by_log[elm.log].standing == "suspended"
    assert trunk.ledger.state.seal == anew.state.seal


def test_SEAL_a_record_that_only_an_outbox_shows_is_in_no_tree() -> None:
    trunk = Trunk.founded()
    trunk.admit("elm")
    one, other = two_histories(trunk)
    before = dict(trunk.files)
    trunk.push([], [citing(trunk, one)])
    for shown in ([], [one], [one, other]):
        ledger = Ledger(trunk.ledger.id)
        ledger.read(whole(before))
        ledger.offer(shown)
        path = epoch_place(1).file
        ledger.read([Change(path, before[path], trunk.files[path])])
        assert ledger.state.epoch == 2


def test_FORK_who_signed_two_histories_has_no_vote_whoever_reads() -> None:
    """The second variant came when there was no fork yet: one read along, the other read anew just then."""
    trunk = Trunk.founded()
    for name in ("elm", "ash"):
        trunk.admit(name)
    elm = trunk.pens["elm"]
    one, other = two_histories(trunk)
    elm.seq, elm.prev = one.seq, one.id
    trunk.seal(one)
    trunk.push([other])
    anew, _ = trunk.read_anew()
    sides = [fork_of(trunk), fork_of(trunk)]
    for side in sides:
        side.ledger.proven.clear()  # neither side says what it knows
    for _ in range(2):
        sides[0].seal(say(sides[0].pens["elm"]))
        sides[1].seal(say(sides[1].pens["ash"]))
    files = merged(sides[0].files, sides[1].files)
    changes = [Change(path, trunk.files.get(path), data) for path, data in files.items()]
    stranger, _ = trunk.read_anew(files)
    for ledger in (trunk.ledger, anew):
        ledger.read(changes)
    for ledger in (trunk.ledger, anew, stranger):
        assert ledger.state.seal == sides[1].ledger.state.seal


def test_FORK_two_signatures_count_wherever_a_third_record_lies() -> None:
    """The lowest of three is signed by what follows it alone; the other two are two histories all the same."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    one, other = two_histories(trunk)

    def without(number: int) -> bytes:
        return elm.draft("event.publish", {"topic": "t", "type": "x", "payload": number}).line

    covered = read_record(forged(one.line, without, below=one.id))
    elm.seq, elm.prev = covered.seq, covered.id
    trunk.seal(covered, say(elm))
    for record in (one, other):
        trunk.push([record])
    anew, _ = trunk.read_anew()
    for ledger in (trunk.ledger, anew):
        assert ledger.proofs() == {elm.log: (one, other)}


def test_RENDER_mending_keeps_what_a_proof_cites() -> None:
    trunk = Trunk.founded()
    trunk.admit("elm")
    low, sealed, cited = two_histories(trunk, 3)
    trunk.seal(sealed)
    trunk.ledger.offer([sealed, cited])
    record = say(trunk.oak)
    trunk.push([record, cited], [citing(trunk, record)])
    trunk.push([low])
    epoch = trunk.ledger.state.epoch
    (path,) = (path for path in trunk.files if "/elm-" in path)
    torn, _ = trunk.read_anew({**trunk.files, path: trunk.files[path] + b"garbage"})
    mended = torn.mends[path]
    assert mended is not None
    again, reading = trunk.read_anew({**trunk.files, path: mended})
    assert (again.state.epoch, reading.findings) == (epoch, [])


def test_RENDER_what_a_key_signed_that_only_the_other_side_admitted_is_its_own() -> None:
    trunk = Trunk.founded()
    for name in ("elm", "ash", "fir"):
        trunk.admit(name)
    theirs = fork_of(trunk)
    for _ in range(3):
        for pen in trunk.pens.values():
            trunk.seal(say(pen))
    yew = theirs.admit("yew")
    sealed, loose = say(yew), say(yew)
    theirs.push([sealed], [read_seal(sign(theirs.seal_value(sealed, by=yew), yew.key, trunk.ledger.id))])
    theirs.push([loose])
    ledger, reading = trunk.read_anew(merged(trunk.files, theirs.files))
    assert ledger.state.seal == trunk.ledger.state.seal
    assert (reading.findings, ledger.mends) == ([], {})
    assert {record.id for record in ledger.waiting.values() if record.log == yew.log} >= {sealed.id, loose.id}
