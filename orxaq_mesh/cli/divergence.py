"""`mesh divergence`: what forked, which way the fleet went, what that changed.

Knows: how the report reads.
Knows not: how it is found (`inspect.divergence`).

    mesh divergence --json
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, Part, call

app = new_app()
RULES = {
    "most votes": "most nodes stood behind it first",
    "earliest voter": "as many nodes stood behind each; the one that was admitted earliest stood behind this one",
    "earliest sealer": "no node's vote is known; its first sealer was admitted earlier",
    "lower id": "no node's vote is known, and one node sealed both; the lower id goes first",
}
"""What decided, in words."""
_STYLES = {"applied": "good", "refused": "warn", "fenced": "bad"}
_VOTES = "A node stands behind the side that its first record behind the fork was written on: mesh explain FORK."

_INDENT = " " * 11
MOST, LEAST = 1000, 30
"""A line's width where no terminal bounds it, and what is left for words in the narrowest one."""

Line = tuple[Part, Part]
"""(head, words)."""


@app.command(cls=Command, epilog="Example: mesh divergence --json")
def divergence() -> None:
    """Say where the ledger forked, who stood behind which side, what decided, and every verdict that changed.

    Nothing that lost is gone: `mesh show ID` prints it. The hub is not asked; `mesh sync` does that.
    """
    found = call().mesh().divergence()
    if call().json:
        call().data(value_of(found))
        return
    for head, words in lines(found):
        _say(head, words)


def _say(head: Part, words: Part) -> None:
    """A line; one that is too long for the terminal goes on beneath its words, not beneath its head."""
    said, style = (words.words, words.style) if isinstance(words, Painted) else (words, "")
    indent = len(head.words if isinstance(head, Painted) else head)
    room = shutil.get_terminal_size().columns - indent if sys.stdout.isatty() else MOST
    for number, part in enumerate(textwrap.wrap(said, max(room, LEAST), break_on_hyphens=False) or [""]):
        call().say(" " * indent if number else head, Painted(part, style) if style else part)


def lines(found: Any) -> Iterator[Line]:
    """The report for people, line by line."""
    if not found.forks:
        yield "", "the ledger never forked"
    for fork in found.forks:
        yield from _fork(fork)
    if found.forks:
        yield "", Painted(_VOTES, "dim")
        yield "", ""
        yield from _changes(found)
    for epoch, seal, sides in found.beside:
        firsts = _names([id_[:12] for _, id_ in sides])
        yield "", f"a side that was left forked again after epoch {epoch} (seal {seal[:12]}), into {firsts}"
    yield from _rest(found)


def _fork(fork: Any) -> Iterator[Line]:
    yield "", Painted(f"after epoch {fork.epoch} (seal {fork.seal[:12]}) the ledger forked", "bold")
    for side in fork.sides:
        mark = Painted("  went on  ", "good") if side.chosen else Painted("  left     ", "warn")
        yield mark, f"{_span(side)}, {_count(side.records, 'record')}, sealed by {_names(side.sealed_by)}"
        votes = [f"{node} ({record[:8]})" for node, record in side.votes]
        yield _INDENT, f"{_names(votes) if votes else 'nobody'} stood behind it first"
    yield "  why      ", RULES[fork.rule]
    if missing := [name for name in fork.absent if name not in {unseen.node for unseen in fork.silent}]:
        yield "  missing  ", f"{_names(missing)} did not stand behind any side so far"
    for node, record, epoch, seal in fork.silent:
        words = f"{node} says in {record[:8]} that it saw epoch {epoch} ({seal[:12]})"
        yield "  silent   ", f"{words}; its voice does not count before that seal is shown and stands"
    yield "  now      ", _now(fork)


def _now(fork: Any) -> Part:
    if fork.final:
        return "final: the votes of the nodes have settled it"
    if fork.settled:
        return "settled: no vote that is missing can change it"
    return Painted("OPEN: a vote that is missing may still change it", "warn")


def _span(side: Any) -> str:
    """Its epochs, with its first and its last seal."""
    (first, one), (last, other) = side.first, side.last
    if one == other:
        return f"epoch {first} (seal {one[:12]})"
    return f"epochs {first} to {last} (seals {one[:12]} to {other[:12]})"


