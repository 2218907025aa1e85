"""Settings and their origins, the YAML that is refused, and the push budget (trap B10, C19; laws CLOSED, CACHE)."""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.errors import MeshFault, Usage
from orxaq_mesh.home.budget import Budget, spend
from orxaq_mesh.home.config import Settings, resolve, user_config
from orxaq_mesh.home.flatyaml import read_file
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.settings import PROFILES, SETTINGS, profile_for


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").make()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_CONFIG_HOME": str(tmp_path / "config")}


def test_the_table_and_the_settings_have_the_same_names() -> None:
    names = [field.name for field in dataclasses.fields(Settings)]
    assert names == [*SETTINGS, "origins"]
    for setting in SETTINGS.values():
        assert setting.says
        assert setting.env == f"MESH_{setting.name.upper()}"
        assert setting.unit == "ms" or not setting.name.endswith("_ms")


def test_defaults_are_the_profiles(home: Home, environ: dict[str, str]) -> None:
    settings = resolve(home, {}, environ)
    assert (settings.profile, settings.trunk, settings.timeout_ms, settings.hub) == ("github", "mesh", 30_000, None)
    assert settings.pace == PROFILES["github"] == ("github", 6, 6, 15_000, 5_000)
    assert settings.origins["poll_ms"] == "profile github"
    lan = resolve(home, {}, environ, hub="/srv/hub.git")
    assert lan.pace == PROFILES["lan"] == ("lan", 600, 60, 2_000, 500)
    assert (lan.hub, lan.origins["hub"]) == ("/srv/hub.git", "the node's journal")


def test_each_source_overrules_the_next_and_is_named(home: Home, environ: dict[str, str]) -> None:
    user = user_config(environ)
    user.parent.mkdir(parents=True)
    user.write_text("# mine\nsession: from-user\npoll_ms: 7000\ntimeout_ms: 1000\ntrunk: fleet\n")
    home.config.write_text("poll_ms: 400\n\nsession: from-home\nprofile: lan\n")
    environ |= {"MESH_SESSION": "from-environment", "MESH_TIMEOUT_MS": "2000", "MESH_PROFILE": ""}
    settings = resolve(home, {"session": "from-option", "timeout_ms": None}, environ)
    assert (settings.session, settings.origins["session"]) == ("from-option", "option --session")
    assert (settings.timeout_ms, settings.origins["timeout_ms"]) == (2000, "environment MESH_TIMEOUT_MS")
    assert (settings.poll_ms, settings.origins["poll_ms"]) == (400, f"{home.config}, line 1")
    assert (settings.profile, settings.origins["profile"]) == ("lan", f"{home.config}, line 4")
    assert (settings.trunk, settings.origins["trunk"]) == ("fleet", f"{user}, line 5")
    assert settings.origins["push_per_minute"] == "profile lan"
    assert settings.pace == ("lan", 600, 60, 400, 400)


def test_an_ssh_command_is_a_list_of_words_and_never_a_shells_line(home: Home, environ: dict[str, str]) -> None:
    home.config.write_text('ssh_command: [ssh, -o, "ControlPath=~/a b"]\n')
    assert resolve(home, {}, environ).ssh_command == ("ssh", "-o", "ControlPath=~/a b")
    environ["MESH_SSH_COMMAND"] = "ssh -i 'my key'"
    assert resolve(home, {}, environ).ssh_command == ("ssh", "-i", "my key")
    environ["MESH_SSH_COMMAND"] = "ssh 'open"
    with pytest.raises(Usage, match="environment MESH_SSH_COMMAND: ssh_command cannot be split"):
        resolve(home, {}, environ)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join(f'*{old}' for _ in range(9))}]\n" for old, new in itertools.pairwise("abcdefgh")
)

