"""The events of an attempt: each number once, over crashes and full disks; and who reads along."""

from __future__ import annotations

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.worker import events
from orxaq_mesh.worker.events import ExecutionLog, follow, read
from worker.attempts import Attempt, script, wait_for


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "exec.jsonl"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """The kernel takes only a part of what goes beyond: a full disk, in small."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def numbers(path: Path) -> list[int]:
    return [event["seq"] for event in read(path)]


def test_numbers_go_on_when_the_file_is_opened_again(path: Path) -> None:
    for _ in range(3):
        with ExecutionLog(path) as log:
            assert log.append("exec.begin", step="a") == log.seq
            log.append("exec.end", step="a")
    assert numbers(path) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("left", [1, 20, 60, 120, 160])
def test_a_torn_last_line_is_cut_off_and_its_number_used(path: Path, left: int) -> None:
    with ExecutionLog(path) as log:
        log.append("exec.begin", step="a")
        log.append("exec.chunk", text="torn " * 20)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(lines[0] + b"\n" + lines[1][:left])
    assert numbers(path) == [1]
    with ExecutionLog(path) as log:
        assert path.read_bytes() == lines[0] + b"\n"
        assert log.append("exec.retry") == 2
    assert [event["event"] for event in read(path)] == ["exec.begin", "exec.retry"]


def test_a_file_that_holds_only_a_torn_line_begins_anew(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b'{"at":"2026')
    with ExecutionLog(path) as log:
        assert log.append("exec.begin") == 1
    assert numbers(path) == [1]


def test_a_full_disk_leaves_no_gap(path: Path) -> None:
    with ExecutionLog(path) as log:
        log.append("exec.begin", step="a")
        whole = path.read_bytes()
        with files_of_at_most(len(whole) + 30), pytest.raises(MeshFault, match="cannot write"):
            log.append("exec.chunk", text="x" * 100)
        assert path.read_bytes() == whole
        assert log.append("exec.end") == 2
    assert numbers(path) == [1, 2]


def test_a_full_disk_ends_the_telling_and_not_the_command(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    with files_of_at_most(12_000):
        ended = attempt.run(script("i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; touch done"))
    assert ended.good
    assert ended.out.cut
    assert ended.out.tail.endswith("line 3000\n")
    assert (attempt.work / "done").exists()
    with ExecutionLog(attempt.logs / "exec.jsonl") as log:
        log.append("exec.retry")
    seqs = [event["seq"] for event in attempt.events()]
    assert seqs == list(range(1, len(seqs) + 1))


@pytest.mark.parametrize("content", [b"not json\n", b"[]\n", b'{"seq":"1"}\n', b"x" * 2_000_000])
def test_what_is_no_log_is_not_written_to(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content)
    with pytest.raises(MeshFault, match="something else"):
        ExecutionLog(path)
    assert path.read_bytes() == content


def test_a_missing_or_damaged_event_is_told_with_its_line(path: Path) -> None:
    with ExecutionLog(path) as log:
        for text in "abc":
            log.append("exec.chunk", text=text)
    lines = path.read_bytes().splitlines(keepends=True)
    for content in (lines[0] + lines[2], lines[0] + b"{}\n", lines[0] + b"\0\0\n"):
        path.write_bytes(content)
        with pytest.raises(MeshFault, match="line 2 is damaged, or event 2 is missing"):
            list(read(path))


@given(st.lists(st.text(max_size=50), max_size=8))
def test_any_text_is_one_line_and_comes_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("log") / "exec.jsonl"
    with ExecutionLog(path) as log:
        for text in texts:
            log.append("exec.chunk", text=text)
    assert [event["text"] for event in read(path)] == texts
    assert path.read_bytes().count(b"\n") == len(texts)


def test_who_follows_sees_each_event_as_it_comes_and_ends_with_the_work(path: Path) -> None:
    seen: list[int] = []
    reader = threading.Thread(target=lambda: seen.extend(event["seq"] for event in follow(path, threading.Event())))
    reader.start()  # before there is a file
    with ExecutionLog(path) as log:
        for number in range(1, 21):
            log.append("exec.chunk", text="x")
            if number % 7 == 0:
                log.append("exec.chunk", text="y")
        log.end("succeeded")
    reader.join(10)
    assert seen == list(range(1, 24))


def test_who_follows_does_not_wait_for_the_end_to_see_the_beginning(path: Path) -> None:
    stop = threading.Event()
    coming = follow(path, stop)
    with ExecutionLog(path) as log:
        for text in "abc":
            log.append("exec.chunk", text=text)
            assert next(coming)["text"] == text
        stop.set()
        assert list(coming) == []


def test_who_follows_outlives_a_worker_that_was_killed(path: Path) -> None:
    seen: list[str] = []
    stop = threading.Event()
    reader = threading.Thread(target=lambda: seen.extend(event["event"] for event in follow(path, stop)))
    with ExecutionLog(path) as log:
        log.append("exec.begin")
    with path.open("ab") as file:
        file.write(orjson.dumps({"seq": 2, "event": "exec.chunk"})[:12])
    reader.start()
    wait_for(lambda: seen == ["exec.begin"] or reader.is_alive())
    with ExecutionLog(path) as log:
        log.append("exec.begin")
        log.end("failed")
    reader.join(10)
    assert seen == ["exec.begin", "exec.begin", "work.end"]


def test_who_follows_may_see_half_of_what_is_being_cut_off(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExecutionLog(path) as log:
        log.append("exec.begin")
        log.end("failed")
    true, calls = events._lines, []

    def lines(path: Path, offset: int) -> Iterator[bytes]:
        calls.append(offset)
        mixed = path.read_bytes()[:20] + b'c":"exec.begin","seq":1}\n'
        return iter([mixed]) if len(calls) == 1 else true(path, offset)

    monkeypatch.setattr(events, "_lines", lines)
    assert [event["event"] for event in follow(path, threading.Event())] == ["exec.begin", "work.end"]
    assert calls == [0, 0]


def test_there_is_nothing_to_read_where_there_is_no_file(path: Path) -> None:
    assert list(read(path)) == []
