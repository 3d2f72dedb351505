"""The naming service's home folder, and the life of its keys.

``naming.key`` signs for the service, ``seeds/v1.seed`` and so on hold 32 bytes per version, from
which the key of every (kind, lender) is derived; ``consortium.jws`` and ``naming.json`` are pinned
at joining; ``quota.db`` counts. A version is retired for ever: its seed is removed, and an empty
``v1.retired`` stays so that the number never comes back.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from crypto.errors import KeyFileError
from crypto.keys import (
    PublicKey,
    SigningKey,
    b64,
    load_signing_key,
    read_secret,
    replace_file,
    save_signing_key,
    sync_folder,
    write_secret,
)
from crypto.pseudonyms import MAX_VERSION, SEED_SIZE, Kind, Scope, public_key
from naming.errors import VersionGone
from naming.keylist import NamingKey, NamingKeys
from ops.settings import HomeSettings
from protocol.client.base import load_consortium
from protocol.client.institutions import InstitutionClient
from protocol.errors import BadSettings, Conflict
from protocol.log_client import http_client
from protocol.parties import Consortium, Party, Role
from protocol.schema import Slug

KEY_FILE, SEEDS, CONSORTIUM_FILE, SETTINGS_FILE, QUOTA_FILE = (
    "naming.key",
    "seeds",
    "consortium.jws",
    "naming.json",
    "quota.db",
)
LOGGED_FILE, CA_FILE = "keys.logged.json", "ca.crt"
PEOPLE_PER_DAY = 1_500_000
_SEED_NAME = re.compile(r"v([0-9]{1,3})\.(seed|retired)")


class NamingSettings(HomeSettings):
    """What the service must know to run. ``people_per_day`` is per lender and kind of name."""

    model_config = SettingsConfigDict(env_prefix="TAHINI_NAMES_")
    pinned = frozenset({"party", "registry_key", "people_per_day"})

    party: Slug
    registry_url: str
    registry_key: str
    people_per_day: int = Field(default=PEOPLE_PER_DAY, ge=1, le=1_000_000_000)


def create_home(home: Path) -> SigningKey:
    """Make the service's signing key and the seed of version 1."""
    home.mkdir(parents=True, mode=0o700)
    (home / SEEDS).mkdir(mode=0o700)
    key = SigningKey.generate()
    save_signing_key(home / KEY_FILE, key)
    write_secret(home / SEEDS / "v1.seed", os.urandom(SEED_SIZE))
    return key


def join(home: Path, settings: NamingSettings, consortium_token: str) -> None:
    """Pin the consortium, and where its registry is."""
    consortium = Consortium.verify(consortium_token, PublicKey.from_text(settings.registry_key))
    _check(consortium.party(settings.party), load_signing_key(home / KEY_FILE), home)
    replace_file(home / CONSORTIUM_FILE, consortium_token.encode())
    replace_file(home / SETTINGS_FILE, settings.model_dump_json(indent=2).encode())


def _check(me: Party, key: SigningKey, home: Path) -> None:
    if me.role is not Role.NAMING or me.key != key.public:
        raise KeyFileError(
            f"the key in {home} is not the one the consortium knows for its naming service"
        )


