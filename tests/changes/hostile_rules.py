"""Laws that judge what a record asks for: FENCE, UNTIL, TIME, SEEN, ONCE, RULES, LIVE, SECRET, and the rules of each kind.

A change without a seal is a proposal: what the next seal would refuse or fence is held against it. Each row of each
table of verdicts that is not `applied` is a case, played by the scene that the table's own tests play.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from orxaq_mesh import kinds
from orxaq_mesh.fold import in_order
from orxaq_mesh.kinds import APPLIED
from orxaq_mesh.kinds import command as commands
from orxaq_mesh.kinds import dag as dags
from orxaq_mesh.kinds import event as events
from orxaq_mesh.kinds import lease as leases
from orxaq_mesh.kinds import node as nodes
from orxaq_mesh.kinds import reactor as reactors
from orxaq_mesh.kinds import work as works
from orxaq_mesh.record import Record
from tests import (
    test_kinds_command,
    test_kinds_dag,
    test_kinds_lease,
    test_kinds_node,
    test_kinds_reactor,
    test_kinds_work,
)
from tests.builder import Pen, Trunk
from tests.changes.scene import Case, Scene, asks, claim, forked, issue, says, working_fleet
from tests.orders import fleet

Play = Callable[[Trunk], list[Record]]

# The tables.


def _plays() -> Iterator[tuple[kinds.Row, Play]]:
    """Each row of each table, and what leads to it."""
    tables = (
        (leases, test_kinds_lease.SCENES),
        (works, test_kinds_work.SCENES),
        (dags, test_kinds_dag.SCENES),
        (commands, test_kinds_command.SCENES),
        (reactors, test_kinds_reactor.SCENES),
        (events, test_kinds_reactor.EVENTS),
    )
    for family, scenes in tables:
        for row in family.ROWS:
            if (row.kind, row.case) in scenes:
                yield row, _played(scenes[row.kind, row.case])
    for row in nodes.ROWS:
        if row.kind != "node.found" and (row.kind, row.outcome) != ("node.hello", "refused"):
            yield row, _played_by_two(test_kinds_node.SCENES[row.kind, row.case])


def _played(scene: Callable[..., list[Record]]) -> Play:
    return lambda trunk: scene(trunk, trunk.oak, trunk.pens["elm"], trunk.pens["ash"])


def _played_by_two(scene: Callable[..., Record]) -> Play:
    def play(trunk: Trunk) -> list[Record]:
        """Where the two are alone: ash is a newcomer."""
        trunk.__dict__.update(_founded_by_two().__dict__)
        return [scene(trunk, trunk.oak, trunk.pens["elm"])]

    return play


def _founded_by_two() -> Trunk:
    trunk = Trunk.founded()
    trunk.admit("elm")
    return trunk


def row_case(row: kinds.Row, play: Play, law: str) -> Case:
    """The records of a row's scene, as a proposal on the trunk that it leads to."""

    @cache
    def played() -> tuple[Trunk, list[Record]]:
        """Begun so many epochs later that these records of one epoch are judged in the order in which they stand."""
        for epochs in range(9):
            trunk = fleet()
            for _ in range(epochs):
                trunk.seal(says(trunk.oak))
            records = play(trunk)
            if (
                in_order(trunk.ledger.state.seal, {r.log: [o for o in records if o.log == r.log] for r in records})
                == records
            ):
                return trunk, records
        raise AssertionError(row)

    def build(scene: Scene) -> None:
        scene.add(*played()[1])

    return Case(f"{law or 'honest'}: {row.kind}: {row.case}", law, build, start=lambda: played()[0])


ROWS = tuple((row, play) for row, play in _plays())
_TABLES = tuple(row_case(row, play, row.rule) for row, play in ROWS if row.outcome != APPLIED)

# What is asked of any record.


def _says(law: str, name: str, write: Callable[[Scene], Record | list[Record]], **how: Any) -> Case:
    def build(scene: Scene) -> None:
        written = write(scene)
        scene.add(*(written if isinstance(written, list) else [written]))

    return Case(f"{law}: {name}", law, build, **how)


def _held(scene: Scene, **other: Any) -> dict[str, Any]:
    """What elm acts under while it runs release/build, or what somebody says instead."""
    lease = kinds.lease.leases(scene.trunk.ledger.state).by_name["task:release/build"]
    return {"lease": lease.name, "session": lease.session, "token": lease.token} | other


def _finish(pen: str, **other: Any) -> Callable[[Scene], Record]:
    return lambda scene: getattr(scene, pen).write("task.finish", outcome="succeeded", under=_held(scene, **other))


def _without_token(scene: Scene) -> Record:
    under = {key: value for key, value in _held(scene).items() if key != "token"}
    return scene.elm.write("task.finish", outcome="succeeded", under=under)


def _after_the_break() -> Trunk:
    """elm's claim of release/build was taken from it."""
    trunk = forked(working_fleet())
    held = leases.leases(trunk.ledger.state).by_name["task:release/build"]
    trunk.seal(trunk.oak.write("lease.break", lease=held.name, token=held.token, reason="stuck"))
    return trunk


