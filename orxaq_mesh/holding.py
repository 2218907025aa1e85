"""A lease held by a program: acquired, renewed while it is needed, released; and what to do when it is lost.

Knows: how long this holder may still believe that it holds the lease (law TIME), and how to keep it so.
Knows not: what is done under the lease.
Laws: FENCE (hand `token` and `seal` to whatever you write to), TIME.

    with Mesh.open().lease("deploy", ttl=600) as lease:
        run(["./deploy.sh"], env={**environ, **lease.environment()})
        lease.check()                      # raises Fenced as soon as the lease may be another's
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

from orxaq_mesh.effects import Answer
from orxaq_mesh.errors import Fenced, MeshError, Refused
from orxaq_mesh.home.clock import Clock
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import environment, identify_self, session
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.sync import belief

RENEWALS_A_TTL = 3
MAX_PAUSE_MS = 2_000
"""A loss is noticed within so long where a mesh-sync runs; without one, at the next reading of the hub."""


class Node(Protocol):
    """What a holding asks of its node; a `Mesh` is one."""

    home: Home
    settings: Settings
    given_session: str | None

    @property
    def session(self) -> str:
        """The session that acts."""

    def as_session(self, session: str) -> Node:
        """The same node, acting as another session."""

    def acquire(self, lease: str, ttl_ms: int, **options: Any) -> Answer:
        """See `Mesh.acquire`."""

    def renew(self, lease: str, **options: Any) -> Answer:
        """See `Mesh.renew`."""

    def release(self, lease: str, **options: Any) -> Answer:
        """See `Mesh.release`."""

    def observe(self) -> Any:
        """See `Mesh.observe`."""


class Holding:
    """See `Mesh.lease`. Two holdings of one node are two sessions, and exclude each other.

    Attributes:
        token: the lease's fencing token; 0 while it is not held.
        seal: the id of the seal that granted it; with the token the pair that a resource checks.
        lost: set as soon as the lease may be another's; `reason` says why.
    """

    def __init__(
        self,
        mesh: Node,
        name: str,
        ttl_ms: int,
        *,
        wait: bool = True,
        timeout_ms: int | None = None,
        priority: int = 0,
        once: str | None = None,
    ) -> None:
        self._mesh = mesh.as_session(session(environment(), mesh.given_session, identify_self()))
        self.name, self.ttl_ms = name, ttl_ms
        self._wish: dict[str, Any] = {"wait": wait, "timeout_ms": timeout_ms, "priority": priority, "once": once}
        self._clock = Clock()
        self.token, self.seal, self.record, self.reason = 0, "", "", ""
        self._until_ms = self._look_due_ms = 0
        self.lost = threading.Event()
        self._done = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name=f"lease {name}", daemon=True)
        self.on_lost: Callable[[], None] = lambda: None

    @property
    def session(self) -> str:
        """The session that holds it."""
        return self._mesh.session

    @property
    def left_ms(self) -> int:
        """How long the holder may still act, on its own clock."""
        return 0 if self.lost.is_set() else max(0, self._until_ms - self._clock.now_ms())

    def check(self) -> None:
        """Raise if the lease may be another's by now.

        Raises:
            Fenced: it was lost, or could not be renewed in time.
        """
        if not self.left_ms:
            reason = self.reason or "it could not be renewed in time"
            raise Fenced("TIME", f"the lease {self.name} is lost: {reason}", hint=f"mesh lease show {self.name}")

    def environment(self) -> dict[str, str]:
        """What a child process needs to act under the lease."""
        return {
            "MESH_LEASE": self.name,
            "MESH_TOKEN": str(self.token),
            "MESH_SEAL": self.seal,
            "MESH_SESSION": self.session,
            "MESH_HOME": str(self._mesh.home.path),
        }

    def __enter__(self) -> Self:
        """Acquire it.

        Raises:
            Refused: another holds it, or the wait ended. MeshFault: hub or ledger.
        """
        asked_ms = self._clock.now_ms()
        # mesh-sync gives the waiting place back when this process is gone.
        answer = self._mesh.acquire(self.name, self.ttl_ms, owner=identify_self(), **self._wish)
        if answer.result != "granted":
            raise _not_granted(self.name, answer)
        self.token, self.seal, self.record = answer.facts["token"], answer.facts["seal"], str(answer.record)
        # A grant that was waited for is as old as the wait at most: renew at once, and count from before that.
        self._until_ms = asked_ms + self.ttl_ms
        if self._clock.now_ms() - asked_ms > self.ttl_ms // RENEWALS_A_TTL:
            self._renew()
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it. A lease that was lost needs no release; one that turns out to be another's was lost."""
        self._done.set()
        self._keeper.join()
        if self.lost.is_set():
            return
        try:
            answer = self._mesh.release(self.name, token=self.token)
        except MeshError:
            if kind is None:
                raise
            return
        if answer.verdict == "fenced":
            self._lose(answer.what)

    def _keep(self) -> None:
        while not self._done.wait(min(MAX_PAUSE_MS, self.ttl_ms // RENEWALS_A_TTL) / 1000):
            self._look_after()
            if self.lost.is_set():
                self.on_lost()
                return

    def _look_after(self) -> None:
        """Ask the mesh-sync that renews for this process; where none runs, renew when a third of the ttl is gone.

        One that runs and cannot renew gets until the last third: then this process asks, and hears why.
        """
        asked_ms = self._clock.now_ms()
        try:
            left_ms = belief(self._mesh.home, self.name, self.session)
        except Fenced as fenced:
            self._lose(fenced.what)
            return
        if left_ms is not None:
            self._until_ms = max(self._until_ms, asked_ms + left_ms)
        thirds = 2 if left_ms is None else 1
        if self.left_ms * RENEWALS_A_TTL <= self.ttl_ms * thirds:
            self._renew()
        elif left_ms is None and asked_ms >= self._look_due_ms:
            self._look_due_ms = asked_ms + self._mesh.settings.poll_ms
            self._look()

    def _look(self) -> None:
        """No mesh-sync reads the hub for us: see there whether the lease was broken or passed on."""
        try:
            state = self._mesh.observe().engine.ledger.state
        except MeshError:
            return  # the belief runs out by itself
        held = leases(state).by_name.get(self.name)
        if held is None or held.record != self.record:
            self._lose(
                f"{self.name} was taken or broken" + (f": {held.holder} holds it" if held and held.holder else "")
            )

    def _renew(self) -> None:
        """One renewal; what the hub cannot confirm leaves the belief to run out by itself."""
        asked_ms = self._clock.now_ms()
        try:
            answer = self._mesh.renew(self.name, token=self.token, timeout_ms=max(1000, self.left_ms))
        except MeshError as error:
            if not self.left_ms:
                self._lose(f"it could not be renewed: {error.what}")
            return
        if answer.verdict == "applied":
            self._until_ms = asked_ms + self.ttl_ms
        elif answer.verdict in ("refused", "fenced"):
            self._lose(answer.what)
        elif not self.left_ms:
            self._lose("it could not be renewed in time")

    def _lose(self, reason: str) -> None:
        self.reason = reason
        self.lost.set()


def _not_granted(name: str, answer: Answer) -> Refused:
    family = Fenced if answer.verdict == "fenced" else Refused
    what = answer.what or f"{name} was not granted: {answer.result or answer.verdict}"
    return family(
        answer.rule or "LEASE-2", what, hint=answer.hint, **{k: v for k, v in answer.facts.items() if k != "rule"}
    )
