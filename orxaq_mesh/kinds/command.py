"""Commands: something is to be done once, by one node, and the log says what came of it.

Knows: issue, finish, cancel; which command another one is the same as.
Knows not: how one is started (its lease is acquired: `lease`, which asks `work`), what its name means on a laptop.
Laws: FENCE (a finish acts under the start's token), ONCE (in content: the same command twice is one).

    epoch 40  oak issues restart-indexer to elm           issued: command:5f0c...
    epoch 41  elm acquires command:5f0c...                granted, token 41: started
    epoch 42  elm finishes it: applied
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from orxaq_mesh.kinds import lease, node, reactor, work
from orxaq_mesh.kinds.base import (
    APPLIED,
    REFUSED,
    Case,
    Effect,
    Judged,
    Kind,
    Moment,
    Row,
    Said,
    State,
    Verdict,
    Words,
    no_part,
)
from orxaq_mesh.kinds.work import ADDRESSES, CANCELLED, COMMAND, FAILED, NOOP, READY, REFUSED_, SUCCEEDED, Item
from orxaq_mesh.record import Record, Value, canonical, line_id
from orxaq_mesh.rules import Rule

NAME = "command"

KINDS = (
    Kind("command.issue", node.WRITERS, until=True),
    Kind("command.finish", node.WRITERS, offline=True),
    Kind("command.cancel", node.WRITERS),
)

RULES = (
    Rule(
        "COMMAND-1",
        "A command is for one address",
        "An issue names what is to be done and exactly one address: a node that may write, whoever offers a capability, or "
        "the holder of a lease. Its id is the sha256 of name, arguments, address, cause and, where given, `again`: content, not time.",
        "Whoever reads the log must know who was to act.",
        "mesh dispatch restart-indexer --to elm --under leader",
    ),
    Rule(
        "COMMAND-2",
        "The same command is one command",
        "An issue of a command that was issued before is a noop; the first one stands, with its outcome.",
        "Eight nodes that see one event must not restart the indexer eight times.",
        "mesh dispatch restart-indexer --to elm: issued before, applied in epoch 42; --again NAME makes it another one",
    ),
    Rule(
        "COMMAND-3",
        "A command ends once",
        "A finish under the token of its start ends a command: applied, noop, refused with the rule, or failed with the "
        "reason.",
        "A command without an outcome is one that nobody knows to have happened.",
        "command:5f0c...: failed, exit 3",
    ),
    Rule(
        "COMMAND-4",
        "What nobody has started can be called back",
        "A command that is ready is cancelled by who issued it or by an admin. One that runs is not.",
        "A command for a laptop that is gone for good would wait for ever.",
        'mesh command cancel 5f0c --reason "elm was replaced"',
    ),
)

_CONTENT = ("name", "args", *ADDRESSES, "again", "cause", "reaction")


def command_id(body: Value) -> str:
    """COMMAND-1: what a command is, in 16 hex digits."""
    return line_id(canonical({field: body[field] for field in _CONTENT if field in body}))[:16]


def item_of(state: State, body: Value) -> Item | None:
    """The command that a body would be, if it was issued."""
    return work.work(state).items.get(COMMAND + command_id(body))


# The cases of the table.


def _badly_addressed(state: State, record: Record, moment: Moment) -> bool:
    return work.badly_addressed(state, record.body)


def _known(state: State, record: Record, moment: Moment) -> bool:
    return item_of(state, record.body) is not None


def _no_command(state: State, record: Record, moment: Moment) -> bool:
    return not record.body["under"]["lease"].startswith(COMMAND) or work.claim_of(state, record) is None


def _not_ready(state: State, record: Record, moment: Moment) -> bool:
    item = work.work(state).items.get(COMMAND + record.body["command"])
    return item is None or item.state != READY


def _of_another(state: State, record: Record, moment: Moment) -> bool:
    item = work.work(state).items.get(COMMAND + record.body["command"])
    member = node.members(state).by_log[record.log]
    return item is not None and item.order["by"] != member.name and node.ADMIN not in member.roles


CASES: Mapping[str, Case] = {
    "the address is none, or not one": _badly_addressed,
    "issued before": _known,
    "the breaker is open": work.is_open,
    "a follow-up that was written before": reactor.is_noop,
    "no follow-up that is due": reactor.is_not_due,
    "a follow-up that is not under its lease": reactor.is_leaders,
    "no command's claim": _no_command,
    "applied": work.reports("applied"),
    "noop": work.reports(NOOP),
    "refused": work.reports(REFUSED_),
    "not ready": _not_ready,
    "neither its issuer nor an admin": _of_another,
    "otherwise": lambda state, record, moment: True,
}


# What the rows do.


def _issue(state: State, record: Record, moment: Moment) -> None:
    body, who = record.body, node.name_of(state, record)
    order = {field: body[field] for field in ("name", "args") if field in body} | {"by": who, "record": record.id}
    address = {field: body[field] for field in ADDRESSES if field in body}
    name, priority = COMMAND + command_id(body), body.get("priority", 0)
    if (due := reactor.written(state, record)) is not None:
        order["authors"] = list(due.by)
    work.add(
        state, Item(name, READY, token=moment.epoch, since=moment.epoch, priority=priority, order=order, **address)
    )


def _finish(to: str) -> Effect:
    def effect(state: State, record: Record, moment: Moment) -> None:
        item = work.claim_of(state, record)
        assert item is not None
        lease.end(state, item.name)
        reason = ": ".join(record.body[field] for field in ("rule", "reason") if field in record.body)
        work.move(state, item, to, moment, reason=reason)
        work.finished(state, to == FAILED, False, moment, item.node)

    return effect


def _cancel(state: State, record: Record, moment: Moment) -> None:
    item = work.work(state).items.get(COMMAND + record.body["command"])
    assert item is not None
    work.move(state, item, CANCELLED, moment, reason=record.body["reason"])


ROWS = (
    Row("command.issue", "a follow-up that was written before", APPLIED, "REACTOR-2", "noop", no_part),
    Row("command.issue", "no follow-up that is due", REFUSED, "REACTOR-2"),
    Row("command.issue", "a follow-up that is not under its lease", REFUSED, "REACTOR-3"),
    Row("command.issue", "the address is none, or not one", REFUSED, "COMMAND-1"),
    Row("command.issue", "issued before", APPLIED, "COMMAND-2", "noop", no_part),
    Row("command.issue", "the breaker is open", REFUSED, "BREAKER-1"),
    Row("command.issue", "otherwise", APPLIED, "COMMAND-1", "issued", _issue),
    Row("command.finish", "no command's claim", REFUSED, "COMMAND-3"),
    Row("command.finish", "applied", APPLIED, "COMMAND-3", "applied", _finish(SUCCEEDED)),
    Row("command.finish", "noop", APPLIED, "COMMAND-3", "noop", _finish(NOOP)),
    Row("command.finish", "refused", APPLIED, "COMMAND-3", "refused", _finish(REFUSED_)),
    Row("command.finish", "otherwise", APPLIED, "COMMAND-3", "failed", _finish(FAILED)),
    Row("command.cancel", "neither its issuer nor an admin", REFUSED, "COMMAND-4"),
    Row("command.cancel", "not ready", REFUSED, "COMMAND-4"),
    Row("command.cancel", "otherwise", APPLIED, "COMMAND-4", "cancelled", _cancel),
)

new = dump = load = copy = open_epoch = gone = no_part
"""What is known of commands is work's."""


