"""An audit by a stranger, who has the fingerprint and nothing else: `mesh verify`, `diff` and `blame` of any place."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh import carry
from orxaq_mesh.cli import app as cli
from orxaq_mesh.credentials import digest_of, find, may_stand_in
from orxaq_mesh.errors import MeshError
from orxaq_mesh.inspect import Report, verify
from orxaq_mesh.inspect.sources import shown, taken
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.record import canonical, epoch_place, log_place
from orxaq_mesh.schema import read_seal
from tests.builder import Pen, secret, sign
from tests.fleet import MESH, PATIENCE_S, Done
from tests.hubs import HUBS, Hub, bare, file_hub, plain_git
from tests.nodes import fingerprint, founded, joined
from tests.test_cli_fleet import BREAKING, breaks_a_terminal
from tests.test_credentials import CREDENTIALS
from tests.test_divergence import apart
from tests.test_fork_choice import fleet as small
from tests.test_fork_choice import united
from tests.test_inspect import put

pytestmark = pytest.mark.xdist_group("audit")
SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)")
SPINE = epoch_place(1).file
HOSTILE = "<img src=x onerror=alert(1)> | @ann #1 [a](http://b) **c** `d` \u202e"


class Fleet:
    """A ledger at a hub, and every other form that it can be had in.

    Attributes:
        hub: the hub. mesh: its founder's home. founder: that one's fingerprint. past: tip of the trunk -> its report.
    """

    def __init__(self, folder: Path, hub: Hub) -> None:
        self.folder, self.hub = folder, hub
        self.oak = founded(folder, hub)
        self.founder = fingerprint(self.oak)
        self.elm = joined(folder, hub, self.oak, "elm")
        self.ledger: str = self.oak.identity().ledger
        self.early = str(hub.tip())
        assert self.oak.acquire("deploy", 60_000).verdict == "applied"
        self.oak.publish("builds", "done", {"n": HOSTILE}, under="deploy")
        assert self.elm.acquire("deploy", 60_000, queue=True).result == "queued"
        self.oak.release("deploy")
        self.oak.break_lease("deploy", HOSTILE.replace("\u202e", ""))
        self.report = self.oak.verify()
        self.oak.publish("builds", "last", {})
        self.report = self.oak.verify()

    def bundle(self, name: str = "fleet.bundle", *revisions: str) -> Path:
        path = self.folder / name
        self.hub.git("bundle", "create", "--quiet", str(path), *(revisions or ("mesh",)))
        return path

    def export(self) -> Path:
        path = self.folder / "stick.ndjson"
        path.write_bytes(b"".join(self.oak.export()))
        return path

    def clone(self, name: str, *options: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        plain_git("clone", "--quiet", *options, f"file://{self.hub.path}", str(path))
        return path


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    folder = tmp_path_factory.mktemp("fleet")
    with file_hub(folder) as hub:
        yield Fleet(folder, hub)


class Stranger:
    """Somebody in an empty directory, without a home.

    Args:
        folder: where the empty directory is to be, and one for what is thrown away.
        here: runs a command in this very process: it starts quicker than a new one.
    """

    def __init__(self, folder: Path, here: Callable[..., Done]) -> None:
        self.room, self.scratch, self._here = folder / "room", folder / "scratch", here
        self.room.mkdir()
        self.scratch.mkdir()

    def mesh(self, *words: str) -> Done:
        return self._sober(self._here(*words))

    def ok(self, *words: str) -> Any:
        done = self.mesh(*words, "--json")
        assert done.code == 0, done
        return done.data

    def alone(self, *words: str, **more: str) -> Any:
        """The same in a process of its own, with next to no environment."""
        env = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], "TMPDIR": str(self.scratch), **more}
        argv = [*MESH, *words, "--json"]
        done = subprocess.run(argv, cwd=self.room, env=env, capture_output=True, timeout=PATIENCE_S, check=False)
        ended = self._sober(Done(done.returncode, done.stdout.decode(), done.stderr.decode()))
        assert ended.code == 0, ended
        return ended.data

    def _sober(self, done: Done) -> Done:
        assert "Traceback" not in done.err, done.err
        assert "should not have happened" not in done.err, done.err
        assert breaks_a_terminal(done.out + done.err) == []
        assert list(self.room.iterdir()) == list(self.scratch.iterdir()) == [], "nothing is left behind"
        return done


@pytest.fixture
def stranger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stranger:
    def here(*words: str) -> Done:
        code = cli.run(list(words))
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    made = Stranger(tmp_path, here)
    monkeypatch.chdir(made.room)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(tempfile, "tempdir", str(made.scratch))
    return made


# Wherever it lies.


@pytest.mark.parametrize("kind", HUBS)
def test_a_stranger_audits_a_hub_over_file_http_and_ssh(
    kind: str, fleet: Fleet, stranger: Stranger, tmp_path: Path
) -> None:
    with HUBS[kind](tmp_path) as hub:
        fleet.hub.git("push", "--quiet", "--mirror", str(hub.path))
        found = stranger.alone("verify", hub.url, "--ledger", fleet.founder, "--at", "2", **hub.variables)
        assert (found["ok"], found["asked"], found["pinned"]) == (True, True, True)
        assert [found[field] for field in ("ledger", "records", "seals", "state")] == [
            fleet.ledger,
            fleet.report.records,
            fleet.report.seals,
            fleet.report.state,
        ]
        assert (found["at"]["epoch"], found["at"]["leases"]) == (2, [])


def places(fleet: Fleet) -> dict[str, Path]:
    """The same ledger in every form but a hub's address."""
    spaced = fleet.folder / "a stick, mine"
    spaced.mkdir(exist_ok=True)
    inner = spaced / "fleet.bundle"
    shutil.copy(fleet.bundle(), inner)
    main = fleet.clone("main", "--no-checkout")
    plain_git("-C", str(main), "update-ref", "-d", "refs/heads/mesh")
    worktree = fleet.clone("worktree", "--branch", "mesh")
    return {
        "repository": fleet.hub.path,
        "directory": worktree,
        "its ledger": worktree / "ledger",
        "bundle": fleet.bundle("all.bundle", "--all"),
        "spaces": inner,
        "export": fleet.export(),
        "fetched only": main,
        "shallow and bare": fleet.clone("shallow.git", "--bare", "--depth", "1", "--branch", "mesh"),
        "shallow": fleet.clone("shallow", "--depth", "1", "--no-checkout"),
    }


