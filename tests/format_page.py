"""The parts of docs/format.md that are made from the code: bodies, kinds, tables, and the worked example.

python -m tests.format_page        # writes them into the page anew; test_format holds the page to them
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from orxaq_mesh import fold, kinds
from orxaq_mesh.keys import namespace
from orxaq_mesh.record import NOTHING, unsigned
from orxaq_mesh.schema import document
from tests.builder import Trunk

PAGE = Path(__file__).resolve().parent.parent / "docs" / "format.md"
_FORMS = {"hex64": "hex64", "publicKey": "public key", "nodeName": "node name", "log": "log name", "name": "name"}
_FORMS |= {"once": "once", "reason": "reason"}


def made() -> dict[str, str]:
    """Marker -> the text that belongs behind it."""
    return {"bodies": _bodies(), "kinds": _kinds(), "tables": _tables(), "example": _example()}


def written(page: str) -> str:
    """The page with its made parts as they must be."""
    for name, text in made().items():
        block = f"<!-- {name} -->\n{text.rstrip()}\n<!-- end -->"
        page = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _, block=block: block, page, flags=re.DOTALL)
    return page


def _bodies() -> str:
    rows = ["| kind | key | needed | is |", "|---|---|---|---|"]
    for kind in kinds.KINDS:
        body = document(kind)["properties"]["body"]
        for number, (key, form) in enumerate(body["properties"].items()):
            needed = "yes" if key in body["required"] else ""
            rows.append(f"| {f'`{kind}`' if not number else ''} | `{key}` | {needed} | {_form(form)} |")
    return "\n".join(rows)


def _form(form: dict[str, Any]) -> str:
    """One field of a body in the page's words."""
    if "$ref" in form:
        name = form["$ref"].rsplit("/", 1)[1]
        return _FORMS.get(name) or _number(document("envelope")["$defs"][name])
    match form.get("type"):
        case "integer":
            return _number(form)
        case "boolean":
            return "`true` or `false`"
        case "array":
            of = ", ".join(f"`{value}`" for value in form["items"]["enum"])
            return f"an array of {form['minItems']} to {form['maxItems']} different ones of {of}"
        case "object":
            inner = ", ".join(f"`{key}`: {_form(value)}" for key, value in form["properties"].items())
            return f"an object with exactly {inner}"
    return "any value that a line may hold"


def _number(form: dict[str, Any]) -> str:
    assert form["type"] == "integer", form
    return (
        f"integer >= {form['minimum']}" if "maximum" not in form else f"integer {form['minimum']} to {form['maximum']}"
    )


def _kinds() -> str:
    rows = ["| kind | roles that may write it | has an `until` |", "|---|---|---|"]
    for kind in kinds.KINDS.values():
        roles = ", ".join(f"`{role}`" for role in sorted(kind.roles)) or "names none"
        rows.append(f"| `{kind.name}` | {roles} | {'yes' if kind.until else ''} |")
    return "\n".join(rows)


def _tables() -> str:
    return "\n\n".join(_table(kind) for kind in kinds.KINDS)


def _table(kind: str) -> str:
    rows = [f"### {kind}", "", "| case | outcome | rule | result |", "|---|---|---|---|"]
    rows += [
        f"| {row.case} | `{row.outcome}` | `{row.rule}` | {f'`{row.result}`' if row.result else ''} |"
        for row in kinds.FAMILY_OF[kind].ROWS
        if row.kind == kind
    ]
    return "\n".join(rows)


def story() -> Trunk:
    """The worked example's ledger."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    both = [
        pen.write("lease.acquire", lease="deploy", session="s", ttl_ms=60_000, until=20) for pen in (elm, trunk.oak)
    ]
    trunk.seal(*both)
    return trunk


def _example() -> str:
    return "\n\n".join(_story(story()))


def _story(trunk: Trunk) -> Iterator[str]:
    files = trunk.files
    found = next(data for path, data in files.items() if "/oak-" in path).split(b"\n")[0]
    value = orjson.loads(found)
    message = unsigned(value)
    yield "The founding record's line, its message, and the sha512 of that message:"
    yield _block(found.decode(), message.decode(), hashlib.sha512(message).hexdigest())
    head = b"SSHSIG" + b"".join(len(x).to_bytes(4, "big") + x for x in (namespace(None).encode(), b"", b"sha512"))
    yield "What Ed25519 signs, in hex:"
    yield _block((head + (64).to_bytes(4, "big") + hashlib.sha512(message).digest()).hex())
    yield "The record's id, which is the ledger's:"
    yield _block(hashlib.sha256(found).hexdigest())
    digest = NOTHING
    for seal in trunk.seals:
        yield f"Seal {seal.epoch}, its id, the order of its logs (sha256 of parent and log), and the text whose sha256 is the digest:"
        judged = [item for item in _judged(trunk) if item.epoch == seal.epoch]
        text = f"{digest}\n" + "".join(f"{item.record.id} {' '.join(item.verdict)}\n" for item in judged)
        order = [f"{hashlib.sha256((seal.parent + log).encode()).hexdigest()} {log}" for log in seal.heads]
        shown = [
            line + ("\\x20" if line.endswith(" ") else "") for line in text.replace(" \n", "\\x20\n").split("\n")[:-1]
        ]
        yield _block(seal.line.decode(), "", seal.id, "", *sorted(order), "", *shown)
        digest = fold.next_digest(digest, judged)
        yield f"Digest after epoch {seal.epoch}: `{digest}`"
    yield "(`\\x20` stands for the space at a line's end, where it could not be seen.)"


def _judged(trunk: Trunk) -> list[fold.Judged]:
    return trunk.read_anew()[1].judged


def _block(*lines: str) -> str:
    return "\n".join(["```text", *lines, "```"])


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
