"""Leases: who holds what, under which token, and who is next.

Knows: acquire, renew, release, take, break; the fair queue; when a token is current (law FENCE).
Knows not: clocks (law TIME: silence is asserted, with its length), keys, the hub.
Laws: FENCE, TIME, UNTIL, LIVE. A token is the epoch that granted it, so it only grows.

    epoch 40  oak acquires deploy        granted, token 40
    epoch 41  elm acquires deploy, queue queued
    epoch 47  ash takes deploy: token 40, silent for 600 s   passed to elm, token 47
    epoch 48  oak renews with token 40   fenced
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from orxaq_mesh.errors import Fenced, Refused
from orxaq_mesh.kinds import node, review, work
from orxaq_mesh.kinds.base import APPLIED, FENCED, REFUSED, Case, Judged, Kind, Moment, Row, Said, State, Verdict, Words
from orxaq_mesh.record import Record, Value
from orxaq_mesh.rules import Rule

NAME = "lease"
MAX_TTL_MS = 24 * 3600 * 1000
AGING_EPOCHS = 8
"""A waiter gains one step of priority for every so many epochs that it waits."""

KINDS = (
    Kind("lease.acquire", node.WRITERS, until=True),
    Kind("lease.renew", node.WRITERS),
    Kind("lease.release", node.WRITERS),
    Kind("lease.take", node.WRITERS, until=True),
    Kind("lease.break", frozenset({node.ADMIN})),
)

RULES = (
    Rule(
        "LEASE-1",
        "A free lease goes to the first who asks",
        "A lease that nobody holds and nobody waits for is granted to the first acquire in the order of its epoch. "
        "The epoch is the token.",
        "The order is the ledger's, so every node names the same winner.",
        "oak and elm both ask in epoch 40; oak's log comes first; oak holds token 40 and elm is refused by LEASE-2.",
    ),
    Rule(
        "LEASE-2",
        "A held lease is refused, with its holder",
        "An acquire of a lease that another session holds is refused, unless it asks to queue.",
        "Granted or refused, never both; and whoever is refused must know by whom.",
        "mesh lease acquire deploy: refused, held by elm (session claude-1) with token 40 for 3 min; exit 3.",
    ),
    Rule(
        "LEASE-3",
        "One grant a lease an epoch",
        "A lease that was granted or broken in this epoch is not granted again in it. Whoever waits gets it at the "
        "start of the next epoch.",
        "The token is the epoch: a second grant would bear the same token, and two holders could not be told apart.",
        "oak acquires and gives up within epoch 40; elm's acquire of the same epoch is refused and simply asks again.",
    ),
    Rule(
        "LEASE-4",
        "A session holds or waits once",
        "An acquire of a session that already holds the lease or already waits for it is refused.",
        "Two parts of one session would each believe that they hold it alone.",
        "The same shell asks twice: the second time it is told its token.",
    ),
    Rule(
        "LEASE-5",
        "The queue is fair",
        "An acquire that asks to queue joins it. A higher priority (0 to 9) goes first, but every 8 epochs of waiting "
        "count as one step of priority; equals go in order of arrival. At release, take-over or break the head gets "
        "the lease.",
        "Urgent work goes first, and still nobody starves: 72 epochs of waiting beat any newcomer.",
        "elm waits since epoch 41 with priority 0; ash joins in epoch 50 with priority 1: elm, who has aged, is first.",
    ),
    Rule(
        "LEASE-6",
        "A renewal is the holder's",
        "A renew with the current token, by the node and session that hold the lease, is applied; it may change the "
        "ttl. Anything else is fenced.",
        "Renewal reaches the authority, which is the ledger, or it is none.",
        "mesh-sync renews at a third of the ttl for as long as the process that acquired the lease lives.",
    ),
    Rule(
        "LEASE-7",
        "A release names the acquiring record",
        "A release frees the grant that came of the record it names, with its token; or withdraws that record's place "
        "in the queue, for which there is no token yet.",
        "A request that was cancelled must not be granted afterwards, and an old release must not free a new grant.",
        "mesh lease release deploy",
    ),
    Rule(
        "LEASE-8",
        "A take-over names what it saw",
        "A take names the current token and the last record applied under it; both must still be current, and the "
        "silence it asserts must be at least the holder's ttl. If others wait, the lease passes to the queue's head.",
        "A renewal that was sealed first wins over a take-over that was signed first.",
        "ash takes deploy after 600 s of silence; elm, who waited, is granted; ash is told so.",
    ),
    Rule(
        "LEASE-9",
        "An admin can break a lease",
        "A break of an admin ends the grant whose token it names, records the reason, and moves the token on.",
        "Sometimes a person knows that the holder is gone; the ledger then says who decided, and why.",
        'mesh lease break deploy --reason "oak was stolen"',
    ),
)


class Waiter(NamedTuple):
    """A place in a queue."""

    node: str
    session: str
    record: str
    ttl_ms: int
    epoch: int
    priority: int

    @property
    def rank(self) -> int:
        """Lower goes first. Waiting ages priority by itself: the rank never changes, newcomers' ranks grow."""
        return self.epoch - AGING_EPOCHS * self.priority


