"""What a caller was told, as operations of a history.

Knows: the words of an answer (an `Answer` of the engine, or the JSON of a command: they are the same words).
Knows not: who asked for what, and why.

    operations(Asked("oak/s", "lease.acquire", {"lease": "deploy"}, 0, 12, {"verdict": "applied", ...}))

Two things need care. A verdict is passed where the record is sealed, but who holds the lease is told as of the answer,
which may be later: a refusal of a sealed record is two operations, the verdict and a read. And `unknown` by law CLOSED
with no record says that nothing was signed: then nothing happened, and if something did, the history shows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from tests.linear.history import Operation

DEEDS = {
    "lease.acquire": "acquire",
    "lease.take": "take",
    "lease.renew": "renew",
    "lease.release": "release",
    "lease.break": "break",
    "event.publish": "write",
    "node.revoke": "revoke",
    "read": "read",
}
_OWN_TOKEN = ("granted", "renewed", "released")


class Asked(NamedTuple):
    """One thing that a caller asked for, and what it was told if it was.

    Attributes:
        process: `node/session`.
        kind: the kind of record, or `read`.
        wish: what was asked for; `lease` or `under` is in it, and `wait` where the caller waits for the grant.
        invoked, returned: on one clock; `returned` is None while nothing was told.
        told: an `Answer`; or the fields of one; or, for a read, `holder`, `session`, `token`, `last_token`, `queue`.
    """

    process: str
    kind: str
    wish: Mapping[str, Any]
    invoked: float
    returned: float | None = None
    told: Any = None


def from_simulator(asked: Iterable[Asked]) -> list[Operation]:
    """The history of what a simulator's callers asked; events without a lease are none of it."""
    return [operation for each in asked for operation in operations(each)]


def operations(asked: Asked) -> Iterator[Operation]:
    """None, one or two operations: see the module's banner."""
    about = asked.wish.get("under") or asked.wish
    if asked.kind not in DEEDS or "lease" not in about:
        return
    args = {name: about[name] for name in ("token", "queue", "wait", "node") if about.get(name) not in (None, False)}
    args |= {"wait": True} if asked.wish.get("wait") else {}
    made = Operation(asked.process, str(about["lease"]), DEEDS[asked.kind], args, None, asked.invoked)
    told = fields(asked.told) if asked.returned is not None and asked.told is not None else {"verdict": "unknown"}
    if made.op == "read":
        if "holder" in told:
            yield made._replace(result=_shown(told), returned=asked.returned)
    elif told["verdict"] == "unknown" or told.get("withdrawn"):
        if told.get("rule") != "CLOSED" or told.get("record") is not None:
            yield made
    else:
        yield from _answered(made._replace(returned=asked.returned), told)


def fields(told: Any) -> Mapping[str, Any]:
    """An answer's fields, whichever way it came."""
    if isinstance(told, Mapping):
        return told
    answer = told._asdict()
    return {**answer["facts"], **{name: answer[name] for name in ("verdict", "rule", "result", "record")}}


def _answered(made: Operation, told: Mapping[str, Any]) -> Iterator[Operation]:
    result = {name: told[name] for name in ("verdict", "rule", "result", "record", "epoch") if told.get(name)}
    if told["verdict"] == "applied":
        own = {"token": told["token"]} if told.get("result") in _OWN_TOKEN else {}
        yield made._replace(result=result | own)
    elif result.get("record") is None:
        yield made._replace(result=result | _shown(told))
    else:
        yield made._replace(result=result)
        if shown := _shown(told):
            yield made._replace(process=f"{made.process} sees", op="read", args={}, result=shown)


def _shown(told: Mapping[str, Any]) -> dict[str, Any]:
    """Who holds the lease, as far as it was told; a token beside no holder is one of the past."""
    if "holder" not in told or (told["holder"] is not None and not told.get("session")):
        return {}
    shown: dict[str, Any] = {"holder": None} if told["holder"] is None else _held(told)
    if told.get("last_token") is not None and told["holder"] is None:
        shown["last_token"] = told["last_token"]
    if isinstance(told.get("queue"), list):
        shown["queue"] = [f"{waiter['node']}/{waiter['session']}" for waiter in told["queue"]]
    return shown


def _held(told: Mapping[str, Any]) -> dict[str, Any]:
    token = told.get("holder_token") or told.get("token")
    return {"holder": f"{told['holder']}/{told['session']}"} | ({"token": token} if token else {})
