"""One command: its exit, its bounds, and that nobody is left of it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from orxaq_mesh.errors import Usage
from orxaq_mesh.home.process import identify
from orxaq_mesh.worker import child, group
from orxaq_mesh.worker.execution import Step, end_left_over
from worker.attempts import Attempt, living, python, script, wait_for

TREE = """
    import os, signal, time
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for depth in range(3):
        for twin in range(3):
            if os.fork() == 0:
                break
        else:
            break
        if depth == 1:
            os.setpgid(0, 0)  # as `timeout` and a shell's job control do
    open(str(os.getpid()), "w").close()
    time.sleep(60)
"""


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


def test_a_command_ends_with_its_code_and_both_streams(attempt: Attempt) -> None:
    ended = attempt.run(script("echo to out; echo to err >&2; exit 7"))
    assert (ended.outcome, ended.code, ended.signal, ended.good) == ("exited", 7, None, False)
    assert (ended.out.tail, ended.err.tail) == ("to out\n", "to err\n")
    assert ended.out.sha256 == hashlib.sha256(b"to out\n").hexdigest()
    assert (attempt.logs / ended.out.file).read_text() == "to out\n"
    assert attempt.took_s < 5
    assert sorted(path.name for path in attempt.logs.iterdir()) == ["000001.err", "000001.out", "exec.jsonl"]


def test_the_dead_whom_nobody_has_buried_are_not_living() -> None:
    process = subprocess.Popen(["sleep", "0.05"], start_new_session=True)
    assert group.living(process.pid)
    wait_for(lambda: identify(process.pid) is None)
    assert not group.living(process.pid)
    assert process.wait() == 0


def test_an_argv_is_never_read_by_a_shell(attempt: Attempt) -> None:
    ended = attempt.run(Step("say", ("echo", "$HOME; touch gone", "`id`", "*")))
    assert ended.out.tail == "$HOME; touch gone `id` *\n"
    assert list(attempt.work.iterdir()) == []


def test_stdin_is_empty(attempt: Attempt) -> None:
    assert attempt.run(Step("read", ("cat",))).good


def test_a_signal_is_told_as_a_signal(attempt: Attempt) -> None:
    ended = attempt.run(script("kill -SEGV $$"))
    assert (ended.outcome, ended.code, ended.signal) == ("exited", None, signal.SIGSEGV)


@pytest.mark.parametrize(
    ("name", "code"), [("no-such-program", 127), ("./plain", 126), ("./absent", 127), ("./cannot", 126)]
)
def test_what_cannot_be_run_is_a_result(attempt: Attempt, name: str, code: int) -> None:
    (attempt.work / "plain").write_text("no program")
    (attempt.work / "cannot").write_bytes(b"\x7fnothing")
    (attempt.work / "cannot").chmod(0o755)
    ended = attempt.run(Step("start", (name,)))
    assert (ended.outcome, ended.code) == ("not-started", code)
    assert name in ended.why
    assert [event["event"] for event in attempt.events()] == ["exec.begin", "exec.end"]


def test_a_missing_folder_is_a_result(attempt: Attempt) -> None:
    attempt.work.rmdir()
    ended = attempt.run(Step("start", ("true",)))
    assert (ended.outcome, ended.code) == ("not-started", None)
    assert str(attempt.work) in ended.why


@pytest.mark.parametrize("argv", [(), ("",), ("a\0b",)])
def test_a_step_without_a_command_is_refused_before_anything_is_logged(attempt: Attempt, argv: tuple[str, ...]) -> None:
    with pytest.raises(Usage, match="no command"):
        attempt.run(Step("nothing", argv))
    assert attempt.events() == []


def test_10_mb_of_output_keep_64_kib_and_the_right_sha256(attempt: Attempt) -> None:
    line, count = "0123456789abcdef" * 8 + "-ü\n", 80_000
    ended = attempt.run(python(f"import sys\nfor n in range({count}): sys.stdout.buffer.write({line!r}.encode())"))
    whole = line.encode() * count
    assert len(whole) > 10_000_000
    assert (ended.out.size, ended.out.sha256) == (len(whole), hashlib.sha256(whole).hexdigest())
    assert ended.out.truncated
    assert not ended.out.cut
    assert ended.out.tail == whole[-65_536:].decode("utf-8", "ignore")
    assert (attempt.logs / ended.out.file).read_bytes() == whole
    assert attempt.text() == whole.decode()
    assert max(len(event["text"].encode()) for event in attempt.events("exec.chunk")) <= 8192


def test_what_was_said_before_the_end_is_heard_by_a_worker_that_had_no_time(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "LEFT_GRACE_MS", 0)
    program = """
        import os
        if os.fork() == 0:
            os.setsid()
            open(str(os.getpid()), "w").close()
            os.execlp("sleep", "sleep", "60")
        os.write(1, b"x" * 50_000)
    """
    ended = attempt.run(python(program))
    assert (ended.out.size, ended.out.held) == (50_000, True)
    for pid in attempt.pids():
        os.kill(pid, signal.SIGKILL)


def test_who_cannot_be_ended_is_told(attempt: Attempt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "_KILLED_WITHIN_MS", 50)
    monkeypatch.setattr(os, "killpg", lambda _group, _number: None)  # as for another user's process
    ended = attempt.run(script("sleep 1 >&- 2>&- & true"))
    assert ended.good
    assert "could not be ended" in ended.why
    assert "could not be ended" in attempt.events("exec.end")[0]["why"]


def test_beyond_its_cap_a_file_says_that_it_was_cut(attempt: Attempt) -> None:
    ended = attempt.run(python("print('x' * 5000, end='')"), file_bytes=1000)
    assert (attempt.logs / ended.out.file).read_text() == "x" * 1000 + "\n[cut: the first 1000 bytes are above]\n"
    assert (ended.out.size, ended.out.cut) == (5000, True)
    assert ended.out.sha256 == hashlib.sha256(b"x" * 5000).hexdigest()


def test_a_time_limit_ends_a_command(attempt: Attempt) -> None:
    ended = attempt.run(script("echo begun; sleep 60", limit_ms=300))
    assert (ended.outcome, ended.signal, ended.out.tail) == ("timeout", signal.SIGTERM, "begun\n")
    assert 300 <= ended.duration_ms < 5000
    assert attempt.took_s < 5


def test_last_words_after_TERM_are_heard(attempt: Attempt) -> None:
    ended = attempt.run(script("trap 'echo ending; exit 3' TERM; while :; do sleep 0.02; done", limit_ms=300))
    assert (ended.outcome, ended.code, ended.out.tail) == ("timeout", 3, "ending\n")


def test_a_command_that_ignores_TERM_is_killed_after_the_grace(attempt: Attempt) -> None:
    program = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(60)"
    )
    thread = attempt.stop_when(lambda: attempt.text() == "deaf\n")
    ended = attempt.run(python(program), grace_ms=200)
    thread.join()
    assert (ended.outcome, ended.signal) == ("stopped", signal.SIGKILL)
    assert attempt.took_s < 10


def test_a_stopped_command_gets_its_TERM(attempt: Attempt) -> None:
    thread = attempt.stop_when(lambda: attempt.text() == "asleep\n")
    ended = attempt.run(script("trap 'exit 4' TERM; echo asleep; kill -STOP $$; sleep 0.01; exit 5"))
    thread.join()
    assert (ended.outcome, ended.code) == ("stopped", 4)


def test_a_lost_lease_ends_a_command_in_the_middle(attempt: Attempt) -> None:
    thread = attempt.stop_when(lambda: attempt.text() == "working\n")
    ended = attempt.run(script("echo working; sleep 60"))
    thread.join()
    assert (ended.outcome, ended.signal) == ("stopped", signal.SIGTERM)
    assert attempt.took_s < 5


def test_a_lease_that_is_lost_already_starts_nothing(attempt: Attempt) -> None:
    attempt.stop.set()
    assert attempt.run(script("touch ran")).outcome == "stopped"
    assert list(attempt.work.iterdir()) == []


@pytest.mark.parametrize("without_proc", [False, True])
def test_a_tree_of_deaf_grandchildren_is_killed_whole(
    attempt: Attempt, monkeypatch: pytest.MonkeyPatch, without_proc: bool
) -> None:
    if without_proc:  # as on macOS
        monkeypatch.setattr(group, "_HAS_PROC", False)
    thread = attempt.stop_when(lambda: len(attempt.pids()) >= 15)
    ended = attempt.run(python(TREE), grace_ms=100)
    thread.join()
    assert ended.outcome == "stopped"
    assert len(attempt.pids()) >= 15
    assert living(attempt.pids()) == []


def test_a_tree_that_never_stops_growing_is_killed_whole(attempt: Attempt) -> None:
    bomb = """
        import os, signal, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:  # each generation is one process that begets the next and dies
            if os.fork() > 0:
                if os.getpid() != os.getsid(0):
                    os._exit(0)
                time.sleep(60)
            open(str(os.getpid()), "w").close()
    """
    thread = attempt.stop_when(lambda: len(attempt.pids()) >= 50)
    attempt.run(python(bomb), grace_ms=50)
    thread.join()
    born = len(attempt.pids())
    assert living(attempt.pids()) == []
    assert len(attempt.pids()) == born


def test_what_a_command_leaves_in_its_session_is_ended_with_it(attempt: Attempt) -> None:
    ended = attempt.run(script("sleep 60 & echo $! > left; set -m; sleep 61 & echo $! >> left"))
    assert ended.good
    assert living([int(pid) for pid in (attempt.work / "left").read_text().split()]) == []
    assert not ended.out.held
    assert attempt.took_s < 5


def test_a_daemon_that_holds_the_pipe_delays_nobody(attempt: Attempt) -> None:
    daemon = """
        import os, sys, time
        if os.fork() == 0:
            os.setsid()
            open(str(os.getpid()), "w").close()
            time.sleep(60)
        print("done")
    """
    ended = attempt.run(python(daemon))
    assert (ended.outcome, ended.code, ended.out.tail) == ("exited", 0, "done\n")
    assert (ended.out.held, ended.err.held) == (True, True)
    assert ended.duration_ms < 3000
    assert attempt.took_s < 5
    wait_for(attempt.pids)
    for pid in attempt.pids():
        os.kill(pid, signal.SIGKILL)


def test_a_daemon_that_floods_the_pipe_delays_nobody(attempt: Attempt) -> None:
    flood = """
        import os
        if os.fork() == 0:
            os.setsid()
            open(str(os.getpid()), "w").close()
            while not os.path.exists("go"):
                os.write(1, b"x" * 65536)
            for _ in range(200):
                os.write(1, b"x" * 65536)
            open("gone", "w").close()
            while True:
                os.write(1, b"x" * 65536)
        os._exit(0)
    """
    ended = attempt.run(python(flood))
    assert (ended.outcome, ended.code, ended.out.held) == ("exited", 0, True)
    assert attempt.took_s < 5
    (attempt.work / "go").touch()
    wait_for((attempt.work / "gone").exists)  # nor is it held up itself
    for pid in attempt.pids():
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("stream-")])


def test_a_command_that_closes_its_streams_early_is_waited_for(attempt: Attempt) -> None:
    ended = attempt.run(script("echo before; exec >&- 2>&-; sleep 0.3; exit 5"))
    assert (ended.outcome, ended.code, ended.out.tail) == ("exited", 5, "before\n")
    assert ended.duration_ms >= 300


def test_a_command_without_streams_is_still_stopped(attempt: Attempt) -> None:
    thread = attempt.stop_when((attempt.work / "closed").exists)
    ended = attempt.run(script("exec >&- 2>&-; touch closed; sleep 60"))
    thread.join()
    assert ended.outcome == "stopped"
    assert attempt.took_s < 5


def test_on_a_terminal_a_command_sees_one(attempt: Attempt) -> None:
    program = """
        import os, sys
        print([os.isatty(fd) for fd in range(3)], os.get_terminal_size().columns, os.tcgetpgrp(0) == os.getpgrp())
        print("to err", file=sys.stderr)
        open("/dev/tty", "w").write("to the terminal\\n")
    """
    ended = attempt.run(python(program), pty=True)
    assert ended.good
    assert sorted(ended.out.tail.split("\r\n")) == ["", "[True, True, True] 80 True", "to err", "to the terminal"]
    assert ended.err.size == 0


def test_on_pipes_a_command_sees_no_terminal(attempt: Attempt) -> None:
    program = """
        import os
        print([os.isatty(fd) for fd in range(3)])
        try:
            open("/dev/tty")
        except OSError:
            print("none")
    """
    assert attempt.run(python(program)).out.tail == "[False, False, False]\nnone\n"


def test_a_terminals_last_words_are_all_there(attempt: Attempt) -> None:
    ended = attempt.run(python("import os; os.write(1, b'y' * 3000); print('x' * 200_000, 'end')"), pty=True)
    assert ended.out.size == 3000 + 200_000 + len(" end\r\n")
    assert ended.out.tail.endswith("xx end\r\n")


def test_a_command_that_waits_at_a_terminal_is_ended_by_its_limit(attempt: Attempt) -> None:
    ended = attempt.run(script("read answer", limit_ms=300), pty=True)
    assert ended.outcome == "timeout"
    assert attempt.took_s < 5


def test_a_hundred_runs_leave_descriptors_and_threads_as_they_were(attempt: Attempt) -> None:
    fds = Path("/dev/fd")
    attempt.run(Step("true", ("true",)))
    before = len(list(fds.iterdir()))
    for number in range(60):
        attempt.run(Step("true", ("true" if number % 3 else "no-such-program",)), pty=number % 2 == 0)
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name.startswith("stream-")])
    assert len(list(fds.iterdir())) == before


def test_an_interrupted_worker_leaves_nobody_running(attempt: Attempt) -> None:
    class Interrupted(threading.Event):
        def is_set(self) -> bool:
            if attempt.pids():
                raise KeyboardInterrupt
            return False

    attempt.stop = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        attempt.run(python("import os, time\nopen(str(os.getpid()), 'w').close()\ntime.sleep(60)"))
    assert living(attempt.pids()) == []


WORKER = """
import threading
from pathlib import Path
from orxaq_mesh.home.process import environment
from orxaq_mesh.worker.events import ExecutionLog
from orxaq_mesh.home.process import identify
from orxaq_mesh.worker import child, group
from orxaq_mesh.worker.execution import Step, run
loud = "i=0; while :; do i=$((i+1)); echo line $i; done"
step = Step("try", script="echo $$ > leader; sleep 62 & touch $!; " + loud)
with ExecutionLog(Path("../log/exec.jsonl")) as log:
    run(step, Path("."), environment(), log=log, stop=threading.Event())
