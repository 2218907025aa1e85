"""Law LINE: one byte form. Our restricted form against RFC 8785, and every line that is no line refused."""

from __future__ import annotations

import copy
import json
import tracemalloc
from pathlib import Path
from typing import Any

import orjson
import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from orxaq_mesh import record
from orxaq_mesh.record import MAX_DEPTH, MAX_INT, MAX_LINE_BYTES, BadLine, canonical, parse_line, type_flaw

VECTORS = json.loads((Path(__file__).parent / "vectors" / "lines.json").read_text("ascii"))

ints = st.integers(-MAX_INT, MAX_INT) | st.sampled_from([MAX_INT, -MAX_INT, 10**15, 10**15 - 1, 0, -1])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = st.text(st.characters(max_codepoint=127), max_size=6)
scalars = st.none() | st.booleans() | ints | texts


def nested(leaves: st.SearchStrategy[Any], names: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4))


allowed = st.dictionaries(keys, nested(scalars, keys), max_size=4)
hostile_leaves = scalars | st.floats() | st.integers() | st.integers(-(2**63), 2**64 - 1)
hostile = st.dictionaries(texts, nested(hostile_leaves, texts), max_size=4)


def line_of(vector: dict[str, str]) -> bytes:
    return bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode()


def refusal(line: bytes) -> str:
    with pytest.raises(BadLine) as caught:
        parse_line(line)
    assert caught.value.law == "LINE"
    reason = caught.value.reason
    assert reason.isprintable()
    assert reason.isascii()
    assert len(reason) < 1000
    return reason


def deep(levels: int, shape: str = "[") -> bytes:
    """An object that is `levels` deep, itself counted."""
    opening, closing = (b"[", b"]") if shape == "[" else (b'{"a":', b"}")
    core = b"0" if shape == "{" else b""
    return b'{"a":' + opening * (levels - 1) + core + closing * (levels - 1) + b"}"


@given(allowed)
@example({"\x7f": "\x7f", "A": "\u2028\u2029", "a": "\x00\x0b\x1f\b\t\n\f\r", "~": "\U0001f600\uffff"})
@example({"a": [MAX_INT, -MAX_INT, 10**15, 0]})
def test_LINE_is_rfc8785_for_every_allowed_value(value: dict[str, Any]) -> None:
    line = canonical(value)
    assert line == rfc8785.dumps(value)
    if type_flaw(value) is None:
        assert parse_line(line) == value


@given(hostile)
@example({"a": 2**53})
@example({"a": [-(2**53)]})
@example({"a": 1e300})
@example({"a": {"b": [1, -0.0]}})
@example({"a": 1e-7})
@example({"a": 123456789012345680000.0})
@example({"\u00e9": 1})
def test_LINE_the_quick_look_never_accepts_what_the_walk_refuses(value: dict[str, Any]) -> None:
    try:
        line = canonical(value)
    except TypeError:
        return  # beyond 64 bits: no line of it exists
    parsed = orjson.loads(line)
    if record._plainly_allowed(line):
        assert type_flaw(parsed) is None
    if type_flaw(parsed) is None and canonical(parsed) == line:
        assert parse_line(line) == parsed
    else:
        refusal(line)


@given(st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 3))
def test_LINE_no_number_beyond_the_law_passes_wherever_it_stands(number: float, place: int) -> None:
    value: dict[str, Any] = [{"a": number}, {"a": [number]}, {"a": ["x", number, 1]}, {"a": {"b": number, "c": 1}}][
        place
    ]
    good = type(number) is int and abs(number) <= MAX_INT
    line = canonical(value)
    if good:
        assert parse_line(line) == value
    else:
        refusal(line)


@pytest.mark.parametrize("vector", VECTORS["accepted"], ids=lambda vector: vector["name"])
def test_LINE_accepts_the_canonical_form(vector: dict[str, str]) -> None:
    line = line_of(vector)
    assert canonical(parse_line(line)) == line
    assert rfc8785.dumps(json.loads(line)) == line


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
def test_B1_refuses_every_other_form(vector: dict[str, str]) -> None:
    refusal(line_of(vector))


