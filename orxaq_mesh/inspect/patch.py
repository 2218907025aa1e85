r"""Reading patches: from what `git diff` or `git format-patch` wrote to the files that it would make.

Knows: the unified form, git's own headers, several patches in a row, what a patch's lines must fit (law RENDER).
Knows not: what a line of a ledger means, whether a change is honest (`review`), git, files.
Laws: QUIET. A patch is a stranger's: its size is asked before it is parsed, and whatever `git apply` or `patch` would
take for a change is taken for one here, or is a finding. Nothing is skipped in silence.

    found = read_patch(data, read)          # read: path -> the base's bytes, or None
    found.changes                           # the files as they would be
    found.findings                          # what cannot be read, does not fit, or is no change of a ledger
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import sha1, sha256
from typing import NamedTuple

from orxaq_mesh.errors import Usage
from orxaq_mesh.reconcile import union
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change
from orxaq_mesh.store.objects import FILE, MAX_FILE_BYTES, judge
from orxaq_mesh.text import clean

MAX_PATCH_BYTES = 64 * 1024 * 1024
MAX_FILES = 3000
"""GitHub shows no more of one pull request."""
MAX_READ_BYTES = 256 * 1024 * 1024
"""So much of the base is read for one patch; honest segments are some 20 KB each."""

_HUNK = re.compile(rb"@@ -([0-9]{1,9})(?:,([0-9]{1,9}))? \+([0-9]{1,9})(?:,([0-9]{1,9}))? @@(?: .*)?", re.DOTALL)
_INDEX = re.compile(rb"index ([0-9a-f]{4,64})\.\.([0-9a-f]{4,64})(?: ([0-7]{6}))?")
_MODE = re.compile(rb"(?:new file|deleted file|old|new) mode ([0-7]{5,6})")
_ODD = re.compile(rb"(?:rename|copy) (?:from|to) |GIT binary patch|Binary files .* differ")
_OTHER_FORMS = re.compile(rb"\*{15}|\*\*\* |@@@ |[0-9]+(?:,[0-9]+)?[acd](?:[0-9]+(?:,[0-9]+)?)?\r?$")
_ENCODED = re.compile(rb"content-transfer-encoding:\s*(?:base64|quoted-printable)", re.IGNORECASE)
_NONE = b"/dev/null"
_FIRST = b"diff --git "
_SIDES = {b" ": (True, True), b"-": (True, False), b"+": (False, True)}

Read = Callable[[str], bytes | None]


class Patched(NamedTuple):
    """What a patch would make of a base.

    Attributes:
        changes: the files that would differ, as `Store.changes` tells them.
        findings: what is wrong with the patch itself; empty when it can be put onto the base.
        moved: paths whose base is another than the patch was made from: its lines were put in one by one.
    """

    changes: list[Change]
    findings: list[Finding]
    moved: list[str]


class _Misfit(Exception):
    """A part of a patch cannot be read, or does not fit. The text says why."""


class _Hunk(NamedTuple):
    """Lines of one file, each with its newline: those that stand there before, and after.

    Attributes:
        at: the line of the patch that it begins at, from 1.
        start: the line of the base that it begins at, from 1; behind which it stands where it has no old lines.
    """

    at: int
    start: int
    old: list[bytes]
    new: list[bytes]


class _File:
    """One file of a patch: what its headers say, and its hunks."""

    def __init__(self) -> None:
        self.names: set[bytes] = set()
        self.was: bytes | None = None
        self.flaws: list[tuple[str, str]] = []
        self.hunks: list[_Hunk] = []
        self.goes = False


def read_patch(data: bytes, read: Read) -> Patched:
    """Put a patch onto a base.

    Args:
        data: all of it: one patch, or several in a row, as in a mailbox.
        read: path -> the base's bytes of that segment, or None.

    Raises:
        Usage: it is larger than any patch that is read, is encoded for mail, or holds no change at all.
    """
    if len(data) > MAX_PATCH_BYTES:
        raise Usage(f"the patch has more than {MAX_PATCH_BYTES} bytes", hint="mesh review BASE..HEAD")
    if _ENCODED.search(data[:65536].partition(b"\ndiff --git ")[0]):
        raise Usage(
            "the patch is encoded for mail (base64 or quoted-printable)", hint="git format-patch writes it plain"
        )
    lines = data.split(b"\n")
    onto = _Onto(read)
    for number, file in enumerate(_Reader(lines[:-1] if lines[-1] == b"" else lines).files()):
        if number >= MAX_FILES:
            onto.tell("LIVE", "patch", 0, f"more than {MAX_FILES} files")
            break
        onto.put(file)
    if not onto.now and not onto.findings:
        raise Usage("there is no change in this patch", hint="git diff BASE...HEAD writes one")
    return onto.patched()


class _Reader:
    """From the lines of a patch to its files and hunks."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines, self._at = lines, 0
        self._file: _File | None = None
        self._ended = True

    def files(self) -> Iterator[_File]:
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

    def _take_other(self, file: _File, line: bytes) -> None:
        """A line of the header, or the first behind the last hunk: from there on it is the next mail's."""
        if not file.hunks:
            _take_header(file, line)
            return
        self._ended = True
        if line[:1] in _SIDES and line.rstrip(b" ") != b"--":
            file.flaws.append(("RENDER", f"line {self._at + 1} of the patch belongs to no hunk"))

    def _next(self) -> bytes:
        return self._lines[self._at + 1] if self._at + 1 < len(self._lines) else b""

    def _begin(self, file: _File | None) -> Iterator[_File]:
        if self._file:
            yield self._file
        self._file, self._ended = file, False

    def _two_names(self, old: bytes, new: bytes) -> Iterator[_File]:
        """`--- OLD` and `+++ NEW`: they belong to the header at hand, or are all the header there is."""
        if self._file is None or self._ended or self._file.hunks:
            yield from self._begin(_File())
        assert self._file
        self._file.names |= {_bare(_path_of(old)), _bare(_path_of(new))}
        self._file.goes |= _path_of(new) == _NONE
        self._at += 1

    def _take_hunk(self, file: _File) -> None:
        try:
            file.hunks.append(self._hunk())
        except _Misfit as misfit:
            file.flaws.append(("RENDER", str(misfit)))
            self._at += 1

    def _hunk(self) -> _Hunk:
        """The hunk that begins here; what its counts promise is all there."""
        first = self._at
        head = _HUNK.fullmatch(self._lines[first])
        if head is None:
            raise _Misfit(f"line {first + 1} of the patch begins no hunk")
        left = [int(count) if count is not None else 1 for count in (head[2], head[4])]
        hunk = _Hunk(first + 1, int(head[1]), [], [])
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
            raise _Misfit(f"the hunk at line {first + 1} of the patch is cut off")
        self._at = at
        return hunk


