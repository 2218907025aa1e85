"""The forms of files as JSON schemas: what a record's schema says, and the shorter ways in which people may say it.

Knows: which fields a file may have. A DAG's are those of `dag.submit`, made from that schema, so that they cannot part.
Knows not: what the shorter ways stand for (`dags`), where a value stands in its file (`source`).

    explain("dag", {"tasks": {"build": {"rum": "make"}}})
    # (("tasks", "build"), "there is no field rum; did you mean run?")
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import cache
from typing import Any

from orxaq_mesh.orders.source import Path_
from orxaq_mesh.text import clean

Schema = dict[str, Any]
STEPS = ("before", "commands", "after", "rollback")
SPANS = {"limit": "limit_ms", "ttl": "ttl_ms", "backoff": "backoff_ms"}
"""How a file says a field of a record that is a span of time."""
_SPAN: Schema = {"type": ["string", "integer"], "minimum": 1, "description": "a time: 600 (seconds), 10m, 1h30m, 500ms"}
_TOLD_BY_DESCRIPTION = ("pattern", "not", "minLength", "maxLength", "minItems", "maxItems", "type")
_MAX_ECHO = 60
MANY = 24
"""So many names are listed where none is like the one that was written."""


def explain(form: str, value: Any) -> tuple[Path_, str] | None:
    """Where and why a value does not fit a form (`dag` or `reactor`); None where it does."""
    if _fits(form)(value):
        return None
    error = next(_explainer(form).iter_errors(value))
    return (*error.absolute_path, *_key(error)), _reason(error)


def near(word: str, known: Any) -> str:
    """`; did you mean build?` where one of these is like it; else the first of them."""
    names = sorted(known)
    if like := difflib.get_close_matches(word, names, n=1):
        return f"; did you mean {like[0]}?"
    return f" (there are {', '.join(names[:MANY])}{', ...' if len(names) > MANY else ''})"


def schema(form: str) -> Schema:
    """The form as a JSON schema of its own."""
    return {"dag": _dag, "reactor": _reactor}[form]()


def _dag() -> Schema:
    from orxaq_mesh.schema import document

    submit = document("dag.submit")
    body = submit["properties"]["body"]["properties"]
    task = _task(submit["$defs"]["task"]["properties"])
    named = {**_fields(task), "required": ["name"]}
    plain = _fields({name: field for name, field in task.items() if name != "name"})
    tasks = {
        "description": "tasks by their names, or a list of them",
        "type": ["object", "array"],
        "minProperties": 1,
        "minItems": 1,
        "propertyNames": task["name"],
        "additionalProperties": plain,
        "items": named,
    }
    form = _fields({"dag": body["dag"], "priority": body["priority"], "limits": body["limits"], "tasks": tasks})
    return _whole({**form, "description": "a DAG", "required": ["tasks"]}, "dag")


def _task(record: Mapping[str, Any]) -> dict[str, Schema]:
    """The fields of a task, the shorter ways among them."""
    from orxaq_mesh.schema import document

    step = _step(document("dag.submit")["$defs"]["step"]["properties"])
    steps = {
        "description": "a command, or a list of them",
        "type": ["string", "array"],
        "minLength": 1,
        "maxItems": 64,
        "items": {**_fields(step), "type": ["string", "object"], "minLength": 1},
    }
    fields = {**record, **dict.fromkeys(STEPS, steps), **dict.fromkeys(SPANS, _SPAN)}
    fields |= {name: _one_or_many(record[name]) for name in ("needs", "environment", "receipts")}
    return fields | {name: step[name] for name in ("run", "shell", "artefacts")}


def _step(record: Mapping[str, Any]) -> dict[str, Schema]:
    run = {**record["run"], "type": ["string", "array"], "minLength": 1, "maxLength": 16384}
    artefacts = _one_or_many(record["artefacts"])
    return {**record, "run": run, "artefacts": artefacts, "limit": _SPAN}


def _one_or_many(many: Mapping[str, Any]) -> Schema:
    return {**many, "type": ["string", "array"]}


def _fields(properties: Mapping[str, Any]) -> Schema:
    return {
        "description": "a mapping",
        "type": "object",
        "properties": dict(properties),
        "additionalProperties": False,
    }


def _reactor() -> Schema:
    from orxaq_mesh.schema import document

    record = document("reactor.publish")
    body = dict(record["properties"]["body"]["properties"])
    body.pop("once")
    form = _fields(body)
    return _whole({**form, "required": ["reactor", "version", "rules"], "$defs": record["$defs"]}, "reactor")


def _whole(form: Schema, name: str) -> Schema:
    from orxaq_mesh.schema import document

    base = document("envelope")["$id"].rpartition("/")[0]
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"{base}/{name}-file.json"}
    return {**head, **form}


@cache
def _fits(form: str) -> Any:
    import jsonschema_rs

    from orxaq_mesh.schema import document

    envelope = document("envelope")
    registry = jsonschema_rs.Registry([(envelope["$id"], envelope)])
    return jsonschema_rs.Draft202012Validator(schema(form), registry=registry).is_valid


@cache
def _explainer(form: str) -> Any:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    from orxaq_mesh.schema import document

    envelope = Resource.from_contents(document("envelope"))
    return Draft202012Validator(schema(form), registry=Registry().with_resource(envelope.id() or "", envelope))


def _key(error: Any) -> tuple[str, ...]:
    """The key that is to blame, where it is one."""
    if error.validator == "additionalProperties":
        return (_odd(error),)
    return (str(error.instance),) if "propertyNames" in error.absolute_schema_path else ()


def _odd(error: Any) -> str:
    known = error.schema["properties"]
    return str(next(name for name in error.instance if name not in known))


def _reason(error: Any) -> str:
    shown = clean(repr(error.instance), limit=_MAX_ECHO)
    if error.validator == "additionalProperties":
        name = _odd(error)
        return f"there is no field {clean(name, limit=_MAX_ECHO)}{near(name, error.schema['properties'])}"
    if error.validator == "required":
        missing = next(name for name in error.validator_value if name not in error.instance)
        return f"the field {missing} is missing"
    if error.validator in ("minProperties", "minItems") and not error.instance:
        return "nothing stands here"
    if error.validator in _TOLD_BY_DESCRIPTION:
        return f"{shown} is not allowed here: want {_wanted(error)}"
    return clean(str(error.message).replace(repr(error.instance), shown), limit=300)


def _wanted(error: Any) -> str:
    said = error.schema.get("description", "")
    kinds = error.validator_value if error.validator == "type" else ()
    kinds = [kinds] if isinstance(kinds, str) else kinds
    words = {"string": "a text", "object": "a mapping", "array": "a list", "integer": "a whole number"}
    return ": ".join(part for part in (" or ".join(words.get(kind, str(kind)) for kind in kinds), said) if part)
