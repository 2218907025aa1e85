"""mesh-sync as real processes at real hubs: one a node, killed, stopped, cut off, stalled, lied to, and kept modest."""

from __future__ import annotations

import contextlib
import json
import os
import random
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh.effects import Looked
from orxaq_mesh.errors import MeshFault, Unreachable
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.keyfiles import load
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import ProcessId, alive, identify
from orxaq_mesh.inspect.checking import verify
from orxaq_mesh.kinds import KINDS
from orxaq_mesh.store import Change
from orxaq_mesh.store.git import MAX_SIFTED, GitStore
from orxaq_mesh.store.memory import MemoryHub, MemoryStore
from orxaq_mesh.sync.daemon import Daemon, _Caller
from orxaq_mesh.sync.identity import identity_of, memory_of
from orxaq_mesh.sync.performer import Performer
from tests.daemons import DEADLINE_S, MeshSync, Sleeper, mesh_command, node, small_fleet
from tests.hubs import Hub, file_hub, ssh_hub, wait_until

TTL_MS = 1200


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with file_hub(tmp_path) as made:
        yield made


@pytest.fixture
def fleet(tmp_path: Path, hub: Hub) -> dict[str, Path]:
    return small_fleet(tmp_path, hub)


def signed(home: Path) -> list[str]:
    return [record.id for record in memory_of(Journal.open(home / "journal.ndjson")).records]


def lease(home: Path, name: str = "deploy") -> dict[str, Any]:
    node(home).sync()
    return next(held for held in node(home).status(offline=True)["leases"] if held["name"] == name)


def nothing_lost(fleet: dict[str, Path]) -> None:
    """What was signed is sealed exactly once, the ledger is sound, and all nodes are of one mind."""
    for home in (*fleet.values(), *fleet.values()):
        node(home).sync()
    states = {node(home).status(offline=True)["state"] for home in fleet.values()}
    assert len(states) == 1
    first = node(next(iter(fleet.values())))
    report = verify(first, every_signature=True)
    assert report.ok, report.findings
    sealed = Counter(item.record.id for item in first.history().judged)
    assert {sealed[record] for home in fleet.values() for record in signed(home)} == {1}


# One instance a node, its end and its return.


def test_C17_a_second_mesh_sync_names_the_first_and_exits_1(fleet: dict[str, Path]) -> None:
    with MeshSync(fleet["oak"]) as first:
        second = subprocess.run(
            [
                sys.executable,
                "-c",
                "from orxaq_mesh.cli import sync_main; sync_main()",
                "--json",
                "--home",
                str(fleet["oak"]),
            ],
            capture_output=True,
            check=False,
            timeout=DEADLINE_S,
        )
        error = json.loads(second.stderr)["error"]
        assert second.returncode == 1
        assert error["holder"]["pid"] == first.process.pid
        assert f"kill {first.process.pid}" in error["hint"]
        assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"
        assert first.events("sealed", kind="event.publish")


def test_C28_SIGTERM_ends_mesh_sync_cleanly(fleet: dict[str, Path]) -> None:
    with MeshSync(fleet["oak"]) as sync:
        assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"
        assert sync.stop() == 0
        assert sync.events("stopped", why="SIGTERM")
    assert not (fleet["oak"] / "sync.sock").exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(sync.process.pid, 0)  # no git of its own is left
    assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"


def test_C28_killed_again_and_again_the_chain_goes_on(fleet: dict[str, Path]) -> None:
    outcomes: list[str] = []

    def publish_until(done: threading.Event) -> None:
        while not done.is_set():
            try:
                outcomes.append(node(fleet["oak"]).publish("t", "y", {"n": len(outcomes)}).verdict)
            except MeshFault as error:
                outcomes.append(error.code)

    for number in range(3):
        with MeshSync(fleet["oak"]) as sync:
            done = threading.Event()
            caller = threading.Thread(target=publish_until, args=[done])
            caller.start()
            sync.wait_for("sealed", kind="event.publish", count=2 + number)
            sync.signal(signal.SIGKILL)
            done.set()
            caller.join(DEADLINE_S)
            assert not caller.is_alive()
    assert outcomes.count("applied") >= 3
    nothing_lost(fleet)


# Between commands and mesh-sync.


