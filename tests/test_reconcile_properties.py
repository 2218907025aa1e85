"""Any fleet, parted in any way, read in any order, damaged in any manner: one tree, one state (SET, RENDER, CHAIN)."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orxaq_mesh import keys, news, record, spine, standing
from orxaq_mesh.reconcile import capped, render, union
from orxaq_mesh.record import line_id
from orxaq_mesh.schema import read_record, read_seal
from tests.builder import Pen
from tests.worlds import Act, Reader, Tree, World, lines_of, merged, seeded, tree_of

HONEST = ["say"] * 9 + ["seal"] * 10 + ["loose", "move", "branch", "merge"] * 2 + ["clone", "join"]
ANY = [*HONEST, "cover", "lie", "feign"]


def acts_of(names: list[str]) -> st.SearchStrategy[list[Act]]:
    number = st.integers(0, 63)
    return st.lists(st.tuples(st.sampled_from(names), number, number, number), min_size=20, max_size=50)


ROOT = Path(__file__).resolve().parent.parent
NODES, DICE = st.integers(2, 5), st.integers(0, 2**32).map(random.Random)


@pytest.fixture(autouse=True, scope="module")
def small_and_quick() -> Iterator[None]:
    """Files of four lines, and a rung every four records: what a long ledger does, a short one does too.

    The same lines are read by many: what is asked of a signature or a key is asked once.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(standing, "signature_holds", cache(standing.signature_holds))
        patch.setattr(keys.PublicKey, "parse", staticmethod(cache(keys.PublicKey.parse)))
        for room in (record, news):
            patch.setattr(room, "SEGMENT_LINES", 4)
        patch.setattr(spine, "RUNG_RECORDS", 4)
        yield


def histories(world: World, dice: random.Random) -> list[Tree]:
    """Trees that a hub may show one after the other: each side as it grew, laid over those before."""
    trees: list[Tree] = [{}]
    for side in dice.sample(world.sides, len(world.sides)):
        for tree in [*side.past[:: dice.randint(1, 4)], side.tree]:
            trees.append(merged(trees[-1], tree))
    return trees[1:]


def parts(world: World, dice: random.Random) -> list[Tree]:
    """Trees that hold ever more of the lines, in whatever order these came."""
    lines = world.lines()
    dice.shuffle(lines)
    cuts = sorted({dice.randrange(len(lines) + 1) for _ in range(dice.randint(1, 8))} | {len(lines)})
    return [tree_of(lines[:cut]) for cut in cuts]


def at_once(world: World, tree: Tree) -> Reader:
    reader = Reader(world.id)
    reader.read(tree)
    return reader


def reads_as_one(world: World, trees: list[Tree], dice: random.Random) -> None:
    """Who reads along, and is restarted now and then, makes of every tree what a newcomer makes of it at once."""
    along = Reader(world.id, dice)
    for tree in trees:
        along.read(tree)
        if dice.random() < 0.3:
            along.restart()
        assert along.shown() == at_once(world, tree).shown()
        assert along.read(tree).judged == []


@given(NODES, acts_of(ANY), DICE)
def test_SET_a_ledger_that_grew_in_any_way_is_read_as_at_once(nodes: int, acts: list[Act], dice: random.Random) -> None:
    world = World(nodes).play(acts)
    reads_as_one(world, histories(world, dice), dice)


@given(NODES, acts_of(ANY), DICE)
def test_SET_lines_in_any_parts_and_order_are_read_as_at_once(nodes: int, acts: list[Act], dice: random.Random) -> None:
    world = World(nodes).play(acts)
    reads_as_one(world, parts(world, dice), dice)


SHOW = """
import hashlib, random, sys
from tests.test_reconcile_properties import at_once, parts
from tests.worlds import Reader, seeded
for seed in range({first}, {last}):
    world, dice = seeded(seed, 40), random.Random(seed)
    reader = Reader(world.id, dice)
    for tree in parts(world, dice):
        reader.read(tree)
        print(hashlib.sha256(repr(reader.shown()).encode()).hexdigest())
"""


