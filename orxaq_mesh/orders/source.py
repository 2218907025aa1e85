r"""A file of orders as plain values, each with its line: YAML or JSON, and nothing that only one of them can do.

Knows: which YAML and JSON is allowed, and in which line it is not.
Knows not: what the values mean (`forms`, `dags`, `reactors`).
Laws: LINE (no key twice, no fraction, ASCII keys, 16 levels), CLOSED (nothing is passed over), trap B10 (no anchors,
aliases, tags, directives; sizes are asked first).

    source = read(Path("release.yaml"))
    source.value["tasks"]["build"]["run"]              # "make all"
    source.line(("tasks", "build", "run"))             # 7

YAML means what its version 1.2 says, less what its readers disagree on: `yes` and `on` are words, 010 and 1_000 are refused.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orxaq_mesh.errors import Usage
from orxaq_mesh.home.files import disk_fault
from orxaq_mesh.record import MAX_INT, type_flaw
from orxaq_mesh.text import clean

MAX_YAML_BYTES = 4 * 1024 * 1024
MAX_JSON_BYTES = 32 * 1024 * 1024
MAX_DEPTH = 15
MAX_NODES = 4_000_000

Path_ = tuple[str | int, ...]
_INT = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_NUMBER = re.compile(
    r"[-+]?(\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|0[xob][0-9a-fA-F_]+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
)
_WORDS = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}  # type: ignore[dict-item]
_LONG_TAG = re.compile(r"!\S{2000}")
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


class Source(NamedTuple):
    """A file that was read: its value, and where each part of it stands."""

    path: Path
    value: Any
    lines: dict[Path_, int]
    text: str = ""

    def line(self, path: Path_) -> int:
        """The line of what lies at a path, or of the nearest thing around it that has one."""
        lines = self.lines or _json_lines(self.text, path)
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 1)

    def bad(self, path: Path_, reason: str, hint: str = "") -> Usage:
        """The error that says what is wrong there."""
        where = words_of(path)
        return bad(self.path, self.line(path), f"{where}: {reason}" if where else reason, hint)


def words_of(path: Path_) -> str:
    """A path as people read it: `tasks.build.commands[2].run`."""
    said = ""
    for step in path:
        said += f"[{step + 1}]" if isinstance(step, int) else f"{'.' if said else ''}{step}"
    return clean(said, limit=160)


def bad(path: Path, line: int, reason: str, hint: str = "") -> Usage:
    """The error of a file and line."""
    what = f"{path}, line {line}: {reason}"
    return Usage(what, hint=hint or f"mend line {line} of {path}", file=str(path), line=line)


def read(path: Path) -> Source:
    """Read a file: JSON where its name ends so, else YAML; `-` is the standard input.

    Raises:
        Usage: it is too large, or not understood; names file and line.
        MeshFault: it cannot be read.
    """
    is_json = path.suffix.lower() == ".json"
    most = MAX_JSON_BYTES if is_json else MAX_YAML_BYTES
    data = _bytes(path, most)
    if len(data) > most:
        hint = "" if is_json else f"as JSON it may have {MAX_JSON_BYTES // 2**20} MiB"
        raise bad(path, 1, f"more than {most // 2**20} MiB", hint)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad(path, data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    if text.startswith("\ufeff"):
        raise bad(path, 1, "a byte order mark stands before the text", "save it as UTF-8 without one")
    source = _from_json(path, text) if is_json else _from_yaml(path, text)
    _check(source)
    return source


def _bytes(path: Path, most: int) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(most + 1)
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except FileNotFoundError:
        raise Usage(f"there is no file {clean(str(path))}", hint="a YAML or JSON file; see examples/") from None
    except OSError as error:
        raise disk_fault("read", path, error) from error


def _check(source: Source) -> None:
    """Whatever else no record can carry."""
    if type_flaw(source.value) is None and _is_text(source.value):
        return
    at, reason = _flaw(source.value, ()) or ((), f"nested deeper than {MAX_DEPTH} levels")
    raise source.bad(at, reason, "mend it, or leave it out")


def _is_text(value: Any) -> bool:
    """Half a character, as one half of an escaped pair makes it, has no bytes in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _flaw(value: Any, at: Path_) -> tuple[Path_, str] | None:
    """Where the first part stands that no record can carry, and why."""
    if isinstance(value, int) and abs(value) > MAX_INT:
        return at, _no_number(str(value))
    if isinstance(value, str) and not _is_text(value):
        return at, "half a character (a lone surrogate) is in it"
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        if isinstance(key, str) and not key.isascii():
            return (*at, key), "a key that is not ASCII"
        if found := _flaw(item, (*at, key)):
            return found
    return None


# JSON.


class _Twice(ValueError):
    """A key stands twice."""


