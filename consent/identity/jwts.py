"""Strict reading of tokens that others made (RFC 7519, hardened as RFC 8725 asks). Pure.

Nothing is believed before the signature is checked with a key that the *caller* of this module
chose; the header only says which of that issuer's keys to try. What must hold, in order:

1. three segments of canonical base64url, at most :data:`MAX_TOKEN` characters;
2. JSON objects without doubled names, at most :data:`MAX_DEPTH` levels deep;
3. an asymmetric algorithm that fits the key's type: never ``none``, never an HMAC, whatever the
   header says;
4. no ``crit`` and no ``b64``: extensions that are not understood are not skipped;
5. a ``typ`` that is expected, so that one kind of token never passes for another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from crypto.errors import SignatureError
from crypto.keys import unb64

MAX_TOKEN = 16_384
MAX_DEPTH = 16
MAX_HEADER = 1024
RSA_BITS = range(2048, 8193)
ED25519 = frozenset({"EdDSA", "Ed25519"})
ALGORITHMS = ED25519 | {"ES256", "RS256", "PS256"}
_MODELS = {
    name: JWSRegistry.algorithms["Ed25519" if name in ED25519 else name] for name in ALGORITHMS
}
"""``EdDSA`` is the older name of ``Ed25519`` where the key is an Ed25519 one (RFC 9864)."""


@dataclass(frozen=True)
class Jwt:
    """A token as it was read: nothing in it is believed yet."""

    algorithm: str
    typ: str | None
    kid: str | None
    claims: dict[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True)
class TrustedKey:
    """A public key of somebody who is trusted, and the algorithms that fit its type."""

    kid: str | None
    algorithms: frozenset[str]
    key: OKPKey | ECKey | RSAKey = field(repr=False)

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> TrustedKey | None:
        """The key in a JWK (RFC 7517); None for one that signatures cannot be checked with here.

        Only public members are looked at. Raises SignatureError for a key of a known type that is
        malformed or weak.
        """
        key: OKPKey | ECKey | RSAKey
        try:
            if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
                return None
            match jwk.get("kty"), jwk.get("crv"):
                case "OKP", "Ed25519":
                    fits = ED25519
                    key = OKPKey.import_key({name: jwk[name] for name in ("kty", "crv", "x")})
                case "EC", "P-256":
                    fits = frozenset({"ES256"})
                    key = ECKey.import_key({name: jwk[name] for name in ("kty", "crv", "x", "y")})
                case "RSA", _:
                    key = RSAKey.import_key({name: jwk[name] for name in ("kty", "n", "e")})
                    fits = frozenset({"RS256", "PS256"})
                    if int.from_bytes(unb64(jwk["n"]), "big").bit_length() not in RSA_BITS:
                        raise SignatureError(
                            "an RSA key of an issuer has fewer than 2048 or more than 8192 bits"
                        )
                case _:
                    return None
            # an invalid point or modulus is refused here, not at the first token
            _ = key.public_key
        except (JoseError, KeyError, ValueError, TypeError) as error:
            raise SignatureError("an issuer's key set holds a malformed key") from error
        stated, kid = jwk.get("alg"), jwk.get("kid")
        if stated is not None:
            fits = frozenset(
                name
                for name in fits
                if name == stated or (name in ED25519 and stated in tuple(ED25519))
            )
        return cls(kid if isinstance(kid, str) else None, fits, key)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _no_such_number(_: str) -> None:
    raise ValueError("not a JSON number")


def _shallow(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_shallow(item, levels - 1) for item in inner)


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object from outside: no doubled names, not deep. Raises ValueError."""
    try:
        found = json.loads(data.decode(), object_pairs_hook=_object, parse_constant=_no_such_number)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(found, dict) or not _shallow(found, MAX_DEPTH):
        raise ValueError("not an object, or nested too deeply")
    return found


def read_jwt(token: str) -> Jwt:
    """Take a compact JWS apart, strictly; raises SignatureError."""
    if len(token) > MAX_TOKEN:
        raise SignatureError(f"a token has at most {MAX_TOKEN} characters")
    try:
        head, body, signature = token.split(".")
        header, claims = read_object(unb64(head)), read_object(unb64(body))
        raw = unb64(signature)
    except ValueError as error:
        raise SignatureError(
            "not a token: three parts of base64url, the first two JSON objects"
        ) from error
    algorithm, typ, kid = header.get("alg"), header.get("typ"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise SignatureError("the token is not signed with an algorithm that is accepted here")
    if "crit" in header or "b64" in header:
        raise SignatureError("the token uses an extension that is not understood here")
    if not isinstance(typ, str | None) or not isinstance(kid, str | None):
        raise SignatureError("the token's header is malformed")
    return Jwt(algorithm, typ, kid, claims, f"{head}.{body}".encode(), raw)


def _peek(token: str, name: str) -> str | None:
    head = token.partition(".")[0]
    if len(head) > MAX_HEADER:
        return None
    try:
        value = read_object(unb64(head)).get(name)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def peek_typ(token: str) -> str | None:
    """The ``typ`` that a token claims, to choose how to verify it; None where there is none."""
    return _peek(token, "typ")


def peek_kid(token: str) -> str | None:
    """The ``kid`` that a token claims, to choose which of its maker's keys to verify it with."""
    return _peek(token, "kid")


def check_signature(jwt: Jwt, key: TrustedKey, typs: frozenset[str | None]) -> None:
    """Raises SignatureError unless ``key`` made the signature, by an algorithm of its own type, on
    one of ``typs``."""
    if (jwt.typ.lower() if jwt.typ else None) not in typs:
        raise SignatureError("this is another kind of token")
    if jwt.algorithm not in key.algorithms:
        raise SignatureError("the token's algorithm does not fit its issuer's key")
    try:
        holds = _MODELS[jwt.algorithm].verify(jwt.signed, jwt.signature, key.key)
    except (JoseError, ValueError) as error:
        raise SignatureError("the token's signature cannot be checked") from error
    if not holds:
        raise SignatureError("the token's signature does not verify")
