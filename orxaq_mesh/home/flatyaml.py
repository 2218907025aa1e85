"""A configuration file: one flat mapping of settings, and nothing else that YAML can do.

Knows: which YAML is allowed, and in which file and line it is not.
Knows not: which value a setting may have (`settings`), nor which source wins (`config`).
Trap B10: no anchors, aliases, tags, directives or nesting, 64 KiB at most; law CLOSED: nothing is passed over.

    profile: lan
    ssh_command: [ssh, -o, ControlMaster=auto]
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from orxaq_mesh.errors import Usage
from orxaq_mesh.home.files import disk_fault, is_ours
from orxaq_mesh.home.settings import SETTINGS

MAX_CONFIG_BYTES = 64 * 1024
_Raw = str | list[str]
_Event = tuple[str, str, int]


def read_file(path: Path) -> dict[str, tuple[_Raw, int]]:
    """A file's settings as text or lists of words, each with its line; nothing where there is no such file.

    Raises:
        Usage: the file is too large or is not understood; names file and line.
        MeshFault: it cannot be read, or is another user's.
    """
    try:
        with path.open("rb") as file:
            if not is_ours(os.fstat(file.fileno())):
                raise _bad(path, 1, "the file belongs to another user")
            data = file.read(MAX_CONFIG_BYTES + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise disk_fault("read", path, error) from error
    if len(data) > MAX_CONFIG_BYTES:
        raise _bad(path, 1, f"more than {MAX_CONFIG_BYTES} bytes")
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.startswith(b"%"):  # the parser asserts on some of them
            raise _bad(path, number, "directives are not allowed")
    return _parse(path, data)


def _parse(path: Path, data: bytes) -> dict[str, tuple[_Raw, int]]:
    from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError

    try:
        return _mapping(path, _plain_events(path, data.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise _bad(path, data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _bad(path, line, str(error.problem)) from None
    except (YAMLError, YAMLStreamError) as error:
        position = getattr(error, "position", 0)
        raise _bad(path, data.decode()[:position].count("\n") + 1, "a character that YAML does not allow") from None
    except ValueError:  # the parser's own, for an escape beyond the last character
        raise _bad(path, data.count(b"\n", 0, data.find(b"\\U")) + 1, "an escape that is no character") from None


def _plain_events(path: Path, text: str) -> Iterator[_Event]:
    """(event, value, line) as a stream, so that a bomb stops at its first nested or named node (trap B10)."""
    from ruamel.yaml import YAML

    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):
        kind, line = type(event).__name__.removesuffix("Event"), event.start_mark.line + 1
        if kind == "Alias" or getattr(event, "anchor", None):
            raise _bad(path, line, "anchors and aliases are not allowed")
        if getattr(event, "tag", None):
            raise _bad(path, line, "tags are not allowed")
        depth += kind.endswith("Start") - kind.endswith("End")
        if depth > 4:  # stream, document, mapping, list
            raise _bad(path, line, "nested too deep")
        yield kind, str(getattr(event, "value", "")), line


def _mapping(path: Path, events: Iterator[_Event]) -> dict[str, tuple[_Raw, int]]:
    found: dict[str, tuple[_Raw, int]] = {}
    _expect(path, next(events), "StreamStart")
    kind, _, line = next(events)
    if kind == "StreamEnd":
        return found
    _expect(path, next(events), "MappingStart")
    while (event := next(events))[0] != "MappingEnd":
        _, name, line = _expect(path, event, "Scalar")
        if name not in SETTINGS:
            raise _bad(path, line, f"no setting is named {name[:40]!a}{_nearest(name)}")
        if name in found:
            raise _bad(path, line, f"{name} stands here a second time (first in line {found[name][1]})")
        found[name] = (_value(path, events), line)
    _expect(path, next(events), "DocumentEnd")
    _expect(path, next(events), "StreamEnd")
    return found


def _value(path: Path, events: Iterator[_Event]) -> _Raw:
    kind, value, line = next(events)
    if kind == "Scalar":
        return value
    _expect(path, (kind, value, line), "SequenceStart")
    words = []
    while (event := next(events))[0] != "SequenceEnd":
        words.append(_expect(path, event, "Scalar")[1])
    return words


def _expect(path: Path, event: _Event, kind: str) -> _Event:
    if event[0] != kind:
        raise _bad(path, event[2], "the file is to be one flat mapping: `name: value`, a list of words where needed")
    return event


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(re.sub(r"[ -]", "_", name.lower()), SETTINGS, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f" (there are {', '.join(SETTINGS)})"


def _bad(path: Path, line: int, reason: str) -> Usage:
    return Usage(f"{path}, line {line}: {reason}", hint=f"mend line {line} of {path}", file=str(path), line=line)
