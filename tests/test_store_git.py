"""The git store among hostile trees, hubs, configurations and deaths (traps B4 to B15, C10 to C13)."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import errors
from orxaq_mesh.record import log_place
from orxaq_mesh.store import Change, Flaw, Outcome, flaws_only, git
from orxaq_mesh.store.answers import Ran, bad_objects, nothing_sent, pushed, reason, strange, tips
from orxaq_mesh.store.git import GitStore, stale_locks
from orxaq_mesh.store.housekeeping import QUARANTINE, Alive, how_loose
from orxaq_mesh.store.objects import FILE, FOLDER, Entry, Unreadable, format_tree, parse_tree
from tests.hubs import HUBS, Hub, bare, file_hub, free_port, http_hub, plain_git, ssh_hub, wait_until

OAK, ELM = "oak-3f9a01c2", "elm-12ab34cd"
SPINE = "ledger/epochs/000000/0000000001.ndjson"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    with file_hub(tmp_path) as made:
        yield made


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., GitStore]]:
    """Opens stores at a hub; closes them all."""
    stores: list[GitStore] = []

    def open_store(hub: Hub | str, name: str = "", **options: object) -> GitStore:
        url, environ = (hub, dict(os.environ)) if isinstance(hub, str) else (hub.url, hub.environ())
        path = tmp_path / (name or f"store-{len(stores)}")
        stores.append(GitStore(path, url, **{"environ": environ, **options}))  # type: ignore[arg-type]
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


Opened = Callable[..., GitStore]


def first(store: GitStore, text: bytes = b"a\n") -> str:
    oid = store.commit(None, {SPINE: text}, [], "epoch 1", 100)
    assert store.push("mesh", None, oid).outcome is Outcome.COMMITTED
    return oid


def step(store: GitStore, old: str, text: bytes, at_s: int = 200) -> str:
    return store.commit(old, {SPINE: text}, [old], "epoch 2", at_s)


def tree(hub: Hub, *entries: tuple[str, str, str]) -> str:
    """A raw tree at the hub of (mode, oid, name), sorted as git wants it, whatever git would say to it."""
    key = {name: f"{name}/" if mode == "40000" else name for mode, _, name in entries}
    raw = b"".join(
        b"%s %s\0%s" % (mode.encode(), name.encode("utf-8", "surrogateescape"), bytes.fromhex(oid))
        for mode, oid, name in sorted(entries, key=lambda entry: key[entry[2]])
    )
    return hub.git("hash-object", "-t", "tree", "--literally", "-w", "--stdin", feed=raw)


def blob(hub: Hub, content: bytes = b"x\n") -> str:
    return hub.git("hash-object", "-w", "--stdin", feed=content)


def plant(hub: Hub, root: str, branch: str = "mesh", *parents: str) -> str:
    options = [word for parent in parents for word in ("-p", parent)]
    oid = hub.git("commit-tree", "-m", "planted", *options, root)
    hub.git("update-ref", f"refs/heads/{branch}", oid)
    return oid


# --- every kind of hub


@pytest.mark.parametrize("kind", HUBS)
def test_a_ledger_travels_over_every_kind_of_hub(kind: str, tmp_path: Path, opened: Opened) -> None:
    with HUBS[kind](tmp_path) as hub:
        (tmp_path / "c").mkdir()
        oak, elm = (opened(hub, ssh_control_dir=str(tmp_path / "c")) for _ in range(2))
        assert oak.poll() == {}
        root = first(oak)
        elm.fetch(elm.poll())
        won, lost = step(oak, root, b"oak\n"), step(elm, root, b"elm\n")
        assert oak.push("mesh", root, won).outcome is Outcome.COMMITTED
        assert elm.push("mesh", root, lost).outcome is Outcome.LOST
        elm.fetch(elm.poll())
        assert list(elm.changes(root, won)) == [Change(SPINE, b"a\n", b"oak\n")]
        assert hub.git("fsck", "--strict", "--full") == ""


def test_twenty_stores_push_at_once_over_http_and_one_wins(tmp_path: Path, opened: Opened) -> None:
    with http_hub(tmp_path) as hub:
        root = first(opened(hub))
        stores = [opened(hub) for _ in range(20)]
        start = threading.Barrier(20)

        def race(number: int) -> Outcome:
            store = stores[number]
            store.fetch({"mesh": root})
            mine = step(store, root, b"%d\n" % number)
            start.wait(60)
            return store.push("mesh", root, mine).outcome

        with ThreadPoolExecutor(20) as pool:
            ended = list(pool.map(race, range(20)))
        assert sorted(outcome.value for outcome in ended) == ["committed", *["lost"] * 19]


def test_ssh_keeps_one_connection_and_leaves_nobody_alive_in_the_store(tmp_path: Path, opened: Opened) -> None:
    with ssh_hub(tmp_path) as hub:
        control = Path(tempfile.mkdtemp(dir="/tmp"))  # a socket's path is short
        store = opened(hub, name="kept", ssh_control_dir=str(control))
        store.poll()
        assert len(list(control.iterdir())) == 1
        store.close()
        shutil.rmtree(control)
        alive = Alive(tmp_path / "kept")
        assert alive.alone
        alive.close()


# --- C10 to C13: how a push ends


def test_C10_a_push_whose_answer_died_is_unknown_and_found_by_reading(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    root = first(store)
    hub.hook("post-receive", "kill -9 $PPID")
    two = step(store, root, b"2\n")
    assert store.push("mesh", root, two).outcome is Outcome.UNKNOWN
    assert store.poll() == {"mesh": two}


@pytest.mark.parametrize(
    ("hook", "script"),
    [
        ("pre-receive", "echo 'no \033[31mpush\033[0m on fridays' >&2; exit 1"),
        ("update", "echo 'no push on fridays' >&2; exit 1"),
        ("reference-transaction", 'if [ "$1" = prepared ]; then exit 1; fi'),
    ],
)
def test_C13_a_veto_of_the_hub_is_lost_and_says_so(hook: str, script: str, hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    root = first(store)
    hub.hook(hook, script)
    told = store.push("mesh", root, step(store, root, b"2\n"))
    assert told.vetoed, told
    # git 2.39 dies at the third kind, so nothing is certain; later ones answer
    assert told.outcome is Outcome.LOST or hook == "reference-transaction"
    assert told.reason.isprintable()
    if hook != "reference-transaction":
        assert "fridays" in told.reason
    assert store.poll() == {"mesh": root}


def test_C13_a_branch_that_the_hub_has_checked_out_is_a_veto(tmp_path: Path, opened: Opened) -> None:
    plain_git("init", "-q", "--initial-branch=mesh", str(tmp_path / "work"))
    plain_git("-C", str(tmp_path / "work"), "commit", "-q", "--allow-empty", "-m", "x")
    store = opened(str(tmp_path / "work"))
    root = store.poll()["mesh"]
    store.fetch(store.poll())
    told = store.push("mesh", root, step(store, root, b"2\n"))
    assert (told.outcome, told.vetoed) == (Outcome.LOST, True)


def test_C13_a_locked_branch_is_lost(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    root = first(store)
    (hub.path / "refs" / "heads" / "mesh.lock").write_text("")
    told = store.push("mesh", root, step(store, root, b"2\n"))
    assert (told.outcome, told.vetoed) == (Outcome.LOST, False)


NEW = "b" * 40
REF = "refs/heads/mesh"


@pytest.mark.parametrize(
    ("line", "code", "outcome", "vetoed"),
    [
        (f" \t{NEW}:{REF}\ta..b", 0, Outcome.COMMITTED, False),
        (f"*\t{NEW}:{REF}\t[new branch]", 0, Outcome.COMMITTED, False),
        (f" \t{NEW}:{REF}\ta..b", 1, Outcome.UNKNOWN, False),
        (f" \t{NEW}:refs/heads/other\ta..b", 0, Outcome.UNKNOWN, False),
        (f"+\t{NEW}:{REF}\ta...b (forced update)", 0, Outcome.UNKNOWN, False),
        (f"=\t{NEW}:{REF}\t[up to date]", 0, Outcome.UNKNOWN, False),
        (f"!\t{NEW}:{REF}\t[rejected] (stale info)", 1, Outcome.LOST, False),
        (f"!\t{NEW}:{REF}\t[rejected] (fetch first)", 1, Outcome.LOST, False),
        (f"!\t{NEW}:{REF}\t[rejected] (non-fast-forward)", 1, Outcome.LOST, False),
        (f"!\t{NEW}:{REF}\t[remote rejected] (failed to update ref)", 1, Outcome.LOST, False),
        (f"!\t{NEW}:{REF}\t[remote rejected] (incorrect old value provided)", 1, Outcome.LOST, False),
        (
            f"!\t{NEW}:{REF}\t[remote rejected] (cannot lock ref '{REF}': is at a but expected b)",
            1,
            Outcome.LOST,
            False,
        ),
        (f"!\t{NEW}:{REF}\t[remote rejected] (pre-receive hook declined)", 1, Outcome.LOST, True),
        (f"!\t{NEW}:{REF}\t[remote rejected] (protected branch hook declined)", 1, Outcome.LOST, True),
        (f"!\t{NEW}:{REF}\t[remote rejected] (push declined due to repository rule violations)", 1, Outcome.LOST, True),
        (f"!\t{NEW}:{REF}\t[remote rejected] (unpacker error)", 1, Outcome.LOST, True),
        (f"!\t{NEW}:{REF}\t[remote failure] (remote failed to report status)", 1, Outcome.UNKNOWN, False),
        (f"!\t{NEW}:{REF}\t[remote rejected] (a word of next year)", 1, Outcome.UNKNOWN, False),
        ("", 0, Outcome.UNKNOWN, False),
        ("", 128, Outcome.UNKNOWN, False),
    ],
)
def test_PUSH_only_what_is_certain_is_named(line: str, code: int, outcome: Outcome, vetoed: bool) -> None:
    told = pushed(Ran(code, f"To /hub\n{line}\nDone\n".encode(), b""), REF)
    assert (told.outcome, told.vetoed) == (outcome, vetoed)


def test_PUSH_the_hubs_own_words_are_never_taken_for_gits() -> None:
    forged = Ran(1, b"", b"remote: fatal: Authentication failed for 'x'\nremote: error: object " + b"a" * 40 + b": x\n")
    assert not nothing_sent(forged)
    assert not bad_objects(forged)


def test_a_password_in_a_url_is_not_repeated() -> None:
    assert "secret" not in reason(Ran(128, b"", b"fatal: unable to access 'https://me:secret@example.org/x/': no\n"))


# --- the hub is away


def test_CLOSED_a_hub_that_is_not_there_is_unreachable_and_nothing_was_sent(tmp_path: Path, opened: Opened) -> None:
    store = opened(f"http://127.0.0.1:{free_port()}/hub.git")
    with pytest.raises(errors.Unreachable):
        store.poll()
    with pytest.raises(errors.Unreachable):
        store.push("mesh", None, store.commit(None, {SPINE: b"a\n"}, [], "epoch 1", 1))
    gone = opened(str(tmp_path / "nowhere.git"))
    with pytest.raises(errors.Unreachable) as caught:
        gone.poll()
    assert "\n" not in caught.value.what


def test_CLOSED_a_hub_that_stalls_is_given_up_and_no_process_is_left(tmp_path: Path, opened: Opened) -> None:
    stall = threading.Event()
    with http_hub(tmp_path, before=lambda path: stall.wait(60) and None) as hub:
        store = opened(hub, timeout_ms=800)
        new = store.commit(None, {SPINE: b"a\n"}, [], "epoch 1", 1)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(store.poll)
            wait_until(lambda: "git-remote-http" in _everybody() and hub.url in _everybody(), 5)
            with pytest.raises(errors.Unreachable, match="too long"):
                reading.result()
        assert store.push("mesh", None, new).outcome is Outcome.UNKNOWN
        wait_until(lambda: hub.url not in _everybody(), 5)
        stall.set()


def _everybody() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def _children(*words: str) -> list[str]:
    """Processes of this session's tests (by their parent) whose command line has one of these words."""
    told = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in told.splitlines()[1:]]
    mine = {str(os.getpid())}
    for _ in range(4):
        mine |= {pid for pid, parent, _ in rows if parent in mine}
    return [args for pid, _, args in rows if pid in mine and any(word in args for word in words)]


