"""Law LINE, broken in each way: lines that say something sound, in another form than the one; and what is no line at all.

Each is signed by elm over just the bytes that stand there, so that its form is all that is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable

from orxaq_mesh.record import MAX_INT, MAX_LINE_BYTES, canonical
from tests.changes.scene import SPINE, Case, Scene, file_of, line_of_size, signed_text, value_of

Reform = Callable[[bytes], bytes]


def _payload(text: bytes) -> Reform:
    """The payload is this text of JSON."""
    return lambda line: line.replace(b'"@"', text)


def _swap(old: bytes, new: bytes) -> Reform:
    def swapped(line: bytes) -> bytes:
        assert old in line, old
        return line.replace(old, new, 1)

    return swapped


def _too_long(scene: Scene) -> None:
    scene.append(file_of(scene.elm), line_of_size(scene.elm, MAX_LINE_BYTES))


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


def _case(name: str, reform: Reform) -> Case:
    """elm's next record, reformed, then signed."""

    def build(scene: Scene) -> None:
        line = canonical(value_of(scene.elm, body={"topic": "t", "type": "x", "payload": "@"}))
        scene.append(file_of(scene.elm), signed_text(reform(line), scene.elm))

    return Case(f"LINE: {name}", "LINE", build)


def _raw(name: str, line: bytes, of_spine: bool = False) -> Case:
    """These bytes behind elm's records, or behind the seals."""
    return Case(f"LINE: {name}", "LINE", lambda scene: scene.append(SPINE if of_spine else file_of(scene.elm), line))


def _envelope(name: str, **fields: object) -> Case:
    """elm's next record with other fields; None takes one away."""

    def build(scene: Scene) -> None:
        value = {key: inner for key, inner in (value_of(scene.elm) | fields).items() if inner is not None}
        line = canonical(value)
        sound = signed_text(line, scene.elm) if b',"v":' in line else line
        scene.append(file_of(scene.elm), sound)

    return Case(f"LINE: {name}", "LINE", build)


def _sealed(name: str, **fields: object) -> Case:
    """A seal of oak's over elm's next record with other fields; None takes one away."""

    def build(scene: Scene) -> None:
        record = scene.elm.write("event.publish", topic="t", type="x", payload=1)
        whole = scene.trunk.seal_value(record) | fields
        value = {key: inner for key, inner in whole.items() if inner is not None}
        scene.add(record)
        scene.append(SPINE, signed_text(canonical(value), scene.oak))

    return Case(f"LINE: a seal: {name}", "LINE", build)


def _respelt(change: Callable[[bytes], bytes], name: str) -> Case:
    """elm's next record, sound, but for the spelling of its signature."""

    def build(scene: Scene) -> None:
        line = signed_text(canonical(value_of(scene.elm)), scene.elm)
        start = line.index(b'"sig":"') + 7
        scene.append(file_of(scene.elm), line[:start] + change(line[start : start + 88]) + line[start + 88 :])

    return Case(f"LINE: {name}", "LINE", build)


_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _spare_bits(sig: bytes) -> bytes:
    last = _ALPHABET.index(sig[85:86])
    return sig[:85] + _ALPHABET[last + 1 : last + 2] + sig[86:]


def _torn(scene: Scene) -> None:
    scene.append(file_of(scene.elm), signed_text(canonical(value_of(scene.elm)), scene.elm))
    scene.files[file_of(scene.elm)] = scene.files[file_of(scene.elm)][:-1]


