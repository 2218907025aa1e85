"""Work under random histories: what always holds, and that copies and snapshots of a state are that state."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import fold, kinds
from orxaq_mesh.kinds import Moment
from orxaq_mesh.kinds.work import STEPS, Item, is_work, work
from orxaq_mesh.record import Record
from tests.histories import DEEDS, Play, check, check_held

SMALL = st.integers(0, 23)
STEPS_OF_A_PLAY = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, len(DEEDS) - 1), SMALL, SMALL), min_size=20, max_size=70
)
Steps = list[tuple[int, int, int, int]]


def items_of(state: kinds.State) -> dict[str, tuple[str, Item]]:
    """Name -> (the record of its DAG, the item)."""
    part = work(state)
    return {item.name: (part.dags[item.dag].record if item.dag else "", item) for item in part.items.values()}


@given(STEPS_OF_A_PLAY)
def test_C20_C23_work_is_done_once_whatever_is_asked_for(steps: Steps) -> None:
    play, tokens, ended = Play(), dict[str, int](), Counter[tuple[str, int]]()
    for step in steps:
        before, was_open = items_of(play.state), work(play.state).breaker.since
        record, verdict = play.step(*step)
        check(play.state)
        check_held(play.state)
        after = items_of(play.state)
        for name, (dag, item) in before.items():
            if not STEPS[item.state] and after.get(name, ("", item))[0] == dag:
                assert after[name][1] == item  # what is done stays as it is
        name = record.body.get("lease", "")
        if record.kind in ("lease.acquire", "lease.take") and verdict.outcome == "applied" and is_work(name):
            assert not was_open
            assert tokens.get(name, 0) < after[name][1].token == play.epoch
            tokens[name] = play.epoch
        if record.kind in ("task.finish", "command.finish") and verdict.outcome == "applied":
            claim = record.body["under"]["lease"], record.body["under"]["token"]
            ended[claim] += 1
            assert before[claim[0]][1].state == "running"
            assert ended[claim] == 1
        if verdict.outcome != "applied":
            assert after == before


@given(STEPS_OF_A_PLAY, st.integers(0, 60))
def test_CACHE_a_copy_and_a_snapshot_judge_alike_and_change_nothing_of_each_other(steps: Steps, cut: int) -> None:
    play = Play()
    for step in steps[:cut]:
        play.step(*step)
    twin, known = play.copy(), fold.snapshot(play.state)
    assert fold.snapshot(twin.state) == known
    script: list[tuple[Record, bool]] = []
    verdicts = []
    for step in steps[cut:]:
        record, verdict = twin.step(*step)
        script.append((record, step[3] % 3 != 2))
        verdicts.append(verdict)
    assert fold.snapshot(play.state) == known
    restored = play.copy()
    restored.state = fold.restore(known)
    for other in (restored, play):
        assert [other.judge(*entry) for entry in script] == verdicts
        assert fold.snapshot(other.state) == fold.snapshot(twin.state)
    check(restored.state)


def test_the_histories_reach_what_they_are_about() -> None:
    """A property that nothing happens in proves nothing."""
    seen: Counter[tuple[str, str]] = Counter()
    for seed in range(60):
        dice, play = random.Random(seed), Play()
        for _ in range(120):
            record, verdict = play.step(*(dice.randrange(64) for _ in range(4)))
            seen[record.kind, verdict.result or verdict.rule] += 1
            seen[record.kind, verdict.rule] += 1
        check(play.state)
        assert kinds.judge(play.state, record, Moment(play.epoch + 1)) is not None
    wanted = {
        *(
            ("lease.acquire", word)
            for word in ("granted", "WORK-2", "TASK-2", "TASK-3", "TASK-4", "TASK-5", "BREAKER-1")
        ),
        *(
            ("lease.take", "granted"),
            ("lease.release", "released"),
            ("lease.break", "broken"),
            ("node.admit", "admitted"),
        ),
        *(("dag.submit", word) for word in ("submitted", "begun", "DAG-2", "DAG-3")),
        *(
            ("dag.part", "submitted"),
            ("dag.cancel", "cancelled"),
            ("task.receipt", "filed"),
            ("task.assign", "assigned"),
        ),
        *(("task.finish", word) for word in ("succeeded", "noop", "again", "failed", "TASK-7", "FENCE")),
        *(("task.retry", "retried"), ("task.skip", "skipped"), ("command.issue", "issued"), ("command.issue", "noop")),
        *(("command.finish", word) for word in ("applied", "noop", "refused", "failed")),
        *(("command.cancel", "cancelled"), ("breaker.open", "opened"), ("breaker.reset", "reset")),
        *(
            (kind, "REVIEW-1")
            for kind in ("lease.acquire", "command.issue", "task.skip", "dag.submit", "event.publish")
        ),
        *(("review.approve", "approved"), ("review.reject", "rejected"), ("lease.release", "withdrawn")),
    }
    assert wanted <= set(seen), wanted - set(seen)
