"""Verification of ID tokens (OpenID Connect Core 1.0 section 3.1.3.7) of the issuers that are
trusted.

The rules, in order: strict form (``jwts``); an issuer that is trusted; a key of that issuer and of
no other; an algorithm that the issuer is allowed and the key fits; ``aud`` holds a client of ours,
and where there are several or ``azp`` stands there, ``azp`` is it; ``exp``, ``iat``, ``nbf``
against the registry's clock; a nonce. That the nonce is one of ours and new is for
:mod:`consent.identity.single_use`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consent.identity.jwks import FetchedKeys, FixedKeys, usable_keys
from consent.identity.jwts import TrustedKey, check_signature, read_jwt
from consent.identity.settings import Issuer, IssuerSettings
from crypto.errors import SignatureError

SKEW_S = 30
_TYPS: frozenset[str | None] = frozenset({None, "jwt"})


class KeySource(Protocol):
    def find(self, kid: str | None) -> TrustedKey | None: ...


class IdToken(BaseModel):
    """The claims that are looked at. An issuer adds others (names, addresses): they are neither
    read nor kept."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    iss: str
    sub: str = Field(min_length=1, max_length=255)
    aud: str | list[str]
    azp: str | None = None
    exp: int | float
    iat: int | float
    nbf: int | float | None = None
    nonce: str = Field(max_length=200)
    auth_time: int | float | None = None
    """When they last showed who they are, which may be long before ``iat``."""


@dataclass(frozen=True)
class VerifiedLogin:
    """Who logged in. ``subject`` is the raw ``sub``: it stays in memory and is never stored, logged
    or answered."""

    issuer: Issuer
    subject: str = field(repr=False)
    nonce: str = field(repr=False)
    token_sha256: str
    client: str
    """Where: the portal's ``client_id`` or a counter's."""
    auth_time: int | None = None

    @property
    def counter_of(self) -> str | None:
        """The lender at whose own front it was; None at the portal."""
        return self.issuer.counters.get(self.client)


class Issuers:
    """The issuers that a registry trusts, each with its keys. Raises SignatureError where an inline
    key set is bad."""

    def __init__(self, settings: IssuerSettings) -> None:
        self.settings = settings
        self._issuers = {issuer.issuer: issuer for issuer in settings.issuers}
        self.keys: dict[str, KeySource] = {}
        for issuer in settings.issuers:
            if issuer.jwks is not None:
                self.keys[issuer.issuer] = FixedKeys(usable_keys({"keys": issuer.jwks["keys"]}))
            else:
                self.keys[issuer.issuer] = FetchedKeys(str(issuer.jwks_uri))

    def known(self, name: str) -> Issuer | None:
        return self._issuers.get(name)

    def verify(self, token: str, moment: datetime) -> VerifiedLogin:
        """Who this ID token says has logged in.

        Raises:
            SignatureError: it is not an ID token of a trusted issuer for us, now.
                IssuerUnavailable: its keys are not to be had.
        """
        jwt = read_jwt(token)
        try:
            claims = IdToken.model_validate(jwt.claims)
        except ValidationError as error:
            place = error.errors()[0]["loc"][0]
            raise SignatureError(f"the ID token has no {place} or a malformed one") from error
        issuer = self.known(claims.iss)
        if issuer is None:
            raise SignatureError("the ID token is of an issuer that is not trusted here")
        key = self.keys[issuer.issuer].find(jwt.kid)
        if key is None:
            raise SignatureError("the ID token is signed with a key that its issuer does not have")
        if jwt.algorithm not in issuer.algorithms:
            raise SignatureError(
                "the ID token is signed with an algorithm that is not accepted of this issuer"
            )
        check_signature(jwt, key, _TYPS)
        client = _client(claims, issuer)
        _check_times(claims, issuer, moment.timestamp())
        at = None if claims.auth_time is None else int(claims.auth_time)
        sha256 = hashlib.sha256(token.encode()).hexdigest()
        return VerifiedLogin(issuer, claims.sub, claims.nonce, sha256, client, at)


def _client(claims: IdToken, issuer: Issuer) -> str:
    """For which of our clients it was issued; raises SignatureError."""
    audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
    if not issuer.clients & set(audiences):
        raise SignatureError("the ID token was issued for another client")
    client = audiences[0] if claims.azp is None else claims.azp
    unsaid = claims.azp is None and len(audiences) > 1
    if unsaid or client not in audiences or client not in issuer.clients:
        raise SignatureError("the ID token was issued to another client")
    return client


def _check_times(claims: IdToken, issuer: Issuer, moment: float) -> None:
    if not moment < claims.exp + SKEW_S:
        raise SignatureError("the ID token has expired; log in again")
    if claims.iat > moment + SKEW_S or (claims.nbf is not None and claims.nbf > moment + SKEW_S):
        raise SignatureError("the ID token is from the future; check the clocks")
    if not claims.iat >= moment - issuer.max_token_age_s - SKEW_S:
        raise SignatureError("the ID token is too old; log in again")
