"""Histories of real commands over real hubs are linearizable, and the same histories made wrong are not.

A few operations in `make test`; MESH_LINEAR_ROUNDS=20 records that many histories a hub, three times as long.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.hubs import HUBS, file_hub, plain_git
from tests.linear import check
from tests.linear.doctored import doctored
from tests.linear.flaky import flaky_path
from tests.linear.forms import read, write
from tests.linear.recorder import Recorder

ROUNDS = int(os.environ.get("MESH_LINEAR_ROUNDS") or 1)
STEPS = {"file": 4, "http": 3, "ssh": 2} if ROUNDS == 1 else dict.fromkeys(HUBS, 15)
SEEDS = {"file": 1, "http": 1001, "ssh": 2001}


def judged(recorder: Recorder, keep: Path) -> None:
    """The recorded history is linearizable, read again from its file as well; each doctored copy is not."""
    file = keep / "history.jsonl"
    file.write_text(write(recorder.operations))
    verdict = check(recorder.operations, "lease")
    assert verdict.linearizable, f"{verdict}\n{file}"
    assert check(read(file.read_text()), "lease").linearizable
    for what, history in doctored(recorder.operations):
        assert check(history, "lease").linearizable is False, what


@pytest.mark.parametrize("round_", range(ROUNDS))
@pytest.mark.parametrize("kind", SEEDS)
def test_C1_what_commands_are_told_is_linearizable_whatever_befalls_them(
    kind: str, round_: int, tmp_path: Path
) -> None:
    """Four callers on three nodes; killed, stopped and continued, with a git that does not keep its word."""
    with HUBS[kind](tmp_path) as hub:
        recorder = Recorder(hub, tmp_path, SEEDS[kind] + round_)
        recorder.storm(STEPS[kind])
        recorder.calm()
        judged(recorder, tmp_path)
        assert not recorder.odd, recorder.odd
        recorder.fleet.reckon()


def test_C9_a_holder_that_sleeps_past_its_ttl_wakes_up_fenced(tmp_path: Path) -> None:
    """Its write is under way when it is stopped, goes on after another has taken the lease, and does not count."""
    with file_hub(tmp_path) as hub:
        recorder = Recorder(hub, tmp_path, 0)
        (grant,) = recorder.call("n1/a", "acquire", "deploy", {"ttl": 2})
        late = recorder.begin("n1/a", "write", "deploy", {"token": grant.result["token"]})
        late.command.signal(signal.SIGSTOP)
        (taken,) = recorder.call("n2/a", "take", "deploy", {"ttl": 600, "wait": True})
        late.command.signal(signal.SIGCONT)
        wrote = recorder.end(late)[0]
        recorder.call("n0/a", "read", "deploy")
    assert taken.result["result"] == "granted", taken
    assert wrote.result["verdict"] == "fenced", wrote
    verdict = check(recorder.operations, "lease")
    assert verdict.linearizable, verdict
    counts = wrote._replace(
        result={"verdict": "applied", "result": "published"}, invoked=recorder.operations[-1].invoked
    )
    assert check([*recorder.operations, counts._replace(returned=None)], "lease").linearizable
    counts = counts._replace(returned=counts.invoked + 1)
    assert check([*recorder.operations, counts], "lease").linearizable is False


def test_PUSH_the_flaky_git_does_what_it_is_said_to_do(tmp_path: Path) -> None:
    """A push that it reports as failed may have moved the branch, and one that it reports as done may not."""
    found = set[object]()
    with file_hub(tmp_path) as hub:
        plain_git("init", "--quiet", str(tmp_path / "work"))
        plain_git("-C", str(tmp_path / "work"), "commit", "--quiet", "--allow-empty", "-m", "one")
        path = flaky_path(tmp_path / "bin")
        for seed in range(24):
            argv = ["git", "-C", str(tmp_path / "work"), "push", "--quiet", hub.url, f"HEAD:refs/heads/b{seed}"]
            env = hub.environ() | {"PATH": path, "FLAKY_SEED": str(seed)}
            with contextlib.suppress(subprocess.TimeoutExpired):
                done = subprocess.run(argv, capture_output=True, check=False, env=env, timeout=0.2)
                moved, garbage = hub.tip(f"b{seed}") is not None, b"what no git says" in done.stdout
                found.add((done.returncode, moved, garbage))
                continue
            found.add("it stalls")
    whole, fails = (0, True, False), {(128, False, False), (1, True, False)}
    assert found == {whole, *fails, (0, False, True), (0, True, True), "it stalls"}
