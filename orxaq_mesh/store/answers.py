r"""What git and the hub said, made data: tips, a push's outcome, whose fault a failure is.

Knows: porcelain output and the few sentences of git by which a certain end can be told from an uncertain one.
Knows not: processes. Every word that leaves here went through the sanitiser (trap B8).

What is certain is named; all else is unknown, to be resolved by reading the hub (law PUSH, traps C10-C13):

    "!\t<new>:refs/heads/mesh\t[rejected] (stale info)"    lost
    "=\t<new>:refs/heads/mesh\t[up to date]"               unknown: the hub has it, but did *we* move it?
    no line, and git was killed                             unknown
"""

from __future__ import annotations

import re
from typing import NamedTuple

from orxaq_mesh.record import LOG_NAME, MAX_NAME
from orxaq_mesh.store import Oid, Outcome, Pushed
from orxaq_mesh.text import clean

MAX_OUTBOXES = 8192
MAX_TOLD = 6
"""Lines of a hub's own words that a refused push is told with."""
OUTBOX = "mesh-node/"

_TIP = re.compile(rb"([0-9a-f]{40}(?:[0-9a-f]{24})?)\trefs/heads/([!-~]{1,200})")
_REF = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?\trefs/")
_LOST = re.compile(
    "stale info|fetch first|non-fast-forward|failed to update ref|incorrect old value|cannot lock ref|failed to lock"
    "|reference already exists"
)
# "unpacker error": of a push whose objects were not taken in (too large, malformed) no ref moves.
_VETO = re.compile(
    "declined|protected branch|den(?:y|ied)|prohibited|rule violations|currently checked out|hidden ref"
    "|not allowed|deletion of the current branch|unpacker error"
)
_VETO_ASIDE = re.compile(r"aborted by (?:the reference-transaction )?hook|hook declined")

# Said before a connection carries anything of ours. `remote:` lines are the hub's own words and never count.
_NOTHING_SENT = re.compile(
    r"""fatal:\ unable\ to\ access\ '                    # HTTP: the first request failed, the push is the second
      | fatal:\ Authentication\ failed\ for\ '
      | fatal:\ could\ not\ read\ (?:Username|Password)\ for\ '
      | fatal:\ repository\ '.*'\ not\ found
      | fatal:\ '.*'\ does\ not\ appear\ to\ be\ a\ git\ repository
      | fatal:\ transport\ '.*'\ not\ allowed
      | fatal:\ unknown\ repository\ extension
      | ssh:\ (?:connect\ to\ host|Could\ not\ resolve\ hostname)
      | Host\ key\ verification\ failed
      | [^\s:]+@[^\s:]+:\ Permission\ denied\ \(
    """,
    re.VERBOSE,
)
_HUB_FORMAT = re.compile(
    "does not support this repository's hash algorithm|mismatched algorithms|unknown repository extension"
    "|unknown ref storage format"
)
_BAD_OBJECTS = re.compile(
    r"""(?:error|fatal):\ (?:
        object\ [0-9a-f]{40,64}:\ |fsck\ error|invalid\ object|SHA1\ COLLISION|missing\ blob|missing\ tree
      | pack\ (?:is\ corrupted|has\ bad\ object|has\ [0-9]+\ unresolved)|inflate\ returned|unknown\ object\ type
      | Could\ not\ read\ [0-9a-f]{40,64}|.*did\ not\ send\ all\ necessary\ objects
    )""",
    re.VERBOSE,
)
_BAD_NAMES = re.compile("hasDot|hasDotdot|hasDotgit|zeroPaddedFilemode|git(?:modules|attributes)[A-Z]")
_LACKING = re.compile(
    r"(?:fatal: (?:remote error: upload-pack|git upload-pack): not our ref [0-9a-f]{40}"
    r"|(?:remote|fatal: git upload-pack): aborting due to possible repository corruption on the remote side)"
)
_SHALLOW = re.compile("shallow roots are not allowed|shallow update not allowed")
_SECRET = re.compile(r"(?<=://)[^/\s@]*:[^/\s@]*@")
_NOISE = re.compile("and the repository exists|Please make sure you have|^To |^Done$|^hint:|^warning: ")


class Ran(NamedTuple):
    """How one git process ended. `out` and `err` are whole unless `cut`; `late`: it was killed for taking too long."""

    code: int
    out: bytes
    err: bytes
    late: bool = False
    cut: bool = False

    @property
    def good(self) -> bool:
        """Whether it ended by itself, without an error, having said all."""
        return self.code == 0 and not self.late and not self.cut


def reason(ran: Ran) -> str:
    """One sanitised line: what git said went wrong, without the noise and without a password from a URL."""
    if ran.late:
        return "git took too long and was stopped"
    if ran.cut:
        return "git said more than anyone would read and was stopped"
    lines = [line for line in _lines(ran.err) if line.strip() and not _NOISE.search(line)]
    told = [line for line in lines if line.startswith(("fatal:", "error:", "remote:", "ssh:"))] or lines
    return clean(_SECRET.sub("", "; ".join(told[:3]))) or f"git ended with code {ran.code}"