def propose(state: State, who: str, kind: str, wish: Value) -> Value:
    """A record under a lease without a token takes the one that its session holds."""
    return lease.with_token(state, who, wish)


def words(state: State, record: Record, verdict: Verdict) -> Words:
    body = record.body
    if verdict.rule.startswith("REACTOR"):
        return reactor.words(state, record, verdict)
    if verdict.rule == "BREAKER-1":
        what, hint = work.refusal_words(state, "BREAKER-1", "", "")
        return Words(what, hint, {})
    if record.kind == "command.issue":
        what = "name one address: a member of the fleet, a capability, or the holder of a lease"
        if "to" in body and not node.may_write(state, body["to"]):
            what = f"{body['to']} is no address: no node of that name works"
        return Words(what, "mesh dispatch --help", {"name": body["name"]})
    name = body["under"]["lease"] if "under" in body else COMMAND + body["command"]
    item = work.work(state).items.get(name)
    if item is not None and "command" in body and _of_another(state, record, Moment(0)):
        what = f"{name} was given by {item.order['by']}: only {item.order['by']} or an admin calls it back"
        return Words(what, "mesh command list", {"command": name.removeprefix(COMMAND)})
    return Words(f"{name}: {work.item_words(item, name)}", "mesh command list", {"command": name.removeprefix(COMMAND)})


# What a reader of a change is told.

_ISSUED_BEFORE = ("was issued before: nothing new", "was issued before: nothing new")
_TO = {
    "to": " to {to}",
    "capability": " to whoever offers {capability}",
    "holder": " to the holder of lease `{holder}`",
}


def _says_issue(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {field: body[field] for field in ("name", *ADDRESSES) if field in body}
    template = "issues command `{name}`"
    if "args" in body:
        template += " with `{args}`"
        facts["args"] = canonical(body["args"]).decode()
    template += "".join(text for field, text in _TO.items() if field in body)
    came = ("", "")
    if judged.verdict.result == "noop":
        came = reactor.WRITTEN_BEFORE if judged.verdict.rule == "REACTOR-2" else _ISSUED_BEFORE
    return reactor.says_why(lease.says_under(Said(template, facts, came), body), body)


def _named(before: State, after: State, id_: str) -> tuple[str, dict[str, str | int]]:
    """How a command is called: by its name, where it is known, and its id."""
    items = (work.work(state).items.get(COMMAND + id_) for state in (after, before))
    item = next((item for item in items if item is not None), None)
    if item is None or "name" not in item.order:
        return "command {command}", {"command": id_}
    return "command `{name}` ({command})", {"command": id_, "name": item.order["name"]}


def _says_finish(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    what, facts = _named(before, after, body["under"]["lease"].removeprefix(COMMAND))
    template = f"ends {what}, token {{token}}: {{ended}}"
    facts |= {"token": body["under"]["token"], "ended": body["outcome"]}
    if "rule" in body:
        template, facts = template + " by {by}", {**facts, "by": body["rule"]}
    if "reason" in body:
        template, facts = template + ", `{reason}`", {**facts, "reason": body["reason"]}
    return Said(template, facts)


def _says_cancel(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    what, facts = _named(before, after, body["command"])
    return Said(f"calls back {what}: `{{reason}}`", {**facts, "reason": body["reason"]})


_SAYS: Mapping[str, Callable[[State, State, Judged], Said]] = {
    "command.issue": _says_issue,
    "command.finish": _says_finish,
    "command.cancel": _says_cancel,
}


def says(before: State, after: State, judged: Judged) -> Said:
    return _SAYS[judged.record.kind](before, after, judged)
