"""What the tests of this folder share: one repository of all changes, and one node's store that fetches from it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from orxaq_mesh.store.git import GitStore
from orxaq_mesh.store.repository import Repository
from tests.changes.guarded import Guarded
from tests.changes.objects import Objects


@pytest.fixture(scope="session")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    return Objects(tmp_path_factory.mktemp("changes") / "changes.git")


@pytest.fixture(scope="session")
def store(objects: Objects, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitStore]:
    made = GitStore(tmp_path_factory.mktemp("node") / "store.git", str(objects.path), environ=dict(os.environ))
    yield made
    made.close()


@pytest.fixture(scope="session")
def repository(objects: Objects) -> Iterator[Repository]:
    with Repository(objects.path, environ=dict(os.environ)) as made:
        yield made


@pytest.fixture(scope="session")
def guarded(objects: Objects, tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(tmp_path_factory.mktemp("guarded") / "hub.git", objects)