# --- B4, B5: nothing foreign runs


HOOKS = (
    "applypatch-msg commit-msg post-commit post-index-change post-receive post-rewrite post-update pre-auto-gc "
    "pre-commit pre-push pre-receive prepare-commit-msg proc-receive push-to-checkout reference-transaction update"
).split()


COMMANDS = "fsmonitor sshCommand pager askPass alternateRefsCommand editor push fetch program external".split()


def canaries(folder: Path, flag: Path) -> str:
    """A folder of scripts by every hook's name, each of which leaves a mark."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in [*HOOKS, *COMMANDS]:
        (folder / name).write_text(f'#!/bin/sh\necho {name} >> "{flag}"\n')
        (folder / name).chmod(0o755)
    return str(folder)


def test_B4_no_hook_filter_or_command_of_the_user_runs_but_the_hubs_own_do(
    hub: Hub, tmp_path: Path, opened: Opened
) -> None:
    flag, own, home = tmp_path / "canary", tmp_path / "own", tmp_path / "home"
    evil = canaries(tmp_path / "evil", flag)
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[core]\n hooksPath = {evil}\n"
        + "".join(f" {name} = {evil}/{name}\n" for name in COMMANDS[:6])
        + f"[alias]\n push = !{evil}/push\n fetch = !{evil}/fetch\n[push]\n gpgSign = true\n followTags = true\n"
        f"[gpg]\n program = {evil}/program\n[diff]\n external = {evil}/external\n[init]\n templateDir = {tmp_path}\n"
    )
    hub.hook("pre-receive", f'echo pre >> "{own}"')
    hub.hook("post-receive", f'echo post >> "{own}"')
    inherited = {"GIT_SSH": f"{evil}/askPass", "GIT_DIR": "/nowhere", "GIT_CONFIG_PARAMETERS": "'core.bare'='false'"}
    environ = {**os.environ, "HOME": str(home), "GIT_ASKPASS": f"{evil}/askPass", **inherited}
    environ.pop("XDG_CONFIG_HOME", None)
    store = opened(hub, environ=environ)
    root = first(store)
    canaries(store.path / "hooks", flag)
    two = step(store, root, b"2\n")
    assert store.push("mesh", root, two).outcome is Outcome.COMMITTED
    store.keep("trunk", two)
    other = opened(hub, environ=environ)
    other.fetch(other.poll())
    assert other.read(two, SPINE) == b"2\n"
    assert own.read_text().split() == ["pre", "post"] * 2
    assert not flag.exists(), flag.read_text()


def test_B4_the_hubs_configuration_has_the_last_word_on_its_hooks(hub: Hub, tmp_path: Path, opened: Opened) -> None:
    flag = tmp_path / "flag"
    hub.git("config", "core.hooksPath", canaries(tmp_path / "chosen", flag))
    first(opened(hub))
    assert "post-receive" in flag.read_text()


def test_B5_an_address_that_a_setting_turns_into_a_command_is_not_run(tmp_path: Path, opened: Opened) -> None:
    home, flag = tmp_path / "home", tmp_path / "flag"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[url "ext::touch {flag} #"]\n insteadOf = /srv/\n[protocol "ext"]\n allow = always\n'
    )
    store = opened("/srv/hub.git", environ={**os.environ, "HOME": str(home)})
    with pytest.raises(errors.Unreachable, match="not allowed"):
        store.poll()
    assert not flag.exists()


@pytest.mark.parametrize(
    ("mode", "name"),
    [("120000", "link"), ("160000", "module"), ("100755", "run"), ("100664", "old"), ("120000", "0000000001.ndjson")],
)
def test_B4_a_mode_that_no_ledger_has_is_a_flaw_and_is_not_read(mode: str, name: str, hub: Hub, opened: Opened) -> None:
    secret = blob(hub, b"/etc/passwd")
    folder = tree(hub, (mode, "1" * 40 if mode == "160000" else secret, name))
    planted = plant(
        hub, tree(hub, ("40000", tree(hub, ("40000", tree(hub, ("40000", folder, "000000")), "epochs")), "ledger"))
    )
    store = opened(hub)
    try:
        store.fetch(store.poll())
    except errors.InvalidLedger:
        assert mode == "100664"  # fsck knows this one
        return
    assert [(flaw.law, flaw.file) for flaw in flaws_only(store.changes(None, planted))] == [
        ("QUIET", f"ledger/epochs/000000/{name}")
    ]
    assert store.read(planted, f"ledger/epochs/000000/{name}") is None


def test_B4_a_ledger_that_is_a_link_or_a_module_is_one_flaw(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    for mode, oid in (("120000", blob(hub, b"..")), ("160000", "1" * 40)):
        planted = plant(hub, tree(hub, (mode, oid, "ledger")))
        store.fetch(store.poll())
        assert [item.law for item in store.changes(None, planted) if isinstance(item, Flaw)] == ["QUIET"]
        assert store.read(planted, SPINE) is None


def test_B4_case_twins_and_names_in_no_encoding_are_flaws(hub: Hub, opened: Opened) -> None:
    inner = tree(hub, ("100644", blob(hub), "0000000001.ndjson"))
    names = ["Epochs", "EPOCHS", "\udcff\udcfe", "epoch\u0301s"]
    entries = [
        ("40000", tree(hub, ("100644", blob(hub, name.encode("utf-8", "replace")), "x")), name) for name in names
    ]
    good = ("40000", tree(hub, ("40000", inner, "000000")), "epochs")
    planted = plant(hub, tree(hub, ("40000", tree(hub, good, *entries), "ledger")))
    store = opened(hub)
    store.fetch(store.poll())
    told = list(store.changes(None, planted))
    assert {flaw.law for flaw in flaws_only(told)} == {"QUIET"}
    assert len(flaws_only(told)) == 4
    assert all(flaw.file.isprintable() for flaw in flaws_only(told))
    assert Change(SPINE, None, b"x\n") in told
    healed = store.commit(planted, {flaw.file: None for flaw in flaws_only(told)}, [planted], "healed", 1)
    assert list(store.changes(None, healed)) == [Change(SPINE, None, b"x\n")]


# --- B6: bombs


def test_B6_a_blob_beyond_a_segment_is_told_by_its_size_and_never_read(hub: Hub, opened: Opened) -> None:
    huge = blob(hub, bytes(64 * 1024 * 1024))
    root = tree(
        hub, ("40000", tree(hub, ("40000", tree(hub, ("100644", huge, "0000000001.ndjson")), "000000")), "epochs")
    )
    planted = plant(hub, tree(hub, ("40000", root, "ledger")))
    store = opened(hub)
    store.fetch(store.poll())
    tracemalloc.start()
    told = list(store.changes(None, planted))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(type(item), item[0]) for item in told] == [(Flaw, "RENDER")]
    assert store.read(planted, SPINE) is None
    assert peak < 8 * 1024 * 1024


def test_B6_a_few_trees_that_spell_a_thousand_million_paths_cost_nothing(hub: Hub, opened: Opened) -> None:
    files = tree(hub, *[("100644", blob(hub), f"{first:010}.ndjson") for first in range(1, 4097, 32)])
    folders = tree(hub, *[("40000", files, f"{number:06}") for number in range(1000)])
    logs = tree(hub, *[("40000", folders, f"node-{number:08x}") for number in range(4000)])
    deep = folders
    for _ in range(8):
        deep = tree(hub, *[("40000", deep, f"{number:06}") for number in range(10)])
    planted = plant(hub, tree(hub, ("40000", tree(hub, ("40000", logs, "nodes"), ("40000", deep, "epochs")), "ledger")))
    store = opened(hub)
    store.fetch(store.poll())
    asked: list[str] = []
    ask = store._reader._ask
    store._reader._ask = lambda what, oid: asked.append(oid) or ask(what, oid)  # type: ignore[method-assign, func-returns-value]
    told = list(store.changes(None, planted))
    assert len(asked) < 100
    assert len(told) < 10_000
    assert {item.law for item in told if isinstance(item, Flaw)} == {"RENDER"}


def test_B6_a_folder_with_more_entries_than_any_ledger_has_is_one_flaw(hub: Hub, opened: Opened) -> None:
    oid = blob(hub)
    logs = tree(hub, *[("40000", tree(hub, ("100644", oid, "x")), f"node-{number:08x}") for number in range(2)])
    many = tree(hub, *[("100644", oid, f"{number:010}.ndjson") for number in range(5000)])
    wide = tree(hub, *[("100644", oid, f"{number:0200}") for number in range(3000)])
    epochs = tree(hub, ("40000", many, "000000"), ("40000", wide, "000001"))
    planted = plant(
        hub, tree(hub, ("40000", tree(hub, ("40000", epochs, "epochs"), ("40000", logs, "nodes")), "ledger"))
    )
    store = opened(hub)
    store.fetch(store.poll())
    told = {flaw.file: flaw.reason for flaw in flaws_only(store.changes(None, planted, "ledger/epochs"))}
    assert set(told) == {"ledger/epochs/000000", "ledger/epochs/000001"}
    with pytest.raises(errors.InvalidLedger):
        store.commit(planted, {SPINE: b"a\n"}, [planted], "epoch 1", 1)


def test_B6_branches_without_number_or_sense_stop_nobody() -> None:
    lines = [f"{'a' * 40}\trefs/heads/mesh-node/n-{number:08x}" for number in range(20_000)]
    lines += [f"{'a' * 40}\trefs/heads/mesh-node/\x1b[2J-00000000", "junk", f"{'g' * 40}\trefs/heads/mesh"]
    lines += [f"{'a' * 40}\trefs/heads/evil/refs/heads/mesh", f"{'c' * 40}\trefs/heads/mesh"]
    found = tips("\n".join(lines).encode(), "mesh")
    assert found["mesh"] == "c" * 40
    assert len(found) < 9000
    assert all(name == "mesh" or name.startswith("mesh-node/n-") for name in found)


def test_SEEN_a_greeting_on_the_way_is_no_hub_without_branches() -> None:
    """What is not git's list of refs says nothing of the hub; a branch with an odd name is a line of that list."""
    odd = f"{'a' * 40}\trefs/heads/mesh-node/\N{SNOWMAN}\n{'c' * 64}\trefs/heads/mesh\n".encode()
    assert (strange(b""), strange(odd)) == (None, None)
    assert strange(odd + b"Welcome to \x1b[31mexample.org\n") == "Welcome to \\x1b[31mexample.org"
    assert strange(odd[:30]) is not None


