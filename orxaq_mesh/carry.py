"""A ledger in one file: what `mesh export` writes and `mesh import` reads, for a stick or a mail.

Knows: the file's form: a header, the ledger's lines as they are, an end that counts and hashes all before it.
Knows not: where the file is, which lines the hub has already, what they mean. Whether a line is authentic is asked
    where it is taken in (`ledger`); here it is only whether it is a line, and whether the file is whole.

    {"kind":"export","ledger":"<64 hex>","v":1}
    {...,"kind":"seal",...}          {...,"kind":"lease.acquire",...}      any number, in any order
    {"kind":"end","lines":2,"sha256":"<of all bytes before this line>"}
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from orxaq_mesh.errors import InvalidLedger
from orxaq_mesh.record import MAX_LINE_BYTES, BadLine, Record, Seal, Value, canonical, parse_line
from orxaq_mesh.schema import read_line
from orxaq_mesh.standing import Finding

HEADER, END = "export", "end"


def written(ledger_id: str, lines: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of an export, piece by piece: header, lines, end."""
    digest, count = hashlib.sha256(), 0
    header = canonical({"kind": HEADER, "ledger": ledger_id, "v": 1}) + b"\n"
    digest.update(header)
    yield header
    for line in lines:
        digest.update(line + b"\n")
        count += 1
        yield line + b"\n"
    yield canonical({"kind": END, "lines": count, "sha256": digest.hexdigest()}) + b"\n"


def read(file: Iterable[bytes], ledger_id: str, name: str) -> Iterator[tuple[int, Record | Seal]]:
    """(line number, record or seal) of an export, as its bytes come in; at the end it is certain that it was whole.

    Args:
        file: its lines, each with its newline, none longer than `MAX_LINE_BYTES`.
        ledger_id: whose it must be.
        name: what to call the file in an error.

    Raises:
        InvalidLedger: it is none, of another ledger, damaged or cut off. Nothing of it may be used then.
    """
    digest, count, number, end = hashlib.sha256(), 0, 0, None
    for number, raw in enumerate(file, 1):
        if end is not None:
            raise _bad(name, number, "something stands behind the end")
        if not raw.endswith(b"\n"):
            raise _bad(name, number, f"the line is cut off, or has more than {MAX_LINE_BYTES} bytes")
        line = raw[:-1]
        if number == 1:
            _check_header(_value(line, name, number), ledger_id, name)
        elif (item := _item(line, name, number)) is not None:
            count += 1
            yield number, item
        else:
            end = _value(line, name, number)
            if end.get("lines") != count or end.get("sha256") != digest.hexdigest():
                raise _bad(name, number, f"it does not hold the {end.get('lines')} lines that were written")
        digest.update(raw)
    if end is None:
        raise _bad(name, number, "its end is missing: the file was cut off" if number else "the file is empty")


def ledger_of(header: bytes) -> str:
    """The id of the ledger that an export's first line names; "" where it is no such line. `read` says what is wrong."""
    try:
        return str(parse_line(header.removesuffix(b"\n")).get("ledger", ""))
    except BadLine:
        return ""


def _check_header(header: Value, ledger_id: str, name: str) -> None:
    if header.get("kind") != HEADER or header.get("v") != 1:
        raise _bad(name, 1, "this is no export of a ledger")
    if header.get("ledger") != ledger_id:
        raise _bad(name, 1, f"it holds ledger {str(header.get('ledger'))[:12]}, and this node is of {ledger_id[:12]}")


def _item(line: bytes, name: str, number: int) -> Record | Seal | None:
    """The record or seal in a line; None: it is the end."""
    if line.startswith(b'{"kind":"end",'):
        return None
    try:
        return read_line(line)
    except BadLine as bad:
        raise _bad(name, number, f"{bad.law}: {bad.reason}", bad.law) from None


def _value(line: bytes, name: str, number: int) -> Value:
    try:
        return parse_line(line)
    except BadLine as bad:
        raise _bad(name, number, f"{bad.law}: {bad.reason}", bad.law) from None


def _bad(name: str, number: int, reason: str, law: str = "LINE") -> InvalidLedger:
    finding = Finding(law, name, number, reason)
    hint = "nothing was taken in; have it written anew: mesh export FILE"
    return InvalidLedger(f"{name}:{number}: {reason}", findings=[finding], hint=hint)
