"""One stream: its tail, its pieces and its file, wherever characters are cut."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.worker.output import CHUNK_BYTES, Output, Stream, Tail

CHARACTERS = "aü€😀"  # of one, two, three and four bytes
PARTS = st.lists(st.binary(max_size=40) | st.text(CHARACTERS, max_size=20).map(str.encode), max_size=30)


def output(folder: Path, told: list[str], limit: int = 1 << 20) -> Output:
    def tell(stream: str, text: str) -> bool:
        told.append(text)
        return True

    return Output("out", folder / "000001.out", tell, limit)


@given(PARTS, st.integers(1, 60))
def test_a_tail_is_the_end_of_the_stream_from_a_whole_character_on(parts: list[bytes], limit: int) -> None:
    tail, whole = Tail(limit), b"".join(parts)
    for part in parts:
        tail.feed(part)
    assert tail.size == len(whole)
    assert tail.truncated == (len(whole) > limit)
    ends = (
        {whole[-limit:][cut:].decode("utf-8", "replace") for cut in range(4)}
        if tail.truncated
        else {whole.decode("utf-8", "replace")}
    )
    assert tail.text() in ends


@given(st.text(CHARACTERS, max_size=200), st.integers(4, 60))
def test_a_tail_of_whole_characters_has_no_broken_one(text: str, limit: int) -> None:
    tail = Tail(limit)
    tail.feed(text.encode())
    assert text.endswith(tail.text())
    assert len(tail.text().encode()) > min(limit, len(text.encode())) - 4


@given(PARTS, st.sets(st.integers(0, 30)))
def test_the_pieces_are_the_stream_whatever_the_parts(parts: list[bytes], flushes: set[int]) -> None:
    told: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        taken = output(Path(folder), told)
        for number, part in enumerate(parts):
            taken.feed(part)
            if number in flushes:
                taken.flush()
        stream, whole = taken.end(held=False), b"".join(parts)
        kept = Path(folder, stream.file).read_bytes() if stream.file else b""
    assert "".join(told) == whole.decode("utf-8", "replace")
    assert kept == whole
    assert (stream.size, stream.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize("character", CHARACTERS)
@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("part", [7001, 65_536])
def test_no_character_is_split_over_two_pieces(tmp_path: Path, character: str, shift: int, part: int) -> None:
    told: list[str] = []
    taken, text = output(tmp_path, told), "x" * shift + character * 50_000
    for byte in range(0, len(text.encode()), part):
        taken.feed(text.encode()[byte : byte + part])
        taken.flush()
    assert taken.end(held=False).tail.endswith(character)
    assert "".join(told) == text
    assert max(len(piece.encode()) for piece in told) <= CHUNK_BYTES


def test_a_character_that_never_ends_is_told_at_the_end(tmp_path: Path) -> None:
    told: list[str] = []
    taken = output(tmp_path, told)
    taken.feed("a€".encode()[:-1])
    taken.flush()
    assert told == ["a"]
    assert taken.end(held=False).tail == "a\ufffd"
    assert told == ["a", "\ufffd"]


@given(PARTS, st.integers(0, 300))
def test_a_file_holds_no_more_than_its_cap_and_says_so(parts: list[bytes], limit: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        taken, whole = output(Path(folder), [], limit), b"".join(parts)
        for part in parts:
            taken.feed(part)
        stream = taken.end(held=False)
        kept = Path(folder, stream.file).read_bytes() if stream.file else b""
    said = f"\n[cut: the first {limit} bytes are above]\n".encode()
    assert kept == (whole if len(whole) <= limit else whole[:limit] + said)
    assert stream.cut == (len(whole) > limit)


def test_a_stream_that_cannot_be_written_or_told_is_still_hashed(tmp_path: Path) -> None:
    taken = Output("out", tmp_path / "no-folder" / "out", lambda _stream, _text: False)
    for _ in range(3):
        taken.feed(b"x" * 10_000)
    stream = taken.end(held=True)
    assert (stream.cut, stream.held, stream.size) == (True, True, 30_000)
    assert stream.sha256 == hashlib.sha256(b"x" * 30_000).hexdigest()


def test_a_silent_stream_leaves_no_file(tmp_path: Path) -> None:
    assert output(tmp_path, []).end(held=False) == Stream()
    assert list(tmp_path.iterdir()) == []
