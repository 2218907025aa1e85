"""Checking a whole ledger from outside: every single damage is found and named; ssh-keygen agrees (laws RENDER, SIG)."""

from __future__ import annotations

import base64
import os
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh.errors import MeshError
from orxaq_mesh.inspect import Report, verify
from orxaq_mesh.keys import namespace
from orxaq_mesh.ledger import Finding
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, canonical, epoch_place, log_place, parse_line, unsigned
from orxaq_mesh.schema import read_record, read_seal
from orxaq_mesh.store.objects import MAX_FILE_BYTES
from tests.builder import Pen, Trunk, secret, sign
from tests.ed25519_points import L, edge_signature, small_order_points
from tests.ed25519_points import secret as scalar_of

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


def flip(folder: Path, files: Files, path: str, at: int, bit: int) -> None:
    """Flip a bit, and hold `verify` to it: not ok, and the file and the line are named."""
    flipped = bytearray(files[path])
    flipped[at] ^= 1 << bit
    (folder / path).write_bytes(flipped)
    report = verify(None, folder)
    (folder / path).write_bytes(files[path])
    assert not report.ok, (path, at, bit)
    line = files[path].count(b"\n", 0, at) + 1
    assert (path, line) in places(report), (path, at, bit, bytes(flipped[max(0, at - 9) : at + 9]), report.findings)
    assert len(report.findings) < 24


def test_RENDER_no_byte_of_a_small_ledger_can_be_flipped_unseen(tmp_path: Path) -> None:
    trunk = Trunk.founded()
    trunk.admit("elm")
    put(tmp_path, trunk.files)
    dice = random.Random(7)
    for path, data in trunk.files.items():
        for at in range(len(data)):
            flip(tmp_path, trunk.files, path, at, dice.randrange(8))
    assert verify(None, tmp_path).ok


def test_RENDER_bytes_flipped_anywhere_in_a_longer_ledger_are_found(tmp_path: Path) -> None:
    files = put_long(tmp_path)
    dice = random.Random(8)
    for _ in range(60):
        path = dice.choice(sorted(files))
        flip(tmp_path, files, path, dice.randrange(len(files[path])), dice.randrange(8))
    assert verify(None, tmp_path).ok


def put_long(folder: Path) -> Files:
    files = long(40).files
    put(folder, files)
    return files


def test_two_damages_far_apart_are_both_named(tmp_path: Path) -> None:
    files = long(40).files
    spine = epoch_place(33).file
    elm = next(path for path in files if "/elm-" in path)
    damaged = dict(files)
    for path, line in ((elm, 3), (spine, 6)):
        lines = damaged[path].split(b"\n")
        lines[line - 1] = lines[line - 1].replace(b'"at":"2026', b'"at":"2027')
        damaged[path] = b"\n".join(lines)
    report = check(tmp_path, damaged)
    expect(report, elm, 3)
    expect(report, spine, 6, "SIG")
    assert len(report.findings) < 12


# Lines.


def log_file(trunk: Trunk, name: str = "elm", seq: int = 1) -> str:
    return log_place(trunk.pens[name].log, seq).file


def test_CHAIN_a_deleted_line_is_named(trunk: Trunk, tmp_path: Path) -> None:
    for path, count in ((log_file(trunk), 3), (log_file(trunk, "oak"), 3), (SPINE, 3)):
        for line in range(1, count):
            report = check(tmp_path, changed(trunk.files, path, {line: None}))
            assert any(finding.file == path and finding.line <= line + 1 for finding in report.findings), (
                report.findings
            )


