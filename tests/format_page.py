"""The parts of docs/format.md that are made from the code: bodies, kinds, tables, and the worked examples.

python -m tests.format_page        # writes them into the page anew; test_format holds the page to them
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from orxaq_mesh import fold, kinds
from orxaq_mesh.keys import namespace
from orxaq_mesh.kinds.reactor import body_of, reactors
from orxaq_mesh.kinds.work import work
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.reconcile import union
from orxaq_mesh.record import NOTHING, Record, Seal, canonical, unsigned
from orxaq_mesh.spine import Stood
from orxaq_mesh.store import Change
from tests import format_bodies
from tests.builder import Pen, Trunk

PAGE = Path(__file__).resolve().parent.parent / "docs" / "format.md"


def made() -> dict[str, str]:
    """Marker -> the text that belongs behind it."""
    made_of_code = {"bodies": format_bodies.bodies(), "objects": format_bodies.objects()}
    made_of_code |= {"kinds": _kinds(), "tables": _tables()}
    stories = {"work": _work_story(work_story()), "review": _review_story(review_story())}
    told = {name: "\n\n".join(story) for name, story in stories.items()}
    return made_of_code | {"example": _example(), "fork": _fork()} | told


def written(page: str) -> str:
    """The page with its made parts as they must be."""
    for name, text in made().items():
        block = f"<!-- {name} -->\n{text.rstrip()}\n<!-- end -->"
        page = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _, block=block: block, page, flags=re.DOTALL)
    return page


def _kinds() -> str:
    rows = ["| kind | roles that may write it | has an `until` |", "|---|---|---|"]
    for kind in kinds.KINDS.values():
        roles = ", ".join(f"`{role}`" for role in sorted(kind.roles)) or "names none"
        rows.append(f"| `{kind.name}` | {roles} | {'yes' if kind.until else ''} |")
    return "\n".join(rows)


def _tables() -> str:
    return "\n\n".join(_table(kind) for kind in kinds.KINDS)


def _table(kind: str) -> str:
    rows = [f"### {kind}", "", "| case | outcome | rule | result |", "|---|---|---|---|"]
    rows += [
        f"| {row.case} | `{row.outcome}` | `{row.rule}` | {f'`{row.result}`' if row.result else ''} |"
        for row in kinds.FAMILY_OF[kind].ROWS
        if row.kind == kind
    ]
    return "\n".join(rows)


def story() -> Trunk:
    """The worked example's ledger."""
    trunk = Trunk.founded()
    elm = trunk.admit("elm")
    both = [
        pen.write("lease.acquire", lease="deploy", session="s", ttl_ms=60_000, until=20) for pen in (elm, trunk.oak)
    ]
    trunk.seal(*both)
    return trunk


def _example() -> str:
    return "\n\n".join(_story(story()))


def _story(trunk: Trunk) -> Iterator[str]:
    files = trunk.files
    found = next(data for path, data in files.items() if "/oak-" in path).split(b"\n")[0]
    value = orjson.loads(found)
    message = unsigned(value)
    yield "The founding record's line, its message, and the sha512 of that message:"
    yield _block(found.decode(), message.decode(), hashlib.sha512(message).hexdigest())
    head = b"SSHSIG" + b"".join(len(x).to_bytes(4, "big") + x for x in (namespace(None).encode(), b"", b"sha512"))
    yield "What Ed25519 signs, in hex:"
    yield _block((head + (64).to_bytes(4, "big") + hashlib.sha512(message).digest()).hex())
    yield "The record's id, which is the ledger's:"
    yield _block(hashlib.sha256(found).hexdigest())
    digest = NOTHING
    for stood in whole(trunk).spine.chain:
        yield from _epoch(stood, digest)
        digest = stood.seal.state
    yield SPACE


SPACE = "(`\\x20` stands for the space at a line's end, where it could not be seen.)"


def _epoch(stood: Stood, before: str) -> Iterator[str]:
    """A seal, and how its digest comes about."""
    seal, judged = stood
    yield f"Seal {seal.epoch}, its id, the order of its logs (sha256 of parent and log), and the text whose sha256 is the digest:"
    text = f"{before}\n" + "".join(f"{item.record.id} {' '.join(item.verdict)}\n" for item in judged)
    order = [f"{hashlib.sha256((seal.parent + log).encode()).hexdigest()} {log}" for log in seal.heads]
    yield _block(seal.line.decode(), "", seal.id, "", *sorted(order), "", *text.split("\n")[:-1])
    yield f"Digest after epoch {seal.epoch}: `{fold.next_digest(before, judged)}`"