def test_B1_every_byte_of_a_line_matters() -> None:
    line = b'{"a":[1,-2,true,null,"x\\n\xc3\xa9"],"b":{"c":"d"}}'
    value = parse_line(line)
    for at in range(len(line)):
        refusal_or_other(line[:at] + line[at + 1 :], value)
        for byte in (0x00, 0x20, 0x22, 0x2C, 0x5C, 0x7B, 0x80, 0xFF, line[at] ^ 0x20, line[at] ^ 1):
            if byte != line[at]:
                refusal_or_other(line[:at] + bytes([byte]) + line[at + 1 :], value)


def refusal_or_other(line: bytes, value: dict[str, Any]) -> None:
    try:
        found = parse_line(line)
    except BadLine:
        return
    assert found != value
    assert canonical(found) == line


@pytest.mark.parametrize(
    "mark", ["\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\x1c", "\x1d", "\x1e", "\r", "\n", "\r\n"]
)
def test_B2_only_a_newline_ends_a_line(mark: str) -> None:
    values = [{"a": f"x{mark}y"}, {f"k{mark.encode('ascii', 'ignore').decode()}": 1}]
    segment = b"".join(canonical(value) + b"\n" for value in values)
    assert len(segment.decode().splitlines()) >= 2
    assert [parse_line(line) for line in segment.split(b"\n")[:-1]] == values
    assert segment.split(b"\n")[-1] == b""


@given(st.lists(allowed, max_size=4))
def test_B2_a_segment_splits_into_the_lines_that_made_it(values: list[dict[str, Any]]) -> None:
    lines = [canonical(value) for value in values]
    assert b"".join(line + b"\n" for line in lines).split(b"\n") == [*lines, b""]
    assert not any(byte < 0x20 for line in lines for byte in line)


def test_LINE_size_is_asked_before_parsing(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = canonical({"a": "x" * (MAX_LINE_BYTES - 1 - len('{"a":""}'))})
    assert len(longest + b"\n") == MAX_LINE_BYTES
    parse_line(longest)

    def never(line: bytes) -> Any:
        raise AssertionError("parsed a line that is too long")

    monkeypatch.setattr(record.orjson, "loads", never)
    assert "65536 bytes" in refusal(longest[:-2] + b'x"}')
    refusal(b"[" * 10**7)


@pytest.mark.parametrize("shape", ["[", "{"])
def test_LINE_depth_is_at_most_16(shape: str) -> None:
    levels = MAX_DEPTH if shape == "[" else MAX_DEPTH - 1
    parse_line(deep(levels, shape))
    for levels in (MAX_DEPTH + 1, 64, 250, 260, 1000, 1030, 5000):
        refusal(deep(levels, shape))
    assert "deep" in refusal(deep(MAX_DEPTH + 1, shape))


@pytest.mark.parametrize("bomb", [b"[" * 100_000, b'{"a":' * 100_000, b"[{" * 50_000, b'[{"":' * 20_000])
@pytest.mark.parametrize("size", [100_000, MAX_LINE_BYTES - 1])
def test_LINE_a_depth_bomb_is_a_refusal_and_costs_little(bomb: bytes, size: int) -> None:
    tracemalloc.start()
    refusal(bomb[:size])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"body": {"payload": {"x": [1, {"y": 0.5}]}}}, "body.payload.x[1].y: a number with a fraction"),
        ({"a": 2**53}, "a: integer beyond"),
        ({"a": [0, 1e10]}, "a[1]: a number with a fraction"),
        ({"a": {"\u00e9": 1}}, "a: a key that is not ASCII"),
        ({"a": {1: 1}}, "a: a key that is not ASCII"),
        ({"a": b"x"}, "a: bytes is not a JSON type"),
        ({"a": (1, 2)}, "a: tuple is not a JSON type"),
        ({"\x1b[31m": 1.5}, "\\x1b[31m: a number with a fraction"),
        ({"k" * 60_000: 1.5}, "k" * 40 + ": a number"),
        (1.0, ".: a number with a fraction"),
        (float("nan"), ".: a number with a fraction"),
    ],
)
def test_LINE_names_the_path_of_a_forbidden_value(value: Any, where: str) -> None:
    flaw = type_flaw(value)
    assert flaw is not None
    assert flaw.startswith(where)
    assert flaw.isprintable()


