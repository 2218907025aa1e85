"""A second verifier of ledgers, written from docs/format.md alone: no line of orxaq_mesh, nothing but the stdlib.

    python tests/verifier/verify.py DIRECTORY    # one that holds ledger/; prints JSON; exit 0 if it is in order, else 6

It is slow and plain on purpose. This file reads the tree and tells (sections 6 and 12); the other sections are `lines`
(1, 3, 4, 5), `signatures` (2), `seals` (5, 6), `forks` (7) and `judging` (8 to 11) beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forks import Fleet
from lines import Record, Seal, Unsound
from seals import Ledger


def place_of(item: Record | Seal) -> str:
    number, root = (item.epoch, "epochs") if isinstance(item, Seal) else (item.seq, f"nodes/{item.log}")
    segment = (number - 1) // 32
    return f"ledger/{root}/{segment // 128:06}/{segment * 32 + 1:010}.ndjson"


def files_of(folder: Path) -> dict[str, bytes]:
    paths = (path for path in (folder / "ledger").rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}
    found.pop("ledger/README.md", None)
    return found


def lines_of(files: dict[str, bytes], findings: list[str]) -> Iterator[Record | Seal]:
    for path, data in files.items():
        if not data.endswith(b"\n"):
            findings.append(f"{path}: RENDER: torn or empty")
        for line in data.removesuffix(b"\n").split(b"\n"):
            try:
                item: Record | Seal = (Seal if path.startswith("ledger/epochs/") else Record)(line)
                if place_of(item) != path:
                    raise Unsound("RENDER: in another place")
                yield item
            except Unsound as broken:
                findings.append(f"{path}: {broken}")


def rendered(items: list[Record | Seal]) -> dict[str, bytes]:
    """12. The files of these lines."""
    files: dict[str, list[tuple[int, str, bytes]]] = {}
    for item in {item.id: item for item in items}.values():
        number = item.epoch if isinstance(item, Seal) else item.seq
        files.setdefault(place_of(item), []).append((number, item.id, item.line))
    return {path: b"".join(line + b"\n" for _, _, line in sorted(lines)) for path, lines in files.items()}


def verify(folder: Path) -> dict[str, Any]:
    findings: list[str] = []
    files = files_of(folder)
    items = list(lines_of(files, findings))
    ledger = Ledger(
        [item for item in items if isinstance(item, Record)], [item for item in items if isinstance(item, Seal)]
    )
    fleet = Fleet(ledger)
    tip, kept = fleet.tip, ledger.kept()
    findings += [str(broken) for broken in ledger.broken.values()]
    findings += [f"SIG: {id_} is not kept" for id_ in (ledger.records.keys() | ledger.seals.keys()) - kept]
    findings += [f"epoch {ledger.seals[id_].epoch}: DIGEST" for id_ in fleet.chain if not digests(ledger, id_)]
    waits, takes = {}, {}
    for log, records in ledger.logs.items():
        mine = [record for record in records if record.id in ledger.authentic & kept and record.seq > tip.last(log)[0]]
        waits |= {record.id: record for record in mine}
        led = ledger.led(tip, log, mine)
        if not fleet.to_suspend(log) and (run := ledger.next_run(tip, log, mine)):
            takes[log] = run
        hanging = [record for record in mine if record.id not in led and record.id not in ledger.named]
        findings += [f"CHAIN: seq {record.seq} of {log} hangs in the air" for record in hanging]
    if rendered(items) != files or not fleet.chain:
        findings.append("RENDER: the files are not those of the set")
    verdicts = {record.id: verdict for id_ in fleet.chain for record, verdict in ledger.judged[id_]}
    return {
        "ok": not findings,
        "ledger": ledger.id,
        "epoch": tip.epoch,
        "tip": tip.seal,
        "final": fleet.final(),
        "records": len(verdicts),
        "seals": len(fleet.chain),
        "orphans": len(ledger.judged) - len(fleet.chain),
        "state": tip.digest,
        "verdicts": verdicts,
        "waiting": sorted(waits),
        "next": takes,
        "findings": findings,
    }


def digests(ledger: Ledger, id_: str) -> bool:
    return ledger.seals[id_].state == ledger.states[id_].digest


if __name__ == "__main__":
    report = verify(Path(sys.argv[1]))
    print(json.dumps(report, indent=1))
    sys.exit(0 if report["ok"] else 6)
