"""Law FENCE outside the ledger: what a resource's gate lets in, with real processes."""

from __future__ import annotations

import os
import pty
import random
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.errors import Fenced, MeshFault, Usage
from orxaq_mesh.gate import Token, gate, parse_token, run_gated

OAK, ELM = "a" * 64, "b" * 64
RUN = """
import sys
from orxaq_mesh.errors import MeshError
from orxaq_mesh.gate import parse_token, run_gated
try:
    sys.exit(run_gated(sys.argv[1], parse_token(sys.argv[2]), sys.argv[3:], lock_timeout_ms=20_000))
except MeshError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture
def prod(tmp_path: Path) -> Path:
    return tmp_path / "prod.txt"


def mark_of(resource: Path) -> Path:
    return resource.with_name(resource.name + ".gate")


def marked(resource: Path) -> tuple[int, str]:
    value = orjson.loads(mark_of(resource).read_bytes())
    return value["token"], value["seal"]


def gated(resource: Path, token: str, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", RUN, str(resource), token, *argv], stderr=subprocess.PIPE, text=True)


def until(happened: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def enter(resource: Path, epoch: int, seal: str = "") -> None:
    with gate(resource, epoch, seal, lock_timeout_ms=5_000):
        pass


def test_FENCE_a_higher_token_passes_and_a_lower_one_never_again(prod: Path) -> None:
    enter(prod, 7)
    enter(prod, 9)
    with pytest.raises(Fenced, match="7 < 9") as caught, gate(prod, 7):
        prod.write_text("v1")
    assert not prod.exists()
    assert caught.value.rule == "FENCE"
    assert (caught.value.facts["token"], caught.value.facts["mark"]) == (7, 9)
    assert marked(prod) == (9, "")


def test_FENCE_the_same_pair_passes_again(prod: Path) -> None:
    enter(prod, 9, OAK)
    enter(prod, 9, OAK)
    assert marked(prod) == (9, OAK)


def test_FENCE_one_epoch_under_two_seals_is_refused(prod: Path) -> None:
    enter(prod, 9, OAK)
    with pytest.raises(Fenced, match="another seal") as caught:
        enter(prod, 9, ELM)
    assert caught.value.facts["mark_seal"] == OAK
    enter(prod, 10, ELM)
    assert marked(prod) == (10, ELM)


def test_FENCE_a_bearer_without_a_seal_does_not_wipe_the_seal(prod: Path) -> None:
    enter(prod, 9)
    enter(prod, 9, OAK)
    enter(prod, 9)
    with pytest.raises(Fenced):
        enter(prod, 9, ELM)


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["", OAK, ELM])), max_size=12))
def test_FENCE_what_is_let_in_never_goes_down(tmp_path_factory: pytest.TempPathFactory, asked: list[tuple]) -> None:
    resource = tmp_path_factory.mktemp("gate") / "thing"
    let_in: list[tuple[int, str]] = []
    for epoch, seal in asked:
        try:
            enter(resource, epoch, seal)
        except Fenced:
            assert let_in, "the first is always let in"
        else:
            let_in.append((epoch, seal))
    epochs = [epoch for epoch, _ in let_in]
    assert epochs == sorted(epochs)
    for epoch in epochs:
        assert len({seal for known, seal in let_in if known == epoch and seal}) <= 1


def test_FENCE_the_mark_is_raised_before_the_work_begins(prod: Path) -> None:
    with pytest.raises(RuntimeError, match="mid-work"), gate(prod, 9):
        assert marked(prod) == (9, "")
        raise RuntimeError("mid-work")
    with pytest.raises(Fenced):
        enter(prod, 8)


def test_FENCE_a_refused_bearer_is_told_at_once_though_another_holds_the_resource(prod: Path) -> None:
    with gate(prod, 9):
        begun = time.monotonic()
        with pytest.raises(Fenced), gate(prod, 8, lock_timeout_ms=60_000):
            pass
        assert time.monotonic() - begun < 30


def test_C9_eight_processes_race_and_the_order_never_goes_down(prod: Path) -> None:
    code = (
        "import sys\n"
        "from orxaq_mesh.errors import Fenced\n"
        "from orxaq_mesh.gate import gate\n"
        "sys.stdin.read()\n"
        "for word in sys.argv[2:]:\n"
        "    try:\n"
        "        with gate(sys.argv[1], int(word)), open(sys.argv[1], 'a') as file:\n"
        "            print('in', word, file=file, flush=True)\n"
        "            print('out', word, file=file, flush=True)\n"
        "    except Fenced:\n"
        "        print('fenced', word)\n"
    )
    tokens = random.Random(7).sample(range(1, 65), 64)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(prod), *map(str, tokens[first::8])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for first in range(8)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
        racer.stdin = None
    refused = [line for racer in racers for line in racer.communicate(timeout=60)[0].splitlines()]
    assert all(racer.returncode == 0 for racer in racers)
    lines = prod.read_text().splitlines()
    let_in = [int(line.split()[1]) for line in lines[::2]]
    assert lines == [f"{word} {token}" for token in let_in for word in ("in", "out")], "two were inside at once"
    assert let_in == sorted(let_in)
    assert let_in[-1] == 64
    assert len(let_in) + len(refused) == 64
    assert marked(prod) == (64, "")


def test_FENCE_a_stale_command_does_not_run_and_exits_4(prod: Path) -> None:
    enter(prod, 9)
    stale = gated(prod, "7", "touch", str(prod))
    assert "7 < 9" in stale.communicate(timeout=20)[1]
    assert stale.returncode == 4
    assert not prod.exists()


def test_FENCE_a_command_runs_with_its_arguments_as_they_are(prod: Path) -> None:
    code = run_gated(
        prod, Token(9, OAK), ["sh", "-c", 'printf "%s|%s" "$1" "$WORD" > "$0"', str(prod), "$(id) ;"], env={"WORD": "*"}
    )
    assert code == 0
    assert prod.read_text() == "$(id) ;|*"
    assert marked(prod) == (9, OAK)


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_gate_passes_its_commands_exit_code_through(prod: Path, script: str, code: int) -> None:
    assert run_gated(prod, Token(9), ["sh", "-c", script]) == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_gate_passes_signals_on_and_waits_for_the_command(prod: Path, number: signal.Signals) -> None:
    script = f"trap 'echo bye > {prod}; exit 5' INT TERM; : > {prod}.ready; while :; do sleep 0.02; done"
    running = subprocess.Popen(
        [sys.executable, "-c", RUN, str(prod), "9", "sh", "-c", script], start_new_session=True, text=True
    )
    until(Path(f"{prod}.ready").exists)
    running.send_signal(number)
    assert running.wait(timeout=20) == 5
    assert prod.read_text() == "bye\n"


def test_gate_heeds_that_it_was_told_to_ignore_a_signal(prod: Path) -> None:
    ready, go = Path(f"{prod}.ready"), Path(f"{prod}.go")
    script = f": > {ready}; while [ ! -e {go} ]; do sleep 0.02; done; exit 6"
    running = subprocess.Popen(
        ["sh", "-c", "trap '' INT; exec \"$@\"", "sh", sys.executable, "-c", RUN, str(prod), "9", "sh", "-c", script],
        start_new_session=True,
    )
    until(ready.exists)
    running.send_signal(signal.SIGINT)
    go.touch()
    assert running.wait(timeout=20) == 6


def test_gate_leaves_ctrl_c_to_the_terminal_where_it_reaches_the_command_anyway() -> None:
    code = "from orxaq_mesh.gate import _terminal_reaches_child as told; print('told:', told())"
    alone = subprocess.run([sys.executable, "-c", code], start_new_session=True, capture_output=True, check=True)
    assert alone.stdout == b"told: False\n"
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code])
    with os.fdopen(terminal, "rb") as said:
        assert said.readline().strip() == b"told: True"
        assert os.waitpid(pid, 0)[1] == 0


def test_gate_says_what_cannot_be_run(prod: Path) -> None:
    with pytest.raises(MeshFault, match="cannot run no-such-program: No such file"):
        run_gated(prod, Token(9), ["no-such-program"])
    with pytest.raises(Usage, match="no command"):
        run_gated(prod, Token(9), [])
    enter(prod, 9)


def test_C9_a_killed_gate_leaves_its_command_guarded(prod: Path) -> None:
    ready, go = Path(f"{prod}.ready"), Path(f"{prod}.go")
    script = f": > {ready}; while [ ! -e {go} ]; do sleep 0.02; done; echo v1 > {prod}"
    running = gated(prod, "7", "sh", "-c", script)
    until(ready.exists)
    running.kill()
    running.wait(timeout=20)
    with pytest.raises(MeshFault, match=rf"held by process {running.pid} "), gate(prod, 9, lock_timeout_ms=100):
        prod.write_text("v2")
    go.touch()
    with gate(prod, 9, lock_timeout_ms=20_000):
        assert prod.read_text() == "v1\n"
        prod.write_text("v2")
    assert prod.read_text() == "v2"


def test_C28_a_kill_at_any_moment_leaves_a_mark_that_can_be_used(prod: Path) -> None:
    code = (
        "import sys\n"
        "from orxaq_mesh.gate import gate\n"
        "for token in range(int(sys.argv[2]), 10**9):\n"
        "    with gate(sys.argv[1], token):\n"
        "        print(token, flush=True)\n"
    )
    first = 2  # there is always a lower one
    for kill_after in (1, 2, 5, 9, 14):
        running = subprocess.Popen(
            [sys.executable, "-c", code, str(prod), str(first)], stdout=subprocess.PIPE, text=True
        )
        assert running.stdout is not None
        for _ in range(kill_after):
            running.stdout.readline()
        running.kill()
        told = [int(line) for line in running.communicate(timeout=20)[0].splitlines() if line]
        token, _ = marked(prod)
        assert token >= max(told, default=first + kill_after - 1), "what was let in stands in the mark"
        with pytest.raises(Fenced):
            enter(prod, token - 1)
        first = token + 1
        enter(prod, first)


def test_C28_what_a_killed_gate_left_half_written_is_no_obstacle(prod: Path) -> None:
    enter(prod, 8)
    mark_of(prod).with_suffix(".gate.new").write_bytes(b'{"pid":1,"se')
    enter(prod, 9)
    assert marked(prod) == (9, "")
    assert sorted(path.name for path in prod.parent.iterdir()) == ["prod.txt.gate", "prod.txt.gate.lock"]


def test_FENCE_the_mark_is_on_the_disk_before_the_work_begins(prod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(fd: int) -> None:
        done.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        sync(fd)

    def noted_replace(path: Path, target: Path) -> Path:
        done.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    with gate(prod, 9):
        assert done == ["file", "rename", "directory"]


def test_C29_a_held_resource_names_the_holder_since_when_and_what_to_do(prod: Path) -> None:
    with gate(prod, 9), pytest.raises(MeshFault) as caught, gate(prod, 9, lock_timeout_ms=60):
        pass
    assert f"process {os.getpid()} " in caught.value.what
    assert caught.value.facts["since"].endswith("Z")
    assert caught.value.facts["since"] in caught.value.what
    assert "--lock-timeout" in caught.value.hint


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\0" * 40,
        b'{"token":9',
        b"[9]",
        b"{}",
        b'{"token":"9"}',
        b'{"token":true}',
        b'{"token":9.0}',
        b'{"token":0}',
        b'{"token":9,"seal":null}',
        b'{"token":9}{"token":8}',
        b'{"token":9}' + b" " * 5000,
        b"\xff\xfe9",
    ],
)
def test_CLOSED_a_damaged_mark_lets_nobody_in_and_is_not_overwritten(prod: Path, damage: bytes) -> None:
    mark_of(prod).write_bytes(damage)
    with pytest.raises(MeshFault, match="damaged") as caught:
        enter(prod, 10)
    assert str(mark_of(prod)) in caught.value.what
    assert "echo" in caught.value.hint
    assert mark_of(prod).read_bytes() == damage


def test_CLOSED_the_mend_that_the_error_names_works(tmp_path: Path) -> None:
    prod = tmp_path / "it's prod"
    mark_of(prod).write_bytes(b"garbage")
    with pytest.raises(MeshFault) as caught:
        enter(prod, 8)
    mend = caught.value.hint.partition("write it: ")[2]
    subprocess.run(["sh", "-c", mend], check=True)
    with pytest.raises(MeshFault, match="damaged"):
        enter(prod, 8)  # pasted without a look at it, it lets nobody in
    subprocess.run(["sh", "-c", mend.replace("N", "9", 1)], check=True)
    with pytest.raises(Fenced, match="8 < 9"):
        enter(prod, 8)
    enter(prod, 10)


def test_CLOSED_a_mark_that_cannot_be_written_lets_nobody_in(tmp_path: Path) -> None:
    with pytest.raises(MeshFault, match="no directory"):
        enter(tmp_path / "absent" / "prod.txt", 9)
    mark_of(tmp_path / "other").mkdir()
    with pytest.raises(MeshFault, match="no regular file"):
        enter(tmp_path / "other", 9)


@pytest.mark.parametrize("text", ["", "0", "-1", "+1", "1.0", "1e3", " 9", "9 ", "9\n", "0x9", "9" * 17, "٩", "9:"])
def test_FENCE_what_is_no_token_is_a_usage_error(text: str) -> None:
    with pytest.raises(Usage, match="token"):
        parse_token(text)


def test_FENCE_the_text_forms_of_a_token() -> None:
    assert parse_token("9") == (9, "")
    assert parse_token("9", OAK) == parse_token(f"9:{OAK}") == parse_token(f"9:{OAK}", OAK) == (9, OAK)
    assert parse_token(str(2**53 - 1)) == (2**53 - 1, "")
    for text, seal in ((str(2**53), ""), (f"9:{OAK}", ELM), ("9", "xyz"), (f"9:{OAK[:-1]}", ""), ("9", OAK.upper())):
        with pytest.raises(Usage):
            parse_token(text, seal)


@pytest.mark.parametrize("token", [True, 9.0, "9", None, 0, -1, 2**53])
def test_FENCE_the_python_twin_takes_only_whole_numbers(prod: Path, token: object) -> None:
    with pytest.raises(Usage):
        enter(prod, token)  # type: ignore[arg-type]
    assert not mark_of(prod).exists()


@pytest.mark.parametrize("name", ["", "/", ".", "..", "a/..", "a\0b"])
def test_gate_refuses_names_of_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Usage, match="names no resource"):
        enter(Path(name) if name in {"/", ".."} else name, 9)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_FENCE_the_mark_lies_beside_the_name_not_beside_what_a_link_points_to(tmp_path: Path) -> None:
    current = tmp_path / "current"
    (tmp_path / "release-7").mkdir()
    (tmp_path / "release-8").mkdir()
    current.symlink_to("release-7")
    with gate(current, 9):
        current.unlink()
        current.symlink_to("release-8")
    with pytest.raises(Fenced):
        enter(current, 8)


@pytest.mark.parametrize("kind", ["pipe", "directory", "link", "device"])
def test_CLOSED_a_mark_that_is_no_plain_file_is_refused_and_not_opened(prod: Path, kind: str) -> None:
    mark = mark_of(prod)
    if kind == "pipe":
        os.mkfifo(mark)
    elif kind == "directory":
        mark.mkdir()
    else:
        mark.symlink_to("/dev/zero" if kind == "device" else prod.with_name("elsewhere"))
    process = gated(prod, "9", "touch", str(prod))
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 1
    assert "is no regular file" in said
    assert not prod.exists()
