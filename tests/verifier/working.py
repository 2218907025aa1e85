"""Section 10 of docs/format.md, work: tasks of DAGs, commands, who may do them, and what becomes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

from lines import Record, canonical

MET, VAIN = ("succeeded", "noop", "skipped"), ("failed", "blocked", "cancelled")
COMMAND = ("name", "args", "to", "capability", "holder", "again", "cause", "reaction")
ADDRESSES = ("to", "capability", "holder")
PHASES = {"before": "before", "commands": "run", "after": "after", "rollback": "rollback"}
OUTCOMES = {"applied": "succeeded"}


def is_claim(lease: str) -> bool:
    return lease.startswith(("task:", "command:"))


def steps(order: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(step, its phase), of all that an order names."""
    for key, phase in PHASES.items():
        yield from ((step["name"], phase) for step in order.get(key, []))
    yield from ((name, "run") for name in order.get("receipts", []))


def is_addressed(body: dict[str, Any], writers: set[str]) -> bool:
    return sum(key in body for key in ADDRESSES) == 1 and ("to" not in body or body["to"] in writers)


def is_dag(tasks: list[Any]) -> bool:
    needs = {task["name"]: set(task.get("needs", [])) for task in tasks}
    names = [[name for name, _ in steps(task)] for task in tasks]
    if len(needs) < len(tasks) or any(len(set(named)) < len(named) for named in names):
        return False
    if any(len(some) > 256 or not some <= needs.keys() for some in needs.values()):
        return False
    done: set[str] = set()
    while free := {name for name, some in needs.items() if name not in done and some <= done}:
        done |= free
    return len(done) == len(needs)


class Job:
    """A piece of work."""

    def __init__(self, name: str, state: str, epoch: int, order: dict[str, Any], **for_whom: Any) -> None:
        self.name, self.state, self.token, self.order = name, state, epoch, order
        self.failures, self.receipts = 0, dict[str, tuple[str, bool]]()
        self.to, self.holder, self.capability = (for_whom.get(key) for key in ("to", "holder", "capability"))

    @property
    def pause(self) -> int:
        doubled = 2 ** (self.failures - 1) if self.failures else 0
        return int(min(self.order.get("backoff_ms", 0) * doubled, 86_400_000))


class Dag:
    def __init__(self, author: str, record: str, body: dict[str, Any]) -> None:
        self.author, self.record, self.limits = author, record, body.get("limits", {})
        self.missing, self.parts, self.drafts = body.get("parts", 0), 0, list(body["tasks"])
        self.tasks: dict[str, Job] = {}

    def has(self, *states: str) -> bool:
        return any(job.state in states for job in self.tasks.values())

    def settle(self) -> None:
        moved = True
        while moved:
            moved = False
            for job in self.tasks.values():
                place = self.place(job)
                if job.state in ("waiting", "blocked") and place != job.state:
                    job.state, moved = place, True

    def place(self, job: Job) -> str:
        needs = [self.tasks[need].state for need in job.order.get("needs", [])]
        if any(state in VAIN for state in needs):
            return "blocked"
        return "ready" if all(state in MET for state in needs) else "waiting"