def test_SEAL_a_tree_without_its_spine_or_without_a_log_is_not_ok(trunk: Trunk, tmp_path: Path) -> None:
    without = {path: data for path, data in trunk.files.items() if path != SPINE}
    for files, pinned in ((without, None), (without, trunk.ledger.id)):
        expect(check(tmp_path / "spine", files, pinned), SPINE, 1, "SEAL")
    gone = log_file(trunk)
    expect(
        check(tmp_path / "log", {path: data for path, data in trunk.files.items() if path != gone}), gone, 1, "CHAIN"
    )
    (tmp_path / "none" / "ledger").mkdir(parents=True)
    assert not verify(None, tmp_path / "none").ok


def test_RENDER_a_doubled_line_is_named(trunk: Trunk, tmp_path: Path) -> None:
    for path in (log_file(trunk), SPINE):
        lines = trunk.files[path].split(b"\n")[:-1]
        for number, line in enumerate(lines, 1):
            twice = b"".join(text + b"\n" for text in [*lines[:number], line, *lines[number:]])
            expect(check(tmp_path, trunk.files | {path: twice}), path, number + 1)


def test_RENDER_reordered_lines_are_named(trunk: Trunk, tmp_path: Path) -> None:
    for path in (log_file(trunk), SPINE):
        lines = trunk.files[path].split(b"\n")[:-1]
        swapped = b"".join(line + b"\n" for line in [lines[1], lines[0], *lines[2:]])
        report = check(tmp_path, trunk.files | {path: swapped})
        expect(report, path, 1)
        expect(report, path, 2)


def test_CHAIN_a_record_in_anothers_file_is_named(trunk: Trunk, tmp_path: Path) -> None:
    stranger = trunk.files[log_file(trunk, "oak")].split(b"\n")[0]
    path = log_file(trunk)
    report = check(tmp_path, trunk.files | {path: trunk.files[path] + stranger + b"\n"})
    expect(report, path, trunk.files[path].count(b"\n") + 1, "CHAIN")


def test_RENDER_exchanged_files_are_named(trunk: Trunk, tmp_path: Path) -> None:
    oak, elm = log_file(trunk, "oak"), log_file(trunk)
    for one, other in ((oak, elm), (oak, SPINE)):
        report = check(tmp_path, trunk.files | {one: trunk.files[other], other: trunk.files[one]})
        expect(report, one, 1)
        expect(report, other, 1)


