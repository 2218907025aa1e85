"""Ed25519 keys, signatures in OpenSSH's SSHSIG form, and the one verification rule of all nodes (law SIG).

Knows: OpenSSH's texts and files for Ed25519 keys, the bytes that a signature covers, libsodium's answer.
Knows not: where a key file lies, who may read it, where its seed came from (`home`), whose key may act (`kinds`).

    key = SecretKey.generate(seed)                               # 32 random bytes, the caller's
    sig = key.sign(namespace(ledger_id), record.unsigned(value))
    verify(key.public.raw, namespace(ledger_id), record.unsigned(value), sig)     # True

`armored` and `allowed_signers` give the two files with which stock `ssh-keygen -Y verify` says the same.
"""

from __future__ import annotations

import hashlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from functools import cache, lru_cache
from typing import NamedTuple

from orxaq_mesh.errors import MeshFault, Usage

KEY_TYPE = "ssh-ed25519"
SIGNATURE_BYTES = 64

_FIELD_PRIME = 2**255 - 19
_PEM_COLUMNS = 70


class BadKey(Usage, ValueError):
    """These bytes are no Ed25519 key that a node may have; the hint says what to do instead."""


def namespace(ledger_id: str | None) -> str:
    """What a signature is bound to: the ledger, or `orxaq-mesh:genesis` for the record that founds one (None)."""
    return f"orxaq-mesh:{ledger_id or 'genesis'}"


class PublicKey(NamedTuple):
    """A public key as its 32 raw bytes. Take it from `parse`, which refuses what no honest tool makes."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """The key of a line `ssh-ed25519 AAAA... [comment]`, as in a `.pub` file.

        Raises:
            BadKey: another kind of key, another spelling, or a point that is not a full-strength key (trap B3).
        """
        words = text.strip(" \t\r\n").split(" ", 2)
        if len(words) < 2 or words[0] != KEY_TYPE or any(not mark.isprintable() for mark in text.strip("\r\n")):
            raise BadKey("not an OpenSSH Ed25519 public key line", hint=_MAKE_ONE)
        blob = _decoded(words[1])
        head = _string(KEY_TYPE.encode()) + (32).to_bytes(4, "big")
        if blob is None or blob[: len(head)] != head or len(blob) != len(head) + 32:
            raise BadKey(f"the text behind {KEY_TYPE} is not the base64 of one Ed25519 key", hint=_MAKE_ONE)
        raw = blob[len(head) :]
        if not _is_full_strength(raw):
            raise BadKey("the key is a low-order, mixed-order or oddly encoded point: no honest tool makes one")
        return cls(raw)

    @property
    def blob(self) -> bytes:
        """OpenSSH's wire form."""
        return _string(KEY_TYPE.encode()) + _string(self.raw)

    @property
    def text(self) -> str:
        """The line `ssh-ed25519 AAAA...`, without a comment."""
        return f"{KEY_TYPE} {_encoded(self.blob)}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:...`, as `ssh-keygen -l` prints it."""
        return "SHA256:" + _encoded(hashlib.sha256(self.blob).digest()).rstrip("=")

    @property
    def short(self) -> str:
        """The first 8 hex digits of the fingerprint's digest: what follows the node's name in its log's name."""
        return hashlib.sha256(self.blob).hexdigest()[:8]