class Lease:
    """One lease. `holder` is empty while it is free; `token` is the highest that it ever bore."""

    __slots__ = ("holder", "last", "name", "queue", "record", "seal", "session", "since", "token", "ttl_ms")

    def __init__(self, name: str) -> None:
        self.name = name
        self.holder = self.session = self.record = self.last = self.seal = self.since = ""
        self.token = self.ttl_ms = 0
        self.queue: list[Waiter] = []

    def held_by(self, who: str, session: str) -> bool:
        return self.holder == who and self.session == session

    def current(self, token: Any, who: str, session: str) -> bool:
        """Law FENCE: the token is the current one and they are its holder. No token is a wrong token."""
        return bool(self.holder and token == self.token) and self.held_by(who, session)


class Leases:
    """The family's slice: every lease that was ever asked for, and those that are free while somebody waits."""

    def __init__(self) -> None:
        self.by_name: dict[str, Lease] = {}
        self.due: set[str] = set()


def leases(state: State) -> Leases:
    part: Leases = state.slices[NAME]
    return part


def _lease(state: State, record: Record) -> Lease:
    """The lease that a record is about; a fresh one where nobody ever asked for it."""
    name = record.body["lease"]
    return leases(state).by_name.get(name) or Lease(name)


def _mine(state: State, record: Record, lease: Lease) -> bool:
    return lease.held_by(node.name_of(state, record), record.body["session"])


def under_current(state: State, record: Record, under: Value) -> bool:
    """Whether a record of any kind that acts under a lease may (law FENCE)."""
    lease = leases(state).by_name.get(under["lease"])
    return lease is not None and lease.current(under.get("token"), node.name_of(state, record), str(under["session"]))


# The cases of the table.

_OF_WORK = ("BREAKER-1", "TASK-2", "TASK-3", "TASK-4", "LEASE-3", "TASK-5")


def _ttl_too_long(state: State, record: Record, moment: Moment) -> bool:
    return bool(record.body.get("ttl_ms", 0) > MAX_TTL_MS)


def _holds(state: State, record: Record, moment: Moment) -> bool:
    return _mine(state, record, _lease(state, record))


def _waits(state: State, record: Record, moment: Moment) -> bool:
    who, session = node.name_of(state, record), record.body["session"]
    return any(w.node == who and w.session == session for w in _lease(state, record).queue)


def _names_own_place(state: State, record: Record, moment: Moment) -> bool:
    who = node.name_of(state, record)
    return any((w.record, w.node) == (record.body["record"], who) for w in _lease(state, record).queue)


def _names_own_proposal(state: State, record: Record, moment: Moment) -> bool:
    asked = review.reviews(state).held.get(record.body["record"])
    who, body = node.name_of(state, record), record.body
    return asked is not None and _is_request(state, asked.record, who, body["lease"], body["session"])


def _is_request(state: State, asked: Record, who: str, name: str, session: object) -> bool:
    same = asked.kind.startswith("lease.") and (asked.body["lease"], asked.body["session"]) == (name, session)
    return same and node.name_of(state, asked) == who


