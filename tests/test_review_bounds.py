"""What a review looks at, and how much of it: every merge base, the commits in between, bytes without end (B6, B7)."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orxaq_mesh.inspect import reviewing
from orxaq_mesh.inspect.reviewing import Asked, of_commits
from orxaq_mesh.reconcile import render
from orxaq_mesh.record import Record, epoch_place, log_place
from orxaq_mesh.review import Review
from orxaq_mesh.standing import Finding
from orxaq_mesh.store import Change, Flaw, brought
from orxaq_mesh.store.repository import Repository
from tests.hubs import plain_git
from tests.pulls import MESH, ROOT, Pulls, commit_with_dot_git


@pytest.fixture
def pulls(tmp_path: Path) -> Pulls:
    return Pulls(tmp_path / "work")


@pytest.fixture
def repository(pulls: Pulls) -> Iterator[Repository]:
    with Repository(pulls.folder / ".git", environ=os.environ) as made:
        yield made


def reviewed(repository: Repository, head: str, base: str = "mesh") -> Review:
    return of_commits(repository, repository.resolve(base), repository.resolve(head), Asked())


def through(pulls: Pulls, middle: str, record: Record) -> str:
    """A head that only adds a line to the trunk, with `middle` between the two."""
    tip = pulls.branch("good", record)
    return pulls.git("commit-tree", f"{tip}^{{tree}}", "-p", middle, "-m", "good")


# Several merge bases.


class Crosswise:
    """A trunk that merged elm's pull request, and went on meanwhile; a head above both of its parents."""

    def __init__(self, pulls: Pulls) -> None:
        self.pulls, self.victim = pulls, pulls.lease(pulls.elm, "victim")
        self.wish = pulls.branch("pr1", self.victim)
        pulls.trunk.seal(pulls.lease(pulls.oak, "other"))
        self.went_on = pulls.land()
        pulls.git("merge", "--quiet", "--no-ff", "-m", "merge PR 1", "pr1")
        self.trunk = pulls.git("rev-parse", "HEAD")
        self.file = log_place(pulls.elm.log, 1).file

    def head(self, *records: Record) -> str:
        """A commit with these lines, whose parents are both the trunk's."""
        pulls = self.pulls
        pulls.git("checkout", "--quiet", "--detach", self.went_on)
        pulls.commit({**render(pulls.trunk.files.get, records, ())})
        head = pulls.git("commit-tree", "HEAD^{tree}", "-p", self.went_on, "-p", self.wish, "-m", "x")
        pulls.git("checkout", "--quiet", "mesh")
        assert len(pulls.git("merge-base", "--all", self.trunk, head).split()) == 2
        return head

    def merged(self, head: str) -> str:
        """What the merge button makes of elm's file."""
        return self.pulls.git("show", f"{self.pulls.git('merge-tree', '--write-tree', 'mesh', head)}:{self.file}")


def test_C18_what_any_merge_base_has_and_the_head_lacks_is_taken_away(pulls: Pulls, repository: Repository) -> None:
    cross = Crosswise(pulls)
    head = cross.head(pulls.lease(pulls.oak, "mine"))
    assert cross.victim.line.decode() not in cross.merged(head)
    found = reviewed(repository, head)
    assert [(one.law, one.file) for one in found.findings] == [("CHAIN", cross.file)]


def test_C18_an_honest_head_above_two_merge_bases_may_be_merged(pulls: Pulls, repository: Repository) -> None:
    cross = Crosswise(pulls)
    head = cross.head(cross.victim, pulls.lease(pulls.oak, "mine"))
    assert cross.victim.line.decode() in cross.merged(head)
    found = reviewed(repository, head)
    assert (found.findings, found.unknown, found.records) == ((), (), 1)


