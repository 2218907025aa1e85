"""Long ledgers with real chains and signatures: in memory, and as a hub with one commit an epoch.

built = build(100_000)                         # in epochs of ten records each
built.files                                    # the tree
built.at_hub(hub, folder)                      # the home of the node that wrote them
"""

from __future__ import annotations

from functools import cache

from orxaq_mesh.effects import Save
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.place import Home
from orxaq_mesh.record import Record
from orxaq_mesh.sync.identity import Identity, entries_of
from tests.builder import Pen, Trunk
from tests.hubs import Hub

RECORDS_AN_EPOCH = 10
LEASE = {"lease": "bench", "session": "s"}


class Built:
    """A ledger of at least so many records, written by elm under a lease: events, and a renewal every epoch."""

    def __init__(self, records: int) -> None:
        self.trunk = Trunk.founded()
        self.elm = self.trunk.admit("elm")
        self.trunk.seal(self.elm.write("lease.acquire", **LEASE, ttl_ms=60_000, until=99), by=self.elm)
        self.token = self.trunk.ledger.state.epoch
        self._commits = [commit(1, dict(self.trunk.files))]
        self.last: Record | None = None
        while self.trunk.ledger.state.records < records:
            self._epoch()

    @property
    def files(self) -> dict[str, bytes]:
        return self.trunk.files

    def _epoch(self) -> None:
        before = self.files.copy()
        elm: Pen = self.elm
        number = self.trunk.ledger.state.epoch
        records = [elm.write("lease.renew", **LEASE, token=self.token)]
        under = {**LEASE, "token": self.token}
        payload = {"n": number, "version": "1.4.2"}
        event = {"topic": "builds", "type": "finished", "payload": payload, "under": under}
        records += [elm.write("event.publish", **event) for _ in range(RECORDS_AN_EPOCH - 1)]
        self.trunk.seal(*records, by=elm)
        self.last = records[-1]
        changed = {path: data for path, data in self.files.items() if before.get(path) is not data}
        self._commits.append(commit(number + 1, changed))

    def at_hub(self, hub: Hub, home: Home) -> Home:
        """Put the ledger on a hub, commit by commit, and make elm's home as it would be after writing it."""
        hub.git("fast-import", "--quiet", "--force", feed=b"".join(self._commits))
        hub.git("gc", "--quiet")
        home.make()
        home.key.write_bytes(self.elm.key.to_openssh("elm"))
        home.key.chmod(0o600)
        assert self.last
        state = self.trunk.ledger.state
        me = Identity("elm", self.elm.log, hub.url, str(self.trunk.ledger.id), "mesh", "key")
        save = Save(records=[self.last], seen=(state.epoch, state.seal))
        Journal.create(home.journal, [me.entry(), *entries_of(save)])
        return home


@cache
def build(records: int) -> Built:
    """A ledger of that many records, or a few more; several parts look at the same one."""
    return Built(records)


def commit(number: int, files: dict[str, bytes], *, goes_on: bool = False) -> bytes:
    """One commit for `git fast-import`; `goes_on`: the first of a feed, on what the branch has already."""
    message = f"mesh: epoch {number}".encode()
    parts = [b"commit refs/heads/mesh\ncommitter mesh <> %d +0000\ndata %d\n%s\n" % (number, len(message), message)]
    parts += [b"from refs/heads/mesh^0\n"] if goes_on else []
    for path, data in sorted(files.items()):
        parts.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))
    return b"".join(parts)
