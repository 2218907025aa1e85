"""Work: the frontier after a finish, however large its DAG; many tasks in one push; an empty command's whole way; a slow hub."""

from __future__ import annotations

import contextlib
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from orxaq_mesh import Mesh, fold
from orxaq_mesh.home.config import resolve
from orxaq_mesh.home.place import Home
from orxaq_mesh.home.process import undisturbed
from orxaq_mesh.kinds import State, work
from orxaq_mesh.record import Record, Seal
from orxaq_mesh.worker.loop import Wanted, Worker
from orxaq_mesh.worker.own import Own
from tests.builder import Pen, Trunk
from tests.daemons import small_fleet
from tests.hubs import Hub, file_hub, http_hub, wait_until
from tools.bench.publishing import PlainGit
from tools.bench.rows import Row, interleaved, took_ms

A_PART = 600
"""So many tasks of a name and three needs fit into one line."""
STEPS = 32
SHAPES = {"each needs up to three": 3, "none needs another": 0}


class Worked(NamedTuple):
    """A DAG as it was submitted, and the epochs of a few of its tasks: a claim and a finish each."""

    state: State
    epochs: list[tuple[Seal, dict[str, list[Record]]]]


def work_rows(quick: bool) -> Iterator[Row]:
    """All of it."""
    yield from frontier_rows(quick)
    yield from submit_rows(quick)
    yield from empty_rows(quick)
    yield from github_rows(quick)


class Scene:
    """A hub that counts its pushes, and nodes, while its `with` block lasts; `slow`: requests with this in their path."""

    def __init__(self, *names: str, slow: str = "") -> None:
        self._stack = contextlib.ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        wait = partial(_wait, slow)
        self.hub = self._stack.enter_context(http_hub(self.folder, wait) if slow else file_hub(self.folder))
        self.hub.hook("post-receive", "date +%s.%N >>pushes")
        self.homes = small_fleet(self.folder, Hub(str(self.hub.path), self.hub.path), *names)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def pushes(self) -> list[float]:
        """When the hub took each push so far, in seconds since 1970."""
        return [float(line) for line in (self.hub.path / "pushes").read_text().split()]

    def state(self, name: str) -> State:
        """As the node has read it last."""
        state: State = Mesh.open(str(self.homes[name]), profile="lan").state()
        return state

    def log(self, name: str) -> list[str]:
        """All records, as `mesh log` shows them."""
        argv = [sys.executable, "-m", "orxaq_mesh", "log", "--home", str(self.homes[name])]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()

    def worker(self, name: str) -> subprocess.Popen[bytes]:
        """A `mesh work` that treats the hub as GitHub."""
        env = {**os.environ, "MESH_HOME": str(self.homes[name]), "MESH_PROFILE": "github", "MESH_HUB": self.hub.url}
        argv = [sys.executable, "-m", "orxaq_mesh", "work", "--trust", "oak", "--folder", str(self.folder)]
        with (self.folder / f"{name}.said").open("wb") as said:
            return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=said, stderr=said)


def _wait(slow: str, path: str) -> None:
    if slow in path:
        time.sleep(1.5)


def frontier_rows(quick: bool) -> Iterator[Row]:
    """One claim and one finish are folded, then the next three are asked for; and the state's copy, which an epoch costs."""
    large = 10_000 if quick else 100_000
    for shape, needs in SHAPES.items():
        ours, theirs = _cpu_ms(*(_step(_worked(tasks, needs)) for tasks in (large, 1_000)))
        what = f"claim, finish, the next three of {large:,} tasks; {shape}"
        yield Row("work", what, ours / STEPS, "the same of 1,000", theirs / STEPS, bar=1.5)
        ours, theirs = _cpu_ms(*(_copies(_worked(tasks, needs).state) for tasks in (large, 1_000)))
        what = f"the state's copy that an epoch costs, {large:,} tasks; {shape}"
        yield Row("work", what, ours / STEPS, "the same with 1,000", theirs / STEPS)


def _cpu_ms(*acts: Callable[[], object]) -> list[float]:
    """The median processor time of each act, in ms; as the engine runs, without searches for cycles in between."""
    times: list[list[float]] = [[] for _ in acts]
    for _ in range(25):
        for act, taken in zip(acts, times, strict=True):
            with undisturbed():
                began = time.process_time()
                act()
                taken.append(1000 * (time.process_time() - began))
    return [statistics.median(taken) for taken in times]


