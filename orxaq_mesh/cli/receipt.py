"""`mesh receipt check`: whether what is on disk is what the receipts say.

Knows: which receipts count, and how findings are told.
Knows not: how files are hashed (`worker.receipts`).

    mesh receipt check release/package --folder ~/src/release
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orxaq_mesh.cli.app import Command
from orxaq_mesh.cli.app import app as new_app
from orxaq_mesh.cli.call import Painted, call
from orxaq_mesh.cli.complete import tasks
from orxaq_mesh.cli.present import Offline, present_state
from orxaq_mesh.errors import FAULT, MeshFault

app = new_app("receipt", "Receipts: what a task's commands made, held against what is there.")


@app.command(cls=Command, epilog="Example: mesh receipt check release/package --folder ~/src/release")
def check(
    task: Annotated[
        str, typer.Argument(metavar="DAG/TASK", help="The task.", autocompletion=tasks, show_default=False)
    ],
    folder: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the files are; by default here.")] = None,
    offline: Offline = False,
) -> None:
    """Hash again each file that the last attempt's receipts name. Exit 1 if one is missing or differs."""
    from orxaq_mesh.cli.task import attempts_at
    from orxaq_mesh.inspect import work

    state = present_state(offline=offline)
    item = work.find_task(state, task)
    made = [one for one in attempts_at(item.name, state.slices["work"].dags[item.dag].since) if one["receipts"]]
    if not made:
        raise MeshFault(f"{task} has no receipts yet", hint=f"mesh task show {task}", task=task)
    where = (folder or Path.cwd()).resolve()
    checked = [_checked(receipt, where) for receipt in made[-1]["receipts"]]
    ok = not any(one["findings"] for one in checked)
    if call().json:
        node = {"attempt": made[-1]["attempt"], "node": made[-1]["node"]}
        call().data({"task": task, **node, "folder": str(where), "ok": ok, "receipts": checked})
    else:
        _tell(checked, ok)
    if not ok:
        raise typer.Exit(FAULT)


def _checked(receipt: dict[str, Any], folder: Path) -> dict[str, Any]:
    from orxaq_mesh.worker.receipts import check as compare

    files = len(receipt["artefacts"])
    findings = compare(receipt, folder)
    return {"step": receipt["step"], "record": receipt["record"], "artefacts": files, "findings": findings}


def _tell(checked: list[dict[str, Any]], ok: bool) -> None:
    for one in checked:
        for finding in one["findings"]:
            call().say(Painted(f"{one['step']}: ", "bad"), finding)
    files = sum(one["artefacts"] for one in checked)
    said = f": {files} file{'s' if files != 1 else ''} of {len(checked)} receipts"
    call().say(Painted("as it was told" if ok else "NOT as it was told", "good" if ok else "bad"), said)
