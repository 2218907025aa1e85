"""The proof that one key signed two records for one number: a small file that anyone can check (law CHAIN).

Knows: its form, and how it is checked with nothing but itself: no home, no ledger, no network.
Knows not: what follows from it (`standing`, `kinds.node`), printing.

    lines = proof(mesh, "elm")
    checked = check(lines)               # or InvalidLedger: which line, and why

    {"key":"ssh-ed25519 AAAA...","kind":"proof","ledger":"<64 hex>","log":"elm-028bcf79","seq":12,"v":1}
    <the one record's line>
    <the other's, whose id is higher>
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.errors import InvalidLedger, MeshFault, Usage
from orxaq_mesh.inspect.reading import History, Node, history
from orxaq_mesh.inspect.showing import Shown, write_sshsig
from orxaq_mesh.keys import PublicKey, namespace
from orxaq_mesh.kinds.node import members
from orxaq_mesh.record import HEX64, MAX_LINE_BYTES, BadLine, Record, Value, canonical, parse_line
from orxaq_mesh.schema import read_record
from orxaq_mesh.standing import Finding, is_pair, signature_holds

MAX_PROOF_BYTES = 3 * MAX_LINE_BYTES
_HEADER = {"key": str, "kind": str, "ledger": str, "log": str, "seq": int, "v": int}


class Proof(NamedTuple):
    """A proof that holds: in this ledger, the key of `log` signed `one` and `other` for one seq."""

    ledger: str
    log: str
    key: PublicKey
    one: Record
    other: Record


def pairs(mesh: Node, past: History) -> dict[str, tuple[Record, Record]]:
    """Log -> two records that its key signed for one seq: those in the trunk, and those that an outbox showed."""
    from orxaq_mesh.home.files import read_json_cache

    kept = read_json_cache(mesh.home.cache / "snapshot.json")
    found: dict[str, tuple[Record, Record]] = {}
    with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
        records = [read_record(line.encode()) for line in kept["memo"]["proven"]]
        found = {one.log: (one, other) for one, other in zip(records[::2], records[1::2], strict=True)}
    return found | past.ledger.proven


def proof(mesh: Node, node: str) -> list[bytes]:
    """The lines of the proof against a node, given by its name or its log.

    Raises:
        Usage: nobody bears that name.
        MeshFault: nothing is known against it.
    """
    past = history(mesh)
    known, found = members(past.state).by_log, pairs(mesh, past)
    logs = [log for log, member in known.items() if node in (log, member.name)]
    if not logs:
        raise Usage(f"no node or log {node[:60]!a} is known", hint="mesh node list")
    proven = [log for log in logs if log in found]
    if not proven:
        raise MeshFault(f"no two records of {node} are known that claim one number", hint="mesh divergence")
    log = proven[-1]
    one, other = found[log]
    header = {"key": known[log].key, "kind": "proof", "ledger": past.state.ledger, "log": log, "seq": one.seq, "v": 1}
    lines = [canonical(header), one.line, other.line]
    check(lines, "what this node knows")
    return lines


def read(data: bytes, name: str = "proof") -> Proof:
    """Check the bytes of a proof's file. Nothing is parsed before its size is known to be small.

    Raises:
        InvalidLedger: as `check`.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise _bad(name, 0, f"a proof has at most {MAX_PROOF_BYTES} bytes", "LINE")
    if not data.endswith(b"\n"):
        raise _bad(name, data.count(b"\n") + 1, "the file is cut off, or empty", "LINE")
    return check(data.split(b"\n")[:-1], name)


def check(lines: Sequence[bytes], name: str = "proof") -> Proof:
    """Check a proof by itself.

    Args:
        lines: a header and two records, without newlines.
        name: what to call the file in an error.

    Raises:
        InvalidLedger: it proves nothing, with the line and the reason.
    """
    if len(lines) != 3:
        raise _bad(name, len(lines), f"a proof has 3 lines, and this has {len(lines)}", "LINE")
    header = _header(lines[0], name)
    key = _key(header, name)
    one, other = (_record(line, number, header, name) for number, line in enumerate(lines[1:], 2))
    if not is_pair(one, other):
        raise _bad(name, 3, "both lines are the same record, which proves nothing", "CHAIN")
    if one.id > other.id:
        raise _bad(name, 3, "the record with the lower id comes first", "LINE")
    for number, record in enumerate((one, other), 2):
        if not signature_holds(record.line, key, namespace(header["ledger"])):
            raise _bad(name, number, f"the signature is not {key.fingerprint}'s over this line", "SIG")
    return Proof(header["ledger"], one.log, key, one, other)


def _header(line: bytes, name: str) -> Value:
    try:
        header = parse_line(line)
    except BadLine as bad:
        raise _bad(name, 1, bad.reason, bad.law) from None
    if {field: type(inner) for field, inner in header.items()} != _HEADER:
        raise _bad(name, 1, f"the header of a proof has exactly {', '.join(_HEADER)}", "LINE")
    if (header["kind"], header["v"]) != ("proof", 1) or not HEX64.fullmatch(header["ledger"]):
        raise _bad(name, 1, "this is no header of a proof", "LINE")
    return header


def _key(header: Value, name: str) -> PublicKey:
    try:
        key = PublicKey.parse(header["key"])
    except ValueError as error:
        raise _bad(name, 1, str(error), "SIG") from None
    if header["key"] != key.text:
        raise _bad(name, 1, "the key has another spelling than its own", "SIG")
    if not header["log"].endswith(f"-{key.short}"):
        what = f"the log {header['log'][:60]} is not named after this key, which ends in {key.short}"
        raise _bad(name, 1, what, "CHAIN")
    return key


def _record(line: bytes, number: int, header: Value, name: str) -> Record:
    try:
        record = read_record(line)
    except BadLine as bad:
        raise _bad(name, number, bad.reason, bad.law) from None
    if (record.log, record.seq) != (header["log"], header["seq"]):
        raise _bad(name, number, f"this is seq {record.seq} of {record.log}, and not what the header names", "CHAIN")
    return record


def _bad(name: str, number: int, reason: str, law: str) -> InvalidLedger:
    finding = Finding(law, name, number, reason)
    return InvalidLedger(f"{name}:{number}: {reason}", findings=[finding], hint="this file proves nothing")


def write_sshsigs(known: Proof, directory: Path) -> list[list[str]]:
    """Write what stock ssh-keygen needs into the directories `one` and `other`; the commands that verify them.

    Raises:
        MeshFault: the disk said no.
    """
    commands = []
    for name, record in (("one", known.one), ("other", known.other)):
        space, value = namespace(known.ledger), parse_line(record.line)
        shown = Shown(record.id, value, record.line, record.log, None, None, None, known.key, space, verifies=True)
        commands.append(write_sshsig(shown, directory / name))
    return commands