def test_CLOSED_more_merge_bases_than_are_looked_at_are_no_yes(
    pulls: Pulls, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross = Crosswise(pulls)
    head = cross.head(cross.victim, pulls.lease(pulls.oak, "mine"))
    monkeypatch.setattr(reviewing, "MAX_BASES", 1)
    assert "2 commits, and 1 of them" in reviewed(repository, head).unknown[0]


def test_of_two_outcomes_counts_what_either_adds_and_what_either_takes_away() -> None:
    a, b, c, junk = (*(b'{"kind":"x","seq":%d}\n' % seq for seq in (1, 2, 3)), b"junk\n")
    worse = reviewing._worse
    assert worse(a + b, a + c, a) == a + b + c
    assert worse(a, a + b, a + b) == worse(a + b, a, a + b) == a
    assert worse(a, None, a) is None
    assert worse(a + b + junk, a + b, a + b + junk) == a + b
    assert worse(a + junk, b, a + b + junk) is None
    assert worse(b + a, a + b + c, a + b) == b + a + c


# Commits in between.


def test_B7_what_no_node_takes_in_is_found_in_every_commit_that_a_branch_brings(
    pulls: Pulls, repository: Repository
) -> None:
    head = through(pulls, commit_with_dot_git(pulls), pulls.lease(pulls.elm, "ci"))
    found = reviewed(repository, head)
    assert [(one.law, one.file) for one in found.findings] == [("QUIET", head)]
    assert "hasDotgit" in found.findings[0].reason
    assert reviewed(repository, "good").ok


def test_B6_an_object_in_between_that_is_larger_than_any_of_a_ledger_is_a_finding(
    pulls: Pulls, repository: Repository
) -> None:
    pulls.git("checkout", "--quiet", "-B", "middle", "mesh")
    middle = pulls.commit({"large": bytes(5_000_000)})
    pulls.git("checkout", "--quiet", "mesh")
    found = reviewed(repository, through(pulls, middle, pulls.lease(pulls.elm, "ci")))
    assert [one.law for one in found.findings] == ["LIVE"]
    assert "a blob of 5000000 bytes" in found.findings[0].reason


@pytest.mark.parametrize("bound", ["MAX_OBJECTS", "MAX_BYTES"])
def test_CLOSED_more_commits_than_are_looked_at_are_no_yes(
    pulls: Pulls, repository: Repository, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "ci"))
    monkeypatch.setattr(brought, bound, 1)
    found = reviewed(repository, "topic")
    assert found.ok
    assert "its commits bring more than is looked at" in found.unknown[0]


def test_CLOSED_a_commit_in_between_that_is_not_here_is_no_yes(pulls: Pulls, repository: Repository) -> None:
    pulls.git("checkout", "--quiet", "-B", "middle", "mesh")
    middle = pulls.commit({"a": b"only here\n"})
    blob = pulls.git("rev-parse", "HEAD:a")
    pulls.git("checkout", "--quiet", "mesh")
    head = through(pulls, middle, pulls.lease(pulls.elm, "ci"))
    (pulls.folder / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    found = reviewed(repository, head)
    assert found.unknown or found.findings


# Bytes without end.


def test_B6_a_change_of_many_megabytes_costs_bounded_time_and_memory(pulls: Pulls) -> None:
    """Small when packed: 60 files of four megabytes, half of them newlines and half one line each."""
    pulls.git("checkout", "--quiet", "-B", "topic", "mesh")
    files = {
        log_place(pulls.elm.log, 32 * n + 1).file: b"%06d\n" % n + b"a\n"[n % 2 :] * 1_300_000 for n in range(1, 61)
    }
    pulls.commit(dict(files))
    limit = (3 << 29, 3 << 29)
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(pulls.folder), "MESH_HOME": "/nowhere"}
    done = subprocess.run(
        [*MESH, "review", "mesh..topic", "--json"],
        cwd=pulls.folder,
        env=env,
        capture_output=True,
        check=False,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, limit),
    )
    assert (done.returncode, done.stderr) == (6, b"")
    assert len(done.stdout) < 1_000_000


def test_B6_a_file_of_more_lines_than_any_ledger_has_is_one_finding_and_is_not_read() -> None:
    spine = epoch_place(1).file
    many = Change(spine, None, b"\n" * (reviewing.MAX_LINES + 1))
    few = Change(spine, None, b"\n" * reviewing.MAX_LINES)
    (flaw,) = reviewing._bounded([many])
    assert isinstance(flaw, Flaw)
    assert (flaw.law, flaw.file) == ("LIVE", spine)
    healed = Change(spine, many.new, (many.new or b"") + b"x\n")
    assert [*reviewing._bounded([few, healed])] == [few, healed]


def test_B6_all_lines_of_a_change_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviewing, "MAX_ALL_LINES", 10)
    changes = [Change(epoch_place(epoch).file, None, b"x\n" * 4) for epoch in (1, 33, 65)]
    *read, flaw = reviewing._bounded(changes)
    assert read == changes[:2]
    assert isinstance(flaw, Flaw)


def test_B6_findings_without_end_are_told_up_to_a_number_and_counted() -> None:
    many = [Finding("SIG", "f", number, "x") for number in range(1, reviewing.MAX_TOLD + 235)]
    fence = Finding("FENCE", "g", 1, "stale")
    told = [*reviewing._told([*many, fence])]
    assert told[: reviewing.MAX_TOLD + 1] == [*many[: reviewing.MAX_TOLD], fence]
    assert told[-1].reason == "and 234 findings more of SIG, from here on"
    assert len(told) == reviewing.MAX_TOLD + 2


# What is not here.


def test_CLOSED_a_partial_clone_is_judged_neither_good_nor_bad(pulls: Pulls, tmp_path: Path) -> None:
    pulls.branch("topic", pulls.lease(pulls.elm, "ci"))
    pulls.git("config", "uploadpack.allowFilter", "true")
    part = tmp_path / "part.git"
    plain_git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{pulls.folder}", str(part))
    done = pulls.mesh("review", "mesh..topic", "--repo", str(part))
    assert (done.code, done.out) == (5, "")
    first = done.err.split("\n")[0]
    assert "cannot be judged: objects are not here (a partial clone)" in first
