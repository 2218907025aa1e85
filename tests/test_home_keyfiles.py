"""Keys on disk: made, brought, loaded; anything that others could have touched is refused."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home import keyfiles
from orxaq_mesh.keys import PublicKey


def test_SIG_a_made_key_is_one_that_ssh_keygen_reads(tmp_path: Path) -> None:
    path = tmp_path / "key"
    secret = keyfiles.create(path, "oak")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key.pub").stat().st_mode) == 0o644
    assert PublicKey.parse((tmp_path / "key.pub").read_text()) == secret.public == keyfiles.load(path).public
    said = subprocess.run(["ssh-keygen", "-y", "-f", path], check=True, capture_output=True, text=True).stdout
    assert PublicKey.parse(said) == secret.public
    listed = subprocess.run(["ssh-keygen", "-l", "-f", path], check=True, capture_output=True, text=True).stdout
    assert secret.public.fingerprint in listed
    assert sorted(each.name for each in tmp_path.iterdir()) == ["key", "key.pub"]


def test_two_keys_are_two_keys_and_none_is_replaced(tmp_path: Path) -> None:
    first, second = keyfiles.create(tmp_path / "a", "oak"), keyfiles.create(tmp_path / "b", "oak")
    assert first.public != second.public
    with pytest.raises(MeshFault, match="there is a key at"):
        keyfiles.create(tmp_path / "a", "oak")
    assert keyfiles.load(tmp_path / "a").public == first.public


def test_a_key_of_the_users_own_is_brought(tmp_path: Path) -> None:
    own = tmp_path / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", own], check=True)
    brought = keyfiles.bring(own, tmp_path / "key", "oak")
    assert brought.public == PublicKey.parse((tmp_path / "id_ed25519.pub").read_text())
    assert keyfiles.load(tmp_path / "key").public == brought.public


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_a_key_open_to_others_is_refused_with_the_next_step(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    keyfiles.create(path, "oak")
    path.chmod(mode)
    with pytest.raises(MeshFault, match="others may read or write") as caught:
        keyfiles.load(path)
    assert caught.value.hint == f"chmod 600 {path}"
    subprocess.run(caught.value.hint.split(), check=True)
    keyfiles.load(path)


def test_a_link_a_pipe_a_directory_and_garbage_are_refused(tmp_path: Path) -> None:
    keyfiles.create(tmp_path / "key", "oak")
    (tmp_path / "link").symlink_to(tmp_path / "key")
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "garbage").write_bytes(os.urandom(64))
    (tmp_path / "garbage").chmod(0o600)
    reasons = {
        "link": "symbolic link",
        "pipe": "no regular file",
        "": "no regular file",
        "garbage": "no key that can be used",
        "missing": "cannot open the key",
    }
    for name, reason in reasons.items():
        with pytest.raises(MeshFault, match=reason):
            keyfiles.load(tmp_path / name)


def test_a_key_with_a_passphrase_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    for name, words in {"locked": ["-t", "ed25519", "-N", "secret"], "rsa": ["-t", "rsa", "-N", ""]}.items():
        subprocess.run(["ssh-keygen", "-q", *words, "-f", tmp_path / name], check=True)
        with pytest.raises(MeshFault, match="no key that can be used"):
            keyfiles.load(tmp_path / name)


def test_a_foreign_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    keyfiles.create(path, "oak")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(MeshFault, match="another user"):
        keyfiles.load(path)


def test_QUIET_no_key_is_made_in_or_brought_from_a_work_tree(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", tmp_path / "app"], check=True)
    keyfiles.create(tmp_path / "fine", "oak")
    (tmp_path / "fine").rename(tmp_path / "app/committed")
    for attempt in (
        lambda: keyfiles.create(tmp_path / "app/key", "oak"),
        lambda: keyfiles.bring(tmp_path / "app/committed", tmp_path / "key", "oak"),
    ):
        with pytest.raises(MeshFault, match="work tree"):
            attempt()
    keyfiles.create(tmp_path / "app/.git/key", "oak")
