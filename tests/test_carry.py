"""A ledger in one file: whole or refused, twice is as good as once (laws SET, LINE, SIG, RENDER)."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import carry
from orxaq_mesh.cli.carry import _lines, write_export
from orxaq_mesh.errors import InvalidLedger, MeshFault, Unreachable, Usage
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.record import canonical
from orxaq_mesh.store.git import GitStore
from tests.builder import Trunk
from tests.halves import Halves
from tests.hubs import bare

ROUNDS = int(os.environ.get("MESH_RECONCILE_ROUNDS", "1"))


@pytest.fixture
def fleet(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Halves:
    """Two halves at two hubs, that have worked on their own."""
    return Halves(tmp_path / "fleet", tmp_path_factory.getbasetemp() / "four-nodes", apart=True)


# The form.


def small() -> tuple[str, bytes]:
    """The id and the export of a ledger with some records and seals."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    for number in range(4):
        trunk.seal(
            elm.write("event.publish", topic="builds", type="done", payload={"n": number, "text": "\u2028 \x85"})
        )
    lines = [line for path in sorted(trunk.files) for line in trunk.files[path].split(b"\n")[:-1]]
    assert trunk.ledger.id
    return trunk.ledger.id, b"".join(carry.written(trunk.ledger.id, lines))


LEDGER, WHOLE = small()
LINES = WHOLE.splitlines(keepends=True) if b"\r" not in WHOLE else []


def split(raw: bytes) -> list[bytes]:
    return list(_lines(io.BytesIO(raw)))  # type: ignore[arg-type]


def read(raw: bytes) -> list[bytes]:
    """The lines in an export, if it is whole."""
    return [item.line for _, item in carry.read(split(raw), LEDGER, "x")]


def with_end(lines: list[bytes]) -> bytes:
    """A file of these lines with an end that agrees with them."""
    body = b"".join(lines)
    end = {"kind": "end", "lines": len(lines) - 1, "sha256": hashlib.sha256(body).hexdigest()}
    return body + canonical(end) + b"\n"


def test_LINE_what_is_written_is_read() -> None:
    assert read(WHOLE) == [line.rstrip(b"\n") for line in split(WHOLE)[1:-1]]
    assert read(with_end([LINES[0], *reversed(LINES[1:-1])])) == [line.rstrip(b"\n") for line in LINES[-2:0:-1]]
    assert read(with_end(LINES[:1])) == []


@given(st.data())
def test_LINE_no_damage_goes_unnoticed(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["flip", "cut", "drop", "insert", "double", "swap", "garbage"]))
    at = data.draw(st.integers(0, len(WHOLE) - 1))
    line = data.draw(st.integers(0, len(LINES) - 1))
    other = data.draw(st.integers(0, len(LINES) - 1).filter(lambda number: number != line))
    swapped = list(LINES)
    swapped[line], swapped[other] = swapped[other], swapped[line]
    damaged = {
        "flip": lambda: WHOLE[:at] + bytes([WHOLE[at] ^ 1 << data.draw(st.integers(0, 7))]) + WHOLE[at + 1 :],
        "cut": lambda: WHOLE[:at],
        "drop": lambda: b"".join(LINES[:line] + LINES[line + 1 :]),
        "insert": lambda: WHOLE[:at] + data.draw(st.binary(min_size=1, max_size=40)) + WHOLE[at:],
        "double": lambda: b"".join([*LINES[: line + 1], *LINES[line:]]),
        "swap": lambda: b"".join(swapped),
        "garbage": lambda: data.draw(st.binary(max_size=200)),
    }[kind]()
    with pytest.raises(InvalidLedger) as told:
        read(damaged)
    finding = told.value.findings[0]
    assert (finding.file, told.value.exit_code) == ("x", 6)
    assert 0 <= finding.line <= len(split(damaged))


@given(st.lists(st.binary(max_size=80).map(lambda line: line.replace(b"\n", b"") + b"\n")))
def test_LINE_whatever_stands_there_with_a_sound_end_is_read_or_refused(lines: list[bytes]) -> None:
    try:
        assert read(with_end([LINES[0], *lines])) == []
    except InvalidLedger:
        assert lines


