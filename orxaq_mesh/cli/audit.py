"""`mesh verify`: every law over a whole ledger, for its members and for a stranger who has only its fingerprint.

Knows: how the report reads, as text, Markdown and JSON.
Knows not: how laws are checked (`inspect.checking`), what a ledger cannot tell (`inspect.audit`).

    mesh verify https://git.example.org/fleet.git --ledger SHA256:...
    mesh verify fleet.bundle --ledger SHA256:... --at 40 --format markdown
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.report import JSON, Section, form_of, show
from orxaq_mesh.errors import INVALID, Usage

app = new_app()
_SEEN = re.compile(r"([0-9]{1,16}):([0-9a-f]{16,64})")
MOST = 100
"""So many places that look like a credential are shown."""
_ANOTHER = "ANOTHER LEDGER than the one that was asked for"

Source = Annotated[
    str | None,
    typer.Argument(
        metavar="PLACE",
        help="A hub's address, a repository, a directory, a git bundle, an export; else this node's hub.",
    ),
]
Pinned = Annotated[
    str | None,
    typer.Option("--ledger", metavar="ID", help="Which ledger it must be: its id, or the fingerprint of its founder."),
]
Trunk = Annotated[str | None, typer.Option(metavar="NAME", help="The branch of a hub, repository or bundle.")]


@app.command(cls=Command, epilog="Example: mesh verify https://git.example.org/fleet.git --ledger SHA256:...")
def verify(
    source: Source = None,
    ledger: Pinned = None,
    every_signature: Annotated[
        bool, typer.Option("--every-signature", help="Check each signature, not only the newest of each log.")
    ] = False,
    seen: Annotated[
        str | None, typer.Option(metavar="EPOCH:ID", help="What an earlier report named as newest: it must be there.")
    ] = None,
    at: Annotated[
        int | None, typer.Option(metavar="EPOCH", min=0, help="Show the state at this epoch, too.", show_default=False)
    ] = None,
    trunk: Trunk = None,
    form: Annotated[
        str, typer.Option("--format", metavar="FORM", help="text, markdown or json.", show_default=True)
    ] = "text",
) -> None:
    """Check every law over a whole ledger. Exit 6 if one is broken: which, in which file and line.

    With a place it needs no membership, no key and no home, and writes nothing. What no ledger can tell whoever reads it
    alone stands at the end: "not known".
    """
    from orxaq_mesh.inspect.audit import audit
    from orxaq_mesh.inspect.checking import check

    form, mark = form_of(form), _mark(seen)
    mesh = call().mesh() if source is None else None
    checked = check(mesh, source, ledger=ledger, every_signature=every_signature, seen=mark, trunk=trunk)
    found = audit(checked, seen=mark is not None)
    then = _then(found, at)
    if form == JSON:
        call().data({**value_of(found), "at": then})
    else:
        sections = [] if call().quiet else [*_rest(found), *(state_sections(then) if then else ())]
        show(_title(found), "good" if found.report.ok else "bad", [*_findings(found), *sections], form)
    if not found.report.ok:
        raise typer.Exit(INVALID)


def _mark(seen: str | None) -> tuple[int, str] | None:
    if seen is None:
        return None
    if not (found := _SEEN.fullmatch(seen)):
        raise Usage(f"--seen {seen[:80]!a}", hint="--seen EPOCH:ID, as an earlier report has it")
    return int(found[1]), found[2]


def _then(found: Any, at: int | None) -> dict[str, Any] | None:
    if at is None:
        return None
    from orxaq_mesh.inspect.epochs import state_at
    from orxaq_mesh.inspect.states import told

    return {**told(state_at(found.past, at)), "asked": at, "final": at <= found.past.final}


# For people.


def _title(found: Any) -> str:
    report = found.report
    verdict = "sound" if report.ok else _ANOTHER if found.asked is False else "NOT SOUND"
    return f"{verdict}: {report.records} records, {report.seals} epochs, state {report.state}"


def _findings(found: Any) -> Iterator[Section]:
    lines = []
    for finding in found.report.findings:
        where = f"{finding.file}:{finding.line}" if finding.file else "ledger"
        lines.append(f"{where}: {finding.law}: {finding.reason}")
    yield Section("what was found", lines)


def _rest(found: Any) -> Iterator[Section]:
    yield Section("what was read", list(_about(found)))
    rows = [(check.law, check.what, str(check.number), check.result) for check in found.checks]
    yield Section("what was checked", (), ("law", "checked", "how many", "result"), rows, "checked")
    yield Section("members", (), _MEMBER, [_member(member) for member in found.nodes], "key")
    outcomes = ("applied", "refused", "fenced", "held")
    counted = [(kind, *(str(counts.get(word, 0)) for word in outcomes)) for kind, counts in found.kinds.items()]
    yield Section("records", (), ("kind", *outcomes), counted)
    why = [(outcome, rule, str(count)) for (outcome, rule), count in found.reasons.items()]
    yield Section("why some had no effect", (), ("outcome", "rule", "records"), why)
    where = [(s.record[:12], s.node, s.kind, str(s.epoch), s.path, s.pattern) for s in found.secrets[:MOST]]
    yield Section("what looks like a credential", (), ("record", "by", "kind", "epoch", "where", "pattern"), where)
    yield Section("not known", found.unknown)


def _about(found: Any) -> Iterator[str]:
    from orxaq_mesh.inspect.audit import founder

    report, past = found.report, found.past
    yield f"a {found.place.kind}: {found.place.name}"
    if (first := founder(found.nodes)) is not None:
        asked = {True: ": the one that was asked for", False: f": {_ANOTHER}", None: ""}[found.asked]
        yield f"ledger {report.ledger}, founded by {first['name']} with {first['fingerprint']}{asked}"
        yield f"its newest epoch is {report.epoch}:{past.state.seal}, which {past.seals[-1].log} closed at {past.state.at}"


_MEMBER = ("name", "standing", "roles", "since", "records", "applied", "epochs", "key")


def _member(member: dict[str, Any]) -> tuple[str, ...]:
    counts = (str(member[field]) for field in ("since_epoch", "records", "applied", "seals"))
    return (member["name"], member["standing"], ", ".join(member["roles"]), *counts, member["fingerprint"])


# A state, of any epoch.


def state_sections(state: dict[str, Any]) -> Iterator[Section]:
    """What a state holds."""
    about = f"{state['records']} records, rules {state['rules']}, state {state['state']}"
    words = [about if state["epoch"] else "before the founding: nothing"]
    if state["epoch"] != state["asked"]:
        words.append(f"there is no epoch {state['asked']} on the way that the fleet went; this is what it began with")
    if state["epoch"] and not state["final"]:
        words.append("not final: a fork may still change it")
    title = f"epoch {state['epoch']}"
    yield Section(f"the state at {title}", words)
    yield Section(f"leases at {title}", (), _LEASE, [_lease(lease) for lease in state["leases"]], "waiting")
    nodes = [(n["name"], n["standing"], ", ".join(n["roles"]), str(n["seq"]), n["fingerprint"]) for n in state["nodes"]]
    yield Section(f"members at {title}", (), ("name", "standing", "roles", "records", "key"), nodes, "key")
    dags = [(d["dag"], d["state"], f"{d['done']} of {d['size']}", d["author"]) for d in state["dags"]]
    yield Section(f"DAGs at {title}", (), ("DAG", "state", "done", "by"), dags)
    commands = [(c["command"], c["name"], c["state"], c["node"] or "", c["by"]) for c in state["commands"]]
    yield Section(f"commands at {title}", (), ("command", "name", "state", "node", "by"), commands)
    rules = [(n["rule"], ", ".join(n["kinds"]), ", ".join(n["names"]), str(n["approvals"])) for n in state["review"]]
    yield Section(f"what needs an approval at {title}", (), ("rule", "kinds", "names", "approvals"), rules, "kinds")
    held = [
        (h["record"][:12], h["node"], h["kind"], f"{len(h['approved'])} of {h['approvals']}") for h in state["held"]
    ]
    yield Section(f"what waits for one at {title}", (), ("record", "node", "kind", "approved"), held)
    if state["breaker"]["open"]:
        yield Section(f"the breaker at {title}", [f"open since epoch {state['breaker']['epoch']}"])


_LEASE = ("lease", "holder", "session", "token", "since", "waiting")


def _lease(lease: dict[str, Any]) -> tuple[str, ...]:
    waiting = ", ".join(f"{waiter['node']} ({waiter['session']})" for waiter in lease["queue"])
    who = (lease["holder"] or "free", lease["session"] or "", str(lease["token"] or ""), lease["since"] or "")
    return (lease["name"], *who, waiting)


# For programs.


def value_of(found: Any) -> dict[str, Any]:
    """The report as JSON."""
    from orxaq_mesh.inspect.audit import founder

    report, past = found.report, found.past
    first = founder(found.nodes)
    return {
        **report._asdict(),
        "asked": found.asked,
        "place": {"kind": found.place.kind, "name": found.place.name},
        "founder": first and {"name": first["name"], "fingerprint": first["fingerprint"]},
        "seal": past.state.seal if report.epoch else None,
        "seen": f"{report.epoch}:{past.state.seal}" if report.epoch else None,
        "rules": past.state.rules,
        "final": past.final,
        "checks": found.checks,
        "nodes": found.nodes,
        "kinds": found.kinds,
        "reasons": [{"verdict": out, "rule": rule, "records": count} for (out, rule), count in found.reasons.items()],
        "secrets": found.secrets,
        "waiting": len(past.waiting),
        "forks": len(past.ledger.spine.elections),
        "left": len(past.ledger.spine.stood) - len(past.seals),
        "unknown": found.unknown,
    }
