"""One work order's commands, run on this machine: within bounds, on record, with nothing left behind.

Knows: processes, their output and the files that they leave.
Knows not: the ledger, leases, tasks, or why a command is run. Who calls sets `stop` when the work is no longer its own.
Laws: QUIET (argv lists; a script goes to `sh` only where the caller says so), CACHE (logs may be deleted between runs).

`execution` runs one step, `retrying` tries it again where this machine was at fault, `events` is the log that people
follow, `receipts` is what goes into the ledger, `environment` is what a child may see.
"""
