"""A ledger's tree as git objects: bytes of trees and commits, what may stand where, what differs, what is new.

Knows: the form of git's trees and commits, the only names and modes that a ledger has (law RENDER, traps B4, B6).
Knows not: where objects lie. Whoever calls gives two functions, one that reads and one that writes.

Cost is bounded by the number of *distinct* objects, whatever a tree claims to hold: what does not differ is not
looked at, a folder has a cap, and an object that stands at two places is read at the first only (a line names its
log and its place, so no honest ledger has one twice). Eleven trees that spell 10^9 paths are eleven flaws.

    judge("ledger/nodes/oak-3f9a01c2", b"120000")    # Flaw("QUIET", ..., "mode 120000 ...")
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Protocol, TypeVar

from orxaq_mesh.record import LOG_NAME, MAX_LINE_BYTES, MAX_NAME, SEGMENT_LINES, parse_path
from orxaq_mesh.store import Change, Flaw, Oid, Wanted
from orxaq_mesh.text import clean

FOLDER, FILE = b"40000", b"100644"
MAX_FILE_BYTES = 2 * SEGMENT_LINES * MAX_LINE_BYTES
"""A segment has 32 lines, and at most two variants of each."""
MAX_TREE_ENTRIES = 4096
MAX_TREE_BYTES = 512 * 1024
MAX_COMMIT_BYTES = 512 * 1024

_FOLDERS = re.compile(r"ledger(?:/epochs(?:/[0-9]{6})?|/nodes(?:/(?P<log>[^/]{1,60})(?:/[0-9]{6})?)?)?")
_PLAIN = re.compile(r"[a-z0-9_-][a-z0-9._-]*")
_OWN_PATH = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,100}(?:/(?!\.)[A-Za-z0-9._-]{1,100}){0,5}")
_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0/]+)\0", re.DOTALL)
_COMMIT = re.compile(rb"tree ([0-9a-f]+)\n((?:parent [0-9a-f]+\n)*)author ")


class Entry(NamedTuple):
    """One entry of a tree, without its name."""

    mode: bytes
    oid: Oid


Tree = dict[bytes, Entry]
T = TypeVar("T")


class Unreadable(Exception):
    """An object that no ledger has: too large, of another type, malformed. The text says which."""


class Source(Protocol):
    """What the walks read from."""

    def tree(self, oid: Oid) -> Tree:
        """A tree's entries.

        Raises:
            Unreadable: it is none, or larger than any of ours.
        """

    def blob(self, oid: Oid) -> bytes:
        """A blob's bytes.

        Raises:
            Unreadable: it is none, or larger than a segment can be.
        """


def parse_tree(raw: bytes, oid_bytes: int) -> Tree:
    """The entries of a raw tree object; names are bytes, for git lets them be anything.

    Raises:
        Unreadable: it is no tree, or has more entries than a ledger's folder.
    """
    tree: Tree = {}
    at, last = 0, b""
    while at < len(raw):
        found = _ENTRY.match(raw, at)
        at = found.end() + oid_bytes if found else at
        if found is None or at > len(raw) or found[2] in tree or (place := _place(found[2], found[1])) <= last:
            raise Unreadable("a malformed tree")
        if len(tree) >= MAX_TREE_ENTRIES:
            raise Unreadable(f"more than {MAX_TREE_ENTRIES} entries")
        tree[found[2]], last = Entry(found[1], raw[at - oid_bytes : at].hex()), place
    return tree


def format_tree(tree: Tree) -> bytes:
    """A tree object's raw bytes, in git's order: a folder sorts as if its name ended in a slash."""
    names = sorted(tree, key=lambda name: _place(name, tree[name].mode))
    return b"".join(b"%s %s\0%s" % (tree[name].mode, name, bytes.fromhex(tree[name].oid)) for name in names)


def _place(name: bytes, mode: bytes) -> bytes:
    """By what git sorts an entry; its own reader takes a zero before a folder's mode for nothing."""
    return name + b"/" if mode.lstrip(b"0") == FOLDER else name


def parse_commit(raw: bytes) -> tuple[Oid, list[Oid]]:
    """(tree, parents) of a raw commit object.

    Raises:
        Unreadable: it is no commit.
    """
    found = _COMMIT.match(raw)
    if found is None:
        raise Unreadable("a malformed commit")
    return found[1].decode(), [line[7:].decode() for line in found[2].splitlines()]


def made_s(raw: bytes) -> int:
    """When a raw commit object says that it was committed, in seconds since 1970; 0 where it says nothing sound."""
    found = re.search(rb"^committer [^\n]* ([0-9]{1,12}) [+-][0-9]{4}$", raw.partition(b"\n\n")[0], re.MULTILINE)
    return int(found[1]) if found else 0


def format_commit(tree: Oid, parents: list[Oid], message: str, at_s: int) -> bytes:
    """A commit object's raw bytes. Author and date are the same on every machine, so the commit is too."""
    who = f"orxaq-mesh <mesh@orxaq-mesh.invalid> {at_s} +0000"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents), f"author {who}", f"committer {who}"]
    return "\n".join([*lines, "", message, ""]).encode("ascii")


def judge(path: str, mode: bytes) -> Flaw | None:
    """What is wrong with this entry below `ledger`, or None: only folders and files of a ledger's form stand there."""
    if mode not in (FOLDER, FILE):
        return Flaw("QUIET", clean(path), f"mode {mode.decode()}: a ledger has plain files and folders only")
    if not _PLAIN.fullmatch(path.rpartition("/")[2]):
        return Flaw("QUIET", clean(path), "its name has characters that no name in a ledger has")
    if is_folder(path) if mode == FOLDER else parse_path(path):
        return None
    return Flaw("RENDER", clean(path), f"no {'folder' if mode == FOLDER else 'file'} of a ledger has this name")


