"""What stands in a form for whom it was shown to, and means nothing elsewhere."""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PersonMarks:
    """Marks of people: of one person always the same while this process lives. Nobody else makes
    one, and none tells who it is."""

    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def of(self, *names: str) -> str:
        """The mark of whoever these names are of; 44 characters."""
        named = "\n".join(names).encode()
        return self._signed(_short(hmac.digest(self.secret, named, "sha256")))

    def is_ours(self, mark: str) -> bool:
        """Whether this process made it."""
        return hmac.compare_digest(mark.encode(), self._signed(mark[:22]).encode())

    def _signed(self, name: str) -> str:
        return name + _short(hmac.digest(self.secret, b"form\n" + name.encode(), "sha256"))


def _short(digest: bytes) -> str:
    """22 characters of a hash: 128 bits and a few."""
    return urlsafe_b64encode(digest).decode()[:22]