def test_the_same_ledger_is_found_in_every_form_that_it_can_be_had_in(fleet: Fleet) -> None:
    for name, place in places(fleet).items():
        report = verify(None, place, ledger=fleet.founder, every_signature=True)
        assert report == fleet.report, name
        assert taken(place).name == str(place)
    assert taken(fleet.folder / "shallow.git").cut
    assert not taken(fleet.hub.path).cut


def test_what_stands_beside_the_ledger_is_none_of_it(fleet: Fleet) -> None:
    place = fleet.clone("beside", "--branch", "mesh")
    (place / "notes.txt").write_text("x")
    plain_git("-C", str(place), "add", "notes.txt")
    plain_git("-C", str(place), "commit", "--quiet", "-m", "notes")
    shutil.rmtree(place / "ledger")
    (place / "notes.txt").unlink()
    assert verify(None, place).ok
    (place / "ledger").mkdir()
    assert not verify(None, place).ok, "but a directory that is no ledger's is looked at as it is"


def test_B15_what_a_cut_off_history_leaves_unknown_is_said(fleet: Fleet, stranger: Stranger) -> None:
    place = fleet.clone("cut.git", "--bare", "--depth", "1", "--branch", "mesh")
    found = stranger.ok("verify", str(place))
    assert found["ok"]
    assert any("which way the branch moved" in what for what in found["unknown"])
    done = stranger.mesh("verify", place.as_uri(), "--json")
    assert done.code == 6, "what is fetched must be whole"
    assert "cut off (a shallow clone)" in done.data["findings"][0]["reason"]


def test_a_password_in_an_address_is_not_repeated() -> None:
    assert shown("https://ann:s3cret@git.example.org/x.git") == "https://git.example.org/x.git"
    assert shown("https://t0ken@git.example.org/x.git") == "https://git.example.org/x.git"
    assert shown("git@git.example.org:x.git") == "git@git.example.org:x.git"


# What is not there, or not what it should be.


