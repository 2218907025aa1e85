"""Two whole nodes at a hub that remembers all that ever reached it; oak's home lies on a disk that forgets.

Knows: the facade that programs use, with its real journal, key, locks and caches.
Knows not: git: the store is `store.memory`, so that a crash costs milliseconds. `test_kill` has the real one.

    with Fleet(folder) as fleet:
        fleet.disk.crash_at = 7
        ...
        fleet.oak.publish("builds", "done", {}, once="k")
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import pytest

from orxaq_mesh.home.journal_lines import read
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.store import Oid, Outcome, Pushed
from orxaq_mesh.store.memory import MemoryCommit, MemoryHub, MemoryStore
from tests.crash.disk import Disk, files_below, replace_files
from tests.nodes import fingerprint

HUB = "/hub"


class Hub(MemoryHub):
    """A hub that writes down each line that was ever sent to it, taken in or not.

    Attributes:
        sent: line -> what it says.
        lose_answer: the next push is carried out, and its answer lost.
    """

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self.fleet = fleet
        self.sent: dict[bytes, Any] = {}
        self.lose_answer = False

    def receive(self, branch: str, expected: Oid | None, new: Oid, commits: Mapping[Oid, MemoryCommit]) -> Pushed:
        disk = self.fleet.disk
        disk.step(f"a push of {branch}")
        lines = {
            line for commit in commits.values() for data in commit.files.values() for line in data.split(b"\n")[:-1]
        }
        self.fleet.leaves(new_lines := {line: json.loads(line) for line in sorted(lines - self.sent.keys())})
        self.sent |= new_lines
        pushed = super().receive(branch, expected, new, commits)
        disk.step(f"the answer to a push of {branch}")
        if self.lose_answer:
            self.lose_answer = False
            return Pushed(Outcome.UNKNOWN, "the connection died")
        return pushed


class Fleet:
    """See the module's banner."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("oak", "elm"):
            (folder / name).mkdir(mode=0o700)
        self.disk = Disk(folder / "oak")
        self.hub = Hub(self)
        self.stores: dict[str, MemoryStore] = {}
        self.signed: dict[tuple[str, bool, Any], str] = {}
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> Self:
        store = lambda path, url, **more: self.stores.setdefault(str(path), MemoryStore(self.hub))  # noqa: E731
        for place in ("orxaq_mesh.sync.founding.GitStore", "orxaq_mesh.store.git.GitStore"):
            self._patch.setattr(place, store)
        self.disk.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.disk.__exit__()
        self._patch.undo()

    def mesh(self, name: str) -> Mesh:
        return Mesh.open(str(self.folder / name), hub=HUB, session="s", push_per_minute=60_000)

    @property
    def oak(self) -> Mesh:
        return self.mesh("oak")

    @property
    def elm(self) -> Mesh:
        return self.mesh("elm")

    def init(self) -> None:
        """oak founds the ledger."""
        self.oak.init(HUB, "oak")

    def found(self) -> None:
        """oak founds the ledger, and lets elm in."""
        self.init()
        self.elm.join(HUB, "elm", self.oak.identity().ledger)
        assert self.oak.admit("elm", fingerprint(self.elm)).verdict == "applied"

    def stand(self) -> None:
        """A ledger, something new in it for oak, and all of it remembered for `reset`."""
        self.found()
        self.elm.publish("builds", "begun", {})
        self._files = {name: files_below(self.folder / name) for name in ("oak", "elm")}
        self._at_hub = self.hub.branches, self.hub.commits, self.hub.sent
        self.reset()

    def forget(self, *, git: bool) -> None:
        """A new process; `git`: the store is gone too (law CACHE)."""
        if git:
            self.stores.clear()

    def reset(self) -> None:
        """Everything is as it was when it stood, and on the medium."""
        self.disk.reset(self._files["oak"])
        replace_files(self.folder / "elm", self._files["elm"])
        branches, commits, sent = self._at_hub
        self.hub.branches, self.hub.commits, self.hub.sent = dict(branches), dict(commits), dict(sent)
        self.stores.clear()
        self.signed.clear()

    # What must hold at all times.

    def leaves(self, lines: Mapping[bytes, Any]) -> None:
        """Lines leave the machine for the first time: those of oak must be on its medium (CHAIN)."""
        self.sign(lines)
        durable = self.disk.durable("journal.ndjson")
        kept = {entry["line"].encode() for entry in read(durable)[0] if "line" in entry}
        ours = {line for line, value in lines.items() if value["node"].startswith("oak-")}
        assert ours <= kept, f"leaves before it is on the medium: {ours - kept}"

    def sign(self, lines: Mapping[bytes, Any]) -> None:
        """CHAIN, SEAL: a seq is signed once, and one seal a parent."""
        for line, value in lines.items():
            place = value["node"], value["kind"] == "seal", value.get("seq", value.get("parent"))
            id_ = hashlib.sha256(line).hexdigest()
            assert self.signed.setdefault(place, id_) == id_, f"used twice: {place}, by {id_} too"

    def look(self) -> None:
        """Take down what oak's journal holds."""
        entries, _ = read((self.folder / "oak" / "journal.ndjson").read_bytes())
        self.sign({entry["line"].encode(): json.loads(entry["line"]) for entry in entries if "line" in entry})

    def trunk(self) -> Iterator[dict[str, Any]]:
        """The lines of the trunk's tree."""
        files: Iterable[bytes] = self.hub.commits[self.hub.branches["mesh"]].files.values()
        for line in [line for data in files for line in data.split(b"\n")[:-1]]:
            yield {**json.loads(line), "id": hashlib.sha256(line).hexdigest()}

    def converged(self) -> None:
        """Both nodes have one state, and nothing waits."""
        self.elm.sync()
        self.oak.sync()
        oak, elm = self.oak.status(offline=True), self.elm.status(offline=True)
        assert [oak[field] for field in ("epoch", "seal", "state")] == [
            elm[field] for field in ("epoch", "seal", "state")
        ]
        assert (oak["alarms"], elm["alarms"], oak["pending"], elm["pending"]) == ([], [], 0, 0)
