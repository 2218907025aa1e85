"""Records and seals: one canonical line each, and the value behind it.

Knows: the byte form (law LINE), ids, the envelope's fields, where a line lies in the ledger's tree.
Knows not: keys and signatures (`keys`), what a body means (`kinds`), where bytes come from (`store`).

A line of a log, spread out (on disk it is one line):

    {"at":"2026-11-20T09:30:00.000Z","body":{"lease":"deploy","session":"claude-1","ttl_ms":600000,"until":57},
     "kind":"lease.acquire","node":"oak-3f9a01c2","prev":"<64 hex>","seen":{"epoch":41,"seal":"<64 hex>"},
     "seq":12,"sig":"<base64>","v":1}
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson

MAX_LINE_BYTES = 64 * 1024
MAX_INT = 2**53 - 1
MAX_DEPTH = 16
NOTHING = "0" * 64
"""Stands where a log or the spine has no predecessor."""

SEGMENT_LINES = 32
FOLDER_SEGMENTS = 128

MAX_NAME = 40
NODE_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")
LOG_NAME = re.compile(NODE_NAME.pattern + r"-[0-9a-f]{8}")
HEX64 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(
    r"ledger/(?:epochs|nodes/(?P<log>[a-z0-9._-]{1,60}))/(?P<folder>[0-9]{6})/(?P<first>[0-9]{10})\.ndjson"
)
# In canonical text a number outside of arrays stands behind `":`. Where this finds nothing there is no float and no
# integer of 16 digits or more; a hit inside a string only sends the line on to the full walk.
_SUSPECT_NUMBER = re.compile(rb'":-?[0-9]+(?:[.eE]|(?<=[0-9]{16}))')

Value = dict[str, Any]


class BadLine(ValueError):
    """These bytes are no record and no seal; the message says which law they break and how."""

    def __init__(self, law: str, reason: str | Callable[[], str]) -> None:
        super().__init__()
        self.law, self._reason = law, reason

    @property
    def reason(self) -> str:
        """Which way; put into words only where it is asked for, for that may take longer than all else (law LIVE)."""
        if not isinstance(self._reason, str):
            self._reason = self._reason()
        return self._reason

    def __str__(self) -> str:
        return self.reason


class Record(NamedTuple):
    """One line of a node's log. `flaw` says why no kind of the rules in force can judge it, else None."""

    id: str
    log: str
    seq: int
    prev: str
    kind: str
    body: Value
    seen_epoch: int
    seen_seal: str
    at: str
    line: bytes
    flaw: str | None = None


class Seal(NamedTuple):
    """One line of the spine: closes `epoch` and takes in the logs up to `heads` (log -> (seq, id)).

    Attributes:
        over: the orphaned tip of another side, whose records go first and whose epochs are skipped (law EPOCH).
        proofs: log -> the ids of two records that its key signed for one seq: it is suspended from here on.
    """

    id: str
    log: str
    epoch: int
    parent: str
    heads: dict[str, tuple[int, str]]
    rules: int
    state: str
    over: str | None
    at: str
    line: bytes
    proofs: dict[str, tuple[str, str]] = {}  # noqa: RUF012 - never changed


