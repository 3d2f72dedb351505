"""Where the console listens: ``console.json`` in the coordinator's home, or the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ops.serving import Listening

SETTINGS_FILE = "console.json"


class ConsoleListening(Listening):
    """Variables begin with TAHINI_CONSOLE_."""

    model_config = SettingsConfigDict(env_prefix="TAHINI_CONSOLE_")

    port: int = Field(default=8723, ge=1, le=65535)
    origin: str | None = Field(default=None, pattern=r"^https://[^/\s?#]+$")
    """Where people reach it from other machines; host and port without it."""
    zone: str = "Asia/Shanghai"
    """Of the times that pages show."""

    @property
    def reached_at(self) -> str:
        """What people type."""
        return self.origin or self.listens_at

    @property
    def listens_at(self) -> str:
        """Where it really is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"


def listening_of(home: Path, **flags: object) -> ConsoleListening:
    """Where to listen. Raises BadSettings."""
    return ConsoleListening.read(home / SETTINGS_FILE, **flags)