def test_RENDER_truncated_files_are_named(trunk: Trunk, tmp_path: Path) -> None:
    for path, data in trunk.files.items():
        for size in (0, 1, len(data) // 2 + 9, len(data) - 1):
            report = check(tmp_path, trunk.files | {path: data[:size]})
            assert any(finding.file == path for finding in report.findings), (path, size, report.findings)


def test_RENDER_an_empty_file_is_named(trunk: Trunk, tmp_path: Path) -> None:
    """A reader that follows along sees no line in it; rendering a set never gives one."""
    for path in (log_file(trunk, seq=33), epoch_place(33).file, log_place("ash-00000000", 1).file):
        expect(check(tmp_path / path.replace("/", "."), trunk.files | {path: b""}), path, 0, "RENDER")


@pytest.mark.parametrize(
    "garbage",
    [b"\n", b"{}\n", b"x", b"\x00\xff\n", b"null\n", b"[" * 9999 + b"\n", b'{"kind":"seal"}\n', b"\xef\xbb\xbf\n"],
)
def test_LINE_added_garbage_is_named(trunk: Trunk, tmp_path: Path, garbage: bytes) -> None:
    for path, data in trunk.files.items():
        line = data.count(b"\n") + 1
        expect(check(tmp_path, trunk.files | {path: data + garbage}), path, line, "LINE")
        expect(check(tmp_path, trunk.files | {path: garbage + data}), path, 1, "LINE")


def test_LINE_carriage_returns_and_a_missing_last_newline_are_named(trunk: Trunk, tmp_path: Path) -> None:
    for path, data in trunk.files.items():
        report = check(tmp_path, trunk.files | {path: data.replace(b"\n", b"\r\n")})
        for line in range(1, data.count(b"\n") + 1):
            expect(report, path, line, "LINE")
        expect(check(tmp_path, trunk.files | {path: data[:-1]}), path, data.count(b"\n"), "LINE")


# Signatures and seals.


def resigned(line: bytes, **fields: object) -> bytes:
    return canonical({**parse_line(line), **fields})


def last_line(trunk: Trunk, path: str) -> tuple[int, bytes]:
    lines = trunk.files[path].split(b"\n")[:-1]
    return len(lines), lines[-1]


def respelled(sig: str) -> str:
    """Another base64 text of the same bytes: the bits that padding ignores are set (trap C31)."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = sig[:-3] + alphabet[alphabet.index(sig[-3]) | 1] + "=="
    assert base64.b64decode(other) == base64.b64decode(sig)
    return other


def forge(line: bytes, ledger: str, how: str) -> bytes:
    """The line with a signature that must not be accepted."""
    value = parse_line(line)
    message, seed = unsigned(value), b"\x07" * 32
    match how:
        case "another's key":
            return sign(value, secret("mallory"), ledger)
        case "another ledger":
            return sign(value, secret("oak" if value["node"].startswith("oak") else "elm"), "0" * 64)
        case "a second spelling":
            return canonical({**value, "sig": respelled(value["sig"])})
        case _:
            import hashlib

            name = value["node"].rpartition("-")[0]
            scalar, _ = scalar_of(hashlib.sha256(name.encode()).digest())
            data = sshsig(message, namespace(ledger))
            key = secret(name).public.raw
            more = L if how == "s beyond the order" else 0
            torsion = small_order_points()[1] if how == "r of mixed order" else small_order_points()[0]
            raw = edge_signature(scalar, key, data, nonce=int.from_bytes(seed, "big"), torsion=torsion, more=more)
            return canonical({**value, "sig": base64.b64encode(raw).decode()})


def sshsig(message: bytes, space: str) -> bytes:
    import hashlib

    fields = (space.encode(), b"", b"sha512", hashlib.sha512(message).digest())
    return b"SSHSIG" + b"".join(len(field).to_bytes(4, "big") + field for field in fields)


FORGERIES = ["another's key", "another ledger", "a second spelling", "s beyond the order", "r of mixed order"]


@pytest.mark.parametrize("how", FORGERIES)
def test_SIG_a_forged_signature_is_named_in_records_and_seals(trunk: Trunk, tmp_path: Path, how: str) -> None:
    record = trunk.pens["elm"].draft("event.publish", EVENT)
    good = put(tmp_path / "good", trunk.files | render(trunk.files.get, [record]))
    assert verify(None, good).ok
    ledger = str(trunk.ledger.id)
    path, law = log_file(trunk), "LINE" if how == "a second spelling" else "SIG"
    forged = trunk.files[path] + forge(record.line, ledger, how) + b"\n"
    expect(check(tmp_path / "record", trunk.files | {path: forged}), path, 4, law)
    number, seal = last_line(trunk, SPINE)
    expect(
        check(tmp_path / "seal", changed(trunk.files, SPINE, {number: forge(seal, ledger, how)})), SPINE, number, law
    )


def test_SIG_the_edge_signature_of_this_test_is_good_where_nothing_is_bent(trunk: Trunk, tmp_path: Path) -> None:
    record = trunk.pens["elm"].draft("event.publish", EVENT)
    plain = read_record(forge(record.line, str(trunk.ledger.id), "nothing bent"))
    assert check(tmp_path, trunk.files | render(trunk.files.get, [plain])).ok


def sealed_by(trunk: Trunk, pen: Pen, *records: Record, **override: object) -> Files:
    """The files after a seal that this pen signed, whether it stands or not."""
    line = sign(trunk.seal_value(*records, by=pen, **override), pen.key, trunk.ledger.id)
    return trunk.files | render(trunk.files.get, records, [read_seal(line)])


def test_SEAL_a_seal_by_an_observer_a_stranger_or_of_nothing_new_does_not_stand(trunk: Trunk, tmp_path: Path) -> None:
    eye, stranger = trunk.admit("eye", "observer"), trunk.pen("mallory")
    number = trunk.ledger.state.epoch + 1
    event = trunk.oak.write("event.publish", **EVENT)
    for name, pen in (("eye", eye), ("stranger", stranger)):
        report = check(tmp_path / name, sealed_by(trunk, pen, event))
        assert expect(report, SPINE, number).law in ("SEAL", "SIG")
        assert report.epoch == number - 1
    assert check(tmp_path / "oak", sealed_by(trunk, trunk.oak, event)).ok


def test_C32_a_head_that_names_a_record_nobody_has_is_named(trunk: Trunk, tmp_path: Path) -> None:
    event = trunk.oak.write("event.publish", **EVENT)
    heads = {trunk.oak.log: {"id": "ab" * 32, "seq": event.seq + 1}}
    report = check(tmp_path, sealed_by(trunk, trunk.oak, event, heads=heads))
    expect(report, log_file(trunk, "oak"), event.seq + 1, "CHAIN")
    assert report.epoch == trunk.ledger.state.epoch


def test_DIGEST_every_wrong_claim_is_named_and_those_after_it_are_judged_on(trunk: Trunk, tmp_path: Path) -> None:
    files, right = trunk.files, trunk.ledger.state.epoch
    wrong = []
    for claim in ("11" * 32, None, "22" * 32, None):
        event = trunk.oak.write("event.publish", **EVENT)
        override = {"state": claim} if claim else {}
        line = sign(trunk.seal_value(event, **override), trunk.oak.key, trunk.ledger.id)
        trunk.push([event], [read_seal(line)])
        right += 1
        wrong += [right] if claim else []
    report = check(tmp_path, files)
    assert {(f.law, f.file, f.line) for f in report.findings} == {("DIGEST", SPINE, epoch) for epoch in wrong}
    assert (report.epoch, report.state) == (right, trunk.ledger.state.digest)


def test_SIG_a_record_of_an_unknown_key_is_named(trunk: Trunk, tmp_path: Path) -> None:
    mallory = trunk.pen("mallory")
    event = mallory.draft("event.publish", EVENT)
    expect(check(tmp_path, trunk.files | render(trunk.files.get, [event])), log_place(mallory.log, 1).file, 1)


def test_SIG_another_ledgers_lines_are_not_this_ones(trunk: Trunk, tmp_path: Path) -> None:
    other = Trunk()
    oak = other.pens["oak"] = Pen("oak")
    found = oak.write("node.found", name="oak", key=oak.key.public.text, recovery=secret("spare").public.text)
    other.ledger.id = oak.ledger_id = found.id
    other.seal(found, by=oak)
    other.seal(oak.write("event.publish", **EVENT))
    assert check(tmp_path / "other", other.files).ok
    path = log_file(trunk, "oak")
    mixed = trunk.files | {path: trunk.files[path].split(b"\n")[0] + b"\n" + other.files[path].split(b"\n", 1)[1]}
    expect(check(tmp_path / "mixed", mixed), path, 2)


def test_SIG_a_signature_that_the_chain_covers_is_checked_where_each_is_asked_for(trunk: Trunk, tmp_path: Path) -> None:
    elm = trunk.pens["elm"]
    bad = elm.draft("event.publish", EVENT)
    bad = read_record(sign({**parse_line(bad.line)}, secret("mallory"), trunk.ledger.id))
    elm.seq, elm.prev = bad.seq, bad.id
    files = sealed_by(trunk, elm, bad, elm.write("event.publish", **EVENT))
    put(tmp_path, files)
    assert verify(None, tmp_path).ok
    expect(verify(None, tmp_path, every_signature=True), log_file(trunk), bad.seq, "SIG")


# What lies in a directory.


@pytest.mark.parametrize(
    "path",
    [
        "ledger/notes.txt",
        "ledger/nodes/README.md",
        "ledger/readme.md",
        "ledger/.hidden",
        "ledger/nodes/oak/000000/0000000001.ndjson",
        "ledger/nodes/oak-00000000/000000/0000000002.ndjson",
        "ledger/nodes/OAK-00000000/000000/0000000001.ndjson",
        "ledger/epochs/000001/0000000001.ndjson",
        "ledger/epochs/000000/0000000001.ndjson~",
        "ledger/epochs/0000000001.ndjson",
        "ledger/ledger/epochs/000000/0000000001.ndjson",
        "ledger/no\x1b[2Jtes",
    ],
)
def test_RENDER_what_has_no_place_in_a_ledger_is_named(trunk: Trunk, tmp_path: Path, path: str) -> None:
    report = check(tmp_path, trunk.files | {path: b"x\n"})
    assert not report.ok
    (found,) = report.findings
    assert found.law in ("RENDER", "QUIET")
    assert f"{path}/".startswith(found.file) or "\\x1b" in found.file
    assert str(found).isprintable()


def test_B4_links_devices_and_large_files_are_named_and_never_read(trunk: Trunk, tmp_path: Path) -> None:
    put(tmp_path, trunk.files)
    outside = tmp_path / "outside"
    (tmp_path / "ledger").rename(outside)
    for name in ("link to a folder", "link to a file", "fifo", "large"):
        root = tmp_path / name
        put(root, trunk.files)
        spine = root / SPINE
        if name == "link to a folder":
            (root / "ledger/nodes").rename(root / "elsewhere")
            (root / "ledger/nodes").symlink_to(root / "elsewhere")
        else:
            spine.unlink()
        if name == "link to a file":
            spine.symlink_to(outside / SPINE.removeprefix("ledger/"))
        elif name == "fifo":
            os.mkfifo(spine)
        elif name == "large":
            with spine.open("wb") as file:
                file.truncate(MAX_FILE_BYTES + 1)
        report = verify(None, root)
        named = "ledger/nodes" if name == "link to a folder" else SPINE
        assert any(finding.file == named and finding.line == 0 for finding in report.findings), (name, report.findings)


def test_an_unreadable_file_is_a_finding(trunk: Trunk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, trunk.files)
    real = os.open

    def refuse(path: str | Path, *rest: int, **more: int) -> int:
        if str(path).endswith(SPINE):
            raise PermissionError(13, "Permission denied")
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    assert "Permission denied" in expect(verify(None, tmp_path), SPINE, 0).reason


def test_a_place_without_a_ledger_is_an_error_and_no_report(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "nowhere", None):
        with pytest.raises(MeshError):
            verify(None, source)


@settings(max_examples=60)
@given(data=st.data())
def test_hostile_bytes_give_findings_and_never_a_traceback(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    files = dict(SMALL.files)
    path = data.draw(st.sampled_from(sorted(files)))
    lines = files[path].split(b"\n")[:-1]
    at = data.draw(st.integers(0, len(lines) - 1))
    value = parse_line(lines[at])
    field = data.draw(st.sampled_from(sorted(value)))
    json = st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    )
    changed_value = data.draw(json | st.sampled_from([value[other] for other in sorted(value)]))
    line = canonical({**value, field: changed_value})
    if data.draw(st.booleans()):
        line = sign(parse_line_or(value, line), secret("oak"), SMALL.ledger.id)
    lines[at] = line
    report = check(folder, files | {path: b"".join(text + b"\n" for text in lines)})
    assert report.ok == (lines[at] == SMALL.files[path].split(b"\n")[at])
    assert all(str(finding).isprintable() for finding in report.findings)


def parse_line_or(value: dict[str, object], line: bytes) -> dict[str, object]:
    try:
        return parse_line(line)
    except ValueError:
        return value


SMALL = small()