def _proposed(state: State, who: str, name: str, session: object) -> str | None:
    """The id of a session's request for a lease that waits for an approval."""
    asked = (one for one in review.held_records(state) if _is_request(state, one, who, name, session))
    return next((record.id for record in asked), None)


def _free(state: State, record: Record, moment: Moment) -> bool:
    lease = _lease(state, record)
    return not lease.holder and not lease.queue and lease.token < moment.epoch


def _asks_to_queue(state: State, record: Record, moment: Moment) -> bool:
    return bool(record.body.get("queue", False))


def _held(state: State, record: Record, moment: Moment) -> bool:
    return bool(_lease(state, record).holder)


def _current(state: State, record: Record, moment: Moment) -> bool:
    body = record.body
    lease = _lease(state, record)
    return lease.current(body.get("token"), node.name_of(state, record), body["session"])


def _current_and_named(state: State, record: Record, moment: Moment) -> bool:
    return _current(state, record, moment) and _lease(state, record).record == record.body["record"]


def _other_token(state: State, record: Record, moment: Moment) -> bool:
    lease = _lease(state, record)
    return not lease.holder or bool(lease.token != record.body["token"])


def _spoke_since(state: State, record: Record, moment: Moment) -> bool:
    return bool(_lease(state, record).last != record.body["last"])


def _too_short(state: State, record: Record, moment: Moment) -> bool:
    return bool(record.body["watched_ms"] < _lease(state, record).ttl_ms)


def _granted_now(state: State, record: Record, moment: Moment) -> bool:
    return _lease(state, record).token >= moment.epoch


def _others_wait(state: State, record: Record, moment: Moment) -> bool:
    queue = _lease(state, record).queue
    return bool(queue) and (queue[0].node, queue[0].session) != (node.name_of(state, record), record.body["session"])


def _refuses(rule: str) -> Case:
    """Whether the lease is a claim of work, and this rule says no to it."""

    def case(state: State, record: Record, moment: Moment) -> bool:
        name = record.body["lease"]
        return (
            work.is_work(name) and work.refusal(state, name, node.name_of(state, record), moment, record.body) == rule
        )

    return case


CASES: Mapping[str, Case] = {
    **{f"a claim that {rule} refuses": _refuses(rule) for rule in _OF_WORK},
    "the ttl is over 24 hours": _ttl_too_long,
    "the session holds it": _holds,
    "the session waits for it": _waits,
    "it names its own place in the queue": _names_own_place,
    "it names its own request that is held": _names_own_proposal,
    "free, and nobody waits": _free,
    "a claim of what is another node's turn": lambda s, r, m: (
        work.is_work(r.body["lease"]) and _free(s, r, m) and _stolen(s, r, m)
    ),
    "asks to queue": _asks_to_queue,
    "held": _held,
    "the holder, with the current token": _current,
    "the holder, with the current token and the grant's record": _current_and_named,
    "free, or another token": _other_token,
    "something was applied under the lease since": _spoke_since,
    "the silence is shorter than the ttl": _too_short,
    "granted in this very epoch": _granted_now,
    "others wait": _others_wait,
    "otherwise": lambda state, record, moment: True,
}


# What the rows do.


def _enter(state: State, record: Record) -> Lease:
    """The lease that a record is about, kept from now on."""
    return leases(state).by_name.setdefault(record.body["lease"], Lease(record.body["lease"]))


def _give(lease: Lease, waiter: Waiter, moment: Moment, since: str) -> None:
    lease.holder, lease.session, lease.record = waiter.node, waiter.session, waiter.record
    lease.last, lease.ttl_ms, lease.since = waiter.record, waiter.ttl_ms, since
    lease.token, lease.seal = moment.epoch, moment.seal


def _waiter(state: State, record: Record, moment: Moment) -> Waiter:
    body = record.body
    priority = body.get("priority", 0)
    return Waiter(node.name_of(state, record), body["session"], record.id, body["ttl_ms"], moment.epoch, priority)


def _grant(state: State, record: Record, moment: Moment) -> None:
    lease = _enter(state, record)
    _give(lease, _waiter(state, record, moment), moment, record.at)
    if work.is_work(lease.name):
        work.claimed(state, lease.name, lease.holder, moment)


