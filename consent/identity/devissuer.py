"""An OIDC issuer for development: it says of anybody what it is asked to, so it exists on this
machine only.

It starts where ``TAHINI_ENVIRONMENT`` is ``development`` and nowhere else; unset means production.
Its key is made at each start, and nothing is stored. What a real issuer does behind a login page,
``POST /authorize`` does for whoever asks; the subject travels in the body, never in a URL.
"""

import secrets
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from joserfc import jws
from pydantic import BaseModel, ConfigDict, Field

from consent.identity.errors import IdentityMisconfigured
from consent.identity.settings import ENVIRONMENT, check_url, in_development
from crypto.documents import canonical_json
from crypto.keys import SigningKey
from crypto.sentences import one_sentence
from ops.http import application
from protocol.schema import now

LIFETIME_S = 300
NO_STORE = {"Cache-Control": "no-store"}


class Authorize(BaseModel):
    """Who logs in, at which client, with which nonce."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    subject: str = Field(min_length=1, max_length=255)
    nonce: str = Field(min_length=1, max_length=200)
    client_id: str = Field(min_length=1, max_length=255)


class Authorized(BaseModel):
    """The answer of OpenID Connect's implicit flow (Core 1.0 section 3.2), as JSON."""

    id_token: str


def issue_id_token(key: SigningKey, issuer: str, asked: Authorize, **changes: Any) -> str:
    """An ID token for whoever was asked about. ``changes`` to its claims are for tests; None takes
    one out."""
    moment = int(now().timestamp())
    claims = {
        "iss": issuer,
        "sub": asked.subject,
        "aud": asked.client_id,
        "nonce": asked.nonce,
        "iat": moment,
        "exp": moment + LIFETIME_S,
        "jti": secrets.token_urlsafe(16),
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    header = {"alg": "Ed25519", "typ": "JWT", "kid": key.public.thumbprint}
    return jws.serialize_compact(header, canonical_json(claims), key.jwk, algorithms=["Ed25519"])


def public_jwks(key: SigningKey) -> dict[str, Any]:
    """The issuer's key set (RFC 7517)."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": key.public.text, "use": "sig", "alg": "Ed25519"}
    return {"keys": [{**jwk, "kid": key.public.thumbprint}]}


def create_issuer(issuer: str, key: SigningKey | None = None) -> FastAPI:
    """The issuer's HTTP application.

    Args:
        issuer: its URL, ``http://127.0.0.1:…``.

    Raises:
        IdentityMisconfigured: this is not a development environment, or the URL is not of this
            machine.
    """
    if not in_development():
        raise IdentityMisconfigured(
            "the development issuer logs anybody in as anybody, so it starts only with "
            f"{ENVIRONMENT}=development"
        )
    check_url(issuer, development=True)
    key = key or SigningKey.generate()
    app = application("Tahini development issuer")

    @app.exception_handler(RequestValidationError)
    def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        """What was sent may hold an identity: it is not repeated."""
        body = {"error": "invalid_request", "error_description": one_sentence(error)}
        return JSONResponse(body, 422)

    @app.get("/.well-known/openid-configuration")
    def discovery() -> dict[str, Any]:
        """OpenID Connect Discovery 1.0 section 3."""
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "jwks_uri": f"{issuer}/jwks.json",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["Ed25519"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce"],
        }

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/jwks.json")
    def jwks() -> dict[str, Any]:
        return public_jwks(key)

    @app.post("/authorize")
    def authorize(asked: Authorize) -> JSONResponse:
        """Log in as anybody."""
        return JSONResponse(
            Authorized(id_token=issue_id_token(key, issuer, asked)).model_dump(), headers=NO_STORE
        )

    return app