class Work:
    """The offers, DAGs, work and breaker of a state."""

    def __init__(self, leases: dict[str, Any]) -> None:
        self.leases = leases
        self.offers: dict[str, list[str]] = {}
        self.dags: dict[str, Dag] = {}
        self.commands: dict[str, Job] = {}
        self.is_open, self.failures, self.guards = False, 0, 0

    def job(self, name: str) -> Job | None:
        kind, _, rest = name.partition(":")
        dag = self.dags.get(rest.partition("/")[0]) if kind == "task" else None
        return dag.tasks.get(rest.partition("/")[2]) if dag else self.commands.get(name)

    def dag_of(self, job: Job) -> Dag | None:
        return self.dags[job.name[5:].partition("/")[0]] if job.name.startswith("task:") else None

    def record_of(self, job: Job) -> Any:
        """The record that ordered it."""
        dag = self.dag_of(job)
        return dag.record if dag else job.order["record"]

    def holder(self, lease: str) -> str:
        return self.leases[lease].holder if lease in self.leases else ""

    def may_do(self, job: Job, node: str) -> bool:
        if job.to or job.holder:
            return node == (job.to or self.holder(str(job.holder)))
        return not job.capability or job.capability in self.offers.get(node, [])

    def owner(self, job: Job) -> str:
        if job.to or job.holder:
            return job.to or self.holder(str(job.holder))
        able = [node for node, offered in self.offers.items() if not job.capability or job.capability in offered]
        return max(able, key=lambda node: sha256(f"{job.name}@{node}".encode()).digest(), default="")

    def refusal(self, record: Record, node: str, epoch: int) -> str:
        """The rule by which this claim is refused, if it is one."""
        job, take = self.job(record.body["lease"]), record.kind == "lease.take"
        if self.is_open:
            return "BREAKER-1"
        if job is None or job.state not in ("ready", "running") or record.body.get("queue"):
            return "TASK-2"
        if record.body.get("of", self.record_of(job)) != self.record_of(job):
            return "TASK-2"
        if not self.may_do(job, node):
            return "TASK-3"
        if take or job.state == "running":
            return ""
        if (dag := self.dag_of(job)) and job.capability in dag.limits:
            running = [j for j in dag.tasks.values() if j.state == "running" and j.capability == job.capability]
            if len(running) >= dag.limits[job.capability]:
                return "TASK-4"
        if job.token >= epoch:
            return "LEASE-3"
        return "TASK-5" if record.body.get("watched_ms", 0) < job.pause else ""

    def claimed(self, name: str, epoch: int) -> None:
        job = self.job(name)
        assert job is not None
        job.state, job.token, job.receipts = "running", epoch, {}

    def given_back(self, name: str) -> None:
        self.leases.pop(name)
        job = self.job(name)
        assert job is not None
        job.state = "ready"

    def bereave(self, node: str) -> None:
        self.offers.pop(node, None)
        for dag in self.dags.values():
            for job in dag.tasks.values():
                job.to = None if job.to == node else job.to

    def judge(self, record: Record, epoch: int, node: str, is_admin: bool, writers: set[str]) -> list[str]:
        family, verb = record.kind.split(".")
        self.epoch, self.node, self.id = epoch, node, record.id
        self.is_admin, self.writers = is_admin, writers
        verdict: list[str] = getattr(self, f"{family}_{verb}")(record.body)
        return verdict

    # Offers and the breaker.

    def work_offer(self, body: Any) -> list[str]:
        self.offers[self.node] = body["capabilities"]
        if not body["slots"]:
            del self.offers[self.node]
        return yes("WORK-1", "offered")

    def breaker_open(self, body: Any) -> list[str]:
        if self.is_open:
            return no("BREAKER-2")
        self.is_open = True
        return yes("BREAKER-2", "opened")

    def breaker_reset(self, body: Any) -> list[str]:
        if not self.is_open:
            return no("BREAKER-3")
        self.is_open, self.failures, self.guards = False, 0, 0
        return yes("BREAKER-3", "reset")

    def count(self, job: Job, outcome: str) -> None:
        self.failures = self.failures + 1 if outcome == "failed" else 0
        self.guards += any(phase in ("before", "after") and not good for phase, good in job.receipts.values())
        self.is_open = self.is_open or self.failures >= 5 or self.guards >= 3

    # DAGs.

    def dag_submit(self, body: Any) -> list[str]:
        dag = self.dags.get(body["dag"])
        is_at_work = dag and (dag.missing or dag.has("waiting", "ready", "running"))
        if dag and is_at_work and not (dag.missing and dag.author == self.node):
            return no("DAG-2")
        if not body.get("parts") and not is_dag(body["tasks"]):
            return no("DAG-3")
        dag = self.dags[body["dag"]] = Dag(self.node, self.id, body)
        return yes("DAG-4", "begun") if dag.missing else self.begin(body["dag"], dag)

    def dag_part(self, body: Any) -> list[str]:
        dag = self.dags.get(body["dag"])
        if not dag or not dag.missing or (dag.author, dag.record) != (self.node, body["record"]):
            return no("DAG-4")
        if body["part"] != dag.parts + 1:
            return no("DAG-4")
        if dag.missing == 1 and not is_dag(dag.drafts + body["tasks"]):
            return no("DAG-3")
        dag.missing, dag.parts, dag.drafts = dag.missing - 1, dag.parts + 1, dag.drafts + body["tasks"]
        return yes("DAG-4", "added") if dag.missing else self.begin(body["dag"], dag)

    def begin(self, name: str, dag: Dag) -> list[str]:
        for task in dag.drafts:
            job = Job(f"task:{name}/{task['name']}", "waiting", self.epoch, task, capability=task.get("capability"))
            dag.tasks[task["name"]] = job
        dag.drafts = []
        dag.settle()
        return yes("DAG-1", "submitted")

    def dag_cancel(self, body: Any) -> list[str]:
        dag = self.dags.get(body["dag"])
        if not dag or (dag.author != self.node and not self.is_admin):
            return no("DAG-5")
        if not dag.missing and not dag.has("waiting", "ready", "running", "blocked"):
            return no("DAG-5")
        dag.missing, dag.drafts = 0, []
        for job in dag.tasks.values():
            if job.state in ("waiting", "ready", "running", "blocked"):
                self.leases.pop(job.name, None)
                job.state = "cancelled"
        return yes("DAG-5", "cancelled")

    # Tasks.

    def task_receipt(self, body: Any) -> list[str]:
        job = self.job(body["under"]["lease"])
        if not body["under"]["lease"].startswith("task:") or not job:
            return no("TASK-9")
        if (body["step"], body["phase"]) not in steps(job.order):
            return no("TASK-9")
        job.receipts[body["step"]] = (body["phase"], (body["outcome"], body["exit"]) == ("exited", 0))
        return yes("TASK-9", "filed")

    def task_finish(self, body: Any) -> list[str]:
        job, outcome = self.job(body["under"]["lease"]), body["outcome"]
        if not body["under"]["lease"].startswith("task:") or not job:
            return no("TASK-6")
        needed = {step for step, phase in steps(job.order) if phase != "rollback"}
        if outcome == "noop":
            needed = {step for step in needed if step in job.receipts or (step, "before") in steps(job.order)}
        if outcome != "failed" and not all(job.receipts.get(step, ("", False))[1] for step in needed):
            return no("TASK-7")
        again = outcome == "failed" and job.failures + 1 < job.order.get("attempts", 1)
        self.leases.pop(job.name)
        job.state, job.failures = "ready" if again else outcome, job.failures + (outcome == "failed")
        self.settle(job)
        self.count(job, outcome)
        return yes("TASK-6", "again" if again else outcome)

    def settle(self, job: Job) -> None:
        if dag := self.dag_of(job):
            dag.settle()

    def by_hand(self, body: Any, allowed: Iterable[str]) -> Job | None:
        """The task that a record is about, if its author may put a hand in, and it is in such a state."""
        job = self.job("task:" + body["task"])
        dag = self.dag_of(job) if job else None
        return job if dag and (self.is_admin or dag.author == self.node) and job and job.state in allowed else None

    def task_retry(self, body: Any) -> list[str]:
        if not (job := self.by_hand(body, ("failed", "cancelled"))):
            return no("TASK-8")
        job.state, job.failures = "waiting", 0
        self.settle(job)
        return yes("TASK-8", "retried")

    def task_skip(self, body: Any) -> list[str]:
        if not (job := self.by_hand(body, ("waiting", "ready", "failed", "blocked"))):
            return no("TASK-8")
        job.state = "skipped"
        self.settle(job)
        return yes("TASK-8", "skipped")

    def task_assign(self, body: Any) -> list[str]:
        job = self.by_hand(body, ("waiting", "ready", "blocked"))
        if not job or ("to" in body and body["to"] not in self.writers):
            return no("TASK-8")
        job.to = body.get("to")
        return yes("TASK-8", "assigned")

    # Commands.

    def command_issue(self, body: Any) -> list[str]:
        if not is_addressed(body, self.writers):
            return no("COMMAND-1")
        content = canonical({key: body[key] for key in COMMAND if key in body})
        name = "command:" + sha256(content).hexdigest()[:16]
        if name in self.commands:
            return yes("COMMAND-2", "noop")
        if self.is_open:
            return no("BREAKER-1")
        self.commands[name] = Job(
            name,
            "ready",
            self.epoch,
            {"by": self.node, "record": self.id},
            **{key: body[key] for key in ADDRESSES if key in body},
        )
        return yes("COMMAND-1", "issued")

    def command_finish(self, body: Any) -> list[str]:
        job = self.job(body["under"]["lease"])
        if not body["under"]["lease"].startswith("command:") or not job:
            return no("COMMAND-3")
        self.leases.pop(job.name)
        job.state = OUTCOMES.get(body["outcome"], body["outcome"])
        self.count(job, body["outcome"])
        return yes("COMMAND-3", body["outcome"])

    def command_cancel(self, body: Any) -> list[str]:
        job = self.commands.get("command:" + body["command"])
        if not job or job.state != "ready" or (job.order["by"] != self.node and not self.is_admin):
            return no("COMMAND-4")
        job.state = "cancelled"
        return yes("COMMAND-4", "cancelled")


def no(rule: str) -> list[str]:
    return ["refused", rule, ""]


def yes(rule: str, result: str) -> list[str]:
    return ["applied", rule, result]
