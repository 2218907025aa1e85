"""Events of the system before, brought into the ledger: each once, in few pushes.

Knows: which of them are there already, batches, what may stop an import.
Knows not: files (`events`), how a record is signed and sent.
Laws: ONCE (an old id that any node of the fleet has imported is not imported again), trap C3 (what happened long ago
gives no command today).

    bring(read(folder).events, state, mesh.ask_all, say)         # Brought(imported=812, known=40, pushes=3)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from orxaq_mesh.errors import MeshError, Refused
from orxaq_mesh.kinds.mapping import follows
from orxaq_mesh.kinds.reactor import reactors
from orxaq_mesh.orders.events import KEY, KEY_OF_ODD_ID, Event

if TYPE_CHECKING:
    from orxaq_mesh.effects import Answer
    from orxaq_mesh.kinds import State

MOST: Final = 500
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of one push."""

AskAll = Callable[[Sequence[tuple[str, dict[str, Any]]]], "list[Answer]"]
Progress = Callable[[int, int], None]


class Brought(NamedTuple):
    """What came of an import: new events, those that were there already, and how many pushes that took."""

    imported: int
    known: int
    pushes: int


def in_ledger(state: State) -> dict[str, str]:
    """Key of an event of old -> the record that it is, whichever node imported it."""
    prefixes = (KEY, KEY_OF_ODD_ID)
    keys = ((name.partition("/")[2], once) for name, once in state.once.items() if once.kind == "event.publish")
    return {key: once.record for key, once in keys if key.startswith(prefixes)}


def refuse_reactions(events: Sequence[Event], state: State) -> None:
    """Say no to events that a reactor would answer today.

    Raises:
        Refused: with how many there are, and of which reactor.
    """
    for name, mapping in sorted(reactors(state).mappings.items()):
        found = [event for event in events if any(_answers(rule, event) for rule in mapping.rules)]
        if found:
            first = f"the first stands in {found[0].file}, line {found[0].line}"
            what = (
                f"the reactor {name} would answer {len(found)} of these events of long ago as if they were new; {first}"
            )
            hint = "import before the reactor is published, or with --react if that is wanted"
            raise Refused("REACTOR-2", what, hint=hint, reactor=name, events=len(found))


def _answers(rule: dict[str, Any], event: Event) -> bool:
    return follows(rule, {**orjson.loads(event.body), "cause": "", "node": ""}) is not None


def batches(events: Sequence[Event], most: int = MOST, most_bytes: int = MOST_BYTES) -> Iterator[list[Event]]:
    """Those that go out together: of one generation, so that a cause has its record before what it caused is signed."""
    batch, size = list[Event](), 0
    for event in events:
        full = len(batch) == most or size + len(event.body) > most_bytes
        if batch and (full or event.generation != batch[0].generation):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event.body)
    if batch:
        yield batch


def bring(events: Sequence[Event], state: State, ask_all: AskAll, progress: Progress) -> Brought:
    """Publish every event that the ledger has not got.

    Args:
        events: causes before what they caused (`events.read`).
        state: as the hub has it now.
        ask_all: brings kinds and wishes to their verdicts, in one push.
        progress: is told how many of how many new ones are in, after each push.

    Raises:
        Refused: a rule says no to one; those before it are in.
        MeshError: the hub is gone, or says no; what was signed goes out later, and a second import goes on from there.
    """
    records = in_ledger(state)
    new = [event for event in events if event.key not in records]
    done = pushes = 0
    for batch in batches(new):
        try:
            answers = ask_all([("event.publish", event.wish(records)) for event in batch])
        except MeshError as error:
            error.facts |= {"imported": done, "of": len(new)}
            raise
        pushes += 1
        for event, answer in zip(batch, answers, strict=True):
            # ONCE: an import that was cut off signed it already, before its cause had a record.
            if answer.verdict != "applied" and answer.rule != "ONCE":
                what = f"{event.file}, line {event.line}: {answer.what or answer.verdict}"
                raise Refused(answer.rule, what, hint=answer.hint, imported=done, of=len(new))
            if answer.record:
                records[event.key] = answer.record
            done += 1
        progress(done, len(new))
    return Brought(done, len(events) - len(new), pushes)
