"""A damaged tree is told, held as it is to be, and put back by whoever publishes next (law RENDER)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from orxaq_mesh.errors import InvalidLedger
from orxaq_mesh.ledger import Reading
from orxaq_mesh.reconcile import union
from orxaq_mesh.record import canonical
from orxaq_mesh.schema import read_seal
from orxaq_mesh.store import Change
from tests.builder import Trunk, sign
from tests.halves import Halves
from tests.hubs import plain_git


@pytest.fixture
def fleet(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    return Halves(tmp_path / "fleet", tmp_path_factory.getbasetemp() / "four-nodes")


class Log:
    """A ledger in which elm has written so many records, and the first file of its log."""

    def __init__(self, records: int) -> None:
        self.trunk = Trunk.founded()
        elm = self.elm = self.trunk.admit("elm")
        written = [elm.write("event.publish", topic="a", type="b", payload={"n": n}) for n in range(records)]
        for record in written:
            self.trunk.seal(record)
        self.path = min(path for path in self.trunk.files if elm.log in path)
        self.good = self.now = self.trunk.files[self.path]
        line = written[0].line
        body = orjson.loads(line)
        body["body"]["topic"] = "forged"
        self.forged = canonical(body)
        self.edited = self.good.replace(line, self.forged)

    def push(self, content: bytes) -> Reading:
        """The file is pushed like this."""
        reading = self.trunk.ledger.read([Change(self.path, self.now, content)])
        self.now = content
        return reading

    @property
    def to_be(self) -> bytes | None:
        """What the next publish makes of the file."""
        return self.trunk.ledger.mends.get(self.path, self.now)


LENGTHS = pytest.mark.parametrize("records", [3, 40], ids=["in the newest file", "in an old file"])


@LENGTHS
def test_RENDER_a_line_that_was_edited_is_put_back_wherever_it_lies(records: int) -> None:
    log = Log(records)
    assert [finding.law for finding in log.push(log.edited).findings] == ["CHAIN", "SIG"]
    assert log.to_be == log.good
    assert log.push(log.good).findings == []
    assert (log.trunk.ledger.mends, log.trunk.ledger.flaws) == ({}, {})


@LENGTHS
def test_SIG_a_forged_twin_of_an_old_record_goes(records: int) -> None:
    log = Log(records)
    assert [finding.law for finding in log.push(union(log.good, log.forged)).findings] == ["SIG"]
    assert log.to_be == log.good


@LENGTHS
def test_RENDER_what_was_bad_stays_bad_whatever_else_is_pushed(records: int) -> None:
    log = Log(records)
    log.push(log.edited)
    log.push(union(log.good, log.forged))
    assert log.to_be == log.good
    assert log.trunk.ledger.flaws
    assert log.push(log.good).findings == []
    assert (log.trunk.ledger.mends, log.trunk.ledger.flaws) == ({}, {})


def test_RENDER_a_file_that_grows_beside_its_garbage_is_mended_as_a_whole() -> None:
    log = Log(3)
    log.push(log.good + b"garbage\n")
    more = log.elm.write("event.publish", topic="a", type="b", payload={}).line + b"\n"
    log.push(log.good + more + b"garbage\n")
    assert log.to_be == log.good + more
    assert log.trunk.ledger.flaws


def test_RENDER_three_records_for_one_place_that_three_sides_sealed_all_stay() -> None:
    trunk = Trunk.founded()
    pens = [trunk.oak, trunk.admit("elm"), trunk.admit("ash")]
    twins = [pens[1].draft("event.publish", {"topic": "a", "type": "b", "payload": n}) for n in range(3)]
    values = [trunk.seal_value(twin, by=pen) for twin, pen in zip(twins, pens, strict=True)]
    seals = [read_seal(sign(value, pen.key, trunk.ledger.id)) for value, pen in zip(values, pens, strict=True)]
    assert len(trunk.push(twins, seals).left) == 0
    assert len(trunk.ledger.spine.stood) == 3
    trunk.push([trunk.oak.write("event.publish", topic="a", type="b", payload={})])
    assert trunk.ledger.mends == {}


def link(place: Path) -> None:
    place.symlink_to("/etc/passwd")


def folder(place: Path) -> None:
    place.mkdir()
    (place / "x").write_text("1\n")


def huge(place: Path) -> None:
    place.write_bytes(b"x" * 5_000_000 + b"\n")


@pytest.mark.parametrize("replace", [link, folder, huge], ids=lambda replace: replace.__name__)
@pytest.mark.parametrize("part", ["epochs", "nodes/fir"])
def test_RENDER_what_a_link_a_folder_or_a_blob_took_the_place_of_is_put_back(
    fleet: Halves, part: str, replace: Callable[[Path], None]
) -> None:
    before = fleet.lines("a")
    clone = fleet.folder / "by-hand"
    plain_git("clone", "--quiet", "--branch", "mesh", str(fleet.hubs["a"].path), str(clone))
    (place,) = clone.glob(f"ledger/{part}*/**/0000000001.ndjson")
    place.unlink()
    replace(place)
    plain_git("-C", str(clone), "add", "--all")
    plain_git("-C", str(clone), "commit", "--quiet", "-m", "by hand")
    plain_git("-C", str(clone), "push", "--quiet")
    told = fleet.node("elm").sync()["alarms"]
    assert {alarm["law"] for alarm in told} & {"QUIET", "RENDER"}
    assert fleet.node("elm").publish("builds", "done", {}).verdict == "applied"
    assert before < fleet.lines("a")
    assert fleet.node("oak").verify().ok
    for name in ("elm", "oak", "fir"):
        assert fleet.node(name).sync()["alarms"] == []


def cut(fleet: Halves, hub: str, node: str) -> None:
    """Somebody takes away the last line of a node's log."""
    (path,) = [path for path in files(fleet, hub) if f"/{node}-" in path]
    content = fleet.hubs[hub].git("show", f"mesh:{path}").encode()
    fleet.edit(hub, {path: content[: content.rindex(b"\n") + 1]})


