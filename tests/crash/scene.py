"""A small fleet as it stands before a crash, copied anew for each; and what must hold after it.

Knows: the fleet's files, what a journal and a hub hold, which command is the one to be killed.
Knows not: how it is killed (`strace`) or run (`room`). Nothing here asks the node what it believes, but for the end.

    scene = Scene("publish", folder, room)
    scene.reset(); ...; Aftermath(scene).check()
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from orxaq_mesh.home.journal_lines import read
from orxaq_mesh.mesh import Mesh
from tests.crash.room import Room
from tests.fleet import Done, Fleet

KEY: Final = "the-one"
PUBLISH: Final = ("publish", "builds", "done", "--payload", '{"n":17}', "--key", KEY, "--json")
ACQUIRE: Final = ("lease", "acquire", "deploy", "--ttl", "10m", "--key", KEY, "--json")
SCENES: Final = {"publish": PUBLISH, "lost": PUBLISH, "lease": ACQUIRE, "fresh": PUBLISH}
"""`publish`: something new is to be fetched first. `lost`: another's push comes in between, so there are an outbox and a
second round. `lease`: a grant. `fresh`: store and cache were deleted (law CACHE)."""

_HOOK = """#!/bin/sh
# The first push of the trunk finds that another one has come in between.
[ "$1" != refs/heads/mesh ] || [ ! -e late ] || mv late refs/heads/mesh
"""


class RoomFleet(Fleet):
    """A fleet whose commands run in a room."""

    def __init__(self, folder: Path, room: Room) -> None:
        folder.mkdir(parents=True)
        super().__init__(folder)
        self.room = room

    def mesh(self, node: str, *words: str, stdin: str = "", cwd: Path | None = None, **more: str) -> Done:
        """One command of a node."""
        return self.room.run(words, self.env(node, **more))


class Scene:
    """A fleet of two, oak and elm, at the moment before oak's command.

    Args:
        name: one of `SCENES`.
        folder: an empty directory.
        room: where commands are run.
    """

    def __init__(self, name: str, folder: Path, room: Room) -> None:
        self.name, self.words = name, SCENES[name]
        self.fleet = RoomFleet(folder / "now", room)
        self._template, self._resets = folder / "template", 0
        self._build()
        self.oak = Mesh.open(str(self.fleet.home("oak"))).identity().log
        shutil.copytree(self.fleet.folder, self._template, symlinks=True)

    def _build(self) -> None:
        fleet = self.fleet
        fleet.found("oak", "elm")
        for node in ("oak", "elm", "oak"):
            fleet.ok(node, "publish", "builds", "begun")
        self._git("gc", "--quiet")  # few files are soon copied
        shutil.rmtree(fleet.hub / "hooks")
        self._forget()
        fleet.ok("oak", "sync")
        before = fleet.tip()
        fleet.ok("elm", "publish", "builds", "seen")
        if self.name == "lost":  # elm's push is on its way: it gets there before oak's
            hook = fleet.hub / "hooks" / "update"
            hook.parent.mkdir()
            hook.write_text(_HOOK)
            hook.chmod(0o755)
            (fleet.hub / "late").write_text(f"{fleet.tip()}\n")
            self._git("update-ref", "refs/heads/mesh", before)
        if self.name == "fresh":
            self._forget()

    def _forget(self) -> None:
        for cached in ("store.git", "cache"):
            shutil.rmtree(self.fleet.home("oak") / cached)

    def reset(self) -> None:
        """Everything is as before the crash, in the same place."""
        here = self.fleet.folder
        here.rename(here.with_name(f"old-{self._resets}"))  # to delete it would take longer than all the rest
        subprocess.run(["cp", "-a", str(self._template), str(here)], check=True)
        self._resets += 1

    def deliver(self) -> None:
        """What was on its way when the crash came arrives; locks of git at the hub are its keeper's to remove."""
        for lock in self.fleet.hub.rglob("*.lock"):
            lock.unlink()
        late = self.fleet.hub / "late"
        if late.exists():
            late.replace(self.fleet.hub / "refs" / "heads" / "mesh")

    def cut_power(self, chance: random.Random) -> list[str]:
        """Another run of the machine begins, and of what oak never synced some is lost; what became of each file.

        Packs are synced, and what makes a store of a directory; its other files, and those of the cache, never are.
        """
        home = self.fleet.home("oak")
        if (boot := home / "store.git" / "boot").exists():
            boot.write_text("an earlier run of the machine")
        fates = []
        for file in sorted(file for name in ("store.git", "cache") for file in (home / name).rglob("*")):
            before = self._template / "oak" / file.relative_to(home)
            unsynced = file.is_file() and file.parent.name != "pack" and file.name not in ("boot", "HEAD", "config")
            if unsynced and not (before.exists() and before.read_bytes() == file.read_bytes()):
                fates.append(f"{file.relative_to(home)}: {_lose(file, chance)}")
        return fates

    # What anybody can read.

    def journal(self) -> list[dict[str, Any]]:
        """The lines that oak's journal holds, records and seals."""
        entries, _ = read((self.fleet.home("oak") / "journal.ndjson").read_bytes())
        return [_value(entry["line"].encode()) for entry in entries if "line" in entry]

    def trunk(self) -> list[dict[str, Any]]:
        """The lines of the trunk's tree."""
        return list(_lines(self._git("grep", "-h", "-e", ".", "refs/heads/mesh", "--", "ledger")))

    def at_hub(self) -> list[dict[str, Any]]:
        """Every line that ever reached the hub, in whatever commit, reachable or not."""
        return list(_lines(self._git("cat-file", "--batch-all-objects", "--unordered", "--batch")))

    def torn(self) -> list[dict[str, Any]]:
        """Lines in what was put aside, as far as they are whole."""
        asides = self.fleet.home("oak").glob("journal.torn-*")
        return [value for aside in asides for value in _torn_lines(aside.read_bytes())]

    def locks(self, place: Path) -> list[str]:
        """Locks and unfinished fetches in a repository."""
        return [str(lock.relative_to(place)) for lock in [*place.rglob("*.lock"), *place.glob("quarantine/*")]]

    def _git(self, *words: str) -> bytes:
        argv = ["git", "--git-dir", str(self.fleet.hub), *words]
        return subprocess.run(argv, capture_output=True, check=True).stdout


