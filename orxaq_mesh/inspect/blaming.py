"""Who held something when, by which token, how it came to them and how it ended.

Knows: how the fold is watched step by step, and which record moved a lease from one hand to the next (laws FENCE, TIME).
Knows not: any rule: whoever the fold gave the lease is told, whatever the reason. Where a ledger forked it is the way that
the fleet went; what a side that was left had granted is told beside it.

    blame(past, "lease/deploy").tenures[-1].holder     # "oak"
    blame(past, "task/release/build")                  # who held the claim of it
    blame(past, "node/elm").tenures                    # which keys bore that name
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from orxaq_mesh import fold, kinds
from orxaq_mesh.errors import Usage
from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect.attempts import claim_of
from orxaq_mesh.inspect.epochs import first_of, taken_of
from orxaq_mesh.inspect.reading import History
from orxaq_mesh.inspect.work import NotThere
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds import APPLIED, FENCED, State
from orxaq_mesh.kinds.lease import Lease, leases
from orxaq_mesh.kinds.node import ADMITTED, members
from orxaq_mesh.kinds.work import TASK
from orxaq_mesh.record import Record, Seal

Json = dict[str, Any]
NOUNS = ("lease", "task", "command", "node")


class Turn(NamedTuple):
    """How something began or ended.

    Attributes:
        epoch: in which.
        how: in a word or two: `granted`, `next in line`, `taken over`, `released`, `broken`, `revoked`, `finished`, ...
        by: the name of the node whose record did it; "" where none did: an epoch's beginning, a proof against a key.
        record: that record's id, or "".
        kind, rule: the record's, and of its verdict.
        reason: what the record says about why.
        silence_ms: how long its author claims to have watched the holder in silence; None: it is no take-over.
        at: when its author says that it was, for people.
    """

    epoch: int
    how: str
    by: str = ""
    record: str = ""
    kind: str = ""
    rule: str = ""
    reason: str = ""
    silence_ms: int | None = None
    at: str = ""


class Tenure(NamedTuple):
    """One holding, by one hand under one token; or one key's bearing of a name.

    Attributes:
        holder, session: whose; of a name, the log and "".
        token: the lease's; None for a name.
        fingerprint: the key's for a name; "" for a lease.
        record: the record that asked for it, and in which epoch that was sealed.
        began, ended: how; None: it goes on.
        renewals: how many; `acts`: how many other records were applied under it; `fenced`: how many came with its token
            and were too late, or not its holder's.
        final: whether a fork could no longer undo its end, or its beginning where it goes on.
    """

    holder: str
    session: str
    token: int | None
    fingerprint: str
    record: str
    asked: int
    began: Turn
    ended: Turn | None
    renewals: int
    acts: int
    fenced: int
    final: bool


class Blame(NamedTuple):
    """The answer.

    Attributes:
        about: what was asked about, as a noun and a name.
        name: of the lease, or of the node.
        tenures: oldest first.
        left: (epoch, node, record) of grants that only a side that was left has seen.
    """

    about: str
    name: str
    tenures: tuple[Tenure, ...]
    left: tuple[tuple[int, str, str], ...] = ()


def blame(past: History, about: str) -> Blame:
    """Who held it when.

    Args:
        past: the history.
        about: `lease/NAME`, `task/DAG/TASK`, `command/ID` or `node/NAME`.

    Raises:
        Usage: it is none of these, or fits several commands.
        NotThere: the ledger knows none of this name.
    """
    noun, slash, rest = about.partition("/")
    if noun not in NOUNS or not slash or not rest:
        raise Usage(f"blame what? {about[:80]!a}", hint="lease/NAME, task/DAG/TASK, command/ID or node/NAME")
    if noun == "node":
        return _names(past, rest)
    name = rest if noun == "lease" else f"{TASK}{rest}" if noun == "task" else _command(past, rest)
    tenures = tuple(_tenures(past, name))
    left = tuple(_left(past, name))
    if not tenures and not left and not any(claim_of(item.record)[0] == name for item in past.judged):
        raise NotThere(f"nobody ever asked for {noun} {rest[:80]}", hint=f"mesh {_LISTS[noun]}", name=name)
    return Blame(about, name, tenures, left)


_LISTS = {"lease": "lease list", "task": "task list", "command": "command list"}


def _command(past: History, prefix: str) -> str:
    from orxaq_mesh.inspect.work import find_command

    return find_command(past.state, prefix).name


# Watching the fold.


class _Grant(NamedTuple):
    """Who holds a lease."""

    holder: str
    session: str
    token: int
    record: str


_NOBODY = _Grant("", "", 0, "")


def _grant(state: State, name: str) -> _Grant:
    lease = leases(state).by_name.get(name) or Lease(name)
    return _Grant(lease.holder, lease.session, lease.token, lease.record) if lease.holder else _NOBODY


Step = tuple[Seal, Judged | None, State]
"""The epoch's seal; the verdict that was just given, or None: the epoch has opened; the state by now."""


def watched(past: History) -> Iterator[Step]:
    """The fold of the way that the fleet went, one step at a time."""
    state = kinds.new_state()
    for stood in past.ledger.spine.chain:
        for item in fold.steps(state, stood.seal, taken_of(stood), first_of(past, stood)):
            yield stood.seal, item, state


def _tenures(past: History, name: str) -> Iterator[Tenure]:
    """Each holding of a lease."""
    found: list[Tenure] = []
    now = _NOBODY
    sealed = {item.record.id: item.epoch for item in reversed(past.judged)}
    for seal, item, state in watched(past):
        then, now = now, _grant(state, name)
        if then != now:
            if then.holder:
                found[-1] = found[-1]._replace(ended=_ended(seal, item, state, then))
            if now.holder:
                began = _began(seal, item, state, now, then)
                asked = sealed.get(now.record, seal.epoch)
                found.append(Tenure(*now[:3], "", now.record, asked, began, None, 0, 0, 0, False))
        if item is not None and found:
            found = _counted(found, item, name)
    yield from _sure(found, past)