def whole(trunk: Trunk) -> Ledger:
    return whole_of(trunk.files)


def whole_of(files: dict[str, bytes]) -> Ledger:
    """Everything that the files hold, the sides that lost included."""
    ledger = Ledger()
    ledger.settles, ledger.spine.voters = False, {}
    ledger.read(Change(path, None, data) for path, data in sorted(files.items()))
    return ledger


# The worked fork.


class Fork(NamedTuple):
    """The fleet of the first example at two hubs, and what comes of it."""

    elms: Trunk
    oaks: Trunk
    united: Trunk


def fork_story() -> Fork:
    """Elm's lease at one hub, oak's words at the other; oak seals what was late, and then the proof against elm."""
    trunk = story()
    elms, oaks = at_another_hub(trunk), at_another_hub(trunk)
    elm, oak = elms.pens["elm"], oaks.oak
    elms.seal(elm.write("lease.acquire", lease="db", session="s", ttl_ms=60_000, until=20), by=elm)
    token = elms.ledger.state.epoch
    under = {"lease": "db", "session": "s", "token": token}
    elms.seal(elm.write("event.publish", topic="t", type="done", payload=1, under=under), by=elm)
    oaks.seal(oak.write("event.publish", topic="t", type="hello", payload=1))
    oaks.push([oak.write("event.publish", topic="t", type="hello", payload=2)])
    united = at_another_hub(oaks, elms)
    late = united.ledger.sealable()
    united.seal(*(record for run in late.values() for record in run))
    copies = [copy.copy(elm), copy.copy(elm)]
    halves = [pen.write("event.publish", topic="t", type="copy", payload=n) for n, pen in enumerate(copies)]
    united.push(halves)
    united.seal(united.oak.write("lease.acquire", lease="db", session="s", ttl_ms=60_000, until=20))
    return Fork(elms, oaks, united)


def at_another_hub(*trunks: Trunk) -> Trunk:
    """A trunk that holds what these hold, and goes on by itself with the first one's pens."""
    twin = Trunk()
    twin.files = {path: union(*(trunk.files.get(path, b"") for trunk in trunks)) for t in trunks for path in t.files}
    twin.ledger, reading = trunks[0].read_anew(twin.files)
    twin.seals = list(reading.seals)
    for name, pen in trunks[0].pens.items():
        twin.pens[name] = copy.copy(pen)
        twin.pens[name].seen = (twin.ledger.state.epoch, twin.ledger.state.seal)
    return twin


def _fork() -> str:
    return "\n\n".join(_fork_story(fork_story()))


def _fork_story(fork: Fork) -> Iterator[str]:
    spine = whole(fork.united).spine
    four, six, seven = spine.chain[3:]
    sides = [spine.stood[seal.id] for seal in fork.elms.seals[-2:]]
    lines = [_line(item.record) for stood in sides for item in stood.judged]
    yield "At elm's hub: two records, and their seals. The second record is elm's vote: its `seen` is the first seal."
    yield _block(lines[0], _line(sides[0].seal), "", lines[1], _line(sides[1].seal))
    yield "Their ids, and the verdicts there:"
    yield _block(*(stood.seal.id for stood in sides), "", *(_verdict(item) for stood in sides for item in stood.judged))
    loose = next(item.record for item in six.judged if item.record.log == four.seal.log)
    yield "At oak's hub: one record and its seal, and a record that no seal takes in. That is oak's vote."
    yield _block(_line(four.judged[0].record), _line(four.seal), "", _line(loose))
    yield "The seal's id:"
    yield _block(four.seal.id)
    (election,) = spine.elections
    votes = " and ".join(f"{vote.log} for {vote.side[:8]}" for vote in election.votes)
    yield (
        f"So seal 3 has two children, and one vote each: {votes}. Oak was admitted in epoch 1, elm in epoch 2; so "
        f"{election.chosen[:8]} goes on. The next seal passes elm's side, whose epochs were 4 and 5: it is number "
        f"{six.seal.epoch}. Elm's records go first in it, in the order in which they were judged there; then the rest."
    )
    yield from _epoch(six, four.seal.state)
    yield (
        "Elm has the lease all the same, with another token; what it did under the token of the side that lost is fenced. "
        "Two records with one seq, each signed by elm's key, are in elm's log behind that:"
    )
    pair = [spine.records[id_] for id_ in seven.seal.proofs[sides[0].seal.log]]
    yield _block(*(_line(record) for record in pair))
    yield (
        f"Seal {seven.seal.epoch} brings them as a proof. As its epoch opens elm is suspended and the lease is free; so oak "
        "is granted it."
    )
    yield from _epoch(seven, six.seal.state)
    yield SPACE


