"""A linearizability checker, and histories of real processes over real hubs for it to judge.

A history is what callers saw from outside: who asked what, when, and what they were told, on one clock. It is
linearizable if one order of its operations explains every answer, in which each operation takes effect at one moment
between its call and its return. An operation of unknown result (its caller was killed, or was told exit 5) may take
effect at any moment after its call, or never.

Knows: histories, models (what a register, a key-value store, a lease may answer), the search for an order.
Knows not: engine, ledger, fold. A verdict rests on what callers were told, so the fold cannot vouch for itself.

    history   Operation: who, about which lease, what, with what result, from when to when
    models    the register with compare-and-set, and the key-value store with append, of public checkers
    lease     ours: tokens strictly grow, one holder at most, no deed but under the current token and by its holder
    search    the search for an order, one lease at a time
    verdict   what came of it, for a person
    forms     readers of Jepsen's logs, EDN and JSON lines; the form is found out; and the writer of JSON lines
    told      what a caller was told (an `Answer`, or the JSON of a command) as the result of an operation
    recorder  real `mesh` commands over real hubs: killed, stopped, with a flaky git in front (`flaky`)
    doctored  a history made wrong on purpose

    >>> from tests.linear import Operation, check
    >>> wrote = Operation("a", "x", "write", 1, None, invoked=0, returned=1)
    >>> read = Operation("b", "x", "read", None, 2, invoked=2, returned=3)
    >>> check([wrote, read], "register").linearizable
    False

    python -m tests.linear FILE [--model cas-register|register|kv|lease] [--limit 60]
    MESH_LINEAR_ROUNDS=20 python -m pytest tests/linear/test_recorded.py

For a simulator: note each ask as `Asked(process, kind, wish, invoked)`, put `returned` and the `Answer` in when it is
told, and hand the list to `check(from_simulator(asked), "lease")`. A process is `node/session`. A node does some things
unasked (it renews, takes over for a waiter, gives back for a dead one): renewals change nothing here, but takes and
releases that were applied and that nobody asked for must be in the list too, or the history has a hole in it. What a
fork undoes is no matter of one order: check the side that was chosen.

What the search does (Wing & Gong 1993: try every operation that was called before any other returned; Lowe 2017: a
linked list of calls and returns, and never the same set and state twice; Horn & Kroening 2015: a history is
linearizable if each of its leases is, so each is searched alone), and what makes it quick in Python:

- a reading that fits the present state is placed at once: nothing that comes later fits worse for that;
- of open operations that are alike, the one called first goes first; where it would change nothing it need not happen;
- who was here before with the same answers given, the same state, and fewer open operations spent, had more choice.

J. Wing, C. Gong: Testing and Verifying Concurrent Objects, JPDC 17, 1993. G. Lowe: Testing for linearizability,
Concurrency and Computation 29(4), 2017. A. Horn, D. Kroening: Faster linearizability checking via P-compositionality,
FORTE 2015. M. Herlihy, J. Wing: Linearizability, TOPLAS 12(3), 1990.
"""

from __future__ import annotations

from tests.linear.check import check
from tests.linear.history import Operation
from tests.linear.told import Asked, from_simulator
from tests.linear.verdict import Verdict

__all__ = ["Asked", "Operation", "Verdict", "check", "from_simulator"]