@pytest.mark.parametrize(
    ("raw", "line", "reason"),
    [
        (b"", 0, "empty"),
        (LINES[0], 1, "cut off"),
        (WHOLE[:-1], len(LINES), "cut off"),
        (WHOLE + LINES[-1], len(LINES) + 1, "behind the end"),
        (WHOLE.replace(b"\n", b"\r\n"), 1, "canonical"),
        (b"\xef\xbb\xbf" + WHOLE, 1, "LINE"),
        (gzip.compress(WHOLE), 1, "LINE"),
        (WHOLE.replace(b'"v":1}', b'"v":2}', 1), 1, "no export"),
        (WHOLE.replace(LEDGER.encode(), b"0" * 64), 1, "it holds ledger 000000000000"),
        (LINES[0] + b"x" * 65537 + b"\n" + LINES[-1], 2, "65536 bytes"),
        (WHOLE.replace(b'"lines":', b'"lines":1'), len(LINES), "does not hold"),
    ],
    ids=["empty", "header", "newline", "two ends", "crlf", "bom", "gzip", "version", "other ledger", "long", "count"],
)
def test_LINE_a_bad_file_is_refused_with_its_line(raw: bytes, line: int, reason: str) -> None:
    with pytest.raises(InvalidLedger, match=reason) as told:
        read(raw)
    assert told.value.findings[0].line == line


def test_B6_a_line_of_a_gigabyte_is_not_read_to_its_end() -> None:
    class Endless(io.RawIOBase):
        """A header, and then a line that goes on."""

        given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            text = (LINES[0] if not self.given else b"")[: len(buffer)].ljust(len(buffer), b"x")
            buffer[:] = text
            self.given += len(buffer)
            assert self.given < 1_000_000
            return len(buffer)

    with pytest.raises(InvalidLedger, match="65536 bytes"):
        list(carry.read(_lines(io.BufferedReader(Endless())), LEDGER, "x"))  # type: ignore[arg-type]


def test_B8_what_a_file_says_of_itself_reaches_no_terminal(fleet: Halves, tmp_path: Path) -> None:
    end = canonical({"kind": "end", "lines": "\x1b[2J\u202e", "sha256": "x"}) + b"\n"
    header = canonical({"kind": "export", "ledger": fleet.ledger, "v": 1}) + b"\n"
    (tmp_path / "evil").write_bytes(header + end)
    done = fleet.mesh("oak", "import", str(tmp_path / "evil"))
    assert done.code == 6
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err


# On a stick.


def test_SET_two_halves_come_together_by_a_file_each_way(fleet: Halves, tmp_path: Path) -> None:
    stick = tmp_path / "a stick"
    stick.mkdir()
    assert fleet.ok("oak", "export", str(stick / "east.ndjson"))["lines"] == len(fleet.lines("a"))
    west = b"".join(fleet.node("fir").export())
    came = fleet.ok("elm", "import", "-", stdin=west)
    went = fleet.ok("ash", "import", str(stick / "east.ndjson"))
    assert (came["state"], came["left"], went["left"]) == (went["state"], 0, 2)
    assert fleet.tree("a") == fleet.tree("b")  # the same bytes, though the commits have parents of their own
    fleet.agree()
    again = fleet.node("oak").import_(split(west), "west")
    assert (again.moved, again.tip) == (False, came["tip"])
    assert fleet.node("elm").sync()["pending"] == 0
    assert fleet.node("fir").reconcile(fleet.url("a")).waiting == 0
    assert fleet.node("oak").reconcile(fleet.url("b")).tip == fleet.hubs["b"].tip()
    fleet.agree()


def test_SET_two_nodes_that_import_one_file_on_one_tip_make_one_commit(fleet: Halves) -> None:
    file = b"".join(fleet.node("fir").export())
    fleet.split("copy", "elm")
    made = {fleet.node(name).import_(split(file), "x").tip for name in ("oak", "elm")}
    assert len(made) == 1
    assert fleet.hubs["a"].git("log", "-1", "--format=%s", "mesh") == "mesh: lines brought in"


