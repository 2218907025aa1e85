"""`mesh publish`: tell the fleet that something happened.

Knows: where a payload comes from, and what JSON it may be.
Knows not: what a topic means to anyone.
Law: LINE: no number with a fraction, no key twice; said here with its path, before anything is signed.

    mesh publish builds finished --payload '{"version":"1.4.2"}' --under deploy
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.answer import report, unsettled
from orxaq_mesh.cli.app import LeaseDeed
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import call
from orxaq_mesh.cli.complete import leases
from orxaq_mesh.errors import Unreachable, Usage
from orxaq_mesh.record import type_flaw

MAX_PAYLOAD_BYTES = 60 * 1024
app = new_app()


@app.command(
    cls=LeaseDeed, epilog="""Example: mesh publish builds finished --payload '{"version":"1.4.2"}' --under deploy"""
)
def publish(
    topic: Annotated[str, typer.Argument(help="What it is about.", show_default=False)],
    type_: Annotated[str, typer.Argument(metavar="TYPE", help="What happened.", show_default=False)],
    payload: Annotated[
        str, typer.Option(metavar="JSON|@FILE|-", help="The event's content; @FILE and - (stdin) are read.")
    ] = "{}",
    under: Annotated[
        str | None, typer.Option(metavar="LEASE", help="The lease that it acts under.", autocompletion=leases)
    ] = None,
    token: Annotated[int | None, typer.Option(metavar="N", help="Its token; else the one this session holds.")] = None,
    decimals_as_strings: Annotated[
        bool, typer.Option("--decimals-as-strings", help='Write 1.50 as the text "1.50".')
    ] = False,
) -> None:
    """Publish an event.

    Under a lease a stale token is fenced: exit 4, and the event has no effect. Without the hub it is signed and
    goes out later: exit 5.
    """
    if token is not None and under is None:
        raise Usage("--token belongs to a lease", hint="--under LEASE --token N")
    value = parse(read(payload), decimals_as_strings)
    try:
        answer = call().mesh().publish(topic, type_, value, under=under, token=token, **call().deed)
    except Unreachable as error:
        raise unsettled(error) from None
    would = "would be published" if call().dry_run else "published"
    report(answer, {"topic": topic, "type": type_}, f"{topic} {type_} {would}", answer.record or "")


def read(payload: str) -> bytes:
    """The bytes that `JSON`, `@FILE` or `-` stands for.

    Raises:
        Usage: the file cannot be read, or it is too much for a record.
    """
    if payload == "-":
        data = sys.stdin.buffer.read(MAX_PAYLOAD_BYTES + 1)
    elif payload.startswith("@"):
        data = _file(Path(payload[1:]))
    else:
        data = payload.encode("utf-8", "surrogateescape")
    if len(data) > MAX_PAYLOAD_BYTES:
        raise Usage(f"the payload has more than {MAX_PAYLOAD_BYTES} bytes", hint="publish where it lies, and its hash")
    return data


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PAYLOAD_BYTES + 1)
    except OSError as error:
        raise Usage(f"cannot read the payload {path}: {error.strerror or error}", hint="--payload @FILE") from None


class _Twice(ValueError):
    """A key stands twice."""


def parse(data: bytes, decimals_as_strings: bool = False) -> Any:
    """The payload as a record may carry it.

    Raises:
        Usage: it is no JSON, has a key twice, a number with a fraction (its path is said) or one that is too large.
    """
    try:
        text = data.decode("utf-8")
        number = str if decimals_as_strings else float
        value = json.loads(text, object_pairs_hook=_once, parse_float=number, parse_constant=_constant)
    except RecursionError:
        raise Usage("the payload is nested too deep", hint="at most 16 levels in a record") from None
    except _Twice as error:
        raise Usage(f"the payload has the key {error} twice", hint="each key once") from None
    except UnicodeDecodeError as error:
        raise Usage(f"the payload is not UTF-8: byte {error.start}", hint="--payload @FILE with UTF-8 JSON") from None
    except ValueError as error:
        raise Usage(f"the payload is no JSON: {error}", hint="""--payload '{"version":"1.4.2"}'""") from None
    _check(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Twice(repr(key))
        found[key] = value
    return found


def _constant(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _check(value: Any) -> None:
    if (path := fraction(value, "payload")) is not None:
        what = f"{path} is a number with a fraction, and records carry none: two programs may spell it differently"
        raise Usage(what, hint="--decimals-as-strings, or whole numbers in a smaller unit", path=path)
    flaw = type_flaw(value, "payload") or _surrogate(value)
    if flaw is not None:
        raise Usage(f"the payload cannot stand in a record: {flaw}", hint="mesh explain LINE")


def _surrogate(value: Any) -> str | None:
    """Half a character, as one half of an escaped pair makes it, has no bytes in UTF-8."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "half a character (a lone surrogate) is in it"
    return None


def fraction(value: Any, path: str) -> str | None:
    """The path of the first number with a fraction or exponent."""
    if isinstance(value, float):
        return path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        step = f"[{key}]" if isinstance(key, int) else f".{key}"
        if (found := fraction(item, path + step)) is not None:
            return found
    return None
