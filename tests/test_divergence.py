"""What `mesh divergence` says of forks, `mesh show` of what lost, and what neither says of lines that nobody signed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from orxaq_mesh.cli.call import Painted
from orxaq_mesh.cli.divergence import lines, value_of
from orxaq_mesh.inspect.divergence import WAITS, Divergence, told
from orxaq_mesh.inspect.reading import History, folded
from orxaq_mesh.record import Record, canonical, line_id
from orxaq_mesh.store import Change
from orxaq_mesh.voting import BY_SEALER, BY_VOTES
from tests.builder import Trunk
from tests.halves import Halves
from tests.test_cli_fleet import in_a_terminal
from tests.test_fork_choice import Tree, branch, fleet, read, say, seal, twice, united


def past(trunk: Trunk, tree: Tree) -> History:
    return folded((Change(path, None, data) for path, data in sorted(tree.items())), str(trunk.ledger.id))


def report(trunk: Trunk, tree: Tree) -> Divergence:
    found = past(trunk, tree)
    return told(found, found.ledger.proven)


def said(found: Divergence) -> str:
    """The report as a person reads it."""
    words = [[part.words if isinstance(part, Painted) else part for part in line] for line in lines(found)]
    return "\n".join("".join(line) for line in words)


def acquire(side: Trunk, name: str, lease: str) -> Record:
    record = side.pens[name].write("lease.acquire", lease=lease, session="s", ttl_ms=60_000, until=99)
    side.seal(record, by=side.pens[name])
    return record


def apart() -> tuple[Trunk, Trunk, Trunk]:
    """oak is left alone; elm and ash go on together, fir has said nothing."""
    trunk = fleet("elm", "ash", "fir")
    left, right = branch(trunk), branch(trunk)
    acquire(left, "oak", "deploy")
    acquire(left, "oak", "stage")
    acquire(right, "elm", "deploy")
    say(right, "ash")
    say(right, "elm")
    return trunk, left, right


# The report.


def test_FORK_a_ledger_that_never_forked_is_one_line() -> None:
    trunk = fleet("elm")
    say(trunk, "elm")
    assert said(report(trunk, trunk.files)) == "the ledger never forked"


def test_FORK_each_side_with_its_seals_its_voters_and_the_records_that_were_their_votes() -> None:
    trunk, left, right = apart()
    found = report(trunk, united(left, right))
    (fork,) = found.forks
    assert (fork.epoch, fork.seal) == (trunk.ledger.state.epoch, trunk.ledger.state.seal)
    assert (fork.rule, fork.absent) == (BY_VOTES, ["fir"])
    assert not fork.settled, "with fir's vote oak's side would have as many, and oak was admitted first"
    on, off = fork.sides
    assert (on.chosen, off.chosen) == (True, False)
    state = right.ledger.state
    assert (on.first, on.last) == ((fork.epoch + 1, right.seals[0].id), (state.epoch, state.seal))
    assert (on.epochs, on.records, on.sealed_by) == (3, 3, ["ash", "elm"])
    votes = {name: record for side in fork.sides for name, record in side.votes}
    second = {log: item.record.id for side in (left, right) for log, item in after(side).items()}
    assert votes == {"oak": second[left.oak.log], **{n: second[right.pens[n].log] for n in ("elm", "ash")}}
    assert "missing  fir did not stand behind any side so far" in said(found)
    assert json.loads(json.dumps(value_of(found)))["forks"][0]["why"] == "most nodes stood behind it first"


def after(side: Trunk) -> dict[str, object]:
    """Log -> its first record, of those sealed on a side, that had seen one of the side's seals."""
    ledger = read(side, side.files)
    mine = {stood.seal.id for stood in ledger.spine.chain} & {made.id for made in side.seals}
    found: dict[str, object] = {}
    for stood in ledger.spine.chain:
        for item in stood.judged:
            if item.record.seen_seal in mine:
                found.setdefault(item.record.log, item)
    return found


def test_FORK_what_waits_is_said_and_then_what_became_of_it() -> None:
    trunk, left, right = apart()
    tree = united(left, right)
    found = report(trunk, tree)
    assert [(change.lease, change.open, change.now) for change in found.changed] == [
        ("deploy", WAITS, None),
        ("stage", WAITS, None),
    ]
    assert "still to be taken in here, by the next epoch: 2 records; mesh sync" in said(found)
    found = report(trunk, seal(read(trunk, tree), right, "elm", tree))
    deploy, stage = found.changed
    assert (deploy.node, deploy.before.outcome, deploy.now and deploy.now.outcome) == ("oak", "applied", "refused")
    assert stage.before == stage.now, "granted here as there"
    assert stage.now_epoch != stage.epoch, "but its token is another"
    assert f"its token is {stage.now_epoch} now" in said(found)
    assert "everything from sides that were left has been taken in here" in said(found)


