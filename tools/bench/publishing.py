"""Publishing one record from a running process, against add, commit and push of the same bytes to the same hub."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orxaq_mesh.effects import Answer, Ask, Intent
from orxaq_mesh.home.config import resolve
from orxaq_mesh.home.place import Home
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.record import epoch_place, log_place
from orxaq_mesh.sync.performer import Performer
from tests.hubs import HUBS, Hub, plain_git
from tools.bench.rows import Row, interleaved


def publish_rows(quick: bool) -> Iterator[Row]:
    """By path, over HTTP, over ssh."""
    for kind in ("file", "http", "ssh"):
        with tempfile.TemporaryDirectory() as folder, HUBS[kind](Path(folder)) as hub, _Environment(hub):
            home = Path(folder, "oak")
            Mesh.open(str(home), profile="lan").init(hub.url, "oak")
            with running(Home(home)) as performer:
                plain = PlainGit(hub, Path(folder, "plain"))
                count = iter(range(10**6))

                def ours(performer: Performer = performer, count: Iterator[int] = count) -> None:
                    publish(performer, {"n": next(count), "version": "1.4.2"})

                def theirs(performer: Performer = performer, plain: PlainGit = plain) -> None:
                    plain.commit_and_push(segments(performer))

                interleaved(2, ours, theirs)
                mine, git = interleaved(5 if quick else 15, ours, theirs)
        yield Row(
            "publish",
            f"publish one record, {_ROADS[kind]}",
            mine,
            "git add, commit, push of the same bytes",
            git,
            bar=1.5,
        )


_ROADS = {"file": "hub by its path", "http": "over HTTP", "ssh": "over ssh"}


class _Environment:
    """What a client of this hub needs in its environment."""

    def __init__(self, hub: Hub) -> None:
        self._new, self._old = hub.variables, dict(os.environ)

    def __enter__(self) -> None:
        os.environ.update(self._new)

    def __exit__(self, *_: object) -> None:
        os.environ.update({name: self._old[name] for name in self._new})


def running(home: Home, **options: Any) -> Performer:
    """A node at work in this process, with a push budget that does not bound what is measured here."""
    settings = resolve(home, {"profile": "lan", "push_per_minute": 60_000, **options})
    performer = Performer.open(home, settings)
    performer.pass_once()
    return performer


def publish(performer: Performer, payload: dict[str, Any]) -> Answer:
    """One event, to its verdict."""
    intent = Intent(secrets.token_hex(8), "event.publish", {"topic": "builds", "type": "finished", "payload": payload})
    performer.feed(Ask(intent))
    while intent.id not in performer.told:
        performer.tick()
    answer = performer.told.pop(intent.id)
    assert answer.verdict == "applied", answer
    return answer


def segments(performer: Performer) -> dict[str, bytes]:
    """The bytes that a publish changed: the newest segments of the log and of the spine."""
    store, tip = performer.store, performer.engine.trunk
    state, log = performer.engine.ledger.state, performer.identity.log
    assert tip
    newest = {epoch_place(state.epoch).file, log_place(log, state.heads[log][0]).file}
    return {path: store.read(tip, path) or b"" for path in newest}


class PlainGit:
    """A clone in which the same bytes are committed and pushed to a branch of their own, as a script would."""

    def __init__(self, hub: Hub, folder: Path, branch: str = "plain") -> None:
        self.folder, self.branch = folder, branch
        plain_git("init", "--quiet", f"--initial-branch={branch}", str(folder))
        plain_git("remote", "add", "origin", hub.url, cwd=folder)

    def commit_and_push(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=one record")
        self.git("push", "--quiet", "origin", self.branch)

    def git(self, *args: str) -> str:
        return plain_git(*args, cwd=self.folder)
