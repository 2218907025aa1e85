"""Patches as git makes them, and as strangers do (laws RENDER, QUIET, trap B6)."""

from __future__ import annotations

import difflib
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.errors import Usage
from orxaq_mesh.inspect.patch import MAX_FILES, MAX_PATCH_BYTES, Patched, read_patch
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import canonical, log_place
from orxaq_mesh.review import review
from orxaq_mesh.store import Change
from tests.builder import Trunk
from tests.hubs import plain_git

LOG = log_place("oak-3f9a01c2", 1).file
OTHER = log_place("elm-00000000", 1).file


def line(seq: int, who: str = "oak") -> bytes:
    return canonical({"kind": "x", "node": who, "seq": seq}) + b"\n"


def lines(*seqs: int) -> bytes:
    return b"".join(map(line, seqs))


class Work:
    """A checkout in which changes are made, and diffs of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", str(folder))

    def git(self, *args: str) -> str:
        return plain_git("-C", str(self.folder), *args) if args[0] != "init" else plain_git(*args)

    def commit(self, files: dict[str, bytes | None]) -> str:
        for name, data in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data) if data is not None else file.unlink()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "c")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "work")


def put(patch: str | bytes, base: dict[str, bytes]) -> Patched:
    return read_patch(patch if isinstance(patch, bytes) else patch.encode() + b"\n", base.get)


BASE = {LOG: lines(1, 2, 3, 4, 5)}
FORMS = [["diff"], ["diff", "-U0"], ["diff", "-U9"], ["diff", "--no-prefix"], ["diff", "--full-index"],
         ["diff", "--minimal", "--binary"], ["format-patch", "--stdout"], ["log", "-p", "--reverse"]]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=" ".join)
def test_a_patch_of_git_gives_the_files_that_git_has(work: Work, form: list[str]) -> None:
    base = work.commit(BASE)
    work.commit({LOG: lines(1, 2, 3, 4, 5, 6)})
    work.commit({LOG: lines(1, 2, 3, 4, 5, 6, 7), OTHER: line(1)})
    found = put(work.git(*form, f"{base}..HEAD"), BASE)
    assert found.findings == []
    assert found.moved == []
    assert found.changes == [Change(OTHER, None, line(1)), Change(LOG, BASE[LOG], lines(1, 2, 3, 4, 5, 6, 7))]


def test_what_edits_or_deletes_is_shown_as_it_is(work: Work) -> None:
    base = work.commit({**BASE, OTHER: line(1)})
    work.commit({LOG: lines(1, 2, 9, 4), OTHER: None})
    found = put(work.git("diff", base, "HEAD"), {**BASE, OTHER: line(1)})
    assert found.changes == [Change(OTHER, line(1), None), Change(LOG, BASE[LOG], lines(1, 2, 9, 4))]


def test_RENDER_a_base_that_moved_on_takes_the_lines_one_by_one(work: Work) -> None:
    base = work.commit(BASE)
    work.commit({LOG: lines(1, 2, 3, 4, 5, 6, 7)})
    patch = work.git("diff", base, "HEAD")
    found = put(patch, {LOG: lines(1, 2, 3, 4, 5, 6)})
    assert (found.findings, found.moved) == ([], [LOG])
    assert found.changes == [Change(LOG, lines(1, 2, 3, 4, 5, 6), lines(1, 2, 3, 4, 5, 6, 7))]
    assert put(patch, {LOG: lines(1, 2, 3, 4, 5, 6, 7)}).changes == []  # it is all there


def test_RENDER_a_patch_that_does_not_fit_names_file_and_line(work: Work) -> None:
    base = work.commit(BASE)
    work.commit({LOG: lines(1, 2, 3, 4, 5, 6)})
    patch = work.git("diff", base, "HEAD")
    for other in (b"", lines(1, 2), lines(3, 4)):
        found = put(patch, {LOG: other} if other else {})
        assert [(f.law, f.file, f.line) for f in found.findings] == [("RENDER", LOG, 3)]
        assert "does not fit" in found.findings[0].reason
        assert found.changes == []


def test_a_file_without_a_last_newline_stays_so(work: Work) -> None:
    base = work.commit(BASE)
    work.commit({LOG: BASE[LOG] + line(6)[:-1]})
    cut = work.git("rev-parse", "HEAD")
    assert put(work.git("diff", base, cut), BASE).changes[0].new == BASE[LOG] + line(6)[:-1]
    work.commit({LOG: BASE[LOG] + line(6)})
    assert put(work.git("diff", cut, "HEAD"), {LOG: BASE[LOG] + line(6)[:-1]}).changes[0].new == lines(1, 2, 3, 4, 5, 6)


HEAD = f"diff --git a/{LOG} b/{LOG}\n--- a/{LOG}\n+++ b/{LOG}\n"
GROWS = f"{HEAD}@@ -5,1 +5,2 @@\n {line(5).decode()}+{line(6).decode()}"
HOSTILE = {
    "beside the ledger": ("diff --git a/README.md b/README.md\n--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-a\n+b", "README.md"),
    "a workflow": ("--- /dev/null\n+++ b/.github/workflows/x.yml\n@@ -0,0 +1 @@\n+on: push", ".github/workflows/x.yml"),
    "upwards": ("--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+on: push", "../x"),
    "a quoted name": ('diff --git "a/led\\303\\244" "b/led\\303\\244"\nnew file mode 100644\n--- /dev/null\n+++ "b/l"\n@@ -0,0 +1 @@\n+x', '"a/led'),
    "an executable": (GROWS.replace("--- a", "new mode 100755\n--- a"), LOG),
    "an executable, by its index": (GROWS.replace("--- a", "index 12345678..12345679 100755\n--- a"), LOG),
    "a link": (f"diff --git a/{OTHER} b/{OTHER}\nnew file mode 120000\n--- /dev/null\n+++ b/{OTHER}\n@@ -0,0 +1 @@\n+/etc/passwd\n\\ No newline at end of file", OTHER),
    "a submodule": (f"diff --git a/{OTHER} b/{OTHER}\nnew file mode 160000\n--- /dev/null\n+++ b/{OTHER}\n@@ -0,0 +1 @@\n+Subproject commit 12", OTHER),
    "a name that no segment has": ("--- /dev/null\n+++ b/ledger/x.ndjson\n@@ -0,0 +1 @@\n+x", "ledger/x.ndjson"),
    "a name of odd characters": ("--- /dev/null\n+++ b/ledger/nodes/\u202e\x1b[2J\n@@ -0,0 +1 @@\n+x", "ledger/nodes/\\u202e\\x1b[2J"),
    "a rename": (f"diff --git a/{LOG} b/{OTHER}\nsimilarity index 100%\nrename from {LOG}\nrename to {OTHER}", OTHER),
    "a copy": (f"diff --git a/{LOG} b/{LOG}\ncopy from {LOG}\ncopy to {LOG}", LOG),
    "two names": (f"--- a/{LOG}\n+++ b/{OTHER}\n@@ -0,0 +1 @@\n+x", OTHER),
    "binary": (f"diff --git a/{LOG} b/{LOG}\nindex 1234567..1234568 100644\nGIT binary patch\nliteral 3\nKcmZ", LOG),
    "binary files differ": (f"diff --git a/{LOG} b/{LOG}\nBinary files a/{LOG} and b/{LOG} differ", LOG),
    "a merge's diff": (f"diff --cc {LOG}\nindex 1,2..3\n--- a/{LOG}\n+++ b/{LOG}\n@@@ -1,1 -1,1 +1,2 @@@\n  x\n++y", LOG),
    "a mode alone": (f"diff --git a/{LOG} b/{LOG}\nold mode 100644\nnew mode 100755", LOG),
    "a header alone": (f"diff --git a/{LOG} b/{LOG}", LOG),
    "a hunk without a file": ("@@ -1 +1 @@\n-a\n+b", "patch"),
    "a hunk behind a mail": (f"{GROWS}-- \n2.39\n\n@@ -1 +1 @@\n-a\n+b", "patch"),
    "a context diff behind it": (f"{GROWS}\n*** a/x\n--- b/x\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b", "patch"),
    "an ed script behind it": (f"{GROWS}\n1,3d\n", "patch"),
    "a hunk that is cut off": (GROWS.rpartition("\n+")[0], LOG),
    "a hunk with more lines than it says": (GROWS.replace("-5,1 +5,2", "-5,1 +5,1"), LOG),
    "a hunk of nonsense": (f"{HEAD}@@ -1,x +1 @@\n+a", LOG),
    "a hunk with a line of no kind": (f"{HEAD}@@ -5,1 +5,2 @@\n {line(5).decode()}!x", LOG),
    "a hunk beyond the end": (f"{HEAD}@@ -900,1 +900,2 @@\n x\n+y", LOG),
    "a hunk with another context": (f"{HEAD}@@ -1,1 +1,2 @@\n x\n+y", LOG),
    "hunks that overlap": (f"{GROWS}@@ -1,1 +1,2 @@\n x\n+y", LOG),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_RENDER_whatever_else_a_patch_would_do_is_a_finding(name: str) -> None:
    patch, file = HOSTILE[name]
    found = put(patch, BASE)
    assert found.findings, found
    assert found.findings[0].law in ("RENDER", "QUIET")
    assert any(finding.file.startswith(file) for finding in found.findings), found.findings
    assert all(finding.reason.isprintable() and finding.file.isprintable() for finding in found.findings)


def test_the_patch_that_the_hostile_ones_are_made_of_is_honest() -> None:
    assert put(GROWS, BASE) == ([Change(LOG, BASE[LOG], lines(1, 2, 3, 4, 5, 6))], [], [])


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"hello", b"From x\nContent-Transfer-Encoding: base64\n\nZGlmZg==\n", b"\x00" * 99,
     b"Content-Transfer-Encoding: quoted-printable\n\ndiff --git a/x b/x\n"],
)  # fmt: skip
def test_what_is_no_patch_is_a_wrong_call(data: bytes) -> None:
    with pytest.raises(Usage):
        read_patch(data, BASE.get)


def test_B6_a_patch_is_bounded_before_it_is_parsed() -> None:
    with pytest.raises(Usage, match="bytes"):
        read_patch(b"\n" * (MAX_PATCH_BYTES + 1), BASE.get)
    begun = time.monotonic()
    many = b"".join(b"diff --git a/f%d b/f%d\n@@ -1 +1 @@\n-a\n+b\n" % (n, n) for n in range(50_000))
    found = read_patch(many, BASE.get)
    assert len(found.findings) <= MAX_FILES + 1
    assert any(finding.law == "LIVE" for finding in found.findings)
    long = f"{HEAD}@@ -1,900000000 +1,900000000 @@\n".encode() + b"+x\n" * 100_000
    assert read_patch(long, BASE.get).findings
    assert time.monotonic() - begun < 10


PIECES = st.sampled_from(
    [HEAD.encode(), GROWS.encode(), b"@@ -1 +1,2 @@\n", b"@@ -0,0 +1 @@\n", b"--- a\n+++ b\n", b"-x\n", b"+x\n", b" x\n", b"\\ No\n", b"\n", b"\xff\xfe\n"]
)  # fmt: skip


@given(st.lists(st.one_of(PIECES, st.binary(max_size=30)), max_size=12).map(b"".join))
def test_B6_any_bytes_are_a_change_or_findings_or_a_wrong_call(data: bytes) -> None:
    try:
        found = read_patch(data, BASE.get)
    except Usage:
        return
    for change in found.changes:
        assert change.old == BASE.get(change.path)
        assert change.old != change.new
    assert all(finding.reason.isprintable() for finding in found.findings)


@given(st.sets(st.integers(1, 40), min_size=1), st.sets(st.integers(1, 40)), st.integers(0, 4))
def test_RENDER_a_diff_gives_back_the_file_it_was_made_of(before: set[int], after: set[int], context: int) -> None:
    old, new = (lines(*sorted(seqs)).decode().splitlines(keepends=True) for seqs in (before, before | after))
    diff = "".join(difflib.unified_diff(old, new, f"a/{LOG}", f"b/{LOG}", n=context))
    if diff:
        found = read_patch(diff.encode(), {LOG: "".join(old).encode()}.get)
        assert found == ([Change(LOG, "".join(old).encode(), "".join(new).encode())], [], [])


@pytest.fixture(scope="module")
def proposal() -> tuple[Trunk, bytes]:
    """A ledger, and a patch that adds two records to it."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    wishes = [{"lease": name, "session": "s", "ttl_ms": 60_000, "until": 16} for name in ("a", "b")]
    diff = []
    for path, new in render(trunk.files.get, [elm.write("lease.acquire", **wish) for wish in wishes]).items():
        sides = (data.decode().splitlines(keepends=True) for data in (trunk.files.get(path, b""), new))
        diff += difflib.unified_diff(*sides, f"a/{path}", f"b/{path}")
    return trunk, "".join(diff).encode()


@given(st.data())
def test_B6_a_patch_with_a_spoilt_spot_is_reviewed_all_the_same(
    proposal: tuple[Trunk, bytes], data: st.DataObject
) -> None:
    trunk, patch = proposal
    at = data.draw(st.integers(0, len(patch)))
    spoilt = patch[:at] + data.draw(st.binary(max_size=4)) + patch[at + data.draw(st.integers(0, 40)) :]
    try:
        found = read_patch(spoilt, trunk.files.get)
    except Usage:
        return
    told = review(trunk.ledger, found.changes)
    if told.ok and not found.findings and found.changes:  # then it says what was signed, and nothing else
        honest = read_patch(patch, trunk.files.get).changes[0].new or b""
        assert set((found.changes[0].new or b"").split(b"\n")) <= set(honest.split(b"\n"))
