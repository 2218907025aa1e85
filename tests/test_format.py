"""docs/format.md is enough: a verifier written from that page alone says what this project says, of any ledger."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orxaq_mesh import inspect, kinds
from orxaq_mesh.keys import SecretKey
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import Record, line_id
from orxaq_mesh.schema import read_record
from tests import ed25519_points as curve
from tests import format_page, test_keys
from tests.builder import Pen, Trunk, secret, sign

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


class Crowd:
    """A random ledger: sound and unsound wishes of several nodes, sealed by whoever may."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.trunk = Trunk.founded()
        self.recovery = self.trunk.pen("recovery")
        self.trunk.pens["recovery"] = self.recovery
        self.secrets: dict[str, SecretKey] = {}
        self.newcomers = 0
        self.drafts: list[Record] = []
        self.hit: set[tuple[str, ...]] = set()
        self.high = self.dice.choice(([], [["admin"], ["admin", "node"]]))  # some fleets have one admin
        for name in ("elm", "ash"):
            self.trunk.admit(name, *self.dice.choice((["node"], *self.high)))

    def run(self, epochs: int) -> Trunk:
        for _ in range(epochs):
            self.epoch()
        return self.trunk

    def epoch(self) -> None:
        """One seal over what some logs have to say."""
        self.drafts = []
        known = members(self.trunk.ledger.state).by_log
        may = [pen for pen in self.trunk.pens.values() if pen.log in known and known[pen.log].may_seal()]
        nodes = [pen for pen in may if pen.name != "recovery"]
        by = self.dice.choice(may if self.dice.random() < 0.2 else nodes or may)
        writers = (
            [by] if by is self.recovery else [p for p in self.trunk.pens.values() if self.dice.random() < 0.7] or [by]
        )
        records = [record for pen in writers for record in self.words(pen)]
        if records:
            judged = self.trunk.seal(*records, by=by)
            for item in judged:
                self.heard(item.record, item.verdict)

    def words(self, pen: Pen) -> list[Record]:
        """What a log has to say in this epoch: nothing, if no seal could take it in."""
        member = members(self.trunk.ledger.state).by_log.get(pen.log)
        if member is None and not pen.seq:
            return [pen.hello()]
        if member is None or not member.admitted:
            return []
        return [self.wish(pen) for _ in range(self.dice.choice((1, 1, 2, 3)))]

    def heard(self, record: Record, verdict: kinds.Verdict) -> None:
        self.hit.add((record.kind, *verdict))
        if verdict.result == "rotated":
            name = record.log.rpartition("-")[0]
            keys = self.secrets | {pen.key.public.text: pen.key for pen in self.trunk.pens.values()}
            twin = Pen(name, keys[record.body["key"]], record.id)
            twin.ledger_id, twin.seen = (
                self.trunk.ledger.id,
                (self.trunk.ledger.state.epoch, self.trunk.ledger.state.seal),
            )
            self.trunk.pens[twin.log] = twin

    def wish(self, pen: Pen) -> Record:
        """The next record of a log."""
        kind = self.dice.choice([*kinds.KINDS, *(4 * [k for k in kinds.KINDS if k.startswith("lease.")]), "lease.lend"])
        if pen is self.recovery:
            kind = self.dice.choice(("node.admit", "node.revoke", "event.publish"))
        body = self.body(kind, pen)
        if self.dice.random() < 0.03:
            body.pop(next(iter(body)))
        if self.dice.random() < 0.15 and kind != "lease.lend":
            body["once"] = f"k{self.dice.randrange(4)}"
        envelope: dict[str, Any] = {"v": 2} if self.dice.random() < 0.02 else {}
        if self.dice.random() < 0.04:
            envelope["seen"] = {"epoch": max(0, pen.seen[0] - 3), "seal": "ab" * 32}
        # The builder signs a founding for genesis; a second one is this ledger's, like any record.
        value = json.loads(pen.draft("event.publish", body, **envelope).line) | {"kind": kind}
        value.pop("sig")
        record = read_record(sign(value, pen.key, pen.ledger_id))
        pen.seq, pen.prev = record.seq, record.id
        self.drafts.append(record)
        return record

    def body(self, kind: str, pen: Pen) -> dict[str, Any]:
        family, verb = kind.split(".")
        make: Callable[[str, Pen], dict[str, Any]] = {
            "lease": self.of_lease,
            "node": self.of_node,
            "event": self.of_event,
        }[family]
        return make(verb, pen)

    def key(self) -> str:
        """A fresh key, a known one, or one that no honest tool makes."""
        lot = self.dice.random()
        if lot < 0.15:
            raw = self.dice.choice([curve.encode(point) for point in curve.small_order_points()])
            return test_keys.line_of(raw)
        if lot < 0.35:
            return self.dice.choice(list(self.trunk.pens.values())).key.public.text
        key = secret(f"key {len(self.secrets)}")
        self.secrets[key.public.text] = key
        return key.public.text

    def of_node(self, verb: str, pen: Pen) -> dict[str, Any]:
        dice, known = self.dice, members(self.trunk.ledger.state).by_log
        if verb in ("found", "hello"):
            own = {"name": pen.name, "key": pen.key.public.text}
            return own | ({"recovery": self.key()} if verb == "found" else {})
        if verb == "rotate":
            return {"key": self.key()} if dice.random() < 0.5 else {"key": pen.key.public.text}
        if verb == "revoke":
            logs = [*known, "yew-00000000"]
            heavy = dice.random() < 0.5
            return {"log": dice.choice(logs if heavy else ["yew-00000000", pen.log]), "reason": "lost"}
        roles = dice.choice((["node"], ["observer"], ["node"], *self.high))
        if dice.random() < 0.4:
            member = dice.choice([*known.values(), known[pen.log]])
            return {"name": member.name, "key": member.key, "roles": roles}
        if dice.random() < 0.3:
            return {"name": dice.choice(("oak", "elm", "recovery", "fir")), "key": self.key(), "roles": roles}
        self.newcomers += 1
        newcomer = self.trunk.pen(f"n{self.newcomers}")
        self.trunk.pens[newcomer.name] = newcomer
        newcomer.seen = self.trunk.oak.seen
        return {"name": newcomer.name, "key": newcomer.key.public.text, "roles": roles}

    def of_lease(self, verb: str, pen: Pen) -> dict[str, Any]:
        dice, state = self.dice, self.trunk.ledger.state
        name = dice.choice(("deploy", "db"))
        held = leases(state).by_name.get(name)
        token = (held.token if held and dice.random() < 0.85 else 0) or dice.randrange(1, state.epoch + 2)
        session = held.session if held and held.holder == pen.name and dice.random() < 0.8 else dice.choice("st")
        ttl = dice.choice((60_000, 60_000, 60_000, 90_000, 86_400_001))
        ask = {"ttl_ms": ttl, "until": state.epoch + dice.choice((0, 1, 5, 16, 16))}
        if dice.random() < 0.6:
            ask |= {"queue": dice.random() < 0.8, "priority": dice.randrange(10)}
        body: dict[str, Any] = {"lease": name, "session": session}
        match verb:
            case "acquire":
                body |= ask
            case "renew":
                body |= {"token": token} | ({"ttl_ms": ttl} if dice.random() < 0.5 else {})
            case "release":
                places = [waiter.record for waiter in held.queue if waiter.node == pen.name] if held else []
                named = places or [held.record if held and held.record else "cd" * 32]
                body |= {"record": dice.choice(named)} | ({"token": token} if dice.random() < 0.8 else {})
            case "take":
                last = held.last if held and held.last and dice.random() < 0.8 else "ef" * 32
                asked = [record for record in self.drafts if record.kind == "lease.acquire"]
                if asked and dice.random() < 0.3:  # who sees outboxes may name a grant that is not sealed yet
                    last, token, body["lease"] = asked[-1].id, state.epoch + 1, asked[-1].body.get("lease", name)
                body |= ask | {"token": token, "last": last, "watched_ms": dice.choice((60_000, 90_000, 90_000, 10))}
            case "break":
                body = {"lease": name, "token": token, "reason": "gone"}
        return body

    def of_event(self, verb: str, pen: Pen) -> dict[str, Any]:
        body: dict[str, Any] = {
            "topic": "t",
            "type": "u",
            "payload": {"n": [self.dice.randrange(9), None, "\u2028\x1b"]},
        }
        if self.dice.random() < 0.6:
            named = self.of_lease("renew", pen)
            body["under"] = {"lease": named["lease"], "session": named["session"], "token": named["token"]}
        return body


