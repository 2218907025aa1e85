"""What a fleet under fire came upon, each made small."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from orxaq_mesh import Mesh
from orxaq_mesh.choosing import ANY_WORK
from orxaq_mesh.effects import Ask, Intent, Look, Pace, Tick
from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.config import resolve
from orxaq_mesh.home.place import Home
from orxaq_mesh.sync import performer
from orxaq_mesh.worker.attempt import Asked, Claim
from orxaq_mesh.worker.loop import Wanted, Worker
from orxaq_mesh.worker.own import Own
from tests.bench import Bench
from tests.fleet import Fleet
from tests.test_engine_work import any_work, asked, bench, finish, holder, told

ANY = {"lease": ANY_WORK, "session": "s", "ttl_ms": 9000, "authors": ["oak"], "commands": []}


def _filed(b: Bench) -> Intent:
    """elm has claimed `a`, on behalf of a process; gives its finish."""
    any_work(b, owner=True)
    return finish(b, told(b.committed())["w"], "f")


def test_C20_a_claim_whose_finish_waits_for_its_seal_is_not_handed_out_again() -> None:
    """mesh-sync was killed with the finish and the next claim journalled: the worker asked the next one for both."""
    b = bench([{"name": "a"}, {"name": "b"}])
    first = _filed(b)
    first = first._replace(wish={**first.wish, "once": "0a1b2c3d"})
    b.push_ready_ms = 60_000  # the push budget is used up: both wait
    b.feed(Ask(first, [Intent("next", "lease.acquire", ANY, True)]))
    b.restart()
    b.look()
    assert not told(b.feed(Ask(first._replace(id="f2"), [Intent("again", "lease.acquire", ANY, True)])))
    b.push_ready_ms = 0
    b.look()
    assert told(b.committed())["again"].facts["lease"] == "task:release/b"


def test_FENCE_a_claim_whose_finish_is_signed_is_not_renewed_any_more() -> None:
    b = bench([{"name": "a"}])
    first = _filed(b)
    b.push_ready_ms = 60_000  # the push budget is used up: the finish waits
    b.feed(Ask(first))
    b.ms += 4000
    b.feed(Tick(frozenset(hold.record for hold in b.holds)))
    b.push_ready_ms = 0
    assert [record.kind for record in asked(b.look())] == ["task.finish"]


def test_FENCE_a_grant_that_is_another_nodes_by_the_time_it_is_read_is_not_told() -> None:
    """The laptop slept between its push and the next reading of the hub."""
    b = bench([{"name": "a"}])
    any_work(b)
    b.land()
    taken = b.other("ash", "lease.take", lease="task:release/a", session="z", ttl_ms=9000, watched_ms=9000, until=99)
    b.others_seal("ash", taken)
    assert holder(b, "a") == "ash"
    assert not told(b.look())
    b.others_seal("ash", b.other("ash", "lease.release", lease="task:release/a", session="z"))
    b.look()
    assert told(b.committed())["w"].facts["attempt"] == 3


def test_C19_where_pushes_are_few_work_is_claimed_and_pushed_on_a_young_reading() -> None:
    """Else two pushes of five are lost: a finish makes every idle node claim at the same moment."""
    b = bench([{"name": "a"}, {"name": "b"}])
    b.engine.pace = Pace(5000, 400, push_gap_ms=10_000)
    b.ms += 2000
    assert [type(effect).__name__ for effect in any_work(b)] == ["Look"]
    assert [record.kind for record in asked(b.look())] == ["lease.acquire"]
    answer = told(b.committed())["w"]
    b.ms += 2000
    b.others_seal("ash", b.other("ash", "lease.acquire", lease="task:release/b", session="z", ttl_ms=9000, until=99))
    effects = b.feed(Ask(finish(b, answer, "f"), [Intent("next", "lease.acquire", ANY, True, None, b.ms)]))
    assert not asked(effects)
    assert type(effects[-1]) is Look
    assert [record.kind for record in asked(b.look())] == ["task.finish"]
    assert told(b.committed())["f"].result == "succeeded"


def test_LIVE_a_slot_that_dies_of_our_own_fault_ends_the_worker(tmp_path: Path) -> None:
    """Else what it holds would be renewed, and never done."""
    fleet = Fleet(tmp_path)
    fleet.found("oak")
    home = Home(fleet.home("oak"))
    settings = resolve(home, {"profile": "lan"})
    Mesh.open(str(home.path)).ask_all([("dag.submit", {"dag": "d", "tasks": [{"name": "a"}]})])

    class Broken(Worker):
        def _do(self, number: int, claim: Claim) -> Asked:
            raise TypeError("a fault of this program")

    worker, faults = Broken(home, settings, Wanted((), 2, ("oak",)), Own(), tmp_path, lambda *_: None), list[str]()

    def run() -> None:
        with pytest.raises(MeshFault) as raised:
            worker.run()
        faults.append(raised.value.what)

    thread = threading.Thread(target=run, daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _: None)
        thread.start()
        thread.join(30)
        worker.stop()
        thread.join(10)
    assert faults == ["a slot ended by a fault of this program"]


def test_CACHE_a_large_snapshot_is_not_written_at_every_step_and_always_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of 100,000 tasks takes a second, as often as anything happens."""
    fleet = Fleet(tmp_path)
    fleet.found("oak")
    home = Home(fleet.home("oak"))
    write = performer.atomic_write

    def slowly(path: Path, data: bytes) -> None:
        threading.Event().wait(0.02)
        write(path, data)

    monkeypatch.setattr(performer, "atomic_write", slowly)
    monkeypatch.setattr(performer, "KEEP_SHARE", 10_000)
    event = {"topic": "t", "type": "t", "payload": {}}
    with performer.Performer.open(home, resolve(home, {"profile": "lan"})) as oak:
        oak.pass_once()
        kept = []
        for number in range(2):
            oak.feed(Ask(Intent(str(number), "event.publish", event)))
            assert oak.told[str(number)].verdict == "applied"
            oak.keep()
            kept.append((home.cache / "snapshot.json").read_bytes())
    assert kept[0] == kept[1] != (home.cache / "snapshot.json").read_bytes()


def test_PUSH_what_came_of_it_is_told_before_the_hub_is_read_again(tmp_path: Path) -> None:
    """On a hub that takes its time each answer came a reading late."""
    fleet = Fleet(tmp_path)
    fleet.found("oak")
    home, order = Home(fleet.home("oak")), list[str]()
    with performer.Performer.open(home, resolve(home, {"profile": "lan"})) as oak:
        oak.pass_once()
        poll = oak.store.poll
        oak.store.poll = lambda: order.append("read") or poll()  # type: ignore[method-assign,func-returns-value]
        oak.telling = lambda: order.append("told")
        assert oak.engine.look_begun_ms is not None
        oak.engine.look_begun_ms -= 10_000  # a reading is due by now
        oak.feed(Ask(Intent("1", "event.publish", {"topic": "t", "type": "t", "payload": {}})))
    assert order == ["told", "read"]
