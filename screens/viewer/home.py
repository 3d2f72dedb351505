"""The auditor's home, as the viewer needs it: keys, whom to believe, where the log is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from auditlog.audit import Past
from auditlog.reading import CHECKPOINT_FILE, CONSORTIUM_FILE, Anchors
from crypto.keys import load_recipient_key, load_signing_key, replace_file
from ops.named_files import key_of, text_of
from ops.serving import Listening
from ops.settings import HomeSettings
from protocol.client.auditor import AuditorClient
from protocol.errors import BadSettings

SETTINGS_FILE, LISTENING_FILE, INDEX_FILE = "viewer.json", "viewer.serve.json", "viewer.db"


class ViewerSettings(HomeSettings):
    """Where the log is and whom to believe about it. Kept in ``viewer.json`` of the auditor's home
    the first time."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_VIEWER_")
    pinned: ClassVar[frozenset[str]] = frozenset({"registry_key", "consortium"})

    registry_url: str = Field(default="http://127.0.0.1:8700", pattern=r"^https?://[^\s?#]+$")
    registry_key: str = Field(min_length=43, max_length=43)
    """Trust anchor: the key that has signed the consortium document."""
    consortium: Path | None = None
    """The pinned document; without it, it is fetched once and kept in the home."""
    authority: Path | None = None
    """PEM file of the authority of the registry's certificate; the system's without it."""
    zone: str = "Asia/Shanghai"
    """Of the times that pages show."""


class ViewerListening(Listening):
    """Where the pages are: on this machine."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="TAHINI_VIEWER_")
    port: int = Field(default=8724, ge=1, le=65535)

    @property
    def origin(self) -> str:
        """Where a browser finds them."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


class ViewerHome:
    """An auditor's home, open.

    Raises:
        BadSettings: a setting is missing or wrong, or another trust anchor than the kept one is
            named. AuditFailed, SignatureError: there is no consortium document to believe.
            KeyFileError: the auditor's keys are not there.
    """

    def __init__(self, home: Path, **said: str | Path | None) -> None:
        self.path = home
        self.settings = _settings(home, said)
        self.anchors = Anchors(
            self.settings.registry_url,
            self.settings.authority,
            self.settings.consortium,
            self.settings.registry_key,
        )
        load_signing_key(home / "auditor.key")
        self.key = load_recipient_key(home / "auditor.recipient.key")
        self.checkpoint = home / CHECKPOINT_FILE
        self.consortium = self.anchors.pinned(home)
        document = self.settings.consortium or home / CONSORTIUM_FILE
        self.document = text_of(document, "the consortium document").strip()
        self._keep()

    def client(self) -> AuditorClient:
        """The auditor at the registry; heads that it accepts are kept in the home."""
        return self.anchors.verifier(self.path, self.checkpoint)

    def past(self) -> Past:
        return self.anchors.past(self.path)

    def kept(self) -> str | None:
        """The checkpoint that the last verification kept."""
        return text_of(self.checkpoint, "the checkpoint") if self.checkpoint.exists() else None

    def _keep(self) -> None:
        path = self.path / SETTINGS_FILE
        if not path.exists():
            text = json.dumps(self.settings.model_dump(mode="json", exclude_none=True), indent=2)
            replace_file(path, text.encode())


def _settings(home: Path, said: dict[str, str | Path | None]) -> ViewerSettings:
    path, key = home / SETTINGS_FILE, said.get("registry_key")
    told = {
        name: str(value.absolute()) if isinstance(value, Path) else value
        for name, value in said.items()
    }
    if key is not None:
        told["registry_key"] = key_of(str(key))
    settings = ViewerSettings.read(path, **told)
    if path.exists():
        held = ViewerSettings.read(path)
        if settings.registry_key != held.registry_key:
            raise BadSettings(
                f"{path} pins another registry key than --registry-key; if the registry's key has "
                "changed, move that file away"
            )
    return settings