def _names(names: Sequence[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# What changed.


def _changes(found: Any) -> Iterator[Line]:
    if found.changed:
        yield "", Painted("what changed", "bold")
    for change in found.changed:
        yield from _change(change)
    if found.unchanged:
        noun = "more record" if found.changed else "record"
        yield "", f"{_count(found.unchanged, noun)} from sides that were left came to the same here"
    waiting = sum(change.open == "waits" for change in found.changed)
    void = sum(change.now is None for change in found.changed) - waiting
    if waiting:
        yield (
            "",
            Painted(f"still to be taken in here, by the next epoch: {_count(waiting, 'record')}; mesh sync", "warn"),
        )
    elif found.changed or found.unchanged:
        but = f", but for what is void: {_count(void, 'record')}" if void else ""
        yield "", f"everything from sides that were left has been taken in here{but}"


def _change(change: Any) -> Iterator[Line]:
    about = f" {change.lease}" if change.lease else ""
    yield "  ", f"{change.node}  {change.kind}{about}  {change.record[:8]}"
    yield "    was  ", f"{_verdict(change.before)} in epoch {change.epoch}"
    if change.now is not None:
        token = f"; its token is {change.now_epoch} now" if change.now.result == "granted" else ""
        words = f"{_verdict(change.now)} in epoch {change.now_epoch}{token}"
        yield "    is   ", Painted(words, _STYLES.get(change.now.outcome, ""))
    elif change.open == "waits":
        yield "    is   ", "to be judged again"
    else:
        yield "    is   ", Painted(f"void: {change.open}", "bad")


def _verdict(verdict: Any) -> str:
    """`applied, granted (LEASE-1)`."""
    result = f", {verdict.result}" if verdict.result else ""
    return f"{verdict.outcome}{result} ({verdict.rule})"


# The rest.


def _rest(found: Any) -> Iterator[Line]:
    for epoch, id_, log, why, _ in found.held:
        yield Painted("does not stand  ", "warn"), f"a seal of epoch {epoch} by {log} ({id_[:12]}): {why}"
    for key in found.suspended:
        one, other = key.records
        since = f"suspended in epoch {key.since}" if key.since else "the next epoch suspends it"
        words = f"{key.log} signed number {key.seq} twice ({one[:12]}, {other[:12]}); {since}; mesh proof {key.log}"
        yield Painted("two histories   ", "bad"), words
    for node, record, epoch, seal in found.notes:
        words = f"{node} says in {record[:8]} that it saw epoch {epoch} ({seal[:12]}), which is not in this ledger"
        yield Painted("note            ", "dim"), f"{words}: another hub may have it"


def value_of(found: Any) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "final": found.final,
        "forks": [_fork_value(fork) for fork in found.forks],
        "beside": [
            {"epoch": epoch, "seal": seal, "sides": [_place(side) for side in sides]}
            for epoch, seal, sides in found.beside
        ],
        "changed": [_change_value(change) for change in found.changed],
        "unchanged": found.unchanged,
        "held": [dict(zip(("epoch", "seal", "log", "reason", "lacks"), held, strict=True)) for held in found.held],
        "suspended": [key._asdict() for key in found.suspended],
        "notes": [note._asdict() for note in found.notes],
    }


def _place(place: tuple[int, str]) -> dict[str, Any]:
    return {"epoch": place[0], "seal": place[1]}


def _fork_value(fork: Any) -> dict[str, Any]:
    sides = []
    for side in fork.sides:
        votes = [{"node": node, "record": record} for node, record in side.votes]
        sides.append({**side._asdict(), "first": _place(side.first), "last": _place(side.last), "votes": votes})
    silent = [unseen._asdict() for unseen in fork.silent]
    return {**fork._asdict(), "sides": sides, "silent": silent, "why": RULES[fork.rule]}


def _change_value(change: Any) -> dict[str, Any]:
    names = ("record", "node", "seq", "kind", "lease")
    now = None if change.now is None else _judged(change.now_epoch, change.now)
    about = {name: getattr(change, name) for name in names}
    return {**about, "before": _judged(change.epoch, change.before), "now": now, "open": change.open or None}


def _judged(epoch: int, verdict: Any) -> dict[str, Any]:
    return {"epoch": epoch, "verdict": verdict.outcome, "rule": verdict.rule, "result": verdict.result or None}
