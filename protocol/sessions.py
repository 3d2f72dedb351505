"""Sessions of institutions with the registry: both halves of how one is agreed, and the caller's
side of it.

See ``crypto.sessions`` for the key agreement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count

from pydantic import Field

from crypto.errors import SignatureError
from crypto.sessions import Ephemeral, request_mac
from protocol.schema import Document, Instant, KeyText, Sha256

LIFETIME = timedelta(minutes=10)
SCHEME = "session"


class SessionOffer(Document):
    """A caller's half. The signed request that carries it is bound to now and to this registry."""

    typ = "tahini-session-offer"
    caller: str = Field(max_length=100)
    audience: str = Field(max_length=100)
    ephemeral: KeyText


class SessionAnswer(Document):
    """The registry's half."""

    typ = "tahini-session-answer"
    id: str = Field(pattern=r"^[0-9a-f]{32}$")
    offer_sha256: Sha256
    ephemeral: KeyText
    expires_at: Instant


@dataclass
class ClientSession:
    """The caller's side, once both halves are there."""

    id: str
    key: bytes = field(repr=False)
    expires_at: datetime
    _counter: Iterator[int] = field(default_factory=lambda: count(1), repr=False)

    @classmethod
    def agreed(
        cls,
        ephemeral: Ephemeral,
        offer: SessionOffer,
        offer_token: str,
        answer_token: str,
        answer: SessionAnswer,
    ) -> ClientSession:
        """Raises SignatureError when the answer is to another offer."""
        if answer.offer_sha256 != offer.sha256:
            raise SignatureError("the registry answered another offer of a session")
        return cls(
            answer.id,
            ephemeral.agree(answer.ephemeral, offer_token, answer_token),
            answer.expires_at,
        )

    def authorization(self, method: str, target: str, body: bytes) -> str:
        """The Authorization header of the next request."""
        counter = next(self._counter)
        return f"Session {self.id}.{counter}.{request_mac(self.key, method, target, body, counter)}"