# --- B7: the quarantine


def bad_tree(hub: Hub) -> str:
    """A tree that git's own checks refuse: an entry called `.git`."""
    return tree(hub, ("40000", tree(hub, ("100644", blob(hub), "x")), ".git"))


def test_B7_bad_objects_stay_in_quarantine_and_do_not_pass_the_second_time(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    bad = plant(hub, bad_tree(hub), f"mesh-node/{OAK}")
    for _ in range(2):
        with pytest.raises(errors.InvalidLedger) as caught:
            store.fetch(store.poll())
        assert caught.value.findings[0].file == f"mesh-node/{OAK}"
        assert not store.has(bad)
    assert list((store.path / QUARANTINE).iterdir()) == []
    assert list((store.path / "objects" / "pack").iterdir()) == []


def test_B7_one_bad_outbox_does_not_keep_the_others_out(hub: Hub, opened: Opened) -> None:
    good = plant(hub, tree(hub, ("100644", blob(hub), "README.md")))
    other = plant(hub, tree(hub, ("100644", blob(hub, b"elm\n"), "README.md")), f"mesh-node/{ELM}")
    bad = plant(hub, bad_tree(hub), f"mesh-node/{OAK}")
    store = opened(hub)
    with pytest.raises(errors.InvalidLedger) as caught:
        store.fetch(store.poll())
    assert [flaw.file for flaw in caught.value.findings] == [f"mesh-node/{OAK}"]
    assert (store.has(good), store.has(other), store.has(bad)) == (True, True, False)


def test_B7_LIVE_many_bad_outboxes_cost_few_fetches_a_call_and_the_good_come_in(
    hub: Hub, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = plant(hub, tree(hub, ("100644", blob(hub), "README.md")))
    bad = plant(hub, bad_tree(hub), f"mesh-node/{ELM}")
    for number in range(20):
        hub.git("update-ref", f"refs/heads/mesh-node/a-{number:08x}", bad)
    late = plant(hub, tree(hub, ("100644", blob(hub, b"oak\n"), "README.md")), f"mesh-node/{OAK}")
    store, fetches, refused = opened(hub), 0, set[str]()
    once = store._fetch

    def counted(wanted: Mapping[str, str]) -> list[Flaw]:
        nonlocal fetches
        fetches += 1
        return once(wanted)

    monkeypatch.setattr(store, "_fetch", counted)
    tips = store.poll()
    for call in range(1, 8):
        try:
            store.fetch({branch: oid for branch, oid in tips.items() if branch not in refused})
        except errors.InvalidLedger as error:
            refused |= {flaw.file for flaw in error.findings}
        assert store.has(good)
        assert fetches <= call * (1 + git.MAX_SIFTED)
        if store.has(late):
            break
    assert store.has(late)
    assert refused == tips.keys() - {"mesh", f"mesh-node/{OAK}"}


def test_B7_the_last_suspect_needs_no_fetch_of_its_own(
    hub: Hub, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(hub, tree(hub, ("100644", blob(hub), "README.md")))
    plant(hub, bad_tree(hub), f"mesh-node/{OAK}")
    store, asked = opened(hub), list[list[str]]()
    once = store._fetch
    monkeypatch.setattr(store, "_fetch", lambda wanted: asked.append(sorted(wanted)) or once(wanted))
    with pytest.raises(errors.InvalidLedger) as caught:
        store.fetch(store.poll())
    assert [flaw.file for flaw in caught.value.findings] == [f"mesh-node/{OAK}"]
    assert asked == [["mesh", f"mesh-node/{OAK}"], ["mesh"]]


def test_LIVE_an_outbox_whose_objects_the_hub_lacks_keeps_nobody_out(hub: Hub, opened: Opened) -> None:
    good = plant(hub, tree(hub, ("100644", blob(hub), "README.md")))
    (hub.path / "refs" / "heads" / "mesh-node").mkdir()
    (hub.path / "refs" / "heads" / "mesh-node" / OAK).write_text("1" * 40 + "\n")
    store = opened(hub)
    assert store.poll() == {"mesh": good, f"mesh-node/{OAK}": "1" * 40}
    with pytest.raises(errors.InvalidLedger) as caught:
        store.fetch(store.poll())
    assert [(flaw.law, flaw.file) for flaw in caught.value.findings] == [("LIVE", f"mesh-node/{OAK}")]
    assert store.has(good)
    (hub.path / "refs" / "heads" / "mesh").write_text("2" * 40 + "\n")
    with pytest.raises(errors.Unreachable, match="not our ref"):
        store.fetch({"mesh": "2" * 40})


def test_B7_a_commit_whose_tree_is_missing_is_not_taken_in(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    raw = f"tree {'1' * 40}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nx\n".encode()
    oid = hub.git("hash-object", "-t", "commit", "--literally", "-w", "--stdin", feed=raw)
    (hub.path / "refs" / "heads" / "mesh").write_text(f"{oid}\n")
    with pytest.raises((errors.InvalidLedger, errors.Unreachable)):
        store.fetch({"mesh": oid})
    assert not store.has(oid)


OWNER = """
import os, sys
from orxaq_mesh.store.git import GitStore
store = GitStore(sys.argv[1], sys.argv[2], environ=os.environ)
store.kept()
print("open", flush=True)
store.fetch({"mesh": sys.argv[3]})
"""


def test_B7_B12_what_a_killed_owner_left_is_removed_once_its_last_process_is_gone(
    tmp_path: Path, opened: Opened
) -> None:
    stall, asked = threading.Event(), threading.Event()

    def before(path: str) -> None:
        asked.set()
        stall.wait(60)

    with http_hub(tmp_path, before=before) as hub:
        path, oid = tmp_path / "killed", plant(hub, tree(hub, ("100644", blob(hub), "README.md")))
        owner = subprocess.Popen([sys.executable, "-c", OWNER, str(path), hub.url, oid], stdout=subprocess.PIPE)
        assert asked.wait(30)
        owner.kill()
        owner.communicate()
        assert len(list((path / QUARANTINE).iterdir())) == 1
        lock = path / "refs" / "mesh" / "trunk.lock"
        lock.parent.mkdir(parents=True)
        lock.write_text("")

        still = Alive(path)  # the owner's git lives on and waits for the hub
        assert not still.alone
        still.close()
        assert [(found.file, found.stale) for found in stale_locks(path, time.time())] == [
            ("refs/mesh/trunk.lock", False)
        ]
        assert lock.exists()

        stall.set()
        wait_until(lambda: all(found.stale for found in stale_locks(path, time.time() + 90)), 20)
        assert stale_locks(path, time.time() + 90)[0].age_s >= 90
        store = opened(hub, name="killed")
        store.fetch(store.poll())
        store.keep("trunk", oid)
        assert not lock.exists()
        assert list((path / QUARANTINE).iterdir()) == []


def test_B12_a_lock_that_killed_git_left_does_not_stop_its_own_store(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    root = first(store)
    store.keep("trunk", root)
    lock = store.path / "refs" / "mesh" / "trunk.lock"
    lock.write_text("")
    store.keep("trunk", step(store, root, b"2\n"))
    assert not lock.exists()


def test_B12_a_lock_is_left_alone_while_another_lives_in_the_store(hub: Hub, opened: Opened) -> None:
    store, other = opened(hub, name="shared"), opened(hub, name="shared")
    root = first(store)
    assert other.has(root)
    store.keep("trunk", root)
    lock = store.path / "refs" / "mesh" / "trunk.lock"
    lock.write_text("")
    with pytest.raises(errors.MeshFault, match="lock"):
        store.keep("trunk", step(store, root, b"2\n"))
    assert lock.exists()


# --- B11: one class, one lock, nothing leaks


def _descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd").iterdir())


def test_B11_ten_thousand_operations_leave_descriptors_children_and_threads_flat(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    tip = first(store)
    gc.collect()
    before = _descriptors(), len(_children("git")), threading.active_count()
    for _ in range(9_950):
        assert store.read(tip, SPINE) == b"a\n"
    for number in range(25):
        new = step(store, tip, b"a\n" + b"%d\n" % number, 300 + number)
        store.read(new, SPINE)
        if number % 5 == 0:
            assert store.push("mesh", tip, new).outcome is Outcome.COMMITTED
            assert store.poll() == {"mesh": new}
            tip = store.commit(new, {SPINE: b"a\n"}, [new], "epoch 3", 400 + number)
            assert store.push("mesh", new, tip).outcome is Outcome.COMMITTED
    wait_until(lambda: (_descriptors(), len(_children("git")), threading.active_count()) == before, 5)
    store.close()
    assert len(_children("cat-file")) == 0


def test_B11_threads_that_share_a_store_get_their_own_bytes(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    files = {log_place(OAK, seq).file: b"%d\n" % seq * 50 for seq in range(1, 640, 32)}
    tip = store.commit(None, files, [], "many", 1)

    def read_all(_: int) -> bool:
        return all(store.read(tip, path) == content for path, content in files.items())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(read_all, range(20)))


def test_B11_a_path_with_a_variable_in_it_is_taken_literally(hub: Hub, opened: Opened) -> None:
    store = opened(hub, name="$HOME ~ %PATH%")
    root = first(store)
    assert store.read(root, SPINE) == b"a\n"
    assert (store.path.name, (store.path / "HEAD").exists()) == ("$HOME ~ %PATH%", True)


def test_B11_bytes_come_back_as_they_went_in(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    for text in (b"\n\n\n", b"a", b"\r\n\x00\xff\n", b" \n "):
        assert store.read(store.commit(None, {SPINE: text}, [], "epoch 1", 1), SPINE) == text


def test_CACHE_a_reader_that_was_killed_starts_anew(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    root = first(store)
    process = store._reader._process
    assert process is not None
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(errors.MeshFault):
        store._reader.info("1" * 40)
    assert store.has(root)


# --- B13 to B15: forms of repositories


def test_B13_what_grows_loose_is_packed_and_all_of_it_stays(
    hub: Hub, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "MAX_LOOSE", 256)
    store = opened(hub)
    oids = [store.commit(None, {SPINE: b"%d\n" % number}, [], "epoch 1", number) for number in range(200)]
    assert how_loose(store.path)[0] >= 256
    before = sum(1 for _ in store.path.glob("objects/??/*"))
    assert store.maintain() is None
    assert sum(1 for _ in store.path.glob("objects/??/*")) < before / 10
    assert how_loose(store.path)[1] == 1
    for number, oid in enumerate(oids):
        assert store.read(oid, SPINE) == b"%d\n" % number


def test_B13_a_store_that_cannot_be_packed_says_so(hub: Hub, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "MAX_LOOSE", 0)
    store = opened(hub)
    store.keep("trunk", first(store))
    (store.path / "objects" / "pack").rmdir()
    (store.path / "objects" / "pack").write_text("no place for packs")
    told = store.maintain()
    assert told is not None
    assert "could not be packed" in told
    assert told.isprintable()


def test_B13_a_fetch_brings_only_what_is_new(hub: Hub, opened: Opened) -> None:
    oak, elm = opened(hub), opened(hub)
    tip = first(oak)
    for number in range(10):
        new = step(oak, tip, b"%d\n" % number)
        assert oak.push("mesh", tip, new).outcome is Outcome.COMMITTED
        tip = new
        if number in {7, 8}:
            elm.fetch(elm.poll())
    packs = sorted((elm.path / "objects" / "pack").glob("*.idx"), key=lambda pack: pack.stat().st_mtime_ns)
    counts = [len(_objects_in(elm, pack)) for pack in packs]
    assert counts == [9 * 6, 6]  # a commit, four folders and a file an epoch


def _objects_in(store: GitStore, index: Path) -> list[str]:
    return plain_git("--git-dir", str(store.path), "show-index", feed=index.read_bytes()).splitlines()


@pytest.mark.parametrize(
    "raw",
    [
        b"x",
        b"100644 a",
        b"100644 a\0short",
        b"100644 a/b\0" + b"1" * 20,
        b"999999 a\0" + b"1" * 20,
        b"100644 a\0" + b"1" * 20 + b"100644 a\0" + b"2" * 20,
        b"100644 \0" + b"1" * 20,
    ],
)
def test_B6_a_malformed_tree_is_unreadable(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_tree(raw, 20)


@given(st.dictionaries(st.from_regex(rb"[^\0/]{1,8}", fullmatch=True), st.booleans(), max_size=12))
def test_a_tree_read_and_written_again_is_the_same(names: dict[bytes, bool]) -> None:
    written = {name: Entry(FOLDER if folder else FILE, "ab" * 20) for name, folder in names.items()}
    assert parse_tree(format_tree(written), 20) == written


@pytest.mark.parametrize("empty", [True, False])
def test_B14_a_sha256_hub_works(empty: bool, tmp_path: Path, opened: Opened) -> None:
    with file_hub(tmp_path / "a") as reference:
        path = bare(tmp_path / "sha256.git", "--object-format=sha256")
        hub = Hub(f"file://{path}" if empty else str(path), path)
        root = None
        if not empty:
            root = plant(hub, hub.git("mktree", feed=b""))
        store = opened(hub)
        tips_then = store.poll()
        assert tips_then == ({} if root is None else {"mesh": root})
        store.fetch(tips_then)
        new = store.commit(root, {SPINE: b"a\n"}, [root] if root else [], "epoch 1", 1)
        assert len(new) == 64
        assert store.push("mesh", root, new).outcome is Outcome.COMMITTED
        assert reference.tip() is None


def test_B14_a_store_of_another_format_is_made_anew_only_while_it_is_empty(tmp_path: Path, opened: Opened) -> None:
    with http_hub(tmp_path) as hub:
        path = bare(tmp_path / "other" / "hub.git", "--object-format=sha256")
        store = opened(hub)
        assert store.poll() == {}
        one = store.commit(None, {SPINE: b"a\n"}, [], "epoch 1", 1)
        store.keep("mine", one)
        plain_git(
            "--git-dir", str(path), "update-ref", "refs/heads/mesh", plant(Hub("", path), Hub("", path).git("mktree"))
        )
        store.hub_url = str(path)
        with pytest.raises(errors.MeshFault, match="sha256") as caught:
            store.poll()
        assert "remove" in caught.value.hint
        with pytest.raises(errors.MeshFault, match="foreign form"):
            store.push("mesh", None, one)


def test_B14_a_hub_of_a_form_that_git_cannot_read_is_a_clear_fault(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    first(store)
    config = hub.path / "config"
    config.write_text(config.read_text() + "[core]\n\trepositoryformatversion = 1\n[extensions]\n\trefstorage = next\n")
    with pytest.raises(errors.MeshFault, match="foreign form") as caught:
        store.poll()
    assert not isinstance(caught.value, errors.Unreachable)


def test_B15_a_shallow_hub_is_refused_and_nothing_of_it_is_taken_in(hub: Hub, tmp_path: Path, opened: Opened) -> None:
    one = plant(hub, hub.git("mktree"))
    two = plant(hub, hub.git("mktree"), "mesh", one)
    plain_git("clone", "-q", "--bare", "--depth=1", f"file://{hub.path}", str(tmp_path / "shallow.git"))
    store = opened(str(tmp_path / "shallow.git"))
    with pytest.raises(errors.InvalidLedger, match="shallow"):
        store.fetch(store.poll())
    assert not store.has(two)


@pytest.mark.parametrize("file", ["shallow", "info/grafts"])
def test_B15_a_store_that_is_cut_off_or_grafted_is_refused(file: str, hub: Hub, opened: Opened) -> None:
    store = opened(hub, name="cut")
    root = first(store)
    store.close()
    (store.path / file).parent.mkdir(exist_ok=True)
    (store.path / file).write_text(f"{root}\n")
    with pytest.raises(errors.MeshFault, match="cut off or grafted"):
        opened(hub, name="cut").has(root)


def test_B15_replace_refs_are_ignored(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    root = first(store)
    other = store.commit(None, {SPINE: b"forged\n"}, [], "epoch 1", 1)
    plain_git("--git-dir", str(store.path), "replace", root, other)
    store.close()
    assert store.read(root, SPINE) == b"a\n"


# --- CACHE: the store can go at any moment


@pytest.mark.parametrize("running", [True, False])
def test_CACHE_a_store_that_was_deleted_is_made_anew(running: bool, hub: Hub, opened: Opened) -> None:
    store = opened(hub, name="gone")
    root = first(store)
    if not running:
        store.close()
    shutil.rmtree(store.path)
    again = store if running else opened(hub, name="gone")
    assert again.poll() == {"mesh": root}
    assert again.kept() == {}
    assert not again.has(root)
    again.fetch(again.poll())
    assert again.read(root, SPINE) == b"a\n"


def test_CACHE_a_broken_store_says_what_to_do(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    root = first(store)
    store.close()
    file = store.path / "objects" / root[:2] / root[2:]
    file.chmod(0o644)
    file.write_bytes(b"")
    with pytest.raises(errors.MeshFault) as caught:
        store.read(root, SPINE)
    assert "remove" in caught.value.hint


def test_what_is_no_object_id_never_reaches_git(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    for odd in ("", "HEAD", "a" * 39, "a" * 40 + "\ninfo " + "b" * 40, "--help"):
        with pytest.raises(ValueError, match="object id"):
            store.has(odd)


def test_our_commits_are_what_git_itself_would_make(hub: Hub, opened: Opened) -> None:
    store = opened(hub)
    files: dict[str, bytes | None] = {log_place(OAK, seq).file: b"%d\n" % seq for seq in range(1, 9000, 32)}
    oid = store.commit(None, {**files, "README.md": b"people\n"}, [], "epoch 1", 1790000000)
    assert store.push("mesh", None, oid).outcome is Outcome.COMMITTED
    assert hub.git("fsck", "--strict", "--full") == ""
    assert hub.git("log", "-1", "--format=%an <%ae> %ad|%cn <%ce> %cd|%B", "--date=raw", "mesh") == (
        "orxaq-mesh <mesh@orxaq-mesh.invalid> 1790000000 +0000|orxaq-mesh <mesh@orxaq-mesh.invalid> 1790000000 +0000|epoch 1\n"
    )
    assert hub.git("ls-tree", "-r", "--name-only", "mesh").split() == sorted([*files, "README.md"])
