"""An issuer of log-ins that answers without a socket, and says of somebody what it is told to say."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet


class SayingIssuer:
    """``known``: more of its description. ``paths`` counts what it was asked for; ``forms`` are what it was sent for
    codes; ``asked`` is how somebody was sent to it."""

    def __init__(self, url: str, client_id: str, subject: str, **known: Any) -> None:
        self.url, self.client_id, self.subject = url, client_id, subject
        self.known = {
            "issuer": url, "authorization_endpoint": f"{url}/a", "token_endpoint": f"{url}/t", "jwks_uri": f"{url}/k",
        } | known  # fmt: skip
        self.key = ECKey.generate_key("P-256", {"kid": "k"})
        self.asked: dict[str, str] = {}
        self.header: dict[str, str] = {"alg": "ES256", "kid": "k"}
        self.signer: Any = self.key
        self.claims: dict[str, Any] = {}
        self.forms: list[dict[str, str]] = []
        self.paths: Counter[str] = Counter()
        self.now = datetime.now(UTC)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.paths[request.url.path] += 1
        match request.url.path:
            case "/.well-known/openid-configuration":
                return httpx.Response(200, json=self.known)
            case "/k":
                return httpx.Response(200, json=KeySet([self.key]).as_dict(private=False))
            case _:
                self.forms.append(dict(parse_qsl(request.content.decode())))
                return httpx.Response(200, json={"id_token": self.token})

    @property
    def token(self) -> str:
        at = int(self.now.timestamp())
        said = {
            "iss": self.url, "aud": self.client_id, "sub": self.subject, "nonce": self.asked["nonce"], "iat": at,
            "exp": at + 60, "auth_time": at,
        }  # fmt: skip
        claims = {name: one for name, one in (said | self.claims).items() if one is not None}
        return jwt.encode(self.header, claims, self.signer, algorithms=[self.header["alg"]])
