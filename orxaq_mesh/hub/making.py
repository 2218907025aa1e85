"""A hub is made, adopted, examined: its hook, its settings, its git configuration.

Knows: which files and which configuration make a bare repository one that enforces.
Knows not: what the hook refuses (`judging`), who serves the hub.

    make(Path("/srv/fleet.git"), HubSettings(), environ)
    [point for point in examine(Path("/srv/fleet.git"), environ) if point.level != "good"]
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.errors import MeshError, MeshFault, Usage
from orxaq_mesh.home.files import atomic_write, disk_fault
from orxaq_mesh.hub import door
from orxaq_mesh.hub.judging import Judge
from orxaq_mesh.hub.settings import FILE, FOLDER, HubSettings, read_settings, settings_bytes
from orxaq_mesh.store import answers
from orxaq_mesh.store.answers import Ran
from orxaq_mesh.store.environment import git_environment
from orxaq_mesh.store.pipes import finish
from orxaq_mesh.text import clean

HOOK = "hooks/pre-receive"
MAX_PACK_BYTES = 64 * 1024 * 1024
TIMEOUT_MS = 30_000

CONFIGURATION: tuple[tuple[str, str], ...] = (
    ("core.hooksPath", "hooks"),  # a pusher's own `core.hooksPath` would take the place of these, by path
    ("receive.denyNonFastForwards", "true"),
    ("receive.denyDeletes", "true"),
    ("receive.fsckObjects", "true"),
    ("transfer.fsckObjects", "true"),
    ("receive.maxInputSize", str(MAX_PACK_BYTES)),
    ("receive.shallowUpdate", "false"),
)
_MARK = "# Made by `mesh hub`"
_ALONE = '[ -z "${GIT_NAMESPACE-}" ] || { echo "CLOSED: this hub has no namespaces" >&2; exit 1; }'
_COUNTS = (
    "GIT_QUARANTINE_PATH",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "MESH_HUB_NODE",
    "REMOTE_USER",
)


class Point(NamedTuple):
    """One thing that was looked at: `good`, `look` or `bad`; and how it is mended."""

    name: str
    level: str
    what: str
    mend: str = ""


def hook_text() -> str:
    """The hook: it starts this very python with this very program, and names what of the environment counts."""
    python, program = shlex.quote(sys.executable), shlex.quote(str(Path(door.__file__).absolute()))
    words = " ".join(f'"${{{name}-}}"' for name in _COUNTS)
    return f"#!/bin/sh\n{_MARK}: refuses what would break the ledger. `mesh hub check` looks after it.\n{_ALONE}\nexec {python} -I -S {program} {words}\n"


def make(hub: Path, settings: HubSettings, environ: Mapping[str, str]) -> None:
    """A new bare repository that enforces.

    Raises:
        Usage: something is there already.
        MeshFault: disk or git is at fault.
    """
    check_free(hub)
    args = ["init", "--quiet", "--bare", "--template=", f"--initial-branch={settings.trunk}", str(hub)]
    _good(_git(args, environ), "make a repository")
    adopt(hub, settings, environ)


def check_free(hub: Path) -> None:
    """Whether a hub can be made here.

    Raises:
        Usage: something is there already.
    """
    if hub.exists() and not (hub.is_dir() and not any(hub.iterdir())):
        raise Usage(f"something is there already: {hub}", hint=f"mesh hub adopt {shlex.quote(str(hub))}")


def adopt(hub: Path, settings: HubSettings, environ: Mapping[str, str]) -> None:
    """Turn a bare repository into one that enforces; done again, it brings hook and configuration up to date.

    Raises:
        Usage: this is no bare repository, or it has such a hook of its own.
        MeshFault: disk or git is at fault, or the hook does not work here.
    """
    check_bare(hub, environ)
    file = hub / HOOK
    if file.exists() and _MARK not in file.read_text("utf-8", "replace"):
        raise Usage(f"the hub has a hook of its own: {file}", hint="move it away, or call it from a post-receive hook")
    for key, value in CONFIGURATION:
        _good(_git(["config", "--file", str(hub / "config"), key, value], environ), f"set {key}")
    write_settings(hub, settings)
    try:
        (hub / FOLDER).chmod(hub.stat().st_mode & 0o7777)  # who may serve the hub may keep a snapshot, too
        file.parent.mkdir(exist_ok=True)
        atomic_write(file, hook_text().encode(), 0o755)
    except OSError as error:
        raise disk_fault("write", file, error) from error
    with contextlib.suppress(MeshError):
        Judge(hub, environ).catch_up()  # the snapshot; what is in its way the hook says next
    tried = _hook(hub, environ, "mesh hub check PATH")
    if tried.level == "bad":
        raise MeshFault(tried.what, hint="until that is mended, this hub lets nothing in")


def check_bare(hub: Path, environ: Mapping[str, str]) -> None:
    """Whether this is a bare repository.

    Raises:
        Usage: it is none.
    """
    ran = _git([f"--git-dir={hub}", "rev-parse", "--is-bare-repository"], environ)
    if not ran.good or ran.out.strip() != b"true":
        raise Usage(f"not a bare repository: {hub}", hint="mesh hub init PATH makes one")


def write_settings(hub: Path, settings: HubSettings) -> None:
    """Write what the hub's owner says of it."""
    atomic_write(hub / FOLDER / FILE, settings_bytes(settings), 0o644)


