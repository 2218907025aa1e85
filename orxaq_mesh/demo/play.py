"""The play: five acts on both sides at once, a release on one, then four questions to the ledger.

Knows: the order of what happens, the words between, and what the whole comes to.
Knows not: processes (`stage`), what is read in each act (`acts`, `release`, `tally`, `proofs`), how a line looks (`page`).

    play(keep=False, as_json=True)          # one JSON document; 0, or 1 and what did not happen
"""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from subprocess import SubprocessError
from typing import Any

from orxaq_mesh.demo.acts import BAD, GOOD, TTL_MS, LeftSide, Line, RightSide, Side
from orxaq_mesh.demo.page import ARROW, ASLEEP, AT_WORK, CROSS, MARK, NOTE, Bar, Page
from orxaq_mesh.demo.proofs import ask_ssh_keygen, fenced_by, flip_a_byte, verified_by
from orxaq_mesh.demo.release import ACTS as RELEASE_ACTS
from orxaq_mesh.demo.release import SLEEPER, STRUCK, Release
from orxaq_mesh.demo.stage import Facts, Stage
from orxaq_mesh.demo.tally import Tally, count
from orxaq_mesh.demo.world import Run
from orxaq_mesh.errors import DONE, FAULT, MeshError
from orxaq_mesh.home.process import environment

ACTS: tuple[tuple[str, Callable[[Any], None]], ...] = (
    ("A hub on each side", lambda side: side.set()),
    ("oak takes the lock to deploy v1", lambda side: side.take()),
    ("oak's laptop falls asleep, just before the write (SIGSTOP)", lambda side: side.sleep()),
    (f"elm waits until oak's {TTL_MS // 1000} s are over, and deploys v2", lambda side: side.take_over()),
    ("oak wakes and knows nothing of it (SIGCONT)", lambda side: side.wake()),
)
LEFT = (
    "A LOCK FILE ON GIT",
    "As people build it today: a file with a ttl, moved by compare-and-swap (git push --force-with-lease).",
)
RIGHT = (
    "ORXAQ-MESH",
    "A signed lease with a token that only grows. prod.txt remembers the highest token it has seen (mesh gate).",
)


_NOT_AS_EXPECTED = (LookupError, ValueError, TypeError, OSError, SubprocessError)
"""What reading an answer comes to that is not of the form that a command promises."""


