"""A hub of our own that enforces: a bare repository whose hook says no before a branch moves.

Knows: how such a repository is made, who may move which branch of it, what a push would do to the ledger.
Knows not: how it is served (sshd, nginx, a path); whoever serves it starts the hook, as git does.
Keeps the laws PUSH (forward only), CHAIN (an outbox is its node's own), RENDER (nothing but a ledger), QUIET (what a push
brings is read by object id, and never run), CACHE (all that the hub remembers may be deleted at any moment).

A hub is trusted for no more than before: nodes verify all that they fetch. It is a fence for the trunk, so that what no
node would believe does not even get there.

    making     a hub is made, adopted, examined
    settings   what its owner said: `mesh/hub.json`
    door       the first file that the hook runs: asks the standby, else the rooms
    standby    a process that stays for five minutes after a push, so that the next one starts nothing
    receiving  what a push asks for, in values; what is answered, in words
    judging    which of it is refused, and why
    outbox     the part of it that is about one node's own branch
    memory     the verified trunk, from one push to the next
"""
