"""`python -m orxaq_mesh` is `mesh`."""

from orxaq_mesh.cli import main

if __name__ == "__main__":
    main()
