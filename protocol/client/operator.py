"""The registry's operator at the registry: publishes notices."""

from __future__ import annotations

from crypto.keys import SigningKey
from protocol.client.institutions import InstitutionClient
from protocol.notices import Notice


class OperatorClient(InstitutionClient):
    """The registry's operator."""

    def publish_notice(self, notice: Notice, key: SigningKey) -> None:
        self._send("POST", "/v1/notices", {"token": notice.sign(key)})
