"""The recorded ledger beside the code: every signature, the digest that is written down, stock ssh-keygen."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect import verify
from orxaq_mesh.keys import PublicKey, allowed_signers, armored, namespace
from orxaq_mesh.kinds.node import members
from orxaq_mesh.ledger import Ledger, Reading
from orxaq_mesh.record import log_place, unsigned
from orxaq_mesh.store import Change
from tools.record_ledger import record

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT / "ledger"


def fact(readme: str, name: str) -> str:
    """A value of the README's first table."""
    found = re.search(rf"^\| {re.escape(name)} \| `?([^`|]+?)`? \|$", readme, re.MULTILINE)
    assert found, name
    return found[1]


def files(folder: Path) -> Iterator[Change]:
    for file in sorted(folder.rglob("*.ndjson")):
        yield Change(f"ledger/{file.relative_to(folder).as_posix()}", None, file.read_bytes())


def replay(folder: Path) -> tuple[Ledger, Reading]:
    ledger = Ledger()
    ledger.signatures = "every"
    return ledger, ledger.read(files(folder))


@pytest.fixture(scope="module")
def readme() -> str:
    return (RECORDED / "README.md").read_text("utf-8")


@pytest.fixture(scope="module")
def told() -> tuple[Ledger, Reading]:
    return replay(RECORDED)


def test_SIG_every_signature_of_the_recorded_ledger_stands(readme: str) -> None:
    report = verify(None, RECORDED, ledger=fact(readme, "ledger"), every_signature=True)
    assert report.findings == ()
    assert (report.ok, report.pinned) == (True, True)
    assert fact(readme, "records, seals") == f"{report.records}, {report.seals}"


def test_DIGEST_it_replays_to_what_is_written_down(readme: str, told: tuple[Ledger, Reading]) -> None:
    ledger, reading = told
    assert reading.findings == []
    assert ledger.state.digest == fact(readme, "state (the running digest there, law DIGEST)")
    assert str(ledger.state.epoch) == fact(readme, "last epoch")
    assert reading.seals[-1].state == ledger.state.digest


def test_its_readme_explains_every_line_and_no_other(readme: str, told: tuple[Ledger, Reading]) -> None:
    explained = re.findall(
        r"^\| (\d+) \[(\w+)\] \| `([\w.]+)` `(\w{12})`<br>line (\d+) of `(\S+)` \| (\w+)", readme, re.MULTILINE
    )
    assert [row(item, told[1]) for item in told[1].judged] == [tuple(found) for found in explained]
    listed = dict(re.findall(r"^\| `(ledger/\S+)` \| (\d+) \|", readme, re.MULTILINE))
    assert listed == {change.path: str((change.new or b"").count(b"\n")) for change in files(RECORDED)}


def row(item: Judged, reading: Reading) -> tuple[str, ...]:
    sealer = next(seal.log for seal in reading.seals if seal.epoch == item.epoch).rpartition("-")[0]
    line = str(log_place(item.record.log, item.record.seq).line)
    return (str(item.epoch), sealer, item.record.kind, item.record.id[:12], line, item.record.log, item.verdict.outcome)


def test_it_tells_the_whole_story(told: tuple[Ledger, Reading]) -> None:
    seen = {(item.record.kind, item.verdict.outcome, item.verdict.result) for item in told[1].judged}
    assert {
        ("node.found", "applied", "founded"),
        ("node.admit", "applied", "admitted"),
        ("lease.acquire", "applied", "granted"),
        ("lease.acquire", "applied", "queued"),
        ("lease.acquire", "refused", ""),
        ("lease.renew", "applied", "renewed"),
        ("lease.release", "applied", "released"),
        ("lease.take", "applied", "granted"),
        ("lease.break", "applied", "broken"),
        ("event.publish", "fenced", ""),
        ("node.rotate", "applied", "rotated"),
        ("node.revoke", "applied", "revoked"),
    } <= seen


def test_FENCE_its_tokens_only_grow(told: tuple[Ledger, Reading]) -> None:
    tokens = [item.record.body["under"]["token"] for item in told[1].judged if acted(item)]
    assert tokens == sorted(tokens)
    assert len(set(tokens)) > 3


def acted(item: Judged) -> bool:
    return item.verdict.outcome == "applied" and "under" in item.record.body


def test_SIG_stock_ssh_keygen_agrees_on_a_record_and_a_seal(told: tuple[Ledger, Reading], tmp_path: Path) -> None:
    ledger, reading = told
    fenced = next(item.record for item in reading.judged if item.verdict.outcome == "fenced")
    for item in (fenced, reading.seals[-1]):
        value = orjson.loads(item.line)
        key = PublicKey.parse(members(ledger.state).by_log[item.log].key)
        space = namespace(ledger.state.ledger)
        (tmp_path / "signers").write_text(allowed_signers(item.log, key, space))
        (tmp_path / "sig").write_bytes(armored(key, space, value["sig"]))
        argv = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", item.log, "-n", space, "-s", "sig"]
        good = subprocess.run(argv, input=unsigned(value), capture_output=True, cwd=tmp_path, check=False)
        bad = subprocess.run(argv, input=unsigned(value) + b" ", capture_output=True, cwd=tmp_path, check=False)
        assert (good.returncode, bad.returncode) == (0, 255), (good, bad)


def test_CHAIN_one_changed_byte_is_found_in_its_line(tmp_path: Path) -> None:
    shutil.copytree(RECORDED, tmp_path / "ledger")
    file = next((tmp_path / "ledger" / "nodes").glob("oak-*/000000/*.ndjson"))
    lines = file.read_bytes().split(b"\n")
    at = lines[4].index(b'"version":"1.4.2"') + len(b'"version":"')
    lines[4] = lines[4][:at] + b"2" + lines[4][at + 1 :]
    file.write_bytes(b"\n".join(lines))
    report = verify(None, tmp_path)
    assert not report.ok
    assert (file.relative_to(tmp_path).as_posix(), 5) in {(finding.file, finding.line) for finding in report.findings}


def test_QUIET_nothing_of_the_machine_that_recorded_it_is_in_it(told: tuple[Ledger, Reading]) -> None:
    for item in told[1].judged:
        said = [text for text in strings(item.record.body) if not text.startswith("ssh-ed25519 ")]
        assert all(re.fullmatch(r"[A-Za-z0-9 .,:-]*", text) for text in said), said


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from strings(inner)


def test_the_tool_records_such_a_ledger_anew(tmp_path: Path, readme: str) -> None:
    record(tmp_path / "ledger", ttl_ms=1000)
    ledger, reading = replay(tmp_path / "ledger")
    assert reading.findings == []
    written = (tmp_path / "ledger" / "README.md").read_text("utf-8")
    assert fact(written, "ledger") == ledger.state.ledger != fact(readme, "ledger")
    assert fact(written, "state (the running digest there, law DIGEST)") == ledger.state.digest
