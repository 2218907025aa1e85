"""`mesh diff` and `mesh blame`: what changed between two epochs, and who held something when.

Knows: how both answers read, and where the ledger comes from that they are about: the own home's, or any place.
Knows not: how they are found (`inspect.differing`, `inspect.blaming`).

    mesh diff 3..7
    mesh blame lease/deploy --source https://git.example.org/fleet.git --ledger SHA256:...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.cli.complete import blamed
from orxaq_mesh.cli.report import JSON, Section, form_of, show
from orxaq_mesh.errors import INVALID, InvalidLedger, MeshFault, Usage

app = new_app()

Source = Annotated[
    str | None,
    typer.Option(metavar="PLACE", help="Of any ledger: see mesh verify. Else this node's, as it was read last."),
]
Pinned = Annotated[
    str | None,
    typer.Option("--ledger", metavar="ID", help="Which ledger it must be: its id, or the fingerprint of its founder."),
]
Trunk = Annotated[str | None, typer.Option(metavar="NAME", help="The branch of a hub, repository or bundle.")]
Form = Annotated[str, typer.Option("--format", metavar="FORM", help="text, markdown or json.", show_default=True)]


def _past(source: str | None, ledger: str | None, trunk: str | None) -> tuple[Any, Any]:
    """The history, and the report of the check that it went through; None: each line was checked when it was read.

    Raises:
        InvalidLedger: it is another ledger than the one asked for, or none that stands.
    """
    if source is None and ledger is None and trunk is None:
        return call().mesh().history(), None
    from orxaq_mesh.inspect.checking import check

    checked = check(call().mesh() if source is None else None, source, ledger=ledger, trunk=trunk)
    report = checked.report
    if checked.asked is False or not report.epoch:
        raise InvalidLedger(str(report.findings[0]), findings=report.findings, hint="mesh verify")
    return checked.past, report


def _end(report: Any) -> None:
    """Say that what was shown stands on a ledger that is not sound; then exit 6."""
    if report is not None and not report.ok:
        if not call().json:
            found = f"{report.findings[0]} ({len(report.findings)} findings: mesh verify)"
            call().warn(Painted("not sound: ", "bad"), found)
        raise typer.Exit(INVALID)


def _asked(report: Any, ask: Callable[[], Any]) -> Any:
    """The answer; where there is none, and the ledger is not sound, that is what is wrong.

    Raises:
        InvalidLedger: see above.
    """
    try:
        return ask()
    except Usage:
        raise
    except MeshFault as none:
        if report is None or report.ok:
            raise
        what = f"{none.what}, as far as this ledger stands: {report.findings[0]}"
        raise InvalidLedger(what, findings=report.findings, hint="mesh verify") from None


# What changed.


@app.command(cls=Command, epilog="Example: mesh diff 3..7")
def diff(
    epochs: Annotated[
        str, typer.Argument(metavar="E1..E2", help="From the end of one epoch to that of another.", show_default=False)
    ],
    source: Source = None,
    ledger: Pinned = None,
    trunk: Trunk = None,
    form: Form = "text",
) -> None:
    """Say what changed between two epochs: what is another now, and each record in a sentence.

    0 is before the founding. Of two histories it is the one that the fleet went on from.
    """
    from orxaq_mesh.inspect.differing import diff as between
    from orxaq_mesh.inspect.differing import span_of

    form = form_of(form)
    span = span_of(epochs)
    past, report = _past(source, ledger, trunk)
    found = between(past, *span)
    if form == JSON:
        call().data({**_diff_value(found), "sound": report is None or report.ok})
    else:
        sure = "" if found.final else ", not final: a fork may still change it"
        title = f"epochs {found.first} to {found.last}: {len(found.sentences)} records{sure}"
        show(title, "bold", [*_moves(found), *_sentences(found)], form)
    _end(report)


_PARTS = {
    "leases": "leases",
    "nodes": "nodes",
    "dags": "DAGs",
    "commands": "commands",
    "review": "what needs an approval",
}


def _moves(found: Any) -> Iterator[Section]:
    for part, title in _PARTS.items():
        rows = [(moved.name, _words(part, moved.before), _words(part, moved.after)) for moved in getattr(found, part)]
        yield Section(title, (), ("name", "before", "after"), rows, "after")


def _words(part: str, one: Mapping[str, Any] | None) -> str:
    """What one of them is, in a few words."""
    if one is None:
        return "not there"
    if part == "leases":
        held = f"{one['holder']} ({one['session']}), token {one['token']}" if one["holder"] else "free"
        return held + (f"; {len(one['queue'])} wait" if one["queue"] else "")
    if part == "nodes":
        return f"{one['standing']} {', '.join(one['roles'])}".rstrip()
    if part == "dags":
        return f"{one['state']}, {one['done']} of {one['size']} done"
    if part == "commands":
        return f"{one['name']}: {one['state']}" + (f" by {one['node']}" if one["node"] else "")
    return f"{one['approvals']} for {', '.join(one['kinds'])}"


def _sentences(found: Any) -> Iterator[Section]:
    """What was done, epoch by epoch; where that is more than a page holds, those that are alike as one."""
    from itertools import groupby

    from orxaq_mesh.saying import PAGE, grouped

    if len(found.sentences) > PAGE:
        yield Section("what was done", grouped(found.sentences))
        return
    for epoch, some in groupby(found.sentences, key=lambda one: one.epoch):
        yield Section(f"done in epoch {epoch}", list(some))


def _diff_value(found: Any) -> dict[str, Any]:
    from orxaq_mesh.saying import text

    told = [
        {
            "record": one.record,
            "epoch": one.epoch,
            "node": one.author,
            "kind": one.kind,
            "verdict": one.outcome,
            "rule": one.rule,
            "result": one.result or None,
            "text": text(one),
        }
        for one in found.sentences
    ]
    return {**found._asdict(), "sentences": told}


# Who held it.


@app.command(cls=Command, epilog="Example: mesh blame lease/deploy")
def blame(
    about: Annotated[
        str,
        typer.Argument(
            metavar="NOUN/NAME",
            help="lease/NAME, task/DAG/TASK, command/ID or node/NAME.",
            show_default=False,
            autocompletion=blamed,
        ),
    ],
    source: Source = None,
    ledger: Pinned = None,
    trunk: Trunk = None,
    form: Form = "text",
) -> None:
    """Say who held a lease or did a task when, by which token, how it came to them and how it ended.

    Of a node: which keys bore its name, and who let them in.
    """
    from orxaq_mesh.inspect.blaming import blame as who

    form = form_of(form)
    past, report = _past(source, ledger, trunk)
    found = _asked(report, lambda: who(past, about))
    if form == JSON:
        call().data({**_blame_value(found), "sound": report is None or report.ok})
    else:
        noun = "key" if about.startswith("node/") else "holder"
        count = len(found.tenures)
        title = f"{found.about}: {count} {noun}{'' if count == 1 else 's'}, oldest first"
        show(title, "bold", [*_tenures(found), *_beside(found)], form)
    _end(report)


def _tenures(found: Any) -> Iterator[Section]:
    """One part a holder, oldest first."""
    for tenure in found.tenures:
        who = f"{tenure.holder} ({tenure.session})" if tenure.session else f"{tenure.fingerprint} ({tenure.holder})"
        title = f"token {tenure.token}: {who}" if tenure.token else who
        asked = f"; asked in epoch {tenure.asked}" if tenure.asked != tenure.began.epoch else ""
        words = [f"began in {_turn(tenure.began)}{asked}"]
        words.append(f"ended in {_turn(tenure.ended)}" if tenure.ended else "goes on")
        yield Section(
            title, [*words, *_used(tenure), *([] if tenure.final else ["not final: a fork may still change it"])]
        )


def _used(tenure: Any) -> Iterator[str]:
    """What was done by the token."""
    counts = {"renewed": tenure.renewals, "records applied under it": tenure.acts, "fenced": tenure.fenced}
    if any(counts.values()):
        yield ", ".join(f"{what}: {count}" for what, count in counts.items() if count)


def _turn(turn: Any) -> str:
    """`epoch 47: taken over by ash (lease.take 3f9a01c2 of ash; silent for 600000 ms, as it says)`."""
    facts = [f"{turn.kind} {turn.record[:8]} of {turn.by}"] if turn.record else []
    if turn.silence_ms is not None:
        facts.append(f"silent for {turn.silence_ms} ms, as it says")
    if turn.reason:
        facts.append(turn.reason)
    return f"epoch {turn.epoch}: {turn.how}" + (f" ({'; '.join(facts)})" if facts else "")


def _beside(found: Any) -> Iterator[Section]:
    words = [f"epoch {epoch}: granted to {node} by {record[:8]}" for epoch, node, record in found.left]
    yield Section("on a side that the fleet did not go on from", words)


def _blame_value(found: Any) -> dict[str, Any]:
    tenures = []
    for tenure in found.tenures:
        ended = tenure.ended._asdict() if tenure.ended else None
        tenures.append({**tenure._asdict(), "began": tenure.began._asdict(), "ended": ended})
    left = [{"epoch": epoch, "node": node, "record": record} for epoch, node, record in found.left]
    return {"about": found.about, "name": found.name, "tenures": tenures, "left": left}