def test_an_intent_is_handed_over_and_answered(fleet: dict[str, Path]) -> None:
    with MeshSync(fleet["oak"]) as sync:
        done = mesh_command(fleet["oak"], "lease", "acquire", "deploy", "--ttl", "10m")
        told = json.loads(done.stdout)["data"]
        assert (done.returncode, told["holder"]) == (0, "oak")
        assert sync.wait_for("sealed", kind="lease.acquire")["epoch"] == told["token"]
        refused = mesh_command(fleet["oak"], "lease", "acquire", "deploy", session="another")
        no = json.loads(refused.stderr)["error"]
        assert (refused.returncode, no["rule"], no["holder"]) == (3, "LEASE-2", "oak")


def test_UNTIL_a_caller_that_hangs_up_is_withdrawn(fleet: dict[str, Path]) -> None:
    assert node(fleet["oak"]).acquire("deploy", 600_000).result == "granted"
    with MeshSync(fleet["elm"]) as sync:
        code = "import sys; from orxaq_mesh import Mesh; Mesh.open(sys.argv[1]).acquire('deploy', 60000, wait=True)"
        waiting = subprocess.Popen([sys.executable, "-c", code, str(fleet["elm"])])
        sync.wait_for("sealed", result="queued")
        assert [place["node"] for place in lease(fleet["oak"])["queue"]] == ["elm"]
        waiting.kill()
        waiting.wait()
        sync.wait_for("sealed", kind="lease.release", result="withdrawn")
        assert lease(fleet["oak"])["queue"] == []


# Whatever is written to the socket.


@contextlib.contextmanager
def desk(home: Path) -> Iterator[tuple[Daemon, Performer, socket.socket]]:
    """The parts of a mesh-sync in this process, at a hub in memory, and a caller's end of a connection to it."""
    place, settings, hub = Home(home), node(home).settings, MemoryHub()
    store = MemoryStore(hub)
    with Performer.open(place, settings) as real:
        real.observe()
        assert real.engine.trunk
        found = real.store.changes(None, real.engine.trunk)
        files = {item.path: item.new for item in found if isinstance(item, Change)}
    store.push("mesh", None, store.commit(None, files, [], "mesh: as it was", 1))
    journal = Journal.open(place.journal)
    secret = load(place.path / identity_of(journal).key)
    ours, theirs = socket.socketpair()
    daemon = Daemon(place, settings, lambda event, facts: None)
    ours.setblocking(False)
    daemon._callers[1] = _Caller(ours, bytearray())
    daemon._selector.register(ours, selectors.EVENT_READ, 1)
    theirs.settimeout(DEADLINE_S)
    with Performer(place, settings, journal, store, secret) as performer:
        performer.tick()
        yield daemon, performer, theirs
    theirs.close()
    daemon._hang_up()


def intent(**fields: Any) -> dict[str, Any]:
    wish = {"lease": "deploy", "session": "s", "ttl_ms": 60_000}
    rest = {"wait": False, "owner": None, "asked_ms": 0, "deadline_ms": None}
    return {"id": "a", "kind": "lease.acquire", "wish": wish, **rest, **fields}


BAD_REQUESTS = [
    b"",
    b"[]",
    b"\xff",
    b"null",
    b"[" * 1000 + b"]" * 1000,
    b'{"op":[]}',
    b'{"op":"ask"}',
    b'{"op":"ask","intents":[]}',
    b'{"op":"ask","intents":{}}',
    b'{"op":"ask","intents":[{"id":"a","kind":"lease.acquire","wish":[]}]}',
    json.dumps({"op": "ask", "intents": [intent(), intent()]}).encode(),
    b'{"op":"belief","lease":["x"],"session":"s"}',
    b'{"op":"belief","lease":"x"}',
    *(
        json.dumps({"op": "ask", "intents": [intent(**fields)]}).encode()
        for fields in (
            {"id": 1},
            {"kind": None},
            {"wish": []},
            {"wish": {"lease": ["deploy"], "session": "s"}},
            {"wish": {"lease": "deploy", "session": {}}},
            {"wish": {"lease": "deploy", "session": "s", "under": 1}},
            {"wish": {"lease": "deploy", "session": "s", "once": []}},
            {"wait": 1},
            {"owner": [1]},
            {"owner": [True, "", ""]},
            {"owner": ["1", "2", "3"]},
            {"owner": [1, "2", "3", "4"]},
            {"asked_ms": 1.5},
            {"deadline_ms": "x"},
            {"deadline_ms": False},
            {"more": 1},
        )
    ),
]


