"""LIVE, B6, B7: whatever bytes a stranger sends, each parser answers or refuses; never by a traceback, and in bounded time and
memory. Lines, trees, commits, walks of trees, patches, exports, git bundles, what git tells a hub's hook.
"""

from __future__ import annotations

import subprocess
import time
import tracemalloc
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from orxaq_mesh import carry
from orxaq_mesh.errors import InvalidLedger, MeshError, MeshFault, Usage
from orxaq_mesh.hub.receiving import parse, words
from orxaq_mesh.inspect.patch import read_patch
from orxaq_mesh.inspect.sources import taken
from orxaq_mesh.record import MAX_LINE_BYTES, BadLine, canonical, parse_path
from orxaq_mesh.schema import read_line, read_record, read_seal
from orxaq_mesh.store import Change
from orxaq_mesh.store.objects import (
    FILE,
    FOLDER,
    Entry,
    Tree,
    Unreadable,
    differences,
    format_tree,
    parse_commit,
    parse_tree,
)
from tests.changes.objects import Objects
from tests.changes.scene import working_fleet

LIMIT_S, LIMIT_BYTES = 5.0, 64 * 1024 * 1024
"""Far beyond what any of these takes; what is quadratic in its input is beyond them, or the tests would be."""


def outcome(ask: Callable[[], Any], *errors: type[Exception]) -> Any:
    """What it answers, or which of these errors it answers with."""
    try:
        return ask()
    except errors as error:
        return error


def bounded(ask: Callable[[], Any]) -> Any:
    """What it answers, if that took neither long nor much memory."""
    tracemalloc.start()
    begun = time.monotonic()
    try:
        return ask()
    finally:
        spent, (_, peak) = time.monotonic() - begun, tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert spent < LIMIT_S
        assert peak < LIMIT_BYTES


@cache
def lines() -> list[bytes]:
    return [line for content in working_fleet().files.values() for line in content.split(b"\n")[:-1]]


@st.composite
def damaged(draw: st.DrawFn, sound: st.SearchStrategy[bytes]) -> bytes:
    """Sound bytes, a few times cut, doubled, flipped, or with something put in."""
    data = draw(sound)
    for _ in range(draw(st.integers(1, 4))):
        at, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
        put = draw(st.one_of(st.binary(max_size=12), st.sampled_from(SPECIAL), st.just(data[at:end])))
        data = draw(
            st.sampled_from((data[:at] + put + data[at:], data[:at] + put + data[end:], data[:at] + data[end:]))
        )
    return data


SPECIAL = (
    b"{",
    b"}",
    b"[" * 40,
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"1e999",
    b"-0",
    b"\xff",
    b"\n",
    b"\0",
    b"9" * 400,
    b":",
    b",",
)

# Lines.


def is_read_or_bad(line: bytes) -> None:
    for read in (read_line, read_record, read_seal):
        item = outcome(lambda read=read: read(line), BadLine)
        if isinstance(item, BadLine):
            assert item.law == "LINE"
            assert item.reason.isprintable()
        else:
            assert item.line == line


@given(st.one_of(st.binary(max_size=200), damaged(st.deferred(lambda: st.sampled_from(lines())))))
def test_LINE_any_bytes_are_a_line_or_a_bad_one(line: bytes) -> None:
    is_read_or_bad(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(st.data())
def test_LINE_a_sound_record_with_another_value_anywhere_is_read_or_bad(data: st.DataObject) -> None:
    import orjson

    value = orjson.loads(data.draw(st.sampled_from(lines())))
    at: Any = value
    while True:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not at[key] or not isinstance(at[key], (dict, list)) or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(JSON)
    try:
        line = canonical(value)
    except TypeError:
        assume(False)
    is_read_or_bad(line)


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 65_000,
        b'{"a":' * 13_000,
        b'{"body":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        b'{"a":' + b"9" * 65_000 + b"}",
        b'{"a":-' + b"9" * 4_000 + b"}",
        b'{"a":"' + b"\\u0041" * 10_000 + b'"}',
        b"{" + b",".join(b'"%d":0' % n for n in range(7_000)) + b"}",
        b'{"a":"' + "\u202e".encode() * 20_000 + b'"}',
        b"\0" * 65_000,
        b"{}" * 32_000,
        b"x" * (1 << 24),
    ],
    ids=lambda line: f"{line[:12]!r} and so on: {len(line)} bytes",
)
def test_LIVE_no_line_takes_long_or_much(line: bytes) -> None:
    bounded(lambda: is_read_or_bad(line))


