"""Another hub's trunk, or a git bundle's, brought into this node's store.

Knows: whether what lies there is of this ledger, and what to say where it cannot be had.
Knows not: what becomes of it (`reconciling`).
Laws: QUIET, SIG (a ledger is known by its founding record).

    theirs = tip(performer, "/media/stick/fleet.bundle")       # a commit that this node's store has now
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from orxaq_mesh.errors import InvalidLedger, MeshFault, Unreachable
from orxaq_mesh.home.process import environment
from orxaq_mesh.record import BadLine, epoch_place
from orxaq_mesh.schema import read_seal
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Oid
from orxaq_mesh.sync.performer import Performer

WHOLE = "nothing was taken in; a whole bundle is made by: git bundle create FILE mesh"


def tip(performer: Performer, url: str) -> Oid:
    """The commit at which a trunk of this ledger stands elsewhere.

    Args:
        performer: whose store takes it in. Its own hub was read before: the store has that one's object format.
        url: a hub's address, or a bundle's path.

    Raises:
        MeshError: nobody answers there, what lies there is no ledger, another one, or not whole.
    """
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        address = url
        if os.path.isfile(url):  # noqa: PTH113 - an address may be no path at all
            address = f"{folder}/bundle"  # the names of sticks have spaces, which no hub's address has
            Path(address).symlink_to(Path(url).absolute())
        found = _fetched(performer, url, address)
    _check_founding(performer, found, url)
    return found


def _fetched(performer: Performer, url: str, address: str) -> Oid:
    from orxaq_mesh.store.git import GitStore

    trunk, timeout_ms = performer.identity.trunk, performer.settings.timeout_ms
    other = GitStore(performer.home.store, address, environ=environment(), trunk=trunk, timeout_ms=timeout_ms)
    try:
        tips = other.poll()
        if trunk not in tips:
            hint = "name a hub at which mesh init was run, or a bundle: git bundle create FILE mesh"
            raise MeshFault(f"there is no branch {trunk} in {_place(url)}", hint=hint)
        other.fetch({trunk: tips[trunk]})
        return tips[trunk]
    except (InvalidLedger, Unreachable) as error:
        raise _not_had(url, error) from None
    except MeshFault as error:
        if "sha256" in error.what:
            error.hint = "they cannot share objects; carry the lines: mesh export FILE there, mesh import FILE here"
        raise
    finally:
        other.close()


def _place(url: str) -> str:
    """What to call it in an error: an address may have a password in it."""
    return url if os.path.exists(url) else "the other hub"  # noqa: PTH110 - an address may be no path at all


def _not_had(url: str, error: InvalidLedger | Unreachable) -> MeshFault:
    """Why it could not be had, for who asked for it. A file that is cut off does not "not answer"."""
    said = error.what.removeprefix("the hub does not answer: ")
    if "prerequisite" in said:
        return MeshFault(f"{_place(url)} goes on from commits that are not here: {said}", hint=WHOLE)
    if isinstance(error, InvalidLedger):
        return InvalidLedger(f"{_place(url)}: {said}", findings=error.findings, hint="nothing was taken in")
    if os.path.isfile(url):  # noqa: PTH113
        return InvalidLedger(f"{url}: {said}", findings=[Finding("RENDER", url, 0, said)], hint=WHOLE)
    return Unreachable(f"the other hub does not answer: {said}", hint="git ls-remote says more")


def _check_founding(performer: Performer, theirs: Oid, url: str) -> None:
    """Whether what it begins with is of this ledger: the founding, or else a seal that this node has."""
    ledger, first, store = performer.identity.ledger, epoch_place(1).file, performer.store
    known = performer.engine.trunk
    lines = (store.read(theirs, first) or b"").split(b"\n")[:-1]
    ours = set(((store.read(known, first) if known else None) or b"").split(b"\n"))
    if not any(line in ours or _founds(line, ledger) for line in lines):
        what = f"{_place(url)} holds another ledger, or none: it does not begin with {ledger[:12]}"
        raise InvalidLedger(what, findings=[Finding("SIG", first, 1, what)], hint="name another hub")


def _founds(line: bytes, ledger: str) -> bool:
    try:
        seal = read_seal(line)
    except BadLine:
        return False
    return seal.epoch == 1 and any(id_ == ledger for _, id_ in seal.heads.values())
