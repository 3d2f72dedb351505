"""A coordinator at the registry: proposes campaigns, and logs the models that they released."""

from __future__ import annotations

from collections.abc import Sequence

from crypto.keys import b64
from protocol.client.institutions import InstitutionClient
from protocol.errors import RegistryUnavailable


class CoordinatorClient(InstitutionClient):
    """A coordinator at the registry."""

    def propose(self, token: str) -> str:
        answer = self._send("POST", "/v1/campaigns", {"token": token})
        return str(self._checked(lambda: answer.json()["sha256"]))

    def population(self, purpose: str, lenders: Sequence[str]) -> tuple[int, float]:
        """About how many people could be used, and what the count costs everybody; the same all day
        for the same question, which is charged once."""
        body = {"purpose": purpose, "lenders": sorted(lenders)}
        answer = self._send("POST", "/v1/populations", body)
        return self._checked(
            lambda: (int(answer.json()["people"]), float(answer.json()["epsilon"]))
        )

    def late_with_revocations(self) -> list[str]:
        """Lenders that have not acknowledged revocations in time: they are authorised to nothing
        until they do."""
        answer = self._send("GET", "/v1/revocations/late")
        return self._checked(lambda: [str(lender) for lender in answer.json()["items"]])

    def log_model(self, campaign_sha256: str, card_sha256: str, card: str, model: bytes) -> None:
        body = {"card_sha256": card_sha256, "card": card, "model": b64(model)}
        leaf = self._acknowledged(
            self._send("POST", f"/v1/campaigns/{campaign_sha256}/model", body)
        )
        if (leaf.get("type"), leaf.get("model_card")) != ("model.released", card_sha256):
            raise RegistryUnavailable(
                "the log acknowledged another entry than the model card that was sent"
            )
