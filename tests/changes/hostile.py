"""The corpus of hostile changes: each law, broken in each way, by lines and by trees. Every case has a name of its own."""

from __future__ import annotations

from tests.changes import hostile_chains, hostile_lines, hostile_rules, hostile_seals, hostile_trees
from tests.changes.scene import Case

CASES: tuple[Case, ...] = (
    *hostile_lines.CASES,
    *hostile_chains.CASES,
    *hostile_seals.CASES,
    *hostile_trees.CASES,
    *hostile_rules.CASES,
)
