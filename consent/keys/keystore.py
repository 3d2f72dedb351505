"""Where the root key lives: the key under which every other key of the registry is wrapped.

A :class:`KeyStore` holds numbered versions of one root key, wraps and unwraps 32-byte keys under
them, and can destroy old versions for good. It sees a thousand group keys, never a borrower's data
key (see ``consent.keys.datakeys``).

- :class:`FileKeyStore`: a folder of 0600 files beside the registry; the embedded default.
- :class:`consent.keys.vault.VaultKeyStore`: HashiCorp Vault's transit engine; the root key never
  leaves Vault.
- AWS KMS has the same shape (docs/operator.md): one KMS key per version, ``Encrypt`` and
  ``Decrypt`` with an encryption context, ``DisableKey`` at once and ``ScheduleKeyDeletion`` for
  destruction.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crypto.bodies import KEY_SIZE, new_data_key, unwrap_key, wrap_key
from crypto.errors import KeyFileError, SealError
from crypto.keys import read_secret, sync_folder, write_secret

_FILE = re.compile(r"([1-9][0-9]{0,8})\.key")


@dataclass(frozen=True)
class Wrapped:
    """A key under version ``version`` of the root key."""

    version: int
    ciphertext: bytes


class KeyStore(Protocol):
    """Raises SealError when a key does not open or its version was destroyed, KeyStoreUnavailable
    if it cannot tell."""

    def newest(self) -> int:
        """The version that keys are wrapped under now."""

    def oldest(self) -> int:
        """The oldest version that has not been destroyed."""

    def wrap(self, keys: Sequence[tuple[bytes, bytes]]) -> list[Wrapped]:
        """Wrap (context, key) pairs under the newest version."""

    def unwrap(self, wrapped: Sequence[tuple[bytes, Wrapped]]) -> list[bytes]:
        """Inverse of :meth:`wrap`, for (context, wrapped) pairs."""

    def rewrap(self, wrapped: Sequence[tuple[bytes, Wrapped]]) -> list[Wrapped]:
        """The same keys under the newest version."""

    def rotate(self) -> int:
        """Make a new version, durable when this returns; the older ones still open what they
        wrapped."""

    def destroy_before(self, version: int) -> None:
        """Destroy every version below ``version``, for good. What only they wrapped is unreadable
        everywhere."""


@dataclass(frozen=True)
class FileKeyStore:
    """One file per version in a folder that only the registry's user can read."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> FileKeyStore:
        folder.mkdir(mode=0o700, parents=True)
        store = cls(folder)
        store.rotate()
        return store

    def _versions(self) -> list[int]:
        try:
            names = [_FILE.fullmatch(path.name) for path in self.folder.iterdir()]
        except OSError as error:
            raise KeyFileError(
                f"cannot read the key store {self.folder}: {error.strerror}"
            ) from error
        return sorted(int(match[1]) for match in names if match)

    def _key(self, version: int) -> bytes:
        if version not in self._versions():
            raise SealError(f"version {version} of the root key was destroyed")
        return read_secret(self.folder / f"{version}.key", KEY_SIZE)

    def newest(self) -> int:
        versions = self._versions()
        if not versions:
            raise SealError(f"the key store {self.folder} holds no root key")
        return versions[-1]

    def oldest(self) -> int:
        return min(self._versions(), default=0)

    def wrap(self, keys: Sequence[tuple[bytes, bytes]]) -> list[Wrapped]:
        version = self.newest()
        root = self._key(version)
        return [Wrapped(version, wrap_key(root, key, context)) for context, key in keys]

    def unwrap(self, wrapped: Sequence[tuple[bytes, Wrapped]]) -> list[bytes]:
        roots = {version: self._key(version) for version in {item.version for _, item in wrapped}}
        return [
            unwrap_key(roots[item.version], item.ciphertext, context) for context, item in wrapped
        ]

    def rewrap(self, wrapped: Sequence[tuple[bytes, Wrapped]]) -> list[Wrapped]:
        return self.wrap(
            [
                (context, key)
                for (context, _), key in zip(wrapped, self.unwrap(wrapped), strict=True)
            ]
        )

    def rotate(self) -> int:
        version = max(self._versions(), default=0) + 1
        write_secret(self.folder / f"{version}.key", new_data_key())
        return version

    def destroy_before(self, version: int) -> None:
        """Overwrite, then unlink. Copies that the disk or its snapshots keep are theirs to
        expire."""
        for old in self._versions():
            if old < version:
                path = self.folder / f"{old}.key"
                with path.open("r+b") as file:
                    file.write(os.urandom(KEY_SIZE))
                    file.flush()
                    os.fsync(file.fileno())
                path.unlink()
        sync_folder(self.folder)