@pytest.mark.parametrize("kind", ["lease.acquire", "dag.submit", "event.publish", "reactor.publish", "seal"])
def test_LIVE_a_record_as_full_as_can_be_takes_not_long(kind: str) -> None:
    """Its body fits no schema in ten thousand places; only the first is looked for."""
    import orjson

    line = next(line for line in lines() if b'"kind":"event.publish"' in line)
    value = orjson.loads(line) | {"kind": kind}
    value["body"] = {"tasks": [{"name": 1, "x": []}] * 2000, "rules": [{"on": 1}] * 2000, "payload": [[]] * 5000}
    bounded(lambda: is_read_or_bad(canonical(value)))


def test_LIVE_a_flaw_behind_a_thousand_sound_parts_is_told_in_no_time() -> None:
    import orjson

    line = next(line for line in lines() if b'"kind":"dag.submit"' in line)
    value = orjson.loads(line)
    value["body"]["tasks"] = [{"name": f"t{n}", "commands": [{"name": "a", "run": ["b"] * 9}]} for n in range(600)] + [
        {}
    ]

    begun = time.monotonic()
    flaws = [read_record(canonical({**value, "seq": seq})).flaw for seq in range(1, 61)]
    assert time.monotonic() - begun < LIMIT_S
    assert set(flaws) == {"body.tasks.600: 'name' is a required property"}


# Paths.


@given(
    st.text(max_size=80)
    | damaged(st.just(b"ledger/nodes/oak-3f9a01c2/000000/0000000033.ndjson")).map(
        lambda raw: raw.decode("utf-8", "backslashreplace")
    )
)
def test_RENDER_any_text_is_a_segments_path_or_none(path: str) -> None:
    found = parse_path(path)
    assert found is None or (path.isascii() and path.startswith("ledger/") and found[1] >= 1)


# Trees and commits.

NAMES = st.one_of(
    st.sampled_from(
        [b"ledger", b"epochs", b"nodes", b"000000", b"0000000001.ndjson", b"oak-3f9a01c2", b".git", b"..", b"A"]
    ),
    st.binary(min_size=1, max_size=6),
)
MODES = st.sampled_from([FOLDER, FILE, b"120000", b"160000", b"100755", b"040000", b"0"])
ENTRIES = st.lists(st.tuples(MODES, NAMES, st.binary(min_size=20, max_size=20)), max_size=5)


def raw_tree(entries: list[tuple[bytes, bytes, bytes]]) -> bytes:
    return b"".join(b"%s %s\0%s" % entry for entry in entries)


@given(st.one_of(st.binary(max_size=120), damaged(ENTRIES.map(raw_tree)), ENTRIES.map(raw_tree)))
def test_B7_any_bytes_are_a_tree_that_git_would_have_written_or_unreadable(raw: bytes) -> None:
    try:
        tree = parse_tree(raw, 20)
    except Unreadable:
        return
    assert format_tree(tree) == raw


@given(
    st.one_of(
        st.binary(max_size=120), damaged(st.just(b"tree " + b"a" * 40 + b"\nparent " + b"b" * 40 + b"\nauthor x\n\nm"))
    )
)
def test_B7_any_bytes_are_a_commit_or_unreadable(raw: bytes) -> None:
    try:
        tree, parents = parse_commit(raw)
    except Unreadable:
        return
    assert all(word.isalnum() for word in (tree, *parents))


