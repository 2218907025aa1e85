"""An answer to a deed, told: JSON on stdout, or one line; a refusal on stderr with holder, age and next step.

Knows: how a verdict becomes fields, words and an exit code.
Knows not: which deed it was.

    report(answer, {"topic": "builds"}, "published")        # prints; raises typer.Exit unless the exit code is 0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from orxaq_mesh.cli.call import call, facts_without
from orxaq_mesh.cli.values import ago
from orxaq_mesh.effects import Answer
from orxaq_mesh.errors import QUEUED, Fenced, MeshError, Refused, Unreachable
from orxaq_mesh.kinds import HELD

FIELDS = ("lease", "token", "holder", "epoch")


def value_of(answer: Answer, about: dict[str, Any]) -> dict[str, Any]:
    """The fields of an answer (design: verdict, rule, record, and what it was about)."""
    value = {**about, **answer.facts, "verdict": answer.verdict, "rule": answer.rule or None}
    value |= {"result": answer.result or None, "record": answer.record, "message": answer.what, "hint": answer.hint}
    return value


def lease_value(answer: Answer, name: str) -> dict[str, Any]:
    """Those of an answer about a lease; `token` is the caller's own, null where it holds none."""
    value = value_of(answer, dict.fromkeys(FIELDS) | {"lease": name})
    has_token = answer.result in ("granted", "renewed", "released") and not value.get("dry_run")
    if not has_token and value["token"] is not None:
        value |= {"holder_token": value["token"], "token": None}
    if value["holder"] is None:
        value.pop("holder_token", None)
    return value


def report(answer: Answer, about: dict[str, Any], words: str, essence: str = "") -> None:
    """Tell what came of a deed.

    Args:
        answer: what came of it.
        about: the fields that say what it was about.
        words: a line for people, where it was applied.
        essence: what `-q` prints instead of the line; nothing where it is empty.

    Raises:
        typer.Exit: with the exit code, unless that is 0.
    """
    tell(answer, value_of(answer, about), lambda: words, essence)


def tell(answer: Answer, value: dict[str, Any], words: Callable[[], str], essence: str = "", code: int = 0) -> None:
    """As `report`, with the fields made already; `code` is the exit code of an applied answer."""
    if answer.verdict == "applied" and not value.get("dry_run"):
        call().did = words()
    if call().json:
        call().data(value)
    if answer.verdict == HELD:
        if not call().json:
            call().say(str(answer.record) if call().quiet else _held(answer))
        raise typer.Exit(QUEUED)
    if answer.verdict != "applied":
        raise typer.Exit(call().fail(refusal(answer)))
    if not call().json:
        line = essence if call().quiet else words() + ("; nothing was done" if value.get("dry_run") else "")
        if line:
            call().say(line)
    if code:
        raise typer.Exit(code)


def _held(answer: Answer) -> str:
    return f"held: {answer.what}\n  next: {answer.hint}"


def refusal(answer: Answer) -> MeshError:
    """The error that stands for an answer that is not `applied`."""
    family = Fenced if answer.verdict == "fenced" else Refused
    facts = facts_without(answer.facts, "rule")
    held = f", for {ago(facts['since'])}" if facts.get("since") and facts.get("holder") else ""
    return family(answer.rule, f"{answer.what}{held}", hint=answer.hint or f"mesh explain {answer.rule}", **facts)


def unsettled(error: Unreachable, withdraw: str = "") -> Unreachable:
    """The error with the next step, where what was signed is on its way and its outcome not known.

    Args:
        error: as it was told.
        withdraw: the command that takes back what was asked for; empty where nothing does.
    """
    if error.hint not in ("", "mesh sync") or "nothing was signed" in error.what:
        return error
    hint = "the record is journalled, and goes out with the next mesh sync, or by mesh-sync"
    back = f"; to withdraw it: {withdraw}" if withdraw else ""
    return Unreachable(error.what, hint=hint + back, **error.facts)


def unknown(error: MeshError, name: str) -> dict[str, Any]:
    """The fields of a lease's answer whose outcome is not known."""
    return dict.fromkeys(FIELDS) | {
        "lease": name,
        "verdict": "unknown",
        "rule": error.facts.get("rule", "PUSH"),
        "record": error.facts.get("record"),
        "message": error.what,
        "hint": error.hint,
    }
