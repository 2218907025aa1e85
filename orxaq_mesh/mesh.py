"""The facade: what Python programs import, and what the commands are made of.

Knows: every deed of a node as one method.
Knows not: printing, options, exit codes (`cli`).

    from orxaq_mesh import Mesh

    with Mesh.open().lease("deploy", ttl=600) as lease:
        deploy(token=lease.token)

Everything that a cold `mesh status` does not need is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orxaq_mesh.errors import Refused, Usage
from orxaq_mesh.home.config import Settings, resolve
from orxaq_mesh.home.place import Home, locate

if TYPE_CHECKING:
    from orxaq_mesh.effects import Answer, Intent
    from orxaq_mesh.holding import Holding

Options = dict[str, str | int | list[str] | None]


class Mesh:
    """One node's view of its fleet.

    Args:
        home: where key, journal and store live; see `locate`.
        settings: resolved settings.
        session: who holds leases within this node (law FENCE); None derives it from what started this program.
    """

    def __init__(self, home: Home, settings: Settings, session: str | None = None) -> None:
        self.home, self.settings, self.given_session = home, settings, session or settings.session
        self._options: Options = {}

    @classmethod
    def open(cls, home: str | None = None, *, session: str | None = None, **options: Any) -> Mesh:
        """The node that lives in `home` (default: as the command line finds it).

        Raises:
            MeshError: the settings are not understood, or the home is open to others.
        """
        from orxaq_mesh.status import recorded_hub

        place = Home(locate(home))
        mesh = cls(place, resolve(place, {**options, "session": session}, hub=recorded_hub(place)))
        mesh._options = {**options, "session": session}
        return mesh

    @property
    def session(self) -> str:
        """The session that acts."""
        from orxaq_mesh.home.process import environment, session

        return session(environment(), self.given_session)

    def as_session(self, session: str) -> Mesh:
        """The same node, acting as another session."""
        return Mesh(self.home, self.settings, session)

    # Founding, joining, admitting.

    def init(self, hub: str, node: str, *, identity: Path | None = None, recovery: str | None = None) -> Any:
        """Found a ledger at a hub; gives the identity. See `sync.founding.found`."""
        from orxaq_mesh.sync.founding import found

        return found(self.home, self._settings_at(hub), hub, node, identity, recovery)

    def join(self, hub: str, node: str, ledger: str, *, identity: Path | None = None) -> Answer:
        """Check the ledger at a hub and say hello; gives the answer to the hello. See `sync.founding.introduce`."""
        from orxaq_mesh.sync.founding import introduce

        me = introduce(self.home, self._settings_at(hub), hub, node, ledger, identity)
        return self.ask("node.hello", {"name": me.node, "key": self.public_key()})

    def _settings_at(self, hub: str) -> Settings:
        """The settings for a hub that is only now named: its address decides the profile."""
        self.settings = resolve(self.home, self._options, hub=hub)
        return self.settings

    def public_key(self) -> str:
        """This node's public key, as `ssh-ed25519 AAAA...`."""
        from orxaq_mesh.home.keyfiles import load

        return load(self.home.path / self.identity().key).public.text

    def identity(self) -> Any:
        """Who this node is: node, log, hub, ledger, trunk, key.

        Raises:
            Usage: no node lives here.
        """
        from orxaq_mesh.home.journal import Journal
        from orxaq_mesh.sync.identity import identity_of

        if not self.home.journal.exists():
            raise Usage(f"no node lives in {self.home.path}", hint="mesh init, or mesh join; --home says where else")
        return identity_of(Journal.open(self.home.journal))

    def hellos(self) -> list[dict[str, Any]]:
        """Who waits for admission: name, log, fingerprint, key, since; read at the hub."""
        from orxaq_mesh.keys import PublicKey
        from orxaq_mesh.kinds.node import WAITING, members

        ledger = self.observe().engine.ledger
        known = members(ledger.state).by_log
        found = [(r.body["name"], r.log, r.body["key"], r.at) for r in ledger.hellos() if r.log not in known]
        found += [(m.name, m.log, m.key, m.at) for m in known.values() if m.standing == WAITING]
        return [
            {"name": name, "log": log, "fingerprint": PublicKey.parse(key).fingerprint, "key": key, "since": at}
            for name, log, key, at in sorted(found)
        ]

    def admit(self, name: str, fingerprint: str, roles: Sequence[str] = ("node",), **options: Any) -> Answer:
        """Let a newcomer in whose key has this fingerprint, or give a node that is in other roles.

        `recovery=FILE`, among the options, is for a fleet whose admins are lost: see `ask`.

        Raises:
            Refused: nobody of that name and key waits or is in; who does is said.
        """
        from orxaq_mesh.keys import PublicKey
        from orxaq_mesh.kinds.node import members

        waiting = [hello for hello in self.hellos() if hello["name"] == name]
        keys = {hello["fingerprint"]: hello["key"] for hello in waiting}
        if (member := members(self.state()).named(name)) is not None:
            keys[PublicKey.parse(member.key).fingerprint] = member.key
        if fingerprint not in keys:
            there = ", ".join(keys) or "nobody"
            what = f"no {name} with key {fingerprint} waits; of that name there is: {there}"
            raise Refused("NODE-2", what, hint="mesh admit", waiting=waiting)
        return self.ask("node.admit", {"name": name, "key": keys[fingerprint], "roles": sorted(set(roles))}, **options)

    def revoke(self, name: str, reason: str, **options: Any) -> Answer:
        """Take a node's standing, leases and places in queues away; `name` may be its log. Options as for `admit`."""
        field = "log" if self._is_log(name) else "name"
        return self.ask("node.revoke", {field: name, "reason": reason}, **options)

    def _is_log(self, name: str) -> bool:
        from orxaq_mesh.kinds.node import members

        return name in members(self.state()).by_log

    def rotate(self) -> Answer:
        """Replace this node's key; its name, roles and leases stay."""
        from orxaq_mesh.sync.rotation import rotate

        return rotate(self.home, self.settings)

    # Leases and events.

    def acquire(
        self,
        lease: str,
        ttl_ms: int,
        *,
        queue: bool = False,
        priority: int = 0,
        wait: bool = False,
        timeout_ms: int | None = None,
        owner: Any = None,
        **options: Any,
    ) -> Answer:
        """Ask for a lease. `queue`: else wait in line; `wait`: and come back only with the lease, or after a while."""
        wish: dict[str, Any] = {"lease": lease, "session": self.session, "ttl_ms": ttl_ms}
        if queue or wait:
            wish |= {"queue": True, "priority": priority}
        return self.ask("lease.acquire", wish, wait=wait, timeout_ms=timeout_ms, owner=owner, **options)

    def renew(self, lease: str, *, token: int | None = None, ttl_ms: int | None = None, **options: Any) -> Answer:
        """Say that the holder lives."""
        return self.ask("lease.renew", self._under(lease, token) | _given(ttl_ms=ttl_ms), **options)

    def release(self, lease: str, *, token: int | None = None, **options: Any) -> Answer:
        """Give a lease back, or the place in its queue."""
        return self.ask("lease.release", self._under(lease, token), **options)

    def take(
        self,
        lease: str,
        ttl_ms: int,
        *,
        queue: bool = False,
        wait: bool = False,
        timeout_ms: int | None = None,
        owner: Any = None,
        **options: Any,
    ) -> Answer:
        """Take a lease from a holder that has been silent for its ttl (law TIME); `wait` watches until it has."""
        wish: dict[str, Any] = {"lease": lease, "session": self.session, "ttl_ms": ttl_ms}
        wish |= {"queue": True} if queue or wait else {}
        return self.ask("lease.take", wish, wait=wait, timeout_ms=timeout_ms, owner=owner, **options)

    def break_lease(self, lease: str, reason: str, *, token: int | None = None, **options: Any) -> Answer:
        """End a grant as an admin; recorded with its reason."""
        return self.ask("lease.break", {"lease": lease, "reason": reason} | _given(token=token), **options)

    def publish(
        self,
        topic: str,
        type: str,  # noqa: A002 - the field's name
        payload: Any,
        *,
        under: str | None = None,
        token: int | None = None,
        **options: Any,
    ) -> Answer:
        """Publish an event; `under`: a lease that it acts under (law FENCE)."""
        wish: dict[str, Any] = {"topic": topic, "type": type, "payload": payload}
        if under is not None:
            wish["under"] = self._under(under, token)
        return self.ask("event.publish", wish, **options)

    def lease(
        self, name: str, ttl: float, *, wait: bool = True, timeout: float | None = None, **options: Any
    ) -> Holding:
        """A lease to hold in a `with` block: acquired at its start, renewed while it lasts, released at its end.

        Args:
            name: the lease.
            ttl: seconds after which the fleet may take it from a silent holder.
            wait: stand in line while another holds it.
            timeout: seconds to wait at most; None waits for ever.
        """
        from orxaq_mesh.holding import Holding

        timeout_ms = None if timeout is None else int(timeout * 1000)
        return Holding(self, name, int(ttl * 1000), wait=wait, timeout_ms=timeout_ms, **options)

    def _under(self, lease: str, token: int | None) -> dict[str, Any]:
        return {"lease": lease, "session": self.session} | _given(token=token)

    def ask(
        self,
        kind: str,
        wish: dict[str, Any],
        *,
        once: str | None = None,
        wait: bool = False,
        timeout_ms: int | None = None,
        owner: Any = None,
        dry_run: bool = False,
        recovery: Path | None = None,
    ) -> Answer:
        """Bring one intent to its verdict.

        Args:
            kind: a kind of record.
            wish: its body, as far as the caller knows it.
            once: idempotency key: the same key twice is one record.
            wait: come back only when the lease is granted, or after `timeout_ms`.
            owner: the process (`ProcessId`) for as long as which mesh-sync renews; None: it does not.
            dry_run: only say what would come of it.
            recovery: the recovery key's file: it asks instead of this node, about admins only (NODE-4).

        Raises:
            MeshError: hub, disk, configuration or ledger is at fault. A verdict is an answer, not an error.
        """
        from orxaq_mesh import sync

        intent = _intent(kind, wish | _given(once=once), wait, owner, timeout_ms)
        if recovery is not None:
            from orxaq_mesh.sync.recovery import bring

            answer = bring(self.home, self.settings, recovery, intent, dry_run=dry_run)
        elif dry_run:
            answer = sync.rehearse(self.home, self.settings, intent)
        else:
            (answer,) = sync.ask(self.home, self.settings, intent)
        if answer.error is not None:
            raise answer.error
        return answer

    def ask_all(self, asked: Sequence[tuple[str, dict[str, Any]]]) -> list[Answer]:
        """Bring several intents to their verdicts: signed in this order, pushed together.

        Args:
            asked: kinds and wishes.

        Raises:
            MeshError: hub, disk, configuration or ledger is at fault. A verdict is an answer, not an error.
        """
        from orxaq_mesh import sync

        answers = sync.ask(self.home, self.settings, *(_intent(kind, wish) for kind, wish in asked))
        for answer in answers:
            if answer.error is not None:
                raise answer.error
        return answers

    # Reviews.

    def proposals(self) -> list[Any]:
        """What waits for somebody's approval, here and in the outboxes (`inspect.Proposal`). Reads the hub."""
        from orxaq_mesh.inspect.proposals import proposals

        return proposals(self.observe().engine.ledger)

    def proposed(self, words: Sequence[str]) -> list[Any]:
        """Those of what waits that these words name: each a pull request's number, or the beginning of an id.

        Raises:
            Usage: one fits none, or several.
            MeshError: the hub cannot be reached, or the ledger breaks a law.
        """
        from orxaq_mesh.home.process import environment
        from orxaq_mesh.inspect.proposals import in_pull_request, named, proposals, with_parts
        from orxaq_mesh.store.peek import pull_tips

        performer = self.observe()
        found: dict[str, Any] = {}
        waits, hub = proposals(performer.engine.ledger), self.settings.hub or performer.identity.hub
        for word in words:
            number = word.removeprefix("#")
            if not number.isdecimal() or len(number) > 7:
                fits = with_parts(waits, named(waits, word))
            else:
                heads = pull_tips(
                    hub, int(number), environment(), self.settings.timeout_ms, str(self.home.path / "ssh")
                )
                fits = in_pull_request(waits, int(number), heads, performer.tips)
            found.update((proposal.record, proposal) for proposal in fits)
        return list(found.values())

    def allowed(self) -> Container[str]:
        """The sha256 of texts that look like credentials and are none, as the ledger was read last (law SECRET)."""
        from orxaq_mesh.kinds.review import reviews
        from orxaq_mesh.status import kept_state

        state = kept_state(self.home)
        return reviews(state).allowed if state is not None else ()

    def propose(self) -> dict[str, Any]:
        """Bring what waits for an approval into this node's outbox at the hub.

        Returns:
            branch: the outbox; base: the trunk; compare: the page that opens a pull request, if the hub has one;
            records: ids of what it proposes; held: of what a seal has taken in, and which needs no pull request any more.

        Raises:
            Refused: nothing of this node's waits for an approval.
            MeshError: the hub cannot be reached.
        """
        from orxaq_mesh import sync
        from orxaq_mesh.kinds.review import held_records
        from orxaq_mesh.prose.compare import compare_url

        performer = sync.once(self.home, self.settings)
        me, ledger = performer.identity, performer.engine.ledger
        proposals = ledger.proposals()
        mine = [record.id for record in performer.engine.pen.pending if record.id in proposals]
        held = [record.id for record in held_records(ledger.state) if record.log == me.log]
        if not mine and not held:
            raise Refused("REVIEW-3", "nothing of this node's waits for an approval", hint="mesh proposals")
        branch, hub = f"mesh-node/{me.log}", self.settings.hub or me.hub
        return {
            "branch": branch,
            "base": me.trunk,
            "compare": compare_url(hub, me.trunk, branch),
            "records": mine,
            "held": held,
        }

    # Orders.

    def submit(
        self, records: Sequence[tuple[str, dict[str, Any]]], *, once: str | None = None, dry_run: bool = False
    ) -> Answer:
        """Submit a DAG in one push.

        Args:
            records: what `orders.dags.records` makes of a file: a dag.submit, and the parts that follow.
            once: idempotency key of the submit; where it was used before, no part is sent again.
            dry_run: only say what would come of the first of them.

        Returns:
            The answer that settles it: the first that is no `applied`, else the last; `record` is the submit's.

        Raises:
            Refused: a credential stands in it (law SECRET); none of it was signed.
        """
        from orxaq_mesh.credentials import refuse

        for kind, wish in records:  # SECRET: else the submit were signed, and a part that it waits for never
            refuse(kind, wish, self.allowed())
        (kind, wish), *parts = records
        if dry_run or not parts:
            return self.ask(kind, wish, once=once, dry_run=dry_run)
        first, *others = self.ask_all([(kind, wish | _given(once=once)), *parts])
        if first.verdict != "applied" or first.facts.get("again"):
            return first
        settled = next((answer for answer in others if answer.verdict != "applied"), others[-1])
        return settled._replace(record=first.record)

    def dispatch(
        self,
        name: str,
        args: Any = None,
        *,
        to: str | None = None,
        capability: str | None = None,
        holder: str | None = None,
        under: str | None = None,
        token: int | None = None,
        again: str | None = None,
        priority: int | None = None,
        reason: str | None = None,
        **options: Any,
    ) -> Answer:
        """Give a command, once: the same command to the same address is one command (COMMAND-2).

        Args:
            name: what is to be done, as the nodes' own configuration knows it.
            args: its arguments.
            to: the node that is to do it; or `capability`: whoever offers that; or `holder`: who holds that lease.
            under: a lease that it acts under (law FENCE), with `token`, or the one that this session holds.
            again: makes it another command than the one that was given before.
            priority: 9 first, 0 last.
            reason: why, for people.
        """
        address = _given(to=to, capability=capability, holder=holder)
        wish = {"name": name} | _given(args=args, again=again, priority=priority, reason=reason) | address
        if under is not None:
            wish["under"] = self._under(under, token)
        return self.ask("command.issue", wish, **options)

    # Reading.

    def sync(self) -> dict[str, Any]:
        """One pass: read the hub, publish what waits. Gives the status afterwards."""
        from orxaq_mesh import sync

        sync.once(self.home, self.settings)
        return self.status(offline=True)

    def decide(self) -> dict[str, Any]:
        """Write the follow-ups of reactors that are this node's to write, and those that follow from them.

        Returns:
            written: how many were since the last reading, by this node or another; due: how many still are, of which `left`
            are this node's; pending: of its records, how many no seal has taken in; epoch.
        """
        from orxaq_mesh import sync
        from orxaq_mesh.kinds.reactor import reactors
        from orxaq_mesh.status import kept_state

        self.identity()
        kept = kept_state(self.home)
        before = {id_ for id_, _ in reactors(kept).done.items()} if kept else set()
        engine = sync.react(self.home, self.settings).engine
        state = engine.ledger.state
        written = sum(id_ not in before for id_, _ in reactors(state).done.items())
        told = {"written": written, "due": len(reactors(state).due), "left": engine.reacting.left(state)}
        return {
            **told,
            "pending": len(engine.pen.pending),
            "proposed": len(engine.pen.pending) - len(engine.settling),
            "epoch": state.epoch,
        }

    def reconcile(self, hub: str | None = None) -> Any:
        """Bring another hub's trunk, or a git bundle's, into this node's hub; see `sync.reconciling.United`.

        Args:
            hub: the other hub; None: what this node has seen at its own hub, where that was rolled back or deleted.

        Raises:
            MeshError: a hub does not answer, or does not hold this ledger.
        """
        from orxaq_mesh.sync import reconciling

        if hub is None:
            return reconciling.from_memory(self.home, self.settings)
        return reconciling.from_hub(self.home, self.settings, hub)

    def export(self, *, read_hub: bool = True) -> Iterator[bytes]:
        """The ledger as the bytes of one file, piece by piece; see `carry`."""
        from orxaq_mesh.sync.reconciling import exported

        self.identity()
        return iter(exported(self.home, self.settings, read_hub=read_hub))

    def import_(self, file: Iterable[bytes], name: str) -> Any:
        """Take in an export, line by line; nothing of it, if it is not whole and sound.

        Raises:
            InvalidLedger: it is not, with file and line.
        """
        from orxaq_mesh.sync.reconciling import from_export

        self.identity()
        return from_export(self.home, self.settings, file, name)

    def import_events(
        self,
        folder: Path,
        *,
        skip_bad: bool = False,
        react: bool = False,
        dry_run: bool = False,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> dict[str, Any]:
        """Publish the event files of the system before, each event once; see `orders.events`.

        Args:
            folder: where they lie.
            skip_bad: leave out what is no event, instead of importing nothing.
            react: also what a reactor answers as if it were new.
            dry_run: only say what would come of it.
            progress: is told how many of how many are in, after each push.

        Returns:
            imported, known (in the ledger already), doubles (stood there twice), files, pushes, and `bad`: what was left
            out, with file, line and reason.

        Raises:
            Usage: there are places that are no events; they are among its facts as `bad`.
            Refused: a reactor would answer, or a rule says no.
        """
        from orxaq_mesh.orders import events, importing

        self.identity()
        old = events.read(folder)
        bad = [place._asdict() for place in old.bad]
        if bad and not skip_bad:
            what = f"{len(bad)} places in {folder} are no events; nothing was imported"
            raise Usage(what, hint="mend them, or leave them out with --skip-bad", bad=bad)
        state = self.observe().engine.ledger.state
        records = importing.in_ledger(state)
        new = [event for event in old.events if event.key not in records]
        if not react:
            importing.refuse_reactions(new, state)
        told = {"doubles": old.doubles, "files": old.files, "bad": bad, "dry_run": dry_run}
        if dry_run and new:
            answer = self.ask("event.publish", new[0].wish(records), dry_run=True)
            if answer.verdict != "applied":
                raise Refused(answer.rule, answer.what, hint=answer.hint)
        if dry_run:
            pushes = len(list(importing.batches(new)))
            return {"imported": len(new), "known": len(old.events) - len(new), "pushes": pushes, **told}
        return {**importing.bring(old.events, state, self.ask_all, progress)._asdict(), **told}

    def observe(self) -> Any:
        """Read the hub and fold, signing and pushing nothing; gives the closed performer with its engine.

        Raises:
            MeshError: the hub cannot be reached, or the ledger breaks a law.
        """
        from orxaq_mesh import sync

        return sync.observe(self.home, self.settings)

    def state(self) -> Any:
        """The state as last read, from the snapshot; without one the hub is read."""
        from orxaq_mesh.status import kept_state

        return kept_state(self.home) or self.observe().engine.ledger.state

    def status(self, *, offline: bool = False) -> dict[str, Any]:
        """One screen of the fleet (design: the fields of `status`). Reads the hub if nobody has of late.

        Args:
            offline: never read the hub.
        """
        from orxaq_mesh.status import status

        return status(self, offline=offline)

    def history(self, *, fresh: bool = False) -> Any:
        """The whole ledger as last read, folded anew. See `inspect.history`."""
        from orxaq_mesh.inspect import history

        return history(self, fresh=fresh)

    def verify(self, source: str | None = None, *, ledger: str | None = None, every_signature: bool = False) -> Any:
        """Check every law over a whole ledger: the hub's, or a directory's. See `inspect.verify`."""
        from orxaq_mesh.inspect import verify

        return verify(self, source, ledger=ledger, every_signature=every_signature)

    def divergence(self) -> Any:
        """Where the ledger forked and what that changed. See `inspect.divergence`."""
        from orxaq_mesh.inspect.divergence import divergence

        return divergence(self)

    def diff(self, first: int, last: int) -> Any:
        """What changed from the end of one epoch to that of another. See `inspect.differing`."""
        from orxaq_mesh.inspect.differing import diff

        return diff(self.history(), first, last)

    def blame(self, about: str) -> Any:
        """Who held `lease/NAME`, `task/DAG/TASK` or `command/ID` when, or which keys bore the name `node/NAME`.

        See `inspect.blaming`.
        """
        from orxaq_mesh.inspect.blaming import blame

        return blame(self.history(), about)

    def show(self, id_prefix: str) -> Any:
        """One record or seal by its id or the beginning of it. See `inspect.show`."""
        from orxaq_mesh.inspect import show

        return show(self, id_prefix)


def _intent(
    kind: str, wish: dict[str, Any], wait: bool = False, owner: Any = None, timeout_ms: int | None = None
) -> Intent:
    import secrets

    from orxaq_mesh.effects import Intent
    from orxaq_mesh.home.clock import Clock

    deadline_ms = None if timeout_ms is None else Clock().now_ms() + timeout_ms
    return Intent(secrets.token_hex(8), kind, wish, wait, list(owner) if owner else None, 0, deadline_ms)


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