def _add(hunk: _Hunk, left: list[int], sides: tuple[bool, bool], line: bytes, first: int) -> None:
    if sides == (False, False) or any(side and not count for side, count in zip(sides, left, strict=True)):
        raise _Misfit(f"the hunk at line {first + 1} of the patch has other lines than it says")
    for which, side in enumerate((hunk.old, hunk.new)):
        if sides[which]:
            side.append(line)
            left[which] -= 1


def _cut_newline(hunk: _Hunk, sides: tuple[bool, bool]) -> None:
    """The line before has no newline: it is the last of its file."""
    for side, is_there in zip((hunk.old, hunk.new), sides, strict=True):
        if is_there and side:
            side[-1] = side[-1].removesuffix(b"\n")


def _named(line: bytes) -> _File:
    """A file as git's first line names it: `diff --git a/PATH b/PATH`."""
    file = _File()
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


def _unnamed(number: int) -> _File:
    file = _File()
    file.flaws.append(("RENDER", f"line {number} of the patch changes a file that no header of a unified diff names"))
    return file


def _take_header(file: _File, line: bytes) -> None:
    mode = _MODE.fullmatch(line)
    if found := _INDEX.fullmatch(line):
        file.was, mode = found[1], re.fullmatch(rb"([0-7]{6})", found[3] or b"")
    file.goes |= line.startswith(b"deleted file mode ")
    if mode and mode[1] != b"100644":
        file.flaws.append(("QUIET", f"mode {mode[1].decode()}: a ledger has plain files and folders only"))
    elif _ODD.match(line):
        file.flaws.append(("RENDER", f"{_shown(line, 80)}: to a ledger lines are added, and nothing else is done"))


def _path_of(line: bytes) -> bytes:
    """The path behind `--- ` or `+++ `, without the time that `diff -u` writes behind a tab."""
    return line[4:].partition(b"\t")[0]


def _bare(name: bytes) -> bytes:
    """A path without git's `a/` or `b/`."""
    return name[2:] if re.match(rb"[abciow]/", name) else name


def _shown(name: bytes, limit: int = 200) -> str:
    return clean(name.decode("utf-8", "backslashreplace"), limit=limit)


