"""The rights desk at the registry: people ask, their lender reads and answers.

Every step of a request that comes back is proved: the registry cannot show a lender a request that
nobody logged, nor a person an answer that the lender did not sign.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx

from crypto.errors import SealError
from crypto.keys import RecipientKey, RecipientPublicKey, SigningKey, b64, unb64
from crypto.sealing import seal_to, unpad, unseal_from
from protocol.client.base import RegistryClient
from protocol.client.institutions import InstitutionClient
from protocol.errors import Malformed, RegistryUnavailable
from protocol.rights import (
    MAX_ATTACHMENT_BYTES,
    RequestContent,
    RequestEvent,
    RequestStep,
    RightsAnswer,
    RightsReceipt,
    RightsRequest,
    attachment_context,
    check_rights_receipt,
    seal_context,
)

RECIPIENT_KEY_FILE = "recipient.key"
"""In a lender's home: what is sealed to it opens with this."""


@dataclass(frozen=True)
class LendersRequest:
    """One request, as its lender has verified it."""

    told: dict[str, Any]
    """How it stands, by the registry's word."""
    steps: tuple[RequestStep, ...]
    """Each under an accepted head of the log."""

    @property
    def request(self) -> RightsRequest:
        return self.steps[0].request()


class LenderRightsClient(InstitutionClient):
    """A lender at the rights desk.

    Args:
        recipient: the key that the consortium document names for the lender; where it names none,
            the registry opens what is sealed to the person.
    """

    recipient: RecipientKey | None = None

    def requests(self, closed: bool = False) -> list[dict[str, Any]]:
        """How the requests of the lender's borrowers stand, in the order in which they came."""
        found: list[dict[str, Any]] = []
        following: str | None = ""
        while following is not None:
            query = f"closed={'true' if closed else 'false'}&limit=1000"
            target = f"/v1/requests?{query}{following and f'&cursor={following}'}"
            page, following = self._checked(partial(_page, self._send("GET", target)))
            found += page
        return found

    def request(self, sha256: str) -> LendersRequest:
        """One of them, with every step opened and proved in the log.

        Raises:
            RegistryUnavailable: a step is not the one that was logged, or of another request.
        """
        said = self._checked(self._send("GET", f"/v1/requests/{sha256}").json)
        rows = self._checked(lambda: [dict(row) for row in said["steps"]])
        steps = tuple(self._step(sha256, row) for row in rows)
        if not steps or steps[0].event is not RequestEvent.RECEIVE:
            raise RegistryUnavailable("the consent registry did not say what was asked")
        request = self._checked(steps[0].request)
        if request.recipient != self._caller:
            raise RegistryUnavailable("the consent registry showed a request of another lender")
        return LendersRequest(said, steps)

    def _step(self, sha256: str, row: dict[str, Any]) -> RequestStep:
        step = self._checked(partial(self._opened, sha256, row))
        if step.request_sha256 != sha256:
            raise RegistryUnavailable("the consent registry showed a step of another request")
        leaf, _ = self.proved_leaf(self._checked(lambda: int(row["entry_index"])), wait=True)
        self._checked(lambda: step.proved_by(leaf))
        return step

    def _opened(self, sha256: str, row: dict[str, Any]) -> RequestStep:
        if row["sealed"] is None:
            return RequestStep.model_validate(row["step"])
        if self.recipient is None:
            raise SealError("the request is sealed to the lender's recipient key; bring it")
        context = seal_context(str(self._caller), sha256, RequestEvent(row["event"]))
        opened = unpad(unseal_from(self.recipient, unb64(row["sealed"]), context))
        return RequestStep.model_validate_json(opened)

    def hand_in(self, request: RightsRequest, key: SigningKey) -> dict[str, Any]:
        """Hand in what somebody asked at a branch, signed."""
        answer = self._send("POST", "/v1/requests", {"token": request.sign(key)})
        return self._done(answer.json())

    def mark(self, sha256: str) -> dict[str, Any]:
        """Say that what it is about is marked in the lender's own systems."""
        return self._done(self._send("POST", f"/v1/requests/{sha256}/marks").json())

    def answer(
        self, answer: RightsAnswer, key: SigningKey, attachment: bytes | None = None
    ) -> dict[str, Any]:
        """Answer, signed; ``attachment`` as :func:`attach` sealed it. It is under an accepted head
        of the log when this returns."""
        body = {"token": answer.sign(key)}
        if attachment is not None:
            body["attachment"] = b64(attachment)
        target = f"/v1/requests/{answer.request_sha256}/answers"
        return self._done(self._send("POST", target, body).json())

    def close_request(self, sha256: str) -> dict[str, Any]:
        """End a request that was answered long enough ago."""
        return self._done(self._send("POST", f"/v1/requests/{sha256}/closings").json())

    def _done(self, said: Any) -> dict[str, Any]:
        index = self._checked(lambda: int(said["entry_index"]))
        self.proved_leaf(index, wait=True)
        return dict(said)


