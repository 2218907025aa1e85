"""What the ledger itself proves when the play is over.

Knows: four questions put to every node, to a damaged copy and to stock ssh-keygen, and what each answered.
Knows not: how the answers are shown (`page`).
Laws: FENCE (every fold fences the sleeper's report), LINE, SIG and CHAIN (one flipped byte is found), SET (equal digests).

    fenced_by(right)                  # {"oak": {...}, "elm": {...}, "ash": {...}}, each node's own verdict
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from orxaq_mesh.demo.acts import NODES, RightSide, must
from orxaq_mesh.demo.stage import Facts, Stage
from orxaq_mesh.record import line_id


class Flip(NamedTuple):
    """One byte changed in a copy: where, what it was, what `mesh verify` said about it."""

    file: str
    line: int
    was: str
    became: str
    exit: int
    finding: Facts


class Signature(NamedTuple):
    """What stock ssh-keygen said about one record, and the command to ask it again."""

    command: str
    answer: str


def fenced_by(right: RightSide) -> dict[str, Facts]:
    """Each node's own verdict on the sleeper's report, from its own copy and its own fold."""
    return each(lambda node: right.stage.until(f"{node} reads the report", partial(_verdict, right, node)))


def each(ask: Callable[[str], Facts]) -> dict[str, Facts]:
    """Ask all nodes at once; gives node -> answer."""
    with ThreadPoolExecutor(len(NODES)) as pool:
        return dict(zip(NODES, pool.map(ask, NODES), strict=True))


def _verdict(right: RightSide, node: str) -> Facts | None:
    found = next((item for item in right.mesh(node, "log") if item["id"] == right.report), None)
    if found is not None:
        must(found["verdict"] == "fenced", f"{node} fences oak's report: it says {found['verdict']}")
    return found


def flip_a_byte(right: RightSide) -> Flip:
    """Change one digit of the fenced report in a copy of the ledger, and ask `mesh verify`."""
    copy = right.folder / "copy"
    right.stage.run(["git", "clone", "--quiet", "--branch", "mesh", str(right.hub), str(copy)])
    file, number = _place_of(copy, right.report)
    lines = file.read_bytes().split(b"\n")
    line = lines[number - 1]
    at = line.index(b'"token":') + len(b'"token":')
    lines[number - 1] = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
    file.write_bytes(b"\n".join(lines))
    name = file.relative_to(copy).as_posix()
    told = right.mesh("ash", "verify", str(copy), codes=(6,))
    found = next(
        (finding for finding in told["findings"] if (finding["file"], finding["line"]) == (name, number)), None
    )
    must(found is not None, f"`mesh verify` names {name}, line {number}")
    return Flip(name, number, chr(line[at]), chr(line[at] ^ 1), 6, dict(found or {}))


def _place_of(tree: Path, record: str) -> tuple[Path, int]:
    """File and line number of a record, found by nothing but its hash."""
    for file in sorted(tree.glob("ledger/**/*.ndjson")):
        for number, line in enumerate(file.read_bytes().split(b"\n"), 1):
            if line_id(line) == record:
                return file, number
    must(False, f"the record {record[:8]} lies in the ledger's tree")
    raise AssertionError


def verified_by(right: RightSide) -> dict[str, Facts]:
    """What each node's `mesh verify --every-signature` and `mesh status` say, once all stand at one epoch."""

    def equal() -> dict[str, Facts] | None:
        said = each(lambda node: right.mesh(node, "status"))
        return said if len({status["epoch"] for status in said.values()}) == 1 else None

    statuses = right.stage.until("all nodes stand at one epoch", equal)
    found = each(lambda node: _sound(right, node, statuses[node]))
    must(len({verified["state"] for verified in found.values()}) == 1, "all state digests are equal")
    return found


def _sound(right: RightSide, node: str, status: Facts) -> Facts:
    verified = right.mesh(node, "verify", "--every-signature")
    must(verified["ok"] and not verified["findings"], f"{node} verifies the whole ledger")
    must(verified["state"] == status["state"], f"{node}'s running state is the one that it verified")
    return {**verified, "epoch": status["epoch"]}


def ask_ssh_keygen(right: RightSide, stage: Stage) -> Signature:
    """Have stock ssh-keygen verify the fenced report; the three files that it needs stay."""
    folder = stage.path / "proof" if stage.keep else Path(tempfile.mkdtemp(prefix="mesh-demo-proof-"))
    told = right.mesh("ash", "show", right.report, "--sshsig", str(folder))
    command: str = told["command"]
    done = subprocess.run(["sh", "-c", command], capture_output=True, env=stage.env, check=False)
    answer = done.stdout.decode(errors="replace").strip()
    must(done.returncode == 0 and answer.startswith("Good"), f"ssh-keygen agrees: it says {answer or done.stderr!r}")
    return Signature(command, answer)
