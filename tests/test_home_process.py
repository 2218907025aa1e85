"""Clocks, processes, sessions and locks (laws TIME, FENCE; traps C17, C29, B12)."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orxaq_mesh.errors import FAULT, MeshFault, Usage
from orxaq_mesh.home import process
from orxaq_mesh.home.clock import Clock, boot_id, stamp
from orxaq_mesh.home.locks import Holder, NodeLock, holder
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import ProcessId, alive, identify, session, starter, undisturbed

SAY = "from orxaq_mesh.home.process import *; import json, os; print(json.dumps([starter().pid, os.getpid()]))"


def until(true: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stamp_is_utc_to_the_millisecond() -> None:
    assert stamp(0) == "1970-01-01T00:00:00.000Z"
    assert stamp(1_795_167_000_007) == "2026-11-20T09:30:00.007Z"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp(Clock().wall()))


def test_TIME_the_clock_is_the_one_that_counts_sleep() -> None:
    before = Clock().now_ms()
    uptime_ms = float(Path("/proc/uptime").read_text().split()[0]) * 1000
    assert before - 20 <= uptime_ms <= Clock().now_ms() + 20
    assert boot_id() == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_system_without_a_boot_id_names_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orxaq_mesh.home.clock._BOOT_ID", Path("/nowhere"))
    assert re.fullmatch(r"boot-\d+", boot_id.__wrapped__())


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as child:
        try:
            yield child
        finally:
            child.kill()


def test_a_process_lives_until_it_is_dead_and_a_zombie_is_dead() -> None:
    with sleeper() as child:
        who = identify(child.pid)
        assert who is not None
        assert alive(who)
        child.send_signal(signal.SIGSTOP)
        assert alive(who), "stopped is not dead"
        child.kill()
        until(lambda: not alive(who))  # not waited for: a zombie
        assert identify(child.pid) is None
        assert Path(f"/proc/{child.pid}").exists()
    assert not alive(who)


def test_a_reused_pid_or_another_boot_is_another_process() -> None:
    me = identify(os.getpid())
    assert me is not None
    assert alive(me)
    assert not alive(me._replace(start=str(int(me.start) - 1)))
    assert not alive(me._replace(boot="another"))
    assert identify(0) is None
    assert identify(2**22 + 1) is None


def test_ps_tells_the_same_story_as_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    proc = process._look(os.getpid())
    monkeypatch.setattr(process, "_PROC", Path("/nowhere"))
    by_ps = process._look(os.getpid())
    assert proc
    assert by_ps
    assert by_ps.parent == proc.parent
    assert " ".join(by_ps.argv) == " ".join(" ".join(proc.argv).split())
    assert re.fullmatch(r"\w{3} \w{3} \d+ \d\d:\d\d:\d\d \d{4}", by_ps.id.start)
    assert alive(by_ps.id)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert alive(by_ps.id)
    with sleeper() as child:
        who = identify(child.pid)
        assert who is not None
        child.kill()
        until(lambda: not alive(who))


def test_a_name_with_spaces_and_parentheses_is_read(tmp_path: Path) -> None:
    odd = tmp_path / "a) Z (b"
    odd.symlink_to("/bin/sleep")
    with subprocess.Popen([odd, "60"]) as child:
        until(lambda: (seen := process._look(child.pid)) is not None and seen.name == "a) Z (b")
        seen = process._look(child.pid)
        assert seen
        assert seen.parent == os.getpid()
        assert re.fullmatch(r"a-z-b-[0-9a-f]{8}", session({}, None, seen.id))
        child.kill()


@pytest.mark.parametrize(
    "words",
    [
        ["sh", "-c", "{} ; true"],
        ["bash", "-lc", "{} ; true"],
        ["bash", "-e", "-o", "pipefail", "-c", "{} ; true"],
        ["timeout", "20", "sh", "-c", "{} ; true"],
        ["env", "A=1", "nohup", "timeout", "20", "sh", "-ec", "sh -c '{} ; true'; true"],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_FENCE_the_starter_is_found_behind_shells_and_wrappers(words: list[str], tmp_path: Path) -> None:
    said = tmp_path / "say.py"
    said.write_text(SAY)
    argv = [word.format(f"{sys.executable} {said}") for word in words]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30)
    found, own = json.loads(done.stdout)
    assert found == os.getpid() != own


def test_FENCE_a_script_is_a_starter_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "say.py").write_text(SAY)
    script = tmp_path / "job.sh"
    script.write_text(f"echo $$\n{sys.executable} {tmp_path}/say.py\n{sys.executable} {tmp_path}/say.py\ntrue\n")
    done = subprocess.run(["sh", script], check=True, capture_output=True, text=True)
    shell, *said = done.stdout.split("\n")[:-1]
    assert [json.loads(line)[0] for line in said] == [int(shell)] * 2


def test_FENCE_an_orphan_does_not_borrow_the_life_of_init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parent = process._look(os.getppid())
    assert parent
    monkeypatch.setattr(process, "_INITS", frozenset({parent.name}))
    assert starter() == identify(os.getpid())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-c", "x"), True),
        (("-lc", "x"), True),
        (("-o", "pipefail", "-c", "x"), True),
        (("-eo", "pipefail", "-c", "x"), True),
        (("-o", "pipefail", "deploy.sh"), False),
        (("+x", "-c", "x"), True),
        (("--norc", "-c", "x"), True),
        (("--command", "x"), True),
        (("--command=x",), True),
        ((), False),
        (("-l",), False),
        (("-i",), False),
        (("deploy.sh", "-c"), False),
        (("-e", "deploy.sh", "-c"), False),
        (("--", "-c"), False),
    ],
)
def test_a_shell_passes_on_only_with_a_command(arguments: tuple[str, ...], expected: bool) -> None:
    assert process._runs_one_command(arguments) is expected


def test_FENCE_a_session_is_the_option_the_variable_or_what_started_us() -> None:
    me = identify(os.getpid())
    assert me
    environ = {"MESH_SESSION": "claude-1"}
    assert session(environ, "me@laptop:1/a", me) == "me@laptop:1/a"
    assert session(environ, None, me) == "claude-1"
    derived = session({"MESH_SESSION": ""}, None, me)
    assert derived == session({}, None, me) != session({}, None, me._replace(start="1"))
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,19}-[0-9a-f]{8}", derived)
    assert session({}, None, ProcessId(2**22 + 1, "1", "x")).startswith("process-")
    assert session({}) == session({}, None, starter())


@pytest.mark.parametrize("bad", ["", "-a", "a b", "a\n", "\u00e4", "a" * 101, "a\x1b[0m", ".."])
def test_a_bad_session_is_a_usage_error_that_prints_safely(bad: str) -> None:
    with pytest.raises(Usage, match="--session: ") as caught:
        session({}, bad)
    assert caught.value.what.isascii()
    assert caught.value.what.isprintable()
    if bad:
        with pytest.raises(Usage, match="MESH_SESSION"):
            session({"MESH_SESSION": bad})


HOLD = """
import sys, time
from pathlib import Path
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
sys.argv = ["/usr/bin/mesh-sync", "--hub", "https://user:secret@example.org"]
with NodeLock(Home(Path({home!r})), {name!r}):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").make()