"""


def test_after_kill_9_of_the_worker_numbers_go_on_and_what_it_left_is_ended(attempt: Attempt) -> None:
    log = attempt.logs / "exec.jsonl"
    for _ in range(3):
        worker = subprocess.Popen([sys.executable, "-c", WORKER], cwd=attempt.work)
        size = log.stat().st_size if log.exists() else 0
        wait_for(lambda size=size: log.exists() and log.stat().st_size > size + 100_000 and attempt.pids())  # type: ignore[misc]
        worker.kill()
        worker.wait()
        left = [int((attempt.work / "leader").read_text()), *attempt.pids()]
        assert end_left_over(attempt.logs, grace_ms=200)
        assert living(left) == []
        assert not end_left_over(attempt.logs)
        with log.open("ab") as file:
            file.write(b'{"at":"2026-11-20T09:30:00.000Z","event":"exec.ch')  # at the worst moment
    attempt.run(script("echo again"))
    events = attempt.events()
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert [event["event"] for event in events].count("exec.begin") == 4
    assert events[-1]["out"]["bytes"] == len("again\n")


def test_a_pid_that_is_anothers_by_now_is_left_alone(attempt: Attempt) -> None:
    other = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        attempt.logs.mkdir(mode=0o700)
        note = attempt.logs / "running.json"
        boot = Path("/proc/sys/kernel/random/boot_id")
        here = boot.read_text().strip() if boot.exists() else "x"
        for start, when in (("1", here), ("", here), ("1", "another boot")):
            note.write_text(f'{{"pid":{other.pid},"start":"{start}","boot":"{when}"}}')
            assert not end_left_over(attempt.logs)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
