"""Another try for faults of this machine, real ones; and none for what a command did."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from orxaq_mesh.home.process import environment
from orxaq_mesh.worker.events import ExecutionLog
from orxaq_mesh.worker.execution import Exit, Step
from orxaq_mesh.worker.retrying import run_patiently
from worker.attempts import Attempt, script


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/dev/fd").iterdir()) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    spare = []
    try:
        while True:
            try:
                spare.append(os.dup(0))
            except OSError:
                break
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in spare:
            os.close(fd)


@contextmanager
def program_being_written(path: Path) -> Iterator[None]:
    path.write_bytes(Path("/bin/true").read_bytes())
    path.chmod(0o755)
    fd = os.open(path, os.O_WRONLY)
    try:
        yield
    finally:
        os.close(fd)


def attempt_at(attempt: Attempt, step: Step, pause: Callable[[float], object], *, pty: bool = False) -> Exit:
    with ExecutionLog(attempt.logs / "exec.jsonl") as log:
        return run_patiently(step, attempt.work, environment(), log=log, stop=attempt.stop, pause=pause, pty=pty)


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


@pytest.mark.parametrize("pty", [False, True])
def test_a_fault_of_the_machine_is_tried_again_until_it_is_over(attempt: Attempt, pty: bool) -> None:
    pauses: list[float] = []
    with ExitStack() as fault, ExecutionLog(attempt.logs / "exec.jsonl") as log:

        def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 2:
                fault.close()

        fault.enter_context(no_descriptor_left())
        ended = run_patiently(
            Step("true", ("true",)), attempt.work, environment(), log=log, stop=attempt.stop, pause=pause, pty=pty
        )
    assert ended.good
    assert pauses == [0.25, 0.5]
    told = [(event["event"], event.get("try")) for event in attempt.events()]
    assert told == [
        ("exec.begin", 1),
        ("exec.retry", 1),
        ("exec.begin", 2),
        ("exec.retry", 2),
        ("exec.begin", 3),
        ("exec.end", None),
    ]
    assert ("terminal" if pty else "pipe") in attempt.events("exec.retry")[0]["why"]


def test_after_three_tries_it_was_not_started(attempt: Attempt) -> None:
    pauses: list[float] = []
    with ExecutionLog(attempt.logs / "exec.jsonl") as log, no_descriptor_left():
        ended = run_patiently(
            Step("true", ("true",)), attempt.work, environment(), log=log, stop=attempt.stop, pause=pauses.append
        )
    assert (ended.outcome, ended.code) == ("not-started", None)
    assert "tried 3 times" in ended.why
    assert pauses == [0.25, 0.5]
    assert [event["event"][5:] for event in attempt.events()] == "begin retry begin retry begin end".split()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a program that is being written to can be run")
def test_a_program_that_is_still_being_written_is_tried_again(attempt: Attempt) -> None:
    with ExitStack() as fault:
        fault.enter_context(program_being_written(attempt.work / "tool"))
        ended = attempt_at(attempt, Step("tool", ("./tool",)), lambda _seconds: fault.close())
    assert ended.good
    assert [event["event"][5:] for event in attempt.events()] == "begin retry begin end".split()


def test_a_log_that_takes_nothing_is_tried_again_and_no_number_is_lost(attempt: Attempt) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def pause(_seconds: float) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        ended = attempt_at(attempt, script("touch ran"), pause)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ended.good
    assert [(event["seq"], event["event"][5:]) for event in attempt.events()] == [(1, "begin"), (2, "end")]


@pytest.mark.parametrize("step", [script("exit 9"), Step("no", ("no-such-program",)), script("kill -9 $$")])
def test_what_a_command_did_is_never_tried_again(attempt: Attempt, step: Step) -> None:
    pauses: list[float] = []
    assert not attempt_at(attempt, step, pauses.append).good
    assert pauses == []
    assert [event["event"][5:] for event in attempt.events()] == ["begin", "end"]


def test_a_pause_ends_when_the_work_is_no_longer_ours(attempt: Attempt) -> None:
    with ExecutionLog(attempt.logs / "exec.jsonl") as log, no_descriptor_left():
        attempt.stop.set()
        ended = run_patiently(Step("true", ("true",)), attempt.work, environment(), log=log, stop=attempt.stop)
    assert ended.outcome == "stopped"
