"""How lenders, coordinators, borrowers and auditors call the registry. What comes back is verified first.

The client remembers the newest checkpoint it has seen and refuses any that does not extend it (invariant 7).
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

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
from consent.errors import ConsentError, RegistryUnavailable
from consent.requests import sign_request
from crypto.errors import CryptoError, ProofError, SignatureError
from crypto.keys import PublicKey, SigningKey, b64, unb64
from crypto.merkle import verify_consistency
from crypto.notes import Checkpoint, InclusionProof, Verifier, open_checkpoint
from crypto.tiles import TILE_WIDTH, index_path, parse_entry_bundle

T = TypeVar("T")
TIMEOUT = httpx.Timeout(60.0, connect=5.0)


def load_consortium(path: Path, registry_key: PublicKey) -> Consortium:
    """The consortium document a party has pinned; raises SignatureError."""
    try:
        token = path.read_text()
    except OSError as error:
        raise SignatureError(f"cannot read the consortium document {path}: {error.strerror}") from error
    return Consortium.verify(token, registry_key)


@dataclass
class HeadStore:
    """Where a client keeps the newest checkpoint note it has verified; one process at a time, on disk before use."""

    path: Path

    @contextmanager
    def locked(self) -> Iterator[str | None]:
        """Hold the store; yields the note in it."""
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.path.read_text() if self.path.exists() else None

    def write(self, note: str) -> None:
        """Replace the note; call while holding the store."""
        partial = self.path.with_suffix(".partial")
        with partial.open("w") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.path)


def check_receipt(receipt: Receipt, log: Verifier) -> InclusionProof:
    """Offline: the receipt's entry is in the log and commits to the receipt's decision and states.

    Raises:
        ProofError, SignatureError: it is not, or does not.
    """
    proof = InclusionProof.parse(receipt.proof)
    leaf = unb64(receipt.entry)
    proof.verify(leaf, log)
    stated = decision_commitment(receipt.salt, receipt.decision_sha256, receipt.states)
    fields = json.loads(leaf)
    if fields["type"] != "consent.decided" or not hmac.compare_digest(str(fields["decision"]), stated):
        raise ProofError("the log entry does not commit to this decision")
    return proof


class RegistryClient:
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
        self.consortium = consortium
        self.log = Verifier(consortium.log_origin, PublicKey.from_text(consortium.log_key))
        self._registry_key = consortium.one(Role.REGISTRY).key
        self._audience = consortium.one(Role.REGISTRY).id
        self._caller, self._key, self._heads = caller, key, heads
        self._http = http or httpx.Client(base_url=url, timeout=TIMEOUT)

    def close(self) -> None:
        self._http.close()

    # --- transport

    def _send(self, method: str, target: str, body: Any = None) -> httpx.Response:
        content = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._key is not None and self._caller is not None:
            token = sign_request(self._key, self._caller, self._audience, method, target, content)
            headers["Authorization"] = f"Bearer {token}"
        try:
            response = self._http.request(method, target, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise RegistryUnavailable(
                f"the consent registry at {self._http.base_url} does not answer ({type(error).__name__}); "
                "nothing was acknowledged"
            ) from error
        if response.is_success:
            return response
        raise _refusal(response)

    def _checked(self, read: Callable[[], T]) -> T:
        """An answer that does not verify is the same as no answer."""
        try:
            return read()
        except (CryptoError, KeyError, ValueError) as error:
            raise RegistryUnavailable(f"the consent registry's answer cannot be believed: {error}") from error

    # --- the log

    def accept_head(self, note: str) -> Checkpoint:
        """Verify a checkpoint, and that it and the newest one seen before are of one history; remember the newer.

        An older head is one history's past: enough for a proof of inclusion. Whoever needs the present compares sizes,
        as the gate does with snapshot and authorisation.
        """
        checkpoint = self._checked(lambda: open_checkpoint(note, self.log))
        if self._heads is None:
            return checkpoint
        with self._heads.locked() as known_note:
            if known_note is not None:
                known = self._checked(lambda: open_checkpoint(known_note, self.log))
                older, newer = sorted((known, checkpoint), key=lambda head: head.size)
                self.check_consistency(older, newer)
                if newer is known:
                    return checkpoint
            self._heads.write(note)
        return checkpoint

    def check_consistency(self, old: Checkpoint, new: Checkpoint) -> None:
        """Fetch and verify the proof that ``new`` extends ``old``; raises RegistryUnavailable if it does not."""
        hashes: list[bytes] = []
        if old.size != new.size:
            answer = self._send("GET", f"/v1/log/consistency?old={old.size}&new={new.size}")
            hashes = self._checked(lambda: [b64decode(value, validate=True) for value in answer.json()["proof"]])
        self._checked(lambda: verify_consistency(old.size, new.size, hashes, old.root, new.root))

    def checkpoint_note(self) -> str:
        return self._send("GET", "/checkpoint").text

    def head(self) -> Checkpoint:
        return self.accept_head(self.checkpoint_note())

    def inclusion(self, index: int) -> InclusionProof:
        answer = self._send("GET", f"/v1/log/inclusion/{index}").text
        return self._checked(lambda: InclusionProof.parse(answer))

    def leaves(self, size: int) -> list[bytes]:
        """All leaves of the first ``size`` entries, from the public entry bundles."""
        leaves: list[bytes] = []
        for bundle in range((size + TILE_WIDTH - 1) // TILE_WIDTH):
            width = min(TILE_WIDTH, size - bundle * TILE_WIDTH)
            suffix = "" if width == TILE_WIDTH else f".p/{width}"
            data = self._send("GET", f"/tile/entries/{index_path(bundle)}{suffix}").content
            leaves += self._checked(lambda data=data: parse_entry_bundle(data))  # type: ignore[misc]
        return leaves

    def body(self, index: int) -> bytes:
        return self._send("GET", f"/v1/log/bodies/{index}").content

    def _acknowledged(self, answer: httpx.Response) -> dict[str, Any]:
        """The leaf in the answer, after its inclusion was verified under an accepted head."""
        data = self._checked(answer.json)
        leaf = self._checked(lambda: unb64(data["leaf"]))
        proof = self._checked(lambda: InclusionProof.parse(data["proof"]))
        self._checked(lambda: proof.verify(leaf, self.log))
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
        """
        answer = self._checked(self._send("POST", "/v1/decisions", {"tokens": list(tokens)}).json)
        texts = self._checked(lambda: [str(text) for text in answer["receipts"]])
        if len(texts) not in {0, len(tokens)} or (len(tokens) <= RECEIPTS_UP_TO) != bool(texts):
            raise RegistryUnavailable("the consent registry did not give one receipt per decision")
        return [self._receipt(text, token) for text, token in zip(texts, tokens, strict=False)]

    def _receipt(self, text: str, token: str) -> Receipt:
        receipt = self._checked(lambda: Receipt.verify(text, self._registry_key))
        decision = Decision.claimed(token)
        self.accept_head(self._checked(lambda: check_receipt(receipt, self.log)).checkpoint_note)
        mine = (decision.sha256, decision.pii_principal_id)
        if (receipt.decision_sha256, receipt.pii_principal_id) != mine:
            raise RegistryUnavailable("the consent registry gave a receipt for another decision")
        return receipt

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
        return self._checked(lambda: open_checkpoint(note, self.log)).size

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


def _refusal(response: httpx.Response) -> ConsentError:
    """The registry's own words, as an exception that keeps status and code."""
    try:
        details = response.json()
        detail, code = str(details["detail"]), str(details["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return RegistryUnavailable(f"the consent registry answered {response.status_code} without saying why")
    error: ConsentError = RegistryUnavailable(detail) if response.status_code >= 500 else ConsentError(detail)
    error.status, error.code = response.status_code, code
    return error


__all__ = ["Enrolment", "HeadStore", "ProofError", "RegistryClient", "b64", "load_consortium"]
