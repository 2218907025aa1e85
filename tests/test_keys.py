"""Laws SIG and traps B3, C31: one rule, one spelling, and stock ssh-keygen as the second verifier."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ed25519_points as curve
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError

from orxaq_mesh import keys
from orxaq_mesh.errors import MeshFault
from orxaq_mesh.keys import BadKey, PublicKey, SecretKey, allowed_signers, armored, namespace, verify

SEED = b"\x07" * 32
KEY = SecretKey.generate(SEED)
SPACE = namespace("ab" * 32)
MESSAGE = b'{"at":"2026-11-20T09:30:00.000Z"}'
SCALAR, _ = curve.secret(SEED)
SMALL = curve.small_order_points()
SMALL_ENCODINGS = [encoding for point in SMALL for encoding in [curve.encode(point), *curve.non_canonical(point)]]


def signed_data(space: str, message: bytes) -> bytes:
    """What PROTOCOL.sshsig says a signature is over, put together a second time."""

    def field(data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + data

    return b"SSHSIG" + field(space.encode()) + field(b"") + field(b"sha512") + field(hashlib.sha512(message).digest())


def line_of(raw: bytes, kind: bytes = b"ssh-ed25519") -> str:
    blob = struct.pack(">I", len(kind)) + kind + struct.pack(">I", len(raw)) + raw
    return f"{kind.decode()} {base64.b64encode(blob).decode()}"


def libsodium_says(key: bytes, data: bytes, raw: bytes) -> bool:
    try:
        bindings.crypto_sign_open(raw + data, key)
    except BadSignatureError:
        return False
    return True


def openssl_says(key: bytes, data: bytes, raw: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(raw, data)
    except InvalidSignature:
        return False
    return True


def ssh_keygen(*argv: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["ssh-keygen", *map(str, argv)], input=stdin, capture_output=True, timeout=60, check=False)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "id_ed25519"
    path.touch(0o600)
    path.write_bytes(KEY.to_openssh("oak of the fleet"))
    return path


# --- the signature and ssh-keygen ---------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.text("0123456789abcdef", min_size=64, max_size=64) | st.none())
def test_SIG_covers_what_sshsig_says(message: bytes, ledger_id: str | None) -> None:
    space = namespace(ledger_id)
    sig = KEY.sign(space, message)
    raw = base64.b64decode(sig, validate=True)
    assert len(sig) == 88
    assert openssl_says(KEY.public.raw, signed_data(space, message), raw)
    assert verify(KEY.public.raw, space, message, sig)


def test_SIG_binds_to_ledger_message_and_key() -> None:
    sig = KEY.sign(SPACE, MESSAGE)
    other = SecretKey.generate(b"\x08" * 32)
    assert verify(KEY.public.raw, SPACE, MESSAGE, sig)
    assert not verify(KEY.public.raw, namespace("cd" * 32), MESSAGE, sig)
    assert not verify(KEY.public.raw, namespace(None), MESSAGE, sig)
    assert not verify(KEY.public.raw, SPACE, MESSAGE + b" ", sig)
    assert not verify(other.public.raw, SPACE, MESSAGE, sig)
    assert not verify(KEY.public.raw, SPACE, MESSAGE, other.sign(SPACE, MESSAGE))
    assert namespace(None) == "orxaq-mesh:genesis"
    assert SPACE == "orxaq-mesh:" + "ab" * 32


def test_SIG_any_flipped_bit_is_refused() -> None:
    raw = base64.b64decode(KEY.sign(SPACE, MESSAGE))
    for bit in range(0, 512, 5):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert not verify(KEY.public.raw, SPACE, MESSAGE, base64.b64encode(flipped).decode()), bit


def test_SIG_is_64_bytes_and_not_a_signed_text_that_ends_in_ours() -> None:
    pair = bindings.crypto_sign_seed_keypair(SEED)[1]
    for prefix in (b"", b"S", b"SS", b"SSS", b"orxaq-mesh"):
        raw = bindings.crypto_sign(prefix + signed_data(SPACE, MESSAGE), pair)[:64] + prefix
        assert verify(KEY.public.raw, SPACE, MESSAGE, base64.b64encode(raw).decode()) == (prefix == b"")


@pytest.mark.parametrize("space", [SPACE, namespace(None)])
@pytest.mark.parametrize("message", [MESSAGE, b"", b"x" * 65_000])
def test_SIG_ssh_keygen_verifies_ours(tmp_path: Path, space: str, message: bytes) -> None:
    log = f"oak-{KEY.public.short}"
    (tmp_path / "sig").write_bytes(armored(KEY.public, space, KEY.sign(space, message)))
    (tmp_path / "allowed_signers").write_text(allowed_signers(log, KEY.public, space))

    def check(principal: str, its_space: str, its_message: bytes) -> int:
        argv = ("-Y", "verify", "-f", tmp_path / "allowed_signers", "-I", principal, "-n", its_space, "-s")
        return ssh_keygen(*argv, tmp_path / "sig", stdin=its_message).returncode

    assert check(log, space, message) == 0
    assert check(log, space, message + b"\n") != 0
    assert check(log, space + "0", message) != 0
    assert check("elm-00000000", space, message) != 0


def test_SIG_ssh_keygen_signs_the_very_same_bytes(tmp_path: Path, key_file: Path) -> None:
    made = ssh_keygen("-Y", "sign", "-f", key_file, "-n", SPACE, stdin=MESSAGE)
    assert made.returncode == 0, made.stderr
    assert made.stdout == armored(KEY.public, SPACE, KEY.sign(SPACE, MESSAGE))


@pytest.mark.parametrize("sig", ["", "AAAA", "x" * 88, "=" * 88])
def test_SIG_armours_nothing_but_a_signature(sig: str) -> None:
    with pytest.raises(BadKey, match="64 bytes"):
        armored(KEY.public, SPACE, sig)


# --- C31: one spelling --------------------------------------------------------------------------------------------


def spellings(sig: str) -> Iterator[tuple[str, str]]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(sig[85])
    for more in range(1, 16):
        yield f"spare bits {more}", sig[:85] + alphabet[last + more] + "=="
    yield "no padding", sig[:86]
    yield "half the padding", sig[:87]
    yield "more padding", sig + "=="
    yield "newline behind", sig + "\n"
    yield "space before", " " + sig
    yield "broken in lines", sig[:44] + "\n" + sig[44:]
    yield "space for a character", sig[:40] + " " + sig[41:]
    yield "URL-safe", sig.replace("+", "-").replace("/", "_")
    yield "another character inside", sig[:40] + "!" + sig[40:]
    yield "full-width", sig[:40] + "\uff21" + sig[41:]
    yield "lone surrogate", sig[:40] + "\ud800" + sig[41:]
    yield "NUL", sig[:40] + "\x00" + sig[41:]
    yield "hex", base64.b64decode(sig).hex()
    yield "empty", ""


def test_C31_a_second_base64_spelling_is_refused() -> None:
    number = 0
    while {"+", "/"} - set(sig := KEY.sign(SPACE, b"%d" % number)):
        number += 1
    message = b"%d" % number
    assert verify(KEY.public.raw, SPACE, message, sig)
    found = dict(spellings(sig))
    same_bytes = [name for name, text in found.items() if name.startswith("spare bits")]
    assert all(base64.b64decode(found[name]) == base64.b64decode(sig) for name in same_bytes)
    for name, text in found.items():
        assert text != sig, name
        assert not verify(KEY.public.raw, SPACE, message, text), name


# --- B3: edge signatures ------------------------------------------------------------------------------------------


def edge_cases() -> Iterator[tuple[str, bytes, bytes]]:
    """(name, key, raw signature) over MESSAGE in SPACE, for the ordinary key and for keys that no tool makes."""
    data = signed_data(SPACE, MESSAGE)
    own = KEY.public.raw

    def made(key: bytes, scalar: int, **how: Any) -> bytes:
        return curve.edge_signature(scalar, key, data, **how)

    yield "honest", own, base64.b64decode(KEY.sign(SPACE, MESSAGE))
    yield "nonce of our own", own, made(own, SCALAR, nonce=77)
    for times in range(1, 8):
        yield f"S + {times} L", own, made(own, SCALAR, nonce=77, more=times * curve.L)
        yield f"R of mixed order {times}", own, made(own, SCALAR, nonce=77, torsion=SMALL[times])
    for encoding in SMALL_ENCODINGS:
        yield f"R of small order {encoding.hex()}", own, made(own, SCALAR, nonce=0, r=encoding)
        for nonce in range(8):
            yield f"A of small order {encoding.hex()} {nonce}", encoding, made(encoding, 0, nonce=5 + nonce)
        yield f"A and R of small order {encoding.hex()}", encoding, made(encoding, 0, nonce=0, r=encoding)
    for times in range(1, 8):
        key = curve.encode(curve.add(curve.times(SCALAR, curve.BASE), SMALL[times]))
        for nonce in (77, 78, 79):
            yield f"A of mixed order {times} {nonce}", key, made(key, SCALAR, nonce=nonce)
    yield "R beyond the field", own, made(own, SCALAR, nonce=0, r=(curve.P + 3).to_bytes(32, "little"))
    yield "R on no curve", own, made(own, SCALAR, nonce=0, r=(2).to_bytes(32, "little"))
    yield "all zeros", own, bytes(64)
    yield "all ones", own, b"\xff" * 64


EDGES = list(edge_cases())


def test_B3_our_answer_is_libsodiums() -> None:
    data = signed_data(SPACE, MESSAGE)
    for name, key, raw in EDGES:
        assert verify(key, SPACE, MESSAGE, base64.b64encode(raw).decode()) == libsodium_says(key, data, raw), name


def test_B3_only_what_is_whole_stands_under_an_ordinary_key() -> None:
    own = [(name, raw) for name, key, raw in EDGES if key == KEY.public.raw]
    stand = [name for name, raw in own if verify(KEY.public.raw, SPACE, MESSAGE, base64.b64encode(raw).decode())]
    assert stand == ["honest", "nonce of our own"]
    assert len(own) > 25


def test_B3_openssl_accepts_what_libsodium_refuses_and_we_refuse_it() -> None:
    data = signed_data(SPACE, MESSAGE)
    split = {(key == KEY.public.raw, name) for name, key, raw in EDGES if openssl_says(key, data, raw)}
    split -= {(key == KEY.public.raw, name) for name, key, raw in EDGES if libsodium_says(key, data, raw)}
    identity = curve.encode(curve.IDENTITY).hex()
    assert (True, f"R of small order {identity}") in split  # an ordinary key can make one
    assert any(not ordinary for ordinary, _ in split)
    for name, key, raw in EDGES:
        if (key == KEY.public.raw, name) in split:
            assert not verify(key, SPACE, MESSAGE, base64.b64encode(raw).decode()), name


def test_B3_what_we_accept_openssl_and_ssh_keygen_accept(tmp_path: Path) -> None:
    data = signed_data(SPACE, MESSAGE)
    ours = [(name, raw) for name, key, raw in EDGES if key == KEY.public.raw and libsodium_says(key, data, raw)]
    assert len(ours) == 2
    for name, raw in ours:
        assert openssl_says(KEY.public.raw, data, raw), name
        (tmp_path / "sig").write_bytes(armored(KEY.public, SPACE, base64.b64encode(raw).decode()))
        (tmp_path / "signers").write_text(allowed_signers("oak", KEY.public, SPACE))
        argv = ("-Y", "verify", "-f", tmp_path / "signers", "-I", "oak", "-n", SPACE, "-s", tmp_path / "sig")
        assert ssh_keygen(*argv, stdin=MESSAGE).returncode == 0, name


def test_B3_the_rule_we_ask_libsodium_for_is_the_one_computed_here() -> None:
    message = keys._RULE_MESSAGE
    honest = bindings.crypto_sign(message, bindings.crypto_sign_seed_keypair(SEED)[1])[:64]
    beyond = honest[:32] + (int.from_bytes(honest[32:], "little") + curve.L).to_bytes(32, "little")
    own = KEY.public.raw
    assert own == keys._RULE_KEY
    assert honest == keys._RULE_HONEST
    assert [bytes.fromhex(text) for text in keys._RULE_REFUSED] == [
        curve.edge_signature(SCALAR, own, message, nonce=0),
        curve.edge_signature(SCALAR, own, message, nonce=5, torsion=SMALL[1]),
        beyond,
    ]
    assert openssl_says(own, message, bytes.fromhex(keys._RULE_REFUSED[0]))


@pytest.mark.parametrize("lenient", [0, 1, 2, "refuses all"])
def test_B3_a_libsodium_with_another_rule_is_refused(monkeypatch: pytest.MonkeyPatch, lenient: int | str) -> None:
    honest = bindings.crypto_sign_open

    def other(signed: bytes, key: bytes) -> bytes:
        if lenient == "refuses all":
            raise BadSignatureError
        if isinstance(lenient, int) and signed.startswith(bytes.fromhex(keys._RULE_REFUSED[lenient])):
            return signed[64:]
        return honest(signed, key)

    monkeypatch.setattr(bindings, "crypto_sign_open", other)
    keys._sodium.cache_clear()
    try:
        with pytest.raises(MeshFault, match="another rule") as caught:
            verify(KEY.public.raw, SPACE, MESSAGE, "A" * 86 + "==")
        assert "PyNaCl" in caught.value.hint
    finally:
        keys._sodium.cache_clear()


@pytest.mark.parametrize("length", [0, 1, 31, 33, 64])
def test_SIG_a_key_of_another_length_verifies_nothing(length: int) -> None:
    assert not verify(KEY.public.raw.ljust(length, b"\x00")[:length], SPACE, MESSAGE, KEY.sign(SPACE, MESSAGE))


# --- public keys --------------------------------------------------------------------------------------------------


def refused(text: str) -> str:
    with pytest.raises(BadKey) as caught:
        PublicKey.parse(text)
    assert isinstance(caught.value, ValueError)
    assert caught.value.exit_code == 2
    return caught.value.what


@pytest.mark.parametrize("tail", ["", " oak", " two words", " user@host\n", "\r\n", " \u00e9\u4e2d"])
def test_SIG_parses_a_public_key_line_with_or_without_comment(tail: str) -> None:
    key = PublicKey.parse(KEY.public.text + tail)
    assert key == KEY.public
    assert hash(key) == hash(KEY.public)
    assert " " not in key.text.removeprefix("ssh-ed25519 ")


def test_SIG_fingerprint_and_short_are_ssh_keygens(key_file: Path) -> None:
    assert ssh_keygen("-y", "-f", key_file).stdout.decode() == KEY.public.text + " oak of the fleet\n"
    words = ssh_keygen("-l", "-f", key_file).stdout.decode().split()
    assert words[1] == KEY.public.fingerprint
    digest = base64.b64decode(words[1].removeprefix("SHA256:") + "=")
    assert KEY.public.short == digest.hex()[:8]


@pytest.mark.parametrize("encoding", SMALL_ENCODINGS, ids=lambda encoding: encoding.hex()[:8] + encoding.hex()[-4:])
def test_B3_a_low_order_key_is_refused(encoding: bytes) -> None:
    assert "no honest tool" in refused(line_of(encoding))


@pytest.mark.parametrize("times", range(1, 8))
def test_B3_a_mixed_order_key_is_refused(times: int) -> None:
    point = curve.add(curve.times(SCALAR, curve.BASE), SMALL[times])
    assert "no honest tool" in refused(line_of(curve.encode(point)))


def test_B3_a_non_canonical_key_is_refused() -> None:
    beyond = [number for number in range(curve.P, 2**255) if curve.decode(number.to_bytes(32, "little"))]
    assert len(beyond) > 5
    for number in beyond:
        for sign in (0, 1 << 255):
            assert "no honest tool" in refused(line_of((number | sign).to_bytes(32, "little")))


def test_B3_a_point_off_the_curve_is_refused() -> None:
    off = [y for y in range(2, 40) if curve.decode(y.to_bytes(32, "little")) is None]
    assert len(off) > 10
    for y in off:
        assert "no honest tool" in refused(line_of(y.to_bytes(32, "little")))


WORD = KEY.public.text.split()[1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        WORD,
        f"ssh-rsa {WORD}",
        f"SSH-ED25519 {WORD}",
        f"sk-ssh-ed25519@openssh.com {WORD}",
        f"ssh-ed25519-cert-v01@openssh.com {WORD}",
        f"ssh-ed25519  {WORD}",
        f"ssh-ed25519\t{WORD}",
        f'from="*" ssh-ed25519 {WORD}',
        f"ssh-ed25519 {WORD}=",
        f"ssh-ed25519 {WORD}====",
        f"ssh-ed25519 {WORD[:-1]}",
        f"ssh-ed25519 {WORD[:-4]}",
        f"ssh-ed25519 {WORD}AAAA",
        f"ssh-ed25519 {WORD[:30]}!{WORD[30:]}",
        f"ssh-ed25519 {WORD[:30]}-{WORD[31:]}",
        f"ssh-ed25519 {WORD[:30]}\uff21{WORD[31:]}",
        f"ssh-ed25519 {WORD[:30]}\n{WORD[30:]}",
        f"ssh-ed25519 {WORD}\nssh-ed25519 {WORD}",
        f"ssh-ed25519 {WORD} oak\x1b[31m",
        f"ssh-ed25519 {WORD} oak\u202e",
        line_of(KEY.public.raw[:-1]),
        line_of(KEY.public.raw + b"\x00"),
        line_of(KEY.public.raw, b"ssh-ed25518"),
        "ssh-ed25519 " + base64.b64encode(KEY.public.raw).decode(),
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_SIG_refuses_any_other_spelling_of_a_public_key(text: str) -> None:
    assert refused(text).isprintable()


# --- key files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("comment", ["", "x", "oak", "a comment of more words", "\u00e9\u4e2d"])
def test_SIG_our_key_file_is_openssh_and_comes_back(tmp_path: Path, comment: str) -> None:
    path = tmp_path / "key"
    path.touch(0o600)
    path.write_bytes(KEY.to_openssh(comment))
    shown = ssh_keygen("-y", "-P", "", "-f", path)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.decode().strip() == f"{KEY.public.text} {comment}".strip()
    again = SecretKey.from_openssh(path.read_bytes())
    assert again.public == KEY.public
    assert again.sign(SPACE, MESSAGE) == KEY.sign(SPACE, MESSAGE)


def test_SIG_reads_the_key_that_ssh_keygen_made(tmp_path: Path) -> None:
    assert ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", "me", "-f", tmp_path / "k").returncode == 0
    key = SecretKey.from_openssh((tmp_path / "k").read_bytes())
    assert key.public == PublicKey.parse((tmp_path / "k.pub").read_text())
    assert verify(key.public.raw, SPACE, MESSAGE, key.sign(SPACE, MESSAGE))


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("-t", "ed25519", "-N", "secret"), "passphrase"),
        (("-t", "ecdsa", "-N", ""), "another kind"),
        (("-t", "rsa", "-b", "2048", "-N", ""), "another kind"),
        (("-t", "ecdsa", "-N", "secret"), "passphrase"),
        (("-t", "ecdsa", "-N", "", "-m", "PEM"), "not an OpenSSH private key file"),
    ],
)
def test_SIG_another_key_file_is_refused_with_the_next_step(tmp_path: Path, argv: tuple[str, ...], says: str) -> None:
    assert ssh_keygen("-q", *argv, "-f", tmp_path / "k").returncode == 0
    with pytest.raises(BadKey, match=says) as caught:
        SecretKey.from_openssh((tmp_path / "k").read_bytes())
    assert "ssh-keygen" in caught.value.hint


def test_SIG_a_broken_key_file_is_refused_without_a_traceback() -> None:
    whole = KEY.to_openssh("oak")
    broken = [b"", b"\x00" * 100, KEY.public.text.encode(), os.urandom(400), whole[:-40], whole[:100], whole.lower()]
    broken += [whole.replace(b"OPENSSH", b"RSA"), whole[:150] + b"AAAA" + whole[154:], b"x" * 100_000]
    for data in broken:
        with pytest.raises(BadKey):
            SecretKey.from_openssh(data)


def test_SIG_a_secret_key_shows_no_secret() -> None:
    for text in (repr(KEY), str(KEY), f"{KEY}"):
        assert text == f"SecretKey({KEY.public.fingerprint})"
    assert not hasattr(KEY, "__dict__")


@pytest.mark.parametrize("seed", [b"", b"x" * 31, b"x" * 33, b"x" * 64])
def test_SIG_a_seed_is_32_bytes(seed: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SecretKey.generate(seed)


def test_SIG_imports_nothing_heavy_until_a_key_is_used() -> None:
    program = "import sys, orxaq_mesh.keys; print(sorted({'nacl', 'cryptography', 'cffi'} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=True, text=True)
    assert shown.stdout == "[]\n"