def test_a_malformed_request_is_answered_with_an_error_and_nothing_is_signed(fleet: dict[str, Path]) -> None:
    before = signed(fleet["oak"])
    with desk(fleet["oak"]) as (daemon, performer, caller), caller.makefile("rb") as answers:
        for line in BAD_REQUESTS:
            caller.sendall(line + b"\n")
            daemon._hear(performer, 1)
            error = json.loads(answers.readline())["answer"]["error"]
            assert error["what"].startswith("not a request: "), line
            performer.tick()
        caller.sendall(json.dumps({"op": "ask", "intents": [intent()]}).encode() + b"\n")
        daemon._hear(performer, 1)
        assert json.loads(answers.readline())["answer"]["result"] == "granted"
    assert len(signed(fleet["oak"])) == len(before) + 1


def _some_value(dice: random.Random, depth: int = 0) -> Any:
    plain = [None, True, 0, -1, 7, 2**53, 2**60, 1.5, "", "x", "s", "deploy", "elm", "\u00e9", "\x1b[31m", "a" * 200]
    if depth > 3 or dice.random() < 0.7:
        return dice.choice(plain)
    if dice.random() < 0.5:
        return [_some_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    return {dice.choice(WISH_WORDS): _some_value(dice, depth + 1) for _ in range(dice.randrange(4))}


WISH_WORDS = (
    "lease session ttl_ms until once under token record queue name log key roles reason topic type payload watched_ms"
    " number rules recovery seq a b proof quorum max_ttl_ms lapse_ms"
).split()


def _some_request(dice: random.Random, number: int) -> bytes:
    wish = {} if dice.random() < 0.5 else {"lease": "deploy", "session": "s", "ttl_ms": 60_000}
    wish |= {dice.choice(WISH_WORDS): _some_value(dice) for _ in range(dice.randrange(4))}
    fields = intent(id=f"i{number}", kind=dice.choice([*KINDS, "x"]), wish=wish, wait=dice.random() < 0.3)
    if dice.random() < 0.2:
        fields[dice.choice(list(fields))] = _some_value(dice)
    line = json.dumps({"op": "ask", "intents": [fields]}).encode()
    if dice.random() < 0.1:
        at = dice.randrange(len(line))
        line = line[:at] + dice.randbytes(3).replace(b"\n", b"") + line[at + 1 :]
    return line


@pytest.mark.parametrize("seed", range(2))
def test_mesh_sync_survives_whatever_is_written_to_its_socket(seed: int, fleet: dict[str, Path]) -> None:
    dice = random.Random(seed)
    with desk(fleet["oak"]) as (daemon, performer, caller):
        for number in range(300):
            line = _some_request(dice, number)
            caller.sendall(line + b"\n")
            daemon._hear(performer, 1)
            performer.tick()
            daemon._deliver(performer)
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.recv(1 << 20)
            caller.settimeout(DEADLINE_S)
        daemon._drop(performer, 1)
        performer.tick()
        assert performer.engine.intents == {}
    with Performer.open(Home(fleet["oak"]), node(fleet["oak"]).settings):
        pass


def test_C28_a_hold_whose_owner_is_no_process_is_read_as_nobodys(fleet: dict[str, Path]) -> None:
    journal = Journal.open(fleet["oak"] / "journal.ndjson")
    hold = {"is": "hold", "lease": "deploy", "session": "s", "record": "0" * 64}
    for number, owner in enumerate(([1], ["x", "y", "z"], {}, [2**40, "", ""], "abc")):
        journal.append({**hold, "record": str(number) * 64, "owner": owner})
    assert {hold.owner for hold in memory_of(Journal.open(fleet["oak"] / "journal.ndjson")).holds} == {None}
    assert mesh_command(fleet["oak"], "sync").returncode == 0


# Leases live as long as who asked for them.


def test_C4_renewed_at_a_third_of_its_ttl_and_free_after_its_owner_died(fleet: dict[str, Path]) -> None:
    with MeshSync(fleet["oak"]) as oak, MeshSync(fleet["elm"]) as elm, Sleeper() as owner:
        granted = node(fleet["oak"]).acquire("deploy", TTL_MS, owner=owner.id)
        assert granted.result == "granted"
        elm.wait_for("sealed", count=3, kind="lease.renew", outcome="applied")
        queued = node(fleet["elm"]).acquire("deploy", TTL_MS, queue=True)
        assert queued.result == "queued"
        elm.wait_for("sealed", count=5, kind="lease.renew")
        assert lease(fleet["elm"])["token"] == granted.facts["token"]
        owner.kill()
        taken = elm.wait_for("sealed", kind="lease.take", outcome="applied")
        held = lease(fleet["oak"])
        assert (held["holder"], held["token"]) == ("elm", taken["epoch"])
        assert held["token"] > granted.facts["token"]
        assert oak.process.poll() is None


def test_C9_a_holder_stopped_past_its_ttl_wakes_and_is_fenced(fleet: dict[str, Path]) -> None:
    with MeshSync(fleet["oak"]) as oak, MeshSync(fleet["elm"]) as elm, Sleeper(oak.process.pid) as owner:
        old = node(fleet["oak"]).acquire("deploy", TTL_MS, owner=owner.id)
        elm.wait_for("sealed", kind="lease.renew")
        oak.signal(signal.SIGSTOP)  # mesh-sync, its gits and the owner
        new = node(fleet["elm"]).take("deploy", 600_000, wait=True, timeout_ms=DEADLINE_S * 1000)
        assert new.result == "granted"
        assert new.facts["token"] > old.facts["token"]
        oak.signal(signal.SIGCONT)
        late = node(fleet["oak"]).publish("prod", "wrote", {"v": 1}, under="deploy", token=old.facts["token"])
        assert (late.verdict, late.rule) == ("fenced", "FENCE")
        wrote = node(fleet["elm"]).publish("prod", "wrote", {"v": 2}, under="deploy", token=new.facts["token"])
        assert wrote.verdict == "applied"
    nothing_lost(fleet)
    for home in fleet.values():
        verdicts = {item.record.id: item.verdict.outcome for item in node(home).history().judged}
        assert (verdicts[late.record], verdicts[wrote.record]) == ("fenced", "applied")


# A command that is ended.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_PUSH_a_command_ended_while_git_runs_leaves_no_git_and_no_hook_behind(
    number: signal.Signals, fleet: dict[str, Path], hub: Hub
) -> None:
    pids = hub.path / "pids"
    hub.hook("pre-receive", f"echo $$ $PPID >> {pids}; exec sleep 600")
    before, started = signed(fleet["oak"]), list[ProcessId | None]()
    argv = [sys.executable, "-m", "orxaq_mesh", "publish", "t", "y", "--home", str(fleet["oak"])]
    command = subprocess.Popen(argv, env={**os.environ, "MESH_PROFILE": "lan"})
    try:
        wait_until(lambda: pids.exists() and pids.read_text().endswith("\n"), DEADLINE_S)
        started = [identify(int(pid)) for pid in pids.read_text().split()]
        assert None not in started
        command.send_signal(number)
        assert command.wait(DEADLINE_S) == 128 + number
        wait_until(lambda: not any(alive(process) for process in started if process), DEADLINE_S)
    finally:
        command.kill()
        command.wait()
        for process in started:
            if process and alive(process):
                os.kill(process.pid, signal.SIGKILL)
    assert len(signed(fleet["oak"])) == len(before) + 1
    (hub.path / "hooks" / "pre-receive").unlink()
    nothing_lost(fleet)  # what was signed goes out with the next pass


