"""The one screen of `mesh status`, alarms on top; shown without Typer where it is asked for plainly.

Knows: how `status.status` is laid out, and the few words that ask for it.
Knows not: where it comes from. Plain text, aligned by hand: rich and Typer cost more than all else in a cold start.

    asked(["status", "--offline"])      # {"offline": True}
    show(offline=True)                  # prints; the exit code
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orxaq_mesh.cli.call import Painted, Part, call, columns
from orxaq_mesh.cli.values import age, span
from orxaq_mesh.errors import DONE, FAULT, INVALID, UNREACHABLE

_CODES = {"unreachable": UNREACHABLE, "invalid": INVALID}
_FLAGS = {
    "--offline": "offline",
    "--json": "json",
    "-q": "quiet",
    "--quiet": "quiet",
    "-v": "verbose",
    "--verbose": "verbose",
}


_NOTES: dict[str, Part] = {
    "waiting": "waits for mesh admit",
    "suspended": Painted("suspended: its key signed two histories", "bad"),
}


def asked(argv: Sequence[str]) -> dict[str, Any] | None:
    """The options, if these words are `mesh status` and nothing that only Typer understands; else None."""
    options: dict[str, Any] = {}
    words = iter(argv)
    nouns = []
    for word in words:
        if word in _FLAGS:
            options[_FLAGS[word]] = True
        elif word == "--home" and (home := next(words, "")):
            options["home"] = home
        else:
            nouns.append(word)
    return options if nouns == ["status"] else None


def show(*, offline: bool) -> int:
    """Print the status; gives the exit code."""
    found = call().mesh().status(offline=offline)
    if call().json:
        call().data(found)
    else:
        for line in lines(found):
            call().say(*line)
    fault = found["fault"]
    return _CODES.get(fault["code"], FAULT) if fault else DONE


def lines(found: dict[str, Any]) -> list[list[Part]]:
    """The screen, line by line."""
    alarms: list[list[Part]] = [[Painted("ALARM ", "bad"), _alarm(alarm)] for alarm in found["alarms"]]
    return [
        *alarms,
        *_head(found),
        *_nodes(found),
        *_leases(found["leases"], found["nodes"]),
        *_work(found["work"]),
        *_waiting(len(found["held"]), found["proposed"]),
    ]


def _alarm(alarm: dict[str, Any]) -> str:
    where = f" {alarm['file']}:{alarm['line']}" if alarm.get("file") else ""
    return f"{alarm['law']}{where}: {alarm['reason']}"


def _head(found: dict[str, Any]) -> list[list[Part]]:
    read = found["read_age_s"]
    how = "never read" if read is None else f"read {age(read * 1000)} ago"
    tip = found["tip_age_s"]
    moved = f", last new seal {age(tip * 1000)} ago" if tip is not None else ""
    lines: list[list[Part]] = [
        [Painted("hub     ", "dim"), found["hub"], Painted(f"  {how}{moved}", "dim")],
        [
            Painted("ledger  ", "dim"),
            found["ledger"][:16],
            Painted(f"  epoch {found['epoch']}", "bold"),
            _pending(found),
        ],
    ]
    if call().verbose:
        lines.append([Painted("seal    ", "dim"), found["seal"] or "-"])
        lines.append([Painted("state   ", "dim"), found["state"] or "-"])
    return lines


def _pending(found: dict[str, Any]) -> Part:
    number = found["pending"] - found["proposed"]
    return Painted(f"  {number} record{'s wait' if number != 1 else ' waits'} to be taken in", "warn") if number else ""


def _nodes(found: dict[str, Any]) -> list[list[Part]]:
    nodes, own = found["nodes"], found["log"]
    here = {node["name"] for node in nodes if node["standing"] == "admitted"}
    shown = [node for node in nodes if _is_shown(node, here)]
    gone = len(nodes) - len(shown)
    more = f"  and {gone} no longer in: mesh node list" if gone else ""
    rows: list[list[Part]] = [["NAME", "ROLES", "LAST WORD", "RECORDS", ""]]
    for node in shown:
        word = node["last_word_age_s"]
        last = "-" if word is None else f"{age(word * 1000)} ago"
        note = _NOTES.get(node["standing"], "this node" if node["log"] == own else "")
        rows.append([Painted(node["name"], "name"), ", ".join(node["roles"]) or "-", last, str(node["seq"]), note])
    if own not in {node["log"] for node in shown}:
        rows.append([Painted(found["node"], "name"), "-", "-", "-", "this node; an admin has to admit it"])
    return [[], [Painted(f"nodes   {len(shown)}", "bold"), Painted(more, "dim")], *_table(rows, rows)]


def _is_shown(node: dict[str, Any], here: set[str]) -> bool:
    """A suspended key stands in the list until its node is back under another one."""
    return node["standing"] in ("admitted", "waiting") or (node["standing"] == "suspended" and node["name"] not in here)


def _leases(leases: list[dict[str, Any]], nodes: list[dict[str, Any]]) -> list[list[Part]]:
    silent_s = {node["name"]: node["last_word_age_s"] or 0 for node in nodes if node["standing"] == "admitted"}
    rows: list[list[Part]] = [["NAME", "HOLDER", "TOKEN", "HELD FOR", "TTL", "QUEUE", ""]]
    shown = [lease for lease in leases if lease["holder"] is not None or lease["queue"]]
    for lease in sorted(shown, key=lambda lease: str(lease["name"])):
        queue = ", ".join(waiter["node"] for waiter in lease["queue"]) or "-"
        rows.append([Painted(lease["name"], "name"), *_held(lease), queue, _silent(lease, silent_s)])
    held = sum(lease["holder"] is not None for lease in leases)
    free = Painted(f", {len(leases) - held} free", "dim") if len(leases) > held else ""
    return [[], [Painted(f"leases  {held} held", "bold"), free], *_table(rows, shown)]


def _work(work: dict[str, int]) -> list[list[Part]]:
    if not any(work.values()):
        return []
    rest = f", {work['ready']} ready, {work['waiting']} waiting"
    return [[], [Painted(f"work    {work['running']} running", "bold"), rest, Painted("  mesh dag list", "dim")]]


def _waiting(held: int, proposed: int) -> list[list[Part]]:
    """What waits for somebody's approval: in the ledger itself, and in this node's outbox."""
    if not held and not proposed:
        return []
    rest = f", {proposed} proposed by this node" if proposed else ""
    return [[], [Painted(f"reviews {held} held", "bold"), rest, Painted("  mesh proposals", "dim")]]


def _silent(lease: dict[str, Any], silent_s: dict[str, int]) -> Part:
    """A holder that has said nothing for longer than the ttl may be gone; who watched that may take the lease."""
    silent_ms = silent_s.get(lease["holder"], 0) * 1000
    late = lease["holder"] is not None and silent_ms > lease["ttl_ms"]
    return Painted(f"silent for {age(silent_ms)}", "warn") if late else ""


def _held(lease: dict[str, Any]) -> list[Part]:
    if lease["holder"] is None:
        return [Painted("free", "good"), "-", "-", "-"]
    since = "-" if lease["age_s"] is None else age(lease["age_s"] * 1000)
    return [f"{lease['holder']} ({lease['session']})", str(lease["token"]), since, span(lease["ttl_ms"])]


def _table(rows: list[list[Part]], shown: list[Any]) -> list[list[Part]]:
    if not shown:
        return []
    first = [Painted(str(cell), "dim") for cell in rows[0]]
    return columns([first, *rows[1:]])
