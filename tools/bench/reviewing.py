"""What reviewing a pull request costs, however long the ledger is: the command as a job runs it, with a snapshot of the base."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from orxaq_mesh.reconcile import render
from tests.hubs import bare, plain_git
from tools.bench.ledgers import Built, build
from tools.bench.rows import Row, interleaved, took_ms

PROPOSED = 1000


def review_rows(quick: bool) -> Iterable[Row]:
    """Reviewing 1,000 records on a long ledger, against the same on a short one."""
    long, rounds = (10_000, 3) if quick else (100_000, 5)
    with tempfile.TemporaryDirectory() as folder:
        short_one = _Pull(build(1000), Path(folder) / "short")
        long_one = _Pull(build(long), Path(folder) / "long")
        cold_ms = took_ms(long_one.review)
        short_one.review()
        ours, theirs = interleaved(rounds, long_one.review, short_one.review)
        kept = long_one.cache / "review.json"
        said = f"review {PROPOSED:,} records on a ledger of {long:,}"
        yield Row("review", f"{said}, from a snapshot", ours, "on a ledger of 1,000", theirs, bar=3)
        yield Row("review", f"{said}, the first time", cold_ms)
        yield Row("review", f"a snapshot of a ledger of {long:,}", kept.stat().st_size / 1024, unit="KiB")


class _Pull:
    """A bare repository with a ledger's trunk, and a branch that would add records to it."""

    def __init__(self, built: Built, folder: Path) -> None:
        self.cache, self._path = folder / "cache", folder / "hub.git"
        folder.mkdir()
        bare(self._path)
        files, elm = built.files, built.elm
        kept = elm.seq, elm.prev
        events = [{"topic": "builds", "type": "asked", "payload": {"n": number}} for number in range(PROPOSED)]
        records = [elm.write("event.publish", **event) for event in events]
        elm.seq, elm.prev = kept
        feed = _commit("mesh", files) + _commit("topic", render(files.get, records), "mesh")
        plain_git("--git-dir", str(self._path), "fast-import", "--quiet", feed=feed)

    def review(self) -> None:
        argv = [sys.executable, "-m", "orxaq_mesh", "review", "mesh..topic", "--format", "json"]
        argv += ["--repo", str(self._path), "--cache", str(self.cache)]
        done = subprocess.run(argv, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr


def _commit(branch: str, files: dict[str, bytes], onto: str = "") -> bytes:
    parts = [b"commit refs/heads/%s\ncommitter mesh <> 0 +0000\ndata 0\n" % branch.encode()]
    parts += [b"from refs/heads/%s\n" % onto.encode()] if onto else []
    for path, data in sorted(files.items()):
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    return b"".join(parts)
