"""The root key in HashiCorp Vault: its transit engine, reached with ``hvac``. The root key never
leaves Vault.

The transit key is ``derived``: every wrapped key is bound to its context. The token comes from the
environment (``VAULT_TOKEN``), or from the file that ``VAULT_TOKEN_FILE`` names: a container's
secret, or what a Vault agent renews. Vault's own policy should allow this token ``encrypt``,
``decrypt``, ``rewrap``, ``rotate``, ``config`` and ``trim`` on the one key, and nothing else.
"""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac
from hvac.exceptions import InvalidRequest, VaultError
from requests import RequestException

from consent.keys.keystore import Wrapped
from crypto.errors import KeyStoreUnavailable, SealError

_VERSION = re.compile(r"vault:v([1-9][0-9]{0,8}):")


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


@dataclass(frozen=True)
class VaultKeyStore:
    """``name`` is the transit key under ``mount``; it is made on first use with :meth:`create`."""

    url: str
    mount: str
    name: str
    token: str = field(repr=False)

    @classmethod
    def from_environment(cls, url: str, mount: str, name: str) -> VaultKeyStore:
        """Raises KeyStoreUnavailable without ``VAULT_TOKEN``, or a ``VAULT_TOKEN_FILE`` that can be
        read."""
        token = os.environ.get("VAULT_TOKEN", "")
        file = os.environ.get("VAULT_TOKEN_FILE")
        if file and not token:
            try:
                token = Path(file).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise KeyStoreUnavailable(
                    "the key store is Vault, but VAULT_TOKEN_FILE cannot be read"
                ) from error
        if not token:
            raise KeyStoreUnavailable(
                "the key store is Vault, but neither VAULT_TOKEN nor VAULT_TOKEN_FILE is set"
            )
        return cls(url, mount, name, token)

    def create(self) -> None:
        """Make the transit key; nothing happens when it is there."""
        self._call("create_key", derived=True, key_type="aes256-gcm96", exportable=False)

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """One transit operation; Vault's answer. A refusal of the request itself is a SealError."""
        transit = hvac.Client(url=self.url, token=self.token, timeout=10).secrets.transit
        try:
            answer = getattr(transit, operation)(
                name=self.name, mount_point=self.mount, **arguments
            )
        except InvalidRequest as error:
            raise SealError(
                f"the key store could not do {operation}: a key was destroyed or does not open"
            ) from error
        except (VaultError, RequestException) as error:
            raise KeyStoreUnavailable(
                f"the key store refused {operation} ({type(error).__name__})"
            ) from error
        found: dict[str, Any] = answer.json() if hasattr(answer, "json") else answer
        return found

    def _batch(self, operation: str, items: list[dict[str, str]], field_name: str) -> list[str]:
        if not items:
            return []
        first = {"ciphertext": ""} if operation == "rewrap_data" else {}
        results = self._call(operation, batch_input=items, **first)["data"]["batch_results"]
        if len(results) != len(items) or any(
            result.get("error") or not result.get(field_name) for result in results
        ):
            raise SealError(
                f"the key store could not do {operation}: a key was destroyed or does not open"
            )
        return [str(result[field_name]) for result in results]

    @staticmethod
    def _wrapped(ciphertext: str) -> Wrapped:
        match = _VERSION.match(ciphertext)
        if not match:
            raise SealError("Vault answered with something else than a ciphertext")
        return Wrapped(int(match[1]), ciphertext.encode())

    @staticmethod
    def _items(wrapped: Sequence[tuple[bytes, Wrapped]]) -> list[dict[str, str]]:
        return [
            {"ciphertext": item.ciphertext.decode(), "context": _b64(context)}
            for context, item in wrapped
        ]

    def newest(self) -> int:
        return int(self._call("read_key")["data"]["latest_version"])

    def oldest(self) -> int:
        known = self._call("read_key")["data"]
        return max(
            int(known.get("min_decryption_version") or 1),
            int(known.get("min_available_version") or 0),
        )

    def wrap(self, keys: Sequence[tuple[bytes, bytes]]) -> list[Wrapped]:
        items = [{"plaintext": _b64(key), "context": _b64(context)} for context, key in keys]
        return [self._wrapped(text) for text in self._batch("encrypt_data", items, "ciphertext")]

    def unwrap(self, wrapped: Sequence[tuple[bytes, Wrapped]]) -> list[bytes]:
        return [
            b64decode(text)
            for text in self._batch("decrypt_data", self._items(wrapped), "plaintext")
        ]

    def rewrap(self, wrapped: Sequence[tuple[bytes, Wrapped]]) -> list[Wrapped]:
        return [
            self._wrapped(text)
            for text in self._batch("rewrap_data", self._items(wrapped), "ciphertext")
        ]

    def rotate(self) -> int:
        self._call("rotate_key")
        return self.newest()

    def destroy_before(self, version: int) -> None:
        """Forbid the old versions, then trim them out of Vault's storage."""
        known = self._call("read_key")["data"]
        if int(known.get("min_available_version") or 0) >= version:
            return
        # hvac refuses both in one call when equal
        for limit in (
            "min_encryption_version",
            "min_decryption_version",
        ):
            self._call("update_key_configuration", **{limit: version})
        self._call("trim_key", min_version=version)
