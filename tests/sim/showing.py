"""A step in words: what went in, what came out. One effect a line, in the words of `tests/bench.py`."""

from __future__ import annotations

from collections.abc import Iterator

from orxaq_mesh.effects import Answer, Effect, Input, Look, Looked, Publish, Published, Save, Say, Tell
from orxaq_mesh.record import Record

_QUIET = ("sealed", "outbox", "push", "alarm")  # told by the hub's side, or by the node's own line


def shown(name: str, given: Input, effects: list[Effect]) -> Iterator[str]:
    """The lines of one step of a node."""
    yield f"{name}: {_input(given)}"
    for effect in effects:
        yield from (f"  {line}" for line in _effect(effect))


def _input(given: Input) -> str:
    match given:
        case Looked(trunk=trunk, changes=changes, offered=offered):
            news = f" {len(changes)} files changed" if changes else ""
            return f"Looked {str(trunk)[:7]}{news}{f', {len(offered)} offered' if offered else ''}"
        case Published(outcome=outcome, vetoed=vetoed):
            return f"Published {outcome}{' vetoed' if vetoed else ''}"
        case _:
            return type(given).__name__


def _effect(effect: Effect) -> Iterator[str]:
    match effect:
        case Save(records=records, seal=seal, hold=hold):
            yield from (f"Save record {record.seq} {record.kind} {_brief(record)}".rstrip() for record in records)
            if seal is not None:
                yield f"Save seal {seal.epoch}"
            if hold is not None:
                yield f"Save hold {hold.lease}/{hold.session}"
        case Publish(_, records, seal):
            what = ", ".join(f"{record.log.rpartition('-')[0]} {record.seq}" for record in records)
            yield f"Publish {f'epoch {seal.epoch}' if seal else 'outbox'}: {what}"
        case Tell(intent, answer):
            yield f"Tell {intent} {_answer(answer)}"
        case Say(event, facts):
            if event not in _QUIET:
                yield f"Say {event} {facts.get('reason', '')}".rstrip()
        case Look():
            yield "Look"


def _answer(answer: Answer) -> str:
    token = f" token={answer.facts['token']}" if answer.facts.get("token") else ""
    why = f": {answer.error.what}" if answer.error else f": {answer.what}" if answer.what else ""
    return " ".join(word for word in (answer.verdict, answer.rule, answer.result) if word) + token + why


def _brief(record: Record) -> str:
    body = record.body
    fields = [
        f"{key}={body[key]}" for key in ("lease", "session", "token", "watched_ms", "name", "type") if key in body
    ]
    under = body.get("under")
    return " ".join([*fields, *([f"under={under['lease']} token={under.get('token')}"] if under else [])])
