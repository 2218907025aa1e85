"""Programs for those who work on the mesh; no part of the package."""
