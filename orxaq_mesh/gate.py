"""The gate: makes a lease's token count outside the ledger, at the thing that it guards.

Knows: one resource's high-water mark, the file `<resource>.gate` beside it; its lock, `<resource>.gate.lock`; how to
run a command under both.
Knows not: leases, the ledger, the hub. It remembers the highest token it was shown, and believes the token's bearer.
Law: FENCE. A token is the pair (epoch, seal id): a higher epoch passes, the same pair passes again, a lower epoch is
refused, and so is the same epoch under another seal, for then two hubs have granted one lease. Where one of the two
names no seal, the epochs decide; a seal once written stays written for its epoch.

A mark is one line. It is on the disk before the guarded work begins, and the lock is held until that ends:

    {"pid":4711,"seal":"<64 hex, or empty>","token":9}

    with gate("prod.txt", token=9):
        Path("prod.txt").write_text("v2")
"""

from __future__ import annotations

import datetime
import os
import re
import shlex
import signal
import stat
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import orjson

from orxaq_mesh.errors import Fenced, MeshFault, Usage
from orxaq_mesh.record import HEX64, MAX_INT, canonical

LOCK_TIMEOUT_MS = 60_000
MAX_MARK_BYTES = 4096
_TEXT = re.compile(r"(?P<epoch>[0-9]{1,16})(?::(?P<seal>[0-9a-f]{64}))?", re.ASCII)
_PASSED_ON = (signal.SIGINT, signal.SIGTERM)


class Token(NamedTuple):
    """A fencing token outside the ledger: the epoch that granted the lease and its seal's id (empty: not known)."""

    epoch: int
    seal: str = ""

    def __str__(self) -> str:
        return f"{self.epoch}:{self.seal[:8]}" if self.seal else str(self.epoch)


def parse_token(text: str, seal: str = "") -> Token:
    """The token behind `9` or `9:<64 hex>`; `seal` is what a text without one is taken with.

    Raises:
        Usage: it is no token; or it names one seal, and `seal` another.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise Usage(
            f"{text!r} is no token", hint="a token is a whole number from 1 on, or 9:<64 hex digits of its seal>"
        )
    if found["seal"] and seal and found["seal"] != seal:
        raise Usage(f"the token {text[:40]}... names another seal than {seal[:8]}", hint="name one of them")
    return _checked(int(found["epoch"]), found["seal"] or seal)


@contextmanager
def gate(
    resource: str | os.PathLike[str], token: int, seal: str = "", *, lock_timeout_ms: int = LOCK_TIMEOUT_MS
) -> Iterator[Token]:
    """Hold a resource for the body of a `with`, if `token` is not lower than any it was shown before.

    Args:
        resource: path of what is guarded; it need not exist, its directory must. Name it by one path always.
        token: the epoch that the lease was granted in.
        seal: the id of that epoch's seal, 64 hex digits, where it is known.
        lock_timeout_ms: how long to wait while another holds the resource.

    Raises:
        Fenced: the resource has seen a higher token, or this epoch under another seal.
        MeshFault: the mark is damaged or cannot be written, or the resource stayed held.
        Usage: no resource, token or seal has this form.
    """
    asked = _checked(token, seal)
    with _entered(resource, asked, lock_timeout_ms):
        yield asked


def run_gated(
    resource: str | os.PathLike[str],
    token: Token,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    lock_timeout_ms: int = LOCK_TIMEOUT_MS,
) -> int:
    """Run a command under the gate. Call it from the main thread: it passes INT and TERM on.

    Args:
        resource: path of what is guarded, as for `gate`.
        token: what `parse_token` made of the bearer's words.
        argv: the command and its arguments; no shell reads them.
        env: the command's environment; None: this process's own.
        lock_timeout_ms: how long to wait while another holds the resource.

    Returns:
        The command's exit code; 128 + n where signal n ended it.

    Raises:
        Fenced, MeshFault, Usage: as for `gate`; MeshFault also where the command cannot be started.
    """
    if not argv:
        raise Usage("no command to run", hint="mesh gate NAME --token N -- CMD ...")
    with _entered(resource, _checked(*token), lock_timeout_ms) as lock_fd:
        return _run(argv, env, lock_fd)


def _checked(epoch: int, seal: str) -> Token:
    if type(epoch) is not int or not 1 <= epoch <= MAX_INT:
        raise Usage(f"{epoch!r} is no token", hint=f"a token is a whole number from 1 to {MAX_INT}")
    if type(seal) is not str or (seal and HEX64.fullmatch(seal) is None):
        raise Usage(f"{seal!r} is no seal's id", hint="a seal's id is 64 hex digits in lower case")
    return Token(epoch, seal)


@contextmanager
def _entered(resource: str | os.PathLike[str], asked: Token, lock_timeout_ms: int) -> Iterator[int]:
    """The lock's descriptor, once the resource is ours and has seen the token."""
    mark = _mark_file(resource)
    _judged(mark, asked)  # a mark only grows: whoever is refused now need not wait for the lock
    with _locked(mark, lock_timeout_ms) as lock_fd:
        _write(mark, _judged(mark, asked))
        yield lock_fd


def _mark_file(resource: str | os.PathLike[str]) -> Path:
    """Beside the name, not beside what a link points to: a deploy that swings the link must not swing the mark."""
    name = os.fspath(resource)
    path = Path(name)
    if "\0" in name or path.name in {"", ".."}:
        raise Usage(f"{name!r} names no resource", hint="name a file or directory, e.g. prod.txt")
    if not path.parent.is_dir():
        raise MeshFault(f"{path.parent} is no directory, so no mark can lie beside {path.name}")
    return path.with_name(path.name + ".gate")


