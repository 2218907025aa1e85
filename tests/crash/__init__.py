"""Crash points: a node is killed at every system call that matters, or loses power at every step of a write.

room      runs commands as processes of its own, and owns whatever they leave behind
strace    which system calls a command makes, and how to kill it at one of them
scene     a fleet as it stands before the crash, and what must hold after it
disk      a file layer that forgets what was not synced
node      a whole node on that layer, at a hub that remembers all that ever reached it

MESH_CRASH_POINTS=all python -m pytest tests/crash       # every point; by default a seeded sample
"""