def test_SIG_another_ledger_than_the_one_asked_for_is_said_first(fleet: Fleet, stranger: Stranger) -> None:
    place = str(fleet.bundle())
    elm = fingerprint(fleet.elm)
    for wanted in (
        "0" * 64,
        secret("yew").public.fingerprint,
        elm,
        fleet.ledger[:15],
        "",
        BREAKING.replace("\x00", ""),
    ):
        done = stranger.mesh("verify", place, "--ledger", wanted)
        assert done.code == 6
        assert done.out.startswith("ANOTHER LEDGER than the one that was asked for: ")
        assert fleet.founder in done.out
    assert "which is the key of elm-" in stranger.mesh("verify", place, "--ledger", elm).out
    for words in (("diff", "0..2"), ("blame", "lease/deploy")):
        done = stranger.mesh(*words, "--source", place, "--ledger", elm)
        assert (done.code, done.out) == (6, "")


def test_a_place_without_a_ledger_is_a_clear_error(fleet: Fleet, stranger: Stranger, tmp_path: Path) -> None:
    empty = bare(tmp_path / "empty.git")
    other = tmp_path / "other"
    plain_git("init", "--quiet", "--initial-branch=main", str(other))
    (tmp_path / "nothing").mkdir()
    (tmp_path / "text").write_text("hello\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / ".git").write_text("gitdir: /nowhere\n")
    codes = {
        empty: (1, "there is no branch mesh"),
        other: (1, "there is no branch mesh"),
        fleet.hub.path: (0, ""),
        tmp_path / "nothing": (2, "there is no ledger in"),
        tmp_path / "none": (2, "there is nothing at"),
        tmp_path / "text": (6, "text:1: LINE"),
        tmp_path / "broken": (1, "git cannot read"),
    }
    for place, (code, words) in codes.items():
        done = stranger.mesh("verify", str(place))
        assert done.code == code, (place, done)
        assert words in done.out + done.err
    assert stranger.mesh("verify", str(fleet.hub.path), "--trunk", "main").code == 1
    assert stranger.mesh("verify", str(fleet.hub.path), "--trunk", "../x").code == 2


@pytest.mark.parametrize(
    ("place", "code"),
    [
        ("http://127.0.0.1:1/x.git", 5),
        ("ext::sh -c id", 2),
        ("-x", 2),
        ("ssh://-oProxyCommand=id/x", 2),
        ("\x1b[2J:x", 2),
        ("file:///nowhere/at/all.git", 5),
        ("https://example.org/" + 300 * "x" + "\n", 2),
    ],
)
def test_B5_an_address_that_is_none_or_does_not_answer(place: str, code: int, stranger: Stranger) -> None:
    done = stranger.mesh("verify", "--", place)
    assert done.code == code, done
    assert done.out == ""


def test_a_stranger_without_a_place_is_told_what_to_name(stranger: Stranger, tmp_path: Path) -> None:
    done = stranger.mesh("verify", "--home", str(tmp_path / "no-home"))
    assert done.code == 2
    assert "no node lives in" in done.err


def damaged(path: Path, at: int) -> Path:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    made = path.with_name(f"damaged-{path.name}")
    made.write_bytes(data)
    return made


def test_a_damaged_file_is_refused_and_nothing_in_it_believed(fleet: Fleet, stranger: Stranger) -> None:
    export, bundle = fleet.export(), fleet.bundle()
    cut = fleet.folder / "cut.ndjson"
    cut.write_bytes(export.read_bytes()[:-200])
    for place in (damaged(export, 300), cut, damaged(bundle, bundle.stat().st_size - 100)):
        done = stranger.mesh("verify", str(place), "--json")
        assert done.code == 6, (place, done)
        assert done.error["findings"] if done.err else done.data["findings"]
        assert not done.out or not done.data["ok"]
    part = fleet.bundle("part.bundle", f"{fleet.early}..mesh")
    done = stranger.mesh("verify", str(part))
    assert done.code == 1
    assert "goes on from commits that it does not hold" in done.err


def test_a_flipped_byte_is_found_by_law_file_and_line_in_every_form(fleet: Fleet, stranger: Stranger) -> None:
    place = fleet.clone("flipped", "--branch", "mesh")
    oak = next((place / "ledger/nodes").glob("oak-*"))
    file = log_place(oak.name, 1).file
    lines = (place / file).read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b'"ttl_ms":6', b'"ttl_ms":7')
    (place / file).write_bytes(b"\n".join(lines))
    done = stranger.mesh("verify", str(place), "--json")
    assert (done.code, done.data["ok"]) == (6, False)
    assert {(found["file"], found["line"]) for found in done.data["findings"]} >= {(file, 3)}
    broken = {check["law"] for check in done.data["checks"] if check["result"].startswith("BROKEN")}
    assert broken == {found["law"] for found in done.data["findings"]}
    rendered = next(check for check in done.data["checks"] if check["law"] == "RENDER")
    assert rendered["result"] == "not compared"
    said = stranger.mesh("verify", str(place))
    assert said.out.startswith("NOT SOUND: ")
    plain_git("-C", str(place), "commit", "--quiet", "--all", "-m", "x")
    plain_git("-C", str(place), "bundle", "create", "--quiet", str(fleet.folder / "flipped.bundle"), "mesh")
    report = verify(None, fleet.folder / "flipped.bundle")
    assert [found._asdict() for found in report.findings] == done.data["findings"]
    # what it came to before the damage is told, and that there is damage
    none = stranger.mesh("blame", "lease/deploy", "--source", str(place), "--json")
    assert (none.code, none.out, none.error["code"]) == (6, "", "invalid")
    some = stranger.mesh("blame", "node/elm", "--source", str(place), "--json")
    assert (some.code, some.data["sound"]) == (6, False)
    assert "not sound: " in stranger.mesh("diff", "0..1", "--source", str(place)).err


