"""`mesh demo` as a user runs it; that it leaves nothing behind; and that it says so when something did not happen."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hubs import wait_until

from orxaq_mesh.demo import play
from orxaq_mesh.demo.acts import BAD, GOOD, PLAIN, TTL_MS, LeftSide, Line, must
from orxaq_mesh.demo.lockfile import LockFile
from orxaq_mesh.demo.page import ASLEEP, AT_WORK, CROSS, Bar, Page
from orxaq_mesh.demo.release import NEEDS, SLEEPER, STRUCK
from orxaq_mesh.demo.stage import Missed, Stage
from orxaq_mesh.demo.tally import count
from orxaq_mesh.demo.world import Run, World
from tools.picture import TARGET, svg

MESH = [sys.executable, "-m", "orxaq_mesh"]
ONE_PERFORMANCE = pytest.mark.xdist_group("demo")


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One performance: its document, what stayed in the temporary directory, and how it ended."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run([*MESH, "demo", "--json"], capture_output=True, env=environ(folder), cwd=folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(done.stdout)["data"]
    return {**document, "left_over": sorted(path.name for path in folder.iterdir())}


def environ(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)}


def words(shown: dict[str, Any], act: int, side: str) -> str:
    return " / ".join(line["text"] for line in shown["acts"][act][side])


@ONE_PERFORMANCE
def test_C9_the_lock_file_loses_v2_and_the_mesh_does_not(shown: dict[str, Any]) -> None:
    assert shown["ok"] is True
    assert shown["prod"] == {"left": "v1", "right": "v2"}
    assert "prod.txt is v2" in words(shown, 3, "left")
    assert "prod.txt is v2" in words(shown, 3, "right")
    assert "prod.txt is v1" in words(shown, 4, "left")
    assert shown["seconds"] < 120  # no timed assertion: only that somebody counted


@ONE_PERFORMANCE
def test_C9_the_take_over_came_after_a_ttl_of_silence(shown: dict[str, Any]) -> None:
    asleep = max(line["at_ms"] for line in shown["acts"][2]["right"])
    granted = shown["acts"][3]["right"][0]
    assert granted["at_ms"] - asleep >= TTL_MS - 1000
    assert granted["facts"]["verdict"] == "applied"


@ONE_PERFORMANCE
def test_FENCE_the_gate_refuses_the_lower_token(shown: dict[str, Any]) -> None:
    refused = shown["acts"][4]["right"][0]
    assert refused["facts"]["code"] == "fenced"
    assert refused["facts"]["token"] < refused["facts"]["mark"]
    assert f"{refused['facts']['token']} < {refused['facts']['mark']}" in refused["text"]


@ONE_PERFORMANCE
def test_FENCE_every_node_fences_the_sleepers_report(shown: dict[str, Any]) -> None:
    fenced = shown["proofs"]["fenced"]
    assert sorted(fenced) == ["ash", "elm", "oak"]
    assert {(item["verdict"], item["rule"], item["kind"]) for item in fenced.values()} == {
        ("fenced", "FENCE", "event.publish")
    }
    assert len({item["id"] for item in fenced.values()}) == 1


@ONE_PERFORMANCE
def test_SET_all_digests_are_equal(shown: dict[str, Any]) -> None:
    verified = shown["proofs"]["verified"]
    assert sorted(verified) == ["ash", "elm", "oak"]
    assert len({(item["state"], item["epoch"], item["records"]) for item in verified.values()}) == 1


@ONE_PERFORMANCE
def test_CHAIN_the_flipped_byte_is_found(shown: dict[str, Any]) -> None:
    flipped = shown["proofs"]["flipped"]
    assert flipped["was"] != flipped["became"]
    assert flipped["exit"] == 6
    assert (flipped["finding"]["file"], flipped["finding"]["line"]) == (flipped["file"], flipped["line"])


@ONE_PERFORMANCE
def test_SIG_the_last_line_can_be_pasted(shown: dict[str, Any]) -> None:
    signature = shown["proofs"]["ssh_keygen"]
    again = subprocess.run(["sh", "-c", signature["command"]], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout.strip()) == (0, signature["answer"])


@ONE_PERFORMANCE
def test_TASK_6_every_task_of_the_release_is_effective_once(shown: dict[str, Any]) -> None:
    assert len(NEEDS) == 12
    assert set(shown["release"]["inside"]) == set(NEEDS)
    assert len({found["record"] for found in shown["release"]["inside"].values()}) == len(NEEDS)


@ONE_PERFORMANCE
def test_FENCE_behind_the_gate_stands_what_the_ledger_counts(shown: dict[str, Any]) -> None:
    written = {(run["task"], run["token"]) for run in shown["release"]["written"]}
    assert {(task, found["token"]) for task, found in shown["release"]["inside"].items()} <= written


@ONE_PERFORMANCE
def test_what_ran_more_than_once_outside_is_counted_and_explained(shown: dict[str, Any]) -> None:
    release = shown["release"]
    assert len(release["runs"]) == len(NEEDS) + len(release["again"])
    why = {run["pid"]: run["why"] for run in release["again"]}
    killed = next(run for run in release["again"] if "power failed" in run["why"])
    asleep = next(run for run in release["again"] if "slept longer" in run["why"])
    assert (killed["node"], killed["how"]) == (STRUCK, "")
    assert (asleep["node"], asleep["how"]) == (SLEEPER, "refused")
    assert asleep["token"] < asleep["mark"]
    assert len(why) == len(release["again"])
    takes = [line for line in release["acts"][2]["lines"] if "watched_ms" in line["facts"]]
    assert {line["facts"]["task"] for line in takes} == {killed["task"], asleep["task"]}
    assert all(line["facts"]["watched_ms"] >= TTL_MS for line in takes)


@ONE_PERFORMANCE
def test_TASK_7_every_task_has_a_receipt_of_the_file_that_it_made(shown: dict[str, Any]) -> None:
    for task, found in shown["release"]["inside"].items():
        made = f"{task}: by {found['node']}, token {found['token']}\n"
        assert shown["release"]["artefacts"][task] == sha256(made.encode()).hexdigest()


@ONE_PERFORMANCE
def test_only_what_the_last_line_needs_stays(shown: dict[str, Any]) -> None:
    (proof,) = shown["left_over"]
    assert proof.startswith("mesh-demo-proof-")


@pytest.mark.parametrize(
    ("number", "running"),
    [(signal.SIGTERM, "-m orxaq_mesh init"), (signal.SIGINT, "-m orxaq_mesh.demo.chore")],
    ids=["early", "at-work"],
)
def test_an_interrupted_demo_leaves_no_process_and_no_file(
    tmp_path: Path, number: signal.Signals, running: str
) -> None:
    demo = subprocess.Popen(
        [*MESH, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ(tmp_path), cwd=tmp_path
    )
    wait_until(lambda: any(running in process for process in living(tmp_path)), 60)
    demo.send_signal(number)
    out, errors = demo.communicate(timeout=20)
    assert demo.returncode == 130, (out, errors)
    assert b"Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    wait_until(lambda: not living(tmp_path), 5)


def living(folder: Path) -> list[str]:
    """The processes that have a directory in their command line or environment."""
    if Path("/proc/self/environ").exists():
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                found.append(
                    b" ".join((process / part).read_bytes() for part in ("cmdline", "environ")).decode(
                        "utf-8", "replace"
                    )
                )
        found = [process.replace("\0", " ") for process in found]
    else:
        argv = ["ps", "axeww", "-o", "command="]
        found = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in found if str(folder) in line]


def test_what_did_not_happen_is_said_and_is_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(side: Any) -> None:
        must(side.name == "left", "on the right prod.txt stays v2")

    monkeypatch.setattr(play, "ACTS", (("An act that goes wrong", act),))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert play.play(keep=False, as_json=False) == 1
    assert "this did not happen: on the right prod.txt stays v2" in capsys.readouterr().out
    assert play.play(keep=False, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)["data"]
    assert (document["ok"], document["missed"]) == (False, "this did not happen: on the right prod.txt stays v2")
    assert list(tmp_path.iterdir()) == []


def test_what_did_not_happen_in_the_release_is_exit_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(play, "ACTS", ())
    monkeypatch.setattr(
        play, "RELEASE_ACTS", (("An act that goes wrong", lambda release: must(False, "oak works on")),)
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert play.play(keep=False, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["data"]["missed"] == "this did not happen: oak works on"


class Played:
    """A release that is over, in three laptops' words: all of it can be told otherwise."""

    def __init__(self, folder: Path) -> None:
        self.right, self.world = self, World(folder / "world")
        self.top, self.records, told = folder, list[dict[str, Any]](), list[dict[str, Any]]()
        runs = [(task, "oak", 20 + number, 900 + number, "wrote") for number, task in enumerate(NEEDS)]
        late = [("lint", STRUCK, 7, 7, ""), ("docs", SLEEPER, 8, 8, "refused")]
        self.struck = {node: Run(task, node, token, pid, 5) for task, node, token, pid, _ in late}
        for task, node, token, pid, how in [*late, *runs]:
            run = {"task": task, "node": node, "token": token, "pid": pid, "at_ms": 5, "mark": 40}
            told += [{**run, "did": did} for did in ("began", how) if did]
            if how == "wrote":
                self.file(task, token)
        (self.world.folder / "outside.ndjson").write_text("".join(json.dumps(line) + "\n" for line in told))

    def file(self, task: str, token: int) -> None:
        text, file = f"{task}: by oak, token {token}\n", self.top / f"{task}.txt"
        file.write_text(text)
        (self.world.folder / file.name).write_text(text)
        made = {"path": file.name, "bytes": len(text), "sha256": sha256(text.encode()).hexdigest()}
        self.said("task.receipt", task, token, artefacts=[made])
        self.said("task.finish", task, token, outcome="succeeded")

    def said(self, kind: str, task: str, token: int, verdict: str = "applied", **body: Any) -> None:
        under = {"lease": f"task:release/{task}", "token": token}
        record = {"id": f"{len(self.records)}", "node": "oak-3f9a01c2", "kind": kind, "verdict": verdict}
        self.records.append({**record, "body": {**body, "under": under}})

    def mesh(self, *_words: str) -> list[dict[str, Any]]:
        return self.records

    def folder(self, _node: str) -> Path:
        return self.top


