"""The portal's home: what it must know, whom it believes, where it listens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from crypto.errors import SignatureError
from crypto.keys import PublicKey, replace_file
from ops.serving import Listening
from ops.settings import HomeSettings
from protocol.errors import BadSettings
from protocol.parties import Consortium
from screens.house.login import LoginIssuer
from screens.house.pace import PER_MINUTE

SETTINGS_FILE, CONSORTIUM_FILE, CA_FILE = "portal.json", "consortium.jws", "ca.crt"


class PortalSettings(HomeSettings):
    """What a portal must know, in ``portal.json`` of its home. The consortium document is beside
    it, and the certificate authority of the registry if it is not one of the system's."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_PORTAL_")
    pinned: ClassVar[frozenset[str]] = frozenset({"registry_key", "issuers"})

    registry_url: str = Field(pattern=r"^https?://[^\s?#]+$")
    registry_key: str = Field(min_length=43, max_length=43)
    """Trust anchor: the key that has signed the consortium document."""
    origin: str = Field(pattern=r"^https?://[^\s/?#]+$")
    """Where people reach the portal; never read off a request."""
    issuers: tuple[LoginIssuer, ...] = Field(min_length=1, max_length=20)
    per_minute: int = Field(default=PER_MINUTE, ge=10, le=1_000_000)
    """Pages and forms of one visit."""
    zone: str = "Asia/Shanghai"
    """Of the times that pages show."""

    @property
    def key(self) -> PublicKey:
        return PublicKey.from_text(self.registry_key)


class PortalListening(Listening):
    """Where the portal is."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_PORTAL_")
    port: int = Field(default=8725, ge=1, le=65535)


class PortalHome:
    """An open home. Raises BadSettings: a setting is missing or wrong, or the consortium document
    is not signed by the registry's key."""

    def __init__(self, home: Path) -> None:
        self.settings = PortalSettings.read(home / SETTINGS_FILE)
        document = home / CONSORTIUM_FILE
        self.document = document.read_text(encoding="utf-8").strip()
        self.consortium = _pinned(self.document, self.settings, document)
        authority = home / CA_FILE
        self.authority = authority if authority.exists() else None

    @classmethod
    def open(cls, home: Path) -> Self:
        return cls(home)


def create_portal_home(
    home: Path, said: Mapping[str, Any], document: str, authority: Path | None
) -> None:
    """Make a home; raises BadSettings, and then nothing is made."""
    settings = PortalSettings.model_validate(dict(said))
    _pinned(document.strip(), settings, home / CONSORTIUM_FILE)
    if home.exists():
        raise BadSettings(f"{home} is there already; a home is made once")
    home.mkdir(parents=True)
    replace_file(home / CONSORTIUM_FILE, document.strip().encode())
    if authority is not None:
        replace_file(home / CA_FILE, authority.read_bytes())
    text = json.dumps(settings.model_dump(mode="json"), indent=2)
    replace_file(home / SETTINGS_FILE, text.encode())


def _pinned(document: str, settings: PortalSettings, path: Path) -> Consortium:
    try:
        return Consortium.verify(document, settings.key)
    except SignatureError as error:
        raise BadSettings(f"{path}: {error}") from error