@given(st.integers(0, 2**32))
@settings(max_examples=8)
def test_SET_two_implementations_agree_on_random_ledgers(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    told = agree(tmp_path_factory.mktemp("ledger"), Crowd(seed).run(14).files)
    assert told["ok"]


@cache
def crowds() -> list[Crowd]:
    found = [Crowd(seed) for seed in range(24)]
    for crowd in found:
        crowd.run(40)
    return found


def test_the_random_ledgers_reach_every_row_of_every_table() -> None:
    rows = {(row.kind, row.outcome, row.rule, row.result) for family in kinds.FAMILIES for row in family.ROWS}
    gate = {("lease.acquire", "refused", "UNTIL", ""), ("event.publish", "fenced", "FENCE", "")}
    gate |= {("lease.acquire", "refused", rule, "") for rule in ("RULES", "NODE-3", "SEEN", "ONCE")}
    missing = (rows | gate) - set().union(*(crowd.hit for crowd in crowds()))
    # What cannot be sealed, or only by the genesis that the builder makes.
    missing -= {("node.found", "applied", "NODE-1", "founded"), ("node.hello", "applied", "NODE-2", "waits")}
    assert not missing


def test_SET_two_implementations_agree_on_long_ledgers(tmp_path: Path) -> None:
    for number, crowd in enumerate(crowds()[:2]):
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
