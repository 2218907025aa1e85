"""Small tests that need no fixture: each notices one of the faults of `mutants`, and is the quickest to do so."""

from __future__ import annotations

import tempfile
from pathlib import Path

from orxaq_mesh.keys import namespace, verify
from orxaq_mesh.record import BadLine, parse_line
from orxaq_mesh.store import Change, Outcome
from orxaq_mesh.store.answers import Ran, pushed
from orxaq_mesh.store.git import GitStore
from tests.builder import Trunk, secret
from tests.hubs import file_hub

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def test_C11_a_branch_that_was_there_already_is_no_win() -> None:
    ran = Ran(0, b"To /srv/fleet.git\n=\tabc:refs/heads/mesh\t[up to date]\nDone\n", b"")
    assert pushed(ran, "refs/heads/mesh").outcome is Outcome.UNKNOWN


def test_C12_a_push_wins_only_from_the_commit_that_was_read() -> None:
    """A fetch between reading and pushing changes nothing: what was read is what is compared with."""
    with tempfile.TemporaryDirectory() as folder, file_hub(Path(folder)) as hub:
        stores = [GitStore(Path(folder, name), hub.url, environ=hub.environ()) for name in ("one", "two")]
        try:
            first = stores[0].commit(None, {}, [], "mesh: one", 1)
            assert stores[0].push("mesh", None, first).outcome is Outcome.COMMITTED
            for store in stores:
                store.fetch(store.poll())
            ours, theirs = (s.commit(first, {}, [first], f"mesh: by {n}", 2) for n, s in enumerate(stores))
            assert stores[1].push("mesh", first, theirs).outcome is Outcome.COMMITTED
            stores[0].fetch(stores[0].poll())
            assert stores[0].push("mesh", first, ours).outcome is Outcome.LOST
            assert hub.tip() == theirs
        finally:
            for store in stores:
                store.close()


def test_C31_a_signature_has_one_spelling() -> None:
    key, space = secret("oak"), namespace("ab" * 32)
    sig = key.sign(space, b"message")
    assert verify(key.public.raw, space, b"message", sig)
    last = _ALPHABET.index(sig[-3])
    for other in range(64):
        if other != last and other >> 4 == last >> 4:
            assert not verify(key.public.raw, space, b"message", f"{sig[:-3]}{_ALPHABET[other]}==")


def test_LINE_a_number_with_a_fraction_is_no_value() -> None:
    try:
        value = parse_line(b'{"a":1.5}')
    except BadLine:
        return
    raise AssertionError(value)


def test_RENDER_a_line_that_was_taken_away_is_held() -> None:
    trunk = Trunk.founded()
    trunk.seal(trunk.oak.write("event.publish", topic="t", type="x", payload={}))
    path = next(path for path in trunk.files if "nodes" in path)
    old = trunk.files[path]
    trunk.ledger.read([Change(path, old, old.split(b"\n")[0] + b"\n")])
    assert trunk.ledger.mends == {path: old}
