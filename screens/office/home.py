"""Where the office listens: this machine alone, unless its people log in at an issuer."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ops.serving import Listening
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

    reached_at: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+$")
    """The origin that people type, where it is not host and port: behind a proxy."""

    @property
    def _own(self) -> str:
        scheme = "http" if self.certificate is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Never read off a request."""
        return self.reached_at or self._own

    @property
    def this_machine_alone(self) -> bool:
        """Whether nobody else reaches it."""
        return on_loopback(self._own) and on_loopback(self.origin)
