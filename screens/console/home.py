"""Where the console listens: ``console.json`` in the coordinator's home, or the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from ops.serving import Listening
from protocol.errors import BadSettings
from screens.house.staff import on_loopback

SETTINGS_FILE = "console.json"


class ConsoleListening(Listening):
    """Variables begin with TAHINI_CONSOLE_."""

    model_config = SettingsConfigDict(env_prefix="TAHINI_CONSOLE_")

    port: int = Field(default=8723, ge=1, le=65535)
    zone: str = "Asia/Shanghai"
    """Of the times that pages show."""

    @property
    def origin(self) -> str:
        """What people type."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"


def listening_of(home: Path, **flags: object) -> ConsoleListening:
    """Where to listen. Raises BadSettings: not on this machine alone."""
    found = ConsoleListening.read(home / SETTINGS_FILE, **flags)
    if not on_loopback(found.origin):
        raise BadSettings(
            f"the console listens on this machine alone, and {found.host} is reached from others; "
            "leave --host out"
        )
    return found