def test_CLOSED_what_was_signed_while_the_hub_was_away_travels_in_the_file(fleet: Halves, tmp_path: Path) -> None:
    away = str(tmp_path / "gone.git")
    fleet.node("oak").sync()
    with pytest.raises(Unreachable, match="journalled") as signed:
        fleet.node("oak", hub=away).publish("builds", "waits", {})
    with pytest.raises(Unreachable):
        fleet.node("oak", hub=away).export()
    piped = fleet.mesh("oak", "export", "--offline", "-", MESH_HUB=away)
    assert piped.code == 0
    assert fleet.node("ash").import_(split(piped.out.encode()), "x").waiting == 1 + 2
    fleet.node("ash").sync()
    assert fleet.node("oak").reconcile(fleet.url("b")).waiting == 0
    fleet.node("ash").reconcile(fleet.url("a"))
    *_, verdicts = fleet.agree()
    assert [v.outcome for id_, _, v in verdicts if id_ == signed.value.facts["record"]] == ["applied"]
    assert fleet.node("oak").sync()["pending"] == 0


def test_RENDER_a_file_from_a_damaged_trunk_holds_what_is_sound(fleet: Halves) -> None:
    path = f"ledger/nodes/{fleet.node('fir').identity().log}/000000/0000000001.ndjson"
    lines = fleet.lines("b")
    fleet.node("fir").sync()
    fleet.edit("b", {path: b'{"kind":"x","seq":1}\ngarbage\n', "ledger/notes.txt": b"to do\n"})
    file = b"".join(fleet.node("fir").export())
    assert {line.decode() for line in split(file)[1:-1] for line in [line.rstrip(b"\n")]} == lines
    assert fleet.node("oak").import_(split(file), "x").moved


def test_C27_an_export_replaces_an_older_one_only_when_it_is_whole(tmp_path: Path) -> None:
    def torn() -> Iterator[bytes]:
        yield LINES[0]
        raise InvalidLedger("the hub went away")

    place, link = tmp_path / "fleet.ndjson", tmp_path / "link"
    place.write_bytes(b"the older one\n")
    link.symlink_to(place)
    with pytest.raises(InvalidLedger, match="went away"):
        write_export(place, torn())
    for nowhere in (tmp_path, tmp_path / "none" / "x"):
        with pytest.raises(MeshFault, match="cannot write"):
            write_export(nowhere, iter(LINES))
    assert place.read_bytes() == b"the older one\n"
    assert write_export(link, iter(LINES)) == len(LINES) - 2
    assert (link.is_symlink(), place.read_bytes()) == (True, WHOLE)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["fleet.ndjson", "link"]


def read_by(fleet: Halves, raw: bytes) -> set[str]:
    return {item.line.decode() for _, item in carry.read(split(raw), fleet.ledger, "x")}