@contextmanager
def holding(home: Home, name: str) -> Iterator[subprocess.Popen[bytes]]:
    code = HOLD.format(home=str(home.path), name=name)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == b"held\n"
            yield other
        finally:
            other.kill()


def test_C17_C29_the_second_is_told_who_since_when_and_how_to_get_free(home: Home) -> None:
    with holding(home, "sync") as other:
        with pytest.raises(MeshFault) as caught, NodeLock(home, "sync", timeout_ms=0):
            pytest.fail("two hold one lock")
        fault = caught.value
        assert fault.exit_code == FAULT
        assert "mesh-sync already runs" in fault.what
        assert f"pid {other.pid} (mesh-sync), since 20" in fault.what
        assert f"kill {other.pid}" in fault.hint
        assert fault.facts["holder"]["pid"] == other.pid
        assert "secret" not in str(fault.facts)
        found = holder(home, "sync")
        assert found is not None
        assert found.process == identify(other.pid)
        assert abs(found.since_ms - Clock().wall()) < 30_000
        with NodeLock(home, "node", timeout_ms=0):
            assert holder(home, "node") is not None
    assert holder(home, "node") is None


def test_C29_the_step_printed_frees_the_lock_also_by_sigkill(home: Home) -> None:
    with holding(home, "sync") as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert (home.locks / "sync.json").exists(), "the dead leave their note"
        assert holder(home, "sync") is None
        with NodeLock(home, "sync", timeout_ms=0) as lock:
            assert lock.intact()
            mine = holder(home, "sync")
            assert mine is not None
            assert mine.process == identify(os.getpid())
    assert holder(home, "sync") is None


