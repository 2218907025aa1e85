"""The ledger that changes are made to, and what a change is made with.

Knows: a fleet in the middle of its work, as it was at the start of each case; lines that are signed, sound or not.
Knows not: whether a change is hostile (`hostile`, `honest`), who says so (`judges`).

    scene = Scene(working_fleet())
    scene.add(scene.elm.write("event.publish", topic="t", type="x", payload=1))    # a record that waits, in its place
    scene.cut(path, 3)                                                             # a line less
    base, head = scene.commits(objects)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

from orxaq_mesh.keys import SecretKey, namespace
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, Seal, Value, canonical, epoch_place, log_place
from orxaq_mesh.schema import read_seal
from orxaq_mesh.store import Change
from tests.builder import AT, Pen, Trunk, sign
from tests.changes.objects import Objects, Odd
from tests.orders import claim, finish, issue, submit, task


def forked(trunk: Trunk) -> Trunk:
    """A trunk that goes on from here on its own."""
    twin = Trunk()
    twin.files, twin.ledger, twin.seals = dict(trunk.files), trunk.ledger.fork(), list(trunk.seals)
    twin.pens = {name: copy.copy(pen) for name, pen in trunk.pens.items()}
    twin.verdicts = dict(trunk.verdicts)
    return twin


def damaged(trunk: Trunk, damage: Callable[[dict[str, bytes]], None]) -> Trunk:
    """A trunk that somebody who may push has spoilt, and whose reader has seen it."""
    made = forked(trunk)
    damage(made.files)
    paths = sorted(trunk.files.keys() | made.files.keys())
    made.ledger.read(Change(path, trunk.files.get(path), made.files.get(path)) for path in paths)
    return made


@cache
def working_fleet() -> Trunk:
    """oak (admin), elm and ash work, owl observes; fir was revoked, sap rotated its key away, yew only said hello.

    elm holds `deploy` and ash waits for it; elm runs release/build; a command waits for ash.
    """
    trunk = Trunk.founded()
    oak, elm, ash = trunk.oak, trunk.admit("elm"), trunk.admit("ash")
    trunk.admit("owl", "observer")
    fir, sap = trunk.admit("fir"), trunk.admit("sap")
    trunk.seal(fir.write("event.publish", topic="t", type="x", payload="of fir"))
    trunk.seal(oak.write("node.revoke", log=fir.log, reason="lost"))
    sprig = trunk.pens["sprig"] = trunk.pen("sap", SecretKey.generate(b"\x11" * 32))
    rotation = sap.write("node.rotate", key=sprig.key.public.text)
    sprig.prev = rotation.id
    trunk.seal(rotation)
    yew = trunk.pens["yew"] = trunk.pen("yew")
    trunk.seal(yew.hello())
    trunk.pens["recovery"] = trunk.pen("recovery")
    for pen in (elm, ash):
        trunk.seal(asks(pen, queue=True))
    trunk.seal(submit(oak, task("build"), task("publish", "build")))
    trunk.seal(claim(elm, "build"))
    trunk.seal(issue(oak, to="ash"))
    for number in range(4):
        trunk.seal(says(elm, number), says(ash, number), by=ash)
    return trunk


class Scene:
    """A fork of a trunk, and the files of the change that a case makes to it.

    Attributes:
        trunk: what the change is made to. `trunk.seal(...)` moves it on, as long as no file was changed.
        files: what the change makes of it.
        odd: path -> an entry of the head's tree that no plain file is.
        steps: the files at each commit of a branch before the head.
        merge: the head is a merge of that branch, as a host's button makes it.
    """

    def __init__(self, trunk: Trunk) -> None:
        self.trunk = forked(trunk)
        self._files: dict[str, bytes] | None = None
        self.odd: dict[str, Odd] = {}
        self.steps: list[dict[str, bytes]] = []
        self.merge = False
        self.beside: dict[str, bytes] = {}

    def __getattr__(self, name: str) -> Pen:
        """A pen by its node's name: `scene.elm`."""
        pens = self.__dict__["trunk"].pens
        if name not in pens:
            raise AttributeError(name)
        return pens[name]

    @property
    def files(self) -> dict[str, bytes]:
        if self._files is None:
            self._files = dict(self.trunk.files)
        return self._files

    @property
    def ledger_id(self) -> str:
        assert self.trunk.ledger.id is not None
        return self.trunk.ledger.id

    # Changing files.

    def add(self, *records: Record, seals: Iterable[Seal] = ()) -> None:
        """Put lines where they belong."""
        self.files.update(render(self.files.get, records, seals))

    def seal(self, *records: Record, by: Pen | None = None, key: SecretKey | None = None, **override: Any) -> Seal:
        """A signed seal over these records on the trunk's tip, with whatever a liar would change."""
        signer = by or self.trunk.oak
        value = self.trunk.seal_value(*records, by=signer, **override)
        return read_seal(sign(value, key or signer.key, self.ledger_id))

    def sealed(self, *records: Record, **how: Any) -> None:
        """Put in these records and such a seal."""
        self.add(*records, seals=[self.seal(*records, **how)])

    def append(self, path: str, *lines: bytes) -> None:
        """Write lines behind the others of a file, whatever they are."""
        self.files[path] = self.files.get(path, b"") + b"".join(line + b"\n" for line in lines)

    def lines(self, path: str) -> list[bytes]:
        return self.files[path].split(b"\n")[:-1]

    def write(self, path: str, lines: Iterable[bytes]) -> None:
        self.files[path] = b"".join(line + b"\n" for line in lines)

    def edit(self, path: str, how: Callable[[list[bytes]], Iterable[bytes]]) -> None:
        """Write a file anew: `how` makes other lines of its lines."""
        self.write(path, how(self.lines(path)))

    # Commits.

    def step(self) -> None:
        """A commit of the branch ends here; what follows is the next."""
        self.steps.append(dict(self.files))

    def commits(self, objects: Objects) -> tuple[str | None, str]:
        """(base, head) of the change: one commit on the base, if there is one; or several; or a merge of them into it."""
        base = objects.commit(objects.root(self.trunk.files | self.beside)) if self.trunk.files else None
        parents = [base] if base else []
        for files in self.steps:
            parents = [objects.commit(objects.root({**self.beside, **files}), *parents)]
        if self.merge and base:
            parents = [base, *parents]
        return base, objects.commit(objects.root({**self.beside, **self.files}, self.odd), *parents)