def test_LINE_takes_exact_types_only() -> None:
    class Whole(int):
        pass

    class Text(str):
        __slots__ = ()

    assert type_flaw({"a": Whole(1)}) == "a: Whole is not a JSON type"
    assert type_flaw({"a": Text("x")}) == "a: Text is not a JSON type"
    assert type_flaw({"a": True, "b": 0, "c": None, "d": [], "e": {}}) is None


def test_LINE_an_id_is_the_sha256_of_the_line_without_its_newline() -> None:
    assert record.line_id(b"{}") == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


def test_SIG_covers_the_line_without_sig_and_leaves_the_value_alone() -> None:
    value = {"b": 1, "a": {"sig": "inner"}, "sig": "outer"}
    before = copy.deepcopy(value)
    assert record.unsigned(value) == b'{"a":{"sig":"inner"},"b":1}'
    assert value == before


@pytest.mark.parametrize("number", [1, 2, 32, 33, 64, 4096, 4097, 8192, 100_000, 4_096_000_000])
def test_RENDER_every_number_has_one_place_and_its_path_is_read_back(number: int) -> None:
    for log, place in ((None, record.epoch_place(number)), ("oak-3f9a01c2", record.log_place("oak-3f9a01c2", number))):
        first = number - place.line + 1
        assert 1 <= place.line <= record.SEGMENT_LINES
        assert first % record.SEGMENT_LINES == 1
        assert record.parse_path(place.file) == (log, first)


def test_RENDER_folders_hold_at_most_128_segments() -> None:
    folders: dict[str, set[str]] = {}
    for number in range(1, 3 * 32 * 128, 32):
        folder, _, name = record.log_place("oak-3f9a01c2", number).file.rpartition("/")
        folders.setdefault(folder, set()).add(name)
    assert [len(names) for names in folders.values()] == [128, 128, 128]


@pytest.mark.parametrize(
    "path",
    [
        "ledger/epochs/000000/0000000002.ndjson",
        "ledger/epochs/000001/0000000001.ndjson",
        "ledger/epochs/000000/0000000000.ndjson",
        "ledger/epochs/000000/0000000001.ndjson\n",
        "ledger/epochs/000000/1.ndjson",
        "ledger/epochs/000000/0000000001.NDJSON",
        "ledger/epochs/00000\u0660/0000000001.ndjson",
        "ledger/nodes/000000/0000000001.ndjson",
        "ledger/nodes/Oak-3f9a01c2/000000/0000000001.ndjson",
        "ledger/nodes/../epochs/000000/0000000001.ndjson",
        "ledger/nodes/oak/x/000000/0000000001.ndjson",
        "/ledger/epochs/000000/0000000001.ndjson",
        "Ledger/epochs/000000/0000000001.ndjson",
        "",
    ],
)
def test_B4_a_path_that_is_not_ours_is_none(path: str) -> None:
    assert record.parse_path(path) is None


@given(st.text(max_size=60) | st.from_regex(r"ledger/(epochs|nodes/[a-z0-9._-]{1,9})/[0-9]{6}/[0-9]{10}\.ndjson"))
def test_B4_only_rendered_paths_are_read(path: str) -> None:
    found = record.parse_path(path)
    if found:
        log, first = found
        assert (record.log_place(log, first) if log else record.epoch_place(first)) == (path, 1)
