"""Two histories of one ledger come together, by real commands over real hubs (laws SET, FORK, SEEN, RENDER, PUSH).

MESH_RECONCILE_ROUNDS says how many random fleets are split over three and four hubs and merged again.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh.errors import InvalidLedger, MeshError
from orxaq_mesh.mesh import Mesh
from tests.daemons import MeshSync
from tests.halves import NODES, WEST, Halves, data, said
from tests.hubs import HUBS, Hub, bare, http_hub, plain_git

ROUNDS = int(os.environ.get("MESH_RECONCILE_ROUNDS", "1"))
EAST = ("oak", "elm")


@pytest.fixture
def fleet(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Four nodes at hub a."""
    return Halves(tmp_path / "fleet", tmp_path_factory.getbasetemp() / "four-nodes")


@pytest.fixture
def halves(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Two of them at hub b, and each half has worked on its own."""
    return Halves(tmp_path / "fleet", tmp_path_factory.getbasetemp() / "four-nodes", apart=True)


def work(fleet: Halves) -> None:
    for name in NODES:
        assert fleet.node(name).publish("builds", "done", {"by": name}).verdict == "applied"


def settled(fleet: Halves) -> tuple[Any, ...]:
    """One node brings all hubs together and seals what waits, the others get it; then everybody sees one ledger."""
    (hub, *others), someone = dict.fromkeys(fleet.at.values()), {name: node for node, name in fleet.at.items()}
    for name in others:
        fleet.node(someone[hub]).reconcile(fleet.url(name))
    fleet.node(someone[hub]).sync()
    for name in others:
        fleet.node(someone[name]).reconcile(fleet.url(hub))
    assert len({fleet.hubs[name].tip() for name in fleet.at.values()}) == 1
    return fleet.agree()


# Two halves.


@pytest.fixture(params=["file", "http", "ssh"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """An empty hub of some kind, for the western half."""
    (tmp_path / "west").mkdir()
    with HUBS[request.param](tmp_path / "west") as hub:
        for name, value in hub.variables.items():
            monkeypatch.setenv(name, value)
        yield hub


def test_SET_two_halves_come_together_with_one_command_each(fleet: Halves, elsewhere: Hub) -> None:
    fleet.split("b", *WEST, hub=elsewhere)
    work(fleet)
    before = fleet.lines("a") | fleet.lines("b")
    east, west = fleet.ok("oak", "sync", "--from", fleet.url("b")), fleet.ok("fir", "sync", "--from", fleet.url("a"))
    assert (east["tip"], east["state"]) == (west["tip"], west["state"])
    assert (east["left"], west["left"]) == (0, 2)  # the tie goes to the side of oak, who was there first
    assert east["waiting"] == west["waiting"] == 2
    assert fleet.hubs["a"].tip() == fleet.hubs["b"].tip() == east["tip"]
    assert fleet.lines("a") == before
    assert fleet.view("oak") == fleet.view("fir")


def test_SEAL_one_more_pass_judges_what_the_other_side_had_taken_in(halves: Halves) -> None:
    east, _ = halves.node("oak").reconcile(halves.url("b")), halves.node("fir").reconcile(halves.url("a"))
    again = halves.node("elm").reconcile(halves.url("b"))
    assert (again.moved, again.tip) == (False, east.tip)
    assert halves.ok("elm", "sync")["pending"] == 0
    assert halves.node("ash").reconcile(halves.url("a")).waiting == 0
    *_, verdicts = halves.agree()
    assert [verdict.outcome for *_, verdict in verdicts] == ["applied"] * len(verdicts)
    assert len([record for record, *_ in verdicts]) == 7 + 4  # found, joined and admitted; then one from each


@pytest.mark.parametrize("first", ["east", "west", "both at once"])
def test_SET_whoever_begins_it_comes_to_the_same(halves: Halves, first: str) -> None:
    east, west = ("elm", halves.url("b")), ("ash", halves.url("a"))
    if first == "both at once":
        running = [halves.start(node, "sync", "--from", url) for node, url in (east, west)]
        tips = {data(said(process))["tip"] for process in running}
    else:
        tips = {
            halves.node(node).reconcile(url).tip for node, url in ((east, west) if first == "east" else (west, east))
        }
    assert len(tips) == 1
    assert halves.tree("a") == halves.tree("b")
    settled(halves)


def test_SET_two_nodes_that_unite_the_same_tips_make_the_same_commit(halves: Halves) -> None:
    halves.split("copy", "elm")  # what elm does there nobody sees here
    made = {halves.node(name).reconcile(halves.url("b")).tip for name in ("oak", "elm")}
    halves.split("west", "fir", of="b")
    made |= {halves.node("fir").reconcile(halves.url("copy")).tip}
    assert len(made) == 1
    (commit,) = made
    message = halves.hubs["a"].git("show", "--no-patch", "--format=%P%n%an <%ae> %at %cn %ct%n%s", str(commit))
    parents, who, words = message.split("\n")
    assert parents.split() == sorted(parents.split())
    times = {halves.hubs["a"].git("show", "--no-patch", "--format=%ct", parent) for parent in parents.split()}
    assert who.split()[2] == who.split()[4] == max(times)
    assert words == "mesh: two histories reconciled"


def test_PUSH_two_nodes_of_one_hub_unite_it_at_once(halves: Halves) -> None:
    running = [halves.start(name, "sync", "--from", halves.url("b")) for name in EAST]
    told = [data(said(process)) for process in running]
    assert told[0]["tip"] == told[1]["tip"] == halves.hubs["a"].tip()
    assert halves.hubs["a"].git("rev-list", "--merges", "--count", "mesh") == "1"


def test_FORK_a_lease_held_on_both_sides_stays_with_one_and_the_other_is_fenced(halves: Halves) -> None:
    east = halves.node("oak").acquire("deploy", 60_000)
    west = halves.node("ash").acquire("deploy", 60_000)
    assert (east.result, west.result) == ("granted", "granted")
    assert halves.node("fir").reconcile(halves.url("a")).waiting > 0
    lost = halves.mesh("ash", "lease", "renew", "deploy", "--json")
    assert (lost.code, lost.error["code"]) == (4, "fenced")
    late = halves.mesh("ash", "publish", "builds", "x", "--under", "deploy", "--token", str(west.facts["token"]))
    assert late.code == 4, late
    halves.node("oak").reconcile(halves.url("b"))
    halves.node("fir").reconcile(halves.url("a"))
    *_, verdicts = halves.agree()
    said_of = {record: verdict for record, _, verdict in verdicts}
    assert (said_of[east.record].result, said_of[west.record].outcome) == ("granted", "refused")
    assert halves.node("oak").renew("deploy").verdict == "applied"
    assert halves.node("oak").release("deploy").verdict == "applied"
    halves.node("fir").reconcile(halves.url("a"))
    again = halves.node("ash").acquire("deploy", 60_000)
    assert again.facts["token"] > max(east.facts["token"], west.facts["token"])


def test_SET_a_hub_that_is_a_bundle(halves: Halves, tmp_path: Path) -> None:
    west = tmp_path / "a stick.bundle"
    halves.hubs["b"].git("bundle", "create", "--quiet", str(west), "mesh")
    assert halves.ok("oak", "sync", "--from", str(west))["moved"]
    assert not halves.ok("elm", "import", str(west))["moved"]
    assert halves.node("fir").reconcile(halves.url("a")).tip == halves.hubs["a"].tip()
    assert halves.tree("a") == halves.tree("b")


def test_SEEN_a_running_mesh_sync_follows_what_a_command_of_its_node_united(halves: Halves) -> None:
    oak, fir = (MeshSync(halves.home(name), hub=halves.url(halves.at[name])) for name in ("oak", "fir"))
    with oak, fir:
        halves.ok("oak", "sync", "--from", halves.url("b"))
        oak.wait_for("sealed", node=halves.node("ash").identity().log, kind="event.publish")
        halves.ok("fir", "sync", "--from", halves.url("a"))
        assert fir.wait_for("diverged")["epochs"] == 2
        for name, here in (("oak", oak), ("fir", fir)):
            assert halves.node(name).publish("builds", "more", {}).verdict == "applied"
            assert here.events("alarm") == []
    settled(halves)


# More hubs than two, in any order.


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_SET_many_hubs_merged_in_a_random_order_are_one_ledger(fleet: Halves, seed: int) -> None:
    dice = random.Random(seed)
    hubs = ["a", "b", "c", "d"][: 3 + seed % 2]
    for name in hubs[1:]:
        fleet.split(name)
    fleet.at = dict(zip(dice.sample(NODES, len(NODES)), [*hubs, dice.choice(hubs)], strict=False))
    wishes: list[tuple[str, ...]] = [("publish", "builds", "done"), ("lease", "acquire", "deploy"), ("sync",)]
    wishes += [("lease", "release", "deploy")]
    for _ in range(6):
        assert fleet.mesh(dice.choice(NODES), *dice.choice(wishes)).code in (0, 3, 4)
    everything = set[str]().union(*(fleet.lines(name) for name in hubs))
    for _ in range(3):
        node, other = dice.choice(NODES), dice.choice(hubs)
        moved = fleet.ok(node, "sync", "--from", fleet.url(other))["moved"]
        assert not (moved and other == fleet.at[node])
    first, *others = dict.fromkeys(fleet.at[node] for node in dice.sample(NODES, len(NODES)))
    at_first = next(node for node in NODES if fleet.at[node] == first)
    for name in others:
        fleet.ok(at_first, "sync", "--from", fleet.url(name))
    for name in others:
        there = next(node for node in NODES if fleet.at[node] == name)
        fleet.ok(there, "sync", "--from", fleet.url(first))
    assert len({fleet.tree(fleet.at[node]) for node in NODES}) == 1
    assert len({fleet.hubs[fleet.at[node]].tip() for node in NODES}) == 1
    assert everything <= fleet.lines(first)
    fleet.agree()
    settled(fleet)
    assert fleet.node("elm").verify(every_signature=True).ok


# What cannot be had, or is no ledger's.


def other_ledger(fleet: Halves) -> str:
    path = bare(fleet.folder / "o.git")
    Mesh.open(str(fleet.folder / "zed"), hub=str(path)).init(str(path), "zed")
    return str(path)


def sha256(fleet: Halves) -> str:
    path = bare(fleet.folder / "s.git", "--object-format=sha256")
    Mesh.open(str(fleet.folder / "zed"), hub=str(path)).init(str(path), "zed")
    return str(path)


def shallow(fleet: Halves) -> str:
    path = str(fleet.folder / "sh.git")
    plain_git("clone", "--quiet", "--bare", "--depth", "2", f"file://{fleet.hubs['b'].path}", path)
    return path


def bundle(fleet: Halves, *what: str) -> Path:
    path = fleet.folder / "west.bundle"
    fleet.hubs["b"].git("bundle", "create", "--quiet", str(path), *what)
    return path


def cut_bundle(fleet: Halves) -> str:
    path = bundle(fleet, "mesh")
    path.write_bytes(path.read_bytes()[:-500])
    return str(path)


REFUSED: dict[str, tuple[Callable[[Halves], str], int, str, str]] = {
    "an empty hub": (lambda fleet: str(bare(fleet.folder / "e.git")), 1, "no branch mesh", "mesh init"),
    "no hub": (lambda fleet: str(fleet.folder / "none.git"), 5, "the other hub does not answer", "ls-remote"),
    "no address": (lambda fleet: "ext::sh -c x", 2, "no address", "absolute path"),
    "another ledger": (other_ledger, 6, "holds another ledger", "another hub"),
    "other objects": (sha256, 1, "sha256", "mesh export FILE there"),
    "cut off history": (shallow, 6, "cut off", "nothing was taken in"),
    "a bundle of what is new": (lambda fleet: str(bundle(fleet, "mesh~1..mesh")), 1, "not here", "git bundle create"),
    "a bundle of another branch": (lambda fleet: str(bundle(fleet, "HEAD")), 1, "no branch mesh", "git bundle create"),
    "a bundle that is cut off": (cut_bundle, 6, "west.bundle", "git bundle create"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_CLOSED_what_cannot_be_had_from_elsewhere_is_said_and_changes_nothing(halves: Halves, case: str) -> None:
    make, code, what, hint = REFUSED[case]
    url, tip = make(halves), halves.hubs["a"].tip()
    with pytest.raises(MeshError, match=what) as told:
        halves.node("oak").reconcile(url)
    assert (told.value.exit_code, hint in told.value.hint) == (code, True), told.value.hint
    assert halves.hubs["a"].tip() == tip
    assert halves.node("oak").sync()["alarms"] == []


def test_QUIET_a_password_in_an_address_is_not_printed(halves: Halves) -> None:
    done = halves.mesh("oak", "sync", "--from", "http://oak:secret@127.0.0.1:9/fleet.git")
    assert done.code == 5
    assert "secret" not in done.out + done.err


# A damaged hub on the other side.


def garbage(fleet: Halves) -> dict[str, bytes | None]:
    oak = log(fleet, "oak")
    lines = b'{"kind":"x","seq":99}\n{"epoch":true,"kind":"seal"}\n{"kind":"seal","epoch":1e999}\n'
    files = {"notes.txt": b"x\n", "nodes/bad/x": b"1\n", "nodes/zed-00000000/000000/0000000001.ndjson": b"garbage\n"}
    more = {SPINE: b"garbage\n" + content(fleet, SPINE), oak: content(fleet, oak) + lines}
    return {**more, **{f"ledger/{path}": text for path, text in files.items()}}


def lost_lines(fleet: Halves) -> dict[str, bytes | None]:
    return {SPINE: b"".join(content(fleet, SPINE).splitlines(keepends=True)[:-1]), log(fleet, "fir"): None}


def no_founding(fleet: Halves) -> dict[str, bytes | None]:
    return {SPINE: b"".join(content(fleet, SPINE).splitlines(keepends=True)[1:])}


def a_folder_for_a_file(fleet: Halves) -> dict[str, bytes | None]:
    oak = log(fleet, "oak")
    return {oak: None, f"{oak}/x": b"1\n"}


def edited(fleet: Halves) -> dict[str, bytes | None]:
    fir = log(fleet, "fir")
    return {fir: content(fleet, fir).replace(b"builds", b"forged")}


def huge(fleet: Halves) -> dict[str, bytes | None]:
    return {log(fleet, "fir"): b"x" * 5_000_000 + b"\n"}


SPINE = "ledger/epochs/000000/0000000001.ndjson"
DAMAGES = [garbage, lost_lines, no_founding, a_folder_for_a_file, edited, huge]


def log(fleet: Halves, node: str) -> str:
    return f"ledger/nodes/{fleet.node(node).identity().log}/000000/0000000001.ndjson"


def content(fleet: Halves, path: str) -> bytes:
    return fleet.hubs["b"].git("show", f"mesh:{path}").encode() + b"\n"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_RENDER_a_damaged_hub_on_the_other_side_costs_nothing(
    halves: Halves, damage: Callable[[Halves], dict[str, bytes | None]]
) -> None:
    lines = halves.lines("a") | halves.lines("b")
    halves.edit("b", damage(halves))
    halves.node("oak").reconcile(halves.url("b"))
    assert halves.node("elm").publish("builds", "more", {}).verdict == "applied"
    halves.node("fir").reconcile(halves.url("a"))
    settled(halves)
    assert lines <= halves.lines("a")
    assert halves.node("oak").verify().ok


# A hub that lost what was seen there, or shows everyone something else (law SEEN).


def rolled_back(fleet: Halves) -> None:
    fleet.hubs["a"].git("update-ref", "refs/heads/mesh", "mesh~3")


def deleted(fleet: Halves) -> None:
    fleet.hubs["a"].git("update-ref", "-d", "refs/heads/mesh")


def made_anew(fleet: Halves) -> None:
    shutil.rmtree(fleet.hubs["a"].path)
    bare(fleet.hubs["a"].path)


def replaced(fleet: Halves) -> None:
    """By the tip of a fork that fir, who had seen less, wrote on the older trunk."""
    west = fleet.split("b", "fir")
    west.git("update-ref", "refs/heads/mesh", "mesh~4")
    fleet.node("fir").publish("builds", "fork", {})
    fleet.hubs["a"].git("fetch", "--quiet", str(west.path), "+mesh:mesh")
    fleet.at["fir"] = "a"


@pytest.mark.parametrize("loss", [rolled_back, deleted, made_anew, replaced], ids=lambda loss: loss.__name__)
def test_SEEN_a_hub_that_lost_what_was_seen_is_told_and_given_it_back(
    fleet: Halves, loss: Callable[[Halves], None]
) -> None:
    for name in ("oak", "elm", "ash", "elm"):
        fleet.node(name).publish("builds", "done", {"by": name})
    before = fleet.node("oak").sync()
    lines = fleet.lines("a")
    loss(fleet)
    for command in (fleet.node("oak").sync, lambda: fleet.node("oak").acquire("deploy", 60_000), refused(fleet)):
        with pytest.raises(InvalidLedger) as told:
            command()
        assert told.value.findings[0].law == "SEEN"
    assert fleet.node("oak").status()["alarms"][0]["law"] == "SEEN"
    assert fleet.node("oak").reconcile().moved
    assert lines <= fleet.lines("a")
    assert fleet.node("oak").sync()["alarms"] == []
    assert fleet.node("elm").publish("builds", "more", {}).verdict == "applied"
    epoch, *_ = fleet.agree()
    assert epoch > before["epoch"]


def refused(fleet: Halves) -> Callable[[], object]:
    return lambda: list(fleet.node("oak").export())


def test_SEEN_the_commands_say_so_and_one_mends_it(fleet: Halves) -> None:
    fleet.node("oak").publish("builds", "done", {})
    lines = fleet.lines("a")
    rolled_back(fleet)
    for words in (("sync",), ("lease", "acquire", "deploy"), ("export", "-")):
        done = fleet.mesh("oak", *words, "--json")
        assert (done.code, done.error["findings"][0]["law"]) == (6, "SEEN"), words
    assert fleet.ok("oak", "status")["alarms"][0]["law"] == "SEEN"
    assert fleet.ok("oak", "sync", "--mend")["moved"]
    assert lines == fleet.lines("a")
    assert fleet.ok("elm", "sync")["alarms"] == []


def test_SEEN_who_has_lost_its_store_gives_the_hub_back_what_an_export_holds(fleet: Halves, tmp_path: Path) -> None:
    for name in ("oak", "elm"):
        fleet.node(name).publish("builds", "done", {"by": name})
    lines, kept = fleet.lines("a"), tmp_path / "kept.ndjson"
    kept.write_bytes(b"".join(fleet.node("oak").export()))
    old = tmp_path / "old.ndjson"
    old.write_bytes(b"".join(fleet.node("elm").export()))
    fleet.node("oak").publish("builds", "last", {})
    made_anew(fleet)
    for name in ("cache", "store.git"):
        shutil.rmtree(fleet.home("oak") / name)
    with pytest.raises(InvalidLedger, match="SEEN"):
        fleet.node("oak").reconcile()
    done = fleet.mesh("oak", "import", str(kept), "--json")
    assert (done.code, done.error["findings"][0]["law"]) == (6, "SEEN")  # not all that oak has seen
    assert fleet.hubs["a"].tip() is None
    assert fleet.ok("ash", "import", str(old))["moved"]  # ash had seen no more than that
    assert lines == fleet.lines("a")
    assert fleet.node("elm").reconcile().moved is False


def test_SEEN_a_hub_that_shows_two_nodes_different_things_is_told_when_they_meet(fleet: Halves) -> None:
    path = fleet.hubs["a"].path
    faces = [path.with_name("face-1.git"), path.with_name("face-2.git")]
    shutil.copytree(path, faces[0])
    path.rename(faces[1])

    def shows(face: int) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(faces[face])

    for _ in range(2):
        for face, name in enumerate(("oak", "elm")):
            shows(face)
            assert fleet.node(name).publish("builds", "done", {"by": name}).verdict == "applied"
    with pytest.raises(InvalidLedger, match="SEEN"):
        fleet.node("oak").sync()
    fleet.node("oak").reconcile()
    assert fleet.node("elm").sync()["alarms"] == []
    shows(0)
    for name in ("oak", "elm"):
        with pytest.raises(InvalidLedger, match="SEEN"):
            fleet.node(name).sync()
        fleet.node(name).reconcile()
    fleet.agree()


def test_SEEN_a_frozen_hub_is_told_and_what_was_signed_arrives(fleet: Halves, tmp_path: Path) -> None:
    (tmp_path / "http").mkdir()
    path, frozen = tmp_path / "http" / "hub.git", [True]

    def before(request: str) -> None:
        """Who reads is shown an old copy; who pushes reaches the hub itself."""
        face = "old.git" if frozen and "receive-pack" not in request else "a.git"
        path.with_name("next").symlink_to(fleet.folder / face)
        path.with_name("next").replace(path)

    shutil.copytree(fleet.hubs["a"].path, fleet.folder / "old.git")
    with http_hub(tmp_path / "http", before) as hub:
        shutil.rmtree(path)
        fleet.hubs["frozen"], fleet.at["fir"] = hub, "frozen"
        fleet.node("oak").publish("builds", "done", {})
        with MeshSync(fleet.home("fir"), hub=hub.url) as fir:
            stuck = fleet.start("fir", "publish", "builds", "stuck")
            assert "frozen" in fir.wait_for("alarm", law="SEEN")["reason"]
            told = fleet.ok("fir", "status")
            assert ([alarm["law"] for alarm in told["alarms"]], told["epoch"]) == (["SEEN"], 4)
            fleet.node("oak").sync()  # which seals what fir could only leave in its outbox
            frozen.clear()
            assert data(said(stuck))["verdict"] == "applied"
    fleet.at["fir"] = "a"
    assert fleet.node("fir").sync()["alarms"] == []
    fleet.agree()