class Case(NamedTuple):
    """A change with a name. `law`: the id that each judge must name; "": it is honest.

    Attributes:
        build: makes the change in a scene.
        start: the trunk that it begins with.
        node: where a node that fetches it has no word about it: why. "" elsewhere.
        hub: where git itself turns it away before the hub's hook is asked: why. "" elsewhere.
    """

    name: str
    law: str
    build: Callable[[Scene], object]
    start: Callable[[], Trunk] = working_fleet
    node: str = ""
    hub: str = ""

    def scene(self) -> Scene:
        """The change, made anew."""
        made = Scene(self.start())
        self.build(made)
        return made


# Records and lines.


def says(pen: Pen, payload: Any = None, **body: Any) -> Record:
    return pen.write("event.publish", topic="t", type="x", payload=payload, **body)


def asks(pen: Pen, lease: str = "deploy", session: str = "s", **body: Any) -> Record:
    wish = {"lease": lease, "session": session, "ttl_ms": 60_000, "until": 9999}
    return pen.write("lease.acquire", **wish | body)


def value_of(pen: Pen, kind: str = "event.publish", body: Value | None = None, **envelope: Any) -> Value:
    """The next record of a pen as a value, before it is signed."""
    return {
        "at": AT,
        "body": {"topic": "t", "type": "x", "payload": None} if body is None else body,
        "kind": kind,
        "node": pen.log,
        "prev": pen.prev,
        "seen": {"epoch": pen.seen[0], "seal": pen.seen[1]},
        "seq": pen.seq + 1,
        "v": 1,
        **envelope,
    }


def signed_text(unsigned: bytes, pen: Pen) -> bytes:
    """A line of just these bytes with a signature over just them: its form is all that can be wrong with it."""
    sig = pen.key.sign(namespace(pen.ledger_id), unsigned)
    head, version = unsigned.rsplit(b',"v":', 1)
    return head + b',"sig":"' + sig.encode() + b'","v":' + version


def line_of_size(pen: Pen, size: int) -> bytes:
    """The pen's next record, signed, its payload so long that the line has just this many bytes."""
    short = len(signed_text(canonical(value_of(pen, body=_padded(""))), pen))
    line = signed_text(canonical(value_of(pen, body=_padded("x" * (size - short)))), pen)
    assert len(line) == size
    return line


def _padded(text: str) -> Value:
    return {"topic": "t", "type": "x", "payload": text}


def file_of(pen: Pen, seq: int = 0) -> str:
    """Where a record of a pen lies; 0: the next one."""
    return log_place(pen.log, seq or pen.seq + 1).file


SPINE = epoch_place(1).file

__all__ = [
    "AT",
    "SPINE",
    "Case",
    "Scene",
    "asks",
    "claim",
    "file_of",
    "finish",
    "forked",
    "issue",
    "says",
    "signed_text",
    "submit",
    "task",
    "value_of",
    "working_fleet",
]
