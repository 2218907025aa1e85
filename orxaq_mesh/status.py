"""One screen of the fleet: what this node knows, how old that is, and what is wrong.

Knows: the snapshot and the note of the last reading in the cache; when the hub must be asked anew.
Knows not: printing. It imports nothing that a cold `mesh status` can do without: no git, no keys, no engine.
Laws: CACHE (what is missing is read anew), SEEN and CLOSED (what is wrong stands first, and what is old says so).

    status(mesh)["leases"]     # [{"name": "deploy", "holder": "oak", "token": 40, "ttl_ms": 600000, "queue": []}]
"""

from __future__ import annotations

import base64
import hashlib
import socket
from typing import TYPE_CHECKING, Any, Protocol

from orxaq_mesh.errors import MeshError, MeshFault, Unreachable, Usage
from orxaq_mesh.home.clock import Clock, boot_id
from orxaq_mesh.home.files import read_json_cache

if TYPE_CHECKING:
    from orxaq_mesh.home.config import Settings
    from orxaq_mesh.home.place import Home
    from orxaq_mesh.kinds import State

FRESH_MS = 5_000
"""`mesh status` does not repeat a reading of the hub that is younger than this."""
RECOVERY, SUSPENDED = "recovery", "suspended"


class Node(Protocol):
    """What is asked of a node; `Mesh` is one."""

    home: Home
    settings: Settings

    def observe(self) -> Any:
        """Read the hub, or raise what keeps it from being read."""


def status(mesh: Node, *, offline: bool = False, fresh_ms: int = FRESH_MS) -> dict[str, Any]:
    """The design's fields of `status`, and `fault` where the hub or the ledger is at fault.

    Args:
        mesh: whose.
        offline: never read the hub.
        fresh_ms: a reading younger than this need not be repeated; nor must any while a mesh-sync runs.

    Raises:
        MeshError: no node lives here, or its journal cannot be read.
    """
    home = mesh.home
    identity = identity_entry(home)
    identity = {**identity, "hub": mesh.settings.hub or identity["hub"]}
    known = offline or _is_fresh(home, fresh_ms) or sync_runs(home) or _nothing_new(mesh, identity)
    fault = None if known else _read_hub(mesh)
    return screen(identity, _kept(home, identity), _reading(home), fault, offline=offline)


def identity_entry(home: Home) -> dict[str, Any]:
    """Who lives in a home, as the journal has it: node, log, hub, ledger, trunk.

    Raises:
        Usage: nobody does.
    """
    from orxaq_mesh.home.journal import Journal

    if home.journal.exists():
        for entry in reversed(Journal.open(home.journal).entries):
            if entry.get("is") == "identity":
                return entry
    raise Usage(f"no node lives in {home.path}", hint="mesh init, or mesh join; --home says where else")


def recorded_hub(home: Home) -> str | None:
    """The hub's address that this node has recorded; None where no node lives here."""
    return str(identity_entry(home)["hub"]) if home.journal.exists() else None