def canonical(value: Mapping[str, Any]) -> bytes:
    """The one byte form of a value, without the newline (law LINE; equals RFC 8785 for the types allowed)."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def line_id(line: bytes) -> str:
    """The id of a record or seal: sha256 of its line without the newline, as 64 hex digits."""
    return hashlib.sha256(line).hexdigest()


def parse_line(line: bytes) -> Value:
    """The value behind a line (without its newline), if the line is its one canonical form.

    Raises:
        BadLine: law LINE, with the reason.
    """
    if len(line) >= MAX_LINE_BYTES:
        raise BadLine("LINE", f"the line has more than {MAX_LINE_BYTES} bytes")
    try:
        value = orjson.loads(line)
    except ValueError as error:
        raise BadLine("LINE", f"not JSON: {error}") from None
    if type(value) is not dict:
        raise BadLine("LINE", "not a JSON object")
    if not _plainly_allowed(line) and (flaw := type_flaw(value)):
        raise BadLine("LINE", flaw)
    if canonical(value) != line:
        raise BadLine("LINE", "not in canonical form (sorted keys, no spaces, each key once, shortest escapes)")
    return value


def _plainly_allowed(line: bytes) -> bool:
    """Whether a look at the bytes already shows what `type_flaw` would: ASCII, shallow, small integers, no array."""
    return line.isascii() and b"[" not in line and line.count(b"{") <= MAX_DEPTH and not _SUSPECT_NUMBER.search(line)


def type_flaw(value: Any, path: str = "", depth: int = 1) -> str | None:
    """The first thing in a parsed value that law LINE forbids, with its path, or None.

    Allowed are objects with ASCII keys, arrays, strings, booleans, null and integers within +-(2^53-1), at most
    16 deep. Exact types are asked for: a schema's `integer` would take 1.0.
    """
    found = _flaw(value, depth)
    if found is None:
        return None
    where = f"{path}{found[0]}".removeprefix(".")
    return f"{where or '.'}: {found[1]}"


def _flaw(value: Any, depth: int) -> tuple[str, str] | None:
    """(path, reason). The path is put together on the way out, so that a good value pays for none."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return None
    if kind is int:
        return None if -MAX_INT <= value <= MAX_INT else ("", "integer beyond +-(2^53-1)")
    if kind is float:
        return "", "a number with a fraction or an exponent"
    if kind is not dict and kind is not list:
        return "", f"{kind.__name__} is not a JSON type"
    if depth > MAX_DEPTH:
        return "", f"more than {MAX_DEPTH} deep"
    for key, inner in value.items() if kind is dict else enumerate(value):
        if kind is dict and not (type(key) is str and key.isascii()):
            return "", "a key that is not ASCII"
        if found := _flaw(inner, depth + 1):
            return (f".{ascii(key)[1:-1][:MAX_NAME]}" if kind is dict else f"[{key}]") + found[0], found[1]
    return None


def unsigned(value: Value) -> bytes:
    """The canonical line without `sig`: the bytes that the signature is over (law SIG)."""
    return canonical({key: inner for key, inner in value.items() if key != "sig"})


def to_record(value: Value, line: bytes, flaw: str | None = None) -> Record:
    """The record behind a value whose envelope the schema has found good."""
    seen = value["seen"]
    return Record(
        hashlib.sha256(line).hexdigest(),
        value["node"],
        value["seq"],
        value["prev"],
        value["kind"],
        value["body"],
        seen["epoch"],
        seen["seal"],
        value["at"],
        line,
        flaw,
    )


def to_seal(value: Value, line: bytes) -> Seal:
    """The seal behind a value that the schema has found good."""
    heads = {log: (head["seq"], head["id"]) for log, head in value["heads"].items()}
    return Seal(
        hashlib.sha256(line).hexdigest(),
        value["node"],
        value["epoch"],
        value["parent"],
        heads,
        value["rules"],
        value["state"],
        value.get("over"),
        value["at"],
        line,
        {log: (pair[0], pair[1]) for log, pair in value["proofs"].items()} if "proofs" in value else {},
    )


class Place(NamedTuple):
    """Where a line lies in the tree: file and line number from 1 (as long as no seq has two variants)."""

    file: str
    line: int


def log_place(log: str, seq: int) -> Place:
    """Where record `seq` of a log lies: segments of 32 lines, 128 segments a folder."""
    return _place(f"ledger/nodes/{log}", seq)


def epoch_place(epoch: int) -> Place:
    """Where the seal of an epoch lies."""
    return _place("ledger/epochs", epoch)


def _place(root: str, number: int) -> Place:
    segment, offset = divmod(number - 1, SEGMENT_LINES)
    first = segment * SEGMENT_LINES + 1
    return Place(f"{root}/{segment // FOLDER_SEGMENTS:06}/{first:010}.ndjson", offset + 1)


def parse_path(path: str) -> tuple[str | None, int] | None:
    """(log, or None for the spine; first number) of a segment's path; None where the path is none of ours."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    log, first = found["log"], int(found["first"])
    expected = log_place(log, first) if log else epoch_place(first)
    return (log, first) if first and expected == (path, 1) else None