class Heap:
    """Objects that refer to each other at random, circles included: no git would let them be, a parser must."""

    def __init__(self, trees: list[Tree], blobs: list[bytes]) -> None:
        self._trees, self._blobs = trees, blobs
        self.read = 0

    def tree(self, oid: str) -> Tree:
        self.read += 1
        if not self._trees or int(oid[:2], 16) % 7 == 0:
            raise Unreadable("lost")
        return self._trees[int(oid[2:4], 16) % len(self._trees)]

    def blob(self, oid: str) -> bytes:
        self.read += 1
        if not self._blobs or int(oid[:2], 16) % 7 == 0:
            raise Unreadable("lost")
        return self._blobs[int(oid[2:4], 16) % len(self._blobs)]


TREES = st.dictionaries(NAMES, st.builds(Entry, MODES, st.binary(min_size=20, max_size=20).map(bytes.hex)), max_size=4)


@given(st.lists(TREES, max_size=5), st.lists(st.binary(max_size=9), max_size=2), TREES, TREES)
def test_B6_any_two_trees_are_walked_to_an_end(trees: list[Tree], blobs: list[bytes], old: Tree, new: Tree) -> None:
    heap = Heap(trees, blobs)
    for item in differences(heap, old, new, "ledger"):
        path = item.path if isinstance(item, Change) else item.file
        assert path.startswith("ledger")
        assert isinstance(item, Change) or item.law in ("QUIET", "RENDER")
    assert heap.read <= 400


