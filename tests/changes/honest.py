"""The corpus of honest changes: what a fleet, its people and its pull requests do on good days, and on some bad ones.

Each row of each table of verdicts that is `applied` is a case: its scene's records, as a proposal. The others are
written out here: history with its seals, forks and their reconciling, healing, odd bytes, great numbers, review mode.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from orxaq_mesh.keys import SecretKey
from orxaq_mesh.kinds import APPLIED
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.record import MAX_INT, MAX_LINE_BYTES, Record
from orxaq_mesh.schema import read_record
from tests.builder import Pen, Trunk
from tests.changes.hostile_rules import ROWS, row_case
from tests.changes.scene import (
    SPINE,
    Case,
    Scene,
    asks,
    claim,
    damaged,
    file_of,
    finish,
    forked,
    issue,
    line_of_size,
    says,
    submit,
    task,
    working_fleet,
)
from tests.orders import offer
from tests.worlds import merged

_TABLES = tuple(row_case(row, play, "") for row, play in ROWS if row.outcome == APPLIED)


def _history(name: str, play: Callable[[Trunk], object], start: Callable[[], Trunk] = working_fleet) -> Case:
    """The trunk goes on, and brings its seals along."""

    def build(scene: Scene) -> None:
        later = forked(scene.trunk)
        play(later)
        scene.files.update(later.files)

    return Case(f"history: {name}", "", build, start=start)


def _asked(name: str, write: Callable[[Scene], Any], start: Callable[[], Trunk] = working_fleet) -> Case:
    """Records without a seal, as a pull request brings them."""

    def build(scene: Scene) -> None:
        written = write(scene)
        scene.add(*([written] if isinstance(written, Record) else written))

    return Case(f"proposal: {name}", "", build, start=start)


def _bytes(name: str, payload: Any) -> Case:
    return _asked(name, lambda scene: says(scene.elm, payload))


# History.


def _found(scene: Scene) -> None:
    scene.files.update(Trunk.founded("ivy").files)


def _a_leases_life(trunk: Trunk) -> None:
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    first = asks(elm, "build")
    trunk.seal(first)
    token = trunk.ledger.state.epoch
    named = {"lease": "build", "session": "s", "token": token}
    trunk.seal(elm.write("lease.renew", **named), asks(ash, "build", queue=True), by=ash)
    trunk.seal(elm.write("lease.release", **named, record=first.id))
    held = leases(trunk.ledger.state).by_name["build"]
    seen = {"token": held.token, "last": held.last, "watched_ms": 60_000, "ttl_ms": 60_000, "until": 9999}
    trunk.seal(elm.write("lease.take", lease="build", session="s", **seen))
    assert leases(trunk.ledger.state).by_name["build"].holder == "elm"


def _refused_and_fenced(trunk: Trunk) -> None:
    """What is refused has its verdict: nobody holds it against the history in which it stands."""
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    stale = {"lease": "deploy", "session": "s", "token": 3}
    judged = trunk.seal(
        elm.write("lease.renew", **stale), asks(ash, "deploy", session="z"), asks(ash, "docs", until=2), by=elm
    )
    assert {item.verdict.rule for item in judged} == {"FENCE", "LEASE-2", "UNTIL"}
    trunk.seal(elm.draft("lease.steal", {"lease": "deploy"}))


def _new_node(trunk: Trunk) -> None:
    rue = trunk.admit("rue")
    trunk.seal(says(rue), by=rue)


def _rotation(trunk: Trunk) -> None:
    elm, key = trunk.pens["elm"], SecretKey.generate(b"\x33" * 32)
    twin = trunk.pen("elm", key)
    rotation = elm.write("node.rotate", key=key.public.text)
    trunk.seal(rotation)
    twin.prev, twin.seen = rotation.id, trunk.oak.seen
    trunk.seal(says(twin), by=twin)


def _recovery(trunk: Trunk) -> None:
    recovery, ash = trunk.pens["recovery"], trunk.pens["ash"]
    word = recovery.write("node.admit", name="ash", key=ash.key.public.text, roles=["admin", "node"])
    trunk.seal(word, by=recovery)
    trunk.seal(ash.write("node.revoke", log=trunk.oak.log, reason="stolen"), by=ash)


def _work(trunk: Trunk) -> None:
    elm, ash = trunk.pens["elm"], trunk.pens["ash"]
    trunk.seal(finish(trunk, "build"), by=elm)
    trunk.seal(offer(ash, "build", slots=2), submit(ash, task("a"), task("b", "a", capability="build"), dag="docs"))
    trunk.seal(claim(ash, "publish"), by=ash)
    trunk.seal(finish(trunk, "publish", "failed", reason="no network"), by=elm)
    trunk.seal(trunk.oak.write("task.retry", task="release/publish", reason="once more"))


def _many_epochs(trunk: Trunk) -> None:
    for number in range(45):
        pen = trunk.pens[("oak", "elm", "ash")[number % 3]]
        trunk.seal(says(pen, number), by=pen)


def _thousand(pens: Callable[[Trunk], list[Pen]]) -> Callable[[Trunk], object]:
    def play(trunk: Trunk) -> None:
        each = pens(trunk)
        trunk.seal(*(says(each[number % len(each)], number) for number in range(1000)))

    return play


def _many_newcomers(trunk: Trunk) -> None:
    trunk.seal(*(trunk.pen(f"n{number}").hello() for number in range(60)))


def _crowd_speaks(trunk: Trunk) -> None:
    trunk.seal(*(says(trunk.pens[name], name) for name in ("oak", "elm", "ash")), by=trunk.pens["ash"])


def _segment_full(trunk: Trunk) -> None:
    trunk.seal(*(says(trunk.pens["elm"], n) for n in range(32 - trunk.pens["elm"].seq)))


def _segment_begun(trunk: Trunk) -> None:
    trunk.seal(*(says(trunk.pens["elm"], n) for n in range(40 - trunk.pens["elm"].seq)))


def _sealed_and_not(scene: Scene) -> None:
    seal = scene.seal(word := says(scene.oak))
    scene.add(word, says(scene.elm), seals=[seal])


# Forks.


@cache
def _at_two_hubs() -> tuple[Trunk, Trunk]:
    """The fleet parted: oak went on here, elm and ash there."""
    here, there = forked(working_fleet()), forked(working_fleet())
    here.seal(says(here.oak, "here"))
    for name in ("elm", "ash", "elm"):
        there.seal(says(there.pens[name], "there"), by=there.pens[name])
    return here, there


def _here() -> Trunk:
    return _at_two_hubs()[0]


def _there() -> Trunk:
    return _at_two_hubs()[1]


def _reconciled(other: Callable[[], Trunk]) -> Callable[[Scene], None]:
    """The union of two histories, as a node that can reach both hubs pushes it."""

    def build(scene: Scene) -> None:
        scene.files.update(merged(scene.files, other().files))

    return build


@cache
def both() -> Trunk:
    """One who has read both: the side of elm and ash goes on, oak's seal is an orphan and its word waits."""
    here, there = _at_two_hubs()
    union = forked(there)
    orphans = [record for record in _lines(here) if record.id not in {other.id for other in _lines(there)}]
    union.push(orphans, here.seals[-1:])
    return union


