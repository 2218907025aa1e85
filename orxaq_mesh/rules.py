"""The laws' and rules' words: what each id says, why it is there, and an example.

Knows: text. Families of kinds bring their own rules in the same shape; `mesh explain` prints both.
Knows not: how a law is kept. The code that keeps one names its id.

    LAWS["FENCE"].says
"""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """One law or rule. `example` is a short scene that shows it at work."""

    id: str
    title: str
    says: str
    why: str
    example: str


_LAWS = (
    Rule(
        "LINE",
        "One record has one byte form",
        "A line is UTF-8 JSON with sorted keys, no spaces and each key once, at most 64 KiB, at most 16 deep, with "
        "ASCII keys and integers within +-(2^53-1); no number has a fraction. Serialising what it parses to gives "
        "the same bytes. This is RFC 8785 restricted to these types. Its id is the sha256 of the line.",
        "Two spellings of one record would be two ids, and two nodes could disagree about which one they saw.",
        '{"a":1.0} is refused: the number has a fraction. {"a":1,"a":2} is refused: the key stands twice.',
    ),
    Rule(
        "SIG",
        "Every line is signed, and anyone can check it",
        "Every record and seal carries an Ed25519 signature over its line without `sig`, in OpenSSH's SSHSIG form, "
        "with the ledger's id in the namespace. The newest record of each log in an epoch must verify; those before "
        "it are covered by the chain. All nodes verify by libsodium's rule.",
        "A reader need not trust the hub, nor this program: ssh-keygen gives the same answer.",
        "mesh show 3f9a --sshsig out, then the ssh-keygen command that it prints.",
    ),
    Rule(
        "CHAIN",
        "A log is a chain of one key",
        "A log is named after node and key. Its records are numbered 1, 2, 3 ... without a gap, and each names the "
        "one before it. A number that was signed is never used for anything else: two records of one key for one "
        "number, each with its own signature, are a proof against it.",
        "A deleted, doubled or exchanged line is then visible to everybody, for ever.",
        "Seq 12 names the id of seq 11 in `prev`; take seq 11 away and seq 12 hangs in the air. mesh proof elm writes "
        "down the two records that a copied home signed.",
    ),
    Rule(
        "SET",
        "The ledger is a set",
        "State is a function of the set of records and seals alone: not of commit order, arrival order, clocks, "
        "locale or machine.",
        "Nodes that hold the same lines must agree, however the lines reached them.",
        "Fetch the outboxes in any order: the digest is the same.",
    ),
    Rule(
        "SEAL",
        "A seal closes an epoch",
        "A seal names its parent, the rules in force, the log heads that it takes in, and a digest. It stands when "
        "its signer may seal, when it takes in at least one record, and when all that it takes in is present and "
        "authentic. A node signs one seal a parent.",
        "The order of the world is decided in one place, by whoever wins the push, and can be checked afterwards.",
        "Seal 42 takes in oak's log up to seq 12; without that record it is as if absent.",
    ),
    Rule(
        "EPOCH",
        "Epochs only grow",
        "A seal's epoch is one more than its parent's, or than that of the seal `over`, the end of another side of a "
        "fork, if that is higher. Within an epoch first goes what that side had taken in, in its order; then the logs "
        "in the order of sha256(parent id + log), each by seq.",
        "A token is an epoch: it must never come again. And nobody may buy a place in the order.",
        "A record whose clock says last year is judged where it was sealed, like any other.",
    ),
    Rule(
        "FORK",
        "Where the spine forks, first votes decide",
        "Where several seals follow one, each node has one vote: the first record that it wrote after it had seen a "
        "seal of one side. It never moves: who names a seal that nobody can show has no vote before that is shown. "
        "Most votes win; then the side of the node that was admitted earliest, of those that voted for one of the "
        "best; where nobody voted, of the earliest-admitted sealer; then the lower id. What only another side took in waits, and is judged where the next seal takes it in. A seal is final "
        "when, at every step up to it, more than half of the nodes voted for it, or all voted and it was chosen.",
        "Two hubs, or a hub that was rolled back, make two histories; everybody must go on from the same one, and "
        "nobody may choose it afterwards.",
        "Two nodes worked on at one hub and one at another: mesh divergence shows what that one's records came to.",
    ),
    Rule(
        "PREFIX",
        "A closed epoch stays judged",
        "The verdicts of an epoch depend on the spine up to it and on what it takes in, and on nothing later. The seal "
        "that takes in a proof that a key signed two records for one number suspends that key from its epoch on.",
        "What was told to a caller must not change because somebody spoke later.",
        "A node that is revoked, or proven to have signed two histories, in epoch 50 keeps what it did in epoch 49.",
    ),
    Rule(
        "DIGEST",
        "Every seal states what came of it",
        "A seal carries a running digest over (record id, verdict). Every node computes it anew; a wrong claim "
        "raises an alarm that names epoch and author.",
        "Two programs that judge differently find out in the epoch in which it happens.",
        "mesh verify compares the digest of each of the seals.",
    ),
    Rule(
        "RULES",
        "The rules number fixes what is judged, and how",
        "Under a rules number exactly the known kinds, versions and fields are judged; anything else is refused, by "
        "newer software too, and stops nobody.",
        "A fleet is never updated all at once, and yet must agree.",
        'A record of kind "lease.lend" is refused under rules 1, whoever reads it.',
    ),
    Rule(
        "FENCE",
        "A stale token has no effect",
        "A record that acts under a lease carries its token. It is applied only if, at its place in the order, that "
        "is the lease's current token and its signer and session hold it. A missing token is a wrong one.",
        "A holder that was paused past its time does not know that it lost the lease. The merge knows.",
        "oak holds deploy with token 7 and sleeps; elm takes it with token 9; what oak then writes is fenced.",
    ),
    Rule(
        "TIME",
        "Expiry is watched silence",
        "The fold reads no clock. Who takes a lease over asserts how long it watched the holder in silence, on its "
        "own boot-time clock, between readings of the hub at most a third of the ttl apart; that must be the ttl at "
        "least, and nothing may have been applied under the lease since.",
        "Wall clocks differ by minutes and jump by years. Silence that was watched does neither.",
        "A laptop that slept begins its watch anew when it wakes.",
    ),
    Rule(
        "UNTIL",
        "A request has an end",
        "A request for a grant or a place in a queue names the last epoch in which it may be sealed (default: 16 "
        "after the one seen). Later it is refused.",
        "A caller that went home must not be granted a lease next week.",
        "Asked at epoch 40 with until 56, sealed in epoch 57: refused.",
    ),
    Rule(
        "LIVE",
        "Nobody can stop the fleet",
        "Genesis names an offline recovery key that can only admit or revoke an admin. A node that loses its "
        "standing, or may write no longer, loses its leases and places in queues. A ttl is at most 24 hours. An admin can break any lease.",
        "A lost laptop or a bad record must not hold everybody else up.",
        "mesh node revoke oak frees every lease that oak held, in the same epoch.",
    ),
    Rule(
        "SEEN",
        "What was seen is remembered",
        "Every record names the seal that its author had seen, and it never goes back along a log. A trunk that "
        "lacks a seal whose signed line someone can show was rolled back or forked: an alarm. A record that names a "
        "seal which nobody can show is a note against its author (mesh divergence), and no alarm.",
        "The host stores bytes and could show old ones; nodes notice.",
        "The hub was restored from last week's backup: mesh status says which seal is missing.",
    ),
    Rule(
        "PUSH",
        "A push is committed, lost or unknown",
        "Unknown is resolved by reading the hub for the record's id; until then the very same bytes are pushed again. "
        "The new commit descends from the one that was read; nothing is ever forced.",
        "A connection that dies says nothing about the branch.",
        "The hub moved the branch and then hung up: the node reads, finds its seal, and reports committed.",
    ),
    Rule(
        "CLOSED",
        "Fail closed",
        "Hub unreachable, ledger invalid, configuration unreadable: the node observes, mutates nothing and says why. "
        "Offline only events are signed, to be judged where they are sealed.",
        "A guess about who holds a lease is how two deploys run at once.",
        "mesh lease acquire deploy without a network: exit 5, and nothing was signed.",
    ),
    Rule(
        "RENDER",
        "The tree is a function of the set",
        "Files below ledger/ are what rendering the authentic lines gives, and nothing else.",
        "Merging two trees is then rendering the union, the same bytes wherever it is done.",
        "A file ledger/notes.txt is a finding of mesh verify.",
    ),
    Rule(
        "QUIET",
        "Nothing in a ledger runs or draws",
        "No text of a ledger is run unasked, reaches a shell or a terminal unescaped, or touches a working tree.",
        "Whoever may write a record must not thereby own the terminals of those who read it.",
        "A lease named with an escape sequence is printed as \\x1b, visibly.",
    ),
    Rule(
        "CACHE",
        "Local state can be deleted",
        "All local state but the key and the journal can be deleted at any moment; nothing changes but time.",
        "A cache that must be right is a second source of truth.",
        "rm -r of cache and store, then mesh status: the same answer, a little later.",
    ),
    Rule(
        "ONCE",
        "One idempotency key, one effective record",
        "A record with a key that its node has used before in an applied record is refused.",
        "A caller that does not know whether its first try arrived may simply try again.",
        "mesh publish ... --key build-17, twice: one event.",
    ),
    Rule(
        "SECRET",
        "A credential is not signed",
        "A node signs no record in which a key, a token or a password stands, by the forms of well-known makers and by "
        "what a field is called; the refusal names the place and the form, never the secret. It is asked where a "
        "record is signed, and not by the fold: what another program signed is judged like anything else. Review and an enforcing hub read it by the same patterns. A "
        "reviewer's record may say of a text, by its sha256, that it is none (`review.allow`).",
        "What is in a ledger is copied to everybody, and is never deleted.",
        'mesh publish deploy done --payload \'{"password":"..."}\' with a password in it: refused; publish the name '
        "of the place where it is kept.",
    ),
)

LAWS: dict[str, Rule] = {law.id: law for law in _LAWS}