def tips(out: bytes, trunk: str) -> dict[str, Oid]:
    """Branch -> tip, of what `ls-remote` printed: the trunk and the outboxes, no more of them than a fleet can have.

    Whatever else is there (other branches, names that no outbox has) is passed over: nobody stops a fleet by
    pushing a branch.
    """
    found: dict[str, Oid] = {}
    for line in out.split(b"\n"):
        match = _TIP.fullmatch(line)
        if match and (is_branch(name := match[2].decode(), trunk)):
            if name != trunk and len(found) > MAX_OUTBOXES:
                continue
            found[name] = match[1].decode()
    return found


def strange(out: bytes) -> str | None:
    """The first line of what `ls-remote` printed that is no tip of anything, sanitised; None where each is one.

    A wrapper's greeting must not be read as a hub without branches: that would be the alarm of a rollback (SEEN).
    """
    lines = (line for line in out.split(b"\n") if line and not _REF.match(line))
    line = next(lines, None)
    return None if line is None else clean(line.decode("utf-8", "backslashreplace"), limit=80)


def is_branch(name: str, trunk: str) -> bool:
    """Whether this is the trunk or the outbox of a log."""
    log = name.removeprefix(OUTBOX)
    return name == trunk or (name != log and len(log) <= MAX_NAME + 9 and LOG_NAME.fullmatch(log) is not None)


def pushed(ran: Ran, ref: str) -> Pushed:
    """The outcome of `git push --porcelain` for one ref (law PUSH)."""
    said = clean(reason(ran))
    for line in _lines(ran.out):
        flag, _, rest = line.partition("\t")
        target, _, summary = rest.partition("\t")
        if target.endswith(f":{ref}") and len(flag) == 1:
            return _pushed_line(flag, summary, ran, said)
    return Pushed(Outcome.UNKNOWN, said, vetoed=bool(_VETO_ASIDE.search("\n".join(_lines(ran.err)))))


def _pushed_line(flag: str, summary: str, ran: Ran, said: str) -> Pushed:
    if flag in {" ", "*"}:
        return Pushed(Outcome.COMMITTED) if ran.good else Pushed(Outcome.UNKNOWN, said)
    words = clean(summary)
    if flag == "!" and "[remote failure]" not in summary:
        aside = "\n".join(_lines(ran.err))
        if _VETO.search(summary) or ("rejected" in summary and _VETO_ASIDE.search(aside)):
            return Pushed(Outcome.LOST, _with_remote(words, ran), vetoed=True)
        if _LOST.search(summary):
            return Pushed(Outcome.LOST, words)
    return Pushed(Outcome.UNKNOWN, words if flag == "=" else f"{words}: {said}")


def _with_remote(words: str, ran: Ran) -> str:
    """A veto with the words that the hub gave for it: the first lines, for the reason need not stand in the first."""
    lines = (line.removeprefix("remote:").strip() for line in _lines(ran.err) if line.startswith("remote:"))
    told = [clean(line.removeprefix("error:").strip()) for line in lines if line]
    return clean(f"{words}: {'; '.join(told[:MAX_TOLD])}" if told else words)


def nothing_sent(ran: Ran) -> bool:
    """Whether it is certain that the hub got nothing: it could not be reached, or let nobody in."""
    lines = _lines(ran.err)
    return ran.code != 0 and not ran.late and any(_NOTHING_SENT.match(line) for line in lines)


def foreign_format(ran: Ran) -> bool:
    """Whether the hub's repository is of a form that this git, or this store, cannot speak to (trap B14)."""
    return any(_HUB_FORMAT.search(line) for line in _lines(ran.err) if not line.startswith("remote:"))


def bad_objects(ran: Ran) -> bool:
    """Whether a fetch failed because what came is malformed, and not because it did not come."""
    return not ran.good and any(_BAD_OBJECTS.match(line) for line in _lines(ran.err))


def broken_law(ran: Ran) -> str:
    """The law that malformed objects break: QUIET for names and modes that git itself is wary of, else RENDER."""
    bad = (line for line in _lines(ran.err) if _BAD_OBJECTS.match(line))
    return "QUIET" if _BAD_NAMES.search(next(bad, "")) else "RENDER"


def lacking(ran: Ran) -> bool:
    """Whether the hub answered that it has not got what one of its branches points to."""
    return not ran.good and any(_LACKING.match(line) for line in _lines(ran.err))


def shallow(ran: Ran) -> bool:
    """Whether the hub's history is cut off (trap B15); git says so, and succeeds."""
    return any(_SHALLOW.search(line) for line in _lines(ran.err) if not line.startswith("remote:"))


def _lines(raw: bytes) -> list[str]:
    # git ends a progress line with a carriage return
    return raw.decode("utf-8", "backslashreplace").replace("\r", "\n").split("\n")