def test_the_tally_counts_what_is_there(tmp_path: Path) -> None:
    tally = count(Played(tmp_path))  # type: ignore[arg-type]
    assert (len(tally.inside), len(tally.written), len(tally.runs), len(tally.artefacts)) == (12, 12, 14, 12)
    assert [(found.run.task, found.run.node) for found in tally.again] == [("lint", STRUCK), ("docs", SLEEPER)]
    assert "8 < 40" in tally.again[1].why


def finished_twice(played: Played) -> None:
    played.said("task.finish", "lint", 50, outcome="succeeded")


def finished_never(played: Played) -> None:
    played.records = [item for item in played.records if item["body"]["under"]["lease"] != "task:release/tidy"]


def written_late(played: Played) -> None:
    (played.world.folder / "docs.txt").write_text(f"docs: by {SLEEPER}, token 8\n")


def report_applied(played: Played) -> None:
    played.said("task.receipt", "docs", 8, artefacts=[])


def file_changed(played: Played) -> None:
    (played.top / "docs.txt").write_text("docs: by oak, token 99\n")


@pytest.mark.parametrize(
    ("wrong", "missed"),
    [
        (finished_twice, "effective once"),
        (finished_never, "effective once"),
        (written_late, "behind the gate"),
        (report_applied, "is fenced"),
        (file_changed, "what its receipt says"),
    ],
)
def test_TASK_6_the_tally_misses_nothing(tmp_path: Path, wrong: Callable[[Played], None], missed: str) -> None:
    played = Played(tmp_path)
    wrong(played)
    with pytest.raises(Missed, match=missed):
        count(played)  # type: ignore[arg-type]


