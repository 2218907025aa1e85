#!/usr/bin/env python3
"""A deploy in Python that only one node of the fleet does at a time.

    python deploy_with_lease.py 1.4.2 prod.txt

The lease keeps others out while we hold it. What makes that true even for a program that slept through its own expiry
is the gate: it refuses our token as soon as `prod.txt` has seen a higher one. See docs/guides/check-the-token.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from orxaq_mesh import Mesh
from orxaq_mesh.gate import gate


def main(version: str, target: str) -> None:
    mesh = Mesh.open()
    # Waits in line for a minute at most; renewed for as long as the block lasts, released at its end.
    with mesh.lease("deploy", ttl=600, timeout=60) as lease:
        print(f"deploy is ours, token {lease.token}")
        build(version)
        lease.check()  # raises Fenced if the lease may be another's by now: why go on?
        with gate(target, lease.token, lease.seal):  # raises Fenced if the target knows better
            Path(target).write_text(f"{version}\n")
        done = mesh.as_session(lease.session).publish(
            "deploys", "done", {"version": version}, under="deploy", token=lease.token
        )
        print(f"the fleet knows: {done.verdict}")


def build(version: str) -> None:
    """Whatever takes its time."""
    print(f"building {version}")


if __name__ == "__main__":
    main(*sys.argv[1:])
