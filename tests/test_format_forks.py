"""docs/format.md is enough for forks, too: two implementations agree on which way the fleet went, and on what waits."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh import fold, inspect, kinds
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import union
from orxaq_mesh.record import epoch_place, line_id
from orxaq_mesh.store import Change
from orxaq_mesh.voting import BY_SEALER, BY_VOTER, BY_VOTES
from tests import format_page
from tests.builder import Trunk
from tests.crowd import Crowd
from tests.mischief import Mischief
from tests.test_format import agree, damaged, put
from tests.toil import Toil

Files = dict[str, bytes]


def merged(*trees: Files) -> Files:
    return {path: union(*(tree.get(path, b"") for tree in trees)) for tree in trees for path in tree}


def changes(old: Files, new: Files) -> list[Change]:
    return [Change(path, old.get(path), data) for path, data in sorted(new.items()) if old.get(path) != data]


class Fork:
    """A random fleet that parted: two or three sides, nodes that live on one or on two, and what came of it."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.crowd = Crowd(seed, reviewed=seed % 3 == 2)
        self.crowd.toils = self.dice.choice((0.2, 0.9))
        for name in ("fir", "yew")[: self.dice.randrange(3)]:
            self.crowd.trunk.admit(name)
        play(self.crowd, self.dice.randrange(3) + (4 if self.crowd.toils > 0.5 else 0))
        self.before = dict(self.crowd.trunk.files)
        self.sides = [self.side() for _ in range(self.dice.choice((2, 2, 3)))]
        self.populate()
        for side in self.sides:
            play(side, self.dice.choice((1, 1, 1, 2, 3, 4)))
            if self.dice.random() < 0.7:
                self.speak(side)

    def side(self) -> Crowd:
        side = copy.copy(self.crowd)
        side.dice, side.secrets = random.Random(self.dice.random()), dict(self.crowd.secrets)
        side.toil = Toil(side.dice, reviewed=self.crowd.toil.reviewed)
        side.trunk = format_page.at_another_hub(self.crowd.trunk)
        side.recovery = side.trunk.pens["recovery"]
        return side

    def populate(self) -> None:
        """Each key lives on one side; a copied one on two, where it signs two histories."""
        for name in list(self.crowd.trunk.pens):
            homes = self.dice.sample(self.sides, 2 if self.dice.random() < 0.2 else 1)
            for side in self.sides:
                if side not in homes:
                    side.trunk.pens.pop(name)

    def speak(self, side: Crowd) -> None:
        """Some say something that nobody seals: it counts as a vote all the same."""
        for pen in side.trunk.pens.values():
            member = members(side.trunk.ledger.state).by_log.get(pen.log)
            if member is not None and member.admitted and self.dice.random() < 0.3:
                side.trunk.push([pen.write("event.publish", topic="t", type="u", payload=self.dice.random() < 0.5)])

    def files(self) -> Files:
        return merged(*(side.trunk.files for side in self.sides))

    def withheld(self) -> Files:
        """All that is there, but for some lines of records: seals that name them do not stand."""
        files = self.files()
        path = self.dice.choice([path for path in sorted(files) if "/nodes/" in path])
        lines = files[path].split(b"\n")[:-1]
        known = self.before.get(path, b"").count(b"\n")
        del lines[self.dice.randrange(min(known, len(lines) - 1), len(lines))]
        return {**files, path: b"".join(line + b"\n" for line in lines)} if lines else files

    def go_on(self, epochs: int) -> Files:
        """Somebody seals what is late, over the side that lost; and the fleet goes on."""
        crowd = self.side()
        crowd.trunk = format_page.at_another_hub(*(side.trunk for side in self.sides))
        crowd.newcomers += 100
        crowd.trunk.pens = {f"{n} {name}": pen for n, s in enumerate(self.sides) for name, pen in s.trunk.pens.items()}
        crowd.recovery = next((pen for pen in crowd.trunk.pens.values() if pen.name == "recovery"), crowd.recovery)
        late = crowd.trunk.ledger.sealable()
        by = [pen for pen in crowd.trunk.pens.values() if may_seal(crowd.trunk, pen.log)]
        if late and by:
            crowd.trunk.seal(*(record for run in late.values() for record in run), by=self.dice.choice(by))
        heads = crowd.trunk.ledger.state.heads
        sound = {k: pen for k, pen in crowd.trunk.pens.items() if heads.get(pen.log) == (pen.seq, pen.prev)}
        mine = {k: pen for k, pen in sound.items() if pen.name != "recovery" or pen is crowd.recovery}
        one_a_log = {pen.log: (k, pen) for k, pen in mine.items()}  # a log that no side wrote has a pen on each of them
        crowd.trunk.pens = dict(one_a_log.values())
        play(crowd, epochs)
        return crowd.trunk.files


def may_seal(trunk: Trunk, log: str) -> bool:
    member = members(trunk.ledger.state).by_log.get(log)
    return member is not None and member.may_seal() and member.name != "recovery"


def play(crowd: Crowd, epochs: int) -> None:
    for _ in range(epochs):
        if any(may_seal(crowd.trunk, pen.log) for pen in crowd.trunk.pens.values()):
            crowd.epoch()


def read_in_steps(ledger_id: str | None, steps: list[Files]) -> Ledger:
    """A reader who saw each of these trees, one after the other."""
    ledger, old = Ledger(ledger_id), Files()
    for files in steps:
        reading = ledger.read(changes(old, files))
        if reading.deeper is not None:
            ledger = ledger.beneath(kinds.new_state())
            ledger.read(changes({}, files))
        old = files
    return ledger