def _step(worked: Worked) -> Any:
    def act() -> None:
        state = fold.copy(worked.state)
        for seal, taken in worked.epochs:
            judged = fold.apply(state, seal, taken)
            assert judged[-1].verdict.outcome == "applied"
            work.frontier(state, 3)

    return act


def _copies(state: State) -> Any:
    return lambda: [fold.copy(state) for _ in range(STEPS)]


@cache
def _worked(tasks: int, needs: int) -> Worked:
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    trunk.seal(*submitted(trunk.oak, tasks, needs))
    before, epochs = fold.copy(trunk.ledger.state), []
    for name in work.frontier(trunk.ledger.state, STEPS):
        claim = elm.write("lease.acquire", lease=name, session="s", ttl_ms=60_000, until=999)
        trunk.seal(claim, by=elm)
        epochs.append((trunk.seals[-1], {elm.log: [claim]}))
        under = {"lease": name, "session": "s", "token": trunk.ledger.state.epoch}
        end = elm.write("task.finish", under=under, outcome="succeeded")
        trunk.seal(end, by=elm)
        epochs.append((trunk.seals[-1], {elm.log: [end]}))
    return Worked(before, epochs)


def submitted(pen: Pen, tasks: int, needs: int) -> list[Record]:
    """The records of a DAG: a submit and its parts."""
    made = [_task(number, needs) for number in range(tasks)]
    pieces = [made[at : at + A_PART] for at in range(0, tasks, A_PART)]
    first = pen.write("dag.submit", dag="large", tasks=pieces[0], parts=len(pieces) - 1, until=999)
    parts = (
        pen.write("dag.part", dag="large", part=number, tasks=piece, record=first.id, until=999)
        for number, piece in enumerate(pieces[1:], 1)
    )
    return [first, *parts]


def _task(number: int, needs: int) -> dict[str, Any]:
    """Every sixteenth needs nothing; the others need some of those shortly before, the same ones in every run."""
    before = [number - step for step in (1, 5, 11)[:needs] if number % 16 and number >= step]
    return {"name": f"t{number}", "needs": [f"t{need}" for need in before]}


# One push for many.


