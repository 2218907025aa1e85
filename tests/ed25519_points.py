"""A small, slow Ed25519 over plain integers, to make the edge signatures that honest tools never make (trap B3).

Knows: RFC 8032's curve, point encoding, the eight small-order points. Knows not: constant time. For tests alone.

    signature = edge_signature(seed, message, torsion=small_order_points()[1])     # R of mixed order
"""

from __future__ import annotations

import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT = pow(2, (P - 1) // 4, P)

Point = tuple[int, int]
IDENTITY: Point = (0, 1)


def add(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    t = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + t, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - t, -1, P) % P
    return x, y


def times(n: int, point: Point) -> Point:
    found = IDENTITY
    while n:
        if n & 1:
            found = add(found, point)
        point, n = add(point, point), n >> 1
    return found


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def decode(raw: bytes) -> Point | None:
    """The point of an encoding, canonical or not; None where there is none."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, (number & (2**255 - 1)) % P
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P:
        return None
    return (P - x if x & 1 != sign else x) % P, y


BASE: Point = decode((4 * pow(5, -1, P) % P).to_bytes(32, "little"))  # type: ignore[assignment]


def small_order_points() -> list[Point]:
    """The eight points whose order divides 8, the identity first, then by growing multiple of one of order 8."""
    y = 2
    while True:
        point = decode(y.to_bytes(32, "little"))
        if point is not None:
            torsion = times(L, point)
            if times(4, torsion) != IDENTITY:
                return [times(n, torsion) for n in range(8)]
        y += 1


def non_canonical(point: Point) -> list[bytes]:
    """The encodings of a point that are not its shortest: y + p where that fits, and the sign of x = 0 set."""
    number = int.from_bytes(encode(point), "little")
    y, sign = number & (2**255 - 1), number >> 255
    spellings = {(y, sign)} | ({(y + P, sign)} if y + P < 2**255 else set())
    if point[0] == 0:
        spellings |= {(y, 1) for y, _ in spellings}
    return [
        (y | sign << 255).to_bytes(32, "little")
        for y, sign in sorted(spellings)
        if (y, sign) != (point[1], sign) or (point[0] == 0 and sign)
    ]


def secret(seed: bytes) -> tuple[int, bytes]:
    """(scalar, nonce prefix) of a seed, as RFC 8032 says."""
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & ~7 & (2**254 - 1) | 2**254
    return scalar, digest[32:]


def edge_signature(
    scalar: int,
    key: bytes,
    message: bytes,
    *,
    nonce: int,
    torsion: Point = IDENTITY,
    r: bytes | None = None,
    more: int = 0,
) -> bytes:
    """A signature under any key bytes: R = nonce * B + torsion, or exactly `r`; S plus `more` (a multiple of L)."""
    r = r if r is not None else encode(add(times(nonce, BASE), torsion))
    h = int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % L
    return r + ((nonce + h * scalar) % L + more).to_bytes(32, "little")
