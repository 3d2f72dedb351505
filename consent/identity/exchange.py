"""The token endpoint (RFC 6749 section 3.2): an assertion for an access token. Two grants:

- ``urn:ietf:params:oauth:grant-type:jwt-bearer`` (RFC 7523 section 2.1): a borrower's ID token,
  whose nonce is one of ours and acts once;
- ``client_credentials`` with ``private_key_jwt`` (RFC 7523 section 2.2): an institution's
  assertion, signed with a live key of its own, for this registry, for at most five minutes, whose
  ``jti`` acts once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from joserfc import jws
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consent.identity.callers import Caller
from consent.identity.errors import ActedBefore, TokenRefused
from consent.identity.issuers import SKEW_S, Issuers
from consent.identity.jwts import ED25519, TrustedKey, check_signature, read_jwt
from consent.identity.keys import PartyKeys
from consent.identity.limits import CallKind, RateLimits
from consent.identity.links import Links
from consent.identity.single_use import Challenges, use_once
from consent.identity.tokens import LIFETIME, AccessTokens
from consent.registry import Registry
from crypto.documents import canonical_json
from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey
from protocol.errors import NotAuthenticated
from protocol.parties import Party

FORM = "application/x-www-form-urlencoded"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
CLIENT_CREDENTIALS = "client_credentials"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
MAX_FORM_BYTES = 40_000
MAX_FIELDS = 16
ASSERTION_LIFETIME = timedelta(minutes=5)
_TYPS: frozenset[str | None] = frozenset({None, "jwt", "client-authentication+jwt"})
_PSEUDONYM = re.compile(r"v[0-9]{1,3}\.[A-Za-z0-9_-]{43}")
_NO_CLIENT = (
    "the client assertion does not verify; see the registry's page on identity for what it must say"
)


class ClientAssertion(BaseModel):
    """The claims of RFC 7523 section 3. Others are allowed and not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, hide_input_in_errors=True)

    iss: str = Field(max_length=100)
    sub: str = Field(max_length=100)
    aud: str | list[str]
    exp: int | float
    iat: int | float | None = None
    nbf: int | float | None = None
    jti: str = Field(min_length=16, max_length=128)


class Granted(BaseModel):
    """RFC 6749 section 5.1."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int = int(LIFETIME.total_seconds())


def client_assertion(key: SigningKey, party: str, audience: str, moment: datetime, jti: str) -> str:
    """What an institution sends as ``client_assertion``. ``jti``: at least 16 random characters,
    never used before."""
    at = int(moment.timestamp())
    claims = {"iss": party, "sub": party, "aud": audience, "iat": at, "exp": at + 60, "jti": jti}
    header = {"alg": "Ed25519", "typ": "JWT", "kid": key.public.thumbprint}
    return jws.serialize_compact(header, canonical_json(claims), key.jwk, algorithms=["Ed25519"])


def read_form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields of a request to the token endpoint.

    Fields that are not known are ignored, as RFC 6749 section 3.2 demands; doubled ones are
    refused.

    Raises:
        TokenRefused: not a form of a size that makes sense.
    """
    if content_type.partition(";")[0].strip().lower() != FORM:
        raise TokenRefused("invalid_request", f"the token endpoint takes {FORM}")
    if len(body) > MAX_FORM_BYTES:
        raise TokenRefused("invalid_request", f"a token request has at most {MAX_FORM_BYTES} bytes")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError as error:
        raise TokenRefused("invalid_request", "the token request is not a form") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise TokenRefused("invalid_request", "a field of the token request stands twice")
    return fields


