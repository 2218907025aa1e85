"""What every store does, run on both: `MemoryStore` and `GitStore` over a real hub (laws PUSH, RENDER, QUIET)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from orxaq_mesh import errors
from orxaq_mesh.record import log_place
from orxaq_mesh.store import Change, Flaw, Outcome, Store, flaws_only
from orxaq_mesh.store.git import GitStore
from orxaq_mesh.store.memory import MemoryCommit, MemoryHub, MemoryStore
from tests.hubs import bare, plain_git

OAK, ELM = "oak-3f9a01c2", "elm-12ab34cd"
SPINE = "ledger/epochs/000000/0000000001.ndjson"
LOG = f"ledger/nodes/{OAK}/000000/0000000001.ndjson"


class Fleet:
    """A hub and as many stores at it as a test asks for; `plant` puts any files at the hub, whoever would refuse them."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder, self._kind = folder, kind
        self._memory = MemoryHub()
        self._path = bare(folder / "hub.git") if kind == "git" else folder
        self._stores: list[Store] = []

    def store(self) -> Store:
        made: Store
        if self._kind == "git":
            made = GitStore(self._folder / f"store-{len(self._stores)}", str(self._path), environ=os.environ)
        else:
            made = MemoryStore(self._memory)
        self._stores.append(made)
        return made

    def plant(self, branch: str, files: dict[str, bytes]) -> str:
        if self._kind == "memory":
            commit = MemoryCommit(files, (), "planted", 0)
            self._memory.commits[commit.oid] = commit
            self._memory.branches[branch] = commit.oid
            return commit.oid
        oid = plain_git("--git-dir", str(self._path), "commit-tree", "-m", "planted", self._tree(files))
        plain_git("--git-dir", str(self._path), "update-ref", f"refs/heads/{branch}", oid)
        return oid

    def _tree(self, files: dict[str, bytes]) -> str:
        folders: dict[str, dict[str, bytes]] = {}
        lines = []
        for path, content in files.items():
            first, _, rest = path.partition("/")
            if rest:
                folders.setdefault(first, {})[rest] = content
            else:
                blob = plain_git("--git-dir", str(self._path), "hash-object", "-w", "--stdin", feed=content)
                lines.append(f"100644 blob {blob}\t{first}")
        lines += [f"040000 tree {self._tree(inner)}\t{name}" for name, inner in folders.items()]
        return plain_git("--git-dir", str(self._path), "mktree", feed="\n".join([*lines, ""]).encode())

    def close(self) -> None:
        for store in self._stores:
            store.close()


