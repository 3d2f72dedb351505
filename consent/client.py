"""How lenders, coordinators, borrowers and auditors call the registry. What comes back is verified first.

The client remembers the newest checkpoint it has seen and refuses any that does not extend it (invariant 7).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from consent.commands.commit_roster import CommitmentRequest, commitment_fields
from consent.commands.enrol_subjects import Enrolment
from consent.documents import (
    RECEIPTS_UP_TO,
    Approval,
    Authorisation,
    Campaign,
    Consortium,
    Decision,
    Notice,
    Receipt,
    Role,
    Snapshot,
    decision_commitment,
)
from consent.errors import ConsentError, NotAuthenticated, NotWitnessed, RegistryUnavailable
from consent.log_client import HeadStore, LogClient
from consent.requests import sign_request
from consent.schema import now
from consent.sessions import ClientSession, SessionAnswer, SessionOffer
from crypto.errors import ProofError, SignatureError
from crypto.keys import PublicKey, SigningKey, b64, unb64
from crypto.notes import Checkpoint, InclusionProof, Trust
from crypto.sessions import Ephemeral

SESSION_MARGIN = timedelta(seconds=30)


def load_consortium(path: Path, registry_key: PublicKey) -> Consortium:
    """The consortium document a party has pinned; raises SignatureError."""
    try:
        token = path.read_text()
    except OSError as error:
        raise SignatureError(f"cannot read the consortium document {path}: {error.strerror}") from error
    return Consortium.verify(token, registry_key)


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
    if fields["type"] != "consent.decided" or not hmac.compare_digest(str(fields["decision"]), stated):
        raise ProofError("the log entry does not commit to this decision")
    return proof


class RegistryClient(LogClient):
    """One caller's connection to the registry.

    Args:
        url: the registry's base URL.
        caller: the party id or pseudonym that signs, or None for calls that need no signature.
        key: the caller's signing key.
        consortium: the pinned consortium document.
        heads: where to remember checkpoints.
    """

    def __init__(
        self,
        url: str,
        consortium: Consortium,
        caller: str | None = None,
        key: SigningKey | None = None,
        heads: HeadStore | None = None,
        http: httpx.Client | None = None,
    ) -> None:
        super().__init__(url, consortium.policy, heads, http)
        self.consortium = consortium
        self._registry_key = consortium.one(Role.REGISTRY).key
        self._audience = consortium.one(Role.REGISTRY).id
        self._caller, self._key = caller, key
        self._session: ClientSession | None = None

    def _authorization(self, method: str, target: str, content: bytes) -> dict[str, str]:
        if self._key is None or self._caller is None:
            return {}
        if self._session is not None and self._session.expires_at > now() + SESSION_MARGIN:
            return {"Authorization": self._session.authorization(method, target, content)}
        token = sign_request(self._key, self._caller, self._audience, method, target, content)
        return {"Authorization": f"Bearer {token}"}

    def _send(self, method: str, target: str, body: Any = None) -> httpx.Response:
        """Where the registry has forgotten a session (401: nothing was done), sign instead."""
        try:
            return super()._send(method, target, body)
        except ConsentError as error:
            if error.status != NotAuthenticated.status or self._session is None:
                raise
            self._session = None
            return super()._send(method, target, body)

    def begin_session(self) -> ClientSession:
        """For a caller with many requests: ten minutes of MACs instead of signatures, then signatures again.

        Raises:
            RegistryUnavailable: the registry's answer does not verify.
        """
        if self._key is None or self._caller is None:
            raise RegistryUnavailable("a session is for a caller with a signing key")
        self._session = None
        ephemeral = Ephemeral()
        offer = SessionOffer(caller=self._caller, audience=self._audience, ephemeral=ephemeral.public)
        offered = offer.sign(self._key)
        answered = str(self._checked(lambda: self._send("POST", "/v1/sessions", {"offer": offered}).json()["answer"]))
        answer = self._checked(lambda: SessionAnswer.verify(answered, self._registry_key))
        self._session = self._checked(lambda: ClientSession.agreed(ephemeral, offer, offered, answered, answer))
        return self._session

    # --- the log, for whom it concerns

    def body(self, index: int) -> bytes:
        return self._send("GET", f"/v1/log/bodies/{index}").content

    def envelope(self, sha256: str) -> bytes:
        """The header of an envelope, whose hash is checked."""
        header = self._send("GET", f"/v1/log/envelopes/{sha256}").content
        if not hmac.compare_digest(hashlib.sha256(header).hexdigest(), sha256):
            raise RegistryUnavailable("the consent registry answered with another envelope than was asked for")
        return header

    def append(self, entries: Sequence[dict[str, Any]]) -> list[int]:
        """Log entries; returns their indexes, durable. See ``consent.commands.append_entries`` for the fields."""
        answer = self._send("POST", "/v1/log/entries", {"entries": list(entries)})
        first, count = self._checked(lambda: (int(answer.json()["first"]), int(answer.json()["count"])))
        if count != len(entries):
            raise RegistryUnavailable("the log acknowledged another number of entries than were sent")
        return list(range(first, first + count))

    def _acknowledged(self, answer: httpx.Response) -> dict[str, Any]:
        """The leaf in the answer, after its inclusion was verified under an accepted head."""
        data = self._checked(answer.json)
        leaf = self._checked(lambda: unb64(data["leaf"]))
        proof = self._checked(lambda: InclusionProof.parse(data["proof"]))
        self._checked(lambda: proof.verify(leaf, self.trust))
        self.accept_head(proof.checkpoint_note)
        fields: dict[str, Any] = self._checked(lambda: json.loads(leaf))
        return fields

    # --- registry operator, lenders, borrowers

    def publish_notice(self, notice: Notice, key: SigningKey) -> None:
        self._send("POST", "/v1/notices", {"token": notice.sign(key)})

    def notice(self, notice_id: str, version: int) -> Notice:
        token = self._send("GET", f"/v1/notices/{notice_id}/{version}").text
        return self._checked(lambda: Notice.verify(token, self._registry_key))

    def enrol(self, subjects: Sequence[Enrolment]) -> int:
        answer = self._send("POST", "/v1/subjects", {"subjects": [s.model_dump() for s in subjects]})
        return int(answer.json()["enrolled"])

    def decide(self, tokens: Sequence[str]) -> list[Receipt]:
        """Hand in signed decisions; returns verified receipts, one per decision, when there are few.

        Raises:
            RegistryUnavailable: a receipt is not for the decision that was sent, or its entry does not commit to it.
            NotWitnessed: the decisions are in force, and their receipts can be had later: :meth:`my_receipt`.
        """
        answer = self._checked(self._send("POST", "/v1/decisions", {"tokens": list(tokens)}).json)
        texts = self._checked(lambda: [str(text) for text in answer["receipts"]])
        if answer.get("pending"):
            raise NotWitnessed(
                "the decisions are recorded and in force, but no quorum of witnesses has cosigned them yet; ask for "
                "the receipts later"
            )
        if len(texts) not in {0, len(tokens)} or (len(tokens) <= RECEIPTS_UP_TO) != bool(texts):
            raise RegistryUnavailable("the consent registry did not give one receipt per decision")
        return [self._receipt(text, token) for text, token in zip(texts, tokens, strict=False)]

    def _receipt(self, text: str, token: str) -> Receipt:
        receipt = self._checked(lambda: Receipt.verify(text, self._registry_key))
        decision = Decision.claimed(token)
        self.accept_head(self._checked(lambda: check_receipt(receipt, self.trust)).checkpoint_note)
        mine = (decision.sha256, decision.pii_principal_id)
        if (receipt.decision_sha256, receipt.pii_principal_id) != mine:
            raise RegistryUnavailable("the consent registry gave a receipt for another decision")
        return receipt

    def my_receipt(self, token: str) -> Receipt:
        """The receipt of a decision that was handed in earlier, verified."""
        text = self._send("GET", f"/v1/me/receipts/{Decision.claimed(token).sha256}").text
        return self._receipt(text, token)

    def my_consents(self) -> list[dict[str, str | None]]:
        consents: list[dict[str, str | None]] = self._send("GET", "/v1/me/consents").json()["consents"]
        return consents

    def forget_me(self) -> int:
        """End all my consents and destroy my data key; returns how many consents were ended."""
        return int(self._send("DELETE", "/v1/me").json()["ended"])

    # --- campaigns

    def propose(self, token: str) -> str:
        answer = self._send("POST", "/v1/campaigns", {"token": token})
        return str(self._checked(lambda: answer.json()["sha256"]))

    def campaign(self, sha256: str) -> tuple[Campaign, bool]:
        """The campaign with this hash, verified against the coordinator's key, and whether it is active."""
        answer = self._send("GET", f"/v1/campaigns/{sha256}").json()
        key = self.consortium.one(Role.COORDINATOR).key
        campaign = self._checked(lambda: Campaign.verify(answer["token"], key))
        if campaign.sha256 != sha256:
            raise RegistryUnavailable("the consent registry answered with another campaign than was asked for")
        return campaign, bool(answer["active"])

    def approve(self, approval: Approval, key: SigningKey) -> bool:
        target = f"/v1/campaigns/{approval.campaign_sha256}/approvals"
        return bool(self._send("POST", target, {"token": approval.sign(key)}).json()["active"])

    def authorisation(self, sha256: str) -> Authorisation:
        answer = self._send("POST", f"/v1/campaigns/{sha256}/authorisations")
        return self._checked(lambda: Authorisation.verify(answer.json()["token"], self._registry_key))

    def size_of(self, note: str) -> int:
        """The tree size in a checkpoint note of this log."""
        return self._checked(lambda: self.trust.open(note)).size

    def snapshot(self, sha256: str) -> tuple[Snapshot, Checkpoint, str]:
        """The verified snapshot, the accepted head it is bound to, and the hash of its signed form."""
        token = self._send("GET", f"/v1/campaigns/{sha256}/snapshot").text
        snapshot = self._checked(lambda: Snapshot.verify(token, self._registry_key))
        head = self.accept_head(snapshot.checkpoint)
        return snapshot, head, hashlib.sha256(token.encode()).hexdigest()

    def commit_roster(self, sha256: str, request: CommitmentRequest) -> None:
        """Write the commitment to the log; returns only when its inclusion is proved.

        Raises:
            RegistryUnavailable: not acknowledged, or acknowledged with something else than was sent.
        """
        answer = self._send("POST", f"/v1/campaigns/{sha256}/commitments", request.model_dump(mode="json"))
        leaf = self._acknowledged(answer)
        expected = {
            **commitment_fields(request, sha256),
            "type": "roster.committed",
            "actor": self._caller,
        }
        sealed = hashlib.sha256(unb64(request.sealed_body)).hexdigest()
        if {k: leaf.get(k) for k in expected} != expected or leaf["body"]["sha256"] != sealed:
            raise RegistryUnavailable("the log acknowledged another entry than the roster commitment that was sent")

    def log_model(self, campaign_sha256: str, card_sha256: str, card: str) -> None:
        body = {"card_sha256": card_sha256, "card": card}
        leaf = self._acknowledged(self._send("POST", f"/v1/campaigns/{campaign_sha256}/model", body))
        if (leaf.get("type"), leaf.get("model_card")) != ("model.released", card_sha256):
            raise RegistryUnavailable("the log acknowledged another entry than the model card that was sent")


__all__ = ["Enrolment", "HeadStore", "ProofError", "RegistryClient", "b64", "load_consortium"]
