"""Any repository read by object id: names of commits, what differs inside the ledger and beside it, and nothing run."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.record import epoch_place, log_place
from orxaq_mesh.store import Change, Flaw, flaws_only
from orxaq_mesh.store.repository import MAX_BESIDE, Repository
from tests.hubs import bare, plain_git

SPINE = epoch_place(1).file
LOG = log_place("oak-3f9a01c2", 1).file


class Checkout:
    """A user's checkout, with stock git behind it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=mesh")

    def git(self, *args: str) -> str:
        return plain_git(*args, cwd=self.folder)

    def commit(self, files: dict[str, str | None], message: str = "c") -> str:
        """A commit on the branch one stands on, with these files written, or removed where None."""
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if text is None:
                file.unlink()
            else:
                file.write_text(text)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "work")


@pytest.fixture
def repository(checkout: Checkout) -> Iterator[Repository]:
    with Repository(checkout.folder / ".git", environ=os.environ) as made:
        yield made


def test_a_revision_names_a_commit_however_git_spells_it(checkout: Checkout, repository: Repository) -> None:
    one, two = checkout.commit({"a": "1"}), checkout.commit({"a": "2"})
    checkout.git("tag", "-a", "-m", "x", "v1", one)
    assert repository.resolve("HEAD~1") == repository.resolve("v1") == repository.resolve(one[:12]) == one
    assert repository.resolve("mesh") == two
    assert repository.has(two)
    assert repository.parents(two) == [one]


@pytest.mark.parametrize("revision", ["", "nowhere", "--all", "-h", "HEAD\n", "a..b", "HEAD:a", "x" * 300])
def test_B5_what_names_no_commit_is_refused(checkout: Checkout, repository: Repository, revision: str) -> None:
    checkout.commit({"a": "1"})
    with pytest.raises(Usage):
        repository.resolve(revision)


def test_the_merge_base_is_where_two_branches_part(checkout: Checkout, repository: Repository) -> None:
    base = checkout.commit({"a": "1"})
    ours = checkout.commit({"a": "2"})
    checkout.git("checkout", "--quiet", "-b", "topic", base)
    theirs = checkout.commit({"b": "1"})
    checkout.git("checkout", "--quiet", "--orphan", "stranger")
    stranger = checkout.commit({"c": "1"})
    assert repository.merge_base(ours, theirs) == base
    assert repository.merge_base(ours, stranger) is None
    assert repository.descends(theirs, base)
    assert not repository.descends(ours, theirs)


def test_changes_tell_the_ledgers_files_and_each_file_beside_it(checkout: Checkout, repository: Repository) -> None:
    old = checkout.commit({SPINE: "a\n", "README": "1", "docs/a": "1", "docs/b": "1"})
    changed = {SPINE: "a\nb\n", LOG: "x\n", "README": "2", "docs/a": None, ".github/w.yml": "on: push"}
    new = checkout.commit({**changed, "ledger/note.txt": "n"})
    items = list(repository.changes(old, new))
    assert [item for item in items if isinstance(item, Change)] == [
        Change(SPINE, b"a\n", b"a\nb\n"),
        Change(LOG, None, b"x\n"),
    ]
    assert {(flaw.law, flaw.file) for flaw in flaws_only(items)} == {
        ("RENDER", name) for name in ("ledger/note.txt", "README", "docs/a", ".github/w.yml")
    }
    assert repository.read(new, SPINE) == b"a\nb\n"
    assert repository.read(new, "README") is None


def test_what_stands_beside_the_ledger_untouched_is_nobodys_business(
    checkout: Checkout, repository: Repository
) -> None:
    old = checkout.commit({SPINE: "a\n", "README": "1"})
    new = checkout.commit({SPINE: "a\nb\n"})
    assert list(repository.changes(old, new)) == [Change(SPINE, b"a\n", b"a\nb\n")]


def test_B4_links_and_odd_names_beside_the_ledger_are_flaws_in_clean_words(
    checkout: Checkout, repository: Repository
) -> None:
    old = checkout.commit({SPINE: "a\n"})
    (checkout.folder / "lin\x1bk").symlink_to("/etc/passwd")
    new = checkout.commit({})
    assert [flaw.file for flaw in flaws_only(repository.changes(old, new))] == ["lin\\x1bk"]


