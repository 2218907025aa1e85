"""Receipts: what they hold, that they can be checked, and that nothing outside the folder gets into one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import orjson
import pytest

from orxaq_mesh.errors import Usage
from orxaq_mesh.worker.output import Stream
from orxaq_mesh.worker.receipts import check, found, receipt
from orxaq_mesh.worker.step import Exit, Step
from worker.attempts import Attempt, script

STEP = Step("build", ("make", "all"), phase="run")
DONE = Exit("exited", 0, None, 12, Stream(size=3), Stream())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "work"
    for name in ("dist/b.whl", "dist/a.whl", "dist/deep/c.whl", "dist/a.txt", "log", ".hidden/x.whl", "sp ace/ü.whl"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.whl").write_text("secret")
    return here


def test_a_receipt_of_a_real_run_can_be_checked(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    step = script("mkdir dist; printf wheel > dist/a.whl; echo built; echo warned >&2; exit 3")
    told = receipt(step, attempt.run(step), attempt.work, ["dist/*"], commit="ab" * 20)
    assert told.pop("duration_ms") >= 0
    assert told == {
        "step": "try",
        "phase": "run",
        "command": ["sh", "-c", step.script],
        "exit": 3,
        "outcome": "exited",
        "output": {
            "out": {"bytes": 6, "sha256": hashlib.sha256(b"built\n").hexdigest(), "truncated": False},
            "err": {"bytes": 7, "sha256": hashlib.sha256(b"warned\n").hexdigest(), "truncated": False},
        },
        "artefacts": [{"path": "dist/a.whl", "bytes": 5, "sha256": hashlib.sha256(b"wheel").hexdigest()}],
        "commit": "ab" * 20,
    }
    assert check(orjson.loads(orjson.dumps(told)), attempt.work) == []


def test_what_is_gone_or_differs_is_named(folder: Path) -> None:
    told = receipt(STEP, DONE, folder, ["dist/*", "log"])
    assert "commit" not in told
    (folder / "dist/a.whl").write_text("DIST/a.whl")
    (folder / "dist/b.whl").write_text("longer than it was")
    (folder / "log").unlink()
    wrong = check(told, folder)
    assert [sentence.split("'")[1] for sentence in wrong] == ["dist/a.whl", "dist/b.whl", "log"]
    assert "sha256" in wrong[0]
    assert "18 bytes, not 10" in wrong[1]
    assert "missing" in wrong[2]


@pytest.mark.parametrize(
    ("globs", "paths"),
    [
        (["dist/*.whl"], ["dist/a.whl", "dist/b.whl"]),
        (["dist/*"], ["dist/a.txt", "dist/a.whl", "dist/b.whl"]),
        (["dist/**"], ["dist/a.txt", "dist/a.whl", "dist/b.whl", "dist/deep/c.whl"]),
        (["dist/**/*.whl"], ["dist/a.whl", "dist/b.whl", "dist/deep/c.whl"]),
        (["**/c.whl"], ["dist/deep/c.whl"]),
        (["**/log"], ["log"]),
        (["./dist/./a.whl"], ["dist/a.whl"]),
        (["dist/?.whl", "dist/a.*"], ["dist/a.txt", "dist/a.whl", "dist/b.whl"]),
        (["dist/[!b].whl"], ["dist/a.whl"]),
        (["dist/[b-z].whl"], ["dist/b.whl"]),
        (["dist/[].whl"], []),
        (["dist/A.whl", "nothing/*", "dist"], []),
        (["log", "log"], ["log"]),
        (["sp ace/*"], ["sp ace/ü.whl"]),
        (["di(st|x)/a.whl", "dist/a.whl$"], []),
        ([], []),
    ],
)
def test_globs_name_files(folder: Path, globs: list[str], paths: list[str]) -> None:
    assert found(folder, globs) == paths


@pytest.mark.parametrize(
    "glob", ["../outside/*", "dist/../../outside/*", "/etc/passwd", "~/x", "C:/x", "a\\b", "", "a\0b", "**/.."]
)
def test_QUIET_a_glob_that_leads_out_of_the_folder_is_refused(folder: Path, glob: str) -> None:
    with pytest.raises(Usage, match="no path within"):
        found(folder, [glob])


@pytest.mark.parametrize("way", ["file", "folder", "folder in the glob", "broken"])
def test_QUIET_a_symlink_out_of_the_folder_is_refused(folder: Path, way: str) -> None:
    if way == "file":
        (folder / "dist/link.whl").symlink_to("../../outside/secret.whl")
    elif way == "broken":
        (folder / "dist/link.whl").symlink_to("../gone")
    else:
        (folder / "dist/link").symlink_to("../../outside")
    if way == "folder":
        assert "outside" not in "".join(found(folder, ["dist/**"]))
        return
    glob = "dist/link/*" if way == "folder in the glob" else "dist/*"
    with pytest.raises(Usage, match=r"leads out|leads nowhere"):
        found(folder, [glob])


def test_a_symlink_that_stays_in_the_folder_is_followed(folder: Path) -> None:
    (folder / "latest.whl").symlink_to("dist/a.whl")
    told = receipt(STEP, DONE, folder, ["latest.whl"])
    assert told["artefacts"] == [
        {"path": "latest.whl", "bytes": 10, "sha256": hashlib.sha256(b"dist/a.whl").hexdigest()}
    ]


@pytest.mark.parametrize("path", ["../outside/secret.whl", "/etc/passwd", "dist/link/secret.whl"])
def test_QUIET_a_strangers_receipt_reads_nothing_outside_the_folder(folder: Path, path: str) -> None:
    (folder / "dist/link").symlink_to("../../outside")
    told = {"artefacts": [{"path": path, "bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}]}
    [wrong] = check(told, folder)
    assert "within the folder" in wrong or "leads out" in wrong


@pytest.mark.parametrize("path", ["../work/log", "{}/log", "dist/../log"])
def test_QUIET_a_way_out_and_in_again_is_no_path_of_a_receipt(folder: Path, path: str) -> None:
    told = {"artefacts": [{"path": path.format(folder), "bytes": 3, "sha256": hashlib.sha256(b"log").hexdigest()}]}
    [wrong] = check(told, folder)
    assert "no path within the folder" in wrong


def test_a_pipe_is_no_artefact_and_nobody_waits_for_it(folder: Path) -> None:
    os.mkfifo(folder / "dist/pipe.whl")
    with pytest.raises(Usage, match="no file"):
        receipt(STEP, DONE, folder, ["dist/*.whl"])


def test_more_than_256_artefacts_are_refused_by_name(folder: Path) -> None:
    for number in range(256):
        (folder / f"dist/deep/{number}.o").touch()
    assert len(found(folder, ["dist/deep/*.o"])) == 256
    with pytest.raises(Usage, match=r"more than 256 artefacts.*dist/deep/\*"):
        found(folder, ["dist/deep/*"])


@pytest.mark.parametrize("name", ["a\n.whl", "a\u202e.whl", b"a\xff.whl"])
def test_QUIET_a_file_whose_name_cannot_be_shown_is_refused(folder: Path, name: str | bytes) -> None:
    (folder / "dist" / os.fsdecode(name)).touch()
    with pytest.raises(Usage, match="name that no receipt takes"):
        found(folder, ["dist/*.whl"])


def test_many_stars_take_no_time(folder: Path) -> None:
    (folder / "dist" / ("a" * 200)).touch()
    assert found(folder, ["dist/" + "*a" * 12 + "b", "**/" * 12 + "b"]) == []
