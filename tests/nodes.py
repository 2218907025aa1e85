"""Whole nodes for tests: homes of their own at a real hub, through the facade that programs use.

oak = founded(tmp_path, hub); elm = joined(tmp_path, hub, oak, "elm")
"""

from __future__ import annotations

from pathlib import Path

from orxaq_mesh.keys import PublicKey
from orxaq_mesh.mesh import Mesh
from tests.hubs import Hub


def node(folder: Path, hub: Hub, name: str) -> Mesh:
    """The node that lives, or is to live, in folder/name."""
    return Mesh.open(str(folder / name), hub=hub.url, session="s")


def founded(folder: Path, hub: Hub, name: str = "oak") -> Mesh:
    """A founder. Its recovery key lies in folder/name/recovery."""
    mesh = node(folder, hub, name)
    mesh.init(hub.url, name)
    return mesh


def introduced(folder: Path, hub: Hub, ledger: str, name: str) -> Mesh:
    """A newcomer that said hello and waits."""
    mesh = node(folder, hub, name)
    assert mesh.join(hub.url, name, ledger).result == "waits"
    return mesh


def joined(folder: Path, hub: Hub, admin: Mesh, name: str, *roles: str) -> Mesh:
    """A newcomer that was let in."""
    mesh = introduced(folder, hub, admin.identity().ledger, name)
    assert admin.admit(name, fingerprint(mesh), roles or ("node",)).verdict == "applied"
    return mesh


def fingerprint(mesh: Mesh) -> str:
    return PublicKey.parse(mesh.public_key()).fingerprint
