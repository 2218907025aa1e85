"""The quick look at a hub: right where it answers, silent where it cannot know, and never git's own guess."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orxaq_mesh import Mesh
from orxaq_mesh.errors import Usage
from orxaq_mesh.store.peek import trunk_tip
from tests.hubs import bare, plain_git

TIMEOUT_MS = 10_000


def test_a_look_tells_the_tip_that_the_hub_shows(tmp_path: Path) -> None:
    hub = bare(tmp_path / "hub.git")
    assert trunk_tip(str(hub), "mesh", os.environ, TIMEOUT_MS) is None
    Mesh.open(str(tmp_path / "oak"), profile="lan").init(str(hub), "oak")
    shown = plain_git("rev-parse", "refs/heads/mesh", cwd=hub).strip()
    assert trunk_tip(str(hub), "mesh", os.environ, TIMEOUT_MS) == shown


def test_CLOSED_a_hub_that_is_gone_tells_nothing(tmp_path: Path) -> None:
    assert trunk_tip(str(tmp_path / "nowhere.git"), "mesh", os.environ, TIMEOUT_MS) is None


@pytest.mark.parametrize("url", ["ext::sh -c touch% canary", "-uhttps://x", "host:--upload-pack=x"])
def test_B5_an_address_that_is_none_never_reaches_git(url: str) -> None:
    with pytest.raises(Usage):
        trunk_tip(url, "mesh", os.environ, TIMEOUT_MS)


def test_CACHE_status_alone_notices_a_trunk_that_moved(tmp_path: Path) -> None:
    hub = bare(tmp_path / "hub.git")
    oak = Mesh.open(str(tmp_path / "oak"), profile="lan")
    oak.init(str(hub), "oak")
    oak.publish("builds", "done", {"n": 1})
    known = oak.status()
    (tmp_path / "oak" / "cache" / "reading.json").unlink()
    assert oak.status()["epoch"] == known["epoch"]
    (tmp_path / "oak" / "cache" / "snapshot.json").unlink()
    (tmp_path / "oak" / "cache" / "reading.json").unlink()
    assert oak.status()["seal"] == known["seal"]