def _lines(trunk: Trunk) -> list[Record]:
    found = []
    for path, content in trunk.files.items():
        if "/nodes/" in path:
            found += [read_record(line) for line in content.split(b"\n")[:-1]]
    return found


def _over(trunk: Trunk) -> None:
    """The next seal names the orphan, and takes in what it had taken in."""
    late = list(trunk.ledger.sealable().values())
    assert late
    trunk.seal(*(record for run in late for record in run), by=trunk.pens["elm"])
    assert trunk.seals[-1].over


@cache
def signed_twice() -> Trunk:
    """Two of ash wait in the tree, for one seq: a restored backup."""
    trunk = forked(working_fleet())
    one = trunk.pens["ash"].draft("event.publish", {"topic": "t", "type": "x", "payload": "one"})
    trunk.push([one, says(trunk.pens["ash"], "other")])
    return trunk


def _suspended(trunk: Trunk) -> None:
    trunk.seal(says(trunk.pens["elm"]))
    assert trunk.seals[-1].proofs


def _both_halves_at_once(trunk: Trunk) -> None:
    """The pair, and the seal that acts on it, come together."""
    one = trunk.pens["ash"].draft("event.publish", {"topic": "t", "type": "x", "payload": "one"})
    trunk.push([one, says(trunk.pens["ash"], "other")])
    _suspended(trunk)


# Healing.


def _healed(name: str, damage: Callable[[dict[str, bytes]], None], *, says_more: bool = True) -> Case:
    """What the next honest publish makes of it."""

    def build(scene: Scene) -> None:
        scene.files.clear()
        scene.files.update(working_fleet().files)
        if says_more:
            scene.sealed(says(scene.elm))

    return Case(f"healing: {name}", "", build, start=cache(lambda: damaged(working_fleet(), damage)))


def _garbage(files: dict[str, bytes]) -> None:
    files[_ELM] += b"elm was here\n"