BAD = {
    "bomb": (BOMB, 1, "no setting is named 'a'"),
    "bomb under a name of ours": (BOMB.replace("a: &a", "ssh_command: &a", 1), 1, "anchors and aliases"),
    "anchor": ("profile: &x lan\n", 1, "anchors and aliases"),
    "alias": ("poll_ms: 500\nprofile: *x\n", 2, "anchors and aliases"),
    "merge": ("<<: {profile: lan}\n", 1, "no setting is named"),
    "tag": ("poll_ms: 500\nprofile: !!python/object/apply:os.system [id]\n", 2, "tags are not allowed"),
    "twice": ("poll_ms: 500\ntrunk: a\npoll_ms: 600\n", 3, "second time (first in line 1)"),
    "near": ("polls_ms: 500\n", 1, "did you mean poll_ms?"),
    "dashes": ("\npush-per-minute: 5\n", 2, "did you mean push_per_minute?"),
    "far": ("qqqq: 1\n", 1, "there are hub, trunk"),
    "list": ("- profile\n", 1, "one flat mapping"),
    "text": ("profile\n", 1, "one flat mapping"),
    "nested": ("ssh_command: [[ssh]]\n", 1, "nested too deep"),
    "mapping in a list": ("ssh_command: [{a: b}]\n", 1, "nested too deep"),
    "mapping": ("poll_ms: 500\nprofile: {name: lan}\n", 2, "one flat mapping"),
    "two documents": ("poll_ms: 500\n---\ntrunk: a\n", 2, "one flat mapping"),
    "directive": ("%YAML 1.11\n---\n{}\n", 1, "directives are not allowed"),
    "escape of no character": ('trunk: a\nsession: "\\U00110000"\n', 2, "an escape that is no character"),
    "half a character": ('ssh_command: [ssh, "\\uD800"]\n', 1, "control characters"),
    "open": ("profile: lan\nssh_command: [a\n", 3, "expected ',' or ']'"),
    "tab": ("profile: lan\n\tpoll_ms: 1\n", 2, ""),
    "control": ("profile: lan\ntrunk: a\x07\n", 2, "a character that YAML does not allow"),
    "bytes": (b"profile: lan\ntrunk: \xff\n", 2, "not UTF-8"),
    "large": ("#" * 65_537, 1, "more than 65536 bytes"),
    "deep": ("[" * 60_000, 1, "nested too deep|one flat mapping"),
    "a list where one is wanted": ("trunk: [a]\n", 1, "trunk must be one text, not a list"),
    "float": ("poll_ms: 1.5\n", 1, "whole number from 100 to 86400000 ms"),
    "octal": ("poll_ms: 0o17\n", 1, "whole number"),
    "negative": ("push_per_minute: -1\n", 1, "whole number from 1 to 60000 1/min"),
    "none": ("session:\n", 1, "not empty"),
    "other profile": ("profile: gitlab\n", 1, "must be one of github, lan"),
    "line as command": ("ssh_command: 'ssh \"'\n", 1, "cannot be split"),
    "escape": ('session: "a\\e[0m"\n', 1, "control characters"),
}


@pytest.mark.parametrize("name", BAD)
def test_B10_CLOSED_what_is_not_understood_is_refused_with_file_and_line(
    name: str, home: Home, environ: dict[str, str]
) -> None:
    content, line, reason = BAD[name]
    home.config.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Usage) as caught:
        resolve(home, {}, environ)
    assert f"{home.config}, line {line}: " in caught.value.what
    assert any(each in caught.value.what for each in reason.split("|")), caught.value.what
    assert caught.value.what.isprintable()


def test_a_bad_value_is_told_even_where_it_is_overruled(home: Home, environ: dict[str, str]) -> None:
    home.config.write_text("poll_ms: soon\n")
    with pytest.raises(Usage, match="poll_ms must be"):
        resolve(home, {"poll_ms": 500}, environ)


@pytest.mark.parametrize("content", ["", "# nothing\n", "\ufeff# a mark\n", "---\n{}\n"])
def test_a_file_that_sets_nothing_is_fine(content: str, home: Home, environ: dict[str, str]) -> None:
    home.config.write_text(content)
    assert resolve(home, {}, environ) == resolve(Home(home.path / "none"), {}, environ)


