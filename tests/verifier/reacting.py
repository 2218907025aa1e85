"""Section 10 of docs/format.md, reactors: what follows from an event."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lines import BODIES, Record, Unsound, canonical, fits, sha256, walk
from working import is_addressed

MAY_GIVE = {
    "command": {"name", "args", "to", "capability", "holder", "priority", "reason"},
    "event": {"topic", "type", "payload"},
}


class Nothing(Exception):
    """A path leads to nothing; what was to be filled in with it gives nothing."""


def led(path: str, value: Any) -> Any:
    for key in path.split("."):
        if not isinstance(value, dict) or key not in value:
            raise Nothing
        value = value[key]
    return value


def there(path: str, value: Any) -> list[Any]:
    """What a path leads to, in a list; an empty one where that is nothing."""
    try:
        return [led(path, value)]
    except Nothing:
        return []


def same(found: list[Any], wanted: Any) -> bool:
    return bool(found) and canonical(found[0]) == canonical(wanted)


def integers(found: list[Any], value: Any) -> bool:
    return bool(found) and type(found[0]) is int and type(value) is int


TESTS: dict[str, Any] = {
    "is": same,
    "not": lambda found, value: not same(found, value),
    "at_least": lambda found, value: integers(found, value) and found[0] >= value,
    "at_most": lambda found, value: integers(found, value) and found[0] <= value,
    "in": lambda found, value: isinstance(value, list) and any(same(found, one) for one in value),
    "exists": lambda found, value: bool(found) == (value is True),
}


def hold(where: dict[str, Any], value: Any) -> bool:
    for path, wanted in where.items():
        found = there(path, value)
        if isinstance(wanted, dict) and wanted and set(wanted) <= set(TESTS):
            if not all(TESTS[test](found, one) for test, one in wanted.items()):
                return False
        elif not same(found, wanted):
            return False
    return True


def filled(template: Any, facts: Any) -> Any:
    if isinstance(template, str):
        return led(template[1:], facts) if template.startswith("$") else template
    if isinstance(template, dict) and "$best" in template:
        return best(template, facts)
    if isinstance(template, dict):
        return {key: filled(inner, facts) for key, inner in template.items()}
    return [filled(inner, facts) for inner in template] if isinstance(template, list) else template


def best(template: dict[str, Any], facts: Any) -> Any:
    options, by, top = led(template["$best"], facts), template.get("by", "score"), None
    for option in options if isinstance(options, list) else []:
        score = there(by, option)
        if score and type(score[0]) is int and hold(template.get("where", {}), option):
            top = (score[0], option) if top is None or score[0] > top[0] else top
    if top is None:
        raise Nothing
    return top[1]


def is_sound(rule: dict[str, Any]) -> bool:
    if not isinstance(rule.get("where", {}), dict):
        return False
    for template in [rule["give"]] + ([rule["else"]] if "else" in rule else []):
        if len(template) != 1:
            return False
        for what, body in template.items():
            if not isinstance(body, dict) or not set(body) <= MAY_GIVE[what] or not chooses_well(body):
                return False
    return True


def chooses_well(template: Any) -> bool:
    if isinstance(template, dict) and "$best" in template:
        form = {"$best": lambda value: isinstance(value, str), "where?": lambda value: isinstance(value, dict)}
        return fits(template, {**form, "by?": lambda value: isinstance(value, str)})
    inner = template.values() if isinstance(template, dict) else template if isinstance(template, list) else []
    return all(chooses_well(one) for one in inner)


def given(rule: dict[str, Any], facts: Any) -> tuple[str, Any] | None:
    """What a rule gives for an event: (command or event, body)."""
    if not all(facts[key] == wanted for key, wanted in rule["on"].items()) or not hold(rule.get("where", {}), facts):
        return None
    for field in ("give", "else"):
        if field in rule:
            try:
                ((what, body),) = filled(rule[field], facts).items()
                return what, body
            except Nothing:
                pass
    return None


class Due(NamedTuple):
    kind: str
    body: dict[str, Any]
    lease: str | None
    depth: int
    since: int
    mapping: str
    root: str


class Reactors:
    def __init__(self) -> None:
        self.mappings: dict[str, tuple[int, list[Any]]] = {}
        self.due: dict[str, Due] = {}
        self.written: set[str] = set()
        self.chains: dict[str, int] = {}

    def hear(self, record: Record, node: str, epoch: int, writers: set[str]) -> None:
        facts = {key: record.body[key] for key in ("topic", "type", "payload")} | {"cause": record.id, "node": node}
        before = self.due.get(record.body.get("reaction", ""))
        depth, root = (before.depth, before.root) if before else (0, record.id)
        for name, (version, rules) in sorted(self.mappings.items()) if depth < 16 else ():
            for number, rule in enumerate(rules):
                if gave := given(rule, facts):
                    id_ = sha256(f"{name}@{version} {number} {record.id}".encode())[:32]
                    kind = {"command": "command.issue", "event": "event.publish"}[gave[0]]
                    body = {**gave[1], "cause": record.id, "reaction": id_}
                    if self.chains.get(root, 0) < 64 and can_say(kind, body, writers):
                        self.due[id_] = Due(kind, body, rule.get("under"), depth + 1, epoch, name, root)
                        self.chains[root] = self.chains.get(root, 0) + 1

    def write(self, body: dict[str, Any]) -> None:
        """A record was applied: if it is a follow-up that was due, it is written."""
        if body.get("reaction") in self.due:
            self.written.add(body["reaction"])
            self.keep(lambda id_, due: id_ != body["reaction"])

    def keep(self, stays: Callable[[str, Due], bool]) -> None:
        self.due = {id_: due for id_, due in self.due.items() if stays(id_, due)}
        roots = {due.root for due in self.due.values()}
        self.chains = {root: had for root, had in self.chains.items() if root in roots}

    def publish(self, name: str, version: int, rules: list[Any]) -> None:
        self.mappings[name] = (version, rules)
        self.keep(lambda id_, due: due.mapping != name)

    def open(self, epoch: int) -> None:
        self.keep(lambda id_, due: due.since >= epoch - 64)

    def verdict(self, record: Record) -> list[str] | None:
        body = record.body
        if "reaction" not in body:
            return None
        if body["reaction"] in self.written:
            return ["applied", "REACTOR-2", "noop"]
        due = self.due.get(body["reaction"])
        said = {key: value for key, value in body.items() if key not in ("under", "until", "once")}
        if due is None or due.kind != record.kind or canonical(due.body) != canonical(said):
            return ["refused", "REACTOR-2", ""]
        if due.lease and body.get("under", {}).get("lease") != due.lease:
            return ["refused", "REACTOR-3", ""]
        return None


def can_say(kind: str, body: dict[str, Any], writers: set[str]) -> bool:
    whole = {**body, "until": 1} if kind == "command.issue" else body
    try:
        walk(whole, 2)
    except Unsound:
        return False
    if not fits(whole, BODIES[kind]) or len(canonical(whole)) >= 63_488:
        return False
    return kind == "event.publish" or is_addressed(body, writers)
