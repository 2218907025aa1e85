"""Whether a seal stands is a question to the set alone: whoever reads along and whoever reads anew say the same (SET)."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, Seal, canonical
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