def _page(answer: httpx.Response) -> tuple[list[dict[str, Any]], str | None]:
    """How the requests of one page stand, and the cursor of the next."""
    said = answer.json()
    return [dict(one) for one in said["items"]], said["next"]


def attach(request: RightsRequest, content: bytes) -> tuple[bytes, str]:
    """What is attached to an answer, sealed to whoever asked, and its hash.

    Raises:
        Malformed: the request names no key to seal it to, or it is too long.
    """
    if request.asked.reply_key is None:
        raise Malformed("the person named no key that an attachment could be sealed to")
    key = RecipientPublicKey.from_text(request.asked.reply_key)
    sealed = seal_to(key, content, attachment_context(request.sha256))
    if len(sealed) > MAX_ATTACHMENT_BYTES:
        raise Malformed(f"an attachment has at most {MAX_ATTACHMENT_BYTES} bytes")
    return sealed, hashlib.sha256(sealed).hexdigest()


class BorrowerRightsClient(RegistryClient):
    """A person at the rights desk, with a key of their own."""

    def ask(self, recipient: str, asked: RequestContent) -> RightsReceipt:
        """Ask a lender; returns the verified receipt of the request."""
        body = {"recipient": recipient, "asked": asked.model_dump(mode="json")}
        answer = self._send("POST", "/v1/me/requests", body)
        sha256 = self._checked(lambda: str(answer.json()["request_sha256"]))
        receipt = self.receipt(sha256, 1)
        if self._checked(receipt.step.request).asked != asked:
            raise RegistryUnavailable("the consent registry recorded another request")
        return receipt

    def my_requests(self) -> list[dict[str, Any]]:
        """How my requests stand, newest first."""
        answer = self._checked(self._send("GET", "/v1/me/requests?limit=1000").json)
        return self._checked(lambda: [dict(one) for one in answer["items"]])

    def receipt(self, sha256: str, number: int) -> RightsReceipt:
        """The receipt of one step of my request, verified."""
        text = self._send("GET", f"/v1/me/requests/{sha256}/receipts/{number}").text
        receipt = self._checked(lambda: RightsReceipt.verify(text, self._registry_key))
        proof = self._checked(lambda: check_rights_receipt(receipt, self.trust))
        self.accept_head(proof.checkpoint_note)
        if receipt.step.request_sha256 != sha256:
            raise RegistryUnavailable("the consent registry gave a receipt of another request")
        return receipt

    def answers(self, sha256: str) -> Sequence[RightsAnswer]:
        """What the lender answered, each verified with the lender's key and in the log."""
        said = self._checked(self._send("GET", f"/v1/me/requests/{sha256}").json)
        numbers = self._checked(lambda: [int(row["number"]) for row in said["steps"]])
        steps = [self.receipt(sha256, number).step for number in numbers]
        lender = self._checked(lambda: self.consortium.party(steps[0].request().recipient))
        answering = {RequestEvent.ANSWER, RequestEvent.REFUSE}
        return [
            self._checked(partial(step.answer, lender.key))
            for step in steps
            if step.event in answering
        ]

    def attachment(self, sha256: str, key: RecipientKey) -> bytes:
        """What the lender attached, opened with the key that my request named. Raises SealError."""
        sealed = self._send("GET", f"/v1/me/requests/{sha256}/attachment").content
        named = [answer.attachment_sha256 for answer in self.answers(sha256)]
        if hashlib.sha256(sealed).hexdigest() not in named:
            raise RegistryUnavailable(
                "the attachment is not the one that the lender's answer names"
            )
        return unseal_from(key, sealed, attachment_context(sha256))

    def close_request(self, sha256: str) -> None:
        """End my request: what it marked may be used again."""
        self._send("POST", f"/v1/me/requests/{sha256}/closings")