# Outboxes that cannot be had.


def _plant_bad_outboxes(hub: Hub, count: int) -> None:
    """Branches as a stranger pushes them with plain git: their tree has an entry called `.git`."""
    inner = hub.git("mktree")
    raw = b"40000 .git\0" + bytes.fromhex(inner)
    root = hub.git("hash-object", "-t", "tree", "--literally", "-w", "--stdin", feed=raw)
    bad = hub.git("commit-tree", "-m", "bad", root)
    for number in range(count):
        hub.git("update-ref", f"refs/heads/mesh-node/bad-{number:08x}", bad)


def _fetches(performer: Performer, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The branches of each `git fetch` from here on."""
    asked: list[list[str]] = []
    store = performer.store
    assert isinstance(store, GitStore)
    once = store._fetch
    monkeypatch.setattr(store, "_fetch", lambda wanted: asked.append(sorted(wanted)) or once(wanted))
    return asked


def test_B7_LIVE_a_refused_outbox_is_not_fetched_again_until_it_moves(
    fleet: dict[str, Path], hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    _plant_bad_outboxes(hub, 12)
    settings = node(fleet["elm"]).settings
    home = Home(fleet["elm"])
    for _ in range(3):
        assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"
        with Performer.open(home, settings) as performer:
            asked = _fetches(performer, monkeypatch)
            performer.observe()
            assert performer.unreached is None
            assert performer.engine.trunk == hub.tip()  # read in the same pass, whatever strangers planted
            assert len(asked) <= 2 + MAX_SIFTED
    assert asked == [["mesh"]]
    hub.git("update-ref", "refs/heads/mesh-node/bad-00000000", hub.git("commit-tree", "-m", "x", hub.git("mktree")))
    with Performer.open(home, settings) as performer:
        asked = _fetches(performer, monkeypatch)
        performer.observe()
    assert asked == [["mesh-node/bad-00000000"]]


def test_LIVE_an_outbox_whose_objects_the_hub_lacks_stops_nobody(fleet: dict[str, Path], hub: Hub) -> None:
    assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"
    outboxes = hub.path / "refs" / "heads" / "mesh-node"
    outboxes.mkdir(exist_ok=True)
    (outboxes / "bad-00000000").write_text("1" * 40 + "\n")
    (outboxes / memory_log(fleet["oak"])).write_text("2" * 40 + "\n")
    done = mesh_command(fleet["elm"], "sync")
    assert done.returncode == 0, done.stderr
    events = [item.record.kind for item in node(fleet["elm"]).history().judged]
    assert events[-1] == "event.publish"


def memory_log(home: Path) -> str:
    return identity_of(Journal.open(home / "journal.ndjson")).log


# A hub that goes, stalls, lies.


def test_CLOSED_a_hub_goes_away_and_comes_back(fleet: dict[str, Path], hub: Hub) -> None:
    away = hub.path.with_name("away")
    with MeshSync(fleet["oak"]) as sync:
        before = signed(fleet["oak"])
        hub.path.rename(away)
        sync.wait_for("unreachable")
        with pytest.raises(Unreachable, match="nothing was signed"):
            node(fleet["oak"]).acquire("deploy", 60_000)
        assert signed(fleet["oak"]) == before
        with pytest.raises(Unreachable, match="goes out when the hub answers"):
            node(fleet["oak"]).publish("t", "offline", {})
        assert len(signed(fleet["oak"])) == len(before) + 1
        away.rename(hub.path)
        sync.wait_for("sealed", kind="event.publish", outcome="applied")
        assert node(fleet["oak"]).acquire("deploy", 60_000).result == "granted"
    nothing_lost(fleet)


@pytest.mark.parametrize("hook", ["pre-receive", "post-receive"])
def test_PUSH_a_hub_that_stalls_is_given_up_and_asked_again(hook: str, fleet: dict[str, Path], hub: Hub) -> None:
    stall = f"echo $$ >> {hub.path}/pids; mv {hub.path}/armed {hub.path}/stalled 2>/dev/null || exit 0; exec sleep 600"
    hub.hook(hook, stall)
    (hub.path / "armed").touch()
    try:
        with MeshSync(fleet["oak"], timeout_ms=700) as sync:
            told = node(fleet["oak"]).publish("t", "y", {})
            assert told.verdict == "applied"
            assert (hub.path / "stalled").exists()
            assert len(sync.events("sealed", kind="event.publish")) == 1
        nothing_lost(fleet)
    finally:
        for pid in (hub.path / "pids").read_text().split():
            if Path(f"/proc/{pid}/comm").exists() and Path(f"/proc/{pid}/comm").read_text() == "sleep\n":
                os.kill(int(pid), signal.SIGKILL)


def test_SEEN_a_hub_that_rewinds_raises_the_alarm_and_nothing_is_signed(fleet: dict[str, Path], hub: Hub) -> None:
    with MeshSync(fleet["oak"]) as sync:
        assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"
        tip, before = hub.tip(), signed(fleet["oak"])
        hub.git("update-ref", "refs/heads/mesh", f"{tip}~1")
        sync.wait_for("alarm", law="SEEN")
        done = mesh_command(fleet["oak"], "lease", "acquire", "deploy")
        assert done.returncode == 6
        assert json.loads(done.stderr)["error"]["code"] == "invalid"
        status = mesh_command(fleet["oak"], "status")
        assert next(alarm["law"] for alarm in json.loads(status.stdout)["data"]["alarms"]) == "SEEN"
        assert sync.stop() == 0
        assert mesh_command(fleet["oak"], "publish", "t", "y").returncode == 6  # and without mesh-sync
        assert signed(fleet["oak"]) == before
        assert hub.tip() == hub.git("rev-parse", f"{tip}~1")
    hub.git("update-ref", "refs/heads/mesh", str(tip))
    assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"


def test_C16_a_hub_over_ssh_and_its_kept_connection_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ssh_hub(tmp_path) as hub:
        for name, value in hub.variables.items():
            monkeypatch.setenv(name, value)
        fleet = small_fleet(tmp_path, hub)
        with MeshSync(fleet["oak"]) as sync:
            for _ in range(2):
                assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"
                shutil.rmtree(fleet["oak"] / "ssh")
            assert sync.stop() == 0
        assert len(signed(fleet["oak"])) == 4


# Law CACHE, trap C19.


def test_C16_cache_and_store_may_be_deleted_between_any_two_operations(fleet: dict[str, Path]) -> None:
    def forget() -> None:
        for home in fleet.values():
            shutil.rmtree(home / "cache", ignore_errors=True)
            shutil.rmtree(home / "store.git", ignore_errors=True)

    oak, elm = node(fleet["oak"]), node(fleet["elm"])
    told = []
    for act in (
        lambda: oak.acquire("deploy", 60_000),
        lambda: elm.acquire("deploy", 60_000, queue=True),
        lambda: oak.renew("deploy"),
        lambda: oak.release("deploy"),
        lambda: elm.publish("t", "y", {}, under="deploy"),
        lambda: elm.release("deploy"),
    ):
        forget()
        told.append(act().result)
    assert told == ["granted", "queued", "renewed", "released", "published", "released"]
    forget()
    nothing_lost(fleet)


def test_C16_cache_and_store_are_deleted_under_a_running_mesh_sync(fleet: dict[str, Path]) -> None:
    with MeshSync(fleet["oak"]) as sync:
        for name in ("cache", "store.git", "cache", "store.git"):
            with NodeLock(Home(fleet["oak"]), "node"):  # between two operations of mesh-sync, not in the middle of one
                shutil.rmtree(fleet["oak"] / name)
            assert node(fleet["oak"]).publish("t", "y", {}).verdict == "applied"
            assert node(fleet["elm"]).publish("t", "y", {}).verdict == "applied"
        sync.wait_for("sealed", count=8, kind="event.publish")
        assert sync.stop() == 0
    nothing_lost(fleet)


def test_C16_the_store_may_be_deleted_before_a_tip_is_read_from_further_back(fleet: dict[str, Path]) -> None:
    node(fleet["elm"]).publish("t", "y", {})
    with Performer.open(Home(fleet["oak"]), node(fleet["oak"]).settings) as performer:
        performer.observe()
        shutil.rmtree(fleet["oak"] / "store.git")
        looked = performer._look(0)
        assert isinstance(looked, Looked)
        assert (looked.unreadable, len(looked.changes) > 0) == ((), True)


def test_C19_a_busy_mesh_sync_keeps_to_its_push_budget(fleet: dict[str, Path], hub: Hub) -> None:
    """Two tokens a second and a burst of six, for some seconds of six callers that never stop: as github, but quicker."""
    per_minute, burst, callers = 120, 6, 6
    hub.hook("pre-receive", f"echo push >> {hub.path}/pushes")
    results: list[str] = []
    began = time.monotonic()

    def call(number: int) -> None:
        results.extend(node(fleet["oak"], f"s{number}").publish("t", "y", {"n": n}).verdict for n in range(3))

    with MeshSync(fleet["oak"], profile="github", push_per_minute=per_minute) as sync:
        for _ in range(burst):
            call(0)
            if len((hub.path / "pushes").read_text().split()) >= burst:
                break
        threads = [threading.Thread(target=call, args=[number]) for number in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_S)
        elapsed_s = time.monotonic() - began
        assert sync.process.poll() is None
    pushes = len((hub.path / "pushes").read_text().split())
    assert len(results) >= burst + 3 * callers
    assert set(results) == {"applied"}
    assert burst < pushes <= burst + elapsed_s * per_minute / 60 + 1
    assert pushes < len(results)  # what waits goes out together
