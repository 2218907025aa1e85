"""`mesh divergence`: what forked, which way the fleet went, what that changed.

Knows: how the report reads.
Knows not: how it is found (`inspect.divergence`).

    mesh divergence --json
"""

from __future__ import annotations

from typing import Any

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call

app = new_app()
_RULES = {
    "most votes": "most nodes stood behind it first",
    "earliest voter": "as many nodes stood behind each; the one that was admitted earliest stood behind this one",
    "earliest sealer": "no node's vote is known; its first sealer was admitted earlier",
    "lower id": "no node's vote is known, and one node sealed both; the lower id goes first",
}
_STYLES = {"applied": "good", "refused": "warn", "fenced": "bad"}


@app.command(cls=Command, epilog="Example: mesh divergence --json")
def divergence() -> None:
    """Say where the ledger forked, who stood behind which side, what decided, and every verdict that changed.

    Nothing that lost is gone: `mesh show ID` prints it. The hub is not asked; `mesh sync` does that.
    """
    found = call().mesh().divergence()
    if call().json:
        call().data(value_of(found))
        return
    if not found.forks:
        call().say("the ledger never forked")
    for fork in found.forks:
        _tell_fork(fork)
    if found.changed:
        call().say(Painted("what changed", "bold"))
    for change in found.changed:
        _tell_change(change)
    if found.unchanged:
        call().say(f"{found.unchanged} records that were judged on a side that was left have the same verdict now")
    _tell_rest(found)


def _tell_fork(fork: Any) -> None:
    call().say(
        Painted(f"after epoch {fork.epoch} ", "bold"), Painted(f"({fork.seal[:12]})", "dim"), " the ledger forked"
    )
    for side in fork.sides:
        mark = Painted("went on", "good") if side.chosen else Painted("left   ", "warn")
        last = f"-{side.last[0]}" if side.last[0] != side.first[0] else ""
        call().say(
            "  ", mark, f"  epochs {side.first[0]}{last}, {side.records} records, sealed by {_names(side.sealed_by)}"
        )
        behind = _names([node for node, _ in side.votes]) if side.votes else "nobody"
        call().say(f"           {behind} stood behind it first; last seal {side.last[1][:12]}")
    call().say(f"  why      {_RULES[fork.rule]}")
    if fork.absent:
        call().say(f"  missing  {_names(fork.absent)} did not stand behind any side so far")
    sure = "final: it cannot change" if fork.final else "settled: no vote that is missing can change it"
    call().say(
        f"  now      {sure if fork.final or fork.settled else 'OPEN: a vote that is missing may still change it'}"
    )


def _names(names: Any) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else str(last)


def _tell_change(change: Any) -> None:
    about = f" {change.lease}" if change.lease else ""
    before, now = change.before, change.now
    call().say(f"  {change.node}  {change.kind}{about}  ", Painted(change.record[:8], "dim"))
    parts: list[Any] = [f"    was {before.outcome} ({before.rule}) in epoch {change.epoch}; "]
    if now is None:
        parts.append("waits to be judged again")
    else:
        parts += [
            "is ",
            Painted(now.outcome, _STYLES.get(now.outcome, "")),
            f" ({now.rule}) in epoch {change.now_epoch}",
        ]
    call().say(*parts)


def _tell_rest(found: Any) -> None:
    for epoch, id_, log, why in found.held:
        call().say(Painted("does not stand  ", "warn"), f"a seal of epoch {epoch} by {log} ({id_[:12]}): {why}")
    for log, seq, (one, other) in found.suspended:
        call().say(Painted("two histories   ", "bad"), f"{log} signed number {seq} twice: {one[:12]} and {other[:12]}")
        call().say(f"                mesh proof {log}")
    for node, record, epoch, seal in found.notes:
        call().say(
            Painted("note            ", "dim"), f"{node} says in {record[:8]} that it saw epoch {epoch} ({seal[:12]})"
        )
    if found.notes:
        call().say("                which is not in this ledger: another hub may have it")


def value_of(found: Any) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "final": found.final,
        "forks": [_fork_value(fork) for fork in found.forks],
        "changed": [_change_value(change) for change in found.changed],
        "unchanged": found.unchanged,
        "held": [dict(zip(("epoch", "seal", "log", "reason"), held, strict=True)) for held in found.held],
        "suspended": [dict(zip(("log", "seq", "records"), known, strict=True)) for known in found.suspended],
        "notes": [dict(zip(("node", "record", "epoch", "seal"), note, strict=True)) for note in found.notes],
    }


def _fork_value(fork: Any) -> dict[str, Any]:
    sides = []
    for side in fork.sides:
        first, last = ({"epoch": epoch, "seal": seal} for epoch, seal in (side.first, side.last))
        votes = [{"node": node, "record": record} for node, record in side.votes]
        sides.append({**side._asdict(), "first": first, "last": last, "votes": votes})
    return {**fork._asdict(), "sides": sides}


def _change_value(change: Any) -> dict[str, Any]:
    before = {"epoch": change.epoch, "verdict": change.before.outcome, "rule": change.before.rule}
    now = None
    if change.now is not None:
        now = {"epoch": change.now_epoch, "verdict": change.now.outcome, "rule": change.now.rule}
    names = ("record", "node", "seq", "kind", "lease")
    return {**{name: getattr(change, name) for name in names}, "before": before, "now": now}
