"""The connection of one caller to the registry: requests that it signs, and answers that are
verified.

The client remembers the newest checkpoint it has seen and refuses any that does not extend it
(invariant 7).
"""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx

from crypto.errors import SignatureError
from crypto.keys import PublicKey, SigningKey, unb64
from crypto.notes import InclusionProof
from crypto.sessions import Ephemeral
from protocol.errors import ConsentError, NotAuthenticated, RegistryUnavailable
from protocol.heads import HeadStore
from protocol.log_client import LogClient
from protocol.parties import Consortium, Role
from protocol.requests import sign_request
from protocol.schema import now
from protocol.sessions import ClientSession, SessionAnswer, SessionOffer

SESSION_MARGIN = timedelta(seconds=30)


def load_consortium(path: Path, registry_key: PublicKey) -> Consortium:
    """The consortium document a party has pinned; raises SignatureError."""
    try:
        token = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SignatureError(
            f"cannot read the consortium document {path}: {error.strerror}"
        ) from error
    return Consortium.verify(token, registry_key)


def items_of(answer: httpx.Response) -> list[str]:
    """The items of one page. Raises KeyError, TypeError, ValueError."""
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
        """For a caller with many requests: ten minutes of MACs instead of signatures, then
        signatures again.

        Raises:
            RegistryUnavailable: the registry's answer does not verify.
        """
        if self._key is None or self._caller is None:
            raise RegistryUnavailable("a session is for a caller with a signing key")
        self._session = None
        ephemeral = Ephemeral()
        offer = SessionOffer(
            caller=self._caller, audience=self._audience, ephemeral=ephemeral.public
        )
        offered = offer.sign(self._key)
        answered = str(
            self._checked(
                lambda: self._send("POST", "/v1/sessions", {"offer": offered}).json()["answer"]
            )
        )
        answer = self._checked(lambda: SessionAnswer.verify(answered, self._registry_key))
        self._session = self._checked(
            lambda: ClientSession.agreed(ephemeral, offer, offered, answered, answer)
        )
        return self._session

    def _acknowledged(self, answer: httpx.Response) -> dict[str, Any]:
        """The leaf in the answer, after its inclusion was verified under an accepted head."""
        data = self._checked(answer.json)
        leaf = self._checked(lambda: unb64(data["leaf"]))
        proof = self._checked(lambda: InclusionProof.parse(data["proof"]))
        self._checked(lambda: proof.verify(leaf, self.trust))
        self.accept_head(proof.checkpoint_note)
        fields: dict[str, Any] = self._checked(lambda: json.loads(leaf))
        return fields