class SecretKey:
    """A node's signing key. Its text form never shows the secret."""

    __slots__ = ("_pair", "public")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != 32:
            raise ValueError("an Ed25519 seed is 32 bytes")
        raw, self._pair = _sodium().keypair(seed)
        self.public = PublicKey(raw)

    def __repr__(self) -> str:
        return f"SecretKey({self.public.fingerprint})"

    @classmethod
    def generate(cls, seed: bytes) -> SecretKey:
        """The key of 32 random bytes. They come from the caller: this room has no randomness."""
        return cls(seed)

    @classmethod
    def from_openssh(cls, data: bytes) -> SecretKey:
        """The key in an OpenSSH private key file.

        Raises:
            BadKey: no such file, one with a passphrase, or a key of another kind.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import load_ssh_private_key

        try:
            found = load_ssh_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            if "password" in str(error).lower():
                raise BadKey(
                    "the key file has a passphrase", hint="ssh-keygen -p -N '' -f KEYFILE removes it"
                ) from None
            raise BadKey("not an OpenSSH private key file", hint=_MAKE_ONE) from None
        if not isinstance(found, Ed25519PrivateKey):
            raise BadKey("the key file holds a key of another kind than Ed25519", hint=_MAKE_ONE)
        return cls(found.private_bytes_raw())

    def to_openssh(self, comment: str) -> bytes:
        """The key as an OpenSSH private key file without a passphrase, as ssh and ssh-keygen read it."""
        none = _string(b"none") + _string(b"none") + _string(b"")
        check = hashlib.sha256(self.public.blob).digest()[:4]
        secret = check * 2 + self.public.blob + _string(self._pair) + _string(comment.encode())
        secret += bytes(range(1, 1 + -len(secret) % 8))
        blob = b"openssh-key-v1\0" + none + (1).to_bytes(4, "big") + _string(self.public.blob) + _string(secret)
        return _pem("OPENSSH PRIVATE KEY", blob)

    def sign(self, namespace: str, message: bytes) -> str:
        """The signature over a message: padded standard base64 of the raw 64 bytes."""
        return _encoded(_sodium().sign(_signed_data(namespace, message), self._pair)[:SIGNATURE_BYTES])


def verify(key: bytes, namespace: str, message: bytes, sig: str) -> bool:
    """Whether a signature stands, by libsodium's rule and in its one spelling (law SIG; traps B3, C31).

    Args:
        key: 32 raw bytes of a key that `PublicKey.parse` let in.
        namespace: as from `namespace`.
        message: as from `record.unsigned`.
        sig: the record's `sig`.
    """
    raw = _decoded(sig)
    if raw is None or len(raw) != SIGNATURE_BYTES or len(key) != 32:
        return False
    sodium = _sodium()
    try:
        sodium.open(raw + _signed_data(namespace, message), key)
    except sodium.bad_signature:
        return False
    return True


def armored(key: PublicKey, namespace: str, sig: str) -> bytes:
    """The signature as the file that `ssh-keygen -Y verify -s` reads. It is rebuilt, never stored.

    Raises:
        BadKey: `sig` is not the text of 64 bytes.
    """
    raw = _decoded(sig)
    if raw is None or len(raw) != SIGNATURE_BYTES:
        raise BadKey("not a signature: want the base64 of 64 bytes")
    inner = _string(KEY_TYPE.encode()) + _string(raw)
    head = b"SSHSIG" + (1).to_bytes(4, "big") + _string(key.blob) + _string(namespace.encode())
    return _pem("SSH SIGNATURE", head + _string(b"") + _string(b"sha512") + _string(inner))


def allowed_signers(principal: str, key: PublicKey, namespace: str) -> str:
    """The line for `ssh-keygen -Y verify -f` that lets this key sign as `principal` (a log) in one namespace."""
    return f'{principal} namespaces="{namespace}" {key.text}\n'


_MAKE_ONE = "make one with: ssh-keygen -t ed25519 -N '' -f KEYFILE"


@lru_cache(maxsize=16)
def _signed_head(namespace: str) -> bytes:
    fields = (namespace.encode(), b"", b"sha512")
    return b"SSHSIG" + b"".join(map(_string, fields)) + (64).to_bytes(4, "big")


def _signed_data(namespace: str, message: bytes) -> bytes:
    return _signed_head(namespace) + hashlib.sha512(message).digest()


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _encoded(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()


def _decoded(text: str) -> bytes | None:
    """What standard padded base64 stands for, or None where it is not the one text of those bytes (trap C31)."""
    try:
        spelt = text.encode("ascii")
        data = a2b_base64(spelt)
    except ValueError:
        return None
    return data if b2a_base64(data, newline=False) == spelt else None


def _pem(label: str, blob: bytes) -> bytes:
    text = _encoded(blob)
    lines = [text[at : at + _PEM_COLUMNS] for at in range(0, len(text), _PEM_COLUMNS)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]).encode()


def _is_full_strength(raw: bytes) -> bool:
    """Whether a key is a canonical encoding of a point of the prime-order group, and not its identity."""
    number = int.from_bytes(raw, "little") & (2**255 - 1)
    return number < _FIELD_PRIME and _sodium().is_valid_point(raw)


class _Sodium(NamedTuple):
    open: Callable[[bytes, bytes], bytes]
    sign: Callable[[bytes, bytes], bytes]
    keypair: Callable[[bytes], tuple[bytes, bytes]]
    is_valid_point: Callable[[bytes], bool]
    bad_signature: type[Exception]


@cache
def _sodium() -> _Sodium:
    """libsodium, imported at first use (20 ms) and asked whether it keeps the rule that all nodes keep."""
    from nacl import bindings, exceptions

    sodium = _Sodium(
        bindings.crypto_sign_open,
        bindings.crypto_sign,
        bindings.crypto_sign_seed_keypair,
        bindings.crypto_core_ed25519_is_valid_point,
        exceptions.BadSignatureError,
    )
    if not _keeps_the_rule(sodium):
        raise MeshFault(
            "the installed libsodium judges signatures by another rule than the rest of the fleet (law SIG)",
            hint="pip install --force-reinstall --only-binary :all: PyNaCl",
        )
    return sodium


# Signatures over b"orxaq-mesh" by the key of seed 07 07 ... 07, for which Ed25519 libraries, and libsodium built in
# other ways, differ: one honest, then R the identity point, R of mixed order, S not below the group's order.
# `tests/test_keys.py` computes them anew.
_RULE_MESSAGE = b"orxaq-mesh"
_RULE_KEY = bytes.fromhex("ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c")
_RULE_HONEST = bytes.fromhex(
    "935787f1a9ffe29e681aaaa39eb3e351ffaf658b90f76567404c632df528b4ef"
    "0790004efa8f89dc8a9dbafe15ee12086a0618fcf960da0e49fa3f8b3bdfd20a"
)
_RULE_REFUSED = (
    (
        "0100000000000000000000000000000000000000000000000000000000000000"
        "83d938b3314c58fa2817a99d2c2ddab35448390987c3bb4a61e4ecd5065eca02"
    ),
    (
        "d0424b701d60255de5df705071059ccd22b8349bb4138202ebbd65e9e0ad211b"
        "b54cff9e66f8db9d4c3c603b5b2a32ed339354ee2df4b55ce7816074aefb6506"
    ),
    (
        "935787f1a9ffe29e681aaaa39eb3e351ffaf658b90f76567404c632df528b4ef"
        "f463f6aa14f39b34613ab2a1f4e7f11c6a0618fcf960da0e49fa3f8b3bdfd21a"
    ),
)


def _keeps_the_rule(sodium: _Sodium) -> bool:
    def accepts(signature: bytes) -> bool:
        try:
            return bool(sodium.open(signature + _RULE_MESSAGE, _RULE_KEY))
        except sodium.bad_signature:
            return False

    return accepts(_RULE_HONEST) and not any(accepts(bytes.fromhex(sig)) for sig in _RULE_REFUSED)
