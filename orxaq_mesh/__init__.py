"""orxaq-mesh: a fleet of nodes coordinates through nothing but one git repository."""

__version__ = "0.1.0"