class Play:
    """One performance: the page it is shown on, and the document that it amounts to."""

    def __init__(self, stage: Stage, page: Page) -> None:
        self._stage, self._page = stage, page
        self.document: Facts = {"ok": False, "ttl_ms": TTL_MS, "acts": [], "release": {}, "proofs": {}}

    def perform(self) -> None:
        """All of it.

        Raises:
            MeshError: something did not happen.
        """
        page = self._page
        page.title(
            "One job, two locks, one sleeping laptop",
            "The same job runs on both sides at the same time, and meets the same fault. All of it is real: processes, "
            "repositories, signals.",
        )
        page.heads(LEFT, RIGHT)
        left, right = LeftSide(self._stage), RightSide(self._stage)
        self._acts(left, right)
        page.verdict(
            (
                f"{CROSS} prod.txt: v2 {ARROW} {left.version()}. The newer version is gone, and the write saw no error.",
                BAD,
            ),
            (f"{MARK} prod.txt: {right.version()}. The late write was refused, and its report is fenced.", GOOD),
        )
        self._release(Release(right))
        self._proofs(right)
        self.document |= {"ok": True, "prod": {"left": left.version(), "right": right.version()}}

    def _acts(self, left: Side, right: Side) -> None:
        with ThreadPoolExecutor(2) as both:
            for title, act in ACTS:
                self._page.act(title)
                self._together([both.submit(act, side) for side in (left, right)])
                said = left.said(), right.said()
                self._page.sides(*said)
                sides = {"left": _told(said[0]), "right": _told(said[1])}
                self.document["acts"].append({"act": title, **sides})

    def _together(self, started: list[Future[None]]) -> None:
        """Wait for both sides. If one fails the other must not be waited for: it may wait for what never comes."""
        try:
            for side in wait(started, return_when=FIRST_EXCEPTION).done:
                side.result()
        except BaseException:
            self._stage.end()
            raise

    def _release(self, release: Release) -> None:
        self._page.title(
            "A dozen tasks, three laptops, two of them lost",
            "The same fleet makes a release. Each run appends a line to a file without asking anybody, and writes its "
            "result through the gate; which run counts, the ledger says.",
        )
        told = self.document["release"] = {"acts": []}
        for title, act in RELEASE_ACTS:
            self._page.act(title)
            act(release)
            said = release.said()
            self._page.lines(said)
            told["acts"].append({"act": title, "lines": _told(said)})
        self._page.act("What was done once, and what was done twice")
        tally = count(release)
        told |= tally.told()
        self._page.chart([_bar(release, tally, run) for run in tally.runs])
        self._page.write()
        self._counts(tally)

    def _counts(self, tally: Tally) -> None:
        page, tasks = self._page, len(tally.inside)
        late = f"; ash's {len(tally.late)} late records are fenced" if tally.late else ""
        page.found("in the ledger", f"{tasks} tasks, each effective once{late}")
        page.found(
            "behind the gate",
            f"{tasks} results, each the one that the ledger counts; written {len(tally.written)} times",
        )
        page.found(
            "receipts",
            f"{tally.receipts}, {len(tally.artefacts)} of them with a file: hashed again, all as they were told",
        )
        twice = (f"{found.run.task} ran twice: {found.why}" for found in tally.again)
        page.found("where nobody asks", f"{len(tally.runs)} runs of {tasks} tasks.", *twice, mark=NOTE)

    def _proofs(self, right: RightSide) -> None:
        page, proofs = self._page, self.document["proofs"]
        page.act("Every node judges oak's late report by itself, in its own copy of the ledger")
        proofs["fenced"] = fenced = fenced_by(right)
        for node, found in fenced.items():
            page.found(f"{node} says: {found['verdict']}", f"record {right.report[:16]}, rule {found['rule']}")

        page.act("One byte of that report is changed in a copy of the ledger")
        flip = flip_a_byte(right)
        proofs["flipped"] = flip._asdict()
        said = f"{flip.finding['law']}: {flip.finding['reason']}"
        page.found(f"mesh verify: exit {flip.exit}", f"{flip.file}, line {flip.line}", said)

        page.act("Every node verifies every signature, and comes to the same state")
        proofs["verified"] = verified = verified_by(right)
        for node, found in verified.items():
            counts = f"{found['records']} records, {found['seals']} seals"
            page.found(f"{node} says: sound", f"{counts}, state {found['state'][:32]}")

        page.act("And who does not believe us may ask ssh-keygen about oak's report")
        signature = ask_ssh_keygen(right, self._stage)
        proofs["ssh_keygen"] = signature._asdict()
        page.found("ssh-keygen: exit 0", signature.answer)
        self._end(signature.command)

    def _end(self, command: str) -> None:
        seconds = self._stage.now_ms() / 1000
        self.document["seconds"] = round(seconds, 1)
        self._page.write()
        if self._stage.keep:
            self._page.verbatim(f"Everything is kept in {self._stage.path}")
        self._page.write(f"{seconds:.0f} seconds, no network. To ask ssh-keygen yourself, paste:", "bold")
        self._page.write()
        self._page.verbatim(command)


def _bar(release: Release, tally: Tally, run: Run) -> Bar:
    """A run as a row: when it was at work, when it stood still, and whether it counts."""
    since = release.stage.since
    begun, ended = since(run.began_ms), since(run.ended_ms) if run.ended_ms else 0
    counts = tally.inside[run.task]["token"] == run.token
    struck = next((node for node, was in release.struck.items() if was.pid == run.pid), "")
    pieces = [(begun, ended or begun, AT_WORK)]
    if struck == STRUCK:
        pieces = [(begun, release.stood_ms[STRUCK], AT_WORK), (release.stood_ms[STRUCK], 0, CROSS)]
    elif struck == SLEEPER:
        woke = release.woke_ms
        pieces = [
            (begun, release.stood_ms[SLEEPER], AT_WORK),
            (release.stood_ms[SLEEPER], woke, ASLEEP),
            (woke, 0, CROSS),
        ]
    return Bar(run.task, f"{run.node} {run.token}", pieces, counts)


def _told(lines: list[Line]) -> list[Facts]:
    return [line._asdict() for line in lines]


def play(keep: bool, as_json: bool) -> int:
    """See `demo.run`."""
    with _mortal(), Stage(keep) as stage:
        page = Page(sys.stdout, environment(), silent=as_json)
        show = Play(stage, page)
        if keep:
            show.document["directory"] = str(stage.path)
        try:
            show.perform()
        except (MeshError, *_NOT_AS_EXPECTED) as error:
            show.document["missed"] = missed = str(error) if isinstance(error, MeshError) else repr(error)
            page.write()
            page.write(f"{CROSS} {missed}", BAD)
    if as_json:
        sys.stdout.write(json.dumps({"schema_version": 1, "data": show.document}) + "\n")
    return DONE if show.document["ok"] else FAULT


@contextlib.contextmanager
def _mortal() -> Iterator[None]:
    """SIGTERM and SIGHUP end the play like Ctrl-C does: nothing that was started outlives it."""

    def leave(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