# What was seen before.


def test_SEEN_an_old_state_is_told_from_a_new_one_by_what_an_earlier_report_says(
    fleet: Fleet, stranger: Stranger, tmp_path: Path
) -> None:
    newest = stranger.ok("verify", str(fleet.hub.path), "--ledger", fleet.founder)
    rolled = bare(tmp_path / "rolled.git")
    fleet.hub.git("push", "--quiet", str(rolled), f"{fleet.early}:refs/heads/mesh")
    old = stranger.ok("verify", str(rolled), "--ledger", fleet.founder)
    assert old["ok"], "it looks as sound as the newest"
    assert any("whether this is all" in what and f"--seen {old['seen'][:18]}" in what for what in old["unknown"])
    done = stranger.mesh("verify", str(rolled), "--seen", newest["seen"], "--json")
    assert done.code == 6
    assert [(found["law"], found["file"]) for found in done.data["findings"]] == [("SEEN", SPINE)]
    again = stranger.ok("verify", str(fleet.hub.path), "--seen", old["seen"])
    assert again["ok"]
    assert not any("whether this is all" in what for what in again["unknown"])
    epoch, _, seal = old["seen"].partition(":")
    for wrong in (f"{int(epoch) + 1}:{seal}", f"{epoch}:{'0' * 64}"):
        assert stranger.mesh("verify", str(fleet.hub.path), "--seen", wrong).code == 6
    for none in ("", "3", "3:abc", f"{epoch}:{seal[:15]}", f"-1:{seal}", "\x1b:" + seal):
        assert stranger.mesh("verify", str(fleet.hub.path), f"--seen={none}").code == 2, none


# The report.


def test_the_report_accounts_for_every_record_and_every_law(fleet: Fleet, stranger: Stranger) -> None:
    found = stranger.ok("verify", str(fleet.bundle()), "--every-signature")
    assert sum(node["records"] for node in found["nodes"]) == found["records"]
    assert sum(node["seals"] for node in found["nodes"]) == found["seals"]
    assert sum(sum(counts.values()) for counts in found["kinds"].values()) == found["records"]
    assert {node["name"]: node["fingerprint"] for node in found["nodes"]}["oak"] == found["founder"]["fingerprint"]
    checks = {check["law"]: check for check in found["checks"]}
    assert len(checks) == len(found["checks"])
    assert {
        "LINE",
        "SIG",
        "CHAIN",
        "SEAL",
        "FORK",
        "DIGEST",
        "RENDER",
        "QUIET",
        "SEEN",
        "FENCE",
        "TIME",
    } <= checks.keys()
    assert checks["SIG"]["number"] == found["records"] + found["seals"]
    assert checks["LINE"]["number"] == found["records"] + found["seals"]
    assert checks["FENCE"]["number"] == 1
    assert all(check["result"].startswith("kept") for check in found["checks"])
    unknown = " ".join(found["unknown"])
    assert "whose ledger this is" in unknown
    assert "whether the fleet's hub shows the same" in unknown
    assert "each signature" not in unknown


