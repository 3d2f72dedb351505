"""Homes of the apps that people reach from outside, the portal and a lender's counter: what such an
app must know, and whom it believes."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import httpx
from pydantic import Field

from crypto.errors import SignatureError
from crypto.keys import PublicKey, replace_file
from ops.settings import HomeSettings
from protocol.errors import BadSettings
from protocol.parties import Consortium
from screens.house.issuers import LoginIssuer, LoginIssuers
from screens.house.login import LogIn
from screens.house.pace import PER_MINUTE, WAYS_IN_PER_MINUTE

CONSORTIUM_FILE, CA_FILE = "consortium.jws", "ca.crt"


class PublicSettings(HomeSettings):
    """What such an app must know, in a file of its home that is named for it. The consortium
    document is beside it, and the certificate authority of the services that it asks if it is not
    one of the system's."""

    pinned: ClassVar[frozenset[str]] = frozenset({"registry_key", "issuers"})
    file: ClassVar[str]

    registry_url: str = Field(pattern=r"^https?://[^\s?#]+$")
    registry_key: str = Field(min_length=43, max_length=43)
    """Trust anchor: the key that has signed the consortium document."""
    origin: str = Field(pattern=r"^https?://[^\s/?#]+$")
    """Where people reach the app; never read off a request."""
    issuers: tuple[LoginIssuer, ...] = Field(min_length=1, max_length=20)
    per_minute: int = Field(default=PER_MINUTE, ge=10, le=1_000_000)
    """Pages and forms of one visit."""
    ways_in_per_minute: int = Field(default=WAYS_IN_PER_MINUTE, ge=10, le=1_000_000)
    """Steps of logging in of one address, of which a log-in has two. Behind a proxy of one's own
    everybody has the proxy's address."""
    zone: str = "Asia/Shanghai"
    """Of the times that pages show."""

    @property
    def key(self) -> PublicKey:
        return PublicKey.from_text(self.registry_key)

    def verified(self, document: str, path: Path) -> Consortium:
        """The consortium document, read from ``path``. Raises BadSettings: the registry's key has
        not signed it, or it does not name whom these settings name."""
        try:
            found = Consortium.verify(document, self.key)
            self.expect(found)
        except (SignatureError, ValueError) as error:
            raise BadSettings(f"{path}: {error}") from error
        return found

    def expect(self, consortium: Consortium) -> None:
        """Raises ValueError, SignatureError: it does not name whom these settings name."""


Settings = TypeVar("Settings", bound=PublicSettings)


class PublicHome(Generic[Settings]):
    """An open home. Raises BadSettings: a setting is missing or wrong, or the consortium document
    does not verify."""

    def __init__(self, home: Path, schema: type[Settings]) -> None:
        self.settings = schema.read(home / schema.file)
        document = home / CONSORTIUM_FILE
        self.document = document.read_text(encoding="utf-8").strip()
        self.consortium = self.settings.verified(self.document, document)
        authority = home / CA_FILE
        self._verify: ssl.SSLContext | bool = (
            ssl.create_default_context(cafile=str(authority)) if authority.exists() else True
        )

    def client(
        self, url: str, timeout_s: float, transport: httpx.AsyncBaseTransport | None
    ) -> httpx.AsyncClient:
        """To a service; ``url`` may be empty."""
        return httpx.AsyncClient(
            base_url=url, timeout=timeout_s, verify=self._verify, transport=transport
        )

    def login(self, http: httpx.AsyncClient, clock: Callable[[], datetime]) -> LogIn:
        """The way to the issuers, which ``http`` reaches."""
        back, several = f"{self.settings.origin}/callback", len(self.settings.issuers) > 1
        return LogIn(LoginIssuers(http, clock), back, several)


def create_public_home(
    home: Path,
    schema: type[PublicSettings],
    said: Mapping[str, Any],
    document: str,
    authority: Path | None,
) -> None:
    """Make a home; raises BadSettings, and then nothing is made."""
    settings = schema.model_validate(dict(said))
    settings.verified(document.strip(), home / CONSORTIUM_FILE)
    if home.exists():
        raise BadSettings(f"{home} is there already; a home is made once")
    home.mkdir(parents=True)
    replace_file(home / CONSORTIUM_FILE, document.strip().encode())
    if authority is not None:
        replace_file(home / CA_FILE, authority.read_bytes())
    text = json.dumps(settings.model_dump(mode="json"), indent=2)
    replace_file(home / schema.file, text.encode())
