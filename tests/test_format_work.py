"""docs/format.md is enough for work, too: two implementations agree on DAGs, mappings, and the worked example."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orxaq_mesh import kinds, schema
from orxaq_mesh.kinds import dag, mapping
from orxaq_mesh.kinds.reactor import body_of, reactors
from orxaq_mesh.record import canonical
from orxaq_mesh.schema import document
from tests import format_page
from tests.builder import Pen, secret
from tests.test_format import agree
from tests.toil import Toil, bent, rule, value
from tests.twins import Twins

import lines  # isort: skip
import reacting  # isort: skip
import working  # isort: skip


def test_the_worked_example_of_work_is_what_the_verifier_finds(tmp_path: Path) -> None:
    trunk = format_page.work_story()
    told = agree(tmp_path, trunk.files)
    page = format_page.PAGE.read_text("utf-8").split("## 17.")[1]
    assert told["ok"]
    assert told["state"] in page
    here = [f"{id_} {' '.join(verdict)}".rstrip() for id_, verdict in told["verdicts"].items() if id_ in page]
    assert sum(line in page for line in here) == 14


def facts_of(dice: random.Random) -> dict[str, object]:
    options = [value(dice, 1) for _ in range(dice.randrange(5))]
    payload = {"n": dice.randrange(5), "ok": dice.random() < 0.5, "options": options, "any": value(dice, 2)}
    return {"topic": "t", "type": dice.choice("abc"), "payload": payload, "cause": "ab" * 32, "node": "oak"}


def test_REACTOR_1_and_2_two_implementations_agree_on_what_a_rule_is_and_gives() -> None:
    unsound = gave = 0
    for seed in range(6000):
        dice = random.Random(seed)
        one, facts = rule(dice), facts_of(dice)
        assert reacting.is_sound(one) == (not mapping.flaw(one)), one
        if mapping.flaw(one):
            unsound += 1
            continue
        ours, theirs = mapping.follows(one, facts), reacting.given(one, facts)
        assert canonical(ours or {}) == canonical(dict([theirs]) if theirs else {}), (one, facts)
        gave += ours is not None
    assert unsound > 100
    assert gave > 1000


def test_DAG_3_two_implementations_agree_on_what_a_dag_is() -> None:
    flawed = 0
    for seed in range(1500):
        dice = random.Random(seed)
        tasks = Toil(dice).tasks("a", dice.randrange(7), [])
        names = [task["name"] for task in tasks]
        if names and dice.random() < 0.3:
            dice.choice(tasks)["needs"] = dice.choices(
                [*names, *names, "z"], k=2
            )  # of later ones, of itself, of nobody
        assert working.is_dag(tasks) == (not dag.flaws(tasks)), tasks
        flawed += bool(dag.flaws(tasks))
    assert flawed > 100


def nested(deep: int) -> Any:
    return [nested(deep - 1)] if deep else 0


def reacting_fleet(template: Any) -> tuple[Twins, Pen]:
    """A fleet whose mapping answers every event with this payload."""
    twins = Twins(0)
    twins.open()
    give = {"event": {"topic": "t", "type": "u", "payload": template}}
    twins.say(twins.pens["oak"], "reactor.publish", {"reactor": "r", "version": 1, "rules": [{"on": {}, "give": give}]})
    return twins, twins.pens["oak"]


def test_REACTOR_4_two_implementations_agree_on_where_a_chain_ends() -> None:
    twins, oak = reacting_fleet("$payload")
    body, written = {"topic": "t", "type": "u", "payload": 0}, 0
    while twins.say(oak, "event.publish", body) and (due := [*reactors(twins.ours).due.values()]):
        body, written = body_of(due[0]), written + 1
    assert written == 16
    assert twins.of_ours() == twins.of_theirs()


def test_REACTOR_4_and_5_two_implementations_agree_on_how_much_follows_and_for_how_long() -> None:
    twins, oak = reacting_fleet("$payload")
    give = {"event": {"topic": "t", "type": "u", "payload": "$payload"}}
    mapping = {"reactor": "s", "version": 1, "rules": [{"on": {}, "give": give}] * 3}
    twins.say(oak, "reactor.publish", mapping)
    body, written = {"topic": "t", "type": "u", "payload": 0}, 0
    while twins.say(oak, "event.publish", body) and (due := [*reactors(twins.ours).due.values()]):
        assert twins.of_ours() == twins.of_theirs()
        body, written = body_of(due[-1]), written + 1
    assert written == 64
    twins.say(oak, "event.publish", {"topic": "t", "type": "u", "payload": 1})
    assert len(reactors(twins.ours).due) == 4
    twins.say(oak, "reactor.publish", {**mapping, "version": 2})
    assert len(reactors(twins.ours).due) == 1
    ends = twins.epoch + 64
    while twins.epoch <= ends:
        twins.open()
        assert twins.of_ours() == twins.of_theirs()
        assert len(reactors(twins.ours).due) == (twins.epoch <= ends)


@pytest.mark.parametrize(
    "address", [{}, {"to": "elm"}, {"to": "nobody"}, {"to": "elm", "holder": "l"}, {"holder": "l"}]
)
def test_COMMAND_1_two_implementations_agree_on_whom_a_follow_up_may_be_for(address: dict[str, str]) -> None:
    twins, oak = reacting_fleet("$nothing")
    rule = {"on": {}, "give": {"command": {"name": "n", **address}}}
    twins.say(oak, "reactor.publish", {"reactor": "s", "version": 1, "rules": [rule]})
    twins.say(oak, "event.publish", {"topic": "t", "type": "u", "payload": 0})
    assert twins.of_ours() == twins.of_theirs()
    assert len(reactors(twins.ours).due) == (address in ({"to": "elm"}, {"holder": "l"}))


@pytest.mark.parametrize("payload", [lambda n: "x" * (31_654 + n), nested], ids=["size", "depth"])
def test_REACTOR_2_two_implementations_agree_on_what_no_record_can_say(payload: Callable[[int], Any]) -> None:
    twins, oak = reacting_fleet(["$payload", ["$payload"]])
    found = set()
    for number in range(15):
        before = len(reactors(twins.ours).due)
        twins.say(oak, "event.publish", {"topic": "t", "type": "v", "payload": payload(number)})
        found.add(len(reactors(twins.ours).due) - before)
    assert twins.of_ours() == twins.of_theirs()
    assert found == {0, 1}


def whole(schema: Any, kind: str, deep: int = 0) -> Any:
    """A value with every field that its schema knows."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        own = document(kind).get("$defs", {}) | document("envelope")["$defs"]
        return SAMPLES[name] if name in SAMPLES else whole(own[name], kind, deep)
    if "enum" in schema:
        return schema["enum"][0]
    kinds_of = {"integer": schema.get("minimum", 0), "boolean": True, "string": "ab" * 20}
    match schema.get("type"):
        case "array":
            return [whole(schema["items"], kind, deep + 1)]
        case "object" if "propertyNames" in schema:
            return {"build": 1}
        case "object":
            return {key: whole(inner, kind, deep + 1) for key, inner in schema["properties"].items()}
        case list():
            return 0
        case str() as of:
            return kinds_of[of]
    return {"any": [1]}


SAMPLES = {"hex64": "ab" * 32, "hex32": "ab" * 16, "hex16": "ab" * 8, "log": "oak-d65dcd09", "taskPath": "one/a"}
SAMPLES |= dict.fromkeys(("name", "once", "dagName", "taskName", "stepName", "capability", "nodeName", "reason"), "a")
SAMPLES |= {"publicKey": secret("oak").public.text}


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_RULES_two_implementations_agree_on_which_bodies_fit(kind: str) -> None:
    full = whole(document(kind)["properties"]["body"], kind)
    assert schema.fits_body(kind, full), full
    assert lines.fits(full, lines.BODIES[kind]), full
    dice, fit = random.Random(kind), 0
    for _ in range(1500):
        body = bent(full, dice) if dice.random() < 0.8 else bent(bent(full, dice), dice)
        if type(body) is dict:
            ours = schema.fits_body(kind, body)
            assert lines.fits(body, lines.BODIES[kind]) == ours, body
            fit += ours
    assert fit