@settings(max_examples=15)
@given(entries=ENTRIES)
def test_B7_what_we_take_for_a_tree_git_takes_for_one_too(
    entries: list[tuple[bytes, bytes, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = raw_tree(entries)
    try:
        parse_tree(raw, 20)
    except Unreadable:
        return
    objects = repository(tmp_path_factory)
    oid = objects.put(b"tree", raw)
    git = ["git", "--git-dir", str(objects.path), "ls-tree", "-z", oid]
    done = subprocess.run(git, capture_output=True, check=False)
    assert (done.returncode, done.stdout.count(b"\0")) == (0, len(entries))


_made: list[Objects] = []


def repository(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    if not _made:
        _made.append(Objects(tmp_path_factory.mktemp("trees") / "trees.git"))
    return _made[0]


# Patches.


@cache
def a_patch() -> bytes:
    """elm's log grows by a line, and a file comes to be; as git writes it."""
    path = next(path for path in working_fleet().files if "/elm-" in path)
    text = working_fleet().files[path]
    count, last = text.count(b"\n"), text.split(b"\n")[-2]
    head = f"diff --git a/{path} b/{path}\nindex 1111111..2222222 100644\n--- a/{path}\n+++ b/{path}\n".encode()
    new = path.replace("0000000001", "0000000033")
    more = (
        f"diff --git a/{new} b/{new}\nnew file mode 100644\n--- /dev/null\n+++ b/{new}\n@@ -0,0 +1 @@\n+{{}}\n".encode()
    )
    return head + b"@@ -%d +%d,2 @@\n %s\n+{}\n" % (count, count, last) + more


@given(damaged(st.deferred(lambda: st.just(a_patch()))))
def test_B6_any_patch_is_a_change_or_findings_or_a_wrong_call(data: bytes) -> None:
    files = working_fleet().files
    try:
        found = read_patch(data, files.get)
    except Usage:
        return
    for change in found.changes:
        assert parse_path(change.path)
        assert change.old == files.get(change.path) != change.new
    assert found.changes or found.findings
    assert all(finding.reason.isprintable() and finding.file.isprintable() for finding in found.findings)


PATH = "ledger/nodes/oak-3f9a01c2/000000/0000000001.ndjson"
HEADER = f"diff --git a/{PATH} b/{PATH}\n".encode()


@pytest.mark.parametrize(
    "data",
    [
        HEADER * 20_000,
        HEADER + b"@@ -1 +1 @@\n" * 50_000,
        HEADER + b"@@ -1,999999999 +1,999999999 @@\n" + b" \n" * 200_000,
        HEADER + b"@@ -0,0 +1,300000 @@\n" + b"+{}\n" * 300_000,
        HEADER + b"-" * 1_000_000,
        b"diff --git " + b"a/" * 200_000 + b"\n",
        b"--- a\n+++ b\n" * 30_000,
        b"\n" * 1_000_000,
        b"From x\n" * 100_000,
    ],
    ids=lambda data: f"{data[:20]!r} and so on: {len(data)} bytes",
)
def test_LIVE_no_patch_takes_long_or_much(data: bytes) -> None:
    begun = time.monotonic()
    outcome(lambda: read_patch(data, lambda _: b"{}\n" * 40), Usage)
    assert time.monotonic() - begun < LIMIT_S


# What travels in one file: an export, a git bundle.


@cache
def an_export() -> bytes:
    trunk = working_fleet()
    assert trunk.ledger.id
    return b"".join(carry.written(trunk.ledger.id, lines()))


def pieces(data: bytes) -> Iterator[bytes]:
    """The lines of a file as the command reads them: none longer than a line can be."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at, at + MAX_LINE_BYTES) + 1 or min(at + MAX_LINE_BYTES, len(data))
        yield data[at:end]
        at = end


@given(st.one_of(st.binary(max_size=200), damaged(st.deferred(lambda: st.just(an_export())))))
def test_LINE_an_export_that_was_touched_is_refused(data: bytes) -> None:
    assume(data != an_export())
    with pytest.raises(InvalidLedger):
        list(carry.read(pieces(data), str(working_fleet().ledger.id), "export"))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("bundle")
    objects = Objects(folder / "hub.git")
    objects.point("mesh", objects.commit(objects.root(working_fleet().files)))
    git = ["git", "--git-dir", str(objects.path), "bundle", "create", "--quiet", str(folder / "it.bundle"), "mesh"]
    subprocess.run(git, check=True)
    assert len(taken(folder / "it.bundle").files) == len(working_fleet().files)
    return (folder / "it.bundle").read_bytes()


@settings(max_examples=20)
@given(data=st.data())
def test_B7_a_bundle_that_was_touched_is_told_in_words_or_is_the_very_same_ledger(
    data: st.DataObject, bundle: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = data.draw(damaged(st.just(bundle)))
    file = tmp_path_factory.mktemp("touched") / "it.bundle"
    file.write_bytes(raw)
    found = outcome(lambda: taken(file), MeshError)
    if isinstance(found, MeshError):
        assert found.what.isprintable()
        return
    files = {change.path: change.new for change in found.files}
    assert found.findings or files == working_fleet().files


@pytest.mark.parametrize(
    "raw",
    [
        b"# v2 git bundle\n",
        b"# v3 git bundle\n@object-format=sha256\n\n",
        b"# v2 git bundle\n" + b"a" * 40 + b" refs/heads/mesh\n\n",
        b"# v9 git bundle\n\n",
        b"# v2 git bundle\n-" + b"b" * 40 + b" x\n\nPACK",
        b"# v2 git bundle\n" + b"x" * 100_000,
    ],
    ids=lambda raw: f"{raw[:20]!r}, {len(raw)} bytes",
)
def test_B7_what_only_begins_like_a_bundle_is_told_in_words(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "it.bundle").write_bytes(raw)
    with pytest.raises(MeshError) as told:
        taken(tmp_path / "it.bundle")
    assert told.value.what.isprintable()


# What git tells a hub's hook.


@given(
    st.lists(st.text(max_size=20), max_size=7),
    st.one_of(st.binary(max_size=200), damaged(st.just(b"a" * 40 + b" " + b"0" * 40 + b" refs/heads/mesh\n"))),
)
def test_CLOSED_any_push_is_one_or_a_fault(arguments: list[str], feed: bytes) -> None:
    try:
        asked = parse(arguments, feed)
    except MeshFault:
        return
    for move in asked.moves:
        assert move.new is None or move.new.isalnum()


def test_QUIET_what_a_hub_says_has_no_control_characters() -> None:
    from orxaq_mesh.standing import Finding

    said = words([Finding("QUIET", "a\x1b[2J\u202e", 3, "b\x07\n\rc")])
    assert all(line.isprintable() for line in said)