@pytest.mark.parametrize("words", [("verify", "PLACE"), ("diff", "0..4"), ("blame", "lease/deploy")])
def test_QUIET_a_report_in_markdown_makes_nothing_of_a_ledgers_words(
    words: tuple[str, ...], fleet: Fleet, stranger: Stranger
) -> None:
    place = str(fleet.hub.path)
    argv = [place if word == "PLACE" else word for word in words] + ([] if "PLACE" in words else ["--source", place])
    done = stranger.mesh(*argv, "--format", "markdown")
    assert done.code == 0, done
    assert done.out.startswith("# ")
    outside = SPAN.sub("", done.out)
    for markup in ("<img", "@ann", "#1 ", "](", "**c**"):
        assert markup not in outside
    for row in done.out.splitlines():
        if row.startswith("|"):
            assert row.count("|") in {line.count("|") for line in done.out.splitlines() if line.startswith("| ---")}


def test_the_three_forms_say_the_same(fleet: Fleet, stranger: Stranger) -> None:
    place = str(fleet.hub.path)
    as_json = stranger.mesh("verify", place, "--json")
    assert stranger.mesh("verify", place, "--format", "json").out == as_json.out
    text, markdown = stranger.mesh("verify", place), stranger.mesh("verify", place, "--format", "markdown")
    for said in (text.out, markdown.out):
        assert all(check["law"] in said for check in as_json.data["checks"])
        assert as_json.data["state"] in said
        assert fleet.founder in said
    quiet = stranger.mesh("verify", place, "-q")
    assert quiet.out == text.out.splitlines(keepends=True)[0]
    assert stranger.mesh("verify", place, "--format", "html").code == 2


# The past.


def test_at_any_epoch_and_what_lies_beyond_is_refused(fleet: Fleet, stranger: Stranger) -> None:
    place, last = str(fleet.hub.path), fleet.report.epoch
    found = stranger.ok("verify", place, "--at", str(fleet.report.epoch))
    assert (found["at"]["state"], found["at"]["seal"]) == (found["state"], found["seal"])
    assert stranger.ok("verify", place, "--at", "0")["at"]["nodes"] == []
    held = stranger.ok("verify", place, "--at", "3")["at"]
    assert [(lease["name"], lease["holder"], lease["token"]) for lease in held["leases"]] == [("deploy", "oak", 3)]
    assert "the state at epoch 3" in stranger.mesh("verify", place, "--at", "3").out
    for beyond in (str(last + 1), str(10**9), "-1", "x", ""):
        done = stranger.mesh("verify", place, f"--at={beyond}")
        assert (done.code, done.out) == (2, ""), done
    for span in (f"0..{last + 1}", f"0..{10**9}", "3..2", "..", "x"):
        done = stranger.mesh("diff", span, "--source", place)
        assert (done.code, done.out) == (2, ""), done


def test_who_held_it_and_what_changed_from_any_place(fleet: Fleet, stranger: Stranger) -> None:
    place = str(fleet.export())
    held = stranger.ok("blame", "lease/deploy", "--source", place, "--ledger", fleet.founder)
    assert [(one["holder"], one["token"], one["ended"]["how"]) for one in held["tenures"]] == [
        ("oak", 3, "released"),
        ("elm", held["tenures"][0]["ended"]["epoch"], "broken"),
    ]
    assert held["sound"]
    assert "done in epoch 3\n  oak asks for lease `deploy`" in stranger.mesh("diff", "2..4", "--source", place).out
    assert "- oak asks for lease `deploy`" in stranger.mesh("diff", "2..4", "--source", place, "--format=markdown").out
    changed = stranger.ok("diff", f"2..{fleet.report.epoch}", "--source", place)
    assert changed["leases"][0]["name"] == "deploy"
    assert len(changed["sentences"]) == fleet.report.records - 3
    assert stranger.mesh("blame", "lease/none", "--source", place).code == 1
    assert stranger.mesh("blame", "deploy", "--source", place).code == 2


