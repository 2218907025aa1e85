"""What may be wrong with a node on this machine, and how it is mended.

Knows: git's version, the files of the home, clocks, locks, the hub as it answers now.
Knows not: printing; no law of the ledger (`inspect.verify`). It changes nothing, but for an empty commit where a push is
to be tried.

    for finding in examine(mesh):
        finding.level, finding.name, finding.what, finding.mend      # "bad", "key", "others may read ...", "chmod 600 ..."
"""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from orxaq_mesh import status as status_room
from orxaq_mesh.errors import MeshError
from orxaq_mesh.home.clock import Clock
from orxaq_mesh.home.files import read_json_cache
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.keyfiles import load
from orxaq_mesh.home.locks import holder
from orxaq_mesh.text import clean

if TYPE_CHECKING:
    from orxaq_mesh.mesh import Mesh
    from orxaq_mesh.store.git import GitStore

GOOD, LOOK, BAD = "good", "look", "bad"
GIT_FLOOR = (2, 39)
CLOCK_SLACK_MS = 120_000
LOW_DISK_BYTES = 200 * 1024 * 1024
GIT_TIMEOUT_S = 10
NO_DAMAGE = frozenset({"CLOSED", "DIGEST", "RULES"})
"""Alarms after which the hub's trunk need not change: nobody answers, two versions judge, one version is too old."""

_KNOWN_BAD = (
    ((2, 39, 0), (2, 39, 1), "CVE-2022-41903: upgrade to 2.39.1 or later"),
    ((2, 45, 1), (2, 45, 2), "it refuses hooks and clones that are fine: upgrade to 2.45.2"),
)
"""(from, before, why): releases of git that should not run here."""


class Finding(NamedTuple):
    """One thing that was looked at. `level` is good, look (worth a look) or bad; `mend` is the next step."""

    level: str
    name: str
    what: str
    mend: str = ""


def examine(mesh: Mesh, *, push: bool = False) -> list[Finding]:
    """Look at everything, whatever of it fails.

    Args:
        push: try whether the trunk can be moved, by a commit that changes nothing. It is tried anyhow where records wait.
    """
    checks = (*CHECKS, _push if push or _waits(mesh) else _no_push, _mend)
    return [finding for check in checks for finding in _guarded(check, mesh)]


def _waits(mesh: Mesh) -> bool:
    with contextlib.suppress(MeshError, OSError):
        return bool(mesh.status(offline=True)["pending"])
    return False


Check = Callable[["Mesh"], Iterator[Finding]]


def _guarded(check: Check, mesh: Mesh) -> list[Finding]:
    name = check.__name__.strip("_")
    try:
        return list(check(mesh))
    except MeshError as error:
        return [Finding(BAD, name, error.what, error.hint)]
    except OSError as error:
        return [Finding(BAD, name, f"cannot be looked at: {error.strerror or error}")]


