"""What is ordered in a simulated fleet: small DAGs, each made of a number, commands, hands that are put in, events.

Knows: the wishes behind the words of a schedule.
Knows not: who does the work (`workers`), what must come of it (`labour`).

    order elm/1 dag d0 17             the DAG of the number 17
    order elm/1 cancel d0 | retry d0/t1 | skip d0/t1 | assign d0/t1 [ash]
    order elm/1 issue 2 to=ash        scale to 2; `capability=build`, `holder=deploy`
    order elm/1 recall 5f0c...        a command is called back
    order oak/desk break command:5f0c... 9         a claim is ended over its holder's head
    order elm/1 offer build,test      what it can do
    order elm/1 open | reset          the breaker
    order elm/1 beat 3                an event that the reactor answers, if there is one
    order elm/1 mapping 2             the reactor's next version
    order oak/1 require r0 2 20 lease.acquire gate*      such records wait for two approvals, 20 epochs at most
    order oak/1 lift r0
    order ash/1 approve 5f0c...,77ab... | reject 5f0c...
"""

from __future__ import annotations

import random
from typing import Any

from orxaq_mesh.record import Value

CAPABILITIES = ("build", "test")
DAGS = ("d0", "d1")
COMMAND = "scale"
GATES = ("gate-a", "gate-b")
"""The leases and topics that rules of reviews are about; what everybody must get in the end is never held."""
_STEPS = ("before", "commands", "after", "rollback")


def order(what: str, words: tuple[str, ...]) -> tuple[str, Value]:
    """(kind, wish) of an order."""
    why = {"reason": "because"}
    match what, *words:
        case ["dag", name, number]:
            return "dag.submit", {"dag": name, **graph(int(number))}
        case ["cancel", name]:
            return "dag.cancel", {"dag": name, **why}
        case [("retry" | "skip") as hand, task]:
            return f"task.{hand}", {"task": task, **why}
        case ["assign", task, *to]:
            return "task.assign", {"task": task, **why, **({"to": to[0]} if to else {})}
        case ["issue", number, address]:
            field, _, value = address.partition("=")
            return "command.issue", {"name": COMMAND, "args": {"n": int(number)}, field: value}
        case ["recall", command]:
            return "command.cancel", {"command": command, **why}
        case ["break", lease, token]:
            return "lease.break", {"lease": lease, "token": int(token), **why}
        case ["offer", capabilities]:
            return "work.offer", {"capabilities": capabilities.split(","), "slots": 1}
        case ["open" | "reset"]:
            return f"breaker.{what}", why
        case ["beat", number]:
            return "event.publish", {"topic": "heartbeat", "type": "changed", "payload": {"n": int(number)}}
        case ["mapping", version]:
            return "reactor.publish", {"reactor": "answers", "version": int(version), "rules": _RULES}
    return _of_reviews(what, words)


def _of_reviews(what: str, words: tuple[str, ...]) -> tuple[str, Value]:
    match what, *words:
        case ["require", rule, approvals, epochs, kinds, names]:
            limits = {"approvals": int(approvals), "epochs": int(epochs)}
            return "review.require", {"rule": rule, "kinds": kinds.split(","), "names": names.split(","), **limits}
        case ["lift", rule]:
            return "review.lift", {"rule": rule}
        case [("approve" | "reject") as verb, ids]:
            return f"review.{verb}", {"records": ids.split(",")}
    raise ValueError(f"nobody orders {what} {words}")


_RULES: list[dict[str, Any]] = [
    {"on": {"topic": "heartbeat"}, "give": {"event": {"topic": "tick", "type": "asked", "payload": "$node"}}},
    {
        "on": {"topic": "heartbeat"},
        "where": {"payload.n": {"at_least": 2}},
        "give": {"command": {"name": COMMAND, "args": "$payload.n", "to": "oak"}},
    },
]


def graph(number: int) -> dict[str, Any]:
    """A DAG of one to five tasks."""
    dice = random.Random(f"graph {number}")
    tasks = [_task(dice, place) for place in range(dice.randint(1, 5))]
    limits = {"limits": {dice.choice(CAPABILITIES): 1}} if dice.random() < 0.3 else {}
    return {"tasks": tasks, **limits}


def _task(dice: random.Random, place: int) -> dict[str, Any]:
    earlier = [f"t{before}" for before in range(place)]
    task: dict[str, Any] = {"name": f"t{place}", "needs": dice.sample(earlier, min(place, dice.randrange(3)))}
    for field in _STEPS:
        if dice.random() < 0.3:
            task[field] = [{"name": f"{field}-{step}", "run": ["true"]} for step in range(dice.randint(1, 2))]
    optional = {
        "receipts": ["report"],
        "attempts": dice.choice((2, 3)),
        "backoff_ms": dice.choice((500, 3000)),
        "capability": dice.choice(CAPABILITIES),
        "priority": dice.randrange(10),
    }
    return task | {field: value for field, value in optional.items() if dice.random() < 0.35}