def files(fleet: Halves, hub: str) -> list[str]:
    return fleet.hubs[hub].git("ls-tree", "-r", "--name-only", "mesh").split("\n")


def test_RENDER_what_is_lost_while_two_histories_come_together_is_held(fleet: Halves) -> None:
    fleet.split("b", "ash", "fir")
    for name in ("oak", "elm", "ash"):
        fleet.node(name).publish("builds", "done", {"by": name})
    before = fleet.node("elm").sync()
    fleet.node("oak").reconcile(fleet.url("b"))
    lines = fleet.lines("a")
    cut(fleet, "a", "oak")  # elm reads both at once, and has to read it anew from before the fork
    told = fleet.node("elm").sync()
    assert (told["epoch"], [alarm["law"] for alarm in told["alarms"]]) >= (before["epoch"], [])
    assert fleet.node("elm").publish("builds", "more", {}).verdict == "applied"
    assert lines < fleet.lines("a")
    fleet.node("ash").reconcile(fleet.url("a"))
    fleet.agree()


def test_CACHE_who_forgot_what_a_damaged_trunk_lost_seals_nothing_beneath_what_it_has_seen(fleet: Halves) -> None:
    for name in ("oak", "elm", "ash", "fir"):
        fleet.node(name).publish("builds", "done", {"by": name})
    for name in ("oak", "elm"):
        fleet.node(name).sync()
    cut(fleet, "a", "ash")
    for name in ("cache", "store.git"):
        shutil.rmtree(fleet.home("oak") / name)
    tip = fleet.hubs["a"].tip()
    with pytest.raises(InvalidLedger, match="SEEN") as told:
        fleet.node("oak").sync()
    assert "CHAIN" in {finding.law for finding in told.value.findings}
    assert fleet.hubs["a"].tip() == tip
    assert fleet.node("elm").publish("builds", "more", {}).verdict == "applied"
    assert fleet.node("oak").publish("builds", "more", {}).verdict == "applied"
    fleet.agree()


@pytest.mark.parametrize("damage", ["a lost line", "an extra file"])
def test_RENDER_a_damaged_trunk_is_mended_when_somebody_asks_for_it(fleet: Halves, damage: str) -> None:
    lines, tree = fleet.lines("a"), fleet.tree("a")
    if damage == "a lost line":
        cut(fleet, "a", "oak")
    else:
        fleet.edit("a", {"ledger/notes.txt": b"to do\n"})
    told = fleet.ok("ash", "sync", "--mend")
    assert (told["moved"], told["mended"]) == (True, 1)
    assert (fleet.lines("a"), fleet.tree("a")) == (lines, tree)
    assert fleet.ok("ash", "sync", "--mend")["moved"] is False
