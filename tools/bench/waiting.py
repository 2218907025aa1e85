"""What a person waits for, on hubs that take their time; against the same with plain git commands.

The delay is put before each request of HTTP: a reading of the hub is two of them, a push two or three.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.effects import Answer
from orxaq_mesh.home.process import identify_self
from tests.daemons import MeshSync, node, small_fleet
from tests.hubs import Hub, http_hub
from tools.bench.plain import PlainLock
from tools.bench.rows import Row, interleaved, took_ms
from tools.bench.starting import shell

POLL_S, POLL_WAITING_S = 2.0, 0.5
"""As profile `lan` has it; the plain commands ask as often."""
DELAYS = {0.0: 3, 0.2: 2, 1.5: 1}
"""Seconds a request -> rounds."""


class Scene(NamedTuple):
    """A slow hub, two nodes and two clones."""

    hub: Hub
    oak: Path
    elm: Path
    plain_oak: PlainLock
    plain_elm: PlainLock

    def syncs(self, stack: ExitStack) -> tuple[MeshSync, MeshSync]:
        """mesh-sync on both nodes."""
        both = [MeshSync(home, poll_ms=int(POLL_S * 1000), hub=self.hub.url) for home in (self.oak, self.elm)]
        oak, elm = (stack.enter_context(sync) for sync in both)
        return oak, elm


def scene(stack: ExitStack, delay_s: float) -> Scene:
    """Everything is set up by the hub's path, without the delay."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    hub = stack.enter_context(http_hub(folder, lambda _: time.sleep(delay_s)))
    fleet = small_fleet(folder, Hub(str(hub.path), hub.path))
    for home in fleet.values():
        node(home).sync()  # as the clones, they know what is there
    clones = [PlainLock(hub, folder / f"plain-{name}") for name in ("oak", "elm")]
    return Scene(hub, fleet["oak"], fleet["elm"], *clones)


def wait_rows(quick: bool) -> Iterator[Row]:
    """Acquire, release to next holder, publish to visible, on each hub; the slow ones at the same time."""
    found: dict[float, list[Row]] = {}

    def measure(delay_s: float, rounds: int) -> None:
        with ExitStack() as stack:
            found[delay_s] = list(_rows(stack, scene(stack, delay_s), delay_s, rounds))

    measure(0.0, 1 if quick else DELAYS[0.0])
    if not quick:
        _together([partial(measure, delay_s, rounds) for delay_s, rounds in DELAYS.items() if delay_s])
    for delay_s in sorted(found):
        yield from found[delay_s]


def _rows(stack: ExitStack, at: Scene, delay_s: float, rounds: int) -> Iterator[Row]:
    where = f"hub {delay_s:g} s a request"
    names = (f"job-{number}" for number in range(10**6))
    ours, theirs = interleaved(
        rounds,
        lambda: shell(at.elm, "lease", "acquire", next(names), hub=at.hub.url),
        lambda: at.plain_elm.acquire(next(names)),
    )
    yield Row("wait", f"cold `mesh lease acquire`; {where}", ours, "git pull, commit, push", theirs)
    oak, elm = at.syncs(stack)
    oak.wait_for("sealed")  # the first reading is behind them
    passed = [_pass_on(at, elm, f"turn-{number}") for number in range(rounds)]
    plain = [_pass_on_plainly(at, f"turn-{number}") for number in range(rounds)]
    against = "pull, commit, push; the other pulls every 0.5 s"
    yield Row("wait", f"release to next holder; {where}", statistics.median(passed), against, statistics.median(plain))
    seen = [_seen(at, elm, number) for number in range(rounds)]
    plain = [_seen_plainly(at, f"word-{number}") for number in range(rounds)]
    against = "commit, push; the other pulls every 2 s"
    yield Row("wait", f"publish to visible elsewhere; {where}", statistics.mean(seen), against, statistics.mean(plain))


