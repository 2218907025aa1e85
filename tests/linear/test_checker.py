"""The search against one that tries everything, and the models against what they must refuse."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
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


def lived(seed: int, size: int, callers: int, kind: str, lost: float = 0.0) -> list[Operation]:
    """A history of callers of a real register, or of a real store of ten texts: linearizable by its making."""
    dice, values = random.Random(seed), dict[str, Any]()
    found, active = list[Operation](), list[list[Any]]()
    idle, now = [f"p{number}" for number in range(callers)], 0
    while len(found) < size:
        now += 1
        if idle and dice.random() < 0.5:
            lease = "" if kind == "register" else str(dice.randrange(10))
            op = dice.choice(("read", "write") if kind == "register" else ("get", "append", "append"))
            args = None if op in ("read", "get") else dice.randrange(100) if kind == "register" else f"x {now} y"
            active.append([Operation(idle.pop(), lease, op, args, None, now), False])
        elif active:
            entry = dice.choice(active)
            each, done = entry
            if not done:
                entry[:] = [_lives(each, values), True]
            elif dice.random() < lost:
                active.remove(entry)
                found.append(each._replace(result=None))
                idle.append(f"p{len(found) + callers}")
            else:
                active.remove(entry)
                found.append(each._replace(returned=now))
                idle.append(each.process)
    return [*found, *(entry[0]._replace(result=None) for entry in active)]


def _lives(each: Operation, values: dict[str, Any]) -> Operation:
    nothing = None if each.op in ("read", "write") else ""
    if each.op in ("read", "get"):
        return each._replace(result=values.get(each.lease, nothing))
    values[each.lease] = values.get(each.lease, "") + each.args if each.op == "append" else each.args
    return each


@pytest.mark.parametrize(("kind", "callers", "lost"), [("register", 20, 0.0), ("kv", 50, 0.02)])
def test_C1_thousands_of_operations_are_judged_in_seconds(kind: str, callers: int, lost: float) -> None:
    history = lived(7, 5000, callers, kind, lost)
    begun = time.monotonic()
    assert check(history, kind).linearizable
    reads = [index for index, o in enumerate(history) if o.op in ("read", "get") and not o.open and o.result]
    wrong = reads[len(reads) * 3 // 4]
    stale = 100 if kind == "register" else history[wrong].result[:-1]
    verdict = check([*history[:wrong], history[wrong]._replace(result=stale), *history[wrong + 1 :]], kind)
    assert verdict.linearizable is False
    assert "not linearizable" in str(verdict)
    assert time.monotonic() - begun < 60


def test_C1_a_search_that_takes_too_long_says_that_it_does_not_know() -> None:
    verdict = check(lived(3, 5000, 10, "register"), limit_s=0)
    assert verdict.answer == "unknown"
    assert "no order was found yet" in str(verdict)


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
