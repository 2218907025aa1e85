"""What a node lets its worker do: `work.yaml` in the node's home.

Knows: whose work is done here, which commands this laptop knows, whether a shell may be used.
Knows not: what the ledger says of it. A file in the home is the user's own word; nothing of a ledger changes it.

    trust: [oak]                      # whose DAGs and commands are run, besides this node's own; "*" is everybody's
    shell: false                      # whether `shell:` steps are run
    environment: [CARGO_HOME]         # credentials that a task may see if its order asks for them
    commands:
      restart-indexer:
        run: [systemctl, --user, restart, "indexer@{index}"]     # {name} is an argument of the command
        limit_ms: 60000
        noop_exit: 3                  # this exit code says that nothing was to be done
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from orxaq_mesh.errors import Usage
from orxaq_mesh.orders import source

FILE = "work.yaml"
_HINT = "mesh work --help"


class Recipe(NamedTuple):
    """What a command's name means on this node."""

    run: tuple[str, ...]
    limit_ms: int = 600_000
    noop_exit: int | None = None

    def argv(self, args: Any) -> tuple[str, ...]:
        """The command line for these arguments: `{name}` in a word is one of them, as text; no shell sees it.

        Raises:
            Usage: an argument is missing, or is no text and no number.
        """
        given = args if isinstance(args, Mapping) else {}
        return tuple(re.sub(r"\{([A-Za-z0-9_.-]+)\}", lambda found: _word(given, found[1]), word) for word in self.run)


class Own(NamedTuple):
    """The file's content."""

    trust: tuple[str, ...] = ()
    shell: bool = False
    environment: tuple[str, ...] = ()
    commands: Mapping[str, Recipe] = MappingProxyType({})


def read(folder: Path) -> Own:
    """The node's `work.yaml`; where there is none, nothing but its own work is done.

    Raises:
        Usage: the file is not what it should be, with the place.
        MeshFault: it cannot be read.
    """
    path = folder / FILE
    if not os.path.lexists(path):
        return Own()
    return _own(source.read(path).value or {}, path)


def _own(value: Any, path: Path) -> Own:
    _object(value, f"{path}", {"trust", "shell", "environment", "commands"})
    shell = value.get("shell", False)
    if type(shell) is not bool:
        raise Usage(f"{path}: shell is true or false", hint=_HINT)
    commands = value.get("commands") or {}
    if not isinstance(commands, Mapping):
        raise Usage(f"{path}: commands is a mapping of names", hint=_HINT)
    recipes = {str(name): _recipe(recipe, f"{path}: commands.{name}") for name, recipe in commands.items()}
    return Own(_words(value, "trust", path), shell, _words(value, "environment", path), recipes)


def _recipe(value: Any, where: str) -> Recipe:
    _object(value, where, {"run", "limit_ms", "noop_exit"})
    run = _words(value, "run", where)
    numbers = {name: value[name] for name in ("limit_ms", "noop_exit") if name in value}
    if not run or not all(type(number) is int and number > 0 for number in numbers.values()):
        raise Usage(f"{where}: run is a list of words; limit_ms and noop_exit are numbers above 0", hint=_HINT)
    return Recipe(run, **numbers)


def _object(value: Any, where: str, known: set[str]) -> None:
    if not isinstance(value, Mapping):
        raise Usage(f"{where} is no mapping", hint=_HINT)
    if odd := sorted(str(name) for name in value if name not in known):
        raise Usage(f"{where}: unknown: {odd[0]}; known are {', '.join(sorted(known))}", hint=_HINT)


def _words(value: Mapping[str, Any], name: str, where: object) -> tuple[str, ...]:
    words = value.get(name) or ()
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise Usage(f"{where}: {name} is a list of words", hint=_HINT)
    return tuple(words)


def _word(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if type(value) not in (str, int) or "\0" in str(value):
        raise Usage(f"the argument {name} is missing, or is no text and no number")
    return str(value)