def _stolen(state: State, record: Record, moment: Moment) -> bool:
    item = work.work(state).items.get(record.body["lease"])
    return item is not None and work.owner(state, item) not in ("", node.name_of(state, record))


def _join(state: State, record: Record, moment: Moment) -> None:
    lease, waiter = _enter(state, record), _waiter(state, record, moment)
    lease.queue.insert(bisect_right(lease.queue, waiter.rank, key=lambda other: other.rank), waiter)
    if not lease.holder:
        leases(state).due.add(lease.name)


def _renew(state: State, record: Record, moment: Moment) -> None:
    lease = _enter(state, record)
    lease.last, lease.ttl_ms = record.id, record.body.get("ttl_ms", lease.ttl_ms)


def _vacate(state: State, lease: Lease, moment: Moment, since: str) -> None:
    """End the grant; the queue's head gets the lease, now or (LEASE-3) when the next epoch opens."""
    lease.holder = lease.session = lease.record = lease.last = lease.since = ""
    lease.ttl_ms = 0
    if work.is_work(lease.name):
        leases(state).by_name.pop(lease.name, None)
        work.given_back(state, lease.name, moment)
    elif not lease.queue:
        leases(state).due.discard(lease.name)
    elif lease.token < moment.epoch:
        leases(state).due.discard(lease.name)
        _give(lease, lease.queue.pop(0), moment, since)
    else:
        leases(state).due.add(lease.name)


def _release(state: State, record: Record, moment: Moment) -> None:
    _vacate(state, _enter(state, record), moment, record.at)


def _withdraw(state: State, record: Record, moment: Moment) -> None:
    lease = _enter(state, record)
    lease.queue = [waiter for waiter in lease.queue if waiter.record != record.body["record"]]
    if not lease.queue:
        leases(state).due.discard(lease.name)


def _take_back(state: State, record: Record, moment: Moment) -> None:
    review.withdraw(state, record.body["record"], "LEASE-7")


def _take(state: State, record: Record, moment: Moment) -> None:
    lease = _enter(state, record)
    if lease.queue:
        _vacate(state, lease, moment, record.at)
    else:
        _grant(state, record, moment)


def _pass_on(state: State, record: Record, moment: Moment) -> None:
    lease = _enter(state, record)
    _vacate(state, lease, moment, record.at)
    who, session = node.name_of(state, record), record.body["session"]
    if record.body.get("queue", False) and not any((w.node, w.session) == (who, session) for w in lease.queue):
        _join(state, record, moment)


def _break(state: State, record: Record, moment: Moment) -> None:
    lease = _enter(state, record)
    _vacate(state, lease, moment, record.at)
    lease.token = max(lease.token, moment.epoch)


ROWS = (
    Row("lease.acquire", "the ttl is over 24 hours", REFUSED, "LIVE"),
    *(Row("lease.acquire", f"a claim that {rule} refuses", REFUSED, rule) for rule in _OF_WORK),
    Row("lease.acquire", "the session holds it", REFUSED, "LEASE-4"),
    Row("lease.acquire", "the session waits for it", REFUSED, "LEASE-4"),
    Row("lease.acquire", "a claim of what is another node's turn", APPLIED, "WORK-2", "granted", _grant),
    Row("lease.acquire", "free, and nobody waits", APPLIED, "LEASE-1", "granted", _grant),
    Row("lease.acquire", "asks to queue", APPLIED, "LEASE-5", "queued", _join),
    Row("lease.acquire", "held", REFUSED, "LEASE-2"),
    Row("lease.acquire", "otherwise", REFUSED, "LEASE-3"),
    Row("lease.renew", "the ttl is over 24 hours", REFUSED, "LIVE"),
    Row("lease.renew", "the holder, with the current token", APPLIED, "LEASE-6", "renewed", _renew),
    Row("lease.renew", "otherwise", FENCED, "FENCE"),
    Row("lease.release", "it names its own place in the queue", APPLIED, "LEASE-7", "withdrawn", _withdraw),
    Row("lease.release", "it names its own request that is held", APPLIED, "LEASE-7", "withdrawn", _take_back),
    Row(
        "lease.release",
        "the holder, with the current token and the grant's record",
        APPLIED,
        "LEASE-7",
        "released",
        _release,
    ),
    Row("lease.release", "otherwise", FENCED, "FENCE"),
    Row("lease.take", "the ttl is over 24 hours", REFUSED, "LIVE"),
    *(Row("lease.take", f"a claim that {rule} refuses", REFUSED, rule) for rule in _OF_WORK[:3]),
    Row("lease.take", "free, or another token", REFUSED, "LEASE-8"),
    Row("lease.take", "the session holds it", REFUSED, "LEASE-4"),
    Row("lease.take", "something was applied under the lease since", REFUSED, "LEASE-8"),
    Row("lease.take", "the silence is shorter than the ttl", REFUSED, "TIME"),
    Row("lease.take", "granted in this very epoch", REFUSED, "LEASE-3"),
    Row("lease.take", "others wait", APPLIED, "LEASE-8", "passed", _pass_on),
    Row("lease.take", "otherwise", APPLIED, "LEASE-8", "granted", _take),
    Row("lease.break", "free, or another token", REFUSED, "LEASE-9"),
    Row("lease.break", "otherwise", APPLIED, "LEASE-9", "broken", _break),
)