def _stale(scene: Scene) -> Record:
    old = working_fleet()
    held = leases.leases(old.ledger.state).by_name["task:release/build"]
    under = {"lease": held.name, "session": held.session, "token": held.token}
    return scene.elm.write("task.finish", outcome="succeeded", under=under)


def _deploy(scene: Scene) -> Any:
    return leases.leases(scene.trunk.ledger.state).by_name["deploy"]


def _renew(pen: str, **other: Any) -> Callable[[Scene], Record]:
    def write(scene: Scene) -> Record:
        held = {"lease": "deploy", "session": "s", "token": _deploy(scene).token}
        return getattr(scene, pen).write("lease.renew", **held | other)

    return write


def _release(pen: str, **other: Any) -> Callable[[Scene], Record]:
    def write(scene: Scene) -> Record:
        held = _deploy(scene)
        named = {"lease": "deploy", "session": "s", "token": held.token, "record": held.record}
        return getattr(scene, pen).write("lease.release", **named | other)

    return write


def _publishes(payload: Any) -> Callable[[Scene], Record]:
    return lambda scene: says(scene.elm, payload)


def _forgetful(scene: Scene) -> Record:
    """elm had seen more when it wrote its last record."""
    body = {"topic": "t", "type": "x", "payload": 1}
    return scene.elm.draft("event.publish", body, seen={"epoch": 1, "seal": scene.trunk.seals[0].id})


def _again(scene: Scene) -> list[Record]:
    return [says(scene.elm, 1, once="nightly"), says(scene.elm, 2, once="nightly")]


def _used_once() -> Trunk:
    trunk = forked(working_fleet())
    trunk.seal(says(trunk.pens["elm"], 1, once="nightly"))
    return trunk


def _flawed(kind: str = "event.publish", body: Any = None, **envelope: Any) -> Callable[[Scene], Record]:
    def write(scene: Scene) -> Record:
        said = {"topic": "t", "type": "x", "payload": 1} if body is None else body
        return scene.elm.draft(kind, said, **envelope)

    return write


def _by(pen: str, kind: str = "event.publish", **body: Any) -> Callable[[Scene], Record]:
    def write(scene: Scene) -> Record:
        signer: Pen = getattr(scene, pen)
        return signer.write(kind, **body or {"topic": "t", "type": "x", "payload": 1})

    return write


def _newcomer_speaks(scene: Scene) -> list[Record]:
    rue = scene.trunk.pen("rue")
    return [rue.hello(), says(rue)]


def _two_of_one(scene: Scene) -> list[Record]:
    one = scene.elm.draft("event.publish", {"topic": "t", "type": "x", "payload": 1})
    return [one, says(scene.elm, 2)]


def _second_hello(scene: Scene) -> Record:
    return scene.elm.hello()


_PASSWORD = "correct" + "-horse-battery-9"
_TOKEN = "ghp_" + "0123456789abcdefghijklmnopqrstuvwxyz"
_SIGNED_ELSEWHERE = "a fold does not read payloads: what is sealed stays sealed, so a node cannot take it back (SECRET)"


def _rides(law: str, name: str, write: Callable[[Scene], Record | list[Record]], **how: Any) -> Case:
    """The same, beside a sound seal over another's word that does not take it in."""

    def build(scene: Scene) -> None:
        seal = scene.seal(word := says(scene.oak))
        written = write(scene)
        scene.add(word, *(written if isinstance(written, list) else [written]), seals=[seal])

    return Case(f"{law}: beside a seal: {name}", law, build, **how)