def examine(hub: Path, environ: Mapping[str, str]) -> Iterator[Point]:
    """What is to be said of a hub, point by point.

    Raises:
        Usage: this is no bare repository.
    """
    check_bare(hub, environ)
    adopt_it = f"mesh hub adopt {shlex.quote(str(hub))}"
    yield from _settings(hub, adopt_it)
    yield _hook(hub, environ, adopt_it)
    for key, value in CONFIGURATION:
        ran = _git(["config", "--file", str(hub / "config"), key], environ)
        found = ran.out.decode("utf-8", "replace").strip()
        if key == "receive.maxInputSize" and found.isdecimal() and int(found) > 0:
            continue
        if found.lower() != value.lower():
            yield Point(
                "config", "bad", f"{key} is {clean(found, limit=60) or 'not set'}; it must be {value}", adopt_it
            )
    yield from other_names(hub, environ)
    yield _trunk(hub, environ)


def _settings(hub: Path, adopt_it: str) -> Iterator[Point]:
    try:
        settings = read_settings(hub)
    except MeshFault as error:
        yield Point("settings", "bad", error.what, adopt_it)
        return
    if settings.users:
        count = sum(map(len, settings.users.values()))
        yield Point("outboxes", "good", f"{count} of user and node are known: an outbox is moved by its node only")
    else:
        what = "no user is mapped to a node: who moves an outbox is known only where MESH_HUB_NODE says it"
        yield Point("outboxes", "look", what, "mesh hub allow PATH USER NODE")


def other_names(hub: Path, environ: Mapping[str, str]) -> Iterator[Point]:
    """Refs that are only other names: what is pushed to one moves a branch that was not named."""
    ran = _git([f"--git-dir={hub}", "for-each-ref", "--format=%(if)%(symref)%(then)%(refname)%(end)"], environ)
    for name in filter(None, ran.out.decode("utf-8", "backslashreplace").split("\n")):
        ref = clean(name, limit=120)
        mend = f"git symbolic-ref --delete {shlex.quote(ref)}"
        if _is_ledgers(hub, name):  # it holds a part of the ledger: it stays, as a branch of its own
            mend = f"git update-ref --no-deref {shlex.quote(ref)} $(git rev-parse {shlex.quote(ref)})"
        yield Point("refs", "bad", f"{ref} is another name of a branch", mend)


def _is_ledgers(hub: Path, ref: str) -> bool:
    with contextlib.suppress(MeshFault):
        return answers.is_branch(ref.removeprefix("refs/heads/"), read_settings(hub).trunk)
    return False


def _hook(hub: Path, environ: Mapping[str, str], adopt_it: str) -> Point:
    file = hub / HOOK
    try:
        text = file.read_text("utf-8")
    except OSError:
        return Point("hook", "bad", f"there is no {HOOK}: this hub lets everything in", adopt_it)
    if _MARK not in text:
        return Point("hook", "bad", f"{HOOK} is not the mesh's: this hub enforces nothing of it", "move it away")
    if not os.access(file, os.X_OK):
        return Point("hook", "bad", f"{HOOK} is not executable: git passes it by", adopt_it)
    if text != hook_text():
        return Point("hook", "bad", f"{HOOK} is of another version, or starts another python", adopt_it)
    argv = [str(file.absolute())]
    ran = finish(_started(argv, dict(environ), hub), b"", TIMEOUT_MS)
    if ran.code != 0:
        return Point("hook", "bad", f"{HOOK} does not work: {answers.reason(ran)}", adopt_it)
    return Point("hook", "good", f"{HOOK} is in place, of this version, and answers")


def _trunk(hub: Path, environ: Mapping[str, str]) -> Point:
    try:
        ledger = Judge(hub, environ).catch_up()
    except MeshError as error:
        return Point("trunk", "bad", error.what, error.hint)
    if not ledger.state.epoch:
        return Point("trunk", "good", "no ledger has been founded here yet")
    if ledger.flaws:
        what = f"damaged: {len(ledger.flaws)} files, the first {clean(min(ledger.flaws))}"
        return Point("trunk", "look", what, "the next node that publishes mends it")
    return Point("trunk", "good", f"ledger {str(ledger.id)[:12]}, epoch {ledger.state.epoch}, every line verified")


def _git(args: list[str], environ: Mapping[str, str]) -> Ran:
    return finish(_started(["git", *args], git_environment(environ), Path("/")), b"", TIMEOUT_MS)


def _started(argv: list[str], env: Mapping[str, str], folder: Path) -> subprocess.Popen[bytes]:
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=env, cwd=folder, start_new_session=True)
    except OSError as error:
        raise MeshFault(
            f"cannot start {argv[0]}: {error.strerror or error}", hint="install git 2.39 or later"
        ) from error


def _good(ran: Ran, doing: str) -> None:
    if not ran.good:
        raise MeshFault(f"git cannot {doing}: {answers.reason(ran)}")
