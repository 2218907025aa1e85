"""docs/format.md is enough: a verifier written from that page alone says what this project says, of any ledger."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh import inspect, kinds
from orxaq_mesh.record import line_id
from tests import format_page, test_keys
from tests.builder import Trunk
from tests.crowd import Crowd
from tests.twins import Twins

ROOT = Path(__file__).resolve().parent.parent
VERIFIER = ROOT / "tests" / "verifier"
sys.path.insert(0, str(VERIFIER))

import lines as page_lines  # noqa: E402
import signatures as page_signatures  # noqa: E402
from verify import verify  # noqa: E402

# The page itself.


def test_the_page_says_what_the_code_says() -> None:
    page = format_page.PAGE.read_text("utf-8")
    assert page == format_page.written(page), "python -m tests.format_page writes the made parts anew"


def test_the_page_defines_every_case_and_every_result() -> None:
    page = format_page.PAGE.read_text("utf-8")
    for family in kinds.FAMILIES:
        assert all(f"\n| {case} | " in page.split("### The cases")[1] for case in family.CASES)
        assert all(f"\n| {row.result} | " in page.split("### The effects")[1] for row in family.ROWS if row.result)


def test_the_verifier_is_independent() -> None:
    own = {path.stem for path in VERIFIER.glob("*.py")}
    for path in VERIFIER.glob("*.py"):
        words = [line.split() for line in path.read_text("utf-8").splitlines() if line.startswith(("import ", "from "))]
        assert {word[1].partition(".")[0] for word in words} <= own | set(sys.stdlib_module_names)


# Two implementations, one answer.


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def agree(folder: Path, files: dict[str, bytes]) -> dict[str, Any]:
    """What both say of these files; a failure if they differ."""
    theirs = verify(put(folder, files))
    ledger, reading = Trunk().read_anew(files)
    ours = {item.record.id: list(item.verdict) for item in reading.judged}
    assert theirs["verdicts"] == ours, theirs["findings"]
    assert (theirs["state"], theirs["epoch"]) == (ledger.state.digest, ledger.state.epoch)
    assert theirs["ledger"] == ledger.state.ledger
    everything = format_page.whole_of(files)
    assert theirs["tip"] == ledger.state.seal == everything.state.seal
    assert theirs["final"] == everything.spine.final()
    assert theirs["orphans"] == len(everything.spine.stood) - len(everything.spine.chain)
    assert theirs["waiting"] == sorted(ledger.waiting)
    assert theirs["next"] == {log: [record.id for record in run] for log, run in ledger.sealable().items()}
    report = inspect.verify(None, folder)
    assert theirs["ok"] == report.ok, (theirs["findings"], report.findings)
    return theirs


def test_the_worked_example_is_what_the_verifier_finds(tmp_path: Path) -> None:
    trunk = format_page.story()
    put(tmp_path, trunk.files)
    argv = [sys.executable, str(VERIFIER / "verify.py"), str(tmp_path)]
    ran = subprocess.run(argv, capture_output=True, timeout=60, check=True)
    told = json.loads(ran.stdout)
    assert told["ok"]
    assert told["state"] in format_page.PAGE.read_text("utf-8")
    assert told["state"] == trunk.ledger.state.digest
    assert told["verdicts"] == {id_: list(verdict) for id_, verdict in trunk.verdicts.items()}


def test_the_recorded_ledger_reads_the_same(tmp_path: Path) -> None:
    files = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in (ROOT / "ledger").rglob("*.ndjson")}
    told = agree(tmp_path, files)
    assert told["ok"]
    assert told["state"] in (ROOT / "ledger" / "README.md").read_text("utf-8")


@given(st.integers(0, 2**32))
@settings(max_examples=8)
def test_SET_two_implementations_agree_on_random_ledgers(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    told = agree(tmp_path_factory.mktemp("ledger"), Crowd(seed, reviewed=seed % 2 == 1).run(14).files)
    assert told["ok"]


@cache
def crowds() -> list[Crowd]:
    found = [Crowd(seed) for seed in range(24)] + [Crowd(seed, reviewed=True) for seed in range(24, 28)]
    for crowd in found:
        crowd.run(40)
    return found


@cache
def twins() -> list[Twins]:
    """Fleets at work, judged by both record by record: a difference fails here."""
    return [Twins(seed).run(90) for seed in range(40)] + [Twins(seed, reviewed=True).run(90) for seed in range(40, 60)]


def test_SET_two_implementations_agree_on_random_work() -> None:
    assert sum(sum(one.hit.values()) for one in twins()) > 10_000


def test_the_random_ledgers_reach_every_row_of_every_table() -> None:
    rows = {(row.kind, row.outcome, row.rule, row.result) for family in kinds.FAMILIES for row in family.ROWS}
    gate = {("lease.acquire", "refused", "UNTIL", ""), ("event.publish", "fenced", "FENCE", "")}
    gate |= {("lease.acquire", "refused", rule, "") for rule in ("RULES", "NODE-3", "SEEN", "ONCE")}
    missing = (rows | gate) - set().union(*(crowd.hit for crowd in crowds()), *(one.hit for one in twins()))
    missing -= {(kind, "refused", "REVIEW-5", "") for kind in kinds.KINDS}  # test_format_review goes to the limits
    # What cannot be sealed, or only by the genesis that the builder makes.
    missing -= {("node.found", "applied", "NODE-1", "founded"), ("node.hello", "applied", "NODE-2", "waits")}
    assert not missing


def test_SET_two_implementations_agree_on_long_ledgers(tmp_path: Path) -> None:
    for number, crowd in enumerate([*crowds()[:2], crowds()[-1]]):
        assert agree(tmp_path / str(number), crowd.trunk.files)["ok"]


@given(st.integers(0, 2**32))
@settings(max_examples=20)
def test_LINE_two_implementations_agree_on_damage(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    dice = random.Random(seed)
    files = dict(Crowd(seed % 5).run(4).files)
    path = dice.choice(sorted(files))
    files[path] = damaged(files[path], dice)
    told = agree(tmp_path_factory.mktemp("ledger"), {path: data for path, data in files.items() if data is not None})
    assert not told["ok"]


def damaged(data: bytes, dice: random.Random) -> bytes:
    """One byte flipped, one line gone, doubled or moved, or a torn end."""
    lines = data.split(b"\n")[:-1]
    at = dice.randrange(len(lines))
    match dice.randrange(5):
        case 0:
            place = dice.randrange(len(data))
            return data[:place] + bytes([data[place] ^ 1 << dice.randrange(8)]) + data[place + 1 :]
        case 1 if at + 1 < len(lines):  # without its last seal a ledger is in order, only older (law SEEN)
            del lines[at]
        case 2:
            lines.insert(at, lines[at])
        case 3 if len(lines) > 1:
            lines.insert(0, lines.pop())
        case _:
            return data[:-1]
    return b"".join(line + b"\n" for line in lines)


# Lines and signatures at the edge.


VECTORS = json.loads((ROOT / "tests" / "vectors" / "lines.json").read_text("ascii"))


def vector(item: dict[str, str]) -> bytes:
    return bytes.fromhex(item["hex"]) if "hex" in item else item["text"].encode()


@pytest.mark.parametrize("item", VECTORS["accepted"], ids=lambda item: item["name"])
def test_LINE_the_verifier_takes_what_is_canonical(item: dict[str, str]) -> None:
    line = vector(item)
    assert page_lines.canonical(page_lines.parse(line)) == line
    assert page_lines.sha256(line) == line_id(line)


@pytest.mark.parametrize("item", VECTORS["refused"], ids=lambda item: item["name"])
def test_LINE_the_verifier_refuses_what_is_not(item: dict[str, str]) -> None:
    with pytest.raises(page_lines.Unsound):
        page_lines.parse(vector(item))


def test_B3_the_verifier_draws_libsodiums_line() -> None:
    data = page_signatures.signed_data("ab" * 32, test_keys.MESSAGE)
    assert data == test_keys.signed_data(test_keys.SPACE, test_keys.MESSAGE)
    own = test_keys.KEY.public.raw
    for name, key, raw in test_keys.edge_cases():
        text = test_keys.line_of(key)
        whole = page_signatures.sound(text) is not None
        assert whole == (key == own), name
        expected = whole and test_keys.libsodium_says(key, data, raw)
        assert page_signatures.verifies(text, data, raw) == expected, name