def test_a_waiter_gets_the_lock_when_it_is_freed(home: Home) -> None:
    with holding(home, "node") as other:
        code = HOLD.format(home=str(home.path), name="node").replace("time.sleep(60)", "")
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as waiter:
            assert waiter.stdout is not None
            other.send_signal(signal.SIGKILL)
            assert waiter.stdout.read() == b"held\n"
        assert waiter.returncode == 0


def test_C29_who_locks_twice_is_told_that_it_is_itself(home: Home) -> None:
    with NodeLock(home, "node"):
        with pytest.raises(MeshFault, match=f"pid {os.getpid()} "), NodeLock(home, "node", timeout_ms=0):
            pytest.fail("two hold one lock")
        assert holder(home, "node") is not None, "who failed to get it leaves the note alone"
    with NodeLock(home, "node", timeout_ms=0):
        pass


def test_CACHE_locks_deleted_while_held_are_noticed_by_their_holder(home: Home) -> None:
    with NodeLock(home, "sync") as first:
        for file in home.locks.iterdir():
            file.unlink()
        home.locks.rmdir()
        assert not first.intact()
        with NodeLock(home, "sync", timeout_ms=0) as second:
            assert second.intact()
            assert not first.intact()
            first.__exit__(None, None, None)
            found = holder(home, "sync")
            assert found is not None
            assert found.process == identify(os.getpid()), "the first leaves the second's note alone"


def test_C29_a_holder_whose_note_was_deleted_is_still_a_holder(home: Home) -> None:
    with holding(home, "sync"):
        (home.locks / "sync.json").unlink()
        assert holder(home, "sync") == Holder(None, 0, "")
        (home.locks / "sync.json").write_bytes(b'{"pid":"x"')
        with pytest.raises(MeshFault, match="left no note") as caught, NodeLock(home, "sync", timeout_ms=0):
            pytest.fail("two hold one lock")
        assert "fuser" in caught.value.hint


def test_asking_who_holds_a_lock_never_costs_anyone_the_lock(home: Home) -> None:
    with NodeLock(home, "sync"):
        pass
    fd = os.open(home.locks / "sync.lock", os.O_RDONLY)
    fcntl.flock(fd, fcntl.LOCK_SH)  # as `holder` does, for far longer
    asked = threading.Timer(0.1, os.close, [fd])
    asked.start()
    assert holder(home, "sync") is None, "two who ask do not disturb each other"
    with NodeLock(home, "sync", timeout_ms=0):
        asked.join()


def test_undisturbed_work_ends_with_the_search_for_cycles_as_it_was() -> None:
    assert gc.isenabled()
    with pytest.raises(KeyError), undisturbed():
        with undisturbed():
            assert not gc.isenabled()
        assert not gc.isenabled()
        raise KeyError
    assert gc.isenabled()
