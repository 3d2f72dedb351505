"""The coordinator's folder: ``coordinator.key``, ``consortium.jws``, ``log.head``, and
``campaigns/<hash>/``.

A campaign's folder holds the sum of every release, the model and its card. Nothing in it is
anybody's: all is released.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from crypto.keys import PublicKey, SigningKey, load_signing_key, replace_file, save_signing_key
from ops.settings import HomeSettings
from protocol.client.base import load_consortium
from protocol.client.coordinator import CoordinatorClient
from protocol.errors import BadSettings
from protocol.heads import HeadStore
from protocol.log_client import http_client
from protocol.parties import Consortium, Role
from server.errors import CoordinatorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEY_FILE, SETTINGS_FILE, SECRET_FILE = "coordinator.key", "coordinator.json", "executor.secret"
MAX_ATTEMPTS = 100
MODEL_FILE, CARD_FILE, PROGRESS_FILE = "model.safetensors", "model-card.jws", "progress.json"
FIGURES_FILE = "figures.json"
"""What a campaign that watches a model leaves instead of one."""


class CoordinatorSettings(HomeSettings):
    """What the coordinator must know to run: ``coordinator.json``, or TAHINI_COORDINATOR_ and a
    field in capitals."""

    model_config = SettingsConfigDict(env_prefix="TAHINI_COORDINATOR_")
    pinned = frozenset({"registry_key"})

    registry_url: str
    registry_key: str
    host: str = "0.0.0.0"  # noqa: S104 - lenders' nodes come from outside; only the fleet interface is there
    port: int = Field(default=9443, ge=1, le=65535)
    """Where lenders' nodes reach the fleet interface."""
    answer_s: float = Field(default=120.0, gt=0, le=3600)
    """How long one release waits for a node, which is then dropped."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    """Where Prometheus may ask; nowhere without a port."""
    health_port: int | None = Field(default=None, ge=1, le=65535)
    """Where ``/healthz`` answers, on loopback; nowhere without one."""


def create_home(home: Path) -> SigningKey:
    home.mkdir(parents=True, mode=0o700)
    (home / "campaigns").mkdir()
    key = SigningKey.generate()
    save_signing_key(home / KEY_FILE, key)
    return key


def join(home: Path, settings: CoordinatorSettings, consortium_token: str) -> None:
    """Pin the consortium and where its registry is."""
    Consortium.verify(consortium_token, PublicKey.from_text(settings.registry_key))
    (home / "consortium.jws").write_text(consortium_token, encoding="utf-8")
    (home / SETTINGS_FILE).write_text(settings.model_dump_json(indent=2), encoding="utf-8")


@dataclass(frozen=True)
class Coordinator:
    home: Path
    settings: CoordinatorSettings
    key: SigningKey
    consortium: Consortium

    @classmethod
    def open(cls, home: Path) -> Coordinator:
        try:
            settings = CoordinatorSettings.read(home / SETTINGS_FILE)
        except BadSettings as error:
            raise CoordinatorError(
                f"{home} is not a coordinator's home that joined a consortium: {error}"
            ) from error
        consortium = load_consortium(
            home / "consortium.jws", PublicKey.from_text(settings.registry_key)
        )
        return cls(home, settings, load_signing_key(home / KEY_FILE), consortium)

    @property
    def id(self) -> str:
        return self.consortium.one(Role.COORDINATOR).id

    @property
    def authority(self) -> Path | None:
        """The certificate authority that is believed, if the home holds one; else the system's
        are."""
        path = self.home / "ca.crt"
        return path if path.exists() else None

    def registry(self, patience_s: float = 0.0) -> CoordinatorClient:
        heads = HeadStore(self.home / "log.head")
        url = self.settings.registry_url
        client = CoordinatorClient(
            url, self.consortium, self.id, self.key, heads, http_client(url, self.authority)
        )
        client.patience_s = patience_s
        return client

    def folder(self, campaign_sha256: str) -> Path:
        """Where a campaign's results go; made if needed."""
        folder = self.home / "campaigns" / campaign_sha256
        folder.mkdir(parents=True, exist_ok=True)
        return folder


@dataclass(frozen=True)
class KeptRelease:
    """The sum of one release, as it was released, and over which lenders."""

    total: NDArray[np.int64]
    lenders: tuple[str, ...]

    @property
    def contributors(self) -> int:
        return len(self.lenders)


@dataclass(frozen=True)
class Progressed:
    """How often each release was asked for, and who was lost by then; written before it is: it may
    be charged."""

    attempts: tuple[int, ...] = ()
    lost: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> Progressed:
        """Nothing was asked for without the file; raises CoordinatorError if it is damaged."""
        try:
            found = json.loads((folder / PROGRESS_FILE).read_text(encoding="utf-8"))
            # of version 0.5, which forgot earlier releases: the most is assumed of them
            if isinstance(found, list):
                release, attempts, lost = found
                found = {"attempts": [MAX_ATTEMPTS] * release + [attempts], "lost": lost}
            return cls(tuple(map(int, found["attempts"])), tuple(map(str, found["lost"])))
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CoordinatorError(f"{folder / PROGRESS_FILE} is damaged ({error})") from error

    def write(self, folder: Path) -> None:
        told = {"attempts": self.attempts, "lost": self.lost}
        replace_file(folder / PROGRESS_FILE, json.dumps(told).encode())


@dataclass(frozen=True)
class KeptReleases:
    releases: tuple[KeptRelease, ...]
    progress: Progressed


def save_release(
    folder: Path, number: int, total: NDArray[np.int64], lenders: Sequence[str]
) -> None:
    """Keep one release, whole or not at all, durable when this returns."""
    import numpy as np  # which to show a campaign takes nobody

    buffer = io.BytesIO()
    np.savez(buffer, total=total, lenders=np.array(lenders, dtype=np.str_))
    replace_file(folder / f"release-{number:03d}.npz", buffer.getvalue())


def load_release(folder: Path, number: int) -> KeptRelease | None:
    """One release that was kept; None if it was not. Raises CoordinatorError if the file is
    damaged."""
    path = folder / f"release-{number:03d}.npz"
    if not path.exists():
        return None
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as file:
            total = np.asarray(file["total"], dtype=np.int64)
            return KeptRelease(total, tuple(file["lenders"].tolist()))
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise CoordinatorError(
            f"{path} is damaged ({error}); restore it, or propose a new campaign"
        ) from error


def load_releases(folder: Path) -> KeptReleases:
    """Every release kept so far, and how often each was asked for, the one under way too."""
    kept: list[KeptRelease] = []
    while (one := load_release(folder, len(kept))) is not None:
        kept.append(one)
    return KeptReleases(tuple(kept), Progressed.read(folder))
