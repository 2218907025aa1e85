"""`mesh import --orxaq`: the event files of the system before become events here, each once (trap C3)."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh.effects import Answer
from orxaq_mesh.errors import MeshFault, Refused, Unreachable, Usage
from orxaq_mesh.kinds.base import Once
from orxaq_mesh.kinds.reactor import Rules, reactors
from orxaq_mesh.orders import events
from orxaq_mesh.orders.events import Event, read
from orxaq_mesh.orders.importing import batches, bring, in_ledger, refuse_reactions
from tests.builder import Trunk
from tests.fleet import MESH, SYNC, until
from tests.test_cli_work import Near

pytestmark = pytest.mark.xdist_group("import_events")


def old(id_: str, cause: str | None = None, **more: Any) -> dict[str, Any]:
    """One event of old."""
    value = {"event_id": id_, "timestamp": "2025-03-01T10:00:00+00:00", "topic": "scheduler", "event_type": "tick"}
    return {**value, "node_id": "oak", "source": "cli", "causation_id": cause, "payload": {"n": 1}, **more}


def lines(path: Path, *values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(value if isinstance(value, str) else json.dumps(value) + "\n" for value in values))
    return path


def one(folder: Path, value: Any) -> Event:
    lines(folder / "one.jsonl", value)
    found = read(folder)
    assert found.bad == []
    return found.events[0]


# Reading.


def test_C3_an_event_that_stands_there_often_is_one(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", old("1"), "\n", old("2"))
    lines(tmp_path / "b" / "c.ndjson", old("1"))
    (tmp_path / "b" / "1.json").write_text(json.dumps(old("1"), indent=2))
    (tmp_path / "README.md").write_text("no event")
    found = read(tmp_path)
    assert [event.id for event in found.events] == ["1", "2"]
    assert (found.doubles, found.files, found.bad) == (2, 3, [])


def test_C15_one_id_for_two_events_is_told_with_both_places(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", old("1"))
    lines(tmp_path / "b.jsonl", old("2"), old("1", payload={"n": 2}))
    (bad,) = read(tmp_path).bad
    assert (Path(bad.file).name, bad.line) == ("b.jsonl", 2)
    assert "a.jsonl:1" in bad.reason


def test_LINE_numbers_that_no_record_carries_are_the_text_that_they_were(tmp_path: Path) -> None:
    text = json.dumps(old("1")).replace('{"n": 1}', '{"a": 1.50, "b": 1e3, "c": [12345678901234567890, -7], "d": NaN}')
    payload = one(tmp_path, text + "\n").wish({})["payload"]
    assert payload["payload"] == {"a": "1.50", "b": "1e3", "c": ["12345678901234567890", -7], "d": "NaN"}


def test_names_and_ids_that_fit_no_record_are_mapped_and_kept(tmp_path: Path) -> None:
    wish = one(tmp_path, old("an id with spaces", topic="/build queue#1", event_type="\u00e9", extra=[1])).wish({})
    assert (wish["topic"], wish["type"]) == ("build-queue-1", "unnamed")
    assert wish["once"].startswith("orxaq-sha256:")
    assert len(wish["once"]) == len("orxaq-sha256:") + 64
    payload = wish["payload"]
    assert (payload["id"], payload["topic"], payload["type"]) == ("an id with spaces", "/build queue#1", "\u00e9")
    assert payload["more"] == {"extra": [1]}
    plain = one(tmp_path, old("5b1f-0", "4a")).wish({})
    assert plain["once"] == "orxaq-id:5b1f-0"
    assert plain["payload"] == {
        "id": "5b1f-0", "at": "2025-03-01T10:00:00+00:00", "node": "oak", "source": "cli", "causation": "4a",
        "payload": {"n": 1},
    }  # fmt: skip


DEEP = '{"event_id":"1","topic":"t","event_type":"x","payload":' + "[" * 5000 + "]" * 5000 + "}\n"
BAD = [
    ("no JSON", "{\n"),
    ("no JSON object", "[1]\n"),
    ("no event_id", {"topic": "t", "event_type": "x"}),
    ("topic is no text", old("1", topic=7)),
    ("causation_id is no text", old("1", causation_id=7)),
    ("a key twice", '{"event_id":"1","event_id":"2","topic":"t","event_type":"x"}\n'),
    ("more than 59392 bytes", old("1", payload="x" * 60_000)),
    ("not ASCII", old("1", payload={"\u00e9": 1})),
    ("more than 16 deep", old("1", payload=json.loads("[" * 15 + "]" * 15))),
    ("deep", DEEP),
    ("half a character", old("1", payload="\ud800")),
    ("SECRET: a credential stands at payload.env (npm-token)", old("1", payload={"env": "npm_" + "aB3dE6gH9j" * 4})),
]


@pytest.mark.parametrize(("reason", "value"), BAD, ids=[reason for reason, _ in BAD])
def test_LINE_what_is_no_event_is_told_with_file_and_line(tmp_path: Path, reason: str, value: Any) -> None:
    lines(tmp_path / "a.jsonl", old("0"), value, old("9"))
    found = read(tmp_path)
    assert [event.id for event in found.events] == ["0", "9"]
    (bad,) = found.bad
    assert (bad.file, bad.line) == (str(tmp_path / "a.jsonl"), 2)
    assert reason in bad.reason
    assert "aB3dE6" not in bad.reason


def test_B10_sizes_are_asked_before_anything_is_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(tmp_path / "a.jsonl", "{" * 300_000 + "\n", old("1"))
    assert [(bad.line, "bytes" in bad.reason) for bad in read(tmp_path).bad] == [(1, True)]
    monkeypatch.setattr(events, "MAX_BYTES", 1000)
    with pytest.raises(Usage, match="more than 0 MiB"):
        read(tmp_path)
    monkeypatch.setattr(events, "MAX_BYTES", 10**9)
    monkeypatch.setattr(events, "MAX_EVENTS", 2)
    lines(tmp_path / "b.jsonl", *(old(str(n)) for n in range(5)))
    with pytest.raises(Usage, match="more than 2 events"):
        read(tmp_path)
    with pytest.raises(Usage, match="no directory"):
        read(tmp_path / "nowhere")


def test_causes_come_before_what_they_caused_whatever_the_clocks_said(tmp_path: Path) -> None:
    late = {"timestamp": "2020-01-01T00:00:00Z"}
    lines(tmp_path / "a.jsonl", old("d", "c", **late), old("c", "b"), old("b", "a", **late), old("a"), old("x", "x"))
    found = [event.id for event in read(tmp_path).events]
    assert found.index("a") < found.index("b") < found.index("c") < found.index("d")
    assert set(found) == set("abcdx"), "an event that names itself as its cause is an event like another"


def test_an_import_takes_few_pushes(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", *(old(str(n), str(n - 1) if n else None) for n in range(1000)))
    made = list(batches(read(tmp_path).events))
    assert sum(map(len, made)) == 1000
    assert len(made) <= 9, "a chain of a thousand events is not a thousand pushes"
    lines(tmp_path / "a.jsonl", *(old(str(n)) for n in range(1201)))
    assert [len(batch) for batch in batches(read(tmp_path).events)] == [500, 500, 201]
    by_size = list(batches(read(tmp_path).events, most_bytes=10_000))
    assert all(sum(len(event.body) for event in batch) <= 10_000 for batch in by_size)


def test_CLOSED_a_folder_that_cannot_be_read_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(tmp_path / "a.jsonl", old("1"))
    lines(tmp_path / "shut" / "b.jsonl", old("2"))

    def scandir(path: Any) -> Any:  # a superuser may read any folder, so the system's no is made here
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    real = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(MeshFault, match="shut"):
        read(tmp_path)


# Bringing.


def hub(trunk: Trunk, asked: list[Any], *, fails_at: int = -1) -> Any:
    """Takes in what is asked as a hub does that is gone at one of the pushes."""

    def ask_all(wishes: Sequence[tuple[str, dict[str, Any]]]) -> list[Answer]:
        asked.append([wish.get("cause") for _, wish in wishes])
        if len(asked) - 1 == fails_at:
            raise Unreachable("no answer")
        records = [trunk.oak.write(kind, **wish) for kind, wish in wishes]
        trunk.seal(*records)
        return [Answer("applied", "EVENT-1", "published", record.id) for record in records]

    return ask_all


def test_ONCE_an_import_that_was_cut_off_goes_on_where_it_was(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", *(old(str(n)) for n in range(3)), *(old(f"c{n}", "1") for n in range(3)))
    found, trunk, asked, said = read(tmp_path).events, Trunk.founded(), list[Any](), list[tuple[int, int]]()
    with pytest.raises(Unreachable) as gone:
        bring(found, trunk.ledger.state, hub(trunk, asked, fails_at=1), lambda *step: said.append(step))
    assert gone.value.facts == {"imported": 3, "of": 6}
    assert said == [(3, 6)]
    again = bring(found, trunk.ledger.state, hub(trunk, asked), lambda *step: said.append(step))
    assert (again.imported, again.known, again.pushes) == (3, 3, 1)
    assert bring(found, trunk.ledger.state, hub(trunk, asked), lambda *_: None) == (0, 6, 0)
    assert trunk.ledger.state.slices["event"] == {"scheduler": 6}
    records = in_ledger(trunk.ledger.state)
    caused = [records["orxaq-id:1"]] * 3
    assert asked == [[None] * 3, caused, caused], "a cause is named by its record, once that is in the ledger"


def test_ONCE_what_another_node_imported_is_known(tmp_path: Path) -> None:
    event = one(tmp_path, old("1"))
    trunk = Trunk.founded()
    trunk.ledger.state.once["elm/orxaq-id:1"] = Once("9f" * 32, "event.publish", 3, "published", "")
    assert bring([event], trunk.ledger.state, hub(trunk, []), lambda *_: None).known == 1


def test_C3_what_a_reactor_would_answer_is_refused(tmp_path: Path) -> None:
    lines(tmp_path / "a.jsonl", old("1"), old("2", topic="quiet"))
    trunk = Trunk.founded()
    rule = {"on": {"topic": "scheduler", "type": "tick"}, "give": {"command": {"name": "go", "to": "oak"}}}
    refuse_reactions(read(tmp_path).events, trunk.ledger.state)
    reactors(trunk.ledger.state).mappings["follow-ups"] = Rules(1, "9f" * 32, (rule,), "oak")
    with pytest.raises(Refused, match="follow-ups would answer 1 of these"):
        refuse_reactions(read(tmp_path).events, trunk.ledger.state)


# From the command line.


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Near:
    made = Near(tmp_path_factory.mktemp("import"))
    made.found("oak", "elm")
    return made


def test_a_directory_is_imported_once_by_whoever_and_however_often(fleet: Near) -> None:
    folder = fleet.folder / "old"
    lines(folder / "a.jsonl", *(old(f"a{n}") for n in range(20)), *(old(f"b{n}", f"a{n}") for n in range(20)))
    lines(folder / "b.ndjson", old("a1"), old("c", "b7", topic="odd topic"))
    dry = fleet.ok("oak", "import", "--orxaq", "old", "--dry-run")
    assert (dry["imported"], dry["doubles"], dry["pushes"], dry["dry_run"]) == (41, 1, 3, True)
    tip = fleet.tip()
    done = fleet.mesh("oak", "import", "--orxaq", "old")
    assert done.code == 0, done
    assert done.out == "41 events are imported, 1 stood there twice\n"
    assert done.err.splitlines()[-1] == "41 of 41 events imported"
    assert fleet.tip() != tip
    tip = fleet.tip()
    for node in ("oak", "elm"):
        again = fleet.ok(node, "import", "--orxaq", "old")
        assert (again["imported"], again["known"], again["pushes"]) == (0, 41, 0)
    assert fleet.tip() == tip
    tree = fleet.mesh("oak", "trace", fleet_record(fleet, "orxaq-id:b7")).out
    assert tree.count("scheduler") >= 2, tree
    assert "odd-topic" in tree


def fleet_record(fleet: Near, key: str) -> str:
    from orxaq_mesh.mesh import Mesh

    return in_ledger(Mesh.open(str(fleet.home("oak"))).observe().engine.ledger.state)[key]


def test_CLOSED_one_bad_place_stops_all_of_it_unless_it_is_to_be_left_out(fleet: Near) -> None:
    lines(fleet.folder / "bad" / "a.jsonl", old("z1"), "oops\n" * 30, old("z2"))
    tip = fleet.tip()
    done = fleet.mesh("oak", "import", "--orxaq", "bad")
    assert (done.code, done.out) == (2, "")
    assert "bad/a.jsonl, line 2: no JSON" in done.err
    assert "and 10 more" in done.err
    assert "30 places in bad are no events; nothing was imported" in done.err
    assert fleet.tip() == tip
    done = fleet.mesh("oak", "import", "--orxaq", "bad", "--skip-bad")
    assert (done.code, done.out) == (0, "2 events are imported, 30 left out\n")
    assert "bad/a.jsonl, line 2: no JSON" in done.err
    told = fleet.ok("oak", "import", "--orxaq", "bad", "--skip-bad")
    assert (told["known"], told["left_out"], len(told["bad"])) == (2, 30, 20)


def test_a_long_import_shows_a_bar_at_a_terminal_and_goes_through_a_mesh_sync_that_runs(fleet: Near) -> None:
    lines(fleet.folder / "long" / "a.jsonl", *(old(f"l{n}") for n in range(600)))
    log = fleet.folder / "sync.log"
    with log.open("wb") as told, subprocess.Popen(SYNC, env=fleet.env("oak"), stdout=told, stderr=told) as daemon:
        try:
            until(lambda: b"started" in log.read_bytes())
            code, shown = at_a_terminal(fleet, "import", "--orxaq", "long")
        finally:
            daemon.terminate()
    assert code == 0, shown[-300:]
    assert "600 events are imported" in shown
    assert "500/600" in shown
    assert "600/600" in shown


def at_a_terminal(fleet: Near, *words: str) -> tuple[int, str]:
    """The exit code of a command, and all that a terminal was sent."""
    inner, outer = pty.openpty()
    env = {**fleet.env("oak"), "TERM": "xterm", "COLUMNS": "100"}
    shown = b""
    with subprocess.Popen([*MESH, *words], env=env, stdout=outer, stderr=outer, cwd=fleet.folder) as running:
        os.close(outer)
        with contextlib.suppress(OSError):  # how a terminal says that nobody is left at its other end
            while part := os.read(inner, 65536):
                shown += part
        os.close(inner)
        return running.wait(60), shown.decode()


@pytest.mark.parametrize("words", [(), ("a.ndjson", "--orxaq", "old"), ("a.ndjson", "--skip-bad")])
def test_options_that_do_not_go_together_are_told(fleet: Near, words: tuple[str, ...]) -> None:
    assert fleet.mesh("oak", "import", *words).code == 2
