"""What docs/format.md says of bodies, in its own words, from the schemas.

print(bodies()); print(objects())        # two tables
"""

from __future__ import annotations

from typing import Any

from orxaq_mesh import kinds
from orxaq_mesh.schema import document

_FORMS = {"hex64": "hex64", "hex32": "hex32", "hex16": "hex16", "publicKey": "public key", "nodeName": "node name"}
_FORMS |= {"log": "log name", "name": "name", "once": "once", "reason": "reason"}
_FORMS |= {"dagName": "DAG name", "taskName": "task name", "taskPath": "task path", "stepName": "step name"}
_FORMS |= {"capability": "capability", "task": "task", "step": "step", "rule": "rule"}
_FORMS |= {"ruleName": "rule name", "namePattern": "pattern"}
_OF = {"dag.submit": ("task", "step"), "reactor.publish": ("rule",)}
"""Where the objects are defined that bodies hold."""


def bodies() -> str:
    rows = ["| kind | key | needed | is |", "|---|---|---|---|"]
    for kind in kinds.KINDS:
        rows += _rows(kind, document(kind)["properties"]["body"])
    return "\n".join(rows)


def objects() -> str:
    rows = ["| object | key | needed | is |", "|---|---|---|---|"]
    for kind, names in _OF.items():
        for name in names:
            rows += _rows(name, document(kind)["$defs"][name])
    return "\n".join(rows)


def _rows(name: str, schema: dict[str, Any]) -> list[str]:
    fields = enumerate(schema["properties"].items())
    return [
        f"| {f'`{name}`' if not number else ''} | `{key}` | {'yes' if key in schema['required'] else ''} | {form(of)} |"
        for number, (key, of) in fields
    ]


def form(schema: dict[str, Any]) -> str:
    """One field of a body in the page's words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return _FORMS.get(name) or form(document("envelope")["$defs"][name])
    if "enum" in schema:
        return f"one of {_listed(schema['enum'])}"
    match schema.get("type"):
        case "integer" | ["integer", "null"] as of:
            return _number(schema) + ("" if of == "integer" else ", or `null`")
        case "boolean":
            return "`true` or `false`"
        case "string":
            return _text(schema)
        case "array":
            return _array(schema)
        case "object":
            return _object(schema)
    return "any value that a line may hold"


def _listed(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def _number(schema: dict[str, Any]) -> str:
    least, most = schema["minimum"], schema.get("maximum")
    return f"integer >= {least}" if most is None else f"integer {least} to {most}"


def _text(schema: dict[str, Any]) -> str:
    if "pattern" in schema:
        return f"`{schema['pattern'].removeprefix('^').removesuffix('$')}`"
    return f"text of {schema['minLength']} to {schema['maxLength']} characters"


def _array(schema: dict[str, Any]) -> str:
    size = f"an array of {schema['minItems']} to {schema['maxItems']}"
    if schema.get("uniqueItems") and "enum" in schema["items"]:
        return f"{size} different ones of {_listed(schema['items']['enum'])}"
    if schema.get("uniqueItems"):
        return f"{size}, all different, each: {form(schema['items'])}"
    return f"{size}, each: {form(schema['items'])}"


def _object(schema: dict[str, Any]) -> str:
    if "propertyNames" in schema:
        of = f"{form(schema['propertyNames'])} -> {form(schema['additionalProperties'])}"
        return f"an object of at most {schema['maxProperties']} entries: {of}"
    needed = schema["required"]
    inner = (f"`{key}`{'' if key in needed else '?'}: {form(of)}" for key, of in schema["properties"].items())
    return "{" + ", ".join(inner) + "}"