def test_QUIET_an_export_into_a_pipe_goes_through_it(fleet: Halves, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read_from: list[bytes] = []
    reader = threading.Thread(target=lambda: read_from.append(pipe.read_bytes()))
    reader.start()
    fleet.ok("oak", "export", str(pipe))
    reader.join(10)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert read_by(fleet, read_from[0]) == fleet.lines("a")


# Forgery.


def forged(line: bytes, **change: object) -> bytes:
    return canonical({**orjson.loads(line), **change}) + b"\n"


FORGERIES: dict[str, Callable[[list[bytes], int], tuple[list[bytes], int]]] = {
    "one more record": lambda lines, at: ([*lines, forged(lines[at], seq=9, prev="0" * 64)], len(lines) + 1),
    "a twin": lambda lines, at: ([*lines, forged(lines[at], at="2026-11-20T09:30:00.000Z")], len(lines) + 1),
    "an edited record": lambda lines, at: (
        [*lines[:at], forged(lines[at], at="2026-11-20T09:30:00.000Z"), *lines[at + 1 :]],
        at + 1,
    ),
    "a record of nobody": lambda lines, at: ([*lines, forged(lines[at], node="zed-00000000")], len(lines) + 1),
    "an edited seal": lambda lines, at: ([*lines, forged(lines[1], at="2026-11-20T09:30:00.000Z")], len(lines) + 1),
    "a seal to come": lambda lines, at: ([*lines, forged(lines[1], epoch=99)], len(lines) + 1),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_SIG_a_line_that_nobody_signed_is_refused_with_its_place_and_nothing_is_taken_in(
    fleet: Halves, forgery: str
) -> None:
    lines = split(b"".join(fleet.node("fir").export()))[:-1]
    at = next(number for number, line in enumerate(lines) if b'"lease.' in line or b'"event.publish"' in line)
    made, number = FORGERIES[forgery](lines, at)
    tip = fleet.hubs["a"].tip()
    for node in ("oak", "fir"):  # at one hub the rest is new, at the other it is not
        with pytest.raises(InvalidLedger, match="no key of this ledger signed") as told:
            fleet.node(node).import_(split(with_end(made)), "x")
        assert (told.value.findings[0].file, told.value.findings[0].line) == ("x", number)
    assert fleet.hubs["a"].tip() == tip


def test_LIVE_three_records_for_one_place_keep_nobody_from_importing(fleet: Halves, tmp_path: Path) -> None:
    """fir was copied, and its three copies went on at three hubs: that is fir's fault, and nobody else's."""
    for number in range(2):
        fleet.copy_home("fir", f"fir-{number}")
        fleet.split(f"c{number}", f"fir-{number}", of="b")
    for node in ("fir", "fir-0", "fir-1"):
        fleet.node(node).publish("builds", "again", {"by": node})
    for node in ("fir", "fir-0", "fir-1"):
        file = b"".join(fleet.node(node).export())
        fleet.node("oak").import_(split(file), node)
    fleet.node("oak").sync()
    (fir,) = [member for member in fleet.node("oak").status()["nodes"] if member["name"] == "fir"]
    assert fir["standing"] == "suspended"
    tip = fleet.hubs["a"].tip()
    assert not fleet.node("oak").import_(split(file), "again").moved
    assert fleet.hubs["a"].tip() == tip
    assert fleet.node("elm").verify().ok


# Size.


def test_SET_thousands_of_lines_are_brought_in_in_seconds(tmp_path: Path) -> None:
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    near, far = (bare(tmp_path / f"{name}.git") for name in ("near", "far"))
    pushed(trunk, near, tmp_path)
    for _ in range(40 if ROUNDS == 1 else 200):
        trunk.seal(*(elm.write("event.publish", topic="t", type="x", payload={}) for _ in range(100)))
    pushed(trunk, far, tmp_path)
    nodes = [Mesh.open(str(tmp_path / path.stem), hub=str(path)) for path in (near, far)]
    for mesh, path in zip(nodes, (near, far), strict=True):
        mesh.join(str(path), f"node-{path.stem}", str(trunk.ledger.id))
    begun = time.monotonic()
    file = b"".join(nodes[1].export())
    united = nodes[0].import_(split(file), "x")
    assert time.monotonic() - begun < 120
    assert (united.moved, united.state) == (True, trunk.ledger.state.digest)


def pushed(trunk: Trunk, hub: Path, folder: Path) -> None:
    store = GitStore(folder / f"{hub.stem}-store", str(hub), environ=os.environ)
    store.push("mesh", None, store.commit(None, trunk.files, [], "mesh: a ledger", 1))
    store.close()


def test_CLOSED_what_cannot_be_imported_or_has_no_node_is_said(fleet: Halves, tmp_path: Path) -> None:
    done = fleet.mesh("oak", "import", str(tmp_path / "none"), "--json")
    assert (done.code, "No such file" in done.error["message"]) == (2, True)
    nobody = Mesh.open(str(tmp_path / "nobody"))
    with pytest.raises(Usage, match="no node lives"):
        nobody.export()
    with pytest.raises(Usage, match="no node lives"):
        nobody.import_([], "x")
