"""The counter's home: what it must know, whom it believes, where it listens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from crypto.errors import SignatureError
from crypto.keys import PublicKey, replace_file
from ops.serving import Listening
from ops.settings import HomeSettings
from protocol.errors import BadSettings
from protocol.parties import Consortium, Role
from protocol.schema import Slug
from screens.house.login import LoginIssuer

SETTINGS_FILE, CONSORTIUM_FILE, CA_FILE = "counter.json", "consortium.jws", "ca.crt"


class CounterSettings(HomeSettings):
    """What a counter must know, in ``counter.json`` of its home. The consortium document is beside
    it, and the certificate authority of registry and desk if it is not one of the system's."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_COUNTER_")
    pinned: ClassVar[frozenset[str]] = frozenset({"registry_key", "issuers", "lender"})

    lender: Slug
    """Whose front it is."""
    desk_url: str = Field(pattern=r"^https?://[^\s?#]+$")
    registry_url: str = Field(pattern=r"^https?://[^\s?#]+$")
    registry_key: str = Field(min_length=43, max_length=43)
    """Trust anchor: the key that has signed the consortium document."""
    origin: str = Field(pattern=r"^https?://[^\s/?#]+$")
    """Where people reach the counter; never read off a request."""
    issuers: tuple[LoginIssuer, ...] = Field(min_length=1, max_length=20)
    zone: str = "Asia/Shanghai"
    """Of the times that pages show."""


class CounterListening(Listening):
    """Where the counter is."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_COUNTER_")
    port: int = Field(default=8721, ge=1, le=65535)


class CounterHome:
    """An open home. Raises BadSettings: a setting is missing or wrong, the consortium document is
    not signed by the registry's key, or it does not name the lender."""

    def __init__(self, home: Path) -> None:
        self.settings = CounterSettings.read(home / SETTINGS_FILE)
        document = home / CONSORTIUM_FILE
        self.document = document.read_text(encoding="utf-8").strip()
        self.consortium = _pinned(self.document, self.settings, document)
        authority = home / CA_FILE
        self.authority = authority if authority.exists() else None

    @property
    def lender_name(self) -> str:
        return self.consortium.party(self.settings.lender).name


def create_counter_home(
    home: Path, said: Mapping[str, Any], document: str, authority: Path | None
) -> None:
    """Make a home; raises BadSettings, and then nothing is made."""
    settings = CounterSettings.model_validate(dict(said))
    _pinned(document.strip(), settings, home / CONSORTIUM_FILE)
    if home.exists():
        raise BadSettings(f"{home} is there already; a home is made once")
    home.mkdir(parents=True)
    replace_file(home / CONSORTIUM_FILE, document.strip().encode())
    if authority is not None:
        replace_file(home / CA_FILE, authority.read_bytes())
    text = json.dumps(settings.model_dump(mode="json"), indent=2)
    replace_file(home / SETTINGS_FILE, text.encode())


def _pinned(document: str, settings: CounterSettings, path: Path) -> Consortium:
    try:
        found = Consortium.verify(document, PublicKey.from_text(settings.registry_key))
        whose = found.party(settings.lender).role
    except SignatureError as error:
        raise BadSettings(f"{path}: {error}") from error
    if whose is not Role.LENDER:
        raise BadSettings(f"{path}: {settings.lender!r} is no lender there")
    return found
