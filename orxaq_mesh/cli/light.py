"""Options' values made of words, without pydantic: Typer would load it (70 ms a command) to turn a word into a word.

Knows: text, flags, whole numbers, paths, lists of text; anything else is left to Typer.
Knows not: any command. Should Typer one day ask in another way, it does so by itself again, only slower.

    lighten(params)
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer


def lighten(params: Iterable[Any]) -> None:
    """Give parameters of plain types a coercion of our own."""
    for param in params:
        lighten_one(param)


def lighten_one(param: Any) -> Any:
    """The same parameter, coerced by us if its type is plain."""
    annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
    if annotation in (bool, str, int, Path, list[str]):
        param.get_runtime_param = lambda: _PLAIN
    return param


class _Plain:
    """Has the one method that Typer calls."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value in the parameter's type; None stays None."""
        annotation = param.type_descriptor.annotation
        if annotation == list[str]:
            return list(value or ())
        if value is None or annotation in (bool, str):
            return value
        if annotation is Path:
            return Path(value)
        return _whole(value, param, ctx)


_PLAIN = _Plain()


def _whole(value: Any, param: Any, ctx: Any) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise typer.BadParameter(f"{str(value)[:40]!a} is no whole number", ctx=ctx, param=param) from None
    least, most = param.min, param.max
    if (least is not None and number < least) or (most is not None and number > most):
        span = f"from {least} to {most}" if most is not None else f"at least {least}"
        raise typer.BadParameter(f"{number} is not {span}", ctx=ctx, param=param)
    return number
