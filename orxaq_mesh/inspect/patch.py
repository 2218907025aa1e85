"""Reading patches: from what `git diff` or `git format-patch` wrote to the files that it would make.

Knows: what a patch's lines must fit, and what becomes of them where the base has moved on (law RENDER).
Knows not: the form of a patch (`hunks`), what a line of a ledger means, whether a change is honest (`review`).
Law: QUIET. A patch is a stranger's: its size is asked before it is parsed, and what it reads is bounded (B6).

    found = read_patch(data, read)          # read: path -> the base's bytes, or None
    found.changes                           # the files as they would be
    found.findings                          # what cannot be read, does not fit, or is no change of a ledger
"""

from __future__ import annotations

import re
from collections.abc import Callable
from hashlib import sha1, sha256
from typing import NamedTuple

from orxaq_mesh.errors import Usage
from orxaq_mesh.inspect.hunks import NONE, File, Hunk, Misfit, files, shown
from orxaq_mesh.reconcile import union
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change
from orxaq_mesh.store.objects import FILE, MAX_FILE_BYTES, judge

MAX_PATCH_BYTES = 64 * 1024 * 1024
MAX_FILES = 3000
"""GitHub shows no more of one pull request."""
MAX_READ_BYTES = 256 * 1024 * 1024
"""So much of the base is read for one patch; honest segments are some 20 KB each."""

_ENCODED = re.compile(rb"content-transfer-encoding:\s*(?:base64|quoted-printable)", re.IGNORECASE)

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
    onto = _Onto(read)
    for number, file in enumerate(files(data)):
        if number >= MAX_FILES:
            onto.tell("LIVE", "patch", 0, f"more than {MAX_FILES} files")
            break
        onto.put(file)
    if not onto.now and not onto.findings:
        raise Usage("there is no change in this patch", hint="git diff BASE...HEAD writes one")
    return onto.patched()


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

    def put(self, file: File) -> None:
        """Put one file's hunks onto it."""
        names = file.names - {NONE}
        path = shown(min(names, default=b"patch"))
        for law, reason in file.flaws:
            self.tell(law, path, 0, reason)
        if len(names) > 1:
            self.tell("RENDER", path, 0, f"this part of the patch names another file, too: {shown(max(names))}")
        elif not path.startswith("ledger/"):
            self.tell("RENDER", path, 0, "stands beside the ledger: its changes touch nothing else")
        elif flaw := judge(path, FILE):
            self.tell(flaw.law, path, 0, flaw.reason)
        elif not file.flaws:
            self._put(path, file)

    def _put(self, path: str, file: File) -> None:
        old = self._get(path)
        try:
            if not file.hunks:
                raise Misfit("the patch says nothing of its lines")
            new = self._applied(path, old, file)
        except Misfit as misfit:
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

    def _applied(self, path: str, old: bytes | None, file: File) -> bytes:
        if self._bytes_read > MAX_READ_BYTES:
            raise Misfit(f"the patch is for more than {MAX_READ_BYTES} bytes of the ledger")
        lines = (old or b"").split(b"\n")
        whole = [line + b"\n" for line in lines[:-1]] + [lines[-1]] * bool(lines[-1])
        new = _literal(whole, file.hunks) if file.was is None or _is_of(file.was, old) else None
        if new is None:
            new = _line_by_line(whole, file.hunks)
            self._moved.append(path)
        if len(new) > MAX_FILE_BYTES:
            raise Misfit(f"{len(new)} bytes; at most {MAX_FILE_BYTES} are read")
        return new


def _is_of(was: bytes, old: bytes | None) -> bool:
    """Whether the id that a patch names for the file it was made from is this one's."""
    if old is None:
        return not was.strip(b"0")
    whole = b"blob %d\0%s" % (len(old), old)
    ids = (made(whole, usedforsecurity=False).hexdigest().encode() for made in (sha1, sha256))
    return any(oid.startswith(was) for oid in ids)


def _literal(lines: list[bytes], hunks: list[Hunk]) -> bytes | None:
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


def _line_by_line(lines: list[bytes], hunks: list[Hunk]) -> bytes:
    """The file of a base that has moved on, with the lines that the patch adds, and without those that it removes.

    Raises:
        Misfit: a line that the patch was made from is not there.
    """
    left = dict.fromkeys(lines)
    for hunk in hunks:
        if lacking := next((line for line in hunk.old if line not in left), None):
            raise Misfit(f"line {hunk.at} of the patch does not fit: the base has no such line: {shown(lacking, 60)}")
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