CASES: tuple[Case, ...] = (
    *_TABLES,
    # FENCE: under which token, as which session of which node.
    _says("FENCE", "a finish under a token that is too high", _finish("elm", token=99)),
    _says("FENCE", "a finish under a token that is too low", _finish("elm", token=1)),
    _says("FENCE", "a finish by another session", _finish("elm", session="z")),
    _says("FENCE", "a finish by another node", _finish("ash")),
    _says("FENCE", "a finish under another lease", _finish("elm", lease="deploy")),
    _says("FENCE", "a finish under a lease that nobody holds", _finish("elm", lease="task:release/publish")),
    _says("FENCE", "a finish after the lease was broken", _stale, start=_after_the_break),
    _says("RULES", "a finish without a token", _without_token),
    _says("FENCE", "a renewal with an old token", _renew("elm", token=3)),
    _says("FENCE", "a renewal by another session", _renew("elm", session="z")),
    _says("FENCE", "a renewal by who waits", _renew("ash")),
    _says("FENCE", "a release with an old token", _release("elm", token=3)),
    _says("FENCE", "a release of another grant", _release("elm", record="e" * 64)),
    _says("FENCE", "a release by another node", _release("ash")),
    _says("FENCE", "an event under a stale token", lambda scene: says(scene.elm, under=_held(scene, token=2))),
    _says("FENCE", "a command under a stale token", lambda scene: issue(scene.elm, under=_held(scene, token=2))),
    # UNTIL.
    _says("UNTIL", "a request of last week", lambda scene: asks(scene.ash, "build", until=3)),
    _says("UNTIL", "a claim of last week", lambda scene: claim(scene.ash, "publish", until=3)),
    _says("UNTIL", "a command of last week", lambda scene: issue(scene.ash, to="elm", until=3)),
    _says("UNTIL", "a request of the epoch before", lambda scene: asks(scene.ash, "build", until=19)),
    # SEEN, ONCE.
    _says("SEEN", "its author had seen more before", _forgetful),
    _says("ONCE", "a key that was used before", lambda scene: says(scene.elm, once="nightly"), start=_used_once),
    _says("ONCE", "a key twice in one change", _again),
    # RULES.
    _says("RULES", "a kind that does not exist", _flawed("lease.steal")),
    _says("RULES", "a version that does not exist", _flawed(v=2)),
    _says("RULES", "a body without what is needed", _flawed(body={"topic": "t"})),
    _says("RULES", "a body with more than is allowed", _flawed(body={"topic": "t", "type": "x", "payload": 1, "x": 1})),
    _says(
        "RULES",
        "a lease named with a blank",
        _flawed("lease.acquire", {"lease": "a b", "session": "s", "ttl_ms": 9999, "until": 99}),
    ),
    _says("RULES", "a ttl under a second", lambda scene: asks(scene.ash, "build", ttl_ms=5)),
    _says(
        "RULES",
        "a task with an unknown field",
        lambda scene: scene.elm.write("dag.submit", dag="d", until=99, tasks=[{"name": "a", "sudo": True}]),
    ),
    _says(
        "RULES",
        "a role that does not exist",
        lambda scene: scene.oak.write("node.admit", name="yew", key=scene.yew.key.public.text, roles=["root"]),
    ),
    # LIVE.
    _says("LIVE", "a lease for a year", lambda scene: asks(scene.ash, "build", ttl_ms=365 * 86_400_000)),
    # NODE: who may write what.
    _says("NODE-3", "an observer writes", _by("owl")),
    _says("NODE-3", "a revoked node writes", _by("fir")),
    _says("NODE-3", "a node writes with the key that it rotated away", _by("sap")),
    _says("NODE-3", "a node that only said hello writes", _by("yew")),
    _says("NODE-3", "a newcomer says more than hello", _newcomer_speaks),
    _says(
        "NODE-3",
        "a node admits another",
        lambda scene: scene.elm.write("node.admit", name="yew", key=scene.yew.key.public.text, roles=["node"]),
    ),
    _says(
        "NODE-3",
        "a node revokes another",
        lambda scene: scene.elm.write("node.revoke", log=scene.ash.log, reason="mine"),
    ),
    _says(
        "NODE-3",
        "a node breaks a lease",
        lambda scene: scene.ash.write("lease.break", lease="deploy", token=_deploy(scene).token, reason="mine"),
    ),
    _says("NODE-3", "a node resets the breaker", _by("elm", "breaker.reset", reason="now")),
    _says("NODE-3", "a node publishes a mapping", _by("elm", "reactor.publish", reactor="r", version=1, rules=[])),
    _says("NODE-3", "the recovery key asks for a lease", lambda scene: asks(scene.recovery, "build")),
    _says("NODE-2", "a second hello in a log", _second_hello),
    _says(
        "NODE-5",
        "an admission of a revoked key",
        lambda scene: scene.oak.write("node.admit", name="fir", key=scene.fir.key.public.text, roles=["node"]),
    ),
    # The same laws, where a seal comes along that has nothing to do with it.
    _rides("NODE-3", "a revoked node writes", _by("fir")),
    _rides("NODE-3", "an observer writes", _by("owl")),
    _rides("FENCE", "a finish by another node", _finish("ash")),
    _rides("LEASE-2", "a lease that is held", lambda scene: asks(scene.ash, session="z")),
    _rides("UNTIL", "a request of last week", lambda scene: asks(scene.ash, "build", until=3)),
    _rides("RULES", "a kind that does not exist", _flawed("lease.steal")),
    _rides("CHAIN", "two records for one seq", _two_of_one),
    # SECRET.
    *(
        _says("SECRET", name, _publishes(payload), node=_SIGNED_ELSEWHERE)
        for name, payload in (
            ("a token in a payload", {"token": _TOKEN}),
            ("a token that is given to an option", f"curl --oauth2-bearer={_TOKEN} https://example.org"),
            ("a token in the middle of a text", f"use {_TOKEN} to push"),
            ("a password by a field's name", {"env": [{"password": _PASSWORD}]}),
            ("a password in a URL", f"https://elm:{_PASSWORD}@example.org/x"),
            ("a private key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl"),
        )
    ),
    _says(
        "SECRET",
        "a token in the reason of a break",
        lambda scene: scene.oak.write("lease.break", lease="deploy", token=_deploy(scene).token, reason=_TOKEN),
        node=_SIGNED_ELSEWHERE,
    ),
    _says(
        "SECRET",
        "a token in a step of a task",
        lambda scene: scene.elm.write(
            "dag.submit",
            dag="d",
            until=99,
            tasks=[{"name": "a", "commands": [{"name": "s", "shell": f"use {_TOKEN}"}]}],
        ),
        node=_SIGNED_ELSEWHERE,
    ),
)