@given(st.text(st.characters(codec="utf-8"), max_size=60) | st.text("ab:[]{}-&*!|>'\"# \n,?%", max_size=60))
def test_any_text_is_settings_or_a_usage_error(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content.encode())
    try:
        found: Any = read_file(path)
    except Usage:
        return
    assert set(found) <= set(SETTINGS)


def test_QUIET_a_config_that_others_can_write_or_own_is_not_read(
    home: Home, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home.config.write_text("ssh_command: [sh, -c, evil]\n")
    home.path.chmod(0o777)
    with pytest.raises(MeshFault, match="others may write"):
        resolve(home, {}, environ)
    home.path.chmod(0o700)
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(MeshFault, match="another user"):
        read_file(home.config)


@pytest.mark.parametrize(
    ("hub", "profile"),
    [
        ("git@github.com:acme/fleet.git", "github"),
        ("https://github.com/acme/fleet.git", "github"),
        ("ssh://git@GitHub.com:22/acme/fleet", "github"),
        ("https://git.example.org/fleet.git", "github"),
        ("https://user:x@[::1]:8080/fleet.git", "github"),
        ("host:fleet.git", "github"),
        ("/srv/hub.git", "lan"),
        ("./hub.git", "lan"),
        ("../a:b/hub.git", "lan"),
        ("hub.git", "lan"),
        ("file:///srv/hub.git", "lan"),
        (None, "github"),
    ],
)
def test_the_profile_follows_the_hubs_address_and_never_shows_its_password(hub: str | None, profile: str) -> None:
    assert profile_for(hub)[0] == profile
    assert "x@" not in profile_for(hub)[1]


@given(
    st.integers(1, 600),
    st.integers(1, 60),
    st.lists(st.integers(0, 30_000), min_size=1, max_size=80),
)
def test_C19_pushes_stay_in_the_budget(per_minute: int, burst: int, pauses_ms: list[int]) -> None:
    interval_ms = -(-60_000 // per_minute)
    now_ms = full_at_ms = 0
    pushed: list[int] = []
    for pause_ms in pauses_ms:
        now_ms += pause_ms
        wait_ms, full_at_ms = spend(full_at_ms, now_ms, interval_ms, burst)
        if wait_ms:
            assert spend(full_at_ms, now_ms + wait_ms - 1, interval_ms, burst)[0] == 1, "not a millisecond too early"
            now_ms += wait_ms
            again_ms, full_at_ms = spend(full_at_ms, now_ms, interval_ms, burst)
            assert again_ms == 0, "who waits as told gets the token"
        pushed.append(now_ms)
    for first, last in itertools.combinations(range(len(pushed)), 2):
        assert last - first + 1 <= burst + (pushed[last] - pushed[first]) // interval_ms + 1


def test_C19_a_burst_goes_through_and_then_the_rate_holds(tmp_path: Path) -> None:
    budget = Budget(tmp_path / "cache/budget.json", per_minute=6, burst=6, boot="b")
    assert [budget.take(1_000) for _ in range(8)] == [0] * 6 + [10_000] * 2
    sibling = Budget(tmp_path / "cache/budget.json", per_minute=6, burst=6, boot="b")
    assert [sibling.take(at_ms) for at_ms in (10_999, 11_000, 11_001)] == [1, 0, 9_999]
    assert [budget.take(10_000_000) for _ in range(7)] == [0] * 6 + [10_000]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"boot":"b"}', b'{"boot":"b","full_at_ms":"x"}', b'{"boot":"b","full_at_ms":1e300}'],
)
def test_CACHE_a_budget_of_garbage_or_of_another_boot_is_a_full_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "budget.json"
    path.write_bytes(content)
    assert Budget(path, 6, 1, boot="b").take(5) == 0
    assert Budget(path, 6, 1, boot="b").take(5) == 10_000
    assert Budget(path, 6, 1, boot="after a restart").take(1) == 0
    path.unlink()
    assert Budget(path, 6, 1, boot="b").take(5) == 0


def test_a_budget_from_a_future_that_cannot_be_waits_for_one_token_only(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    path.write_bytes(b'{"boot":"b","full_at_ms":9007199254740991}')
    assert Budget(path, 6, 6, boot="b").take(0) == 10_000