def _deleted(files: dict[str, bytes]) -> None:
    files[_ELM] = b"".join(files[_ELM].splitlines(keepends=True)[:3])


def _edited(files: dict[str, bytes]) -> None:
    files[SPINE] = files[SPINE].replace(b"09:30:00", b"09:30:01", 1)


def _gone(files: dict[str, bytes]) -> None:
    del files[_ELM]


def _disordered(files: dict[str, bytes]) -> None:
    files[_ELM] = b"".join(files[_ELM].splitlines(keepends=True)[::-1])


@cache
def _with_a_revoked_word() -> Trunk:
    """Something waits in the tree that no seal will ever take in, and it was deleted."""
    trunk = forked(working_fleet())
    trunk.push([says(trunk.pens["fir"])])
    return trunk


def _put_back(scene: Scene) -> None:
    scene.files.clear()
    scene.files.update(_with_a_revoked_word().files)
    scene.sealed(says(scene.elm))


def _fir_silenced(files: dict[str, bytes]) -> None:
    path = next(path for path in files if "/fir-" in path)
    files[path] = b"".join(files[path].splitlines(keepends=True)[:-1])


def _emptied(files: dict[str, bytes]) -> None:
    files[_ELM.replace("0000000001", "0000000033")] = b""


_ELM = file_of(working_fleet().pens["elm"], 1)

# Requests.


def _welcomed(scene: Scene) -> list[Record]:
    rue = scene.trunk.pen("rue")
    admission = scene.oak.write("node.admit", name="rue", key=rue.key.public.text, roles=["node"])
    return [rue.hello(), admission]


# Review mode.


@cache
def _reviewed() -> Trunk:
    """A lease of `release` needs an approval; ash is a reviewer, too."""
    trunk = forked(working_fleet())
    key = trunk.pens["ash"].key.public.text
    trunk.seal(trunk.oak.write("node.admit", name="ash", key=key, roles=["node", "reviewer"]))
    trunk.seal(trunk.oak.write("review.require", rule="r", kinds=["lease.acquire"], names=["release"], approvals=1))
    return trunk


@cache
def held() -> Trunk:
    trunk = forked(_reviewed())
    (judged,) = trunk.seal(asks(trunk.pens["elm"], "release"))
    assert judged.verdict.outcome == "held"
    return trunk


def _the_held(trunk: Trunk) -> list[str]:
    elm = trunk.pens["elm"]
    return [elm.prev]


def _approves(trunk: Trunk) -> Record:
    return trunk.pens["ash"].write("review.approve", records=_the_held(trunk))


def _approved(trunk: Trunk) -> None:
    trunk.seal(_approves(trunk))
    assert leases(trunk.ledger.state).by_name["release"].holder == "elm"


# Bytes.


def _longest(scene: Scene) -> None:
    scene.append(file_of(scene.elm), line_of_size(scene.elm, MAX_LINE_BYTES - 1))


def _deepest(levels: int) -> Any:
    inner: Any = 0
    for _ in range(levels):
        inner = [inner]
    return inner


def _nothing(_: Scene) -> None:
    """A commit that changes no file."""


def _with_a_readme(scene: Scene) -> None:
    scene.beside["README.md"] = b"# Fleet\n"
    scene.add(says(scene.elm))


# Pull requests, merged in each of the three ways that a host has.


def _branch(scene: Scene) -> None:
    """A commit for each of three records."""
    for number in range(3):
        scene.add(says(scene.elm, number))
        scene.step()


def _rebased(scene: Scene) -> None:
    _branch(scene)
    scene.steps.pop()


def _merged(scene: Scene) -> None:
    _branch(scene)
    scene.merge = True


def _mistaken(scene: Scene) -> None:
    """A commit of the branch broke what the next one put right."""
    scene.append(file_of(scene.elm), b"elm was here")
    scene.step()
    scene.files.update(scene.trunk.files)
    scene.add(says(scene.elm))


_ODD_TEXT = (
    "\u2028\u2029\x85\x0b\x0c\x1b[31m\u202e<img src=x onerror=alert(1)> | @oak fixes #1 [x](http://x) \U0001f333\x7f"
)

PUT_BACK = Case(
    "healing: a waiting word that comes to nothing is put back",
    "",
    _put_back,
    start=cache(lambda: damaged(_with_a_revoked_word(), _fir_silenced)),
    hub="a hub that first sees the trunk when it is damaged cannot tell what is put back from what is new",
)