def _from_json(path: Path, text: str) -> Source:
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_float=_fraction, parse_constant=_fraction)
    except RecursionError:
        raise bad(path, 1, "nested too deep") from None
    except _Twice as error:
        key = json.dumps(error.args[0])
        raise bad(
            path, _line_of_twin(text, key), f"the key {clean(key, limit=80)} stands twice in one mapping"
        ) from None
    except json.JSONDecodeError as error:
        raise bad(path, error.lineno, f"no JSON: {error.msg}") from None
    except ValueError as error:
        word = str(error.args[0])
        line = text.count("\n", 0, max(0, text.find(word))) + 1
        raise bad(path, line, _no_number(word if len(word) < 40 and " " not in word else "a number")) from None
    return Source(path, value, {}, text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return found


def _line_of_twin(text: str, key: str) -> int:
    """Where a key stands for the second time in one object."""
    seen: list[set[str]] = []
    name = ""
    for found in _TOKEN.finditer(text):
        word = found[0]
        if word == "{":
            seen.append(set())
        elif word == "}" and seen:
            seen.pop()
        elif word == ":" and seen:
            if name == key and name in seen[-1]:
                return text.count("\n", 0, found.start()) + 1
            seen[-1].add(name)
        name = word
    return 1


def _fraction(word: str) -> Any:
    raise ValueError(word)


def _no_number(word: str) -> str:
    return f"{word[:40]} is a number that records do not carry: write a whole number, or put it into quotes"


def _json_lines(text: str, wanted: Path_) -> dict[Path_, int]:
    """Path -> line for the parts of sound JSON on the way to one of them; asked for only where something is wrong."""
    lines: dict[Path_, int] = {}
    at: list[str | int] = []
    key, line, end = True, 1, 0
    opened: list[str] = []
    for found in _TOKEN.finditer(text):
        word = found[0]
        line, end = line + text.count("\n", end, found.start()), found.start()
        if word in "{[":
            lines.setdefault(tuple(at), line)
            opened.append(word)
            at.append("" if word == "{" else 0)
            key = word == "{"
        elif word in "}]":
            opened.pop()
            at.pop()
        elif word == ",":
            key = opened[-1] == "{"
            at[-1] = at[-1] + 1 if isinstance(at[-1], int) else ""
        elif word == ":":
            key = False
        elif key and opened and opened[-1] == "{":
            at[-1] = json.loads(word)
            lines.setdefault(tuple(at), line)
        else:
            lines.setdefault(tuple(at), line)
        if wanted in lines:
            break
    return lines


# YAML.


class _Event(NamedTuple):
    kind: str
    value: str
    line: int
    plain: bool


def _from_yaml(path: Path, text: str) -> Source:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("%"):  # the parser asserts on some of them
            raise bad(path, number, "directives are not allowed")
        if _LONG_TAG.search(line):  # over which the parser would brood for minutes
            raise bad(path, number, "tags are not allowed", "leave out what begins with `!`")
        if "\t" in line[: len(line) - len(line.lstrip())]:
            raise bad(path, number, "a tab stands where YAML wants spaces", "indent with spaces")
    try:
        return _Reader(path, _events(path, text)).source()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise bad(path, mark.line + 1 if mark else 1, clean(str(error.problem or error.context))) from None
    except YAMLError as error:
        at = getattr(error, "position", 0) or 0
        raise bad(path, text.count("\n", 0, at) + 1, "a character that YAML does not allow") from None
    except (ValueError, AssertionError, IndexError, OverflowError):  # the parser's own, for what it does not foresee
        raise bad(path, text.count("\n", 0, max(0, text.find("\\U"))) + 1, "no YAML") from None


def _events(path: Path, text: str) -> Iterator[_Event]:
    """The events as a stream, so that a bomb stops at its first named or too deep node (trap B10)."""
    from ruamel.yaml import YAML

    depth = nodes = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        kind, line = type(event).__name__.removesuffix("Event"), event.start_mark.line + 1
        if kind == "Alias" or getattr(event, "anchor", None):
            raise bad(path, line, "anchors and aliases are not allowed")
        if getattr(event, "tag", None):
            raise bad(path, line, "tags are not allowed", "leave out what begins with `!`")
        depth, nodes = depth + kind.endswith("Start") - kind.endswith("End"), nodes + 1
        if depth > MAX_DEPTH + 2:  # stream and document
            raise bad(path, line, f"nested deeper than {MAX_DEPTH} levels")
        if nodes > MAX_NODES:
            raise bad(path, line, f"more than {MAX_NODES} parts")
        plain = kind == "Scalar" and not event.style
        yield _Event(kind, _paired(str(getattr(event, "value", ""))), line, plain)


def _paired(text: str) -> str:
    """JSON writes a character beyond U+FFFF as two escaped halves, and JSON is YAML."""
    if text.isascii() or _is_text(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


class _Reader:
    """Makes values of events."""

    def __init__(self, path: Path, events: Iterator[_Event]) -> None:
        self.path, self.events = path, events
        self.lines: dict[Path_, int] = {}

    def source(self) -> Source:
        """The one document of the file."""
        value: Any = None
        documents = 0
        for event in self.events:
            if event.kind == "DocumentStart":
                documents += 1
                if documents > 1:
                    raise bad(self.path, event.line, "a second document begins here; one file is one order")
                value = self._value(next(self.events), ())
        return Source(self.path, value, self.lines)

    def _value(self, event: _Event, at: Path_) -> Any:
        self.lines.setdefault(at, event.line)
        if event.kind == "MappingStart":
            return self._mapping(at)
        if event.kind == "SequenceStart":
            items: list[Any] = []
            while (inner := next(self.events)).kind != "SequenceEnd":
                items.append(self._value(inner, (*at, len(items))))
            return items
        return self._scalar(event) if event.plain else event.value

    def _mapping(self, at: Path_) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (event := next(self.events)).kind != "MappingEnd":
            if event.kind != "Scalar":
                raise bad(self.path, event.line, "a key is to be a word")
            name, here = event.value, (*at, event.value)
            if name in found:
                first = self.lines[here]
                shown = clean(name, limit=60)
                raise bad(self.path, event.line, f"the key {shown} stands here a second time (first in line {first})")
            self.lines[here] = event.line
            found[name] = self._value(next(self.events), here)
        return found

    def _scalar(self, event: _Event) -> Any:
        word = event.value
        if word in _WORDS:
            return _WORDS[word]
        if len(word) <= 20 and _INT.fullmatch(word):
            return int(word)
        if _NUMBER.fullmatch(word):
            raise bad(self.path, event.line, _no_number(word))
        return word
