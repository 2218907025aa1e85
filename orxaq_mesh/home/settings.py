"""The settings of a node and the profiles of hubs, as data.

Knows: each setting's name, type, range, default and environment variable; how often each kind of hub may be asked.
Knows not: where a value comes from (`config`).

    PROFILES["github"].push_per_minute           # 6
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from orxaq_mesh.errors import MeshError, Usage

Scalar = str | int | tuple[str, ...] | None


class Setting(NamedTuple):
    """One setting. `type` is `text`, `number` or `words` (an argv); `among` lists the only values, if there is a list."""

    name: str
    type: str
    default: Scalar
    says: str
    unit: str = ""
    least: int = 1
    most: int = 24 * 3600 * 1000
    among: tuple[str, ...] = ()

    @property
    def env(self) -> str:
        """The environment variable: MESH_ and the name in capitals."""
        return f"MESH_{self.name.upper()}"


class Profile(NamedTuple):
    """How a kind of hub wants to be treated. The poll is quicker while something waits for an answer."""

    name: str
    push_per_minute: int
    push_burst: int
    poll_ms: int
    poll_waiting_ms: int


# GitHub recommends at most about 6 pushes a minute a repository (trap C19); a bare repository on a LAN knows no limit.
PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("github", push_per_minute=6, push_burst=6, poll_ms=15_000, poll_waiting_ms=5_000),
        Profile("lan", push_per_minute=600, push_burst=60, poll_ms=2_000, poll_waiting_ms=500),
    )
}

SETTINGS: Final = {
    setting.name: setting
    for setting in (
        Setting("hub", "text", None, "the hub's address, where none is recorded for this node"),
        Setting("trunk", "text", "mesh", "the branch that holds the ledger"),
        Setting(
            "profile", "text", None, "how the hub is treated; by default judged by its address", among=(*PROFILES,)
        ),
        Setting("poll_ms", "number", None, "time between two looks at an idle hub; the profile's", "ms", least=100),
        Setting("push_per_minute", "number", None, "pushes a minute at most; the profile's", "1/min", most=60_000),
        Setting("timeout_ms", "number", 30_000, "how long one git process may take", "ms", least=100),
        Setting("ssh_command", "words", None, "the ssh that git uses, as a list of words"),
        Setting("session", "text", None, "who holds leases on this node; by default what started the command"),
    )
}

_URL_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://(?:[^/@]*@)?(?P<host>\[[^\]]*\]|[^/:]*)")
_SCP_HOST = re.compile(r"(?:[^/@:]*@)?(?P<host>[^/:@]+):(?!//)")


def check(setting: Setting, value: str | list[str] | int, where: str) -> Scalar:
    """A raw value as the setting's type.

    Args:
        setting: which one.
        value: text, a whole number, or a list of words.
        where: its origin, for the error.

    Raises:
        Usage: with the origin and what is allowed.
    """
    if setting.type == "words":
        return _words(setting, value, where)
    if isinstance(value, list):
        raise _wrong(setting, where, f"must be one {setting.type}, not a list")
    return _number(setting, value, where) if setting.type == "number" else _text(setting, str(value), where)


def _words(setting: Setting, value: str | list[str] | int, where: str) -> Scalar:
    if isinstance(value, str):
        import shlex

        try:
            value = shlex.split(value)
        except ValueError as error:
            raise _wrong(setting, where, f"cannot be split into words: {error}") from None
    if not isinstance(value, list) or not value or not all(word and word.isprintable() for word in value):
        raise _wrong(setting, where, "must be a list of words, none empty or with control characters")
    return tuple(value)


def _number(setting: Setting, value: str | int, where: str) -> int:
    number = int(value) if re.fullmatch(r"[0-9]{1,12}", str(value)) else -1
    if not setting.least <= number <= setting.most:
        unit = f" {setting.unit}" if setting.unit else ""
        raise _wrong(setting, where, f"must be a whole number from {setting.least} to {setting.most}{unit}")
    return number


def _text(setting: Setting, value: str, where: str) -> str:
    if setting.among and value not in setting.among:
        raise _wrong(setting, where, f"must be one of {', '.join(setting.among)}")
    if not value or not value.isprintable():
        raise _wrong(setting, where, "must be text without control characters, and not empty")
    return value


def _wrong(setting: Setting, where: str, reason: str) -> MeshError:
    return Usage(f"{where}: {setting.name} {reason}", hint="mesh config show --origin", setting=setting.name)


def profile_for(hub: str | None) -> tuple[str, str]:
    """The profile's name for a hub's address, and why: a path on this machine is a LAN, a host may be a GitHub."""
    if hub is None:
        return "github", "default (no hub known)"
    found = _URL_HOST.match(hub) or _SCP_HOST.match(hub)
    host = found["host"].lower() if found else ""
    if hub.lower().startswith("file://") or not host:
        return "lan", "default for a hub on this machine"
    return "github", f"default for a hub at {host}"