def _git(_: Mesh) -> Iterator[Finding]:
    try:
        done = subprocess.run(
            ["git", "--version"], capture_output=True, timeout=GIT_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        yield Finding(BAD, "git", f"cannot be run: {error}", "install git 2.39 or later")
        return
    said = clean(done.stdout.decode("utf-8", "replace").strip(), limit=80)
    yield judge_git(said)


def judge_git(said: str) -> Finding:
    """What `git --version` said, judged."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    if found is None:
        return Finding(BAD, "git", f"says no version: {said!r}", "install git 2.39 or later")
    version = tuple(int(part or 0) for part in found.groups())
    if version[:2] < GIT_FLOOR:
        return Finding(BAD, "git", f"{said} is older than 2.39", "install git 2.39 or later")
    for first, fixed, why in _KNOWN_BAD:
        if first <= version < fixed:
            return Finding(LOOK, "git", f"{said} is known to be bad", why)
    return Finding(GOOD, "git", said)


def _home(mesh: Mesh) -> Iterator[Finding]:
    mesh.home.check()
    free = shutil.disk_usage(mesh.home.path if mesh.home.path.exists() else "/").free
    if free < LOW_DISK_BYTES:
        yield Finding(BAD, "disk", f"{free // 1024**2} MiB are free for {mesh.home.path}", "make room")
    else:
        yield Finding(GOOD, "disk", f"{free // 1024**3} GiB free")
    entry = status_room.identity_entry(mesh.home)
    yield Finding(GOOD, "home", f"{mesh.home.path}: node {entry['node']}, log {entry['log']}")


def _key(mesh: Mesh) -> Iterator[Finding]:
    key = load(mesh.home.path / mesh.identity().key)
    yield Finding(GOOD, "key", f"{key.public.fingerprint}, closed to others")
    if mesh.home.recovery.exists():
        what = f"the recovery key lies on this machine: {mesh.home.recovery}"
        yield Finding(LOOK, "recovery", what, f"copy it to a place that is offline, then shred -u {mesh.home.recovery}")


def _journal(mesh: Mesh) -> Iterator[Finding]:
    journal = Journal.open(mesh.home.journal)
    torn = sorted(mesh.home.path.glob("journal.torn-*"))
    if torn:
        what = f"an append was once cut off and put aside: {', '.join(file.name for file in torn)}"
        yield Finding(LOOK, "journal", what, f"nothing in it was pushed; rm {torn[0]}")
    yield Finding(GOOD, "journal", f"{len(journal.entries)} entries, {journal.size} bytes")


def _locks(mesh: Mesh) -> Iterator[Finding]:
    from orxaq_mesh.store.housekeeping import stale_locks

    sync = holder(mesh.home, "sync")
    if sync is None:
        yield Finding(LOOK, "mesh-sync", "none runs for this node: leases are not renewed", "mesh-sync")
    else:
        yield Finding(GOOD, "mesh-sync", f"runs: {sync}")
    locks = stale_locks(mesh.home.store, Clock().wall() / 1000) if mesh.home.store.exists() else []
    for lock in locks:
        if lock.stale:
            what = f"{lock.file} is {lock.age_s} s old and has no process behind it"
            yield Finding(LOOK, "locks", what, "mesh sync removes it")
    if not any(lock.stale for lock in locks):
        yield Finding(GOOD, "locks", "none is stale")


def _clock(mesh: Mesh) -> Iterator[Finding]:
    clock = Clock()
    before = clock.now_ms(), clock.wall()
    time.sleep(0.05)
    steps = clock.now_ms() - before[0], clock.wall() - before[1]
    if not 0 < steps[0] < 10_000 or abs(steps[0] - steps[1]) > 1000:
        yield Finding(
            BAD, "clock", f"boot-time and wall clock went on by {steps[0]} and {steps[1]} ms", "mend the clock"
        )
    state = status_room.kept_state(mesh.home)
    ahead_ms = _ahead_ms(state.at, clock.wall()) if state is not None else None
    if ahead_ms is not None and ahead_ms > CLOCK_SLACK_MS:
        what = f"the newest entry of the ledger is {ahead_ms // 1000} s in the future by this clock"
        yield Finding(LOOK, "clock", what, "set this machine's clock; only what people read depends on it")
    else:
        yield Finding(GOOD, "clock", "goes on, and agrees with the ledger")


def _ahead_ms(at: str, wall_ms: int) -> int | None:
    from datetime import datetime

    try:
        return int(datetime.fromisoformat(at).timestamp() * 1000) - wall_ms
    except (ValueError, OverflowError):
        return None


def _store(mesh: Mesh) -> Iterator[Finding]:
    store = mesh.home.store
    if (store / "shallow").exists():
        yield Finding(BAD, "store", "it is a shallow clone: history is missing", f"rm -r {store}; mesh sync")
    elif (store / "info" / "grafts").exists() or (store / "refs" / "replace").exists():
        yield Finding(BAD, "store", "it has grafts or replaced objects", f"rm -r {store}; mesh sync")
    elif store.exists():
        yield Finding(GOOD, "store", f"{store}")
    else:
        yield Finding(LOOK, "store", "there is none yet", "mesh sync makes it")


def _hub(mesh: Mesh) -> Iterator[Finding]:
    from orxaq_mesh.store.housekeeping import object_format

    me, settings = mesh.identity(), mesh.settings
    store = _store_at(mesh)
    begun_ms = Clock().now_ms()
    try:
        tips = store.poll()
    finally:
        store.close()
    if me.trunk not in tips:
        yield Finding(BAD, "hub", f"it has no branch {me.trunk}", "is this the right hub? mesh config show --origin")
        return
    took_ms = Clock().now_ms() - begun_ms
    outboxes = len(tips) - 1
    form = object_format(mesh.home.store) or "sha1"
    yield Finding(
        GOOD,
        "hub",
        f"answers in {took_ms} ms: branch {me.trunk}, {outboxes} outboxes, objects {form}, profile {settings.profile}",
    )


def _store_at(mesh: Mesh) -> GitStore:
    from orxaq_mesh.home.process import environment
    from orxaq_mesh.store.git import GitStore

    me, settings = mesh.identity(), mesh.settings
    return GitStore(
        mesh.home.store,
        settings.hub or me.hub,
        environ=environment(),
        trunk=me.trunk,
        timeout_ms=settings.timeout_ms,
        ssh_control_dir=str(mesh.home.path / "ssh"),
    )


def _ledger(mesh: Mesh) -> Iterator[Finding]:
    found = status_room.status(mesh, fresh_ms=0)
    fault = found["fault"]
    away = fault is not None and fault["code"] == "unreachable"
    if fault and not found["alarms"]:
        yield Finding(BAD, "ledger", fault["message"], fault["hint"] if fault["hint"] != "mesh doctor" else "")
    for alarm in found["alarms"]:
        if away and alarm["law"] == "CLOSED":
            continue  # `_hub` says so already
        yield Finding(BAD, "ledger", f"{alarm['law']}: {alarm['reason']}", _next_step(alarm))
    if found["pending"]:
        yield Finding(LOOK, "ledger", f"{found['pending']} records wait to reach the hub", "mesh sync")
    if not found["alarms"] and not fault:
        yield Finding(GOOD, "ledger", f"epoch {found['epoch']}, no alarm")


def _next_step(alarm: dict[str, Any]) -> str:
    """The command that an alarm names in its words; else those that say more of the law and the place."""
    named = re.findall(r"mesh (?:node rotate|proof [a-z0-9._-]+)", alarm["reason"])
    return named[-1] if named else f"mesh explain {alarm['law']}; mesh verify"


def _no_push(_: Mesh) -> Iterator[Finding]:
    yield Finding(GOOD, "push", "not tried, for nothing waits: mesh doctor --push tries it")


def _push(mesh: Mesh) -> Iterator[Finding]:
    """Whether the hub lets this node move the trunk. Hosts tell their rules only to who pushes."""
    if {alarm["law"] for alarm in mesh.status(offline=True)["alarms"]} - NO_DAMAGE:
        return  # nothing is put upon a trunk that may be another than it was
    from orxaq_mesh.home.locks import NodeLock
    from orxaq_mesh.store import Outcome
    from orxaq_mesh.store.vetoes import behind

    store = _store_at(mesh)
    try:
        with NodeLock(mesh.home, "node"):
            tip = store.poll().get(store.trunk)
            if tip is None:
                return  # `_hub` says so already
            store.fetch({store.trunk: tip})
            new = store.commit(tip, {}, [tip], "mesh: doctor tries a push", store.made_s(tip))
            pushed = store.push(store.trunk, tip, new)
    finally:
        store.close()
    if pushed.outcome is Outcome.COMMITTED:
        yield Finding(GOOD, "push", f"this node can move {store.trunk} at the hub")
    elif not pushed.vetoed:
        yield Finding(LOOK, "push", f"not settled: {pushed.reason or 'another node was faster'}", "mesh doctor --push")
    else:
        setting = behind(pushed.reason)
        what = f"the hub refuses this node's pushes to {store.trunk}: {setting.what if setting else pushed.reason}"
        yield Finding(BAD, "push", f"{what} ({pushed.reason})" if setting else what, setting.mend if setting else "")


def _mend(mesh: Mesh) -> Iterator[Finding]:
    """How the hub's trunk becomes again what this node read last and found sound."""
    found = mesh.status(offline=True)
    laws = {alarm["law"] for alarm in found["alarms"]}
    if not laws or laws & NO_DAMAGE:
        return
    store, sound = _store_at(mesh), read_json_cache(mesh.home.cache / "snapshot.json").get("trunk")
    try:
        shown = store.poll().get(store.trunk)
        known = [oid for oid in (sound, shown) if oid and store.has(oid)]
    finally:
        store.close()
    if sound not in known:
        yield Finding(BAD, "mend", "this node lost what it read last", "mesh doctor on another node")
    elif shown is not None and shown not in known:
        what = "the hub shows objects that git's own check refuses; look first who changed it, and why"
        yield Finding(BAD, "mend", what, mend_line(store, sound, shown))
    elif sound != shown:
        what = (
            f"look first who changed the hub, and why. Then one node gives it back what it knows, best the one with the "
            f"highest epoch (this one: {found['epoch']}); what others did on another history is kept, and first votes decide"
        )
        yield Finding(BAD, "mend", what, "mesh sync --mend")


def mend_line(store: GitStore, sound: str, shown: str) -> str:
    """The shell's line that moves the branch away from a commit that git refuses, from exactly there.

    No commit may stand on such a one, or those that do would be refused for ever (trap B7).

    Args:
        store: the node's own; it has `sound`.
        sound: the commit that was read last and found sound.
        shown: the commit that the hub shows now.
    """
    git, hub, ref = f"git --git-dir {shlex.quote(str(store.path))}", shlex.quote(store.hub_url), store.trunk
    return f"{git} push --force-with-lease=refs/heads/{ref}:{shown} {hub} {sound}:refs/heads/{ref}"


CHECKS: tuple[Check, ...] = (_git, _home, _key, _journal, _locks, _clock, _store, _hub, _ledger)