def new() -> Leases:
    return Leases()


_FIELDS = ("holder", "session", "record", "last", "seal", "since", "token", "ttl_ms")


def dump(part: Leases) -> Any:
    return [
        [lease.name, *(getattr(lease, field) for field in _FIELDS), [list(waiter) for waiter in lease.queue]]
        for lease in part.by_name.values()
    ]


def load(data: Any) -> Leases:
    part = Leases()
    for name, *values, queue in data:
        lease = part.by_name[name] = Lease(name)
        for field, value in zip(_FIELDS, values, strict=True):
            setattr(lease, field, value)
        lease.queue = [Waiter(*waiter) for waiter in queue]
        if lease.queue and not lease.holder:
            part.due.add(name)
    return part


def copy(part: Leases) -> Leases:
    return load(dump(part))


def open_epoch(state: State, moment: Moment) -> None:
    """LEASE-3: what could not pass on in its own epoch passes on now."""
    part = leases(state)
    for name in sorted(part.due):
        lease = part.by_name[name]
        if lease.token < moment.epoch:
            _vacate(state, lease, moment, "")


def gone(state: State, node: str, moment: Moment) -> None:
    """LIVE: a node without standing holds nothing and waits for nothing."""
    for lease in list(leases(state).by_name.values()):
        lease.queue = [waiter for waiter in lease.queue if waiter.node != node]
        if lease.holder == node:
            _vacate(state, lease, moment, "")
        elif not lease.queue:
            leases(state).due.discard(lease.name)


def held(state: State, who: str, name: str, session: str) -> Lease:
    """The lease of this name, if this node and session hold it.

    Raises:
        Fenced: they do not; who does is said.
    """
    lease = leases(state).by_name.get(name) or Lease(name)
    if lease.held_by(who, session):
        return lease
    holder = f"{lease.holder} (session {lease.session}) holds it, token {lease.token}" if lease.holder else "it is free"
    facts = {"lease": name, "holder": lease.holder or None, "token": lease.token}
    raise Fenced("FENCE", f"session {session} of {who} does not hold {name}: {holder}", hint=_show(name), **facts)


def end(state: State, name: str) -> None:
    """Work was finished: its claim ends, and nobody's turn is next."""
    leases(state).by_name.pop(name, None)


def with_token(state: State, who: str, wish: Value) -> Value:
    """A wish that acts under a lease without naming the token takes the one that its session holds.

    Raises:
        Fenced: the session does not hold it.
    """
    under = wish.get("under")
    if under is None or "token" in under:
        return wish
    return {**wish, "under": {**under, "token": held(state, who, under["lease"], under["session"]).token}}


def waiting(state: State, who: str, name: str, session: str) -> Waiter | None:
    """The place of this node and session in a lease's queue."""
    lease = leases(state).by_name.get(name) or Lease(name)
    return next((w for w in lease.queue if (w.node, w.session) == (who, session)), None)


def _show(name: str) -> str:
    return f"mesh lease show {name}"


