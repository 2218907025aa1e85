"""The programs: one command imported a run, every fault one line on stderr.

Knows: the table of commands, the common options, exit codes.
Knows not: what a command does.

    run(["lease", "acquire", "deploy"])           # 0
    run(["laese"])                                # 2, and what was probably meant
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from orxaq_mesh import __version__
from orxaq_mesh.cli.call import begin, call
from orxaq_mesh.cli.faults import guarded, refuse_foreign
from orxaq_mesh.cli.light import lighten, lighten_one
from orxaq_mesh.errors import Usage

COMMANDS = {
    "init": "founding",
    "invite": "founding",
    "join": "founding",
    "admit": "founding",
    "status": "status",
    "lease": "lease",
    "publish": "publish",
    "dag": "dag",
    "task": "task",
    "receipt": "receipt",
    "work": "work",
    "dispatch": "dispatch",
    "command": "command",
    "policy": "policy",
    "propose": "proposals",
    "proposals": "proposals",
    "approve": "proposals",
    "reject": "proposals",
    "breaker": "breaker",
    "reactor": "reactor",
    "node": "node",
    "log": "ledger",
    "show": "ledger",
    "trace": "trace",
    "verify": "audit",
    "diff": "past",
    "blame": "past",
    "review": "review",
    "divergence": "divergence",
    "proof": "proof",
    "explain": "explain",
    "sync": "sync",
    "autonomy-once": "autonomy",
    "export": "carry",
    "import": "carry",
    "doctor": "doctor",
    "config": "config",
    "gate": "gate",
    "hub": "hub",
    "demo": "demo",
    "version": "version",
}
"""Command -> its file. `mesh --help` lists them in this order."""


# The common options.


def _note(name: str) -> Callable[..., Any]:
    def keep(value: Any) -> Any:
        if value:
            setattr(call(), name, value)
        return value

    return keep


def _option(*names: str, to: str, says: str, **more: Any) -> Any:
    return typer.Option(*names, callback=_note(to), expose_value=False, help=says, **more)


def _everywhere(
    home: Annotated[
        str | None, _option("--home", to="home", says="Where key, journal and store live.", metavar="DIR")
    ] = None,
    json: Annotated[bool, _option("--json", to="json", says="Machine-readable output.")] = False,
    quiet: Annotated[bool, _option("-q", "--quiet", to="quiet", says="Only the payload.")] = False,
    verbose: Annotated[
        int, _option("-v", "--verbose", to="verbose", says="Say more.", count=True, show_default=False)
    ] = 0,
) -> None: ...


def _keys(
    key: Annotated[
        str | None,
        _option("--key", to="key", says="Idempotency key: the same key twice is one record.", metavar="KEY"),
    ] = None,
) -> None: ...


def _trials(
    dry_run: Annotated[bool, _option("--dry-run", to="dry_run", says="Only say what would come of it.")] = False,
) -> None: ...


def _sessions(
    session: Annotated[
        str | None,
        _option("--session", to="session", says="Who holds leases on this node.", metavar="NAME"),
    ] = None,
) -> None: ...


def _params(function: Callable[..., None]) -> list[Any]:
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return list(typer.main.get_command(app).params)


_SHARED, _KEY, _TRIAL, _SESSION = (_params(each) for each in (_everywhere, _keys, _trials, _sessions))


class Command(TyperCommand):
    """A command that reads."""

    more: Sequence[Any] = ()

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.params = [*self.params, *self.more, *_SHARED]
        lighten(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """Typer's own."""
        return lighten_one(super().get_help_option(ctx))


class Trial(Command):
    """A command that changes something, once in a node's life: it can be tried without effect."""

    more = tuple(_TRIAL)


class Deed(Command):
    """A command that signs: it can be tried without effect, and tried again."""

    more = (*_KEY, *_TRIAL)


class LeaseDeed(Command):
    """A command that acts as a session."""

    more = (*_KEY, *_TRIAL, *_SESSION)


class Noun(TyperGroup):
    """Commands about one thing. Alone it shows its help."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.params = [*self.params, *_SHARED]
        lighten(self.params)

    def get_help_option(self, ctx: Any) -> Any:
        """Typer's own."""
        return lighten_one(super().get_help_option(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As Typer does; no words are a wish for help."""
        return super().parse_args(ctx, args or ["--help"])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As Typer does; a word that is none of them is answered with those that are like it."""
        names = self.list_commands(ctx)
        if args[0] not in names and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], names, n=3)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            raise Usage(
                f"{args[0][:40]!a} is no command of {ctx.command_path}{meant}", hint=f"{ctx.command_path} --help"
            )
        return super().resolve_command(ctx, args)


class Nouns(Noun):
    """All commands; a run imports only the file of the one that it is about."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name, from its file."""
        if cmd_name not in COMMANDS:
            return None
        app: typer.Typer = importlib.import_module(f"orxaq_mesh.cli.{COMMANDS[cmd_name]}").app
        group = typer.main.get_group(app)  # type: ignore[attr-defined,unused-ignore]
        return group if app.info.name == cmd_name else group.commands[cmd_name]


def app(name: str | None = None, says: str = "") -> typer.Typer:
    """The Typer app of one file: of a noun where it has a name, else of several commands that stand by themselves."""
    made = typer.Typer(name=name, help=says, cls=Noun, add_completion=False, rich_markup_mode=None)
    made.callback()(_nothing)
    return made


def _nothing() -> None: ...


def _version(value: bool) -> None:
    if value:
        call().say(f"mesh {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """A fleet of nodes coordinates through nothing but one git repository.

    Who holds which lease stands in a signed ledger on a hub that all nodes can push to.
    """


def program() -> Any:
    """The command `mesh`, with completion."""
    top = typer.Typer(
        cls=Nouns,
        rich_markup_mode=None,
        epilog="Exit codes: 0 done, 1 fault, 2 usage, 3 refused, 4 fenced, 5 hub unreachable or outcome unknown, "
        "6 ledger invalid, 7 queued or held.",
    )
    top.callback()(_root)
    made = typer.main.get_command(top)
    lighten(made.params)
    return made


def sync_program() -> Any:
    """The command `mesh-sync`."""
    from orxaq_mesh.cli.sync import daemon

    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(cls=Command, epilog="Example: mesh-sync --json")(daemon)
    return typer.main.get_command(single)


def run(argv: list[str]) -> int:
    """Run `mesh`; gives the exit code."""
    begin().json = "--json" in argv[: argv.index("--")] if "--" in argv else "--json" in argv
    return guarded(lambda: _main(program, argv, "mesh"))


def run_sync(argv: list[str]) -> int:
    """Run `mesh-sync`; gives the exit code."""
    begin().json = "--json" in argv
    return guarded(lambda: _main(sync_program, argv, "mesh-sync"))


def _main(made: Callable[[], Any], argv: list[str], name: str) -> Any:
    refuse_foreign(argv)
    return made().main(argv, prog_name=name, standalone_mode=False)
