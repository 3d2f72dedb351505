"""The coordinator's folder: ``coordinator.key``, ``consortium.jws``, ``log.head``, and ``campaigns/<hash>/``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from consent.client import HeadStore, RegistryClient, load_consortium
from consent.documents import Consortium, Role
from crypto.keys import PublicKey, SigningKey, load_signing_key, save_signing_key
from server.errors import CoordinatorError

KEY_FILE, SETTINGS_FILE = "coordinator.key", "coordinator.json"
BINNING_FILE, MODEL_FILE, CARD_FILE = "binning.json", "model.safetensors", "model-card.jws"


class CoordinatorSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    registry_url: str
    registry_key: str


def create_home(home: Path) -> SigningKey:
    home.mkdir(parents=True, mode=0o700)
    (home / "campaigns").mkdir()
    key = SigningKey.generate()
    save_signing_key(home / KEY_FILE, key)
    return key


def join(home: Path, settings: CoordinatorSettings, consortium_token: str) -> None:
    """Pin the consortium and where its registry is."""
    Consortium.verify(consortium_token, PublicKey.from_text(settings.registry_key))
    (home / "consortium.jws").write_text(consortium_token)
    (home / SETTINGS_FILE).write_text(settings.model_dump_json(indent=2))


@dataclass(frozen=True)
class Coordinator:
    home: Path
    settings: CoordinatorSettings
    key: SigningKey
    consortium: Consortium

    @classmethod
    def open(cls, home: Path) -> Coordinator:
        try:
            settings = CoordinatorSettings.model_validate_json((home / SETTINGS_FILE).read_text())
        except (OSError, ValidationError) as error:
            raise CoordinatorError(f"{home} is not a coordinator's home that has joined a consortium") from error
        consortium = load_consortium(home / "consortium.jws", PublicKey.from_text(settings.registry_key))
        return cls(home, settings, load_signing_key(home / KEY_FILE), consortium)

    @property
    def id(self) -> str:
        return self.consortium.one(Role.COORDINATOR).id

    def registry(self) -> RegistryClient:
        heads = HeadStore(self.home / "log.head")
        return RegistryClient(self.settings.registry_url, self.consortium, self.id, self.key, heads)

    def folder(self, campaign_sha256: str) -> Path:
        """Where a campaign's results go; made if needed."""
        folder = self.home / "campaigns" / campaign_sha256
        folder.mkdir(parents=True, exist_ok=True)
        return folder


def save_round(folder: Path, number: int, weights: NDArray[np.float64]) -> None:
    """The shared model after round ``number``, whole or not at all."""
    partial = folder / f"round-{number:03d}.partial"
    with partial.open("wb") as file:
        np.save(file, weights, allow_pickle=False)
    partial.replace(folder / f"round-{number:03d}.npy")


def save_binning(folder: Path, text: str) -> None:
    """The shared binning as JSON, whole or not at all."""
    partial = folder / "binning.partial"
    partial.write_text(text)
    partial.replace(folder / BINNING_FILE)


def load_round(folder: Path, number: int) -> NDArray[np.float64]:
    return np.asarray(np.load(folder / f"round-{number:03d}.npy", allow_pickle=False), dtype=np.float64)
