r"""The form of patches: from the bytes that `git diff` or `git format-patch` wrote to files and hunks.

Knows: the unified form, git's own headers, several patches in a row, and what is none of these.
Knows not: the base, what a line means; what a patch would make of a file (`patch`).
Law: QUIET. Whatever `git apply` or `patch` would take for a change is taken for one, or is a flaw: nothing is skipped.

    for file in files(data): file.names, file.hunks, file.flaws
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from orxaq_mesh.text import clean

NONE = b"/dev/null"
"""The name of the other side of a file that is new, or gone."""

_HUNK = re.compile(rb"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@(?: .*)?", re.DOTALL)
_INDEX = re.compile(rb"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{6}))?")
_MODE = re.compile(rb"(?:new file|deleted file|old|new) mode ([0-7]{5,6})")
_ODD = re.compile(rb"(?:rename|copy) (?:from|to) |GIT binary patch|Binary files .* differ")
_OTHER_FORMS = re.compile(rb"\*{15}|\*\*\* |@@@ |[0-9]+(?:,[0-9]+)?[acd](?:[0-9]+(?:,[0-9]+)?)?\r?$")
_FIRST = b"diff --git "
_SIDES = {b" ": (True, True), b"-": (True, False), b"+": (False, True)}


class Misfit(Exception):
    """A part of a patch cannot be read, or does not fit. The text says why."""


class Hunk(NamedTuple):
    """Lines of one file, each with its newline: those that stand there before, and after.

    Attributes:
        at: the line of the patch that it begins at, from 1.
        start: the line of the base that it begins at, from 1; behind which it stands where it has no old lines.
    """

    at: int
    start: int
    old: list[bytes]
    new: list[bytes]


class File:
    """One file of a patch: what its headers say, and its hunks."""

    def __init__(self) -> None:
        self.names: set[bytes] = set()
        self.was: bytes | None = None
        self.flaws: list[tuple[str, str]] = []
        self.hunks: list[Hunk] = []
        self.goes = False


def files(data: bytes) -> Iterator[File]:
    """The files that a patch names, in order."""
    lines = data.split(b"\n")
    return _Reader(lines[:-1] if lines[-1] == b"" else lines).files()


class _Reader:
    """From the lines of a patch to its files and hunks."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines, self._at = lines, 0
        self._file: File | None = None
        self._ended = True

    def files(self) -> Iterator[File]:
        """The files that the patch names, in order."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.startswith((_FIRST, b"diff --cc ", b"diff --combined ")):
                yield from self._begin(_named(line))
            elif line.startswith(b"--- ") and (new := self._next()).startswith(b"+++ "):
                yield from self._two_names(line, new)
            elif line.startswith(b"@@ -") and self._file and not self._ended:
                self._take_hunk(self._file)
                continue
            elif line.startswith(b"@@ -") or _OTHER_FORMS.match(line):
                yield from self._begin(_unnamed(self._at + 1))
            elif self._file and not self._ended:
                self._take_other(self._file, line)
            self._at += 1
        yield from self._begin(None)

    def _take_other(self, file: File, line: bytes) -> None:
        """A line of the header, or the first behind the last hunk: from there on it is the next mail's."""
        if not file.hunks:
            _take_header(file, line)
            return
        self._ended = True
        if line[:1] in _SIDES and line.rstrip(b" ") != b"--":
            file.flaws.append(("RENDER", f"line {self._at + 1} of the patch belongs to no hunk"))

    def _next(self) -> bytes:
        return self._lines[self._at + 1] if self._at + 1 < len(self._lines) else b""

    def _begin(self, file: File | None) -> Iterator[File]:
        if self._file:
            yield self._file
        self._file, self._ended = file, False

    def _two_names(self, old: bytes, new: bytes) -> Iterator[File]:
        """`--- OLD` and `+++ NEW`: they belong to the header at hand, or are all the header there is."""
        if self._file is None or self._ended or self._file.hunks:
            yield from self._begin(File())
        assert self._file
        self._file.names |= {_bare(_path_of(old)), _bare(_path_of(new))}
        self._file.goes |= _path_of(new) == NONE
        self._at += 1

    def _take_hunk(self, file: File) -> None:
        try:
            file.hunks.append(self._hunk())
        except Misfit as misfit:
            file.flaws.append(("RENDER", str(misfit)))
            self._at += 1

    def _hunk(self) -> Hunk:
        """The hunk that begins here; what its counts promise is all there."""
        first = self._at
        head = _HUNK.fullmatch(self._lines[first])
        if head is None:
            raise Misfit(f"line {first + 1} of the patch begins no hunk")
        left = [int(count) if count is not None else 1 for count in (head[2], head[4])]
        hunk = Hunk(first + 1, int(head[1]), [], [])
        at, last = first + 1, (False, False)
        while at < len(self._lines) and (any(left) or self._lines[at].startswith(b"\\")):
            line = self._lines[at]
            if line.startswith(b"\\"):
                _cut_newline(hunk, last)
            else:
                last = _SIDES.get(line[:1], (False, False))
                _add(hunk, left, last, line[1:] + b"\n", first)
            at += 1
        if any(left):
            raise Misfit(f"the hunk at line {first + 1} of the patch is cut off")
        self._at = at
        return hunk