CASES = (
    # Numbers.
    _case("a number with a fraction", _payload(b"1.5")),
    _case("a whole number with a fraction", _payload(b"1.0")),
    _case("a number with an exponent", _payload(b"1e3")),
    _case("minus nothing", _payload(b"-0")),
    _case("a leading zero", _payload(b"07")),
    _case("2^53", _payload(str(MAX_INT + 1).encode())),
    _case("-2^53", _payload(str(-MAX_INT - 1).encode())),
    _case("thirty digits", _payload(b"9" * 30)),
    _case("NaN", _payload(b"NaN")),
    _case("Infinity", _payload(b"-Infinity")),
    _case("a float among integers", _payload(b"[1,2.5]")),
    # Strings and keys.
    _case("a lone surrogate, escaped", _payload(rb'"\ud800"')),
    _case("a lone surrogate, as it stands", _payload(b'"\xed\xa0\x80"')),
    _case("bytes that are no UTF-8", _payload(b'"\xff"')),
    _case("an overlong encoding", _payload(b'"\xc0\xaf"')),
    _case("an escape that nobody needs", _payload(rb'"\u0041"')),
    _case("an escaped slash", _payload(rb'"\/"')),
    _case("an escape in capitals", _payload(rb'"\u001F"')),
    _case("a long escape where a short one is", _payload(rb'"\u000a"')),
    _case("a control character, as it stands", _payload(b'"\x01"')),
    _case("a key that is not ASCII", _payload('{"é":1}'.encode())),
    _case("a key twice", _payload(b'{"a":1,"a":1}')),
    _case("a field of the envelope twice", _swap(b'"seq":', b'"seq":1,"seq":')),
    _case("keys out of order", _payload(b'{"b":1,"a":1}')),
    # Space and size.
    _case("a space", _swap(b'"body":', b'"body": ')),
    _case("a tab in an array", _payload(b"[1,\t2]")),
    _case("a byte order mark", lambda line: b"\xef\xbb\xbf" + line),
    _case("a space at the start", lambda line: b" " + line),
    _case("a comma too many", _payload(b"[1,]")),
    _case("17 deep", _payload(_deep(15))),
    _case("a thousand deep", _payload(_deep(1000))),
    Case("LINE: 64 KiB", "LINE", _too_long),
    _case("a carriage return at its end", lambda line: line + b"\r"),
    _raw("a megabyte", b'"' + b"x" * (1 << 20) + b'"'),
    # Things that are no objects.
    _raw("no JSON", b"elm was here"),
    _raw("a merge's marker", b"<<<<<<< HEAD"),
    _raw("an array", b"[]"),
    _raw("a string", b'"event.publish"'),
    _raw("null", b"null"),
    _raw("an empty line", b""),
    _raw("UTF-16", '{"v":1}'.encode("utf-16-le")),
    _raw("two objects", b"{}{}"),
    _raw("a NUL", b'{"v":1}\0'),
    _raw("no seal: an empty line of the spine", b"", of_spine=True),
    _raw("no seal: a record's bytes in the spine", b'{"kind":"event.publish","v":1}', of_spine=True),
    Case("LINE: no newline behind the last line", "LINE", _torn),
    # The envelope.
    _envelope("a field too many", note="hello"),
    _envelope("no version", v=None),
    _envelope("no seq", seq=None),
    _envelope("seq 0", seq=0),
    _envelope("seq true", seq=True),
    _envelope("a seq that is text", seq="8"),
    _envelope("a version 0", v=0),
    _envelope("a time of another form", at="2026-11-20T09:30:00Z"),
    _envelope("a month 13", at="2026-13-20T09:30:00.000Z"),
    _envelope("a prev in capitals", prev="A" * 64),
    _envelope("a body that is an array", body=[]),
    _envelope("a kind of another form", kind="Event.Publish"),
    _envelope("a log of another form", node="Elm-028bcf79"),
    _envelope("a seen without a seal", seen={"epoch": 1}),
    _envelope("a seen of epoch -1", seen={"epoch": -1, "seal": "0" * 64}),
    # The signature's spelling (trap C31).
    _respelt(_spare_bits, "a signature with spare bits set"),
    _respelt(lambda sig: sig[:-2], "a signature without its padding"),
    _respelt(lambda sig: sig[:-1] + b"\\u003d", "a signature whose padding is escaped"),
    _respelt(lambda sig: sig.replace(b"A", b"-"), "a signature in the alphabet of URLs"),
    _respelt(lambda _: b"", "no signature"),
    # Seals.
    _sealed("a field too many", note="hello"),
    _sealed("no digest", state=None),
    _sealed("no head", heads={}),
    _sealed("epoch 0", epoch=0),
    _sealed("a head of another form", heads={"elm-028bcf79": {"id": "0" * 64, "seq": 0}}),
    _sealed("a proof of one", proofs={"elm-028bcf79": ["0" * 64]}),
    _sealed("version 2", v=2),
)
