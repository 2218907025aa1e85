"""Looking at a whole ledger: its history, a check of every law over it, one record by its id.

Knows: what a person asks of a ledger without writing to it.
Knows not: printing (`cli`); any rule (`kinds`), any law's own check (`ledger`).

    history(mesh).judged                             # every sealed record with its verdict, in order
    verify(None, "ledger").findings                  # of a directory; no home, no key, no hub is needed
    write_sshsig(show(mesh, "3f9a"), Path("out"))    # argv of the ssh-keygen command that verifies it
"""

from orxaq_mesh.inspect.checking import Report, verify
from orxaq_mesh.inspect.reading import History, history
from orxaq_mesh.inspect.showing import Shown, show, write_sshsig

__all__ = ["History", "Report", "Shown", "history", "show", "verify", "write_sshsig"]
