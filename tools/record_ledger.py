"""Records `ledger/` anew: a small real fleet lives through one afternoon, and its ledger and a README stay.

    python -m tools.record_ledger              # writes ledger/; some 25 s, for a silence of ten has to be watched
    python -m tools.record_ledger DIR 1500     # elsewhere, with leases of 1.5 s

Everything is done by the mesh itself on a hub and with keys that are thrown away. Which line came of which deed is
read from the ledger afterwards, and the README is written from that.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from orxaq_mesh.fold import Judged
from orxaq_mesh.inspect import History, history, verify
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.mesh import Mesh
from orxaq_mesh.record import Seal, epoch_place, log_place

ROOT = Path(__file__).resolve().parent.parent
TTL_MS = 10_000


class Deed(NamedTuple):
    """What somebody did, and the last epoch before it."""

    words: str
    after: int


class Fleet:
    """A hub and three nodes below one directory, and the deeds so far."""

    def __init__(self, folder: Path, ttl_ms: int) -> None:
        self.folder, self.ttl_ms = folder, ttl_ms
        self.hub = folder / "hub.git"
        subprocess.run(["git", "init", "--quiet", "--bare", str(self.hub)], check=True)
        self.deeds: list[Deed] = []

    def node(self, name: str, session: str = "shell") -> Mesh:
        return Mesh.open(str(self.folder / name), session=session, profile="lan")

    def tell(self, words: str) -> None:
        """Whatever is sealed from here on came of this."""
        journal = self.folder / "oak" / "journal.ndjson"
        self.deeds.append(Deed(words, history(self.node("oak"), fresh=True).state.epoch if journal.exists() else 0))

    def welcome(self, name: str, *roles: str) -> None:
        oak = self.node("oak")
        self.node(name).join(str(self.hub), name, oak.identity().ledger)
        (hello,) = (hello for hello in oak.hellos() if hello["name"] == name)
        applied(oak.admit(name, hello["fingerprint"], roles))

    def live(self) -> None:
        """The afternoon."""
        self._begin()
        self._hand_over()
        self._fall_silent()
        self._break()
        self._race()
        self._end()

    def _begin(self) -> None:
        self.tell("oak founds the ledger. This record's id is the ledger's id; it names oak's key and a recovery key.")
        self.node("oak").init(str(self.hub), "oak")
        self.tell("elm says hello. oak compares the fingerprint with what elm's owner reads out, and admits it.")
        self.welcome("elm", "node")
        self.tell("ash says hello, and is admitted as an observer: it reads and verifies, and may write nothing.")
        self.welcome("ash", "observer")

    def _hand_over(self) -> None:
        claude, codex = self.node("oak", "claude-1"), self.node("elm", "codex-1")
        self.tell("Session claude-1 on oak acquires `deploy`, which is free. Its token is this epoch's number.")
        token = applied(claude.acquire("deploy", self.ttl_ms)).facts["token"]
        self.tell("claude-1 says under that token that it has begun.")
        applied(claude.publish("deploys", "started", {"version": "1.4.2"}, under="deploy", token=token))
        self.tell(
            "codex-1 on elm wants `deploy` too and stands in line: applied, but `queued`. There is no token in it."
        )
        applied(codex.acquire("deploy", self.ttl_ms, queue=True))
        self.tell("claude-1 needs longer and renews.")
        applied(claude.renew("deploy", token=token))
        self.tell("claude-1 is done and says so.")
        applied(claude.publish("deploys", "done", {"version": "1.4.2"}, under="deploy", token=token))
        self.tell("claude-1 releases. In the same epoch the lease passes to codex-1, the head of the queue.")
        applied(claude.release("deploy", token=token))

    def _fall_silent(self) -> None:
        codex, other = self.node("elm", "codex-1"), self.node("oak", "claude-2")
        token = current(codex)
        self.tell("codex-1 says that it has begun; then elm's lid closes.")
        applied(codex.publish("deploys", "started", {"version": "1.4.3"}, under="deploy", token=token))
        self.tell("claude-2 has watched a whole ttl of silence and takes `deploy` over. The token moves on.")
        newer = applied(other.take("deploy", self.ttl_ms, wait=True)).facts["token"]
        self.tell("claude-2 deploys, and says so under the new token.")
        applied(other.publish("deploys", "done", {"version": "1.4.4"}, under="deploy", token=newer))
        self.tell("elm wakes and reports its own deploy under the old token: *fenced*, in every fold, for ever.")
        fenced(codex.publish("deploys", "done", {"version": "1.4.3"}, under="deploy", token=token))

    def _break(self) -> None:
        claude, admin = self.node("oak", "claude-2"), self.node("oak", "shell")
        token = current(claude)
        self.tell("claude-2 hangs in a prompt. oak is an admin and breaks the grant, with a reason.")
        applied(admin.break_lease("deploy", "claude-2 hangs in a prompt that nobody sees"))
        self.tell("claude-2 comes back to life. Its token was the current one until the break: fenced.")
        fenced(claude.publish("deploys", "done", {"version": "1.4.5"}, under="deploy", token=token))

    def _race(self) -> None:
        """Two ask for one free lease at once, until both have signed before either saw the other."""
        for number in range(1, 20):
            name = f"nightly-{number}"
            self.tell(f"oak and elm ask for `{name}` at the same moment. One wins; the other's request is *refused*.")
            with ThreadPoolExecutor(2) as both:
                asked = [both.submit(self.node(who, "cron").acquire, name, self.ttl_ms) for who in ("oak", "elm")]
                answers = dict(zip(("oak", "elm"), (future.result() for future in asked), strict=True))
            winner = next(who for who, answer in answers.items() if answer.verdict == "applied")
            if all(answer.record for answer in answers.values()):
                break
            self.deeds[-1] = self.deeds[-1]._replace(words=f"{winner} acquires `{name}`; the other saw it in time.")
        self.tell("The winner publishes what it found, and gives the lease back.")
        cron = self.node(winner, "cron")
        applied(cron.publish("nightly", "report", {"tests": 412, "failed": 0}, under=name))
        applied(cron.release(name))

    def _end(self) -> None:
        self.tell("elm replaces its key. From here on elm's records stand in a log of the new key, after this one.")
        applied(self.node("elm").rotate())
        self.tell("The first word under elm's new key: an event that acts under no lease.")
        applied(self.node("elm").publish("notes", "hello", {"text": "same elm, new key"}))
        self.tell("ash goes back to its lessor. oak revokes its key: whatever it signs from now on is refused.")
        applied(self.node("oak").revoke("ash", "the laptop goes back to its lessor"))


def current(mesh: Mesh) -> int:
    """The token of `deploy`, as the hub has it now."""
    return leases(mesh.observe().engine.ledger.state).by_name["deploy"].token


def applied(answer: Any) -> Any:
    assert answer.verdict == "applied", answer
    return answer


def fenced(answer: Any) -> None:
    assert answer.verdict == "fenced", answer


def export(hub: Path, target: Path) -> None:
    """The trunk's tree as plain files."""
    argv = ["git", "--git-dir", str(hub), "archive", "mesh", "ledger"]
    tar = subprocess.run(argv, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive, tempfile.TemporaryDirectory() as folder:
        archive.extractall(folder, filter="data")
        for part in ("epochs", "nodes"):
            shutil.rmtree(target / part, ignore_errors=True)
            shutil.copytree(Path(folder, "ledger", part), target / part)


# The README.

INTRODUCTION = """# A recorded ledger

A real ledger, small enough to read: what three nodes wrote in one afternoon. It was recorded by
`python -m tools.record_ledger`, with the mesh itself, on a hub and with keys that were thrown away. The files lie here
exactly as they lie in a hub's tree; this page was written with them.

    mesh verify ledger --every-signature

| | |
|---|---|
| ledger | `{ledger}` |
| records, seals | {records}, {seals} |
| last epoch | {epoch} |
| state (the running digest there, law DIGEST) | `{state}` |

`tests/test_recorded_ledger.py` verifies every signature, replays it to that digest, and has stock `ssh-keygen` verify a
record and a seal.

## The tree

{tree}

A log's name is the node's name and the first 8 hex digits of its key's sha256: a new key is a new log. A segment holds
32 lines and is named after its first seq (or epoch); a folder holds 128 segments. What each field of a line means stands
in `docs/format.md`.

## Line by line

In the order of the epochs, which is the order that counts. A record is a request, and what came of it is its verdict.
An epoch's seal is the line of its number in `ledger/epochs/`; who sealed it stands in brackets.

"""


def readme(told: History, deeds: list[Deed], facts: Any) -> str:
    head = INTRODUCTION.format(
        ledger=facts.ledger,
        records=facts.records,
        seals=facts.seals,
        epoch=facts.epoch,
        state=facts.state,
        tree="\n".join(tree(told)),
    )
    return head + "\n".join(rows(told, deeds)) + "\n"


def tree(told: History) -> Iterator[str]:
    lines: dict[str, list[str]] = {}
    for item in told.judged:
        lines.setdefault(log_place(item.record.log, item.record.seq).file, []).append(f"seq {item.record.seq}")
    yield "| file | lines | holds |"
    yield "|---|---|---|"
    yield f"| `{epoch_place(1).file}` | {len(told.seals)} | the spine: one seal an epoch |"
    for file, found in sorted(lines.items()):
        yield f"| `{file}` | {len(found)} | the log `{file.split('/')[2]}`, {found[0]} to {found[-1].split()[1]} |"


def rows(told: History, deeds: list[Deed]) -> Iterator[str]:
    seals = {seal.epoch: seal for seal in told.seals}
    said: set[str] = set()
    yield "| epoch | record | verdict | what happened |"
    yield "|---|---|---|---|"
    for item in told.judged:
        words = next(deed.words for deed in reversed(deeds) if deed.after < item.epoch)
        yield row(item, seals[item.epoch], "" if words in said else words)
        said.add(words)


def row(item: Judged, seal: Seal, words: str) -> str:
    record, verdict = item.record, item.verdict
    outcome = verdict.outcome + (f", {verdict.result}" if verdict.result else "")
    what = f"`{record.kind}` `{record.id[:12]}`<br>line {log_place(record.log, record.seq).line} of `{record.log}`"
    return f"| {item.epoch} [{seal.log.rpartition('-')[0]}] | {what} | {outcome} ({verdict.rule}) | {words} |"


def record(target: Path, ttl_ms: int = TTL_MS) -> None:
    """Live through the afternoon, and write what stayed of it."""
    with tempfile.TemporaryDirectory(prefix="mesh-record-") as folder:
        fleet = Fleet(Path(folder), ttl_ms)
        fleet.live()
        target.mkdir(parents=True, exist_ok=True)
        export(fleet.hub, target)
        oak = fleet.node("oak")
        facts = verify(None, target, every_signature=True)
        assert facts.ok, facts.findings
        told = history(oak)
        (target / "README.md").write_text(readme(told, fleet.deeds, facts), "utf-8")


if __name__ == "__main__":
    given = sys.argv[1:]
    record(Path(given[0]) if given else ROOT / "ledger", int(given[1]) if given[1:] else TTL_MS)
