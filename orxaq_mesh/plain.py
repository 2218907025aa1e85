r"""Plain lines: one pattern a schema, whose match proves that a line fits it.

Knows: how the few parts of JSON Schema that `schemas/` uses look as canonical text.
Knows not: files, why a line is refused. A match is proof; no match says nothing, and the validators are asked.
Laws: LINE and RULES, as far as a pattern can tell. `tests/test_plain.py` holds that no match contradicts a validator.

    pattern = line_pattern(document, envelope)
    pattern.fullmatch(line)          # for a line that is JSON and `canonical`: it fits, and its types are allowed
"""

from __future__ import annotations

import re

import orjson

from orxaq_mesh.record import MAX_INT, Value

_NEVER = r"(?!)"
_ASCII = r"[ !#-\[\]-~]"
_TEXT = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_SCALAR = rf"(?:{_TEXT}|-?+[0-9]{{1,15}}+(?![0-9])|true|false|null)"
_DEPTH = 2
"""Objects and arrays in a free value (an event's payload) are followed so deep; what is deeper is not plain."""

_SAYS_NOTHING = {"$schema", "$id", "$defs", "title", "description", "examples"}
# `not` only ever forbids a newline, and no JSON text has one inside a string.
_UNDERSTOOD = _SAYS_NOTHING | set(
    "additionalProperties const maxLength maximum maxProperties minLength minimum minProperties not pattern properties "
    "propertyNames required type".split()
)


def line_pattern(document: Value, envelope: Value) -> re.Pattern[bytes]:
    """The pattern of the plain lines of a schema.

    Args:
        document: a kind's schema, which says what it adds to the envelope; or the seal's, which stands alone.
        envelope: the schema that the references lead to.
    """
    fields = dict(document["properties"])
    if "$ref" in document:
        fields = envelope["properties"] | fields
        document = {"type": "object", "required": envelope["required"], "properties": fields}
    return re.compile(_value(document, envelope["$defs"]).encode())


def _value(schema: Value, defs: Value) -> str:
    """What a value may look like as canonical text, so that it surely fits."""
    if "$ref" in schema and schema.keys() - {"$ref"} <= _SAYS_NOTHING:
        schema = defs[schema["$ref"].rpartition("/")[2]]
    if not schema.keys() <= _UNDERSTOOD:
        return _NEVER
    if schema.keys() <= _SAYS_NOTHING:
        return _free(_DEPTH)
    if "const" in schema:
        return re.escape(orjson.dumps(schema["const"]).decode())
    match schema.get("type"):
        case "boolean":
            return "(?:true|false)"
        case "integer":
            return _integer(schema["minimum"], schema.get("maximum", MAX_INT))
        case "string":
            return _string(schema)
        case "object" if "propertyNames" in schema:
            return _map(schema, defs)
        case "object" if "properties" in schema:
            return _object(schema, defs)
    return _NEVER


def _free(depth: int) -> str:
    """Any value that law LINE allows, at most so deep. The line is JSON, so commas need no care."""
    if not depth:
        return _SCALAR
    inner = _free(depth - 1)
    return rf'(?:{_SCALAR}|\{{(?:"{_ASCII}*+":{inner},?+)*+\}}|\[(?:{inner},?+)*+\])'


def _integer(least: int, most: int) -> str:
    """By the number of digits alone: the lengths of which every number lies within the bounds."""
    fewest = len(str(least - 1)) + 1 if least > 1 else 1
    digits = f"[1-9][0-9]{{{fewest - 1},{len(str(most + 1)) - 2}}}+"
    return f"(?:0|{digits})" if least == 0 else digits


def _string(schema: Value) -> str:
    """A string as its pattern says, else printable ASCII; in neither is a quote or an escape."""
    bounds = f"{{{schema.get('minLength', 0)},{schema['maxLength']}}}"
    if "pattern" not in schema:
        return f'"{_ASCII}{bounds}+"'
    pattern = schema["pattern"].removeprefix("^").removesuffix("$").replace("(", "(?:")
    open_ended = re.search("[*+]", re.sub(r"\[.*?\]", "", pattern))
    within = f'(?={_ASCII}{bounds}")' if open_ended else ""
    return f'"{within}{pattern}"'


def _object(schema: Value, defs: Value) -> str:
    """Fields in sorted order. An optional one brings its comma: behind it before the first required one, else before."""
    text, comma = "", ""
    for name, inner in sorted(schema["properties"].items()):
        field = f'"{name}":{_value(inner, defs)}'
        if name in schema["required"]:
            text, comma = f"{text}{comma}{field}", ","
        else:
            text += f"(?:,{field})?" if comma else f"(?:{field},)?"
    return rf"\{{{text}\}}"


def _map(schema: Value, defs: Value) -> str:
    member = f"{_value(schema['propertyNames'], defs)}:{_value(schema['additionalProperties'], defs)}"
    return rf"\{{{member}(?:,{member}){{0,{schema['maxProperties'] - 1}}}+\}}"