def submit_rows(quick: bool) -> Iterator[Row]:
    """A DAG of ten thousand tasks, submitted as a whole."""
    tasks = 1_000 if quick else 10_000
    with Scene("oak") as scene:
        mesh = Mesh.open(str(scene.homes["oak"]), profile="lan")
        before = len(scene.pushes())
        made = [_task(number, 3) for number in range(tasks)]
        asked = [("dag.submit", {"dag": "large", "tasks": made[:A_PART], "parts": (tasks - 1) // A_PART})]
        places = enumerate(range(A_PART, tasks, A_PART), 1)
        asked += [("dag.part", {"dag": "large", "part": n, "tasks": made[at : at + A_PART]}) for n, at in places]
        took = took_ms(lambda: mesh.ask_all(asked))
        assert len(work.frontier(mesh.state())) == -(-tasks // 16)
        yield Row(
            "work", f"submit {tasks:,} tasks: pushes", len(scene.pushes()) - before, unit="", bar=1, on_value=True
        )
        yield Row("work", f"submit {tasks:,} tasks, cold, to the verdict", took)


# An empty command.


def empty_rows(quick: bool) -> Iterator[Row]:
    """One task that does nothing, with an idle worker; against a commit and its push. The hub says when each push came."""
    rounds = 5 if quick else 20
    with Scene("oak") as scene, _working(scene) as ends:
        mesh = Mesh.open(str(scene.homes["oak"]), profile="lan")
        plain = PlainGit(scene.hub, scene.folder / "plain")
        count, pushes, spent = iter(range(10**6)), list[int](), list[tuple[float, float]]()

        def ours() -> None:
            task = {"name": "empty", "commands": [{"name": "true", "run": ["true"]}]}
            began, before = time.time(), len(scene.pushes())
            mesh.ask_all([("dag.submit", {"dag": f"d{next(count)}", "tasks": [task]})])
            end, ours = ends.get(timeout=60), scene.pushes()[before:]
            spent.append((1000 * (end - ours[0]), 1000 * (end - began)))
            pushes.append(len(ours))

        def theirs() -> None:
            plain.commit_and_push({"file": str(next(count)).encode()})

        interleaved(2, ours, theirs)
        del spent[:], pushes[:]
        _, git = interleaved(rounds, ours, theirs)
    claimed, whole = (statistics.median(times) for times in zip(*spent, strict=True))
    against = "a bare git add, commit, push"
    yield Row("work", "an empty command: claim, run, finish", claimed, against, git, bar=4)
    yield Row("work", "an empty command: submit, claim, run, finish", whole, against, git)
    yield Row("work", "pushes of these four", max(pushes), unit="", bar=3, on_value=True)


@contextlib.contextmanager
def _working(scene: Scene) -> Iterator[queue.Queue[float]]:
    """A worker of oak's in this process, with a mesh-sync of its own; when each of its finishes was told."""
    home, ends = Home(scene.homes["oak"]), queue.Queue[float]()

    def say(event: str, facts: Mapping[str, Any]) -> None:
        if event == "finished":
            assert facts["verdict"] == "applied", facts
            ends.put(time.time())

    wanted = Wanted(authors=("oak",))
    worker = Worker(home, resolve(home, {"profile": "lan"}), wanted, Own(), scene.folder, say)
    thread = threading.Thread(target=worker.run)
    thread.start()
    wait_until(lambda: work.work(scene.state("oak")).offers, 30)
    yield ends
    worker.stop()
    thread.join()


# A slow hub.


def github_rows(quick: bool) -> list[Row]:
    """Twelve tasks over three nodes, profile `github`, on hubs of which each operation, or each request, takes 1.5 s."""
    rows: dict[str, list[Row]] = {}
    slow = {} if quick else {"1.5 s an operation": "/info/refs", "1.5 s a request": "/"}

    def measure(name: str) -> None:
        rows[name] = list(_release(name, slow[name]))

    threads = [threading.Thread(target=measure, args=(name,)) for name in slow]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [row for name in slow for row in rows[name]]


RELEASE = {
    "prepare": [],
    **{f"build-{n}": ["prepare"] for n in "abc"},
    **{f"test-{n}": [f"build-{n}"] for n in "abc"},
    "lint": ["prepare"],
    "docs": ["prepare"],
    "package": ["test-a", "test-b", "test-c", "lint", "docs"],
    "sign": ["package"],
    "publish": ["sign"],
}
LONG = "test-b"
"""Every task takes 2 s; this one 30, so that its claim is renewed."""


def _release(where: str, slow: str) -> Iterator[Row]:
    names = ("oak", "elm", "ash")
    with Scene(*names, slow=slow) as scene:
        oak = Mesh.open(str(scene.homes["oak"]), profile="lan")
        tasks = [
            {
                "name": name,
                "needs": needs,
                "commands": [{"name": "work", "run": ["sleep", "30" if name == LONG else "2"]}],
            }
            for name, needs in RELEASE.items()
        ]
        oak.ask_all([("dag.submit", {"dag": "release", "tasks": tasks})])
        before, began = len(scene.pushes()), time.monotonic()
        workers = [scene.worker(name) for name in names]

        def done() -> bool:
            time.sleep(1)
            oak_state = scene.state("oak")
            return not work.work(oak_state).dags["release"].is_open or time.monotonic() - began > 600

        wait_until(done, 700)
        took_s, pushes = time.monotonic() - began, len(scene.pushes()) - before
        for process in workers:
            process.terminate()
        for process in workers:
            process.wait()
        oak.sync()
        renewals = sum(" lease.renew " in line for line in scene.log("oak"))
        lost = sum(path.read_text().count("outcome=lost") for path in scene.folder.glob("*/work-sync.log"))
    what = f"12 tasks over 3 nodes, profile github, {where}"
    yield Row("work", what, took_s / 60, unit="min", bar=4, on_value=True)
    yield Row(
        "work",
        f"{what}: pushes a task, {renewals} renewals and {lost} lost pushes with them",
        (pushes + lost) / 12,
        unit="",
    )
