r"""A push as values, and the answer in words.

Knows: the lines that git gives a `pre-receive` hook, and what of the environment counts.
Knows not: what is in the push (`judging`).

    asked = parse(["<quarantine>", "<objects>", "<alternates>", "elm", ""], b"<old> <new> refs/heads/mesh\n")
    print("\n".join(words(findings)))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from orxaq_mesh.errors import MeshError, MeshFault
from orxaq_mesh.hub.door import MAX_FEED
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Oid
from orxaq_mesh.store.reader import OID
from orxaq_mesh.text import clean

MAX_MOVES = 64
MAX_TOLD = 20
HEADS = "refs/heads/"

_QUARANTINE = ("GIT_QUARANTINE_PATH", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
_NEXT = {
    "PUSH": "fetch, and build on what the branch holds now; nothing is ever forced or deleted here",
    "CLOSED": "tell whoever keeps this hub; `mesh hub check` says what is wrong",
}


class Move(NamedTuple):
    """A branch is to move from one commit to another; None: from or to nothing."""

    ref: str
    old: Oid | None
    new: Oid | None

    @property
    def branch(self) -> str | None:
        """The branch's name, or None where this is no branch."""
        return self.ref.removeprefix(HEADS) if self.ref.startswith(HEADS) else None


class Asked(NamedTuple):
    """What a push asks for.

    Attributes:
        moves: which refs are to go where.
        objects: the variables under which git sees what was sent and is not taken in yet.
        node: the node that the server says this is (a forced command of sshd), or empty.
        user: who the web server says this is, or empty.
    """

    moves: Sequence[Move]
    objects: Mapping[str, str]
    node: str = ""
    user: str = ""


def parse(arguments: Sequence[str], feed: bytes) -> Asked:
    """A push, as the hook was told of it.

    Args:
        arguments: quarantine, object directory, alternates, node, user; empty where there is none.
        feed: the hook's standard input.

    Raises:
        MeshFault: this is no push, or one of more refs than a node ever moves.
    """
    if len(feed) > MAX_FEED or (feed and not feed.endswith(b"\n")):
        raise MeshFault("a push of more refs, or longer names, than a node ever moves", hint="push fewer at a time")
    lines = feed.split(b"\n")[:-1]
    if len(arguments) != len(_QUARANTINE) + 2 or len(lines) > MAX_MOVES:
        raise MeshFault(f"{len(lines)} refs in one push; at most {MAX_MOVES} are judged", hint="push fewer at a time")
    moves = []
    for line in lines:
        old, _, rest = line.decode("utf-8", "backslashreplace").partition(" ")
        new, _, ref = rest.partition(" ")
        if not (OID.fullmatch(old) and OID.fullmatch(new)):
            raise MeshFault("git did not say which commits this push is about")
        moves.append(Move(ref, _known(old), _known(new)))
    objects = {name: value for name, value in zip(_QUARANTINE, arguments, strict=False) if value}
    return Asked(moves, objects, arguments[-2], arguments[-1])


def _known(oid: Oid) -> Oid | None:
    return oid if oid.strip("0") else None


def words(findings: Sequence[Finding]) -> list[str]:
    """What a refused push is told: law, file, line and reason of each finding; then the next step.

    The first line is what a node's operator hears of it.
    """
    told = [clean(f"{law}: {_place(file, line)}{reason}") for law, file, line, reason in findings[:MAX_TOLD]]
    if len(findings) > MAX_TOLD:
        told.append(f"and {len(findings) - MAX_TOLD} more")
    law = findings[0].law
    return [*told, f"next: {_NEXT.get(law, f'mesh explain {clean(law)}')}; `mesh review` says the same before a push"]


def _place(file: str, line: int) -> str:
    if not file:
        return ""
    return f"{file}:{line}: " if line else f"{file}: "


def fault(error: MeshError) -> list[str]:
    """What is said where the hub itself is at fault: then nothing is let in (law CLOSED)."""
    return [clean(f"CLOSED: {error.what}"), f"next: {clean(error.hint) or _NEXT['CLOSED']}"]
