"""What a git process of ours may see, line by line; hub URLs (traps B4, B5, B11, B15)."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from orxaq_mesh import errors
from orxaq_mesh.store.environment import SETTINGS, check_hub_url, git_environment, hub_side_config, ssh_command

GOOD = [
    "/srv/hub.git",
    "/srv/a-b/hub.git",
    "C:/hubs/hub.git",
    "file:///srv/hub.git",
    "ssh://git@example.org/acme/fleet.git",
    "ssh://git@example.org:2222/acme/fleet.git",
    "ssh://[::1]:22/acme/fleet.git",
    "git@github.com:acme/fleet.git",
    "github.com:acme/fleet.git",
    "me@[::1]:fleet.git",
    "host:~/fleet.git",
    "http://127.0.0.1:8080/hub.git",
    "https://github.com/acme/fleet.git",
    "https://x-access-token:ghs_abc@github.com/acme/fleet.git",
]
BAD = [
    "",
    "hub.git",
    "../hub.git",
    "ext::sh -c touch% /tmp/x",
    "ext::sh",
    "fd::17",
    "http::http://example.org/x",
    "-oProxyCommand=x",
    "--upload-pack=touch",
    "host:--upload-pack=touch",
    "host:-x",
    "-host:x",
    "-user@host:x",
    "user@-host:x",
    "ssh://-oProxyCommand=touch/x",
    "ssh://-user@host/x",
    "ssh://%2DoProxyCommand=touch/x",
    "ssh://user@%2dhost/x",
    "ssh://host%0aname/x",
    "ssh://host",
    "ssh:///x",
    "ssh://host:port/x",
    "git://example.org/x",
    "ftp://example.org/x",
    "SSH://example.org/x",
    "http:///x",
    "file://host/srv/hub.git",
    "file://relative",
    "https://exa mple.org/x",
    "/srv/hub.git\n",
    "/srv/\x1bhub",
    "/srv/\u202ehub",
    "host:\tx",
    "host:",
    "/" + "x" * 2000,
]


@pytest.mark.parametrize("url", GOOD)
def test_B5_an_address_of_a_repository_is_taken_as_it_is(url: str) -> None:
    assert check_hub_url(url) == url


@pytest.mark.parametrize("url", BAD)
def test_B5_anything_else_is_refused(url: str) -> None:
    with pytest.raises(errors.Usage) as caught:
        check_hub_url(url)
    assert caught.value.what.isprintable()


HOSTILE = {
    "GIT_DIR": "/x",
    "GIT_WORK_TREE": "/x",
    "GIT_INDEX_FILE": "/x",
    "GIT_OBJECT_DIRECTORY": "/x",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES": "/x",
    "GIT_CONFIG": "/x",
    "GIT_CONFIG_PARAMETERS": "'core.hooksPath'='/x'",
    "GIT_CONFIG_GLOBAL": "/x",
    "GIT_CONFIG_SYSTEM": "/x",
    "GIT_CONFIG_KEY_99": "core.hooksPath",
    "GIT_EXEC_PATH": "/x",
    "GIT_TEMPLATE_DIR": "/x",
    "GIT_NAMESPACE": "x",
    "GIT_SHALLOW_FILE": "/x",
    "GIT_SSH": "/x",
    "GIT_PROXY_COMMAND": "/x",
    "GIT_EXTERNAL_DIFF": "/x",
    "GIT_TRACE": "/x",
    "GIT_TRACE2_EVENT": "/x",
    "GIT_SSL_NO_VERIFY": "1",
    "GIT_AUTHOR_DATE": "1",
    "GIT_REPLACE_REF_BASE": "refs/x",
    "GIT_DEFAULT_HASH": "sha256",
    "GIT_SOMETHING_NEW": "x",
    "git_dir": "/x",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_B4_an_inherited_variable_of_git_is_dropped(name: str) -> None:
    assert name not in git_environment({"PATH": "/bin", name: HOSTILE[name]})


@pytest.mark.parametrize(
    "name",
    "PATH HOME XDG_CONFIG_HOME SSH_AUTH_SOCK http_proxy HTTPS_PROXY NO_PROXY TMPDIR LANG GIT_SSL_CAINFO".split(),
)
def test_what_lets_a_user_reach_their_hub_is_kept(name: str) -> None:
    assert git_environment({name: "kept"})[name] == "kept"


OURS = [
    ("LC_ALL", "C.UTF-8"),
    ("LANGUAGE", "C"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    ("GCM_INTERACTIVE", "never"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_GRAFT_FILE", "/dev/null"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_ALLOW_PROTOCOL", "file:ssh:http:https"),
    ("GIT_PROTOCOL_FROM_USER", "0"),
    ("GIT_SSH_VARIANT", "ssh"),
    ("GIT_DEFAULT_REF_FORMAT", "files"),
    ("GIT_ADVICE", "0"),
]


@pytest.mark.parametrize(("name", "value"), OURS)
def test_B4_a_variable_of_ours_stands_above_what_was_inherited(name: str, value: str) -> None:
    assert git_environment({name: "inherited"})[name] == value


def test_no_variable_of_ours_is_without_a_test() -> None:
    ours = {name for name in git_environment({}) if not name.startswith("GIT_CONFIG_")}
    assert ours == {name for name, _ in OURS} | {"GIT_SSH_COMMAND"}


WANTED = {
    "core.hookspath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesfile": "/dev/null",
    "core.excludesfile": "/dev/null",
    "core.alternaterefscommand": "true",
    "core.bigfilethreshold": "1m",
    "core.logallrefupdates": "false",
    "transfer.fsckobjects": "true",
    "fetch.fsckobjects": "true",
    "fetch.fsck.skiplist": "/dev/null",
    "fetch.unpacklimit": "1",
    "fetch.negotiationalgorithm": "consecutive",
    "fetch.recursesubmodules": "false",
    "fetch.writecommitgraph": "false",
    "submodule.recurse": "false",
    "transfer.bundleuri": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "push.followtags": "false",
    "push.gpgsign": "false",
    "push.negotiate": "false",
    "push.pushoption": "",
    "push.recursesubmodules": "no",
    "protocol.version": "2",
    "protocol.allow": "never",
    "protocol.file.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.http.allow": "always",
    "protocol.https.allow": "always",
    "color.ui": "false",
    "credential.interactive": "false",
}


def test_no_setting_is_without_a_test() -> None:
    assert {key.lower() for key, _ in SETTINGS} == set(WANTED)


@pytest.mark.parametrize("key", WANTED)
def test_B4_a_setting_stands_above_the_users_own_and_the_stores(key: str, tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("")
    env = git_environment({"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)})
    subprocess.run(["git", "config", "--global", key, "theirs"], env=env, check=True)
    told = subprocess.run(["git", "config", "--get", key], env=env, check=True, capture_output=True, cwd="/")
    assert told.stdout.decode().rstrip("\n") == WANTED[key]


def test_the_users_own_credential_helper_is_still_asked(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[credential]\n\thelper = store --file /x\n")
    side = tmp_path / "side"
    side.write_text(hub_side_config({"HOME": str(tmp_path)}))
    base = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    for env in (git_environment(base), git_environment(base, global_config=str(side))):
        told = subprocess.run(["git", "config", "credential.helper"], env=env, capture_output=True, check=True, cwd="/")
        assert told.stdout == b"store --file /x\n"


def test_the_hub_side_reads_the_users_files_first_and_its_own_hooks_last(tmp_path: Path) -> None:
    home, folder = tmp_path / 'a "b" \\c', tmp_path / "xdg"
    home.mkdir()
    (folder / "git").mkdir(parents=True)
    (home / ".gitconfig").write_text("[core]\n\thooksPath = /evil\n[user]\n\tname = home\n")
    (folder / "git" / "config").write_text("[user]\n\tname = xdg\n\temail = e\n")
    side = tmp_path / "side"
    side.write_text(hub_side_config({"HOME": str(home), "XDG_CONFIG_HOME": str(folder)}))
    env = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": str(side)}
    for key, value in {"core.hooksPath": "hooks", "user.name": "home", "user.email": "e"}.items():
        told = subprocess.run(["git", "config", key], env=env, capture_output=True, check=True, cwd="/")
        assert told.stdout.decode() == f"{value}\n"


def test_ssh_never_asks_and_never_waits_without_end() -> None:
    words = shlex.split(git_environment({})["GIT_SSH_COMMAND"])
    assert words[0] == "ssh"
    assert {"BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5"} <= set(words)
    assert not any("Control" in word for word in words)


def test_ssh_keeps_a_connection_where_its_socket_has_room() -> None:
    assert "ControlPath=/run/user/1000/mesh/%C" in shlex.split(ssh_command("/run/user/1000/mesh", 10))
    assert "ControlPersist=60" in shlex.split(ssh_command("/run/user/1000/mesh", 10))
    for unfit in ("/" + "x" * 60, "/a b", "/a%C", "relative", "/a;touch x", None):
        assert "Control" not in ssh_command(unfit, 10)
