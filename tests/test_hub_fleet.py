"""Fleets at hubs that enforce: by path, over ssh and over HTTPS, as the guide has them served. Nodes notice nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.hub.making import adopt, examine
from orxaq_mesh.hub.settings import HubSettings
from orxaq_mesh.kinds.node import members
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.record import log_place
from tests.fleet import MESH, Fleet
from tests.hubs import Hub, plain_git
from tests.nodes import fingerprint, founded, joined
from tests.served import ROADS, Served, enforcing

NODES = ("oak", "elm")


class ServedFleet(Fleet):
    """A fleet whose nodes are each known to the hub by what is in their environment."""

    def __init__(self, folder: Path, served: Served) -> None:
        self.folder, self.hub, self.ledger = folder, served.path, ""
        self.served = served

    def env(self, node: str, **more: str) -> Mapping[str, str]:
        return {**super().env(node), "MESH_PROFILE": "lan", **self.served.variables_of(node), **more}

    def found(self, first: str, *others: str) -> None:
        self.ledger = self.ok(first, "init", "--hub", self.served.url, "--node", first)["ledger"]
        for node in others:
            said = self.ok(node, "join", "--hub", self.served.url, "--node", node, "--ledger", self.ledger)
            self.ok(first, "admit", node, "--fingerprint", said["fingerprint"])

    def push(self, node: str, spec: str) -> str:
        """What the hub says when a node's git, in its store and as itself, pushes something else than the mesh would."""
        store = next(self.home(node).glob("**/HEAD")).parent
        argv = ["git", "--git-dir", str(store), "push", "--force", self.served.url, spec]
        done = subprocess.run(argv, env=self.env(node), capture_output=True, check=False)
        return f"{done.returncode} {done.stderr.decode()}"


@pytest.fixture(params=ROADS)
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServedFleet]:
    with ROADS[request.param](tmp_path / "server", *NODES) as served:
        made = ServedFleet(tmp_path, served)
        made.found(*NODES)
        yield made


def test_C1_a_fleet_works_at_a_hub_that_enforces_and_a_liar_does_not(fleet: ServedFleet) -> None:
    racing = {node: fleet.start(node, *MESH, "lease", "acquire", "deploy", "--json") for node in NODES}
    first, second = sorted(NODES, key=lambda node: racing[node].wait())
    assert [process.returncode for process in racing.values()].count(0) == 1
    assert fleet.mesh(second, "lease", "acquire", "deploy", "--queue").code == 7
    fleet.ok(first, "lease", "release", "deploy")
    held = fleet.ok(first, "status")["leases"][0]
    assert second in str(held["holder"]), held
    fleet.ok(second, "lease", "release", "deploy")
    fleet.ok("elm", "publish", "builds", "done", "--payload", "{}")
    _lies(fleet)
    assert [point.level for point in examine(fleet.hub, os.environ) if point.name == "trunk"] == ["good"]


def _lies(fleet: ServedFleet) -> None:
    """Elm, who may push, tries what only oak may, and what nobody may."""
    tip = fleet.tip()
    logs = plain_git("--git-dir", str(fleet.hub), "ls-tree", "--name-only", "mesh:ledger/nodes").split()
    oaks, elms = sorted(logs, key=lambda log: not log.startswith("oak"))
    said = fleet.push("elm", f"{tip}:refs/heads/mesh-node/{oaks}")
    assert re.search(r"CHAIN: refs/heads/mesh-node/oak-\w+: .* is not oak", said), said
    assert "is not elm" not in fleet.push("elm", f"{tip}:refs/heads/mesh-node/{elms}")
    parent = plain_git("--git-dir", str(fleet.hub), "rev-parse", "mesh~1")
    assert "PUSH: refs/heads/mesh: " in fleet.push("elm", f"{parent}:refs/heads/mesh")
    assert "RENDER: refs/heads/x" in fleet.push("elm", f"{tip}:refs/heads/x")
    assert fleet.tip() == tip


