"""`mesh proof`: two records that one key signed for one number, for anyone to check.

Knows: files and words.
Knows not: what makes a proof (`inspect.proof`).

    mesh proof elm --output elm.proof && mesh proof --check elm.proof
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.errors import Usage

app = new_app()


@app.command(cls=Command, epilog="Example: mesh proof elm --output elm.proof")
def proof(
    node: Annotated[
        str | None, typer.Argument(metavar="NODE", help="A node's name, or its log.", show_default=False)
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="Where to write it; else it is printed.")] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Check a proof; no home, no hub and no key is needed.")
    ] = None,
    sshsig: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --check: write what ssh-keygen needs into DIR.")
    ] = None,
) -> None:
    """Write the proof that a node's key signed two histories; or check one: exit 6 if it proves nothing.

    Whoever has the file needs nothing else: it holds the key, the ledger's id and the two signed lines.
    """
    if (node is None) == (check is None) or (sshsig and not check) or (output and not node):
        raise Usage("name a node, or a file to --check", hint="mesh proof --help")
    if check is not None:
        _check(check, sshsig)
    else:
        _write(str(node), output)


def _write(node: str, output: Path | None) -> None:
    from orxaq_mesh.inspect.proof import proof as proof_of

    if output is None and sys.stdout.isatty():  # QUIET: what others signed reaches no terminal as it is
        raise Usage("a proof is for a file", hint=f"mesh proof {node} --output {node}.proof")
    lines = proof_of(call().mesh(), node)
    data = b"".join(line + b"\n" for line in lines)
    if output is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from orxaq_mesh.home.files import atomic_write

    atomic_write(output, data, 0o644)
    if call().json:
        call().data({"file": str(output)})
    else:
        call().say(f"{output}: mesh proof --check {shlex.quote(str(output))}")


def _check(file: Path, sshsig: Path | None) -> None:
    from orxaq_mesh.inspect.proof import MAX_PROOF_BYTES, read, write_sshsigs

    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_PROOF_BYTES + 1)
    except OSError as error:
        raise Usage(f"{file} cannot be read: {error.strerror}", hint="mesh proof --help") from None
    found = read(data, str(file))
    commands = write_sshsigs(found, sshsig) if sshsig else []
    texts = [_command(argv) for argv in commands]
    if call().json:
        call().data({**_value(found), "commands": texts})
        return
    said = f": {found.key.fingerprint} signed number {found.one.seq} of {found.log} twice"
    call().say(Painted("it holds", "good"), said)
    for record in (found.one, found.other):
        call().say(f"  {record.id}  {record.kind}, at {record.at}")
    if texts:
        call().note("to verify both with stock ssh-keygen:")
    for text in texts:
        call().say(text)


def _command(argv: list[str]) -> str:
    folder = Path(argv[argv.index("-f") + 1]).parent
    return f"{shlex.join(argv)} < {shlex.quote(str(folder / 'message'))}"


def _value(found: Any) -> dict[str, Any]:
    return {
        "ok": True,
        "ledger": found.ledger,
        "log": found.log,
        "fingerprint": found.key.fingerprint,
        "seq": found.one.seq,
        "records": [found.one.id, found.other.id],
    }
