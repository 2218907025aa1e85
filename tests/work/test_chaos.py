"""In `make test` a small one; `make work-chaos` plays the real one."""

from __future__ import annotations

from pathlib import Path

from tests.work.chaos import Plan, run


def test_C20_work_is_effective_once_while_its_workers_are_killed_and_stopped(tmp_path: Path) -> None:
    plan = Plan(tasks=30, nodes=3, seed=4, ttl_s=3, every_s=1, most_s=0.3)
    report = run(tmp_path, plan)
    told = "\n".join(report.lines())
    assert report.good(plan.tasks), told
    assert sum(report.acts.values()) >= 3, told