# The worked work.

SCALE = {"lane": "$payload.lane", "on": {"$best": "payload.nodes", "by": "free"}}
MAPPING = {
    "on": {"topic": "lanes", "type": "failed"},
    "where": {"payload.count": {"at_least": 3}},
    "give": {"command": {"name": "scale", "args": SCALE, "holder": "leader"}},
    "under": "leader",
}
LANES = {"lane": "gpu", "count": 4, "nodes": [{"name": "ash", "free": 1}, {"name": "elm", "free": 3}]}
TASKS = [
    {"name": "build", "commands": [{"name": "make", "run": ["make"]}], "capability": "build"},
    {"name": "test", "needs": ["build"], "commands": [{"name": "check", "run": ["make", "check"]}]},
]


def work_story() -> Trunk:
    """Five more epochs: a DAG is built by one node and tested by two, and an event has a command follow."""
    trunk = story()
    oak, elm = trunk.oak, trunk.pens["elm"]
    offers = [pen.write("work.offer", capabilities=["build"], slots=1) for pen in (oak, elm)]
    leads = oak.write("lease.acquire", lease="leader", session="s", ttl_ms=60_000, until=20)
    mapping = oak.write("reactor.publish", reactor="lanes", version=1, rules=[MAPPING])
    trunk.seal(*offers, leads, mapping, oak.write("dag.submit", dag="release", tasks=TASKS, until=20))
    trunk.seal(
        _claim(oak, "task:release/build"), elm.write("event.publish", topic="lanes", type="failed", payload=LANES)
    )
    under = {"lease": "task:release/build", "session": "s", "token": trunk.ledger.state.epoch}
    early = oak.write("task.finish", under=under, outcome="succeeded")
    filed = oak.write("task.receipt", under=under, step="make", phase="run", outcome="exited", exit=0)
    done = oak.write("task.finish", under=under, outcome="succeeded")
    trunk.seal(early, filed, done, _claim(oak, "task:release/test"))
    (due,) = reactors(trunk.ledger.state).due.values()
    leader = {"lease": "leader", "session": "s", "token": 4}
    again = [oak.write("command.issue", **body_of(due), under=leader, until=20) for _ in range(2)]
    trunk.seal(*again)
    (command,) = (one.name for one in work(trunk.ledger.state).items.values() if one.name.startswith("command:"))
    trunk.seal(_claim(oak, command), by=elm)
    return trunk


def _claim(pen: Pen, name: str) -> Record:
    return pen.write("lease.acquire", lease=name, session="s", ttl_ms=60_000, until=20)