def test_SET_another_process_with_another_hash_seed_says_the_same() -> None:
    said = []
    for hash_seed in ("1", "8"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        argv = [sys.executable, "-c", SHOW.format(first=100, last=112)]
        said.append(subprocess.run(argv, env=environment, capture_output=True, check=True).stdout)
    assert said[0] == said[1]
    assert said[0].count(b"\n") >= 12


# Damage: whatever is done to the files, nothing that was taken in is lost, and whoever heals writes the same.


def forged(line: bytes, **changed: object) -> bytes:
    return orjson.dumps({**orjson.loads(line), **changed}, option=orjson.OPT_SORT_KEYS)


def spoilt(lines: list[bytes], dice: random.Random) -> list[bytes]:
    """What somebody made of a file's lines."""
    at, new = dice.randrange(len(lines)), list(lines)
    some, number = lines[at], "epoch" if b'"kind":"seal"' in lines[at] else "seq"
    byte = dice.randrange(len(some))
    match dice.randrange(10):
        case 0:
            del new[at]
        case 1:
            del new[at:]
        case 2:
            new[at] = some[:byte] + dice.choice((b"0", b"a", b'"', b"}")) + some[byte + 1 :]
        case 3:
            new.insert(dice.randrange(len(new) + 1), some)
        case 4:
            dice.shuffle(new)
        case 5:
            new.insert(at, dice.randbytes(9).replace(b"\n", b""))
        case 6:
            new.append(forged(some, at="2026-11-21T09:30:00.000Z"))
        case 7:
            new.append(forged(some, **{number: dice.randint(1, 9)}))
        case 8:
            new[at] = some[:byte]
        case _:
            new.append(forged(some, node="yew-00000000"))
    return new


def damaged(tree: Tree, dice: random.Random) -> Tree:
    """A tree after some mischief."""
    spoils = dict(tree)
    for _ in range(dice.choice((1, 1, 2, 5, 15))):
        path = dice.choice(sorted(spoils))
        match dice.randrange(8):
            case 0 if len(spoils) > 1:
                del spoils[path]
            case 1:
                spoils[dice.choice(("ledger/x", "ledger/nodes/README.md"))] = b"x\n"
            case 2:
                spoils[path] = spoils[path][:-1]
            case 3:
                spoils[path] += spoils[dice.choice(sorted(spoils))]
            case _:
                lines = [line for line in spoils[path].split(b"\n")[:-1] if line.startswith(b'{"at"')]
                new = spoilt(lines, dice) if lines and all(map(is_line, lines)) else lines
                spoils[path] = b"".join(line + b"\n" for line in new)
    return spoils


def is_line(line: bytes) -> bool:
    try:
        return type(orjson.loads(line)) is dict
    except ValueError:
        return False


def healed(reader: Reader, tree: Tree) -> Tree:
    """What the next publish of a node makes of a tree, but for its own lines."""
    return {path: data for path, data in {**tree, **reader.ledger.mends}.items() if data is not None}


@given(NODES, acts_of(HONEST), DICE)
def test_RENDER_whatever_is_damaged_every_node_heals_to_the_same_bytes_and_no_state_moves(
    nodes: int, acts: list[Act], dice: random.Random
) -> None:
    world = World(nodes).play(acts)
    trees = histories(world, dice)
    whole = trees[-1]
    fleet = [at_once(world, whole), Reader(world.id, dice), Reader(world.id, dice)]
    for reader in fleet[1:]:
        for tree in trees:
            reader.read(tree)
    right, before = healed(fleet[0], whole), fleet[0].shown()
    tree = whole
    for _ in range(3):
        tree = damaged(tree, dice)
        for reader in fleet:
            reading = reader.read(tree)
            if dice.random() < 0.2:
                reader.restart()
            assert (reading.judged, reading.left) == ([], [])
            assert healed(reader, tree) == right
            assert reader.ledger.flaws or tree == right
            assert reader.shown()._replace(mends={}) == before._replace(mends={})
        if dice.random() < 0.3:
            tree = right
            for reader in fleet:
                reader.read(tree)
                assert reader.ledger.mends == {}


def test_RENDER_a_seal_heals_what_it_finds_and_takes_in_what_waits() -> None:
    """The same through publishing: damage between any two acts of a fleet, and a newcomer sees none of it."""
    for seed in range(6):
        dice, world = random.Random(seed), World(4)
        for _ in range(12):
            side = world.sides[0]
            shown = [(seal.id, len(judged)) for seal, judged in side.reader.told]
            side.show(damaged(side.tree, dice))
            assert [(seal.id, len(judged)) for seal, judged in side.reader.told] == shown
            world.play([("say", dice.randrange(4), 8, dice.randrange(64)), ("seal", dice.randrange(4), 0, 0)])
            if not side.reader.ledger.mends:
                newcomer = at_once(world, side.tree)
                assert newcomer.shown() == side.reader.shown()
        world.play([("say", 0, 8, 0), ("seal", 0, 0, 0)])
        assert at_once(world, world.sides[0].tree).ledger.mends == {}


# Union and rendering.


def lines_of_one_log() -> list[bytes]:
    """Three histories of one log, of four records each."""
    pens = [Pen("oak") for _ in range(3)]
    return [
        p.write("event.publish", topic="t", type="x", payload={"n": n}).line for n, p in enumerate(pens) for _ in "four"
    ]


LINES = lines_of_one_log()
SOME = st.sets(st.sampled_from(LINES))


@given(SOME, SOME, SOME, st.sets(st.sampled_from([line_id(line) for line in LINES])))
def test_SET_union_capped_is_commutative_associative_and_idempotent(
    a: set[bytes], b: set[bytes], c: set[bytes], sealed: set[str]
) -> None:
    def both(one: bytes, other: bytes) -> bytes:
        return capped(union(one, other).split(b"\n")[:-1], sealed)

    x, y, z = (capped(some, sealed) for some in (a, b, c))
    assert both(x, y) == both(y, x)
    assert both(both(x, y), z) == both(x, both(y, z)) == capped(a | b | c, sealed)
    assert both(x, x) == x
    kept = {line_id(line) for line in capped(a, sealed).split(b"\n")[:-1]}
    assert kept >= sealed & {line_id(line) for line in a}


@given(st.integers(0, 50), DICE)
def test_RENDER_any_grouping_of_records_and_seals_gives_one_tree(seed: int, dice: random.Random) -> None:
    world = seeded(seed, 25)
    lines = world.lines()
    dice.shuffle(lines)
    files: Tree = {}
    while lines:
        part, lines = lines[: dice.randint(1, 9)], lines[dice.randint(1, 9) :]
        seals = [read_seal(line) for line in part if b'"kind":"seal"' in line]
        records = [read_record(line) for line in part if b'"kind":"seal"' not in line]
        files |= render(files.get, records, seals)
    assert lines_of(files) == lines_of(merged(files, files))
    assert set(lines_of(files)) <= set(world.lines())
    assert files == tree_of(lines_of(files))
