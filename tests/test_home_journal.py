"""The journal: every acknowledged entry survives, damage is seen, a restart goes on (laws CHAIN, CACHE, CLOSED)."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh.errors import MeshFault
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.place import Home

FIRST = {"type": "identity", "node": "oak"}

WRITER = """
import sys
from pathlib import Path
from orxaq_mesh.home.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
number = journal.entries[-1].get("seq", 0)
while True:
    number += 1
    journal.append({"seq": number, "pad": "x" * (number * 37 % 900)}, {"seq": number, "seal": True})
    print(number, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.ndjson"


def entry(seq: int) -> dict[str, Any]:
    return {"seq": seq, "line": "\u00fc" * (seq % 5), "nested": {"heads": [seq]}}


def filled(path: Path, count: int) -> Journal:
    journal = Journal.create(path, [FIRST])
    for seq in range(1, count + 1):
        journal.append(entry(seq))
    return journal


def test_C28_a_restart_goes_on_where_the_node_was(path: Path) -> None:
    journal = filled(path, 3)
    journal.append(entry(4), entry(5))
    again = Journal.open(path)
    assert again.entries == journal.entries == [FIRST, *(entry(seq) for seq in range(1, 6))]
    assert again.size == journal.size == path.stat().st_size
    again.append(entry(6))
    assert Journal.open(path).entries[-1] == entry(6)


def test_the_journal_is_the_owners_alone_and_never_replaced(path: Path) -> None:
    filled(path, 1)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_bytes()
    with pytest.raises(MeshFault, match="this home has a node"):
        Journal.create(path, [FIRST])
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_missing_journal_names_the_next_step(path: Path) -> None:
    with pytest.raises(MeshFault, match="no journal") as caught:
        Journal.open(path)
    assert "mesh init" in caught.value.hint


def test_CHAIN_kill_9_amid_appends_loses_no_acknowledged_entry(path: Path) -> None:
    Journal.create(path, [FIRST])
    acknowledged = 0
    for lines in (1, 40, 7, 90, 23):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            said = [int(writer.stdout.readline()) for _ in range(lines)]
            writer.send_signal(signal.SIGKILL)
            said += [int(line) for line in writer.stdout.read().split(b"\n")[:-1]]
        assert said == list(range(said[0], said[-1] + 1)), "the chain goes on without a gap"
        assert said[0] > acknowledged
        acknowledged = said[-1]
        entries = Journal.open(path).entries[1:]
        assert [each["seq"] for each in entries[::2]] == [each["seq"] for each in entries[1::2]]
        assert [each["seq"] for each in entries[::2]][:acknowledged] == list(range(1, acknowledged + 1))


def test_a_tail_torn_at_any_byte_is_put_aside_and_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.ndjson"
    whole = filled(path, 2)
    whole.append(entry(3), entry(4))
    data = path.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    for cut in range(start + 1, len(data)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        torn_file = folder / "journal.ndjson"
        torn_file.write_bytes(data[:cut])
        journal = Journal.open(torn_file)
        assert journal.entries == whole.entries[:-2], "all of an append or none of it"
        assert torn_file.read_bytes() == data[:cut], "reading changes nothing"
        assert journal.torn == cut - start
        journal.append(entry(9))
        assert "never finished" in str(journal.repaired)
        assert (folder / "journal.torn-1").read_bytes() == data[start:cut]
        assert Journal.open(torn_file).entries == [*whole.entries[:-2], entry(9)]


@given(st.data())
def test_a_last_line_with_any_wrong_byte_is_put_aside(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("flip") / "journal.ndjson"
    journal = filled(path, 2)
    content = bytearray(path.read_bytes())
    start = content.rindex(b"\n", 0, -1) + 1
    at = data.draw(st.integers(start, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    if b"\n" in content[start:-1]:  # a flip that made a newline: two bad lines, so not the last one alone
        with pytest.raises(MeshFault, match="damaged"):
            Journal.open(path)
        return
    again = Journal.open(path)
    assert again.entries == journal.entries[:-1]
    assert "journal.torn-1" in str(again.settle())


def test_CLOSED_a_flipped_byte_in_the_middle_is_refused_with_file_and_line(path: Path) -> None:
    filled(path, 3)
    data = path.read_bytes()
    second = data.index(b"\n") + 1
    end = data.index(b"\n", second)
    for at in range(second, end):
        flipped = bytearray(data)
        flipped[at] ^= 0x01
        path.write_bytes(flipped)
        with pytest.raises(MeshFault, match=r"journal\.ndjson, line 2: damaged") as caught:
            Journal.open(path)
        assert caught.value.facts == {"file": str(path), "line": 2}
        assert path.read_bytes() == flipped
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_every_torn_tail_is_kept(path: Path) -> None:
    filled(path, 1)
    for number in (1, 2, 3):
        with path.open("ab") as file:
            file.write(b'{"crc":"%d' % number)
        journal = Journal.open(path)
        assert f"journal.torn-{number}" in str(journal.settle())
        assert journal.settle() is None
    assert (path.parent / "journal.torn-2").read_bytes() == b'{"crc":"2'


class FullDisk(Journal):
    """Takes `room` bytes of the next write and then says that the disk is full."""

    room = 10

    def _write(self, fd: int, data: bytes) -> int:
        os.write(fd, data[: self.room])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ShortWrite(Journal):
    def _write(self, fd: int, data: bytes) -> int:
        return os.write(fd, data[:-1])


class NoSync(Journal):
    failing = True

    def _sync(self, fd: int) -> None:
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super()._sync(fd)


@pytest.mark.parametrize("kind", [FullDisk, ShortWrite])
def test_CLOSED_a_full_disk_takes_nothing_and_stops_the_journal(path: Path, kind: type[Journal]) -> None:
    filled(path, 2)
    before = path.read_bytes()
    journal = kind.open(path)
    with pytest.raises(MeshFault, match="cannot append to the journal"):
        journal.append(entry(3))
    assert path.read_bytes() == before
    with pytest.raises(MeshFault, match="earlier write failed"):
        journal.append(entry(3))
    with pytest.raises(MeshFault, match="earlier write failed"):
        journal.rewrite([])
    assert journal.reload_if_changed()
    assert journal.entries == Journal.open(path).entries == [FIRST, entry(1), entry(2)]
    Journal.open(path).append(entry(3))


def test_CLOSED_what_the_medium_did_not_confirm_is_not_there(path: Path) -> None:
    filled(path, 1)
    journal = NoSync.open(path)
    with pytest.raises(MeshFault, match="cannot settle"):
        journal.append(entry(2))
    journal.failing = False
    journal.reload_if_changed()
    journal.settle()
    journal.failing = True
    with pytest.raises(MeshFault, match="cannot append"):
        journal.append(entry(2))
    assert Journal.open(path).entries == [FIRST, entry(1)]


def test_CLOSED_a_real_file_size_limit_leaves_the_journal_whole(path: Path) -> None:
    filled(path, 2)
    size = path.stat().st_size

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200, size + 200))

    done = subprocess.run([sys.executable, "-c", WRITER, str(path)], capture_output=True, preexec_fn=limit, check=False)
    assert b"cannot append to the journal" in done.stderr
    again = Journal.open(path)
    said = [int(line) for line in done.stdout.split()]
    assert [each["seq"] for each in again.entries[3::2]] == said
    assert again.torn == 0
    again.append(entry(99))


class Loses(Journal):
    """A disk that forgets at a power cut what was not synced: `after_power_cut` gives the bytes that last."""

    durable = b""

    def _sync(self, fd: int) -> None:
        super()._sync(fd)
        self.durable = self.path.read_bytes()


def test_CHAIN_what_append_acknowledged_outlives_a_power_cut(path: Path) -> None:
    filled(path, 1)
    journal = Loses.open(path)
    for seq in (2, 3, 4):
        journal.append(entry(seq))
        assert journal.durable == path.read_bytes()
    path.write_bytes(journal.durable)
    assert Journal.open(path).entries == journal.entries


def test_CHAIN_a_line_that_a_killed_process_did_not_sync_is_settled_before_use(path: Path) -> None:
    sibling = filled(path, 1)
    journal = Loses.open(path)
    with path.open("ab") as file:  # written, and killed before its fsync
        line = b"".join(path.read_bytes().splitlines(keepends=True)[-1:])
        file.write(line)
    assert journal.reload_if_changed()
    assert journal.entries == [*sibling.entries, entry(1)]
    journal.settle()
    assert journal.durable == path.read_bytes()


SHARER = """
import sys
from pathlib import Path
from orxaq_mesh.home.journal import Journal
from orxaq_mesh.home.locks import NodeLock
from orxaq_mesh.home.place import Home
home = Home(Path(sys.argv[1]))
journal = Journal.open(home.journal)
for turn in range(int(sys.argv[2])):
    with NodeLock(home, "node"):
        journal.reload_if_changed()
        seq = journal.entries[-1]["seq"] + 1
        if seq % 10 == 0:
            journal.rewrite(journal.entries)
        journal.append({"seq": seq})
"""


def test_CHAIN_processes_that_take_turns_never_use_a_seq_twice(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").make()
    Journal.create(home.journal, [{"seq": 0}])
    workers = [subprocess.Popen([sys.executable, "-c", SHARER, str(home.path), "15"]) for _ in range(3)]
    assert [worker.wait() for worker in workers] == [0, 0, 0]
    assert [each["seq"] for each in Journal.open(home.journal).entries] == list(range(46))


REWRITER = """
import sys
from pathlib import Path
from orxaq_mesh.home.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
while True:
    print(flush=True)
    journal.rewrite([{"seq": number} for number in range(300)])
    journal.append({"seq": 300})
"""


def test_kill_9_amid_a_rewrite_leaves_the_old_journal_or_the_new(path: Path) -> None:
    whole = [{"seq": number} for number in range(301)]
    Journal.create(path, whole)
    for rounds in (1, 2, 5, 9):
        with subprocess.Popen([sys.executable, "-c", REWRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(rounds):
                writer.stdout.readline()
            writer.kill()
        journal = Journal.open(path)
        assert journal.entries in (whole, whole[:-1])
        journal.settle()


def test_a_sibling_sees_what_was_appended_and_rewritten(path: Path) -> None:
    mine = filled(path, 2)
    other = Journal.open(path)
    assert not other.reload_if_changed()
    mine.append(entry(3))
    assert other.reload_if_changed()
    assert other.entries == mine.entries
    mine.rewrite([FIRST, entry(3)])
    assert mine.entries == [FIRST, entry(3)]
    assert other.reload_if_changed()
    assert other.entries == mine.entries
    assert path.stat().st_mode & 0o777 == 0o600


def test_CHAIN_a_stale_reader_may_not_append(path: Path) -> None:
    mine = filled(path, 2)
    stale = Journal.open(path)
    mine.append(entry(3))
    with pytest.raises(MeshFault, match="has changed since"):
        stale.append(entry(3))
    with pytest.raises(MeshFault, match="has changed since"):
        stale.rewrite([FIRST])
    assert Journal.open(path).entries == mine.entries


def test_a_rewrite_that_fails_leaves_the_old_journal(path: Path) -> None:
    filled(path, 3)
    before = path.read_bytes()
    journal = FullDisk.open(path)
    with pytest.raises(MeshFault, match="cannot rewrite"):
        journal.rewrite([FIRST])
    assert path.read_bytes() == before
    assert journal.reload_if_changed(), "after a fault it is read again, changed or not"
    assert not journal.reload_if_changed()
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_journal_does_not_follow_a_link(path: Path, tmp_path: Path) -> None:
    journal = filled(path, 1)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MeshFault):
        journal.append(entry(2))
