"""`mesh review`: real repositories, real patches, hostile ones among them."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import orjson
import pytest

from orxaq_mesh.home.place import Home
from orxaq_mesh.inspect import reviewing
from orxaq_mesh.inspect.reviewing import merged
from orxaq_mesh.reconcile import union
from orxaq_mesh.record import log_place
from orxaq_mesh.store.repository import Repository
from tests.builder import Trunk
from tests.pulls import MESH, Pulls, run


@pytest.fixture
def pulls(tmp_path: Path) -> Pulls:
    return Pulls(tmp_path / "work")


@pytest.fixture
def honest(pulls: Pulls) -> Pulls:
    """elm asks for what oak holds, and would wait in line."""
    pulls.branch("topic", pulls.lease(pulls.elm, "deploy", queue=True))
    return pulls


SPELLINGS = [["mesh..topic"], ["mesh...topic"], ["topic"], ["topic", "--base", "mesh"], ["topic", "--base", "topic~1"]]


@pytest.mark.parametrize("words", SPELLINGS, ids=" ".join)
def test_a_branch_is_reviewed_however_it_is_named(honest: Pulls, words: list[str]) -> None:
    done = honest.mesh("review", *words)
    assert (done.code, done.err) == (0, "")
    first, _, said = done.out.split("\n")[:3]
    assert first.startswith("may be merged: 1 record onto epoch 4 of ledger ")
    assert said.startswith("  - elm asks for lease `deploy` (held by oak")


def test_the_checked_out_branch_is_reviewed_where_none_is_named(honest: Pulls) -> None:
    honest.git("checkout", "--quiet", "topic")
    assert honest.mesh("review").out == honest.mesh("review", "mesh..topic").out
    assert honest.mesh("review", "mesh..").out == honest.mesh("review", "mesh..topic").out


def test_a_linked_worktree_has_a_branch_of_its_own(honest: Pulls, tmp_path: Path) -> None:
    honest.git("worktree", "add", "--quiet", str(tmp_path / "linked"), "topic")
    done = run([*MESH, "review"], tmp_path / "linked")
    assert done.out == honest.mesh("review", "mesh..topic").out
    honest.git("fetch", "--quiet", ".", "topic")
    assert honest.mesh("review", "FETCH_HEAD").out == done.out


def test_origins_trunk_goes_before_a_branch_of_ones_own_that_lags(honest: Pulls) -> None:
    honest.git("update-ref", "refs/remotes/origin/mesh", "topic")
    assert honest.mesh("review", "topic").out.startswith("may be merged: no new line")


def test_nothing_but_the_first_line_is_printed_where_asked(honest: Pulls) -> None:
    assert len(honest.mesh("review", "topic", "-q").out.splitlines()) == 1
    assert '"kind":"lease.acquire"' in honest.mesh("review", "topic", "-v").out
    assert '"kind":"lease.acquire"' not in honest.mesh("review", "topic").out


def test_json_tells_everything(honest: Pulls) -> None:
    for words in (["--json"], ["--format", "json"]):
        data = honest.mesh("review", "topic", *words).data
        assert (data["ok"], data["answer"], data["records"], data["seals"]) == (True, "yes", 1, 0)
        assert data["sentences"][0]["text"].startswith("elm asks for lease `deploy`")
        assert data["lines"][0]["file"] == log_place(honest.elm.log, 1).file
        assert orjson.loads(data["lines"][0]["text"])["kind"] == "lease.acquire"


def test_a_stale_token_is_refused_with_file_and_line(pulls: Pulls) -> None:
    pulls.branch("topic", pulls.oak.write("lease.renew", lease="deploy", session="s", token=1, ttl_ms=60_000))
    done = pulls.mesh("review", "topic", "--json")
    assert done.code == 3
    (finding,) = done.data["findings"]
    assert (finding["law"], finding["file"], finding["line"]) == ("FENCE", log_place(pulls.oak.log, 1).file, 4)


def test_RENDER_what_stands_beside_the_ledger_is_refused(pulls: Pulls) -> None:
    pulls.branch("topic", files={".github/workflows/x.yml": b"on: push\n"})
    done = pulls.mesh("review", "topic", "--json")
    assert done.code == 6
    assert [(f["law"], f["file"]) for f in done.data["findings"]] == [("RENDER", ".github/workflows/x.yml")]


@pytest.mark.parametrize("what", ["edited", "deleted", "reordered", "forged"])
def test_C18_a_line_that_is_not_just_added_is_refused(pulls: Pulls, what: str) -> None:
    path = log_place(pulls.oak.log, 1).file
    one, two, three = pulls.trunk.files[path].splitlines(keepends=True)
    files = {
        "edited": one + two.replace(b"elm", b"oak") + three,
        "deleted": one + two,
        "reordered": two + one + three,
        "forged": one + two + three + three.replace(b'"seq":3', b'"seq":4'),
    }
    pulls.branch("topic", files={path: files[what]})
    done = pulls.mesh("review", "topic", "--json")
    assert done.code == 6
    assert {finding["file"] for finding in done.data["findings"]} == {path}
    patch = pulls.git("diff", "mesh", "topic").encode() + b"\n"
    by_patch = pulls.mesh("review", "-", "--json", feed=patch)
    assert by_patch.data["findings"] == done.data["findings"]


def test_SIG_another_ledger_than_the_pinned_one_is_refused(honest: Pulls) -> None:
    id_ = str(honest.trunk.ledger.id)
    fingerprint = honest.oak.key.public.fingerprint
    for pin in (id_, id_[:16], fingerprint):
        assert honest.mesh("review", "topic", "--ledger", pin).code == 0
    for pin in ("0" * 64, id_[:8], honest.elm.key.public.fingerprint):
        done = honest.mesh("review", "topic", "--ledger", pin)
        assert (done.code, done.out) == (6, "")
        assert "invalid" in done.err


# Patches.


def test_a_patch_says_the_same_as_the_branch_that_it_was_made_from(honest: Pulls) -> None:
    wanted = honest.mesh("review", "topic", "--json").data
    for form in (["diff", "mesh...topic"], ["format-patch", "--stdout", "mesh..topic"]):
        patch = honest.git(*form).encode() + b"\n"
        assert honest.mesh("review", "-", "--json", feed=patch).data == wanted
        (honest.folder / "x.patch").write_bytes(patch)
        assert honest.mesh("review", "x.patch", "--json").data == wanted
        assert honest.mesh("review", "x.patch", "--base", "mesh", "--json").data == wanted


def test_a_patch_that_does_not_fit_is_a_finding_and_no_traceback(honest: Pulls) -> None:
    patch = honest.git("diff", "mesh~0", "topic").replace('"seq":', '"seq": ').encode()
    done = honest.mesh("review", "-", feed=patch)
    assert done.code == 6
    assert "does not fit" in done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize("feed", [b"", b"hello\n", b"\xff\x00\n"])
def test_what_is_no_patch_is_a_wrong_call(honest: Pulls, feed: bytes) -> None:
    done = honest.mesh("review", "-", feed=feed)
    assert (done.code, done.out) == (2, "")


# A base that moved on.


def test_RENDER_a_base_that_moved_on_takes_in_what_the_branch_added(honest: Pulls) -> None:
    wanted = honest.mesh("review", "mesh..topic", "--json").data
    honest.trunk.seal(honest.lease(honest.oak, "other"))
    honest.land()
    done = honest.mesh("review", "mesh..topic", "--json")
    assert done.code == 0
    assert [line["id"] for line in done.data["lines"]] == [line["id"] for line in wanted["lines"]]
    assert done.data["epoch"] == wanted["epoch"] + 1
    assert "moved on" in done.data["notes"][0]


def test_C18_what_a_branch_took_away_is_seen_though_its_base_moved_on(pulls: Pulls) -> None:
    path = log_place(pulls.oak.log, 1).file
    pulls.branch("topic", files={path: b"".join(pulls.trunk.files[path].splitlines(keepends=True)[:-1])})
    pulls.trunk.seal(pulls.lease(pulls.oak, "other"))
    pulls.land()
    done = pulls.mesh("review", "mesh..topic", "--json")
    assert done.code == 6
    assert path in {finding["file"] for finding in done.data["findings"]}


def test_a_record_that_the_base_has_by_now_is_not_new(pulls: Pulls) -> None:
    wish = pulls.lease(pulls.elm, "deploy", queue=True)
    pulls.branch("topic", wish)
    pulls.trunk.seal(wish)
    pulls.trunk.seal(pulls.lease(pulls.elm, "third"))
    pulls.land()
    data = pulls.mesh("review", "mesh..topic", "--json").data
    assert (data["ok"], data["records"]) == (True, 0)


def test_what_a_side_made_of_a_file_is_put_onto_the_base_line_by_line() -> None:
    a, b, c, d = (b'{"kind":"x","seq":%d}\n' % seq for seq in range(1, 5))
    assert merged(a, a + b, a) == a + b
    assert merged(a, a + c, a + b) == a + b + c
    assert merged(None, a, b) == a + b
    assert merged(a + b, a, a + b + c) == a + c
    assert merged(a + b, None, a + b + c) == c
    assert merged(a + b, None, a + b) is None
    assert merged(a + b, b + a, a + b + d) == b + a + d
    assert merged(a, a + b"garbage\n", a + b) == a + b + b"garbage\n"


# What could not be known.


def test_B15_a_shallow_clone_says_what_it_could_not_know(honest: Pulls, tmp_path: Path) -> None:
    honest.trunk.seal(honest.lease(honest.oak, "other"))
    honest.land()
    honest.git(
        "clone",
        "--quiet",
        "--bare",
        "--depth=1",
        "--no-single-branch",
        f"file://{honest.folder}",
        str(tmp_path / "cut"),
    )
    done = honest.mesh("review", "mesh..topic", "--repo", str(tmp_path / "cut"))
    assert done.code == 5
    assert done.out.startswith("cannot be judged")
    assert "shallow" in done.out
    assert "elm asks for lease `deploy`" in done.out


def test_B15_a_shallow_clone_that_holds_where_the_two_parted_is_enough(honest: Pulls, tmp_path: Path) -> None:
    honest.git(
        "clone",
        "--quiet",
        "--bare",
        "--depth=2",
        "--no-single-branch",
        f"file://{honest.folder}",
        str(tmp_path / "cut"),
    )
    assert honest.mesh("review", "mesh..topic", "--repo", str(tmp_path / "cut")).code == 0


def test_two_histories_with_nothing_in_common_are_not_called_good(honest: Pulls) -> None:
    honest.git("checkout", "--quiet", "--orphan", "stranger", "topic")
    honest.git("commit", "--quiet", "-m", "anew")
    honest.git("checkout", "--quiet", "mesh")
    done = honest.mesh("review", "mesh..stranger", "--json")
    assert (done.code, done.data["ok"], done.data["records"]) == (5, False, 1)


def test_B6_a_change_is_read_up_to_a_bound_and_says_so(pulls: Pulls, monkeypatch: pytest.MonkeyPatch) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "a"), pulls.lease(pulls.oak, "b"))
    with Repository(pulls.folder / ".git", environ=os.environ) as repository:
        base, head = repository.resolve("mesh"), repository.resolve("topic")
        assert reviewing.of_commits(repository, base, head, reviewing.Asked()).records == 2
        for name in ("MAX_BYTES", "MAX_FILES"):
            with monkeypatch.context() as patched:
                patched.setattr(reviewing, name, 1)
                found = reviewing.of_commits(repository, base, head, reviewing.Asked())
                assert [finding.law for finding in found.findings] == ["LIVE"]
                assert found.records == (name == "MAX_FILES")


# Calls.


@pytest.mark.parametrize(
    "words",
    [["nowhere"], ["mesh..nowhere"], ["--repo", "/nowhere"], ["-", "--base", "nowhere"], ["topic", "--trunk", "x"],
     ["mesh..topic", "--base", "mesh"], ["none.patch"], ["--format", "html"], ["a\nb"], ["--upload-pack=x"]],
)  # fmt: skip
def test_a_wrong_call_says_so(honest: Pulls, words: list[str]) -> None:
    done = honest.mesh("review", *words)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err


def test_a_base_without_a_ledger_is_a_wrong_call(honest: Pulls) -> None:
    honest.git("checkout", "--quiet", "--orphan", "empty")
    honest.git("rm", "-rq", "--cached", ".")
    honest.git("commit", "--quiet", "--allow-empty", "-m", "nothing")
    assert honest.mesh("review", "empty..topic").code == 2


# What is not done.


def test_B4_nothing_of_a_hostile_repository_runs_and_nothing_in_it_changes(honest: Pulls) -> None:
    canary = honest.folder.parent / "canary"
    trap = honest.folder.parent / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {canary}\n")
    trap.chmod(0o755)
    git = honest.folder / ".git"
    for name in ("post-checkout", "reference-transaction", "post-index-change", "fsmonitor-watchman"):
        (git / "hooks").mkdir(exist_ok=True)
        (git / "hooks" / name).write_text(trap.read_text())
        (git / "hooks" / name).chmod(0o755)
    settings = ["core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "diff.external", "core.gitProxy",
                "core.alternateRefsCommand", "uploadpack.packObjectsHook", "credential.helper", "filter.x.smudge",
                "filter.x.clean", "diff.x.textconv", "core.askPass", "gpg.program", "alias.cat-file"]  # fmt: skip
    for name in settings:
        honest.git("config", name, str(trap))
    (honest.folder / ".gitattributes").write_text("* filter=x diff=x\n")
    before = {file: file.stat().st_mtime_ns for file in git.rglob("*") if file.is_file()}
    done = honest.mesh("review", "topic", GIT_DIR="/nowhere", GIT_EXTERNAL_DIFF=str(trap), GIT_CONFIG_COUNT="x")
    assert (done.code, done.err) == (0, "")
    assert not canary.exists()
    assert {file: file.stat().st_mtime_ns for file in git.rglob("*") if file.is_file()} == before


def test_QUIET_what_stands_in_a_record_reaches_no_terminal_as_it_is(pulls: Pulls) -> None:
    event = pulls.elm.write(
        "event.publish", topic="t", type="x\u202e\x1b[31m\n::error::x", payload={"a": "\x07<img src=x>@ann"}
    )
    pulls.branch("topic", event)
    for form in ("text", "markdown", "json", "github"):
        done = pulls.mesh("review", "topic", "-v", "--format", form)
        assert all(char == "\n" or char.isprintable() for char in done.out), form
        assert "\n::error::x" not in done.out


# What is kept.


def test_CACHE_a_snapshot_saves_time_and_decides_nothing(honest: Pulls, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    anew = honest.mesh("review", "topic", "--json").out
    for _ in range(2):
        assert honest.mesh("review", "topic", "--json", "--cache", str(cache)).out == anew
    kept = cache / "review.json"
    assert orjson.loads(kept.read_bytes())["trunk"] == honest.git("rev-parse", "mesh")
    spoilt = orjson.loads(kept.read_bytes())
    spoilt["state"]["slices"] = {}
    for data in (b"", b"{}", orjson.dumps(spoilt)):
        kept.write_bytes(data)
        assert honest.mesh("review", "topic", "--json", "--cache", str(cache)).out == anew


def test_CACHE_a_home_keeps_the_snapshot_where_there_is_one(honest: Pulls, tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    assert honest.mesh("review", "topic", MESH_HOME=str(home.path)).code == 0
    assert not (home.cache / "review.json").exists()
    home.journal.touch(0o600)
    assert honest.mesh("review", "topic", MESH_HOME=str(home.path)).code == 0
    assert orjson.loads((home.cache / "review.json").read_bytes())["trunk"] == honest.git("rev-parse", "mesh")


def test_the_files_for_a_job_are_written(honest: Pulls, tmp_path: Path) -> None:
    summary, comment = tmp_path / "summary", tmp_path / "comment"
    summary.write_text("before\n")
    done = honest.mesh("review", "topic", "--format", "github", "--summary", str(summary), "--comment", str(comment))
    assert done.code == 0
    assert "::notice title=may be merged::1 record onto epoch 4" in done.out
    assert comment.read_text().startswith("<!-- orxaq-mesh review -->\n## May be merged\n")
    assert summary.read_text() == "before\n" + comment.read_text()


def test_FORK_a_side_that_leaves_the_trunk_below_its_snapshot_is_judged_from_genesis(
    pulls: Pulls, tmp_path: Path
) -> None:
    """A pull request brings the seals of a second hub, which parted from the trunk some epochs ago."""
    side = Trunk()
    side.files, side.ledger = dict(pulls.trunk.files), pulls.trunk.ledger.fork()
    side.pens = {name: copy.copy(pen) for name, pen in pulls.trunk.pens.items()}
    for _ in range(3):
        pulls.trunk.seal(pulls.oak.write("event.publish", topic="t", type="here", payload={}))
    pulls.land()
    side.seal(side.pens["elm"].write("event.publish", topic="t", type="there", payload={}), by=side.pens["elm"])
    files = {path: union(data, pulls.trunk.files.get(path, b"")) for path, data in side.files.items()}
    pulls.branch("topic", files=files)
    anew = pulls.mesh("review", "topic", "--json")
    assert (anew.code, anew.data["seals"], anew.data["records"]) == (0, 1, 1)
    for _ in range(2):
        assert pulls.mesh("review", "topic", "--json", "--cache", str(tmp_path / "cache")).out == anew.out
