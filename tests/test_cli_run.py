"""`mesh lease run`, `lease wait` and `mesh-sync` as processes: codes, signals, losses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.fleet import MESH, SYNC, Fleet, until

pytestmark = pytest.mark.xdist_group("cli_run")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    made.found("oak", "elm")
    return made


def free(fleet: Fleet, lease: str) -> bool:
    fleet.ok("elm", "sync")
    return fleet.ok("elm", "lease", "show", lease, "--offline")["holder"] is None


def test_the_command_finds_its_token_and_its_code_is_passed_on(fleet: Fleet) -> None:
    say = 'echo "$MESH_LEASE $MESH_TOKEN $MESH_SEAL $MESH_SESSION $MESH_HOME"; exit 42'
    done = fleet.mesh("oak", "lease", "run", "job", "--ttl", "10s", "--", "sh", "-c", say)
    assert done.code == 42
    lease, token, seal, session, home = done.out.split()
    assert (lease, home) == ("job", str(fleet.home("oak")))
    assert int(token) > 1
    assert len(seal) == 64
    assert session
    assert free(fleet, "job")


def test_a_signal_that_ended_the_command_is_128_and_its_number(fleet: Fleet) -> None:
    done = fleet.mesh("oak", "lease", "run", "job", "--", "sh", "-c", "kill -KILL $$")
    assert done.code == 137
    assert free(fleet, "job")


def test_signals_are_passed_on_to_the_command(fleet: Fleet) -> None:
    script = 'trap "echo told; exit 7" TERM; echo ready; while :; do sleep 0.05; done'
    run = fleet.start("oak", *MESH, "lease", "run", "job", "--", "sh", "-c", script)
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGTERM)
    said, _ = run.communicate(timeout=60)
    assert (said, run.returncode) == ("told\n", 7)
    assert free(fleet, "job")


def test_its_own_faults_have_codes_of_their_own(fleet: Fleet) -> None:
    fleet.ok("elm", "lease", "acquire", "taken")
    run = ["lease", "run", "taken", "--no-wait", "--", "touch", "never"]
    refused = fleet.mesh("oak", *run)
    assert refused.code == 121
    assert "elm" in refused.err
    waited = fleet.mesh("oak", "lease", "run", "taken", "--timeout", "300ms", "--wait", "--", "touch", "never")
    assert waited.code == 122
    gone = {"MESH_HUB": str(fleet.folder / "gone.git")}
    assert fleet.mesh("oak", *run, **gone).code == 123
    assert fleet.mesh("oak", "lease", "run", "job", "--", "/no/such/command").code == 125
    assert not (fleet.folder / "never").exists()
    assert free(fleet, "job")


def test_TIME_who_cannot_renew_loses_the_lease_and_the_command_is_stopped(fleet: Fleet) -> None:
    hub, away = fleet.hub, fleet.hub.with_name("away.git")
    script = 'trap "echo stopped; exit 0" TERM; echo ready; while :; do sleep 0.05; done'
    run = fleet.start("oak", *MESH, "lease", "run", "lost", "--ttl", "2s", "--", "sh", "-c", script)
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    hub.rename(away)
    try:
        said, warned = run.communicate(timeout=60)
    finally:
        away.rename(hub)
    assert (said, run.returncode) == ("stopped\n", 120)
    assert "the lease lost is lost" in warned


def test_on_lost_warn_lets_the_command_end_by_itself(fleet: Fleet, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"echo ready; while [ ! -e {go} ]; do sleep 0.05; done; exit 3"
    argv = [*MESH, "lease", "run", "warned", "--ttl", "5m", "--on-lost", "warn", "--", "sh", "-c", script]
    run = fleet.start("oak", *argv)
    assert run.stdout is not None
    assert run.stderr is not None
    assert run.stdout.readline() == "ready\n"
    fleet.ok("oak", "lease", "break", "warned", "--reason", "a test")
    go.touch()
    run.communicate(timeout=60)
    assert run.returncode == 3


def test_C9_a_holder_that_slept_past_its_ttl_finds_its_token_fenced(fleet: Fleet) -> None:
    note = fleet.folder / "token"
    script = f"echo $MESH_TOKEN > {note}; echo ready; while :; do sleep 0.05; done"
    run = fleet.start("oak", *MESH, "lease", "run", "nap", "--ttl", "1s", "--", "sh", "-c", script)
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGSTOP)
    took = fleet.ok("elm", "lease", "take", "nap", "--ttl", "5m", "--wait", "--timeout", "30s")
    old = int(note.read_text())
    assert took["token"] > old
    late = fleet.mesh("oak", "publish", "deploys", "done", "--under", "nap", "--token", str(old), "--json")
    assert late.code == 4
    assert late.error["holder"] == "elm"
    run.send_signal(signal.SIGCONT)
    run.communicate(timeout=60)
    assert run.returncode == 120


def test_wait_ends_when_the_lease_is_free_and_7_when_time_is_over(fleet: Fleet) -> None:
    fleet.ok("oak", "lease", "acquire", "long")
    late = fleet.mesh("elm", "lease", "wait", "long", "--timeout", "200ms")
    assert late.code == 7
    waiting = fleet.start("elm", *MESH, "lease", "wait", "long", "--timeout", "60s")
    fleet.ok("oak", "lease", "release", "long")
    said, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, said) == (0, "long is free\n")


def test_nothing_prompts_and_an_interrupted_wait_gives_its_place_back(fleet: Fleet) -> None:
    fleet.ok("oak", "lease", "acquire", "queued")
    waiting = fleet.start("elm", *MESH, "lease", "acquire", "queued", "--wait")
    until(lambda: fleet.ok("oak", "sync") and fleet.ok("oak", "lease", "show", "queued", "--offline")["queue"])
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(timeout=60) == 130
    assert waiting.communicate()[0] == ""
    fleet.ok("elm", "sync")
    until(lambda: not fleet.ok("oak", "sync") or not fleet.ok("oak", "lease", "show", "queued", "--offline")["queue"])


def test_C17_mesh_sync_logs_one_line_an_event_and_a_second_one_says_who_runs(fleet: Fleet) -> None:
    daemon = fleet.start("oak", *SYNC, "--json")
    try:
        assert daemon.stdout is not None
        first = json.loads(daemon.stdout.readline())
        assert first["event"] == "started"
        assert first["at"].endswith("Z")
        second = subprocess.run(SYNC, env=fleet.env("oak"), capture_output=True, text=True, timeout=60, check=False)
        assert second.returncode == 1
        assert f"pid {daemon.pid}" in second.stderr
        fleet.ok("oak", "publish", "logs", "made")
        assert fleet.ok("oak", "doctor")["ok"]
        daemon.send_signal(signal.SIGTERM)
        rest, said = daemon.communicate(timeout=60)
    finally:
        if daemon.poll() is None:
            os.kill(daemon.pid, signal.SIGKILL)
            daemon.wait()
    events = [json.loads(line) for line in rest.splitlines()]
    assert any(event["event"] == "sealed" and event["kind"] == "event.publish" for event in events)
    assert events[-1]["event"] == "stopped"
    assert (daemon.returncode, said) == (0, "")


def test_one_pass_of_mesh_sync_ends(fleet: Fleet) -> None:
    once = subprocess.run(
        [*SYNC, "--once"], env=fleet.env("elm"), capture_output=True, text=True, timeout=60, check=False
    )
    assert (once.returncode, once.stderr) == (0, "")
    assert " pass " in once.stdout