CASES: tuple[Case, ...] = (
    *_TABLES,
    # History.
    Case("history: the first push founds the ledger", "", _found, start=Trunk),
    _history("a lease is asked for, renewed, released and taken over", _a_leases_life),
    _history("some of it was refused and fenced", _refused_and_fenced),
    _history("a node is let in", _new_node),
    _history("a key is rotated, and the new one goes on", _rotation),
    _history("the recovery key makes an admin, who revokes the old one", _recovery),
    _history("tasks are finished, failed and tried again", _work),
    _history("45 epochs at once", _many_epochs),
    _history("a thousand records of one log in one epoch", _thousand(lambda trunk: [trunk.pens["elm"]])),
    _history("a thousand of three", _thousand(lambda trunk: [trunk.oak, trunk.pens["elm"], trunk.pens["ash"]])),
    _history("sixty newcomers say hello", _many_newcomers),
    _history("three logs in one epoch", _crowd_speaks),
    _history("a segment is full", _segment_full),
    _history("a segment is full, and the next begins", _segment_begun),
    Case("history: what is sealed, and what waits for the next seal", "", _sealed_and_not),
    # Forks, and what comes of them.
    Case("fork: the other side's history comes here", "", _reconciled(_there), start=_here),
    Case("fork: a smaller side comes to the greater one", "", _reconciled(_here), start=_there),
    _history("over an orphan, whose records arrive late", _over, start=both),
    _history("a proof suspends who signed twice", _suspended, start=signed_twice),
    _history("the two halves and the seal that suspends for them", _both_halves_at_once),
    # Healing (law RENDER).
    _healed("garbage goes", _garbage),
    _healed("deleted records are put back", _deleted),
    _healed("an edited seal is put right", _edited),
    _healed("a deleted log is put back", _gone),
    _healed("lines come back into order", _disordered),
    _healed("an empty file goes", _emptied),
    _healed("nothing but healing", _garbage, says_more=False),
    # Proposals.
    _asked("one event", lambda scene: says(scene.elm, 1)),
    _asked("events of three nodes", lambda scene: [says(scene.elm), says(scene.ash), says(scene.oak)]),
    _asked("a thousand records", lambda scene: [says(scene.elm, n) for n in range(1000)]),
    _asked("a hello", lambda scene: scene.trunk.pen("rue").hello()),
    _asked("more newcomers than a seal takes in", lambda scene: [scene.trunk.pen(f"n{n}").hello() for n in range(310)]),
    _asked(
        "an admission of who said hello",
        lambda scene: scene.oak.write("node.admit", name="yew", key=scene.yew.key.public.text, roles=["node"]),
    ),
    _asked("a hello and its admission", _welcomed),
    _asked("the first word of a new key", lambda scene: says(scene.sprig)),
    _asked("a place in the queue", lambda scene: asks(scene.oak, "deploy", queue=True)),
    _asked(
        "a command with much to say",
        lambda scene: issue(scene.oak, args={"text": "x" * 30_000, "list": list(range(999))}),
    ),
    _asked(
        "a DAG of a hundred tasks",
        lambda scene: submit(scene.elm, *(task(f"t{n}", *([f"t{n - 1}"] if n else [])) for n in range(100)), dag="big"),
    ),
    _asked("a key used once", lambda scene: says(scene.elm, once="nightly")),
    # Merged by a host.
    Case("merge: rebased onto the trunk", "", _rebased),
    Case("merge: by a commit of two parents", "", _merged),
    Case("merge: a mistake, and its end", "", _mistaken),
    # Review mode.
    _asked("what will be held", lambda scene: asks(scene.elm, "release"), start=_reviewed),
    _history("what is held", lambda trunk: trunk.seal(asks(trunk.pens["elm"], "release")), start=_reviewed),
    _asked("an approval", lambda scene: _approves(scene.trunk), start=held),
    _history("an approval, and what it let through", _approved, start=held),
    _history(
        "a held record is taken back",
        lambda trunk: trunk.seal(trunk.pens["elm"].write("review.reject", records=_the_held(trunk), reason="no")),
        start=held,
    ),
    # Bytes.
    Case("proposal: the longest line there can be", "", _longest),
    _bytes("the deepest value there can be", _deepest(14)),
    _bytes("the greatest numbers", [MAX_INT, -MAX_INT, 0, -1]),
    _bytes("text that would break a terminal, a page or a line", _ODD_TEXT),
    _bytes("a payload that looks like a record", {"kind": "seal", "sig": "x", "v": 1}),
    _bytes("a digest, which is no secret", hashlib.sha256(b"").hexdigest()),
    _bytes("nothing", None),
    Case("proposal: no file at all", "", _nothing),
    Case("proposal: a README stays as it was", "", _with_a_readme),
)