def test_B6_thousands_of_files_beside_the_ledger_are_told_by_a_hundred(
    checkout: Checkout, repository: Repository
) -> None:
    old = checkout.commit({SPINE: "a\n"})
    new = checkout.commit({f"f/{number:04}": "x" for number in range(300)})
    assert len(list(repository.changes(old, new))) == MAX_BESIDE


def test_RENDER_a_root_that_no_ledger_has_is_a_flaw_and_not_an_error(
    checkout: Checkout, repository: Repository
) -> None:
    old = checkout.commit({SPINE: "a\n"})
    blob = checkout.git("rev-parse", f"HEAD:{SPINE}")
    names = b"".join(b"100644 f%05d\0%s" % (number, bytes.fromhex(blob)) for number in range(5000))
    tree = plain_git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", feed=names, cwd=checkout.folder)
    new = checkout.git("commit-tree", "-p", old, "-m", "x", tree)
    items = list(repository.changes(old, new))
    assert ("RENDER", new) in {(item.law, item.file) for item in items if isinstance(item, Flaw)}
    assert Change(SPINE, b"a\n", None) in items


def test_B15_a_shallow_clone_says_so_and_lacks_what_it_lacks(checkout: Checkout, tmp_path: Path) -> None:
    old = checkout.commit({SPINE: "a\n"})
    new = checkout.commit({SPINE: "a\nb\n"})
    plain_git("clone", "--quiet", "--bare", "--depth=1", f"file://{checkout.folder}", str(tmp_path / "s.git"))
    with Repository(tmp_path / "s.git", environ=os.environ) as shallow:
        assert shallow.is_shallow()
        assert shallow.has(new)
        assert not shallow.has(old)
        with pytest.raises(MeshFault, match="lacks object"):
            list(shallow.changes(old, new))


def test_QUIET_a_partial_clone_is_not_filled_from_the_network(checkout: Checkout, tmp_path: Path) -> None:
    checkout.git("config", "uploadpack.allowFilter", "true")
    new = checkout.commit({SPINE: "a\n"})
    plain_git("clone", "--quiet", "--bare", "--filter=blob:none", f"file://{checkout.folder}", str(tmp_path / "p.git"))
    with Repository(tmp_path / "p.git", environ=os.environ) as partial, pytest.raises(MeshFault):
        list(partial.changes(None, new))


def test_QUIET_no_hook_filter_or_replacement_of_a_repository_takes_part(
    checkout: Checkout, repository: Repository, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    old, new = checkout.commit({SPINE: "a\n"}), checkout.commit({SPINE: "a\nb\n"})
    for key in ("core.fsmonitor", "core.alternateRefsCommand", "core.sshCommand", "core.pager"):
        checkout.git("config", key, f"touch {canary}")
    plain_git("-c", "core.fsmonitor=false", "replace", new, old, cwd=checkout.folder)
    canary.unlink(missing_ok=True)
    assert list(repository.changes(old, new)) == [Change(SPINE, b"a\n", b"a\nb\n")]
    assert repository.descends(new, old)
    assert not canary.exists()


def test_a_quarantine_is_seen_only_by_whom_it_is_named_to(tmp_path: Path) -> None:
    """What a push brings lies beside the repository until it is taken in."""
    hub, beside = bare(tmp_path / "hub.git"), tmp_path / "incoming"
    (beside / "pack").mkdir(parents=True)
    quarantine = {"GIT_OBJECT_DIRECTORY": str(beside), "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(hub / "objects")}
    argv = ["git", f"--git-dir={hub}", "hash-object", "-w", "--stdin", "-t", "tree"]
    done = subprocess.run(argv, input=b"", capture_output=True, check=True, env={**os.environ, **quarantine})
    tree = done.stdout.decode().strip()
    argv = ["git", f"--git-dir={hub}", "commit-tree", "-m", "x", tree]
    who = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x"}
    done = subprocess.run(argv, capture_output=True, check=True, env={**os.environ, **quarantine, **who})
    commit = done.stdout.decode().strip()
    with Repository(hub, environ={**os.environ, **quarantine}) as blind:
        assert not blind.has(commit)
    with Repository(hub, environ=os.environ, also=quarantine) as seeing:
        assert seeing.has(commit)
        assert list(seeing.changes(None, commit)) == []
