r"""What every command shares: how it was called, and how its answer leaves the program.

Knows: --home, --json, -q, -v, --key, --dry-run, --session; stdout for the payload, stderr for all else.
Knows not: any command.
Law: QUIET. Whatever leaves here has no control, bidi or invisible character but `\n`, and no colour where none is wanted.

    call().say("deploy is yours, token 40")                          # stdout; what -q leaves out is `note`d
    call().data({"lease": "deploy", "token": 40})                    # stdout: {"schema_version":1,"data":{...}}
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from orxaq_mesh import text
from orxaq_mesh.errors import MeshError, MeshFault, Usage

if TYPE_CHECKING:
    from orxaq_mesh.mesh import Mesh

SCHEMA_VERSION = 1
_MAX_LINE = 100_000
_STYLES = {"bold": "1", "dim": "2", "good": "32", "warn": "33", "bad": "1;31", "name": "36"}
_UNSAFE = re.compile(r"[^ -~\n]")


class ReaderLeft(Exception):
    """Who reads our output is gone. Not an OSError: Typer would make a fault of it."""


class Painted(NamedTuple):
    """Words in a style; they are sanitised where they are printed."""

    words: str
    style: str


Part = str | Painted


class Call:
    """One run of a command."""

    def __init__(self) -> None:
        self.home: str | None = None
        self.json = self.quiet = self.dry_run = False
        self.verbose = 0
        self.key: str | None = None
        self.session: str | None = None
        self.did = ""
        """What was changed already, in words: whoever cannot be told the answer must know at least that."""

    def mesh(self, **options: Any) -> Mesh:
        """The node that this command is about."""
        from orxaq_mesh.mesh import Mesh

        mesh = Mesh.open(self.home, session=self.session, **options)
        if not is_utf8(str(mesh.home.path)):
            what = f"the path of the home is not UTF-8: {text.clean(str(mesh.home.path))}"
            raise Usage(what, hint="--home DIR, or MESH_HOME, with a path in UTF-8")
        return mesh

    @property
    def deed(self) -> dict[str, Any]:
        """What `Mesh`'s deeds take from the common options."""
        return {"once": self.key, "dry_run": self.dry_run}

    # Out.

    def data(self, value: Any) -> None:
        """The payload of `--json`, in its envelope."""
        write(sys.stdout, encode({"schema_version": SCHEMA_VERSION, "data": value}))

    def say(self, *parts: Part) -> None:
        """A line of the payload, for people."""
        write(sys.stdout, paint(parts, sys.stdout))

    def note(self, *parts: Part) -> None:
        """A line beside the payload, on stderr; -q and --json leave it out."""
        if not self.quiet and not self.json:
            write(sys.stderr, paint(parts, sys.stderr))

    def warn(self, *parts: Part) -> None:
        """A line on stderr that nothing leaves out."""
        write(sys.stderr, paint(("mesh: ", *parts), sys.stderr))

    def fail(self, error: MeshError) -> int:
        """Say on stderr what went wrong; gives the exit code."""
        if self.json:
            write(sys.stderr, encode({"schema_version": SCHEMA_VERSION, "error": error_value(error)}))
        else:
            rule = f" ({error.facts['rule']})" if error.facts.get("rule") else ""
            self.warn(Painted(f"{error.code}{rule}: ", "bad"), error.what)
            if error.hint:
                write(sys.stderr, paint(("next: ", Painted(error.hint, "bold")), sys.stderr))
        return error.exit_code


_CURRENT = [Call()]


def call() -> Call:
    """This run."""
    return _CURRENT[0]


def begin() -> Call:
    """A new run begins."""
    _CURRENT[0] = Call()
    return _CURRENT[0]


def error_value(error: MeshError) -> dict[str, Any]:
    """An error as `--json` tells it: a stable `code`, what happened, the next step, and the facts."""
    return {**error.facts, "code": error.code, "message": error.what, "hint": error.hint}


def encode(value: Any) -> str:
    r"""JSON on one line in which every character can be seen; the others are written as `\uXXXX`."""
    import orjson

    try:
        line = orjson.dumps(value, default=_plain)
    except TypeError:  # a file's name need not be UTF-8
        line = orjson.dumps(_shown(value), default=_plain)
    return _UNSAFE.sub(_escaped, line.decode())


def is_utf8(words: str) -> bool:
    """Whether words from outside are characters; Python carries a byte that is none as half a one."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(value: Any) -> Any:
    if isinstance(value, dict):
        return {_shown(name): _shown(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(item) for item in value]
    return text.clean(value, limit=_MAX_LINE) if isinstance(value, str) and not is_utf8(value) else value


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        return value._asdict()
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)


def _escaped(found: re.Match[str]) -> str:
    char = found[0]
    if text.clean(char) == char:
        return char
    return "".join(f"\\u{unit:04x}" for unit in memoryview(char.encode("utf-16-le")).cast("H"))


def write(stream: IO[str], line: str) -> None:
    """One line, at once; characters that the stream's encoding lacks are escaped, never an error.

    Raises:
        ReaderLeft: nobody reads stdout any more.
        MeshFault: stdout is closed or full. Words on stderr that cannot be written are for nobody.
    """
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as error:
        if stream is sys.stderr:
            return
        if isinstance(error, BrokenPipeError):
            raise ReaderLeft from None
        raise unwritten(error) from None


def unwritten(error: OSError) -> MeshFault:
    """The fault of an answer that stdout does not take; it says what was done all the same."""
    done = f"; but it is done: {call().did}" if call().did else ""
    return MeshFault(f"the answer cannot be written to standard output ({error.strerror or error}){done}")


def coloured(stream: IO[str]) -> bool:
    """Whether colour is wanted: a terminal that can, and no NO_COLOR."""
    from orxaq_mesh.home.process import environment

    environ = environment()
    return stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"


def paint(parts: Iterable[Part], stream: IO[str]) -> str:
    """Parts as one text, each sanitised, styled where the stream shows styles."""
    colour = coloured(stream)
    return "".join(_part(part, colour) for part in parts)


def _part(part: Part, colour: bool) -> str:
    words, style = (part.words, part.style) if isinstance(part, Painted) else (part, "")
    shown = text.clean_lines(words, limit=_MAX_LINE)
    return f"\x1b[{_STYLES[style]}m{shown}\x1b[0m" if colour and style else shown


def columns(rows: Sequence[Sequence[Part]], indent: str = "  ") -> list[list[Part]]:
    """Rows with their cells padded to the widest of each column; each row goes to `say`."""
    shown = [[text.clean(_words(cell), limit=60) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    return [_line(row, words, widths, indent) for row, words in zip(rows, shown, strict=True)]


def _line(row: Sequence[Part], words: list[str], widths: list[int], indent: str) -> list[Part]:
    last = max((at for at, word in enumerate(words) if word), default=0)
    line: list[Part] = [indent]
    for at in range(last + 1):
        cell, padded = row[at], words[at].ljust(widths[at]) + "  " if at < last else words[at]
        line.append(Painted(padded, cell.style) if isinstance(cell, Painted) else padded)
    return line


def _words(part: Part) -> str:
    return part.words if isinstance(part, Painted) else part


def facts_without(facts: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The facts but these."""
    return {name: value for name, value in facts.items() if name not in names}
