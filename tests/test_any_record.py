"""LIVE: whatever fits its schema is judged and told in words; no record, however odd, breaks the fold."""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

from orxaq_mesh import fold, kinds, schema
from orxaq_mesh.kinds import Moment, node
from orxaq_mesh.kinds.command import COMMAND, command_id
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.reactor import reactors
from orxaq_mesh.kinds.work import work
from orxaq_mesh.record import Value
from tests.builder import secret
from tests.histories import Play, check

ENVELOPE = schema.document("envelope")
WORDS = (
    *(
        "a",
        "b",
        "c",
        "d0",
        "d1",
        "d0/a",
        "d0/b",
        "d1/a",
        "elm",
        "oak",
        "ash",
        "owl",
        "build",
        "gpu",
        "make",
        "smoke",
        "s",
    ),
    *(
        "deploy",
        "leader",
        "task:d0/a",
        "task:d1/a",
        "task:d0/b",
        "task:none/x",
        "command:5f0c",
        "lanes",
        "$payload",
        "x",
    ),
    *("0" * 64, "0" * 40, "0" * 32, "0" * 16, "admin", "node", "observer", secret("elm").public.text),
    *(secret("yew").public.text, "yew-00000000"),
)


class Chance:
    """Bodies that fit a schema, of words that mean something in a state."""

    def __init__(self, seed: int) -> None:
        self.dice, self.words, self.numbers = random.Random(seed), list(WORDS), [0, 1, 2, 3, 9, 1000, 60_000, 9999]

    def knows(self, state: kinds.State, epoch: int) -> None:
        """From here on its words are of this state as well."""
        held = list(leases(state).by_name.values())
        due = list(reactors(state).due.values())
        self.words = [
            *WORDS,
            *(word for one in held for word in (one.name, one.name, one.last, one.record) if word),
            *(word for one in due for word in (one.id, one.cause)),
            *node.members(state).by_log,
            *(dag.record for dag in work(state).dags.values()),
            *(name.removeprefix(COMMAND) for name, _ in work(state).items.items()),
        ]
        self.numbers = [0, 1, 2, 3, 9, 1000, 60_000, 9999, epoch, *(one.token for one in held)]

    def value(self, part: Value, defs: Value) -> Any:
        dice = self.dice
        if "$ref" in part:
            return self.value(defs[part["$ref"].rpartition("/")[2]], defs)
        if "enum" in part:
            return dice.choice(part["enum"])
        type_ = part.get("type")
        if isinstance(type_, list):
            return self.value({**part, "type": dice.choice(type_)}, defs)
        make: dict[Any, Any] = {
            "string": self._string,
            "integer": self._integer,
            "array": self._array,
            "object": self._object,
            "boolean": lambda part, defs: dice.random() < 0.5,
            "null": lambda part, defs: None,
            None: lambda part, defs: dice.choice([None, 1, "a", {}, {"a": "$node"}, [1, {"b": 2}], {"failed": 3}]),
        }
        return make[type_](part, defs)

    def _array(self, part: Value, defs: Value) -> list[Any]:
        least = part.get("minItems", 0)
        size = 1 if "uniqueItems" in part else min(part["maxItems"], max(least, self.dice.choice([0, 1, 1, 2, 3])))
        return [self.value(part["items"], defs) for _ in range(size)]

    def _string(self, part: Value, defs: Value) -> str:
        pattern, least = part.get("pattern", ""), part.get("minLength", 0)
        fit = [word for word in self.words if least <= len(word) <= part["maxLength"] and re.search(pattern, word)]
        return self.dice.choice(fit) if fit else "x"

    def _integer(self, part: Value, defs: Value) -> int:
        least, most = part.get("minimum", 0), part.get("maximum", 2**53 - 1)
        return self.dice.choice([n for n in (*self.numbers, least) if least <= n <= most])

    def _object(self, part: Value, defs: Value) -> Value:
        if "propertyNames" in part:
            return {self.value(part["propertyNames"], defs): self.value(part["additionalProperties"], defs)}
        required = part.get("required", ())
        wanted = (name for name in part["properties"] if name in required or self.dice.random() < 0.4)
        return {name: self.value(part["properties"][name], defs) for name in wanted}

    def body(self, kind: str) -> Value:
        document = schema.document(kind)
        made: Value = self.value(document["properties"]["body"], {**ENVELOPE["$defs"], **document.get("$defs", {})})
        return made


def likely(chance: Chance, state: kinds.State, kind: str, body: Value) -> Value:
    """Nudged towards what is there: a body of chance alone would hardly ever act under a lease."""
    held = [one for one in leases(state).by_name.values() if one.holder]
    if held and "under" in body and chance.dice.random() < 0.7:
        one = chance.dice.choice(held)
        body = {**body, "under": {"lease": one.name, "session": one.session, "token": one.token}}
    if kind == "command.issue" and "to" in body and chance.dice.random() < 0.7:
        body = {name: value for name, value in body.items() if name not in ("capability", "holder", "reaction")}
        chance.words.append(COMMAND + command_id(body))
    if kind == "lease.acquire" and chance.dice.random() < 0.6 and len(work(state).ready):
        body = {**body, "lease": chance.dice.choice([name for _, name in work(state).ready])}
    return {name: value for name, value in body.items() if name != "once"}


@pytest.mark.parametrize("seed", range(6))
def test_LIVE_no_record_that_fits_its_schema_breaks_the_fold(seed: int) -> None:
    """Odd records among such as make sense."""
    play, chance, came = Play(), Chance(seed), Counter[str]()
    dice, pens, names = chance.dice, list(play.pens.values()), sorted(schema.kinds())
    weights = [{"node": 0.1, "breaker": 1}.get(name.partition(".")[0], 6) for name in names]
    for number in range(250):
        play.step(*(dice.randrange(64) for _ in range(4)))
        chance.knows(play.state, play.epoch)
        (kind,) = dice.choices(names, weights)
        body = likely(chance, play.state, kind, chance.body(kind))
        record = dice.choice(pens).draft(kind, body, seq=9000 + number, seen={"epoch": 9, "seal": "0" * 64})
        assert record.flaw is None, (kind, record.flaw)
        foreseen, _ = kinds.judge(play.state, record, Moment(play.epoch))
        assert kinds.words(play.state, record, foreseen).what
        verdict = play.judge(record, new_epoch=False)
        assert verdict == foreseen
        came[verdict.outcome] += 1
        check(play.state)
    assert fold.snapshot(fold.restore(fold.snapshot(play.state))) == fold.snapshot(play.state)
    assert came["applied"] > 10
    assert came["refused"] > 50
