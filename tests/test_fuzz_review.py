"""SET, RENDER, LIVE: whatever is done to the files of a ledger, a review and a node that reads it say the same, and neither
breaks: what the one lets through the other takes in, and what the one refuses the other mends.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh import fold, kinds
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.news import MAX_TOLD
from orxaq_mesh.review import ReadDeeper, Review, review
from orxaq_mesh.store import Change
from tests.builder import Trunk, secret, sign
from tests.changes import honest, hostile_seals
from tests.changes.hostile import CASES
from tests.changes.judges import from_genesis
from tests.changes.scene import SPINE, Scene, asks, file_of, says, value_of, working_fleet
from tests.mischief import Mischief

Files = dict[str, bytes]
Deed = Callable[[Files, random.Random], None]


def reviewed(trunk: Trunk, files: Files) -> Review:
    changes = [
        Change(path, trunk.files.get(path), files.get(path))
        for path in sorted(trunk.files.keys() | files.keys())
        if trunk.files.get(path) != files.get(path)
    ]
    try:
        return review(trunk.ledger, changes)
    except ReadDeeper:
        return review(from_genesis(trunk), changes)


def followed(trunk: Trunk, files: Files) -> tuple[Ledger, Reading]:
    """A node that had read the trunk and goes on to these files; as the engine does it."""
    ledger = trunk.ledger.fork()
    paths = sorted(trunk.files.keys() | files.keys())
    news = [Change(path, trunk.files.get(path), files.get(path)) for path in paths]
    reading = ledger.read(change for change in news if change.old != change.new)
    if reading.deeper is not None:
        told, ledger = reading.findings, ledger.beneath(kinds.new_state())
        reading = ledger.read(Change(path, None, content) for path, content in sorted(files.items()))
        reading.findings.extend(told)
    return ledger, reading


def check(trunk: Trunk, files: Files) -> None:
    found = reviewed(trunk, files)
    ledger, reading = followed(trunk, files)
    held = {finding.law for finding in found.findings}
    wrong = {finding.file for finding in found.findings}
    # Of a file of which worse is known, the order of its lines may go without saying.
    assert {other.law for other in reading.findings if other.law != "RENDER" or other.file not in wrong} <= held
    if found.ok:
        assert not ledger.mends
        anew = Ledger(trunk.ledger.id)
        assert not anew.read(Change(path, None, content) for path, content in sorted(files.items())).findings
        assert fold.snapshot(anew.state) == fold.snapshot(ledger.state)
    else:
        assert found.findings
    assert all(one.said.template for one in found.sentences)
    assert {line.file for line in found.lines} <= files.keys()


# Deeds: what hands, merges and editors do to files.


def _a_file(files: Files, dice: random.Random) -> str:
    return dice.choice(sorted(files))


def drop_line(files: Files, dice: random.Random) -> None:
    path = _a_file(files, dice)
    lines = files[path].splitlines(keepends=True)
    del lines[dice.randrange(len(lines)) if lines else 0 :][:1]
    files[path] = b"".join(lines)


def double_line(files: Files, dice: random.Random) -> None:
    path = _a_file(files, dice)
    lines = files[path].splitlines(keepends=True) or [b"{}\n"]
    lines.insert(dice.randrange(len(lines) + 1), dice.choice(lines))
    files[path] = b"".join(lines)


def move_line(files: Files, dice: random.Random) -> None:
    one, other = _a_file(files, dice), _a_file(files, dice)
    lines = files[one].splitlines(keepends=True)
    if lines:
        line = lines.pop(dice.randrange(len(lines)))
        files[one] = b"".join(lines)
        files[other] += line


def flip_byte(files: Files, dice: random.Random) -> None:
    path = _a_file(files, dice)
    if files[path]:
        at = dice.randrange(len(files[path]))
        files[path] = files[path][:at] + bytes([files[path][at] ^ 1 << dice.randrange(8)]) + files[path][at + 1 :]


def put_bytes(files: Files, dice: random.Random) -> None:
    path = _a_file(files, dice)
    at = dice.randrange(len(files[path]) + 1)
    put = dice.choice((b"\n", b"<<<<<<< ours\n", b"{}\n", b"\r", b"\0", b'"sig":', b" "))
    files[path] = files[path][:at] + put + files[path][at:]


def cut_file(files: Files, dice: random.Random) -> None:
    path = _a_file(files, dice)
    files[path] = files[path][: dice.randrange(len(files[path]) + 1)]


def drop_file(files: Files, dice: random.Random) -> None:
    if len(files) > 1:
        del files[_a_file(files, dice)]


def move_file(files: Files, dice: random.Random) -> None:
    path = _a_file(files, dice)
    files[path.replace("0000000001", dice.choice(("0000000033", "0000000065", "0000000001")))] = files[path]


def shuffle(files: Files, dice: random.Random) -> None:
    path = _a_file(files, dice)
    lines = files[path].splitlines(keepends=True)
    dice.shuffle(lines)
    files[path] = b"".join(lines)


def swap_files(files: Files, dice: random.Random) -> None:
    one, other = _a_file(files, dice), _a_file(files, dice)
    files[one], files[other] = files[other], files[one]


def go_on(files: Files, dice: random.Random) -> None:
    """Somebody's sound records, sealed or not, come with it."""
    scene = Scene(working_fleet())
    records = [says(scene.elm, dice.random() < 0.5), asks(scene.ash, dice.choice(("build", "deploy")), "z")]
    chosen = records[: dice.randrange(3)]
    seals = [scene.seal(*chosen)] if chosen and dice.random() < 0.5 else []
    scene.add(*chosen, seals=seals)
    for path, content in scene.files.items():
        if path in files and content != scene.trunk.files.get(path):
            files[path] = files[path] + content.removeprefix(scene.trunk.files.get(path, b""))


