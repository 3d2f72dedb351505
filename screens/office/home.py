"""Where the office listens: this machine alone."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ops.serving import Listening
from protocol.errors import BadSettings
from screens.house.staff import on_loopback

SETTINGS_FILE = "office.json"
"""In the node's home; it need not be there."""


class OfficeListening(Listening):
    """Where the office is, and how it shows times."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_OFFICE_")
    port: int = Field(default=8722, ge=1, le=65535)
    zone: str = "Asia/Shanghai"
    """Of the times that pages show."""
    portal: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+$")
    """Where this lender's customers find the borrowers' pages; link tickets lead there."""

    @property
    def origin(self) -> str:
        """Raises BadSettings: others than this machine could reach it."""
        scheme = "http" if self.certificate is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        found = f"{scheme}://{host}:{self.port}"
        if not on_loopback(found):
            raise BadSettings(
                f"the office signs with the lender's key and is served to this machine alone: "
                f"{self.host} is not a loopback address"
            )
        return found
