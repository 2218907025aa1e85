"""One attempt at a piece of work: its steps in order, and what is filed of them.

Knows: guards before, commands, guards after, rollback; what makes an attempt succeed.
Knows not: claims, the hub; how a command is run (`execution`).
Laws: SECRET (what is filed repeats no credential), QUIET (a `shell` step runs only where the order says so and the node's own file allows it).

    attempt(claim, place, lost)      # [("task.receipt", {...}), ..., ("task.finish", {...})]; [] where the claim was lost
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from orxaq_mesh.credentials import masked
from orxaq_mesh.errors import MeshError, Usage
from orxaq_mesh.store.environment import git_environment
from orxaq_mesh.worker.environment import child_environment
from orxaq_mesh.worker.events import LAST, ExecutionLog
from orxaq_mesh.worker.own import Own
from orxaq_mesh.worker.receipts import found, receipt
from orxaq_mesh.worker.retrying import run_patiently
from orxaq_mesh.worker.step import EXITED, Exit, Step

Asked = list[tuple[str, dict[str, Any]]]
_PHASES = (("before", "before"), ("commands", "run"), ("after", "after"))
MAX_REASON = 500
MAX_RECEIPT_BYTES = 60 * 1024


class Claim(NamedTuple):
    """A piece of work that this node holds.

    Attributes:
        lease, session, token, seal: how it is held (law FENCE).
        order: what is to be done; of a command: its name and arguments.
    """

    lease: str
    session: str
    token: int
    seal: str
    attempt: int
    order: Mapping[str, Any]

    @property
    def under(self) -> dict[str, Any]:
        """What a record that acts under it says."""
        return {"lease": self.lease, "session": self.session, "token": self.token}

    @property
    def name(self) -> str:
        """Without the family: `release/build`."""
        return self.lease.partition(":")[2]

    @property
    def is_command(self) -> bool:
        """Else it is a task."""
        return self.lease.startswith("command:")


class Place(NamedTuple):
    """Where an attempt is made.

    Attributes:
        folder: where its commands run.
        log: the folder of its `exec.jsonl`.
        environment: this machine's.
        home: the node's, handed to the commands as MESH_HOME.
        own: what the node lets its worker do.
    """

    folder: Path
    log: Path
    environment: Mapping[str, str]
    home: Path
    own: Own


def attempt(claim: Claim, place: Place, lost: threading.Event) -> Asked:
    """Make it, and say what is to be filed.

    Returns:
        Kinds and wishes, to be asked for together; nothing where the claim was lost meanwhile: all of it would be fenced.
    """
    with ExecutionLog(place.log / "exec.jsonl") as log:
        run = _Run(claim, place, lost, log)
        try:
            filed = run.command() if claim.is_command else run.task()
        except MeshError as error:
            filed = run.failed(error.what)
        # SECRET: what is not signed would leave the attempt without an end.
        filed = [] if lost.is_set() else [(kind, masked(wish)) for kind, wish in filed]
        outcome = filed[-1][1]["outcome"] if filed else "lost"
        log.append(LAST, outcome=outcome)
    return filed


class _Run:
    def __init__(self, claim: Claim, place: Place, lost: threading.Event, log: ExecutionLog) -> None:
        self.claim, self.place, self.lost, self.log = claim, place, lost, log
        self.filed: Asked = []
        wanted = claim.order.get("environment", ())
        own = {
            "MESH_LEASE": claim.lease,
            "MESH_TOKEN": str(claim.token),
            "MESH_SEAL": claim.seal,
            "MESH_SESSION": claim.session,
            "MESH_HOME": str(place.home),
            "MESH_ATTEMPT": str(claim.attempt),
            "MESH_ARGS": orjson.dumps(claim.order.get("args")).decode(),
        }
        given = child_environment(place.environment, wanted=wanted, env_allow=place.own.environment, own=own)
        self.environment, self.withheld = given.variables, given.withheld

    # Tasks.

    def task(self) -> Asked:
        """Guards, commands, guards; and the rollback where one of them says no after the commands had begun."""
        order = self.claim.order
        if wrong := self._wrong_branch(order.get("branch")):
            return self.failed(wrong)
        for field, phase in _PHASES:
            for step in order.get(field, ()):
                if wrong := self._step(step, phase):
                    if phase != "before":
                        self._roll_back()
                    return self.failed(wrong)
        return [*self.filed, ("task.finish", {"under": self.claim.under, "outcome": "succeeded"})]

    def failed(self, why: str) -> Asked:
        """It ends here; the reason is for people."""
        if self.withheld:
            why = f"{why}; this node's work.yaml does not let out {', '.join(self.withheld)}"
        kind = "command.finish" if self.claim.is_command else "task.finish"
        return [*self.filed, (kind, {"under": self.claim.under, "outcome": "failed", "reason": why[:MAX_REASON]})]

    def _step(self, order: Mapping[str, Any], phase: str) -> str:
        """Run one step and keep its receipt; why it was not good, or nothing."""
        step = self._as_step(order, phase)
        globs = order.get("artefacts", ())
        if step is None:
            return f"{order['name']} wants a shell, and this node's work.yaml does not allow it"
        pty = bool(self.claim.order.get("pty"))
        ended = run_patiently(step, self.place.folder, self.environment, log=self.log, stop=self.lost, pty=pty)
        told, wrong = self._told(step, ended, globs if ended.good else ())
        self.filed.append(("task.receipt", {"under": self.claim.under, **told}))
        return f"{step.name} {wrong}" if wrong else _why(step, ended)

    def _told(self, step: Step, ended: Exit, globs: Sequence[str]) -> tuple[dict[str, Any], str]:
        """The step's receipt, and what is wrong with its files: then it has failed, whatever its exit was."""
        folder, commit = self.place.folder, self._git("rev-parse", "--verify", "--quiet", "HEAD")
        try:
            told = _fits(receipt(step, ended, folder, globs, commit=commit))
            lacking = [glob for glob in globs if not found(folder, [glob])]
            wrong = f"made no {lacking[0]}" if lacking else ""
        except MeshError as error:
            told, wrong = _fits(receipt(step, ended, folder, commit=commit)), f"has no receipt: {error.what}"
        return (told | {"exit": 1, "note": f"it {wrong}"[:MAX_REASON]} if wrong else told), wrong

    def _as_step(self, order: Mapping[str, Any], phase: str) -> Step | None:
        limit_ms = order.get("limit_ms") or self.claim.order.get("limit_ms") or 3_600_000
        if "shell" not in order:
            return Step(order["name"], tuple(order.get("run", ())) or ("true",), limit_ms=limit_ms, phase=phase)
        return Step(order["name"], (), order["shell"], limit_ms, phase) if self.place.own.shell else None

    def _roll_back(self) -> None:
        """Every step of it, whatever the others come to; not where the work is no longer ours."""
        for order in self.claim.order.get("rollback", ()):
            if not self.lost.is_set():
                self._step(order, "rollback")

    def _wrong_branch(self, branch: str | None) -> str:
        if branch is None:
            return ""
        here = self._git("symbolic-ref", "--short", "--quiet", "HEAD")
        return "" if here == branch else f"the folder is on {here or 'no branch'}, and the work is for {branch}"

    def _git(self, *argv: str) -> str:
        """What git says of the folder; empty where it is no checkout, or git has nothing to say."""
        command = ["git", "-C", str(self.place.folder), *argv]
        env = git_environment(self.place.environment)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, env=env)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    # Commands.

    def command(self) -> Asked:
        """What the node's own file says that the command means."""
        order, under = self.claim.order, self.claim.under
        recipe = self.place.own.commands.get(order["name"])
        if recipe is None:
            why = f"{order['name']} is not in this node's work.yaml"
            return [("command.finish", {"under": under, "outcome": "refused", "rule": "COMMAND-1", "reason": why})]
        try:
            argv = recipe.argv(order.get("args"))
        except Usage as no:
            return [("command.finish", {"under": under, "outcome": "refused", "rule": "COMMAND-1", "reason": no.what})]
        step = Step(order["name"], argv, limit_ms=recipe.limit_ms)
        ended = run_patiently(step, self.place.folder, self.environment, log=self.log, stop=self.lost)
        told = receipt(step, ended, self.place.folder)
        facts = {field: told[field] for field in ("exit", "duration_ms", "output") if told[field] is not None}
        if ended.good:
            return [("command.finish", {"under": under, "outcome": "applied", **facts})]
        if recipe.noop_exit is not None and ended.code == recipe.noop_exit:
            return [("command.finish", {"under": under, "outcome": "noop", **facts})]
        return [("command.finish", {"under": under, "outcome": "failed", "reason": _why(step, ended), **facts})]


def _why(step: Step, ended: Exit) -> str:
    if ended.good:
        return ""
    if ended.outcome == EXITED:
        return f"{step.name} ended with {f'exit {ended.code}' if ended.code is not None else f'signal {ended.signal}'}"
    words = {"timeout": f"took longer than {step.limit_ms} ms", "stopped": "was stopped"}
    return f"{step.name} {words.get(ended.outcome, f'was not started: {ended.why}')}"[:MAX_REASON]


def _fits(told: dict[str, Any]) -> dict[str, Any]:
    """A receipt that a ledger takes: long arguments are named by their beginning.

    Raises:
        Usage: it is too long all the same (law LINE).
    """
    for most in (1024, 128):
        short = {**told, "command": [word[:most] for word in told["command"][:16]]}
        if len(orjson.dumps(short)) <= MAX_RECEIPT_BYTES:
            return short
    raise Usage(f"too many files for one ({len(told['artefacts'])})")
