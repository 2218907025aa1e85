"""orxaq-mesh: a fleet of nodes coordinates through nothing but one git repository."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orxaq_mesh.mesh import Mesh

__version__ = "0.4.0"
__all__ = ["Mesh", "__version__"]


def __getattr__(name: str) -> Any:
    """`Mesh`, when it is asked for: importing the package alone stays cheap."""
    if name != "Mesh":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orxaq_mesh.mesh import Mesh

    return Mesh
