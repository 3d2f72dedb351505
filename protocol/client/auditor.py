"""An auditor at the registry: the bodies of entries, and the envelopes that they are sealed in."""

from __future__ import annotations

import hashlib
import hmac

from crypto.keys import SigningKey
from protocol.client.institutions import InstitutionClient
from protocol.errors import RegistryUnavailable
from protocol.samples import SampleRequest


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

    def announce_sample(self, request: SampleRequest, key: SigningKey) -> int:
        """Have a sample logged; returns the index of its entry."""
        answer = self._send("POST", "/v1/evidence/samples", {"token": request.sign(key)})
        return self._checked(lambda: int(answer.json()["entry_index"]))

    def open_evidence(self, index: int, token: str) -> bytes:
        """What the registry opens of whom a lender opened, sealed to the auditor."""
        target = f"/v1/evidence/samples/{index}/openings"
        return self._send("POST", target, {"token": token}).content

    def succeed(self, handover: str) -> int:
        """Have an outgoing auditor's handover logged; returns the index of its entry."""
        answer = self._send("POST", "/v1/auditors/successions", {"token": handover})
        return self._checked(lambda: int(answer.json()["entry_index"]))
