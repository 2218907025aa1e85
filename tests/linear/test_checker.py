"""The search against one that tries everything, and the models against what they must refuse."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.linear import Operation, Verdict, check
from tests.linear.check import MODELS
from tests.linear.models import Model

NAMES = ("a", "b", "c")


def everything(operations: Sequence[Operation], model: Model, state: Any) -> bool:
    """Every order is tried, and nothing is remembered: the definition, written down."""
    known = [o for o in operations if not o.open]
    if not known:
        return True
    first = min(o.returned or 0 for o in known)
    return any(
        everything([o for o in operations if o is not each], model, after)
        for each in operations
        if each.invoked <= first
        for after in model.step(state, each)
    )


def is_an_order(verdict: Verdict, operations: Sequence[Operation], model: Model) -> bool:
    """Whether what the checker gives as its reason is one."""
    (part,) = verdict.parts
    states = {model.initial}
    for at, each in enumerate(part.order):
        states = {after for state in states for after in model.step(state, each)}
        if any((later.returned or 10**9) < each.invoked for later in part.order[at:]):
            return False
    return bool(states) and {o for o in map(str, operations) if "returned=None" not in o} <= set(map(str, part.order))


@st.composite
def timed(draw: st.DrawFn, deeds: st.SearchStrategy[tuple[str, Any, Any]], most: int = 7) -> list[Operation]:
    """Operations at random times, one in four of unknown result."""
    found = []
    for number in range(draw(st.integers(1, most))):
        op, args, result = draw(deeds)
        invoked = draw(st.integers(0, 12))
        returned = None if draw(st.integers(0, 3)) == 0 else invoked + draw(st.integers(1, 6))
        process = draw(st.sampled_from(NAMES)) + "/s"
        found.append(Operation(process, "x", op, args, result if returned else None, invoked, returned, number + 1))
    return found


values = st.integers(0, 2)
register_deeds = st.one_of(
    st.tuples(st.just("read"), st.none(), st.one_of(st.none(), values)),
    st.tuples(st.just("write"), values, st.none()),
    st.tuples(st.just("cas"), st.tuples(values, values), st.booleans()),
)
texts = st.sampled_from(("a", "b"))
kv_deeds = st.one_of(
    st.tuples(st.just("get"), st.none(), st.one_of(st.none(), st.text("ab", max_size=4))),
    st.tuples(st.sampled_from(("put", "append")), texts, st.none()),
)
tokens = st.integers(1, 4)
holders = st.sampled_from([f"{name}/s" for name in NAMES])


def _applied(op: str, result: str) -> st.SearchStrategy[tuple[str, Any, Any]]:
    asks = st.sampled_from(({}, {"queue": True}, {"wait": True}))
    told = tokens.map(lambda token: {"verdict": "applied", "result": result, "token": token, "epoch": token})
    return st.tuples(st.just(op), asks if op in ("acquire", "take") else st.just({}), told)


def _refused(op: str, verdict: str, *rules: str) -> st.SearchStrategy[tuple[str, Any, Any]]:
    shown: st.SearchStrategy[dict[str, Any]] = st.one_of(
        st.just({}),
        st.just({"holder": None}),
        st.fixed_dictionaries({"holder": holders, "token": tokens}),
    )
    named: st.SearchStrategy[dict[str, Any]] = st.one_of(st.just({}), st.fixed_dictionaries({"token": tokens}))
    told = st.tuples(st.sampled_from(rules), shown).map(lambda r: {"verdict": verdict, "rule": r[0], **r[1]})
    return st.tuples(st.just(op), st.just({}) if op in ("acquire", "take") else named, told)


lease_deeds = st.one_of(
    _applied("acquire", "granted"),
    _applied("acquire", "granted"),
    _applied("acquire", "queued"),
    _applied("take", "granted"),
    _applied("take", "passed"),
    _applied("renew", "renewed"),
    _applied("release", "released"),
    _applied("break", "broken"),
    _refused("acquire", "refused", "LEASE-2", "LEASE-3", "LEASE-4"),
    _refused("take", "refused", "LEASE-8", "LEASE-4", "TIME"),
    _refused("renew", "fenced", "FENCE"),
    _refused("release", "fenced", "FENCE"),
    _refused("break", "refused", "LEASE-9"),
    st.tuples(st.just("read"), st.just({}), st.fixed_dictionaries({"holder": holders, "token": tokens})),
    st.tuples(st.just("read"), st.just({}), st.fixed_dictionaries({"holder": st.none(), "last_token": tokens})),
    st.tuples(st.just("revoke"), st.sampled_from([{"node": name} for name in NAMES]), st.just({"verdict": "applied"})),
)


def agrees(operations: list[Operation], name: str) -> None:
    model = MODELS[name]
    verdict = check(operations, name)
    assert verdict.linearizable == everything(operations, model, model.initial), verdict
    assert not verdict.linearizable or is_an_order(verdict, operations, model), verdict


@given(timed(register_deeds))
@settings(max_examples=400)
def test_C1_the_search_finds_what_trying_everything_finds_for_registers(operations: list[Operation]) -> None:
    agrees(operations, "cas-register")


@given(timed(kv_deeds))
@settings(max_examples=300)
def test_C1_the_search_finds_what_trying_everything_finds_for_texts(operations: list[Operation]) -> None:
    agrees(operations, "kv")


@given(timed(lease_deeds, most=6))
@settings(max_examples=400)
def test_C1_the_search_finds_what_trying_everything_finds_for_leases(operations: list[Operation]) -> None:
    agrees(operations, "lease")


@given(timed(register_deeds))
def test_C1_the_operation_that_is_named_is_the_first_that_no_order_explains(operations: list[Operation]) -> None:
    verdict = check(operations, "cas-register")
    if verdict.linearizable:
        return
    (part,) = verdict.parts
    assert part.stuck is not None
    assert shown_before(operations, part.stuck, 0), verdict
    assert not shown_before(operations, part.stuck, 1), verdict
    assert f"line {part.stuck.line}," in str(verdict)


def shown_before(operations: list[Operation], stuck: Operation, more: int) -> bool:
    """Whether all that returned before an operation (and `more` of those that follow) has an order."""
    returns = sorted((o for o in operations if not o.open), key=lambda o: o.returned or 0)
    last = (returns[returns.index(stuck) - 1 + more].returned or 0) if returns.index(stuck) + more else -1
    cut = [
        o if not o.open and (o.returned or 0) <= last else o._replace(returned=None, result=None) for o in operations
    ]
    return everything([o for o in cut if o.invoked <= last], MODELS["cas-register"], None)


# Long histories.


Answering = Callable[[Operation], Any]


def lived(
    seed: int,
    size: int,
    callers: int,
    deal: Callable[[random.Random, Operation], Operation],
    live: Answering,
    lost: float = 0.0,
) -> list[Operation]:
    """A history of callers of a real thing: linearizable by its making. Lost answers are of deeds done, or not done."""
    dice, now = random.Random(seed), 0
    found, active = list[Operation](), list[tuple[Operation, bool]]()
    idle = [f"p{number}/s" for number in range(callers)]
    while len(found) < size:
        now += 1
        if idle and dice.random() < 0.5:
            active.append((deal(dice, Operation(idle.pop(), "x", "", None, None, now)), False))
        elif active:
            each, done = active.pop(dice.randrange(len(active)))
            if dice.random() < lost / 2:
                found.append(each._replace(result=None))
                idle.append(f"p{len(found) + callers}/s")
            elif not done:
                active.append((each._replace(result=live(each)), True))
            else:
                found.append(each._replace(returned=now))
                idle.append(each.process)
    return [*found, *(each._replace(result=None) for each, _ in active)]


def register(values: int) -> tuple[Callable[[random.Random, Operation], Operation], Answering]:
    """A register of so many values, and what its callers do."""
    state: list[int | None] = [None]

    def deal(dice: random.Random, each: Operation) -> Operation:
        op = dice.choice(("read", "write", "cas"))
        args = {"read": None, "write": dice.randrange(values), "cas": (dice.randrange(values), dice.randrange(values))}
        return each._replace(op=op, args=args[op])

    def live(each: Operation) -> Any:
        was = state[0]
        if each.op == "write" or (each.op == "cas" and was == each.args[0]):
            state[0] = each.args if each.op == "write" else each.args[1]
        return {"read": was, "write": None, "cas": each.op == "cas" and was == each.args[0]}[each.op]

    return deal, live


def store() -> tuple[Callable[[random.Random, Operation], Operation], Answering]:
    """A store of ten texts, and what its callers do."""
    texts: dict[str, str] = {}

    def deal(dice: random.Random, each: Operation) -> Operation:
        op = dice.choice(("get",) * 9 + ("append",) * 10 + ("put",))
        args = None if op == "get" else f"x {each.process} {each.invoked} y"
        return each._replace(lease=str(dice.randrange(10)), op=op, args=args)

    def live(each: Operation) -> Any:
        was = texts.get(each.lease, "")
        if each.op != "get":
            texts[each.lease] = was + each.args if each.op == "append" else each.args
        return was if each.op == "get" else None

    return deal, live


class Deploy:
    """A lease as simple as can be: a holder, a token, a queue."""

    def __init__(self) -> None:
        self.holder, self.token, self.last, self.queue = "", 0, 0, list[str]()

    def deal(self, dice: random.Random, each: Operation) -> Operation:
        op = dice.choice(("acquire", "acquire", "take", "renew", "write", "release", "release", "break", "read"))
        named = {"token": self.last - dice.randrange(2)} if op in ("renew", "write", "release") else {}
        return each._replace(op=op, args={"queue": True} if op == "acquire" and dice.random() < 0.4 else named)

    def live(self, each: Operation) -> dict[str, Any]:
        me, told = each.process, {"holder": self.holder or None, "token": self.token}
        mine = self.holder == me and each.args.get("token", self.token) == self.token
        no = {"verdict": "refused", **told} if self.holder else {"verdict": "refused", "holder": None}
        match each.op:
            case "read":
                return told if self.holder else {"holder": None, "last_token": self.last}
            case "acquire" | "take":
                return self.asked(each, no)
            case "break" if self.holder:
                self.pass_on()
                return {"verdict": "applied", "result": "broken", "epoch": self.last}
            case "break":
                return no | {"rule": "LEASE-9"}
            case "release" if me in self.queue:
                self.queue.remove(me)
                return {"verdict": "applied", "result": "withdrawn"}
            case "renew" | "write" | "release" if not mine:
                return no | {"verdict": "fenced", "rule": "FENCE"}
        token = self.token
        if each.op == "release":
            self.pass_on()
        return {
            "verdict": "applied",
            "result": {"renew": "renewed", "release": "released"}.get(each.op),
            "token": token,
        }

    def asked(self, each: Operation, no: dict[str, Any]) -> dict[str, Any]:
        me, rule, takes = each.process, "", each.op == "take"
        if self.holder == me or (me in self.queue and not takes):
            rule = "LEASE-4"
        elif takes != bool(self.holder) and not each.args.get("queue"):
            rule = "LEASE-8" if takes else "LEASE-2"
        if rule:
            return no | {"rule": rule}
        if self.holder and not takes:
            self.queue.append(me)
            return {"verdict": "applied", "result": "queued"}
        if self.queue and self.queue[0] != me:
            self.pass_on()
            return {"verdict": "applied", "result": "passed"}
        self.queue = [waiter for waiter in self.queue if waiter != me]
        return {"verdict": "applied", "result": "granted", "token": self.give(me)}

    def give(self, holder: str) -> int:
        self.last += 1 + self.last % 3
        self.holder, self.token = holder, self.last
        return self.token

    def pass_on(self) -> None:
        self.holder, self.token = "", 0
        if self.queue:
            self.give(self.queue.pop(0))


@pytest.mark.parametrize("seed", range(40))
def test_C1_what_really_happened_is_linearizable_whatever_answers_were_lost(seed: int) -> None:
    lost = (seed % 4) / 10
    lease = Deploy()
    verdicts = [
        check(lived(seed, 60, 4, *register(3), lost), "cas-register", 20),
        check(lived(seed, 200, 6, *store(), lost), "kv", 20),
        check(lived(seed, 80, 4, lease.deal, lease.live, lost), "lease", 20),
    ]
    assert [verdict.linearizable for verdict in verdicts] == [True] * 3, verdicts


@pytest.mark.parametrize(("kind", "callers", "lost"), [("cas-register", 20, 0.0), ("kv", 50, 0.02)])
def test_C1_thousands_of_operations_are_judged_in_seconds(kind: str, callers: int, lost: float) -> None:
    history = lived(7, 5000, callers, *(store() if kind == "kv" else register(100)), lost)
    assert check(history, kind).linearizable
    reads = [index for index, o in enumerate(history) if o.op in ("read", "get") and not o.open and o.result]
    wrong = reads[len(reads) * 3 // 4]
    stale = history[wrong].result.partition("y")[2] if kind == "kv" else 100  # it forgot what was said first
    verdict = check([*history[:wrong], history[wrong]._replace(result=stale), *history[wrong + 1 :]], kind)
    assert verdict.linearizable is False
    assert "not linearizable" in str(verdict)


def test_C1_a_search_that_takes_too_long_says_that_it_does_not_know() -> None:
    verdict = check(lived(3, 5000, 10, *register(100)), limit_s=0)
    assert verdict.answer == "unknown"
    assert "no order was found yet" in str(verdict)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("ends", [(("read", 1), ("write", 5), ("read", 1)), (("read", 1), ("write", 0), ("read", 3))])
def test_PUSH_what_is_spent_on_the_way_to_a_state_is_no_matter_only_if_it_is_more(
    order: tuple[int, ...], ends: tuple[tuple[str, int], ...]
) -> None:
    """One state, reached with this unknown operation or with that one; only what is left of them explains the end."""
    deeds: list[tuple[str, Any]] = [("cas", (0, 1)), ("write", 1), ("cas", (0, 3))]
    history = [Operation("w", "x", "write", 0, None, 0, 1), Operation("d", "x", "cas", (7, 3), None, 2)]
    history += [Operation(f"u{n}", "x", *deeds[n], None, 3 + at) for at, n in enumerate(order)]
    for at, (op, value) in enumerate(ends):
        args, result = (value, None) if op == "write" else (None, value)
        history.append(Operation("c", "x", op, args, result, 10 + 2 * at, 11 + 2 * at))
    assert check(history, "cas-register").linearizable


# What it must see: Wing and Gong's point, one rule at a time.


def w(value: int, invoked: float, returned: float | None) -> Operation:
    return Operation("w", "x", "write", value, None, invoked, returned)


def r(value: int | None, invoked: float, returned: float) -> Operation:
    return Operation("r", "x", "read", None, value, invoked, returned)


@pytest.mark.parametrize(
    ("operations", "answer"),
    [
        ([], True),
        ([r(None, 0, 1)], True),
        ([w(1, 0, 1), r(None, 2, 3)], False),
        ([w(1, 0, 10), r(1, 1, 2), r(None, 3, 4)], False),
        ([w(1, 0, 10), r(None, 1, 2), r(1, 3, 4)], True),
        ([w(1, 0, None), r(None, 1, 2), r(1, 30, 40)], True),
        ([w(1, 0, None), r(1, 1, 2), r(None, 30, 40)], False),
        ([w(1, 0, 5), w(2, 0, 5), r(1, 6, 7), r(2, 8, 9)], False),
        ([w(1, 0, 5), w(2, 0, 50), r(1, 6, 7), r(2, 8, 9)], True),
    ],
)
def test_C1_what_a_register_may_answer(operations: list[Operation], answer: bool) -> None:
    assert check(operations, "register").linearizable is answer


def test_C1_each_key_is_judged_alone_and_the_bad_one_is_named() -> None:
    good = Operation("a", "k1", "put", "x", None, 0, 1)
    bad = Operation("b", "k2", "get", None, "y", 0, 1)
    verdict = check([good, bad])
    assert (verdict.model, verdict.linearizable) == ("kv", False)
    assert [part.lease for part in verdict.bad] == ["k2"]


def test_C1_an_operation_that_no_model_knows_is_said() -> None:
    with pytest.raises(ValueError, match="enqueue"):
        check([Operation("a", "x", "enqueue", 1, None, 0, 1)])
    with pytest.raises(ValueError, match="knows no cas"):
        check([Operation("a", "x", "cas", (1, 2), True, 0, 1)], "register")
