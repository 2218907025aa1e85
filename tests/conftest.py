"""What all tests share: no test sees this machine's home, git configuration or mesh, and none is skipped in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
OF_THE_RUN = {"MESH_RACE_ROUNDS"}
OF_THE_TERMINAL = {"FORCE_COLOR", "PY_COLORS", "CLICOLOR_FORCE", "GITHUB_ACTIONS", "SSH_AUTH_SOCK", "SSH_ASKPASS"}

# Two shared cores make any deadline a matter of luck.
settings.register_profile(
    "default", deadline=None, max_examples=50, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("default"), max_examples=int(os.environ.get("STEPS", "2000")))
settings.load_profile("default")


@pytest.fixture(scope="session", autouse=True)
def isolated_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A home of its own for the run, and nothing inherited that git, ssh or the mesh would heed."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            foreign = name.startswith(("GIT_", "MESH_", "XDG_")) and name not in OF_THE_RUN
            if foreign or name in OF_THE_TERMINAL:
                patch.delenv(name)
        patch.setenv("HOME", str(home))
        for name, folder in {"CONFIG": "config", "DATA": "data", "STATE": "state", "CACHE": "cache"}.items():
            patch.setenv(f"XDG_{name}_HOME", str(home / folder))
        patch.setenv("GIT_CONFIG_NOSYSTEM", "1")
        patch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
        patch.setenv("GIT_CEILING_DIRECTORIES", str(home.parent))
        patch.setenv("PYTHONPATH", str(ROOT))  # for processes that tests start in other directories
        yield


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A test that did not run proves nothing: in CI a skip fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None:  # workers of xdist have no reporter
        return
    if any(reporter.stats.get(word) for word in ("skipped", "xfailed")):
        reporter.write_line("CI: skipped tests count as failures", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
