"""The contract in `schemas/`: which values are records and seals, and why one is not.

Knows: the JSON Schemas (2020-12), one a kind, `envelope` and `seal` besides; laws LINE and RULES as far as shape goes.
Knows not: signatures (`keys`), whether a well-formed request may be granted (`kinds`).

A line of the usual make is known by one pattern, made from its schema (`plain`); whatever that does not know,
`jsonschema_rs` decides; `jsonschema` only puts into words what that refused.

    check_record(value)      # None: fits.   "body.ttl_ms: 5 is less than the minimum of 1000": refused (law RULES)
    read_line(line)          # a Record or a Seal, or BadLine

The schemas lie in the package, or beside it in a checkout; this is the one place above the line that reads files,
and only files that are part of the program.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, cast

import orjson

from orxaq_mesh.plain import line_pattern
from orxaq_mesh.record import MAX_LINE_BYTES, BadLine, Record, Seal, Value, canonical, parse_line, to_record, to_seal
from orxaq_mesh.text import clean

MAX_REASON = 300
"""Characters in a reason, at most."""

_MAX_ECHO = 80
_TOLD_BY_DESCRIPTION = ("pattern", "not", "minLength", "maxLength", "minItems", "maxItems", "uniqueItems")
_NO_KINDS = ("envelope", "seal")


def kinds() -> tuple[str, ...]:
    """The names of all kinds that have a schema, sorted."""
    return _kinds()


def document(name: str) -> Value:
    """The schema of a kind, of `envelope` or of `seal`, as its file says it. Not to be changed by the caller.

    Raises:
        KeyError: there is no such schema.
    """
    if name not in _NO_KINDS and name not in _kinds():
        raise KeyError(name)
    return _document(name)


def check_record(value: Value) -> str | None:
    """None where the value fits its kind's schema; else why it is refused, as one plain line.

    A good envelope whose `v` or `kind` is unknown or whose body does not fit is a record, refused under the rules
    in force (law RULES); it stops nobody.

    Raises:
        BadLine: the envelope itself does not fit: this is no record.
    """
    kind = value.get("kind")
    known = isinstance(kind, str) and kind in _kinds()
    if known and _fits(str(kind))(value):
        return None
    if not _fits("envelope")(value):
        raise BadLine("LINE", lambda: "no record: " + _explain("envelope", value))
    if not known:
        return _plain(f"kind: {kind} is unknown to these rules")
    if value["v"] != 1:
        return f"v: {value['v']} of {kind} is unknown to these rules"
    return _explain(str(kind), value)


def fits_body(kind: str, body: Value) -> bool:
    """Whether a record of this kind could have this body, as far as its schema goes."""
    return bool(_fits(kind)({**_document(kind)["examples"][0], "body": body}))


def check_seal(value: Value) -> None:
    """Return where the value is a well-formed seal.

    Raises:
        BadLine: it is not; the message says where and what is allowed.
    """
    if not _fits("seal")(value):
        raise BadLine("LINE", lambda: "no seal: " + _explain("seal", value))


def read_record(line: bytes) -> Record:
    """The record of a line without its newline. Its `flaw` says what `check_record` found.

    Raises:
        BadLine: the line is no record.
    """
    known = _sound(line)
    if known is not None and known["kind"] != "seal":
        return to_record(known, line)
    value = parse_line(line)
    return to_record(value, line, check_record(value))


def read_seal(line: bytes) -> Seal:
    """The seal of a line without its newline.

    Raises:
        BadLine: the line is no seal.
    """
    known = _sound(line)
    if known is not None and known["kind"] == "seal":
        return to_seal(known, line)
    value = parse_line(line)
    check_seal(value)
    return to_seal(value, line)


def read_line(line: bytes) -> Record | Seal:
    """The record or seal of a line without its newline.

    Raises:
        BadLine: the line is neither.
    """
    value = parse_line(line)
    if value.get("kind") == "seal":
        check_seal(value)
        return to_seal(value, line)
    return to_record(value, line, check_record(value))


def _sound(line: bytes) -> Value | None:
    """The value of a line that is plainly a sound record or seal; None says nothing: the validators are asked."""
    if len(line) >= MAX_LINE_BYTES:
        return None
    try:
        value: Value = orjson.loads(line)
        fits = _pattern(value["kind"]).fullmatch(line)
    except (ValueError, KeyError, TypeError):
        return None
    return value if fits and canonical(value) == line else None


@cache
def _folder() -> Path:
    package = Path(__file__).parent
    packed = package / "schemas"
    return packed if packed.is_dir() else package.parent / "schemas"


@cache
def _kinds() -> tuple[str, ...]:
    names = (path.stem for path in _folder().glob("*.json"))
    return tuple(sorted(name for name in names if name not in _NO_KINDS))


@cache
def _document(name: str) -> Value:
    found: Value = orjson.loads((_folder() / f"{name}.json").read_bytes())
    return found


@cache
def _pattern(name: str) -> re.Pattern[bytes]:
    return line_pattern(document(name), _document("envelope"))


@cache
def _fits(name: str) -> Callable[[Any], bool]:
    return cast("Callable[[Any], bool]", _compiled(name).is_valid)


@cache
def _compiled(name: str) -> Any:
    """The compiled schema of a kind, of the envelope or of the seal (importing the compiler takes 30 ms)."""
    import jsonschema_rs

    envelope = _document("envelope")
    registry = jsonschema_rs.Registry([(envelope["$id"], envelope)])
    return jsonschema_rs.Draft202012Validator(_document(name), registry=registry)


@cache
def _explainer(name: str) -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    envelope = Resource.from_contents(_document("envelope"))
    return Draft202012Validator(_document(name), registry=Registry().with_resource(envelope.id() or "", envelope))


def _explain(name: str, value: Value) -> str:
    """Why a value does not fit a schema: path, value and what is allowed.

    Only the first flaw is looked for: a hostile value may have very many, and some are dear to find.
    """
    way = _way_to_flaw(name, value)
    error = next(_explainer(name).iter_errors(_around(value, way)), None)
    if error is None:
        return f"does not fit the schema {name}"
    path = [
        there if isinstance(step, int) and isinstance(there, int) else step
        for step, there in zip_longest(error.absolute_path, way or ())
    ]
    where = ".".join(str(step)[:_MAX_ECHO] for step in path[: len(error.absolute_path)])
    reason = _reason(error)
    return _plain(f"{where}: {reason}" if where else reason)


def _way_to_flaw(name: str, value: Value) -> Sequence[str | int] | None:
    """Where the compiler finds the first flaw; it asks a thousand sound parts before it in no time (law LIVE)."""
    import jsonschema_rs

    try:
        _compiled(name).validate(value)
    except jsonschema_rs.ValidationError as error:
        return error.instance_path
    return None


def _around(value: Any, way: Sequence[str | int] | None) -> Any:
    """The value with no more of its arrays than what lies on the way to a place; None: it lies elsewhere."""
    if isinstance(value, dict):
        return {key: _around(inner, way[1:] if way and way[0] == key else None) for key, inner in value.items()}
    if isinstance(value, list) and way is None:
        return [_around(inner, None) for inner in value[:2]]
    if isinstance(value, list) and way:
        return [_around(value[int(way[0])], way[1:])]
    return value


def _reason(error: Any) -> str:
    shown = repr(error.instance)
    brief = shown if len(shown) <= _MAX_ECHO else shown[:_MAX_ECHO] + "..."
    if error.validator in _TOLD_BY_DESCRIPTION:
        return f"{brief} is not allowed here: want {error.schema['description']}"
    if error.validator == "additionalProperties":
        return f"has a field that is not among {', '.join(error.schema['properties'])}"
    reason: str = error.message.replace(shown, brief)
    return reason


def _plain(text: str) -> str:
    """One line of printable ASCII, for whatever a ledger's author put into it (trap B8)."""
    return clean(text.encode("ascii", "backslashreplace").decode(), limit=MAX_REASON)
