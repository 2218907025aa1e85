"""Section 7 of docs/format.md: who votes, which side of a fork goes on, and what is final."""

from __future__ import annotations

from judging import State
from lines import ZEROS, Record
from seals import Ledger


class Fleet:
    """Who went where: the chain, and the votes for it."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.children: dict[str, list[str]] = {}
        for id_ in ledger.judged:
            self.children.setdefault(ledger.seals[id_].parent, []).append(id_)
        self.chain: list[str] = []
        at = ZEROS
        while sides := sorted(self.children.get(at, [])):
            at = self.choose(ledger.states[at], sides)
            self.chain.append(at)
        self.tip = ledger.states[at]

    def shown(self, record: Record) -> bool:
        """Whether the seal that a record names as seen stands."""
        return record.seen_seal in self.ledger.judged and self.ledger.seals[record.seen_seal].epoch == record.seen

    def side_of(self, sides: list[str], seal: str) -> str | None:
        return next((id_ for id_ in self.ledger.back(seal) if id_ in sides), None)

    def voters(self, state: State) -> list[str]:
        silent = {"observer", "recovery"}
        return [log for log in state.members if (member := state.admitted(log)) and not silent & member.roles]

    def vote(self, state: State, log: str, sides: list[str]) -> str | None:
        """The side that a voter's first word is for."""
        seq, end = state.last(log)[0] + 1, self.signed_twice(log)
        mine = [record for record in self.ledger.logs.get(log, []) if record.id in self.ledger.authentic]
        while end is None or seq < end:
            here = [record for record in mine if record.seq == seq]
            here = [record for record in here if record.id in self.ledger.taken] or here
            if len(here) != 1:
                return None
            if here[0].seen > state.epoch:
                if not self.shown(here[0]):
                    return None
                if side := self.side_of(sides, here[0].seen_seal):
                    return side
            seq += 1
        return None

    def signed_twice(self, log: str) -> int | None:
        """The lowest seq of which the set holds a pair."""
        own = [record.seq for record in self.ledger.logs.get(log, []) if self.ledger.signed(record)]
        return min((seq for seq in own if own.count(seq) > 1), default=None)

    def to_suspend(self, log: str) -> bool:
        """Whether the next seal could bring a proof against a log."""
        return self.tip.admitted(log) is not None and self.signed_twice(log) is not None

    def votes(self, state: State, sides: list[str]) -> dict[str, str]:
        found = {log: self.vote(state, log, sides) for log in self.voters(state)}
        return {log: side for log, side in found.items() if side}

    def choose(self, state: State, sides: list[str]) -> str:
        if len(sides) == 1:
            return sides[0]
        votes = self.votes(state, sides)
        count = {side: list(votes.values()).count(side) for side in sides}
        tied = [side for side in sides if count[side] == max(count.values())]
        if len(tied) > 1 and votes:
            return min((state.members[log].since, log, side) for log, side in votes.items() if side in tied)[2]
        return min(tied, key=lambda side: (*self.sealer(state, side), side))

    def sealer(self, state: State, side: str) -> tuple[int, str]:
        member = state.members.get(self.ledger.seals[side].log)
        return (member.since, member.log) if member else (0, "")

    def final(self) -> int:
        """The epoch of the newest final seal."""
        epoch, parent = 0, ZEROS
        for id_ in self.chain:
            state, sides = self.ledger.states[parent], sorted(self.children[parent])
            votes, voters = self.votes(state, sides), self.voters(state)
            behind = list(votes.values()).count(id_)
            if 2 * behind <= len(voters) and len(votes) < len(voters):
                break
            epoch, parent = self.ledger.seals[id_].epoch, id_
        return epoch
