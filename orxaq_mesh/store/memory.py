"""A store without git: the same protocol over two dicts, for simulations and tests.

Knows: what a hub does to a branch, and nothing of how git does it. Several stores share one `MemoryHub`; it is a
plain object, so whoever wants a fault puts it in `tips`, `send` or `receive` of a subclass.
Knows not: git, files, processes, time, chance: commit ids are hashes of what is in them.

    hub = MemoryHub()
    oak, elm = MemoryStore(hub), MemoryStore(hub)
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from orxaq_mesh import errors
from orxaq_mesh.store import Change, Flaw, Oid, Outcome, Pushed, Wanted, check_message
from orxaq_mesh.store.answers import is_branch
from orxaq_mesh.store.objects import FILE, FOLDER, check_files, judge


@dataclass(frozen=True)
class MemoryCommit:
    """A commit: its files by path, its parents, and what was said when it was made."""

    files: Mapping[str, bytes]
    parents: tuple[Oid, ...]
    message: str
    at_s: int

    @property
    def oid(self) -> Oid:
        """40 hex digits over all of it."""
        digest = hashlib.sha1(repr((self.parents, self.message, self.at_s)).encode(), usedforsecurity=False)
        for path in sorted(self.files):
            content = self.files[path]
            digest.update(b"%d %d %s %s" % (len(path), len(content), path.encode("utf-8", "backslashreplace"), content))
        return digest.hexdigest()


@dataclass
class MemoryHub:
    """The shared part: branches and the commits that came with them."""

    branches: dict[str, Oid] = field(default_factory=dict)
    commits: dict[Oid, MemoryCommit] = field(default_factory=dict)

    def tips(self) -> dict[str, Oid]:
        """What a reading of the hub tells: branch -> tip."""
        return dict(self.branches)

    def send(self, oid: Oid) -> MemoryCommit | None:
        """One commit, if the hub has it."""
        return self.commits.get(oid)

    def receive(self, branch: str, expected: Oid | None, new: Oid, commits: Mapping[Oid, MemoryCommit]) -> Pushed:
        """Compare and move: the branch goes from exactly `expected` to `new`, or stays."""
        if self.branches.get(branch) == new:
            return Pushed(Outcome.UNKNOWN, "= [up to date]")
        if self.branches.get(branch) != expected:
            return Pushed(Outcome.LOST, "[rejected] (stale info)")
        self.commits.update(commits)
        self.branches[branch] = new
        return Pushed(Outcome.COMMITTED)


class MemoryStore:
    """One node's store at a `MemoryHub`; see `Store` for what each method does."""

    def __init__(self, hub: MemoryHub, *, trunk: str = "mesh") -> None:
        self.hub, self.trunk = hub, trunk
        self._commits: dict[Oid, MemoryCommit] = {}
        self._kept: dict[str, Oid] = {}

    def poll(self) -> dict[str, Oid]:
        """See `Store.poll`."""
        return {name: oid for name, oid in sorted(self.hub.tips().items()) if is_branch(name, self.trunk)}

    def fetch(self, wanted: Mapping[str, Oid]) -> None:
        """See `Store.fetch`."""
        for branch, oid in wanted.items():
            came: dict[Oid, MemoryCommit] = {}
            missing = [oid]
            while missing:
                name = missing.pop()
                if name in self._commits or name in came:
                    continue
                commit = self.hub.send(name)
                if commit is None:
                    raise errors.Unreachable(f"the hub's {branch} no longer reaches {oid}")
                came[name] = commit
                missing += commit.parents
            self._commits.update(came)

    def has(self, oid: Oid) -> bool:
        """See `Store.has`."""
        return oid in self._commits

    def changes(
        self, old: Oid | None, new: Oid, under: str = "ledger", only: Wanted | None = None
    ) -> Iterator[Change | Flaw]:
        """See `Store.changes`."""
        before = self._commits[old].files if old else {}
        after = self._commits[new].files
        told: set[str] = set()
        for path in sorted(before.keys() | after.keys()):
            was, now = before.get(path), after.get(path)
            if was == now or not f"{path}/".startswith(f"{under}/") or not path.startswith("ledger/"):
                continue
            flaw = _flaw(path)
            if flaw is None:
                if only is None or only(path):
                    yield Change(path, was, now)
            elif now is not None and flaw.file not in told:
                told.add(flaw.file)
                yield flaw

    def read(self, commit: Oid, path: str) -> bytes | None:
        """See `Store.read`."""
        return None if _flaw(path) else self._commits[commit].files.get(path)

    def descends(self, new: Oid, old: Oid) -> bool:
        """See `Store.descends`."""
        seen, left = set[Oid](), [new]
        while left:
            oid = left.pop()
            if oid == old:
                return True
            if oid not in seen:
                seen.add(oid)
                left += self._commits[oid].parents
        return False

    def made_s(self, commit: Oid) -> int:
        """See `Store.made_s`."""
        return self._commits[commit].at_s

    def commit(
        self, base: Oid | None, files: Mapping[str, bytes | None], parents: Sequence[Oid], message: str, at_s: int
    ) -> Oid:
        """See `Store.commit`."""
        check_message(message)
        check_files(files)
        if at_s < 0:
            raise ValueError(f"a time before 1970: {at_s}")
        merged = dict(self._commits[base].files) if base else {}
        touched = {path.rpartition("/")[0] + "/" for path in files}
        for path in list(merged):
            flaw = _flaw(path) if path.startswith("ledger/") else None
            if (flaw and any(f"{folder}/".startswith(flaw.file.rpartition("/")[0] + "/") for folder in touched)) or any(
                f"{path}/".startswith(f"{gone}/") for gone, content in files.items() if content is None
            ):
                del merged[path]
        merged.update({path: content for path, content in files.items() if content is not None})
        made = MemoryCommit(merged, tuple(parents), message, at_s)
        self._commits[made.oid] = made
        return made.oid

    def push(self, branch: str, expected: Oid | None, new: Oid) -> Pushed:
        """See `Store.push`."""
        if not is_branch(branch, self.trunk):
            raise ValueError(f"neither the trunk nor an outbox: {branch!r}")
        if expected is not None and not self.descends(new, expected):
            raise ValueError(f"{new} does not descend from {expected}")
        sent: dict[Oid, MemoryCommit] = {}
        left = [new]
        while left:
            oid = left.pop()
            if oid not in sent and oid not in self.hub.commits:
                sent[oid] = self._commits[oid]
                left += sent[oid].parents
        return self.hub.receive(branch, expected, new, sent)

    def keep(self, name: str, oid: Oid) -> None:
        """See `Store.keep`."""
        self._kept[name] = oid

    def kept(self) -> dict[str, Oid]:
        """See `Store.kept`."""
        return dict(self._kept)

    def maintain(self) -> str | None:
        """See `Store.maintain`: nothing grows loose here."""
        return None

    def close(self) -> None:
        """See `Store.close`: nothing is held."""


def _flaw(path: str) -> Flaw | None:
    """The first part of a path that no ledger has, as a walk of git's trees would find it."""
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        flaw = judge("/".join(parts[:end]), FILE if end == len(parts) else FOLDER)
        if flaw:
            return flaw
    return None
