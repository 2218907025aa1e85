"""A second verifier of ledgers, written from docs/format.md alone: no line of orxaq_mesh, nothing but the stdlib.

    python tests/verifier/verify.py DIRECTORY    # one that holds ledger/; prints JSON; exit 0 if it is in order, else 6

It is slow and plain on purpose. This file reads the tree (sections 6 and 11); `lines`, `signatures` and `judging` beside
it are the other sections.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from judging import Ledger
from lines import SEAL, Record, Unsound, fits, parse, sha256


def place_of(log: str | None, number: int) -> str:
    segment = (number - 1) // 32
    root = f"ledger/nodes/{log}" if log else "ledger/epochs"
    return f"{root}/{segment // 128:06}/{segment * 32 + 1:010}.ndjson"


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in (folder / "ledger").rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    found.pop("ledger/README.md", None)
    return found


def lines_of(files: dict[str, bytes], findings: list[str]) -> Iterator[tuple[str, bytes]]:
    for path, data in files.items():
        *lines, torn = data.split(b"\n")
        if torn or not lines:
            findings.append(f"{path}: RENDER: torn or empty")
        yield from ((path, line) for line in lines)


def read(path: str, line: bytes) -> tuple[int, str, Record | dict[str, Any]]:
    """(number, id, the record or seal) of a line of a file."""
    if not path.startswith("ledger/epochs/"):
        record = Record(line)
        return record.seq, record.id, record
    seal = parse(line)
    if not fits(seal, SEAL):
        raise Unsound("LINE: no seal")
    return seal["epoch"], sha256(line), seal


def verify(folder: Path) -> dict[str, Any]:
    ledger, findings, files = Ledger(), [], files_of(folder)
    spine: dict[int, tuple[str, dict[str, Any], bytes]] = {}
    last: dict[str, tuple[int, str]] = {}
    for path, line in lines_of(files, findings):
        try:
            number, id_, item = read(path, line)
            if (number, id_) <= last.get(path, (0, "")):
                raise Unsound("RENDER: out of order, or twice")
            last[path] = number, id_
            if isinstance(item, Record) and place_of(item.log, number) == path:
                ledger.waiting[id_] = ledger.records[id_] = item
            elif isinstance(item, dict) and place_of(None, number) == path and number not in spine:
                spine[number] = id_, item, line
            else:
                raise Unsound("RENDER: in another place, or a second seal of an epoch")
        except Unsound as broken:
            findings.append(f"{path}: {broken}")
    rendered: dict[str, list[bytes]] = {}
    try:
        for epoch, (id_, seal, line) in sorted(spine.items()):
            ledger.fold(seal, id_)
            if seal["state"] != ledger.digest:
                findings.append(f"epoch {epoch}: DIGEST")
            rendered.setdefault(place_of(None, epoch), []).append(line)
    except Unsound as broken:
        findings.append(str(broken))
    findings += hanging(ledger)
    for record in sorted(ledger.records.values(), key=lambda record: (record.seq, record.id)):
        rendered.setdefault(place_of(record.log, record.seq), []).append(record.line)
    if {path: b"\n".join([*lines, b""]) for path, lines in rendered.items()} != files or not ledger.epoch:
        findings.append("RENDER: the files are not those of the set")
    counts = {"ledger": ledger.id, "epoch": ledger.epoch, "records": len(ledger.verdicts), "seals": ledger.epoch}
    return {"ok": not findings, **counts, "state": ledger.digest, "verdicts": ledger.verdicts, "findings": findings}


def hanging(ledger: Ledger) -> Iterator[str]:
    """Records that wait and do not belong to the run that would stand next."""
    for log in sorted({record.log for record in ledger.waiting.values()}):
        mine = [record for record in ledger.waiting.values() if record.log == log]
        good: list[Record] = []
        for tip in sorted(mine, key=lambda record: (-record.seq, record.id)):
            try:
                run = ledger.run(log, tip.seq, tip.id)
                ledger.check(run)
                good = run
                break
            except Unsound:
                continue
        yield from (f"CHAIN: seq {record.seq} of {log} hangs in the air" for record in mine if record not in good)


if __name__ == "__main__":
    report = verify(Path(sys.argv[1]))
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["ok"] else 6)
