"""The portal's home: what it must know, and where it listens."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ops.serving import Listening
from screens.homes import PublicSettings


class PortalSettings(PublicSettings):
    """What a portal must know, in ``portal.json`` of its home."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_PORTAL_")
    file: ClassVar[str] = "portal.json"


class PortalListening(Listening):
    """Where the portal is."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_PORTAL_")
    port: int = Field(default=8725, ge=1, le=65535)