def agree_however_read(folder: Path, steps: list[Files]) -> None:
    """Both implementations agree on the last tree; and so does whoever saw those before it."""
    told = agree(folder, steps[-1])
    along = read_in_steps(told["ledger"], steps)
    anew = read_in_steps(told["ledger"], steps[-1:])
    assert fold.snapshot(along.state) == fold.snapshot(anew.state)
    assert sorted(along.waiting) == told["waiting"]


@given(st.integers(0, 2**32))
@settings(max_examples=5, derandomize=True)  # a rare seed makes a fleet whose pens write two chains
def test_FORK_two_implementations_agree_on_forked_ledgers(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    fork = Fork(seed)
    steps = [side.trunk.files for side in fork.sides]
    fork.dice.shuffle(steps)
    steps = [merged(*steps[: n + 1]) for n in range(len(steps))]
    agree_however_read(tmp_path_factory.mktemp("fork"), steps)
    agree_however_read(tmp_path_factory.mktemp("later"), [*steps, fork.go_on(3)])


@given(st.integers(0, 2**32))
@settings(max_examples=5, derandomize=True)
def test_SEAL_two_implementations_agree_on_what_is_held(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    fork = Fork(seed)
    lacks = fork.withheld()
    agree_however_read(tmp_path_factory.mktemp("held"), [lacks])
    agree_however_read(tmp_path_factory.mktemp("whole"), [lacks, fork.files()])


@given(st.integers(0, 2**32))
@settings(max_examples=8, derandomize=True)
def test_RENDER_two_implementations_agree_on_damaged_forks(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    fork = Fork(seed % 40)
    files, dice = fork.files(), random.Random(seed)
    path = dice.choice(sorted(files))
    told = agree(tmp_path_factory.mktemp("damaged"), {**files, path: damaged(files[path], dice)})
    assert not told["ok"]


@given(st.integers(0, 2**32))
@settings(max_examples=5, derandomize=True)
def test_SET_two_implementations_agree_on_what_liars_lay_into_the_tree(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    fork, dice = Fork(seed), random.Random(seed)
    pens = [pen for side in fork.sides for pen in side.trunk.pens.values()]
    bad = Mischief(fork.files(), pens, dice).done(dice.randrange(1, 14))
    steps = dice.choice(([], [fork.files()], [fork.before], [fork.sides[0].trunk.files, fork.files()]))
    agree_however_read(tmp_path_factory.mktemp("liars"), [*steps, bad])


def test_the_worked_fork_is_what_the_verifier_finds(tmp_path: Path) -> None:
    fork = format_page.fork_story()
    page = format_page.PAGE.read_text("utf-8")
    for name, trunk in (("elm", fork.elms), ("oak", fork.oaks), ("united", fork.united)):
        told = agree(tmp_path / name, trunk.files)
        assert told["ok"]
        assert told["tip"] in page
        assert told["state"] in page
    both = merged(fork.elms.files, fork.oaks.files)
    agree_however_read(tmp_path / "elm first", [fork.elms.files, both, fork.united.files])
    agree_however_read(tmp_path / "oak first", [fork.oaks.files, both, fork.united.files])


def test_the_random_forks_reach_what_the_page_speaks_of() -> None:
    met, wanted = (
        set[str](),
        {BY_VOTES, BY_VOTER, BY_SEALER, "2 sides", "3 sides", "over", "proofs", "skipped", "final"},
    )
    for seed in range(60):
        fork = Fork(seed)
        for files in (fork.files(), fork.go_on(2)):
            spine = format_page.whole_of(files).spine
            met |= {election.rule for election in spine.elections}
            met |= {f"{len(election.sides)} sides" for election in spine.elections}
            seals = [stood.seal for stood in spine.chain]
            met |= {"over" for seal in seals if seal.over} | {"proofs" for seal in seals if seal.proofs}
            met |= {"skipped" for number, seal in enumerate(seals, 1) if seal.epoch > number}
            met |= {"final" for seal in seals if 3 < seal.epoch == spine.final()}
        if met >= wanted:
            break
    assert met >= wanted, seed


def test_CHAIN_a_fork_is_not_to_blame_for_a_damaged_line(tmp_path: Path) -> None:
    fork = format_page.fork_story()
    files = dict(fork.united.files)
    (path,) = (path for path in files if "/elm-" in path)
    lines = files[path].split(b"\n")
    files[path] = b"\n".join([lines[0], lines[1].replace(b'"deploy"', b'"deploi"'), *lines[2:]])
    report = inspect.verify(None, put(tmp_path, files))
    blamed = {(finding.file, finding.line) for finding in report.findings if finding.law == "SIG"}
    assert (path, 2) in blamed
    followed = {finding.reason for finding in report.findings if "follows" in finding.reason}
    assert followed == {f"number 3 follows {line_id(lines[1])[:12]}, which is not there"}


def test_RENDER_what_stands_twice_in_a_parted_file_is_named(tmp_path: Path) -> None:
    files = dict(format_page.fork_story().united.files)
    path = epoch_place(1).file
    lines = files[path].split(b"\n")
    report = inspect.verify(None, put(tmp_path, {**files, path: b"\n".join([*lines[:3], *lines[2:]])}))
    assert [(finding.law, finding.file, finding.line) for finding in report.findings] == [("RENDER", path, 4)]
