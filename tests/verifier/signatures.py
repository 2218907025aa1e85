"""Section 2 of docs/format.md: Ed25519 over plain integers, sound keys, and when a signature stands."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from lines import canonical, sha256

# Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
IDENTITY = (0, 1, 1, 0)


def add(a: Any, b: Any) -> Any:
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    u, v = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = t - s, v - u, v + u, t + s
    return e * f % P, g * h % P, f * g % P, e * h % P


@cache
def doublings(point: Any) -> list[Any]:
    """The point times 1, 2, 4 and so on."""
    found = [point]
    while len(found) < 256:
        found.append(add(found[-1], found[-1]))
    return found


def times(number: int, point: Any) -> Any:
    """The point as many times, fewer than 2^256."""
    found = IDENTITY
    for place, doubled in enumerate(doublings(point)):
        if number >> place & 1:
            found = add(found, doubled)
    return found


def encode(point: Any) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def decode(raw: bytes) -> Any:
    """The point of a canonical encoding, or None."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


BASE = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))
SOUND: dict[str, Any] = {}


def blob(key: str) -> bytes:
    return base64.b64decode(key.split(" ")[1])


def sound(key: str) -> Any:
    """The point of a sound key, else None."""
    if key not in SOUND:
        point = decode(blob(key)[-32:])
        good = point is not None and encode(times(L, point)) == encode(IDENTITY) and point[:2] != (0, 1)
        SOUND[key] = point if good else None
    return SOUND[key]


def log_of(name: str, key: str) -> str:
    return f"{name}-{sha256(blob(key))[:8]}"


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def stands(line: dict[str, Any], key: str, space: str) -> bool:
    message = canonical({name: value for name, value in line.items() if name != "sig"})
    raw = base64.b64decode(line["sig"])
    return base64.b64encode(raw).decode() == line["sig"] and verifies(key, signed_data(space, message), raw)


def signed_data(space: str, message: bytes) -> bytes:
    fields = (f"orxaq-mesh:{space}".encode(), b"", b"sha512", hashlib.sha512(message).digest())
    return b"SSHSIG" + b"".join(map(string, fields))


def verifies(key: str, signed: bytes, raw: bytes) -> bool:
    a, r, s = sound(key), raw[:32], int.from_bytes(raw[32:], "little")
    if a is None or s >= L or r == encode(IDENTITY):
        return False
    h = int.from_bytes(hashlib.sha512(r + blob(key)[-32:] + signed).digest(), "little") % L
    return encode(add(times(s, BASE), times(L - h, a))) == r
