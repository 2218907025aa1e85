"""One run, one fault, two locks: a lock file on the left, the mesh on the right. Then a release that loses two laptops.

Knows: the play, from outside, as any user could put it on: real processes, real commands, real hubs.
Knows not: anything of the mesh that a user could not know.
Law: FENCE. What is shown is what was read; if any of it did not happen, the exit code is 1.

    run(keep=False, as_json=False)          # 0, and everything that was started is gone
"""

from __future__ import annotations

import os

from orxaq_mesh.errors import MeshFault


def run(keep: bool, as_json: bool) -> int:
    """Put the play on; gives the exit code.

    Args:
        keep: leave the directory with both hubs, all homes and the damaged copy, and say where it is.
        as_json: show nothing on the way, and print one document with the facts of every step.

    Raises:
        MeshFault: this system cannot stop a process and let it go on.
    """
    if os.name != "posix":
        raise MeshFault("the demo puts processes to sleep with SIGSTOP, which this system does not have")
    from orxaq_mesh.demo.play import play

    return play(keep, as_json)
