"""The value of each setting, and where it came from.

Knows: the order option, environment, the home's config.yaml, the user's config.yaml, default.
Knows not: what a setting does, nor how a file is written (`flatyaml`). Keeps law CLOSED: what is not understood stops us.

    settings = resolve(home, {"profile": None}, os.environ)
    settings.poll_ms, settings.origins["poll_ms"]            # 2000, "profile lan"
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from orxaq_mesh.home.flatyaml import read_file
from orxaq_mesh.home.place import NAME, Home
from orxaq_mesh.home.settings import PROFILES, SETTINGS, Profile, Scalar, check, profile_for


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
