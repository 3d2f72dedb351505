"""How lenders, coordinators, borrowers and auditors call the registry. What comes back is verified first.

The client remembers the newest checkpoint it has seen and refuses any that does not extend it (invariant 7).
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx

from crypto.errors import ProofError, SignatureError
from crypto.keys import PublicKey, SigningKey, b64, unb64
from crypto.notes import InclusionProof, Trust
from crypto.sessions import Ephemeral
from protocol.campaigns import (
    Approval,
    Authorisation,
    AuthorisationRequest,
    Campaign,
    CommitmentRequest,
    Proposed,
    Rejection,
    commitment_fields,
)
from protocol.consents import RECEIPTS_UP_TO, Decision, Notice, Receipt, decision_commitment
from protocol.cursors import cursor_of
from protocol.enrolment import Enrolment
from protocol.errors import ConsentError, NotAuthenticated, NotWitnessed, RegistryUnavailable
from protocol.log_client import HeadStore, LogClient
from protocol.parties import Consortium, Role
from protocol.records import ConsentRecord
from protocol.requests import sign_request
from protocol.revocations import Acknowledgement, Revocation
from protocol.schema import now
from protocol.sessions import ClientSession, SessionAnswer, SessionOffer
from protocol.snapshots import MOST_PEOPLE, ConsentState, HeldState, Places, codes_sha256, unpacked

SESSION_MARGIN = timedelta(seconds=30)


def load_consortium(path: Path, registry_key: PublicKey) -> Consortium:
    """The consortium document a party has pinned; raises SignatureError."""
    try:
        token = path.read_text(encoding="utf-8")
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


def _items(answer: httpx.Response) -> list[str]:
    return [str(item) for item in answer.json()["items"]]


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

    def my_consents(self) -> list[ConsentRecord]:
        answer = self._checked(self._send("GET", "/v1/me/consents?limit=1000").json)
        return self._checked(lambda: [ConsentRecord.model_validate(record) for record in answer["items"]])

    def forget_me(self) -> int:
        """End all my consents and destroy my data key; returns how many consents were ended."""
        return int(self._send("DELETE", "/v1/me").json()["ended"])

    # --- an institution's keys

    def party_keys(self) -> list[dict[str, Any]]:
        answer = self._send("GET", f"/v1/parties/{self._caller}/keys")
        return self._checked(lambda: [dict(key) for key in answer.json()["keys"]])

    def add_party_key(self, new_key: dict[str, Any]) -> dict[str, Any]:
        """``new_key`` is a ``consent.identity.keys.NewKey``."""
        answer = self._send("POST", f"/v1/parties/{self._caller}/keys", new_key)
        return self._checked(lambda: dict(answer.json()))

    def revoke_party_key(self, party: str, thumbprint: str) -> None:
        self._send("DELETE", f"/v1/parties/{party}/keys/{thumbprint}")

    # --- campaigns

    def propose(self, token: str) -> str:
        answer = self._send("POST", "/v1/campaigns", {"token": token})
        return str(self._checked(lambda: answer.json()["sha256"]))

    def proposed(self, sha256: str) -> Proposed:
        """The campaign with this hash, verified against the coordinator's key, and how lenders answered."""
        said = self._checked(self._send("GET", f"/v1/campaigns/{sha256}").json)
        found = self._checked(lambda: Proposed.of(said, self.consortium))
        if found.campaign.sha256 != sha256:
            raise RegistryUnavailable("the consent registry answered with another campaign than was asked for")
        return found

    def campaign(self, sha256: str) -> tuple[Campaign, bool]:
        """The campaign, and whether it is active."""
        return (found := self.proposed(sha256)).campaign, found.active

    def campaigns(self) -> dict[str, str]:
        """Hash and id of the campaigns that the caller may see, in the order in which they were proposed."""
        found: dict[str, str] = {}
        following: str | None = ""
        while following is not None:
            answer = self._send("GET", f"/v1/campaigns{following and f'?cursor={following}'}").json()
            found |= {str(item["sha256"]): str(item["id"]) for item in answer["items"]}
            following = answer.get("next")
        return found

    def reject(self, rejection: Rejection, key: SigningKey) -> None:
        self._send("POST", f"/v1/campaigns/{rejection.campaign_sha256}/rejections", {"token": rejection.sign(key)})

    def approve(self, approval: Approval, key: SigningKey) -> bool:
        answer = self._send(
            "POST", f"/v1/campaigns/{approval.campaign_sha256}/approvals", {"token": approval.sign(key)}
        )
        return bool(answer.json()["active"])

    def authorisation(self, sha256: str, asked: AuthorisationRequest) -> Authorisation:
        answer = self._send("POST", f"/v1/campaigns/{sha256}/authorisations", asked.model_dump(mode="json"))
        return self._checked(lambda: Authorisation.verify(answer.json()["token"], self._registry_key))

    def size_of(self, note: str) -> int:
        """The tree size in a checkpoint note of this log."""
        return self._checked(lambda: self.trust.open(note)).size

    # --- how a lender's borrowers stand

    def consent_state(self, purpose: str, challenge: str, since: ConsentState | None = None) -> HeldState:
        """The state of the caller's borrowers for ``purpose``, verified: all of it, or what is other than ``since``.

        Raises:
            RegistryUnavailable: the answer is not signed, not to this challenge, or its codes are not those signed.
        """
        asked = {"purpose": purpose, "challenge": challenge}
        if since is not None:
            asked |= {"since": str(since.sequence), "since_moment": since.issued_at.isoformat()}
        answer = self._checked(self._send("GET", f"/v1/consent-states?{urlencode(asked)}").json)
        token = self._checked(lambda: str(answer["token"]))
        state = self._checked(lambda: ConsentState.verify(token, self._registry_key))
        numbers = answer.get("numbers")
        held = self._checked(
            lambda: HeldState(
                state=state,
                token=token,
                numbers=None if numbers is None else unpacked(numbers, "uint32"),
                ordinary=unpacked(answer["ordinary"], "uint32"),
                sensitive=unpacked(answer["sensitive"], "uint32"),
            )
        )
        expected = (self._caller, purpose, challenge, since.sequence if since else None)
        stated = (state.lender, state.purpose, state.challenge, state.since)
        if stated != expected or codes_sha256(held.numbers, held.ordinary, held.sensitive) != state.codes_sha256:
            raise RegistryUnavailable("the consent registry answered with another state than was asked for")
        self.accept_head(state.checkpoint)
        return held

    def roll(self, first: int, until: int) -> list[str]:
        """The caller's own borrowers from number ``first`` to ``until - 1``, in order."""
        names: list[str] = []
        while first + len(names) < until:
            cursor = cursor_of(first + len(names))
            answer = self._send("GET", f"/v1/subjects?cursor={cursor}&limit={min(50_000, until - first - len(names))}")
            found = self._checked(partial(_items, answer))
            if not found:
                break
            names += found
        return names

    def whole_roll(self) -> list[str]:
        """All of the caller's own borrowers, in order."""
        return self.roll(0, MOST_PEOPLE)

    def rename(self, renamings: Sequence[tuple[str, str, str]]) -> int:
        """Give borrowers (old name, new name, new ledger name), all or none; returns how many."""
        fields = ("pseudonym", "new_pseudonym", "new_ledger_pseudonym")
        body = {"renamings": [dict(zip(fields, renaming, strict=True)) for renaming in renamings]}
        answer = self._send("POST", "/v1/subjects/renamings", body)
        return int(self._checked(lambda: answer.json()["renamed"]))

    def places(self, sha256: str) -> Places:
        """Who of the caller's borrowers has a place in the campaign."""
        token = self._send("GET", f"/v1/campaigns/{sha256}/places").text
        places = self._checked(lambda: Places.verify(token, self._registry_key))
        if (places.campaign_sha256, places.lender) != (sha256, self._caller):
            raise RegistryUnavailable("the consent registry answered with the places of another campaign or lender")
        return places

    def revocations(self) -> list[Revocation]:
        """What the caller has not acknowledged yet, verified and in order, without a gap."""
        found: list[Revocation] = []
        cursor = ""
        while True:
            answer = self._send("GET", f"/v1/revocations{cursor}")
            page = self._checked(partial(_items, answer))
            found += [self._checked(partial(Revocation.verify, token, self._registry_key)) for token in page]
            following = answer.json().get("next")
            if following is None or not page:
                break
            cursor = f"?cursor={following}"
        numbers = [revocation.number for revocation in found]
        mine = all(revocation.recipient == self._caller for revocation in found)
        if not mine or (numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers)))):
            raise RegistryUnavailable("the consent registry's revocations have a gap, or are another lender's")
        return found

    def acknowledge(self, number: int, key: SigningKey) -> int:
        """Say, signed, that the caller has acted on every revocation up to ``number``; returns up to which it has.

        The acknowledgement is under an accepted head of the log when this returns.
        """
        told = Acknowledgement(recipient=self._caller or "", number=number, acknowledged_at=now())
        body = {"token": told.sign(key)}
        answer = self._checked(self._send("POST", "/v1/revocations/acknowledgements", body).json)
        reached, index = self._checked(lambda: (int(answer["acknowledged"]), int(answer["entry_index"])))
        self.proved_leaf(index, wait=True)
        return reached

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

    def log_model(self, campaign_sha256: str, card_sha256: str, card: str, model: bytes) -> None:
        body = {"card_sha256": card_sha256, "card": card, "model": b64(model)}
        leaf = self._acknowledged(self._send("POST", f"/v1/campaigns/{campaign_sha256}/model", body))
        if (leaf.get("type"), leaf.get("model_card")) != ("model.released", card_sha256):
            raise RegistryUnavailable("the log acknowledged another entry than the model card that was sent")