def test_FORK_what_comes_to_the_same_is_counted() -> None:
    trunk = fleet("elm", "ash")
    left, right = branch(trunk), branch(trunk)
    say(left, "oak", 2)
    for name in ("elm", "ash"):
        say(right, name, 2)
    tree = united(left, right)
    found = report(trunk, seal(read(trunk, tree), right, "elm", tree))
    assert (found.changed, found.unchanged) == ([], 2)
    assert "2 records from sides that were left came to the same here" in said(found)
    assert found.final
    assert found.forks[0].final


def test_PREFIX_what_will_never_be_taken_in_is_void_and_says_why() -> None:
    trunk = fleet("elm", "ash", "fir")
    left, right = branch(trunk), branch(trunk)
    one, other = twice(trunk, "elm")
    for side, record in ((left, one), (right, other)):
        pen = side.pens["elm"]
        pen.seq, pen.prev = record.seq, record.id
        side.seal(record, by=pen)
    say(left, "elm")
    say(left, "fir")
    for name in ("oak", "ash"):
        say(right, name, 2)
    tree = united(left, right)
    (key,) = report(trunk, tree).suspended
    assert (key.seq, key.records, key.since) == (one.seq, tuple(sorted((one.id, other.id))), None)
    tree = seal(read(trunk, tree), right, "oak", tree)
    found = report(trunk, tree)
    (key,) = found.suspended
    assert key.since == read(trunk, tree).state.epoch
    why = {(change.seq, change.now): change.open for change in found.changed if change.node == "elm"}
    assert why[one.seq, None] == f"its key signed another record for number {one.seq}, and that one was taken in"
    assert why[one.seq + 1, None] == "its key is suspended"
    assert "but for what is void: 2 records" in said(found)
    assert f"suspended in epoch {key.since}; mesh proof {key.log}" in said(found)


def test_SEAL_a_seal_that_does_not_stand_is_told_with_what_it_lacks() -> None:
    trunk, left, right = apart()
    tree = united(left, right)
    lost = next(path for path, data in left.files.items() if data != trunk.files.get(path) and left.oak.log in path)
    tree[lost] = b"".join(line + b"\n" for line in tree[lost].split(b"\n")[:-1] if b'"stage"' not in line)
    held = {epoch: (log, lacks) for epoch, _, log, _, lacks in report(trunk, tree).held}
    missing = next(item for item in left.files[lost].split(b"\n") if b'"stage"' in item)
    (found,) = held.values()
    assert found[0] == left.oak.log
    assert re.search("does not stand  a seal of epoch [0-9]+ by oak-[0-9a-f]{8}", said(report(trunk, tree)))
    assert found[1] == line_id(missing)


def test_SEEN_a_seal_that_nobody_can_show_is_a_note_against_its_author() -> None:
    trunk = fleet("elm")
    elm = trunk.pens["elm"]
    elm.seen = (9, "ab" * 32)
    liar = elm.write("event.publish", topic="t", type="x", payload={})
    trunk.seal(liar)
    found = report(trunk, trunk.files)
    assert found.notes == [("elm", liar.id, 9, "ab" * 32)]
    assert "note            elm says in" in said(found)


def test_FORK_who_is_silent_is_named_with_the_seal_that_nobody_can_show() -> None:
    trunk, left, right = apart()
    fir = right.pens["fir"]
    fir.seen = (9, "ab" * 32)
    feigned = fir.write("event.publish", topic="t", type="x", payload={})
    fir.seen = (right.ledger.state.epoch, right.ledger.state.seal)
    right.push([feigned, fir.write("event.publish", topic="t", type="x", payload={})])
    found = report(trunk, united(left, right))
    (fork,) = found.forks
    assert (fork.absent, fork.silent) == (["fir"], [("fir", feigned.id, 9, "ab" * 32)])
    assert not fork.settled
    assert f"silent   fir says in {feigned.id[:8]} that it saw epoch 9 (abababababab); its voice" in said(found)
    assert "missing" not in said(found).replace("a vote that is missing may", "")
    (value,) = value_of(found)["forks"]
    assert value["silent"] == [{"node": "fir", "record": feigned.id, "epoch": 9, "seal": "ab" * 32}]


def test_SEEN_a_seal_by_a_number_that_is_not_its_own_is_one_that_nobody_can_show() -> None:
    trunk = fleet("elm")
    elm = trunk.pens["elm"]
    elm.seen = (trunk.ledger.state.epoch + 1, trunk.ledger.state.seal)
    liar = elm.write("event.publish", topic="t", type="x", payload={})
    trunk.seal(liar)
    assert [note.record for note in report(trunk, trunk.files).notes] == [liar.id]