def _pass_on(at: Scene, elm: MeshSync, lease: str) -> float:
    """oak holds, elm waits in line: from oak's call to release until elm's call to acquire comes back."""
    options = {"hub": at.hub.url}
    assert node(at.oak, **options).acquire(lease, 600_000).result == "granted"
    waiter = threading.Thread(target=lambda: node(at.elm, **options).acquire(lease, 600_000, wait=True))
    waiter.start()
    elm.wait_for("sealed", lease=lease, result="queued")

    def release() -> None:
        node(at.oak, **options).release(lease)
        waiter.join()

    return took_ms(release)


def _pass_on_plainly(at: Scene, name: str) -> float:
    at.plain_oak.acquire(name)

    def take_over() -> None:
        at.plain_elm.wait_for(name, POLL_WAITING_S)
        at.plain_elm.change(name, "mine")

    at.plain_elm.pull()
    waiter = threading.Thread(target=take_over)
    waiter.start()

    def release() -> None:
        at.plain_oak.pull()
        at.plain_oak.change(name, None)
        waiter.join()

    return took_ms(release)


def _seen(at: Scene, elm: MeshSync, number: int) -> float:
    before = len(elm.events("sealed", kind="event.publish"))

    def publish() -> None:
        node(at.oak, hub=at.hub.url).publish("builds", "finished", {"n": number})
        elm.wait_for("sealed", count=before + 1, kind="event.publish")

    time.sleep(0.37 * number % POLL_S)  # another moment between two of elm's readings each time
    return took_ms(publish)


def _seen_plainly(at: Scene, name: str) -> float:
    at.plain_oak.pull()
    at.plain_elm.pull()
    reader = threading.Thread(target=lambda: at.plain_elm.wait_for(name, POLL_S, there=True))
    reader.start()
    time.sleep(0.37 * int(name.split("-")[1]) % POLL_S)

    def publish() -> None:
        at.plain_oak.change(name, "word")
        reader.join()

    return took_ms(publish)


# Kill to take-over.


def takeover_rows(quick: bool) -> list[Row]:
    """The holder is killed with its mesh-sync, just after a renewal; on all hubs at the same time."""
    ttl_s = 4 if quick else 20
    delays = [0.0] if quick else [*DELAYS]
    rows: dict[float, Row] = {}

    def measure(delay_s: float) -> None:
        rows[delay_s] = _takeover(delay_s, ttl_s)

    _together([partial(measure, delay_s) for delay_s in delays])
    return [rows[delay_s] for delay_s in delays]


def _takeover(delay_s: float, ttl_s: int) -> Row:
    with ExitStack() as stack:
        at = scene(stack, delay_s)
        oak, elm = at.syncs(stack)
        options = {"hub": at.hub.url}
        ours, theirs, taken = 0.0, 0.0, False

        def meshed() -> None:
            nonlocal ours, taken
            held = node(at.oak, **options).acquire("deploy", ttl_s * 1000, owner=identify_self())
            assert held.result == "granted"
            told: list[Answer] = []
            wish = partial(node(at.elm, **options).acquire, "deploy", 600_000, wait=True, timeout_ms=4 * ttl_s * 1000)
            waiter = threading.Thread(target=lambda: told.append(wish()))
            waiter.start()
            elm.wait_for("sealed", lease="deploy", result="queued")
            renewed = len(elm.events("sealed", kind="lease.renew"))
            elm.wait_for("sealed", kind="lease.renew", count=renewed + 1)
            oak.process.kill()
            ours = took_ms(waiter.join)
            taken = told[0].result == "granted"

        def plainly() -> None:
            nonlocal theirs
            at.plain_oak.acquire("deploy")
            theirs = took_ms(lambda: at.plain_elm.take_from_silent("deploy", ttl_s, POLL_WAITING_S))

        _together([meshed, plainly])
    where = f"hub {delay_s:g} s a request"
    bar = ttl_s * 1.5 if delay_s == 0 else None
    what = f"kill to take-over, ttl {ttl_s} s, profile lan; {where}" + ("" if taken else " (given up)")
    return Row("takeover", what, ours / 1000, "a lock file with that ttl", theirs / 1000, "s", bar, on_value=True)


def _together(acts: list[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(len(acts)) as pool:
        for ended in [pool.submit(act) for act in acts]:
            ended.result()