def is_folder(path: str) -> bool:
    """Whether a ledger can have a folder of this path."""
    found = _FOLDERS.fullmatch(path)
    if found is None:
        return False
    log = found["log"]
    return log is None or (len(log) <= MAX_NAME + 9 and LOG_NAME.fullmatch(log) is not None)


def differences(
    source: Source, old: Tree, new: Tree, under: str, only: Wanted | None = None
) -> Iterator[Change | Flaw]:
    """What differs at or below `under` between two commits' root trees; see `Store.changes`."""
    yield from _Walk(source, under, only).entry(old.get(b"ledger"), new.get(b"ledger"), "ledger")


class _Walk:
    """One walk of two trees side by side."""

    def __init__(self, source: Source, under: str, only: Wanted | None) -> None:
        self._source, self._under, self._only = source, under, only
        self._seen: dict[Oid, str] = {}

    def entry(self, old: Entry | None, new: Entry | None, path: str) -> Iterator[Change | Flaw]:
        if old == new:
            return
        if new and (flaw := judge(path, new.mode) or self._repeated(path, new)):
            yield flaw
            new = None
        if old and judge(path, old.mode):
            old = None
        yield from self._folder(old, new, path) if is_folder(path) else self._file(old, new, path)

    def _folder(self, old: Entry | None, new: Entry | None, path: str) -> Iterator[Change | Flaw]:
        before, _ = self._get(self._source.tree, old, path)
        after, flaw = self._get(self._source.tree, new, path)
        if flaw:
            yield flaw
        if new and after == {}:
            yield Flaw("RENDER", path, "an empty folder")
        before, after = before or {}, after or {}
        for name in sorted(before.keys() | after.keys()):
            inner = f"{path}/{_text(name)}"
            if f"{inner}/".startswith(f"{self._under}/") or self._under.startswith(f"{inner}/"):
                yield from self.entry(before.get(name), after.get(name), inner)

    def _file(self, old: Entry | None, new: Entry | None, path: str) -> Iterator[Change | Flaw]:
        if self._only is not None and not self._only(path):
            return
        before, _ = self._get(self._source.blob, old, path)
        after, flaw = self._get(self._source.blob, new, path)
        if flaw:
            yield flaw
        if before != after:
            yield Change(path, before, after)

    @staticmethod
    def _get(read: Callable[[Oid], T], entry: Entry | None, path: str) -> tuple[T | None, Flaw | None]:
        try:
            return (read(entry.oid) if entry else None), None
        except Unreadable as error:
            return None, Flaw("RENDER", path, str(error))

    def _repeated(self, path: str, entry: Entry) -> Flaw | None:
        first = self._seen.setdefault(entry.oid, path)
        return None if first == path else Flaw("RENDER", path, f"the very object that stands at {first}")


def _text(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")


def find(source: Source, root: Tree, path: str) -> bytes | None:
    """One file's bytes below a root tree, or None where there is none that a ledger can have."""
    *folders, name = path.split("/")
    tree, walked = root, ""
    for folder in folders:
        walked = f"{walked}/{folder}".lstrip("/")
        entry = tree.get(folder.encode())
        if entry is None or judge(walked, entry.mode):
            return None
        tree = source.tree(entry.oid)
    entry = tree.get(name.encode())
    return None if entry is None or judge(path, entry.mode) else source.blob(entry.oid)


def check_files(files: Mapping[str, bytes | None]) -> None:
    """Whether a commit may write these files.

    Raises:
        ValueError: a path that no ledger has, or a segment larger than any reader takes.
    """
    for path, content in files.items():
        below = path.partition("/")[0] == "ledger"
        if not _OWN_PATH.fullmatch(path) and not (below and content is None):
            raise ValueError(f"not a path for a ledger's tree: {path!r}")
        if below and content is not None and (parse_path(path) is None or len(content) > MAX_FILE_BYTES):
            raise ValueError(f"not a segment of a ledger: {path!r}, {len(content)} bytes")
        if content == b"":
            raise ValueError(f"an empty file says nothing: {path!r} (None removes one)")


def graft(
    source: Source, write: Callable[[bytes, bytes], Oid], old: Entry | None, files: Mapping[str, bytes | None], at: str
) -> Entry | None:
    """The folder `at` with these files (paths from there) put in or, where None, taken out.

    What a ledger cannot have is left behind in every folder of it that is written anew (law RENDER: healing).
    """
    tree = dict(source.tree(old.oid)) if old and old.mode == FOLDER else {}
    if at.partition("/")[0] == "ledger":
        tree = {name: entry for name, entry in tree.items() if judge(f"{at}/{_text(name)}", entry.mode) is None}
    for name, inner in _by_first_part(files).items():
        before = tree.pop(name.encode(), None)
        content = inner.pop("", b"")
        if content:
            tree[name.encode()] = Entry(FILE, write(b"blob", content))
        elif inner:
            entry = graft(source, write, None if content is None else before, inner, f"{at}/{name}".lstrip("/"))
            if entry:
                tree[name.encode()] = entry
    return Entry(FOLDER, write(b"tree", format_tree(tree))) if tree else None


def _by_first_part(files: Mapping[str, bytes | None]) -> dict[str, dict[str, bytes | None]]:
    groups: dict[str, dict[str, bytes | None]] = {}
    for path, content in files.items():
        first, _, rest = path.partition("/")
        groups.setdefault(first, {})[rest] = content
    return groups
