"""Properties of reading and folding, for any play of a fleet (SET, PREFIX, EPOCH, FENCE, CACHE)."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import fold
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import Record
from orxaq_mesh.store import Change
from tests.builder import Pen, Trunk
from tests.histories import Wishes

NAMES = ("oak", "elm", "ash")
OF_WORK = ("submit", "submit", "claim", "claim", "finish", "finish", "cancel", "skip", "retry", "issue", "offer")
DEEDS = ("acquire", "queue", "renew", "release", "take", "break", "event", "odd", "revoke", "stale", *OF_WORK)
Step = tuple[int, str, int]
PLAYS = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(DEEDS), st.integers(0, 1)), min_size=1, max_size=5),
    min_size=1,
    max_size=9,
)


class Play(NamedTuple):
    """A trunk, and its tree after every epoch."""

    trunk: Trunk
    trees: list[dict[str, bytes]]


def perform(epochs: list[list[Step]]) -> Play:
    trunk = Trunk.founded()
    for name in NAMES[1:]:
        trunk.admit(name)
    trees = [dict(trunk.files)]
    for steps in epochs:
        records = [deed(trunk, trunk.pens[NAMES[who]], what, which) for who, what, which in steps]
        trunk.seal(*records)
        trees.append(dict(trunk.files))
    return Play(trunk, trees)


def deed(trunk: Trunk, pen: Pen, what: str, which: int) -> Record:
    held = leases(trunk.ledger.state).by_name.get("deploy")
    token, last, grant = (held.token or 1, held.last, held.record) if held else (1, "", "")
    named: dict[str, Any] = {"lease": "deploy", "session": f"s{which}"}
    asks = {**named, "ttl_ms": 9000, "until": trunk.ledger.state.epoch + 1 + which}
    nothing = "0" * 64
    match what:
        case "acquire":
            return pen.write("lease.acquire", **asks)
        case "queue":
            return pen.write("lease.acquire", **asks, queue=True, priority=which)
        case "renew":
            return pen.write("lease.renew", **named, token=token)
        case "release":
            return pen.write("lease.release", **named, token=token, record=grant or nothing)
        case "take":
            return pen.write("lease.take", **asks, token=token, last=last or nothing, watched_ms=9000 - which)
        case "break":
            return pen.write("lease.break", lease="deploy", token=token, reason="x")
        case _ if what in OF_WORK:
            kind, body = Wishes(trunk.ledger.state, {}).of(what, which, trunk.ledger.state.epoch)
            return pen.write(kind, **body)
        case "odd":
            return pen.write("lease.lend", **named)
        case "revoke":
            return pen.write("node.revoke", log=trunk.pens["ash"].log if which else pen.log, reason="x")
        case _:
            under = {**named, "token": token if what == "event" else token - 1 or 1}
            return pen.write("event.publish", topic="t", type="x", payload={}, under=under, once=f"k{which}")


def changes(old: dict[str, bytes], new: dict[str, bytes]) -> list[Change]:
    return [Change(path, old.get(path), data) for path, data in new.items() if old.get(path) != data]


def sealable(epochs: list[list[Step]]) -> list[list[Step]]:
    """A revoked node's later records could not be sealed at all (SEAL): let ash say nothing once it is gone."""
    kept, gone = [], False
    for steps in epochs:
        left = [(0 if gone and who == 2 else who, what, which) for who, what, which in steps]
        left = [(who, "event" if what == "revoke" and who != 0 else what, which) for who, what, which in left]
        gone = gone or any(what == "revoke" and which for _, what, which in left)
        kept.append(left)
    return kept


@given(PLAYS, st.data())
def test_SET_any_grouping_order_and_repetition_of_reading_gives_one_state(
    epochs: list[list[Step]], data: st.DataObject
) -> None:
    trunk, trees = perform(sealable(epochs))
    whole = fold.snapshot(trunk.ledger.state)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(trees) - 1)), "cuts") | {len(trees) - 1})
    ledger, old = Ledger(trunk.ledger.id), {}
    for cut in cuts:
        parts = data.draw(st.permutations(changes(old, trees[cut])), "order")
        assert ledger.read(parts).findings == []
        assert ledger.read([]).judged == []
        old = trees[cut]
    assert ledger.read([Change(path, None, data) for path, data in old.items()]).judged == []
    assert fold.snapshot(ledger.state) == whole


@given(PLAYS, st.data())
def test_CACHE_fold_of_snapshot_and_rest_is_fold_of_all(epochs: list[list[Step]], data: st.DataObject) -> None:
    trunk, trees = perform(sealable(epochs))
    cut = data.draw(st.integers(0, len(trees) - 1), "cut")
    first = Ledger(trunk.ledger.id)
    first.read(changes({}, trees[cut]))
    rest = Ledger(trunk.ledger.id, fold.restore(fold.snapshot(first.state)))
    assert rest.read(changes(trees[cut], trees[-1])).findings == []
    assert fold.snapshot(rest.state) == fold.snapshot(trunk.ledger.state)


@given(PLAYS)
def test_PREFIX_verdicts_of_a_closed_epoch_never_change(epochs: list[list[Step]]) -> None:
    trunk, trees = perform(sealable(epochs))
    known: dict[str, Any] = {}
    for tree in trees:
        reading = Ledger(trunk.ledger.id).read(changes({}, tree))
        verdicts = {item.record.id: item.verdict for item in reading.judged}
        assert {id_: verdicts[id_] for id_ in known} == known
        known = verdicts


@given(PLAYS)
def test_FENCE_tokens_grow_and_each_has_one_holder(epochs: list[list[Step]]) -> None:
    trunk, trees = perform(sealable(epochs))
    holders: dict[int, tuple[str, str]] = {}
    top, ledger, old = 0, Ledger(trunk.ledger.id), dict[str, bytes]()
    for tree in trees:
        ledger.read(changes(old, tree))
        old = tree
        if (held := leases(ledger.state).by_name.get("deploy")) is None:
            continue
        assert held.token >= top
        top = held.token
        if held.holder:
            assert holders.setdefault(held.token, (held.holder, held.session)) == (held.holder, held.session)
            assert held.token <= ledger.state.epoch
            assert (held.holder, held.session) not in {(w.node, w.session) for w in held.queue}
        assert [w.rank for w in held.queue] == sorted(w.rank for w in held.queue)
        assert len({(w.node, w.session) for w in held.queue}) == len(held.queue)
