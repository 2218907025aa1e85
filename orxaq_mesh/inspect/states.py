"""A state of the fleet, of now or of any past epoch, as plain values for people and `--json`.

Knows: which fields are told of nodes, leases, work and rules: the same as `mesh status` has, but for ages.
Knows not: how it came to be (`epochs`), printing.

    told(state)["leases"]     # [{"name": "deploy", "holder": "oak", "token": 40, "ttl_ms": 600000, "queue": []}]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orxaq_mesh.inspect import work
from orxaq_mesh.keys import PublicKey
from orxaq_mesh.kinds import State
from orxaq_mesh.kinds.lease import leases
from orxaq_mesh.kinds.node import members, name_of
from orxaq_mesh.kinds.review import reviews

Json = dict[str, Any]


def told(state: State) -> Json:
    """A state in the fields that `mesh status` has."""
    return {
        "ledger": state.ledger or None,
        "epoch": state.epoch,
        "seal": state.seal if state.epoch else None,
        "at": state.at or None,
        "state": state.digest,
        "records": state.records,
        "rules": state.rules,
        "nodes": list(nodes_of(state)),
        "leases": list(leases_of(state)),
        "dags": work.dags(state),
        "commands": work.commands(state),
        "breaker": work.breaker(state),
        "review": [{"rule": name, **need._asdict()} for name, need in sorted(reviews(state).needs.items())],
        "held": list(held_of(state)),
    }


def nodes_of(state: State) -> Iterator[Json]:
    """Every key, in the order in which they came."""
    for member in members(state).by_log.values():
        yield {
            "name": member.name,
            "log": member.log,
            "roles": list(member.roles),
            "fingerprint": PublicKey.parse(member.key).fingerprint,
            "seq": state.heads.get(member.log, (0, ""))[0],
            "standing": member.standing,
            "since_epoch": member.epoch,
            "last_word": member.at or None,
        }


def leases_of(state: State) -> Iterator[Json]:
    """Every lease that was ever asked for, by name; claims of work among them while they are held."""
    for name, lease in sorted(leases(state).by_name.items()):
        held = bool(lease.holder)
        yield {
            "name": name,
            "holder": lease.holder or None,
            "session": lease.session or None,
            "token": lease.token if held else None,
            "last_token": lease.token,
            "ttl_ms": lease.ttl_ms if held else None,
            "since": lease.since or None,
            "record": lease.record or None,
            "queue": [waiter._asdict() for waiter in lease.queue],
        }


def held_of(state: State) -> Iterator[Json]:
    """The records that wait for an approval, in the order in which they came."""
    for record_id, held in reviews(state).held.items():
        yield {
            "record": record_id,
            "node": name_of(state, held.record),
            "kind": held.record.kind,
            "epoch": held.epoch,
            "approvals": held.approvals,
            "approved": list(held.approved),
            "until": held.until,
        }
