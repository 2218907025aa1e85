"""mesh-sync: keeps one node in step with its hub.

Knows: when to wake, who is connected, what to log.
Knows not: any decision (`engine`), how an effect is carried out (`performer`).
One instance a node, by the `sync` lock (trap C17). SIGTERM and SIGINT end it after the step under way; SIGKILL loses
nothing, for all that was signed is in the journal.

    with Daemon(home, settings, log) as daemon:
        daemon.run()
"""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from orxaq_mesh.effects import Answer, Ask, Cancel, Intent, Say
from orxaq_mesh.errors import MeshError, MeshFault
from orxaq_mesh.home.config import Settings
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
from orxaq_mesh.sync.performer import Performer
from orxaq_mesh.sync.wire import MAX_REQUEST_BYTES, Belief, listen, pack, read_request

MAX_NAP_MS = 60_000
Log = Callable[[str, Mapping[str, Any]], None]


class _Caller(NamedTuple):
    """A connected command: its socket, and the id of the intent that it waits for."""

    stream: socket.socket
    buffer: bytearray


class Daemon:
    """One mesh-sync, while its `with` block lasts."""

    def __init__(self, home: Home, settings: Settings, log: Log) -> None:
        self._home, self._settings, self._log = home, settings, log
        self._selector = selectors.DefaultSelector()
        self._callers: dict[int, _Caller] = {}
        self._waiting: dict[str, int] = {}
        self._number = self._pause_ms = 0
        self._stopping = ""

    def run(self) -> None:
        """Work until a signal ends it.

        Raises:
            MeshFault: another mesh-sync runs for this node, or there is none to run.
        """
        with NodeLock(self._home, "sync", timeout_ms=0) as lock, contextlib.ExitStack() as stack:
            with self._node_lock():
                performer = stack.enter_context(Performer.open(self._home, self._settings))
            performer.say = self._said
            performer.telling = lambda: self._tell(performer)
            stack.callback(self._hang_up)
            self._listen(stack)
            self._watch_signals(stack)
            hub = self._settings.hub or performer.identity.hub
            self._log("started", {"node": performer.identity.log, "hub": hub})
            while not self._stopping and lock.intact():
                self._step(performer)
                self._sleep(performer)
            self._log("stopped", {"why": self._stopping or "its lock was removed"})

    def _node_lock(self) -> NodeLock:
        return NodeLock(self._home, "node")

    def _listen(self, stack: contextlib.ExitStack) -> None:
        server = listen(self._home.socket)
        stack.callback(self._home.socket.unlink, missing_ok=True)
        stack.callback(server.close)
        self._selector.register(server, selectors.EVENT_READ, "server")

    def _watch_signals(self, stack: contextlib.ExitStack) -> None:
        wake, bell = socket.socketpair()
        for end in (wake, bell):
            end.setblocking(False)
            stack.callback(end.close)
        self._selector.register(wake, selectors.EVENT_READ, "signal")
        old_fd = signal.set_wakeup_fd(bell.fileno())
        stack.callback(signal.set_wakeup_fd, old_fd)
        for number in (signal.SIGTERM, signal.SIGINT):
            stack.callback(signal.signal, number, signal.signal(number, self._on_signal))

    def _on_signal(self, number: int, frame: object) -> None:
        self._stopping = signal.Signals(number).name

    def _said(self, said: Say) -> None:
        self._log(said.event, said.facts)

    # One step.

    def _step(self, performer: Performer) -> None:
        try:
            with self._node_lock():
                performer.tick()
                performer.keep()
                if why := performer.store.maintain():
                    self._log("maintenance", {"reason": why})
        except MeshFault as error:
            self._log("fault", {"code": error.code, "reason": error.what, "hint": error.hint})
            self._tell_all(error)
            self._pause_ms = min(MAX_NAP_MS, 2 * self._pause_ms + 1000)
        else:
            self._pause_ms = 0

    def _sleep(self, performer: Performer) -> None:
        nap_ms = min(MAX_NAP_MS, max(self._pause_ms, performer.engine.wake_ms() - performer.clock.now_ms()))
        if self._stopping:
            return
        for key, _ in self._selector.select(nap_ms / 1000):
            if key.data == "server":
                self._accept(key.fileobj)
            elif key.data == "signal":
                with contextlib.suppress(BlockingIOError):
                    key.fileobj.recv(64)  # type: ignore[union-attr]
            else:
                self._hear(performer, int(key.data))

    def _accept(self, server: Any) -> None:
        with contextlib.suppress(BlockingIOError):
            stream, _ = server.accept()
            stream.setblocking(False)
            self._number += 1
            self._callers[self._number] = _Caller(stream, bytearray())
            self._selector.register(stream, selectors.EVENT_READ, self._number)

    def _hear(self, performer: Performer, number: int) -> None:
        caller = self._callers[number]
        try:
            data = caller.stream.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        caller.buffer.extend(data)
        if not data or len(caller.buffer) > MAX_REQUEST_BYTES:
            self._drop(performer, number)
            return
        while (end := caller.buffer.find(b"\n")) >= 0:
            line = bytes(caller.buffer[:end])
            del caller.buffer[: end + 1]
            self._request(performer, number, line)

    def _request(self, performer: Performer, number: int, line: bytes) -> None:
        try:
            request = read_request(line)
        except ValueError as error:
            fault = MeshFault(f"not a request: {error}", hint="mesh and mesh-sync are to be of one version")
            self._reply(number, {"answer": pack(Answer("unknown", error=fault))})
            return
        if isinstance(request, Belief):
            self._reply(number, self._belief(performer, request))
        elif any(intent.id in self._waiting for intent in request):
            fault = MeshFault("an intent of this id is asked for already")
            self._reply(number, {"answer": pack(Answer("unknown", error=fault))})
        else:
            self._ask(performer, number, request)

    def _ask(self, performer: Performer, number: int, intents: Sequence[Intent]) -> None:
        self._waiting |= {intent.id: number for intent in intents}
        try:
            with self._node_lock():
                performer.feed(Ask(intents[0], intents[1:]))
                performer.keep()
        except MeshError as error:
            for intent in intents:
                self._waiting.pop(intent.id, None)
                self._reply(number, {"id": intent.id, "answer": pack(Answer("unknown", error=error))})
        self._deliver(performer)

    def _belief(self, performer: Performer, asked: Belief) -> dict[str, Any]:
        until_ms = performer.engine.believed_until_ms(asked.lease, asked.session)
        return {"left_ms": None if until_ms is None else max(0, until_ms - performer.clock.now_ms())}

    def _tell(self, performer: Performer) -> None:
        """As soon as it is known, before the hub is read again; who then looks at the snapshot finds it there."""
        with contextlib.suppress(MeshFault):  # a full disk is told at the end of the step
            performer.keep()
        self._deliver(performer)

    def _deliver(self, performer: Performer) -> None:
        for intent_id, answer in list(performer.told.items()):
            del performer.told[intent_id]
            number = self._waiting.pop(intent_id, None)
            if number is not None:
                self._reply(number, {"id": intent_id, "answer": pack(answer)})

    def _tell_all(self, error: MeshError) -> None:
        """The disk or the settings are at fault: whoever waits must not wait for ever."""
        for intent_id, number in self._waiting.items():
            self._reply(number, {"id": intent_id, "answer": pack(Answer("unknown", error=error))})
        self._waiting.clear()

    def _reply(self, number: int, value: dict[str, Any]) -> None:
        caller = self._callers.get(number)
        if caller is None:
            return
        with contextlib.suppress(OSError):
            caller.stream.setblocking(True)
            caller.stream.settimeout(5)
            caller.stream.sendall(orjson.dumps(value, default=str) + b"\n")
            caller.stream.setblocking(False)

    def _drop(self, performer: Performer, number: int) -> None:
        """A caller hung up: what it still waits for is withdrawn."""
        caller = self._callers.pop(number)
        self._selector.unregister(caller.stream)
        caller.stream.close()
        for intent_id in [intent for intent, who in self._waiting.items() if who == number]:
            del self._waiting[intent_id]
            with self._node_lock():
                performer.feed(Cancel(intent_id))

    def _hang_up(self) -> None:
        for caller in self._callers.values():
            caller.stream.close()
        self._selector.close()
