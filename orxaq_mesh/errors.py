"""What can go wrong, by who is at fault.

Knows: the three families of errors, the exit code of each, and the stable `code` that JSON carries.
Knows not: how any of them came to be. A verdict on a sealed record is data (`kinds.Verdict`), never one of these.

    Refused    your intent: a rule said no before anything was signed          exit 3
    Fenced     your token is stale: somebody else holds the lease by now       exit 4
    MeshFault  hub, disk, configuration or ledger: see the subclasses          exit 1, 2, 5, 6
"""

from __future__ import annotations

from typing import Any

DONE, FAULT, USAGE, REFUSED, FENCED, UNREACHABLE, INVALID, QUEUED = range(8)


class MeshError(Exception):
    """Base of all errors of the mesh.

    Args:
        what: one sentence: what happened, where and why.
        hint: the next step, as a command where there is one.
        facts: further JSON-able fields for `--json` (holder, token, file, line, ...).
    """

    code = "fault"
    exit_code = FAULT

    def __init__(self, what: str, *, hint: str = "", **facts: Any) -> None:
        super().__init__(what)
        self.what, self.hint, self.facts = what, hint, facts


class Refused(MeshError):
    """A rule refuses the intent; nothing was signed. `rule` is the rule's id, for `mesh explain`."""

    code = "refused"
    exit_code = REFUSED

    def __init__(self, rule: str, what: str, *, hint: str = "", **facts: Any) -> None:
        super().__init__(what, hint=hint, rule=rule, **facts)
        self.rule = rule


class Fenced(Refused):
    """The token is not the lease's current one, or the holder is another (law FENCE)."""

    code = "fenced"
    exit_code = FENCED


class MeshFault(MeshError):
    """Hub, disk or configuration is at fault."""


class Usage(MeshFault):
    """The call's words are off: an option, a name, a configuration value."""

    code = "usage"
    exit_code = USAGE


class Unreachable(MeshFault):
    """The hub did not answer, or a push's outcome is not known yet (laws PUSH, CLOSED)."""

    code = "unreachable"
    exit_code = UNREACHABLE


class InvalidLedger(MeshFault):
    """The ledger breaks a law. `findings` says which one, in which file and line."""

    code = "invalid"
    exit_code = INVALID

    def __init__(self, what: str, *, findings: Any = (), hint: str = "", **facts: Any) -> None:
        listed = [finding._asdict() for finding in findings]
        super().__init__(what, hint=hint, findings=listed, **facts)
        self.findings = tuple(findings)