@dataclass(frozen=True)
class Exchange:
    """Assertions in, access tokens out. Blocking: it asks the database, and perhaps an issuer."""

    registry: Registry
    issuers: Issuers
    keys: PartyKeys
    links: Links
    tokens: AccessTokens
    challenges: Challenges
    limits: RateLimits

    def grant(self, fields: dict[str, str]) -> Granted:
        """Raises TokenRefused, IssuerUnavailable or TooManyRequests."""
        grants: dict[str, Callable[[dict[str, str]], Granted]] = {
            JWT_BEARER: self._borrower,
            CLIENT_CREDENTIALS: self._institution,
        }
        if "grant_type" not in fields:
            raise TokenRefused("invalid_request", "the token request has no grant_type")
        if fields["grant_type"] not in grants:
            raise TokenRefused("unsupported_grant_type", f"grants here are {' and '.join(grants)}")
        return grants[fields["grant_type"]](fields)

    # --- borrowers

    def _borrower(self, fields: dict[str, str]) -> Granted:
        token = fields.get("assertion", "")
        moment = self.registry.clock()
        if not token:
            raise TokenRefused("invalid_request", "the token request has no assertion")
        try:
            verified = self.issuers.verify(token, moment)
            ends = self.challenges.check(verified.nonce, moment)
            login = self.links.login(verified)
            self.limits.of_borrower(login, CallKind.LOGIN)
            with self.registry.ledger.database.write() as session:
                use_once(session, "nonce", verified.nonce, ends, moment)
        except (SignatureError, ActedBefore) as error:
            raise TokenRefused("invalid_grant", str(error)) from error
        pseudonym = None
        if verified.issuer.subject_is_pseudonym:
            pseudonym = verified.subject if _PSEUDONYM.fullmatch(verified.subject) else ""
            if pseudonym not in self.links.subjects(login, pseudonym, verified.counter_of):
                raise TokenRefused(
                    "invalid_grant", "the login is not that of an enrolled customer of its lender"
                )
        access = self.tokens.mint(
            login.subject_hash,
            verified.client,
            Caller.SUBJECT,
            login_issuer=login.issuer,
            pseudonym=pseudonym,
            counter_of=verified.counter_of,
            evidence=verified.token_sha256,
            auth_time=verified.auth_time,
        )
        return Granted(access_token=access)

    # --- institutions

    def _institution(self, fields: dict[str, str]) -> Granted:
        moment = self.registry.clock()
        if fields.get("client_assertion_type") != ASSERTION_TYPE or not fields.get(
            "client_assertion"
        ):
            raise TokenRefused(
                "invalid_client",
                f"authenticate with a client_assertion of type {ASSERTION_TYPE}",
                401,
            )
        try:
            party, key, claims = self._client(fields["client_assertion"], moment)
            if fields.get("client_id", party.id) != party.id:
                raise TokenRefused(
                    "invalid_client", "client_id names another than the assertion", 401
                )
            self.limits.of_party(party, CallKind.LOGIN)
            with self.registry.ledger.database.write() as session:
                self.keys.find_now(session, party, key.thumbprint)
                ends = datetime.fromtimestamp(claims.exp + SKEW_S, UTC)
                use_once(session, "assertion", f"{party.id}\n{claims.jti}", ends, moment)
        except ActedBefore as error:
            raise TokenRefused("invalid_client", str(error), 401) from error
        except (SignatureError, NotAuthenticated) as error:
            raise TokenRefused("invalid_client", _NO_CLIENT, 401) from error
        access = self.tokens.mint(party.id, party.id, Caller.of(party.role), key=key.thumbprint)
        return Granted(access_token=access)

    def _client(self, assertion: str, moment: datetime) -> tuple[Party, PublicKey, ClientAssertion]:
        """Whose assertion this is, and with which key. Raises SignatureError or
        NotAuthenticated."""
        jwt = read_jwt(assertion)
        try:
            claims = ClientAssertion.model_validate(jwt.claims)
        except ValidationError as error:
            raise SignatureError("a claim is missing or malformed") from error
        party = self.registry.consortium.party(claims.iss)
        key = self.keys.find(party, jwt.kid)
        check_signature(jwt, TrustedKey(jwt.kid, ED25519, key.jwk), _TYPS)
        at = moment.timestamp()
        audiences = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        here = {self.registry.me.id, self.issuers.settings.token_endpoint} - {None}
        if claims.sub != claims.iss or len(audiences) != 1 or audiences[0] not in here:
            raise SignatureError("it is about somebody else or for somebody else")
        if not at - SKEW_S < claims.exp <= at + ASSERTION_LIFETIME.total_seconds() + SKEW_S:
            raise SignatureError("it has expired or is valid for more than five minutes")
        if any(claim is not None and claim > at + SKEW_S for claim in (claims.iat, claims.nbf)):
            raise SignatureError("it is from the future")
        return party, key, claims
