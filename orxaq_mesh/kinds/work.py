"""Work: what can be claimed, by whom, and what became of it. Tasks of DAGs and commands are work.

Knows: the states of a piece of work and the legal steps between them, the frontier, who offers what, the circuit breaker.
Knows not: what a claim is made of: it is a lease, named `task:<dag>/<task>` or `command:<id>`, with all that leases know
(token, fence, renewal, watched silence). `lease` asks here whether work may be claimed and tells what came of it.
Laws: FENCE, TIME (a pause before another attempt is asserted, like silence).

    frontier(state, 3)                       # the next that are to be done, sorted
    refusal(state, "task:release/build", "elm", moment, body)      # "" or the rule that says no
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from orxaq_mesh.kinds import node
from orxaq_mesh.kinds.base import APPLIED, REFUSED, Case, Judged, Kind, Moment, Row, Said, State, Verdict, Words
from orxaq_mesh.kinds.shelf import Ranks, Shelf
from orxaq_mesh.record import Record, Value
from orxaq_mesh.rules import Rule

NAME = "work"
TASK, COMMAND = "task:", "command:"
ADDRESSES = ("to", "capability", "holder")
"""For whom a command is: one of these."""
AGING_EPOCHS = 8
"""One step of priority is worth so many epochs of having been ready."""
FAILURES_IN_ROW = 5
GUARD_INCIDENTS = 3
MAX_BACKOFF_MS = 24 * 3600 * 1000

WAITING, READY, RUNNING = "waiting", "ready", "running"
SUCCEEDED, NOOP, FAILED, REFUSED_ = "succeeded", "noop", "failed", "refused"
BLOCKED, CANCELLED, SKIPPED = "blocked", "cancelled", "skipped"
OPEN = frozenset({WAITING, READY, RUNNING})
MET = frozenset({SUCCEEDED, NOOP, SKIPPED})
"""Who needs work in one of these states may begin."""

STEPS: Mapping[str, frozenset[str]] = {
    WAITING: frozenset({READY, BLOCKED, CANCELLED, SKIPPED}),
    READY: frozenset({RUNNING, CANCELLED, SKIPPED}),
    RUNNING: frozenset({READY, RUNNING, SUCCEEDED, NOOP, FAILED, REFUSED_, CANCELLED}),
    FAILED: frozenset({READY, SKIPPED}),
    BLOCKED: frozenset({WAITING, READY, SKIPPED, CANCELLED}),
    CANCELLED: frozenset({READY, WAITING, BLOCKED}),
    SUCCEEDED: frozenset(),
    NOOP: frozenset(),
    REFUSED_: frozenset(),
    SKIPPED: frozenset(),
}
"""State -> the states that may follow. Nothing that was done is ever done again."""

KINDS = (
    Kind("work.offer", node.WRITERS),
    Kind("breaker.open", node.WRITERS),
    Kind("breaker.reset", frozenset({node.ADMIN})),
)

RULES = (
    Rule(
        "WORK-1",
        "A node says what it can do",
        "An offer names the capabilities of a node and how much it does at once; the newest counts, an empty one "
        "takes it back. Ready work is dealt among those that offer its capability: the one whose "
        "sha256(<lease name>@<node>) is highest is its owner.",
        "Nodes that look at the same frontier at the same moment should not all reach for the same task.",
        "mesh work --capability build,test",
    ),
    Rule(
        "WORK-2",
        "An idle node steals",
        "Whoever may do ready work may claim it, though it is another node's turn; the verdict names this rule, so that the "
        "ledger shows each steal.",
        "A laptop that hoards or stalls must not keep the others waiting.",
        "elm claims task:release/docs, which was oak's turn: applied by WORK-2",
    ),
    Rule(
        "BREAKER-1",
        "An open breaker stops new work",
        "While the breaker is open no task and no command is claimed or taken over, and no command is issued. What runs "
        "may finish.",
        "When everything fails, more attempts do more harm.",
        "mesh dispatch restart-indexer --to elm: refused, the breaker is open since epoch 40: 5 failures in a row",
    ),
    Rule(
        "BREAKER-2",
        "The breaker opens by rule or by hand",
        f"{FAILURES_IN_ROW} finishes in a row that failed open it, as do {GUARD_INCIDENTS} finishes since the last "
        "reset in which a guard had failed; and any member may open it with a reason.",
        "A person must be able to stop the fleet with one command, and the fleet itself with none.",
        'mesh breaker open --reason "the registry serves broken packages"',
    ),
    Rule(
        "BREAKER-3",
        "Only an admin's signed reset closes it",
        "A reset of an admin closes the breaker, whatever opened it, and begins both counts anew.",
        "Somebody answers, under a signature, for going on.",
        'mesh breaker reset --reason "registry is mended"',
    ),
    Rule(
        "TASK-2",
        "Only what is ready is claimed",
        "A claim is an acquire of the lease `task:<dag>/<task>` or `command:<id>`. It is refused unless that work is "
        "ready: all that it needs is done, and nobody runs it. Nobody stands in line for work. A claim that names the record "
        "which ordered the work (`of`) is for that order alone.",
        "Work that is not ready, finished, cancelled or unknown must not begin.",
        "mesh lease acquire task:release/ship: refused, it waits for 2 of the tasks that it needs",
    ),
    Rule(
        "TASK-3",
        "Work goes to those who may do it",
        "Work that is assigned to a node is that node's alone; work that asks for the holder of a lease is the "
        "holder's; else its capability must be in the claimer's newest offer.",
        "A laptop without the signing key must not take the signing task.",
        "task:release/sign needs the capability sign, which elm does not offer",
    ),
    Rule(
        "TASK-4",
        "A DAG bounds what runs at once",
        "Where a DAG names a limit for a capability, a claim beyond it is refused.",
        "Two deploys of one release at once are one too many, however many laptops are idle.",
        "limits: {deploy: 1}",
    ),
    Rule(
        "TASK-5",
        "After a failure there is a pause",
        "Work that failed and may be tried again names a pause, doubled with each failure. A claim asserts how long "
        "its author has watched it since (law TIME), and is refused if that is too short.",
        "The fold has no clock; a node has.",
        "attempts: 3, backoff_ms: 30000",
    ),
)


class Item(NamedTuple):
    """A piece of work.

    Attributes:
        name: the lease by which it is claimed.
        needs: how many others it still waits for.
        attempt: how often it was claimed; `failures`: how many of these failed since somebody began it anew.
        token, node: of who runs it, or ran it last.
        since: the epoch in which it came to its state.
        to, holder, capability: who may claim it: a node, a lease's holder, whoever offers that.
        steps: (step, phase, whether its exit was 0) of the receipts of this attempt.
        order: what is to be done, as its record says it.
        dependents: who needs it.
    """

    name: str
    state: str
    needs: int = 0
    attempt: int = 0
    failures: int = 0
    token: int = 0
    node: str = ""
    since: int = 0
    to: str = ""
    holder: str = ""
    capability: str = ""
    priority: int = 0
    reason: str = ""
    steps: tuple[tuple[str, str, bool], ...] = ()
    order: Value = MappingProxyType({})  # type: ignore[assignment]
    dependents: tuple[str, ...] = ()

    @property
    def dag(self) -> str:
        return self.name[len(TASK) :].partition("/")[0] if self.name.startswith(TASK) else ""

    @property
    def rank(self) -> tuple[int, str]:
        """Lower goes first. Having been ready for long is worth as much as priority: nobody starves."""
        return (self.since - AGING_EPOCHS * self.priority, self.name)

    @property
    def backoff_ms(self) -> int:
        """The pause before another attempt."""
        pause = int(self.order.get("backoff_ms", 0))
        return min(MAX_BACKOFF_MS, pause * 2 ** min(self.failures - 1, 30)) if self.failures else 0


class Offer(NamedTuple):
    """What a node can do, and how much at once."""

    capabilities: tuple[str, ...]
    slots: int


class Breaker(NamedTuple):
    """The circuit breaker. `since` is the epoch that opened it; 0 while it is closed."""

    since: int = 0
    reason: str = ""
    by: str = ""
    failures: int = 0
    guards: int = 0


class Dag:
    """A DAG as far as its tasks' states go. `missing`: parts of its text that have not come yet."""

    __slots__ = (
        "author",
        "counts",
        "drafts",
        "limits",
        "missing",
        "name",
        "parts",
        "priority",
        "reason",
        "record",
        "running",
        "since",
        "tasks",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.author = self.record = self.reason = ""
        self.since = self.missing = self.parts = self.priority = 0
        self.limits: Mapping[str, int] = {}
        self.tasks: tuple[str, ...] = ()
        self.drafts: tuple[Value, ...] = ()
        self.counts: dict[str, int] = {}
        self.running: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether something of it may still be done."""
        return bool(self.missing or any(self.counts.get(state) for state in OPEN))


class Work:
    """The family's slice. `ready`: (rank, name) of all that can be claimed, sorted."""

    def __init__(self) -> None:
        self.items: Shelf[Item] = Shelf()
        self.ready: Ranks[tuple[int, str]] = Ranks()
        self.offers: dict[str, Offer] = {}
        self.dags: dict[str, Dag] = {}
        self.breaker = Breaker()


def work(state: State) -> Work:
    part: Work = state.slices[NAME]
    return part


def is_work(name: str) -> bool:
    """Whether a lease of this name is a claim."""
    return name.startswith((TASK, COMMAND))


def frontier(state: State, most: int | None = None) -> list[str]:
    """The names of the work that can be claimed, first what is to go first; at most so many."""
    return [name for _, name in islice(work(state).ready, most)]


def _holder(state: State, lease: str) -> str:
    """Who holds a lease; empty where nobody does."""
    held = state.slices["lease"].by_name.get(lease)
    return held.holder if held is not None else ""


def turns(state: State, item: Item) -> list[str]:
    """Whose turn it is to do this, and whose after that: by rendezvous hashing among those who offer it."""
    if item.to or item.holder:
        only = item.to or _holder(state, item.holder)
        return [only] if only else []
    known = (name for name, offer in work(state).offers.items() if item.capability in ("", *offer.capabilities))
    return sorted(known, key=lambda name: (sha256(f"{item.name}@{name}".encode()).digest(), name), reverse=True)


def owner(state: State, item: Item) -> str:
    """Whose turn it is; empty where nobody offers it."""
    return next(iter(turns(state, item)), "")


def author(state: State, item: Item) -> str:
    """Who ordered it: its DAG's author, or who issued the command."""
    dag = work(state).dags.get(item.dag)
    return dag.author if dag is not None else str(item.order.get("by", ""))


def badly_addressed(state: State, body: Value) -> bool:
    """COMMAND-1: whether a command's address is none, or not one."""
    named = [field for field in ADDRESSES if field in body]
    return len(named) != 1 or ("to" in body and not node.may_write(state, body["to"]))


def authors(state: State, item: Item) -> tuple[str, ...]:
    """Whose words it is made of: all of them are to be trusted by who does it."""
    named = () if item.dag else item.order.get("authors", ())
    return tuple(named) or (author(state, item),)


def origin(state: State, item: Item) -> str:
    """The id of the record that ordered it."""
    dag = work(state).dags.get(item.dag)
    return dag.record if dag is not None else str(item.order.get("record", ""))


# What leases ask here.


def refusal(state: State, name: str, who: str, moment: Moment, body: Value) -> str:
    """The rule by which a node may not claim this work now; empty where it may, or where another holds it."""
    part = work(state)
    item = part.items.get(name)
    if part.breaker.since:
        return "BREAKER-1"
    if item is None or item.state not in (READY, RUNNING) or body.get("queue"):
        return "TASK-2"
    if body.get("of", origin(state, item)) != origin(state, item):
        return "TASK-2"
    if not may_do(state, item, who):
        return "TASK-3"
    if item.state == RUNNING:
        return ""
    dag = part.dags.get(item.dag)
    if dag and dag.running.get(item.capability, 0) >= dag.limits.get(item.capability, 1 << 30):
        return "TASK-4"
    if item.token >= moment.epoch:
        return "LEASE-3"
    return "TASK-5" if body.get("watched_ms", 0) < item.backoff_ms else ""


def may_do(state: State, item: Item, who: str) -> bool:
    """TASK-3."""
    if item.to:
        return item.to == who
    if item.holder:
        return _holder(state, item.holder) == who
    offer = work(state).offers.get(who)
    return not item.capability or bool(offer and item.capability in offer.capabilities)


def claimed(state: State, name: str, who: str, moment: Moment) -> None:
    """A lease was granted that is a claim."""
    item = work(state).items.get(name)
    if item is not None:
        move(state, item, RUNNING, moment, attempt=item.attempt + 1, token=moment.epoch, node=who, steps=(), reason="")


def given_back(state: State, name: str, moment: Moment) -> None:
    """A claim ended without a finish: whoever comes next may begin."""
    item = work(state).items.get(name)
    if item is not None and item.state == RUNNING:
        move(state, item, READY, moment, node="", steps=())


# Steps.


def add(state: State, item: Item) -> None:
    """Work that was not there before."""
    part = work(state)
    part.items[item.name] = item
    _count(part, item, 1)


def drop(state: State, name: str) -> None:
    """Forget work altogether."""
    part = work(state)
    if (item := part.items.get(name)) is not None:
        _count(part, item, -1)
        part.items.discard(name)


def move(state: State, item: Item, to: str, moment: Moment, **changes: Any) -> Item:
    """One legal step, with all that hangs on it: the frontier, the counts. Illegal steps are a fault of this program."""
    assert to in STEPS[item.state], f"{item.name}: {item.state} -> {to}"
    return change(state, item, state=to, since=moment.epoch, **changes)


def change(state: State, item: Item, /, **changes: Any) -> Item:
    """Something about work, with all that hangs on it."""
    changed = item._replace(**changes)
    part = work(state)
    _count(part, item, -1)
    part.items[item.name] = changed
    _count(part, changed, 1)
    return changed


def _count(part: Work, item: Item, by: int) -> None:
    if item.state == READY:
        (part.ready.add if by > 0 else part.ready.discard)(item.rank)
    _tally(part, item, by)


def _tally(part: Work, item: Item, by: int) -> None:
    if (dag := part.dags.get(item.dag)) is not None:
        dag.counts[item.state] = dag.counts.get(item.state, 0) + by
        if item.state == RUNNING:
            dag.running[item.capability] = dag.running.get(item.capability, 0) + by


def finished(state: State, failed: bool, guard: bool, moment: Moment, who: str) -> None:
    """BREAKER-2: a piece of work ended."""
    part = work(state)
    old = part.breaker
    failures = old.failures + 1 if failed else 0
    guards = old.guards + guard
    part.breaker = old._replace(failures=failures, guards=guards)
    if old.since:
        return
    if failures >= FAILURES_IN_ROW:
        part.breaker = Breaker(moment.epoch, f"{failures} failures in a row", who, failures, guards)
    elif guards >= GUARD_INCIDENTS:
        part.breaker = Breaker(moment.epoch, f"{guards} guards failed", who, failures, guards)


# The table.


def _offer(state: State, record: Record, moment: Moment) -> None:
    offers, who = work(state).offers, node.name_of(state, record)
    offers.pop(who, None)
    if slots := record.body["slots"]:
        offers[who] = Offer(tuple(sorted(set(record.body["capabilities"]))), slots)


def _open(state: State, record: Record, moment: Moment) -> None:
    part = work(state)
    who = node.name_of(state, record)
    part.breaker = part.breaker._replace(since=moment.epoch, reason=record.body["reason"], by=who)


def _reset(state: State, record: Record, moment: Moment) -> None:
    work(state).breaker = Breaker()


def is_open(state: State, record: Record, moment: Moment) -> bool:
    """BREAKER-1."""
    return bool(work(state).breaker.since)


def reports(outcome: str) -> Case:
    """Whether a finish says that it came to this."""
    return lambda state, record, moment: bool(record.body["outcome"] == outcome)


def claim_of(state: State, record: Record) -> Item | None:
    """The work under whose claim a record acts."""
    return work(state).items.get(record.body["under"]["lease"])


CASES: Mapping[str, Case] = {
    "the breaker is open": is_open,
    "otherwise": lambda state, record, moment: True,
}

ROWS = (
    Row("work.offer", "otherwise", APPLIED, "WORK-1", "offered", _offer),
    Row("breaker.open", "the breaker is open", REFUSED, "BREAKER-2"),
    Row("breaker.open", "otherwise", APPLIED, "BREAKER-2", "opened", _open),
    Row("breaker.reset", "the breaker is open", APPLIED, "BREAKER-3", "reset", _reset),
    Row("breaker.reset", "otherwise", REFUSED, "BREAKER-3"),
)


def new() -> Work:
    return Work()


def dump(part: Work) -> Any:
    return {
        "items": [[*item[:-2], item.order, list(item.dependents)] for item in part.items.values()],
        "offers": [[name, list(offer.capabilities), offer.slots] for name, offer in sorted(part.offers.items())],
        "dags": [[getattr(dag, field) for field in _DAG] for _, dag in sorted(part.dags.items())],
        "breaker": list(part.breaker),
    }


_DAG = ("name", "author", "record", "reason", "since", "missing", "parts", "priority", "limits", "tasks", "drafts")


def load(data: Any) -> Work:
    part = Work()
    for values in data["dags"]:
        dag = part.dags[values[0]] = Dag(values[0])
        for field, value in zip(_DAG, values, strict=True):
            setattr(dag, field, value)
        dag.tasks, dag.drafts = tuple(dag.tasks), tuple(dag.drafts)
    items = []
    for *plain, steps, order, dependents in data["items"]:
        filed = tuple((step, phase, bool(ok)) for step, phase, ok in steps)
        item = Item(*plain)._replace(steps=filed, order=order, dependents=tuple(dependents))
        part.items[item.name] = item
        items.append(item)
    for item in items:
        _tally(part, item, 1)
    part.ready = Ranks(item.rank for item in items if item.state == READY)
    part.offers = {name: Offer(tuple(capabilities), slots) for name, capabilities, slots in data["offers"]}
    part.breaker = Breaker(*data["breaker"])
    return part


def copy(part: Work) -> Work:
    twin = Work()
    twin.items, twin.ready, twin.offers = part.items.copy(), part.ready.copy(), dict(part.offers)
    twin.breaker = part.breaker
    for name, dag in part.dags.items():
        same = twin.dags[name] = Dag(name)
        for field in Dag.__slots__:
            setattr(same, field, getattr(dag, field))
        same.counts, same.running = dict(dag.counts), dict(dag.running)
    return twin


def open_epoch(state: State, moment: Moment) -> None:
    """Nothing of work changes by an epoch's beginning."""


def gone(state: State, node: str, moment: Moment) -> None:
    """LIVE: who has no standing offers nothing, and what was assigned to it is anybody's."""
    part = work(state)
    part.offers.pop(node, None)
    assigned = [item for item in part.items.values() if item.to == node and item.dag and STEPS[item.state]]
    for item in assigned:
        change(state, item, to="")


def propose(state: State, who: str, kind: str, wish: Value) -> Value:
    return wish


def item_words(item: Item | None, name: str) -> str:
    """What a piece of work is doing, in words."""
    if item is None:
        return f"there is no {name}"
    texts = {
        WAITING: f"it waits for {item.needs} of the tasks that it needs",
        RUNNING: f"{item.node} runs it, attempt {item.attempt}, token {item.token}",
    }
    return texts.get(item.state, f"it is {item.state}{f': {item.reason}' if item.reason else ''}")


def refusal_words(state: State, rule: str, name: str, who: str) -> tuple[str, str]:
    """Why work may not be claimed, and what to do."""
    part = work(state)
    item = part.items.get(name)
    if rule == "BREAKER-1":
        return _breaker_words(part.breaker), "mesh breaker show"
    if item is None or rule == "TASK-2":
        if item is not None and item.state == READY:
            return f"{name} is ready, but this claim is for another order, or asks to queue", "mesh dag list"
        return f"{name} is not ready: {item_words(item, name)}", "mesh dag list"
    needs = f"the capability {item.capability}" if item.capability else f"the holder of {item.holder}"
    texts = {
        "TASK-3": f"{name} is {f'assigned to {item.to}' if item.to else f'for {needs}'}, which {who} is not",
        "LEASE-3": f"{name} changed hands in this very epoch: ask once more",
        "TASK-4": f"as much of {item.capability or 'this DAG'} runs already as its DAG allows",
        "TASK-5": f"{name} failed; it is to rest for {item.backoff_ms} ms before attempt {item.attempt + 1}",
    }
    return texts.get(rule, item_words(item, name)), f"mesh explain {rule}"


def _breaker_words(breaker: Breaker) -> str:
    return f"the breaker is open since epoch {breaker.since}: {breaker.reason} ({breaker.by})"


def words(state: State, record: Record, verdict: Verdict) -> Words:
    part = work(state)
    facts = {"open": bool(part.breaker.since), "reason": part.breaker.reason, "since": part.breaker.since}
    if verdict.rule == "BREAKER-2":
        return Words(_breaker_words(part.breaker), "mesh breaker show", facts)
    if verdict.rule == "BREAKER-3":
        return Words("the breaker is closed", "mesh breaker show", facts)
    return Words("refused", f"mesh explain {verdict.rule}", {})


def says(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    if judged.record.kind == "work.offer":
        return _says_offer(body)
    if judged.record.kind == "breaker.open":
        return Said("opens the circuit breaker: `{reason}`", {"reason": body["reason"]})
    breaker = work(before).breaker
    if not breaker.since:
        return Said("closes the circuit breaker: `{reason}`", {"reason": body["reason"]})
    facts = {"reason": body["reason"], "since": breaker.since, "opened": breaker.reason}
    return Said("closes the circuit breaker, open since epoch {since} for `{opened}`: `{reason}`", facts)


def _says_offer(body: Value) -> Said:
    if not body["slots"]:
        return Said("takes back its offer to work", {})
    facts = {"slots": body["slots"], "capabilities": ", ".join(sorted(set(body["capabilities"])))}
    what = "`{capabilities}`" if facts["capabilities"] else "to work"
    return Said(f"offers {what}, {{slots}} at once", facts)
