"""What the development issuer remembers between a login page and a token: who has logged in, in
this browser, and which codes were handed out. In memory alone.

The authorization code flow of OpenID Connect Core 1.0 section 3.1 with PKCE (RFC 7636) and the
issuer in the answer (RFC 9207). Clients are public, and on this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from html import escape
from typing import Literal
from urllib.parse import urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field

from consent.identity.errors import TokenRefused
from consent.identity.settings import is_loopback
from crypto.keys import b64

CODE_LIFETIME = timedelta(minutes=1)
SESSION_LIFETIME = timedelta(hours=1)
MAX_REMEMBERED = 1000
MAX_SUBJECT = 255


class CodeRequest(BaseModel):
    """What a client asks in the browser (OpenID Connect Core 1.0 section 3.1.2.1). Other parameters
    are not looked at."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    response_type: Literal["code"]
    client_id: str = Field(min_length=1, max_length=255)
    redirect_uri: str = Field(min_length=1, max_length=2000)
    scope: str = Field(pattern=r"^(.* )?openid( .*)?$", max_length=200)
    state: str = Field(min_length=1, max_length=500)
    nonce: str = Field(min_length=1, max_length=200)
    code_challenge: str = Field(pattern=r"^[A-Za-z0-9_-]{43}$")
    code_challenge_method: Literal["S256"]
    prompt: Literal["none", "login"] | None = None
    max_age: int | None = Field(default=None, ge=0)
    """Seconds since the login that the client takes at most."""

    def back(self, issuer: str, **told: str) -> str:
        """Where the browser goes with the answer."""
        return answered_at(self.redirect_uri, issuer, state=self.state, **told)


def answered_at(redirect_uri: str, issuer: str, **told: str) -> str:
    """A client's address with an answer in its query."""
    joined = "&" if urlsplit(redirect_uri).query else "?"
    return f"{redirect_uri}{joined}{urlencode({**told, 'iss': issuer})}"


def origin_on_this_machine(url: str) -> str | None:
    """The origin of a client's address; None for an address elsewhere, to which nobody is sent."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    named = f"[{host}]" if ":" in host else host
    written = f"{parts.scheme}://{named}{'' if port is None else f':{port}'}"
    plain = url.isascii() and url.isprintable() and not set(url) & set(" \"'<>\\#;,")
    whole = parts.scheme in {"http", "https"} and parts.netloc == written.partition("//")[2]
    return written if plain and whole and is_loopback(host) else None


@dataclass(frozen=True)
class Authenticated:
    """Who has logged in, and when."""

    subject: str = field(repr=False)
    at: datetime


@dataclass(frozen=True)
class _Handed:
    asked: CodeRequest
    who: Authenticated
    ends: datetime


@dataclass
class Logins:
    """Sessions of browsers, and codes that were not used yet: the newest of each."""

    _sessions: OrderedDict[str, Authenticated] = field(default_factory=OrderedDict, repr=False)
    _codes: OrderedDict[str, _Handed] = field(default_factory=OrderedDict, repr=False)

    def begin(self, subject: str, moment: datetime) -> str:
        """The name of a new session, in which this subject is logged in."""
        name = secrets.token_urlsafe(32)
        self._sessions[name] = Authenticated(subject, moment)
        if len(self._sessions) > MAX_REMEMBERED:
            self._sessions.popitem(last=False)
        return name

    def known(self, name: str, max_age: int | None, moment: datetime) -> Authenticated | None:
        """Who is logged in in this session, if that is recent enough for the client."""
        found = self._sessions.get(name)
        most = SESSION_LIFETIME if max_age is None else timedelta(seconds=max_age)
        if found is None or moment - found.at > min(most, SESSION_LIFETIME):
            return None
        return found

    def hand_out(self, asked: CodeRequest, session: str, moment: datetime) -> str:
        """A code for whoever is logged in in this session. It acts once, within a minute."""
        code = secrets.token_urlsafe(32)
        self._codes[code] = _Handed(asked, self._sessions[session], moment + CODE_LIFETIME)
        if len(self._codes) > MAX_REMEMBERED:
            self._codes.popitem(last=False)
        return code

    def redeem(
        self, form: Mapping[str, str], moment: datetime
    ) -> tuple[CodeRequest, Authenticated]:
        """What a code was handed out for; a code that was tried is gone. Raises TokenRefused."""
        if form.get("grant_type") != "authorization_code":
            raise TokenRefused("unsupported_grant_type", "the grant here is authorization_code")
        handed = self._codes.pop(form.get("code", ""), None)
        if handed is None or moment >= handed.ends:
            raise TokenRefused("invalid_grant", "the code is unknown, used, or too old")
        verifier = form.get("code_verifier", "").encode("utf-8", "replace")
        challenge = b64(hashlib.sha256(verifier).digest())
        asked = handed.asked
        same = (form.get("client_id"), form.get("redirect_uri")) == (
            asked.client_id,
            asked.redirect_uri,
        )
        if not same or not hmac.compare_digest(challenge, asked.code_challenge):
            raise TokenRefused("invalid_grant", "the code was handed out for another request")
        return asked, handed.who


def login_page(asked: CodeRequest) -> str:
    """The page on which one says who one is. Nothing in it runs, and it loads nothing."""
    fields = asked.model_dump(exclude_none=True, exclude={"prompt"})
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(str(value))}">'
        for name, value in fields.items()
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        "<title>Development login · 开发登录</title><style>body{font:1rem/1.6 sans-serif;"
        "max-width:24rem;margin:2rem auto;padding:0 1rem}input,button{font:inherit;width:100%;"
        "min-height:44px;box-sizing:border-box}button{margin-top:1rem}</style></head><body>"
        '<h1>Development login · <span lang="zh-Hans">开发登录</span></h1>'
        "<p>For development only: anybody can log in as anybody.</p>"
        '<p lang="zh-Hans">仅供开发使用：任何人都可以任何身份登录。</p>'
        f'<form method="post" action="/login">{hidden}<label for="subject">Who are you? · '
        '<span lang="zh-Hans">您是谁？</span></label><input id="subject" name="subject" '
        f'required maxlength="{MAX_SUBJECT}" autocomplete="off" autofocus>'
        '<button>Log in · <span lang="zh-Hans">登录</span></button></form></body></html>'
    )