@pytest.fixture(params=["memory", "git"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fleet]:
    made = Fleet(tmp_path, request.param)
    yield made
    made.close()


def first(store: Store, text: bytes = b"a\n") -> str:
    oid = store.commit(None, {SPINE: text}, [], "epoch 1", 100)
    assert store.push("mesh", None, oid).outcome is Outcome.COMMITTED
    return oid


def test_an_empty_hub_has_no_tips(fleet: Fleet) -> None:
    assert fleet.store().poll() == {}


def test_what_one_store_pushes_another_reads(fleet: Fleet) -> None:
    oak, elm = fleet.store(), fleet.store()
    one = first(oak)
    outbox = oak.commit(None, {LOG: b"r\n"}, [], "outbox", 101)
    assert oak.push(f"mesh-node/{OAK}", None, outbox).outcome is Outcome.COMMITTED

    tips = elm.poll()
    assert tips == {"mesh": one, f"mesh-node/{OAK}": outbox}
    assert not elm.has(one)
    elm.fetch(tips)
    assert elm.has(one)
    assert elm.read(one, SPINE) == b"a\n"
    assert elm.read(one, LOG) is None
    assert elm.read(outbox, LOG) == b"r\n"
    elm.fetch(tips)  # a second time costs nothing and changes nothing
    assert elm.poll() == tips


def test_SET_the_same_commit_is_made_everywhere(fleet: Fleet) -> None:
    made = [fleet.store().commit(None, {SPINE: b"a\n", LOG: b"r\n"}, [], "epoch 1", 1790000000) for _ in range(2)]
    assert made[0] == made[1]
    other = fleet.store().commit(None, {SPINE: b"a\n", LOG: b"r\n"}, [], "epoch 1", 1790000001)
    assert other != made[0]


def test_changes_are_only_what_differs_sorted_by_path(fleet: Fleet) -> None:
    store = fleet.store()
    files = {log_place(OAK, seq).file: b"%d\n" % seq for seq in range(1, 8000, 32)} | {SPINE: b"a\n"}
    one = store.commit(None, files, [], "many", 1)
    told = list(store.changes(None, one))
    assert told == [Change(path, None, files[path]) for path in sorted(files)]

    last = log_place(OAK, 7969).file
    two = store.commit(one, {last: b"new\n", LOG: None}, [one], "two", 2)
    assert list(store.changes(one, two)) == [Change(LOG, b"1\n", None), Change(last, b"7969\n", b"new\n")]
    assert list(store.changes(two, one, f"ledger/nodes/{OAK}/000001")) == [Change(last, b"new\n", b"7969\n")]
    assert list(store.changes(one, two, "ledger/epochs")) == []
    assert list(store.changes(one, one)) == []
    assert store.read(two, LOG) is None


def test_descends_follows_every_parent(fleet: Fleet) -> None:
    store = fleet.store()
    root = store.commit(None, {SPINE: b"0\n"}, [], "root", 1)
    left = store.commit(root, {SPINE: b"1\n"}, [root], "left", 2)
    right = store.commit(root, {SPINE: b"2\n"}, [root], "right", 3)
    both = store.commit(left, {SPINE: b"3\n"}, [left, right], "both", 4)
    for old in (root, left, right, both):
        assert store.descends(both, old)
    assert not store.descends(left, right)
    assert not store.descends(root, both)


def test_C13_the_loser_of_a_race_is_told_lost_and_can_try_again(fleet: Fleet) -> None:
    oak, elm = fleet.store(), fleet.store()
    root = first(oak)
    elm.fetch(elm.poll())
    won = oak.commit(root, {SPINE: b"oak\n"}, [root], "epoch 2", 200)
    lost = elm.commit(root, {SPINE: b"elm\n"}, [root], "epoch 2", 200)
    assert oak.push("mesh", root, won).outcome is Outcome.COMMITTED
    told = elm.push("mesh", root, lost)
    assert told.outcome is Outcome.LOST
    assert not told.vetoed
    assert "stale info" in told.reason

    elm.fetch(elm.poll())
    again = elm.commit(won, {LOG: b"elm\n"}, [won], "epoch 3", 300)
    assert elm.push("mesh", won, again).outcome is Outcome.COMMITTED
    assert elm.poll() == {"mesh": again}


def test_C13_a_branch_that_must_not_exist_yet_and_does_is_lost(fleet: Fleet) -> None:
    oak, elm = fleet.store(), fleet.store()
    first(oak)
    mine = elm.commit(None, {SPINE: b"b\n"}, [], "epoch 1", 100)
    assert elm.push("mesh", None, mine).outcome is Outcome.LOST


def test_C11_up_to_date_proves_nothing(fleet: Fleet) -> None:
    oak, elm = fleet.store(), fleet.store()
    root = first(oak)
    assert elm.commit(None, {SPINE: b"a\n"}, [], "epoch 1", 100) == root
    assert elm.push("mesh", None, root).outcome is Outcome.UNKNOWN


def test_C12_what_does_not_descend_is_refused_before_the_hub_is_asked(fleet: Fleet) -> None:
    store = fleet.store()
    root = first(store)
    two = store.commit(root, {SPINE: b"2\n"}, [root], "epoch 2", 200)
    assert store.push("mesh", root, two).outcome is Outcome.COMMITTED
    beside = store.commit(root, {SPINE: b"3\n"}, [root], "epoch 2", 201)
    for rewind in (root, beside):
        with pytest.raises(ValueError, match="does not descend"):
            store.push("mesh", two, rewind)
    assert store.poll() == {"mesh": two}


def test_C12_a_reading_between_read_and_push_changes_nothing(fleet: Fleet) -> None:
    oak, elm = fleet.store(), fleet.store()
    root = first(oak)
    elm.fetch(elm.poll())
    won = oak.commit(root, {SPINE: b"oak\n"}, [root], "epoch 2", 200)
    assert oak.push("mesh", root, won).outcome is Outcome.COMMITTED
    elm.fetch(elm.poll())
    lost = elm.commit(root, {SPINE: b"elm\n"}, [root], "epoch 2", 200)
    assert elm.push("mesh", root, lost).outcome is Outcome.LOST
    assert elm.poll() == {"mesh": won}


def test_a_tip_that_its_branch_no_longer_reaches_is_unreachable(fleet: Fleet) -> None:
    store = fleet.store()
    fleet.plant("mesh", {SPINE: b"a\n"})
    with pytest.raises(errors.Unreachable):
        store.fetch({"mesh": "1" * 40})


def test_a_branch_may_move_on_between_poll_and_fetch(fleet: Fleet) -> None:
    oak, elm = fleet.store(), fleet.store()
    root = first(oak)
    tips = elm.poll()
    two = oak.commit(root, {SPINE: b"2\n"}, [root], "epoch 2", 200)
    assert oak.push("mesh", root, two).outcome is Outcome.COMMITTED
    elm.fetch(tips)
    assert elm.read(root, SPINE) == b"a\n"


@pytest.mark.parametrize("branch", ["main", "mesh-node/oak", "mesh-node/../mesh", "mesh-node/Oak-3f9a01c2", "-x", ""])
def test_only_the_trunk_and_outboxes_are_moved_or_seen(fleet: Fleet, branch: str) -> None:
    store = fleet.store()
    root = store.commit(None, {SPINE: b"a\n"}, [], "epoch 1", 100)
    with pytest.raises(ValueError, match="neither the trunk nor an outbox"):
        store.push(branch, None, root)
    if branch == "mesh-node/oak":
        fleet.plant(branch, {SPINE: b"a\n"})
        assert store.poll() == {}


@pytest.mark.parametrize(
    ("path", "law", "file"),
    [
        (f"ledger/nodes/{OAK}/000000/0000000002.ndjson", "RENDER", None),
        (f"ledger/nodes/{OAK}/000001/0000000001.ndjson", "RENDER", None),
        (f"ledger/nodes/{OAK}/x", "RENDER", None),
        ("ledger/notes.txt", "RENDER", None),
        ("ledger/nodes/oak/000000/0000000001.ndjson", "RENDER", "ledger/nodes/oak"),
        (f"ledger/nodes/{'a' * 60}-3f9a01c2/000000/0000000001.ndjson", "RENDER", f"ledger/nodes/{'a' * 60}-3f9a01c2"),
        ("ledger/epochs/000000/0000000001.ndjson/x", "RENDER", SPINE),
        ("ledger/nodes/Oak-3f9a01c2/000000/0000000001.ndjson", "QUIET", "ledger/nodes/Oak-3f9a01c2"),
        ("ledger/.gitattributes", "QUIET", None),
        ("ledger/.gitmodules", "QUIET", None),
        ("ledger/epochs/.hidden/x", "QUIET", "ledger/epochs/.hidden"),
        ("ledger/lock~1/config", "QUIET", "ledger/lock~1"),
        ("ledger/a b", "QUIET", None),
        ("ledger/epochs/\u202e", "QUIET", "ledger/epochs/\\u202e"),
        ("ledger/\x1b[2J", "QUIET", "ledger/\\x1b[2J"),
    ],
)
def test_B4_what_no_ledger_has_is_one_flaw_and_the_rest_is_read(
    fleet: Fleet, path: str, law: str, file: str | None
) -> None:
    good = log_place(ELM, 1).file
    planted = fleet.plant("mesh", {path: b"garbage\n", good: b"good\n", "README.md": b"for people\n"})
    store = fleet.store()
    store.fetch(store.poll())
    told = list(store.changes(None, planted))
    assert [item for item in told if isinstance(item, Change)] == [Change(good, None, b"good\n")]
    assert [(flaw.law, flaw.file) for flaw in flaws_only(told)] == [(law, file or path)]
    assert store.read(planted, path) is None


def test_RENDER_a_flaw_is_healed_by_naming_it_and_the_rest_stays(fleet: Fleet) -> None:
    good = log_place(ELM, 1).file
    planted = fleet.plant(
        "mesh",
        {"ledger/Evil/x": b"1\n", f"ledger/nodes/{OAK}/x": b"2\n", good: b"good\n", "README.md": b"people\n"},
    )
    store = fleet.store()
    store.fetch(store.poll())
    flaws = flaws_only(store.changes(None, planted))
    assert len(flaws) == 2
    healed = store.commit(planted, {flaw.file: None for flaw in flaws}, [planted], "healed", 5)
    assert list(store.changes(None, healed)) == [Change(good, None, b"good\n")]
    assert flaws_only(store.changes(planted, healed)) == []
    assert store.push("mesh", planted, healed).outcome is Outcome.COMMITTED


def test_a_flaw_in_the_old_commit_is_no_change(fleet: Fleet) -> None:
    old = fleet.plant(f"mesh-node/{OAK}", {"ledger/x": b"1\n", SPINE: b"a\n"})
    new = fleet.plant("mesh", {"ledger/y": b"1\n", SPINE: b"a\n"})
    store = fleet.store()
    store.fetch(store.poll())
    assert [type(item) for item in store.changes(old, new)] == [Flaw]


def test_a_commit_says_when_it_was_made(fleet: Fleet) -> None:
    oak, elm = fleet.store(), fleet.store()
    root = oak.commit(None, {SPINE: b"0\n"}, [], "root", 0)
    late = oak.commit(root, {SPINE: b"1\n"}, [root], "late", 4_102_444_800)
    assert (oak.made_s(root), oak.made_s(late)) == (0, 4_102_444_800)
    assert oak.push("mesh", None, late).outcome is Outcome.COMMITTED
    elm.fetch(elm.poll())
    assert elm.made_s(late) == 4_102_444_800  # it goes into the next commit, which is to be the same everywhere


def test_only_what_is_wanted_is_told_and_every_flaw_is(fleet: Fleet) -> None:
    one, other = (log_place(log, 1).file for log in (ELM, OAK))
    planted = fleet.plant("mesh", {SPINE: b"a\n", one: b"1\n", other: b"2\n", "ledger/notes.txt": b"x\n"})
    store = fleet.store()
    store.fetch(store.poll())
    flaws = flaws_only(store.changes(None, planted))
    assert [flaw.file for flaw in flaws] == ["ledger/notes.txt"]
    for wanted in ({SPINE}, {one, other}, set[str]()):
        told = list(store.changes(None, planted, only=wanted.__contains__))
        assert {item.path for item in told if isinstance(item, Change)} == wanted
        assert flaws_only(told) == flaws


@pytest.mark.parametrize(
    "message",
    ["", "fixes #1", "a\nCo-authored-by: x", "[skip ci]", "thanks @oak", "caf\u00e9", "x" * 201, "a\tb", " a", "a\r"],
)
def test_B9_a_message_of_no_template_is_refused(fleet: Fleet, message: str) -> None:
    with pytest.raises(ValueError, match="template"):
        fleet.store().commit(None, {SPINE: b"a\n"}, [], message, 1)


@pytest.mark.parametrize(
    "path", ["/etc/x", "../x", "ledger/../x", ".git/config", "a//b", "", "ledger/x", "ledger", "a/.git/x", "a\nb"]
)
def test_RENDER_a_path_that_no_ledger_has_is_not_written(fleet: Fleet, path: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        fleet.store().commit(None, {path: b"a\n"}, [], "epoch 1", 1)


def test_B6_a_segment_that_no_reader_takes_is_not_written(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="not a segment"):
        fleet.store().commit(None, {SPINE: b"x" * (4 * 1024 * 1024 + 1)}, [], "epoch 1", 1)


def test_what_is_kept_is_remembered_and_moves(fleet: Fleet) -> None:
    store = fleet.store()
    one = store.commit(None, {SPINE: b"1\n"}, [], "one", 1)
    two = store.commit(one, {SPINE: b"2\n"}, [one], "two", 2)
    store.keep("trunk", one)
    store.keep(f"outbox/{OAK}", one)
    store.keep("trunk", two)
    assert store.kept() == {"trunk": two, f"outbox/{OAK}": one}
    assert store.maintain() is None


def test_close_may_be_called_twice(fleet: Fleet) -> None:
    store = fleet.store()
    first(store)
    store.close()
    store.close()
