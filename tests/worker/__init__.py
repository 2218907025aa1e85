"""The worker's room, with real processes, terminals and files."""