def test_a_member_asks_the_same_of_its_own_ledger(fleet: Fleet) -> None:
    env = {**os.environ, "MESH_HOME": str(fleet.oak.home.path)}
    for words in (("diff", "0..2"), ("blame", "node/elm"), ("verify", "--at", "2")):
        done = subprocess.run([*MESH, *words, "--json"], env=env, capture_output=True, check=False, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["data"]


@pytest.mark.parametrize("words", [("verify",), ("diff", "0..1"), ("blame", "node/elm")])
def test_a_branch_without_a_place_is_a_usage_error(words: tuple[str, ...], fleet: Fleet, stranger: Stranger) -> None:
    done = stranger.mesh(*words, "--trunk", "main", "--home", str(fleet.oak.home.path))
    assert (done.code, done.out) == (2, "")
    assert "--trunk" in done.err


def test_a_pen_without_standing_writes_nothing_into_the_report(fleet: Fleet, tmp_path: Path) -> None:
    """A stranger's line in somebody's file is found; it is not counted as a member's."""
    place = fleet.clone("strangers", "--branch", "mesh")
    pen = Pen("yew")
    pen.ledger_id = fleet.ledger
    record = pen.write("event.publish", topic="t", type="x", payload={})
    file = place / log_place(pen.log, 1).file
    file.parent.mkdir(parents=True)
    file.write_bytes(record.line + b"\n")
    report = verify(None, place)
    assert not report.ok
    assert report.records == fleet.report.records


def test_FORK_a_ledger_that_forked_is_sound_and_says_how_much_was_left(stranger: Stranger, tmp_path: Path) -> None:
    trunk, left, right = apart()
    place = put(tmp_path / "tree", united(left, right))
    found = stranger.ok("verify", str(place), "--ledger", str(trunk.ledger.id))
    chosen = right.ledger.state
    assert (found["state"], found["records"], found["seals"]) == (chosen.digest, chosen.records, chosen.epoch)
    assert (found["forks"], found["left"]) == (1, 2)
    assert found["waiting"] == 2, "what the side that was left took in is still to be judged here"
    assert sum(node["seals"] for node in found["nodes"]) == found["seals"]
    fork = next(check for check in found["checks"] if check["law"] == "FORK")
    assert "2 epochs lie on sides that were left" in fork["result"]
    blamed = stranger.ok("blame", "lease/deploy", "--source", str(place))
    assert [one["holder"] for one in blamed["tenures"]] == ["elm"]
    assert [one["node"] for one in blamed["left"]] == ["oak"]


def test_DIGEST_a_wrong_claim_is_found_and_its_author_named(stranger: Stranger, tmp_path: Path) -> None:
    trunk = small("elm")
    elm = trunk.pens["elm"]
    record = elm.write("event.publish", topic="t", type="x", payload={})
    line = sign(trunk.seal_value(record, by=elm, state="0" * 64), elm.key, trunk.ledger.id)
    trunk.push([record], [read_seal(line)])
    done = stranger.mesh("verify", str(put(tmp_path / "tree", trunk.files)), "--json")
    assert done.code == 6
    assert [found["law"] for found in done.data["findings"]] == ["DIGEST"]
    assert any(f"why {elm.log} claims other verdicts in epoch 3" in what for what in done.data["unknown"])


def test_SECRET_what_looks_like_a_credential_is_told_and_not_repeated(stranger: Stranger, tmp_path: Path) -> None:
    trunk = small("elm")
    token = "npm_" + 36 * "a"
    record = trunk.oak.write("event.publish", topic="t", type="x", payload={"env": {"NPM": token}})
    trunk.seal(record)
    place = str(put(tmp_path / "tree", trunk.files))
    found = stranger.ok("verify", place)
    assert found["ok"], "the fold does not ask, so nothing is broken"
    (secret_,) = found["secrets"]
    assert (secret_["record"], secret_["path"]) == (record.id, "body.payload.env.NPM")
    for form in ("text", "json", "markdown"):
        assert token not in stranger.mesh("verify", place, "--format", form).out
    trunk.seal(trunk.oak.write("review.allow", digest=digest_of(token), reason="an example"))
    assert stranger.ok("verify", str(put(tmp_path / "tree", trunk.files)))["secrets"] == [], (
        "a reviewer said it is none"
    )


def test_QUIET_a_fields_name_in_a_table_is_no_markup(stranger: Stranger, tmp_path: Path) -> None:
    trunk = small("elm")
    payload = {"<img src=x> | @ann": {"password": "Tr0ub4dor&3" + "x"}}
    trunk.seal(trunk.oak.write("event.publish", topic="t", type="x", payload=payload))
    done = stranger.mesh("verify", str(put(tmp_path / "tree", trunk.files)), "--format", "markdown")
    assert "img src=x" in done.out
    outside = SPAN.sub("", done.out)
    assert "<img" not in outside
    assert "@ann" not in outside
    (row,) = (line for line in done.out.splitlines() if "img src=x" in line)
    assert row.count("|") == 7, "six cells"


@given(st.data())
@settings(max_examples=200)
def test_SECRET_the_quick_no_is_never_wrong(data: st.DataObject) -> None:
    words = st.sampled_from([text for _, text in CREDENTIALS]) | st.text() | st.just("apiKEY=\u212a\u0130a1b2c3d4e5")
    keys = st.sampled_from(["password", "api_key", "token", "x"])
    value = data.draw(st.dictionaries(keys, words | st.lists(words, max_size=2) | st.integers(0, 99), max_size=3))
    line = canonical({"body": value})
    assert may_stand_in(line) or find({"body": value}) == []


def test_SECRET_most_records_are_no_work() -> None:
    assert not may_stand_in(b'{"body":{"lease":"deploy","session":"s","token":40},"kind":"lease.renew"}')
    assert all(may_stand_in(canonical({"x": text})) for _, text in CREDENTIALS)


def test_UNTIL_and_others_what_had_no_effect_is_counted_by_rule(stranger: Stranger, tmp_path: Path) -> None:
    trunk = small("elm")
    elm = trunk.pens["elm"]
    asks = {"lease": "deploy", "session": "s", "ttl_ms": 60_000}
    trunk.seal(elm.write("lease.acquire", **asks, until=1), by=elm)
    trunk.seal(elm.write("lease.renew", lease="deploy", session="s", token=3), by=elm)
    trunk.seal(elm.write("node.revoke", log=trunk.oak.log, reason="x"), by=elm)
    found = stranger.ok("verify", str(put(tmp_path / "tree", trunk.files)))
    reasons = {(one["verdict"], one["rule"]): one["records"] for one in found["reasons"]}
    assert reasons == {("refused", "UNTIL"): 1, ("fenced", "FENCE"): 1, ("refused", "NODE-3"): 1}


def test_many_records_that_are_alike_are_one_line_of_a_diff(stranger: Stranger, tmp_path: Path) -> None:
    trunk = small("elm")
    for number in range(50):
        trunk.seal(trunk.oak.write("event.publish", topic="t", type="x", payload={"n": number}))
    place = str(put(tmp_path / "tree", trunk.files))
    done = stranger.mesh("diff", "2..52", "--source", place)
    assert "oak, 50 times: publishes `x` on topic `t`" in done.out
    assert len(done.out.splitlines()) < 10
    assert len(stranger.ok("diff", "2..52", "--source", place)["sentences"]) == 50


# Bytes of anybody.


@cache
def exported() -> bytes:
    trunk = small("elm")
    lines = [line for data in trunk.files.values() for line in data.split(b"\n")[:-1]]
    return b"".join(carry.written(str(trunk.ledger.id), lines))


def outcome(place: Path, ledger: str | None = None) -> Report | MeshError:
    try:
        return verify(None, place, ledger=ledger)
    except MeshError as error:
        return error


@given(st.binary(max_size=300), st.integers(0, 2**16), st.integers(0, 300))
@settings(max_examples=100)
def test_LINE_no_bytes_of_an_export_end_in_anything_but_a_clear_error(junk: bytes, at: int, gone: int) -> None:
    whole = exported()
    at %= len(whole) + 1
    with tempfile.TemporaryDirectory() as folder:
        for data in (junk, whole[:at] + junk + whole[at + gone :]):
            place = Path(folder, "file")
            place.write_bytes(data)
            ended = outcome(place)
            assert ended.what.isprintable() if isinstance(ended, MeshError) else ended.ok == (data == whole)


def test_B7_no_bytes_of_a_bundle_end_in_anything_but_a_clear_error(fleet: Fleet, tmp_path: Path) -> None:
    whole, dice = fleet.bundle("fuzzed.bundle").read_bytes(), random.Random(11)
    for _ in range(24):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 3)):
            data[dice.randrange(len(data))] = dice.randrange(256)
        place = tmp_path / "fuzzed.bundle"
        place.write_bytes(data)
        ended = outcome(place, fleet.ledger)
        assert ended.what.isprintable() if isinstance(ended, MeshError) else not ended.ok or ended == fleet.report


def test_a_mesh_of_ones_own_may_be_asked_of_any_place(fleet: Fleet) -> None:
    mesh = Mesh.open(str(fleet.elm.home.path))
    assert mesh.verify(str(fleet.bundle())) == fleet.report
    mesh.observe()
    assert [one.holder for one in mesh.blame("lease/deploy").tenures] == ["oak", "elm"]
    assert len(mesh.diff(0, 2).sentences) == 3
