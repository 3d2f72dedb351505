"""A borrower at the registry: hands in decisions, reads receipts and records, ends everything."""

from __future__ import annotations

import hmac
import json
from collections.abc import Sequence

from crypto.errors import ProofError
from crypto.keys import unb64
from crypto.notes import InclusionProof, Trust
from protocol.client.base import RegistryClient
from protocol.consents import RECEIPTS_UP_TO, ConsentDecision, Receipt, decision_commitment
from protocol.errors import NotWitnessed, RegistryUnavailable
from protocol.records import ConsentRecord


def check_receipt(receipt: Receipt, trust: Trust) -> InclusionProof:
    """Offline: the receipt's entry is in the log and commits to the receipt's decision and states.

    Raises:
        ProofError, SignatureError: it is not, or does not.
    """
    proof = InclusionProof.parse(receipt.proof)
    leaf = unb64(receipt.entry)
    proof.verify(leaf, trust)
    stated = decision_commitment(receipt.salt, receipt.decision_sha256, receipt.states)
    fields = json.loads(leaf)
    if fields["type"] != "consent.decided" or not hmac.compare_digest(
        str(fields["decision"]), stated
    ):
        raise ProofError("the log entry does not commit to this decision")
    return proof


class BorrowerClient(RegistryClient):
    """A borrower at the registry; without a caller, whoever hands in what borrowers signed."""

    def decide(self, tokens: Sequence[str]) -> list[Receipt]:
        """Hand in signed decisions; returns verified receipts, one per decision, when there are
        few.

        Raises:
            RegistryUnavailable: a receipt is not for the decision that was sent, or its entry does
                not commit to it.
            NotWitnessed: the decisions are in force, and their receipts can be had later:
                :meth:`my_receipt`.
        """
        answer = self._checked(self._send("POST", "/v1/decisions", {"tokens": list(tokens)}).json)
        texts = self._checked(lambda: [str(text) for text in answer["receipts"]])
        if answer.get("pending"):
            raise NotWitnessed(
                "the decisions are recorded and in force, but no quorum of witnesses has cosigned "
                "them yet; ask for the receipts later"
            )
        if len(texts) not in {0, len(tokens)} or (len(tokens) <= RECEIPTS_UP_TO) != bool(texts):
            raise RegistryUnavailable("the consent registry did not give one receipt per decision")
        return [self._receipt(text, token) for text, token in zip(texts, tokens, strict=False)]

    def _receipt(self, text: str, token: str) -> Receipt:
        receipt = self._checked(lambda: Receipt.verify(text, self._registry_key))
        decision = ConsentDecision.claimed(token)
        self.accept_head(self._checked(lambda: check_receipt(receipt, self.trust)).checkpoint_note)
        mine = (decision.sha256, decision.pii_principal_id)
        if (receipt.decision_sha256, receipt.pii_principal_id) != mine:
            raise RegistryUnavailable("the consent registry gave a receipt for another decision")
        return receipt

    def my_receipt(self, token: str) -> Receipt:
        """The receipt of a decision that was handed in earlier, verified."""
        text = self._send("GET", f"/v1/me/receipts/{ConsentDecision.claimed(token).sha256}").text
        return self._receipt(text, token)

    def my_consents(self) -> list[ConsentRecord]:
        answer = self._checked(self._send("GET", "/v1/me/consents?limit=1000").json)
        return self._checked(
            lambda: [ConsentRecord.model_validate(record) for record in answer["items"]]
        )

    def forget_me(self) -> int:
        """End all my consents and destroy my data key; returns how many consents were ended."""
        answer = self._send("DELETE", "/v1/me")
        return self._checked(lambda: int(answer.json()["ended"]))