def test_FORK_a_fork_on_a_side_that_was_left_is_told() -> None:
    trunk = fleet("elm", "ash", "yew", "fir")
    left, right = branch(trunk), branch(trunk)
    say(left, "fir")
    one, other = branch(left), branch(left)
    say(one, "fir")
    say(other, "oak")
    for name in ("elm", "ash", "yew", "elm"):
        say(right, name)
    found = report(trunk, united(one, other, right))
    assert len(found.forks) == 1
    ((epoch, id_, sides),) = found.beside
    assert (epoch, id_) == (left.ledger.state.epoch, left.ledger.state.seal)
    assert {place[1] for place in sides} == {one.ledger.state.seal, other.ledger.state.seal}
    assert "a side that was left forked again" in said(found)


def test_FORK_the_words_fit_their_numbers() -> None:
    trunk = fleet("elm")
    left, right = branch(trunk), branch(trunk)
    for side in (left, right):
        record = side.oak.write("event.publish", topic="t", type="x", payload={"at": id(side)})
        side.seal(record)
    found = report(trunk, united(left, right))
    assert found.forks[0].rule == BY_SEALER or not found.forks[0].settled
    assert "1 records" not in said(found)
    assert "OPEN" in said(found)


# The commands.


@pytest.fixture
def nodes(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Four nodes at hub a."""
    return Halves(tmp_path / "fleet", tmp_path_factory.getbasetemp() / "four-nodes")


@pytest.fixture
def halves(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """oak and elm at hub a, ash and fir at hub b, and each has worked."""
    return Halves(tmp_path / "fleet", tmp_path_factory.getbasetemp() / "four-nodes", apart=True)


def test_FORK_divergence_log_and_show_say_what_two_hubs_came_to(halves: Halves) -> None:
    assert halves.mesh("oak", "divergence").out == "the ledger never forked\n"
    assert halves.node("oak").acquire("deploy", 60_000).verdict == "applied"
    assert halves.node("fir").acquire("deploy", 60_000).verdict == "applied"
    lost = halves.node("fir").status(offline=True)["seal"]
    halves.node("oak").reconcile(halves.url("b"))
    halves.node("oak").sync()
    found = halves.ok("oak", "divergence")
    (change,) = found["changed"]
    assert (change["node"], change["lease"], change["open"]) == ("fir", "deploy", None)
    assert (change["before"]["verdict"], change["now"]["verdict"]) == ("applied", "refused")
    assert (found["unchanged"], found["forks"][0]["settled"]) == (2, True)
    shown = halves.ok("oak", "show", change["record"])
    assert (shown["verdict"], shown["standing"], shown["final"]) == ("refused", "sealed", False)
    assert [(was["verdict"], was["epoch"]) for was in shown["left"]] == [("applied", change["before"]["epoch"])]
    orphan = halves.ok("oak", "show", lost)
    assert (orphan["standing"], orphan["verifies"]) == ("left", True)
    text = halves.hubs["a"].git("show", f"mesh:{orphan['file']}").split("\n")[orphan["line"] - 1]
    assert json.loads(text) == orphan["value"], "file and line are where it lies"
    assert "on a side that the fleet did not go on from" in halves.mesh("oak", "show", change["record"]).out
    finals = {json.loads(line)["epoch"]: json.loads(line)["final"] for line in log(halves)}
    assert finals == {epoch: epoch <= found["final"] for epoch in finals}
    assert set(finals.values()) == {True, False}


def log(fleet: Halves) -> list[str]:
    return fleet.mesh("oak", "log", "--json").out.splitlines()


def test_SIG_what_nobody_signed_forks_nothing_for_who_looks(nodes: Halves) -> None:
    """A seal and a record are laid into the trunk by hand, each with another's signature."""
    before = log(nodes)
    path = "ledger/epochs/000000/0000000001.ndjson"
    spine = nodes.hubs["a"].git("show", f"mesh:{path}").encode() + b"\n"
    forged = canonical({**json.loads(spine.split(b"\n")[1]), "at": "2020-01-01T00:00:00.000Z"})
    nodes.edit("a", {path: b"".join(sorted([*spine.splitlines(True), forged + b"\n"]))})
    assert nodes.ok("oak", "sync")["alarms"]
    assert log(nodes)[: len(before)] == before
    assert nodes.ok("oak", "divergence")["forks"] == []


def test_QUIET_a_narrow_terminal_gets_the_same_words_and_NO_COLOR_no_colour(halves: Halves) -> None:
    halves.node("oak").reconcile(halves.url("b"))
    wide = halves.mesh("oak", "divergence").out
    narrow = in_a_terminal(halves, "oak", "divergence", COLUMNS="50", NO_COLOR="1").replace("\r\n", "\n")  # type: ignore[arg-type]
    assert narrow.split() == wide.split()
    assert max(map(len, narrow.split("\n"))) <= 50
    assert "\x1b[" not in narrow
    assert "\x1b[32m" in in_a_terminal(halves, "oak", "divergence")  # type: ignore[arg-type]