def _add(hunk: Hunk, left: list[int], sides: tuple[bool, bool], line: bytes, first: int) -> None:
    if sides == (False, False) or any(side and not count for side, count in zip(sides, left, strict=True)):
        raise Misfit(f"the hunk at line {first + 1} of the patch has other lines than it says")
    for which, side in enumerate((hunk.old, hunk.new)):
        if sides[which]:
            side.append(line)
            left[which] -= 1


def _cut_newline(hunk: Hunk, sides: tuple[bool, bool]) -> None:
    """The line before has no newline: it is the last of its file."""
    for side, is_there in zip((hunk.old, hunk.new), sides, strict=True):
        if is_there and side:
            side[-1] = side[-1].removesuffix(b"\n")


def _named(line: bytes) -> File:
    """A file as git's first line names it: `diff --git a/PATH b/PATH`."""
    file = File()
    both = line.removeprefix(_FIRST)
    half = len(both) // 2
    if both == line:
        file.names.add(line.rpartition(b" ")[2])
        file.flaws.append(("RENDER", "the diff of a merge against all its parents: make it against one of them"))
    elif len(both) % 2 and both[half : half + 1] == b" ":
        file.names |= {_bare(both[:half]), _bare(both[half + 1 :])}
    else:
        file.names |= {_bare(part) for part in both.split(b" ")[:4]}
    return file


def _unnamed(number: int) -> File:
    file = File()
    file.flaws.append(("RENDER", f"line {number} of the patch changes a file that no header of a unified diff names"))
    return file


def _take_header(file: File, line: bytes) -> None:
    mode = _MODE.fullmatch(line)
    if found := _INDEX.fullmatch(line):
        file.was, mode = found[1], re.fullmatch(rb"([0-7]{6})", found[3] or b"")
    file.goes |= line.startswith(b"deleted file mode ")
    if mode and mode[1] != b"100644":
        file.flaws.append(("QUIET", f"mode {mode[1].decode()}: a ledger has plain files and folders only"))
    elif _ODD.match(line):
        file.flaws.append(("RENDER", f"{shown(line, 80)}: to a ledger lines are added, and nothing else is done"))


def _path_of(line: bytes) -> bytes:
    """The path behind `--- ` or `+++ `, without the time that `diff -u` writes behind a tab."""
    return line[4:].partition(b"\t")[0]


def _bare(name: bytes) -> bytes:
    """A path without git's `a/` or `b/`."""
    return name[2:] if re.match(rb"[abciow]/", name) else name


def shown(name: bytes, limit: int = 200) -> str:
    """A name or line of a patch, made fit to be shown."""
    return clean(name.decode("utf-8", "backslashreplace"), limit=limit)
