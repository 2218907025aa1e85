r"""Plain lines: one pattern a schema, whose match proves that a line fits it.

Knows: how the few parts of JSON Schema that `schemas/` uses look as canonical text.
Knows not: files, why a line is refused. A match is proof; no match says nothing, and the validators are asked.
Laws: LINE and RULES, as far as a pattern can tell. `tests/test_plain.py` holds that no match contradicts a validator.

    pattern = line_pattern(document, envelope)
    pattern.fullmatch(line)          # for a line that is JSON and `canonical`: it fits, and its types are allowed
"""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson

from orxaq_mesh.record import MAX_INT, Value

_NEVER = r"(?!)"
_ASCII = r"[ !#-\[\]-~]"
_TEXT = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = rf"(?:{_TEXT}|-?+[0-9]{{1,15}}+(?![0-9])|true|false|null)"
_DEPTH = 2
"""Objects and arrays in a free value (an event's payload) are followed so deep; what is deeper is not plain."""

_SAYS_NOTHING = {"$schema", "$id", "$defs", "title", "description", "examples"}


def line_pattern(document: Value, envelope: Value) -> re.Pattern[bytes]:
    """The pattern of the plain lines of a schema.

    Args:
        document: a kind's schema, which says what it adds to the envelope; or the seal's, which stands alone.
        envelope: the schema that the references lead to.
    """
    fields, defs = dict(document["properties"]), envelope["$defs"] | document.get("$defs", {})
    if "$ref" in document:
        fields = envelope["properties"] | fields
        document = {"type": "object", "required": envelope["required"], "properties": fields}
    return re.compile(_value(document, defs).encode())


def _value(schema: Value, defs: Value) -> str:
    """What a value may look like as canonical text, so that it surely fits."""
    if "$ref" in schema and schema.keys() - {"$ref"} <= _SAYS_NOTHING:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    words = schema.keys() - _SAYS_NOTHING
    if not words:
        return _free(_DEPTH)
    if words in ({"const"}, {"enum"}):
        return _one_of(schema["enum"] if "enum" in schema else [schema["const"]])
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if not words <= {"type"}.union(*(_UNDERSTOOD[_make(type_, schema)] for type_ in types)):
        return _NEVER
    return _either([_make(type_, schema)(schema, defs) for type_ in types])


def _either(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"(?:{'|'.join(texts)})"


def _one_of(values: list[object]) -> str:
    """One of some values; numbers have more than one type that equals them, so of these only a constant will do."""
    if len(values) > 1 and not all(isinstance(value, str) for value in values):
        return _NEVER
    return _either([re.escape(orjson.dumps(value).decode()) for value in values])


def _free(depth: int) -> str:
    """Any value that law LINE allows, at most so deep. The line is JSON, so commas need no care."""
    if not depth:
        return _SCALAR
    inner = _free(depth - 1)
    return rf'(?:{_SCALAR}|\{{(?:"{_ASCII}*+":{inner},?+)*+\}}|\[(?:{inner},?+)*+\])'


def _integer(schema: Value, _: Value) -> str:
    least, most = schema["minimum"], schema.get("maximum", MAX_INT)
    zero, minus = "0|" if least <= 0 else "", f"-{_digits(1, -least)}|" if least < 0 else ""
    return f"(?:{zero}{minus}{_digits(max(1, least), most)})"


def _digits(least: int, most: int) -> str:
    """By the number of digits alone: the lengths of which every number lies within the bounds."""
    fewest = len(str(least - 1)) + 1 if least > 1 else 1
    longest = len(str(most + 1)) - 1
    return f"[1-9][0-9]{{{fewest - 1},{longest - 1}}}+" if fewest <= longest else _NEVER


def _string(schema: Value, _: Value) -> str:
    """A string as its pattern says, else printable ASCII; in neither is a quote or an escape."""
    bounds = f"{{{schema.get('minLength', 0)},{schema['maxLength']}}}"
    if "pattern" not in schema:
        return f'"{_ASCII}{bounds}+"'
    pattern = schema["pattern"].removeprefix("^").removesuffix("$").replace("(", "(?:")
    open_ended = re.search("[*+]", re.sub(r"\[.*?\]", "", pattern))
    within = f'(?={_ASCII}{bounds}")' if open_ended else ""
    return f'"{within}{pattern}"'


def _array(schema: Value, defs: Value) -> str:
    least, item = schema.get("minItems", 0), _value(schema["items"], defs)
    some = f"{item}(?:,{item}){{{max(0, least - 1)},{schema['maxItems'] - 1}}}+"
    return rf"\[{some}\]" if least else rf"\[(?:{some})?+\]"


def _object(schema: Value, defs: Value) -> str:
    """Fields in sorted order. An optional one brings its comma: behind it before the first required one, else before.

    Where none is required the line, which is JSON, has its commas right.
    """
    text, comma, required = "", "", schema.get("required", ())
    for name, inner in sorted(schema["properties"].items()):
        field = f'"{name}":{_value(inner, defs)}'
        if name in required:
            text, comma = f"{text}{comma}{field}", ","
        else:
            text += f"(?:,{field})?" if comma else f"(?:{field},)?" if required else f"(?:{field},?+)?"
    return rf"\{{{text}\}}"


def _map(schema: Value, defs: Value) -> str:
    member = f"{_value(schema['propertyNames'], defs)}:{_value(schema['additionalProperties'], defs)}"
    return rf"\{{{member}(?:,{member}){{0,{schema['maxProperties'] - 1}}}+\}}"


_Make = Callable[[Value, Value], str]


def _make(type_: str, schema: Value) -> _Make:
    """Who knows what a value of this type looks like."""
    if type_ == "object" and "properties" not in schema:
        return _map if "propertyNames" in schema else _never
    return _MAKE.get(type_, _never)


def _never(*_: Value) -> str:
    return _NEVER


_MAKE: dict[str, _Make] = {
    "boolean": lambda *_: "(?:true|false)",
    "null": lambda *_: "null",
    "integer": _integer,
    "string": _string,
    "array": _array,
    "object": _object,
}
# What each of them heeds. `not` only ever forbids a newline, and no JSON text has one inside a string.
_UNDERSTOOD: dict[_Make, set[str]] = {
    _MAKE["boolean"]: set(),
    _MAKE["null"]: set(),
    _integer: {"maximum", "minimum"},
    _string: {"maxLength", "minLength", "not", "pattern"},
    _array: {"items", "maxItems", "minItems"},
    _object: {"additionalProperties", "properties", "required"},
    _map: {"additionalProperties", "maxProperties", "minProperties", "propertyNames"},
    _never: set(),
}