def propose(state: State, who: str, kind: str, wish: Value) -> Value:
    """Fill in the token, the acquiring record or the last record that a wish leaves out."""
    name = wish["lease"]
    item = work.work(state).items.get(name) if kind in ("lease.acquire", "lease.take") else None
    if item is not None:
        wish = {"of": work.origin(state, item), **wish}
    if kind == "lease.acquire":
        return wish
    if kind in ("lease.take", "lease.break"):
        lease = leases(state).by_name.get(name) or Lease(name)
        if not lease.holder:
            raise Refused(kind_rule(kind), f"nobody holds {name}", hint=f"mesh lease acquire {name}", lease=name)
        named = {"token": lease.token} | ({"last": lease.last} if kind == "lease.take" else {})
        return {**named, **wish}
    if kind == "lease.release" and (place := waiting(state, who, name, wish["session"])):
        return {"record": place.record, **wish}
    if kind == "lease.release" and (asked := _proposed(state, who, name, wish["session"])):
        return {"record": asked, **wish}
    if "token" in wish and (kind == "lease.renew" or "record" in wish):
        return wish
    lease = held(state, who, name, wish["session"])
    return {"token": lease.token, **({"record": lease.record} if kind == "lease.release" else {}), **wish}


def kind_rule(kind: str) -> str:
    """The rule that a kind of lease record is about."""
    return next(row.rule for row in reversed(ROWS) if row.kind == kind)


def words(state: State, record: Record, verdict: Verdict) -> Words:
    """Why a record about a lease did not get what it asked for: holder, token, next step."""
    body = record.body
    lease = _lease(state, record)
    if work.is_work(lease.name) and verdict.rule in _OF_WORK:
        what, hint = work.refusal_words(state, verdict.rule, lease.name, node.name_of(state, record))
        return Words(what, hint, {"lease": lease.name, "holder": lease.holder or None, "token": lease.token})
    facts: dict[str, Any] = {"lease": lease.name, "holder": lease.holder or None, "token": lease.token}
    if lease.holder:
        facts |= {"session": lease.session, "since": lease.since, "queue": len(lease.queue)}
    held = f"held by {lease.holder} (session {lease.session}), token {lease.token}" if lease.holder else "free"
    name = lease.name
    texts = {
        "LEASE-2": (f"{name} is {held}", f"mesh lease acquire {name} --wait, or mesh lease take {name} if it is dead"),
        "LEASE-3": (f"{name} changed hands in this very epoch", f"mesh lease acquire {name} once more, or --queue"),
        "LEASE-4": (f"this session holds {name} or waits for it already ({held})", f"mesh lease show {name}"),
        "LEASE-7": (f"the request for {name} was taken back", f"mesh lease acquire {name}"),
        "LEASE-8": (f"{name} is {held}: no longer what the take-over named", f"mesh lease show {name}"),
        "LEASE-9": (f"{name} is {held}: the token named is not its current one", f"mesh lease show {name}"),
        "FENCE": (f"the token {body.get('token')} is stale: {name} is {held}", f"mesh lease show {name}"),
        "TIME": (f"{name} was silent for {body.get('watched_ms')} ms of {lease.ttl_ms} ms; {held}", "watch it longer"),
        "LIVE": (f"a ttl of {body.get('ttl_ms')} ms is over 24 hours", "renew a shorter one"),
    }
    what, hint = texts.get(verdict.rule, (f"{name} is {held}", f"mesh explain {verdict.rule}"))
    return Words(what, hint, facts)


# What a reader of a change is told.

_GRANTED = ("was granted, token {granted}", "would be granted")
_OUT_OF_TURN = ("was granted out of turn, token {granted}", "would be granted out of turn")
_PASSED = ("passed to {heir}", "would pass to {heir}")
_OWN = "its own session `{session}`"
_PLACES = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def _known(state: State, judged: Judged) -> Lease:
    return _lease(state, judged.record)


def _heir(before: State, after: State, judged: Judged) -> dict[str, str | int]:
    """Who waited first, and holds the lease now that its holder does not, as a fact; none where nobody does."""
    queue, now = _known(before, judged).queue, _known(after, judged)
    return {"heir": queue[0].node} if queue and now.held_by(queue[0].node, queue[0].session) else {}