@contextmanager
def _locked(mark: Path, timeout_ms: int) -> Iterator[int]:
    from filelock import FileLock, Timeout

    if timeout_ms < 0:
        raise Usage(f"a lock timeout of {timeout_ms} ms", hint="name 0 or more")
    fds: list[int] = []
    lock = FileLock(f"{mark}.lock", timeout=timeout_ms / 1000, fallback_to_soft=False, on_acquired=fds.append)
    try:
        lock.acquire()
    except (Timeout, RuntimeError):  # RuntimeError: this very thread holds it already
        raise _held(mark, timeout_ms) from None
    except OSError as error:
        raise MeshFault(f"{mark}.lock cannot be locked: {error.strerror or error}", file=f"{mark}.lock") from None
    try:
        yield fds[0]
    finally:
        lock.release()


def _held(mark: Path, timeout_ms: int) -> MeshFault:
    """Who holds it stands in the mark: whoever enters writes it."""
    pid, since = 0, ""
    try:
        pid = _content(mark).get("pid", 0)
        since = datetime.datetime.fromtimestamp(mark.stat().st_mtime, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OSError, ValueError):
        pass  # not written yet, or damaged: the next who enters is told
    who = f"process {pid} (or what it started), since {since}" if since else "another process"
    return MeshFault(
        f"{mark.with_suffix('')} is held by {who}; waited {timeout_ms / 1000:g} s",
        hint="wait for it to end or end it, or wait longer with --lock-timeout; removing the lock file frees nothing",
        pid=pid,
        since=since,
    )


def _content(mark: Path) -> dict[str, Any]:
    """What a mark says. ValueError: it says nothing that can be believed."""
    with open(_opened(mark), "rb") as file:
        line = file.read(MAX_MARK_BYTES + 1)
    value = orjson.loads(line)
    if len(line) > MAX_MARK_BYTES or type(value) is not dict:
        raise ValueError("not one JSON object")
    return value


def _opened(mark: Path) -> int:
    """A descriptor of a mark, which is a regular file: to open a pipe or a device may wait for ever.

    Looked at before it is opened, for to open a device may do something; and afterwards, for it may have been swapped.
    """
    _regular(mark, os.lstat(mark))
    fd = os.open(mark, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    try:
        _regular(mark, os.fstat(fd))
    except MeshFault:
        os.close(fd)
        raise
    return fd


def _regular(mark: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise MeshFault(
            f"{mark} is no regular file, so no token can be judged",
            hint="a mark is a plain file that the gate makes; find out what this is, and move it away",
            file=str(mark),
        )


def _read(mark: Path) -> Token | None:
    """The highest token seen, or None where there was none yet. A damaged mark lets nobody in."""
    try:
        value = _content(mark)
        return _checked(value["token"], value.get("seal", ""))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, Usage) as error:
        raise MeshFault(
            f"{mark} is damaged, so no token can be judged: {error}",
            hint="find the highest token N that was used here (`mesh log`) and write it: "
            f"echo '{{\"token\":N}}' > {shlex.quote(str(mark))}",
            file=str(mark),
        ) from None


def _judged(mark: Path, asked: Token) -> Token:
    """What the mark becomes, if it lets the token in (law FENCE)."""
    known, name = _read(mark), mark.with_suffix("")
    if known is None or asked.epoch > known.epoch:
        return asked
    facts = {"token": asked.epoch, "mark": known.epoch, "seal": asked.seal, "mark_seal": known.seal, "file": str(mark)}
    if asked.epoch < known.epoch:
        raise Fenced(
            "FENCE",
            f"{name} has seen a higher token: {asked.epoch} < {known.epoch}; the lease has passed on",
            hint="acquire the lease again; the new token is higher",
            **facts,
        )
    if asked.seal and known.seal and asked.seal != known.seal:
        raise Fenced(
            "FENCE",
            f"{name} has seen token {known.epoch} under another seal: {asked} is not {known}; two hubs granted it",
            hint="the next token from the reconciled ledger passes; see `mesh explain FENCE`",
            **facts,
        )
    return Token(known.epoch, asked.seal or known.seal)


def _write(mark: Path, token: Token) -> None:
    """Whole or not at all, and on the disk when this returns."""
    line = canonical({"pid": os.getpid(), "seal": token.seal, "token": token.epoch}) + b"\n"
    fresh = mark.with_name(mark.name + ".new")
    try:
        fresh.unlink(missing_ok=True)  # left by one who was killed; the lock is ours
        with fresh.open("xb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(mark)
        _sync_directory(mark.parent)
    except OSError as error:
        raise MeshFault(f"{mark} cannot be written: {error.strerror or error}", file=str(mark)) from None


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":  # elsewhere a directory cannot be opened, and a rename is written through
        return
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _run(argv: Sequence[str], env: Mapping[str, str] | None, lock_fd: int) -> int:
    """The child inherits the lock: were we killed, its work would still be guarded until it ends."""
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, _frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        elif number != signal.SIGINT or not _terminal_reaches_child():
            child.send_signal(number)

    heeded = [number for number in _PASSED_ON if signal.getsignal(number) is not signal.SIG_IGN]  # `nohup` means it
    before = [signal.signal(number, pass_on) for number in heeded]
    try:
        child = subprocess.Popen(argv, env=env, pass_fds=(lock_fd,) if os.name == "posix" else ())
        for passed in early:
            child.send_signal(passed)
        code = child.wait()
    except OSError as error:
        raise MeshFault(f"cannot run {argv[0]}: {error.strerror or error}") from None
    finally:
        for number, handler in zip(heeded, before, strict=True):
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _terminal_reaches_child() -> bool:
    """Whether Ctrl-C already reached the child: a second INT makes some programs abort their clean-up."""
    if os.name != "posix":
        return True
    try:
        tty = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(tty) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(tty)