class _Onto:
    """A base, and what the files of a patch make of it, one after the other."""

    def __init__(self, read: Read) -> None:
        self._read, self._bytes_read = read, 0
        self.base: dict[str, bytes | None] = {}
        self.now: dict[str, bytes | None] = {}
        self.findings: list[Finding] = []
        self._moved: list[str] = []

    def tell(self, law: str, file: str, line: int, reason: str) -> None:
        """Note what is wrong."""
        self.findings.append(Finding(law, file, line, reason))

    def patched(self) -> Patched:
        """What came of it."""
        differ = [path for path in sorted(self.now) if self.now[path] != self.base[path]]
        changes = [Change(path, self.base[path], self.now[path]) for path in differ]
        return Patched(changes, self.findings, sorted(set(self._moved)))

    def put(self, file: _File) -> None:
        """Put one file's hunks onto it."""
        names = file.names - {_NONE}
        path = _shown(min(names, default=b"patch"))
        for law, reason in file.flaws:
            self.tell(law, path, 0, reason)
        if len(names) > 1:
            self.tell("RENDER", path, 0, f"this part of the patch names another file, too: {_shown(max(names))}")
        elif not path.startswith("ledger/"):
            self.tell("RENDER", path, 0, "stands beside the ledger: its changes touch nothing else")
        elif flaw := judge(path, FILE):
            self.tell(flaw.law, path, 0, flaw.reason)
        elif not file.flaws:
            self._put(path, file)

    def _put(self, path: str, file: _File) -> None:
        old = self._get(path)
        try:
            if not file.hunks:
                raise _Misfit("the patch says nothing of its lines")
            new = self._applied(path, old, file)
        except _Misfit as misfit:
            line = file.hunks[0].start if file.hunks else 0
            self.tell("RENDER", path, line, str(misfit))
            return
        self.now[path] = None if file.goes and not new else new

    def _get(self, path: str) -> bytes | None:
        if path not in self.now:
            data = self._read(path) if self._bytes_read <= MAX_READ_BYTES else None
            self._bytes_read += len(data or b"")
            self.base[path] = self.now[path] = data
        return self.now[path]

    def _applied(self, path: str, old: bytes | None, file: _File) -> bytes:
        if self._bytes_read > MAX_READ_BYTES:
            raise _Misfit(f"the patch is for more than {MAX_READ_BYTES} bytes of the ledger")
        lines = (old or b"").split(b"\n")
        whole = [line + b"\n" for line in lines[:-1]] + [lines[-1]] * bool(lines[-1])
        new = _literal(whole, file.hunks) if file.was is None or _is_of(file.was, old) else None
        if new is None:
            new = _line_by_line(whole, file.hunks)
            self._moved.append(path)
        if len(new) > MAX_FILE_BYTES:
            raise _Misfit(f"{len(new)} bytes; at most {MAX_FILE_BYTES} are read")
        return new


def _is_of(was: bytes, old: bytes | None) -> bool:
    """Whether the id that a patch names for the file it was made from is this one's."""
    if old is None:
        return not was.strip(b"0")
    whole = b"blob %d\0%s" % (len(old), old)
    ids = (made(whole, usedforsecurity=False).hexdigest().encode() for made in (sha1, sha256))
    return any(oid.startswith(was) for oid in ids)


def _literal(lines: list[bytes], hunks: list[_Hunk]) -> bytes | None:
    """The file with each hunk where it says it belongs; None where one does not fit there."""
    out: list[bytes] = []
    here = 0
    for hunk in hunks:
        at = hunk.start - 1 if hunk.old else hunk.start
        if at < here or lines[at : at + len(hunk.old)] != hunk.old or at > len(lines):
            return None
        out += [*lines[here:at], *hunk.new]
        here = at + len(hunk.old)
    return b"".join(out + lines[here:])


def _line_by_line(lines: list[bytes], hunks: list[_Hunk]) -> bytes:
    """The file of a base that has moved on, with the lines that the patch adds, and without those that it removes.

    Raises:
        _Misfit: a line that the patch was made from is not there.
    """
    left = dict.fromkeys(lines)
    for hunk in hunks:
        if lacking := next((line for line in hunk.old if line not in left), None):
            raise _Misfit(f"line {hunk.at} of the patch does not fit: the base has no such line: {_shown(lacking, 60)}")
    for hunk in hunks:
        for line in set(hunk.old).difference(hunk.new):
            left.pop(line, None)
        left |= dict.fromkeys(hunk.new)
    return in_order([line.removesuffix(b"\n") for line in left])


def in_order(lines: list[bytes]) -> bytes:
    """A segment of these lines, each once, where law RENDER wants it; as they come, where one has no place."""
    try:
        return union(*lines)
    except (ValueError, KeyError, TypeError):
        return b"".join(line + b"\n" for line in lines)