# By path, through the facade: the rest of a fleet's life.


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with enforcing(tmp_path) as path:
        yield Hub(str(path), path)


@pytest.fixture
def oak(hub: Hub, tmp_path: Path) -> Mesh:
    return founded(tmp_path, hub)


def test_CHAIN_a_key_is_rotated_and_its_new_log_goes_on(hub: Hub, oak: Mesh, tmp_path: Path) -> None:
    elm = joined(tmp_path, hub, oak, "elm")
    assert elm.rotate().result == "rotated"
    assert elm.publish("builds", "done", {}).verdict == "applied"
    assert oak.verify(every_signature=True).ok


def test_LIVE_the_recovery_key_makes_an_admin(hub: Hub, oak: Mesh, tmp_path: Path) -> None:
    ash = joined(tmp_path, hub, oak, "ash")
    drawer = Path(shutil.move(oak.home.recovery, tmp_path / "drawer"))
    assert ash.admit("ash", fingerprint(ash), ("admin", "node"), recovery=drawer).result == "admitted"
    assert ash.revoke("oak", "lost").verdict == "applied"
    assert [admin.name for admin in members(ash.observe().engine.ledger.state).admins()] == ["ash"]


def test_RENDER_a_damaged_trunk_that_was_adopted_is_healed_by_the_next_publish(
    hub: Hub, oak: Mesh, tmp_path: Path
) -> None:
    assert oak.publish("builds", "done", {}).verdict == "applied"
    work = tmp_path / "work"
    plain_git("clone", "--quiet", "--branch", "mesh", str(hub.path), str(work))
    file = work / log_place(oak.identity().log, 1).file
    file.write_bytes(file.read_bytes() + b"garbage\n")
    (work / "ledger" / "notes.txt").write_text("x")
    plain_git("add", "--all", cwd=work)
    plain_git("commit", "--quiet", "--message", "x", cwd=work)
    hub.git("fetch", "--quiet", str(work), "mesh:refs/heads/damaged")
    hub.git("update-ref", "refs/heads/mesh", "refs/heads/damaged")
    assert [point.level for point in examine(hub.path, os.environ) if point.name == "trunk"] == ["look"]
    assert oak.publish("builds", "done", {}).verdict == "applied"
    assert [point.level for point in examine(hub.path, os.environ) if point.name == "trunk"] == ["good"]
    assert oak.verify().ok


def test_SET_two_hubs_that_enforce_are_united(hub: Hub, oak: Mesh, tmp_path: Path) -> None:
    elm = joined(tmp_path, hub, oak, "elm")
    with enforcing(tmp_path / "other") as other:
        _unite(hub, other, oak, elm, tmp_path)


def _unite(hub: Hub, other: Path, oak: Mesh, elm: Mesh, tmp_path: Path) -> None:
    hub.git("push", "--quiet", "--mirror", str(other))
    sea = Mesh.open(str(tmp_path / "elm"), session="s", hub=str(other))
    for _ in range(3):
        assert oak.publish("builds", "city", {}).verdict == "applied"
        assert sea.publish("builds", "sea", {}).verdict == "applied"
    assert oak.reconcile(str(other)).moved
    oak.sync()
    assert sea.reconcile(hub.url).moved
    assert hub.tip() == Hub(str(other), other).tip()
    assert elm.verify().ok


def test_C13_a_node_that_is_refused_hears_the_law_and_the_place(hub: Hub, oak: Mesh, tmp_path: Path) -> None:
    adopt(hub.path, HubSettings(), os.environ)
    (hub.path / "mesh" / "hub.json").write_text("{}")
    with pytest.raises(MeshFault, match=r"the hub refused the push: .*CLOSED: the hub's settings cannot be read"):
        oak.publish("builds", "done", {})
    adopt(hub.path, HubSettings(), os.environ)
    oak.sync()
    assert oak.status()["pending"] == 0
