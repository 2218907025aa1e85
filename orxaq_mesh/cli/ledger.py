"""`mesh log`, `show`: the ledger itself.

Knows: how records and verdicts are printed.
Knows not: how they are judged (`inspect`).

    mesh log -n 20 --lease deploy
    mesh show 3f9a --sshsig out
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call, encode, write
from orxaq_mesh.cli.complete import leases, nodes

app = new_app()
STANDINGS = {
    "final": "final: the votes of the nodes have settled it",
    "sealed": "sealed, and not final yet: a fork may still change it",
    "left": "left: only a side that the fleet did not go on from has it",
    "held": "does not stand: mesh divergence says what it lacks",
    "waits": "waits for the next epoch",
    "journal": "only in this node's journal: it has not reached the hub",
}


@app.command(cls=Command, epilog="Example: mesh log -n 20 --lease deploy")
def log(
    number: Annotated[int, typer.Option("-n", min=0, metavar="N", help="The last N records; 0 for all.")] = 0,
    kind: Annotated[str | None, typer.Option(help="Only this kind, or family: lease, lease.take.")] = None,
    node: Annotated[str | None, typer.Option(help="Only this node's.", autocompletion=nodes)] = None,
    lease: Annotated[str | None, typer.Option(help="Only about this lease.", autocompletion=leases)] = None,
) -> None:
    """List the records and what came of each. With --json: one object a line."""
    import sys

    past = call().mesh().history()
    judged = [item for item in past.judged if _wanted(item, kind, node, lease)]
    judged = judged[-number:] if number else judged
    if call().json:
        for item in judged:
            write(sys.stdout, encode(record_value(item, past.final)))
        return
    from orxaq_mesh.cli.view import table

    table(
        ("epoch", "at", "node", "kind", "about", "verdict", "final", "id"),
        [_row(item, past.final) for item in judged],
        fold="about",
        roomy="at",
    )


def _wanted(item: Any, kind: str | None, node: str | None, lease: str | None) -> bool:
    record = item.record
    if kind is not None and kind not in (record.kind, record.kind.partition(".")[0]):
        return False
    if node is not None and node not in (record.log, record.log.rpartition("-")[0]):
        return False
    return lease is None or lease in (record.body.get("lease"), _under(record.body).get("lease"))


def _under(body: Any) -> dict[str, Any]:
    under = body.get("under")
    return under if isinstance(under, dict) else {}


def record_value(item: Any, final: int = 0) -> dict[str, Any]:
    """A judged record as one JSON object; `final`: up to which epoch verdicts are."""
    record, epoch, verdict, again = item
    value: dict[str, Any] = {"id": record.id, "epoch": epoch, "node": record.log, "seq": record.seq}
    value |= {"kind": record.kind, "at": record.at, "body": record.body, "prev": record.prev}
    value |= {"verdict": verdict.outcome, "rule": verdict.rule, "result": verdict.result or None}
    value |= {"final": epoch <= final, "again": again}
    return value


def _row(item: Any, final: int) -> tuple[str, ...]:
    record, epoch, verdict, _ = item
    at = record.at.partition(".")[0].replace("T", " ")
    node = record.log.rpartition("-")[0]
    rule = verdict.rule if verdict.outcome != "applied" else verdict.result
    sure = "yes" if epoch <= final else "no"
    return (str(epoch), at, node, record.kind, about(record.body), f"{verdict.outcome} {rule}", sure, record.id[:8])


def about(body: Any) -> str:
    """What a record is about, in a few words."""
    if "lease" in body:
        token = f" token {body['token']}" if "token" in body else ""
        return f"{body['lease']}{token}"
    if "topic" in body:
        under = _under(body)
        return f"{body['topic']} {body.get('type', '')}" + (
            f" under {under.get('lease')} token {under.get('token')}" if under else ""
        )
    if under := _under(body):
        what = body.get("step") or body.get("outcome") or body.get("name") or ""
        return f"{under.get('lease')} token {under.get('token')} {what}".rstrip()
    if "capabilities" in body:
        return f"{', '.join(body['capabilities']) or 'any'}, {body.get('slots')} at once"
    part = f" part {body['part']}" if "part" in body else ""
    if "records" in body:
        return (
            f"{len(body['records'])} records: {body['records'][0][:8]}"
            if len(body["records"]) > 1
            else body["records"][0][:8]
        )
    named = ("name", "rule", "log", "task", "dag", "command", "reactor", "reason")
    return next((str(body[field]) for field in named if body.get(field)), "") + part


@app.command(cls=Command, epilog="Example: mesh show 3f9a01c2 --sshsig out")
def show(
    id_: Annotated[
        str, typer.Argument(metavar="ID", help="A record's or seal's id, or its beginning.", show_default=False)
    ],
    sshsig: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write what ssh-keygen needs to verify it into DIR.")
    ] = None,
) -> None:
    """Show one record: what came of it, where it lies, who signed it.

    With --sshsig, message, signature and allowed_signers are written, and the ssh-keygen command that verifies
    them is printed: no software of ours is needed for that.
    """
    from orxaq_mesh.inspect import write_sshsig

    shown = call().mesh().show(id_)
    value = shown_value(shown)
    command = None
    if sshsig is not None:
        command = f"{shlex.join(write_sshsig(shown, sshsig))} < {shlex.quote(str(sshsig / 'message'))}"
    if call().json:
        call().data({**value, "command": command})
        return
    if not call().quiet:
        _print(value)
    if command:
        call().note("to verify it with stock ssh-keygen:")
        call().say(command)


def shown_value(shown: Any) -> dict[str, Any]:
    """A record or seal with all that is known of it."""
    verdict = shown.verdict
    return {
        "id": shown.id,
        "kind": shown.value["kind"],
        "log": shown.log,
        "epoch": shown.epoch,
        "verdict": verdict.outcome if verdict else None,
        "rule": verdict.rule if verdict else None,
        "result": (verdict.result or None) if verdict else None,
        "file": shown.place.file if shown.place else None,
        "line": shown.place.line if shown.place else None,
        "fingerprint": shown.key.fingerprint if shown.key else None,
        "namespace": shown.space,
        "verifies": shown.verifies,
        "standing": shown.standing,
        "final": shown.standing == "final",
        "left": [
            {"epoch": item.epoch, "verdict": item.verdict.outcome, "rule": item.verdict.rule} for item in shown.left
        ],
        "value": shown.value,
    }


def _print(value: dict[str, Any]) -> None:
    for name, item in value.items():
        if item is None or name in ("standing", "value", "left", "final"):
            continue
        style = {"fenced": "bad", "refused": "warn", "applied": "good"}.get(str(item), "bold" if name == "id" else "")
        words = {True: "yes", False: "NO"}[item] if isinstance(item, bool) else str(item)
        call().say(Painted(f"{name:12}", "dim"), Painted(words, style) if style else words)
    call().say(Painted(f"{'standing':12}", "dim"), STANDINGS[value["standing"]])
    for was in value["left"]:
        words = f"{was['verdict']} ({was['rule']}) in epoch {was['epoch']}, on a side that the fleet did not go on from"
        call().say(Painted(f"{'was':12}", "dim"), words)
    import json

    call().say()
    call().say(json.dumps(value["value"], indent=2, ensure_ascii=False, sort_keys=True))
