"""The counter's home: what it must know, and where it listens."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ops.serving import Listening
from protocol.parties import Consortium, Role
from protocol.schema import Slug
from screens.homes import PublicSettings


class CounterSettings(PublicSettings):
    """What a counter must know, in ``counter.json`` of its home."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_COUNTER_")
    pinned: ClassVar[frozenset[str]] = PublicSettings.pinned | {"lender"}
    file: ClassVar[str] = "counter.json"

    lender: Slug
    """Whose front it is."""
    desk_url: str = Field(pattern=r"^https?://[^\s?#]+$")

    def expect(self, consortium: Consortium) -> None:
        if consortium.party(self.lender).role is not Role.LENDER:
            raise ValueError(f"{self.lender!r} is no lender there")


class CounterListening(Listening):
    """Where the counter is."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_COUNTER_")
    port: int = Field(default=8721, ge=1, le=65535)