def _work_story(trunk: Trunk) -> Iterator[str]:
    four, five, six, seven, eight = whole(trunk).spine.chain[3:]
    records = {epoch: [item.record for item in stood.judged] for epoch, stood in enumerate((four, five, six, seven), 4)}
    yield "What epoch 4 takes in:"
    yield _block(*map(_line, records[4]))
    yield from _verdicts(four)
    yield (
        "`build` can be claimed from epoch 5 on, `test` when that is done. Both nodes have an offer with `build`; so these "
        "digests say whose turn it is: the node's with the greater one, elm's both times. Oak takes both, by WORK-2:"
    )
    texts = [f"task:release/{task['name']}@{node}" for task in TASKS for node in ("elm", "oak")]
    yield _block(*(f"{hashlib.sha256(text.encode()).hexdigest()} {text}" for text in texts))
    yield "Epoch 5: a claim, and an event for which the mapping's rule holds."
    yield _block(*map(_line, records[5]))
    yield from _verdicts(five)
    event = next(record for record in records[5] if record.kind == "event.publish")
    issue = records[7][0]
    yield "So a follow-up is due. Its id is the beginning of a sha256, and this is its body:"
    text = f"lanes@1 0 {event.id}"
    body = {key: value for key, value in issue.body.items() if key not in ("until", "under")}
    yield _block(f"{hashlib.sha256(text.encode()).hexdigest()} {text}", "", canonical(body).decode())
    yield "Epoch 6: a finish without a receipt, the receipt, the finish, and a claim of what is ready by that."
    yield _block(*map(_line, records[6]))
    yield from _verdicts(six)
    yield "Epoch 7: the follow-up, written twice. The id of the command is the beginning of the sha256 of its content:"
    content = canonical({key: issue.body[key] for key in ("name", "args", "holder", "cause", "reaction")})
    yield _block(*map(_line, records[7]), "", f"{hashlib.sha256(content).hexdigest()} {content.decode()}")
    yield from _verdicts(seven)
    yield "Epoch 8: who holds the lease `leader` claims the command."
    yield _block(_line(eight.judged[0].record))
    yield from _epoch(eight, seven.seal.state)
    yield SPACE


# The worked review.


def review_story() -> Trunk:
    """Five more epochs: a reviewer comes, two requests are held, one is approved and granted, one waits too long."""
    trunk = story()
    oak, elm, ash = trunk.oak, trunk.pens["elm"], trunk.pens.setdefault("ash", trunk.pen("ash"))
    admit = oak.write("node.admit", name="ash", key=ash.key.public.text, roles=["reviewer"])
    rule = {"rule": "production", "kinds": ["lease.acquire"], "names": ["prod*"], "approvals": 1, "epochs": 2}
    trunk.seal(ash.hello(), admit, oak.write("review.require", **rule))
    asks = [_ask(elm, lease) for lease in ("prod-db", "prod-web", "test")]
    trunk.seal(*asks)
    mine = elm.write("lease.release", lease="test", session="s", record=asks[2].id, token=trunk.ledger.state.epoch)
    trunk.seal(mine, ash.write("review.approve", records=[asks[0].id]))
    trunk.seal(elm.write("event.publish", topic="t", type="tick", payload=None))
    early = _ask(elm, "prod-web")
    trunk.seal(early, ash.write("review.approve", records=[early.id]), by=elm)
    return trunk


def _ask(pen: Pen, lease: str) -> Record:
    return pen.write("lease.acquire", lease=lease, session="s", ttl_ms=60_000, until=20)


def _review_story(trunk: Trunk) -> Iterator[str]:
    four, five, six, seven, eight = whole(trunk).spine.chain[3:]
    yield "Epoch 4 takes in ash's hello, its admission, and the rule:"
    yield _block(*(_line(item.record) for item in four.judged))
    yield from _verdicts(four)
    yield "Epoch 5: elm asks for three leases. The rule fits two of them. It grants 2 epochs, so they wait up to epoch 7:"
    yield _block(*(_line(item.record) for item in five.judged))
    yield from _verdicts(five)
    yield "Epoch 6: ash approves the first one, which has its turn there and is granted with token 6; elm gives one back."
    yield _block(*(_line(item.record) for item in six.judged if not item.again))
    yield from _epoch(six, five.seal.state)
    yield (
        "Epoch 7 takes in an event of elm's. As epoch 8 opens, the other request is too late. Elm asks once more, and this time "
        "ash's approval is in the same epoch: where the second one of the two stands, elm is granted the lease."
    )
    yield _block(*(_line(item.record) for item in (*seven.judged, *eight.judged) if not item.again))
    yield from _verdicts(seven)
    yield from _epoch(eight, seven.seal.state)
    yield SPACE


def _verdicts(stood: Stood) -> Iterator[str]:
    yield _block(*(_verdict(item) for item in stood.judged), "", f"{stood.seal.state} the digest")


def _line(item: Record | Seal) -> str:
    return item.line.decode()


def _verdict(item: fold.Judged) -> str:
    return f"{item.record.id} {' '.join(item.verdict)}"


def _block(*lines: str) -> str:
    """A block of text; a space at a line's end is shown."""
    shown = [line[:-1] + "\\x20" if line.endswith(" ") else line for line in lines]
    return "\n".join(["```text", *shown, "```"])


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
