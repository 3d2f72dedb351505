"""A second, slow implementation of ristretto255 and of the proof in RFC 9497, to check the fast one against.

Written from RFC 9496 section 4 and RFC 9497 section 2.2.2. For tests only: nothing here is constant-time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]
ZERO: Point = (0, 1, 1, 0)
CONTEXT = b"OPRFV1-\x01-ristretto255-SHA512"


def _negative(x: int) -> bool:
    return x % P % 2 == 1


def _abs(x: int) -> int:
    return (-x if _negative(x) else x) % P


def _sqrt_ratio(u: int, v: int) -> tuple[bool, int]:
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped = check == u % P, check == -u % P
    flipped_i = check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, _abs(r)


INVSQRT_A_MINUS_D = _sqrt_ratio(1, (-1 - D) % P)[1]


def decode(data: bytes) -> Point:
    s = int.from_bytes(data, "little")
    assert len(data) == 32 and s < P and not _negative(s)
    u1, u2 = (1 - s * s) % P, (1 + s * s) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    square, inverse = _sqrt_ratio(1, v * u2 * u2)
    x = _abs(2 * s * inverse * u2)
    y = u1 * inverse * inverse * u2 * v % P
    assert square and not _negative(x * y) and y != 0
    return x, y, 1, x * y % P


def encode(point: Point) -> bytes:
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y) % P, x * y % P
    inverse = _sqrt_ratio(1, u1 * u2 * u2)[1]
    den1, den2 = inverse * u1 % P, inverse * u2 % P
    z_inverse = den1 * den2 * t % P
    if _negative(t * z_inverse):
        x, y, den = y * SQRT_M1 % P, x * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    else:
        den = den2
    if _negative(x * z_inverse):
        y = -y
    return _abs(den * (z - y)).to_bytes(32, "little")


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: Point) -> Point:
    result = ZERO
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


BASE = decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))


def _expand(message: bytes, tag: bytes, size: int = 64) -> bytes:
    """expand_message_xmd of RFC 9380 section 5.3.1, with SHA-512; one block is enough for 64 bytes."""
    tag += bytes([len(tag)])
    first = hashlib.sha512(bytes(128) + message + size.to_bytes(2, "big") + b"\0" + tag).digest()
    return hashlib.sha512(first + b"\x01" + tag).digest()


def _to_scalar(message: bytes) -> int:
    return int.from_bytes(_expand(message, b"HashToScalar-" + CONTEXT), "little") % ORDER


def _framed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def proof_holds(public: bytes, blinded: Sequence[bytes], evaluated: Sequence[bytes], proof: bytes) -> bool:
    """VerifyProof of RFC 9497 section 2.2.2."""
    c, s = (int.from_bytes(half, "little") for half in (proof[:32], proof[32:]))
    assert c < ORDER and s < ORDER
    seed = hashlib.sha512(_framed(public, b"Seed-" + CONTEXT)).digest()
    m = z = ZERO
    for i, (c_i, d_i) in enumerate(zip(blinded, evaluated, strict=True)):
        weight = _to_scalar(_framed(seed) + i.to_bytes(2, "big") + _framed(c_i, d_i) + b"Composite")
        m, z = add(m, multiply(weight, decode(c_i))), add(z, multiply(weight, decode(d_i)))
    t2 = add(multiply(s, BASE), multiply(c, decode(public)))
    t3 = add(multiply(s, m), multiply(c, z))
    transcript = _framed(public, *(encode(point) for point in (m, z, t2, t3))) + b"Challenge"
    return _to_scalar(transcript) == c


def finalize(message: bytes, blind: int, evaluated: bytes) -> bytes:
    """Finalize of RFC 9497 section 3.3.1, without the proof."""
    unblinded = encode(multiply(pow(blind, -1, ORDER), decode(evaluated)))
    return hashlib.sha512(_framed(message, unblinded) + b"Finalize").digest()