def _of(words: str, held: Lease, body: Value) -> tuple[str, dict[str, str | int]]:
    """Whose grant a token names, where it is known."""
    known = held.holder and held.token == body["token"]
    return (words, {"holder": held.holder}) if known else ("", {})


def _says_acquire(before: State, after: State, judged: Judged) -> Said:
    name, result = judged.record.body["lease"], judged.verdict.result
    ask = "claims `{lease}`" if work.is_work(name) else "asks for lease `{lease}`"
    if result != "queued":
        granted = _OUT_OF_TURN if judged.verdict.rule == "WORK-2" else _GRANTED
        return Said(ask, {"lease": name, "granted": judged.epoch}, granted if result else ("", ""))
    place = next((n for n, one in enumerate(_known(after, judged).queue, 1) if one.record == judged.record.id), 0)
    facts: dict[str, str | int] = {"lease": name}
    came = ("was put in line", "would queue")
    if place:
        facts["place"] = _PLACES[place - 1] if place <= len(_PLACES) else f"in place {place}"
        came = ("waits {place} in line", "would queue {place}")
    held = next((one for one in (_known(before, judged), _known(after, judged)) if one.holder), None)
    if held is not None:
        facts |= {"holder": held.holder, "session": held.session, "since": held.token, "token": held.token}
        own = node.name_of(after, judged.record) == held.holder
        ask += f" (held by {_OWN if own else '{holder}'} since epoch {{since}}, token {{token}})"
    return Said(ask, facts, came)


def _says_renew(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    facts = {"lease": body["lease"], "token": body["token"]}
    if "ttl_ms" not in body:
        return Said("renews lease `{lease}`, token {token}", facts)
    return Said("renews lease `{lease}`, token {token}, for {ttl_ms} ms", {**facts, "ttl_ms": body["ttl_ms"]})


def _says_release(before: State, after: State, judged: Judged) -> Said:
    body = judged.record.body
    if judged.verdict.result == "withdrawn" or "token" not in body:
        return Said("withdraws its request for lease `{lease}`", {"lease": body["lease"]})
    facts, heir = {"lease": body["lease"], "token": body["token"]}, _heir(before, after, judged)
    return Said("releases lease `{lease}`, token {token}", facts | heir, _PASSED if heir else ("", ""))


def _says_take(before: State, after: State, judged: Judged) -> Said:
    body, held = judged.record.body, _known(before, judged)
    facts, heir = {"lease": body["lease"], "token": body["token"]}, _heir(before, after, judged)
    facts |= {"silent_s": body["watched_ms"] // 1000, "granted": judged.epoch}
    whose, who = _of(" from {holder}", held, body)
    passed = _PASSED if heir else ("passed to who waited first", "would pass to who waits first")
    came = {"granted": _GRANTED, "passed": passed}.get(judged.verdict.result, ("", ""))
    template = f"takes lease `{{lease}}`{whose}, token {{token}}, after {{silent_s}} s of silence"
    return Said(template, facts | who | heir, came)


def _says_break(before: State, after: State, judged: Judged) -> Said:
    body, held = judged.record.body, _known(before, judged)
    facts, heir = {field: body[field] for field in ("lease", "token", "reason")}, _heir(before, after, judged)
    whose, who = _of(" of {holder}", held, body)
    template = f"breaks lease `{{lease}}`{whose}, token {{token}}: `{{reason}}`"
    return Said(template, facts | who | heir, _PASSED if heir else ("", ""))


_SAYS: Mapping[str, Callable[[State, State, Judged], Said]] = {
    "lease.acquire": _says_acquire,
    "lease.renew": _says_renew,
    "lease.release": _says_release,
    "lease.take": _says_take,
    "lease.break": _says_break,
}


def says(before: State, after: State, judged: Judged) -> Said:
    return _SAYS[judged.record.kind](before, after, judged)


def says_under(said: Said, body: Value) -> Said:
    """A sentence about a record that may act under a lease: it names that."""
    if "under" not in body:
        return said
    facts = {**said.facts, "under": body["under"]["lease"], "token": body["under"]["token"]}
    return said._replace(template=said.template + " under lease `{under}`, token {token}", facts=facts)