BUSY = """
import subprocess, threading
def start_others():
    while True:
        subprocess.run(["true"])
for _ in range(3):
    threading.Thread(target=start_others).start()
"""


def test_who_starts_others_all_the_time_can_be_put_to_sleep_at_any_moment() -> None:
    """A child that is stopped while it is being born would keep its parent from stopping, ever."""
    stood: list[bool] = []
    with Stage() as stage:
        busy = stage.start([sys.executable, "-c", BUSY], listen=False)

        def sleep_and_wake() -> None:
            for _ in range(200):
                stood.append(busy.freeze())
                busy.wake()
                time.sleep(0.003)  # it is to be in the middle of something else each time

        sleeper = threading.Thread(target=sleep_and_wake, daemon=True)
        sleeper.start()
        sleeper.join(60)
    assert stood == [True] * 200


def test_a_side_that_fails_does_not_wait_for_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(side: Any) -> None:
        if side.name == "right":
            must(False, "the right side goes on")
        side.stage.start(["sleep", "60"]).line("acquired")

    monkeypatch.setattr(play, "ACTS", (("One waits, one fails", act),))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    begun = time.monotonic()
    assert play.play(keep=False, as_json=True) == 1
    assert time.monotonic() - begun < 30


def test_keep_leaves_the_directory_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(play, "ACTS", (("Nothing but a hub", lambda side: side.name == "left" and side.set()),))
    monkeypatch.setattr(play.Play, "_release", lambda self, release: None)
    monkeypatch.setattr(play.Play, "_proofs", lambda self, right: self._end("true"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert play.play(keep=True, as_json=False) == 0
    (kept,) = tmp_path.iterdir()
    assert (kept / "left" / "hub.git" / "HEAD").exists()
    assert str(kept) in capsys.readouterr().out


def test_C12_the_lock_file_on_the_left_is_an_honest_lock(tmp_path: Path) -> None:
    """A fair comparison: it excludes, it swaps only what it has read, it deletes only its own."""
    with Stage() as stage:
        side = LeftSide(stage)
        side.set()
        hub = str(side.folder / "hub.git")
        oak, elm, fir = (
            LockFile(hub, side.folder / f"{name}.git", name, ttl_ms, stage.env)
            for name, ttl_ms in (("oak", 60_000), ("elm", 60_000), ("oak", 60_000))
        )
        oak.acquire()
        assert oak.is_mine()
        assert not elm.is_mine()
        assert elm.read().owner == "oak"
        assert not fir.release()  # it holds nothing, so there is nothing that it may delete
        assert oak.is_mine()
        assert oak.release()
        assert elm.acquire().commit == ""
        assert not oak.is_mine()
        assert not oak.release()
        assert elm.is_mine()


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


LINES = [
    Line(400, "oak", "granted the lease: token 4, 3 s " + "and then some more words " * 4, PLAIN, {}),
    Line(12_300, "elm", "writes: prod.txt is v2 \x1b[2J\u202e", GOOD, {}),
]


BARS = [
    Bar("fetch", "oak 14", [(400, 900, AT_WORK)], True),
    Bar("test-unit \x1b[2J", "ash 15", [(900, 950, AT_WORK), (950, 9_000, ASLEEP), (9_000, 0, CROSS)], False),
    Bar("tidy", "elm 31", [(9_990, 10_000, AT_WORK)], True),
]


def drawn(columns: int, monkeypatch: pytest.MonkeyPatch, **environ: str) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    page = Page(out, environ)
    page.title("A headline", "What is beneath it, in a sentence that is longer than eighty columns " * 3)
    page.heads(("LEFT", "what the left is"), ("RIGHT", "what the right is " * 5))
    page.act("An act with a name")
    page.sides(LINES, LINES[:1])
    page.verdict(("it went wrong " * 8, BAD), ("it went well", GOOD))
    page.found("mesh verify: exit 6", "a finding " * 20)
    page.lines(LINES)
    page.chart(BARS)
    return out.getvalue()


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = re.sub(r"\x1b\[[0-9;]*m", "", drawn(columns, monkeypatch)).split("\n")
    assert max(map(len, rows)) <= columns
    assert any("\u2502" in row for row in rows) is (columns >= 100)
    bars = {row.index("\u2502") for row in rows if "\u2502" in row}
    assert len(bars) <= 1


def test_the_chart_is_on_one_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = re.sub(r"\x1b\[[0-9;]*m", "", drawn(120, monkeypatch)).split("\n")
    fetch, test, tidy = (row for row in rows if AT_WORK in row)
    assert (
        fetch.index(AT_WORK) < test.index(AT_WORK) < test.index(ASLEEP) < test.index(CROSS, 10) <= tidy.index(AT_WORK)
    )
    assert fetch.count(AT_WORK) * 10 < test.count(ASLEEP)


def test_B8_no_word_of_a_ledger_moves_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(120, monkeypatch)
    assert "\x1b[2J" not in text
    assert "\u202e" not in text


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[" in drawn(120, monkeypatch)
    assert "\x1b[" not in drawn(120, monkeypatch, NO_COLOR="1")
    assert "\x1b[" not in drawn(120, monkeypatch, TERM="dumb")


def test_a_terminal_without_unicode_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Terminal, "encoding", "ascii")
    assert drawn(120, monkeypatch).isascii()


def test_B8_the_picture_is_sound_xml_with_every_word_in_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = ElementTree.fromstring(svg(drawn(120, monkeypatch)))
    texts = [element for element in picture.iter() if element.tag.endswith("text")]
    said = " ".join(element.text or "" for element in texts)
    assert "A headline" in said
    assert "granted the lease: token 4" in said
    assert all(ord(char) >= 0x20 for char in said)
    bars = {element.get("d", "").split(" ")[0] for element in picture.iter() if "v" in element.get("d", "")}
    assert len(bars) == 1


def test_the_readmes_picture_is_one_of_the_real_program() -> None:
    picture = ElementTree.parse(TARGET).getroot()
    said = " ".join(element.text or "" for element in picture.iter())
    for words_ in (
        "A LOCK FILE ON GIT",
        "ORXAQ-MESH",
        "oak says: fenced",
        "mesh verify: exit 6",
        'Good "orxaq-mesh:',
        "12 tasks, each effective once",
        "ran twice",
    ):
        assert words_ in said