def kept_state(home: Home) -> State | None:
    """The state as it was last read, or None where no snapshot of it is left (law CACHE)."""
    from orxaq_mesh import fold

    kept = read_json_cache(home.cache / "snapshot.json")
    try:
        return fold.from_value(kept["state"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def sync_runs(home: Home) -> bool:
    """Whether a mesh-sync of this node answers."""
    if not hasattr(socket, "AF_UNIX"):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.settimeout(1)
        try:
            stream.connect(str(home.socket))
        except OSError:
            return False
    return True


def _reading(home: Home) -> dict[str, Any]:
    """When the hub was last read: `age_ms` since then on this boot's clock, `wall_ms`; empty where nobody noted it."""
    noted = read_json_cache(home.cache / "reading.json")
    try:
        clock = Clock()
        elapsed = clock.now_ms() - noted["read_ms"] if noted["boot"] == boot_id() else None
        return {
            "age_ms": max(0, clock.wall() - noted["wall_ms"]) if elapsed is None else elapsed,
            "sure": elapsed is not None,
        }
    except (KeyError, TypeError):
        return {}


def _is_fresh(home: Home, fresh_ms: int) -> bool:
    reading = _reading(home)
    return bool(reading) and reading["sure"] and 0 <= reading["age_ms"] < fresh_ms


def _nothing_new(mesh: Node, identity: dict[str, Any]) -> bool:
    """Whether the hub still shows the trunk that the snapshot was made of; then the snapshot is a reading of now."""
    from orxaq_mesh.home.files import note_reading
    from orxaq_mesh.home.process import environment
    from orxaq_mesh.store.peek import trunk_tip

    kept = _kept(mesh.home, identity)
    if not kept.get("trunk") or kept.get("alarms") or kept.get("broken"):
        return False
    clock, control = Clock(), str(mesh.home.path / "ssh")
    begun_ms = clock.now_ms()
    tip = trunk_tip(identity["hub"], identity["trunk"], environment(), mesh.settings.timeout_ms, control)
    if tip != kept["trunk"]:
        return False
    note_reading(mesh.home.cache / "reading.json", begun_ms, clock.wall(), boot_id())
    return True


def _read_hub(mesh: Node) -> MeshError | None:
    """What keeps the hub from being read, or this node from acting on what it reads."""
    try:
        mesh.observe()
    except Usage:
        raise
    except MeshFault as error:
        return error
    return None


def _kept(home: Home, identity: dict[str, Any]) -> dict[str, Any]:
    kept = read_json_cache(home.cache / "snapshot.json")
    if isinstance(kept, dict) and kept.get("ledger") == identity["ledger"]:
        return kept
    return {}


# From the snapshot to the screen.


def screen(
    identity: dict[str, Any],
    kept: dict[str, Any],
    reading: dict[str, Any],
    fault: MeshError | None = None,
    *,
    offline: bool = False,
) -> dict[str, Any]:
    """The fields of `status`; pure but for the wall clock that ages are told by."""
    state = kept.get("state") or {}
    slices = state.get("slices") or {}
    members = [_node(row, state["heads"]) for row in slices.get("node", ())]
    return {
        "ledger": identity["ledger"],
        "hub": _without_password(identity["hub"]),
        "node": identity["node"],
        "log": identity["log"],
        "epoch": state.get("epoch", 0),
        "seal": state.get("seal"),
        "state": state.get("digest"),
        "records": state.get("records", 0),
        "tip_age_s": _age_s(state.get("at")),
        "read_age_s": reading["age_ms"] // 1000 if reading else None,
        "offline": offline,
        "alarms": [
            *_alarms(kept, state, reading, fault),
            *_own_alarms(identity["log"], members),
            *_open_breaker(slices.get("work") or {}),
        ],
        "nodes": [member for member in members if RECOVERY not in member["roles"]],
        "leases": [_lease(row) for row in slices.get("lease", ())],
        "work": _work(slices.get("work") or {}),
        "held": [_held(row) for row in (slices.get("review") or {}).get("held", ())],
        "pending": kept.get("pending", 0),
        "proposed": kept.get("proposed", 0),
        "fault": {"code": fault.code, "message": fault.what, "hint": fault.hint} if fault else None,
    }


def _node(row: list[Any], heads: dict[str, Any]) -> dict[str, Any]:
    log, name, key, roles, standing, epoch, _, _, at = row
    seq = heads.get(log, (0, ""))[0]
    return {
        "name": name,
        "log": log,
        "roles": roles,
        "fingerprint": fingerprint(key),
        "seq": seq,
        "standing": standing,
        "since_epoch": epoch,
        "last_word": at or None,
        "last_word_age_s": _age_s(at),
    }


def _lease(row: list[Any]) -> dict[str, Any]:
    name, holder, session, record, _, seal, since, token, ttl_ms, queue = row
    held = bool(holder)
    return {
        "name": name,
        "holder": holder or None,
        "session": session or None,
        "token": token if held else None,
        "last_token": token,
        "ttl_ms": ttl_ms if held else None,
        "since": since or None,
        "age_s": _age_s(since),
        "seal": seal if held else None,
        "record": record or None,
        "queue": [
            {"node": node, "session": session, "record": record, "ttl_ms": ttl_ms, "epoch": epoch, "priority": priority}
            for node, session, record, ttl_ms, epoch, priority in queue
        ],
    }


def _held(row: list[Any]) -> dict[str, Any]:
    """A record that waits for somebody's approval."""
    import orjson

    line, epoch, approvals, until, approved = row
    record = orjson.loads(line)
    about = {"record": hashlib.sha256(line.encode()).hexdigest(), "log": record["node"], "kind": record["kind"]}
    return {**about, "epoch": epoch, "until": until, "approvals": approvals, "approved": approved}


def _work(part: dict[str, Any]) -> dict[str, Any]:
    """How much is there to do, and how much of it is being done."""
    states = [row[1] for row in part.get("items", ())]
    return {"ready": states.count("ready"), "running": states.count("running"), "waiting": states.count("waiting")}


def _open_breaker(part: dict[str, Any]) -> list[dict[str, Any]]:
    since, reason, by, *_ = part.get("breaker") or (0, "", "")
    what = f"the breaker is open since epoch {since}, no new work begins: {reason} ({by}); mesh breaker show"
    return [{"law": "BREAKER-1", "reason": what}] if since else []


def _alarms(
    kept: dict[str, Any], state: dict[str, Any], reading: dict[str, Any], fault: MeshError | None
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if isinstance(fault, Unreachable):
        age_s = reading["age_ms"] // 1000 if reading else None
        since = "this node has never read it" if age_s is None else f"what is shown was read {age_s} s ago"
        found.append(
            {"law": "CLOSED", "reason": f"the hub cannot be reached; {since}: {fault.what}", "read_age_s": age_s}
        )
    found += [dict(alarm) for alarm in kept.get("alarms", ())]
    broken = fault.what if fault and not isinstance(fault, Unreachable) else kept.get("broken")
    if broken and not found:
        found.append({"law": "CLOSED", "reason": broken})
    if doubt := state.get("doubt"):
        epoch, log = doubt
        reason = f"the seal of epoch {epoch}, by {log}, claims another state than this node computes"
        found.append({"law": "DIGEST", "reason": reason})
    return found


def _own_alarms(log: str, nodes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What this node itself must know of its standing, and the way back."""
    if not any(node["log"] == log and node["standing"] == SUSPENDED for node in nodes):
        return []
    what = "this node's key is suspended: it signed two histories (a copied home, or a restored backup)"
    return [
        {"law": "PREFIX", "reason": f"{what}; mesh node rotate gives this node another key, which an admin lets in"}
    ]


def _age_s(at: str | None) -> int | None:
    """Seconds since an `at`, by this machine's wall clock; None where no calendar has it."""
    from datetime import datetime

    try:
        then_s = datetime.fromisoformat(at or "").timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0, Clock().wall() // 1000 - int(then_s))


def fingerprint(key: str) -> str:
    """A public key's fingerprint, as ssh-keygen and the host show it."""
    blob = base64.b64decode(key.split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _without_password(url: str) -> str:
    scheme, found, rest = url.partition("://")
    if not found:
        return url
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2] if ':' in host.rpartition('@')[0] else host}{slash}{path}"
