"""A coordinator at the registry: proposes campaigns, and logs the models that they released."""

from __future__ import annotations

from crypto.keys import b64
from protocol.client.institutions import InstitutionClient
from protocol.errors import RegistryUnavailable


class CoordinatorClient(InstitutionClient):
    """A coordinator at the registry."""

    def propose(self, token: str) -> str:
        answer = self._send("POST", "/v1/campaigns", {"token": token})
        return str(self._checked(lambda: answer.json()["sha256"]))

    def log_model(self, campaign_sha256: str, card_sha256: str, card: str, model: bytes) -> None:
        body = {"card_sha256": card_sha256, "card": card, "model": b64(model)}
        leaf = self._acknowledged(
            self._send("POST", f"/v1/campaigns/{campaign_sha256}/model", body)
        )
        if (leaf.get("type"), leaf.get("model_card")) != ("model.released", card_sha256):
            raise RegistryUnavailable(
                "the log acknowledged another entry than the model card that was sent"
            )
