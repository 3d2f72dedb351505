"""Who an ID token is about (OpenID Connect Core 1.0 section 3.1.3.7): its signature checked with
the issuer's published keys, its claims with what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from screens.house.errors import LoginFailed
from screens.house.issuers import LoginIssuer

ALGORITHMS = ["EdDSA", "Ed25519", "ES256", "RS256", "PS256"]
"""Asymmetric ones: never ``none``, never an HMAC, whatever a header says (RFC 8725)."""
LEEWAY_S = 60


@dataclass(frozen=True)
class Identity:
    """Who it is at the issuer; when they showed it, where the issuer says so (``auth_time``)."""

    subject: str
    came_at: datetime | None


def identity_in(token: str, keys: Any, issuer: LoginIssuer, nonce: str, now: datetime) -> Identity:
    """
    Args:
        keys: the issuer's published ones, as it sent them.

    Raises:
        LoginFailed: it is not the issuer's word, not for us, not now, or not what was asked for.
    """
    try:
        claims = jwt.decode(token, KeySet.import_key_set(keys), algorithms=ALGORITHMS).claims
        _expected(issuer, nonce, now).validate(claims)
        came_at = _came_at(claims.get("auth_time"), now)
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, OSError) as error:
        raise LoginFailed from error
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != issuer.client_id:
        raise LoginFailed
    if not isinstance(claims["sub"], str):
        raise LoginFailed
    return Identity(claims["sub"], came_at)


def _came_at(said: object, now: datetime) -> datetime | None:
    """When they showed who they are. Raises ValueError: no time, or one that is to come."""
    if said is None:
        return None
    if not isinstance(said, int) or said > now.timestamp() + LEEWAY_S:
        raise ValueError("auth_time")
    return datetime.fromtimestamp(said, UTC)


def _expected(issuer: LoginIssuer, nonce: str, now: datetime) -> jwt.JWTClaimsRegistry:
    asked: dict[str, Any] = {
        "iss": {"essential": True, "value": issuer.issuer},
        "aud": {"essential": True, "value": issuer.client_id},
        "nonce": {"essential": True, "value": nonce},
        "sub": {"essential": True},
        "exp": {"essential": True},
        "iat": {"essential": True},
    }
    return jwt.JWTClaimsRegistry(now=int(now.timestamp()), leeway=LEEWAY_S, **asked)
