"""Checking a whole ledger from outside: every single damage is found and named; ssh-keygen agrees (laws RENDER, SIG)."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from orxaq_mesh.inspect import Report, verify
from orxaq_mesh.ledger import Finding
from orxaq_mesh.record import epoch_place
from tests.builder import Pen, Trunk, secret

Files = dict[str, bytes]
SPINE = epoch_place(1).file


def small() -> Trunk:
    """Two nodes, four epochs, every family of records; small enough to flip each of its bytes."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    trunk.seal(elm.write("lease.acquire", lease="deploy", session="s", ttl_ms=60_000, until=99), by=elm)
    trunk.seal(elm.write("event.publish", topic="b", type="t", payload={}), trunk.oak.write("event.publish", **EVENT))
    return trunk


EVENT = {"topic": "builds", "type": "done", "payload": {"n": 1}}


def long(epochs: int = 70) -> Trunk:
    """Several segments of the spine and of a log; a rotated key; a record that waits for a seal."""
    trunk = small()
    elm = trunk.pens["elm"]
    for number in range(epochs):
        trunk.seal(elm.write("event.publish", **EVENT), by=trunk.oak if number % 2 else elm)
    rotation = elm.write("node.rotate", key=secret("elm-2").public.text)
    trunk.seal(rotation)
    twin = Pen("elm", secret("elm-2"), rotation.id)
    twin.ledger_id, twin.seen = trunk.ledger.id, elm.seen
    trunk.pens["elm-2"] = twin
    trunk.seal(twin.write("event.publish", **EVENT), by=twin)
    trunk.push([twin.write("event.publish", **EVENT)])
    return trunk


def put(folder: Path, files: Files) -> Path:
    for path, data in files.items():
        place = folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def check(folder: Path, files: Files, ledger: str | None = None) -> Report:
    return verify(None, put(folder, files), ledger=ledger)


def places(report: Report) -> set[tuple[str, int]]:
    return {(finding.file, finding.line) for finding in report.findings}


def expect(report: Report, file: str, line: int, law: str = "") -> Finding:
    """The finding that names this place (and, where given, this law)."""
    assert not report.ok
    found = [f for f in report.findings if (f.file, f.line) == (file, line) and f.law in (law or f.law)]
    assert found, report.findings
    return found[0]


@pytest.fixture
def trunk() -> Trunk:
    return small()


def changed(files: Files, path: str, change: dict[int, bytes | None]) -> Files:
    """The files with some lines of one (from 1) replaced, or taken out."""
    lines = dict(enumerate(files[path].split(b"\n")[:-1], 1)) | change
    return files | {path: b"".join(line + b"\n" for _, line in sorted(lines.items()) if line is not None)}


# What is sound.


@pytest.mark.parametrize("build", [small, long])
def test_a_sound_ledger_has_no_findings_whatever_is_asked(build: object, tmp_path: Path) -> None:
    trunk = build()  # type: ignore[operator]
    put(tmp_path, {**trunk.files, "ledger/README.md": b"hello\n", "notes.txt": b"beside it\n"})
    state = trunk.ledger.state
    for source, every in ((tmp_path, False), (tmp_path / "ledger", True)):
        report = verify(None, source, every_signature=every)
        assert report.findings == ()
        counts = (state.ledger, False, state.epoch, state.records, state.epoch, state.digest)
        assert report == Report(True, *counts, ())


def test_SIG_a_ledger_can_be_pinned_by_id_or_fingerprint(trunk: Trunk, tmp_path: Path) -> None:
    fingerprint = trunk.oak.key.public.fingerprint
    for wanted in (trunk.ledger.id, str(trunk.ledger.id)[:16], fingerprint):
        report = check(tmp_path, trunk.files, wanted)
        assert report.ok
        assert report.pinned
    for wanted in (str(trunk.ledger.id)[:15], "0" * 64, secret("elm").public.fingerprint, "\x1b[2J'", ""):
        found = expect(check(tmp_path, trunk.files, wanted), SPINE, 1, "SIG")
        assert fingerprint in found.reason
        assert found.reason.isprintable()


# Every single byte.


def _flips(data: bytes, seed: int) -> list[int]:
    return [data[seed] ^ bit for bit in (0x01, 0x20, 0x80)]


def test_RENDER_no_byte_of_a_ledger_can_be_flipped_unseen(trunk: Trunk, tmp_path: Path) -> None:
    put(tmp_path, trunk.files)
    dice = random.Random(7)
    for path, data in trunk.files.items():
        for at in range(len(data)):
            flipped = bytearray(data)
            flipped[at] ^= 1 << dice.randrange(8)
            (tmp_path / path).write_bytes(flipped)
            report = verify(None, tmp_path)
            line = data.count(b"\n", 0, at) + 1
            assert not report.ok, (path, at)
            assert (path, line) in places(report), (path, at, bytes(flipped[at - 9 : at + 9]), report.findings)
        (tmp_path / path).write_bytes(data)
    assert verify(None, tmp_path).ok