@dataclass(frozen=True)
class Seeds:
    """The seeds of all versions, read from the disk each time: what was retired is gone at once."""

    folder: Path

    def _files(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        try:
            names = [path.name for path in self.folder.iterdir()]
        except OSError as error:
            raise KeyFileError(
                f"{self.folder} is not a folder of naming seeds ({error.strerror})"
            ) from error
        for name in names:
            if match := _SEED_NAME.fullmatch(name):
                found.setdefault(int(match[1]), set()).add(match[2])
        return found

    @property
    def live(self) -> tuple[int, ...]:
        """The versions that are answered for, oldest first. Raises KeyFileError when there is
        none."""
        live = tuple(
            sorted(version for version, kinds in self._files().items() if kinds == {"seed"})
        )
        if not live:
            raise KeyFileError(
                f"there is no naming seed in {self.folder}; restore it from its backup"
            )
        return live

    @property
    def retired(self) -> tuple[int, ...]:
        return tuple(
            sorted(version for version, kinds in self._files().items() if "retired" in kinds)
        )

    def read(self, version: int) -> bytes:
        """Raises VersionGone, or KeyFileError when the file is not in order."""
        if version not in self.live:
            answered = ", ".join(map(str, self.live))
            raise VersionGone(
                f"version {version} of the naming keys is not answered for; use one of: {answered}"
            )
        return read_secret(self.folder / f"v{version}.seed", SEED_SIZE)

    def rotate(self) -> int:
        """Make the seed of the next version, which becomes the current one; older ones go on
        answering."""
        version = max(self._files()) + 1
        if version > MAX_VERSION:
            raise Conflict(f"there are {MAX_VERSION} versions at most")
        write_secret(self.folder / f"v{version}.seed", os.urandom(SEED_SIZE))
        return version

    def retire(self, version: int) -> None:
        """Remove an older version's seed for good. Doing it again finishes what was interrupted.

        Raises:
            Conflict: it is the current version. VersionGone: there never was such a version.
        """
        files = self._files()
        if version not in files:
            raise VersionGone(f"there is no version {version} of the naming keys")
        if version == self.live[-1]:
            raise Conflict(
                f"version {version} is the current one; rotate first, and let every lender rename "
                "its people"
            )
        (self.folder / f"v{version}.retired").touch(mode=0o600)
        sync_folder(self.folder)
        (self.folder / f"v{version}.seed").unlink(missing_ok=True)
        sync_folder(self.folder)


@dataclass(frozen=True)
class NamingHome:
    """An opened home."""

    home: Path
    settings: NamingSettings
    key: SigningKey
    consortium: Consortium
    consortium_token: str

    @classmethod
    def open(cls, home: Path) -> NamingHome:
        """Raises KeyFileError or SignatureError when the home is not in order."""
        try:
            settings = NamingSettings.read(home / SETTINGS_FILE)
        except BadSettings as error:
            raise KeyFileError(
                f"{home} is not the home of a naming service that has joined a consortium"
            ) from error
        key = load_signing_key(home / KEY_FILE)
        consortium = load_consortium(
            home / CONSORTIUM_FILE, PublicKey.from_text(settings.registry_key)
        )
        _check(consortium.party(settings.party), key, home)
        return cls(
            home, settings, key, consortium, (home / CONSORTIUM_FILE).read_text(encoding="utf-8")
        )

    @property
    def seeds(self) -> Seeds:
        return Seeds(self.home / SEEDS)

    @property
    def quota_path(self) -> Path:
        return self.home / QUOTA_FILE

    @property
    def authority(self) -> Path | None:
        """The certificate authority that is believed, if the home holds one; else the system's
        are."""
        path = self.home / CA_FILE
        return path if path.exists() else None

    def registry(self) -> InstitutionClient:
        http = http_client(self.settings.registry_url, self.authority)
        return InstitutionClient(
            self.settings.registry_url, self.consortium, self.settings.party, self.key, http=http
        )

    def scope(self, kind: Kind, lender: str, version: int) -> Scope:
        return Scope(self.consortium.name, kind, "" if kind is Kind.LEDGER else lender, version)

    def key_list(self) -> NamingKeys:
        """The public keys of every live version: the ledger's, and one for each lender."""
        keys = []
        for version in self.seeds.live:
            seed = self.seeds.read(version)
            owners = [
                (Kind.LEDGER, ""),
                *((Kind.PAIRWISE, lender.id) for lender in self.consortium.lenders),
            ]
            for kind, lender in owners:
                public = b64(public_key(seed, self.scope(kind, lender, version)))
                keys.append(
                    NamingKey(kind=kind, lender=lender or None, version=version, public_key=public)
                )
        seeds = self.seeds
        return NamingKeys(
            consortium=self.consortium.name,
            current=seeds.live[-1],
            retired=seeds.retired,
            keys=tuple(keys),
        )
