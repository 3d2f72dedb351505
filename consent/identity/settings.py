"""Trusted OIDC issuers, from ``issuers.json`` in the registry's home, and which environment this
is.

``TAHINI_ENVIRONMENT`` says ``development`` or it is production: what is forgotten is refused. Plain
HTTP, to this machine only, and the development issuer exist in development alone.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from consent.identity.errors import IdentityMisconfigured
from crypto.sentences import one_sentence
from protocol.parties import Consortium
from protocol.schema import Slug

ENVIRONMENT = "TAHINI_ENVIRONMENT"
ISSUERS_FILE = "issuers.json"


def in_development() -> bool:
    return os.environ.get(ENVIRONMENT) == "development"


class Issuer(BaseModel):
    """One issuer whose ID tokens are believed, and about whom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, max_length=255)
    """Exactly as it stands in ``iss``."""
    audience: str = Field(min_length=1, max_length=255)
    """The ``client_id`` of the borrowers' portal at this issuer."""
    jwks_uri: str | None = Field(default=None, max_length=2000)
    jwks: dict[Literal["keys"], list[dict[str, Any]]] | None = None
    """The key set itself, for an issuer that cannot be reached; instead of ``jwks_uri``."""
    algorithms: tuple[Literal["EdDSA", "Ed25519", "ES256", "RS256", "PS256"], ...] = Field(
        min_length=1
    )
    lenders: tuple[Slug, ...] = ()
    """Whose customers it may speak for; all lenders' where this is empty."""
    counters: dict[str, Slug] = Field(default_factory=dict, max_length=100)
    """Lenders' own fronts for their borrowers at this issuer, by ``client_id``: whose each is. Who
    logs in there is that lender's customer, and speaks as nobody else's."""
    subject_is_pseudonym: bool = False
    """A lender's own login, whose ``sub`` is the pairwise pseudonym."""
    max_token_age_s: int = Field(default=600, ge=1, le=3600)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.jwks_uri is None) == (self.jwks is None):
            raise ValueError("an issuer has either jwks_uri or jwks")
        if self.jwks is not None and "keys" not in self.jwks:
            raise ValueError("jwks is a key set: an object with a list of keys")
        if self.subject_is_pseudonym and not self.lenders:
            raise ValueError(
                "an issuer whose subjects are pseudonyms names the lenders that it speaks for"
            )
        return self

    @model_validator(mode="after")
    def _own_clients(self) -> Self:
        if self.audience in self.counters:
            raise ValueError("the portal's client_id is no counter's")
        if not all(map(self.speaks_for, self.counters.values())):
            raise ValueError("a counter is of a lender that the issuer does not speak for")
        return self

    @property
    def clients(self) -> frozenset[str]:
        """Everybody here for whom its ID tokens are made."""
        return frozenset({self.audience, *self.counters})

    def speaks_for(self, lender: str) -> bool:
        return not self.lenders or lender in self.lenders


class IssuerSettings(BaseModel):
    """``issuers.json``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_endpoint: str | None = Field(default=None, max_length=2000)
    """This registry's own token endpoint as the world sees it: an audience of client assertions."""
    issuers: tuple[Issuer, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [issuer.issuer for issuer in self.issuers]
        if len(set(names)) != len(names):
            raise ValueError("an issuer is named twice")
        return self


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_url(url: str, development: bool) -> None:
    """Raises IdentityMisconfigured unless ``url`` is https, or in development http to this
    machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise IdentityMisconfigured("a URL in issuers.json is not one") from None
    plain = parts.scheme == "http" and is_loopback(host)
    if not host or parts.username or not (parts.scheme == "https" or (plain and development)):
        raise IdentityMisconfigured(
            f"an issuer at {parts.scheme or 'no'}://{host} is not trusted: use https (http to this "
            f"machine only in development, with {ENVIRONMENT}=development)"
        )


def load_issuers(
    home: Path, consortium: Consortium, development: bool | None = None
) -> IssuerSettings:
    """The issuers that the registry in ``home`` trusts; none without an ``issuers.json``.

    Raises:
        IdentityMisconfigured: the file does not fit its schema, names a stranger as a lender, or
            trusts plain HTTP.
    """
    path = home / ISSUERS_FILE
    if not path.exists():
        return IssuerSettings()
    try:
        settings = IssuerSettings.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise IdentityMisconfigured(f"cannot read {path}; check its permissions") from error
    except ValidationError as error:
        raise IdentityMisconfigured(
            f"{path} does not fit its schema: {one_sentence(error)}"
        ) from error
    development = in_development() if development is None else development
    known = {lender.id for lender in consortium.lenders}
    for issuer in settings.issuers:
        check_url(issuer.issuer, development)
        if issuer.jwks_uri is not None:
            check_url(issuer.jwks_uri, development)
        if strangers := sorted({*issuer.lenders, *issuer.counters.values()} - known):
            raise IdentityMisconfigured(
                f"{path} lets an issuer speak for {strangers[0]!r}, which is not a lender"
            )
    if settings.token_endpoint is not None:
        check_url(settings.token_endpoint, development)
    return settings