class Aftermath:
    """What follows a crash, step by step, with a check at each.

    Args:
        scene: right after the crash.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.seen: list[dict[str, Any]] = []
        self.journalled = {line["id"] for line in scene.journal()}
        self._look()

    def check(self, *, sync_first: bool) -> None:
        """The node starts again, the one request is one record, the fleet converges, no seq is used twice."""
        scene = self.scene
        was_signed = [line["id"] for line in self.seen if _is_ours(scene, line) and _once(line)]
        if sync_first:
            self._mesh("oak", "sync")
            there = [line["id"] for line in scene.trunk() if _once(line)]
            assert set(there) == set(was_signed), "what was signed is sealed, and what was not is nowhere"
            assert len(there) <= 1, "the one request is one record"
        again = self._mesh("oak", *scene.words)
        self._mesh("oak", "publish", "builds", "later")
        self._mesh("elm", "sync")
        there = [line["id"] for line in scene.trunk() if _once(line)]
        assert there == [again.data["record"]], "the one request is one record"
        assert set(was_signed) <= set(there), "what was signed is sealed"
        self._converged()
        if scene.words is ACQUIRE:
            self._held_once()

    def _mesh(self, node: str, *words: str) -> Done:
        """A command that must do what it is asked, with nobody's hand."""
        words = words if "--json" in words else (*words, "--json")
        ended = self.scene.fleet.mesh(node, *words)
        assert ended.code == 0, f"{node}: mesh {' '.join(words)}: {ended}"
        self._look()
        return ended

    def _look(self) -> None:
        """Take down all that exists; CHAIN and SEAL: nothing signed twice, and nothing at the hub but what is journalled."""
        scene = self.scene
        journal, hub = scene.journal(), scene.at_hub()
        known = {line["id"] for line in journal}
        ahead = [line for line in hub if _is_ours(scene, line) and line["id"] not in known]
        assert not ahead, f"at the hub, and not in the journal: {ahead}"
        self.seen += [*journal, *hub, *scene.torn()]
        signed = defaultdict(set)
        for line in self.seen:
            signed[line["node"], line["kind"] == "seal", line.get("seq", line.get("parent"))].add(line["id"])
        twice = {place: ids for place, ids in signed.items() if len(ids) > 1}
        assert not twice, f"used twice: {twice}"

    def _converged(self) -> None:
        oak, elm = (Mesh.open(str(self.scene.fleet.home(node))).status(offline=True) for node in ("oak", "elm"))
        for field in ("epoch", "seal", "state", "leases", "nodes"):
            here, there = _ageless(oak[field]), _ageless(elm[field])
            assert here == there, f"{field}: oak has {here}, elm {there}"
        assert oak["alarms"] == elm["alarms"] == []
        assert oak["pending"] == elm["pending"] == 0
        home = self.scene.fleet.home("oak")
        assert not self.scene.locks(home / "store.git"), "a lock that nobody holds is removed by the next command (B12)"
        assert not (home / "locks" / "node.json").exists(), "a free lock names no holder"

    def _held_once(self) -> None:
        leases = Mesh.open(str(self.scene.fleet.home("elm"))).status(offline=True)["leases"]
        assert [(lease["name"], lease["holder"]) for lease in leases] == [("deploy", "oak")]


def _lose(file: Path, chance: random.Random) -> str:
    data, fate = file.read_bytes(), chance.choice(("whole", "empty", "half", "zeros", "gone"))
    file.chmod(0o600)
    match fate:
        case "gone":
            file.unlink()
        case "empty" | "half":
            file.write_bytes(data[: len(data) // 2 if fate == "half" else 0])
        case "zeros":
            file.write_bytes(bytes(len(data)))
    return fate


def _is_ours(scene: Scene, line: dict[str, Any]) -> bool:
    return bool(line["node"] == scene.oak)


def _once(line: dict[str, Any]) -> bool:
    return bool(line.get("body", {}).get("once") == KEY)


def _value(line: bytes) -> dict[str, Any]:
    return {**json.loads(line), "id": hashlib.sha256(line).hexdigest()}


def _lines(data: bytes) -> Iterator[dict[str, Any]]:
    for line in data.split(b"\n"):
        if line.startswith(b'{"at":'):
            yield _value(line)


def _torn_lines(data: bytes) -> Iterable[dict[str, Any]]:
    """Signed lines inside of a journal's line: as JSON strings, and cut off anywhere."""
    for quoted in re.findall(rb'"line":("(?:[^"\\]|\\.)*")', data):
        yield _value(json.loads(quoted).encode())


def _ageless(told: Any) -> Any:
    """The same without how long ago something was: the two were not asked in the same second."""
    if not isinstance(told, list):
        return told
    return [{name: value for name, value in row.items() if not name.endswith("age_s")} for row in told]
