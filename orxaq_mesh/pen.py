"""The pen: one log and the key that writes it.

Knows: what was signed last, what no seal has taken in yet, the one seal signed on each parent.
Knows not: who asked and why (`engine`), when it is pushed.
Laws: CHAIN (a seq is signed once), SEAL (a node signs one seal a parent), ONCE, LINE, SECRET.

    pen = Pen(me, memory)
    record = pen.sign(ledger, "lease.renew", {"lease": "deploy", ...}, seen, now)     # or Refused, and nothing signed
    pen.pending                                                                      # [record], until a seal takes it in
"""

from __future__ import annotations

from collections.abc import Container

from orxaq_mesh import answers, credentials, fold, kinds
from orxaq_mesh.effects import Me, Memory, Now
from orxaq_mesh.errors import Refused
from orxaq_mesh.kinds import APPLIED, FENCED, REFUSED, Moment, State, Verdict
from orxaq_mesh.kinds.review import reviews
from orxaq_mesh.ledger import Ledger
from orxaq_mesh.record import BadLine, Record, Seal, Value, canonical, unsigned
from orxaq_mesh.schema import read_record, read_seal

_NO_SIG = "A" * 86 + "=="
Seen = tuple[int, str]


class Pen:
    """See the module's banner. Whatever it signs must reach the journal before it is pushed.

    Attributes:
        last: (seq, id) of the newest record signed.
        pending: the records signed that no seal on the spine has taken in, by seq.
        seals: the seals signed, by their parent.
        allowed: sha256 of texts that look like credentials and are none, as the ledger says (law SECRET).
    """

    def __init__(self, me: Me, memory: Memory, ledger: Ledger) -> None:
        self.me = me
        self._ahead: tuple[str, list[str], State] | None = None
        self.allowed: Container[str] = ()
        self.remember(memory, ledger)

    def remember(self, memory: Memory, ledger: Ledger) -> None:
        """Go on from what the journal says."""
        self.last = memory.last
        self.seals = {seal.parent: seal for seal in memory.seals if seal.log == self.me.log}
        self.pending = list(memory.records)
        self.settle(ledger)

    def settle(self, ledger: Ledger) -> None:
        """Seals took records in: they no longer wait. Where the spine went another way, they may wait again (FORK)."""
        self.allowed = reviews(ledger.state).allowed
        head = ledger.state.heads.get(self.me.log, (0, ""))[0]
        known = {record.id: record for record in (*ledger.waiting.values(), *self.pending) if record.log == self.me.log}
        run, id_ = list[Record](), self.last[1]
        while id_ in known and known[id_].seq > head:
            run.append(known[id_])
            id_ = known[id_].prev
        self.pending = run[::-1]

    def draft(self, kind: str, body: Value, seen: Seen, now: Now) -> Record:
        """The record that would come next, with a signature that is none.

        Raises:
            Refused: no line can hold it (law LINE), or a credential stands in it (law SECRET).
        """
        credentials.refuse(kind, body, self.allowed)
        try:
            return read_record(canonical(self._value(kind, body, seen, now)))
        except BadLine as bad:
            raise Refused(bad.law, bad.reason, hint=f"mesh explain {bad.law}") from None
        except TypeError as error:
            raise Refused("LINE", f"not in canonical form: {error}", hint="mesh explain LINE") from None

    def _value(self, kind: str, body: Value, seen: Seen, now: Now) -> Value:
        return {
            "at": now.at,
            "body": body,
            "kind": kind,
            "node": self.me.log,
            "prev": self.last[1],
            "seen": {"epoch": seen[0], "seal": seen[1]},
            "seq": self.last[0] + 1,
            "sig": _NO_SIG,
            "v": 1,
        }

    def sign(self, ledger: Ledger, kind: str, body: Value, seen: Seen, now: Now) -> Record:
        """The next record, signed and pending.

        Raises:
            Refused: a rule says no already. What a stale token asks for under a lease is signed all the same: the
                attempt belongs into the ledger, where every node fences it. So does what would be refused for no more
                than another's suspension: that is true when a seal took it in, and this record brings about the seal.
        """
        draft = self.draft(kind, body, seen, now)
        moment, state = Moment(ledger.next_epoch), ledger.next_state
        verdict, _ = kinds.judge(state, draft, moment)
        if _says_no(verdict, body) and self.me.log not in ledger.proofs():
            state = ledger.state
            verdict, _ = kinds.judge(state, draft, moment)
        if verdict.outcome != APPLIED and self.pending:  # it may build on what this node has signed before it
            later, _ = kinds.judge(self.ahead(ledger), draft, moment)
            verdict = later if later.outcome == APPLIED else verdict
        if _says_no(verdict, body):
            raise answers.refusal(state, draft, verdict)
        record = read_record(self._signed(self._value(kind, body, seen, now)))
        self.last = (record.seq, record.id)
        self.pending.append(record)
        return record

    def ahead(self, ledger: Ledger) -> State:
        """The state behind all that waits here, if the next seal takes in nothing else."""
        ids = [record.id for record in self.pending]
        if not ids:
            return ledger.next_state
        known = self._ahead
        if known is None or known[0] != ledger.state.seal or known[1] != ids[: len(known[1])]:
            known = (ledger.state.seal, [], fold.copy(ledger.next_state))
        for record in self.pending[len(known[1]) :]:
            kinds.apply(known[2], record, Moment(ledger.next_epoch))
        self._ahead = (known[0], ids, known[2])
        return known[2]

    def signed_before(self, once: object) -> Record | None:
        """ONCE: the record with this idempotency key that waits for its seal."""
        same = (record for record in self.pending if record.body.get("once") == once)
        return next(same, None) if once is not None else None

    def sign_seal(self, ledger: Ledger, now: Now) -> Seal | None:
        """The seal on the ledger's tip over all that waits; the one signed on this parent before, if there is one.

        None: nothing of what waits may be sealed.
        """
        parent = ledger.state.seal
        if parent not in self.seals:
            sealable = ledger.sealable(self.me.log)
            if not sealable:
                return None
            value = ledger.draft_seal(self.me.log, sealable, now.at)
            self.seals[parent] = read_seal(self._signed(value))
        return self.seals[parent]

    def _signed(self, value: Value) -> bytes:
        return canonical({**value, "sig": self.me.sign(unsigned(value))})


def _says_no(verdict: Verdict, body: Value) -> bool:
    return verdict.outcome == REFUSED or (verdict.outcome == FENCED and "under" not in body)
