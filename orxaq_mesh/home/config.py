"""The value of each setting, and where it came from.

Knows: the order option, environment, the home's config.yaml, the user's config.yaml, default; the YAML that is allowed.
Knows not: what a setting does. Keeps law CLOSED (a file that cannot be understood stops us) and trap B10 (no anchors,
no aliases, no tags, 64 KiB at most).

    settings = resolve(home, {"profile": None}, os.environ)
    settings.poll_ms, settings.origins["poll_ms"]            # 2000, "profile lan"

A file is one flat mapping:

    profile: lan
    ssh_command: [ssh, -o, ControlMaster=auto]
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from orxaq_mesh.errors import Usage
from orxaq_mesh.home.files import disk_fault, is_ours
from orxaq_mesh.home.place import NAME, Home
from orxaq_mesh.home.settings import PROFILES, SETTINGS, Profile, Scalar, check, profile_for

MAX_CONFIG_BYTES = 64 * 1024
_Raw = str | list[str]


@dataclass(frozen=True)
class Settings:
    """All settings, resolved. `origins` names for each where its value came from (`mesh config show --origin`)."""

    hub: str | None
    trunk: str
    profile: str
    poll_ms: int
    push_per_minute: int
    timeout_ms: int
    ssh_command: tuple[str, ...] | None
    session: str | None
    origins: Mapping[str, str]

    @property
    def pace(self) -> Profile:
        """The hub's profile with this node's own numbers in it."""
        known = PROFILES[self.profile]
        return Profile(
            self.profile,
            self.push_per_minute,
            min(known.push_burst, self.push_per_minute),
            self.poll_ms,
            min(known.poll_waiting_ms, self.poll_ms),
        )


def resolve(
    home: Home,
    options: Mapping[str, str | int | list[str] | None] | None = None,
    environ: Mapping[str, str] = os.environ,
    hub: str | None = None,
) -> Settings:
    """Every setting from the first source that names it.

    Args:
        home: whose `config.yaml`.
        options: values from the command line; None is not given.
        environ: for MESH_*; an empty variable is not given. XDG_CONFIG_HOME moves the user's file.
        hub: the address this node has recorded; counts after option and environment, before the files.

    Raises:
        Usage: a value is not allowed, or a file is not understood (file and line named).
        MeshFault: a file cannot be read, or the home is open to others.
    """
    values: dict[str, Scalar] = {}
    origins: dict[str, str] = {}
    for name, raw, origin in _sources(home.check(), options or {}, environ, hub):
        value = check(SETTINGS[name], raw, origin)  # also where it is overruled: a bad line is never silent
        if name not in values:
            values[name], origins[name] = value, origin
    return _complete(values, origins)


def _sources(
    home: Home, options: Mapping[str, str | int | list[str] | None], environ: Mapping[str, str], hub: str | None
) -> Iterator[tuple[str, str | int | list[str], str]]:
    for name, option in options.items():
        if option is not None:
            yield name, option, f"option --{name.replace('_', '-')}"
    for setting in SETTINGS.values():
        if text := environ.get(setting.env):
            yield setting.name, text, f"environment {setting.env}"
    if hub is not None:
        yield "hub", hub, "the node's journal"
    for path in (home.config, user_config(environ)):
        for name, (raw, line) in read_file(path).items():
            yield name, raw, f"{path}, line {line}"


def _complete(values: dict[str, Scalar], origins: dict[str, str]) -> Settings:
    """Fill in defaults; those of `poll_ms` and `push_per_minute` are the profile's, and the profile's is the hub's."""
    if "profile" not in values:
        values["profile"], origins["profile"] = profile_for(cast("str | None", values.get("hub")))
    profile = PROFILES[str(values["profile"])]
    defaults = {name: (setting.default, "default") for name, setting in SETTINGS.items()}
    for name in ("poll_ms", "push_per_minute"):
        defaults[name] = (getattr(profile, name), f"profile {profile.name}")
    for name, (value, origin) in defaults.items():
        if name not in values:
            values[name], origins[name] = value, origin
    fields: dict[str, Any] = values
    return Settings(**fields, origins={name: origins[name] for name in SETTINGS})


def user_config(environ: Mapping[str, str] = os.environ) -> Path:
    """The user's own `config.yaml`, for all homes."""
    if chosen := environ.get("XDG_CONFIG_HOME"):
        return Path(chosen) / NAME / "config.yaml"
    import platformdirs

    return Path(platformdirs.user_config_dir(NAME, appauthor=False)) / "config.yaml"


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


def _plain_events(path: Path, text: str) -> Iterator[tuple[str, str, int]]:
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


def _mapping(path: Path, events: Iterator[tuple[str, str, int]]) -> dict[str, tuple[_Raw, int]]:
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


def _value(path: Path, events: Iterator[tuple[str, str, int]]) -> _Raw:
    kind, value, line = next(events)
    if kind == "Scalar":
        return value
    _expect(path, (kind, value, line), "SequenceStart")
    words = []
    while (event := next(events))[0] != "SequenceEnd":
        words.append(_expect(path, event, "Scalar")[1])
    return words


def _expect(path: Path, event: tuple[str, str, int], kind: str) -> tuple[str, str, int]:
    if event[0] != kind:
        raise _bad(path, event[2], "the file is to be one flat mapping: `name: value`, a list of words where needed")
    return event


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(re.sub(r"[ -]", "_", name.lower()), SETTINGS, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f" (there are {', '.join(SETTINGS)})"


def _bad(path: Path, line: int, reason: str) -> Usage:
    return Usage(f"{path}, line {line}: {reason}", hint=f"mend line {line} of {path}", file=str(path), line=line)
