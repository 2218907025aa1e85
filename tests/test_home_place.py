"""Where a node lives, found without git and checked against it (laws QUIET, CACHE)."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.files import atomic_write, create_new, read_json_cache
from orxaq_mesh.home.place import Home, common_git_directory, locate, refuse_work_tree


def git(cwd: Path, *words: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *who, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    top = tmp_path / "app"
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    git(top, "commit", "-q", "--allow-empty", "-m", "first")
    (top / "src/deep").mkdir(parents=True)
    return top


def by_git(cwd: Path) -> Path:
    return (cwd / git(cwd, "rev-parse", "--git-common-dir")).resolve()


def test_the_option_beats_the_environment_beats_the_repository(repository: Path, tmp_path: Path) -> None:
    environ = {"MESH_HOME": str(tmp_path / "from-environment")}
    assert locate("../here", environ, repository) == tmp_path / "here"
    assert locate(None, environ, repository) == tmp_path / "from-environment"
    assert locate(None, {"MESH_HOME": ""}, repository / "src/deep") == repository / ".git/orxaq-mesh"


def test_outside_any_repository_it_is_the_users_data_directory(tmp_path: Path) -> None:
    assert locate(None, {}, tmp_path) == Path(os.environ["XDG_DATA_HOME"]) / "orxaq-mesh"


def test_all_worktrees_share_one_home(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "second"))
    (tmp_path / "second/sub").mkdir()
    for place in (repository, repository / "src/deep", tmp_path / "second", tmp_path / "second/sub"):
        assert common_git_directory(place) == repository / ".git" == by_git(place)


def test_a_submodule_a_separate_git_directory_and_a_bare_repository_are_found(repository: Path, tmp_path: Path) -> None:
    git(repository, "-c", "protocol.file.allow=always", "submodule", "-q", "add", str(repository), "sub")
    git(tmp_path, "init", "-q", "--separate-git-dir", str(tmp_path / "far.git"), str(tmp_path / "near"))
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    for place in ("app/sub", "near", "bare.git", "bare.git/refs", "app/.git/refs"):
        assert common_git_directory(tmp_path / place) == by_git(tmp_path / place), place


def test_QUIET_a_bare_repository_inside_a_work_tree_is_not_taken_for_its_own(repository: Path) -> None:
    git(repository, "init", "-q", "--bare", "evil")
    assert common_git_directory(repository / "evil") == repository / ".git"


@pytest.mark.parametrize("content", ["", "gitdir: /nowhere", "gitdir: \0", "nonsense", "gitdir: " + "x" * 9000])
def test_a_broken_git_file_is_no_repository(tmp_path: Path, content: str) -> None:
    (tmp_path / ".git").write_text(content)
    assert common_git_directory(tmp_path) is None


def test_a_directory_above_that_we_may_not_enter_is_no_fault(tmp_path: Path) -> None:
    inner = tmp_path / "closed/inner"
    inner.mkdir(parents=True)
    inner.parent.chmod(0)
    me = os.geteuid()
    if me == 0:  # whom no mode stops
        os.seteuid(65534)
    try:
        with pytest.raises(PermissionError):
            (inner / ".git").stat()
        assert common_git_directory(inner) is None
    finally:
        os.seteuid(me)
        inner.parent.chmod(0o700)


def test_QUIET_a_key_in_a_work_tree_is_refused_and_inside_git_it_is_fine(repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", str(tmp_path / "second"))
    (tmp_path / "link").symlink_to(repository / "src")
    for inside in (repository / "key", repository / "src/new/key", tmp_path / "second/key", tmp_path / "link/key"):
        with pytest.raises(MeshFault, match="work tree") as caught:
            refuse_work_tree(inside)
        assert "--home" in caught.value.hint
    for fine in (repository / ".git/orxaq-mesh/key", repository / ".git/worktrees/second/key", tmp_path / "key"):
        refuse_work_tree(fine)
    with pytest.raises(MeshFault, match="work tree"):
        Home(repository / "src/home").make()
    assert not (repository / "src/home").exists()


def test_a_home_is_the_owners_alone(repository: Path) -> None:
    home = Home(locate(None, {}, repository)).make()
    for directory in (home.path, home.cache, home.locks):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    home.make().check()
    assert git(repository, "status", "--porcelain") == ""


def test_a_home_that_others_may_write_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    home.path.chmod(0o770)
    with pytest.raises(MeshFault, match="others may write") as caught:
        home.check()
    assert caught.value.hint == f"chmod 700 {home.path}"
    (tmp_path / "file").write_text("")
    with pytest.raises(MeshFault, match="cannot make the directory"):
        Home(tmp_path / "file").make()


def test_QUIET_a_foreign_home_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home").make()
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(MeshFault, match="another user"):
        home.check()


def test_a_deep_home_still_has_a_socket_that_can_be_bound(tmp_path: Path) -> None:
    home = Home(tmp_path / ("deep/" * 30)).make()
    assert home.socket != Home(tmp_path / ("deep/" * 29)).socket
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(home.socket))
    home.socket.unlink()
    assert stat.S_IMODE(home.socket.parent.stat().st_mode) == 0o700
    assert Home(Path("/srv/mesh")).socket == Path("/srv/mesh/sync.sock")


def test_a_deleted_current_directory_is_a_fault_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(MeshFault, match="current directory is gone"):
        locate(None, {})


def test_CACHE_an_unreadable_cache_is_an_absent_one(tmp_path: Path) -> None:
    path = tmp_path / "cache/x.json"
    assert read_json_cache(path) is None
    atomic_write(path, b'{"a":1}')
    assert read_json_cache(path) == {"a": 1}
    for garbage in (b"", b"{", b"\xff\x00", b'{"a":1}x'):
        path.write_bytes(garbage)
        assert read_json_cache(path) is None
    assert read_json_cache(tmp_path) is None


def test_atomic_write_replaces_in_one_step_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "sub/file"
    atomic_write(path, b"old", durable=True)
    with path.open("rb") as reader:
        atomic_write(path, b"new", 0o644)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    (tmp_path / "plain").write_text("")
    with pytest.raises(MeshFault, match="cannot write"):
        atomic_write(tmp_path / "plain/file", b"")


def test_create_new_never_replaces(tmp_path: Path) -> None:
    create_new(tmp_path / "one", b"first")
    with pytest.raises(FileExistsError):
        create_new(tmp_path / "one", b"second")
    (tmp_path / "dangling").symlink_to(tmp_path / "target")
    with pytest.raises(FileExistsError):
        create_new(tmp_path / "dangling", b"second")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["dangling", "one"]
    assert (tmp_path / "one").read_bytes() == b"first"
