"""What a git process of ours may see: hub URLs that are safe to name, and one environment, built in one place.

Knows: which URLs git takes for something else than an address (trap B5), which variables and settings make git run
foreign code, ask questions, translate, or read objects that are not there (traps B4, B11, B15).
Knows not: processes, files, the environment it starts from (`home` reads it; here it is an argument).

    check_hub_url("git@github.com:acme/fleet.git")       # the same, or errors.Usage
    git_environment(environ)                             # a dict, complete: nothing else is inherited
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from orxaq_mesh import errors
from orxaq_mesh.text import clean

PROTOCOLS = ("file", "ssh", "http", "https")
NOWHERE = "/dev/null"
"""git reads this as an empty file on Windows too."""

# Trust anchors, not behaviour: without them a network with its own certificate authority has no hub.
_KEPT = ("GIT_SSL_CAINFO", "GIT_SSL_CAPATH")
_NO_QUESTIONS = ("SSH_ASKPASS", "GCM_INTERACTIVE")

# A user's configuration is read, for it may hold what lets them in (`credential.helper`, proxies, certificates).
# These lines stand above it; each is one that would otherwise run something, ask something or change our bytes.
SETTINGS: tuple[tuple[str, str], ...] = (
    ("core.hooksPath", NOWHERE),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", NOWHERE),
    ("core.excludesFile", NOWHERE),
    ("core.alternateRefsCommand", "true"),  # one process less a fetch; our own refs are known anyway
    ("core.bigFileThreshold", "1m"),  # larger blobs are streamed, never held in memory (B6)
    ("core.logAllRefUpdates", "false"),
    ("transfer.fsckObjects", "true"),  # B7
    ("fetch.fsckObjects", "true"),
    ("fetch.fsck.skipList", NOWHERE),
    ("fetch.unpackLimit", "1"),  # always a pack: it appears whole, by one rename
    ("fetch.negotiationAlgorithm", "consecutive"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.writeCommitGraph", "false"),
    ("submodule.recurse", "false"),
    ("transfer.bundleURI", "false"),  # a hub must not name further addresses
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("push.followTags", "false"),
    ("push.gpgSign", "false"),
    ("push.negotiate", "false"),
    ("push.pushOption", ""),
    ("push.recurseSubmodules", "no"),
    ("protocol.version", "2"),
    ("protocol.allow", "never"),
    *((f"protocol.{name}.allow", "always") for name in PROTOCOLS),
    ("color.ui", "false"),
    ("credential.interactive", "false"),
)

# A control socket's path may have 104 bytes on macOS; ssh adds a name of 40 and, while it makes one, 17 more.
_CONTROL_DIR = re.compile(r"/[A-Za-z0-9._/+@-]{1,44}")
_SCP = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9._+-]*@)?(?:[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):(?P<path>.+)")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+~%-]*(?::.*)?")
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_TRANSPORT = re.compile(r"[A-Za-z0-9+.-]*::")
_DRIVE = re.compile(r"[A-Za-z]:[\\/][^-]")
_MAX_URL = 1024


def check_hub_url(url: str) -> str:
    """The URL itself, if all that git can take it for is the address of a repository (trap B5).

    Allowed: an absolute path, `file:///path`, `ssh://`, `user@host:path`, `http://`, `https://`.

    Raises:
        Usage: it is something else; nothing was started.
    """
    # git decodes %2d and %0a in an address after it has looked at it: both spellings must be harmless.
    flaw = _url_flaw(url) or _url_flaw(unquote(url))
    if flaw:
        raise errors.Usage(
            f"this is no address of a hub: {clean(url, limit=120)} ({flaw})",
            hint="use an absolute path, ssh://, user@host:path, http:// or https://",
        )
    return url


def _url_flaw(url: str) -> str | None:
    if not url or len(url) > _MAX_URL:
        return f"it has {len(url)} characters"
    if not url.isprintable() or any(char.isspace() for char in url):
        return "it has spaces or control characters"
    if url.startswith("-"):
        return "git would take it for an option"
    if _TRANSPORT.match(url):
        return "it names a program to run"
    if "://" in url:
        return _scheme_flaw(url)
    if url.startswith("/") or _DRIVE.match(url):
        return None
    found = _SCP.fullmatch(url)
    if found is None:
        return "it is neither an absolute path nor user@host:path"
    return "its path looks like an option" if found["path"].startswith("-") else None


def _scheme_flaw(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        user, host, _ = parts.netloc.rpartition("@")[0], parts.hostname or "", parts.port
    except ValueError as error:
        return str(error)
    if not url.startswith(f"{parts.scheme}://") or parts.scheme not in PROTOCOLS:
        return f"only {', '.join(PROTOCOLS)} are spoken"
    if not parts.path.strip("/"):
        return "it has no path"
    if parts.scheme == "file":
        return "a file URL has three slashes" if parts.netloc else None
    if not _HOST.fullmatch(host):
        return "its host has characters that no host has"
    if user and not _USER.fullmatch(user):
        return "its user has characters that no user has"
    return None


def git_environment(
    base: Mapping[str, str],
    *,
    ssh_control_dir: str | None = None,
    connect_timeout_s: int = 10,
    global_config: str | None = None,
) -> dict[str, str]:
    """The whole environment of a git process: no line of it is inherited by accident.

    Args:
        base: the environment to start from. Its GIT_* are dropped, all but two paths of certificates.
        ssh_control_dir: a private directory where ssh keeps one connection open between calls; None, or a path too
            long for a socket: a connection a call.
        connect_timeout_s: seconds that ssh tries to connect.
        global_config: a file that stands for the user's global configuration (see `hub_side_config`).
    """
    kept = {name: value for name, value in base.items() if name in _KEPT or not _dropped(name)}
    ours = {
        "LC_ALL": "C.UTF-8",
        "LANGUAGE": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "SSH_ASKPASS_REQUIRE": "never",
        "GCM_INTERACTIVE": "never",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_GRAFT_FILE": NOWHERE,
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_SSH_COMMAND": ssh_command(ssh_control_dir, connect_timeout_s),
        "GIT_SSH_VARIANT": "ssh",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "GIT_ADVICE": "0",
    }
    if global_config:
        ours["GIT_CONFIG_GLOBAL"] = global_config
    return kept | ours | _settings()


def _dropped(name: str) -> bool:
    return name.upper().startswith("GIT_") or name in _NO_QUESTIONS


def _settings() -> dict[str, str]:
    lines = {"GIT_CONFIG_COUNT": str(len(SETTINGS))}
    for number, (key, value) in enumerate(SETTINGS):
        lines |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return lines


def ssh_command(control_dir: str | None, connect_timeout_s: int) -> str:
    """What git calls for ssh: never a question, never a wait without end; one kept connection where it may."""
    words = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={connect_timeout_s}"]
    words += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
    if control_dir and _CONTROL_DIR.fullmatch(control_dir):
        words += ["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", f"ControlPath={control_dir}/%C"]
    return shlex.join(words)


def hub_side_config(base: Mapping[str, str]) -> str:
    """The text of a global configuration under which a hub on this disk runs its own hooks, and nobody else's.

    git serves a hub by file path with a process that reads the user's global configuration, but none of ours. There
    a `core.hooksPath` would take the place of the hub's own hooks. So ours is read last: the user's files, then
    hooks where every repository has them. The hub's own configuration still has the last word.
    """
    home = base.get("HOME", "")
    folder = base.get("XDG_CONFIG_HOME") or (f"{home}/.config" if home else "")
    files = [f"{folder}/git/config"] * bool(folder) + [f"{home}/.gitconfig"] * bool(home)
    includes = [f"\tpath = {_quoted(file)}\n" for file in files if file.isprintable()]
    return "".join(["[include]\n", *includes, "[core]\n\thooksPath = hooks\n\talternateRefsCommand = true\n"])


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
