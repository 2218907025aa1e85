"""What a command is given of the environment, and what is kept from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from orxaq_mesh.worker.environment import Given, child_environment
from orxaq_mesh.worker.events import ExecutionLog
from orxaq_mesh.worker.execution import run
from worker.attempts import Attempt, script

BASE = {
    "PATH": "/usr/bin:/bin",
    "HOME": "/home/anna",
    "LANG": "C.UTF-8",
    "CARGO_HOME": "/home/anna/.cargo",
    "NPM_TOKEN": "x",
    "CACHE_URL": "https://anna:hunter2@cache.example.org",
    "MESH_HOME": "/home/anna/.mesh",
    "EDITOR": "vi",
}


def test_a_command_gets_six_names_and_what_the_order_asks_for() -> None:
    given = child_environment(BASE, wanted=["CARGO_HOME", "ABSENT"], env_allow=[], own={"MESH_TASK": "release/build"})
    names = ("PATH", "HOME", "LANG", "CARGO_HOME")
    assert given == Given({**{name: BASE[name] for name in names}, "MESH_TASK": "release/build"}, ())


def test_a_credential_needs_the_orders_word_and_the_nodes() -> None:
    def given(wanted: list[str], env_allow: list[str]) -> Given:
        return child_environment(BASE, wanted=wanted, env_allow=env_allow, own={})

    assert given(["NPM_TOKEN"], []).withheld == ("NPM_TOKEN",)
    assert "NPM_TOKEN" not in given(["NPM_TOKEN"], []).variables
    assert "NPM_TOKEN" not in given([], ["NPM_TOKEN"]).variables
    assert given(["NPM_TOKEN"], ["NPM_TOKEN"]).variables["NPM_TOKEN"] == "x"


@pytest.mark.parametrize("name", ["CACHE_URL", "MESH_HOME"])
def test_a_telling_value_and_the_meshs_own_count_as_credentials(name: str) -> None:
    assert child_environment(BASE, wanted=[name], env_allow=[], own={}).withheld == (name,)
    assert child_environment(BASE, wanted=[name], env_allow=[name], own={}).withheld == ()


@pytest.mark.parametrize(
    "name",
    [
        *"GITHUB_TOKEN AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID DB_PASSWORD PGPASSWORD SSH_AUTH_SOCK API_KEY DEPLOY_KEY SSHPASS".split(),
        *"GH_PAT npm_config__auth SENTRY_DSN KUBECONFIG GIT_ASKPASS DATABASE_URI CREDENTIALS_FILE OPENAI_APIKEY A=B".split(),
    ],
)
def test_names_that_are_kept_back(name: str) -> None:
    assert child_environment({name: "x"}, wanted=[name], env_allow=[], own={}).withheld == (name,)


@pytest.mark.parametrize(
    "name", "CARGO_HOME GOPATH CC CFLAGS KEYBOARD PYTHONPATH CI MAKEFLAGS PASSES AUTHOR NODE_ENV TZ".split()
)
def test_names_that_are_given(name: str) -> None:
    assert child_environment({name: "x"}, wanted=[name], env_allow=[], own={}).withheld == ()


def test_the_tasks_own_variables_stand_above_all() -> None:
    assert child_environment(BASE, wanted=[], env_allow=[], own={"HOME": "/tmp/h"}).variables["HOME"] == "/tmp/h"


def test_a_command_sees_nothing_else(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    given = child_environment(BASE, wanted=["CARGO_HOME"], env_allow=[], own={"MESH_TASK": "t"})
    with ExecutionLog(attempt.logs / "exec.jsonl") as log:
        ended = run(script("env"), attempt.work, given.variables, log=log, stop=attempt.stop)
    seen = dict(line.split("=", 1) for line in ended.out.tail.splitlines())
    assert {
        name: value for name, value in seen.items() if name not in {"PWD", "SHLVL", "_", "OLDPWD"}
    } == given.variables
