"""An auditor at the registry: the bodies of entries, and the envelopes that they are sealed in."""

from __future__ import annotations

import hashlib
import hmac

from protocol.client.institutions import InstitutionClient
from protocol.errors import RegistryUnavailable


class AuditorClient(InstitutionClient):
    """An auditor at the registry. Whoever only verifies the public log needs no caller and no
    key."""

    def body(self, index: int) -> bytes:
        return self._send("GET", f"/v1/log/bodies/{index}").content

    def envelope(self, sha256: str) -> bytes:
        """The header of an envelope, whose hash is checked."""
        header = self._send("GET", f"/v1/log/envelopes/{sha256}").content
        if not hmac.compare_digest(hashlib.sha256(header).hexdigest(), sha256):
            raise RegistryUnavailable(
                "the consent registry answered with another envelope than was asked for"
            )
        return header
