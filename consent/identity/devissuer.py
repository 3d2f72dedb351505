"""An OIDC issuer for development: it says of anybody what it is asked to, so it exists on this
machine only.

It starts where ``TAHINI_ENVIRONMENT`` is ``development`` and nowhere else; unset means production.
Its key is made at each start, and nothing is stored. A browser logs in as with a real issuer:
authorization code with PKCE, a page that asks who one is, ``prompt=none`` where that was asked
within the hour. ``POST /authorize`` gives an ID token to whoever asks, for programs. The subject
travels in bodies, never in a URL.
"""

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from joserfc import jws
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from consent.identity.devcodes import (
    MAX_SUBJECT,
    SESSION_LIFETIME,
    CodeRequest,
    Logins,
    answered_at,
    login_page,
    origin_on_this_machine,
)
from consent.identity.errors import IdentityMisconfigured, TokenRefused
from consent.identity.exchange import read_form
from consent.identity.settings import ENVIRONMENT, check_url, in_development
from crypto.documents import canonical_json
from crypto.keys import SigningKey
from crypto.sentences import one_sentence
from ops.http import NO_SCRIPTS, application
from protocol.schema import now

LIFETIME_S = 300
SESSION = "tahini-development-issuer"
"""Cookie of a browser that has logged in. Without ``Secure``: this is http, to this machine."""
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
    """An ID token for whoever was asked about, with ``changes`` to its claims; None takes one
    out."""
    moment = int(now().timestamp())
    claims = {
        "iss": issuer,
        "sub": asked.subject,
        "aud": asked.client_id,
        "nonce": asked.nonce,
        "iat": moment,
        "exp": moment + LIFETIME_S,
        "jti": secrets.token_urlsafe(16),
        "auth_time": moment,
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    header = {"alg": "Ed25519", "typ": "JWT", "kid": key.public.thumbprint}
    return jws.serialize_compact(header, canonical_json(claims), key.jwk, algorithms=["Ed25519"])


def public_jwks(key: SigningKey) -> dict[str, Any]:
    """The issuer's key set (RFC 7517)."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": key.public.text, "use": "sig", "alg": "Ed25519"}
    return {"keys": [{**jwk, "kid": key.public.thumbprint}]}


def create_issuer(
    issuer: str, key: SigningKey | None = None, clock: Callable[[], datetime] = now
) -> FastAPI:
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
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint": f"{issuer}/token",
            "token_endpoint_auth_methods_supported": ["none"],
            "jwks_uri": f"{issuer}/jwks.json",
            "scopes_supported": ["openid"],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": ["Ed25519"],
            "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "auth_time"],
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

    _serve_codes(app, issuer, key, clock)
    return app


def _serve_codes(app: FastAPI, issuer: str, key: SigningKey, clock: Callable[[], datetime]) -> None:
    """Logins in a browser: the page, the code, the token."""
    logins = Logins()

    @app.exception_handler(TokenRefused)
    def no_token(_: Request, error: TokenRefused) -> JSONResponse:
        """RFC 6749 section 5.2."""
        body = {"error": error.error, "error_description": str(error)}
        return JSONResponse(body, error.status, NO_STORE)

    def asked_in(fields: Mapping[str, str]) -> CodeRequest | Response:
        """The request, or the answer to one that is none: back to the client, if it is on this
        machine (RFC 6749 section 4.1.2.1)."""
        if origin_on_this_machine(fields.get("redirect_uri", "")) is None:
            raise TokenRefused("invalid_request", "redirect_uri must be an address on this machine")
        try:
            return CodeRequest.model_validate(fields)
        except ValidationError as error:
            told = {"error": "invalid_request", "error_description": one_sentence(error)}
            told |= {"state": fields["state"]} if fields.get("state") else {}
            return _sent(answered_at(fields["redirect_uri"], issuer, **told))

    @app.get("/authorize")
    async def ask(request: Request) -> Response:
        """Ask who it is; with ``prompt=none`` whoever logged in before, without a question."""
        asked = asked_in(dict(request.query_params))
        if isinstance(asked, Response):
            return asked
        session = request.cookies.get(SESSION, "")
        if asked.prompt != "none":
            policy = (
                f"{NO_SCRIPTS}; form-action 'self' {origin_on_this_machine(asked.redirect_uri)}"
            )
            headers = NO_STORE | {"Content-Security-Policy": policy}
            return HTMLResponse(login_page(asked), headers=headers)
        if logins.known(session, asked.max_age, clock()) is None:
            return _sent(asked.back(issuer, error="login_required"))
        return _sent(asked.back(issuer, code=logins.hand_out(asked, session, clock())))

    @app.post("/login")
    async def log_in(request: Request) -> Response:
        """Whoever it says, back at the client with a code."""
        fields = read_form(request.headers.get("content-type", ""), await request.body())
        asked = asked_in(fields)
        if isinstance(asked, Response):
            return asked
        subject = fields.get("subject", "").strip()
        if not 0 < len(subject) <= MAX_SUBJECT:
            raise TokenRefused("invalid_request", "subject must be 1 to 255 characters")
        session = logins.begin(subject, clock())
        answer = _sent(asked.back(issuer, code=logins.hand_out(asked, session, clock())))
        answer.set_cookie(
            SESSION,
            session,
            max_age=int(SESSION_LIFETIME.total_seconds()),
            httponly=True,
            samesite="lax",
        )
        return answer

    @app.post("/token")
    async def token(request: Request) -> JSONResponse:
        """An ID token for a code, to whoever has the verifier of its challenge."""
        fields = read_form(request.headers.get("content-type", ""), await request.body())
        asked, who = logins.redeem(fields, clock())
        about = Authorize(subject=who.subject, nonce=asked.nonce, client_id=asked.client_id)
        id_token = issue_id_token(key, issuer, about, auth_time=int(who.at.timestamp()))
        body = {
            "id_token": id_token,
            "access_token": secrets.token_urlsafe(32),
            "token_type": "Bearer",
            "expires_in": LIFETIME_S,
            "scope": "openid",
        }
        return JSONResponse(body, headers=NO_STORE)


def _sent(target: str) -> RedirectResponse:
    return RedirectResponse(target, 303, headers=NO_STORE | {"Referrer-Policy": "no-referrer"})