def _sure(found: Iterable[Tenure], past: History) -> Iterator[Tenure]:
    return (tenure._replace(final=(tenure.ended or tenure.began).epoch <= past.final) for tenure in found)


def _counted(found: list[Tenure], item: Judged, name: str) -> list[Tenure]:
    """The tenures, with one more record that names the lease and a token."""
    record, _, verdict, _ = item
    lease, token = claim_of(record)
    at = next((at for at, tenure in enumerate(found) if lease == name and tenure.token == token), None)
    if at is None:
        return found
    tenure = found[at]
    if verdict.outcome == FENCED:
        found[at] = tenure._replace(fenced=tenure.fenced + 1)
    elif verdict.result == "renewed":
        found[at] = tenure._replace(renewals=tenure.renewals + 1)
    elif verdict.outcome == APPLIED and "under" in record.body:
        found[at] = tenure._replace(acts=tenure.acts + 1)
    return found


def _turn(seal: Seal, item: Judged | None, state: State, how: str) -> Turn:
    if item is None:
        return Turn(seal.epoch, how)
    record, _, verdict, _ = item
    body = record.body
    reason = str(body.get("reason") or "")
    silence = body.get("watched_ms") if record.kind == "lease.take" else None
    return Turn(
        seal.epoch, how, _author(state, record), record.id, record.kind, verdict.rule, reason, silence, record.at
    )


def _author(state: State, record: Record) -> str:
    member = members(state).by_log.get(record.log)
    return member.name if member is not None else record.log


def _began(seal: Seal, item: Judged | None, state: State, now: _Grant, then: _Grant) -> Turn:
    """How it came to them: by their own record, or as the next in line when another one let go of it."""
    if item is None or item.record.id != now.record:
        return _turn(seal, item, state, "next in line")
    if item.record.kind == "lease.take" and then.holder:
        return _turn(seal, item, state, f"taken over from {then.holder}")
    return _turn(seal, item, state, "granted when it was approved" if item.again else "granted")


_ENDS = {
    "lease.release": "released",
    "lease.take": "taken over",
    "lease.break": "broken",
    "node.revoke": "revoked",
    "node.admit": "lost its role",
    "task.finish": "finished",
    "command.finish": "finished",
    "dag.cancel": "cancelled",
    "command.cancel": "cancelled",
    "task.skip": "skipped",
    "task.retry": "retried",
}
"""Kind of the record under which a holding ended -> how it did."""


def _ended(seal: Seal, item: Judged | None, state: State, then: _Grant) -> Turn:
    if item is None:
        return _turn(seal, None, state, "suspended: its key signed two histories")
    turn = _turn(seal, item, state, _ENDS.get(item.record.kind, f"ended by {item.record.kind}"))
    if item.record.kind == "lease.take":
        return turn._replace(how=f"taken over by {turn.by}" if turn.by != then.holder else "taken over by itself")
    outcome = item.record.body.get("outcome")
    return turn._replace(how=f"{turn.how}: {outcome}") if turn.how == "finished" and outcome else turn


def _left(past: History, name: str) -> Iterator[tuple[int, str, str]]:
    """Grants on sides that the fleet did not go on from."""
    on_way = {stood.seal.id for stood in past.ledger.spine.chain}
    for id_, stood in sorted(past.ledger.spine.stood.items(), key=lambda pair: (pair[1].seal.epoch, pair[0])):
        for record, epoch, verdict, _ in stood.judged if id_ not in on_way else ():
            if verdict.result in ("granted", "passed") and claim_of(record)[0] == name:
                yield epoch, _author(past.state, record), record.id


# Names of nodes.


def _names(past: History, name: str) -> Blame:
    """Which keys bore a name: who introduced, admitted, changed, rotated and revoked them."""
    found: list[Tenure] = []
    before: Mapping[str, str] = {}
    for seal, item, state in watched(past):
        if item is not None and not item.record.kind.startswith("node."):
            continue
        now = _standings(state, name)
        for log in now.keys() | before.keys():
            if now.get(log) != before.get(log):
                found = _moved(found, (seal, item, state), log)
        before = now
    if not found:
        raise NotThere(f"no node was ever called {name[:80]}", hint="mesh node list", node=name)
    return Blame(f"node/{name}", name, tuple(_sure(found, past)))


def _standings(state: State, name: str) -> dict[str, str]:
    mine = (member for member in members(state).by_log.values() if member.name == name)
    return {member.log: f"{member.standing} {' '.join(member.roles)}" for member in mine}


def _moved(found: Iterable[Tenure], step: Step, log: str) -> list[Tenure]:
    """A key of that name came, or has another standing or role."""
    seal, item, state = step
    member, tenures = members(state).by_log[log], list(found)
    roles = ", ".join(member.roles)
    how = f"admitted as {roles}" if member.standing == ADMITTED else member.standing
    turn = _turn(seal, item, state, how)
    at = next((at for at, tenure in enumerate(tenures) if tenure.holder == log and tenure.ended is None), None)
    if at is not None:
        tenures[at] = tenures[at]._replace(ended=turn)
    if not member.is_gone:
        fingerprint, record = PublicKey.parse(member.key).fingerprint, item.record.id if item else ""
        tenures.append(Tenure(log, "", None, fingerprint, record, seal.epoch, turn, None, 0, 0, 0, False))
    return tenures