DEEDS: tuple[Deed, ...] = (
    drop_line,
    double_line,
    move_line,
    flip_byte,
    put_bytes,
    cut_file,
    drop_file,
    move_file,
    shuffle,
    swap_files,
    go_on,
)


@settings(max_examples=120)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_RENDER_whatever_is_done_to_the_files_review_and_node_say_the_same(seed: int, deeds: int) -> None:
    dice, files = random.Random(seed), dict(working_fleet().files)
    for _ in range(deeds):
        dice.choice(DEEDS)(files, dice)
    check(working_fleet(), files)


STARTS = (working_fleet, hostile_seals.parted, honest.both, honest.held, honest.signed_twice)


@settings(max_examples=80)
@given(st.sampled_from(STARTS), st.integers(0, 2**32), st.integers(1, 6), st.integers(0, 2))
def test_SEAL_whatever_liars_with_keys_write_review_and_node_say_the_same(
    start: Callable[[], Trunk], seed: int, lies: int, deeds: int
) -> None:
    trunk, dice = start(), random.Random(seed)
    pens = [trunk.pens[name] for name in ("oak", "elm", "ash", "owl", "fir", "sap", "yew", "recovery")]
    files = Mischief(dict(trunk.files), pens, dice).done(lies)
    for _ in range(deeds):
        dice.choice(DEEDS)(files, dice)
    check(trunk, files)


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_SET_two_hostile_changes_at_once_are_told_as_one_change(seed: int, count: int) -> None:
    """Each on its own is refused; so is what they come to together, and by both judges for the same laws."""
    dice = random.Random(seed)
    cases = [case for case in CASES if case.start is working_fleet]
    files = dict(working_fleet().files)
    for case in dice.sample(cases, count):
        scene = case.scene()
        for path, content in scene.files.items():
            before = scene.trunk.files.get(path, b"")
            if content != before:
                files[path] = files.get(path, b"") + content.removeprefix(before)
    check(working_fleet(), files)


def many(lines: int) -> dict[str, tuple[str, bytes, str]]:
    """Files as long as a stranger may make them: (path, what is written behind it, the law that is told)."""
    elm = working_fleet().pens["elm"]
    body = {"topic": "t", "type": "x"}
    values = [value_of(elm, body={**body, "payload": n}, seq=3) for n in range(lines // 10)]
    signed = b"".join(sign(value, elm.key, elm.ledger_id) + b"\n" for value in values)
    forged = b"".join(sign(value, secret("thief"), elm.ledger_id) + b"\n" for value in values)
    bad = b"".join(b'{"n":%d}\n' % n for n in range(lines))
    return {
        "empty lines": (SPINE, b"\n" * lines * 20, "LINE"),
        "lines that are no seals": (SPINE, bad, "LINE"),
        "lines that are no records": (file_of(elm, 1), bad, "LINE"),
        "forged variants of an old seq": (file_of(elm, 1), forged, "SIG"),
        "signed variants of an old seq": (file_of(elm, 1), signed, "RENDER"),
    }


@pytest.mark.parametrize("name", many(0))
def test_LIVE_a_file_of_many_thousand_bad_lines_is_told_in_bounded_time(name: str) -> None:
    path, more, law = many(20_000)[name]
    files = dict(working_fleet().files)
    files[path] += more
    begun = time.monotonic()
    found = reviewed(working_fleet(), files)
    ledger, _ = followed(working_fleet(), files)
    assert time.monotonic() - begun < 15
    assert law in {finding.law for finding in found.findings}
    assert len(found.findings) < 2 * MAX_TOLD + 10
    assert len(ledger.mends[path] or b"") < len(files[path])
