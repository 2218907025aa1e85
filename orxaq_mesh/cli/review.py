"""`mesh review`: what a change of the ledger would do, and whether it may be merged.

Knows: what the words of the call mean, in which form the answer is printed.
Knows not: how a change is judged (`review`), how it is told (`prose`), where it comes from (`inspect.reviewing`).

    mesh review origin/mesh..topic && git push ...
    git diff origin/mesh...topic | mesh review - --json
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call, write
from orxaq_mesh.errors import Usage

if TYPE_CHECKING:
    from orxaq_mesh.inspect.reviewing import Asked, Reviewed
    from orxaq_mesh.review import Review
    from orxaq_mesh.store.repository import Repository

app = new_app()
FORMATS = ("text", "markdown", "json", "github")
PATCHES = (".patch", ".diff", ".mbox", ".eml")
_STYLES = {"yes": "good", "refused": "warn", "invalid": "bad", "unknown": "warn"}


def _formats(incomplete: str) -> list[str]:
    return [name for name in FORMATS if name.startswith(incomplete)]


@app.command(cls=Command, epilog="Example: mesh review origin/mesh..topic")
def review(
    change: Annotated[
        str, typer.Argument(metavar="CHANGE", help="BASE..HEAD, a commit or branch, a patch file, or - for a patch.")
    ] = "HEAD",
    repo: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The repository; else the one that one stands in.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="REV", help="What it is compared with, or a patch put onto [the trunk].")
    ] = None,
    trunk: Annotated[str, typer.Option(metavar="BRANCH", help="The branch that holds the ledger.")] = "mesh",
    ledger: Annotated[
        str, typer.Option(metavar="ID", help="Whose ledger it must be: its id, or its founder's fingerprint.")
    ] = "",
    format: Annotated[  # noqa: A002 - the option's name
        str, typer.Option(metavar="|".join(FORMATS), help="How it is printed.", autocompletion=_formats)
    ] = "text",
    cache: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep a snapshot there: cost follows what is new.")
    ] = None,
    summary: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add the review to this file, as Markdown.")
    ] = None,
    comment: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the review to this file, as Markdown for a comment.")
    ] = None,
) -> None:
    """Say what a change of the ledger would do, and whether it may be merged: a pull request, two commits, a patch.

    Every new line is verified. Exit 0: it may be merged; 3: rules refuse what it asks for; 6: it breaks a law;
    5: not all of it could be known. The repository is only read, by object id: nothing in it is checked out or run.
    """
    from orxaq_mesh.home.place import git_directory
    from orxaq_mesh.home.process import environment
    from orxaq_mesh.store.repository import Repository

    if format not in FORMATS:
        raise Usage(f"{format[:40]!a} is no format", hint=f"--format {'|'.join(FORMATS)}")
    where = repo or Path()
    git_dir = git_directory(where)
    if git_dir is None or not where.is_dir():
        raise Usage(f"there is no git repository in {where.absolute()}", hint="--repo DIR")
    with Repository(git_dir.resolve(), environ=environment()) as repository:
        done = _reviewed(repository, change, base, trunk, _asked(ledger, cache))
    _write(done, summary, comment)
    _print(done, "json" if call().json else format)


def _asked(pin: str, cache: Path | None) -> Asked:
    """A snapshot is read where a home of ours has one, and kept where one asks for it or such a home is."""
    from orxaq_mesh.home.place import Home, locate
    from orxaq_mesh.inspect.reviewing import Asked

    home = Home(locate(call().home))
    ours = home.cache if home.journal.exists() else None
    kept_in = cache or ours
    return Asked(pin, (ours / "snapshot.json",) if ours else (), kept_in / "review.json" if kept_in else None)


def _reviewed(repository: Repository, change: str, base: str | None, trunk: str, asked: Asked) -> Reviewed:
    from orxaq_mesh.inspect.reviewing import Reviewed, of_commits, of_patch, sides, trunk_of

    if (data := _patch(change)) is None:
        onto, head = sides(repository, change, base, trunk)
        return Reviewed(of_commits(repository, onto, head, asked), (onto, head))
    onto = repository.resolve(base) if base else trunk_of(repository, trunk)
    return Reviewed(of_patch(repository, onto, data, asked), (onto,))


def _patch(change: str) -> bytes | None:
    """The bytes of a patch, one more than any that is read; None where the words name commits."""
    from orxaq_mesh.inspect.patch import MAX_PATCH_BYTES

    if change == "-":
        return sys.stdin.buffer.read(MAX_PATCH_BYTES + 1)
    if not change.endswith(PATCHES):
        return None
    try:
        with Path(change).open("rb") as file:
            return file.read(MAX_PATCH_BYTES + 1)
    except FileNotFoundError:
        return None  # a branch may have such a name
    except OSError as error:
        raise Usage(f"the patch {change} cannot be read: {error.strerror}") from None


def _write(done: Reviewed, summary: Path | None, comment: Path | None) -> None:
    """The files that a host's job is asked for."""
    from orxaq_mesh.home.files import disk_fault
    from orxaq_mesh.prose.page import COMMENT_BYTES, SUMMARY_BYTES, markdown

    for path, mode, limit in ((summary, "ab", SUMMARY_BYTES), (comment, "wb", COMMENT_BYTES)):
        if path is not None:
            try:
                with path.open(mode) as file:
                    file.write(markdown(done.review, limit=limit, compared=done.commits).encode())
            except OSError as error:
                raise disk_fault("write", path, error) from error


def _print(done: Reviewed, format: str) -> None:  # noqa: A002
    from orxaq_mesh.prose.answer import answer, value

    found = done.review
    said = answer(found)
    if format == "json":
        call().data(value(found))
    elif format == "markdown":
        from orxaq_mesh.prose.page import SUMMARY_BYTES, markdown

        write(sys.stdout, markdown(found, limit=SUMMARY_BYTES, compared=done.commits).removesuffix("\n"))
    elif format == "github":
        from orxaq_mesh.prose.github import log

        for line in log(found):
            call().say(line)
    else:
        _say(found, said.word)
    if said.exit_code:
        raise typer.Exit(said.exit_code)


def _say(found: Review, word: str) -> None:
    from orxaq_mesh.prose.page import lines

    first, *rest = lines(found, raw=call().verbose > 0)
    call().say(Painted(first, _STYLES[word]))
    for line in () if call().quiet else rest:
        call().say(line)
