"""The machine around a node: the only room that reads environment, files of ours, keys on disk, clocks and processes.

Knows: where a node lives, what is written there and how it survives a crash, who started us, what time it is.
Knows not: what a record means, and nothing of the hub.
Keeps the laws CACHE (only key and journal matter), TIME (a clock that counts sleep), CLOSED (unreadable: say why, stop).

    place     where key, journal and store live; nothing secret inside a work tree
    files     bytes that reach the disk whole or not at all
    keyfiles  the node's key: made, brought, loaded
    journal   what this node has signed and seen, on disk before anything is pushed (`journal_lines`: its byte form)
    locks     one process at a time, and who it is
    process   who started us, and whether they still live
    clock     the boot-time clock and the wall clock
    settings  the table of settings and the hub profiles
    config    each setting's value, and where it came from (`flatyaml`: the files)
    budget    how soon the next push may go

    home = Home(locate(option, environ, cwd)).make()
    with NodeLock(home, "node"):
        journal = Journal.open(home.journal)
        journal.append(entry)
"""
